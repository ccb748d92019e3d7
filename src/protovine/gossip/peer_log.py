"""What a node knows of one peer in the gossip of logs: what is missing at either end, and whether the peer is there."""

from __future__ import annotations

from dataclasses import dataclass, field

from protovine import varint
from protovine.gossip.frame import Kind, LogFrame
from protovine.gossip.peers import PeerView
from protovine.records import SECOND_NS

TICK_NS = SECOND_NS  # How often a node looks for due work.
PROBE_NS = 5 * SECOND_NS  # First wait between two probes of a silent peer; doubles with each.
# Waits for an acknowledgement: after the first attempts, and after all others.
_RETRIES_NS, _RETRY_MAX_NS = (2 * SECOND_NS, 4 * SECOND_NS, 8 * SECOND_NS), 16 * SECOND_NS
_ROUND_TRIP_NS = SECOND_NS // 2  # A peer that is heard this long after a message has had time to receive it.
# A peer that left this many messages unanswered for this long is silent: it gets no more entries, only probes.
UNANSWERED, _SILENCE_NS = 3, 10 * SECOND_NS


@dataclass(slots=True)
class PeerLog:
    """One peer as a node sees it: the peer's log at this node, and this node's log at the peer."""

    id: int
    # The peer's log at this node.
    incarnation: int = 0
    watermark: int = 0
    mask: int = 0
    samples_learnt: int = 0
    created_ns: int = 0
    accepted: int = 0
    ahead: tuple[int, int, int] = (0, 0, 0)  # Valid once the watermark is there: (watermark, samples_learnt, time).
    owed: int = 0  # Entries to acknowledge.
    owed_ns: int | None = None  # When an acknowledgement is due.
    # This node's log at the peer.
    acked: int = 0
    acked_mask: int = 0
    fresh: int = 1  # First entry that it was never sent.
    flight: dict[int, tuple[int, int]] = field(default_factory=dict)  # Not acknowledged: when sent, and how often.
    summary: int = 0  # A summary up to here is under way.
    summary_ns: int = 0
    summary_tries: int = 0
    whole: bool = True  # It has the entries of this node's earlier incarnation.
    # Whether the peer is there.
    heard_ns: int | None = None
    sent_ns: int = -TICK_NS
    unanswered: int = 0
    unanswered_ns: int = 0
    probe_ns: int = 0
    probe_wait_ns: int = PROBE_NS
    look_ns: int | None = None  # When a timer looks at it again.

    def view(self) -> PeerView:
        """What is known of the peer."""
        return PeerView(self.id, self.incarnation, self.watermark, self.samples_learnt, self.created_ns, self.accepted)

    def numbers(self) -> list[int]:
        """What a snapshot has of the peer's log."""
        return [self.incarnation, self.watermark, self.mask, self.samples_learnt, self.created_ns, self.accepted]

    def restore(self, numbers: list[int]) -> None:
        """Go on from `numbers`."""
        self.incarnation, self.watermark, self.mask = map(int, numbers[:3])
        self.samples_learnt, self.created_ns, self.accepted = map(int, numbers[3:])
        if self.watermark > varint.MAX:  # Version 0.2.0 accepted such entries, and could not acknowledge them.
            self.forget(whole=True)

    def restarted(self, incarnation: int, whole: bool) -> None:
        """The peer runs for the first time, or again and may have lost its memory: only new messages count.

        ``whole`` is whether a peer that has lost all lacks no earlier log.
        """
        if self.incarnation:
            self.acked = self.acked_mask = self.summary = self.summary_tries = 0
            self.fresh, self.whole = 1, whole
            self.flight.clear()
        self.incarnation, self.watermark, self.mask = incarnation, 0, 0
        self.samples_learnt, self.ahead = 0, (0, 0, 0)

    def take_in(self, frame: LogFrame, good: list[int], now_ns: int) -> None:
        """The entries ``good`` of a message of the peer were taken in."""
        for index in good:
            beyond = frame.sequence + index - self.watermark - 1
            if frame.kind == Kind.SUMMARY:
                self.watermark += beyond + 1
                self.mask >>= beyond + 1
            else:
                self.mask |= 1 << beyond
            while self.mask & 1:
                self.mask >>= 1
                self.watermark += 1
        self.accepted += bool(good)
        created_ns = min(frame.created_ns, now_ns)
        # If the peer's clock was set back, a message that says more is newer all the same.
        newer = created_ns >= self.ahead[2] or frame.samples_learnt > self.ahead[1]
        if (frame.samples_learnt or frame.created_ns) and newer:
            self.ahead = (frame.last, frame.samples_learnt, created_ns)
        if self.watermark >= self.ahead[0]:
            more = self.ahead[1] > self.samples_learnt
            self.samples_learnt = max(self.samples_learnt, self.ahead[1])
            self.created_ns = self.ahead[2] if more else max(self.created_ns, self.ahead[2])

    def forget(self, whole: bool) -> None:
        """Forget how far the peer was, and if ``whole`` which of its entries came."""
        self.restore([*([0] * 3 if whole else self.numbers()[:3]), 0, 0, 0])
        self.ahead = (0, 0, 0)

    def shift(self, by_ns: int, now_ns: int) -> None:
        """The clock was set: times move with it. When the peer made its newest message is by the peer's clock."""
        self.created_ns, self.ahead = min(self.created_ns, now_ns), (*self.ahead[:2], min(self.ahead[2], now_ns))
        self.owed_ns = None if self.owed_ns is None else self.owed_ns + by_ns
        self.heard_ns = None if self.heard_ns is None else self.heard_ns + by_ns
        self.flight = {sequence: (at_ns + by_ns, tries) for sequence, (at_ns, tries) in self.flight.items()}
        self.summary_ns += by_ns
        self.sent_ns += by_ns
        self.unanswered_ns += by_ns
        self.probe_ns += by_ns

    def has(self, sequence: int) -> bool:
        """Whether the peer is known to have an entry of this node."""
        return sequence <= self.acked or bool(self.acked_mask >> (sequence - self.acked - 1) & 1)

    def silent(self, now_ns: int) -> bool:
        """Whether the peer left several messages unanswered for long."""
        return self.unanswered >= UNANSWERED and now_ns - self.unanswered_ns >= _SILENCE_NS

    def overdue_ns(self, sent_ns: int, tries: int) -> int:
        """When a message sent at ``sent_ns``, after ``tries`` attempts, should have been acknowledged."""
        wait_ns = _RETRIES_NS[tries - 1] if tries <= len(_RETRIES_NS) else _RETRY_MAX_NS
        heard_since = self.heard_ns is not None and self.heard_ns > sent_ns + _ROUND_TRIP_NS
        return sent_ns + (wait_ns if heard_since else 4 * wait_ns)

    def overdue(self, sent_ns: int, tries: int, now_ns: int) -> bool:
        """Whether such a message should have been acknowledged by now."""
        return now_ns >= self.overdue_ns(sent_ns, tries)

    def first_overdue_ns(self) -> int | None:
        """When the first of all messages that were not acknowledged should have been."""
        times = [self.overdue_ns(*sent) for sent in self.flight.values()]
        if self.summary:
            times.append(self.overdue_ns(self.summary_ns, self.summary_tries))
        return min(times, default=None)

    def is_overdue(self, now_ns: int) -> bool:
        """Whether any message should have been acknowledged by now."""
        overdue_ns = self.first_overdue_ns()
        return overdue_ns is not None and now_ns >= overdue_ns

    def acknowledge(self, acked: int, mask: int) -> int | None:
        """The peer has at least these entries; returns when the newest of them was sent, if it was still in flight.

        An old digest that arrives late says less, but nothing wrong.
        """
        ahead = acked - self.acked
        self.acked_mask = (self.acked_mask >> ahead) | mask if ahead >= 0 else self.acked_mask | (mask >> -ahead)
        self.acked = max(self.acked, acked)
        while self.acked_mask & 1:
            self.acked_mask >>= 1
            self.acked += 1
        self.fresh = max(self.fresh, self.acked + 1)
        if self.acked >= self.summary:
            self.summary = 0
        landed = [sequence for sequence in self.flight if self.has(sequence)]
        return max([self.flight.pop(sequence)[0] for sequence in landed], default=None)
