"""Questions to running members from outside: their status, and whether they have signed it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from protovine.net.security.identity import load_client
from protovine.net.security.proof import NONCE_BYTES, signer_of
from protovine.net.transport import Endpoints, member_in, open_session
from protovine.net.zenoh_library import zenoh_module


class _Who(msgspec.Struct):
    id: int
    name: str


_decode = msgspec.json.Decoder(_Who).decode


def ask_status(
    swarm: str, endpoints: Endpoints, timeout_s: float = 2.0, denied: Iterable[str] = ()
) -> dict[int, bytes]:
    """The status of every member that can be reached, by id; not of certificates with a ``denied`` common name."""
    return ask_proved(swarm, endpoints, timeout_s, denied)[0]


def ask_proved(
    swarm: str, endpoints: Endpoints, timeout_s: float = 2.0, denied: Iterable[str] = ()
) -> tuple[dict[int, bytes], frozenset[int]]:
    """As `ask_status`, and the ids of the members that have signed theirs: on an open network none.

    Any member can answer in another's name. So an answer that its member has signed takes the place of one that it has
    not; earlier versions sign none.
    """
    folder, now = endpoints.certificates, datetime.now(UTC)
    trust = None if folder is None else load_client(Path(folder), now)[1]
    nonce = os.urandom(NONCE_BYTES)
    found: dict[int, bytes] = {}
    proved: set[int] = set()
    session = open_session(endpoints, denied)
    try:
        every = zenoh_module().ConsolidationMode.NONE  # Else the last answer of a name hides the others.
        for reply in session.get(f"protovine/{swarm}/*/status", timeout=timeout_s, payload=nonce, consolidation=every):
            if reply.ok is None or (member := member_in(reply.ok)) is None or member in proved:
                continue
            status, proof = reply.ok.payload.to_bytes(), reply.ok.attachment
            who = _who(status)
            if who is None or who.id != member:
                continue  # No status, or of another member than its key.
            signer = None
            if trust is not None and proof is not None:
                signer = signer_of(trust, status, nonce, proof.to_bytes(), now)
            if signer is not None and (signer.id, signer.name) == (who.id, who.name):
                proved.add(member)
                found[member] = status
            else:
                found.setdefault(member, status)
    finally:
        session.close()
    return dict(sorted(found.items())), frozenset(proved)


def _who(status: bytes) -> _Who | None:
    """Whose status it says that it is; None if it is none."""
    try:
        return _decode(status)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def query(
    session: Any, swarm: str, member: int | str, what: str, timeout_s: float, payload: bytes = b""
) -> dict[int, bytes]:
    """What one member, or all (``*``), answer to a query, by id."""
    found: dict[int, bytes] = {}
    for reply in session.get(f"protovine/{swarm}/{member}/{what}", timeout=timeout_s, payload=payload):
        if reply.ok is not None and (named := member_in(reply.ok)) is not None:
            found[named] = reply.ok.payload.to_bytes()
    return dict(sorted(found.items()))
