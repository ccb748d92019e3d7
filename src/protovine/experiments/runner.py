"""Every preset with every seed, in this process or in several, with progress and a clean stop."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from protovine import stream
from protovine.errors import InvariantError
from protovine.experiments.build import build
from protovine.experiments.config import Experiment, Settings
from protovine.experiments.execute import execute
from protovine.experiments.result import Result, Run
from protovine.stream import DataSet

# What numbers depend on.
_VERSIONED = ("protovine", "numpy", "numba", "scipy", "scikit-learn", "river", "pandas")


class Cancelled(Exception):
    """A run was asked to stop."""


@dataclass(frozen=True)
class Prepared:
    """An experiment whose data is loaded and whose settings were found to fit it."""

    experiment: Experiment
    settings: dict[str, Settings]
    data: dict[int, DataSet]
    neighbours: list[list[int]]
    notes: tuple[str, ...]

    @property
    def seeds(self) -> list[int]:
        """All seeds, ascending."""
        return sorted(self.data)

    @property
    def samples(self) -> int:
        """Own samples over all runs, for progress."""
        held_out = 0.8 if self.experiment.data.holdout else 1.0
        return len(self.settings) * sum(round(len(data) * held_out) for data in self.data.values())


def run(
    experiment: Experiment | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Run an experiment: every preset with every seed.

    Parameters
    ----------
    experiment : Experiment, optional
        The default one compares the paper's systems on Phishing.
    out : path, optional
        A new folder for traces, ``result.json`` and ``report.html``. Nothing is written without it.
    jobs : int, optional
        Runs at a time, each in a process of its own if more than 1 (then a script must be guarded by
        ``if __name__ == "__main__":``). By default as the experiment says, which is 1 unless set. The result does not
        depend on it.
    progress : callable (done, total), optional
        Called with own samples that have arrived, and all there are.

    Returns
    -------
    Result
        Partial if it was interrupted from the keyboard.

    Raises
    ------
    ConfigError, DataError
        Nothing was run and nothing was written.
    InvariantError
        The simulator caught a bug. A result folder, if any, holds what was finished and says so.

    Examples
    --------
    >>> import protovine
    >>> experiment = protovine.Experiment(presets=["paper-local"], data={"limit": 200}, seeds=1)
    >>> round(protovine.run(experiment).runs[0].metrics["accuracy"], 2)
    0.68
    """
    prepared = prepare(experiment or Experiment())
    if out is None:
        return run_prepared(prepared, jobs=jobs, progress=progress)
    from protovine.experiments.folder import RunFolder

    folder = RunFolder.create(Path(out), prepared)
    result = run_prepared(prepared, jobs=jobs, trace_folder=folder.traces, progress=progress)
    folder.finish(result)
    if result.error:
        raise InvariantError(result.error)
    return result


def prepare(experiment: Experiment) -> Prepared:
    """Load the data and check everything against it, before anything is run or written."""
    settings = {name: experiment.settings(name) for name in experiment.presets}
    options = experiment.data
    seeds = range(experiment.seed, experiment.seed + experiment.seeds)
    data: dict[int, DataSet] = {}
    for seed in seeds:
        # Only generated streams depend on the seed.
        if data and not _is_generated(options.source):
            data[seed] = data[experiment.seed]
            continue
        data[seed] = stream.load(
            options.source,
            label=options.label,
            rows=options.limit,
            seed=seed,
            text=options.text,
            missing=options.missing,
        )
        stream.require_classes(data[seed])
    notes = list(data[experiment.seed].notes)
    for seed, name in [(seed, name) for seed in seeds for name in settings]:
        built = build(settings[name], data[seed], seed)
        empty = [node for node, rows in enumerate(built.scenario.rows) if not len(rows)]
        if empty:
            notes.append(f"seed {seed}: no samples for node{'s' if len(empty) > 1 else ''} {_listed(empty)}")
        without = [
            node
            for node, rows in enumerate(built.scenario.rows)
            if len(rows) and built.positive is not None and built.positive not in data[seed].y[rows]
        ]
        if without:
            notes.append(f"seed {seed}: no positives at node {_listed(without)}, left out of f1")
    links = build(next(iter(settings.values())), data[experiment.seed], experiment.seed).neighbours
    return Prepared(experiment, settings, data, links, tuple(dict.fromkeys(notes)))


