"""Gossip of an append-only log without I/O: every node's own entries reach every peer, whatever the network loses.

An entry is an opaque payload with a key (origin, incarnation, sequence); it is never revised, so repetition and order
do not matter. Each message says what its sender has of the recipient's log (a watermark and a mask of what lies beyond
it), and whoever owns the log repairs what is missing. A peer that misses more than a summary would cost gets a summary.
The reconciliation is Scuttlebutt's (van Renesse et al., LADIS 2008) for logs of one owner each.

Promises kept here:

- An entry counts once, and a view only moves forwards within an incarnation; an older incarnation is stale.
- Nothing moves before `accept`, which is called after the payloads were found good.
- With a budget, the bytes that leave in any t seconds are at most budget * (t + 10).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from protovine.errors import ConfigError, RemoteProtocolError
from protovine.gossip.frame import MESSAGE_BYTES_MAX, Kind, LogFrame
from protovine.gossip.protocol import PeerView
from protovine.records import SECOND_NS

# Entries that are kept to be sent again; who misses older ones gets a summary.
ENTRIES_MAX = 256
# The token bucket holds the bytes of this many seconds.
BURST_S = 10
# A message's header at its longest, and its length prefix for each entry.
HEADER_BYTES_MAX = 80
_RETRY_NS = SECOND_NS  # First wait for an acknowledgement; doubles with each attempt.
_RETRY_MAX_NS = 16 * SECOND_NS
_ACKNOWLEDGE_NS = 2 * SECOND_NS  # What was received is acknowledged by then, with a bare message if need be.
_SILENCE_NS = 10 * SECOND_NS  # A peer that has not answered for this long gets no more entries, only probes.
_UNANSWERED = 3
_PROBE_NS, _PROBE_MAX_NS = 5 * SECOND_NS, 60 * SECOND_NS
_TICK_NS = SECOND_NS  # How often what is due is looked at.
_MASK_BITS = 62


@dataclass(slots=True)
class _Entry:
    sequence: int
    payload: bytes
    items: int


@dataclass(slots=True)
class _Peer:
    """What is known of one peer: its log at this end, and this node's log at its end."""

    id: int
    # This end of its log.
    incarnation: int = 0
    watermark: int = 0
    mask: int = 0
    version: int = 0
    created_ns: int = 0
    accepted: int = 0
    owed_since_ns: int | None = None
    # Its end of this log.
    acked: int = 0
    acked_mask: int = 0
    offered: int = 0
    sent_ns: dict[int, int] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)
    summary: int = 0
    # Is it there.
    heard_ns: int | None = None
    unanswered: int = 0
    first_unanswered_ns: int = 0
    probe_ns: int = 0
    probe_wait_ns: int = _PROBE_NS
    served: int = 0

    def has(self, sequence: int) -> bool:
        return sequence <= self.acked or bool(self.acked_mask >> (sequence - self.acked - 1) & 1)


@dataclass(frozen=True, slots=True)
class LogOutgoing:
    """A message to one peer with how many prototypes are in it."""

    peer: int
    frame: LogFrame
    data: bytes
    items: int


