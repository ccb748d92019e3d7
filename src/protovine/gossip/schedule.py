"""When to share and with whom: one schedule per node, asked at each opportunity. Schedules may draw random numbers.

An opportunity is the moment after a local sample (whole sets) or a full batch (log). All schedules aim at the same
traffic: s·T messages per opportunity on average, where s is the fanout and T the share probability. Each of the n - 1
peers then gets a message with probability p = T s/(n - 1). Schedules differ in how evenly they spread the messages,
and in which peers they prefer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from protovine.errors import ConfigError, check_range, suggest
from protovine.gossip.peers import EVERYONE

# Weight of the newest gap in the mean gap between opportunities, once 1/weight gaps were seen: a memory of about 100.
_GAP_WEIGHT = 0.01
# A message counts as lost if it is not acknowledged within this many round trips; the time doubles with each retry.
_ROUND_TRIPS, _DOUBLINGS_MAX = 4, 10
# No peer waits longer than this many mean intervals for the next message, however small the drift.
_WAIT_MAX = 4.0
# How fast the threshold on drift² x age follows the allowed traffic, per opportunity.
_STEP = 0.05


class Schedule(Protocol):
    """Chooses peers at opportunities.

    ``active`` is false if nothing is ever shared. ``needs_errors`` asks for calls of `note`, and
    ``needs_acknowledgements`` for calls of `acknowledged`. `protovine.checks.check_schedule` tests all promises.
    """

    fanout: int
    share_probability: float
    active: bool
    needs_errors: bool
    needs_acknowledgements: bool

    def choose(self, candidates: Sequence[int], total: int, now_ns: int) -> list[int]:
        """The peers to send to now, of ``candidates`` (ascending) among ``total`` peers; often none.

        A list of different ints; anything else is a `LocalProtocolError`. The schedule assumes that each chosen peer
        gets its message.
        """
        ...

    def retune(self, fanout: int | None, share_probability: float | None) -> None:
        """From now on these hold; None keeps what there is."""
        ...

    def note(self, error: float) -> None:
        """A local sample was learnt. ``error`` in [0, 1] is 1 - p(y|x) by the model before it learnt the sample."""
        ...

    def acknowledged(self, peer: int, made_ns: int, now_ns: int) -> None:
        """A peer acknowledges the message that this node sent to it at ``made_ns``."""
        ...

    def shift(self, by_ns: int) -> None:
        """The clock was set: times that the schedule keeps move with it."""
        ...

    def state(self) -> dict[str, Any]:
        """What must be kept to go on after a restart."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        ...


