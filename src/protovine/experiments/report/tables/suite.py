"""The table of a suite, for a terminal or as plain cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from protovine.experiments.define.suites import F1_LATE
from protovine.experiments.report.text import decimals_shown, formatted, metric_label
from protovine.experiments.run.suites import SuiteResult
from protovine.terminal import Column, print_table, printable

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class SuiteTable:
    """Heads and rows of text, and a caption that says what the cells hold."""

    heads: list[str]
    rows: list[list[str]]
    caption: str


def print_suite(result: SuiteResult, console: Console) -> None:
    """Print the table of a suite, and which streams are left out."""
    from rich.text import Text

    made = suite_table(result)
    columns: list[Column] = []
    for head, cells in zip(made.heads, zip(*made.rows, strict=True), strict=True):
        above, under, name = head.rpartition("\n")
        above = above if above or not under else columns[-1].above
        columns.append(Column(name, cells, justify="right" if columns else "left", above=above))
    console.print(Text(f"{result.suite.name}: {result.suite.about}"), style="italic")
    print_table(console, columns)
    console.print(Text(made.caption, style="dim"))
    for stream, reason in result.left_out.items():
        console.print(Text(printable(f"left out: {stream}: {reason}"), style="dim"))


def suite_table(result: SuiteResult) -> SuiteTable:
    """A row for each case, and a column for each preset, or for each stream if the suite has one preset.

    With several presets and several streams there is a row for each stream and case.
    """
    return _by_preset(result) if len(result.suite.presets) > 1 else _by_stream(result)


def _by_preset(result: SuiteResult) -> SuiteTable:
    """Mean and 95 % interval of each metric, in a column of its own."""
    metrics = result.suite.metrics
    presets = list(dict.fromkeys(preset for made in result.results for preset in made.presets))
    names = [_label(metric) for metric in metrics]
    heads = [
        "",
        *(f"{preset}\n{name}" if i == 0 else f"\n{name}" for preset in presets for i, name in enumerate(names)),
    ]
    rows = []
    for stream, case in result.by_case:
        cells = [
            formatted(result.interval(stream, case, preset, metric), _decimals_of(metric))
            for preset in presets
            for metric in metrics
        ]
        rows.append([_row_name(result, stream, case), *cells])
    return SuiteTable(heads, rows, "mean ± half of the 95 % interval over seeds; F1 is the mean over nodes")


def _by_stream(result: SuiteResult) -> SuiteTable:
    """Means over seeds of all metrics in one cell, and their means over streams."""
    metrics = result.suite.metrics
    several = len(result.streams) > 1
    rows = []
    for case in result.cases:
        means = []
        for stream in result.streams:
            made = result.by_case.get((stream, case))
            preset = made.presets[0] if made and made.presets else ""
            each = [result.interval(stream, case, preset, metric) for metric in metrics]
            means.append([np.nan if interval is None else interval.mean for interval in each])
        cells = [" / ".join(map(_number, metrics, values)) for values in means]
        if several:
            cells += [_number(metric, value, 1) for metric, value in zip(metrics, np.mean(means, axis=0), strict=True)]
        rows.append([case, *cells])
    heads = ["", *result.streams, *(f"mean {_label(metric)}" for metric in metrics if several)]
    return SuiteTable(heads, rows, f"{' / '.join(map(_label, metrics))}, mean over seeds and nodes")


def _row_name(result: SuiteResult, stream: str, case: str) -> str:
    names = [stream] if len(result.streams) > 1 else []
    return ", ".join([*names, case] if len(result.cases) > 1 else names or [case])


def _label(metric: str) -> str:
    return "F1, second half" if metric == F1_LATE else metric_label(metric)


def _decimals_of(metric: str) -> str:
    """The metric whose decimals a number has."""
    return "f1" if metric == F1_LATE else metric


def _number(metric: str, value: float, more: int = 0) -> str:
    """A mean with the decimals of its metric, or more if it is small; one of the fractions gets ``more``."""
    from protovine.experiments.run.result import METRICS

    if np.isnan(value):
        return "–"
    decimals = METRICS[_decimals_of(metric)][2]
    return f"{value:,.{decimals_shown(value, None, decimals + (more if decimals > 2 else 0))}f}"
