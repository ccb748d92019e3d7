"""When to share and with whom: one object per node, asked at each opportunity; it may toss coins but does no I/O.

An opportunity is the moment after an own sample (whole sets) or a full batch (log). All schedules aim at the same
traffic: on average s·T messages an opportunity, so p = T s/(n - 1) to each of the n - 1 peers. They differ in how
evenly, and to whom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from protovine.errors import ConfigError, check_range, suggest

# The mean gap between opportunities forgets with this weight, once it has seen that many.
_GAP_WEIGHT = 0.01
# A message that was not acknowledged for so many round trips is taken for lost; the next one for twice as many.
_ROUND_TRIPS, _DOUBLINGS_MAX = 4, 10
# However little there is to say, nobody waits for more than so many mean intervals between two messages to a peer.
_WAIT_MAX = 4.0
# How fast the threshold on drift² x age follows the traffic that is allowed, per opportunity.
_STEP = 0.05


class Schedule(Protocol):
    """Chooses peers at opportunities.

    ``active`` is false if nothing is ever shared. ``needs_news`` and ``needs_acknowledgements`` say what it wants to
    be told besides.
    """

    active: bool
    needs_errors: bool
    needs_acknowledgements: bool

    def choose(self, candidates: Sequence[int], total: int, now_ns: int) -> list[int]:
        """The peers to offer something to now, of ``candidates`` (ascending) among ``total`` peers; often none.

        Those chosen count as sent to.
        """
        ...

    def note(self, news: float) -> None:
        """An own sample was learnt, of which the model got the share ``news`` in [0, 1] wrong beforehand."""
        ...

    def acknowledged(self, peer: int, made_ns: int, now_ns: int) -> None:
        """A peer says that it has what this node sent it at ``made_ns``."""
        ...

    def state(self) -> dict[str, Any]:
        """What must be kept to go on after a restart."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        ...


