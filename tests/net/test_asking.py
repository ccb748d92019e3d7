"""Another member cannot answer `protovine status` in a member's name without being seen."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from protovine.net import issue, load_member
from protovine.net.asking import ask_proved, ask_status
from protovine.net.security.proof import sign_status
from protovine.net.transport import Endpoints, open_session
from tests.net.test_service import Processes, command, endpoint, nodes, ports, prepare, wait_for

pytest.importorskip("zenoh", reason="the extra `net` is not installed")

__all__ = ["nodes"]


def asked(folder: Path) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """The statuses that dan gets, and the names that are proved."""
    found, proved = ask_proved("barn", Endpoints((), (endpoint(folder, "ann"),), "client", folder / "dan"), 1.5)
    statuses = {id: json.loads(each) for id, each in found.items()}
    return {each["name"]: each for each in statuses.values()}, {statuses[id]["name"] for id in proved}


def test_a_false_status_takes_no_signed_ones_place_and_is_named_without_one(nodes: Processes) -> None:
    folder, now = nodes.folder, datetime.now(UTC)
    prepare(folder, ["ann", "bob"], metrics="127.0.0.1:0")
    for name in ("eve", "dan"):
        issue(folder / "ca", name, folder / name, addresses=["127.0.0.1"], now=now)
    for name in ("ann", "bob"):
        file = folder / f"{name}.toml"
        file.write_text(file.read_text().partition("[source]")[0])  # Without a source they stay.
        nodes.start(name, file.name)
    wait_for(lambda: "met bob" in nodes.log("ann") and "met ann" in nodes.log("bob"), "both met")
    wait_for(lambda: asked(folder)[1] == {"ann", "bob"}, "both answer, and have signed it")
    bob = asked(folder)[0]["bob"]
    false = json.dumps(bob | {"accuracy": 0.01}).encode()
    other = json.dumps(bob | {"id": 99, "accuracy": 0.01}).encode()
    eve, _ = load_member(folder / "eve", now)
    session = open_session(Endpoints((), (endpoint(folder, "ann"),), "client", folder / "eve"))
    try:

        def lie(query: Any) -> None:
            nonce = query.payload.to_bytes()
            for status, proof in (
                (b"\x93nothing", None),
                (other, sign_status(eve, other, nonce)),
                (false, sign_status(eve, false, nonce)),
                (false, sign_status(eve, false, bytes(16))),
                (false, b"\x92\xc4\x01x\xc4\x01y"),
                (false, None),
            ):
                query.reply(f"protovine/barn/{bob['id']}/status", status, attachment=proof)

        lies = session.declare_queryable(f"protovine/barn/{bob['id']}/status", lie)
        for _ in range(3):
            found, proved = asked(folder)
            assert {"ann", "bob"} == proved
            assert {"ann", "bob"} == set(found)
            assert 0.01 != found["bob"]["accuracy"]
        nodes.running["bob"].send_signal(signal.SIGTERM)
        wait_for(lambda: asked(folder)[1] == {"ann"}, "bob has left")
        found, _ = asked(folder)
        assert 0.01 == found["bob"]["accuracy"], "it is shown, but not as proved"
        ask = ("status", "--connect", endpoint(folder, "ann"), "--certificates", "dan")
        shown = command(*ask, cwd=folder)
        assert "not signed: bob. It runs an earlier version, its certificate has ended, or another" in shown.stderr
        table = {each["name"]: each["proved"] for each in json.loads(command(*ask, "--json", cwd=folder).stdout)}
        assert {"ann": True, "bob": False} == table
        lies.undeclare()
    finally:
        session.close()


MALFORMED = [
    b'{"id": 8}',
    b'{"id": 8, "name": 7}',
    b'{"id": 8, "name": "eve", "peers": [7]}',
    b'{"id": 8, "name": "eve", "peers": [{"id": 1}]}',
    b'{"id": 8, "name": "eve", "up_s": "long"}',
    b'{"id": 8, "name": "eve", "refused": {"stale": "many"}}',
    b'{"id": 8, "name": "eve", "forgotten": [{"id": 1, "ranges": 7}]}',
    b'{"id": 8, "name": "eve", "warnings": [7]}',
    b'{"id": 8, "name": "eve", "other": ' + b"9" * 5000 + b"}",
    b'{"id": 8, "name": "eve", "other": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"id": 8, "name": "\\ud800"}',
    '{"id": 8, "name": "eve"}'.encode("utf-16"),
]


def test_what_is_no_status_is_left_out_and_one_that_lacks_counts_is_shown(tmp_path: Path) -> None:
    """Any process of an open network answers what it likes, and so does a member that lies."""
    (port,) = ports(1)
    there = f"tcp/127.0.0.1:{port}"
    session = open_session(Endpoints((there,), ()))
    answers = iter(MALFORMED)
    try:
        declared = [
            session.declare_queryable(
                "protovine/barn/7/status", lambda query: _say(query, 7, b'{"id":7,"name":"bob"}')
            ),
            session.declare_queryable("protovine/barn/8/status", lambda query: _say(query, 8, next(answers))),
        ]
        for malformed in MALFORMED:
            assert {7: b'{"id":7,"name":"bob"}'} == ask_status("barn", Endpoints((), (there,), "client"), 5.0), (
                malformed
            )
        answers = iter(MALFORMED[2:])
        done = command("status", "--connect", there, "--plain", "barn", cwd=tmp_path)
        assert 0 == done.returncode, done.stderr
        assert ["node", "bob"] == [line.split()[0] for line in done.stdout.splitlines()]
        assert 2 == len(declared)
    finally:
        session.close()


def _say(query: Any, member: int, status: bytes) -> None:
    query.reply(f"protovine/barn/{member}/status", status)
