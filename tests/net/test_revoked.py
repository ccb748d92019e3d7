"""A revoked member finds every door closed, on members that were given the list and on those that only heard of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protovine.net import Envelope, issue, load_member, load_trust, revoke
from protovine.net.asking import ask_status
from protovine.net.ops.reload import Reloader
from protovine.net.transport import Endpoints, open_session
from tests.net.hub import Hub, Memory, node_of, sample, until
from tests.net.test_service import Processes, command, endpoint, nodes, prepare, wait_for

pytest.importorskip("zenoh", reason="the extra `net` is not installed")

__all__ = ["nodes"]


@pytest.fixture
def swarm(nodes: Processes) -> Processes:
    """Ann and bob with Zenoh sources and sinks, who have met; eve has a certificate, and runs no node."""
    folder = nodes.folder
    prepare(folder, ["ann", "bob"], metrics="127.0.0.1:0")
    issue(folder / "ca", "eve", folder / "eve", addresses=["127.0.0.1"], now=datetime.now(UTC))
    for name in ("ann", "bob"):
        file = folder / f"{name}.toml"
        text, _, _ = file.read_text().partition("[source]")
        source = f'[source]\nkind = "zenoh"\nkey = "{name}/in"\n[sink]\nkind = "zenoh"\nkey = "{name}/out"\n'
        file.write_text(text + source)
        nodes.start(name, file.name)
    wait_for(lambda: "met bob" in nodes.log("ann") and "met ann" in nodes.log("bob"), "both met")
    return nodes


def asked(folder: Path, name: str) -> dict[str, dict]:
    at = Endpoints([], [endpoint(folder, "ann")], "client", folder / name)
    return {each["name"]: each for each in map(json.loads, ask_status("barn", at, 1.0).values())}


def test_a_revoked_member_finds_every_door_closed(swarm: Processes) -> None:
    folder = swarm.folder
    data = json.loads((folder / "schema.json").read_text())
    ends = {name: endpoint(folder, name) for name in ("ann", "bob")}
    # Dan is an honest gateway, to tell whether the doors are open for others.
    issue(folder / "ca", "dan", folder / "dan", addresses=["127.0.0.1"], now=datetime.now(UTC))
    sessions = {
        (who, name): open_session(Endpoints([], [ends[name]], mode="client", certificates=folder / who))
        for who in ("eve", "dan")
        for name in ends
    }
    ids = itertools.count()
    # Predictions that someone hears, by the id of their sample.
    heard: dict[tuple[str, str], set[str]] = {key: set() for key in sessions}

    def hear(key: tuple[str, str], output: bytes) -> None:
        heard[key].add(json.loads(output)["id"])

    def teach(who: str, name: str) -> str:
        id = f"{who} {next(ids)}"
        sample = {"id": id, "x": dict.fromkeys(data["features"], 0.0), "y": data["classes"][0]}
        sessions[who, name].put(f"{name}/in", json.dumps(sample))
        return id

    def taught_and_heard(who: str, name: str) -> None:
        """Wait until a sample from now on is learnt, and its prediction is heard."""
        mine: set[str] = set()

        def done() -> bool:
            mine.add(teach(who, name))
            return bool(mine & heard[who, name])

        wait_for(done, f"{who} teaches {name} and reads its predictions")

    def all_know() -> bool:
        found = asked(folder, "dan")
        return len(found) == 2 and all(each["revocations"] == number for each in found.values())

    try:
        for key, session in sessions.items():
            session.declare_subscriber(f"{key[1]}/out", lambda put, key=key: hear(key, put.payload.to_bytes()))
        for name in ends:
            taught_and_heard("eve", name)
            taught_and_heard("dan", name)
        revoke(folder / "ca", "eve", now=datetime.now(UTC))
        shutil.copy(folder / "ca" / "revoked.pem", folder / "ann" / "revoked.pem")  # And nowhere else.
        number = load_trust(folder / "ca").number
        wait_for(all_know, "bob has the list of ann")
        wait_for(lambda: load_trust(folder / "bob").number == number, "bob keeps it for the next start")
        for name in ends:
            taught_and_heard("dan", name)  # The doors have opened again for everyone else.
        for each in heard.values():
            each.clear()
        stolen = {teach("eve", name) for _ in range(20) for name in ends}
        for name in ends:
            taught_and_heard("dan", name)
            assert not stolen & heard["dan", name], "eve teaches nobody"
            assert not heard["eve", name], "eve reads nothing"
        status = asked(folder, "dan")
        for name in ends:
            peers = {peer["name"]: (peer["alive"], peer["revoked"]) for peer in status[name]["peers"]}
            assert (False, True) == peers["eve"]
            assert [(True, False)] == [state for other, state in peers.items() if other != "eve"]
            at = Endpoints([], [ends[name]], mode="client", certificates=folder / "eve")
            assert {} == ask_status("barn", at, 2.0)
        shown = command("status", "--connect", ends["ann"], "--certificates", "dan", cwd=folder).stdout
        assert "revoked: eve" in " ".join(shown.split())
    finally:
        for session in sessions.values():
            session.close()
    assert "a newer revocation list came from another member" in swarm.log("bob")
    for name in ends:
        for record in map(json.loads, swarm.log(name).splitlines()):
            assert record["level"] == "info", record


def test_what_waits_to_be_trained_of_a_revoked_member_is_forgotten(tmp_path: Path) -> None:
    """In one process: ann has samples of bob in her inbox when his certificate is revoked; cat's stay."""
    from protovine.net import create_authority

    now = datetime.now(UTC)
    create_authority(tmp_path / "ca", "barn", now=now)
    for id, name in enumerate(("ann", "bob", "cat")):
        issue(tmp_path / "ca", name, tmp_path / name, now=now, id=id)

    async def play() -> None:
        from protovine.net.runtime import Runtime

        hub = Hub()
        made = []
        for member, name in enumerate(("ann", "bob", "cat")):
            node = node_of(member)
            node.train_period_ns = 10**15  # Nothing is trained meanwhile.
            envelope = Envelope(*load_member(tmp_path / name, now), incarnation=1, schema=b"v1")
            made.append(Runtime(node, envelope, Memory(hub, member)))
        running = [asyncio.ensure_future(each.run()) for each in made]
        ann, bob, cat = made
        try:
            await until(lambda: all(len(each.roster.peers) == 2 for each in made))
            sample(bob, 10)
            sample(cat, 6)
            await until(lambda: len(ann.node.inbox) == 16)
            revoke(tmp_path / "ca", "bob", now=now)
            shutil.copy(tmp_path / "ca" / "revoked.pem", tmp_path / "cat" / "revoked.pem")
            await Reloader(cat, certificates=tmp_path / "cat").look(everything=True)
            await until(lambda: 1 not in ann.roster.peers)
            assert 6 == len(ann.node.inbox)
            await until(lambda: ann.transport.reopened == cat.transport.reopened == 1)
            serial = f"{bob.envelope.serial:x}"
            assert {serial} == ann.transport.denied == cat.transport.denied
            await until(lambda: bob.status()["revoked"])  # He hears of it from the last who still spoke with him.
        finally:
            for each in made:
                each.stop()
            await asyncio.gather(*running)

    asyncio.run(play())