class Coin:
    """The paper's: with probability T, s peers drawn uniformly without replacement.

    Parameters
    ----------
    peers_per_share : int >= 1
        s. With fewer candidates all of them are chosen.
    probability : float in [0, 1]
        T.
    rng : numpy Generator
        Tosses and draws.

    Raises
    ------
    ConfigError
        s or T is out of range.

    Examples
    --------
    >>> coin = Coin(2, 1.0, np.random.default_rng(0))
    >>> coin.choose([1, 2, 3, 4], total=4, now_ns=0)
    [2, 4]
    """

    needs_errors = False
    needs_acknowledgements = False

    def __init__(self, fanout: int, probability: float, rng: np.random.Generator) -> None:
        check_range("s", fanout, 1)
        check_range("T", probability, 0, 1)
        self.fanout, self.probability = fanout, probability
        self.active = probability > 0
        self._rng = rng

    def choose(self, candidates: Sequence[int], total: int, now_ns: int) -> list[int]:
        """Toss, then draw."""
        if not self.active or not candidates or self._rng.random() >= self.probability:
            return []
        count = min(self.fanout, len(candidates))
        chosen = self._rng.choice(len(candidates), size=count, replace=False)
        return [candidates[i] for i in sorted(chosen.tolist())]

    def _part(self, total: int) -> float:
        """p: the part of all opportunities at which one of ``total`` peers is sent to."""
        return self.probability * min(self.fanout, total) / total

    def note(self, news: float) -> None:
        """Nothing to do."""

    def acknowledged(self, peer: int, made_ns: int, now_ns: int) -> None:
        """Nothing to do."""

    def state(self) -> dict[str, Any]:
        """The random generator's state."""
        return {"rng": self._rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the kept generator."""
        self._rng.bit_generator.state = state["rng"]


class RoundRobin(Coin):
    """The same coin, but the peers take turns: those that waited longest are next.

    Examples
    --------
    >>> turns = RoundRobin(2, 1.0, np.random.default_rng(0))
    >>> [turns.choose([1, 2, 3], total=3, now_ns=0) for _ in range(3)]
    [[1, 2], [3, 1], [2, 3]]
    """

    def __init__(self, fanout: int, probability: float, rng: np.random.Generator) -> None:
        super().__init__(fanout, probability, rng)
        self._turn = 0
        self._served: dict[int, int] = {}

    def choose(self, candidates: Sequence[int], total: int, now_ns: int) -> list[int]:
        """Toss, then those that were not served for longest."""
        if not self.active or not candidates or not self._is_used():
            return []
        chosen = list(candidates)
        if len(chosen) > self.fanout:
            chosen = sorted(chosen, key=lambda peer: self._order(peer, now_ns))[: self.fanout]
        for peer in chosen:
            self._serve(peer, now_ns)
        return chosen

    def _is_used(self) -> bool:
        return self.probability == 1 or self._rng.random() < self.probability

    def _order(self, peer: int, now_ns: int) -> tuple[int, int]:
        return self._served.get(peer, 0), peer

    def _serve(self, peer: int, now_ns: int) -> None:
        self._turn += 1
        self._served[peer] = self._turn


class Counter(RoundRobin):
    """No coin: every 1/T-th opportunity on average, as evenly as whole numbers allow; the peers take turns.

    At equal traffic it halves the age of the coin (`docs/age.md`). Nodes begin at random places of the count.

    Examples
    --------
    >>> every_third = Counter(1, 1 / 3, np.random.default_rng(0))
    >>> [bool(every_third.choose([1, 2], total=2, now_ns=0)) for _ in range(6)]
    [False, True, False, False, True, False]
    """

    def __init__(self, fanout: int, probability: float, rng: np.random.Generator) -> None:
        super().__init__(fanout, probability, rng)
        self._credit = float(rng.random())

    def _is_used(self) -> bool:
        self._credit += self.probability
        used = self._credit >= 1
        self._credit -= used
        return used

    def state(self) -> dict[str, Any]:
        """Credit and generator; who was served is forgotten."""
        return {**super().state(), "credit": self._credit}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        super().restore(state)
        self._credit = float(state["credit"])


class OldestFirst(Counter):
    """As `Counter`, but those peers are next whose view of this node is oldest, as far as acknowledgements tell.

    What was sent counts as received until its acknowledgement is overdue: so a peer that lost a message is served next,
    and not when its turn comes. One that never answers waits longer each time, at last for its turn.
    """

    needs_acknowledgements = True

    def __init__(self, fanout: int, probability: float, rng: np.random.Generator) -> None:
        super().__init__(fanout, probability, rng)
        self._round_trip_ns: float | None = None
        self._has_ns: dict[int, int] = {}
        self._sent: dict[int, tuple[int, int]] = {}  # When last, and how often since the last acknowledgement.

    def _order(self, peer: int, now_ns: int) -> tuple[int, int]:
        has_ns, (sent_ns, tries) = self._has_ns.get(peer, -1), self._sent.get(peer, (-1, 0))
        if tries:
            known = self._round_trip_ns is not None
            wait_ns = (self._round_trip_ns or 0.0) * _ROUND_TRIPS * 2 ** min(tries - 1, _DOUBLINGS_MAX)
            if not known or now_ns - sent_ns <= wait_ns:
                return sent_ns, peer
        return has_ns, peer

    def _serve(self, peer: int, now_ns: int) -> None:
        self._sent[peer] = now_ns, self._sent.get(peer, (0, 0))[1] + 1

    def acknowledged(self, peer: int, made_ns: int, now_ns: int) -> None:
        """A view moved."""
        trip_ns = now_ns - made_ns
        old_ns = trip_ns if self._round_trip_ns is None else self._round_trip_ns
        self._round_trip_ns = old_ns + (trip_ns - old_ns) / 8
        self._has_ns[peer] = max(self._has_ns.get(peer, -1), made_ns)
        sent_ns, tries = self._sent.get(peer, (made_ns, 0))
        self._sent[peer] = sent_ns, tries if made_ns < sent_ns else 0


class AgeThreshold(Coin):
    """Each peer at the first opportunity at which what was last sent to it is older than a threshold.

    The threshold is N mean gaps between opportunities, N = (n - 1)/(s T), less the mean time from any moment to the
    next one, so that traffic is the coin's: N - 1 gaps if they are exponential. No direct push at equal traffic has an
    age that is lower by more than 1/N² of it (`docs/age.md`).

    Examples
    --------
    >>> threshold = AgeThreshold(1, 0.25, np.random.default_rng(0))
    >>> [bool(threshold.choose([1], total=1, now_ns=t)) for t in range(0, 100, 10)]
    [True, False, False, False, True, False, False, False, True, False]
    """

    def __init__(self, fanout: int, probability: float, rng: np.random.Generator) -> None:
        super().__init__(fanout, probability, rng)
        self._gap = _MeanGap()
        self._sent_ns: dict[int, int] = {}

    def choose(self, candidates: Sequence[int], total: int, now_ns: int) -> list[int]:
        """Those whose time has come."""
        self._gap.tick(now_ns)
        if not self.active:
            return []
        wait_ns = self._gap.mean_ns / self._part(total) - self._gap.residual_ns
        due = [peer for peer in candidates if peer not in self._sent_ns or now_ns - self._sent_ns[peer] >= wait_ns]
        self._sent_ns |= dict.fromkeys(due, now_ns)
        return due


class DriftAge(Coin):
    """Each peer for which drift² x age exceeds a threshold that keeps traffic at the coin's.

    Drift is the news since what was last sent to it: the sum over own samples of what the model got wrong. Age is the
    time since, in mean gaps between opportunities. So a node says more while its stream surprises it, and less
    in between.
    """

    needs_errors = True

    def __init__(self, fanout: int, probability: float, rng: np.random.Generator) -> None:
        super().__init__(fanout, probability, rng)
        self._gap = _MeanGap()
        self._news = 0.0
        self._sent: dict[int, tuple[int, float]] = {}
        self._log_threshold: float | None = None

    def choose(self, candidates: Sequence[int], total: int, now_ns: int) -> list[int]:
        """Those that have missed enough for long enough."""
        self._gap.tick(now_ns)
        if not self.active or not candidates:
            return []
        part = self._part(total)
        if part == 1:
            return list(candidates)
        if self._log_threshold is None:
            # As if the model was wrong in a third of the samples.
            self._log_threshold = math.log(1 / (9 * part**3))
        gap_ns, threshold = max(self._gap.mean_ns, 1.0), math.exp(self._log_threshold)
        due = []
        for peer in candidates:
            sent_ns, news = self._sent.get(peer, (0, 0.0))
            drift, age = self._news - news, (now_ns - sent_ns) / gap_ns
            if peer not in self._sent or drift**2 * age > threshold or age > _WAIT_MAX / part:
                due.append(peer)
                self._sent[peer] = (now_ns, self._news)
        self._log_threshold += _STEP * (len(due) / total - part)
        return due

    def note(self, news: float) -> None:
        """Add to the drift."""
        self._news += news

    def state(self) -> dict[str, Any]:
        """Threshold and generator; who was sent what is forgotten."""
        return {**super().state(), "log_threshold": self._log_threshold}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        super().restore(state)
        kept = state["log_threshold"]
        self._log_threshold = None if kept is None else float(kept)


class _MeanGap:
    """The mean time between opportunities, and from any moment to the next one; both forget slowly."""

    def __init__(self) -> None:
        self.mean_ns = 0.0
        self._squared = 0.0
        self._last_ns: int | None = None
        self._seen = 0

    @property
    def residual_ns(self) -> float:
        """E[G²]/(2E[G]): the whole mean gap if gaps are exponential, half of it if they are equal."""
        return self._squared / (2 * self.mean_ns) if self.mean_ns else 0.0

    def tick(self, now_ns: int) -> None:
        if self._last_ns is not None:
            gap_ns = float(now_ns - self._last_ns)
            self._seen += 1
            weight = max(1 / self._seen, _GAP_WEIGHT)
            self.mean_ns += weight * (gap_ns - self.mean_ns)
            self._squared += weight * (gap_ns**2 - self._squared)
        self._last_ns = now_ns


SCHEDULES: dict[str, Callable[[int, float, np.random.Generator], Schedule]] = {
    "coin": Coin,
    "round-robin": RoundRobin,
    "counter": Counter,
    "age-threshold": AgeThreshold,
    "oldest": OldestFirst,
    "drift-age": DriftAge,
}


def make_schedule(name: str, fanout: int, probability: float, rng: np.random.Generator) -> Schedule:
    """The schedule called ``name``.

    Raises
    ------
    ConfigError
        There is no such schedule, or s or T is out of range.

    Examples
    --------
    >>> make_schedule("counter", 1, 1.0, np.random.default_rng(0)).choose([1, 2], total=2, now_ns=0)
    [1]
    """
    if name not in SCHEDULES:
        raise ConfigError(f"unknown schedule '{name}'{suggest(name, SCHEDULES)}")
    return SCHEDULES[name](fanout, probability, rng)
