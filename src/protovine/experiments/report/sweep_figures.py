"""The figures of a sweep: a metric against what varies, against traffic and over time, and mean ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protovine.errors import ConfigError
from protovine.experiments.report import published
from protovine.experiments.report.figures import COLOURS, LOOK, MARKERS, STYLES, inline_svg, scale_x
from protovine.experiments.report.pages import flat
from protovine.experiments.report.sweep_tables import DATA, Ranks, front, means, ranks, said_p, treatment
from protovine.experiments.run.result import METRICS
from protovine.experiments.sweep.database import load_curves, load_details, load_provenance

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS_MAX = 24
LINES_MAX = 14
PANEL_IN = (3.1, 2.5)
COLUMNS = 3
SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Drawn:
    """One figure: its file's name without suffix, title, caption and SVG element."""

    name: str
    title: str
    caption: str
    svg: str


def draw_sweep(folder: Path, frame: pd.DataFrame, metric: str, out: Path) -> list[Drawn]:
    """Every figure that the results allow, written to ``out`` as PNG, SVG and PDF, in reading order."""
    from matplotlib import style

    table = means(frame, list(METRICS))
    drawers: list[Callable[[], tuple[str, str, str, Figure] | None]] = [
        *_papers(folder, frame, table),
        *(lambda each=each: _against(frame, table, each) for each in _metrics(metric)),
        lambda: _pareto(frame, table, metric),
        lambda: _curves(folder, frame, table, metric),
        lambda: _ranks(ranks(frame, metric), metric),
    ]
    made = []
    with style.context(["default", LOOK]):
        for draw in drawers:
            drawn = draw()
            if drawn is None:
                continue
            name, title, caption, figure = drawn
            for suffix in SUFFIXES:
                try:
                    # Without the date the same results give the same file.
                    dated = {"CreationDate": None} if suffix == ".pdf" else {"Date": None} if suffix == ".svg" else {}
                    figure.savefig(out / f"{name}{suffix}", dpi=150, metadata=dated)
                except OSError as error:
                    raise ConfigError(f"cannot write the figure {out / name}{suffix}: {error.strerror}") from None
            made.append(Drawn(name, title, caption, inline_svg(figure, name, title)))
    return made


def _papers(folder: Path, frame: pd.DataFrame, table: pd.DataFrame) -> Iterator[Callable[[], Any]]:
    """The paper's figures, if the sweep is one of the paper's tests."""
    origin = load_provenance(folder)
    if published.is_papers(origin["definition"], frame.attrs["varied"]):
        base = {key: value for key, value in origin["definition"]["base"].items() if key != "data"}
        changed = ", ".join(f"{key} = {value}" for key, value in flat(base).items())
        for stream in published.papers_streams(origin["data"], frame):
            part = table[table[DATA] == stream] if DATA in table else table
            for measure in published.MEASURES:
                yield partial(published.draw_measure, part, stream, measure, changed)


def _metrics(metric: str) -> list[str]:
    return list(dict.fromkeys([metric, "bytes_per_node_per_s", "prototypes_trained_per_node"]))


