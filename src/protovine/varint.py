"""Unsigned LEB128 integers, as the message header and the payloads use them."""

from __future__ import annotations

from protovine.errors import CodecError

# 9 groups of 7 bits hold any non-negative int64.
_BYTES_MAX = 9
MAX = 2**63 - 1
_SHORT = [bytes([value]) for value in range(0x80)]


def write(value: int) -> bytes:
    """``value`` in 1 to 9 bytes, 7 bits each, least significant first; the top bit says that more follow.

    Examples
    --------
    >>> write(300).hex()
    'ac02'
    """
    if 0 <= value <= 0x7F:  # Most are a single byte.
        return _SHORT[value]
    if not 0 <= value <= MAX:
        raise ValueError(f"a varint must be in [0, 2**63), got {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """The integer at position ``at`` and the position after it.

    Raises
    ------
    CodecError
        The bytes end too early, or the integer is longer than it needs to be or than 63 bits.

    Examples
    --------
    >>> read(bytes.fromhex("ac02"), 0)
    (300, 2)
    """
    if at < len(data) and data[at] < 0x80:  # Most are a single byte.
        return data[at], at + 1
    value = 0
    for i in range(_BYTES_MAX):
        if at + i >= len(data):
            raise CodecError("an integer is cut off")
        byte = data[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            if byte == 0 and i > 0:
                raise CodecError("an integer is padded")  # One value, one spelling.
            return value, at + i + 1
    raise CodecError("an integer is longer than 63 bits")


def zigzag(value: int) -> int:
    """A signed integer as one that is not negative: 0, -1, 1, -2 are 0, 1, 2, 3.

    Examples
    --------
    >>> [zigzag(value) for value in (0, -1, 1, -2)]
    [0, 1, 2, 3]
    """
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    """The signed integer that `zigzag` turned into ``value``.

    Examples
    --------
    >>> unzigzag(zigzag(-5))
    -5
    """
    return value >> 1 if not value & 1 else -((value + 1) >> 1)
