"""The pool: a log-linear opinion of the hedge, its parts and the experts without prototypes, learnt online.

Its weights follow an online Newton method for the log loss, with forgetting, from weights that return the hedge.
"""

from __future__ import annotations

import numpy as np

from protovine.arrays import assign
from protovine.jit import inner_kernel
from protovine.learn.hedged.dependence import dependence_vote
from protovine.learn.hedged.experts import (
    BY_DEPENDENCE,
    BY_LINEAR,
    BY_TRANSITION,
    GAUSSIANS,
    LINEAR,
    MIXED,
    N_INPUTS,
)
from protovine.learn.hedged.gaussian import gaussian_vote
from protovine.learn.hedged.solve import factor, substitute
from protovine.learn.hedged.state import LAST_LABEL, POOL_LOSS, Floats, State
from protovine.learn.hedged.votes import LABEL_PRIOR

# A smaller probability counts as this one: no expert can veto a class.
INPUT_MIN = 1e-4
# Strength of the prior of the weights, as curvature of the log loss, and forgetting per local sample.
POOL_PRIOR, POOL_DECAY = 20.0, 0.999
# Forgetting of the losses by which hedge and pool are mixed.
POOL_LOSS_DECAY = 0.998
# Transitions between labels: forgetting per sample of the earlier class, and samples of the plain frequencies.
TRANSITION_DECAY, TRANSITION_PRIOR = 0.998, 3.0
# Classes of less probability do not count in the curvature.
CURVATURE_PROBA_MIN = 1e-4
# What a received sample of a proven sender counts in the weights. Senders choose what surprises them, so such samples
# say nothing about how much to trust the pool.
POOL_RECEIVED = 0.5


@inner_kernel
def pool(follows: bool, s: State, out: Floats) -> int:
    """After `mix` and `linear_vote`: pool its opinion in ``out`` with all others; the best class.

    ``follows`` tells whether the sample is the next one after the last label.
    """
    if s.pooling[MIXED]:
        gather(follows, s)
        opine(s)
        trust = 1.0 / (1.0 + np.exp(s.scalars[POOL_LOSS]))
        for c in range(out.shape[0]):
            out[c] += trust * (s.pooled[c] - out[c])
    assign(s.final, out)
    return int(np.argmax(out))


@inner_kernel
def gather(follows: bool, s: State) -> None:
    """Fill the inputs: log probabilities of those that take part, 0 of the others."""
    s.inputs[BY_LINEAR] = s.proba[LINEAR]
    if s.pooling[GAUSSIANS]:
        gaussian_vote(GAUSSIANS, s)
    if s.pooling[BY_DEPENDENCE]:
        dependence_vote(s)
    for k in range(N_INPUTS):
        if not s.pooling[k]:
            s.inputs[k] = 0.0
        elif k != BY_TRANSITION:
            for c in range(s.inputs.shape[1]):
                s.inputs[k, c] = np.log(max(s.inputs[k, c], INPUT_MIN))
    if s.pooling[BY_TRANSITION]:
        succeed(follows, s)


@inner_kernel
def succeed(follows: bool, s: State) -> None:
    """Fill the last input: the log of how much more frequent each class is after the last label than in general."""
    s.inputs[BY_TRANSITION] = 0.0
    last = s.counts[LAST_LABEL] - 1
    if not follows or last < 0:
        return
    n_classes, labels, after = s.inputs.shape[1], 0.0, 0.0
    for c in range(n_classes):
        labels += s.recent_labels[c] + LABEL_PRIOR
        after += s.transition[last, c]
    for c in range(n_classes):
        frequency = (s.recent_labels[c] + LABEL_PRIOR) / labels
        count = s.transition[last, c] + TRANSITION_PRIOR * frequency
        s.inputs[BY_TRANSITION, c] = np.log(count / (after + TRANSITION_PRIOR) / frequency)


@inner_kernel
def opine(s: State) -> None:
    """Fill ``pooled``: the softmax of the weighted sum of the inputs."""
    n_classes, top, total = s.pooled.shape[0], -np.inf, 0.0
    for c in range(n_classes):
        s.pooled[c] = s.inputs[MIXED, c]
        for k in range(N_INPUTS):
            s.pooled[c] += s.pool_weight[k] * s.inputs[k, c]
        top = max(top, s.pooled[c])
    for c in range(n_classes):
        s.pooled[c] = np.exp(s.pooled[c] - top)
        total += s.pooled[c]
    for c in range(n_classes):
        s.pooled[c] /= total


@inner_kernel
def judge_pool(y: int, s: State) -> None:
    """Charge the pool for the true class ``y`` of a local sample, and learn its weights."""
    if s.pooling[MIXED]:
        loss = s.inputs[MIXED, y] - np.log(max(s.pooled[y], INPUT_MIN))
        s.scalars[POOL_LOSS] = POOL_LOSS_DECAY * s.scalars[POOL_LOSS] + loss
    learn_pool(y, 1.0, s)


@inner_kernel
def learn_pool(y: int, weight: float, s: State) -> None:
    """Move the weights of the pool by one Newton step, for the true class ``y`` of ``weight`` samples."""
    if not s.pooling[MIXED]:
        return
    kept = 1.0 - weight * (1.0 - POOL_DECAY)
    mean, step = np.zeros(N_INPUTS), np.empty(N_INPUTS)
    for k in range(N_INPUTS):
        for c in range(s.pooled.shape[0]):
            mean[k] += s.pooled[c] * s.inputs[k, c]
        step[k] = weight * (mean[k] - s.inputs[k, y]) + (1.0 - kept) * POOL_PRIOR * s.pool_weight[k]
    for k in range(N_INPUTS):
        for i in range(k + 1):
            s.curvature[k, i] *= kept
    for c in range(s.pooled.shape[0]):
        if s.pooled[c] > CURVATURE_PROBA_MIN:
            for k in range(N_INPUTS):
                scaled = weight * s.pooled[c] * (s.inputs[k, c] - mean[k])
                for i in range(k + 1):
                    s.curvature[k, i] += scaled * (s.inputs[i, c] - mean[i])
    matrix = s.curvature.copy()
    for k in range(N_INPUTS):
        matrix[k, k] += POOL_PRIOR
    factor(matrix)
    substitute(matrix, step)
    for k in range(N_INPUTS):
        s.pool_weight[k] -= step[k]


@inner_kernel
def note_transition(y: int, s: State) -> None:
    """Count the label of a local sample as the successor of the one before."""
    last = s.counts[LAST_LABEL] - 1
    if s.pooling[BY_TRANSITION] and last >= 0:
        for c in range(s.transition.shape[1]):
            s.transition[last, c] *= TRANSITION_DECAY
        s.transition[last, y] += 1.0
    s.counts[LAST_LABEL] = y + 1
