from __future__ import annotations

import dataclasses
import importlib.util
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import protovine
from protovine.errors import ConfigError, DataError
from protovine.experiments import Sweep, engines, run_sweep, sweeper
from protovine.experiments.run.result import METRICS
from protovine.experiments.sweep.database import FILE, TIMED, Database, load_details, load_provenance
from protovine.experiments.sweep.grid import plan
from protovine.experiments.sweep.sweeper import run_plan

TABLES: dict[str, Any] = {
    "presets": ["paper-local", "paper-base"],
    "data": {"limit": 60},
    "seeds": 3,
    "grid": {"gossip.T": [0.5, 1.0]},
}
TOML = """
presets = ["paper-local", "paper-base"]
seeds = 3
[data]
limit = 60
[grid]
gossip.T = [0.5, 1.0]
"""


def contents(folder: Path) -> dict[str, list[Any]]:
    """Everything in a sweep's file but times and sessions."""
    with sqlite3.connect(folder / FILE) as connection:
        made = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            for table in ("sweep", "points", "runs")
        }
    connection.close()
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nothing stopped."""
    folder = tmp_path_factory.mktemp("sweeps") / "whole"
    swept = run_sweep(Sweep.of(TABLES), folder)
    assert (9, 0, 9, ()) == (swept.runs, swept.before, swept.done, swept.failures)
    return folder


def test_a_sweep_finds_what_single_experiments_find(whole: Path) -> None:
    frame = protovine.load_results(whole)
    assert ["preset", "gossip.T"] == frame.attrs["varied"]
    assert 12 == len(frame) == frame.attrs["runs"]
    for T in (0.5, 1.0):
        tables = {key: value for key, value in TABLES.items() if key != "grid"}
        result = protovine.run(protovine.Experiment(**tables, gossip={"T": T}))
        for run in result.runs:
            row = frame[(frame["preset"] == run.preset) & (frame["gossip.T"] == T) & (frame["seed"] == run.seed)].iloc[
                0
            ]
            assert run.trace_hash == row["trace_hash"]
            for name in set(METRICS) - set(TIMED):
                assert (run.metrics[name] is None and np.isnan(row[name])) or run.metrics[name] == row[name]
            curves = protovine.load_curves(whole, [row["run"]])
            np.testing.assert_array_equal(run.series.f1_recent, curves["f1_recent"])
            assert run.per_node == load_details(whole, row["run"])["per_node"]


def test_points_with_equal_settings_share_a_run(whole: Path) -> None:
    frame = protovine.load_results(whole)
    assert 3 == frame[frame["preset"] == "paper-local"]["run"].nunique(), "T of those that do not share stays 0"
    assert 6 == frame[frame["preset"] == "paper-base"]["run"].nunique()


def test_provenance_is_kept(whole: Path) -> None:
    kept = load_provenance(whole)
    assert [0, 1, 2] == kept["definition"]["seeds"]
    (session,) = kept["sessions"]
    assert (9, "local", 1) == (session["runs"], session["engine"], session["jobs"])
    assert protovine.__version__ == session["versions"]["protovine"] == kept["versions"]["protovine"]


@pytest.mark.slow
def test_the_number_of_jobs_changes_nothing(whole: Path, tmp_path: Path) -> None:
    run_sweep(Sweep.of(TABLES), tmp_path / "two", jobs=2)
    assert contents(whole) == contents(tmp_path / "two")


def test_a_stopped_sweep_goes_on_where_it_was(whole: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    first = run_sweep(Sweep.of(TABLES), tmp_path / "two", progress=stop)
    assert (True, 4) == (first.interrupted, first.done)
    assert 4 <= len(protovine.load_results(tmp_path / "two")) < 12
    seen: list[tuple[int, int]] = []
    second = run_sweep(Sweep.of(TABLES), tmp_path / "two", progress=lambda *at: seen.append(at))
    assert (4, 5, False) == (second.before, second.done, second.interrupted)
    assert [(done, 5) for done in range(6)] == seen
    assert contents(whole) == contents(tmp_path / "two")
    assert [4, 5] == [session["runs"] for session in load_provenance(tmp_path / "two")["sessions"]]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "protovine", "sweep", *arguments]


@pytest.mark.slow
def test_a_sweep_survives_kill_9_at_any_moment(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(TOML)
    out = tmp_path / "out"
    words = command(str(tmp_path / "s.toml"), "--out", str(out), "--jobs", "2")
    # Before, while and after the file is made, and between two runs, wherever the machine is by then.
    rng = np.random.default_rng()
    waits_s = [*rng.uniform(0.3, 4.0, 3).tolist(), 1, 3, 5]
    survived = []
    for wait_s in waits_s:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if isinstance(wait_s, float):
            time.sleep(wait_s)
        else:
            until = time.monotonic() + 120
            while len(runs_in(out)) < wait_s and process.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        survived.append(len(runs_in(out)))
    assert survived == sorted(survived) and survived[-1] >= 5, (survived, waits_s)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr), waits_s
    assert f"9 runs (3 more have the settings of another); {survived[-1]} were there before" in done.stdout
    assert contents(whole) == contents(out)


def runs_in(folder: Path) -> list[Any]:
    try:
        connection = sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)
        try:
            return connection.execute("SELECT run FROM runs").fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return []


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(TOML.replace("seeds = 3", "seeds = 300"))
    out = tmp_path / "out"
    words = command(str(tmp_path / "s.toml"), "--out", str(out), "--jobs", "2")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 120
    while not runs_in(out) and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to the workers too.
    errors = process.communicate(timeout=60)[1]
    there = len(runs_in(out))
    assert 130 == process.returncode, errors
    assert f"protovine: interrupted, {out} has {there} of 900 runs; give the same again\n" == errors
    assert there > 0


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (the optional part ray)")
def test_ray_finds_the_same(whole: Path, tmp_path: Path) -> None:
    run_sweep(Sweep.of(TABLES), tmp_path / "two", engine="ray", jobs=2)
    assert contents(whole) == contents(tmp_path / "two")
    assert "ray" == load_provenance(tmp_path / "two")["sessions"][0]["engine"]


class Deadly:
    """Unpickled, it ends the process."""

    def __reduce__(self) -> Any:
        return os._exit, (1,)


@pytest.mark.slow
def test_a_worker_that_dies_takes_no_other_run_with_it() -> None:
    tasks = list(plan(Sweep.of(TABLES)).tasks)
    tasks[3] = dataclasses.replace(tasks[3], settings=Deadly())
    found = {each.key: each for each in engines.results(tasks, "local", 2)}
    assert {task.key for task in tasks} == set(found)
    assert [tasks[3].key] == [key for key, each in found.items() if each.error]
    assert "the worker process died" in str(found[tasks[3].key].error)


def test_a_run_that_fails_is_kept_and_can_be_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    good = "a,b,class\n" + "".join(f"{i % 7},{i % 5},{'no' if i % 3 else 'yes'}\n" for i in range(60))
    file.write_text(good)
    planned = plan(
        Sweep.of(
            {
                "presets": "paper-base",
                "seeds": 1,
                "grid": {"data.source": ["phishing", str(file)]},
                "data": {"limit": 50},
            }
        )
    )
    file.write_text(good.replace("6,", "7,"))  # Between plan and run.
    swept = run_plan(planned, tmp_path / "out")
    ((point, seed, error),) = swept.failures
    assert (f"point 2 (preset = paper-base, data.source = {file})", 0) == (point, seed)
    assert "ConfigError" in error and "is not the same here as where the sweep began" in error
    frame = protovine.load_results(tmp_path / "out")
    assert ["ok", "failed"] == frame["status"].tolist()
    assert np.isnan(frame["f1"].iloc[1]) and frame["f1"].iloc[0] > 0
    file.write_text(good)
    assert 0 == run_plan(planned, tmp_path / "out").done, "a failed run is finished too"
    again = run_plan(planned, tmp_path / "out", retry_failed=True)
    assert (1, 1, ()) == (again.before, again.done, again.failures)
    assert ["ok", "ok"] == protovine.load_results(tmp_path / "out")["status"].tolist()


def test_another_sweep_in_the_folder_is_refused_and_a_larger_one_is_not(whole: Path, tmp_path: Path) -> None:
    def begin(**tables: Any) -> None:
        with Database.writing(tmp_path / "out", plan(Sweep.of({**TABLES, **tables})), {}, ""):
            pass

    begin()
    begin(seeds=4)
    begin(seeds=4, grid={"gossip.T": [0.25, 0.5, 1.0]})
    with pytest.raises(ConfigError, match=r"holds another sweep.*gossip.T was \[0.25, 0.5, 1.0\] and is \[0.5, 1.0\]"):
        begin(seeds=4)
    with pytest.raises(ConfigError, match=r"data limit was 60 and is 61"):
        begin(data={"limit": 61})
    assert 2 * 3 * 4 == len(contents(tmp_path / "out")["points"]), "refused: nothing was changed"


def test_two_sweeps_at_a_time_in_one_folder_are_refused(tmp_path: Path) -> None:
    planned = plan(Sweep.of(TABLES))
    with (
        Database.writing(tmp_path / "out", planned, {}, ""),
        pytest.raises(ConfigError, match="another process is sweeping into"),
        Database.writing(tmp_path / "out", planned, {}, ""),
    ):
        pass


def test_the_name_of_a_run_is_made_of_what_numbers_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def keys(**tables: Any) -> list[str]:
        return [task.key for task in plan(Sweep.of({**TABLES, "seeds": 1, **tables})).tasks]

    first = keys()
    assert first == keys(grid={"gossip": {"T": [0.5, 1.0]}})
    assert set(first) == set(keys(grid={"gossip.T": [1.0, 0.5]})), "the order of points is not part of it"
    assert set(first) == set(keys(data={"limit": 60, "source": "phishing", "text": "ordinal"})), "the same rows"
    for other in (
        {"data": {"limit": 61}},
        {"seed": 1},
        {"swarm": {"rate_hz": 11}},
        {"data": {"limit": 60, "positive": "False"}},
    ):
        assert set(first).isdisjoint(keys(**other)), other
    monkeypatch.setattr("protovine.experiments.sweep.grid.version", lambda name: "99")
    assert set(first).isdisjoint(keys())


def test_a_file_of_links_is_known_by_what_it_holds(tmp_path: Path) -> None:
    def key(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        swarm = {"nodes": 3, "topology": str(tmp_path / name)}
        (task,) = plan(Sweep.of({"presets": "paper-base", "seeds": 1, "data": {"limit": 60}, "swarm": swarm})).tasks
        return task.key

    assert key("a.txt", "0 1\n1 2\n") != key("a.txt", "0 1\n1 2\n0 2\n")


@given(
    T=st.lists(st.floats(0, 1), min_size=1, max_size=4, unique=True),
    s=st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    rows=st.lists(st.tuples(st.sampled_from(["phishing", "bananas"]), st.integers(1, 9)), max_size=3),
)
def test_points_are_every_row_with_every_combination(T: list[float], s: list[int], rows: list[tuple[str, int]]) -> None:
    listed = [{"data": {"source": source, "limit": limit}} for source, limit in rows]
    made = Sweep.of({"presets": "paper-base", "grid": {"gossip.T": T, "gossip.s": s}, "list": listed})
    expected = [
        {**({"data.source": row[0], "data.limit": row[1]} if row else {}), "gossip.T": t, "gossip.s": peers}
        for row in rows or [()]
        for t in T
        for peers in s
    ]
    assert expected == [{k: v for k, v in point.varied.items() if k != "preset"} for point in made.points]
    for point, varied in zip(made.points, expected, strict=True):
        assert (varied["gossip.T"], varied["gossip.s"]) == (point.settings.gossip.T, point.settings.gossip.s)
        assert varied.get("data.limit") == point.data.limit


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"grid": {"gossip.T": [0.5, 1.5]}},
            "point 2 (preset = paper-base, gossip.T = 1.5): gossip.T must be between 0",
        ),
        ({"grid": {"gossip.U": [1]}}, "unknown key 'gossip.U'"),
        ({"grid": {"gosip.T": [1]}}, "unknown key 'gosip.T' (did you mean 'gossip'?)"),
        ({"grid": {"gossip.T": 0.5}}, "grid.gossip.T must be a list of values, got 0.5"),
        ({"grid": {"gossip.T": []}}, "grid.gossip.T must be a list of values, got []"),
        ({"grid": {"gossip.T": [0.5, 0.5]}}, "grid.gossip.T has 0.5 more than once"),
        ({"grid": {"seed": [1, 2]}}, "seed cannot vary; seeds are repeats"),
        ({"grid": [1]}, "grid must be a table"),
        ({"list": {"gossip.T": 1}}, "list must be tables"),
        ({"grid": {"gossip.T": [1]}, "list": [{"gossip.T": 0.5}]}, "gossip.T stands in the grid and in the list"),
        ({"grid": {"preset": ["paper-jds"]}, "presets": None}, "unknown preset 'paper-jds'"),
        ({"grid": {"preset": ["paper-jsd"]}}, "presets are given twice"),
        (
            {"grid": {"data.source": ["phising"]}},
            "point 1 (preset = paper-base, data.source = phising): unknown data set",
        ),
        ({"grid": {"swarm.topology": ["full", "rign"]}}, "point 2 (preset = paper-base, swarm.topology = rign)"),
        ({"sedes": 3}, "unknown key 'sedes'"),
        ({"seeds": 0}, "seeds must be between 1 and 10000, got 0"),
        (
            {"seeds": 10_000, "grid": {"gossip.s": list(range(1, 200))}},
            "at most 1,000,000 runs, this one has 1,990,000",
        ),
    ],
)
def test_mistakes_are_found_before_anything_runs(tables: dict[str, Any], message: str) -> None:
    given = {"presets": ["paper-base"], "data": {"limit": 60}, **tables}
    with pytest.raises((ConfigError, DataError)) as caught:
        plan(Sweep.of({key: value for key, value in given.items() if value is not None}))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("s.toml", "the results need a folder: --out DIR"),
        ("none.toml --out x", "cannot read the sweep none.toml"),
        ("bad.toml --out x", "point 1 (preset = default, gossip.s = 0): gossip.s must be at least 1, got 0"),
        ("s.toml --out x --engine slurm", "engine must be one of local, ray, got 'slurm'"),
        ("s.toml --out x --address auto", "an address is that of a Ray cluster"),
        ("s.toml --out x --jobs 0", "jobs must be between 1 and 1024, got 0"),
        ("s.toml --out full", "full is not empty and holds no sweep"),
    ],
)
def test_mistakes_are_one_line_on_the_command_line(arguments: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(TOML)
    (tmp_path / "bad.toml").write_text("[grid]\ngossip.s = [0]\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    done = subprocess.run(command(*arguments.split()), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (2, 1) == (done.returncode, done.stderr.count("\n")), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "x" / FILE).exists()


def test_a_dry_run_says_how_much_there_is_to_do(tmp_path: Path, whole: Path) -> None:
    (tmp_path / "s.toml").write_text(TOML)
    words = command("s.toml", "--dry-run", "--out", str(whole))
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    expected = f"4 points, 3 seeds, 9 runs (3 more have the settings of another)\n{whole} has 9 runs of them\n"
    assert (0, expected, "") == (done.returncode, done.stdout, done.stderr)


def test_results_can_be_read_while_the_sweep_goes_on(tmp_path: Path) -> None:
    planned = plan(Sweep.of(TABLES))
    with Database.writing(tmp_path / "out", planned, {}, "") as kept:
        assert 0 == len(protovine.load_results(tmp_path / "out"))
        kept.save(engines.attempt(planned.tasks[0]))
        kept.save(dataclasses.replace(engines.attempt(planned.tasks[1]), run=None, error="Error: no"))
        frame = protovine.load_results(tmp_path / "out")
        # The first task is that of paper-local, at both T.
        assert ["ok", "ok", "failed"] == frame["status"].tolist()
        assert "Error: no" == frame["error"].iloc[2]


def test_curves_are_kept_to_the_last_bit(whole: Path) -> None:
    frame = protovine.load_curves(whole)
    with sqlite3.connect(whole / FILE) as connection:
        run, packed = connection.execute("SELECT run, curves FROM runs ORDER BY run").fetchone()
    connection.close()
    values = np.frombuffer(zlib.decompress(packed), "<f8").reshape(6, -1)
    pd.testing.assert_series_equal(
        pd.Series(values[0], name="at_s"), frame[frame["run"] == run]["at_s"].reset_index(drop=True)
    )


def test_what_is_no_sweep_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder of a sweep"):
        protovine.load_results(tmp_path)
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match="cannot be read"):
        protovine.load_results(tmp_path)
    with pytest.raises(ConfigError, match="cannot open"):
        run_sweep(Sweep.of(TABLES), tmp_path)


def test_the_commit_is_that_of_the_code_not_of_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q", "."], check=True)
    commit = sweeper.provenance({})["commit"]
    assert commit is None or 40 == len(commit.rstrip("+"))
