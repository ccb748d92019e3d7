"""Learners, one per file; kernels apart.

- `HedgedLVQ`: the default learner, a hedged soft LVQ, as a River classifier
- `HedgedLVQCore`: the same over arrays and class codes, as a node runs it
- `XuILVQ`: the paper's incremental LVQ as a River classifier
- `XuILVQCore`: the same over arrays and class codes, as a node runs it
- `ArrayLearner`: what a node needs of any learner
- `ModelLearner`: what it needs of one that shares its whole model: baselines
- `EnsembleCore` over `GaussianBayes` or any classifier of River (`river_core`), `LogisticCore`: such learners
- `AggregatorCore`: the server of prototype-based federated learning
"""

from protovine.learn.base import ArrayLearner, Prediction
from protovine.learn.baselines.aggregator import AggregatorCore
from protovine.learn.baselines.any_river import OwnPickles, river_core
from protovine.learn.baselines.bayes import GaussianBayes
from protovine.learn.baselines.logistic import LogisticCore
from protovine.learn.baselines.models import EnsembleCore, ModelLearner
from protovine.learn.hedged.core import HedgedLVQCore
from protovine.learn.xuilvq.core import XuILVQCore

__all__ = [
    "AggregatorCore",
    "ArrayLearner",
    "EnsembleCore",
    "GaussianBayes",
    "HedgedLVQ",
    "HedgedLVQCore",
    "LogisticCore",
    "ModelLearner",
    "OwnPickles",
    "Prediction",
    "XuILVQ",
    "XuILVQCore",
    "river_core",
]


def __getattr__(name: str) -> object:
    # River takes longer to import than everything else here, and a node does not need it.
    if name in ("HedgedLVQ", "XuILVQ"):
        from protovine.learn import river

        return getattr(river, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
