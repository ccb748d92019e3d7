"""Suites: named settings that several systems are put through, with one table of how each stands them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from protovine.errors import ConfigError, suggest
from protovine.experiments.define.config import Experiment
from protovine.experiments.define.prepare import Prepared, prepare
from protovine.experiments.report.pages import render_report
from protovine.experiments.report.tables import formatted
from protovine.experiments.run.folder import RunFolder
from protovine.experiments.run.result import Interval, Result, Run
from protovine.experiments.run.runner import run_prepared
from protovine.system import merged_tables

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Case:
    """Settings under a name, which are laid over an experiment's."""

    name: str
    about: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Suite:
    """Cases for a swarm of n nodes whose stream lasts so many seconds, and what is compared on which stream."""

    name: str
    about: str
    presets: tuple[str, ...]
    data: dict[str, Any]
    cases: Callable[[int, float], tuple[Case, ...]]


def _robustness(n: int, end_s: float) -> tuple[Case, ...]:
    third, half = end_s / 3, end_s / 2
    last = n - 1
    return (
        Case("plain", "rows dealt out evenly, nothing fails", {}),
        Case("label skew", "class shares by Dirichlet(0.3)", {"swarm": {"split": "label-skew:0.3"}}),
        Case("quantity skew", "sample shares by Dirichlet(0.3)", {"swarm": {"split": "quantity-skew:0.3"}}),
        Case("blocks", "each node has its own stretch of the stream", {"swarm": {"split": "blocks"}}),
        Case("feature shift", "each sensor is off by about a deviation", {"swarm": {"feature_shift": 1.0}}),
        Case("late drift", "node i is i tenths of the run behind", {"swarm": {"lag_s": end_s / 10}}),
        Case(
            "comings and goings",
            "one node joins after a third, one leaves at half, one is down in the middle third and forgets",
            {
                "faults": [
                    {"kind": "join", "node": last, "at_s": third},
                    {"kind": "crash", "node": 0, "at_s": half},
                    {"kind": "crash", "node": 1, "at_s": third, "restart_s": 2 * third, "keeps_state": False},
                ]
            },
        ),
        Case("loss", "a fifth of the messages is lost", {"link": {"loss": 0.2}}),
        Case(
            "partition",
            "two nodes are cut off in the middle third",
            {"faults": [{"kind": "partition", "group": [0, 1], "at_s": third, "until_s": 2 * third}]},
        ),
        Case("server dies", "at half, for good", {"faults": [{"kind": "server", "at_s": half}]}),
    )


def _death(n: int, end_s: float) -> tuple[Case, ...]:
    every = _robustness(n, end_s)
    return every[0], every[-1]


SUITES = {
    made.name: made
    for made in (
        Suite(
            "robustness",
            "serverless against server against local under skew, drift and failures",
            ("default", "server", "isolated"),
            {"source": "sea"},
            _robustness,
        ),
        Suite(
            "server-dies",
            "the first and the last case of robustness",
            ("default", "server", "isolated"),
            {"source": "sea"},
            _death,
        ),
    )
}


@dataclass(frozen=True)
class SuiteResult:
    """The result of each case, in order; ``late`` is F1 in the second half of the runs."""

    suite: Suite
    cases: tuple[Case, ...]
    results: tuple[Result, ...]

    def late(self, case: int, preset: str) -> Interval | None:
        """F1 over the tenth of samples before each moment of a run's second half, averaged over it and over nodes."""
        found = [value for run in self.results[case].of(preset) if (value := _late(run)) is not None]
        return Interval.of(found) if found else None

    def to_json(self) -> dict[str, Any]:
        """Plain values: for each case and preset F1, F1 late and bytes, as means with 95 % intervals."""
        return {
            "suite": self.suite.name,
            "data": self.results[0].data["name"] if self.results else None,
            "cases": {
                case.name: {
                    preset: {
                        "f1": _pair(result.interval(preset, "f1")),
                        "f1_late": _pair(self.late(i, preset)),
                        "bytes_per_node_per_s": _pair(result.interval(preset, "bytes_per_node_per_s")),
                    }
                    for preset in result.presets
                }
                for i, (case, result) in enumerate(zip(self.cases, self.results, strict=False))
            },
        }


def prepare_suite(name: str, tables: dict[str, Any]) -> tuple[Suite, list[tuple[Case, Prepared]]]:
    """Every case of a suite as a prepared experiment, over the settings in ``tables``.

    Raises
    ------
    ConfigError, DataError
        There is no such suite, or settings and data do not fit together. Nothing was run.
    """
    if name not in SUITES:
        raise ConfigError(f"unknown suite '{name}'{suggest(name, SUITES)}")
    suite = SUITES[name]
    if tables.get("faults"):
        raise ConfigError(f"suite {name} has faults of its own: leave out those of the experiment")
    tables = merged_tables({"presets": list(suite.presets), "data": suite.data}, tables)
    plain = prepare(Experiment(**tables))
    swarm = plain.experiment.swarm
    if swarm.nodes < 3:
        raise ConfigError(f"suite {name} needs at least 3 nodes, got {swarm.nodes}")
    end_s = len(plain.data[plain.experiment.seed]) / swarm.nodes / swarm.rate_hz
    cases = suite.cases(swarm.nodes, end_s)
    return suite, [(case, prepare(Experiment(**merged_tables(tables, case.settings)))) for case in cases]


def run_suite(
    suite: Suite,
    prepared: list[tuple[Case, Prepared]],
    *,
    out: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SuiteResult:
    """Run every case; with ``out`` each has a run folder of its own in it. Ends at the first that fails."""
    report = progress or (lambda done, total: None)
    total, before = sum(each.samples for _, each in prepared), 0
    results: list[Result] = []
    for case, each in prepared:
        folder = RunFolder.create(out / case.name.replace(" ", "-"), each) if out is not None else None

        def tell(done: int, _: int, before: int = before) -> None:
            report(before + done, total)

        made = run_prepared(each, trace_folder=folder.traces if folder else None, progress=tell)
        if folder:
            folder.finish(made, render_report(made))
        results.append(made)
        before += each.samples
        if made.status != "complete":
            break
    return SuiteResult(suite, tuple(case for case, _ in prepared), tuple(results))


def print_suite(result: SuiteResult, console: Console) -> None:
    """One table: cases down; for each preset F1, and F1 in the second half."""
    from rich.table import Table
    from rich.text import Text

    presets = result.results[0].presets
    table = Table(title=f"{result.suite.name}: {result.results[0].data['name']}", title_justify="left")
    table.add_column("", no_wrap=True)
    for preset in presets:
        table.add_column(f"{preset}\nF1", justify="right", no_wrap=True)
        table.add_column("\nlate", justify="right", no_wrap=True)
    for i, (case, made) in enumerate(zip(result.cases, result.results, strict=False)):
        cells = []
        for preset in presets:
            cells += [formatted(made.interval(preset, "f1"), "f1"), formatted(result.late(i, preset), "f1")]
        table.add_row(Text(case.name), *cells)
    console.print(table)
    console.print(
        Text("F1 is the mean over nodes; late: all nodes together, in the second half of the run", style="dim")
    )


def _late(run: Run) -> float | None:
    at_s, recent = np.asarray(run.series.at_s), np.asarray(run.series.f1_recent, float)
    values = recent[at_s > at_s[-1] / 2] if len(at_s) else recent
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def _pair(interval: Interval | None) -> dict[str, float | None] | None:
    return None if interval is None else interval.to_json()
