"""Topologies: named graphs, nodes in a plane, and graphs from files."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protovine import rng
from protovine.errors import ConfigError, DataError, suggest

# Directed links; each takes memory in two nodes and in the network.
LINKS_MAX = 20_000_000
NAMES = ("full", "ring", "line", "grid", "regular:K", "small-world:K,P", "erdos-renyi:P", "star", "plane:R,SIDE")
# Graphs that change with time; `protovine.sim.mobility` makes them.
MOVING = "waypoint"
_OR_FILE = "; a file of links, two node ids a line, is named by a path with a dot or a slash, such as ./links.txt"


def neighbours(spec: str, n: int, seed: int = 0) -> list[list[int]]:
    """The sorted ids of the neighbours of each of ``n`` nodes; links go both ways.

    Parameters
    ----------
    spec : str
        ``full``, ``ring``, ``line``, ``star`` (node 0 is the hub), ``grid`` (rows and columns as equal as n allows),
        ``regular:K`` (random, every node with K neighbours), ``small-world:K,P`` (Watts-Strogatz),
        ``erdos-renyi:P``, ``plane:R,SIDE`` (nodes at random places in a square of SIDE metres, neighbours within R
        metres), or a file (with a dot or a path separator in its name) with one link per line: two node ids,
        separated by space or comma. Text after ``#`` is ignored.
    n : int >= 1
        Number of nodes.
    seed : int
        Seeds the random graphs.

    Raises
    ------
    ConfigError
        The name is unknown, a parameter is out of range, or the graph changes with time.
    DataError
        The file is missing or a line is not a link between two of the nodes.

    Examples
    --------
    >>> neighbours("ring", 4)
    [[1, 3], [0, 2], [1, 3], [0, 2]]
    >>> neighbours("star", 3)
    [[1, 2], [0], [0]]
    """
    import networkx as nx

    if n < 1:
        raise ConfigError(f"a swarm needs at least 1 node, got {n}")
    name, _, text = spec.partition(":")
    draw = rng.stream(seed, "topology")
    if name == "full" and not text:
        _check_links(spec, n * (n - 1))
        graph = nx.complete_graph(n)
    elif name == "ring" and not text:
        graph = nx.cycle_graph(n) if n > 2 else nx.path_graph(n)
    elif name == "line" and not text:
        graph = nx.path_graph(n)
    elif name == "star" and not text:
        graph = nx.star_graph(n - 1)
    elif name == "grid" and not text:
        rows = next(r for r in range(math.isqrt(n), 0, -1) if n % r == 0)
        graph = nx.convert_node_labels_to_integers(nx.grid_2d_graph(rows, n // rows), ordering="sorted")
    elif name == "regular":
        (k,) = numbers_of(spec, text, 1)
        if k != int(k) or not 0 <= k < n or (k * n) % 2:
            raise ConfigError(f"regular:K needs a whole K between 0 and {n - 1} with K·{n} even, got '{spec}'")
        _check_links(spec, n * k)
        if k <= n // 2:
            graph = nx.random_regular_graph(int(k), n, seed=draw)
        else:  # Drawing a dense graph is slow, but its complement is sparse.
            graph = nx.complement(nx.random_regular_graph(n - 1 - int(k), n, seed=draw))
    elif name == "small-world":
        k, p = numbers_of(spec, text, 2)
        # Half of the K neighbours are on each side of the ring.
        if (k % 2 and k != n) or not 2 <= k <= n or not 0 <= p <= 1:
            raise ConfigError(
                f"small-world:K,P needs an even K between 2 and {n}, or {n}, and P between 0 and 1, got '{spec}'"
            )
        _check_links(spec, n * k)
        graph = nx.watts_strogatz_graph(n, int(k), p, seed=draw)
    elif name == "erdos-renyi":
        (p,) = numbers_of(spec, text, 1)
        if not 0 <= p <= 1:
            raise ConfigError(f"erdos-renyi:P needs P between 0 and 1, got '{spec}'")
        _check_links(spec, n * n * p)
        graph = nx.fast_gnp_random_graph(n, p, seed=draw) if p < 0.1 else nx.gnp_random_graph(n, p, seed=draw)
    elif name == "plane":
        reach, side = numbers_of(spec, text, 2)
        if not 0 < reach < math.inf or not 0 < side <= 1e9:
            raise ConfigError(f"plane:R,SIDE needs R and SIDE above 0, SIDE at most 1e9, got '{spec}'")
        return in_range(draw.random((n, 2)) * side, reach, spec)
    elif is_changing(spec):
        raise ConfigError(f"topology '{spec}' changes with time: only simulations take it")
    elif is_file_name(spec):
        return _from_file(Path(spec), n)
    else:
        file = f"; '{spec}' is a file: write ./{spec}" if Path(spec).is_file() else _OR_FILE
        raise ConfigError(f"unknown topology '{spec}'{suggest(spec, (*NAMES, f'{MOVING}:R,SIDE,SPEED,PAUSE'))}{file}")
    return [sorted(graph[i]) for i in range(n)]


def in_range(places: NDArray[np.float64], reach: float, spec: str) -> list[list[int]]:
    """The sorted neighbours of each place (n, 2): those at most ``reach`` away; `ConfigError` if there are too many.

    Examples
    --------
    >>> in_range(np.array([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]]), 5.0, "plane:5,10")
    [[1], [0], []]
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(places)
    _check_links(spec, int(tree.count_neighbors(tree, reach)) - len(places))
    return [sorted(set(near) - {node}) for node, near in enumerate(tree.query_ball_point(places, reach))]


