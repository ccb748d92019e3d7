"""Push gossip of whole payloads, without I/O: messages, what is known of each peer, and acknowledgements.

Promises kept here:

- A message counts once. A message that is not newer, by (incarnation, sequence), than the last accepted one is stale.
- Views only move forwards, and only when `PushGossip.accept` is called, after the payload was found valid.
- A peer cannot speak for another: the sender in the header must be the one that the transport names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from protovine import varint
from protovine.errors import CodecError, RemoteProtocolError
from protovine.gossip.frame import MESSAGE_BYTES_MAX, Frame, Kind
from protovine.gossip.peers import UNSENT, PeerView, check_peers, check_sender, stale

# Header and checksum together are shorter than this, whatever the numbers in them.
_FRAME_BYTES_MAX = 64
# How many of the newest messages are remembered until their acknowledgements arrive.
_UNACKNOWLEDGED_MAX = 256


class OfferLike(Protocol):
    """A payload that could be sent to a peer; see `protovine.share.Offer`."""

    @property
    def payload(self) -> bytes | None:
        """The bytes to send; None if a gate withholds them."""
        ...

    @property
    def value(self) -> float:
        """Its usefulness, in the gate's unit."""
        ...

    @property
    def items(self) -> int:
        """Prototypes in it."""
        ...

    @property
    def gate(self) -> str:
        """Name of the gate that judged it."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The outcome of one offer to one peer: a message or acknowledgement, or no frame and the withheld offer."""

    peer: int
    frame: Frame | None
    data: bytes
    offer: OfferLike | None = None


