"""Commands of operators to a running node: what there are, their bytes, and the proof of who gave them.

The **token** is a secret that the node and its operators share. It is never sent: a key that is derived from it
(HKDF-SHA256, with the swarm's name) authenticates every command and every answer (HMAC-SHA256). A command answers a
**challenge** of the node, which names this start of the process, works once and ends soon, so a recorded command is
refused, and so is one that was held back. Where the swarm has certificates, the operator's certificate signs the
command, too; the token alone is not enough.

An empty query asks for a challenge::

    Challenge   swarm, member's name and id, incarnation, 16 random bytes
    Frame       Signed, and the HMAC of "protovine command", 0 and Signed
    Signed      Command, the certificate (DER) and its signature (ECDSA P-256, SHA-256); both empty on an open network
    Command     Challenge, the operator's name, the action
    Answer      Outcome, and the HMAC of "protovine answer", 0, the command's HMAC and Outcome; empty if not proved

All are msgpack. This module does no I/O and reads no clock.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding

from protovine.errors import ConfigError, RemoteProtocolError
from protovine.net.security.identity import (
    CERTIFICATE_BYTES_MAX,
    MEMBER_ID_MAX,
    MemberName,
    OperatorName,
    Trust,
    parse_certificate,
)

COMMAND_BYTES_MAX = CERTIFICATE_BYTES_MAX + 2048
CHALLENGE_BYTES, MAC_BYTES = 16, 32
TOKEN_LENGTH_MIN, TOKEN_LENGTH_MAX = 32, 256
# The outcome of a command that was carried out; others are reasons of refusals.
DONE = "done"
_ECDSA = ec.ECDSA(hashes.SHA256())
_Name = Annotated[str, msgspec.Meta(max_length=63)]
_Id = Annotated[int, msgspec.Meta(ge=0, le=MEMBER_ID_MAX)]


# -- What may be done. -------------------------------------------------------------------------------------------------


class Retune(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="retune", tag_field="do"):
    """Share by other settings; None keeps what there is, and a budget of 0 is no limit."""

    fanout: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    share_probability: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    budget_bytes_per_s: Annotated[float, msgspec.Meta(ge=0, le=1e12)] | None = None

    def __post_init__(self) -> None:
        if not self.changes:
            raise ValueError(f"retune must name {', '.join(self.__struct_fields__)}, or some of them")

    @property
    def changes(self) -> dict[str, float]:
        """The settings that change, by name."""
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}


class Cut(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="cut", tag_field="do"):
    """Send member ``peer`` no messages, and read none of it."""

    peer: _Id


class Mend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="mend", tag_field="do"):
    """End a `Cut`."""

    peer: _Id


class PauseSharing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="pause-sharing", tag_field="do"):
    """Share no local samples until `ResumeSharing`; go on learning, and reading what peers share."""


class ResumeSharing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="resume-sharing", tag_field="do"):
    """End a `PauseSharing`."""


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="stop", tag_field="do"):
    """Save a snapshot, leave the swarm, and end the process."""


Action = Retune | Cut | Mend | PauseSharing | ResumeSharing | Stop


def action_of(table: dict[str, Any]) -> Action:
    """The action in a table with ``do``; `ConfigError` if it is none, or a value is out of range.

    Examples
    --------
    >>> action_of({"do": "retune", "fanout": 2})
    Retune(fanout=2, share_probability=None, budget_bytes_per_s=None)
    >>> action_of({"do": "retune", "fanout": 0})
    Traceback (most recent call last):
    protovine.errors.ConfigError: not a command: Expected `int` >= 1 - at `$.fanout`
    """
    try:
        found: Action = msgspec.convert(table, Action)
    except msgspec.ValidationError as error:
        raise ConfigError(f"not a command: {error}") from None
    return found


# -- Their bytes. ------------------------------------------------------------------------------------------------------


class Challenge(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What the next command to a node must repeat."""

    swarm: _Name
    name: _Name
    id: _Id
    incarnation: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    value: Annotated[bytes, msgspec.Meta(min_length=CHALLENGE_BYTES, max_length=CHALLENGE_BYTES)]


class Command(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """An action for one start of one node; ``by`` is what the operator calls itself, and proves nothing."""

    challenge: Challenge
    by: _Name
    action: Action


class _Signed(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    command: Annotated[bytes, msgspec.Meta(max_length=1024)]
    certificate: Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_BYTES_MAX)]
    signature: Annotated[bytes, msgspec.Meta(max_length=80)]


