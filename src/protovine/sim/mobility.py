"""Topologies that change with time: graphs that take turns, and nodes that move.

- ``A+B@20+C@40``: graph A at first, B from 20 s on, C from 40 s on; each as `protovine.topology.neighbours` takes it.
- ``waypoint:R,SIDE,SPEED`` or ``waypoint:R,SIDE,SPEED,PAUSE``: random waypoint mobility. Every node walks at SPEED m/s
  to a random place in a square of SIDE metres, rests for PAUSE seconds, and walks on. Nodes within R metres are
  neighbours. Source: Johnson and Maltz, "Dynamic source routing in ad hoc wireless networks", 1996. All nodes walk
  equally fast: with speeds down to 0 the mean speed would sink for ever (Yoon, Liu and Noble, INFOCOM 2003).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from protovine import rng
from protovine.errors import ConfigError
from protovine.records import SECOND_NS
from protovine.topology import MOVING, in_range, is_changing, neighbours, numbers_of

# How often moving nodes look who is in range.
STEP_NS = SECOND_NS
_TIME_MAX_S = 1e9
# Every walk takes work, however short it is.
_WALK_MIN_S = 0.01


@dataclass(frozen=True, slots=True)
class Changes:
    """The graphs of a topology that changes, after the first one: an iterable of (time in ns, neighbours of each node).

    Parameters
    ----------
    spec : str
    n : int
        Number of nodes.
    seed : int
        Seeds random graphs and walks.
    until_ns : int
        No change comes after this.

    Raises
    ------
    ConfigError
        Iterating: a graph, a time or a number is not one.

    Examples
    --------
    >>> list(Changes("ring+line@20", 3, 0, 60 * SECOND_NS))
    [(20000000000, [[1], [0, 2], [1]])]
    """

    spec: str
    n: int
    seed: int
    until_ns: int

    def __iter__(self) -> Iterator[tuple[int, list[list[int]]]]:
        graphs = graphs_of(self.spec, self.n, self.seed)
        next(graphs)
        for at_ns, links in graphs:
            if at_ns > self.until_ns:
                return
            yield at_ns, links

    def ever(self, first: list[list[int]]) -> list[list[int]]:
        """For each node all that are in its range at some time: at first, or after a change."""
        met = [set(peers) for peers in first]
        for _, links in self:
            for node, peers in enumerate(links):
                met[node].update(peers)
        return [sorted(peers) for peers in met]


def graphs_of(spec: str, n: int, seed: int) -> Iterator[tuple[int, list[list[int]]]]:
    """The graphs of a topology in order, each with the time in ns from which it holds; the first one from 0.

    Raises
    ------
    ConfigError, DataError
        A graph, a time or a number is not one.

    Examples
    --------
    >>> [at_ns for at_ns, links in graphs_of("ring+full@1.5", 4, 0)]
    [0, 1500000000]
    """
    name, _, text = spec.partition(":")
    if name == MOVING and "@" not in text:
        yield from _walks(spec, text, n, seed)
    elif is_changing(spec):
        yield from _turns(spec, n, seed)
    else:
        yield 0, neighbours(spec, n, seed)


def _turns(spec: str, n: int, seed: int) -> Iterator[tuple[int, list[list[int]]]]:
    first, *others = spec.split("+")
    turns = [(0.0, first)]
    for part in others:
        graph, _, time = part.rpartition("@")
        try:
            at_s = float(time)
        except ValueError:
            at_s = math.nan
        if not graph or not turns[-1][0] < at_s <= _TIME_MAX_S:
            raise ConfigError(
                f"topology '{spec}' needs GRAPH@SECONDS after each '+', ascending, at most 1e9, got '{part}'"
            )
        turns.append((at_s, graph))
    moving = next((graph for _, graph in turns if is_changing(graph)), None)
    if moving is not None:
        raise ConfigError(f"topology '{spec}' needs graphs that stand still between '+', got '{moving}'")
    graphs = [(round(at_s * SECOND_NS), neighbours(graph, n, seed)) for at_s, graph in turns]  # All errors at once.
    yield from graphs


def _walks(spec: str, text: str, n: int, seed: int) -> Iterator[tuple[int, list[list[int]]]]:
    if text.count(",") not in (2, 3):
        raise ConfigError(f"topology '{spec}' needs R,SIDE,SPEED or R,SIDE,SPEED,PAUSE after the colon")
    reach, side, speed, pause_s = numbers_of(spec, text if text.count(",") > 2 else f"{text},0", 4)
    if not (0 < reach and 0 < side <= 1e9 and 0 < speed <= 1e6 and 0 <= pause_s <= _TIME_MAX_S):
        raise ConfigError(
            f"{MOVING}:R,SIDE,SPEED,PAUSE needs R, SIDE and SPEED above 0, SIDE up to 1e9, SPEED up to 1e6 and PAUSE "
            f"from 0 to 1e9, got '{spec}'"
        )
    if side / speed + pause_s < _WALK_MIN_S:
        raise ConfigError(
            f"{MOVING}: SIDE / SPEED + PAUSE, the time of a long walk, must be at least {_WALK_MIN_S} s, got '{spec}'"
        )
    draws = [rng.stream(seed, MOVING, node) for node in range(n)]
    start = np.array([draw.random(2) for draw in draws]).reshape(n, 2) * side
    goal = start.copy()
    left_s, walk_s, until_s = np.zeros((3, n))  # When each node left, how long it walks, when it leaves again.
    step = 0
    while True:
        now_s = step * STEP_NS / SECOND_NS
        for node in np.flatnonzero(now_s >= until_s).tolist():
            while now_s >= until_s[node]:
                left_s[node], start[node] = until_s[node], goal[node]
                goal[node] = draws[node].random(2) * side
                walk_s[node] = math.dist(start[node], goal[node]) / speed
                until_s[node] += walk_s[node] + pause_s
        part = np.minimum(1.0, (now_s - left_s) / np.maximum(walk_s, 1e-12))
        yield step * STEP_NS, in_range(start + (goal - start) * part[:, np.newaxis], reach, spec)
        step += 1
