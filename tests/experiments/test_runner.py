from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from river import datasets
from scipy import stats

import protovine
from protovine import records
from protovine.errors import ConfigError, DataError, InvariantError, RunError
from protovine.experiments.define.prepare import prepare
from protovine.experiments.run import runner
from protovine.experiments.run.folder import read_result, trace_path
from protovine.experiments.run.replay import replay
from protovine.experiments.run.result import METRICS, Interval
from protovine.stream import DataSet


def small(**values) -> protovine.Experiment:
    values.setdefault("presets", ["paper-local", "paper-base"])
    values.setdefault("data", {"limit": 200})
    values.setdefault("seeds", 2)
    return protovine.Experiment(**values)


def test_without_sharing_the_run_gives_the_published_fixed_point() -> None:
    made = protovine.run(protovine.Experiment(presets="paper-local", seeds=1)).runs[0]
    assert 0.7984 == round(made.metrics["f1_paper"], 4)
    assert [0.813, 0.816, 0.785, 0.747, 0.831] == [node["f1_paper"] for node in made.per_node]


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("paper-base", 0.4882),
        ("paper-cluster-500", 0.5314),
        ("paper-cluster-250", 0.5356),
        ("paper-cluster-150", 0.5508),
        ("paper-cluster", 0.5248),
    ],
)
def test_switched_off_every_preset_gives_its_published_fixed_point(elec: DataSet, preset: str, expected: float) -> None:
    experiment = protovine.Experiment(presets=preset, data=elec, gossip={"T": 0}, seeds=1)
    made = protovine.run(experiment).runs[0]
    assert expected == round(made.metrics["f1_paper"], 4)
    assert 0 == made.metrics["messages"] == made.metrics["bytes_total"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("s", "T", "low", "high", "published"), [(1, 0.1, 0.48, 0.53, 0.521), (1, 1.0, 0.53, 0.58, 0.551)]
)
def test_sharing_on_elec_lands_near_the_published_table(
    elec: DataSet, s: int, T: float, low: float, high: float, published: float
) -> None:
    result = protovine.run(protovine.Experiment(presets="paper-base", data=elec, gossip={"s": s, "T": T}, seeds=10))
    mean = result.interval("paper-base", "f1_paper").mean
    assert low <= mean <= high
    assert abs(mean - published) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize(("s", "T"), [(1, 0.1), (1, 1.0), (4, 0.1), (4, 1.0)])
def test_sharing_on_phishing_lands_near_the_published_table(s: int, T: float) -> None:
    result = protovine.run(protovine.Experiment(presets="paper-base", gossip={"s": s, "T": T}, seeds=5))
    assert 0.81 <= result.interval("paper-base", "f1_paper").mean <= 0.84


def test_results_do_not_depend_on_the_number_of_jobs() -> None:
    alone, together = (protovine.run(small(), jobs=jobs) for jobs in (1, 2))
    assert [run.trace_hash for run in alone.runs] == [run.trace_hash for run in together.runs]
    for ours, theirs in zip(alone.runs, together.runs, strict=True):
        assert (ours.preset, ours.seed) == (theirs.preset, theirs.seed)
        same = {name for name in METRICS if "wall" not in name}
        assert {name: ours.metrics[name] for name in same} == {name: theirs.metrics[name] for name in same}


def test_every_kind_of_data_gives_the_same_run(phishing: DataSet) -> None:
    frame = pd.DataFrame(phishing.x, columns=list(phishing.features)).assign(phishing=phishing.y == 1)
    sources = {
        "data set": phishing,
        "arrays": (phishing.x, phishing.y == 1),
        "frame": frame,
        "river": datasets.Phishing(),
        "iterator": iter(list(datasets.Phishing())),
        "generator": (pair for pair in datasets.Phishing()),
    }
    hashes = {
        name: protovine.run(small(data={"source": source, "limit": 200}, seeds=1)).runs[1].trace_hash
        for name, source in sources.items()
    }
    assert {protovine.run(small(seeds=1)).runs[1].trace_hash} == set(hashes.values())


