"""Ages of information, measured exactly from a trace."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import mul
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from protovine.age.report import AgeLaw, AgeReport, BatchMeans, Floats, PairAges, SteadyAges, Times
from protovine.columns import Columns
from protovine.records import SECOND_NS, Arrived, Learned, Missed, Received, Record, Sent, Trained

# The warm-up in mean ages. Where ages are exponential, e^-5 of the effect of the start is left after it.
WARM_UP_AGES = 5
# Batches of time, and the least length of each in mean ages, which makes neighbouring means nearly independent.
BATCHES_MAX, BATCH_AGES = 20, 10
NEVER_NS = np.iinfo(np.int64).max
# A log's messages carry the time at which they were made in whole milliseconds, rounded down.
_MADE_WITHIN_NS = 1_000_000


# When knowledge counts as known: when its message arrives, or when the first of its prototypes is trained.
KnownAt = Literal["arrival", "training"]


def measure_age(
    records: Iterable[Record],
    neighbours: Sequence[Sequence[int]],
    end_ns: int,
    grid: int = 200,
    start_ns: int = 0,
    known_at: KnownAt = "arrival",
    slow_s: float = 0.0,
) -> AgeReport:
    r"""Ages from the start of a run, when every age is 0, until the origin's last local sample (at most ``end_ns``).

    The age of origin i at node j is Δ(t) = t - u(t), where u(t) is when the newest message of i that j has accepted
    was made, and the start before the first. The version age is the number of samples that i has learnt since then.
    Messages of a log carry u(t) in milliseconds; what they know is counted up to the exact time at which i sent them,
    if the trace has it. A sample that i learns in the nanosecond in which it sends a message counts as known.
    After the end of its stream an origin learns nothing new, so its pairs are not measured beyond it.

    Origin i *changes* when it learns a sample that its model keeps as a new prototype (`Learned.inserted`). The view
    that j has of i is right while i has not changed since u(t). The age of incorrect information is the time since the
    view was last right, and 0 while it is right. Where an origin never changes, as with models that have no
    prototypes, there is none.

    Parameters
    ----------
    records : iterable of records
        A trace, in order.
    neighbours : sequence of sequences of int
        For each node the nodes whose messages reach it directly.
    start_ns, end_ns : int
        Start and end of the run, 0 <= start_ns <= end_ns.
    grid : int
        Points of the curve over time.
    known_at : {"arrival", "training"}
        With ``training``, a message is accepted when the first of its prototypes is trained: the ages of trained
        knowledge.
    slow_s : float >= 0
        An age of something else that settles with them, if it is larger: warm-up and batches are as long as for it.

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
    seen = _Seen.of(records, start_ns, known_at, max(len(neighbours), int(origin.max(initial=-1)) + 1))
    end_ns -= start_ns
    grid_ns = np.linspace(0, end_ns, grid + 1)[1:]
    rows, pair_row, silent = _rows(seen, node, origin, end_ns)
    if silent == len(node) or not len(rows.until):
        unknown = np.full(len(node), np.nan)
        each = PairAges(node, origin, unknown, unknown, unknown, unknown, np.zeros(len(node), np.int64))
        nothing = (None,) * 6
        return AgeReport(*nothing, len(node), len(node), grid_ns / SECOND_NS, np.full(grid, np.nan), each, None, None)
    wrong = _wrong(seen, rows)
    changes = np.where(seen.changed.any[rows.origin], 1.0, np.nan)

    def of_pairs(values: Sequence[float] | Floats) -> Floats:
        # Pairs whose origin learns nothing have row -1.
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
        of_pairs(
            changes * [area / (2 * int(end) * SECOND_NS) for area, end in zip(wrong.squares(), rows.until, strict=True)]
        ),
        np.append(receptions, 0)[pair_row],
    )
    wrong_fraction = changes * np.bincount(wrong.row, wrong.to - wrong.since, len(rows.until)) / rows.until
    mean_s = float(np.nanmean(each.mean_s))
    law = _law(rows.at - rows.made, rows.end - rows.made, (rows.weight / rows.until)[rows.row])
    return AgeReport(
        mean_s=mean_s,
        peak_s=sum(peaks.tolist()) / (len(peaks) * SECOND_NS) if len(peaks) else None,
        p95_s=law.quantile(0.95),
        version_mean=float(np.nanmean(each.version_mean)),
        incorrect_s=_mean(each.incorrect_s),
        incorrect_fraction=_mean(of_pairs(wrong_fraction)),
        pairs=len(node),
        silent_pairs=silent,
        grid_s=grid_ns / SECOND_NS,
        age_s=_curve(rows, grid_ns),
        each=each,
        law=law,
        steady=_steady(seen, rows, wrong, max(mean_s, slow_s) * SECOND_NS),
    )


