"""Tokens, and what they are good for."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import ConfigError
from protovine.net import MemberName, create_authority, describe, issue
from protovine.net.security.authority import issued
from protovine.net.security.requests import request
from protovine.net.security.tokens import Token, create_token, redeem, waiting_tokens
from tests.net.conftest import NOW

HOUR = timedelta(hours=1)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    create_authority(tmp_path / "authority", "barn", now=NOW, days=400)
    return tmp_path / "authority"


def asked(tmp_path: Path, name: str = "ann", key: str = "key") -> bytes:
    """A request, with another key for another ``key``."""
    return request(tmp_path / key, name).public_bytes(Encoding.PEM)


def test_a_token_gives_one_key_one_certificate_of_its_terms(authority: Path, tmp_path: Path) -> None:
    issue(authority, "bob", tmp_path / "bob", now=NOW)
    token = create_token(authority, "ann", now=NOW, addresses=["192.0.2.1", "shed.example"], days=30, id=7)
    assert [("ann", NOW + HOUR)] == waiting_tokens(authority, NOW)
    files = redeem(authority, "ann", token.secret, asked(tmp_path), NOW)
    (tmp_path / "member.pem").write_bytes(files["member.pem"])
    found = describe(tmp_path / "member.pem", NOW)
    assert ("ann", 7, ["ann", "shed.example", "192.0.2.1"]) == (found["name"], found["id"], found["addresses"])
    assert f"{NOW + timedelta(days=30):%Y-%m-%d}" == found["not_after"][:10]
    assert files["authority.pem"] == (authority / "authority.pem").read_bytes()
    # An answer may be lost: the same key gets the same one again, and another key none.
    assert files == redeem(authority, "ann", token.secret, asked(tmp_path), NOW + HOUR)
    with pytest.raises(ConfigError, match="used already, by another key"):
        redeem(authority, "ann", token.secret, asked(tmp_path, key="other"), NOW)
    assert ["ann", "bob"] == [one.name for one in issued(authority, NOW)]
    assert [] == waiting_tokens(authority, NOW)


def test_what_is_refused_leaves_the_token_as_it_was(authority: Path, tmp_path: Path) -> None:
    token, other = create_token(authority, "ann", now=NOW, minutes=5), create_token(authority, "bob", now=NOW)
    own = asked(tmp_path)
    for refused, name, secret, pem, now in (
        ("no such token", "ann", bytes(16), own, NOW),
        ("no such token", "ann", other.secret, own, NOW),
        ("no such token", "eve", token.secret, asked(tmp_path, "eve", "eve"), NOW),
        ("for bob, the token for ann", "ann", token.secret, asked(tmp_path, "bob", "bob"), NOW),
        ("ended at", "ann", token.secret, own, NOW + timedelta(minutes=6)),
        ("no request", "ann", token.secret, b"PEM", NOW),
    ):
        with pytest.raises(ConfigError, match=refused):
            redeem(authority, name, secret, pem, now)
    assert [] == issued(authority, NOW)
    assert redeem(authority, "ann", token.secret, own, NOW)["member.pem"]


def test_addresses_of_the_request_are_not_taken_over(authority: Path, tmp_path: Path) -> None:
    token = create_token(authority, "ann", now=NOW)
    pem = request(tmp_path / "key", "ann", ["192.0.2.9"]).public_bytes(Encoding.PEM)
    certificate = x509.load_pem_x509_certificate(redeem(authority, "ann", token.secret, pem, NOW)["member.pem"])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [] == names.get_values_for_type(x509.IPAddress)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minutes": 0}, "minutes must be between 1 and 10080, got 0"),
        ({"days": 0}, "days must be between 1 and 3650, got 0"),
        ({"days": 401}, "days must be at most 400"),
        ({"id": 1_000_000}, "id must be between 0 and 999999"),
        ({"id": 1}, "id 1 is taken by bob"),
        ({"addresses": ["a b"]}, "an IP address or a DNS name, got 'a b'"),
        ({"name": "bob", "operator": True}, "bob is a member"),
        ({"name": "bob"}, "bob has a certificate until"),
    ],
)
def test_terms_are_checked_when_the_token_is_made(authority: Path, tmp_path: Path, options: dict, message: str) -> None:
    issue(authority, "bob", tmp_path / "bob", now=NOW)
    with pytest.raises(ConfigError, match=message):
        create_token(authority, **{"name": "ann", "now": NOW, **options})
    assert not (authority / "tokens.json").exists()


def test_the_folder_never_holds_a_secret(authority: Path, tmp_path: Path) -> None:
    token = create_token(authority, "ann", now=NOW)
    redeem(authority, "ann", token.secret, asked(tmp_path), NOW)
    kept = b"".join(path.read_bytes() for path in authority.iterdir())
    assert token.secret not in kept and token.secret.hex().encode() not in kept
    assert str(token).partition(".")[2].encode() not in kept
    assert 0o600 == (authority / "enrolment.key").stat().st_mode & 0o777


def test_operators_and_renewals(authority: Path, tmp_path: Path) -> None:
    operator = create_token(authority, "kim", now=NOW, operator=True)
    redeem(authority, "kim", operator.secret, asked(tmp_path, "kim", "kim"), NOW)
    assert [None] == [one.id for one in issued(authority, NOW)]
    first = redeem(authority, "ann", create_token(authority, "ann", now=NOW).secret, asked(tmp_path), NOW)
    later = NOW + HOUR
    again = create_token(authority, "ann", now=later, renew=True)
    second = redeem(authority, "ann", again.secret, asked(tmp_path), later)
    assert first["member.pem"] != second["member.pem"]
    assert MemberName("barn", "ann", 1).id == next(one.id for one in issued(authority, later) if one.name == "ann")


def test_two_keys_at_the_same_time_get_one_certificate(authority: Path, tmp_path: Path) -> None:
    token = create_token(authority, "ann", now=NOW)
    answers: list[object] = []

    def ask(pem: bytes) -> None:
        try:
            answers.append(redeem(authority, "ann", token.secret, pem, NOW))
        except ConfigError as error:
            answers.append(error)

    threads = [threading.Thread(target=ask, args=(asked(tmp_path, key=str(key)),)) for key in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 == sum(isinstance(answer, dict) for answer in answers) == len(issued(authority, NOW))


@given(st.text() | st.from_regex(r"[a-z]{1,5}\.[A-Za-z0-9_\-=]{60,68}", fullmatch=True))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    refusal, token = "", None
    try:
        token = Token.parse(text)
    except ConfigError as error:
        refusal = str(error)
    if token is None:
        assert "protovine cert token" in refusal
        assert len(text) < 12 or text not in refusal
    else:
        assert Token.parse(str(token)) == token
        assert str(token) == text.strip()
