"""What tests share: data that may be absent, the plain twin of the learner, and the --rewrite option."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from protovine import stream

# Where Python keeps no byte code, every worker and every command that a test starts compiles all sources again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Kernels compile in the middle of an example, and machines are busy.
settings.register_profile("protovine", deadline=None)
settings.load_profile("protovine")

# Files and folders that take longest, the longest first.
LONGEST = (
    "tests/test_tutorials.py",
    "tests/net/",
    "tests/test_site.py",
    "tests/age/test_family.py",
    "tests/watch/",
    "tests/experiments/run/",
    "tests/test_own.py",
    "tests/age/test_training.py",
    "tests/experiments/",
    "tests/learn/hedged/",
    "tests/test_cli.py",
    "tests/sim/",
)

# What a shell starts in the background ignores Ctrl-C, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _state_elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that a test starts keep their state in a folder of this test, not in the user's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state" / uuid.uuid4().hex))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write what the scenario files should say")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile kernels once before several processes run tests, not in each process that needs them first."""
    config = session.config
    if config.getoption("numprocesses", default=None) and not hasattr(config, "workerinput"):
        commands = [
            [sys.executable, "-m", "protovine", "warm", "--preset", name] for name in ("default", "paper-cluster")
        ]
        for started in [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]:
            started.wait()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # pytest-xdist would begin with the files that have most tests.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no process (pytest-xdist) is left with it at the end."""
    first = {name: place for place, name in enumerate(LONGEST)}
    items.sort(
        key=lambda item: min((first[name] for name in first if item.nodeid.startswith(name)), default=len(first))
    )


@pytest.fixture
def copied_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """The members of a swarm on this machine begin as copies (`tests.copies`)."""
    from tests import copies

    started = types.SimpleNamespace(Popen=copies.Member, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired)
    monkeypatch.setattr("protovine.experiments.live.process.subprocess", started)


@pytest.fixture
def short_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of a run folder says nothing: drawing its figures takes several times as long as a small run."""
    for module in ("protovine.experiments.experiment", "protovine.experiments.report.pages"):
        monkeypatch.setattr(f"{module}.render_report", lambda result: "<p>No figures.</p>\n")


@pytest.fixture(scope="session")
def phishing() -> stream.DataSet:
    return stream.load("phishing")


@pytest.fixture(scope="session")
def elec() -> stream.DataSet:
    """The first 5000 rows of elec2, from a local copy: tests do not download."""
    folder = os.environ.get("PROTOVINE_DATA")
    if not folder or not (Path(folder) / "electricity.csv.gz").is_file():
        pytest.skip("PROTOVINE_DATA does not name a folder with electricity.csv.gz")
    return stream.load("elec2", rows=5000)


def interleaved(data: stream.DataSet, nodes: int = 5) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows i, i+n, … of a stream for each node."""
    return [(np.ascontiguousarray(data.x[i::nodes]), np.array(data.y[i::nodes])) for i in range(nodes)]
