"""Who sent a message, from end to end: signed hellos, keys for every pair of members, sealed messages.

The transport's TLS keeps strangers out, but a message may come through other members and does not say who wrote it.
So every member tells all others who it is in a *hello*, signed by the key of its certificate, with a fresh public key
for Diffie-Hellman. From two hellos both sides compute keys that no third member knows, one per direction (X25519, then
HKDF-SHA256 over both members' names, ids, incarnations, certificates and public keys). A message is then sealed with
AES-128-CCM and a tag of 8 bytes: nobody else can have written, changed or read it.

A hello::

    u8      0x76, then u8 version << 4 | kind (1 signed, 2 plain)
    bytes   msgpack of `_Body`, and of the signature (ECDSA P-256, SHA-256, DER) over label, magic, kind and body

A sealed message::

    varint  sender << 3 | (sum of both incarnations) mod 8: tells old keys from forgery
    varint  counter       from 0, one per pair and direction
    bytes   payload, encrypted
    u64     tag over everything before it

Promises kept here, whatever arrives and in whatever order:

- A payload comes out at most once, only if the named peer sealed it for this member under its present hello.
- Hellos move forwards only: a peer's keys are replaced by a higher incarnation and by nothing else.
- What is refused changes nothing.

Not here: sockets, clocks (times are arguments, nanoseconds since 1970), threads (calls must not overlap), and any limit
on how often a caller does the dear things: `accept_hello` and `hello`.

References
----------
D. McGrew, D. Bailey, "AES-CCM Cipher Suites for Transport Layer Security (TLS)", RFC 6655, 2012 (CCM with 8-byte tags).
E. Rescorla et al., "The Datagram Transport Layer Security (DTLS) Protocol Version 1.3", RFC 9147, 2022 (epoch bits in
the header, sliding window against replays).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Protocol

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
    CodecError,
    ConfigError,
    LocalProtocolError,
    MissingKeysError,
    RemoteProtocolError,
    check_range,
)
from protovine.gossip import MESSAGE_BYTES_MAX
from protovine.net.security.identity import (
    CERTIFICATE_BYTES_MAX,
    MEMBER_ID_MAX,
    Identity,
    MemberName,
    Trust,
    check_name,
    fingerprint,
    parse_certificate,
)

MAGIC = 0x76
ENVELOPE_VERSION = 1
HELLO_BYTES_MAX = 8192
SCHEMA_BYTES_MAX = 64
TAG_BYTES = 8
# Sender and counter in at most 4 + 5 bytes.
OVERHEAD_BYTES_MAX = 9 + TAG_BYTES
# Counters up to this far behind the newest are still taken, once.
WINDOW = 256
# A hello is signed anew after an hour and believed for a day, so clocks may differ by most of a day.
HELLO_REFRESH_NS = 3_600 * 10**9
HELLO_AGE_MAX_NS = 24 * HELLO_REFRESH_NS
# Messages under one key. At 1 kB each, CCM's bound on telling them from noise is then 2**-50 (130 blocks a message).
COUNTER_MAX = 2**32 - 1

_SIGNED, _PLAIN = 1, 2
_LABEL = b"protovine hello\0"
# With nonces of 11 bytes CCM takes messages of up to 4 GiB; with 13 it would be 64 KiB.
_KEY_BYTES, _NONCE_BYTES = 16, 11
_ECDSA = ec.ECDSA(hashes.SHA256())


class _Body(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    swarm: Annotated[str, msgspec.Meta(max_length=63)]
    name: Annotated[str, msgspec.Meta(max_length=63)]
    id: Annotated[int, msgspec.Meta(ge=0, le=MEMBER_ID_MAX)]
    incarnation: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    created_ns: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    schema: Annotated[bytes, msgspec.Meta(max_length=SCHEMA_BYTES_MAX)]
    # Empty in a plain hello.
    public: Annotated[bytes, msgspec.Meta(max_length=32)]
    certificate: Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_BYTES_MAX)]


class _Hello(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    # Signed as the very bytes that travel, so that it does not matter in how many ways msgpack can say the same.
    body: Annotated[bytes, msgspec.Meta(max_length=HELLO_BYTES_MAX)]
    signature: Annotated[bytes, msgspec.Meta(max_length=80)]


_hello_decoder = msgspec.msgpack.Decoder(_Hello)
_body_decoder = msgspec.msgpack.Decoder(_Body)


@dataclass(frozen=True, slots=True)
class Member:
    """A peer whose hello was accepted.

    Until it is ``confirmed`` by a message that opened, the hello may be a recorded one, less than a day old: the peer
    need not be there.
    """

    id: int
    name: str
    incarnation: int
    confirmed: bool = False
    certificate_end_ns: int | None = None


class EnvelopeLike(Protocol):
    """What a runtime needs of `Envelope` or `PlainEnvelope`."""

    def hello(self, now_ns: int) -> bytes:
        """What tells peers who this node is."""
        ...

    def accept_hello(self, data: bytes, now_ns: int, afford: Callable[[], bool] = lambda: True) -> Member:
        """Take a peer's hello."""
        ...

    def members(self) -> list[Member]:
        """Peers whose hello was accepted, by id."""
        ...

    def seal(self, peer: int, payload: bytes) -> bytes:
        """A payload for one peer."""
        ...

    def open(self, data: bytes) -> tuple[int, bytes]:
        """Who sent it, and the payload."""
        ...


