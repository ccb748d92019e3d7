"""`protovine node` and `protovine status`."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from protovine.cli.common import NamedPath, echo, status_rows

if TYPE_CHECKING:
    from protovine.net.transport import Endpoints

# Options that name something of the settings, besides those of one value.
_LISTS = ("listen", "connect", "source", "sink")
_LISTEN_HELP = "Where to listen, such as tls/0.0.0.0:7447; repeat for several."
_CONNECT_HELP = "Another member to dial, such as tls/10.0.0.7:7447; repeat for several."


@click.command()
@click.argument("file", required=False, type=NamedPath(), metavar="[NODE.toml]")
@click.option("--preset", default=None, metavar="NAME", help="System to run. [default: default]")
@click.option("--schema", default=None, metavar="FILE", help="Features and classes (`protovine data info --json`).")
@click.option("--listen", multiple=True, metavar="ENDPOINT", help=_LISTEN_HELP)
@click.option("--connect", multiple=True, metavar="ENDPOINT", help=_CONNECT_HELP)
@click.option("--certificates", default=None, metavar="FOLDER", help="Folder that `protovine cert issue` made.")
@click.option(
    "--plain",
    default=None,
    metavar="SWARM/NAME/ID",
    help="No certificates: plain TCP without encryption; any process can send in any member's name.",
)
@click.option("--state", default=None, metavar="FOLDER", help="Folder for snapshots; none: keep nothing.")
@click.option("--fresh", is_flag=True, help="Set the saved state aside and begin with nothing.")
@click.option(
    "--source",
    default=None,
    metavar="KIND[:PATH]",
    help="stdin, file:PATH, csv:PATH, own:MODULE:CLASS; other keys by --set source.KEY=VALUE. [default: none]",
)
@click.option(
    "--sink", default=None, metavar="KIND[:PATH]", help="stdout, file:PATH or own:MODULE:CLASS. [default: none]"
)
@click.option("--metrics", default=None, metavar="HOST:PORT", help="Prometheus metrics and health over HTTP.")
@click.option("--log-level", default=None, help="debug, info, warning or error. [default: info]")
@click.option("--log-format", default=None, help="auto, text or json. [default: auto]")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any key, such as node.snapshot_s=10.")
@click.option(
    "--check",
    is_flag=True,
    help="Report what a start would refuse, in settings and files, and what looks wrong; connect and write nothing.",
)
def node(file: Path | None, assignments: tuple[str, ...], check: bool, fresh: bool, **flags: Any) -> None:
    """Run one member of a swarm on a real network.

    Settings are resolved as preset < NODE.toml < --set < options; docs/reference/settings.md lists all keys. The node
    ends with its source, unless it has no source or node.stay is set. The exit code is 1 if messages came and not
    one could be used. On SIGTERM and Ctrl-C it saves a snapshot and leaves; on SIGHUP it reads the file and the
    revocation list again.
    """
    from protovine.net.config import NodeSettings
    from protovine.net.service import prepare, run_member

    settings = NodeSettings.read(file, _tables(assignments, flags))
    if check:
        from protovine.net.doctor import examine_here

        prepared = prepare(settings, fresh)
        member, schema = prepared.plan.member, prepared.schema
        words = f"{len(schema.features)} features and {len(schema.classes)} classes"
        echo(f"{member.name}, number {member.id} of swarm {member.swarm}: {words}")
        for found in examine_here(settings, prepared):
            if found.state != "ok":
                echo(f"{found.state} {found.text}")
        return
    if not run_member(settings, lambda: NodeSettings.read(file, _tables(assignments, flags)), file, fresh):
        echo("protovine: not one message of the source could be used; the log says why", err=True)
        sys.exit(1)


def _tables(assignments: tuple[str, ...], flags: dict[str, Any]) -> dict[str, Any]:
    """The options as tables of settings."""
    from protovine.errors import ConfigError
    from protovine.system import assignment, merged_tables

    tables: dict[str, Any] = {}
    for text in assignments:
        tables = merged_tables(tables, assignment(text))
    over: dict[str, Any] = {"node": {}, "network": {}}
    for key in ("preset", "state", "metrics", "log_level", "log_format"):
        if flags[key] is not None:
            over["node"][key] = flags[key]
    for key in ("listen", "connect"):
        if flags[key]:
            over["network"][key] = list(flags[key])
    if flags["certificates"] is not None:
        over["network"]["certificates"] = flags["certificates"]
    if flags["plain"] is not None:
        parts = flags["plain"].split("/")
        if len(parts) != 3 or not parts[2].isdecimal():
            raise ConfigError(f"--plain takes SWARM/NAME/ID, such as barn/gate-1/0, got '{flags['plain']}'")
        over["network"] |= {"plain": True, "swarm": parts[0], "name": parts[1], "id": int(parts[2])}
    if flags["schema"] is not None:
        over["schema"] = flags["schema"]
    for key in ("source", "sink"):
        if flags[key] is not None:
            kind, _, path = flags[key].partition(":")
            over[key] = {"kind": kind, **({"code" if kind == "own" else "path": path} if path else {})}
    return merged_tables(tables, {key: value for key, value in over.items() if value != {}})


@click.command(short_help="Check everything that a node needs; nothing is written.")
@click.argument("file", type=NamedPath(), metavar="NODE.toml")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any key, as for `protovine node`.")
@click.option("--timeout", default=5.0, show_default=True, help="Seconds to wait for each answer.")
def doctor(file: Path, assignments: tuple[str, ...], timeout: float) -> None:
    """Check everything that a node needs, also by dialling its peers and brokers; nothing is written.

    The exit code is 1 if something that is dialled does not answer as it should, and 2 if the start would refuse.
    """
    from protovine.errors import check_range
    from protovine.net.config import NodeSettings
    from protovine.net.doctor import examine

    check_range("--timeout", timeout, 0.1, 600)
    flags = dict.fromkeys(("preset", "state", "metrics", "log_level", "log_format", "certificates", "plain", "schema"))
    settings = NodeSettings.read(file, _tables(assignments, {**flags, **dict.fromkeys(_LISTS)}))
    failed = False
    for found in examine(settings, timeout):
        echo(f"{found.state:<4} {found.text}")
        failed = failed or found.state == "fail"
    if failed:
        sys.exit(1)


@click.command(short_help="List the members of a running swarm and their state.")
@click.option("--connect", multiple=True, required=True, metavar="ENDPOINT", help=_CONNECT_HELP)
@click.option("--certificates", type=NamedPath(), metavar="FOLDER", help="Folder of a member or an operator.")
@click.option("--plain", default=None, metavar="SWARM", help="No certificates: the name of the swarm.")
@click.option("--timeout", default=3.0, show_default=True, help="Seconds to wait for answers.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def status(
    connect: tuple[str, ...], certificates: Path | None, plain: str | None, timeout: float, as_json: bool
) -> None:
    """List the members of a running swarm, their state, and the age of each member's views of the others."""
    from protovine.errors import ConfigError, check_range
    from protovine.net.asking import ask_proved
    from protovine.net.ops.probe import ProbeError, dial

    check_range("--timeout", timeout, 0.1, 600)
    swarm, dialled, denied = client_of(connect, certificates, plain)
    answers, proved = dict[int, bytes](), frozenset[int]()
    with contextlib.suppress(ConfigError):
        answers, proved = ask_proved(swarm, dialled, timeout, denied)
    found = [json.loads(answer) for answer in answers.values()]
    if certificates is not None:
        found = [status | {"proved": id in proved} for id, status in zip(answers, found, strict=True)]
    if as_json:
        click.echo(json.dumps(found))
    elif found:
        echo(_table(status_rows(found)))
        _tell_silent(found)
        for hint in _hints(found):
            echo(hint, err=True)
    if not found:
        echo("protovine: no member answered", err=True)
        for endpoint in connect:
            try:
                there = dial(endpoint, certificates, timeout)
                echo(f"protovine: {there}, which gives no status to this certificate or swarm", err=True)
            except ProbeError as error:
                echo(f"protovine: {error}", err=True)
        sys.exit(1)


