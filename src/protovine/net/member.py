"""`protovine node`: from settings to a running member, with signals, snapshots, source and sink."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from protovine.errors import ConfigError
from protovine.net.config import NodeSettings
from protovine.net.io.schema import Schema
from protovine.net.io.sinks import Output as SinkOutput
from protovine.net.ops.link_log import follow_link_log
from protovine.net.ops.logs import set_up_logs
from protovine.net.ops.reload import Reloader
from protovine.net.ops.server import Server
from protovine.net.runtime import MonotonicClock, Output, Runtime, restore_node
from protovine.net.store import Store
from protovine.net.transport import ZenohTransport
from protovine.node import Node
from protovine.system import warm
from protovine.tape import AnyCall, TapedNode, encode

_log = logging.getLogger("protovine")

# Without a state folder, or with a new one, a start is numbered by the minutes since then: peers may know earlier ones.
_INCARNATIONS_SINCE_S = 1_767_225_600  # 2026-01-01


def run_member(settings: NodeSettings, read_again: Callable[[], NodeSettings], file: Path | None = None) -> None:
    """Be a member until the source ends or a signal comes; ``file`` is watched for changes of the settings.

    Raises
    ------
    ConfigError, DataError
        Something that the settings name is not there or cannot be used.
    """
    set_up_logs(settings.node.log_format, settings.node.log_level)
    asyncio.run(_run(settings, read_again, file))


async def _run(settings: NodeSettings, read_again: Callable[[], NodeSettings], file: Path | None) -> None:
    schema, member, clock = settings.schema_of(), settings.member(), MonotonicClock()
    warm([settings])
    if settings.network.plain:
        _log.warning("plain TCP: nothing is encrypted, and anybody can speak for anybody")
    first = max(1, int(time.time() - _INCARNATIONS_SINCE_S) // 60)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(Path(settings.node.state))) if settings.node.state else None
        started = store.begin(first) if store is not None else first
        tape = _Tape(stack, settings.node.tape)

        def build(peers: list[int]) -> Node:
            return tape.of(settings.build(schema, member.id, started, peers))

        made: list[Node] = []
        loaded = None
        if store is not None:
            loaded = store.load(lambda state: made.append(restore_node(build, state, clock())))
            for note in loaded.notes:
                _log.error("%s", note)
        node = made[-1] if made else build([])
        if store is not None:
            store.raise_to(node.incarnation)
        transport = ZenohTransport(member.swarm, member.id, settings.endpoints())
        runtime = Runtime(
            node,
            settings.envelope(node.incarnation, schema),
            transport,
            store=store,
            snapshot_s=settings.node.snapshot_s,
            clock=clock,
        )
        if loaded is not None and loaded.state is not None:
            runtime.restore(loaded.state)
            _log.info(
                "went on from a snapshot with %d samples", node.samples_learnt, extra={"samples": node.samples_learnt}
            )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, runtime.stop)
        reloader = Reloader(
            runtime,
            read=lambda: read_again().model_dump(by_alias=True),
            settings=file,
            certificates=Path(settings.network.certificates) if settings.network.certificates else None,
        )
        loop.add_signal_handler(signal.SIGHUP, reloader.request)
        server = None
        if settings.node.metrics is not None:
            expected = bool(settings.network.connect)
            server = stack.enter_context(Server(runtime, settings.node.metrics, peers_expected=expected))
        if not settings.network.plain:
            follow_link_log(runtime.link_refused)
        watching = asyncio.ensure_future(reloader.watch())
        try:
            await runtime.run(
                lambda: _feed(settings, schema, member.name, runtime, transport, server),
                keep_on=settings.node.stay or settings.source is None,
            )
        finally:
            watching.cancel()
        _log.info("left after %d samples", runtime.tally.samples, extra={"samples": runtime.tally.samples})


async def _feed(
    settings: NodeSettings,
    schema: Schema,
    name: str,
    runtime: Runtime,
    transport: ZenohTransport,
    server: Server | None,
) -> None:
    def say(reason: str, text: str) -> None:
        _log.warning("%s", text, extra={"reason": reason})

    source = settings.source_of(schema, transport.session, say)
    sink = settings.sink_of(transport.session, say)
    if server is not None:
        server.source, server.sink = source, sink

    async def put(output: Output) -> None:
        if sink is not None and not sink.closed:
            await sink.put(
                SinkOutput.of(
                    schema,
                    output.prediction,
                    id=output.id,
                    time_ns=output.at_ns,
                    prototypes=output.prototypes,
                    node=name,
                )
            )

    try:
        if source is None:
            await asyncio.Event().wait()
            return
        async with contextlib.aclosing(source.events()) as events:
            await runtime.feed(events, put)
    finally:
        if sink is not None:
            await sink.close()


class _Tape:
    """Writes what is said to a node into a file, if one is named: anew for each start, as one tape is one life."""

    def __init__(self, stack: contextlib.ExitStack, path: str | None) -> None:
        self._file: BinaryIO | None = None
        if path is not None:
            try:
                file = open(path, "wb")  # noqa: SIM115  Until the stack is left.
            except OSError as error:
                raise ConfigError(f"node.tape: cannot write {path}: {error.strerror}") from None
            self._file = stack.enter_context(file)

    def of(self, node: Node) -> Node:
        """The node, or one in its place that is listened to."""
        file = self._file
        if file is None:
            return node
        file.seek(0)
        file.truncate()  # A state that could not be used was tried before.
        return cast(Node, TapedNode(node, lambda call: _write(file, call)))


def _write(file: BinaryIO, call: AnyCall) -> None:
    file.write(encode(call))
