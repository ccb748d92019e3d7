"""How a new revocation list spreads, in virtual time."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest

from protovine.errors import RemoteProtocolError
from protovine.net import MemberName, Trust, create_authority, issue, load_trust, revoke
from protovine.net.security.revocations import REMIND_NS, RETRY_NS, Revocations
from tests.net.conftest import NOW

S = 10**9


@pytest.fixture
def lists(tmp_path: Path) -> list[Trust]:
    """The lists of an authority: without revocations, then with bob, then with bob and cat, all of one second."""
    create_authority(tmp_path / "ca", "barn", now=NOW)
    for id, name in enumerate(("ann", "bob", "cat")):
        issue(tmp_path / "ca", name, tmp_path / name, now=NOW, id=id)
    found = [load_trust(tmp_path / "ca")]
    for name in ("bob", "cat"):
        revoke(tmp_path / "ca", name, now=NOW)
        found.append(load_trust(tmp_path / "ca"))
    return found


class Swarm:
    """Members on a line, each of which reaches its two neighbours only; messages can be lost."""

    def __init__(self, count: int, trust: Trust, loss: float = 0.0) -> None:
        self.members = [Revocations(member, trust, 0) for member in range(count)]
        self.loss, self.draw, self.sent, self.now_ns = loss, random.Random(1), 0, 0

    def carry(self) -> None:
        """Deliver until nothing is under way."""
        while orders := [(each.member, *order) for each in self.members for order in each.drain()]:
            for sender, peer, data in orders:
                near = {sender - 1, sender + 1}
                for to in self.members:
                    if to.member in (near if peer is None else near & {peer}):
                        self.sent += 1
                        if self.draw.random() >= self.loss:
                            found = to.take(data, self.now_ns)
                            if found is not None:
                                assert to.replace(found)

    def wait(self, until_ns: int) -> None:
        while (due_ns := min(each.next_timer_ns() for each in self.members)) <= until_ns:
            self.now_ns = due_ns
            for each in self.members:
                each.on_timer(due_ns)
            self.carry()
        self.now_ns = until_ns


def test_a_list_reaches_all_members_at_once(lists: list[Trust]) -> None:
    swarm = Swarm(20, lists[0])
    assert swarm.members[3].replace(lists[1])
    swarm.carry()
    assert {lists[1].number} == {each.trust.number for each in swarm.members}
    assert swarm.sent < 20 * 6


def test_a_list_reaches_all_members_although_half_of_all_messages_are_lost(lists: list[Trust]) -> None:
    swarm = Swarm(10, lists[0], loss=0.5)
    swarm.members[0].replace(lists[2])
    swarm.carry()
    swarm.wait(20 * REMIND_NS)
    assert {lists[2].number} == {each.trust.number for each in swarm.members}


def test_a_list_that_was_announced_is_asked_for_until_it_comes(lists: list[Trust]) -> None:
    old, new = Revocations(0, lists[0], 0), Revocations(1, lists[1], 0)
    new.met(0)
    ((peer, word),) = new.drain()
    assert 0 == peer and len(word) < 24 and old.take(word, 0) is None
    old.drain()  # The question is lost.
    assert RETRY_NS == old.next_timer_ns()
    old.on_timer(RETRY_NS)
    ((peer, question),) = old.drain()
    assert 1 == peer and new.take(question, 0) is None
    ((peer, answer),) = new.drain()
    found = old.take(answer, 0)
    assert 0 == peer and found is not None and found.revoked == lists[1].revoked
    assert old.replace(found) and old.next_timer_ns() > RETRY_NS


def test_members_that_meet_end_with_the_newer_list(lists: list[Trust]) -> None:
    for has in ((lists[1], lists[2]), (lists[2], lists[1]), (lists[0], lists[2])):
        swarm = Swarm(2, lists[0])
        for each, trust in zip(swarm.members, has, strict=True):
            each.trust = trust
        swarm.members[0].met(1)
        swarm.members[1].met(0)
        swarm.carry()
        assert [lists[2].number] * 2 == [each.trust.number for each in swarm.members]
        assert {"bob", "cat"} == {name.name for name in swarm.members[0].trust.names.values()}


def test_without_revocations_nothing_is_sent(lists: list[Trust]) -> None:
    swarm = Swarm(3, lists[0])
    for each in swarm.members:
        each.met(1)
    swarm.wait(10 * REMIND_NS)
    assert 0 == swarm.sent


def test_numbers_grow_also_within_a_second_and_when_the_clock_is_set_back(lists: list[Trust], tmp_path: Path) -> None:
    assert lists[0].number < lists[1].number < lists[2].number
    revoke(tmp_path / "ca", "ann", now=NOW - timedelta(days=9))
    last = load_trust(tmp_path / "ca")
    assert last.number > lists[2].number
    assert {MemberName("barn", name, at) for at, name in enumerate(("ann", "bob", "cat"))} == set(last.names.values())


def test_an_older_list_changes_nothing(lists: list[Trust]) -> None:
    one = Revocations(0, lists[2], 0)
    assert not one.replace(lists[1])
    assert lists[2] is one.trust and not one.drain()


def test_a_list_that_is_not_the_authoritys_is_refused(lists: list[Trust], tmp_path: Path) -> None:
    create_authority(tmp_path / "twin", "barn", now=NOW)
    issue(tmp_path / "twin", "ann", tmp_path / "twins", now=NOW)
    revoke(tmp_path / "twin", "ann", now=NOW + timedelta(days=1))
    theirs = load_trust(tmp_path / "twin")
    changed = bytearray(lists[1].revocations)
    changed[-1] ^= 1
    for trust in (theirs, Trust(lists[1].certificate, lists[1].revoked, lists[1].number, {}, bytes(changed))):
        mallory = Revocations(1, trust, 0)
        one = Revocations(0, lists[0], 0)
        mallory.met(0)
        one.take(mallory.drain()[0][1], 0)
        mallory.take(one.drain()[0][1], 0)
        with pytest.raises(RemoteProtocolError) as error:
            one.take(mallory.drain()[0][1], 0)
        assert "revocations" == error.value.reason and lists[0] is one.trust


def test_noise_and_floods_are_refused(lists: list[Trust]) -> None:
    one, other = Revocations(0, lists[0], 0), Revocations(1, lists[1], 0)
    for noise in (b"", b"noise", b"\x93\x01\xff\xc4\x00", bytes(100)):
        with pytest.raises(RemoteProtocolError, match="not a message about revocations"):
            one.take(noise, 0)
    other.met(0)
    ((_, word),) = other.drain()
    for _ in range(200):
        one.take(word, 0)
    with pytest.raises(RemoteProtocolError, match="more messages") as error:
        one.take(word, 0)
    assert "flood" == error.value.reason and len(one.drain()) <= 200
    one.take(word, S)


def test_a_flood_of_open_words_holds_up_no_sealed_one(lists: list[Trust]) -> None:
    one, other = Revocations(0, lists[0], 0), Revocations(1, lists[1], 0)
    made_up = Revocations(2, lists[2], 0)
    made_up.met(0)
    ((_, noise),) = made_up.drain()
    for _ in range(200):
        one.take(noise, 0)
    one.drain()
    other.met(0)
    ((_, word),) = other.drain()
    with pytest.raises(RemoteProtocolError, match="more messages"):
        one.take(word, 0)
    ((peer, word),) = other.drain_sealed()
    assert 0 == peer and one.take(word, 0, by=1) is None and not one.drain()
    ((peer, question),) = one.drain_sealed()
    assert 1 == peer and other.take(question, 0, by=0) is None and not other.drain()
    ((peer, answer),) = other.drain_sealed()
    found = one.take(answer, 0, by=1)
    assert 0 == peer and found is not None and lists[1].number == found.number


def test_a_member_seals_only_its_own_words(lists: list[Trust]) -> None:
    one, other = Revocations(0, lists[0], 0), Revocations(1, lists[1], 0)
    other.met(0)
    with pytest.raises(RemoteProtocolError, match="node 2 sealed a word of node 1") as error:
        one.take(other.drain_sealed()[0][1], 0, by=2)
    assert "impostor" == error.value.reason


def test_a_member_that_announces_a_list_in_both_ways_is_asked_once(lists: list[Trust]) -> None:
    one, other = Revocations(0, lists[0], 0), Revocations(1, lists[1], 0)
    other.met(0)
    for _, word in other.drain_sealed():
        one.take(word, 0, by=1)
    for _, word in other.drain():
        one.take(word, 0)
    assert [1] == [peer for peer, _ in one.drain_sealed()] and not one.drain()
