"""Real processes on this machine: as good as the simulator, through kills, partitions and attacks."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protovine import metrics
from protovine.exchange import Outputs
from protovine.experiments.define.build import build
from protovine.experiments.define.config import Experiment
from protovine.experiments.define.prepare import Prepared, prepare
from protovine.experiments.live.member import Sample
from protovine.experiments.live.swarm import SWARM, LocalSwarm, Place, Process, free_ports
from protovine.experiments.run.execute import Run, execute
from protovine.net import Envelope, create_authority, issue, load_member
from protovine.net.io.schema import Schema
from protovine.net.runtime import Runtime
from protovine.net.transport import Channel, Endpoints, ZenohTransport, open_session
from protovine.net.zenoh_library import zenoh_module
from protovine.node import Node
from protovine.records import SECOND_NS, Arrived, Missed, Predicted, Refused, Sent
from protovine.sim import Simulator
from protovine.system import warm
from tests.net import attacks

pytestmark = pytest.mark.slow


def prepared(**swarm: Any) -> Prepared:
    made = prepare(Experiment(presets=["default"], seeds=1, data={"source": "phishing"}, swarm=swarm))
    warm(made.settings.values())
    return made


@contextmanager
def running(swarm: LocalSwarm) -> Iterator[LocalSwarm]:
    """Whatever happens, no process stays."""
    try:
        yield swarm
    finally:
        for member in swarm.members:
            if member.child is not None and member.running:
                member.child.kill()
        swarm.stop()


def until(true: Callable[[], bool], timeout_s: float) -> float:
    """Wait for something; how long it took."""
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > timeout_s:
            raise AssertionError(f"it did not come true in {timeout_s:g} s")
        time.sleep(0.05)
    return time.monotonic() - started


def slowness() -> float:
    """How much longer everything takes because other processes use the machine too; 1 if none does."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def agree(members: list[Process]) -> bool:
    """Whether every member has every entry of every other."""
    found = [member.status() for member in members]
    if not all(found):
        return False
    sent = {status["id"]: status["sequence"] for status in found if status}
    views = [peer for status in found if status for peer in status["peers"] if peer["id"] in sent]
    return all(peer["sequence"] == sent[peer["id"]] for peer in views)


def f1_of(records: list[Any], nodes: list[int], positive: int | None, count: int) -> float:
    made = metrics.predictions(records, count, 2)
    return float(np.mean([metrics.scores(made[node], positive).f1 for node in nodes]))


# -- As good as the simulator. -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("copied_members")
def test_five_processes_do_what_the_simulator_says(tmp_path: Path) -> None:
    """Scores, bytes of frames, of envelopes and at the socket, with mutual TLS."""
    chosen = prepared()
    settings, data = chosen.settings["default"], chosen.data[chosen.seeds[0]]
    simulated = execute(settings, "default", chosen.seeds[0], data)
    # A real run is one more draw of arrival times: the simulator's other seeds say how much F1 depends on them.
    draws = [execute(settings, "default", seed, data).metrics["f1"] for seed in range(1, 8)]
    draws.append(simulated.metrics["f1"])
    with running(LocalSwarm(chosen, tmp_path / "swarm")) as swarm:
        swarm.start()
        time.sleep(1.0)  # The last hellos.
        before = [member.status() for member in swarm.members]
        swarm.begin()
        swarm.wait()
        swarm.stop()
        live: Run = swarm.result()
        after = [member.status() for member in swarm.members]
        records = swarm.records()
    assert abs(live.metrics["f1"] - np.mean(draws)) <= 4 * np.std(draws, ddof=1) < 0.03
    assert live.metrics["bytes_total"] == pytest.approx(simulated.metrics["bytes_total"], rel=0.25)
    # A message may overtake the hello that it needs, and is sent again.
    assert not live.refused
    assert {what.rpartition(": ")[2] for status in after if status for what in status["refused"]} <= {"keys"}

    seconds = live.metrics["virtual_s"] + 3
    for node, (first, last) in enumerate(zip(before, after, strict=True)):
        assert first and last
        sent = [record for record in records if isinstance(record, Sent) and record.node == node and record.at_ns]
        frames = sum(record.header_bytes + record.payload_bytes for record in sent)
        # Ten bytes of envelope for the first 128 messages to a peer, then 11; and an odd hello.
        sealed = last["bytes_sent"] - first["bytes_sent"]
        assert frames + 10 * len(sent) <= sealed <= frames + 11 * len(sent) + 3_000
        # Zenoh and TLS put some 30 bytes around each message (`benchmarks.livecost`); links show that they live.
        around = last["socket"][0] - first["socket"][0] - sealed
        assert 15 * len(sent) <= around <= 45 * len(sent) + 4 * 40 * seconds


