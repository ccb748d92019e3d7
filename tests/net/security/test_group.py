"""Messages to all: every member opens them once, and only if their owner wrote them."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protovine import varint
from protovine.errors import LocalProtocolError, RemoteProtocolError
from protovine.net import Envelope, Identity, MemberName, PlainEnvelope, Trust
from protovine.net.security.envelope import OVERHEAD_BYTES_MAX
from protovine.net.security.group import GROUP_OVERHEAD_BYTES_MAX, KEY_MARK, Group
from protovine.net.security.sealing import COUNTER_MAX, WINDOW
from tests.net.security.hellos import NOW_NS, envelope, met

ANN, BOB, CAT = range(3)


@pytest.fixture
def three(members: dict[str, Identity], trust: Trust) -> tuple[Envelope, Envelope, Envelope]:
    """Ann, bob and cat, who have each other's sender keys."""
    ann, bob, cat = (envelope(members[name], trust) for name in ("ann", "bob", "cat"))
    for one, other in ((ann, bob), (ann, cat), (bob, cat)):
        met(one, other)
        hand(one, other)
        hand(other, one)
    return ann, bob, cat


def hand(giver: Envelope, taker: Envelope) -> None:
    """A sender key, in a sealed message."""
    sender, payload = taker.open(giver.seal(taker.id, giver.group.sender_key))
    assert payload.startswith(KEY_MARK)
    taker.group.take_key(sender, payload)


def refused(reason: str, by: Envelope, data: bytes) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as found:
        by.group.open(data)
    assert reason == found.value.reason
    return found.value


def test_a_message_to_all_opens_once_at_each_member(three: tuple[Envelope, Envelope, Envelope]) -> None:
    ann, bob, cat = three
    sealed = ann.group.seal(b"data for all")
    assert b"data" not in sealed
    for other in (bob, cat):
        assert (ANN, b"data for all") == other.group.open(sealed)
        refused("replay", other, sealed)
    refused("echo", ann, sealed)


def test_the_bytes_are_as_documented(three: tuple[Envelope, Envelope, Envelope]) -> None:
    """The same from the parts of the library, as a second implementation would write it from the documents."""
    ann, bob, _ = three
    signing, secret = Ed25519PrivateKey.generate(), bytes(range(27))
    public = signing.public_key().public_bytes_raw()
    bob.group.take_key(ANN, KEY_MARK + msgspec.msgpack.encode([9, secret, public]))
    head = bytes([ANN << 3 | 9 % 8]) + varint.write(300)
    nonce = (int.from_bytes(secret[16:]) ^ 300).to_bytes(11)
    data = head + AESCCM(secret[:16], 8).encrypt(nonce, b"to all", head)
    assert (ANN, b"to all") == bob.group.open(data + signing.sign(b"protovine message to all\0" + data))
    generation, secret, public = msgspec.msgpack.decode(ann.group.sender_key.removeprefix(KEY_MARK))
    sealed = ann.group.seal(b"x")
    Ed25519PublicKey.from_public_bytes(public).verify(sealed[-64:], b"protovine message to all\0" + sealed[:-64])
    assert (0, 2 + 1 + 8 + 64) == (generation, len(sealed))
    assert GROUP_OVERHEAD_BYTES_MAX == OVERHEAD_BYTES_MAX + 64
    assert len(varint.write(999_999 << 3 | 7) + varint.write(COUNTER_MAX)) == 9


def test_a_member_cannot_write_in_the_name_of_another(three: tuple[Envelope, Envelope, Envelope]) -> None:
    """Bob has ann's sender key, as all have, but not what she signs with."""
    ann, bob, cat = three
    known = bob.group._senders[ANN].key
    head = bytes([ANN << 3, 5])
    nonce = (int.from_bytes(known.secret[16:]) ^ 5).to_bytes(11)
    data = head + AESCCM(known.secret[:16], 8).encrypt(nonce, b"a lie", head)
    refused("forged", cat, data + bob.group._signing.sign(b"protovine message to all\0" + data))
    # Her own signature of another message does not fit, nor does a message of his under her name.
    sealed = ann.group.seal(b"truth")
    refused("forged", cat, data + sealed[-64:])
    mine = bob.group.seal(b"a lie")
    refused("forged", cat, bytes([ANN << 3 | mine[0] & 7]) + mine[1:])
    assert (ANN, b"truth") == cat.group.open(sealed), "nothing has changed"


@given(st.integers(0, 10**6), st.integers(1, 255), st.binary(max_size=80))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
def test_any_flipped_byte_is_refused_and_changes_nothing(
    three: tuple[Envelope, Envelope, Envelope], at: int, flip: int, payload: bytes
) -> None:
    ann, bob, _ = three
    sealed = ann.group.seal(payload)
    at %= len(sealed)
    with pytest.raises(RemoteProtocolError):
        bob.group.open(sealed[:at] + bytes([sealed[at] ^ flip]) + sealed[at + 1 :])
    assert (ANN, payload) == bob.group.open(sealed)


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
def test_arbitrary_bytes_are_refused(three: tuple[Envelope, Envelope, Envelope], data: bytes) -> None:
    _, bob, _ = three
    with pytest.raises(RemoteProtocolError):
        bob.group.open(data)
    with pytest.raises(RemoteProtocolError):
        bob.group.take_key(ANN, data)
    with pytest.raises(RemoteProtocolError):
        bob.group.take_key(ANN, KEY_MARK + data)


