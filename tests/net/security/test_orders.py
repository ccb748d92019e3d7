"""Tombstones that operators sign: which hold, how they spread, and what a revoked or a Byzantine signer can do."""

from __future__ import annotations

import contextlib
import random
import shutil
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import ConfigError, RemoteProtocolError
from protovine.net import (
    MemberName,
    OperatorName,
    Tombstone,
    Trust,
    create_authority,
    describe,
    issue,
    load_trust,
    revoke,
)
from protovine.net.operate import load_signer
from protovine.net.security.commands import Signer
from protovine.net.security.identity import load_identity, name_of, read_certificate
from protovine.net.security.orders import (
    AHEAD_NS,
    OPERATORS_MAX,
    PER_OPERATOR_MAX,
    Orders,
    SignedTombstone,
    is_about_orders,
    offer,
    pack_tombstones,
    read_tombstone,
    sign_tombstone,
    unpack_tombstones,
)
from protovine.net.security.revocations import REMIND_NS, RETRY_NS
from tests.net.conftest import NOW

S = 10**9
NOW_NS = int(NOW.timestamp()) * S
EVE = MemberName("barn", "eve", 3)
# The order of the curve P-256.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Operators kim and lee may forget, may has asked for nothing, old's certificate has ended; ann is a member."""
    path = tmp_path_factory.mktemp("orders")
    create_authority(path / "ca", "barn", now=NOW - timedelta(days=60))
    for name in ("kim", "lee"):
        issue(path / "ca", name, path / name, now=NOW, operator=True, may=["forget"])
    issue(path / "ca", "may", path / "may", now=NOW, operator=True)
    issue(path / "ca", "old", path / "old", now=NOW - timedelta(days=50), days=30, operator=True, may=["forget"])
    issue(path / "ca", "ann", path / "ann", now=NOW)
    create_authority(path / "twin", "barn", now=NOW)
    issue(path / "twin", "kim", path / "twins", now=NOW, operator=True, may=["forget"])
    return path


@pytest.fixture(scope="module")
def trust(folder: Path) -> Trust:
    return load_trust(folder / "ca")


def signed(folder: Path, name: str = "kim", number: int = 0, at_ns: int = NOW_NS, **over: int) -> bytes:
    span = {"since_ns": number, "until_ns": NOW_NS - 1} | over
    return sign_tombstone(load_signer(folder / name), Tombstone(EVE, **span), at_ns)


def read(folder: Path, trust: Trust, name: str = "kim", number: int = 0) -> SignedTombstone:
    return read_tombstone(signed(folder, name, number), trust, NOW_NS)


def why(data: bytes, trust: Trust, now_ns: int = NOW_NS) -> str:
    with pytest.raises(RemoteProtocolError) as error:
        read_tombstone(data, trust, now_ns)
    return f"{error.value.reason}: {error.value}"


def test_the_authority_says_which_operators_may_forget(folder: Path, tmp_path: Path) -> None:
    kim = name_of(read_certificate(folder / "kim" / "member.pem"))
    assert OperatorName("barn", "kim", ("forget",)) == kim
    assert ["forget"] == describe(folder / "kim" / "member.pem", NOW)["may"]
    assert OperatorName("barn", "may") == name_of(read_certificate(folder / "may" / "member.pem"))
    for options, words in (
        ({"operator": True, "may": ["fly"]}, "may be allowed to forget, got 'fly'"),
        ({"may": ["forget"]}, "only an operator may be allowed to forget"),
    ):
        with pytest.raises(ConfigError, match=words):
            issue(folder / "ca", "new", tmp_path / "new", now=NOW, **options)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_what_an_operator_signs_holds(folder: Path, trust: Trust) -> None:
    found = read(folder, trust)
    assert (Tombstone(EVE, 0, NOW_NS - 1), "kim", NOW_NS) == (found.tombstone, found.by.name, found.signed_ns)
    assert len(found.data) < 1000
    # A certificate that has ended since does not end what it signed.
    assert read_tombstone(found.data, trust, NOW_NS + 1000 * 86_400 * S) == found
    early_ns = NOW_NS - 40 * 86_400 * S
    assert "old" == read_tombstone(signed(folder, "old", at_ns=early_ns, until_ns=early_ns), trust, NOW_NS).by.name


def test_what_does_not_hold_says_why(folder: Path, trust: Trust) -> None:
    assert "operator: may may not sign tombstones" == why(signed(folder, "may"), trust)
    ann = load_identity(folder / "ann")
    by_member = sign_tombstone(Signer(ann.certificate, ann.key), Tombstone(EVE, 0, 1), NOW_NS)
    assert "operator: ann may not sign tombstones" == why(by_member, trust)
    assert "operator: the certificate ended on" in why(signed(folder, "old"), trust)
    assert why(signed(folder, "twins"), trust).startswith("operator: the certificate is not valid")
    stolen = Signer(load_signer(folder / "kim").certificate, load_signer(folder / "lee").key)
    assert "did not sign" in why(sign_tombstone(stolen, Tombstone(EVE, 0, 1), NOW_NS), trust)
    # Nobody can be silenced: what is not shared yet is not forgotten.
    assert why(signed(folder, until_ns=NOW_NS + 1), trust).startswith("value: ")
    assert why(signed(folder, since_ns=9, until_ns=8), trust).startswith("value: ")
    late_ns = NOW_NS + AHEAD_NS + 1
    assert "time: a tombstone from the future" == why(signed(folder, at_ns=late_ns), trust)
    assert read_tombstone(signed(folder, at_ns=late_ns), trust, NOW_NS + 1)
    shed = Tombstone(MemberName("shed", "eve", 3), 0, 1)
    assert why(sign_tombstone(load_signer(folder / "kim"), shed, NOW_NS), trust).startswith("swarm: ")


