"""Starting a member: its state, its incarnation, its node, its tape, its network and its signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from protovine.errors import ConfigError
from protovine.net.ops.link_log import follow_link_log
from protovine.net.roster import RosterTiming
from protovine.net.runtime import MonotonicClock, Runtime
from protovine.net.security.envelope import EnvelopeLike
from protovine.net.security.identity import MemberName
from protovine.net.snapshots import restore_node
from protovine.net.store import Loaded, Store
from protovine.net.transport import Endpoints, ZenohTransport
from protovine.node import Node
from protovine.records import Record
from protovine.tape import AnyCall, TapedNode, encode


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
    snapshot_s : float
        Seconds between snapshots.
    tape : path or None
        File for every call of the node.
    record : callable (Record) -> None
        Takes every trace record.
    neighbours : frozenset of int or None
        Members to talk to; all, if None.
    timing : RosterTiming or None
        How often peers are asked and looked for.
    """

    member: MemberName
    endpoints: Endpoints
    build: Callable[[int, list[int]], Node]
    envelope: Callable[[int], EnvelopeLike]
    state: Path | None = None
    incarnation_min: int = 1
    snapshot_s: float = 30.0
    tape: Path | None = None
    record: Callable[[Record], None] = lambda record: None
    neighbours: frozenset[int] | None = None
    timing: RosterTiming | None = None


@dataclass(frozen=True)
class Started:
    """A member that is ready for `Runtime.run`; ``notes`` say what was wrong with its saved state."""

    runtime: Runtime
    transport: ZenohTransport
    restored: bool
    notes: tuple[str, ...]


@contextlib.contextmanager
def start_member(plan: Plan) -> Iterator[Started]:
    """A member, from its newest snapshot if there is one. Call it in the event loop, in the main thread.

    SIGTERM and SIGINT then stop the runtime. The state's folder and the tape are let go at the end.

    Raises
    ------
    ConfigError
        The state's folder, the tape, the certificates or the network cannot be used.
    """
    clock = MonotonicClock()
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(plan.state)) if plan.state is not None else None
        started = store.begin(plan.incarnation_min) if store is not None else plan.incarnation_min
        tape = stack.enter_context(_opened(plan.tape)) if plan.tape is not None else None

        def build(peers: list[int]) -> Node:
            node = plan.build(started, peers)
            return node if tape is None else _taped(node, tape)

        made: list[Node] = []
        loaded = Loaded(None)
        if store is not None:
            loaded = store.load(lambda state: made.append(restore_node(build, state, clock())))
        node = made[-1] if made else build([])
        if store is not None:
            store.raise_to(node.incarnation)
        transport = ZenohTransport(plan.member.swarm, plan.member.id, plan.endpoints)
        runtime = Runtime(
            node,
            plan.envelope(node.incarnation),
            transport,
            store=store,
            snapshot_s=plan.snapshot_s,
            record=plan.record,
            neighbours=plan.neighbours,
            timing=plan.timing,
            clock=clock,
        )
        if loaded.state is not None:
            runtime.restore(loaded.state)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, runtime.stop)
        if plan.endpoints.certificates is not None:
            follow_link_log(runtime.link_refused, runtime.not_accepted)
        yield Started(runtime, transport, loaded.state is not None, loaded.notes)


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "wb")
    except OSError as error:
        raise ConfigError(f"node.tape: cannot write {path}: {error.strerror}") from None


def _taped(node: Node, file: BinaryIO) -> Node:
    """A stand-in for the node that writes every call to the tape first."""

    def write(call: AnyCall) -> None:
        file.write(encode(call))

    # A node whose state could not be restored may have been taped before. A tape is of one node.
    file.seek(0)
    file.truncate()
    return cast(Node, TapedNode(node, write))
