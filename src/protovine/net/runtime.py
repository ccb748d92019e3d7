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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec

from protovine.errors import LocalProtocolError, MissingKeysError, RemoteProtocolError, SampleError
from protovine.gossip import kind_name
from protovine.net.causes import Causes
from protovine.net.inbound import HelloFrom, Inbound, InboundLimits, Message
from protovine.net.roster import Order, Roster, RosterTiming
from protovine.net.samples import EventLike, LocalSamples, SamplePrediction
from protovine.net.security.envelope import EnvelopeLike
from protovine.net.security.hello import Member
from protovine.net.security.identity import Identity, Trust
from protovine.net.snapshots import Snapshots
from protovine.net.states import Action
from protovine.net.status import SinkLike, SourceLike, status
from protovine.net.store import Store
from protovine.net.tally import HELLO, PeerGroup, PeerKey, Tally
from protovine.net.transport import Channel, Transport
from protovine.net.trusting import Trusting
from protovine.node import Node, pump
from protovine.records import SECOND_NS, Received, Record

_log = logging.getLogger("protovine")

# Messages handled before the loop's other work gets its turn.
_INBOUND_STEP = 200
# Kinds of trouble that are logged by name; all are counted.
_LOGGED_MAX = 1000


class MonotonicClock:
    """The system's time in nanoseconds, which never goes back.

    When the system's clock is set back, this one runs at half speed until the other has caught up.
    """

    def __init__(self) -> None:
        self._now_ns, self._read_at_ns = 0, time.monotonic_ns()

    def __call__(self) -> int:
        read_at_ns = time.monotonic_ns()
        slow_ns = self._now_ns + (read_at_ns - self._read_at_ns) // 2
        self._now_ns, self._read_at_ns = max(slow_ns, time.time_ns()), read_at_ns
        return self._now_ns


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
    record : callable (Record) -> None
        Takes every trace record.
    neighbours : frozenset of int or None
        Members to talk to; all that say hello, if None.
    clock : callable () -> int
        Nanoseconds since 1970, never decreasing.
    timing, limits : RosterTiming, InboundLimits
        When to ask for peers, and how much to take from them.
    """

    def __init__(
        self,
        node: Node,
        envelope: EnvelopeLike,
        transport: Transport,
        *,
        store: Store | None = None,
        snapshot_s: float = 30.0,
        record: Callable[[Record], None] = lambda record: None,
        neighbours: frozenset[int] | None = None,
        clock: Callable[[], int] | None = None,
        timing: RosterTiming | None = None,
        limits: InboundLimits | None = None,
    ) -> None:
        self.node, self.envelope, self.transport, self.neighbours = node, envelope, transport, neighbours
        self.started_ns = 0
        # For health and metrics; whoever feeds the runtime sets them.
        self.source: SourceLike | None = None
        self.sink: SinkLike | None = None
        # Whether samples are being taken from the source.
        self.feeding = False
        self.tally = Tally(causes=Causes(_log_cause))
        for peer, view in node.views.items():
            self.tally.latency.expect(peer, view.created_ns)
        self._clock = clock or MonotonicClock()
        now_ns = self.now_ns()
        expected = 1 if neighbours is None else len(neighbours)
        self.roster = Roster(expected, random.Random(node.id).random, timing or RosterTiming(), now_ns)
        self.inbound = Inbound(envelope, self.tally, limits or InboundLimits(), neighbours, now_ns)
        self.samples = LocalSamples(node, self.tally)
        self.snapshots = Snapshots(store, self.state, self.now_ns, self.tally, snapshot_s)
        self.trusting = Trusting(envelope, self.roster, node, transport, self.tally, now_ns)
        self._keep_record = record
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()
        self._bug: BaseException | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns: int | None = None
        self._inbound_lock = threading.Lock()
        self._draining = False
        self._logged: set[tuple[PeerKey, str]] = set()
        self._reopening: asyncio.Task[None] | None = None
        self._reopen_again = False

    def now_ns(self) -> int:
        """The clock, which may have been ahead when the node's state was saved."""
        return max(self._clock(), self.node.now_ns)

    # -- Running. ------------------------------------------------------------------------------------------------------

    async def run(self, feed: Callable[[], Awaitable[None]] | None = None, *, keep_on: bool = False) -> None:
        """Join the swarm, call ``feed``, which brings samples through `take`, and leave in order when it returns.

        Without one, or with ``keep_on``, only `stop` ends it.
        """
        self._loop = asyncio.get_running_loop()
        self.started_ns = self.now_ns()
        self.trusting.deny()
        self.transport.open(self._deliver, self._link_changed, self._status)
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
            for task in [*self._tasks, *others]:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*self._tasks, return_exceptions=True)
            self._leave()

    def stop(self) -> None:
        """End `run` soon; from the loop's thread."""
        self._stopped.set()

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.node.finish(self.now_ns())
        pump(self.node, self._send, self._record)
        if self.snapshots.store is not None:
            self.snapshots.save()
        self.transport.close()

    async def feed(
        self, source: AsyncIterator[EventLike], put: Callable[[SamplePrediction], Awaitable[None]] | None = None
    ) -> None:
        """Take every event of a source, and give predictions to ``put``."""
        async for event in source:
            try:
                predicted = self.take(event)
            except SampleError as error:
                self.tally.samples_refused += 1
                reason = "label" if event.x is None else "learner"
                self.tally.causes.add(reason, f"a local sample was refused: {error}", topic=event.device)
                continue
            if predicted is not None and put is not None:
                await put(predicted)
            if self.inbound.waiting[0]:
                await asyncio.sleep(0)  # A source that never waits must not shut peers out.

    def take(self, event: EventLike, number: int | None = None) -> SamplePrediction | None:
        """The prediction of a sample, which is then learnt; None for a late label. As `LocalSamples.take`."""
        began_s = time.perf_counter()
        predicted = self.samples.take(event, self.now_ns(), number)
        if predicted is not None:
            self.tally.predicting.add(time.perf_counter() - began_s)
        self._settle()
        return predicted

    def run_due(self) -> None:
        """Do what is due by the clock. The loop calls it; with a clock faster than the loop's, call it too."""
        now_ns = self.now_ns()
        due_ns = self.node.next_timer_ns()
        if due_ns is not None and due_ns <= now_ns:
            self.node.on_timer(now_ns)
        self.roster.on_timer(now_ns)
        self.trusting.on_timer(now_ns)
        self._settle()

    def _settle(self) -> None:
        """Carry out what the roster and the node want done, and set the next timer."""
        self._carry_out()
        pump(self.node, self._send, self._record)
        due_ns = self.roster.next_timer_ns()
        for other_ns in (self.node.next_timer_ns(), self.trusting.next_timer_ns()):
            if other_ns is not None:
                due_ns = min(due_ns, other_ns)
        if due_ns != self._timer_ns or self._timer is None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_ns = None, due_ns
            if self._loop is not None:
                wait_s = max(0.0, (due_ns - self.now_ns()) / SECOND_NS)
                self._timer = self._loop.call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = self._timer_ns = None
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
        if peer not in self.roster.peers:
            return  # Known from a snapshot, but it has not said hello yet; gossip repeats the message then.
        try:
            sealed = self.envelope.seal(peer, data)
        except LocalProtocolError as error:
            self._log_once(peer, "seal", f"nothing can be sent to {self.tally.name(peer)} any more: {error}")
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
        now_ns = self.now_ns()
        if channel is Channel.REVOCATIONS:
            try:
                self.trusting.take(data, now_ns)
            except RemoteProtocolError as error:
                self._refuse(PeerGroup.UNKNOWN, error)
            self._carry_out()
            return
        found = self.inbound.open(channel, data, now_ns)
        if isinstance(found, Message):
            try:
                self.node.receive(found.payload, found.peer, now_ns)
            except RemoteProtocolError as error:
                self._refuse(found.peer, error)
                return
            self.roster.message(found.peer, now_ns)
        elif isinstance(found, HelloFrom):
            self.roster.hello(found.member, found.asks, now_ns)
        else:
            self._refuse(found.peer, found.error)
            if isinstance(found.error, MissingKeysError):
                self.roster.unreadable(found.error.sender, now_ns)
        self._carry_out()

    def _refuse(self, peer: PeerKey, error: RemoteProtocolError) -> None:
        """Count it, and log it once per peer and reason."""
        known = peer if peer in self.roster.peers else PeerGroup.UNKNOWN
        self.tally.refused[known, error.reason] += 1
        who = self.tally.name(known)
        # After a restart of either side that is normal, and remedied at once.
        level = logging.INFO if isinstance(error, MissingKeysError) else logging.WARNING
        self._log_once(known, error.reason, f"refused from {who}: {error}", level)

    def _log_once(self, peer: PeerKey, reason: str, text: str, level: int = logging.WARNING) -> None:
        """Log it, the first time for this peer and reason."""
        if (peer, reason) not in self._logged and len(self._logged) < _LOGGED_MAX:
            self._logged.add((peer, reason))
            _log.log(level, "%s", text, extra={"peer": self.tally.name(peer), "reason": reason})

    def link_refused(self, why: str) -> None:
        """Count a link that the transport did not let in; from any thread."""
        self._soon(self._refuse, PeerGroup.UNKNOWN, RemoteProtocolError("tls", f"a link: {why}"))

    def not_accepted(self, endpoint: str, why: str) -> None:
        """Count an endpoint that was dialled and whose certificate this side does not accept; from any thread."""
        self._soon(self._not_accepted, endpoint, why)

    def _not_accepted(self, endpoint: str, why: str) -> None:
        self.tally.refused[PeerGroup.UNKNOWN, "tls"] += 1
        self.tally.dialled[endpoint] = why
        self._log_once(PeerGroup.UNKNOWN, f"tls {endpoint}", f"dialled {endpoint}, and refused it: {why}")

    # -- Peers. --------------------------------------------------------------------------------------------------------

    def _link_changed(self, peer: int, open: bool) -> None:
        """From any thread."""
        self._soon(self._link, peer, open)

    def _link(self, peer: int, open: bool) -> None:
        with self._bug_ends_run():
            self.roster.link(peer, open, self.now_ns())
            self._settle()

    def _carry_out(self) -> None:
        """Do what the roster orders."""
        for order in self.roster.drain():
            self._do(order)
        self.trusting.send()

    def _do(self, order: Order) -> None:
        action, peers = order.action, order.peers
        if action is Action.ADD:
            known = self.roster.peers[peers[0]]
            self.tally.names[peers[0]] = known.name
            _log.info("met %s", known.name, extra={"peer": known.name, "incarnation": known.incarnation})
            self.node.add_peer(peers[0], self.now_ns())
        elif action is Action.REPEAT:
            self.node.peer_reached(peers[0], self.now_ns())
            self.trusting.met(peers[0])
        elif action is Action.ASK or action is Action.REPLY:
            self._send_hello(peers[0], ask=action is Action.ASK)
        elif action is Action.ASK_ALL:
            self._send_hello(None, ask=True)
        elif action is Action.REPORT_LOSS:
            name = self.tally.name(peers[0])
            _log.info("lost the link to %s", name, extra={"peer": name})
        elif action is Action.REOPEN:
            names = ", ".join(self.tally.name(peer) for peer in peers[:5])
            _log.warning("no sign of %s: opening the network again", names)
            self.tally.reopened += 1
            self._start_reopening()
        elif action is Action.RENEW:
            self._start_reopening()

    def _send_hello(self, peer: int | None, ask: bool) -> None:
        hello = self.envelope.hello(self.now_ns())
        # Any process can make this node answer an id that it made up: only members are counted by name.
        unproven: PeerKey = PeerGroup.ALL if peer is None else PeerGroup.UNKNOWN
        self.tally.count_sent(peer if peer is not None and peer in self.roster.peers else unproven, HELLO, len(hello))
        self.transport.send_hello(peer, hello, ask)

    def _start_reopening(self) -> None:
        self._reopen_again = True
        if self._reopening is None or self._reopening.done():
            self._reopening = asyncio.ensure_future(self._reopen())
            self._tasks.append(self._reopening)

    async def _reopen(self) -> None:
        opened = True
        while opened and self._reopen_again:
            self._reopen_again = False
            try:
                await asyncio.to_thread(self.transport.reopen)
            except Exception as error:
                _log.error("could not open the network: %s", error)
                opened = False
        with self._bug_ends_run():
            self.roster.reopened(opened, self.now_ns())
            self._settle()

    def update_trust(self, trust: Trust) -> list[Member]:
        """Replace the trust, as `Trusting.update`; from the loop's thread."""
        gone = self.trusting.update(trust, self.now_ns())
        self._settle()
        return gone

    def renew(self, identity: Identity) -> None:
        """Go on with another certificate of this member; `ConfigError` if it is another member's."""
        self.trusting.renew(identity)
        self._settle()

    # -- State. --------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The node, its peers, and which samples wait for labels."""
        return {"node": self.node.snapshot(), "peers": self.node.peers, **self.samples.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``; the node was restored before (see `restore_node`)."""
        self.samples.restore(state)

    def status(self) -> dict[str, Any]:
        """The status of this moment; from any thread."""
        return status(
            self.node, self.envelope, self.roster, self.tally, self.started_ns, time.time_ns(), self.source, self.sink
        )

    def _status(self) -> bytes:
        return msgspec.json.encode(self.status())


def _log_cause(reason: str, text: str) -> None:
    _log.warning("%s", text, extra={"reason": reason})
