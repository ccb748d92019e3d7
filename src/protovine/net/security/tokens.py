"""Tokens: what a device needs to get its first certificate over the network (`protovine cert token`).

The authority's folder has ``tokens.json`` with the digests of tokens, never the tokens, and ``enrolment.key`` and
``enrolment.pem``, the key of the server that answers devices. A token holds the fingerprint of that certificate: so the
device knows the server before it says anything.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from protovine.errors import ConfigError, check_range
from protovine.net.security.authority import (
    Authority,
    Terms,
    certify,
    check_renewal,
    end_of_certificate,
    opened_authority,
    whom,
)
from protovine.net.security.files import replace_file
from protovine.net.security.identity import check_name, read_certificate, read_file
from protovine.net.security.requests import alternative_names, key_digest, key_pem, parse_request

SECRET_BYTES, PIN_BYTES = 16, 32
MINUTES, MINUTES_MAX = 60, 10_080
# Tokens that ended are kept so long, to tell why they are refused.
_KEPT = timedelta(days=30)


class _Issued(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A token as the authority keeps it."""

    name: str
    digest: str
    until: datetime
    addresses: list[str]
    days: int | None
    id: int | None
    renew: bool
    operator: bool
    # The key that it was used for, and the certificate.
    key: str | None = None
    certificate: str | None = None
    may: tuple[str, ...] = ()


