"""A swarm in virtual time: real runtimes and envelopes, a network that delays, loses and cuts, clocks that jump.

Nothing sleeps. Each process has a clock of its own that can be set, and a disk that can be lost or copied.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protovine.net import Envelope, Identity, MemberName, PlainEnvelope, Trust
from protovine.net.clock import Clock
from protovine.net.member import Plan, assemble, incarnation_at
from protovine.net.roster import Order
from protovine.net.runtime import Runtime
from protovine.net.security import envelope as envelope_module
from protovine.net.security.identity import common_name
from protovine.net.states import Action
from protovine.net.store import Loaded
from protovine.net.transport import Channel, Endpoints
from protovine.records import Record
from protovine.snapshot import pack, unpack
from tests.net.conftest import NOW
from tests.net.hub import Event, node_of

S = 10**9
MINUTE, HOUR, DAY, YEAR = 60 * S, 3600 * S, 86_400 * S, 31_536_000 * S
BEGIN_NS = int(NOW.timestamp()) * S + DAY


class Disk:
    """What is left of a member when its process is gone; the calls of `Store`."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.started = 0
        self.failure: str | None = None

    def begin(self, first: int = 1) -> int:
        return self.raise_to(max(first, self.started + 1))

    def raise_to(self, incarnation: int) -> int:
        self.started = incarnation
        return incarnation

    def save(self, state: dict[str, Any]) -> None:
        self.data = pack(state)

    def load(self, check: Callable[[dict[str, Any]], None], about: Any = None) -> Loaded:
        if self.data is None:
            return Loaded(None)
        state = unpack(self.data)
        check(state)
        return Loaded(state)

    def copy(self) -> Disk:
        other = Disk()
        other.data, other.started = self.data, self.started
        return other


class Process:
    """One process of a member, and its transport."""

    denied: frozenset[str] = frozenset()

    def __init__(self, world: World, member: int, disk: Disk | None, ahead_ns: int) -> None:
        self.world, self.member, self.disk, self.ahead_ns = world, member, disk, ahead_ns
        self.dead, self.reopening, self.due_ns = False, False, None
        self.started_at_ns = world.now_ns
        clock = Clock(lambda: world.now_ns + self.ahead_ns, lambda: world.now_ns)
        plan = Plan(
            MemberName("barn", f"node-{member}", member),
            Endpoints((), ()),
            build=lambda incarnation, peers: node_of(
                member, incarnation, peers, "broadcast" if world.broadcasts else "round-robin"
            ),
            broadcasts=world.broadcasts,
            envelope=lambda incarnation: world.envelope(member, incarnation),
            incarnation_min=incarnation_at(world.now_ns + ahead_ns),
            least_ns=int(NOW.timestamp()) * S,
        )
        self.runtime: Runtime = assemble(plan, disk, self, clock).runtime  # type: ignore[arg-type]
        self.runtime._do = self._do  # type: ignore[method-assign]
        self.runtime._keep_record = lambda record: world.recorded(self, record)

    # -- As a transport. -----------------------------------------------------------------------------------------------

    def send(self, peer: int, data: bytes) -> None:
        self.world.carry(self, peer, Channel.MESSAGE, data)

    def send_all(self, data: bytes) -> None:
        self.world.carry(self, None, Channel.BROADCAST, data)

    def send_hello(self, peer: int | None, data: bytes, ask: bool) -> None:
        self.world.carry(self, peer, Channel.ASK if ask else Channel.HELLO, data)

    def send_revocations(self, peer: int | None, data: bytes) -> None:
        self.world.carry(self, peer, Channel.REVOCATIONS, data)

    def deny(self, names: frozenset[str]) -> None:
        """By the numbers of certificates, as the real one does."""
        self.denied = names

    def reopen(self) -> None: ...

    def rejoin(self) -> None: ...

    def close(self) -> None: ...

    # -- As a process. -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return f"node-{self.member}"

    @property
    def certificate(self) -> str:
        envelope = self.runtime.envelope
        return common_name(envelope.serial) if isinstance(envelope, Envelope) else ""

    def arrive(self, channel: Channel, data: bytes) -> None:
        self.runtime._deliver(channel, data)
        self.runtime._read_inbound()
        self.settle()

    def link(self, peer: int, open: bool) -> None:
        self.runtime._link(peer, open)
        self.settle()

    def _do(self, order: Order) -> None:
        """As the runtime does; the session opens again within a second, without a thread."""
        if order.action not in (Action.REOPEN, Action.RENEW):
            Runtime._do(self.runtime, order)
            return
        if not self.reopening:
            self.reopening = True
            self.world.at(self.world.now_ns + S, self._reopened)

    def _reopened(self) -> None:
        self.reopening = False
        self.runtime.roster.reopened(True, self.world.now_ns)
        self.settle()

    def take(self, y: int | None = None, x: float | None = None, **more: Any) -> None:
        number = self.runtime.tally.samples
        label = number % 2 if y is None else y
        self.runtime.take(Event(np.array([float(label) if x is None else x, number % 7]), label, **more))
        self.settle()

    def step(self) -> None:
        self.due_ns = None
        self.runtime.run_due()
        self.settle()

    def settle(self) -> None:
        """Plan the next timer; a clock that was set moves timers that are by it."""
        if self.dead:
            return
        runtime, now_ns = self.runtime, self.world.now_ns
        runtime._settle()
        *steady, node = runtime._timer_key
        due_ns = min(at for at in steady if at is not None)
        if node is not None:
            due_ns = min(due_ns, now_ns + max(0, node - runtime.now_ns()))
        due_ns = max(due_ns, now_ns + 1_000_000)
        if self.due_ns is None or due_ns < self.due_ns:
            self.due_ns = due_ns
            self.world.at(due_ns, lambda: self.step() if not self.dead and self.due_ns == due_ns else None)

    def save(self) -> None:
        assert self.disk is not None
        self.disk.save(self.runtime.state())


