"""Traces of devices: the file, the laws of the generator, and their effect in a swarm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import protovine
from protovine import records
from protovine.cli import main
from protovine.errors import ConfigError, DataError
from protovine.experiments.define.build import build
from protovine.records import TraceHash
from protovine.sim import Simulator
from protovine.sim.devices import DeviceChange, DeviceTrace, generated, ordered, read
from protovine.sim.faults import Crash, Join

SECOND = 10**9


def written(folder: Path, text: str, name: str = "devices.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_says_what_holds_from_when(tmp_path: Path) -> None:
    text = "node,from_s,speed,bandwidth_bytes_per_s,up\n1,0,0.5,,\n\n0,2.5,,100,0\n0,3,,,true\n1,2,2,0,\n"
    expected = (
        DeviceChange(1, 0, 0.5),
        DeviceChange(1, 2 * SECOND, 2.0, 0.0),
        DeviceChange(0, 5 * SECOND // 2, None, 100.0, False),
        DeviceChange(0, 3 * SECOND, up=True),
    )
    assert expected == read(written(tmp_path, text)).changes
    lines = '{"node": 1, "speed": 0.5}\n{"node": 1, "from_s": 2, "speed": 2, "bandwidth_bytes_per_s": 0}\n'
    assert expected[:2] == read(written(tmp_path, lines, "devices.jsonl")).changes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: expected a header with node and some of from_s, speed"),
        ("speed\n1\n", r"line 1: expected a header with node"),
        ("node,sped\n0,1\n", r"line 2: unknown column 'sped' .did you mean 'speed'"),
        ("node,speed\n0\n", r"line 2: expected 2 cells, got 1"),
        ("node,speed\n-1,1\n", r"line 2: node must be a whole number from 0, got '-1'"),
        ("node,speed\n,1\n", r"line 2: node must be a whole number from 0, got ''"),
        ("node,speed\n0.5,1\n", r"line 2: node must be a whole number from 0, got '0.5'"),
        ("node,speed\n0,fast\n", r"line 2: speed must be a number, got 'fast'"),
        ("node,speed\n0,nan\n", r"line 2: speed must be a number, got 'nan'"),
        ("node,speed\n0,0\n", r"line 2: speed must be between 1e-06 and 1e\+06, got 0"),
        ("node,from_s\n0,-1\n", r"line 2: from_s must be between 0 and 1e\+09, got -1"),
        ("node,bandwidth_bytes_per_s\n0,0.5\n", r"line 2: bandwidth_bytes_per_s must be 0 or at least 1, got 0.5"),
        ("node,up\n0,maybe\n", r"line 2: up must be 1 or 0, got 'maybe'"),
        ("node,from_s\n0,5\n1,1\n0,4\n", r"line 4: from_s of node 0 goes back to 4"),
    ],
)
def test_rows_that_make_no_sense_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(written(tmp_path, text))


@pytest.mark.parametrize("line", ["[1]", "{", '{"node": true}', '{"node": 0, "speed": [1]}', '{"node": 0, "up": 2}'])
def test_json_lines_that_make_no_sense_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"line 1: "):
        read(written(tmp_path, line + "\n", "devices.jsonl"))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 3), st.sampled_from([0.0, 200.0]), st.sampled_from([0.0, 5.0]))
def test_what_is_written_is_read(tmp_path_factory, n: int, seed: int, bandwidth: float, down_s: float) -> None:
    made = generated(n, 60, seed=seed, bandwidth_bytes_per_s=bandwidth, up_s=10, down_s=down_s)
    assert made == generated(n, 60, seed=seed, bandwidth_bytes_per_s=bandwidth, up_s=10, down_s=down_s)
    for name in ("t.csv", "t.jsonl"):
        path = tmp_path_factory.mktemp("devices") / name
        made.write(path)
        assert made == read(path)


def test_the_generator_keeps_its_laws() -> None:
    n, seconds = 2000, 2000.0
    changes = generated(n, seconds, speed_spread=0.5, bandwidth_bytes_per_s=1e5, up_s=30, down_s=10).changes
    first = [change for change in changes if change.at_ns == 0]
    speeds = np.log([change.speed for change in first])
    assert abs(speeds.mean()) < 0.05
    assert 0.5 == pytest.approx(speeds.std(), rel=0.06)
    bandwidths = np.log([change.bandwidth_bytes_per_s for change in first])
    assert np.log(1e5) == pytest.approx(bandwidths.mean(), abs=0.1)
    assert 1.0 == pytest.approx(bandwidths.std(), rel=0.06)
    assert 0.75 == pytest.approx(np.mean([change.up for change in first]), abs=0.03)
    up_s = np.zeros(n)
    since: dict[int, tuple[int, bool]] = {}
    for change in changes:
        at_ns, up = since.get(change.node, (0, False))
        up_s[change.node] += up * (change.at_ns - at_ns) / SECOND
        since[change.node] = change.at_ns, bool(change.up)
    for node, (at_ns, up) in since.items():
        up_s[node] += up * (seconds - at_ns / SECOND)
    assert 0.75 == pytest.approx(up_s.mean() / seconds, abs=0.01)


def test_availability_becomes_faults() -> None:
    def change(node: int, at_s: int, up: bool) -> DeviceChange:
        return DeviceChange(node, at_s * SECOND, up=up)

    rows = ((0, 0, True), (0, 5, False), (0, 6, False), (0, 9, True), (1, 0, False), (1, 3, True), (2, 4, False))
    trace = ordered([change(*row) for row in rows])
    expected = [Join(1, 3 * SECOND), Crash(0, 5 * SECOND, 9 * SECOND), Crash(2, 4 * SECOND)]
    assert expected == trace.faults()
    assert [] == DeviceTrace(()).faults()


def simulate(devices: Path, preset: str = "default", **sections):
    experiment = protovine.Experiment(
        presets=preset,
        data={"limit": 300},
        swarm={"nodes": 3, "devices": str(devices), **sections.pop("swarm", {})},
        gossip={"share_probability": 1.0, "fanout": 2},
        **sections,
    )
    built = build(experiment.settings(preset), protovine.load("phishing", rows=300), 0)
    kept: list[records.Record] = []
    Simulator(built.scenario, built.make_node, kept.append).run()
    return kept


def of(kept: list, kind: type) -> list:
    return [record for record in kept if type(record) is kind]


def test_devices_that_change_nothing_change_nothing(tmp_path: Path) -> None:
    rows = "".join(f"{node},0,1,0,1\n" for node in range(3))
    path = written(tmp_path, f"node,from_s,speed,bandwidth_bytes_per_s,up\n{rows}")
    assert simulate(path) == simulate(path, swarm={"devices": ""})


def test_slow_devices_train_less_and_faster_ones_more(tmp_path: Path) -> None:
    path = written(tmp_path, "node,from_s,speed\n0,0,0.1\n1,0,0.1\n1,5,100\n")
    kept = simulate(path, "paper-base", swarm={"train_rate_hz": 100.0})

    def trained(node: int, from_s: float, until_s: float) -> int:
        found = [r for r in of(kept, records.Trained) if r.node == node]
        return sum(r.count for r in found if from_s * SECOND <= r.at_ns < until_s * SECOND)

    assert 10 * 5 == pytest.approx(trained(0, 0, 5), abs=15)
    assert 10 * 5 == pytest.approx(trained(1, 0, 5), abs=15)
    assert 100 * 5 == pytest.approx(trained(2, 0, 5), rel=0.2)
    assert trained(1, 5, 10) > 10 * trained(0, 5, 10)


def test_messages_leave_one_after_another_at_the_devices_bandwidth(tmp_path: Path) -> None:
    rate = 500.0
    kept = simulate(written(tmp_path, f"node,bandwidth_bytes_per_s\n0,{rate}\n"))
    delay_ns = 1_000_000
    sizes = {record.digest: record.header_bytes + record.payload_bytes for record in of(kept, records.Sent)}
    from_0 = [record for record in of(kept, records.Received) if record.peer == 0]
    from_1 = [record for record in of(kept, records.Received) if record.peer == 1]
    assert sizes
    arrived = 0
    for record in from_0:
        arrived += record.message_bytes
        assert arrived <= rate * (record.at_ns - delay_ns) / SECOND + 1
    late = [record.at_ns - record.created_ns for record in from_0 if record.created_ns]
    soon = [record.at_ns - record.created_ns for record in from_1 if record.created_ns]
    assert np.median(late) > 10 * delay_ns > np.median(soon) > 0


def test_churn_by_trace_is_deterministic_and_nodes_continue(tmp_path: Path) -> None:
    path = tmp_path / "churn.csv"
    generated(3, 10, seed=4, up_s=3, down_s=1).write(path)
    kept = simulate(path)
    assert {record.node for record in of(kept, records.Down)} == {record.node for record in of(kept, records.Up)}
    assert of(kept, records.Missed)
    assert any(record.incarnation > 1 for record in of(kept, records.Up))
    hashes = []
    for _ in range(2):
        made = TraceHash()
        for record in simulate(path):
            made.add(record)
        hashes.append(made.hexdigest())
    assert hashes[0] == hashes[1]


def test_devices_that_do_not_fit_the_swarm_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"swarm.devices names node 3, but nodes are 0 to 2"):
        simulate(written(tmp_path, "node,speed\n3,2\n"))
    with pytest.raises(DataError, match=r"cannot read the devices .*nowhere.csv: No such file"):
        simulate(tmp_path / "nowhere.csv")
    with pytest.raises(ConfigError, match=r"bandwidths, which do not apply to medium.profile wifi"):
        simulate(written(tmp_path, "node,bandwidth_bytes_per_s\n0,100\n"), medium={"profile": "wifi"})


def test_the_command_writes_a_trace_that_a_run_takes(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    made = CliRunner().invoke(
        main, ["data", "devices", str(path), "--nodes", "3", "--seconds", "20", "--up", "9", "--down", "1"]
    )
    assert (0, True) == (made.exit_code, f"--set swarm.devices={path}" in made.output)
    assert simulate(path)
    refused = CliRunner().invoke(main, ["data", "devices", str(tmp_path / "e.csv"), "--down", "5"])
    assert 2 == refused.exit_code or isinstance(refused.exception, ConfigError)
    assert not (tmp_path / "e.csv").exists()