# -- Kills and partitions. ---------------------------------------------------------------------------------------------


class Namespaces:
    """Five network namespaces on two bridges, a cable between them: 0 and 1 here, 2 to 4 there."""

    def __init__(self) -> None:
        self.names = [f"pv{os.getpid()}-{each}" for each in (*range(5), "hub")]
        self.hub = self.names[-1]

    def __enter__(self) -> Namespaces:
        try:
            for name in self.names:
                self._ip(f"netns add {name}")
                self._ip("link set lo up", name)
            for bridge in ("west", "east"):
                self._ip(f"link add {bridge} type bridge", self.hub)
                self._ip(f"link set {bridge} up", self.hub)
            self._ip("link add cable-w type veth peer name cable-e", self.hub)
            for end, bridge in (("cable-w", "west"), ("cable-e", "east")):
                self._ip(f"link set {end} master {bridge}", self.hub)
                self._ip(f"link set {end} up", self.hub)
            for node, name in enumerate(self.names[:-1]):
                self._ip(f"link add port{node} type veth peer name eth0 netns {name}", self.hub)
                self._ip(f"link set port{node} master {'west' if node < 2 else 'east'}", self.hub)
                self._ip(f"link set port{node} up", self.hub)
                self._ip(f"addr add 10.213.7.{node + 1}/24 dev eth0", name)
                self._ip("link set eth0 up", name)
        except (OSError, subprocess.CalledProcessError) as error:
            self.__exit__()
            pytest.skip(f"no network namespaces here: {error}")
        return self

    def __exit__(self, *error: object) -> None:
        for name in self.names:
            with suppress(OSError, subprocess.CalledProcessError):
                self._ip(f"netns del {name}")

    def cut(self, cut: bool) -> None:
        self._ip(f"link set cable-w {'down' if cut else 'up'}", self.hub)

    def places(self) -> list[Place]:
        return [
            Place(f"10.213.7.{node + 1}", 7447, ("ip", "netns", "exec", name))
            for node, name in enumerate(self.names[:-1])
        ]

    def _ip(self, words: str, name: str | None = None) -> None:
        within = ["-n", name] if name else []
        subprocess.run(["ip", *within, *words.split()], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("ip") is None or os.geteuid() != 0, reason="needs network namespaces")
