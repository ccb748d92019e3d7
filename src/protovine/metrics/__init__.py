"""Accuracy and traffic of a run, from its records.

- `predictions`, `NodePredictions`: each node's predictions with their true classes; `pooled`: of all nodes together
- `scores`, `Scores`: F1, accuracy, kappa and others; `f1`, `f1_paper`: one of them, from class codes
- `confusion`, `Confusion`: counts by true and predicted class; `f1_of`: F1 from such counts
- `drift`, `DriftReport`: drift alarms against known drift
- `traffic`, `Traffic`: bytes, messages and prototypes
- `airtime`, `Airtime`: time on the air of a medium that nodes share
- `sliding`, `samples_to`: F1 over time, and how fast it converges
- `by_type`: records grouped by type
"""

from protovine.metrics.airtime import Airtime, airtime
from protovine.metrics.classification import (
    NO_MODEL,
    Confusion,
    NodePredictions,
    Scores,
    confusion,
    f1,
    f1_of,
    f1_paper,
    pooled,
    predictions,
    samples_to,
    scores,
    sliding,
)
from protovine.metrics.drift import TOGETHER as DRIFT_TOGETHER
from protovine.metrics.drift import DriftReport, Episode, drift
from protovine.metrics.grouping import by_type
from protovine.metrics.traffic import PAPER_BYTES_PER_PROTOTYPE, Traffic, traffic

__all__ = [
    "DRIFT_TOGETHER",
    "NO_MODEL",
    "PAPER_BYTES_PER_PROTOTYPE",
    "Airtime",
    "Confusion",
    "DriftReport",
    "Episode",
    "NodePredictions",
    "Scores",
    "Traffic",
    "airtime",
    "by_type",
    "confusion",
    "drift",
    "f1",
    "f1_of",
    "f1_paper",
    "pooled",
    "predictions",
    "samples_to",
    "scores",
    "sliding",
    "traffic",
]
