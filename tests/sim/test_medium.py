"""A medium that nodes share: sends are counted once, range and duty cycle hold, airtime adds up."""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import protovine
from protovine import records
from protovine.errors import ConfigError
from protovine.experiments.define.build import build
from protovine.experiments.run.execute import execute
from protovine.gossip import EVERYONE
from protovine.records import TraceHash
from protovine.sim import Simulator
from protovine.sim.medium import FRAGMENT_BYTES, Frame, Medium, MediumEvents, MediumPlan, Message
from protovine.sim.radio import PROFILES, profile
from protovine.topology import neighbours

SECOND = 10**9


@dataclass
class Loop:
    """A medium by itself, with its events in order."""

    plan: MediumPlan
    hears: list[list[int]]
    seed: int = 0
    loss: float = 0.0
    frames: list[Frame] = field(default_factory=list)
    landed: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    dropped: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.heap: list = []
        self.order = count()
        self.now_ns = 0
        events = MediumEvents(self.at, self.frames.append, self.land, self.drop)
        self.medium = Medium(self.plan, self.hears, events, self.seed, self.loss)

    def at(self, at_ns: int, action, *arguments) -> None:
        assert at_ns >= self.now_ns
        heapq.heappush(self.heap, (at_ns, next(self.order), action, arguments))

    def land(self, message: Message, fates: list[tuple[int, str]]) -> None:
        assert message.copy not in self.landed
        self.landed[message.copy] = fates

    def drop(self, message: Message, reason: str) -> None:
        assert message.copy not in self.dropped
        self.dropped[message.copy] = reason

    def run(self, sends: list[tuple[int, int, int, int]]) -> Loop:
        """Sends of (time, source, target, size); the number of each is its copy."""
        for copy, (at_ns, source, target, size) in enumerate(sends):
            self.at(at_ns, self._send, source, target, bytes(size), copy)
        while self.heap:
            self.now_ns, _, action, arguments = heapq.heappop(self.heap)
            action(*arguments, self.now_ns)
        return self

    def _send(self, source: int, target: int, data: bytes, copy: int, now_ns: int) -> None:
        if not self.medium.send(source, target, data, copy, now_ns):
            self.dropped[copy] = "too large"


GRAPHS = ["full", "ring", "line", "star", "plane:0.4,1", "erdos-renyi:0.4"]
sends_of = st.lists(
    st.tuples(
        st.integers(0, 300 * SECOND),
        st.integers(0, 5),
        st.sampled_from([EVERYONE, EVERYONE, 0, 3]),
        st.integers(1, 600),
    ),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(PROFILES)),
    collisions=st.booleans(),
    fragments_max=st.sampled_from([1, 2, 8]),
    graph=st.sampled_from(GRAPHS),
    seed=st.integers(0, 3),
    loss=st.sampled_from([0.0, 0.3]),
    sends=sends_of,
)
def test_promises_hold_on_any_graph(name, collisions, fragments_max, graph, seed, loss, sends) -> None:
    sends = [send for send in sends if send[1] != send[2]]
    hears = neighbours(graph, 6, seed)
    plan = MediumPlan(profile(name), collisions, fragments_max, queue_ns=100 * SECOND)
    loop = Loop(plan, hears, seed, loss).run(sends)

    # Every message has one end, and those that are too large are refused.
    assert sorted([*loop.landed, *loop.dropped]) == list(range(len(sends)))
    for copy, (_, source, target, size) in enumerate(sends):
        assert (loop.dropped.get(copy) == "too large") == (size > plan.message_bytes_max)
        # Nobody out of range hears it, and a message to one node concerns no other.
        fates = dict(loop.landed.get(copy, []))
        assert len(fates) == len(loop.landed.get(copy, []))
        heard = [node for node, reason in fates.items() if not reason]
        assert set(heard) <= set(hears[source])
        if copy in loop.landed:
            assert set(fates) == (set(hears[source]) if target == EVERYONE else {target})
        if not collisions and not loss and copy in loop.landed:
            assert set(heard) == set(hears[source]) & set(fates)

    # Each frame is on the air once, whoever hears it, and airtime adds up.
    of_message = Counter(frame.message.copy for frame in loop.frames)
    by_node = defaultdict(list)
    for frame in loop.frames:
        by_node[frame.message.source].append((frame.start_ns, frame.end_ns))
    for copy in loop.landed:
        sizes = plan.frames(sends[copy][3])
        assert of_message[copy] == len(sizes)
        assert sum(sizes) == sends[copy][3] + (FRAGMENT_BYTES * len(sizes) if len(sizes) > 1 else 0)
        spent = sum(frame.end_ns - frame.start_ns for frame in loop.frames if frame.message.copy == copy)
        assert spent == sum(map(plan.profile.airtime_ns, sizes))
    assert set(of_message) == set(loop.landed)

    for spans in by_node.values():
        # The duty cycle holds after every frame, and so does the interval; a node sends one frame at a time.
        for (start_ns, end_ns), (next_ns, _) in pairwise(spans):
            assert next_ns - start_ns >= (end_ns - start_ns) / plan.profile.duty_cycle
            assert next_ns - start_ns >= plan.profile.interval_ns
            assert next_ns >= end_ns
    if not collisions:
        # Capacity is shared: nodes with a common receiver never send at the same time.
        for a in loop.frames:
            for b in loop.frames:
                near = {a.message.source, *a.receivers} & {b.message.source, *b.receivers}
                assert a is b or not near or a.end_ns <= b.start_ns or b.end_ns <= a.start_ns


