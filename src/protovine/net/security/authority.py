"""A swarm's authority: it issues and revokes the certificates of members (`protovine cert`).

An authority is a folder: ``authority.key`` and ``authority.pem``, ``index.json`` (every certificate that it issued) and
``revoked.pem`` (a certificate revocation list). Keys are ECDSA P-256, unencrypted, mode 0600. Every function takes the
time as an argument. Mistakes in files and arguments raise `ConfigError` and leave all files unchanged.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from protovine.errors import ConfigError, check_range, suggest
from protovine.net.security.files import replace_file, write_folder
from protovine.net.security.identity import (
    CERTIFICATE_BYTES_MAX,
    MAY,
    MEMBER_ID_MAX,
    PERMISSIONS,
    REVOKED_MEMBER,
    URI_SCHEME,
    MemberName,
    OperatorName,
    Trust,
    check_authority,
    check_name,
    common_name,
    read_certificate,
    read_file,
    read_key,
    read_trust,
)
from protovine.net.security.requests import (
    alternative_names,
    key_digest,
    key_pem,
    read_request,
    x509_name,
)
from protovine.net.security.tombstones import TOMBSTONES, TombstoneFields, encode_tombstones

AUTHORITY_DAYS, AUTHORITY_DAYS_MAX = 3650, 7300
MEMBER_DAYS, MEMBER_DAYS_MAX = 365, 3650
# Certificates begin an hour ago, because clocks of members may be slow.
_BACKDATE = timedelta(hours=1)


class Issued(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One certificate in the index of an authority."""

    name: str
    # None of an operator.
    id: int | None
    serial: str
    not_before: datetime
    not_after: datetime
    revoked: datetime | None = None
    # Of its public key; None in an index of an earlier version.
    key: str | None = None
    # What an operator may do besides asking.
    may: tuple[str, ...] = ()

    def live(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked is None and now <= self.not_after


class Buried(msgspec.Struct, forbid_unknown_fields=True):
    """One tombstone in the index of an authority."""

    name: str
    id: int
    since_ns: int
    until_ns: int
    signed: datetime


class Index(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    format: int
    swarm: str
    issued: list[Issued]
    tombstones: list[Buried] = []


@dataclass
class Authority:
    """An authority that is open: its folder is locked."""

    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    index: Index


def create_authority(folder: Path, swarm: str, *, now: datetime, days: int = AUTHORITY_DAYS) -> x509.Certificate:
    """The certificate of a new authority of ``swarm``, which lasts 1 to 7300 ``days``, in a new folder.

    Raises
    ------
    ConfigError
        An argument is out of range, or the folder cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = create_authority(Path(folder), "barn", now=datetime.fromisoformat("2026-01-01T00:00Z"), days=30)
    ...     sorted(path.name for path in Path(folder).iterdir()), made.not_valid_after_utc.day
    (['authority.key', 'authority.pem', 'index.json', 'revoked.pem'], 31)
    """
    check_name("the swarm's name", swarm)
    check_range("days", days, 1, AUTHORITY_DAYS_MAX)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509_name(f"{swarm} authority")
    certificate = (
        _builder(subject, subject, key.public_key(), now, now + timedelta(days=days), x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(URI_SCHEME + swarm)]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    authority = Authority(folder, certificate, key, Index(1, swarm, []))
    write_folder(
        folder,
        {
            "authority.key": key_pem(key),
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
    operator: bool = False,
    may: Iterable[str] = (),
) -> MemberName | OperatorName:
    """Whom a new certificate and key in a new folder belong to.

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
        [default: the lowest id from 1 on that no member has had]
    renew : bool
        Issue another certificate although one is still valid; both are then valid.
    operator : bool
        For someone who asks members for their status, and is no member.
    may : iterable of str
        What an operator may do besides: ``forget``, to sign tombstones.

    Raises
    ------
    ConfigError
        A parameter is out of range, a file cannot be read or written, or the name or the id is taken.

    Examples
    --------
    >>> import tempfile
    >>> now = datetime.fromisoformat("2026-01-01T00:00Z")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = create_authority(Path(folder, "a"), "barn", now=now)
    ...     issue(Path(folder, "a"), "node-1", Path(folder, "node-1"), now=now, addresses=["10.0.0.7"])
    ...     issue(Path(folder, "a"), "kim", Path(folder, "kim"), now=now, operator=True, may=["forget"])
    MemberName(swarm='barn', name='node-1', id=1)
    OperatorName(swarm='barn', name='kim', may=('forget',))
    """
    check_name("the member's name", name)
    names = alternative_names(name, addresses)
    key = ec.generate_private_key(ec.SECP256R1())
    with opened_authority(authority, now) as opened:
        who = whom(opened.index, name, id, operator, may)
        _answer(opened, Terms(who, names, key.public_key(), now, days, renew), out, {"member.key": key_pem(key)})
    return who


def sign(
    authority: Path,
    request: Path,
    out: Path,
    *,
    now: datetime,
    days: int | None = None,
    id: int | None = None,
    renew: bool = False,
    operator: bool = False,
    may: Iterable[str] = (),
) -> MemberName | OperatorName:
    """Whom the certificate for a `request` belongs to; it is written to a new folder, which has no key.

    The other parameters and errors are those of `issue`.
    """
    name, addresses, key = read_request(request)
    check_name("the member's name", name)
    names = alternative_names(name, addresses)
    with opened_authority(authority, now) as opened:
        who = whom(opened.index, name, id, operator, may)
        _answer(opened, Terms(who, names, key, now, days, renew), out, {})
    return who


def issued(authority: Path, now: datetime) -> list[Issued]:
    """Every certificate that the authority issued, by name and date."""
    with opened_authority(authority, now) as opened:
        return sorted(opened.index.issued, key=lambda one: (one.name, one.not_before))


def revoke(authority: Path, who: str, *, now: datetime) -> list[Issued]:
    """Revoke all certificates of a name, or one by its serial number in hex; the revoked ones.

    Raises
    ------
    ConfigError
        There is no such certificate, or a file cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> now = datetime.fromisoformat("2026-01-01T00:00Z")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = create_authority(Path(folder, "a"), "barn", now=now)
    ...     _ = issue(Path(folder, "a"), "node-1", Path(folder, "node-1"), now=now)
    ...     [(each.name, each.id, each.live(now)) for each in revoke(Path(folder, "a"), "node-1", now=now)]
    [('node-1', 1, False)]
    """
    with opened_authority(authority, now) as opened:
        issued = opened.index.issued
        found = [one for one in issued if one.name == who]
        found = found or [one for one in issued if one.serial == who.lower().lstrip("0")]
        if not found:
            known = {one.name for one in issued}
            hint = suggest(who, known) if known else " (it has issued none)"
            raise ConfigError(f"the authority knows no member or serial number {who!r}{hint}")
        for one in found:
            one.revoked = one.revoked or now
        publish(opened, now)
    return found


def publish(opened: Authority, now: datetime) -> None:
    """Write the index, then a newer list."""
    path = opened.folder / "revoked.pem"
    before = read_trust(opened.certificate, path).number
    replace_file(opened.folder / "index.json", _index_json(opened.index))
    replace_file(path, _revocations(opened, now, before))


def write_revocations(path: Path, trust: Trust) -> None:
    """Replace a revocation list by that of ``trust``, in one step; `ConfigError` if it cannot be written."""
    replace_file(path, x509.load_der_x509_crl(trust.revocations).public_bytes(serialization.Encoding.PEM))


@dataclass(frozen=True)
class Terms:
    """What a certificate is to say."""

    who: MemberName | OperatorName
    names: list[x509.GeneralName]
    key: ec.EllipticCurvePublicKey
    now: datetime
    days: int | None
    renew: bool


def whom(index: Index, name: str, id: int | None, operator: bool, may: Iterable[str] = ()) -> MemberName | OperatorName:
    """Whom a certificate for this name would belong to; `ConfigError` if the name or the id is taken."""
    allowed = tuple(sorted(set(may)))
    for each in allowed:
        if each not in MAY:
            raise ConfigError(f"an operator may be allowed to {', '.join(MAY)}, got {each!r}")
    if allowed and not operator:
        raise ConfigError(f"only an operator may be allowed to {allowed[0]}")
    for known in index.issued:
        if known.name == name and operator is not (known.id is None):
            raise ConfigError(f"{name} is {'a member' if operator else 'an operator'}: choose another name")
    if operator:
        return OperatorName(index.swarm, name, allowed)
    return MemberName(index.swarm, name, _chosen_id(index, name, id))


def check_renewal(index: Index, name: str, now: datetime, renew: bool) -> None:
    """`ConfigError` if the name has a certificate that is still valid, unless that is to be renewed."""
    for known in index.issued:
        if known.name == name and known.live(now) and not renew:
            raise ConfigError(
                f"{name} has a certificate until {known.not_after:%Y-%m-%d}; --renew issues one more, "
                "revoke that one if its key is lost"
            )


def certify(opened: Authority, terms: Terms) -> dict[str, bytes]:
    """The files of a new certificate and of what it is believed by; the certificate is in the index then."""
    check_renewal(opened.index, terms.who.name, terms.now, terms.renew)
    now, key = terms.now, key_digest(terms.key)
    for known in opened.index.issued:
        if known.revoked is not None and known.key == key:
            raise ConfigError(
                f"this key of {known.name} was revoked on {known.revoked:%Y-%m-%d}, others may have it: make a new one"
            )
    serial = x509.random_serial_number()
    # The transport can tell certificates apart only by their common names, so each has one of its own.
    subject, issuer = x509_name(common_name(serial)), opened.certificate.subject
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    if isinstance(terms.who, OperatorName):
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(subject, issuer, terms.key, now, end_of_certificate(opened.certificate, now, terms.days), serial)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(opened.key.public_key()), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(terms.who.uri), *terms.names]), critical=False
        )
    )
    may = terms.who.may if isinstance(terms.who, OperatorName) else ()
    if may:
        builder = builder.add_extension(x509.UnrecognizedExtension(PERMISSIONS, ",".join(may).encode()), critical=False)
    certificate = builder.sign(opened.key, hashes.SHA256())
    if len(certificate.public_bytes(serialization.Encoding.DER)) > CERTIFICATE_BYTES_MAX:
        raise ConfigError(f"the addresses make the certificate longer than {CERTIFICATE_BYTES_MAX} bytes")
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    id = terms.who.id if isinstance(terms.who, MemberName) else None
    opened.index.issued.append(Issued(terms.who.name, id, f"{serial:x}", begin, end, key=key, may=may))
    # The index first: a certificate that it does not know could never be revoked.
    replace_file(opened.folder / "index.json", _index_json(opened.index))
    return {
        "member.pem": _pem(certificate),
        "authority.pem": _pem(opened.certificate),
        "revoked.pem": read_file(opened.folder / "revoked.pem"),
    }


