"""Who sent a message: honest ones come out once, all others not at all."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protovine import varint
from protovine.errors import ConfigError, LocalProtocolError, MissingKeysError, RemoteProtocolError
from protovine.net import Envelope, EnvelopeLike, Identity, MemberName, PlainEnvelope, Trust, load_identity, load_trust
from protovine.net.security.envelope import (
    COUNTER_MAX,
    HELLO_AGE_MAX_NS,
    HELLO_BYTES_MAX,
    HELLO_REFRESH_NS,
    OVERHEAD_BYTES_MAX,
    WINDOW,
    _Body,
    _Hello,
)
from tests.net.conftest import NOW

NOW_NS = int(NOW.timestamp()) * 10**9
DAY_NS = 24 * 3600 * 10**9
NAMES = ("ann", "bob", "cat")


@pytest.fixture(scope="session")
def members(home: Path) -> dict[str, Identity]:
    folders = {name: home / name for name in (*NAMES, "old", "bad")}
    folders |= {"other": home / "other" / "mallory", "twin": home / "twin" / "mallory"}
    return {name: load_identity(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session")
def trust(home: Path) -> Trust:
    return load_trust(home / "authority")


def envelope(identity: Identity, trust: Trust, incarnation: int = 1, schema: bytes = b"v1", **more: int) -> Envelope:
    return Envelope(identity, trust, incarnation=incarnation, schema=schema, **more)


def met(one: EnvelopeLike, other: EnvelopeLike) -> None:
    one.accept_hello(other.hello(NOW_NS), NOW_NS)
    other.accept_hello(one.hello(NOW_NS), NOW_NS)


@pytest.fixture
def pair(members: dict[str, Identity], trust: Trust) -> tuple[Envelope, Envelope]:
    ann, bob = (envelope(members[name], trust) for name in ("ann", "bob"))
    met(ann, bob)
    return ann, bob


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


def parts(hello: bytes) -> tuple[_Body, _Hello]:
    outer = msgspec.msgpack.decode(hello[2:], type=_Hello)
    return msgspec.msgpack.decode(outer.body, type=_Body), outer


def rewritten(hello: bytes, signer: Identity | None = None, **changes: object) -> bytes:
    """A hello that says something else, with the old signature or signed by another key."""
    body, outer = parts(hello)
    packed = msgspec.msgpack.encode(msgspec.structs.replace(body, **changes))
    signature = outer.signature
    if signer:
        signature = signer.key.sign(b"protovine hello\0" + hello[:2] + packed, ec.ECDSA(hashes.SHA256()))
    return hello[:2] + msgspec.msgpack.encode(_Hello(packed, signature))


# -- Messages. ---------------------------------------------------------------------------------------------------------


def test_a_message_opens_once_and_only_for_its_peer(
    pair: tuple[Envelope, Envelope], members: dict[str, Identity], trust: Trust
) -> None:
    ann, bob = pair
    cat = envelope(members["cat"], trust)
    met(cat, ann)
    met(cat, bob)
    assert not bob.members()[0].confirmed
    sealed = ann.seal(1, b"news")
    assert b"news" not in sealed
    refused("forged", cat, sealed)
    assert MissingKeysError is type(refused("keys", ann, sealed)), "a reflected message has no keys with oneself"
    refused("forged", ann, bytes([1 << 3 | sealed[0] & 7]) + sealed[1:])
    assert (0, b"news") == bob.open(sealed)
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
    prints = [members[name].certificate.fingerprint(hashes.SHA256()) for name in ("ann", "bob")]
    both = [[0, "ann", 1, prints[0], ann_body.public], [1, "bob", 7, prints[1], public]]
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


def test_a_restart_is_told_from_a_forgery(
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
    hello_refused("impostor", bob, bob.hello(NOW_NS))
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
    # The list was wrong and is replaced: the same hello must not start the same keys anew.
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


def test_a_plain_swarm_checks_what_can_be_checked() -> None:
    def plain(name: str, id: int, incarnation: int = 1, swarm: str = "barn", schema: bytes = b"v1") -> PlainEnvelope:
        return PlainEnvelope(MemberName(swarm, name, id), incarnation=incarnation, schema=schema)

    ann, bob = plain("ann", 0), plain("bob", 200, incarnation=3)
    assert 0 == refused("keys", bob, bytes([0]) + b"news").sender
    met(ann, bob)
    sealed = bob.seal(0, b"news")
    assert (2 + 4, (200, b"news")) == (len(sealed), ann.open(sealed))
    assert [True] == [member.confirmed for member in ann.members()]
    hello_refused("stale", ann, plain("bob", 200, incarnation=2).hello(NOW_NS))
    hello_refused("swarm", ann, plain("cat", 2, swarm="shed").hello(NOW_NS))
    hello_refused("schema", ann, plain("cat", 2, schema=b"").hello(NOW_NS))
    hello_refused("impostor", ann, plain("cat", 0).hello(NOW_NS))
    hello_refused("impostor", ann, plain("cat", 200, incarnation=9).hello(NOW_NS))
    refused("malformed", ann, b"")
    refused("oversize", ann, bytes(2**24 + OVERHEAD_BYTES_MAX + 1))
    with pytest.raises(LocalProtocolError):
        ann.seal(1, b"")


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


class Swarm(RuleBasedStateMachine):
    """Three members, and a network that records everything and delivers what it likes, changed or not, to anybody.

    Mallory, cat's owner, has a valid certificate and signs what she wants. Honest messages open exactly once under the
    hellos of both sides that were present when they were sealed; nothing else ever opens.
    """

    members: dict[str, Identity]
    trust: Trust

    @initialize()
    def start(self) -> None:
        self.now_ns = NOW_NS
        self.incarnations = dict.fromkeys(NAMES, 0)
        self.nodes: dict[str, Envelope] = {}
        self.hellos: list[bytes] = []
        # Message, sender and its incarnation, recipient and its incarnation as the sender knows it.
        self.sealed: list[tuple[bytes, bytes, str, int, str, int]] = []
        # How many messages were sealed, and the newest that was opened, by sender, recipient and both incarnations.
        self.counts: dict[tuple[str, int, str, int], int] = {}
        self.newest: dict[tuple[str, int, str, int], int] = {}
        self.counters: dict[bytes, int] = {}
        self.opened: set[bytes] = set()
        self.known: dict[tuple[str, str], int] = {}
        for name in NAMES:
            self._start(name)

    def _start(self, name: str) -> None:
        self.incarnations[name] += 1
        self.nodes[name] = envelope(self.members[name], self.trust, self.incarnations[name])
        self.known = {(who, whom): at for (who, whom), at in self.known.items() if who != name}
        self.hellos.append(self.nodes[name].hello(self.now_ns))

    @rule(name=st.sampled_from(NAMES))
    def restart(self, name: str) -> None:
        self._start(name)

    @rule(seconds=st.integers(1, 20_000))
    def wait(self, seconds: int) -> None:
        self.now_ns += seconds * 10**9
        self.hellos += [node.hello(self.now_ns) for node in self.nodes.values()]

    @rule(name=st.sampled_from(NAMES), pick=st.integers(0))
    def hello(self, name: str, pick: int) -> None:
        """Any recorded hello, however old, in any order."""
        hello = self.hellos[pick % len(self.hellos)]
        body, _ = parts(hello)
        good = (
            body.name != name
            and body.incarnation >= self.known.get((name, body.name), 0)
            and self.now_ns - body.created_ns <= HELLO_AGE_MAX_NS
        )
        if not good:
            with pytest.raises(RemoteProtocolError):
                self.nodes[name].accept_hello(hello, self.now_ns)
            return
        member = self.nodes[name].accept_hello(hello, self.now_ns)
        assert (body.id, body.name, body.incarnation) == (member.id, member.name, member.incarnation)
        self.known[name, body.name] = body.incarnation

    @rule(
        name=st.sampled_from(NAMES),
        pick=st.integers(0),
        change=st.sampled_from(["incarnation", "public", "id", "name"]),
    )
    def forged_hello(self, name: str, pick: int, change: str) -> None:
        body, _ = parts(self.hellos[pick % len(self.hellos)])
        if name == "cat" or body.name == "cat":
            return
        values = {
            "incarnation": body.incarnation + 5,
            "public": X25519PrivateKey.generate().public_key().public_bytes_raw(),
            "id": 2,
            "name": "cat",
        }
        forged = rewritten(self.hellos[pick % len(self.hellos)], self.members["cat"], **{change: values[change]})
        with pytest.raises(RemoteProtocolError):
            self.nodes[name].accept_hello(forged, self.now_ns)

    @rule(sender=st.sampled_from(NAMES), to=st.sampled_from(NAMES), count=st.sampled_from([1, 1, 2, 40]))
    def seal(self, sender: str, to: str, count: int) -> None:
        if sender == to or (sender, to) not in self.known:
            with pytest.raises(LocalProtocolError):
                self.nodes[sender].seal(NAMES.index(to), b"")
            return
        for _ in range(count):
            payload = b"%d" % len(self.sealed)
            data = self.nodes[sender].seal(NAMES.index(to), payload)
            assert all(data != other for other, *_ in self.sealed)
            key = (sender, self.incarnations[sender], to, self.known[sender, to])
            self.sealed.append((data, payload, *key))
            self.counters[data] = self.counts[key] = self.counts.get(key, -1) + 1

    @rule(name=st.sampled_from(NAMES), pick=st.integers(0))
    def deliver(self, name: str, pick: int) -> None:
        """Any recorded message to anybody, its recipient included, any number of times."""
        if not self.sealed:
            return
        data, payload, *key = self.sealed[pick % len(self.sealed)]
        sender, sent_in, to, sent_to = key
        good = (
            name == to
            and sent_to == self.incarnations[to]
            and sent_in == self.known.get((to, sender))
            and data not in self.opened
            and self.newest.get(tuple(key), 0) - self.counters[data] < WINDOW
        )
        if not good:
            with pytest.raises(RemoteProtocolError):
                self.nodes[name].open(data)
            return
        assert (NAMES.index(sender), payload) == self.nodes[name].open(data)
        self.opened.add(data)
        self.newest[tuple(key)] = max(self.newest.get(tuple(key), 0), self.counters[data])

    @rule(
        name=st.sampled_from(NAMES),
        pick=st.integers(0),
        at=st.integers(0),
        how=st.sampled_from(["flip", "cut", "sender", "counter", "splice"]),
        bit=st.integers(0, 7),
    )
    def deliver_changed(self, name: str, pick: int, at: int, how: str, bit: int) -> None:
        if not self.sealed:
            return
        data = self.sealed[pick % len(self.sealed)][0]
        at %= len(data)
        other = self.sealed[at % len(self.sealed)][0]
        flipped = bytearray(data)
        flipped[at] ^= 1 << bit
        changed = {
            "flip": bytes(flipped),
            "cut": data[:at],
            "sender": bytes([data[0] + 8]) + data[1:],
            "counter": data[:1] + bytes([(data[1] + 1) % 128]) + data[2:],
            "splice": data[:3] + other[3:],
        }[how]
        if all(changed != honest for honest, *_ in self.sealed):
            with pytest.raises(RemoteProtocolError):
                self.nodes[name].open(changed)

    @invariant()
    def everybody_knows_what_it_should(self) -> None:
        for name, node in self.nodes.items():
            assert [(m.name, m.incarnation) for m in node.members()] == [
                (other, self.known[name, other]) for other in NAMES if (name, other) in self.known
            ]


def test_nothing_opens_but_what_was_sent(members: dict[str, Identity], trust: Trust) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Swarm.members, Swarm.trust = members, trust
    run_state_machine_as_test(Swarm, settings=settings(max_examples=60, stateful_step_count=60, deadline=None))
