"""Placement: a sample is absorbed by its nearest prototype where the margin is wide, and becomes one elsewhere."""

from __future__ import annotations

import numpy as np

from protovine.arrays import assign
from protovine.jit import inner_kernel
from protovine.learn.hedged.experts import PLAIN, ROOT
from protovine.learn.hedged.metrics import project
from protovine.learn.hedged.recency import AGE_MIN, add_mass, age, discount, fade_mass
from protovine.learn.hedged.state import (
    BEST_METRIC,
    GAP,
    LOCAL_SAMPLES,
    LOCAL_SLOT,
    NEWEST_LOCAL,
    RECEIVED_HELD,
    SIZE,
    Floats,
    Options,
    State,
)
from protovine.learn.hedged.trust import LOCAL_FIRST

# What becomes of a sample.
REFUSED, ABSORBED, INSERTED = -1, 0, 1
# A prototype moves by at least this part of the way to what it absorbs, so that it can follow a drift.
MOVE_MIN = 0.02
# A sample this near to a prototype of its class, on a scale where 1 is the mean distance, is the same one again.
SAME_DISTANCE = 1e-6


@inner_kernel
def nearest_two(y: int, s: State) -> tuple[int, int]:
    """The nearest prototype of class ``y`` and the nearest of another, -1 for none, in the best metric."""
    metric = s.counts[BEST_METRIC]
    same = other = -1
    for j in range(s.counts[SIZE]):
        if s.label[j] == y:
            if same < 0 or s.distance[j, metric] < s.distance[same, metric]:
                same = j
        elif other < 0 or s.distance[j, metric] < s.distance[other, metric]:
            other = j
    return same, other


@inner_kernel
def place(x: Floats, y: int, event: int, slot: int, weight: float, same: int, other: int, s: State, o: Options) -> int:
    """Absorb the sample into prototype ``same`` or insert it, for which another may leave; see the codes above."""
    if same >= 0 and explains(same, other, s, o):
        absorb(x, event, slot, weight, same, s, o)
        return ABSORBED
    j = find_room(slot, s, o)
    if j < 0:
        return REFUSED
    assign(s.x[j], x)
    s.label[j], s.event[j], s.slot[j] = y, event, slot
    s.local[j] = weight if slot == LOCAL_SLOT else 0.0
    s.received[j] = 0.0 if slot == LOCAL_SLOT else weight
    if slot != LOCAL_SLOT:
        s.counts[RECEIVED_HELD] += 1
    if s.scatter.shape[0] > 0:
        project(j, s)
    return INSERTED


@inner_kernel
def explains(same: int, other: int, s: State, o: Options) -> bool:
    """Whether prototype ``same`` of the sample's class is so much nearer than ``other`` that it may absorb it."""
    # A prototype of received samples alone absorbs nothing until the local range tells whether it is plausible.
    if o.trusting and s.local[same, PLAIN] <= 0.0 and s.counts[LOCAL_SAMPLES] < LOCAL_FIRST:
        return False
    metric = s.counts[BEST_METRIC]
    near = np.sqrt(s.distance[same, metric])
    far = np.sqrt(s.distance[other, metric]) if other >= 0 else 0.0
    return near < SAME_DISTANCE or (other >= 0 and far - near >= o.margin * (far + near))


@inner_kernel
def absorb(x: Floats, event: int, slot: int, weight: float, j: int, s: State, o: Options) -> None:
    """Add mass to prototype ``j`` and move it; received samples move only prototypes without local mass."""
    newest = max(event, s.event[j])
    gap = s.scalars[GAP]
    fade, late = discount(newest, s.event[j], gap), discount(newest, event, gap)
    fade_mass(s.local[j], fade)
    fade_mass(s.received[j], fade)
    confirmed = s.local[j, PLAIN] > 0.0
    if slot == LOCAL_SLOT:
        if not confirmed:
            s.counts[RECEIVED_HELD] -= 1
        add_mass(s.local[j], weight, late)
    else:
        if s.received[j, PLAIN] <= 0.0:
            s.slot[j] = slot
        add_mass(s.received[j], weight, late)
    s.event[j] = newest
    if slot == LOCAL_SLOT or not confirmed or not o.trusting:
        rate = max(weight / (s.local[j, PLAIN] + s.received[j, PLAIN]), MOVE_MIN)
        for k in range(x.shape[0]):
            s.x[j, k] += min(rate, 1.0) * (x[k] - s.x[j, k])
        if s.scatter.shape[0] > 0:
            project(j, s)


@inner_kernel
def find_room(slot: int, s: State, o: Options) -> int:
    """Where a new prototype goes: a free place, or that of the least mass * age**-1/2; -1 if senders have enough."""
    size, capacity = s.counts[SIZE], o.capacity
    full = slot != LOCAL_SLOT and o.trusting and s.counts[RECEIVED_HELD] >= o.received_fraction_max * capacity
    if size < capacity and not full:
        s.counts[SIZE] += 1
        return int(size)
    worst, least = -1, np.inf
    of_class = np.zeros(s.class_weight.shape[0] if o.keeps_classes else 0, np.int64)
    if o.keeps_classes:
        for j in range(size):
            of_class[s.label[j]] += 1
    for j in range(size):
        if o.keeps_classes and of_class[s.label[j]] == 1:
            continue
        # Where senders have filled their part, only prototypes without local mass give way to another one.
        if full and s.local[j, PLAIN] > 0.0:
            continue
        mass = s.local[j, ROOT] + s.trust[s.slot[j]] * s.received[j, ROOT]
        value = mass / np.sqrt(age(s.clock[NEWEST_LOCAL], s.event[j], s.scalars[GAP], AGE_MIN))
        if value < least:
            worst, least = j, value
    if worst >= 0 and s.local[worst, PLAIN] <= 0.0:
        s.counts[RECEIVED_HELD] -= 1
    return worst
