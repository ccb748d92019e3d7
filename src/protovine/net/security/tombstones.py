"""Tombstones on the authority's list: whose contributions all members forget, and of which time.

They are an extension of the revocation list, so they are signed, numbered, spread and kept with it. The extension is a
msgpack array of arrays: the member's URI, and the first and last event time in nanoseconds since 1970, both included.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from cryptography import x509

# An arc from a random UUID (ITU-T X.667).
TOMBSTONES = x509.ObjectIdentifier("2.25.54375538853705727751354196203030992713")
TOMBSTONES_MAX = 10_000
_Time = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class TombstoneFields(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """One tombstone as it stands in the list."""

    member: Annotated[str, msgspec.Meta(max_length=200)]
    since_ns: _Time
    until_ns: _Time


_decoder = msgspec.msgpack.Decoder(Annotated[list[TombstoneFields], msgspec.Meta(max_length=TOMBSTONES_MAX)])


def encode_tombstones(stones: Iterable[TombstoneFields]) -> bytes:
    """The value of the extension."""
    return msgspec.msgpack.encode(list(stones))


def decode_tombstones(data: bytes) -> list[TombstoneFields]:
    """The tombstones in the value of the extension; ``ValueError`` if it is anything else.

    Examples
    --------
    >>> stone = TombstoneFields("protovine://barn/node-3/3", 0, 5)
    >>> decode_tombstones(encode_tombstones([stone])) == [stone]
    True
    """
    try:
        found: list[TombstoneFields] = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"these are no tombstones: {error}") from None
    for stone in found:
        if stone.since_ns > stone.until_ns:
            raise ValueError(f"a tombstone that ends before it begins: {stone.since_ns} to {stone.until_ns}")
    return found


def tombstones_of(revocations: x509.CertificateRevocationList) -> list[TombstoneFields]:
    """The tombstones on a list; ``ValueError`` if they are damaged."""
    for extension in revocations.extensions:
        if extension.oid == TOMBSTONES and isinstance(extension.value, x509.UnrecognizedExtension):
            return decode_tombstones(extension.value.value)
    return []
