"""What a runtime counts, besides what records say."""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from protovine.net.causes import Causes
from protovine.net.ops.latency import Durations, Latency
from protovine.records import Received

# The newest predictions that the recent accuracy is about.
RECENT = 1000
# The kind of hellos among the kinds of messages.
HELLO = "hello"
SENDER_KEY = "sender_key"
REVOCATIONS = "revocations"
# Members with another schema that are remembered by name: anybody can make up names.
_OTHERS_MAX = 20


class PeerGroup(enum.Enum):
    """Stands in a count where no single peer can be named."""

    ALL = "(all)"
    """A hello goes to all members."""
    UNKNOWN = "(unknown)"
    """The sender has not proved a name, or the recipient has not said hello."""


PeerKey = int | PeerGroup
PeerCounts = Counter[tuple[PeerKey, str]]


@dataclass
class Tally:
    """Counts by peer and reason, by peer and kind of message, or of this node."""

    refused: PeerCounts = field(default_factory=Counter)
    sent: PeerCounts = field(default_factory=Counter)
    sent_bytes: PeerCounts = field(default_factory=Counter)
    received: PeerCounts = field(default_factory=Counter)
    received_bytes: PeerCounts = field(default_factory=Counter)
    from_future: Counter[int] = field(default_factory=Counter)
    # All members that were ever met, in that order, also those that have left or were revoked.
    names: dict[int, str] = field(default_factory=dict)
    samples: int = 0
    samples_refused: int = 0
    # When the last sample was taken, by a clock that never jumps.
    sample_ns: int = 0
    labels: int = 0
    unknown_labels: int = 0
    labels_given_up: int = 0
    right: int = 0
    judged: int = 0
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    # What was wrong with messages of the source, samples and labels.
    causes: Causes = field(default_factory=Causes)
    # Why the certificates of endpoints that were dialled were not accepted, the last time.
    dialled: dict[str, str] = field(default_factory=dict)
    # Commands of operators by what came of them.
    commands: Counter[str] = field(default_factory=Counter)
    # Members whose hellos were refused because of another schema, by the name that they claim: which schemas.
    other_schemas: dict[str, str] = field(default_factory=dict)
    bugs: int = 0
    snapshots: int = 0
    snapshots_failed: int = 0
    snapshot_ns: int = 0
    reopened: int = 0
    clock_jumps: int = 0
    # Tombstones that this start did what they ask for.
    buried: int = 0
    # Received prototypes that were dropped because too many waited to be trained.
    inbox_dropped: int = 0
    latency: Latency = field(default_factory=Latency)
    predicting: Durations = field(default_factory=Durations)

    def count_sent(self, peer: PeerKey, kind: str, size: int) -> None:
        """A message went to the transport."""
        self.sent[peer, kind] += 1
        self.sent_bytes[peer, kind] += size

    def count_received(self, peer: PeerKey, kind: str, size: int) -> None:
        """A message opened."""
        self.received[peer, kind] += 1
        self.received_bytes[peer, kind] += size

    def count_accepted(self, record: Received) -> None:
        """The node accepted a message."""
        self.latency.note(record)
        self.inbox_dropped += record.dropped
        self.from_future[record.peer] += record.from_future > 0

    def met(self, name: str) -> None:
        """A hello of a member was accepted."""
        self.other_schemas.pop(name, None)

    def has_other_schema(self, name: str, why: str) -> None:
        """A hello was refused because of another schema."""
        if name in self.other_schemas or len(self.other_schemas) < _OTHERS_MAX:
            self.other_schemas[name] = why

    @property
    def warnings(self) -> list[str]:
        """What a person should know."""
        hint = "they exchange nothing until both start with the same schema"
        return [f"{why}: {hint}" for _, why in sorted(self.other_schemas.items())]

    def judge(self, predicted: int, truth: int) -> None:
        """The class of a predicted sample became known."""
        self.judged += 1
        self.right += predicted == truth
        self.recent.append(predicted == truth)

    def name(self, peer: PeerKey) -> str:
        """The name of a member that was met, for people."""
        return "an unknown sender" if isinstance(peer, PeerGroup) else self.names.get(peer, "an unknown sender")


def in_order(counts: Mapping[tuple[PeerKey, str], int]) -> list[tuple[tuple[PeerKey, str], int]]:
    """Counts in a fixed order: groups first, then peers by id."""
    return sorted(counts.items(), key=lambda item: (isinstance(item[0][0], int), *map(_sortable, item[0])))


def _sortable(part: PeerKey | str) -> int | str:
    return part.value if isinstance(part, PeerGroup) else part
