"""Exact age of information with forwarding on complete graphs, rings, lines and stars of any size.

On these graphs only the sizes of the sets in the recursion of `protovine.age.forwarding` matter, or updates can take
only one path.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from protovine.age.forwarding import hit_probability
from protovine.age.law import check_positive, check_whole
from protovine.errors import ConfigError, check_range


def complete_push_age(
    nodes: int, push_hz: float, fanout: int = 1, loss: float = 0.0, moments: int = 1
) -> NDArray[np.float64]:
    r"""Moments, in s, s², ..., of the age between two nodes of a complete graph when all n nodes forward.

    Each node pushes μ times per second to s random others. With h_k = 1 - C(n-1-k, s)/C(n-1, s), the mean is
    1/((n-1)μ) Σ_{k=1}^{n-1} 1/h_k: for s = 1, H_(n-1)/μ.

    Raises
    ------
    ConfigError
        A value is out of range; the fanout must be between 1 and n - 1.

    Examples
    --------
    >>> complete_push_age(5, push_hz=1, fanout=2, moments=2).round(6)
    array([1.3 , 2.94])
    """
    check_whole("nodes", nodes, 2)
    check_positive("push_hz", push_hz)
    check_whole("fanout", fanout, 1, nodes - 1)
    check_range("loss", loss, 0, 1)
    hit = push_hz * hit_probability(nodes - 1, fanout, loss)

    def step(size: int) -> tuple[float, float]:
        return float(hit[size]), (nodes - 1 - size) * float(hit[size])

    return _by_size(nodes - 1, step, moments)


def complete_age(nodes: int, source_hz: float, push_hz: float, moments: int = 1) -> NDArray[np.float64]:
    """Moments, in s, s², ..., of the age of any node of a complete graph about an outside source (Yates 2021).

    The source pushes to each of n nodes at rate ``source_hz / n``, each node to each other at ``push_hz / (n - 1)``.

    Raises
    ------
    ConfigError
        A value is out of range.

    Examples
    --------
    >>> complete_age(3, source_hz=1, push_hz=1)
    array([1.65])
    """
    _check_outside(nodes, 1, source_hz, push_hz)

    def step(size: int) -> tuple[float, float]:
        return source_hz * size / nodes, push_hz * size * (nodes - size) / max(nodes - 1, 1)

    return _by_size(nodes, step, moments)


def ring_age(nodes: int, source_hz: float, push_hz: float, moments: int = 1) -> NDArray[np.float64]:
    """Moments, in s, s², ..., of the age of any node of a ring about an outside source (Yates 2021).

    The source pushes to each of n >= 3 nodes at rate ``source_hz / n``, each node to both neighbours at
    ``push_hz / 2``.

    Raises
    ------
    ConfigError
        A value is out of range.

    Examples
    --------
    >>> ring_age(4, source_hz=1, push_hz=1).round(6)
    array([1.942857])
    """
    _check_outside(nodes, 3, source_hz, push_hz)

    def step(size: int) -> tuple[float, float]:
        return source_hz * size / nodes, push_hz if size < nodes else 0.0

    return _by_size(nodes, step, moments)


def ring_push_age(nodes: int, distance: int, push_hz: float, fanout: int = 1, moments: int = 1) -> NDArray[np.float64]:
    r"""Moments, in s, s², ..., of the age about a node ``distance`` steps away on a ring of n >= 3 nodes that forward.

    Each node pushes μ times per second to s of its 2 neighbours, and updates come by either arc. With s = 1 the arcs
    are independent, so the age is the smaller of Erlang(d, μ/2) and Erlang(n - d, μ/2): fair coin tosses until there
    are d heads or n - d tails. With s = 2 each arc has rate μ, but a push of the origin serves both.

    Raises
    ------
    ConfigError
        A value is out of range.

    Examples
    --------
    >>> ring_push_age(5, distance=1, push_hz=1), ring_push_age(5, distance=2, push_hz=1)
    (array([1.875]), array([3.125]))
    """
    check_whole("nodes", nodes, 3)
    check_whole("distance", distance, 1, nodes - 1)
    check_positive("push_hz", push_hz)
    check_whole("fanout", fanout, 1, 2)
    check_whole("moments", moments, 1)
    n, d, other = nodes, distance, nodes - distance
    # P(more than k tosses): fewer than d heads and fewer than n - d tails among k.
    k = np.arange(n)
    alive = special.bdtr(np.minimum(d - 1, k), k, 0.5)
    alive[other:] -= special.bdtr(k[other:] - other, k[other:], 0.5)
    ended = -np.diff(alive)
    tosses = np.arange(1.0, n)
    rate = push_hz * fanout
    # If all n - 1 tosses are needed, the last one is between the two links of the origin, with rate μ for any fanout.
    result = np.empty(moments)
    for m in range(1, moments + 1):
        value = float(ended[:-1] @ _erlang_moment(tosses[:-1], rate, m)) if n > 2 else 0.0
        before = np.array([n - 2.0])
        last = sum(
            math.comb(m, j) * float(_erlang_moment(before, rate, m - j)[0]) * math.factorial(j) / push_hz**j
            for j in range(m + 1)
        )
        result[m - 1] = value + float(ended[-1]) * last
    return result


def path_age(rates: ArrayLike, moments: int = 1) -> NDArray[np.float64]:
    """Moments, in s, s², ..., of the age where one path leads from origin to node: the sum of Exp(rate) over its links.

    ``rates`` has the pushes per second over each link.

    Raises
    ------
    ConfigError
        A rate is not positive and finite.

    Examples
    --------
    >>> path_age([1, 0.5], moments=2)
    array([ 3., 14.])
    """
    links = np.asarray(rates, np.float64)
    if links.ndim != 1 or not ((links > 0) & np.isfinite(links)).all():
        raise ConfigError(f"rates must be a list of finite numbers > 0, got {links.tolist()}")
    check_whole("moments", moments, 1)
    # Cumulants of exponentials add up: (k-1)! Σ rate^-k.
    cumulants = [math.factorial(k - 1) * float(np.sum(links**-k)) for k in range(1, moments + 1)]
    raw = [1.0]
    for m in range(1, moments + 1):
        raw.append(sum(math.comb(m - 1, k - 1) * cumulants[k - 1] * raw[m - k] for k in range(1, m + 1)))
    return np.array(raw[1:])


def line_push_age(
    nodes: int, origin: int, node: int, push_hz: float, fanout: int = 1, moments: int = 1
) -> NDArray[np.float64]:
    """Moments, in s, s², ..., of the age of ``node`` about ``origin`` on a line of nodes that forward.

    Each node pushes ``push_hz`` times per second to ``fanout`` (1 or 2) of its neighbours; an end has only one.

    Raises
    ------
    ConfigError
        A value is out of range.

    Examples
    --------
    >>> line_push_age(3, origin=0, node=2, push_hz=1)
    array([3.])
    """
    check_whole("nodes", nodes, 2)
    check_whole("origin", origin, 0, nodes - 1)
    check_whole("node", node, 0, nodes - 1)
    check_positive("push_hz", push_hz)
    check_whole("fanout", fanout, 1, 2)
    step = 1 if node > origin else -1
    senders = np.arange(origin, node, step)
    degree = np.where((senders == 0) | (senders == nodes - 1), 1, 2)
    return path_age(push_hz * np.minimum(fanout, degree) / degree, moments)


def line_age(nodes: int, source_hz: float, push_hz: float, moments: int = 1) -> NDArray[np.float64]:
    """Moments, in s, s², ..., of the ages of all nodes of a line about an outside source.

    The source pushes to each of n nodes at rate ``source_hz / n``, a node with d neighbours to each of them at
    ``push_hz / d``. The time grows as n², the memory as n.

    Returns
    -------
    float array, shape (n, moments)

    Raises
    ------
    ConfigError
        A value is out of range.

    Examples
    --------
    >>> line_age(4, source_hz=1, push_hz=1)[:, 0].round(4)
    array([2.381 , 1.8449, 1.8449, 2.381 ])
    """
    _check_outside(nodes, 2, source_hz, push_hz)
    check_whole("moments", moments, 1)
    n = nodes
    # Pushes per second of node i to each neighbour, with a silent node beyond each end.
    out = np.full(n + 2, push_hz / 2)
    out[[1, n]] = push_hz
    out[[0, n + 1]] = 0.0
    ages = np.zeros((0, moments))
    for size in range(n, 0, -1):
        first = np.arange(n - size + 1)
        left, right = out[first], out[first + size + 1]
        total = source_hz * size / n + left + right
        # Intervals one node longer: those that begin one node earlier and those that end one node later.
        longer = np.vstack([np.zeros((1, moments)), ages, np.zeros((1, moments))])
        now = np.empty((len(first), moments))
        lower = np.ones(len(first))
        for m in range(moments):
            lower = ((m + 1) * lower + left * longer[:-1, m] + right * longer[1:, m]) / total
            now[:, m] = lower
        ages = now
    return ages


def star_age(nodes: int, source_hz: float, push_hz: float, moments: int = 1) -> tuple[NDArray[np.float64], ...]:
    """Moments, in s, s², ..., of the ages of the hub and of a leaf of a star about an outside source.

    The source pushes to each of n nodes, hub included, at rate ``source_hz / n``, a leaf to the hub at ``push_hz``, the
    hub to each leaf at ``push_hz / (n - 1)``.

    Returns
    -------
    hub, leaf : float array, shape (moments,)

    Raises
    ------
    ConfigError
        A value is out of range.

    Examples
    --------
    >>> hub, leaf = star_age(5, source_hz=1, push_hz=1)
    >>> hub.round(6), leaf.round(6)
    (array([1.55965]), array([2.993129]))
    """
    _check_outside(nodes, 2, source_hz, push_hz)
    n = nodes

    def step(size: int) -> tuple[float, float]:
        # The hub and size - 1 leaves; the other n - size leaves push to the hub.
        return source_hz * size / n, push_hz * (n - size)

    hub, with_leaf = _by_size(n, step, moments), _by_size(n, step, moments, first=2)
    leaf, lower = np.empty(moments), 1.0
    direct, through = source_hz / n, push_hz / (n - 1)
    for m in range(moments):
        lower = ((m + 1) * lower + through * with_leaf[m]) / (direct + through)
        leaf[m] = lower
    return hub, leaf


def star_push_age(nodes: int, push_hz: float, fanout: int = 1, moments: int = 1) -> dict[str, NDArray[np.float64]]:
    """Moments, in s, s², ..., of the ages between the nodes of a star that forward.

    Each node pushes ``push_hz`` times per second: the hub to ``fanout`` of its n - 1 leaves, a leaf to the hub. The
    keys are ``hub about leaf``, ``leaf about hub`` and ``leaf about leaf``.

    Raises
    ------
    ConfigError
        A value is out of range.

    Examples
    --------
    >>> star_push_age(5, push_hz=1)
    {'hub about leaf': array([1.]), 'leaf about hub': array([4.]), 'leaf about leaf': array([5.])}
    """
    check_whole("nodes", nodes, 3)
    check_positive("push_hz", push_hz)
    check_whole("fanout", fanout, 1, nodes - 1)
    up, down = push_hz, push_hz * fanout / (nodes - 1)
    return {
        "hub about leaf": path_age([up], moments),
        "leaf about hub": path_age([down], moments),
        "leaf about leaf": path_age([up, down], moments),
    }


def _erlang_moment(shape: NDArray[np.float64], rate: float, m: int) -> NDArray[np.float64]:
    value = np.ones(len(shape))
    for j in range(m):
        value = value * (shape + j) / rate
    return value


def _by_size(n: int, step: Callable[[int], tuple[float, float]], moments: int, first: int = 1) -> NDArray[np.float64]:
    """The recursion over sizes of sets; ``step(size)`` gives the rates into the set from the source and other nodes."""
    check_whole("moments", moments, 1)
    ages = [0.0] * moments
    for size in range(n, first - 1, -1):
        source, others = step(size)
        total, lower = source + others, 1.0
        for m in range(moments):
            lower = ((m + 1) * lower + others * ages[m]) / total if total > 0 else math.inf
            ages[m] = lower
    return np.array(ages)


def _check_outside(n: int, least: int, source_hz: float, push_hz: float) -> None:
    """`ConfigError` unless there are at least ``least`` nodes, and both rates are positive and finite."""
    check_whole("nodes", n, least)
    check_positive("source_hz", source_hz)
    check_positive("push_hz", push_hz)
