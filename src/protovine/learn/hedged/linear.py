"""The linear expert: softmax regression on z-scores, for concepts that a straight line draws best."""

from __future__ import annotations

import numpy as np

from protovine.jit import inner_kernel
from protovine.learn.hedged.experts import LINEAR
from protovine.learn.hedged.state import CONSTANT, FEATURES, WEIGHT, Floats, State

# Larger z-scores are clipped, so that one far value decides neither a vote nor a step.
Z_MAX = 5.0
# One gradient step per sample, constant so that drift is followed.
LEARNING_RATE = 0.05
# The part of its probabilities that is spread over all classes: no loss is infinite.
LINEAR_DOUBT = 0.01


@inner_kernel
def standardise(x: Floats, s: State) -> None:
    """Fill ``z`` with clipped z-scores, 0 for what has not varied yet."""
    n = max(s.scalars[WEIGHT], 1.0)
    for k in range(x.shape[0]):
        deviation = np.sqrt(s.spread[k] / n)
        s.z[k] = 0.0
        if deviation > 0.0:
            s.z[k] = min(max((x[k] - s.mean[k]) / deviation, -Z_MAX), Z_MAX)


@inner_kernel
def linear_vote(x: Floats, s: State) -> None:
    """Fill the linear expert's row of ``proba``, and ``z``."""
    standardise(x, s)
    n_classes, top = s.linear.shape[0], -np.inf
    for c in range(n_classes):
        logit = s.linear[c, CONSTANT]
        for k in range(x.shape[0]):
            logit += s.linear[c, FEATURES + k] * s.z[k]
        s.proba[LINEAR, c] = logit
        top = max(top, logit)
    total = 0.0
    for c in range(n_classes):
        s.proba[LINEAR, c] = np.exp(s.proba[LINEAR, c] - top)
        total += s.proba[LINEAR, c]
    for c in range(n_classes):
        s.proba[LINEAR, c] = (1.0 - LINEAR_DOUBT) * s.proba[LINEAR, c] / total + LINEAR_DOUBT / n_classes


@inner_kernel
def linear_learn(y: int, weight: float, s: State) -> None:
    """One gradient step on the sample that `linear_vote` was asked about last."""
    for c in range(s.linear.shape[0]):
        step = LEARNING_RATE * weight * ((1.0 if c == y else 0.0) - s.proba[LINEAR, c])
        for k in range(s.z.shape[0]):
            s.linear[c, FEATURES + k] += step * s.z[k]
        s.linear[c, CONSTANT] += step
