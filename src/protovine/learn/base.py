"""What a node needs of a learner: arrays in, class codes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from protovine.prototypes import PrototypeSet


class Prediction(NamedTuple):
    """Class code (-1 without a model) and the share of each class (all 0 without a model)."""

    code: int
    shares: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A learner's set went from ``before`` to ``after`` prototypes; ``exact``: its target was met."""

    before: int
    after: int
    exact: bool


class ArrayLearner(Protocol):
    """An online classifier over float64 vectors of fixed length whose knowledge is a prototype set."""

    dim: int
    n_classes: int
    takes_missing: bool  # Whether NaN may stand in a vector.

    def __len__(self) -> int:
        """Prototypes held."""
        ...

    def predict(self, x: NDArray[np.float64], at_ns: int | None = None) -> Prediction:
        """Prediction for one vector (d,) measured at ``at_ns``."""
        ...

    def predict_balanced(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Codes (n,) for rows (n, d) whose classes may be distributed otherwise than the own ones."""
        ...

    def likelihood(self, x: NDArray[np.float64], code: int, at_ns: int) -> float:
        """How well the class of a sample is foretold here, from 0 to 1; 0 without a model."""
        ...

    def learn(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> int:
        """Learn rows (n, d) in order; how many of them became prototypes."""
        ...

    def learn_received(self, prototypes: PrototypeSet, origins: NDArray[np.int64]) -> int:
        """Learn prototypes (n) that came from nodes ``origins`` (n,); how many of them were inserted."""
        ...

    @property
    def recency(self) -> float:
        """The power of age by which the learner discounts what it knows: 0 is none."""
        ...

    def scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (d,) and standard deviation (d,) of what was learnt."""
        ...

    def own_prototypes(self) -> PrototypeSet:
        """What the node may tell in its own name: the set, or what of it stands for own samples."""
        ...

    def prototypes(self) -> PrototypeSet:
        """A copy of the set as it stands."""
        ...

    def shrunk(self) -> list[Shrunk]:
        """The compressions since this was asked last."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on after a crash."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit this learner, which is then unchanged."""
        ...
