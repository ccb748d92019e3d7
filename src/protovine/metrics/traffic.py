"""Bytes, messages and prototypes from a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protovine.columns import Columns
from protovine.records import Aired, Lost, Received, Record, Refused, Sent, Trained, Withheld

_IN_RANGE = -1  # The recipient of a message to all; `protovine.gossip.EVERYONE`, which stands beside this package.
# The authors count 105 bytes for a prototype, whatever its size.
PAPER_BYTES_PER_PROTOTYPE = 105


class Pieces(NamedTuple):
    """What nodes sent, in pieces: when, from which node to which (-1 for all in range), and how many bytes."""

    at_ns: NDArray[np.int64]
    node: NDArray[np.int64]
    peer: NDArray[np.int64]
    size: NDArray[np.int64]


def pieces(records: Columns, medium: bool = False) -> Pieces:
    """The messages that nodes sent over links, or the frames that they put on a ``medium`` that they share.

    A frame reaches all in range. A message that the medium refused or dropped has none.
    """
    if not medium:
        sent = records.of(Sent)
        return Pieces(sent["at_ns"], sent["node"], sent["peer"], sent["header_bytes"] + sent["payload_bytes"])
    frames = [(frame.at_ns, frame.node, frame.message_bytes) for frame in records.others(Aired)]
    at_ns, node, size = np.array(frames, np.int64).reshape(-1, 3).T
    return Pieces(at_ns, node, np.full(len(node), _IN_RANGE, np.int64), size)


@dataclass(frozen=True)
class Traffic:
    """Messages, bytes and prototypes of all nodes; a message to several recipients counts once for each, and one
    to all in range once.

    On a medium that nodes share ``bytes_total`` and ``links`` are of the frames on the air, the 2 bytes that each
    fragment has more included. ``messages``, ``header_bytes`` and ``prototypes_sent`` are of all messages that nodes
    made, also those in ``lost`` that the medium refused ("too large") or dropped ("waited too long").

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


def traffic(records: Iterable[Record], medium: bool = False) -> Traffic:
    """The traffic of a trace; ``medium`` is whether nodes share one.

    Examples
    --------
    >>> found = traffic([Sent(0, node=0, peer=peer, kind="log", sequence=1, samples_learnt=20, prototypes=3,
    ...                       header_bytes=16, payload_bytes=24, digest=0) for peer in (1, 2)])
    >>> found.bytes_total, found.messages, found.links
    (80, 2, {(0, 1): 40, (0, 2): 40})
    >>> traffic([Aired(0, node=0, airtime_ns=9, message_bytes=42, waited_ns=0)], medium=True).links
    {(0, -1): 42}
    """
    kept = Columns.holding(records)
    sent, received = kept.of(Sent), kept.of(Received)
    moved = pieces(kept, medium)
    ways, way = np.unique(np.stack([moved.node, moved.peer]), axis=1, return_inverse=True)
    size = np.zeros(ways.shape[1], np.int64)
    np.add.at(size, way.ravel(), moved.size)
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
