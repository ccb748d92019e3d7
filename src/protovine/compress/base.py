"""The interface of every compressor, and merging of clusters into centroids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from protovine.errors import ConfigError
from protovine.prototypes import PrototypeSet

# How the weights of a cluster's members become the weight of its centroid.
WEIGHT_RULES = ("sum", "authors")


@dataclass(frozen=True, slots=True)
class CompressionResult:
    """A smaller set, and whether its size is within the compressor's target."""

    prototypes: PrototypeSet
    exact: bool


class Compressor(Protocol):
    """Makes a set smaller and never loses a class. A learner calls it again until its set keeps the limit.

    ``state`` and ``restore`` carry values from one call to the next, such as the starting point of a search.
    """

    def compress(self, prototypes: PrototypeSet, limit: int) -> CompressionResult:
        """A smaller set; ``limit`` is the largest number of prototypes of the learner, which the set exceeds."""
        ...

    def state(self) -> dict[str, Any]:
        """The values to save so that `restore` can continue from them after a restart."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from values that `state` returned."""
        ...


def check_options(low: float, high: float, weights: str) -> None:
    """``ConfigError`` unless 0 < low <= high <= 100 and the weight rule is known."""
    if not 0 < low <= high <= 100:
        raise ConfigError(f"the target size must satisfy 0 < low <= high <= 100 percent, got {low} and {high}")
    if weights not in WEIGHT_RULES:
        raise ConfigError(f"weights must be one of {', '.join(WEIGHT_RULES)}, got '{weights}'")


def by_class(prototypes: PrototypeSet) -> list[NDArray[np.int64]]:
    """For each class that occurs, in ascending order, the positions of its prototypes."""
    return [np.flatnonzero(prototypes.label == code) for code in np.unique(prototypes.label)]


def merge(
    prototypes: PrototypeSet,
    classes: list[NDArray[np.int64]],
    clusters: list[NDArray[np.int64]],
    weights: str = "sum",
) -> PrototypeSet:
    """Each cluster as one prototype at the unweighted mean of its members, with the newest member's event time.

    Parameters
    ----------
    prototypes : PrototypeSet
    classes : list of int arrays
        Positions of each class in the set, as from `by_class`.
    clusters : list of int arrays
        For each class the cluster number, from 0, of each of its members.
    weights : {"sum", "authors"}
        ``"sum"`` adds the members' weights. ``"authors"`` repeats a mistake in the authors' code: it uses positions
        within the class as positions in the whole set, and so adds the weights of other prototypes. The published
        results of test 4 need it, since a winner's weight sets its next learning rate.

    Returns
    -------
    PrototypeSet
        One prototype per cluster, class by class.

    Examples
    --------
    >>> held = PrototypeSet.of(np.array([[0.0], [2.0], [9.0]]), [0, 0, 1], weight=[1.0, 3.0, 1.0])
    >>> merged = merge(held, [np.array([0, 1]), np.array([2])], [np.array([0, 0]), np.array([0])])
    >>> merged.x.tolist(), merged.label.tolist(), merged.weight.tolist()
    ([[1.0], [9.0]], [0, 1], [4.0, 1.0])
    """
    x, label, weight, event_ns = [], [], [], []
    for members, cluster in zip(classes, clusters, strict=True):
        for number in range(cluster.max() + 1):
            within = np.flatnonzero(cluster == number)
            chosen = members[within]
            x.append(prototypes.x[chosen].mean(axis=0))
            label.append(prototypes.label[chosen[0]])
            weight.append(prototypes.weight[within if weights == "authors" else chosen].sum())
            event_ns.append(prototypes.event_ns[chosen].max())
    return PrototypeSet(
        np.array(x), np.array(label), np.array(weight), np.array(event_ns, dtype=np.int64), prototypes.origin
    )
