"""Run a sweep from plan to database, with any engine. It can be stopped and resumed at any time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError
from protovine.experiments.run.runner import versions
from protovine.experiments.sweep.database import Database
from protovine.experiments.sweep.engines import check_engine, results
from protovine.experiments.sweep.grid import Plan, Sweep, plan
from protovine.interrupts import interrupts_blocked
from protovine.system import warm


@dataclass(frozen=True)
class Swept:
    """A sweep's progress: all ``runs``, those finished ``before``, those ``done`` now, and all ``failures``.

    ``notes`` are what a reader of the results should know of the streams and systems.
    """

    runs: int
    before: int
    done: int
    wall_s: float
    failures: tuple[tuple[str, int, str], ...]
    interrupted: bool = False
    notes: tuple[str, ...] = ()

    @property
    def rate_hz(self) -> float:
        """Runs per second."""
        return self.done / self.wall_s if self.wall_s else 0.0


def run_sweep(
    sweep: Sweep,
    out: str | os.PathLike[str],
    *,
    engine: str = "local",
    address: str | None = None,
    jobs: int = 1,
    retry_failed: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Swept:
    """Execute all runs of a sweep that its folder does not have yet.

    Parameters
    ----------
    sweep : Sweep
        The sweep; to resume, the sweep of the folder or the same with more points or seeds.
    out : path
        A new folder, or that of a sweep to resume. Each run is saved as soon as it is finished.
    engine : "local" or "ray"
        Processes on this machine, or a Ray cluster. The results do not depend on it.
    address : str, optional
        Address of a Ray cluster; by default a local cluster is started for the sweep.
    jobs : int >= 1
        Runs at a time, each in its own process (then a script must be guarded by ``if __name__ == "__main__":``).
        Ignored for a cluster with an address.
    retry_failed : bool
        Execute failed runs again.
    progress : callable (done, total), optional
        Called with the number of runs executed so far, and the number to execute.

    Raises
    ------
    ConfigError, DataError
        Nothing was run. A run that fails raises nothing: its error is saved.
    RunError
        A finished run could not be saved, as on a full disk. All earlier ones are kept.

    Examples
    --------
    See `load_results`.
    """
    return run_plan(
        plan(sweep),
        Path(out),
        engine=engine,
        address=address,
        jobs=jobs,
        retry_failed=retry_failed,
        progress=progress,
    )


def run_plan(
    planned: Plan,
    folder: Path,
    *,
    engine: str = "local",
    address: str | None = None,
    jobs: int = 1,
    retry_failed: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Swept:
    """Like `run_sweep`, for a sweep that is planned already."""
    if not 1 <= jobs <= 1024:
        raise ConfigError(f"jobs must be between 1 and 1024, got {jobs}")
    check_engine(engine, address)
    report = progress or (lambda done, total: None)
    where = {"engine": engine, "address": address, "jobs": jobs}
    with Database.writing(
        folder, planned, provenance(where), datetime.now(UTC).isoformat(timespec="seconds")
    ) as database:
        finished_before = database.finished(failed=not retry_failed)
        tasks = [task for task in planned.tasks if task.key not in finished_before]
        done, interrupted, started = 0, False, time.perf_counter()
        if tasks:
            report(0, len(tasks))
            try:
                # Compile kernels once here, so that the workers do not all compile them at the same time.
                warm(task.settings for task in tasks)
                with closing(results(tasks, engine, min(jobs, len(tasks)), address)) as finished:  # type: ignore[type-var]
                    for each in finished:
                        with interrupts_blocked():  # A saved run is always counted.
                            database.save(each)
                            done += 1
                        report(done, len(tasks))
            except KeyboardInterrupt:
                interrupted = True
        wall_s = time.perf_counter() - started
        failures = tuple(database.failures())
    return Swept(
        len(planned.tasks), len(planned.tasks) - len(tasks), done, wall_s, failures, interrupted, planned.notes
    )


def provenance(where: dict[str, Any]) -> dict[str, Any]:
    """The command, the engine, all versions, and the commit of the code if it is in a git work tree."""
    return {"command": ["protovine" if i == 0 else word for i, word in enumerate(sys.argv)], **where} | {
        "commit": _commit(),
        "versions": versions(),
    }


def _commit() -> str | None:
    """The commit of protovine's own code, with ``+`` appended if it has changes; None without git."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # Fails if the repository is not protovine's.
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", str(here.parent)) else "")
    except (OSError, subprocess.SubprocessError):
        return None
