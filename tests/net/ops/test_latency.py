"""How long shared prototypes travel."""

from __future__ import annotations

import pytest

from protovine.net.ops.latency import Latency
from protovine.records import Received


def received(peer: int, created_ms: int, at_ms: int, prototypes: int = 1, incarnation: int = 1) -> Received:
    return Received(at_ms * 10**6, 0, peer, incarnation, 1, 1, created_ms * 10**6, prototypes, 60)


def test_latency_counts_new_messages_with_prototypes() -> None:
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
