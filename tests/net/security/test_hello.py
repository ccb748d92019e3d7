"""Hellos: only members can introduce themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protovine.errors import RemoteProtocolError
from protovine.net import Envelope, Identity, MemberName, PlainEnvelope, Trust, load_trust
from protovine.net.security.hello import HELLO_AGE_MAX_NS, HELLO_BYTES_MAX, HELLO_REFRESH_NS
from tests.net.security.hellos import DAY_NS, NOW_NS, envelope, hello_refused, refused, rewritten


def test_a_recorded_hello_resets_nothing(pair: tuple[Envelope, Envelope]) -> None:
    ann, bob = pair
    hello, sealed = ann.hello(NOW_NS), [ann.seal(1, b"%d" % i) for i in range(3)]
    bob.open(sealed[1])
    for later in (0, HELLO_REFRESH_NS, HELLO_AGE_MAX_NS):
        assert bob.accept_hello(hello, NOW_NS + later).confirmed
    refused("replay", bob, sealed[1])
    assert bob.open(sealed[0]) and bob.open(sealed[2])
    before = bob.seal(0, b"same")
    bob.accept_hello(ann.hello(NOW_NS + HELLO_REFRESH_NS), NOW_NS + HELLO_REFRESH_NS)
    assert before[1] + 1 == bob.seal(0, b"same")[1], "counters go on"
    hello_refused("stale", bob, hello, NOW_NS + HELLO_AGE_MAX_NS + 1)


def test_a_hello_is_signed_once_an_hour(pair: tuple[Envelope, Envelope]) -> None:
    ann, _ = pair
    first = ann.hello(NOW_NS)
    assert first == ann.hello(NOW_NS + HELLO_REFRESH_NS - 1) != ann.hello(NOW_NS + HELLO_REFRESH_NS)
    assert 550 <= len(first) <= 700


def test_a_node_that_runs_twice_is_refused(
    pair: tuple[Envelope, Envelope], members: dict[str, Identity], trust: Trust
) -> None:
    _, bob = pair
    hello_refused("stale", bob, envelope(members["ann"], trust).hello(NOW_NS))


@pytest.mark.parametrize(
    ("reason", "name"), [("certificate", "old"), ("revoked", "bad"), ("certificate", "twin"), ("swarm", "other")]
)
def test_who_is_no_member_is_refused(
    reason: str, name: str, members: dict[str, Identity], trust: Trust, home: Path
) -> None:
    bob = envelope(members["bob"], trust)
    identity = members[name]
    theirs = load_trust(home / "other" / "authority") if name == "other" else trust
    hello_refused(reason, bob, envelope(identity, theirs).hello(NOW_NS))
    if name == "other":  # And if it lies about its swarm, then its certificate does not.
        hello = envelope(identity, theirs).hello(NOW_NS)
        hello_refused("certificate", bob, rewritten(hello, identity, swarm="barn"))


def test_no_member_speaks_for_another(
    pair: tuple[Envelope, Envelope], members: dict[str, Identity], trust: Trust
) -> None:
    ann, bob = pair
    der = members["cat"].certificate.public_bytes(Encoding.DER)
    hello, cat = ann.hello(NOW_NS), members["cat"]
    fresh = envelope(members["bob"], trust)
    for changes in ({"incarnation": 2}, {"public": bytes(31) + b"\1"}, {"created_ns": NOW_NS + 1}):
        for target in (fresh, bob):
            hello_refused(
                "stale" if target is bob and "public" in changes else "signature", target, rewritten(hello, **changes)
            )
            hello_refused(
                "stale" if target is bob and "public" in changes else "signature",
                target,
                rewritten(hello, cat, **changes),
            )
    hello_refused("impostor", fresh, rewritten(hello, cat, certificate=der))
    hello_refused("impostor", fresh, rewritten(hello, cat, certificate=der, name="cat"))
    hello_refused("impostor", bob, rewritten(hello, cat, certificate=der, name="cat", incarnation=2))
    hello_refused("echo", bob, bob.hello(NOW_NS))
    assert "cat" == fresh.accept_hello(rewritten(hello, cat, certificate=der, name="cat", id=2), NOW_NS).name


def test_hellos_of_other_kinds_are_refused(pair: tuple[Envelope, Envelope], members: dict[str, Identity]) -> None:
    ann, bob = pair
    hello = ann.hello(NOW_NS)
    sign = members["ann"]
    hello_refused("schema", bob, rewritten(hello, sign, schema=b"v2"))
    hello_refused("swarm", bob, rewritten(hello, sign, swarm="shed"))
    hello_refused("oversize", bob, bytes(HELLO_BYTES_MAX + 1))
    hello_refused("malformed", bob, rewritten(hello, sign, public=bytes(32), incarnation=2))
    hello_refused("malformed", bob, rewritten(hello, sign, public=b"short", incarnation=2))
    hello_refused("malformed", bob, rewritten(hello, sign, id=10**6))
    hello_refused("malformed", bob, rewritten(hello, sign, incarnation=-1))
    hello_refused("certificate", bob, rewritten(hello, sign, certificate=b"\x30\x03\x02\x01\x00", incarnation=2))
    hello_refused("version", bob, hello[:1] + b"\x21" + hello[2:])
    hello_refused("malformed", bob, b"\x70" + hello[1:])
    hello_refused("malformed", bob, hello + b"\0")
    plain = PlainEnvelope(MemberName("barn", "ann", 0), incarnation=1, schema=b"v1")
    hello_refused("kind", bob, plain.hello(NOW_NS))
    hello_refused("kind", plain, bob.hello(NOW_NS))


def test_hellos_from_other_times_are_refused(members: dict[str, Identity], trust: Trust) -> None:
    ann, bob = (envelope(members[name], trust) for name in ("ann", "bob"))
    hello_refused("stale", bob, ann.hello(NOW_NS + DAY_NS + 1))
    hello_refused("certificate", bob, ann.hello(NOW_NS + 366 * DAY_NS), NOW_NS + 366 * DAY_NS)
    assert "ann" == bob.accept_hello(ann.hello(NOW_NS + DAY_NS), NOW_NS).name


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
def test_a_changed_hello_changes_nothing(
    pair: tuple[Envelope, Envelope], members: dict[str, Identity], trust: Trust, data: st.DataObject
) -> None:
    ann, bob = pair
    fresh = envelope(members["cat"], trust)
    changed = bytearray(ann.hello(NOW_NS))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for target in (fresh, bob):
        try:
            target.accept_hello(bytes(changed), NOW_NS)
        except RemoteProtocolError:
            continue
        pytest.fail("a changed hello was accepted")
    assert [] == fresh.members()


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
def test_a_member_with_a_strange_certificate_is_refused(
    pair: tuple[Envelope, Envelope], members: dict[str, Identity], trust: Trust, data: st.DataObject
) -> None:
    """Bytes of the certificate are changed, and the hello around it is signed."""
    ann, _ = pair
    cat = envelope(members["cat"], trust)
    der = bytearray(members["ann"].certificate.public_bytes(Encoding.DER))
    at = data.draw(st.integers(0, len(der) - 1))
    der[at] ^= data.draw(st.integers(1, 255))
    der = der[: data.draw(st.sampled_from([len(der), at]))]
    hello = rewritten(ann.hello(NOW_NS), members["ann"], certificate=bytes(der))
    try:
        cat.accept_hello(hello, NOW_NS)
    except RemoteProtocolError as error:
        reason = error.reason
    else:  # ECDSA signatures can be written in several ways; what the authority signed is the same.
        reason = "certificate"
        made = x509.load_der_x509_certificate(bytes(der)).tbs_certificate_bytes
        assert members["ann"].certificate.tbs_certificate_bytes == made
    assert "certificate" == reason
