"""The drawings of docs/explanation that show an idea, not a measurement: ``python -m benchmarks.diagrams [FOLDER]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from protovine.experiments.report.plot import GREY, WIDTH_IN, colour, look, save

FOLDER = Path(__file__).parent.parent / "docs" / "figures"
DPI = 150
INK, PAPER, RECEIVER = "#222222", "#f2f4f7", "#e8f1ea"


def main() -> None:
    """Write all drawings, by default over those of the pages."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for draw in (age_sawtooth, learner_flow, learner_placement, log_repair, default_flow):
        with look():
            figure = draw()
            save(figure, folder / f"{draw.__name__.replace('_', '-')}.png", DPI)


# What the drawings are made of


def canvas(width_in: float, height_in: float, width: float, height: float) -> tuple[Figure, Axes]:
    """A figure without axes, in units of its own."""
    figure = Figure(figsize=(width_in, height_in))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return figure, axes


def flow(steps: Sequence[tuple[str, str, str]], *groups: tuple[str, int, int]) -> Figure:
    """Steps below each other, with title, text and fill; ``groups`` are named at the left, with first and last step."""
    row, gap = 11.0, 3.6
    left = 9.0 if groups else 1.0
    figure, axes = canvas(WIDTH_IN, 0.059 * len(steps) * (row + gap), 100, len(steps) * (row + gap))
    for i, (title, text, fill) in enumerate(steps):
        top = i * (row + gap) + gap / 2
        corner, size = (left, top), (99.0 - left, row)
        axes.add_patch(FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=1.5", fc=fill, ec=GREY))
        axes.text(left + 3, top + row / 2, title, va="center", fontsize=10, fontweight="bold", color=INK)
        axes.text(left + 24, top + row / 2, text, va="center", fontsize=9.5, color=INK, linespacing=1.25)
        if i:
            arrow(axes, (left + 10, top - gap), (left + 10, top))
    for name, first, last in groups:
        middle = (first + last + 1) / 2 * (row + gap)
        axes.text(3.5, middle, name, rotation=90, ha="center", va="center", fontsize=10, color=INK)
    return figure


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], **look_of: Any) -> None:
    """An arrow from ``start`` to ``end``."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.1, **look_of})


# Age of information


def age_sawtooth() -> Figure:
    """The age between two nodes over time, with receptions by a coin and at equal distances."""
    end_s, draw = 10.0, np.random.default_rng(8)
    random_s = np.sort(draw.random(10)) * end_s
    even_s = np.arange(0.5, end_s, 1.0)
    figure = Figure(figsize=(WIDTH_IN, 4.2), layout="constrained")
    cells = figure.subplots(2, 1, sharex=True, sharey=True)
    for i, (axes, title, times) in enumerate(
        zip(cells, ("at random times", "at equal distances"), (random_s, even_s), strict=True)
    ):
        mean_s = sawtooth(axes, times, end_s, colour(i))
        axes.set_title(f"10 messages {title}: mean age {mean_s:.2f} s", fontsize=9.5)
        axes.set(ylabel="age [s]", xlim=(0, end_s), ylim=(0, None))
    cells[1].set_xlabel("time [s]")
    return figure


def sawtooth(axes: Axes, times: Any, end_s: float, line: str) -> float:
    """Draw the age that is 0 at the start and after each of ``times``, its peaks and its mean, which is returned."""
    starts, ends = np.concatenate([[0.0], times]), np.concatenate([times, [end_s]])
    gaps = ends - starts
    mean = float((gaps**2).sum() / 2 / end_s)
    x = np.column_stack([starts, ends, ends]).ravel()
    y = np.column_stack([np.zeros_like(gaps), gaps, np.zeros_like(gaps)]).ravel()
    axes.plot(x[:-1], y[:-1], color=line, lw=1.3)
    axes.plot(times, gaps[:-1], ".", color=line, ms=7)
    axes.axhline(mean, color=INK, ls="--", lw=1)
    return mean


# The learner


def learner_flow() -> Figure:
    """From a sample to probabilities."""
    return flow(
        (
            ("sample", "features in any units, and the time", PAPER),
            ("4 metrics", "which prototypes are near?\nz-score, Fisher, Relief, discriminant", PAPER),
            ("181 experts", "metric × bandwidth × recency × vote,\nand one linear model", PAPER),
            ("hedge", "weighs experts by their recent losses: exp(-loss)", PAPER),
            ("pool", "weighs 13 opinions and calibrates them:\nthe class probabilities", PAPER),
        )
    )


def learner_placement(margin: float = 0.25) -> Figure:
    """Where a sample of the first class is absorbed, and where it becomes a prototype."""
    prototypes = np.array([[1.4, 3.0], [2.3, 1.2], [4.3, 2.9], [5.2, 1.1]])
    classes = np.array([0, 0, 1, 1])
    x, y = np.meshgrid(np.linspace(0, 6.5, 651), np.linspace(0, 4, 401))
    far = np.sqrt((x[..., None] - prototypes[:, 0]) ** 2 + (y[..., None] - prototypes[:, 1]) ** 2)
    same, other = far[..., classes == 0].min(axis=-1), far[..., classes == 1].min(axis=-1)
    relative = (other - same) / (other + same)
    figure = Figure(figsize=(5.6, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.contourf(x, y, relative, [margin, 2], colors=[colour(0)], alpha=0.16)
    axes.contour(x, y, relative, [margin], colors=[colour(0)], linewidths=1.2)
    axes.contour(x, y, relative, [0.0], colors=[GREY], linewidths=1, linestyles="--")
    for i, marker in enumerate("os"):
        axes.plot(
            *prototypes[classes == i].T, marker, color=colour(i), ms=9, ls="", label=f"prototype of class {'AB'[i]}"
        )
    axes.text(0.15, 0.15, "a sample of class A here\nis absorbed", fontsize=9, color=INK)
    axes.text(3.55, 3.55, "a sample of class A here\nbecomes a prototype", fontsize=9, color=INK)
    axes.set(xticks=[], yticks=[], aspect="equal", xlim=(0, 6.5), ylim=(0, 4))
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


# Gossip


def log_repair() -> Figure:
    """A lost entry of a log, and its repair."""
    figure, axes = canvas(WIDTH_IN, 3.9, 100, 58)
    left, right, top, bottom = 17.0, 74.0, 7.0, 56.0
    for x, name in ((left, "node A"), (right, "node B")):
        axes.text(x, 4, name, ha="center", va="center", fontsize=10.5, fontweight="bold", color=INK)
        axes.plot([x, x], [top, bottom], color=GREY, lw=1)
    messages = (
        (10.0, True, "entries 1, 2", True),
        (17.0, True, "entry 3", False),
        (24.0, True, "entry 4", True),
        (33.0, False, "“of your log: all up to 2, and 4”", True),
        (43.0, True, "entry 3 again", True),
        (50.0, False, "“of your log: all up to 4”", True),
    )
    for y, forth, text, arrives in messages:
        start, end = (left, right) if forth else (right, left)
        if not arrives:
            end = (left + right) / 2 + 6
        arrow(axes, (start, y), (end, y + 2.4 * (end - start) / (right - left if forth else left - right)))
        if not arrives:
            axes.text(end + 1.5, y + 1.8, "lost", color="#b3261e", fontsize=9, fontweight="bold", va="center")
        axes.text((left + right) / 2, y - 0.6, text, ha="center", va="bottom", fontsize=9, color=INK)
    notes: Sequence[tuple[float, float, str, str]] = (
        (right + 2, 12.5, "has 1, 2", "left"),
        (right + 2, 26.5, "has 1, 2, 4:\n3 is missing", "left"),
        (left - 2, 36.0, "B lacks 3", "right"),
        (right + 2, 45.5, "has 1 to 4;\nits view of A\nmoves", "left"),
    )
    for x, y, text, side in notes:
        axes.text(x, y, text, ha=side, va="center", fontsize=8.5, color=INK)
    return figure


# The default swarm


def default_flow() -> Figure:
    """A sample's way from one node to another."""
    return flow(
        (
            ("1 surprisal", "how little did the model expect the true class?\n-log₂ 0.5 = 1 bit", PAPER),
            ("2 threshold", "is that worth its bytes?\n7.3 bytes · 0.006 bits = 0.044 bits", PAPER),
            ("3 batch", "1, 10 or 20 samples, at most 4 s", PAPER),
            ("4 codes", "8 measurements of 5 bits each, with class and\ntime: about 7 bytes", PAPER),
            ("5 learning", "like a local sample, within limits;\nit is never forwarded", RECEIVER),
            ("6 trust", "did the sender's samples help?\nDo they surprise us too much?", RECEIVER),
        ),
        ("sender", 0, 3),
        ("receiver", 4, 5),
    )


if __name__ == "__main__":
    main()
