"""Engines: the same results from each, however many workers there are and whatever happens to them."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import pytest

from protovine.experiments import Sweep, run_sweep
from protovine.experiments.sweep import engines
from protovine.experiments.sweep.database import load_provenance
from protovine.experiments.sweep.grid import plan
from protovine.learn import HedgedLVQCore
from tests.experiments.sweep import TABLES, contents


def worker_processes() -> set[str]:
    """Ids of this process's children that are workers, of the local engine or of another test that ran before."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {child for child in children if "popen_loky" in Path(f"/proc/{child}/cmdline").read_bytes().decode()}


def test_an_error_of_a_run_is_its_result() -> None:
    task = plan(Sweep.of(TABLES)).tasks[0]
    found = engines.attempt(dataclasses.replace(task, versions=(("numpy", "0.1"),)))
    assert (task.key, None) == (found.key, found.run)
    assert "ConfigError: the worker has numpy" in str(found.error)
    assert None is engines.attempt(task).error


def test_an_error_in_own_code_names_its_line() -> None:
    learner = {"code": f"{__name__}:Failing"}
    error = engines.attempt(plan(Sweep.of({**TABLES, "presets": ["isolated"], "learner": learner})).tasks[0]).error
    assert re.fullmatch(r"ZeroDivisionError: no water here \(.*test_engines\.py:\d+\)", str(error)), error


class Failing(HedgedLVQCore):
    """It learns nothing."""

    def learn(self, *_: Any) -> int:
        raise ZeroDivisionError("no water\nhere")


@pytest.mark.slow
def test_an_interrupted_engine_keeps_what_is_finished_and_leaves_no_worker(tmp_path: Path) -> None:
    seen: list[int] = []
    before = worker_processes()

    def interrupt(done: int, total: int) -> None:
        if done == 2:
            seen.append(len(worker_processes() - before))
            raise KeyboardInterrupt

    swept = run_sweep(Sweep.of(TABLES), tmp_path / "out", jobs=2, progress=interrupt)
    assert (True, 2, [2], set()) == (swept.interrupted, swept.done, seen, worker_processes() - before)
    assert 2 == len(contents(tmp_path / "out")["runs"])


@pytest.mark.slow
def test_the_number_of_jobs_changes_nothing(whole: Path, tmp_path: Path) -> None:
    run_sweep(Sweep.of(TABLES), tmp_path / "two", jobs=2)
    assert contents(whole) == contents(tmp_path / "two")


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
