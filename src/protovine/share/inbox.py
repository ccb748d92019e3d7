"""Received prototypes that wait to be trained: one queue per peer, visited round robin."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from protovine.errors import check_range
from protovine.prototypes import PrototypeSet
from protovine.share.codec import SetLimits, decode_set, encode_set


class Batch(NamedTuple):
    """Prototypes to train, in order: float64 (k, d), int64 (k,), float64 (k,), int64 (k,), and their senders (k,)."""

    x: NDArray[np.float64]
    label: NDArray[np.int64]
    weight: NDArray[np.float64]
    event_ns: NDArray[np.int64]
    origin: NDArray[np.int64]

    def set(self, i: int, source: PrototypeSet, at: int, peer: int) -> None:
        """Put the prototype at ``at`` of ``source`` into place ``i``."""
        self.x[i], self.label[i], self.weight[i] = source.x[at], source.label[at], source.weight[at]
        self.event_ns[i], self.origin[i] = source.event_ns[at], peer

    def prototypes(self) -> PrototypeSet:
        """All of them as a set."""
        return PrototypeSet(self.x, self.label, self.weight, self.event_ns)


class Inbox(Protocol):
    """Queues of received prototypes."""

    def add(self, peer: int) -> None:
        """Add a peer that may send."""
        ...

    def put(self, peer: int, prototypes: PrototypeSet) -> int:
        """Store a set from ``peer`` and return how many older prototypes it displaced."""
        ...

    def take(self, count: int) -> Batch:
        """Up to ``count`` prototypes to train now."""
        ...

    def __len__(self) -> int:
        """Prototypes waiting."""
        ...

    def state(self) -> dict[str, Any]:
        """State for a restart."""
        ...

    def restore(self, state: dict[str, Any], limits: SetLimits) -> None:
        """Continue from ``state``."""
        ...


class QueueInbox:
    """One queue of single prototypes per peer; `take` removes them. Tests 1 to 3 of the paper use last in, first out.

    Parameters
    ----------
    dim : int
        Number of features.
    peers : list of int
        Peers that may send; visited in ascending order.
    queue_max : int >= 1
        Capacity of one queue; a full queue drops its oldest prototypes. The paper uses 500,000 and 10,000.
    newest_first : bool
        Otherwise first in first out.
    """

    def __init__(self, dim: int, peers: list[int], queue_max: int = 500_000, newest_first: bool = True) -> None:
        check_range("queue_max", queue_max, 1)
        self.queue_max, self.newest_first = queue_max, newest_first
        self._dim = dim
        self._peers = sorted(peers)
        # Entries are [set, first, end): prototypes first..end-1 still wait.
        self._stacks: dict[int, deque[list[Any]]] = {peer: deque() for peer in self._peers}
        self._sizes = dict.fromkeys(self._peers, 0)
        self._size = 0
        self._turn = 0

    def __len__(self) -> int:
        return self._size

    def add(self, peer: int) -> None:
        """Add a queue for ``peer``."""
        if peer not in self._stacks:
            self._peers = sorted([*self._peers, peer])
            self._stacks[peer], self._sizes[peer] = deque(), 0

    def put(self, peer: int, prototypes: PrototypeSet) -> int:
        """Push a set, its last prototype on top; return how many older ones it displaced."""
        if not len(prototypes):
            return 0
        stack = self._stacks[peer]
        stack.append([prototypes, 0, len(prototypes)])
        self._sizes[peer] += len(prototypes)
        dropped = surplus = max(0, self._sizes[peer] - self.queue_max)
        while surplus:
            oldest = stack[0]
            cut = min(surplus, oldest[2] - oldest[1])
            oldest[1] += cut
            surplus -= cut
            if oldest[1] == oldest[2]:
                stack.popleft()
        self._sizes[peer] -= dropped
        self._size += len(prototypes) - dropped
        return dropped

    def take(self, count: int) -> Batch:
        """Remove and return ``count`` prototypes, one per queue in turn; fewer if the queues run empty."""
        count = min(count, self._size)
        batch = _empty_batch(count, self._dim)
        for i in range(count):
            peer = self._next_peer()
            stack = self._stacks[peer]
            entry = stack[-1 if self.newest_first else 0]
            source, first, end = entry
            if self.newest_first:
                at = entry[2] = end - 1
            else:
                at, entry[1] = first, first + 1
            batch.set(i, source, at, peer)
            self._sizes[peer] -= 1
            if end - first == 1:
                stack.pop() if self.newest_first else stack.popleft()
        self._size -= count
        return batch

    def _next_peer(self) -> int:
        while True:
            peer = self._peers[self._turn]
            self._turn = (self._turn + 1) % len(self._peers)
            if self._sizes[peer]:
                return peer

    def state(self) -> dict[str, Any]:
        """All waiting prototypes."""
        return {
            "turn": self._turn,
            "queues": [
                [peer, [encode_set(s.take(np.arange(a, b)), "float64") for s, a, b in self._stacks[peer]]]
                for peer in self._peers
            ],
        }

    def restore(self, state: dict[str, Any], limits: SetLimits) -> None:
        """Continue with the prototypes of peers that are still known."""
        self._turn = int(state["turn"]) % max(1, len(self._peers))
        for peer, sets in state["queues"]:
            if peer in self._stacks:
                for data in sets:
                    self.put(peer, decode_set(data, limits, peer))


class SetInbox:
    """The newest set of each peer; `take` draws prototypes at random and does not remove them (test 4).

    Parameters
    ----------
    dim : int
        Number of features.
    peers : list of int
        Peers that may send; visited in ascending order.
    rng : numpy Generator
        Draws the prototypes.
    """

    def __init__(self, dim: int, peers: list[int], rng: np.random.Generator) -> None:
        self._dim = dim
        self._peers = sorted(peers)
        self._sets: dict[int, PrototypeSet] = {}
        self._turn = 0
        self._rng = rng

    def __len__(self) -> int:
        return sum(len(held) for held in self._sets.values())

    def add(self, peer: int) -> None:
        """Add a peer that may send."""
        if peer not in self._peers:
            self._peers = sorted([*self._peers, peer])

    def put(self, peer: int, prototypes: PrototypeSet) -> int:
        """Replace the peer's set; return how many prototypes that removed."""
        replaced = self._sets.pop(peer, None)
        if len(prototypes):
            self._sets[peer] = prototypes
        return len(replaced) if replaced is not None else 0

    def take(self, count: int) -> Batch:
        """Draw ``count`` prototypes from the peers' sets in turn; none before the first set is received."""
        if not self._sets:
            return _empty_batch(0, self._dim)
        batch = _empty_batch(count, self._dim)
        draws = self._rng.random(count)
        for i in range(count):
            while (peer := self._peers[self._turn]) not in self._sets:
                self._turn = (self._turn + 1) % len(self._peers)
            self._turn = (self._turn + 1) % len(self._peers)
            source = self._sets[peer]
            batch.set(i, source, int(draws[i] * len(source)), self._peers[self._turn - 1])
        return batch

    def state(self) -> dict[str, Any]:
        """The sets and the random generator's state."""
        return {
            "turn": self._turn,
            "rng": self._rng.bit_generator.state,
            "sets": [[peer, encode_set(self._sets[peer], "float64")] for peer in sorted(self._sets)],
        }

    def restore(self, state: dict[str, Any], limits: SetLimits) -> None:
        """Continue with the kept sets of peers that are still known."""
        self._turn = int(state["turn"]) % max(1, len(self._peers))
        self._rng.bit_generator.state = state["rng"]
        for peer, data in state["sets"]:
            if peer in self._peers:
                self._sets[peer] = decode_set(data, limits, peer)


def _empty_batch(count: int, dim: int) -> Batch:
    whole = np.empty((3, count), np.int64)
    return Batch(np.empty((count, dim)), whole[0], np.empty(count), whole[1], whole[2])
