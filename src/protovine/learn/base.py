"""What a node needs of a learner: arrays in, class codes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from protovine.learn.xuilvq import kernels
from protovine.prototypes import FEATURE_MAX, PrototypeSet


class Prediction(NamedTuple):
    """Class code (-1 without a model) and the share of each class (all 0 without a model)."""

    code: int
    proba: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SetCompression:
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

    def local_prototypes(self) -> PrototypeSet:
        """What the node may tell in its own name: the set, or what of it stands for own samples."""
        ...

    def prototypes(self) -> PrototypeSet:
        """A copy of the set as it stands."""
        ...

    def compressions(self) -> list[SetCompression]:
        """The compressions since this was asked last."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on after a crash."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit this learner, which is then unchanged."""
        ...


def check_vector(x: NDArray[np.float64], dim: int) -> None:
    """``ValueError`` unless ``x`` has shape (dim,)."""
    if x.shape != (dim,):
        raise ValueError(f"a vector must have shape ({dim},), got {x.shape}")


def check_rows(x: NDArray[np.float64], dim: int, missing: bool) -> None:
    """``ValueError`` unless ``x`` (n, dim) is within `FEATURE_MAX`, or NaN where values may be ``missing``."""
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"rows must have shape (n, {dim}), got {x.shape}")
    if not kernels.fits(x, np.zeros(len(x), np.int64), 1, FEATURE_MAX, missing):
        raise ValueError(f"rows must be {'' if missing else 'finite and '}within ±{FEATURE_MAX:g}")


def check_samples(
    x: NDArray[np.float64],
    codes: NDArray[np.int64],
    events_ns: NDArray[np.int64],
    dim: int,
    n_classes: int,
    missing: bool,
) -> None:
    """``ValueError`` unless rows (n, dim) pass `check_rows` and have n codes of classes and n times."""
    n = len(x)
    if codes.shape != (n,) or events_ns.shape != (n,):
        raise ValueError(f"{n} rows need as many codes and times, got {codes.shape} and {events_ns.shape}")
    if x.shape != (n, dim) or not kernels.fits(x, codes, n_classes, FEATURE_MAX, missing):
        check_rows(x, dim, missing)
        raise ValueError(f"codes must be between 0 and {n_classes - 1}, got {codes.min()} to {codes.max()}")
