"""Encode shared samples in a few bytes each: quantised in the sender's scales, label and event time in one integer.

Layout (`docs/reference/messages.md`)::

    items    u8 0x30 | flags, varint generation, [if flagged: varint n, then n times varint gap, zigzag varint excess],
             then for each item: varint label + classes * time, [u8 weight], codes; or, if deflated: varint n, then n
             times varint label + classes * time, [n weights], then all codes, a byte each, feature by feature, deflated
    summary  u8 0x40 | flags, body of the scales, varint n, then n times varint label + classes * zigzag time, then n
             weights, then all codes, a byte each; deflated if flagged

``time`` counts units since the base in a summary, and since the previous item in items (the first: since the base,
zigzag). The codes of an item are packed without gaps. An excess is added to the code that comes ``gap`` codes after
the last one with an excess, counted over all items. A weight w is round(8 log2 w).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine import varint
from protovine.arrays import all_within
from protovine.errors import CodecError
from protovine.prototypes import FEATURE_MAX, PrototypeSet
from protovine.share.codec import SetLimits
from protovine.share.scales import DEFLATED, Scales, body_max, inflated
from protovine.varint import unzigzag, zigzag

ITEMS, SUMMARY = 0x30, 0x40
_DELTA, _WEIGHTED, _EXCEEDING = 0x02, 0x02, 0x08
_TIME_MAX = 2**61
_WEIGHT_STEPS = 8.0
# Bytes of codes that may be shorter deflated.
_DEFLATED_MIN = 8
# Prototypes in a summary, unless there are more classes.
_SUMMARY_MAX = 256


class UnknownScales(CodecError):
    """Items arrived before their scales. The receiver counts both as missing, so the sender repeats both."""


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
    codes, excess = scales.coded(items.x)
    flags = _WEIGHTED * weighted | _EXCEEDING * (excess is not None)
    head = varint.write(scales.generation)
    if excess is not None:
        excess = excess.ravel()
        exceeding = np.flatnonzero(excess)
        head += varint.write(len(exceeding))
        gaps = np.diff(exceeding, prepend=-1) - 1
        for gap, beyond in zip(gaps.tolist(), excess[exceeding].tolist(), strict=True):
            head += varint.write(gap) + varint.write(zigzag(int(beyond)))
    weights = bytes(_weight_codes(items.weight)) if weighted else b""
    times = _times(items, scales, limits)
    firsts: list[bytes] = []
    for i, (time, label) in enumerate(zip(times, items.label.tolist(), strict=True)):
        passed = zigzag(time) if i == 0 else time - times[i - 1]
        firsts.append(varint.write(label + limits.n_classes * passed))
    size = len(items) * scales.row_bytes
    deflated = zlib.compress(codes.T.tobytes(), 9, -15) if size > _DEFLATED_MIN else b""
    if deflated and len(deflated) + len(varint.write(len(items))) < size:
        head += varint.write(len(items)) + b"".join(firsts) + weights
        return bytes([ITEMS | flags | DEFLATED]) + head + deflated
    rows = (
        first + weights[i : i + 1] + row
        for i, (first, row) in enumerate(zip(firsts, scales.packed(codes), strict=True))
    )
    return bytes([ITEMS | flags]) + head + b"".join(rows)


def decode_items(data: bytes | memoryview, scales: Scales, limits: SetLimits, origin: int = -1) -> PrototypeSet:
    """The samples in an items payload; `CodecError` if it is damaged or breaks a limit."""
    if not len(data) or data[0] & 0xF0 != ITEMS or data[0] & ~(ITEMS | DEFLATED | _WEIGHTED | _EXCEEDING):
        raise CodecError("not an items payload")
    generation, at = varint.read(data, 1)
    if generation != scales.generation:
        raise CodecError(f"items of scales {generation}, expected {scales.generation}")
    places, excess, at = _read_excess(data, at, limits) if data[0] & _EXCEEDING else ([], [], at)
    weighted = bool(data[0] & _WEIGHTED)
    if data[0] & DEFLATED:
        firsts, at = _read_firsts(data, at, limits.prototypes_max)
        n = len(firsts)
        if at + n * weighted > len(data):
            raise CodecError("an item is cut off")
        weights = list(data[at : at + n]) if weighted else [0] * n
        body = inflated(data[at + n * weighted :], n * limits.dim, "an items payload")
        if len(body) != n * limits.dim:
            raise CodecError(f"{n} items take {n * limits.dim} codes, got {len(body)}")
        codes: NDArray[Any] = np.frombuffer(body, np.uint8).reshape(limits.dim, n).T
    else:
        firsts, weights, rows = _read_rows(data, at, scales.row_bytes, weighted, limits.prototypes_max)
        codes = scales.unpacked(rows, len(firsts))
    labels, times = [value % limits.n_classes for value in firsts], [value // limits.n_classes for value in firsts]
    times = list(accumulate([unzigzag(times[0]), *times[1:]]))
    if places:
        if places[-1] >= codes.size:
            raise CodecError(f"an excess of code {places[-1]} of {codes.size}")
        codes = codes.astype(np.float64)
        codes.flat[places] += excess
    return _made(scales.vectors(codes), scales, labels, times, weights, origin)


def _read_firsts(data: bytes | memoryview, at: int, n_max: int) -> tuple[list[int], int]:
    """How many items there are, and what begins each of them."""
    n, at = varint.read(data, at)
    if not 0 < n <= n_max:
        raise CodecError(f"an items payload must have 1 to {n_max} items, got {n}")
    firsts = []
    for _ in range(n):
        first, at = varint.read(data, at)
        firsts.append(first)
    return firsts, at


def _read_rows(
    data: bytes | memoryview, at: int, row_bytes: int, weighted: bool, n_max: int
) -> tuple[list[int], list[int], bytes]:
    """What begins each item, its weight, and the packed codes of all."""
    firsts: list[int] = []
    weights: list[int] = []
    rows = bytearray()
    while at < len(data):
        first, at = varint.read(data, at)
        if at + weighted + row_bytes > len(data):
            raise CodecError("an item is cut off")
        firsts.append(first)
        weights.append(data[at] if weighted else 0)
        rows += data[at + weighted : at + weighted + row_bytes]
        at += weighted + row_bytes
        if len(firsts) > n_max:
            raise CodecError(f"more than {n_max} items")
    if not firsts:
        raise CodecError("an items payload without items")
    return firsts, weights, bytes(rows)


def excess_bytes(data: bytes, limits: SetLimits) -> int:
    """Bytes of an items payload that codes beyond their width take."""
    if not data[0] & _EXCEEDING:
        return 0
    _, at = varint.read(data, 1)
    return _read_excess(data, at, limits)[2] - at


def _read_excess(data: bytes | memoryview, at: int, limits: SetLimits) -> tuple[list[int], list[int], int]:
    """Which codes are beyond their width, and by how much."""
    n, at = varint.read(data, at)
    if not 0 < n <= limits.prototypes_max * limits.dim or n > len(data):
        raise CodecError(f"{n} codes beyond their width in {len(data)} bytes")
    places: list[int] = []
    excess: list[int] = []
    for _ in range(n):
        gap, at = varint.read(data, at)
        beyond, at = varint.read(data, at)
        places.append((places[-1] if places else -1) + 1 + gap)
        excess.append(unzigzag(beyond))
    return places, excess, at


def encode_summary(prototypes: PrototypeSet, scales: Scales, limits: SetLimits) -> bytes:
    """Encode a weighted set with its scales in the shortest of three forms: plain, deflated, deflated differences."""
    fine = scales.of_means()
    codes, _ = fine.coded(prototypes.x)
    order = _chain(codes, prototypes.label)
    chosen, codes = prototypes.take(order), codes[order]
    head = scales.body() + varint.write(len(chosen))
    times = _times(chosen, scales, limits)
    for time, label in zip(times, chosen.label.tolist(), strict=True):
        head += varint.write(label + limits.n_classes * zigzag(time))
    head += bytes(_weight_codes(chosen.weight))
    plain = head + codes.tobytes()
    best = bytes([SUMMARY]) + plain
    deltas = np.diff(codes, axis=0, prepend=np.zeros((1, codes.shape[1]), np.uint8))
    for flags, body in ((0, plain), (_DELTA, head + deltas.tobytes())):
        packed = bytes([SUMMARY | flags | DEFLATED]) + zlib.compress(body, 9, -15)
        best = packed if len(packed) < len(best) else best
    return best


def decode_summary(data: bytes | memoryview, limits: SetLimits, origin: int = -1) -> tuple[Scales, PrototypeSet]:
    """Scales and set in a summary; `CodecError` if it is damaged or breaks a limit.

    Prototypes come class by class in turn, heaviest first, so that any prefix covers as many classes as possible.
    """
    if not len(data) or data[0] & 0xF0 != SUMMARY or data[0] & ~(SUMMARY | DEFLATED | _DELTA):
        raise CodecError("not a summary payload")
    flags, body = data[0], data[1:]
    if flags & DEFLATED:
        body = inflated(body, body_max(limits) + 9 + _summary_max(limits) * (limits.dim + 10), "a summary")
    scales, at = Scales.read(body, 0, limits)
    n, at = varint.read(body, at)
    if not 0 < n <= _summary_max(limits):
        raise CodecError(f"a summary must have 1 to {_summary_max(limits)} prototypes, got {n}")
    labels: list[int] = []
    times: list[int] = []
    for _ in range(n):
        value, at = varint.read(body, at)
        passed, label = divmod(value, limits.n_classes)
        labels.append(label)
        times.append(unzigzag(passed))
    if len(body) != at + n + n * limits.dim:
        raise CodecError(f"{n} prototypes take {at + n + n * limits.dim} bytes, got {len(body)}")
    weights = list(body[at : at + n])
    codes = np.frombuffer(body, np.uint8, offset=at + n).reshape(n, limits.dim)
    if flags & _DELTA:
        codes = np.cumsum(codes, axis=0, dtype=np.uint8)
    return scales, _in_turn(_made(scales.of_means().vectors(codes), scales, labels, times, weights, origin))


class Decoder:
    """Decodes entries, and remembers the newest of them: what many receivers get is decoded once, and shared by them.

    Parameters
    ----------
    kept : int >= 0
        Entries that are remembered. A node that is alone in its process needs none.

    Examples
    --------
    >>> limits = SetLimits(dim=1, n_classes=2)
    >>> scales = Scales.of(0, np.zeros(1), np.ones(1), base_ns=0, gap_ns=1e8)
    >>> data, decoder = encode_items(PrototypeSet.of([[0.5]], [1]), scales, limits), Decoder(kept=10)
    >>> decoder.items(data, scales, limits, 3) is decoder.items(data, scales, limits, 3)
    True
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
    units: list[int] = ((items.event_ns - scales.base_ns) >> scales.unit).tolist()
    return [min(max(unit, -reach), reach) for unit in units]


def _made(
    x: NDArray[np.float64], scales: Scales, labels: list[int], times: list[int], weights: list[int], origin: int
) -> PrototypeSet:
    if not all_within(x.reshape(-1), FEATURE_MAX):
        raise CodecError(f"a feature is beyond {FEATURE_MAX:g}")
    top = (2**62 - scales.base_ns) >> scales.unit
    if max(times) > top or scales.base_ns + (min(times) << scales.unit) < 0:
        raise CodecError("an event time is out of range")
    events = scales.base_ns + (np.array(times, np.int64) << scales.unit)
    weight = np.exp2(np.array(weights, np.float64) / _WEIGHT_STEPS)
    return PrototypeSet(x, np.array(labels, np.int64), weight, events, origin)


def _weight_codes(weight: NDArray[np.float64]) -> list[int]:
    steps = np.rint(_WEIGHT_STEPS * np.log2(np.maximum(weight, 1.0)))
    codes: list[int] = np.minimum(steps, 255).astype(int).tolist()
    return codes


def _chain(codes: NDArray[np.uint8], label: NDArray[np.int64]) -> NDArray[np.int64]:
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