def _mean(values: Floats) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


@dataclass(frozen=True)
class _Sorted:
    """Ascending times of every origin, one origin after another; a time that never comes ends each."""

    flat: Times
    offset: Times

    @classmethod
    def of(cls, origin: Times, at: Times, origins: int) -> _Sorted:
        """The times ``at`` of each ``origin``, which ascend for each."""
        inside = (origin >= 0) & (origin < origins)
        of = np.concatenate([origin[inside], np.arange(origins)])
        order = np.argsort(of, kind="stable")
        flat = np.concatenate([at[inside], np.full(origins, NEVER_NS)])[order]
        return cls(flat, np.searchsorted(of[order], np.arange(origins + 1)))

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

    @property
    def any(self) -> NDArray[np.bool_]:
        """For each origin whether it has a time."""
        return np.diff(self.offset) > 1

    def next(self, origin: Times, count: Times) -> Times:
        """The time after the first ``count``."""
        return np.asarray(self.flat[self.offset[origin] + count])


@dataclass(frozen=True)
class _Seen:
    """The columns of a trace: receptions that made an age smaller, local samples, changes, and when streams end.

    A message made at ``made`` knows what its origin had learnt by ``known``.
    """

    node: Times
    origin: Times
    at: Times
    made: Times
    known: Times
    learnt: _Sorted
    changed: _Sorted
    last: dict[int, int]

    @classmethod
    def of(cls, records: Iterable[Record], start_ns: int, known_at: KnownAt, origins: int) -> _Seen:
        kept = Columns.holding(records)
        own = kept.of(Learned)
        if known_at == "arrival":
            heard = kept.of(Received)
            node, origin, at, made = (heard[name] for name in ("node", "peer", "at_ns", "created_ns"))
        else:
            heard, trained = kept.runs, kept.of(Trained)
            node, origin, at, made = (
                trained["node"][heard["place"]],
                heard["peer"],
                heard["first_ns"],
                heard["created_ns"],
            )
        at, made = at - start_ns, made - start_ns
        # A message made no later than the newest that was known, or at the very start, makes no age smaller.
        order = np.lexsort((origin, node))
        first = np.flatnonzero(np.append(len(order) > 0, np.diff(node[order]) | np.diff(origin[order])))
        newer = np.zeros(len(order), np.bool_)
        newer[order] = _rises(made[order], first)
        node, origin, at, made = (column[newer] for column in (node, origin, at, made))
        sent = kept.of(Sent)
        known = _sent_at(_Sorted.of(sent["node"], sent["at_ns"] - start_ns, origins), origin, made, start_ns)
        learnt = _Sorted.of(own["node"], own["at_ns"] - start_ns, origins)
        new = own["inserted"] > 0
        changed = _Sorted.of(own["node"][new], own["at_ns"][new] - start_ns, origins)
        last = {i: at_ns - start_ns for i, at_ns in last_samples(kept).items()}
        return cls(node, origin, at, made, known, learnt, changed, last)


def _sent_at(sent: _Sorted, origin: Times, made: Times, start_ns: int) -> Times:
    """When each origin sent what it made at ``made``; ``made`` itself if the trace does not have it.

    A time is exact if the origin sent something just then. Else, or if it is a whole millisecond, it is taken to be
    rounded down: then the last message within a millisecond counts. Times that were shifted are not whole.
    """
    inside = (origin >= 0) & (origin < len(sent.offset) - 1)
    known, origin, made = made.copy(), origin[inside], made[inside]
    until = sent.count(origin, made)
    exact = ((made + start_ns) % _MADE_WITHIN_NS > 0) & (until > sent.count(origin, made - 1))
    count = np.where(exact, until, sent.count(origin, made + _MADE_WITHIN_NS - 1))
    last = np.where(count > 0, sent.next(origin, count - 1), 0)
    known[inside] = np.maximum(made, last)
    return known


