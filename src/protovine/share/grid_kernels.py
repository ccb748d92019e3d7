"""Numba kernel that finds the grids of features; the caller guarantees shapes and finiteness."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_SPAN_MAX = 255  # Steps between the ends of the widest grid: a byte per value.
# A value is on a grid if it is nearer than this part of a step; values nearer than this part of their size are equal.
_OFF_MAX, _EQUAL = 1e-3, 1e-9


@njit(cache=True)
def widened(x, low, high, step, first):
    """Widen grids (d,) so that they hold ``x`` (d,); whether any is left. A step is 0 of one value, and NaN of none."""
    left = False
    for j in range(len(x)):
        if first:
            low[j] = high[j] = x[j]
        if math.isnan(step[j]):
            continue
        gap = abs(x[j] - low[j])
        if gap > _EQUAL * max(abs(x[j]), abs(low[j])):
            low[j], high[j] = min(low[j], x[j]), max(high[j], x[j])
            span = high[j] - low[j]
            common, rest = step[j], gap
            if common == 0.0:
                common = gap
            # The greatest common step of the grid and the new distance; each rest is at most half the one before.
            while common * _SPAN_MAX * 2 > span:
                rest = abs(rest - np.rint(rest / common) * common)
                if rest <= _OFF_MAX * common:
                    break
                common, rest = rest, common
            steps = np.rint(span / common)
            step[j] = span / steps if steps <= _SPAN_MAX else math.nan
        if not math.isnan(step[j]):
            left = True
    return left
