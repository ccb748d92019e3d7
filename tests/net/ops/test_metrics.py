"""A runtime's counts as Prometheus sees them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from protovine.errors import RemoteProtocolError
from protovine.net import Member
from protovine.net.clock import Clock
from protovine.net.ops.metrics import OTHERS, PEERS_MAX, make_registry, read
from protovine.net.ops.server import Server
from protovine.net.store import Store
from protovine.net.transport import Channel
from protovine.records import SECOND_NS
from tests.net.loopback import sample, swarm, until
from tests.net.ops.scrape import ask, one, parsed


def test_a_scrape_says_what_happened() -> None:
    async def play() -> None:
        async with swarm("ann", "bob") as (ann, bob):
            with Server(ann, "127.0.0.1:0") as server:
                for i in range(3):
                    ann.take(sample(0.1 * i, 0))
                ann.take(sample(0.9, None, id=7))
                ann.take(sample(0.9, None, id=8))
                ann.take(type(sample(0, 0))(None, 1, 7))  # Learnt, but wrong: it had never seen that class.
                ann.take(type(sample(0, 0))(None, 1, 99))  # No sample awaits this label.
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
            assert one(found, "messages_received_total", peer="bob", kind="hello") >= 1
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


@pytest.mark.parametrize("by_s", [5 * 3600, -5 * 3600, -time.time()], ids=["ahead", "back", "to 1970"])
def test_a_clock_that_is_set_changes_no_age_of_samples(by_s: float) -> None:
    class Source:
        dropped, connected, refusals = 0, True, dict[str, int]()

    wall_ns = [time.time_ns()]
    steady_ns = [SECOND_NS]

    async def play() -> None:
        async with swarm("ann", clock=Clock(lambda: wall_ns[0], lambda: steady_ns[0])) as (ann,):
            ann.source = Source()
            with Server(ann, "127.0.0.1:0") as server:
                await until(lambda: ann.started_ns)
                ann.take(sample(0.5, 1))
                wall_ns[0] += round(by_s * SECOND_NS)
                for past_ns in wall_ns, steady_ns:
                    past_ns[0] += 20 * SECOND_NS
                ann.run_due()
                pages = [json.loads((await ask(server, page))[1]) for page in ("/readyz", "/status")]
                found = parsed((await ask(server, "/metrics"))[1])
                now_s = ann.now_ns() / SECOND_NS
        assert [20, 20] == [page["source"]["last_sample_s"] for page in pages]
        assert 20 == one(found, "source_sample_age_seconds")
        assert now_s - 20 == pytest.approx(one(found, "start_time_seconds"), abs=0.01)

    asyncio.run(play())


def test_openmetrics_if_the_client_asks_for_it() -> None:
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
        connected = True

        @property
        def refusals(self) -> dict[str, int]:
            return {"json": 3}

    class Sink:
        dropped = 5
        connected = False

    async def play() -> None:
        with Store(tmp_path / "state") as store:
            async with swarm("ann", store=store) as (ann,):
                ann.source, ann.sink = Source(), Sink()
                with Server(ann, "127.0.0.1:0") as server:
                    before = parsed((await ask(server, "/metrics"))[1])
                    ann.snapshots.save()
                    after = parsed((await ask(server, "/metrics"))[1])
                    (tmp_path / "state").rename(tmp_path / "gone")
                    ann.snapshots.save()
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
        assert (1, 0) == (one(after, "source_connected"), one(after, "sink_connected"))
        assert ("protovine_source_sample_age_seconds", ()) not in after

    asyncio.run(play())


def test_invented_members_cannot_fill_a_scrape() -> None:
    """Labels are bounded, and two members of one name make one series."""

    async def play() -> None:
        async with swarm("ann") as (ann,):
            members = ["ann", "bob", "bob", 'b"\n}', *(f"node-{number}" for number in range(4, PEERS_MAX + 50))]
            for number, name in enumerate(members[1:], 1):
                ann.roster.hello(Member(number, name, 1), False, ann.now_ns())
                ann._carry_out()
                ann.refusals.add(number, RemoteProtocolError("stale", "as a test"))
            found = parsed(generate_latest(make_registry(lambda: read(ann))).decode())
        peers = {dict(labels)["peer"] for name, labels in found if name == "protovine_refused_total"}
        peers.discard("(unknown)")  # Counted from 0.
        # One for the two bobs, and one for those beyond the limit.
        assert PEERS_MAX - 1 + 1 == len(peers)
        assert 2 == one(found, "refused_total", peer="bob", reason="stale")
        assert len(members) - 1 - PEERS_MAX == one(found, "refused_total", peer=OTHERS, reason="stale")
        assert 1 == one(found, "refused_total", peer='b"\n}', reason="stale")

    asyncio.run(play())
