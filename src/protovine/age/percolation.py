"""Age of information on large graphs with forwarding: unbiased Monte Carlo, and a fast estimate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, special
from scipy.sparse import csgraph

from protovine import rng
from protovine.age.law import check_positive, check_whole
from protovine.errors import ConfigError

# A sparse matrix would take a passage time of 0 for a missing link.
TINY = 1e-300


@dataclass(frozen=True, eq=False)
class PushRates:
    """How often each node pushes over each link; nodes forward the newest update that they have of each origin.

    Made by `PushRates.push` or `PushRates.rates`. The receivers of node i are ``receivers[first[i]:first[i + 1]]``.

    Parameters
    ----------
    first : int array, shape (n + 1,)
    receivers : int array, shape (links,)
    rate_hz : float array, shape (links,)
        Pushes per second over each link.
    to_all : bool
        Whether a push goes to all receivers of a node at once; otherwise links push independently.
    """

    first: NDArray[np.int64]
    receivers: NDArray[np.int64]
    rate_hz: NDArray[np.float64]
    to_all: bool = False

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.first) - 1

    @classmethod
    def push(
        cls,
        neighbours: Sequence[Sequence[int]] | sparse.sparray | sparse.spmatrix,
        push_hz: ArrayLike = 1.0,
        to_all: bool = False,
    ) -> PushRates:
        """The rates when each node pushes to one of its neighbours, drawn uniformly, or to all of them.

        Parameters
        ----------
        neighbours : sequence of sequences of int, or sparse matrix
            The nodes that each node pushes to; or an (n, n) matrix with an entry at (i, j) where i pushes to j.
        push_hz : float > 0, or float array, shape (n,)
            Pushes per second of each node.
        to_all : bool
            Whether a push goes to all neighbours at once.

        Raises
        ------
        ConfigError
            A rate is not positive and finite, or a neighbour is not another node.

        Examples
        --------
        >>> PushRates.push([[1, 2], [0], [0]], push_hz=3).rate_hz
        array([1.5, 1.5, 3. , 3. ])
        """
        if sparse.issparse(neighbours):
            matrix = sparse.csr_array(neighbours)
            if matrix.shape[0] != matrix.shape[1]:
                raise ConfigError(f"neighbours must be a square matrix, got shape {matrix.shape}")
            first, receivers = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
        else:
            first = np.concatenate([[0], np.cumsum([len(peers) for peers in neighbours], dtype=np.int64)])
            receivers = np.fromiter((j for peers in neighbours for j in peers), np.int64, int(first[-1]))
        n = len(first) - 1
        check_whole("nodes", n, 1)
        degree = np.diff(first)
        senders = np.repeat(np.arange(n), degree)
        wrong = (receivers < 0) | (receivers >= n) | (receivers == senders)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ConfigError(
                f"neighbours of node {senders[at]} must be other nodes between 0 and {n - 1}, got {receivers[at]}"
            )
        push = np.broadcast_to(np.asarray(push_hz, np.float64), (n,))
        if not ((push > 0) & np.isfinite(push)).all():
            raise ConfigError(f"push_hz must be finite and > 0, got {push.min()}")
        rate = push if to_all else push / np.maximum(degree, 1)
        return cls(first, receivers, np.repeat(rate, degree), to_all)

    @classmethod
    def rates(cls, matrix: ArrayLike | sparse.sparray | sparse.spmatrix) -> PushRates:
        """The rates when each link pushes independently: ``matrix[i, j]`` from i to j in 1/s, 0 or absent for no link.

        Raises
        ------
        ConfigError
            The matrix is not square, or a rate is negative or not finite.

        Examples
        --------
        >>> PushRates.rates([[0, 2], [0.5, 0]]).rate_hz
        array([2. , 0.5])
        """
        given = sparse.coo_array(matrix)
        if given.ndim != 2 or given.shape[0] != given.shape[1]:
            raise ConfigError(f"rates must be a square matrix, got shape {given.shape}")
        rows, columns = given.coords
        kept = (rows != columns) & (given.data != 0)
        data = given.data[kept].astype(np.float64)
        links = sparse.csr_array((data, (rows[kept], columns[kept])), shape=given.shape)
        wrong = ~((links.data > 0) & np.isfinite(links.data))
        if wrong.any():
            raise ConfigError(f"rates must be finite and >= 0, got {links.data[np.argmax(wrong)]}")
        return cls(links.indptr.astype(np.int64), links.indices.astype(np.int64), links.data)


@dataclass(frozen=True, eq=False)
class PercolationAge:
    """Mean age from independent Monte Carlo draws, with its confidence interval.

    Parameters
    ----------
    mean_s : float
        Over the draws, and over the targets of each draw.
    low_s, high_s : float
        Student's t interval over the draws.
    confidence : float
        Confidence level of the interval.
    draws : int
        Number of draws.
    draw_mean_s : float array, shape (draws,)
        Mean over the targets in each draw.
    node_mean_s : float array, shape (targets,)
        Mean over the draws for each target, in the order of ``targets``.
    variance : float
        Of the age over draws and targets, in s².
    """

    mean_s: float
    low_s: float
    high_s: float
    confidence: float
    draws: int
    draw_mean_s: NDArray[np.float64]
    node_mean_s: NDArray[np.float64]
    variance: float


def percolation_age(
    gossip: PushRates,
    *,
    origin: int | None = None,
    source_hz: ArrayLike | None = None,
    targets: Sequence[int] | None = None,
    draws: int = 32,
    confidence: float = 0.95,
    seed: int = 0,
) -> PercolationAge:
    r"""Mean age of the targets about an origin, an outside source, or a random origin for each draw.

    Looked at backwards from any time, the wait until the last push over a link is Exp(rate), by the memoryless
    property at every node on the way. So the age of node j about node i is distributed as the shortest path between
    them when every link has an independent length Exp(rate), which Dijkstra's algorithm finds. All targets of one
    draw use the same lengths and depend on each other, so the interval is over draws. If a node pushes to all
    neighbours at once, its links have the same length.

    Parameters
    ----------
    gossip : PushRates
    origin : int or None
        A node, or None for a random one in each draw.
    source_hz : float array, shape (n,), or None
        Pushes per second from an outside source to each node, >= 0; replaces the origin.
    targets : sequence of int, or None
        By default all nodes but the origin.
    draws : int >= 2
        More draws narrow the interval.
    confidence : float
        Confidence level of the interval, between 0 and 1, both excluded.
    seed : int
        The same seed gives the same result.

    Raises
    ------
    ConfigError
        A value is out of range, or no path leads to a target: its age would be infinite.

    References
    ----------
    Maranzatto & Michelen, "Age of gossip from connective properties via first passage percolation", 2024.

    Examples
    --------
    >>> ring = PushRates.push([[1, 4], [0, 2], [1, 3], [2, 4], [0, 3]])
    >>> age = percolation_age(ring, origin=0, targets=[2], draws=2000, seed=1)
    >>> age.low_s < 3.125 < age.high_s
    True
    """
    n = gossip.nodes
    wanted = _checked_targets(gossip, origin, source_hz, targets, draws, confidence)
    graph = _Graph.of(gossip, source_hz)
    draw = rng.stream(seed, "percolation")
    draw_means, squares = np.empty(draws), 0.0
    sums, seen = np.zeros(n if wanted is None else len(wanted)), np.zeros(n if wanted is None else len(wanted))
    for k in range(draws):
        start = n if source_hz is not None else int(draw.integers(n)) if origin is None else origin
        ages = csgraph.dijkstra(graph.with_lengths(draw), indices=start)[:n]
        if wanted is None:
            counted = np.arange(n) != start
            ages[~counted] = 0.0
        else:
            ages = ages[wanted]
            counted = np.ones(len(ages), bool)
        if np.isinf(ages).any():
            lost = int(np.argmax(np.isinf(ages)))
            who = "the source" if start == n else f"node {start}"
            node = lost if wanted is None else int(wanted[lost])
            raise ConfigError(f"no path leads from {who} to node {node}: its age is infinite")
        draw_means[k] = ages.sum() / counted.sum()
        squares += float(ages @ ages) / counted.sum()
        sums += ages
        seen += counted
    mean = float(draw_means.mean())
    half = float(special.stdtrit(draws - 1, 0.5 + confidence / 2) * draw_means.std(ddof=1) / math.sqrt(draws))
    if wanted is None:
        keep = seen > 0
        with np.errstate(invalid="ignore"):
            node_means = (sums / seen)[keep] if origin is not None else sums / seen
    else:
        node_means = sums / draws
    variance = squares / draws - mean**2
    return PercolationAge(mean, mean - half, mean + half, confidence, draws, draw_means, node_means, variance)


def _checked_targets(
    gossip: PushRates,
    origin: int | None,
    source_hz: ArrayLike | None,
    targets: Sequence[int] | None,
    draws: int,
    confidence: float,
) -> NDArray[np.int64] | None:
    """The targets as an array, or None for all nodes; `ConfigError` if a parameter of `percolation_age` is wrong."""
    n = gossip.nodes
    check_whole("draws", draws, 2)
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be between 0 and 1, both excluded, got {confidence}")
    wanted = None if targets is None else np.asarray(targets, np.int64)
    if wanted is not None and (wanted.ndim != 1 or not len(wanted) or wanted.min() < 0 or wanted.max() >= n):
        raise ConfigError(f"targets must be nodes between 0 and {n - 1}, got {targets}")
    if origin is not None:
        check_whole("origin", origin, 0, n - 1)
        if source_hz is not None:
            raise ConfigError("origin and source_hz must not both be given")
    if n == 1 and source_hz is None and wanted is None:
        raise ConfigError("nodes must be >= 2 without source_hz, got 1")
    return wanted


@dataclass(frozen=True, eq=False)
class _Graph:
    """Links with their rates, as rows of a sparse matrix; an outside source is one more node, the last."""

    gossip: PushRates
    receivers: NDArray[np.int32]
    first: NDArray[np.int32]
    rate_hz: NDArray[np.float64]

    @classmethod
    def of(cls, gossip: PushRates, source_hz: ArrayLike | None) -> _Graph:
        n, first, receivers, rates = gossip.nodes, gossip.first, gossip.receivers, gossip.rate_hz
        if source_hz is not None:
            source = np.asarray(source_hz, np.float64)
            if source.shape != (n,) or not ((source >= 0) & np.isfinite(source)).all():
                raise ConfigError(f"source_hz must be {n} finite numbers >= 0, got {source_hz}")
            into = np.flatnonzero(source)
            first = np.append(first, first[-1] + len(into))
            receivers, rates = np.concatenate([receivers, into]), np.concatenate([rates, source[into]])
        return cls(gossip, receivers.astype(np.int32), first.astype(np.int32), rates)

    def with_lengths(self, draw: np.random.Generator) -> sparse.csr_array:
        """One draw: every link with a length Exp(rate); the links of a push to all neighbours have the same draw."""
        if self.gossip.to_all:
            nodes, links = self.gossip.nodes, len(self.gossip.receivers)
            of_nodes = np.repeat(draw.standard_exponential(nodes), np.diff(self.gossip.first))
            lengths = np.concatenate([of_nodes, draw.standard_exponential(len(self.rate_hz) - links)])
        else:
            lengths = draw.standard_exponential(len(self.rate_hz))
        size = len(self.first) - 1
        weights = np.maximum(lengths / self.rate_hz, TINY)
        return sparse.csr_array((weights, self.receivers, self.first), shape=(size, size))


def ball_age(gossip: PushRates, node: int, source_hz: float | None = None) -> float:
    r"""Fast estimate, in seconds, of the mean age of ``node``: about an outside source, or over all other origins.

    The nodes from which an update can have come are assumed to be a ball: always the c nearest nodes, in the order of
    breadth-first search. With r_c the rate of pushes from outside into the ball, node c + 1 joins after 1/r_c. About
    an outside source that pushes to each node at rate ``source_hz / n`` this is Yates' recursion over one chain of
    sets, v_c = (1 + r_c v_(c+1)) / (source_hz c/n + r_c); over all origins the mean is Σ_c (n - c)/r_c / (n - 1).
    Exact on complete graphs and rings; on other graphs the true sets are less regular than balls.

    Parameters
    ----------
    gossip : PushRates
        With links that push independently.
    node : int
    source_hz : float or None
        Pushes per second of the outside source, to all nodes together; None for the mean over all origins.

    Raises
    ------
    ConfigError
        A value is out of range, or there is no outside source and no path leads from some node to this one.

    Examples
    --------
    >>> round(ball_age(PushRates.push([[1, 3], [0, 2], [1, 3], [0, 2]]), node=0, source_hz=1), 6)
    1.942857
    """
    n = gossip.nodes
    check_whole("node", node, 0, n - 1)
    if gossip.to_all:
        raise ConfigError("ball_age needs links that push independently, got a push to all neighbours")
    if source_hz is not None:
        check_positive("source_hz", source_hz)
    if n == 1 and source_hz is None:
        raise ConfigError("nodes must be >= 2 without source_hz, got 1")
    indices, indptr = gossip.receivers.astype(np.int32), gossip.first.astype(np.int32)
    out = sparse.csr_array((gossip.rate_hz, indices, indptr), shape=(n, n))
    order = csgraph.breadth_first_order(out.T.tocsr(), node, return_predecessors=False).astype(np.int64)
    if len(order) < n and source_hz is None:
        lost = int(np.setdiff1d(np.arange(n), order)[0])
        raise ConfigError(f"no path leads from node {lost} to node {node}: its age is infinite")
    rank = np.full(n, n, np.int64)
    rank[order] = np.arange(len(order))
    senders = np.repeat(np.arange(n), np.diff(gossip.first))
    sender_rank, receiver_rank = rank[senders], rank[gossip.receivers]
    # A link leads into the ball from the step at which its receiver joins until its sender joins.
    inward = receiver_rank < sender_rank
    change = np.bincount(receiver_rank[inward] + 1, gossip.rate_hz[inward], n + 2)
    change -= np.bincount(sender_rank[inward] + 1, gossip.rate_hz[inward], n + 2)
    rates = np.cumsum(change)[1 : len(order) + 1]
    if source_hz is None:
        count = np.arange(1, n)
        return float(np.sum((n - count) / rates[: n - 1]) / (n - 1))
    age = 0.0
    for c in range(len(order), 0, -1):
        rate = float(rates[c - 1]) if c < len(order) else 0.0
        age = (1 + rate * age) / (source_hz * c / n + rate)
    return age


def random_regular(nodes: int, degree: int, seed: int = 0) -> sparse.csr_array:
    """A random graph in which each of n nodes has ``degree`` neighbours, as a symmetric (n, n) matrix of ones.

    Half-links are paired at random (configuration model). Loops and double links are paired again, together with an
    equal number of random valid links, until none is left. For large n the result is close to uniform.

    Raises
    ------
    ConfigError
        n times degree is odd, or the degree is not between 1 and n / 2 (a dense graph needs another method).

    Examples
    --------
    >>> graph = random_regular(1000, 4)
    >>> set(graph.sum(axis=0).tolist()), (graph != graph.T).nnz
    ({4.0}, 0)
    """
    check_whole("nodes", nodes, 2)
    check_whole("degree", degree, 1, nodes // 2)
    if nodes * degree % 2:
        raise ConfigError(f"nodes times degree must be even, got {nodes} times {degree}")
    n = nodes
    draw = rng.stream(seed, "random regular")
    ends = np.repeat(np.arange(n, dtype=np.int64), degree)
    draw.shuffle(ends)
    pairs = ends.reshape(-1, 2)
    while True:
        low, high = pairs.min(axis=1), pairs.max(axis=1)
        key = low * n + high
        order = np.argsort(key, kind="stable")
        bad = low == high
        bad[order[1:]] |= key[order[1:]] == key[order[:-1]]
        wrong = np.flatnonzero(bad)
        if not len(wrong):
            break
        good = np.flatnonzero(~bad)
        mixed = np.concatenate([wrong, draw.choice(good, min(len(good), len(wrong) + 1), replace=False)])
        again = pairs[mixed].ravel()
        draw.shuffle(again)
        pairs[mixed] = again.reshape(-1, 2)
    rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
