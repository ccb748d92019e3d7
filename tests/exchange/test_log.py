"""A node that shares a log, end to end: from a sample of one to prototypes of another."""

from __future__ import annotations

import numpy as np
import pytest

from protovine import records
from protovine.errors import RemoteProtocolError
from protovine.exchange import LogExchange, SetExchange
from protovine.gossip import Coin, Kind, LogFrame, LogGossip, PushGossip, RoundRobin
from protovine.learn import HedgedLVQCore
from protovine.node import Node
from protovine.share import GainGate, LogShare, QueueInbox, SetLimits, WholeSets

MS = 10**6
SECOND = 10**9
EPOCH = 1_700_000_000 * SECOND


def build(node: int, n: int = 2, *, incarnation: int = 1, budget: float = 0.0, **share: object) -> Node:
    peers = [other for other in range(n) if other != node]
    learner, schedule = HedgedLVQCore(2, 2), RoundRobin(n, 1.0, np.random.default_rng(0))
    gossip = LogGossip(node, peers, budget_bytes_per_s=budget, incarnation=incarnation)
    draw = np.random.default_rng(node)
    selected = LogShare(SetLimits(2, 2), draw, budget_bytes_per_s=budget, recipients=len(peers), **share)
    exchange = LogExchange(learner, gossip, schedule, selected)
    return Node(learner, exchange, QueueInbox(2, peers, order="fifo"))


class Pair:
    """Nodes with a network that delivers after 10 ms."""

    def __init__(self, nodes: list[Node], now_ns: int = 0) -> None:
        self.nodes, self.now_ns = nodes, now_ns
        self.wire: list[tuple[int, int, int, bytes]] = []
        self.kept: list[records.Record] = []

    def settle(self, i: int) -> None:
        outputs = self.nodes[i].drain()
        self.kept += outputs.records
        self.wire += [(self.now_ns + 10 * MS, i, peer, data) for peer, data in outputs.sends]

    def until(self, end_ns: int) -> None:
        while True:
            due = [at for node in self.nodes if (at := node.next_timer_ns()) is not None]
            due += [message[0] for message in self.wire]
            if not due or min(due) > end_ns:
                break
            self.now_ns = max(self.now_ns, min(due))
            for message in [message for message in self.wire if message[0] <= self.now_ns]:
                self.wire.remove(message)
                self.nodes[message[2]].receive(message[3], message[1], self.now_ns)
                self.settle(message[2])
            for i, node in enumerate(self.nodes):
                due_ns = node.next_timer_ns()
                if due_ns is not None and due_ns <= self.now_ns:
                    node.on_timer(self.now_ns)
                    self.settle(i)
        self.now_ns = end_ns

    def observe(self, i: int, x: np.ndarray, y: int, **more: int) -> None:
        self.nodes[i].observe(x, y, now_ns=self.now_ns, **more)
        self.settle(i)


def blobs(count: int, seed: int = 0) -> list[tuple[np.ndarray, int]]:
    """Classes in random order: from a pattern of labels the learner would know what comes, and share little."""
    draw = np.random.default_rng(seed)
    return [(draw.normal([4 * y, 100.0], [1.0, 20.0]), y) for y in draw.integers(2, size=count).tolist()]


@pytest.mark.parametrize("start_ns", [0, EPOCH])
def test_samples_learnt_by_one_node_reach_the_other(start_ns: int) -> None:
    pair = Pair([build(0), build(1)], start_ns)
    for x, y in blobs(200):
        pair.observe(0, x, y)
        pair.until(pair.now_ns + 100 * MS)
    pair.until(pair.now_ns + 20 * SECOND)
    assert pair.nodes[0].head == pair.nodes[1].exchange.gossip.watermarks[0]
    right = [pair.nodes[1].learner.predict(x, pair.now_ns).code == y for x, y in blobs(200, seed=1)]
    assert np.mean(right) > 0.85
    held = pair.nodes[1].learner.prototypes()
    assert start_ns <= held.event_ns.min() and held.event_ns.max() <= pair.now_ns
    assert 0 == len(pair.nodes[1].learner.local_prototypes()), "it is not shared in this node's name"
    view = pair.nodes[1].views[0]
    assert 200 == view.samples_learnt


