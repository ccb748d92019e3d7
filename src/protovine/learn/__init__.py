"""Learners, one per file; kernels apart.

- `XuILVQ`: the paper's incremental LVQ as a River classifier
- `XuILVQCore`: the same over arrays and class codes, as a node runs it
- `ArrayLearner`: what a node needs of any learner
"""

from protovine.learn.base import ArrayLearner, Prediction
from protovine.learn.xuilvq import XuILVQCore

__all__ = ["ArrayLearner", "Prediction", "XuILVQ", "XuILVQCore"]


def __getattr__(name: str) -> object:
    # River takes longer to import than everything else here, and a node does not need it.
    if name == "XuILVQ":
        from protovine.learn.river import XuILVQ

        return XuILVQ
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
