"""Numba kernels of the hedged soft LVQ over flat arrays; callers guarantee shapes, capacity and finiteness.

One learner is a `State` of arrays plus its `Options`, so that a kernel takes everything as arguments. What the method
does and why: `docs/learner.md`. Masses and event times decide by recency; times are compared in units of ``gap``, the
mean time between own samples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Metrics: 1/variance, Fisher, Relief, and the rows of linear discriminant analysis.
N_METRICS, Z_SCORE, FISHER, RELIEF, DISCRIMINANT = 4, 0, 1, 2, 3
# Bandwidths of a metric: 2, 8, 32, 128, 512. Each is the fourth power of the one before, so one exponential does.
N_BANDWIDTHS, BANDWIDTH_MIN = 5, 2.0
# Recency: masses count as they are, by age**-1/2, by age**-1.
N_RECENCIES = 3
# Votes: raw; corrected to recent label frequencies; that with own mass only.
N_VARIANTS, RAW, CORRECTED, OWN = 3, 0, 1, 2
N_GROUPS = N_METRICS * N_BANDWIDTHS
LINEAR = N_GROUPS * N_RECENCIES * N_VARIANTS
N_EXPERTS = LINEAR + 1
# Positions in ``counts``.
SIZE, STEPS, OWN_SAMPLES, RECEIVED_HELD, BEST_METRIC, BEST_EXPERT, FRESH, REFRESH_AT = range(8)
REFUSED, ABSORBED, INSERTED = -1, 0, 1
OWN_SLOT = 0

DOUBT = 0.25  # Samples that are spread over all classes in every vote.
_AGE_LEAST = 0.2  # Age of what was touched just now, in gaps.
_WEAK = 1e-5  # A kernel value whose fourth power no longer matters.
_SPREAD_MAX = 10.0  # Deviations beyond this many standard deviations move the moments no further.
_LINEAR_SPREAD = 5.0
_OWN_FIRST = 8  # Own samples that make a range; what others sent before is then looked at again.
_BURST = 30.0  # Items that a sender may bring at once.
_COST_FLOOD = 0.002  # Evidence that an item too many costs its sender, in nats.
# A sender of whose recent items more than this part is far out of range is broken; a few are in the nature of things.
_FAR_MAX, _FAR_RATE = 0.25, 0.05
_WEIGHT_MAX = 100.0  # Samples that a received prototype can stand for.
_ABSURD = 10.0  # So many times further, an item is refused whoever sends it.
_EVIDENCE_MAX = 20.0
# Logistic functions of a sender's evidence in nats: what its mass counts, and what it may do to moments and experts.
_TRUST_PRIOR, _TRUST_STEEPNESS, _PROOF_NEEDED = 2.0, 5.0, 0.2
_TRUST_DOUBT = 0.3  # Samples that are spread over all classes in votes by which senders are judged.
_RATE_LEAST = 0.02  # A prototype moves by at least this part of the way to what it absorbs.
_LABEL_DECAY, _RELIEF_DECAY = 0.998, 0.998
_LINEAR_RATE = 0.05
_RARE_MAX = 3.0  # A sample of a rare class counts so many times more, at most, where classes are judged as if even.
_TIE = 1e-9  # Losses that differ by less differ by rounding: the first expert of them is the best.


class Options(NamedTuple):
    """Parameters of the method; see `HedgedLVQCore`."""

    margin: float
    hedge_decay: float
    hedge_received: float
    received_fraction_max: float
    range_max: float
    received_per_local_max: float
    trusting: bool
    even: int  # The variant of votes from which own label frequencies can be divided out.


class State(NamedTuple):
    """Arrays of one learner: ``cap`` prototypes, ``d`` features, ``C`` classes, ``S`` senders (0: the node)."""

    x: NDArray  # (cap, d)
    label: NDArray  # (cap,)
    slot: NDArray  # (cap,) sender of the foreign mass
    event: NDArray  # (cap,) ns, newest sample that shaped it
    own: NDArray  # (cap, 3) mass of own samples for each recency, decayed until ``event``
    received: NDArray  # (cap, 3) mass of received ones
    projected: NDArray  # (cap, C) x in the rows of the discriminant metric
    counts: NDArray  # (8,) see positions above
    clock: NDArray  # (3,) ns: newest own event, newest event, time of the last prediction
    gap: NDArray  # (1,) ns
    n: NDArray  # (1,) weight behind the moments
    mean: NDArray  # (d,)
    variance: NDArray  # (d,) sums of squared deviations
    scatter: NDArray  # (d, d), or (0, 0) where the features are too many
    class_n: NDArray  # (C,)
    class_mean: NDArray  # (C, d)
    own_low: NDArray  # (d,)
    own_high: NDArray  # (d,)
    relief: NDArray  # (2, d) squared differences to the nearest prototype of the same and of another class
    weight: NDArray  # (3, d) diagonal metrics
    rows: NDArray  # (C, d) discriminant metric
    linear: NDArray  # (C, d + 1) softmax regression on z-scores
    active: NDArray  # (experts,) which ones take part
    loss: NDArray  # (experts,)
    even_loss: NDArray  # (groups * 3,) loss of votes among classes made equally frequent
    recent: NDArray  # (C,) own labels, forgotten slowly
    evidence: NDArray  # (S,) what a sender's mass was worth on own samples, in nats
    trust: NDArray  # (S,) what its mass counts
    proven: NDArray  # (S,) what it may do to moments, weights of experts and the linear one
    offered: NDArray  # (S,) items that it offered; at 0 what a member of the swarm has to offer
    bucket: NDArray  # (S,) items it may still bring
    far: NDArray  # (S,) part of its recent items that was far out of range
    # What the last prediction left for learning and for explanations.
    asked: NDArray  # (d,)
    z: NDArray  # (d,) clipped z-scores of it
    table: NDArray  # (experts, C)
    hedge: NDArray  # (experts,)
    total: NDArray  # (groups, 3, 3) vote of each expert before smoothing
    effective: NDArray  # (groups, 3, 3) samples that stand behind it
    ratio: NDArray  # (6, C) corrections of raw and of own votes for each recency
    sender_votes: NDArray  # (S, C) at the best expert, untrusted
    distance: NDArray  # (cap, 4)


@njit(cache=True)
def ages(now, event, gap, least):
    """Time from ``event`` to ``now`` in gaps, plus ``least``; 1 while no gap is known."""
    if gap <= 0.0:
        return 1.0
    return least + max(now - event, 0) / gap


@njit(cache=True)
def project(s, j):
    """Bring prototype ``j`` into the rows of the discriminant metric."""
    for c in range(s.rows.shape[0]):
        total = 0.0
        for k in range(s.x.shape[1]):
            total += s.rows[c, k] * s.x[j, k]
        s.projected[j, c] = total


@njit(cache=True)
def measure(x, s, metric):
    """Distances from ``x`` to every prototype in one metric, or in all where ``metric`` is -1."""
    d, n_classes, m = x.shape[0], s.rows.shape[0], s.counts[SIZE]
    if metric == -1:
        for j in range(m):
            a = b = r = 0.0
            for k in range(d):
                z = x[k] - s.x[j, k]
                z *= z
                a += s.weight[0, k] * z
                b += s.weight[1, k] * z
                r += s.weight[2, k] * z
            s.distance[j, Z_SCORE], s.distance[j, FISHER], s.distance[j, RELIEF] = a, b, r
    elif metric != DISCRIMINANT:
        for j in range(m):
            total = 0.0
            for k in range(d):
                z = x[k] - s.x[j, k]
                total += s.weight[metric, k] * z * z
            s.distance[j, metric] = total
    if (metric == -1 or metric == DISCRIMINANT) and s.scatter.shape[0] > 0:
        at = np.zeros(n_classes)
        for c in range(n_classes):
            for k in range(d):
                at[c] += s.rows[c, k] * x[k]
        for j in range(m):
            total = 0.0
            for c in range(n_classes):
                z = at[c] - s.projected[j, c]
                total += z * z
            s.distance[j, DISCRIMINANT] = total


@njit(cache=True)
def smoothed(table, k, total, effective, n_classes):
    """Turn a vote of ``effective`` samples into probabilities, with `DOUBT` more samples spread over all classes."""
    if total <= 0.0:
        for c in range(n_classes):
            table[k, c] = 1.0 / n_classes
        return
    for c in range(n_classes):
        table[k, c] = (effective * table[k, c] / total + DOUBT / n_classes) / (effective + DOUBT)


@njit(cache=True)
def linear_vote(x, s):
    """Probabilities of the linear expert: softmax regression on clipped z-scores."""
    d, n_classes, n = x.shape[0], s.rows.shape[0], max(s.n[0], 1.0)
    for k in range(d):
        deviation = np.sqrt(s.variance[k] / n)
        s.z[k] = 0.0
        if deviation > 0.0:
            s.z[k] = min(max((x[k] - s.mean[k]) / deviation, -_LINEAR_SPREAD), _LINEAR_SPREAD)
    top = -np.inf
    for c in range(n_classes):
        logit = s.linear[c, d]
        for k in range(d):
            logit += s.linear[c, k] * s.z[k]
        s.table[LINEAR, c] = logit
        top = max(top, logit)
    total = 0.0
    for c in range(n_classes):
        s.table[LINEAR, c] = np.exp(s.table[LINEAR, c] - top)
        total += s.table[LINEAR, c]
    for c in range(n_classes):
        s.table[LINEAR, c] = 0.99 * s.table[LINEAR, c] / total + 0.01 / n_classes


@njit(cache=True)
def linear_learn(y, weight, s):
    """One gradient step of the linear expert on the sample that it voted for last."""
    d = s.z.shape[0]
    for c in range(s.rows.shape[0]):
        step = _LINEAR_RATE * weight * ((1.0 if c == y else 0.0) - s.table[LINEAR, c])
        for k in range(d):
            s.linear[c, k] += step * s.z[k]
        s.linear[c, d] += step


@njit(cache=True)
def nearest_distance(s, n_metrics):
    """The distance to the nearest prototype in each metric, inf in those that are left out."""
    nearest = np.full(N_METRICS, np.inf)
    for j in range(s.counts[SIZE]):
        for metric in range(n_metrics):
            nearest[metric] = min(nearest[metric], s.distance[j, metric])
    return nearest


@njit(cache=True)
def masses(s, j, now, g):
    """Fill ``g``: total and own mass of prototype ``j`` for each recency now; untrusted foreign mass is returned."""
    age = ages(now, s.event[j], s.gap[0], _AGE_LEAST)
    half = 1.0 / np.sqrt(age)
    trust = s.trust[s.slot[j]]
    g[3] = s.own[j, 0]
    g[4] = s.own[j, 1] * half
    g[5] = s.own[j, 2] * half * half
    f0 = s.received[j, 0]
    f1 = s.received[j, 1] * half
    f2 = s.received[j, 2] * half * half
    g[0] = g[3] + trust * f0
    g[1] = g[4] + trust * f1
    g[2] = g[5] + trust * f2
    return f0, f1, f2


@njit(cache=True)
def predict(x, now, s, o, out):
    """Fill ``out`` with class probabilities at time ``now``; the winner's code, or -1 without any prototype."""
    n_classes, m = s.rows.shape[0], s.counts[SIZE]
    s.asked[:], s.clock[2] = x, now
    s.counts[FRESH] = 1
    s.sender_votes[:] = 0.0
    if m == 0:
        s.table[:] = 1.0 / n_classes
        s.z[:] = 0.0
        out[:] = 0.0
        return -1
    measure(x, s, -1)
    n_metrics = N_METRICS if s.scatter.shape[0] > 0 else DISCRIMINANT
    nearest = nearest_distance(s, n_metrics)
    best = s.counts[BEST_EXPERT]
    best_group, best_recency = best // N_VARIANTS // N_RECENCIES, best // N_VARIANTS % N_RECENCIES
    vote = np.zeros((N_GROUPS, n_classes, 6))
    square = np.zeros((N_GROUPS, 6))
    mass = np.zeros((n_classes, 6))
    g, q = np.zeros(6), np.zeros(6)
    for j in range(m):
        f0, f1, f2 = masses(s, j, now, g)
        for i in range(3):
            q[i] = g[i] * g[i] / g[0] if g[0] > 0.0 else 0.0
            q[3 + i] = g[3 + i] * g[3 + i] / g[3] if g[3] > 0.0 else 0.0
        c = s.label[j]
        for i in range(6):
            mass[c, i] += g[i]
        received = f0 if best_recency == 0 else (f1 if best_recency == 1 else f2)
        for metric in range(n_metrics):
            e = np.exp(-BANDWIDTH_MIN * (s.distance[j, metric] - nearest[metric]))
            for bandwidth in range(N_BANDWIDTHS):
                group = metric * N_BANDWIDTHS + bandwidth
                for i in range(6):
                    vote[group, c, i] += g[i] * e
                    square[group, i] += q[i] * e * e
                if group == best_group and received > 0.0:
                    s.sender_votes[s.slot[j], c] += received * e
                if e < _WEAK:
                    break
                e *= e
                e *= e
    labels = 0.0
    for c in range(n_classes):
        labels += s.recent[c]
    for i in range(6):
        total = 0.0
        for c in range(n_classes):
            total += mass[c, i]
        for c in range(n_classes):
            s.ratio[i, c] = 0.0
            if mass[c, i] > 0.0:
                s.ratio[i, c] = (s.recent[c] + 0.5) / (labels + 0.5 * n_classes) * total / mass[c, i]
    least = np.inf
    for k in range(N_EXPERTS):
        if s.active[k]:
            least = min(least, s.loss[k])
    for c in range(n_classes):
        out[c] = 0.0
    hedges = 0.0
    for group in range(n_metrics * N_BANDWIDTHS):
        for recency in range(N_RECENCIES):
            first = (group * N_RECENCIES + recency) * N_VARIANTS
            for variant in range(N_VARIANTS):
                k = first + variant
                i = recency + 3 if variant == OWN else recency
                total = sum_ = 0.0
                for c in range(n_classes):
                    v = vote[group, c, i]
                    sum_ += v
                    if variant != RAW:
                        v *= s.ratio[i, c]
                    s.table[k, c] = v
                    total += v
                effective = 0.0
                if square[group, i] > 0.0:
                    effective = sum_ * sum_ / square[group, i]
                s.total[group, recency, variant], s.effective[group, recency, variant] = total, effective
                smoothed(s.table, k, total, effective, n_classes)
                s.hedge[k] = 0.0
                if s.active[k]:
                    s.hedge[k] = np.exp(least - s.loss[k])
                    hedges += s.hedge[k]
                    for c in range(n_classes):
                        out[c] += s.hedge[k] * s.table[k, c]
    linear_vote(x, s)
    s.hedge[LINEAR] = 0.0
    if s.active[LINEAR]:
        s.hedge[LINEAR] = np.exp(least - s.loss[LINEAR])
        hedges += s.hedge[LINEAR]
        for c in range(n_classes):
            out[c] += s.hedge[LINEAR] * s.table[LINEAR, c]
    winner = 0
    for c in range(n_classes):
        out[c] /= hedges
        if out[c] > out[winner]:
            winner = c
    for k in range(N_EXPERTS):
        s.hedge[k] /= hedges
    return winner