class _Tokens(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    tokens: list[_Issued]


@dataclass(frozen=True, slots=True)
class Token:
    """What a device is given: whom it becomes, the secret, and the SHA-256 of the server's certificate.

    Examples
    --------
    >>> token = Token("gate-1", bytes(16), bytes(32))
    >>> Token.parse(str(token)) == token, len(str(token))
    (True, 71)
    >>> Token.parse("gate-1")
    Traceback (most recent call last):
    protovine.errors.ConfigError: a token is what `protovine cert token` printed: NAME.LETTERS
    """

    name: str
    secret: bytes
    pin: bytes

    def __str__(self) -> str:
        return f"{self.name}.{base64.urlsafe_b64encode(self.secret + self.pin).decode()}"

    @classmethod
    def parse(cls, text: str) -> Token:
        """The inverse of `str`; `ConfigError` for any other text, which is not repeated."""
        name, _, letters = text.strip().partition(".")
        try:
            check_name("the name in the token", name)
            both = base64.b64decode(letters, altchars=b"-_", validate=True)
            if len(both) != SECRET_BYTES + PIN_BYTES:
                raise ValueError(len(both))
        except (ConfigError, ValueError, binascii.Error):
            raise ConfigError("a token is what `protovine cert token` printed: NAME.LETTERS") from None
        return cls(name, both[:SECRET_BYTES], both[SECRET_BYTES:])


def create_token(
    authority: Path,
    name: str,
    *,
    now: datetime,
    minutes: int = MINUTES,
    addresses: Iterable[str] = (),
    days: int | None = None,
    id: int | None = None,
    renew: bool = False,
    operator: bool = False,
    may: Iterable[str] = (),
) -> Token:
    """A token with which one device can get one certificate; the certificate's terms are fixed here.

    Parameters
    ----------
    authority : Path
        The authority's folder.
    name : str
        Of the member.
    now : datetime
        With a time zone.
    minutes : int, 1 to 10,080
        How long it can be used.
    addresses, days, id, renew, operator, may
        As in `protovine.net.security.issue`.

    Raises
    ------
    ConfigError
        A parameter is out of range, a file cannot be read or written, or the name or the id is taken.
    """
    check_name("the member's name", name)
    check_range("minutes", minutes, 1, MINUTES_MAX)
    named, allowed = list(addresses), tuple(may)
    alternative_names(name, named)
    secret = secrets.token_bytes(SECRET_BYTES)
    with opened_authority(authority, now) as opened:
        whom(opened.index, name, id, operator, allowed)
        check_renewal(opened.index, name, now, renew)
        end_of_certificate(opened.certificate, now, days)
        pin = _server_certificate(opened, now).fingerprint(hashes.SHA256())
        known = _read(authority)
        known.tokens = [one for one in known.tokens if now <= one.until + _KEPT]
        until = now + timedelta(minutes=minutes)
        known.tokens.append(_Issued(name, _digest(secret), until, named, days, id, renew, operator, may=allowed))
        _write(authority, known)
    return Token(name, secret, pin)


def redeem(authority: Path, name: str, secret: bytes, request: bytes, now: datetime) -> dict[str, bytes]:
    """The files of a member that shows a token and a request (PEM): its certificate and what it is believed by.

    The same key may ask again with the same token and gets the same certificate, in case an answer was lost.

    Raises
    ------
    ConfigError
        The token is unknown, too old, of another name, or was used for another key; or the request is none.
    """
    asked, _, key = parse_request(request, "the request")
    fingerprint, digest = key_digest(key), _digest(secret)
    with opened_authority(authority, now) as opened:
        known = _read(authority)
        found = next((one for one in known.tokens if hmac.compare_digest(one.digest, digest)), None)
        if found is None or found.name != name:
            raise ConfigError("the authority knows no such token")
        if now > found.until:
            raise ConfigError(f"the token of {name} ended at {found.until:%Y-%m-%d %H:%M} UTC")
        if found.key is not None and found.key != fingerprint:
            raise ConfigError(f"the token of {name} was used already, by another key")
        if asked != name:
            raise ConfigError(f"the request is for {asked}, the token for {name}")
        if found.certificate is not None:
            return {
                "member.pem": found.certificate.encode(),
                "authority.pem": read_file(authority / "authority.pem"),
                "revoked.pem": read_file(authority / "revoked.pem"),
            }
        who = whom(opened.index, name, found.id, found.operator, found.may)
        names = alternative_names(name, found.addresses)
        files = certify(opened, Terms(who, names, key, now, found.days, found.renew))
        found.key, found.certificate = fingerprint, files["member.pem"].decode()
        _write(authority, known)
    return files


def waiting_tokens(authority: Path, now: datetime) -> list[tuple[str, datetime]]:
    """Names and ends of the tokens that can still be used."""
    with opened_authority(authority, now):
        return [(one.name, one.until) for one in _read(authority).tokens if one.key is None and now <= one.until]


def server_files(authority: Path, now: datetime) -> tuple[Path, Path]:
    """The certificate and the key of the server that answers devices; they are made if need be."""
    with opened_authority(authority, now) as opened:
        _server_certificate(opened, now)
    return authority / "enrolment.pem", authority / "enrolment.key"


def _server_certificate(opened: Authority, now: datetime) -> x509.Certificate:
    """The server's certificate, made when it is first needed. It is signed by its own key: devices know it by heart."""
    path = opened.folder / "enrolment.pem"
    if path.exists():
        return read_certificate(path)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{opened.index.swarm} enrolment")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(opened.certificate.not_valid_before_utc)
        .not_valid_after(opened.certificate.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    # The certificate last: where it is, the key is too.
    replace_file(opened.folder / "enrolment.key", key_pem(key))
    replace_file(path, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate


def _digest(secret: bytes) -> str:
    return sha256(secret).hexdigest()


def _read(authority: Path) -> _Tokens:
    path = authority / "tokens.json"
    if not path.exists():
        return _Tokens(1, [])
    try:
        found = msgspec.json.decode(read_file(path), type=_Tokens)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no list of tokens: {error}") from None
    if found.format != 1:
        raise ConfigError(f"{path} is not of format 1")
    return found


def _write(authority: Path, tokens: _Tokens) -> None:
    replace_file(authority / "tokens.json", msgspec.json.format(msgspec.json.encode(tokens), indent=1) + b"\n")
