"""`protovine state`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from protovine.net.backup import SavedState

_SAVED = click.Path(path_type=Path, exists=True)


@click.group()
def state() -> None:
    """Show, copy and carry over what a node has learnt (docs/how-to/node.md)."""


@state.command("show")
@click.argument("path", type=_SAVED)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def state_show(path: Path, as_json: bool) -> None:
    """Describe the snapshot in PATH: the state folder of a node, which may run, or an exported file."""
    from protovine.net.backup import read_state

    found = read_state(path)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(found), "path": str(found.path)}))
        return
    _tell(found)


@state.command("export")
@click.argument("folder", type=_SAVED)
@click.argument("file", type=click.Path(path_type=Path))
def state_export(folder: Path, file: Path) -> None:
    """Copy the newest snapshot in FOLDER to a new FILE: a backup, or the seed of a new node."""
    from protovine.net.backup import export_state

    _tell(export_state(folder, file))


@state.command("import")
@click.argument("path", type=_SAVED)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--seed", is_flag=True, help="Keep only what was learnt, for a node of another name with the same schema."
)
def state_import(path: Path, folder: Path, seed: bool) -> None:
    """Put the snapshot in PATH into FOLDER, which has none, so that a node starts from it.

    Without --seed it is a backup: only the member that it was saved for starts from it.
    """
    from protovine.net.backup import import_state

    _tell(import_state(path, folder, seed=seed))


def _tell(found: SavedState) -> None:
    from protovine.net.clock import shown

    lines = {
        "member": found.member or "any (a seed)",
        "saved": shown(found.at_ns),
        "learner": found.learner,
        "exchange": found.exchange,
        "features": ", ".join(found.features) or "unknown",
        "classes": ", ".join(found.classes) or "unknown",
        "samples learnt": f"{found.samples_learnt:,}" if found.member else "those of another node",
        "samples that wait for a label": f"{found.awaiting:,}",
        "peers met": f"{len(found.peers)}",
        "size": f"{found.size_bytes / 1000:,.0f} kB",
    }
    click.echo(f"{found.path}")
    for name, value in lines.items():
        click.echo(f"  {name}: {value}")
