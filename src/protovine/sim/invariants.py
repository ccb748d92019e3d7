"""Promises that are checked while the simulation runs; a broken one is a bug, and stops the run."""

from __future__ import annotations

from collections import defaultdict
from typing import NoReturn

from protovine import records
from protovine.errors import InvariantError
from protovine.records import Record


class Invariants:
    """Watches records and the network.

    - A message is delivered only if it was sent on that link, no more often than the network copied it.
    - An accepted message was made in the past, at a number of samples learnt that the peer had reached by then.
    - (incarnation, sequence) of a node's view of a peer never goes back, unless the node crashes and loses its memory.
    - Every byte that was sent, and every copy, was delivered or lost by the end.
    """

    def __init__(self) -> None:
        self.bytes_sent = self.bytes_copied = self.bytes_delivered = self.bytes_lost = self.bytes_aired = 0
        self._recorded_bytes = 0
        self._in_flight: dict[int, tuple[int, int, bytes]] = {}
        self._samples_learnt: dict[int, int] = defaultdict(int)
        self._accepted: dict[tuple[int, int], tuple[int, int]] = {}
        self._last_ns = 0

    def sent(self, copy: int, source: int, target: int, data: bytes, duplicate: bool) -> None:
        """The network took a message, or copied one, under the new number ``copy``."""
        self._in_flight[copy] = (source, target, data)
        if duplicate:
            self.bytes_copied += len(data)
        else:
            self.bytes_sent += len(data)

    def delivered(self, copy: int, source: int, target: int, data: bytes) -> None:
        """The network hands a message over."""
        if self._in_flight.pop(copy, None) != (source, target, data):
            self._broken(
                f"node {target} was handed a message that was never sent ({len(data)} bytes in the name of {source})"
            )
        self.bytes_delivered += len(data)

    def lost(self, copy: int) -> tuple[int, int, int]:
        """The network dropped a message: from whom, to whom, and how many bytes."""
        if copy not in self._in_flight:
            self._broken("a message was lost that no node had sent")
        source, target, data = self._in_flight.pop(copy)
        self.bytes_lost += len(data)
        return source, target, len(data)

    def aired(self, copy: int) -> None:
        """A message to all in range was on the air; a copy for each of them follows."""
        _, _, data = self._in_flight.pop(copy)
        self.bytes_aired += len(data)

    def in_flight(self) -> list[int]:
        """Numbers of the copies that are still under way, ascending."""
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
        if isinstance(record, records.Sent):
            self._recorded_bytes += record.header_bytes + record.payload_bytes
        elif isinstance(record, records.Learned):
            self._samples_learnt[record.node] += 1
        elif isinstance(record, records.Received):
            if not 0 <= record.created_ns <= record.at_ns:
                self._broken(f"a negative age at {record}")
            if record.samples_learnt > self._samples_learnt[record.peer]:
                self._broken(f"more samples than node {record.peer} has learnt at {record}")
            key, order = (record.node, record.peer), (record.incarnation, record.sequence)
            if order < self._accepted.get(key, (0, 0)):
                self._broken(f"a view goes back at {record}")
            self._accepted[key] = order

    def ended(self) -> None:
        """The run is over."""
        if self._in_flight:
            self._broken(f"{len(self._in_flight)} messages were neither delivered nor lost")
        if self._recorded_bytes != self.bytes_sent:
            self._broken(f"{self._recorded_bytes} bytes were recorded as sent, but {self.bytes_sent} were")
        if self.bytes_sent + self.bytes_copied != self.bytes_delivered + self.bytes_lost + self.bytes_aired:
            self._broken(
                f"sent {self.bytes_sent} + copied {self.bytes_copied} bytes, but delivered {self.bytes_delivered}"
                f" + lost {self.bytes_lost} + sent to all {self.bytes_aired}"
            )

    @staticmethod
    def _broken(what: str) -> NoReturn:
        raise InvariantError(f"invariant broken: {what}")
