"""Expected gain: how much better a peer would predict the sender's newest samples with the sender's prototypes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protovine.prototypes import PrototypeSet, inverse_variance
from protovine.share import gain_kernels as kernels

# The newest labelled local samples that count.
WINDOW_MAX = 100
# Least weight of a prototype whose nearest neighbour has the same class, and of any other.
WEIGHT_CONFIRMED, WEIGHT_UNCONFIRMED = 2.0, 5.0


def expected_gain(
    prototypes: PrototypeSet,
    known: PrototypeSet | None,
    window_x: NDArray[np.float64],
    window_label: NDArray[np.int64],
    scale: ArrayLike | None = None,
) -> float:
    """Accuracy, in [-1, 1], that ``prototypes`` add to ``known`` on the sender's newest labelled samples.

    The gain is the accuracy of the nearest neighbour in both sets minus that in ``known`` only (0 without ``known``).
    Ties go to known prototypes, then to the lowest position. The peer's real gain depends on its learner; of the
    scores tried, this one ranks sets best, far ahead of distances between densities.

    Parameters
    ----------
    prototypes : PrototypeSet
        The set to send, or its trusted part (`filtered`).
    known : PrototypeSet or None
        Prototypes that the peer has, as far as the sender knows.
    window_x : float64 array, shape (k, d)
        Local samples, oldest first; the last 100 count. Without samples the gain is 0.
    window_label : int64 array, shape (k,)
        Their class codes.
    scale : array-like of shape (d,), optional
        Weights of squared differences, >= 0. By default 1/variance of those samples.

    Raises
    ------
    ValueError
        Shapes do not fit together, or ``scale`` is negative or not finite.

    Examples
    --------
    >>> window_x, window_label = np.array([[0.0], [0.2], [0.9], [1.0]]), np.array([0, 0, 1, 1])
    >>> peer = PrototypeSet.of([[0.1]], [0])
    >>> expected_gain(PrototypeSet.of([[1.1]], [1]), peer, window_x, window_label)
    0.5
    """
    if window_x.ndim != 2 or window_label.shape != (len(window_x),):
        raise ValueError(f"samples must have shapes (k, d) and (k,), got {window_x.shape} and {window_label.shape}")
    if not len(window_x):
        return 0.0
    dim = window_x.shape[1]
    for each in (prototypes, known):
        if each is not None and each.dim != dim:
            raise ValueError(f"prototypes and samples must have equally many features, got {each.dim} and {dim}")
    x = np.ascontiguousarray(window_x[-WINDOW_MAX:], dtype=np.float64)
    y = np.ascontiguousarray(window_label[-WINDOW_MAX:], dtype=np.int64)
    held = PrototypeSet.empty(dim) if known is None else known
    without, together = kernels.correct(
        x,
        y,
        _columns(held),
        np.ascontiguousarray(held.label),
        _columns(prototypes),
        np.ascontiguousarray(prototypes.label),
        _scale(scale, x),
    )
    return float((together - without) / len(y))


def filtered(prototypes: PrototypeSet, scale: ArrayLike | None = None) -> PrototypeSet:
    """The trusted prototypes, in their order.

    A prototype is trusted if its weight is at least 5, or at least 2 if the nearest other prototype of the set (the
    first of equally near ones) has its class.

    Parameters
    ----------
    scale : array-like of shape (d,), optional
        Weights of squared differences, >= 0. By default 1/variance of the prototypes.

    Raises
    ------
    ValueError
        ``scale`` has another shape, is negative or not finite.

    Examples
    --------
    >>> own = PrototypeSet.of([[0.0], [0.1], [0.15], [0.3]], [0, 0, 1, 1], weight=[3, 1, 4, 5])
    >>> filtered(own).weight
    array([3., 5.])
    """
    agrees = np.zeros(len(prototypes), np.bool_)
    kernels.confirmed(_columns(prototypes), np.ascontiguousarray(prototypes.label), _scale(scale, prototypes.x), agrees)
    weight = prototypes.weight
    return prototypes.take(np.flatnonzero((weight >= WEIGHT_UNCONFIRMED) | (agrees & (weight >= WEIGHT_CONFIRMED))))


def _columns(prototypes: PrototypeSet) -> NDArray[np.float64]:
    """Vectors as (d, n), the layout that the kernels read."""
    return np.ascontiguousarray(prototypes.x.T, dtype=np.float64)


def _scale(scale: ArrayLike | None, rows: NDArray[np.floating]) -> NDArray[np.float64]:
    if scale is None:
        return inverse_variance(rows)
    given = np.ascontiguousarray(scale, dtype=np.float64)
    if given.shape != (rows.shape[1],) or not np.isfinite(given).all() or (given < 0).any():
        raise ValueError(f"scale must be {rows.shape[1]} finite numbers >= 0, got {given.tolist()}")
    return given