@pytest.mark.parametrize("factor", [7, 12])
def test_no_hour_has_more_than_its_part_and_one_frame(factor: int) -> None:
    plan = MediumPlan(profile(f"lora-sf{factor}"), queue_ns=10**15)
    loop = Loop(plan, [[1], [0]]).run([(0, 0, EVERYONE, 51)] * 400)
    spans = [(frame.start_ns, frame.end_ns) for frame in loop.frames]
    longest = max(b - a for a, b in spans)
    for from_ns, _ in spans:
        until_ns = from_ns + 3600 * SECOND
        spent = sum(min(b, until_ns) - a for a, b in spans if from_ns <= a < until_ns)
        assert spent <= 36 * SECOND + longest


def test_frames_that_overlap_are_lost_where_both_are_heard() -> None:
    plan = MediumPlan(profile("lora-sf7"), collisions=True)
    # 0 and 2 do not hear each other: 1 loses both, and 3 hears only 2.
    line = [[1], [0, 2], [1, 3], [2]]
    loop = Loop(plan, line).run([(0, 0, EVERYONE, 50), (1000, 2, EVERYONE, 50), (10 * SECOND, 3, EVERYONE, 50)])
    assert {0: [(1, "collision")], 1: [(1, "collision"), (3, "")], 2: [(2, "")]} == loop.landed
    # A node that sends hears nothing.
    loop = Loop(plan, [[1], [0]]).run([(0, 0, EVERYONE, 50), (1000, 1, EVERYONE, 10)])
    assert {0: [(1, "collision")], 1: [(0, "collision")]} == loop.landed


def test_a_device_that_listens_waits_for_those_it_hears_and_collides_with_those_it_does_not() -> None:
    plan = MediumPlan(profile("wifi"), collisions=True)
    loop = Loop(plan, [[1], [0, 2], [1]]).run([(0, 0, EVERYONE, 500), (1000, 1, EVERYONE, 500)])
    assert {0: [(1, "")], 1: [(0, ""), (2, "")]} == loop.landed
    hidden = Loop(plan, [[1], [0, 2], [1]]).run([(0, 0, EVERYONE, 500), (1000, 2, EVERYONE, 500)])
    assert {0: [(1, "collision")], 1: [(1, "collision")]} == hidden.landed


