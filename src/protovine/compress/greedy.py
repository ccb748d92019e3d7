"""Greedy merging of the pair that costs least: keeps accuracy where clustering by distance alone loses it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protovine.compress import kernels
from protovine.compress.base import CompressionResult, check_options
from protovine.errors import ConfigError
from protovine.prototypes import PrototypeSet, inverse_variance


class GreedyCompressor:
    r"""Merges pairs of one class until the set has exactly its target size.

    The pair that costs least, :math:`\frac{w_i w_j}{w_i + w_j} \sum_k s_k (x_{ik} - x_{jk})^2`, becomes its weighted
    mean, with the sum of the weights and the newer event time. That is the least growth of the weighted sum of squares
    (Ward's criterion), so what stands for many samples moves little. Ties go to the nearer pair, then to the lowest
    index; a prototype of weight 0 costs nothing and joins the nearest. One of every class always stays: with more
    classes than the target `Compressed.exact` is false. A set that is small enough is given back as it is.

    Parameters
    ----------
    low, high : float, 0 < low <= high <= 100
        The target is the middle of the two, in percent of the limit and rounded: by default exactly the limit. It is
        always met exactly, so there is no band as with DBSCAN.
    weights : {"sum"}
        Greedy merging needs true weights.
    top : bool
        First keep only the round(sqrt(n·target)) heaviest of the n prototypes (and the heaviest of every class), where
        each of the others gives its weight and event time to the nearest one kept of its class; then merge. Called
        ``"top-greedy"``.
    scale : array-like of shape (d,), optional
        s, >= 0: weights of squared differences. By default 1/variance of the set, weighted by weight.

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
            raise ConfigError(f"scale must be finite numbers >= 0, one a feature, got {self.scale.tolist()}")

    def compress(self, prototypes: PrototypeSet, limit: int) -> CompressionResult:
        """The wanted part of ``limit`` prototypes, one of every class; ``ValueError`` if ``scale`` does not fit."""
        target = max(1, round((self.low + self.high) / 200 * limit))
        if len(prototypes) <= target:
            return CompressionResult(prototypes, True)
        scale = inverse_variance(prototypes.x, prototypes.weight) if self.scale is None else self.scale
        if scale.shape != (prototypes.dim,):
            raise ValueError(f"scale must have one number a feature, {prototypes.dim}, got {len(scale)}")
        made = _merged(_top(prototypes, target, scale) if self.top else prototypes, target, scale)
        return CompressionResult(made, len(made) == target)

    def state(self) -> dict[str, Any]:
        """Nothing is carried over."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to do."""


def _merged(prototypes: PrototypeSet, target: int, scale: NDArray[np.float64]) -> PrototypeSet:
    own = _copy(prototypes)
    return own.take(kernels.merge_greedily(own.x, own.label, own.weight, own.event_ns, scale, target))


def _top(prototypes: PrototypeSet, target: int, scale: NDArray[np.float64]) -> PrototypeSet:
    """The heaviest, with what the others stood for."""
    own = _copy(prototypes)
    order = np.argsort(-own.weight, kind="stable")
    heads = order[np.unique(own.label[order], return_index=True)[1]]
    kept = np.zeros(len(own), np.bool_)
    kept[heads] = True
    others = order[~kept[order]]
    kept[others[: max(0, round(math.sqrt(len(own) * target)) - len(heads))]] = True
    kernels.give_to_nearest(own.x, own.label, own.weight, own.event_ns, scale, kept)
    return own.take(np.flatnonzero(kept))


def _copy(prototypes: PrototypeSet) -> PrototypeSet:
    """Float64 arrays that kernels may change."""
    return replace(
        prototypes,
        x=np.array(prototypes.x, dtype=np.float64, order="C"),
        label=np.ascontiguousarray(prototypes.label),
        weight=prototypes.weight.copy(),
        event_ns=prototypes.event_ns.copy(),
    )
