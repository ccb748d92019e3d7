"""Tapes of real nodes: one for each start, kept in order, also on a full disk; `protovine replay` plays them again."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import pytest

from protovine.errors import ConfigError
from protovine.net import member
from protovine.net.member import Plan, start_member
from protovine.net.security.identity import MemberName
from protovine.net.security.plain import PlainEnvelope
from protovine.net.snapshots import Snapshots
from protovine.net.store import Store
from protovine.net.tally import Tally
from protovine.net.tapes import TapeFile
from protovine.net.transport import Endpoints, ZenohTransport
from protovine.snapshot import unpack
from protovine.tape import Began, Restored, TapedNode, Ticked, play, read_tape, read_tapes
from protovine.tape.files import encode
from tests.net.hub import node_of
from tests.net.test_forget_state import ANN, Field, field, said
from tests.net.test_service import LIMIT_S, Processes, command, lines, nodes, prepare, wait_for

pytest.importorskip("zenoh", reason="the extra `net` is not installed")

__all__ = ["field", "nodes"]

S = 10**9


def test_each_start_has_a_tape_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "ann.tape"
    path.write_bytes(b"")
    path.chmod(0o644)  # As versions before this one made it.
    for start in range(1, 6):
        with TapeFile(path, kept=3) as tape:
            tape.write(Ticked(start))
    found = read_tapes(path)
    assert [("ann.tape.0003", 3), ("ann.tape.0004", 4), ("ann.tape", 5)] == [(each.name, each.number) for each in found]
    assert [[Ticked(3)], [Ticked(4)], [Ticked(5)]] == [list(each.calls()) for each in found]
    assert {0o600} == {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
    with TapeFile(path, kept=1) as tape:
        tape.write(Ticked(6))
        tape.restart()
        tape.write(Ticked(7))
    tape.write(Ticked(8))  # A message that was on its way when the node left.
    assert [[Ticked(7)]] == [list(each.calls()) for each in read_tapes(path)]
    with pytest.raises(ConfigError, match=r"node\.tape: cannot write .*none"):
        TapeFile(tmp_path / "none" / "ann.tape")


def test_starts_that_come_to_nothing_leave_the_tapes_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service manager starts a node again and again where the network cannot be opened."""
    plan = Plan(
        MemberName("barn", "ann", 0),
        Endpoints([], []),
        lambda incarnation, peers: node_of(0),
        lambda incarnation: PlainEnvelope(MemberName("barn", "ann", 0), incarnation=incarnation, schema=bytes(16)),
        tape=tmp_path / "ann.tape",
        tapes_max=2,
    )

    async def start() -> None:
        with start_member(plan) as started:
            started.runtime.stop()
            await started.runtime.run()

    for _ in range(3):
        asyncio.run(start())
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert {"ann.tape", "ann.tape.0002"} == set(before)

    def refuse(*_: object) -> None:
        raise ConfigError("the network cannot be opened")

    with monkeypatch.context() as patched:
        patched.setattr(ZenohTransport, "open", refuse)
        for _ in range(3):
            with pytest.raises(ConfigError, match="cannot be opened"):
                asyncio.run(start())
    assert before == {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    with monkeypatch.context() as patched:
        patched.setattr(member, "assemble", refuse)  # As where the state is of other settings.
        for _ in range(3):
            with pytest.raises(ConfigError, match="cannot be opened"):
                asyncio.run(start())
    assert before == {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    asyncio.run(start())
    assert {"ann.tape", "ann.tape.0003"} == {each.name for each in tmp_path.iterdir()}


def test_a_node_goes_on_when_its_tape_cannot_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with TapeFile(tmp_path / "ann.tape") as tape, Store(tmp_path / "state") as store:
        node = TapedNode(node_of(0), tape.write)
        snapshots = Snapshots(store, lambda: {"node": node.snapshot()}, lambda: 0, Tally(), 1.0)
        snapshots.tape = tape
        node.observe([0.0, 1.0], 0, now_ns=S)
        snapshots.save()
        assert [] == snapshots.warnings
        tape._file.close()
        tape._file = open("/dev/full", "wb")  # noqa: SIM115  `tape` closes it.
        for at in range(2, 2000):
            node.observe([0.0, at], at % 2, now_ns=at * S)
        snapshots.save()
        saved = store.load().state
    assert 1999 == node.samples_learnt == unpack(saved["node"])["samples_learnt"], "it learns and saves"  # type: ignore[index]
    assert [f"the tape {tmp_path / 'ann.tape'} has ended: No space left on device"] == snapshots.warnings
    said = [record.message for record in caplog.records]
    assert 1 == len(said) and "what follows cannot be replayed" in said[0]
    assert 2 == len(list(read_tape(tmp_path / "ann.tape"))), "what was taken down before is whole"


def test_a_snapshot_is_never_ahead_of_the_tape(tmp_path: Path) -> None:
    """So a kill in the next moment leaves a tape that leads to the snapshot."""
    with TapeFile(tmp_path / "ann.tape") as tape, Store(tmp_path / "state") as store:
        node = TapedNode(node_of(0), tape.write)
        snapshots = Snapshots(store, lambda: {"node": node.snapshot()}, lambda: 0, Tally(), 1.0)
        snapshots.tape = tape
        for at in range(1, 4):
            node.observe([0.0, 1.0], 0, now_ns=at * S)
            snapshots.save()
            again = node_of(0)
            play(read_tape(tmp_path / "ann.tape"), again)
            state = store.load().state
            assert state is not None and again.snapshot() == state["node"]


def test_replay_plays_every_start_of_a_real_node_and_forgets_across_them(nodes: Processes) -> None:
    """Ann ends in order, is killed, and ends again; bob and eve go on."""
    folder = nodes.folder
    prepare(folder, ["ann", "bob", "eve"], rows=400, snapshot_s=1)
    names, *rows = (folder / "rows.csv").read_text().splitlines(keepends=True)
    (folder / "rows.csv").write_text(names + 30 * "".join(rows))  # Bob and eve share as long as ann starts.
    for name in ("bob", "eve"):
        nodes.start(name, f"{name}.toml")
    state = folder / "ann-state" / "snapshot.bin"

    def learnt() -> tuple[int, float]:
        """What the saved state has learnt: own samples, and items of the peer with fewest."""
        if not state.exists():
            return 0, 0.0
        node = unpack(unpack(state.read_bytes())["node"])
        offered = {peer: node["learner"]["arrays"]["offered"][slot] for peer, slot in node["learner"]["slots"]}
        return node["samples_learnt"], min(offered.get(peer, 0.0) for peer in (1, 2))

    def learns_on(starts: int) -> subprocess.Popen:
        before = learnt()[0]
        ann = nodes.start_python("ann", "ann.toml")
        wait_for(lambda: nodes.log("ann").count("met eve") == starts, "ann meets eve")
        wait_for(lambda: learnt()[0] > before + 10, "a snapshot with more")
        return ann

    for starts, end in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGTERM), 1):
        ann = learns_on(starts)
        wait_for(lambda: learnt()[1] > 0, "a snapshot with items of bob and eve")
        if starts == 2:
            seen = command("replay", "ann.toml", "--json", cwd=folder)  # While it runs.
            assert (0, 2) == (seen.returncode, len(json.loads(seen.stdout)["starts"])), seen.stdout + seen.stderr
        ann.send_signal(end)
        ann.wait(LIMIT_S)
    done = command("replay", "ann.toml", cwd=folder)
    said = done.stdout.splitlines()
    assert 0 == done.returncode, done.stdout + done.stderr
    assert ["ann.tape.0001", "ann.tape.0002", "ann.tape"] == [line.partition(":")[0] for line in said[:3]]
    assert said[0].endswith("begins with nothing")
    assert said[1].endswith("goes on from ann.tape.0001") and said[2].endswith("goes on from ann.tape.0002")
    assert "the saved state: ann.tape leads to it, to the last bit" == said[3]
    (folder / "ann.tape.0002").rename(folder / "away")
    gap = command("replay", "ann.toml", cwd=folder)
    assert 1 == gap.returncode and "ann.tape: " in gap.stdout and "BROKEN: " in gap.stdout
    (folder / "away").rename(folder / "ann.tape.0002")
    forgot = command("state", "forget", "eve", "--node", "ann.toml", "--json", cwd=folder)
    report = json.loads(forgot.stdout)
    assert ("exact", [], 0) == (report["level"], report["remains"], report["items"]), report
    assert "learnt again from the tapes of 3 starts, which lead to the saved state" == report["how"]
    assert report["gone"] != "nothing was there"
    # And another one, after another start.
    ann = learns_on(4)
    ann.send_signal(signal.SIGTERM)
    ann.wait(LIMIT_S)
    done = command("replay", "ann.toml", cwd=folder)
    assert 0 == done.returncode and "member 2 was forgotten in the saved state" in done.stdout, done.stdout
    report = json.loads(command("state", "forget", "bob", "--node", "ann.toml", "--json", cwd=folder).stdout)
    assert ("exact", "learnt again from the tapes of 4 starts, which lead to the saved state") == (
        report["level"],
        report["how"],
    )
    assert all("Traceback" not in nodes.log(name) for name in ("ann", "bob", "eve")) and lines(folder / "ann.out")


