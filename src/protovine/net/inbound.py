"""What arrives: a bounded queue, then the envelope and limits per peer, before the node sees a message.

Like the roster, it does no I/O and reads no clock: the time is an argument, of a clock that never jumps. Calls must not
overlap.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from protovine.errors import MissingKeysError, RemoteProtocolError
from protovine.gossip import incarnation_of, kind_name
from protovine.net.pacing import TokenBucket
from protovine.net.security.base import EnvelopeLike
from protovine.net.security.group import KEY_MARK
from protovine.net.security.hello import Member
from protovine.net.security.words import WORD_MARK
from protovine.net.tally import HELLO, REVOCATIONS, SENDER_KEY, PeerGroup, PeerKey, Tally
from protovine.net.transport import Channel


@dataclass(frozen=True, slots=True)
class InboundLimits:
    """How much a node takes from others.

    Parameters
    ----------
    messages_max, bytes_max : int
        What may wait to be read; more is dropped, and counted as ``overrun``.
    peer_messages_per_s, peer_bytes_per_s : float
        From one peer in the long run; more is refused as ``flood``.
    peer_burst_s : float
        Seconds of that rate that may come at once.
    hellos_per_s, hello_burst : float
        New hellos from all senders together. They are expensive to check.
    """

    messages_max: int = 20_000
    bytes_max: int = 64 * 2**20
    peer_messages_per_s: float = 200.0
    peer_bytes_per_s: float = 4 * 2**20
    peer_burst_s: float = 20.0
    hellos_per_s: float = 20.0
    hello_burst: float = 200.0


@dataclass(frozen=True, slots=True)
class Message:
    """A payload that ``peer`` sealed for this node or for all, within its limits."""

    peer: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class HelloFrom:
    """A hello that the envelope accepted; ``asks`` if it wants one back."""

    member: Member
    asks: bool


@dataclass(frozen=True, slots=True)
class Word:
    """A word about revocations or tombstones; ``peer`` has sealed it, if it is one."""

    peer: PeerKey
    data: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message or hello that the node does not see."""

    peer: PeerKey
    error: RemoteProtocolError


