"""Gossip of a log on a medium where one message reaches all in range: sent once, repaired on request.

Nobody acknowledges: a thousand receivers would fill the medium with acknowledgements. A node that notices a gap in a
peer's log asks that peer for it, in a message with its digest. The owner answers all requests of a second with one
more broadcast, or with a summary to a node that misses too much. Those who wait longer to ask see the answer to the
first, and do not ask: the suppression of SRM (Floyd et al., "A reliable multicast framework for light-weight
sessions and application level framing", IEEE/ACM Transactions on Networking 1997). The last entries of a
node that falls silent become known by a bare header, after 5 s, 10 s and so on up to a minute.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from math import inf
from typing import Any

from protovine.errors import LocalProtocolError
from protovine.gossip.entries import SUMMARY_ENTRIES, LogOutgoing, Summary
from protovine.gossip.frame import Kind, LogFrame
from protovine.gossip.log import LogGossip
from protovine.gossip.peer_log import TICK_NS, PeerLog
from protovine.gossip.peers import EVERYONE, PeerView, Standing
from protovine.records import SECOND_NS

# A message to all has no digest; this is its longest header of a sender whose id has 5 bytes as a varint.
_HEADER_BYTES = 32
# How long a gap waits before it is asked for: the least time, and by how much nodes differ. Doubles with each request.
_ASK_NS, _ASK_SPREAD_NS, _ASK_MAX_NS = SECOND_NS, 3 * SECOND_NS, 60 * SECOND_NS
_ASK_TRIES = 6  # Then the peer is out of range: wait until it is heard.
_REPEAT_NS = 2 * SECOND_NS  # A repair that is younger than this may still be under way.
_BEAT_NS, _BEAT_MAX_NS = 5 * SECOND_NS, 60 * SECOND_NS
# A node that misses many entries, and more than this many bytes, gets a summary.
_SUMMARY_BYTES = 600


@dataclass(slots=True)
class _Gap:
    """What this node knows to miss of a peer's log, up to ``head``; it asks at ``ask_ns`` for the next time."""

    head: int = 0
    ask_ns: int | None = None
    tries: int = 0


