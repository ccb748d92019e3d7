"""Bytes, messages and prototypes from a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from protovine.records import Lost, Received, Record, Refused, Sent, Trained, Withheld

# The authors count 105 bytes for a prototype, whatever its size.
PAPER_BYTES_PER_PROTOTYPE = 105


@dataclass(frozen=True)
class Traffic:
    """Everything that all nodes sent, once per recipient.

    ``prototypes_dropped`` fell out of full queues. ``links`` has the bytes by (sender, recipient); ``lost`` and
    ``refused`` count messages by reason.
    """

    bytes_total: int
    header_bytes: int
    messages: int
    prototypes_sent: int
    prototypes_withheld: int
    prototypes_received: int
    prototypes_trained: int
    prototypes_dropped: int
    links: dict[tuple[int, int], int]
    lost: dict[str, int]
    refused: dict[str, int]

    def paper_bytes_per_s(self, seconds: float) -> float:
        """Bandwidth as the paper's tables give it: 105 bytes per prototype sent, all nodes together."""
        return PAPER_BYTES_PER_PROTOTYPE * self.prototypes_sent / seconds


def traffic(records: Iterable[Record]) -> Traffic:
    """Add up a trace."""
    total = header = messages = sent = withheld = received = trained = dropped = 0
    links: Counter[tuple[int, int]] = Counter()
    lost: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for record in records:
        if isinstance(record, Sent):
            size = record.header_bytes + record.payload_bytes
            total += size
            header += record.header_bytes
            messages += 1
            sent += record.prototypes
            links[record.node, record.peer] += size
        elif isinstance(record, Withheld):
            withheld += record.prototypes
        elif isinstance(record, Received):
            received += record.prototypes
            dropped += record.dropped
        elif isinstance(record, Trained):
            trained += record.count
        elif isinstance(record, Lost):
            lost[record.reason] += 1
        elif isinstance(record, Refused):
            refused[record.reason] += 1
    return Traffic(
        total,
        header,
        messages,
        sent,
        withheld,
        received,
        trained,
        dropped,
        dict(sorted(links.items())),
        dict(sorted(lost.items())),
        dict(sorted(refused.items())),
    )
