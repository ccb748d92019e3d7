"""Judging: the same result from a trace file as from the run, at the same cost per record at any swarm size."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import protovine
from protovine.errors import DataError
from protovine.experiments.define.config import Experiment
from protovine.experiments.define.prepare import prepare
from protovine.experiments.run.ages import expected_ages
from protovine.experiments.run.execute import execute
from protovine.experiments.run.folder import trace_path
from protovine.experiments.run.judge import judge, judge_trace
from protovine.experiments.run.measured import measured_runs
from protovine.experiments.run.trace import RunDescription
from protovine.records import AnyRecord, Arrived, Evaluated, Learned, Predicted, Received, Sent, read_trace, write_trace
from tests.experiments.run import small

pytestmark = pytest.mark.usefixtures("short_report")

UNTRACED = ("wall_s", "samples_per_wall_s")
# Two nodes that are neighbours, and a Byzantine one.
DESCRIPTION = RunDescription("a", 0, ("no", "yes"), [[1], [0], [0, 1]], [0, 1], 1, True)


def plain(run: Any) -> dict[str, Any]:
    """All that judging found, but for wall times."""
    curves = dict(vars(run.series))
    links, nodes = curves.pop("links"), {node: vars(each) for node, each in curves.pop("nodes").items()}
    of_nodes = repr({node: {name: np.asarray(c).tolist() for name, c in each.items()} for node, each in nodes.items()})
    series = {name: np.asarray(value).tolist() for name, value in curves.items()}
    found = {**run.to_json(), "series": repr(series), "links": links, "drifts": run.drift_points_s, "nodes": of_nodes}
    return {name: value for name, value in found.items() if name not in UNTRACED}


def test_the_curves_of_nodes_add_up_to_those_of_the_run() -> None:
    run = protovine.run(protovine.Experiment(presets="paper-base", data={"limit": 300}, seeds=1)).runs[0]
    series, nodes = run.series, run.series.nodes
    assert [0, 1, 2, 3, 4] == list(nodes)
    of_all = np.mean([each.bytes_per_s for each in nodes.values()], axis=0)
    np.testing.assert_allclose(of_all, series.bytes_per_node_per_s)
    np.testing.assert_allclose(np.mean([each.size for each in nodes.values()], axis=0), series.size)
    step_s = series.at_s[0]
    for each, curves in zip(run.per_node, nodes.values(), strict=True):
        assert each["f1"] == pytest.approx(curves.f1_so_far[-1])
        assert each["bytes"] == pytest.approx(curves.bytes_per_s.sum() * step_s)
        assert 50 == curves.window and len(series.at_s) == len(curves.f1_recent)
    assert len({each.f1_so_far[-1] for each in nodes.values()}) > 1


@pytest.mark.parametrize(
    "tables",
    [
        {"presets": ["default", "isolated"], "data": {"source": "sea", "limit": 300, "holdout": True}},
        {
            "presets": "default",
            "data": {"source": "image-segments", "limit": 150, "holdout": True},
            "swarm": {"nodes": 20, "split": "label-skew:0.1", "topology": "ring"},
        },
        {
            "presets": "paper-base",
            "swarm": {"byzantine": "label-flip:1", "labelled": 0.5, "label_delay_s": 1.0, "clock_skew_s": 0.5},
            "faults": [
                {"kind": "crash", "node": 0, "at_s": 1.0},
                {"kind": "crash", "node": 1, "at_s": 1.0, "restart_s": 2.0, "keeps_state": False},
            ],
        },
        {"presets": "server", "swarm": {"byzantine": "label-flip:1"}, "data": {"limit": 200, "holdout": True}},
        {"presets": "default", "medium": {"profile": "lora-sf7"}, "swarm": {"rate_hz": 0.5}, "data": {"limit": 100}},
    ],
    ids=["holdout", "nodes without samples", "faults", "server", "medium"],
)
def test_a_trace_file_gives_the_result_of_the_run(tables: dict[str, Any], tmp_path: Path) -> None:
    prepared = prepare(small(**{"seeds": 1, **tables}))
    for preset, settings in prepared.settings.items():
        made = execute(settings, preset, 0, prepared.data[0], tmp_path)
        again = judge_trace(tmp_path / f"{preset}-seed0.jsonl.gz", settings)
        assert plain(made) == plain(again)
        assert [None, None] == [again.metrics[name] for name in UNTRACED]
        assert judge_trace(tmp_path / f"{preset}-seed0.jsonl.gz").metrics == again.metrics


def test_a_result_follows_from_records_and_description() -> None:
    records: list[AnyRecord] = [
        Arrived(1_000, 0, 7, 1),
        Predicted(1_000, 0, 7, 1, (0.25, 0.75)),
        Learned(1_000, 0, 7, True, 3),
        Sent(1_000, 0, 1, "share", 1, 1, 3, 16, 84, 0),
        Arrived(2_000, 1, 8, 0),
        Predicted(2_000, 1, 8, 1, (0.5, 0.5)),
        Received(500_000_000, 1, 0, 1, 1, 1, 1_000, 3, 100),
        # Nothing of a Byzantine node counts but the time.
        Sent(600_000_000, 2, 1, "share", 1, 1, 3, 16, 9_984, 0),
        Arrived(2_000_000_000, 2, 9, 0),
        Predicted(2_000_000_000, 2, 9, 0, (1.0, 0.0)),
        # Of class 1 the node has 3 of 4 right and one without a model, of class 0 none of 2.
        Evaluated(2_000_000_000, 0, ((0, 1, 2), (1, -1, 1), (1, 1, 3))),
    ]
    run = judge(DESCRIPTION, records, expected=None, wall_s=4.0, trace_hash="hash")
    found = run.metrics
    assert (2.0, 0.5, 100, 1, 25.0) == tuple(
        found[name] for name in ("virtual_s", "accuracy", "bytes_total", "messages", "bytes_per_node_per_s")
    )
    assert (2 / 3, 1.0, None) == (found["f1_pooled"], found["f1"], found["aoi_peak_s"])
    assert -(np.log(0.75) + np.log(0.5)) / 2 == pytest.approx(found["log_loss"])
    assert (2 * 3 / (4 + 5) + 0) / 2 == found["f1_global"] == run.per_node[0]["f1_global"]
    assert (0.5, "hash", None) == (found["samples_per_wall_s"], run.trace_hash, run.ages)
    assert [(0, 1, 100, [[0, 0, 0], [0, 1, 0]]), (1, 1, 0, [[0, 1, 0], [0, 0, 0]])] == [
        (node["node"], node["samples"], node["bytes"], node["confusion"]) for node in run.per_node
    ]
    assert None is run.per_node[1]["f1_global"], "it was not tested"


def test_nodes_that_share_nothing_have_no_ages() -> None:
    isolated = RunDescription("a", 0, ("no", "yes"), [[1], [0]], [0, 1], 1, False)
    records: list[AnyRecord] = [Arrived(1, 0, 7, 1), Predicted(1, 0, 7, -1, ())]
    run = judge(isolated, records, expected=None, wall_s=None, trace_hash="")
    assert {None} == {run.metrics[name] for name in ("aoi_mean_s", "aoi_p95_s", "version_age_mean", "aoii_mean_s")}
    assert np.isnan(run.series.age_s).all()


class Counted(list[AnyRecord]):
    """Records that count how often one of them is read."""

    reads = 0

    def __iter__(self) -> Iterator[AnyRecord]:
        for record in list.__iter__(self):
            self.reads += 1
            yield record


def calls_per_record(nodes: int) -> tuple[float, float]:
    """Function calls and reads that judging takes for one record of a swarm of this size, as a mean."""
    swarm = {"nodes": nodes, "topology": "regular:4"}
    data = {"source": "sea", "limit": 12 * nodes}
    settings = Experiment(presets="paper-base", swarm=swarm, data=data).settings("paper-base")
    trace = synthetic_trace(nodes)
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    links = [[(node + step) % nodes for step in (-2, -1, 1, 2)] for node in range(nodes)]
    run = RunDescription("paper-base", 0, ("no", "yes"), links, list(range(nodes)), 1, True)
    judge(run, trace, expected=None, wall_s=1.0, trace_hash="")  # Triggers late imports.
    trace.reads = 0
    sys.setprofile(count)
    try:
        judge(run, trace, expected=expected_ages(settings, links), wall_s=1.0, trace_hash="")
    finally:
        sys.setprofile(None)
    return calls / len(trace), trace.reads / len(trace)


def synthetic_trace(nodes: int) -> Counted:
    """Twelve samples of each node, each shared with one neighbour."""
    draw = np.random.default_rng(0)
    trace = Counted()
    for step in range(12 * nodes):
        node, at_ns = step % nodes, 1_000_000 * (step + 1)
        peer = (node + 1) % nodes
        code, truth = (int(each) for each in draw.integers(0, 2, 2))
        trace += [
            Arrived(at_ns, node, step, truth),
            Predicted(at_ns, node, step, code, (0.5, 0.5)),
            Learned(at_ns, node, step, True, step // nodes + 1),
            Sent(at_ns, node, peer, "share", step + 1, step // nodes + 1, 1, 16, 10, 0),
            Received(at_ns, peer, node, 1, step + 1, step // nodes + 1, at_ns, 1, 26),
        ]
    return trace


def test_judging_takes_no_more_operations_per_record_in_a_larger_swarm() -> None:
    (few, few_reads), (many, many_reads) = calls_per_record(20), calls_per_record(200)
    assert few_reads == many_reads <= 7
    assert many <= 1.05 * few


@pytest.mark.parametrize("preset", ["isolated", "centralised", "server"])
def test_convergence_is_compared_by_the_samples_of_a_stream(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One node may read the streams of all five, and a server reads none."""
    monkeypatch.setattr("protovine.metrics.samples_to", lambda so_far: 100)
    for byzantine, streams in (("", 5), ("label-flip:1", 4)):
        if preset == "centralised" and byzantine:
            continue
        swarm = {"byzantine": byzantine} if byzantine else {}
        (run,) = protovine.run(small(presets=preset, swarm=swarm, seeds=1)).runs
        assert run.metrics["samples_to_95"] == 100 / streams


