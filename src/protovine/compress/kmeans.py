"""k-means per class, the second compression method of the paper (test 4)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from protovine.compress.base import CompressionResult, by_class, check_options, merge
from protovine.errors import check_range
from protovine.prototypes import PrototypeSet


class KMeansCompressor:
    """Replaces each class by k-means centroids, in proportion to its size, and at least one.

    All classes together get ``(low + high)/2`` percent of the limit.

    Parameters
    ----------
    low, high : float, 0 < low <= high <= 100
        Target size in percent of the learner's limit (DBSCAN takes percent of the current size).
    weights : {"sum", "authors"}
        See `protovine.compress.merge`.
    seed : int >= 0
        Seeds k-means++: the same set and seed give the same clusters.

    Raises
    ------
    ConfigError
        An option is out of range.

    References
    ----------
    arXiv 2411.09267, section on clustering; Arthur & Vassilvitskii, "k-means++", SODA 2007 (scikit-learn's KMeans).

    Examples
    --------
    >>> line = PrototypeSet.of([[0.0], [0.1], [1.0], [1.1], [2.0], [2.1]], [0, 0, 0, 0, 1, 1])
    >>> sorted(KMeansCompressor(50, 50).compress(line, limit=6).prototypes.x.ravel().round(2).tolist())
    [0.05, 1.05, 2.05]
    """

    def __init__(self, low: float = 50.0, high: float = 60.0, weights: str = "sum", seed: int = 0) -> None:
        check_options(low, high, weights)
        check_range("seed", seed, 0)
        self.low, self.high, self.weights, self.seed = low, high, weights, seed

    def compress(self, prototypes: PrototypeSet, limit: int) -> CompressionResult:
        """At most ``limit`` prototypes, but at least one of every class."""
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits

        classes = by_class(prototypes)
        target = (self.low + self.high) / 200 * limit
        clusters = []
        # One thread adds in a fixed order, so that one seed gives one result.
        with threadpool_limits(1), warnings.catch_warnings():
            # With fewer distinct points than clusters, k-means warns and returns fewer clusters, as it should.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for members in classes:
                wanted = max(1, round(target * len(members) / len(prototypes)))
                found = KMeans(min(wanted, len(members)), n_init=1, random_state=self.seed).fit(prototypes.x[members])
                clusters.append(np.unique(found.labels_, return_inverse=True)[1])
        made = merge(prototypes, classes, clusters, self.weights)
        return CompressionResult(made, len(made) <= limit)

    def state(self) -> dict[str, Any]:
        """Empty: no value is carried over."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Does nothing: no value is carried over."""
