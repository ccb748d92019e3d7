"""`protovine node`: a member with its settings, source and sink, logs, metrics and reloading."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path

from protovine.net.config import NodeSettings
from protovine.net.io.base import Output
from protovine.net.io.schema import Schema
from protovine.net.member import Plan, Started, start_member
from protovine.net.ops.logs import set_up_logs
from protovine.net.ops.reload import Reloader
from protovine.net.ops.server import Server
from protovine.net.samples import SamplePrediction
from protovine.system import warm

_log = logging.getLogger("protovine")

# Starts without a state folder, or with a new one, are numbered by the minutes since 2026: peers may know earlier ones.
_INCARNATIONS_SINCE_S = 1_767_225_600


def run_member(settings: NodeSettings, read_again: Callable[[], NodeSettings], file: Path | None = None) -> None:
    """Run a member until its source ends or a signal comes; ``file`` is watched for changes of the settings.

    Raises
    ------
    ConfigError, DataError
        Something that the settings name is missing or cannot be used.
    """
    set_up_logs(settings.node.log_format, settings.node.log_level)
    asyncio.run(_run(settings, read_again, file))


async def _run(settings: NodeSettings, read_again: Callable[[], NodeSettings], file: Path | None) -> None:
    schema = settings.schema_of()
    plan = _plan(settings, schema)
    warm([settings])
    if settings.network.plain:
        _log.warning("plain TCP without encryption; any process can send in any member's name")
    with contextlib.ExitStack() as stack:
        started = stack.enter_context(start_member(plan))
        runtime = started.runtime
        for note in started.notes:
            _log.error("%s", note)
        if started.restored:
            samples = runtime.node.samples_learnt
            _log.info("continued from a snapshot with %d samples", samples, extra={"samples": samples})
        reloader = Reloader(
            runtime,
            read=lambda: read_again().model_dump(by_alias=True),
            settings=file,
            certificates=Path(settings.network.certificates) if settings.network.certificates else None,
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.request)
        server = None
        if settings.node.metrics is not None:
            expected = bool(settings.network.connect)
            server = stack.enter_context(Server(runtime, settings.node.metrics, peers_expected=expected))
        watching = asyncio.ensure_future(reloader.watch())
        try:
            await runtime.run(
                lambda: _feed(settings, schema, plan.member.name, started, server),
                keep_on=settings.node.stay or settings.source is None,
            )
        finally:
            watching.cancel()
        _log.info("left after %d samples", runtime.tally.samples, extra={"samples": runtime.tally.samples})


def _plan(settings: NodeSettings, schema: Schema) -> Plan:
    member = settings.member()
    return Plan(
        member,
        settings.endpoints(),
        build=lambda incarnation, peers: settings.build(schema, member.id, incarnation, peers),
        envelope=lambda incarnation: settings.envelope(incarnation, schema),
        state=Path(settings.node.state) if settings.node.state else None,
        incarnation_min=max(1, int(time.time() - _INCARNATIONS_SINCE_S) // 60),
        snapshot_s=settings.node.snapshot_s,
        tape=Path(settings.node.tape) if settings.node.tape is not None else None,
    )


async def _feed(settings: NodeSettings, schema: Schema, name: str, started: Started, server: Server | None) -> None:
    """Take samples from the source and write predictions to the sink, until the source ends."""

    def report(reason: str, text: str) -> None:
        _log.warning("%s", text, extra={"reason": reason})

    session = started.transport.session
    source = settings.source_of(schema, session, report)
    sink = settings.sink_of(session, report)
    if server is not None:
        server.source, server.sink = source, sink

    async def put(made: SamplePrediction) -> None:
        if sink is not None and not sink.closed:
            await sink.put(
                Output.of(
                    schema,
                    made.prediction,
                    id=made.id,
                    time_ns=made.at_ns,
                    prototypes=made.prototypes,
                    node=name,
                )
            )

    try:
        if source is None:
            await asyncio.Event().wait()
            return
        async with contextlib.aclosing(source.events()) as events:
            await started.runtime.feed(events, put)
    finally:
        if sink is not None:
            await sink.close()
