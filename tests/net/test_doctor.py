"""What `--check`, `doctor` and `status` say of what is wrong, and that the start would say the same."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from protovine.cli import main
from protovine.cli.node import _hints
from protovine.net import issue, service
from protovine.net.security.identity import read_certificate
from protovine.net.transport import Channel, Endpoints, ZenohTransport
from tests.net.test_service import Processes, endpoint, nodes, ports, prepare, wait_for

pytest.importorskip("zenoh", reason="the extra `net` is not installed")

__all__ = ["nodes"]


def protovine(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(part) for part in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(tmp_path, ["ann", "bob"], rows=10)
    return tmp_path


def change(folder: Path, before: str, after: str) -> None:
    file = folder / "ann.toml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def table(folder: Path, name: str, after: str) -> None:
    """Another table of this name."""
    file = folder / "ann.toml"
    head, _, tail = file.read_text().partition(f"[{name}]")
    _, bracket, others = tail.partition("\n[")
    file.write_text(f"{head}[{name}]\n{after}\n{bracket}{others}")


def ended(folder: Path) -> None:
    then = datetime.now(UTC) - timedelta(days=40)
    issue(folder / "ca", "old", folder / "old", now=then, days=30)
    change(folder, 'certificates = "ann"', 'certificates = "old"')


MQTT = 'kind = "mqtt"\nhost = "127.0.0.1"\n'
MULTICAST = 'multicast = "udp/239.255.77.72:7448"\ninterface = "eth99"\n[gossip]\nschedule = "broadcast"\n[source]'
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no schema": (lambda at: (at / "schema.json").unlink(), "schema.json"),
    "malformed schema": (lambda at: (at / "schema.json").write_text("{"), "schema.json"),
    "other columns": (
        lambda at: (at / "schema.json").write_text('{"features": ["a"], "classes": ["b"]}'),
        "the schema has no feature",
    ),
    "no source file": (lambda at: (at / "rows.csv").unlink(), "no such file"),
    "sink is the source": (
        lambda at: change(at, '"ann.out"', '"rows.csv"'),
        "sink.path must be another file than source",
    ),
    "no such interface": (lambda at: change(at, "[source]", MULTICAST), "network.interface must be one of "),
    "sink in no folder": (lambda at: change(at, '"ann.out"', '"none/ann.out"'), "none/ann.out"),
    "tape in no folder": (lambda at: change(at, '"ann.tape"', '"none/ann.tape"'), "none/ann.tape"),
    "state is a file": (lambda at: change(at, '"ann-state"', '"rows.csv"'), "rows.csv"),
    "environment": (lambda at: table(at, "source", MQTT + 'topics = ["t"]\nusername_env = "NOT_SET"'), "NOT_SET"),
    "topic": (lambda at: table(at, "source", MQTT + 'topics = ["barn/#/x"]'), "in a topic"),
    "sink topic": (lambda at: table(at, "sink", MQTT + 'topic = "barn/+"'), "wildcards"),
    "host": (lambda at: table(at, "source", 'kind = "mqtt"\nhost = "tcp://x"\ntopics = ["t"]'), "host must be"),
    "authority of the broker": (lambda at: table(at, "sink", MQTT + 'topic = "t"\nca_file = "ca.pem"'), "ca_file"),
    "key open to others": (lambda at: (at / "ann" / "member.key").chmod(0o644), "can be read by others"),
    "no certificates": (lambda at: change(at, 'certificates = "ann"', 'certificates = "none"'), "cannot read"),
    "certificate ended": (ended, "the clock here shows"),
    "address of another machine": (lambda at: change(at, "tls/127.0.0.1", "tls/192.0.2.77"), "cannot listen at"),
    "metrics at no address": (lambda at: change(at, "stay = true", 'metrics = "no.such.host.invalid:1"'), "metrics"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_check_finds_what_the_start_would_refuse(name: str, folder: Path) -> None:
    assert 0 == protovine("node", folder / "ann.toml", "--check").exit_code
    breaks, message = BROKEN[name]
    breaks(folder)
    done = protovine("node", folder / "ann.toml", "--check")
    assert (2, 1) == (done.exit_code, len(done.stderr.splitlines())), done.stderr
    assert message in done.stderr
    assert not (folder / "ann.out").exists() and not (folder / "ann-state").exists()


@pytest.mark.parametrize("name", BROKEN)
def test_the_start_refuses_it_before_anything_is_compiled(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiles(*_: object) -> None:
        raise AssertionError("kernels take a minute; the mistake was there to be found")

    monkeypatch.setattr(service, "compile_kernels", compiles)
    monkeypatch.setattr(service, "set_up_logs", lambda *_: None)
    breaks, message = BROKEN[name]
    breaks(folder)
    done = protovine("node", folder / "ann.toml")
    assert (2, 1) == (done.exit_code, len(done.stderr.splitlines())) and message in done.stderr, done.output
    assert not (folder / "ann.out").exists() and not (folder / "ann-state").exists()


@pytest.mark.parametrize("key", ["network.listen", "node.metrics"])
def test_check_finds_a_port_that_is_taken(key: str, folder: Path) -> None:
    host, _, port = endpoint(folder, "ann").partition("/")[2].rpartition(":")
    if key == "node.metrics":
        port = ports(1)[0]
        change(folder, "stay = true", f'stay = true\nmetrics = "127.0.0.1:{port}"')
    with socket.create_server((host, int(port))):
        done = protovine("node", folder / "ann.toml", "--check")
    assert 2 == done.exit_code and f"{key}: cannot listen at" in done.stderr and "in use" in done.stderr


def test_a_node_that_runs_may_be_checked(nodes: Processes) -> None:
    prepare(nodes.folder, ["ann"])
    nodes.start("ann", "ann.toml")
    wait_for(lambda: (nodes.folder / "ann.out").exists(), "it runs")
    done = protovine("node", nodes.folder / "ann.toml", "--check")
    assert (0, "") == (done.exit_code, done.stderr)
    assert "ann-state: a process runs with it, so a second start would be refused" in done.stdout


@pytest.mark.parametrize(
    ("addresses", "listen", "said"),
    [
        (
            ["127.0.0.1"],
            "tls/0.0.0.0:0",
            "it has no address for other machines, so they can dial it only if they know the host name new",
        ),
        (["192.0.2.77"], "tls/0.0.0.0:0", "192.0.2.77 is no address of this machine, so they can dial it only if"),
        (["barn.example"], "tls/127.0.0.1:0", "it does not have 127.0.0.1, so nobody can dial tls/127.0.0.1:0"),
        (["barn.example"], "tls/0.0.0.0:0", ""),
        (["127.0.0.1"], "tls/127.0.0.1:0", ""),
    ],
)
def test_check_doubts_a_certificate_without_the_address_to_be_dialled(
    addresses: list[str], listen: str, said: str, folder: Path
) -> None:
    issue(folder / "ca", "new", folder / "new", addresses=addresses, now=datetime.now(UTC), id=9)
    change(folder, 'certificates = "ann"', 'certificates = "new"')
    change(folder, endpoint(folder, "ann"), listen)
    done = protovine("node", folder / "ann.toml", "--check")
    assert 0 == done.exit_code, done.stderr
    doubts = done.stdout.splitlines()[1:]
    assert len(doubts) == bool(said) and all(said in line for line in doubts), done.stdout


def test_check_doubts_a_source_that_leaves_features_out(folder: Path) -> None:
    names = json.loads((folder / "schema.json").read_text())["features"]
    rows = [line.split(",") for line in (folder / "rows.csv").read_text().splitlines()]
    (folder / "rows.csv").write_text("\n".join(",".join([*row[:4], row[-1]]) for row in rows))
    said = f"warn source: 5 of 9 features have no place in it and stay missing: {', '.join(map(repr, names[4:]))}\n"
    assert said in protovine("node", folder / "ann.toml", "--check").stdout
    table(folder, "source", f'kind = "stdin"\nmap.features = {{ {names[0]} = "a", {names[1]} = "b.c" }}')
    done = protovine("node", folder / "ann.toml", "--check")
    assert "warn source: 7 of 9 features have no place in it" in done.stdout and 0 == done.exit_code
    table(folder, "source", 'kind = "stdin"')
    assert 1 == len(protovine("node", folder / "ann.toml", "--check").stdout.splitlines())


@pytest.fixture
def bob(folder: Path) -> ZenohTransport:
    """Bob's end of the network, and what he would say of himself."""
    at = Endpoints([endpoint(folder, "bob")], [], certificates=folder / "bob")
    made = ZenohTransport("barn", 1, at)

    def deliver(channel: Channel, data: bytes) -> None:
        pass

    made.open(deliver, lambda peer, there: None, lambda: b'{"id": 1, "name": "bob"}')
    yield made
    made.close()


