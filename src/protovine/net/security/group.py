"""Messages to all members at once: sealed under a key of the sender, and signed.

A sealed message of `Envelope` is for one peer. For messages to all members (`gossip.schedule` broadcast) each member
has a *sender key*, and sends it to each peer in a sealed message. The key encrypts the messages, and their tag keeps
out everyone who is not a member. All members have the key, so the sender also signs each message. The public key for
the signatures travels with the sender key. Signal uses the same method in groups, under the same name.

A message to all::

    varint  sender << 3 | generation of the sender key mod 8
    varint  counter       from 0, one per sender key
    bytes   payload, encrypted with AES-128-CCM
    u64     tag over everything before it
    64      Ed25519 signature over everything before it

Promises, whatever arrives and in whatever order:

- A payload comes out at most once in each start of the receiver, and only if the named member wrote it under its newest
  sender key that is known.
- The holder of a revoked certificate cannot read messages from members that have the revocation list: each of them
  then makes a new sender key, and sends it to the members that it trusts.
- A refused message changes nothing.

Like the envelope this has no sockets, clocks or threads.

References
----------
M. Marlinspike, "Private group messaging", Signal, 2014 (sender keys). S. Josefsson, I. Liusvaara, "Edwards-Curve
Digital Signature Algorithm (EdDSA)", RFC 8032, 2017.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from protovine import varint
from protovine.errors import MissingKeysError, RemoteProtocolError, UnreadableError
from protovine.net.security.sealing import (
    COUNTER_MAX,
    KEY_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    Window,
    check_payload,
    check_sealed,
    read_head,
    read_sender,
)

# What a sealed payload begins with if it is a sender key, and not for the node.
KEY_MARK = b"\0protovine sender key"
_SIGNED_MARK = b"protovine message to all\0"
_SIGNATURE_BYTES = 64
# Sender and counter take at most 4 + 5 bytes.
GROUP_OVERHEAD_BYTES_MAX = 9 + TAG_BYTES + _SIGNATURE_BYTES


class GroupLike(Protocol):
    """What a runtime needs for messages to all members."""

    def renew(self) -> None:
        """Use another sender key from now on."""
        ...

    @property
    def sender_key(self) -> bytes | None:
        """The own sender key as a payload to be sealed for each peer; None if peers need no key."""
        ...

    def take_key(self, peer: int, payload: bytes) -> None:
        """Take the sender key of a peer, from a payload that it has sealed."""
        ...

    def seal(self, payload: bytes) -> bytes:
        """A payload for all members."""
        ...

    def open(self, data: bytes) -> tuple[int, bytes]:
        """Who sent it to all, and the payload."""
        ...


class _SenderKey(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """A sender key as it travels."""

    generation: Annotated[int, msgspec.Meta(ge=0, le=2**32)]
    secret: Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES + NONCE_BYTES, max_length=KEY_BYTES + NONCE_BYTES)]
    public: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


@dataclass(slots=True)
class _Sender:
    """A peer's newest sender key, and which of its messages came."""

    key: _SenderKey
    cipher: AESCCM
    public: Ed25519PublicKey
    window: Window = field(default_factory=Window)


