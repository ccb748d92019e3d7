"""How long shared prototypes travel: from the making of a message at its sender to its acceptance here."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

import numpy as np

from protovine.records import SECOND_NS, Received

# Upper bounds in seconds, for histograms.
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_NEWEST = 10_000


class Durations:
    """A histogram of seconds, and quantiles of the newest 10,000.

    Attributes
    ----------
    counts : list of int
        Durations up to each of `BOUNDS_S` that are above the bound before; the last one is for all beyond.
    sum_s : float
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0
        self._newest_s: deque[float] = deque(maxlen=_NEWEST)

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds
        self._newest_s.append(seconds)

    def summary(self) -> dict[str, float | None]:
        """``count`` of all, ``p50`` and ``p99`` in seconds of the newest 10,000, or None while there is none."""
        newest = list(self._newest_s)
        if not newest:
            return {"count": 0, "p50": None, "p99": None}
        p50, p99 = np.quantile(newest, [0.5, 0.99])
        return {"count": sum(self.counts), "p50": float(p50), "p99": float(p99)}


class Latency(Durations):
    """Seconds from creation to acceptance of every message with prototypes that was newer than those before it.

    Each end is read from that member's clock, so the difference of the clocks is in it; if the sender's clock is ahead
    by more than the journey, the message counts as 0 s. A log's messages carry whole milliseconds, rounded down.

    Examples
    --------
    >>> latency = Latency()
    >>> for ms in (3, 4, 900):
    ...     latency.note(Received((1000 + ms) * 10**6, 0, peer=1, incarnation=1, sequence=ms, samples_learnt=ms,
    ...                           created_ns=10**9 + ms, prototypes=1, message_bytes=60))
    >>> summary = latency.summary()
    >>> summary["count"], round(summary["p50"], 6)
    (3, 0.004)
    """

    def __init__(self) -> None:
        super().__init__()
        self._known_ns: dict[int, int] = {}
        self._learnt: dict[int, tuple[int, int]] = {}  # Incarnation and samples of the newest message.

    def expect(self, peer: int, created_ns: int) -> None:
        """A message of ``peer`` made at ``created_ns`` is known already, for example from a snapshot."""
        self._known_ns[peer] = created_ns

    def note(self, record: Received) -> None:
        """Count an accepted message, unless it is older than a known one or has no prototypes."""
        incarnation, learnt = self._learnt.get(record.peer, (0, 0))
        self._learnt[record.peer] = record.incarnation, record.samples_learnt
        # If the peer's clock was set back, a message that says more is newer all the same.
        more = incarnation == record.incarnation and record.samples_learnt > learnt
        if record.created_ns <= self._known_ns.get(record.peer, 0) and not more:
            return
        self._known_ns[record.peer] = record.created_ns
        if not record.prototypes:
            return
        self.add(max(0, record.at_ns - record.created_ns) / SECOND_NS)
