"""A tombstone in a swarm in virtual time: it reaches all members, and nothing brings the member's items back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from protovine.exchange import Forgotten
from protovine.net import Identity, Trust, bury, load_trust
from protovine.net.ops.metrics import families, read
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