def test_doctor_dials_members_and_brokers(folder: Path, bob: ZenohTransport) -> None:
    (nobody,) = ports(1)
    at = endpoint(folder, "bob")
    astray = at.replace("127.0.0.1", "localhost")  # His certificate does not have this name.
    own = endpoint(folder, "ann")
    listen = f'listen = ["{own}"]\nconnect = ["{own}", "{at}", "{astray}", "tls/127.0.0.1:{nobody}", "tls/a.invalid:1"]'
    table(folder, "network", f'certificates = "ann"\n{listen}')
    table(folder, "sink", MQTT + f'topic = "t"\nport = {nobody}')
    done = protovine("doctor", folder / "ann.toml", "--timeout", 3)
    assert 1 == done.exit_code, done.output
    lines = done.stdout.splitlines()
    assert "ok   settings: ann, number 0 of swarm barn, with 9 features and 2 classes" == lines[0]
    assert lines[1].startswith("ok   certificate: until ") and lines[1].endswith("for ann 127.0.0.1")
    assert lines[2].startswith("ok   state: ")
    assert f"ok   peer {own}: this node itself, which is not dialled" == lines[3]
    assert f"ok   peer {at}: protovine://barn/bob/1" == lines[4]
    assert lines[5].startswith(
        f"fail peer {astray}: the certificate of protovine://barn/bob/1 does not have the dialled"
    )
    assert "only bob, 127.0.0.1: issue it again with --address localhost" in lines[5]
    assert f"fail peer tls/127.0.0.1:{nobody}: nothing listens there" == lines[6]
    assert lines[7].startswith("fail peer tls/a.invalid:1: ")
    assert lines[8].startswith(f"fail sink mqtt://127.0.0.1:{nobody}: ")
    assert 9 == len(lines)
    table(folder, "network", f'certificates = "ann"\nlisten = ["tls/127.0.0.9:{nobody}"]')
    done = protovine("doctor", folder / "ann.toml")
    assert "warn certificate: it does not have 127.0.0.9, so nobody can dial" in done.stdout


