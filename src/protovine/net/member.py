"""Starting a member: its state, its incarnation, its node, its tape, its network and its signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from protovine.errors import ConfigError
from protovine.net.clock import SET_SINCE_NS, Clock
from protovine.net.ops.link_log import follow_link_log
from protovine.net.roster import RosterTiming
from protovine.net.runtime import Runtime
from protovine.net.samples import AwaitLimits
from protovine.net.security.base import EnvelopeLike
from protovine.net.security.envelope import Envelope
from protovine.net.security.identity import MemberName
from protovine.net.security.proof import sign_status
from protovine.net.snapshots import restore_node
from protovine.net.store import Loaded, Store
from protovine.net.tapes import TapeFile
from protovine.net.transport import Endpoints, Transport, ZenohTransport
from protovine.node import Node
from protovine.records import SECOND_NS, Record
from protovine.tape import TapedNode


@dataclass(frozen=True)
class Plan:
    """What a member is made of.

    Parameters
    ----------
    member : MemberName
    endpoints : Endpoints
    build : callable (incarnation, peers) -> Node
        Builds the node.
    envelope : callable (incarnation) -> EnvelopeLike
    state : path or None
        Folder for snapshots; without one, each start begins with nothing.
    incarnation_min : int
        The number of this start is at least this.
    about : dict
        What a snapshot says of its node; it must fit at the next start (`protovine.net.about`).
    fresh : bool
        Set the saved state aside and begin with nothing.
    snapshot_s : float
        Seconds between snapshots.
    tape : path or None
        File for every call of the node.
    tapes_max : int
        Starts whose tapes are kept.
    record : callable (Record) -> None
        Takes every trace record.
    neighbours : frozenset of int or None
        Members to talk to; all, if None.
    least_ns : int
        It cannot be earlier than this: the beginning of the member's certificate.
    awaiting : AwaitLimits or None
        How many samples may wait for their labels.
    timing : RosterTiming or None
        How often peers are asked and looked for.
    broadcasts : bool
        Whether the node sends messages to all at once.
    """

    member: MemberName
    endpoints: Endpoints
    build: Callable[[int, list[int]], Node]
    envelope: Callable[[int], EnvelopeLike]
    state: Path | None = None
    incarnation_min: int = 1
    about: dict[str, Any] = field(default_factory=dict)
    fresh: bool = False
    snapshot_s: float = 30.0
    tape: Path | None = None
    tapes_max: int = 100
    record: Callable[[Record], None] = lambda record: None
    neighbours: frozenset[int] | None = None
    least_ns: int = 0
    awaiting: AwaitLimits | None = None
    timing: RosterTiming | None = None
    broadcasts: bool = False


@dataclass(frozen=True)
class Started:
    """A member that is ready for `Runtime.run`; ``notes`` say what was wrong with its saved state."""

    runtime: Runtime
    transport: ZenohTransport
    restored: bool
    notes: tuple[str, ...]


# Starts are numbered at least by the minutes since 2026: peers may know earlier ones whose state was lost.
_INCARNATIONS_SINCE_NS = SET_SINCE_NS


def incarnation_at(now_ns: int) -> int:
    """The least number of a start at this time."""
    return max(1, (now_ns - _INCARNATIONS_SINCE_NS) // (60 * SECOND_NS))


@dataclass(frozen=True)
class Assembled:
    """A runtime that is ready to run, the number of samples it continues from, and notes on its saved state."""

    runtime: Runtime
    restored: bool
    notes: tuple[str, ...]


def assemble(
    plan: Plan, store: Store | None, transport: Transport, clock: Clock, tape: TapeFile | None = None
) -> Assembled:
    """The runtime of a member, from its newest snapshot if there is one; nothing is connected."""
    clock.at_least(plan.least_ns)
    notes = store.set_aside() if store is not None and plan.fresh else []
    started = store.begin(plan.incarnation_min) if store is not None else plan.incarnation_min

    def build(peers: list[int]) -> Node:
        node = plan.build(started, peers)
        if tape is None:
            return node
        tape.restart()  # A node whose state could not be restored may have been taped before.
        return cast(Node, TapedNode(node, tape.write))

    made: list[Node] = []
    loaded = Loaded(None)

    def restore(state: dict[str, Any]) -> None:
        clock.go_on_from(int(state.get("at_ns", 0)))
        made.append(restore_node(build, state, clock()))

    if store is not None:
        loaded = store.load(restore, plan.about)
    node = made[-1] if made else build([])
    if store is not None:
        store.raise_to(node.incarnation)
    runtime = Runtime(
        node,
        plan.envelope(node.incarnation),
        transport,
        store=store,
        snapshot_s=plan.snapshot_s,
        about=plan.about,
        record=plan.record,
        neighbours=plan.neighbours,
        clock=clock,
        timing=plan.timing,
        awaiting=plan.awaiting,
        broadcasts=plan.broadcasts,
    )
    runtime.snapshots.tape = tape
    if loaded.state is not None:
        runtime.restore(loaded.state)
    return Assembled(runtime, loaded.state is not None, (*notes, *loaded.notes))


@contextlib.contextmanager
def start_member(plan: Plan) -> Iterator[Started]:
    """A member, from its newest snapshot if there is one. Call it in the event loop, in the main thread.

    SIGTERM and SIGINT then stop the runtime. The state's folder and the tape are let go at the end.

    Raises
    ------
    ConfigError
        The state's folder, the tape, the certificates or the network cannot be used.
    """
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(plan.state)) if plan.state is not None else None
        tape = stack.enter_context(TapeFile(plan.tape, plan.tapes_max)) if plan.tape is not None else None
        made: Assembled | None = None
        try:
            transport = ZenohTransport(plan.member.swarm, plan.member.id, plan.endpoints)
            made = assemble(plan, store, transport, Clock(), tape)
            envelope = made.runtime.envelope
            if isinstance(envelope, Envelope):
                transport.prove = lambda status, nonce: sign_status(envelope.identity, status, nonce)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, made.runtime.stop)
            if plan.endpoints.certificates is not None:
                follow_link_log(made.runtime.refusals.link_refused, made.runtime.refusals.not_accepted)
            yield Started(made.runtime, transport, made.restored, made.notes)
        except ConfigError:
            if tape is not None and (made is None or not made.runtime.joined):
                tape.withdraw()
            raise
