"""Who a member is and whom it trusts: names in certificates, and a member's folder as `Identity` and `Trust`.

A member's folder has ``member.key``, ``member.pem`` and copies of the authority's ``authority.pem`` and
``revoked.pem``. The certificate names its member in one URI, ``protovine://SWARM/NAME/ID``, among its alternative
names. Every function takes the time as an argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from protovine.errors import ConfigError, RemoteProtocolError
from protovine.net.security.tombstones import TombstoneFields, tombstones_of

# Members are numbered from 1 unless they are given a number; 0 is valid, and earlier versions gave it.
MEMBER_ID_MAX = 999_999
CERTIFICATE_BYTES_MAX = 4096
# A revocation list of 100,000 members has 4 MB.
_FILE_BYTES_MAX = 2**24
URI_SCHEME, OPERATOR_SCHEME = "protovine://", "protovine-operator://"
# Names of swarms and members are single DNS labels.
LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_OPERATOR_URI = re.compile(f"{OPERATOR_SCHEME}({LABEL})/({LABEL})", re.ASCII)
# In a revocation list, the extension of an entry that names the member: an arc from a random UUID (ITU-T X.667).
REVOKED_MEMBER = x509.ObjectIdentifier("2.25.178602173471234021869357418021473962411")
# In an operator's certificate, the extension that says what it may do besides asking: names, with commas between.
PERMISSIONS = x509.ObjectIdentifier("2.25.79601940721122942575332011640299178202")
# To sign tombstones.
MAY_FORGET = "forget"
MAY = (MAY_FORGET,)
_PERMISSIONS = re.compile("[a-z]{1,20}(?:,[a-z]{1,20}){0,7}", re.ASCII)
_MEMBER_URI = re.compile(f"{URI_SCHEME}({LABEL})/({LABEL})/(0|[1-9][0-9]{{0,5}})", re.ASCII)


def check_name(what: str, name: str) -> None:
    """`ConfigError` unless ``name`` can be the name of a swarm or a member.

    Examples
    --------
    >>> check_name("name", "node_1")
    Traceback (most recent call last):
    protovine.errors.ConfigError: name must be 1 to 63 of a-z, 0-9 and - (not first or last), got 'node_1'
    """
    if not re.fullmatch(LABEL, name, re.ASCII):
        raise ConfigError(f"{what} must be 1 to 63 of a-z, 0-9 and - (not first or last), got {name!r}")


@dataclass(frozen=True, slots=True, order=True)
class MemberName:
    """The member that a certificate belongs to.

    Examples
    --------
    >>> MemberName("barn", "node-1", 1).uri
    'protovine://barn/node-1/1'
    >>> MemberName.parse("protovine://barn/node-1/1")
    MemberName(swarm='barn', name='node-1', id=1)
    """

    swarm: str
    name: str
    id: int

    @property
    def uri(self) -> str:
        """The form that the certificate has."""
        return f"{URI_SCHEME}{self.swarm}/{self.name}/{self.id}"

    @classmethod
    def parse(cls, uri: str) -> MemberName:
        """The inverse of `uri`; ``ValueError`` for anything that is not exactly of this form."""
        found = _MEMBER_URI.fullmatch(uri)
        if not found:
            raise ValueError(f"{uri!r} names no member")
        return cls(found[1], found[2], int(found[3]))


@dataclass(frozen=True, slots=True, order=True)
class OperatorName:
    """The person or program that a certificate belongs to, who may ask members for their status and is no member.

    ``may`` has what the authority lets it do besides: ``forget``, to sign tombstones.

    Examples
    --------
    >>> OperatorName("barn", "kim").uri
    'protovine-operator://barn/kim'
    """

    swarm: str
    name: str
    may: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        """The form that the certificate has."""
        return f"{OPERATOR_SCHEME}{self.swarm}/{self.name}"


def name_of(certificate: x509.Certificate) -> MemberName | OperatorName:
    """Whom ``certificate`` belongs to; ``ValueError`` unless it has one URI and an ECDSA P-256 key."""
    if certificate.signature_algorithm_oid != x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise ValueError("it is not signed by ECDSA with SHA-256")
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("its key is not of ECDSA P-256")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise ValueError(f"it has {len(uris)} URIs instead of one")
    found = _OPERATOR_URI.fullmatch(uris[0])
    return OperatorName(found[1], found[2], _permissions(certificate)) if found else MemberName.parse(uris[0])


def _permissions(certificate: x509.Certificate) -> tuple[str, ...]:
    """What an operator may do, by its certificate; those that this version does not know are among it."""
    for extension in certificate.extensions:
        if extension.oid == PERMISSIONS and isinstance(extension.value, x509.UnrecognizedExtension):
            text = extension.value.value.decode("ascii")
            if not _PERMISSIONS.fullmatch(text):
                raise ValueError(f"{text!r:.200} are no permissions")
            return tuple(text.split(","))
    return ()


def member_name(certificate: x509.Certificate) -> MemberName:
    """As `name_of`; ``ValueError`` for an operator."""
    name = name_of(certificate)
    if isinstance(name, OperatorName):
        raise ValueError(f"it is of operator {name.name}, who is no member")
    return name


def common_name(serial: int) -> str:
    """The common name of the certificate with this serial number: the number in hex."""
    return f"{serial:x}"


def fingerprint(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the certificate, 32 bytes."""
    return certificate.fingerprint(hashes.SHA256())


