"""Votes: what each expert that has a metric, a bandwidth, a recency and a variant makes of the prototypes."""

from __future__ import annotations

import numpy as np

from protovine.arrays import assign
from protovine.jit import inlined_kernel, inner_kernel
from protovine.lanes import LANES, add_products, exponential
from protovine.learn.hedged.experts import (
    BANDWIDTH_MIN,
    CORRECTED,
    DISCRIMINANT,
    FISHER,
    LOCAL,
    N_BANDWIDTHS,
    N_GROUPS,
    N_RECENCIES,
    N_VARIANTS,
    RAW,
    RELIEF,
    Z_SCORE,
    coordinates,
    expert_of,
)
from protovine.learn.hedged.metrics import n_metrics
from protovine.learn.hedged.recency import masses, root_of
from protovine.learn.hedged.state import (
    ALL_MASS,
    BEST_EXPERT,
    GAP,
    LOCAL_MASS,
    LOCAL_SLOT,
    N_MASSES,
    SIZE,
    Floats,
    State,
)

# Samples that are spread over all classes in every vote, so that a single sample makes no expert certain.
DOUBT = 0.25
# Prototypes whose votes are counted at once.
BLOCK = 64
# A kernel value whose fourth power, the value at the next bandwidth, no longer matters.
NEGLIGIBLE = 1e-3
# Samples of each class that are added to the recent labels, as in the estimate of Krichevsky and Trofimov.
LABEL_PRIOR = 0.5


@inner_kernel
def vote(now: int, s: State) -> None:
    """After `measure` in all metrics: fill every expert's row of ``proba`` but the linear one's."""
    # For each class and group a row of votes by column of the masses; in the last row the masses themselves.
    votes = np.zeros((s.correction.shape[1], N_GROUPS + 1, LANES))
    squares = np.zeros((N_GROUPS, LANES))
    collect(now, votes, squares, s)
    correct(votes[:, N_GROUPS], s)
    conclude(votes, squares, s)


@inlined_kernel
def column_of(recency: int, variant: int) -> int:
    """The column of the masses that an expert votes with."""
    return LOCAL_MASS + recency if variant == LOCAL else ALL_MASS + recency


@inner_kernel
def nearest_distance(s: State) -> Floats:
    """The distance to the nearest prototype in each metric, inf in those that are left out."""
    z_score = fisher = relief = discriminant = np.inf
    for j in range(s.counts[SIZE]):
        z_score, fisher = min(z_score, s.distance[j, Z_SCORE]), min(fisher, s.distance[j, FISHER])
        relief, discriminant = min(relief, s.distance[j, RELIEF]), min(discriminant, s.distance[j, DISCRIMINANT])
    if n_metrics(s) == DISCRIMINANT:
        discriminant = np.inf
    return np.array((z_score, fisher, relief, discriminant))


@inner_kernel
def collect(now: int, votes: Floats, squares: Floats, s: State) -> None:
    """Sum over prototypes: mass times kernel by class, its square over the mass, and the mass by class.

    The best expert's votes of received mass are kept for each sender, by whom they judge.
    """
    nearest = nearest_distance(s)
    weights, spread, received = np.zeros((BLOCK, LANES)), np.zeros((BLOCK, LANES)), np.empty(BLOCK)
    kernels, squared = np.zeros((N_GROUPS + 1, BLOCK)), np.zeros((N_GROUPS, BLOCK))
    kernels[N_GROUPS] = 1.0
    every, alike = np.arange(BLOCK), np.empty(BLOCK, np.int64)
    following, first_of = np.empty(BLOCK, np.int64), np.full(votes.shape[0], -1)
    s.sender_votes[:] = 0.0
    for first in range(0, s.counts[SIZE], BLOCK):
        n = min(BLOCK, s.counts[SIZE] - first)
        weigh_block(first, n, now, weights, spread, received, s)
        for metric in range(n_metrics(s)):
            decay(first, n, metric, nearest[metric], kernels, squared, s)
        best = kernels[coordinates(s.counts[BEST_EXPERT])[0]]
        for t in range(n - 1, -1, -1):
            c = s.label[first + t]
            following[t], first_of[c] = first_of[c], t
            if received[t] > 0.0:
                s.sender_votes[s.slot[first + t], c] += received[t] * best[t]
        for t in range(n):
            c = s.label[first + t]
            if first_of[c] == t:  # The first of its class in this block.
                count, u, first_of[c] = 0, t, -1
                while u >= 0:
                    alike[count] = u
                    count, u = count + 1, following[u]
                add_products(votes, c * (N_GROUPS + 1), weights, kernels, alike, count)
        add_products(squares, 0, spread, squared, every, n)


