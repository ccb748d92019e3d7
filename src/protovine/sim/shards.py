"""A swarm in shards: each simulator has some of the nodes, and all events come into the order of a single simulator.

Events that are closer than the shortest delay of a link are independent between nodes. So every shard can do all of
its events of such a window without the others. What happened is then merged: by time, and within one nanosecond by
the rank of the event that scheduled it, by shard, and by that shard's count. With one simulator for all nodes the
same events come in the same order, and so do their records.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from protovine import records
from protovine.sim.invariants import Invariants, Place
from protovine.sim.scenario import Scenario
from protovine.sim.simulator import START, Abroad, Happened


def can_be_sharded(scenario: Scenario) -> bool:
    """Whether all nodes need not be in one simulator.

    Links must delay, and nodes may share neither a medium, nor a topology that changes, nor a trace of devices.
    """
    shared = scenario.medium is not None or scenario.changes is not None or bool(scenario.devices)
    return scenario.link.delay_ns > 0 and not shared


class ShardBooks(Invariants):
    """The books of one shard: what it cannot know by itself is checked where all shards are merged.

    Parameters
    ----------
    mine : range
        The nodes of the shard.
    """

    def __init__(self, mine: range) -> None:
        super().__init__()
        self._mine = mine
        self.claims: list[records.Received] = []

    def claimed(self, record: records.Received) -> None:
        """Of a node of another shard it is checked later."""
        if record.peer in self._mine:
            super().claimed(record)
        else:
            self.claims.append(record)

    def in_flight(self) -> list[Place]:
        """None: messages that are still under way at the end are lost in the order of all shards."""
        return []

    def ended(self) -> None:
        """Nothing to do."""

    def left(self) -> list[tuple[Place, int, int, int]]:
        """The messages that are still under way: place, source, target, bytes."""
        return [(place, source, target, len(data)) for place, (source, target, data) in self._in_flight.items()]


class Merge:
    """The common order of the events of all shards.

    Parameters
    ----------
    shards : int >= 1
    """

    def __init__(self, shards: int) -> None:
        # The rank of each event of each shard, ascending.
        self._ranks = [array("q") for _ in range(shards)]
        self._next = 0

    def order(self, shard: int, event: Happened) -> tuple[int, int, int, int]:
        """What events are sorted by; equal for what all shards do, such as a change of settings."""
        at_ns, place = event
        return at_ns, *self.sent(shard, place)

    def sent(self, shard: int, place: Place) -> tuple[int, int, int]:
        """The same without the time: what messages are sorted by in the order in which they were sent."""
        number, rank, other, count = place
        if rank > START:
            return rank, other, count
        return (START, 0, count) if number == START else (self._ranks[shard][number], shard, count)

    def merged(self, happened: Sequence[Sequence[Happened]]) -> Iterator[tuple[int, int]]:
        """Shard and index of each event of a window, in order."""

        def ordered(shard: int) -> Iterator[tuple[tuple[int, int, int, int], int, int]]:
            # `heapq.merge` asks for an event when the one before it has its rank.
            for index, event in enumerate(happened[shard]):
                yield self.order(shard, event), shard, index

        last: tuple[int, int, int, int] | None = None
        for order, shard, index in heapq.merge(*map(ordered, range(len(happened)))):
            if order != last:
                last = order
                self._next += 1
            self._ranks[shard].append(self._next)
            yield shard, index

    def place_of(self, message: Abroad, source: int, target: int) -> Place:
        """The place of a message from shard ``source`` in shard ``target``, after all that happened was merged."""
        rank = self._ranks[source][message[1]]
        # What both shards did at once comes in the order of the shards.
        before = (bisect_left if source < target else bisect_right)(self._ranks[target], rank)
        return before + START, rank, source, message[2]


def lost_in_flight(
    merge: Merge, left: Sequence[Sequence[tuple[Place, int, int, int]]], at_ns: int
) -> Iterator[records.Lost]:
    """The records of messages that are still under way at the end, in the order in which they were sent."""
    everything = [(merge.sent(shard, each[0]), each[1:]) for shard, mine in enumerate(left) for each in mine]
    for _, (source, target, size) in sorted(everything):
        yield records.Lost(at_ns, source, target, "in flight", size)
