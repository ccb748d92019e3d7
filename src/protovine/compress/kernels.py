"""Numba kernels of greedy merging; callers guarantee shapes and finite values."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def _squared_distance(x, i, j, scale):
    """Sum of scale·(x_i - x_j)². Takes row numbers, since slicing the rows would take longer than the sum."""
    total = 0.0
    for k in range(x.shape[1]):
        difference = x[i, k] - x[j, k]
        total += scale[k] * (difference * difference)
    return total


@njit(cache=True)
def _cost(a, b, square):
    """Cost of merging weights a and b at a squared distance: the growth of the weighted sum of squares."""
    total = a + b
    # The smaller weight comes first, so that swapping a and b gives the same bits.
    return min(a, b) * (max(a, b) / total) * square if total > 0.0 else 0.0


@njit(cache=True)
def _offer(i, j, c, r, weight, partner, cost, square):
    """Store the pair at its lighter row (of equal weights the lower row), unless that row has a better partner.

    A partner is better if it is cheaper, then nearer, then a lower row.
    """
    if weight[j] < weight[i] or (weight[j] == weight[i] and j < i):
        i, j = j, i
    if c < cost[i] or (c == cost[i] and (r < square[i] or (r == square[i] and j < partner[i]))):
        partner[i], cost[i], square[i] = j, c, r


@njit(cache=True)
def merge_greedily(x, label, weight, event_ns, scale, target):
    """Merge the cheapest pair of one class until ``target`` rows are left or no class has two; returns the rows left.

    Arrays are changed in place: a merged pair takes the row of its first member. Each row stores its cheapest partner
    among the heavier rows, because light rows are cheap partners for many rows and disappear first. When the partner
    of a row is merged with another, the row becomes stale and keeps its cost as a lower bound: a merged pair is never
    cheaper to merge with a third row than the cheaper of its members was. A stale row searches again only when it has
    the lowest cost. So the time is about O(n²).
    """
    n = label.shape[0]
    alive = np.ones(n, np.bool_)
    # The rows of a class form a linked list in ascending order, from ``head``; n ends the list.
    head, last = np.empty(n, np.int64), np.empty(n, np.int64)
    before, following = np.full(n, -1), np.full(n, n)
    for i in range(n):
        head[i] = i
        for j in range(i):
            if label[j] == label[i]:
                head[i] = j
                before[i] = last[j]
                following[last[j]] = i
                break
        last[head[i]] = i
    # Without a partner the cost is infinite and the partner n.
    partner, stale = np.full(n, n), np.zeros(n, np.bool_)
    cost, square = np.full(n, np.inf), np.full(n, np.inf)
    for i in range(n):
        j = following[i]
        while j != n:
            r = _squared_distance(x, i, j, scale)
            _offer(i, j, _cost(weight[i], weight[j], r), r, weight, partner, cost, square)
            j = following[j]
    left = n
    while left > target:
        best = _cheapest(alive, partner, cost, square)
        if best < 0:
            break
        if stale[best]:
            partner[best], stale[best], cost[best], square[best] = n, False, np.inf, np.inf
            j = head[best]
            while j != n:
                if weight[j] > weight[best] or (weight[j] == weight[best] and j > best):
                    r = _squared_distance(x, best, j, scale)
                    _offer(best, j, _cost(weight[best], weight[j], r), r, weight, partner, cost, square)
                j = following[j]
            continue
        i, other = min(best, partner[best]), max(best, partner[best])
        total = weight[i] + weight[other]
        share = weight[other] / total if total > 0.0 else 0.5
        for k in range(x.shape[1]):
            x[i, k] += share * (x[other, k] - x[i, k])
        weight[i] = total
        event_ns[i] = max(event_ns[i], event_ns[other])
        alive[other] = False
        left -= 1
        following[before[other]] = following[other]
        if following[other] < n:
            before[following[other]] = before[other]
        partner[i], stale[i], cost[i], square[i] = n, False, np.inf, np.inf
        j = head[i]
        while j != n:
            if j != i:
                if partner[j] == i or partner[j] == other:
                    stale[j] = True
                r = _squared_distance(x, i, j, scale)
                c = _cost(weight[i], weight[j], r)
                if stale[j] and (weight[j] < weight[i] or (weight[j] == weight[i] and j < i)):
                    cost[j] = min(cost[j], c)
                else:
                    _offer(i, j, c, r, weight, partner, cost, square)
                if stale[j]:
                    # Only a bound on the cost is known, so at equal cost the stale row searches first.
                    square[j] = -1.0
            j = following[j]
    return np.flatnonzero(alive)


@njit(cache=True)
def _cheapest(alive, partner, cost, square):
    """The row with the cheapest pair, or -1; ties go to the nearer pair, then to the pair with the lowest rows."""
    n = alive.shape[0]
    best = -1
    for i in range(n):
        if not alive[i] or partner[i] == n:
            continue
        if best < 0 or cost[i] < cost[best] or (cost[i] == cost[best] and square[i] < square[best]):
            best = i
        elif cost[i] == cost[best] and square[i] == square[best]:
            low, low_best = min(i, partner[i]), min(best, partner[best])
            if low < low_best or (low == low_best and max(i, partner[i]) < max(best, partner[best])):
                best = i
    return best


@njit(cache=True)
def give_to_nearest(x, label, weight, event_ns, scale, kept):
    """Add weight and event time of each row that is not ``kept`` to the nearest kept row of its class, in place."""
    for i in range(label.shape[0]):
        if kept[i]:
            continue
        nearest, least = -1, np.inf
        for j in range(label.shape[0]):
            if kept[j] and label[j] == label[i]:
                r = _squared_distance(x, i, j, scale)
                if nearest < 0 or r < least:
                    nearest, least = j, r
        weight[nearest] += weight[i]
        event_ns[nearest] = max(event_ns[nearest], event_ns[i])