def last_samples(kept: Columns) -> dict[int, int]:
    """When the last local sample of each node came."""
    last: dict[int, int] = {}
    for kind in (Arrived, Missed):
        came = kept.of(kind)
        for node, at_ns in zip(came["node"].tolist(), came["at_ns"].tolist(), strict=True):
            last[node] = max(last.get(node, at_ns), at_ns)
    return last


def _rises(values: Times, first: Times) -> NDArray[np.bool_]:
    """Whether a value is larger than 0 and all before it in its part; parts begin at ``first``."""
    if not len(values):
        return np.zeros(0, np.bool_)
    # Parts are lifted above each other, so that one running maximum serves all of them.
    part = np.zeros(len(values), np.int64)
    part[first[1:]] = 1
    part = np.cumsum(part)
    ranks = np.unique(np.maximum(values, 0), return_inverse=True)[1].ravel() + (values > 0)
    lifted = ranks + part * (int(ranks.max()) + 2)
    before = np.append(-1, np.maximum.accumulate(lifted)[:-1])
    before[first] = part[first] * (int(ranks.max()) + 2)
    return (values > 0) & (lifted > before)


@dataclass(frozen=True)
class _Rows:
    """The sawtooth of each pair as one row of teeth; the silent pairs of an origin share one row.

    During a tooth, from ``at`` to ``end``, the newest message accepted is the one made at ``made``, which knows what
    was learnt by ``known``. The ``first`` tooth of a row starts at 0, before any message; ``known`` is before 0 then,
    as local samples at time 0 are unknown too.
    Per row: ``origin``, ``until`` when it is measured, and ``weight``, its number of pairs.
    """

    row: Times
    at: Times
    end: Times
    made: Times
    known: Times
    first: NDArray[np.bool_]
    origin: Times
    until: Times
    weight: Times

    def mean_ages_s(self) -> list[float]:
        """Time averages of the age, from exact integrals."""
        doubled = _row_sums(self.end - self.at, self.end + self.at - 2 * self.made, self.row, len(self.until))
        return [area / (2 * end * SECOND_NS) for area, end in zip(doubled, self.until.tolist(), strict=True)]


@dataclass(frozen=True)
class _Wrong:
    """When views were wrong: from ``since`` to ``to`` in each row."""

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
    """The rows, the row of each pair (-1: not measured), and the number of silent pairs."""
    origins = len(seen.learnt.offset) - 1
    # A trace without arrivals is measured to its end. In one with arrivals, a node without any learns nothing.
    otherwise = 0 if seen.last else end_ns
    until = np.array([min(seen.last.get(i, otherwise), end_ns) for i in range(origins)], np.int64)
    key = node * origins + origin
    order = np.argsort(key, kind="stable")
    # Receptions of and from nodes that are in no pair must not count for one.
    inside = (np.minimum(seen.node, seen.origin) >= 0) & (np.maximum(seen.node, seen.origin) < origins)
    wanted = np.where(inside, seen.node * origins + seen.origin, -1)
    place = np.minimum(np.searchsorted(key[order], wanted), max(len(key) - 1, 0))
    heard = key[order][place] == wanted if len(key) else np.zeros(len(wanted), bool)
    pair, at, made, known = order[place[heard]], seen.at[heard], seen.made[heard], seen.known[heard]
    silent = len(key) - len(np.unique(pair))
    measured = at <= until[origin[pair]]
    pair, at, made, known = pair[measured], at[measured], made[measured], known[measured]
    own = np.unique(pair)
    pair_row = np.full(len(key), -1, np.int64)
    pair_row[own] = np.arange(len(own))
    # The silent pairs of an origin have the same sawtooth. To share it makes the cost grow with messages, not pairs.
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
    known = np.concatenate([np.full(n, -1, np.int64), known])[by_row]
    first = by_row < n
    end = np.where(np.append(first[1:], True), until_of[row], np.append(at[1:], 0))
    weight = np.concatenate([np.ones(len(own), np.int64), counts[quiet]])
    return _Rows(row, at, end, made, known, first, origin_of, until_of, weight), pair_row, silent


