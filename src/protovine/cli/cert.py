"""`protovine cert`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from protovine.cli.common import Commands, NamedPath, echo
from protovine.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime

    from protovine.net.security.authority import Issued


def _with_terms(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what a certificate is to be."""
    options = (
        click.option("--days", type=int, help="Lifetime. [default: 365, or as long as the authority's]"),
        click.option(
            "--id",
            "member_id",
            type=int,
            help="Number of the member. [default: the old one, or the lowest free from 1 on]",
        ),
        click.option("--renew", is_flag=True, help="Make another although the last one is still valid."),
        click.option("--operator", is_flag=True, help="For someone who asks for the status, and is no member."),
        click.option(
            "--may",
            multiple=True,
            type=click.Choice(["forget"]),
            help="What the operator may do besides: forget, to sign tombstones (`protovine state forget`).",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(cls=Commands, short_help="Make and revoke the certificates of a swarm.")
def cert() -> None:
    """Make and revoke the certificates of a swarm (docs/explanation/security.md)."""
    from importlib.util import find_spec

    if find_spec("cryptography") is None:
        raise ConfigError("certificates need the package cryptography: pip install 'protovine[net]'")


@cert.command("init")
@click.argument("folder", type=NamedPath())
@click.option("--swarm", required=True, help="Name of the swarm: 1 to 63 of a-z, 0-9 and -.")
@click.option("--days", default=3650, show_default=True, help="Lifetime of the authority, at most 7300.")
def cert_init(folder: Path, swarm: str, days: int) -> None:
    """Make a swarm's authority in a new folder. Only the holder of its key can make members."""
    from protovine.net.security import create_authority

    certificate = create_authority(folder, swarm, now=_now(), days=days)
    echo(f"{folder}: authority of swarm {swarm} until {certificate.not_valid_after_utc:%Y-%m-%d}")
    echo(f"keep {folder / 'authority.key'} secret; no node needs it")


@cert.command("issue")
@click.argument("name")
@click.option("--authority", required=True, type=NamedPath(), help="Folder that `cert init` made.")
@click.option("--out", required=True, type=NamedPath(), help="New folder for the member.")
@click.option(
    "--address", "addresses", multiple=True, metavar="IP|DNS", help="Address that peers dial; repeat for several."
)
@_with_terms
def cert_issue(
    name: str,
    authority: Path,
    out: Path,
    addresses: tuple[str, ...],
    days: int | None,
    member_id: int | None,
    renew: bool,
    operator: bool,
    may: tuple[str, ...],
) -> None:
    """Make a member's key and certificate in a new folder."""
    from protovine.net.security import issue

    options: dict[str, Any] = {"days": days, "id": member_id, "renew": renew, "operator": operator, "may": may}
    issue(authority, name, out, now=_now(), addresses=addresses, **options)
    _tell(out)


def _tell(out: Path) -> None:
    """Say whom the certificate in a folder belongs to."""
    from protovine.net.security import describe

    found = describe(out / "member.pem", _now())
    who = f"id {found['id']}" if "id" in found else "operator"
    if found.get("may"):
        who += f" who may {' '.join(found['may'])}"
    echo(f"{out}: {found['name']}, {who} of swarm {found['swarm']}, until {found['not_after'][:10]}")


@cert.command("request", short_help="On the member: make a key, and a request for a certificate.")
@click.argument("name")
@click.option("--out", required=True, type=NamedPath(), help="The member's folder; new, or with its key.")
@click.option(
    "--address", "addresses", multiple=True, metavar="IP|DNS", help="Address that peers dial; repeat for several."
)
def cert_request(name: str, out: Path, addresses: tuple[str, ...]) -> None:
    """On the member: make a key that never leaves it, and a request for a certificate.

    A folder that has a key already keeps it: so a certificate is renewed.
    """
    from protovine.net.security.requests import key_fingerprint, request

    made = request(out, name, addresses)
    echo(f"{out / 'request.pem'}: {name}, key {key_fingerprint(made.public_key())}")
    echo("take the request to the authority: protovine cert sign")


@cert.command("sign")
@click.argument("file", metavar="REQUEST.pem", type=NamedPath())
@click.option("--authority", required=True, type=NamedPath(), help="Folder that `cert init` made.")
@click.option("--out", required=True, type=NamedPath(), help="New folder for the answer.")
@_with_terms
def cert_sign(
    file: Path,
    authority: Path,
    out: Path,
    days: int | None,
    member_id: int | None,
    renew: bool,
    operator: bool,
    may: tuple[str, ...],
) -> None:
    """At the authority: sign a request. The answer has no secrets.

    Compare the key with what `cert request` said. Then copy the files of the answer into the member's folder.
    """
    from protovine.net.security.authority import sign
    from protovine.net.security.requests import key_fingerprint, read_request

    name, addresses, key = read_request(file)
    echo(f"{file}: {name}, key {key_fingerprint(key)}, addresses {' '.join(addresses) or 'none'}")
    sign(authority, file, out, now=_now(), days=days, id=member_id, renew=renew, operator=operator, may=may)
    _tell(out)


@cert.command("token", short_help="At the authority: make a token for one certificate.")
@click.argument("name")
@click.option("--authority", required=True, type=NamedPath(), help="Folder that `cert init` made.")
@click.option("--minutes", default=60, show_default=True, help="How long it can be used, at most 10080.")
@click.option(
    "--address", "addresses", multiple=True, metavar="IP|DNS", help="Address that peers dial; repeat for several."
)
@_with_terms
def cert_token(
    name: str,
    authority: Path,
    minutes: int,
    addresses: tuple[str, ...],
    days: int | None,
    member_id: int | None,
    renew: bool,
    operator: bool,
    may: tuple[str, ...],
) -> None:
    """At the authority: make a token with which one device gets one certificate over the network.

    The token alone goes to standard output. Who has it can become the member NAME, so pass it on as you would a
    password.
    """
    from protovine.net.security.tokens import create_token

    options: dict[str, Any] = {"days": days, "id": member_id, "renew": renew, "operator": operator, "may": may}
    token = create_token(authority, name, now=_now(), minutes=minutes, addresses=addresses, **options)
    echo(str(token))
    echo(f"for {name}, once, within {minutes} minutes, while `protovine cert serve` runs", err=True)


@cert.command("serve")
@click.option("--authority", required=True, type=NamedPath(), help="Folder that `cert init` made.")
@click.option("--listen", default="0.0.0.0:7448", show_default=True, metavar="HOST:PORT", help="Where devices ask.")
@click.option("--until-used", is_flag=True, help="End when no token can be used any more.")
def cert_serve(authority: Path, listen: str, until_used: bool) -> None:
    """At the authority: answer devices that have a token, until Ctrl-C."""
    import time

    from protovine.net.ops.enrolment import EnrolmentServer
    from protovine.net.ops.logs import set_up_logs
    from protovine.net.security.tokens import waiting_tokens

    set_up_logs("text")
    with EnrolmentServer(authority, listen, clock=_now) as server:
        names = ", ".join(name for name, _ in waiting_tokens(authority, _now())) or "none"
        echo(f"waiting at {server.address} for devices with a token; tokens that can be used: {names}")
        try:
            while not until_used or waiting_tokens(authority, _now()):
                time.sleep(0.5)
        except KeyboardInterrupt:
            echo("stopped")


@cert.command("enrol", short_help="On the device: make a key, and get its certificate by a token.")
@click.argument("token")
@click.option("--server", required=True, metavar="HOST:PORT", help="Where `cert serve` listens.")
@click.option("--out", required=True, type=NamedPath(), help="The member's folder; new, or with its key.")
def cert_enrol(token: str, server: str, out: Path) -> None:
    """On the device: make a key that never leaves it, and get its certificate with a TOKEN.

    With - the token is read from standard input. If an answer is lost, the same command gets it again.
    """
    import sys

    from protovine.net.ops.enrolment import enrol

    enrol(sys.stdin.readline() if token == "-" else token, server, out, now=_now())
    _tell(out)


@cert.command("list")
@click.option("--authority", required=True, type=NamedPath(), help="Folder that `cert init` made.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def cert_list(authority: Path, as_json: bool) -> None:
    """List every certificate that the authority issued."""
    from protovine.net.security.authority import issued

    now = _now()
    rows: list[dict[str, Any]] = [
        {
            "name": one.name,
            "id": one.id,
            "serial": one.serial,
            "until": one.not_after.isoformat(),
            "state": _state(one, now),
            "from": one.not_before.isoformat(),
            "may": list(one.may),
        }
        for one in issued(authority, now)
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        id = "operator" if row["id"] is None else row["id"]
        may = f"  may {' '.join(row['may'])}" if row["may"] else ""
        echo(f"{row['name']:<20} {id:>8}  {row['state']:<8} {str(row['until'])[:10]}  {row['serial']}{may}")


def _state(one: Issued, now: datetime) -> str:
    if one.revoked:
        return "revoked"
    return "ended" if not one.live(now) else "valid" if one.not_before <= now else "not yet"


@cert.command("show")
@click.argument("file", type=NamedPath())
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def cert_show(file: Path, as_json: bool) -> None:
    """Show a certificate or a revocation list."""
    from protovine.net.security import describe

    found = describe(file, _now())
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in found.items():
        if isinstance(value, dict):
            value = "".join(f"\n  {serial} on {date}" for serial, date in value.items()) or "none"
        elif isinstance(value, list):
            value = "".join(f"\n  {each}" for each in value) if name == "forgotten" else " ".join(value)
            value = value or "none"
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        echo(f"{name.replace('_', ' '):<10} {value}")


@cert.command("revoke", short_help="Revoke the certificates of a member, or one of them.")
@click.argument("who", metavar="NAME|SERIAL")
@click.option("--authority", required=True, type=NamedPath(), help="Folder that `cert init` made.")
def cert_revoke(who: str, authority: Path) -> None:
    """Revoke all certificates of a member, or the one with this serial number."""
    from protovine.net.security import revoke

    for one in revoke(authority, who, now=_now()):
        who = "operator" if one.id is None else f"id {one.id}"
        echo(f"revoked {one.name}, {who}, serial {one.serial}")
    echo(f"copy {authority / 'revoked.pem'} into the folder of a running member: the others hear of it")


def _now() -> datetime:
    from datetime import UTC, datetime

    return datetime.now(UTC).replace(microsecond=0)
