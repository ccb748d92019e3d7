"""What a certificate or a revocation list contains (`protovine cert show`)."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from protovine.errors import ConfigError
from protovine.net.clock import shown_range
from protovine.net.security.identity import (
    CERTIFICATE_ERRORS,
    MemberName,
    authority_swarm,
    fingerprint,
    is_authority,
    name_of,
    read_certificate,
    read_file,
)
from protovine.net.security.tombstones import tombstones_of


def describe(path: Path, now: datetime) -> dict[str, Any]:
    """The contents of a certificate or a revocation list, as JSON can hold them.

    Parameters
    ----------
    path : Path
        A file in PEM.
    now : datetime
        With a time zone; ``in_time`` says whether a certificate is valid then.

    Raises
    ------
    ConfigError
        The file cannot be read, or is none of these.

    Examples
    --------
    >>> import tempfile
    >>> from protovine.net import create_authority, issue
    >>> now = datetime.fromisoformat("2026-01-01T00:00Z")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = create_authority(Path(folder, "authority"), "barn", now=now)
    ...     _ = issue(Path(folder, "authority"), "node-1", Path(folder, "node-1"), now=now)
    ...     found = describe(Path(folder, "node-1", "member.pem"), now)
    >>> found["kind"], found["name"], found["addresses"], found["not_after"][:10]
    ('member', 'node-1', ['node-1'], '2027-01-01')
    """
    data = read_file(path)
    if b"BEGIN X509 CRL" in data:
        try:
            revocations = x509.load_pem_x509_crl(data)
        except CERTIFICATE_ERRORS:
            raise ConfigError(f"{path} is no revocation list in PEM") from None
        try:
            stones = [f"{one.member} {shown_range(one.since_ns, one.until_ns)}" for one in tombstones_of(revocations)]
        except CERTIFICATE_ERRORS as error:
            raise ConfigError(f"{path} is damaged: {error}") from None
        return {
            "kind": "revocations",
            "issuer": _common_name(revocations.issuer),
            "made": revocations.last_update_utc.isoformat(),
            "revoked": {f"{one.serial_number:x}": one.revocation_date_utc.isoformat() for one in revocations},
            "forgotten": stones,
        }
    certificate = read_certificate(path)
    try:
        if is_authority(certificate):
            who: dict[str, Any] = {"kind": "authority", "swarm": authority_swarm(certificate)}
        else:
            name = name_of(certificate)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            addresses = [
                *names.get_values_for_type(x509.DNSName),
                *map(str, names.get_values_for_type(x509.IPAddress)),
            ]
            who = {"kind": "operator", "swarm": name.swarm, "name": name.name}
            if isinstance(name, MemberName):
                who |= {"kind": "member", "id": name.id, "addresses": addresses}
            else:
                who["may"] = list(name.may)
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


def _common_name(name: x509.Name) -> str:
    return str(name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value) if name.rdns else ""
