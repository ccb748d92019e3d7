"""Push gossip without I/O: when to share, with whom, and what is known of each peer.

After each own sample there is an opportunity, at which the schedule names peers; the paper's tosses a coin with
probability T for s peers drawn uniformly without replacement. Promises kept here:

- A message counts once: what is not newer, by (incarnation, sequence), than what was accepted from the sender is stale.
- Views only move forwards, and only when `accept` is called, after the payload was found good.
- A peer cannot speak for another: the sender in the header must be the one that the transport names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from protovine import varint
from protovine.errors import CodecError, ConfigError, RemoteProtocolError, check_range
from protovine.gossip.frame import MESSAGE_BYTES_MAX, Frame, Kind
from protovine.gossip.schedule import Schedule

# The header and the checksum are below this, whatever the numbers in them.
_FRAME_BYTES_MAX = 64
# What was made for so many messages back is remembered for receipts.
_UNACKNOWLEDGED_MAX = 256


class OfferLike(Protocol):
    """What the sharing side offers; see `protovine.share.Offer`."""

    @property
    def payload(self) -> bytes | None:
        """None: held back."""
        ...

    @property
    def value(self) -> float:
        """How useful it is, in the gate's unit."""
        ...

    @property
    def items(self) -> int:
        """Prototypes in it."""
        ...

    @property
    def gate(self) -> str:
        """Who judged it."""
        ...


