"""Sharing by whole sets, the paper's way: what is offered to a peer, and what is taken from one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from protovine.prototypes import Evidence, PrototypeSet
from protovine.share.codec import SetLimits, decode_set, encode_set
from protovine.share.gates import Gate

_OWN_MAX = 10**9


@dataclass(frozen=True, slots=True)
class Offer:
    """What could be sent to a peer now.

    ``payload`` is None if the gate held it back; ``value`` is the gate's score and ``items`` the prototypes in it.
    """

    payload: bytes | None
    value: float
    items: int
    gate: str


class WholeSets:
    """Offers the learner's whole set where the gate passes it, and remembers the last set of every peer.

    For a gate that counts what was sent, the last set sent to every peer is remembered too.

    Parameters
    ----------
    gate : Gate
        Judges the own set against what the peer is known to hold.
    limits : SetLimits
        What is accepted from peers.
    dtype : {"float32", "float64"}
        Precision on the wire.
    """

    def __init__(self, gate: Gate, limits: SetLimits, dtype: str = "float32") -> None:
        self.gate, self.limits, self.dtype = gate, limits, dtype
        self._last_received: dict[int, PrototypeSet] = {}
        self._last_sent: dict[int, PrototypeSet] = {}
        self._encoded: tuple[PrototypeSet, bytes | None] | None = None

    def offer(self, peer: int, evidence: Evidence, max_bytes: int) -> Offer | None:
        """The own set as an offer; None if it is empty.

        Besides the gate, ``"size"`` holds it back above ``max_bytes``, and ``"range"`` if a value cannot be encoded.
        """
        own = evidence.prototypes
        if not len(own):
            return None
        score = self.gate.score(evidence, self._known(peer))
        if not self.gate.passes(score):
            return Offer(None, score, len(own), self.gate.name)
        # All peers of one opportunity get the same set, so it is encoded once.
        if self._encoded is None or self._encoded[0] is not own:
            self._encoded = (own, self._encode(own))
        payload = self._encoded[1]
        if payload is None:
            return Offer(None, score, len(own), "range")
        if len(payload) > max_bytes:
            return Offer(None, score, len(own), "size")
        if self.gate.counts_sent:
            self._last_sent[peer] = own  # The same object for every peer that got it.
        return Offer(payload, score, len(own), self.gate.name)

    def _known(self, peer: int) -> PrototypeSet | None:
        """What the peer is known to hold; None if nothing is known."""
        received, sent = self._last_received.get(peer), self._last_sent.get(peer)
        if received is None or sent is None:
            return sent if received is None else received
        return PrototypeSet.joined([received, sent], received.dim, received.origin)

    def _encode(self, own: PrototypeSet) -> bytes | None:
        try:
            return encode_set(own, self.dtype)
        except ValueError:
            return None  # A prototype was pushed out of range; what peers would refuse is not sent.

    def read(self, peer: int, payload: bytes | memoryview) -> PrototypeSet:
        """The set that ``peer`` sent; `CodecError` if it is damaged or breaks a limit. Nothing is remembered yet."""
        return decode_set(payload, self.limits, peer)

    def commit(self, peer: int, prototypes: PrototypeSet) -> None:
        """Remember an accepted set as the peer's last."""
        self._last_received[peer] = prototypes

    def state(self) -> dict[str, Any]:
        """The last set from and to every peer, and what the gate keeps."""
        sent: dict[int, tuple[PrototypeSet, list[int]]] = {}
        for peer in sorted(self._last_sent):
            prototypes = self._last_sent[peer]
            sent.setdefault(id(prototypes), (prototypes, []))[1].append(peer)
        return {
            "gate": self.gate.state(),
            "last_received": [[p, encode_set(self._last_received[p], "float64")] for p in sorted(self._last_received)],
            "last_sent": [[peers, encode_set(prototypes, "float64")] for prototypes, peers in sent.values()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        self.gate.restore(state["gate"])
        self._last_received = {peer: self.read(peer, data) for peer, data in state["last_received"]}
        self._last_sent = {}
        # The own set may be larger than what is accepted from peers.
        limits = replace(self.limits, prototypes_max=_OWN_MAX)
        for peers, data in state.get("last_sent", []):
            self._last_sent.update(dict.fromkeys(peers, decode_set(data, limits)))
