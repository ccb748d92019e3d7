"""Run every preset with every seed, in one process or several, with progress and a clean stop."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError, DataError, InvariantError, RunError
from protovine.experiments.define.config import RunSettings
from protovine.experiments.define.prepare import Prepared, describe, describe_data, resolved
from protovine.experiments.run.execute import execute
from protovine.experiments.run.result import Result, Run
from protovine.interrupts import interrupts_blocked, interrupts_deferred, interrupts_noted
from protovine.own import with_place
from protovine.stream import DataSet
from protovine.system import warm

# Packages that results depend on.
_VERSIONED = ("protovine", "numpy", "numba", "scipy", "scikit-learn", "river", "pandas")


class Cancelled(Exception):
    """The run was cancelled."""


def run_prepared(
    prepared: Prepared,
    *,
    jobs: int | None = None,
    trace_folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Run a prepared experiment. If a bug or Ctrl-C stops it, the result has the runs finished so far."""
    tasks = [(name, seed) for seed in prepared.seeds for name in prepared.settings]
    wanted = jobs or prepared.experiment.jobs
    jobs = min(wanted, len(tasks))
    if jobs > 1 and getattr(multiprocessing.current_process(), "_inheriting", False):
        # A worker imports the caller's script and so runs it again. Its own workers cannot start.
        raise ConfigError("a script that runs several jobs must do so below `if __name__ == '__main__':`")
    report = progress or (lambda done, total: None)
    report(0, prepared.samples)
    runs: list[Run] = []
    status, error, failed = "complete", None, None
    try:
        if jobs > 1:
            _in_processes(prepared, tasks, jobs, trace_folder, report, runs.append)
        else:
            warm(prepared.settings.values())
            _here(prepared, tasks, wanted, trace_folder, report, runs.append)
            if any(run.stopped for run in runs):
                status = "partial"
    except KeyboardInterrupt:
        status = "partial"
    except RunError as broken:
        status, error, failed = "failed", str(broken), broken.run
    except BrokenProcessPool:
        status, error = (
            "failed",
            "a worker process died; it may have run out of memory, or have printed the reason above",
        )
    return result_of(prepared, runs, status, error, failed)


def result_of(
    prepared: Prepared,
    runs: list[Run],
    status: str = "complete",
    error: str | None = None,
    failed: tuple[str, int] | None = None,
) -> Result:
    """The result of an experiment from its runs, in any order."""
    order = {name: i for i, name in enumerate(prepared.settings)}
    runs = sorted(runs, key=lambda made: (order[made.preset], made.seed))
    return Result(
        experiment=describe(prepared),
        resolved=resolved(prepared),
        data=describe_data(prepared),
        neighbours=prepared.neighbours,
        runs=runs,
        status=status,
        error=error,
        failed=failed,
        notes=(*prepared.notes, *notes_on_labels(runs), *notes_on_medium(runs)),
        versions=versions(),
    )


def notes_on_labels(runs: Sequence[Run]) -> list[str]:
    """A note on runs in which nodes predicted and not one of them got a label."""
    without = [
        run
        for run in runs
        if any(node["samples"] for node in run.per_node) and not any(node["labels"] for node in run.per_node)
    ]
    if without and len(without) == len(runs):
        return ["no label arrived: nothing was learnt"]
    return [f"{run.preset}, seed {run.seed}: no label arrived: nothing was learnt" for run in without]


def notes_on_medium(runs: Sequence[Run]) -> list[str]:
    """A note on each preset of whose messages a shared medium carried less than half."""
    notes = []
    for preset in dict.fromkeys(run.preset for run in runs):
        mine = [run for run in runs if run.preset == preset]
        made = sum(int(run.metrics["messages"] or 0) for run in mine)
        lost = {reason: sum(run.lost.get(reason, 0) for run in mine) for reason in ("too large", "waited too long")}
        if 2 * sum(lost.values()) > made:
            kept = " and ".join(f"{count:,} ({reason})" for reason, count in lost.items() if count)
            notes.append(f"{preset}: the medium did not send {kept} of {made:,} messages; traffic is of the others")
    return notes


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _VERSIONED}}


