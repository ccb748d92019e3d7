"""Age of information measured from a trace, exactly: nothing is sampled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protovine.records import SECOND_NS, Arrived, Learned, Missed, Received, Record


@dataclass(frozen=True)
class AgeReport:
    """Ages over all ordered pairs (node, origin) of neighbours; None where there is no pair or no reception.

    Parameters
    ----------
    mean_s : float
        Time average of the age, mean over pairs.
    peak_s : float
        Mean age just before a reception, over all receptions that made it younger.
    version_mean : float
        Time average of how many own samples the origin is ahead, mean over pairs.
    pairs, silent_pairs : int
        Number of pairs, and of those that never heard of their origin; their age grows from the start of the run.
    grid_s, age_s : float array, shape (m,)
        The mean age over pairs at the times ``grid_s``.
    """

    mean_s: float | None
    peak_s: float | None
    version_mean: float | None
    pairs: int
    silent_pairs: int
    grid_s: NDArray[np.float64]
    age_s: NDArray[np.float64]


def measure_age(
    records: Iterable[Record], neighbours: Sequence[Sequence[int]], end_ns: int, grid: int = 200
) -> AgeReport:
    r"""Ages from the start of a run, when every age is 0, until the origin's last own sample (at most ``end_ns``).

    The age of origin i at node j is Δ(t) = t - u(t), where u(t) is when the newest message of i that j has accepted
    was made, and 0 before the first; the version age is the number of samples that i has learnt since u(t). A stream
    that is over makes no news, so what its node is known by is not measured beyond it.

    Parameters
    ----------
    records : iterable of records
        A trace, in order.
    neighbours : sequence of sequences of int
        For each node those whose messages reach it directly.
    end_ns : int >= 0
        The end of the run.
    grid : int
        Points of the curve over time.

    References
    ----------
    Kaul, Yates & Gruteser, "Real-time status: how often should one update?", INFOCOM 2012 (age); Yates, "The age of
    gossip in networks", ISIT 2021 (version age).

    Examples
    --------
    >>> trace = [Learned(0, 1, 0, True, 1), Received(2_000_000_000, 0, 1, 1, 1, 1, 1_000_000_000, 1, 50)]
    >>> report = measure_age(trace, [[1], []], end_ns=3_000_000_000)
    >>> report.mean_s, report.peak_s
    (1.1666666666666667, 2.0)
    """
    learnt: dict[int, list[int]] = defaultdict(list)
    last_ns: dict[int, int] = {}
    heard: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for record in records:
        if isinstance(record, Learned):
            learnt[record.node].append(record.at_ns)
        elif isinstance(record, Arrived | Missed):
            last_ns[record.node] = record.at_ns
        elif isinstance(record, Received):
            newest_ns = heard[record.node, record.peer][-1][1] if (record.node, record.peer) in heard else 0
            if record.created_ns > newest_ns:
                heard[record.node, record.peer].append((record.at_ns, record.created_ns))
    pairs = [(node, origin) for node, origins in enumerate(neighbours) for origin in origins]
    grid_ns = np.linspace(0, end_ns, grid + 1)[1:]
    nothing = AgeReport(None, None, None, len(pairs), len(pairs), grid_ns / SECOND_NS, np.full(grid, np.nan))
    if not heard:
        return nothing
    silent = Counter(origin for node, origin in pairs if (node, origin) not in heard)
    # Pairs that heard nothing are alike for each origin, so that a large swarm costs little more than its messages.
    alike = [(pair, 1) for pair in pairs if pair in heard] + [
        ((-1, origin), silent[origin]) for origin in sorted(silent)
    ]
    means, versions, peaks = [], [], []
    curve, open_pairs = np.zeros(grid), np.zeros(grid)
    for pair, count in alike:
        # A trace without arrivals is measured to its end; in one with arrivals, a node without any makes no news.
        until_ns = min(last_ns.get(pair[1], 0 if last_ns else end_ns), end_ns)
        if until_ns <= 0:
            continue
        news = [entry for entry in heard.get(pair, []) if entry[0] <= until_ns]
        mean, pair_peaks = _sawtooth(news, until_ns)
        means += [mean] * count
        peaks += pair_peaks
        times = np.array([at for at, _ in news], np.int64)
        made = np.array([0] + [created for _, created in news], np.int64)
        measured = grid_ns <= until_ns
        curve += count * np.where(measured, grid_ns - made[np.searchsorted(times, grid_ns, side="right")], 0.0)
        open_pairs += count * measured
        versions += [_version_age(np.array(learnt[pair[1]], np.int64), times, made[1:], until_ns)] * count
    if not means:
        return nothing
    with np.errstate(invalid="ignore"):
        age_s = curve / open_pairs / SECOND_NS
    return AgeReport(
        mean_s=float(np.mean(means)),
        peak_s=float(np.mean(peaks)) if peaks else None,
        version_mean=float(np.mean(versions)),
        pairs=len(pairs),
        silent_pairs=silent.total(),
        grid_s=grid_ns / SECOND_NS,
        age_s=age_s,
    )


def _sawtooth(news: list[tuple[int, int]], end_ns: int) -> tuple[float, list[float]]:
    """Time average of the age in seconds, and the peaks. Python's integers make the integral exact."""
    doubled_area, since, made = 0, 0, 0
    peaks = []
    for at_ns, created_ns in news:
        doubled_area += (at_ns - made) ** 2 - (since - made) ** 2
        peaks.append((at_ns - made) / SECOND_NS)
        since, made = at_ns, created_ns
    doubled_area += (end_ns - made) ** 2 - (since - made) ** 2
    return doubled_area / (2 * end_ns * SECOND_NS), peaks


def _version_age(learnt: NDArray[np.int64], heard_at: NDArray[np.int64], made: NDArray[np.int64], end_ns: int) -> float:
    """Time average of the samples not yet known: each counts from when it is learnt until news made later arrives."""
    learnt = learnt[learnt <= end_ns]
    first_news = np.searchsorted(made, learnt, side="left")
    known_at = np.append(heard_at, end_ns)[first_news]
    return float(np.sum(np.minimum(known_at, end_ns) - learnt)) / end_ns