class Group:
    """The sender keys of one member and its peers, for as long as its process lives.

    Parameters
    ----------
    id : int
        The own id.
    trusts : callable (int) -> bool
        Whether a peer has said hello and its certificate is valid.
    payload_bytes_max : int
        Longer payloads are refused.

    Examples
    --------
    >>> ann, bob = (Group(id, lambda peer: True, 1000) for id in (1, 2))
    >>> bob.take_key(1, ann.sender_key)
    >>> sealed = ann.seal(b"data for all")
    >>> len(sealed) - len(b"data for all"), bob.open(sealed)
    (74, (1, b'data for all'))
    >>> bob.open(sealed)
    Traceback (most recent call last):
    protovine.errors.UnreadableError: message 0 of node 1 to all came before
    """

    def __init__(self, id: int, trusts: Callable[[int], bool], payload_bytes_max: int) -> None:
        self._id, self._trusts, self._payload_bytes_max = id, trusts, payload_bytes_max
        self._senders: dict[int, _Sender] = {}
        self._generation = -1
        self.renew()

    def renew(self) -> None:
        """Use another sender key from now on: nobody can read what is sealed then who has not got it."""
        self._generation += 1
        self._counter = 0
        self._signing = Ed25519PrivateKey.generate()
        public = self._signing.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self._key = _SenderKey(self._generation, secrets.token_bytes(KEY_BYTES + NONCE_BYTES), public)
        self._cipher = _cipher(self._key)

    @property
    def sender_key(self) -> bytes:
        """The own sender key as a payload to be sealed for each peer."""
        return KEY_MARK + msgspec.msgpack.encode(self._key)

    def take_key(self, peer: int, payload: bytes) -> None:
        """Take the sender key of ``peer`` from a payload that it has sealed; an older one changes nothing.

        Raises
        ------
        RemoteProtocolError
            ``malformed``: it is none.
        """
        try:
            key = msgspec.msgpack.decode(payload.removeprefix(KEY_MARK), type=_SenderKey)
            public = Ed25519PublicKey.from_public_bytes(key.public)
        except (msgspec.DecodeError, ValueError):
            raise RemoteProtocolError("malformed", f"the sender key of node {peer} is malformed") from None
        known = self._senders.get(peer)
        if known is None or key.generation > known.key.generation:
            self._senders[peer] = _Sender(key, _cipher(key), public)

    def forget(self, peer: int) -> None:
        """The peer has started again: it has another sender key."""
        self._senders.pop(peer, None)

    def seal(self, payload: bytes) -> bytes:
        """``payload`` for all members, at most `GROUP_OVERHEAD_BYTES_MAX` bytes longer.

        Raises
        ------
        LocalProtocolError
            The payload is too long.
        """
        check_payload(payload, self._payload_bytes_max)
        if self._counter > COUNTER_MAX:
            self.renew()
        head = varint.write(self._id << 3 | self._generation % 8) + varint.write(self._counter)
        data = head + self._cipher.encrypt(_nonce(self._key, self._counter), payload, head)
        self._counter += 1
        return data + self._signing.sign(_SIGNED_MARK + data)

    def open(self, data: bytes) -> tuple[int, bytes]:
        """The sender and the payload of a message to all, once.

        Costs O(bytes), and a check of a signature only for what somebody wrote who has the sender key.

        Raises
        ------
        MissingKeysError
            ``keys``: the sender's present key is not known, or it is not trusted.
        UnreadableError
            ``replay``: opened before, or too old to tell; ``forged``: not written by the sender.
        RemoteProtocolError
            ``oversize``, ``malformed``, ``echo``: written by this node.
        """
        check_sealed(data, self._payload_bytes_max + GROUP_OVERHEAD_BYTES_MAX)
        id, hint, counter, at = read_head(data)
        end = len(data) - _SIGNATURE_BYTES
        if end < at + TAG_BYTES:
            raise RemoteProtocolError("malformed", "not a message to all")
        if id == self._id:
            raise RemoteProtocolError("echo", "this node's own message to all came back")
        sender = self._senders.get(id)
        if sender is None or sender.key.generation % 8 != hint or not self._trusts(id):
            raise MissingKeysError(id, f"a message to all under a key of node {id} that is not known")
        if not sender.window.is_new(counter):
            raise UnreadableError("replay", id, f"message {counter} of node {id} to all came before")
        try:
            payload = sender.cipher.decrypt(_nonce(sender.key, counter), data[at:end], data[:at])
            sender.public.verify(data[end:], _SIGNED_MARK + data[:end])
        except (InvalidTag, InvalidSignature):
            raise UnreadableError(
                "forged", id, f"message {counter} of node {id} to all was not written by it"
            ) from None
        sender.window.note(counter)
        return id, payload


class PlainGroup:
    """Messages to all on an open network: no keys, and anyone can read, and send in any name.

    Parameters
    ----------
    id : int
        The own id.
    public_of : callable (int) -> bytes or None
        What tells the present start of a process of that id from others; None if it has not said hello.
    payload_bytes_max : int
        Longer payloads are refused.
    """

    def __init__(self, id: int, public_of: Callable[[int], bytes | None], payload_bytes_max: int) -> None:
        self._id, self._public_of, self._payload_bytes_max = id, public_of, payload_bytes_max

    def renew(self) -> None:
        """There are no keys."""

    @property
    def sender_key(self) -> None:
        """None: peers need no key."""

    def take_key(self, peer: int, payload: bytes) -> None:
        """Refuse it: `RemoteProtocolError`."""
        raise RemoteProtocolError("malformed", f"node {peer} sent a sender key on an open network")

    def seal(self, payload: bytes) -> bytes:
        """``payload`` for all members, 2 to 4 bytes longer; `LocalProtocolError` if it is too long."""
        check_payload(payload, self._payload_bytes_max)
        return varint.write(self._id) + self._hint(self._id) + payload

    def open(self, data: bytes) -> tuple[int, bytes]:
        """The claimed sender and the payload; `RemoteProtocolError` as `Group.open`, without what needs keys."""
        check_sealed(data, self._payload_bytes_max + GROUP_OVERHEAD_BYTES_MAX)
        id, at = read_sender(data)
        if id == self._id:
            raise RemoteProtocolError("echo", "this node's own message to all came back")
        hint = self._hint(id)
        if not hint or data[at : at + 1] != hint:
            raise MissingKeysError(id, f"a message to all of node {id}, which has not said hello since it started")
        return id, data[at + 1 :]

    def _hint(self, id: int) -> bytes:
        """A byte that tells the present start of a process from others; empty if it is not known."""
        public = self._public_of(id)
        return b"" if public is None else zlib.crc32(public).to_bytes(4)[:1]


def _cipher(key: _SenderKey) -> AESCCM:
    return AESCCM(key.secret[:KEY_BYTES], tag_length=TAG_BYTES)


def _nonce(key: _SenderKey, counter: int) -> bytes:
    return (int.from_bytes(key.secret[KEY_BYTES:]) ^ counter).to_bytes(NONCE_BYTES)