def test_a_message_in_fragments_is_missed_by_whoever_misses_one() -> None:
    plan = MediumPlan(profile("ble-legacy"), collisions=True)
    airtime_ns = plan.profile.airtime_ns(27)
    # Two fragments, the second after 20 to 30 ms; 1 sends while the first is on the air.
    loop = Loop(plan, [[1, 2], [0], [0]]).run([(0, 0, EVERYONE, 40), (airtime_ns // 2, 1, EVERYONE, 5)])
    assert [(1, "collision"), (2, "")] == loop.landed[0]
    assert 3 == len(loop.frames)
    refused = Loop(MediumPlan(profile("ble-legacy"), fragments_max=1), [[1], [0]]).run([(0, 0, EVERYONE, 28)])
    assert ({0: "too large"}, []) == (refused.dropped, refused.frames)


def test_a_message_that_waits_too_long_is_dropped() -> None:
    plan = MediumPlan(profile("lora-sf12"), queue_ns=300 * SECOND)
    loop = Loop(plan, [[1], [0]]).run([(0, 0, EVERYONE, 51)] * 3)
    assert ({2: "waited too long"}, {0, 1}) == (loop.dropped, set(loop.landed))


def test_a_node_that_stops_drops_what_waits() -> None:
    loop = Loop(MediumPlan(profile("ble-legacy")), [[1], [0]])
    loop.at(1000, lambda now_ns: loop.medium.clear(0))
    loop.run([(0, 0, EVERYONE, 40), (10, 0, EVERYONE, 5), (2000, 0, EVERYONE, 5)])
    assert {0: "node down", 1: "node down"} == loop.dropped, "one with a frame on the air is not completed"
    assert {2: [(1, "")]} == loop.landed
    assert 2 == len(loop.frames)


# -- In a swarm. -------------------------------------------------------------------------------------------------------


def simulate(limit: int = 150, seed: int = 0, **sections):
    sections.setdefault("gossip", {"schedule": "broadcast"})
    sections.setdefault("swarm", {"nodes": 4})
    experiment = protovine.Experiment(presets="default", data={"limit": limit}, **sections)
    chosen = experiment.settings("default")
    built = build(chosen, protovine.load("phishing", rows=limit), seed)
    kept: list[records.Record] = []
    Simulator(built.scenario, built.make_node, kept.append).run()
    return kept


def of(kept: list, kind: type) -> list:
    return [record for record in kept if type(record) is kind]


def hash_of(kept: list) -> str:
    made = TraceHash()
    for record in kept:
        made.add(record)
    return made.hexdigest()


FAULTY = {
    "link": {"delay_s": 0.01, "loss": 0.2},
    "medium": {"profile": "lora-sf7", "collisions": True},
    "swarm": {"nodes": 4, "rate_hz": 0.2, "topology": "ring+full@100"},
    "faults": [
        {"kind": "crash", "node": 1, "at_s": 50.0, "restart_s": 90.0},
        {"kind": "crash", "node": 2, "at_s": 60.0, "restart_s": 95.0, "keeps_state": False},
        {"kind": "join", "node": 3, "at_s": 20.0},
        {"kind": "cut", "source": 0, "target": 1, "at_s": 10.0, "until_s": 40.0},
    ],
}


def test_a_broadcast_swarm_survives_faults_and_one_seed_gives_one_trace() -> None:
    kept = simulate(**FAULTY)
    assert {"loss", "node down", "cut"} <= {record.reason for record in of(kept, records.Lost)}
    assert not of(kept, records.Refused)
    assert {1, 2, 3} == {record.node for record in of(kept, records.Up)}
    assert hash_of(kept) == hash_of(simulate(**FAULTY))
    assert hash_of(kept) != hash_of(simulate(seed=1, **FAULTY))


def test_a_broadcast_counts_once_however_many_hear_it() -> None:
    kept = simulate(medium={"profile": "wifi"})
    sent, received = of(kept, records.Sent), of(kept, records.Received)
    assert {EVERYONE} == {record.peer for record in sent}
    assert 3 * (len(sent) - 4) <= len(received) <= 3 * len(sent), "all but those on the air at the end"
    aired = of(kept, records.Aired)
    assert len(sent) - 1 <= len(aired) <= len(sent)


def test_airtime_and_ages_are_in_the_result() -> None:
    experiment = protovine.Experiment(
        presets="default",
        data={"limit": 150},
        swarm={"nodes": 3},
        gossip={"schedule": "broadcast"},
        medium={"profile": "ble-extended"},
    )
    run = execute(experiment.settings("default"), "default", 0, protovine.load("phishing", rows=150))
    each = [node["airtime_s"] for node in run.per_node]
    assert run.metrics["airtime_s"] == pytest.approx(sum(each))
    assert run.metrics["duty_max"] == pytest.approx(max(each) / run.metrics["virtual_s"])
    assert run.metrics["duty_mean"] == pytest.approx(sum(each) / 3 / run.metrics["virtual_s"])
    assert run.metrics["aoi_mean_s"] > 0
    assert "messages wait for the medium, and take their airtime" in run.ages.reasons


def test_whole_sets_are_broadcast_too_and_unicast_shares_the_medium() -> None:
    for preset, schedule, peer in (("paper-base", "broadcast", {EVERYONE}), ("default", "drift-age", {0, 1, 2})):
        experiment = protovine.Experiment(
            presets=preset,
            data={"limit": 90},
            swarm={"nodes": 3},
            gossip={"schedule": schedule},
            medium={"profile": "wifi", "fragments_max": 64},
        )
        built = build(experiment.settings(preset), protovine.load("phishing", rows=90), 0)
        kept: list[records.Record] = []
        Simulator(built.scenario, built.make_node, kept.append).run()
        assert peer == {record.peer for record in of(kept, records.Sent)}
        assert of(kept, records.Received)
        assert of(kept, records.Aired)


@pytest.mark.parametrize(
    ("preset", "sections", "message"),
    [
        ("default", {"medium": {"profile": "lora"}}, r"medium.profile must be one of none, lan, .*, got 'lora'"),
        ("default", {"medium": {"fragments_max": 65}}, r"medium.fragments_max must be between 1 and 64, got 65"),
        ("default", {"medium": {"queue_s": -1}}, r"medium.queue_s must be between 0 and 1000000000.0, got -1"),
        ("default", {"medium": {"collision": True}}, r"unknown key 'medium.collision'"),
        ("default", {}, r"gossip.schedule broadcast is for simulations with a shared medium \(medium.profile\)"),
        ("paper-jsd", {"medium": {"profile": "wifi"}}, r"exchange.gate must be always .*, got 'jsd'"),
        ("server", {"medium": {"profile": "wifi"}}, r"gossip.schedule must not be broadcast with exchange.kind server"),
        (
            "default",
            {"medium": {"profile": "wifi"}, "link": {"duplicate": 0.1}},
            r"link.duplicate does not apply to medium.profile wifi: leave it at 0, got 0.1",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(preset: str, sections: dict, message: str) -> None:
    def built() -> None:
        chosen = protovine.Experiment(presets=preset, gossip={"schedule": "broadcast"}, **sections).settings(preset)
        build(chosen, protovine.load("phishing", rows=50), 0)

    with pytest.raises(ConfigError, match=message):
        built()


@pytest.mark.parametrize("preset", ["default", "paper-base", "server", "gossip-bayes"])
@pytest.mark.parametrize("radio", ["lora-sf7", "lora-sf12", "ble-legacy", "lan"])
@pytest.mark.parametrize("collisions", [False, True])
@pytest.mark.usefixtures("short_report")
def test_traffic_is_what_was_on_the_air(preset: str, radio: str, collisions: bool, tmp_path: Path) -> None:
    """It counted messages that the radio refused or dropped, and left out the bytes of fragments."""
    experiment = protovine.Experiment(
        presets=preset,
        seeds=1,
        data={"source": "waveform", "limit": 60},
        medium={"profile": radio, "collisions": collisions},
        gossip={"share_probability": 0.5},
        swarm={"rate_hz": 0.5},
    )
    result = protovine.run(experiment, out=tmp_path / "run")
    run, folder = result.runs[0], tmp_path / "run" / "traces"
    made = list(records.read_trace(folder / f"{preset}-seed0.jsonl.gz")[1])
    aired = Counter()
    for record in made:
        if isinstance(record, records.Aired):
            aired[record.node] += record.message_bytes
    found, seconds = run.metrics, run.metrics["virtual_s"]
    assert found["bytes_total"] == sum(aired.values())
    assert found["bytes_per_node_per_s"] == pytest.approx(sum(aired.values()) / len(run.per_node) / seconds)
    assert [aired[each["node"]] for each in run.per_node] == [each["bytes"] for each in run.per_node]
    assert {(node, EVERYONE): size for node, size in aired.items()} == run.series.links
    assert run.series.bytes_per_node_per_s.sum() * run.series.at_s[0] * len(run.per_node) == pytest.approx(
        sum(aired.values())
    )
    plain = profile(radio)
    if plain.limits_devices:
        size = plain.payload_bytes_max
        allowed = size * (1 + seconds * SECOND / plain.rest_ns(plain.airtime_ns(size)))  # And the first frame.
        assert all(each["bytes"] <= allowed for each in run.per_node)
    never = sum(run.lost.get(reason, 0) for reason in ("too large", "waited too long"))
    assert (2 * never > found["messages"]) == any("the medium did not send" in note for note in result.notes)


def test_a_medium_that_sends_nothing_has_no_traffic_and_a_note() -> None:
    experiment = protovine.Experiment(
        presets="paper-base", seeds=2, data={"limit": 100}, medium={"profile": "lora-sf12", "fragments_max": 1}
    )
    result = protovine.run(experiment)
    assert {0.0} == {run.metrics["bytes_per_node_per_s"] for run in result.runs}
    (note,) = [note for note in result.notes if "medium" in note]
    assert re.fullmatch(
        r"paper-base: the medium did not send (\d+) \(too large\) of \1 messages; traffic is of the others", note
    )
