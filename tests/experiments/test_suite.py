"""Suites: several settings, several systems, one table."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import protovine
from protovine.cli import main
from protovine.errors import ConfigError
from protovine.experiments.define.build import build
from protovine.experiments.suites import SUITES, prepare_suite

SMALL = {"data": {"source": "phishing", "limit": 200}, "seeds": 1}


def test_robustness_covers_what_it_says() -> None:
    suite, prepared = prepare_suite("robustness", SMALL)
    assert ("default", "server", "local") == suite.presets
    assert 10 == len({case.name for case, _ in prepared})
    given = [each.experiment for _, each in prepared]
    assert {"interleave", "label-skew:0.3", "quantity-skew:0.3", "blocks"} == {each.swarm.split for each in given}
    kinds = {fault.kind for each in given for fault in each.faults}
    assert {"crash", "join", "partition", "server"} == kinds
    assert any(each.link.loss for each in given)
    (death,) = [each for case, each in prepared if case.name == "server dies"]
    assert 2.0 == death.experiment.faults[0].at_s, "200 rows of 5 nodes at 10 Hz take 4 s"


def test_a_suite_prints_one_table_and_leaves_a_folder_a_case(tmp_path) -> None:
    out = tmp_path / "out"
    words = ["run", "--suite", "server-dies", "--data", "phishing", "--limit", "200", "--seeds", "1", "--jobs", "1"]
    done = CliRunner().invoke(main, [*words, "--out", str(out), "--json"])
    assert 0 == done.exit_code, done.output
    table = json.loads(done.stdout)
    assert ["plain", "server dies"] == list(table["cases"])
    for preset in ("default", "local"):
        assert table["cases"]["plain"][preset] == table["cases"]["server dies"][preset], "they have no server to lose"
    bytes_of = [case["server"]["bytes_per_node_per_s"]["mean"] for case in table["cases"].values()]
    assert bytes_of[1] < bytes_of[0]
    assert {"plain", "server-dies"} == {path.name for path in out.iterdir()}
    recorded = json.loads((out / "plain" / "result.json").read_text())
    assert "complete" == recorded["status"]


@pytest.mark.parametrize(
    ("name", "tables", "message"),
    [
        ("robust", {}, "unknown suite 'robust' (did you mean 'robustness'?)"),
        ("robustness", {"swarm": {"nodes": 2}}, "needs at least 3 nodes, got 2"),
        ("robustness", {"faults": [{"kind": "server", "at_s": 1}]}, "has faults of its own"),
    ],
)
def test_what_a_suite_cannot_do_is_said(name: str, tables: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare_suite(name, {**SMALL, **tables})
    assert message in str(caught.value)
    assert set(SUITES) == {"robustness", "server-dies"}


def scenario(**swarm):
    experiment = protovine.Experiment(presets="default", data={"limit": 200}, swarm=swarm)
    return build(experiment.settings("default"), protovine.load("phishing", rows=200), 0).scenario


def test_lag_and_shift_move_times_and_features_of_each_node_alike() -> None:
    plain, moved = scenario(), scenario(lag_s=2.5, feature_shift=0.5)
    data = protovine.load("phishing", rows=200)
    offsets = []
    for node in range(5):
        assert (plain.at_ns[node] + node * 2_500_000_000).tolist() == moved.at_ns[node].tolist()
        off = moved.x[moved.rows[node]] - plain.x[plain.rows[node]]
        np.testing.assert_allclose(off, np.broadcast_to(off[0], off.shape), atol=1e-12)
        offsets.append(off[0] / data.x.std(axis=0))
    assert 0.3 < np.std(offsets) < 0.7, "half a standard deviation, by 45 draws"
    assert plain.x is not moved.x and np.array_equal(plain.x, data.x)
