"""Bytes, messages and prototypes from a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from protovine.columns import Columns
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
    """The traffic of a trace.

    Examples
    --------
    >>> found = traffic([Sent(0, node=0, peer=peer, kind="log", sequence=1, samples_learnt=20, prototypes=3,
    ...                       header_bytes=16, payload_bytes=24, digest=0) for peer in (1, 2)])
    >>> found.bytes_total, found.messages, found.links
    (80, 2, {(0, 1): 40, (0, 2): 40})
    """
    kept = Columns.holding(records)
    sent, received = kept.of(Sent), kept.of(Received)
    ways, way = np.unique(np.stack([sent["node"], sent["peer"]]), axis=1, return_inverse=True)
    size = np.zeros(ways.shape[1], np.int64)
    np.add.at(size, way.ravel(), sent["header_bytes"] + sent["payload_bytes"])
    return Traffic(
        bytes_total=int(size.sum()),
        header_bytes=int(sent["header_bytes"].sum()),
        messages=len(sent["node"]),
        prototypes_sent=int(sent["prototypes"].sum()),
        prototypes_withheld=sum(record.prototypes for record in kept.others(Withheld)),
        prototypes_received=int(received["prototypes"].sum()),
        prototypes_trained=int(kept.of(Trained)["count"].sum()),
        prototypes_dropped=int(received["dropped"].sum()),
        links=dict(zip(zip(*ways.tolist(), strict=True), size.tolist(), strict=True)),
        lost=dict(sorted(Counter(record.reason for record in kept.others(Lost)).items())),
        refused=dict(sorted(Counter(record.reason for record in kept.others(Refused)).items())),
    )
