"""A status that its member has signed, so that no other member can answer `protovine status` in its name.

The question carries a nonce, so that a recorded answer fits no other question. The proof has the member's certificate
and its signature (ECDSA P-256, SHA-256) of "protovine status", 0, the nonce and the status, in msgpack. This module
does no I/O and reads no clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from protovine.errors import RemoteProtocolError
from protovine.net.security.identity import CERTIFICATE_BYTES_MAX, Identity, MemberName, Trust, parse_certificate

NONCE_BYTES = 16
_ECDSA = ec.ECDSA(hashes.SHA256())
_LABEL = b"protovine status\0"


class _Proof(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    certificate: Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_BYTES_MAX)]
    signature: Annotated[bytes, msgspec.Meta(max_length=80)]


_decode = msgspec.msgpack.Decoder(_Proof).decode


def sign_status(identity: Identity, status: bytes, nonce: bytes) -> bytes:
    """The proof that a status is of this member, for the question with this nonce."""
    signature = identity.key.sign(_LABEL + nonce + status, _ECDSA)
    return msgspec.msgpack.encode(_Proof(identity.certificate.public_bytes(Encoding.DER), signature))


def signer_of(trust: Trust, status: bytes, nonce: bytes, proof: bytes, now: datetime) -> MemberName | None:
    """The member that has signed the status, with a certificate that ``trust`` accepts at ``now``; None if none has.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from protovine.net import create_authority, issue, load_member
    >>> now, nonce = datetime.fromisoformat("2026-01-01T00:00Z"), bytes(NONCE_BYTES)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = create_authority(Path(folder, "authority"), "barn", now=now)
    ...     _ = issue(Path(folder, "authority"), "node-1", Path(folder, "node-1"), now=now)
    ...     identity, trust = load_member(Path(folder, "node-1"), now)
    >>> proof = sign_status(identity, b"{}", nonce)
    >>> [signer_of(trust, status, nonce, proof, now) for status in (b"{}", b"[]")]
    [MemberName(swarm='barn', name='node-1', id=1), None]
    """
    try:
        read = _decode(proof)
        certificate = parse_certificate(read.certificate)
        name = trust.verify(certificate, now)
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)  # `Trust.verify` has seen to it.
        key.verify(read.signature, _LABEL + nonce + status, _ECDSA)
    except (msgspec.MsgspecError, RemoteProtocolError, InvalidSignature):
        return None
    return name
