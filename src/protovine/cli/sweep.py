"""`protovine sweep` and `protovine report`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from protovine.cli.common import NamedPath, console_on, echo, processors, progress

FAILURES_SHOWN, NOTES_SHOWN = 5, 20


@click.command(short_help="Run an experiment over grids and lists of settings.")
@click.argument("sweep", type=NamedPath(), metavar="SWEEP.toml")
@click.option("--out", type=NamedPath(), default=None, help="Folder of the results, new or to resume.")
@click.option("--engine", default="local", show_default=True, help="local: processes here. ray: a Ray cluster.")
@click.option("--address", default=None, help="Address of a running Ray cluster, or auto. [default: start one here]")
@click.option("--jobs", type=int, default=None, help="Runs at a time. [default: number of processors]")
@click.option("--retry-failed", is_flag=True, help="Also repeat failed runs.")
@click.option("--dry-run", is_flag=True, help="Check everything and print the number of runs, but run nothing.")
def sweep(
    sweep: Path,
    out: Path | None,
    engine: str,
    address: str | None,
    jobs: int | None,
    retry_failed: bool,
    dry_run: bool,
) -> None:
    """Run an experiment over grids and lists of settings, with every seed.

    Every finished run is saved immediately. To resume an interrupted sweep, repeat the command; the sweep may have more
    points or seeds then. See docs/how-to/sweeps.md.
    """
    from protovine.errors import ConfigError, RunError
    from protovine.experiments.sweep.database import FILE, load_results
    from protovine.experiments.sweep.grid import Sweep, plan
    from protovine.experiments.sweep.sweeper import run_plan

    planned = plan(Sweep.read(sweep))
    points, seeds = len(planned.sweep.points), len(planned.sweep.seeds)
    size = f"{_counted(points, 'point')}, {_counted(seeds, 'seed')}, {_counted(len(planned.tasks), 'run')}"
    shared = points * seeds - len(planned.tasks)
    if shared:
        size += f" ({shared:,} more have the settings of another)"
    if dry_run:
        echo(size)
        _show_notes(planned.notes)
        if out is not None and (out / FILE).exists():
            there = set(load_results(out)["run"]) & {task.key for task in planned.tasks}
            echo(f"{out} has {_counted(len(there), 'run')} of them")
        return
    if out is None:
        raise ConfigError("the results need a folder: --out DIR")
    try:
        with progress(console_on(), "runs") as bar:
            swept = run_plan(
                planned,
                out,
                engine=engine,
                address=address,
                jobs=processors() if jobs is None else jobs,
                retry_failed=retry_failed,
                progress=bar,
            )
    except RunError as full:
        echo(f"protovine: {full}; give the same again to go on", err=True)
        sys.exit(1)
    echo(f"{size}; {swept.before:,} were there before")
    _show_notes(swept.notes)
    if swept.done:
        echo(f"{_counted(swept.done, 'run')} in {swept.wall_s:.1f} s: {swept.rate_hz:.2f} per second")
    for point, seed, error in swept.failures[:FAILURES_SHOWN]:
        echo(f"protovine: {point}, seed {seed}: {error}", err=True)
    if len(swept.failures) > FAILURES_SHOWN:
        echo(f"protovine: and {len(swept.failures) - FAILURES_SHOWN:,} more runs that failed", err=True)
    if swept.interrupted:
        have = swept.before + swept.done
        echo(f"protovine: interrupted, {out} has {have:,} of {swept.runs:,} runs; give the same again", err=True)
        sys.exit(130)
    echo(f"{out}/{FILE} has the results; protovine report {out} draws them")
    if swept.failures:
        echo(f"protovine: {_counted(len(swept.failures), 'run')} failed; --retry-failed does them again", err=True)
        sys.exit(1)


@click.command(short_help="Write tables, figures and an HTML page of a sweep.")
@click.argument("folder", type=NamedPath(), metavar="DIR")
@click.option("--metric", default="f1", show_default=True, help="Metric to compare (docs/reference/metrics.md).")
@click.option("--base", default=None, metavar="PRESET", help="Preset to compare with. [default: the first]")
def report(folder: Path, metric: str, base: str | None) -> None:
    """Write tables, figures and an HTML page of a sweep, even while it runs.

    DIR is a folder that `protovine sweep` made.
    """
    from protovine.experiments.sweep.report import write_report

    for path in write_report(folder, metric, base):
        echo(path)


def _show_notes(notes: tuple[str, ...]) -> None:
    for note in notes[:NOTES_SHOWN]:
        echo(f"note: {note}")
    if len(notes) > NOTES_SHOWN:
        echo(f"note: and {len(notes) - NOTES_SHOWN:,} more notes")


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
