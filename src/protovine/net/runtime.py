"""One member as a process: a node driven by the clock, its source and its peers; the counterpart of the simulator.

Everything happens in one asyncio loop, so that node and envelope need no locks; what arrives in threads of the
transport waits in a bounded queue. The node is called with the system's time, which never goes backwards here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from protovine.errors import LocalProtocolError, MissingKeysError, RemoteProtocolError, SnapshotError
from protovine.gossip import kind_name
from protovine.learn import Prediction
from protovine.net.ops.latency import Latency
from protovine.net.security.envelope import Envelope, EnvelopeLike, Member
from protovine.net.security.identity import Trust
from protovine.net.store import Store
from protovine.net.transport import Channel, Transport
from protovine.node import Node, pump
from protovine.records import SECOND_NS, Received, Record

_log = logging.getLogger("protovine")

# What waits to be read; more is dropped, and counted as "overrun".
INBOUND_MESSAGES_MAX, INBOUND_BYTES_MAX = 20_000, 64 * 2**20
# Per peer: messages and bytes per second in the long run, and this many seconds of them at once.
PEER_MESSAGES_PER_S, PEER_BYTES_PER_S, PEER_BURST_S = 200.0, 4 * 2**20, 20
# New hellos are dear to check: so many per second from all together.
HELLOS_PER_S, HELLO_BURST = 20.0, 200
# Hellos to whoever claims to be there without having said hello: it may be nobody.
GREETINGS_PER_S, GREETING_BURST = 5.0, 200
# Messages handled before others get their turn.
_INBOUND_STEP = 200
# While members are missing everybody is asked again after a while that grows to the longest.
_ASK_S, _ASK_MAX_S = 1.0, 60.0
# A member that was there and is not heard any more is asked this often. The session is opened anew when nobody, or
# somebody, is missing for this long, and then for longer.
_LOOK_S, _ASK_MISSING_S = 1.0, 10.0
_REOPEN_ALONE_S, _REOPEN_ALONE_MAX_S = 20.0, 300.0
_REOPEN_S, _REOPEN_MAX_S = 60.0, 3600.0
_AWAITED_MAX = 100_000
# Refusals that are logged by name; all are counted.
_SAID_MAX = 1000
# The newest predictions by which the recent accuracy goes.
RECENT = 1000
# A hello, among the kinds of messages; and to whom a hello to all goes.
GREETING, ALL = "greeting", -2


class EventLike(Protocol):
    """What a source brings: a sample ``x`` with or without its class, or a class ``y`` for an earlier ``id``."""

    @property
    def x(self) -> NDArray[np.float64] | None:
        """Features, or None in a late label."""
        ...

    @property
    def y(self) -> int | None:
        """The class."""
        ...

    @property
    def id(self) -> str | int | None:
        """What the source calls it."""
        ...

    @property
    def time_ns(self) -> int | None:
        """When it was measured."""
        ...


@dataclass(frozen=True, slots=True)
class Output:
    """A prediction, made before its sample was learnt."""

    id: str | int | None
    at_ns: int
    prediction: Prediction
    prototypes: int


@dataclass
class Tally:
    """What the runtime counts, besides what records say; by peer and reason, or by peer and kind of message."""

    refused: Counter[tuple[int, str]] = field(default_factory=Counter)
    sent: Counter[tuple[int, str]] = field(default_factory=Counter)
    sent_bytes: Counter[tuple[int, str]] = field(default_factory=Counter)
    received: Counter[tuple[int, str]] = field(default_factory=Counter)
    received_bytes: Counter[tuple[int, str]] = field(default_factory=Counter)
    from_future: Counter[int] = field(default_factory=Counter)
    # All members that were ever met, in that order, with those that have left or were revoked.
    names: dict[int, str] = field(default_factory=dict)
    samples: int = 0
    labels: int = 0
    unknown_labels: int = 0
    right: int = 0
    judged: int = 0
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    snapshots: int = 0
    snapshots_failed: int = 0
    snapshot_ns: int = 0
    reopened: int = 0
    latency: Latency = field(default_factory=Latency)


class _Bucket:
    """So many tokens per second, and at most a burst of them."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._tokens, self._at = burst, time.monotonic()

    def take(self, count: float = 1.0) -> bool:
        now = time.monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if count > self._tokens:
            return False
        self._tokens -= count
        return True


