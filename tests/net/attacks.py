"""What a member with a good certificate and bad intentions sends, for tests that show that nothing comes of it."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable

import numpy as np

from protovine import varint
from protovine.gossip import Kind, LogFrame
from protovine.gossip.frame import _crc16
from protovine.net import Envelope, Identity
from protovine.net.security.hello import SIGNED, HelloBody, write_hello
from protovine.share.items import ITEMS, SUMMARY
from protovine.share.scales import SCALES


def frame(sender: int, entries: tuple[bytes, ...], sequence: int = 1, incarnation: int = 1) -> bytes:
    now_ns = time.time_ns()
    return LogFrame(Kind.LOG, sender, incarnation, sequence, 1, now_ns, 0, 0, 0, entries).encode()


def with_length(sender: int, length: int) -> bytes:
    """A frame whose one entry claims ``length`` bytes and has four; its checksum fits."""
    whole = frame(sender, (b"abcd",))[:-2]
    body = whole[: -(1 + 4)] + varint.write(length) + b"abcd"
    return body + _crc16(body).to_bytes(2, "little")


def bad_entries(dim: int) -> list[bytes]:
    """Entries that are no scales, items or summaries of ``dim`` features: NaN, infinite, absurd, cut, unknown."""
    head = varint.write(0) + varint.write(10**18) + b"\0"
    nan, infinite, huge, negative = 0x7FC0, 0x7F80, 0x7F00, 0xBF80

    def scales(word: int, offset: int) -> bytes:
        return head + (b"\x05" + word.to_bytes(2, "little") + varint.write(offset)) * dim

    def grids(lowest: float) -> bytes:
        return head + (b"\x51" + (0x3F80).to_bytes(2, "little") + struct.pack("<d", lowest)) * dim

    made = [bytes([SCALES]) + scales(word, 0) for word in (nan, infinite, negative, 0)]
    made += [
        bytes([SCALES]) + scales(huge, 2**53),
        bytes([SCALES]) + scales(0x3F80, 2**60),
        bytes([SCALES]) + b"\xff" * 30,
    ]
    made += [bytes([SCALES]) + grids(lowest) for lowest in (math.nan, math.inf, -1e300)]
    made += [bytes([SCALES | 4]) + bytes(50), bytes([ITEMS | 4]) + bytes(50), bytes([ITEMS | 8]) + b"\xff" * 60]
    made += [bytes([SUMMARY]) + scales(nan, 0) + varint.write(1) + bytes(dim + 3)]
    made += [bytes([SUMMARY]) + scales(0x3F80, 0) + varint.write(2**40), bytes([SUMMARY | 4]) + bytes(50)]
    made += [bytes([ITEMS]), b"\x70abc", bytes([ITEMS]) + b"\xff" * 60]
    return made


def hello_in_the_name_of(name: str, id: int, own: Envelope, identity: Identity, schema: bytes) -> bytes:
    """A hello of another, signed by the own key and with the own certificate."""
    real = own.public
    body = HelloBody(identity.member.swarm, name, id, 99, time.time_ns(), schema, real, own._certificate)
    return write_hello(SIGNED, body, identity.key)


def garbage(draw: np.random.Generator) -> Callable[[], bytes]:
    """Random bytes, of lengths from 0 to 20,000, 10,000 on the average."""
    pool = draw.bytes(1_000_000)

    def some() -> bytes:
        size, at = int(draw.integers(0, 20_000)), int(draw.integers(0, 970_000))
        return pool[at : at + size]

    return some
