"""A limit on the bytes that leave a node: a token bucket with time as an argument."""

from __future__ import annotations

import math

from protovine.errors import check_range
from protovine.records import SECOND_NS

# The bucket holds the bytes of this many seconds.
BURST_S = 10


class Budget:
    """At most ``bytes_per_s`` * (t + 10) bytes in any t seconds, or ``bytes_per_s`` * t + ``bucket_bytes_min``.

    Parameters
    ----------
    bytes_per_s : float >= 0
        0 is no limit.
    message_bytes_max : int
        Largest single message, whatever the budget.
    bucket_bytes_min : int
        The bucket holds at least this many bytes: a budget below a tenth of a message per second saves for one.
    full : bool
        Whether the bucket is full at first. After a restart it is empty: repeated crashes earn no new bursts.

    Raises
    ------
    ConfigError
        ``bytes_per_s`` is out of range.

    Examples
    --------
    >>> budget = Budget(10, message_bytes_max=1000, full=True)
    >>> budget.spend(80, 0), budget.room(0), budget.spend(30, 0), budget.room(5 * 10**9)
    (True, 20, False, 70)
    """

    def __init__(self, bytes_per_s: float, message_bytes_max: int, full: bool, bucket_bytes_min: int = 0) -> None:
        self._bytes_max, self._bucket_min = message_bytes_max, bucket_bytes_min
        self._set(bytes_per_s)
        self._tokens = self._bucket if full else 0.0
        self._tokens_ns: int | None = None

    def _set(self, bytes_per_s: float) -> None:
        check_range("budget_bytes_per_s", bytes_per_s, 0, 1e12)
        self.bytes_per_s = bytes_per_s
        self._bucket = max(bytes_per_s * BURST_S, float(self._bucket_min)) if bytes_per_s else 0.0
        self.message_bytes_max = self._bytes_max
        if bytes_per_s:
            self.message_bytes_max = min(self._bytes_max, math.floor(self._bucket))

    def change(self, bytes_per_s: float, now_ns: int) -> None:
        """From now on the budget is another one. The bucket keeps what it holds; it is empty where there was none."""
        self.room(now_ns)
        held = self._tokens if self.bytes_per_s else 0.0
        self._set(bytes_per_s)
        self._tokens, self._tokens_ns = min(held, self._bucket), now_ns

    def room(self, now_ns: int) -> int:
        """Bytes that one message may have now."""
        if not self.bytes_per_s:
            return self.message_bytes_max
        earned = self.bytes_per_s * (now_ns - (now_ns if self._tokens_ns is None else self._tokens_ns)) / SECOND_NS
        self._tokens = min(self._tokens + earned, self._bucket)
        self._tokens_ns = now_ns
        return min(self.message_bytes_max, math.floor(self._tokens))

    def spend(self, size: int, now_ns: int) -> bool:
        """Take ``size`` bytes from the bucket; false, and nothing changes, if there is no room for them."""
        if size > self.room(now_ns):
            return False
        self._tokens -= size if self.bytes_per_s else 0
        return True

    def shift(self, by_ns: int) -> None:
        """The clock was set: times that this object keeps move with it."""
        if self._tokens_ns is not None:
            self._tokens_ns += by_ns

    def empty(self) -> None:
        """Empty the bucket, as after a restart."""
        self._tokens = 0.0