@njit(cache=True)
def balanced(s, o, out):
    """After `predict`: fill ``out`` with probabilities as if all classes were equally frequent, from all mass."""
    n_classes = s.rows.shape[0]
    least = np.inf
    for i in range(s.even_loss.shape[0]):
        if s.active[i * N_VARIANTS + o.even]:
            least = min(least, s.even_loss[i])
    out[:] = 0.0
    for i in range(s.even_loss.shape[0]):
        k = i * N_VARIANTS + o.even
        if s.active[k]:
            weight = np.exp(least - s.even_loss[i])
            for c in range(n_classes):
                out[c] += weight * s.table[k, c]
    total = 0.0
    for c in range(n_classes):
        out[c] /= s.recent[c] + 0.5
        total += out[c]
    for c in range(n_classes):
        out[c] = out[c] / total if total > 0.0 else 1.0 / n_classes


@njit(cache=True)
def influence(x, now, s, o, out):
    """After `predict`: fill ``out`` with what each prototype adds to the probability of its class."""
    n_metrics = N_METRICS if s.scatter.shape[0] > 0 else DISCRIMINANT
    m = s.counts[SIZE]
    nearest = nearest_distance(s, n_metrics)
    g = np.zeros(6)
    for j in range(m):
        masses(s, j, now, g)
        c = s.label[j]
        out[j] = 0.0
        for metric in range(n_metrics):
            e = np.exp(-BANDWIDTH_MIN * (s.distance[j, metric] - nearest[metric]))
            for bandwidth in range(N_BANDWIDTHS):
                group = metric * N_BANDWIDTHS + bandwidth
                for recency in range(N_RECENCIES):
                    for variant in range(N_VARIANTS):
                        total = s.total[group, recency, variant]
                        if total > 0.0:
                            i = recency + 3 if variant == OWN else recency
                            part = g[i] * e * (1.0 if variant == RAW else s.ratio[i, c]) / total
                            effective = s.effective[group, recency, variant]
                            k = (group * N_RECENCIES + recency) * N_VARIANTS + variant
                            out[j] += s.hedge[k] * part * effective / (effective + DOUBT)
                if e < _WEAK:
                    break
                e *= e
                e *= e


