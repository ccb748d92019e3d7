"""Samples without a label, from the stream to the scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

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
