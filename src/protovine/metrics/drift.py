"""Drift alarms of a swarm: which nodes saw what, when, whether it is everywhere, and how alarms fit known drift."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from protovine.columns import Columns
from protovine.records import SECOND_NS, Alarmed, Learned, Record

# Local samples after a known drift within which an alarm is about it.
HORIZON = 200
# Alarms of several nodes are about one drift if no more than this many local samples of a node lie between them.
TOGETHER = 100


@dataclass(frozen=True)
class Episode:
    """One drift as the swarm saw it: ``nodes`` raised alarms from ``start_s`` to ``end_s``.

    ``kind`` is the most frequent one. It is ``everywhere`` if at least half of the nodes saw it.
    """

    start_s: float
    end_s: float
    kind: str
    nodes: tuple[int, ...]
    everywhere: bool


@dataclass(frozen=True)
class DriftReport:
    """Alarms against known drift points.

    ``detected`` is the fraction of pairs of a node and a drift of its stream with an alarm within 200 local samples
    after it, and ``delay_s`` the mean time until the first of them; None without drift, or without such alarms.
    ``false_alarms`` are all other alarms, per node.
    """

    detected: float | None
    delay_s: float | None
    false_alarms: float
    episodes: tuple[Episode, ...]


def drift(
    records: Iterable[Record], nodes: Sequence[int], points_s: Sequence[float] | Mapping[int, Sequence[float]]
) -> DriftReport:
    """The report on ``nodes``, with the times at which the concept changes, ascending: for all, or for each node.

    Nodes meet a drift at times of their own: with random arrivals each needs its own time for the samples before it.

    Examples
    --------
    >>> learned = [Learned(i * SECOND_NS, 0, i, False, 1) for i in range(100)]
    >>> alarms = [Alarmed(20 * SECOND_NS, 0, "adwin", "error", "relation")]
    >>> alarms += [Alarmed(57 * SECOND_NS, 0, "adwin", "labels", "labels")]
    >>> report = drift([*learned, *alarms], [0], [50.0])
    >>> report.detected, report.delay_s, report.false_alarms, len(report.episodes)
    (1.0, 7.0, 1.0, 1)
    """
    inside = set(nodes)
    learnt: dict[int, list[int]] = defaultdict(list)
    kept = Columns.holding(records)
    own = kept.of(Learned)
    for node, at_ns in zip(own["node"].tolist(), own["at_ns"].tolist(), strict=True):
        if node in inside:
            learnt[node].append(at_ns)
    alarms: list[Alarmed] = [record for record in kept.others(Alarmed) if record.node in inside]
    alarms.sort(key=lambda alarm: (alarm.at_ns, alarm.node))
    points_ns = {node: [round(point * SECOND_NS) for point in _points_of(points_s, node)] for node in nodes}
    ends = {(node, point): _end_ns(learnt[node], point) for node in nodes for point in points_ns[node]}
    delays: dict[tuple[int, int], float] = {}
    false = 0
    for alarm in alarms:
        about = [point for point in points_ns[alarm.node] if point <= alarm.at_ns <= ends[alarm.node, point]]
        if about:
            delays.setdefault((alarm.node, about[-1]), (alarm.at_ns - about[-1]) / SECOND_NS)
        else:
            false += 1
    return DriftReport(
        detected=len(delays) / len(ends) if ends else None,
        delay_s=sum(delays.values()) / len(delays) if delays else None,
        false_alarms=false / len(nodes) if nodes else 0.0,
        episodes=tuple(_episodes(alarms, learnt, len(nodes))),
    )


def _points_of(points_s: Sequence[float] | Mapping[int, Sequence[float]], node: int) -> Sequence[float]:
    return points_s[node] if isinstance(points_s, Mapping) else points_s


def _end_ns(learnt: Sequence[int], point_ns: int) -> float:
    """When a node has learnt `HORIZON` local samples after a time."""
    after = [at_ns for at_ns in learnt if at_ns >= point_ns]
    return after[HORIZON - 1] if len(after) >= HORIZON else float("inf")


def _episodes(alarms: Sequence[Alarmed], learnt: dict[int, list[int]], n: int) -> list[Episode]:
    longest = max((len(times) for times in learnt.values()), default=0)
    last_ns = max((times[-1] for times in learnt.values() if times), default=0)
    gap_ns = TOGETHER * last_ns / longest if longest else 0.0
    groups: list[list[Alarmed]] = []
    for alarm in alarms:
        if groups and alarm.at_ns - groups[-1][-1].at_ns <= gap_ns:
            groups[-1].append(alarm)
        else:
            groups.append([alarm])
    found = []
    for group in groups:
        seen = tuple(sorted({alarm.node for alarm in group}))
        kinds = Counter(alarm.kind for alarm in group)
        kind = min(kinds, key=lambda each: (-kinds[each], each))
        start_s, end_s = group[0].at_ns / SECOND_NS, group[-1].at_ns / SECOND_NS
        found.append(Episode(start_s, end_s, kind, seen, 2 * len(seen) >= n))
    return found
