"""Ranges of time that are forgotten, and what exchanges refuse because of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import RemoteProtocolError
from protovine.exchange import FOREVER_NS, Forgotten
from protovine.node import Node, make_example_node
from protovine.prototypes import PrototypeSet
from protovine.system import NodeContext, SystemSettings
from protovine.system.build import build_node

spans = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted).map(tuple), max_size=8)


@given(spans, st.integers(0, 30), st.integers(0, 30))
def test_ranges_are_a_set_of_times(found: list[tuple[int, int]], one: int, other: int) -> None:
    forgotten = Forgotten()
    for since, until in found:
        forgotten.add(3, since, until)
    times = {at for since, until in found for at in range(since, until + 1)}
    assert times == {at for at in range(32) if forgotten.covers(3, at)}
    since, until = sorted((one, other))
    assert forgotten.has(3, since, until) == (set(range(since, until + 1)) <= times)
    held = PrototypeSet.of(np.zeros((32, 1)), [0] * 32, event_ns=list(range(32)))
    assert {*range(32)} - times == {*forgotten.screen(3, held).event_ns.tolist()}
    assert len(times) == forgotten.refused[3]
    assert 32 == len(forgotten.screen(4, held)) and not forgotten.refused[4]
    again = Forgotten()
    again.restore(forgotten.state())
    assert again.ranges(3) == forgotten.ranges(3)
    # No two of them touch, so there are at most as many as tombstones.
    assert all(a[1] + 1 < b[0] for a, b in zip(again.ranges(3), again.ranges(3)[1:], strict=False))


def test_whole_sets_lose_the_prototypes_of_the_time() -> None:
    one, other = make_example_node(), make_example_node()
    other.exchange.gossip.node, other.id = 1, 1  # type: ignore[attr-defined]
    other.exchange.gossip.peers, other.exchange.gossip.views = [0], {0: one.views[1]}  # type: ignore[attr-defined]
    for at in range(1, 5):
        other.observe([float(at)], at % 2, now_ns=at)
    message = other.drain().sends[-1][1]
    one.forget(1, 0, 2, 4)
    one.receive(message, 1, 5)
    taken, whole = one.inbox.take(9).event_ns, other.learner.prototypes().event_ns
    assert sorted(whole[whole > 2]) == sorted(taken) and len(taken)
    assert int((whole <= 2).sum()) == one.exchange.forgotten.refused[1] > 0
    again = make_example_node()
    again.restore(one.snapshot(), 6)
    assert ((0, 2),) == again.exchange.forgotten.ranges(1)


def test_a_model_made_at_the_time_is_refused_and_one_made_later_is_not() -> None:
    settings = SystemSettings.model_validate({"learner": {"kind": "bayes"}, "exchange": {"kind": "models"}})

    def node_of(node: int) -> Node:
        peers = [1 - node]
        return build_node(
            settings,
            NodeContext(
                node=node,
                peers=peers,
                dim=1,
                n_classes=2,
                draw=lambda purpose: np.random.default_rng(0),
                incarnation=1,
                train_period_ns=1,
            ),
        )

    one, other = node_of(0), node_of(1)
    messages = []
    for at in range(1, 9):
        other.observe([float(at % 2)], at % 2, now_ns=at)
        messages += [data for _, data in other.drain().sends]
    assert 1 < len(messages)
    one.receive(messages[0], 1, 8)
    assert 1 == one.forget(1, 0, 7, 8).learnt.dropped
    with pytest.raises(RemoteProtocolError) as error:
        one.receive(messages[1], 1, 8)
    assert "forgotten" == error.value.reason
    later: list[bytes] = []
    while not later:
        other.observe([1.0], 1, now_ns=FOREVER_NS // 2)
        later = [data for _, data in other.drain().sends]
    one.receive(later[0], 1, FOREVER_NS // 2)
    assert 1 == len(one.learner)
