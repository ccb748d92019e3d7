"""Time on the air from a trace: how much of a shared medium, and of its own time, each node used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protovine.records import SECOND_NS, Aired, Record


@dataclass(frozen=True)
class Airtime:
    """Time on the air; all zeros on separate links.

    ``node_s`` has the seconds on the air by node. ``wait_s`` is the mean wait of a frame; None without frames.
    """

    frames: int
    node_s: dict[int, float]
    wait_s: float | None

    @property
    def total_s(self) -> float:
        """Seconds on the air of all nodes together."""
        return sum(self.node_s.values())

    def duty(self, nodes: Sequence[int], seconds: float) -> tuple[float, float]:
        """The part of a run of ``seconds`` that a node is on the air: mean over ``nodes``, and the largest."""
        parts = [self.node_s.get(node, 0.0) / seconds for node in nodes]
        return sum(parts) / len(parts), max(parts)


def airtime(records: Iterable[Record]) -> Airtime:
    """The time on the air of a trace.

    Examples
    --------
    >>> found = airtime([Aired(5 * SECOND_NS, 0, SECOND_NS, 20, 0), Aired(9 * SECOND_NS, 0, SECOND_NS, 20, 0)])
    >>> found.total_s, found.duty([0, 1], 10.0)
    (2.0, (0.1, 0.2))
    """
    node_ns: defaultdict[int, int] = defaultdict(int)
    frames = waited_ns = 0
    for record in records:
        if isinstance(record, Aired):
            frames += 1
            node_ns[record.node] += record.airtime_ns
            waited_ns += record.waited_ns
    node_s = {node: airtime_ns / SECOND_NS for node, airtime_ns in sorted(node_ns.items())}
    return Airtime(frames, node_s, waited_ns / frames / SECOND_NS if frames else None)
