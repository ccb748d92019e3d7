"""What nodes really trained of what they received, and how old it was, measured exactly from a trace."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import mul

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protovine.age.measure import NEVER_NS, last_samples, measure_age
from protovine.age.report import AgeReport, BatchMeans, SteadyAges, Times
from protovine.columns import Columns
from protovine.records import SECOND_NS, Received, Record, Trained


@dataclass(frozen=True)
class SteadyTraining:
    """The same after a warm-up, as in `SteadyAges`: 5 of the larger of the two mean ages, in batches of at least 10.

    Parameters
    ----------
    fraction : BatchMeans
        Prototypes trained for the first time, over prototypes received.
    age : BatchMeans
        Age when trained, in s.
    p95_s : float or None
        Age that 5 % of the prototypes exceed when they are trained.
    known : SteadyAges
        Ages of trained knowledge.
    """

    fraction: BatchMeans
    age: BatchMeans
    p95_s: float | None
    known: SteadyAges


@dataclass(frozen=True)
class TrainingReport:
    """What the nodes trained of what neighbours sent them; None where it cannot be known.

    Parameters
    ----------
    received, trained : int
        Prototypes that arrived, and those of them that were trained at least once.
    fraction : float or None
        ``trained / received``.
    mean_s, p95_s : float or None
        Age of a prototype's message when the prototype is trained, over all that were trained until the sender's last
        local sample: after it nothing newer can come.
    known : AgeReport or None
        Ages of trained knowledge: of the newest message of which at least one prototype was trained.
    steady : SteadyTraining or None
        None if the run is too short for it.
    reason : str
        Why nothing is known; else empty.
    """

    received: int
    trained: int
    fraction: float | None
    mean_s: float | None
    p95_s: float | None
    known: AgeReport | None
    steady: SteadyTraining | None
    reason: str = ""


def measure_training(
    records: Iterable[Record], neighbours: Sequence[Sequence[int]], end_ns: int, start_ns: int = 0
) -> TrainingReport:
    """The fraction of received prototypes that nodes trained, their ages then, and the ages of trained knowledge.

    A prototype is as old as the message that brought it: the time since its sender made that message. In an exchange
    by log this is the newest message of the sender at the time of arrival, for repaired samples too.

    Parameters
    ----------
    records : sequence of records
        A trace, in order.
    neighbours, end_ns, start_ns
        As in `measure_age`.

    Examples
    --------
    >>> from protovine.records import Learned, TrainedRun
    >>> runs = (TrainedRun(1, 1_000_000_000, 2_500_000_000, 100_000_000, 2, 2),)
    >>> trace = [
    ...     Learned(1_000_000_000, 1, 0, True, 1),
    ...     Received(2_000_000_000, 0, 1, 1, 1, 1, 1_000_000_000, 4, 50),
    ...     Trained(3_000_000_000, 0, 2, 2, 2, runs),
    ... ]
    >>> report = measure_training(trace, [[1], []], end_ns=3_000_000_000)
    >>> report.fraction, report.mean_s, report.known.mean_s
    (0.5, 1.55, 1.3333333333333333)
    """
    records = Columns.holding(records)
    last = last_samples(records)
    # A server has no local samples and trains nothing. Other nodes without samples train what they receive.
    learners = {*last, *records.of(Trained)["node"].tolist()}
    neighbours = [peers if node in learners or not last else [] for node, peers in enumerate(neighbours)]
    received, runs, count = _columns(records, neighbours, last)
    prototypes = int(received[1].sum())
    if not len(runs):
        none_trained = prototypes > 0 and not count
        if count:
            reason = "the trace does not say which prototypes were trained"
        elif prototypes:
            reason = "none of the received prototypes was trained"
        elif received.size:
            reason = "messages had no prototypes, as with models, which are used as they arrive"
        else:
            reason = "nothing arrived"
        return TrainingReport(prototypes, 0, 0.0 if none_trained else None, None, None, None, None, reason)
    trained = int(runs[:, 4].sum())
    runs = runs[runs[:, 0] <= runs[:, 5]]
    first, step, number, created = runs.T[:4]
    # Twice the sum of ages is a whole number, and Python's have no limit.
    doubled = sum(map(mul, number.tolist(), (2 * (first - created) + step * (number - 1)).tolist()))
    total = int(number.sum())
    mean_s = doubled / (2 * total * SECOND_NS) if total else None
    known = measure_age(records, neighbours, end_ns, start_ns=start_ns, known_at="training", slow_s=mean_s or 0.0)
    return TrainingReport(
        received=prototypes,
        trained=trained,
        fraction=trained / prototypes if prototypes else None,
        mean_s=mean_s,
        p95_s=_quantile(runs, 0.95),
        known=known,
        steady=_steady(received, runs, known.steady, start_ns),
    )


def _columns(kept: Columns, neighbours: Sequence[Sequence[int]], last: Mapping[int, int]) -> tuple[Times, Times, int]:
    """Time and number of prototypes received (2, k); runs (r, 6); and how many prototypes were trained in all.

    The last column of the runs has the time of the sender's last local sample.
    """
    origins = max([len(neighbours), *(peer + 1 for peers in neighbours for peer in peers)])
    pairs = np.unique([node * origins + peer for node, peers in enumerate(neighbours) for peer in peers])

    def inside(node: Times, peer: Times) -> NDArray[np.bool_]:
        there = (peer >= 0) & (peer < origins) & (node >= 0)
        return there & np.isin(node * origins + peer, pairs)

    heard, trained, runs = kept.of(Received), kept.of(Trained), kept.runs
    mine = inside(heard["node"], heard["peer"])
    received = np.stack([heard["at_ns"][mine], heard["prototypes"][mine]])
    mine = inside(trained["node"][runs["place"]], runs["peer"])
    names = ("first_ns", "step_ns", "count", "created_ns", "fresh", "peer")
    table = np.stack([runs[name][mine] for name in names], axis=1)
    # What a node without local samples sends is measured to the end.
    table[:, 5] = [last.get(peer, NEVER_NS) for peer in table[:, 5].tolist()]
    return received, table, int(trained["count"].sum())


def _quantile(runs: Times, q: float) -> float | None:
    """The smallest age that a fraction ``q`` of the prototypes does not exceed."""
    first, step, number, created = runs.T[:4]
    total = int(number.sum())
    if not total:
        return None
    place = np.arange(total) - np.repeat(np.cumsum(number) - number, number)
    ages = np.repeat(first - created, number) + place * np.repeat(step, number)
    rank = max(0, math.ceil(q * total) - 1)
    return float(np.partition(ages, rank)[rank]) / SECOND_NS


def _steady(received: Times, runs: Times, known: SteadyAges | None, start_ns: int) -> SteadyTraining | None:
    if known is None:
        return None
    batches = len(known.age.sums)
    edges = start_ns + np.linspace(known.from_s, known.until_s, batches + 1) * SECOND_NS

    def summed(at_ns: Times, values: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(np.histogram(at_ns, bins=edges, weights=np.asarray(values, np.float64))[0], np.float64)

    first, step, number, created, fresh, _ = runs.T
    ages = number * ((first - created) + step * (number - 1) / 2)
    within = (first >= edges[0]) & (first < edges[-1])
    return SteadyTraining(
        BatchMeans(summed(first, fresh), summed(received[0], received[1])),
        BatchMeans(summed(first, ages) / SECOND_NS, summed(first, number)),
        _quantile(runs[within], 0.95),
        known,
    )