class World:
    """The time, the network, and everything that runs."""

    # Whether transports let nothing pass to and from certificates that they deny.
    denies = True
    # Whether nodes send to all at once.
    broadcasts = False

    def __init__(self, members: dict[str, Identity] | None = None, trust: Trust | None = None, seed: int = 1) -> None:
        self.members, self.trust = members, trust
        self.now_ns = BEGIN_NS
        self.draw = random.Random(seed)
        self.loss, self.delay_ns = 0.0, 20_000_000
        self.processes: list[Process] = []
        self.cut: set[frozenset[int]] = set()
        self.recorded: Callable[[Process, Record], None] = lambda process, record: None
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()

    def envelope(self, member: int, incarnation: int) -> Any:
        if self.members is None or self.trust is None:
            return PlainEnvelope(MemberName("barn", f"node-{member}", member), incarnation=incarnation, schema=b"v1")
        identity = self.members[f"node-{member}"]
        return Envelope(identity, self.trust, incarnation=incarnation, schema=b"v1")

    def at(self, at_ns: int, call: Callable[[], object]) -> None:
        heapq.heappush(self._heap, (at_ns, next(self._order), call))

    def run(self, for_ns: int) -> None:
        end_ns = self.now_ns + for_ns
        while self._heap and self._heap[0][0] <= end_ns:
            at_ns, _, call = heapq.heappop(self._heap)
            self.now_ns = max(self.now_ns, at_ns)
            call()
        self.now_ns = end_ns

    def until(self, true: Callable[[], bool], within_ns: int) -> int:
        """Run until something is true; how long it took."""
        began_ns = self.now_ns
        while not true():
            assert self.now_ns - began_ns < within_ns, f"not true after {within_ns / S:g} s"
            self.run(S // 10)
        return self.now_ns - began_ns

    def start(self, member: int, disk: Disk | None = None, ahead_ns: int = 0) -> Process:
        made = Process(self, member, disk, ahead_ns)
        others = [each for each in self.processes if each.member != member]
        self.processes.append(made)
        for other in others:
            if self.joined(made, other.member):
                other.link(member, True)
                made.link(other.member, True)
        made.settle()
        return made

    def kill(self, process: Process) -> None:
        process.dead = True
        self.processes.remove(process)
        if all(each.member != process.member for each in self.processes):
            for other in list(self.processes):
                if self.joined(other, process.member):
                    other.link(process.member, False)

    def part(self, *pairs: tuple[int, int]) -> None:
        """Cut these pairs of members, and no others."""
        wanted = {frozenset(pair) for pair in pairs}
        changed, self.cut = sorted(map(sorted, wanted ^ self.cut)), wanted
        for a, b in changed:
            for process in list(self.processes):
                if process.member in (a, b):
                    other = b if process.member == a else a
                    if any(each.member == other for each in self.processes):
                        process.link(other, frozenset((a, b)) not in self.cut)

    def joined(self, process: Process, member: int) -> bool:
        return frozenset((process.member, member)) not in self.cut

    def carry(self, source: Process, target: int | None, channel: Channel, data: bytes) -> None:
        for process in self.processes:
            wanted = process.member == target if target is not None else True
            denied = process.denied and source.certificate in process.denied
            denied = denied or (source.denied and process.certificate in source.denied)
            apart = self.denies and denied
            if process is not source and wanted and not apart and self.draw.random() >= self.loss:
                wait_ns = round(self.delay_ns * (0.5 + self.draw.random()))
                self.at(self.now_ns + wait_ns, lambda to=process: self._arrive(source, to, channel, data))

    def _arrive(self, source: Process, target: Process, channel: Channel, data: bytes) -> None:
        if not target.dead and (source.member == target.member or self.joined(source, target.member)):
            target.arrive(channel, data)

    def heard(self, of: Process, by: Process) -> bool:
        """Whether everything that ``of`` shares has reached ``by``."""
        return bool(by.runtime.node.exchange.gossip.watermarks.get(of.member) == of.runtime.node.head)


def teach(world: World, *processes: Process, count: int = 10) -> None:
    """Samples of each process, ten a second."""
    for _ in range(count):
        for process in processes:
            process.take()
        world.run(S // 10)


@contextmanager
def repeatable(seed: int = 1) -> Iterator[None]:
    """Fresh keys from a seed, so that who wins does not change between runs."""
    draw = random.Random(seed)

    class Keys:
        @staticmethod
        def generate() -> X25519PrivateKey:
            return X25519PrivateKey.from_private_bytes(draw.randbytes(32))

    with (
        mock.patch.object(envelope_module, "X25519PrivateKey", Keys),
        mock.patch("protovine.net.security.plain.secrets.token_bytes", draw.randbytes),
    ):
        yield


def certify(folder: Path, count: int, spare: int = 0) -> tuple[dict[str, Identity], Trust]:
    """Certificates of members node-0, node-1 and so on, and spare ones of each: node-0.1, node-0.2 and so on."""
    from protovine.net import create_authority, issue, load_identity, load_trust

    create_authority(folder / "authority", "barn", now=NOW)
    members = {}
    for number in range(count):
        for which in range(1 + spare):
            name = f"node-{number}" + (f".{which}" if which else "")
            issue(folder / "authority", f"node-{number}", folder / name, now=NOW, id=number, renew=bool(which))
            members[name] = load_identity(folder / name)
    return members, load_trust(folder / "authority")
