"""Encode prototype sets: versioned, compact, column by column, and safe to decode from an untrusted sender.

Layout, little endian (`docs/reference/messages.md`)::

    u8      0x10 | 1 for float64 | 2 for labels of two bytes
    varint  n, number of prototypes
    varint  d, number of features
    i64     base: smallest event time in ns
    u8      shift: event times are base + (offset << shift)          float32 only
    u8|u16  label[n]
    u32|i64 event time offset[n]
    f32|f64 weight[n]
    f32|f64 x[n][d]

The checksum is the message's (`protovine.gossip.frame`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protovine import varint
from protovine.errors import CodecError
from protovine.prototypes import FEATURE_MAX, PrototypeSet

_VERSION = 0x10
_FLOAT64 = 0x01
_WIDE_LABELS = 0x02


@dataclass(frozen=True, slots=True)
class SetLimits:
    """What a receiver accepts: exactly ``dim`` features, labels below ``n_classes``, at most ``prototypes_max``."""

    dim: int
    n_classes: int
    prototypes_max: int = 100_000


def encode_set(prototypes: PrototypeSet, dtype: str = "float32") -> bytes:
    """The set's bytes. float64 is exact; float32 rounds vectors and weights to float32 and event times to 2**-31 of
    the set's time span.

    Raises
    ------
    ValueError
        A label exceeds 65,535, a value is not finite or larger than `FEATURE_MAX`, or an event time is negative.

    Examples
    --------
    >>> s = PrototypeSet.of([[0.5, 1.0]], [1], weight=[3], event_ns=[7])
    >>> data = encode_set(s)
    >>> len(data)
    29
    >>> decode_set(data, SetLimits(dim=2, n_classes=2)).weight
    array([3.])
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be float32 or float64, got {dtype}")
    exact = dtype == "float64"
    n = len(prototypes)
    number = "<f8" if exact else "<f4"
    if n and not (np.abs(prototypes.x).max() <= FEATURE_MAX and prototypes.weight.max() <= FEATURE_MAX):
        raise ValueError(f"vectors and weights must be finite and at most {FEATURE_MAX:g}")
    x, weight = prototypes.x.astype(number), prototypes.weight.astype(number)
    label_max = int(prototypes.label.max()) if n else 0
    if label_max > 0xFFFF:
        raise ValueError(f"labels must be at most 65535, got {label_max}")
    wide = label_max > 0xFF
    base = int(prototypes.event_ns.min()) if n else 0
    if base < 0:
        raise ValueError(f"event times must be >= 0, got {base}")
    offset = prototypes.event_ns - base
    head = bytearray([_VERSION | (_FLOAT64 if exact else 0) | (_WIDE_LABELS if wide else 0)])
    head += varint.write(n) + varint.write(prototypes.dim) + base.to_bytes(8, "little", signed=True)
    if exact:
        events = offset.astype("<i8")
    else:
        shift = max(0, (int(offset.max()) if n else 0).bit_length() - 32)
        head.append(shift)
        events = (offset >> shift).astype("<u4")
    labels = prototypes.label.astype("<u2" if wide else "u1")
    return b"".join((head, labels.tobytes(), events.tobytes(), weight.tobytes(), x.tobytes()))


def decode_set(data: bytes | memoryview, limits: SetLimits, origin: int = -1) -> PrototypeSet:
    """Decode the set in ``data``; float32 vectors are a read-only view of it, so decoding allocates little.

    Raises
    ------
    CodecError
        The bytes are damaged or break a limit. Nothing larger than ``data`` was allocated.

    Examples
    --------
    >>> data = encode_set(PrototypeSet.of([[0.5, 1.0]], [1]))
    >>> decode_set(data, SetLimits(dim=2, n_classes=2), origin=3).origin
    3
    >>> decode_set(data, SetLimits(dim=3, n_classes=2))
    Traceback (most recent call last):
    protovine.errors.CodecError: a set must have 3 features, got 2
    """
    if not data:
        raise CodecError("the payload is empty")
    if data[0] & ~(_FLOAT64 | _WIDE_LABELS) != _VERSION:
        raise CodecError(f"unknown format of prototype sets: {data[0]:#04x}")
    exact, wide = bool(data[0] & _FLOAT64), bool(data[0] & _WIDE_LABELS)
    n, at = varint.read(data, 1)
    dim, at = varint.read(data, at)
    if n > limits.prototypes_max:
        raise CodecError(f"a set may have at most {limits.prototypes_max} prototypes, got {n}")
    if dim != limits.dim:
        raise CodecError(f"a set must have {limits.dim} features, got {dim}")
    number, number_bytes = ("<f8", 8) if exact else ("<f4", 4)
    label_bytes, event_bytes = (2 if wide else 1), (8 if exact else 4)
    body = at + 8 + (0 if exact else 1)
    expected = body + n * (label_bytes + event_bytes + number_bytes * (1 + dim))
    if len(data) != expected:
        raise CodecError(f"{n} prototypes of {dim} features take {expected} bytes, got {len(data)}")
    base = int.from_bytes(data[at : at + 8], "little", signed=True)
    shift = 0 if exact else data[body - 1]
    if shift > 31:
        raise CodecError(f"the event time shift must be at most 31, got {shift}")
    label = np.frombuffer(data, "<u2" if wide else "u1", n, body)
    body += n * label_bytes
    offset = np.frombuffer(data, "<i8" if exact else "<u4", n, body).astype(np.int64) << shift
    body += n * event_bytes
    with np.errstate(invalid="ignore"):  # A signalling NaN is refused below, as every other.
        weight = np.frombuffer(data, number, n, body).astype(np.float64)
    body += n * number_bytes
    x = np.frombuffer(data, number, n * dim, body).reshape(n, dim)
    if exact:
        x = x.astype(np.float64)  # An aligned copy, for kernels.
    if n:
        if label.max() >= limits.n_classes:
            raise CodecError(f"labels must be below {limits.n_classes}, got {label.max()}")
        if not np.abs(x).max() <= FEATURE_MAX:  # False for NaN too.
            raise CodecError(f"a vector is not finite, or beyond {FEATURE_MAX:g}")
        if not (weight.min() >= 0 and weight.max() <= FEATURE_MAX):  # False for NaN too.
            raise CodecError(f"a weight is negative, not finite, or beyond {FEATURE_MAX:g}")
        if base < 0 or (exact and offset.min() < 0):
            raise CodecError("an event time is negative")
        # The maximum is computed only where an overflow is possible: decoding runs for every message.
        could_overflow = exact or base + (0xFFFFFFFF << shift) >= 2**63
        if could_overflow and base + int(offset.max()) >= 2**63:
            raise CodecError("an event time is out of range")
    return PrototypeSet(x, label.astype(np.int64), weight, base + offset, origin)
