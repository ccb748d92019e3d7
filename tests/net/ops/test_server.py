"""Metrics, health and status over HTTP: what they say, and what clients cannot do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from protovine.errors import ConfigError
from protovine.net.io import JsonLines, Schema
from protovine.net.ops.http import CLIENTS_MAX
from protovine.net.ops.server import Server, parse_address
from tests.net.loopback import sample, swarm, until
from tests.net.ops.scrape import ask, fetch, one, parsed


def test_health_tells_when_the_loop_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protovine.net.ops.server.SILENCE_MAX_S", 0.6)
    monkeypatch.setattr("protovine.net.ops.server._LOOP_S", 0.2)
    found: dict[str, tuple[int, str, dict[str, str]]] = {}

    async def play() -> None:
        async with swarm("ann") as (ann,):
            with Server(ann, "127.0.0.1:0") as server:
                found["before"] = await ask(server, "/healthz")

                def later() -> None:
                    time.sleep(0.9)
                    for path in ("/healthz", "/readyz", "/metrics", "/status"):
                        found[path] = fetch(server.port, path)

                asking = threading.Thread(target=later)
                asking.start()
                asking.join()  # This blocks the loop.
                await asyncio.sleep(0.7)
                found["after"] = await ask(server, "/healthz")

    asyncio.run(play())
    assert [200, 503, 503, 503, 503, 200] == [
        found[name][0] for name in ("before", "/healthz", "/readyz", "/metrics", "/status", "after")
    ]
    assert "more than" in json.loads(found["/healthz"][1])["why"]
    assert "did not answer" in json.loads(found["/metrics"][1])["error"]


@pytest.mark.parametrize(
    ("names", "options", "expected", "status", "why"),
    [
        (["ann", "bob"], {}, True, 200, "peers met: 1"),
        (["ann"], {}, True, 503, "no peer was met yet"),
        (["ann"], {}, False, 200, "no peers are expected"),
        (["ann"], {"neighbours": frozenset()}, True, 200, "no peers are expected"),
    ],
)
def test_a_node_is_ready_when_it_has_met_a_peer(
    names: list[str], options: dict[str, Any], expected: bool, status: int, why: str
) -> None:
    async def play() -> None:
        async with swarm(*names, **options) as (ann, *_):
            with Server(ann, "127.0.0.1:0", peers_expected=expected) as server:
                got, body, _ = await ask(server, "/readyz")
                assert (status, why) == (got, json.loads(body)["why"])

    asyncio.run(play())


def test_status_and_unknown_pages() -> None:
    async def play() -> None:
        async with swarm("ann", "bob") as (ann, _):
            with Server(ann, "127.0.0.1:0") as server:
                status, body, headers = await ask(server, "/status?x=1")
                assert (200, "ann", "bob") == (status, json.loads(body)["name"], json.loads(body)["peers"][0]["name"])
                assert {"count": 0, "p50": None, "p99": None} == json.loads(body)["latency_s"]
                # The version of Python stays private.
                assert "protovine" == headers["server"]
                assert 404 == (await ask(server, "/"))[0] == (await ask(server, "/etc/passwd"))[0]
                assert 501 == (await asyncio.to_thread(fetch, server.port, "/status", "POST"))[0]
                status, body, headers = await asyncio.to_thread(fetch, server.port, "/healthz", "HEAD")
                assert (200, "") == (status, body) and int(headers["content-length"]) > 0

    asyncio.run(play())


def test_source_sink_labels_and_prediction_times_stand_on_every_page() -> None:
    """In `/readyz`, `/status` and the metrics alike."""

    class End:
        connected, dropped, refusals = True, 2, dict[str, int]()

    async def play() -> None:
        async with swarm("ann", "bob") as (ann, _):
            with Server(ann, "127.0.0.1:0") as server:
                ready = json.loads((await ask(server, "/readyz"))[1])
                assert {"count": 0, "p50": None, "p99": None} == ready["prediction_s"] and ready["source"] is None
                ann.source, ann.sink = End(), End()
                for number in range(20):
                    ann.take(sample(0.1 * number, None if number == 7 else number % 2, id=number))
                pages = [json.loads((await ask(server, page))[1]) for page in ("/readyz", "/status")]
                metrics = (await ask(server, "/metrics"))[1]
        for page in pages:
            assert 20 == page["prediction_s"]["count"] and 1 == page["awaiting_labels"]
            assert 0 < page["prediction_s"]["p50"] <= page["prediction_s"]["p99"] < 10
            assert page["source"]["connected"] and 0 <= page["source"]["last_sample_s"] < 10
            assert {"connected": True, "dropped": 2} == page["sink"]
        for name in ("prediction_seconds_bucket", "source_sample_age_seconds", "sink_connected", "awaiting_labels"):
            assert f"protovine_{name}" in metrics, name
        # Of this question at least, with the headers of TCP and IP.
        found = re.findall(r'^protovine_socket_bytes_total\{direction="(\w+)"\} (\S+)$', metrics, re.M)
        assert sys.platform != "linux" or (2 == len(found) and all(float(count) > 100 for _, count in found))

    asyncio.run(play())


def test_a_node_whose_file_is_gone_is_not_ready_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    path.touch()

    async def play() -> None:
        async with swarm("ann") as (ann,):
            ann.source = source = JsonLines(Schema(("wind",), ("dry", "wet")), path, follow=True)
            ann.feeding = True
            reading = asyncio.ensure_future(anext(source.events()))
            with Server(ann, "127.0.0.1:0", peers_expected=False) as server:
                await until(lambda: source.connected)
                assert 200 == (await ask(server, "/readyz"))[0]
                path.unlink()
                await until(lambda: not source.connected)
                status, body, _ = await ask(server, "/readyz")
                why = f"the source is not connected: {path}: renamed or deleted"
                assert (503, why) == (status, json.loads(body)["why"])
                assert 0 == one(parsed((await ask(server, "/metrics"))[1]), "source_connected")
                path.touch()
                await until(lambda: source.connected)
                assert 200 == (await ask(server, "/readyz"))[0]
            reading.cancel()

    asyncio.run(play())


def test_scrapes_while_the_loop_is_busy() -> None:
    """Eight at a time, over and over, while messages fly: every answer is whole and counters never go back."""

    async def play() -> None:
        async with swarm("ann", "bob", "cat") as made:
            with Server(made[0], "127.0.0.1:0") as server:
                answers: list[list[float]] = [[] for _ in range(CLIENTS_MAX - 1)]

                def scrape(into: list[float]) -> None:
                    for _ in range(10):
                        status, text, _ = fetch(server.port, "/metrics")
                        assert 200 == status
                        into.append(sum(v for (name, _), v in parsed(text).items() if name.endswith("received_total")))

                scraping = [asyncio.ensure_future(asyncio.to_thread(scrape, each)) for each in answers]
                value = 0.0
                while not all(done.done() for done in scraping):
                    for runtime in made:
                        runtime.take(sample(value % 7.3, int(value) % 2))
                    value += 0.37
                    await asyncio.sleep(0)
                await asyncio.gather(*scraping)
                assert all(seen == sorted(seen) and len(seen) == 10 for seen in answers)
                assert answers[0][-1] > 0

    asyncio.run(play())


def test_slow_clients_neither_stop_the_node_nor_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that trickle bytes, or never read, are ended after their time; an honest one gets through at once."""
    monkeypatch.setattr("protovine.net.ops.http.Http.client_s", 3.0)

    async def play() -> None:
        async with swarm("ann", "bob") as (ann, bob):
            with Server(ann, "127.0.0.1:0") as server:

                def serving() -> int:
                    return sum("process_request" in thread.name for thread in threading.enumerate())

                slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3 * CLIENTS_MAX)]
                for client in slow:
                    client.sendall(b"GET /metrics HTTP/1.1\r\n")
                # The threads of those that had to make room may need a moment.
                await until(lambda: 0 < serving() <= CLIENTS_MAX)
                began = time.monotonic()
                assert 200 == (await ask(server, "/metrics"))[0]
                assert time.monotonic() - began < 2.5
                # The node goes on meanwhile.
                bob.take(sample(0.5, 1))
                await until(lambda: ann.tally.received[1, "share"])

                def closed(client: socket.socket) -> bool:
                    deadline = time.monotonic() + 10
                    client.settimeout(0.05)
                    while time.monotonic() < deadline:
                        try:
                            client.sendall(b"X: y\r\n")
                            if not client.recv(4096):
                                return True
                        except TimeoutError:
                            continue
                        except OSError:
                            return True
                    return False

                assert all([await asyncio.to_thread(closed, client) for client in slow])
                for client in slow:
                    client.close()
                await until(lambda: serving() == 0)

    asyncio.run(play())


