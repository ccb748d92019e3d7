"""Two or more real runtimes in one process, joined by a transport that hands bytes over at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.gossip import Coin, PushGossip
from protovine.learn import XuILVQCore
from protovine.net.runtime import Runtime
from protovine.net.security.envelope import EnvelopeLike
from protovine.net.transport import Channel
from protovine.node import Node
from protovine.share import AlwaysGate, QueueInbox, SetLimits, WholeSets


class Wire:
    """Where transports find each other."""

    def __init__(self) -> None:
        self.ends: dict[int, End] = {}


class End:
    """One member's transport."""

    def __init__(self, wire: Wire, member: int) -> None:
        self.wire, self.member = wire, member
        self.deliver: Callable[[Channel, bytes], None] | None = None
        self.alive: Callable[[int, bool], None] = lambda member, there: None

    def open(self, deliver: Any, alive: Any, status: Any) -> None:
        self.deliver, self.alive = deliver, alive
        for other in self.wire.ends.values():
            other.alive(self.member, True)
            alive(other.member, True)
        self.wire.ends[self.member] = self

    def send(self, peer: int, data: bytes) -> None:
        self._hand(peer, Channel.MESSAGE, data)

    def greet(self, peer: int | None, data: bytes, ask: bool) -> None:
        others = [other for other in self.wire.ends if other != self.member] if peer is None else [peer]
        for other in others:
            self._hand(other, Channel.ASK if ask else Channel.HELLO, data)

    def _hand(self, peer: int, channel: Channel, data: bytes) -> None:
        end = self.wire.ends.get(peer)
        if end is not None and end.deliver is not None:
            end.deliver(channel, data)

    def reopen(self) -> None: ...

    def close(self) -> None:
        self.wire.ends.pop(self.member, None)


@dataclass
class Sample:
    x: NDArray[np.float64] | None
    y: int | None = None
    id: int | None = None
    time_ns: int | None = None


def make_runtime(wire: Wire, member: int, envelope: EnvelopeLike, **options: Any) -> Runtime:
    """A member with one feature and two classes that shares with everybody after every sample."""
    node = Node(
        XuILVQCore(dim=1, n_classes=2),
        PushGossip(member, [], Coin(9, 1.0, np.random.default_rng(member))),
        WholeSets(AlwaysGate(), SetLimits(dim=1, n_classes=2)),
        QueueInbox(1, []),
    )
    return Runtime(node, envelope, End(wire, member), **options)


def sample(value: float, y: int | None, **fields: Any) -> Sample:
    return Sample(np.array([value]), y, **fields)
