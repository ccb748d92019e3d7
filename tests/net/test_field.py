"""Gateways in the field, with real processes: lost state, a copied certificate, other settings, full disks."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from protovine.net.store import Store
from protovine.snapshot import unpack
from tests.net.test_service import LIMIT_S, Processes, command, endpoint, lines, ports, prepare, wait_for

pytest.importorskip("zenoh", reason="the extra `net` is not installed")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    made.end()


def page(port: int, path: str = "readyz") -> tuple[int, dict]:
    """Code and content of a page; (0, {}) while nothing answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, {}


def heard(port: int, of: str) -> int:
    """The number of the last log entry that the member at this port has of another, with all before it."""
    return next((each["sequence"] for each in page(port, "status")[1].get("peers", []) if each["name"] == of), 0)


def has_heard(port: int, of: int) -> bool:
    """Whether the member at one port has everything that the one at another has shared."""
    made = page(of, "status")[1]
    return bool(made) and 0 < made.get("sequence", 0) == heard(port, made["name"])


def test_a_node_without_state_that_starts_again_in_the_same_minute_is_heard(nodes: Processes) -> None:
    folder, (port, again) = nodes.folder, ports(2)
    prepare(folder, ["ann", "bob"], rows=60, state="none")
    for name in ("ann", "bob"):
        file = folder / f"{name}.toml"
        file.write_text(file.read_text().replace(f'state = "{name}-state"\n', ""))
    nodes.start("ann", "ann.toml", "--metrics", f"127.0.0.1:{port}")
    nodes.start("bob", "bob.toml")
    wait_for(lambda: heard(port, "bob") > 5, "ann hears bob")
    incarnations = set()
    for _ in range(3):
        nodes.running["bob"].kill()
        nodes.running["bob"].wait()
        (folder / "bob.out").unlink()
        nodes.start("bob", "bob.toml", "--metrics", f"127.0.0.1:{again}")
        wait_for(lambda: page(again, "status")[1].get("samples") == 60, "bob has read all")
        wait_for(lambda: has_heard(port, again) and has_heard(again, port), "they hear each other")
        incarnations.add(page(again, "status")[1]["incarnation"])
    assert len(incarnations) == 3
    assert page(again)[1]["warnings"] == [] and "nothing is saved (node.state none)" in nodes.log("bob")


def test_a_copied_certificate_is_said_at_both_ends_and_the_rightful_node_comes_back(nodes: Processes) -> None:
    folder, (port, right, wrong, listen) = nodes.folder, ports(4)
    prepare(folder, ["ann", "bob"], rows=400)
    nodes.start("ann", "ann.toml", "--metrics", f"127.0.0.1:{port}")
    nodes.start("bob", "bob.toml", "--metrics", f"127.0.0.1:{right}")
    wait_for(lambda: heard(port, "bob") > 5 and page(right, "status")[1]["up_s"] > 11, "bob has its name")
    other = ("--state", "copy-state", "--set", 'node.tape="copy.tape"', "--sink", "file:copy.out")
    address = ("--listen", f"tls/127.0.0.1:{listen}", "--connect", endpoint(folder, "ann"))
    nodes.start("copy", "bob.toml", *other, *address, "--metrics", f"127.0.0.1:{wrong}")
    wait_for(lambda: page(right)[0] == 503, "the earlier process stands by")
    assert "stands by" in page(right)[1]["why"]
    said = "another process runs with this name and certificate"
    for metrics in (right, wrong):
        wait_for(lambda metrics=metrics: said in page(metrics)[1].get("warnings", []), "both ends say it")
    text = urllib.request.urlopen(f"http://127.0.0.1:{wrong}/metrics", timeout=5).read().decode()
    assert "protovine_name_shared 1.0" in text
    assert page(wrong)[0] == 200 and said in nodes.log("bob") and said in nodes.log("copy")
    nodes.running["copy"].send_signal(signal.SIGTERM)
    nodes.running["copy"].wait()
    wait_for(lambda: page(right)[0] == 200, "the rightful process has its name again")
    wait_for(lambda: has_heard(port, right), "ann hears it")
    assert nodes.running["bob"].poll() is None


