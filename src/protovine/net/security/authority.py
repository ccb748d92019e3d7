"""A swarm's authority: it issues and revokes the certificates of members (`protovine cert`).

An authority is a folder: ``authority.key`` and ``authority.pem``, ``index.json`` (every certificate that it issued) and
``revoked.pem`` (a certificate revocation list). Keys are ECDSA P-256, unencrypted, mode 0600. Every function takes the
time as an argument. Mistakes in files and arguments raise `ConfigError` and leave all files unchanged.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protovine.errors import ConfigError, check_range, suggest
from protovine.net.security.identity import (
    CERTIFICATE_BYTES_MAX,
    CERTIFICATE_ERRORS,
    LABEL,
    MEMBER_ID_MAX,
    REVOKED_MEMBER,
    URI_SCHEME,
    MemberName,
    Trust,
    authority_swarm,
    check_authority,
    check_name,
    common_name,
    fingerprint,
    is_authority,
    member_name,
    read_certificate,
    read_file,
    read_key,
    read_trust,
)

AUTHORITY_DAYS, AUTHORITY_DAYS_MAX = 3650, 7300
MEMBER_DAYS, MEMBER_DAYS_MAX = 365, 3650
ADDRESSES_MAX = 32
# Certificates begin an hour ago, because clocks of members may be slow.
_BACKDATE = timedelta(hours=1)
_DNS_NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*", re.ASCII)


class Issued(msgspec.Struct, forbid_unknown_fields=True):
    """One certificate in the index of an authority."""

    name: str
    id: int
    serial: str
    not_before: datetime
    not_after: datetime
    revoked: datetime | None = None

    def live(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked is None and now <= self.not_after


class _Index(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    swarm: str
    issued: list[Issued]


@dataclass
class _Authority:
    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    index: _Index


def create_authority(folder: Path, swarm: str, *, now: datetime, days: int = AUTHORITY_DAYS) -> x509.Certificate:
    """The certificate of a new authority in a new folder; `ConfigError` if an argument or the folder cannot be used."""
    check_name("the swarm's name", swarm)
    check_range("days", days, 1, AUTHORITY_DAYS_MAX)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _x509_name(f"{swarm} authority")
    certificate = (
        _builder(subject, subject, key, now, now + timedelta(days=days), x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(URI_SCHEME + swarm)]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    authority = _Authority(folder, certificate, key, _Index(1, swarm, []))
    _write_folder(
        folder,
        {
            "authority.key": _key_pem(key),
            "authority.pem": _pem(certificate),
            "index.json": _index_json(authority.index),
            "revoked.pem": _revocations(authority, now),
        },
    )
    return certificate


def issue(
    authority: Path,
    name: str,
    out: Path,
    *,
    now: datetime,
    addresses: Iterable[str] = (),
    days: int | None = None,
    id: int | None = None,
    renew: bool = False,
) -> MemberName:
    """The member that a new certificate and key in a new folder belong to.

    Parameters
    ----------
    authority : Path
        The authority's folder.
    name : str
        Of the member. A member that had a certificate before keeps its id.
    out : Path
        A new folder, or an empty one.
    now : datetime
        With a time zone.
    addresses : list of str
        IP addresses and DNS names that peers dial; the member's name is always one of them.
    days : int, optional
        Lifetime. [default: 365, or as long as the authority's if that is less]
    id : int, optional
        [default: the lowest id that no member has had]
    renew : bool
        Issue another certificate although one is still valid; both are then valid.

    Raises
    ------
    ConfigError
        A parameter is out of range, a file cannot be read or written, or the name or the id is taken.
    """
    check_name("the member's name", name)
    names = _alternative_names(name, addresses)
    with _opened(authority, now) as opened:
        member = MemberName(opened.index.swarm, name, _chosen_id(opened.index, name, id))
        for known in opened.index.issued:
            if known.name == name and known.live(now) and not renew:
                raise ConfigError(
                    f"{name} has a certificate until {known.not_after:%Y-%m-%d}; --renew issues one more, "
                    "revoke that one if its key is lost"
                )
        key = ec.generate_private_key(ec.SECP256R1())
        serial = x509.random_serial_number()
        # The transport can tell certificates apart only by their common names, so each has one of its own.
        subject = _x509_name(common_name(serial))
        certificate = (
            _builder(subject, opened.certificate.subject, key, now, _end(opened.certificate, now, days), serial)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(opened.key.public_key()), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(member.uri), *names]), critical=False
            )
            .sign(opened.key, hashes.SHA256())
        )
        if len(certificate.public_bytes(serialization.Encoding.DER)) > CERTIFICATE_BYTES_MAX:
            raise ConfigError(f"the addresses make the certificate longer than {CERTIFICATE_BYTES_MAX} bytes")
        before = _index_json(opened.index)
        opened.index.issued.append(
            Issued(
                name,
                member.id,
                f"{serial:x}",
                certificate.not_valid_before_utc,
                certificate.not_valid_after_utc,
            )
        )
        # The index first: a certificate that it does not know could never be revoked.
        _replace(authority / "index.json", _index_json(opened.index))
        try:
            _write_folder(
                out,
                {
                    "member.key": _key_pem(key),
                    "member.pem": _pem(certificate),
                    "authority.pem": _pem(opened.certificate),
                    "revoked.pem": read_file(authority / "revoked.pem"),
                },
            )
        except ConfigError:
            _replace(authority / "index.json", before)
            raise
    return member


def revoke(authority: Path, who: str, *, now: datetime) -> list[Issued]:
    """Revoke all certificates of a name, or one by its serial number in hex; the revoked ones.

    Raises
    ------
    ConfigError
        There is no such certificate, or a file cannot be read or written.
    """
    with _opened(authority, now) as opened:
        issued = opened.index.issued
        found = [one for one in issued if one.name == who]
        found = found or [one for one in issued if one.serial == who.lower().lstrip("0")]
        if not found:
            known = {one.name for one in issued}
            hint = suggest(who, known) if known else " (it has issued none)"
            raise ConfigError(f"the authority knows no member or serial number {who!r}{hint}")
        for one in found:
            one.revoked = one.revoked or now
        before = read_trust(opened.certificate, authority / "revoked.pem").number
        _replace(authority / "index.json", _index_json(opened.index))
        _replace(authority / "revoked.pem", _revocations(opened, now, before))
    return found


def write_revocations(path: Path, trust: Trust) -> None:
    """Replace a revocation list by that of ``trust``, in one step; `ConfigError` if it cannot be written."""
    _replace(path, x509.load_der_x509_crl(trust.revocations).public_bytes(serialization.Encoding.PEM))


def describe(path: Path, now: datetime) -> dict[str, Any]:
    """The contents of a certificate or a revocation list, as JSON can hold them.

    Raises
    ------
    ConfigError
        The file cannot be read, or is none of these.
    """
    data = read_file(path)
    if b"BEGIN X509 CRL" in data:
        try:
            revocations = x509.load_pem_x509_crl(data)
        except CERTIFICATE_ERRORS:
            raise ConfigError(f"{path} is no revocation list in PEM") from None
        return {
            "kind": "revocations",
            "issuer": _common_name(revocations.issuer),
            "made": revocations.last_update_utc.isoformat(),
            "revoked": {f"{one.serial_number:x}": one.revocation_date_utc.isoformat() for one in revocations},
        }
    certificate = read_certificate(path)
    try:
        if is_authority(certificate):
            who: dict[str, Any] = {"kind": "authority", "swarm": authority_swarm(certificate)}
        else:
            member = member_name(certificate)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            addresses = [
                *names.get_values_for_type(x509.DNSName),
                *map(str, names.get_values_for_type(x509.IPAddress)),
            ]
            who = {"kind": "member", "swarm": member.swarm, "name": member.name, "id": member.id}
            who["addresses"] = addresses
    except CERTIFICATE_ERRORS as error:
        raise ConfigError(f"{path} is no certificate of a swarm: {error}") from None
    return {
        **who,
        "issuer": _common_name(certificate.issuer),
        "serial": f"{certificate.serial_number:x}",
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "in_time": certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc,
        "sha256": fingerprint(certificate).hex(),
    }


# -- Parts of certificates. --------------------------------------------------------------------------------------------


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, end: datetime, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(end)
    )


def _end(authority: x509.Certificate, now: datetime, days: int | None) -> datetime:
    last = authority.not_valid_after_utc
    if days is None:
        return min(now + timedelta(days=MEMBER_DAYS), last)
    check_range("days", days, 1, MEMBER_DAYS_MAX)
    if now + timedelta(days=days) > last:
        raise ConfigError(
            f"days must be at most {(last - now).days}, the authority ends on {last:%Y-%m-%d}; got {days}"
        )
    return now + timedelta(days=days)


def _chosen_id(index: _Index, name: str, wanted: int | None) -> int:
    """The id that the name has already, or the wanted one, or the lowest that no member has had."""
    owners = {one.id: one.name for one in index.issued}
    had = next((one.id for one in index.issued if one.name == name), None)
    if wanted is None:
        return had if had is not None else next(i for i in range(len(owners) + 1) if i not in owners)
    check_range("id", wanted, 0, MEMBER_ID_MAX)
    if had is not None and wanted != had:
        raise ConfigError(f"{name} has id {had} and keeps it, got {wanted}")
    if owners.get(wanted, name) != name:
        raise ConfigError(f"id {wanted} is taken by {owners[wanted]}")
    return wanted


def _alternative_names(name: str, addresses: Iterable[str]) -> list[x509.GeneralName]:
    """The member's name and its addresses in the order given, without repetition."""
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    for text in addresses:
        try:
            found: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(text))
        except ValueError:
            host = text.lower()
            if len(host) > 253 or not _DNS_NAME.fullmatch(host) or host.rpartition(".")[2].isdigit():
                raise ConfigError(f"an address must be an IP address or a DNS name, got {text!r}") from None
            found = x509.DNSName(host)
        if found not in names:
            names.append(found)
    check_range("the number of addresses", len(names) - 1, 0, ADDRESSES_MAX)
    return names


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _x509_name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _revocations(authority: _Authority, now: datetime, before: int = 0) -> bytes:
    """The signed list of revoked certificates, in PEM, with a higher number than ``before``.

    It does not expire: no member can make the authority sign another.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(max(authority.certificate.not_valid_after_utc, now + timedelta(days=1)))
        .add_extension(x509.CRLNumber(max(int(now.timestamp()), before + 1)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    for one in authority.index.issued:
        if one.revoked:
            uri = MemberName(authority.index.swarm, one.name, one.id).uri
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(int(one.serial, 16))
                .revocation_date(one.revoked)
                .add_extension(x509.UnrecognizedExtension(REVOKED_MEMBER, uri.encode()), critical=False)
                .build()
            )
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


# -- Files. ------------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(folder: Path, now: datetime) -> Iterator[_Authority]:
    """The authority in ``folder``, locked against other processes; `ConfigError` if it cannot be used at ``now``."""
    if not folder.is_dir():
        raise ConfigError(f"no such folder: {folder}")
    key = read_key(folder / "authority.key")
    # The system unlocks it when the file is closed, also if the process is killed.
    with open(folder / "authority.key", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        certificate = read_certificate(folder / "authority.pem")
        swarm = check_authority(certificate, folder / "authority.pem")
        if key.public_key() != certificate.public_key():
            raise ConfigError(f"{folder / 'authority.key'} is not the key of {folder / 'authority.pem'}")
        if now > certificate.not_valid_after_utc:
            raise ConfigError(f"the authority in {folder} ended on {certificate.not_valid_after_utc:%Y-%m-%d}")
        try:
            index = msgspec.json.decode(read_file(folder / "index.json"), type=_Index)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"{folder / 'index.json'} is no index of certificates: {error}") from None
        if (index.format, index.swarm) != (1, swarm):
            raise ConfigError(f"{folder / 'index.json'} is not of format 1 and swarm {swarm}")
        yield _Authority(folder, certificate, key, index)


def _index_json(index: _Index) -> bytes:
    return msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n"


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_folder(path: Path, files: dict[str, bytes]) -> None:
    """Write all files to a new folder, or none."""
    path = path.resolve()
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file; name a new folder")
    if path.is_dir() and any(path.iterdir()):
        raise ConfigError(f"{path} is not empty; name a new folder")
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        for name, data in files.items():
            _write(partial / name, data)
        os.rename(partial, path)  # Onto an empty folder, or where there is none.
        partial = None
    except OSError as error:
        raise ConfigError(f"cannot write to {path}: {error.strerror}") from None
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        _write(partial, data)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def _write(path: Path, data: bytes) -> None:
    """Write and sync a new file; only its owner can read a key."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if path.suffix == ".key" else 0o644)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _common_name(name: x509.Name) -> str:
    return str(name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value) if name.rdns else ""
