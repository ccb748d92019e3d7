"""Links that delay, lose, duplicate and reorder messages: the arrival time of each copy, if it arrives."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from protovine import rng
from protovine.errors import ConfigError, check_range
from protovine.records import SECOND_NS
from protovine.sim.faults import Cut


@dataclass(frozen=True, slots=True)
class Link:
    """What every directed link does to messages.

    Parameters
    ----------
    delay_ns : int >= 0
        Propagation delay.
    jitter_ns : int >= 0
        Added to each delay, uniform in [0, jitter_ns]. It can reorder messages.
    bandwidth_bytes_per_s : float >= 0
        A message occupies the link for its bytes divided by this, one after another; 0 is no limit.
    message_bytes_max : int >= 0
        Larger messages are lost; 0 is no limit.
    loss, duplicate, reorder : float in [0, 1]
        Probability that a message is lost, that it arrives twice, and that it is held back by up to
        ``reorder_ns`` so that later ones overtake it.
    reorder_ns : int >= 0

    Raises
    ------
    ConfigError
        A value is out of range.
    """

    delay_ns: int = 1_000_000
    jitter_ns: int = 0
    bandwidth_bytes_per_s: float = 0.0
    message_bytes_max: int = 0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_ns: int = 100_000_000

    def __post_init__(self) -> None:
        for name in ("delay_ns", "jitter_ns", "bandwidth_bytes_per_s", "message_bytes_max", "reorder_ns"):
            check_range(name, getattr(self, name), 0)
        if 0 < self.bandwidth_bytes_per_s < 1:
            raise ConfigError(f"bandwidth_bytes_per_s must be 0 or at least 1, got {self.bandwidth_bytes_per_s}")
        for name in ("loss", "duplicate", "reorder"):
            check_range(name, getattr(self, name), 0, 1)


@dataclass(frozen=True, slots=True)
class Fate:
    """Arrival times of the copies of a message, or the reason why it was lost."""

    arrivals_ns: tuple[int, ...]
    lost: str = ""


class Network:
    """All directed links of a swarm, each with its own random stream.

    Parameters
    ----------
    link : Link
        What every directed link does to messages.
    cuts : list of Cut
    seed : int

    Examples
    --------
    >>> link = Link(delay_ns=1_000_000, bandwidth_bytes_per_s=1000)
    >>> network = Network(link, [Cut(0, 1, at_ns=50, until_ns=90)], seed=0)
    >>> network.send(0, 1, size=2, now_ns=0)
    Fate(arrivals_ns=(3000000,), lost='')
    >>> network.send(0, 1, size=2, now_ns=60), network.send(1, 0, size=2, now_ns=60)
    (Fate(arrivals_ns=(), lost='cut'), Fate(arrivals_ns=(3000060,), lost=''))
    """

    def __init__(self, link: Link, cuts: list[Cut], seed: int) -> None:
        self.link = link
        # A generator for each link takes more time and memory than all else here.
        self._certain = not (link.loss or link.duplicate or link.reorder or link.jitter_ns)
        self._seed = seed
        self._cuts: dict[tuple[int, int], list[Cut]] = defaultdict(list)
        for cut in cuts:
            self.cut(cut)
        self._free_at_ns: dict[tuple[int, int], int] = {}
        self._uplinks: dict[int, float] = {}
        self._uplink_free_ns: dict[int, int] = {}
        self._draws: dict[tuple[int, int], np.random.Generator] = {}

    def limit(self, node: int, bytes_per_s: float) -> None:
        """From now on all messages of a node leave one after another at this rate; 0 is no limit."""
        self._uplinks[node] = bytes_per_s

    def cut(self, cut: Cut) -> None:
        """Add a cut."""
        self._cuts[cut.source, cut.target].append(cut)

    def mend(self, cut: Cut, at_ns: int) -> None:
        """End a cut at ``at_ns``."""
        way = self._cuts[cut.source, cut.target]
        way[way.index(cut)] = replace(cut, until_ns=at_ns)

    def is_cut(self, source: int, target: int, now_ns: int) -> bool:
        """Whether a cut loses all messages from ``source`` to ``target`` now."""
        return any(cut.at_ns <= now_ns < cut.until_ns for cut in self._cuts.get((source, target), ()))

    def send(self, source: int, target: int, size: int, now_ns: int) -> Fate:
        """The fate of ``size`` bytes that ``source`` sends to ``target`` now."""
        link, way = self.link, (source, target)
        if self.is_cut(source, target, now_ns):
            return Fate((), "cut")
        if link.message_bytes_max and size > link.message_bytes_max:
            return Fate((), "too large")
        leaves_ns = now_ns
        uplink = self._uplinks.get(source, 0.0)
        if uplink:
            leaves_ns = max(now_ns, self._uplink_free_ns.get(source, 0)) + round(size / uplink * SECOND_NS)
            self._uplink_free_ns[source] = leaves_ns
        if link.bandwidth_bytes_per_s:
            occupied_ns = round(size / link.bandwidth_bytes_per_s * SECOND_NS)
            leaves_ns = self._free_at_ns[way] = max(leaves_ns, self._free_at_ns.get(way, 0)) + occupied_ns
        if self._certain:
            return Fate((leaves_ns + link.delay_ns,))
        # Draws happen whether they are needed or not, so that one probability does not shift another's numbers.
        draw = self._draws.get(way)
        if draw is None:
            draw = self._draws[way] = rng.stream(self._seed, "link", source, target)
        u = draw.random(6)
        if u[0] < link.loss:
            return Fate((), "loss")
        copies = 2 if u[1] < link.duplicate else 1
        held_ns = round(u[2 + 1] * link.reorder_ns) if u[2] < link.reorder else 0
        return Fate(
            tuple(
                leaves_ns + link.delay_ns + round(u[4 + copy] * link.jitter_ns) + (held_ns if copy == 0 else 0)
                for copy in range(copies)
            )
        )
