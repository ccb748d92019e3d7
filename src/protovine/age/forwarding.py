"""Exact age of information when every node forwards the newest update that it has of each origin.

The age of a set of nodes is the smallest age in it. After a push from an outside node into the set, it is the age of
the set joined with the sender, no matter which member received. So the moments of ages obey a recursion over growing
sets (Yates 2021). `protovine.age.symmetric` has graphs on which only the sizes of the sets matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protovine.age.law import check_positive, check_whole
from protovine.errors import ConfigError, check_range

# The recursion visits all 2^n sets of nodes.
NODES_MAX = 16


def exact_age(
    source_rates: ArrayLike, rates: ArrayLike, node: int | None = None, moments: int = 1
) -> NDArray[np.float64]:
    r"""Moments of the age of ``node`` about one outside source, on any graph of up to 16 nodes.

    With λ_0(S) the rate from the source into a set S of nodes and λ_i(S) that from node i,
    E[A_S^k] = (k E[A_S^(k-1)] + Σ_{i not in S} λ_i(S) E[A_(S+i)^k]) / (λ_0(S) + Σ λ_i(S)). If the source makes
    versions at rate λ_e, independent of its pushes, `version_moments` gives the version ages.

    Parameters
    ----------
    source_rates : float array, shape (n,)
        Pushes per second from the source to each node, >= 0.
    rates : float array, shape (n, n)
        ``rates[i, j]`` pushes per second from node i to node j, >= 0; links are independent, the diagonal is ignored.
    node : int, optional
        By default all nodes, which takes little longer than one.
    moments : int >= 1
        How many moments to compute.

    Returns
    -------
    float array, shape (moments,), or (n, moments) for all nodes
        E[A], E[A²], ... in s, s², ...; infinite if no path leads from the source to the node.

    Raises
    ------
    ConfigError
        More than 16 nodes, wrong shapes, or a rate that is negative or not finite.

    References
    ----------
    Yates, "The age of gossip in networks", ISIT 2021; moments as in Abd-Elmagid & Dhillon, "Distribution of the age of
    gossip in networks", Entropy 2023.

    Examples
    --------
    >>> rates = [[0, 2, 1], [1, 0, 3], [0.5, 1, 0]]
    >>> exact_age([1, 0, 0.5], rates, node=0, moments=2).round(6)
    array([0.853333, 1.329778])
    """
    source, links = np.array(source_rates, np.float64), np.array(rates, np.float64)
    n = len(source) if source.ndim == 1 else 0
    check_whole("nodes", n, 1, NODES_MAX)
    if links.shape != (n, n):
        raise ConfigError(f"rates must have shape ({n}, {n}), got {links.shape}")
    if node is not None:
        check_whole("node", node, 0, n - 1)
    np.fill_diagonal(links, 0.0)
    for name, values in (("source_rates", source), ("rates", links)):
        wrong = ~((values >= 0) & np.isfinite(values))
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ConfigError(f"{name} must be finite and >= 0, got {values[at]} at {at if len(at) > 1 else at[0]}")
    # Row S (a bit mask) has the rates into S from the source and from each node; each bit doubles the table.
    into = np.zeros((2**n, n + 1))
    for j in range(n):
        into[2**j : 2 ** (j + 1)] = into[: 2**j] + np.concatenate([[source[j]], links[:, j]])
    return _over_sets(into, node, moments)


def exact_push_age(
    neighbours: Sequence[Sequence[int]],
    origin: int,
    node: int | None,
    push_hz: float,
    fanout: int = 1,
    loss: float = 0.0,
    moments: int = 1,
) -> NDArray[np.float64]:
    r"""Moments of the age of ``node`` about ``origin`` when all nodes forward, on any graph of up to 16 nodes.

    Each node pushes as a Poisson process to s of its d neighbours (all, if d < s), drawn uniformly. A push reaches a
    set that has k of these neighbours with probability 1 - C(d-k, s)/C(d, s).

    Parameters
    ----------
    neighbours : sequence of sequences of int
        The nodes that each node pushes to.
    origin : int
    node : int or None
        None for all nodes, which takes little longer than one.
    push_hz : float > 0
        Pushes per second of each node.
    fanout : int >= 1
        Neighbours addressed per push, s.
    loss : float in [0, 1]
        Probability that a message is lost, independently of others.
    moments : int >= 1
        How many moments to compute.

    Returns
    -------
    float array, shape (moments,), or (n, moments) for all nodes
        In s, s², ...; infinite if no path leads from the origin to the node, 0 if they are the same.

    Raises
    ------
    ConfigError
        More than 16 nodes, or a value that is out of range.

    Examples
    --------
    >>> ring = [[1, 4], [0, 2], [1, 3], [2, 4], [0, 3]]
    >>> exact_push_age(ring, origin=0, node=2, push_hz=1)
    array([3.125])
    """
    n = len(neighbours)
    check_whole("nodes", n, 1, NODES_MAX)
    check_whole("origin", origin, 0, n - 1)
    if node is not None:
        check_whole("node", node, 0, n - 1)
    check_positive("push_hz", push_hz)
    check_whole("fanout", fanout, 1)
    check_range("loss", loss, 0, 1)
    if origin == node:
        check_whole("moments", moments, 1)
        return np.zeros(moments)
    sets = np.arange(2**n)
    into = np.zeros((2**n, n + 1))
    for i, peers in enumerate(neighbours):
        unique = sorted(set(peers))
        if len(unique) != len(peers) or i in unique or any(not 0 <= j < n for j in unique):
            raise ConfigError(f"neighbours of node {i} must be different nodes between 0 and {n - 1}, got {peers}")
        if unique:
            held = sum((sets >> j) & 1 for j in unique)
            # The age of the origin about itself is 0, so it takes the place of the source.
            into[:, 0 if i == origin else i + 1] = (
                push_hz * hit_probability(len(unique), min(fanout, len(unique)), loss)[held]
            )
    # The origin is the source, so no set of the recursion has it as a member.
    return _over_sets(into, node, moments, never=origin)


def hit_probability(degree: int, fanout: int, loss: float) -> NDArray[np.float64]:
    """Probability that a push to ``fanout`` of ``degree`` peers reaches any of k given peers, for k = 0 .. degree."""
    k, s = np.arange(degree + 1.0), fanout
    if s == 1:
        return np.asarray((1 - loss) * k / degree)
    if s == degree:
        return np.asarray(1 - loss**k)
    if loss == 0:
        # C(d-k, s)/C(d, s) is the product over the k of (d - i - s)/(d - i).
        i = np.arange(degree, dtype=float)
        miss = np.cumprod(np.maximum(0.0, (degree - i - s) / (degree - i)))
        return np.concatenate([[0.0], 1 - miss])
    # Recursion over draws: P(no message arrives) with ``left`` draws to go, by how many of the k are not yet drawn.
    missed = np.ones(degree + 1)
    for left in range(1, s + 1):
        peers = degree - s + left
        drawn = np.minimum(k, peers) / peers
        missed = drawn * loss * np.concatenate([[1.0], missed[:-1]]) + (1 - drawn) * missed
    return np.asarray(1 - missed)


def _over_sets(
    into: NDArray[np.float64], node: int | None, moments: int, never: int | None = None
) -> NDArray[np.float64]:
    """The recursion over all sets, the largest first: only sets with ``node``, if given, and none with ``never``.

    Row S of ``into`` has the rates into set S: column 0 from the source, column i + 1 from node i.
    """
    check_whole("moments", moments, 1)
    n = into.shape[1] - 1
    sets = np.arange(1, 2**n)
    if node is not None:
        sets = sets[(sets >> node) & 1 == 1]
    if never is not None:
        sets = sets[(sets >> never) & 1 == 0]
    size = np.bitwise_count(sets) if hasattr(np, "bitwise_count") else np.array([int(x).bit_count() for x in sets])
    ages = np.zeros((2**n, moments))
    for count in range(n, 0, -1):
        level = sets[size == count]
        total = into[level, 0].copy()
        gained = np.zeros((len(level), moments))
        for i in range(n):
            if i == never:
                continue
            outside = (level >> i) & 1 == 0
            chosen = outside & (into[level, i + 1] > 0)
            rate = into[level[chosen], i + 1]
            total[chosen] += rate
            gained[chosen] += rate[:, None] * ages[level[chosen] | (1 << i)]
        # The age of a set that no push reaches is infinite.
        reached = total > 0
        lower = np.ones(len(level))
        for m in range(moments):
            lower = np.divide((m + 1) * lower + gained[:, m], total, out=np.full(len(level), np.inf), where=reached)
            ages[level, m] = lower
    return np.asarray(ages[1 << np.arange(n)] if node is None else ages[1 << node])