@dataclass(slots=True)
class _Peer:
    """A peer's keys, counters and window.

    Never dropped while the process lives: the same hello would make the same keys again, and nonces must not repeat.
    """

    name: str
    incarnation: int
    public: bytes
    certificate: x509.Certificate
    certificate_der: bytes
    hint: int
    seal: Callable[[bytes, bytes, bytes], bytes]
    open: Callable[[bytes, bytes, bytes], bytes]
    nonce_out: int
    nonce_in: int
    hello_hash: bytes = b""
    trusted: bool = True
    confirmed: bool = False
    counter: int = 0
    newest: int = -1
    # Bit i: the message i before the newest was opened.
    seen: int = 0

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
        The authority and the revoked.
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
    ('bob', 0)
    >>> sealed = ann.seal(1, b"news")
    >>> len(sealed) - len(b"news"), bob.open(sealed)
    (10, (0, b'news'))
    >>> bob.open(sealed)
    Traceback (most recent call last):
    protovine.errors.RemoteProtocolError: message 0 of node 0 came before
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
        _check_parameters(incarnation, schema, payload_bytes_max)
        if identity.member.swarm != trust.swarm:
            raise ConfigError(f"the certificate is of swarm {identity.member.swarm}, the authority of {trust.swarm}")
        self.member = identity.member
        self.id, self.incarnation = identity.member.id, incarnation
        self._identity, self._trust = identity, trust
        self._schema, self._payload_bytes_max = schema, payload_bytes_max
        self._private = X25519PrivateKey.generate()
        self._public = self._private.public_key().public_bytes_raw()
        self._certificate = identity.certificate.public_bytes(serialization.Encoding.DER)
        self._fingerprint = fingerprint(identity.certificate)
        self._hello: tuple[int, bytes] | None = None
        self._peers: dict[int, _Peer] = {}

    @property
    def certificate_end_ns(self) -> int:
        """When the own certificate ends, in nanoseconds since 1970."""
        return int(self._identity.certificate.not_valid_after_utc.timestamp()) * 10**9

    def hello(self, now_ns: int) -> bytes:
        """What tells peers who this is, about 700 bytes; signed anew when the last one is an hour old."""
        if self._hello is None or not 0 <= now_ns - self._hello[0] < HELLO_REFRESH_NS:
            body = _Body(
                self.member.swarm,
                self.member.name,
                self.id,
                self.incarnation,
                now_ns,
                self._schema,
                self._public,
                self._certificate,
            )
            self._hello = now_ns, _write_hello(_SIGNED, body, self._identity.key)
        return self._hello[1]

    def accept_hello(self, data: bytes, now_ns: int, afford: Callable[[], bool] = lambda: True) -> Member:
        """The peer that ``data`` introduces; its keys are new if its incarnation is, and stay as they are if it is not.

        Costs reading and a hash for a hello that was accepted before, reading alone for one that is malformed, stale or
        of another swarm or schema, two signature checks (of certificate and hello) for all else, and one Diffie-Hellman
        for a good one: ``afford`` is asked before these and may say no. State per peer is constant, and there are at
        most as many peers as the authority made.

        Raises
        ------
        RemoteProtocolError
            ``oversize``, ``malformed``, ``version``, ``kind``; ``swarm``, ``schema``; ``impostor``: in the name of this
            node, with the id of another member, or with a certificate of another; ``stale``: of an earlier incarnation,
            of another key in this one, or made more than a day from now; ``certificate``, ``revoked``, ``signature``;
            ``flood``: not looked at, as it could not be afforded.
        """
        body, hello = _read_hello(data, _SIGNED)
        peer = self._peers.get(body.id)
        _check_hello(body, now_ns, self.member, self._schema, peer)
        digest = _sha256(data)
        # The same bytes again are the normal case: hellos are repeated until everybody has them.
        if peer and peer.trusted and peer.hello_hash == digest and now_ns <= peer.end_ns:
            return peer.member(body.id)
        same = peer is not None and peer.incarnation == body.incarnation
        if peer and same and (peer.public, peer.certificate_der) != (body.public, body.certificate):
            raise RemoteProtocolError(
                "stale", f"{body.name} has other keys in incarnation {body.incarnation} than before: does it run twice?"
            )
        _check_afforded(afford)
        certificate = parse_certificate(body.certificate)
        self._check_signed(body, hello, certificate, now_ns)
        if peer is None or not same:
            peer = self._new_peer(body, certificate)
            self._peers[body.id] = peer
        peer.trusted, peer.hello_hash = True, digest
        return peer.member(body.id)

    def members(self) -> list[Member]:
        """Peers whose hello was accepted, by id."""
        return [peer.member(id) for id, peer in sorted(self._peers.items()) if peer.trusted]

    def update_trust(self, trust: Trust, now_ns: int) -> list[Member]:
        """Believe ``trust`` from now on; no longer talk to peers whose certificates are not good any more: these.

        Call it when the revocation list was read again, and now and then with the old one, for certificates that end.
        Costs a signature check per peer.
        """
        self._trust = trust
        gone = []
        for id, peer in sorted(self._peers.items()):
            try:
                trust.verify(peer.certificate, _datetime(now_ns))
            except RemoteProtocolError:
                if peer.trusted:
                    peer.trusted = False
                    gone.append(peer.member(id))
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
        if len(payload) > self._payload_bytes_max:
            raise LocalProtocolError(f"a payload may have {self._payload_bytes_max} bytes, got {len(payload)}")
        if to.counter > COUNTER_MAX:
            raise LocalProtocolError(f"the keys with node {peer} are used up: start again with a higher incarnation")
        head = varint.write(self.id << 3 | to.hint) + varint.write(to.counter)
        sealed = to.seal((to.nonce_out ^ to.counter).to_bytes(_NONCE_BYTES), payload, head)
        to.counter += 1
        return head + sealed

    def open(self, data: bytes) -> tuple[int, bytes]:
        """The sender and the payload of a message that it sealed for this node, once.

        Costs O(bytes), and nothing but the header's reading for what is refused before the tag is checked.

        Raises
        ------
        MissingKeysError
            ``keys``: the sender's hello is missing or not its present one, or it has not got ours.
        RemoteProtocolError
            ``oversize``, ``malformed``; ``replay``: opened before, or too old to tell; ``forged``: not written by the
            sender for this node, or written before either started again.
        """
        if len(data) > self._payload_bytes_max + OVERHEAD_BYTES_MAX:
            raise RemoteProtocolError("oversize", f"a message of {len(data)} bytes")
        sender, hint, counter, at = _read_head(data)
        peer = self._peers.get(sender)
        if peer is None or not peer.trusted or peer.hint != hint:
            raise MissingKeysError(sender, f"a message under keys with node {sender} that are not known")
        behind = peer.newest - counter
        if behind >= WINDOW or (behind >= 0 and peer.seen >> behind & 1):
            raise RemoteProtocolError("replay", f"message {counter} of node {sender} came before")
        try:
            payload = peer.open((peer.nonce_in ^ counter).to_bytes(_NONCE_BYTES), data[at:], data[:at])
        except InvalidTag:
            raise RemoteProtocolError("forged", f"message {counter} of node {sender} was not sealed by it") from None
        if behind < 0:
            peer.seen = (peer.seen << -behind | 1) & ((1 << WINDOW) - 1) if -behind < WINDOW else 1
            peer.newest = counter
        else:
            peer.seen |= 1 << behind
        peer.confirmed = True
        return sender, payload

    def _check_signed(self, body: _Body, hello: _Hello, certificate: x509.Certificate, now_ns: int) -> None:
        """That the member in the certificate wrote the hello and is the one it says."""
        member = self._trust.verify(certificate, _datetime(now_ns))
        if (member.name, member.id) != (body.name, body.id):
            raise RemoteProtocolError(
                "impostor", f"a hello of {body.name} ({body.id}) with the certificate of {member.name} ({member.id})"
            )
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)  # `Trust.verify` saw to it.
        try:
            key.verify(hello.signature, _signed(_SIGNED, hello.body), _ECDSA)
        except InvalidSignature:
            raise RemoteProtocolError("signature", f"the hello of {body.name} is not signed by it") from None

    def _new_peer(self, body: _Body, certificate: x509.Certificate) -> _Peer:
        """Keys from both hellos. Both sides order the two members by id, so that they derive the same."""
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(body.public))
        except ValueError:
            raise RemoteProtocolError("malformed", f"{body.name} has an unusable public key") from None
        ours = [self.id, self.member.name, self.incarnation, self._fingerprint, self._public]
        theirs = [body.id, body.name, body.incarnation, fingerprint(certificate), body.public]
        lower = self.id < body.id
        info = msgspec.msgpack.encode(
            [
                "protovine keys",
                ENVELOPE_VERSION,
                self.member.swarm,
                self._schema,
                *([ours, theirs] if lower else [theirs, ours]),
            ]
        )
        size = _KEY_BYTES + _NONCE_BYTES
        made = HKDF(hashes.SHA256(), length=2 * size, salt=None, info=info).derive(shared)
        out, in_ = (made[:size], made[size:]) if lower else (made[size:], made[:size])
        return _Peer(
            body.name,
            body.incarnation,
            public=body.public,
            certificate=certificate,
            certificate_der=body.certificate,
            hint=(self.incarnation + body.incarnation) % 8,
            seal=AESCCM(out[:_KEY_BYTES], tag_length=TAG_BYTES).encrypt,
            open=AESCCM(in_[:_KEY_BYTES], tag_length=TAG_BYTES).decrypt,
            nonce_out=int.from_bytes(out[_KEY_BYTES:]),
            nonce_in=int.from_bytes(in_[_KEY_BYTES:]),
        )