def test_doctor_names_a_certificate_that_is_not_accepted(folder: Path, bob: ZenohTransport) -> None:
    at = endpoint(folder, "bob")
    table(folder, "network", f'certificates = "ann"\nconnect = ["{at}"]')
    other = folder / "other"
    other.mkdir()
    prepare(other, ["ann"], rows=10)
    for name in ("member.pem", "member.key"):  # Of another authority, though it believes this one.
        (other / "ann" / name).rename(folder / "ann" / name)
    from protovine.net.ops.probe import ProbeError, dial

    with pytest.raises(ProbeError, match="does not accept this certificate"):
        dial(at, folder / "ann")


def test_a_certificate_that_is_not_valid_yet_is_said_everywhere(folder: Path, bob: ZenohTransport) -> None:
    """A node starts with it, and waits until the clock is right."""
    then = datetime.now(UTC) + timedelta(days=10)
    issue(folder / "ca", "fut", folder / "fut", now=then, addresses=["127.0.0.1"], days=60)
    begin = f"{read_certificate(folder / 'fut' / 'member.pem').not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    at = endpoint(folder, "bob")
    table(folder, "network", f'certificates = "fut"\nconnect = ["{at}"]')
    checked = protovine("node", folder / "ann.toml", "--check")
    assert 0 == checked.exit_code
    (line,) = [line for line in checked.stdout.splitlines() if line.startswith("warn certificate: until ")]
    assert f": it is valid from {begin} on, and the clock here shows " in line and "a node starts" in line
    done = protovine("doctor", folder / "ann.toml", "--timeout", 3)
    assert (1, "") == (done.exit_code, done.stderr), done.output
    assert line in done.stdout.splitlines()
    assert f"does not accept this certificate: it is valid from {begin} on" in done.stdout
    listed = json.loads(protovine("cert", "list", "--authority", folder / "ca", "--json").stdout)
    assert {"ann": "valid", "bob": "valid", "fut": "not yet"} == {each["name"]: each["state"] for each in listed}
    issue(folder / "ca", "soon", folder / "soon", now=datetime.now(UTC), addresses=["127.0.0.1"], days=5)
    change(folder, 'certificates = "fut"', 'certificates = "soon"')
    assert "4 days are left; issue the next one" in protovine("node", folder / "ann.toml", "--check").stdout