def _against(frame: pd.DataFrame, table: pd.DataFrame, metric: str) -> tuple[str, str, str, Figure] | None:
    """The metric against the first number that varies, a line for each value of the next key, the others in panels."""
    numeric = _numeric(table, frame.attrs["varied"])
    x = next((key for key in numeric if table[key].nunique() > 2), numeric[0] if numeric else None)
    if x is None or not table[metric].notna().any():
        return None
    line = next((key for key in numeric if key != x), None) or treatment(frame)
    panels = [key for key in frame.attrs["varied"] if key not in (x, line) and table[key].map(str).nunique() > 1]
    groups = _groups(table, panels)
    figure, cells = _panels(len(groups[:PANELS_MAX]), legend=table[line].map(str).nunique() if line != x else 0)
    lines = _values(table, line) if line != x else [""]
    for axes, (title, group) in zip(cells, groups[:PANELS_MAX], strict=True):
        axes.set_title(title, fontsize=9.5)
        for number, value in enumerate(lines[:LINES_MAX]):
            part = group[group[line].map(str) == value] if line != x else group
            # What is left out of panels is not there: every other key has one value here.
            part = part.dropna(subset=[metric]).sort_values(x)
            look = {"color": _colour(number), "linestyle": STYLES[number // len(COLOURS) % len(STYLES)]}
            axes.plot(part[x], part[metric], marker=MARKERS[number % len(MARKERS)], markersize=4, **look)
            half = part[f"{metric}_ci95"].fillna(0.0)
            axes.fill_between(part[x], part[metric] - half, part[metric] + half, color=look["color"], alpha=0.14, lw=0)
    if metric != "f1" and METRICS[metric][1] in ("B/s", "B") and (table[metric].dropna() >= 0).all():
        _log_y(cells, table[metric].dropna())
    _labels(figure, cells, x, _title(metric))
    if line != x:
        _legend(
            figure, cells, [f"{_short(line)} = {value}" if line in numeric else value for value in lines[:LINES_MAX]]
        )
    several = frame["seed"].nunique() > 1
    caption = f"{METRICS[metric][0]} against {x}, mean over seeds" + ("; band: 95 % interval." if several else ".")
    if len(groups) > PANELS_MAX:
        caption += f" The first {PANELS_MAX} of {len(groups)} combinations of {', '.join(panels)}."
    if len(lines) > LINES_MAX:
        caption += f" The first {LINES_MAX} of {len(lines)} values of {line}."
    return metric, f"{METRICS[metric][0]} against {x}", caption, figure


def _pareto(frame: pd.DataFrame, table: pd.DataFrame, metric: str) -> tuple[str, str, str, Figure] | None:
    """What every point pays in bytes for its score, with the front of those that none beats."""
    cost = "bytes_per_node_per_s"
    table = table.dropna(subset=[metric, cost])
    if not len(table):
        return None
    key = treatment(frame)
    names = _values(table, key)
    groups = _groups(table, [DATA] if DATA in table and table[DATA].map(str).nunique() > 1 else [])[:PANELS_MAX]
    figure, cells = _panels(len(groups), legend=len(names), sharex=False, sharey=False)
    for axes, (title, group) in zip(cells, groups, strict=True):
        axes.set_title(title, fontsize=9.5)
        for number, value in enumerate(names[:LINES_MAX]):
            part = group[group[key].map(str) == value]
            if len(part):
                axes.errorbar(
                    *(part[cost], part[metric], part[f"{metric}_ci95"].fillna(0.0), part[f"{cost}_ci95"].fillna(0.0)),
                    fmt=MARKERS[number % len(MARKERS)],
                    color=_colour(number),
                    alpha=0.8,
                    markersize=4.5,
                    elinewidth=0.7,
                )
        best = front(group[cost].tolist(), group[metric].tolist())
        axes.plot(
            *(group[cost].iloc[best], group[metric].iloc[best]),
            color="#555555",
            linewidth=1.0,
            linestyle="--",
            drawstyle="steps-post",
            zorder=0,
        )
        scale_x(axes, group[cost].to_numpy(dtype=float))
    _labels(figure, cells, "traffic per node [B/s]", _title(metric))
    _legend(figure, cells, names[:LINES_MAX], dots=True)
    caption = (
        f"{METRICS[metric][0]} against bytes per node and second: one point per combination of settings, mean over "
        "seeds with 95 % intervals both ways; dashed: the front, where more score costs more bytes."
    )
    return "pareto", f"{METRICS[metric][0]} against traffic", caption, figure


def _curves(folder: Path, frame: pd.DataFrame, table: pd.DataFrame, metric: str) -> tuple[str, str, str, Figure] | None:
    """F1 over time of each treatment, at the settings where its score is best: how it converges and recovers."""
    good = frame[frame["status"] == "ok"]
    if not len(good) or not good[metric].notna().any():
        return None
    key = treatment(frame)
    names = _values(good, key)
    groups = _groups(good, [DATA] if DATA in good and good[DATA].map(str).nunique() > 1 else [])[:PANELS_MAX]
    best: list[tuple[int, int, pd.DataFrame]] = []
    for place, (_, group) in enumerate(groups):
        for number, value in enumerate(names[:LINES_MAX]):
            scores = group[group[key].map(str) == value].groupby("point")[metric].mean().dropna()
            if len(scores):
                best.append((place, number, group[group["point"] == scores.idxmax()]))
    if not best:
        return None
    curves = load_curves(folder, sorted({run for _, _, part in best for run in part["run"]}))
    figure, cells = _panels(len(groups), legend=len(names), sharex=False, sharey=False)
    for axes, (title, _) in zip(cells, groups, strict=True):
        axes.set_title(title, fontsize=9.5)
    drifts = set()
    for place, number, part in best:
        each = [curves[curves["run"] == run] for run in part["run"]]
        end_s = min(curve["at_s"].iloc[-1] for curve in each)
        t = np.linspace(0.0, end_s, len(each[0]) + 1)[1:]
        values = np.stack([np.interp(t, curve["at_s"], curve["f1_recent"]) for curve in each])
        mean = np.ma.filled(np.ma.masked_invalid(values).mean(0), np.nan)
        style = STYLES[number // len(COLOURS) % len(STYLES)]
        cells[place].plot(t, mean, color=_colour(number), linestyle=style, linewidth=1.5)
        if place not in drifts:
            drifts.add(place)
            for at_s in load_details(folder, part["run"].iloc[0])["drift_points_s"]:
                cells[place].axvline(at_s, color="#555555", linewidth=1.0, linestyle=":")
    _labels(figure, cells, "time [s]", "F1 of the last predictions")
    _legend(figure, cells, names[:LINES_MAX], dots=None)
    caption = (
        "How fast each converges, and recovers after a change of concept (dotted): F1 of the last tenth of all "
        f"predictions, mean over seeds, at the settings with its highest {METRICS[metric][0]} over the whole stream."
    )
    return "curves", "Convergence and recovery", caption, figure


def _ranks(found: Ranks | None, metric: str) -> tuple[str, str, str, Figure] | None:
    """Mean ranks on a line; bars join those that Nemenyi's test does not tell apart."""
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
    height = 0.9 + 0.24 * n + 0.12 * len(bars)
    figure = Figure(figsize=(6.2, height), layout="constrained")
    axes = figure.subplots()
    for place, i in enumerate(order):
        axes.plot(found.ranks[i], -place, "o", color=_colour(int(i)), markersize=7)
        axes.plot([found.ranks[i]] * 2, [-place, 1 + 0.5 * len(bars)], color="#cccccc", linewidth=0.8, zorder=0)
    for k, (low, high) in enumerate(bars):
        axes.plot([low - 0.03, high + 0.03], [0.8 + 0.5 * k] * 2, color="black", linewidth=3, solid_capstyle="butt")
    axes.set_yticks([-place for place in range(n)], [found.names[i] for i in order])
    axes.set_ylim(-n + 0.4, 1.1 + 0.5 * len(bars))
    axes.set_xlim(0.8, n + 0.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"mean rank by {METRICS[metric][0]} (1 is best)")
    axes.grid(axis="y", visible=False)
    caption = (
        f"Mean ranks over {found.blocks} {found.of}. Black bars join what Nemenyi's test does not tell apart at 5 % "
        f"(critical difference {found.critical:.2f}). {found.test}: {said_p(found.p)}."
    )
    return "ranks", f"Mean ranks over {found.of}", caption, figure


# What the figures share


def _numeric(table: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    def is_number(value: Any) -> bool:
        return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)

    return [key for key in keys if table[key].map(is_number).all() and table[key].nunique() > 1]


def _values(table: pd.DataFrame, key: str) -> list[str]:
    """The values of a key, in the order of the sweep."""
    return list(dict.fromkeys(table[key].map(str)))


def _groups(table: pd.DataFrame, keys: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    if not keys:
        return [("", table)]
    name = table[list(keys)].map(str).agg(", ".join, axis=1)
    names = [_titled(keys, table[name == each].iloc[0]) for each in dict.fromkeys(name)]
    return list(zip(names, (table[name == each] for each in dict.fromkeys(name)), strict=True))


def _titled(keys: Sequence[str], row: Any) -> str:
    """The values of some keys; of a number also its key."""
    return ", ".join(
        Path(row[key]).stem
        if key == DATA
        else str(row[key])
        if isinstance(row[key], str)
        else f"{_short(key)} = {row[key]}"
        for key in keys
    )


def _panels(n: int, legend: int, sharex: bool = True, sharey: bool = True) -> tuple[Figure, list[Axes]]:
    """So many axes, in rows of three, below room for a legend."""
    from matplotlib.figure import Figure

    columns = min(COLUMNS, n)
    rows = -(-n // columns)
    width, height = (5.6, 3.3) if n == 1 else (PANEL_IN[0] * columns, PANEL_IN[1] * rows)
    figure = Figure(figsize=(width, height + 0.3 + 0.2 * -(-legend // _legend_columns(columns))), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False)
    cells = list(grid.flat)
    for axes in cells[n:]:
        axes.set_visible(False)
    if sharex:
        for i, axes in enumerate(cells[:n]):
            axes.tick_params(labelbottom=i + columns >= n)
    return figure, cells[:n]


def _legend_columns(columns: int) -> int:
    return 2 * columns if columns > 1 else 3


def _legend(figure: Figure, cells: Sequence[Axes], names: Sequence[str], dots: bool | None = False) -> None:
    """What is what; ``dots`` without lines, or None for lines without dots."""
    from matplotlib.lines import Line2D

    handles = []
    for number in range(len(names)):
        style: Any = "" if dots else STYLES[number // len(COLOURS) % len(STYLES)]
        handles.append(
            Line2D(
                [], [], color=_colour(number), linestyle=style, marker=MARKERS[number % len(MARKERS)], markersize=4.5
            )
        )
    columns = min(len(names), _legend_columns(min(COLUMNS, len(cells))), max(1, 90 // max(8 + len(n) for n in names)))
    figure.legend(handles, list(names), loc="outside upper left", ncols=columns, fontsize=9)


def _labels(figure: Figure, cells: Sequence[Axes], x: str, y: str) -> None:
    if len(cells) == 1:
        cells[0].set(xlabel=x, ylabel=y)
    else:
        figure.supxlabel(x, fontsize=10)
        figure.supylabel(y, fontsize=10)


def _log_y(cells: Sequence[Axes], values: pd.Series[float]) -> None:
    from matplotlib.ticker import EngFormatter, FixedLocator, NullLocator

    positive = values[values > 0]
    if not len(positive):
        return
    if positive.max() > 10 * positive.min():
        low = 10.0 ** np.floor(np.log10(positive.min()))
        ticks = [10.0**k for k in range(round(np.log10(low)), int(np.ceil(np.log10(positive.max()))) + 1)]
        for axes in cells:
            axes.set_yscale("symlog", linthresh=low, linscale=0.5) if (values == 0).any() else axes.set_yscale("log")
            axes.yaxis.set_major_locator(FixedLocator([0.0, *ticks] if (values == 0).any() else ticks))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.set_ylim(0 if (values == 0).any() else positive.min() / 1.5, positive.max() * 1.6)
    for axes in cells:
        axes.yaxis.set_major_formatter(EngFormatter())


def _title(metric: str) -> str:
    title, unit, _ = METRICS[metric]
    return f"{title} [{unit}]" if unit else title


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
