"""The envelope without certificates, for swarms on a network of their own."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from protovine import varint
from protovine.errors import LocalProtocolError, MissingKeysError, RemoteProtocolError, check_range
from protovine.gossip import MESSAGE_BYTES_MAX
from protovine.net.security.envelope import OVERHEAD_BYTES_MAX
from protovine.net.security.group import PlainGroup
from protovine.net.security.hello import (
    PLAIN,
    HelloBody,
    Member,
    Remembered,
    check_afforded,
    check_hello,
    check_incarnation,
    check_own_name,
    check_parameters,
    check_raised,
    own_name,
    read_hello,
    write_hello,
)
from protovine.net.security.identity import MEMBER_ID_MAX, MemberName, check_name
from protovine.net.security.sealing import check_payload, check_sealed, read_sender

_PUBLIC_BYTES = 16


@dataclass(slots=True)
class _PlainPeer:
    name: str
    incarnation: int
    public: bytes
    hello: bytes
    trusted: bool = True
    confirmed: bool = False


class PlainEnvelope:
    """The same calls as `Envelope` without certificates: anyone on the network can read, and send in any name.

    It also serves to measure what security costs. The header of a message is the sender's id, and a
    byte that tells starts of both processes apart.

    Parameters
    ----------
    member : MemberName
        The name, id and swarm that this node claims.
    incarnation, schema, payload_bytes_max
        As of `Envelope`.

    Raises
    ------
    ConfigError
        A parameter is out of range.

    Examples
    --------
    >>> from protovine.net import MemberName
    >>> ann = PlainEnvelope(MemberName("barn", "ann", 0), incarnation=1, schema=b"v1")
    >>> bob = PlainEnvelope(MemberName("barn", "bob", 1), incarnation=1, schema=b"v1")
    >>> ann.accept_hello(bob.hello(0), 0).id, bob.accept_hello(ann.hello(0), 0).id
    (1, 0)
    >>> bob.open(ann.seal(1, b"data"))
    (0, b'data')
    """

    def __init__(
        self, member: MemberName, *, incarnation: int, schema: bytes, payload_bytes_max: int = MESSAGE_BYTES_MAX
    ) -> None:
        check_parameters(incarnation, schema, payload_bytes_max)
        check_name("the swarm's name", member.swarm)
        check_name("the member's name", member.name)
        check_range("id", member.id, 0, MEMBER_ID_MAX)
        self.member, self.id, self.incarnation = member, member.id, incarnation
        self.schema, self._payload_bytes_max = schema, payload_bytes_max
        self._peers: dict[int, _PlainPeer] = {}
        self._remembered = Remembered()
        self.public = secrets.token_bytes(_PUBLIC_BYTES)
        self._mine = {self.public}
        self.group = PlainGroup(self.id, self._public_of, payload_bytes_max)

    def _public_of(self, id: int) -> bytes | None:
        known = self._peers.get(id)
        return known.public if known is not None else self.public if id == self.id else None

    def raise_to(self, incarnation: int) -> None:
        """As `Envelope.raise_to`; there are no keys."""
        check_raised(self.incarnation, incarnation)
        self.incarnation, self.public = incarnation, secrets.token_bytes(_PUBLIC_BYTES)
        self._mine.add(self.public)

    def hello(self, now_ns: int, fresh: bool = False) -> bytes:
        """The hello that introduces this node to peers."""
        who = self.member
        return write_hello(
            PLAIN,
            HelloBody(who.swarm, who.name, who.id, self.incarnation, now_ns, self.schema, self.public, b""),
            None,
        )

    def accept_hello(self, data: bytes, now_ns: int, afford: Callable[[], bool] = lambda: True) -> Member:
        """The peer that ``data`` introduces, unproven.

        Raises
        ------
        RemoteProtocolError
            As of `Envelope.accept_hello`, without the reasons that need certificates or signatures.
        """
        body, _ = read_hello(data, PLAIN)
        check_incarnation(body, now_ns)
        if check_own_name(body, self.member):
            if body.public in self._mine:
                raise RemoteProtocolError("echo", "this node's own hello came back")
            raise own_name(body)
        peer = self._peers.get(body.id)
        check_hello(body, now_ns, self.member, self.schema, peer or self._remembered.body(body.id))
        if peer is None or peer.incarnation < body.incarnation:
            check_afforded(afford)
            peer = self._peers[body.id] = _PlainPeer(body.name, body.incarnation, body.public, data)
        peer.hello = data
        return Member(body.id, peer.name, peer.incarnation, peer.confirmed)

    def known_hello(self, peer: int) -> bytes | None:
        """The newest hello that was accepted of a peer."""
        known = self._peers.get(peer)
        return self._remembered.all().get(peer) if known is None else known.hello

    def hellos(self) -> list[tuple[int, bytes]]:
        """The newest hello that is known of each peer, by id."""
        return sorted((self._remembered.all() | {id: peer.hello for id, peer in self._peers.items()}).items())

    def remember(self, hellos: list[tuple[int, bytes]]) -> None:
        """Know the hellos that an earlier start of this node knew."""
        self._remembered.add(hellos, PLAIN)

    def members(self) -> list[Member]:
        """Peers whose hello was accepted, by id."""
        return [Member(id, peer.name, peer.incarnation, peer.confirmed) for id, peer in sorted(self._peers.items())]

    def seal(self, peer: int, payload: bytes) -> bytes:
        """``payload`` for one peer, 2 to 4 bytes longer; `LocalProtocolError` if it is too long or the peer unknown."""
        if peer not in self._peers:
            raise LocalProtocolError(f"no hello of node {peer} was accepted")
        check_payload(payload, self._payload_bytes_max)
        return varint.write(self.id) + self._hint(self._peers[peer]) + payload

    def _hint(self, peer: _PlainPeer) -> bytes:
        """A byte that tells the present starts of two processes from others."""
        return zlib.crc32(min(self.public, peer.public) + max(self.public, peer.public)).to_bytes(4)[:1]

    def open(self, data: bytes) -> tuple[int, bytes]:
        """The claimed sender of the message, and the payload.

        Raises
        ------
        MissingKeysError
            ``keys``: no hello of that sender's present start was accepted, or it has none of ours.
        RemoteProtocolError
            ``oversize``, ``malformed``.
        """
        check_sealed(data, self._payload_bytes_max + OVERHEAD_BYTES_MAX)
        sender, at = read_sender(data)
        peer = self._peers.get(sender)
        if peer is None or data[at : at + 1] != self._hint(peer):
            raise MissingKeysError(sender, f"a message of node {sender}, which has not said hello since either started")
        peer.confirmed = True
        return sender, data[at + 1 :]
