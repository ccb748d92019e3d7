"""Local samples on their way into the node, and the predictions that still wait for a label."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from protovine.errors import SampleError, SnapshotError
from protovine.learn import Prediction
from protovine.net.causes import Place
from protovine.net.tally import Tally
from protovine.node import Node
from protovine.records import SECOND_NS

_log = logging.getLogger("protovine")

# Memory of a waiting sample besides its features and names.
_OVERHEAD_BYTES = 200


@dataclass(frozen=True, slots=True)
class AwaitLimits:
    """How many samples may wait for a label that comes later; beyond a limit the oldest are given up.

    Parameters
    ----------
    samples_max, bytes_max : int
    s_max : float
        Seconds that a sample waits.
    saved_bytes_max : int
        Of these the newest are part of snapshots, which are written often.
    """

    samples_max: int = 10_000
    bytes_max: int = 16 * 2**20
    s_max: float = 86_400.0
    saved_bytes_max: int = 64 * 2**10


class _Waiting(NamedTuple):
    """A sample that waits: the node's number, the predicted class, and since when by a clock that never jumps."""

    number: int
    code: int
    since_ns: int


class EventLike(Protocol):
    """An event of a source: a sample ``x`` with or without its class, or a class ``y`` for an earlier ``id``."""

    @property
    def x(self) -> NDArray[np.float64] | None:
        """Features, or None in a late label."""
        ...

    @property
    def y(self) -> int | None:
        """The class."""
        ...

    @property
    def id(self) -> str | int | None:
        """The source's name for the sample."""
        ...

    @property
    def time_ns(self) -> int | None:
        """When it was measured."""
        ...

    @property
    def device(self) -> str:
        """Where it came from; an id is one of this device only."""
        ...

    @property
    def place(self) -> Place | None:
        """The file and line where it begins; None where the source is no file."""
        ...


@dataclass(frozen=True, slots=True)
class SamplePrediction:
    """A prediction, made before its sample was learnt."""

    id: str | int | None
    at_ns: int
    prediction: Prediction
    prototypes: int
    device: str = ""
    line: int = 0
    """Where the sample begins in its file, counted from 1; 0 where the source is no file."""