@njit(cache=True)
def update_moments(x, y, weight, s):
    """Welford's update of mean, scatter and class means, with far deviations clipped."""
    d, before = x.shape[0], s.n[0]
    s.n[0] += weight
    s.class_n[y] += weight
    step = weight / s.n[0]
    delta = np.empty(d)
    for k in range(d):
        delta[k] = x[k] - s.mean[k]
        if before > 30.0:
            limit = _SPREAD_MAX * np.sqrt(s.variance[k] / before) + 1e-9 * abs(s.mean[k])
            if limit > 0.0:
                delta[k] = min(max(delta[k], -limit), limit)
        s.class_mean[y, k] += weight / s.class_n[y] * (s.mean[k] + delta[k] - s.class_mean[y, k])
        s.mean[k] += step * delta[k]
        s.variance[k] += weight * (1.0 - step) * delta[k] * delta[k]
    if s.scatter.shape[0] > 0:
        for k in range(d):
            a = weight * (1.0 - step) * delta[k]
            for i in range(d):
                s.scatter[k, i] += a * delta[i]


@njit(cache=True)
def update_range(x, s):
    """Range of the own samples, which decides what is plausible from others."""
    for k in range(x.shape[0]):
        if s.counts[OWN_SAMPLES] == 1:
            s.own_low[k] = s.own_high[k] = x[k]
        s.own_low[k], s.own_high[k] = min(s.own_low[k], x[k]), max(s.own_high[k], x[k])


