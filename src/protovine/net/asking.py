"""Questions to running members from outside: their status, and whether they have signed it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from protovine.net.security.identity import Trust, load_client
from protovine.net.security.proof import NONCE_BYTES, signer_of
from protovine.net.transport import Endpoints, member_in, open_session
from protovine.net.zenoh_library import zenoh_module


class _Peer(msgspec.Struct):
    id: int
    name: str
    alive: bool = False
    revoked: bool = False
    age_s: float | None = None


class _Forgotten(msgspec.Struct):
    id: int
    name: str = ""
    ranges: list[tuple[int, int]] = []


class _Status(msgspec.Struct):
    """What is read of a status. It may lack all but id and name, and have more."""

    id: int
    name: str
    up_s: float = 0.0
    samples: int = 0
    samples_learnt: int = 0
    accuracy: float | None = None
    prototypes: int = 0
    bytes_sent: int = 0
    refused: dict[str, int] = {}
    peers: list[_Peer] = []
    forgotten: list[_Forgotten] = []
    warnings: list[str] = []
    schema: str = ""
    revoked: bool = False


_decode = msgspec.json.Decoder(_Status).decode


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
    not; earlier versions sign none. Answers whose values are not those of a status are left out.
    """
    folder = endpoints.certificates
    trust = None if folder is None else load_client(Path(folder), datetime.now(UTC))[1]
    session = open_session(endpoints, denied)
    try:
        return ask_in(session, swarm, timeout_s, trust)
    finally:
        session.close()


def ask_in(session: Any, swarm: str, timeout_s: float, trust: Trust | None) -> tuple[dict[int, bytes], frozenset[int]]:
    """As `ask_proved`, in an open session; without ``trust`` no answer is proved."""
    nonce, now = os.urandom(NONCE_BYTES), datetime.now(UTC)
    found: dict[int, bytes] = {}
    proved: set[int] = set()
    every = zenoh_module().ConsolidationMode.NONE  # Else the last answer of a name hides the others.
    for reply in session.get(f"protovine/{swarm}/*/status", timeout=timeout_s, payload=nonce, consolidation=every):
        if reply.ok is None or (member := member_in(reply.ok)) is None or member in proved:
            continue
        status, proof = reply.ok.payload.to_bytes(), reply.ok.attachment
        who = _read(status)
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
    return dict(sorted(found.items())), frozenset(proved)


def _read(status: bytes) -> _Status | None:
    """What a status says; None if it is none."""
    try:
        json.loads(status)  # As those do who get it.
        return _decode(status)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return None


def query(session: Any, swarm: str, member: int, what: str, timeout_s: float, payload: bytes = b"") -> dict[int, bytes]:
    """What one member answers to a query, by id."""
    found: dict[int, bytes] = {}
    for reply in session.get(f"protovine/{swarm}/{member}/{what}", timeout=timeout_s, payload=payload):
        if reply.ok is not None and (named := member_in(reply.ok)) is not None:
            found[named] = reply.ok.payload.to_bytes()
    return dict(sorted(found.items()))