def test_a_kill_and_a_partition(tmp_path: Path) -> None:
    """Node 4 is killed at 7 s and comes back from its snapshot; then the network is cut for 20 s, and heals."""
    chosen = prepared()
    with (
        Namespaces() as network,
        running(LocalSwarm(chosen, tmp_path / "swarm", stay=True, places=network.places())) as swarm,
    ):
        swarm.start()
        swarm.begin()
        until(lambda: time.time_ns() > swarm.start_ns + 7 * SECOND_NS, 10)
        victim = swarm.members[4]
        assert victim.child is not None
        os.kill(victim.child.pid, signal.SIGKILL)
        victim.child.wait()
        before = victim.status()
        killed_ns = time.time_ns()
        swarm.again(4)

        def predicts() -> bool:
            status = victim.status()
            return bool(status) and status["incarnation"] == 2 and status["samples"] > 0

        until(predicts, 60)
        status = victim.status()
        assert before and status and status["prototypes"] > 20
        until(lambda: all(peer["alive"] for peer in (victim.status() or status)["peers"]), 60)

        until(lambda: time.time_ns() > swarm.start_ns + 13 * SECOND_NS, 60)
        network.cut(True)
        cut_ns = time.time_ns()
        until(lambda: time.time_ns() > cut_ns + 20 * SECOND_NS, 60)
        until(lambda: all(member.done for member in swarm.members), 60)
        west, east = swarm.members[:2], swarm.members[2:]
        until(lambda: agree(west) and agree(east), 60)
        assert not agree(swarm.members)
        network.cut(False)
        until(lambda: agree(swarm.members), 60)
        swarm.stop()
        records = swarm.records()

    for node in range(4):
        rows = [record.sample for record in records if isinstance(record, Arrived) and record.node == node]
        predicted = [record.sample for record in records if isinstance(record, Predicted) and record.node == node]
        assert rows == predicted == swarm.built.scenario.rows[node].tolist(), "no other node missed a sample"
        due = dict(zip(rows, swarm.built.scenario.at_ns[node].tolist(), strict=True))
        late = [r.at_ns - due[r.sample] for r in records if isinstance(r, Predicted) and r.node == node]
        assert max(late) < 10 * SECOND_NS, "no node waited for the network, which was cut for 20 s"
    killed_at_ns = killed_ns - swarm.start_ns
    of_victim = [record for record in records if isinstance(record, Predicted) and record.node == 4]
    before_kill = [record.sample for record in of_victim if record.at_ns <= killed_at_ns]
    again = [record for record in of_victim if record.at_ns > killed_at_ns]
    assert again[0].predicted >= 0, "it knows what it knew"
    missed = [(record.node, record.sample) for record in records if isinstance(record, Missed)]
    assert {node for node, _ in missed} == {4}
    taken = [*before_kill, *(sample for _, sample in missed), *(record.sample for record in again)]
    assert taken == swarm.built.scenario.rows[4].tolist(), "it missed what came in its absence, and nothing else"


# -- Attacks. ----------------------------------------------------------------------------------------------------------


class Fifth:
    """The test as member 4 of a swarm: it says hello to all, and then sends only given messages."""

    def __init__(self, swarm: LocalSwarm, spec: Any) -> None:
        home = Path(spec.certificates)
        self.identity, trust = load_member(home, datetime.now(UTC))
        self.schema = Schema.of(swarm.data).fingerprint()
        self.envelope = Envelope(self.identity, trust, incarnation=1, schema=self.schema)
        self.transport = ZenohTransport(SWARM, 4, Endpoints(spec.listen, spec.connect, certificates=home))
        self.met: set[int] = set()
        self.lock = threading.Lock()

    def __enter__(self) -> Fifth:
        self.transport.open(self._deliver, lambda peer, open: self.send_hello(peer), lambda: b"{}")
        self.send_hello(None)
        return self

    def __exit__(self, *error: object) -> None:
        self.transport.close()

    def send_hello(self, peer: int | None) -> None:
        with self.lock:
            hello = self.envelope.hello(time.time_ns())
        self.transport.send_hello(peer, hello, ask=peer is None)

    def _deliver(self, channel: Channel, data: bytes) -> None:
        if channel is not Channel.MESSAGE:
            with self.lock, suppress(Exception):
                self.met.add(self.envelope.accept_hello(data, time.time_ns()).id)

    def say(self, peer: int, payload: bytes) -> bytes:
        with self.lock:
            sealed = self.envelope.seal(peer, payload)
        self.transport.send(peer, sealed)
        return sealed

    def insist(self, peer: int, payload: bytes) -> None:
        """Say it, and where a link is full, wait: a member would drop it."""
        with self.lock:
            sealed = self.envelope.seal(peer, payload)
        key = f"protovine/{SWARM}/{peer}/message"
        self.transport.session.put(key, sealed, congestion_control=zenoh_module().CongestionControl.BLOCK)


