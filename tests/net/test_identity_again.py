"""A member that starts again, with or without its state, and one that runs twice, in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from protovine.errors import RemoteProtocolError
from protovine.net import Identity, Trust, issue, load_identity
from protovine.net.transport import Channel
from tests.net.conftest import NOW
from tests.net.world import DAY, HOUR, MINUTE, Disk, Process, S, World, certify, repeatable, teach


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Identity], Trust]:
    return certify(tmp_path_factory.mktemp("certificates"), 3)


@pytest.fixture(params=["certificates", "plain"])
def world(request: pytest.FixtureRequest, certified: tuple[dict[str, Identity], Trust]) -> World:
    with repeatable():
        yield World(*certified) if request.param == "certificates" else World()


def both_hear(world: World, one: Process, two: Process) -> bool:
    return world.heard(one, two) and world.heard(two, one)


@pytest.mark.parametrize("down_ns", [S // 10, 5 * S, 20 * S])
def test_a_restart_without_state_within_the_same_minute_is_heard_at_once(world: World, down_ns: int) -> None:
    one, two, three = (world.start(member) for member in range(3))
    teach(world, one, two, three)
    world.until(lambda: both_hear(world, one, two), 5 * S)
    before = two.runtime.node.incarnation
    world.kill(two)
    world.run(down_ns)
    again = world.start(1)
    assert again.runtime.node.incarnation == before, "the minute counter did not move"
    teach(world, one, again, three)
    took_ns = world.until(lambda: both_hear(world, one, again) and both_hear(world, three, again), 10 * S)
    assert took_ns < 5 * S and again.runtime.node.incarnation == before + 1
    assert not again.runtime.claim.shared(world.now_ns) and not again.runtime.warnings
    # What was learnt of it before is not learnt twice, and it has what the others had shared.
    assert len(again.runtime.node.learner) > 1


def test_restarts_that_outrun_the_minutes_and_a_lost_clock_are_heard(world: World) -> None:
    one = world.start(0)
    for _ in range(5):
        two = world.start(1)
        teach(world, one, two, count=3)
        world.until(lambda two=two: both_hear(world, one, two), 5 * S)
        world.kill(two)
        world.run(2 * S)
    # Its clock was a day ahead, and then its state was lost.
    two = world.start(1, ahead_ns=23 * HOUR)
    teach(world, one, two)
    world.until(lambda: both_hear(world, one, two), 10 * S)
    ahead = two.runtime.node.incarnation
    world.kill(two)
    world.run(MINUTE)
    two = world.start(1)
    assert two.runtime.node.incarnation < ahead - 1000
    teach(world, one, two)
    world.until(lambda: both_hear(world, one, two), 5 * S)
    assert two.runtime.node.incarnation == ahead + 1


def test_a_restart_is_heard_although_half_of_everything_is_lost(world: World) -> None:
    one, two = world.start(0), world.start(1)
    teach(world, one, two)
    world.until(lambda: both_hear(world, one, two), 5 * S)
    world.kill(two)
    world.loss = 0.5
    again = world.start(1)
    teach(world, one, again)
    world.until(lambda: both_hear(world, one, again), 60 * S)


def test_of_two_processes_with_one_name_the_last_one_wins_and_both_say_so(world: World) -> None:
    one, rightful, three = (world.start(member) for member in range(3))
    teach(world, one, rightful, three)
    world.run(2 * MINUTE)
    clone = world.start(1)
    world.run(10 * S)
    assert clone.runtime.claim.shared(world.now_ns) and rightful.runtime.claim.shared(world.now_ns)
    assert rightful.runtime.claim.stands_by and not clone.runtime.claim.stands_by
    assert any("another process" in line for line in clone.runtime.warnings)
    assert any("stands by" in line for line in rightful.runtime.warnings)
    teach(world, one, clone, rightful)
    world.until(lambda: both_hear(world, one, clone) and both_hear(world, three, clone), 10 * S)
    seen = clone.runtime.node.incarnation
    world.run(HOUR)
    assert clone.runtime.node.incarnation == seen and rightful.runtime.claim.stands_by, "they do not take turns"
    world.kill(clone)
    teach(world, rightful)
    took_ns = world.until(lambda: both_hear(world, one, rightful) and both_hear(world, three, rightful), 30 * S)
    assert took_ns < 20 * S
    world.run(2 * MINUTE)
    assert not rightful.runtime.warnings and rightful.runtime.tally.samples == 30


def test_two_members_whose_hellos_to_each_other_were_lost_meet_although_both_met_another(world: World) -> None:
    one, two, three = (world.start(member) for member in range(3))
    world.cut = {frozenset((0, 1))}  # Their transports have a link, but all that they send is lost.
    world.run(3 * MINUTE)
    assert {2} == one.runtime.roster.peers.keys() == two.runtime.roster.peers.keys()
    world.cut = set()
    teach(world, one, two, three)
    world.until(lambda: both_hear(world, one, two), 30 * S)


class SlowHellos(World):
    """Messages overtake the hellos that were sent before them."""

    def carry(self, source: Process, target: int | None, channel: Channel, data: bytes) -> None:
        if channel is Channel.MESSAGE:
            super().carry(source, target, channel, data)
        else:
            self.at(self.now_ns + S // 4, lambda: World.carry(self, source, target, channel, data))


def test_messages_that_overtake_the_hello_of_a_later_incarnation_are_sent_again_at_once() -> None:
    with repeatable():
        world = SlowHellos()
        one, rightful, three = (world.start(member) for member in range(3))
        teach(world, one, rightful, three)
        world.run(2 * MINUTE)
        clone = world.start(1)
        world.run(MINUTE)
        world.kill(clone)
        world.until(lambda: not rightful.runtime.claim.stands_by, 20 * S)
        teach(world, rightful, count=1)
        world.until(lambda: both_hear(world, one, rightful) and both_hear(world, three, rightful), 4 * S)


def test_a_copied_disk_is_no_better_than_no_disk(world: World) -> None:
    one, disk = world.start(0), Disk()
    rightful = world.start(1, disk)
    teach(world, one, rightful)
    rightful.save()
    world.run(MINUTE)
    clone = world.start(1, disk.copy())
    world.run(10 * S)
    assert rightful.runtime.claim.stands_by != clone.runtime.claim.stands_by
    assert rightful.runtime.claim.stands_by
    world.kill(clone)
    teach(world, one, rightful)
    world.until(lambda: both_hear(world, one, rightful), 30 * S)


def test_two_that_start_in_the_same_moment_agree(world: World) -> None:
    one = world.start(0)
    pair = [world.start(1), world.start(1)]
    world.run(MINUTE)
    assert [False, True] == sorted(each.runtime.claim.stands_by for each in pair)
    winner = next(each for each in pair if not each.runtime.claim.stands_by)
    teach(world, one, winner)
    world.until(lambda: both_hear(world, one, winner), 10 * S)


def test_a_partition_with_a_clone_in_each_half_ends_with_one(world: World) -> None:
    one, three = world.start(0), world.start(2)
    world.part((0, 2), (0, 1))
    left = world.start(1)
    world.part((0, 2))
    world.run(DAY // 100)
    assert not left.runtime.claim.stands_by
    right = world.start(1)
    world.part()
    world.run(MINUTE)
    assert [False, True] == sorted(each.runtime.claim.stands_by for each in (left, right))
    winner = right if left.runtime.claim.stands_by else left
    teach(world, one, three, winner)
    world.until(lambda: both_hear(world, one, winner) and both_hear(world, three, winner), 10 * S)


def test_a_peer_that_started_again_too_still_knows_the_incarnation(world: World) -> None:
    """Its keys are gone, but its snapshot knows the last hello of each peer, and old hellos stay refused."""
    disk = Disk()
    one, two = world.start(0, disk), world.start(1, ahead_ns=HOUR)
    teach(world, one, two)
    world.until(lambda: both_hear(world, one, two), 5 * S)
    old = two.runtime.envelope.hello(two.runtime.now_ns())
    one.save()
    world.kill(one)
    world.kill(two)
    world.run(MINUTE)
    one, two = world.start(0, disk), world.start(1)
    teach(world, one, two)
    world.until(lambda: both_hear(world, one, two), 10 * S)
    with pytest.raises(RemoteProtocolError, match="already at"):
        one.runtime.envelope.accept_hello(old, one.runtime.now_ns())


def trusting(world: World, trust: Trust) -> None:
    """All members read a list."""
    world.trust = trust
    for process in list(world.processes):
        process.runtime.update_trust(trust)
        process.settle()


@pytest.mark.parametrize("certificate", ["the same, because the list was wrong", "a new one"])
def test_a_member_that_was_revoked_and_lost_its_state_is_heard(tmp_path: Path, certificate: str) -> None:
    """Peers know the revoked process by a later incarnation, and refuse lower ones."""
    members, trust = certify(tmp_path, 3)
    with repeatable():
        world = World(members, trust)
        one, two, three = world.start(0), world.start(1, ahead_ns=23 * HOUR), world.start(2)
        teach(world, one, two, three)
        world.until(lambda: both_hear(world, one, two), 10 * S)
        known = two.runtime.node.incarnation
        serial = members["node-1"].certificate.serial_number
        trusting(world, Trust(trust.certificate, frozenset({serial}), trust.number + 1))
        assert 1 not in one.runtime.roster.peers
        world.run(MINUTE)
        world.kill(two)
        if certificate == "a new one":
            issue(tmp_path / "authority", "node-1", tmp_path / "new", now=NOW, renew=True)
            members["node-1"] = load_identity(tmp_path / "new")
        else:
            trusting(world, Trust(trust.certificate, number=trust.number + 2))
        two = world.start(1)
        assert two.runtime.node.incarnation < known
        teach(world, one, two, three)
        world.until(lambda: both_hear(world, one, two) and both_hear(world, three, two), 10 * S)
        assert two.runtime.node.incarnation == known + 1 and not two.runtime.warnings


def test_a_clone_that_had_the_same_incarnation_elsewhere_is_outgrown(world: World) -> None:
    """It has gone when the partition ends, and its peers know the incarnation with its key."""
    for _ in range(4):  # Whichever key is greater.
        one, three = world.start(0), world.start(2)
        world.part((0, 2), (0, 1))
        right = world.start(1)
        world.until(lambda three=three, right=right: both_hear(world, three, right), 20 * S)
        world.kill(right)
        world.part((0, 2), (1, 2))
        left = world.start(1)
        assert left.runtime.node.incarnation == right.runtime.node.incarnation
        world.run(MINUTE)
        world.part()
        teach(world, one, three, left)
        world.until(lambda one=one, left=left: both_hear(world, one, left), 30 * S)
        world.until(lambda three=three, left=left: both_hear(world, three, left), 30 * S)
        for process in (one, three, left):
            world.kill(process)
        world.run(MINUTE)