@njit(cache=True)
def in_range(x, s, reach):
    """Whether every feature that varies at home lies within ``reach`` times its own range beyond that."""
    reach *= 1.0 + _OWN_FIRST / s.counts[OWN_SAMPLES]
    for k in range(x.shape[0]):
        width = s.own_high[k] - s.own_low[k]
        if width > 0.0 and not s.own_low[k] - reach * width <= x[k] <= s.own_high[k] + reach * width:
            return False
    return True


@njit(cache=True)
def review(s, o):
    """Judge by the own range, now that it is known, what was taken before: what is absurd or from a broken sender goes.

    Whether there was any; moments start anew from the other prototypes then, and distances are to be measured again.
    """
    brought = np.zeros(s.far.shape[0])
    for j in range(s.counts[SIZE]):
        if s.own[j, 0] <= 0.0:
            brought[s.slot[j]] += 1.0
            s.far[s.slot[j]] += 0.0 if in_range(s.x[j], s, o.range_max) else 1.0
    for sender in range(1, brought.shape[0]):
        s.far[sender] /= max(brought[sender], 1.0)
        weigh(sender, s)
    before = s.counts[SIZE]
    for j in range(before - 1, -1, -1):
        broken = s.far[s.slot[j]] > _FAR_MAX or not in_range(s.x[j], s, _ABSURD * o.range_max)
        if s.own[j, 0] <= 0.0 and broken:
            s.counts[RECEIVED_HELD] -= 1
            last = s.counts[SIZE] - 1
            s.x[j], s.label[j], s.slot[j], s.event[j] = s.x[last], s.label[last], s.slot[last], s.event[last]
            s.own[j], s.received[j], s.projected[j] = s.own[last], s.received[last], s.projected[last]
            s.counts[SIZE] = last
    if s.counts[SIZE] == before:
        return False
    for array in (s.n, s.mean, s.variance, s.class_n, s.loss, s.even_loss):
        array[:] = 0.0
    for table in (s.scatter, s.class_mean, s.relief, s.linear, s.rows):
        table[:] = 0.0
    for j in range(s.counts[SIZE]):
        update_moments(s.x[j], s.label[j], s.own[j, 0] + s.received[j, 0], s)
    refresh(s)
    return True


