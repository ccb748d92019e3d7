"""Drift alarms as entries of a log: they travel in a few bytes with the next message, and reach every peer.

::

    u8      0x50, then the kind of drift: 0 labels, 1 features, 2 relation
    varint  when it was seen, in ms, by the sender's clock
"""

from __future__ import annotations

from typing import NamedTuple

from protovine import varint
from protovine.drift import KINDS
from protovine.errors import CodecError

ALARM = 0x50
_MS_NS = 1_000_000


class Seen(NamedTuple):
    """A drift of ``kind`` that a node saw at ``at_ns`` by its clock."""

    kind: str
    at_ns: int


def encode_alarm(seen: Seen) -> bytes:
    """An alarm as the payload of an entry.

    Examples
    --------
    >>> data = encode_alarm(Seen("relation", 12_345_000_000))
    >>> len(data), decode_alarm(data)
    (4, Seen(kind='relation', at_ns=12345000000))
    """
    return bytes([ALARM, KINDS.index(seen.kind)]) + varint.write(seen.at_ns // _MS_NS)


def is_alarm(payload: bytes) -> bool:
    """Whether an entry is an alarm; the first byte of other entries is another."""
    return len(payload) > 0 and payload[0] == ALARM


def decode_alarm(payload: bytes) -> Seen:
    """The alarm in an entry; `CodecError` if it is damaged."""
    if not is_alarm(payload) or len(payload) < 3 or payload[1] >= len(KINDS):
        raise CodecError("an alarm is cut off or of an unknown kind")
    at_ms, end = varint.read(payload, 2)
    if end != len(payload) or at_ms > (2**63 - 1) // _MS_NS:
        raise CodecError("an alarm has bytes behind its end, or a time that does not exist")
    return Seen(KINDS[payload[1]], at_ms * _MS_NS)
