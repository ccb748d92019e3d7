"""Runs whose every metric must stay the same to the last digit while the code is rearranged."""

from __future__ import annotations

import json
import platform
import shlex
from importlib.metadata import version
from pathlib import Path

import pytest

from tests import copies

ROOT = Path(__file__).parent.parent.parent
REFERENCE = json.loads((Path(__file__).parent / "reference_runs.json").read_text())
PINNED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCE)
def test_every_metric_is_the_same_to_the_last_digit(name: str, tmp_path: Path) -> None:
    if platform.machine() != "x86_64" or any(version(each) != PINNED[each] for each in ("numpy", "numba", "scipy")):
        pytest.skip("the numbers hold on x86_64 with the pinned versions")
    program, *words = shlex.split(REFERENCE[name]["command"])
    assert "protovine" == program
    done = copies.run(*words, "--json", "--jobs", "1", "--out", "run", cwd=tmp_path, timeout=600)
    assert 0 == done.returncode, done.stderr
    found = {(run["preset"], run["seed"]): run for run in json.loads(done.stdout)["runs"]}
    for expected in REFERENCE[name]["runs"]:
        run = found[expected["preset"], expected["seed"]]
        assert expected == {metric: run[metric] for metric in expected}
