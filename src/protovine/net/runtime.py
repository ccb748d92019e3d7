"""One member as a process: a node driven by the clock, its source and its peers; the counterpart of the simulator.

One asyncio loop calls the node, the envelope, the roster and the inbound queue, so these need no locks; only the queue
is also filled from threads of the transport.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from protovine.errors import (
    ImpostorError,
    LocalProtocolError,
    OwnNameError,
    RemoteProtocolError,
    StaleHelloError,
    UnreadableError,
)
from protovine.gossip import EVERYONE, UNSENT, kind_name
from protovine.net.broadcasting import Broadcasting
from protovine.net.causes import Causes, log_cause
from protovine.net.claim import SHARED, Claim, ClaimAction
from protovine.net.clock import Clock
from protovine.net.inbound import HelloFrom, Inbound, InboundLimits, Message, Refusal, Word
from protovine.net.refusals import Refusals
from protovine.net.reopening import Reopening
from protovine.net.roster import Order, Roster, RosterTiming
from protovine.net.samples import AwaitLimits, EventLike, LocalSamples, SamplePrediction
from protovine.net.security.base import EnvelopeLike
from protovine.net.security.hello import Member
from protovine.net.security.identity import Identity, Trust
from protovine.net.snapshots import Snapshots
from protovine.net.states import Action
from protovine.net.status import ControlLike, SinkLike, SourceLike, status
from protovine.net.store import Store
from protovine.net.tally import HELLO, PeerGroup, PeerKey, Tally
from protovine.net.tasks import end_all
from protovine.net.transport import Channel, Transport
from protovine.net.trusting import Trusting
from protovine.node import Node, pump
from protovine.records import SECOND_NS, Received, Record

_log = logging.getLogger("protovine")

# Messages handled before the loop's other work gets its turn.
_INBOUND_STEP = 200


class Runtime:
    """Drives a node until its source ends or it is stopped.

    Parameters
    ----------
    node : Node
        Freshly built, or restored.
    envelope : EnvelopeLike
        Of the node's incarnation.
    transport : Transport
        Not yet open.
    store : Store or None
        Keeps snapshots.
    snapshot_s : float
        Seconds between snapshots.
    about : dict, optional
        What snapshots say of the node.
    record : callable (Record) -> None
        Takes every trace record.
    neighbours : frozenset of int or None
        Members to talk to; all that say hello, if None.
    clock : Clock
    timing, limits : RosterTiming, InboundLimits
        When to ask for peers, and how much to take from them.
    awaiting : AwaitLimits
        How many samples may wait for their labels.
    broadcasts : bool
        Whether the node sends messages to all at once.
    """

    def __init__(
        self,
        node: Node,
        envelope: EnvelopeLike,
        transport: Transport,
        *,
        store: Store | None = None,
        snapshot_s: float = 30.0,
        about: dict[str, Any] | None = None,
        record: Callable[[Record], None] = lambda record: None,
        neighbours: frozenset[int] | None = None,
        clock: Clock | None = None,
        timing: RosterTiming | None = None,
        limits: InboundLimits | None = None,
        awaiting: AwaitLimits | None = None,
        broadcasts: bool = False,
    ) -> None:
        self.node, self.envelope, self.transport, self.neighbours = node, envelope, transport, neighbours
        self.clock = clock or Clock()
        self.started_ns = self._began_ns = 0
        self.source: SourceLike | None = None  # Set by the code that feeds the runtime, as the next two.
        self.sink: SinkLike | None = None
        self.control: ControlLike | None = None
        self.feeding = False  # Whether samples are being taken from the source.
        self.source_ended = False  # Whether it came to its end, and the node goes on without one.
        self.tally = Tally(causes=Causes(log_cause))
        for peer, view in node.views.items():
            self.tally.latency.expect(peer, view.created_ns)
        now_ns = self.clock.steady()
        expected = 1 if neighbours is None else len(neighbours)
        self.roster = Roster(expected, random.Random(node.id).random, timing or RosterTiming(), now_ns, neighbours)
        self.inbound = Inbound(envelope, self.tally, limits or InboundLimits(), neighbours, now_ns)
        self.samples = LocalSamples(node, self.tally, awaiting)
        self.claim = Claim(node.incarnation, now_ns)
        self.snapshots = Snapshots(store, self.state, self.clock.steady, self.tally, snapshot_s)
        self._about = about or {}
        self.trusting = Trusting(envelope, self.roster, node, transport, self.tally, now_ns)
        self.broadcasting = Broadcasting(
            envelope, self.roster, transport, self.tally, lambda: broadcasts and not self.claim.stands_by, now_ns
        )
        self.trusting.quiet = lambda: self.claim.stands_by
        self.trusting.forgot, self.trusting.renewed = self.snapshots.request, self.broadcasting.hand_keys
        self._keep_record = record
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()
        self._bug: BaseException | None = None
        self.joined = False  # Whether the network was open once.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_key: tuple[int | None, ...] = ()
        self._inbound_lock, self._draining = threading.Lock(), False
        self.refusals = Refusals(self.tally, lambda peer: peer in self.roster.peers, self._soon)
        self._reopening = Reopening(transport.reopen, self._tasks, self._reopened)
        self.broadcasting.rejoin = Reopening(transport.rejoin, self._tasks, lambda opened: None).start

    def now_ns(self) -> int:
        """The node's time, after it has followed what the system's clock did; in the loop only."""
        now_ns = self.clock()
        jump = self.clock.take_jump()
        if jump is not None:
            self.node.shift(jump.by_ns, jump.since_ns, now_ns)
            self.started_ns += jump.by_ns
            self.tally.clock_jumps += 1
            _log.warning("%s", jump, extra={"reason": "clock"})
            self.roster.ask_again(self.clock.steady())  # Hellos and certificates may be good now.
        return max(now_ns, self.node.now_ns)

    # -- Running. ------------------------------------------------------------------------------------------------------

    async def run(self, feed: Callable[[], Awaitable[None]] | None = None, *, keep_on: bool = False) -> None:
        """Join the swarm, call ``feed``, which brings samples through `take`, and leave in order when it returns.

        Without one, or with ``keep_on``, only `stop` ends it.
        """
        self._loop = asyncio.get_running_loop()
        self.started_ns, self._began_ns = self.now_ns(), self.clock.steady()
        self.trusting.deny()
        self.transport.open(self._deliver, self._link_changed, lambda: msgspec.json.encode(self.status()))
        self.joined = True
        if self.snapshots.store is not None:
            self._tasks.append(asyncio.ensure_future(self.snapshots.keep()))
        feeding = asyncio.ensure_future(feed()) if feed is not None else None
        stopping = asyncio.ensure_future(self._stopped.wait())
        others: list[asyncio.Future[Any]] = [stopping, *([feeding] if feeding is not None else [])]
        try:
            self._settle()
            waiting = {*others, *self._tasks}
            while not stopping.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # A bug must show.
                if feeding is not None and feeding.done() and not keep_on:
                    break
            if self._bug is not None:
                raise self._bug
        finally:
            await end_all(others, self._tasks)
            self._leave()
        if feeding is not None and feeding.done() and not feeding.cancelled():
            feeding.result()  # A source or sink may fail while it is closed.

    def stop(self) -> None:
        """End `run` soon; from the loop's thread."""
        self._stopped.set()

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._inbound_lock:
            self.inbound.close()  # The transport may deliver until it is closed, and the tape is not open for longer.
        try:
            self.node.finish(self.now_ns())
            pump(self.node, self._send, self._record)
            if self.snapshots.store is not None:
                self.snapshots.save_last()
        finally:
            self.transport.close()  # Its threads would keep the process alive after a bug.

    def take(self, event: EventLike, number: int | None = None) -> SamplePrediction | None:
        """The prediction of a sample, which is then learnt; None for a late label. As `LocalSamples.take`."""
        began_s = time.perf_counter()
        predicted = self.samples.take(event, self.now_ns(), number, self.clock.steady())
        if predicted is not None:
            self.tally.predicting.add(time.perf_counter() - began_s)
        self._settle()
        return predicted

    def act(self, change: Callable[[int], object]) -> None:
        """Call ``change`` with the time, and carry out what follows; from the loop's thread."""
        change(self.now_ns())
        self._settle()

    def run_due(self) -> None:
        """Do what is due by the clock. The loop calls it; with a clock faster than the loop's, call it too."""
        now_ns, steady_ns = self.now_ns(), self.clock.steady()
        due_ns = self.node.next_timer_ns()
        if due_ns is not None and due_ns <= now_ns:
            self.node.on_timer(now_ns)
        self.roster.on_timer(steady_ns)
        self._act(self.claim.on_timer(steady_ns))
        self.trusting.on_timer(steady_ns)
        self.broadcasting.on_timer(steady_ns)
        self._settle()

    def _settle(self) -> None:
        """Carry out what the roster and the node want done, and set the next timer."""
        self._carry_out()
        pump(self.node, self._send, self._record)
        steady_timers = self.roster.next_timer_ns(), self.claim.next_timer_ns(), self.trusting.next_timer_ns()
        key = *steady_timers, self.node.next_timer_ns()
        if key != self._timer_key or self._timer is None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_key = None, key
            if self._loop is not None:
                *steady, node_due_ns = key
                due_ns = min(at_ns for at_ns in steady if at_ns is not None) - self.clock.steady()
                if node_due_ns is not None:
                    due_ns = min(due_ns, node_due_ns - self.now_ns())
                self._timer = self._loop.call_later(max(0.0, due_ns / SECOND_NS), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        with self._bug_ends_run():
            self.run_due()

    @contextlib.contextmanager
    def _bug_ends_run(self) -> Iterator[None]:
        """A bug in what the loop calls ends `run`, where asyncio would only log it."""
        try:
            yield
        except Exception as error:
            self._bug = self._bug or error
            self._stopped.set()

    def _soon(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call it in the loop; from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop is closed.
                self._loop.call_soon_threadsafe(call, *arguments)

    def _record(self, record: Record) -> None:
        if isinstance(record, Received):
            self.tally.count_accepted(record)
        self._keep_record(record)

    # -- Messages. -----------------------------------------------------------------------------------------------------

    def _send(self, peer: int, data: bytes) -> None:
        if self.claim.stands_by:
            return
        if peer == EVERYONE:
            self.broadcasting.send(data)
            return
        if peer not in self.roster.peers or peer in self.inbound.cut:
            return  # Known from a snapshot, but it has not said hello yet; gossip repeats the message then.
        try:
            sealed = self.envelope.seal(peer, data)
        except LocalProtocolError as error:
            self.refusals.log_once(peer, "seal", f"nothing can be sent to {self.tally.name(peer)} any more: {error}")
            return
        self.tally.count_sent(peer, kind_name(data), len(sealed))
        self.transport.send(peer, sealed)

    def _deliver(self, channel: Channel, data: bytes) -> None:
        """From any thread."""
        with self._inbound_lock:
            if not self.inbound.put(channel, data):
                return
            wake, self._draining = not self._draining, True
        if wake:
            self._soon(self._drain_inbound)

    def _drain_inbound(self) -> None:
        with self._bug_ends_run():
            self._read_inbound()
            self._settle()
        with self._inbound_lock:
            self._draining = self.inbound.waiting[0] > 0
        if self._draining and self._loop is not None:
            self._loop.call_soon(self._drain_inbound)

    def _read_inbound(self) -> None:
        for _ in range(_INBOUND_STEP):
            with self._inbound_lock:
                found = self.inbound.take()
            if found is None:
                break
            try:
                self._handle(*found)
            except Exception:
                # A bug of ours. A sender that finds it must not be able to end every node, so it is logged and counted.
                self.tally.bugs += 1
                if self.tally.bugs == 1:
                    _log.exception("a message was left out because of a bug")

    def _handle(self, channel: Channel, data: bytes) -> None:
        if self.claim.stands_by and channel in (Channel.MESSAGE, Channel.BROADCAST):
            return  # It is for the process that has the name.
        now_ns, steady_ns = self.now_ns(), self.clock.steady()
        found = self.inbound.open(channel, data, steady_ns, now_ns)
        if isinstance(found, Word):
            try:
                self.trusting.take(found.data, now_ns, steady_ns, found.peer)
            except RemoteProtocolError as error:
                self.refusals.add(found.peer, error)
        elif isinstance(found, Message):
            try:
                self.node.receive(found.payload, found.peer, now_ns)
            except RemoteProtocolError as error:
                self.refusals.add(found.peer, error)
                if error.reason == UNSENT:  # It may know an earlier start of this node.
                    self.roster.unreadable(found.peer, steady_ns)
                    self._carry_out()
                return
            if channel is Channel.BROADCAST:
                self.broadcasting.heard(found.peer)  # It does not say that a link is open.
            else:
                self.claim.accepted = True
                self.roster.message(found.peer, steady_ns)
        elif isinstance(found, HelloFrom):
            self.roster.hello(found.member, found.asks, steady_ns)
        elif isinstance(found, Refusal):
            self._refused(found, channel, steady_ns)
        self._carry_out()

    def _refused(self, found: Refusal, channel: Channel, steady_ns: int) -> None:
        """Count what was refused, and find out whether a process has started again or runs twice."""
        error = found.error
        if isinstance(error, OwnNameError):
            self.tally.refused[PeerGroup.UNKNOWN, error.reason] += 1
            was_shared = self.claim.shared(steady_ns)
            self._act(self.claim.heard(error, self.envelope.public, steady_ns))
            if self.claim.shared(steady_ns) and not was_shared:
                _log.error("%s", SHARED, extra={"reason": error.reason})
            return
        self.refusals.add(found.peer, error)
        if channel is Channel.BROADCAST and not self.broadcasting.may_ask(error, steady_ns):
            return
        if isinstance(error, UnreadableError):
            self.roster.unreadable(error.sender, steady_ns)
        elif isinstance(error, StaleHelloError | ImpostorError):
            self.roster.stale(error.sender, steady_ns)

    def _act(self, actions: list[ClaimAction]) -> None:
        """Do what the claim to this name asks for."""
        for action in actions:
            if action is ClaimAction.RAISE:
                self._raise_to(self.claim.wanted)
            elif action is ClaimAction.STAND_BY:
                text = "a later start of this node is known, incarnation %d: standing by until it is silent"
                _log.warning(text, self.claim.wanted, extra={"reason": "twice"})
            else:
                self.transport.send_hello(self.node.id, self.envelope.hello(self.now_ns(), fresh=True), True)

    def _raise_to(self, incarnation: int) -> None:
        """Go on as a later incarnation, because peers know one that is as late as this."""
        extra = {"incarnation": incarnation}
        _log.info("peers know an earlier start of this node: going on as incarnation %d", incarnation, extra=extra)
        self.node.rejoin(incarnation, self.now_ns())
        self.envelope.raise_to(incarnation)
        if self.snapshots.store is not None:
            self.snapshots.store.raise_to(incarnation)
        self.roster.raised(self.clock.steady())

    # -- Peers. --------------------------------------------------------------------------------------------------------

    def _link_changed(self, peer: int, open: bool) -> None:
        """From any thread."""
        self._soon(self._link, peer, open)

    def _link(self, peer: int, open: bool) -> None:
        with self._bug_ends_run():
            self.roster.link(peer, open, self.clock.steady())
            self._settle()

    def _carry_out(self) -> None:
        """Do what the roster orders."""
        for order in self.roster.drain():
            self._do(order)
        self.trusting.send()

    def _do(self, order: Order) -> None:
        action, peers = order.action, order.peers
        if self.claim.stands_by and action in (Action.ASK, Action.REPLY, Action.ASK_ALL):
            return
        if action is Action.ADD:
            known = self.roster.peers[peers[0]]
            self.tally.names[peers[0]] = known.name
            _log.info("met %s", known.name, extra={"peer": known.name, "incarnation": known.incarnation})
            self.node.add_peer(peers[0], self.now_ns())
        elif action is Action.REPEAT:
            self.node.peer_reached(peers[0], self.now_ns())
            self.trusting.met(peers[0])
            self.broadcasting.hand_key(peers[0])
        elif action is Action.ASK or action is Action.REPLY:
            self._send_hello(peers[0], ask=action is Action.ASK)
            if self.broadcasting.hand_key(peers[0]) and self.broadcasting.may_tell(self.clock.steady()):
                self.node.peer_reached(peers[0], self.now_ns())  # It may have missed what was sent to all.
        elif action is Action.ASK_ALL:
            self._send_hello(None, ask=True)
        elif action is Action.RETURN:
            hello = self.envelope.known_hello(peers[0])
            if hello is not None:
                self.tally.count_sent(peers[0], HELLO, len(hello))
                self.transport.send_hello(peers[0], hello, False)
        elif action is Action.REPORT_LOSS:
            name = self.tally.name(peers[0])
            _log.info("lost the link to %s", name, extra={"peer": name})
        elif action is Action.REOPEN:
            names = ", ".join(self.tally.name(peer) for peer in peers[:5]) or "any other member"
            self.tally.reopened += 1
            self._reopening.start(f"no sign of {names}: opening the network again")
        elif action is Action.RENEW:
            self._reopening.start()

    def _send_hello(self, peer: int | None, ask: bool) -> None:
        hello = self.envelope.hello(self.now_ns())
        # Any process can make this node answer an id that it made up: only members are counted by name.
        unproven: PeerKey = PeerGroup.ALL if peer is None else PeerGroup.UNKNOWN
        self.tally.count_sent(peer if peer is not None and peer in self.roster.peers else unproven, HELLO, len(hello))
        self.transport.send_hello(peer, hello, ask)

    def _reopened(self, opened: bool) -> None:
        with self._bug_ends_run():
            self.roster.reopened(opened, self.clock.steady())
            self._settle()

    def update_trust(self, trust: Trust) -> list[Member]:
        """Replace the trust, as `Trusting.update`; from the loop's thread."""
        gone = self.trusting.update(trust, self.now_ns(), self.clock.steady())
        self._settle()
        return gone

    def renew(self, identity: Identity) -> None:
        """Go on with another certificate of this member; `ConfigError` if it is another member's."""
        self.trusting.renew(identity)
        self._settle()

    # -- State. --------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The node, its peers, and which samples wait for labels."""
        return {
            "about": self._about,
            "at_ns": self.node.now_ns,
            "peers": self.node.peers,
            "hellos": self.envelope.hellos(),
            **self.samples.state(self.clock.steady()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``; the node was restored before (see `restore_node`)."""
        self.samples.restore(state, self.clock.steady())
        self.envelope.remember([(int(peer), bytes(hello)) for peer, hello in state.get("hellos", ())])

    def status(self) -> dict[str, Any]:
        """The status of this moment; from any thread."""
        what = self.node, self.envelope, self.roster, self.tally, self.clock.steady(), self._began_ns, self.shows_ns
        return status(*what, self.warnings, self.source, self.sink, self.control, self.trusting.tombstones)

    @property
    def shows_ns(self) -> int:
        """The time without a look for jumps; from any thread. A clock that is not set stands behind the node."""
        return max(self.clock.shows_ns, self.node.now_ns)

    @property
    def warnings(self) -> list[str]:
        """What is wrong now and needs a person; from any thread."""
        timed = self.claim.warnings(self.clock.steady()) + self.broadcasting.warnings
        timed += self.trusting.warnings(self.shows_ns)
        return timed + self.tally.warnings + self.clock.warnings + self.snapshots.warnings