class _Patience:
    """When something has lasted too long: after ``first`` seconds, then after twice as many, up to ``most``."""

    def __init__(self, first: float, most: float, now: float) -> None:
        self.first, self.most = first, most
        self._wait, self._fine_at, self._tried_at = first, now, now

    def over(self, wrong: bool, now: float) -> bool:
        if not wrong:
            self._fine_at = now
            if now - self._tried_at > self._wait:
                self._wait = self.first  # It helped, and for long.
            return False
        if now - max(self._fine_at, self._tried_at) < self._wait:
            return False
        self._tried_at, self._wait = now, min(2 * self._wait, self.most)
        return True


class MonotonicClock:
    """The system's time in nanoseconds, which never goes back here, whatever happens to it."""

    def __init__(self) -> None:
        self._last_ns = 0

    def __call__(self) -> int:
        self._last_ns = max(self._last_ns, time.time_ns())
        return self._last_ns


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
    ) -> None:
        self.node, self.envelope, self.transport, self.store = node, envelope, transport, store
        self.snapshot_s, self.neighbours = snapshot_s, neighbours
        self.tally = Tally()
        self.alive: set[int] = set()
        self.started_ns = 0
        self.names: dict[int, str] = {}
        self._clock = clock or MonotonicClock()
        self._keep = record
        for peer, view in node.views.items():
            self.tally.latency.expect(peer, view.created_ns)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inbound: deque[tuple[Channel, bytes]] = deque()
        self._inbound_bytes = 0
        self._draining = False
        self._guard = threading.Lock()  # For what is inbound.
        self._broken: BaseException | None = None
        self._stopped = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns: int | None = None
        self._hellos = _Bucket(HELLOS_PER_S, HELLO_BURST)
        self._greetings = _Bucket(GREETINGS_PER_S, GREETING_BURST)
        self._incarnations: dict[int, int] = {}
        self._budgets: dict[int, tuple[_Bucket, _Bucket]] = {}
        self._greeted: dict[int, float] = {}
        self._said: set[tuple[int, str]] = set()
        self._unsealed: set[int] = set()
        self._awaited: dict[str | int, tuple[int, int]] = {}  # Names of samples: the node's number, and what it said.
        self._next_id = 0
        self._jitter = random.Random(node.id)

    @property
    def waiting(self) -> tuple[int, int]:
        """Messages and bytes that have arrived and wait to be read."""
        return len(self._inbound), self._inbound_bytes

    # -- Running. ------------------------------------------------------------------------------------------------------

    async def run(self, feed: Callable[[], Awaitable[None]] | None = None, *, keep_on: bool = False) -> None:
        """Join the swarm, call ``feed``, which brings samples through `take`, and leave in order when it returns.

        Without one, or with ``keep_on``, only `stop` ends it.
        """
        self._loop = asyncio.get_running_loop()
        self.started_ns = self._now()
        self.transport.open(self._deliver, self._alive_changed, self._status)
        tasks = [asyncio.ensure_future(self._ask_for_members()), asyncio.ensure_future(self._keep_links())]
        if self.store is not None:
            tasks.append(asyncio.ensure_future(self._keep_snapshots()))
        feeding = asyncio.ensure_future(feed()) if feed is not None else None
        stopping = asyncio.ensure_future(self._stopped.wait())
        try:
            self._settle()
            waiting = {stopping, *tasks, *([feeding] if feeding is not None else [])}
            while not stopping.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # A bug is not to be overlooked.
                if feeding is not None and feeding.done() and not keep_on:
                    break
            if self._broken is not None:
                raise self._broken
        finally:
            for task in [*tasks, stopping, *([feeding] if feeding is not None else [])]:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
            self._leave()

    def stop(self) -> None:
        """End `run` soon; from the loop's thread."""
        self._stopped.set()

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.node.finish(self._now())
        pump(self.node, self._send, self._record)
        if self.store is not None:
            self.snapshot()
        self.transport.close()

    async def feed(
        self, source: AsyncIterator[EventLike], put: Callable[[Output], Awaitable[None]] | None = None
    ) -> None:
        """Take everything that a source brings, and give predictions to ``put``."""
        async for event in source:
            try:
                output = self.take(event)
            except ValueError as error:  # A value that this learner cannot take, such as a missing one.
                self._refuse(self.node.id, RemoteProtocolError("sample", str(error)))
                continue
            if output is not None and put is not None:
                await put(output)
            if self._inbound:
                await asyncio.sleep(0)  # A source that never waits must not shut peers out.

    def take(self, event: EventLike, number: int | None = None) -> Output | None:
        """One sample, or a label that came late; the prediction of a sample.

        Samples are called ``number`` in records, by default they count on. `ValueError` if the learner cannot take it.
        """
        now_ns = self._now()
        if event.x is None:
            self._label(event, now_ns)
            return None
        number = self._next_id if number is None else number
        prediction = self.node.observe(event.x, event.y, now_ns=now_ns, event_ns=event.time_ns, sample_id=number)
        self._next_id = number + 1
        self.tally.samples += 1
        if event.y is not None:
            self._judge(prediction.code, event.y)
        elif event.id is not None:
            self._awaited[event.id] = number, prediction.code
            if len(self._awaited) > _AWAITED_MAX:
                del self._awaited[next(iter(self._awaited))]
        self._settle()
        return Output(event.id, now_ns, prediction, len(self.node.learner))

    def _label(self, event: EventLike, now_ns: int) -> None:
        number, said = self._awaited.pop(event.id, (None, -1)) if event.id is not None else (None, -1)
        if number is None or event.y is None or not self.node.label(number, event.y, now_ns):
            self.tally.unknown_labels += 1
            return
        self.tally.labels += 1
        self._judge(said, event.y)
        self._settle()

    def _judge(self, said: int, truth: int) -> None:
        self.tally.judged += 1
        self.tally.right += said == truth
        self.tally.recent.append(said == truth)

    def _record(self, record: Record) -> None:
        if isinstance(record, Received):
            self.tally.latency.note(record)
            self.tally.from_future[record.peer] += record.from_future > 0
        self._keep(record)

    def _settle(self) -> None:
        """Carry out what the node wants done, and keep its next timer."""
        pump(self.node, self._send, self._record)
        due_ns = self.node.next_timer_ns()
        if due_ns != self._timer_ns or self._timer is None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_ns = None, due_ns
            if due_ns is not None and self._loop is not None:
                self._timer = self._loop.call_later(max(0.0, (due_ns - self._now()) / SECOND_NS), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = self._timer_ns = None
        with self._ends_the_run():
            self.node.on_timer(self._now())
            self._settle()

    @contextlib.contextmanager
    def _ends_the_run(self) -> Iterator[None]:
        """A bug in what the loop calls ends `run`, where asyncio would only log it."""
        try:
            yield
        except Exception as error:
            self._broken = self._broken or error
            self._stopped.set()

    def _now(self) -> int:
        """The clock, which may have been ahead when the node's state was kept."""
        return max(self._clock(), self.node.now_ns)

    # -- Messages. -----------------------------------------------------------------------------------------------------

    def _send(self, peer: int, data: bytes) -> None:
        if peer not in self.names:
            return  # Known from a snapshot, but it has not said hello yet; what it misses is repaired then.
        try:
            sealed = self.envelope.seal(peer, data)
        except LocalProtocolError as error:
            if peer not in self._unsealed:
                self._unsealed.add(peer)
                _log.error("nothing can be sent to %s any more: %s", self._name(peer), error)
            return
        self.tally.sent[peer, kind_name(data)] += 1
        self.tally.sent_bytes[peer, kind_name(data)] += len(sealed)
        self.transport.send(peer, sealed)

    def _deliver(self, channel: Channel, data: bytes) -> None:
        """From any thread."""
        with self._guard:
            if len(self._inbound) >= INBOUND_MESSAGES_MAX or self._inbound_bytes + len(data) > INBOUND_BYTES_MAX:
                self.tally.refused[-1, "overrun"] += 1
                return
            self._inbound_bytes += len(data)
            self._inbound.append((channel, data))
            wake, self._draining = not self._draining, True
        if wake and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody reads any more.
                self._loop.call_soon_threadsafe(self._drain_inbound)

    def _drain_inbound(self) -> None:
        with self._ends_the_run():
            self._read_inbound()
            self._settle()
        with self._guard:
            self._draining = bool(self._inbound)
        if self._draining and self._loop is not None:
            self._loop.call_soon(self._drain_inbound)

    def _read_inbound(self) -> None:
        for _ in range(_INBOUND_STEP):
            with self._guard:
                if not self._inbound:
                    break
                channel, data = self._inbound.popleft()
                self._inbound_bytes -= len(data)
            try:
                if channel is Channel.MESSAGE:
                    self._message(data)
                else:
                    self._hello(data, channel is Channel.ASK)
            except MissingKeysError as error:
                self._refuse(error.sender, error)
                self._greet(error.sender, ask=True)
            except RemoteProtocolError as error:
                self._refuse(-1, error)
            except Exception as error:
                # A bug of ours; who finds it must not be able to end every node. It is said and counted.
                if (-1, "bug") not in self.tally.refused:
                    _log.exception("a message was left out because of a bug")
                self._refuse(-1, RemoteProtocolError("bug", repr(error)))

    def _message(self, data: bytes) -> None:
        peer, payload = self.envelope.open(data)
        if peer not in self._budgets:
            burst = PEER_BURST_S
            self._budgets[peer] = (
                _Bucket(PEER_MESSAGES_PER_S, PEER_MESSAGES_PER_S * burst),
                _Bucket(PEER_BYTES_PER_S, PEER_BYTES_PER_S * burst),
            )
        messages, size = self._budgets[peer]
        self.tally.received[peer, kind_name(payload)] += 1
        self.tally.received_bytes[peer, kind_name(payload)] += len(data)
        if not messages.take() or not size.take(len(data)):
            self._refuse(peer, RemoteProtocolError("flood", f"{self._name(peer)} sends more than it may"))
            return
        try:
            self.node.receive(payload, peer, self._now())
        except RemoteProtocolError as error:
            self._refuse(peer, error)
            return
        self._heard(peer)

    def _hello(self, data: bytes, asks: bool) -> None:
        now_ns = self._now()
        member = self.envelope.accept_hello(data, now_ns, self._hellos.take)
        if self.neighbours is not None and member.id not in self.neighbours:
            raise RemoteProtocolError("stranger", f"{member.name} is not a neighbour")
        self.tally.received[member.id, GREETING] += 1
        self.tally.received_bytes[member.id, GREETING] += len(data)
        new = self._incarnations.get(member.id) != member.incarnation
        self.names[member.id] = self.tally.names[member.id] = member.name
        self._incarnations[member.id] = member.incarnation
        if new:
            _log.info("met %s", member.name, extra={"peer": member.name, "incarnation": member.incarnation})
            self.alive.discard(member.id)  # What was on its way to its former self is lost.
            self.node.add_peer(member.id, now_ns)
        self._heard(member.id)
        if new or asks:
            self._greet(member.id, ask=new and not asks)

    def _heard(self, peer: int) -> None:
        """A sign of a member: if it was missing until now, what was lost meanwhile is said again."""
        if peer in self.names and peer not in self.alive:
            self.alive.add(peer)
            self.node.peer_reached(peer, self._now())

    def _greet(self, peer: int, ask: bool) -> None:
        """Say hello to a peer, at most once a second, and not too often to those who only claim to be there."""
        now = time.monotonic()
        if now - self._greeted.get(peer, -math.inf) < 1.0 or (peer not in self.names and not self._greetings.take()):
            return
        if len(self._greeted) > _SAID_MAX:
            self._greeted.clear()
        self._greeted[peer] = now
        self._say_hello(peer, ask)

    def _say_hello(self, peer: int | None, ask: bool) -> None:
        hello = self.envelope.hello(self._now())
        # Asked for by whoever says that it is there, which may be anybody: only members are counted by name.
        to = ALL if peer is None else peer if peer in self.names else -1
        self.tally.sent[to, GREETING] += 1
        self.tally.sent_bytes[to, GREETING] += len(hello)
        self.transport.greet(peer, hello, ask)

    def _refuse(self, peer: int, error: RemoteProtocolError) -> None:
        """Count it, and say it once per peer and reason."""
        key = (peer if peer in self.names else -1, error.reason)
        self.tally.refused[key] += 1
        if key not in self._said and len(self._said) < _SAID_MAX:
            self._said.add(key)
            who = self._name(key[0])
            _log.warning("refused from %s: %s", who, error, extra={"peer": who, "reason": error.reason})

    def link_refused(self, why: str) -> None:
        """Count a link that the transport did not let in; from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # The loop is closed.
                self._loop.call_soon_threadsafe(self._refuse, -1, RemoteProtocolError("tls", f"a link: {why}"))

    def _name(self, peer: int) -> str:
        return self.names.get(peer) or self.tally.names.get(peer, "somebody unknown")

    def update_trust(self, trust: Trust) -> list[Member]:
        """Believe ``trust`` from now on; have nothing more to do with members that it does not vouch for: these.

        What was learnt from them stays. Who comes back with a good certificate is met anew.
        """
        if not isinstance(self.envelope, Envelope):
            return []
        gone = self.envelope.update_trust(trust, self._now())
        for member in gone:
            self.names.pop(member.id, None)
            self._incarnations.pop(member.id, None)
            self.alive.discard(member.id)
            _log.warning("%s is no longer trusted", member.name, extra={"peer": member.name})
        return gone

    # -- Who is there. -------------------------------------------------------------------------------------------------

    def _alive_changed(self, peer: int, there: bool) -> None:
        """From any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._link, peer, there)

    def _link(self, peer: int, there: bool) -> None:
        with self._ends_the_run():
            if not there:
                if peer in self.alive:
                    _log.info("lost the link to %s", self._name(peer), extra={"peer": self._name(peer)})
                self.alive.discard(peer)
                return
            self._heard(peer)
            self._greet(peer, ask=True)
            self._settle()

    async def _ask_for_members(self) -> None:
        """Ask everybody who they are, at once and then less and less often, while members are missing."""
        wait_s = _ASK_S
        await asyncio.sleep(self._jitter.random() * _ASK_S)
        while True:
            if len(self.names) < (1 if self.neighbours is None else len(self.neighbours)):
                self._say_hello(None, ask=True)
            await asyncio.sleep(wait_s * (0.5 + self._jitter.random()))
            wait_s = min(2 * wait_s, _ASK_MAX_S)

    async def _keep_links(self) -> None:
        """Ask for members that are not heard any more, and open the session anew when they stay missing."""
        now = time.monotonic()
        some, nobody = _Patience(_REOPEN_S, _REOPEN_MAX_S, now), _Patience(_REOPEN_ALONE_S, _REOPEN_ALONE_MAX_S, now)
        asked, opened = now, True
        while True:
            await asyncio.sleep(_LOOK_S * (1.0 + self._jitter.random()))
            now = time.monotonic()
            missing = sorted(self.names.keys() - self.alive)
            if missing and now - asked > _ASK_MISSING_S:
                asked = now
                for peer in missing:
                    self._greet(peer, ask=True)
            # The first wait is for all of them: both must be asked.
            over = [some.over(bool(missing), now), nobody.over(bool(missing) and not self.alive, now)]
            if any(over) or not opened:
                _log.warning("no sign of %s: opening the network anew", ", ".join(map(self._name, missing[:5])))
                self.tally.reopened += 1
                self.alive.clear()  # Who is there says so anew.
                opened = await asyncio.to_thread(self._reopen)
                self._say_hello(None, ask=True)

    def _reopen(self) -> bool:
        try:
            self.transport.reopen()
        except Exception as error:
            _log.error("could not open the network: %s", error)
            return False
        return True

    # -- State. --------------------------------------------------------------------------------------------------------

    async def _keep_snapshots(self) -> None:
        while True:
            await asyncio.sleep(self.snapshot_s)
            saving = asyncio.ensure_future(
                asyncio.to_thread(self.snapshot, self.state())
            )  # A slow disk holds nobody up.
            try:
                await asyncio.shield(saving)
            except asyncio.CancelledError:
                await saving  # The last snapshot must come after it.
                raise

    def snapshot(self, state: dict[str, Any] | None = None) -> None:
        """Keep the state on disk, by default that of now; a full disk is said and not fatal."""
        assert self.store is not None
        try:
            self.store.save(self.state() if state is None else state)
            self.tally.snapshots += 1
            self.tally.snapshot_ns = self._now()
        except OSError as error:
            self.tally.snapshots_failed += 1
            _log.error("no snapshot was kept: %s", error)

    def state(self) -> dict[str, Any]:
        """The node, who its peers are, and which samples wait for labels."""
        return {
            "node": self.node.snapshot(),
            "peers": self.node.peers,
            "awaited": [[name, *numbers] for name, numbers in self._awaited.items()],
            "next_id": self._next_id,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up ``state``; the node was restored before (see `restore_node`)."""
        try:
            self._awaited = {name: (int(number), int(said)) for name, number, said in state["awaited"]}
            self._next_id = int(state["next_id"])
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"the snapshot is damaged: {error}") from None

    def _status(self) -> bytes:
        """How this member is, as JSON; from any thread, so it only reads single values."""
        return msgspec.json.encode(self.status())

    def status(self) -> dict[str, Any]:
        """How this member is: its peers, how old each view is, and what it has done."""
        now_ns = time.time_ns()
        tally = self.tally
        views = dict(self.node.views)
        return {
            "id": self.node.id,
            "name": getattr(getattr(self.envelope, "member", None), "name", str(self.node.id)),
            "incarnation": self.node.incarnation,
            "up_s": round((now_ns - self.started_ns) / SECOND_NS, 3),
            "sequence": self.node.head[1],
            "samples": tally.samples,
            "accuracy": tally.right / tally.judged if tally.judged else None,
            "prototypes": len(self.node.learner),
            "bytes_sent": sum(list(tally.sent_bytes.values())),
            "bytes_received": sum(list(tally.received_bytes.values())),
            "latency_s": tally.latency.summary(),
            "refused": {f"{self._name(p)}: {why}": n for (p, why), n in sorted(tally.refused.copy().items())},
            "peers": [
                {
                    "id": peer,
                    "name": self._name(peer),
                    "alive": peer in self.alive,
                    "sequence": view.sequence,
                    "version": view.samples_learnt,
                    "age_s": (now_ns - view.created_ns) / SECOND_NS if view.created_ns else None,
                }
                for peer, view in sorted(views.items())
            ],
        }


def restore_node(build: Callable[[list[int]], Node], state: dict[str, Any], now_ns: int) -> Node:
    """A node built with the peers that a saved state knows, and restored; `SnapshotError` if it is damaged."""
    try:
        peers, data = [int(peer) for peer in state["peers"]], bytes(memoryview(state["node"]))
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(f"the snapshot is damaged: {error}") from None
    node = build(peers)
    node.restore(data, now_ns)
    return node
