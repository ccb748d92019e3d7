"""A normal distribution for each class, from its moments: naive Bayes, and the quadratic discriminant."""

from __future__ import annotations

import numpy as np

from protovine.jit import inner_kernel
from protovine.learn.hedged.experts import CORRELATED, INDEPENDENT, N_GAUSSIANS, Z_SCORE
from protovine.learn.hedged.solve import factor, invert_factor
from protovine.learn.hedged.state import WEIGHT, Floats, Ints, State

# Samples of the total variance that every class has before its first, and what is added so that no variance is 0.
VARIANCE_PRIOR, VARIANCE_RIDGE = 3.0, 1e-3
# The part of the probabilities that is spread over all classes.
GAUSSIAN_DOUBT = 0.02
# Samples of each class that are added to the recent labels.
GAUSSIAN_LABEL_PRIOR = 0.5


@inner_kernel
def refresh_gaussians(usable: Ints, s: State) -> None:
    """Compute means, variances and whitening matrices of all classes, in z-scores of the ``usable`` features."""
    n, d = s.scalars[WEIGHT], usable.shape[0]
    deviation = np.sqrt(s.spread / n)
    s.class_z[:], s.class_precision[:] = 0.0, 0.0
    for c in range(s.class_weight.shape[0]):
        weight = s.class_weight[c]
        if weight <= 0.0:
            continue
        s.log_det[INDEPENDENT, c] = 0.0
        for k in usable:
            s.class_z[c, k] = (s.class_mean[c, k] - s.mean[k]) / deviation[k]
            variance = variance_of(s.class_spread[c, k] / deviation[k] ** 2, weight)
            s.class_precision[c, k] = 1.0 / variance
            s.log_det[INDEPENDENT, c] += np.log(variance)
        if s.class_scatter.shape[1] > 0:
            covariance = np.zeros((d, d))
            for i in range(d):
                for j in range(i):
                    # At least the divisor of the variances: a smaller one makes strong correlations larger than 1.
                    scale = deviation[usable[i]] * deviation[usable[j]]
                    covariance[i, j] = (
                        s.class_scatter[c, usable[i], usable[j]] / scale / (weight + max(d, VARIANCE_PRIOR))
                    )
                covariance[i, i] = 1.0 / s.class_precision[c, usable[i]]
            factor(covariance)
            s.whitening[c] = 0.0
            invert_factor(covariance, s.whitening[c])
            s.log_det[CORRELATED, c] = 0.0
            for i in range(d):
                s.log_det[CORRELATED, c] += 2.0 * np.log(covariance[i, i])


@inner_kernel
def variance_of(squares: float, weight: float) -> float:
    """Variance in z-scores from a sum of squares over samples of ``weight``."""
    return (squares + VARIANCE_PRIOR) / (weight + VARIANCE_PRIOR) + VARIANCE_RIDGE


@inner_kernel
def gaussian_vote(first: int, s: State) -> None:
    """Fill rows ``first`` and after of the pool's inputs; needs `linear_vote`, which leaves z-scores."""
    kinds = N_GAUSSIANS if s.class_scatter.shape[1] > 0 else 1
    usable = np.flatnonzero(s.metric_weight[Z_SCORE] > 0.0)  # As of the last refresh.
    if usable.shape[0] == 0:
        s.inputs[first : first + N_GAUSSIANS] = 1.0
        return
    top = np.full(N_GAUSSIANS, -np.inf)
    difference = np.empty(usable.shape[0])
    for c in range(s.class_weight.shape[0]):
        if s.class_precision[c, usable[0]] <= 0.0:  # Not known at the last refresh.
            s.inputs[first : first + kinds, c] = -np.inf
            continue
        independent = correlated = 0.0
        for i in range(usable.shape[0]):
            k = usable[i]
            difference[i] = s.z[k] - s.class_z[c, k]
            independent += s.class_precision[c, k] * difference[i] * difference[i]
            if kinds == N_GAUSSIANS:
                whitened = 0.0
                for j in range(i + 1):
                    whitened += s.whitening[c, i, j] * difference[j]
                correlated += whitened * whitened
        prior = np.log(s.recent_labels[c] + GAUSSIAN_LABEL_PRIOR)
        s.inputs[first + INDEPENDENT, c] = prior - 0.5 * (independent + s.log_det[INDEPENDENT, c])
        top[INDEPENDENT] = max(top[INDEPENDENT], s.inputs[first + INDEPENDENT, c])
        if kinds == N_GAUSSIANS:
            s.inputs[first + CORRELATED, c] = prior - 0.5 * (correlated + s.log_det[CORRELATED, c])
            top[CORRELATED] = max(top[CORRELATED], s.inputs[first + CORRELATED, c])
    for kind in range(kinds):
        normalise(s.inputs[first + kind], top[kind])


@inner_kernel
def normalise(row: Floats, top: float) -> None:
    """Turn log densities, of which ``top`` is the largest, into probabilities."""
    total = 0.0
    for c in range(row.shape[0]):
        row[c] = np.exp(row[c] - top)
        total += row[c]
    for c in range(row.shape[0]):
        row[c] = (1.0 - GAUSSIAN_DOUBT) * row[c] / total + GAUSSIAN_DOUBT / row.shape[0]
