"""Compression of prototype sets: fewer prototypes that represent the same samples.

- `DbscanCompressor`, `KMeansCompressor`: the two methods of the paper (test 4).
- `GreedyCompressor`: merges the pair that costs least, down to exactly the target size.
- `Compressor`: the interface of all compressors; `CompressionResult` is what they return.
- `compressor`: a compressor by name; `merge`: clusters as centroids.
"""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

from protovine.compress.base import CompressionResult, Compressor, merge
from protovine.compress.dbscan import DbscanCompressor
from protovine.compress.greedy import GreedyCompressor
from protovine.compress.kmeans import KMeansCompressor
from protovine.errors import ConfigError, suggest

__all__ = [
    "CompressionResult",
    "Compressor",
    "DbscanCompressor",
    "GreedyCompressor",
    "KMeansCompressor",
    "compressor",
    "merge",
]


def compressor(name: str, **options: Any) -> Compressor:
    """The compressor called ``name``: ``"dbscan"``, ``"kmeans"``, ``"greedy"`` or ``"top-greedy"``.

    Raises
    ------
    ConfigError
        The name is unknown, an option is out of range, or scikit-learn is needed and not installed.

    Examples
    --------
    >>> type(compressor("dbscan", low=50, high=60)).__name__
    'DbscanCompressor'
    """
    makers: dict[str, Callable[..., Compressor]] = {
        "dbscan": DbscanCompressor,
        "kmeans": KMeansCompressor,
        "greedy": GreedyCompressor,
        "top-greedy": partial(GreedyCompressor, top=True),
    }
    if name not in makers:
        raise ConfigError(f"unknown compressor '{name}'{suggest(name, makers)}")
    if name in ("dbscan", "kmeans") and find_spec("sklearn") is None:
        raise ConfigError(
            f"compressor '{name}' needs scikit-learn, which is not in the slim install: pip install protovine"
        )
    return makers[name](**options)