class LocalSamples:
    """Hands events to a node, and judges its predictions when their labels are known.

    Parameters
    ----------
    node : Node
    tally : Tally
        Counts samples, labels, right predictions, and what was wrong with them.
    limits : AwaitLimits
        For named samples whose label may still come.
    features : sequence of str
        Names of the features, for messages; numbered without.
    """

    def __init__(
        self, node: Node, tally: Tally, limits: AwaitLimits | None = None, features: Sequence[str] = ()
    ) -> None:
        self.node, self.tally, self.limits, self.features = node, tally, limits or AwaitLimits(), features
        # By device and id, where 7 and "7" are the same id.
        self._awaited: dict[tuple[str, str], _Waiting] = {}
        self._awaited_bytes = 0
        self._next_id = 0
        self._said = False

    @property
    def awaited(self) -> list[tuple[str, str]]:
        """Device and id of the samples whose label may still come, the oldest first."""
        return list(self._awaited)

    def take(
        self, event: EventLike, now_ns: int, number: int | None = None, steady_ns: int | None = None
    ) -> SamplePrediction | None:
        """The prediction of a sample, which is then learnt; None for a late label.

        Samples are called ``number`` in records, by default they are counted. ``steady_ns`` is the time by a clock that
        never jumps, by default ``now_ns``.

        Raises
        ------
        SampleError
            The node cannot take the sample or the label. Nothing was learnt.
        """
        if event.x is None:
            self._label(event, now_ns)
            return None
        number = self._next_id if number is None else number
        try:
            self._check_missing(event.x)
            prediction = self.node.observe(
                *(event.x, event.y),
                now_ns=now_ns,
                event_ns=event.time_ns,
                sample_id=number,
                awaits=event.id is not None,
            )
        except ValueError as error:  # A value that this learner cannot take.
            raise SampleError(str(error)) from error
        self._next_id = number + 1
        self.tally.samples += 1
        self.tally.sample_ns = now_ns if steady_ns is None else steady_ns
        if event.y is not None:
            self.tally.judge(prediction.code, event.y)
        elif event.id is not None:
            waiting = _Waiting(number, prediction.code, now_ns if steady_ns is None else steady_ns)
            self._await((event.device, str(event.id)), waiting, now_ns, event.place)
        line = 0 if event.place is None else event.place.line
        return SamplePrediction(event.id, now_ns, prediction, len(self.node.learner), event.device, line)

    def _check_missing(self, x: NDArray[np.float64]) -> None:
        if self.node.learner.takes_missing:
            return
        missing = np.flatnonzero(np.isnan(x)).tolist()
        if missing:
            names = [repr(self.features[place]) if self.features else f"number {place}" for place in missing[:5]]
            more = " and others" if len(missing) > 5 else ""
            raise SampleError(
                f"a value for feature {', '.join(names)}{more} is missing, and this learner takes no missing values"
            )

    def _bytes(self, name: tuple[str, str]) -> int:
        return _OVERHEAD_BYTES + 8 * self.node.learner.dim + len(name[0]) + len(name[1])

    def _pop(self, name: tuple[str, str]) -> _Waiting | None:
        found = self._awaited.pop(name, None)
        if found is not None:
            self._awaited_bytes -= self._bytes(name)
        return found

    def _await(self, name: tuple[str, str], waiting: _Waiting, now_ns: int, place: Place | None) -> None:
        replaced = self._pop(name)
        if replaced is not None:
            self.node.give_up(replaced.number, now_ns)
            self.tally.causes.add(
                "repeated",
                f"id {name[1]!r} came again before the label of its sample: a label now belongs to the newer sample",
                field="id",
                topic=name[0],
                place=place,
            )
        self._awaited[name] = waiting
        self._awaited_bytes += self._bytes(name)
        limits = self.limits
        while self._awaited:
            oldest = next(iter(self._awaited))
            if len(self._awaited) > limits.samples_max:
                why = f"more than {limits.samples_max:,} samples wait (node.awaited_max)"
            elif self._awaited_bytes > limits.bytes_max:
                why = f"waiting samples take more than {limits.bytes_max / 2**20:g} MB (node.awaited_mb_max)"
            elif waiting.since_ns - self._awaited[oldest].since_ns > limits.s_max * SECOND_NS:
                why = f"it did not come in {limits.s_max:g} s (node.awaited_s_max)"
            else:
                break
            given_up = self._pop(oldest)
            assert given_up is not None
            self.node.give_up(given_up.number, now_ns)
            self.tally.labels_given_up += 1
            self.tally.causes.add("given_up", f"a label is awaited no longer: {why}", topic=oldest[0])

    def _label(self, event: EventLike, now_ns: int) -> None:
        waiting = None if event.id is None else self._pop((event.device, str(event.id)))
        if waiting is None or event.y is None or not self._learn_label(waiting.number, event.y, now_ns):
            self.tally.unknown_labels += 1
            self.tally.causes.add(
                "unknown",
                f"a label for id {event.id!r:.100}, but no sample of this device with that id awaits one "
                "(it comes before its label, on the same topic or with the same device)",
                field="id",
                topic=event.device,
                place=event.place,
            )
            return
        self.tally.labels += 1
        self.tally.judge(waiting.code, event.y)

    def _learn_label(self, number: int, y: int, now_ns: int) -> bool:
        try:
            return self.node.label(number, y, now_ns)
        except ValueError as error:
            raise SampleError(str(error)) from error

    def state(self, steady_ns: int = 0) -> dict[str, Any]:
        """The node, and the newest of the samples that wait for labels, for a snapshot."""
        saved: list[list[Any]] = []
        size = 0
        for name, (number, code, since_ns) in reversed(self._awaited.items()):
            size += self._bytes(name)
            if size > self.limits.saved_bytes_max:
                if not self._said:
                    _log.warning(
                        "only the newest %d of %d samples that wait for a label are saved (node.awaited_saved_kb_max)",
                        len(saved),
                        len(self._awaited),
                        extra={"reason": "unsaved"},
                    )
                self._said = True
                break
            saved.append([*name, number, code, steady_ns - since_ns])
        saved.reverse()
        return {
            "node": self.node.snapshot({entry[2] for entry in saved}),
            "awaited": saved,
            "next_id": self._next_id,
        }

    def restore(self, state: dict[str, Any], steady_ns: int = 0) -> None:
        """Continue from ``state``, after the node was restored from it; `SnapshotError` if it is damaged.

        Older versions did not keep how long a sample has waited, and the first not even its device, so that its label
        must come without one.
        """
        try:
            awaited = [("", *entry) if len(entry) == 3 else entry for entry in state["awaited"]]
            self._awaited = {
                (str(device), str(name)): _Waiting(int(number), int(code), steady_ns - sum(map(int, waited)))
                for device, name, number, code, *waited in awaited
            }
            self._awaited_bytes = sum(map(self._bytes, self._awaited))
            self._next_id = int(state["next_id"])
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"the snapshot is damaged: {error}") from None
