"""The four metrics: squared distances in closed form from the moments of what was learnt."""

from __future__ import annotations

import numpy as np

from protovine.jit import inlined_kernel, inner_kernel
from protovine.learn.hedged.experts import DISCRIMINANT, FISHER, N_DIAGONAL, N_METRICS, RELIEF, Z_SCORE
from protovine.learn.hedged.gaussian import refresh_gaussians
from protovine.learn.hedged.relevance import relevance_weight
from protovine.learn.hedged.solve import factor, substitute
from protovine.learn.hedged.state import REFRESH_AT, SIZE, STEPS, WEIGHT, Floats, Ints, State

ALL_METRICS = -1

# Moments. Deviations of more than 10 standard deviations move them no further, once 30 samples tell the deviation. The
# part of the mean is a floor for features that have not varied yet.
DEVIATIONS_MAX, CLIP_FROM, CLIP_FLOOR = 10.0, 30.0, 1e-9
# A feature is constant if its variance is below this part of its squared mean, where it may be the rounding of 32-bit
# floats, or below this value, where its inverse would overflow.
VARIANCE_FRACTION_MIN, VARIANCE_MIN = 1e-14, 1e-200
# Within-class variance counts as at least this part of the total, so that no feature drowns all others.
WITHIN_FRACTION_MIN = 1e-3
# Below this sum of weights a metric tells no feature from another, and weighs all equally.
WEIGHT_SUM_MIN = 1e-12
# Discriminant: the least shrinkage of off-diagonals, and what is added to the diagonal so that it can be inverted.
SHRINKAGE_MIN, RIDGE = 0.05, 1e-3
# The metrics are refreshed after each sample while moments have less weight than this,
REFRESH_ALWAYS_BELOW = 20.0
# then whenever the number of samples has grown by a fiftieth, but at least this and at most that often.
REFRESH_GROWTH, REFRESH_STEPS_MIN, REFRESH_STEPS_MAX = 50, 10, 100


@inner_kernel
def measure(x: Floats, metric: int, s: State) -> None:
    """Squared distances from ``x`` to every prototype in one metric, or in all with `ALL_METRICS`."""
    if metric == ALL_METRICS:
        for j in range(s.counts[SIZE]):
            z_score = fisher = relief = 0.0
            for k in range(x.shape[0]):
                square = x[k] - s.x[j, k]
                square *= square
                z_score += s.metric_weight[Z_SCORE, k] * square
                fisher += s.metric_weight[FISHER, k] * square
                relief += s.metric_weight[RELIEF, k] * square
            s.distance[j, Z_SCORE], s.distance[j, FISHER], s.distance[j, RELIEF] = z_score, fisher, relief
    elif metric != DISCRIMINANT:
        for j in range(s.counts[SIZE]):
            total = 0.0
            for k in range(x.shape[0]):
                difference = x[k] - s.x[j, k]
                total += s.metric_weight[metric, k] * difference * difference
            s.distance[j, metric] = total
    if metric in (ALL_METRICS, DISCRIMINANT) and s.scatter.shape[0] > 0:
        measure_discriminant(x, s)


@inner_kernel
def measure_discriminant(x: Floats, s: State) -> None:
    """Squared distances from ``x`` to every prototype between their projections."""
    n_classes = s.discriminant.shape[0]
    projected = np.zeros(n_classes)
    for c in range(n_classes):
        for k in range(x.shape[0]):
            projected[c] += s.discriminant[c, k] * x[k]
    for j in range(s.counts[SIZE]):
        total = 0.0
        for c in range(n_classes):
            difference = projected[c] - s.projected[j, c]
            total += difference * difference
        s.distance[j, DISCRIMINANT] = total


@inlined_kernel
def project(j: int, s: State) -> None:
    """Project prototype ``j`` for the discriminant metric."""
    for c in range(s.discriminant.shape[0]):
        total = 0.0
        for k in range(s.x.shape[1]):
            total += s.discriminant[c, k] * s.x[j, k]
        s.projected[j, c] = total


@inner_kernel
def n_metrics(s: State) -> int:
    """How many metrics are measured: all, or those before the discriminant."""
    return N_METRICS if s.scatter.shape[0] > 0 else DISCRIMINANT


@inner_kernel
def update_moments(x: Floats, y: int, weight: float, s: State) -> None:
    """Welford's update of mean, spread and scatter, in total and of the class; far deviations are clipped."""
    d, before = x.shape[0], s.scalars[WEIGHT]
    s.scalars[WEIGHT] += weight
    s.class_weight[y] += weight
    step = weight / s.scalars[WEIGHT]
    class_step = weight / s.class_weight[y]
    delta, within = np.empty(d), np.empty(d)
    for k in range(d):
        delta[k] = x[k] - s.mean[k]
        if before > CLIP_FROM:
            limit = DEVIATIONS_MAX * np.sqrt(s.spread[k] / before) + CLIP_FLOOR * abs(s.mean[k])
            if limit > 0.0:
                delta[k] = min(max(delta[k], -limit), limit)
        within[k] = s.mean[k] + delta[k] - s.class_mean[y, k]
        s.class_mean[y, k] += class_step * within[k]
        s.class_spread[y, k] += weight * (1.0 - class_step) * within[k] * within[k]
        s.mean[k] += step * delta[k]
        s.spread[k] += weight * (1.0 - step) * delta[k] * delta[k]
    if s.scatter.shape[0] > 0:
        for k in range(d):
            scaled = weight * (1.0 - step) * delta[k]
            for i in range(d):
                s.scatter[k, i] += scaled * delta[i]
    if s.class_scatter.shape[1] > 0:
        for k in range(d):
            scaled = weight * (1.0 - class_step) * within[k]
            for i in range(k):
                s.class_scatter[y, k, i] += scaled * within[i]


