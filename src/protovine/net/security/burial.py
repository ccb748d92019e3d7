"""Tombstones that the authority signs (`protovine state forget --authority`)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from protovine.errors import ConfigError, suggest
from protovine.net.security.authority import Authority, Buried, opened_authority, publish
from protovine.net.security.identity import MemberName, Tombstone
from protovine.net.security.tombstones import TOMBSTONES_MAX


def bury(authority: Path, who: str, *, now: datetime, since_ns: int = 0, until_ns: int | None = None) -> Tombstone:
    """Sign a tombstone: all members are to forget what a member shared with event times in a range.

    Parameters
    ----------
    authority : Path
        The authority's folder.
    who : str
        Name of a member, also of one whose certificate was revoked.
    now : datetime
        With a time zone.
    since_ns, until_ns : int
        First and last event time, in nanoseconds since 1970; by default all up to now.

    Raises
    ------
    ConfigError
        There is no such member, the range is empty or ends in the future, or a file cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> from protovine.net import create_authority, issue
    >>> now = datetime.fromisoformat("2026-01-01T00:00Z")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     authority = Path(folder, "authority")
    ...     _ = create_authority(authority, "barn", now=now)
    ...     _ = issue(authority, "node-1", Path(folder, "node-1"), now=now)
    ...     bury(authority, "node-1", now=now, until_ns=10**18)
    Tombstone(member=MemberName(swarm='barn', name='node-1', id=1), since_ns=0, until_ns=1000000000000000000)
    """
    now_ns = int(now.timestamp() * 1_000_000) * 1000
    until_ns = now_ns if until_ns is None else until_ns
    if not 0 <= since_ns <= until_ns:
        raise ConfigError("the time until which to forget must not be before that since which to forget")
    if until_ns > now_ns:
        raise ConfigError("the time until which to forget lies in the future: what is not shared yet is not forgotten")
    with opened_authority(authority, now) as opened:
        member = _known_member(opened, who)
        if len(opened.index.tombstones) >= TOMBSTONES_MAX:
            raise ConfigError(f"the authority has {TOMBSTONES_MAX} tombstones, and can have no more")
        opened.index.tombstones.append(Buried(who, member.id, since_ns, until_ns, now))
        publish(opened, now)
    return Tombstone(member, since_ns, until_ns)


def known_member(authority: Path, who: str, *, now: datetime) -> MemberName:
    """A member that the authority ever issued a certificate to; `ConfigError` if there is none of this name."""
    with opened_authority(authority, now) as opened:
        return _known_member(opened, who)


def _known_member(opened: Authority, who: str) -> MemberName:
    members = {one.name: one.id for one in opened.index.issued if one.id is not None}
    if who not in members:
        hint = suggest(who, members) if members else " (it has issued none)"
        raise ConfigError(f"the authority knows no member {who!r}{hint}")
    return MemberName(opened.index.swarm, who, members[who])
