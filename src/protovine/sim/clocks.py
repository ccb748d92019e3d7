"""Clocks that are wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from protovine.records import Received, Record, Trained, TrainedRun


@dataclass(frozen=True, slots=True)
class SkewedClock:
    """A node's wrong clock: ``ahead_ns`` >= 0 ahead at the start, and ``fast_ppm`` parts per million too fast.

    Examples
    --------
    >>> clock = SkewedClock(ahead_ns=500, fast_ppm=10)
    >>> clock.shows(1_000_000_000), clock.when(1_000_010_500)
    (1000010500, 1000000000)
    """

    ahead_ns: int = 0
    fast_ppm: float = 0.0

    def shows(self, at_ns: int) -> int:
        """The time that it shows at a true time."""
        return at_ns + self.ahead_ns + round(at_ns * self.fast_ppm * 1e-6)

    def when(self, shown_ns: int) -> int:
        """The true time at which it begins to show this."""
        at_ns = math.ceil((shown_ns - self.ahead_ns) / (1.0 + self.fast_ppm * 1e-6))
        while self.shows(at_ns) < shown_ns:  # A float is too coarse for times of today.
            at_ns += shown_ns - self.shows(at_ns)
        return at_ns


def in_true_time(record: Record, clocks: Sequence[SkewedClock], now_ns: int) -> Record:
    """A node's record of ``now_ns``, with true times instead of those of the nodes' clocks."""
    if isinstance(record, Received):
        created_ns = _made_ns(record.created_ns, clocks[record.node], clocks[record.peer], now_ns)
        record = msgspec.structs.replace(record, created_ns=created_ns)
    elif isinstance(record, Trained):
        runs = tuple(_true_run(run, clocks[record.node], clocks[run.peer], now_ns) for run in record.runs)
        record = msgspec.structs.replace(record, runs=runs)
    return msgspec.structs.replace(record, at_ns=now_ns)


def _true_run(run: TrainedRun, own: SkewedClock, other: SkewedClock, now_ns: int) -> TrainedRun:
    steps = run.count - 1
    first_ns, last_ns = (min(own.when(run.first_ns + run.step_ns * step), now_ns) for step in (0, steps))
    created_ns = _made_ns(run.created_ns, own, other, first_ns)
    step_ns = (last_ns - first_ns) // max(1, steps)
    return TrainedRun(run.peer, created_ns, first_ns, step_ns, run.count, run.fresh)


def _made_ns(shown_ns: int, own: SkewedClock, other: SkewedClock, until_ns: int) -> int:
    """The true time at which another node made a message: between 0 and ``until_ns``.

    A time in the future of the receiver's own clock counts as now there, so ``shown_ns`` is then by that clock. It is
    the later one of both times: the sender's clock showed it before the message was made.
    """
    return max(0, min(max(own.when(shown_ns), other.when(shown_ns)), until_ns))
