"""`protovine node` as a user runs it: real processes, files and signals."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import protovine
from protovine.gossip import EVERYONE
from protovine.net import create_authority, issue
from protovine.net.asking import ask_status
from protovine.net.config import NodeSettings
from protovine.net.io import Schema
from protovine.net.transport import Endpoints, open_session
from protovine.records import Learned, Predicted, Record, Sent
from protovine.tape import Began, play, read_tape
from tests import copies
from tests.net.multicast import need_multicast

pytest.importorskip("zenoh", reason="the extra `net` is not installed")

# Several processes start at a time, also where others keep the processors busy.
LIMIT_S = 180.0


def ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return copies.run(*arguments, cwd=cwd, timeout=LIMIT_S)


class Processes:
    """Nodes that end with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.running = folder, dict[str, copies.Copy | subprocess.Popen]()

    def start(self, name: str, *arguments: str, stdout: Path | None = None) -> copies.Copy:
        log = self.folder / f"{name}.log"
        self.running[name] = child = copies.Copy("node", *arguments, cwd=self.folder, out=stdout or log, error=log)
        return child

    def start_python(self, name: str, *arguments: str) -> subprocess.Popen:
        """As a user's shell does, where the start is part of the test."""
        line = [sys.executable, "-m", "protovine", "node", *arguments]
        with open(self.folder / f"{name}.log", "ab") as log:
            child = subprocess.Popen(line, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.running[name] = child
        return child

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def end(self) -> None:
        for child in self.running.values():
            if child.poll() is None:
                child.kill()
                child.wait()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    made.end()


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def prepare(folder: Path, names: list[str], rows: int = 60, **node: object) -> None:
    """Certificates, a schema, a file of samples and a node file for each name."""
    data = protovine.load("phishing", rows=rows)
    schema = {"features": data.features, "classes": list(map(str, data.classes))}
    (folder / "schema.json").write_text(json.dumps(schema))
    with open(folder / "rows.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*data.features, "class"])
        out.writerows([*x, data.classes[y]] for x, y in zip(data.x, data.y, strict=True))
    now = datetime.now(UTC)
    create_authority(folder / "ca", "barn", now=now)
    taken = ports(len(names))
    for i, name in enumerate(names):
        issue(folder / "ca", name, folder / name, addresses=["127.0.0.1"], now=now, id=i)
        extra = "".join(f"{key} = {json.dumps(value)}\n" for key, value in node.items())
        (folder / f"{name}.toml").write_text(
            f'schema = "schema.json"\n[node]\nstate = "{name}-state"\ntape = "{name}.tape"\nstay = true\n{extra}'
            f'[network]\ncertificates = "{name}"\nlisten = ["tls/127.0.0.1:{taken[i]}"]\n'
            f"connect = {json.dumps([f'tls/127.0.0.1:{port}' for port in taken[:i]])}\n"
            f'[source]\nkind = "csv"\npath = "rows.csv"\nrate_hz = 20\n'
            f'[sink]\nkind = "file"\npath = "{name}.out"\n'
        )


def endpoint(folder: Path, name: str) -> str:
    return NodeSettings.read(folder / f"{name}.toml", {}).network.listen[0]


def played(folder: Path, name: str) -> tuple[Schema, list[Record]]:
    """The schema of a node, and the records of its tape, played again."""
    settings = NodeSettings.read(folder / f"{name}.toml", {})
    calls = list(read_tape(folder / f"{name}.tape"))
    began = calls[0]
    assert isinstance(began, Began)
    return settings.schema_of(), play(calls, settings.build(settings.schema_of(), began.node, began.incarnation, []))


def test_two_nodes_meet_learn_answer_and_leave_and_their_tapes_play_the_same(nodes: Processes) -> None:
    folder = nodes.folder
    prepare(folder, ["ann", "bob", "watch"])
    (folder / "schema.json").write_text(command("data", "info", "phishing", "--json", cwd=folder).stdout)
    for name in ("bob", "ann"):
        nodes.start_python(name, f"{name}.toml")
    wait_for(lambda: min(len(lines(folder / f"{name}.out")) for name in ("ann", "bob")) == 60, "all samples")

    def learnt_of_peers() -> list[int]:
        at = Endpoints([], [endpoint(folder, "ann")], "client", folder / "watch")
        return [peer["samples_learnt"] for one in ask_status("barn", at).values() for peer in json.loads(one)["peers"]]

    wait_for(lambda: learnt_of_peers() == [60, 60], "the last messages")
    asked = command("status", "--connect", endpoint(folder, "ann"), "--certificates", "watch", "--json", cwd=folder)
    assert 0 == asked.returncode, asked.stderr
    status = {each["name"]: each for each in json.loads(asked.stdout)}
    assert {"ann", "bob"} == set(status)
    for name, other in (("ann", "bob"), ("bob", "ann")):
        (view,) = status[name]["peers"]
        assert (other, True, 60) == (view["name"], view["alive"], view["samples_learnt"])
        assert status[name]["bytes_received"] > 500
        # A message may overtake the hello that it needs, and is sent again.
        assert set(status[name]["refused"]) <= {"an unknown sender: keys"}
    for child in nodes.running.values():
        child.send_signal(signal.SIGTERM)
    for name, child in nodes.running.items():
        assert 0 == child.wait(LIMIT_S), nodes.log(name)
        assert (folder / f"{name}-state" / "snapshot.bin").exists()
    for name in ("ann", "bob"):
        schema, records = played(folder, name)
        again = [record for record in records if isinstance(record, Predicted)]
        said = lines(folder / f"{name}.out")
        assert 60 == len(again) == sum(isinstance(record, Learned) for record in records)
        for record, output in zip(again, said, strict=True):
            assert output["prediction"] == (None if record.predicted < 0 else schema.label(record.predicted))
            assert list(record.proba) == list(output["probabilities"].values())


@pytest.mark.parametrize("group", ["udp/239.255.77.77:{port}", None], ids=["multicast", "links"])
def test_three_nodes_send_each_message_once_to_all(nodes: Processes, group: str | None) -> None:
    folder, names = nodes.folder, ["ann", "bob", "cat"]
    prepare(folder, [*names, "watch"])
    more = '[gossip]\nschedule = "broadcast"\n'
    if group is not None:
        need_multicast()
        more = f'multicast = "{group.format(port=ports(1)[0])}"\ninterface = "lo"\n{more}'
    for name in names:
        file = folder / f"{name}.toml"
        file.write_text(file.read_text().replace("[source]", f"{more}[source]"))
        nodes.start(name, f"{name}.toml")

    def statuses() -> dict[str, dict]:
        at = Endpoints([], [endpoint(folder, name) for name in names], "client", folder / "watch")
        return {found["name"]: found for found in map(json.loads, ask_status("barn", at).values())}

    wait_for(
        lambda: [[60, 60]] * 3 == [[peer["samples_learnt"] for peer in one["peers"]] for one in statuses().values()],
        "all samples of all",
    )
    for child in nodes.running.values():
        child.send_signal(signal.SIGTERM)
    for name, child in nodes.running.items():
        assert 0 == child.wait(LIMIT_S), nodes.log(name)
        assert "Traceback" not in nodes.log(name)
        assert 60 == len(lines(folder / f"{name}.out"))
        _, records = played(folder, name)
        sent = [record for record in records if isinstance(record, Sent) and record.prototypes]
        to_all = [record for record in sent if record.peer == EVERYONE]
        assert sum(record.prototypes for record in to_all) >= 10
        assert len(sent) - len(to_all) <= 4, "summaries for those who came late"


def test_after_kill_9_a_node_continues_from_its_snapshot(nodes: Processes) -> None:
    folder = nodes.folder
    prepare(folder, ["ann", "bob"], rows=400, snapshot_s=1)
    for name in ("ann", "bob"):
        nodes.start(name, f"{name}.toml")
    wait_for(lambda: len(lines(folder / "bob.out")) > 60 and (folder / "bob-state/snapshot.bin").exists(), "a snapshot")
    nodes.running["bob"].kill()
    nodes.running["bob"].wait()
    (folder / "bob.out").unlink()
    started = time.monotonic()
    nodes.start_python("bob", "bob.toml", "--log-format", "text")
    wait_for(lambda: lines(folder / "bob.out"), "the first prediction after the restart")
    assert time.monotonic() - started < 15
    first = lines(folder / "bob.out")[0]
    assert first["prototypes"] > 20
    assert first["prediction"] is not None
    assert "continued from a snapshot" in nodes.log("bob")
    wait_for(lambda: nodes.log("bob").count("met ann") == 2, "the peers meet again")
    assert nodes.running["ann"].poll() is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[node]", "[nod]"), "unknown key 'nod' (did you mean 'node'?)"),
        (("rate_hz = 20", "rate_hz = -1"), "source.rate_hz must be between 0 and 1000000.0, got -1"),
        (('kind = "csv"', 'kind = "cvs"'), "source.kind must be one of stdin, file, csv, mqtt, zenoh, own, got 'cvs'"),
        (("rate_hz = 20", "rat = 20"), "unknown key 'source.rat'"),
        (('path = "rows.csv"', 'path = "row.csv"'), "no such file"),
        (('certificates = "ann"', ""), "network.certificates is required"),
        (('certificates = "ann"', 'certificates = "nobody"'), "cannot read"),
        (("tls/127", "tcp/127"), "must begin with tls/, as there are certificates"),
        (("tls/127.0.0.1:", "tls/127.0.0.1"), "an endpoint is PROTOCOL/HOST:PORT"),
        (('schema = "schema.json"', ""), "schema is required"),
        (("stay = true", "stay = true\nsnapshot_s = 0"), "node.snapshot_s must be between 1 and 86400, got 0"),
        (("stay = true", 'stay = true\npreset = "defalt"'), "unknown preset 'defalt' (did you mean 'default'?)"),
        (
            ("[source]", 'multicast = "udp/239.1.2.3:7448"\n[source]'),
            "network.multicast is for gossip.schedule broadcast",
        ),
        (
            ("[source]", 'interface = "eth0"\n[source]'),
            "network.interface 'eth0' is for network.multicast, which is not set",
        ),
        (
            ("[source]", 'multicast = "udp/10.0.0.1:74"\n[gossip]\nschedule = "broadcast"\n[source]'),
            "a multicast group is udp/ADDRESS:PORT, with an address from 224.0.0.0",
        ),
    ],
)
def test_a_wrong_file_is_one_line_that_names_the_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    prepare(tmp_path, ["ann"], rows=10)
    file = tmp_path / "ann.toml"
    before = file.read_text()
    file.write_text(before.replace(*change))
    assert before != file.read_text()
    done = command("node", "ann.toml", cwd=tmp_path)
    assert 2 == done.returncode, done.stderr
    assert message in done.stderr
    assert 1 == len(done.stderr.splitlines()), done.stderr
    assert not (tmp_path / "ann.out").exists()


