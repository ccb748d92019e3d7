"""Received prototypes that wait to be trained: one queue per peer, visited round robin."""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from protovine.errors import ConfigError, check_range
from protovine.prototypes import PrototypeSet
from protovine.records import TrainedRun
from protovine.share.codec import SetLimits, decode_set, encode_set
from protovine.share.queues import Bag, Stack

Order = Literal["lifo", "fifo", "random"]


class Batch(NamedTuple):
    """Prototypes to train, in order: float64 (k, d), int64 (k,), float64 (k,), int64 (k,), and their senders (k,).

    ``created_ns`` has when each sender made the message, ``fresh`` is false where the prototype was in a batch before.
    """

    x: NDArray[np.float64]
    label: NDArray[np.int64]
    weight: NDArray[np.float64]
    event_ns: NDArray[np.int64]
    origin: NDArray[np.int64]
    created_ns: NDArray[np.int64]
    fresh: NDArray[np.bool_]
    of_one: bool = False
    """All are new and of one message."""

    @classmethod
    def of_message(cls, source: PrototypeSet, at: slice, peer: int, created_ns: int) -> Batch:
        """The prototypes ``at`` of ``source``, which were in no batch before."""
        label = np.ascontiguousarray(source.label[at])
        whole = np.empty((2, len(label)), np.int64)
        whole[0], whole[1] = peer, created_ns
        return cls(
            np.ascontiguousarray(source.x[at], np.float64),
            label,
            np.ascontiguousarray(source.weight[at]),
            np.ascontiguousarray(source.event_ns[at]),
            whole[0],
            whole[1],
            np.ones(len(label), np.bool_),
            True,
        )

    def set(self, i: int, source: PrototypeSet, at: int, peer: int, created_ns: int) -> None:
        """Put the prototype at ``at`` of ``source`` into place ``i``."""
        self.x[i], self.label[i], self.weight[i] = source.x[at], source.label[at], source.weight[at]
        self.event_ns[i], self.origin[i], self.created_ns[i] = source.event_ns[at], peer, created_ns

    def set_many(self, i: int, source: PrototypeSet, at: slice, peer: int, created_ns: int) -> None:
        """Put the prototypes ``at`` of ``source`` into the places from ``i`` on."""
        label = source.label[at]
        to = slice(i, i + len(label))
        self.x[to], self.label[to], self.weight[to] = source.x[at], label, source.weight[at]
        self.event_ns[to], self.origin[to], self.created_ns[to] = source.event_ns[at], peer, created_ns

    def prototypes(self) -> PrototypeSet:
        """All of them as a set."""
        return PrototypeSet(self.x, self.label, self.weight, self.event_ns)

    def runs(self, first_ns: int, period_ns: int) -> tuple[TrainedRun, ...]:
        """The messages whose prototypes are trained every ``period_ns`` from ``first_ns`` on."""
        if self.of_one:
            peer, created_ns, n = int(self.origin[0]), int(self.created_ns[0]), len(self.origin)
            return (TrainedRun(peer, created_ns, first_ns, period_ns if n > 1 else 0, n, n),)
        runs: list[list[int]] = []
        # Of each peer the run that may go on: as in `TrainedRun`, with the last time.
        newest: dict[int, list[int]] = {}
        columns = (self.origin.tolist(), self.created_ns.tolist(), self.fresh.tolist())
        for at_ns, peer, created_ns, fresh in zip(itertools.count(first_ns, period_ns), *columns, strict=False):
            run = newest.get(peer)
            if run is not None and run[1] == created_ns and (run[4] == 1 or at_ns - run[6] == run[3]):
                run[3] = at_ns - run[6]
                run[4] += 1
                run[5] += fresh
                run[6] = at_ns
            else:
                newest[peer] = run = [peer, created_ns, at_ns, 0, 1, int(fresh), at_ns]
                runs.append(run)
        return tuple([TrainedRun(*run[:6]) for run in runs])


