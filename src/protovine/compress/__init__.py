"""Clustering of prototype sets: fewer prototypes that stand for the same samples.

- `DbscanCompressor`, `KMeansCompressor`: the paper's two (test 4)
- `Compressed`: what a compressor gives back
- `compressor`: one by name
"""

from protovine.compress.base import Compressed, Compressor, compressor, merge
from protovine.compress.dbscan import DbscanCompressor
from protovine.compress.kmeans import KMeansCompressor

__all__ = ["Compressed", "Compressor", "DbscanCompressor", "KMeansCompressor", "compressor", "merge"]
