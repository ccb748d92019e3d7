"""The contract of every transport, for the one in memory and for real Zenoh sessions; and the contract's own test."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from protovine.checks import check_transport
from protovine.net import create_authority, issue
from protovine.net.transport import Channel, Endpoints, Transport, ZenohTransport
from tests.net.loopback import End, Wire


def test_the_transport_in_memory_keeps_the_contract() -> None:
    wire = Wire()
    check_transport(lambda member: End(wire, member))


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_zenoh_keeps_the_contract(secure: bool, tmp_path: Path) -> None:
    pytest.importorskip("zenoh")
    protocol = "tls" if secure else "tcp"
    at = [f"{protocol}/127.0.0.1:{port}" for port in free_ports(3)]
    if secure:
        now = datetime.now(UTC)
        create_authority(tmp_path / "authority", "barn", now=now)
        for member in range(3):
            issue(tmp_path / "authority", f"m{member}", tmp_path / f"m{member}", addresses=["127.0.0.1"], now=now)

    def make(member: int) -> Transport:
        home = tmp_path / f"m{member}" if secure else None
        return ZenohTransport("barn", member, Endpoints([at[member]], at[:member], certificates=home))

    check_transport(make, timeout_s=30.0)


class ToEveryone(End):
    """Breaks a promise: messages come to all."""

    def send(self, peer: int, data: bytes) -> None:
        for other in self.wire.ends:
            super().send(other, data)


class Echo(End):
    """Breaks a promise: a question to all comes back to its sender."""

    def send_hello(self, peer: int | None, data: bytes, ask: bool) -> None:
        super().send_hello(peer, data, ask)
        if peer is None:
            super().send_hello(self.member, data, ask)


class Cut(End):
    """Breaks a promise: long messages are cut."""

    def send(self, peer: int, data: bytes) -> None:
        super().send(peer, data[:1000])


class Silent(End):
    """Breaks a promise: the other members do not learn that it was closed."""

    def close(self) -> None:
        self.wire.ends.pop(self.member, None)


class Undead(End):
    """Breaks a promise: it sends after it was closed."""

    def _hand(self, peer: int, channel: Channel, data: bytes) -> None:
        end = self.wire.ends.get(peer)
        if end is not None and end.deliver is not None:
            end.deliver(channel, data)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (ToEveryone, "to no other member"),
        (Echo, "to no other member"),
        (Cut, "a message comes to its peer"),
        (Silent, "learn that a link ended"),
        (Undead, "nothing is sent"),
    ],
)
def test_the_contract_catches_a_transport_that_breaks_it(broken: Callable[..., Any], promise: str) -> None:
    wire = Wire()
    with pytest.raises(AssertionError, match=promise):
        check_transport(lambda member: broken(wire, member), timeout_s=0.5)
