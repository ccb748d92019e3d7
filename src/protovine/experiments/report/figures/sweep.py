"""The figures of a sweep: a metric against what varies, against traffic and over time, and mean ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protovine.experiments.report import published
from protovine.experiments.report.figures.paper import MEASURES, draw_measure
from protovine.experiments.report.plot import (
    BAND_ALPHA,
    GREY,
    Drawing,
    colour,
    draw_curve,
    error_bars,
    handle,
    interval_ends,
    label_axes,
    legend,
    line_style,
    look,
    mark_drifts,
    marker,
    over_seeds,
    panels,
    scale,
)
from protovine.experiments.report.tables.sweep import DATA, Ranks, front, is_set, means, ranks, treatment
from protovine.experiments.report.text import flat, metric_label, p_value
from protovine.experiments.run.result import METRICS, best_is, more_is_better

if TYPE_CHECKING:
    import pandas as pd

PANELS_MAX = 24
LINES_MAX = 14
COST = "bytes_per_node_per_s"


@dataclass(frozen=True)
class SweepResults:
    """What a sweep found, as plain data.

    ``frame`` has a row for each finished point and seed, ``origin`` the definition, the data and every session (as
    `load_results` and `load_provenance` give them). ``curves`` reads the curves of some runs, ``drift_points_s`` the
    times at which the concept changes in one.
    """

    frame: pd.DataFrame
    origin: dict[str, Any]
    curves: Callable[[Sequence[str]], pd.DataFrame]
    drift_points_s: Callable[[str], Sequence[float]]


def draw_sweep(results: SweepResults, metric: str) -> list[Drawing]:
    """Every figure that the results allow, in reading order.

    A new figure is one function that returns a `Drawing` or None, and its name in this list.
    """
    table = means(results.frame, list(METRICS))
    against = dict.fromkeys([metric, COST, "prototypes_trained_per_node"])
    figures: list[Callable[[], Drawing | None]] = [
        *_paper(results, table),
        *(partial(_against, results.frame, table, each) for each in against),
        partial(_pareto, results.frame, table, metric),
        partial(_convergence, results, metric),
        partial(_ranks, ranks(results.frame, metric), metric),
    ]
    with look():
        return [drawing for draw in figures if (drawing := draw()) is not None]


def _paper(results: SweepResults, table: pd.DataFrame) -> Iterator[Callable[[], Drawing | None]]:
    """The paper's figures, if the sweep is one of the paper's tests."""
    definition = results.origin["definition"]
    if published.is_papers(definition, results.frame.attrs["varied"]):
        base = {key: value for key, value in definition["base"].items() if key != "data"}
        changed = ", ".join(f"{key} = {value}" for key, value in flat(base).items())
        for stream in published.papers_streams(results.origin["data"], results.frame):
            part = table[table[DATA] == stream] if DATA in table else table
            for measure in MEASURES:
                yield partial(draw_measure, part, stream, measure, changed)


def _against(frame: pd.DataFrame, table: pd.DataFrame, metric: str) -> Drawing | None:
    """The metric against the first number that varies, a line for each value of the next key, the others in panels."""
    from matplotlib.ticker import MaxNLocator

    # Keys that the data set decides, such as its length, need no lines or panels of their own.
    varied = [key for key in frame.attrs["varied"] if key == DATA or not _decided_by_data(table, key)]
    numeric = _numeric(table, varied)
    x = next((key for key in numeric if table[key].nunique() > 2), numeric[0] if numeric else None)
    if x is None or not table[metric].notna().any():
        return None
    line = next((key for key in numeric if key != x), None) or treatment(frame)
    inner = [key for key in varied if key not in (x, line) and table[key].map(str).nunique() > 1]
    groups = _groups(table, inner)
    shown = groups[:PANELS_MAX]
    values = _values(table, line) if line != x else []
    names = [_of_line(line, value, line in numeric) for value in values[:LINES_MAX]]
    figure, cells = panels([title for title, _ in shown], names)
    whole = bool((table[x] == table[x].round()).all())
    for axes, (_, group) in zip(cells, shown, strict=True):
        if whole:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for number, value in enumerate(values[:LINES_MAX] or [None]):
            part = group if value is None else group[group[line].map(str) == value]
            # What is left out of panels is not there: every other key has one value here.
            part = part.dropna(subset=[metric]).sort_values(x)
            style = {"color": colour(number), "linestyle": line_style(number), "marker": marker(number)}
            axes.plot(part[x], part[metric], markersize=4, **style)
            low, high = interval_ends(part[metric], part[f"{metric}_ci95"], metric)
            axes.fill_between(part[x], low, high, color=colour(number), alpha=BAND_ALPHA, lw=0)
    y = metric_label(metric)
    if METRICS[metric][1] in ("B/s", "B"):
        logarithmic = [scale(axes, "y", table[metric].to_numpy(dtype=float)) for axes in cells]
        y += ", log scale" if any(logarithmic) else ""
    label_axes(figure, cells, x, y)
    if names:
        legend(figure, [handle(i, dot=True) for i in range(len(names))], names)
    several = frame["seed"].nunique() > 1
    caption = f"{_named(metric)} against {x}, mean over seeds{' (band: 95 % interval)' if several else ''}. "
    if names:
        caption += f"Lines that differ by more than their bands show an effect of {line}; " if several else ""
        caption += f"{'a' if several else 'A'} slope shows an effect of {x}."
    else:
        caption += f"A slope shows an effect of {x}."
    if len(groups) > PANELS_MAX:
        caption += f" The first {PANELS_MAX} of {len(groups)} combinations of {', '.join(inner)}."
    if len(values) > LINES_MAX:
        caption += f" The first {LINES_MAX} of {len(values)} values of {line}."
    return Drawing(metric, f"{_named(metric)} against {x}", caption, (figure,))


def _pareto(frame: pd.DataFrame, table: pd.DataFrame, metric: str) -> Drawing | None:
    """The score of every point against its traffic, with the Pareto front."""
    table = table.dropna(subset=[metric, COST])
    if not len(table) or metric == COST:
        return None
    key = treatment(frame)
    names = _values(table, key)[:LINES_MAX]
    groups, logarithmic = _by_data(table), False
    gain, beaten = (1, "below") if more_is_better(metric) else (-1, "above")
    figure, cells = panels([title for title, _ in groups], names, sharex=False, sharey=False)
    for axes, (_, group) in zip(cells, groups, strict=True):
        for number, value in enumerate(names):
            part = group[group[key].map(str) == value]
            if not len(part):
                continue
            axes.errorbar(
                *(part[COST], part[metric]),
                yerr=error_bars(part[metric], part[f"{metric}_ci95"], metric),
                xerr=error_bars(part[COST], part[f"{COST}_ci95"], COST),
                fmt=marker(number),
                color=colour(number),
                alpha=0.8,
                markersize=4.5,
                elinewidth=0.7,
            )
        best = front(group[COST].tolist(), (gain * group[metric]).tolist())
        steps: dict[str, Any] = {"linestyle": "--", "drawstyle": "steps-post", "zorder": 0}
        axes.plot(group[COST].iloc[best], group[metric].iloc[best], color=GREY, linewidth=1.0, **steps)
        axes.margins(x=0.08)
        logarithmic |= scale(axes, "x", group[COST].to_numpy(dtype=float))
    label_axes(figure, cells, metric_label(COST) + (", log scale" if logarithmic else ""), metric_label(metric))
    legend(figure, [handle(i, line=False, dot=True) for i in range(len(names))], names)
    caption = (
        f"{_named(metric)} against traffic: one point per combination of settings, mean over seeds with 95 % intervals "
        f"of both. Dashed line: the Pareto front. A point {beaten} it is beaten by one that sends no more bytes."
    )
    if logarithmic and (table[COST] == 0).any():
        caption += " Points on grey send nothing."
    return Drawing("pareto", f"{_named(metric)} against traffic", caption, (figure,))


def _convergence(results: SweepResults, metric: str) -> Drawing | None:
    """F1 over time of each treatment, at the settings at which its score is best."""
    frame = results.frame
    good = frame[frame["status"] == "ok"]
    key = treatment(frame)
    names, groups = _values(good, key)[:LINES_MAX], _by_data(good)
    # The place of the panel, the number of the line, and the runs of the best point.
    best: list[tuple[int, int, pd.DataFrame]] = []
    for place, (_, group) in enumerate(groups):
        for number, value in enumerate(names):
            scores = group[group[key].map(str) == value].groupby("point")[metric].mean().dropna()
            if len(scores):
                point = scores.idxmax() if more_is_better(metric) else scores.idxmin()
                best.append((place, number, group[group["point"] == point]))
    if not best:
        return None
    curves = results.curves(sorted({run for _, _, part in best for run in part["run"]}))
    figure, cells = panels([title for title, _ in groups], names, sharex=False, sharey=False)
    marked = set()
    for place, number, part in best:
        each = [curves[curves["run"] == run] for run in part["run"]]
        draw_curve(
            cells[place],
            over_seeds([(of_run["at_s"].to_numpy(), of_run["f1_recent"].to_numpy()) for of_run in each]),
            number,
        )
        if place not in marked:
            marked.add(place)
            mark_drifts(cells[place], results.drift_points_s(part["run"].iloc[0]))
    label_axes(figure, cells, "time [s]", "F1 of the last predictions")
    legend(figure, [handle(i) for i in range(len(names))], names)
    caption = (
        f"F1 of the last tenth of all predictions, mean over seeds, at the settings with the {best_is(metric)} "
        f"{METRICS[metric][0]} over the whole stream. The curve that rises first converges fastest. Dotted lines: the "
        "concept changes; the curve that is back first recovers fastest."
    )
    return Drawing("curves", "Convergence and recovery", caption, (figure,))


def _ranks(found: Ranks | None, metric: str) -> Drawing | None:
    """Mean ranks on a line; bars join treatments that Nemenyi's test does not separate."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if found is None or found.critical is None:
        return None
    order = np.argsort(found.ranks, kind="stable")
    sorted_ranks = np.array(found.ranks)[order]
    bars: list[tuple[float, float]] = []
    for i, low in enumerate(sorted_ranks):
        j = int(np.searchsorted(sorted_ranks, low + found.critical, side="right")) - 1
        if j > i and (not bars or sorted_ranks[j] > bars[-1][1]):
            bars.append((float(low), float(sorted_ranks[j])))
    n = len(order)
    figure = Figure(figsize=(6.2, 0.9 + 0.24 * n + 0.12 * len(bars)), layout="constrained")
    axes = figure.subplots()
    for place, i in enumerate(order):
        axes.plot(found.ranks[i], -place, "o", color=colour(int(i)), markersize=7)
        axes.plot([found.ranks[i]] * 2, [-place, 1 + 0.5 * len(bars)], color="#cccccc", linewidth=0.8, zorder=0)
    for k, (low, high) in enumerate(bars):
        axes.plot([low - 0.03, high + 0.03], [0.8 + 0.5 * k] * 2, color="black", linewidth=3, solid_capstyle="butt")
    axes.set_yticks([-place for place in range(n)], [found.names[i] for i in order])
    axes.set_ylim(-n + 0.4, 1.1 + 0.5 * len(bars))
    axes.set_xlim(0.8, n + 0.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"mean rank by {METRICS[metric][0]} (1 is best, the {best_is(metric)})")
    axes.grid(axis="y", visible=False)
    caption = (
        f"Mean ranks over {found.blocks} {found.of}; further left is better. Treatments under one black bar do not "
        f"differ significantly by Nemenyi's test at 5 % (critical difference {found.critical:.2f}). "
        f"{found.test}: {p_value(found.p)}."
    )
    return Drawing("ranks", f"Mean ranks over {found.of}", caption, (figure,))