@dataclass(frozen=True, slots=True)
class PeerView:
    """What a node knows of a peer: the newest accepted message and the peer's version and time in it."""

    peer: int
    incarnation: int = 0
    sequence: int = 0
    samples_learnt: int = 0
    created_ns: int = 0
    accepted: int = 0

    def age_ns(self, now_ns: int) -> int:
        """Age of information: time since the peer made what is known of it; ``now_ns`` while nothing is known."""
        return now_ns - self.created_ns


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The outcome of one offer to one peer: a message, or None and the offer that was held back; or a receipt."""

    peer: int
    frame: Frame | None
    data: bytes
    offer: OfferLike | None = None


def check_peers(node: int, peers: list[int]) -> None:
    """`ConfigError` unless these can be the peers of a node."""
    if node in peers or len(set(peers)) != len(peers):
        raise ConfigError(f"peers of node {node} must be others, each once, got {peers}")


class PushGossip:
    """The protocol state of one node.

    Parameters
    ----------
    node : int
        The own id.
    peers : list of int
        Ids of the neighbours.
    schedule : Schedule
        Chooses peers at opportunities.
    poll_ns : int >= 0
        0 shares at once. Otherwise opportunities wait for the next multiple of this and several become one, as in
        the authors' code, which polls every 50 ms.
    incarnation : int >= 1
        Grows each time the node starts again, so that peers do not take it for stale.

    Raises
    ------
    ConfigError
        A parameter is out of range.
    """

    def __init__(
        self,
        node: int,
        peers: list[int],
        schedule: Schedule,
        *,
        poll_ns: int = 0,
        incarnation: int = 1,
    ) -> None:
        check_peers(node, peers)
        check_range("poll_ns", poll_ns, 0)
        self.node = node
        self.peers = sorted(peers)
        self.schedule, self.poll_ns = schedule, poll_ns
        self.incarnation = incarnation
        self.views = {peer: PeerView(peer) for peer in self.peers}
        self._sequence = 0
        self._made_ns: dict[int, int] = {}  # When the newest messages were made, for receipts.
        self._owed: dict[int, int] = {}  # Since when a peer is owed a receipt.
        self._poll_at_ns: int | None = None

    def add(self, peer: int, now_ns: int) -> None:
        """One more neighbour; nothing changes if it is one already."""
        if peer not in self.views:
            check_peers(self.node, [*self.peers, peer])
            self.peers = sorted([*self.peers, peer])
            self.views[peer] = PeerView(peer)

    @property
    def head(self) -> tuple[int, int]:
        """The own incarnation and the number of sets sent in it."""
        return self.incarnation, self._sequence

    def reached(self, peer: int, now_ns: int) -> None:
        """A sign that a peer is there again: nothing to do, as the next set makes up for those that were lost."""

    def opportunity(self, now_ns: int) -> list[int]:
        """An own sample was learnt: the peers to offer something to now, often none."""
        if not self.schedule.active or not self.peers:
            return []
        if self.poll_ns:
            if self._poll_at_ns is None:
                self._poll_at_ns = (now_ns // self.poll_ns + 1) * self.poll_ns
            return []
        return self.schedule.choose(self.peers, len(self.peers), now_ns)

    def next_timer_ns(self) -> int | None:
        """When a poll or a receipt is due, or None."""
        due = [*self._owed.values()] + ([] if self._poll_at_ns is None else [self._poll_at_ns])
        return min(due, default=None)

    def on_timer(self, now_ns: int) -> list[int]:
        """The peers to offer something to now, if a poll was due."""
        if self._poll_at_ns is None or now_ns < self._poll_at_ns:
            return []
        self._poll_at_ns = None
        return self.schedule.choose(self.peers, len(self.peers), now_ns)

    def share(
        self, peers: list[int], offer: Callable[[int, int], OfferLike | None], samples_learnt: int, now_ns: int
    ) -> list[Outgoing]:
        """Ask ``offer(peer, max_bytes)`` for each of ``peers`` and frame what comes; equal payloads share one frame."""
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
                kind = Kind.RELIABLE_SHARE if self.schedule.needs_acknowledgements else Kind.SHARE
                frame = Frame(
                    kind, self.node, self.incarnation, self._sequence, samples_learnt, now_ns, offered.payload
                )
                data = frame.encode()
                if kind == Kind.RELIABLE_SHARE:
                    self._made_ns[self._sequence] = now_ns
                    self._made_ns.pop(self._sequence - _UNACKNOWLEDGED_MAX, None)
            made.append(Outgoing(peer, frame, data, offered))
        return made

    def read(self, data: bytes, sender: int) -> Frame:
        """The message in ``data`` if it is new; `RemoteProtocolError` otherwise. Nothing changes until `accept`."""
        frame = Frame.decode(data)
        view = self.views.get(frame.sender)
        if frame.sender != sender:
            raise RemoteProtocolError("impostor", f"node {sender} sent a message in the name of {frame.sender}")
        if view is None:
            raise RemoteProtocolError("stranger", f"node {sender} is not a neighbour of node {self.node}")
        if frame.kind == Kind.ACKNOWLEDGEMENT:
            incarnation, sequence = _acknowledged(frame)
            if incarnation == self.incarnation and sequence > self._sequence:
                raise RemoteProtocolError(
                    "malformed", f"node {sender} has a receipt for message {sequence}, not yet sent"
                )
            return frame
        # A message that was seen before is the normal case in gossip: count it and stop.
        if (frame.incarnation, frame.sequence) <= (view.incarnation, view.sequence):
            raise RemoteProtocolError(
                "stale", f"{frame.incarnation}.{frame.sequence} of node {sender} is not newer than what is known"
            )
        return frame

    def accept(self, frame: Frame, now_ns: int) -> PeerView:
        """Take note that a message from `read` was good. A creation time from the future counts as now."""
        view = self.views[frame.sender]
        if frame.kind == Kind.ACKNOWLEDGEMENT:
            incarnation, sequence = _acknowledged(frame)
            if incarnation == self.incarnation and sequence in self._made_ns:
                self.schedule.acknowledged(frame.sender, self._made_ns[sequence], now_ns)
            return view
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
        return newer

    def acknowledgements(self, now_ns: int) -> list[Outgoing]:
        """Receipts for what was accepted since the last call. They have no place in the order of shares."""
        made = []
        for peer in sorted(self._owed):
            view = self.views[peer]
            payload = varint.write(view.incarnation) + varint.write(view.sequence)
            frame = Frame(Kind.ACKNOWLEDGEMENT, self.node, self.incarnation, 0, 0, 0, payload)
            made.append(Outgoing(peer, frame, frame.encode()))
        self._owed.clear()
        return made

    def state(self) -> dict[str, Any]:
        """Views, counters and the schedule's state."""
        return {
            "incarnation": self.incarnation,
            "sequence": self._sequence,
            "schedule": self.schedule.state(),
            "views": [
                [v.peer, v.incarnation, v.sequence, v.samples_learnt, v.created_ns, v.accepted]
                for v in self.views.values()
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, with views of peers that are still neighbours; a pending poll is forgotten."""
        self.incarnation = int(state["incarnation"])
        self._sequence = int(state["sequence"])
        self.schedule.restore(state["schedule"])
        for fields in state["views"]:
            view = PeerView(*fields)
            if view.peer in self.views:
                self.views[view.peer] = view


def _acknowledged(frame: Frame) -> tuple[int, int]:
    """Incarnation and sequence in a receipt; `RemoteProtocolError` if there is anything else."""
    payload = bytes(frame.payload)
    try:
        incarnation, at = varint.read(payload, 0)
        sequence, at = varint.read(payload, at)
    except CodecError as error:
        raise RemoteProtocolError("malformed", str(error)) from None
    if at != len(payload):
        raise RemoteProtocolError("malformed", f"a receipt has {len(payload) - at} bytes too many")
    return incarnation, sequence
