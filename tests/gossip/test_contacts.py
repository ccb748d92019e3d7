"""A node looks only at peers with whom something is due: what it sends is what it would send after looking at all."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from protovine import Experiment, records, run
from protovine.experiments.run.trace import Recorder
from protovine.gossip import LogGossip, Standing
from protovine.gossip.contacts import FIRST_CONTACTS, GREETED, Contacts
from protovine.gossip.peer_log import PROBE_NS, TICK_NS

NOBODY = Standing(0, 0)


def nothing(max_bytes: int) -> None:
    return None


@pytest.mark.parametrize(
    "more",
    [
        {"link": {"loss": 0.4, "delay_s": 0.3, "duplicate": 0.2, "jitter_s": 0.5}},
        {"link": {"loss": 0.1}, "exchange": {"budget_bytes_per_s": 60.0}},
        {
            "faults": [
                {"kind": "crash", "node": 2, "at_s": 2.0, "restart_s": 25.0},
                {"kind": "crash", "node": 4, "at_s": 1},
            ]
        },
        {"faults": [{"kind": "partition", "at_s": 1.0, "until_s": 20.0, "group": [0, 1]}]},
        {"gossip": {"schedule": "oldest", "fanout": 1, "share_probability": 0.3}},
    ],
    ids=["lossy", "budget", "crashes", "partition", "oldest"],
)
def test_looking_only_at_those_who_are_due_changes_nothing(
    more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment(
        presets="default",
        data={"source": "sea", "limit": 6 * 60},
        swarm={"nodes": 6, "rate_hz": 1.5},
        seeds=1,
        **more,
    )
    (plain,) = run(experiment).runs
    monkeypatch.setattr(Contacts, "due", lambda self, now_ns: sorted(self.known(), key=lambda state: state.id))
    (all_of_them,) = run(experiment).runs
    assert plain.metrics["messages"] > 100
    assert plain.trace_hash == all_of_them.trace_hash


def test_a_large_swarm_meets_in_steps() -> None:
    n = 4 * FIRST_CONTACTS
    node = LogGossip(n // 2, [peer for peer in range(n) if peer != n // 2])
    first = node.on_timer(None, NOBODY, nothing, 0)
    assert [message.peer for message in first] == sorted(range(n // 2 + 1, n // 2 + 1 + GREETED))
    assert node.next_timer_ns() == TICK_NS
    assert node.on_timer(None, NOBODY, nothing, TICK_NS - 1) == []
    node.append(b"entry", 1)
    lacking = node.lacking(TICK_NS - 1)
    assert len(lacking) == GREETED + FIRST_CONTACTS, "those that were greeted, and the next strangers"
    node.push(lacking, NOBODY, nothing, TICK_NS - 1)
    seen = set(lacking)
    at_ns = TICK_NS
    while len(seen) < n - 1:
        assert at_ns < 60 * TICK_NS
        found = node.on_timer(None, NOBODY, nothing, at_ns)
        assert len(found) <= FIRST_CONTACTS
        seen |= {message.peer for message in found}
        at_ns = node.next_timer_ns() or 0
    assert len(node.views) == n - 1


def test_peers_that_come_back_at_once_are_probed_in_steps() -> None:
    n = 3 * FIRST_CONTACTS
    node = LogGossip(0, list(range(1, n)))
    for peer in range(1, n):
        node.reached(peer, 0)
    probed: list[int] = []
    for tick in range(3):
        made = node.on_timer(None, NOBODY, nothing, tick * TICK_NS)
        assert len(made) <= FIRST_CONTACTS
        probed += [message.peer for message in made]
    assert probed == list(range(1, n)), "each once, before any is probed again"
    assert PROBE_NS > 3 * TICK_NS


def test_nodes_of_a_large_swarm_meet_different_ones_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """All greet at once, each others: if all began with the lowest ids, those would drown."""
    came: Counter[int] = Counter()
    add = Recorder.add

    def count(self: Recorder, record: records.Record) -> None:
        if isinstance(record, records.Sent) and record.kind == "probe" and record.at_ns < TICK_NS:
            came[record.peer] += 1
        add(self, record)

    monkeypatch.setattr(Recorder, "add", count)
    run(Experiment(data={"source": "sea", "limit": 240}, swarm={"nodes": 120}, exchange={"partners": 0}, seeds=1))
    assert len(came) > 100
    assert max(came.values()) <= 2 * GREETED
