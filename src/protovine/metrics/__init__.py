"""What a trace says of accuracy and traffic.

- `predictions`, `NodePredictions`: each node's predictions with the truth
- `scores`, `f1`, `f1_paper`: accuracy, F1, kappa and the like
- `traffic`, `Traffic`: bytes, messages and prototypes
- `sliding`, `samples_to`: a score over time, and how fast it converges
"""

from protovine.metrics.classification import (
    NodePredictions,
    Scores,
    confusion,
    f1,
    f1_paper,
    pooled,
    predictions,
    samples_to,
    scores,
    sliding,
)
from protovine.metrics.traffic import PAPER_BYTES_PER_PROTOTYPE, Traffic, traffic

__all__ = [
    "PAPER_BYTES_PER_PROTOTYPE",
    "NodePredictions",
    "Scores",
    "Traffic",
    "confusion",
    "f1",
    "f1_paper",
    "pooled",
    "predictions",
    "samples_to",
    "scores",
    "sliding",
    "traffic",
]