def test_an_interface_that_is_not_there_is_named(tmp_path: Path) -> None:
    prepare(tmp_path, ["ann"], rows=10)
    file, more = tmp_path / "ann.toml", '[gossip]\nschedule = "broadcast"\n[source]'
    file.write_text(file.read_text().replace("[source]", f'multicast = "udp/239.1.2.3:7"\ninterface = "no0"\n{more}'))
    done = command("node", "ann.toml", cwd=tmp_path)
    assert 2 == done.returncode, done.stderr
    assert "protovine: network.interface must be one of " in done.stderr.splitlines()[-1]


def test_check_says_who_a_node_would_be(tmp_path: Path) -> None:
    prepare(tmp_path, ["ann"], rows=10)
    done = command("node", "ann.toml", "--check", cwd=tmp_path)
    assert (0, "ann, number 0 of swarm barn: 9 features and 2 classes\n") == (done.returncode, done.stdout)


def test_a_link_that_tls_refuses_is_logged_and_standard_output_has_predictions_only(nodes: Processes) -> None:
    folder = nodes.folder
    prepare(folder, ["ann"])
    now = datetime.now(UTC)
    create_authority(folder / "twin", "barn", now=now)
    issue(folder / "twin", "eve", folder / "eve", addresses=["127.0.0.1"], now=now)
    shutil.copy(folder / "ann" / "authority.pem", folder / "eve")  # It would let ann in.
    nodes.start("ann", "ann.toml", "--sink", "stdout", stdout=folder / "ann.out")
    wait_for(lambda: lines(folder / "ann.out"), "the first prediction")
    session = open_session(Endpoints([], [endpoint(folder, "ann")], certificates=folder / "eve"))
    try:
        wait_for(
            lambda: "refused from an unknown sender: a link: invalid peer certificate" in nodes.log("ann"), "a word"
        )
    finally:
        session.close()
    wait_for(lambda: len(lines(folder / "ann.out")) == 60, "all samples")


