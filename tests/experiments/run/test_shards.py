"""A swarm in shards is the same swarm: the same records in the same order, whatever happens."""

from __future__ import annotations

import numpy as np
import pytest

from protovine.experiments import Experiment
from protovine.experiments.define.build import build
from protovine.experiments.define.prepare import prepare
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
        {"kind": "drift", "change": str(draw.choice(["features", "relation"])), "at_s": 0.8},
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
