"""The paper's figures, with our curves beside the published ones: each test as a function of T, for s = 1 to 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protovine.experiments.report.plot import GREY, Drawing, colour, handle, interval_ends, marker
from protovine.experiments.report.published import FANOUT, PROBABILITY, STREAMS, TESTS, published_curves
from protovine.experiments.report.tables.sweep import PRESET
from protovine.experiments.report.text import counted, decimals_shown, metric_label
from protovine.experiments.run.result import METRICS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The metrics of the paper's figures, and what files call them.
MEASURES = {"f1_paper": "f1", "paper_bytes_per_s": "bandwidth", "prototypes_trained_per_node": "trained"}
_PUBLISHED: dict[str, Any] = {"linestyle": (0, (3, 1.5)), "linewidth": 1.1, "alpha": 0.9}
_OFFSET_T = 0.012  # Intervals of the same T stand side by side: on one another they would be one grey line.


def draw_measure(table: pd.DataFrame, stream: str, measure: str, changed: str = "") -> Drawing | None:
    """One metric on one stream, with a panel for each of the paper's tests; None if the table has none of them.

    Parameters
    ----------
    table : DataFrame
        The means over seeds of that stream's runs, as of `tables.sweep.means`.
    stream : str
        A key of `published.STREAMS`.
    measure : str
        A key of `MEASURES`.
    changed : str
        For the caption: the settings that differ from those of the presets.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    names = {TESTS[preset][0]: TESTS[preset][1] for preset in table[PRESET] if preset in TESTS}
    if not names:
        return None
    published = published_curves(stream)
    figure = Figure(figsize=(6.6, 5.6 if len(names) > 2 else 3.8), layout="constrained")
    columns = min(2, len(names))
    cells = figure.subplots(
        -(-len(names) // columns), columns, sharex=True, sharey=measure == "f1_paper", squeeze=False
    )
    fanouts = sorted({int(s) for s in table[FANOUT]})
    shown: list[float] = []
    for axes in cells.flat[len(names) :]:
        axes.set_visible(False)
    for (test, name), axes in zip(sorted(names.items()), cells.flat, strict=False):
        axes.set_title(name, fontsize=10)
        axes.tick_params(labelbottom=True)
        own = table[table[PRESET].map(lambda preset, test=test: TESTS.get(preset, (0,))[0]) == test]
        theirs = published[published["test"] == test]
        for number, s in enumerate(fanouts):
            offset = _OFFSET_T * (number - (len(fanouts) - 1) / 2)
            _draw_fanout(axes, own[own[FANOUT] == s], theirs[theirs[FANOUT] == s], measure, number, offset)
        shown += [*own[measure], *theirs[measure]]
        if measure != "f1_paper":
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(EngFormatter())
    if measure == "f1_paper":
        # Intervals of few seeds may be wider than everything else.
        margin = 0.25 * (max(shown) - min(shown)) + 0.005
        cells[0, 0].set_ylim(min(shown) - margin, max(shown) + margin)
    figure.supxlabel("T, the probability to share after a sample", fontsize=10)
    figure.supylabel(metric_label(measure), fontsize=10)
    _legend(figure, fanouts, with_published=len(published) > 0)
    title = METRICS[measure][0]
    caption = (
        f"{title[0].upper()}{title[1:]} on {STREAMS[stream][1]}, against T for s peers at a time"
        f"{f', with {changed}' if changed else ''}. Solid lines: here, mean over seeds with 95 % intervals, which may "
        "go beyond the axes. "
    )
    if len(published):
        caption += f"Dashed lines with hollow markers: published. {_agreement(table, measure)}"
    else:
        caption += "Nothing is published of this stream."
    return Drawing(f"paper-{stream}-{MEASURES[measure]}", f"The paper's tests on {stream}: {title}", caption, (figure,))


def _agreement(table: pd.DataFrame, measure: str) -> str:
    """What a published number within an interval says, with the width: few seeds contradict nothing."""
    halves = table[f"{measure}_ci95"]
    halves = halves[halves > 0]
    fewest = int(table["runs"].min())
    if not len(halves):
        return f"{counted(fewest, 'seed')} {'gives' if fewest == 1 else 'give'} no intervals to compare them with."
    _, unit, decimals = METRICS[measure]
    half = float(halves.median())
    width = f"±{half:,.{decimals_shown(half, None, decimals)}f}{f' {unit}' if unit else ''}"
    return (
        "Where a dashed line lies within the intervals of its colour, these runs do not contradict the published "
        f"number. The median interval is {width}, with {counted(fewest, 'seed')}: smaller differences cannot be seen."
    )


def _draw_fanout(axes: Axes, own: pd.DataFrame, theirs: pd.DataFrame, measure: str, number: int, offset: float) -> None:
    """Our curve of one s with its intervals, and the published one."""
    own, theirs = own.sort_values(PROBABILITY), theirs.sort_values(PROBABILITY)
    axes.plot(own[PROBABILITY], own[measure], color=colour(number), marker=marker(number), markersize=4)
    low, high = interval_ends(own[measure], own[f"{measure}_ci95"], measure)
    axes.vlines(own[PROBABILITY] + offset, low, high, colors=colour(number), lw=0.8, alpha=0.5)
    hollow: dict[str, Any] = {"marker": marker(number), "markersize": 4, "fillstyle": "none"}
    axes.plot(theirs[PROBABILITY], theirs[measure], color=colour(number), **hollow, **_PUBLISHED)


def _legend(figure: Figure, fanouts: list[int], with_published: bool) -> None:
    from matplotlib.lines import Line2D

    handles, names = [handle(i, dot=True, solid=True) for i in range(len(fanouts))], [f"s = {s}" for s in fanouts]
    if with_published:
        handles += [Line2D([], [], color=GREY), Line2D([], [], color=GREY, **_PUBLISHED)]
        names += ["here", "published"]
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), fontsize=9)
