"""A node on a gateway neither imports nor needs what only experiments need."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import venv
from pathlib import Path

import pytest

from protovine.cli import NOT_ON_A_NODE

ROOT = Path(__file__).parents[2]
# Kernels may have to be compiled, on a busy machine.
LIMIT_S = 900.0

# Runs a command where the modules cannot be imported, and reports those that are loaded at the end.
BLOCKED = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {NOT_ON_A_NODE!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
from protovine.cli import main
main(prog_name="protovine")
"""

# Runs a command as it is, and names the modules that it should not have imported; numba imports scipy if it can.
LISTED = f"""
import atexit, sys

unwanted = set({NOT_ON_A_NODE!r}) - {{"scipy"}}
atexit.register(lambda: print("loaded:", *sorted(unwanted & set(sys.modules)), file=sys.stderr))
from protovine.cli import main
main(prog_name="protovine")
"""


def run(python: str, code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-c", code, *arguments],
        cwd=cwd,
        env=os.environ if python == sys.executable else {**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.fixture
def gateway(tmp_path: Path) -> Path:
    """A folder with a schema, and samples whose class is the sign of the first feature."""
    (tmp_path / "schema.json").write_text(json.dumps({"features": ["a", "b"], "classes": ["no", "yes"]}))
    rows = [(((7 * i) % 20 - 9.5) / 5, (3 * i) % 7) for i in range(60)]
    lines = [json.dumps({"x": {"a": a, "b": b}, "y": "yes" if a > 0 else "no"}) for a, b in rows]
    (tmp_path / "samples.jsonl").write_text("\n".join(lines) + "\n")
    cells = [f"{a},{b},{'yes' if a > 0 else 'no'}" for a, b in rows]
    (tmp_path / "samples.csv").write_text("\n".join(["a,b,class", *cells]) + "\n")
    return tmp_path


def listening() -> str:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return f"tcp/127.0.0.1:{held.getsockname()[1]}"


def arguments(source: str = "file:samples.jsonl") -> list[str]:
    return [
        *("node", "--plain", "barn/gate/0", "--schema", "schema.json", "--listen", listening()),
        *("--source", source, "--sink", "file:predictions.jsonl", "--state", "state"),
    ]


def check_node(python: str, code: str, folder: Path, source: str = "file:samples.jsonl") -> str:
    """Run a node to the end of its samples: it learns, predicts and keeps its state. Returns standard error."""
    done = run(python, code, *arguments(source), cwd=folder)
    assert 0 == done.returncode, done.stderr
    made = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    truth = [json.loads(line)["y"] for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert 60 == len(made)
    assert sum(each["prediction"] == y for each, y in zip(made[30:], truth[30:], strict=True)) >= 25
    shown = run(python, code, "state", "show", "state", cwd=folder)
    assert 0 == shown.returncode and "60" in shown.stdout, shown.stderr
    return done.stderr


def test_a_node_learns_predicts_and_saves_without_the_packages(gateway: Path) -> None:
    pytest.importorskip("zenoh", reason="the extra `net` is not installed")
    check_node(sys.executable, BLOCKED, gateway)


def test_a_node_imports_none_of_the_packages_that_are_installed(gateway: Path) -> None:
    pytest.importorskip("zenoh", reason="the extra `net` is not installed")
    written = check_node(sys.executable, LISTED, gateway, "csv:samples.csv")
    assert "loaded:" == written.splitlines()[-1]


def test_the_commands_beside_a_node_work_without_the_packages(gateway: Path) -> None:
    pytest.importorskip("zenoh", reason="the extra `net` is not installed")
    (gateway / "node.toml").write_text(
        'schema = "schema.json"\n[network]\nplain = true\nswarm = "barn"\nname = "gate"\nid = 0\n'
        f'listen = ["{listening()}"]\n'
        '[source]\nkind = "file"\npath = "samples.jsonl"\n'
    )
    for words, expected in (
        (("node", "--check", "node.toml"), 0),
        (("doctor", "node.toml"), 0),
        (("warm",), 0),
        (("cert", "init", "authority", "--swarm", "barn"), 0),
        # Nobody listens there, which the command says.
        (("status", "--plain", "barn", "--connect", "tcp/127.0.0.1:1", "--timeout", "0.2"), 1),
    ):
        done = run(sys.executable, BLOCKED, *words, cwd=gateway)
        assert expected == done.returncode and "Traceback" not in done.stderr, (words, done.stderr)


def test_status_is_a_table_without_the_packages(gateway: Path) -> None:
    pytest.importorskip("zenoh", reason="the extra `net` is not installed")
    endpoint = listening()
    words = ("node", "--plain", "barn/gate/0", "--schema", "schema.json", "--listen", endpoint, "--state", "none")
    child = subprocess.Popen([sys.executable, "-c", BLOCKED, *words], cwd=gateway, stderr=subprocess.PIPE)
    try:
        deadline, asked = time.monotonic() + LIMIT_S, ("status", "--plain", "barn", "--connect", endpoint)
        while (done := run(sys.executable, BLOCKED, *asked, cwd=gateway)).returncode:
            assert child.poll() is None and time.monotonic() < deadline, done.stderr
    finally:
        child.terminate()
        child.communicate()
    titles, row = done.stdout.splitlines()
    assert titles.startswith("node  up [s]  samples") and row.startswith("gate ") and len(titles) == len(row)


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (("run",), "scipy|networkx|pandas"),
        (("data", "list"), "river|rich"),
        (("data", "info", "phishing"), "river"),
        (("node", "--set", "drift.detector=adwin"), "river"),
        (("node", "--preset", "paper-cluster"), "sklearn|scikit-learn"),
    ],
)
def test_what_a_slim_install_lacks_is_one_line_with_the_remedy(
    gateway: Path, words: tuple[str, ...], missing: str
) -> None:
    pytest.importorskip("zenoh", reason="the extra `net` is not installed")
    if words[0] == "node":
        words = (*arguments(), *words[1:], "--check")
    done = run(sys.executable, BLOCKED, *words, cwd=gateway)
    assert 2 == done.returncode, done.stderr
    assert re.fullmatch(
        rf"protovine: .*needs ({missing}), which is not in the slim install: pip install protovine\n", done.stderr
    )


@pytest.mark.slow
@pytest.mark.skipif("PROTOVINE_RELEASE" not in os.environ, reason="installs for ten minutes; set PROTOVINE_RELEASE=1")
def test_a_slim_install_runs_a_node(gateway: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = str(home / "bin" / "python")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    install = [python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "-c", str(ROOT / "constraints.txt")]
    done = subprocess.run(
        [*install, "-r", str(ROOT / "deploy" / "requirements-node.txt")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if "Could not find a version" in done.stderr:
        pytest.skip("the package index cannot be reached")
    assert 0 == done.returncode, done.stderr
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=LIMIT_S)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*install, "--no-index", "--no-deps", str(wheel)], env=environment, check=True, timeout=LIMIT_S)
    check_node(python, "from protovine.cli import main; main(prog_name='protovine')", gateway)


def test_the_list_of_modules_and_the_requirements_follow_pyproject() -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "requirements")], capture_output=True, text=True, check=True
    )
    assert (ROOT / "deploy" / "requirements-node.txt").read_text() == made.stdout, "run deploy/requirements"
    left_out = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["protovine"]["not-on-a-node"]
    of_module = {**importlib.metadata.packages_distributions()}
    assert sorted(left_out) == sorted(of_module[name][0].lower().replace("_", "-") for name in NOT_ON_A_NODE)
