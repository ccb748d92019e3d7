"""Drift: detectors by name, what kind they say it is, alarms that travel, and the numbers that judge them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import protovine
from protovine.drift import DriftWatch
from protovine.errors import CodecError, ConfigError
from protovine.exchange.alarms import ALARM, Seen, decode_alarm, encode_alarm, is_alarm
from protovine.experiments.define.prepare import prepare
from protovine.experiments.run.lockstep import Lockstep
from protovine.metrics import drift
from protovine.records import SECOND_NS, Alarmed, Arrived, Learned, Warned, read_trace

MIDDLE = 250
DETECTORS = ("adwin", "page-hinkley", "kswin")


def alarms(detector: str, change: str, seed: int = 0) -> list[tuple[int, str]]:
    """The alarms of a watch on a stream that changes at its middle: sample and kind."""
    draw = np.random.default_rng(seed)
    watch, found = DriftWatch(detector, dim=2, seed=1), []
    for i in range(MIDDLE + (100 if detector == "kswin" else 450)):  # KSWIN takes milliseconds per sample.
        after = i >= MIDDLE
        x = draw.normal(2.0 if after and change == "features" else 0.0, 1.0, 2)
        y = int(draw.random() < (0.9 if after and change == "labels" else 0.5))
        wrong = draw.random() < (0.6 if after and change == "relation" else 0.1)
        if change == "better":
            wrong = draw.random() < (0.05 if after else 0.5)
        alarm = watch.note(x, y, wrong, 3.0 if wrong else 0.3)
        if alarm:
            found.append((i, alarm.kind))
    return found


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("change", ["features", "labels", "relation"])
def test_a_drift_is_seen_soon_and_of_its_kind(detector: str, change: str) -> None:
    found = alarms(detector, change)
    if (detector, change) == ("kswin", "labels"):
        # The Kolmogorov-Smirnov test is weak on two values.
        assert {kind for _, kind in found} <= {"labels"}
        return
    assert found and found[0][1] == change
    assert 0 <= found[0][0] - MIDDLE < 100
    assert {kind for _, kind in found} == {change}


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_stream_that_stays_raises_hardly_any_alarm(detector: str) -> None:
    false = sum(len(alarms(detector, "nothing", seed=seed)) for seed in range(1 if detector == "kswin" else 20))
    assert false <= 2


@pytest.mark.parametrize("detector", DETECTORS)
def test_to_get_better_is_no_drift(detector: str) -> None:
    assert [] == [at for at, _ in alarms(detector, "better") if at >= MIDDLE]


def test_missing_values_and_constant_features_are_no_drift() -> None:
    watch = DriftWatch("adwin", dim=2)
    draw = np.random.default_rng(0)
    rows = [(np.array([np.nan if i % 3 else draw.normal(), 7.0]), i % 2) for i in range(500)]
    assert [None] * 500 == [watch.note(x, y, 0.0, 0.1) for x, y in rows]


def test_an_unknown_detector_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'adwin'"):
        DriftWatch("adwn", 1)
    with pytest.raises(ConfigError, match=r"drift\.detector"):
        protovine.Experiment(drift={"detector": "adwn"})


@given(st.binary(max_size=16))
def test_an_alarm_is_read_as_written_or_refused(data: bytes) -> None:
    payload = bytes([ALARM]) + data
    assert is_alarm(payload)
    try:
        seen = decode_alarm(payload)
    except CodecError:
        return
    assert decode_alarm(encode_alarm(seen)) == seen


@given(st.sampled_from(["labels", "features", "relation"]), st.integers(0, 2**62))
def test_an_alarm_takes_few_bytes(kind: str, at_ns: int) -> None:
    seen = Seen(kind, at_ns // 1_000_000 * 1_000_000)
    data = encode_alarm(seen)
    assert decode_alarm(data) == seen and len(data) <= 9
    with pytest.raises(CodecError):
        decode_alarm(data[:-1] + b"\x80")


def swarm(detector: str) -> tuple[list, object]:
    kept: list = []
    experiment = protovine.Experiment(
        presets=["default", "isolated"],
        data={"source": "phishing"},
        drift={"detector": detector},
        seeds=1,
        faults=[{"kind": "drift", "change": "features", "at_s": 12.0}],
    )
    lock = Lockstep(prepare(experiment), lambda name, record: kept.append(record) if name == "default" else None)
    while not lock.done:
        lock.advance(lock.now_ns + SECOND_NS)
    return kept, lock.finish()[1]


def test_alarms_travel_and_are_judged() -> None:
    kept, result = swarm("adwin")
    plain, without = swarm("none")
    raised = [record for record in kept if isinstance(record, Alarmed)]
    heard = [record for record in kept if isinstance(record, Warned)]
    assert {record.node for record in raised if record.kind == "features"} == set(range(5))
    assert len(heard) == 4 * len(raised), "every peer hears of every alarm, once"
    for record in heard:
        assert record.kind in {each.kind for each in raised if each.node == record.peer}
        assert 0 <= record.at_ns - record.seen_ns < 5 * SECOND_NS
    run = result.of("default")[0]
    assert 1.0 == run.metrics["drift_detected"] and run.metrics["drift_delay_s"] < 10
    (episode, *_) = [each for each in run.drift if each.start_s > 12.0]
    assert episode.everywhere and "features" == episode.kind
    assert not [record for record in plain if isinstance(record, Alarmed | Warned)]
    bytes_with, bytes_without = run.metrics["bytes_total"], without.of("default")[0].metrics["bytes_total"]
    assert bytes_with < 1.1 * bytes_without, "alarms take few bytes"
    assert without.of("default")[0].metrics["drift_detected"] is None
    isolated = result.of("isolated")[0]
    assert isolated.drift and isolated.metrics["bytes_total"] == 0


def test_local_drift_is_told_from_global_and_false_from_true() -> None:
    records = [Learned(i * SECOND_NS, node, i, False, 1) for i in range(1000) for node in range(4)]
    records += [
        Alarmed(at_s * SECOND_NS, node, "adwin", "error", "relation") for node, at_s in ((0, 110), (1, 120), (2, 115))
    ]
    records += [Alarmed(at_s * SECOND_NS, 3, "adwin", "labels", "labels") for at_s in (5, 700)]
    report = drift(records, [0, 1, 2, 3], [100.0])
    assert (0.75, 15.0, 0.5) == (report.detected, report.delay_s, report.false_alarms)
    assert [("labels", False), ("relation", True), ("labels", False)] == [
        (each.kind, each.everywhere) for each in report.episodes
    ]


def test_each_node_meets_a_drift_at_a_time_of_its_own() -> None:
    records = [Learned(i * SECOND_NS, node, i, False, 1) for i in range(1000) for node in range(3)]
    records += [Alarmed(at_s * SECOND_NS, node, "adwin", "error", "relation") for node, at_s in ((0, 95), (1, 120))]
    report = drift(records, [0, 1, 2], {0: [90.0], 1: [110.0], 2: []})
    assert (1.0, 7.5, 0.0) == (report.detected, report.delay_s, report.false_alarms)


@pytest.mark.parametrize("swarm", [{}, {"lag_s": 20.0}, {"split": "blocks"}])
def test_alarms_are_judged_by_the_samples_of_each_node(swarm: dict, tmp_path: Path) -> None:
    experiment = protovine.Experiment(
        presets=["isolated"],
        data={"source": "sine", "limit": 1600},
        swarm={"nodes": 4, **swarm},
        drift={"detector": "adwin"},
        seeds=1,
        seed=1,
        faults=[{"kind": "drift", "change": "labels", "at_s": 30.0, "nodes": [2]}],
    )
    found = protovine.run(experiment, out=tmp_path / "run").runs[0]
    header, records = read_trace(tmp_path / "run" / "traces" / "isolated-seed1.jsonl.gz")
    kept = list(records)
    changes: dict[int, list[float]] = {}
    for node in range(4):
        arrived = [record for record in kept if isinstance(record, Arrived) and record.node == node]
        first = next((place for place, record in enumerate(arrived) if record.sample >= 800), 0)
        times = [arrived[first].at_ns / SECOND_NS] * (first > 0)
        changes[node] = sorted([*times, 30.0] if node == 2 and arrived[0].at_ns < 30 * SECOND_NS else times)
    assert header["drift_nodes_s"] == list(changes.values())
    report = drift(kept, range(4), changes)
    assert report.detected == found.metrics["drift_detected"]
    assert report.false_alarms == found.metrics["drift_false_alarms"]
    assert (report.detected is None) == (not any(changes.values()))
