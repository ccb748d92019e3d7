"""Ages of information measured from a trace, exactly: nothing is sampled."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import mul

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protovine.records import SECOND_NS, Arrived, Learned, Missed, Received, Record

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

# What is left of the start after so many mean ages is e^-5 of it where ages are exponential.
WARM_UP_AGES = 5
# Batches of time, and how many mean ages each lasts at least: then neighbouring means are nearly independent.
BATCHES_MAX, BATCH_AGES = 20, 10
BATCHES_MIN = 3
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class BatchMeans:
    """A time average as the ratio of sums over batches of time, with its 95 % interval.

    Ages of one run depend on each other, over time and between pairs that one message reaches. Means over the whole
    swarm in batches that are long beside the ages hardly do, so the interval is Student's t over these.

    Parameters
    ----------
    sums, weights : float array, shape (batches,)
        The integral over each batch, and the time (or the number of receptions) that it is divided by.
    """

    sums: Floats
    weights: Floats

    @classmethod
    def joined(cls, parts: Sequence[BatchMeans]) -> BatchMeans:
        """The batches of several runs together."""
        return cls(np.concatenate([part.sums for part in parts]), np.concatenate([part.weights for part in parts]))

    @property
    def mean(self) -> float | None:
        """None without any weight."""
        total = float(self.weights.sum())
        return float(self.sums.sum()) / total if total else None

    @property
    def half(self) -> float | None:
        """Half of the 95 % interval; None from fewer than 3 batches.

        Examples
        --------
        >>> BatchMeans(np.array([1.0, 2.0, 3.0]), np.ones(3)).half
        2.484...
        """
        from scipy.special import stdtrit

        there = self.weights > 0
        n = int(there.sum())
        if n < BATCHES_MIN:
            return None
        means = self.sums[there] / self.weights[there]
        return float(stdtrit(n - 1, 0.975) * means.std(ddof=1) / math.sqrt(n))


@dataclass(frozen=True)
class AgeLaw:
    """Which share of the time an age is exceeded: ``exceeded`` at the ages ``age_s``, and linear between them."""

    age_s: Floats
    exceeded: Floats

    def survival(self, age_s: ArrayLike) -> Floats:
        """The share of the time in which the age is larger."""
        return np.interp(np.asarray(age_s, np.float64), self.age_s, self.exceeded, left=1.0, right=0.0)

    def quantile(self, q: float) -> float:
        """The smallest age in seconds that is not exceeded a share ``q`` of the time."""
        i = int(np.searchsorted(-self.exceeded, q - 1.0))
        if i == 0 or i == len(self.age_s):
            return float(self.age_s[min(i, len(self.age_s) - 1)])
        low, high = self.exceeded[i - 1], self.exceeded[i]
        part = (low - (1.0 - q)) / (low - high)
        return float(self.age_s[i - 1] + part * (self.age_s[i] - self.age_s[i - 1]))


@dataclass(frozen=True)
class SteadyAges:
    """Ages after the start has worn off: what theory speaks of.

    Parameters
    ----------
    from_s, until_s : float
        From 5 mean ages after the start until the streams of half of the pairs are over.
    age, peak, version, incorrect : BatchMeans
        Of the age, its peaks, the version age and the age of incorrect information.
    p95_s : float
        Age that is exceeded 5 % of the time.
    """

    from_s: float
    until_s: float
    age: BatchMeans
    peak: BatchMeans
    version: BatchMeans
    incorrect: BatchMeans
    p95_s: float


@dataclass(frozen=True)
class PairAges:
    """Ages of every ordered pair (``node``, ``origin``), each array of shape (pairs,); seconds.

    NaN where the origin makes no news, or in ``peak_s`` where nothing that is younger was received.
    """

    node: Times
    origin: Times
    mean_s: Floats
    peak_s: Floats
    version_mean: Floats
    incorrect_s: Floats
    receptions: Times

    def __len__(self) -> int:
        return len(self.node)

    def worst(self, count: int) -> list[dict[str, float | int | None]]:
        """The ``count`` pairs of the largest mean age, largest first; at one age the lower node comes first."""
        order = np.argsort(-np.nan_to_num(self.mean_s, nan=-1.0), kind="stable")[:count]
        return [
            {name: None if (value := column[i].item()) != value else value for name, column in vars(self).items()}
            for i in order
        ]

    def of_nodes(self, count: int) -> Floats:
        """The mean age at each of ``count`` nodes over the origins that it hears of; NaN without any."""
        known = ~np.isnan(self.mean_s)
        pairs = np.bincount(self.node[known], minlength=count)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.bincount(self.node[known], self.mean_s[known], count) / pairs)


@dataclass(frozen=True)
class AgeReport:
    """Ages over all ordered pairs (node, origin) of neighbours; None where there is no pair or no reception.

    Parameters
    ----------
    mean_s : float
        Time average of the age, mean over pairs.
    peak_s : float
        Mean age just before a reception, over all receptions that made it younger.
    p95_s : float
        Age that is exceeded 5 % of the time.
    version_mean : float
        Time average of how many own samples the origin is ahead, mean over pairs.
    incorrect_s, incorrect_share : float
        Time average of the age of incorrect information, mean over pairs, and the share of the time it is above 0.
    pairs, silent_pairs : int
        Number of pairs, and of those that never heard of their origin; their age grows from the start of the run.
    grid_s, age_s : float array, shape (m,)
        The mean age over pairs at the times ``grid_s``.
    each : PairAges
    law : AgeLaw
    steady : SteadyAges
        None if the run is too short for it: 15 mean ages.
    """

    mean_s: float | None
    peak_s: float | None
    p95_s: float | None
    version_mean: float | None
    incorrect_s: float | None
    incorrect_share: float | None
    pairs: int
    silent_pairs: int
    grid_s: Floats
    age_s: Floats
    each: PairAges
    law: AgeLaw | None
    steady: SteadyAges | None


def measure_age(
    records: Iterable[Record], neighbours: Sequence[Sequence[int]], end_ns: int, grid: int = 200, start_ns: int = 0
) -> AgeReport:
    r"""Ages from the start of a run, when every age is 0, until the origin's last own sample (at most ``end_ns``).

    The age of origin i at node j is Δ(t) = t - u(t), where u(t) is when the newest message of i that j has accepted
    was made, and the start before the first; the version age is the number of samples that i has learnt since u(t). A
    stream that is over makes no news, so what its node is known by is not measured beyond it.

    Origin i *changes* when it learns a sample that its model keeps as a new prototype (`Learned.inserted`). What j has
    of i is right while i has not changed since u(t); the age of incorrect information is the time since it was last
    right, and 0 while it is.

    Parameters
    ----------
    records : iterable of records
        A trace, in order.
    neighbours : sequence of sequences of int
        For each node those whose messages reach it directly.
    start_ns, end_ns : int
        Start and end of the run, 0 <= start_ns <= end_ns.
    grid : int
        Points of the curve over time.

    References
    ----------
    Kaul, Yates & Gruteser, "Real-time status: how often should one update?", INFOCOM 2012 (age); Yates, "The age of
    gossip in networks", ISIT 2021 (version age); Maatouk, Kriouile, Assaad & Ephremides, "The age of incorrect
    information: a new performance metric for status updates", IEEE/ACM Trans. Networking 2020.

    Examples
    --------
    >>> trace = [Learned(0, 1, 0, True, 1), Received(2_000_000_000, 0, 1, 1, 1, 1, 1_000_000_000, 1, 50)]
    >>> report = measure_age(trace, [[1], []], end_ns=3_000_000_000)
    >>> report.mean_s, report.peak_s, report.incorrect_s
    (1.1666666666666667, 2.0, 0.6666666666666666)
    """
    node = np.repeat(np.arange(len(neighbours)), [len(origins) for origins in neighbours])
    origin = np.array([other for origins in neighbours for other in origins], np.int64)
    seen = _Seen.of(records, start_ns, max(len(neighbours), int(origin.max(initial=-1)) + 1))
    end_ns -= start_ns
    grid_ns = np.linspace(0, end_ns, grid + 1)[1:]
    rows, pair_row, silent = _rows(seen, node, origin, end_ns)
    if silent == len(node) or not len(rows.until):
        unknown = np.full(len(node), np.nan)
        each = PairAges(node, origin, unknown, unknown, unknown, unknown, np.zeros(len(node), np.int64))
        nothing = (None,) * 6
        return AgeReport(*nothing, len(node), len(node), grid_ns / SECOND_NS, np.full(grid, np.nan), each, None, None)
    wrong = _wrong(seen, rows)

    def of_pairs(values: Sequence[float] | Floats) -> Floats:
        # Pairs whose origin makes no news have row -1.
        return np.append(np.asarray(values, np.float64), np.nan)[pair_row]

    peaks = (rows.at - np.concatenate([[0], rows.made[:-1]]))[~rows.first]
    receptions = np.bincount(rows.row[~rows.first], minlength=len(rows.until))
    with np.errstate(invalid="ignore"):
        peak_s = np.bincount(rows.row[~rows.first], peaks, len(rows.until)) / receptions / SECOND_NS
    each = PairAges(
        node,
        origin,
        of_pairs(rows.mean_ages_s()),
        of_pairs(peak_s),
        of_pairs(_version_means(seen, rows)),
        of_pairs([area / (2 * int(end) * SECOND_NS) for area, end in zip(wrong.squares(), rows.until, strict=True)]),
        np.append(receptions, 0)[pair_row],
    )
    wrong_share = np.bincount(wrong.row, wrong.to - wrong.since, len(rows.until)) / rows.until
    mean_s = float(np.nanmean(each.mean_s))
    law = _law(rows.at - rows.made, rows.end - rows.made, (rows.weight / rows.until)[rows.row])
    return AgeReport(
        mean_s=mean_s,
        peak_s=sum(peaks.tolist()) / (len(peaks) * SECOND_NS) if len(peaks) else None,
        p95_s=law.quantile(0.95),
        version_mean=float(np.nanmean(each.version_mean)),
        incorrect_s=float(np.nanmean(each.incorrect_s)),
        incorrect_share=float(np.nanmean(of_pairs(wrong_share))),
        pairs=len(node),
        silent_pairs=silent,
        grid_s=grid_ns / SECOND_NS,
        age_s=_curve(rows, grid_ns),
        each=each,
        law=law,
        steady=_steady(seen, rows, wrong, mean_s * SECOND_NS),
    )


@dataclass(frozen=True)
class _Sorted:
    """Ascending times of every origin, one after another, each with an end that never comes."""

    flat: Times
    offset: Times

    @classmethod
    def of(cls, times: dict[int, list[int]], origins: int) -> _Sorted:
        lengths = np.array([len(times.get(i, ())) + 1 for i in range(origins)], np.int64)
        flat = [at for i in range(origins) for at in (*times.get(i, ()), _NEVER)]
        return cls(np.array(flat, np.int64), np.concatenate([[0], np.cumsum(lengths)]))

    def __getitem__(self, origin: int) -> Times:
        return self.flat[self.offset[origin] : self.offset[origin + 1] - 1]

    def count(self, origin: Times, until: Times) -> Times:
        """For each entry the number of its origin's times that are not after ``until``."""
        found = np.zeros(len(origin), np.int64)
        order = np.argsort(origin, kind="stable")
        starts = np.flatnonzero(np.diff(origin[order], prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(order)]):
            part = order[start:end]
            found[part] = np.searchsorted(self[int(origin[part[0]])], until[part], side="right")
        return found

    def next(self, origin: Times, count: Times) -> Times:
        """The time after the first ``count``."""
        return np.asarray(self.flat[self.offset[origin] + count])


