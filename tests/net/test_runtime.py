"""Several runtimes in one loop: they meet, share, lose each other, and survive what they are sent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from protovine.errors import MissingKeysError, SampleError
from protovine.net import MemberName, PlainEnvelope, tasks
from protovine.net.causes import Causes
from protovine.net.clock import Clock
from protovine.net.feeding import feed
from protovine.net.inbound import InboundLimits
from protovine.net.roster import RosterTiming
from protovine.net.samples import AwaitLimits, LocalSamples, SamplePrediction
from protovine.net.snapshots import restore_node
from protovine.net.store import Store
from protovine.net.tally import PeerGroup, Tally
from protovine.net.transport import Channel
from protovine.records import SECOND_NS
from protovine.snapshot import pack, unpack
from tests.net import attacks
from tests.net.hub import (
    DIM,
    Event,
    Hub,
    Memory,
    Swarm,
    agree,
    met,
    node_of,
    run,
    runtime_of,
    sample,
    until,
    watermarks,
)

UNKNOWN = PeerGroup.UNKNOWN
_log = logging.getLogger("protovine")


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """Compile kernels before any test measures time."""
    runtime = runtime_of(Hub(), 0)
    sample(runtime, 30)


# -- Who is there. -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
@pytest.mark.parametrize("loss", [0.0, 0.4])
def test_members_meet_in_any_order_and_share(order: tuple[int, ...], loss: float) -> None:
    async def scenario() -> None:
        async with Swarm(Hub(loss=loss, repeat=loss, delay_s=0.02)) as swarm:
            runtimes = []
            for member in order:
                runtimes.append(swarm.start(member))
                await asyncio.sleep(0.02)
            await until(lambda: met(*runtimes))
            for _ in range(10):
                for each in runtimes:
                    sample(each)
                await asyncio.sleep(0.01)
            swarm.hub.loss = min(loss, 0.1)
            await until(lambda: agree(*runtimes))
            for each in runtimes:
                assert len(each.node.learner) >= 2 and each.node.head[1] >= 10
                assert not {why for _, why in each.tally.refused} - {"keys"}

    run(scenario())


def test_a_restarted_member_is_met_again_and_gets_what_it_missed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Swarm(Hub()) as swarm:
            with Store(tmp_path) as store:
                one, two = swarm.start(1), swarm.start(2, store=store, snapshot_s=0.05)
                await until(lambda: met(one, two))
                sample(one, 10)
                sample(two, 10)
                await until(lambda: agree(one, two) and two.tally.snapshots > 1)
                await asyncio.sleep(0.15)
                await swarm.kill(two)
                await until(lambda: 2 not in one.roster.alive)
            sample(one, 10)
            with Store(tmp_path) as store:
                state = store.load().state
                assert state is not None
                node = restore_node(lambda peers: node_of(2, peers=peers), state, time.time_ns())
                assert node.incarnation == 2 and len(node.learner) >= 2 and node.peers == [1]
                again = swarm.start(2, node)
                again.restore(state)
                await until(lambda: met(one, again) and again.roster.alive == {1} and one.roster.alive == {2})
                sample(again, 5)
                await until(lambda: agree(one, again))
                assert watermarks(one)[2][0] == 2
                assert one.roster.peers[2].incarnation == 2

    run(scenario())


def test_a_partition_heals_and_both_sides_get_what_they_missed() -> None:
    async def scenario() -> None:
        async with Swarm(Hub()) as swarm:
            runtimes = [swarm.start(member) for member in range(4)]
            await until(lambda: met(*runtimes))
            swarm.hub.part({0, 1}, {2, 3})
            await until(lambda: all(len(each.roster.alive) == 1 for each in runtimes))
            for each in runtimes:
                sample(each, 20)
            await until(lambda: agree(*runtimes[:2]) and agree(*runtimes[2:]))
            assert not agree(*runtimes)
            swarm.hub.part({0, 1, 2, 3})
            started = time.monotonic()
            await until(lambda: agree(*runtimes))
            assert time.monotonic() - started < 10

    run(scenario())


def test_a_message_that_arrives_while_a_node_leaves_reaches_it_no_more() -> None:
    """The transport delivers until it is closed; the node has ended by then, and so has its tape."""

    async def scenario() -> None:
        async with Swarm(Hub()) as swarm:
            one, two = swarm.start(1), swarm.start(2)
            await until(lambda: met(one, two))
            close, late = one.transport.close, mock.Mock()

            def deliver_and_close() -> None:
                one.node.receive = late  # type: ignore[method-assign]
                one._deliver(Channel.MESSAGE, two.envelope.seal(1, b"late"))
                close()

            with mock.patch.object(one.transport, "close", deliver_and_close):
                one.stop()
                await swarm.tasks[one]
            handled = asyncio.Event()
            asyncio.get_running_loop().call_soon(handled.set)  # After all that was due before.
            await handled.wait()
            late.assert_not_called()
            assert 0 == one.tally.bugs == one.inbound.waiting[0]

    run(scenario())


def test_a_peer_whose_link_seems_lost_is_found_by_asking() -> None:
    """A lost sign of life must not part two members for good."""

    async def scenario() -> None:
        timing = RosterTiming(ask_s=0.1, look_s=0.05, ask_missing_s=0.1)
        async with Swarm(Hub(), timing=timing) as swarm:
            one, two = swarm.start(1), swarm.start(2)
            await until(lambda: met(one, two))
            one._link(2, False)
            assert one.roster.alive == set()
            await until(lambda: one.roster.alive == {2})

    run(scenario())


def test_sessions_are_opened_again_while_a_peer_stays_missing() -> None:
    async def scenario() -> None:
        waits = {"reopen_alone_s": 0.2, "reopen_alone_s_max": 0.4, "reopen_s": 0.5, "reopen_s_max": 1.0}
        timing = RosterTiming(ask_s=0.1, look_s=0.05, ask_missing_s=60.0, **waits)
        async with Swarm(Hub(), timing=timing) as swarm:
            one, two, three = (swarm.start(member) for member in (1, 2, 3))
            await until(lambda: met(one, two, three))
            await swarm.kill(three)
            await until(lambda: one.tally.reopened > 0 and two.tally.reopened > 0)
            await until(lambda: one.roster.alive == {2} and two.roster.alive == {1})
            transport = one.transport
            assert isinstance(transport, Memory)
            transport.fails = 1
            await swarm.kill(two)
            before = transport.reopened
            await until(lambda: transport.reopened >= before + 2)
            await until(lambda: not any(task.done() for task in one._tasks))  # Else they grow in number for months.

    run(scenario())


def test_only_neighbours_are_met() -> None:
    async def scenario() -> None:
        async with Swarm(Hub()) as swarm:
            one, two = swarm.start(1, neighbours=frozenset({2})), swarm.start(2, neighbours=frozenset({1}))
            swarm.start(3)
            await until(lambda: met(one, two) and one.tally.refused[UNKNOWN, "stranger"] > 0)
            await asyncio.sleep(0.1)
            assert one.roster.names == {2: "node-2"} and one.node.peers == [2]

    run(scenario())


# -- What must not be. -------------------------------------------------------------------------------------------------


def test_garbage_is_counted_by_reason_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        draw = random.Random(1)
        async with Swarm(Hub()) as swarm:
            one, two = swarm.start(1), swarm.start(2)
            await until(lambda: met(one, two))
            caplog.clear()
            caplog.set_level("INFO", "protovine")
            for _ in range(200):
                for channel in Channel:
                    one._deliver(channel, draw.randbytes(draw.randrange(200)))
                for entry in attacks.bad_entries(DIM):
                    swarm.hub.carry(2, 1, Channel.MESSAGE, two.envelope.seal(1, attacks.frame(2, (entry,))))
                swarm.hub.carry(2, 1, Channel.MESSAGE, two.envelope.seal(1, attacks.with_length(2, 2**30)))
            await until(lambda: not one.inbound.waiting[0] and one.tally.refused[2, "payload"] >= 200)
            await asyncio.sleep(0.05)
            assert one.tally.refused[UNKNOWN, "malformed"] > 200
            assert one.tally.refused[2, "malformed"] == 200
            assert one.tally.bugs == 0
            said = [record.message for record in caplog.records if record.message.startswith("refused")]
            assert len(said) == len(set(one.tally.refused)) <= 12
            before = watermarks(one)
            assert before == {2: (0, 0)} or before[2][1] == two.node.head[1]
            sample(two, 5)
            await until(lambda: agree(one, two))

    run(scenario())


def test_state_does_not_grow_with_made_up_ids() -> None:
    async def scenario() -> None:
        async with Swarm(Hub()) as swarm:
            one, two = swarm.start(1, neighbours=frozenset({2})), swarm.start(2)
            await until(lambda: met(one, two))
            swarm.hub.hellos.clear()
            began_s = time.monotonic()
            for made_up in range(5000):
                liar = PlainEnvelope(MemberName("barn", "x", 1000 + made_up), incarnation=1, schema=b"v1")
                one._deliver(Channel.ASK, liar.hello(time.time_ns()))
                one._link_changed(10_000 + made_up, True)
                with mock.patch.object(one.envelope, "open", side_effect=MissingKeysError(20_000 + made_up, "?")):
                    one._deliver(Channel.MESSAGE, b"")
                    one._drain_inbound()
            await until(lambda: not one.inbound.waiting[0])
            for found in (one.roster.peers, one.inbound._budgets, one.node.views):
                assert set(found) <= {2}
            assert len(one.roster._hello_at_ns) <= 1001 and len(one.tally.refused) < 20
            passed_s = time.monotonic() - began_s
            assert len(one.envelope.members()) <= 2 + 200 + 20 * passed_s, "hellos are looked at now and then"
            assert len([1 for who, to in swarm.hub.hellos if who == 1]) < 300 + 10 * passed_s, "and rarely answered"

    run(scenario())


def test_a_flood_of_one_member_is_throttled_and_does_not_drown_another() -> None:
    async def scenario() -> None:
        async with Swarm(Hub(), limits=InboundLimits(peer_messages_per_s=10.0, peer_burst_s=2)) as swarm:
            one, two, three = (swarm.start(member) for member in (1, 2, 3))
            await until(lambda: met(one, two, three))
            for _ in range(500):
                one._deliver(Channel.MESSAGE, three.envelope.seal(1, b"x"))
            sample(two, 5)
            await until(lambda: not one.inbound.waiting[0] and watermarks(one)[2] == two.node.head)
            assert one.tally.refused[3, "flood"] >= 400
            assert 10 <= one.tally.refused[3, "malformed"] <= 60
            assert (2, "flood") not in one.tally.refused

    run(scenario())


def test_a_flood_of_hellos_does_not_shut_out_those_that_are_known() -> None:
    async def scenario() -> None:
        async with Swarm(Hub(), limits=InboundLimits(hellos_per_s=1.0, hello_burst=5)) as swarm:
            one, two = swarm.start(1), swarm.start(2)
            await until(lambda: met(one, two))
            for made_up in range(50):
                liar = PlainEnvelope(MemberName("barn", f"x{made_up}", 100 + made_up), incarnation=1, schema=b"v1")
                one._deliver(Channel.HELLO, liar.hello(time.time_ns()))
                one._deliver(Channel.HELLO, b"garbage")
            await until(lambda: not one.inbound.waiting[0])
            assert one.tally.refused[UNKNOWN, "flood"] >= 40 and one.tally.refused[UNKNOWN, "malformed"] == 50
            one.roster.link(2, False, one.now_ns())
            one._deliver(Channel.HELLO, two.envelope.hello(time.time_ns()))
            await until(lambda: 2 in one.roster.alive)

    run(scenario())


def test_messages_beyond_the_queue_are_dropped_and_counted() -> None:
    async def scenario() -> None:
        async with Swarm(Hub(), limits=InboundLimits(messages_max=100, bytes_max=10_000)) as swarm:
            one = swarm.start(1)
            await asyncio.sleep(0.01)
            for _ in range(150):
                one._deliver(Channel.MESSAGE, b"")
            assert one.inbound.waiting[0] == 100 and one.tally.refused[UNKNOWN, "overrun"] == 50
            await until(lambda: not one.inbound.waiting[0])
            one._deliver(Channel.MESSAGE, bytes(6000))
            one._deliver(Channel.MESSAGE, bytes(6000))
            assert one.tally.refused[UNKNOWN, "overrun"] == 51
            await until(lambda: not one.inbound.waiting[0])
            assert one.inbound.waiting == (0, 0)

    run(scenario())


def test_threads_that_deliver_at_once_lose_no_count() -> None:
    async def scenario() -> None:
        async with Swarm(Hub()) as swarm:
            one = swarm.start(1)
            await asyncio.sleep(0.01)

            def deliver() -> None:
                for _ in range(2000):
                    one._deliver(Channel.HELLO, b"12345")

            await asyncio.gather(*(asyncio.to_thread(deliver) for _ in range(4)))
            await until(lambda: not one.inbound.waiting[0])
            assert one.inbound.waiting == (0, 0) and sum(one.tally.refused.values()) == 8000

    run(scenario())


def test_a_bug_in_reading_is_counted_and_one_in_a_timer_ends_the_run() -> None:
    async def scenario() -> None:
        hub = Hub()
        one, two = runtime_of(hub, 1), runtime_of(hub, 2)
        running = [asyncio.create_task(each.run()) for each in (one, two)]
        await until(lambda: met(one, two))
        with mock.patch.object(one.node, "receive", side_effect=ZeroDivisionError):
            one._deliver(Channel.MESSAGE, two.envelope.seal(1, b"x"))
            await until(lambda: one.tally.bugs >= 1)
        due = {"next_timer_ns": mock.Mock(return_value=0), "on_timer": mock.Mock(side_effect=ZeroDivisionError)}
        with mock.patch.multiple(one.node, **due):
            one._on_timer()
            with pytest.raises(ZeroDivisionError):
                await running[0]
        two.stop()
        await running[1]

    run(scenario())


# -- Samples and labels. -----------------------------------------------------------------------------------------------


async def from_list(events: list[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event


def test_a_source_that_ends_ends_the_run_in_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        hub, outputs = Hub(), []
        with Store(tmp_path) as store:
            one = runtime_of(hub, 1, store=store)

            async def put(output: SamplePrediction) -> None:
                outputs.append(output)

            events = [Event(np.array([float(i % 2), 1.0]), i % 2, f"s{i}") for i in range(50)]
            await asyncio.wait_for(one.run(lambda: feed(one, from_list(events), put)), 5)
            assert hub.there == {} and one.tally.samples == one.tally.judged == 50
            made: list[SamplePrediction] = outputs
            assert [output.id for output in made] == [event.id for event in events]
            assert [output.prediction.code for output in made[-10:]] == [0, 1] * 5
            state = store.load().state
            assert state is not None and state["next_id"] == 50

    run(scenario())


def test_a_source_that_never_waits_lets_peers_in() -> None:
    async def scenario() -> None:
        async with Swarm(Hub()) as swarm:
            two = swarm.start(2)
            one = runtime_of(swarm.hub, 1)

            async def endless() -> AsyncIterator[Event]:
                while True:
                    yield Event(np.array([0.0, 1.0]), 0)
                    if met(one, two):
                        return
                    if one.tally.samples % 100 == 0:
                        await asyncio.sleep(0)

            await asyncio.wait_for(one.run(lambda: feed(one, endless())), 10)
            assert 2 in one.roster.names

    run(scenario())


def test_a_source_that_breaks_ends_the_run_with_its_error() -> None:
    async def scenario() -> None:
        async def broken() -> AsyncIterator[Event]:
            yield Event(np.array([0.0, 1.0]), 0)
            raise OSError("unplugged")

        hub = Hub()
        one = runtime_of(hub, 1)
        with pytest.raises(OSError, match="unplugged"):
            await one.run(lambda: feed(one, broken()))
        assert one.tally.samples == 1 and hub.there == {}

    run(scenario())


@pytest.mark.parametrize("saves", [False, True])
def test_a_node_that_is_stopped_lets_its_sink_write_what_waits(saves: bool, tmp_path: Path) -> None:
    closed: list[bool] = []

    async def scenario() -> None:
        hub = Hub()
        with contextlib.ExitStack() as stack:
            store = stack.enter_context(Store(tmp_path)) if saves else None
            one = runtime_of(hub, 1, store=store, snapshot_s=3600.0)

            async def feed() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    for _ in range(20):  # As a sink that waits for its broker.
                        await asyncio.sleep(0.01)
                    closed.append(1 in hub.there)

            running = asyncio.create_task(one.run(feed))
            await until(lambda: 1 in hub.there)
            one.stop()
            await running
            assert closed == [True], "before the node leaves"

    run(scenario())


def test_a_sink_that_hangs_or_breaks_while_it_is_closed_does_not_keep_the_state_from_being_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_CLOSING_S", 0.1)

    async def scenario(closing: Callable[[], Awaitable[object]]) -> None:
        with Store(tmp_path) as store:
            one = runtime_of(Hub(), 1, store=store, snapshot_s=3600.0)

            async def feed() -> None:
                sample(one, 3)
                one.stop()
                try:
                    await asyncio.Event().wait()
                finally:
                    await closing()

            try:
                await one.run(feed)
            finally:
                assert one.tally.snapshots == 1

    async def breaks() -> None:
        raise ZeroDivisionError

    run(scenario(asyncio.Event().wait))
    with pytest.raises(ZeroDivisionError):
        run(scenario(breaks))


def test_labels_that_come_late_or_for_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        one = runtime_of(Hub(), 1)
        sample(one, 20)
        for name in ("a", "b", 7):
            one.take(Event(np.array([0.0, 3.0]), None, name))
        learnt = one.node.samples_learnt
        one.take(Event(None, 0, "a"))
        assert (one.tally.labels, one.tally.unknown_labels, one.node.samples_learnt) == (1, 0, learnt + 1)
        for event in (Event(None, 0, "a"), Event(None, 1, "never"), Event(None, 1, None), Event(None, None, "b")):
            one.take(event)
        assert (one.tally.labels, one.tally.unknown_labels) == (1, 4)
        one.take(Event(np.array([0.0, 3.0]), None, "c"))
        state = one.state()
        node = restore_node(lambda peers: node_of(1, peers=peers), state, time.time_ns())
        again = runtime_of(Hub(), 1, node)
        again.restore(state)
        again.take(Event(None, 1, "c"))
        again.take(Event(None, 1, 7))
        assert (again.tally.labels, again.tally.unknown_labels) == (2, 0)
        assert again.tally.judged == 2

    run(scenario())


@pytest.mark.parametrize(
    "event",
    [
        Event(np.array([np.inf, 0.0]), 0),
        Event(np.array([1.0]), 0),
        Event(np.array([1.0, 2.0]), 99),
        Event(np.array([1e300, 2.0]), 0),
    ],
)
def test_a_bad_sample_is_counted_and_not_learnt(event: Event) -> None:
    async def scenario() -> None:
        one = runtime_of(Hub(), 1)
        sample(one, 4)
        before = one.node.samples_learnt
        with pytest.raises(SampleError, match="must"):
            one.take(event)
        await feed(one, from_list([event, Event(np.array([0.0, 1.0]), 0)]))
        assert (one.tally.samples_refused, one.tally.samples, one.node.samples_learnt) == (1, 5, before + 1)

    run(scenario())


@pytest.mark.parametrize(
    ("limits", "kept", "why"),
    [
        (AwaitLimits(samples_max=10), 10, "more than 10 samples wait"),
        (AwaitLimits(bytes_max=10 * 219), 10, "waiting samples take more than"),
        (AwaitLimits(s_max=9.0), 10, "it did not come in 9 s"),
    ],
)
def test_samples_that_wait_for_labels_are_bounded_and_it_is_said(
    limits: AwaitLimits, kept: int, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    node, tally = node_of(1), Tally(causes=Causes(lambda reason, text: _log.warning("%s", text)))
    samples = LocalSamples(node, tally, limits)
    for name in range(50):
        samples.take(Event(np.array([0.0, 3.0]), None, name + 100), name + 1, steady_ns=name * SECOND_NS)
    assert samples.awaited == [("", str(name + 100)) for name in range(50 - kept, 50)]
    assert (kept, 50 - kept) == (node.unlabelled, tally.labels_given_up)
    assert caplog.text.count(why) == 1, "at most once a minute"
    samples.take(Event(None, 1, 149), 60)
    samples.take(Event(None, 1, 100), 60)
    assert (1, 1, kept - 1) == (tally.labels, tally.unknown_labels, node.unlabelled)


def test_a_sample_without_an_id_waits_for_no_label() -> None:
    node = node_of(1)
    samples = LocalSamples(node, Tally())
    samples.take(Event(np.array([0.0, 3.0]), None, 7), 1)
    for name in range(20):
        assert samples.take(Event(np.array([0.0, 3.0]), None, None), 2 + name) is not None
    assert (1, [("", "7")]) == (node.unlabelled, samples.awaited)
    samples.take(Event(None, 1, 7), 60)
    assert (0, 1) == (node.unlabelled, samples.tally.labels)


def test_a_snapshot_has_the_newest_samples_that_wait_and_they_go_on_waiting(caplog: pytest.LogCaptureFixture) -> None:
    node = node_of(1)
    samples = LocalSamples(node, Tally(), AwaitLimits(saved_bytes_max=2200, s_max=100.0))
    sizes = []
    for name in range(3000):
        samples.take(Event(np.array([0.0, 3.0]), None, name + 1000), name + 1, steady_ns=SECOND_NS)
        if name in (9, 2999):
            sizes.append(len(pack(samples.state(steady_ns=51 * SECOND_NS))))
    assert sizes[1] < sizes[0] + 200, "a snapshot does not grow with labels that never come"
    state = unpack(pack(samples.state(steady_ns=51 * SECOND_NS)))
    assert caplog.text.count("only the newest 10 of 3000 samples") == 1
    again = restore_node(lambda peers: node_of(1, peers=peers), {"peers": [], **state}, 10_000)
    more = LocalSamples(again, Tally(), samples.limits)
    more.restore(state, steady_ns=0)
    assert more.awaited == [("", str(name)) for name in range(3990, 4000)] and again.unlabelled == 10
    more.take(Event(np.array([0.0, 3.0]), None, 1), 10_001, steady_ns=51 * SECOND_NS)
    assert more.awaited == [("", "1")], "they have waited 101 s in all"


# -- Clocks and disks. -------------------------------------------------------------------------------------------------


def test_a_clock_behind_the_snapshots_does_not_stop_a_node() -> None:
    async def scenario() -> None:
        now_ns = time.time_ns()
        one = runtime_of(Hub(), 1)
        sample(one, 5)
        state = one.state()
        node = restore_node(lambda peers: node_of(1, peers=peers), state, now_ns - 3600 * 10**9)
        again = runtime_of(Hub(), 1, node, clock=Clock(lambda: now_ns - 3600 * 10**9))
        sample(again, 5)
        assert again.tally.samples == 5

    run(scenario())


def test_a_clock_that_is_a_little_ahead_runs_at_half_speed_until_the_system_has_caught_up() -> None:
    system, passed = [1_000_000_000_000], [0]
    clock = Clock(lambda: system[0], lambda: passed[0], least_ns=0)
    first = clock()
    system[0] -= 100
    found = []
    for _ in range(5):
        passed[0], system[0] = passed[0] + 60, system[0] + 60
        found.append(clock() - first)
    assert [30, 60, 90, 140, 200] == found and clock.take_jump() is None


def test_a_full_disk_is_logged_and_not_fatal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        with Store(tmp_path) as store:
            async with Swarm(Hub()) as swarm:
                one = swarm.start(1, store=store, snapshot_s=0.02)
                with mock.patch.object(store, "_write", side_effect=OSError("disk full")):
                    await until(lambda: "disk full" in caplog.text)
                assert one.tally.snapshots == 0
                await until(lambda: one.tally.snapshots > 0)

    run(scenario())


@pytest.mark.parametrize("snapshot_s", [0.01, 3600.0])
def test_a_state_that_cannot_be_saved_ends_the_run_and_closes_the_network(tmp_path: Path, snapshot_s: float) -> None:
    async def scenario() -> None:
        hub = Hub()
        with Store(tmp_path) as store:
            one = runtime_of(hub, 1, store=store, snapshot_s=snapshot_s)
            with mock.patch.object(one.node.learner, "state", return_value={"odd": object()}):
                running = asyncio.create_task(one.run())
                await until(lambda: 1 in hub.there)
                if snapshot_s > 1:
                    one.stop()
                with pytest.raises(TypeError, match="a snapshot cannot hold object"):
                    await running
        assert 1 not in hub.there

    run(scenario())


def test_the_last_snapshot_is_of_the_end_even_if_another_is_being_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Store(tmp_path) as store:
            one = runtime_of(Hub(), 1, store=store, snapshot_s=0.01)
            slow = store._write

            def write(*arguments: Any, **more: Any) -> None:
                time.sleep(0.1)
                slow(*arguments, **more)

            async def feed() -> None:
                await asyncio.sleep(0.05)  # A snapshot is being written by now.
                sample(one, 3)

            with mock.patch.object(store, "_write", write):
                await one.run(feed)
            state = store.load().state
            assert state is not None and state["next_id"] == 3

    run(scenario())
