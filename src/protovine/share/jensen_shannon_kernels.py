"""Numba kernels of the Jensen-Shannon distances; callers guarantee shapes and finiteness."""

from __future__ import annotations

import numpy as np
from numba import njit

# Number of kernel widths, each with half the variance of the previous one; and the weight of the uniform prior.
_WIDTHS, _DOUBT = 7, 0.05
# Points per tile: measured fastest at 6 to 22 dimensions.
_TILE = 256
# Cells of the grid over the points, in each of its two dimensions, at most.
_CELLS = 64


@njit(cache=True)
def _cell(value, low, per_unit, cells):
    """The cell of ``value`` in one dimension; values outside belong to the outermost cells."""
    return min(max(int((value - low) * per_unit), 0), cells - 1)


@njit(cache=True)
def in_cells(points, order, low, high, bandwidth):
    """Arrange ``points`` (P, D) by the cell of a grid over the first two dimensions of ``order`` (D,).

    Returns the points as columns (D, P), dimensions in ``order``; where each cell begins among them; and for both
    dimensions of the grid its lower end, its cells per unit and its number of cells. Cells are about as wide as the
    bandwidth. ``low`` and ``high`` (D,) bound the points.
    """
    n, n_dims = points.shape
    start, per_unit, cells = np.empty(2), np.empty(2), np.empty(2, np.int64)
    for k in range(2):
        width = high[order[k]] - low[order[k]]
        start[k] = low[order[k]]
        cells[k] = max(1, int(min(_CELLS, width / bandwidth)))
        per_unit[k] = cells[k] / width if width > 0.0 else 0.0
    first = np.zeros(cells[0] * cells[1] + 1, np.int64)
    cell = np.empty(n, np.int64)
    for i in range(n):
        cell[i] = _cell(points[i, order[0]], start[0], per_unit[0], cells[0]) * cells[1]
        cell[i] += _cell(points[i, order[1]], start[1], per_unit[1], cells[1])
        first[cell[i] + 1] += 1
    for c in range(len(first) - 1):
        first[c + 1] += first[c]
    columns = np.empty((n_dims, n))
    place = first.copy()
    for i in range(n):
        for k in range(n_dims):
            columns[k, place[cell[i]]] = points[i, order[k]]
        place[cell[i]] += 1
    return columns, first, start, per_unit, cells


@njit(cache=True)
def density(points, grid, rows, bandwidth, out):
    """Unnormalised Epanechnikov density at each of the ``points`` (D, P): the sum of 1 - r²/h² over rows nearer than h.

    The points are in the order of the cells of ``grid``, as `in_cells` returns both: only those in a few stretches can
    be near a row. Tiles of points meet all rows in turn, while they are in the cache.
    """
    n_rows, n_dims = rows.shape
    square = bandwidth * bandwidth
    first, start, per_unit, cells = grid
    near = np.empty((n_rows, 2, 2), np.int64)  # The cells that a row reaches: from and to, in both dimensions.
    for i in range(n_rows):
        for k in range(2):
            # Slightly more than the bandwidth, against rounding.
            reach = bandwidth * (1.0 + 1e-6) + 1e-15 * abs(rows[i, k])
            near[i, k, 0] = _cell(rows[i, k] - reach, start[k], per_unit[k], cells[k])
            near[i, k, 1] = _cell(rows[i, k] + reach, start[k], per_unit[k], cells[k]) + 1
    out[:] = 0.0
    square_distances = np.empty(_TILE)
    for line in range(cells[0]):
        cell = line * cells[1]
        for tile in range(first[cell], first[cell + cells[1]], _TILE):
            for i in range(n_rows):
                if near[i, 0, 0] <= line < near[i, 0, 1]:
                    begin = max(tile, first[cell + near[i, 1, 0]])
                    end = min(tile + _TILE, first[cell + near[i, 1, 1]])
                    if begin < end:
                        r = square_distances[: end - begin]
                        r[:] = 0.0
                        for k in range(n_dims):
                            column, at = points[k, begin:end], rows[i, k]
                            for p in range(len(r)):
                                difference = column[p] - at
                                r[p] += difference * difference
                        here = out[begin:end]
                        for p in range(len(r)):
                            here[p] += max(1.0 - r[p] / square, 0.0)


@njit(cache=True)
def jensen_shannon_distance(points, order, low, high, rows_a, rows_b, bandwidth_a, bandwidth_b):
    """Base-2 Jensen-Shannon distance of two densities on ``points`` (P, D), which lie between ``low`` and ``high``.

    ``order`` (D,) has the dimensions of the grid first; the rows have theirs in this order. 1 if one of the densities
    is 0 at every point.
    """
    points, first, start, per_unit, cells = in_cells(points, order, low, high, max(bandwidth_a, bandwidth_b))
    grid = first, start, per_unit, cells
    n = points.shape[1]
    p, q = np.empty(n), np.empty(n)
    density(points, grid, rows_a, bandwidth_a, p)
    density(points, grid, rows_b, bandwidth_b, q)
    p_sum, q_sum = 0.0, 0.0
    for i in range(n):
        p_sum += p[i]
        q_sum += q[i]
    if p_sum == 0.0 or q_sum == 0.0:
        return 1.0
    divergence = 0.0
    for i in range(n):
        u, v = p[i] / p_sum, q[i] / q_sum
        m = (u + v) / 2.0
        if u > 0.0:
            divergence += 0.5 * u * np.log2(u / m)
        if v > 0.0:
            divergence += 0.5 * v * np.log2(v / m)
    return np.sqrt(min(max(divergence, 0.0), 1.0))


