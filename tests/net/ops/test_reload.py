"""What a running node takes up from changed files."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from protovine.errors import ConfigError
from protovine.net import Envelope, create_authority, issue, load_member, revoke
from protovine.net.clock import Clock
from protovine.net.ops.reload import Reloader
from protovine.net.ops.server import Server
from protovine.net.runtime import Runtime
from protovine.net.tally import PeerGroup
from tests.net.loopback import Wire, make_runtime, sample, swarm, until
from tests.net.ops.scrape import ask


@pytest.fixture
def today(tmp_path: Path) -> Path:
    """Swarm barn of today: runtimes read the system's clock."""
    now = datetime.now(UTC)
    create_authority(tmp_path / "authority", "barn", now=now)
    for id, name in enumerate(("ann", "bob", "cat")):
        issue(tmp_path / "authority", name, tmp_path / name, now=now, id=id)
    return tmp_path


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    log = logging.getLogger("protovine")
    before = log.level
    yield
    log.setLevel(before)


def with_members(home: Path, play: Callable[[list[Runtime]], Awaitable[None]]) -> None:
    """Call ``play`` with ann, bob and cat, who have met."""

    async def run() -> None:
        wire, now = Wire(), datetime.now(UTC)
        made = [
            make_runtime(wire, member, Envelope(*load_member(home / name, now), incarnation=1, schema=b"v1"))
            for member, name in enumerate(("ann", "bob", "cat"))
        ]
        running = [asyncio.ensure_future(runtime.run()) for runtime in made]
        try:
            await until(lambda: all(len(runtime.roster.peers) == 2 for runtime in made))
            await play(made)
        finally:
            for runtime in made:
                runtime.stop()
            await asyncio.gather(*running)

    asyncio.run(run())


def replace(source: Path, target: Path) -> None:
    partial = target.with_suffix(".part")
    shutil.copy(source, partial)
    os.replace(partial, target)


def test_a_revoked_member_is_dropped_while_others_stay(today: Path) -> None:
    async def play(made: list[Runtime]) -> None:
        ann, bob, cat = made
        watching = asyncio.ensure_future(Reloader(ann, certificates=today / "ann").watch(0.02))
        bob.take(sample(0.5, 1))
        cat.take(sample(0.5, 1))
        await until(lambda: ann.tally.received[1, "share"] == ann.tally.received[2, "share"] == 1)
        revoke(today / "authority", "bob", now=datetime.now(UTC))
        replace(today / "authority" / "revoked.pem", today / "ann" / "revoked.pem")
        await until(lambda: 1 not in ann.roster.peers)
        await until(lambda: ({2: "cat"}, {2}) == (ann.roster.names, ann.roster.alive))
        bob.take(sample(0.7, 1))
        cat.take(sample(0.7, 1))
        ann.take(sample(0.7, 1))
        await until(lambda: ann.tally.received[2, "share"] == 2 and cat.tally.received[0, "share"] == 1)
        await until(lambda: ann.tally.refused[PeerGroup.UNKNOWN, "keys"] == 1)
        # It may say hello as often as it likes.
        bob.transport.send_hello(0, bob.envelope.hello(bob.now_ns()), False)
        await until(lambda: ann.tally.refused[PeerGroup.UNKNOWN, "revoked"] >= 1)
        assert (1, 0) == (ann.tally.received[1, "share"], bob.tally.received[0, "share"])
        assert ["cat"] == [member.name for member in ann.envelope.members()]
        watching.cancel()

    with_members(today, play)