def test_a_start_with_another_certificate_or_schema_refuses_and_loses_nothing(nodes: Processes) -> None:
    folder = nodes.folder
    prepare(folder, ["ann", "bob"], rows=30, stay=False, rate_hz=0)
    for name in ("ann", "bob"):
        file = folder / f"{name}.toml"
        text = file.read_text().replace("stay = true\n", "").replace("\nrate_hz = 0", "", 1)
        file.write_text(text.replace("rate_hz = 20", "rate_hz = 0"))
    assert command("node", "ann.toml", cwd=folder).returncode == 0
    saved = (folder / "ann-state" / "snapshot.bin").read_bytes()
    schema = json.loads((folder / "schema.json").read_text())
    schema["features"].reverse()
    (folder / "reversed.json").write_text(json.dumps(schema))
    schema["classes"][0] = "snow"
    (folder / "snow.json").write_text(json.dumps(schema))
    for words, message in (
        (("bob.toml", "--state", "ann-state"), "is of ann, number 0 of swarm barn, and this is bob, number 1"),
        (("ann.toml", "--schema", "snow.json"), "did not have 'snow' among its classes"),
        (("ann.toml", "--set", "learner.size_max=7"), "learner.size_max:"),
        (("ann.toml", "--preset", "paper-base"), "learner.kind: 'hedged' -> 'xuilvq'"),
    ):
        for check in ((), ("--check",)) if "learner" not in message else ((),):
            done = command("node", *words, *check, cwd=folder)
            assert done.returncode == 2 and message in done.stderr and "--fresh" in done.stderr, done.stderr
            # Whether settings fit a state is only known once it is read, after the line that says who starts.
            assert len(done.stderr.strip().splitlines()) == (2 if "learner" in message else 1)
    assert [path.name for path in (folder / "ann-state").glob("*.damaged*")] == []
    assert (folder / "ann-state" / "snapshot.bin").read_bytes() == saved
    done = command("node", "ann.toml", "--schema", "reversed.json", cwd=folder)
    assert done.returncode == 0 and "the features are in another order" in done.stderr
    kept = folder / "ann-state" / "snapshot.previous.bin.before"
    assert kept.read_bytes() == saved
    done = command("node", "ann.toml", "--schema", "reversed.json", "--fresh", cwd=folder)
    assert done.returncode == 0 and "set aside as snapshot.bin.before" in done.stderr
    assert kept.read_bytes() == saved


def test_a_full_disk_at_the_start_is_said_and_saving_goes_on_with_room(nodes: Processes) -> None:
    folder, (port,) = nodes.folder, ports(1)
    prepare(folder, ["ann"], rows=400, snapshot_s=1)
    (folder / "ann-state").mkdir()
    # A small disk of its own, which a file fills until the test removes it.
    start = f"{sys.executable} -m protovine node ann.toml --metrics 127.0.0.1:{port}"
    script = (
        "mount -t tmpfs -o size=2m none ann-state && { head -c 4M /dev/zero > ann-state/fill; mkfifo room; "
        f"(cat room; rm ann-state/fill) & exec {start}; }}"
    )
    tried = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("no mounts here")
    with open(folder / "ann.log", "wb") as log:
        child = subprocess.Popen(["unshare", "-rm", "sh", "-c", script], cwd=folder, stdout=log, stderr=log)
    try:
        full = "nothing can be saved: No space left on device"
        wait_for(lambda: full in page(port)[1].get("warnings", []), f"it is said: {nodes.log('ann')}")
        wait_for(lambda: page(port, "status")[1]["samples"] > 20, "it learns")
        assert page(port, "status")[1]["samples"] > 0
        (folder / "room").write_text("now")
        wait_for(lambda: page(port)[1].get("warnings") == [], "it saves again")
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()
    text = nodes.log("ann")
    assert "Traceback" not in text and text.count("nothing can be saved") == 1 and "saved again" in text
    assert lines(folder / "ann.out")