def _version_means(seen: _Seen, rows: _Rows) -> list[float]:
    """Time averages of the version age: samples learnt so far, less those learnt when the newest message was made."""
    known_of = _row_sums(
        seen.learnt.count(rows.origin[rows.row], rows.known), rows.end - rows.at, rows.row, len(rows.until)
    )
    means = []
    so_far: dict[tuple[int, int], int] = {}
    for origin, until, known in zip(rows.origin.tolist(), rows.until.tolist(), known_of, strict=True):
        if (origin, until) not in so_far:
            learnt = seen.learnt[origin].tolist()
            so_far[origin, until] = sum(until - at for at in learnt if at <= until)
        means.append((so_far[origin, until] - known) / until)
    return means


def _wrong(seen: _Seen, rows: _Rows) -> _Wrong:
    """When views are wrong. At the start a view is right, and after a message until the origin changes again."""
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
    """At each time the mean age over the pairs that are measured then."""
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
    """The law of an age that is uniform from ``low`` to ``high`` (ns) in each tooth."""
    there = high > low
    edges = np.concatenate([low[there], high[there]])
    change = np.concatenate([weight[there], -weight[there]])
    order = np.argsort(edges, kind="stable")
    edges, density = edges[order], np.cumsum(change[order])
    below = np.concatenate([[0.0], np.cumsum(density[:-1] * np.diff(edges))])
    last = np.append(np.diff(edges) > 0, True)  # One point for each age.
    return AgeLaw(edges[last] / SECOND_NS, np.maximum(0.0, 1.0 - below[last] / below[-1]))


def _steady(seen: _Seen, rows: _Rows, wrong: _Wrong, mean_ns: float) -> SteadyAges | None:
    """Means over batches of time after the warm-up; None if the run is too short for one batch."""
    by_end = np.argsort(rows.until, kind="stable")
    half = np.searchsorted(np.cumsum(rows.weight[by_end]), rows.weight.sum() / 2)
    start, stop = round(WARM_UP_AGES * mean_ns), int(rows.until[by_end[half]])
    count = min(BATCHES_MAX, math.floor((stop - start) / (BATCH_AGES * mean_ns))) if mean_ns > 0 else 0
    if count < 1:
        return None
    edges = np.linspace(start, stop, count + 1)
    origin, weight = rows.origin[rows.row], rows.weight[rows.row]
    known = seen.learnt.count(origin, rows.known)
    peaks = rows.at - np.concatenate([[0], rows.made[:-1]])
    changes = seen.changed.any[origin]
    pair_time, age, known_time, incorrect, changing_time, peak, receptions = np.zeros((7, count))
    for k, (low, high) in enumerate(pairwise(edges)):
        i = np.flatnonzero((rows.at < high) & (rows.end > low))
        a, b, w = np.maximum(rows.at[i], low), np.minimum(rows.end[i], high), weight[i]
        pair_time[k] = w @ (b - a)
        age[k] = (w * (b - a)) @ ((a + b) / 2 - rows.made[i])
        known_time[k] = (w * (b - a)) @ known[i]
        changing_time[k] = (w * (b - a)) @ changes[i]
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
        BatchMeans(learnt_time - known_time, pair_time),
        BatchMeans(incorrect / SECOND_NS, changing_time),
        _law(a - rows.made, b - rows.made, weight.astype(np.float64)).quantile(0.95),
    )


def _counted_time(times: Times, until: Floats) -> Floats:
    """The integral from 0 to ``until`` of how many of the times have passed."""
    passed = np.searchsorted(times, until, side="right")
    return np.asarray(passed * until - np.concatenate([[0.0], np.cumsum(times, dtype=np.float64)])[passed])
