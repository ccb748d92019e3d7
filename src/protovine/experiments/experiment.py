"""An experiment from its settings to its report."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from protovine.errors import ConfigError, RunError, check_range
from protovine.experiments.define.config import Experiment
from protovine.experiments.define.prepare import prepare
from protovine.experiments.report.pages import render_report
from protovine.experiments.run.folder import RunFolder
from protovine.experiments.run.result import Result
from protovine.experiments.run.runner import run_prepared


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
        By default five systems on Phishing, as `protovine run` without arguments.
    out : path, optional
        A new folder for traces, ``result.json`` and ``report.html``. Nothing is written without it.
    jobs : int, optional
        Runs at a time. More than 1 run in processes of their own; a script must then be guarded by
        ``if __name__ == "__main__":``. By default as the experiment says, which is 1 unless set. The result does not
        depend on it.
    progress : callable (done, total), optional
        Called with the number of local samples that have arrived, and the number of all of them.

    Returns
    -------
    Result
        Partial if it was interrupted from the keyboard.

    Raises
    ------
    ConfigError, DataError
        Nothing was run and nothing was written.
    RunError
        A run stopped on a bug, or the result could not be written. The result folder, if any, holds the finished runs
        and names the failed one.

    Examples
    --------
    >>> import protovine
    >>> experiment = protovine.Experiment(presets=["paper-isolated"], data={"limit": 200}, seeds=1)
    >>> round(protovine.run(experiment).runs[0].metrics["accuracy"], 2)
    0.68
    """
    if not isinstance(experiment, Experiment | None):
        raise ConfigError(f"experiment must be a protovine.Experiment, got {experiment!r}")
    if jobs is not None:
        check_range("jobs", jobs, 1, 1024)
    prepared = prepare(experiment or Experiment())
    folder = RunFolder.create(Path(out), prepared) if out is not None else None
    result = run_prepared(prepared, jobs=jobs, trace_folder=folder.traces if folder else None, progress=progress)
    if folder:
        result = folder.finish(result, render_report)
    if result.error:
        again = f"; to see it again: {folder.replay_command(*result.failed)}" if folder and result.failed else ""
        raise RunError(f"{result.error}{again}")
    return result