def test_a_newcomer_with_the_id_of_another_member_says_so_itself(nodes: Processes) -> None:
    (nodes.folder / "schema.json").write_text(json.dumps({"features": ["a", "b"], "classes": ["no", "yes"]}))
    door, *others = (f"tcp/127.0.0.1:{port}" for port in ports(3))
    general = ("--schema", "schema.json", "--state", "none")
    nodes.start("bob", "--plain", "barn/bob/1", "--listen", door, *general)
    nodes.start("motor2", "--plain", "barn/motor2/2", "--listen", others[0], "--connect", door, *general)
    wait_for(lambda: "met bob" in nodes.log("motor2") and "met motor2" in nodes.log("bob"), "they meet")
    nodes.start("motor9", "--plain", "barn/motor9/2", "--listen", others[1], "--connect", door, *general)
    text = "a hello of 'motor2' with the id of this node, 2: no two members may have the same"
    wait_for(lambda: text in nodes.log("motor9"), "it says so")
    wait_for(lambda: "a hello of 'motor9' with the id of " in nodes.log("bob"), "so do others")


def test_samples_on_standard_input_without_certificates(nodes: Processes) -> None:
    folder = nodes.folder
    (folder / "schema.json").write_text(json.dumps({"features": ["a", "b"], "classes": ["no", "yes"]}))
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "protovine", "node", "--plain", "barn/ann/3", "--schema", "schema.json"),
            *("--listen", f"tcp/127.0.0.1:{ports(1)[0]}", "--source", "stdin", "--sink", "stdout"),
        ],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    rng = np.random.default_rng(0)
    said = [{"id": i, "x": {"a": float(a), "b": float(b)}} for i, (a, b) in enumerate(rng.normal(size=(40, 2)))]
    labels = [{"id": each["id"], "y": "yes" if each["x"]["a"] > 0 else "no"} for each in said]
    both = [json.dumps(each) for pair in zip(said, labels, strict=True) for each in pair]
    out, error = child.communicate("\n".join(["{", *both, '{"x": {"c": 1}}']) + "\n", timeout=LIMIT_S)
    assert 0 == child.returncode, error
    predictions = [json.loads(line) for line in out.splitlines()]
    assert list(range(40)) == [each["id"] for each in predictions]
    right = [each["prediction"] == truth["y"] for each, truth in zip(predictions[20:], labels[20:], strict=True)]
    assert sum(right) > 12
    assert "without encryption" in error
    assert "c" in error
