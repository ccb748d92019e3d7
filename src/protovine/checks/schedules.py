"""The contract of schedules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from protovine.checks.promises import Guarded, check_state_is_a_copy, kept, promise, saved
from protovine.gossip import EVERYONE, Schedule
from protovine.snapshot import pack

_PEERS = (1, 2, 4, 7, 9)
_SECOND_NS = 10**9
# Opportunities that are tried, and an hour by which the clock is set.
_STEPS, _SHIFT_NS = 200, 3600 * _SECOND_NS

Make = Callable[[int, float, np.random.Generator], Schedule]


def check_schedule(make: Make, *, to_all: bool = False) -> None:
    """A schedule chooses different peers among the candidates, and the same ones with the same random generator, calls
    and state.

    Parameters
    ----------
    make : callable (fanout, share_probability, rng) -> Schedule
        Builds a schedule that draws its random numbers from ``rng``.
    to_all : bool
        Whether it addresses `EVERYONE` at once, as `Broadcast`.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which, and what was found.

    Examples
    --------
    >>> from protovine.gossip import Coin
    >>> check_schedule(Coin)
    >>> class Fixed(Coin):
    ...     def choose(self, candidates, total, now_ns):
    ...         return [99] if candidates and self.active else []
    >>> check_schedule(Fixed)
    Traceback (most recent call last):
    AssertionError: choose() returns different peers of [...], got [99]
    """
    peers = [EVERYONE] if to_all else list(_PEERS)

    def made(fanout: int = 2, share_probability: float = 0.4, seed: int = 0) -> Guarded:
        rng = np.random.default_rng(seed)
        text = f"make({fanout}, {share_probability}, rng) builds a schedule"
        return Guarded(kept(text, make, fanout, share_probability, rng), "a schedule")

    schedule, twin = made(), made()
    _check_settings(schedule, 2, 0.4)
    choices = _play(schedule, peers)
    promise(choices == _play(twin, peers), "the same generator and calls give the same choices")
    often = _play(made(share_probability=1.0), peers)
    promise(any(often), f"with a share probability of 1 some of {_STEPS} opportunities are used")
    _check_silence(made(share_probability=0.0), "made with a share probability of 0", peers)

    # State is what a restart needs: schedules that go on from it choose alike, whatever generators they were made with.
    state, restored = saved(schedule), (made(seed=1), made(seed=2))
    for each in restored:
        each.restore(state)
        promise(pack(saved(each)) == pack(state), "a restored schedule has the state that it was restored from")
    mine, theirs = (_play(each, peers, since=_STEPS) for each in restored)
    promise(mine == theirs, "schedules that were restored from one state choose alike")
    check_state_is_a_copy(schedule, lambda: _play(schedule, peers, since=_STEPS))

    moved = _play(made(), peers, set_at=_STEPS // 2)
    promise(moved == choices, "shift() moves the times that a schedule keeps: choices stay where the clock is set")
    _check_retuning(made(), peers)


def _check_settings(schedule: Guarded, fanout: int, share_probability: float) -> None:
    promise(schedule.fanout == fanout, f"'fanout' is the fanout, {fanout}", schedule.fanout)
    text = f"'share_probability' is the share probability, {share_probability}"
    promise(schedule.share_probability == share_probability, text, schedule.share_probability)
    promise(schedule.active is (share_probability > 0), f"'active' is {share_probability > 0}", schedule.active)
    for name in ("needs_errors", "needs_acknowledgements"):
        value = getattr(schedule, name)
        promise(isinstance(value, bool), f"'{name}' is True or False", value)


def _play(schedule: Guarded, peers: list[int], since: int = 0, set_at: int = -1) -> list[list[int]]:
    """What it chooses at opportunities that come at random times, of candidates that change; peers acknowledge some.

    Before the step ``set_at`` the clock is set by an hour.
    """
    draw = np.random.default_rng(since)
    choices, now_ns = [], since * _SECOND_NS
    for step in range(_STEPS):
        if step == set_at:
            schedule.shift(_SHIFT_NS)
            now_ns += _SHIFT_NS
        now_ns += int(draw.integers(0, _SECOND_NS))
        schedule.note(float(draw.random()))
        there = [peer for peer in peers if draw.random() < 0.7] if step % 3 else peers
        chosen = _chosen(schedule, there, len(peers), now_ns)
        choices.append(chosen)
        for peer in chosen:
            if peer != EVERYONE and draw.random() < 0.7:
                schedule.acknowledged(peer, now_ns, now_ns + _SECOND_NS // 100)
    return choices


def _chosen(schedule: Guarded, candidates: list[int], total: int, now_ns: int) -> list[int]:
    given = list(candidates)
    chosen = schedule.choose(given, total, now_ns)
    promise(given == candidates, f"choose() does not change the candidates, {candidates}", given)
    whole = isinstance(chosen, list) and all(type(peer) is int for peer in chosen)
    promise(whole, "choose() returns a list of ints", chosen)
    right = set(chosen) <= set(candidates) and len(set(chosen)) == len(chosen)
    promise(right, f"choose() returns different peers of {candidates}", chosen)
    return list(chosen)


def _check_silence(schedule: Guarded, what: str, peers: list[int]) -> None:
    promise(schedule.active is False, f"a schedule {what} is not active", schedule.active)
    chosen = [each for each in _play(schedule, peers) if each]
    promise(not chosen, f"a schedule {what} chooses nobody", chosen)


def _check_retuning(schedule: Guarded, peers: list[int]) -> None:
    for fanout, share_probability in ((None, None), (3, None), (None, 1.0), (1, 0.5)):
        wanted = (
            fanout or schedule.fanout,
            schedule.share_probability if share_probability is None else share_probability,
        )
        schedule.retune(fanout, share_probability)
        _check_settings(schedule, *wanted)
        _play(schedule, peers)
    schedule.retune(None, 0.0)
    _check_silence(schedule, "retuned to a share probability of 0", peers)