class BroadcastLog(LogGossip):
    """A `LogGossip` whose entries leave once for all in range.

    Its schedule names `EVERYONE`. Parameters and errors are those of `LogGossip`.

    Examples
    --------
    >>> ann, bob = BroadcastLog(0, [1, 2]), BroadcastLog(1, [0])
    >>> ann.append(b"an entry", items=1), ann.lacking(now_ns=10)
    (1, [-1])
    >>> (made,) = ann.push([EVERYONE], Standing(1, 10), lambda max_bytes: None, now_ns=10)
    >>> made.peer, bob.read(made.data, sender=0).entries
    (-1, (b'an entry',))
    """

    header_bytes = _HEADER_BYTES

    def __init__(self, node: int, peers: list[int], **options: Any) -> None:
        super().__init__(node, peers, **options)
        self._all = PeerLog(EVERYONE)
        self._gaps: dict[int, _Gap] = {}
        self._wanted: set[int] = set()  # Entries that peers asked for.
        self._repaired_ns: dict[int, int] = {}  # When entries were sent again.
        self._newcomers: set[int] = set()  # Peers that need a summary.
        self._beat_ns: int | None = None
        self._beat_wait_ns = _BEAT_NS
        self._tick_ns = None

    @property
    def recipients(self) -> int:
        """One message serves all."""
        return 1

    def lacking(self, now_ns: int) -> list[int]:
        """`EVERYONE`, if there is an entry that was never sent."""
        return [EVERYONE] if self._all.fresh <= self._sequence else []

    def push(self, peers: list[int], standing: Standing, summary: Summary, now_ns: int) -> list[LogOutgoing]:
        """At an opportunity: send what was never sent, if ``peers`` says so."""
        self._pushed_ns = now_ns
        self._wake(now_ns + TICK_NS)
        if not peers:
            return []
        if peers != [EVERYONE]:
            raise LocalProtocolError(f"a broadcast addresses everyone, not {peers}")
        made = self._serve(self._all, standing, summary, now_ns)
        self._said(made, now_ns)
        return made

    def is_quiet(self, now_ns: int) -> bool:
        """Whether entries wait although no opportunity came for a while."""
        return now_ns - self._pushed_ns >= 2 * TICK_NS and self._all.fresh <= self._sequence

    def on_timer(self, peers: list[int] | None, standing: Standing, summary: Summary, now_ns: int) -> list[LogOutgoing]:
        """Send repairs, summaries, requests and bare headers that are due; and what waits, if ``peers`` says so."""
        if not self.is_due(now_ns):
            return []
        self._tick_ns = None
        made: list[LogOutgoing] = []
        if peers:
            pushed_ns = self._pushed_ns
            made = self.push(peers, standing, summary, now_ns)
            self._pushed_ns = pushed_ns  # The node stays quiet.
        made += self._repairs(standing, now_ns)
        for peer in sorted(self._newcomers):
            whole = self._summarised(self._contacts.of(peer), inf, standing, summary, now_ns)
            if whole is not None:
                self._newcomers.discard(peer)
                made.append(whole)
        made += self._requests(standing, now_ns)
        if self._beat_ns is not None and now_ns >= self._beat_ns:
            bare = self._message(self._all, [], standing, now_ns)
            if bare is not None:
                made.append(bare)
                self._beat_ns = now_ns + self._beat_wait_ns
                self._beat_wait_ns = min(2 * self._beat_wait_ns, _BEAT_MAX_NS)
        due = [gap.ask_ns for gap in self._gaps.values() if gap.ask_ns is not None]
        due += [] if self._beat_ns is None else [self._beat_ns]
        if self._wanted or self._newcomers or self._all.fresh <= self._sequence:
            due.append(now_ns)
        if due:
            # What could not be done now is tried again a tick later, or when the device may send.
            first_ns = min(due) if min(due) > now_ns else now_ns + TICK_NS
            self._wake(max(first_ns, self._budget.free_ns))
        return made

    def accept(self, frame: LogFrame, good: list[int], now_ns: int) -> tuple[PeerView, int | None]:
        """Take note of a message; a broadcast acknowledges nothing."""
        if frame.incarnation > self._contacts.peek(frame.sender).incarnation:
            self._gaps.pop(frame.sender, None)
        state = self._take_in(frame, good, now_ns)
        state.heard_ns = now_ns
        if self.active:
            if frame.kind == Kind.PROBE:
                self._asked(state, frame, now_ns)
            gap = self._gaps.setdefault(state.id, _Gap())
            gap.head = max(gap.head, frame.last)
            if gap.tries >= _ASK_TRIES:
                # It is heard, so it may hear this node again: one more request for each message of it.
                gap.tries, gap.ask_ns = _ASK_TRIES - 1, now_ns + self._wait_ns(state.id, 0)
            self._watch(state, gap, bool(good), now_ns)
        return state.view(), None

    def reached(self, peer: int, now_ns: int) -> None:
        """A peer is there, or there again: ask soon for what was missed, and say soon what it may have missed."""
        if self.active and (self._beat_ns is None or self._beat_ns > now_ns + TICK_NS):
            self._beat_ns = now_ns + TICK_NS
            self._wake(self._beat_ns)
        gap = self._gaps.get(peer)
        if gap is not None and self.active:
            gap.tries = 0
            self._watch(self._contacts.of(peer), gap, False, now_ns)

    def add(self, peer: int, now_ns: int) -> None:
        """Add a neighbour; it is heard when it sends."""
        tick_ns = self._tick_ns
        super().add(peer, now_ns)
        self._tick_ns = tick_ns

    def _repairs(self, standing: Standing, now_ns: int) -> list[LogOutgoing]:
        """Send entries again that were asked for."""
        oldest = self._oldest
        # What is no longer in the log is left to summaries, and what was never sent to the next opportunity.
        self._wanted = {sequence for sequence in self._wanted if oldest <= sequence < self._all.fresh}
        made = self._runs(self._all, [e for e in self._log if e.sequence in self._wanted], standing, now_ns)
        for message in made:
            for sequence in range(message.frame.sequence, message.frame.last + 1):
                self._wanted.discard(sequence)
                self._repaired_ns[sequence] = now_ns
        self._repaired_ns = {s: at_ns for s, at_ns in self._repaired_ns.items() if now_ns - at_ns < _REPEAT_NS}
        self._said(made, now_ns)
        return made

    def _requests(self, standing: Standing, now_ns: int) -> list[LogOutgoing]:
        """Ask peers for what is missing of their logs."""
        made = []
        due = [
            (gap.ask_ns, peer) for peer, gap in self._gaps.items() if gap.ask_ns is not None and gap.ask_ns <= now_ns
        ]
        for _, peer in sorted(due):  # Who waits longest comes first: a slow device sends few of them.
            gap = self._gaps[peer]
            asked = self._message(self._contacts.of(peer), [], standing, now_ns, Kind.PROBE)
            if asked is None:
                break  # The budget is used up.
            made.append(asked)
            gap.tries += 1
            gap.ask_ns = now_ns + self._wait_ns(peer, gap.tries) if gap.tries < _ASK_TRIES else None
        return made

    def _asked(self, state: PeerLog, frame: LogFrame, now_ns: int) -> None:
        """A peer says what it has of this log: note what it misses."""
        knows = frame.acked_incarnation == self.incarnation
        acked, mask = (frame.acked, frame.acked_mask) if knows else (0, 0)
        missing = [
            entry
            for entry in self._log
            if acked < entry.sequence < self._all.fresh and not mask >> (entry.sequence - acked - 1) & 1
        ]
        size = sum(len(entry.payload) for entry in missing)
        is_new = self._before is not None and not acked and not mask
        behind = acked + 1 < min(self._oldest, self._all.fresh)
        if behind or is_new or (len(missing) > SUMMARY_ENTRIES and size > _SUMMARY_BYTES):
            self._newcomers.add(state.id)
        else:
            self._wanted.update(e.sequence for e in missing if e.sequence not in self._repaired_ns)
        if self._wanted or self._newcomers:
            self._wake(now_ns + TICK_NS)

    def _watch(self, state: PeerLog, gap: _Gap, progress: bool, now_ns: int) -> None:
        """Plan to ask for a gap, or stop when it is closed."""
        if state.watermark >= gap.head:
            gap.ask_ns, gap.tries = None, 0
            return
        if progress:
            gap.tries = 0  # The long waits of before are over, too.
        ask_ns = now_ns + self._wait_ns(state.id, gap.tries)
        if (gap.ask_ns is None and gap.tries < _ASK_TRIES) or (progress and gap.ask_ns is not None):
            gap.ask_ns = min(ask_ns, gap.ask_ns or ask_ns)
        if gap.ask_ns is not None:
            self._wake(max(gap.ask_ns, now_ns))

    def _wait_ns(self, peer: int, tries: int) -> int:
        """How long to wait before asking: another time for every pair of nodes, so that few ask for the same."""
        part = zlib.crc32(f"{self.node} {peer} {tries}".encode()) / 2**32
        return min((_ASK_NS + round(part * _ASK_SPREAD_NS)) << tries, _ASK_MAX_NS)

    def _said(self, made: list[LogOutgoing], now_ns: int) -> None:
        """All in range were sent the newest entries: nothing is in flight, and a bare header is not needed soon."""
        state = self._all
        state.flight.clear()
        state.summary = state.summary_tries = state.unanswered = 0
        if made:
            self._beat_ns, self._beat_wait_ns = now_ns + _BEAT_NS, 2 * _BEAT_NS
            self._wake(self._beat_ns)

    def _is_behind(self, state: PeerLog) -> bool:
        """Whether what a peer lacks is no longer in the log; for all together: was never sent, and left the log."""
        return state.fresh < self._oldest if state is self._all else super()._is_behind(state)

    def rejoin(self, incarnation: int, now_ns: int) -> None:
        """Go on as a later incarnation, with a new log."""
        self._forget()
        super().rejoin(incarnation, now_ns)

    def shift(self, by_ns: int, now_ns: int) -> None:
        """The clock was set: times move with it."""
        super().shift(by_ns, now_ns)
        self._repaired_ns = {sequence: at_ns + by_ns for sequence, at_ns in self._repaired_ns.items()}
        self._beat_ns = None if self._beat_ns is None else self._beat_ns + by_ns
        for gap in self._gaps.values():
            gap.ask_ns = None if gap.ask_ns is None else gap.ask_ns + by_ns

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state`` as a new incarnation, and say so even if nothing is to be shared for long."""
        self._forget()
        super().restore(state)
        if self.active and self._sequence:
            self._wake(0)

    def _forget(self) -> None:
        self._all = PeerLog(EVERYONE)
        self._gaps, self._repaired_ns = {}, {}
        self._wanted, self._newcomers = set(), set()
        self._beat_ns, self._beat_wait_ns = None, _BEAT_NS
