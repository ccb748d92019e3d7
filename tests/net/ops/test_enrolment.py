"""Enrolment: the server, devices, and those who are neither."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from protovine.errors import ConfigError
from protovine.net import create_authority, describe, load_member
from protovine.net.ops.enrolment import BODY_BYTES_MAX, PATH, EnrolmentServer, enrol
from protovine.net.security.authority import issued
from protovine.net.security.tokens import create_token


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    create_authority(tmp_path / "authority", "barn", now=now())
    return tmp_path / "authority"


@pytest.fixture
def server(authority: Path) -> Iterator[EnrolmentServer]:
    with EnrolmentServer(authority, "127.0.0.1:0", clock=now) as made:
        yield made


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def post(server: EnrolmentServer, body: bytes, path: str = PATH, length: str | None = None) -> tuple[int, bytes]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    asked = urllib.request.Request(f"https://{server.address}{path}", body, method="POST")
    if length is not None:
        asked.add_unredirected_header("Content-length", length)
    try:
        with urllib.request.urlopen(asked, timeout=10, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_device_gets_its_certificate(server: EnrolmentServer, authority: Path, tmp_path: Path) -> None:
    token = create_token(authority, "ann", now=now(), addresses=["127.0.0.1"])
    enrol(str(token), server.address, tmp_path / "ann", now=now())
    load_member(tmp_path / "ann", now())
    assert {"member.key", "member.pem", "authority.pem", "revoked.pem"} == names(tmp_path / "ann")
    assert 0o600 == (tmp_path / "ann" / "member.key").stat().st_mode & 0o777
    assert "127.0.0.1" in describe(tmp_path / "ann" / "member.pem", now())["addresses"]
    operator = create_token(authority, "kim", now=now(), operator=True)
    enrol(str(operator), server.address, tmp_path / "kim", now=now())
    assert "operator" == describe(tmp_path / "kim" / "member.pem", now())["kind"]


def test_a_lost_answer_can_be_had_again(
    server: EnrolmentServer, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = create_token(authority, "ann", now=now())
    with monkeypatch.context() as broken:
        broken.setattr("protovine.net.ops.enrolment._Handler.send_json", lambda self, status, body: None)
        with pytest.raises(ConfigError, match="no answer from an enrolment server"):
            enrol(str(token), server.address, tmp_path / "ann", now=now())
    assert {"member.key", "request.pem"} == names(tmp_path / "ann")
    enrol(str(token), server.address, tmp_path / "ann", now=now())
    load_member(tmp_path / "ann", now())
    assert 1 == len(issued(authority, now()))


def test_nothing_is_sent_to_another_server(authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = create_token(authority, "ann", now=now())
    create_authority(tmp_path / "twin", "barn", now=now())
    asked: list[Any] = []
    with EnrolmentServer(tmp_path / "twin", "127.0.0.1:0", clock=now) as twin:
        monkeypatch.setattr(twin, "answer", lambda *arguments: asked.append(arguments))
        with pytest.raises(ConfigError, match="not the one that the token names: nothing was sent"):
            enrol(str(token), twin.address, tmp_path / "ann", now=now())
    assert [] == asked


def test_refusals_name_the_reason_and_leave_the_member_as_it_was(
    server: EnrolmentServer, authority: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = create_token(authority, "ann", now=now())
    enrol(str(token), server.address, tmp_path / "ann", now=now())
    before = {path.name: path.read_bytes() for path in (tmp_path / "ann").iterdir()}
    caplog.set_level(logging.WARNING, "protovine")
    with pytest.raises(ConfigError, match="the authority refuses: the token of ann was used already, by another key"):
        enrol(str(token), server.address, tmp_path / "second", now=now())
    assert "refused a request from 127.0.0.1: the token of ann was used already" in caplog.text
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "ann").iterdir()}
    assert {"member.key", "request.pem"} == names(tmp_path / "second")


def test_garbage_is_refused_and_slow_clients_shut_nobody_out(
    server: EnrolmentServer, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._http, "clients_max", 8)
    host, _, port = server.address.rpartition(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(20)]
    for body in (b"", b"[]", b"{", b"\xff", b'{"name": "ann", "secret": "zz", "request": ""}'):
        assert 403 == post(server, body)[0]
    assert 403 == post(server, b'{"name": "ann", "secret": "", "request": ""}')[0]
    assert 413 == post(server, bytes(BODY_BYTES_MAX + 1))[0]
    for length in ("00000000099999999999", "-1", "1e3", "९", ""):
        assert 413 == post(server, b"{}", length=length.encode().decode("latin-1"))[0], length
    assert 404 == post(server, b"", "/status")[0]
    token = create_token(authority, "ann", now=now())
    enrol(str(token), server.address, tmp_path / "ann", now=now())
    for each in idle:
        each.close()


def test_requests_are_limited(server: EnrolmentServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server._allowed, "rate_per_s", 0.0)
    answers = [server.answer(b"{}", "192.0.2.1")[0].value for _ in range(102)]
    assert [*[403] * 100, 429, 429] == answers


def test_an_address_in_use_is_one_line(server: EnrolmentServer, authority: Path) -> None:
    with pytest.raises(ConfigError, match=f"cannot listen at {server.address}: Address already in use"):
        EnrolmentServer(authority, server.address, clock=now)
    with pytest.raises(ConfigError, match="listen must be HOST:PORT"):
        EnrolmentServer(authority, "7448", clock=now)


def test_the_commands(authority: Path, tmp_path: Path) -> None:
    """As people type them: a token, a server that ends by itself, a device that reads the token from a pipe."""

    def protovine(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "protovine", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False, **options)

    token = protovine("cert", "token", "ann", "--authority", authority, "--address", "127.0.0.1").stdout
    options = ("--authority", str(authority), "--listen", "127.0.0.1:0", "--until-used")
    serving = subprocess.Popen(
        [sys.executable, "-m", "protovine", "cert", "serve", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stdout is not None
        said = serving.stdout.readline()
        assert said.endswith("tokens that can be used: ann\n")
        where = said.split()[2]
        done = protovine("cert", "enrol", "-", "--server", where, "--out", "ann", input=token)
        assert (0, "ann: ann, id 1 of swarm barn") == (done.returncode, done.stdout.partition(", until")[0]), (
            done.stderr
        )
        _, log = serving.communicate(timeout=60)
        assert 0 == serving.returncode and "ann has its certificate, asked from 127.0.0.1" in log
    finally:
        serving.kill()
        serving.wait(10)
    again = protovine("cert", "enrol", "-", "--server", where, "--out", "two", input=token)
    assert (2, "") == (again.returncode, again.stdout)
    assert f"protovine: no answer from an enrolment server at {where}" in again.stderr
    assert 1 == len(again.stderr.splitlines())