def test_the_view_says_how_much_of_the_peer_is_known() -> None:
    """No peer knows a sample that waits in a batch, whatever messages go out meanwhile."""
    pair = Pair([build(0, select="all", batch_items=3, batch_ns=10 * SECOND), build(1, select="all", batch_items=1)])
    for i, (x, y) in enumerate(blobs(5)):
        pair.until((i + 1) * SECOND)
        pair.observe(0, x, y)
    pair.observe(1, *blobs(1)[0])
    pair.until(9 * SECOND)
    view = pair.nodes[1].views[0]
    assert (3, 4 * SECOND) == (view.samples_learnt, view.created_ns)
    pair.until(20 * SECOND)
    assert 5 == pair.nodes[1].views[0].samples_learnt


def test_late_labels_and_events_out_of_order_are_shared_with_their_own_times() -> None:
    pair = Pair([build(0, select="all", batch_items=2), build(1)], EPOCH)
    node = pair.nodes[0]
    node.observe([1.0, 2.0], now_ns=EPOCH, sample_id=1)
    pair.until(EPOCH + 5 * SECOND)
    pair.observe(0, np.array([3.0, 4.0]), 1, event_ns=EPOCH + 4 * SECOND)
    node.label(1, 0, EPOCH + 5 * SECOND)
    pair.settle(0)
    pair.until(EPOCH + 9 * SECOND)
    held = pair.nodes[1].learner.prototypes()
    unit = 2**40
    assert {0: EPOCH, 1: EPOCH + 4 * SECOND} == pytest.approx(
        dict(zip(held.label.tolist(), held.event_ns.tolist(), strict=True)), abs=unit
    )


def told_by_0(*entries: bytes, sequence: int = 1, **change: object) -> bytes:
    fields = {
        "incarnation": 1,
        "samples_learnt": 1,
        "created_ns": 10**6,
        "acked_incarnation": 0,
        "acked": 0,
        "acked_mask": 0,
    }
    fields.update(change)
    return LogFrame(Kind.LOG, 0, sequence=sequence, entries=entries, **fields).encode()


@pytest.mark.parametrize(
    ("data", "sender", "reason"),
    [
        (b"", 0, "malformed"),
        (told_by_0()[:-1], 0, "checksum"),
        (told_by_0(), 2, "impostor"),
        (told_by_0(incarnation=0), 0, "stale"),
        (told_by_0(b"", b"\x99"), 0, "payload"),
        (told_by_0(bytes.fromhex("200100000000800000"), b"\x30\x01\x00"), 0, "payload"),
        (told_by_0(bytes.fromhex("20 01 00 00 803f00 803f00"), b"\x30\x01\x00"), 0, "payload"),
    ],
)
def test_a_refused_message_changes_nothing_but_the_count(data: bytes, sender: int, reason: str) -> None:
    node = build(1, 3)
    node.observe([0.5, 1.0], 1, now_ns=0)
    node.drain()
    before, timer_ns = node.snapshot(), node.next_timer_ns()
    with pytest.raises(RemoteProtocolError) as refused:
        node.receive(data, sender, now_ns=SECOND)
    assert reason == refused.value.reason
    assert (before, timer_ns) == (node.snapshot(), node.next_timer_ns())
    assert [records.Refused(SECOND, 1, sender, reason, len(data))] == node.drain().records


def test_samples_whose_scales_were_lost_are_understood_when_both_came() -> None:
    sender, receiver = build(0, select="all", batch_items=1), build(1)
    sent = []
    for i, (x, y) in enumerate(blobs(3)):
        sender.observe(x, y, now_ns=i * 20 * MS)
        sent += [data for _, data in sender.drain().sends]
    for data in sent[::-1]:
        receiver.receive(data, 0, 100 * MS)
    received = [record for record in receiver.drain().records if isinstance(record, records.Received)]
    assert 0 == received[0].prototypes or sender.head[1] > 3
    receiver.receive(sent[1], 0, 100 * MS)
    receiver.receive(sent[2], 0, 100 * MS)
    assert 3 == len(receiver.inbox)
    assert sender.head == receiver.exchange.gossip.watermarks[0]


