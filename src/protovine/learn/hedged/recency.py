"""Recency: masses count by their age, in units of the mean time between local samples."""

from __future__ import annotations

import numpy as np

from protovine.jit import inlined_kernel, inner_kernel
from protovine.learn.hedged.experts import INVERSE, PLAIN, ROOT
from protovine.learn.hedged.state import (
    ALL_MASS,
    GAP,
    LOCAL_MASS,
    LOCAL_SAMPLES,
    NEWEST_LOCAL,
    Floats,
    State,
)

# Age of a sample that has just been learnt: not 0, so that no single sample outvotes all others.
AGE_MIN = 0.2
# The mean time between local samples follows the last hundred or so.
GAP_RATE_MIN = 0.01


@inner_kernel
def tick(event: int, s: State) -> None:
    """Count a local sample and its time."""
    before = s.counts[LOCAL_SAMPLES]
    if before > 0:
        s.scalars[GAP] += max(1.0 / before, GAP_RATE_MIN) * (max(event - s.clock[NEWEST_LOCAL], 0) - s.scalars[GAP])
    s.clock[NEWEST_LOCAL] = max(event, s.clock[NEWEST_LOCAL])
    s.counts[LOCAL_SAMPLES] += 1


@inlined_kernel
def age(now: int, event: int, gap: float, least: float) -> float:
    """Time from ``event`` to ``now`` in gaps, plus ``least``; 1 while no gap is known."""
    if gap <= 0.0:
        return 1.0
    return least + max(now - event, 0) / gap


@inlined_kernel
def discount(now: int, event: int, gap: float) -> float:
    """Age to the power of -1/2, at most 1."""
    return float(1.0 / np.sqrt(max(age(now, event, gap, 0.0), 1.0)))


@inlined_kernel
def root_of(event: int, now: int, gap: float) -> float:
    """The age of a prototype to the power of -1/2."""
    return float(1.0 / np.sqrt(age(now, event, gap, AGE_MIN)))


@inlined_kernel
def masses(j: int, root: float, s: State, out: Floats) -> tuple[float, float, float]:
    """Fill ``out`` (N_MASSES,) with what prototype ``j`` weighs, by `root_of` it; its received mass before trust."""
    trust = s.trust[s.slot[j]]
    out[LOCAL_MASS + PLAIN] = s.local[j, PLAIN]
    out[LOCAL_MASS + ROOT] = s.local[j, ROOT] * root
    out[LOCAL_MASS + INVERSE] = s.local[j, INVERSE] * root * root
    plain = s.received[j, PLAIN]
    rooted = s.received[j, ROOT] * root
    inverse = s.received[j, INVERSE] * root * root
    out[ALL_MASS + PLAIN] = out[LOCAL_MASS + PLAIN] + trust * plain
    out[ALL_MASS + ROOT] = out[LOCAL_MASS + ROOT] + trust * rooted
    out[ALL_MASS + INVERSE] = out[LOCAL_MASS + INVERSE] + trust * inverse
    return plain, rooted, inverse


@inlined_kernel
def add_mass(mass: Floats, weight: float, late: float) -> None:
    """Add samples to the ``mass`` (N_RECENCIES,) of a prototype; ``late`` is their `discount`."""
    mass[PLAIN] += weight
    mass[ROOT] += weight * late
    mass[INVERSE] += weight * late * late


@inlined_kernel
def fade_mass(mass: Floats, fade: float) -> None:
    """Discount the ``mass`` (N_RECENCIES,) of a prototype whose newest event moves on."""
    mass[ROOT] *= fade
    mass[INVERSE] *= fade * fade