class Coin:
    """The paper's schedule: with the share probability, draw ``fanout`` peers uniformly without replacement.

    Parameters
    ----------
    fanout : int >= 1
        Peers addressed per share (the paper's s). With fewer candidates all of them are chosen.
    share_probability : float in [0, 1]
        Probability that an opportunity is used (the paper's T).
    rng : numpy Generator
        Draws both.

    Raises
    ------
    ConfigError
        ``fanout`` or ``share_probability`` is out of range.

    Examples
    --------
    >>> coin = Coin(2, 1.0, np.random.default_rng(0))
    >>> coin.choose([1, 2, 3, 4], total=4, now_ns=0)
    [2, 4]
    """

    needs_errors = False
    needs_acknowledgements = False

    def __init__(self, fanout: int, share_probability: float, rng: np.random.Generator) -> None:
        self.retune(fanout, share_probability)
        self._rng = rng

    def retune(self, fanout: int | None, share_probability: float | None) -> None:
        """From now on these hold; None keeps what there is."""
        if fanout is not None:
            check_range("fanout", fanout, 1)
            self.fanout = fanout
        if share_probability is not None:
            check_range("share_probability", share_probability, 0, 1)
            self.share_probability, self.active = share_probability, share_probability > 0

    def choose(self, candidates: Sequence[int], total: int, now_ns: int) -> list[int]:
        """Draw whether to share, then with whom."""
        if not self.active or not candidates or self._rng.random() >= self.share_probability:
            return []
        count = min(self.fanout, len(candidates))
        chosen = self._rng.choice(len(candidates), size=count, replace=False)
        return [candidates[i] for i in sorted(chosen.tolist())]

    def _part(self, total: int) -> float:
        """p: probability that one of ``total`` peers is sent to at an opportunity."""
        return self.share_probability * min(self.fanout, total) / total

    def note(self, error: float) -> None:
        """Nothing to do."""

    def acknowledged(self, peer: int, made_ns: int, now_ns: int) -> None:
        """Nothing to do."""

    def shift(self, by_ns: int) -> None:
        """A coin keeps no times."""

    def state(self) -> dict[str, Any]:
        """The random generator's state."""
        return {"rng": self._rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the kept generator."""
        self._rng.bit_generator.state = state["rng"]


class RoundRobin(Coin):
    """The same random opportunities, but peers take turns: those that waited longest are next.

    Examples
    --------
    >>> turns = RoundRobin(2, 1.0, np.random.default_rng(0))
    >>> [turns.choose([1, 2, 3], total=3, now_ns=0) for _ in range(3)]
    [[1, 2], [3, 1], [2, 3]]
    """

    def __init__(self, fanout: int, share_probability: float, rng: np.random.Generator) -> None:
        super().__init__(fanout, share_probability, rng)
        self._turn = 0
        self._served: dict[int, int] = {}

    def choose(self, candidates: Sequence[int], total: int, now_ns: int) -> list[int]:
        """Draw whether to share; then take the peers that were served longest ago."""
        if not self.active or not candidates or not self._is_used():
            return []
        chosen = list(candidates)
        if len(chosen) > self.fanout:
            chosen = sorted(chosen, key=lambda peer: self._order(peer, now_ns))[: self.fanout]
        for peer in chosen:
            self._serve(peer, now_ns)
        return chosen

    def _is_used(self) -> bool:
        return self.share_probability == 1 or self._rng.random() < self.share_probability

    def _order(self, peer: int, now_ns: int) -> tuple[int, int]:
        return self._served.get(peer, 0), peer

    def _serve(self, peer: int, now_ns: int) -> None:
        self._turn += 1
        self._served[peer] = self._turn


class Counter(RoundRobin):
    """Use every 1/T-th opportunity, as evenly as whole numbers allow; peers take turns.

    At equal traffic its mean age is half of `Coin`'s (`docs/explanation/age-theory.md`). Nodes begin at random places
    of the count.

    Examples
    --------
    >>> every_third = Counter(1, 1 / 3, np.random.default_rng(0))
    >>> [bool(every_third.choose([1, 2], total=2, now_ns=0)) for _ in range(6)]
    [False, True, False, False, True, False]
    """

    def __init__(self, fanout: int, share_probability: float, rng: np.random.Generator) -> None:
        super().__init__(fanout, share_probability, rng)
        self._credit = float(rng.random())

    def _is_used(self) -> bool:
        self._credit += self.share_probability
        used = self._credit >= 1
        self._credit -= used
        return used

    def state(self) -> dict[str, Any]:
        """Credit and generator; the turns of the peers are forgotten."""
        return {**super().state(), "credit": self._credit}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        super().restore(state)
        self._credit = float(state["credit"])


class Broadcast(Counter):
    """One message to all in range at every 1/T-th opportunity; the fanout does not matter.

    Examples
    --------
    >>> broadcast = Broadcast(4, 1.0, np.random.default_rng(0))
    >>> broadcast.choose([1, 2, 3], total=3, now_ns=0), broadcast.choose([], total=3, now_ns=1)
    ([-1], [])
    """

    def choose(self, candidates: Sequence[int], total: int, now_ns: int) -> list[int]:
        """`EVERYONE`, if the opportunity is used and somebody lacks something."""
        return [EVERYONE] if self.active and candidates and self._is_used() else []


class OldestFirst(Counter):
    """As `Counter`, but the peers with the oldest acknowledged message are next.

    A sent message counts as received until its acknowledgement is overdue. A peer that lost a message is therefore
    served next, and not only when its turn comes. A peer that never answers waits longer each time, at most for its
    turn.
    """

    needs_acknowledgements = True

    def __init__(self, fanout: int, share_probability: float, rng: np.random.Generator) -> None:
        super().__init__(fanout, share_probability, rng)
        self._round_trip_ns: float | None = None
        self._has_ns: dict[int, int] = {}
        self._sent: dict[int, tuple[int, int]] = {}  # Time of the last message, messages since an acknowledgement.

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
        """Update the round-trip time, and the time of the newest message that the peer has."""
        trip_ns = now_ns - made_ns
        old_ns = trip_ns if self._round_trip_ns is None else self._round_trip_ns
        self._round_trip_ns = old_ns + (trip_ns - old_ns) / 8
        self._has_ns[peer] = max(self._has_ns.get(peer, -1), made_ns)
        sent_ns, tries = self._sent.get(peer, (made_ns, 0))
        self._sent[peer] = sent_ns, tries if made_ns < sent_ns else 0

    def shift(self, by_ns: int) -> None:
        """Move the times of messages and acknowledgements."""
        self._has_ns = {peer: at_ns + by_ns for peer, at_ns in self._has_ns.items()}
        self._sent = {peer: (at_ns + by_ns, tries) for peer, (at_ns, tries) in self._sent.items()}


class AgeThreshold(Coin):
    """Serve each peer at the first opportunity at which the last message to it is older than a threshold.

    The threshold is N mean gaps between opportunities, N = (n - 1)/(s T), minus the mean time from any moment to the
    next opportunity. Traffic then equals `Coin`'s. With exponential gaps the threshold is N - 1 gaps. No direct push
    at equal traffic lowers the mean age by more than a fraction 1/N² (`docs/explanation/age-theory.md`).

    Examples
    --------
    >>> threshold = AgeThreshold(1, 0.25, np.random.default_rng(0))
    >>> [bool(threshold.choose([1], total=1, now_ns=t)) for t in range(0, 100, 10)]
    [True, False, False, False, True, False, False, False, True, False]
    """

    def __init__(self, fanout: int, share_probability: float, rng: np.random.Generator) -> None:
        super().__init__(fanout, share_probability, rng)
        self._gap = _MeanGap()
        self._sent_ns: dict[int, int] = {}

    def choose(self, candidates: Sequence[int], total: int, now_ns: int) -> list[int]:
        """The peers whose last message is older than the threshold."""
        self._gap.tick(now_ns)
        if not self.active:
            return []
        wait_ns = self._gap.mean_ns / self._part(total) - self._gap.residual_ns
        due = [peer for peer in candidates if peer not in self._sent_ns or now_ns - self._sent_ns[peer] >= wait_ns]
        self._sent_ns |= dict.fromkeys(due, now_ns)
        return due

    def shift(self, by_ns: int) -> None:
        """Move the times of the last messages."""
        self._gap.shift(by_ns)
        self._sent_ns = {peer: at_ns + by_ns for peer, at_ns in self._sent_ns.items()}


class DriftAge(Coin):
    """Serve each peer for which drift² x age exceeds a threshold; the threshold keeps traffic at `Coin`'s.

    Drift is the model's summed error 1 - p(y|x) on the local samples since the last message to the peer. Age is the
    time since that message, in mean gaps between opportunities. A node therefore sends more while its stream changes,
    and less while its model predicts well.
    """

    needs_errors = True

    def __init__(self, fanout: int, share_probability: float, rng: np.random.Generator) -> None:
        super().__init__(fanout, share_probability, rng)
        self._gap = _MeanGap()
        self._errors = 0.0
        self._sent: dict[int, tuple[int, float]] = {}
        self._log_threshold: float | None = None

    def choose(self, candidates: Sequence[int], total: int, now_ns: int) -> list[int]:
        """The peers whose drift² x age exceeds the threshold."""
        self._gap.tick(now_ns)
        if not self.active or not candidates:
            return []
        part = self._part(total)
        if part == 1:
            return list(candidates)
        if self._log_threshold is None:
            # The first threshold assumes a mean error of 1/3.
            self._log_threshold = math.log(1 / (9 * part**3))
        gap_ns, threshold = max(self._gap.mean_ns, 1.0), math.exp(self._log_threshold)
        due = []
        for peer in candidates:
            sent_ns, errors = self._sent.get(peer, (0, 0.0))
            drift, age = self._errors - errors, (now_ns - sent_ns) / gap_ns
            if peer not in self._sent or drift**2 * age > threshold or age > _WAIT_MAX / part:
                due.append(peer)
                self._sent[peer] = (now_ns, self._errors)
        self._log_threshold += _STEP * (len(due) / total - part)
        return due

    def note(self, error: float) -> None:
        """Add to the drift."""
        self._errors += error

    def shift(self, by_ns: int) -> None:
        """Move the times of the last messages."""
        self._gap.shift(by_ns)
        self._sent = {peer: (at_ns + by_ns, errors) for peer, (at_ns, errors) in self._sent.items()}

    def state(self) -> dict[str, Any]:
        """Threshold and generator; the last messages to the peers are forgotten."""
        return {**super().state(), "log_threshold": self._log_threshold}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        super().restore(state)
        kept = state["log_threshold"]
        self._log_threshold = None if kept is None else float(kept)


class _MeanGap:
    """Mean time between opportunities, and from any moment to the next one, over about the last 100 gaps."""

    def __init__(self) -> None:
        self.mean_ns = 0.0
        self._squared = 0.0
        self._last_ns: int | None = None
        self._seen = 0

    @property
    def residual_ns(self) -> float:
        """E[G²]/(2E[G]): the whole mean gap if gaps are exponential, half of it if they are equal."""
        return self._squared / (2 * self.mean_ns) if self.mean_ns else 0.0

    def shift(self, by_ns: int) -> None:
        """Move the time of the last opportunity."""
        if self._last_ns is not None:
            self._last_ns += by_ns

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
    "broadcast": Broadcast,
}


def make_schedule(name: str, fanout: int, share_probability: float, rng: np.random.Generator) -> Schedule:
    """The schedule called ``name``.

    Raises
    ------
    ConfigError
        There is no such schedule, or ``fanout`` or ``share_probability`` is out of range.

    Examples
    --------
    >>> make_schedule("counter", 1, 1.0, np.random.default_rng(0)).choose([1, 2], total=2, now_ns=0)
    [1]
    """
    if name not in SCHEDULES:
        raise ConfigError(f"unknown schedule '{name}'{suggest(name, SCHEDULES)}")
    return SCHEDULES[name](fanout, share_probability, rng)
