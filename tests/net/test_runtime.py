"""Several runtimes in one loop, joined by a transport in memory that loses, repeats, delays and cuts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from protovine.errors import MissingKeysError
from protovine.net import MemberName, PlainEnvelope
from protovine.net import runtime as module
from protovine.net.runtime import Output, Runtime, _Patience, restore_node
from protovine.net.store import Store
from protovine.net.transport import Channel
from protovine.node import Node
from protovine.system import GossipSettings, LearnerSettings, ShareSettings
from protovine.system.build import build_node
from tests.net import attacks

DIM = 2


@dataclass
class Event:
    x: Any = None
    y: int | None = None
    id: str | int | None = None
    time_ns: int | None = None


class Hub:
    """The network: who is there, what it does to messages, and which pairs it does not join."""

    def __init__(self, loss: float = 0.0, repeat: float = 0.0, delay_s: float = 0.0) -> None:
        self.loss, self.repeat, self.delay_s = loss, repeat, delay_s
        self.draw = random.Random(1)
        self.there: dict[int, Memory] = {}
        self.cut: set[tuple[int, int]] = set()
        self.greeted: list[tuple[int, int | None]] = []

    def part(self, *groups: set[int]) -> None:
        """Cut all links between groups; without groups, none is cut any more. Both ends hear of it."""
        group = {node: number for number, each in enumerate(groups) for node in each}
        pairs = {(a, b) for a in self.there for b in self.there if group.get(a) != group.get(b)}
        changed, self.cut = pairs ^ self.cut, pairs
        for a, b in sorted(changed):
            self.there[a].alive(b, (a, b) not in self.cut)

    def carry(self, source: int, target: int, channel: Channel, data: bytes) -> None:
        if target not in self.there or (source, target) in self.cut:
            return
        for _ in range(1 + (self.draw.random() < self.repeat)):
            if self.draw.random() >= self.loss:
                loop, deliver = asyncio.get_running_loop(), self.there[target].deliver
                loop.call_later(self.draw.random() * self.delay_s, deliver, channel, data)


class Memory:
    """A transport in memory."""

    def __init__(self, hub: Hub, member: int) -> None:
        self.hub, self.member, self.reopened, self.fails = hub, member, 0, 0

    def open(self, deliver: Any, alive: Any, status: Any) -> None:
        self.deliver, self.alive, self.status = deliver, alive, status
        self.hub.there[self.member] = self
        for other, transport in list(self.hub.there.items()):
            if other != self.member and (other, self.member) not in self.hub.cut:
                transport.alive(self.member, True)
                alive(other, True)

    def send(self, peer: int, data: bytes) -> None:
        self.hub.carry(self.member, peer, Channel.MESSAGE, data)

    def greet(self, peer: int | None, data: bytes, ask: bool) -> None:
        self.hub.greeted.append((self.member, peer))
        for other in sorted(self.hub.there) if peer is None else [peer]:
            if other != self.member:
                self.hub.carry(self.member, other, Channel.ASK if ask else Channel.HELLO, data)

    def reopen(self) -> None:
        self.reopened += 1
        if self.fails:
            self.fails -= 1
            raise OSError("no network")
        self.close()
        self.open(self.deliver, self.alive, self.status)

    def close(self) -> None:
        self.hub.there.pop(self.member, None)
        for other, transport in self.hub.there.items():
            if (other, self.member) not in self.hub.cut:
                transport.alive(self.member, False)


def node_of(node: int, incarnation: int = 1, peers: list[int] | None = None) -> Node:
    return build_node(
        LearnerSettings(name="hedged"),
        ShareSettings(kind="log", queue_max=1000, select="all", batch_s=0.01),
        GossipSettings(s=4, T=1.0, schedule="round-robin"),
        node=node,
        peers=peers or [],
        dim=DIM,
        n_classes=2,
        draw=lambda purpose: np.random.default_rng([node, incarnation, len(purpose)]),
        incarnation=incarnation,
        train_period_ns=1,
    )


def runtime_of(hub: Hub, member: int, node: Node | None = None, **more: Any) -> Runtime:
    node = node or node_of(member)
    envelope = PlainEnvelope(MemberName("barn", f"node-{member}", member), incarnation=node.incarnation, schema=b"v1")
    return Runtime(node, envelope, Memory(hub, member), **more)


class Swarm:
    """Runtimes that run; at the end all are stopped, and a bug in one fails the test."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.tasks: dict[Runtime, asyncio.Task[None]] = {}

    def start(self, member: int, node: Node | None = None, **more: Any) -> Runtime:
        made = runtime_of(self.hub, member, node, **more)
        self.tasks[made] = asyncio.create_task(made.run())
        return made

    async def kill(self, runtime: Runtime) -> None:
        """As kill -9 does: nothing in order."""
        with mock.patch.object(runtime, "_leave", runtime.transport.close):
            self.tasks.pop(runtime).cancel()
            await asyncio.sleep(0.01)

    async def __aenter__(self) -> Swarm:
        return self

    async def __aexit__(self, *error: object) -> None:
        for runtime in self.tasks:
            runtime.stop()
        await asyncio.gather(*self.tasks.values())