@dataclass(slots=True)
class _PlainPeer:
    name: str
    incarnation: int
    trusted: bool = True
    confirmed: bool = False


class PlainEnvelope:
    """The same calls without certificates: whoever reaches this node can speak in any name, and everybody can read.

    For swarms on a network of their own, and for measuring what security costs. The header is the sender's id.

    Parameters
    ----------
    member : MemberName
        Who this node says it is.
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
    >>> bob.open(ann.seal(1, b"news"))
    (0, b'news')
    """

    def __init__(
        self, member: MemberName, *, incarnation: int, schema: bytes, payload_bytes_max: int = MESSAGE_BYTES_MAX
    ) -> None:
        _check_parameters(incarnation, schema, payload_bytes_max)
        check_name("the swarm's name", member.swarm)
        check_name("the member's name", member.name)
        check_range("id", member.id, 0, MEMBER_ID_MAX)
        self.member, self.id, self.incarnation = member, member.id, incarnation
        self._schema, self._payload_bytes_max = schema, payload_bytes_max
        self._peers: dict[int, _PlainPeer] = {}

    def hello(self, now_ns: int) -> bytes:
        """What tells peers who this is."""
        who = self.member
        return _write_hello(
            _PLAIN, _Body(who.swarm, who.name, who.id, self.incarnation, now_ns, self._schema, b"", b""), None
        )

    def accept_hello(self, data: bytes, now_ns: int, afford: Callable[[], bool] = lambda: True) -> Member:
        """The peer that ``data`` introduces, as it says.

        Raises
        ------
        RemoteProtocolError
            As of `Envelope.accept_hello`, less what certificates and signatures tell.
        """
        body, _ = _read_hello(data, _PLAIN)
        peer = self._peers.get(body.id)
        _check_hello(body, now_ns, self.member, self._schema, peer)
        if peer is None or peer.incarnation < body.incarnation:
            _check_afforded(afford)
            peer = self._peers[body.id] = _PlainPeer(body.name, body.incarnation)
        return Member(body.id, peer.name, peer.incarnation, peer.confirmed)

    def members(self) -> list[Member]:
        """Peers whose hello was accepted, by id."""
        return [Member(id, peer.name, peer.incarnation, peer.confirmed) for id, peer in sorted(self._peers.items())]

    def seal(self, peer: int, payload: bytes) -> bytes:
        """``payload`` for one peer, 1 to 3 bytes longer; `LocalProtocolError` if it is too long or the peer unknown."""
        if peer not in self._peers:
            raise LocalProtocolError(f"no hello of node {peer} was accepted")
        if len(payload) > self._payload_bytes_max:
            raise LocalProtocolError(f"a payload may have {self._payload_bytes_max} bytes, got {len(payload)}")
        return varint.write(self.id) + payload

    def open(self, data: bytes) -> tuple[int, bytes]:
        """Who says that it sent the message, and the payload.

        Raises
        ------
        MissingKeysError
            ``keys``: no hello of that sender was accepted.
        RemoteProtocolError
            ``oversize``, ``malformed``.
        """
        if len(data) > self._payload_bytes_max + OVERHEAD_BYTES_MAX:
            raise RemoteProtocolError("oversize", f"a message of {len(data)} bytes")
        try:
            sender, at = varint.read(data, 0)
        except CodecError as error:
            raise RemoteProtocolError("malformed", str(error)) from None
        peer = self._peers.get(sender)
        if peer is None:
            raise MissingKeysError(sender, f"a message of node {sender}, which has not said hello")
        peer.confirmed = True
        return sender, data[at:]


