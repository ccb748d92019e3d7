from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes

from protovine.age import Delay, plan_age
from protovine.experiments.report.figures import theory
from protovine.experiments.report.figures.theory import side_by_side
from protovine.experiments.report.plot import Drawing, log_both, save, scale


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (theory.against_T, ["coin, s = 3", "age-threshold, s = 4", "share probability T"]),
        (lambda: theory.against_nodes((4, 9)), ["ring", "random, 4 neighbours", "forwarded"]),
        (theory.ratio_against_nodes, ["p = 0.5", "ratio of mean ages"]),
        (theory.against_bytes, ["round-robin", "coin, forwarding all"]),
        (lambda: theory.scaling((4, 6)), ["√(πn/2)", "2-D torus, sampled"]),
    ],
)
def test_a_figure_says_what_it_shows_and_is_the_same_again(
    draw: Callable[[], Drawing], words: list[str], tmp_path: Path
) -> None:
    save(draw().panels[0], tmp_path / "first.svg")
    with mpl.rc_context({"font.size": 30}):  # The user's own settings do not apply.
        save(draw().panels[0], tmp_path / "again.svg")
    text = (tmp_path / "first.svg").read_text()
    assert text == (tmp_path / "again.svg").read_text()
    assert [] == [word for word in words if word not in text]


@pytest.mark.parametrize(
    "swarm",
    [
        {"delay": Delay.exponential(0.1, "blocking"), "nodes": 5},
        {"forwarding": "peers", "nodes": 30, "topology": "regular:4"},
        {"p95_s": 3.0, "budget_bps": None, "nodes": 6, "topology": "star"},
    ],
)
def test_plans_and_predictions_are_drawn_where_little_is_known(swarm: dict, tmp_path: Path) -> None:
    """With such delays only the coin is known; with forwarding on that graph only s = 1 and 4."""
    asked = {"topology": "full", "rate_hz": 10.0, "loss": 0.0, "seed": 0, "delay": None, "forwarding": "none"} | swarm
    goal = {"budget_bps": 2000.0, "mean_s": None, "p95_s": None}
    goal |= {k: asked.pop(k) for k in goal if k in asked}
    plan = plan_age(**asked, **goal)
    theory.draw_plan(tmp_path / "plan.svg", plan, **asked, **goal, fanout=None, message_bytes=100.0)
    text = (tmp_path / "plan.svg").read_text()
    assert "recommended" in text and "goal" in text
    assert [] == [each.schedule for each in plan.schedules if f"{each.schedule}, s = {each.fanout}" not in text]
    theory.draw_prediction(tmp_path / "age.svg", **asked, fanout=1, share_probability=0.5, schedule="coin")
    text = (tmp_path / "age.svg").read_text()
    assert ("coin, s = 2" in text) == (asked["forwarding"] == "none")
    assert ("counter, s = 1" in text) == (plan.left_out == {})


@pytest.mark.parametrize(("low", "high"), [(100.0, 110.0), (0.3, 0.5), (1.0, 4.0), (1.0, 60.0), (0.01, 900.0)])
def test_a_logarithmic_axis_has_several_labels(low: float, high: float) -> None:
    """Ages with a delay of 100 s had one label on their axis."""

    def panel(axes: Axes) -> None:
        axes.plot([low, high], [low, high])
        log_both(axes, "x", "y")

    axes = side_by_side(panel).axes[0]
    bottom, top = axes.get_ylim()
    assert sum(bottom <= at <= top for at in axes.yaxis.get_majorticklocs()) >= 2


def test_ticks_below_1_have_no_prefix() -> None:
    def panel(axes: Axes) -> None:
        scale(axes, "y", np.array([0.24, 0.8]))
        axes.plot([0, 1], [0.24, 0.8])

    axes = side_by_side(panel).axes[0]
    axes.figure.canvas.draw()
    texts = [label.get_text() for label in axes.get_yticklabels()]
    assert "0.8" in texts and not any("m" in text for text in texts)
