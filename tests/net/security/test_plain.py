"""The envelope without certificates."""

from __future__ import annotations

import pytest

from protovine.errors import LocalProtocolError
from protovine.net import MemberName, PlainEnvelope
from protovine.net.security.envelope import OVERHEAD_BYTES_MAX
from tests.net.security.hellos import NOW_NS, hello_refused, met, refused


def test_a_plain_swarm_checks_what_can_be_checked() -> None:
    def plain(name: str, id: int, incarnation: int = 1, swarm: str = "barn", schema: bytes = b"v1") -> PlainEnvelope:
        return PlainEnvelope(MemberName(swarm, name, id), incarnation=incarnation, schema=schema)

    ann, bob = plain("ann", 0), plain("bob", 200, incarnation=3)
    assert 0 == refused("keys", bob, bytes([0]) + b"data").sender
    met(ann, bob)
    sealed = bob.seal(0, b"data")
    assert (3 + 4, (200, b"data")) == (len(sealed), ann.open(sealed))
    assert [True] == [member.confirmed for member in ann.members()]
    hello_refused("stale", ann, plain("bob", 200, incarnation=2).hello(NOW_NS))
    hello_refused("swarm", ann, plain("cat", 2, swarm="shed").hello(NOW_NS))
    hello_refused("schema", ann, plain("cat", 2, schema=b"").hello(NOW_NS))
    hello_refused("impostor", ann, plain("cat", 0).hello(NOW_NS))
    hello_refused("twice", ann, plain("ann", 0).hello(NOW_NS))
    hello_refused("echo", ann, ann.hello(NOW_NS))
    hello_refused("impostor", ann, plain("cat", 200, incarnation=9).hello(NOW_NS))
    refused("malformed", ann, b"")
    refused("oversize", ann, bytes(2**24 + OVERHEAD_BYTES_MAX + 1))
    with pytest.raises(LocalProtocolError):
        ann.seal(1, b"")
