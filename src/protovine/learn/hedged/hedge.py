"""The hedge: experts weigh exp(-loss), and are charged for the probability of each local sample's class."""

from __future__ import annotations

import numpy as np

from protovine.arrays import assign
from protovine.jit import inlined_kernel, inner_kernel
from protovine.learn.hedged.experts import (
    BANDWIDTH_MIN,
    BY_METRIC,
    BY_RECENCY,
    DISCRIMINANT,
    LINEAR,
    LOCAL,
    MIXED,
    N_BANDWIDTHS,
    N_EXPERTS,
    N_METRICS,
    N_MIXTURES,
    N_RECENCIES,
    N_VARIANTS,
    RAW,
    coordinates,
    expert_of,
)
from protovine.learn.hedged.metrics import n_metrics
from protovine.learn.hedged.recency import masses, root_of
from protovine.learn.hedged.state import (
    BEST_EXPERT,
    BEST_METRIC,
    GAP,
    LOCAL_SLOT,
    N_MASSES,
    SIZE,
    Floats,
    Options,
    State,
)
from protovine.learn.hedged.votes import DOUBT, LABEL_PRIOR, NEGLIGIBLE, column_of, nearest_distance

# Recent labels are forgotten at this rate per local sample, about 500.
LABEL_DECAY = 0.998
# A sample of a rare class counts at most this many times more in the losses among even classes: it may be noise.
RARITY_MAX = 3.0
# Losses that differ by less differ by rounding: the first expert of them is the best.
TIE = 1e-9
# An expert whose loss is this much above the least one of a mixture has no weight there.
LOSS_MAX = 30.0


@inner_kernel
def mix(s: State, out: Floats) -> None:
    """Fill ``out`` with the mean of all experts' probabilities, ``hedge`` with their weights, and inputs of the pool.

    The inputs are the same mean, and the means of the experts of each metric and of each recency.
    """
    least = least_losses(s)
    total = np.zeros(N_MIXTURES)
    s.inputs[:N_MIXTURES] = 0.0
    s.hedge[:] = 0.0
    for metric in range(N_METRICS):
        for recency in range(N_RECENCIES):
            mix_cell(metric, recency, least, total, s, out)
    if s.active[LINEAR]:
        s.hedge[LINEAR] = np.exp(least[MIXED] - s.loss[LINEAR])
        total[MIXED] += s.hedge[LINEAR]
        for c in range(out.shape[0]):
            s.inputs[MIXED, c] += s.hedge[LINEAR] * s.proba[LINEAR, c]
    for i in range(N_MIXTURES):
        if total[i] > 0.0:
            for c in range(out.shape[0]):
                s.inputs[i, c] /= total[i]
    for k in range(N_EXPERTS):
        s.hedge[k] /= total[MIXED]
    assign(out, s.inputs[MIXED])


@inner_kernel
def least_losses(s: State) -> Floats:
    """The least loss of the active experts behind each mixture."""
    least = np.full(N_MIXTURES, np.inf)
    for k in range(LINEAR):
        if s.active[k]:
            group, recency, _ = coordinates(k)
            metric = group // N_BANDWIDTHS
            least[BY_METRIC + metric] = min(least[BY_METRIC + metric], s.loss[k])
            least[BY_RECENCY + recency] = min(least[BY_RECENCY + recency], s.loss[k])
    least[MIXED] = least[BY_METRIC : BY_METRIC + N_METRICS].min()
    if s.active[LINEAR]:
        least[MIXED] = min(least[MIXED], s.loss[LINEAR])
    return least


@inner_kernel
def mix_cell(metric: int, recency: int, least: Floats, total: Floats, s: State, scratch: Floats) -> None:
    """Add the experts of one metric and recency to the three mixtures that they belong to."""
    nearest, mass = np.inf, 0.0
    for bandwidth in range(N_BANDWIDTHS):
        for variant in range(N_VARIANTS):
            k = expert_of(metric * N_BANDWIDTHS + bandwidth, recency, variant)
            if s.active[k]:
                nearest = min(nearest, s.loss[k])
    if nearest == np.inf:
        return
    scratch[:] = 0.0
    share = weight_of(nearest - least[MIXED])
    for bandwidth in range(N_BANDWIDTHS):
        for variant in range(N_VARIANTS):
            k = expert_of(metric * N_BANDWIDTHS + bandwidth, recency, variant)
            weight = weight_of(s.loss[k] - nearest) if s.active[k] else 0.0
            if weight > 0.0:
                s.hedge[k] = share * weight
                mass += weight
                for c in range(scratch.shape[0]):
                    scratch[c] += weight * s.proba[k, c]
    for i in (MIXED, BY_METRIC + metric, BY_RECENCY + recency):
        part = weight_of(nearest - least[i])
        if part > 0.0:
            total[i] += part * mass
            for c in range(scratch.shape[0]):
                s.inputs[i, c] += part * scratch[c]


@inner_kernel
def weight_of(loss: float) -> float:
    """exp(-loss), or 0 where that is negligible."""
    return float(np.exp(-loss)) if loss < LOSS_MAX else 0.0


