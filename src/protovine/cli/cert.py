"""`protovine cert`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from protovine.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime


@click.group()
def cert() -> None:
    """Make and revoke the certificates of a swarm (docs/security.md)."""
    from importlib.util import find_spec

    if find_spec("cryptography") is None:
        raise ConfigError("certificates need the package cryptography: pip install 'protovine[net]'")


@cert.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--swarm", required=True, help="Name of the swarm: 1 to 63 of a-z, 0-9 and -.")
@click.option("--days", default=3650, show_default=True, help="Lifetime of the authority, at most 7300.")
def cert_init(folder: Path, swarm: str, days: int) -> None:
    """Make a swarm's authority in a new folder. Only the holder of its key can make members."""
    from protovine.net.security import create_authority

    certificate = create_authority(folder, swarm, now=_now(), days=days)
    click.echo(f"{folder}: authority of swarm {swarm} until {certificate.not_valid_after_utc:%Y-%m-%d}")
    click.echo(f"keep {folder / 'authority.key'} secret; no node needs it")


@cert.command("issue")
@click.argument("name")
@click.option("--authority", required=True, type=click.Path(path_type=Path), help="Folder that `cert init` made.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New folder for the member.")
@click.option(
    "--address", "addresses", multiple=True, metavar="IP|DNS", help="Address that peers dial; repeat for several."
)
@click.option("--days", type=int, default=None, help="Lifetime. [default: 365, or as long as the authority's]")
@click.option(
    "--id", "member_id", type=int, default=None, help="Number of the member. [default: the old one, or the lowest free]"
)
@click.option("--renew", is_flag=True, help="Issue another certificate although the last one is still valid.")
def cert_issue(
    name: str,
    authority: Path,
    out: Path,
    addresses: tuple[str, ...],
    days: int | None,
    member_id: int | None,
    renew: bool,
) -> None:
    """Make a member's key and certificate in a new folder."""
    from protovine.net.security import describe, issue

    now = _now()
    member = issue(authority, name, out, now=now, addresses=addresses, days=days, id=member_id, renew=renew)
    until = describe(out / "member.pem", now)["not_after"][:10]
    click.echo(f"{out}: {member.name}, id {member.id} of swarm {member.swarm}, until {until}")


@cert.command("show")
@click.argument("file", type=click.Path(path_type=Path))
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
            value = " ".join(value)
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        click.echo(f"{name.replace('_', ' '):<10} {value}")


@cert.command("revoke")
@click.argument("who", metavar="NAME|SERIAL")
@click.option("--authority", required=True, type=click.Path(path_type=Path), help="Folder that `cert init` made.")
def cert_revoke(who: str, authority: Path) -> None:
    """Revoke all certificates of a member, or the one with this serial number."""
    from protovine.net.security import revoke

    for one in revoke(authority, who, now=_now()):
        click.echo(f"revoked {one.name}, id {one.id}, serial {one.serial}")
    click.echo(f"copy {authority / 'revoked.pem'} into every member's folder")


def _now() -> datetime:
    from datetime import UTC, datetime

    return datetime.now(UTC).replace(microsecond=0)
