"""Limits over time: how often something may happen, and how long something may last. Times are nanoseconds."""

from __future__ import annotations

from protovine.records import SECOND_NS

# Starts are numbered by minutes, one after the other, or, where the last number was lost, by seconds since 1970.
_STARTS_AHEAD = 2**32


def incarnation_max(now_ns: int) -> int:
    """The highest number of a start that is believed at this time.

    It grows with time, so the thief of a key cannot take a number that no later start could exceed.

    Examples
    --------
    >>> incarnation_max(2 * 10**9)
    4294967298
    """
    return now_ns // SECOND_NS + _STARTS_AHEAD


class TokenBucket:
    """Allows ``rate_per_s`` tokens per second in the long run, and at most ``burst`` at once.

    Examples
    --------
    >>> bucket = TokenBucket(rate_per_s=1, burst=2, now_ns=0)
    >>> [bucket.take(now_ns) for now_ns in (0, 0, 0, 10**9)]
    [True, True, False, True]
    """

    def __init__(self, rate_per_s: float, burst: float, now_ns: int) -> None:
        self.rate_per_s, self.burst = rate_per_s, burst
        self._tokens, self._at_ns = burst, now_ns

    def take(self, now_ns: int, count: float = 1.0) -> bool:
        """Whether ``count`` tokens are there; they are gone then."""
        elapsed_ns = max(0, now_ns - self._at_ns)
        self._tokens = min(self.burst, self._tokens + elapsed_ns / SECOND_NS * self.rate_per_s)
        self._at_ns = max(self._at_ns, now_ns)
        if count > self._tokens:
            return False
        self._tokens -= count
        return True


class Patience:
    """Decides when a problem has lasted too long: after ``first_ns``, then after twice as long, up to ``most_ns``.

    Examples
    --------
    >>> patience = Patience(10, 35, now_ns=0)
    >>> [now_ns for now_ns in range(110) if patience.over(True, now_ns)]
    [10, 30, 65, 100]
    """

    def __init__(self, first_ns: int, most_ns: int, now_ns: int) -> None:
        self.first_ns, self.most_ns = first_ns, most_ns
        self._wait_ns, self._fine_at_ns, self._tried_at_ns = first_ns, now_ns, now_ns

    def over(self, problem: bool, now_ns: int) -> bool:
        """Whether to act now, given whether there is a problem."""
        if not problem:
            self._fine_at_ns = now_ns
            if now_ns - self._tried_at_ns > self._wait_ns:
                self._wait_ns = self.first_ns  # The last attempt helped, and for long.
            return False
        if now_ns - max(self._fine_at_ns, self._tried_at_ns) < self._wait_ns:
            return False
        self._tried_at_ns, self._wait_ns = now_ns, min(2 * self._wait_ns, self.most_ns)
        return True
