"""DBSCAN per class, with a search for the radius that gives the target number of clusters (test 4 of the paper)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.compress.base import CompressionResult, by_class, check_options, merge
from protovine.errors import ConfigError
from protovine.prototypes import PrototypeSet


class DbscanCompressor:
    """Clusters each class separately with DBSCAN and replaces each cluster by its mean.

    With ``min_samples = 1`` no prototype is noise. The radius eps is searched until the number of clusters over all
    classes lies in ``[int(low·size/100), int(high·size/100)]``. The search starts at the radius of the last call,
    multiplies or divides it by 10 until a step crosses the range, and then bisects. On data with many equal distances
    there may be no such radius (the authors' code stops with an error after 100 tries). Then the search returns the
    smaller set that came closest to the range, and `CompressionResult.exact` is false.

    Parameters
    ----------
    low, high : float, 0 < low <= high <= 100
        Target size in percent of the current size. The paper uses 50 to 60, and 72.5 to 77.5 for sets of 500.
    weights : {"sum", "authors"}
        See `protovine.compress.merge`.
    eps : float > 0
        First radius to try.
    tries_max : int >= 1
        Radii to try before the search gives up.

    Raises
    ------
    ConfigError
        An option is out of range.

    References
    ----------
    arXiv 2411.09267, section on clustering; Ester et al., "A density-based algorithm for discovering clusters",
    KDD 1996. With ``min_samples = 1`` the clusters are those of single linkage cut at eps (Gower & Ross 1969), and the
    search counts them in this way.

    Examples
    --------
    >>> line = PrototypeSet.of([[0.0], [0.1], [1.0], [1.1], [2.0], [2.1]], [0, 0, 0, 0, 1, 1])
    >>> DbscanCompressor(50, 60).compress(line, limit=5).prototypes.x.ravel().round(2)
    array([0.05, 1.05, 2.05])
    """

    def __init__(
        self, low: float = 50.0, high: float = 60.0, weights: str = "sum", eps: float = 1e-6, tries_max: int = 100
    ) -> None:
        check_options(low, high, weights)
        if not eps > 0 or tries_max < 1:
            raise ConfigError(f"eps must be > 0 and tries_max >= 1, got {eps} and {tries_max}")
        self.low, self.high, self.weights, self.tries_max = low, high, weights, tries_max
        self._eps = float(eps)

    def compress(self, prototypes: PrototypeSet, limit: int) -> CompressionResult:
        """A set whose size lies in the target range; ``limit`` is not used."""
        from sklearn.cluster import dbscan

        size = len(prototypes)
        classes = by_class(prototypes)
        heights = _linkage_heights(prototypes, classes)
        if not len(heights):  # One prototype per class: nothing can be merged.
            return CompressionResult(prototypes, False)
        eps, exact = self._search(heights, size)
        self._eps = eps
        clusters = [dbscan(prototypes.x[members], eps=eps, min_samples=1)[1] for members in classes]
        return CompressionResult(merge(prototypes, classes, clusters, self.weights), exact)

    def _search(self, heights: NDArray[np.float64], size: int) -> tuple[float, bool]:
        fewest, most = int(self.low * size / 100), int(self.high * size / 100)
        eps, too_small, too_large = self._eps, None, None
        nearest: tuple[int, float] | None = None
        for _ in range(self.tries_max):
            count = size - int(np.searchsorted(heights, eps, side="right"))
            if fewest <= count <= most:
                return eps, True
            miss = max(fewest - count, count - most)
            if count < size and (nearest is None or miss < nearest[0]):
                nearest = (miss, eps)
            if count > most:
                too_small = eps
            else:
                too_large = eps
            if too_small is not None and too_large is not None:
                eps = (too_small + too_large) / 2
            else:
                eps = eps * 10 if count > most else eps / 10
        # No radius that was tried merges anything: take one that merges the nearest pair.
        return (nearest[1], False) if nearest else (float(heights[0]) * (1 + 1e-9), False)

    def state(self) -> dict[str, Any]:
        """The radius of the last call."""
        return {"eps": self._eps}

    def restore(self, state: dict[str, Any]) -> None:
        """Start the next search at the saved radius."""
        self._eps = float(state["eps"])


def _linkage_heights(prototypes: PrototypeSet, classes: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Merge heights of single linkage within each class, ascending; a radius eps merges once per height <= eps."""
    from scipy.cluster.hierarchy import linkage

    heights = [np.zeros(0)]
    for members in classes:
        if len(members) > 1:
            with warnings.catch_warnings():
                # SciPy warns that a small set of integers looks like a distance matrix.
                warnings.simplefilter("ignore")
                heights.append(linkage(prototypes.x[members], method="single")[:, 2])
    return np.sort(np.concatenate(heights))
