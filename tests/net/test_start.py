"""What a node tells, serves and obeys while it starts, with real processes."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.net.ops.scrape import fetch
from tests.net.test_service import LIMIT_S, Processes, command, nodes, ports, prepare, wait_for

pytest.importorskip("zenoh", reason="the extra `net` is not installed")

__all__ = ["nodes"]


class Systemd:
    """Listens as systemd does."""

    def __init__(self, path: Path) -> None:
        self.path, self.heard = path, list[str]()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def __contains__(self, word: str) -> bool:
        while True:
            try:
                self.heard += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return any(each.startswith(word) for each in self.heard)


@pytest.fixture
def systemd(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    made = Systemd(tmp_path_factory.mktemp("run") / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(made.path))
    return made


def pages(port: int) -> dict[str, tuple[int, str]]:
    return {name: fetch(port, f"/{name}")[:2] for name in ("healthz", "readyz", "metrics", "status")}


def test_while_kernels_are_compiled_a_node_says_so_answers_and_ends_at_once(
    nodes: Processes, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = ports(1)
    prepare(nodes.folder, ["ann"], metrics=f"127.0.0.1:{port}")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(nodes.folder / "nothing-cached"))
    ann = nodes.start_python("ann", "ann.toml")
    wait_for(lambda: "compiling kernels (once, about" in nodes.log("ann"), "it says so")
    assert "starts" in json.loads(nodes.log("ann").splitlines()[0])["message"]
    found = pages(port)
    assert 200 == found["healthz"][0]
    assert 503 == found["readyz"][0] and "compiling kernels" in json.loads(found["readyz"][1])["why"]
    assert 200 == found["metrics"][0] and "process_cpu_seconds_total" in found["metrics"][1]
    assert 200 == found["status"][0] and "compiling kernels" in json.loads(found["status"][1])["phase"]
    wait_for(lambda: "EXTEND_TIMEOUT_USEC=" in systemd, "systemd waits longer")
    assert "READY=1" not in systemd
    ann.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert ann.poll() is None
    began_s = time.monotonic()
    ann.send_signal(signal.SIGTERM)
    assert 0 == ann.wait(LIMIT_S)
    assert time.monotonic() - began_s < 10
    assert "left while starting" in nodes.log("ann").splitlines()[-1]


def test_systemd_hears_that_a_node_is_ready_alive_and_leaves(
    nodes: Processes, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    prepare(nodes.folder, ["ann"])
    ann = nodes.start_python("ann", "ann.toml")
    wait_for(lambda: "READY=1" in systemd and "WATCHDOG=1" in systemd, "ready")
    assert "STATUS=ann of swarm barn" in systemd
    systemd.heard.clear()
    wait_for(lambda: "WATCHDOG=1" in systemd, "again and again")
    ann.send_signal(signal.SIGTERM)
    assert 0 == ann.wait(LIMIT_S)
    assert "STOPPING=1" in systemd


def test_warm_compiles_what_is_not_there(tmp_path: Path) -> None:
    done = command("warm", cwd=tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    assert "kernels" in done.stdout
    assert 2 == command("warm", "--preset", "defalt", cwd=tmp_path).returncode


def test_a_normal_restart_logs_no_warning(nodes: Processes) -> None:
    """Ann is restarted, with her state, while bob goes on.

    The processes are copies: after 20 s without ann, bob would rightly warn that there is no sign of her.
    """
    prepare(nodes.folder, ["ann", "bob"], rows=400)
    for name in ("ann", "bob"):
        nodes.start(name, f"{name}.toml")
    wait_for(lambda: "met bob" in nodes.log("ann") and "met ann" in nodes.log("bob"), "they meet")
    nodes.running["ann"].send_signal(signal.SIGTERM)
    assert 0 == nodes.running["ann"].wait(LIMIT_S)
    nodes.start("ann", "ann.toml")
    wait_for(
        lambda: nodes.log("ann").count("met bob") == 2 and nodes.log("bob").count("met ann") == 2, "they meet again"
    )
    records = [json.loads(line) for name in ("ann", "bob") for line in nodes.log(name).splitlines()]
    assert [] == [each for each in records if each["level"] != "info"]
