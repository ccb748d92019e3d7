"""A swarm of real processes on loopback: one experiment, one preset, one seed, in real time, with the run's results."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from protovine.errors import ConfigError, DataError, RunError
from protovine.experiments.define.build import Built, build
from protovine.experiments.define.prepare import Prepared, describe, describe_data, resolved
from protovine.experiments.live.member import MEET_S, Spec
from protovine.experiments.run.execute import judge, trace_header, trace_name
from protovine.experiments.run.result import Result, Run
from protovine.experiments.run.runner import versions
from protovine.net.security import create_authority, issue
from protovine.net.transport import zenoh_module
from protovine.records import SECOND_NS, AnyRecord, Arrived, Missed, Received, TraceHash, write_trace
from protovine.sim import Outcome
from protovine.sim.invariants import Invariants
from protovine.system import warm

SWARM = "local"
# Processes that start at a time: each compiles or loads kernels first.
_STARTING_MAX = 4
_END_S = 20.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member runs: its address and port (0: any free one), and a command in front of its own."""

    address: str = "127.0.0.1"
    port: int = 0
    command: tuple[str, ...] = ()


@dataclass
class Process:
    """One member's process and what it has said."""

    spec: Spec
    folder: Path
    command: tuple[str, ...] = ()
    child: subprocess.Popen[str] | None = None
    ready: bool = False
    done: bool = False
    socket_before: tuple[int, int] = (0, 0)
    notes: list[str] = field(default_factory=list)
    error: str | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        self.ready = self.done = False
        (self.folder / "spec.json").write_bytes(msgspec.json.encode(self.spec))
        self.spec = msgspec.structs.replace(self.spec, start=self.spec.start + 1)
        errors = os.open(self.folder / "stderr.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        self.child = subprocess.Popen(
            [*self.command, sys.executable, "-m", "protovine.experiments.live.member", str(self.folder / "spec.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
        os.close(errors)
        threading.Thread(target=self._listen, args=(self.child,), daemon=True).start()

    def _listen(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            with contextlib.suppress(ValueError, AttributeError):
                said = json.loads(line)
                self.error = said.get("error", self.error)
                if "note" in said:
                    self.notes.append(said["note"])
                if "ready" in said:
                    self.socket_before = tuple(said["socket"] or (0, 0))
                    self.ready = True
                self.done = self.done or "done" in said

    def say(self, line: str) -> None:
        """A line on its standard input."""
        if self.child is not None and self.child.stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # It ended, or its input was closed.
                self.child.stdin.write(line + "\n")
                self.child.stdin.flush()

    def status(self) -> dict[str, Any] | None:
        """What it wrote of itself last."""
        try:
            return dict(json.loads((self.folder / "status.json").read_bytes()))
        except (OSError, ValueError):
            return None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.child is not None and self.child.poll() is None


class LocalSwarm:
    """Members of an experiment as processes on loopback, with certificates made for the occasion.

    Parameters
    ----------
    prepared : Prepared
        Its first preset with its first seed.
    folder : path
        Where members keep state and traces.
    secure : bool
        Mutual TLS and sealed messages; otherwise plain TCP.
    stay : bool
        Members stay after their stream has ended, until `stop`.
    places : list of Place, optional
        Of each member; by default loopback.
    """

    def __init__(
        self,
        prepared: Prepared,
        folder: Path,
        *,
        secure: bool = True,
        stay: bool = False,
        places: Sequence[Place] | None = None,
    ) -> None:
        zenoh_module()
        self.prepared, self.folder, self.secure = prepared, folder, secure
        self.preset, self.settings = next(iter(prepared.settings.items()))
        self.seed = prepared.seeds[0]
        self.data = prepared.data[self.seed]
        self.built: Built = build(self.settings, self.data, self.seed)
        _check(self.settings, prepared)
        self.start_ns = 0
        n = len(self.built.scenario.rows)
        places = places or [Place()] * n
        free = free_ports(n)
        at = [f"{place.address}:{place.port or free[node]}" for node, place in enumerate(places)]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "experiment.toml").write_text(tomli_w.dumps(describe(prepared)), encoding="utf-8")
        now = datetime.now(UTC)
        if secure:
            create_authority(folder / "authority", SWARM, now=now, days=30)
        protocol = "tls" if secure else "tcp"
        self.members: list[Process] = []
        for node in range(n):
            home = folder / f"node-{node}"
            home.mkdir()
            certificates = None
            if secure:
                certificates = str(home / "certificates")
                issue(
                    folder / "authority",
                    f"node-{node}",
                    home / "certificates",
                    addresses=[places[node].address],
                    id=node,
                    now=now,
                )
            spec = Spec(
                experiment=str(folder / "experiment.toml"),
                preset=self.preset,
                seed=self.seed,
                node=node,
                swarm=SWARM,
                folder=str(home),
                listen=[f"{protocol}/{at[node]}"],
                # Each dials those before it, so that there is one link for each pair.
                connect=[f"{protocol}/{at[other]}" for other in range(node)],
                certificates=certificates,
                stay=stay,
            )
            self.members.append(Process(spec, home, places[node].command))

    def start(self, watch: Callable[[], None] = lambda: None) -> None:
        """Start all, a few at a time; return when everybody has met.

        Raises
        ------
        RunError
            A member ended, or they did not meet in time.
        """
        deadline = time.monotonic() + MEET_S + 10.0 * len(self.members)
        for number, member in enumerate(self.members):
            member.start()
            while sum(not (m.folder / "status.json").exists() for m in self.members[: number + 1]) >= _STARTING_MAX:
                self._check_alive(deadline)
                time.sleep(0.05)
        while not all(member.ready for member in self.members):
            self._check_alive(deadline)
            watch()
            time.sleep(0.05)

    def begin(self) -> None:
        """Let the stream begin everywhere, half a second from now."""
        self.start_ns = time.time_ns() + SECOND_NS // 2
        for member in self.members:
            member.say(str(self.start_ns))

    def wait(self, watch: Callable[[], None] = lambda: None) -> None:
        """Wait until every member that runs has taken all its samples."""
        while any(member.running and not member.done for member in self.members):
            watch()
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop all, in order if they can."""
        for member in self.members:
            member.say("stop")
        for member in self.members:
            if member.running and member.spec.stay:
                assert member.child is not None
                member.child.terminate()
        deadline = time.monotonic() + _END_S
        for member in self.members:
            if member.child is not None:
                try:
                    member.child.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    member.child.kill()
                    member.child.wait()
                for pipe in (member.child.stdin, member.child.stdout):
                    if pipe is not None:
                        with contextlib.suppress(OSError):
                            pipe.close()

    def again(self, node: int) -> None:
        """Start a member that ended again, in the middle of the run."""
        member = self.members[node]
        member.start()
        deadline = time.monotonic() + MEET_S
        while not member.ready:
            if not member.running or time.monotonic() > deadline:
                raise RunError(f"node {node} did not come back: {member.error or _tail(member.folder / 'stderr.txt')}")
            time.sleep(0.02)
        member.say(str(self.start_ns))

    def result(self, trace_folder: Path | None = None) -> Run:
        """Everything that the members recorded, judged as a simulated run is."""
        records = self.records()
        end_ns = max((record.at_ns for record in records), default=0)
        run = judge(
            self.settings,
            self.preset,
            self.seed,
            self.data,
            self.built,
            Outcome([None] * len(self.members), end_ns, Invariants()),
            records,
            wall_s=end_ns / SECOND_NS,
            trace_hash=_hash(records),
        )
        run.metrics["bytes_socket_per_node_per_s"] = self._socket_rate(end_ns)
        if trace_folder is not None:
            header = {**trace_header(self.preset, self.seed, self.data, self.built), "live": True}
            write_trace(trace_folder / trace_name(self.preset, self.seed), header, records)
        return replace(run, ages=run.ages.of_live() if run.ages else None)

    def records(self) -> list[AnyRecord]:
        """The records of all members in the order of time, which begins with the stream."""
        decode = msgspec.json.Decoder(AnyRecord).decode
        found: list[AnyRecord] = []
        for member in self.members:
            path = member.folder / "trace.jsonl"
            lines = path.read_bytes().split(b"\n") if path.exists() else []
            for line in lines[:-1]:  # What a killed process left half is no record.
                record = decode(line)
                times = {"at_ns": max(0, record.at_ns - self.start_ns)}
                if isinstance(record, Received):
                    times["created_ns"] = max(0, record.created_ns - self.start_ns)
                found.append(msgspec.structs.replace(record, **times))
        # Who starts again does not know what it had taken before.
        taken = {(record.node, record.sample) for record in found if isinstance(record, Arrived)}
        found = [each for each in found if not (isinstance(each, Missed) and (each.node, each.sample) in taken)]
        found.sort(key=lambda record: record.at_ns)
        return found

    def _socket_rate(self, end_ns: int) -> float | None:
        """Bytes that a node sent per second since all had met, as the kernel counts them."""
        sent = []
        for member in self.members:
            status = member.status()
            if status is None or status.get("socket") is None:
                return None
            sent.append(status["socket"][0] - member.socket_before[0])
        return sum(sent) / len(sent) / (end_ns / SECOND_NS) if end_ns else None

    def _check_alive(self, deadline: float) -> None:
        for member in self.members:
            if member.child is not None and not member.running:
                why = member.error or _tail(member.folder / "stderr.txt")
                raise RunError(f"node {member.spec.node} ended before the start: {why}")
        if time.monotonic() > deadline:
            missing = [member.spec.node for member in self.members if not member.ready]
            raise RunError(f"nodes {missing} have not met the others in time")


def run_live(
    prepared: Prepared,
    *,
    secure: bool = True,
    trace_folder: Path | None = None,
    watch: Callable[[LocalSwarm], None] = lambda swarm: None,
    keep: Path | None = None,
) -> Result:
    """Run the first preset with the first seed as real processes; see `LocalSwarm`.

    Raises
    ------
    ConfigError, DataError
        Settings that only a simulation has, or data that only this process has.
    RunError
        A member ended where it should not.
    """
    warm(prepared.settings.values())
    with _folder(keep) as folder:
        swarm = LocalSwarm(prepared, folder, secure=secure)
        status, error, runs = "complete", None, []
        try:
            swarm.start(lambda: watch(swarm))
            swarm.begin()
            swarm.wait(lambda: watch(swarm))
        except KeyboardInterrupt:
            status = "partial"
        except RunError as broken:
            status, error = "failed", str(broken)
        finally:
            swarm.stop()
        if swarm.start_ns:
            runs = [swarm.result(trace_folder)]
        notes = [f"node {m.spec.node}: {note}" for m in swarm.members for note in m.notes]
    return Result(
        experiment={**describe(prepared), "live": True},
        resolved={swarm.preset: resolved(prepared)[swarm.preset]},
        data=describe_data(prepared),
        neighbours=prepared.neighbours,
        runs=runs,
        status=status,
        error=error,
        notes=(*prepared.notes, *notes),
        versions=versions(),
    )


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on just now."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in taken]


def _check(settings: Any, prepared: Prepared) -> None:
    """`ConfigError` for what only virtual time has."""
    if describe_data(prepared)["in_memory"]:
        raise DataError("a swarm of processes needs data that each of them can load: a name or a file")
    swarm = settings.swarm
    unusable = {
        "swarm.central": swarm.central,
        "swarm.server": swarm.server,
        "learner.name river": settings.learner.name == "river",
        "swarm.hostile": bool(swarm.byzantine),
        "swarm.label_delay_s": swarm.label_delay_s > 0,
        "swarm.labelled": swarm.labelled < 1,
        "swarm.clock_skew_s": swarm.clock_skew_s > 0,
        "swarm.clock_drift_ppm": swarm.clock_drift_ppm > 0,
        "faults": bool(settings.faults),
        "data.holdout": settings.data.holdout,
        "link": settings.link != type(settings.link)(),
    }
    for key, used in unusable.items():
        if used:
            raise ConfigError(f"{key} is for simulations only: a swarm of processes has real links and clocks")
    if swarm.nodes > 200:
        raise ConfigError(f"swarm.nodes must be at most 200 as processes on one machine, got {swarm.nodes}")


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    made = Path(tempfile.mkdtemp(prefix="protovine-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _hash(records: list[AnyRecord]) -> str:
    made = TraceHash()
    for record in records:
        made.add(record)
    return made.hexdigest()


def _tail(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "it said nothing"
    return lines[-1] if lines else "it said nothing"
