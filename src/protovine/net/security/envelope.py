"""Sealed messages: the recipient knows which member sent each one, whatever path it took.

The transport's TLS keeps strangers out, but other members may relay a message, and TLS does not say who wrote it. So
every member sends a signed hello (`hello.py`) with a fresh public key for Diffie-Hellman. From two hellos both sides
compute keys that no third member knows, one per direction (X25519, then HKDF-SHA256 over both members' names, ids,
incarnations and public keys). A message is then sealed with AES-128-CCM and a tag of 8 bytes: no other
process can write, change or read it.

A sealed message::

    varint  sender << 3 | (sum of both incarnations) mod 8: separates old keys from forgery
    varint  counter       from 0, one per pair and direction
    bytes   payload, encrypted
    u64     tag over everything before it

Promises, whatever arrives and in whatever order:

- A payload comes out at most once, and only if the named peer sealed it for this member under its present hello.
- Only a hello of a higher incarnation replaces a peer's keys. A member that starts with one that is not higher is sent
  the hello that is known of it, which nobody else can have signed, and raises its own.
- A refused message changes nothing.

The envelope has no sockets, no clocks (times are arguments, nanoseconds since 1970) and no threads (calls must not
overlap). It does not limit how often a caller does the expensive things: `accept_hello` and `hello`.

References
----------
D. McGrew, D. Bailey, "AES-CCM Cipher Suites for Transport Layer Security (TLS)", RFC 6655, 2012 (CCM with 8-byte tags).
E. Rescorla et al., "The Datagram Transport Layer Security (DTLS) Protocol Version 1.3", RFC 9147, 2022 (epoch bits in
the header, sliding window against replays).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NoReturn

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protovine import varint
from protovine.errors import (
    ConfigError,
    LocalProtocolError,
    MissingKeysError,
    OtherSchemaError,
    RemoteProtocolError,
    StaleHelloError,
    UnreadableError,
)
from protovine.gossip import MESSAGE_BYTES_MAX
from protovine.net.security.group import Group
from protovine.net.security.hello import (
    ECDSA,
    ENVELOPE_VERSION,
    HELLO_REFRESH_NS,
    SIGNED,
    HelloBody,
    HelloFrame,
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
    signed_bytes,
    write_hello,
)
from protovine.net.security.identity import Identity, Trust, parse_certificate
from protovine.net.security.sealing import (
    COUNTER_MAX,
    KEY_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    Window,
    check_payload,
    check_sealed,
    read_head,
)

# Sender and counter in at most 4 + 5 bytes.
OVERHEAD_BYTES_MAX = 9 + TAG_BYTES


@dataclass(slots=True)
class _Peer:
    """A peer's keys, counters and window.

    It stays for as long as the process runs: the same hello would make the same keys again, and nonces must not repeat.
    """

    name: str
    incarnation: int
    public: bytes
    certificate: x509.Certificate
    hint: int
    seal: Callable[[bytes, bytes, bytes], bytes]
    open: Callable[[bytes, bytes, bytes], bytes]
    nonce_out: int
    nonce_in: int
    hello: bytes = b""
    trusted: bool = True
    confirmed: bool = False
    counter: int = 0
    window: Window = field(default_factory=Window)

    @property
    def end_ns(self) -> int:
        return int(self.certificate.not_valid_after_utc.timestamp()) * 10**9

    def member(self, id: int) -> Member:
        return Member(id, self.name, self.incarnation, self.confirmed, self.end_ns)


class Envelope:
    """The keys of one member with all its peers, for as long as its process lives.

    Parameters
    ----------
    identity : Identity
        Certificate and key of this member.
    trust : Trust
        The authority and its revocation list.
    incarnation : int >= 0
        Must be higher at each start of the process, or peers refuse the hello as stale.
    schema : bytes
        At most 64; peers must give the same.
    payload_bytes_max : int
        Longer payloads are refused.

    Raises
    ------
    ConfigError
        A parameter is out of range, or certificate and authority are of two swarms.

    Examples
    --------
    >>> import datetime, tempfile, pathlib
    >>> from protovine.net import create_authority, issue, load_member
    >>> at = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    >>> now_ns = int(at.timestamp()) * 10**9
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     home = pathlib.Path(folder)
    ...     _ = create_authority(home / "authority", "barn", now=at)
    ...     made = [issue(home / "authority", name, home / name, now=at) for name in ("ann", "bob")]
    ...     ann, bob = (Envelope(*load_member(home / m.name, at), incarnation=1, schema=b"v1") for m in made)
    >>> ann.accept_hello(bob.hello(now_ns), now_ns).name, bob.accept_hello(ann.hello(now_ns), now_ns).id
    ('bob', 1)
    >>> sealed = ann.seal(2, b"data")
    >>> len(sealed) - len(b"data"), bob.open(sealed)
    (10, (1, b'data'))
    >>> bob.open(sealed)
    Traceback (most recent call last):
    protovine.errors.UnreadableError: message 0 of node 1 came before
    """

    def __init__(
        self,
        identity: Identity,
        trust: Trust,
        *,
        incarnation: int,
        schema: bytes,
        payload_bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        check_parameters(incarnation, schema, payload_bytes_max)
        if identity.member.swarm != trust.swarm:
            raise ConfigError(f"the certificate is of swarm {identity.member.swarm}, the authority of {trust.swarm}")
        self.member = identity.member
        self.id, self.incarnation = identity.member.id, incarnation
        self._identity, self._trust = identity, trust
        self._mine: set[bytes] = set()  # Public keys of earlier incarnations of this process.
        self.schema, self._payload_bytes_max = schema, payload_bytes_max
        self._renew()
        # Digest of the last good hello that another process made in this node's name, and whether its certificate is
        # valid.
        self._own_hello: tuple[bytes, bool] | None = None
        self._certificate = identity.certificate.public_bytes(serialization.Encoding.DER)
        self._peers: dict[int, _Peer] = {}
        self._other_schemas: dict[int, bytes] = {}  # Digests of the newest good hellos with another schema.
        self._remembered = Remembered()
        self.group = Group(self.id, self._trusts, payload_bytes_max)

    def _trusts(self, peer: int) -> bool:
        known = self._peers.get(peer)
        return known is not None and known.trusted

    def _renew(self) -> None:
        """Make a key that no other start and no other incarnation has."""
        self._private = X25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes_raw()
        self._hello: tuple[int, bytes] | None = None

    @property
    def trust(self) -> Trust:
        """The authority and its revocation list."""
        return self._trust

    @property
    def serial(self) -> int:
        """The serial number of the own certificate."""
        return self._identity.certificate.serial_number

    @property
    def certificate_end_ns(self) -> int:
        """When the own certificate ends, in nanoseconds since 1970."""
        return int(self._identity.certificate.not_valid_after_utc.timestamp()) * 10**9

    def raise_to(self, incarnation: int) -> None:
        """Go on as a higher incarnation, with new keys for the same peers.

        A peer refuses this node's messages as ``keys`` or ``forged`` until it has the new hello.

        Raises
        ------
        LocalProtocolError
            It is not higher.
        """
        check_raised(self.incarnation, incarnation)
        self._mine.add(self.public)
        self.incarnation = incarnation
        self._renew()
        self.group.renew()
        for id, peer in self._peers.items():
            same = self._with_keys(id, peer.name, peer.incarnation, peer.public, peer.certificate)
            same.trusted, same.hello = peer.trusted, peer.hello
            self._peers[id] = same

    @property
    def identity(self) -> Identity:
        """The certificate that it shows, and its key."""
        return self._identity

    def renew(self, identity: Identity) -> None:
        """Show another certificate of the same member from now on; keys with peers stay as they are."""
        if identity.member != self.member:
            raise ConfigError(f"the certificate is of {identity.member.uri}, this is {self.member.uri}")
        self._identity, self._hello = identity, None
        self._certificate = identity.certificate.public_bytes(serialization.Encoding.DER)

    def hello(self, now_ns: int, fresh: bool = False) -> bytes:
        """The hello that introduces this node, about 700 bytes; signed again if ``fresh`` or when it is an hour old."""
        if fresh or self._hello is None or not 0 <= now_ns - self._hello[0] < HELLO_REFRESH_NS:
            body = HelloBody(
                self.member.swarm,
                self.member.name,
                self.id,
                self.incarnation,
                now_ns,
                self.schema,
                self.public,
                self._certificate,
            )
            self._hello = now_ns, write_hello(SIGNED, body, self._identity.key)
        return self._hello[1]

    def accept_hello(self, data: bytes, now_ns: int, afford: Callable[[], bool] = lambda: True) -> Member:
        """The peer that ``data`` introduces; a new incarnation gets new keys, a known one keeps its keys.

        A hello that was accepted before costs reading and a hash; one that is malformed, stale or of another swarm
        costs reading alone. Every other hello costs two signature checks (of certificate and hello), and a good
        one a Diffie-Hellman as well: before these, ``afford`` is called and may refuse. State per peer is constant, and
        there are at most as many peers as the authority certified.

        Raises
        ------
        RemoteProtocolError
            ``oversize``, ``malformed``, ``version``, ``kind``; ``swarm``, ``schema``; ``impostor``: with the id or the
            certificate of another member; ``stale``: made more than a day from now; ``certificate``, ``revoked``,
            ``signature``; ``echo``: this node's own; ``flood``: not checked, because ``afford`` said no.
        StaleHelloError
            Of an earlier incarnation, or of another key in the same one.
        OtherSchemaError
            Of a member with another schema, and signed by it.
        OwnNameError
            In the name of this node, and signed by a key of that name.
        """
        body, hello = read_hello(data, SIGNED)
        check_incarnation(body, now_ns)
        if check_own_name(body, self.member):
            self._refuse_own(body, hello, data, afford)
        peer = self._peers.get(body.id)
        try:
            check_hello(body, now_ns, self.member, self.schema, peer or self._remembered.body(body.id))
        except OtherSchemaError:
            # Operators see who has another schema, so that member must have signed it.
            digest = hashlib.sha256(data).digest()
            if self._other_schemas.get(body.id) != digest:
                check_afforded(afford)
                self._check_signed(body, hello, parse_certificate(body.certificate), now_ns)
                self._other_schemas[body.id] = digest
            raise
        except StaleHelloError:
            # It may have lost its state after its certificate had been revoked or had ended. A sender with a valid one
            # is told what is known of its name.
            if peer is None or not peer.trusted:
                check_afforded(afford)
                self._check_signed(body, hello, parse_certificate(body.certificate), now_ns)
            raise
        # The same bytes again are the normal case: hellos are repeated until every member has them.
        if peer and peer.trusted and peer.hello == data and now_ns <= peer.end_ns:
            return peer.member(body.id)
        same = peer is not None and peer.incarnation == body.incarnation
        check_afforded(afford)
        certificate = parse_certificate(body.certificate)
        self._check_signed(body, hello, certificate, now_ns)
        if peer is None or not same:
            peer = self._with_keys(body.id, body.name, body.incarnation, body.public, certificate)
            self._peers[body.id] = peer
            self.group.forget(body.id)
        elif not peer.trusted or certificate.not_valid_before_utc >= peer.certificate.not_valid_before_utc:
            peer.certificate = certificate  # A renewed one: the keys stay.
        peer.trusted, peer.hello = True, data
        return peer.member(body.id)

    def known_hello(self, peer: int) -> bytes | None:
        """The newest hello that was accepted of a peer, whether or not its certificate is still valid.

        All hellos of lower incarnations are stale, also those of a later process of the same member.
        """
        known = self._peers.get(peer)
        return self._remembered.all().get(peer) if known is None else known.hello

    def hellos(self) -> list[tuple[int, bytes]]:
        """The newest hello that is known of each peer, by id."""
        return sorted((self._remembered.all() | {id: peer.hello for id, peer in self._peers.items()}).items())

    def remember(self, hellos: list[tuple[int, bytes]]) -> None:
        """Know the hellos that an earlier start of this node knew."""
        self._remembered.add(hellos, SIGNED)

    def members(self) -> list[Member]:
        """Peers whose hello was accepted, by id."""
        return [peer.member(id) for id, peer in sorted(self._peers.items()) if peer.trusted]

    def update_trust(self, trust: Trust, now_ns: int) -> list[Member]:
        """Replace the trust; the peers whose certificates are no longer valid and that are dropped for that.

        Call it when the revocation list was read again, and from time to time with the old one, because certificates
        expire. It costs a signature check per peer.
        """
        revoked = trust.revoked - self._trust.revoked
        self._trust, self._own_hello = trust, None
        gone = []
        for id, peer in sorted(self._peers.items()):
            if peer.trusted and not self._is_valid(peer.certificate, now_ns):
                peer.trusted = False
                gone.append(peer.member(id))
        if gone or revoked:
            # They know the sender key, also if the name has another certificate by now.
            self.group.renew()
        return gone

    def seal(self, peer: int, payload: bytes) -> bytes:
        """``payload`` for one peer, 10 to 17 bytes longer.

        Raises
        ------
        LocalProtocolError
            No hello of ``peer`` was accepted, the payload is too long, or the peer was sent 2**32 messages.
        """
        to = self._peers.get(peer)
        if to is None or not to.trusted:
            raise LocalProtocolError(f"no hello of node {peer} was accepted")
        check_payload(payload, self._payload_bytes_max)
        if to.counter > COUNTER_MAX:
            raise LocalProtocolError(f"the keys with node {peer} are used up: start again with a higher incarnation")
        head = varint.write(self.id << 3 | to.hint) + varint.write(to.counter)
        sealed = to.seal((to.nonce_out ^ to.counter).to_bytes(NONCE_BYTES), payload, head)
        to.counter += 1
        return head + sealed

    def open(self, data: bytes) -> tuple[int, bytes]:
        """The sender and the payload of a message that it sealed for this node, once.

        Costs O(bytes), and nothing but the header's reading for what is refused before the tag is checked.

        Raises
        ------
        MissingKeysError
            ``keys``: the sender's present hello is missing here, or ours is missing there.
        UnreadableError
            ``replay``: opened before, or too old to tell; ``forged``: not written by the sender for this node, or
            written before either started again.
        RemoteProtocolError
            ``oversize``, ``malformed``.
        """
        check_sealed(data, self._payload_bytes_max + OVERHEAD_BYTES_MAX)
        sender, hint, counter, at = read_head(data)
        peer = self._peers.get(sender)
        if peer is None or not peer.trusted or peer.hint != hint:
            raise MissingKeysError(sender, f"a message under keys with node {sender} that are not known")
        if not peer.window.is_new(counter):
            raise UnreadableError("replay", sender, f"message {counter} of node {sender} came before")
        try:
            payload = peer.open((peer.nonce_in ^ counter).to_bytes(NONCE_BYTES), data[at:], data[:at])
        except InvalidTag:
            raise UnreadableError(
                "forged", sender, f"message {counter} of node {sender} was not sealed by it"
            ) from None
        peer.window.note(counter)
        peer.confirmed = True
        return sender, payload

    def _refuse_own(self, body: HelloBody, hello: HelloFrame, data: bytes, afford: Callable[[], bool]) -> NoReturn:
        """Refuse a hello in this node's own name, after it was found who made it."""
        if body.public == self.public or body.public in self._mine:
            raise RemoteProtocolError("echo", "this node's own hello came back")
        digest = hashlib.sha256(data).digest()
        if self._own_hello is None or digest != self._own_hello[0]:
            check_afforded(afford)
            # Peers return hellos of any age, whose certificate may have been renewed or revoked since.
            certificate = parse_certificate(body.certificate)
            self._check_signed(body, hello, certificate)
            self._own_hello = digest, self._is_valid(certificate, body.created_ns)
        raise own_name(body, self._own_hello[1])

    def _is_valid(self, certificate: x509.Certificate, now_ns: int) -> bool:
        try:
            self._trust.verify(certificate, _datetime(now_ns))
        except RemoteProtocolError:
            return False
        return True

    def _check_signed(
        self, body: HelloBody, hello: HelloFrame, certificate: x509.Certificate, now_ns: int | None = None
    ) -> None:
        """`RemoteProtocolError` unless the member in the certificate signed the hello and has the name in it.

        The certificate must be valid at ``now_ns``; it may be revoked and of any time, if that is None.
        """
        if now_ns is None:
            member = self._trust.issued(certificate)
        else:
            member = self._trust.verify(certificate, _datetime(now_ns))
        if (member.name, member.id) != (body.name, body.id):
            raise RemoteProtocolError(
                "impostor", f"a hello of {body.name} ({body.id}) with the certificate of {member.name} ({member.id})"
            )
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)  # `Trust.verify` saw to it.
        try:
            key.verify(hello.signature, signed_bytes(SIGNED, hello.body), ECDSA)
        except InvalidSignature:
            raise RemoteProtocolError("signature", f"the hello of {body.name} is not signed by it") from None

    def _with_keys(self, id: int, name: str, incarnation: int, public: bytes, certificate: x509.Certificate) -> _Peer:
        """A peer with keys from both hellos. Both sides order the two members by id and so derive the same keys."""
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise RemoteProtocolError("malformed", f"{name} has an unusable public key") from None
        # Not the certificates, which sign these and may be renewed meanwhile.
        ours = [self.id, self.member.name, self.incarnation, self.public]
        theirs = [id, name, incarnation, public]
        lower = self.id < id
        info = msgspec.msgpack.encode(
            [
                "protovine keys",
                ENVELOPE_VERSION,
                self.member.swarm,
                self.schema,
                *([ours, theirs] if lower else [theirs, ours]),
            ]
        )
        size = KEY_BYTES + NONCE_BYTES
        made = HKDF(hashes.SHA256(), length=2 * size, salt=None, info=info).derive(shared)
        out, in_ = (made[:size], made[size:]) if lower else (made[size:], made[:size])
        return _Peer(
            name,
            incarnation,
            public=public,
            certificate=certificate,
            hint=(self.incarnation + incarnation) % 8,
            seal=AESCCM(out[:KEY_BYTES], tag_length=TAG_BYTES).encrypt,
            open=AESCCM(in_[:KEY_BYTES], tag_length=TAG_BYTES).decrypt,
            nonce_out=int.from_bytes(out[KEY_BYTES:]),
            nonce_in=int.from_bytes(in_[KEY_BYTES:]),
        )


def _datetime(now_ns: int) -> datetime:
    return datetime.fromtimestamp(now_ns // 10**9, UTC)
