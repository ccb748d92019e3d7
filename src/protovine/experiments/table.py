"""The result as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protovine.experiments.result import METRICS, Interval, Result

if TYPE_CHECKING:
    from rich.console import Console

# What the table shows; `result.json` has everything.
SHOWN = (
    "f1",
    "f1_global",
    "accuracy",
    "kappa",
    "bytes_per_node_per_s",
    "messages",
    "prototypes_sent",
    "prototypes_withheld",
    "prototypes_trained_per_node",
    "prototypes_held_per_node",
    "aoi_mean_s",
    "aoi_peak_s",
    "version_age_mean",
)
TRAFFIC = (
    "bytes_per_node_per_s",
    "messages",
    "prototypes_sent",
    "prototypes_withheld",
    "prototypes_trained_per_node",
)


def print_result(result: Result, console: Console) -> None:
    """The comparison: metrics down, presets across, each as mean ± half of its 95 % interval, differences below."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(_title(result)), caption=Text(_caption(result)), title_justify="left", caption_justify="left"
    )
    table.add_column("", no_wrap=True)
    for preset in result.presets:
        table.add_column(preset, justify="right", no_wrap=True)
    for metric in SHOWN:
        title, unit, _ = METRICS[metric]
        intervals = [result.interval(preset, metric) for preset in result.presets]
        if not any(intervals):
            continue
        cells = []
        for preset, interval in zip(result.presets, intervals, strict=True):
            cell = Text(formatted(interval, metric))
            difference = result.difference(preset, metric)
            # To a first preset that sends nothing at all, the difference is the value itself.
            if difference is not None and not (metric in TRAFFIC and intervals[0] and not intervals[0].mean):
                sure = difference.half is not None and abs(difference.mean) > difference.half
                cell.append("\n" + formatted(difference, metric, signed=True), style="bold" if sure else "dim")
            cells.append(cell)
        table.add_row(Text(f"{title} [{unit}]" if unit else title), *cells)
    console.print(table)


def formatted(interval: Interval | None, metric: str, signed: bool = False) -> str:
    """An interval with the metric's decimals, for example ``0.812 ± 0.010``; a dash where it is not defined."""
    if interval is None:
        return "–"
    if not interval.mean and not interval.half:
        return "0"
    decimals = METRICS[metric][2]
    sign = "+" if signed else ""
    text = f"{interval.mean:{sign},.{decimals}f}"
    return text if interval.half is None else f"{text} ± {interval.half:,.{decimals}f}"


def _title(result: Result) -> str:
    nodes = len(result.neighbours)
    name = result.data["name"]
    seeds = len({run.seed for run in result.runs})
    return f"{name}: {nodes} node{'s' if nodes > 1 else ''}, {seeds} seed{'s' if seeds > 1 else ''}"


def _caption(result: Result) -> str:
    seeds = len({run.seed for run in result.runs})
    words = "mean ± half of the 95 % interval over seeds" if seeds > 1 else "one seed, so no intervals"
    if len(result.presets) > 1:
        words += f"; second line: paired difference to {result.presets[0]}"
    return words
