"""Ages of information of every pair, kept up to date record by record; the same numbers as `protovine.age`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from protovine.records import SECOND_NS


@dataclass(slots=True)
class _Sawtooth:
    """The age of one pair: its integral (doubled) until ``at``, when a message made at ``made`` arrived."""

    area: int = 0
    at: int = 0
    made: int = 0
    newest: int = 0
    waiting: deque[tuple[int, int]] = field(default_factory=deque)

    def until(self, end: int) -> int:
        """The doubled integral until ``end``, after taking in the messages that came until then."""
        while self.waiting and self.waiting[0][0] <= end:
            at, made = self.waiting.popleft()
            self.area += (at - self.at) * (at + self.at - 2 * self.made)
            self.at, self.made = at, made
        return self.area + (end - self.at) * (end + self.at - 2 * self.made)


class PairAges:
    """The ages of all pairs of neighbours, as `protovine.age.measure_age` defines them.

    Each is 0 at the start and is measured until the last local sample of its origin.

    Examples
    --------
    >>> ages = PairAges(2)
    >>> ages.received(0, 1, at_ns=2_000_000_000, made_ns=1_000_000_000)
    >>> ages.sampled(1, 3_000_000_000)
    >>> ages.pairs_s(3_000_000_000, [[1], []]), round(ages.mean_s([0, 1], [[1], []]), 3)
    ({(0, 1): 2.0}, 1.167)
    """

    def __init__(self, nodes: int) -> None:
        self._pairs: dict[tuple[int, int], _Sawtooth] = {}
        self._last = [0] * nodes

    def sampled(self, node: int, at_ns: int) -> None:
        """A local sample reached a node."""
        self._last[node] = at_ns

    def received(self, node: int, origin: int, at_ns: int, made_ns: int) -> None:
        """A node accepted a message that ``origin`` made at ``made_ns``."""
        pair = self._pairs.get((node, origin))
        if pair is None:
            pair = self._pairs[node, origin] = _Sawtooth()
        if made_ns > pair.newest:
            pair.newest = made_ns
            pair.waiting.append((at_ns, made_ns))
            if at_ns <= self._last[origin]:
                pair.until(self._last[origin])

    def pairs_s(self, now_ns: int, links: Sequence[Sequence[int]]) -> dict[tuple[int, int], float]:
        """The ages now, in seconds, by (receiver, origin)."""
        pairs = self._pairs
        return {
            (node, origin): (now_ns - (pair.newest if (pair := pairs.get((node, origin))) else 0)) / SECOND_NS
            for node, origins in enumerate(links)
            for origin in origins
        }

    def now_s(self, now_ns: int, honest: Sequence[int], links: Sequence[Sequence[int]]) -> float | None:
        """The mean age now over pairs of honest nodes; None without any, or if none has heard of another."""
        inside = set(honest)
        made = count = 0
        for node in honest:
            for origin in links[node]:
                if origin in inside:
                    count += 1
                    pair = self._pairs.get((node, origin))
                    made += pair.newest if pair else 0
        return (now_ns - made / count) / SECOND_NS if made else None

    def mean_s(self, honest: Sequence[int], links: Sequence[Sequence[int]]) -> float | None:
        """The mean over pairs of honest nodes of the age over time; None if no message was accepted yet."""
        inside = set(honest)
        means, heard = [], False
        for node in honest:
            for origin in links[node]:
                end = self._last[origin]
                if origin not in inside or not end:
                    continue
                pair = self._pairs.get((node, origin))
                heard = heard or pair is not None
                means.append((pair.until(end) if pair else end * end) / (2 * end * SECOND_NS))
        return sum(means) / len(means) if heard else None