@pytest.mark.usefixtures("copied_members")
def test_attackers_change_nothing_and_are_counted(tmp_path: Path) -> None:
    """Certificates of another authority, stolen names, 10 MB/s of random bytes, a length of 1 GB, NaN, all at once."""
    chosen = prepared(rate_hz=20.0)
    with ExitStack() as stack:
        swarm = LocalSwarm(chosen, tmp_path / "swarm", stay=True)
        fifth_spec = swarm.members.pop().spec
        stack.enter_context(running(swarm))
        fifth = stack.enter_context(Fifth(swarm, fifth_spec))
        starting = threading.Thread(target=swarm.start)
        starting.start()
        while starting.is_alive():
            fifth.send_hello(None)
            starting.join(1.0)
        assert all(member.ready for member in swarm.members)
        until(lambda: fifth.met == {0, 1, 2, 3}, 5)
        now = datetime.now(UTC)
        create_authority(tmp_path / "twin", SWARM, now=now)
        issue(tmp_path / "twin", "node-4", tmp_path / "stranger", addresses=["127.0.0.1"], now=now, id=4)
        identity, trust = load_member(tmp_path / "stranger", now)
        stranger = Envelope(identity, trust, incarnation=50, schema=fifth.schema)
        # It believes the swarm's authority, so that it is the swarm that refuses it.
        shutil.copy(Path(fifth_spec.certificates) / "authority.pem", tmp_path / "stranger" / "authority.pem")
        outsider = open_session(Endpoints([], fifth_spec.connect, certificates=tmp_path / "stranger"))
        stack.callback(outsider.close)

        swarm.begin()
        session = fifth.transport.session
        some = attacks.garbage(np.random.default_rng(1))
        dim = swarm.data.x.shape[1]
        started, sent, turn = time.monotonic(), 0, 0
        while any(not member.done for member in swarm.members) and time.monotonic() - started < 40:
            for node in range(4):
                key = f"protovine/{SWARM}/{node}"
                for channel in ("message", "hello", "ask"):
                    data = some()
                    sent += len(data)
                    session.put(f"{key}/{channel}", data)
                    outsider.put(f"{key}/{channel}", b"never to be seen")
                if turn % 100 == 0:
                    session.put(f"{key}/hello", stranger.hello(time.time_ns()))
                    for other in range(4):
                        name = f"node-{other}"
                        lie = attacks.hello_in_the_name_of(name, other, fifth.envelope, fifth.identity, fifth.schema)
                        session.put(f"{key}/hello", lie)
                    sealed = fifth.say(node, attacks.frame(other, (b"",)))
                    session.put(f"{key}/message", sealed)  # Again.
                    stolen = bytes([(node + 1) % 4 << 3 | 2]) + sealed[1:]
                    session.put(f"{key}/message", stolen)
                    fifth.say(node, attacks.with_length(4, 2**30))
                    for entry in attacks.bad_entries(dim):
                        fifth.say(node, attacks.frame(4, (entry,)))
                    session.put(f"{key}/message", bytes(2**20))
                if turn == 150:
                    for _ in range(6000):
                        fifth.insist(node, b"")
            turn += 1
            # Ten megabytes a second on the average.
            time.sleep(max(0.0, started + sent / 10e6 - time.monotonic()))
        rate = sent / (time.monotonic() - started)
        time.sleep(1.0)
        statuses = [member.status() for member in swarm.members]
        swarm.stop()
        records = swarm.records()

    assert rate > 5e6 / slowness()
    for node, status in enumerate(statuses):
        assert status is not None
        refused: Counter[str] = Counter()
        for what, count in status["refused"].items():
            refused[what.rpartition(": ")[2]] += count
        for reason in ("tls", "certificate", "impostor", "replay", "forged", "malformed", "payload", "flood"):
            assert refused[reason] > 0, (node, reason)
        assert status["bugs"] == 0
        assert status["samples"] == len(swarm.built.scenario.rows[node])
        assert all(peer["alive"] for peer in status["peers"])
        assert status["rss_bytes"] < 700 * 2**20  # 300 of them are libraries.
    honest = [0, 1, 2, 3]
    assert not any(isinstance(record, Missed) for record in records)
    _, expected = with_a_fifth(swarm, lambda node: node)
    assert f1_of(records, honest, swarm.built.positive, 5) == pytest.approx(expected, abs=0.02)


def with_a_fifth(swarm: LocalSwarm, made: Callable[[Node], Node]) -> tuple[Counter[str], float]:
    """The simulator with a fifth member that has no samples: what the honest refused, and their F1."""
    scenario = swarm.built.scenario
    rows, at_ns = list(scenario.rows), list(scenario.at_ns)
    rows[4], at_ns[4] = rows[4][:0], at_ns[4][:0]
    records: list[Any] = []

    def make(node: int, incarnation: int) -> Node:
        built = swarm.built.make_node(node, incarnation)
        return made(built) if node == 4 else built

    Simulator(replace(scenario, rows=rows, at_ns=at_ns), make, records.append).run()
    refused = Counter(record.reason for record in records if isinstance(record, Refused))
    return refused, f1_of(records, [0, 1, 2, 3], swarm.built.positive, 5)


