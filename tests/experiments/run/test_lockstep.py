"""Runs side by side, and what is done to them by hand: a run with the same faults from the start is the same run."""

from __future__ import annotations

from pathlib import Path

import pytest

import protovine
from protovine.errors import ConfigError
from protovine.experiments.define.prepare import prepare
from protovine.experiments.run.folder import RunFolder
from protovine.experiments.run.lockstep import Lockstep
from protovine.experiments.run.replay import replay
from protovine.experiments.run.runner import run_prepared
from protovine.records import SECOND_NS, read_trace

pytestmark = pytest.mark.usefixtures("short_report")

PRESETS = ("default", "isolated", "centralised", "paper-base")


def prepared(limit: int = 500, **sections):
    return prepare(protovine.Experiment(presets=PRESETS, data={"limit": limit}, seeds=1, **sections))


def test_without_a_hand_the_runs_are_those_of_run() -> None:
    lock = Lockstep(prepared())
    while not lock.done:
        lock.advance(lock.now_ns + SECOND_NS // 3)
    _, result = lock.finish()
    plain = run_prepared(prepared())
    assert [run.trace_hash for run in plain.runs] == [run.trace_hash for run in result.runs]
    without = ("wall_s", "samples_per_wall_s")
    for ours, theirs in zip(result.runs, plain.runs, strict=True):
        assert {k: v for k, v in theirs.metrics.items() if k not in without} == {
            k: v for k, v in ours.metrics.items() if k not in without
        }


def test_what_is_done_by_hand_is_replayed(tmp_path: Path) -> None:
    lock = Lockstep(prepared(faults=[{"kind": "crash", "node": 4, "at_s": 1.0, "restart_s": 2.0}]))
    folder = RunFolder.create(tmp_path / "run", lock.prepared)
    lock.advance(SECOND_NS)
    lock.kill(2)
    lock.kill(3)
    lock.cut(0, 1)
    lock.advance(3 * SECOND_NS)
    lock.drift("relation")
    lock.drift("features", [1])
    lock.restart(2)
    lock.attack(0, "random-vectors")
    lock.retune(fanout=1, share_probability=1.0, budget_bytes_per_s=150.0)
    lock.advance(5 * SECOND_NS)
    lock.mend(1, 0)
    lock.drift("labels", [2, 4])
    lock.retune(budget_bytes_per_s=0.0)
    lock.advance(6 * SECOND_NS)
    lock.kill(2)
    lock.retune(budget_bytes_per_s=30.0)
    lock.retune(share_probability=0.0)
    while not lock.done:
        lock.advance(lock.now_ns + SECOND_NS)
    again, result = lock.finish(folder.traces)
    folder.describe(again)
    folder.finish(result, lambda _: "")
    assert [1, 2, 3, 4] == [node["node"] for node in result.of("default")[0].per_node], "node 0 is Byzantine"
    assert len(result.of("centralised")[0].drift_points_s) == 3
    plain = run_prepared(prepared(faults=[{"kind": "crash", "node": 4, "at_s": 1.0, "restart_s": 2.0}]))
    hashes = [run.trace_hash for run in result.runs]
    assert not set(hashes) & {run.trace_hash for run in plain.runs}, "every system felt it"
    replayed = list(replay(tmp_path / "run", [], []))
    assert [(made.preset, True) for made in replayed] == [
        (preset, made.same) for preset, made in zip(PRESETS, replayed, strict=True)
    ]


def test_what_cannot_be_done_is_refused_and_changes_nothing() -> None:
    lock, plain = Lockstep(prepared(200)), Lockstep(prepared(200))
    for each in (lock, plain):
        each.advance(SECOND_NS)
    for act, words in (
        (lambda: lock.kill(5), "node must be 0 to 4, got 5"),
        (lambda: lock.restart(1), "node 1 was not killed by hand"),
        (lambda: lock.cut(1, 1), "two different nodes"),
        (lambda: lock.mend(1, 2), "was not cut by hand"),
        (lambda: lock.drift("nothing"), "labels"),
        (lambda: lock.attack(1, "flood"), "label-flip"),
        (lambda: lock.retune(fanout=0), "fanout"),
        (lambda: lock.retune(), "a retune must name"),
        (lambda: lock.retune(colour=1), "colour"),
    ):
        with pytest.raises(ConfigError, match=words):
            act()
    assert [] == lock.by_hand
    lock.kill(1)
    with pytest.raises(ConfigError, match="down already"):
        lock.kill(1)
    lock.cut(2, 3)
    with pytest.raises(ConfigError, match="cut already"):
        lock.cut(3, 2)
    for node in (0, 1, 2, 3):
        lock.attack(node, "label-flip")
    with pytest.raises(ConfigError, match="honest"):
        lock.attack(4, "label-flip")
    assert [4] == lock.honest


def test_a_trace_has_as_many_nodes_as_are_wanted(tmp_path: Path) -> None:
    lock = Lockstep(prepared(100, swarm={"trace_nodes": 2}))
    while not lock.done:
        lock.advance(lock.now_ns + SECOND_NS)
    lock.finish(tmp_path)
    header, kept = read_trace(tmp_path / "default-seed0.jsonl.gz")
    assert [0, 1] == header["traced"]
    assert {0, 1} == {record.node for record in kept}