@inner_kernel
def refresh_if_due(s: State) -> None:
    """Count a learning step, and refresh the metrics if it is time."""
    s.counts[STEPS] += 1
    if s.counts[STEPS] >= s.counts[REFRESH_AT] or s.scalars[WEIGHT] < REFRESH_ALWAYS_BELOW:
        refresh(s)
        steps = min(max(s.counts[STEPS] // REFRESH_GROWTH, REFRESH_STEPS_MIN), REFRESH_STEPS_MAX)
        s.counts[REFRESH_AT] = s.counts[STEPS] + steps


@inner_kernel
def refresh(s: State) -> None:
    """Compute the metrics from the moments; each is scaled to a mean squared distance of about one."""
    if s.scalars[WEIGHT] <= 0.0:
        return
    usable = varying_features(s)
    s.metric_weight[:] = 0.0
    if usable.shape[0] == 0:
        return
    refresh_diagonal(usable, s)
    refresh_gaussians(usable, s)
    if s.scatter.shape[0] > 0:
        refresh_discriminant(usable, s)


@inner_kernel
def varying_features(s: State) -> Ints:
    """Indices of the features that are not constant."""
    n, usable, found = s.scalars[WEIGHT], np.empty(s.mean.shape[0], np.int64), 0
    for k in range(s.mean.shape[0]):
        if s.spread[k] / n > VARIANCE_FRACTION_MIN * s.mean[k] * s.mean[k] + VARIANCE_MIN:
            usable[found] = k
            found += 1
    return usable[:found]


@inner_kernel
def refresh_diagonal(usable: Ints, s: State) -> None:
    """Feature weights of z-score, Fisher and Relief."""
    sums = np.zeros(N_DIAGONAL)
    for k in usable:
        within = s.spread[k]
        for c in range(s.class_weight.shape[0]):
            within -= s.class_weight[c] * (s.class_mean[c, k] - s.mean[k]) ** 2
        fisher = max(s.spread[k] - within, 0.0) / max(within, WITHIN_FRACTION_MIN * s.spread[k])
        relief = relevance_weight(k, s)
        inverse = s.scalars[WEIGHT] / s.spread[k]
        s.metric_weight[Z_SCORE, k] = inverse
        s.metric_weight[FISHER, k], s.metric_weight[RELIEF, k] = fisher * inverse, relief * inverse
        sums[Z_SCORE] += 1.0
        sums[FISHER] += fisher
        sums[RELIEF] += relief
    for metric in range(N_DIAGONAL):
        for k in usable:
            if sums[metric] > WEIGHT_SUM_MIN:
                s.metric_weight[metric, k] /= sums[metric]
            else:
                s.metric_weight[metric, k] = s.metric_weight[Z_SCORE, k]


@inner_kernel
def refresh_discriminant(usable: Ints, s: State) -> None:
    """Rows S_w^-1 sqrt(pi_c) (mu_c - mu) in z-scores, scaled to a total variance of one; prototypes follow."""
    n_classes, n, d = s.discriminant.shape[0], s.scalars[WEIGHT], usable.shape[0]
    deviation = np.empty(d)
    centred = np.zeros((n_classes, d))
    for i in range(d):
        deviation[i] = np.sqrt(s.spread[usable[i]] / n)
        for c in range(n_classes):
            if s.class_weight[c] > 0.0:
                distance = (s.class_mean[c, usable[i]] - s.mean[usable[i]]) / deviation[i]
                centred[c, i] = np.sqrt(s.class_weight[c] / n) * distance
    total, within = scatter_matrices(usable, deviation, centred, s)
    factor(within)
    for c in range(n_classes):
        substitute(within, centred[c])
    size = 0.0
    for c in range(n_classes):
        for i in range(d):
            for j in range(d):
                size += centred[c, i] * centred[c, j] * total[i, j]
    if not size > WEIGHT_SUM_MIN:
        return
    s.discriminant[:] = 0.0
    for c in range(n_classes):
        for i in range(d):
            s.discriminant[c, usable[i]] = centred[c, i] / deviation[i] / np.sqrt(size)
    for j in range(s.counts[SIZE]):
        project(j, s)


@inner_kernel
def scatter_matrices(usable: Ints, deviation: Floats, centred: Floats, s: State) -> tuple[Floats, Floats]:
    """Covariance of z-scores in total and within classes; the latter has its off-diagonals shrunk."""
    n, d = s.scalars[WEIGHT], usable.shape[0]
    shrinkage = min(1.0, SHRINKAGE_MIN + d / (n + d))
    total = np.empty((d, d))
    within = np.empty((d, d))
    for i in range(d):
        for j in range(d):
            total[i, j] = s.scatter[usable[i], usable[j]] / n / deviation[i] / deviation[j]
            between = 0.0
            for c in range(centred.shape[0]):
                between += centred[c, i] * centred[c, j]
            within[i, j] = (total[i, j] - between) * (1.0 - shrinkage)
        within[i, i] = max(within[i, i] / (1.0 - shrinkage) if shrinkage < 1.0 else 0.0, 0.0) + RIDGE
    if shrinkage >= 1.0:
        for i in range(d):
            within[i, i] = 1.0
    return total, within
