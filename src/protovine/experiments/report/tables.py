"""The result as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protovine.experiments.run.result import METRICS, Interval, Result

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# What the table shows; `result.json` has everything.
SHOWN = (
    "f1",
    "f1_global",
    "accuracy",
    "kappa",
    "bytes_per_node_per_s",
    "bytes_socket_per_node_per_s",
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
    """The comparison: metrics down, presets across, each as mean ± half of its 95 % interval, differences below.

    What does not fit the width goes into further tables.
    """
    from rich.table import Table
    from rich.text import Text

    columns = {preset: _cells(result, preset) for preset in result.presets}
    rows = [metric for metric in SHOWN if any(columns[preset][metric] is not None for preset in columns)]
    titles = {metric: _row_title(metric) for metric in rows}
    frame = 3  # A rule and two blanks for each column.
    labels_width = max(map(len, titles.values())) + frame + 1
    widths = {
        preset: max(len(preset), *(len(line) for metric in rows for line in _lines(cells[metric]))) + frame
        for preset, cells in columns.items()
    }
    console.print(Text(_title(result)), style="italic")
    for presets in _groups(widths, console.width - labels_width):
        table = Table()
        table.add_column("", no_wrap=True)
        for preset in presets:
            table.add_column(preset, justify="right", no_wrap=True)
        for metric in rows:
            cells = [Text("\n").join(_lines(columns[preset][metric])) for preset in presets]
            table.add_row(Text(titles[metric]), *cells)  # As text: "[s]" is markup otherwise.
        console.print(table)
    console.print(Text(_caption(result)), style="dim")


def _cells(result: Result, preset: str) -> dict[str, tuple[Text, Text | None] | None]:
    """For each shown metric its interval and the difference to the first preset, if it says something."""
    from rich.text import Text

    cells: dict[str, tuple[Text, Text | None] | None] = {}
    for metric in SHOWN:
        interval, first = result.interval(preset, metric), result.interval(result.presets[0], metric)
        difference = result.difference(preset, metric)
        cells[metric] = None if interval is None else (Text(formatted(interval, metric)), None)
        # To a first preset that sends nothing at all, the difference is the value itself.
        if interval is None or difference is None or (metric in TRAFFIC and first and not first.mean):
            continue
        sure = difference.half is not None and abs(difference.mean) > difference.half
        second = Text(formatted(difference, metric, signed=True), style="bold" if sure else "dim")
        cells[metric] = (Text(formatted(interval, metric)), second)
    return cells


def _lines(cell: tuple[Text, Text | None] | None) -> list[Text]:
    from rich.text import Text

    return [Text("–")] if cell is None else [line for line in cell if line is not None]


def _groups(widths: dict[str, int], room: int) -> list[list[str]]:
    """The presets in order, as many side by side as fit, at least one."""
    groups: list[list[str]] = []
    left = 0
    for preset, width in widths.items():
        if not groups or width > left:
            groups.append([])
            left = room
        groups[-1].append(preset)
        left -= width
    return groups


def _row_title(metric: str) -> str:
    title, unit, _ = METRICS[metric]
    return f"{title} [{unit}]" if unit else title


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
    if len({len(result.of(preset)) for preset in result.presets}) > 1:
        words += " (not all presets have all of them)"
    if len(result.presets) > 1:
        words += f"; second line: paired difference to {result.presets[0]}"
    return words