def attacking(node: Node) -> Node:
    """Whenever it may speak it also says what it must not."""
    draw, drain = np.random.default_rng(1), node.drain
    bad = [attacks.frame(4, (entry,)) for entry in attacks.bad_entries(node.learner.dim)]
    bad += [attacks.with_length(4, 2**30), attacks.frame(3, (b"",)), attacks.frame(4, (), incarnation=0), b""]

    def worse() -> Outputs:
        made = drain()
        for data in (*bad, draw.bytes(100)):
            for peer in node.peers:
                made.records.append(Sent(node.now_ns, 4, peer, "log", 0, 0, 0, 0, len(data), zlib.crc32(data)))
                made.sends.append((peer, data))
        return made

    node.drain = worse  # type: ignore[method-assign]
    return node


def test_in_the_simulator_attacks_change_not_a_single_prediction(tmp_path: Path) -> None:
    """A live pair of runs differs by its own noise; here all else is equal."""
    swarm = LocalSwarm(prepared(), tmp_path, secure=False)
    idle, calm = with_a_fifth(swarm, lambda node: node)
    refused, attacked = with_a_fifth(swarm, attacking)
    assert not idle and min(refused[why] for why in ("payload", "malformed", "impostor", "stale")) > 500
    assert calm == attacked > 0.85


# -- Routers. ----------------------------------------------------------------------------------------------------------


def test_two_groups_meet_through_members_in_router_mode(tmp_path: Path) -> None:
    """Clients 0 and 1 dial router 4 only, 2 and 3 router 5 only, which dials 4."""
    names = {node: f"node-{node}" for node in range(6)}
    now = datetime.now(UTC)
    create_authority(tmp_path / "authority", "barn", now=now)
    for node, name in names.items():
        issue(tmp_path / "authority", name, tmp_path / name, addresses=["127.0.0.1"], now=now, id=node)
    west, east = (f"tls/127.0.0.1:{port}" for port in free_ports(2))
    where = {
        0: ([], [west], "client"),
        1: ([], [west], "client"),
        2: ([], [east], "client"),
        3: ([], [east], "client"),
        4: ([west], [], "router"),
        5: ([east], [west], "router"),
    }
    chosen = prepared(nodes=6)
    built = build(chosen.settings["default"], chosen.data[chosen.seeds[0]], 1)

    def runtime(node: int) -> Runtime:
        home = tmp_path / names[node]
        envelope = Envelope(*load_member(home, now), incarnation=1, schema=b"v1")
        listen, connect, mode = where[node]
        transport = ZenohTransport("barn", node, Endpoints(listen, connect, mode, home))
        return Runtime(built.make_node(node, 1, []), envelope, transport)

    def shared(runtimes: list[Runtime]) -> bool:
        heads = {each.node.id: each.node.head for each in runtimes}
        return all(
            each.node.exchange.gossip.watermarks == {node: head for node, head in heads.items() if node != each.node.id}
            for each in runtimes
        )

    async def play() -> None:
        runtimes = [runtime(node) for node in (0, 2, 3, 5, 1, 4)]  # In no good order.
        running = [asyncio.create_task(each.run()) for each in runtimes]
        try:
            async with asyncio.timeout(30):
                while any(len(each.roster.peers) < 5 for each in runtimes):
                    await asyncio.sleep(0.05)
                for row in range(20):
                    for each in runtimes:
                        x, y = built.scenario.x[row], int(built.scenario.y[row])
                        each.take(Sample(x, y, row))
                    await asyncio.sleep(0.02)
                assert all(each.node.head[1] > 0 for each in runtimes)
                while not shared(runtimes):
                    await asyncio.sleep(0.05)
            # A message may overtake the hello that it needs, and is sent again.
            assert {why for each in runtimes for _, why in each.tally.refused} <= {"keys"}
        finally:
            for each in runtimes:
                each.stop()
            await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(play())
