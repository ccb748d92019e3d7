"""Suites: several cases, streams and systems in one table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import protovine
from protovine.cli import main
from protovine.errors import ConfigError, DataError
from protovine.experiments.define.build import build
from protovine.experiments.define.suites import ISOLATED, SUITES, prepare_suite
from protovine.experiments.report.tables import suite_table
from protovine.experiments.run.suites import run_suite

SMALL: dict[str, Any] = {"data": {"source": "phishing", "limit": 200}, "seeds": 1}


def test_robustness_covers_skew_drift_and_every_kind_of_failure() -> None:
    prepared = prepare_suite("robustness", SMALL)
    assert ("default", "server", ISOLATED) == prepared.suite.presets
    assert 10 == len({each.case.name for each in prepared.cases})
    given = [each.prepared.experiment for each in prepared.cases]
    assert {"interleave", "label-skew:0.3", "quantity-skew:0.3", "blocks"} == {each.swarm.split for each in given}
    kinds = {fault.kind for each in given for fault in each.faults}
    assert {"crash", "join", "partition", "server"} == kinds
    assert any(each.link.loss for each in given)
    (death,) = [each for each in prepared.cases if each.case.name == "server dies"]
    assert 2.0 == death.prepared.experiment.faults[0].at_s, "200 rows of 5 nodes at 10 Hz take 4 s"


def test_a_suite_prints_one_table_and_leaves_a_folder_for_each_case(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["run", "--suite", "server-dies", "--data", "phishing", "--limit", "200", "--seeds", "1", "--jobs", "1"]
    done = CliRunner().invoke(main, [*words, "--out", str(out), "--json"])
    assert 0 == done.exit_code, done.output
    cases = json.loads(done.stdout)["streams"]["phishing"]
    assert ["plain", "server dies"] == list(cases)
    for preset in ("default", ISOLATED):
        assert cases["plain"][preset] == cases["server dies"][preset], "they have no server to lose"
    bytes_of = [case["server"]["bytes_per_node_per_s"]["mean"] for case in cases.values()]
    assert bytes_of[1] < bytes_of[0]
    assert {"plain", "server-dies"} == {path.name for path in out.iterdir()}
    recorded = json.loads((out / "plain" / "result.json").read_text())
    assert "complete" == recorded["status"]


def test_every_suite_fits_its_settings() -> None:
    """A setting that was renamed is found here, not after hours of another suite."""
    for name, suite in SUITES.items():
        prepared = prepare_suite(name, {**SMALL, "swarm": {"nodes": 5}})
        names = [each.case.name for each in prepared.cases]
        assert len(names) == len(set(names)) == len(suite.cases_of(5, 4.0))


def test_a_stream_that_is_given_keeps_the_treatment_of_the_suite() -> None:
    for data in ({}, {"source": "phishing"}, {"source": "sea"}):
        for each in prepare_suite("skew", {**SMALL, "data": {"limit": 60, **data}}).cases:
            settings = each.prepared.settings["default"]
            assert ("label-skew:0.3", True) == (settings.swarm.split, settings.data.holdout)
    (case,) = prepare_suite("targets", {**SMALL, "data": {"source": "image-segments", "limit": 60}}).cases
    assert "shuffle" == case.prepared.settings["default"].swarm.split, "its rows are sorted by class"


@pytest.mark.parametrize(
    ("suite", "given"),
    [("byzantine", {"swarm": {"byzantine": "flood:2"}}), ("budget", {"exchange": {"budget_bytes_per_s": 50}})],
)
def test_what_a_suite_varies_is_not_set_for_its_control(suite: str, given: dict) -> None:
    (key,) = (f"{table}.{key}" for table, keys in given.items() for key in keys)
    with pytest.raises(ConfigError, match=f"suite {suite} varies {key}: leave it out"):
        prepare_suite(suite, {**SMALL, **given})


def test_streams_whose_data_is_missing_are_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = {"there": {"data.source": "phishing"}, "missing": {"data.source": "no-such-file.csv"}}
    suite = replace(SUITES["targets"], streams=streams)
    monkeypatch.setitem(SUITES, "targets", suite)
    prepared = prepare_suite("targets", {"seeds": 1, "data": {"limit": 60}})
    assert ["there"] == [each.stream for each in prepared.cases]
    assert ["missing"] == list(prepared.left_out)
    monkeypatch.setitem(SUITES, "targets", replace(suite, streams={"missing": streams["missing"]}))
    with pytest.raises(DataError, match=r"no-such-file\.csv"):
        prepare_suite("targets", {"seeds": 1})


def test_a_suite_with_several_streams_has_a_column_for_each() -> None:
    tables = {"seeds": 2, "data": {"limit": 60}}
    prepared = prepare_suite("gates", tables)
    few = replace(prepared, cases=tuple(each for each in prepared.cases if each.case.name in ("all", "sets, always")))
    result = run_suite(few)
    table = suite_table(result)
    assert ["", *result.streams, "mean F1", "mean traffic per node [B/s]"] == table.heads
    assert ["all", "sets, always"] == [row[0] for row in table.rows]
    means = []
    for stream, cell in zip(result.streams, table.rows[0][1:], strict=False):
        runs = result.by_case[stream, "all"].runs
        means.append([np.mean([run.metrics[name] for run in runs]) for name in ("f1", "bytes_per_node_per_s")])
        assert f"{means[-1][0]:.3f} / {means[-1][1]:,.0f}" == cell
    f1, traffic = np.mean(means, axis=0)
    assert [f"{f1:.4f}", f"{traffic:,.0f}"] == table.rows[0][-2:]


@pytest.mark.parametrize(
    ("name", "tables", "message"),
    [
        ("robust", {}, "unknown suite 'robust' (did you mean 'robustness'?)"),
        ("robustness", {"swarm": {"nodes": 2}}, "needs at least 3 nodes, got 2"),
        ("robustness", {"faults": [{"kind": "server", "at_s": 1}]}, "has faults of its own"),
    ],
)
def test_a_suite_that_cannot_run_names_the_reason(name: str, tables: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare_suite(name, {**SMALL, **tables})
    assert message in str(caught.value)


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


def test_the_page_lists_every_suite() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "presets.md").read_text()
    table = page.partition("<!-- suites -->\n")[2].partition("<!-- end -->")[0].splitlines()[2:]
    assert [f"| `{suite.name}` | {suite.about} |" for suite in SUITES.values()] == table
