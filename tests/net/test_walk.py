"""Every command of docs/tutorials/three-gateways.md, in the place that it names, on loopback, with real brokers."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import copies
from tests.net.ops.scrape import fetch
from tests.net.test_service import ports

pytest.importorskip("zenoh", reason="the extra `net` is not installed")
SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
pytestmark = pytest.mark.skipif(shutil.which("mosquitto", path=SBIN) is None, reason="mosquitto is not installed")

# Three processes start at a time, also where others keep the processors busy.
LIMIT_S = 240.0
PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "three-gateways.md"
CURL = """#!{python}
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[-1], timeout=60).read().decode() + "\\n")
"""
# Copies between the folders that stand for computers.
SCP = """#!/bin/sh
place() { case "$1" in *:*) echo "../${1%%:*}/${1#*:}";; *) echo "$1";; esac; }
for last; do :; done
while [ $# -gt 1 ]; do cp "$(place "$1")" "$(place "$last")" || exit 1; shift; done
"""


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


class Walk:
    """Four folders that stand for computers, and what runs there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (listen,) = ports(1)
        gates = ("gate-1", "gate-2", "gate-3")
        self.ports = {"7447": listen} | dict(zip(gates, ports(3), strict=True))
        self.brokers = dict(zip(gates, ports(3), strict=True))
        self.running: list[subprocess.Popen[bytes] | copies.Copy] = []
        tools = folder / "tools"
        tools.mkdir()
        python, curl = f'#!/bin/sh\nexec {sys.executable} "$@"\n', CURL.format(python=sys.executable)
        protovine = python.replace('"$@"', '-m protovine "$@"')
        for name, text in (("protovine", protovine), ("python", python), ("curl", curl), ("scp", SCP)):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{tools}:{SBIN}"}
        for place in ("authority", "gate-1", "gate-2", "gate-3"):
            (folder / place).mkdir()

    def run(self, place: str, commands: str, gate: str, background: bool) -> str:
        commands = commands.replace("gate-N", gate).replace("192.0.2.1N", f"192.0.2.1{gate[-1]}")
        commands = commands.replace("192.0.2.", "127.0.0.").replace(":7447", f":{self.ports['7447']}")
        commands = commands.replace("127.0.0.1:9100", f"127.0.0.1:{self.ports[gate]}")
        commands = commands.replace("1883", str(self.brokers[gate]))
        at = self.folder / place
        if background:
            program, *words = commands.split()
            log = at / f"{program}.log"
            if program == "protovine":
                child = copies.Copy(*words, cwd=at, out=at / "out", error=log, environment=self.environment)
            else:
                with open(log, "wb") as error:
                    child = subprocess.Popen(
                        [program, *words], cwd=at, env=self.environment, stdin=subprocess.DEVNULL, stderr=error
                    )
            self.running.append(child)
            return ""
        returncode, printed = copies.shell(commands, cwd=at, timeout=LIMIT_S, environment=self.environment)
        assert 0 == returncode, (commands, printed)
        return printed

    def listens(self, port: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return False
        return True

    def ready(self, gate: str) -> dict[str, object]:
        try:
            return json.loads(fetch(self.ports[gate], "/readyz")[1])
        except OSError:
            return {"ready": False}


@pytest.fixture
def walk(tmp_path: Path) -> Walk:
    made = Walk(tmp_path)
    yield made
    for child in made.running:
        child.kill()
        child.wait()


def test_the_page_leads_from_nothing_to_three_gateways(walk: Walk) -> None:
    said: dict[str, str] = {}
    after: dict[str, Callable[[], object]] = {
        "mosquitto": lambda: wait_for(lambda: all(map(walk.listens, walk.brokers.values())), "brokers"),
        "protovine node node.toml\n": lambda: wait_for(
            lambda: all(walk.ready(gate)["ready"] and walk.ready(gate)["peers_met"] == 2 for gate in walk.brokers),
            "all met",
        ),
    }
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), flags=re.S):
        head, _, commands = block.partition("\n")
        found = re.fullmatch(r"# (authority|gate-\w)(, for gate-N)?(, in the background)?", head)
        assert found, head
        gates = ("gate-1", "gate-2", "gate-3") if "gate-N" in head else ("gate-1",)
        for gate in gates:
            place = "authority" if found[1] == "authority" else gate
            said[commands] = walk.run(place, commands, gate, found[3] is not None)
        for begin, wait in after.items():
            if commands.startswith(begin):
                wait()
    predictions = [(walk.folder / gate / "predictions").read_text().splitlines() for gate in walk.brokers]
    assert all(len(lines) > 20 and json.loads(lines[-1])["device"] == "barn/roof/weather" for lines in predictions)
    metrics = next(text for commands, text in said.items() if "curl" in commands)
    assert 'protovine_accuracy{window="total"}' in metrics and '"ready":true' in metrics.replace(" ", "")
    doctor = next(text for commands, text in said.items() if "doctor" in commands)
    assert 2 == doctor.count("ok   peer") - doctor.count("this node itself") and "fail" not in doctor
    status = next(text for commands, text in said.items() if "status" in commands)
    assert all(f"gate-{n}" in status for n in "123") and 4 == status.count("valid")

    def revoked() -> bool:
        """A gateway that has its hands full may give no answer in time: then it is asked again."""
        kim = f"status --connect tls/127.0.0.12:{walk.ports['7447']} --certificates kim --json".split()
        done = copies.run(*kim, cwd=walk.folder / "authority", timeout=LIMIT_S, environment=walk.environment)
        found = {each["name"]: each for each in json.loads(done.stdout)}
        states = [(p["name"], p["revoked"]) for each in found.values() for p in each["peers"] if p["name"] == "gate-3"]
        return set(found) == {"gate-1", "gate-2"} and states == [("gate-3", True)] * 2

    wait_for(revoked, "all know")
    assert walk.ready("gate-1")["ready"] and walk.ready("gate-2")["ready"]
    logs = [line for n in "12" for line in (walk.folder / f"gate-{n}" / "protovine.log").read_text().splitlines()]
    assert {"gate-3 is no longer trusted"} == {
        each["message"] for each in map(json.loads, logs) if each["level"] not in ("info",)
    }