class _Frame(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    signed: Annotated[bytes, msgspec.Meta(max_length=COMMAND_BYTES_MAX)]
    mac: Annotated[bytes, msgspec.Meta(min_length=MAC_BYTES, max_length=MAC_BYTES)]


class Outcome(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What came of a command: `DONE` or the reason of a refusal, and words."""

    reason: Annotated[str, msgspec.Meta(max_length=20)]
    text: Annotated[str, msgspec.Meta(max_length=500)]


class _Answer(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    outcome: Annotated[bytes, msgspec.Meta(max_length=2048)]
    mac: Annotated[bytes, msgspec.Meta(max_length=MAC_BYTES)]


_pack = msgspec.msgpack.encode
_challenges, _frames = msgspec.msgpack.Decoder(Challenge), msgspec.msgpack.Decoder(_Frame)
_signed, _commands = msgspec.msgpack.Decoder(_Signed), msgspec.msgpack.Decoder(Command)
_answers, _outcomes = msgspec.msgpack.Decoder(_Answer), msgspec.msgpack.Decoder(Outcome)


_T = TypeVar("_T")


def _decoded(decoder: msgspec.msgpack.Decoder[_T], data: bytes, what: str, reason: str = "malformed") -> _T:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(reason, f"not {what}: {error}") from None


def write_challenge(challenge: Challenge) -> bytes:
    """The bytes of a challenge."""
    return _pack(challenge)


def read_challenge(data: bytes) -> Challenge:
    """The inverse of `write_challenge`; `RemoteProtocolError` for other bytes."""
    return _decoded(_challenges, data, "a challenge")


# -- The proof. --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signer:
    """An operator's certificate and private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)


@dataclass(frozen=True)
class Given:
    """A command that has the right token: it, who gave it, and its HMAC."""

    command: Command
    by: str
    mac: bytes = field(repr=False)


class ControlKey:
    """The key that a token stands for in a swarm.

    Raises
    ------
    ConfigError
        The token is too short or too long, or has characters that are not visible ASCII. It is not repeated.
    """

    def __init__(self, token: str, swarm: str) -> None:
        if not TOKEN_LENGTH_MIN <= len(token) <= TOKEN_LENGTH_MAX or any(not "!" <= c <= "~" for c in token):
            raise ConfigError(
                f"a control token has {TOKEN_LENGTH_MIN} to {TOKEN_LENGTH_MAX} visible ASCII characters, "
                f"got {len(token)} characters: make one with `openssl rand -hex 32`"
            )
        info = b"protovine control\0" + swarm.encode()
        self._key = HKDF(hashes.SHA256(), length=MAC_BYTES, salt=None, info=info).derive(token.encode())

    def _mac(self, label: bytes, *parts: bytes) -> bytes:
        return hmac.digest(self._key, label + b"\0" + b"".join(parts), "sha256")

    def write(self, command: Command, signer: Signer | None) -> tuple[bytes, bytes]:
        """The bytes of a command, signed if there is a certificate, and its HMAC, for `read_answer`."""
        packed, certificate, signature = _pack(command), b"", b""
        if signer is not None:
            certificate = signer.certificate.public_bytes(Encoding.DER)
            signature = signer.key.sign(_signed_bytes(packed), _ECDSA)
        signed = _pack(_Signed(packed, certificate, signature))
        mac = self._mac(b"protovine command", signed)
        return _pack(_Frame(signed, mac)), mac

    def read(self, data: bytes, check: Callable[[Challenge], None], trust: Trust | None, now: datetime) -> Given:
        """A command from its bytes, with the operator that gave it; with ``trust`` its certificate must have signed it.

        Nothing is read of a command with another token. ``check`` looks at the challenge before any certificate is.

        Raises
        ------
        RemoteProtocolError
            ``oversize``, ``malformed``; ``token``: another one.
        ProvedError
            ``value``: an action that there is not, or a value out of range; ``operator``: the certificate is not a
            valid operator's of this swarm, or did not sign the command; what ``check`` refuses.
        """
        if len(data) > COMMAND_BYTES_MAX:
            raise RemoteProtocolError("oversize", f"a command has at most {COMMAND_BYTES_MAX} bytes, got {len(data)}")
        frame = _decoded(_frames, data, "a command")
        if not hmac.compare_digest(self._mac(b"protovine command", frame.signed), frame.mac):
            raise RemoteProtocolError("token", "the token is not that of this node")
        try:
            signed = _decoded(_signed, frame.signed, "a command")
            command = _decoded(_commands, signed.command, "a command", "value")
            check(command.challenge)
            by = f"{command.by or 'an operator'} (not proved)" if trust is None else _operator(signed, trust, now)
        except RemoteProtocolError as error:
            raise ProvedError(frame.mac, error.reason, str(error)) from None
        return Given(command, by, frame.mac)

    def write_answer(self, mac: bytes, outcome: Outcome) -> bytes:
        """The bytes of an answer to the command with this HMAC; without one, if the command had none that is right."""
        packed = _pack(outcome)
        return _pack(_Answer(packed, self._mac(b"protovine answer", mac, packed) if mac else b""))

    def read_answer(self, mac: bytes, data: bytes) -> tuple[Outcome, bool]:
        """An answer to the command with this HMAC, and whether a node with this token made it."""
        answer = _decoded(_answers, data, "an answer")
        proved = hmac.compare_digest(self._mac(b"protovine answer", mac, answer.outcome), answer.mac)
        return _decoded(_outcomes, answer.outcome, "an answer"), proved


class ProvedError(RemoteProtocolError):
    """A command with the right token, whose HMAC is ``mac``, that is refused."""

    def __init__(self, mac: bytes, reason: str, text: str) -> None:
        super().__init__(reason, text)
        self.mac = mac


def _signed_bytes(command: bytes) -> bytes:
    return b"protovine command\0" + command


def _operator(signed: _Signed, trust: Trust, now: datetime) -> str:
    """The name of the operator whose certificate signed a command."""
    if not signed.certificate:
        raise RemoteProtocolError("operator", "this swarm has certificates, and the command has none")
    try:
        certificate = parse_certificate(signed.certificate)
        name: MemberName | OperatorName = trust.check(certificate, now)
    except RemoteProtocolError as error:
        raise RemoteProtocolError("operator", str(error)) from None
    if not isinstance(name, OperatorName):
        raise RemoteProtocolError("operator", f"{name.name} is a member, and only operators give commands")
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)  # `Trust.check` has seen to it.
    try:
        key.verify(signed.signature, _signed_bytes(signed.command), _ECDSA)
    except InvalidSignature:
        raise RemoteProtocolError("operator", f"{name.name} did not sign this command") from None
    return f"operator {name.name}"
