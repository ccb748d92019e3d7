"""Hellos, by which a member identifies itself to all others: their bytes and checks.

Layout::

    u8      0x76, then u8 version << 4 | kind (1 signed, 2 plain)
    bytes   msgpack of `HelloBody`, and of the signature (ECDSA P-256, SHA-256, DER) over label, magic, kind and body
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Protocol

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from protovine.errors import (
    ImpostorError,
    LocalProtocolError,
    OtherSchemaError,
    OwnNameError,
    RemoteProtocolError,
    StaleHelloError,
    check_range,
)
from protovine.gossip import MESSAGE_BYTES_MAX
from protovine.net.pacing import incarnation_max
from protovine.net.security.identity import CERTIFICATE_BYTES_MAX, MEMBER_ID_MAX, MemberName

MAGIC = 0x76
ENVELOPE_VERSION = 1
HELLO_BYTES_MAX = 8192
SCHEMA_BYTES_MAX = 64
# A hello is signed again after an hour and believed for a day, so clocks may differ by most of a day.
HELLO_REFRESH_NS = 3_600 * 10**9
HELLO_AGE_MAX_NS = 24 * HELLO_REFRESH_NS
INCARNATION_MAX = 2**63 - 1

SIGNED, PLAIN = 1, 2
ECDSA = ec.ECDSA(hashes.SHA256())
_LABEL = b"protovine hello\0"


@dataclass(frozen=True, slots=True)
class Member:
    """A peer whose hello was accepted.

    Until a message that opened has ``confirmed`` it, the hello may be a recording, less than a day old, of a peer that
    is not there.
    """

    id: int
    name: str
    incarnation: int
    confirmed: bool = False
    certificate_end_ns: int | None = None


class HelloBody(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What a member says about itself."""

    swarm: Annotated[str, msgspec.Meta(max_length=63)]
    name: Annotated[str, msgspec.Meta(max_length=63)]
    id: Annotated[int, msgspec.Meta(ge=0, le=MEMBER_ID_MAX)]
    incarnation: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    created_ns: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    schema: Annotated[bytes, msgspec.Meta(max_length=SCHEMA_BYTES_MAX)]
    # A fresh key for Diffie-Hellman; in a plain hello random bytes. Other bytes are another start of the process.
    public: Annotated[bytes, msgspec.Meta(max_length=32)]
    # Empty in a plain hello.
    certificate: Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_BYTES_MAX)]