# -- Hellos and headers. -----------------------------------------------------------------------------------------------


class _Known(Protocol):
    name: str
    incarnation: int


def _check_parameters(incarnation: int, schema: bytes, payload_bytes_max: int) -> None:
    check_range("incarnation", incarnation, 0, 2**63 - 1)
    check_range("the schema's length", len(schema), 0, SCHEMA_BYTES_MAX)
    check_range("payload_bytes_max", payload_bytes_max, 0, MESSAGE_BYTES_MAX)


def _signed(kind: int, body: bytes) -> bytes:
    return _LABEL + _head(kind) + body


def _head(kind: int) -> bytes:
    return bytes([MAGIC, ENVELOPE_VERSION << 4 | kind])


def _write_hello(kind: int, body: _Body, key: ec.EllipticCurvePrivateKey | None) -> bytes:
    packed = msgspec.msgpack.encode(body)
    signature = key.sign(_signed(kind, packed), _ECDSA) if key else b""
    return _head(kind) + msgspec.msgpack.encode(_Hello(packed, signature))


def _read_hello(data: bytes, kind: int) -> tuple[_Body, _Hello]:
    if len(data) > HELLO_BYTES_MAX:
        raise RemoteProtocolError("oversize", f"a hello may have at most {HELLO_BYTES_MAX} bytes, got {len(data)}")
    if len(data) < 2 or data[0] != MAGIC:
        raise RemoteProtocolError("malformed", "not a protovine hello")
    if data[1] >> 4 != ENVELOPE_VERSION:
        raise RemoteProtocolError("version", f"a hello of version {data[1] >> 4}, expected {ENVELOPE_VERSION}")
    if data[1] & 0x0F != kind:
        words = {_SIGNED: "a signed hello", _PLAIN: "a plain hello"}
        got = words.get(data[1] & 0x0F, "neither")
        raise RemoteProtocolError("kind", f"expected {words[kind]}, got {got}")
    try:
        hello = _hello_decoder.decode(memoryview(data)[2:])
        return _body_decoder.decode(hello.body), hello
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RemoteProtocolError("malformed", f"not a protovine hello: {error}") from None


