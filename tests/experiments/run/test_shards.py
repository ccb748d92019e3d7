"""A swarm in shards is the same swarm: the same records in the same order, whatever happens."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from protovine.errors import ConfigError, DataError, InvariantError, RunError
from protovine.experiments import Experiment
from protovine.experiments.define.build import build
from protovine.experiments.define.prepare import prepare
from protovine.experiments.run import shards as shards_module
from protovine.experiments.run.execute import simulate

TOPOLOGIES = ("full", "ring", "star", "grid", "regular:4", "small-world:4,0.2")
PRESETS = ("default", "paper-base", "paper-queue", "gossip-bayes", "server", "isolated")


def scenario(seed: int) -> Experiment:
    """A random experiment: nodes, links, delays of labels, clocks and faults."""
    draw = np.random.default_rng(seed)

    def chance(value, otherwise):
        return value if draw.random() < 0.5 else otherwise

    n = int(draw.integers(5, 13))
    preset = str(draw.choice(PRESETS))
    faults = [
        {"kind": "crash", "node": 0, "at_s": 0.6, "restart_s": 1.1, "keeps_state": bool(draw.random() < 0.5)},
        {"kind": "join", "node": n - 1, "at_s": 0.4},
        {"kind": "partition", "group": [0, 1, n - 1], "at_s": 0.5, "until_s": 0.9},
        {"kind": "drift", "change": str(draw.choice(["features", "relation", "labels"])), "at_s": 0.8},
        {"kind": "byzantine", "node": 2, "attack": "random-labels", "at_s": 0.7},
    ]
    if preset != "isolated":
        faults.append({"kind": "retune", "at_s": 0.5, "fanout": 1})
    more = {"exchange": {"partners": chance(3, 32)}} if preset == "default" else {}
    return Experiment(
        data={"source": "phishing", "limit": 20 * n, "holdout": bool(draw.random() < 0.3)},
        presets=[preset],
        seeds=1,
        seed=seed,
        swarm={
            "nodes": n,
            # With an even number of nodes every graph exists.
            "topology": "full" if n % 2 else str(draw.choice(TOPOLOGIES)),
            "arrivals": chance("clock", "poisson"),
            "label_delay_s": chance(0.05, 0.0),
            "labelled": chance(0.8, 1.0),
            "clock_skew_s": chance(0.01, 0.0),
            "lag_s": chance(0.1, 0.0),
        },
        link={
            "delay_s": float(draw.choice([0.001, 0.01, 0.1])),
            "jitter_s": chance(0.01, 0.0),
            "loss": chance(0.1, 0.0),
            "duplicate": chance(0.1, 0.0),
            "reorder": chance(0.1, 0.0),
            "bandwidth_bytes_per_s": chance(5000.0, 0.0),
        },
        faults=[fault for fault in faults if draw.random() < 0.4],
        **more,
    )


@pytest.mark.parametrize("seed", [*range(8), 11])  # 11 has nodes with few partners.
def test_shards_make_the_same_records(seed):
    prepared = prepare(scenario(seed))
    ((_, settings),) = prepared.settings.items()
    data = prepared.data[seed]
    built = build(settings, data, seed)
    one, _ = simulate(settings, data, built)
    whole = list(one.columns)
    for shards in (2, 4):
        made, _ = simulate(settings, data, built, shards=shards)
        assert whole == list(made.columns)
        assert one.trace_hash == made.trace_hash


def two_shards() -> None:
    prepared = prepare(Experiment(data={"limit": 60}, presets=["paper-base"], seeds=1, swarm={"nodes": 6}))
    ((_, settings),) = prepared.settings.items()
    simulate(settings, prepared.data[0], build(settings, prepared.data[0], 0), shards=2)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ZeroDivisionError("no\nwater"), RunError, r"^ZeroDivisionError: no water \(.*test_shards\.py:\d+\)$"),
        (MemoryError(), RunError, r"^MemoryError \("),
        (InvariantError("invariant broken: a test"), InvariantError, "^invariant broken: a test$"),
        (ConfigError("no such gate"), ConfigError, "^no such gate$"),
        (DataError("no such row"), DataError, "^no such row$"),
    ],
)
def test_an_error_in_a_shard_is_that_of_a_single_process(error, kind, words, monkeypatch):
    parent, answer = os.getpid(), shards_module._Shard.answer

    def breaks(shard, what):
        if os.getpid() != parent:
            raise error
        return answer(shard, what)

    monkeypatch.setattr(shards_module._Shard, "answer", breaks)
    with pytest.raises(kind, match=words):
        two_shards()


@pytest.mark.parametrize("asked", [1, 2])  # With the question unread, and before or while the next one is sent.
def test_a_killed_shard_is_named(asked, monkeypatch):
    parent, wait, waits = os.getpid(), shards_module._await, []

    def dies(pipe):
        if os.getpid() == parent:
            wait(pipe)
            return
        waits.append(1)
        if asked == 1:
            pipe.poll(None)
        if len(waits) == asked:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(shards_module, "_await", dies)
    with pytest.raises(RunError, match=r"^a process of a shard died"):
        two_shards()
