"""Vector instructions in kernels, where the compiler does not find them by itself.

All of it is plain arithmetic in one order, without fused operations: the same numbers on every processor.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from protovine.jit import inlined_kernel, inner_kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Numbers in a row of `add_products`, and how many rows it keeps in registers.
LANES, _KEPT = 8, 5

# ln 2 in two parts; the first has so few digits that its product with an exponent is exact.
_LN2_HIGH, _LN2_LOW = float.fromhex("0x1.62e42fee00000p-1"), float.fromhex("0x1.a39ef35793c76p-33")
# Adding it to a number leaves the nearest integer in the lowest bits.
_ROUNDING = 1.5 * 2.0**52
# Below this an exponential counts as the least one.
_EXPONENT_MIN = -700.0
_TAYLOR = tuple(1.0 / math.factorial(term) for term in range(13, -1, -1))

_DOUBLE, _WORD, _INDEX = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
_ROW = ir.VectorType(_DOUBLE, LANES)


@intrinsic
def _add_products(typing: Any, target: Any, at: Any, rows: Any, factors: Any, which: Any, count: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        arrays = {i: context.make_array(signature.args[i])(context, builder, values[i]) for i in (0, 2, 3, 4)}
        to, of, by, places = (arrays[i].data for i in (0, 2, 3, 4))
        n, width = cgutils.unpack_tuple(builder, arrays[3].shape)  # type: ignore[no-untyped-call]

        def row_of(data: Any, number: Any) -> Any:
            place = builder.gep(data, [builder.mul(number, ir.Constant(_WORD, LANES))])
            return builder.bitcast(place, _ROW.as_pointer())

        def add_to(first: Any, kept: int) -> None:
            """Add to ``kept`` rows from the row ``first`` on."""
            numbers = [builder.add(first, ir.Constant(_WORD, i)) for i in range(kept)]
            into = [row_of(to, builder.add(values[1], number)) for number in numbers]
            # An array begins where numbers of 8 bytes may, no further. LLVM keeps these variables in registers.
            loads = [builder.load(place, align=8) for place in into]
            sums = [cgutils.alloca_once_value(builder, each) for each in loads]  # type: ignore[no-untyped-call]
            with cgutils.for_range(builder, values[5]) as loop:
                place = builder.load(builder.gep(places, [loop.index]))
                row = builder.load(row_of(of, place), align=8)
                for number, total in zip(numbers, sums, strict=True):
                    factor = builder.load(builder.gep(by, [builder.add(builder.mul(number, width), place)]))
                    one = builder.insert_element(ir.Constant(_ROW, ir.Undefined), factor, ir.Constant(_INDEX, 0))
                    wide = builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES))
                    builder.store(builder.fadd(builder.load(total), builder.fmul(row, wide)), total)
            for total, place in zip(sums, into, strict=True):
                builder.store(builder.load(total), place, align=8)

        whole = builder.sdiv(n, ir.Constant(_WORD, _KEPT))
        with cgutils.for_range(builder, whole) as loop:
            add_to(builder.mul(loop.index, ir.Constant(_WORD, _KEPT)), _KEPT)
        done = builder.mul(whole, ir.Constant(_WORD, _KEPT))
        with cgutils.for_range(builder, builder.sub(n, done)) as loop:
            add_to(builder.add(done, loop.index), 1)
        return context.get_dummy_value()

    return types.void(target, at, rows, factors, which, count), generate


_products: Any = _add_products


@inner_kernel
def add_products(target: Floats, at: int, rows: Floats, factors: Floats, which: Ints, count: int) -> None:
    """Add some ``rows`` (w, `LANES`) times a ``factors`` (n, w) column to n rows of a target, from row ``at`` on.

    Row i of the n gets the sum over t in ``which[:count]`` of ``rows[t] * factors[i, t]``, in the order of ``which``.
    All arrays are C-contiguous; the target's last axis has `LANES` numbers. No place is checked.
    """
    _products(target, at, rows, factors, which, count)


@intrinsic
def _times_power(typing: Any, value: Any, rounded: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        exponent = builder.shl(builder.bitcast(values[1], _WORD), ir.Constant(_WORD, 52))
        return builder.bitcast(builder.add(builder.bitcast(values[0], _WORD), exponent), _DOUBLE)

    return types.float64(value, rounded), generate


_scaled: Any = _times_power


@inlined_kernel
def exponential(x: float) -> float:
    """e to the power of ``x`` <= 0, within a few units in the last place; a loop of it becomes vector instructions."""
    x = max(x, _EXPONENT_MIN)
    rounded = x * (1.0 / math.log(2.0)) + _ROUNDING
    power = rounded - _ROUNDING
    rest = x - power * _LN2_HIGH - power * _LN2_LOW
    total = _TAYLOR[0]
    for term in _TAYLOR[1:]:
        total = total * rest + term
    return float(_scaled(total, rounded))