class HelloFrame(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """A hello's body with its signature, which is empty in a plain hello."""

    # The signature is over these very bytes, so it does not matter that msgpack can encode one value in several ways.
    body: Annotated[bytes, msgspec.Meta(max_length=HELLO_BYTES_MAX)]
    signature: Annotated[bytes, msgspec.Meta(max_length=80)]


_hello_decoder = msgspec.msgpack.Decoder(HelloFrame)
_body_decoder = msgspec.msgpack.Decoder(HelloBody)


class _Known(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def public(self) -> bytes: ...


class Remembered:
    """The newest hellos of peers that an earlier start of this node knew.

    They are of this node's own disk, so nothing is checked again. A recorded hello from before them stays refused.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[HelloBody, bytes]] = {}

    def add(self, hellos: list[tuple[int, bytes]], kind: int) -> None:
        """Remember them; those of another kind or version are left out."""
        for peer, data in hellos:
            with contextlib.suppress(RemoteProtocolError):
                self._known[peer] = read_hello(data, kind)[0], data

    def body(self, peer: int) -> HelloBody | None:
        """What a peer said, if it is remembered."""
        return self._known[peer][0] if peer in self._known else None

    def all(self) -> dict[int, bytes]:
        """The hellos by peer."""
        return {peer: data for peer, (_, data) in self._known.items()}


def check_parameters(incarnation: int, schema: bytes, payload_bytes_max: int) -> None:
    """`ConfigError` unless an envelope can have these parameters."""
    check_range("incarnation", incarnation, 0, INCARNATION_MAX)
    check_range("the schema's length", len(schema), 0, SCHEMA_BYTES_MAX)
    check_range("payload_bytes_max", payload_bytes_max, 0, MESSAGE_BYTES_MAX)


def check_raised(incarnation: int, higher: int) -> None:
    """`LocalProtocolError` unless ``higher`` can follow ``incarnation``."""
    if not incarnation < higher <= INCARNATION_MAX:
        raise LocalProtocolError(f"incarnation {higher} cannot follow {incarnation}")


def signed_bytes(kind: int, body: bytes) -> bytes:
    """The bytes that the signature of a hello covers."""
    return _LABEL + _head(kind) + body


def _head(kind: int) -> bytes:
    return bytes([MAGIC, ENVELOPE_VERSION << 4 | kind])


def write_hello(kind: int, body: HelloBody, key: ec.EllipticCurvePrivateKey | None) -> bytes:
    """The bytes of a hello, signed if there is a key."""
    packed = msgspec.msgpack.encode(body)
    signature = key.sign(signed_bytes(kind, packed), ECDSA) if key else b""
    return _head(kind) + msgspec.msgpack.encode(HelloFrame(packed, signature))


def read_hello(data: bytes, kind: int) -> tuple[HelloBody, HelloFrame]:
    """A hello from its bytes; `RemoteProtocolError` if it is malformed, too long, or of another version or kind."""
    if len(data) > HELLO_BYTES_MAX:
        raise RemoteProtocolError("oversize", f"a hello may have at most {HELLO_BYTES_MAX} bytes, got {len(data)}")
    if len(data) < 2 or data[0] != MAGIC:
        raise RemoteProtocolError("malformed", "not a protovine hello")
    if data[1] >> 4 != ENVELOPE_VERSION:
        raise RemoteProtocolError("version", f"a hello of version {data[1] >> 4}, expected {ENVELOPE_VERSION}")
    if data[1] & 0x0F != kind:
        words = {SIGNED: "a signed hello", PLAIN: "a plain hello"}
        got = words.get(data[1] & 0x0F, "neither")
        raise RemoteProtocolError("kind", f"expected {words[kind]}, got {got}")
    try:
        hello = _hello_decoder.decode(memoryview(data)[2:])
        return _body_decoder.decode(hello.body), hello
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RemoteProtocolError("malformed", f"not a protovine hello: {error}") from None


def check_hello(body: HelloBody, now_ns: int, own: MemberName, schema: bytes, known: _Known | None) -> None:
    """Refuse a hello for what can be seen without checking a signature: `RemoteProtocolError`."""
    if body.swarm != own.swarm:
        raise RemoteProtocolError("swarm", f"a hello of swarm {body.swarm!r}, this is {own.swarm}")
    if body.schema != schema:
        raise OtherSchemaError(body.name, body.schema, schema)
    if known is not None and known.name != body.name:
        raise ImpostorError(body.id, f"a hello of {body.name!r} with the id of {known.name}, {body.id}")
    if known is not None and body.incarnation < known.incarnation:
        raise StaleHelloError(body.id, f"incarnation {body.incarnation} of {body.name}, already at {known.incarnation}")
    if known is not None and body.incarnation == known.incarnation and body.public != known.public:
        raise StaleHelloError(
            body.id,
            f"{body.name} has another key in incarnation {body.incarnation}: it lost its state, or runs twice",
        )
    if abs(now_ns - body.created_ns) > HELLO_AGE_MAX_NS:
        raise RemoteProtocolError("stale", f"the hello of {body.name!r} was made more than a day from now")


def check_incarnation(body: HelloBody, now_ns: int) -> None:
    """`RemoteProtocolError` for an incarnation that no start can have: later starts could not exceed it."""
    if body.incarnation > incarnation_max(now_ns):
        raise RemoteProtocolError("malformed", f"{body.name!r} claims to be incarnation {body.incarnation}")


def check_own_name(body: HelloBody, own: MemberName) -> bool:
    """Whether a hello claims to be of this node; `RemoteProtocolError` if only its id does."""
    if body.swarm != own.swarm or body.id != own.id:
        return False
    if body.name != own.name:
        text = f"a hello of {body.name!r} with the id of this node, {own.id}: no two members may have the same"
        raise RemoteProtocolError("impostor", text)
    return True


def own_name(body: HelloBody, valid: bool = True) -> OwnNameError:
    """What is raised for a hello in the name of this node, whose certificate is ``valid`` or no longer."""
    return OwnNameError(
        body.incarnation,
        body.public,
        body.created_ns,
        f"a hello of {body.name}, this node, that another process made as incarnation {body.incarnation}",
        valid,
    )


def check_afforded(afford: Callable[[], bool]) -> None:
    """`RemoteProtocolError` if the caller cannot afford to check one more hello."""
    if not afford():
        raise RemoteProtocolError("flood", "more hellos than this node checks")
