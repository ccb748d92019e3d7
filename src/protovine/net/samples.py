"""Local samples on their way into the node, and the predictions that still wait for a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from protovine.errors import SampleError, SnapshotError
from protovine.learn import Prediction
from protovine.net.tally import Tally
from protovine.node import Node

# Named samples whose label may still come; beyond this the oldest are given up.
AWAITED_MAX = 100_000


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


@dataclass(frozen=True, slots=True)
class SamplePrediction:
    """A prediction, made before its sample was learnt."""

    id: str | int | None
    at_ns: int
    prediction: Prediction
    prototypes: int
    device: str = ""


class LocalSamples:
    """Hands events to a node, and judges its predictions when their labels are known.

    Parameters
    ----------
    node : Node
    tally : Tally
        Counts samples, labels, right predictions, and what was wrong with them.
    awaited_max : int
        Named samples whose label may still come.
    features : sequence of str
        Names of the features, for messages; numbered without.
    """

    def __init__(self, node: Node, tally: Tally, awaited_max: int = AWAITED_MAX, features: Sequence[str] = ()) -> None:
        self.node, self.tally, self.awaited_max, self.features = node, tally, awaited_max, features
        # By device and id, where 7 and "7" are the same id: the node's number and the predicted class.
        self._awaited: dict[tuple[str, str], tuple[int, int]] = {}
        self._next_id = 0

    @property
    def awaited(self) -> list[tuple[str, str]]:
        """Device and id of the samples whose label may still come, the oldest first."""
        return list(self._awaited)

    def take(self, event: EventLike, now_ns: int, number: int | None = None) -> SamplePrediction | None:
        """The prediction of a sample, which is then learnt; None for a late label.

        Samples are called ``number`` in records, by default they are counted.

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
            prediction = self.node.observe(event.x, event.y, now_ns=now_ns, event_ns=event.time_ns, sample_id=number)
        except ValueError as error:  # A value that this learner cannot take.
            raise SampleError(str(error)) from error
        self._next_id = number + 1
        self.tally.samples += 1
        self.tally.sample_ns = now_ns
        if event.y is not None:
            self.tally.judge(prediction.code, event.y)
        elif event.id is not None:
            self._await((event.device, str(event.id)), number, prediction.code)
        return SamplePrediction(event.id, now_ns, prediction, len(self.node.learner), event.device)

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

    def _await(self, name: tuple[str, str], number: int, code: int) -> None:
        if self._awaited.pop(name, None) is not None:
            self.tally.causes.add(
                "repeated",
                f"id {name[1]!r} came again before the label of its sample: a label now belongs to the newer sample",
                field="id",
                topic=name[0],
            )
        self._awaited[name] = number, code
        if len(self._awaited) > self.awaited_max:
            del self._awaited[next(iter(self._awaited))]

    def _label(self, event: EventLike, now_ns: int) -> None:
        waiting = None if event.id is None else self._awaited.pop((event.device, str(event.id)), None)
        if waiting is None or event.y is None or not self._learn_label(waiting[0], event.y, now_ns):
            self.tally.unknown_labels += 1
            self.tally.causes.add(
                "unknown",
                f"a label for id {event.id!r:.100}, but no sample of this device with that id awaits one "
                "(it comes before its label, on the same topic or with the same device)",
                field="id",
                topic=event.device,
            )
            return
        self.tally.labels += 1
        self.tally.judge(waiting[1], event.y)

    def _learn_label(self, number: int, y: int, now_ns: int) -> bool:
        try:
            return self.node.label(number, y, now_ns)
        except ValueError as error:
            raise SampleError(str(error)) from error

    def state(self) -> dict[str, Any]:
        """The samples that wait for labels, for a snapshot."""
        return {
            "awaited": [[*name, *numbers] for name, numbers in self._awaited.items()],
            "next_id": self._next_id,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``; `SnapshotError` if it is damaged.

        Older versions did not keep the device of a sample, so its label must come without one.
        """
        try:
            awaited = [("", *entry) if len(entry) == 3 else entry for entry in state["awaited"]]
            self._awaited = {
                (str(device), str(name)): (int(number), int(code)) for device, name, number, code in awaited
            }
            self._next_id = int(state["next_id"])
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"the snapshot is damaged: {error}") from None