def run_prepared(
    prepared: Prepared,
    *,
    jobs: int | None = None,
    trace_folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Run what was prepared. A bug that the simulator catches, or Ctrl-C, ends it with the runs finished so far."""
    tasks = [(name, seed) for seed in prepared.seeds for name in prepared.settings]
    jobs = min(jobs or prepared.experiment.jobs, len(tasks))
    report = progress or (lambda done, total: None)
    report(0, prepared.samples)
    runs: list[Run] = []
    status, error = "complete", None
    try:
        warm()
        if jobs > 1:
            _in_processes(prepared, tasks, jobs, trace_folder, report, runs.append)
        else:
            _here(prepared, tasks, trace_folder, report, runs.append)
    except KeyboardInterrupt:
        status = "partial"
    except InvariantError as broken:
        status, error = "failed", str(broken)
    order = {name: i for i, name in enumerate(prepared.settings)}
    runs.sort(key=lambda made: (order[made.preset], made.seed))
    return Result(
        experiment=describe(prepared),
        resolved=resolved(prepared),
        data=describe_data(prepared),
        neighbours=prepared.neighbours,
        runs=runs,
        status=status,
        error=error,
        notes=prepared.notes,
        versions={"python": platform.python_version(), **{name: version(name) for name in _VERSIONED}},
    )


def describe(prepared: Prepared) -> dict[str, Any]:
    """The experiment as plain values that TOML and JSON hold, with what every preset shares filled in."""
    experiment = prepared.experiment
    plain = _plain(experiment.given(), prepared)
    plain |= {"presets": list(experiment.presets), "seed": experiment.seed, "seeds": experiment.seeds}
    plain.pop("jobs", None)
    return plain


def resolved(prepared: Prepared) -> dict[str, Any]:
    """For each preset every setting that has a value, with nothing left to defaults."""
    return {
        name: _plain(settings.model_dump(exclude={"data": {"source"}}), prepared)
        for name, settings in prepared.settings.items()
    }


def describe_data(prepared: Prepared) -> dict[str, Any]:
    """Name, shape, classes and fingerprint of the stream (of the first seed)."""
    data = prepared.data[prepared.experiment.seed]
    return {
        "name": data.name,
        "rows": len(data),
        "features": list(data.features),
        "classes": [label if isinstance(label, bool | int | float | str) else str(label) for label in data.classes],
        "drift_points": list(data.drift_points),
        "fingerprint": data.fingerprint(),
    }


def warm() -> None:
    """Compile (or load from the cache) every kernel that the presets use, so that workers find them on disk."""
    from protovine.compress import DbscanCompressor
    from protovine.learn import XuILVQCore
    from protovine.prototypes import PrototypeSet
    from protovine.share import jensen_shannon_kde

    core = XuILVQCore(1, 2, size_max=2, compressor=DbscanCompressor())
    x = np.linspace(0.0, 1.0, 8)[:, np.newaxis]
    codes, times = np.arange(8) % 2, np.zeros(8, np.int64)
    core.learn(x, codes, times)
    core.predict(x[0])
    held = PrototypeSet.of(x, codes)
    jensen_shannon_kde(held, held, np.random.default_rng(0))


def _here(
    prepared: Prepared,
    tasks: list[tuple[str, int]],
    trace_folder: Path | None,
    report: Callable[[int, int], None],
    keep: Callable[[Run], None],
) -> None:
    done = 0

    def count(samples: int) -> None:
        nonlocal done
        done += samples
        report(done, prepared.samples)

    for name, seed in tasks:
        keep(_attempt(prepared.settings[name], name, seed, prepared.data[seed], trace_folder, count))


def _in_processes(
    prepared: Prepared,
    tasks: list[tuple[str, int]],
    jobs: int,
    trace_folder: Path | None,
    report: Callable[[int, int], None],
    keep: Callable[[Run], None],
) -> None:
    # Workers start from nothing: a fork would copy threads of numerical libraries in an unknown state.
    context = multiprocessing.get_context("spawn")
    counter, stop = context.Value("q", 0), context.Event()
    with ProcessPoolExecutor(jobs, context, _start_worker, (counter, stop, prepared, trace_folder)) as pool:
        with _interrupts_ignored():  # Workers start here and inherit it; Ctrl-C is the parent's to handle.
            waiting: set[Future[Run]] = {pool.submit(_work, name, seed) for name, seed in tasks}
        try:
            while waiting:
                finished, _ = wait(waiting, timeout=0.1, return_when="FIRST_COMPLETED")
                report(counter.value, prepared.samples)
                for future in finished:
                    waiting.remove(future)
                    keep(future.result())
        except BaseException:
            stop.set()
            for future in [future for future in waiting if not future.cancel()]:
                if future.exception() is None:  # It was just done, or nearly so.
                    keep(future.result())
            raise


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_worker: dict[str, Any] = {}


def _start_worker(counter: Any, stop: Any, prepared: Prepared, trace_folder: Path | None) -> None:
    _worker.update(counter=counter, stop=stop, prepared=prepared, trace_folder=trace_folder)


def _work(name: str, seed: int) -> Run:
    def count(samples: int) -> None:
        if _worker["stop"].is_set():
            raise Cancelled
        with _worker["counter"].get_lock():
            _worker["counter"].value += samples

    prepared = _worker["prepared"]
    return _attempt(prepared.settings[name], name, seed, prepared.data[seed], _worker["trace_folder"], count)


def _attempt(
    settings: Settings, name: str, seed: int, data: DataSet, trace_folder: Path | None, count: Callable[[int], None]
) -> Run:
    try:
        return execute(settings, name, seed, data, trace_folder, count)
    except InvariantError as error:
        raise InvariantError(f"{name}, seed {seed}: {error}") from None


def _is_generated(source: Any) -> bool:
    return isinstance(source, str) and any(
        entry.name == source and entry.source == "generated" for entry in stream.catalog()
    )


def _plain(tables: dict[str, Any], prepared: Prepared) -> dict[str, Any]:
    """Without None (TOML has none), with data from memory described."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): cleaned(item) for key, item in value.items() if item is not None}
        if isinstance(value, list | tuple):
            return [cleaned(item) for item in value]
        return value

    if isinstance(tables.get("data"), dict):
        source = prepared.experiment.data.source
        kept = {key: value for key, value in tables["data"].items() if key != "source"}
        if isinstance(source, os.PathLike):
            source = os.fspath(source)
        described = source if isinstance(source, str) else f"in memory: {prepared.data[prepared.experiment.seed].name}"
        tables = {**tables, "data": {"source": described, **kept}}
    plain: dict[str, Any] = cleaned(tables)
    return plain


def _listed(nodes: list[int]) -> str:
    shown = ", ".join(map(str, nodes[:10]))
    return shown if len(nodes) <= 10 else f"{shown} and {len(nodes) - 10} more"
