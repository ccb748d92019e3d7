"""The event loop: one heap of events in integer nanoseconds.

Events of one nanosecond happen in the order in which they were scheduled. A simulator may have only a shard of the
nodes. Then `protovine.sim.shards` puts the events of all shards into the order that they have in one simulator.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from protovine import records, rng
from protovine.errors import LocalProtocolError, RemoteProtocolError
from protovine.gossip import EVERYONE
from protovine.node import Node, pump
from protovine.records import Record
from protovine.sim.clocks import in_true_time
from protovine.sim.devices import DeviceChange
from protovine.sim.faults import Attack, Crash, Cut, Drift, Join, Partition, Retune
from protovine.sim.invariants import Invariants, Place
from protovine.sim.medium import Frame, Medium, MediumEvents, Message
from protovine.sim.network import Network
from protovine.sim.scenario import Outcome, Scenario
from protovine.sim.streams import Streams

# The number of what is known at the start, among events.
START = -1
# A message to a node of another shard: when it arrives, the number of the event that sent it, the count of what was
# scheduled, source, target and bytes.
Abroad = tuple[int, int, int, int, int, bytes]
# What happened in a shard: when, and the place of the event among those of that time.
Happened = tuple[int, Place]
# Samples between two calls of the progress callback.
_PROGRESS_STEP = 50


class Simulator:
    """Drives nodes through a scenario in virtual time.

    `run` does it at once. To watch and to interfere, call `start`, `advance` until `done`, and `finish`; between two
    calls of `advance`, `act` and the calls beside it change what happens next.

    Parameters
    ----------
    scenario : Scenario
    make_node : callable (node, incarnation) -> Node
        Builds a node from nothing, at the start and after a crash that lost its state.
    record : callable
        Takes every trace record as it happens.
    progress : callable, optional
        Called regularly with the number of local samples that arrived since the last call.
    mine : range, optional
        The nodes of this shard of the swarm; all nodes by default. Messages to others wait in `take_abroad`.
    books : Invariants, optional
        Those of a shard.

    Raises
    ------
    InvariantError
        The system broke a promise; see `protovine.sim.invariants`.

    Examples
    --------
    >>> import numpy as np
    >>> from protovine.system import NodeContext, SystemSettings, build_node, resolve
    >>> def make_node(node: int, incarnation: int) -> Node:
    ...     context = NodeContext(node, [1 - node], dim=1, n_classes=2, draw=lambda name: rng.stream(0, name, node))
    ...     return build_node(resolve("paper-base", {}, SystemSettings), context)
    >>> x, y, rows = np.arange(8.0)[:, np.newaxis] % 2, np.arange(8) % 2, [np.arange(4), np.arange(4, 8)]
    >>> seen: list[Record] = []
    >>> outcome = Simulator(Scenario(x, y, rows, [np.arange(4) * 10**9] * 2), make_node, seen.append).run()
    >>> sum(isinstance(record, records.Learned) for record in seen), outcome.books.bytes_lost
    (8, 0)
    """

    def __init__(
        self,
        scenario: Scenario,
        make_node: Callable[[int, int], Node],
        record: Callable[[Record], None],
        progress: Callable[[int], None] | None = None,
        mine: range | None = None,
        books: Invariants | None = None,
    ) -> None:
        self.scenario = scenario
        self._mine = range(len(scenario.rows)) if mine is None else mine
        self._abroad: list[Abroad] = []
        self._make_node = make_node
        self._keep = record
        self._progress = progress or (lambda samples: None)
        n = len(scenario.rows)
        cuts = [fault for fault in scenario.faults if isinstance(fault, Cut)]
        cuts += [cut for fault in scenario.faults if isinstance(fault, Partition) for cut in fault.cuts(n)]
        self._network = Network(scenario.link, cuts, scenario.seed)
        self._books = books or Invariants()
        self._links = [list(peers) for peers in scenario.links]
        self._changes = iter(scenario.changes or ())
        self._medium: Medium | None = None
        if scenario.medium is not None:
            events = MediumEvents(self._at_on_air, self._aired, self._landed, self._dropped)
            self._medium = Medium(scenario.medium, self._links, events, scenario.seed, scenario.link.loss)
        self._nodes: list[Node | None] = [None] * n
        self._incarnations = [0] * n
        self._timers: list[int | None] = [None] * n
        self._snapshots: list[bytes | None] = [None] * n
        self._events: list[tuple[int, Place, Callable[..., None], tuple[Any, ...]]] = []
        self._number = START  # Of the event that happens, among those of this simulator.
        self._scheduled = 0
        self._now_ns = 0
        self.happened: list[Happened] | None = None
        self._arrived = 0
        self._left = sum(map(len, scenario.at_ns))
        self._streams = Streams(scenario.x, scenario.y, scenario.seed, scenario.measured)
        self._retunes: list[Retune] = []
        self._train_periods: dict[int, int] = {}  # As the settings say.
        self._speeds: dict[int, float] = {}
        drawn = rng.stream(scenario.seed, "labelled").random(len(scenario.y)) < scenario.labelled
        self._has_label = drawn & (scenario.y >= 0)

    def run(self, stopping: Callable[[], bool] = lambda: False) -> Outcome:
        """Run until the last local sample has arrived, or an event after which ``stopping`` is true."""
        self.start()
        while not self.done and not stopping():
            self._step()
        return self.finish()

    def start(self) -> None:
        """Start the nodes and schedule everything that is known in advance."""
        late = {fault.node: fault.at_ns for fault in self.scenario.faults if isinstance(fault, Join)}
        for node, at_ns in sorted(late.items()):
            self._at(at_ns, self._start, node)
        if self.scenario.owner is not None:
            self._streams.missed.update(late)
            late = {}
        for node in range(len(self._nodes)):
            if node in self._mine and node not in late:
                self._nodes[node] = self._made(node, 1)
                self._incarnations[node] = 1
        for change in self.scenario.devices:
            self._at(change.at_ns, self._change_device, change)
        for fault in self.scenario.faults:
            if isinstance(fault, Crash | Drift | Attack | Retune):
                self._at(fault.at_ns, self._begin, fault)
        for node, times in enumerate(self.scenario.at_ns):
            if len(times):
                self._at(int(times[0]), self._arrive, node, 0)
        if len(self._mine) < len(self._nodes):
            self._events = [event for event in self._events if event[2] == self._begin or event[3][0] in self._mine]
            heapq.heapify(self._events)
        self._await_change()

    @property
    def done(self) -> bool:
        """Whether the last local sample has arrived."""
        return self._arrived >= self._left

    @property
    def now_ns(self) -> int:
        """The time of the newest event."""
        return self._now_ns

    @property
    def next_ns(self) -> int:
        """The time of the next event; that of the newest one at the end."""
        return self._events[0][0] if self._events else self._now_ns

    @property
    def nodes(self) -> list[Node | None]:
        """The nodes as they are; None for one that is down."""
        return self._nodes

    def advance(self, until_ns: int) -> None:
        """Do everything that happens until ``until_ns`` inclusive, or until the last local sample."""
        while not self.done and self._events[0][0] <= until_ns:
            self._step()

    def act(self, fault: Crash | Cut | Drift | Attack | Retune) -> None:
        """Begin ``fault`` now, as if the scenario had it; ``fault.at_ns`` lies between the newest and the next event.

        Raises
        ------
        LocalProtocolError
            It does not: a run from a scenario with this fault could then order events otherwise.
        """
        self._move(fault.at_ns)
        if isinstance(fault, Cut):
            self._network.cut(fault)
        else:
            self._begin(fault)

    def mend(self, cut: Cut, at_ns: int) -> None:
        """End a cut of `act`, as if it had had this end."""
        self._move(at_ns)
        self._network.mend(cut, at_ns)

    def restart(self, node: int, at_ns: int) -> None:
        """Start a node that is down, as if its crash had had this end."""
        self._move(at_ns)
        self._start(node)

    def finish(self, at_ns: int | None = None) -> Outcome:
        """Let every node record its final state, and account for all messages; a shard is told when the run ended."""
        self._now_ns = self._now_ns if at_ns is None else at_ns
        self._progress(self._arrived % _PROGRESS_STEP)
        for node, member in enumerate(self._nodes):
            if member is not None:
                member.finish(self._shown(node))
                self._pass_on(node, member)
        for copy in self._books.in_flight():
            self._lose(copy, "in flight")
        self._books.ended()
        return Outcome(self._nodes, self._now_ns, self._books)

    def advance_shard(self, before_ns: int, one: bool) -> None:
        """Do everything that happens before ``before_ns``, or just ``one`` event."""
        while self._events and (one or self._events[0][0] < before_ns):
            self._step()
            if one:
                break

    @property
    def head(self) -> Happened | None:
        """Time and place of the next event."""
        return self._events[0][:2] if self._events else None

    @property
    def arrived(self) -> int:
        """Local samples that have arrived."""
        return self._arrived

    def take_abroad(self) -> list[Abroad]:
        """Messages to nodes of other shards since the last call."""
        taken, self._abroad = self._abroad, []
        return taken

    def take_in(self, at_ns: int, place: Place, source: int, target: int, data: bytes) -> None:
        """A message from another shard, whose place among the events of this one is known."""
        self._books.handed_over(place, source, target, data)
        heapq.heappush(self._events, (at_ns, place, self._deliver, (place, source, target, data)))

    def _step(self) -> None:
        self._now_ns, place, action, arguments = heapq.heappop(self._events)
        self._number += 1
        if self.happened is not None:
            self.happened.append((self._now_ns, place))
        action(*arguments)

    def _move(self, at_ns: int) -> None:
        if not self._now_ns < at_ns or (self._events and self._events[0][0] <= at_ns):
            raise LocalProtocolError(f"{at_ns} ns is not between two events")
        self._now_ns = at_ns

    def _next_place(self) -> Place:
        self._scheduled += 1
        return (self._number, START, 0, self._scheduled)

    def _at(self, at_ns: int, action: Callable[..., None], *arguments: object) -> None:
        heapq.heappush(self._events, (at_ns, self._next_place(), action, arguments))

    def _record(self, record: Record) -> None:
        self._books.record(record)
        self._keep(record)

    def _shown(self, node: int) -> int:
        """The time that a node's clock shows."""
        return self.scenario.clocks[node].shows(self._now_ns) if self.scenario.clocks else self._now_ns

    def _record_of_node(self, record: Record) -> None:
        """Keep a node's record, with true times instead of those of its clock."""
        self._record(in_true_time(record, self.scenario.clocks, self._now_ns))

    def _arrive(self, node: int, index: int) -> None:
        times, rows = self.scenario.at_ns[node], self.scenario.rows[node]
        if index + 1 < len(times):
            self._at(int(times[index + 1]), self._arrive, node, index + 1)
        self._arrived += 1
        if self._arrived % _PROGRESS_STEP == 0:
            self._progress(_PROGRESS_STEP)
        row = int(rows[index])
        owner = node if self.scenario.owner is None else int(self.scenario.owner[row])
        if owner in self._streams.missed:
            return
        x, truth = self._streams.sample(row, node, owner)
        member = self._nodes[node]
        if member is None:
            self._record(records.Missed(self._now_ns, node, row, truth))
            return
        self._record(records.Arrived(self._now_ns, node, row, truth))
        waits = self.scenario.label_delay_ns > 0 or not self._has_label[row]
        member.observe(x, None if waits else truth, now_ns=self._shown(node), sample_id=row)
        if waits and self._has_label[row]:
            self._at(self._now_ns + self.scenario.label_delay_ns, self._label, node, row, truth)
        self._settle(node, member)

    def _label(self, node: int, row: int, truth: int) -> None:
        member = self._nodes[node]
        if member is not None:
            member.label(row, truth, self._shown(node))
            self._settle(node, member)

    def _timer(self, node: int, due_ns: int) -> None:
        member = self._nodes[node]
        if member is None or self._timers[node] != due_ns:
            return
        self._timers[node] = None
        member.on_timer(self._shown(node))
        self._settle(node, member)

    def _settle(self, node: int, member: Node) -> None:
        """Send a node's messages, keep its records, and schedule its next timer."""
        self._pass_on(node, member)
        due_ns = member.next_timer_ns()
        if due_ns is not None and self.scenario.clocks:
            due_ns = self.scenario.clocks[node].when(due_ns)
        if due_ns is not None and (due_ns := max(due_ns, self._now_ns)) != self._timers[node]:
            self._timers[node] = due_ns
            self._at(due_ns, self._timer, node, due_ns)

    def _pass_on(self, node: int, member: Node) -> None:
        pump(member, partial(self._send, node), self._record_of_node if self.scenario.clocks else self._record)

    def _send(self, source: int, target: int, data: bytes) -> None:
        if self._medium is not None:
            copy = self._next_place()
            self._books.sent(copy, source, target, data, duplicate=False)
            if not self._medium.send(source, target, data, copy, self._now_ns):
                self._lose(copy, "too large")
            return
        if self.scenario.changes is not None and target not in self._links[source]:
            copy = self._next_place()
            self._books.sent(copy, source, target, data, duplicate=False)
            self._lose(copy, "out of range")
            return
        fate = self._network.send(source, target, len(data), self._now_ns)
        for index in range(max(1, len(fate.arrivals_ns))):
            copy = self._next_place()
            self._books.sent(copy, source, target, data, duplicate=index > 0)
            if fate.lost:
                self._lose(copy, fate.lost)
            elif target in self._mine:
                heapq.heappush(
                    self._events, (fate.arrivals_ns[index], copy, self._deliver, (copy, source, target, data))
                )
            else:
                self._books.sent_abroad(copy)
                self._abroad.append((fate.arrivals_ns[index], self._number, self._scheduled, source, target, data))

    def _at_on_air(self, at_ns: int, action: Callable[..., None], *arguments: object) -> None:
        self._at(at_ns, self._on_air, action, *arguments)

    def _on_air(self, action: Callable[..., None], *arguments: object) -> None:
        action(*arguments, self._now_ns)

    def _aired(self, frame: Frame) -> None:
        message, airtime_ns = frame.message, frame.end_ns - frame.start_ns
        size = message.frames[message.sent]
        self._record(records.Aired(self._now_ns, message.source, airtime_ns, size, frame.waited_ns))

    def _landed(self, message: Message, fates: list[tuple[int, str]]) -> None:
        source, data, copy = message.source, message.data, message.copy
        if not fates:
            self._lose(copy, "nobody in range")
            return
        if message.target == EVERYONE:
            self._books.aired(copy)
        for receiver, reason in fates:
            if message.target == EVERYONE:
                copy = self._next_place()
                self._books.sent(copy, source, receiver, data, duplicate=True)
            if self._network.is_cut(source, receiver, self._now_ns):
                reason = "cut"
            if reason:
                self._lose(copy, reason)
            else:
                self._at(self._now_ns + self.scenario.link.delay_ns, self._deliver, copy, source, receiver, data)

    def _dropped(self, message: Message, reason: str) -> None:
        self._lose(message.copy, reason)

    def _await_change(self) -> None:
        """Schedule the next change of the topology."""
        change = next(self._changes, None)
        if change is not None:
            self._at(change[0], self._relink, change[1])

    def _relink(self, links: list[list[int]]) -> None:
        """Others are in range now; a node learns of those that are new, as a transport reports a link that opens."""
        before, self._links = self._links, links
        if self._medium is not None:
            self._medium.relink(links)
        for node, member in enumerate(self._nodes):
            new = sorted(set(links[node]) - set(before[node]))
            if member is not None and new:
                self._meet(node, member, new)
                self._settle(node, member)
        self._await_change()

    def _meet(self, node: int, member: Node, peers: Iterable[int]) -> None:
        known = set(member.peers)
        for peer in peers:
            if peer in known:
                member.peer_reached(peer, self._shown(node))
            else:
                member.add_peer(peer, self._shown(node))

    def _deliver(self, copy: Place, source: int, target: int, data: bytes) -> None:
        member = self._nodes[target]
        if member is None:
            self._lose(copy, "node down")
            return
        self._books.delivered(copy, source, target, data)
        # The node counts the refusal and continues.
        with contextlib.suppress(RemoteProtocolError):
            member.receive(data, source, self._shown(target))
        self._settle(target, member)

    def _lose(self, copy: Place, reason: str) -> None:
        source, target, size = self._books.lost(copy)
        self._record(records.Lost(self._now_ns, source, target, reason, size))

    def _begin(self, fault: Crash | Drift | Attack | Retune) -> None:
        if isinstance(fault, Crash):
            self._crash(fault)
        elif isinstance(fault, Retune):
            self._retunes.append(fault)
            for node, member in enumerate(self._nodes):
                if member is not None:
                    self._retune(node, member, fault)
                    self._settle(node, member)
        else:
            self._streams.begin(fault)

    def _retune(self, node: int, member: Node, to: Retune) -> None:
        member.retune(self._shown(node), to.fanout, to.share_probability, to.budget_bytes_per_s)

    def _made(self, node: int, incarnation: int) -> Node:
        """A new node on its device as it is now."""
        member = self._make_node(node, incarnation)
        self._train_periods[node] = member.train_period_ns
        if node in self._speeds:
            self._set_speed(node, member)
        return member

    def _change_device(self, change: DeviceChange) -> None:
        if change.bandwidth_bytes_per_s is not None:
            self._network.limit(change.node, change.bandwidth_bytes_per_s)
        if change.speed is not None and change.speed != self._speeds.get(change.node, 1.0):
            self._speeds[change.node] = change.speed
            member = self._nodes[change.node]
            if member is not None:
                self._set_speed(change.node, member)
                self._settle(change.node, member)

    def _set_speed(self, node: int, member: Node) -> None:
        period_ns = max(1, round(self._train_periods[node] / self._speeds[node]))
        member.set_train_period(period_ns, self._shown(node))

    def _crash(self, fault: Crash) -> None:
        node = fault.node
        if self.scenario.owner is not None:
            self._streams.missed.add(node)
        elif (member := self._nodes[node]) is None:  # It is of another shard.
            return
        else:
            self._snapshots[node] = member.snapshot() if fault.keeps_state else None
            if self._medium is not None:
                self._medium.clear(node)
            self._nodes[node] = self._timers[node] = None
            self._record(records.Down(self._now_ns, node))
        if fault.restart_ns is not None:
            self._at(fault.restart_ns, self._start, node)

    def _start(self, node: int) -> None:
        if self.scenario.owner is not None:
            self._streams.missed.discard(node)
            return
        self._incarnations[node] += 1
        member = self._made(node, self._incarnations[node])
        if self.scenario.changes is not None:
            self._meet(node, member, sorted(set(self._links[node]) - set(member.peers)))
        snapshot = self._snapshots[node]
        if snapshot is not None:
            member.restore(snapshot, self._shown(node))
            self._incarnations[node] = member.incarnation
        else:
            self._books.forget(node)
        for retune in self._retunes:
            self._retune(node, member, retune)
        self._nodes[node] = member
        self._record(records.Up(self._now_ns, node, self._incarnations[node]))
        self._settle(node, member)
