"""Clustering of prototype sets: fewer prototypes that stand for the same samples.

- `DbscanCompressor`, `KMeansCompressor`: the paper's two (test 4)
- `Compressed`: what a compressor gives back
- `compressor`: one by name
"""

from typing import Any

from protovine.compress.base import Compressed, Compressor, merge
from protovine.compress.dbscan import DbscanCompressor
from protovine.compress.kmeans import KMeansCompressor
from protovine.errors import ConfigError, suggest

__all__ = ["Compressed", "Compressor", "DbscanCompressor", "KMeansCompressor", "compressor", "merge"]


def compressor(name: str, **options: Any) -> Compressor:
    """The compressor called ``name``: ``"dbscan"`` or ``"kmeans"``; ``ConfigError`` for another name.

    Examples
    --------
    >>> type(compressor("dbscan", low=50, high=60)).__name__
    'DbscanCompressor'
    """
    makers = {"dbscan": DbscanCompressor, "kmeans": KMeansCompressor}
    if name not in makers:
        raise ConfigError(f"unknown compressor '{name}'{suggest(name, makers)}")
    made: Compressor = makers[name](**options)
    return made