def _answer(opened: Authority, terms: Terms, out: Path, more: dict[str, bytes]) -> None:
    """Certify, and write the files with others to a new folder."""
    before = _index_json(opened.index)
    try:
        write_folder(out, more | certify(opened, terms))
    except ConfigError:
        replace_file(opened.folder / "index.json", before)
        raise


# -- Parts of certificates. --------------------------------------------------------------------------------------------


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(end)
    )


def end_of_certificate(authority: x509.Certificate, now: datetime, days: int | None) -> datetime:
    """The time at which a certificate that lasts ``days`` ends; `ConfigError` if it is out of range."""
    last = authority.not_valid_after_utc
    if days is None:
        return min(now + timedelta(days=MEMBER_DAYS), last)
    check_range("days", days, 1, MEMBER_DAYS_MAX)
    if now + timedelta(days=days) > last:
        raise ConfigError(
            f"days must be at most {(last - now).days}, the authority ends on {last:%Y-%m-%d}; got {days}"
        )
    return now + timedelta(days=days)


def _chosen_id(index: Index, name: str, wanted: int | None) -> int:
    """The id that the name has already, or the wanted one, or the lowest from 1 on that no member has had."""
    owners = {one.id: one.name for one in index.issued if one.id is not None}
    had = next((one.id for one in index.issued if one.name == name), None)
    if wanted is None:
        return had if had is not None else next(i for i in range(1, len(owners) + 2) if i not in owners)
    check_range("id", wanted, 0, MEMBER_ID_MAX)
    if had is not None and wanted != had:
        raise ConfigError(f"{name} has id {had} and keeps it, got {wanted}")
    if owners.get(wanted, name) != name:
        raise ConfigError(f"id {wanted} is taken by {owners[wanted]}")
    return wanted


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


