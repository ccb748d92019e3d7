"""What sealed messages have in common: sizes, the head, and the window of counters against replays."""

from __future__ import annotations

from protovine import varint
from protovine.errors import CodecError, LocalProtocolError, RemoteProtocolError
from protovine.net.security.identity import MEMBER_ID_MAX

TAG_BYTES = 8
# With nonces of 11 bytes CCM takes messages of up to 4 GiB; with 13 it would be 64 KiB.
KEY_BYTES, NONCE_BYTES = 16, 11
# Counters up to this far behind the newest are still taken, once.
WINDOW = 256
# Messages under one key. At 1 kB each, CCM's bound on an attacker's advantage is then 2**-50 (130 blocks a message).
COUNTER_MAX = 2**32 - 1


class Window:
    """Which counters came: all are new once, but those too far behind the newest are never new.

    Examples
    --------
    >>> window = Window()
    >>> window.note(5)
    >>> window.is_new(5), window.is_new(4), window.is_new(300)
    (False, True, True)
    >>> window.note(300)
    >>> window.is_new(4)
    False
    """

    __slots__ = ("_newest", "_seen")

    def __init__(self) -> None:
        self._newest = -1
        self._seen = 0  # Bit i: the counter i before the newest came.

    def is_new(self, counter: int) -> bool:
        """Whether the counter may still be noted."""
        behind = self._newest - counter
        return behind < 0 or (behind < WINDOW and not self._seen >> behind & 1)

    def note(self, counter: int) -> None:
        """The message with this counter, which is new, was opened."""
        behind = self._newest - counter
        if behind < 0:
            self._seen = (self._seen << -behind | 1) & ((1 << WINDOW) - 1) if -behind < WINDOW else 1
            self._newest = counter
        else:
            self._seen |= 1 << behind


def check_payload(payload: bytes, bytes_max: int) -> None:
    """`LocalProtocolError` if a payload is too long to be sealed.

    Examples
    --------
    >>> check_payload(b"abc", 2)
    Traceback (most recent call last):
    protovine.errors.LocalProtocolError: a payload may have 2 bytes, got 3
    """
    if len(payload) > bytes_max:
        raise LocalProtocolError(f"a payload may have {bytes_max} bytes, got {len(payload)}")


def check_sealed(data: bytes, bytes_max: int) -> None:
    """`RemoteProtocolError` ``oversize`` if a sealed message is longer than any that a member sends.

    Examples
    --------
    >>> check_sealed(b"abc", 2)
    Traceback (most recent call last):
    protovine.errors.RemoteProtocolError: a message of 3 bytes
    """
    if len(data) > bytes_max:
        raise RemoteProtocolError("oversize", f"a message of {len(data)} bytes")


def read_sender(data: bytes) -> tuple[int, int]:
    """Sender and where the rest begins, of a message of an open network; `RemoteProtocolError` ``malformed``.

    Examples
    --------
    >>> read_sender(bytes([3]) + b"rest")
    (3, 1)
    """
    try:
        return varint.read(data, 0)
    except CodecError as error:
        raise RemoteProtocolError("malformed", str(error)) from None


def read_head(data: bytes) -> tuple[int, int, int, int]:
    """Sender, hint, counter and where the payload begins; `RemoteProtocolError` ``malformed``.

    Examples
    --------
    >>> read_head(bytes([3 << 3 | 1, 7]) + bytes(TAG_BYTES))
    (3, 1, 7, 2)
    """
    try:
        first, at = varint.read(data, 0)
        counter, at = varint.read(data, at)
    except CodecError as error:
        raise RemoteProtocolError("malformed", str(error)) from None
    if first >> 3 > MEMBER_ID_MAX or counter > COUNTER_MAX or len(data) < at + TAG_BYTES:
        raise RemoteProtocolError("malformed", "not a sealed message")
    return first >> 3, first & 7, counter, at
