"""Operators and real nodes: processes over loopback, with certificates."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protovine.errors import ConfigError
from protovine.net import issue, load_identity
from protovine.net.asking import ask_status
from protovine.net.config import NodeSettings
from protovine.net.operate import Operator, control_key, operator_of
from protovine.net.security.commands import Cut, Mend, PauseSharing, Retune, Signer, Stop
from protovine.net.transport import Endpoints
from protovine.records import Commanded, Predicted
from protovine.tape import Began, play, read_tape
from tests.net.test_service import LIMIT_S, Processes, command, endpoint, lines, nodes, prepare, wait_for  # noqa: F401

pytest.importorskip("zenoh", reason="the extra `net` is not installed")

TOKEN = "0123456789abcdef0123456789abcdef"


def controlled(folder: Path, names: list[str], rows: int = 60) -> Endpoints:
    """Node files as of `prepare`, with a token for all but the last; how operator kim reaches them."""
    prepare(folder, names, rows=rows)
    issue(folder / "ca", "kim", folder / "kim", now=datetime.now(UTC), operator=True)
    (folder / "token").write_text(TOKEN + "\n")
    (folder / "token").chmod(0o600)
    for name in names[:-1]:
        with open(folder / f"{name}.toml", "a") as file:
            file.write('[control]\ntoken_file = "token"\n')
    return Endpoints([], [endpoint(folder, names[0])], "client", folder / "kim")


def test_an_operator_changes_running_nodes_and_nobody_else_does(nodes: Processes) -> None:  # noqa: F811
    folder = nodes.folder
    at = controlled(folder, ["ann", "bob", "cat"], rows=2000)
    for name in ("cat", "bob", "ann"):
        nodes.start(name, f"{name}.toml")

    def statuses() -> dict[int, dict]:
        return {id: json.loads(each) for id, each in ask_status("barn", at).items()}

    wait_for(lambda: [2, 2, 2] == [len(each["peers"]) for each in statuses().values()], "all have met")
    first = statuses()
    assert ([True, True, False]) == [each["control"] is not None for each in first.values()]
    assert {"paused": False, "cut": []}.items() <= first[0]["control"].items()

    key = control_key(None, folder / "token", "barn")
    kim = operator_of("barn", at, key, 5.0)
    bob = load_identity(folder / "bob")
    (folder / "other").write_text("z" * 40)
    (folder / "other").chmod(0o600)
    another = control_key(None, folder / "other", "barn")
    for operator, reason in (
        (operator_of("barn", at, another, 5.0), "token"),
        (Operator("barn", at, key, None, timeout_s=5.0), "operator"),
        (Operator("barn", at, key, Signer(bob.certificate, bob.key), timeout_s=5.0), "operator"),
    ):
        (done,) = operator.send([(0, Retune(fanout=1))])
        assert (reason, False) == (done.reason, done.good), done
    assert "it has another token" == operator_of("barn", at, another, 5.0).send([(0, Stop())])[0].text
    assert first[0]["control"] == statuses()[0]["control"]

    given = kim.send([(0, Retune(fanout=1, share_probability=0.5)), (1, PauseSharing()), (0, Cut(1)), (2, Stop())])
    assert ["done", "done", "done", "silent"] == [done.reason for done in given]
    assert "takes no commands" in given[-1].text
    now = statuses()
    assert (1, 0.5, [1]) == tuple(now[0]["control"][name] for name in ("fanout", "share_probability", "cut"))
    assert now[1]["control"]["paused"] and first[1]["control"]["fanout"] == now[1]["control"]["fanout"]
    # What bob makes known is read no more by ann, and ann sends bob nothing.
    sent = now[0]["samples"]
    wait_for(lambda: statuses()[0]["samples"] > sent + 20, "ann goes on")
    assert now[1]["peers"][0]["sequence"] == statuses()[1]["peers"][0]["sequence"]
    assert kim.send([(0, Mend(1))])[0].good
    wait_for(lambda: statuses()[1]["peers"][0]["sequence"] > now[1]["peers"][0]["sequence"], "bob hears of ann again")

    assert kim.send([(1, Stop())])[0].good
    assert 0 == nodes.running["bob"].wait(LIMIT_S), nodes.log("bob")
    assert (folder / "bob-state" / "snapshot.bin").exists()
    nodes.running["ann"].send_signal(signal.SIGTERM)
    assert 0 == nodes.running["ann"].wait(LIMIT_S), nodes.log("ann")
    log = nodes.log("ann")
    assert "operator kim: fanout = 1, share_probability = 0.5" in log and "operator kim: cut the link to bob" in log
    assert "refused a command of somebody: the token is not that of this node" in log
    assert TOKEN not in log and TOKEN not in nodes.log("bob")

    # The tape has the commands, and plays the same run.
    settings = NodeSettings.read(folder / "ann.toml", {})
    calls = list(read_tape(folder / "ann.tape"))
    began = calls[0]
    assert isinstance(began, Began)
    schema = settings.schema_of()
    made = play(calls, settings.build(schema, began.node, began.incarnation, list(began.peers)))
    again = [list(each.proba) for each in made if isinstance(each, Predicted)]
    assert [list(each["probabilities"].values()) for each in lines(folder / "ann.out")] == again
    commands = [each for each in made if isinstance(each, Commanded)]
    assert 3 == len(commands) and {"operator kim"} == {each.by for each in commands}


def test_a_node_says_what_is_wrong_with_its_token(tmp_path: Path) -> None:
    controlled(tmp_path, ["ann", "bob"])
    (tmp_path / "token").chmod(0o640)
    shown = command("node", "ann.toml", "--check", cwd=tmp_path)
    assert (2, True) == (shown.returncode, "can be read by others: chmod 600" in shown.stderr), shown.stderr
    (tmp_path / "token").chmod(0o600)
    assert 0 == command("node", "ann.toml", "--check", cwd=tmp_path).returncode
    (tmp_path / "token").write_text("secret")
    shown = command("node", "ann.toml", "--check", cwd=tmp_path)
    assert 2 == shown.returncode and "32 to 256" in shown.stderr and "secret" not in shown.stderr
    with pytest.raises(ConfigError, match=r"control\.token"):
        NodeSettings.read(tmp_path / "ann.toml", {"control": {"token": TOKEN}})
    for words, said in (
        (["--swarm", "tls/127.0.0.1:1", "--certificates", "bob", "--control", "--token-file", "none"], "cannot read"),
        (["--swarm", "tls/127.0.0.1:1", "--certificates", "bob", "--control"], "no control token in environment"),
        (["--swarm", "tls/127.0.0.1:1", "--token-file", "token"], "are for --control"),
        (["bob", "--control"], "--control is for --swarm"),
        (["--swarm", "tcp/127.0.0.1:1", "--plain", "barn", "--control", "--host", "192.0.2.1"], "the page has no TLS"),
    ):
        shown = command("watch", *words, cwd=tmp_path)
        assert (2, True) == (shown.returncode, said in shown.stderr), (words, shown.stderr)
        assert 1 == len(shown.stderr.splitlines()), shown.stderr
    (tmp_path / "token").write_text(TOKEN)
    words = ["--swarm", "tls/127.0.0.1:1", "--certificates", "bob", "--control", "--token-file", "token"]
    assert "only operators give commands" in command("watch", *words, cwd=tmp_path).stderr
