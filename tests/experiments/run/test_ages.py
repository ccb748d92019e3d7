"""Predicted ages beside measured ones: predictions by settings, and assumptions that do not hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import protovine
from protovine.age import BatchMeans, SteadyAges
from protovine.errors import ConfigError, DataError
from protovine.experiments.define.config import RunSettings
from protovine.experiments.report.figures.ages import draw_ages
from protovine.experiments.report.pages import render_report
from protovine.experiments.run.ages import RunAges, TheoryAges, expected_ages, pooled, predicted, verdict
from protovine.experiments.run.measured import MeasuredRun, measured_runs
from protovine.records import write_trace
from protovine.system import resolve
from protovine.topology import neighbours
from tests.experiments.report.made_up import Page, make_result, make_run

MESH = neighbours("full", 5, 0)
# No delay, so that numbers are round.
PLAIN: dict[str, Any] = {"link": {"delay_s": 0.0}}


def settings_of(overrides: dict[str, Any]) -> RunSettings:
    return resolve("paper-base", overrides, RunSettings)


def means(*values: float) -> BatchMeans:
    return BatchMeans(np.array(values), np.ones(len(values)))


def ages(*batches: float, expected_s: float | None = 1.0, reasons: tuple[str, ...] = ()) -> RunAges:
    steady = SteadyAges(5.0, 25.0, *[means(*batches)] * 4, p95_s=3.25) if batches else None
    known = None if expected_s is None else TheoryAges(expected_s, expected_s, 2.996, 9.0, "exact")
    return RunAges(known, reasons, steady, 0.5, 20, 0, [])


@pytest.mark.parametrize(
    ("changed", "mean_s"),
    [
        ({}, 1.0),
        ({"gossip": {"fanout": 2}}, 2.0),
        ({"gossip": {"fanout": 100}}, 1.0),
        ({"link": {"delay_s": 0.5}}, 1.5),
        ({"link": {"delay_s": 0.0, "loss": 0.5, "duplicate": 0.5}}, 2.0),
        ({"swarm": {"rate_hz": 20.0}}, 0.5),
        # Only labelled samples are opportunities; when labels come makes no difference.
        ({"swarm": {"labelled": 0.5, "label_delay_s": 1.0}}, 2.0),
        ({"swarm": {"order": "sequential"}}, 4.8),
    ],
)
def test_settings_become_a_prediction(changed: dict[str, Any], mean_s: float) -> None:
    expected = expected_ages(settings_of({**PLAIN, **changed}), MESH)
    assert () == expected.reasons
    assert mean_s == pytest.approx(expected.theory.mean_s)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exchange": {"kind": "log"}}, "a log waits for batches"),
        ({"exchange": {"kind": "log", "budget_bytes_per_s": 9.0}}, "a budget holds messages back"),
        ({"exchange": {"gate": "jsd"}}, "the gate jsd withholds sets"),
        ({"exchange": {"poll_s": 0.05}}, "wait for the next poll"),
        ({"swarm": {"order": "sequential", "labelled": 0.5}}, "a turn without a label"),
        ({"swarm": {"lag_s": 8.0}}, "nodes start one after another"),
        ({"swarm": {"arrivals": "clock"}}, "not as a Poisson process"),
        ({"swarm": {"split": "quantity-skew:0.5"}}, "different rates"),
        ({"swarm": {"split": "label-skew:0.5", "order": "sequential"}}, "turns come faster"),
        ({"swarm": {"byzantine": "flood:1"}}, "Byzantine nodes: flood:1"),
        ({"swarm": {"label_delay_s": 9.0}}, "labels arrive after"),
        ({"swarm": {"clock_skew_s": 1.0}}, "clocks are off"),
        ({"link": {"jitter_s": 0.1}}, "jitter"),
        ({"link": {"bandwidth_bytes_per_s": 1000.0}}, "bandwidth"),
        ({"link": {"reorder": 0.1}}, "reorder"),
        ({"link": {"message_bytes_max": 500}}, "message_bytes_max"),
        ({"faults": [{"kind": "crash", "node": 0, "at_s": 1.0}]}, "faults: crash"),
    ],
)
def test_violated_assumptions_of_the_theory_are_named(changed: dict[str, Any], reason: str) -> None:
    expected = expected_ages(settings_of(changed), MESH)
    assert reason in "; ".join(expected.reasons)
    assert expected.theory is not None


@pytest.mark.parametrize("schedule", ["oldest", "drift-age"])
def test_schedules_without_a_theory_say_so(schedule: str) -> None:
    settings = settings_of({})
    settings = settings.model_copy(update={"gossip": settings.gossip.model_copy(update={"schedule": schedule})})
    assert (None, (f"no theory is known for the schedule {schedule}",)) == tuple(
        vars(expected_ages(settings, MESH)).values()
    )


@pytest.mark.parametrize(("schedule", "mean_s"), [("counter", 0.55), ("age-threshold", 0.505), ("round-robin", 1.0)])
def test_schedules_have_their_own_prediction(schedule: str, mean_s: float) -> None:
    expected = expected_ages(settings_of({"gossip": {"schedule": schedule}, **PLAIN}), MESH)
    assert () == expected.reasons
    assert mean_s == pytest.approx(expected.theory.mean_s)
    assert (
        None
        is expected_ages(settings_of({"gossip": {"schedule": schedule}, "swarm": {"order": "sequential"}}), MESH).theory
    )


def test_nodes_that_share_nothing_have_no_expected_ages() -> None:
    assert None is expected_ages(settings_of({"gossip": {"share_probability": 0.0}}), MESH)
    assert None is expected_ages(settings_of({}), [[]])


def test_nothing_arrives_where_all_is_lost() -> None:
    expected = expected_ages(settings_of({"link": {"loss": 1.0}}), MESH)
    assert (None, ("no message arrives",)) == (expected.theory, expected.reasons)


def test_verdicts() -> None:
    assert "agrees" == verdict([ages(0.9, 1.0, 1.2)]).mark
    assert "differs" == verdict([ages(1.9, 2.0, 2.1)]).mark
    # One batch per run is too little, and enough over all runs.
    assert "short" == verdict([ages(0.9), ages(1.0)]).mark
    assert "agrees" == verdict([ages(0.9), ages(1.0), ages(1.2)]).mark
    assert "short" == verdict([ages()]).mark
    jittery = verdict([ages(0.9, 1.0, 1.1, reasons=("jitter",)), ages(0.9, 1.0, 1.1, reasons=("jitter", "faults"))])
    assert ("assumes", "The theory's assumptions do not hold: jitter; faults.") == jittery
    assert "No prediction: oldest." == verdict([ages(1.0, expected_s=None, reasons=("oldest",))]).words


def test_runs_are_pooled() -> None:
    runs = [ages(1.0, 3.0), ages(), ages(5.0, expected_s=2.0)]
    assert 3.0 == pooled(runs, "age").mean
    assert 4 / 3 == pytest.approx(predicted(runs, "mean_s"))
    assert None is pooled([ages()], "age")
    assert None is predicted([ages(), ages(expected_s=None)], "mean_s")


def test_the_report_marks_where_theory_does_not_hold() -> None:
    runs = [
        replace(make_run("base"), ages=ages(0.9, 1.0, 1.2)),
        replace(make_run("jitter"), ages=ages(2.0, 2.1, 2.2, reasons=("delays vary (jitter)",))),
        replace(make_run("brief"), ages=ages()),
        make_run("isolated"),
    ]
    page = Page(render_report(make_result(runs)))
    (table,) = [table for table in page.tables if table[0][-1] == "does theory hold?"]
    base, jitter, brief = table[1:]
    assert ["base", "1.03 ± 0.38|theory 1.00|× 1.03"] == base[:2]
    assert "3.25|theory 3.00|× 1.08" == base[3]
    assert "✓ The assumptions hold, and the interval covers the prediction." == base[-1]
    assert "⚠ The theory's assumptions do not hold: delays vary (jitter)." == jitter[-1]
    assert ["brief", "–|theory 1.00"] == brief[:2]
    assert "?" == brief[-1][0]
    assert "Age of information" not in [table[0][0] for table in Page(render_report(make_result(runs[3:]))).tables]
    assert "does theory hold?" not in Page(render_report(make_result(runs[3:]))).text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("runs") / "out"
    x = np.random.default_rng(0).integers(0, 2, (1500, 1)).astype(float)
    experiment = protovine.Experiment(
        presets=["paper-base", "paper-isolated"],
        data=(x, x[:, 0].astype(int)),
        swarm={"byzantine": "label-flip:1", "train_rate_hz": 0.001},
        seeds=2,
    )
    return protovine.run(experiment, out=path), path


def test_a_recorded_run_has_the_ages_of_the_run(folder: Any) -> None:
    result, path = folder
    again = list(measured_runs(path))
    order = [("paper-base", 0), ("paper-base", 1), ("paper-isolated", 0), ("paper-isolated", 1)]
    assert order == [(run.preset, run.seed) for run in again]
    for run in again[:2]:
        (made,) = [each for each in result.of("paper-base") if each.seed == run.seed]
        assert made.metrics["aoi_mean_s"] == pytest.approx(run.report.mean_s, rel=1e-12)
        assert made.metrics["aoii_mean_s"] == pytest.approx(run.report.incorrect_s, rel=1e-12)
        # Four honest nodes of five.
        assert 12 == run.report.pairs == made.ages.pairs
        assert made.ages.to_json()["predicted"] == run.to_json()["predicted"]
        assert "Byzantine" in run.to_json()["verdict"]
        json = made.to_json()
        assert [node["aoi_mean_s"] for node in json["per_node"]] == pytest.approx(run.to_json()["nodes"][:4])
        assert 5 == len(json["ages"]["worst_pairs"])
    assert [None, None] == [again[2].ages, again[2].report.mean_s]
    assert [1] == [run.seed for run in measured_runs(path, ("paper-base",), (1,))]


def test_samples_without_a_label_in_the_data_are_named(tmp_path: Path) -> None:
    x = np.arange(120) % 2
    y = np.where(np.arange(120) % 3 == 0, -1, x)
    labels = [None if code < 0 else int(code) for code in y]
    experiment = protovine.Experiment(presets="paper-base", data=(x[:, np.newaxis].astype(float), labels), seeds=1)
    (made,) = protovine.run(experiment, out=tmp_path / "out").runs
    (again,) = measured_runs(tmp_path / "out")
    for found in (made.ages, again.ages):
        assert "some samples have no label" in verdict([found]).words


def test_settings_of_links_do_not_apply_to_real_links(folder: Any) -> None:
    run = next(measured_runs(folder[1]))
    assert "real links" not in verdict([run.ages]).words
    assert "real links" in verdict([replace(run, live=True).ages]).words


def test_json_lists_the_worst_pairs_up_to_a_bound(folder: Any) -> None:
    run = next(measured_runs(folder[1]))
    whole, part = run.to_json(), run.to_json(pairs_max=3)
    assert (12, 0, 3, 9) == (len(whole["each"]), whole["pairs_left_out"], len(part["each"]), part["pairs_left_out"])
    assert part["each"] == whole["each"][:3]
    assert sorted((pair["mean_s"] for pair in whole["each"]), reverse=True) == [p["mean_s"] for p in whole["each"]]


@pytest.mark.parametrize("name", ["ages.png", "ages.svg"])
def test_a_figure_is_drawn(folder: Any, tmp_path: Any, name: str) -> None:
    run = next(measured_runs(folder[1]))
    draw_ages(run, tmp_path / name)
    assert (tmp_path / name).stat().st_size > 5000
    with pytest.raises(ConfigError, match="there are no ages"):
        draw_ages(MeasuredRun("a", 0, 5, list(measured_runs(folder[1]))[2].report, None), tmp_path / name)


def test_errors_name_what_cannot_be_measured_or_drawn(folder: Any, tmp_path: Any) -> None:
    path = folder[1]
    for name, header in (
        ("old", {"nodes": 2}),
        ("odd", {"neighbours": [[1], [7]]}),
        ("late", {"neighbours": [[]], "start_ns": 5}),
        ("part", {"neighbours": [[1], [0]], "traced": [[1]]}),
        ("honest", {"neighbours": [[1], [0]], "honest": "all"}),
    ):
        write_trace(tmp_path / name, header, [])
    for arguments, message in (
        ((tmp_path / "nothing",), "cannot read the trace .*nothing"),
        ((tmp_path / "old",), "old does not say who is whose neighbour"),
        ((tmp_path / "odd",), "odd does not say who is whose neighbour"),
        ((tmp_path / "late",), "late must start between 0 and 0 ns, got 5"),
        ((tmp_path / "part",), r"part must have a list of nodes as 'traced', got \[\[1\]\]"),
        ((tmp_path / "honest",), "honest must have a list of nodes as 'honest', got 'all'"),
        ((tmp_path / "old", (), (0,)), "chosen from a run folder"),
        ((tmp_path,), "is no run folder"),
        ((path, ("paper-bse",)), r"no preset 'paper-bse' \(it has paper-base, paper-isolated\)"),
        ((path, (), (3,)), r"no seed 3 \(it has 0, 1\)"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            list(measured_runs(*arguments))
    run = next(measured_runs(path))
    for name, message in (("a.gif", "must end in .png, .svg or .pdf, got"), ("no/a.png", "cannot write the figure")):
        with pytest.raises(ConfigError, match=message):
            draw_ages(run, tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"swarm": {"labelled": 0.5, "label_delay_s": 2.0}},
        {"link": {"delay_s": 0.5, "loss": 0.3, "duplicate": 0.3}},
        {"swarm": {"topology": "star"}, "gossip": {"fanout": 1, "share_probability": 0.5}},
        {"gossip": {"schedule": "counter", "fanout": 2}},
        {"gossip": {"schedule": "round-robin", "fanout": 1, "share_probability": 0.4}},
        {"gossip": {"schedule": "age-threshold"}},
    ],
)
def test_where_the_assumptions_hold_so_does_the_prediction(changed: dict[str, Any]) -> None:
    x = np.random.default_rng(0).integers(0, 2, (15_000, 1)).astype(float)
    tables = {**changed, "swarm": {"train_rate_hz": 0.001, **changed.get("swarm", {})}}
    result = protovine.run(protovine.Experiment(presets="paper-base", data=(x, x[:, 0].astype(int)), seeds=2, **tables))
    runs = [run.ages for run in result.runs]
    assert "agrees" == verdict(runs).mark
    assert predicted(runs, "peak_s") == pytest.approx(pooled(runs, "peak").mean, rel=0.06)
    assert predicted(runs, "version_mean") == pytest.approx(pooled(runs, "version").mean, rel=0.06)
    assert predicted(runs, "p95_s") == pytest.approx(np.mean([run.steady.p95_s for run in runs]), rel=0.08)