@njit(cache=True)
def refresh(s):
    """Make the metrics anew from the moments: each is normalised to a mean squared distance of about one."""
    d, n_classes, n = s.mean.shape[0], s.rows.shape[0], s.n[0]
    if n <= 0.0:
        return
    within = np.empty(d)
    usable = np.zeros(d, np.int64)
    n_usable = 0
    for k in range(d):
        within[k] = s.variance[k]
        for c in range(n_classes):
            within[k] -= s.class_n[c] * (s.class_mean[c, k] - s.mean[k]) ** 2
        # Below the first limit a spread is rounding, below the second its inverse would overflow.
        if s.variance[k] / n > 1e-10 * s.mean[k] * s.mean[k] + 1e-200:
            usable[n_usable] = k
            n_usable += 1
    s.weight[:] = 0.0
    if n_usable == 0:
        return
    sums = np.zeros(3)
    for i in range(n_usable):
        k = usable[i]
        inverse = n / s.variance[k]
        fisher = max(s.variance[k] - within[k], 0.0) / max(within[k], 1e-3 * s.variance[k])
        hit, miss = s.relief[0, k], s.relief[1, k]
        relief = 0.001
        if miss > hit:
            relief += ((miss - hit) / (miss + hit)) ** 2
        s.weight[0, k], s.weight[1, k], s.weight[2, k] = inverse, fisher * inverse, relief * inverse
        sums[0] += 1.0
        sums[1] += fisher
        sums[2] += relief
    for metric in range(3):
        for i in range(n_usable):
            k = usable[i]
            if sums[metric] > 1e-12:
                s.weight[metric, k] /= sums[metric]
            else:
                s.weight[metric, k] = s.weight[0, k]
    if s.scatter.shape[0] > 0:
        refresh_discriminant(s, usable[:n_usable])


@njit(cache=True)
def refresh_discriminant(s, usable):
    """Rows S_w^-1 sqrt(pi_c) (mu_c - mu) in z-space, off-diagonals shrunk, normalised to a total variance of one."""
    n_classes, n, d = s.rows.shape[0], s.n[0], usable.shape[0]
    deviation = np.empty(d)
    centred = np.zeros((n_classes, d))
    for i in range(d):
        deviation[i] = np.sqrt(s.variance[usable[i]] / n)
        for c in range(n_classes):
            if s.class_n[c] > 0.0:
                distance = (s.class_mean[c, usable[i]] - s.mean[usable[i]]) / deviation[i]
                centred[c, i] = np.sqrt(s.class_n[c] / n) * distance
    shrink = min(1.0, 0.05 + d / (n + d))
    total = np.empty((d, d))
    within = np.empty((d, d))
    for i in range(d):
        for j in range(d):
            total[i, j] = s.scatter[usable[i], usable[j]] / n / deviation[i] / deviation[j]
            between = 0.0
            for c in range(n_classes):
                between += centred[c, i] * centred[c, j]
            within[i, j] = (total[i, j] - between) * (1.0 - shrink)
        within[i, i] = max(within[i, i] / (1.0 - shrink) if shrink < 1.0 else 0.0, 0.0) + 1e-3
    if shrink >= 1.0:
        for i in range(d):
            within[i, i] = 1.0
    solved = np.linalg.solve(within, np.ascontiguousarray(centred.T))
    size = 0.0
    for c in range(n_classes):
        for i in range(d):
            for j in range(d):
                size += solved[i, c] * solved[j, c] * total[i, j]
    if not size > 1e-12:
        return
    s.rows[:] = 0.0
    for c in range(n_classes):
        for i in range(d):
            s.rows[c, usable[i]] = solved[i, c] / deviation[i] / np.sqrt(size)
    for j in range(s.counts[SIZE]):
        project(s, j)


