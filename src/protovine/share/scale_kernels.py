"""Compiled parts of `protovine.share.scales`: codes of vectors, and their bits in bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protovine.jit import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@kernel
def code(x: Floats, step: Floats, offset: Floats, top: Floats, excess_max: float, codes: Bytes, excess: Floats) -> bool:
    """Fill the ``codes`` of vectors (n, d) and what is beyond their width; whether anything is."""
    any_excess = False
    for t in range(x.shape[0]):
        for k in range(x.shape[1]):
            nearest = np.rint(x[t, k] / step[k] - offset[k])
            within = min(max(nearest, 0.0), top[k])
            codes[t, k] = np.uint8(within)
            excess[t, k] = min(max(nearest - within, -excess_max), excess_max)
            any_excess = any_excess or excess[t, k] != 0.0
    return any_excess


@kernel
def pack(codes: Bytes, width: Ints, out: Bytes) -> None:
    """Fill rows ``out`` of bytes with the bits of ``codes`` (n, d), the first feature in the highest bits."""
    for t in range(codes.shape[0]):
        held, bits, at = 0, 0, 0
        for k in range(codes.shape[1]):
            held = held << width[k] | int(codes[t, k])
            bits += width[k]
            while bits >= 8:
                bits -= 8
                out[t, at] = np.uint8(held >> bits & 0xFF)
                at += 1
            held &= (1 << bits) - 1
        if bits:
            out[t, at] = np.uint8(held << (8 - bits) & 0xFF)


@kernel
def unpack(rows: Bytes, width: Ints, codes: Bytes) -> None:
    """Fill ``codes`` (n, d) from the rows of bytes that `pack` made."""
    for t in range(codes.shape[0]):
        held, bits, at = 0, 0, 0
        for k in range(codes.shape[1]):
            while bits < width[k]:
                held = held << 8 | int(rows[t, at])
                bits += 8
                at += 1
            bits -= width[k]
            codes[t, k] = np.uint8(held >> bits)
            held &= (1 << bits) - 1


@kernel
def misfits(
    x: Floats, most_off: Floats, step: Floats, offset: Floats, rounding: Floats, grid: Flags, code_max: float
) -> bool:
    """Whether a code of vectors (n, d) is beyond ``code_max``, or a value further than ``most_off`` beside its grid."""
    for t in range(x.shape[0]):
        for k in range(x.shape[1]):
            nearest = np.rint(x[t, k] / step[k] - offset[k])
            if not abs(nearest) <= code_max:
                return True
            off = abs((offset[k] + nearest) * step[k] - x[t, k])
            if grid[k] and off > most_off[k] + (rounding[k] + 2.0**-48 * abs(x[t, k])):
                return True
    return False
