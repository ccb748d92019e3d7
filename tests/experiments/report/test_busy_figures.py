"""Figures of busy nodes show what theory says, and what was simulated."""

from __future__ import annotations

import numpy as np
import pytest

from protovine.age import trained_age
from protovine.experiments.report.figures.scheduler import against_completeness, against_load
from protovine.experiments.run.result import Interval

SWARM = {
    "nodes": 3,
    "rate_hz": 5.0,
    "service_hz": 75.0,
    "fanout": 1,
    "share_probability": 1.0,
    "delay_s": 0.01,
}
ROOM = {"lifo": 15, "fifo": 15, "newest-set": 1, "random": 30}


def test_lines_are_theory_and_points_what_was_simulated() -> None:
    points = {"lifo": [(4.0, {"fraction_trained": Interval(0.24, 0.01), "known_mean_s": Interval(0.43, None)})]}
    (figure,) = against_load(SWARM, ROOM, points).panels
    left, right = figure.axes
    lifo = left.lines[0]
    load = lifo.get_xdata()[-1]
    size = round(load * 75 / 5 - 1)
    assert trained_age(**SWARM, set_size=size, queue_max=15 * size).fraction_trained == lifo.get_ydata()[-1]
    assert [(4.0, 0.24)] == [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in left.lines
        if line.get_marker() == "o" and len(line.get_xdata())
    ]
    oldest = max(np.nanmax(np.array(line.get_ydata(), float)) for line in right.lines if len(line.get_ydata()) > 9)
    assert oldest == pytest.approx(15 / 2.5, rel=0.02), "B/(νL)"


def test_clustering_keeps_the_age_and_the_gate_does_not() -> None:
    (figure,) = against_completeness().panels
    clustering, gate, turns = (np.array(line.get_ydata(), float) for line in figure.axes[0].lines[:3])
    assert 0 == np.ptp(clustering)
    assert gate[-1] > 10 * gate[0]
    assert turns[0] == pytest.approx(3 * clustering[0], rel=0.05)