@pytest.mark.parametrize("arrivals", ["poisson", "clock"])
@pytest.mark.parametrize(
    ("faults", "devices"),
    [
        ([{"kind": "crash", "node": 0, "at_s": 2.0}], ""),
        ([{"kind": "crash", "node": 3, "at_s": 1.5, "restart_s": 3, "keeps_state": False}], ""),
        ([{"kind": "join", "node": 1, "at_s": 2.0}, {"kind": "crash", "node": 4, "at_s": 1}], ""),
        ([], "node,from_s,up\n2,0,0\n2,1.25,1\n0,1,0\n0,2,1\n3,3,0\n"),
    ],
)
def test_all_systems_are_judged_on_the_samples_that_no_node_missed(
    tmp_path: Path, arrivals: str, faults: list[dict[str, Any]], devices: str
) -> None:
    swarm = {"arrivals": arrivals}
    if devices:
        (tmp_path / "devices.csv").write_text(devices)
        swarm["devices"] = str(tmp_path / "devices.csv")
    presets = ("isolated", "paper-base", "centralised")
    experiment = small(presets=presets, swarm=swarm, faults=faults, seeds=1)
    assert "complete" == protovine.run(experiment, out=tmp_path / "out").status
    judged = {
        preset: sorted(
            record.at_ns
            for record in read_trace(trace_path(tmp_path / "out", preset, experiment.seed))[1]
            if isinstance(record, Predicted)
        )
        for preset in presets
    }
    assert 0 < len(judged["isolated"]) < len(prepare(experiment).data[experiment.seed])
    assert judged["isolated"] == judged["paper-base"] == judged["centralised"]