def test_what_replay_cannot_play_is_said(field: Field, tmp_path: Path) -> None:
    file = field.folder / "ann.toml"
    assert 0 == command("replay", str(file), cwd=tmp_path).returncode
    # Cleaned without its settings, the state is one that no tape leads to.
    said(field.forget("eve", "--state", field.state, "--json"))
    done = command("replay", str(file), cwd=tmp_path)
    assert 1 == done.returncode and "NO TAPE leads to the saved state: " in done.stdout
    assert "the state was changed since" in done.stdout
    for words, why in (
        (("--preset", "default"), "are for folders of runs"),
        (("--seed", "1"), "are for folders of runs"),
    ):
        done = command("replay", str(file), *words, cwd=tmp_path)
        assert (2, True) == (done.returncode, why in done.stderr)
    (field.folder / "ann.tape").write_bytes(b"\xff\xff\xff\xff")
    done = command("replay", str(file), cwd=tmp_path)
    assert 1 == done.returncode and "ann.tape: BROKEN: damaged: an entry of 4294967295 bytes" in done.stdout
    assert "NO TAPE leads to the saved state: ann.tape is damaged" in done.stdout
    (field.folder / "ann.tape").unlink()
    done = command("replay", str(file), cwd=tmp_path)
    assert (2, True) == (done.returncode, "there is no tape at" in done.stderr)
    file.write_text(file.read_text().replace('tape = "ann.tape"\n', ""))
    done = command("replay", str(file), cwd=tmp_path)
    assert (2, True) == (done.returncode, "names no tape (node.tape)" in done.stderr)


