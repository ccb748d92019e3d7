"""Samples without a label, from the stream to the scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import protovine
from protovine import stream
from protovine.experiments.define.build import build
from protovine.experiments.define.config import Experiment
from protovine.experiments.run.execute import execute, simulate
from protovine.records import Arrived, Evaluated, Learned, Predicted


@pytest.mark.parametrize("preset", ["default", "paper-base"])
def test_samples_without_a_label_are_predicted_but_neither_learnt_nor_judged(preset: str) -> None:
    data = stream.load("phishing").head(300)
    hidden = np.arange(len(data)) % 3 == 1
    holes = replace(data, y=np.where(hidden, stream.UNLABELLED, data.y))
    settings = Experiment(presets=[preset], data={"holdout": True}, swarm={"byzantine": "label-flip:1"}).settings(
        preset
    )
    built = build(settings, holes, 0)
    made, _ = simulate(settings, holes, built)
    records = list(made.columns)
    arrived = {(r.node, r.sample): r.truth for r in records if isinstance(r, Arrived)}
    predicted = {(r.node, r.sample) for r in records if isinstance(r, Predicted)}
    learnt = {(r.node, r.sample) for r in records if isinstance(r, Learned)}
    assert predicted == set(arrived)
    assert learnt == {key for key, truth in arrived.items() if truth >= 0}
    assert sum(truth < 0 for truth in arrived.values()) == 80, "of 240 that were not held out"
    run = execute(settings, preset, 0, holes)
    assert sum(node["samples"] for node in run.per_node) == 128, "two thirds of the honest nodes' 192"
    evaluated = next(r for r in records if isinstance(r, Evaluated))
    assert sum(count for _, _, count in evaluated.counts) == 40, "two thirds of the 60 that were held out"


@pytest.mark.parametrize(
    "swarm",
    [
        {"labelled": 0.3},
        {"label_delay_s": 2.05},
        {"label_delay_s": 0.5, "arrivals": "clock"},
        {"label_delay_s": 1.0, "labelled": 0.5, "clock_skew_s": 5.0},
        {"label_delay_s": 1e6},
        {"labelled": 0.0},
        {},
    ],
)
def test_baselines_know_only_the_labels_that_the_node_has_got(swarm: dict[str, object]) -> None:
    settings = Experiment(presets=["default"], data={"limit": 200}, swarm={"nodes": 3, **swarm}).settings("default")
    data = stream.load("phishing").head(200)
    made, _ = simulate(settings, data, build(settings, data, 0))
    truths: dict[tuple[int, int], int] = {}
    labels: dict[int, list[int]] = {node: [] for node in range(3)}
    right: dict[int, list[tuple[bool, bool]]] = {node: [] for node in range(3)}
    seen = dict.fromkeys(range(3), 0)
    for record in made.columns:
        if isinstance(record, Arrived):
            truths[record.node, record.sample] = record.truth
        elif isinstance(record, Learned):
            labels[record.node].append(truths[record.node, record.sample])
        elif isinstance(record, Predicted):
            known, truth = labels[record.node], truths[record.node, record.sample]
            most = int(np.bincount(known).argmax()) if known else -1
            right[record.node].append((bool(known) and known[-1] == truth, most == truth))
            seen[record.node] = len(known) or seen[record.node]
    run = execute(settings, "default", 0, data)
    assert [len(each) for each in labels.values()] == [node["labels"] for node in run.per_node]
    for number, name in enumerate(("accuracy_last_class", "accuracy_majority")):
        expected = [np.mean([pair[number] for pair in right[node]]) for node in right if seen[node]]
        assert (run.metrics[name] is None) == (not expected) == (swarm in ({"label_delay_s": 1e6}, {"labelled": 0.0}))
        if expected:
            assert run.metrics[name] == pytest.approx(np.mean(expected), abs=1e-12)
    kappas = [run.metrics["kappa_temporal"], run.metrics["kappa_m"]]
    assert all(kappa is None for kappa in kappas) == (run.metrics["accuracy_last_class"] is None)


def test_a_run_without_any_label_says_that_nothing_was_learnt() -> None:
    note = "no label arrived: nothing was learnt"
    common: dict[str, Any] = {"presets": ["isolated"], "data": {"limit": 100}, "seeds": 2}
    assert note in protovine.run(Experiment(**common, swarm={"labelled": 0})).notes
    assert not [each for each in protovine.run(Experiment(**common)).notes if note in each]
    few = protovine.run(Experiment(**{**common, "data": {"limit": 20}, "seeds": 6}, swarm={"labelled": 0.05}))
    without = [run.seed for run in few.runs if not any(node["labels"] for node in run.per_node)]
    assert 0 < len(without) < 6
    assert [f"isolated, seed {seed}: {note}" for seed in without] == [each for each in few.notes if note in each]