@given(st.permutations(range(40)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
def test_any_order_is_taken_within_the_window(three: tuple[Envelope, Envelope, Envelope], order: list[int]) -> None:
    ann, bob, _ = three
    sealed = [ann.group.seal(b"%d" % i) for i in range(40)]
    assert [(ANN, b"%d" % i) for i in order] == [bob.group.open(sealed[i]) for i in order]
    for i in order:
        refused("replay", bob, sealed[i])


def test_a_new_sender_key_shuts_out_those_who_have_the_old_one(
    three: tuple[Envelope, Envelope, Envelope], trust: Trust
) -> None:
    ann, bob, cat = three
    before = ann.group.seal(b"for all three")
    serial = cat._identity.certificate.serial_number
    revoked = replace(trust, revoked=trust.revoked | {serial})
    assert [member.name for member in ann.update_trust(revoked, NOW_NS)] == ["cat"]
    after = ann.group.seal(b"for two")
    hand(ann, bob)
    assert (ANN, b"for two") == bob.group.open(after)
    refused("keys", bob, before)
    with pytest.raises(LocalProtocolError):
        ann.seal(CAT, ann.group.sender_key)
    refused("keys", cat, after)
    refused("keys", ann, cat.group.seal(b"nobody listens"))


def test_an_older_sender_key_and_the_same_again_change_nothing(three: tuple[Envelope, Envelope, Envelope]) -> None:
    ann, bob, _ = three
    old = ann.group.sender_key
    sealed = ann.group.seal(b"1")
    bob.group.open(sealed)
    bob.group.take_key(ANN, old)
    refused("replay", bob, sealed)
    ann.group.renew()
    hand(ann, bob)
    bob.group.take_key(ANN, old)
    refused("keys", bob, sealed)
    assert (ANN, b"2") == bob.group.open(ann.group.seal(b"2"))


def test_a_raised_incarnation_has_another_sender_key(three: tuple[Envelope, Envelope, Envelope]) -> None:
    """Otherwise a peer that has met it again would take its old messages once more."""
    ann, bob, _ = three
    sealed = ann.group.seal(b"before")
    bob.group.open(sealed)
    ann.raise_to(ann.incarnation + 1)
    bob.accept_hello(ann.hello(NOW_NS), NOW_NS)
    refused("keys", bob, sealed)
    hand(ann, bob)
    refused("keys", bob, sealed)
    assert (ANN, b"after") == bob.group.open(ann.group.seal(b"after"))


def test_a_key_that_is_used_up_is_replaced() -> None:
    ann, bob = (Group(id, lambda peer: True, 100) for id in (ANN, BOB))
    bob.take_key(ANN, ann.sender_key)
    ann._counter = COUNTER_MAX
    assert (ANN, b"last") == bob.open(ann.seal(b"last"))
    sealed = ann.seal(b"next")
    with pytest.raises(RemoteProtocolError, match="not known"):
        bob.open(sealed)
    bob.take_key(ANN, ann.sender_key)
    assert (ANN, b"next") == bob.open(sealed)


def test_sizes_are_bounded() -> None:
    ann, bob = (Group(id, lambda peer: True, 100) for id in (ANN, BOB))
    bob.take_key(ANN, ann.sender_key)
    assert (ANN, bytes(100)) == bob.open(ann.seal(bytes(100)))
    with pytest.raises(LocalProtocolError, match="100 bytes, got 101"):
        ann.seal(bytes(101))
    with pytest.raises(RemoteProtocolError, match="a message of 300 bytes"):
        bob.open(bytes(300))


def test_old_messages_beyond_the_window_are_refused(three: tuple[Envelope, Envelope, Envelope]) -> None:
    ann, bob, _ = three
    sealed = [ann.group.seal(b"%d" % i) for i in range(WINDOW + 2)]
    bob.group.open(sealed[-1])
    refused("replay", bob, sealed[0])
    assert (ANN, b"2") == bob.group.open(sealed[2])


def test_an_open_network_has_no_keys() -> None:
    ann, bob = (
        PlainEnvelope(MemberName("barn", name, id), incarnation=1, schema=b"v1")
        for id, name in enumerate(("ann", "bob"))
    )
    sealed = ann.group.seal(b"data")
    with pytest.raises(RemoteProtocolError, match="has not said hello"):
        bob.group.open(sealed)
    bob.accept_hello(ann.hello(0), 0)
    assert ann.group.sender_key is None and (0, b"data") == bob.group.open(sealed)
    with pytest.raises(RemoteProtocolError, match="on an open network"):
        bob.group.take_key(0, KEY_MARK)
    for data, reason in ((b"", "malformed"), (sealed[:1], "keys"), (bytes(10**8), "oversize"), (b"\x01ab", "echo")):
        with pytest.raises(RemoteProtocolError) as found:
            bob.group.open(data)
        assert reason == found.value.reason
