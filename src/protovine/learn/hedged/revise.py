"""Changes to what was learnt before: a sender is forgotten, a late feature gets its mean, another one its scale."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from protovine.learn.base import Contribution
from protovine.learn.hedged import entry
from protovine.learn.hedged.amounts import COMPARED_AT, Beginner, FirstSamples, log_scales, rescale, take_over
from protovine.learn.hedged.experts import PLAIN
from protovine.learn.hedged.pairs import merge_bins
from protovine.learn.hedged.state import (
    FEATURES,
    FRESH,
    LOCAL_SLOT,
    RECEIVED_HELD,
    SIZE,
    WEIGHT,
    State,
    keep_prototypes,
    renew_sender,
    without_sender,
)
from protovine.logscale import QUARTILES

# Beyond this many deviations from its mean a value of a feature that is reset is not one of its own.
RESET_DEVIATIONS = 4.0
# How often a learner looks, in local samples, whether a feature has outgrown its scale.
LOOK_EVERY = 50
# The deviation of a feature is compared with that of the newest local prototypes, from this many on.
NEWEST, NEWEST_MIN = 100, 20
# It counts as outgrown beyond this many times theirs, if at most this part of them lies so far from their median.
OUTGROWN, FAR, FAR_PART_MAX = 100.0, 30.0, 0.12
_NONE, _NO_NUMBERS = np.empty(0, np.intp), np.empty(0)


def forget(state: State, slot: int, since_ns: int, until_ns: int) -> tuple[State, Contribution, bool]:
    """The state without what a sender's prototypes stand for, what there was, and whether the slot is gone.

    A prototype counts by its newest event. What also stands for local samples loses the sender's mass if that event is
    not earlier than ``since_ns``: the sender's items in it may be older.
    """
    s, n = state, int(state.counts[SIZE])
    held = (s.slot[:n] == slot) & (s.received[:n, PLAIN] > 0)
    local, event = s.local[:n, PLAIN] > 0, s.event[:n]
    reduced = held & local & (event >= since_ns)
    dropped = held & ~local & (event >= since_ns) & (event <= until_ns)
    mixed = held & ~local & (event > until_ns)
    contribution = Contribution(int(dropped.sum()), int(reduced.sum()), int(mixed.sum()), int(s.offered[slot]))
    s.received[:n][reduced] = 0.0
    s.slot[:n][reduced] = LOCAL_SLOT
    s.counts[RECEIVED_HELD] -= contribution.dropped
    keep_prototypes(s, ~dropped)
    s.counts[FRESH] = 0
    rest = held & ~reduced & ~dropped
    if rest.any():
        renew_sender(s, slot)
        return s, contribution, False
    return without_sender(s, slot), contribution, True


def reset(s: State, columns: NDArray[np.intp], mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> None:
    """Features have another mean and deviation in all that was learnt; see `HedgedLVQCore.reset_features`."""
    log = log_scales(s)
    if np.isin(columns, log.columns).any():
        rescale(s, log.without(columns))
    held = s.x[:, columns]
    # Zeros, and prototypes on their way from zero.
    s.x[:, columns] = np.where(np.abs(held - mean) > RESET_DEVIATIONS * deviation, mean, held)
    s.mean[columns], s.class_mean[:, columns] = mean, mean
    s.spread[columns] = s.scalars[WEIGHT] * deviation**2
    s.class_spread[:, columns] = s.class_weight[:, np.newaxis] * deviation**2
    s.class_scatter[:, columns if s.class_scatter.size else slice(0)] = 0.0
    s.class_scatter[:, :, columns if s.class_scatter.size else slice(0)] = 0.0
    if len(s.scatter):
        s.scatter[columns], s.scatter[:, columns] = 0.0, 0.0
        s.scatter[columns, columns] = s.spread[columns]
    s.local_low[columns], s.local_high[columns] = mean - 3 * deviation, mean + 3 * deviation
    merge_bins(s.pairs, columns, len(s.mean))
    s.relief[:, columns], s.relevance[columns], s.linear[:, FEATURES + columns] = 0.0, 0.0, 0.0
    s.counts[FRESH] = 0


def look(s: State, first: FirstSamples | None, beginner: Callable[[], Beginner]) -> FirstSamples | None:
    """See whether the scales of the features suit their values; the ``first`` samples if they are still needed."""
    spoilt = outgrown(s)
    if len(spoilt[0]):
        reset(s, *spoilt)
        entry.refresh(s.header)
    if first is None:
        return None
    better = first.better_scales(s, beginner)
    if better is not None:
        rescale(s, better[0])
        take_over(s, better[1])
        entry.relearn(s.header)
    return first if len(first) < COMPARED_AT[-1] else None


def outgrown(s: State) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Features whose deviation is far beyond that of nearly all newest prototypes; their median, their deviation.

    So a value that no sensor measured (65535, -9999) does not hide a feature for ever, nor does another unit from some
    time on. A feature that is mostly constant, or often far out, stays as it is.
    """
    local = np.flatnonzero(s.local[: s.counts[SIZE], PLAIN] > 0)
    newest = s.x[local[np.argsort(s.event[local], kind="stable")[-NEWEST:]]]
    n = len(newest)
    if n < NEWEST_MIN:
        return _NONE, _NO_NUMBERS, _NO_NUMBERS
    ordered = np.sort(newest, axis=0)
    median, robust = ordered[n // 2], (ordered[3 * n // 4] - ordered[n // 4]) / QUARTILES
    believed = np.sqrt(s.spread / max(float(s.scalars[WEIGHT]), 1.0))
    far = np.abs(newest - median) > FAR * robust
    wide = (robust > 0) & (believed > OUTGROWN * robust) & (far.mean(axis=0) <= FAR_PART_MAX)
    columns = np.flatnonzero(wide & (s.log_unit == 0))
    return columns, median[columns], robust[columns]