@dataclass(frozen=True)
class _Seen:
    """What matters of a trace, by columns: receptions of news, own samples, changes, and when streams end."""

    node: Times
    origin: Times
    at: Times
    made: Times
    learnt: _Sorted
    changed: _Sorted
    last: dict[int, int]

    @classmethod
    def of(cls, records: Iterable[Record], start_ns: int, origins: int) -> _Seen:
        learnt: dict[int, list[int]] = defaultdict(list)
        changed: dict[int, list[int]] = defaultdict(list)
        last: dict[int, int] = {}
        newest: dict[tuple[int, int], int] = {}
        news: list[tuple[int, int, int, int]] = []
        for record in records:
            if isinstance(record, Received):
                made_ns = record.created_ns - start_ns
                # What was made at the very start says nothing new.
                if made_ns > newest.get((record.node, record.peer), 0):
                    newest[record.node, record.peer] = made_ns
                    news.append((record.node, record.peer, record.at_ns - start_ns, made_ns))
            elif isinstance(record, Learned):
                learnt[record.node].append(record.at_ns - start_ns)
                if record.inserted:
                    changed[record.node].append(record.at_ns - start_ns)
            elif isinstance(record, (Arrived, Missed)):  # A union would be slower to test.
                last[record.node] = record.at_ns - start_ns
        node, origin, at, made = np.array(news, np.int64).reshape(-1, 4).T
        return cls(node, origin, at, made, _Sorted.of(learnt, origins), _Sorted.of(changed, origins), last)


