"""The curves of a run over time, on a common grid of times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from protovine import metrics
from protovine.columns import Columns
from protovine.experiments.run.result import NodeSeries, Series
from protovine.records import SECOND_NS, Sent

# Points of every curve.
GRID = 120
# `Series.f1_recent` is over one tenth of all predictions, but over at least 50.
WINDOW_PARTS, WINDOW_MIN = 10, 50
# Larger runs have no curves of single nodes.
NODES_MAX = 200

Floats = NDArray[np.float64]


def series(
    records: Columns,
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
    sizes = _sizes(records, nodes, at_s)
    return Series(
        at_s=at_s,
        f1_recent=_latest(metrics.sliding(together, positive, window), last),
        f1_so_far=_latest(so_far, last),
        bytes_per_node_per_s=_sent_bytes(records, edges) / len(nodes) / step_s,
        age_s=np.full(GRID, np.nan) if age_s is None else age_s,
        size=np.add.reduce([size / len(nodes) for size in sizes]),
        window=window,
        links=links,
        nodes=_nodes(records, made, positive, edges, step_s, sizes) if len(nodes) <= NODES_MAX else {},
    )


def _nodes(
    records: Columns,
    made: Mapping[int, metrics.NodePredictions],
    positive: int | None,
    edges: Floats,
    step_s: float,
    sizes: list[Floats],
) -> dict[int, NodeSeries]:
    found = {}
    for (node, mine), size in zip(made.items(), sizes, strict=True):
        last, window = _last(mine, edges[1:]), max(WINDOW_MIN, len(mine) // WINDOW_PARTS)
        found[node] = NodeSeries(
            f1_recent=_latest(metrics.sliding(mine, positive, window), last),
            f1_so_far=_latest(metrics.sliding(mine, positive, max(1, len(mine))), last),
            bytes_per_s=_sent_bytes(records, edges, node) / step_s,
            size=size,
            window=window,
        )
    return found


def _last(made: metrics.NodePredictions, at_s: Floats) -> NDArray[np.int64]:
    """The index of the last prediction at each time; -1 before the first one."""
    found: NDArray[np.int64] = np.searchsorted(made.at_ns / SECOND_NS, at_s, side="right") - 1
    return found


def _latest(values: Floats, last: NDArray[np.int64]) -> Floats:
    """The value at index ``last`` for each time of the grid; NaN before the first one."""
    if not len(values):
        return np.full(len(last), np.nan)
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)


def _sent_bytes(records: Columns, edges: Floats, node: int | None = None) -> Floats:
    """Bytes that all nodes, or one, sent in each step of the grid."""
    sent = records.of(Sent)
    sizes = sent["header_bytes"] + sent["payload_bytes"]
    if node is not None:
        sizes = np.where(sent["node"] == node, sizes, 0)
    return np.asarray(np.histogram(sent["at_ns"] / SECOND_NS, bins=edges, weights=sizes)[0], np.float64)


def _sizes(records: Columns, nodes: Sequence[int], at_s: Floats) -> list[Floats]:
    """Prototypes that each node holds at each time of the grid."""
    node, at_ns, size, place = records.sizes()
    order = np.lexsort((place, node))
    node, at_ns, size = node[order], at_ns[order], size[order]
    found = []
    starts, ends = (np.searchsorted(node, nodes, side=side) for side in ("left", "right"))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        sizes = np.concatenate([[0.0], size[start:end]])
        found.append(sizes[np.searchsorted(at_ns[start:end] / SECOND_NS, at_s, side="right")])
    return found
