"""A sweep that tests only read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from protovine.experiments import Sweep, run_sweep
from protovine.experiments.sweep import engines, sweeper
from protovine.experiments.sweep.grid import Task
from tests.experiments.sweep import TABLES


def here(tasks: Sequence[Task], *_: object) -> Iterator[engines.Finished]:
    """Stands for the engines, which start new processes that import everything."""
    yield from map(engines.attempt, tasks)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "results", here)


@pytest.fixture(scope="package")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nothing stopped."""
    folder = tmp_path_factory.mktemp("sweeps") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeper, "results", here)
        swept = run_sweep(Sweep.of(TABLES), folder)
    assert (9, 0, 9, ()) == (swept.runs, swept.before, swept.done, swept.failures)
    return folder
