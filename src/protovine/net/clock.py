"""The time of a node: the system's clock, watched for jumps by another clock that cannot be set."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from protovine.records import SECOND_NS

# A clock that shows less was never set: gateways without a battery begin in 1970. This software is younger.
SET_SINCE_NS = 1_767_225_600 * SECOND_NS
# Differences below this are made up slowly; NTP, too, makes up for less than a second without a jump.
_JUMP_NS = 5 * SECOND_NS


def steady_ns() -> int:
    """Nanoseconds since the computer started, with the time that it slept."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class Jump:
    """The system's clock was set by ``by_ns`` to ``now_ns``; it had shown ``since_ns`` when the process started."""

    by_ns: int
    since_ns: int
    now_ns: int

    def __str__(self) -> str:
        way = "ahead" if self.by_ns > 0 else "back"
        return f"the clock was set {way} by {lasting(abs(self.by_ns))}, to {shown(self.now_ns)}"


class Clock:
    """The system's time in nanoseconds since 1970, which goes back only with a `Jump`.

    If the system's clock goes back by less than 5 s, this one runs at half speed until the other has caught up. While
    the system's clock shows a time before ``least_ns``, because it was never set, time goes on from ``least_ns``.

    Parameters
    ----------
    wall, steady : callable () -> int
        The system's clock, which may jump, and one that counts the nanoseconds that pass.

    Examples
    --------
    >>> wall, steady = iter([100 * SECOND_NS, 40 * SECOND_NS]), iter([0, 0, SECOND_NS])
    >>> clock = Clock(lambda: next(wall), lambda: next(steady), least_ns=0)
    >>> clock() // SECOND_NS, clock() // SECOND_NS
    (100, 40)
    >>> str(clock.take_jump())
    'the clock was set back by 1 minute, to 1970-01-01 00:00:40 UTC'
    """

    def __init__(
        self,
        wall: Callable[[], int] = time.time_ns,
        steady: Callable[[], int] = steady_ns,
        *,
        least_ns: int = SET_SINCE_NS,
    ) -> None:
        self._wall, self.steady = wall, steady
        self.least_ns = least_ns
        self._read_at_ns = steady()
        self._now_ns: int | None = None
        self._since_ns = self._last_ns = 0
        self._jump: Jump | None = None
        self.jumps = 0

    @property
    def is_set(self) -> bool:
        """Whether the system's clock shows a possible time."""
        return self.shows_ns >= self.least_ns

    @property
    def shows_ns(self) -> int:
        """What the system's clock shows."""
        return self._wall()

    @property
    def warnings(self) -> list[str]:
        """What a person should know."""
        if self.is_set:
            return []
        return [f"the clock is not set: it shows {shown(self.shows_ns)}, and it is at least {shown(self.least_ns)}"]

    def at_least(self, ns: int) -> None:
        """A system's clock that shows an earlier time is not set. Call it before the first reading."""
        self.least_ns = max(self.least_ns, ns)

    def go_on_from(self, ns: int) -> None:
        """The time when this node last ran: time goes on from there while the system's clock is not set."""
        self._last_ns = ns

    def __call__(self) -> int:
        wall_ns, read_at_ns = self._wall(), self.steady()
        passed_ns = read_at_ns - self._read_at_ns
        self._read_at_ns = read_at_ns
        if self._now_ns is None:
            unset_ns = max(self.least_ns, self._last_ns)
            self._now_ns = self._since_ns = wall_ns if wall_ns >= self.least_ns else unset_ns
            return self._now_ns
        if wall_ns < self.least_ns:
            self._now_ns += passed_ns
            return self._now_ns
        by_ns = wall_ns - self._now_ns - passed_ns
        if abs(by_ns) < _JUMP_NS:
            self._now_ns = max(self._now_ns + passed_ns // 2, wall_ns)
            return self._now_ns
        earlier = self._jump.by_ns if self._jump is not None else 0
        since_ns = self._since_ns - earlier
        self._since_ns += by_ns
        self._now_ns = wall_ns
        self._jump = Jump(earlier + by_ns, since_ns, wall_ns)
        self.jumps += 1
        return wall_ns

    def take_jump(self) -> Jump | None:
        """The jumps since the last call, as one."""
        jump, self._jump = self._jump, None
        return jump


def shown(ns: int) -> str:
    """A time for people."""
    try:
        return f"{datetime.fromtimestamp(ns // SECOND_NS, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return f"{ns / SECOND_NS:.0f} s after 1970"


def shown_range(since_ns: int, until_ns: int) -> str:
    """A range of times for people.

    Examples
    --------
    >>> shown_range(0, 60 * SECOND_NS), shown_range(SECOND_NS, 2**63 - 1)
    ('until 1970-01-01 00:01:00 UTC', 'from 1970-01-01 00:00:01 UTC on')
    """
    begin = f"from {shown(since_ns)}" if since_ns else ""
    if until_ns >= 2**63 - 1:
        return f"{begin} on" if begin else "at any time"
    return f"{begin} until {shown(until_ns)}".strip()


def lasting(ns: int) -> str:
    """A time span for people.

    Examples
    --------
    >>> lasting(30 * 365 * 86_400 * SECOND_NS), lasting(SECOND_NS * 3700), lasting(SECOND_NS * 12)
    ('30 years', '1 hour', '12 seconds')
    """
    seconds = ns / SECOND_NS
    for unit, size in (("year", 31_536_000), ("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {unit}" + "s" * (count != 1)
    return f"{seconds:.0f} second" + "s" * (round(seconds) != 1)
