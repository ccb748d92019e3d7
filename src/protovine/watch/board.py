"""What the page shows of one run, folded record by record; no I/O, no clock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import numpy as np

from protovine import metrics
from protovine.gossip import EVERYONE
from protovine.records import (
    SECOND_NS,
    Aired,
    Alarmed,
    Arrived,
    Down,
    Learned,
    Lost,
    Missed,
    Predicted,
    Received,
    Record,
    Refused,
    Sent,
    Trained,
    Up,
    Warned,
    Withheld,
)
from protovine.watch.ages import PairAges
from protovine.watch.curves import Curves, rounded, rounded_rate
from protovine.watch.rates import Rates

# Predictions of each node behind its recent accuracy.
RECENT = 100
CURVES = ("t", "mean", "low", "high", "last_class", "bytes", "age", "nodes")
# Above this many nodes there are no edges, no single curves, and ages of groups.
NODES_MAX = 64
GROUPS = 40
EVENTS_MAX, PULSES_MAX, AWAITED_MAX = 200, 400, 1_000_000


@dataclass
class Facts:
    """What a board must know besides records.

    Parameters
    ----------
    neighbours : list of lists of int
        For each node the nodes that it may address.
    classes : int
    honest : list of int
        Nodes whose results count.
    positive : int, optional
        The positive class of two.
    drift_points_s : tuple of float
    end_s : float, optional
        When the run ends, if that is known.
    medium : bool
        Whether nodes share a medium: traffic is then what was on the air.
    """

    neighbours: list[list[int]]
    classes: int
    honest: list[int]
    positive: int | None = None
    drift_points_s: tuple[float, ...] = ()
    end_s: float | None = None
    medium: bool = False

    def __len__(self) -> int:
        return len(self.neighbours)


@dataclass
class _Node:
    """The counts of one node."""

    confusion: Any
    up: bool = True
    size: int = 0
    samples: int = 0
    right: int = 0
    bytes: int = 0
    recent: deque[tuple[bool, bool]] = field(default_factory=lambda: deque(maxlen=RECENT))
    recent_right: int = 0
    recent_last: int = 0
    last_class: int = metrics.NO_MODEL

    def judge(self, truth: int, predicted: int) -> None:
        """Count a prediction, and that of the newest label."""
        self.confusion[truth, predicted] += 1  # Code -1, no model, is the last column.
        right, last = predicted == truth, self.last_class == truth
        self.samples += 1
        self.right += right
        if len(self.recent) == RECENT:
            old_right, old_last = self.recent[0]
            self.recent_right -= old_right
            self.recent_last -= old_last
        self.recent.append((right, last))
        self.recent_right += right
        self.recent_last += last

    @property
    def accuracy(self) -> float | None:
        """Of the newest predictions."""
        return self.recent_right / len(self.recent) if self.recent else None


class Board:
    """Folds the records of one run into what the page shows.

    Call `add` with every record in order, `at` when time passes without one, and `frame` for the picture.

    Examples
    --------
    >>> board = Board(Facts([[1], [0]], classes=2, honest=[0, 1], end_s=10.0))
    >>> for record in (Arrived(10**9, 0, 7, 1), Predicted(10**9, 0, 7, 1, (0.2, 0.8))):
    ...     board.add(record)
    >>> frame = board.frame()
    >>> frame["t"], frame["nodes"]["accuracy"], frame["totals"]["accuracy"]
    (1.0, [1.0, None], 1.0)
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.now_ns = 0
        n = len(facts)
        self.large = n > NODES_MAX
        self._nodes = [_Node(np.zeros((facts.classes, facts.classes + 1), np.int64)) for _ in range(n)]
        self._truths: dict[tuple[int, int], int] = {}
        self._awaited: dict[tuple[int, int], int] = {}  # Classes of predicted samples until their label comes.
        self.ages = PairAges(n)
        self._rates = Rates(n)
        self._cut: set[tuple[int, int]] = set()
        self._pulses: Counter[tuple[int, int]] = Counter()
        self._withheld: Counter[tuple[int, str]] = Counter()
        self._refused: Counter[tuple[int, int, str]] = Counter()
        self._alarms: dict[int, dict[str, Any]] = {}
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_MAX)
        self._event_number = 0
        self._warned_ns: dict[tuple[int, int], int] = {}  # When a warning of a peer is news again.
        self._global_s = -1.0  # When a drift was found to be global.
        self._drifts = deque(sorted(facts.drift_points_s))
        self.curves = Curves(CURVES, facts.end_s)
        self._takes: dict[type[Record], Callable[[Any], None]] = {
            Arrived: self._arrived,
            Missed: self._missed,
            Predicted: self._predicted,
            Learned: self._learned,
            Trained: self._sized,
            Sent: self._sent,
            Aired: self._aired,
            Received: self._received,
            Refused: self._refuse,
            Lost: self._lost,
            Withheld: self._withhold,
            Down: self._down,
            Up: self._came,
            Alarmed: self._alarmed,
            Warned: self._warned,
        }

    @property
    def now_s(self) -> float:
        """The time of the board."""
        return self.now_ns / SECOND_NS

    def add(self, record: Record) -> None:
        """Take one more record in."""
        self.at(record.at_ns)
        take = self._takes.get(type(record))
        if take is not None:
            take(record)

    def at(self, now_ns: int) -> None:
        """Time passes until ``now_ns``."""
        while self.curves.next_ns <= now_ns:
            self.now_ns = self.curves.next_ns
            self._point()
        self.now_ns = max(self.now_ns, now_ns)
        self._rates.at(self.now_ns)
        while self._drifts and self._drifts[0] * SECOND_NS <= self.now_ns:
            self.note("drift", f"the concept changes at {self._drifts[0]:.1f} s", at_s=self._drifts.popleft())

    def note(self, kind: str, text: str, node: int | None = None, at_s: float | None = None) -> None:
        """Put an event into the log."""
        self._event_number += 1
        at_s = self.now_s if at_s is None else at_s
        self._events.append({"id": self._event_number, "at": round(at_s, 3), "kind": kind, "text": text, "node": node})

    # -- Records. ------------------------------------------------------------------------------------------------------

    def _arrived(self, record: Arrived) -> None:
        self.ages.sampled(record.node, record.at_ns)
        if record.truth >= 0:
            self._truths[record.node, record.sample] = record.truth

    def _missed(self, record: Missed) -> None:
        self.ages.sampled(record.node, record.at_ns)
        self._nodes[record.node].up = False

    def _predicted(self, record: Predicted) -> None:
        truth = self._truths.pop((record.node, record.sample), None)
        if truth is not None:
            self._nodes[record.node].judge(truth, record.predicted)
            self._awaited[record.node, record.sample] = truth
            if len(self._awaited) > AWAITED_MAX:
                del self._awaited[next(iter(self._awaited))]

    def _learned(self, record: Learned) -> None:
        self._nodes[record.node].last_class = self._awaited.pop(
            (record.node, record.sample), self._nodes[record.node].last_class
        )
        self._sized(record)

    def _sized(self, record: Learned | Trained) -> None:
        self._nodes[record.node].size = record.size

    def _sent(self, record: Sent) -> None:
        if not self.facts.medium:
            size = record.header_bytes + record.payload_bytes
            self._nodes[record.node].bytes += size
            self._rates.add(record.node, record.peer, record.kind, size)
        if record.prototypes and len(self._pulses) < PULSES_MAX and not self.large:
            for peer in self.facts.neighbours[record.node] if record.peer == EVERYONE else (record.peer,):
                self._pulses[record.node, peer] += record.prototypes

    def _aired(self, record: Aired) -> None:
        self._nodes[record.node].bytes += record.message_bytes
        self._rates.add(record.node, EVERYONE, "on the air", record.message_bytes)

    def _received(self, record: Received) -> None:
        self._cut.discard((record.peer, record.node))
        self.ages.received(record.node, record.peer, record.at_ns, record.created_ns)

    def _refuse(self, record: Refused) -> None:
        key = (record.node, record.peer, record.reason)
        self._refused[key] += 1
        if _is_round(self._refused[key]):
            text = f"refuses a message of node {record.peer}: {record.reason} ({self._refused[key]:,} so far)"
            self.note("refused", text, record.node)

    def _lost(self, record: Lost) -> None:
        if record.reason == "cut" and (record.node, record.peer) not in self._cut:
            self._cut.add((record.node, record.peer))
            self.note("cut", f"loses a message to node {record.peer}: the link is cut", record.node)

    def _withhold(self, record: Withheld) -> None:
        key = (record.node, record.gate)
        self._withheld[key] += 1
        if _is_round(self._withheld[key]):
            text = f"withholds {record.prototypes} prototypes from node {record.peer}: gate {record.gate}, "
            self.note("withheld", f"{text}score {record.score:.3f} ({self._withheld[key]:,} so far)", record.node)

    def _down(self, record: Down) -> None:
        self._nodes[record.node].up = False
        self.note("down", "stops", record.node)

    def _came(self, record: Up) -> None:
        self._nodes[record.node].up = True
        self.note("up", f"runs, incarnation {record.incarnation}", record.node)

    def _alarmed(self, record: Alarmed) -> None:
        self._alarms[record.node] = {"at": record.at_ns / SECOND_NS, "kind": record.kind, "signal": record.signal}
        self.note("alarm", f"sees a drift of the {record.kind}: {record.signal} ({record.detector})", record.node)
        samples = max((node.samples for node in self._nodes), default=0)
        since_s = self.now_s - metrics.DRIFT_TOGETHER * self.now_s / max(1, samples)
        honest = [self._alarms[node]["at"] for node in self.facts.honest if node in self._alarms]
        seen = sum(at >= since_s for at in honest)
        if 2 * seen >= len(self.facts.honest) and self._global_s < since_s:
            self._global_s = self.now_s
            self.note("alarm", f"the drift is global: {seen} of {len(self.facts.honest)} honest nodes saw it")

    def _warned(self, record: Warned) -> None:
        key = (record.node, record.peer)
        if record.at_ns >= self._warned_ns.get(key, 0):  # A peer that lies can send hundreds.
            self._warned_ns[key] = record.at_ns + SECOND_NS
            self.note("warned", f"hears that node {record.peer} saw a drift of the {record.kind}", record.node)

    # -- Pictures. -----------------------------------------------------------------------------------------------------

    def _honest(self) -> list[_Node]:
        return [self._nodes[node] for node in self.facts.honest]

    def recent_accuracy(self) -> float | None:
        """Mean over the honest nodes of the accuracy of their newest predictions."""
        return _mean(node.accuracy for node in self._honest())

    def _last_class(self) -> float | None:
        """Mean over the honest nodes of the accuracy of the class before, in their newest predictions."""
        labelled = [node for node in self._honest() if node.recent and node.last_class != metrics.NO_MODEL]
        return _mean(node.recent_last / len(node.recent) for node in labelled)

    def _point(self) -> None:
        """Add a point to every curve."""
        self._rates.at(self.now_ns)
        honest = self._honest()
        each = sorted(node.accuracy for node in honest if node.accuracy is not None)
        by_kind = self._rates.by_kind()
        values = {
            "t": round(self.now_s, 3),
            "mean": rounded(_mean(each)),
            "low": rounded(each[len(each) // 10] if each else None),
            "high": rounded(each[-1 - len(each) // 10] if each else None),
            "last_class": rounded(self._last_class()),
            "bytes": rounded(sum(by_kind.values()), 1),
            "age": rounded(self.ages.now_s(self.now_ns, self.facts.honest, self.facts.neighbours), 3),
            "nodes": [] if self.large else [rounded(node.accuracy) for node in self._nodes],
        }
        self.curves.add(values, by_kind)

    def totals(self) -> dict[str, float | None]:
        """The numbers of `result.json` so far, over the honest nodes."""
        honest = self._honest()
        bytes_sent = sum(node.bytes for node in honest)
        judged = [node for node in honest if node.samples]
        return {
            "accuracy": _mean(node.right / node.samples for node in judged),
            "f1": _mean(metrics.f1_of(node.confusion, self.facts.positive) for node in judged),
            "bytes_per_node_per_s": bytes_sent / len(honest) / self.now_s if self.now_ns else 0.0,
            "aoi_mean_s": self.ages.mean_s(self.facts.honest, self.facts.neighbours),
            "samples": float(sum(node.samples for node in honest)),
        }

    def frame(self) -> dict[str, Any]:
        """The picture now, as plain values; shares since the last picture are its pulses."""
        honest = set(self.facts.honest)
        pulses = [[source, target, count] for (source, target), count in self._pulses.items()]
        self._pulses.clear()
        by_kind = self._rates.by_kind()
        frame: dict[str, Any] = {
            "t": round(self.now_s, 3),
            "recent": rounded(self.recent_accuracy()),
            "last_class": rounded(self._last_class()),
            "totals": self.totals(),
            "nodes": {
                "accuracy": [rounded(node.accuracy) for node in self._nodes],
                "samples": [node.samples for node in self._nodes],
                "size": [node.size for node in self._nodes],
                "bytes": [rounded_rate(rate) for rate in self._rates.by_node()],
                "state": [
                    "down" if not node.up else "up" if number in honest else "byzantine"
                    for number, node in enumerate(self._nodes)
                ],
                "alarm": [self._alarms.get(number) for number in range(len(self._nodes))] if self._alarms else [],
            },
            "bytes": rounded_rate(sum(by_kind.values())),
            "kinds": {kind: rounded_rate(rate) for kind, rate in by_kind.items()},
            "pulses": pulses,
            "events": list(self._events),
            "age": self._age_table(),
        }
        if not self.large:
            frame["edges"] = [[a, b, rounded_rate(rate)] for (a, b), rate in sorted(self._rates.by_link().items())]
            frame["cut"] = sorted(self._cut)
        return frame

    def _age_table(self) -> dict[str, Any]:
        """Ages of pairs, or mean ages of groups of nodes: rows are receivers, columns origins."""
        alive = [node.up for node in self._nodes]
        pairs = self.ages.pairs_s(self.now_ns, self.facts.neighbours)
        n = len(self._nodes)
        if not self.large:
            table: list[list[float | None]] = [[None] * n for _ in range(n)]
            for (node, origin), age_s in pairs.items():
                table[node][origin] = round(age_s, 2) if alive[node] else None
            return {"table": table, "group": 1}
        group = -(-n // GROUPS)
        groups = -(-n // group)
        sums, counts = np.zeros((groups, groups)), np.zeros((groups, groups))
        for (node, origin), age_s in pairs.items():
            if alive[node]:
                sums[node // group, origin // group] += age_s
                counts[node // group, origin // group] += 1
        means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
        return {"table": [[rounded(each, 2) for each in row] for row in means.tolist()], "group": group}


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return fmean(present) if present else None


def _is_round(count: int) -> bool:
    """Whether a count is worth a line: 1, 10, 100 and so on."""
    return str(count).strip("0") == "1"
