"""Results over seeds, and their JSON form."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import protovine
from protovine.errors import ConfigError, DataError
from protovine.experiments.run.result import METRICS, Interval
from tests.experiments.run import small

pytestmark = pytest.mark.usefixtures("short_report")


def test_intervals_are_students() -> None:
    values = [0.81, 0.84, 0.79, 0.86]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    made = Interval.of(values)
    assert (low, high) == (pytest.approx(made.mean - made.half), pytest.approx(made.mean + made.half))
    assert None is Interval.of([1.0]).half


def test_differences_are_paired_by_seed() -> None:
    result = protovine.run(small(seeds=3))
    by_hand = [
        base.metrics["f1"] - local.metrics["f1"]
        for local, base in zip(result.of("paper-isolated"), result.of("paper-base"), strict=True)
    ]
    assert Interval.of(by_hand) == result.difference("paper-base", "f1")
    assert None is result.difference("paper-isolated", "f1")
    assert None is result.difference("paper-base", "f1", base="paper-base")
    other = Interval.of([-value for value in by_hand])
    assert other == result.difference("paper-isolated", "f1", base="paper-base")
    for wrong, what in (
        ({"metric": "f2"}, "unknown metric 'f2'"),
        ({"base": "none"}, "the experiment has no preset 'none'"),
    ):
        with pytest.raises(ConfigError, match=what):
            result.difference("paper-base", **{"metric": "f1", **wrong})


def test_a_frame_has_numbers_and_earlier_runs_are_read_from_their_folders(tmp_path: Path) -> None:
    result = protovine.run(small(), out=tmp_path / "run")
    frame = result.frame()
    assert all(frame[metric].dtype.kind in "if" for metric in METRICS)
    assert frame[frame["preset"] == "paper-isolated"]["aoi_mean_s"].isna().all()
    assert frame["aoi_mean_s"].round(2).notna().any()
    pd.testing.assert_frame_equal(frame, protovine.load_results(tmp_path / "run"))


def test_the_file_of_a_run_over_python_objects_says_that_it_lacks_them(tmp_path: Path) -> None:
    data = pd.DataFrame({"wind": [1.0, 2.0, 3.0, 4.0] * 10, "rain": [False, False, True, True] * 10})
    protovine.run(protovine.Experiment(presets=["isolated"], seeds=1, data=data), out=tmp_path / "run")
    tables = tomllib.loads((tmp_path / "run/experiment.toml").read_text())
    with pytest.raises(DataError, match="the data of this experiment were Python objects, which its"):
        protovine.run(protovine.Experiment(**tables))
    again = protovine.Experiment(**{**tables, "data": {"source": data}})
    assert protovine.run(again).status == "complete"


def test_a_notebook_shows_a_result_in_a_few_lines() -> None:
    result = protovine.run(small())
    lines = repr(result).splitlines()
    f1 = result.interval("paper-base", "f1")
    assert lines[0] == "<Result: complete, phishing, 4 runs"
    assert lines[2].startswith(f"  paper-base: f1 {f1.mean:.4g}, accuracy ")
    assert len(lines) == 3
    noted = repr(dataclasses.replace(result, notes=("gossip.fanout does not apply to isolated",), runs=result.runs[:1]))
    assert noted.splitlines()[0] == "<Result: complete, phishing, 1 run"
    assert noted.endswith("\n  note: gossip.fanout does not apply to isolated>")
    assert len(repr(result.runs[0])) < 200


def test_json_has_what_scripts_rely_on() -> None:
    made = json.loads(json.dumps(protovine.run(small()).to_json(), allow_nan=False))
    assert {"experiment", "runs", "summary"} <= set(made)
    assert [("paper-isolated", 0), ("paper-isolated", 1), ("paper-base", 0), ("paper-base", 1)] == [
        (run["preset"], run["seed"]) for run in made["runs"]
    ]
    assert {*METRICS, "preset", "seed", "trace_hash", "per_node"} <= set(made["runs"][0])
    assert {"node", "samples", "confusion", "f1"} <= set(made["runs"][0]["per_node"][0])
    assert {"mean", "ci95", "low", "high", "difference"} == set(made["summary"]["paper-base"]["f1"])
    assert None is made["summary"]["paper-isolated"]["aoi_mean_s"]