def is_changing(spec: str) -> bool:
    """Whether a topology is one that changes with time: ``waypoint:...``, or graphs joined as in ``ring+full@20``.

    Parameters
    ----------
    spec : str
        A topology as in `neighbours`, or one of `protovine.sim.Changes`.

    Examples
    --------
    >>> is_changing("waypoint:100,500,1.5,30"), is_changing("ring+full@20"), is_changing("ring")
    (True, True, False)
    """
    return spec.partition(":")[0] == MOVING or bool(re.search(r"\+[^+]*@", spec))


def is_file_name(spec: str) -> bool:
    """Whether a topology is a file: its text has a path separator or a dot, and is not the name of a graph.

    Examples
    --------
    >>> is_file_name("./links.txt"), is_file_name("plane:0.5,1.5"), is_file_name("ring")
    (True, False, False)
    """
    known = {name.partition(":")[0] for name in (*NAMES, MOVING)}
    return spec.partition(":")[0] not in known and not is_changing(spec) and ("/" in spec or "." in spec)


def _check_links(spec: str, links: float) -> None:
    if links > LINKS_MAX:
        raise ConfigError(f"topology '{spec}' has about {links:,.0f} directed links, more than {LINKS_MAX:,}")


def numbers_of(spec: str, text: str, count: int) -> list[float]:
    """The ``count`` finite numbers after the colon of a topology; `ConfigError` if they are something else.

    Parameters
    ----------
    spec : str
        The whole topology, for errors.
    text : str
        What stands after its colon: numbers with commas between them.
    count : int
        How many there must be.

    Raises
    ------
    ConfigError
        There are more or fewer, or one of them is no finite number.

    Examples
    --------
    >>> numbers_of("small-world:4,0.2", "4,0.2", 2)
    [4.0, 0.2]
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise ConfigError(f"topology '{spec}' needs {count} finite number{'s' if count > 1 else ''} after the colon")
    return values


def _from_file(path: Path, n: int) -> list[list[int]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DataError(f"cannot read the topology {path}: {reason}") from None
    linked: list[set[int]] = [set() for _ in range(n)]
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        ends = [int(word) for word in words if word.isdecimal()]
        if len(words) != 2 or len(ends) != 2 or max(ends) >= n or ends[0] == ends[1]:
            raise DataError(
                f"{path} line {number}: expected two different node ids from 0 to {n - 1}, got '{line.strip()}'"
            )
        linked[ends[0]].add(ends[1])
        linked[ends[1]].add(ends[0])
    return [sorted(each) for each in linked]
