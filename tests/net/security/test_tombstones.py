"""Tombstones as bytes, on the authority's list, and who may put them there."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import ConfigError, RemoteProtocolError
from protovine.net import MemberName, Tombstone, Trust, bury, create_authority, describe, issue, load_trust, revoke
from protovine.net.security.authority import Authority, opened_authority
from protovine.net.security.revocations import Revocations
from protovine.net.security.tombstones import (
    TOMBSTONES,
    TOMBSTONES_MAX,
    TombstoneFields,
    decode_tombstones,
    encode_tombstones,
)
from tests.net.conftest import NOW

NOW_NS = int(NOW.timestamp()) * 10**9
times = st.integers(0, 2**63 - 1)
stones = st.lists(
    st.tuples(st.text(max_size=60), times, times).map(lambda each: TombstoneFields(each[0], *sorted(each[1:]))),
    max_size=5,
)


@given(stones)
def test_tombstones_survive_their_bytes(found: list[TombstoneFields]) -> None:
    assert found == decode_tombstones(encode_tombstones(found))


@given(
    st.binary(max_size=80)
    | st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=9) | st.binary(max_size=9),
        lambda inner: st.lists(inner, max_size=4),
        max_leaves=9,
    ).map(msgspec.msgpack.encode)
)
def test_other_bytes_are_a_value_error(data: bytes) -> None:
    try:
        found = decode_tombstones(data)
    except ValueError:
        return
    assert all(0 <= each.since_ns <= each.until_ns < 2**63 and len(each.member) <= 200 for each in found)


@pytest.mark.parametrize(
    "value",
    [
        [["protovine://barn/bob/1", 5, 4]],
        [["protovine://barn/bob/1", -1, 4]],
        [["protovine://barn/bob/1", 0, 2**63]],
        [["protovine://barn/bob/1", 0, 4, 5]],
        [["x" * 201, 0, 4]],
        [["protovine://barn/bob/1", 0, 4]] * (TOMBSTONES_MAX + 1),
    ],
    ids=["ends before it begins", "negative", "too late", "too many fields", "a long name", "too many"],
)
def test_tombstones_have_bounds(value: list) -> None:
    with pytest.raises(ValueError, match="tombstone"):
        decode_tombstones(msgspec.msgpack.encode(value))


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    create_authority(tmp_path / "ca", "barn", now=NOW)
    for name in ("ann", "bob"):
        issue(tmp_path / "ca", name, tmp_path / name, now=NOW)
    return tmp_path / "ca"


def signed(authority: Path, value: bytes, copies: int = 1) -> bytes:
    """A list with this extension, signed by the authority, whatever is in it."""
    with opened_authority(authority, NOW) as opened:
        return _signed(opened, value)


def _signed(opened: Authority, value: bytes) -> bytes:
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(opened.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=1))
        .add_extension(x509.CRLNumber(NOW_NS), critical=False)
        .add_extension(x509.UnrecognizedExtension(TOMBSTONES, value), critical=False)
        .sign(opened.key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def id_of(folder: Path) -> int:
    return describe(folder / "member.pem", NOW)["id"]


def test_a_tombstone_stands_on_the_list_with_revocations(ca: Path, tmp_path: Path) -> None:
    before = load_trust(ca)
    assert () == before.tombstones and not before.says_something
    made = bury(ca, "bob", now=NOW)
    bob = MemberName("barn", "bob", id_of(tmp_path / "bob"))
    assert Tombstone(bob, 0, NOW_NS) == made
    revoke(ca, "ann", now=NOW)
    bury(ca, "ann", now=NOW, since_ns=5, until_ns=9)
    found = load_trust(ca)
    assert [made, (5, 9)] == [found.tombstones[0], found.tombstones[1][1:]] and 1 == len(found.revoked)
    assert before.number < found.number and found.says_something
    shown = describe(ca / "revoked.pem", NOW)["forgotten"]
    assert [f"{bob.uri} until 2030-01-01 00:00:00 UTC"] == shown[:1] and 2 == len(shown)
    assert found.tombstones == before.with_revocations(found.revocations).tombstones


def test_an_index_of_an_earlier_version_is_read_and_one_without_tombstones_looks_like_it(ca: Path) -> None:
    index = json.loads((ca / "index.json").read_text())
    assert {"format", "swarm", "issued"} == set(index)
    bury(ca, "bob", now=NOW)
    assert 1 == len(json.loads((ca / "index.json").read_text())["tombstones"])


@pytest.mark.parametrize(
    ("who", "span", "words"),
    [
        ("bab", {}, "knows no member 'bab' .did you mean 'bob'"),
        ("bob", {"until_ns": NOW_NS + 1}, "lies in the future"),
        ("bob", {"since_ns": 9, "until_ns": 8}, "must not be before"),
        ("bob", {"since_ns": -1}, "must not be before"),
    ],
)
def test_a_tombstone_that_cannot_be_changes_nothing(ca: Path, who: str, span: dict[str, int], words: str) -> None:
    before = {path.name: path.read_bytes() for path in ca.iterdir()}
    with pytest.raises(ConfigError, match=words):
        bury(ca, who, now=NOW, **span)
    assert before == {path.name: path.read_bytes() for path in ca.iterdir()}


def test_an_operator_is_no_member(ca: Path, tmp_path: Path) -> None:
    issue(ca, "kim", tmp_path / "kim", now=NOW, operator=True)
    with pytest.raises(ConfigError, match="knows no member 'kim'"):
        bury(ca, "kim", now=NOW)


@pytest.mark.parametrize("folder", ["ann", "kim"])
def test_a_member_or_an_operator_signs_none(ca: Path, tmp_path: Path, folder: str) -> None:
    issue(ca, "kim", tmp_path / "kim", now=NOW, operator=True)
    with pytest.raises(ConfigError, match=r"authority\.key"):
        bury(tmp_path / folder, "bob", now=NOW)


def offered(data: bytes, trust: Trust) -> RemoteProtocolError | None:
    """Why a member refuses a list that another one sends it."""
    one = Revocations(0, trust, 0)
    number = x509.load_der_x509_crl(data).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    try:
        one.take(msgspec.msgpack.encode([1, number, data]), 0)
    except RemoteProtocolError as error:
        assert trust is one.trust
        return error
    return None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"noise",
        msgspec.msgpack.encode([["protovine://shed/bob/1", 0, 4]]),
        msgspec.msgpack.encode([["protovine://barn/bob/-1", 0, 4]]),
        msgspec.msgpack.encode([["protovine://barn/bob/1", 5, 4]]),
    ],
    ids=["nothing", "noise", "another swarm", "no member", "ends before it begins"],
)
def test_a_list_with_damaged_tombstones_is_refused_whole_even_if_signed(ca: Path, value: bytes) -> None:
    error = offered(signed(ca, value), load_trust(ca))
    assert error is not None and "revocations" == error.reason


def test_tombstones_of_another_authority_or_changed_on_the_way_are_refused(ca: Path, tmp_path: Path) -> None:
    create_authority(tmp_path / "twin", "barn", now=NOW)
    good = msgspec.msgpack.encode([["protovine://barn/bob/1", 0, 4]])
    trust = load_trust(ca)
    assert offered(signed(ca, good), trust) is None
    theirs = offered(signed(tmp_path / "twin", good), trust)
    assert theirs is not None and "revocations" == theirs.reason
    data = signed(ca, good)
    at = data.index(b"protovine://barn/bob/1")
    changed = offered(data[: at + 17] + b"e" + data[at + 18 :], trust)
    assert changed is not None and "revocations" == changed.reason and "authority" in str(changed)


def test_an_older_list_does_not_bring_a_member_back(ca: Path) -> None:
    old = load_trust(ca)
    bury(ca, "bob", now=NOW)
    new = load_trust(ca)
    one = Revocations(0, new, 0)
    assert one.take(msgspec.msgpack.encode([1, old.number, old.revocations]), 0) is None
    assert not one.replace(old) and new is one.trust


def test_members_that_meet_tell_each_other_of_tombstones_alone(ca: Path) -> None:
    old = load_trust(ca)
    bury(ca, "bob", now=NOW)
    one, other = Revocations(0, load_trust(ca), 0), Revocations(1, old, 0)
    one.met(1)
    ((_, word),) = one.drain()
    other.take(word, 0)
    one.take(other.drain()[0][1], 0)
    found = other.take(one.drain()[0][1], 0)
    assert found is not None and found.tombstones == one.trust.tombstones
