"""Tapes of several starts are played as one: without a member, through kills, gaps and states that were changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from protovine.node import Node
from protovine.snapshot import pack, unpack
from protovine.tape import (
    AnyCall,
    Began,
    Chain,
    Cleaned,
    Delivered,
    Forgot,
    Restored,
    Tape,
    TapedNode,
    play,
    play_chain,
    repeat,
)
from tests.test_tape import ANN, BOB, EVE, S, Swarm, learnt, node_of


@dataclass
class Life:
    """Ann starts several times while bob and eve go on; each start has a tape, and begins with a snapshot."""

    swarm: Swarm = field(default_factory=Swarm)
    tapes: list[list[AnyCall]] = field(default_factory=list)
    saved: bytes = b""

    def __post_init__(self) -> None:
        self.tapes.append(self.swarm.tape)

    @property
    def ann(self) -> Node:
        return self.swarm.nodes[ANN]

    def live(self, samples: int = 20) -> Life:
        self.swarm.go(samples)
        return self

    def save(self) -> Life:
        self.saved = self.ann.snapshot()
        return self

    def start(self, data: bytes | None = None) -> Life:
        """Ann begins again from a snapshot, by default the newest; what came after it is lost."""
        tape: list[AnyCall] = []
        incarnation = len(self.tapes) + 1
        node = TapedNode(node_of(ANN, incarnation), tape.append)
        self.swarm.now_ns += S
        node.restore(self.saved if data is None else data, self.swarm.now_ns)
        self.swarm.nodes[ANN] = node  # type: ignore[assignment]
        self.swarm.wire.clear()
        for peer in (BOB, EVE):
            node.add_peer(peer, self.swarm.now_ns)
            node.peer_reached(peer, self.swarm.now_ns)
            self.swarm.nodes[peer].peer_reached(ANN, self.swarm.now_ns)
        self.tapes.append(tape)
        return self

    def chain(self, *left_out: int, keep: Iterable[int] | None = None) -> Chain:
        numbers = range(1, len(self.tapes) + 1) if keep is None else keep
        tapes = [Tape(f"ann.{each}", lambda each=each: self.tapes[each - 1], each) for each in numbers]  # type: ignore[misc]
        member = left_out[0] if left_out else None
        return play_chain(tapes, lambda began: node_of(began.node, began.incarnation), self.saved, member)

    def without(self, member: int) -> Node:
        """Ann had she never heard a member: she starts as often, and saves at the same moments."""
        node = node_of(ANN, 99)
        kept: dict[tuple[int, int], bytes] = {}
        for tape in self.tapes:
            for call in tape:
                if isinstance(call, Restored):
                    before = unpack(call.data)
                    node = node_of(ANN, 99)
                    node.restore(kept[before["now_ns"], before["samples_learnt"]], call.now_ns)
                elif not (isinstance(call, Delivered) and call.sender == member):
                    repeat(call, node)
                node.drain()
                kept[node.now_ns, node.samples_learnt] = node.snapshot()
        return node


def restored(data: bytes) -> Node:
    node = node_of(ANN, 50)
    node.restore(data, unpack(data)["now_ns"])
    return node


def test_the_tapes_of_three_starts_lead_to_a_learner_that_never_heard_the_member() -> None:
    life = Life().live().save().start().live().save().start().live().save()
    assert {BOB, EVE} == set(life.ann.learner.trust)  # type: ignore[attr-defined]
    found = life.chain(EVE)
    assert ("ann.3", ()) == (found.source, found.broken) and found.other is not None and found.other.exact
    assert ["nothing", "snapshot", "snapshot"] == [start.begins for start in found.starts]
    assert [None, "ann.1", "ann.2"] == [start.source for start in found.starts]
    assert ["ann.1", "ann.2", "ann.3"] == [start.name for start in found.leading]
    assert [20, 40, 60] == [start.samples_learnt for start in found.starts]
    other = restored(found.other.data)
    assert pack(life.without(EVE).learner.state()) == pack(other.learner.state())
    assert EVE not in other.learner.trust and BOB in other.learner.trust  # type: ignore[attr-defined]
    assert learnt(restored(life.saved)) != learnt(other)
    # The last tape alone begins with a state that had heard her.
    alone = life.chain(EVE, keep=[3])
    assert alone.other is not None and not alone.other.exact and alone.other.contribution
    assert "it is from before the tapes" == alone.starts[0].why and not alone.broken


def test_starts_that_were_killed_are_found_where_they_left_the_last_snapshot() -> None:
    life = Life().live().save().live(10).start().live(15)  # Killed before it had saved anything.
    life.start().live().save().live(7)
    found = life.chain(EVE)
    assert ("ann.3", ()) == (found.source, found.broken) and found.other is not None and found.other.exact
    assert [None, "ann.1", "ann.1"] == [start.source for start in found.starts]
    assert ["ann.1", "ann.3"] == [start.name for start in found.leading]
    # The same with the moment of the snapshot: what came later is not in it.
    life.tapes[2] = [call for call in life.tapes[2] if call.now_ns <= unpack(life.saved)["now_ns"]]
    assert pack(life.without(EVE).learner.state()) == pack(restored(found.other.data).learner.state())


@pytest.mark.parametrize("fault", ["missing", "short", "changed", "other settings"])
def test_a_tape_that_is_missing_or_does_not_fit_is_named(fault: str) -> None:
    life = Life().live().save().start().live().save()
    if fault == "changed":
        other = Swarm()
        other.go(40)
        life.saved = other.nodes[ANN].snapshot()
    life.start().live().save()
    keep, why = [1, 2, 3], ""
    if fault == "missing":
        keep, why = [1, 3], "tape 2 is missing"
    elif fault == "short":
        life.tapes[1] = life.tapes[1][: len(life.tapes[1]) // 2]
        why = "ann.2 ends "
    elif fault == "changed":
        why = "a tape is missing, ann.2 was recorded with other settings, or the state was changed since"
    else:
        life.tapes[1] = [
            Began(call.now_ns, BOB, call.incarnation, (ANN, EVE)) if isinstance(call, Began) else call
            for call in life.tapes[1]
        ]
        why = "it cannot be played with these settings: the snapshot belongs to node 0, not to node 1"
    found = life.chain(EVE, keep=keep)
    assert found.broken and why in found.broken[0].why, found.broken
    assert found.source == "ann.3" and found.other is not None and not found.other.exact
    assert ("ann.2" if fault == "other settings" else "ann.3") == found.broken[0].name
    assert ["ann.3"] == [start.name for start in found.leading]


def test_a_state_to_which_no_tape_leads_is_said() -> None:
    life = Life().live().save().start().live()
    late = life.ann.snapshot()
    life.tapes[1] = life.tapes[1][:9]
    life.saved = late
    found = life.chain(EVE)
    assert found.source is None and found.other is None and "ann.2 ends " in found.why
    life.saved = pack({"node": None, "learner": unpack(late)["learner"]})
    assert "what another node had learnt" in life.chain(EVE).why


def test_members_that_are_forgotten_between_starts_stay_forgotten() -> None:
    """Eve is forgotten exactly, then bob: what is left is what a node learns that heard nobody."""
    life = Life().live().save()
    eve = life.chain(EVE).other
    assert eve is not None and eve.exact
    now_ns = unpack(life.saved)["now_ns"]
    clean = restored(eve.data)
    clean.forget(EVE, 0, now_ns, now_ns, whole=True)
    new = clean.snapshot()
    cleaned = Cleaned(now_ns, EVE, 0, now_ns, new)
    life.tapes.append([Began(now_ns, ANN, 1, (BOB, EVE)), Restored(now_ns, life.saved), cleaned])
    life.start(new).live().save()
    found = life.chain()
    assert ("ann.3", ()) == (found.source, found.broken)
    assert ["nothing", "snapshot", "snapshot"] == [start.begins for start in found.starts]
    assert [None, EVE, None] == [start.cleaned for start in found.starts]
    assert "ann.2" == found.starts[2].source
    bob = life.chain(BOB).other
    assert bob is not None and bob.exact
    # A node that heard neither before, and of bob nothing later; what eve shares since then is new.
    expected = node_of(ANN, 99)
    for call in life.tapes[0]:
        if not isinstance(call, Delivered):
            repeat(call, expected)
    expected.forget(EVE, 0, now_ns, now_ns, whole=True)
    saved = expected.snapshot()
    expected = node_of(ANN, 99)
    for call in life.tapes[2]:
        if not (isinstance(call, Delivered) and call.sender == BOB):
            repeat(Restored(call.now_ns, saved) if isinstance(call, Restored) else call, expected)
    learner = restored(bob.data).learner
    assert pack(expected.learner.state()) == pack(learner.state())
    assert {EVE} == set(learner.trust)  # type: ignore[attr-defined]
    assert {BOB, EVE} == set(restored(life.saved).learner.trust)  # type: ignore[attr-defined]


def test_forgetting_that_is_not_exact_is_a_call_like_others() -> None:
    life = Life().live().save()
    now_ns = unpack(life.saved)["now_ns"]
    began = Began(now_ns, ANN, 1, (BOB, EVE))
    calls: list[AnyCall] = [began, Restored(now_ns, life.saved), Forgot(now_ns, EVE, 0, now_ns, True)]
    changed = node_of(ANN)
    for call in calls:
        repeat(call, changed)
    life.tapes.append(calls)
    life.start(changed.snapshot()).live().save()
    found = life.chain(BOB)
    assert ("ann.3", ()) == (found.source, found.broken) and found.other is not None and found.other.exact
    assert life.chain(EVE).other.exact, "from the first tape on she is left out"  # type: ignore[union-attr]


def test_what_a_node_refused_is_refused_again() -> None:
    swarm = Swarm()
    node = swarm.nodes[ANN]
    node.observe([0.0, 1.0], None, now_ns=S, sample_id=5)
    for wrong in ([1.0], [float("inf"), 0.0]):
        with pytest.raises(ValueError, match="a sample must"):
            node.observe(wrong, 0, now_ns=S)
    with pytest.raises(ValueError, match="between 0 and 1"):
        node.label(5, 7, S)
    node.observe([1.0, 1.0], 1, now_ns=2 * S)
    assert node.drain().records == play(swarm.tape, node_of(ANN))


def test_a_tape_without_a_beginning_is_broken_and_an_empty_one_is_left_out() -> None:
    def make(began: Began) -> Node:
        return node_of(ANN)

    (start,) = play_chain([Tape("ann.1", lambda: [Restored(0, b"")], 1)], make).starts
    assert (True, "damaged: it does not begin with the building of its node") == (start.broken, start.why)
    assert () == play_chain([Tape("ann.1", list, 1)], make).starts