def test_the_state_is_kept_by_default_and_where_is_said(nodes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = nodes.folder
    prepare(folder, ["ann"], rows=30)
    file = folder / "ann.toml"
    text = file.read_text().replace('state = "ann-state"\n', "").replace("stay = true\n", "")
    file.write_text(text.replace("rate_hz = 20", "rate_hz = 0"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "home"))
    done = command("node", "ann.toml", cwd=folder)
    kept = folder / "home" / "protovine" / "barn" / "ann"
    assert done.returncode == 0 and f"state is kept in {kept}" in done.stderr
    monkeypatch.setenv("STATE_DIRECTORY", str(folder / "unit"))
    assert f"{folder / 'unit' / 'barn' / 'ann'}" in command("node", "ann.toml", cwd=folder).stderr
    with Store(kept) as store:
        state = store.load().state
        assert state is not None and state["about"]["member"] == {"swarm": "barn", "name": "ann", "id": 0}


@pytest.mark.slow
def test_thirty_kills_at_random_moments_lose_nothing_that_was_saved(nodes: Processes) -> None:
    folder, (port, other), draw = nodes.folder, ports(2), random.Random(1)
    prepare(folder, ["ann", "bob"], rows=400, snapshot_s=1)
    nodes.start("ann", "ann.toml", "--metrics", f"127.0.0.1:{port}")
    saved = started = 0
    for _ in range(30):
        nodes.start("bob", "bob.toml", "--metrics", f"127.0.0.1:{other}")
        wait_for(lambda: page(other, "status")[1].get("samples", 0) > 0, f"bob learns: {nodes.log('bob')[-2000:]}")
        status = page(other, "status")[1]
        assert status["incarnation"] > started
        started = status["incarnation"]
        time.sleep(draw.random() * 1.5)  # It saves once a second.
        nodes.running["bob"].kill()
        nodes.running["bob"].wait()
        with Store(folder / "bob-state") as store:
            loaded = store.load()
        assert loaded.notes == ()
        if loaded.state is not None:
            learnt = unpack(loaded.state["node"])["samples_learnt"]
            assert learnt >= saved
            saved = learnt
    assert saved > 100
    nodes.start("bob", "bob.toml", "--metrics", f"127.0.0.1:{other}")
    wait_for(lambda: has_heard(port, other) and has_heard(other, port), "they hear each other")
    log = nodes.log("ann") + nodes.log("bob")
    # On a busy machine a start may take so long that the network is opened again.
    warnings = [line for line in log.splitlines() if '"level": "warning"' in line and "network again" not in line]
    assert "Traceback" not in log and not warnings


def test_a_node_that_stays_after_its_source_and_cannot_save_says_both(nodes: Processes) -> None:
    folder, (port,) = nodes.folder, ports(1)
    prepare(folder, ["ann"], rows=20, metrics=f"127.0.0.1:{port}", snapshot_s=600)
    (folder / "ann.toml").write_text((folder / "ann.toml").read_text().replace("connect = []\n", ""))
    ann = nodes.start("ann", "ann.toml")
    wait_for(lambda: "the source has ended; the node stays" in nodes.log("ann"), "it says so")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert "\nprotovine_samples_total 20.0\n" in text
    connected = [line for line in text.splitlines() if line.startswith("protovine_") and "_connected" in line]
    assert [] == connected, "nothing is amiss, so no alert"
    assert 200 == page(port)[0]
    shutil.rmtree(folder / "ann-state")
    ann.send_signal(signal.SIGTERM)
    assert 0 == ann.wait(LIMIT_S)
    assert (
        "what was learnt since the last snapshot is lost: it could not be saved at the end: No such file"
        in nodes.log("ann")
    )
