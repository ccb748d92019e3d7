"""Averaged one-dependence estimators: features depend on the class and on one of them, each of them in turn.

Webb, Boughton & Wang, "Not so naive Bayes: aggregating one-dependence estimators", Machine Learning 58, 2005. Here
values count by the bin of their z-score, and counts are forgotten.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from protovine.jit import inlined_kernel, inner_kernel
from protovine.learn.hedged.experts import BY_DEPENDENCE, Z_SCORE
from protovine.learn.hedged.gaussian import GAUSSIAN_DOUBT, GAUSSIAN_LABEL_PRIOR
from protovine.learn.hedged.pairs import Counts, block
from protovine.learn.hedged.state import PAIRS_AGE, Ints, State

# Where bins of z-scores end, by their number: a normal distribution fills all of them equally. The number is odd, so
# that a value near the mean stays in the middle bin while the mean moves.
EDGES = np.full((8, 6), np.inf)
EDGES[3, :2] = -0.4307272993, 0.4307272993
EDGES[5, :4] = -0.8416212336, -0.2533471031, 0.2533471031, 0.8416212336
EDGES[7] = -1.0675705239, -0.5659488219, -0.1800123698, 0.1800123698, 0.5659488219, 1.0675705239
# Samples of each value that come before the first one.
VALUE_PRIOR = 0.3
# Counts are forgotten by this per learnt sample, about 1000. New samples count more instead, until they count this
# much; then all are divided by that.
PAIRS_DECAY, PAIRS_UNIT_MAX = 0.999, 1e6

block_of = inlined_kernel(block)
Feature = int | np.signedinteger[Any]


@inner_kernel
def bins_of(s: State) -> Ints:
    """The bin of each feature of the sample whose z-scores are in ``z``."""
    bins = np.zeros(s.z.shape[0], np.int64)
    for k in range(s.z.shape[0]):
        for i in range(s.pairs.shape[2] - 1):
            if s.z[k] >= EDGES[s.pairs.shape[2], i]:
                bins[k] += 1
    return bins


@inlined_kernel
def count_of(a: Feature, value: int, b: Feature, other: int, counts: Counts) -> float:
    """How often feature ``a`` had its bin ``value`` together with ``other`` of feature ``b``, in a class."""
    first, second = int(a), int(b)
    return float(
        counts[block_of(first, second), value, other] if a >= b else counts[block_of(second, first), other, value]
    )


@inner_kernel
def dependence_vote(s: State) -> None:
    """Fill the row of the pool's inputs; needs `standardise`, which leaves z-scores."""
    usable = np.flatnonzero(s.metric_weight[Z_SCORE] > 0.0)  # As of the last refresh.
    row, bins, top = s.inputs[BY_DEPENDENCE], bins_of(s), 0.0
    n_bins, scale = s.pairs.shape[2], np.exp(-s.scalars[PAIRS_AGE])
    for c in range(row.shape[0]):
        counts, class_total, row[c] = s.pairs[c], 0.0, 0.0
        for v in range(n_bins if usable.shape[0] > 0 else 0):
            class_total += count_of(usable[0], v, usable[0], v, counts)
        for a in usable:
            seen = count_of(a, bins[a], a, bins[a], counts) * scale
            inverse = 1.0 / (seen + VALUE_PRIOR * n_bins)
            product = seen + VALUE_PRIOR
            for b in usable:
                if b != a:
                    product *= (count_of(a, bins[a], b, bins[b], counts) * scale + VALUE_PRIOR) * inverse
            row[c] += product
        row[c] *= (s.recent_labels[c] + GAUSSIAN_LABEL_PRIOR) / (class_total * scale + VALUE_PRIOR * n_bins)
        top += row[c]
    for c in range(row.shape[0]):
        row[c] = (1.0 - GAUSSIAN_DOUBT) * row[c] / top + GAUSSIAN_DOUBT / row.shape[0] if top > 0.0 else 1.0


@inner_kernel
def dependence_learn(y: int, weight: float, s: State) -> None:
    """Count the sample whose z-scores `standardise` left."""
    if s.pairs.shape[1] == 0:
        return
    bins, unit = bins_of(s), weight * np.exp(s.scalars[PAIRS_AGE])
    for a in range(bins.shape[0]):
        for b in range(a + 1):
            s.pairs[y, block_of(a, b), bins[a], bins[b]] += unit
    s.scalars[PAIRS_AGE] -= weight * np.log(PAIRS_DECAY)
    if s.scalars[PAIRS_AGE] > np.log(PAIRS_UNIT_MAX):
        s.pairs[:] *= np.exp(-s.scalars[PAIRS_AGE])
        s.scalars[PAIRS_AGE] = 0.0