def test_a_recorded_run_that_ends_with_a_sample_of_a_node_that_is_down_has_the_ages_of_the_run(tmp_path: Path) -> None:
    # All but node 1 are down at the end, and the last sample is one of theirs.
    faults = [{"kind": "crash", "node": node, "at_s": 2.0} for node in (0, 2, 3, 4)]
    experiment = small(presets="paper-base", swarm={"arrivals": "clock"}, faults=faults, seeds=1)
    (made,) = protovine.run(experiment, out=tmp_path / "out").runs
    (again,) = measured_runs(tmp_path / "out")
    assert again.report.mean_s == made.metrics["aoi_mean_s"]
    assert again.report.version_mean == made.metrics["version_age_mean"]


def test_a_server_beside_byzantine_nodes_has_its_own_ages(tmp_path: Path) -> None:
    experiment = small(presets="server", swarm={"byzantine": "label-flip:1"}, seeds=1)
    (made,) = protovine.run(experiment, out=tmp_path / "out").runs
    (again,) = measured_runs(tmp_path / "out")
    assert [0, 1, 2, 3, 5] == [node["node"] for node in made.per_node]
    assert again.report.mean_s == made.metrics["aoi_mean_s"]
    assert again.to_json()["nodes"][5] == made.per_node[4]["aoi_mean_s"] is not None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": 3}, "Expected `array`, got `int`"),
        ({"neighbours": None}, "Expected `array`, got `null`"),
        ({"neighbours": [[1], [5], []]}, "names nodes that do not exist"),
        ({"drift_nodes_s": [[1.0]]}, "does not have the drifts of each node"),
        ({"honest": []}, "or no honest ones"),
    ],
)
def test_a_header_that_describes_no_run_is_refused(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_trace(tmp_path / "t.gz", {**DESCRIPTION.header(), **changed}, [])
    with pytest.raises(DataError, match=message):
        judge_trace(tmp_path / "t.gz")


def test_a_damaged_trace_is_refused(tmp_path: Path) -> None:
    protovine.run(small(seeds=1, presets="paper-isolated"), out=tmp_path / "out")
    path = trace_path(tmp_path / "out", "paper-isolated", 0)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-5]))
    with pytest.raises(DataError, match="is damaged"):
        judge_trace(path)


