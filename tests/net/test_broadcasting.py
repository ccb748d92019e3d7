"""Members that send one message to all, in virtual time: what is lost, who comes late, and who is shut out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from protovine import varint
from protovine.errors import RemoteProtocolError
from protovine.net import Envelope, Identity, Trust
from protovine.net.inbound import InboundLimits
from protovine.net.tally import SENDER_KEY, PeerGroup
from protovine.net.transport import Channel
from tests.net.world import HOUR, MINUTE, Disk, Process, S, World, certify, repeatable, teach


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Identity], Trust]:
    return certify(tmp_path_factory.mktemp("certificates"), 4, 1)


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


def deafen(world: Air, *pairs: tuple[int, int]) -> Callable[[], None]:
    """Messages to all no longer come from the first of a pair to the second; returns what undoes it."""
    carry = world.carry

    def without(source: Process, target: int | None, channel: Channel, data: bytes) -> None:
        if channel is not Channel.BROADCAST:
            carry(source, target, channel, data)
            return
        for process in list(world.processes):
            if process is not source and (source.member, process.member) not in pairs:
                carry(source, process.member, channel, data)

    world.carry = without  # type: ignore[method-assign]
    return lambda: setattr(world, "carry", carry)


def test_members_that_the_group_does_not_bring_are_named(world: Air, caplog: pytest.LogCaptureFixture) -> None:
    one, two, three = (world.start(member) for member in range(3))
    teach(world, one, two)  # The third has nothing to share, and says once a minute that it is there.
    world.run(10 * MINUTE)
    assert not any(each.runtime.warnings for each in (one, two, three))
    undo = deafen(world, (1, 0))
    world.run(2 * MINUTE)
    for _ in range(3):  # Links that come and go hide nothing.
        world.part((0, 1))
        world.run(10 * S)
        world.part()
        world.run(MINUTE)
    (warning,) = one.runtime.warnings
    assert "no message to all comes from node-1:" in warning
    assert not two.runtime.warnings and not three.runtime.warnings
    assert 1 == sum("no message to all comes from node-1" in record.getMessage() for record in caplog.records)
    undo()
    world.run(2 * MINUTE)
    assert not one.runtime.warnings


def test_a_node_that_hears_nobody_joins_the_group_again(world: Air) -> None:
    one, two = world.start(0), world.start(1)
    teach(world, one, two)
    joined: list[float] = []
    undo, began_ns = deafen(world, (1, 0)), world.now_ns
    one.runtime.broadcasting.rejoin = lambda: joined.append((world.now_ns - began_ns) / S)
    world.run(HOUR)
    undo()
    assert 130 < joined[0] < 240 and 5 < len(joined) < 14
    assert all(later - sooner < 660 for sooner, later in pairwise(joined))
    world.run(2 * MINUTE)
    count = len(joined)
    world.run(HOUR)
    assert count == len(joined) and not one.runtime.warnings


def junk(world: Air, member: int, times: int, seconds: float) -> None:
    """Anyone near sends this often what no key opens, in the name of a member."""
    for _ in range(times):
        data = varint.write(member << 3 | 7) + bytes(80)
        for process in list(world.processes):
            process.arrive(Channel.BROADCAST, data)
        world.run(round(seconds * S))


def test_junk_in_the_group_costs_little_and_keeps_nobody_out(world: Air) -> None:
    members = [world.start(member) for member in range(3)]
    teach(world, *members)
    world.run(MINUTE)

    def sent() -> int:
        return sum(sum(each.runtime.tally.sent.values()) for each in members)

    before = sent()
    world.run(MINUTE)
    quiet, before = sent() - before, sent()
    junk(world, 1, times=120, seconds=0.5)
    # Two members ask one every 5 s at most, with hello and key, as it answers; each says every 10 s that it is there.
    assert sent() - before <= quiet + 13 * (4 + 4) + 3 * 7
    late = world.start(3)
    junk(world, 3, times=40, seconds=0.5)
    assert set(late.runtime.roster.peers) == {0, 1, 2}
    teach(world, *members, late)
    world.until(lambda: all_heard(world, *members, late), MINUTE)


def test_junk_of_invented_members_keeps_nobody_from_meeting(world: Air) -> None:
    one, two = world.start(0), world.start(1)
    world.run(5 * S)
    world.part((0, 2), (1, 2))
    three = world.start(2)
    for at in range(200):
        junk(world, 1000 + at, times=1, seconds=0.05)
    world.part()
    for at in range(600):
        junk(world, 2000 + at, times=1, seconds=0.05)
    assert set(three.runtime.roster.peers) == {0, 1}
    teach(world, one, two, three)
    world.until(lambda: all_heard(world, one, two, three), MINUTE)


def test_a_message_to_all_does_not_hide_that_a_link_is_broken(world: Air) -> None:
    one, two = world.start(0), world.start(1)
    teach(world, one, two)
    world.run(MINUTE)
    one.link(1, False)
    teach(world, two)
    assert one.runtime.roster.missing == [1]


def test_a_stolen_device_reads_nothing_although_its_replacement_was_met_first(
    certified: tuple[dict[str, Identity], Trust],
) -> None:
    """The order of the handbook: revoke, issue again, start the new device; the list arrives afterwards."""
    with repeatable():
        members, trust = dict(certified[0]), certified[1]
        world = Air(members, trust)
        world.denies = False
        one, two, old = (world.start(member) for member in range(3))
        teach(world, one, two, old)
        ear = old.runtime.envelope
        assert isinstance(ear, Envelope)
        serial = members["node-2"].certificate.serial_number
        world.kill(old)
        members["node-2"] = members["node-2.1"]
        world.run(2 * MINUTE)
        new = world.start(2)
        teach(world, one, two, new)
        assert 2 in one.runtime.roster.peers
        for process in (one, two, new):
            process.runtime.update_trust(replace(trust, number=trust.number + 1, revoked=frozenset({serial})))
        world.run(S)
        world.to_all.clear()
        teach(world, one, two, new)
        world.until(lambda: all_heard(world, one, two, new), MINUTE)
        assert len(world.to_all) > 20
        for _, data in world.to_all:
            with pytest.raises(RemoteProtocolError, match=r"not known|came back"):
                ear.group.open(data)


def test_a_process_that_stands_by_hands_out_no_keys(world: Air) -> None:
    one, rightful = world.start(0), world.start(1)
    teach(world, one, rightful)
    world.run(2 * MINUTE)
    world.start(1)
    world.run(10 * S)
    assert rightful.runtime.claim.stands_by
    before = rightful.runtime.tally.sent[0, SENDER_KEY]
    for _ in range(3):
        rightful.link(0, False)
        rightful.link(0, True)
        world.run(S)
    assert before == rightful.runtime.tally.sent[0, SENDER_KEY]