@dataclass(frozen=True)
class Identity:
    """A member's certificate and private key."""

    member: MemberName
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)


class Tombstone(NamedTuple):
    """All members are to forget what a member shared with event times from ``since_ns`` to ``until_ns``."""

    member: MemberName
    since_ns: int
    until_ns: int


@dataclass(frozen=True)
class Trust:
    """Whom a node trusts: every member that the authority of its swarm certified, except the revoked ones.

    Parameters
    ----------
    certificate : Certificate
        The authority's.
    revoked : set of int
        Serial numbers.
    number : int
        Of the revocation list; a newer one has a higher number.
    names : mapping of int to MemberName
        The members that the revoked certificates belong to, by serial number, as far as the list says so.
    revocations : bytes
        The list itself, in DER and signed, for others.
    tombstones : tuple of Tombstone
        What the list says is to be forgotten.
    """

    certificate: x509.Certificate
    revoked: frozenset[int] = frozenset()
    number: int = 0
    names: Mapping[int, MemberName] = field(default_factory=dict, repr=False, compare=False)
    revocations: bytes = field(default=b"", repr=False, compare=False)
    tombstones: tuple[Tombstone, ...] = ()

    @property
    def swarm(self) -> str:
        """The name of the authority's swarm."""
        return authority_swarm(self.certificate)

    def with_revocations(self, der: bytes) -> Trust:
        """The same authority with another list, which must be signed by it; ``ValueError`` otherwise."""
        try:
            found = x509.load_der_x509_crl(der)
            issued = found.is_signature_valid(self.certificate.public_key())  # type: ignore[arg-type]
            number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        except CERTIFICATE_ERRORS as error:
            raise ValueError(f"not a revocation list: {error}") from None
        if not issued or found.issuer != self.certificate.subject:
            raise ValueError("the revocation list is not of this authority")
        try:
            names = {entry.serial_number: _revoked_member(entry) for entry in found}
            stones = tuple(_tombstone(fields, self.swarm) for fields in tombstones_of(found))
        except CERTIFICATE_ERRORS as error:
            raise ValueError(f"not a revocation list: {error}") from None
        known = {serial: name for serial, name in names.items() if name is not None}
        return Trust(self.certificate, frozenset(names), number, known, der, stones)

    @property
    def says_something(self) -> bool:
        """Whether the list has anything that other members should know."""
        return bool(self.revoked or self.tombstones)

    def verify(self, certificate: x509.Certificate, now: datetime) -> MemberName:
        """The member that ``certificate`` belongs to, if it is valid at ``now``.

        Raises
        ------
        RemoteProtocolError
            ``certificate``: of another authority, not valid at ``now``, or not of the form that authorities here issue;
            ``revoked``; ``swarm``: of another swarm.
        """
        return _member(self.check(certificate, now))

    def check(self, certificate: x509.Certificate, now: datetime) -> MemberName | OperatorName:
        """As `verify`, also for operators."""
        name = self._issued(certificate, now)
        if certificate.serial_number in self.revoked:
            raise RemoteProtocolError("revoked", f"the certificate of {name.uri} was revoked")
        return name

    def issued(self, certificate: x509.Certificate) -> MemberName:
        """As `verify`, also for a certificate that was revoked, has ended or has not begun."""
        return _member(self._issued(certificate, certificate.not_valid_before_utc))

    def _issued(self, certificate: x509.Certificate, now: datetime) -> MemberName | OperatorName:
        policy = PolicyBuilder().store(Store([self.certificate])).time(now.replace(tzinfo=None)).max_chain_depth(0)
        try:
            policy.build_client_verifier().verify(certificate, [])
            member = name_of(certificate)
        except VerificationError as error:
            why = out_of_time(certificate, now) or f"is not valid: {error}"
            raise RemoteProtocolError("certificate", f"the certificate {why}") from None
        except CERTIFICATE_ERRORS as error:
            raise RemoteProtocolError("certificate", f"the certificate cannot be used: {error}") from None
        if member.swarm != self.swarm:
            raise RemoteProtocolError("swarm", f"the certificate is of swarm {member.swarm}, this is {self.swarm}")
        return member