def test_more_than_two_classes_work() -> None:
    result = protovine.run(
        small(data={"source": "image-segments", "limit": 600}, swarm={"split": "shuffle"}, gossip={"T": 0.3})
    )
    for run in result.runs:
        assert run.metrics["f1"] == run.metrics["f1_macro"]
        assert (7, 8) == np.array(run.per_node[0]["confusion"]).shape
    assert result.difference("paper-base", "f1").mean > 0


def test_generated_streams_follow_the_seed() -> None:
    prepared = prepare(small(data={"source": "sea", "limit": 100}))
    assert prepared.data[0].fingerprint() != prepared.data[1].fingerprint()
    shared = prepare(small())
    assert shared.data[0] is shared.data[1]


def test_the_holdout_is_not_learnt_and_every_node_is_tested_on_it() -> None:
    result = protovine.run(small(data={"limit": 200, "holdout": True}, seeds=1))
    for run in result.runs:
        assert 160 == sum(node["samples"] for node in run.per_node)
        assert 0.5 < run.metrics["f1_global"] < 1
        assert np.mean([node["f1_global"] for node in run.per_node]) == pytest.approx(run.metrics["f1_global"])
    assert protovine.run(small(seeds=1)).runs[0].metrics["f1_global"] is None


def test_with_label_skew_nodes_learn_from_others_what_they_do_not_see() -> None:
    tables = {"data": {"source": "sea", "limit": 3000, "holdout": True}, "swarm": {"split": "label-skew:0.3"}}
    result = protovine.run(protovine.Experiment(presets=["local", "default"], seeds=2, jobs=1, **tables))
    assert result.difference("default", "f1_global").mean > 0.05
    assert result.difference("default", "accuracy").mean > -0.01


def test_rates_and_ages_are_as_they_should_be() -> None:
    made = protovine.run(small(presets="paper-base", gossip={"T": 1}, data={"limit": 1000}, seeds=1)).runs[0].metrics
    assert 4 * 1000 == made["messages"]
    assert made["bytes_total"] / 5 / made["virtual_s"] == pytest.approx(made["bytes_per_node_per_s"])
    assert 105 * made["prototypes_sent"] / made["virtual_s"] == pytest.approx(made["paper_bytes_per_s"])
    # Every sample is shared at once: the age is the mean gap of 0.1 s and a link delay of 1 ms.
    assert 0.101 == pytest.approx(made["aoi_mean_s"], rel=0.15)
    assert made["version_age_mean"] < 0.05


def test_nodes_without_positives_are_left_out_of_f1_and_said() -> None:
    x, y = np.arange(40.0).reshape(40, 1), np.array([0, 1, 0, 0] * 10)
    result = protovine.run(protovine.Experiment(presets="paper-local", data=(x, y), swarm={"nodes": 2}, seeds=1))
    assert None is result.runs[0].per_node[0]["f1"]
    assert result.runs[0].metrics["f1"] == result.runs[0].per_node[1]["f1"]
    assert ("seed 0: no positives at node 0, left out of f1",) == result.notes


def test_the_positive_class_can_be_chosen() -> None:
    scores = {
        positive: protovine.run(small(presets="paper-local", data={"limit": 200, "positive": positive}, seeds=1))
        .runs[0]
        .metrics["f1"]
        for positive in ("true", "False")
    }
    assert scores["true"] != scores["False"]


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
        for local, base in zip(result.of("paper-local"), result.of("paper-base"), strict=True)
    ]
    assert Interval.of(by_hand) == result.difference("paper-base", "f1")
    assert None is result.difference("paper-local", "f1")


