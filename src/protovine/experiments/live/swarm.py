"""A swarm of real processes on this machine: one preset with one seed, in real time, judged like a simulated run."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import tomli_w

from protovine.errors import ConfigError, DataError, RunError
from protovine.experiments.define.build import Built, build
from protovine.experiments.define.prepare import Prepared, describe, describe_data, resolved
from protovine.experiments.live.member import MEET_S, Spec
from protovine.experiments.live.process import Place, Process
from protovine.experiments.live.recorded import read_records
from protovine.experiments.run.ages import expected_ages
from protovine.experiments.run.execute import describe_run
from protovine.experiments.run.judge import judge
from protovine.experiments.run.result import Result, Run
from protovine.experiments.run.runner import notes_on_labels, versions
from protovine.experiments.run.trace import hash_of, trace_name
from protovine.net.security import create_authority, issue
from protovine.net.zenoh_library import zenoh_module
from protovine.records import SECOND_NS, AnyRecord, Arrived, write_trace
from protovine.system import warm
from protovine.topology import is_changing

__all__ = ["SWARM", "LocalSwarm", "Place", "Process", "free_ports", "run_live"]

SWARM = "local"
# Processes that start at the same time: each compiles or loads kernels first.
_STARTING_MAX = 4
# Processes that have not ended after this time are killed.
_END_TIMEOUT_S = 20.0
# A member that takes no sample for this time after the end of the stream has stopped.
_STOPPED_S = 60.0


class LocalSwarm:
    """The members of an experiment as processes on this machine, with certificates of their own authority.

    Parameters
    ----------
    prepared : Prepared
        Its first preset runs, with its first seed.
    folder : path
        Folder for the states and traces of the members.
    secure : bool
        Mutual TLS and sealed messages; otherwise plain TCP.
    stay : bool
        Members go on after their stream has ended, until `stop`.
    places : list of Place, optional
        One for each member; loopback by default.
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
        check_live(prepared)
        self.preset, self.settings = next(iter(prepared.settings.items()))
        self.seed = prepared.seeds[0]
        self.data = prepared.data[self.seed]
        self.built: Built = build(self.settings, self.data, self.seed)
        self.start_ns = 0
        self.ended: dict[int, str] = {}
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
                # Each member dials those before it: one link per pair.
                connect=[f"{protocol}/{at[other]}" for other in range(node)],
                certificates=certificates,
                stay=stay,
            )
            self.members.append(Process(spec, home, places[node].command))

    def start(self, watch: Callable[[], None] = lambda: None) -> None:
        """Start all members, a few at a time; return when every member has met all others.

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
        """Start the stream of all members in half a second."""
        self.start_ns = time.time_ns() + SECOND_NS // 2
        for member in self.members:
            member.say(str(self.start_ns))

    def wait(self, watch: Callable[[], None] = lambda: None) -> None:
        """Wait until every member has taken all its samples, has ended before that (see `ended`) or has stopped."""
        last_ns = max((int(at_ns[-1]) for at_ns in self.built.scenario.at_ns if len(at_ns)), default=0)
        progress, since = -1, time.monotonic()
        while waiting := self._unfinished():
            samples = sum((member.status() or {}).get("samples", 0) for member in waiting)
            if samples != progress or time.time_ns() < self.start_ns + last_ns:
                progress, since = samples, time.monotonic()
            elif time.monotonic() - since > _STOPPED_S:
                for member in waiting:
                    self.ended[member.spec.node] = f"has taken no sample for {_STOPPED_S:g} s"
                return
            watch()
            time.sleep(0.1)

    def _unfinished(self) -> list[Process]:
        """The members that have samples to take; notes those that have ended with samples left."""
        for member in self.members:
            assert member.child is not None
            code = member.child.poll()
            if code is not None and not member.done and member.spec.node not in self.ended:
                at_s = (time.time_ns() - self.start_ns) / SECOND_NS
                how = f"killed by signal {-code}" if code < 0 else f"exit code {code}: {member.last_error()}"
                self.ended[member.spec.node] = f"ended after {max(0.0, at_s):.1f} s ({how})"
        return [member for member in self.members if member.running and not member.done]

    def stop(self) -> None:
        """Stop all members; those that do not end in time are killed."""
        for member in self.members:
            member.say("stop")
        for member in self.members:
            if member.running and member.spec.stay:
                assert member.child is not None
                member.child.terminate()
        deadline = time.monotonic() + _END_TIMEOUT_S
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
        """Restart a member that has ended, in the middle of the run."""
        member = self.members[node]
        self.ended.pop(node, None)
        member.start()
        deadline = time.monotonic() + MEET_S
        while not member.ready:
            if not member.running or time.monotonic() > deadline:
                raise RunError(f"node {node} did not come back: {member.last_error()}")
            time.sleep(0.02)
        member.say(str(self.start_ns))

    def result(self, trace_folder: Path | None = None) -> Run:
        """The recorded run, judged like a simulated one; with a folder, write its trace there."""
        described = describe_run(self.settings, self.preset, self.seed, self.data, self.built)
        described = replace(described, live=True, incomplete=sorted(self.ended))
        records = self.records()
        if trace_folder is not None:
            write_trace(trace_folder / trace_name(self.preset, self.seed), described.header(), records)
        end_ns = max((record.at_ns for record in records), default=0)
        run = judge(
            described,
            records,
            expected=expected_ages(self.settings, self.built.neighbours),
            wall_s=end_ns / SECOND_NS,
            trace_hash=hash_of(records),
        )
        socket_rate = self._socket_rate(end_ns) if described.judged else None
        return replace(run, metrics={**run.metrics, "bytes_socket_per_node_per_s": socket_rate})

    def losses(self) -> list[str]:
        """A note on each member that did not take all its samples."""
        taken = Counter(record.node for record in self.records() if isinstance(record, Arrived))
        rows = self.built.scenario.rows
        return [
            f"node {node} {how} with {taken[node]} of {len(rows[node])} samples; its results do not count"
            for node, how in sorted(self.ended.items())
        ]

    def records(self) -> list[AnyRecord]:
        """The records of all members, ordered by time; time 0 is the start of the stream."""
        return read_records((member.folder for member in self.members), self.start_ns)

    def _socket_rate(self, end_ns: int) -> float | None:
        """Bytes per node per second after all had met, as the kernel counts them; None if it does not count."""
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
                raise RunError(f"node {member.spec.node} ended before the start: {member.last_error()}")
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
        Settings that need a simulation, or data that only this process has.
    RunError
        A member ended too early.
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
        notes = [f"node {m.spec.node}: {note}" for m in swarm.members for note in m.notes]
        if swarm.start_ns:
            runs = [swarm.result(trace_folder)]
        if swarm.ended:
            notes += swarm.losses()
            n = len(swarm.members)
            status = "failed" if len(swarm.ended) == n else "partial"
            error = f"{len(swarm.ended)} of {n} nodes did not take all their samples; the notes say which and when"
    return Result(
        experiment={**describe(prepared), "live": True},
        resolved={swarm.preset: resolved(prepared)[swarm.preset]},
        data=describe_data(prepared),
        neighbours=prepared.neighbours,
        runs=runs,
        status=status,
        error=error,
        notes=(*prepared.notes, *notes, *notes_on_labels(runs)),
        versions=versions(),
    )


def free_ports(count: int) -> list[int]:
    """Free ports of loopback."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in taken]


def check_live(prepared: Prepared) -> None:
    """`ConfigError` or `DataError` if the settings need a simulation."""
    settings = next(iter(prepared.settings.values()))
    if describe_data(prepared)["in_memory"]:
        raise DataError("a swarm of processes needs data that each of them can load: a name or a file")
    swarm = settings.swarm
    unusable = {
        "swarm.centralised": swarm.centralised,
        "exchange.kind server": settings.exchange.kind == "server",
        "learner.kind river": settings.learner.kind == "river",
        "swarm.byzantine": bool(swarm.byzantine),
        "swarm.label_delay_s": swarm.label_delay_s > 0,
        "swarm.labelled": swarm.labelled < 1,
        "swarm.clock_skew_s": swarm.clock_skew_s > 0,
        "swarm.clock_drift_ppm": swarm.clock_drift_ppm > 0,
        "faults": bool(settings.faults),
        "data.holdout": settings.data.holdout,
        "link": settings.link != type(settings.link)(),
        "medium": settings.medium != type(settings.medium)(),
        "swarm.devices": bool(swarm.devices),
        "a topology that changes": is_changing(swarm.topology),
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
