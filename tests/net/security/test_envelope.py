"""Who sent a message: honest ones come out once, all others not at all."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protovine import varint
from protovine.errors import ConfigError, LocalProtocolError, MissingKeysError, RemoteProtocolError
from protovine.net import Envelope, Identity, MemberName, PlainEnvelope, Trust, load_trust
from protovine.net.security.envelope import OVERHEAD_BYTES_MAX
from protovine.net.security.sealing import COUNTER_MAX, WINDOW
from tests.net.security.hellos import DAY_NS, NOW_NS, envelope, hello_refused, met, parts, refused, rewritten

# -- Messages. ---------------------------------------------------------------------------------------------------------


def test_a_message_opens_once_and_only_for_its_peer(
    pair: tuple[Envelope, Envelope], members: dict[str, Identity], trust: Trust
) -> None:
    ann, bob = pair
    cat = envelope(members["cat"], trust)
    met(cat, ann)
    met(cat, bob)
    assert not bob.members()[0].confirmed
    sealed = ann.seal(1, b"data")
    assert b"data" not in sealed
    refused("forged", cat, sealed)
    assert MissingKeysError is type(refused("keys", ann, sealed)), "a reflected message has no keys with oneself"
    refused("forged", ann, bytes([1 << 3 | sealed[0] & 7]) + sealed[1:])
    assert (0, b"data") == bob.open(sealed)
    assert [True, False] == [member.confirmed for member in bob.members()]
    refused("replay", bob, sealed)


def test_eleven_bytes_buy_security(pair: tuple[Envelope, Envelope]) -> None:
    """Sender 1, counter 1 to 3, tag 8: 10 bytes for 128 messages, then 11 for 16,256, then 12 for two million."""
    ann, _ = pair
    more = [len(ann.seal(1, b"x" * 60)) - 60 for _ in range(16385)]
    assert ([10] * 128, {11}, 12) == (more[:128], set(more[128:16384]), more[16384])
    assert OVERHEAD_BYTES_MAX == len(varint.write(999_999 << 3 | 7) + varint.write(COUNTER_MAX)) + 8


def test_keys_and_messages_follow_the_definition(pair: tuple[Envelope, Envelope], members: dict[str, Identity]) -> None:
    """The same from the parts of the library, as a second implementation would write it from the documents."""
    ann, _ = pair
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    hello = rewritten(pair[1].hello(NOW_NS), members["bob"], public=public, incarnation=7)
    ann.accept_hello(hello, NOW_NS)
    ann_body, _ = parts(ann.hello(NOW_NS))
    shared = private.exchange(X25519PublicKey.from_public_bytes(ann_body.public))
    both = [[0, "ann", 1, ann_body.public], [1, "bob", 7, public]]
    info = msgspec.msgpack.encode(["protovine keys", 1, "barn", b"v1", *both])
    made = HKDF(hashes.SHA256(), 54, None, info).derive(shared)
    nonce = (int.from_bytes(made[16:27]) ^ 0).to_bytes(11)
    head = bytes([0 << 3 | (1 + 7) % 8, 0])
    assert head + AESCCM(made[:16], 8).encrypt(nonce, b"to bob", head) == ann.seal(1, b"to bob")
    nonce = (int.from_bytes(made[43:]) ^ 300).to_bytes(11)
    head = bytes([1 << 3 | (1 + 7) % 8]) + varint.write(300)
    assert (1, b"to ann") == ann.open(head + AESCCM(made[27:43], 8).encrypt(nonce, b"to ann", head))


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
def test_any_order_opens_what_is_in_the_window(pair: tuple[Envelope, Envelope], data: st.DataObject) -> None:
    ann, bob = pair
    sealed = [(ann.seal(1, b"%d" % i), b"%d" % i) for i in range(WINDOW)]
    for at in data.draw(st.permutations(range(WINDOW))):
        message, payload = sealed[at]
        assert (0, payload) == bob.open(message)
        refused("replay", bob, message)


def test_what_fell_out_of_the_window_is_refused(pair: tuple[Envelope, Envelope]) -> None:
    ann, bob = pair
    sealed = [ann.seal(1, b"") for _ in range(3 * WINDOW + 1)]
    bob.open(sealed[WINDOW])
    refused("replay", bob, sealed[0])
    bob.open(sealed[1])
    bob.open(sealed[-1])
    for at in (1, 2, WINDOW, 2 * WINDOW):
        refused("replay", bob, sealed[at])
    bob.open(sealed[2 * WINDOW + 1])


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_changed_bit_and_every_cut_is_refused(pair: tuple[Envelope, Envelope], data: st.DataObject) -> None:
    ann, bob = pair
    payload = data.draw(st.binary(max_size=20))
    sealed = ann.seal(1, payload)
    changed = bytearray(sealed)
    changed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.integers(0, len(sealed) - 1))
    for bad in (bytes(changed), sealed[:cut], sealed[cut + 1 :], sealed + b"\0"):
        with pytest.raises(RemoteProtocolError):
            bob.open(bad)
    assert (0, payload) == bob.open(sealed)


def test_long_payloads_pass_up_to_the_limit(members: dict[str, Identity], trust: Trust) -> None:
    """Beyond 64 KiB, where CCM with the longest nonces would end."""
    ann, bob = (envelope(members[name], trust, payload_bytes_max=70_000) for name in ("ann", "bob"))
    met(ann, bob)
    assert (0, bytes(70_000)) == bob.open(ann.seal(1, bytes(70_000)))
    refused("oversize", bob, bytes(70_000 + OVERHEAD_BYTES_MAX + 1))
    with pytest.raises(LocalProtocolError, match="a payload may have 70000 bytes, got 70001"):
        ann.seal(1, bytes(70_001))


def test_keys_run_out_before_their_counter_does(pair: tuple[Envelope, Envelope]) -> None:
    ann, bob = pair
    ann._peers[1].counter = COUNTER_MAX
    bob.open(ann.seal(1, b"the last"))
    with pytest.raises(LocalProtocolError, match="used up"):
        ann.seal(1, b"one more")


# -- Hellos. -----------------------------------------------------------------------------------------------------------


def test_messages_need_both_hellos(members: dict[str, Identity], trust: Trust) -> None:
    ann, bob = (envelope(members[name], trust) for name in ("ann", "bob"))
    with pytest.raises(LocalProtocolError, match="no hello of node 1"):
        ann.seal(1, b"")
    ann.accept_hello(bob.hello(NOW_NS), NOW_NS)
    sealed = ann.seal(1, b"early")
    assert 0 == refused("keys", bob, sealed).sender
    bob.accept_hello(ann.hello(NOW_NS), NOW_NS)
    assert (0, b"early") == bob.open(sealed)


def test_a_restart_is_distinguished_from_a_forgery(
    pair: tuple[Envelope, Envelope], members: dict[str, Identity], trust: Trust
) -> None:
    ann, bob = pair
    bob.open(ann.seal(1, b"before"))
    old_hello, unopened = ann.hello(NOW_NS), ann.seal(1, b"lost")
    ann = envelope(members["ann"], trust, incarnation=2)
    ann.accept_hello(bob.hello(NOW_NS), NOW_NS)
    refused("keys", bob, ann.seal(1, b"too early"))
    assert 2 == bob.accept_hello(ann.hello(NOW_NS), NOW_NS).incarnation
    assert (0, b"after") == bob.open(ann.seal(1, b"after"))
    refused("keys", bob, unopened)
    hello_refused("stale", bob, old_hello)
    assert 0 == ann.open(bob.seal(0, b"x"))[0] - 1


def test_who_is_revoked_falls_silent_and_nonces_never_repeat(pair: tuple[Envelope, Envelope], trust: Trust) -> None:
    ann, bob = pair
    bob.open(sealed := ann.seal(1, b"once"))
    first, hello = bob.seal(0, b"x"), ann.hello(NOW_NS)
    ann_serial = x509.load_der_x509_certificate(parts(hello)[0].certificate).serial_number
    (gone,) = bob.update_trust(Trust(trust.certificate, trust.revoked | {ann_serial}), NOW_NS)
    assert ("ann", []) == (gone.name, bob.members())
    refused("keys", bob, ann.seal(1, b"again"))
    hello_refused("revoked", bob, hello)
    with pytest.raises(LocalProtocolError):
        bob.seal(0, b"x")
    # The list was wrong and is replaced: the same hello must not start the same keys again.
    assert [] == bob.update_trust(trust, NOW_NS)
    bob.accept_hello(hello, NOW_NS)
    refused("replay", bob, sealed)
    second = bob.seal(0, b"x")
    assert (0, 1) == (first[1], second[1])
    assert (1, b"x") == ann.open(second)


def test_who_runs_out_falls_silent(pair: tuple[Envelope, Envelope], trust: Trust) -> None:
    ann, bob = pair
    late = ann.hello(NOW_NS + 365 * DAY_NS)
    bob.accept_hello(late, NOW_NS + 365 * DAY_NS)
    hello_refused("certificate", bob, late, NOW_NS + 365 * DAY_NS + 10**9)
    assert [] == bob.update_trust(trust, NOW_NS + 365 * DAY_NS)
    assert ["ann"] == [member.name for member in bob.update_trust(trust, NOW_NS + 365 * DAY_NS + 10**9)]
    assert [] == bob.update_trust(trust, NOW_NS + 366 * DAY_NS), "said once"


def test_parameters_are_checked(members: dict[str, Identity], trust: Trust, home: Path) -> None:
    with pytest.raises(ConfigError, match="incarnation must be between 0"):
        envelope(members["ann"], trust, incarnation=-1)
    with pytest.raises(ConfigError, match="the schema's length must be between 0 and 64, got 65"):
        envelope(members["ann"], trust, schema=bytes(65))
    with pytest.raises(ConfigError, match="certificate is of swarm barn, the authority of shed"):
        envelope(members["ann"], load_trust(home / "other" / "authority"))
    with pytest.raises(ConfigError, match="the member's name must be"):
        PlainEnvelope(MemberName("barn", "a_b", 0), incarnation=1, schema=b"")


# -- Without certificates. ---------------------------------------------------------------------------------------------


# -- Whatever arrives. -------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.integers(0, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
def test_noise_is_refused(pair: tuple[Envelope, Envelope], noise: bytes, prefix: int) -> None:
    ann, bob = pair
    hello = ann.hello(NOW_NS)
    noise = (b"", hello[:1], hello[:2], hello[:2] + msgspec.msgpack.encode([noise, b""]))[prefix] + noise * (prefix < 3)
    for refuse in (lambda: bob.accept_hello(noise, NOW_NS), lambda: bob.open(noise)):
        with pytest.raises(RemoteProtocolError):
            refuse()
