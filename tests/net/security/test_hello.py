"""Hellos: only members can introduce themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protovine.errors import OwnNameError, RemoteProtocolError, StaleHelloError
from protovine.net import (
    Envelope,
    Identity,
    MemberName,
    PlainEnvelope,
    Trust,
    create_authority,
    issue,
    load_identity,
    load_trust,
    revoke,
)
from protovine.net.pacing import incarnation_max
from protovine.net.security.hello import HELLO_AGE_MAX_NS, HELLO_BYTES_MAX, HELLO_REFRESH_NS, INCARNATION_MAX
from tests.net.conftest import NOW
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


@pytest.mark.parametrize("why", ["the list was wrong", "it was revoked", "it ended"])
def test_what_is_known_of_a_member_outlives_its_certificate(tmp_path: Path, why: str) -> None:
    """Ann loses her state, and must hear which incarnation bob knows, whatever became of her certificate since."""
    authority = tmp_path / "authority"
    create_authority(authority, "barn", now=NOW)
    for name in ("ann", "bob"):
        issue(authority, name, tmp_path / name, now=NOW, days=1 if (name, why) == ("ann", "it ended") else 100)
    trust, first = load_trust(authority), load_identity(tmp_path / "ann")
    bob, ann = (envelope(load_identity(tmp_path / name), trust, incarnation=5) for name in ("bob", "ann"))
    bob.accept_hello(ann.hello(NOW_NS), NOW_NS)
    now_ns = NOW_NS + (2 * DAY_NS if why == "it ended" else 0)
    if why != "it ended":
        revoke(authority, "ann", now=NOW)
    revoked = load_trust(authority)
    assert ["ann"] == [member.name for member in bob.update_trust(revoked, now_ns)]
    # While her certificate is not valid, she is told nothing.
    reason = "certificate" if why == "it ended" else "revoked"
    hello_refused(reason, bob, envelope(first, trust, incarnation=3).hello(now_ns), now_ns)
    if why == "the list was wrong":
        later, identity = Trust(trust.certificate, number=revoked.number + 1), first
    else:
        issue(authority, "ann", tmp_path / "again", now=NOW, renew=True)
        later, identity = revoked, load_identity(tmp_path / "again")
    bob.update_trust(later, now_ns)
    ann = envelope(identity, later, incarnation=3)
    with pytest.raises(StaleHelloError, match="already at 5"):
        bob.accept_hello(ann.hello(now_ns), now_ns)
    known = bob.known_hello(ann.id)
    assert known is not None
    with pytest.raises(OwnNameError) as caught:
        ann.accept_hello(known, now_ns)
    assert (5, why != "it was revoked") == (caught.value.incarnation, caught.value.valid)
    ann.raise_to(6)
    bob.accept_hello(ann.hello(now_ns), now_ns)
    ann.accept_hello(bob.hello(now_ns), now_ns)
    assert (ann.id, b"again") == bob.open(ann.seal(bob.id, b"again"))


def test_a_thief_cannot_take_the_last_incarnation(tmp_path: Path) -> None:
    """Bob's key is stolen, and then revoked: the next bob can always go on as a higher incarnation."""
    authority = tmp_path / "authority"
    create_authority(authority, "barn", now=NOW)
    for name in ("ann", "bob"):
        issue(authority, name, tmp_path / name, now=NOW)
    trust, stolen = load_trust(authority), load_identity(tmp_path / "bob")
    ann = envelope(load_identity(tmp_path / "ann"), trust)
    hello_refused("malformed", ann, envelope(stolen, trust, incarnation=INCARNATION_MAX).hello(NOW_NS))
    highest = incarnation_max(NOW_NS)
    hello_refused("malformed", ann, envelope(stolen, trust, incarnation=highest + 1).hello(NOW_NS))
    ann.accept_hello(envelope(stolen, trust, incarnation=highest).hello(NOW_NS), NOW_NS)
    revoke(authority, "bob", now=NOW)
    issue(authority, "bob", tmp_path / "again", now=NOW)
    ann.update_trust(load_trust(authority), NOW_NS)
    later_ns = NOW_NS + 10**9
    bob = envelope(load_identity(tmp_path / "again"), load_trust(authority), incarnation=3)
    hello_refused("stale", ann, bob.hello(later_ns), later_ns)
    known = ann.known_hello(bob.id)
    assert known is not None
    with pytest.raises(OwnNameError) as caught:
        bob.accept_hello(known, later_ns)
    bob.raise_to(caught.value.incarnation + 1)
    assert "bob" == ann.accept_hello(bob.hello(later_ns), later_ns).name
    hello_refused("malformed", bob, rewritten(known, stolen, incarnation=INCARNATION_MAX))


def test_nobody_else_speaks_in_the_name_of_a_node(
    pair: tuple[Envelope, Envelope], members: dict[str, Identity], home: Path
) -> None:
    """A hello in a node's own name counts although its certificate is over, but not if the member did not sign it."""
    ann, _ = pair
    later = envelope(members["ann"], load_trust(home / "authority"), incarnation=9).hello(NOW_NS)
    for signer, reason in ((members["bob"], "signature"), (members["twin"], "signature")):
        hello_refused(reason, ann, rewritten(later, signer, incarnation=10))
    certificate = members["bob"].certificate.public_bytes(Encoding.DER)
    hello_refused("impostor", ann, rewritten(later, members["bob"], certificate=certificate))
    twin = members["twin"].certificate.public_bytes(Encoding.DER)
    hello_refused("certificate", ann, rewritten(later, members["twin"], certificate=twin))
    hello_refused("twice", ann, later)


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


def test_another_schema_is_checked_once(pair: tuple[Envelope, Envelope], members: dict[str, Identity]) -> None:
    ann, bob = pair
    hello = rewritten(ann.hello(NOW_NS), members["ann"], schema=b"v2")
    for afford, reason in ((False, "flood"), (True, "schema"), (False, "schema")):
        with pytest.raises(RemoteProtocolError) as caught:
            bob.accept_hello(hello, NOW_NS, lambda afford=afford: afford)
        assert reason == caught.value.reason


def test_hellos_of_other_kinds_are_refused(pair: tuple[Envelope, Envelope], members: dict[str, Identity]) -> None:
    ann, bob = pair
    hello = ann.hello(NOW_NS)
    sign = members["ann"]
    hello_refused("schema", bob, rewritten(hello, sign, schema=b"v2"))
    hello_refused("signature", bob, rewritten(hello, schema=b"v2"))
    hello_refused("signature", bob, rewritten(hello, members["cat"], schema=b"v2"))
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
