"""Bytes, messages and prototypes from a trace."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from protovine.metrics.grouping import by_type
from protovine.records import Lost, Received, Record, Refused, Sent, Trained, Withheld

# The authors count 105 bytes for a prototype, whatever its size.
PAPER_BYTES_PER_PROTOTYPE = 105


@dataclass(frozen=True)
class Traffic:
    """Messages, bytes and prototypes of all nodes; a message to several recipients counts once for each, and one
    to all in range once.

    ``prototypes_dropped`` fell out of full queues. ``links`` has the bytes by (sender, recipient), -1 for all.
    ``lost`` and ``refused`` count messages by reason.
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
        """Traffic as the paper's tables give it: 105 bytes per prototype sent, all nodes together."""
        return PAPER_BYTES_PER_PROTOTYPE * self.prototypes_sent / seconds


def traffic(records: Iterable[Record]) -> Traffic:
    """The traffic of a trace."""
    kept = by_type(records)
    sent, received = kept[Sent], kept[Received]
    links: defaultdict[tuple[int, int], int] = defaultdict(int)
    for record in sent:
        links[record.node, record.peer] += record.header_bytes + record.payload_bytes
    return Traffic(
        bytes_total=sum(links.values()),
        header_bytes=sum(record.header_bytes for record in sent),
        messages=len(sent),
        prototypes_sent=sum(record.prototypes for record in sent),
        prototypes_withheld=sum(record.prototypes for record in kept[Withheld]),
        prototypes_received=sum(record.prototypes for record in received),
        prototypes_trained=sum(record.count for record in kept[Trained]),
        prototypes_dropped=sum(record.dropped for record in received),
        links=dict(sorted(links.items())),
        lost=dict(sorted(Counter(record.reason for record in kept[Lost]).items())),
        refused=dict(sorted(Counter(record.reason for record in kept[Refused]).items())),
    )
