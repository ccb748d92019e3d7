"""`protovine node`: from settings to a running member, with signals, snapshots, source and sink."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path

from protovine.errors import ConfigError, DataError
from protovine.net.config import NodeSettings
from protovine.net.runtime import Clock, Output, Runtime, restore_node
from protovine.net.schema import Schema
from protovine.net.sinks import Output as SinkOutput
from protovine.net.store import Store
from protovine.net.transport import ZenohTransport
from protovine.node import Node

_log = logging.getLogger("protovine")

# Without a state folder, or with a new one, a start is numbered by the minutes since then: peers may know earlier ones.
_INCARNATIONS_SINCE_S = 1_767_225_600  # 2026-01-01


def run_member(settings: NodeSettings, read_again: Callable[[], NodeSettings]) -> None:
    """Be a member until the source ends or a signal comes.

    Raises
    ------
    ConfigError, DataError
        Something that the settings name is not there or cannot be used.
    """
    logging.basicConfig(level=settings.node.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_run(settings, read_again))


async def _run(settings: NodeSettings, read_again: Callable[[], NodeSettings]) -> None:
    schema, member, clock = settings.schema_of(), settings.member(), Clock()
    if settings.network.plain:
        _log.warning("plain TCP: nothing is encrypted, and anybody can speak for anybody")
    first = max(1, int(time.time() - _INCARNATIONS_SINCE_S) // 60)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(Path(settings.node.state))) if settings.node.state else None
        started = store.begin(first) if store is not None else first
        made: list[Node] = []
        loaded = None
        if store is not None:
            loaded = store.load(
                lambda state: made.append(
                    restore_node(lambda peers: settings.build(schema, member.id, started, peers), state, clock())
                )
            )
            for note in loaded.notes:
                _log.error("%s", note)
        node = made[-1] if made else settings.build(schema, member.id, started, [])
        if store is not None:
            store.raise_to(node.gossip.incarnation)
        transport = ZenohTransport(member.swarm, member.id, settings.endpoints())
        runtime = Runtime(
            node,
            settings.envelope(node.gossip.incarnation, schema),
            transport,
            store=store,
            snapshot_s=settings.node.snapshot_s,
            clock=clock,
        )
        if loaded is not None and loaded.state is not None:
            runtime.restore(loaded.state)
            _log.info("went on from a snapshot with %d samples", node.version, extra={"samples": node.version})
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, runtime.stop)
        loop.add_signal_handler(signal.SIGHUP, _reload, runtime, settings, read_again)
        await runtime.run(
            lambda: _feed(settings, schema, member.name, runtime, transport),
            keep_on=settings.node.stay or settings.source is None,
        )


async def _feed(settings: NodeSettings, schema: Schema, name: str, runtime: Runtime, transport: ZenohTransport) -> None:
    def say(reason: str, text: str) -> None:
        _log.warning("%s", text, extra={"reason": reason})

    source = settings.source_of(schema, transport.session, say)
    sink = settings.sink_of(transport.session, say)

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


def _reload(runtime: Runtime, settings: NodeSettings, read_again: Callable[[], NodeSettings]) -> None:
    try:
        fresh = read_again()
    except (ConfigError, DataError) as error:
        _log.error("not reloaded: %s", error)
        return
    runtime.snapshot_s = fresh.node.snapshot_s
    logging.getLogger().setLevel(fresh.node.log_level.upper())
    _log.info("reloaded")