def _member(name: MemberName | OperatorName) -> MemberName:
    if isinstance(name, OperatorName):
        raise RemoteProtocolError("certificate", f"operator {name.name} is no member")
    return name


def out_of_time(certificate: x509.Certificate, now: datetime) -> str | None:
    """How ``now`` lies before or after the time of the certificate, with both dates; None within it."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        return f"ended on {end:%Y-%m-%d %H:%M} UTC, and the clock here shows {now:%Y-%m-%d %H:%M}"
    if now < begin:
        return f"is valid from {begin:%Y-%m-%d %H:%M} UTC on, and the clock here shows {now:%Y-%m-%d %H:%M}: is it set?"
    return None


def _revoked_member(entry: x509.RevokedCertificate) -> MemberName | None:
    for extension in entry.extensions:
        if isinstance(extension.value, x509.UnrecognizedExtension) and extension.oid == REVOKED_MEMBER:
            return MemberName.parse(extension.value.value.decode("ascii"))
    return None


def _tombstone(fields: TombstoneFields, swarm: str) -> Tombstone:
    member = MemberName.parse(fields.member)
    if member.swarm != swarm:
        raise ValueError(f"a tombstone for {fields.member}, and this is swarm {swarm}")
    return Tombstone(member, fields.since_ns, fields.until_ns)


# All that the parsing of a malformed certificate can raise.
CERTIFICATE_ERRORS = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)


def parse_certificate(der: bytes) -> x509.Certificate:
    """The certificate in ``der``; `RemoteProtocolError` if it is none."""
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise RemoteProtocolError("oversize", f"a certificate of {len(der)} bytes, at most {CERTIFICATE_BYTES_MAX}")
    try:
        return x509.load_der_x509_certificate(der)
    except CERTIFICATE_ERRORS as error:
        raise RemoteProtocolError("certificate", f"not a certificate: {error}") from None


def load_member(folder: Path, now: datetime) -> tuple[Identity, Trust]:
    """Identity and trust from a member's folder.

    Parameters
    ----------
    folder : Path
    now : datetime
        With a time zone.

    Raises
    ------
    ConfigError
        A file is missing or not what it should be, others can read the key, or the certificate is not good at ``now``.

    Examples
    --------
    >>> import tempfile
    >>> from protovine.net import create_authority, issue
    >>> now = datetime.fromisoformat("2026-01-01T00:00Z")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = create_authority(Path(folder, "authority"), "barn", now=now)
    ...     _ = issue(Path(folder, "authority"), "node-1", Path(folder, "node-1"), now=now)
    ...     identity, trust = load_member(Path(folder, "node-1"), now)
    >>> trust.verify(identity.certificate, now)
    MemberName(swarm='barn', name='node-1', id=1)
    """
    identity, trust = load_identity(folder), load_trust(folder)
    try:
        trust.verify(identity.certificate, now)
    except RemoteProtocolError as error:
        why = out_of_time(identity.certificate, now)
        reason = f"it {why}" if why else str(error)
        raise ConfigError(f"{folder / 'member.pem'} cannot be used: {reason}") from None
    return identity, trust


def load_client(folder: Path, now: datetime) -> tuple[str, Trust]:
    """The swarm that a member or an operator may ask, and its trust, from a folder; `ConfigError` as `load_member`."""
    certificate, trust = read_certificate(folder / "member.pem"), load_trust(folder)
    check_key(folder / "member.key")
    try:
        trust.check(certificate, now)
    except RemoteProtocolError as error:
        why = out_of_time(certificate, now)
        raise ConfigError(f"{folder / 'member.pem'} cannot be used: {f'it {why}' if why else error}") from None
    return trust.swarm, trust


def load_identity(folder: Path) -> Identity:
    """Certificate and key from a member's folder (``member.pem`` and ``member.key``).

    Raises
    ------
    ConfigError
        A file is missing, certificate and key do not fit, others can read the key, or it is no member's.

    Examples
    --------
    >>> import tempfile
    >>> from protovine.net import create_authority, issue
    >>> now = datetime.fromisoformat("2026-01-01T00:00Z")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = create_authority(Path(folder, "authority"), "barn", now=now)
    ...     _ = issue(Path(folder, "authority"), "node-1", Path(folder, "node-1"), now=now)
    ...     load_identity(Path(folder, "node-1")).member.uri
    'protovine://barn/node-1/1'
    """
    certificate = read_certificate(folder / "member.pem")
    path = folder / "member.key"
    check_key(path)
    key = read_key(path)
    if key.public_key() != certificate.public_key():
        raise ConfigError(f"{path} is not the key of {folder / 'member.pem'}")
    try:
        return Identity(member_name(certificate), certificate, key)
    except CERTIFICATE_ERRORS as error:
        raise ConfigError(f"{folder / 'member.pem'} is no member's certificate: {error}") from None


def load_trust(folder: Path) -> Trust:
    """The authority (``authority.pem``) and its list (``revoked.pem``), from a member's or an authority's folder.

    Raises
    ------
    ConfigError
        A file cannot be read, the revocation list is not of this authority, or there is none: a missing list must not
        let revoked members in.

    Examples
    --------
    >>> import tempfile
    >>> from protovine.net import create_authority
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = create_authority(Path(folder), "barn", now=datetime.fromisoformat("2026-01-01T00:00Z"))
    ...     trust = load_trust(Path(folder))
    >>> trust.swarm, trust.revoked
    ('barn', frozenset())
    """
    certificate = read_certificate(folder / "authority.pem")
    check_authority(certificate, folder / "authority.pem")
    return read_trust(certificate, folder / "revoked.pem")


def read_trust(certificate: x509.Certificate, path: Path) -> Trust:
    """The authority with the revocation list in a PEM file; `ConfigError` if there is none of this authority."""
    data = read_file(path)
    try:
        der = x509.load_pem_x509_crl(data).public_bytes(serialization.Encoding.DER)
    except CERTIFICATE_ERRORS:
        raise ConfigError(f"{path} is no revocation list in PEM") from None
    try:
        return Trust(certificate).with_revocations(der)
    except ValueError:
        raise ConfigError(f"{path} is not of the authority in {path.parent / 'authority.pem'}") from None


# -- Reading files. ----------------------------------------------------------------------------------------------------


def check_authority(certificate: x509.Certificate, path: Path) -> str:
    """The swarm of an authority's certificate, read from ``path``; `ConfigError` if it is not an authority's."""
    try:
        if not is_authority(certificate):
            raise ValueError("it is a member's")
        return authority_swarm(certificate)
    except CERTIFICATE_ERRORS as error:
        raise ConfigError(f"{path} is no authority's certificate: {error}") from None


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether the certificate may sign others."""
    return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def authority_swarm(certificate: x509.Certificate) -> str:
    """The swarm that an authority's certificate names; ``ValueError`` if it names none."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    swarm = uri.removeprefix(URI_SCHEME)
    if uri == swarm or not re.fullmatch(LABEL, swarm, re.ASCII):
        raise ValueError(f"{uri!r} names no swarm")
    return swarm


def read_certificate(path: Path) -> x509.Certificate:
    """The certificate in a PEM file; `ConfigError` if there is none."""
    data = read_file(path)
    try:
        return x509.load_pem_x509_certificate(data)
    except CERTIFICATE_ERRORS:
        raise ConfigError(f"{path} is no certificate in PEM") from None


def check_key(path: Path) -> None:
    """`ConfigError` unless the file is there and only its owner can read it."""
    try:
        open_to = path.stat().st_mode & 0o077
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if open_to:
        raise ConfigError(f"{path} can be read by others: chmod 600 {path}")


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key in a PEM file; `ConfigError` unless it is an unencrypted one of ECDSA P-256."""
    data = read_file(path)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (*CERTIFICATE_ERRORS, TypeError):
        raise ConfigError(f"{path} is no unencrypted private key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(f"{path} is no ECDSA P-256 key")
    return key


def read_file(path: Path) -> bytes:
    """The bytes of a file of at most 16 MiB; `ConfigError` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            data = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > _FILE_BYTES_MAX:
        raise ConfigError(f"{path} has more than {_FILE_BYTES_MAX} bytes")
    return data