def _here(
    prepared: Prepared,
    tasks: list[tuple[str, int]],
    wanted: int,
    trace_folder: Path | None,
    report: Callable[[int, int], None],
    keep: Callable[[Run], None],
) -> None:
    done = 0

    def count(samples: int) -> None:
        nonlocal done
        done += samples
        report(done, prepared.samples)

    # The only run gets the processes that no other needs. The first Ctrl-C stops it, and it is judged.
    alone = len(tasks) == 1
    with interrupts_noted() if alone else contextlib.nullcontext(lambda: False) as stopping:
        for name, seed in tasks:
            settings, data = prepared.settings[name], prepared.data[seed]
            keep(_attempt(settings, name, seed, data, trace_folder, count, wanted if alone else 1, stopping))


def _in_processes(
    prepared: Prepared,
    tasks: list[tuple[str, int]],
    jobs: int,
    trace_folder: Path | None,
    report: Callable[[int, int], None],
    keep: Callable[[Run], None],
) -> None:
    # Kernels are compiled once, and those of different learners at the same time; what can already run does.
    kinds: dict[str, list[str]] = {}
    for name, settings in prepared.settings.items():
        kinds.setdefault(settings.learner.kind, []).append(name)
    # Workers are spawned: a fork would copy threads of numerical libraries in an unknown state.
    context = multiprocessing.get_context("spawn")
    counter, stop = context.Value("q", 0), context.Event()
    work = (counter, stop, prepared.settings, prepared.data, trace_folder)
    with ProcessPoolExecutor(jobs, context, _start_worker, work) as pool:
        compiling: dict[Future[Any], list[str]] = {}
        waiting: set[Future[Run]] = set()
        try:
            with interrupts_deferred() as interrupt:
                with interrupts_blocked():  # Workers start here.
                    compiling = {pool.submit(_warm, names): names for names in kinds.values()}
                while compiling or waiting:
                    unfinished: list[Future[Any]] = [*compiling, *waiting]
                    finished, _ = wait(unfinished, timeout=0.1, return_when="FIRST_COMPLETED")
                    report(counter.value, prepared.samples)
                    interrupt()
                    for ready in compiling.keys() & finished:
                        ready.result()
                        names = compiling.pop(ready)
                        with interrupts_blocked():
                            waiting |= {pool.submit(_work, name, seed) for name, seed in tasks if name in names}
                    for future in waiting & finished:
                        waiting.remove(future)
                        keep(future.result())
        except BaseException:
            stop.set()
            # Nothing is cancelled: where a worker ends while it compiles, the pool fails all its futures, and would not
            # survive a cancelled one. The rest of the work ends at its first look at ``stop``.
            with interrupts_deferred():
                for future in waiting:
                    if future.exception() is None:  # It has already finished.
                        keep(future.result())
            raise


_worker: dict[str, Any] = {}


def _start_worker(
    counter: Any, stop: Any, settings: dict[str, RunSettings], data: dict[int, DataSet], trace_folder: Path | None
) -> None:
    _worker.update(counter=counter, stop=stop, settings=settings, data=data, trace_folder=trace_folder)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker with its parent: if that was killed, the worker would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _warm(names: list[str]) -> None:
    """Compile the kernels of these systems. It takes a minute at first, so this process ends if the run is stopped."""
    ready = threading.Event()

    def give_up() -> None:
        while not ready.wait(0.1):
            if _worker["stop"].is_set():
                os._exit(1)

    threading.Thread(target=give_up, daemon=True).start()
    try:
        warm(_worker["settings"][name] for name in names)
    finally:
        ready.set()


def _work(name: str, seed: int) -> Run:
    def check() -> None:
        if _worker["stop"].is_set():
            raise Cancelled

    def count(samples: int) -> None:
        check()
        with _worker["counter"].get_lock():
            _worker["counter"].value += samples

    check()
    return _attempt(_worker["settings"][name], name, seed, _worker["data"][seed], _worker["trace_folder"], count)


def _attempt(
    settings: RunSettings,
    name: str,
    seed: int,
    data: DataSet,
    trace_folder: Path | None,
    count: Callable[[int], None],
    shards: int = 1,
    stopping: Callable[[], bool] = lambda: False,
) -> Run:
    try:
        return execute(settings, name, seed, data, trace_folder, count, shards, stopping)
    except (ConfigError, DataError, Cancelled):
        raise
    except Exception as error:
        what = str(error) if isinstance(error, InvariantError | RunError) else with_place(error)
        stopped = RunError(f"{name}, seed {seed}: {what}")
        stopped.run = (name, seed)
        raise stopped from error