@dataclass(frozen=True)
class _Rows:
    """The sawtooth of each pair as one row of teeth; pairs that heard nothing share one row for each origin.

    From ``at`` to ``end`` what is known was made at ``made``; a row's ``first`` tooth starts at 0 with nothing known.
    Per row: ``origin``, ``until`` when it is measured, and ``weight``, its number of pairs.
    """

    row: Times
    at: Times
    end: Times
    made: Times
    first: NDArray[np.bool_]
    origin: Times
    until: Times
    weight: Times

    @property
    def known(self) -> Times:
        """As ``made``, and before time 0 where nothing is known: own samples at time 0 are news too."""
        return np.where(self.first, -1, self.made)

    def mean_ages_s(self) -> list[float]:
        """Time averages of the age, from exact integrals."""
        doubled = _row_sums(self.end - self.at, self.end + self.at - 2 * self.made, self.row, len(self.until))
        return [area / (2 * end * SECOND_NS) for area, end in zip(doubled, self.until.tolist(), strict=True)]


@dataclass(frozen=True)
class _Wrong:
    """When the rows were wrong: from ``since`` to ``to``."""

    row: Times
    since: Times
    to: Times
    rows: int

    def squares(self) -> list[int]:
        """Twice the integral of the age of incorrect information over each row."""
        return _row_sums(self.to - self.since, self.to - self.since, self.row, self.rows)