class LogGossip:
    """The protocol state of one node that shares a log.

    Parameters
    ----------
    node : int
        The own id.
    peers : list of int
        Ids of the neighbours.
    peers_per_share : int >= 1
        s. With fewer neighbours all of them are addressed; otherwise those that waited longest, with all they lack.
    probability : float in [0, 1]
        T. At 0 nothing is ever sent.
    coin : callable () -> float
        Uniform in [0, 1), tossed where T is below 1.
    budget_bytes_per_s : float >= 0
        Every outgoing byte counts; 0 is no limit.
    summary : callable (max_bytes) -> (payload, items) or None
        Makes a summary of everything in the log.
    incarnation : int >= 1
        Grows each time the node starts again.

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
        coin: Callable[[], float],
        budget_bytes_per_s: float = 0.0,
        summary: Callable[[int], tuple[bytes, int] | None] = lambda max_bytes: None,
        incarnation: int = 1,
    ) -> None:
        if peers_per_share < 1:
            raise ConfigError(f"s must be at least 1, got {peers_per_share}")
        if not 0 <= probability <= 1:
            raise ConfigError(f"T must be between 0 and 1, got {probability}")
        if budget_bytes_per_s < 0:
            raise ConfigError(f"the budget must be >= 0 bytes/s, got {budget_bytes_per_s}")
        if node in peers or len(set(peers)) != len(peers):
            raise ConfigError(f"peers of node {node} must be others, each once, got {peers}")
        self.node, self.peers = node, sorted(peers)
        self.peers_per_share, self.probability = peers_per_share, probability
        self.budget_bytes_per_s = budget_bytes_per_s
        self.incarnation = incarnation
        self.summary = summary
        self._coin = coin
        self._states = {peer: _Peer(peer) for peer in self.peers}
        self._log: deque[_Entry] = deque()
        self._sequence = 0
        self._turn = 0
        self._tokens = budget_bytes_per_s * BURST_S
        self._tokens_ns: int | None = None
        self._tick_ns: int | None = None
        self._greeted = False

    @property
    def entry_bytes_max(self) -> int:
        """The largest payload that can ever leave."""
        most = MESSAGE_BYTES_MAX
        if self.budget_bytes_per_s:
            most = min(most, int(self.budget_bytes_per_s * BURST_S))
        return max(1, most - HEADER_BYTES_MAX)

    @property
    def views(self) -> dict[int, PeerView]:
        """What is known of each peer."""
        return {
            s.id: PeerView(s.id, s.incarnation, s.watermark, s.version, s.created_ns, s.accepted)
            for s in self._states.values()
        }

    @property
    def watermarks(self) -> dict[int, tuple[int, int]]:
        """For each peer (incarnation, sequence) up to which all of its entries were accepted."""
        return {s.id: (s.incarnation, s.watermark) for s in self._states.values()}

    @property
    def head(self) -> tuple[int, int]:
        """The own (incarnation, sequence) of the newest entry."""
        return self.incarnation, self._sequence

    def append(self, payload: bytes, items: int) -> int:
        """Put an entry of ``items`` prototypes into the own log; its sequence number."""
        self._sequence += 1
        self._log.append(_Entry(self._sequence, payload, items))
        if len(self._log) > ENTRIES_MAX:
            gone = self._log.popleft().sequence
            for state in self._states.values():
                state.sent_ns.pop(gone, None)
                state.tries.pop(gone, None)
        return self._sequence

    def greet(self, version: int, now_ns: int) -> list[LogOutgoing]:
        """Once after a start: tell every peer what is known of its log, so that it sends what is missing."""
        if self._greeted or not self.probability:
            return []
        self._greeted = True
        if self.incarnation == 1 and not self._states:
            return []
        self._wake(now_ns)
        sent = [self._message(state, [], version, now_ns) for state in self._states.values()]
        return [message for message in sent if message is not None]

    def push(self, version: int, now_ns: int) -> list[LogOutgoing]:
        """An opportunity: send s peers what they lack, if the coin says so."""
        if not self.probability or not self.peers:
            return []
        self._wake(now_ns)
        if self.probability < 1 and self._coin() >= self.probability:
            return []
        present = [state for state in self._states.values() if not self._silent(state, now_ns)]
        present.sort(key=lambda state: (state.served, state.id))
        made = []
        for state in present[: self.peers_per_share]:
            self._turn += 1
            state.served = self._turn
            made += self._serve(state, version, now_ns)
        return made

    def next_timer_ns(self) -> int | None:
        """When `on_timer` is due, or None."""
        return self._tick_ns

    def on_timer(self, version: int, now_ns: int) -> list[LogOutgoing]:
        """Repairs, acknowledgements and probes that are due."""
        if self._tick_ns is None or now_ns < self._tick_ns:
            return []
        self._tick_ns = None
        made: list[LogOutgoing | None] = []
        for state in self._states.values():
            if self._silent(state, now_ns):
                if now_ns >= state.probe_ns:
                    state.probe_ns = now_ns + state.probe_wait_ns
                    state.probe_wait_ns = min(2 * state.probe_wait_ns, _PROBE_MAX_NS)
                    made.append(self._message(state, [], version, now_ns))
            elif self._missing(state, now_ns, new=self.peers_per_share >= len(self.peers)):
                made += self._serve(state, version, now_ns)
            elif state.owed_since_ns is not None and now_ns - state.owed_since_ns >= _ACKNOWLEDGE_NS:
                made.append(self._message(state, [], version, now_ns))
        self._wake(now_ns)
        return [message for message in made if message is not None]

    def read(self, data: bytes, sender: int) -> LogFrame:
        """The message in ``data``; `RemoteProtocolError` if it is damaged, foreign or of an older incarnation."""
        frame = LogFrame.decode(data)
        state = self._states.get(frame.sender)
        if frame.sender != sender:
            raise RemoteProtocolError("impostor", f"node {sender} sent a message in the name of {frame.sender}")
        if state is None:
            raise RemoteProtocolError("stranger", f"node {sender} is not a neighbour of node {self.node}")
        if frame.incarnation < state.incarnation:
            raise RemoteProtocolError(
                "stale", f"incarnation {frame.incarnation} of node {sender}, but {state.incarnation} is known"
            )
        if frame.acked_incarnation == self.incarnation and frame.acked > self._sequence:
            raise RemoteProtocolError("malformed", f"node {sender} claims to know entry {frame.acked} of this node")
        return frame

    def is_new(self, frame: LogFrame, index: int) -> bool:
        """Whether the entry at ``index`` of a message was not accepted before."""
        state = self._states[frame.sender]
        sequence = frame.sequence + index
        if frame.incarnation > state.incarnation:
            return True
        if frame.kind == Kind.SUMMARY:
            return sequence > state.watermark
        beyond = sequence - state.watermark - 1
        return beyond >= 0 and not state.mask >> beyond & 1

    def accept(self, frame: LogFrame, good: list[int], now_ns: int) -> PeerView:
        """Take note of a message from `read` whose entries ``good`` (indices) were found good and taken in."""
        state = self._states[frame.sender]
        if frame.incarnation > state.incarnation:
            state.incarnation, state.watermark, state.mask = frame.incarnation, 0, 0
            state.version = 0
            # It may have lost what it knew of this node; what it says now is true.
            state.acked = state.acked_mask = 0
            state.summary = 0
            state.sent_ns.clear()
            state.tries.clear()
        for index in good:
            sequence = frame.sequence + index
            if frame.kind == Kind.SUMMARY:
                passed = max(0, sequence - state.watermark)
                state.watermark += passed
                state.mask >>= passed
            elif 0 < sequence - state.watermark <= _MASK_BITS:
                state.mask |= 1 << (sequence - state.watermark - 1)
            while state.mask & 1:
                state.mask >>= 1
                state.watermark += 1
        if good or frame.entries:
            state.owed_since_ns = now_ns if state.owed_since_ns is None else state.owed_since_ns
        state.accepted += bool(good)
        state.version = max(state.version, frame.version)
        state.created_ns = max(state.created_ns, min(frame.created_ns, now_ns))
        self._hear(state, frame, now_ns)
        self._wake(now_ns)
        return self.views[frame.sender]

    def _hear(self, state: _Peer, frame: LogFrame, now_ns: int) -> None:
        state.heard_ns, state.unanswered = now_ns, 0
        state.probe_wait_ns = _PROBE_NS
        if frame.acked_incarnation != self.incarnation:
            if frame.acked_incarnation < self.incarnation and not state.sent_ns:
                state.acked = state.acked_mask = 0
            return
        if (frame.acked, frame.acked_mask) >= (state.acked, state.acked_mask):
            state.acked, state.acked_mask = frame.acked, frame.acked_mask
            for sequence in [sequence for sequence in state.sent_ns if state.has(sequence)]:
                del state.sent_ns[sequence]
                state.tries.pop(sequence, None)

    def _silent(self, state: _Peer, now_ns: int) -> bool:
        """Whether a peer left several messages unanswered for long."""
        return state.unanswered >= _UNANSWERED and now_ns - state.first_unanswered_ns >= _SILENCE_NS

    def _missing(self, state: _Peer, now_ns: int, new: bool = True) -> list[_Entry]:
        """Entries to send to a peer now: newest first those never sent, then those whose acknowledgement is overdue."""
        fresh, overdue = [], []
        for entry in self._log:
            if state.has(entry.sequence):
                continue
            sent_ns = state.sent_ns.get(entry.sequence)
            if sent_ns is None:
                fresh.append(entry)
                continue
            wait_ns = min(_RETRY_NS << min(state.tries.get(entry.sequence, 0), 10), _RETRY_MAX_NS)
            heard_since = state.heard_ns is not None and state.heard_ns > sent_ns + _RETRY_NS // 2
            if now_ns - sent_ns >= wait_ns and (heard_since or now_ns - sent_ns >= 4 * wait_ns):
                overdue.append(entry)
        return (fresh if new else []) + overdue

    def _serve(self, state: _Peer, version: int, now_ns: int) -> list[LogOutgoing]:
        """Messages with what a peer lacks: runs of entries, or one summary if that is shorter or all that is left."""
        missing = self._missing(state, now_ns)
        if not missing:
            return []
        oldest = self._log[0].sequence if self._log else self._sequence + 1
        beyond_log = max(state.acked, state.summary) + 1 < oldest and not state.has(oldest - 1)
        size = sum(len(entry.payload) for entry in missing)
        made: list[LogOutgoing] = []
        if beyond_log or (len(missing) > 8 and size > 600):
            summary = self._summary(state, size, beyond_log, version, now_ns)
            if summary is not None:
                return [summary]
        missing.sort(key=lambda entry: entry.sequence)
        run: list[_Entry] = []
        room = self._room(now_ns)
        for entry in missing:
            gap = run and entry.sequence != run[-1].sequence + 1
            cost = len(entry.payload) + 3
            if gap or sum(len(e.payload) + 3 for e in run) + cost + HEADER_BYTES_MAX > room:
                self._add(made, self._message(state, run, version, now_ns))
                run, room = [], self._room(now_ns)
            run.append(entry)
        self._add(made, self._message(state, run, version, now_ns))
        return made

    @staticmethod
    def _add(made: list[LogOutgoing], message: LogOutgoing | None) -> None:
        if message is not None:
            made.append(message)

    def _summary(self, state: _Peer, instead_of: int, needed: bool, version: int, now_ns: int) -> LogOutgoing | None:
        summary = self.summary(self._room(now_ns) - HEADER_BYTES_MAX)
        if summary is None or (len(summary[0]) >= instead_of and not needed):
            return None
        entry = _Entry(self._sequence, *summary)
        message = self._message(state, [entry], version, now_ns, Kind.SUMMARY)
        if message is not None:
            state.summary = self._sequence
            for covered in self._log:
                if not state.has(covered.sequence):
                    state.sent_ns[covered.sequence] = now_ns
                    state.tries[covered.sequence] = state.tries.get(covered.sequence, 0) + 1
        return message

    def _message(
        self, state: _Peer, run: list[_Entry], version: int, now_ns: int, kind: Kind = Kind.LOG
    ) -> LogOutgoing | None:
        """One message, if the budget has room for it."""
        frame = LogFrame(
            kind=kind,
            sender=self.node,
            incarnation=self.incarnation,
            sequence=run[0].sequence if run else self._sequence + 1,
            version=version,
            created_ns=now_ns,
            acked_incarnation=state.incarnation,
            acked=state.watermark,
            acked_mask=state.mask,
            entries=tuple(entry.payload for entry in run),
        )
        data = frame.encode()
        if not self._spend(len(data), now_ns):
            return None
        state.owed_since_ns = None
        if not state.unanswered:
            state.first_unanswered_ns = now_ns
        state.unanswered += 1
        state.probe_ns = max(state.probe_ns, now_ns + _PROBE_NS)
        for entry in run:
            state.sent_ns[entry.sequence] = now_ns
            state.tries[entry.sequence] = state.tries.get(entry.sequence, 0) + 1
        return LogOutgoing(state.id, frame, data, sum(entry.items for entry in run))

    def _refill(self, now_ns: int) -> None:
        if self._tokens_ns is None:
            self._tokens_ns = now_ns
        earned = self.budget_bytes_per_s * (now_ns - self._tokens_ns) / SECOND_NS
        self._tokens = min(self._tokens + earned, self.budget_bytes_per_s * BURST_S)
        self._tokens_ns = now_ns

    def _room(self, now_ns: int) -> int:
        """Bytes that one message may have now."""
        if not self.budget_bytes_per_s:
            return MESSAGE_BYTES_MAX
        self._refill(now_ns)
        return math.floor(self._tokens)

    def _spend(self, size: int, now_ns: int) -> bool:
        if not self.budget_bytes_per_s:
            return size <= MESSAGE_BYTES_MAX
        self._refill(now_ns)
        if size > self._tokens:
            return False
        self._tokens -= size
        return True

    def _wake(self, now_ns: int) -> None:
        """Keep a timer while anything may become due."""
        if self._tick_ns is not None:
            return
        busy = any(
            state.owed_since_ns is not None or state.sent_ns or state.unanswered >= _UNANSWERED
            for state in self._states.values()
        )
        newest = self._log[-1].sequence if self._log else 0
        if busy or any(not state.has(newest) for state in self._states.values() if newest):
            self._tick_ns = now_ns + _TICK_NS

    def state(self) -> dict[str, Any]:
        """What must be kept to go on after a restart: what is known of the peers' logs. The own log starts anew."""
        return {
            "incarnation": self.incarnation,
            "peers": [
                [s.id, s.incarnation, s.watermark, s.mask, s.version, s.created_ns, s.accepted]
                for s in self._states.values()
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, with peers that are still neighbours."""
        self.incarnation = int(state["incarnation"])
        for fields in state["peers"]:
            known = self._states.get(fields[0])
            if known is not None:
                (known.incarnation, known.watermark, known.mask, known.version, known.created_ns, known.accepted) = map(
                    int, fields[1:]
                )
