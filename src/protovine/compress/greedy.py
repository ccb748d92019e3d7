"""Greedy merging of the pair that costs least; it keeps accuracy where clustering by distance alone loses it."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from protovine.compress import kernels
from protovine.compress.base import CompressionResult, check_options
from protovine.errors import ConfigError
from protovine.prototypes import PrototypeSet, inverse_variance


class GreedyCompressor:
    r"""Merges pairs of one class until the set has exactly its target size.

    A pair of one class costs w_i w_j / (w_i + w_j) · Σ_k s_k (x_ik - x_jk)², with weights w and
    feature scales s. The cheapest pair becomes its weighted mean, with the sum of the weights and the newer event time.
    The cost is the growth of the weighted sum of squares (Ward's criterion), so a prototype that represents many
    samples moves little. Ties go to the nearer pair, then to the lowest index. A prototype of weight 0 costs nothing
    and joins the nearest one. One prototype of every class always stays: with more classes than the target,
    `CompressionResult.exact` is false. A set that is small enough is returned unchanged.

    Parameters
    ----------
    low, high : float, 0 < low <= high <= 100
        The target size is the mean of the two, in percent of the limit, rounded; by default exactly the limit.
    weights : {"sum"}
        The only rule that greedy merging supports.
    top : bool
        First keep only the round(sqrt(n·target)) heaviest of the n prototypes, and the heaviest of every class. Each
        other prototype adds its weight and event time to the nearest one of its class that is kept. Then merge. The
        name of this variant is ``"top-greedy"``.
    scale : array-like of shape (d,), optional
        Factors s >= 0 of squared differences. By default 1/variance of each feature, weighted by prototype weights.

    Raises
    ------
    ConfigError
        An option is out of range.

    References
    ----------
    J. H. Ward, "Hierarchical grouping to optimize an objective function", J. Amer. Statist. Assoc. 58, 1963.

    Examples
    --------
    >>> line = PrototypeSet.of([[0.0], [0.3], [1.0], [1.2], [5.0]], [0, 0, 0, 0, 1], weight=[1, 2, 9, 9, 1])
    >>> made = GreedyCompressor().compress(line, limit=4).prototypes
    >>> made.x.ravel().round(2), made.weight
    (array([0.2, 1. , 1.2, 5. ]), array([3., 9., 9., 1.]))
    """

    def __init__(
        self,
        low: float = 100.0,
        high: float = 100.0,
        weights: str = "sum",
        *,
        top: bool = False,
        scale: ArrayLike | None = None,
    ) -> None:
        check_options(low, high, weights)
        if weights != "sum":
            raise ConfigError(f"greedy merging adds weights up: weights must be 'sum', got '{weights}'")
        self.low, self.high, self.top = low, high, top
        self.scale = None if scale is None else np.ascontiguousarray(scale, dtype=np.float64)
        if self.scale is not None and not (
            self.scale.ndim == 1 and np.isfinite(self.scale).all() and (self.scale >= 0).all()
        ):
            raise ConfigError(f"scale must be finite numbers >= 0, one per feature, got {self.scale.tolist()}")

    def compress(self, prototypes: PrototypeSet, limit: int) -> CompressionResult:
        """A set of the target size, with at least one prototype of every class.

        Raises
        ------
        ValueError
            ``scale`` does not have one number per feature.
        """
        target = max(1, round((self.low + self.high) / 200 * limit))
        if len(prototypes) <= target:
            return CompressionResult(prototypes, True)
        scale = inverse_variance(prototypes.x, prototypes.weight) if self.scale is None else self.scale
        if scale.shape != (prototypes.dim,):
            raise ValueError(f"scale must have one number per feature, {prototypes.dim}, got {len(scale)}")
        made = _merged(_top(prototypes, target, scale) if self.top else prototypes, target, scale)
        return CompressionResult(made, len(made) == target)

    def state(self) -> dict[str, Any]:
        """Empty: no value is carried over."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Does nothing: no value is carried over."""


def _merged(prototypes: PrototypeSet, target: int, scale: NDArray[np.float64]) -> PrototypeSet:
    merged = _copy(prototypes)
    kept = kernels.merge_greedily(merged.x, merged.label, merged.weight, merged.event_ns, scale, target)
    return merged.take(kept)


def _top(prototypes: PrototypeSet, target: int, scale: NDArray[np.float64]) -> PrototypeSet:
    """The heaviest prototypes, with the weights and event times of the others added to the nearest."""
    heavy = _copy(prototypes)
    order = np.argsort(-heavy.weight, kind="stable")
    heads = order[np.unique(heavy.label[order], return_index=True)[1]]
    kept = np.zeros(len(heavy), np.bool_)
    kept[heads] = True
    others = order[~kept[order]]
    kept[others[: max(0, round(math.sqrt(len(heavy) * target)) - len(heads))]] = True
    kernels.give_to_nearest(heavy.x, heavy.label, heavy.weight, heavy.event_ns, scale, kept)
    return heavy.take(np.flatnonzero(kept))


def _copy(prototypes: PrototypeSet) -> PrototypeSet:
    """A copy with float64 arrays that kernels may change."""
    return msgspec.structs.replace(
        prototypes,
        x=np.array(prototypes.x, dtype=np.float64, order="C"),
        label=np.ascontiguousarray(prototypes.label),
        weight=prototypes.weight.copy(),
        event_ns=prototypes.event_ns.copy(),
    )
