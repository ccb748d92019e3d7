"""The figure of the ages of one run: the age of each pair, and the fraction of the time that an age is exceeded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from protovine.errors import ConfigError
from protovine.experiments.report.plot import COLOURS, GREY, check_path, look, save
from protovine.experiments.run.measured import MeasuredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELLS_MAX = 500  # With more nodes than this a cell would be too small to see, so pairs are counted instead.
FRACTION_MIN = 1e-3  # The law is drawn down to this fraction of the time.


def draw_ages(run: MeasuredRun, path: Path) -> None:
    """Write the figure to a file, as PNG, SVG or PDF by its ending.

    Raises
    ------
    ConfigError
        There are no ages to draw, the file has another ending, or it cannot be written.
    """
    from matplotlib.figure import Figure

    check_path(path)
    if run.report.mean_s is None:
        raise ConfigError("there are no ages to draw: no node received anything")
    with look():
        figure = Figure(figsize=(9.0, 4.0), layout="constrained")
        pairs, law = figure.subplots(1, 2)
        _draw_pairs(pairs, run)
        _draw_law(law, run)
        figure.suptitle(f"Ages of information: {run.preset}, seed {run.seed}", fontsize=11)
    save(figure, path)


def _draw_pairs(axes: Axes, run: MeasuredRun) -> None:
    from matplotlib.ticker import MaxNLocator

    each = run.report.each
    if run.nodes > CELLS_MAX:
        axes.hist(each.mean_s[~np.isnan(each.mean_s)], bins=40, color=COLOURS[0])
        axes.set_title(f"{len(each):,} pairs", fontsize=10)
        axes.set(xlabel="mean age of a pair [s]", ylabel="pairs")
        return
    axes.grid(visible=False)
    cells = np.full((run.nodes, run.nodes), np.nan)
    cells[each.node, each.origin] = each.mean_s
    image = axes.imshow(cells, cmap="viridis", interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label="mean age [s]", shrink=0.85)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[:].set_visible(False)
    axes.set_title("mean age at each node of each origin", fontsize=10)
    axes.set(xlabel="origin", ylabel="node")


def _draw_law(axes: Axes, run: MeasuredRun) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    law = run.report.law
    assert law is not None
    x = np.linspace(0.0, law.quantile(1 - FRACTION_MIN), 400)
    axes.semilogy(x, law.survival(x), color=COLOURS[0], label="measured")
    expected = run.expected
    if expected is not None and expected.theory is not None and expected.theory.survival is not None:
        holds = run.ages is not None and not run.ages.reasons
        label = "theory" if holds else "theory (assumptions do not hold)"
        survival = [expected.theory.survival(at) for at in x.tolist()]
        axes.semilogy(x, survival, color=COLOURS[1], linestyle="--", label=label)
    axes.set_ylim(FRACTION_MIN, 1.4)
    axes.set_xlim(left=0)
    axes.axhline(0.05, color=GREY, linewidth=0.8, linestyle=":")
    axes.annotate("5 %", (1, 0.05), xycoords=("axes fraction", "data"), va="bottom", ha="right", color=GREY)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.legend(fontsize=9)
    axes.set_title("fraction of the time above an age", fontsize=10)
    axes.set(xlabel="age x [s]", ylabel="fraction of the time, log scale")
