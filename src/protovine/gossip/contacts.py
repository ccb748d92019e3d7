"""The peers of a node that shares a log: what it knows of each, and with whom something may be due.

A node of a large swarm meets few peers at a time. What it knows of a peer begins with the first message from or to it,
and a timer looks only at peers with whom something may be due.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from protovine.gossip.peer_log import TICK_NS, PeerLog

# Strangers that a node sends entries to at an opportunity, and probes at a tick: a swarm of thousands that starts at
# once, or a network that was down, is not flooded. While there are more strangers, it greets only these at a tick.
FIRST_CONTACTS, GREETED = 32, 8


class Contacts:
    """The neighbours of a node, and the state of those that it has been in contact with.

    Parameters
    ----------
    node : int
        The own id.
    peers : list of int
        Ids of the neighbours.

    Examples
    --------
    >>> contacts = Contacts(2, [1, 3, 4])
    >>> contacts.strangers(2), contacts.of(3).id, contacts.strangers(2)
    ([3, 4], 3, [4, 1])
    """

    def __init__(self, node: int, peers: list[int]) -> None:
        self.node, self.ids = node, sorted(peers)
        self._met: dict[int, PeerLog] = {}
        # Neighbours from the own id on that are met without a gap: no search for strangers looks at them again.
        self._passed = 0
        self._greeted_ns = -TICK_NS
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
    def n_strangers(self) -> int:
        """Neighbours that there was no contact with yet."""
        return len(self.ids) - len(self._met)

    def peek(self, peer: int) -> PeerLog:
        """What is known of a neighbour; nothing is kept of a stranger."""
        return self._met.get(peer) or PeerLog(peer)

    def of(self, peer: int) -> PeerLog:
        """What is known of a neighbour, from now on."""
        state = self._met.get(peer)
        if state is None:
            state = self._met[peer] = PeerLog(peer)
            self._doubtful.add(peer)
        return state

    def add(self, peer: int) -> None:
        """Add a neighbour."""
        if peer not in self:
            self.ids.insert(bisect_left(self.ids, peer), peer)
            self._passed = 0

    def strangers(self, count: int) -> list[int]:
        """The next ``count`` neighbours without contact, from the own id upwards and round: every node has others."""
        found: list[int] = []
        n, at = len(self.ids), self._passed
        if not self.n_strangers:
            return found
        first = bisect_right(self.ids, self.node)
        while at < n and len(found) < count:
            peer = self.ids[(first + at) % n]
            if peer not in self._met:
                found.append(peer)
            elif at == self._passed:
                self._passed += 1
            at += 1
        return found

    def greet(self, now_ns: int) -> None:
        """Make contact with strangers, with all if they are few, else with some at a tick: they are due for a probe."""
        left = self.n_strangers
        if left and (left <= FIRST_CONTACTS or now_ns >= self._greeted_ns + TICK_NS):
            self._greeted_ns = now_ns
            for peer in self.strangers(FIRST_CONTACTS if left <= FIRST_CONTACTS else GREETED):
                self.of(peer)

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
        self._looks.clear()
        self._owed.clear()
        for state in self.known():
            state.look_ns = None
            self.owe(state)
            self.watch(state)
