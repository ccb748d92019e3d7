"""Jensen-Shannon divergence of two prototype sets: the authors' kernel estimate and a leave-one-out estimate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protovine.prototypes import PrototypeSet
from protovine.share import jensen_shannon_kernels as kernels

# The authors draw about 1000·2^(D/2)·(sum of ranges)/(2D) points; on wide or unscaled data that is millions.
POINTS_MAX = 20_000
POINTS_MIN = 100


def jensen_shannon_kde(
    a: PrototypeSet, b: PrototypeSet, rng: np.random.Generator, points_max: int = POINTS_MAX
) -> float:
    r"""Jensen-Shannon distance in [0, 1] (base 2, the root of the divergence) between the densities of two sets.

    Each set's rows (features, label) get a kernel density: Epanechnikov kernel, bandwidth n^(-1/(D+4)) (Scott's
    factor, as scikit-learn's ``bandwidth="scott"``), D = d + 1. Both are evaluated on points drawn uniformly from the
    joint bounding box, scaled to sum 1, and compared as discrete distributions. This is the paper's estimate. It is
    slow and biased: features are not scaled, and the points miss narrow densities in many dimensions. A density that
    is 0 at every point gives 1, the limit for sparse hits.

    Parameters
    ----------
    a, b : PrototypeSet
        Sets of the same dimension, with at least one prototype each; weights are ignored.
    rng : numpy Generator
        Draws the points.
    points_max : int >= 1
        Upper bound on the number of points (the authors have none).

    Raises
    ------
    ValueError
        A set is empty or the dimensions differ.

    References
    ----------
    arXiv 2411.09267, section on the usefulness of prototypes; J. Lin, IEEE Trans. Inf. Theory, 1991.

    Examples
    --------
    >>> a = PrototypeSet.of([[0.0], [0.1]], [0, 0])
    >>> b = PrototypeSet.of([[0.9], [1.0]], [1, 1])
    >>> jensen_shannon_kde(a, a, np.random.default_rng(0)), jensen_shannon_kde(a, b, np.random.default_rng(0)) > 0.5
    (0.0, True)
    """
    _check(a, b)
    rows_a, rows_b = _rows(a), _rows(b)
    low = np.minimum(rows_a.min(axis=0), rows_b.min(axis=0))
    high = np.maximum(rows_a.max(axis=0), rows_b.max(axis=0))
    points = low + rng.random((point_count(high - low, points_max), len(low))) * (high - low)
    # The widest dimensions first: the grid over them rules out most points.
    order = np.argsort(-np.concatenate([rows_a, rows_b]).var(axis=0), kind="stable")
    sets = np.ascontiguousarray(rows_a[:, order]), np.ascontiguousarray(rows_b[:, order])
    distance = kernels.jensen_shannon_distance(points, order, low, high, *sets, _scott(rows_a), _scott(rows_b))
    return float(distance)


def jensen_shannon_loo(a: PrototypeSet, b: PrototypeSet) -> float:
    r"""Jensen-Shannon divergence in [0, 1] (base 2; the distance is its root) between the distributions of two sets.

    The divergence is 1 bit minus the entropy of a prototype's set given the prototype. The probability q of the set
    of prototype i is estimated from the other prototypes (leave one out), and

    ::

        JSD = max(0, 1 + Σ_i w_i log2(q_i) / 2)
        q_i = (own_i + e_i) / (a_i + b_i + 2 e_i)
        e_i = 0.05 (a_i + b_i + w_i)

    where the weights w sum to 1 in each set, and a_i, b_i are sums of w_j exp(-r_ij² / 2σ²) over
    the prototypes of i's class in either set but i; own is the sum of i's set. Distances are in units of the weighted
    deviation within set and class, feature by feature (within the class where it is 0). The result is the largest of
    the estimates for σ² = 4 max(1, d/4) 2^-g, g = 0..6, and for q from diagonal linear discriminants within each
    class, also without i: up to chance, each is a lower bound. Sets without a common class have 1.

    Parameters
    ----------
    a, b : PrototypeSet
        Sets of the same dimension, with at least one prototype each. Prototypes of weight 0 do not count, unless all
        weights of a set are 0: then all count equally.

    Raises
    ------
    ValueError
        A set is empty or the dimensions differ.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> a, b = (PrototypeSet.of(draw.normal(size=(100, 2)), np.zeros(100)) for _ in range(2))
    >>> far = PrototypeSet.of(a.x + 9, a.label)
    >>> jensen_shannon_loo(a, b) < 0.05, jensen_shannon_loo(a, far) > 0.95
    (True, True)
    """
    _check(a, b)
    if set(a.label.tolist()).isdisjoint(b.label.tolist()):
        return 1.0
    weight_a, weight_b = _normalised(a.weight), _normalised(b.weight)
    label = np.concatenate([a.label, b.label])
    side = np.repeat(np.arange(2), [len(a), len(b)])
    weight = np.concatenate([weight_a, weight_b])
    # By class, then side, without weights of 0.
    order = np.argsort(2 * label + side, kind="stable")
    order = order[weight[order] > 0]
    x = np.concatenate([a.x, b.x]).astype(np.float64)
    return float(kernels.jensen_shannon_loo(x[order], label[order], side[order], weight[order]))


def _check(a: PrototypeSet, b: PrototypeSet) -> None:
    if not len(a) or not len(b) or a.dim != b.dim:
        raise ValueError(
            f"both sets need prototypes of one dimension, got {len(a)} of {a.dim} and {len(b)} of {b.dim} features"
        )


def _normalised(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights that sum to 1; equal if all are 0."""
    if not weight.any():
        return np.full(len(weight), 1.0 / len(weight))
    # Relative to the largest first: a sum of huge weights would overflow.
    scaled = weight / weight.max()
    normalised: NDArray[np.float64] = scaled / scaled.sum()
    return normalised


def point_count(ranges: NDArray[np.float64], points_max: int = POINTS_MAX) -> int:
    """Number of points to draw from a box with these side lengths."""
    dims = len(ranges)
    wanted = 1000.0 * 2.0 ** (dims / 2) * float(ranges.sum()) / (2 * dims)
    return int(min(max(wanted, POINTS_MIN), points_max))


def _rows(prototypes: PrototypeSet) -> NDArray[np.float64]:
    return np.column_stack([prototypes.x.astype(np.float64), prototypes.label.astype(np.float64)])


def _scott(rows: NDArray[np.float64]) -> float:
    return float(len(rows) ** (-1.0 / (rows.shape[1] + 4)))
