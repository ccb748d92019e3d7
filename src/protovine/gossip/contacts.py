"""The peers of a node that shares a log: whom it seeks out, what it knows of each, and with whom something may be due.

A node of a large swarm seeks out some of its neighbours, its partners, and a few at a time. It knows nothing of a peer
before the first message from or to it. A timer looks only at peers with whom something may be due.

Partners are what HyParView calls an active view (Leitão, Pereira and Rodrigues, DSN 2007). Here a node chooses the
neighbours whose pairs have the smallest numbers (rendezvous hashing, Thaler and Ravishankar, 1998). Both ends of a pair
compute the same number, so most choices are mutual, without any message.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from protovine.errors import check_range
from protovine.gossip.peer_log import TICK_NS, PeerLog
from protovine.records import SECOND_NS

# Strangers that a node sends entries to at an opportunity, and probes at a tick: a swarm of thousands that starts at
# once, or a network that was down, is not flooded. While it seeks out more, it greets only these at a tick.
FIRST_CONTACTS, GREETED = 32, 8
# A node whose partners have all gone seeks out one more after this time: most likely its own network is down.
ALONE_NS = 60 * SECOND_NS


class Contacts:
    """The neighbours of a node, and the state of those that it has been in contact with.

    Parameters
    ----------
    node : int
        The own id.
    peers : list of int
        Ids of the neighbours.
    partners : int >= 0
        How many of them the node seeks out; 0 is all. It also knows those that seek it out.

    Raises
    ------
    ConfigError
        ``partners`` is below 0.

    Examples
    --------
    >>> contacts = Contacts(2, [1, 3, 4])
    >>> contacts.strangers(2), contacts.of(3).id, contacts.strangers(2)
    ([3, 4], 3, [4, 1])
    >>> Contacts(0, list(range(1, 1000)), partners=4).wanted(now_ns=0)
    4
    """

    def __init__(self, node: int, peers: list[int], partners: int = 0) -> None:
        check_range("partners", partners, 0)
        self.node, self.ids, self.partners = node, sorted(peers), partners
        # Whether a stranger lacks nothing of this node's earlier incarnation.
        self.whole = True
        self._met: dict[int, PeerLog] = {}
        # Neighbours in the order in which they are sought out, and how many of them are met without a gap: no search
        # for strangers looks at these again.
        self._order: list[int] = []
        self._passed = 0
        self._greeted_ns = self._sought_ns = -TICK_NS
        # Peers that were not heard yet, or left messages unanswered.
        self._doubtful: set[int] = set()
        # When to look at a peer again, and when an acknowledgement is due; some are outdated.
        self._looks: list[tuple[int, int]] = []
        self._owed: list[tuple[int, int]] = []

    def __contains__(self, peer: int) -> bool:
        place = bisect_left(self.ids, peer)
        return place < len(self.ids) and self.ids[place] == peer

    def __iter__(self) -> Iterator[PeerLog]:
        """All neighbours, ascending; strangers as they would begin."""
        return (self.peek(peer) for peer in self.ids)

    def known(self) -> Iterable[PeerLog]:
        """Those that there was contact with, in the order of the first."""
        return self._met.values()

    @property
    def n_partners(self) -> int:
        """Number of peers that get each entry: those that the node knows, or at least those that it seeks out."""
        return max(len(self._met), self.partners) if self._chooses else len(self.ids)

    @property
    def _chooses(self) -> bool:
        return 0 < self.partners < len(self.ids)

    def wanted(self, now_ns: int) -> int:
        """How many strangers the node seeks out: until it has its number of partners, silent ones not counted."""
        left = len(self.ids) - len(self._met)
        if not left or not self._chooses:
            return left
        if self._met and len(self._doubtful) == len(self._met):
            return int(now_ns >= self._sought_ns + ALONE_NS)
        silent = sum(self._met[peer].silent(now_ns) for peer in self._doubtful)
        return max(0, min(left, self.partners + silent - len(self._met)))

    def peek(self, peer: int) -> PeerLog:
        """What is known of a neighbour; nothing is kept of a stranger."""
        return self._met.get(peer) or PeerLog(peer, whole=self.whole)

    def of(self, peer: int) -> PeerLog:
        """What is known of a neighbour, from now on."""
        state = self._met.get(peer)
        if state is None:
            state = self._met[peer] = PeerLog(peer, whole=self.whole)
            self._doubtful.add(peer)
        return state

    def seek(self, peer: int, now_ns: int) -> PeerLog:
        """As `of`, for a peer that the node writes to of its own accord."""
        if peer not in self._met:
            self._sought_ns = now_ns
        return self.of(peer)

    def returned(self, peer: int) -> PeerLog | None:
        """What is known of a neighbour that can be reached again; None of one that the node does not seek out."""
        return None if self._chooses and peer not in self._met else self.of(peer)

    def add(self, peer: int) -> None:
        """Add a neighbour."""
        if peer not in self:
            self.ids.insert(bisect_left(self.ids, peer), peer)
            self._order, self._passed = [], 0

    def strangers(self, count: int) -> list[int]:
        """The next ``count`` neighbours without contact, in the order in which this node seeks them out."""
        found: list[int] = []
        if len(self.ids) == len(self._met):
            return found
        self._order = self._order or self._ordered()
        at = self._passed
        while at < len(self._order) and len(found) < count:
            peer = self._order[at]
            if peer not in self._met:
                found.append(peer)
            elif at == self._passed:
                self._passed += 1
            at += 1
        return found

    def _ordered(self) -> list[int]:
        """From the own id upwards and round, so that every node begins with others; partners by the pairs' numbers."""
        if self._chooses:
            drawn = pair_numbers(self.node, np.array(self.ids, np.uint64))
            return [self.ids[at] for at in np.argsort(drawn, kind="stable").tolist()]
        first = bisect_right(self.ids, self.node)
        return self.ids[first:] + self.ids[:first]

    def greet(self, now_ns: int) -> None:
        """Make contact with strangers, with all if they are few, else with some at a tick: they are due for a probe."""
        wanted = self.wanted(now_ns)
        if wanted and (wanted <= FIRST_CONTACTS or now_ns >= self._greeted_ns + TICK_NS):
            self._greeted_ns = now_ns
            for peer in self.strangers(wanted if wanted <= FIRST_CONTACTS else GREETED):
                self.seek(peer, now_ns)

    def note_heard(self, state: PeerLog) -> None:
        """A peer is there."""
        self._doubtful.discard(state.id)
        self.watch(state)

    def doubt(self, state: PeerLog) -> None:
        """A peer may not be there."""
        self._doubtful.add(state.id)

    def doubtful(self, now_ns: int) -> list[PeerLog]:
        """Peers that get probes now or later: those that were never heard, and those that are silent."""
        found = [self._met[peer] for peer in self._doubtful]
        return [state for state in found if state.heard_ns is None or state.silent(now_ns)]

    def owe(self, state: PeerLog) -> None:
        """An acknowledgement is due to a peer at its ``owed_ns``."""
        if state.owed_ns is not None:
            heapq.heappush(self._owed, (state.owed_ns, state.id))
            self.look(state, state.owed_ns)

    def plans(self, now_ns: int) -> list[int]:
        """When probes are due, and the first acknowledgement."""
        while self._owed and self._met[self._owed[0][1]].owed_ns != self._owed[0][0]:
            heapq.heappop(self._owed)
        owed = [at_ns for at_ns, _ in self._owed[:1]]
        return [state.probe_ns for state in self.doubtful(now_ns)] + owed

    def look(self, state: PeerLog, at_ns: int) -> None:
        """Something may be due with a peer from ``at_ns`` on."""
        if state.look_ns is None or at_ns < state.look_ns:
            state.look_ns = at_ns
            heapq.heappush(self._looks, (at_ns, state.id))

    def watch(self, state: PeerLog) -> None:
        """Look at a peer when the first message to it is overdue, and when an acknowledgement is due."""
        overdue_ns = state.first_overdue_ns()
        if overdue_ns is not None:
            self.look(state, overdue_ns)
        if state.owed_ns is not None:
            self.look(state, state.owed_ns)

    def due(self, now_ns: int) -> list[PeerLog]:
        """Peers with whom something may be due, ascending; each must be given to `watch` again."""
        found = {state.id for state in self.doubtful(now_ns) if now_ns >= state.probe_ns}
        while self._looks and self._looks[0][0] <= now_ns:
            at_ns, peer = heapq.heappop(self._looks)
            state = self._met[peer]
            if state.look_ns == at_ns:
                state.look_ns = None
                found.add(peer)
        return [self._met[peer] for peer in sorted(found)]

    def shift(self, by_ns: int) -> None:
        """The clock was set, and the times of all peers have moved."""
        self._greeted_ns += by_ns
        self._sought_ns += by_ns
        self._looks.clear()
        self._owed.clear()
        for state in self.known():
            state.look_ns = None
            self.owe(state)
            self.watch(state)


def pair_numbers(node: int, others: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A number for each pair of ``node`` and one of ``others``, the same from both ends; as good as random.

    The finaliser is splitmix64's (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).

    Parameters
    ----------
    node : int
    others : array of shape (n,)

    Returns
    -------
    array of shape (n,)

    Examples
    --------
    >>> pair_numbers(3, np.array([7], np.uint64)) == pair_numbers(7, np.array([3], np.uint64))
    array([ True])
    """
    own = np.full_like(others, node)
    mixed = np.minimum(own, others) * np.uint64(0x9E3779B97F4A7C15) + np.maximum(own, others)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
