"""Gossip of an append-only log without I/O: every entry of a node reaches every partner, whatever the network loses.

An entry is an opaque payload with a key (origin, incarnation, sequence). It is never revised, so repetition and order
do not matter. Each message carries a digest of the recipient's log at the sender: a watermark, and a mask of entries
beyond it. The owner of the log repairs what is missing. A peer that misses more than a summary costs gets a summary.
The reconciliation is Scuttlebutt's (van Renesse et al., LADIS 2008) for logs of one owner each.

Promises kept here:

- An entry counts once, and a view only moves forwards within an incarnation; an older incarnation is stale.
- The entries that a peer is known to have only shrink when the peer restarts.
- Nothing changes before `accept`, which is called after the payloads were found valid.
- With a budget, the bytes that leave in any t seconds are at most budget * (t + 10).
- A peer that does not answer gets only probes, finally one per minute.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from protovine.errors import RemoteProtocolError
from protovine.gossip.budget import Budget, Device
from protovine.gossip.contacts import FIRST_CONTACTS, Contacts
from protovine.gossip.entries import SUMMARY_ENTRIES, Entry, LogOutgoing, Summary, few
from protovine.gossip.frame import ENTRIES_MAX, LOG_MESSAGE_BYTES_MAX, Kind, LogFrame
from protovine.gossip.peer_log import PROBE_NS, TICK_NS, UNANSWERED, PeerLog
from protovine.gossip.peers import UNSENT, PeerView, Standing, check_peers, check_sender, stale
from protovine.records import SECOND_NS

# The longest message without entries, and the longest encoding of an entry's length.
HEADER_BYTES_MAX = 100
_LENGTH_BYTES = 3
# Received entries are acknowledged after this time, or once this many wait, with a bare message if there is no other.
_ACKNOWLEDGE_NS, _ACKNOWLEDGE_ENTRIES = 2 * SECOND_NS, ENTRIES_MAX // 4
_PROBE_MAX_NS = 60 * SECOND_NS  # Longest wait between two probes of a silent peer.
_QUIET_NS = 2 * SECOND_NS  # Without an opportunity for this long, each tick is one while anything is left to send.
# A peer that misses more than this many entries and bytes may get a summary, in at least this part of the bucket.
_SUMMARY_BYTES, _SUMMARY_PART = 600, 0.5


class LogGossip:
    """The protocol state of one node that shares a log.

    Parameters
    ----------
    node, peers : int, list of int
        The own id, and those of the neighbours.
    partners : int >= 0
        Neighbours that the node seeks out: entries go to these, and to those that seek it out; 0 is all.
    budget_bytes_per_s : float >= 0
        Every outgoing byte counts; 0 is no limit.
    message_bytes_max : int >= 0
        What links carry in one message; 0 is no limit of theirs.
    device : Device, optional
        What sends the messages, if that is not a link to each peer.
    active : bool
        Whether this node ever sends. An inactive node only receives, and not even acknowledges.
    incarnation : int >= 1
        Grows each time the node starts again.

    Raises
    ------
    ConfigError
        A parameter is out of range.

    Examples
    --------
    >>> ann, bob = LogGossip(0, [1]), LogGossip(1, [0])
    >>> _ = ann.append(b"an entry", items=1)
    >>> [bob.read(made.data, 0).entries for made in ann.push([1], Standing(1, 10), lambda max_bytes: None, now_ns=10)]
    [(b'an entry',)]
    """

    header_bytes = HEADER_BYTES_MAX

    def __init__(
        self,
        node: int,
        peers: list[int],
        *,
        partners: int = 0,
        budget_bytes_per_s: float = 0.0,
        message_bytes_max: int = 0,
        device: Device | None = None,
        incarnation: int = 1,
        active: bool = True,
    ) -> None:
        check_peers(node, peers)
        self.node, self._contacts = node, Contacts(node, peers, partners)
        self.active = active
        most = min(LOG_MESSAGE_BYTES_MAX, message_bytes_max or LOG_MESSAGE_BYTES_MAX)
        self._device, self._suitable_bytes = device, device.message_bytes if device else 0
        device_ns = device.busy_ns if device else None
        self._budget = Budget(budget_bytes_per_s, most, full=incarnation == 1, device_ns=device_ns)
        self.message_bytes_max = self._budget.message_bytes_max
        self.incarnation = incarnation
        self._log: deque[Entry] = deque()
        self._sequence = 0
        self._before: tuple[int, int] | None = None  # (incarnation, sequence) that this log goes on from.
        self._pushed_ns = -_QUIET_NS
        # First send every peer a digest of its log, so that it sends what is missing.
        self._tick_ns: int | None = 0 if peers and active else None

    @property
    def peers(self) -> list[int]:
        """Ids of the neighbours, ascending."""
        return self._contacts.ids

    def change_budget(self, bytes_per_s: float, now_ns: int) -> None:
        """From now on the budget is another one."""
        self._budget.change(bytes_per_s, now_ns)
        self.message_bytes_max = self._budget.message_bytes_max

    @property
    def budget_bytes_per_s(self) -> float:
        """Bytes per second that may leave for ever, by the budget and the device; 0 is no limit."""
        limits = [self._budget.bytes_per_s, self._device.bytes_per_s if self._device else 0.0]
        return min((limit for limit in limits if limit), default=0.0)

    @property
    def recipients(self) -> int:
        """Messages in which one entry leaves, without repairs."""
        return max(1, self._contacts.n_partners)

    @property
    def entry_bytes_max(self) -> int:
        """The largest payload that can ever leave; below 1 if none can."""
        return self.message_bytes_max - self.header_bytes - _LENGTH_BYTES

    @property
    def views(self) -> dict[int, PeerView]:
        """What is known of each peer; samples_learnt and time are those up to which nothing is missing."""
        return {state.id: state.view() for state in self._contacts}

    @property
    def watermarks(self) -> dict[int, tuple[int, int]]:
        """For each peer (incarnation, sequence) up to which all of its entries were accepted."""
        return {state.id: (state.incarnation, state.watermark) for state in self._contacts}

    @property
    def head(self) -> tuple[int, int]:
        """The own (incarnation, sequence) of the newest entry."""
        return self.incarnation, self._sequence

    def add(self, peer: int, now_ns: int) -> None:
        """Add a neighbour; nothing changes if it is one already."""
        if peer not in self._contacts:
            check_peers(self.node, [*self.peers, peer])
            self._contacts.add(peer)
            if self.active:
                self._wake(now_ns)

    def reached(self, peer: int, now_ns: int) -> None:
        """A peer is there again: entries that it has not acknowledged are sent again, after a probe."""
        state = self._contacts.returned(peer)
        if self.active and state is not None:
            state.flight.clear()
            state.summary = state.summary_tries = state.unanswered = 0
            state.fresh = state.acked + 1
            state.heard_ns, state.probe_ns, state.probe_wait_ns = None, now_ns, PROBE_NS
            self._contacts.doubt(state)
            self._wake(now_ns)

    def forget(self, peer: int, whole: bool) -> None:
        """Forget how far a peer was, and if ``whole`` which of its entries came, so that it sends all of them again."""
        self._contacts.peek(peer).forget(whole)

    def append(self, payload: bytes, items: int) -> int:
        """Put an entry of ``items`` prototypes into the own log, for the next `push`; its sequence number."""
        self._sequence += 1
        self._log.append(Entry(self._sequence, payload, items))
        if len(self._log) > ENTRIES_MAX:
            gone = self._log.popleft().sequence
            for state in self._contacts.known():
                state.flight.pop(gone, None)
        return self._sequence

    def lacking(self, now_ns: int) -> list[int]:
        """Peers that lack what they were never sent, ascending: those that are there, and some of the strangers."""
        met = [state.id for state in self._contacts.known() if self._lacks(state) and not state.silent(now_ns)]
        if self._sequence:
            met += self._contacts.strangers(min(FIRST_CONTACTS, self._contacts.wanted(now_ns)))
        return sorted(met)

    def push(self, peers: list[int], standing: Standing, summary: Summary, now_ns: int) -> list[LogOutgoing]:
        """At an opportunity: send ``peers`` (of `lacking`) everything that they lack."""
        self._pushed_ns = now_ns
        self._wake(now_ns + TICK_NS)
        states = self._in_turn([self._contacts.seek(peer, now_ns) for peer in peers])
        return [message for state in states for message in self._serve(state, standing, summary, now_ns)]

    def next_timer_ns(self) -> int | None:
        """When `on_timer` is due, or None."""
        return self._tick_ns

    def is_due(self, now_ns: int) -> bool:
        """Whether `on_timer` has anything to look at."""
        return self._tick_ns is not None and now_ns >= self._tick_ns

    def is_quiet(self, now_ns: int) -> bool:
        """Whether peers lack something although no opportunity came for a while: `on_timer` then takes its place."""
        if now_ns - self._pushed_ns < _QUIET_NS:
            return False
        strangers = self._sequence > 0 and self._contacts.wanted(now_ns) > 0
        return strangers or any(map(self._lacks, self._contacts.known()))

    def on_timer(self, peers: list[int] | None, standing: Standing, summary: Summary, now_ns: int) -> list[LogOutgoing]:
        """Send repairs, acknowledgements and probes that are due; and to ``peers``, if `is_quiet`, what they lack."""
        if not self.is_due(now_ns):
            return []
        self._tick_ns = None
        made: list[LogOutgoing] = []
        if peers is not None:
            pushed_ns = self._pushed_ns
            made = self.push(peers, standing, summary, now_ns)
            self._pushed_ns = pushed_ns  # The node stays quiet.
        self._contacts.greet(now_ns)
        due, probes = self._contacts.due(now_ns), FIRST_CONTACTS
        for state in self._in_turn(due):
            silent = state.silent(now_ns)
            if not silent and state.is_overdue(now_ns):
                made += self._serve(state, standing, summary, now_ns)
            if (silent or state.heard_ns is None) and now_ns >= state.probe_ns:
                hello = self._message(state, [], standing, now_ns, Kind.PROBE) if probes else None
                if hello is not None:
                    probes -= 1
                    made.append(hello)
                    state.probe_ns = now_ns + state.probe_wait_ns
                    state.probe_wait_ns = min(2 * state.probe_wait_ns, _PROBE_MAX_NS)
            elif state.owed_ns is not None and now_ns >= state.owed_ns:
                answer = self._message(state, [], standing, now_ns)
                if answer is not None:
                    made.append(answer)
                else:  # Another try.
                    state.owed_ns = now_ns + TICK_NS
                    self._contacts.owe(state)
        for state in due:
            self._contacts.watch(state)
        for at_ns in self._contacts.plans(now_ns):
            # What could not be done now is tried again a tick later.
            self._wake(at_ns if at_ns > now_ns else now_ns + TICK_NS)
        if self._contacts.wanted(now_ns) or any(self._has_work(each, now_ns) for each in self._contacts.known()):
            self._wake(now_ns + TICK_NS)
        return made

    def _has_work(self, state: PeerLog, now_ns: int) -> bool:
        """Whether a peer that is there lacks an entry, as far as it is known."""
        return not state.silent(now_ns) and bool(state.flight or state.summary or self._lacks(state))

    def read(self, data: bytes, sender: int) -> LogFrame:
        """The message in ``data``; `RemoteProtocolError` if it is damaged, of another sender or outdated."""
        frame = LogFrame.decode(data)
        check_sender(self.node, frame.sender, sender, frame.sender in self._contacts)
        state = self._contacts.peek(frame.sender)
        if frame.incarnation < max(1, state.incarnation):
            raise stale(sender, f"incarnation {frame.incarnation}", str(state.incarnation))
        known = frame.acked + frame.acked_mask.bit_length()
        if frame.acked_incarnation == self.incarnation and known > self._sequence:
            raise RemoteProtocolError(UNSENT, f"node {sender} claims to know entry {known} of this node")
        return frame

    def is_new(self, frame: LogFrame, index: int) -> bool:
        """Whether the entry at ``index`` of a message was not accepted before, and can be noted.

        What lies too far beyond the first gap is as good as lost: it will come again.
        """
        state = self._contacts.peek(frame.sender)
        again = frame.incarnation > state.incarnation
        watermark, mask = (0, 0) if again else (state.watermark, state.mask)
        beyond = frame.sequence + index - watermark - 1
        if frame.kind == Kind.SUMMARY:
            return beyond >= 0
        return 0 <= beyond < ENTRIES_MAX and not mask >> beyond & 1

    def accept(self, frame: LogFrame, good: list[int], now_ns: int) -> tuple[PeerView, int | None]:
        """Take note of a message from `read` whose entries ``good`` (new ones) were found good and taken in."""
        state = self._take_in(frame, good, now_ns)
        if frame.entries or frame.kind == Kind.PROBE:
            state.owed += len(frame.entries)
            at_once = frame.kind == Kind.PROBE or state.owed >= _ACKNOWLEDGE_ENTRIES
            owed_ns = max(now_ns + (0 if at_once else _ACKNOWLEDGE_NS), state.sent_ns + TICK_NS)
            if state.owed_ns is None or owed_ns < state.owed_ns:
                state.owed_ns = owed_ns
                self._contacts.owe(state)
        acknowledged_ns = self._hear(state, frame, now_ns)
        if self.active:
            self._plan(state, now_ns)
        return state.view(), acknowledged_ns

    def _take_in(self, frame: LogFrame, good: list[int], now_ns: int) -> PeerLog:
        """Move what this node has of the sender's log forwards."""
        state = self._contacts.of(frame.sender)
        if frame.incarnation > state.incarnation:
            state.restarted(frame.incarnation, whole=self._before is None)
        state.take_in(frame, good, now_ns)
        return state

    def _hear(self, state: PeerLog, frame: LogFrame, now_ns: int) -> int | None:
        """Note what a peer says that it has; the time of the newest message that it acknowledges by that."""
        if state.silent(now_ns):
            # Missed entries are sent again without the long waits of the last attempts.
            state.flight = {sequence: (sent_ns, 1) for sequence, (sent_ns, _) in state.flight.items()}
            state.summary_tries = min(state.summary_tries, 1)
        state.heard_ns, state.unanswered = now_ns, 0
        state.probe_wait_ns = PROBE_NS
        acknowledged_ns = None
        if frame.acked_incarnation == self.incarnation:
            acknowledged_ns = state.acknowledge(frame.acked, frame.acked_mask)
        elif self._before is not None and frame.acked_incarnation == self._before[0]:
            state.whole = state.whole or 0 < frame.acked >= self._before[1] - few(self._before[1])
        self._contacts.note_heard(state)
        return acknowledged_ns

    @property
    def _oldest(self) -> int:
        return self._sequence - len(self._log) + 1

    def _lacks(self, state: PeerLog) -> bool:
        """Whether there is something that a peer was never sent."""
        return state.fresh <= self._sequence or (not state.summary and self._is_behind(state))

    def _is_behind(self, state: PeerLog) -> bool:
        """Whether a peer lacks what is no longer in the log."""
        return state.acked + 1 < self._oldest or (not state.whole and not state.acked)

    def _missing(self, state: PeerLog, now_ns: int) -> list[Entry]:
        """Entries to send to a peer now, ascending: those never sent, and those whose acknowledgement is overdue."""
        first = self._oldest
        again = {sequence for sequence, sent in state.flight.items() if state.overdue(*sent, now_ns)}
        start = min([state.fresh, *again]) if again else state.fresh
        # Most often only the newest are missing, and a deque finds these from its end.
        newest = [self._log[at] for at in range(max(0, start - first), len(self._log))]
        return [
            entry
            for entry in newest
            if entry.sequence in again
            or (entry.sequence >= state.fresh and entry.sequence not in state.flight and not state.has(entry.sequence))
        ]

    def _in_turn(self, states: list[PeerLog]) -> list[PeerLog]:
        """With a budget, those first that got nothing for longest: none goes without because it comes last."""
        return sorted(states, key=lambda state: (state.sent_ns, state.id)) if self.budget_bytes_per_s else states

    def _serve(self, state: PeerLog, standing: Standing, summary: Summary, now_ns: int) -> list[LogOutgoing]:
        """Messages with what a peer lacks: runs of entries, or one summary if that is shorter or all that is left."""
        if state.summary and state.overdue(state.summary_ns, state.summary_tries, now_ns):
            # It seems to be lost: decide again what is best now.
            state.summary, state.fresh = 0, state.acked + 1
        missing = self._missing(state, now_ns)
        behind = not state.summary and self._is_behind(state)
        size = sum([len(entry.payload) for entry in missing])
        long = len(missing) > SUMMARY_ENTRIES and size > _SUMMARY_BYTES
        if behind or (long and self._budget.room(now_ns) >= _SUMMARY_PART * self.message_bytes_max):
            whole = self._summarised(state, math.inf if behind else size, standing, summary, now_ns)
            if whole is not None or behind:
                return [] if whole is None else [whole]
        return self._runs(state, missing, standing, now_ns)

    def _runs(self, state: PeerLog, missing: list[Entry], standing: Standing, now_ns: int) -> list[LogOutgoing]:
        """Messages with these entries, ascending, as far as the budget goes."""
        made: list[LogOutgoing | None] = []
        run: list[Entry] = []
        left = self._budget.room(now_ns) - self.header_bytes
        for entry in missing:
            cost = len(entry.payload) + _LENGTH_BYTES
            if run and (entry.sequence != run[-1].sequence + 1 or cost > left):
                made.append(self._message(state, run, standing, now_ns))
                run, left = [], self._budget.room(now_ns) - self.header_bytes
            if cost > left:
                break  # The budget is used up; the rest is for later.
            run.append(entry)
            if self._suitable_bytes:  # Further entries must not make it longer.
                left = min(left, self._suitable_bytes - self.header_bytes)
            left -= cost
        if run:
            made.append(self._message(state, run, standing, now_ns))
        return [message for message in made if message is not None]

    def _summarised(
        self, state: PeerLog, below: float, standing: Standing, summary: Summary, now_ns: int
    ) -> LogOutgoing | None:
        """A summary of fewer than ``below`` bytes; None if there is none, or the budget must grow for it first."""
        made = summary(int(_SUMMARY_PART * self.entry_bytes_max))
        if made is None:
            made = summary(self.entry_bytes_max)
        if made is None or len(made[0]) >= below:
            return None
        message = self._message(state, [Entry(self._sequence, *made)], standing, now_ns, Kind.SUMMARY)
        if message is not None:
            state.summary, state.summary_ns, state.summary_tries = self._sequence, now_ns, state.summary_tries + 1
            state.fresh = self._sequence + 1
            state.flight.clear()
            self._contacts.watch(state)
        return message

    def _message(
        self, state: PeerLog, run: list[Entry], standing: Standing, now_ns: int, kind: Kind = Kind.LOG
    ) -> LogOutgoing | None:
        """One message, if the budget has room for it."""
        sequence = run[0].sequence if run else self._sequence + 1
        if run and run[-1].sequence < self._sequence:
            standing = Standing(0, 0)  # There is more to know.
        frame = LogFrame(
            kind,
            self.node,
            self.incarnation,
            sequence,
            standing.samples_learnt,
            standing.at_ns,
            state.incarnation,
            state.watermark,
            state.mask,
            tuple([entry.payload for entry in run]),
        )
        data = frame.encode()
        if not self._budget.spend(len(data), now_ns):
            return None
        state.owed, state.owed_ns, state.sent_ns = 0, None, now_ns
        if run or kind == Kind.PROBE:
            if not state.unanswered:
                state.unanswered_ns = now_ns
            state.unanswered += 1
            if state.unanswered >= UNANSWERED:
                self._contacts.doubt(state)
            state.probe_ns = max(state.probe_ns, now_ns + PROBE_NS)
        if kind == Kind.LOG:
            for entry in run:
                state.flight[entry.sequence] = (now_ns, state.flight.get(entry.sequence, (0, 0))[1] + 1)
            if run:
                state.fresh = max(state.fresh, run[-1].sequence + 1)
                self._contacts.watch(state)
        return LogOutgoing(state.id, frame, data, sum([entry.items for entry in run]))

    def rejoin(self, incarnation: int, now_ns: int) -> None:
        """Go on as a later incarnation, as after a restart: a new log follows the old one."""
        before = self.state()
        self.incarnation, self._sequence = incarnation, 0
        self._log.clear()
        self._contacts = Contacts(self.node, self.peers, self._contacts.partners)
        self.restore(before)
        if self.active and self.peers:
            self._wake(now_ns)

    def shift(self, by_ns: int, now_ns: int) -> None:
        """The clock was set: times move with it."""
        self._budget.shift(by_ns)
        self._pushed_ns += by_ns
        if self._tick_ns is not None:
            self._tick_ns += by_ns
        for state in self._contacts.known():
            state.shift(by_ns, now_ns)
        self._contacts.shift(by_ns)

    def _wake(self, at_ns: int) -> None:
        if self._tick_ns is None or at_ns < self._tick_ns:
            self._tick_ns = at_ns

    def _plan(self, state: PeerLog, now_ns: int) -> None:
        """Keep a timer for what is due with a peer."""
        due = [] if state.owed_ns is None else [state.owed_ns]
        if state.heard_ns is None or state.silent(now_ns):
            due.append(state.probe_ns)
        if self._has_work(state, now_ns):
            due.append(now_ns + TICK_NS)
        if due:
            self._wake(min(due) if min(due) >= now_ns else now_ns + TICK_NS)

    def state(self) -> dict[str, Any]:
        """State for a restart: what is known of the peers' logs, and which peers have all of this one."""
        known = sorted(self._contacts.known(), key=lambda peer: peer.id)
        peers = [[peer.id, *peer.numbers(), self._is_whole(peer)] for peer in known]
        return {"incarnation": self.incarnation, "sequence": self._sequence, "peers": peers}

    def _is_whole(self, state: PeerLog) -> bool:
        """Whether a peer has all but a few entries."""
        lacks = self._sequence - state.acked - state.acked_mask.bit_count()
        return (state.whole or state.acked > 0) and lacks <= few(self._sequence)

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state`` as a new incarnation, with the peers that are still neighbours.

        A new log begins. Its empty first entry stands for the old log: a peer that lacks the old log gets a summary in
        its place.
        """
        saved, sequence = int(state["incarnation"]), int(state["sequence"])
        self.incarnation = max(self.incarnation, saved + 1)
        self._budget.empty()
        self._contacts.whole = sequence <= few(sequence)
        for peer, *numbers, whole in state["peers"]:
            if peer in self._contacts:
                known = self._contacts.of(peer)
                known.restore(numbers)
                known.whole = bool(whole)
        if sequence:
            self._before = (saved, sequence)
            self.append(b"", 0)
