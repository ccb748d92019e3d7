"""One message on the wire: a header of varints, an opaque payload, a checksum.

::

    u8      0x70, then u8 version << 4 | kind
    varint  sender
    varint  incarnation   grows each time the sender starts again
    varint  sequence      grows with each share of one incarnation
    varint  samples_learnt  local samples that the sender had learnt
    varint  created       ns, when the sender made it
    bytes   payload; of an acknowledgement the incarnation and sequence of the accepted message, as varints
    u32     CRC-32 of everything before it, little endian

and, for the log (`LogFrame`), where every byte counts::

    u8      0x70, then u8 version << 4 | kind
    varint  sender, incarnation
    varint  sequence      of the first entry, or of the next one if there is none; a summary stands for all up to it
    varint  samples_learnt  local samples that the log covers up to here; 0 if newer entries than these exist
    varint  created       ms, rounded down: the log is complete until then; 0 as above
    varint  acknowledged incarnation, watermark
    varint  n, and n bytes: mask of entries beyond the watermark, the lowest bit for the one after the next
    entries, each a varint length and the bytes of that length, until
    u16     CRC-16/XMODEM of everything before it, little endian
"""

from __future__ import annotations

import binascii
import enum
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from protovine import varint
from protovine.errors import CodecError, RemoteProtocolError

MAGIC = 0x70
PROTOCOL_VERSION = 2
# A set of 400,000 prototypes of 8 features in float32.
MESSAGE_BYTES_MAX = 16 * 2**20
_CRC_BYTES = 4
# The same for a log, where a receiver works on each entry. No log is repaired further back than ENTRIES_MAX entries.
LOG_MESSAGE_BYTES_MAX = 2**18
ENTRIES_MAX = 256


class Kind(enum.IntEnum):
    """The purpose of a message. A probe asks for an answer, and a reliable share for an acknowledgement."""

    SHARE = 1
    LOG = 2
    SUMMARY = 3
    PROBE = 4
    RELIABLE_SHARE = 5
    ACKNOWLEDGEMENT = 6


_KIND_NAMES = {int(kind): kind.name.lower() for kind in Kind}


def kind_name(data: bytes) -> str:
    """The kind of a message, as in `protovine.records.Sent`; ``"unknown"`` if it is none of ours.

    Examples
    --------
    >>> kind_name(bytes([0x70, 0x12])), kind_name(b"noise")
    ('log', 'unknown')
    """
    return _KIND_NAMES.get(data[1] & 0x0F, "unknown") if len(data) > 1 and data[0] == MAGIC else "unknown"


def incarnation_of(data: bytes) -> int | None:
    """The incarnation of the sender that a message names; None if it is none of ours, or cut off.

    Examples
    --------
    >>> incarnation_of(bytes([0x70, 0x12, 3, 7])), incarnation_of(b"noise")
    (7, None)
    """
    if len(data) < 2 or data[0] != MAGIC:
        return None
    try:
        _, at = varint.read(data, 2)
        return varint.read(data, at)[0]
    except CodecError:
        return None


@dataclass(frozen=True, slots=True)
class Frame:
    """A message, decoded.

    Examples
    --------
    >>> frame = Frame(Kind.SHARE, 3, incarnation=1, sequence=9, samples_learnt=250, created_ns=10**9, payload=b"...")
    >>> data = frame.encode()
    >>> len(data) - len(frame.payload), Frame.decode(data) == frame
    (16, True)
    """

    kind: Kind
    sender: int
    incarnation: int
    sequence: int
    samples_learnt: int
    created_ns: int
    payload: bytes | memoryview

    def encode(self) -> bytes:
        """The message's bytes; ``ValueError`` if a field is negative or exceeds 63 bits."""
        head = bytes([MAGIC, PROTOCOL_VERSION << 4 | self.kind])
        for value in (self.sender, self.incarnation, self.sequence, self.samples_learnt, self.created_ns):
            head += varint.write(value)
        body = head + bytes(self.payload)
        return body + zlib.crc32(body).to_bytes(_CRC_BYTES, "little")

    @classmethod
    def decode(cls, data: bytes) -> Frame:
        """The message in ``data``, with a view of it as payload; `RemoteProtocolError` if it is none."""
        kinds = (Kind.SHARE, Kind.RELIABLE_SHARE, Kind.ACKNOWLEDGEMENT)
        kind, body = _opened(data, MESSAGE_BYTES_MAX, _CRC_BYTES, zlib.crc32, kinds)
        fields, at = [], 2
        try:
            for _ in range(5):
                value, at = varint.read(body, at)
                fields.append(value)
        except CodecError as error:
            raise RemoteProtocolError("malformed", str(error)) from None
        sender, incarnation, sequence, samples_learnt, created_ns = fields
        return cls(kind, sender, incarnation, sequence, samples_learnt, created_ns, body[at:])


