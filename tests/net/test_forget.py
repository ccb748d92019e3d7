"""A tombstone in a swarm in virtual time: it reaches all members, and nothing brings the member's items back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from protovine.exchange import Forgotten
from protovine.net import Identity, Tombstone, Trust, bury, issue, load_trust, revoke
from protovine.net.operate import load_signer
from protovine.net.ops.metrics import families, read
from protovine.net.ops.reload import Reloader
from protovine.net.security.orders import offer, sign_tombstone
from protovine.net.transport import Channel
from protovine.records import Received, Record
from tests.net.conftest import NOW
from tests.net.world import HOUR, MINUTE, Disk, Process, S, World, certify

EVE = 2
MEMBERS = 4


@pytest.fixture
def certified(tmp_path: Path) -> tuple[dict[str, Identity], Trust]:
    return certify(tmp_path, MEMBERS)


class Swarm(World):
    """Four members with disks, who have all heard each other."""

    def __init__(self, certified: tuple[dict[str, Identity], Trust], folder: Path) -> None:
        super().__init__(*certified)
        self.folder = folder
        self.disks = [Disk() for _ in range(MEMBERS)]
        self.made: list[Process] = [self.start(each, self.disks[each]) for each in range(MEMBERS)]
        self.until(lambda: all(len(each.runtime.roster.peers) == MEMBERS - 1 for each in self.processes), HOUR)
        self.teach()

    def teach(self, *members: int, count: int = 20) -> None:
        for _ in range(count):
            for each in self.processes:
                if not members or each.member in members:
                    each.take()
            self.run(S)

    def bury(self) -> Trust:
        """Sign a tombstone for eve, of all until now."""
        from datetime import UTC, datetime

        now = datetime.fromtimestamp(self.now_ns // S, UTC)
        bury(self.folder / "authority", "node-2", now=now)
        return load_trust(self.folder / "authority")

    def ordered(self, operator: str = "kim") -> bytes:
        """A message with an operator's tombstone for eve, of all until now."""
        folder = self.folder / operator
        if not folder.exists():
            issue(self.folder / "authority", operator, folder, now=NOW, operator=True, may=["forget"])
        eve = self.members["node-2"].member  # type: ignore[index]
        return offer([sign_tombstone(load_signer(folder), Tombstone(eve, 0, self.now_ns), self.now_ns)])

    def give(self, member: int, message: bytes) -> None:
        self.of(member).arrive(Channel.REVOCATIONS, message)

    def of(self, member: int) -> Process:
        return next(each for each in self.processes if each.member == member)


def eve_in(process: Process) -> tuple[int, bool]:
    """Prototypes of eve, and whether the learner knows her as a sender."""
    learner = process.runtime.node.learner
    return int((learner.origins() == EVE).sum()), EVE in learner.trust  # type: ignore[attr-defined]


def refused(process: Process) -> int:
    forgotten: Forgotten = process.runtime.node.exchange.forgotten
    return forgotten.refused[EVE]


