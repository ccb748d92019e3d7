"""Clocks that jump, in virtual time: a node follows them at once, says so once, and goes on learning from peers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.net import Identity, Trust
from protovine.net.clock import SET_SINCE_NS, Clock
from protovine.node import Node
from protovine.tape import AnyCall, TapedNode, play
from tests.net.hub import node_of
from tests.net.world import BEGIN_NS, DAY, HOUR, YEAR, Disk, Process, S, World, certify, repeatable, teach

JUMPS = [by * way for by in (10 * S, HOUR, DAY, 30 * YEAR) for way in (1, -1)]


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Identity], Trust]:
    return certify(tmp_path_factory.mktemp("certificates"), 3)


@pytest.fixture
def world(certified: tuple[dict[str, Identity], Trust]) -> World:
    with repeatable():
        yield World(*certified)


def hear(world: World, *processes: Process) -> bool:
    return all(world.heard(of, by) for of in processes for by in processes if of is not by)


def times(process: Process) -> np.ndarray:
    node: Node = process.runtime.node
    return node.learner.prototypes().event_ns


def received(process: Process) -> float:
    """Samples that a process has trained, its own and those of peers."""
    process.runtime.node.on_timer(process.runtime.now_ns())
    return float(process.runtime.node.learner.prototypes().weight.sum()) - process.runtime.node.samples_learnt


@pytest.mark.parametrize("by_ns", JUMPS, ids=lambda by_ns: f"{by_ns / S:+.0f} s")
def test_after_any_jump_a_node_goes_on_at_once_and_says_it_once(
    world: World, by_ns: int, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = world.start(0), world.start(1)
    teach(world, one, two)
    world.until(lambda: hear(world, one, two), 5 * S)
    before = received(one)
    caplog.clear()
    two.ahead_ns = by_ns
    teach(world, one, two)
    world.until(lambda: hear(world, one, two), 5 * S)
    assert received(one) > before
    said = [record.message for record in caplog.records if "the clock" in record.message]
    if by_ns > -YEAR:
        assert len(said) == 1 and said[0].startswith(f"the clock was set {'ahead' if by_ns > 0 else 'back'} by")
        assert abs(two.runtime.now_ns() - world.now_ns - by_ns) < 5 * S
    else:  # No clock is right that is before the beginning of its certificate.
        assert not said and abs(two.runtime.now_ns() - world.now_ns) < 5 * S
        assert any("the clock is not set: it shows 2000-" in line for line in two.runtime.warnings)
    assert times(two).max() <= two.runtime.now_ns()
    # And back again.
    two.ahead_ns = 0
    teach(world, one, two)
    world.until(lambda: hear(world, one, two), 5 * S)
    assert abs(two.runtime.now_ns() - world.now_ns) < 5 * S and not two.runtime.warnings
    assert world.now_ns - 20 * S < times(two).min() <= times(two).max() <= two.runtime.now_ns(), (
        "as if nothing had been"
    )
    assert world.now_ns - 20 * S < times(one).min() <= times(one).max() <= one.runtime.now_ns()


def test_the_progress_of_a_member_whose_clock_was_set_back_is_known(world: World) -> None:
    """Its messages are made before those that came earlier, and newer all the same."""
    one, two = world.start(0), world.start(1)
    teach(world, one, two)
    world.until(lambda: hear(world, one, two), 5 * S)
    before = one.runtime.tally.latency.summary()["count"]
    two.ahead_ns = -HOUR
    teach(world, one, two)
    world.until(lambda: hear(world, one, two), 5 * S)
    known = one.runtime.node.views[two.runtime.node.id]
    assert two.runtime.node.samples_learnt == known.samples_learnt
    assert abs(known.created_ns - (world.now_ns - HOUR)) < 10 * S, "by the clock of its sender"
    assert one.runtime.tally.latency.summary()["count"] > before


@pytest.mark.parametrize("by_ns", [10 * S, HOUR, 23 * HOUR, 30 * YEAR])
def test_a_clock_that_was_ahead_before_a_restart_stops_nothing(world: World, by_ns: int) -> None:
    one, disk = world.start(0), Disk()
    two = world.start(1, disk, ahead_ns=by_ns)
    teach(world, one, two)
    if by_ns < DAY:
        world.until(lambda: hear(world, one, two), 10 * S)
    two.save()
    learnt = two.runtime.node.samples_learnt
    world.kill(two)
    world.run(10 * S)
    two = world.start(1, disk)
    assert two.runtime.node.samples_learnt == learnt
    teach(world, one, two)
    world.until(lambda: hear(world, one, two), 30 * S)
    assert times(two).max() <= two.runtime.now_ns() < world.now_ns + 5 * S
    assert two.runtime.node.inbox is not None and two.runtime.node.next_timer_ns() is not None


@pytest.mark.parametrize("saved", [True, False])
def test_a_clock_that_is_in_1970_until_it_is_set_stops_nothing(world: World, saved: bool) -> None:
    one, disk = world.start(0), Disk()
    two = world.start(1, disk)
    teach(world, one, two)
    two.save()
    before_ns = two.runtime.node.now_ns
    world.kill(two)
    world.run(HOUR)
    two = world.start(1, disk if saved else Disk(), ahead_ns=-world.now_ns)
    assert two.runtime.now_ns() >= (before_ns if saved else BEGIN_NS - DAY) > SET_SINCE_NS
    assert any("the clock is not set: it shows 1970-01-01 00:00" in line for line in two.runtime.warnings)
    teach(world, one, two)
    if saved:  # It is within a day of the others' time, who would not believe it else.
        world.until(lambda: hear(world, one, two), 30 * S)
    two.ahead_ns = 0
    teach(world, one, two)
    world.until(lambda: hear(world, one, two), 30 * S)
    assert not two.runtime.warnings and abs(two.runtime.now_ns() - world.now_ns) < 5 * S


def test_a_member_that_was_years_ahead_is_met_again_when_its_clock_is_right(world: World) -> None:
    """All certificates have ended for it, and its hellos are of another time for the others."""
    one = world.start(0)
    two = world.start(1, ahead_ns=30 * YEAR)
    three = world.start(2)
    teach(world, one, two, three)
    world.run(HOUR)
    assert not two.runtime.roster.peers and set(one.runtime.roster.peers) == {2}
    two.ahead_ns = 0
    took_ns = world.until(lambda: len(two.runtime.roster.peers) == len(one.runtime.roster.peers) == 2, 30 * S)
    teach(world, one, two, three)
    took_ns += world.until(lambda: hear(world, one, two, three), 30 * S)
    assert took_ns < 30 * S


@given(st.lists(st.tuples(st.integers(0, 100 * S), st.sampled_from([0, 0, S, -S, *JUMPS])), max_size=30))
def test_the_time_goes_back_only_with_a_jump(steps: list[tuple[int, int]]) -> None:
    wall, steady = [BEGIN_NS], [0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    last, moved = clock(), 0
    for passed, by in steps:
        steady[0] += passed
        wall[0] += passed + by
        now = clock()
        jump = clock.take_jump()
        moved += jump.by_ns if jump else 0
        assert jump is not None or now >= last
        assert jump is None or (jump.now_ns == now and abs(jump.by_ns) >= 5 * S)
        if wall[0] >= SET_SINCE_NS:
            assert now - wall[0] < 5 * S and now >= wall[0]
        last = now
    assert clock.take_jump() is None


def test_a_tape_of_jumps_and_raised_incarnations_plays_the_same() -> None:
    calls: list[AnyCall] = []
    node = TapedNode(node_of(1, peers=[2]), calls.append)
    now_ns, made = BEGIN_NS, []
    for step in range(40):
        now_ns += S
        if step == 10:
            node.shift(-HOUR, BEGIN_NS, now_ns := now_ns - HOUR)
        if step == 20:
            node.rejoin(9, now_ns)
        if step == 30:
            node.shift(30 * YEAR, BEGIN_NS, now_ns := now_ns + 30 * YEAR)
        node.observe([float(step % 2), step % 7], step % 2, now_ns=now_ns)
        node.on_timer(now_ns)
        made += node.drain().records
    assert play(calls, node_of(1)) == made and node.incarnation == 9
