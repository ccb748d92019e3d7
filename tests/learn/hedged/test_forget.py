"""A sender is forgotten: what is left of its prototypes, of its slot and of everyone else's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.learn import Contribution, EnsembleCore, GaussianBayes, HedgedLVQCore, XuILVQCore
from protovine.learn.base import forget_sender
from protovine.learn.hedged.experts import PLAIN
from protovine.learn.hedged.state import RECEIVED_HELD, SIZE
from protovine.prototypes import PrototypeSet
from protovine.snapshot import pack, unpack

FOREVER = 2**63 - 1
EVE = 7


def item(x: np.ndarray, label: int, event: int) -> PrototypeSet:
    return PrototypeSet.of([x], [label], event_ns=[event])


def taught(senders: list[int], seed: int = 0, step: int = 1) -> HedgedLVQCore:
    """A learner of local samples (-1) and items of senders, one per time step; sender s has x far from the others."""
    rng = np.random.default_rng(seed)
    core = HedgedLVQCore(2, 2)
    for at, sender in enumerate(senders):
        label = at % 2
        x = rng.normal(size=2) + 2 * label
        if sender < 0:
            core.learn(x[np.newaxis], np.array([label]), np.array([at * step]))
        else:
            core.learn_received(item(x, label, at * step), np.array([sender]))
    return core


def check(core: HedgedLVQCore) -> None:
    """The counters fit the prototypes, and the state can be saved and restored."""
    s, n = core._state, len(core)
    assert int((s.local[:n, PLAIN] <= 0).sum()) == s.counts[RECEIVED_HELD]
    assert n == s.counts[SIZE] and not s.x[n:].any() and not s.received[n:].any()
    assert (s.slot[:n] < len(s.trust)).all()
    again = HedgedLVQCore(2, 2)
    again.restore(unpack(pack(core.state())))
    assert again.trust.keys() == core.trust.keys()
    core.learn(np.zeros((1, 2)), np.array([0]), np.array([10**6]))
    core.learn_received(item(np.ones(2), 1, 10**6), np.array([EVE]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-1, -1, 3, EVE, 9]), min_size=1, max_size=60), st.integers(0, 5))
def test_nothing_of_the_sender_is_left_and_nothing_of_others_is_lost(senders: list[int], seed: int) -> None:
    core = taught(senders, seed)
    before, origins = core.prototypes(), core.origins()
    local = core._state.local[: len(core), PLAIN].copy()
    trust = core.trust
    contribution = core.forget(EVE, 0, FOREVER)
    assert EVE not in core.trust and {*trust} - {EVE} == {*core.trust}
    assert all(core.trust[each] == trust[each] for each in core.trust)
    assert EVE not in core.origins()
    kept = ~((origins == EVE) & (local <= 0))
    assert (before.x[kept] == core.prototypes().x).all()
    assert (origins[kept & (origins != EVE)] == core.origins()[(origins != EVE)[kept]]).all()
    offered = senders.count(EVE)
    assert contribution == Contribution(int((~kept).sum()), int((kept & (origins == EVE)).sum()), 0, offered)
    check(core)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-1, 3, EVE]), min_size=1, max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_only_prototypes_of_the_time_go(senders: list[int], one: int, other: int) -> None:
    since, until = sorted((one, other))
    core = taught(senders)
    before, origins, local = core.prototypes(), core.origins(), core._state.local[: len(core), PLAIN].copy()
    contribution = core.forget(EVE, since, until)
    event = before.event_ns
    of_eve = (origins == EVE) & (local <= 0)
    kept = ~(of_eve & (event >= since) & (event <= until))
    assert (before.x[kept] == core.prototypes().x).all()
    assert contribution.mixed == int((of_eve & (event > until)).sum())
    check(core)


def test_an_unknown_sender_changes_nothing() -> None:
    core = taught([-1, 3] * 20)
    before = pack(core.state())
    assert core.forget(EVE, 0, FOREVER) == Contribution()
    assert before == pack(core.state())


def test_a_sender_that_is_forgotten_begins_as_one_that_has_shown_nothing() -> None:
    core = taught([-1, EVE] * 30)
    core.forget(EVE, 0, FOREVER)
    core.learn_received(item(np.ones(2), 1, 100), np.array([EVE]))
    new = taught([-1] * 30)
    new.learn_received(item(np.ones(2), 1, 100), np.array([EVE]))
    assert core.trust[EVE] == new.trust[EVE]


def test_learners_without_origins_say_so_and_models_of_peers_are_kept_apart() -> None:
    assert forget_sender(XuILVQCore(1, 2), EVE, 0, FOREVER) is None

    def make() -> EnsembleCore:
        return EnsembleCore(1, 2, GaussianBayes(1, 2), lambda data: GaussianBayes.decode(data, 1, 2), "accuracy")

    one, eve, never = make(), make(), make()
    x, codes = np.array([[0.0], [0.2], [1.0], [1.2]]), np.array([0, 0, 1, 1])
    eve.learn(x, codes, np.arange(4))
    one.adopt(EVE, one.decode(eve.encode()))
    for learner in (one, never):
        learner.learn(x + 0.1, codes, np.arange(4))
    assert pack(one.state()) != pack(never.state())
    assert forget_sender(one, EVE, 0, FOREVER) == Contribution(dropped=1)
    assert pack(one.state()) == pack(never.state())


@pytest.mark.parametrize("others", [[], [3], [3, 9]])
def test_slots_move_up(others: list[int]) -> None:
    core = taught([-1, EVE, *others] * 15)
    core.forget(EVE, 0, FOREVER)
    assert sorted(core._slots.values()) == list(range(1, 1 + len(others)))
