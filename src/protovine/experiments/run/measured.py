"""Ages of recorded runs: of a run folder, with the predicted ones, or of a single trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from protovine.age import AgeReport, TrainingReport, measure_age, measure_training
from protovine.age.measure import last_samples
from protovine.columns import Columns
from protovine.errors import ConfigError, DataError
from protovine.experiments.define.config import RunSettings, read_toml
from protovine.experiments.run.ages import (
    Expected,
    RunAges,
    expected_ages,
    interval,
    judged_links,
    number,
    steady_json,
    training_json,
    verdict,
    with_trace,
)
from protovine.experiments.run.folder import read_result
from protovine.experiments.run.trace import trace_name
from protovine.records import read_trace

# How many pairs are listed: those of the largest mean ages.
PAIRS_MAX = 10_000


@dataclass(frozen=True)
class MeasuredRun:
    """The ages of one recorded run; ``expected`` is None if nodes do not share or the settings are unknown.

    ``live``: real processes made the run.
    """

    preset: str
    seed: int
    nodes: int
    report: AgeReport
    expected: Expected | None
    live: bool = False
    training: TrainingReport | None = None

    @property
    def ages(self) -> RunAges | None:
        """The measured and the predicted ages; None without a prediction."""
        if self.expected is None:
            return None
        ages = RunAges.of(self.report, self.expected, self.training)
        return ages.of_live() if self.live else ages

    def to_json(self, pairs_max: int = PAIRS_MAX) -> dict[str, Any]:
        """Plain values, with the ``pairs_max`` pairs of the largest mean ages, largest first."""
        report, ages = self.report, self.ages
        names = (
            "mean_s",
            "peak_s",
            "p95_s",
            "version_mean",
            "incorrect_s",
            "incorrect_fraction",
            "pairs",
            "silent_pairs",
        )
        nodes = report.each.of_nodes(self.nodes).tolist()
        return {
            "preset": self.preset,
            "seed": self.seed,
            **{name: getattr(report, name) for name in names},
            "steady": steady_json(report.steady),
            "training": training_json(self.training),
            "predicted": ages.predicted._asdict() if ages and ages.predicted else None,
            "reasons": list(ages.reasons) if ages else [],
            "verdict": verdict([ages]).words if ages else None,
            "nodes": [None if mean != mean else mean for mean in nodes],
            "each": report.each.worst(pairs_max),
            "pairs_left_out": max(0, len(report.each) - pairs_max),
        }

    def lines(self) -> list[str]:
        """Lines for a terminal: ages of the whole run, after the start, and predicted."""
        report, ages = self.report, self.ages
        pairs = f"{report.pairs:,} pair{'' if report.pairs == 1 else 's'}"
        silent = f", {report.silent_pairs:,} of them silent" if report.silent_pairs else ""
        head = f"{self.preset or 'a trace'}, seed {self.seed}: {pairs}{silent}"
        if report.mean_s is None:
            return [f"{head}; no node received anything from another, so there is no age"]
        steady, predicted = report.steady, ages.predicted if ages else None
        of = (lambda name: getattr(predicted, name)) if predicted else lambda name: None

        def after(name: str) -> str:
            return interval(getattr(steady, name) if steady else None)

        rows: list[tuple[str, float | None, str, float | None]] = [
            ("mean age [s]", report.mean_s, after("age"), of("mean_s")),
            ("mean peak [s]", report.peak_s, after("peak"), of("peak_s")),
            ("version age [samples]", report.version_mean, after("version"), of("version_mean")),
            ("incorrect information [s]", report.incorrect_s, after("incorrect"), None),
        ]
        table = [("", "whole run", "after the start", "theory")]
        table += [(name, number(whole), steady_too, number(known)) for name, whole, steady_too, known in rows]
        p95 = ("95 % age [s]", number(report.p95_s), number(steady.p95_s if steady else None), number(of("p95_s")))
        table.insert(3, p95)
        table += self._training_rows()
        lines = [head, *(f"  {name:<26}  {a:>10}  {b:>20}  {c:>10}".rstrip() for name, a, b, c in table)]
        if steady is None:
            lines.append("  too short to leave the start out: this takes 15 mean ages")
        else:
            batches = len(steady.age.sums)
            words = f"{batches} batch{'' if batches == 1 else 'es'}"
            lines.append(f"  after the start: {steady.from_s:.4g} s to {steady.until_s:.4g} s, in {words}")
        if self.training is not None and self.training.reason:
            lines.append(f"  ages when trained are not known: {self.training.reason}")
        return [*lines, f"  {verdict([ages]).words}"] if ages else lines

    def _training_rows(self) -> list[tuple[str, str, str, str]]:
        """What was trained: rows of the table, without a theory, as sets have no fixed size."""
        training = self.training
        if training is None or training.known is None:
            return []
        steady, known = training.steady, training.known
        own, then = (steady, steady.known) if steady else (None, None)
        return [
            ("fraction trained", number(training.fraction), interval(own.fraction if own else None), "–"),
            ("mean age when trained [s]", number(training.mean_s), interval(own.age if own else None), "–"),
            ("95 % age when trained [s]", number(training.p95_s), number(own.p95_s if own else None), "–"),
            ("trained: mean age [s]", number(known.mean_s), interval(then.age if then else None), "–"),
            ("trained: mean peak [s]", number(known.peak_s), interval(then.peak if then else None), "–"),
            ("trained: 95 % age [s]", number(known.p95_s), number(then.p95_s if then else None), "–"),
        ]


def measured_runs(path: Path, presets: tuple[str, ...] = (), seeds: tuple[int, ...] = ()) -> Iterator[MeasuredRun]:
    """The ages of a trace, or of the runs in a run folder: all of them, or those of some presets and seeds.

    Raises
    ------
    ConfigError, DataError
        The path is neither, the folder lacks a preset or seed, or a trace is damaged.
    """
    if not path.is_dir():
        if presets or seeds:
            raise ConfigError(f"presets and seeds are chosen from a run folder, and {path} is none")
        yield _measured(path, None)
        return
    read_result(path)
    try:
        settings = {name: RunSettings(**tables) for name, tables in read_toml(path / "resolved.toml").items()}
    except (ValidationError, TypeError) as error:
        raise DataError(
            f"{path / 'resolved.toml'} does not hold the settings of a run: {error}".splitlines()[0]
        ) from None
    for name in presets:
        if name not in settings:
            raise ConfigError(f"{path} has no preset '{name}' (it has {', '.join(settings)})")
    there = sorted(file.name for file in (path / "traces").glob("*.jsonl.gz"))
    recorded = sorted({int(text) for name in there if (text := _seed_of(name)).isdigit()})
    for seed in seeds:
        if seed not in recorded:
            raise ConfigError(f"{path} has no seed {seed} (it has {', '.join(map(str, recorded)) or 'none'})")
    wanted = [
        (name, path / "traces" / file)
        for name in settings
        for seed in recorded
        if (not presets or name in presets)
        and (not seeds or seed in seeds)
        and (file := trace_name(name, seed)) in there
    ]
    if not wanted:
        raise DataError(f"{path} has no trace of these presets and seeds")
    for name, trace in wanted:
        yield _measured(trace, settings[name])


def _seed_of(name: str) -> str:
    return name.removesuffix(".jsonl.gz").rpartition("-seed")[2]


def _nodes(header: dict[str, Any], key: str, default: Iterable[int], path: Path) -> set[int]:
    """The nodes that a header names; `DataError` if they are none."""
    named = header.get(key, default)
    if key in header and not (isinstance(named, list) and all(type(node) is int for node in named)):
        raise DataError(f"the trace {path} must have a list of nodes as '{key}', got {named!r:.60}")
    return set(named)


def _whole_number(header: dict[str, Any], key: str, path: Path) -> int:
    """A number of 0 or more in a header, 0 if it is not there; `DataError` if it is something else."""
    number = header.get(key, 0)
    if type(number) is not int or number < 0:
        raise DataError(f"the trace {path} must have a whole number of 0 or more as '{key}', got {number!r:.60}")
    return number


def _measured(path: Path, settings: RunSettings | None) -> MeasuredRun:
    header, lines = read_trace(path)
    neighbours = header.get("neighbours")
    if not isinstance(neighbours, list) or not all(
        isinstance(peers, list) and all(isinstance(peer, int) and 0 <= peer < len(neighbours) for peer in peers)
        for peers in neighbours
    ):
        raise DataError(f"the trace {path} does not say who is whose neighbour")
    records = Columns(lines)
    everyone = range(len(neighbours))
    judged = _nodes(header, "honest", everyone, path) & _nodes(header, "traced", everyone, path)
    judged -= _nodes(header, "incomplete", (), path)
    links = judged_links(neighbours, judged, records, _whole_number(header, "partners", path))
    # A run ends with its last local sample, also one of a node that is down; a trace without any with its last record.
    end_ns = max(last_samples(records).values(), default=0) or records.end_ns
    start_ns = _whole_number(header, "start_ns", path)
    if start_ns > end_ns:
        raise DataError(f"the trace {path} must start between 0 and {end_ns} ns, got {start_ns}")
    report = measure_age(records, links, end_ns, start_ns=start_ns)
    training = measure_training(records, links, end_ns, start_ns)
    expected = with_trace(expected_ages(settings, neighbours), records) if settings is not None else None
    preset, seed = str(header.get("preset", "")), header.get("seed", 0)
    return MeasuredRun(preset, seed, len(neighbours), report, expected, bool(header.get("live")), training)
