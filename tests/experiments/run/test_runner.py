"""Experiments of several runs: jobs, data, mistakes, failures."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from river import datasets

import protovine
from protovine.errors import ConfigError, DataError, InvariantError, RunError
from protovine.experiments.define.prepare import prepare
from protovine.experiments.run import execute, runner
from protovine.experiments.run.folder import read_result
from protovine.experiments.run.replay import replay
from protovine.experiments.run.result import METRICS
from protovine.experiments.run.trace import hash_of
from protovine.records import Arrived, read_trace
from protovine.stream import DataSet
from tests.experiments.run import small


def test_results_do_not_depend_on_the_number_of_jobs() -> None:
    single, together = (protovine.run(small(), jobs=jobs) for jobs in (1, 2))
    assert [run.trace_hash for run in single.runs] == [run.trace_hash for run in together.runs]
    for ours, theirs in zip(single.runs, together.runs, strict=True):
        assert (ours.preset, ours.seed) == (theirs.preset, theirs.seed)
        same = {name for name in METRICS if "wall" not in name}
        assert {name: ours.metrics[name] for name in same} == {name: theirs.metrics[name] for name in same}


def test_ctrl_c_is_heard_between_two_waits_and_never_within_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within `concurrent.futures.wait` it could leave futures locked: the pool would then wait for them forever."""
    whole, real = [], runner.wait

    def interrupted(*args: object, **options: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        found = real(*args, **options)
        whole.append(True)
        return found

    monkeypatch.setattr(runner, "wait", interrupted)
    result = protovine.run(small(), jobs=2)
    assert [True] == whole
    assert "partial" == result.status
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_while_workers_start_stops_their_work(monkeypatch: pytest.MonkeyPatch) -> None:
    real, events = ProcessPoolExecutor.submit, []

    def interrupted(pool: ProcessPoolExecutor, *args: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return real(pool, *args)

    context = multiprocessing.get_context("spawn")
    event = context.Event
    monkeypatch.setattr(type(context), "Event", lambda self: events.append(event()) or events[-1])
    monkeypatch.setattr(ProcessPoolExecutor, "submit", interrupted)
    result = protovine.run(small(), jobs=2)
    assert ("partial", True) == (result.status, events[0].is_set())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


IMPATIENT = """
import os, signal
import protovine
from protovine.experiments.run import runner

real = runner.wait

def wait(*args, **options):
    os.kill(os.getpid(), signal.SIGINT)
    return real(*args, **options)

if __name__ == "__main__":
    runner.wait = wait
    presets = ["default", "paper-isolated", "gossip-bayes", "gossip-logistic", "river"]
    print(protovine.run(protovine.Experiment(presets=presets, seeds=1, data={"limit": 100}), jobs=2).status)
"""


def test_ctrl_c_ends_workers_that_compile_and_the_run(tmp_path: Path) -> None:
    (tmp_path / "impatient.py").write_text(IMPATIENT)
    command = [sys.executable, "impatient.py"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}  # Nothing is compiled yet.
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert (0, "partial\n") == (done.returncode, done.stdout), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_keeps_what_the_only_run_has_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jobs: int) -> None:
    monkeypatch.setattr(execute, "SHARDED_FROM", 5)
    experiment = small(presets=["default"], seeds=1, gossip={"share_probability": 1})
    pressed: list[int] = []

    def press_once(done: int, total: int) -> None:
        if done >= total // 2 and not pressed:
            pressed.append(done)
            os.kill(os.getpid(), signal.SIGINT)

    result = protovine.run(experiment, jobs=jobs, out=tmp_path / "out", progress=press_once)
    (stopped,) = result.runs
    assert ("partial", True) == (result.status, stopped.stopped)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    records = list(read_trace(tmp_path / "out" / "traces" / "default-seed0.jsonl.gz")[1])
    assert hash_of(records) == stopped.trace_hash
    whole = protovine.run(experiment, jobs=jobs)
    assert ("complete", False) == (whole.status, whole.runs[0].stopped)
    arrived = sum(isinstance(record, Arrived) for record in records)
    total = sum(node["samples"] for node in whole.runs[0].per_node)
    assert total // 2 <= arrived == sum(node["samples"] for node in stopped.per_node) < total
    with pytest.raises(ConfigError, match="Ctrl-C stopped"):
        list(replay(tmp_path / "out", [], []))


def test_a_second_ctrl_c_is_not_waited_for(tmp_path: Path) -> None:
    def press(done: int, total: int) -> None:
        if done:
            os.kill(os.getpid(), signal.SIGINT)

    experiment = small(presets=["default"], seeds=1, data={"source": "sea", "limit": 500})
    result = protovine.run(experiment, out=tmp_path / "out", progress=press)
    assert ("partial", []) == (result.status, result.runs)
    assert [] == list((tmp_path / "out" / "traces").iterdir())


def test_every_kind_of_data_gives_the_same_run(phishing: DataSet) -> None:
    frame = pd.DataFrame(phishing.x, columns=list(phishing.features)).assign(phishing=phishing.y == 1)
    sources = {
        "data set": phishing,
        "arrays": (phishing.x, phishing.y == 1),
        "frame": frame,
        "river": datasets.Phishing(),
        "iterator": iter(list(datasets.Phishing())),
        "generator": (pair for pair in datasets.Phishing()),
    }
    hashes = {
        name: protovine.run(small(data={"source": source, "limit": 200}, seeds=1)).runs[1].trace_hash
        for name, source in sources.items()
    }
    assert {protovine.run(small(seeds=1)).runs[1].trace_hash} == set(hashes.values())


def test_generated_streams_follow_the_seed() -> None:
    prepared = prepare(small(data={"source": "sea", "limit": 100}))
    assert prepared.data[0].fingerprint() != prepared.data[1].fingerprint()
    shared = prepare(small())
    assert shared.data[0] is shared.data[1]


def test_an_output_folder_with_files_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(ConfigError, match="is not empty"):
        protovine.run(small(), out=tmp_path)
    assert ["mine"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"swarm": {"topology": "regular:9"}}, ConfigError, "regular:K"),
        ({"swarm": {"split": "label-skew:0"}}, ConfigError, "ALPHA"),
        ({"swarm": {"slow": {9: 2.0}}}, ConfigError, "names node 9"),
        ({"data": "phising"}, DataError, "did you mean 'phishing'"),
        ({"data": {"limit": 1}}, DataError, "at least two classes"),
        ({"data": {"positive": "maybe"}}, ConfigError, "maybe"),
        ({"data": {"source": "image-segments", "positive": "sky"}}, ConfigError, "there are 7"),
        ({"learner": {"target_low": 90.0}}, ConfigError, "low <= high"),
        ({"faults": [{"kind": "crash", "node": 0, "at_s": 2, "restart_s": 1}]}, ConfigError, "must be after 2"),
        ({"faults": [{"kind": "crash", "node": 7, "at_s": 2}]}, ConfigError, "names node 7"),
    ],
)
def test_what_does_not_fit_is_found_before_anything_is_written(
    tmp_path: Path, values: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        protovine.run(small(**values), out=tmp_path / "out")
    assert [] == list(tmp_path.iterdir())


def test_a_broken_promise_ends_the_experiment_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = runner.execute

    def breaks(settings, preset, seed, *rest):
        if (preset, seed) == ("paper-base", 1):
            raise InvariantError("invariant broken: a test")
        return real(settings, preset, seed, *rest)

    monkeypatch.setattr(runner, "execute", breaks)
    again = f"a test; to see it again: protovine replay {tmp_path}/out --preset paper-base --seed 1"
    with pytest.raises(RunError, match=f"paper-base, seed 1: invariant broken: {again}"):
        protovine.run(small(), out=tmp_path / "out")
    kept = read_result(tmp_path / "out")
    assert ("failed", ["paper-base", 1], 3) == (kept["status"], kept["failed"], len(kept["runs"]))
    assert (tmp_path / "out" / "report.html").exists()
    with pytest.raises(RunError, match=r"a test$"):
        protovine.run(small())


def test_an_error_that_is_in_words_already_gets_no_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_):
        raise RunError("a process of a shard died")

    monkeypatch.setattr(runner, "execute", dies)
    with pytest.raises(RunError, match=r"^paper-isolated, seed 0: a process of a shard died$"):
        protovine.run(small(presets=["paper-isolated"], seeds=1))