def _row_sums(x: Times, y: Times, row: Times, rows: int) -> list[int]:
    """Sums of products in each row (rows ascend); Python's integers make them exact."""
    products = list(map(mul, x.tolist(), y.tolist()))
    bounds = np.searchsorted(row, np.arange(rows + 1)).tolist()
    return [sum(products[start:end]) for start, end in pairwise(bounds)]


def _rows(seen: _Seen, node: Times, origin: Times, end_ns: int) -> tuple[_Rows, Times, int]:
    """The rows, the row of each pair (-1: not measured), and how many pairs never heard anything."""
    origins = len(seen.learnt.offset) - 1
    # A trace without arrivals is measured to its end; in one with arrivals, a node without any makes no news.
    otherwise = 0 if seen.last else end_ns
    until = np.array([min(seen.last.get(i, otherwise), end_ns) for i in range(origins)], np.int64)
    key = node * origins + origin
    order = np.argsort(key, kind="stable")
    # Receptions of and from others, who are not asked about, must not pass for those of a pair.
    inside = (np.minimum(seen.node, seen.origin) >= 0) & (np.maximum(seen.node, seen.origin) < origins)
    wanted = np.where(inside, seen.node * origins + seen.origin, -1)
    place = np.minimum(np.searchsorted(key[order], wanted), max(len(key) - 1, 0))
    heard = key[order][place] == wanted if len(key) else np.zeros(len(wanted), bool)
    pair, at, made = order[place[heard]], seen.at[heard], seen.made[heard]
    silent = len(key) - len(np.unique(pair))
    measured = at <= until[origin[pair]]
    pair, at, made = pair[measured], at[measured], made[measured]
    own = np.unique(pair)
    pair_row = np.full(len(key), -1, np.int64)
    pair_row[own] = np.arange(len(own))
    # Pairs that heard nothing are alike for each origin, so that a large swarm costs little more than its messages.
    rest = (pair_row < 0) & (until[origin] > 0)
    counts = np.bincount(origin[rest], minlength=origins)
    quiet = np.flatnonzero(counts)
    row_of_quiet = np.zeros(origins, np.int64)
    row_of_quiet[quiet] = len(own) + np.arange(len(quiet))
    pair_row[rest] = row_of_quiet[origin[rest]]
    origin_of = np.concatenate([origin[own], quiet])
    until_of, n = until[origin_of], len(origin_of)
    row = np.concatenate([np.arange(n), pair_row[pair]])
    by_row = np.argsort(row, kind="stable")
    row = row[by_row]
    at = np.concatenate([np.zeros(n, np.int64), at])[by_row]
    made = np.concatenate([np.zeros(n, np.int64), made])[by_row]
    first = by_row < n
    end = np.where(np.append(first[1:], True), until_of[row], np.append(at[1:], 0))
    weight = np.concatenate([np.ones(len(own), np.int64), counts[quiet]])
    return _Rows(row, at, end, made, first, origin_of, until_of, weight), pair_row, silent


