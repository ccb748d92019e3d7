"""Mutual TLS between two real zenoh sessions on this computer, with the certificates that `protovine cert` makes."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zenoh

from protovine.net import create_authority, issue

# A link that works carries data after some 0.1 s.
LONG_S, SHORT_S = 10.0, 1.0


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TLS reads the system's clock, so these certificates are of today."""
    path, now = tmp_path_factory.mktemp("tls"), datetime.now(UTC)
    for authority, names in (("authority", ("ann", "bob")), ("stranger", ("mallory",))):
        create_authority(path / authority, "barn", now=now)
        for name in names:
            issue(path / authority, name, path / name, now=now, addresses=["127.0.0.1"])
    issue(path / "authority", "far", path / "far", now=now, addresses=["127.0.0.2"])
    return path


def config(folder: Path, listen: str | None, connect: str | None, authority: Path | None = None) -> zenoh.Config:
    tls = {
        "root_ca_certificate": str((authority or folder) / "authority.pem"),
        "enable_mtls": True,
        "verify_name_on_connect": True,
        "listen_certificate": str(folder / "member.pem"),
        "listen_private_key": str(folder / "member.key"),
        "connect_certificate": str(folder / "member.pem"),
        "connect_private_key": str(folder / "member.key"),
    }
    settings = {
        "mode": "peer",
        "scouting": {"multicast": {"enabled": False}, "gossip": {"enabled": False}},
        "listen": {"endpoints": [listen] if listen else []},
        "connect": {"endpoints": [connect] if connect else [], "timeout_ms": 0, "exit_on_failure": False},
        "transport": {"link": {"protocols": ["tls"], "tls": tls}},
    }
    return zenoh.Config.from_json5(json.dumps(settings))


@contextmanager
def session(config: zenoh.Config) -> Iterator[zenoh.Session]:
    opened = zenoh.open(config)
    try:
        yield opened
    finally:
        opened.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def reached(server: zenoh.Config, client: zenoh.Config, timeout_s: float) -> tuple[bool, bool]:
    """Whether puts of the client reach the server within the time, and of the server the client."""
    with ExitStack() as stack:
        sessions = [stack.enter_context(session(each)) for each in (server, client)]
        arrived = [threading.Event(), threading.Event()]
        for each, event, key in zip(sessions, arrived, ("to/server", "to/client"), strict=True):
            subscriber = each.declare_subscriber(key, lambda _, event=event: event.set())
            stack.callback(subscriber.undeclare)
        for _ in range(round(timeout_s / 0.05)):
            sessions[1].put("to/server", b"x")
            sessions[0].put("to/client", b"x")
            if all(event.wait(0.025) for event in arrived):
                break
        return arrived[0].is_set(), arrived[1].is_set()


def test_members_reach_each_other(today: Path) -> None:
    at = f"tls/127.0.0.1:{free_port()}"
    assert (True, True) == reached(config(today / "ann", at, None), config(today / "bob", None, at), LONG_S)


@pytest.mark.parametrize(
    ("server", "client", "trusts"),
    [
        pytest.param("ann", "mallory", "ann", id="client of another authority that trusts us"),
        pytest.param("mallory", "ann", None, id="server of another authority that we dial"),
        pytest.param("far", "ann", None, id="member at an address that is not its own"),
    ],
)
def test_nothing_passes_without_a_certificate_that_fits(
    server: str, client: str, trusts: str | None, today: Path
) -> None:
    at = f"tls/127.0.0.1:{free_port()}"
    dialling = config(today / client, None, at, today / trusts if trusts else None)
    # The server of another authority believes our certificates, so that it is ours who refuse.
    listening = config(today / server, at, None, today / "ann")
    assert (False, False) == reached(listening, dialling, SHORT_S)