@inner_kernel
def weigh_block(first: int, n: int, now: int, weights: Floats, spread: Floats, received: Floats, s: State) -> None:
    """Fill rows with the masses of prototypes, and with their squares over the mass without recency.

    ``received`` gets the received mass by the best expert's recency.
    """
    _, recency, _ = coordinates(s.counts[BEST_EXPERT])
    gap, roots = s.scalars[GAP], np.empty(BLOCK)
    for t in range(n):
        roots[t] = root_of(s.event[first + t], now, gap)
    for t in range(n):
        received[t] = masses(first + t, roots[t], s, weights[t])[recency]
        local, both = weights[t, LOCAL_MASS], weights[t, ALL_MASS]
        local, both = 1.0 / local if local > 0.0 else 0.0, 1.0 / both if both > 0.0 else 0.0
        for i in range(LOCAL_MASS):
            spread[t, i] = weights[t, i] * weights[t, i] * both
        for i in range(LOCAL_MASS, N_MASSES):
            spread[t, i] = weights[t, i] * weights[t, i] * local


@inner_kernel
def decay(first: int, n: int, metric: int, nearest: float, kernels: Floats, squared: Floats, s: State) -> None:
    """Fill the rows of a metric with the kernel of each bandwidth at the distances of prototypes, and with its square.

    A negligible value is followed by 0. Places from ``n`` on are filled too, with what nobody reads.
    """
    group = metric * N_BANDWIDTHS
    row, square = kernels[group], squared[group]
    for t in range(n):
        row[t] = BANDWIDTH_MIN * (nearest - s.distance[first + t, metric])
    for t in range(BLOCK):
        row[t] = exponential(row[t])
        square[t] = row[t] * row[t]
    for bandwidth in range(1, N_BANDWIDTHS):
        wider, row, square = kernels[group + bandwidth - 1], kernels[group + bandwidth], squared[group + bandwidth]
        for t in range(BLOCK):
            e = wider[t] if wider[t] >= NEGLIGIBLE else 0.0
            e *= e
            e *= e
            row[t] = e
            square[t] = e * e


@inner_kernel
def correct(mass: Floats, s: State) -> None:
    """Fill ``correction``: frequency of each class among recent local labels over its fraction of the mass."""
    n_classes, labels = mass.shape[0], 0.0
    for c in range(n_classes):
        labels += s.recent_labels[c]
    for i in range(N_MASSES):
        total = 0.0
        for c in range(n_classes):
            total += mass[c, i]
        for c in range(n_classes):
            s.correction[i, c] = 0.0
            if mass[c, i] > 0.0:
                frequency = (s.recent_labels[c] + LABEL_PRIOR) / (labels + LABEL_PRIOR * n_classes)
                s.correction[i, c] = frequency * total / mass[c, i]


@inner_kernel
def conclude(votes: Floats, squares: Floats, s: State) -> None:
    """Turn the votes of every expert into probabilities, with `DOUBT` samples more that are spread over all classes."""
    n_classes, all_local = votes.shape[0], s.trust.shape[0] == LOCAL_SLOT + 1
    for group in range(n_metrics(s) * N_BANDWIDTHS):
        for recency in range(N_RECENCIES):
            for variant in range(N_VARIANTS):
                k, i = expert_of(group, recency, variant), column_of(recency, variant)
                if variant == LOCAL and all_local:
                    assign(s.proba[k], s.proba[expert_of(group, recency, CORRECTED)])
                    s.vote_sum[group, recency, LOCAL] = s.vote_sum[group, recency, CORRECTED]
                    s.vote_samples[group, recency, LOCAL] = s.vote_samples[group, recency, CORRECTED]
                    continue
                total = uncorrected = 0.0
                for c in range(n_classes):
                    value = votes[c, group, i]
                    uncorrected += value
                    if variant != RAW:
                        value *= s.correction[i, c]
                    s.proba[k, c] = value
                    total += value
                samples = uncorrected * uncorrected / squares[group, i] if squares[group, i] > 0.0 else 0.0
                s.vote_sum[group, recency, variant], s.vote_samples[group, recency, variant] = total, samples
                scale, doubt = samples / total / (samples + DOUBT) if total > 0.0 else 0.0, 1.0 / n_classes
                if total > 0.0:
                    doubt *= DOUBT / (samples + DOUBT)
                for c in range(n_classes):
                    s.proba[k, c] = scale * s.proba[k, c] + doubt
