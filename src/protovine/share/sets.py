"""Sharing by whole sets, the paper's way: offers to a peer, and sets received from one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from protovine.errors import LocalProtocolError
from protovine.prototypes import Evidence, PrototypeSet, read_only
from protovine.share.codec import SetLimits, decode_set, encode_set
from protovine.share.gates import AlwaysGate, GainGate, Gate, JensenShannonGate, LooJensenShannonGate

_LOCAL_MAX = 10**9
# Gates that are known to write into nothing. Others get read-only arrays, for which kernels are compiled once more.
_OURS = (AlwaysGate, GainGate, JensenShannonGate, LooJensenShannonGate)


@dataclass(frozen=True, slots=True)
class Offer:
    """A payload for a peer, and the gate's decision.

    ``payload`` is None if the gate held it back; ``value`` is the gate's score, ``items`` the number of prototypes.
    """

    payload: bytes | None
    value: float
    items: int
    gate: str


class WholeSets:
    """Offers the learner's whole set if the gate passes it, and remembers the last set received from every peer.

    For a gate with ``counts_sent`` it also remembers the last set sent to every peer.

    Parameters
    ----------
    gate : Gate
        Scores the learner's set against the prototypes that the peer has, as far as the node knows.
    limits : SetLimits
        Bounds on received sets.
    dtype : {"float32", "float64"}
        Precision on the wire.

    Examples
    --------
    >>> from protovine.share import AlwaysGate
    >>> share = WholeSets(AlwaysGate(), SetLimits(dim=1, n_classes=2))
    >>> offer = share.offer(3, Evidence(PrototypeSet.of([[0.5]], [1]), samples_learnt=1), max_bytes=1000)
    >>> offer.items, len(offer.payload), share.read(0, offer.payload).x.tolist()
    (1, 25, [[0.5]])
    >>> share.offer(3, Evidence(PrototypeSet.of([[0.7]], [1]), samples_learnt=2), max_bytes=8).gate
    'size'
    """

    def __init__(self, gate: Gate, limits: SetLimits, dtype: str = "float32") -> None:
        self.gate, self.limits, self.dtype = gate, limits, dtype
        self._last_received: dict[int, PrototypeSet] = {}
        self._last_sent: dict[int, PrototypeSet] = {}
        self._encoded: tuple[PrototypeSet, bytes | None] | None = None
        self._guards = type(gate) not in _OURS
        self._guarded: tuple[Evidence, Evidence] | None = None

    def offer(self, peer: int, evidence: Evidence, max_bytes: int) -> Offer | None:
        """The learner's set as an offer; None if it is empty.

        Besides the gate, ``"size"`` holds back a set above ``max_bytes``, and ``"range"`` one that cannot be encoded.

        Raises
        ------
        LocalProtocolError
            The gate's score is no finite number, or it neither passes it nor not.
        """
        own = evidence.prototypes
        if not len(own):
            return None
        score, passes = self._judged(peer, evidence)
        if not passes:
            return Offer(None, score, len(own), self.gate.name)
        # All peers of one opportunity get the same set, so encode it once.
        if self._encoded is None or self._encoded[0] is not own:
            self._encoded = (own, self._encode(own))
        payload = self._encoded[1]
        if payload is None:
            return Offer(None, score, len(own), "range")
        if len(payload) > max_bytes:
            return Offer(None, score, len(own), "size")
        if self.gate.counts_sent:
            self._last_sent[peer] = own  # `state` relies on peers sharing one object.
        return Offer(payload, score, len(own), self.gate.name)

    def _judged(self, peer: int, evidence: Evidence) -> tuple[float, bool]:
        """The gate's score, and whether it passes."""
        known = self._known(peer)
        if self._guards:
            known = None if known is None else known.read_only()
            # All peers of one opportunity see the same evidence, which a gate may rely on.
            if self._guarded is None or self._guarded[0] is not evidence:
                self._guarded = (evidence, _read_only(evidence))
            evidence = self._guarded[1]
        score = self.gate.score(evidence, known)
        if not isinstance(score, int | float) or not math.isfinite(score):
            raise LocalProtocolError(f"{self._named} must score with a finite number, got {score!r}")
        passes = self.gate.passes(score)
        if not isinstance(passes, bool | np.bool_):
            raise LocalProtocolError(f"{self._named} must pass a score or not (True or False), got {passes!r}")
        return float(score), bool(passes)

    @property
    def _named(self) -> str:
        return f"the gate {type(self.gate).__name__}"

    def _known(self, peer: int) -> PrototypeSet | None:
        """The prototypes that the peer is known to have; None if nothing is known."""
        received, sent = self._last_received.get(peer), self._last_sent.get(peer)
        if received is None or sent is None:
            return sent if received is None else received
        return PrototypeSet.joined([received, sent], received.dim, received.origin)

    def _encode(self, own: PrototypeSet) -> bytes | None:
        try:
            return encode_set(own, self.dtype)
        except ValueError:
            return None  # A prototype moved out of range: peers would refuse the set.

    def read(self, peer: int, payload: bytes | memoryview) -> PrototypeSet:
        """Decode a set from ``peer`` without remembering it; `CodecError` if it is damaged or breaks a limit."""
        return decode_set(payload, self.limits, peer)

    def commit(self, peer: int, prototypes: PrototypeSet) -> None:
        """Remember an accepted set as the peer's last."""
        self._last_received[peer] = prototypes

    def forget(self, peer: int) -> None:
        """Forget the peer's last set, and the sets that were sent: prototypes of the peer may be in them."""
        self._last_received.pop(peer, None)
        self._last_sent.clear()
        self._encoded = self._guarded = None

    def state(self) -> dict[str, Any]:
        """The last set from and to every peer, and the gate's state."""
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
        """Continue from ``state``."""
        self.gate.restore(state["gate"])
        self._last_received = {peer: self.read(peer, data) for peer, data in state["last_received"]}
        self._last_sent = {}
        # A local set may exceed the limits for received sets.
        limits = replace(self.limits, prototypes_max=_LOCAL_MAX)
        for peers, data in state.get("last_sent", []):
            self._last_sent.update(dict.fromkeys(peers, decode_set(data, limits)))


def _read_only(evidence: Evidence) -> Evidence:
    """The same evidence in arrays that cannot be written."""
    window = read_only(evidence.window_x), read_only(evidence.window_label)
    return Evidence(evidence.prototypes.read_only(), evidence.samples_learnt, *window)
