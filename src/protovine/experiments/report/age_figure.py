"""A figure of the ages of one run: who is how old to whom, and how often which age is exceeded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from protovine.errors import ConfigError
from protovine.experiments.report.figures import COLOURS
from protovine.experiments.run.measured import MeasuredRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More nodes than this have no cells that could be seen, so their pairs are counted.
CELLS_MAX = 500
# The law is drawn down to this share of the time.
SHARE_MIN = 1e-3


def draw_ages(run: MeasuredRun, path: Path) -> None:
    """Write the figure to a file, as PNG, SVG or PDF by its name.

    Raises
    ------
    ConfigError
        There are no ages to draw, or the file's name ends otherwise or it cannot be written.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    if path.suffix not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"a figure ends in .png, .svg or .pdf, got '{path}'")
    if run.report.mean_s is None:
        raise ConfigError("there are no ages to draw: no node heard of another")
    with style.context(["default", {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}]):
        figure = Figure(figsize=(9.6, 4.0), layout="constrained")
        pairs, law = figure.subplots(1, 2)
        _draw_pairs(pairs, run)
        _draw_law(law, run)
        figure.suptitle(f"Ages of information: {run.preset}, seed {run.seed}", fontsize=10)
        try:
            figure.savefig(path, dpi=150)
        except OSError as error:
            raise ConfigError(f"cannot write the figure {path}: {error.strerror}") from None


def _draw_pairs(axes: Axes, run: MeasuredRun) -> None:
    from matplotlib.ticker import MaxNLocator

    each = run.report.each
    if run.nodes > CELLS_MAX:
        axes.hist(each.mean_s[~np.isnan(each.mean_s)], bins=40, color=COLOURS[0])
        axes.set(xlabel="mean age of a pair [s]", ylabel="pairs", title=f"{len(each):,} pairs")
        return
    cells = np.full((run.nodes, run.nodes), np.nan)
    cells[each.node, each.origin] = each.mean_s
    image = axes.imshow(cells, cmap="viridis", interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label="mean age [s]", shrink=0.85)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[:].set_visible(False)
    axes.set(xlabel="origin", ylabel="node", title="what each node has of each neighbour")


def _draw_law(axes: Axes, run: MeasuredRun) -> None:
    law = run.report.law
    assert law is not None
    x = np.linspace(0.0, law.quantile(1 - SHARE_MIN), 400)
    axes.semilogy(x, law.survival(x), color=COLOURS[0], label="measured")
    expected = run.expected
    if expected is not None and expected.theory is not None and expected.theory.survival is not None:
        holds = run.ages is not None and not run.ages.reasons
        label = "theory" if holds else "theory, whose assumptions do not hold"
        survival = [expected.theory.survival(at) for at in x.tolist()]
        axes.semilogy(x, survival, color=COLOURS[1], linestyle="--", label=label)
    axes.set_ylim(SHARE_MIN, 1.4)
    axes.set_xlim(left=0)
    axes.axhline(0.05, color="#777777", linewidth=0.8, linestyle=":")
    axes.annotate("5 %", (1, 0.05), xycoords=("axes fraction", "data"), va="bottom", ha="right", color="#555555")
    axes.legend(frameon=False)
    axes.set(xlabel="age x [s]", ylabel="share of the time, log scale", title="how often the age exceeds x")
