"""Members that send one message to all, in virtual time: what is lost, who comes late, and who is shut out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from protovine.errors import RemoteProtocolError
from protovine.net import Envelope, Identity, Trust
from protovine.net.inbound import InboundLimits
from protovine.net.tally import SENDER_KEY, PeerGroup
from protovine.net.transport import Channel
from tests.net.world import MINUTE, Disk, Process, S, World, certify, repeatable


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Identity], Trust]:
    return certify(tmp_path_factory.mktemp("certificates"), 4)


class Air(World):
    """A world in which nodes send to all; it keeps what they sent."""

    broadcasts = True

    def __init__(self, *certified: object) -> None:
        super().__init__(*certified)  # type: ignore[arg-type]
        self.to_all: list[tuple[int, bytes]] = []

    def carry(self, source: Process, target: int | None, channel: Channel, data: bytes) -> None:
        if channel is Channel.BROADCAST:
            self.to_all.append((source.member, data))
        super().carry(source, target, channel, data)


@pytest.fixture(params=["certificates", "plain"])
def world(request: pytest.FixtureRequest, certified: tuple[dict[str, Identity], Trust]) -> Iterator[Air]:
    with repeatable():
        yield Air(*certified) if request.param == "certificates" else Air()


def teach(world: World, *processes: Process, count: int = 10) -> None:
    for _ in range(count):
        for process in processes:
            process.take()
        world.run(S // 10)


def all_heard(world: World, *processes: Process) -> bool:
    return all(world.heard(one, other) for one in processes for other in processes if one is not other)


def test_one_message_reaches_all_and_counts_once(world: Air) -> None:
    members = [world.start(member) for member in range(4)]
    teach(world, *members)
    world.until(lambda: all_heard(world, *members), 10 * S)
    tally = members[0].runtime.tally
    sent = [data for source, data in world.to_all if source == 0]
    assert 1 <= len(sent) == tally.sent[PeerGroup.ALL, "log"] <= 14, "for ten samples, and what a node says when quiet"
    assert tally.sent_bytes[PeerGroup.ALL, "log"] == sum(map(len, sent))
    direct = {kind for (peer, kind) in tally.sent if isinstance(peer, int)}
    assert direct <= {"hello", "probe", SENDER_KEY}, "no sample goes to one peer alone"
    assert all(process.runtime.node.learner.origins().max() >= 0 for process in members)


def test_what_is_lost_is_repaired(world: Air) -> None:
    members = [world.start(member) for member in range(3)]
    world.run(3 * S)
    world.loss = 0.4
    teach(world, *members, count=20)
    world.loss = 0.0
    world.until(lambda: all_heard(world, *members), 3 * MINUTE)


def test_sender_keys_arrive_although_half_of_everything_is_lost(world: Air) -> None:
    world.loss = 0.5
    members = [world.start(member) for member in range(3)]
    teach(world, *members)
    world.run(MINUTE)
    world.loss = 0.0
    world.until(lambda: all_heard(world, *members), 2 * MINUTE)


def test_a_latecomer_and_a_restart_get_keys_and_what_they_missed(world: Air) -> None:
    one, two = world.start(0), world.start(1)
    teach(world, one, two)
    three = world.start(2, disk := Disk())
    world.until(lambda: all_heard(world, one, two, three), MINUTE)
    teach(world, three)
    world.until(lambda: all_heard(world, one, two, three), MINUTE)
    three.save()
    world.kill(three)
    world.run(20 * S)
    three = world.start(2, disk)
    teach(world, one, two, three)
    world.until(lambda: all_heard(world, one, two, three), MINUTE)
    world.kill(three)
    three = world.start(2)  # Its disk is lost.
    teach(world, one, two, three)
    world.until(lambda: all_heard(world, one, two, three), MINUTE)


def test_a_revoked_member_reads_nothing_more(certified: tuple[dict[str, Identity], Trust]) -> None:
    with repeatable():
        world = Air(*certified)
        one, two, eve = (world.start(member) for member in range(3))
        teach(world, one, two, eve)
        world.until(lambda: all_heard(world, one, two, eve), MINUTE)
        world.denies = False  # A multicast group has no links that could be denied.
        ear = eve.runtime.envelope
        assert isinstance(ear, Envelope) and world.trust is not None
        trust = replace(world.trust, number=world.trust.number + 1, revoked=frozenset({ear.serial}))
        eve.runtime.trusting.update = lambda *about: []  # type: ignore[method-assign]  # She does as if nothing was.
        for process in (one, two):
            process.runtime.update_trust(trust)
        world.run(S)
        world.to_all.clear()
        teach(world, one, two, eve)
        world.until(lambda: all_heard(world, one, two), MINUTE)
        theirs = [data for source, data in world.to_all if source != 2]
        assert len(theirs) >= 10
        for data in theirs:
            with pytest.raises(RemoteProtocolError, match=r"not known|came before"):
                ear.group.open(data)
        assert one.runtime.node.views[2].samples_learnt == 10, "and nobody listens to her"
        assert sum(count for (_, reason), count in one.runtime.tally.refused.items() if reason == "keys") >= 10


def test_a_clone_stands_by_on_the_air_too(world: Air) -> None:
    one, rightful = world.start(0), world.start(1)
    teach(world, one, rightful)
    world.run(2 * MINUTE)
    clone = world.start(1)
    world.run(10 * S)
    assert rightful.runtime.claim.stands_by and not clone.runtime.claim.stands_by
    world.to_all.clear()
    teach(world, one, clone, rightful)
    world.until(lambda: all_heard(world, one, clone), MINUTE)


def test_nothing_leaves_before_there_is_a_peer(world: Air) -> None:
    alone = world.start(0)
    teach(world, alone)
    assert not world.to_all
    other = world.start(1)
    assert world.until(lambda: world.heard(alone, other), MINUTE) < 10 * S


def test_a_flood_on_the_air_leaves_room_for_the_links(world: Air) -> None:
    one = world.start(0)
    inbound = one.runtime.inbound
    inbound.limits = InboundLimits(messages_max=10, bytes_max=1000)
    assert [inbound.put(Channel.BROADCAST, b"x") for _ in range(7)] == [True] * 5 + [False] * 2
    assert [inbound.put(Channel.MESSAGE, b"x") for _ in range(7)] == [True] * 5 + [False] * 2
    while inbound.take() is not None:
        pass
    assert inbound.put(Channel.BROADCAST, bytes(501)) is False
    assert inbound.put(Channel.BROADCAST, bytes(500)) and inbound.put(Channel.MESSAGE, bytes(500))


def test_a_group_that_the_network_does_not_carry_is_said(world: Air) -> None:
    one, two = world.start(0), world.start(1)
    teach(world, one, two)
    world.run(10 * MINUTE)
    assert not one.runtime.warnings and not two.runtime.warnings, "both say every minute that they are there"
    carry = world.carry
    world.carry = lambda source, target, channel, data: (  # type: ignore[method-assign]
        None if channel is Channel.BROADCAST else carry(source, target, channel, data)
    )
    world.run(4 * MINUTE)
    assert not one.runtime.warnings
    world.run(3 * MINUTE)
    (warning,) = one.runtime.warnings
    assert "no message to all came for 5 minutes, and 1 members are there" in warning
    world.kill(two)
    world.run(MINUTE)
    assert not one.runtime.warnings, "nobody is there"