class Inbound:
    """The queue of what has arrived, and the checks that come before the node.

    Parameters
    ----------
    envelope : EnvelopeLike
    tally : Tally
        Counts what opened, and what overran the queue.
    limits : InboundLimits
    neighbours : frozenset of int or None
        Members whose hellos are accepted; those of all members, if None.
    now_ns : int
        When the limits begin.
    """

    def __init__(
        self,
        envelope: EnvelopeLike,
        tally: Tally,
        limits: InboundLimits,
        neighbours: frozenset[int] | None,
        now_ns: int,
    ) -> None:
        self.envelope, self.tally, self.limits, self.neighbours = envelope, tally, limits, neighbours
        self.cut: set[int] = set()  # Members whose messages an operator lets nobody read.
        self._queue: deque[tuple[Channel, bytes]] = deque()
        self._queue_bytes = 0
        self._to_all = 0  # Messages to all in the queue.
        self._closed = False
        self._hellos = TokenBucket(limits.hellos_per_s, limits.hello_burst, now_ns)
        self._incarnations: dict[int, int] = {}  # Of the newest hello of each peer.
        self._budgets: dict[int, tuple[TokenBucket, TokenBucket]] = {}

    @property
    def waiting(self) -> tuple[int, int]:
        """Messages and bytes that have arrived and wait to be read."""
        return len(self._queue), self._queue_bytes

    def put(self, channel: Channel, data: bytes) -> bool:
        """Whether there was room for it to wait; otherwise it is dropped, and counted unless the queue is closed."""
        if self._closed:
            return False
        # A multicast group is open to all that is near, so messages to all leave half of the room to the others.
        to_all = channel is Channel.BROADCAST
        waiting, room = (self._to_all, 0.5) if to_all else (len(self._queue), 1.0)
        too_many = waiting >= room * self.limits.messages_max
        if too_many or self._queue_bytes + len(data) > room * self.limits.bytes_max:
            self.tally.refused[PeerGroup.UNKNOWN, "overrun"] += 1
            return False
        self._queue_bytes += len(data)
        self._to_all += to_all
        self._queue.append((channel, data))
        return True

    def close(self) -> None:
        """Drop what waits and all that comes later: the node has ended."""
        self._closed, self._queue_bytes, self._to_all = True, 0, 0
        self._queue.clear()

    def take(self) -> tuple[Channel, bytes] | None:
        """What has waited longest; None if nothing waits."""
        if not self._queue:
            return None
        channel, data = self._queue.popleft()
        self._queue_bytes -= len(data)
        self._to_all -= channel is Channel.BROADCAST
        return channel, data

    def open(
        self, channel: Channel, data: bytes, now_ns: int, wall_ns: int
    ) -> Message | HelloFrom | Word | Refusal | None:
        """What the bytes are, if envelope and limits accept them; certificates and hellos are judged by ``wall_ns``.

        None: a peer's sender key, which the envelope has taken.
        """
        if channel is Channel.REVOCATIONS:
            return Word(PeerGroup.UNKNOWN, data)
        try:
            if channel is Channel.MESSAGE:
                return self._message(*self.envelope.open(data), len(data), now_ns)
            if channel is Channel.BROADCAST:
                return self._message(*self.envelope.group.open(data), len(data), now_ns, to_all=True)
            return self._hello(data, channel is Channel.ASK, now_ns, wall_ns)
        except MissingKeysError as error:
            return Refusal(error.sender, error)
        except RemoteProtocolError as error:
            return Refusal(PeerGroup.UNKNOWN, error)

    def _message(
        self, peer: int, payload: bytes, data_bytes: int, now_ns: int, to_all: bool = False
    ) -> Message | Word | Refusal | None:
        is_key = payload.startswith(KEY_MARK) and not to_all
        is_word = payload.startswith(WORD_MARK) and not to_all
        kind = SENDER_KEY if is_key else REVOCATIONS if is_word else kind_name(payload)
        self.tally.count_received(peer, kind, data_bytes)
        if peer in self.cut and not is_word:
            return Refusal(peer, RemoteProtocolError("cut", "an operator has cut this link"))
        messages, size = self._budget(peer, now_ns)
        if not messages.take(now_ns) or not size.take(now_ns, data_bytes):
            return Refusal(peer, RemoteProtocolError("flood", f"node {peer} sends more than it may"))
        if is_key:
            self.envelope.group.take_key(peer, payload)
            return None
        if is_word:
            return Word(peer, payload.removeprefix(WORD_MARK))
        said, known = incarnation_of(payload), self._incarnations.get(peer)
        if said != known and None not in (said, known):
            # Nobody could exceed a number that its hello does not bound, and later starts would stay unheard.
            return Refusal(peer, RemoteProtocolError("stale", f"node {peer} is incarnation {known}, not {said}"))
        return Message(peer, payload)

    def _hello(self, data: bytes, asks: bool, now_ns: int, wall_ns: int) -> HelloFrom:
        member = self.envelope.accept_hello(data, wall_ns, lambda: self._hellos.take(now_ns))
        if self.neighbours is not None and member.id not in self.neighbours:
            raise RemoteProtocolError("stranger", f"{member.name} is not a neighbour")
        self._incarnations[member.id] = member.incarnation
        self.tally.count_received(member.id, HELLO, len(data))
        self.tally.met(member.name)
        return HelloFrom(member, asks)

    def _budget(self, peer: int, now_ns: int) -> tuple[TokenBucket, TokenBucket]:
        """Messages and bytes that the peer may send."""
        found = self._budgets.get(peer)
        if found is None:
            limits = self.limits
            rates = limits.peer_messages_per_s, limits.peer_bytes_per_s
            messages, size = (TokenBucket(rate, rate * limits.peer_burst_s, now_ns) for rate in rates)
            found = self._budgets[peer] = messages, size
        return found
