"""The contract of every transport, for the one in memory and for real Zenoh sessions; and the contract's own test."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from protovine.checks import check_transport
from protovine.cli import main
from protovine.errors import ConfigError
from protovine.net import create_authority, issue
from protovine.net.multicast import Multicast, MulticastLink
from protovine.net.transport import Channel, Endpoints, Transport, ZenohTransport, host_and_port, member_in
from tests.net.loopback import End, Wire
from tests.net.multicast import need_multicast


def test_the_transport_in_memory_keeps_the_contract() -> None:
    wire = Wire()
    check_transport(lambda member: End(wire, member))


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]


@pytest.mark.parametrize(
    ("name", "member"),
    [
        *(("0", 0), ("7", 7), ("999999", 999_999), ("1000000", None), ("9" * 5000, None), ("07", None), ("-1", None)),
        *(("\N{SUPERSCRIPT TWO}", None), ("\N{ARABIC-INDIC DIGIT THREE}", None), ("", None), ("all", None)),
    ],
)
def test_only_the_number_of_a_member_names_it(name: str, member: int | None) -> None:
    assert member == member_in(SimpleNamespace(key_expr=f"protovine/barn/{name}/alive"))


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_zenoh_keeps_the_contract(secure: bool, tmp_path: Path) -> None:
    pytest.importorskip("zenoh")
    protocol = "tls" if secure else "tcp"
    at = [f"{protocol}/127.0.0.1:{port}" for port in free_ports(3)]
    if secure:
        now = datetime.now(UTC)
        create_authority(tmp_path / "authority", "barn", now=now)
        for member in range(3):
            folder = tmp_path / f"m{member}"
            issue(tmp_path / "authority", f"m{member}", folder, addresses=["127.0.0.1"], now=now, id=member)

    def make(member: int) -> Transport:
        home = tmp_path / f"m{member}" if secure else None
        return ZenohTransport("barn", member, Endpoints([at[member]], at[:member], certificates=home))

    check_transport(make, timeout_s=30.0)


def test_zenoh_keeps_the_contract_with_a_multicast_group() -> None:
    pytest.importorskip("zenoh")
    need_multicast()
    *links, port = free_ports(4)
    at = [f"tcp/127.0.0.1:{each}" for each in links]
    group = Multicast(f"udp/239.255.77.76:{port}", "lo")
    check_transport(
        lambda member: ZenohTransport("barn", member, Endpoints([at[member]], at[:member], multicast=group)),
        timeout_s=30.0,
    )


@pytest.mark.parametrize("wait_s", [0.0, 0.001, 0.003, 0.01, 0.03])
def test_a_transport_that_is_closed_while_it_opens_again_stays_closed(wait_s: float) -> None:
    """A process whose Zenoh session stays open does not end."""
    pytest.importorskip("zenoh")
    need_multicast()
    link, port = free_ports(2)
    group = Multicast(f"udp/239.255.77.75:{port}", "lo")
    transport = ZenohTransport("barn", 1, Endpoints([f"tcp/127.0.0.1:{link}"], [], multicast=group))
    transport.open(lambda channel, data: None, lambda peer, there: None, lambda: b"{}")
    assert transport.session is not None
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(transport.reopen), pool.submit(transport.rejoin)]
        time.sleep(wait_s)
        transport.close()
        for each in done:
            each.result(30)
    multicast = transport._multicast
    assert multicast is not None and multicast._session is None and transport.session is None
    transport.send_all(b"nothing leaves")


def test_a_group_is_joined_again() -> None:
    pytest.importorskip("zenoh")
    need_multicast()
    group = Multicast(f"udp/239.255.77.74:{free_ports(1)[0]}", "lo")
    with opened(group, lambda data: None) as one, opened(group, (came := list[bytes]()).append):
        one.rejoin()
        assert comes(one, b"again", came)
    one.rejoin()
    assert one._session is None, "what is not open is not joined again"
    assert set(came) == {b"again"}


def test_what_the_group_cannot_take_at_once_does_not_end_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a busy machine: a queue of one datagram, and no patience with it."""
    pytest.importorskip("zenoh")
    need_multicast()
    group = Multicast(f"udp/239.255.77.73:{free_ports(1)[0]}", "lo")
    config = group.config()
    config["transport"]["link"]["tx"] = {
        "queue": {"size": {"data": 1}, "congestion_control": {"drop": {"wait_before_drop": 0}}}
    }
    monkeypatch.setattr(Multicast, "config", lambda self: config)
    with opened(group, lambda data: None) as one, opened(group, (came := list[bytes]()).append):
        assert comes(one, b"first", came)
        for _ in range(2000):
            one.send(b"burst")
        assert comes(one, b"last", came)


