"""Relevance: how much each feature counts in the Relief metric, by differences to neighbours and by gradient steps."""

from __future__ import annotations

import numpy as np

from protovine.jit import inlined_kernel, inner_kernel
from protovine.lanes import exponential
from protovine.learn.hedged.experts import RELIEF, ROOT, Z_SCORE
from protovine.learn.hedged.recency import root_of
from protovine.learn.hedged.state import GAP, HIT, MISS, SIZE, WEIGHT, Floats, State

# Relief: forgetting per sample, about 500; the largest squared difference that counts, three standard deviations; and
# the weight of features that do not tell classes apart.
RELIEF_DECAY, SQUARE_MAX, RELIEF_WEIGHT_MIN = 0.998, 9.0, 0.001
# Gradient steps: their rate, what a step changes at most in a logarithm, and forgetting per step.
RATE, STEP_MAX, RELEVANCE_DECAY = 0.4, 0.2, 0.999
# A sample whose class had less probability than about this is noise, or of a new concept, and hardly counts.
NOISE = 0.05
# The bandwidth at first, and the least and largest one; the least weight of a feature, as a part of the largest.
BANDWIDTH, BANDWIDTH_LEAST, BANDWIDTH_MOST, PART_MIN = 8.0, 1.0, 2000.0, 0.002
# A prototype this far beyond the nearest one, in exponents of the kernel, has no say.
FAR = 12.0


@inner_kernel
def update_relief(x: Floats, same: int, other: int, s: State) -> None:
    """Add the differences between ``x`` and its nearest prototypes of the same and of another class."""
    for k in range(x.shape[0]):
        variance = s.spread[k] / max(s.scalars[WEIGHT], 1.0)
        if variance > 0.0:
            hit, miss = x[k] - s.x[same, k], x[k] - s.x[other, k]
            s.relief[HIT, k] = s.relief[HIT, k] * RELIEF_DECAY + min(hit * hit / variance, SQUARE_MAX)
            s.relief[MISS, k] = s.relief[MISS, k] * RELIEF_DECAY + min(miss * miss / variance, SQUARE_MAX)


@inlined_kernel
def relief_weight(k: int, s: State) -> float:
    """What feature ``k`` counts by Relief alone."""
    hit, miss = s.relief[HIT, k], s.relief[MISS, k]
    if miss > hit:
        return float(RELIEF_WEIGHT_MIN + ((miss - hit) / (miss + hit)) ** 2)
    return RELIEF_WEIGHT_MIN


@inlined_kernel
def relevance_weight(k: int, s: State) -> float:
    """What feature ``k`` counts in the Relief metric, before the variance."""
    return float(relief_weight(k, s) * np.exp(s.relevance[k]))


@inner_kernel
def learn_relevance(x: Floats, y: int, weight: float, now: int, s: State) -> None:
    """One gradient step on the weights of features in the Relief metric, after `measure` and `update_relief`.

    The loss is -ln(`NOISE` + (1 - `NOISE`) p), where p is the part of class ``y`` in the kernel votes of all prototypes
    in this metric. Its bandwidth is learnt with the weights, and counts nowhere else: experts have their own.
    """
    d = x.shape[0]
    inverse, relief, scaled, total = np.zeros(d), np.zeros(d), np.zeros(d), 0.0
    for k in range(d):
        if s.metric_weight[Z_SCORE, k] > 0.0 and s.spread[k] > 0.0:
            inverse[k] = s.scalars[WEIGHT] / s.spread[k]
            relief[k] = relief_weight(k, s)
            total += relief[k]
    if total <= 0.0:
        return
    relief *= BANDWIDTH / total
    bandwidth = 0.0
    for k in range(d):
        scaled[k] = relief[k] * np.exp(s.relevance[k])
        bandwidth += scaled[k]
    same, other = np.zeros(d), np.zeros(d)
    p = compare(x, y, bandwidth, inverse, now, same, other, s)
    if p < 0.0:
        return
    rate, most, total = RATE * weight * (1.0 - NOISE) * p * (1.0 - p) / (NOISE + (1.0 - NOISE) * p), 0.0, 0.0
    for k in range(d):
        step = rate * scaled[k] * (same[k] - other[k])
        scaled[k] *= np.exp(-min(max(step, -STEP_MAX), STEP_MAX))
        most = max(most, scaled[k])
    for k in range(d):
        if inverse[k] > 0.0:
            scaled[k] = max(scaled[k], PART_MIN * most)
            total += scaled[k]
    # Proportions stay where the sum leaves its limits.
    factor = min(max(total, BANDWIDTH_LEAST), BANDWIDTH_MOST) / total
    for k in range(d):
        s.metric_weight[RELIEF, k] = scaled[k] / total * inverse[k]
        if inverse[k] > 0.0:
            s.relevance[k] = RELEVANCE_DECAY * np.log(scaled[k] * factor / relief[k])


@inner_kernel
def compare(
    x: Floats, y: int, bandwidth: float, inverse: Floats, now: int, same: Floats, other: Floats, s: State
) -> float:
    """The part of class ``y`` in the votes; -1 if all are for it, or none.

    ``same`` and ``other`` get the mean squared differences to the prototypes of this class and of all others, each
    weighed by its vote.
    """
    nearest, of_class, of_others = np.inf, 0.0, 0.0
    for j in range(s.counts[SIZE]):
        nearest = min(nearest, s.distance[j, RELIEF])
    for j in range(s.counts[SIZE]):
        exponent = bandwidth * (s.distance[j, RELIEF] - nearest)
        if not exponent < FAR:
            continue
        mass = s.local[j, ROOT] + s.trust[s.slot[j]] * s.received[j, ROOT]
        vote = mass * root_of(s.event[j], now, s.scalars[GAP]) * exponential(-exponent)
        if s.label[j] == y:
            of_class += vote
            add_squares(x, vote, j, inverse, same, s)
        else:
            of_others += vote
            add_squares(x, vote, j, inverse, other, s)
    if of_class <= 0.0 or of_others <= 0.0:
        return -1.0
    same /= of_class
    other /= of_others
    return of_class / (of_class + of_others)


@inlined_kernel
def add_squares(x: Floats, vote: float, j: int, inverse: Floats, out: Floats, s: State) -> None:
    """Add the squared differences between ``x`` and prototype ``j``, in variances, times its vote."""
    for k in range(x.shape[0]):
        difference = x[k] - s.x[j, k]
        out[k] += vote * min(difference * difference * inverse[k], SQUARE_MAX)
