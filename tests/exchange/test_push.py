"""Exchange of whole payloads: at which opportunities they are pushed, to whom, and what becomes of acknowledgements."""

from __future__ import annotations

import numpy as np
import pytest

from protovine.errors import ConfigError
from protovine.exchange import Outputs, SetExchange
from protovine.gossip import Coin, Kind, PushGossip, Schedule, make_schedule
from protovine.gossip.frame import Frame
from protovine.learn import HedgedLVQCore, XuILVQCore
from protovine.node import Node
from protovine.prototypes import PrototypeSet
from protovine.share import AlwaysGate, LocalSample, QueueInbox, SetLimits, WholeSets, encode_set

SAMPLE = LocalSample(np.array([0.5]), 0, 1, 0.0, True)


def exchange(
    peers: tuple[int, ...] = (1, 2, 3, 4),
    schedule: Schedule | None = None,
    fanout: int = 2,
    share_probability: float = 1.0,
    poll_ns: int = 0,
    node: int = 0,
) -> SetExchange:
    learner = XuILVQCore(1, 2)
    learner.learn(np.array([[0.5]]), np.array([0]), np.array([1]))
    schedule = schedule or Coin(fanout, share_probability, np.random.default_rng(0))
    return SetExchange(
        learner, PushGossip(node, list(peers)), schedule, WholeSets(AlwaysGate(), SetLimits(1, 2)), poll_ns
    )


def pushed(node: SetExchange, now_ns: int = 1) -> list[int]:
    out = Outputs()
    node.learnt(SAMPLE, 1, now_ns, out)
    return [peer for peer, _ in out.sends]


def ticked(node: SetExchange, now_ns: int) -> list[int]:
    out = Outputs()
    node.on_timer(1, now_ns, out)
    return [peer for peer, _ in out.sends]


def test_peers_are_drawn_uniformly_without_replacement() -> None:
    node = exchange(fanout=2)
    counts = np.zeros(5)
    for _ in range(3000):
        chosen = pushed(node)
        assert 2 == len(set(chosen))
        counts[chosen] += 1
    assert 0 == counts[0]
    # Binomial(3000, 1/2): four standard deviations are 110.
    assert np.abs(counts[1:] - 1500).max() < 110


@pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 0), (0.1, 80, 120), (1.0, 1000, 1000)])
def test_opportunities_are_used_with_the_share_probability(probability: float, low: int, high: int) -> None:
    node = exchange(share_probability=probability)
    assert low <= sum(bool(pushed(node)) for _ in range(1000)) <= high


def test_a_fanout_beyond_the_number_of_peers_means_all_of_them() -> None:
    assert [1, 2] == pushed(exchange(peers=(2, 1), fanout=9))
    assert [] == pushed(exchange(peers=(), fanout=9))


def test_polling_merges_opportunities_until_the_next_tick() -> None:
    node = exchange(poll_ns=50)
    assert node.next_timer_ns() is None
    assert [] == pushed(node, 10)
    assert [] == pushed(node, 49)
    assert 50 == node.next_timer_ns()
    assert [] == ticked(node, 49)
    assert ticked(node, 50)
    assert [] == ticked(node, 100)


def test_a_restored_exchange_draws_the_same_peers() -> None:
    node, again = exchange(share_probability=0.5), exchange(share_probability=0.5)
    for _ in range(5):
        pushed(node)
    again.restore(node.state())
    assert [pushed(node) for _ in range(20)] == [pushed(again) for _ in range(20)]


def test_the_schedule_hears_of_acknowledgements() -> None:
    def oldest(node: int) -> Schedule:
        return make_schedule("oldest", 1, 1.0, np.random.default_rng(node))

    one, other = exchange((1,), oldest(0)), exchange((0,), oldest(1), node=1)
    heard: list[tuple[int, int, int]] = []
    one.schedule.acknowledged = lambda *what: heard.append(what)  # type: ignore[method-assign]
    out = Outputs()
    one.learnt(SAMPLE, 1, 50, out)
    ((peer, data),) = out.sends
    assert (1, Kind.RELIABLE_SHARE) == (peer, Frame.decode(data).kind)
    assert 1 == len(other.receive(data, 0, 60).prototypes)
    back = Outputs()
    other.on_timer(1, 60, back)
    assert ["acknowledgement"] == [record.kind for record in back.records]
    assert 0 == len(one.receive(back.sends[0][1], 1, 70).prototypes)
    assert [(1, 50, 70)] == heard


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fanout": 0}, "fanout must be >= 1, got 0"),
        ({"share_probability": 1.1}, "share_probability must be between 0 and 1, got 1.1"),
        ({"share_probability": -0.1}, "share_probability must be between 0 and 1, got -0.1"),
        ({"poll_ns": -1}, "poll_ns must be >= 0, got -1"),
    ],
)
def test_options_out_of_range_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        exchange(**change)


@pytest.mark.parametrize("core", [HedgedLVQCore, XuILVQCore])
@pytest.mark.parametrize("weight", [0.0, 1e-45, 9.9e37])
def test_no_weight_that_a_peer_may_send_ends_a_node(core: type[HedgedLVQCore | XuILVQCore], weight: float) -> None:
    learner = core(1, 2)
    share = WholeSets(AlwaysGate(), SetLimits(1, 2), "float64")
    exchange = SetExchange(learner, PushGossip(0, [1]), Coin(1, 1.0, np.random.default_rng(0)), share)
    node = Node(learner, exchange, QueueInbox(1, [1]))
    node.observe([0.1], 0, now_ns=1)
    payload = encode_set(PrototypeSet.of([[0.5], [0.6]], [1, 0], weight=[weight, 1.0], event_ns=[5, 6]), "float64")
    node.receive(Frame(Kind.SHARE, 1, 1, 1, 1, 6, payload).encode(), 1, now_ns=10)
    found = node.observe([0.2], 0, now_ns=10**10)
    assert np.isfinite(found.proba).all()
    assert 0 == len(node.inbox)
