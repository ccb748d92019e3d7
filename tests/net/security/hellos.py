"""Envelopes, and hellos that say something else than their member does, for tests."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from protovine.errors import RemoteProtocolError
from protovine.net import Envelope, EnvelopeLike, Identity, Trust
from protovine.net.security.hello import HelloBody, HelloFrame
from tests.net.conftest import NOW

NOW_NS = int(NOW.timestamp()) * 10**9
DAY_NS = 24 * 3600 * 10**9
NAMES = ("ann", "bob", "cat")


def envelope(identity: Identity, trust: Trust, incarnation: int = 1, schema: bytes = b"v1", **more: int) -> Envelope:
    return Envelope(identity, trust, incarnation=incarnation, schema=schema, **more)


def met(one: EnvelopeLike, other: EnvelopeLike) -> None:
    one.accept_hello(other.hello(NOW_NS), NOW_NS)
    other.accept_hello(one.hello(NOW_NS), NOW_NS)


def refused(reason: str, envelope: EnvelopeLike, data: bytes) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        envelope.open(data)
    assert reason == caught.value.reason, caught.value
    return caught.value


def hello_refused(reason: str, envelope: EnvelopeLike, data: bytes, now_ns: int = NOW_NS) -> None:
    before = envelope.members()
    with pytest.raises(RemoteProtocolError) as caught:
        envelope.accept_hello(data, now_ns)
    assert reason == caught.value.reason, caught.value
    assert before == envelope.members()


def parts(hello: bytes) -> tuple[HelloBody, HelloFrame]:
    outer = msgspec.msgpack.decode(hello[2:], type=HelloFrame)
    return msgspec.msgpack.decode(outer.body, type=HelloBody), outer


def rewritten(hello: bytes, signer: Identity | None = None, **changes: object) -> bytes:
    """A hello that says something else, with the old signature or signed by another key."""
    body, outer = parts(hello)
    packed = msgspec.msgpack.encode(msgspec.structs.replace(body, **changes))
    signature = outer.signature
    if signer:
        signature = signer.key.sign(b"protovine hello\0" + hello[:2] + packed, ec.ECDSA(hashes.SHA256()))
    return hello[:2] + msgspec.msgpack.encode(HelloFrame(packed, signature))
