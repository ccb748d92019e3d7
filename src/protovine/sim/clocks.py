"""Clocks that are wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass


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
