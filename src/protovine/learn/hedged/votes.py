"""Votes: what each expert that has a metric, a bandwidth, a recency and a variant makes of the prototypes."""

from __future__ import annotations

import numpy as np

from protovine.arrays import LANES, add_lanes, assign
from protovine.jit import inlined_kernel, inner_kernel
from protovine.learn.hedged.experts import (
    BANDWIDTH_MIN,
    CORRECTED,
    LOCAL,
    N_BANDWIDTHS,
    N_GROUPS,
    N_METRICS,
    N_RECENCIES,
    N_VARIANTS,
    RAW,
    coordinates,
    expert_of,
)
from protovine.learn.hedged.metrics import n_metrics
from protovine.learn.hedged.recency import masses
from protovine.learn.hedged.state import (
    ALL_MASS,
    BEST_EXPERT,
    LOCAL_MASS,
    LOCAL_SLOT,
    N_MASSES,
    SIZE,
    Floats,
    State,
)

# Samples that are spread over all classes in every vote, so that a single sample makes no expert certain.
DOUBT = 0.25
# A kernel value whose fourth power, the value at the next bandwidth, no longer matters.
NEGLIGIBLE = 1e-3
# Samples of each class that are added to the recent labels, as in the estimate of Krichevsky and Trofimov.
LABEL_PRIOR = 0.5


@inner_kernel
def vote(now: int, s: State) -> None:
    """After `measure` in all metrics: fill every expert's row of ``proba`` but the linear one's."""
    n_classes = s.correction.shape[1]
    votes = np.zeros((N_GROUPS, n_classes, LANES))
    squares = np.zeros((N_GROUPS, LANES))
    mass = np.zeros((n_classes, LANES))
    collect(now, votes, squares, mass, s)
    correct(mass, s)
    conclude(votes, squares, s)


@inlined_kernel
def column_of(recency: int, variant: int) -> int:
    """The column of the masses that an expert votes with."""
    return LOCAL_MASS + recency if variant == LOCAL else ALL_MASS + recency


@inner_kernel
def nearest_distance(s: State) -> Floats:
    """The distance to the nearest prototype in each metric, inf in those that are left out."""
    nearest = np.full(N_METRICS, np.inf)
    measured = n_metrics(s)
    for j in range(s.counts[SIZE]):
        for metric in range(measured):
            nearest[metric] = min(nearest[metric], s.distance[j, metric])
    return nearest


@inner_kernel
def collect(now: int, votes: Floats, squares: Floats, mass: Floats, s: State) -> None:
    """Sum over prototypes: mass times kernel by class, its square over the mass, and the mass by class.

    The best expert's votes of received mass are kept for each sender, by whom they judge.
    """
    nearest, measured, n_classes = nearest_distance(s), n_metrics(s), mass.shape[0]
    best_group, best_recency, _ = coordinates(s.counts[BEST_EXPERT])
    weight, square = np.zeros(LANES), np.zeros(LANES)
    s.sender_votes[:] = 0.0
    for j in range(s.counts[SIZE]):
        received = masses(j, now, s, weight)[best_recency]
        c = s.label[j]
        for i in range(N_MASSES):
            plain = weight[LOCAL_MASS if i >= LOCAL_MASS else ALL_MASS]
            square[i] = weight[i] * weight[i] / plain if plain > 0.0 else 0.0
        add_lanes(mass, c * LANES, weight, 1.0, 1.0)
        for metric in range(measured):
            e = np.exp(-BANDWIDTH_MIN * (s.distance[j, metric] - nearest[metric]))
            for bandwidth in range(N_BANDWIDTHS):
                group = metric * N_BANDWIDTHS + bandwidth
                add_lanes(votes, (group * n_classes + c) * LANES, weight, e, 1.0)
                add_lanes(squares, group * LANES, square, e, e)
                if group == best_group and received > 0.0:
                    s.sender_votes[s.slot[j], c] += received * e
                if e < NEGLIGIBLE:
                    break
                e *= e
                e *= e


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
    n_classes, all_local = votes.shape[1], s.trust.shape[0] == LOCAL_SLOT + 1
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
                    value = votes[group, c, i]
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
