"""Learners, one per file; kernels apart.

- `HedgedLVQ`: the default learner, a hedged soft LVQ, as a River classifier
- `HedgedLVQCore`: the same over arrays and class codes, as a node runs it
- `XuILVQ`: the paper's incremental LVQ as a River classifier
- `XuILVQCore`: the same over arrays and class codes, as a node runs it
- `ArrayLearner`: what a node needs of any learner
"""

from protovine.learn.base import ArrayLearner, Prediction
from protovine.learn.hedged import HedgedLVQCore
from protovine.learn.xuilvq import XuILVQCore

__all__ = ["ArrayLearner", "HedgedLVQ", "HedgedLVQCore", "Prediction", "XuILVQ", "XuILVQCore"]


def __getattr__(name: str) -> object:
    # River takes longer to import than everything else here, and a node does not need it.
    if name in ("HedgedLVQ", "XuILVQ"):
        from protovine.learn import river

        return getattr(river, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