def test_an_operator_asks_for_the_status(folder: Path, bob: ZenohTransport) -> None:
    issue(folder / "ca", "kim", folder / "kim", now=datetime.now(UTC), operator=True)
    done = protovine("status", "--connect", endpoint(folder, "bob"), "--certificates", folder / "kim", "--json")
    assert (0, [{"id": 1, "name": "bob", "proved": False}]) == (done.exit_code, json.loads(done.stdout))


def test_status_says_why_nobody_answers(folder: Path, bob: ZenohTransport) -> None:
    astray = endpoint(folder, "bob").replace("127.0.0.1", "localhost")
    done = protovine("status", "--connect", astray, "--certificates", folder / "ann", "--timeout", 1)
    assert 1 == done.exit_code
    assert "no member answered" in done.stderr and "does not have the dialled address localhost" in done.stderr


def test_members_with_another_schema_are_named_wherever_one_asks(nodes: Processes) -> None:
    folder = nodes.folder
    prepare(folder, ["ann", "bob"])
    schema = json.loads((folder / "schema.json").read_text())
    (folder / "other.json").write_text(json.dumps({**schema, "classes": [*schema["classes"], "maybe"]}))
    metrics = ports(1)[0]
    bob = folder / "bob.toml"
    bob.write_text(bob.read_text().replace("stay = true", f'stay = true\nmetrics = "127.0.0.1:{metrics}"'))
    nodes.start("ann", "ann.toml")
    nodes.start("bob", "bob.toml", "--schema", "other.json")

    def ready() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/readyz", timeout=5) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError:
            return ""

    wait_for(lambda: "'ann' has schema" in ready(), "the page of bob")
    why = json.loads(ready())["why"]
    assert why.startswith("no peer was met yet; 'ann' has schema ") and why.endswith("start with the same schema")
    done = protovine("doctor", bob, "--set", f"schema={folder / 'other.json'}", "--timeout", 3)
    assert 1 == done.exit_code and "fail peer ann: has schema " in done.stdout
    assert "peer ann: has schema" not in protovine("doctor", bob, "--timeout", 3).stdout, "this file has ann's"
    done = protovine("status", "--connect", endpoint(folder, "bob"), "--certificates", folder / "ann")
    assert "bob: 'ann' has schema " in done.stderr
    assert (
        "schemas differ, so these exchange nothing: " in done.stderr and "Start all with the same schema" in done.stderr
    )


def test_status_says_what_to_do_about_a_revoked_member() -> None:
    ann = {"name": "ann", "revoked": False, "schema": "00", "warnings": [], "peers": [{"name": "eve", "revoked": True}]}
    (hint,) = _hints([ann, {**ann, "name": "bob"}])
    assert hint.startswith("revoked: eve. If one should still take part, issue another certificate")
    assert [] == _hints([{**ann, "peers": []}])


def test_an_address_that_the_certificate_lacks_is_named_at_both_ends(nodes: Processes) -> None:
    folder = nodes.folder
    prepare(folder, ["ann", "bob"])
    text = (folder / "bob.toml").read_text()
    at = endpoint(folder, "ann")
    (folder / "bob.toml").write_text(
        text.replace(f'connect = ["{at}"]', f'connect = ["{at.replace("127.0.0.1", "localhost")}"]')
    )
    for name in ("ann", "bob"):
        nodes.start(name, f"{name}.toml")
    wait_for(lambda: "does it have the dialled address?" in nodes.log("ann"), "the dialled end")
    wait_for(lambda: 'certificate not valid for name \\"localhost\\"' in nodes.log("bob"), "the dialling end")

    def named() -> bool:
        done = protovine("status", "--connect", endpoint(folder, "bob"), "--certificates", folder / "ann", "--json")
        return done.exit_code == 0 and "localhost" in str(json.loads(done.stdout)[0]["not_accepted"])

    wait_for(named, "the status")
    records = [json.loads(line) for name in ("ann", "bob") for line in nodes.log(name).splitlines()]
    assert all({"time", "level", "message"} <= set(each) for each in records)