def test_garbage_requests_are_survived(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        async with swarm("ann") as (ann,):
            with Server(ann, "127.0.0.1:0") as server:

                def send(data: bytes) -> None:
                    with socket.create_connection(("127.0.0.1", server.port)) as client:
                        try:
                            client.sendall(data)
                            client.shutdown(socket.SHUT_WR)
                            client.recv(100)
                        except OSError:
                            pass

                for data in (
                    b"",
                    b"\0" * 70_000,
                    b"GET " + b"a" * 100_000,
                    b"GET / HTTP/9.9\r\n\r\n",
                    b"\x16\x03\x01\n",
                    b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
                    b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=abc\r\n\r\n",
                    b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=1.\xff\r\n\r\n",
                ):
                    await asyncio.to_thread(send, data)
                assert 200 == (await ask(server, "/healthz"))[0]

    asyncio.run(play())
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_bug_that_a_client_finds_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "health", lambda self: 1 / 0)

    async def play() -> None:
        async with swarm("ann") as (ann,):
            with Server(ann, "127.0.0.1:0") as server:
                for _ in range(3):
                    with contextlib.suppress(OSError):
                        await ask(server, "/healthz")
                assert 200 == (await ask(server, "/status"))[0]

    asyncio.run(play())
    assert 1 == len([record for record in caplog.records if record.levelname == "ERROR"])


def test_an_address_in_use_is_one_line() -> None:
    async def play() -> None:
        async with swarm("ann") as (ann,):
            with Server(ann, "127.0.0.1:0") as server, pytest.raises(ConfigError, match=f"{server.port}: .*in use"):
                Server(ann, f"127.0.0.1:{server.port}")

    asyncio.run(play())


@pytest.mark.parametrize(
    "text", ["", ":1", "localhost", "localhost:", "localhost:x", "::1:80", "h:65536", "h:-1", "h:²"]
)
def test_malformed_addresses_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parse_address(text)
