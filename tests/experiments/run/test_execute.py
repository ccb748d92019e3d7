"""One simulated run: published fixed points, traces, and the held-out rows."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import protovine
from protovine import records
from protovine.errors import ConfigError
from protovine.experiments.run.folder import trace_path
from protovine.experiments.run.judge import judge_trace
from protovine.experiments.run.measured import measured_runs
from protovine.experiments.run.replay import replay
from protovine.sim import Outcome, Simulator
from protovine.stream import DataSet
from protovine.watch.recorded import Recorded
from tests.experiments.run import small

pytestmark = pytest.mark.usefixtures("short_report")


def test_without_sharing_the_run_gives_the_published_fixed_point() -> None:
    made = protovine.run(protovine.Experiment(presets="paper-isolated", seeds=1)).runs[0]
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
    experiment = protovine.Experiment(presets=preset, data=elec, gossip={"share_probability": 0}, seeds=1)
    made = protovine.run(experiment).runs[0]
    assert expected == round(made.metrics["f1_paper"], 4)
    assert 0 == made.metrics["messages"] == made.metrics["bytes_total"]


@pytest.mark.slow
@pytest.mark.parametrize(
    # F1 of a seed deviates by 0.014 at T = 0.1 and by 0.009 at T = 1, so means by 0.0045 of ten and of four.
    ("s", "T", "seeds", "low", "high", "published"),
    [(1, 0.1, 10, 0.48, 0.53, 0.521), (1, 1.0, 4, 0.53, 0.58, 0.551)],
)
def test_sharing_on_elec_lands_near_the_published_table(
    elec: DataSet, s: int, T: float, seeds: int, low: float, high: float, published: float
) -> None:
    result = protovine.run(
        protovine.Experiment(presets="paper-base", data=elec, gossip={"fanout": s, "share_probability": T}, seeds=seeds)
    )
    mean = result.interval("paper-base", "f1_paper").mean
    assert low <= mean <= high
    assert abs(mean - published) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize(("s", "T"), [(1, 0.1), (1, 1.0), (4, 0.1), (4, 1.0)])
def test_sharing_on_phishing_lands_near_the_published_table(s: int, T: float) -> None:
    result = protovine.run(
        protovine.Experiment(presets="paper-base", gossip={"fanout": s, "share_probability": T}, seeds=5)
    )
    assert 0.81 <= result.interval("paper-base", "f1_paper").mean <= 0.84


def test_the_trace_on_disk_has_the_hash_of_the_run(tmp_path: Path) -> None:
    result = protovine.run(small(seeds=1), out=tmp_path / "out")
    header, kept = records.read_trace(trace_path(tmp_path / "out", "paper-base", 0))
    assert ("paper-base", 0, 5) == (header["preset"], header["seed"], header["nodes"])
    made = records.TraceHash()
    for record in kept:
        made.add(record)
    assert result.of("paper-base")[0].trace_hash == made.hexdigest()


def test_the_holdout_is_not_learnt_and_every_node_is_tested_on_it() -> None:
    result = protovine.run(small(data={"limit": 200, "holdout": True}, seeds=1))
    for run in result.runs:
        assert 160 == sum(node["samples"] for node in run.per_node)
        assert 0.5 < run.metrics["f1_global"] < 1
        assert np.mean([node["f1_global"] for node in run.per_node]) == pytest.approx(run.metrics["f1_global"])
    assert protovine.run(small(seeds=1)).runs[0].metrics["f1_global"] is None


def test_nodes_without_a_model_are_left_out_of_the_holdout() -> None:
    swarm = {"nodes": 90, "split": "blocks", "topology": "erdos-renyi:0"}
    run = protovine.run(small(presets="paper-base", data={"limit": 100, "holdout": True}, swarm=swarm, seeds=1)).runs[0]
    empty = [node["f1_global"] for node in run.per_node if not node["samples"]]
    assert {None} == set(empty)
    assert len(empty) == 10


def test_with_label_skew_nodes_learn_from_others_what_they_do_not_see() -> None:
    tables = {"data": {"source": "sea", "limit": 3000, "holdout": True}, "swarm": {"split": "label-skew:0.3"}}
    result = protovine.run(protovine.Experiment(presets=["isolated", "default"], seeds=2, jobs=1, **tables))
    assert result.difference("default", "f1_global").mean > 0.05
    assert result.difference("default", "accuracy").mean > -0.01


def test_only_held_out_rows_leave_records_of_tests(tmp_path: Path) -> None:
    for holdout in (False, True):
        out = tmp_path / f"out-{holdout}"
        protovine.run(small(presets="paper-base", data={"limit": 200, "holdout": holdout}, seeds=1), out=out)
        kept = list(records.read_trace(trace_path(out, "paper-base", 0))[1])
        tests = [record for record in kept if isinstance(record, records.Evaluated)]
        assert ([0, 1, 2, 3, 4] if holdout else []) == [record.node for record in tests]
        assert {40} >= {sum(rows for _, _, rows in record.counts) for record in tests}
        last = [record for record in kept if isinstance(record, records.Evaluated | records.Sized)]
        assert last == kept[len(kept) - len(last) :], "they come last"


def test_a_trace_of_a_part_of_the_nodes_is_that_part_of_the_whole_trace(tmp_path: Path) -> None:
    runs, traces = [], []
    for nodes in (0, 7):
        swarm = {"nodes": 30, "topology": "ring", "trace_nodes": nodes}
        experiment = small(presets="default", data={"source": "sea", "limit": 900}, swarm=swarm, seeds=1)
        out = tmp_path / f"of-{nodes}"
        runs.append(protovine.run(experiment, out=out).runs[0])
        traces.append(records.read_trace(trace_path(out, "default", 0)))
    whole, part = runs
    assert whole.trace_hash == part.trace_hash, "the hash covers every record"
    assert whole.metrics["f1"] == part.metrics["f1"]
    (_, everything), (header, kept) = traces
    traced = header["traced"]
    assert [0, 1, 2, 3, 27, 28, 29] == traced, "connected, round node 0"
    assert [record for record in everything if record.node in traced] == list(kept)

    judged = judge_trace(trace_path(tmp_path / "of-7", "default", 0))
    of_whole = {each["node"]: (each["f1"], each["bytes"]) for each in whole.per_node}
    assert {node: of_whole[node] for node in traced} == {
        each["node"]: (each["f1"], each["bytes"]) for each in judged.per_node
    }
    (replayed,) = replay(tmp_path / "of-7", [], [])
    assert replayed.same
    (measured,) = measured_runs(tmp_path / "of-7")
    assert np.isfinite(measured.report.mean_s)
    watched = Recorded(tmp_path / "of-7")
    watched.start()
    end_s = time.monotonic() + 60
    while watched.status()["state"] == "starting":
        assert time.monotonic() < end_s
        time.sleep(0.01)
    watched.close()
    assert watched.status() == {"state": "recorded", "speed": 0.0, "error": None, "by_hand": []}
    shown = watched.frame("default")["totals"]
    assert shown["f1"] == pytest.approx(judged.metrics["f1"], abs=1e-3), "of the traced nodes"
    assert shown["samples"] == 7 * 30


def test_the_state_of_a_node_is_the_size_of_its_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, finish = [], Simulator.finish

    def measuring(self: Simulator) -> Outcome:
        outcome = finish(self)
        sizes.extend(len(node.snapshot()) for node in outcome.nodes)
        return outcome

    monkeypatch.setattr(Simulator, "finish", measuring)
    of_five = protovine.run(small(presets="default", data={"limit": 200}, seeds=1)).runs[0]
    assert of_five.metrics["state_bytes_per_node"] == np.mean(sizes) > 1000
    sizes.clear()
    tables = {"data": {"limit": 300}, "swarm": {"nodes": 150}}
    of_many = protovine.run(small(presets="isolated", seeds=1, **tables)).runs[0]
    assert of_many.metrics["state_bytes_per_node"] == np.mean(sizes[::2]), "75 of them"
    assert (
        protovine.run(small(presets="river", data={"limit": 50}, seeds=1)).runs[0].metrics["state_bytes_per_node"]
        is None
    )


def test_up_to_a_thousand_nodes_are_traced_by_default(tmp_path: Path) -> None:
    experiment = small(presets="isolated", data={"limit": 200}, swarm={"nodes": 60}, seeds=1)
    protovine.run(experiment, out=tmp_path / "out")
    header, kept = records.read_trace(trace_path(tmp_path / "out", "isolated", 0))
    assert "traced" not in header
    assert set(range(60)) == {record.node for record in kept}
    with pytest.raises(ConfigError, match="trace_nodes must be at least 0, got -1"):
        protovine.Experiment(swarm={"trace_nodes": -1})
