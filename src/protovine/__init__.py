"""Serverless learning for swarms of devices: nodes learn online and gossip prototypes to their peers.

- `run`, `Experiment`, `Result`: compare systems on a stream, in virtual time
- `HedgedLVQ`: the default learner, as a River classifier; `XuILVQ`: the paper's
- `Node`: one member of a swarm, without I/O
- `PrototypeSet`, `encode_set`, `decode_set`: a set of prototypes, and its bytes
- `DbscanCompressor`, `KMeansCompressor`: fewer prototypes
- `jensen_shannon_kde`: the paper's score of usefulness
- `load_results`, `load_curves`: the results of a sweep, or of a run, as DataFrames
- `load`, `catalog`, `DataSet`: data
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

_WHERE = {
    "DataSet": "protovine.stream",
    "DbscanCompressor": "protovine.compress",
    "Experiment": "protovine.experiments",
    "HedgedLVQ": "protovine.learn",
    "KMeansCompressor": "protovine.compress",
    "Node": "protovine.node",
    "ProtovineError": "protovine.errors",
    "PrototypeSet": "protovine.prototypes",
    "Result": "protovine.experiments",
    "XuILVQ": "protovine.learn",
    "catalog": "protovine.stream",
    "decode_set": "protovine.share",
    "encode_set": "protovine.share",
    "jensen_shannon_kde": "protovine.share",
    "load": "protovine.stream",
    "load_curves": "protovine.experiments",
    "load_results": "protovine.experiments",
    "run": "protovine.experiments.experiment",
}

if TYPE_CHECKING:
    from protovine.compress import DbscanCompressor, KMeansCompressor
    from protovine.errors import ProtovineError
    from protovine.experiments import Experiment, Result, load_curves, load_results
    from protovine.experiments.experiment import run
    from protovine.learn import HedgedLVQ, XuILVQ
    from protovine.node import Node
    from protovine.prototypes import PrototypeSet
    from protovine.share import decode_set, encode_set, jensen_shannon_kde
    from protovine.stream import DataSet, catalog, load

# Written out, as type checkers read it.
__all__ = [
    "DataSet",
    "DbscanCompressor",
    "Experiment",
    "HedgedLVQ",
    "KMeansCompressor",
    "Node",
    "PrototypeSet",
    "ProtovineError",
    "Result",
    "XuILVQ",
    "__version__",
    "catalog",
    "decode_set",
    "encode_set",
    "jensen_shannon_kde",
    "load",
    "load_curves",
    "load_results",
    "run",
]


def __getattr__(name: str) -> object:
    # Names are imported on first use, so that `protovine --help` answers at once.
    if name == "checks":
        return importlib.import_module("protovine.checks")
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