@njit(cache=True)
def weigh(sender, s):
    """From a sender's evidence to what its mass counts and what it may do to moments and experts."""
    s.evidence[sender] = max(s.evidence[sender], -_EVIDENCE_MAX)
    if s.far[sender] > _FAR_MAX:
        s.trust[sender] = s.proven[sender] = 0.0
        return
    s.trust[sender] = 1.0 / (1.0 + np.exp(-(_TRUST_PRIOR + _TRUST_STEEPNESS * s.evidence[sender])))
    s.proven[sender] = 1.0 / (1.0 + np.exp(-_TRUST_STEEPNESS * (s.evidence[sender] - _PROOF_NEEDED)))


@njit(cache=True)
def update_trust(y, s):
    """Judge every sender by what its mass adds to the best expert's probability of the true class ``y``."""
    n_classes = s.rows.shape[0]
    best = s.counts[BEST_EXPERT]
    variant = best % N_VARIANTS
    recency = best // N_VARIANTS % N_RECENCIES
    group = best // N_VARIANTS // N_RECENCIES
    total, effective = s.total[group, recency, variant], s.effective[group, recency, variant]
    if total <= 0.0 or effective <= 0.0:
        return
    prior = _TRUST_DOUBT
    for sender in range(1, s.trust.shape[0]):
        votes = 0.0
        for c in range(n_classes):
            if variant == CORRECTED:
                s.sender_votes[sender, c] *= s.ratio[recency, c]
            votes += s.sender_votes[sender, c]
        if votes <= 0.0:
            continue
        with_all = without_all = with_y = without_y = 0.0
        for c in range(n_classes):
            vote = max((s.table[best, c] * (effective + DOUBT) - DOUBT / n_classes) / effective * total, 0.0)
            ablate = max(vote - s.trust[sender] * s.sender_votes[sender, c], 0.0)
            with_all += ablate + s.sender_votes[sender, c]
            without_all += ablate
            if c == y:
                with_y, without_y = ablate + s.sender_votes[sender, c], ablate
        gain = np.log((with_y + prior / n_classes) / (with_all + prior))
        gain -= np.log((without_y + prior / n_classes) / (without_all + prior))
        s.evidence[sender] = 0.995 * s.evidence[sender] + min(max(gain, -1.0), 1.0)
        weigh(sender, s)


@njit(cache=True)
def judge_experts(y, weight, decay, s, o):
    """Charge every expert for its probability of the true class, and find the best ones.

    The metric is chosen as if classes were equally frequent: where one is rare, almost any metric tells of the others.
    """
    least = np.inf
    for k in range(N_EXPERTS):
        if s.active[k]:
            s.loss[k] = decay * s.loss[k] - weight * np.log(s.table[k, y])
            if k < LINEAR and k % N_VARIANTS != OWN and s.loss[k] < least - _TIE:
                least = s.loss[k]
                s.counts[BEST_EXPERT] = k
    n_classes = s.rows.shape[0]
    labels = 0.0
    for c in range(n_classes):
        labels += s.recent[c] + 0.5
    rarity = min(labels / n_classes / (s.recent[y] + 0.5), _RARE_MAX)
    kept = 1.0 - (1.0 - decay) * min(rarity, 1.0)
    # With a single class there is nothing to discriminate: all distances are 0, and no sample would be kept.
    discriminates = s.rows.any()
    least = np.inf
    for i in range(s.even_loss.shape[0]):
        k = i * N_VARIANTS + o.even
        if not s.active[k]:
            continue
        total = 0.0
        for c in range(n_classes):
            total += s.table[k, c] / (s.recent[c] + 0.5)
        share = s.table[k, y] / (s.recent[y] + 0.5) / total
        s.even_loss[i] = kept * s.even_loss[i] - rarity * weight * np.log(share)
        metric = i // (N_BANDWIDTHS * N_RECENCIES)
        if s.even_loss[i] < least - _TIE and (metric != DISCRIMINANT or discriminates):
            least = s.even_loss[i]
            s.counts[BEST_METRIC] = metric


@njit(cache=True)
def refill(s, o):
    """A member of the swarm has one more sample to offer, so every sender may bring another."""
    s.offered[OWN_SLOT] += 1
    for sender in range(1, s.bucket.shape[0]):
        s.bucket[sender] = min(s.bucket[sender] + o.received_per_local_max, _BURST)


