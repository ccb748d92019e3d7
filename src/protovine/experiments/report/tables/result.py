"""The result of an experiment as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protovine.experiments.report.text import counted, excludes_zero, f1_rule, formatted, metric_label
from protovine.experiments.run.result import Result
from protovine.terminal import Column, print_table, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# What the table shows; `result.json` has everything. What stands beside the paper's numbers is shown with its presets.
SHOWN = (
    "f1",
    "f1_paper",
    "f1_global",
    "accuracy",
    "accuracy_last_class",
    "accuracy_majority",
    "kappa_temporal",
    "kappa_m",
    "bytes_per_node_per_s",
    "paper_bytes_per_s",
    "bytes_socket_per_node_per_s",
    "messages",
    "airtime_s",
    "duty_mean",
    "duty_max",
    "medium_wait_s",
    "prototypes_sent",
    "prototypes_withheld",
    "prototypes_trained_per_node",
    "prototypes_held_per_node",
    "state_bytes_per_node",
    "aoi_mean_s",
    "aoi_peak_s",
    "version_age_mean",
    "trained_age_mean_s",
    "aoi_trained_mean_s",
)
OF_PAPER = ("f1_paper", "paper_bytes_per_s")
TRAFFIC = (
    "bytes_per_node_per_s",
    "paper_bytes_per_s",
    "messages",
    "prototypes_sent",
    "prototypes_withheld",
    "prototypes_trained_per_node",
)


def shows_paper(result: Result) -> bool:
    """Whether a preset of the paper is among the systems, so that the numbers as in the paper are of interest."""
    return any(preset.startswith("paper-") for preset in result.presets)


def print_result(result: Result, console: Console) -> None:
    """Print the comparison: a row for each metric and a column for each preset, as mean ± half of its 95 % interval.

    The second line of a cell is the difference to the first preset. Presets that do not fit the width of the console
    go into further tables.
    """
    from rich.text import Text

    cells = {preset: _cells(result, preset) for preset in result.presets}
    left_out = () if shows_paper(result) else OF_PAPER
    rows = [
        metric
        for metric in SHOWN
        if metric not in left_out and any(cells[preset][metric] is not None for preset in cells)
    ]
    columns = [Column("", [metric_label(metric) for metric in rows], justify="left")]
    for preset in result.presets:
        columns.append(Column(preset, [Text("\n").join(_lines(cells[preset][metric])) for metric in rows]))
    console.print(Text(printable(_title(result))), style="italic")
    print_table(console, columns)
    console.print(Text(printable(_caption(result))), style="dim")


def _cells(result: Result, preset: str) -> dict[str, tuple[Text, Text | None] | None]:
    """For each shown metric its interval, and the difference to the first preset unless that is the value itself."""
    from rich.text import Text

    cells: dict[str, tuple[Text, Text | None] | None] = {}
    for metric in SHOWN:
        interval, first = result.interval(preset, metric), result.interval(result.presets[0], metric)
        difference = result.difference(preset, metric)
        cells[metric] = None if interval is None else (Text(formatted(interval, metric)), None)
        # To a first preset that sends nothing at all, the difference is the value itself.
        if interval is None or difference is None or (metric in TRAFFIC and first and not first.mean):
            continue
        second = Text(formatted(difference, metric, signed=True), style="bold" if excludes_zero(difference) else "dim")
        cells[metric] = (Text(formatted(interval, metric)), second)
    return cells


def _lines(cell: tuple[Text, Text | None] | None) -> list[Text]:
    from rich.text import Text

    return [Text("–")] if cell is None else [line for line in cell if line is not None]


def _title(result: Result) -> str:
    seeds = len({run.seed for run in result.runs})
    return f"{result.data['name']}: {counted(len(result.neighbours), 'node')}, {counted(seeds, 'seed')}"


def _caption(result: Result) -> str:
    seeds = len({run.seed for run in result.runs})
    words = "mean ± half of the 95 % interval over seeds" if seeds > 1 else "one seed, so no intervals"
    if len({len(result.of(preset)) for preset in result.presets}) > 1:
        words += " (some presets have fewer seeds)"
    if len(result.presets) > 1:
        words += f"; second line: paired difference to {result.presets[0]}"
    return f"{words}. {rule}" if (rule := f1_rule(result)) else words