def _check_hello(body: _Body, now_ns: int, own: MemberName, schema: bytes, known: _Known | None) -> None:
    """What can be said of a hello before anything dear is done."""
    if body.swarm != own.swarm:
        raise RemoteProtocolError("swarm", f"a hello of swarm {body.swarm!r}, this is {own.swarm}")
    if body.schema != schema:
        raise RemoteProtocolError("schema", f"{body.name!r} has schema {body.schema.hex()}, this node {schema.hex()}")
    if body.id == own.id:
        raise RemoteProtocolError("impostor", f"a hello with the id of this node, {own.id}")
    if known is not None and known.name != body.name:
        raise RemoteProtocolError("impostor", f"a hello of {body.name!r} with the id of {known.name}")
    if known is not None and body.incarnation < known.incarnation:
        raise RemoteProtocolError(
            "stale", f"incarnation {body.incarnation} of {body.name}, already at {known.incarnation}"
        )
    if abs(now_ns - body.created_ns) > HELLO_AGE_MAX_NS:
        raise RemoteProtocolError("stale", f"the hello of {body.name!r} was made more than a day from now")


def _check_afforded(afford: Callable[[], bool]) -> None:
    if not afford():
        raise RemoteProtocolError("flood", "more hellos than are looked at")


def _read_head(data: bytes) -> tuple[int, int, int, int]:
    """Sender, hint, counter and where the payload begins."""
    try:
        first, at = varint.read(data, 0)
        counter, at = varint.read(data, at)
    except CodecError as error:
        raise RemoteProtocolError("malformed", str(error)) from None
    if first >> 3 > MEMBER_ID_MAX or counter > COUNTER_MAX or len(data) < at + TAG_BYTES:
        raise RemoteProtocolError("malformed", "not a sealed message")
    return first >> 3, first & 7, counter, at


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _datetime(now_ns: int) -> datetime:
    return datetime.fromtimestamp(now_ns // 10**9, UTC)