# Groups and names


def _numeric(table: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    def is_number(value: Any) -> bool:
        return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)

    return [key for key in keys if table[key].map(is_number).all() and table[key].nunique() > 1]


def _decided_by_data(table: pd.DataFrame, key: str) -> bool:
    several = DATA in table and table[DATA].nunique() > 1
    return several and bool((table.groupby(DATA)[key].nunique(dropna=False) == 1).all())


def _values(table: pd.DataFrame, key: str) -> list[str]:
    """The values of a key, in the order of the sweep."""
    return list(dict.fromkeys(table[key].map(str)))


def _by_data(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """A group for each data set, as many as there are panels."""
    several = DATA in table and table[DATA].map(str).nunique() > 1
    return _groups(table, [DATA] if several else [])[:PANELS_MAX]


def _groups(table: pd.DataFrame, keys: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """The rows with equal values of some keys, each group with a title."""
    if not keys:
        return [("", table)]
    name = table[list(keys)].map(str).agg(", ".join, axis=1)
    data = data_names(list(dict.fromkeys(table[DATA].map(str)))) if DATA in keys else {}
    names = [_titled(keys, table[name == each].iloc[0], data) for each in dict.fromkeys(name)]
    return list(zip(names, (table[name == each] for each in dict.fromkeys(name)), strict=True))


def _titled(keys: Sequence[str], row: Any, data: dict[str, str]) -> str:
    """The values of some keys, with the names of those that are not text."""
    shorts = [_short(key) for key in keys]

    def one(key: str, short: str) -> str:
        if key == DATA:
            return data[str(row[key])]
        name = short if shorts.count(short) == 1 else key
        if not is_set(row[key]):
            return f"{name} not set"
        return str(row[key]) if isinstance(row[key], str) else f"{name} = {row[key]}"

    return ", ".join(map(one, keys, shorts))


def _of_line(key: str, value: str, is_number: bool) -> str:
    """A line's value with the name of its key, where it needs one; rows of the list may lack the key."""
    if value in ("nan", "None"):
        return f"{_short(key)} not set"
    return f"{_short(key)} = {value}" if is_number else value


def data_names(sources: Sequence[str]) -> dict[str, str]:
    """A short name for each of several different data sets or files: without folders and suffix where that is enough.

    Examples
    --------
    >>> data_names(["phishing", "north/x.csv", "south/x.csv", "y.csv"])
    {'phishing': 'phishing', 'north/x.csv': 'north/x.csv', 'south/x.csv': 'south/x.csv', 'y.csv': 'y'}
    """

    def at(source: str, level: int) -> str:
        """The name without its suffix, the name, then with folders up to one that may differ, then all."""
        parts = Path(source).parts
        if level > len(parts):
            return source
        if level < 3:
            return "/".join(parts[-level:]) if level else Path(source).stem
        return f"{parts[-level]}/…/{parts[-1]}"

    levels = dict.fromkeys(sources, 0)
    while True:
        names = {source: at(source, level) for source, level in levels.items()}
        counts = Counter(names.values())
        same = [source for source, name in names.items() if counts[name] > 1 and name != source]
        if not same:
            return names
        for source in same:
            levels[source] += 1


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _named(metric: str) -> str:
    """The name of a metric as the first word of a sentence."""
    name = METRICS[metric][0]
    return name[0].upper() + name[1:]