@njit(cache=True)
def takes(x, slot, s, o):
    """Whether a sender may bring an item now, and what it may do to moments and experts."""
    s.offered[slot] += 1
    ahead = 0
    for sender in range(1, s.offered.shape[0]):
        ahead += s.offered[sender] > s.offered[OWN_SLOT]
    if ahead > 1 and 2 * ahead >= s.offered.shape[0]:  # Most have more samples than this node.
        refill(s, o)
    known = s.counts[OWN_SAMPLES] >= _OWN_FIRST
    flood = s.bucket[slot] < 1.0
    near = not known or in_range(x, s, o.range_max)
    if flood:
        s.evidence[slot] -= _COST_FLOOD
    elif known:
        s.far[slot] += _FAR_RATE * ((0.0 if near else 1.0) - s.far[slot])
    weigh(slot, s)
    if flood or s.far[slot] > _FAR_MAX or (known and not in_range(x, s, _ABSURD * o.range_max)):
        return False, 0.0
    s.bucket[slot] -= 1.0
    if s.counts[OWN_SAMPLES] == 0:  # Nothing to judge by and nothing to lose.
        return True, s.trust[slot]
    return True, s.proven[slot] if known and near else 0.0


@njit(cache=True)
def tick(event, s):
    """Take note of an own sample's time; the gap is a mean over about a hundred own samples."""
    own = s.counts[OWN_SAMPLES]
    if own > 0:
        s.gap[0] += max(1.0 / own, 0.01) * (max(event - s.clock[0], 0) - s.gap[0])
    s.clock[0] = max(event, s.clock[0])
    s.counts[OWN_SAMPLES] += 1


