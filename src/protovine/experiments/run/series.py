"""The curves of a run over time, on a common grid of times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from protovine import metrics
from protovine.columns import Columns
from protovine.experiments.run.result import NodeSeries, Series
from protovine.metrics.traffic import Pieces
from protovine.records import SECOND_NS

# Points of every curve.
GRID = 120
# `Series.f1_recent` is over one tenth of all predictions, but over at least 50.
WINDOW_PARTS, WINDOW_MIN = 10, 50
# Larger runs have no curves of single nodes.
NODES_MAX = 200

Floats = NDArray[np.float64]


def series(
    records: Columns,
    sent: Pieces,
    together: metrics.NodePredictions,
    so_far: Floats,
    made: Mapping[int, metrics.NodePredictions],
    positive: int | None,
    virtual_s: float,
    age_s: Floats | None,
    links: dict[tuple[int, int], int],
) -> Series:
    """The curves of the nodes that ``made`` predictions, of all together and of each.

    Parameters
    ----------
    records : Columns
        Of these nodes.
    sent : Pieces
        What these nodes sent.
    together : NodePredictions
        Predictions of these nodes, with F1 after each of them in ``so_far``.
    positive : int, optional
        The positive class of two.
    age_s : float array, optional
        Mean age at the times of the grid; None if nodes do not share.
    links : dict
        Bytes by (sender, recipient).
    """
    nodes = list(made)
    edges = np.linspace(0.0, virtual_s, GRID + 1)
    at_s = edges[1:]
    step_s = virtual_s / GRID if virtual_s else 1.0
    window = max(WINDOW_MIN, len(together) // WINDOW_PARTS)
    last = _last(together, at_s)
    sent_s, sent_bytes = sent.at_ns / SECOND_NS, sent.size
    sizes: list[Floats] = []
    mean_size = np.zeros(GRID)
    for size in _sizes(records, nodes, at_s):
        mean_size += size / len(nodes)
        if len(nodes) <= NODES_MAX:
            sizes.append(size)
    return Series(
        at_s=at_s,
        f1_recent=_latest(metrics.sliding(together, positive, window), last),
        f1_so_far=_latest(so_far, last),
        bytes_per_node_per_s=_per_step(sent_s, sent_bytes, edges) / len(nodes) / step_s,
        age_s=np.full(GRID, np.nan) if age_s is None else age_s,
        size=mean_size,
        window=window,
        links=links,
        nodes={
            node: _of_node(made[node], positive, edges, _per_step(sent_s[rows], sent_bytes[rows], edges) / step_s, size)
            for size, node, rows in zip(sizes, nodes, _rows_of(sent.node, nodes), strict=False)
        },
    )


def _of_node(
    made: metrics.NodePredictions, positive: int | None, edges: Floats, bytes_per_s: Floats, size: Floats
) -> NodeSeries:
    last, window = _last(made, edges[1:]), max(WINDOW_MIN, len(made) // WINDOW_PARTS)
    return NodeSeries(
        f1_recent=_latest(metrics.sliding(made, positive, window), last),
        f1_so_far=_latest(metrics.sliding(made, positive, max(1, len(made))), last),
        bytes_per_s=bytes_per_s,
        size=size,
        window=window,
    )


def _rows_of(node: NDArray[np.int64], nodes: Sequence[int]) -> Iterator[NDArray[np.int64]]:
    """For each of ``nodes`` the rows, in order, where ``node`` is it."""
    order = np.argsort(node, kind="stable")
    starts, ends = (np.searchsorted(node[order], nodes, side=side) for side in ("left", "right"))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield order[start:end]


def _last(made: metrics.NodePredictions, at_s: Floats) -> NDArray[np.int64]:
    """The index of the last prediction at each time; -1 before the first one."""
    found: NDArray[np.int64] = np.searchsorted(made.at_ns / SECOND_NS, at_s, side="right") - 1
    return found


def _latest(values: Floats, last: NDArray[np.int64]) -> Floats:
    """The value at index ``last`` for each time of the grid; NaN before the first one."""
    if not len(values):
        return np.full(len(last), np.nan)
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)


def _per_step(sent_s: Floats, sent_bytes: NDArray[np.int64], edges: Floats) -> Floats:
    """Bytes of messages, sent at these times, in each step of the grid."""
    return np.asarray(np.histogram(sent_s, bins=edges, weights=sent_bytes)[0], np.float64)


def _sizes(records: Columns, nodes: Sequence[int], at_s: Floats) -> Iterator[Floats]:
    """Prototypes that each node holds at each time of the grid."""
    node, at_ns, size, place = records.sizes()
    order = np.argsort(place, kind="stable")
    node, at_ns, size = node[order], at_ns[order], size[order]
    for rows in _rows_of(node, nodes):
        sizes = np.concatenate([[0.0], size[rows]])
        yield sizes[np.searchsorted(at_ns[rows] / SECOND_NS, at_s, side="right")]
