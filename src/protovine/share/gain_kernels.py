"""Numba kernels of the expected gain; callers guarantee shapes and finiteness."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def squares(point, columns, scale, out):
    """Squared distances, each feature weighted by ``scale``, from ``point`` (d,) to all ``columns`` (d, n)."""
    out[:] = 0.0
    for k in range(columns.shape[0]):
        for i in range(columns.shape[1]):
            difference = point[k] - columns[k, i]
            out[i] += scale[k] * (difference * difference)


@njit(cache=True)
def nearest(values):
    """Index of the least value, the first of equals; -1 if there is none."""
    best, least = -1, np.inf
    for i in range(values.shape[0]):
        if best < 0 or values[i] < least:
            best, least = i, values[i]
    return best


@njit(cache=True)
def confirmed(columns, label, scale, out):
    """Set ``agrees`` where the nearest other of ``columns`` (d, n) has the same label."""
    n = columns.shape[1]
    r = np.empty(n)
    for i in range(n):
        squares(columns[:, i], columns, scale, r)
        r[i] = np.inf
        j = nearest(r)
        out[i] = r[j] < np.inf and label[j] == label[i]


@njit(cache=True)
def correct(x, y, known, known_label, new, new_label, scale):
    """Rows of ``x`` (k, d) predicted correctly by the nearest of ``known`` (d, n), and by the nearest of both sets."""
    r, s = np.empty(known.shape[1]), np.empty(new.shape[1])
    without, together = 0, 0
    for i in range(x.shape[0]):
        squares(x[i], known, scale, r)
        squares(x[i], new, scale, s)
        a, b = nearest(r), nearest(s)
        hit = a >= 0 and known_label[a] == y[i]
        without += hit
        if b >= 0 and (a < 0 or s[b] < r[a]):
            hit = new_label[b] == y[i]
        together += hit
    return without, together
