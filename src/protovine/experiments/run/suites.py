"""Run a suite: every case on every stream."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from protovine.experiments.define.suites import F1, F1_LATE, TRAFFIC, PreparedSuite, Suite
from protovine.experiments.run.folder import RunFolder
from protovine.experiments.run.result import Interval, Result, Run
from protovine.experiments.run.runner import run_prepared


@dataclass(frozen=True)
class SuiteResult:
    """The results of a suite by stream and case, in order; after an interruption the later ones are missing.

    ``folders`` are the run folders, if any were written; ``left_out`` has the reason for each stream without data.
    """

    suite: Suite
    by_case: dict[tuple[str, str], Result]
    folders: dict[tuple[str, str], Path]
    left_out: dict[str, str]

    @property
    def results(self) -> list[Result]:
        """The results in order."""
        return list(self.by_case.values())

    @property
    def streams(self) -> list[str]:
        """The streams that have a result."""
        return list(dict.fromkeys(stream for stream, _ in self.by_case))

    @property
    def cases(self) -> list[str]:
        """The cases that have a result on some stream."""
        return list(dict.fromkeys(case for _, case in self.by_case))

    def interval(self, stream: str, case: str, preset: str, metric: str) -> Interval | None:
        """A metric over the seeds of a preset; None if it is not defined.

        ``f1_late`` is the mean F1 in the second half of a run, each value over the tenth of samples before its time.
        """
        result = self.by_case.get((stream, case))
        if result is None or not result.of(preset):
            return None
        if metric != F1_LATE:
            return result.interval(preset, metric)
        found = [value for run in result.of(preset) if (value := _f1_late(run)) is not None]
        return Interval.of(found) if found else None

    def to_json(self) -> dict[str, Any]:
        """Plain values: the suite's metrics, F1 and traffic of each stream, case and preset, with 95 % intervals."""
        metrics = dict.fromkeys((F1, *self.suite.metrics, TRAFFIC))
        streams: dict[str, Any] = {stream: {} for stream in self.streams}
        for (stream, case), result in self.by_case.items():
            streams[stream][case] = {
                preset: {metric: _json(self.interval(stream, case, preset, metric)) for metric in metrics}
                for preset in result.presets
            }
        return {"suite": self.suite.name, "streams": streams, "left_out": self.left_out}


def run_suite(
    prepared: PreparedSuite,
    *,
    out: Path | None = None,
    render: Callable[[Result], str] = lambda result: "",
    progress: Callable[[int, int], None] | None = None,
) -> SuiteResult:
    """Run every case, up to the first that fails.

    With ``out`` each case gets its own run folder there; ``render`` makes the HTML page of a result.
    """
    report = progress or (lambda done, total: None)
    total, before = sum(each.prepared.samples for each in prepared.cases), 0
    several = len({each.stream for each in prepared.cases}) > 1
    results: dict[tuple[str, str], Result] = {}
    folders: dict[tuple[str, str], Path] = {}
    for each in prepared.cases:
        folder = None
        if out is not None:
            parts = (each.stream, each.case.name) if several else (each.case.name,)
            folder = RunFolder.create(out.joinpath(*map(_file_name, parts)), each.prepared)
            folders[each.stream, each.case.name] = folder.path

        def show(done: int, _: int, before: int = before) -> None:
            report(before + done, total)

        made = run_prepared(each.prepared, trace_folder=folder.traces if folder else None, progress=show)
        if folder:
            made = folder.finish(made, render)
        results[each.stream, each.case.name] = made
        before += each.prepared.samples
        if made.status != "complete":
            break
    return SuiteResult(prepared.suite, results, folders, prepared.left_out)


def _file_name(name: str) -> str:
    """A folder name for a stream or case."""
    return re.sub(r"[^\w.%-]+", "-", name).strip("-.")


def _f1_late(run: Run) -> float | None:
    at_s, recent = np.asarray(run.series.at_s), np.asarray(run.series.f1_recent, float)
    values = recent[at_s > at_s[-1] / 2] if len(at_s) else recent
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else None


def _json(interval: Interval | None) -> dict[str, float | None] | None:
    return None if interval is None else interval.to_json()