def test_more_than_two_classes_work() -> None:
    result = protovine.run(
        small(
            data={"source": "image-segments", "limit": 600},
            swarm={"split": "shuffle"},
            gossip={"share_probability": 0.3},
        )
    )
    for run in result.runs:
        assert run.metrics["f1"] == run.metrics["f1_macro"]
        assert (7, 8) == np.array(run.per_node[0]["confusion"]).shape
    assert result.difference("paper-base", "f1").mean > 0


def test_rates_and_ages_are_as_they_should_be() -> None:
    made = (
        protovine.run(small(presets="paper-base", gossip={"share_probability": 1}, data={"limit": 1000}, seeds=1))
        .runs[0]
        .metrics
    )
    assert 4 * 1000 == made["messages"]
    assert made["bytes_total"] / 5 / made["virtual_s"] == pytest.approx(made["bytes_per_node_per_s"])
    assert 105 * made["prototypes_sent"] / made["virtual_s"] == pytest.approx(made["paper_bytes_per_s"])
    # Every sample is shared at once: the age is the mean gap of 0.1 s and a link delay of 1 ms.
    assert 0.101 == pytest.approx(made["aoi_mean_s"], rel=0.15)
    assert made["version_age_mean"] < 0.05


def test_nodes_without_positives_are_left_out_of_f1_and_said() -> None:
    x, y = np.arange(40.0).reshape(40, 1), np.array([0, 1, 0, 0] * 10)
    result = protovine.run(protovine.Experiment(presets="paper-isolated", data=(x, y), swarm={"nodes": 2}, seeds=1))
    assert None is result.runs[0].per_node[0]["f1"]
    assert result.runs[0].metrics["f1"] == result.runs[0].per_node[1]["f1"]
    assert "seed 0: no positives at node 0, left out of f1" in result.notes


def test_the_positive_class_can_be_chosen() -> None:
    scores = {
        positive: protovine.run(small(presets="paper-isolated", data={"limit": 200, "positive": positive}, seeds=1))
        .runs[0]
        .metrics["f1"]
        for positive in ("true", "False")
    }
    assert scores["true"] != scores["False"]
