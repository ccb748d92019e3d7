"""Promises that are checked while the simulation runs; a broken one is a bug, and stops the run."""

from __future__ import annotations

from collections import defaultdict
from typing import NoReturn

from protovine import records
from protovine.errors import InvariantError
from protovine.records import Record

# The place of an event among those of the same time, and the name of a message: the number of the event that scheduled
# it, or of the last one before that in this shard; of one in another shard the rank among all events, and the shard;
# and the count of what that shard had scheduled.
Place = tuple[int, int, int, int]


class Invariants:
    """Watches records and the network.

    - A message is delivered only if it was sent on that link, no more often than the network copied it.
    - An accepted message was made in the past, at a number of samples learnt that the peer had reached by then.
    - (incarnation, sequence) of a node's view of a peer never goes back, unless the node crashes and loses its memory.
    - Every byte that was sent, and every copy, was delivered or lost by the end.

    Raises
    ------
    InvariantError
        By the method that learns of it: a promise is broken.

    Examples
    --------
    >>> books = Invariants()
    >>> books.sent((0, 0, 0, 0), source=0, target=1, data=b"a set", duplicate=False)
    >>> books.delivered((0, 0, 0, 0), source=0, target=1, data=b"a lie")
    Traceback (most recent call last):
    protovine.errors.InvariantError: invariant broken: node 1 was handed a message that was never sent (5 bytes ...)
    """

    def __init__(self) -> None:
        self.bytes_sent = self.bytes_copied = self.bytes_delivered = self.bytes_lost = 0
        self.bytes_abroad = self.bytes_aired = 0
        self.bytes_recorded = 0
        self._in_flight: dict[Place, tuple[int, int, bytes]] = {}
        self._samples_learnt: dict[int, int] = defaultdict(int)
        self._accepted: dict[tuple[int, int], tuple[int, int]] = {}
        self._last_ns = 0

    def sent(self, copy: Place, source: int, target: int, data: bytes, duplicate: bool) -> None:
        """The network took a message, or copied one, under the new name ``copy``."""
        self._in_flight[copy] = (source, target, data)
        if duplicate:
            self.bytes_copied += len(data)
        else:
            self.bytes_sent += len(data)

    def sent_abroad(self, copy: Place) -> None:
        """A message is on its way to a node of another shard, whose books it is in from now on."""
        self.bytes_abroad += len(self._in_flight.pop(copy)[2])

    def handed_over(self, copy: Place, source: int, target: int, data: bytes) -> None:
        """A message comes from a node of another shard."""
        self._in_flight[copy] = (source, target, data)
        self.bytes_abroad -= len(data)

    def delivered(self, copy: Place, source: int, target: int, data: bytes) -> None:
        """The network hands a message over."""
        if self._in_flight.pop(copy, None) != (source, target, data):
            self._broken(
                f"node {target} was handed a message that was never sent ({len(data)} bytes in the name of {source})"
            )
        self.bytes_delivered += len(data)

    def lost(self, copy: Place) -> tuple[int, int, int]:
        """The network dropped a message: from whom, to whom, and how many bytes."""
        if copy not in self._in_flight:
            self._broken("a message was lost that no node had sent")
        source, target, data = self._in_flight.pop(copy)
        self.bytes_lost += len(data)
        return source, target, len(data)

    def aired(self, copy: Place) -> None:
        """A message to all in range was on the air; a copy for each of them follows."""
        _, _, data = self._in_flight.pop(copy)
        self.bytes_aired += len(data)

    def in_flight(self) -> list[Place]:
        """The copies that are still under way, as they were sent."""
        return sorted(self._in_flight)

    def forget(self, node: int) -> None:
        """A node lost its memory."""
        for pair in [pair for pair in self._accepted if pair[0] == node]:
            del self._accepted[pair]

    def record(self, record: Record) -> None:
        """Something happened."""
        if record.at_ns < self._last_ns:
            self._broken(f"time goes backwards at {record}")
        self._last_ns = record.at_ns
        if type(record) is records.Sent:
            self.bytes_recorded += record.header_bytes + record.payload_bytes
        elif type(record) is records.Learned:
            self.learnt(record.node)
        elif type(record) is records.Received:
            if not 0 <= record.created_ns <= record.at_ns:
                self._broken(f"a negative age at {record}")
            self.claimed(record)
            key, order = (record.node, record.peer), (record.incarnation, record.sequence)
            if order < self._accepted.get(key, (0, 0)):
                self._broken(f"a view goes back at {record}")
            self._accepted[key] = order

    def learnt(self, node: int) -> None:
        """A node has learnt a local sample."""
        self._samples_learnt[node] += 1

    def claimed(self, record: records.Received) -> None:
        """A node has received how many samples another has learnt."""
        if record.samples_learnt > self._samples_learnt[record.peer]:
            self._broken(f"more samples than node {record.peer} has learnt at {record}")

    def ended(self) -> None:
        """The run is over."""
        if self._in_flight:
            self._broken(f"{len(self._in_flight)} messages were neither delivered nor lost")
        if self.bytes_abroad:
            self._broken(f"{self.bytes_abroad} bytes left one shard and reached no other")
        if self.bytes_recorded != self.bytes_sent:
            self._broken(f"{self.bytes_recorded} bytes were recorded as sent, but {self.bytes_sent} were")
        if self.bytes_sent + self.bytes_copied != self.bytes_delivered + self.bytes_lost + self.bytes_aired:
            self._broken(
                f"sent {self.bytes_sent} + copied {self.bytes_copied} bytes, but delivered {self.bytes_delivered}"
                f" + lost {self.bytes_lost} + sent to all {self.bytes_aired}"
            )

    @staticmethod
    def _broken(what: str) -> NoReturn:
        raise InvariantError(f"invariant broken: {what}")
