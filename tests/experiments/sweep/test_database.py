"""What a sweep's file keeps, and what it refuses."""

from __future__ import annotations

import dataclasses
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import protovine
from protovine.errors import ConfigError, DataError, RunError
from protovine.experiments import Sweep, run_sweep
from protovine.experiments.sweep import engines
from protovine.experiments.sweep.database import FILE, Database, load_provenance
from protovine.experiments.sweep.grid import Plan, plan
from tests.commands import protovine as protovine_command
from tests.experiments.sweep import TABLES, TOML, contents


def test_points_with_equal_settings_share_a_run(whole: Path) -> None:
    frame = protovine.load_results(whole)
    assert 3 == frame[frame["preset"] == "paper-isolated"]["run"].nunique(), "T of those that do not share stays 0"
    assert 6 == frame[frame["preset"] == "paper-base"]["run"].nunique()


def test_provenance_is_kept(whole: Path) -> None:
    kept = load_provenance(whole)
    assert [0, 1, 2] == kept["definition"]["seeds"]
    (session,) = kept["sessions"]
    assert (9, "local", 1) == (session["runs"], session["engine"], session["jobs"])
    assert protovine.__version__ == session["versions"]["protovine"] == kept["versions"]["protovine"]


def test_another_sweep_in_the_folder_is_refused_and_a_larger_one_is_not(whole: Path, tmp_path: Path) -> None:
    def begin(**tables: Any) -> None:
        with Database.writing(tmp_path / "out", plan(Sweep.of({**TABLES, **tables})), {}, ""):
            pass

    begin()
    begin(seeds=4)
    begin(seeds=4, grid={"gossip.share_probability": [0.25, 0.5, 1.0]})
    with pytest.raises(
        ConfigError, match=r"holds another sweep.*gossip.share_probability was \[0.25, 0.5, 1.0\] and is \[0.5, 1.0\]"
    ):
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


def test_results_can_be_read_while_the_sweep_goes_on(tmp_path: Path) -> None:
    planned = plan(Sweep.of(TABLES))
    with Database.writing(tmp_path / "out", planned, {}, "") as kept:
        assert 0 == len(protovine.load_results(tmp_path / "out"))
        kept.save(engines.attempt(planned.tasks[0]))
        kept.save(dataclasses.replace(engines.attempt(planned.tasks[1]), run=None, error="Error: no"))
        frame = protovine.load_results(tmp_path / "out")
        # The first task is that of paper-isolated, at both T.
        assert ["ok", "ok", "failed"] == frame["status"].tolist()
        assert "Error: no" == frame["error"].iloc[2]


def test_on_a_full_disk_all_saved_runs_are_kept(tmp_path: Path) -> None:
    planned = plan(Sweep.of(TABLES))
    made = [engines.attempt(task) for task in planned.tasks[:2]]
    with Database.writing(tmp_path / "out", planned, {}, "") as kept:
        kept.save(made[0])
        ((pages,),) = kept._connection.execute("PRAGMA page_count")
        kept._connection.execute(f"PRAGMA max_page_count = {pages}")

        def save_all() -> None:
            for number in range(100):
                kept.save(dataclasses.replace(made[1], key=f"{number}"))

        with pytest.raises(RunError, match=rf"^cannot write .*{FILE}: database or disk is full; all runs that were"):
            save_all()
        found = kept.finished()
        assert made[0].key in found
        kept._connection.execute(f"PRAGMA max_page_count = {100 * pages}")
        kept.save(made[1])
        assert {*found, made[1].key} == kept.finished()


def test_a_full_disk_is_one_line_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise RunError("cannot write x: database or disk is full")

    monkeypatch.setattr(Database, "save", full)
    (tmp_path / "s.toml").write_text(TOML)
    done = protovine_command("sweep", "s.toml", "--out", "out", "--jobs", "1", cwd=tmp_path)
    said = "protovine: cannot write x: database or disk is full; give the same again to go on\n"
    assert (1, said) == (done.returncode, done.stderr)


def test_the_reason_of_a_refusal_is_what_is_gone(tmp_path: Path) -> None:
    def begin(planned: Plan) -> None:
        with Database.writing(tmp_path / "out", planned, {}, ""):
            pass

    many = {**TABLES, "seeds": 40}
    begin(plan(Sweep.of(many)))
    with pytest.raises(ConfigError, match=r"leaves some of its runs out \(seeds lacks 38, 39\);"):
        begin(plan(Sweep.of({**many, "seeds": 38})))
    with pytest.raises(
        ConfigError, match=r"leaves some of its runs out \(data limit was 60 and is 61; seeds lacks 0, 1\);"
    ):
        begin(plan(Sweep.of({**many, "seed": 2, "seeds": 40, "data": {"limit": 61}})))
    # More seeds are no reason: what the names of runs cover besides is.
    longer = plan(Sweep.of({**many, "seeds": 41}))
    other = dataclasses.replace(longer, keys={place: f"{key}x" for place, key in longer.keys.items()})
    with pytest.raises(ConfigError, match=r"out \(its data, or files or code that it names, differ\);"):
        begin(other)


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
    with pytest.raises(
        DataError, match=r"is no folder of a sweep or a run: it has neither results\.sqlite nor result\.json"
    ):
        protovine.load_results(tmp_path)
    (tmp_path / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match="cannot be read"):
        protovine.load_results(tmp_path)
    with pytest.raises(ConfigError, match="cannot open"):
        run_sweep(Sweep.of(TABLES), tmp_path)
