"""What a member brings to its authority: a key, its names, and a request for a certificate."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from protovine.errors import ConfigError, check_range
from protovine.net.security.files import replace_file, write_folder
from protovine.net.security.identity import CERTIFICATE_ERRORS, LABEL, check_name, read_file, read_key

ADDRESSES_MAX = 32
_DNS_NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*", re.ASCII)


def request(folder: Path, name: str, addresses: Iterable[str] = ()) -> x509.CertificateSigningRequest:
    """A request for a certificate, written to ``request.pem`` in a folder, with a new key or the one that is there.

    The key is made here and stays here: only the request goes to the authority (`sign`).

    Raises
    ------
    ConfigError
        A name or address is none, or a file cannot be read or written.
    """
    check_name("the member's name", name)
    names = alternative_names(name, addresses)
    path = folder / "member.key"
    known = path.exists()
    key = read_key(path) if known else ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509_name(name))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    if known:
        replace_file(folder / "request.pem", pem)
    else:
        write_folder(folder, {"member.key": key_pem(key), "request.pem": pem})
    return made


def read_request(path: Path) -> tuple[str, list[str], ec.EllipticCurvePublicKey]:
    """The name, the addresses and the key that a request is for; `ConfigError` unless its key signed it."""
    return parse_request(read_file(path), str(path))


def parse_request(pem: bytes, source: str) -> tuple[str, list[str], ec.EllipticCurvePublicKey]:
    """As `read_request`; errors name the ``source``."""
    try:
        found = x509.load_pem_x509_csr(pem)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (name,) = (str(each.value) for each in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME))
        key = found.public_key()
        signed = found.is_signature_valid
    except CERTIFICATE_ERRORS:
        raise ConfigError(f"{source} is no request of `protovine cert request`") from None
    if not signed or not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(f"{source} is not signed by an ECDSA P-256 key of its own")
    addresses = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return name, [each for each in addresses if each != name], key


def key_fingerprint(key: Any) -> str:
    """The beginning of the SHA-256 of a public key, to be compared by people."""
    return key_digest(key)[:16]


def key_digest(key: Any) -> str:
    """The SHA-256 of a public key, in hex."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).hexdigest()


def alternative_names(name: str, addresses: Iterable[str]) -> list[x509.GeneralName]:
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


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key in PEM, unencrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def x509_name(common_name: str) -> x509.Name:
    """A name of this common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
