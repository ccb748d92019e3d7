"""Bytes per second over the last seconds: per node, per kind of message, per link."""

from __future__ import annotations

from collections import Counter, deque

from protovine.gossip import EVERYONE
from protovine.records import SECOND_NS

# The window moves in steps.
STEP_NS, STEPS = SECOND_NS // 2, 10
WINDOW_S = STEPS * STEP_NS / SECOND_NS


class Rates:
    """Traffic of ``nodes`` nodes over a window of five seconds, or since the start while that is shorter.

    Examples
    --------
    >>> rates = Rates(2)
    >>> rates.add(0, 1, "log", 100)
    >>> rates.at(2 * SECOND_NS); rates.by_node(), rates.by_kind(), rates.by_link()
    ([50.0, 0.0], {'log': 25.0}, {(0, 1): 50.0})
    >>> rates.at(20 * SECOND_NS); rates.by_node(), rates.by_link()
    ([0.0, 0.0], {})
    """

    def __init__(self, nodes: int) -> None:
        self._n = nodes
        self._now_ns = 0
        self._step = 0
        self._newest: Counter[tuple[int, int, str]] = Counter()
        self._steps: deque[tuple[int, Counter[tuple[int, int, str]]]] = deque([(0, self._newest)])

    def at(self, now_ns: int) -> None:
        """Time passes until ``now_ns``."""
        self._now_ns = now_ns
        step = now_ns // STEP_NS
        if step == self._step:
            return
        self._step, self._newest = step, Counter()
        self._steps.append((step, self._newest))
        while self._steps[0][0] <= step - STEPS:
            self._steps.popleft()

    def add(self, node: int, peer: int, kind: str, size: int) -> None:
        """A message of ``size`` bytes was sent now."""
        self._newest[node, peer, kind] += size

    @property
    def _seconds(self) -> float:
        start_ns = max(0, (self._step - STEPS + 1) * STEP_NS)
        return max(self._now_ns - start_ns, STEP_NS) / SECOND_NS

    def by_node(self) -> list[float]:
        """Bytes per second that each node sends."""
        found = [0.0] * self._n
        for _, counts in self._steps:
            for (node, _, _), size in counts.items():
                found[node] += size
        return [size / self._seconds for size in found]

    def by_kind(self) -> dict[str, float]:
        """Bytes per second and node, by kind of message."""
        found: Counter[str] = Counter()
        for _, counts in self._steps:
            for (_, _, kind), size in counts.items():
                found[kind] += size
        return {kind: size / self._seconds / self._n for kind, size in sorted(found.items())}

    def by_link(self) -> dict[tuple[int, int], float]:
        """Bytes per second, by (sender, recipient); without messages to all in range."""
        found: Counter[tuple[int, int]] = Counter()
        for _, counts in self._steps:
            for (node, peer, _), size in counts.items():
                if peer != EVERYONE:
                    found[node, peer] += size
        return {link: size / self._seconds for link, size in found.items()}
