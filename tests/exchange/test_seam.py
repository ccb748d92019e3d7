"""Schedules and gates of a user at the seam: what they may not do is an error that names them and the value."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import protovine
from protovine.errors import LocalProtocolError, RunError
from protovine.exchange import LogExchange, ModelExchange, Outputs, SetExchange
from protovine.exchange.base import chosen
from protovine.gossip import EVERYONE, Coin, LogGossip, PushGossip
from protovine.gossip.schedule import Broadcast
from protovine.learn import LogisticCore, XuILVQCore
from protovine.prototypes import Evidence, PrototypeSet
from protovine.share import AlwaysGate, GainGate, LocalSample, LogShare, SetLimits, WholeSets, decode_set

PEERS = [1, 2, 4]


class Named(Coin):
    """Chooses what the test says."""

    def __init__(self, named: Any) -> None:
        super().__init__(1, 1.0, np.random.default_rng(0))
        self.named = named

    def choose(self, candidates: Any, total: int, now_ns: int) -> Any:
        return self.named


def sets(schedule: Coin) -> SetExchange:
    learner, share = XuILVQCore(1, 2), WholeSets(AlwaysGate(), SetLimits(1, 2))
    return SetExchange(learner, PushGossip(0, list(PEERS)), schedule, share)


def models(schedule: Coin) -> ModelExchange:
    return ModelExchange(LogisticCore(1, 2), PushGossip(0, list(PEERS)), schedule, SetLimits(1, 2))


def log(schedule: Coin) -> LogExchange:
    share = LogShare(SetLimits(1, 2), np.random.default_rng(0), select="all", batch_items=1)
    return LogExchange(LogisticCore(1, 2), LogGossip(0, list(PEERS)), schedule, share)


def sent(exchange: Any) -> list[int]:
    """Peers that a local sample goes to."""
    exchange.learner.learn(np.array([[0.5]]), np.array([1]), np.array([1]))
    out = Outputs()
    exchange.learnt(LocalSample(np.array([0.5]), 1, 10, surprisal=2.0, inserted=True), 1, 10, out)
    return [peer for peer, _ in out.sends]


@pytest.mark.parametrize("make", [sets, models, log], ids=["sets", "models", "log"])
@pytest.mark.parametrize(
    "named",
    [[99], [-1], [0], [1, 1, 1], [1, 99], None, "no", 1, (1,), {1}, np.array([1]), [np.int64(1)], [1.0], [None], ["1"]],
    ids=repr,
)
def test_a_schedule_that_names_no_peers_is_named(make: Callable[[Coin], Any], named: Any) -> None:
    said = rf"the schedule Named must choose a list of different peers among \[1, 2, 4\], got {re.escape(repr(named))}"
    with pytest.raises(LocalProtocolError, match=said):
        sent(make(Named(named)))


@pytest.mark.parametrize("make", [sets, models, log], ids=["sets", "models", "log"])
@pytest.mark.parametrize("named", [[], [1], [4, 1], [1, 2, 4]], ids=repr)
def test_a_schedule_that_names_peers_is_followed(make: Callable[[Coin], Any], named: list[int]) -> None:
    assert sorted(named) == sorted(sent(make(Named(named))))


@given(st.sets(st.integers(-1, 6)), st.lists(st.integers(-2, 7) | st.just(EVERYONE), max_size=4))
def test_exactly_different_candidates_can_be_named(candidates: set[int], named: list[int]) -> None:
    right = set(named) <= candidates and len(set(named)) == len(named)
    try:
        assert named == chosen(Named(named), sorted(candidates), len(candidates), 0, sorted(candidates))
        assert right
    except LocalProtocolError:
        assert not right


@pytest.mark.parametrize("make", [sets, models], ids=["sets", "models"])
def test_a_broadcast_names_everyone_and_nobody_else(make: Callable[[Coin], Any]) -> None:
    class Shouting(Broadcast):
        """As the one of the package, to begin with."""

    class Whispering(Broadcast):
        def choose(self, candidates: Any, total: int, now_ns: int) -> list[int]:
            return [1]

    draw = np.random.default_rng(0)
    assert [EVERYONE] == sent(make(Shouting(1, 1.0, draw)))
    with pytest.raises(LocalProtocolError, match=r"Whispering must choose .* peers among \[-1\], got \[1\]"):
        sent(make(Whispering(1, 1.0, draw)))
    with pytest.raises(LocalProtocolError, match=r"Shouting must choose .* peers among \[1, 2, 4\], got \[-1\]"):
        sent(log(Shouting(1, 1.0, draw)))


def test_a_schedule_that_sorts_its_candidates_changes_nothing_else() -> None:
    class Backwards(Named):
        def choose(self, candidates: Any, total: int, now_ns: int) -> Any:
            candidates.reverse()
            return candidates[:1]

    exchange = sets(Backwards(None))
    assert [4] == sent(exchange)
    assert PEERS == exchange.peers


# -- Gates. ------------------------------------------------------------------------------------------------------------

OWN = PrototypeSet.of([[0.0], [0.1], [0.2], [1.0], [1.1]], [0, 0, 0, 1, 1], weight=[2, 2, 2, 2, 2])


def evidence() -> Evidence:
    return Evidence(OWN, 10, np.array([[0.1], [0.9], [1.2]]), np.array([0, 1, 1]))


def offered(gate: AlwaysGate | GainGate) -> WholeSets:
    share = WholeSets(gate, SetLimits(1, 2))
    share.commit(3, OWN.take([0]))
    return share


class Judge(AlwaysGate):
    """Scores and passes what the test says."""

    def __init__(self, score: Any, passes: Any) -> None:
        self.given = score, passes

    def score(self, evidence: Evidence, known: PrototypeSet | None) -> Any:
        return self.given[0]

    def passes(self, score: float) -> Any:
        return self.given[1]


@pytest.mark.parametrize("score", [None, "1", float("nan"), float("inf"), np.ones(1), [1.0]], ids=repr)
def test_a_gate_whose_score_is_no_number_is_named(score: Any) -> None:
    said = rf"the gate Judge must score with a finite number, got {re.escape(repr(score))}"
    with pytest.raises(LocalProtocolError, match=said):
        offered(Judge(score, True)).offer(3, evidence(), 1000)


@pytest.mark.parametrize("passes", [None, "no", 1, 0.0, [], np.ones(2)], ids=repr)
def test_a_gate_that_neither_passes_nor_not_is_named(passes: Any) -> None:
    said = rf"the gate Judge must pass a score or not \(True or False\), got {re.escape(repr(passes))}"
    with pytest.raises(LocalProtocolError, match=said):
        offered(Judge(1.0, passes)).offer(3, evidence(), 1000)


@pytest.mark.parametrize(("score", "passes"), [(1, True), (np.float64(0.5), np.True_), (0.25, np.False_)], ids=repr)
def test_a_gate_may_use_numbers_of_numpy(score: Any, passes: Any) -> None:
    """The offer goes into records, whose encoding knows plain numbers only."""
    offer = offered(Judge(score, passes)).offer(3, evidence(), 1000)
    assert offer is not None
    assert (float, float(score), bool(passes)) == (type(offer.value), offer.value, offer.payload is not None)


ARRAYS: list[Callable[[Evidence, Any], np.ndarray]] = [
    lambda evidence, known: evidence.prototypes.x,
    lambda evidence, known: evidence.prototypes.label,
    lambda evidence, known: evidence.prototypes.weight,
    lambda evidence, known: evidence.prototypes.event_ns,
    lambda evidence, known: evidence.window_x,
    lambda evidence, known: evidence.window_label,
    lambda evidence, known: known.x,
    lambda evidence, known: known.weight,
]


@pytest.mark.parametrize("place", range(len(ARRAYS)))
def test_a_gate_cannot_write_into_what_it_looks_at(place: int) -> None:
    class Writer(AlwaysGate):
        def score(self, evidence: Evidence, known: PrototypeSet | None) -> float:
            ARRAYS[place](evidence, known)[:] = 0
            return 1.0

    with pytest.raises(ValueError, match="read-only"):
        offered(Writer()).offer(3, evidence(), 1000)


def test_a_gate_that_inherits_from_one_of_the_package_decides_as_it_does() -> None:
    class Gain(GainGate):
        seen: list[Evidence] = []  # noqa: RUF012

        def score(self, evidence: Evidence, known: PrototypeSet | None) -> float:
            self.seen.append(evidence)
            return super().score(evidence, known)

    gate, given = Gain(), evidence()
    ours, theirs = offered(GainGate()), offered(gate)
    for peer in (3, 5, 3):
        assert ours.offer(peer, given, 1000) == theirs.offer(peer, given, 1000)
    assert gate.seen[0] is gate.seen[1]  # All peers of one opportunity see one evidence: `GainGate` filters it once.
    payload = theirs.offer(7, given, 1000).payload  # type: ignore[union-attr]
    assert OWN.x.tolist() == decode_set(payload, SetLimits(1, 2)).x.astype(np.float64).round(6).tolist()  # type: ignore[arg-type]
    assert OWN.x.flags.writeable


class Textual(AlwaysGate):
    """A gate of a user who misread the interface."""

    def passes(self, score: float) -> Any:
        return "no"


def test_a_run_with_such_a_gate_says_so() -> None:
    experiment = protovine.Experiment(
        presets=["paper-base"], seeds=1, data={"source": "phishing", "limit": 50}, exchange={"gate": Textual}
    )
    with pytest.raises(RunError, match=r"LocalProtocolError: the gate Textual must pass a score or not .*, got 'no'"):
        protovine.run(experiment)