async def until(true: Callable[[], bool], timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.005)


def play(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def met(*runtimes: Runtime) -> bool:
    return all(len(each.names) == len(runtimes) - 1 for each in runtimes)


def agree(*runtimes: Runtime) -> bool:
    heads = {each.node.id: each.node.head for each in runtimes}
    return all(
        heads[other] == mark
        for each in runtimes
        for other, mark in each.node.gossip.watermarks.items()
        if other in heads
    )  # fmt: skip


def sample(runtime: Runtime, count: int = 1, y: int | None = None) -> None:
    for _ in range(count):
        label = runtime.tally.samples % 2 if y is None else y
        runtime.take(Event(np.array([float(label), runtime.tally.samples % 7]), label))


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """Kernels are compiled before anybody counts seconds."""
    runtime = Runtime(node_of(0), None, None)  # type: ignore[arg-type]
    sample(runtime, 30)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody needs to wait long for the first question."""
    monkeypatch.setattr(module, "_ASK_S", 0.1)


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

    play(scenario())


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
                await until(lambda: 2 not in one.alive)
            sample(one, 10)
            with Store(tmp_path) as store:
                state = store.load().state
                assert state is not None
                node = restore_node(lambda peers: node_of(2, peers=peers), state, time.time_ns())
                assert node.incarnation == 2 and len(node.learner) >= 2 and node.peers == [1]
                again = swarm.start(2, node)
                again.restore(state)
                await until(lambda: met(one, again) and again.alive == {1} and one.alive == {2})
                sample(again, 5)
                await until(lambda: agree(one, again))
                assert one.node.gossip.watermarks[2][0] == 2
                assert one._incarnations == {2: 2}

    play(scenario())


def test_a_partition_heals_with_what_both_sides_told() -> None:
    async def scenario() -> None:
        async with Swarm(Hub()) as swarm:
            runtimes = [swarm.start(member) for member in range(4)]
            await until(lambda: met(*runtimes))
            swarm.hub.part({0, 1}, {2, 3})
            await until(lambda: all(len(each.alive) == 1 for each in runtimes))
            for each in runtimes:
                sample(each, 20)
            await until(lambda: agree(*runtimes[:2]) and agree(*runtimes[2:]))
            assert not agree(*runtimes)
            swarm.hub.part({0, 1, 2, 3})
            started = time.monotonic()
            await until(lambda: agree(*runtimes))
            assert time.monotonic() - started < 10

    play(scenario())


def test_a_link_whose_end_was_not_heard_of_is_found_by_asking() -> None:
    """A lost sign of life must not part two members for good."""

    async def scenario() -> None:
        with mock.patch.multiple(module, _LOOK_S=0.05, _ASK_MISSING_S=0.1):
            async with Swarm(Hub()) as swarm:
                one, two = swarm.start(1), swarm.start(2)
                await until(lambda: met(one, two))
                one._link(2, False)
                assert one.alive == set()
                await until(lambda: one.alive == {2})

    play(scenario())


def test_sessions_are_opened_anew_while_somebody_stays_missing() -> None:
    async def scenario() -> None:
        waits = {"_REOPEN_ALONE_S": 0.2, "_REOPEN_ALONE_MAX_S": 0.4, "_REOPEN_S": 0.5, "_REOPEN_MAX_S": 1.0}
        with mock.patch.multiple(module, _LOOK_S=0.05, _ASK_MISSING_S=60.0, **waits):
            async with Swarm(Hub()) as swarm:
                one, two, three = (swarm.start(member) for member in (1, 2, 3))
                await until(lambda: met(one, two, three))
                await swarm.kill(three)
                await until(lambda: one.tally.reopened > 0 and two.tally.reopened > 0)
                await until(lambda: one.alive == {2} and two.alive == {1})
                transport = one.transport
                assert isinstance(transport, Memory)
                transport.fails = 1
                await swarm.kill(two)
                before = transport.reopened
                await until(lambda: transport.reopened >= before + 2)

    play(scenario())


def test_patience_doubles_and_returns() -> None:
    patience = _Patience(10, 35, now=0)
    over = [now for now in range(200) if patience.over(True, now)]
    assert over == [10, 30, 65, 100, 135, 170], "after 10, 20, 35, 35 s and so on"
    assert not patience.over(False, 190) and not patience.over(False, 206)
    assert [now for now in range(207, 230) if patience.over(True, now)] == [216], "long enough fine, so short again"


def test_nobody_but_neighbours() -> None:
    async def scenario() -> None:
        async with Swarm(Hub()) as swarm:
            one, two = swarm.start(1, neighbours=frozenset({2})), swarm.start(2, neighbours=frozenset({1}))
            swarm.start(3)
            await until(lambda: met(one, two) and one.tally.refused[-1, "stranger"] > 0)
            await asyncio.sleep(0.1)
            assert one.names == {2: "node-2"} and one.node.peers == [2]

    play(scenario())


# -- What must not be. -------------------------------------------------------------------------------------------------


def test_garbage_is_counted_by_reason_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        draw = random.Random(1)
        async with Swarm(Hub()) as swarm:
            one, two = swarm.start(1), swarm.start(2)
            await until(lambda: met(one, two))
            caplog.clear()
            for _ in range(200):
                for channel in Channel:
                    one._deliver(channel, draw.randbytes(draw.randrange(200)))
                for entry in attacks.bad_entries(DIM):
                    swarm.hub.carry(2, 1, Channel.MESSAGE, two.envelope.seal(1, attacks.frame(2, (entry,))))
                swarm.hub.carry(2, 1, Channel.MESSAGE, two.envelope.seal(1, attacks.with_length(2, 2**30)))
            await until(lambda: not one._inbound and one.tally.refused[2, "payload"] >= 200)
            await asyncio.sleep(0.05)
            assert one.tally.refused[-1, "malformed"] > 200
            assert one.tally.refused[2, "malformed"] == 200
            assert not any(why == "bug" for _, why in one.tally.refused)
            said = [record.message for record in caplog.records if record.levelname == "WARNING"]
            assert len(said) == len(set(one.tally.refused)) <= 12
            before = one.node.gossip.watermarks
            assert before == {2: (0, 0)} or before[2][1] == two.node.head[1]
            sample(two, 5)
            await until(lambda: agree(one, two))

    play(scenario())


def test_state_does_not_grow_with_ids_that_somebody_makes_up() -> None:
    async def scenario() -> None:
        async with Swarm(Hub()) as swarm:
            one, two = swarm.start(1, neighbours=frozenset({2})), swarm.start(2)
            await until(lambda: met(one, two))
            swarm.hub.greeted.clear()
            for made_up in range(5000):
                liar = PlainEnvelope(MemberName("barn", "x", 1000 + made_up), incarnation=1, schema=b"v1")
                one._deliver(Channel.ASK, liar.hello(time.time_ns()))
                one._alive_changed(10_000 + made_up, True)
                with mock.patch.object(one.envelope, "open", side_effect=MissingKeysError(20_000 + made_up, "?")):
                    one._message_or_refusal = None  # type: ignore[attr-defined]
                    one._deliver(Channel.MESSAGE, b"")
                    one._drain_inbound()
            await until(lambda: not one._inbound)
            for found in (one.names, one._incarnations, one.alive, one._budgets, one.node.views):
                assert set(found) <= {2}
            assert len(one._greeted) <= 1001 and len(one.tally.refused) < 20
            assert len(one.envelope.members()) <= 1 + module.HELLO_BURST + 20 * 10, "hellos are looked at now and then"
            assert len([1 for who, to in swarm.hub.greeted if who == 1]) < 400, "and rarely answered"

    play(scenario())


def test_a_flood_of_one_member_is_throttled_and_does_not_drown_another() -> None:
    async def scenario() -> None:
        with mock.patch.multiple(module, PEER_MESSAGES_PER_S=10.0, PEER_BURST_S=2):
            async with Swarm(Hub()) as swarm:
                one, two, three = (swarm.start(member) for member in (1, 2, 3))
                await until(lambda: met(one, two, three))
                for _ in range(500):
                    one._deliver(Channel.MESSAGE, three.envelope.seal(1, b"x"))
                sample(two, 5)
                await until(lambda: not one._inbound and one.node.gossip.watermarks[2] == two.node.head)
                assert one.tally.refused[3, "flood"] >= 400
                assert 10 <= one.tally.refused[3, "malformed"] <= 60
                assert (2, "flood") not in one.tally.refused

    play(scenario())


def test_a_flood_of_hellos_does_not_shut_out_those_that_are_known() -> None:
    async def scenario() -> None:
        with mock.patch.multiple(module, HELLOS_PER_S=1.0, HELLO_BURST=5):
            async with Swarm(Hub()) as swarm:
                one, two = swarm.start(1), swarm.start(2)
                await until(lambda: met(one, two))
                for made_up in range(50):
                    liar = PlainEnvelope(MemberName("barn", f"x{made_up}", 100 + made_up), incarnation=1, schema=b"v1")
                    one._deliver(Channel.HELLO, liar.hello(time.time_ns()))
                    one._deliver(Channel.HELLO, b"garbage")
                await until(lambda: not one._inbound)
                assert one.tally.refused[-1, "flood"] >= 40 and one.tally.refused[-1, "malformed"] == 50
                one.alive.discard(2)
                one._deliver(Channel.HELLO, two.envelope.hello(time.time_ns()))
                await until(lambda: 2 in one.alive)

    play(scenario())


def test_what_is_too_much_to_wait_is_dropped_and_counted() -> None:
    async def scenario() -> None:
        with mock.patch.multiple(module, INBOUND_MESSAGES_MAX=100, INBOUND_BYTES_MAX=10_000):
            async with Swarm(Hub()) as swarm:
                one = swarm.start(1)
                await asyncio.sleep(0.01)
                for _ in range(150):
                    one._deliver(Channel.MESSAGE, b"")
                assert len(one._inbound) == 100 and one.tally.refused[-1, "overrun"] == 50
                await until(lambda: not one._inbound)
                one._deliver(Channel.MESSAGE, bytes(6000))
                one._deliver(Channel.MESSAGE, bytes(6000))
                assert one.tally.refused[-1, "overrun"] == 51
                await until(lambda: not one._inbound)
                assert one._inbound_bytes == 0

    play(scenario())


def test_threads_that_deliver_at_once_lose_no_count() -> None:
    async def scenario() -> None:
        async with Swarm(Hub()) as swarm:
            one = swarm.start(1)
            await asyncio.sleep(0.01)

            def deliver() -> None:
                for _ in range(2000):
                    one._deliver(Channel.HELLO, b"12345")

            await asyncio.gather(*(asyncio.to_thread(deliver) for _ in range(4)))
            await until(lambda: not one._inbound)
            assert one._inbound_bytes == 0 and sum(one.tally.refused.values()) == 8000

    play(scenario())


def test_a_bug_in_reading_is_counted_and_one_in_a_timer_ends_the_run() -> None:
    async def scenario() -> None:
        hub = Hub()
        one, two = runtime_of(hub, 1), runtime_of(hub, 2)
        running = [asyncio.create_task(each.run()) for each in (one, two)]
        await until(lambda: met(one, two))
        with mock.patch.object(one.node, "receive", side_effect=ZeroDivisionError):
            one._deliver(Channel.MESSAGE, two.envelope.seal(1, b"x"))
            await until(lambda: one.tally.refused[-1, "bug"] > 0)
        with mock.patch.object(one.node, "on_timer", side_effect=ZeroDivisionError):
            one._on_timer()
            with pytest.raises(ZeroDivisionError):
                await running[0]
        two.stop()
        await running[1]

    play(scenario())


# -- Samples and labels. -----------------------------------------------------------------------------------------------


async def from_list(events: list[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event


def test_a_source_that_ends_ends_the_run_in_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        hub, outputs = Hub(), []
        with Store(tmp_path) as store:
            one = runtime_of(hub, 1, store=store)

            async def put(output: Output) -> None:
                outputs.append(output)

            events = [Event(np.array([float(i % 2), 1.0]), i % 2, f"s{i}") for i in range(50)]
            await asyncio.wait_for(one.run(lambda: one.feed(from_list(events), put)), 5)
            assert hub.there == {} and one.tally.samples == one.tally.judged == 50
            made: list[Output] = outputs
            assert [output.id for output in made] == [event.id for event in events]
            assert [output.prediction.code for output in made[-10:]] == [0, 1] * 5
            state = store.load().state
            assert state is not None and state["next_id"] == 50

    play(scenario())


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

            await asyncio.wait_for(one.run(lambda: one.feed(endless())), 10)
            assert 2 in one.names

    play(scenario())


def test_a_source_that_breaks_is_not_overlooked() -> None:
    async def scenario() -> None:
        async def broken() -> AsyncIterator[Event]:
            yield Event(np.array([0.0, 1.0]), 0)
            raise OSError("unplugged")

        hub = Hub()
        one = runtime_of(hub, 1)
        with pytest.raises(OSError, match="unplugged"):
            await one.run(lambda: one.feed(broken()))
        assert one.tally.samples == 1 and hub.there == {}

    play(scenario())


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

    play(scenario())


@pytest.mark.parametrize(
    "event",
    [
        Event(np.array([np.inf, 0.0]), 0),
        Event(np.array([1.0]), 0),
        Event(np.array([1.0, 2.0]), 99),
        Event(np.array([1e300, 2.0]), 0),
    ],
)
def test_a_bad_sample_is_counted_and_learnt_by_nobody(event: Event) -> None:
    async def scenario() -> None:
        one = runtime_of(Hub(), 1)
        sample(one, 4)
        before = one.node.samples_learnt
        with pytest.raises(ValueError, match="must"):
            one.take(event)
        await one.feed(from_list([event, Event(np.array([0.0, 1.0]), 0)]))
        assert (one.tally.refused[-1, "sample"], one.tally.samples, one.node.samples_learnt) == (1, 5, before + 1)

    play(scenario())


def test_what_waits_for_labels_is_bounded() -> None:
    async def scenario() -> None:
        with mock.patch.object(module, "_AWAITED_MAX", 10):
            one = runtime_of(Hub(), 1)
            for name in range(50):
                one.take(Event(np.array([0.0, 3.0]), None, name))
            assert list(one._awaited) == list(range(40, 50))

    play(scenario())


# -- Clocks and disks. -------------------------------------------------------------------------------------------------


def test_a_clock_behind_the_snapshots_does_not_stop_a_node() -> None:
    async def scenario() -> None:
        now_ns = time.time_ns()
        one = runtime_of(Hub(), 1)
        sample(one, 5)
        state = one.state()
        node = restore_node(lambda peers: node_of(1, peers=peers), state, now_ns - 3600 * 10**9)
        again = runtime_of(Hub(), 1, node, clock=lambda: now_ns - 3600 * 10**9)
        sample(again, 5)
        assert again.tally.samples == 5

    play(scenario())


def test_a_full_disk_is_said_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        with Store(tmp_path) as store:
            async with Swarm(Hub()) as swarm:
                one = swarm.start(1, store=store, snapshot_s=0.02)
                with mock.patch.object(store, "_write", side_effect=OSError("disk full")):
                    await until(lambda: "disk full" in caplog.text)
                assert one.tally.snapshots == 0
                await until(lambda: one.tally.snapshots > 0)

    play(scenario())


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

    play(scenario())
