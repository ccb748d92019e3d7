"""A tape is played without a member: the learner is to the last bit what it would be had the member not been there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from protovine.errors import DataError, RemoteProtocolError
from protovine.learn import Contribution
from protovine.node import Node, pump
from protovine.snapshot import pack, unpack
from protovine.system import GossipSettings, NodeContext, SystemSettings
from protovine.system.build import build_node
from protovine.system.settings import HedgedSettings, LogSettings, QueueInboxSettings
from protovine.tape import (
    AnyCall,
    Began,
    Delivered,
    Restored,
    TapedNode,
    Without,
    encode,
    play_without,
    read_tape,
    repeat,
)

S = 10**9
ANN, BOB, EVE = 0, 1, 2
MEMBERS = (ANN, BOB, EVE)


def node_of(node: int, incarnation: int = 1, select: str = "all", batch: int = 0) -> Node:
    inbox = QueueInboxSettings(queue_max=1000)
    exchange = LogSettings(inbox=inbox, select=select, batch_items=batch, batch_s=60.0 if batch else 0.01)
    return build_node(
        SystemSettings(
            learner=HedgedSettings(),
            exchange=exchange,
            gossip=GossipSettings(fanout=2, share_probability=1.0, schedule="round-robin"),
        ),
        NodeContext(
            node=node,
            peers=[each for each in MEMBERS if each != node],
            dim=2,
            n_classes=2,
            draw=lambda purpose: np.random.default_rng([node, incarnation, len(purpose)]),
            incarnation=incarnation,
            train_period_ns=S // 190,
        ),
    )


class Swarm:
    """Three nodes that hear each other; ann's calls are on a tape."""

    def __init__(self, select: str = "all", batch: int = 0, lies: bool = False) -> None:
        self.tape: list[AnyCall] = []
        self.nodes = {each: node_of(each, 1, select, batch) for each in MEMBERS}
        self.nodes[ANN] = TapedNode(self.nodes[ANN], self.tape.append)  # type: ignore[assignment]
        self.now_ns, self.lies = S, lies
        self.draw, self.wire = np.random.default_rng(5), list[tuple[int, int, bytes]]()

    def go(self, samples: int, without: Iterable[int] = ()) -> None:
        for at in range(samples):
            for member, node in self.nodes.items():
                self.now_ns += S // 50
                label = at % 2
                x = self.draw.normal(size=2) + 2 * label
                if member not in without:
                    label = 1 - label if self.lies and member == EVE else label
                    node.observe(x, label, now_ns=self.now_ns)
            for _ in range(3):
                self.now_ns += S // 100
                for member, node in self.nodes.items():
                    due_ns = node.next_timer_ns()
                    if due_ns is not None and due_ns <= self.now_ns:
                        node.on_timer(self.now_ns)
                    pump(
                        node, lambda to, data, source=member: self.wire.append((source, to, data)), lambda record: None
                    )
                carried, self.wire = self.wire, []
                for source, to, data in carried:
                    self.nodes[to].receive(data, source, self.now_ns)


def last(calls: list[AnyCall], select: str = "all", batch: int = 0, **span: int) -> Without:
    """Both nodes at the end of a tape."""

    def make(began: Began) -> Node:
        return node_of(began.node, began.incarnation, select, batch)

    return deque(play_without(calls, make, EVE, **span), maxlen=1)[0]


def learnt(node: Node) -> bytes:
    return pack({"learner": node.learner.state(), "inbox": len(node.inbox), "now": node.now_ns})


def never_heard(calls: list[AnyCall], select: str = "all", incarnation: int = 99) -> tuple[Node, int]:
    """A node that gets all calls of a tape but eve's messages, by its own exchange; and how many it refused.

    In another incarnation it can read messages that answer what it has not sent; its learner does not know the number.
    """
    node, refused = node_of(ANN, incarnation, select), 0
    for call in calls:
        if isinstance(call, Delivered):
            try:
                if call.sender != EVE:
                    node.receive(call.data, call.sender, call.now_ns)
            except RemoteProtocolError:
                refused += 1
        else:
            repeat(call, node)
        node.drain()
    return node, refused