@njit(cache=True)
def learn(x, y, event, slot, weight, s, o, scratch):
    """Learn a sample: an own one (slot 0) or a received one.

    `INSERTED` as a prototype, `ABSORBED` by the nearest of its class, or `REFUSED`.
    """
    own = slot == OWN_SLOT
    proven = 1.0
    if own:
        if s.counts[FRESH] == 0 or s.clock[2] != event or not np.array_equal(x, s.asked):
            predict(x, event, s, o, scratch)
        tick(event, s)
        if s.counts[SIZE] > 0:
            if o.trusting:
                update_trust(y, s)
            judge_experts(y, 1.0, o.hedge_decay, s, o)
        for c in range(s.recent.shape[0]):
            s.recent[c] *= _LABEL_DECAY
        s.recent[y] += 1.0
        update_range(x, s)
        if o.trusting and s.counts[OWN_SAMPLES] == _OWN_FIRST and review(s, o):
            predict(x, event, s, o, scratch)
        if s.counts[OWN_SAMPLES] > s.offered[OWN_SLOT]:
            refill(s, o)
    else:
        if o.trusting:
            taken, proven = takes(x, slot, s, o)
            if not taken:
                return REFUSED
            weight = min(weight, _WEIGHT_MAX)
        if o.hedge_received > 0.0 and s.counts[SIZE] > 0 and proven > 0.5:
            predict(x, max(s.clock[0], event), s, o, scratch)
            judge_experts(y, proven * o.hedge_received, 1.0, s, o)
        else:
            measure(x, s, s.counts[BEST_METRIC])
            linear_vote(x, s)
    s.counts[FRESH] = 0
    s.clock[1] = max(s.clock[1], event)
    if proven > 0.05:
        # A merged prototype tells nothing of the spread around it, so it counts as one sample here.
        update_moments(x, y, min(weight, 1.0) * proven, s)
        linear_learn(y, min(weight, 1.0) * proven, s)
    same, other = nearest_two(y, s)
    if same >= 0 and other >= 0 and proven > 0.5:
        update_relief(x, same, other, s)
    done = place(x, y, event, slot, weight, same, other, s, o)
    s.counts[STEPS] += 1
    if s.counts[STEPS] >= s.counts[REFRESH_AT] or s.n[0] < 20.0:
        refresh(s)
        s.counts[REFRESH_AT] = s.counts[STEPS] + min(max(s.counts[STEPS] // 50, 10), 100)
    return done


@njit(cache=True)
def nearest_two(y, s):
    """Nearest prototype of class ``y`` and nearest of another, -1 for none, in the best metric."""
    metric = s.counts[BEST_METRIC]
    same = other = -1
    for j in range(s.counts[SIZE]):
        if s.label[j] == y:
            if same < 0 or s.distance[j, metric] < s.distance[same, metric]:
                same = j
        elif other < 0 or s.distance[j, metric] < s.distance[other, metric]:
            other = j
    return same, other


@njit(cache=True)
def update_relief(x, same, other, s):
    """Which features differ to the nearest of another class more than to the nearest of the same."""
    for k in range(x.shape[0]):
        variance = s.variance[k] / max(s.n[0], 1.0)
        if variance > 0.0:
            hit, miss = x[k] - s.x[same, k], x[k] - s.x[other, k]
            s.relief[0, k] = s.relief[0, k] * _RELIEF_DECAY + min(hit * hit / variance, 9.0)
            s.relief[1, k] = s.relief[1, k] * _RELIEF_DECAY + min(miss * miss / variance, 9.0)


@njit(cache=True)
def place(x, y, event, slot, weight, same, other, s, o):
    """Absorb the sample into its nearest prototype if the margin is wide, else insert it, for which one may leave."""
    metric, own = s.counts[BEST_METRIC], slot == OWN_SLOT
    # What only others vouch for absorbs nothing until the own range tells whether it is plausible.
    unknown = o.trusting and same >= 0 and s.own[same, 0] <= 0.0 and s.counts[OWN_SAMPLES] < _OWN_FIRST
    if same >= 0 and not unknown:
        near = np.sqrt(s.distance[same, metric])
        far = np.sqrt(s.distance[other, metric]) if other >= 0 else 0.0
        if near < 1e-6 or (other >= 0 and far - near >= o.margin * (far + near)):
            absorb(x, event, slot, weight, same, s, o)
            return ABSORBED
    j = room(own, slot, s, o)
    if j < 0:
        return REFUSED
    s.x[j] = x
    s.label[j], s.event[j], s.slot[j] = y, event, slot
    s.own[j] = weight if own else 0.0
    s.received[j] = 0.0 if own else weight
    if not own:
        s.counts[RECEIVED_HELD] += 1
    if s.scatter.shape[0] > 0:
        project(s, j)
    return INSERTED


@njit(cache=True)
def absorb(x, event, slot, weight, j, s, o):
    """Add mass to prototype ``j`` and move it; received samples move only what has no own mass."""
    own = slot == OWN_SLOT
    newest = max(event, s.event[j])
    fade = 1.0 / np.sqrt(max(ages(newest, s.event[j], s.gap[0], 0.0), 1.0))
    late = 1.0 / np.sqrt(max(ages(newest, event, s.gap[0], 0.0), 1.0))
    s.own[j, 1] *= fade
    s.own[j, 2] *= fade * fade
    s.received[j, 1] *= fade
    s.received[j, 2] *= fade * fade
    confirmed = s.own[j, 0] > 0.0
    if own:
        if not confirmed:
            s.counts[RECEIVED_HELD] -= 1
        s.own[j, 0] += weight
        s.own[j, 1] += weight * late
        s.own[j, 2] += weight * late * late
    else:
        if s.received[j, 0] <= 0.0:
            s.slot[j] = slot
        s.received[j, 0] += weight
        s.received[j, 1] += weight * late
        s.received[j, 2] += weight * late * late
    s.event[j] = newest
    if own or not confirmed or not o.trusting:
        rate = max(weight / (s.own[j, 0] + s.received[j, 0]), _RATE_LEAST)
        for k in range(x.shape[0]):
            s.x[j, k] += min(rate, 1.0) * (x[k] - s.x[j, k])
        if s.scatter.shape[0] > 0:
            project(s, j)


@njit(cache=True)
def room(own, slot, s, o):
    """Where a new prototype goes: a free place, or that of the least mass * age**-1/2; -1 if a sender has enough."""
    size, capacity = s.counts[SIZE], s.x.shape[0]
    full = not own and o.trusting and s.counts[RECEIVED_HELD] >= o.received_fraction_max * capacity
    if size < capacity and not full:
        s.counts[SIZE] += 1
        return size
    worst, least = -1, np.inf
    for j in range(size):
        only_foreign = s.own[j, 0] <= 0.0
        if full and not only_foreign:
            continue
        age = ages(s.clock[0], s.event[j], s.gap[0], _AGE_LEAST)
        value = (s.own[j, 1] + s.trust[s.slot[j]] * s.received[j, 1]) / np.sqrt(age)
        if value < least:
            worst, least = j, value
    if worst >= 0 and s.own[worst, 0] <= 0.0:
        s.counts[RECEIVED_HELD] -= 1
    return worst


@njit(cache=True)
def complete(x, s):
    """``x``, or a copy of it with the means so far where values are missing."""
    for k in range(x.shape[0]):
        if np.isnan(x[k]):
            made = x.copy()
            for i in range(x.shape[0]):
                if np.isnan(made[i]):
                    made[i] = s.mean[i]
            return made
    return x


@njit(cache=True)
def learn_many(xs, codes, events, slots, weights, s, o, probabilities, predicted, done):
    """Learn rows in order; predict each own one first where ``probabilities`` has rows. How many were inserted."""
    scratch = np.empty(s.rows.shape[0])
    inserted = 0
    for t in range(xs.shape[0]):
        x = complete(xs[t], s)
        if probabilities.shape[0] > 0:
            predicted[t] = predict(x, events[t], s, o, probabilities[t])
        done[t] = learn(x, codes[t], events[t], slots[t], weights[t], s, o, scratch)
        inserted += done[t] == INSERTED
    return inserted


@njit(cache=True)
def predict_many(xs, now, s, o, probabilities, predicted):
    """Predict rows at one time."""
    for t in range(xs.shape[0]):
        predicted[t] = predict(complete(xs[t], s), now, s, o, probabilities[t])