def test_an_unreadable_list_admits_no_member(today: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def play(made: list[Runtime]) -> None:
        ann = made[0]
        reloader = Reloader(ann, certificates=today / "ann")
        revoke(today / "authority", "bob", now=datetime.now(UTC))
        path = today / "ann" / "revoked.pem"
        replace(today / "authority" / "revoked.pem", path)
        await reloader.look()
        whole = path.read_bytes()
        for damage in (lambda: path.write_bytes(whole[:100]), lambda: path.unlink()):
            caplog.clear()
            damage()
            await reloader.look()
            assert "stays as it was" in caplog.text
            assert {2: "cat"} == ann.roster.names
            bob = made[1]
            bob.transport.send_hello(0, bob.envelope.hello(bob.now_ns()), False)
            await asyncio.sleep(0.05)
            assert {2: "cat"} == ann.roster.names
        path.write_bytes(whole)
        caplog.clear()
        caplog.set_level("INFO")
        await reloader.look()
        assert "1 certificates are revoked, 0 of them since" in caplog.text

    with_members(today, play)


def test_a_renewed_certificate_is_taken_up_while_messages_go_on(today: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The key and the certificate are replaced one after the other; peers keep their keys, and new ones get theirs."""
    caplog.set_level("INFO")

    async def play(made: list[Runtime]) -> None:
        ann, bob, cat = made
        reloader = Reloader(ann, certificates=today / "ann")
        before = ann.envelope.certificate_end_ns
        then = datetime.now(UTC) + timedelta(seconds=1)
        issue(today / "authority", "ann", today / "next", now=then, days=500, renew=True)
        replace(today / "next" / "member.key", today / "ann" / "member.key")
        (today / "ann" / "member.key").chmod(0o644)
        await reloader.look()
        assert "stays as it was" in caplog.text and before == ann.envelope.certificate_end_ns
        replace(today / "next" / "member.pem", today / "ann" / "member.pem")
        for _ in range(3):
            await reloader.look()
        assert 2 == caplog.text.count("stays as it was"), "once for each change of the files"
        (today / "ann" / "member.key").chmod(0o600)
        await reloader.look()
        assert "another certificate was taken up" in caplog.text and before < ann.envelope.certificate_end_ns
        end_ns = ann.envelope.certificate_end_ns

        def known(other: Runtime) -> bool:
            return [end_ns] == [each.certificate_end_ns for each in other.envelope.members() if each.id == 0]

        await until(lambda: known(bob) and known(cat))
        await until(lambda: all(len(each.roster.alive) == 2 for each in made))
        for each in made:
            each.take(sample(0.5, 1))
        for each in made:
            await until(
                lambda each=each: sum(n for (_, kind), n in each.tally.received.items() if kind == "share") == 2
            )
        assert not {reason for each in made for _, reason in each.tally.refused} & {"forged", "stale", "impostor"}
        # The old certificate can be revoked now.
        revoke(today / "authority", f"{ann_serial:x}", now=then)
        replace(today / "authority" / "revoked.pem", today / "bob" / "revoked.pem")
        await Reloader(bob, certificates=today / "bob").look(everything=True)
        await until(lambda: ann.trusting.trust.revoked)
        assert 0 in bob.roster.peers and not ann.trusting.revoked

    ann_serial = load_member(today / "ann", datetime.now(UTC))[0].certificate.serial_number
    with_members(today, play)


def test_a_certificate_of_another_member_is_not_taken_up(today: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def play(made: list[Runtime]) -> None:
        reloader = Reloader(made[0], certificates=today / "ann")
        for name in ("member.key", "member.pem"):
            replace(today / "bob" / name, today / "ann" / name)
        (today / "ann" / "member.key").chmod(0o600)
        await reloader.look()
        assert "the certificate is of protovine://barn/bob/1, this is protovine://barn/ann/0" in caplog.text
        assert "ann" == made[0].envelope.member.name

    with_members(today, play)


def test_a_certificate_that_ends_is_named_once_a_day_and_on_every_page(
    today: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A node learns nothing of its own certificate from others: they only fall silent."""
    wall_ns = [time.time_ns()]
    days, text = timedelta(days=1).total_seconds() * 1e9, "the certificate of this node "

    async def play() -> None:
        identity, trust = load_member(today / "ann", datetime.now(UTC))
        envelope = Envelope(identity, trust, incarnation=1, schema=b"v1")
        ann = make_runtime(Wire(), 0, envelope, clock=Clock(lambda: wall_ns[0], lambda: wall_ns[0]))
        running = asyncio.ensure_future(ann.run())
        reloader = Reloader(ann, certificates=today / "ann")
        with Server(ann, "127.0.0.1:0", peers_expected=False) as server:
            for ahead, ready, times, word in (
                (300, 200, 0, ""),
                (345, 200, 1, "ends in 20 days"),
                (366, 503, 2, "ended on"),
            ):
                wall_ns[0] = time.time_ns() + round(ahead * days)
                for _ in range(3):
                    await reloader.look()
                assert times == caplog.text.count(text)
                status, body, _ = await ask(server, "/readyz")
                assert ready == status
                warned = [each for each in json.loads(body)["warnings"] if each.startswith(text + word)]
                assert bool(word) == len(warned) and warned == [
                    each for each in ann.status()["warnings"] if text in each
                ]
            now = datetime.fromtimestamp(wall_ns[0] / 1e9, UTC)
            issue(today / "authority", "ann", today / "next", now=now, renew=True)
            for name in ("member.pem", "member.key"):
                replace(today / "next" / name, today / "ann" / name)
            ann.renew(load_member(today / "ann", now)[0])
            assert 200 == (await ask(server, "/readyz"))[0] and not ann.status()["warnings"]
        ann.stop()
        await running

    asyncio.run(play())


def test_another_authority_is_not_taken_up(today: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def play(made: list[Runtime]) -> None:
        ann = made[0]
        reloader = Reloader(ann, certificates=today / "ann")
        replace(today / "authority" / "authority.pem", today / "ann" / "authority.pem")
        await reloader.look()
        assert "next start" not in caplog.text, "it is the same"
        create_authority(today / "twin", "barn", now=datetime.now(UTC))
        for name in ("authority.pem", "revoked.pem"):
            replace(today / "twin" / name, today / "ann" / name)
        await reloader.look()
        assert "next start" in caplog.text
        assert {1: "bob", 2: "cat"} == ann.roster.names

    with_members(today, play)


def test_settings_that_can_be_taken_up_are_and_others_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tables: dict[str, Any] = {"node": {"log_level": "info", "snapshot_s": 30.0}, "network": {"listen": ["a"]}}
    settings = tmp_path / "node.toml"
    settings.write_text("1")

    def read() -> dict[str, Any]:
        if settings.read_text() == "bad":
            raise ConfigError("node.snapshot_s must be >= 1, got 0")
        return tables

    async def play() -> None:
        async with swarm("ann") as (ann,):
            reloader = Reloader(ann, read=read, settings=settings)
            nonlocal tables
            tables = {"node": {"log_level": "debug", "snapshot_s": 5, "seed": 3}, "network": {"listen": ["b"]}}
            await reloader.look()
            assert 30.0 == ann.snapshots.period_s  # The file has not changed.
            settings.write_text("22")
            await reloader.look()
            assert (5.0, logging.DEBUG) == (ann.snapshots.period_s, logging.getLogger("protovine").level)
            assert ["network.listen changed", "node.seed changed"] == sorted(
                record.getMessage().partition(" and")[0] for record in caplog.records if record.levelname == "WARNING"
            )
            caplog.clear()
            await reloader.look(everything=True)
            assert "" == caplog.text.replace("\n", "")
            settings.write_text("bad")
            await reloader.look()
            assert "got 0" in caplog.text and ann.snapshots.period_s == 5.0

    asyncio.run(play())


def test_a_signal_reloads_at_once(tmp_path: Path) -> None:
    seconds = [30.0]

    async def play() -> None:
        async with swarm("ann") as (ann,):
            reloader = Reloader(ann, read=lambda: {"node": {"snapshot_s": seconds[0]}})
            asyncio.get_running_loop().add_signal_handler(1, reloader.request)
            watching = asyncio.ensure_future(reloader.watch(60.0))
            await asyncio.sleep(0)
            seconds[0] = 7.0
            began = time.monotonic()
            os.kill(os.getpid(), 1)
            await until(lambda: ann.snapshots.period_s == 7.0)
            assert time.monotonic() - began < 5
            watching.cancel()
            asyncio.get_running_loop().remove_signal_handler(1)

    asyncio.run(play())


def test_a_bug_in_reading_one_file_does_not_end_the_watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found: list[float | Exception] = [30.0]

    def read() -> dict[str, Any]:
        if isinstance(found[0], Exception):
            raise found[0]
        return {"node": {"snapshot_s": found[0]}}

    async def play() -> None:
        async with swarm("ann") as (ann,):
            reloader = Reloader(ann, read=read)
            watching = asyncio.ensure_future(reloader.watch())
            found[0] = ZeroDivisionError("none of ours")
            reloader.request()
            await until(lambda: "none of ours" in caplog.text)
            found[0] = 5.0
            reloader.request()
            await until(lambda: 5.0 == ann.snapshots.period_s)
            watching.cancel()

    asyncio.run(play())
    assert "a bug while files were reloaded" in caplog.text
