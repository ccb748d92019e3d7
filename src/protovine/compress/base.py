"""What every compressor promises, and the step that all of them end with: merging clusters into centroids."""

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
    """A smaller set, and whether it met the compressor's target size exactly."""

    prototypes: PrototypeSet
    exact: bool


class Compressor(Protocol):
    """Makes a set smaller and never loses a class.

    ``state`` and ``restore`` carry what one call leaves to the next (such as a search's starting point).
    """

    def compress(self, prototypes: PrototypeSet, limit: int) -> CompressionResult:
        """A set of fewer prototypes; ``limit`` is the size that the learner's set has outgrown."""
        ...

    def state(self) -> dict[str, Any]:
        """What must be kept to go on after a restart."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        ...


def check_options(low: float, high: float, weights: str) -> None:
    """``ConfigError`` unless 0 < low <= high <= 100 and the weight rule is known."""
    if not 0 < low <= high <= 100:
        raise ConfigError(f"the target share must satisfy 0 < low <= high <= 100 percent, got {low} and {high}")
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
    """Each cluster as one prototype at the plain mean of its members, with the newest member's event time.

    Parameters
    ----------
    classes : list of int arrays
        Positions of each class in the set, as from `by_class`.
    clusters : list of int arrays
        For each class the cluster number, from 0, of each of its members.
    weights : {"sum", "authors"}
        ``"sum"`` adds the members' weights. ``"authors"`` repeats a slip in the authors' code: positions within
        the class index the whole set, so that weights of other prototypes are added. Their published fixed points
        of test 4 need it, since a winner's weight sets the next learning rate.
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
