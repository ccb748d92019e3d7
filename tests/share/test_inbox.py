from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from protovine.errors import ConfigError
from protovine.prototypes import PrototypeSet
from protovine.share import QueueInbox, SetInbox, SetLimits

LIMITS = SetLimits(1, 10)


def numbered(*values: float) -> PrototypeSet:
    return PrototypeSet.of(np.array(values)[:, np.newaxis], np.zeros(len(values)))


def taken(inbox, count: int) -> list[float]:
    return inbox.take(count).x.ravel().tolist()


def test_queue_is_last_in_first_out_and_visits_peers_in_turn() -> None:
    inbox = QueueInbox(1, [2, 1])
    inbox.put(1, numbered(10, 11), 0)
    inbox.put(2, numbered(20), 0)
    inbox.put(1, numbered(12), 0)
    assert [12, 20, 11, 10] == taken(inbox, 9)
    assert 0 == len(inbox)


def test_full_queue_loses_its_oldest() -> None:
    inbox = QueueInbox(1, [1], queue_max=3)
    assert 0 == inbox.put(1, numbered(1, 2), 0)
    assert 1 == inbox.put(1, numbered(3, 4), 0)
    assert 3 == len(inbox)
    assert 2 == inbox.put(1, numbered(5, 6), 0)
    assert [6, 5, 4] == taken(inbox, 3)
    assert 2 == inbox.put(1, numbered(1, 2, 3, 4, 5), 0)
    assert [5, 4, 3] == taken(inbox, 5)


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3]), st.integers(0, 5), st.integers(0, 4))), st.integers(1, 8))
def test_queue_equals_a_list(moves: list[tuple[int, int, int]], queue_max: int) -> None:
    inbox = QueueInbox(1, [1, 2, 3], queue_max)
    lists: dict[int, list[float]] = {1: [], 2: [], 3: []}
    value, turn = 0.0, 0
    for peer, put, take in moves:
        new = [value + i for i in range(put)]
        value += put
        inbox.put(peer, numbered(*new), 0)
        lists[peer] = (lists[peer] + new)[-queue_max:]
        expected = []
        while len(expected) < take and any(lists.values()):
            visited = (1, 2, 3)[turn]
            turn = (turn + 1) % 3
            if lists[visited]:
                expected.append(lists[visited].pop())
        assert expected == taken(inbox, take)
        assert sum(map(len, lists.values())) == len(inbox)


def test_set_inbox_draws_from_the_newest_sets_without_removing_prototypes() -> None:
    inbox = SetInbox(1, [1, 2], np.random.default_rng(0))
    assert [] == taken(inbox, 3)
    inbox.put(1, numbered(1, 2, 3), 0)
    assert 3 == inbox.put(1, numbered(10, 11), 0)
    inbox.put(2, numbered(20), 0)
    drawn = taken(inbox, 200)
    assert drawn[1::2] == [20.0] * 100
    assert {10.0, 11.0} == set(drawn[::2])
    assert 3 == len(inbox)


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(0, 5), st.integers(0, 4))), st.integers(1, 8))
def test_random_order_loses_the_oldest_and_draws_what_waits(moves: list[tuple[int, int, int]], queue_max: int) -> None:
    inbox = QueueInbox(1, [1, 2], queue_max, "random", np.random.default_rng(0))
    lists: dict[int, list[float]] = {1: [], 2: []}
    value, made = 0.0, {}
    for now, (peer, put, take) in enumerate(moves):
        new = [value + i for i in range(put)]
        made |= dict.fromkeys(new, now)
        value += put
        lost = max(0, len(lists[peer]) + put - queue_max)
        assert lost == inbox.put(peer, numbered(*new), now)
        lists[peer] = (lists[peer] + new)[-queue_max:]
        batch = inbox.take(take)
        for x, origin, created in zip(batch.x.ravel().tolist(), batch.origin.tolist(), batch.created_ns, strict=True):
            lists[origin].remove(x)
            assert made[x] == created
        assert sum(map(len, lists.values())) == len(inbox)


def test_random_order_draws_all_that_wait_alike() -> None:
    counts = np.zeros((6, 6))
    for seed in range(600):
        inbox = QueueInbox(1, [1], order="random", rng=np.random.default_rng(seed))
        inbox.put(1, numbered(0, 1), 0)
        inbox.put(1, numbered(2, 3, 4, 5), 0)
        for place, value in enumerate(taken(inbox, 6)):
            counts[place, int(value)] += 1
    assert chisquare(counts.ravel()).pvalue > 0.001


def test_first_in_first_out() -> None:
    inbox = QueueInbox(1, [1], 3, "fifo")
    inbox.put(1, numbered(1, 2), 5)
    inbox.put(1, numbered(3, 4), 6)
    batch = inbox.take(2)
    assert ([2, 3], [5, 6]) == (batch.x.ravel().tolist(), batch.created_ns.tolist())
    assert [4] == taken(inbox, 9)


def test_set_inbox_says_what_was_drawn_before() -> None:
    inbox = SetInbox(1, [1], np.random.default_rng(0))
    inbox.put(1, numbered(1, 2, 3), 7)
    batch = inbox.take(50)
    values = batch.x.ravel().tolist()
    assert [x not in values[:i] for i, x in enumerate(values)] == batch.fresh.tolist()
    assert {7} == set(batch.created_ns.tolist())
    inbox.put(1, numbered(1, 2, 3), 8)
    assert inbox.take(1).fresh.all()


def test_random_order_needs_a_generator() -> None:
    with pytest.raises(ConfigError, match="random generator"):
        QueueInbox(1, [1], order="random")


@pytest.mark.parametrize("kind", ["lifo", "fifo", "random", "set"])
def test_restored_inbox_goes_on_alike(kind: str) -> None:
    def make():
        draw = np.random.default_rng(0)
        return SetInbox(1, [1, 2], draw) if kind == "set" else QueueInbox(1, [1, 2], order=kind, rng=draw)

    inbox, again = make(), make()
    inbox.put(1, numbered(1, 2, 3), 8)
    inbox.put(1, numbered(6), 9)
    inbox.put(2, numbered(4, 5), 7)
    inbox.take(1)
    again.restore(inbox.state(), LIMITS)
    for mine, other in zip(inbox.take(4), again.take(4), strict=True):
        assert np.array_equal(mine, other)


def test_queue_without_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="queue_max must be >= 1, got 0"):
        QueueInbox(1, [1], queue_max=0)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 6)), max_size=40),
    st.sampled_from(["lifo", "fifo"]),
)
def test_taking_runs_is_taking_one_after_the_other(steps, order):
    """Against plain lists, visited in turn."""
    made, turn = QueueInbox(1, [0, 1, 2, 3], queue_max=9, order=order), 0
    plain: list[list[float]] = [[], [], [], []]
    for number, (peer, size, count) in enumerate(steps):
        values = [100.0 * number + i for i in range(size)]
        made.put(peer, PrototypeSet.of(np.array(values).reshape(-1, 1), [0] * size), number)
        plain[peer] = (plain[peer] + values)[-9:]
        expected = []
        while len(expected) < count and any(plain):
            queue, turn = plain[turn], (turn + 1) % 4
            if queue:
                expected.append(queue.pop(-1 if order == "lifo" else 0))
        taken = made.take(count)
        assert expected == taken.x[:, 0].tolist()
        assert [int(value // 100) for value in expected] == taken.created_ns.tolist()
        assert sum(map(len, plain)) == len(made)