def test_a_damaged_tape_is_named_and_the_others_are_played(field: Field, tmp_path: Path) -> None:
    """In its middle, in the state that it begins with, or as a whole."""
    file, tape, first = field.folder / "ann.toml", field.folder / "ann.tape", field.folder / "ann.tape.0001"
    state = unpack((field.state / "snapshot.bin").read_bytes())
    calls = [Began(0, ANN, 2, ()), Restored(field.end_ns, bytes(state["node"])), Ticked(field.end_ns)]
    tape.rename(first)
    data, good = first.read_bytes(), b"".join(map(encode, calls))
    tape.write_bytes(good)
    assert 0 == command("replay", str(file), cwd=tmp_path).returncode
    for path, damaged, why in (
        (tape, good[:3000] + b"\xff" + good[3001:], "damaged: the state in it: the snapshot is damaged"),
        (tape, b"this is no tape", "damaged: an entry of "),
        (tape, good[: -len(encode(calls[-1]))] + encode(calls[-1])[:4] + b"x" * 99, "damaged: "),
        (first, data[:4000] + bytes(64) + data[4064:], "damaged: "),
    ):
        first.write_bytes(data)
        tape.write_bytes(good)
        path.write_bytes(damaged)
        done = command("replay", str(file), cwd=tmp_path)
        assert (1, "") == (done.returncode, done.stderr)
        said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
        assert f"BROKEN: {why}" in said[path.name], done.stdout
        assert {"ann.tape.0001", "ann.tape"} < set(said)
        if path is tape:
            assert said["ann.tape.0001"].endswith("begins with nothing")
            assert "ann.tape.0001 leads to it, to the last bit" == said["the saved state"]
        seen = json.loads(command("replay", str(file), "--json", cwd=tmp_path).stdout)
        assert not seen["good"] and 2 == len(seen["starts"])


def test_replay_and_other_commands_say_that_the_newest_snapshot_is_damaged(field: Field, tmp_path: Path) -> None:
    newest = field.state / "snapshot.bin"
    newest.write_bytes(newest.read_bytes()[:-1])
    note = f"{newest} is damaged; snapshot.previous.bin, which was saved before it, is taken instead"
    done = command("replay", str(field.folder / "ann.toml"), cwd=tmp_path)
    assert 0 == done.returncode and [note] == [line for line in done.stdout.splitlines() if "damaged" in line]
    for words in (("show", field.state), ("export", field.state, "copy"), ("import", field.state, "other")):
        done = command("state", *map(str, words), cwd=tmp_path)
        assert (0, f"warning: {note}\n") == (done.returncode, done.stderr)
    (field.state / "snapshot.previous.bin").write_bytes(b"?")
    done = command("replay", str(field.folder / "ann.toml"), cwd=tmp_path)
    assert 1 == done.returncode and "begins with nothing" in done.stdout
    assert f"NO TAPE leads to the saved state: {newest} is damaged: " in done.stdout
