"""One sample's way through a learner: predict, learn a local sample, learn a received one."""

from __future__ import annotations

import numpy as np

from protovine.arrays import assign, equal
from protovine.jit import inner_kernel, merged_kernel
from protovine.learn.hedged.dependence import dependence_learn
from protovine.learn.hedged.hedge import judge_experts, mix, note_label
from protovine.learn.hedged.linear import linear_learn, linear_vote
from protovine.learn.hedged.metrics import ALL_METRICS, measure, refresh_if_due, update_moments
from protovine.learn.hedged.placement import REFUSED, nearest_two, place
from protovine.learn.hedged.pool import POOL_RECEIVED, judge_pool, learn_pool, note_transition, pool
from protovine.learn.hedged.recency import tick
from protovine.learn.hedged.relevance import learn_relevance, update_relief
from protovine.learn.hedged.state import (
    AHEAD,
    ASKED,
    FRESH,
    LOCAL_SAMPLES,
    LOCAL_SLOT,
    NEWEST,
    NEWEST_LOCAL,
    QUERY_AT,
    SIZE,
    Floats,
    Options,
    State,
)
from protovine.learn.hedged.trust import (
    LOCAL_FIRST,
    admit,
    judge_item,
    judge_senders,
    note_surprise,
    refill,
    review,
    update_range,
)
from protovine.learn.hedged.votes import vote

# Samples that a received prototype can stand for: a sender may claim any number.
WEIGHT_MAX = 100.0
# Proof that a sender needs before its samples move the moments at all, and before they judge experts and features.
PROOF_MOMENTS_MIN, PROOF_JUDGE_MIN = 0.05, 0.5


@merged_kernel
def predict(x: Floats, now: int, s: State, out: Floats) -> int:
    """Fill ``out`` with class probabilities at time ``now``; the best class, or -1 without any prototype."""
    if not asked_for(x, s):
        s.counts[AHEAD] += 1
    s.counts[ASKED] = s.counts[FRESH] = 1
    assign(s.query, x)
    s.clock[QUERY_AT] = now
    return evaluate(x, now, s.counts[AHEAD] == 1, s, out)


@inner_kernel
def asked_for(x: Floats, s: State) -> bool:
    """Whether ``x`` is the newest query, and no local sample was learnt since."""
    return s.counts[ASKED] == 1 and equal(x, s.query)


@inner_kernel
def evaluate(x: Floats, now: int, follows: bool, s: State, out: Floats) -> int:
    """`predict` for a sample that is the next one after the newest label, or not; it need not be a query."""
    if s.counts[SIZE] == 0:
        s.proba[:] = s.final[:] = 1.0 / out.shape[0]
        s.z[:] = 0.0
        out[:] = 0.0
        return -1
    ask_experts(x, now, s)
    mix(s, out)
    return pool(follows, s, out)


@inner_kernel
def ask_experts(x: Floats, now: int, s: State) -> None:
    """Fill every expert's row of ``proba``."""
    measure(x, ALL_METRICS, s)
    vote(now, s)
    linear_vote(x, s)


@merged_kernel
def learn(x: Floats, y: int, event: int, slot: int, weight: float, s: State, o: Options, scratch: Floats) -> int:
    """Learn a sample, a local one at `LOCAL_SLOT` or a received one; `INSERTED`, `ABSORBED` or `REFUSED`."""
    proven = 1.0
    if slot == LOCAL_SLOT:
        judge_by_local(x, y, event, s, o, scratch)
    else:
        if o.trusting:
            admitted, proven = admit(x, slot, s, o)
            if not admitted:
                return REFUSED
            weight = min(weight, WEIGHT_MAX)
        judge_by_received(x, y, event, slot, proven, s, o, scratch)
    s.counts[FRESH] = 0
    s.clock[NEWEST] = max(s.clock[NEWEST], event)
    if proven > PROOF_MOMENTS_MIN:
        # A merged prototype tells nothing of the spread around it, so it counts as one sample here.
        update_moments(x, y, min(weight, 1.0) * proven, s)
        linear_learn(y, min(weight, 1.0) * proven, s)
        dependence_learn(y, min(weight, 1.0) * proven, s)
    same, other = nearest_two(y, s)
    if same >= 0 and other >= 0 and proven > PROOF_JUDGE_MIN:
        update_relief(x, same, other, s)
        if o.learns_relevance:
            learn_relevance(x, y, min(weight, 1.0) * proven, max(event, s.clock[NEWEST_LOCAL]), s)
    done = place(x, y, event, slot, weight, same, other, s, o)
    refresh_if_due(s)
    return done


@merged_kernel
def judge_by_local(x: Floats, y: int, event: int, s: State, o: Options, scratch: Floats) -> None:
    """Judge senders and experts by a local sample, and extend the range that received ones are judged by."""
    asked = asked_for(x, s)
    if not asked or s.counts[FRESH] == 0 or s.clock[QUERY_AT] != event:
        s.query[:], s.clock[QUERY_AT] = x, event
        evaluate(x, event, s.counts[AHEAD] == (1 if asked else 0), s, scratch)
    s.counts[AHEAD] = 0 if asked else max(s.counts[AHEAD] - 1, 0)
    s.counts[ASKED] = 0
    tick(event, s)
    if s.counts[SIZE] > 0:
        if o.trusting:
            judge_senders(y, s)
            note_surprise(y, s)
        judge_experts(y, 1.0, o.hedge_decay, s, o)
        judge_pool(y, s)
    note_label(y, s)
    note_transition(y, s)
    update_range(x, s)
    if o.trusting and s.counts[LOCAL_SAMPLES] == LOCAL_FIRST and review(s, o):
        evaluate(x, event, False, s, scratch)
    if s.counts[LOCAL_SAMPLES] > s.offered[LOCAL_SLOT]:
        refill(s, o)


@merged_kernel
def judge_by_received(
    x: Floats, y: int, event: int, slot: int, proven: float, s: State, o: Options, scratch: Floats
) -> None:
    """Judge a sender by its sample; experts are judged by one of a proven sender, and the pool learns it."""
    now = max(s.clock[NEWEST_LOCAL], event)
    judging = o.hedge_received > 0.0 and proven > PROOF_JUDGE_MIN
    if s.counts[SIZE] == 0 or not (judging or o.trusting):
        measure(x, ALL_METRICS, s)
        linear_vote(x, s)
        return
    if judging:
        evaluate(x, now, False, s, scratch)
    else:
        ask_experts(x, now, s)
    if o.trusting:
        judge_item(slot, y, s)
    if judging:
        judge_experts(y, proven * o.hedge_received, 1.0, s, o)
        learn_pool(y, proven * POOL_RECEIVED, s)


@inner_kernel
def complete(x: Floats, s: State) -> Floats:
    """``x``, or a copy of it with its amounts on their scales, and with the means so far where values are missing."""
    for k in range(x.shape[0]):
        if np.isnan(x[k]) or s.log_unit[k] > 0.0:
            made = x.copy()
            for i in range(x.shape[0]):
                if s.log_unit[i] > 0.0:
                    made[i] = np.arcsinh((made[i] - s.log_origin[i]) / s.log_unit[i])
                if np.isnan(made[i]):
                    made[i] = s.mean[i]
            return made
    return x