def test_notes_warn_of_what_a_user_would_not_expect() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3)) * [1.0, 2.0, 1e5]
    faults = [{"kind": "crash", "node": 1, "at_s": 1.0}, {"kind": "join", "node": 0, "at_s": 50.0}]
    notes = protovine.run(small(data=(x, np.arange(60) % 2), faults=faults, seeds=1)).notes
    assert any("'x2' spans" in note and "scale it" in note for note in notes)
    assert ["a join at 50 s comes after the end"] == [note[:34] for note in notes if "join" in note]
    assert not any("crash" in note for note in notes)


def test_a_wrong_label_column_is_suspected() -> None:
    x = np.arange(80.0).reshape(80, 1)
    with pytest.raises(ConfigError, match=r"80 classes in 80 rows.*label column"):
        protovine.run(small(presets="paper-cluster", data=(x, np.arange(80))))


def test_an_iterator_runs_in_several_processes() -> None:
    source = (pair for pair in datasets.Phishing().take(100))
    result = protovine.run(small(data={"source": source}), jobs=2)
    assert 4 == len(result.runs)


def test_importing_the_package_is_light() -> None:
    heavy = ("numpy", "numba", "river", "pydantic", "rich")
    code = f"import sys, protovine, protovine.cli; print([m for m in {heavy} if m in sys.modules])"
    assert "[]\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_a_script_without_a_guard_gets_an_error_and_does_not_hang(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import protovine\n"
        "presets = ['paper-isolated']\n"
        "protovine.run(protovine.Experiment(presets=presets, data={'limit': 100}, seeds=2, jobs=2))\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ended.returncode and "below `if __name__ == '__main__':`" in ended.stderr
    assert "a worker process died" in ended.stderr
