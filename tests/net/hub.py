"""Runtimes in one loop, joined by a transport in memory that loses, repeats, delays and cuts."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal
from unittest import mock

import numpy as np

from protovine.net import MemberName, PlainEnvelope
from protovine.net.causes import Place
from protovine.net.roster import RosterTiming
from protovine.net.runtime import Runtime
from protovine.net.transport import Channel
from protovine.node import Node
from protovine.system import GossipSettings, NodeContext, SystemSettings
from protovine.system.build import build_node
from protovine.system.settings import HedgedSettings, LogSettings, QueueInboxSettings

DIM = 2


@dataclass
class Event:
    x: Any = None
    y: int | None = None
    id: str | int | None = None
    time_ns: int | None = None
    device: str = ""
    place: Place | None = None


class Hub:
    """The network: who is there, what it does to messages, and which pairs it does not join."""

    def __init__(self, loss: float = 0.0, repeat: float = 0.0, delay_s: float = 0.0) -> None:
        self.loss, self.repeat, self.delay_s = loss, repeat, delay_s
        self.draw = random.Random(1)
        self.lock = threading.RLock()  # Runtimes open the network again in threads.
        self.there: dict[int, Memory] = {}
        self.cut: set[tuple[int, int]] = set()
        self.hellos: list[tuple[int, int | None]] = []

    def part(self, *groups: set[int]) -> None:
        """Cut all links between groups; without groups, none is cut any more. Both ends hear of it."""
        group = {node: number for number, each in enumerate(groups) for node in each}
        pairs = {(a, b) for a in self.there for b in self.there if group.get(a) != group.get(b)}
        changed, self.cut = pairs ^ self.cut, pairs
        for a, b in sorted(changed):
            self.there[a].alive(b, (a, b) not in self.cut)

    def carry(self, source: int, target: int, channel: Channel, data: bytes) -> None:
        for _ in range(1 + (self.draw.random() < self.repeat)):
            if self.draw.random() >= self.loss:
                wait_s = self.draw.random() * self.delay_s
                asyncio.get_running_loop().call_later(wait_s, self._arrive, source, target, channel, data)

    def _arrive(self, source: int, target: int, channel: Channel, data: bytes) -> None:
        transport = self.there.get(target)
        if transport is not None and (source, target) not in self.cut:
            transport.deliver(channel, data)


class Memory:
    """A transport in memory."""

    def __init__(self, hub: Hub, member: int) -> None:
        self.hub, self.member, self.reopened, self.fails = hub, member, 0, 0

    def open(self, deliver: Any, alive: Any, status: Any) -> None:
        self.deliver, self.alive, self.status = deliver, alive, status
        with self.hub.lock:
            self.hub.there[self.member] = self
            for other, transport in self.hub.there.items():
                if other != self.member and (other, self.member) not in self.hub.cut:
                    transport.alive(self.member, True)
                    alive(other, True)

    def send(self, peer: int, data: bytes) -> None:
        self.hub.carry(self.member, peer, Channel.MESSAGE, data)

    def send_all(self, data: bytes) -> None:
        for other in sorted(self.hub.there):
            if other != self.member:
                self.hub.carry(self.member, other, Channel.BROADCAST, data)

    def send_hello(self, peer: int | None, data: bytes, ask: bool) -> None:
        self.hub.hellos.append((self.member, peer))
        for other in sorted(self.hub.there) if peer is None else [peer]:
            if other != self.member:
                self.hub.carry(self.member, other, Channel.ASK if ask else Channel.HELLO, data)

    def send_revocations(self, peer: int | None, data: bytes) -> None:
        for other in sorted(self.hub.there) if peer is None else [peer]:
            if other != self.member:
                self.hub.carry(self.member, other, Channel.REVOCATIONS, data)

    def deny(self, names: frozenset[str]) -> None:
        self.denied = names

    def reopen(self) -> None:
        self.reopened += 1
        if self.fails:
            self.fails -= 1
            raise OSError("no network")
        self.close()
        self.open(self.deliver, self.alive, self.status)

    def rejoin(self) -> None: ...

    def close(self) -> None:
        with self.hub.lock:
            self.hub.there.pop(self.member, None)
            for other, transport in self.hub.there.items():
                if (other, self.member) not in self.hub.cut:
                    transport.alive(self.member, False)


def node_of(
    node: int,
    incarnation: int = 1,
    peers: list[int] | None = None,
    schedule: Literal["round-robin", "broadcast"] = "round-robin",
) -> Node:
    return build_node(
        SystemSettings(
            learner=HedgedSettings(),
            exchange=LogSettings(inbox=QueueInboxSettings(queue_max=1000), select="all", batch_s=0.01),
            gossip=GossipSettings(fanout=4, share_probability=1.0, schedule=schedule),
        ),
        NodeContext(
            node=node,
            peers=peers or [],
            dim=DIM,
            n_classes=2,
            draw=lambda purpose: np.random.default_rng([node, incarnation, len(purpose)]),
            incarnation=incarnation,
            train_period_ns=1,
            broadcasts=True,
        ),
    )


def runtime_of(hub: Hub, member: int, node: Node | None = None, **more: Any) -> Runtime:
    node = node or node_of(member)
    more.setdefault("timing", RosterTiming(ask_s=0.1))  # No test needs to wait long for the first hello.
    envelope = PlainEnvelope(MemberName("barn", f"node-{member}", member), incarnation=node.incarnation, schema=b"v1")
    return Runtime(node, envelope, Memory(hub, member), **more)


class Swarm:
    """Runtimes that run; at the end all are stopped, and a bug in one fails the test."""

    def __init__(self, hub: Hub, **options: Any) -> None:
        self.hub, self.options = hub, options
        self.tasks: dict[Runtime, asyncio.Task[None]] = {}

    def start(self, member: int, node: Node | None = None, **more: Any) -> Runtime:
        made = runtime_of(self.hub, member, node, **{**self.options, **more})
        self.tasks[made] = asyncio.create_task(made.run())
        return made

    async def kill(self, runtime: Runtime) -> None:
        """As kill -9 does: nothing in order, and no timer of it runs any more."""

        def end() -> None:
            runtime._loop = None
            if runtime._timer is not None:
                runtime._timer.cancel()
            runtime.transport.close()

        with mock.patch.object(runtime, "_leave", end):
            self.tasks.pop(runtime).cancel()
            await asyncio.sleep(0.01)

    async def __aenter__(self) -> Swarm:
        return self

    async def __aexit__(self, *error: object) -> None:
        for runtime in self.tasks:
            runtime.stop()
        await asyncio.gather(*self.tasks.values())


async def until(true: Callable[[], bool], timeout_s: float = 90.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.005)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def met(*runtimes: Runtime) -> bool:
    return all(len(each.roster.peers) == len(runtimes) - 1 for each in runtimes)


def agree(*runtimes: Runtime) -> bool:
    heads = {each.node.id: each.node.head for each in runtimes}
    marks = [pair for each in runtimes for pair in watermarks(each).items()]
    return all(heads[other] == mark for other, mark in marks if other in heads)


def watermarks(runtime: Runtime) -> dict[int, tuple[int, int]]:
    """Incarnation and sequence number of the newest message that a runtime has of each peer, with all before it."""
    found: dict[int, tuple[int, int]] = runtime.node.exchange.gossip.watermarks
    return found


def sample(runtime: Runtime, count: int = 1, y: int | None = None) -> None:
    for _ in range(count):
        label = runtime.tally.samples % 2 if y is None else y
        runtime.take(Event(np.array([float(label), runtime.tally.samples % 7]), label))