def _revocations(authority: Authority, now: datetime, before: int = 0) -> bytes:
    """The signed list of revoked certificates and tombstones, in PEM, with a higher number than ``before``.

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
            entry = x509.RevokedCertificateBuilder().serial_number(int(one.serial, 16)).revocation_date(one.revoked)
            if one.id is not None:
                uri = MemberName(authority.index.swarm, one.name, one.id).uri
                entry = entry.add_extension(x509.UnrecognizedExtension(REVOKED_MEMBER, uri.encode()), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
    stones = [
        TombstoneFields(MemberName(authority.index.swarm, one.name, one.id).uri, one.since_ns, one.until_ns)
        for one in authority.index.tombstones
    ]
    if stones:
        # Not critical: members of earlier versions still take up the revocations.
        extension = x509.UnrecognizedExtension(TOMBSTONES, encode_tombstones(stones))
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


# -- Files. ------------------------------------------------------------------------------------------------------------


@contextmanager
def opened_authority(folder: Path, now: datetime) -> Iterator[Authority]:
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
            index = msgspec.json.decode(read_file(folder / "index.json"), type=Index)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"{folder / 'index.json'} is no index of certificates: {error}") from None
        if (index.format, index.swarm) != (1, swarm):
            raise ConfigError(f"{folder / 'index.json'} is not of format 1 and swarm {swarm}")
        yield Authority(folder, certificate, key, index)


def _index_json(index: Index) -> bytes:
    return msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n"


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