def _version_means(seen: _Seen, rows: _Rows) -> list[float]:
    """Time averages of the samples learnt but not yet known: those so far, less those that news tells of."""
    told = _row_sums(
        seen.learnt.count(rows.origin[rows.row], rows.known), rows.end - rows.at, rows.row, len(rows.until)
    )
    means = []
    so_far: dict[tuple[int, int], int] = {}
    for origin, until, known in zip(rows.origin.tolist(), rows.until.tolist(), told, strict=True):
        if (origin, until) not in so_far:
            learnt = seen.learnt[origin].tolist()
            so_far[origin, until] = sum(until - at for at in learnt if at <= until)
        means.append((so_far[origin, until] - known) / until)
    return means


def _wrong(seen: _Seen, rows: _Rows) -> _Wrong:
    """A row is right from news with no change since it was made until the next change, and at the start."""
    origin = rows.origin[rows.row]
    now = seen.changed.count(origin, np.where(rows.first, -1, rows.at))
    right = now == seen.changed.count(origin, rows.known)
    row = rows.row[right]
    since = seen.changed.next(origin[right], now[right])
    last = np.diff(row, append=-1) != 0
    to = np.where(last, rows.until[row], np.append(rows.at[right][1:], 0))
    wrong = since < to
    return _Wrong(row[wrong], since[wrong], to[wrong], len(rows.until))