def _opened(
    data: bytes, bytes_max: int, crc_bytes: int, crc: Callable[[memoryview], int], kinds: tuple[Kind, ...]
) -> tuple[Kind, memoryview]:
    """Kind and bytes, without the checksum, of a message; `RemoteProtocolError` if it is none of these kinds."""
    if len(data) > bytes_max:
        raise RemoteProtocolError("oversize", f"a message may have at most {bytes_max} bytes, got {len(data)}")
    if len(data) < 2 + crc_bytes or data[0] != MAGIC:
        raise RemoteProtocolError("malformed", "not a protovine message")
    if data[1] >> 4 != PROTOCOL_VERSION:
        raise RemoteProtocolError("version", f"protocol version {data[1] >> 4}, expected {PROTOCOL_VERSION}")
    body = memoryview(data)[:-crc_bytes]
    if crc(body) != int.from_bytes(data[-crc_bytes:], "little"):
        raise RemoteProtocolError("checksum", "the checksum does not match")
    kind = data[1] & 0x0F
    if kind not in kinds:
        raise RemoteProtocolError("kind", f"unknown kind of message: {kind}")
    return Kind(kind), body


def _crc16(data: bytearray | memoryview) -> int:
    return binascii.crc_hqx(data, 0)


_MS_NS = 1_000_000
_LOG_FIELDS, _LOG_CRC_BYTES = 8, 2


class LogFrame(msgspec.Struct, frozen=True, gc=False):
    """A message with entries of the sender's log, and a digest of the recipient's log at the sender.

    Bit i of ``acked_mask`` is entry ``acked`` + 1 + i; the lowest is never set, as the watermark would move.

    Examples
    --------
    >>> frame = LogFrame(
    ...     Kind.LOG, sender=3, incarnation=1, sequence=9, samples_learnt=250, created_ns=10**9,
    ...     acked_incarnation=1, acked=7, acked_mask=0, entries=(b"...",),
    ... )
    >>> data = frame.encode()
    >>> len(data) - len(frame.entries[0]), LogFrame.decode(data) == frame
    (15, True)
    """

    kind: Kind
    sender: int
    incarnation: int
    sequence: int
    samples_learnt: int
    created_ns: int
    acked_incarnation: int
    acked: int
    acked_mask: int
    entries: tuple[bytes, ...]

    @property
    def last(self) -> int:
        """The largest sequence number that the message covers."""
        return self.sequence if self.kind == Kind.SUMMARY else self.sequence + len(self.entries) - 1

    def encode(self) -> bytes:
        """The message's bytes; ``ValueError`` if a field is negative or exceeds 63 bits."""
        mask = (self.acked_mask >> 1).to_bytes(((self.acked_mask >> 1).bit_length() + 7) // 8, "little")
        out = bytearray([MAGIC, PROTOCOL_VERSION << 4 | self.kind])
        for value in (
            self.sender,
            self.incarnation,
            self.sequence,
            self.samples_learnt,
            self.created_ns // _MS_NS,
            self.acked_incarnation,
            self.acked,
            len(mask),
        ):
            if 0 <= value < 0x80:
                out.append(value)
            else:
                out += varint.write(value)
        out += mask
        for entry in self.entries:
            out += varint.write(len(entry)) + entry
        return bytes(out) + _crc16(out).to_bytes(_LOG_CRC_BYTES, "little")

    @classmethod
    def decode(cls, data: bytes) -> LogFrame:
        """The message in ``data``; `RemoteProtocolError` if it is none."""
        kinds = (Kind.LOG, Kind.SUMMARY, Kind.PROBE)
        kind, view = _opened(data, LOG_MESSAGE_BYTES_MAX, _LOG_CRC_BYTES, _crc16, kinds)
        body = bytes(view)
        try:
            fields, mask, at = _read_fields(body)
            entries = _read_entries(body, at)
        except CodecError as error:
            raise RemoteProtocolError("malformed", str(error)) from None
        sender, incarnation, sequence, samples_learnt, created_ms, acked_incarnation, acked, _ = fields
        wanted = {Kind.SUMMARY: 1, Kind.PROBE: 0}.get(kind, len(entries))
        if len(entries) != wanted:
            raise RemoteProtocolError("malformed", f"a {kind.name.lower()} has {wanted} entries, got {len(entries)}")
        if sequence + len(entries) > varint.MAX:
            # What follows could not be written: the receiver would acknowledge it.
            raise RemoteProtocolError("malformed", f"entries from number {sequence} on")
        return cls(
            kind,
            sender,
            incarnation,
            sequence,
            samples_learnt,
            created_ms * _MS_NS,
            acked_incarnation,
            acked,
            mask,
            tuple(entries),
        )


def _read_fields(body: bytes) -> tuple[list[int], int, int]:
    """The integers of a log's header, the mask, and the position after them."""
    fields, at = [], 2
    for _ in range(_LOG_FIELDS):
        value, at = (body[at], at + 1) if at < len(body) and body[at] < 0x80 else varint.read(body, at)
        fields.append(value)
    if fields[4] > varint.MAX // _MS_NS:
        raise CodecError(f"created {fields[4]} ms after the epoch")
    size = fields[-1]
    if size > ENTRIES_MAX // 8 or at + size > len(body):
        raise CodecError(f"a mask of {size} bytes is cut off or too long")
    if size and not body[at + size - 1]:
        raise CodecError("a mask is padded")  # One value, one spelling.
    return fields, int.from_bytes(body[at : at + size], "little") << 1, at + size


def _read_entries(body: bytes, at: int) -> list[bytes]:
    entries: list[bytes] = []
    while at < len(body):
        size, at = varint.read(body, at)
        if at + size > len(body):
            raise CodecError("an entry is cut off")
        if len(entries) == ENTRIES_MAX:
            raise CodecError(f"more than {ENTRIES_MAX} entries")
        entries.append(body[at : at + size])
        at += size
    return entries
