"""When each node's own samples reach it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from protovine import rng
from protovine.errors import ConfigError
from protovine.records import SECOND_NS

Arrivals = Literal["poisson", "clock"]
YEAR_NS = 365 * 86_400 * SECOND_NS
YEARS_MAX = 100


def arrival_times(
    rows: list[NDArray[np.int64]],
    *,
    rate_hz: float,
    arrivals: Arrivals = "poisson",
    sequential: bool = False,
    proportional: bool = False,
    seed: int = 0,
) -> list[NDArray[np.int64]]:
    """Arrival times in ns, ascending, of each node's samples.

    Parameters
    ----------
    rows : list of int arrays
        For each node the places of its samples in the merged stream, in order.
    rate_hz : float > 0
        Samples per second and node (when ``sequential``: turns per second of the swarm).
    arrivals : {"poisson", "clock"}
        ``poisson``: independent exponential gaps of mean ``1/rate_hz`` for each node, as in the paper.
        ``clock``: place r of the merged stream at time r/(n·rate_hz), as sensors in the same physical time would.
    sequential : bool
        The paper's older version: nodes take turns, and one turn is one sample. Turns last ``1/rate_hz`` on
        average (exactly that with ``clock``); a node that has no sample left passes. A run lasts about n times longer.
    proportional : bool
        Rates of nodes are in proportion to their samples, with a mean of ``rate_hz``, so that all streams last about
        equally long and places of the merged stream come at about the same time everywhere. With ``clock`` it is so
        anyway; ``sequential`` knows no rates.
    seed : int
        Each node's gaps come from their own stream, and so do the turns.

    Raises
    ------
    ConfigError
        The last sample would come after more than 100 years: nanoseconds end soon after.

    Examples
    --------
    >>> rows = [np.array([0, 2]), np.array([1, 3])]
    >>> arrival_times(rows, rate_hz=10, arrivals="clock")[1].tolist()
    [50000000, 150000000]
    >>> [t.tolist() for t in arrival_times(rows, rate_hz=10, arrivals="clock", sequential=True)]
    [[0, 200000000], [100000000, 300000000]]
    """
    period_ns = SECOND_NS / rate_hz
    most = sum(map(len, rows)) if sequential else max(map(len, rows))
    if most * period_ns > YEARS_MAX * YEAR_NS:
        raise ConfigError(f"at {rate_hz:g} samples per second the run would last more than {YEARS_MAX} years")
    if sequential:
        return _turns(rows, period_ns, arrivals, seed)
    if arrivals == "clock":
        return [np.round(place * (period_ns / len(rows))).astype(np.int64) for place in rows]
    mean = sum(map(len, rows)) / len(rows)
    return [
        _poisson(
            len(place),
            period_ns * mean / max(len(place), 1) if proportional else period_ns,
            rng.stream(seed, "arrivals", node),
        )
        for node, place in enumerate(rows)
    ]


def _poisson(count: int, period_ns: float, draw: np.random.Generator) -> NDArray[np.int64]:
    return np.cumsum(np.round(draw.exponential(period_ns, count)).astype(np.int64))


def _turns(rows: list[NDArray[np.int64]], period_ns: float, arrivals: Arrivals, seed: int) -> list[NDArray[np.int64]]:
    total = sum(len(place) for place in rows)
    if arrivals == "clock":
        times = np.round(np.arange(total) * period_ns).astype(np.int64)
    else:
        times = _poisson(total, period_ns, rng.stream(seed, "arrivals", "turns"))
    # The k-th turn of node i comes after all turns of earlier rounds and those of lower nodes in this one.
    order = sorted((k, node) for node, place in enumerate(rows) for k in range(len(place)))
    nodes = np.array([node for _, node in order], dtype=np.int64)
    return [times[nodes == node] for node in range(len(rows))]