def test_a_tombstone_reaches_all_members_also_one_that_was_away(
    certified: tuple[dict[str, Identity], Trust], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = Swarm(certified, tmp_path)
    assert all(eve_in(each)[1] for each in world.processes if each.member != EVE)
    away = world.of(3)
    away.save()
    world.kill(away)
    trust = world.bury()
    world.of(0).runtime.update_trust(trust)  # And nobody else is told.
    world.until(lambda: all(each.runtime.trusting.trust is not None and each.runtime.trusting.trust.tombstones
                            for each in world.processes), MINUTE)  # fmt: skip
    for member in (0, 1):
        assert (0, False) == eve_in(world.of(member))
        assert world.of(member).runtime.node.learner.trust.keys() >= {1 - member}, "others stay"
        view = world.of(member).runtime.node.views[EVE]
        assert (0, 0) == (view.samples_learnt, view.created_ns)
    assert "forgot what node-2 shared until" in caplog.text and "at most" in caplog.text
    back = world.start(3, world.disks[3])  # It has the old list, and a snapshot with eve's prototypes.
    assert eve_in(back)[1]
    world.until(lambda: not eve_in(back)[1], MINUTE)
    assert back.runtime.trusting.trust is not None and trust.number == back.runtime.trusting.trust.number
    # The member itself keeps what it learnt, and takes part again with newer items.
    assert len(world.of(EVE).runtime.node.learner) and "all members forget what this node shared" in caplog.text
    world.teach()
    for member in (0, 1, 3):
        assert eve_in(world.of(member))[1], "newer items are learnt"
    status = world.of(0).runtime.status()["forgotten"]
    assert [(EVE, "node-2")] == [(each["id"], each["name"]) for each in status]
    shown = {sample.name: sample.value for each in families(read(world.of(0).runtime)) for sample in each.samples}
    assert (1.0, 1.0) == (shown["protovine_tombstones"], shown["protovine_tombstones_applied_total"])


def test_items_that_still_circulate_are_refused(certified: tuple[dict[str, Identity], Trust], tmp_path: Path) -> None:
    world = Swarm(certified, tmp_path)
    world.part((0, EVE))  # Nothing of eve reaches member 0 any more; she goes on to send it.
    before = int(world.of(0).runtime.node.views[EVE].samples_learnt)
    world.teach(EVE, count=10)
    world.of(0).runtime.update_trust(world.bury())
    world.until(lambda: bool(world.of(EVE).runtime.trusting.trust.tombstones), HOUR)  # type: ignore[union-attr]
    assert (0, False) == eve_in(world.of(0)) and before == 20
    world.part()
    world.until(lambda: world.heard(world.of(EVE), world.of(0)), HOUR)
    assert 10 == refused(world.of(0)) and (0, False) == eve_in(world.of(0))
    shown = {
        (sample.name, sample.labels.get("peer")): sample.value
        for each in families(read(world.of(0).runtime))
        for sample in each.samples
    }
    assert 10.0 == shown["protovine_forgotten_items_total", "node-2"]
    world.teach(EVE, count=3)
    world.until(lambda: eve_in(world.of(0))[1], HOUR)
    assert 10 == refused(world.of(0))


def test_a_snapshot_from_before_the_tombstone_does_not_bring_the_member_back(
    certified: tuple[dict[str, Identity], Trust], tmp_path: Path
) -> None:
    world = Swarm(certified, tmp_path)
    old = world.of(0)
    old.save()
    backup = world.disks[0].copy()
    trust = world.bury()
    old.runtime.update_trust(trust)
    world.run(MINUTE)
    world.kill(old)
    world.trust = trust  # Its folder has the list.
    restored = world.start(0, backup)
    assert (0, False) == eve_in(restored), "before it says hello to anybody"
    world.until(lambda: world.heard(world.of(EVE), restored), HOUR)
    assert (0, False) == eve_in(restored) and refused(restored) > 0, "eve sends all again, and it is refused"
    restored.save()
    world.kill(restored)
    again = world.start(0, backup)
    assert 0 == again.runtime.tally.buried, "its snapshot says that it has forgotten already"
    assert again.runtime.node.exchange.forgotten.has(EVE, 0, trust.tombstones[0].until_ns)


def test_a_state_that_forgot_goes_on_reading_newer_messages(
    certified: tuple[dict[str, Identity], Trust], tmp_path: Path
) -> None:
    """Also in the middle of a log whose scales came before the tombstone."""
    world = Swarm(certified, tmp_path)
    world.of(0).runtime.update_trust(world.bury())
    for _ in range(5):
        world.teach(count=5)
    process = world.of(0)
    assert world.heard(world.of(EVE), process) and not process.runtime.tally.bugs
    assert not any(reason == "payload" for _, reason in process.runtime.tally.refused)
    proba = process.runtime.node.learner.predict(np.zeros(2)).proba
    assert np.isclose(proba.sum(), 1.0)


def test_an_operator_who_may_forget_needs_no_authority(
    certified: tuple[dict[str, Identity], Trust], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = Swarm(certified, tmp_path)
    away = world.of(3)
    away.save()
    world.kill(away)
    caplog.set_level("INFO", "protovine")
    world.give(0, world.ordered())  # And nobody else is told.
    world.until(lambda: all(each.runtime.trusting.tombstones for each in world.processes), MINUTE)
    assert [(0, False)] * 2 == [eve_in(world.of(member)) for member in (0, 1)]
    assert 3 == caplog.text.count("operator kim: all members forget what node-2 shared until")
    back = world.start(3, world.disks[3])  # A snapshot with eve's prototypes.
    assert eve_in(back)[1]
    world.until(lambda: not eve_in(back)[1], MINUTE)
    learnt = world.of(0).runtime.tally.buried
    world.give(0, world.ordered())  # Another one, of a longer time.
    world.give(0, world.ordered())  # The same again, with another signature.
    world.run(MINUTE)
    assert learnt + 1 == world.of(0).runtime.tally.buried and 2 == len(world.of(3).runtime.trusting.tombstones)
    shown = {sample.name: sample.value for each in families(read(world.of(0).runtime)) for sample in each.samples}
    assert (2.0, 2.0) == (shown["protovine_tombstones"], shown["protovine_tombstones_applied_total"])
    assert [(EVE, "node-2")] == [(each["id"], each["name"]) for each in world.of(3).runtime.status()["forgotten"]]
    world.teach()
    assert all(eve_in(world.of(member))[1] for member in (0, 1, 3)), "newer items are learnt"


def test_a_revoked_operator_destroys_nothing_more(
    certified: tuple[dict[str, Identity], Trust], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = Swarm(certified, tmp_path)
    message = world.ordered("mallory")
    world.give(0, message)
    world.run(MINUTE)
    assert (0, False) == eve_in(world.of(1))
    revoke(tmp_path / "authority", "mallory", now=NOW)
    trust = load_trust(tmp_path / "authority")
    world.of(1).runtime.update_trust(trust)  # The others hear of it from member 1.
    world.until(lambda: all(trust.number == each.runtime.trusting.trust.number for each in world.processes), MINUTE)  # type: ignore[union-attr]
    assert [[]] * MEMBERS == [each.runtime.trusting.tombstones for each in world.processes]
    assert "tombstones of operators who were revoked (mallory) are dropped" in caplog.text
    world.give(3, message)  # Mallory tries again.
    world.run(MINUTE)
    assert [] == world.of(3).runtime.trusting.tombstones
    assert 1 == sum(count for (_, reason), count in world.of(3).runtime.tally.refused.items() if reason == "operator")


def test_a_member_that_was_away_loses_nothing_to_an_operator_who_was_revoked_meanwhile(
    certified: tuple[dict[str, Identity], Trust], tmp_path: Path
) -> None:
    world = Swarm(certified, tmp_path)
    away = world.of(3)
    away.save()
    world.kill(away)
    world.give(0, world.ordered("mallory"))
    world.run(MINUTE)
    assert (0, False) == eve_in(world.of(1))
    revoke(tmp_path / "authority", "mallory", now=NOW)
    trust = load_trust(tmp_path / "authority")
    for each in list(world.processes):
        each.runtime.update_trust(trust)
    back = world.start(3, world.disks[3])
    assert eve_in(back)[1]
    world.run(10 * MINUTE)
    assert eve_in(back)[1] and [] == back.runtime.node.exchange.forgotten.senders


def test_operators_tombstones_are_kept_for_the_next_start(
    certified: tuple[dict[str, Identity], Trust], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = Swarm(certified, tmp_path)
    one, folder = world.of(0), tmp_path / "node-0"
    one.save()
    Reloader(one.runtime, certificates=folder)
    world.give(0, world.ordered())
    assert (folder / "tombstones.bin").exists()
    world.kill(one)
    alone = world.start(0, world.disks[0])  # Its snapshot is from before.
    assert eve_in(alone)[1]
    Reloader(alone.runtime, certificates=folder)
    assert (0, False) == eve_in(alone), "before it says hello to anybody"
    assert alone.runtime.node.exchange.forgotten.senders == [EVE]
    world.kill(alone)
    alone = world.start(0, world.disks[0], ahead_ns=-world.now_ns)  # After a power cut, before NTP.
    assert eve_in(alone)[1] and alone.runtime.warnings
    Reloader(alone.runtime, certificates=folder)
    assert (0, False) == eve_in(alone)
    # A file that is damaged, or whose operator was revoked, is said, and nothing is forgotten by it.
    revoke(tmp_path / "authority", "kim", now=NOW)
    world.trust = load_trust(tmp_path / "authority")
    for data, words in ((None, "1 of 1 tombstones of operators do not hold"), (b"noise", "stay as they were")):
        if data is not None:
            (folder / "tombstones.bin").write_bytes(data)
        world.kill(alone)
        alone = world.start(0, world.disks[0])
        Reloader(alone.runtime, certificates=folder)
        assert eve_in(alone)[1] and words in caplog.text


def test_what_a_tombstone_leaves_is_not_learnt_twice_after_a_restart(
    certified: tuple[dict[str, Identity], Trust], tmp_path: Path
) -> None:
    """Eve need not send again what a snapshot has and the tombstone does not name."""
    world = Swarm(certified, tmp_path)
    trust = world.bury()  # Of what she has shared until now.
    world.teach()
    old = world.of(0)
    assert world.heard(world.of(EVE), old)
    old.save()
    world.kill(old)
    world.trust = trust  # Its folder has the list, and it starts from a snapshot that knows nothing of it.
    came: list[int] = []

    def recorded(process: Process, record: Record) -> None:
        if process.member == 0 and isinstance(record, Received) and record.peer == EVE:
            came.append(record.prototypes)

    world.recorded = recorded
    again = world.start(0, world.disks[0])
    assert again.runtime.node.exchange.forgotten.has(EVE, 0, trust.tombstones[0].until_ns)
    world.until(lambda: EVE in again.runtime.roster.peers and world.heard(world.of(EVE), again), HOUR)
    world.run(MINUTE)
    assert 0 == sum(came)
    world.teach(EVE, count=3)
    world.until(lambda: world.heard(world.of(EVE), again), HOUR)
    assert 3 == sum(came) and eve_in(again)[1]
