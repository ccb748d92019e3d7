"""The interface between a node and its learner: arrays in, class codes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from protovine.errors import LocalProtocolError, SnapshotError
from protovine.logscale import LINEAR, LogScales
from protovine.prototypes import PrototypeSet
from protovine.values import shown

# How far the sum of probabilities may be from 1.
_SUM_TOLERANCE = 1e-6


class Prediction(NamedTuple):
    """Class code (-1 without a model) and the probability of each class (all 0 without a model)."""

    code: int
    proba: NDArray[np.float64]


def distribution(made: Prediction, n_classes: int) -> tuple[float, ...]:
    """The probabilities of a prediction, for records; none without a model.

    Raises
    ------
    LocalProtocolError
        The code is no class, or the probabilities are no distribution over the classes: the learner is wrong.

    Examples
    --------
    >>> distribution(Prediction(1, np.array([0.25, 0.75])), 2)
    (0.25, 0.75)
    >>> distribution(Prediction(1, np.array([np.nan, np.nan])), 2)
    Traceback (most recent call last):
    protovine.errors.LocalProtocolError: a learner predicts class 1 with probabilities [nan, nan]: ...
    """
    if made.code == -1:
        return ()
    proba = tuple(made.proba.tolist())
    if 0 <= made.code < len(proba) == n_classes and min(proba) >= 0 and abs(sum(proba) - 1) <= _SUM_TOLERANCE:
        return proba
    raise LocalProtocolError(
        f"a learner predicts class {made.code} with probabilities {shown(list(proba))}: they are no distribution over "
        f"the {n_classes} classes"
    )


@dataclass(frozen=True, slots=True)
class SetCompression:
    """A learner's set was compressed from ``before`` to ``after`` prototypes; ``exact`` if its target was met."""

    before: int
    after: int
    exact: bool


class ArrayLearner(Protocol):
    """An online classifier over float64 vectors of fixed length whose knowledge is a prototype set.

    No method changes its arguments, and every answer is an array that does not change later. Only `learn`,
    `learn_received` and `restore` change what it knows. `protovine.checks.check_learner` tests all promises.
    """

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
        """Codes (n,) for rows (n, d) among which classes need not be as frequent as among local samples."""
        ...

    def likelihood(self, x: NDArray[np.float64], code: int, at_ns: int) -> float:
        """Probability of the class of a sample before it is learnt, from 0 to 1; 0 without a model."""
        ...

    def learn(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> int:
        """Learn rows (n, d) in order; how many of them became prototypes."""
        ...

    def learn_received(self, prototypes: PrototypeSet, origins: NDArray[np.int64]) -> int:
        """Learn prototypes (n) that nodes ``origins`` (n,) sent; how many of them were inserted."""
        ...

    @property
    def recency(self) -> float:
        """The power of age that discounts older samples: 0 is none."""
        ...

    def scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (d,) and standard deviation (d,) of the learnt samples."""
        ...

    def local_prototypes(self) -> PrototypeSet:
        """Prototypes that the node may share as its own: of local samples, or all if it cannot tell them apart."""
        ...

    def prototypes(self) -> PrototypeSet:
        """A copy of the set as it stands."""
        ...

    def compressions(self) -> list[SetCompression]:
        """The compressions since the last call."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on after a crash, as copies of values that `protovine.snapshot.pack` can save."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit this learner, which is then unchanged."""
        ...


@runtime_checkable
class CarriesOver(Protocol):
    """A learner that can go on where features or classes were added."""

    def carry_over(self, state: dict[str, Any], features: NDArray[np.int64], classes: NDArray[np.int64]) -> None:
        """Go on from the ``state`` of a learner whose features and classes are at these places here.

        `SnapshotError` if it does not fit; the learner is then unchanged.
        """
        ...


@runtime_checkable
class ScalesAmounts(Protocol):
    """A learner that has skewed amounts on a logarithmic scale; a log then sends them in steps of that scale."""

    def log_scale(self) -> tuple[LogScales, NDArray[np.float64], NDArray[np.float64]]:
        """Features on a logarithmic scale; mean (d,) and standard deviation (d,) of all features, each on its scale.

        The scales are as `LogScales.of` makes them. Features on no such scale have the mean and deviation of `scale`.
        """
        ...


def scales_of(learner: ArrayLearner) -> tuple[LogScales, NDArray[np.float64], NDArray[np.float64]]:
    """What `ScalesAmounts.log_scale` says; of any other learner that all features are on linear scales."""
    return learner.log_scale() if isinstance(learner, ScalesAmounts) else (LINEAR, *learner.scale())


class Contribution(NamedTuple):
    """What a learner found of a sender's items when it forgot them.

    Parameters
    ----------
    dropped : int
        Prototypes, or models, that were of this sender alone. They are gone.
    reduced : int
        Prototypes that also stand for local samples. The sender's mass is gone; they stay where its items may have
        moved them.
    mixed : int
        Prototypes of this sender that newer items have shaped. They stay, and may stand for older items too.
    items : int
        Items that the learner was offered. Some or all went into sums: moments, linear weights, losses.
        No item can be taken out of a sum.
    """

    dropped: int = 0
    reduced: int = 0
    mixed: int = 0
    items: int = 0


@runtime_checkable
class Forgets(Protocol):
    """A learner that knows which of its knowledge came from which sender."""

    def forget(self, origin: int, since_ns: int, until_ns: int) -> Contribution:
        """Forget the items of a sender with event times from ``since_ns`` to ``until_ns``, as far as that is known."""
        ...


@runtime_checkable
class KnowsSenders(Protocol):
    """A learner that knows from which sender a prototype came, and how far it trusts each; the live page shows both."""

    @property
    def trust(self) -> dict[int, float]:
        """Factor, from 0 to 1, on what each sender says, by its number."""
        ...

    def origins(self) -> NDArray[np.int64]:
        """The sender of each of `prototypes` (m,), in their order; -1 for one of local samples alone."""
        ...


def forget_sender(learner: ArrayLearner, origin: int, since_ns: int, until_ns: int) -> Contribution | None:
    """Let a learner forget a sender's items; None if this kind of learner does not know whose knowledge it has."""
    return learner.forget(origin, since_ns, until_ns) if isinstance(learner, Forgets) else None


def resume(learner: ArrayLearner, saved: Mapping[str, Any]) -> None:
    """Restore the ``learner`` of a node's snapshot, from other ``features`` and ``classes`` if it has their places.

    `SnapshotError` if it does not fit, or this kind of learner cannot do that.
    """
    if "features" not in saved:
        learner.restore(saved["learner"])
    elif isinstance(learner, CarriesOver):
        features, classes = (np.asarray(saved[what], np.int64) for what in ("features", "classes"))
        learner.carry_over(saved["learner"], features, classes)
    else:
        raise SnapshotError("this learner cannot go on with other features or classes")
