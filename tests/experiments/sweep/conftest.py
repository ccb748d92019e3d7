"""A sweep that tests only read."""

from __future__ import annotations

from pathlib import Path

import pytest

from protovine.experiments import Sweep, run_sweep
from tests.experiments.sweep import TABLES


@pytest.fixture(scope="package")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nothing stopped."""
    folder = tmp_path_factory.mktemp("sweeps") / "whole"
    swept = run_sweep(Sweep.of(TABLES), folder, jobs=1)
    assert (9, 0, 9, ()) == (swept.runs, swept.before, swept.done, swept.failures)
    return folder
