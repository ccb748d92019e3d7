"""The node by itself, and under random sequences of operations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protovine import records
from protovine.compress import DbscanCompressor
from protovine.errors import ConfigError, LocalProtocolError, RemoteProtocolError, SnapshotError
from protovine.exchange import SetExchange
from protovine.gossip import Coin, Frame, Kind, PushGossip
from protovine.learn import Prediction, XuILVQCore
from protovine.node import Node, make_example_node
from protovine.prototypes import PrototypeSet
from protovine.share import JensenShannonGate, QueueInbox, SetInbox, SetLimits, WholeSets, encode_set

MS = 1_000_000


def build(
    node: int, peers: list[int], *, clustering: bool = False, share_probability: float = 1.0, seed: int = 0
) -> Node:
    draw = np.random.default_rng([seed, node])
    limits = SetLimits(2, 2, 1000)
    if clustering:
        core = XuILVQCore(2, 2, denoise_every=0, size_max=6, compressor=DbscanCompressor())
        inbox = SetInbox(2, peers, draw)
    else:
        core, inbox = XuILVQCore(2, 2), QueueInbox(2, peers, 50)
    share = WholeSets(JensenShannonGate(0.3, draw), limits)
    exchange = SetExchange(core, PushGossip(node, peers), Coin(2, share_probability, draw), share)
    return Node(core, exchange, inbox, train_period_ns=5 * MS)


def byzantine(*, x: float = 1.0, event_ns: int = 0, dtype: str = "<f8") -> bytes:
    """A share of node 1 with one prototype whose numbers no honest encoder would write."""
    payload = bytes.fromhex("110101") + event_ns.to_bytes(8, "little", signed=True) + bytes(1 + 8)
    payload += np.array([1.0, x], "<f8").tobytes()
    return Frame(Kind.SHARE, 1, 1, 1, 1, 0, payload).encode()


@pytest.mark.parametrize(
    "numbers", [{"x": 1e39}, {"x": -1e300}, {"x": float("nan")}, {"event_ns": -1}, {"event_ns": -(2**63)}]
)
def test_numbers_that_would_break_the_receiver_later_are_refused(numbers: dict) -> None:
    node = make_example_node()
    with pytest.raises(RemoteProtocolError) as refused:
        node.receive(byzantine(**numbers), 1, now_ns=5)
    assert "payload" == refused.value.reason
    assert 0 == len(node.inbox)


def test_event_times_from_the_future_count_as_now_and_are_counted() -> None:
    node = make_example_node()
    node.receive(byzantine(event_ns=2**62), 1, now_ns=5)
    (received,) = node.drain().records
    assert 1 == received.from_future
    node.on_timer(node.train_period_ns + 5)
    assert [5] == node.learner.prototypes().event_ns.tolist()
    node.observe([1.0], 0, now_ns=node.train_period_ns + 6)
    ((_, data),) = node.drain().sends
    assert 1 == len(Frame.decode(data).payload) - len(encode_set(node.learner.prototypes())) + 1, "it can still share"


def test_a_node_that_is_down_trains_nothing() -> None:
    node = make_example_node()
    node.receive(share(1, *range(20)), 1, now_ns=0)
    again = make_example_node()
    again.restore(node.snapshot(), now_ns=1000 * node.train_period_ns)
    again.on_timer(1001 * node.train_period_ns)
    assert [1] == [record.count for record in again.drain().records]


def test_labels_that_too_many_wait_for_are_given_up_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protovine.node.UNLABELLED_MAX", 3)
    node = make_example_node()
    for name in range(5):
        node.observe([1.0], now_ns=name, sample_id=name)
    assert [False, False, True] == [node.label(name, 0, now_ns=9) for name in range(3)]
    node.finish(10)
    ended = node.drain().records[-1]
    assert (2, 2) == (ended.unlabelled, ended.given_up)


def share(sender: int, *values: float, sequence: int = 1, incarnation: int = 1, at: int = 0) -> bytes:
    held = PrototypeSet.of([[v] for v in values], np.zeros(len(values)))
    return Frame(Kind.SHARE, sender, incarnation, sequence, 1, at, encode_set(held)).encode()


def kinds(node: Node) -> list[str]:
    return [type(record).__name__ for record in node.drain().records]


def test_predicts_before_it_learns() -> None:
    node = make_example_node()
    assert -1 == node.observe([1.0], 1, now_ns=0).code
    assert 1 == node.observe([1.0], 0, now_ns=1).code
    assert 2 == node.samples_learnt


def test_a_late_label_is_learnt_and_an_unknown_one_is_not() -> None:
    node = make_example_node()
    node.observe([1.0], now_ns=0, sample_id=7)
    assert (0, 1) == (len(node.learner), node.unlabelled)
    assert not node.label(8, 1, now_ns=5)
    assert node.label(7, 1, now_ns=5)
    assert not node.label(7, 1, now_ns=6)
    assert (1, 0) == (len(node.learner), node.unlabelled)
    assert [0] == node.learner.prototypes().event_ns.tolist(), "event time is the sample's, not the label's"


def test_received_prototypes_are_trained_at_the_rate_of_the_device() -> None:
    node = make_example_node()
    period = node.train_period_ns
    node.receive(share(1, 1.0, 2.0, 3.0), 1, now_ns=100)
    assert (0, 3) == (len(node.learner), len(node.inbox))
    node.on_timer(100 + period - 1)
    assert 0 == len(node.learner)
    node.on_timer(100 + period)
    assert [3.0] == node.learner.prototypes().x.ravel().tolist(), "the newest goes first"
    node.on_timer(100 + 2 * period)
    assert 2 == len(node.learner)
    node.on_timer(100 + 50 * period)
    assert (3, 0) == (len(node.learner), len(node.inbox))
    assert [1, 1, 1] == [r.count for r in node.drain().records if isinstance(r, records.Trained)]


def test_records_say_which_message_was_trained_when() -> None:
    node = make_example_node()
    period = node.train_period_ns
    node.receive(share(1, 1.0, 2.0, 3.0), 1, now_ns=100)
    node.on_timer(100 + 2 * period + 7)
    node.on_timer(100 + 9 * period)
    runs = [r.runs for r in node.drain().records if isinstance(r, records.Trained)]
    created = node.views[1].created_ns
    first = records.TrainedRun(1, created, 100 + period, period, 2, 2)
    assert [(first,), (records.TrainedRun(1, created, 100 + 3 * period, 0, 1, 1),)] == runs


def test_runs_of_several_peers_and_sets_keep_every_time() -> None:
    inbox = QueueInbox(1, [1, 2])
    for peer, created, size in ((1, 5, 2), (2, 6, 1), (1, 7, 3), (2, 8, 2)):
        inbox.put(peer, PrototypeSet.of(np.zeros((size, 1)), np.zeros(size)), created)
    batch = inbox.take(8)
    expected = [
        (1000 + 10 * i, int(p), int(c)) for i, (p, c) in enumerate(zip(batch.origin, batch.created_ns, strict=True))
    ]
    found = [
        (run.first_ns + run.step_ns * i, run.peer, run.created_ns)
        for run in batch.runs(1000, 10)
        for i in range(run.count)
    ]
    assert expected == sorted(found)


def test_local_samples_interrupt_the_training_of_received_ones() -> None:
    def trained_at(train_local: bool, samples: list[int]) -> list[int]:
        node = make_example_node()
        node.train_local, node.train_period_ns = train_local, 10
        at = [*((now, True) for now in samples), (100, False)]
        for now, is_sample in sorted(at):
            if is_sample:
                node.observe([0.5], 0, now_ns=now)
            else:
                node.receive(share(1, 1.0, 2.0, 3.0), 1, now_ns=now)
        node.on_timer(1000)
        runs = [run for r in node.drain().records if isinstance(r, records.Trained) for run in r.runs]
        return [run.first_ns + run.step_ns * i for run in runs for i in range(run.count)]

    assert [110, 120, 130] == trained_at(False, [96, 97, 115])
    # Two samples keep the device busy until 116, and the one at 130 interrupts the first prototype's successor.
    assert [126, 146, 156] == trained_at(True, [96, 97, 130])
    assert [120, 140, 150] == trained_at(True, [105, 125])
    assert [110, 120, 130] == trained_at(True, [50, 85])


def test_idle_time_is_not_saved_up() -> None:
    node = make_example_node()
    node.on_timer(100 * node.train_period_ns)
    node.receive(share(1, 1.0, 2.0), 1, now_ns=100 * node.train_period_ns)
    node.on_timer(101 * node.train_period_ns - 1)
    assert 0 == len(node.learner)


@pytest.mark.parametrize(
    ("data", "sender", "reason"),
    [
        (b"", 1, "malformed"),
        (share(1, 1.0)[:-1] + b"?", 1, "checksum"),
        (share(2, 1.0), 1, "impostor"),
        (share(5, 1.0), 5, "stranger"),
        (Frame(Kind.SHARE, 1, 1, 99, 1, 1, b"nonsense").encode(), 1, "payload"),
        (Frame(Kind.SHARE, 1, 1, 99, 1, 1, encode_set(PrototypeSet.of([[1.0, 2.0]], [0]))).encode(), 1, "payload"),
        (Frame(Kind.SHARE, 1, 1, 99, 1, 1, encode_set(PrototypeSet.of([[1.0]], [2]))).encode(), 1, "payload"),
    ],
)
def test_a_refused_message_changes_nothing_but_the_count(data: bytes, sender: int, reason: str) -> None:
    node = make_example_node()
    node.observe([0.5], 1, now_ns=0)
    node.receive(share(1, 1.0, 2.0), 1, now_ns=0)
    node.drain()
    before = node.snapshot()
    late = 10 * node.train_period_ns  # Training is due, but a refused message is no reason to do it.
    with pytest.raises(RemoteProtocolError) as refused:
        node.receive(data, sender, now_ns=late)
    assert reason == refused.value.reason
    assert before == node.snapshot()
    assert [records.Refused(late, 0, sender, reason, len(data))] == node.drain().records


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [([1.0, 2.0], 0, r"shape \(1,\)"), ([np.nan], 0, "finite"), ([1.0], 2, "between 0 and 1"), ([1.0], -1, "got -1")],
)
def test_a_bad_sample_is_refused_and_not_learnt(x: list, y: int, message: str) -> None:
    node = make_example_node()
    with pytest.raises(ValueError, match=message):
        node.observe(x, y, now_ns=0)
    assert (0, []) == (len(node.learner), kinds(node))


@pytest.mark.parametrize(
    ("code", "proba"),
    [
        (0, [np.nan, np.nan]),
        (0, [0.5, 0.4]),
        (0, [1.5, -0.5]),
        (0, [1.0]),
        (1, [0.2, 0.3, 0.5]),
        (2, [0.5, 0.5]),
        (-2, [0.5, 0.5]),
    ],
)
def test_a_prediction_that_is_no_distribution_stops_and_is_not_recorded(code: int, proba: list[float]) -> None:
    node = make_example_node()
    node.learner.predict = lambda x, event_ns=None: Prediction(code, np.array(proba))
    with pytest.raises(LocalProtocolError, match=rf"predicts class {code} with .* no distribution over the 2 classes"):
        node.observe([1.0], 0, now_ns=0)
    assert (0, []) == (len(node.learner), kinds(node))


def test_time_does_not_go_backwards() -> None:
    node = make_example_node()
    node.on_timer(5)
    with pytest.raises(LocalProtocolError, match="4 after 5"):
        node.observe([1.0], 0, now_ns=4)


def test_a_training_period_of_zero_is_refused() -> None:
    other = make_example_node()
    with pytest.raises(ConfigError, match="train_period_ns must be >= 1, got 0"):
        Node(other.learner, other.exchange, other.inbox, train_period_ns=0)


@pytest.mark.parametrize("clustering", [False, True])
def test_a_restored_node_goes_on_alike_as_a_new_incarnation(clustering: bool) -> None:
    node, again = (build(0, [1, 2], clustering=clustering) for _ in range(2))
    draw = np.random.default_rng(3)
    for i in range(40):
        node.observe(draw.normal(size=2), i % 2, now_ns=i * 10 * MS)
        if i % 4 == 0:
            held = PrototypeSet.of(draw.normal(size=(5, 2)), np.zeros(5))
            node.receive(Frame(Kind.SHARE, 1, 1, i + 1, i, 0, encode_set(held)).encode(), 1, i * 10 * MS)
    node.observe([1.0, 1.0], now_ns=400 * MS, sample_id=99)
    again.restore(node.snapshot(), now_ns=node.now_ns)
    node.drain()
    assert 2 == again.incarnation
    node.exchange.gossip.incarnation = 2
    node._train_at_ns = again._train_at_ns  # Training starts again with the node.
    for i in range(40, 60):
        x = draw.normal(size=2)
        for each in (node, again):
            each.observe(x, i % 2, now_ns=i * 20 * MS)
    for each in (node, again):
        assert each.label(99, 1, now_ns=1300 * MS)
    ours, theirs = node.drain(), again.drain()
    assert ours.records == theirs.records
    assert ours.sends == theirs.sends
    assert ours.sends


def test_snapshots_of_others_and_damaged_ones_are_refused() -> None:
    node = build(0, [1])
    data = build(1, [0]).snapshot()
    with pytest.raises(SnapshotError, match="belongs to node 1"):
        node.restore(data, now_ns=0)
    for bad in (b"", b"pvs1", data[:-1], data[:20] + b"x" + data[21:]):
        with pytest.raises(SnapshotError):
            node.restore(bad, now_ns=0)


class Swarm(RuleBasedStateMachine):
    """Three nodes, and messages that are delayed, lost, duplicated, reordered, damaged; nodes that restart."""

    @initialize(clustering=st.booleans(), seed=st.integers(0, 99))
    def start(self, clustering: bool, seed: int) -> None:
        self.clustering, self.seed = clustering, seed
        self.now_ns = 0
        self.nodes = [self.fresh(i) for i in range(3)]
        self.incarnations = [1, 1, 1]
        self.wire: list[tuple[int, int, bytes]] = []
        self.seen: dict[tuple[int, int], tuple[int, int]] = {}
        self.learnt = [0, 0, 0]

    def fresh(self, i: int) -> Node:
        return build(i, [j for j in range(3) if j != i], clustering=self.clustering, seed=self.seed)

    def settle(self, i: int) -> list:
        outputs = self.nodes[i].drain()
        self.wire += [(i, peer, data) for peer, data in outputs.sends]
        return outputs.records

    @rule(i=st.integers(0, 2), x=st.tuples(*[st.floats(-10, 10)] * 2), y=st.integers(0, 1), wait=st.integers(0, 50))
    def observe(self, i: int, x: tuple[float, float], y: int, wait: int) -> None:
        self.now_ns += wait * MS
        self.nodes[i].observe(x, y, now_ns=self.now_ns)
        self.learnt[i] += 1
        self.settle(i)

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), keep=st.booleans())
    def deliver(self, data: st.DataObject, keep: bool) -> None:
        """Any message at any time, and again if it is kept."""
        at = data.draw(st.integers(0, len(self.wire) - 1))
        source, target, message = self.wire[at] if keep else self.wire.pop(at)
        node = self.nodes[target]
        frame = Frame.decode(message)
        order = (frame.incarnation, frame.sequence)
        stale = order <= self.seen.get((target, source), (0, 0))
        if stale:
            with pytest.raises(RemoteProtocolError) as refused:
                node.receive(message, source, self.now_ns)
            assert "stale" == refused.value.reason
        else:
            node.receive(message, source, self.now_ns)
            self.seen[target, source] = order
        self.settle(target)

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.wire.pop(data.draw(st.integers(0, len(self.wire) - 1)))

    @precondition(lambda self: self.wire)
    @rule(data=st.data(), at=st.integers(0, 10_000), flip=st.integers(1, 255))
    def damage(self, data: st.DataObject, at: int, flip: int) -> None:
        source, target, message = self.wire[data.draw(st.integers(0, len(self.wire) - 1))]
        bad = bytearray(message)
        bad[at % len(bad)] ^= flip
        before = self.nodes[target].snapshot()
        with pytest.raises(RemoteProtocolError):
            self.nodes[target].receive(bytes(bad), source, self.nodes[target].now_ns)
        assert before == self.nodes[target].snapshot()
        self.settle(target)

    @rule(i=st.integers(0, 2), keeps=st.booleans())
    def restart(self, i: int, keeps: bool) -> None:
        snapshot = self.nodes[i].snapshot()
        self.nodes[i] = self.fresh(i)
        self.incarnations[i] += 1
        if keeps:
            self.nodes[i].restore(snapshot, self.now_ns)
        else:
            self.learnt[i] = 0
            self.nodes[i].exchange.gossip.incarnation = self.incarnations[i]
            self.seen = {pair: order for pair, order in self.seen.items() if pair[0] != i}
        assert self.incarnations[i] == self.nodes[i].incarnation

    @invariant()
    def state_is_sane(self) -> None:
        for i, node in enumerate(getattr(self, "nodes", [])):
            assert self.learnt[i] == node.samples_learnt
            held = node.learner.prototypes()
            assert np.isfinite(held.x).all()
            assert not len(held) or held.event_ns.max() <= self.now_ns
            for peer, view in node.views.items():
                assert self.seen.get((i, peer), (0, 0)) == (view.incarnation, view.sequence)
                assert view.age_ns(self.now_ns) >= 0


Swarm.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestSwarm = Swarm.TestCase
