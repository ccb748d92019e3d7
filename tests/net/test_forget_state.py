"""`protovine state forget` as a user runs it: on saved states with and without a tape, and what is refused."""

from __future__ import annotations

import json
import os
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from protovine.cli import main
from protovine.net import create_authority, issue, load_trust
from protovine.net.config import NodeSettings
from protovine.net.snapshots import restore_node
from protovine.net.store import Store
from protovine.node import Node, pump
from protovine.snapshot import pack, unpack
from protovine.tape import Delivered, TapedNode, encode, play_without, read_tape, repeat
from tests.net.test_service import Processes, command, endpoint, lines, nodes, prepare, wait_for

pytest.importorskip("zenoh", reason="the extra `net` is not installed")

__all__ = ["nodes"]

S = 10**9
ANN, BOB, EVE = range(3)
NAMES = ("ann", "bob", "eve")
BEGIN_NS = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * S
NODE_FILE = """
schema = {{ features = ["t", "h"], classes = ["dry", "wet"] }}
[node]
state = "{name}-state"
tape = "{name}.tape"
[network]
plain = true
swarm = "barn"
name = "{name}"
id = {id}
listen = ["tcp/127.0.0.1:0"]
{more}
"""


@dataclass
class Field:
    """Ann's node file, state and tape after a while with bob and eve."""

    folder: Path
    cut_ns: int
    end_ns: int

    @property
    def state(self) -> Path:
        return self.folder / "ann-state"

    def settings(self, name: str = "ann") -> NodeSettings:
        return NodeSettings.read(self.folder / f"{name}.toml", {})

    def node(self, incarnation: int = 1) -> Node:
        made = self.settings()
        return made.build(made.schema_of(), ANN, incarnation, [])

    def saved(self) -> Node:
        """Ann's node as the state has it."""
        state = unpack((self.state / "snapshot.bin").read_bytes())
        settings = self.settings()
        return restore_node(lambda peers: settings.build(settings.schema_of(), ANN, 1, peers), state, self.end_ns)

    def forget(self, *words: object) -> Result:
        return CliRunner().invoke(main, ["state", "forget", *map(str, words)])


def live(folder: Path, more: str = "", rounds: int = 60, deaf: bool = False) -> Field:
    """Ann, bob and eve exchange samples; ann's calls are on her tape, and her state is saved as at an orderly end."""
    for id, name in enumerate(NAMES):
        (folder / f"{name}.toml").write_text(NODE_FILE.format(name=name, id=id, more=more))
    settings = [NodeSettings.read(folder / f"{name}.toml", {}) for name in NAMES]
    members = [each.build(each.schema_of(), id, 1, []) for id, each in enumerate(settings)]
    tape: list[bytes] = []
    members[ANN] = TapedNode(members[ANN], lambda call: tape.append(encode(call)))  # type: ignore[assignment]
    now_ns, draw = BEGIN_NS, np.random.default_rng(5)
    wire: list[tuple[int, int, bytes]] = []
    for id, node in enumerate(members):
        for peer in range(3):
            if peer != id:
                node.add_peer(peer, now_ns)
    cut_ns = 0
    for at in range(rounds):
        cut_ns = now_ns if at == rounds // 2 else cut_ns
        for node in members:
            now_ns += S // 20
            node.observe(draw.normal(size=2) + 2 * (at % 2), at % 2, now_ns=now_ns)
        for _ in range(3):
            now_ns += S // 10
            for id, node in enumerate(members):
                due_ns = node.next_timer_ns()
                if due_ns is not None and due_ns <= now_ns:
                    node.on_timer(now_ns)
                pump(node, lambda to, data, source=id: wire.append((source, to, data)), lambda record: None)
            carried = wire[:]
            wire.clear()
            for source, to, data in carried:
                if not (deaf and (source, to) == (EVE, ANN)):
                    members[to].receive(data, source, now_ns)
    members[ANN].finish(now_ns)
    (folder / "ann.tape").write_bytes(b"".join(tape))
    made = settings[ANN]
    hellos = [(id, settings[id].envelope(1, made.schema_of()).hello(now_ns)) for id in (BOB, EVE)]
    with Store(folder / "ann-state") as store:
        store.begin()
        state = {
            "about": made.about(made.schema_of(), made.member()),
            "at_ns": now_ns,
            "peers": members[ANN].peers,
            "hellos": hellos,
            "node": members[ANN].snapshot(),
            "awaited": [],
            "next_id": 0,
        }
        store.save(state)
        store.save(state)
    return Field(folder, cut_ns, now_ns)