def test_json_has_what_scripts_rely_on() -> None:
    made = json.loads(json.dumps(protovine.run(small()).to_json(), allow_nan=False))
    assert {"experiment", "runs", "summary"} <= set(made)
    assert [("paper-local", 0), ("paper-local", 1), ("paper-base", 0), ("paper-base", 1)] == [
        (run["preset"], run["seed"]) for run in made["runs"]
    ]
    assert {*METRICS, "preset", "seed", "trace_hash", "per_node"} <= set(made["runs"][0])
    assert {"node", "samples", "confusion", "f1"} <= set(made["runs"][0]["per_node"][0])
    assert {"mean", "ci95", "low", "high", "difference"} == set(made["summary"]["paper-base"]["f1"])
    assert None is made["summary"]["paper-local"]["aoi_mean_s"]


def test_folder_holds_everything_and_replays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = protovine.run(small(gossip={"T": 0.5}), out=out)
    assert {"experiment.toml", "resolved.toml", "traces", "result.json", "report.html"} == {
        p.name for p in out.iterdir()
    }
    assert 4 == len(list((out / "traces").iterdir()))
    assert result.to_json()["summary"] == json.loads((out / "result.json").read_text())["summary"]
    assert 0.5 == tomllib.loads((out / "resolved.toml").read_text())["paper-base"]["gossip"]["T"]
    replayed = list(replay(out, [], []))
    assert [True] * 4 == [each.same for each in replayed]
    assert [("paper-base", 1)] == [(r.preset, r.seed) for r in replay(out, ["paper-base"], [1])]
    again = protovine.Experiment(**tomllib.loads((out / "experiment.toml").read_text()))
    assert [run.trace_hash for run in protovine.run(again).runs] == [run.trace_hash for run in result.runs]


def test_the_trace_on_disk_has_the_hash_of_the_run(tmp_path: Path) -> None:
    result = protovine.run(small(seeds=1), out=tmp_path / "out")
    header, kept = records.read_trace(trace_path(tmp_path / "out", "paper-base", 0))
    assert ("paper-base", 0, 5) == (header["preset"], header["seed"], header["nodes"])
    made = records.TraceHash()
    for record in kept:
        made.add(record)
    assert result.of("paper-base")[0].trace_hash == made.hexdigest()


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


def test_an_output_folder_with_files_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(ConfigError, match="is not empty"):
        protovine.run(small(), out=tmp_path)
    assert ["mine"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"swarm": {"topology": "regular:9"}}, ConfigError, "regular:K"),
        ({"swarm": {"split": "label-skew:0"}}, ConfigError, "ALPHA"),
        ({"swarm": {"slow": {9: 2.0}}}, ConfigError, "names node 9"),
        ({"data": "phising"}, DataError, "did you mean 'phishing'"),
        ({"data": {"limit": 1}}, DataError, "at least two classes"),
        ({"data": {"positive": "maybe"}}, ConfigError, "maybe"),
        ({"data": {"source": "image-segments", "positive": "sky"}}, ConfigError, "there are 7"),
        ({"learner": {"target_low": 90.0}}, ConfigError, "low <= high"),
        ({"faults": [{"kind": "crash", "node": 0, "at_s": 2, "restart_s": 1}]}, ConfigError, "must be after 2"),
        ({"faults": [{"kind": "crash", "node": 7, "at_s": 2}]}, ConfigError, "names node 7"),
    ],
)
def test_what_does_not_fit_is_found_before_anything_is_written(
    tmp_path: Path, values: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        protovine.run(small(**values), out=tmp_path / "out")
    assert [] == list(tmp_path.iterdir())


def test_a_broken_promise_ends_the_experiment_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = runner.execute

    def breaks(settings, preset, seed, *rest):
        if (preset, seed) == ("paper-base", 1):
            raise InvariantError("invariant broken: a test")
        return real(settings, preset, seed, *rest)

    monkeypatch.setattr(runner, "execute", breaks)
    again = f"a test; to see it again: protovine replay {tmp_path}/out --preset paper-base --seed 1"
    with pytest.raises(RunError, match=f"paper-base, seed 1: invariant broken: {again}"):
        protovine.run(small(), out=tmp_path / "out")
    kept = read_result(tmp_path / "out")
    assert ("failed", ["paper-base", 1], 3) == (kept["status"], kept["failed"], len(kept["runs"]))
    assert (tmp_path / "out" / "report.html").exists()
    with pytest.raises(RunError, match=r"a test$"):
        protovine.run(small())


def test_a_run_folder_replays_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    x = np.random.default_rng(0).normal(size=(60, 2))
    pd.DataFrame(x).assign(y=np.arange(60) % 2).to_csv(here / "my data.csv", index=False)
    (here / "links.txt").write_text("0 1\n1 2\n")
    monkeypatch.chdir(here)
    swarm = {"nodes": 3, "topology": "./links.txt"}
    protovine.run(small(data="my data.csv", swarm=swarm, gossip={"T": 1}, seeds=1), out="out")
    monkeypatch.chdir(elsewhere)
    assert [True, True] == [each.same for each in replay(here / "out", [], [])]
    (here / "links.txt").write_text("0 1\n0 2\n")
    with pytest.raises(DataError, match="file of links is not the one"):
        list(replay(here / "out", [], []))


def test_notes_warn_of_what_a_user_would_not_expect() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3)) * [1.0, 2.0, 1e5]
    faults = [{"kind": "crash", "node": 1, "at_s": 1.0}, {"kind": "join", "node": 0, "at_s": 50.0}]
    notes = protovine.run(small(data=(x, np.arange(60) % 2), faults=faults, seeds=1)).notes
    assert any("'x2' spans" in note and "scale it" in note for note in notes)
    assert ["a join at 50 s comes after the end"] == [note[:34] for note in notes if "join" in note]
    assert not any("crash" in note for note in notes)


