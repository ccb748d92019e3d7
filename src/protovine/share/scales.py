"""A sender's quantisation: how many bits each feature takes, and what they stand for.

A feature that lies on a grid takes the bits that its values need. Any other takes the same number, in steps of a part
of its standard deviation. Layout, `docs/reference/messages.md`::

    scales   u8 0x20 | flags, then the body, deflated if flagged
    body     varint generation, varint base (event time, ns), u8 unit (time unit is 2**unit ns), then for each feature:
             u8 width, plus 16 for a grid, plus 32 for a long step, plus 64 for a lowest value, plus 128 for a
             logarithmic scale; bfloat16 or float32 step; zigzag varint offset in steps, or f64 lowest value; bfloat16
             unit of the logarithmic scale, zigzag varint origin in eighths of it
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine import bfloat16, varint
from protovine.errors import CodecError
from protovine.logscale import EIGHTHS_MAX, LINEAR, UNIT_MAX, UNIT_MIN, LogScales, from_log, to_log
from protovine.prototypes import FEATURE_MAX
from protovine.share import scale_kernels as kernels
from protovine.share.codec import SetLimits
from protovine.share.grid import Lattice

SCALES = 0x20
# Bits of a feature that lies on no grid. More bits do not improve F1 (docs/explanation/default.md).
BITS = 5
DEFLATED = 0x04
_GRID, _LONG, _LOWEST, _LOG, _WIDTH = 0x10, 0x20, 0x40, 0x80, 0x0F
_REACH = 8 / 3  # Standard deviations that codes reach: few values are beyond, and cost a few bytes each.
_OFFSET_MAX = 2**53
_REACH_MAX = 256  # Decoded values stay in range with codes up to here.
EXCESS_MAX = 2**32  # Largest distance of a code from those of its width.
# A float32 step is exact enough for a grid that begins within this many steps of 0.
_GRID_OFFSET_MAX = 2**20
# New scales replace old ones beyond this ratio of steps, or this distance of centres in standard deviations.
_COARSER, _MOVED = 1.5, 2.0
# A value may be off its grid by this part of a standard deviation, and of the grid, before new scales are made.
_OFF_MAX, _EXACT = 0.5, 2.0**-20


@dataclass(frozen=True, eq=False, slots=True)
class Scales:
    """A sender's quantisation: x = (offset + code) * step, with a code of ``width`` bits from 0 on.

    Features of ``log_scales`` have that place on a logarithmic scale.

    Parameters
    ----------
    generation : int >= 0
        Number of these scales; the sender counts up.
    base_ns : int >= 0
        Event times count from here.
    unit : int in 0..40
        Time unit, as a power of two in ns.
    width : int64 array, shape (d,)
        Bits of a code, 0 to 8.
    step : float64 array, shape (d,)
        > 0.
    offset : float64 array, shape (d,)
        Of code 0; whole numbers, unless the feature lies on a grid beside 0.
    grid : bool array, shape (d,)
        Whether the codes stand for all values of the feature, and not only for near ones.
    log_scales : LogScales
        Features on a logarithmic scale.

    Examples
    --------
    >>> scales = Scales.of(0, mean=np.zeros(2), deviation=np.ones(2), base_ns=0, gap_ns=1e8)
    >>> codes, _ = scales.coded(np.array([[0.5, -1.0]]))
    >>> codes.tolist(), scales.row_bytes, scales.vectors(codes).round(2).tolist()
    ([[19, 10]], 2, [[0.5, -1.0]])
    """

    generation: int
    base_ns: int
    unit: int
    width: NDArray[np.int64]
    step: NDArray[np.float64]
    offset: NDArray[np.float64]
    grid: NDArray[np.bool_]
    log_scales: LogScales = LINEAR
    row_bytes: int = field(init=False)
    """Bytes of the codes of one vector."""
    _top: NDArray[np.float64] = field(init=False, repr=False)  # The greatest code of each feature.

    def __post_init__(self) -> None:
        object.__setattr__(self, "row_bytes", (int(self.width.sum()) + 7) // 8)
        object.__setattr__(self, "_top", 2.0**self.width - 1)

    @classmethod
    def of(
        cls,
        generation: int,
        mean: NDArray[np.float64],
        deviation: NDArray[np.float64],
        base_ns: int,
        gap_ns: float,
        bits: int = BITS,
        lattice: Lattice | None = None,
        log_scales: LogScales = LINEAR,
    ) -> Scales:
        """Scales around ``mean``: codes of ``bits`` bits reach 2.7 deviations, the time unit is about 1/8 gap.

        Features on the ``lattice`` take the bits of its span if these are not more than ``bits``. Those of
        ``log_scales`` have mean and deviation on their logarithmic scales, unless they lie on the lattice.
        """
        least = np.maximum(np.abs(mean) * 2.0**-40, 1e-30)
        wanted = np.minimum(np.maximum(deviation * _REACH / 2 ** (bits - 1), least), FEATURE_MAX / (2 * _REACH_MAX))
        # Rounded up to a bfloat16, so that sender and receiver use the same number.
        step = bfloat16.values(bfloat16.words(wanted) + np.uint32(1))
        # Decoded values stay within the range of features.
        offset_max = np.minimum(np.floor(FEATURE_MAX / step) - _REACH_MAX, _OFFSET_MAX)
        offset = np.clip(np.rint(mean / step) - 2 ** (bits - 1), -offset_max, offset_max)
        width, grid = np.full(len(step), bits), np.zeros(len(step), bool)
        if lattice is not None:
            with np.errstate(invalid="ignore"):  # NaN: no grid.
                needed = np.ceil(np.log2(lattice.span + 1))
                on_grid = np.clip(lattice.step, 1e-30, FEATURE_MAX / _REACH_MAX).astype(np.float32).astype(np.float64)
                from_zero = lattice.low / on_grid
                grid = (needed <= bits) & (np.abs(from_zero) <= _GRID_OFFSET_MAX)
                grid &= (lattice.step > 1e-30) & ((np.abs(from_zero) + _REACH_MAX) * on_grid <= FEATURE_MAX)
            width = np.where(grid, needed, bits).astype(np.int64)
            step, offset = np.where(grid, on_grid, step), np.where(grid, from_zero, offset)
        unit = max(0, min(40, int(math.log2(max(gap_ns, 8.0) / 8.0))))
        log_scales = log_scales.without(np.flatnonzero(grid))
        return cls(generation, max(0, base_ns), unit, width, step, offset, grid, log_scales)

    def differs(self, other: Scales) -> bool:
        """Whether grids, steps, centre or time unit differ much from those of ``other``."""
        if not self.log_scales.same_as(other.log_scales):
            return True
        if (self.grid != other.grid).any() or (self.width != other.width).any() or abs(self.unit - other.unit) > 2:
            return True
        half = 2.0**self.width / 2
        ratio = self.step / other.step
        moved = np.abs(self.offset + half - (other.offset + half) / ratio) > _MOVED / _REACH * half
        return bool((ratio > _COARSER).any() or (ratio < 1 / _COARSER).any() or (moved & ~self.grid).any())

    def misfits(self, x: NDArray[np.floating], deviation: NDArray[np.float64]) -> bool:
        """Whether a value of vectors (n, d) is half a standard deviation (d,) beside its grid, or too far off."""
        rounding, rows = _EXACT * self._top * self.step, to_log(x, self.log_scales)
        most_off = _OFF_MAX * deviation
        return bool(kernels.misfits(rows, most_off, self.step, self.offset, rounding, self.grid, float(EXCESS_MAX)))

    def coded(self, x: NDArray[np.floating]) -> tuple[NDArray[np.uint8], NDArray[np.float64] | None]:
        """Codes (n, d) of vectors (n, d), and how far each is beyond its width, None if none is."""
        rows = to_log(x, self.log_scales)
        codes, excess = np.empty(rows.shape, np.uint8), np.empty(rows.shape)
        exceeds = kernels.code(rows, self.step, self.offset, self._top, float(EXCESS_MAX), codes, excess)
        return codes, excess if exceeds else None

    def vectors(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """Vectors (n, d) of codes (n, d)."""
        x = from_log((self.offset + codes) * self.step, self.log_scales)
        at = self.log_scales.columns
        if len(at):  # The last step of a logarithmic scale may lead beyond.
            x[:, at] = np.clip(x[:, at], -FEATURE_MAX, FEATURE_MAX)
        return x

    def of_means(self) -> Scales:
        """These scales with a byte per feature, for means of samples: they lie between the values of a grid."""
        finer = np.where(self.grid, np.maximum(self._top, 1.0) / 255, 1.0)
        offset = np.where(self.grid, self.offset / finer, self.offset - (256 - self._top) // 2)
        width = np.full_like(self.width, 8)
        return replace(self, width=width, step=self.step * finer, offset=offset)

    def packed(self, codes: NDArray[np.uint8]) -> list[bytes]:
        """The codes (n, d) as one byte string per row, without gaps between features."""
        rows = np.empty((len(codes), self.row_bytes), np.uint8)
        kernels.pack(np.ascontiguousarray(codes), self.width, rows)
        return [row.tobytes() for row in rows]

    def unpacked(self, data: bytes, n: int) -> NDArray[np.uint8]:
        """The codes (n, d) in ``data``."""
        rows = np.frombuffer(data, np.uint8).reshape(n, self.row_bytes)
        codes = np.empty((n, len(self.width)), np.uint8)
        kernels.unpack(rows, self.width, codes)
        return codes

    def encode(self) -> bytes:
        """The scales as a payload, deflated if that is shorter."""
        body = self.body()
        deflated = zlib.compress(body, 9, -15)
        if len(deflated) < len(body):
            return bytes([SCALES | DEFLATED]) + deflated
        return bytes([SCALES]) + body

    def body(self) -> bytes:
        """The scales without their first byte, not deflated."""
        out = bytearray(varint.write(self.generation) + varint.write(self.base_ns))
        out.append(self.unit)
        words = self.step.astype(np.float32).view(np.uint32).tolist()
        low = self.offset * self.step
        at, units, eighths = self.log_scales.columns, bfloat16.words(self.log_scales.unit), self.log_scales.eighths()
        logs = dict(zip(at.tolist(), zip(units.tolist(), eighths, strict=True), strict=True))
        columns = zip(self.width.tolist(), self.grid.tolist(), words, self.offset.tolist(), low.tolist(), strict=True)
        for column, (width, grid, word, offset, low) in enumerate(columns):
            long, beside = bool(word & 0xFFFF), not offset.is_integer()
            out.append(width | _GRID * grid | _LONG * long | _LOWEST * beside | _LOG * (column in logs))
            out += word.to_bytes(4, "little") if long else (word >> 16).to_bytes(2, "little")
            out += struct.pack("<d", low) if beside else varint.write(varint.zigzag(int(offset)))
            if column in logs:
                log_unit, origin = logs[column]
                out += log_unit.to_bytes(2, "little") + varint.write(varint.zigzag(origin))
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes | memoryview, limits: SetLimits) -> Scales:
        """The scales in a payload; `CodecError` if it is damaged."""
        if not len(data) or data[0] & ~DEFLATED != SCALES:
            raise CodecError("not a scales payload")
        body = inflated(data[1:], body_max(limits), "a set of scales") if data[0] & DEFLATED else data[1:]
        made, at = cls.read(body, 0, limits)
        if at != len(body):
            raise CodecError("scales are followed by more bytes")
        return made

    @classmethod
    def read(cls, data: bytes | memoryview, at: int, limits: SetLimits) -> tuple[Scales, int]:
        """The scales whose body begins at ``at``, and the position after it; `CodecError` if it is damaged."""
        generation, at = varint.read(data, at)
        base_ns, at = varint.read(data, at)
        if at >= len(data) or data[at] > 40:
            raise CodecError("the time unit is missing or beyond 2**40 ns")
        unit, at = data[at], at + 1
        kinds, words, offsets, lows = [], [], [], []
        logs: list[tuple[int, float, float]] = []
        for _ in range(limits.dim):
            kind = data[at] if at < len(data) else 0
            at, size = at + 1, 4 if kind & _LONG else 2
            if at + size + 8 * bool(kind & _LOWEST) > len(data):
                raise CodecError(f"scales must name {limits.dim} features")
            if kind & _WIDTH > 8:
                raise CodecError(f"{kind:#04x} is no width of 0 to 8 bits")
            kinds.append(kind)
            words.append(int.from_bytes(data[at : at + size], "little") << (8 * (4 - size)))
            at += size
            if kind & _LOWEST:
                lows.append(struct.unpack_from("<d", data, at)[0])
                offsets.append(0)
                at += 8
            else:
                offset, at = varint.read(data, at)
                offsets.append(varint.unzigzag(offset))
                lows.append(0.0)
            if kind & _LOG:
                if at + 2 > len(data):
                    raise CodecError("a logarithmic scale is cut off")
                (log_unit,) = struct.unpack("<f", bytes(2) + bytes(data[at : at + 2]))
                eighths, at = varint.read(data, at + 2)
                logs.append((len(kinds) - 1, varint.unzigzag(eighths) * log_unit / 8, log_unit))
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # What comes of it is refused below.
            step = np.array(words, np.uint32).view(np.float32).astype(np.float64)
            offset_array = np.array(offsets, np.float64) + np.array(lows) / step
            reach = (np.abs(offset_array) + _REACH_MAX) * step
        if not (step > 0).all() or not (reach <= FEATURE_MAX).all() or not np.abs(offset_array).max() <= _OFFSET_MAX:
            raise CodecError(f"a step is not positive, or a value would be beyond {FEATURE_MAX:g}")
        width, grid = np.array(kinds) & _WIDTH, (np.array(kinds) & _GRID) > 0
        log_scales = LogScales(*map(np.array, zip(*logs, strict=True))) if logs else LINEAR
        if not ((log_scales.unit >= UNIT_MIN) & (log_scales.unit <= UNIT_MAX)).all():
            raise CodecError(f"the unit of a logarithmic scale is not between {UNIT_MIN:g} and {UNIT_MAX:g}")
        if not (np.abs(log_scales.origin) <= np.minimum(EIGHTHS_MAX / 8 * log_scales.unit, 2 * FEATURE_MAX)).all():
            raise CodecError(f"the origin of a logarithmic scale is beyond {EIGHTHS_MAX} eighths of its unit")
        return cls(generation, base_ns, unit, width, step, offset_array, grid, log_scales), at


def body_max(limits: SetLimits) -> int:
    """The length of the longest body of scales."""
    return 24 + 24 * limits.dim


def inflated(data: bytes | memoryview, size_max: int, what: str) -> bytes:
    """Deflated ``data``, at most ``size_max`` bytes; `CodecError` if there are more: a few bytes cannot fill memory."""
    inflater = zlib.decompressobj(-15)
    try:
        body = inflater.decompress(bytes(data), size_max)
    except zlib.error as error:
        raise CodecError(f"{what} does not inflate: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise CodecError(f"{what} inflates to too many bytes, or is followed by more bytes")
    return body