@contextlib.contextmanager
def opened(group: Multicast, deliver: Callable[[bytes], None]) -> Iterator[MulticastLink]:
    link = MulticastLink(group, "barn")
    link.open(deliver)
    try:
        yield link
    finally:
        link.close()


def comes(link: MulticastLink, data: bytes, came: list[bytes]) -> bool:
    """Whether a message that is sent again and again comes."""
    deadline = time.monotonic() + 30
    while data not in came and time.monotonic() < deadline:
        link.send(data)
        time.sleep(0.05)
    return data in came


@given(st.text(max_size=30) | st.from_regex(r"(udp/|tcp/|)[0-9a-f.\[\]:-]{0,16}(:[0-9a-z]{0,6}|)", fullmatch=True))
def test_a_multicast_group_is_understood_or_refused(text: str) -> None:
    found = None
    try:
        found = Multicast(text)
    except ConfigError as error:
        refusal = str(error)
    if found is None:
        assert repr(text)[1:-1] in repr(refusal)
    else:
        host, port = host_and_port(found.endpoint)
        assert ipaddress.ip_address(host).is_multicast and port > 0


@pytest.mark.parametrize("name", ["", "a" * 16, "eth0#bind=eth1", "eth 0", "eth0;x=1"])
def test_an_interface_has_a_plain_name(name: str) -> None:
    with pytest.raises(ConfigError, match="an interface has a name"):
        Multicast("udp/239.1.2.3:7448", name)


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


@given(st.text(max_size=30) | st.from_regex(r"(tcp/|tls/|)[a-z0-9.\[\]:-]{0,12}(:[0-9a-z]{0,6}|)", fullmatch=True))
def test_an_endpoint_is_understood_or_refused(text: str) -> None:
    refusal = None
    try:
        host, port = host_and_port(text)
    except ConfigError as error:
        refusal = str(error)
    if refusal is None:
        assert host
        assert 0 <= port <= 65_535
    else:
        assert text in refusal


@pytest.mark.parametrize(
    "endpoint", ["gate-1", "127.0.0.1:7447", "tcp/127.0.0.1", "tcp/[::1]", "tcp/h:70000", "tcp/h:x", "/[:0"]
)
@pytest.mark.parametrize("where", ["listen", "connect"])
def test_every_command_refuses_what_is_no_endpoint(endpoint: str, where: str, tmp_path: Path) -> None:
    network = {
        "plain": True,
        "swarm": "barn",
        "name": "ann",
        "id": 1,
        "listen": ["tcp/127.0.0.1:7447"],
        where: [endpoint],
    }
    settings = tmp_path / "node.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in network.items()]
    settings.write_text("\n".join(["[schema]", 'features = ["a"]', "classes = [0, 1]", "[network]", *lines, ""]))
    commands = [("node", settings), ("node", settings, "--check"), ("doctor", settings)]
    if where == "connect":
        commands += [
            ("status", "--connect", endpoint, "--plain", "barn"),
            ("watch", "--swarm", endpoint, "--plain", "barn"),
        ]
    for command in commands:
        done = CliRunner().invoke(main, [str(part) for part in command])
        assert (2, 1) == (done.exit_code, len(done.stderr.splitlines())), (command, done.output, done.exception)
        assert endpoint in done.stderr
