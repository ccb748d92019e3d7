"""The commands that open the page."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from protovine.cli import main
from protovine.experiments.run.replay import replay
from tests import copies
from tests.watch.conftest import PATIENCE_S


def wait(holds: Callable[[], bool], process: subprocess.Popen) -> None:
    end_s = time.monotonic() + 2 * PATIENCE_S
    while not holds():
        assert process.poll() is None and time.monotonic() < end_s
        time.sleep(0.05)


def command(*words: str) -> subprocess.Popen:
    line = [sys.executable, "-m", "protovine", *words]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def link_of(process: subprocess.Popen) -> tuple[str, str]:
    """The address and the token that the command prints."""
    line = process.stdout.readline()
    assert line.startswith("watch it at http://127.0.0.1:"), line
    address, _, token = line.split()[-1].partition("#token=")
    return address, token


def act(address: str, token: str, **command: object) -> dict:
    request = urllib.request.Request(address + "api/act", json.dumps(command).encode(), {"x-protovine-token": token})
    return json.load(urllib.request.urlopen(request, timeout=30))


def about(address: str) -> dict:
    return json.load(urllib.request.urlopen(address + "api/about", timeout=30))


@pytest.mark.slow
def test_a_watched_run_is_changed_by_hand_and_replayed(tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["--preset", "default", "--preset", "isolated", "--limit", "400", "--out", str(out)]
    process = command("run", "--watch", "--speed", "1", *words)
    try:
        address, token = link_of(process)
        wait(lambda: about(address)["ready"], process)
        act(address, token, do="kill", node=1)
        act(address, token, do="drift", change="relation", nodes=[])
        assert ["crash", "drift"] == [each["kind"] for each in about(address)["status"]["by_hand"]]
        act(address, token, do="speed", speed=0)
        wait(lambda: about(address)["status"]["state"] == "ended", process)
        assert "complete" == json.loads((out / "result.json").read_text())["status"]
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(PATIENCE_S)
        assert f"{out}/report.html" in process.stdout.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert [True, True] == [made.same for made in replay(out, [], [])]


@pytest.mark.slow
def test_a_watched_run_that_is_stopped_is_partial(tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = command("run", "--watch", "--limit", "3000", "--preset", "default", "--out", str(out))
    try:
        address, _ = link_of(process)
        wait(lambda: about(address)["ready"], process)
        process.send_signal(signal.SIGINT)
        assert 130 == process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert "partial" == json.loads((out / "result.json").read_text())["status"]


def test_ctrl_c_ends_a_page_that_somebody_watches_while_no_member_answers(tmp_path: Path) -> None:
    pytest.importorskip("zenoh", reason="the extra `net` is not installed")
    words = ["watch", "--swarm", "tcp/127.0.0.1:1", "--plain", "barn", "--port", "0"]
    process = copies.Copy(*words, cwd=tmp_path, out=tmp_path / "out", error=tmp_path / "err")
    try:
        wait(lambda: "#token=" in (tmp_path / "out").read_text(), process)
        address = (tmp_path / "out").read_text().split()[-1].partition("#")[0]
        with urllib.request.urlopen(address + "api/stream?system=barn", timeout=30) as stream:
            assert b"retry" in stream.readline()
            process.send_signal(signal.SIGINT)
            assert 0 == process.wait(PATIENCE_S)
    finally:
        if process.poll() is None:
            process.kill()
    assert ["Ctrl-C ends it"] == (tmp_path / "err").read_text().split("\n")[:-2]


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    for words, said in (
        (["watch", str(tmp_path)], "no run folder"),
        (["run", "--watch", "--seeds", "2"], "--watch shows one seed, got 2"),
        (["run", "--watch", "--suite", "robustness"], "not a suite"),
        (["run", "--port", "8800"], "--speed, --host, --port and --browser are for --watch"),
        (["run", "--speed", "1"], "--speed, --host, --port and --browser are for --watch"),
        (["run", "--watch", "--host", "0.0.0.0", "--out", str(tmp_path / "run")], "--host must be one address"),
        (["demo", "--host", "0.0.0.0"], "--host must be one address of this machine"),
        (["demo", "--port", "70000"], "70000"),
        (["watch"], "either a run folder or --swarm"),
        (["watch", "--swarm", "tcp/127.0.0.1:1"], "either --certificates or --plain is required"),
    ):
        made = CliRunner().invoke(main, words)
        assert (2, True) == (made.exit_code, said in made.output), (words, made.output)
    assert not (tmp_path / "run").exists()
