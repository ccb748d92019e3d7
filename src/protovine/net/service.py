"""`protovine node`: a member with its settings, source and sink, logs, metrics and reloading."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError
from protovine.jit import compilations
from protovine.net.causes import Causes, log_cause
from protovine.net.config import NodeSettings
from protovine.net.control import Control
from protovine.net.feeding import feed
from protovine.net.io.base import Output, Sink, Source
from protovine.net.io.files import check_apart, check_writable
from protovine.net.io.schema import Schema
from protovine.net.member import Plan, Started, incarnation_at, start_member
from protovine.net.ops.logs import set_up_logs
from protovine.net.ops.probe import check_ports
from protovine.net.ops.reload import Reloader
from protovine.net.ops.server import Server, parse_address
from protovine.net.ops.systemd import Notifier
from protovine.net.samples import SamplePrediction
from protovine.net.security.commands import ControlKey
from protovine.net.store import STATE_FILES, check_folder
from protovine.net.tally import Tally
from protovine.system import warm
from protovine.tape import may_be_tape
from protovine.values import listed

_log = logging.getLogger("protovine")

# What the kernels of the default take on a desktop processor; they are cached then. Progress is logged this often.
COMPILE_S, _SAY_S = 60, 10.0


@dataclass
class Prepared:
    """Everything of a member before it connects to anything."""

    schema: Schema
    plan: Plan
    source: Source | None
    sink: Sink | None
    # What the source refuses; becomes the runtime's.
    causes: Causes
    # Of the token for commands, if there is one.
    control_key: ControlKey | None
    # Gives sources and sinks the session of the swarm, once it is open.
    started: list[Started]


def prepare(settings: NodeSettings, fresh: bool = False) -> Prepared:
    """Build everything that the settings name, and check the files and folders; nothing is connected or written.

    The saved state need not fit if it will be set aside (``fresh``).

    Raises
    ------
    ConfigError, DataError
        Something that the settings name is missing or cannot be used.
    """
    schema = settings.schema_of()
    plan = _plan(settings, schema, fresh)
    settings.envelope(1, schema)
    settings.build(schema, plan.member.id, 1, [])
    if plan.state is not None:
        check_folder(plan.state, {} if fresh else plan.about)
    metrics = None if settings.node.metrics is None else parse_address(settings.node.metrics)
    check_ports(settings.network.listen, metrics, plan.state)
    if plan.endpoints.multicast is not None:
        plan.endpoints.multicast.check_interface()
    _check_files(settings, plan)
    control_key = settings.control.key(plan.member.swarm)
    causes, started = Causes(log_cause), list[Started]()

    def session(declare: Callable[[Any], None]) -> None:
        started[0].transport.attach(declare)

    source = None if settings.source is None else settings.source.made(schema, session, causes)
    sink = None if settings.sink is None else settings.sink.made(schema, session, log_cause)
    return Prepared(schema, plan, source, sink, causes, control_key, started)


def _check_files(settings: NodeSettings, plan: Plan) -> None:
    """`ConfigError` if the node would write into a file that it reads, or that is something else."""
    read: dict[str, Any] = {
        "source.path": getattr(settings.source, "path", None),
        "schema": settings.schema_ if isinstance(settings.schema_, str) else None,
        "control.token_file": settings.control.token_file,
    }
    others = {name: Path(path) for name, path in read.items() if path is not None}
    if plan.state is not None:
        others |= {f"{name} in node.state": plan.state / name for name in STATE_FILES}
    tape, sink = plan.tape, getattr(settings.sink, "path", None)
    if tape is not None:
        check_writable(tape, "node.tape")
        check_apart(tape, "node.tape", others)
        if tape.is_file() and os.access(tape, os.R_OK) and not may_be_tape(tape):
            raise ConfigError(f"node.tape: {tape} is there and is no tape: name another file")
        others["node.tape"] = tape
    if sink is not None:
        check_apart(Path(sink), "sink.path", others)


def run_member(
    settings: NodeSettings, read_again: Callable[[], NodeSettings], file: Path | None = None, fresh: bool = False
) -> bool:
    """Run a member until its source ends or a signal comes; ``file`` is watched for changes of the settings.

    If ``fresh``, the saved state is set aside first.

    Returns false if messages came and not one of them could be used.

    Raises
    ------
    ConfigError, DataError
        Something that the settings name is missing or cannot be used.
    """
    set_up_logs(settings.node.log_format, settings.node.log_level)
    return asyncio.run(_run(settings, read_again, file, fresh))


async def _run(settings: NodeSettings, read_again: Callable[[], NodeSettings], file: Path | None, fresh: bool) -> bool:
    systemd, stopped = Notifier(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # Everything is being read anyway.
    prepared = prepare(settings, fresh)
    schema, plan = prepared.schema, prepared.plan
    name, swarm = plan.member.name, plan.member.swarm
    _log.info("protovine %s starts as %s of swarm %s", version("protovine"), name, swarm, extra={"pid": os.getpid()})
    useless: bool | None = None
    if settings.network.plain:
        _log.warning("plain TCP without encryption; any process can send in any member's name")
    with contextlib.ExitStack() as stack:
        server = None
        if settings.node.metrics is not None:
            expected = bool(settings.network.connect)
            server = stack.enter_context(Server(None, settings.node.metrics, peers_expected=expected))

        def doing(what: str) -> None:
            systemd.starting(what)
            if server is not None:
                server.phase = what

        await compile_kernels(settings, stopped, doing)
        started = stack.enter_context(start_member(plan))
        runtime = started.runtime
        if stopped.is_set():  # Before the member had handlers of its own.
            runtime.stop()
        prepared.started.append(started)
        runtime.tally.causes, runtime.samples.features = prepared.causes, schema.features
        if plan.state is None:
            _log.warning("nothing is saved (node.state none): a restart forgets what was learnt")
        else:
            _log.info("state is kept in %s", plan.state, extra={"path": str(plan.state)})
        for note in started.notes:
            _log.warning("%s", note)
        for warning in runtime.warnings:
            _log.warning("%s", warning)
        if started.restored:
            samples = runtime.node.samples_learnt
            _log.info("continued from a snapshot with %d samples", samples, extra={"samples": samples})
        if prepared.control_key is not None:
            runtime.control = control = Control(runtime, plan.member, prepared.control_key)
            started.transport.attach(control.declare)
            _log.info("operators who have the token can change this node (control)")
        reloader = Reloader(
            runtime,
            read=lambda: read_again().model_dump(by_alias=True),
            settings=file,
            certificates=Path(settings.network.certificates) if settings.network.certificates else None,
        )
        loop.add_signal_handler(signal.SIGHUP, reloader.request)
        if server is not None:
            server.serve(runtime)
        watching = [asyncio.ensure_future(each) for each in (reloader.watch(), systemd.watch())]

        async def feed() -> None:
            nonlocal useless
            systemd.send(READY=1, STATUS=f"{name} of swarm {swarm}")
            await _feed(prepared, name, started)
            useless = _end_of_source(prepared, runtime.tally)
            runtime.source_ended = True
            if settings.node.stay:
                _log.info("the source has ended; the node stays in the swarm (node.stay)")

        try:
            await runtime.run(feed, keep_on=settings.node.stay or settings.source is None)
        finally:
            systemd.send(STOPPING=1)
            for each in watching:
                each.cancel()
            for line in prepared.causes.summary():
                _log.warning("in all %s", line)
        if useless is None:  # A signal came before the source had ended.
            useless = _end_of_source(prepared, runtime.tally)
        _log.info("left after %d samples", runtime.tally.samples, extra={"samples": runtime.tally.samples})
    return not useless


async def compile_kernels(settings: NodeSettings, stopped: asyncio.Event, doing: Callable[[str], None]) -> None:
    """Compile the kernels in a thread, or load them from the cache, and say what takes long.

    When ``stopped`` is set meanwhile, the process ends at once, with exit code 0: there is nothing to save yet.
    """
    loop, began_s, count = asyncio.get_running_loop(), time.monotonic(), 0
    done: asyncio.Future[Any] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if not done.done():
            done.set_result(None) if error is None else done.set_exception(error)

    def begun() -> None:
        nonlocal count
        count += 1
        if count == 1:
            loop.call_soon_threadsafe(say)

    def say() -> None:
        about = f"compiling kernels (once, about {COMPILE_S} s)"
        spent_s = time.monotonic() - began_s
        text = about if spent_s < _SAY_S else f"{about}: {count} functions in {spent_s:.0f} s so far"
        _log.info("%s", text)
        doing(text)

    def work() -> None:
        error: BaseException | None = None
        try:
            with compilations(begun):
                warm([settings])
        except BaseException as raised:
            error = raised
        loop.call_soon_threadsafe(settle, error)

    # Not one of the loop's threads: the loop would wait for it.
    threading.Thread(target=work, name="protovine-compile", daemon=True).start()
    stopping: asyncio.Future[Any] = asyncio.ensure_future(stopped.wait())
    while not done.done():
        await asyncio.wait({done, stopping}, timeout=_SAY_S, return_when=asyncio.FIRST_COMPLETED)
        if stopped.is_set():
            _log.info("left while starting")
            logging.shutdown()
            os._exit(0)  # The compiler cannot be stopped, and Python would end under its feet.
        if count and not done.done():
            say()
    stopping.cancel()
    done.result()
    if count:
        _log.info("kernels are ready after %.0f s", time.monotonic() - began_s)


def _end_of_source(prepared: Prepared, tally: Tally) -> bool:
    """Say what of the source could not be used; true if that was everything."""
    useless = not tally.samples and not tally.labels and prepared.causes.messages > 0
    if useless:
        _log.error("not one message of the source could be used", extra={"reason": "useless"})
    elif tally.samples and prepared.source is not None and (never := prepared.source.never_seen):
        _log.warning("no sample had a value for %s", listed(never), extra={"reason": "absent"})
    return useless


def _plan(settings: NodeSettings, schema: Schema, fresh: bool) -> Plan:
    member = settings.member()
    return Plan(
        member,
        settings.endpoints(),
        build=lambda incarnation, peers: settings.build(schema, member.id, incarnation, peers),
        envelope=lambda incarnation: settings.envelope(incarnation, schema),
        state=settings.state_folder(member),
        about=settings.about(schema, member),
        fresh=fresh,
        awaiting=settings.awaiting(),
        least_ns=settings.least_ns(),
        incarnation_min=incarnation_at(time.time_ns()),
        snapshot_s=settings.node.snapshot_s,
        timing=settings.roster_timing(),
        broadcasts=settings.broadcasts,
        tape=Path(settings.node.tape) if settings.node.tape is not None else None,
        tapes_max=settings.node.tapes_max,
    )


async def _feed(prepared: Prepared, name: str, started: Started) -> None:
    """Take samples from the source and write predictions to the sink, until the source ends."""
    source, sink = prepared.source, prepared.sink
    runtime = started.runtime
    runtime.source, runtime.sink = source, sink

    async def put(made: SamplePrediction) -> None:
        if sink is not None:
            await sink.put(
                Output.of(
                    prepared.schema,
                    made.prediction,
                    id=made.id,
                    time_ns=made.at_ns,
                    prototypes=made.prototypes,
                    node=name,
                    device=made.device,
                    line=made.line,
                )
            )

    if sink is not None:
        await sink.open()
    try:
        if source is None:
            await asyncio.Event().wait()
            return
        async with contextlib.aclosing(source.events()) as events:
            runtime.feeding = True
            await feed(runtime, events, put)
    finally:
        runtime.feeding = False
        if sink is not None:
            await sink.close()
