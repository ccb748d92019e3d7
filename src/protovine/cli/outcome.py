"""Where a run goes, and what a command says of it at its end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from protovine.cli.common import console_on, echo

if TYPE_CHECKING:
    from protovine.experiments.run.folder import RunFolder
    from protovine.experiments.run.result import Result


def new_folder(name: str) -> Path:
    """``runs/DATA-DATE-TIME``, with a number behind it if that exists."""
    from datetime import datetime

    plain = "".join(each if each.isprintable() else "_" for each in Path(name).stem)
    stem = f"{plain}-{datetime.now():%Y%m%d-%H%M%S}"
    return next(
        path
        for number in range(1, 10_000)
        if not (path := Path("runs") / (stem if number == 1 else f"{stem}-{number}")).exists()
    )


def show(result: Result, folder: RunFolder, as_json: bool) -> None:
    """Print a result, or what went wrong, and exit accordingly."""
    from protovine.experiments.report.tables import print_result

    if as_json:
        click.echo(json.dumps(result.to_json(), ensure_ascii=False, allow_nan=False))
    else:
        if result.runs:
            print_result(result, console_on(stderr=False))
        for note in result.notes:
            echo(f"note: {note}")
    if (folder.path / "report.html").exists():
        echo(f"{folder.path}/report.html has the figures", err=as_json)
    if result.status == "partial" and result.error is None:
        if any(run.stopped for run in result.runs):
            what = f"stopped at {result.runs[0].metrics['virtual_s']:.1f} s of virtual time; all numbers are up to then"
        else:
            what = f"interrupted, finished runs: {len(result.runs)}"
        echo(f"protovine: {what}; {folder.path} is marked partial", err=True)
        sys.exit(130)
    if result.error:
        echo(f"protovine: {result.error}", err=True)
        if result.failed:
            echo(f"To see it again: {folder.replay_command(*result.failed)}", err=True)
        sys.exit(1)
