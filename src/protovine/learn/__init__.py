"""Learners: online classifiers over arrays, and the same as River classifiers.

- `base`: `ArrayLearner`, the interface between a node and its learner, and what it returns; `CarriesOver`, `Forgets`,
  `KnowsSenders` and `ScalesAmounts`, which a learner may be besides; `validate`: checks of its arguments
- `hedged`: `HedgedLVQCore`, the default learner, a hedged soft LVQ
- `xuilvq`: `XuILVQCore`, the paper's incremental LVQ
- `baselines`: `EnsembleCore`, `LogisticCore`, `AggregatorCore`: learners and a server to compare with
- `river`: `HedgedLVQ` and `XuILVQ`, River classifiers, and the `Explanation` of a prediction;
  `classifier`: their base; `encoding`: names and labels to codes
"""

from typing import TYPE_CHECKING

from protovine.learn.base import (
    ArrayLearner,
    CarriesOver,
    Contribution,
    Forgets,
    KnowsSenders,
    Prediction,
    ScalesAmounts,
    SetCompression,
)
from protovine.learn.baselines.aggregator import AggregatorCore
from protovine.learn.baselines.any_river import OwnPickles, river_core
from protovine.learn.baselines.bayes import GaussianBayes
from protovine.learn.baselines.logistic import LogisticCore, Weights
from protovine.learn.baselines.models import EnsembleCore, Model, ModelLearner
from protovine.learn.hedged.core import HedgedLVQCore
from protovine.learn.xuilvq.core import XuILVQCore

if TYPE_CHECKING:
    from protovine.learn.river import Explanation, HedgedLVQ, Reason, XuILVQ

__all__ = [
    "AggregatorCore",
    "ArrayLearner",
    "CarriesOver",
    "Contribution",
    "EnsembleCore",
    "Explanation",
    "Forgets",
    "GaussianBayes",
    "HedgedLVQ",
    "HedgedLVQCore",
    "KnowsSenders",
    "LogisticCore",
    "Model",
    "ModelLearner",
    "OwnPickles",
    "Prediction",
    "Reason",
    "ScalesAmounts",
    "SetCompression",
    "Weights",
    "XuILVQ",
    "XuILVQCore",
    "river_core",
]


def __getattr__(name: str) -> object:
    # River takes longer to import than all other modules here, and a node does not need it.
    if name in ("Explanation", "HedgedLVQ", "Reason", "XuILVQ"):
        from protovine.learn import river

        return getattr(river, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
