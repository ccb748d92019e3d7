"""Run folders, and replaying what they hold."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import protovine
from protovine.errors import ConfigError, DataError
from protovine.experiments.run import runner
from protovine.experiments.run.replay import replay
from protovine.stream import DataSet
from tests.experiments.run import small

pytestmark = pytest.mark.usefixtures("short_report")


def test_folder_holds_everything_and_replays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = protovine.run(small(gossip={"share_probability": 0.5}), out=out)
    assert {"experiment.toml", "resolved.toml", "traces", "result.json", "report.html"} == {
        p.name for p in out.iterdir()
    }
    assert 4 == len(list((out / "traces").iterdir()))
    assert result.to_json()["summary"] == json.loads((out / "result.json").read_text())["summary"]
    assert 0.5 == tomllib.loads((out / "resolved.toml").read_text())["paper-base"]["gossip"]["share_probability"]
    replayed = list(replay(out, [], []))
    assert [True] * 4 == [each.same for each in replayed]
    assert [("paper-base", 1)] == [(r.preset, r.seed) for r in replay(out, ["paper-base"], [1])]
    again = protovine.Experiment(**tomllib.loads((out / "experiment.toml").read_text()))
    assert [run.trace_hash for run in protovine.run(again).runs] == [run.trace_hash for run in result.runs]


def test_replay_notices_a_difference_and_changed_data(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2
    pd.DataFrame(x).assign(y=y).to_csv(tmp_path / "d.csv", index=False)
    out = tmp_path / "out"
    protovine.run(small(data=str(tmp_path / "d.csv"), seeds=1), out=out)
    made = json.loads((out / "result.json").read_text())
    made["runs"][0]["trace_hash"] = "0" * 32
    (out / "result.json").write_text(json.dumps(made))
    assert [False, True] == [each.same for each in replay(out, [], [])]
    with pytest.raises(ConfigError, match="has no preset 'paper-jsd'"):
        list(replay(out, ["paper-jsd"], []))
    pd.DataFrame(x + 1).assign(y=y).to_csv(tmp_path / "d.csv", index=False)
    with pytest.raises(DataError, match="not the one it was made with"):
        list(replay(out, [], []))


def test_runs_on_data_from_memory_say_that_they_cannot_be_replayed(tmp_path: Path, phishing: DataSet) -> None:
    protovine.run(small(data=phishing.head(100), seeds=1), out=tmp_path / "out")
    with pytest.raises(DataError, match="cannot be replayed"):
        list(replay(tmp_path / "out", [], []))


def test_a_run_folder_replays_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    x = np.random.default_rng(0).normal(size=(60, 2))
    pd.DataFrame(x).assign(y=np.arange(60) % 2).to_csv(here / "my data.csv", index=False)
    (here / "links.txt").write_text("0 1\n1 2\n")
    monkeypatch.chdir(here)
    files = {"links.txt": "0 1\n0 2\n", "nodes.txt": "0\n2\n1\n" * 20, "devices.csv": "node,from_s,speed\n0,1,0.25\n"}
    (here / "nodes.txt").write_text("0\n1\n2\n" * 20)
    (here / "devices.csv").write_text("node,from_s,speed\n0,1,0.5\n")
    swarm = {"nodes": 3, "topology": "./links.txt", "split": "file:nodes.txt", "devices": "devices.csv"}
    protovine.run(small(data="my data.csv", swarm=swarm, gossip={"share_probability": 1}, seeds=1), out="out")
    monkeypatch.chdir(elsewhere)
    assert [True, True] == [each.same for each in replay(here / "out", [], [])]
    for name, setting in (("links.txt", "topology"), ("nodes.txt", "split"), ("devices.csv", "devices")):
        before = (here / name).read_text()
        (here / name).write_text(files[name])
        with pytest.raises(DataError, match=f"what swarm.{setting} names is not what it was made with"):
            list(replay(here / "out", [], []))
        (here / name).write_text(before)


def test_a_partial_folder_replays_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = runner.execute

    def interrupted(settings, preset, seed, *rest):
        if (preset, seed) == ("paper-isolated", 1):
            raise KeyboardInterrupt
        return real(settings, preset, seed, *rest)

    monkeypatch.setattr(runner, "execute", interrupted)
    assert "partial" == protovine.run(small(), out=tmp_path / "out").status
    assert [("paper-isolated", 0), ("paper-base", 0)] == [(r.preset, r.seed) for r in replay(tmp_path / "out", [], [])]
    with pytest.raises(ConfigError, match="no finished run"):
        list(replay(tmp_path / "out", [], [1]))


def test_a_live_run_cannot_be_replayed_and_says_what_can(tmp_path: Path) -> None:
    protovine.run(small(), out=tmp_path / "out")
    file = tmp_path / "out" / "result.json"
    result = json.loads(file.read_text())
    file.write_text(json.dumps(result | {"experiment": {**result["experiment"], "live": True}}))
    with pytest.raises(DataError, match=r"is a live run.*node\.tape"):
        list(replay(tmp_path / "out", [], []))
