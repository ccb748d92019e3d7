"""Sweeps from start to end: results, interruptions, mistakes on the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import protovine
from protovine.experiments import Sweep, run_sweep
from protovine.experiments.run.result import METRICS
from protovine.experiments.sweep import sweeper
from protovine.experiments.sweep.database import FILE, TIMED, load_details, load_provenance
from protovine.experiments.sweep.grid import plan
from protovine.experiments.sweep.sweeper import run_plan
from tests import copies
from tests.commands import protovine as protovine_command
from tests.experiments.sweep import TABLES, TOML, command, contents, runs_in


def test_a_sweep_finds_what_single_experiments_find(whole: Path) -> None:
    frame = protovine.load_results(whole)
    assert ["preset", "gossip.share_probability"] == frame.attrs["varied"]
    assert 12 == len(frame) == frame.attrs["runs"]
    for T in (0.5, 1.0):
        tables = {key: value for key, value in TABLES.items() if key != "grid"}
        result = protovine.run(protovine.Experiment(**tables, gossip={"share_probability": T}))
        for run in result.runs:
            row = frame[
                (frame["preset"] == run.preset) & (frame["gossip.share_probability"] == T) & (frame["seed"] == run.seed)
            ].iloc[0]
            assert run.trace_hash == row["trace_hash"]
            for name in set(METRICS) - set(TIMED):
                assert (run.metrics[name] is None and np.isnan(row[name])) or run.metrics[name] == row[name]
            curves = protovine.load_curves(whole, [row["run"]])
            np.testing.assert_array_equal(run.series.f1_recent, curves["f1_recent"])
            assert run.per_node == load_details(whole, row["run"])["per_node"]


@pytest.mark.usefixtures("in_this_process")
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


@pytest.mark.slow
def test_a_sweep_survives_kill_9_at_any_moment(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(TOML)
    out = tmp_path / "out"
    words = (str(tmp_path / "s.toml"), "--out", str(out), "--jobs", "1")
    # Before, while and after the file is made, and between two runs, wherever the machine is by then.
    rng = np.random.default_rng()
    waits_s = [*rng.uniform(0.0, 1.0, 2).tolist(), rng.uniform(0.3, 4.0), 1, 3, 5]
    survived = []
    for wait_s in waits_s:
        process = copies.Copy("sweep", *words, cwd=tmp_path, out=Path("said"), error=Path("said"))
        if isinstance(wait_s, float):
            time.sleep(wait_s)
        else:
            until = time.monotonic() + 120
            while len(runs_in(out)) < wait_s and process.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
        process.kill()
        process.wait()
        survived.append(len(runs_in(out)))
    assert survived == sorted(survived) and survived[-1] >= 5, (survived, waits_s)
    done = copies.run("sweep", *words, cwd=tmp_path, timeout=300)
    assert (0, "") == (done.returncode, done.stderr), waits_s
    assert f"9 runs (3 more have the settings of another); {survived[-1]} were there before" in done.stdout
    assert contents(whole) == contents(out)


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
    assert "ConfigError" in error and "differs between this worker and the sweep" in error
    frame = protovine.load_results(tmp_path / "out")
    assert ["ok", "failed"] == frame["status"].tolist()
    assert np.isnan(frame["f1"].iloc[1]) and frame["f1"].iloc[0] > 0
    file.write_text(good)
    assert 0 == run_plan(planned, tmp_path / "out").done, "a failed run is finished too"
    again = run_plan(planned, tmp_path / "out", retry_failed=True)
    assert (1, 1, ()) == (again.before, again.done, again.failures)
    assert ["ok", "ok"] == protovine.load_results(tmp_path / "out")["status"].tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("s.toml", "the results need a folder: --out DIR"),
        ("none.toml --out x", "cannot read the sweep none.toml"),
        ("bad.toml --out x", "point 1 (preset = default, gossip.fanout = 0): gossip.fanout must be at least 1, got 0"),
        ("s.toml --out x --engine slurm", "engine must be one of local, ray, got 'slurm'"),
        ("s.toml --out x --address auto", "an address needs the engine ray"),
        ("s.toml --out x --jobs 0", "jobs must be between 1 and 1024, got 0"),
        ("s.toml --out full", "full is not empty and holds no sweep"),
    ],
)
def test_mistakes_are_one_line_on_the_command_line(arguments: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(TOML)
    (tmp_path / "bad.toml").write_text("[grid]\ngossip.fanout = [0]\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    done = protovine_command("sweep", *arguments.split(), cwd=tmp_path)
    assert (2, 1) == (done.returncode, done.stderr.count("\n")), done.stderr
    assert message in done.stderr
    assert not (tmp_path / "x" / FILE).exists()


def test_a_dry_run_says_how_much_there_is_to_do(tmp_path: Path, whole: Path) -> None:
    (tmp_path / "s.toml").write_text(TOML)
    done = protovine_command("sweep", "s.toml", "--dry-run", "--out", str(whole), cwd=tmp_path)
    expected = f"4 points, 3 seeds, 9 runs (3 more have the settings of another)\n{whole} has 9 runs of them\n"
    assert (0, expected, "") == (done.returncode, done.stdout, done.stderr)


def test_a_sweep_shows_what_a_run_would_note(tmp_path: Path) -> None:
    rows = "".join(f"{i}.5V,{i % 7},{'ab'[i % 2]}\n" for i in range(60))
    (tmp_path / "d.csv").write_text("volt,b,label\n" + rows)
    (tmp_path / "s.toml").write_text(
        'presets = "paper-base"\nseeds = 2\n[data]\nsource = "d.csv"\n[grid]\nswarm.nodes = [3, 70]\n'
    )
    done = protovine_command("sweep", "s.toml", "--dry-run", cwd=tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    notes = [line for line in done.stdout.splitlines() if line.startswith("note: ")]
    assert 1 == sum(note.startswith("note: d.csv: column 'volt' is text") for note in notes), "once for all points"
    point = "note: point 2 (preset = paper-base, swarm.nodes = 70)"
    assert 1 == sum(note.startswith(f"{point}: seed 0: no samples for nodes 60,") for note in notes), notes


def test_the_commit_is_that_of_the_code_not_of_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q", "."], check=True)
    commit = sweeper.provenance({})["commit"]
    assert commit is None or 40 == len(commit.rstrip("+"))
