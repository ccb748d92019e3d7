"""A swarm of processes: the result that its recorded files give."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from protovine.cli import main
from protovine.errors import ConfigError, DataError
from protovine.experiments.define.build import build
from protovine.experiments.define.config import Experiment
from protovine.experiments.define.prepare import Prepared, prepare
from protovine.experiments.live.recorded import TRACE_FILE, read_records
from protovine.experiments.live.swarm import LocalSwarm, run_live
from protovine.experiments.run.execute import execute, simulate
from protovine.experiments.run.judge import judge_trace
from protovine.records import SECOND_NS, AnyRecord, Arrived, Down, Missed, Received, Trained, TrainedRun, Up, Warned

START_NS = 1_700_000_000 * SECOND_NS


def prepared(**tables: Any) -> Prepared:
    return prepare(Experiment(**{"presets": "default", "seeds": 1, "data": {"source": "sea", "limit": 200}, **tables}))


def shifted(record: AnyRecord, by_ns: int) -> AnyRecord:
    times: dict[str, Any] = {"at_ns": record.at_ns + by_ns}
    if isinstance(record, Received):
        times["created_ns"] = record.created_ns + by_ns
    if isinstance(record, Trained):
        moved = ((run, {"created_ns": run.created_ns + by_ns, "first_ns": run.first_ns + by_ns}) for run in record.runs)
        times["runs"] = tuple(msgspec.structs.replace(run, **of_run) for run, of_run in moved)
    return msgspec.structs.replace(record, **times)


def write(folder: Path, records: list[AnyRecord], rest: bytes = b"") -> Path:
    folder.mkdir(exist_ok=True)
    lines = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
    (folder / TRACE_FILE).write_bytes(lines + rest)
    return folder


def test_recorded_files_are_judged_as_a_simulation_is(tmp_path: Path) -> None:
    pytest.importorskip("zenoh")
    chosen = prepared()
    settings, data = chosen.settings["default"], chosen.data[0]
    simulated = execute(settings, "default", 0, data)
    swarm = LocalSwarm(chosen, tmp_path / "swarm", secure=False)
    swarm.start_ns = START_NS
    made, _ = simulate(settings, data, build(settings, data, 0))
    records = list(made.columns)
    for node, member in enumerate(swarm.members):
        own = [shifted(record, START_NS) for record in records if record.node == node]
        write(member.folder, [Up(START_NS - SECOND_NS, node, 1), *own])
        member.socket_before = (100, 0)
        (member.folder / "status.json").write_text(json.dumps({"socket": [100 + 50 * (node + 1), 0]}))
    live = swarm.result(tmp_path)
    end_s = simulated.metrics["virtual_s"]
    assert end_s is not None
    real = {"wall_s": end_s, "samples_per_wall_s": 200 / end_s, "bytes_socket_per_node_per_s": 150 / end_s}
    assert {**simulated.metrics, **real} == live.metrics
    assert simulated.per_node == live.per_node
    assert live.ages is not None and "real links" in live.ages.reasons[0]
    again = judge_trace(tmp_path / "default-seed0.jsonl.gz", settings)
    assert (live.trace_hash, live.per_node, live.ages.reasons) == (again.trace_hash, again.per_node, again.ages.reasons)


def test_a_swarm_without_counts_of_sockets_has_no_traffic_there(tmp_path: Path) -> None:
    pytest.importorskip("zenoh")
    swarm = LocalSwarm(prepared(), tmp_path / "swarm", secure=False)
    write(swarm.members[0].folder, [Arrived(START_NS + SECOND_NS, 0, 3, 1)])
    swarm.start_ns = START_NS
    assert None is swarm.result().metrics["bytes_socket_per_node_per_s"]


def test_records_of_all_members_are_in_order_from_the_start_of_the_stream(tmp_path: Path) -> None:
    one = write(tmp_path / "one", [Up(START_NS - 5, 0, 1), Down(START_NS + 30, 0)])
    two = write(tmp_path / "two", [Received(START_NS + 20, 1, 0, 1, 1, 1, START_NS - 3, 2, 50)])
    expected = [Up(0, 0, 1), Received(20, 1, 0, 1, 1, 1, 0, 2, 50), Down(30, 0)]
    assert expected == read_records([one, two, tmp_path / "never started"], START_NS)


def test_every_time_of_a_record_counts_from_the_start_of_the_stream(tmp_path: Path) -> None:
    run = TrainedRun(0, START_NS + 10, START_NS + 30, 5, 2, 1)
    records = [Trained(START_NS + 40, 1, 2, 1, 1, (run,)), Warned(START_NS + 50, 1, 0, "labels", START_NS + 20)]
    expected = [Trained(40, 1, 2, 1, 1, (TrainedRun(0, 10, 30, 5, 2, 1),)), Warned(50, 1, 0, "labels", 20)]
    assert expected == read_records([write(tmp_path / "one", records)], START_NS)


def test_half_a_record_of_a_killed_member_is_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", [Down(START_NS, 0)], rest=b'{"is":"up","at_ns":17')
    assert [Down(0, 0)] == read_records([folder], START_NS)


def test_a_sample_taken_before_a_restart_was_not_missed(tmp_path: Path) -> None:
    before = [Arrived(START_NS + 1, 0, 7, 1)]
    after = [Missed(START_NS + 1, 0, 7, 1), Missed(START_NS + 2, 0, 8, 0)]
    folder = write(tmp_path / "one", [*before, *after])
    assert [Arrived(1, 0, 7, 1), Missed(2, 0, 8, 0)] == read_records([folder], START_NS)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"swarm": {"byzantine": "flood:1"}}, "swarm.byzantine is for simulations only"),
        ({"data": {"source": "sea", "limit": 200, "holdout": True}}, "data.holdout is for simulations only"),
        ({"link": {"loss": 0.1}}, "link is for simulations only"),
        ({"medium": {"profile": "wifi"}}, "medium is for simulations only"),
        ({"swarm": {"topology": "ring+full@20"}}, "a topology that changes is for simulations only"),
        ({"data": ([[0.0], [1.0]] * 10, [0, 1] * 10)}, "data that each of them can load"),
    ],
)
def test_settings_that_need_a_simulation_are_refused(tables: dict[str, Any], message: str, tmp_path: Path) -> None:
    pytest.importorskip("zenoh")
    with pytest.raises((ConfigError, DataError), match=message):
        LocalSwarm(prepared(**tables), tmp_path / "swarm")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "link.loss=0.1"], "link is for simulations only"),
        (["--preset", "centralised"], "swarm.centralised is for simulations only"),
        (["--preset", "default", "--preset", "isolated"], "one preset at a time, got default, isolated"),
        (["--schedule", "broadcast"], "protovine swarm sends to each peer"),
    ],
)
def test_a_swarm_that_is_refused_writes_nothing(words: list[str], message: str, tmp_path: Path) -> None:
    pytest.importorskip("zenoh")
    out = ["--data", "sea", "--limit", "60", "--nodes", "3", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["swarm", *out, *words])
    assert done.exit_code == 2 and message in done.stderr, done.output
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("copied_members")
@pytest.mark.parametrize("killed", [(1,), (0, 1, 2)])
def test_members_that_are_killed_are_named_and_not_averaged(tmp_path: Path, killed: tuple[int, ...]) -> None:
    pytest.importorskip("zenoh")
    pending = set(killed)

    def kill(swarm: LocalSwarm) -> None:
        for node in sorted(pending):
            status = swarm.members[node].status()
            if swarm.start_ns and status and status["samples"] >= 5:
                child = swarm.members[node].child
                assert child is not None
                os.kill(child.pid, signal.SIGKILL)
                pending.discard(node)

    chosen = prepared(data={"source": "phishing", "limit": 150}, swarm={"nodes": 3})
    result = run_live(chosen, secure=False, trace_folder=tmp_path, watch=kill, keep=tmp_path / "swarm")
    assert not pending and result.error == (
        f"{len(killed)} of 3 nodes did not take all their samples; the notes say which and when"
    )
    notes = [note for note in result.notes if "killed by signal 9" in note]
    assert [int(note.split()[1]) for note in notes] == list(killed)
    assert all(note.endswith("of 50 samples; its results do not count") for note in notes)
    run = result.runs[0]
    again = judge_trace(tmp_path / "default-seed0.jsonl.gz")
    assert again.per_node == run.per_node and again.metrics["f1"] == run.metrics["f1"]
    if len(killed) == 3:
        assert result.status == "failed" and set(run.metrics.values()) - {None} == set()
    else:
        assert result.status == "partial" and [each["node"] for each in run.per_node] == [0, 2]
        assert [each["samples"] for each in run.per_node] == [50, 50]
        assert run.metrics["f1"] == pytest.approx(sum(each["f1"] for each in run.per_node) / 2)


@pytest.mark.slow
@pytest.mark.usefixtures("copied_members")
def test_a_member_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zenoh")
    monkeypatch.setattr("protovine.experiments.live.swarm._STOPPED_S", 2.0)
    monkeypatch.setattr("protovine.experiments.live.swarm._END_TIMEOUT_S", 2.0)
    stopped: set[int] = set()

    def freeze(swarm: LocalSwarm) -> None:
        status, child = swarm.members[1].status(), swarm.members[1].child
        if not stopped and swarm.start_ns and status and status["samples"] >= 5 and child is not None:
            os.kill(child.pid, signal.SIGSTOP)
            stopped.add(1)

    chosen = prepared(data={"source": "phishing", "limit": 150}, swarm={"nodes": 3})
    result = run_live(chosen, secure=False, watch=freeze, keep=tmp_path / "swarm")
    assert result.status == "partial" and [each["node"] for each in result.runs[0].per_node] == [0, 2]
    assert [note for note in result.notes if note.startswith("node 1 has taken no sample for 2 s")]