@pytest.mark.parametrize("keeps", [True, False])
def test_a_restart_is_survived(keeps: bool) -> None:
    pair = Pair([build(0), build(1)])
    for x, y in blobs(100):
        pair.observe(0, x, y)
        pair.observe(1, x + 1, y)
        pair.until(pair.now_ns + 100 * MS)
    snapshot = pair.nodes[0].snapshot()
    pair.nodes[0] = build(0, incarnation=2)
    if keeps:
        pair.nodes[0].restore(snapshot, pair.now_ns)
        assert snapshot != pair.nodes[0].snapshot(), "another incarnation"
    for x, y in blobs(100, seed=2):
        pair.observe(0, x, y)
        pair.until(pair.now_ns + 100 * MS)
    pair.until(pair.now_ns + 30 * SECOND)
    assert 2 == pair.nodes[0].head[0]
    assert pair.nodes[0].head == pair.nodes[1].exchange.gossip.watermarks[0]
    assert pair.nodes[1].head == pair.nodes[0].exchange.gossip.watermarks[1]
    assert (170 if keeps else 70) < pair.nodes[1].views[0].samples_learnt


def test_a_newcomer_learns_from_a_summary() -> None:
    pair = Pair([build(0)])
    for x, y in blobs(3000):
        pair.observe(0, x, y)
        pair.wire.clear()
        pair.now_ns += 20 * MS
    pair.nodes.append(build(1))
    pair.until(pair.now_ns + 90 * SECOND)
    sent = [record for record in pair.kept if isinstance(record, records.Sent) and record.kind == "summary"]
    assert 1 <= len(sent) and sent[0].payload_bytes <= 4096
    right = [pair.nodes[1].learner.predict(x, pair.now_ns).code == y for x, y in blobs(200, seed=1)]
    assert np.mean(right) > 0.85


@pytest.mark.parametrize("budget", [5.0, 20.0, 60.0])
def test_every_byte_is_within_the_budget(budget: float) -> None:
    pair = Pair([build(i, 3, budget=budget) for i in range(3)], EPOCH)
    for i, (x, y) in enumerate(blobs(900)):
        pair.observe(i % 3, x, y if i % 7 else 1 - y)
        pair.until(pair.now_ns + 50 * MS)
    sent = [record for record in pair.kept if isinstance(record, records.Sent)]
    for node in range(3):
        level, since_ns = 10 * budget, EPOCH
        for record in [record for record in sent if record.node == node]:
            level = min(10 * budget, level + budget * (record.at_ns - since_ns) / SECOND)
            level -= record.header_bytes + record.payload_bytes
            assert level > -1e-6
            since_ns = record.at_ns
    assert sent


def test_sets_of_the_default_learner_pass_the_gain_gate() -> None:
    nodes = []
    for i in range(2):
        learner, schedule = HedgedLVQCore(2, 2), Coin(1, 1.0, np.random.default_rng(i))
        share = WholeSets(GainGate(0.02), SetLimits(2, 2))
        exchange = SetExchange(learner, PushGossip(i, [1 - i]), schedule, share)
        nodes.append(Node(learner, exchange, QueueInbox(2, [1 - i])))
    pair = Pair(nodes)
    for x, y in blobs(60):
        pair.observe(0, x, y)
        pair.until(pair.now_ns + 100 * MS)
    kinds = {type(record) for record in pair.kept}
    assert {records.Sent, records.Withheld, records.Received} <= kinds
    right = [pair.nodes[1].learner.predict(x, pair.now_ns).code == y for x, y in blobs(100, seed=1)]
    assert np.mean(right) > 0.85
