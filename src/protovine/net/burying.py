"""An operator gives a tombstone to a running swarm, and sees who has taken it up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError, RemoteProtocolError, suggest
from protovine.net.asking import ask_in
from protovine.net.operate import load_signer
from protovine.net.security.identity import MAY_FORGET, MemberName, Tombstone, Trust, load_trust, name_of
from protovine.net.security.orders import offer, read_tombstone, sign_tombstone
from protovine.net.transport import Endpoints, open_session
from protovine.net.zenoh_library import zenoh_module

# Members are asked this often whether they have taken it up.
_ASK_S = 0.5


@dataclass(frozen=True)
class Buried:
    """What came of a tombstone.

    Parameters
    ----------
    stone : Tombstone
    by : str
        Name of the operator.
    took, waiting : tuple of str
        Names of the members that have forgotten, and of those that answered and have not.
    """

    stone: Tombstone
    by: str
    took: tuple[str, ...]
    waiting: tuple[str, ...]


def bury_in_swarm(
    endpoints: Endpoints,
    who: str,
    since_ns: int,
    until_ns: int,
    now_ns: int,
    id: int | None = None,
    timeout_s: float = 10.0,
    denied: Iterable[str] = (),
) -> Buried:
    """Sign a tombstone with the operator's certificate of ``endpoints``, and give it to all members that are reached.

    They pass it on to the others.

    Parameters
    ----------
    endpoints : Endpoints
        Whom to dial, as a client, with the operator's folder as ``certificates``.
    who : str
        Name of the member whose items are to be forgotten.
    since_ns, until_ns : int
        First and last event time.
    now_ns : int
        When it is signed.
    id : int, optional
        Of the member, if no member that answers has ever met it.
    timeout_s : float
        How long to wait until all that answer have taken it up.
    denied : iterable of str
        Common names of revoked certificates.

    Raises
    ------
    ConfigError
        The certificate may not forget, nobody answers, no such member is known, or the times cannot be.
    """
    folder = Path(endpoints.certificates or "")
    signer, trust = load_signer(folder), load_trust(folder)
    operator = name_of(signer.certificate)
    if MAY_FORGET not in getattr(operator, "may", ()):
        raise ConfigError(
            f"the certificate of {operator.name} may not sign tombstones; at the authority: protovine cert issue "
            f"{operator.name} --operator --may forget --renew"
        )
    session = open_session(endpoints, denied)
    try:
        found = _asked(session, trust, timeout_s)
        if not found:
            raise ConfigError(f"no member answered at {', '.join(endpoints.connect)}: nothing was signed")
        member = MemberName(trust.swarm, who, _id_of(who, found) if id is None else id)
        stone = Tombstone(member, since_ns, until_ns)
        data = sign_tombstone(signer, stone, now_ns)
        try:
            read_tombstone(data, trust, now_ns)
        except RemoteProtocolError as error:
            raise ConfigError(f"members would refuse the tombstone: {error}") from None
        deadline_s, block = time.monotonic() + timeout_s, zenoh_module().CongestionControl.BLOCK
        while True:
            session.put(f"protovine/{trust.swarm}/all/revocations", offer([data]), congestion_control=block)
            time.sleep(_ASK_S)
            found |= _asked(session, trust, 2.0)
            took = {name for name, status in found.items() if _has(status, stone)}
            if took == found.keys() or time.monotonic() > deadline_s:
                return Buried(stone, operator.name, tuple(sorted(took)), tuple(sorted(found.keys() - took)))
    finally:
        session.close()


def _asked(session: Any, trust: Trust, timeout_s: float) -> dict[str, dict[str, Any]]:
    """The status of every member that answers, by name."""
    answers = map(json.loads, ask_in(session, trust.swarm, timeout_s, trust)[0].values())
    return {str(status["name"]): status for status in answers}


def _id_of(who: str, found: dict[str, dict[str, Any]]) -> int:
    """The id of a member that one of those that answer is, or has met."""
    ids = {str(peer["name"]): int(peer["id"]) for status in found.values() for peer in status.get("peers", ())}
    ids |= {name: int(status["id"]) for name, status in found.items()}
    if who not in ids:
        raise ConfigError(f"no member that answers has met {who!r}{suggest(who, ids)}: its number helps (--id)")
    return ids[who]


def _has(status: dict[str, Any], stone: Tombstone) -> bool:
    """Whether a member has forgotten what a tombstone names."""
    return any(
        each["id"] == stone.member.id
        and any(since <= stone.since_ns and stone.until_ns <= until for since, until in each.get("ranges", ()))
        for each in status.get("forgotten", ())
    )
