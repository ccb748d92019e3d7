"""One member of a local swarm as a process: it replays its part of an experiment's stream in real time.

`protovine.experiments.live.swarm` starts it as ``python -m protovine.experiments.live.member SPEC.json``. It writes
``ready`` to standard output when it has met all others, waits for the start time on standard input, and ends with its
stream.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from protovine import records
from protovine.errors import ProtovineError
from protovine.experiments.define.build import Built, build
from protovine.experiments.define.config import Experiment, RunSettings, read_toml
from protovine.experiments.define.prepare import prepare
from protovine.net.io import Schema
from protovine.net.member import Plan, start_member
from protovine.net.ops.meter import SocketMeter
from protovine.net.runtime import Runtime
from protovine.net.security import Envelope, EnvelopeLike, MemberName, PlainEnvelope, load_member
from protovine.net.transport import Endpoints
from protovine.records import SECOND_NS, Record
from protovine.system import warm

# A member that does not meet the others in time starts without them.
MEET_S = 60.0


class Spec(msgspec.Struct, forbid_unknown_fields=True):
    """The settings of a member process, from its parent."""

    experiment: str
    preset: str
    seed: int
    node: int
    swarm: str
    folder: str
    listen: list[str]
    connect: list[str]
    certificates: str | None
    mode: str = "peer"
    snapshot_s: float = 5.0
    stay: bool = False
    # Number of this start: the incarnation is at least this, even if the state was lost.
    start: int = 1


class Sample(msgspec.Struct, frozen=True):
    """A row of the stream, or the class of an earlier one."""

    x: Any
    y: int | None
    id: int
    time_ns: int | None = None
    device: str = ""
    place: None = None


class Trace:
    """Writes records as lines of a file, so that a killed process loses at most its last one."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._encode = msgspec.json.Encoder().encode
        self._waiting: list[bytes] = []

    def __call__(self, record: Record) -> None:
        self._waiting.append(self._encode(record) + b"\n")

    def flush(self) -> None:
        """Hand buffered lines to the operating system."""
        if self._waiting:
            os.write(self._file, b"".join(self._waiting))
            self._waiting.clear()


async def play(spec: Spec) -> None:
    """Run the member until its part of the stream ends."""
    experiment = Experiment(**read_toml(Path(spec.experiment)))
    prepared = prepare(experiment)
    settings, data = prepared.settings[spec.preset], prepared.data[spec.seed]
    built = build(settings, data, spec.seed)
    warm([settings])
    folder = Path(spec.folder)
    trace = Trace(folder / "trace.jsonl")
    home = Path(spec.certificates) if spec.certificates is not None else None
    schema = Schema.of(data).fingerprint()
    plan = Plan(
        MemberName(spec.swarm, f"node-{spec.node}", spec.node),
        Endpoints(spec.listen, spec.connect, spec.mode, home),
        build=lambda incarnation, peers: built.make_node(spec.node, incarnation, peers),
        envelope=lambda incarnation: _envelope(spec, incarnation, schema),
        state=folder / "state",
        incarnation_min=spec.start,
        snapshot_s=spec.snapshot_s,
        record=trace,
        neighbours=frozenset(built.neighbours[spec.node]),
    )
    with start_member(plan) as started:
        runtime = started.runtime
        for note in started.notes:
            _say(note=note)
        trace(records.Up(runtime.now_ns(), spec.node, runtime.node.incarnation))
        meter = SocketMeter()
        watching = asyncio.ensure_future(_watch(spec, runtime, trace, meter, folder))
        gc.freeze()
        try:
            await runtime.run(lambda: _feed(spec, built, settings, runtime, trace, meter), keep_on=spec.stay)
        finally:
            watching.cancel()
            trace.flush()
            _report(runtime, meter, folder)


async def _feed(
    spec: Spec, built: Built, settings: RunSettings, runtime: Runtime, trace: Trace, meter: SocketMeter
) -> None:
    """Wait for the others and for the start, then take every sample at its time."""
    others, deadline = len(built.neighbours[spec.node]), time.monotonic() + MEET_S
    while len(runtime.roster.peers) < others and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    before = meter.read()
    _report(runtime, meter, Path(spec.folder))  # A ready member has a status.
    _say(ready=sorted(runtime.roster.names.values()), socket=before)
    line = await asyncio.to_thread(sys.stdin.readline)
    start_ns = int(line or time.time_ns())
    rows, at_ns = built.scenario.rows[spec.node], built.scenario.at_ns[spec.node]
    now_ns = time.time_ns() - start_ns
    for row, due_ns in zip(rows.tolist(), at_ns.tolist(), strict=True):
        truth = int(built.scenario.y[row])
        if due_ns < now_ns - SECOND_NS:  # It arrived while this member was down.
            trace(records.Missed(start_ns + due_ns, spec.node, row, truth))
            continue
        wait_s = (start_ns + due_ns - time.time_ns()) / SECOND_NS
        # At full speed, let messages of peers be handled too.
        await asyncio.sleep(max(0.0, wait_s))
        trace(records.Arrived(max(runtime.node.now_ns, time.time_ns()), spec.node, row, truth))
        runtime.take(Sample(built.scenario.x[row], truth if truth >= 0 else None, row), number=row)
    # Messages in flight still count, and the others may need entries of this member.
    await asyncio.sleep(1.0)
    _say(done=True)
    if not spec.stay:
        await asyncio.to_thread(sys.stdin.readline)  # The others may not be done yet.


async def _watch(spec: Spec, runtime: Runtime, trace: Trace, meter: SocketMeter, folder: Path) -> None:
    while True:
        await asyncio.sleep(0.5)
        trace.flush()
        _report(runtime, meter, folder)


def _report(runtime: Runtime, meter: SocketMeter, folder: Path) -> None:
    """Write the status and the bytes at the socket for the parent."""
    sent = meter.read()
    usage = time.process_time()
    status = {**runtime.status(), "socket": sent, "cpu_s": usage, "rss_bytes": _resident()}
    partial = folder / "status.json.part"
    partial.write_bytes(msgspec.json.encode(status))
    os.replace(partial, folder / "status.json")


def _say(**what: Any) -> None:
    """Write a line for the parent."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _resident() -> int | None:
    """Bytes of memory that the process holds."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _envelope(spec: Spec, incarnation: int, schema: bytes) -> EnvelopeLike:
    if spec.certificates is None:
        return PlainEnvelope(
            MemberName(spec.swarm, f"node-{spec.node}", spec.node), incarnation=incarnation, schema=schema
        )
    identity, trust = load_member(Path(spec.certificates), datetime.now(UTC))
    return Envelope(identity, trust, incarnation=incarnation, schema=schema)


def main() -> None:
    """Run the member that the file on the command line describes."""
    spec = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Spec)
    try:
        asyncio.run(play(spec))
    except ProtovineError as error:
        _say(error=str(error))
        sys.exit(2)


if __name__ == "__main__":
    main()
