"""A limit on the bytes that leave a node: a token bucket with time as an argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from protovine.errors import check_range
from protovine.records import SECOND_NS

# The bucket holds the bytes of this many seconds.
BURST_S = 10


@dataclass(frozen=True)
class Device:
    """What a node knows of the radio that sends its messages.

    Parameters
    ----------
    message_bytes : int
        The size of a message that fills its frames.
    bytes_per_s : float >= 0
        What it can send for ever in such messages; 0 is no limit.
    busy_ns : callable (bytes) -> int, optional
        How long a message keeps it from sending another one.
    """

    message_bytes: int
    bytes_per_s: float = 0.0
    busy_ns: Callable[[int], int] | None = None


class Budget:
    """At most ``bytes_per_s`` * (t + 10) bytes in any t seconds.

    Parameters
    ----------
    bytes_per_s : float >= 0
        0 is no limit.
    message_bytes_max : int
        Largest single message, whatever the budget.
    device_ns : callable (bytes) -> int, optional
        How long a message keeps the device from sending another one, by a duty cycle for example.
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

    def __init__(
        self,
        bytes_per_s: float,
        message_bytes_max: int,
        full: bool,
        device_ns: Callable[[int], int] | None = None,
    ) -> None:
        self._bytes_max, self._device_ns = message_bytes_max, device_ns
        self.free_ns = 0  # From then on the device may send.
        self._set(bytes_per_s)
        self._tokens = bytes_per_s * BURST_S if full else 0.0
        self._tokens_ns: int | None = None

    def _set(self, bytes_per_s: float) -> None:
        check_range("budget_bytes_per_s", bytes_per_s, 0, 1e12)
        self.bytes_per_s = bytes_per_s
        self.message_bytes_max = self._bytes_max
        if bytes_per_s:
            self.message_bytes_max = min(self._bytes_max, math.floor(bytes_per_s * BURST_S))

    def change(self, bytes_per_s: float, now_ns: int) -> None:
        """From now on the budget is another one. The bucket keeps what it holds; it is empty where there was none."""
        self.room(now_ns)
        self._tokens = min(self._tokens, bytes_per_s * BURST_S) if self.bytes_per_s else 0.0
        self._tokens_ns = now_ns
        self._set(bytes_per_s)

    def room(self, now_ns: int) -> int:
        """Bytes that one message may have now."""
        if now_ns < self.free_ns:
            return 0
        if not self.bytes_per_s:
            return self.message_bytes_max
        earned = self.bytes_per_s * (now_ns - (now_ns if self._tokens_ns is None else self._tokens_ns)) / SECOND_NS
        self._tokens = min(self._tokens + earned, self.bytes_per_s * BURST_S)
        self._tokens_ns = now_ns
        return min(self.message_bytes_max, math.floor(self._tokens))

    def spend(self, size: int, now_ns: int) -> bool:
        """Take ``size`` bytes from the bucket; false, and nothing changes, if there is no room for them."""
        if size > self.room(now_ns):
            return False
        self._tokens -= size if self.bytes_per_s else 0
        if self._device_ns is not None:
            self.free_ns = now_ns + self._device_ns(size)
        return True

    def shift(self, by_ns: int) -> None:
        """The clock was set: times that this object keeps move with it."""
        self.free_ns += by_ns
        if self._tokens_ns is not None:
            self._tokens_ns += by_ns

    def empty(self) -> None:
        """Empty the bucket, as after a restart."""
        self._tokens = 0.0