class Inbox(Protocol):
    """Queues of received prototypes."""

    def add(self, peer: int) -> None:
        """Add a peer that may send."""
        ...

    def put(self, peer: int, prototypes: PrototypeSet, created_ns: int) -> int:
        """Store a set that ``peer`` made at ``created_ns``, and return how many older prototypes it displaced."""
        ...

    def take(self, count: int) -> Batch:
        """Up to ``count`` prototypes to train now."""
        ...

    def discard(self, peer: int) -> int:
        """Forget what waits of ``peer``, and return how many prototypes that were."""
        ...

    def forget(self, peer: int, since_ns: int, until_ns: int) -> int:
        """Forget what waits of ``peer`` with event times in this range, and return how many prototypes that were."""
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
    peers : list of int
        Peers that may send; visited in ascending order.
    queue_max : int >= 1
        Capacity of one queue; a full queue drops its oldest prototypes. The paper uses 500,000 and 10,000.
    order : {"lifo", "fifo", "random"}
        Which prototype of a queue is next: the newest, the oldest, or any that waits.
    rng : numpy Generator, optional
        Draws the prototypes if the order is ``random``.

    Raises
    ------
    ConfigError
        ``queue_max`` is out of range, or the order ``random`` has no generator.

    Examples
    --------
    >>> inbox = QueueInbox(dim=1, peers=[1], order="lifo")
    >>> inbox.put(1, PrototypeSet.of([[0.1], [0.2]], [0, 1]), created_ns=5), inbox.take(1).x.tolist(), len(inbox)
    (0, [[0.2]], 1)
    """

    def __init__(
        self,
        dim: int,
        peers: list[int],
        queue_max: int = 500_000,
        order: Order = "lifo",
        rng: np.random.Generator | None = None,
    ) -> None:
        check_range("queue_max", queue_max, 1)
        if order == "random" and rng is None:
            raise ConfigError("the order 'random' needs a random generator")
        self.queue_max, self.order = queue_max, order
        self._dim, self._rng = dim, rng
        self._peers = sorted(peers)
        # The queues in which something waits, by the place of their peer, and these places, ascending.
        self._queues: dict[int, Stack | Bag] = {}
        self._busy: list[int] = []
        self._size = 0
        self._turn = 0

    def _new_queue(self) -> Stack | Bag:
        return Stack(self.order == "lifo") if self._rng is None or self.order != "random" else Bag(self._rng)

    def __len__(self) -> int:
        return self._size

    def add(self, peer: int) -> None:
        """Add a queue for ``peer``."""
        if self._find(peer) is None:
            place = bisect_left(self._peers, peer)
            self._peers.insert(place, peer)
            self._queues = {at + (at >= place): queue for at, queue in self._queues.items()}
            self._busy = [at + (at >= place) for at in self._busy]

    def put(self, peer: int, prototypes: PrototypeSet, created_ns: int) -> int:
        """Push a set, its last prototype on top; return how many older ones it displaced."""
        if not len(prototypes):
            return 0
        place = self._find(peer)
        if place is None:
            raise KeyError(peer)
        queue = self._queues.get(place)
        if queue is None:
            queue = self._queues[place] = self._new_queue()
            insort(self._busy, place)
        queue.push(prototypes, created_ns)
        dropped = max(0, queue.size - self.queue_max)
        queue.drop(dropped)
        self._size += len(prototypes) - dropped
        return dropped

    def take(self, count: int) -> Batch:
        """Remove and return ``count`` prototypes, one per queue in turn; fewer if the queues run empty."""
        count = min(count, self._size)
        whole = self._of_one_message(count)
        if whole is not None:
            return whole
        batch = _empty_batch(count, self._dim)
        taken = 0
        while taken < count:
            place = self._next()
            peer, queue = self._peers[place], self._queues[place]
            if len(self._busy) == 1 and isinstance(queue, Stack):  # Nobody else has a turn.
                source, at, created_ns = queue.pop_many(count - taken)
                batch.set_many(taken, source, at, peer, created_ns)
                taken += len(range(*at.indices(len(source))))
            else:
                source, one, created_ns = queue.pop()
                batch.set(taken, source, one, peer, created_ns)
                taken += 1
            if not queue.size:
                self._drop(place)
        self._size -= count
        return batch

    def _of_one_message(self, count: int) -> Batch | None:
        """``count`` prototypes if the next message of the only peer with a queue has as many: most often it is so."""
        if not count or len(self._busy) != 1:
            return None
        place = self._busy[0]
        queue = self._queues[place]
        if not isinstance(queue, Stack) or queue.in_next() < count:
            return None
        self._next()
        source, at, created_ns = queue.pop_many(count)
        batch = Batch.of_message(source, at, self._peers[place], created_ns)
        if not queue.size:
            self._drop(place)
        self._size -= count
        return batch

    def discard(self, peer: int) -> int:
        """Forget what waits of ``peer``, and return how many prototypes that were."""
        place = self._find(peer)
        if place is None or place not in self._queues:
            return 0
        size = self._queues[place].size
        self._drop(place)
        self._size -= size
        return size

    def forget(self, peer: int, since_ns: int, until_ns: int) -> int:
        """Forget what waits of ``peer`` with event times in this range, and return how many prototypes that were."""
        place = self._find(peer)
        if place is None or place not in self._queues:
            return 0
        waiting, before = self._queues[place].waiting(), self.discard(peer)
        for held, created_ns in waiting:
            self.put(peer, held.take(_outside(held, since_ns, until_ns)), created_ns)
        return before - (self._queues[place].size if place in self._queues else 0)

    def _find(self, peer: int) -> int | None:
        """The place of ``peer``; None if there is no queue for it."""
        place = bisect_left(self._peers, peer)
        return place if place < len(self._peers) and self._peers[place] == peer else None

    def _next(self) -> int:
        """The place of the next peer whose queue is not empty."""
        following = bisect_left(self._busy, self._turn)
        place = self._busy[following if following < len(self._busy) else 0]
        self._turn = (place + 1) % len(self._peers)
        return place

    def _drop(self, place: int) -> None:
        del self._queues[place]
        del self._busy[bisect_left(self._busy, place)]

    def state(self) -> dict[str, Any]:
        """All waiting prototypes."""
        return {
            "turn": self._turn,
            "rng": None if self._rng is None else self._rng.bit_generator.state,
            "queues": [
                [
                    self._peers[place],
                    [
                        [encode_set(waiting, "float64"), created_ns]
                        for waiting, created_ns in self._queues[place].waiting()
                    ],
                ]
                for place in self._busy
            ],
        }

    def restore(self, state: dict[str, Any], limits: SetLimits) -> None:
        """Continue with the prototypes of peers that are still known."""
        self._turn = int(state["turn"]) % max(1, len(self._peers))
        if self._rng is not None:
            self._rng.bit_generator.state = state["rng"]
        for peer, sets in state["queues"]:
            if self._find(peer) is not None:
                for data, created_ns in sets:
                    self.put(peer, decode_set(data, limits, peer), int(created_ns))


class SetInbox:
    """The newest set of each peer; `take` draws prototypes at random and does not remove them (test 4).

    Parameters
    ----------
    dim : int
    peers : list of int
        Peers that may send; visited in ascending order.
    rng : numpy Generator
        Draws the prototypes.

    Examples
    --------
    >>> inbox = SetInbox(dim=1, peers=[1], rng=np.random.default_rng(0))
    >>> inbox.put(1, PrototypeSet.of([[0.1]], [0]), created_ns=5), inbox.take(2).x.tolist(), len(inbox)
    (0, [[0.1], [0.1]], 1)
    """

    def __init__(self, dim: int, peers: list[int], rng: np.random.Generator) -> None:
        self._dim = dim
        self._peers = sorted(peers)
        # The newest set, when it was made, and which of its prototypes were drawn.
        self._sets: dict[int, tuple[PrototypeSet, int, NDArray[np.bool_]]] = {}
        self._turn = 0
        self._rng = rng

    def __len__(self) -> int:
        return sum(len(held) for held, *_ in self._sets.values())

    def add(self, peer: int) -> None:
        """Add a peer that may send."""
        if peer not in self._peers:
            self._peers = sorted([*self._peers, peer])

    def put(self, peer: int, prototypes: PrototypeSet, created_ns: int) -> int:
        """Replace the peer's set; return how many prototypes that removed."""
        replaced = self._sets.pop(peer, None)
        if len(prototypes):
            self._sets[peer] = prototypes, created_ns, np.zeros(len(prototypes), np.bool_)
        return len(replaced[0]) if replaced is not None else 0

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
            source, created_ns, drawn = self._sets[peer]
            at = int(draws[i] * len(source))
            batch.set(i, source, at, peer, created_ns)
            batch.fresh[i] = not drawn[at]
            drawn[at] = True
        return batch

    def discard(self, peer: int) -> int:
        """Forget the set of ``peer``, and return how many prototypes it had."""
        return self.put(peer, PrototypeSet.empty(self._dim), 0)

    def forget(self, peer: int, since_ns: int, until_ns: int) -> int:
        """Forget what ``peer`` has with event times in this range, and return how many prototypes that were."""
        if peer not in self._sets:
            return 0
        held, created_ns, drawn = self._sets.pop(peer)
        left = _outside(held, since_ns, until_ns)
        if len(left):
            self._sets[peer] = held.take(left), created_ns, drawn[left]
        return len(held) - len(left)

    def state(self) -> dict[str, Any]:
        """The sets and the random generator's state."""
        return {
            "turn": self._turn,
            "rng": self._rng.bit_generator.state,
            "sets": [
                [peer, encode_set(held, "float64"), created_ns, drawn.copy()]
                for peer, (held, created_ns, drawn) in sorted(self._sets.items())
            ],
        }

    def restore(self, state: dict[str, Any], limits: SetLimits) -> None:
        """Continue with the kept sets of peers that are still known."""
        self._turn = int(state["turn"]) % max(1, len(self._peers))
        self._rng.bit_generator.state = state["rng"]
        for peer, data, created_ns, drawn in state["sets"]:
            if peer in self._peers:
                held = decode_set(data, limits, peer)
                if len(drawn) != len(held):
                    raise ValueError(f"{len(drawn)} marks for {len(held)} prototypes")
                self._sets[peer] = held, int(created_ns), np.asarray(drawn, np.bool_)


def _outside(held: PrototypeSet, since_ns: int, until_ns: int) -> NDArray[np.int64]:
    """Places of the prototypes whose event times are not in this range."""
    return np.flatnonzero((held.event_ns < since_ns) | (held.event_ns > until_ns))


def _empty_batch(count: int, dim: int) -> Batch:
    whole = np.empty((4, count), np.int64)
    return Batch(
        np.empty((count, dim)), whole[0], np.empty(count), whole[1], whole[2], whole[3], np.ones(count, np.bool_)
    )