def _curve(rows: _Rows, grid_ns: Floats) -> Floats:
    """Mean age over the pairs that are measured then, at each time."""
    closed = np.append(rows.first[1:], True)  # A row's last moment belongs to it.
    start = np.searchsorted(grid_ns, rows.at)
    stop = np.where(closed, np.searchsorted(grid_ns, rows.end, side="right"), np.searchsorted(grid_ns, rows.end))
    weight = rows.weight[rows.row].astype(np.float64)
    size = len(grid_ns) + 1
    open_pairs = np.cumsum(np.bincount(start, weight, size) - np.bincount(stop, weight, size))[:-1]
    made = weight * (rows.made / SECOND_NS)
    total = np.cumsum(np.bincount(start, made, size) - np.bincount(stop, made, size))[:-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(open_pairs > 0.5, grid_ns / SECOND_NS - total / open_pairs, np.nan)


def _law(low: Times, high: Times, weight: Floats) -> AgeLaw:
    """The law of an age that is uniform from ``low`` to ``high`` (ns) in each tooth: time spent at it, and above."""
    there = high > low
    edges = np.concatenate([low[there], high[there]])
    change = np.concatenate([weight[there], -weight[there]])
    order = np.argsort(edges, kind="stable")
    edges, density = edges[order], np.cumsum(change[order])
    below = np.concatenate([[0.0], np.cumsum(density[:-1] * np.diff(edges))])
    last = np.append(np.diff(edges) > 0, True)  # One point for each age.
    return AgeLaw(edges[last] / SECOND_NS, np.maximum(0.0, 1.0 - below[last] / below[-1]))


def _steady(seen: _Seen, rows: _Rows, wrong: _Wrong, mean_ns: float) -> SteadyAges | None:
    """Means over batches of time after the start; None if not even one batch fits in."""
    by_end = np.argsort(rows.until, kind="stable")
    half = np.searchsorted(np.cumsum(rows.weight[by_end]), rows.weight.sum() / 2)
    start, stop = round(WARM_UP_AGES * mean_ns), int(rows.until[by_end[half]])
    count = min(BATCHES_MAX, math.floor((stop - start) / (BATCH_AGES * mean_ns))) if mean_ns > 0 else 0
    if count < 1:
        return None
    edges = np.linspace(start, stop, count + 1)
    origin, weight = rows.origin[rows.row], rows.weight[rows.row]
    told = seen.learnt.count(origin, rows.known)
    peaks = rows.at - np.concatenate([[0], rows.made[:-1]])
    pair_time, age, told_time, incorrect, peak, receptions = np.zeros((6, count))
    for k, (low, high) in enumerate(pairwise(edges)):
        i = np.flatnonzero((rows.at < high) & (rows.end > low))
        a, b, w = np.maximum(rows.at[i], low), np.minimum(rows.end[i], high), weight[i]
        pair_time[k] = w @ (b - a)
        age[k] = (w * (b - a)) @ ((a + b) / 2 - rows.made[i])
        told_time[k] = (w * (b - a)) @ told[i]
        i = np.flatnonzero((wrong.since < high) & (wrong.to > low))
        a, b, since = np.maximum(wrong.since[i], low), np.minimum(wrong.to[i], high), wrong.since[i]
        incorrect[k] = (rows.weight[wrong.row[i]] * (b - a)) @ ((a + b) / 2 - since)
        i = np.flatnonzero((rows.at >= low) & (rows.at < high) & ~rows.first)
        peak[k], receptions[k] = peaks[i].sum(), len(i)
    learnt_time = np.zeros(count)
    pairs, until = np.bincount(rows.origin, rows.weight), np.zeros(rows.origin.max() + 1)
    until[rows.origin] = rows.until
    for k in np.flatnonzero(pairs).tolist():
        learnt_time += pairs[k] * np.diff(_counted_time(seen.learnt[k], np.minimum(edges, until[k])))
    a, b = np.maximum(rows.at, start), np.minimum(rows.end, stop)
    return SteadyAges(
        start / SECOND_NS,
        stop / SECOND_NS,
        BatchMeans(age / SECOND_NS, pair_time),
        BatchMeans(peak / SECOND_NS, receptions),
        BatchMeans(learnt_time - told_time, pair_time),
        BatchMeans(incorrect / SECOND_NS, pair_time),
        _law(a - rows.made, b - rows.made, weight.astype(np.float64)).quantile(0.95),
    )


def _counted_time(times: Times, until: Floats) -> Floats:
    """The integral from 0 to ``until`` of how many of the times have passed."""
    passed = np.searchsorted(times, until, side="right")
    return np.asarray(passed * until - np.concatenate([[0.0], np.cumsum(times, dtype=np.float64)])[passed])
