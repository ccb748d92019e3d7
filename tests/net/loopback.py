"""Two or more real runtimes in one process, joined by a transport that hands bytes over at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.exchange import SetExchange
from protovine.gossip import Coin, PushGossip
from protovine.learn import XuILVQCore
from protovine.net import MemberName, PlainEnvelope
from protovine.net.causes import Place
from protovine.net.runtime import Runtime
from protovine.net.security.base import EnvelopeLike
from protovine.net.transport import Channel
from protovine.node import Node
from protovine.share import AlwaysGate, QueueInbox, SetLimits, WholeSets


class Wire:
    """Where transports find each other. A runtime opens its transport again in another thread, so there is a lock."""

    def __init__(self) -> None:
        self.ends: dict[int, End] = {}
        self.lock = threading.RLock()


class End:
    """One member's transport."""

    def __init__(self, wire: Wire, member: int) -> None:
        self.wire, self.member = wire, member
        self.deliver: Callable[[Channel, bytes], None] | None = None
        self.alive: Callable[[int, bool], None] = lambda member, there: None

    def open(self, deliver: Any, alive: Any, status: Any) -> None:
        with self.wire.lock:
            self.deliver, self.alive, self.status = deliver, alive, status
            for other in self.wire.ends.values():
                other.alive(self.member, True)
                alive(other.member, True)
            self.wire.ends[self.member] = self

    def send(self, peer: int, data: bytes) -> None:
        self._hand(peer, Channel.MESSAGE, data)

    def send_all(self, data: bytes) -> None:
        self._hand_to(None, Channel.BROADCAST, data)

    def send_hello(self, peer: int | None, data: bytes, ask: bool) -> None:
        self._hand_to(peer, Channel.ASK if ask else Channel.HELLO, data)

    def send_revocations(self, peer: int | None, data: bytes) -> None:
        self._hand_to(peer, Channel.REVOCATIONS, data)

    def deny(self, names: frozenset[str]) -> None:
        self.denied = names

    def _hand_to(self, peer: int | None, channel: Channel, data: bytes) -> None:
        """To one member, or to all others."""
        with self.wire.lock:
            others = [other for other in self.wire.ends if other != self.member] if peer is None else [peer]
        for other in others:
            self._hand(other, channel, data)

    def _hand(self, peer: int, channel: Channel, data: bytes) -> None:
        with self.wire.lock:
            end = self.wire.ends.get(peer) if self.member in self.wire.ends else None
        if end is not None and end.deliver is not None:
            end.deliver(channel, data)

    def reopen(self) -> None:
        with self.wire.lock:
            self.close()
            self.open(self.deliver, self.alive, self.status)

    def rejoin(self) -> None: ...

    def close(self) -> None:
        with self.wire.lock:
            if self.wire.ends.pop(self.member, None) is not None:
                for other in self.wire.ends.values():
                    other.alive(self.member, False)


@dataclass
class Sample:
    x: NDArray[np.float64] | None
    y: int | None = None
    id: int | None = None
    time_ns: int | None = None
    device: str = ""
    place: Place | None = None


def make_runtime(wire: Wire, member: int, envelope: EnvelopeLike, **options: Any) -> Runtime:
    """A member with one feature and two classes that shares with all peers after every sample."""
    learner, schedule = XuILVQCore(dim=1, n_classes=2), Coin(9, 1.0, np.random.default_rng(member))
    share = WholeSets(AlwaysGate(), SetLimits(dim=1, n_classes=2))
    node = Node(learner, SetExchange(learner, PushGossip(member, []), schedule, share), QueueInbox(1, []))
    return Runtime(node, envelope, End(wire, member), **options)


def sample(value: float, y: int | None, **fields: Any) -> Sample:
    return Sample(np.array([value]), y, **fields)


def plain(name: str, member: int) -> PlainEnvelope:
    return PlainEnvelope(MemberName("barn", name, member), incarnation=1, schema=b"v1")


async def until(what: Callable[[], Any], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@asynccontextmanager
async def swarm(*names: str, **options: Any) -> AsyncIterator[list[Runtime]]:
    """Members that have met."""
    wire = Wire()
    made = [make_runtime(wire, member, plain(name, member), **options) for member, name in enumerate(names)]
    running = [asyncio.ensure_future(runtime.run()) for runtime in made]
    try:
        await until(lambda: all(len(runtime.roster.peers) == len(names) - 1 for runtime in made))
        yield made
    finally:
        for runtime in made:
            runtime.stop()
        await asyncio.gather(*running)
