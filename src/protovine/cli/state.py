"""`protovine state`."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from protovine.cli.common import Commands, NamedPath, echo

if TYPE_CHECKING:
    from protovine.net.backup import SavedState

_SAVED = NamedPath(exists=True)


@click.group(cls=Commands, short_help="Show, copy, carry over and forget what a node has learnt.")
def state() -> None:
    """Show, copy, carry over and forget what a node has learnt (docs/how-to/node.md)."""


@state.command("show", short_help="Describe the state in a folder or an exported file.")
@click.argument("path", type=_SAVED)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def state_show(path: Path, as_json: bool) -> None:
    """Describe the snapshot in PATH: the state folder of a node, which may run, or an exported file."""
    from protovine.net.backup import read_state

    _warn(path)
    found = read_state(path)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(found), "path": str(found.path)}))
        return
    _tell(found)


@state.command("export", short_help="Copy the newest snapshot of a folder to a new file.")
@click.argument("folder", type=_SAVED)
@click.argument("file", type=NamedPath())
def state_export(folder: Path, file: Path) -> None:
    """Copy the newest snapshot in FOLDER to a new FILE: a backup, or the seed of a new node."""
    from protovine.net.backup import export_state

    _warn(folder)
    _tell(export_state(folder, file))


@state.command("import", short_help="Put a snapshot into a folder that has none.")
@click.argument("path", type=_SAVED)
@click.argument("folder", type=NamedPath(file_okay=False))
@click.option(
    "--seed", is_flag=True, help="Keep only what was learnt, for a node of another name with the same schema."
)
def state_import(path: Path, folder: Path, seed: bool) -> None:
    """Put the snapshot in PATH into FOLDER, which has none, so that a node starts from it.

    Without --seed it is a backup: only the member that it was saved for starts from it.
    """
    from protovine.net.backup import import_state

    _warn(path)
    _tell(import_state(path, folder, seed=seed))


@state.command("forget", short_help="Forget what a member shared, and say what remains.")
@click.argument("member")
@click.option("--state", "folder", type=_SAVED, help="State folder of a node that does not run.")
@click.option(
    "--node", "file", type=_SAVED, help="Its file of settings, which names its folder and its tape (node.tape)."
)
@click.option(
    "--authority",
    type=NamedPath(),
    help="Folder that `cert init` made: sign a tombstone, by which all members forget.",
)
@click.option(
    "--operator",
    type=NamedPath(),
    help="Folder of an operator who may forget: sign a tombstone with its certificate, and give it to the swarm.",
)
@click.option("--connect", multiple=True, metavar="ENDPOINT", help="With --operator: a member to dial; repeatable.")
@click.option("--id", "member_id", type=int, help="With --operator: number of MEMBER, if nobody there has met it.")
@click.option(
    "--since", metavar="TIME", help="Forget what was measured from this time on, as 2026-03-01T12:00. [default: all]"
)
@click.option("--until", metavar="TIME", help="Forget what was measured until this time. [default: now]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def state_forget(
    member: str,
    folder: Path | None,
    file: Path | None,
    authority: Path | None,
    operator: Path | None,
    connect: tuple[str, ...],
    member_id: int | None,
    since: str | None,
    until: str | None,
    as_json: bool,
) -> None:
    """Forget what MEMBER (name or id) shared, and say what remains (docs/how-to/operations.md).

    With --state or --node in the state of one node: exactly, if the node recorded tapes, else approximately.
    With --authority, or --operator and --connect, in the whole swarm, by a signed tombstone. Times without a zone are
    in UTC.
    """
    from protovine.errors import ConfigError

    if folder is not None and file is not None:
        raise ConfigError("--state and --node exclude each other: the node's file names its folder")
    if operator is not None and (folder or file or authority):
        raise ConfigError("--operator is for the running swarm alone: without --state, --node and --authority")
    if bool(connect) is not (operator is not None):
        raise ConfigError("--operator and --connect belong together")
    if member_id is not None and operator is None:
        raise ConfigError("--id belongs to --operator")
    if folder is None and file is None and authority is None and operator is None:
        raise ConfigError(
            "name a state folder (--state), a node's file (--node), the authority (--authority) or an operator "
            "(--operator)"
        )
    now = datetime.now(UTC)
    since_ns = 0 if since is None else _time_ns("--since", since)
    if since_ns > _ns(now):
        raise ConfigError(f"--since must not lie in the future, got {since!r}")
    until_ns = _ns(now) if until is None else _time_ns("--until", until)
    if until_ns < since_ns:
        raise ConfigError("--until must not be before --since")
    if until_ns > _ns(now):
        raise ConfigError("--until lies in the future: what is not shared yet is not forgotten")
    if operator is not None:
        _forget_there(member, operator, connect, member_id, (since_ns, until_ns), _ns(now), as_json)
        return
    answer: dict[str, Any] = {}
    id = None
    if authority is not None:
        from protovine.net.security.burial import bury, known_member

        id = known_member(authority, member, now=now).id
    if folder is not None or file is not None:
        answer |= _forget_here(member, folder, file, (since_ns, until_ns), id, as_json)
    if authority is not None:
        stone = bury(authority, member, now=now, since_ns=since_ns, until_ns=until_ns)
        answer["tombstone"] = {"member": stone.member.uri, "since_ns": since_ns, "until_ns": until_ns}
        if not as_json:
            echo(f"signed: all members forget what {member} shared {_range(since_ns, until_ns)}")
            echo(f"copy {authority / 'revoked.pem'} into the folder of a running member: the others hear of it")
    if as_json:
        click.echo(json.dumps(answer))


def _forget_there(
    member: str,
    operator: Path,
    connect: tuple[str, ...],
    id: int | None,
    span: tuple[int, int],
    now_ns: int,
    as_json: bool,
) -> None:
    """Give a tombstone to a running swarm; exit code 1 if no member has taken it up."""
    import sys

    from protovine.cli.node import client_of
    from protovine.net.burying import bury_in_swarm

    _, dialled, denied = client_of(connect, operator, None)
    made = bury_in_swarm(dialled, member, *span, now_ns, id, denied=denied)
    if as_json:
        uri = made.stone.member.uri
        click.echo(json.dumps({"tombstone": uri, "by": made.by, "took": made.took, "waiting": made.waiting}))
    else:
        echo(f"signed by {made.by}: all members forget what {member} shared {_range(*span)}")
        if made.took:
            echo(f"forgotten by {', '.join(made.took)}; others hear of it from them")
        if made.waiting:
            echo(f"NOT YET by {', '.join(made.waiting)}: their logs say why if they refuse it", err=True)
    if not made.took:
        sys.exit(1)


def _forget_here(
    member: str, folder: Path | None, file: Path | None, span: tuple[int, int], id: int | None, as_json: bool
) -> dict[str, Any]:
    """Forget in a state folder; the report, which is printed unless it will be as JSON."""
    from protovine.errors import ConfigError
    from protovine.net.config import NodeSettings
    from protovine.net.forget import forget_in_state, lines

    settings = None
    if file is not None:
        settings = NodeSettings.read(file, {})
        folder = settings.state_folder(settings.member())
        if folder is None:
            raise ConfigError(f"{file} keeps no state (node.state none): nothing is saved that could be forgotten")
    assert folder is not None
    _warn(folder)
    report = forget_in_state(folder, member, *span, settings, id)
    if not as_json:
        echo(f"{report.folder}: {report.member}, {_range(*span)}")
        for line in lines(report):
            echo(f"  {line}")
    return {**dataclasses.asdict(report), "folder": str(report.folder), "files": [str(path) for path in report.files]}


def _warn(path: Path) -> None:
    """Say on standard error if an older snapshot is taken, because the newest one is damaged."""
    from protovine.net.backup import passed_over

    note = passed_over(path)
    if note:
        echo(f"warning: {note}", err=True)


def _range(since_ns: int, until_ns: int) -> str:
    from protovine.net.clock import shown_range

    return shown_range(since_ns, until_ns)


def _time_ns(option: str, text: str) -> int:
    from protovine.errors import ConfigError

    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} must be a time as 2026-03-01 or 2026-03-01T12:00, got {text!r}") from None
    found = _ns(time if time.tzinfo is not None else time.replace(tzinfo=UTC))
    if found < 0:
        raise ConfigError(f"{option} must not be before 1970, got {text!r}")
    return found


def _ns(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000) * 1000


def _tell(found: SavedState) -> None:
    from protovine.net.clock import shown, shown_range

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
    for member, since_ns, until_ns in found.forgotten:
        lines[f"forgotten of member {member}"] = shown_range(since_ns, until_ns)
    echo(f"{found.path}")
    for name, value in lines.items():
        echo(f"  {name}: {value}")
