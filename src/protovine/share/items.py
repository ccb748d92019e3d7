"""Encode shared samples in a few bytes each: quantised in the sender's scales, label and event time in one integer.

Layout (`docs/reference/messages.md`)::

    scales   u8 0x20 | flags, varint generation, varint base (event time, ns), u8 unit (time unit is 2**unit ns),
             then for each feature: u16 step (upper half of a float32), zigzag varint offset in steps
    items    u8 0x30 | flags, varint generation, then for each item:
             varint label + classes * time, [u8 weight], codes
    summary  u8 0x40 | flags, scales as above without their first byte, varint n, then n times
             varint label + classes * zigzag time, then n weights, then all codes; deflated if flagged

``time`` counts units since the base in a summary, and since the previous item in items (the first: since the base,
zigzag). A code is a signed number of steps, 8 bits wide, or 6 bits (flag) without gaps. A weight w is round(8 log2 w).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine import varint
from protovine.errors import CodecError
from protovine.prototypes import FEATURE_MAX, PrototypeSet
from protovine.share.codec import SetLimits

SCALES, ITEMS, SUMMARY = 0x20, 0x30, 0x40
_NARROW, _WEIGHTED, _DEFLATED, _DELTA = 0x01, 0x02, 0x04, 0x08
# Steps per standard deviation: codes reach 5.3 and 5.2 deviations.
_STEPS = {8: 24.0, 6: 6.0}
CODE_MAX = {8: 127, 6: 31}
_OFFSET_MAX = 2**53
_REACH_MAX = 128  # Largest absolute value of a code on the wire.
_TIME_MAX = 2**61
_WEIGHT_STEPS = 8.0
# New scales replace old ones beyond this ratio of steps, or this distance of centres in standard deviations.
_COARSER, _MOVED = 1.5, 2.0
# Prototypes in a summary, unless there are more classes.
_SUMMARY_MAX = 256


class UnknownScales(CodecError):
    """Items arrived before their scales. The receiver counts both as missing, so the sender repeats both."""


@dataclass(frozen=True, eq=False, slots=True)
class Scales:
    """A sender's quantisation: x = (offset + code) * step.

    Parameters
    ----------
    generation : int >= 0
        Number of these scales; the sender counts up.
    base_ns : int >= 0
        Event times count from here.
    unit : int in 0..40
        Time unit, as a power of two in ns.
    bits : 6 or 8
        Width of a code.
    step : float64 array, shape (d,)
        > 0.
    offset : float64 array, shape (d,)
        Whole numbers.
    """

    generation: int
    base_ns: int
    unit: int
    bits: int
    step: NDArray[np.float64]
    offset: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        generation: int,
        mean: NDArray[np.float64],
        deviation: NDArray[np.float64],
        base_ns: int,
        gap_ns: float,
        bits: int = 8,
    ) -> Scales:
        """Scales around ``mean`` with a step of 1/24 (6 bits: 1/6) deviation and a time unit of about 1/8 gap."""
        least = np.maximum(np.abs(mean) * 2.0**-40, 1e-30)
        wanted = np.minimum(np.maximum(deviation / _STEPS[bits], least), FEATURE_MAX / 256)
        # Round up to the upper half of a float32, so that sender and receiver use the same number.
        words = (wanted.astype(np.float32).view(np.uint32) >> 16) + 1
        step = (words.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        # Decoded values stay within the range of features.
        offset_max = np.minimum(np.floor(FEATURE_MAX / step) - _REACH_MAX, _OFFSET_MAX)
        offset = np.clip(np.rint(mean / step), -offset_max, offset_max)
        unit = max(0, min(40, int(math.log2(max(gap_ns, 8.0) / 8.0))))
        return cls(generation, max(0, base_ns), unit, bits, step, offset)

    def differs(self, other: Scales) -> bool:
        """Whether steps, centre or time unit differ much from those of ``other``."""
        ratio = self.step / other.step
        moved = np.abs(self.offset - other.offset / ratio) > _MOVED * _STEPS[self.bits]
        return bool(
            (ratio > _COARSER).any() or (ratio < 1 / _COARSER).any() or moved.any() or abs(self.unit - other.unit) > 2
        )

    def codes(self, x: NDArray[np.floating]) -> NDArray[np.int8]:
        """Codes (n, d) of vectors (n, d), clipped to their width."""
        limit = CODE_MAX[self.bits]
        return np.minimum(np.maximum(np.rint(x / self.step - self.offset), -limit), limit).astype(np.int8)

    def vectors(self, codes: NDArray[np.int8]) -> NDArray[np.float64]:
        """Vectors (n, d) of codes (n, d)."""
        return (self.offset + codes) * self.step

    def encode(self) -> bytes:
        """The scales as a payload."""
        return bytes([SCALES | (_NARROW if self.bits == 6 else 0)]) + self._body()

    def _body(self) -> bytes:
        out = bytearray(varint.write(self.generation) + varint.write(self.base_ns))
        out.append(self.unit)
        words = (self.step.astype(np.float32).view(np.uint32) >> 16).tolist()
        for word, offset in zip(words, self.offset.tolist(), strict=True):
            out += word.to_bytes(2, "little") + varint.write(_zigzag(int(offset)))
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes | memoryview, limits: SetLimits) -> Scales:
        """The scales in a payload; `CodecError` if it is damaged."""
        if not len(data) or data[0] & ~_NARROW != SCALES:
            raise CodecError("not a scales payload")
        made, at = cls._read(data, 1, 6 if data[0] & _NARROW else 8, limits)
        if at != len(data):
            raise CodecError("scales are followed by more bytes")
        return made

    @classmethod
    def _read(cls, data: bytes | memoryview, at: int, bits: int, limits: SetLimits) -> tuple[Scales, int]:
        generation, at = varint.read(data, at)
        base_ns, at = varint.read(data, at)
        if at >= len(data) or data[at] > 40:
            raise CodecError("the time unit is missing or beyond 2**40 ns")
        unit, at = data[at], at + 1
        words, offsets = [], []
        for _ in range(limits.dim):
            if at + 2 > len(data):
                raise CodecError(f"scales must name {limits.dim} features")
            words.append(data[at] | data[at + 1] << 8)
            offset, at = varint.read(data, at + 2)
            offsets.append(_unzigzag(offset))
        with np.errstate(invalid="ignore"):  # A signalling NaN is refused below.
            step = (np.array(words, np.uint32) << 16).view(np.float32).astype(np.float64)
        offset_array = np.array(offsets, np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            reach = (np.abs(offset_array) + _REACH_MAX) * step
        if not (step > 0).all() or not (reach <= FEATURE_MAX).all() or np.abs(offset_array).max() > _OFFSET_MAX:
            raise CodecError(f"a step is not positive, or a value would be beyond {FEATURE_MAX:g}")
        return cls(generation, base_ns, unit, bits, step, offset_array), at


def encode_items(items: PrototypeSet, scales: Scales, limits: SetLimits) -> bytes:
    """Encode samples in the order of their event times; weights are omitted if all are 1.

    Examples
    --------
    >>> limits = SetLimits(dim=2, n_classes=2)
    >>> scales = Scales.of(0, np.zeros(2), np.ones(2), base_ns=0, gap_ns=1e8)
    >>> items = PrototypeSet.of([[0.5, 1.0], [0.0, -1.0]], [1, 0], event_ns=[10**8, 2 * 10**8])
    >>> data = encode_items(items, scales, limits)
    >>> len(data), decode_items(data, scales, limits).x.round(1).tolist()
    (8, [[0.5, 1.0], [0.0, -1.0]])
    """
    if len(items) > 1:
        items = items.take(np.argsort(items.event_ns, kind="stable"))
    weighted = items.weight.tolist() != [1.0] * len(items)
    out = bytearray([ITEMS | (_NARROW if scales.bits == 6 else 0) | (_WEIGHTED if weighted else 0)])
    out += varint.write(scales.generation)
    packed = _packed(scales.codes(items.x), scales.bits)
    weights = _weight_codes(items.weight) if weighted else []
    times = _times(items, scales, limits)
    for i, (time, label) in enumerate(zip(times, items.label.tolist(), strict=True)):
        passed = _zigzag(time) if i == 0 else time - times[i - 1]
        out += varint.write(label + limits.n_classes * passed)
        if weighted:
            out.append(weights[i])
        out += packed[i]
    return bytes(out)


def decode_items(data: bytes | memoryview, scales: Scales, limits: SetLimits, origin: int = -1) -> PrototypeSet:
    """The samples in an items payload; `CodecError` if it is damaged or breaks a limit."""
    if not len(data) or data[0] & 0xF0 != ITEMS or data[0] & ~(ITEMS | _NARROW | _WEIGHTED):
        raise CodecError("not an items payload")
    if bool(data[0] & _NARROW) != (scales.bits == 6):
        raise CodecError("items and scales disagree about the width of codes")
    generation, at = varint.read(data, 1)
    if generation != scales.generation:
        raise CodecError(f"items of scales {generation}, expected {scales.generation}")
    width = _row_bytes(limits.dim, scales.bits)
    weighted = bool(data[0] & _WEIGHTED)
    labels: list[int] = []
    times: list[int] = []
    weights: list[int] = []
    rows: list[bytes] = []
    while at < len(data):
        value, at = varint.read(data, at)
        passed, label = divmod(value, limits.n_classes)
        times.append(_unzigzag(passed) if not times else times[-1] + passed)
        labels.append(label)
        if at + weighted + width > len(data):
            raise CodecError("an item is cut off")
        weights.append(data[at] if weighted else 0)
        rows.append(bytes(data[at + weighted : at + weighted + width]))
        at += weighted + width
        if len(labels) > limits.prototypes_max:
            raise CodecError(f"more than {limits.prototypes_max} items")
    if not labels:
        raise CodecError("an items payload without items")
    codes = _unpacked(b"".join(rows), len(labels), limits.dim, scales.bits)
    return _made(scales, codes, labels, times, weights, origin)


def encode_summary(prototypes: PrototypeSet, scales: Scales, limits: SetLimits) -> bytes:
    """Encode a weighted set with its scales in the shortest of three forms: plain, deflated, deflated differences."""
    order = _chain(scales.codes(prototypes.x), prototypes.label)
    chosen = prototypes.take(order)
    codes = scales.codes(chosen.x)
    head = scales._body() + varint.write(len(chosen))
    times = _times(chosen, scales, limits)
    for time, label in zip(times, chosen.label.tolist(), strict=True):
        head += varint.write(label + limits.n_classes * _zigzag(time))
    head += bytes(_weight_codes(chosen.weight))
    narrow = _NARROW if scales.bits == 6 else 0
    plain = head + b"".join(_packed(codes, scales.bits))
    best = bytes([SUMMARY | narrow]) + plain
    deltas = np.diff(codes, axis=0, prepend=np.zeros((1, codes.shape[1]), np.int8)).astype(np.int8)
    for flags, body in ((0, plain), (_DELTA, head + deltas.tobytes())):
        packed = bytes([SUMMARY | narrow | flags | _DEFLATED]) + zlib.compress(body, 9, -15)
        best = packed if len(packed) < len(best) else best
    return best


def decode_summary(data: bytes | memoryview, limits: SetLimits, origin: int = -1) -> tuple[Scales, PrototypeSet]:
    """Scales and set in a summary; `CodecError` if it is damaged or breaks a limit.

    Prototypes come class by class in turn, heaviest first, so that any prefix covers as many classes as possible.
    """
    if not len(data) or data[0] & 0xF0 != SUMMARY or data[0] & _WEIGHTED:
        raise CodecError("not a summary payload")
    flags, bits = data[0], 6 if data[0] & _NARROW else 8
    body: bytes | memoryview = data[1:]
    if flags & _DEFLATED:
        # The largest valid summary: a few bytes cannot make the receiver allocate more.
        size_max = 64 + 12 * limits.dim + _summary_max(limits) * (limits.dim + 12)
        inflater = zlib.decompressobj(-15)
        try:
            body = inflater.decompress(bytes(body), size_max)
        except zlib.error as error:
            raise CodecError(f"a summary does not inflate: {error}") from None
        if not inflater.eof or inflater.unused_data:
            raise CodecError("a summary inflates to too many bytes, or is followed by more bytes")
    scales, at = Scales._read(body, 0, bits, limits)
    n, at = varint.read(body, at)
    if not 0 < n <= _summary_max(limits):
        raise CodecError(f"a summary must have 1 to {_summary_max(limits)} prototypes, got {n}")
    labels: list[int] = []
    times: list[int] = []
    for _ in range(n):
        value, at = varint.read(body, at)
        passed, label = divmod(value, limits.n_classes)
        labels.append(label)
        times.append(_unzigzag(passed))
    delta = bool(flags & _DELTA)
    width = limits.dim if delta else _row_bytes(limits.dim, bits)
    if len(body) != at + n + n * width:
        raise CodecError(f"{n} prototypes take {at + n + n * width} bytes, got {len(body)}")
    weights = list(body[at : at + n])
    rows = bytes(body[at + n :])
    if delta:
        steps = np.frombuffer(rows, np.int8).reshape(n, limits.dim)
        codes = np.cumsum(steps, axis=0, dtype=np.int8)
    else:
        codes = _unpacked(rows, n, limits.dim, bits)
    return scales, _in_turn(_made(scales, codes, labels, times, weights, origin))


class Decoder:
    """Decodes entries, and remembers the newest of them: what many receivers get is decoded once, and shared by them.

    Parameters
    ----------
    kept : int >= 0
        Entries that are remembered. A node that is alone in its process needs none.
    """

    def __init__(self, kept: int = 0) -> None:
        def remembering(decode: Callable[..., Any]) -> Callable[..., Any]:
            return lru_cache(kept)(decode) if kept else decode

        self.scales: Callable[[bytes, SetLimits], Scales] = remembering(Scales.decode)
        self.items: Callable[[bytes, Scales, SetLimits, int], PrototypeSet] = remembering(decode_items)
        self.summary: Callable[[bytes, SetLimits, int], tuple[Scales, PrototypeSet]] = remembering(decode_summary)


def _in_turn(prototypes: PrototypeSet) -> PrototypeSet:
    by_class = np.lexsort((-prototypes.weight, prototypes.label))
    label = prototypes.label[by_class]
    place = np.arange(len(label)) - np.searchsorted(label, label)
    return prototypes.take(by_class[np.lexsort((label, place))])


def _summary_max(limits: SetLimits) -> int:
    return min(limits.prototypes_max, max(_SUMMARY_MAX, limits.n_classes))


def _times(items: PrototypeSet, scales: Scales, limits: SetLimits) -> list[int]:
    """Event times in units since the base, clipped to the range of an integer on the wire."""
    reach = _TIME_MAX // limits.n_classes
    units: list[int] = np.clip((items.event_ns - scales.base_ns) >> scales.unit, -reach, reach).tolist()
    return units


def _made(
    scales: Scales, codes: NDArray[np.int8], labels: list[int], times: list[int], weights: list[int], origin: int
) -> PrototypeSet:
    top = (2**62 - scales.base_ns) >> scales.unit
    if max(times) > top or scales.base_ns + (min(times) << scales.unit) < 0:
        raise CodecError("an event time is out of range")
    events = scales.base_ns + (np.array(times, np.int64) << scales.unit)
    weight = np.exp2(np.array(weights, np.float64) / _WEIGHT_STEPS)
    return PrototypeSet(scales.vectors(codes), np.array(labels, np.int64), weight, events, origin)


def _weight_codes(weight: NDArray[np.float64]) -> list[int]:
    steps = np.rint(_WEIGHT_STEPS * np.log2(np.maximum(weight, 1.0)))
    codes: list[int] = np.minimum(steps, 255).astype(int).tolist()
    return codes


def _row_bytes(dim: int, bits: int) -> int:
    return (dim * bits + 7) // 8


def _packed(codes: NDArray[np.int8], bits: int) -> list[bytes]:
    """One byte string per row."""
    if bits == 8:
        return [row.tobytes() for row in codes]
    values = (codes.astype(np.uint8) & 0x3F)[:, :, np.newaxis]
    digits = (values >> np.arange(5, -1, -1)) & 1
    return [np.packbits(row).tobytes() for row in digits.reshape(len(codes), -1)]


def _unpacked(data: bytes, n: int, dim: int, bits: int) -> NDArray[np.int8]:
    if bits == 8:
        return np.frombuffer(data, np.int8).reshape(n, dim)
    digits = np.unpackbits(np.frombuffer(data, np.uint8).reshape(n, -1), axis=1)[:, : 6 * dim].reshape(n, dim, 6)
    values = digits @ np.array([32, 16, 8, 4, 2, 1])
    codes: NDArray[np.int8] = np.where(values > 31, values - 64, values).astype(np.int8)
    return codes


def _chain(codes: NDArray[np.int8], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """A greedy nearest-neighbour order of the rows, class by class, so that differences are small."""
    if len(label) > _SUMMARY_MAX:
        return np.argsort(label, kind="stable")  # Mostly one row per class, so order within a class is irrelevant.
    wide = codes.astype(np.int64)
    left = list(np.lexsort((np.arange(len(label)), label)))
    order = [left.pop(0)] if left else []
    while left:
        rows = np.array(left)
        far = np.abs(wide[rows] - wide[order[-1]]).sum(axis=1) + 10_000_000 * (label[rows] != label[order[-1]])
        order.append(left.pop(int(np.argmin(far))))
    return np.array(order, np.int64)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _unzigzag(value: int) -> int:
    return value >> 1 if not value & 1 else -((value + 1) >> 1)