def test_every_changed_byte_is_refused_or_changes_nothing(folder: Path, trust: Trust) -> None:
    """DER has a byte beside a certificate's signature that may be another; then it is the same tombstone."""
    data, same = signed(folder), 0
    first = read_tombstone(data, trust, NOW_NS)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            found = read_tombstone(bytes(changed), trust, NOW_NS)
        except RemoteProtocolError:
            found = None
        if found is not None:
            same += 1
            assert (first.id, first.tombstone, first.by) == (found.id, found.tombstone, found.by)
        why(data[:at], trust)
    assert same <= 1


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x93", b"\x94", b"\x94\x01\xc4\x00\xc0"]))
def test_noise_is_refused(trust: Trust, head: bytes, data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_tombstone(head + data, trust, NOW_NS)
    one = Orders(0, trust, 0)
    with contextlib.suppress(RemoteProtocolError):
        one.take(head + data, NOW_NS, 0)
    assert [] == one.stones and len(one.drain()) <= 1


class Swarm:
    """Members on a line, each of which reaches its two neighbours only; messages can be lost."""

    def __init__(self, count: int, trust: Trust, loss: float = 0.0) -> None:
        self.members = [Orders(member, trust, 0) for member in range(count)]
        self.loss, self.draw, self.sent, self.now_ns = loss, random.Random(1), 0, 0
        self.refused: list[str] = []

    def carry(self) -> None:
        """Deliver until nothing is under way."""
        while orders := [(each.member, *order) for each in self.members for order in each.drain()]:
            for sender, peer, data in orders:
                near = {sender - 1, sender + 1}
                for to in self.members:
                    if to.member in (near if peer is None else near & {peer}):
                        self.sent += 1
                        assert is_about_orders(data)
                        if self.draw.random() >= self.loss:
                            try:
                                to.take(data, NOW_NS, self.now_ns)
                            except RemoteProtocolError as error:
                                self.refused.append(error.reason)

    def wait(self, until_ns: int) -> None:
        while (due_ns := min(each.next_timer_ns() for each in self.members)) <= until_ns:
            self.now_ns = due_ns
            for each in self.members:
                each.on_timer(due_ns)
            self.carry()
        self.now_ns = until_ns

    @property
    def digests(self) -> set[bytes]:
        return {each.digest for each in self.members}


def test_a_tombstone_reaches_all_members_at_once(folder: Path, trust: Trust) -> None:
    swarm = Swarm(20, trust)
    message = offer([signed(folder)])
    assert [EVE] == [each.tombstone.member for each in swarm.members[3].take(message, NOW_NS, 0)]
    assert [] == swarm.members[3].take(message, NOW_NS, 0), "it is there already"
    swarm.carry()
    assert 1 == len(swarm.digests) and b"" not in swarm.digests and swarm.sent < 20 * 8


def test_sets_of_two_halves_become_one_although_half_of_all_messages_are_lost(folder: Path, trust: Trust) -> None:
    swarm = Swarm(8, trust, loss=0.5)
    for number, member in ((1, 0), (2, 0), (3, 7), (4, 7)):
        swarm.members[member].take(offer([signed(folder, "kim" if number % 2 else "lee", number)]), NOW_NS, 0)
    swarm.carry()
    swarm.wait(40 * REMIND_NS)
    assert 1 == len(swarm.digests) and 4 == len(swarm.members[4].stones) and not swarm.refused


def test_what_was_announced_and_did_not_come_is_asked_for_again(folder: Path, trust: Trust) -> None:
    has, lacks = Orders(1, trust, 0), Orders(0, trust, 0)
    has.add([read(folder, trust)])
    has.drain()
    has.met(0)
    ((peer, word),) = has.drain()
    assert 0 == peer and len(word) < 32 and [] == lacks.take(word, NOW_NS, 0)
    assert 1 == len(lacks.drain())  # The question is lost.
    assert RETRY_NS == lacks.next_timer_ns()
    lacks.on_timer(RETRY_NS)
    ((peer, question),) = lacks.drain()
    assert 1 == peer and [] == has.take(question, NOW_NS, 0)
    ((peer, answer),) = has.drain()
    assert 0 == peer and 1 == len(lacks.take(answer, NOW_NS, 0)) and has.digest == lacks.digest


def test_without_tombstones_nothing_is_sent(trust: Trust) -> None:
    swarm = Swarm(3, trust)
    for each in swarm.members:
        each.met(1)
    swarm.wait(10 * REMIND_NS)
    assert 0 == swarm.sent


def test_another_signature_of_the_same_is_the_same(folder: Path, trust: Trust) -> None:
    """Whoever sees a signature of ECDSA can make a second one, and each signing makes another."""
    first = read(folder, trust)
    statement, certificate, signature = msgspec.msgpack.decode(first.data)
    r, s = decode_dss_signature(signature)
    forged = msgspec.msgpack.encode([statement, certificate, encode_dss_signature(r, _ORDER - s)])
    one = Orders(0, trust, 0)
    one.add([first])
    for data in (forged, signed(folder)):
        assert data != first.data and [] == one.take(offer([data]), NOW_NS, 0)
    assert [first.data] == [each.data for each in one.stones]


def test_tombstones_of_a_revoked_operator_are_taken_up_no_more(folder: Path, trust: Trust, tmp_path: Path) -> None:
    shutil.copytree(folder / "ca", tmp_path / "ca")
    revoke(tmp_path / "ca", "kim", now=NOW)
    newer = load_trust(tmp_path / "ca")
    one, other = Orders(0, trust, 0), Orders(1, newer, 0)
    one.add([read(folder, trust), read(folder, trust, "lee")])
    one.drain()
    with pytest.raises(RemoteProtocolError, match="was revoked"):
        other.take(offer([each.data for each in one.stones]), NOW_NS, 0)
    assert ["kim"] == [each.by.name for each in one.retrust(newer)] and ["lee"] == [each.by.name for each in one.stones]
    assert ["lee"] == [each.by.name for each in other.take(offer([one.stones[0].data]), NOW_NS, 0)]
    assert one.digest == other.digest


def test_a_thief_of_a_key_cannot_fill_memory_and_all_members_keep_the_same(folder: Path, trust: Trust) -> None:
    """In whatever order more than the bound arrive."""
    many = [read(folder, trust, "kim", number) for number in range(PER_OPERATOR_MAX + 20)]
    honest = read(folder, trust, "lee")
    digests = set()
    for seed in range(3):
        order = [*many, honest]
        random.Random(seed).shuffle(order)
        one = Orders(0, trust, 0)
        for each in order:
            one.add([each])
        assert PER_OPERATOR_MAX + 1 == len(one.stones) and honest in one.stones
        digests.add(one.digest)
    assert 1 == len(digests)
    # And so for certificates.
    several = [
        SignedTombstone(honest.tombstone, honest.by, serial, 0, bytes([serial]) * 16, b"") for serial in range(40)
    ]
    one = Orders(0, trust, 0)
    one.add(several[::-1])
    assert list(range(OPERATORS_MAX)) == [each.serial for each in one.stones]


def test_floods_cost_a_bounded_number_of_signatures(folder: Path, trust: Trust) -> None:
    one = Orders(0, trust, 0)
    message = msgspec.msgpack.encode([1, b"x" * 16, None, []])
    for _ in range(200):
        one.take(message, NOW_NS, 0)
    with pytest.raises(RemoteProtocolError, match="more messages") as error:
        one.take(message, NOW_NS, 0)
    assert "flood" == error.value.reason and len(one.drain()) <= 200
    stones = [signed(folder, number=number) for number in range(32)]
    with pytest.raises(RemoteProtocolError, match="more messages"):
        one.take(offer(stones), NOW_NS, S)  # Twenty of a second later: one message and nineteen signatures.
    assert [] == one.stones
    assert 32 == len(one.take(offer(stones), NOW_NS, 60 * S))


def test_a_set_survives_its_file(folder: Path, trust: Trust) -> None:
    found = [read(folder, trust, name) for name in ("kim", "lee")]
    assert [each.data for each in found] == unpack_tombstones(pack_tombstones(found))
    for noise in (b"", b"noise", b"\x91\x01"):
        with pytest.raises(ValueError, match="no tombstones of operators"):
            unpack_tombstones(noise)


def test_a_flood_of_open_words_holds_up_no_sealed_one(folder: Path, trust: Trust) -> None:
    has, lacks = Orders(1, trust, 0), Orders(0, trust, 0)
    has.take(offer([signed(folder)]), NOW_NS, 0)
    has.drain()
    has.met(0)
    ((_, word),) = has.drain()
    for _ in range(200):
        lacks.take(word, NOW_NS, 0)
    lacks.drain()
    with pytest.raises(RemoteProtocolError, match="more messages"):
        lacks.take(word, NOW_NS, 0)
    ((_, word),) = has.drain_sealed()
    assert [] == lacks.take(word, NOW_NS, 0, by=1) == lacks.drain()
    ((peer, question),) = lacks.drain_sealed()
    assert 1 == peer and [] == has.take(question, NOW_NS, 0, by=0) == has.drain()
    ((peer, answer),) = has.drain_sealed()
    assert 0 == peer and 1 == len(lacks.take(answer, NOW_NS, 0, by=1)) and has.digest == lacks.digest
    with pytest.raises(RemoteProtocolError, match="node 2 sealed a word of node 1"):
        lacks.take(word, NOW_NS, 0, by=2)
