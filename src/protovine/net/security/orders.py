"""Tombstones that operators sign, and how they spread through a swarm by themselves.

The authority may let an operator sign tombstones (`protovine cert issue NAME --operator --may forget`): the permission
is in the operator's certificate. Each tombstone stands for itself, so two operators, or one on two computers, cannot
undo each other's. A tombstone is a msgpack array of a statement, the certificate (DER) and its signature (ECDSA P-256,
SHA-256) over "protovine tombstone", 0 and the statement::

    Statement   swarm, URI of the member, first and last event time, time of signing

It holds if the certificate may forget, was valid when it was signed, and is not on the revocation list now; if it is of
this swarm; and if it ends before it was signed, so that nobody can be silenced by it.

Members keep the same set: all of them, but of one certificate the `PER_OPERATOR_MAX` with the lowest ids, and of the
`OPERATORS_MAX` certificates with the lowest numbers. A message is a msgpack array: the sender's id, or nothing from an
operator; the digest of its set; the ids of its set, or nothing; and tombstones. Members that meet tell each other the
digest. Whose digest differs sends its ids, and gets what it lacks. Like the roster, this has no sockets and no clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from protovine.errors import RemoteProtocolError
from protovine.net.security.commands import Signer
from protovine.net.security.identity import (
    CERTIFICATE_BYTES_MAX,
    MAY_FORGET,
    MEMBER_ID_MAX,
    MemberName,
    OperatorName,
    Tombstone,
    Trust,
    parse_certificate,
)
from protovine.net.security.revocations import REMIND_NS, RETRY_NS
from protovine.net.security.words import Words
from protovine.records import SECOND_NS

PER_OPERATOR_MAX, OPERATORS_MAX = 100, 32
# The clock of an operator may be ahead of a member's by this much.
AHEAD_NS = 3600 * SECOND_NS
_ECDSA = ec.ECDSA(hashes.SHA256())
_LABEL = b"protovine tombstone\0"
_ID_BYTES, _ALL_MAX = 16, PER_OPERATOR_MAX * OPERATORS_MAX
# Tombstones of one message.
_PART = 32
_Time = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Id = Annotated[bytes, msgspec.Meta(min_length=_ID_BYTES, max_length=_ID_BYTES)]
_Stone = Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_BYTES_MAX + 1024)]


class _Statement(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    swarm: Annotated[str, msgspec.Meta(max_length=63)]
    member: Annotated[str, msgspec.Meta(max_length=200)]
    since_ns: _Time
    until_ns: _Time
    signed_ns: _Time


class _Frame(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    statement: Annotated[bytes, msgspec.Meta(max_length=512)]
    certificate: Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_BYTES_MAX)]
    signature: Annotated[bytes, msgspec.Meta(max_length=80)]


class _Message(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    sender: Annotated[int, msgspec.Meta(ge=0, le=MEMBER_ID_MAX)] | None
    digest: Annotated[bytes, msgspec.Meta(max_length=_ID_BYTES)]
    have: Annotated[list[_Id], msgspec.Meta(max_length=_ALL_MAX)] | None
    stones: Annotated[list[_Stone], msgspec.Meta(max_length=_PART)]


_pack = msgspec.msgpack.encode
_statements, _frames = msgspec.msgpack.Decoder(_Statement), msgspec.msgpack.Decoder(_Frame)
_messages = msgspec.msgpack.Decoder(_Message)
_files = msgspec.msgpack.Decoder(Annotated[list[_Stone], msgspec.Meta(max_length=_ALL_MAX)])


@dataclass(frozen=True)
class SignedTombstone:
    """A tombstone that an operator signed.

    Parameters
    ----------
    tombstone : Tombstone
    by : OperatorName
    serial : int
        Of the operator's certificate.
    signed_ns : int
    id : bytes
        Of the statement and the certificate: another signature of the same is the same tombstone.
    data : bytes
        As it is sent and kept.
    """

    tombstone: Tombstone
    by: OperatorName
    serial: int
    signed_ns: int
    id: bytes = field(repr=False)
    data: bytes = field(repr=False)


def sign_tombstone(signer: Signer, stone: Tombstone, signed_ns: int) -> bytes:
    """A tombstone as bytes, signed by an operator; members look at all that it may and may not."""
    member = stone.member
    statement = _pack(_Statement(member.swarm, member.uri, stone.since_ns, stone.until_ns, signed_ns))
    signature = signer.key.sign(_LABEL + statement, _ECDSA)
    return _pack(_Frame(statement, signer.certificate.public_bytes(Encoding.DER), signature))


def read_tombstone(data: bytes, trust: Trust, now_ns: int) -> SignedTombstone:
    """The tombstone in these bytes, if it holds.

    Raises
    ------
    RemoteProtocolError
        ``malformed``, ``swarm``; ``value``: it ends before it begins or after it was signed; ``time``: it was signed in
        the future; ``operator``: the certificate is not that of an operator who may forget, was not valid when it was
        signed, was revoked, or did not sign it.
    """
    try:
        frame = _frames.decode(data)
        statement = _statements.decode(frame.statement)
        member = MemberName.parse(statement.member)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RemoteProtocolError("malformed", f"not a tombstone of an operator: {error}") from None
    if {statement.swarm, member.swarm} != {trust.swarm}:
        raise RemoteProtocolError("swarm", f"a tombstone for {member.uri}, and this is swarm {trust.swarm}")
    if not statement.since_ns <= statement.until_ns <= statement.signed_ns:
        raise RemoteProtocolError("value", "a tombstone must begin before it ends, and end before it is signed")
    if statement.signed_ns - AHEAD_NS > now_ns:
        raise RemoteProtocolError("time", "a tombstone from the future")
    try:
        certificate = parse_certificate(frame.certificate)
        name = trust.check(certificate, datetime.fromtimestamp(statement.signed_ns / SECOND_NS, UTC))
    except (RemoteProtocolError, OverflowError) as error:
        raise RemoteProtocolError("operator", str(error)) from None
    if not isinstance(name, OperatorName) or MAY_FORGET not in name.may:
        raise RemoteProtocolError("operator", f"{name.name} may not sign tombstones")
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)  # `Trust.check` has seen to it.
    try:
        key.verify(frame.signature, _LABEL + frame.statement, _ECDSA)
    except InvalidSignature:
        raise RemoteProtocolError("operator", f"{name.name} did not sign this tombstone") from None
    stone = Tombstone(member, statement.since_ns, statement.until_ns)
    serial = certificate.serial_number
    return SignedTombstone(stone, name, serial, statement.signed_ns, _id_of(frame.statement, serial), data)


def offer(data: Iterable[bytes]) -> bytes:
    """The message by which an operator gives tombstones to all members."""
    return _pack(_Message(None, b"", None, list(data)))


def is_about_orders(data: bytes) -> bool:
    """Whether a message on the channel of revocations is one of these: an array of four."""
    return data[:1] == b"\x94"


class Orders(Words):
    """The operators' tombstones that one member keeps, and what it tells others of them.

    Parameters
    ----------
    member : int
        The own id.
    trust : Trust
    now_ns : int
        When it begins, by the clock of `take` and `on_timer`.
    """

    def __init__(self, member: int, trust: Trust, now_ns: int) -> None:
        super().__init__(now_ns)
        self.member, self.trust = member, trust
        self._stones: dict[bytes, SignedTombstone] = {}
        self._remind_at_ns, self._retry_at_ns = now_ns + REMIND_NS, now_ns + RETRY_NS
        # Who has what this member lacks, and who sealed the word that says so.
        self._asked: tuple[int, int | None] | None = None

    @property
    def stones(self) -> list[SignedTombstone]:
        """All of them, by id."""
        return list(self._stones.values())

    @property
    def digest(self) -> bytes:
        """Of the set; empty if it is."""
        return sha256(b"".join(self._stones)).digest()[:_ID_BYTES] if self._stones else b""

    def met(self, peer: int) -> None:
        """The peer said hello, or is heard again."""
        if self._stones:
            self._tell(peer, peer)
            self._tell(peer)

    def retrust(self, trust: Trust) -> list[SignedTombstone]:
        """Replace the trust; the tombstones of operators who are revoked by it are dropped, and returned."""
        self.trust = trust
        gone = [each for each in self.stones if each.serial in trust.revoked]
        for each in gone:
            del self._stones[each.id]
        return gone

    def add(self, found: Iterable[SignedTombstone]) -> list[SignedTombstone]:
        """Keep tombstones, and tell all others if some are new: these are returned."""
        before = set(self._stones)
        by_serial: dict[int, dict[bytes, SignedTombstone]] = defaultdict(dict)
        for each in (*self._stones.values(), *found):
            by_serial[each.serial].setdefault(each.id, each)
        kept = {
            id: by_serial[serial][id]
            for serial in sorted(by_serial)[:OPERATORS_MAX]
            for id in sorted(by_serial[serial])[:PER_OPERATOR_MAX]
        }
        self._stones = dict(sorted(kept.items()))
        new = [each for id, each in self._stones.items() if id not in before]
        if new:
            self._tell(None)
        return new

    def take(self, data: bytes, wall_ns: int, now_ns: int, by: int | None = None) -> list[SignedTombstone]:
        """The tombstones that a message brings and that are new; they are kept.

        ``wall_ns`` is the time that signatures are compared with, ``by`` the member that sealed the message, or None.

        Raises
        ------
        RemoteProtocolError
            ``malformed``, ``flood``, ``impostor``, or as `read_tombstone`: nothing of the message is kept.
        """
        try:
            message = _messages.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RemoteProtocolError("malformed", f"not a message about tombstones: {error}") from None
        if by not in (None, message.sender):
            raise RemoteProtocolError("impostor", f"node {by} sealed a word of node {message.sender}")
        if message.sender == self.member:
            return []
        self._pay(by, now_ns)
        if message.stones:
            found = []
            for each in message.stones:
                if _known_id(each) not in self._stones:
                    self._pay(by, now_ns)
                    found.append(read_tombstone(each, self.trust, wall_ns))
            return self.add(found)
        if message.digest == self.digest or message.sender is None:
            if self._asked is not None and message.sender == self._asked[0]:
                self._asked = None
            return []
        if message.have is None:
            self._ask(message.sender, by)
            return []
        theirs = set(message.have)
        lacking = [each.data for id, each in self._stones.items() if id not in theirs]
        for at in range(0, len(lacking), _PART):
            if not self._heed(by, now_ns):
                break  # It asks again.
            self._say(message.sender, self._message(None, lacking[at : at + _PART]), by)
        if theirs - self._stones.keys():
            self._ask(message.sender, by)
        return []

    def next_timer_ns(self) -> int:
        """When `on_timer` is due."""
        return self._remind_at_ns if self._asked is None else min(self._remind_at_ns, self._retry_at_ns)

    def on_timer(self, now_ns: int) -> None:
        """Remind others of the set, and ask once more for what did not come."""
        if now_ns >= self._remind_at_ns:
            self._remind_at_ns = now_ns + REMIND_NS
            if self._stones:
                self._tell(None)
        if now_ns >= self._retry_at_ns:
            self._retry_at_ns = now_ns + RETRY_NS
            if self._asked is not None:
                asked, self._asked = self._asked, None
                self._say(asked[0], self._message(list(self._stones), []), asked[1])

    def _pay(self, by: int | None, now_ns: int) -> None:
        if not self._heed(by, now_ns):
            raise RemoteProtocolError("flood", "more messages about tombstones than this node answers")

    def _ask(self, peer: int, by: int | None) -> None:
        self._asked = peer, by
        self._say(peer, self._message(list(self._stones), []), by)

    def _tell(self, peer: int | None, by: int | None = None) -> None:
        self._say(peer, self._message(None, []), by)

    def _message(self, have: list[bytes] | None, stones: list[bytes]) -> bytes:
        return _pack(_Message(self.member, self.digest, have, stones))


def pack_tombstones(stones: Iterable[SignedTombstone]) -> bytes:
    """A set as a file."""
    return _pack([each.data for each in stones])


def unpack_tombstones(data: bytes) -> list[bytes]:
    """The inverse of `pack_tombstones`, not checked yet; ``ValueError`` for other bytes."""
    try:
        found: list[bytes] = _files.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"these are no tombstones of operators: {error}") from None
    return found


def _id_of(statement: bytes, serial: int) -> bytes:
    return sha256(serial.to_bytes(20, "big") + statement).digest()[:_ID_BYTES]


def _known_id(data: bytes) -> bytes | None:
    """The id of a tombstone that is not checked; None if it has none."""
    try:
        frame = _frames.decode(data)
        return _id_of(frame.statement, parse_certificate(frame.certificate).serial_number)
    except (msgspec.MsgspecError, UnicodeDecodeError, RemoteProtocolError, OverflowError, RecursionError):
        return None