def _tell_silent(found: list[dict[str, Any]]) -> None:
    """Name the members that others know, and that gave no answer."""
    known = {peer["name"] for status in found for peer in status.get("peers", ()) if not peer.get("revoked")}
    silent = sorted(known - {status["name"] for status in found})
    if silent:
        echo(f"no answer from {', '.join(silent)}", err=True)


def _hints(found: list[dict[str, Any]]) -> list[str]:
    """What is wrong with members, and what to do."""
    hints = []
    unproved = sorted(status["name"] for status in found if not status.get("proved", True))
    if unproved:
        names = ", ".join(unproved)
        hints.append(
            f"not signed: {names}. It runs an earlier version, its certificate has ended, or another member answers "
            "in its name"
        )
    revoked = {peer["name"] for status in found for peer in status.get("peers", ()) if peer.get("revoked")}
    revoked |= {status["name"] for status in found if status.get("revoked")}
    if revoked:
        hints.append(
            f"revoked: {', '.join(sorted(revoked))}. If one should still take part, issue another certificate "
            "(protovine cert issue) and start it with that; if not, stop it"
        )
    schemas: dict[str, list[str]] = {}
    for status in found:
        if status.get("schema"):  # Older versions do not say it.
            schemas.setdefault(status["schema"], []).append(status["name"])
    if len(schemas) > 1:
        which = "; ".join(f"{' '.join(sorted(names))} {schema}" for schema, names in sorted(schemas.items()))
        hints.append(f"schemas differ, so these exchange nothing: {which}. Start all with the same schema")
    hints += [f"{status['name']}: {warning}" for status in found for warning in status.get("warnings", ())]
    return hints


def _table(rows: list[tuple[str, ...]]) -> str:
    """Rows as aligned columns, the first flush left; a node has no library for tables."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def client_of(
    endpoints: tuple[str, ...], certificates: Path | None, plain: str | None
) -> tuple[str, Endpoints, frozenset[str]]:
    """How a running swarm is asked: its name, whom to dial, and the common names of certificates to deny."""
    from datetime import UTC, datetime

    from protovine.errors import ConfigError
    from protovine.net.security.identity import common_name, load_client
    from protovine.net.transport import Endpoints

    if (certificates is None) == (plain is None):
        raise ConfigError("either --certificates or --plain is required")
    swarm, denied = plain or "", frozenset[str]()
    if certificates is not None:
        swarm, trust = load_client(certificates, datetime.now(UTC))
        denied = frozenset(map(common_name, trust.revoked))
    return swarm, Endpoints((), endpoints, "client", certificates), denied
