"""The curves of a run over time, on a common grid of times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protovine import metrics
from protovine.columns import Columns
from protovine.experiments.run.result import Series
from protovine.records import SECOND_NS, Sent

# Points of every curve.
GRID = 120
# `Series.f1_recent` is over one tenth of all predictions, but over at least 50.
WINDOW_PARTS, WINDOW_MIN = 10, 50

Floats = NDArray[np.float64]


def series(
    records: Columns,
    together: metrics.NodePredictions,
    so_far: Floats,
    nodes: Sequence[int],
    positive: int | None,
    virtual_s: float,
    age_s: Floats | None,
    links: dict[tuple[int, int], int],
) -> Series:
    """The curves of ``nodes``.

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
    edges = np.linspace(0.0, virtual_s, GRID + 1)
    at_s = edges[1:]
    step_s = virtual_s / GRID if virtual_s else 1.0
    window = max(WINDOW_MIN, len(together) // WINDOW_PARTS)
    last = np.searchsorted(together.at_ns / SECOND_NS, at_s, side="right") - 1
    return Series(
        at_s=at_s,
        f1_recent=_latest(metrics.sliding(together, positive, window), last),
        f1_so_far=_latest(so_far, last),
        bytes_per_node_per_s=_sent_bytes(records, edges) / len(nodes) / step_s,
        age_s=np.full(GRID, np.nan) if age_s is None else age_s,
        size=_mean_size(records, nodes, at_s),
        window=window,
        links=links,
    )


def _latest(values: Floats, last: NDArray[np.int64]) -> Floats:
    """The value at index ``last`` for each time of the grid; NaN before the first one."""
    if not len(values):
        return np.full(len(last), np.nan)
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)


def _sent_bytes(records: Columns, edges: Floats) -> Floats:
    """Bytes that all nodes sent in each step of the grid."""
    sent = records.of(Sent)
    sizes = sent["header_bytes"] + sent["payload_bytes"]
    return np.asarray(np.histogram(sent["at_ns"] / SECOND_NS, bins=edges, weights=sizes)[0], np.float64)


def _mean_size(records: Columns, nodes: Sequence[int], at_s: Floats) -> Floats:
    """Prototypes that a node holds, mean over nodes, at each time of the grid."""
    node, at_ns, size, place = records.sizes()
    order = np.lexsort((place, node))
    node, at_ns, size = node[order], at_ns[order], size[order]
    mean = np.zeros(len(at_s))
    starts, ends = (np.searchsorted(node, nodes, side=side) for side in ("left", "right"))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        sizes = np.concatenate([[0.0], size[start:end]])
        mean += sizes[np.searchsorted(at_ns[start:end] / SECOND_NS, at_s, side="right")] / len(nodes)
    return mean