@pytest.fixture
def field(tmp_path: Path) -> Field:
    return live(tmp_path)


def said(result: Result) -> dict:
    assert 0 == result.exit_code, result.output
    return json.loads(result.stdout)


def never_heard(field: Field) -> Node:
    """A node that makes all calls of the tape but eve's messages.

    In another incarnation it can read messages that answer what it has not sent; its learner does not know the number.
    """
    node = field.node(99)
    for call in read_tape(field.folder / "ann.tape"):
        if not (isinstance(call, Delivered) and call.sender == EVE):
            repeat(call, node)
        node.drain()
    return node


def test_with_a_tape_the_learner_equals_one_that_never_heard_the_member(field: Field) -> None:
    assert {BOB, EVE} == set(field.saved().learner.trust)  # type: ignore[attr-defined]
    report = said(field.forget("eve", "--node", field.folder / "ann.toml", "--json"))
    assert ("exact", 0, []) == (report["level"], report["items"], report["remains"])
    tapes = [str(field.folder / name) for name in ("ann.tape.0001", "ann.tape")]
    assert report["dropped"] > 0 and tapes == report["files"], "what was forgotten stands on a tape, too"
    found = field.saved()
    assert pack(never_heard(field).learner.state()) == pack(found.learner.state())
    assert found.views[EVE].accepted == found.views[EVE].sequence == 0 < found.views[BOB].accepted
    assert ["snapshot.bin"] == [path.name for path in field.state.glob("snapshot*")], "no older snapshot is left"
    shown = said(CliRunner().invoke(main, ["state", "show", str(field.state), "--json"]))
    assert [EVE, 0] == shown["forgotten"][0][:2] and 60 == shown["samples_learnt"]
    text = CliRunner().invoke(main, ["state", "show", str(field.state)]).output
    assert "forgotten of member 2: until 20" in text


def test_without_a_tape_what_can_be_told_apart_goes_and_the_rest_is_named(field: Field) -> None:
    before = field.saved()
    result = field.forget("eve", "--state", field.state)
    assert 0 == result.exit_code
    items = int(before.learner._state.offered[before.learner._slots[EVE]])  # type: ignore[attr-defined]
    for words in ("approximate: without a tape", "gone: ", "prototypes", f"at most {items} items went into sums"):
        assert words in result.output, result.output
    found = field.saved()
    assert [BOB] == list(found.learner.trust) and EVE not in found.learner.origins()  # type: ignore[attr-defined]
    assert found.learner.trust[BOB] == before.learner.trust[BOB]  # type: ignore[attr-defined]
    assert pack(never_heard(field).learner.state()) != pack(found.learner.state())
    # Asked again, it does not claim more than the first time.
    second = said(field.forget("eve", "--state", field.state, "--json"))
    assert "approximate" == second["level"] and "forgotten before" in second["how"]
    assert ["what remained when it was forgotten before"] == second["remains"]


def test_a_member_of_which_nothing_came_leaves_nothing(tmp_path: Path) -> None:
    field = live(tmp_path, deaf=True)
    report = said(field.forget("eve", "--state", field.state, "--json"))
    assert ("nothing", [], "nothing was there") == (report["level"], report["remains"], report["gone"])


@pytest.mark.parametrize("part", ["since", "until"])
def test_samples_of_a_time_are_forgotten(field: Field, part: str) -> None:
    at = datetime.fromtimestamp(field.cut_ns / S, UTC).isoformat()
    report = said(field.forget("eve", "--node", field.folder / "ann.toml", f"--{part}", at, "--json"))
    assert "exact" == report["level"]
    span = {f"{part}_ns": field.cut_ns}
    tape = read_tape(field.folder / "ann.tape.0001")
    expected = deque(play_without(tape, lambda began: field.node(began.incarnation), EVE, **span), maxlen=1)[0].other
    found = field.saved().learner
    assert pack(expected.learner.state()) == pack(found.state()), "also what she has earned by her other samples"
    assert EVE in found.trust and (found.origins() == EVE).any()  # type: ignore[attr-defined]