@njit(cache=True)
def jensen_shannon_loo(x, group, side, weight):
    """Jensen-Shannon divergence, in bits, between the rows ``x`` (n, d) of side 0 and of side 1.

    ``group`` (n,) is the class; rows ascend by (class, side); ``weight`` is > 0 and sums to 1 on each side. See
    `protovine.share.jensen_shannon_loo` for the formulas.
    """
    n, d = x.shape
    z = _standardised(x, group, side, weight)
    columns = np.ascontiguousarray(z.T)
    gain = np.zeros(_WIDTHS + 1)
    # Kernel sums by side and width; each row of ``values`` is reused by every prototype.
    sums = np.zeros((2, _WIDTHS, n))
    values = np.empty(n)
    factor = -1.0 / (8.0 * max(1.0, d / 4.0))
    start = 0
    while start < n:
        end = start + 1
        while end < n and group[end] == group[start]:
            end += 1
        for i in range(start, end):
            _add_kernels(
                columns[:, start:end], i - start, weight[i], factor, values[: end - start], sums[side[i], :, start:end]
            )
        gain[_WIDTHS] += _linear_log2(z, side, weight, start, end)
        start = end
    for i in range(n):
        for g in range(_WIDTHS):
            gain[g] += weight[i] * np.log2(_own_part(sums[side[i], g, i], sums[1 - side[i], g, i], weight[i]))
    return min(max(1.0 + 0.5 * np.max(gain), 0.0), 1.0)


@njit(cache=True)
def _add_kernels(columns, i, weight, factor, values, sums):
    """Add column ``i``'s Gaussians at all other ``columns`` (d, n) to ``sums`` (widths, n)."""
    d, n = columns.shape
    values[:] = 0.0
    for k in range(d):
        here = columns[k, i]
        for j in range(n):
            difference = columns[k, j] - here
            values[j] += difference * difference
    for j in range(n):
        values[j] = np.exp(factor * values[j])
    values[i] = 0.0
    for g in range(_WIDTHS):
        for j in range(n):
            sums[g, j] += weight * values[j]
            values[j] *= values[j]  # Half the variance.


@njit(cache=True)
def _standardised(x, group, side, weight):
    """Features in units of their deviation within (class, side), or within the class where that is 0."""
    n, d = x.shape
    z = np.empty((n, d))
    for k in range(d):
        inner, outer = 0.0, 0.0
        start = 0
        while start < n:
            # Relative to the first row of the class, a feature that does not vary is exactly 0.
            first = x[start, k]
            end = start
            total, mean, square = np.zeros(2), np.zeros(2), 0.0
            while end < n and group[end] == group[start]:
                total[side[end]] += weight[end]
                mean[side[end]] += weight[end] * (x[end, k] - first)
                end += 1
            both = (mean[0] + mean[1]) / (total[0] + total[1])
            for s in range(2):
                if total[s] > 0.0:
                    mean[s] /= total[s]
            for i in range(start, end):
                away = x[i, k] - first
                inner += weight[i] * (away - mean[side[i]]) ** 2
                square += weight[i] * (away - both) ** 2
            outer += square
            start = end
        # Rounding leaves a small value where nothing varies.
        variance = (inner if inner > 1e-24 * outer else outer) / 2.0
        scale = 1.0 / np.sqrt(variance) if variance > 1e-300 else 0.0
        for i in range(n):
            z[i, k] = scale * (x[i, k] - x[0, k])
    return z


@njit(cache=True)
def _own_part(own, other, weight):
    """Probability of the prototype's side; 1/2 without evidence."""
    doubt = _DOUBT * (own + other + weight)
    return (own + doubt) / (own + other + 2.0 * doubt)


@njit(cache=True)
def _linear_log2(z, side, weight, start, end):
    """Sum of weight·log2 q over the rows of one class, q by diagonal discriminant analysis without the row itself."""
    d = z.shape[1]
    total, mean = np.zeros(2), np.zeros((2, d))
    for i in range(start, end):
        total[side[i]] += weight[i]
        for k in range(d):
            mean[side[i], k] += weight[i] * z[i, k]
    for s in range(2):
        if total[s] > 0.0:
            for k in range(d):
                mean[s, k] /= total[s]
    out = 0.0
    for i in range(start, end):
        s = side[i]
        own, other = total[s] - weight[i], total[1 - s]
        if own <= 1e-12 * total[s]:
            own = 0.0
        if own == 0.0 or other == 0.0:
            out += weight[i] * np.log2(_own_part(own, other, weight[i]))
            continue
        # The mean without the row is farther from it by this factor.
        away = total[s] / own
        logit = np.log(own / other)
        for k in range(d):
            far, near = z[i, k] - mean[1 - s, k], away * (z[i, k] - mean[s, k])
            logit += 0.5 * (far * far - near * near)
        # log2 of 1/(1 + exp(-logit)), without overflow.
        out -= weight[i] * (np.log1p(np.exp(-abs(logit))) + max(-logit, 0.0)) / np.log(2.0)
    return out