def test_a_partial_folder_replays_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = runner.execute

    def interrupted(settings, preset, seed, *rest):
        if (preset, seed) == ("paper-local", 1):
            raise KeyboardInterrupt
        return real(settings, preset, seed, *rest)

    monkeypatch.setattr(runner, "execute", interrupted)
    assert "partial" == protovine.run(small(), out=tmp_path / "out").status
    assert [("paper-local", 0), ("paper-base", 0)] == [(r.preset, r.seed) for r in replay(tmp_path / "out", [], [])]
    with pytest.raises(ConfigError, match="no finished run"):
        list(replay(tmp_path / "out", [], [1]))


def test_a_wrong_label_column_is_suspected() -> None:
    x = np.arange(80.0).reshape(80, 1)
    with pytest.raises(ConfigError, match=r"80 classes in 80 rows.*label column"):
        protovine.run(small(presets="paper-cluster", data=(x, np.arange(80))))


def test_an_iterator_runs_in_several_processes() -> None:
    source = (pair for pair in datasets.Phishing().take(100))
    result = protovine.run(small(data={"source": source}), jobs=2)
    assert 4 == len(result.runs)


def test_nodes_without_a_model_are_left_out_of_the_holdout() -> None:
    swarm = {"nodes": 90, "split": "blocks", "topology": "erdos-renyi:0"}
    run = protovine.run(small(presets="paper-base", data={"limit": 100, "holdout": True}, swarm=swarm, seeds=1)).runs[0]
    empty = [node["f1_global"] for node in run.per_node if not node["samples"]]
    assert {None} == set(empty)
    assert len(empty) == 10


def test_importing_the_package_is_light() -> None:
    heavy = ("numpy", "numba", "river", "pydantic", "rich")
    code = f"import sys, protovine, protovine.cli; print([m for m in {heavy} if m in sys.modules])"
    assert "[]\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_a_script_without_a_guard_is_told_so_and_does_not_hang(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import protovine\n"
        "presets = ['paper-local']\n"
        "protovine.run(protovine.Experiment(presets=presets, data={'limit': 100}, seeds=2, jobs=2))\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ended.returncode and "below `if __name__ == '__main__':`" in ended.stderr
    assert "a worker process died" in ended.stderr