def test_a_learner_without_origins_says_that_all_stays_and_a_tape_helps(tmp_path: Path) -> None:
    more = '[learner]\nkind = "xuilvq"\n[exchange]\nkind = "sets"\n[gossip]\nshare_probability = 0.5\n'
    field = live(tmp_path, more)
    saved = (field.state / "snapshot.bin").read_bytes()
    report = said(field.forget("eve", "--state", field.state, "--json"))
    assert ("approximate", None) == (report["level"], report["items"])
    assert any("does not know whose items" in each for each in report["remains"])
    (field.state / "snapshot.bin").write_bytes(saved)
    report = said(field.forget("eve", "--node", field.folder / "ann.toml", "--json"))
    assert "exact" == report["level"] and "passed on in their sets" in report["remains"][0]


@pytest.mark.parametrize("how", ["half of it", "without a message of bob"])
def test_a_tape_that_leads_elsewhere_is_refused_and_nothing_changes(field: Field, how: str) -> None:
    tape = field.folder / "ann.tape"
    calls = list(read_tape(tape))
    if how == "half of it":
        calls = calls[: len(calls) // 2]
    else:
        del calls[max(at for at, call in enumerate(calls) if isinstance(call, Delivered) and call.sender == BOB)]
    tape.write_bytes(b"".join(map(encode, calls)))
    before = (field.state / "snapshot.bin").read_bytes()
    refused = field.forget("eve", "--node", field.folder / "ann.toml")
    assert 2 == refused.exit_code and "no tape leads to the saved state" in refused.stderr
    assert before == (field.state / "snapshot.bin").read_bytes()


def test_a_node_without_a_tape_setting_forgets_approximately(tmp_path: Path) -> None:
    field = live(tmp_path)
    file = tmp_path / "ann.toml"
    file.write_text(file.read_text().replace('tape = "ann.tape"\n', ""))
    assert "approximate" == said(field.forget("eve", "--node", file, "--json"))["level"]


def test_what_cannot_be_is_said_and_nothing_changes(field: Field) -> None:
    state, file = field.state, field.folder / "ann.toml"
    before = (state / "snapshot.bin").read_bytes()
    (field.folder / "empty").mkdir()
    certificates = field.folder / "ca"
    create_authority(certificates, "barn", now=datetime.now(UTC))
    issue(certificates, "eve", field.folder / "eves", now=datetime.now(UTC))
    with Store(field.folder / "held"):
        for words, expected in (
            (("eva", "--state", state), "knows no member 'eva' (did you mean 'eve'?)"),
            (("7", "--state", state), "knows no member '7'"),
            (
                ("eve",),
                "name a state folder (--state), a node's file (--node), the authority (--authority) or an operator",
            ),
            (("eve", "--state", state, "--node", file), "exclude each other"),
            (("eve", "--state", field.folder / "empty"), "has no snapshot"),
            (("eve", "--state", file), "no such folder"),
            (("eve", "--state", field.folder / "held"), "is in use by another process"),
            (("eve", "--state", state, "--until", "2999-01-01"), "lies in the future"),
            (("eve", "--state", state, "--since", "2026-05-01", "--until", "2026-04-01"), "must not be before"),
            (
                ("eve", "--state", state, "--since", "2999-01-01"),
                "--since must not lie in the future, got '2999",
            ),
            (("eve", "--state", state, "--since", "yesterday"), "--since must be a time"),
            (("eve", "--state", state, "--since", "1960-01-01"), "must not be before 1970"),
            (("eve", "--authority", field.folder / "eves"), "authority.key"),
            (("ann", "--authority", certificates), "the authority knows no member 'ann'"),
            (("ann", "--state", state, "--authority", certificates), "the authority knows no member 'ann'"),
        ):
            refused = field.forget(*words)
            assert 2 == refused.exit_code and expected in refused.stderr, (words, refused.output)
            assert "Traceback" not in refused.output
    missing = field.forget("eve", "--state", field.folder / "none")
    assert 2 == missing.exit_code and "does not exist" in missing.stderr
    assert before == (state / "snapshot.bin").read_bytes() and () == load_trust(certificates).tombstones
    file.write_text(file.read_text() + '[learner]\nkind = "hedged"\nsize_max = 50\n')
    refused = field.forget("eve", "--node", file)
    assert 2 == refused.exit_code and "another settings" in refused.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_said(field: Field) -> None:
    field.state.chmod(0o500)
    try:
        refused = field.forget("eve", "--state", field.state)
        assert 2 == refused.exit_code and "cannot" in refused.stderr
    finally:
        field.state.chmod(0o700)


def test_a_seed_forgets_too(field: Field, tmp_path: Path) -> None:
    CliRunner().invoke(main, ["state", "import", str(field.state), str(tmp_path / "seed"), "--seed"])
    report = said(field.forget(EVE, "--state", tmp_path / "seed", "--json"))
    assert "approximate" == report["level"] and report["dropped"] > 0
    learner = unpack(unpack((tmp_path / "seed" / "snapshot.bin").read_bytes())["node"])["learner"]
    assert [BOB] == [origin for origin, _ in learner["slots"]]


def test_the_authority_signs_and_the_same_command_forgets_here(field: Field, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    create_authority(tmp_path / "ca", "barn", now=now)
    for id, name in enumerate(NAMES):
        issue(tmp_path / "ca", name, tmp_path / "certificates" / name, now=now, id=id)
    result = field.forget("eve", "--state", field.state, "--authority", tmp_path / "ca")
    assert 0 == result.exit_code
    assert "signed: all members forget what eve shared until" in result.output and "copy " in result.output
    (stone,) = load_trust(tmp_path / "ca").tombstones
    shown = said(CliRunner().invoke(main, ["state", "show", str(field.state), "--json"]))
    assert [[EVE, 0, stone.until_ns]] == shown["forgotten"]
    listed = CliRunner().invoke(main, ["cert", "show", str(tmp_path / "ca" / "revoked.pem")]).output
    assert f"{stone.member.uri} until" in listed


def test_running_nodes_forget_by_a_tombstone_and_their_folders_are_in_use(nodes: Processes) -> None:
    folder = nodes.folder
    prepare(folder, list(NAMES), rows=20)
    for name in NAMES:
        nodes.start(name, f"{name}.toml")
    wait_for(lambda: all(len(lines(folder / f"{name}.out")) == 20 for name in NAMES), "all samples")
    for name in ("ann", "bob"):
        wait_for(lambda name=name: "met eve" in nodes.log(name), f"{name} meets eve")
    refused = CliRunner().invoke(main, ["state", "forget", "eve", "--state", str(folder / "ann-state")])
    assert 2 == refused.exit_code and "in use by another process" in refused.stderr
    signed = CliRunner().invoke(main, ["state", "forget", "eve", "--authority", str(folder / "ca")])
    assert 0 == signed.exit_code, signed.output
    (folder / "ann" / "revoked.pem").write_bytes((folder / "ca" / "revoked.pem").read_bytes())
    nodes.running["ann"].send_signal(1)  # Reload at once.
    for name in ("ann", "bob"):
        wait_for(lambda name=name: "forgot what eve shared" in nodes.log(name), f"{name} forgets")
    wait_for(lambda: load_trust(folder / "bob").tombstones, "bob keeps it for the next start")
    wait_for(lambda: "all members forget what this node shared" in nodes.log("eve"), "eve is told")
    shown = command("status", "--connect", endpoint(folder, "ann"), "--certificates", "bob", cwd=folder).stdout
    assert "forgotten: eve" in " ".join(shown.split())


def test_an_operator_makes_a_running_swarm_forget(nodes: Processes) -> None:
    folder = nodes.folder
    prepare(folder, list(NAMES), rows=20)
    for name in ("kim", "lee"):
        may = ("--may", "forget") if name == "kim" else ()
        made = command("cert", "issue", name, "--authority", "ca", "--out", name, "--operator", *may, cwd=folder)
        assert 0 == made.returncode, made.stderr
        assert ("operator who may forget" in made.stdout) is bool(may)
    listed = command("cert", "list", "--authority", "ca", cwd=folder).stdout
    shown = command("cert", "show", "kim/member.pem", cwd=folder).stdout
    assert 1 == listed.count("may forget") and "may        forget" in shown
    nobody = command("state", "forget", "eve", "--operator", "kim", "--connect", endpoint(folder, "ann"), cwd=folder)
    assert 2 == nobody.returncode and "cannot open the network" in nobody.stderr
    for name in NAMES:
        nodes.start(name, f"{name}.toml")
    wait_for(lambda: all(len(lines(folder / f"{name}.out")) == 20 for name in NAMES), "all samples")
    for name in ("ann", "bob"):
        wait_for(lambda name=name: "met eve" in nodes.log(name), f"{name} meets eve")
    at = ("--connect", endpoint(folder, "ann"))
    for words, why in (
        (
            ("eve", "--operator", "lee", *at),
            "the certificate of lee may not sign tombstones; at the authority: ",
        ),
        (("eve", "--operator", "bob", *at), "is of member bob, and only operators give commands"),
        (("eva", "--operator", "kim", *at), "no member that answers has met 'eva' (did you mean 'eve'?)"),
        (("eve", "--operator", "kim"), "--operator and --connect belong together"),
        (("eve", "--authority", "ca", *at), "--operator and --connect belong together"),
        (("eve", "--authority", "ca", "--id", "2"), "--id belongs to --operator"),
        (("eve", "--operator", "kim", "--authority", "ca", *at), "--operator is for the running swarm alone"),
        (("eve", "--operator", "none", *at), "cannot read none/member.pem"),
    ):
        refused = command("state", "forget", *words, cwd=folder)
        assert 2 == refused.returncode and why in refused.stderr, (words, refused.stderr)
    assert "forgot what eve shared" not in nodes.log("ann")
    done = command("state", "forget", "eve", "--operator", "kim", *at, cwd=folder)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert done.stdout.startswith("signed by kim: all members forget what eve shared until ")
    assert "forgotten by ann, bob, eve; others hear of it from them" in done.stdout
    for name in ("ann", "bob"):
        assert "forgot what eve shared" in nodes.log(name) and "operator kim: all members" in nodes.log(name)
        assert (folder / name / "tombstones.bin").exists(), "for the next start"
    shown = command("status", *at, "--certificates", "lee", cwd=folder).stdout
    assert "forgotten: eve" in " ".join(shown.split())


def test_a_single_sample_is_forgotten_and_no_other(field: Field) -> None:
    def offered(node: Node) -> dict[int, int]:
        learner = node.learner
        return {peer: int(learner._state.offered[slot]) for peer, slot in learner._slots.items()}  # type: ignore[attr-defined]

    before = field.saved()
    calls, times = list(read_tape(field.folder / "ann.tape")), list[int]()
    for call, each in zip(calls, play_without(calls, lambda began: field.node(), 99), strict=True):
        if isinstance(call, Delivered) and call.sender == EVE and each.node.exchange.newest:  # type: ignore[attr-defined]
            times += each.node.exchange.newest.prototypes.event_ns.tolist()  # type: ignore[attr-defined]
    at_ns = times[len(times) // 2]
    assert 1 == times.count(at_ns)
    second = datetime.fromtimestamp(at_ns // S, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    begin, end = (f"{second}.{at_ns % S // 1000 + more:06d}" for more in (0, 1))  # The microsecond that it was in.
    report = said(field.forget("eve", "--node", field.folder / "ann.toml", "--since", begin, "--until", end, "--json"))
    assert "exact" == report["level"] and report["since_ns"] <= at_ns <= report["until_ns"]
    after = field.saved()
    assert offered(before)[EVE] - 1 == offered(after)[EVE] > 0 and offered(before)[BOB] == offered(after)[BOB]
