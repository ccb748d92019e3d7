"""Local samples on their way into the node, and the predictions that still wait for a label."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class SamplePrediction:
    """A prediction, made before its sample was learnt."""

    id: str | int | None
    at_ns: int
    prediction: Prediction
    prototypes: int


class LocalSamples:
    """Hands events to a node, and judges its predictions when their labels are known.

    Parameters
    ----------
    node : Node
    tally : Tally
        Counts samples, labels and right predictions.
    awaited_max : int
        Named samples whose label may still come.
    """

    def __init__(self, node: Node, tally: Tally, awaited_max: int = AWAITED_MAX) -> None:
        self.node, self.tally, self.awaited_max = node, tally, awaited_max
        self._awaited: dict[str | int, tuple[int, int]] = {}  # By name: the node's number and the predicted class.
        self._next_id = 0

    @property
    def awaited(self) -> list[str | int]:
        """Names of samples whose label may still come, the oldest first."""
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
            prediction = self.node.observe(event.x, event.y, now_ns=now_ns, event_ns=event.time_ns, sample_id=number)
        except ValueError as error:  # A value that this learner cannot take, such as a missing one.
            raise SampleError(str(error)) from error
        self._next_id = number + 1
        self.tally.samples += 1
        if event.y is not None:
            self.tally.judge(prediction.code, event.y)
        elif event.id is not None:
            self._awaited[event.id] = number, prediction.code
            if len(self._awaited) > self.awaited_max:
                del self._awaited[next(iter(self._awaited))]
        return SamplePrediction(event.id, now_ns, prediction, len(self.node.learner))

    def _label(self, event: EventLike, now_ns: int) -> None:
        waiting = self._awaited.pop(event.id, None) if event.id is not None else None
        if waiting is None or event.y is None or not self._learn_label(waiting[0], event.y, now_ns):
            self.tally.unknown_labels += 1
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
            "awaited": [[name, *numbers] for name, numbers in self._awaited.items()],
            "next_id": self._next_id,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``; `SnapshotError` if it is damaged."""
        try:
            self._awaited = {name: (int(number), int(code)) for name, number, code in state["awaited"]}
            self._next_id = int(state["next_id"])
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"the snapshot is damaged: {error}") from None