@inner_kernel
def mix_balanced(s: State, o: Options, out: Floats) -> None:
    """After `predict`: fill ``out`` with probabilities as if all classes were equally frequent."""
    n_classes, least = out.shape[0], np.inf
    for i in range(s.balanced_loss.shape[0]):
        if s.active[i * N_VARIANTS + o.balanced_variant]:
            least = min(least, s.balanced_loss[i])
    out[:] = 0.0
    for i in range(s.balanced_loss.shape[0]):
        k = i * N_VARIANTS + o.balanced_variant
        if s.active[k]:
            weight = np.exp(least - s.balanced_loss[i])
            for c in range(n_classes):
                out[c] += weight * s.proba[k, c]
    total = 0.0
    for c in range(n_classes):
        out[c] /= s.recent_labels[c] + LABEL_PRIOR
        total += out[c]
    for c in range(n_classes):
        out[c] = out[c] / total if total > 0.0 else 1.0 / n_classes


@inner_kernel
def note_label(y: int, s: State) -> None:
    """Count a local sample's class among the recent labels."""
    for c in range(s.recent_labels.shape[0]):
        s.recent_labels[c] *= LABEL_DECAY
    s.recent_labels[y] += 1.0


@inner_kernel
def judge_experts(y: int, weight: float, decay: float, s: State, o: Options) -> None:
    """Charge every expert for its probability of the true class ``y``; find the best expert and the best metric."""
    least, surprisal = np.inf, 0.0
    all_local = s.trust.shape[0] == LOCAL_SLOT + 1
    for k in range(N_EXPERTS):
        # Without senders the last variant of votes equals the one before.
        if not all_local or k == LINEAR or k % N_VARIANTS != LOCAL:
            surprisal = -np.log(s.proba[k, y])
        if s.active[k]:
            s.loss[k] = decay * s.loss[k] + weight * surprisal
            if k < LINEAR and k % N_VARIANTS != LOCAL:
                least = min(least, s.loss[k])
    for k in range(LINEAR):
        if s.active[k] and k % N_VARIANTS != LOCAL and s.loss[k] <= least + TIE:
            s.counts[BEST_EXPERT] = k
            break
    judge_metrics(y, weight, decay, s, o)


@inner_kernel
def judge_metrics(y: int, weight: float, decay: float, s: State, o: Options) -> None:
    """Charge experts as if all classes were equally frequent, and find the best metric by that.

    Where one class is rare almost any metric predicts the others, so that plain losses do not tell metrics apart.
    """
    n_classes, labels = s.recent_labels.shape[0], 0.0
    for c in range(n_classes):
        labels += s.recent_labels[c] + LABEL_PRIOR
    rarity = min(labels / n_classes / (s.recent_labels[y] + LABEL_PRIOR), RARITY_MAX)
    kept = 1.0 - (1.0 - decay) * min(rarity, 1.0)
    # With a single class there is nothing to discriminate: all distances are 0, and no sample would be kept.
    discriminates = s.discriminant.any()
    least = np.inf
    for i in range(s.balanced_loss.shape[0]):
        k = i * N_VARIANTS + o.balanced_variant
        if not s.active[k]:
            continue
        total = 0.0
        for c in range(n_classes):
            total += s.proba[k, c] / (s.recent_labels[c] + LABEL_PRIOR)
        balanced = s.proba[k, y] / (s.recent_labels[y] + LABEL_PRIOR) / total
        s.balanced_loss[i] = kept * s.balanced_loss[i] - rarity * weight * np.log(balanced)
        if metric_of(i) != DISCRIMINANT or discriminates:
            least = min(least, s.balanced_loss[i])
    for i in range(s.balanced_loss.shape[0]):
        takes_part = s.active[i * N_VARIANTS + o.balanced_variant] and (metric_of(i) != DISCRIMINANT or discriminates)
        if takes_part and s.balanced_loss[i] <= least + TIE:
            s.counts[BEST_METRIC] = metric_of(i)
            break


@inlined_kernel
def metric_of(i: int) -> int:
    """The metric behind a balanced loss."""
    return i // (N_BANDWIDTHS * N_RECENCIES)


@inner_kernel
def influence(now: int, s: State, out: Floats) -> None:
    """After `predict`: fill ``out`` with what each prototype adds to the probability of its class."""
    nearest, measured = nearest_distance(s), n_metrics(s)
    weight = np.zeros(N_MASSES)
    for j in range(s.counts[SIZE]):
        masses(j, root_of(s.event[j], now, s.scalars[GAP]), s, weight)
        out[j] = 0.0
        for metric in range(measured):
            e = np.exp(-BANDWIDTH_MIN * (s.distance[j, metric] - nearest[metric]))
            for bandwidth in range(N_BANDWIDTHS):
                out[j] = influence_of_group(s.label[j], metric * N_BANDWIDTHS + bandwidth, e, weight, out[j], s)
                if e < NEGLIGIBLE:
                    break
                e *= e
                e *= e


@inner_kernel
def influence_of_group(c: int, group: int, e: float, weight: Floats, total: float, s: State) -> float:
    """``total`` plus what a prototype of class ``c`` and kernel value ``e`` adds through one metric and bandwidth."""
    for recency in range(N_RECENCIES):
        for variant in range(N_VARIANTS):
            votes = s.vote_sum[group, recency, variant]
            if votes > 0.0:
                i = column_of(recency, variant)
                part = weight[i] * e * (1.0 if variant == RAW else s.correction[i, c]) / votes
                samples = s.vote_samples[group, recency, variant]
                total += s.hedge[expert_of(group, recency, variant)] * part * samples / (samples + DOUBT)
    return total