@pytest.mark.parametrize("lies", [False, True])
def test_the_learner_equals_one_that_never_heard_the_member(lies: bool) -> None:
    swarm = Swarm(lies=lies)
    swarm.go(60)
    found = last(swarm.tape)
    expected, refused = never_heard(swarm.tape)
    assert 0 == refused
    assert learnt(expected) == learnt(found.other)
    assert learnt(swarm.nodes[ANN]) == learnt(found.node) != learnt(found.other)
    assert found.exact and Contribution() == found.contribution
    assert [BOB] == list(found.other.learner.trust) and [BOB, EVE] == sorted(found.node.learner.trust)


def test_messages_that_answer_what_was_sent_are_read_although_the_other_node_would_not_have_sent_it() -> None:
    """Ann selects other samples without eve, so bob acknowledges entries that she would not have made."""
    swarm = Swarm("surprisal")
    swarm.go(150)
    _, refused = never_heard(swarm.tape, "surprisal", incarnation=1)
    assert refused, "the naive replay loses messages of bob; otherwise this test shows nothing"
    found = last(swarm.tape, "surprisal")
    expected, none = never_heard(swarm.tape, "surprisal")
    assert 0 == none and learnt(expected) == learnt(found.other)
    offered = [int(node.learner._state.offered[node.learner._slots[BOB]]) for node in (found.node, found.other)]
    assert offered[0] == offered[1] > 0
    assert EVE not in found.other.learner.trust


def test_items_of_other_times_stay_also_of_one_message() -> None:
    swarm = Swarm(batch=7)
    swarm.go(31)
    cut_ns = swarm.now_ns
    swarm.go(31)
    early, late = (last(swarm.tape, batch=7, **span) for span in ({"until_ns": cut_ns}, {"since_ns": cut_ns + 1}))
    counts = [int(each.other.learner._state.offered[each.other.learner._slots[EVE]]) for each in (early, late)]
    whole = int(early.node.learner._state.offered[early.node.learner._slots[EVE]])
    assert min(counts) > 0 and whole == sum(counts)


def test_a_tape_that_begins_with_a_state_that_had_heard_the_member_is_not_exact() -> None:
    swarm = Swarm()
    swarm.go(30)
    saved, began_ns = swarm.nodes[ANN].snapshot(), swarm.now_ns
    for heard in (True, False):
        again = Swarm()
        again.nodes[ANN] = TapedNode(node_of(ANN), again.tape.append)  # type: ignore[assignment]
        del again.tape[0]
        if not heard:
            quiet = Swarm()
            quiet.go(30, without=[EVE])
            saved = quiet.nodes[ANN].snapshot()
            state = unpack(saved)
            state["exchange"]["gossip"]["peers"] = [
                [peer, *numbers[:5], 0 if peer == EVE else numbers[5], numbers[6]]
                for peer, *numbers in state["exchange"]["gossip"]["peers"]
            ]
            saved = pack(state)
        again.nodes[ANN].restore(saved, began_ns)
        found = last(again.tape)
        assert heard is not found.exact
        assert EVE not in found.other.learner.trust
        assert found.contribution is not None and bool(found.contribution.items) is heard


def test_a_node_that_forgot_in_between_plays_the_same_again() -> None:
    swarm = Swarm()
    swarm.go(30)
    assert swarm.nodes[ANN].forget(EVE, 0, swarm.now_ns, swarm.now_ns).learnt
    swarm.go(10)
    found = last(swarm.tape)
    assert learnt(swarm.nodes[ANN]) == learnt(found.node)
    expected, _ = never_heard(swarm.tape)
    assert learnt(expected) == learnt(found.other)


def test_what_a_tape_has_of_forgetting_survives_the_file(tmp_path: Path) -> None:
    swarm = Swarm()
    swarm.nodes[ANN].forget(EVE, 1, 2, swarm.now_ns, whole=True)
    (tmp_path / "tape").write_bytes(b"".join(map(encode, swarm.tape)))
    assert swarm.tape == list(read_tape(tmp_path / "tape"))


def test_a_tape_without_a_beginning_is_refused() -> None:
    with pytest.raises(DataError, match="does not begin"):
        list(play_without([Restored(0, b"")], lambda began: node_of(ANN), EVE))
    assert [] == list(play_without([], lambda began: node_of(ANN), EVE))
    assert 1 == len(list(play_without([Began(0, ANN, 1, MEMBERS[1:])], lambda began: node_of(ANN), EVE)))
