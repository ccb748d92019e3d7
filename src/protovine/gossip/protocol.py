"""Push gossip without I/O: when to share, with whom, and what is known of each peer.

The rule, from the paper: after each own sample there is an opportunity; with probability T the node offers its
knowledge to s peers drawn uniformly without replacement. Promises kept here:

- A message counts once: what is not newer, by (incarnation, sequence), than what was accepted from the sender is stale.
- Views only move forwards, and only when `accept` is called, after the payload was found good.
- A peer cannot speak for another: the sender in the header must be the one that the transport names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from protovine.errors import ConfigError, RemoteProtocolError, check_range
from protovine.gossip.frame import MESSAGE_BYTES_MAX, Frame, Kind

# The header and the checksum are below this, whatever the numbers in them.
_FRAME_BYTES_MAX = 64


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
    version: int = 0
    created_ns: int = 0
    accepted: int = 0

    def age_ns(self, now_ns: int) -> int:
        """Age of information: time since the peer made what is known of it; ``now_ns`` while nothing is known."""
        return now_ns - self.created_ns


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The outcome of one offer to one peer: a message, or None with the offer that was held back."""

    peer: int
    frame: Frame | None
    data: bytes
    offer: OfferLike


def check_push(node: int, peers: list[int], peers_per_share: int, probability: float) -> None:
    """`ConfigError` unless a node can push to so many of its peers with that probability."""
    check_range("s", peers_per_share, 1)
    check_range("T", probability, 0, 1)
    if node in peers or len(set(peers)) != len(peers):
        raise ConfigError(f"peers of node {node} must be others, each once, got {peers}")


class Gossip:
    """The protocol state of one node.

    Parameters
    ----------
    node : int
        The own id.
    peers : list of int
        Ids of the neighbours.
    peers_per_share : int >= 1
        s. With fewer neighbours all of them are addressed.
    probability : float in [0, 1]
        T. At 0 nothing is ever sent.
    rng : numpy Generator
        Tosses the coin and draws the peers.
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
        *,
        peers_per_share: int,
        probability: float,
        rng: np.random.Generator,
        poll_ns: int = 0,
        incarnation: int = 1,
    ) -> None:
        check_push(node, peers, peers_per_share, probability)
        check_range("poll_ns", poll_ns, 0)
        self.node = node
        self.peers = sorted(peers)
        self.peers_per_share, self.probability, self.poll_ns = peers_per_share, probability, poll_ns
        self.incarnation = incarnation
        self.views = {peer: PeerView(peer) for peer in self.peers}
        self._rng = rng
        self._sequence = 0
        self._poll_at_ns: int | None = None

    def opportunity(self, now_ns: int) -> list[int]:
        """An own sample was learnt: the peers to offer something to now, often none."""
        if not self.probability or not self.peers:
            return []
        if self.poll_ns:
            if self._poll_at_ns is None:
                self._poll_at_ns = (now_ns // self.poll_ns + 1) * self.poll_ns
            return []
        return self._toss()

    def next_timer_ns(self) -> int | None:
        """When `on_timer` is due, or None."""
        return self._poll_at_ns

    def on_timer(self, now_ns: int) -> list[int]:
        """The peers to offer something to now, if a poll was due."""
        if self._poll_at_ns is None or now_ns < self._poll_at_ns:
            return []
        self._poll_at_ns = None
        return self._toss()

    def _toss(self) -> list[int]:
        if self._rng.random() >= self.probability:
            return []
        count = min(self.peers_per_share, len(self.peers))
        chosen = self._rng.choice(len(self.peers), size=count, replace=False)
        return [self.peers[i] for i in sorted(chosen.tolist())]

    def share(
        self, peers: list[int], offer: Callable[[int, int], OfferLike | None], version: int, now_ns: int
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
                frame = Frame(Kind.SHARE, self.node, self.incarnation, self._sequence, version, now_ns, offered.payload)
                data = frame.encode()
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
        # A message that was seen before is the normal case in gossip: count it and stop.
        if (frame.incarnation, frame.sequence) <= (view.incarnation, view.sequence):
            raise RemoteProtocolError(
                "stale", f"{frame.incarnation}.{frame.sequence} of node {sender} is not newer than what is known"
            )
        return frame

    def accept(self, frame: Frame, now_ns: int) -> PeerView:
        """Take note that a message from `read` was good. A creation time from the future counts as now."""
        view = self.views[frame.sender]
        newer = PeerView(
            peer=frame.sender,
            incarnation=frame.incarnation,
            sequence=frame.sequence,
            version=frame.version,
            created_ns=min(frame.created_ns, now_ns),
            accepted=view.accepted + 1,
        )
        self.views[frame.sender] = newer
        return newer

    def state(self) -> dict[str, Any]:
        """Views, counters and the random generator's state."""
        return {
            "incarnation": self.incarnation,
            "sequence": self._sequence,
            "rng": self._rng.bit_generator.state,
            "views": [
                [v.peer, v.incarnation, v.sequence, v.version, v.created_ns, v.accepted] for v in self.views.values()
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, with views of peers that are still neighbours; a pending poll is forgotten."""
        self.incarnation = int(state["incarnation"])
        self._sequence = int(state["sequence"])
        self._rng.bit_generator.state = state["rng"]
        for fields in state["views"]:
            view = PeerView(*fields)
            if view.peer in self.views:
                self.views[view.peer] = view