class PushGossip:
    """The protocol state of one node that pushes whole payloads to its peers.

    Parameters
    ----------
    node : int
        This node's id.
    peers : list of int
        Ids of the neighbours.
    incarnation : int >= 1
        Grows each time the node starts again, so that peers do not take its messages for stale ones.

    Raises
    ------
    ConfigError
        A peer is the node itself, or appears twice.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> offer = SimpleNamespace(payload=b"a set", value=1.0, items=1, gate="always")
    >>> ann, bob = PushGossip(0, [1]), PushGossip(1, [0])
    >>> (made,) = ann.share([1], lambda peer, max_bytes: offer, samples_learnt=7, now_ns=10)
    >>> frame = bob.read(made.data, sender=0)
    >>> view, _ = bob.accept(frame, now_ns=30)
    >>> bytes(frame.payload), view.samples_learnt, view.age_ns(30)
    (b'a set', 7, 20)
    >>> bob.read(made.data, sender=0)
    Traceback (most recent call last):
    protovine.errors.RemoteProtocolError: message 1.1 of node 0 is not newer than 1.1
    """

    def __init__(self, node: int, peers: list[int], *, incarnation: int = 1) -> None:
        check_peers(node, peers)
        self.node = node
        self.peers = sorted(peers)
        self.incarnation = incarnation
        self.views = {peer: PeerView(peer) for peer in self.peers}
        self._sequence = 0
        self._made_ns: dict[int, int] = {}  # When the newest messages were made, by sequence.
        self._owed: dict[int, int] = {}  # Since when a peer waits for an acknowledgement.

    def add(self, peer: int, now_ns: int) -> None:
        """Add a neighbour; nothing changes if it is one already."""
        if peer not in self.views:
            check_peers(self.node, [*self.peers, peer])
            self.peers = sorted([*self.peers, peer])
            self.views[peer] = PeerView(peer)

    @property
    def head(self) -> tuple[int, int]:
        """This node's incarnation, and the number of payloads that it has made in it."""
        return self.incarnation, self._sequence

    def next_timer_ns(self) -> int | None:
        """When an acknowledgement is due, or None."""
        return min(self._owed.values(), default=None)

    def share(
        self,
        peers: list[int],
        offer: Callable[[int, int], OfferLike | None],
        samples_learnt: int,
        now_ns: int,
        reliable: bool = False,
    ) -> list[Outgoing]:
        """Ask ``offer(peer, max_bytes)`` for each of ``peers`` and frame its payload; equal payloads share one frame.

        A ``reliable`` message asks its receiver for an acknowledgement.
        """
        made: list[Outgoing] = []
        frame, data = None, b""
        for peer in peers:
            offered = offer(peer, MESSAGE_BYTES_MAX - _FRAME_BYTES_MAX)
            if offered is None:
                continue
            if offered.payload is None:
                made.append(Outgoing(peer, None, b"", offered))
                continue
            if frame is None or frame.payload is not offered.payload:
                self._sequence += 1
                kind = Kind.RELIABLE_SHARE if reliable else Kind.SHARE
                frame = Frame(
                    kind, self.node, self.incarnation, self._sequence, samples_learnt, now_ns, offered.payload
                )
                data = frame.encode()
                if reliable:
                    self._made_ns[self._sequence] = now_ns
                    self._made_ns.pop(self._sequence - _UNACKNOWLEDGED_MAX, None)
            made.append(Outgoing(peer, frame, data, offered))
        return made

    def read(self, data: bytes, sender: int) -> Frame:
        """Decode a message from ``sender`` and check that it is new. Nothing changes until `accept`.

        Raises
        ------
        RemoteProtocolError
            The message is damaged, stale, or not from ``sender``.
        """
        frame = Frame.decode(data)
        view = self.views.get(frame.sender)
        check_sender(self.node, frame.sender, sender, view is not None)
        assert view is not None
        if frame.kind == Kind.ACKNOWLEDGEMENT:
            incarnation, sequence = _acknowledged(frame)
            if incarnation == self.incarnation and sequence > self._sequence:
                raise RemoteProtocolError(UNSENT, f"node {sender} acknowledges message {sequence}, not yet sent")
            return frame
        # A message that was seen before is the normal case in gossip: count it and stop.
        if (frame.incarnation, frame.sequence) <= (view.incarnation, view.sequence):
            raise stale(sender, f"message {frame.incarnation}.{frame.sequence}", f"{view.incarnation}.{view.sequence}")
        return frame

    def accept(self, frame: Frame, now_ns: int) -> tuple[PeerView, int | None]:
        """Take in a valid message from `read`: the sender's new view, and the time of the message it acknowledges.

        A creation time in the future counts as now. The second value is None if nothing is acknowledged.
        """
        view = self.views[frame.sender]
        if frame.kind == Kind.ACKNOWLEDGEMENT:
            incarnation, sequence = _acknowledged(frame)
            return view, self._made_ns.get(sequence) if incarnation == self.incarnation else None
        newer = PeerView(
            peer=frame.sender,
            incarnation=frame.incarnation,
            sequence=frame.sequence,
            samples_learnt=frame.samples_learnt,
            created_ns=min(frame.created_ns, now_ns),
            accepted=view.accepted + 1,
        )
        self.views[frame.sender] = newer
        if frame.kind == Kind.RELIABLE_SHARE:
            self._owed[frame.sender] = now_ns
        return newer, None

    def acknowledgements(self, now_ns: int) -> list[Outgoing]:
        """Acknowledge the messages accepted since the last call, outside the sequence of payloads."""
        made = []
        for peer in sorted(self._owed):
            view = self.views[peer]
            payload = varint.write(view.incarnation) + varint.write(view.sequence)
            frame = Frame(Kind.ACKNOWLEDGEMENT, self.node, self.incarnation, 0, 0, 0, payload)
            made.append(Outgoing(peer, frame, frame.encode()))
        self._owed.clear()
        return made

    def rejoin(self, incarnation: int, now_ns: int) -> None:
        """Go on as a later incarnation."""
        self.incarnation = incarnation

    def forget(self, peer: int, whole: bool) -> None:
        """Forget how far a peer was, and if ``whole`` which of its messages was the newest."""
        if peer in self.views:
            view = PeerView(peer)
            known = self.views[peer]
            self.views[peer] = view if whole else replace(view, incarnation=known.incarnation, sequence=known.sequence)

    def shift(self, by_ns: int, now_ns: int) -> None:
        """The clock was set: times move with it. When a peer made its newest message is by the peer's clock."""
        self._made_ns = {sequence: at_ns + by_ns for sequence, at_ns in self._made_ns.items()}
        self._owed = {peer: at_ns + by_ns for peer, at_ns in self._owed.items()}
        self.views = {peer: replace(view, created_ns=min(view.created_ns, now_ns)) for peer, view in self.views.items()}

    def state(self) -> dict[str, Any]:
        """Views and counters."""
        return {
            "incarnation": self.incarnation,
            "sequence": self._sequence,
            "views": [
                [v.peer, v.incarnation, v.sequence, v.samples_learnt, v.created_ns, v.accepted]
                for v in self.views.values()
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state`` as a new incarnation, with the views of peers that are still neighbours."""
        self.incarnation = max(self.incarnation, int(state["incarnation"]) + 1)
        self._sequence = int(state["sequence"])
        for fields in state["views"]:
            view = PeerView(*fields)
            if view.peer in self.views:
                self.views[view.peer] = view


def _acknowledged(frame: Frame) -> tuple[int, int]:
    """Incarnation and sequence that a message acknowledges; `RemoteProtocolError` if it holds anything else."""
    payload = bytes(frame.payload)
    try:
        incarnation, at = varint.read(payload, 0)
        sequence, at = varint.read(payload, at)
    except CodecError as error:
        raise RemoteProtocolError("malformed", str(error)) from None
    if at != len(payload):
        raise RemoteProtocolError("malformed", f"an acknowledgement has {len(payload) - at} bytes too many")
    return incarnation, sequence
