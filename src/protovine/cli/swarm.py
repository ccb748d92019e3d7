"""`protovine swarm`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from protovine.cli.common import NamedPath, console_on, echo, status_rows
from protovine.cli.outcome import new_folder, show
from protovine.cli.run import tables_of, with_flags
from protovine.terminal import Column, tables


@click.command()
@click.argument("experiment", required=False, type=NamedPath(), metavar="[EXPERIMENT.toml]")
@click.option("--preset", multiple=True, metavar="NAME", help="System to run, one at a time. [default: default]")
@with_flags(without=("--byzantine", "--labelled", "--label-delay", "--seeds"))
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting, such as swarm.rate_hz=20.")
@click.option("--plain", is_flag=True, help="Plain TCP without encryption; any process can send in any member's name.")
@click.option("--out", type=NamedPath(), default=None, help="New folder for trace and report.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def swarm(
    experiment: Path | None,
    preset: tuple[str, ...],
    assignments: tuple[str, ...],
    plain: bool,
    out: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Run a swarm of real processes on this machine.

    Every node is a process that samples in real time and gossips over loopback, with mutual TLS and new certificates.
    The run folder is the same as that of `protovine run`; bytes are also counted at the sockets.
    """
    from protovine.experiments.define.config import Experiment
    from protovine.experiments.define.prepare import prepare
    from protovine.experiments.live.swarm import check_live, run_live
    from protovine.experiments.report.pages import render_report
    from protovine.experiments.run.folder import RunFolder

    tables = tables_of(experiment, assignments, flags)
    if preset or "presets" not in tables:
        tables = {**tables, "presets": list(preset or ["default"])}
    tables = {**tables, "seeds": 1}
    chosen = Experiment(**tables)
    if len(chosen.presets) > 1:
        raise click.UsageError(f"one preset at a time, got {', '.join(chosen.presets)}: choose one with --preset")
    prepared = prepare(chosen)
    check_live(prepared)
    folder = RunFolder.create(out or new_folder(prepared.data[chosen.seed].name), prepared)
    if plain:
        echo("protovine: plain TCP without encryption; any process can send in any member's name", err=True)
    with _table() as watch:
        result = run_live(prepared, secure=not plain, trace_folder=folder.traces, watch=watch)
    show(folder.finish(result, render_report), folder, as_json)


@contextmanager
def _table() -> Iterator[Any]:
    """A live table of the members on a terminal; nothing in a pipe."""
    console = console_on()
    if not console.is_terminal:
        yield lambda swarm: None
        return
    from rich.live import Live

    with Live(console=console, transient=True, refresh_per_second=4) as live:
        yield lambda swarm: live.update(_status_table([member.status() for member in swarm.members], console.width))


def _status_table(found: list[dict[str, Any] | None], width: int) -> Any:
    from rich.console import Group

    name, *others = zip(*status_rows(found), strict=True)
    columns = [Column(name[0], name[1:], "left")]
    columns += [Column(head, cells, wraps=head == "peers") for head, *cells in others]
    return Group(*tables(columns, width))
