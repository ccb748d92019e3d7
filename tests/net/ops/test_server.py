"""Metrics, health and latency of real runtimes, asked for by HTTP as Prometheus does."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from protovine.errors import ConfigError, RemoteProtocolError
from protovine.net import MemberName, PlainEnvelope
from protovine.net.ops.latency import Latency
from protovine.net.ops.metrics import OTHERS, PEERS_MAX, make_registry, read
from protovine.net.ops.server import CLIENTS_MAX, Server, parse_address
from protovine.net.runtime import Runtime
from protovine.net.store import Store
from protovine.net.transport import Channel
from protovine.records import Received
from tests.net.loopback import Wire, make_runtime, sample

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


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
        await until(lambda: all(len(runtime.names) == len(names) - 1 for runtime in made))
        yield made
    finally:
        for runtime in made:
            runtime.stop()
        await asyncio.gather(*running)


def fetch(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()


async def ask(server: Server, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    return await asyncio.to_thread(fetch, server.port, path, "GET", **headers)


def parsed(text: str) -> Samples:
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def one(found: Samples, name: str, /, **labels: str) -> float:
    return found[f"protovine_{name}", tuple(sorted(labels.items()))]


def test_a_scrape_says_what_happened() -> None:
    async def play() -> None:
        async with swarm("ann", "bob") as (ann, bob):
            with Server(ann, "127.0.0.1:0") as server:
                for i in range(3):
                    ann.take(sample(0.1 * i, 0))
                ann.take(sample(0.9, None, id=7))
                ann.take(sample(0.9, None, id=8))
                ann.take(type(sample(0, 0))(None, 1, 7))  # Learnt, but wrong: it had never seen that class.
                ann.take(type(sample(0, 0))(None, 1, 99))  # Nobody awaits that one.
                for i in range(5):
                    bob.take(sample(5.0 + i, 1))
                await until(lambda: ann.tally.received[1, "share"] == 5)
                ann._deliver(Channel.MESSAGE, b"noise")
                ann._deliver(Channel.HELLO, b"noise")
                await until(lambda: sum(ann.tally.refused.values()) == 2)
                status, text, headers = await ask(server, "/metrics")
            found = parsed(text)
            assert (200, True) == (status, headers["content-type"].startswith("text/plain"))
            assert 4 == one(found, "messages_sent_total", peer="bob", kind="share")
            assert 5 == one(found, "messages_received_total", peer="bob", kind="share")
            # Both ends count the same sealed bytes.
            assert bob.tally.sent_bytes[0, "share"] == one(found, "bytes_received_total", peer="bob", kind="share")
            assert ann.tally.sent_bytes[1, "share"] == bob.tally.received_bytes[0, "share"]
            assert one(found, "messages_received_total", peer="bob", kind="greeting") >= 1
            assert 5 == one(found, "samples_total")
            assert 1 == one(found, "labels_total") == one(found, "unknown_labels_total")
            assert 4 == one(found, "judged_total")
            # The first sample has no model to predict with, the next two are right.
            assert 2 == one(found, "right_total")
            assert 0.5 == one(found, "accuracy", window="total") == one(found, "accuracy", window="recent")
            assert 1 == one(found, "awaiting_labels")
            assert len(ann.node.learner) == one(found, "prototypes")
            assert 1 == one(found, "refused_total", peer="(unknown)", reason="malformed")
            assert 1 == one(found, "peers_met") == one(found, "peers_alive") == one(found, "peer_alive", peer="bob")
            assert 0 <= one(found, "view_age_seconds", peer="bob") < 10
            assert (
                5 == one(found, "share_latency_seconds_count") == one(found, "share_latency_seconds_bucket", le="+Inf")
            )
            assert 0 <= one(found, "share_latency_seconds_sum") < 10
            assert 1 == one(found, "node_info", id="0", name="ann", swarm="barn", learner="XuILVQCore")
            assert found["process_resident_memory_bytes", ()] > 10e6

    asyncio.run(play())


def test_openmetrics_for_who_asks_for_it() -> None:
    async def play() -> None:
        async with swarm("ann", "bob") as (ann, bob):
            bob.take(sample(0.5, 1))
            await until(lambda: ann.tally.received[1, "share"])
            with Server(ann, "127.0.0.1:0") as server:
                _, text, _ = await ask(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert {"protovine_messages_sent", "protovine_share_latency_seconds"} <= {
            f.name for f in parse_openmetrics(text)
        }

    asyncio.run(play())


def test_snapshots_and_source_and_sink_are_counted(tmp_path: Any) -> None:
    class Source:
        dropped = 4

        @property
        def refusals(self) -> dict[str, int]:
            return {"json": 3}

    class Sink:
        dropped = 5

    async def play() -> None:
        with Store(tmp_path / "state") as store:
            async with swarm("ann", store=store) as (ann,):
                with Server(ann, "127.0.0.1:0", source=Source(), sink=Sink()) as server:
                    before = parsed((await ask(server, "/metrics"))[1])
                    ann.snapshot()
                    after = parsed((await ask(server, "/metrics"))[1])
                    (tmp_path / "state").rename(tmp_path / "gone")
                    ann.snapshot()
                    broken = parsed((await ask(server, "/metrics"))[1])
                    (tmp_path / "gone").rename(tmp_path / "state")
        assert ("protovine_snapshot_age_seconds", ()) not in before
        assert (0, 1, 1) == tuple(one(found, "snapshots_total") for found in (before, after, broken))
        assert (0, 0, 1) == tuple(one(found, "snapshot_failures_total") for found in (before, after, broken))
        assert 0 <= one(after, "snapshot_age_seconds") < 10
        assert (3, 4, 5) == (
            one(after, "source_refused_total", reason="json"),
            one(after, "source_dropped_total"),
            one(after, "sink_dropped_total"),
        )

    asyncio.run(play())


def test_invented_members_cannot_fill_a_scrape() -> None:
    """Labels are bounded, and two members of one name make one series."""

    async def play() -> None:
        async with swarm("ann") as (ann,):
            members = ["ann", "bob", "bob", 'b"\n}', *(f"node-{number}" for number in range(4, PEERS_MAX + 50))]
            for number, name in enumerate(members[1:], 1):
                ann.names[number] = ann.tally.names[number] = name
                ann._refuse(number, RemoteProtocolError("stale", "as a test"))
            found = parsed(generate_latest(make_registry(lambda: read(ann))).decode())
        peers = {dict(labels)["peer"] for name, labels in found if name == "protovine_refused_total"}
        # One for the two bobs, and one for those beyond the limit.
        assert PEERS_MAX - 1 + 1 == len(peers)
        assert 2 == one(found, "refused_total", peer="bob", reason="stale")
        assert len(members) - 1 - PEERS_MAX == one(found, "refused_total", peer=OTHERS, reason="stale")
        assert 1 == one(found, "refused_total", peer='b"\n}', reason="stale")

    asyncio.run(play())


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
def test_a_node_is_ready_when_it_has_met_somebody(
    names: list[str], options: dict[str, Any], expected: bool, status: int, why: str
) -> None:
    async def play() -> None:
        async with swarm(*names, **options) as (ann, *_):
            with Server(ann, "127.0.0.1:0", peers_expected=expected) as server:
                got, body, _ = await ask(server, "/readyz")
                assert (status, why) == (got, json.loads(body)["why"])

    asyncio.run(play())


def test_status_pages_and_what_is_none() -> None:
    async def play() -> None:
        async with swarm("ann", "bob") as (ann, _):
            with Server(ann, "127.0.0.1:0") as server:
                status, body, headers = await ask(server, "/status?x=1")
                assert (200, "ann", "bob") == (status, json.loads(body)["name"], json.loads(body)["peers"][0]["name"])
                assert {"count": 0, "p50": None, "p99": None} == json.loads(body)["latency_s"]
                # Nobody need know which Python.
                assert "protovine" == headers["server"]
                assert 404 == (await ask(server, "/"))[0] == (await ask(server, "/etc/passwd"))[0]
                assert 501 == (await asyncio.to_thread(fetch, server.port, "/status", "POST"))[0]
                status, body, headers = await asyncio.to_thread(fetch, server.port, "/healthz", "HEAD")
                assert (200, "") == (status, body) and int(headers["content-length"]) > 0

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
    monkeypatch.setattr("protovine.net.ops.server.CLIENT_S", 3.0)

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
                ):
                    await asyncio.to_thread(send, data)
                assert 200 == (await ask(server, "/healthz"))[0]

    asyncio.run(play())
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]


def test_an_address_in_use_is_said_in_one_line() -> None:
    async def play() -> None:
        async with swarm("ann") as (ann,):
            with Server(ann, "127.0.0.1:0") as server, pytest.raises(ConfigError, match=f"{server.port}: .*in use"):
                Server(ann, f"127.0.0.1:{server.port}")

    asyncio.run(play())


@pytest.mark.parametrize(
    "text", ["", ":1", "localhost", "localhost:", "localhost:x", "::1:80", "h:65536", "h:-1", "h:²"]
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parse_address(text)


def received(peer: int, created_ms: int, at_ms: int, prototypes: int = 1, incarnation: int = 1) -> Received:
    return Received(at_ms * 10**6, 0, peer, incarnation, 1, 1, created_ms * 10**6, prototypes, 60)


def test_latency_counts_what_was_new_and_of_use() -> None:
    latency = Latency()
    latency.expect(3, 500 * 10**6)
    for record in (
        received(1, 0, 1000),  # Nothing is known of that peer yet: entries are missing.
        received(1, 1000, 1004),
        received(1, 1000, 5000),  # A late repetition.
        received(1, 2000, 2001, prototypes=0),  # An acknowledgement.
        received(1, 1500, 6000),  # Overtaken.
        received(2, 1000, 1100),
        received(2, 3000, 2990),  # Its clock is ahead.
        received(3, 500, 9000, incarnation=2),  # What a snapshot knew already.
        received(3, 9990, 10_000),
    ):
        latency.note(record)
    summary = latency.summary()
    assert 4 == summary["count"]
    # Of 0, 4, 10 and 100 ms.
    assert summary["p50"] == pytest.approx(0.007)
    assert summary["p99"] == pytest.approx(0.01 + 0.97 * 0.09)
    assert 0.114 == pytest.approx(latency.sum_s)
    assert [1, 0, 1, 1, 0, 0, 1] == latency.counts[:7]
