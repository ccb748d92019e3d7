"""The roster in virtual time: random sequences of events and timers keep its promises."""

from __future__ import annotations

import itertools
import random
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protovine.net import Member
from protovine.net.roster import Order, Roster, RosterTiming
from protovine.net.states import Action, SessionState

S = 10**9
TIMING = RosterTiming(stranger_burst=5.0, strangers_per_s=0.5)
PEERS = st.integers(1, 3)
SENDERS = st.sampled_from([1, 2, 3, 1, 2, 3, *range(100, 104)])


def make(expected: int = 3, timing: RosterTiming = TIMING) -> Roster:
    return Roster(expected, random.Random(1).random, timing, now_ns=0)


def advance(roster: Roster, from_ns: int, to_ns: int) -> list[tuple[int, Order]]:
    """The orders of all timers that are due until then, with their times."""
    found = []
    while (due_ns := roster.next_timer_ns()) <= to_ns:
        assert due_ns > from_ns, "a timer that was called is due later"
        from_ns = due_ns
        roster.on_timer(due_ns)
        found += [(due_ns, order) for order in roster.drain()]
    return found


def test_all_members_are_asked_less_and_less_often_until_enough_are_met() -> None:
    roster = make(expected=2)
    asked = [at_ns / S for at_ns, order in advance(roster, -1, 600 * S) if order == Order(Action.ASK_ALL)]
    assert asked[0] < 1 and 10 < len(asked) < 30
    gaps = [later - sooner for sooner, later in itertools.pairwise(asked)]
    assert max(gaps[:3]) < 10 and 30 <= min(gaps[-3:]) <= max(gaps) <= 90
    roster.hello(Member(1, "a", 1), False, 600 * S)
    roster.hello(Member(2, "b", 1), False, 600 * S)
    roster.drain()
    assert [] == advance(roster, 600 * S, 3600 * S)


def test_a_node_whose_peers_are_all_there_is_hardly_woken_and_notices_at_once_who_is_missing() -> None:
    roster = make(expected=1)
    roster.hello(Member(1, "a", 1), False, 0)
    roster.drain()
    wakes, now_ns = 0, 0
    while now_ns < 3600 * S:
        now_ns = roster.next_timer_ns()
        roster.on_timer(now_ns)
        wakes += 1
    assert wakes < 100
    assert [] == roster.drain()
    roster.link(1, False, now_ns)
    assert roster.next_timer_ns() <= now_ns + 2 * S * TIMING.look_s
    (at_ns,) = [at for at, order in advance(roster, now_ns, now_ns + 30 * S) if order.action is Action.REOPEN]
    assert TIMING.reopen_alone_s * S <= at_ns - now_ns, "the quiet hour before does not count as silence"


def test_a_missing_peer_is_asked_every_ten_seconds_and_then_the_session_is_opened_again() -> None:
    roster = make(expected=1)
    roster.hello(Member(1, "a", 1), False, 0)
    roster.hello(Member(2, "b", 1), False, 0)
    roster.link(2, False, 0)
    roster.drain()
    orders = advance(roster, -1, 65 * S)
    assert sum(order == Order(Action.ASK, (2,)) for _, order in orders) in (5, 6)
    reopened_ns, order = orders[-1]
    assert Order(Action.REOPEN, (2,)) == order and 60 * S <= reopened_ns <= 63 * S
    assert (set(), SessionState.REOPENING) == (roster.alive, roster.session)
    assert [] == [order for _, order in advance(roster, 65 * S, 300 * S) if order.action is Action.REOPEN]
    roster.reopened(False, 300 * S)
    assert [Order(Action.ASK_ALL)] == roster.drain()
    again = advance(roster, 300 * S, 303 * S)
    assert Order(Action.REOPEN, (1, 2)) in [order for _, order in again], "a session that failed is tried at once"
    roster.reopened(True, 303 * S)
    roster.message(1, 304 * S)
    assert {1} == roster.alive


def test_a_node_that_hears_no_peer_opens_its_session_sooner() -> None:
    roster = make(expected=1)
    roster.hello(Member(1, "a", 1), False, 0)
    roster.link(1, False, 0)
    (reopened_ns,) = [at for at, order in advance(roster, -1, 30 * S) if order.action is Action.REOPEN]
    assert 20 * S <= reopened_ns <= 23 * S


def test_after_a_raise_each_peer_that_answers_gets_again_what_it_could_not_read() -> None:
    roster = make(expected=2)
    roster.hello(Member(1, "a", 1), False, 0)
    roster.hello(Member(2, "b", 1), False, 0)
    roster.drain()
    roster.raised(0)
    assert [Order(Action.ASK_ALL)] == roster.drain()
    roster.hello(Member(1, "a", 1), False, 0)
    assert [Order(Action.REPEAT, (1,))] == roster.drain()
    roster.message(1, 0)
    assert [] == roster.drain()
    asked = [at_ns for at_ns, order in advance(roster, -1, 30 * S) if order == Order(Action.ASK, (2,))]
    assert asked, "the one that does not answer is asked again"
    roster.message(2, 30 * S)
    assert [Order(Action.REPEAT, (2,))] == roster.drain()


def test_a_linked_member_that_does_not_answer_is_asked_until_it_is_met() -> None:
    """Enough others were met, so that nobody asks all; the hellos of these two were lost."""
    roster = make(expected=1)
    roster.hello(Member(1, "a", 1), False, 0)
    roster.link(2, True, 0)
    roster.drain()
    asked = [at_ns / S for at_ns, order in advance(roster, -1, 1000 * S) if order == Order(Action.ASK, (2,))]
    gaps = [later - sooner for sooner, later in itertools.pairwise(asked)]
    assert asked[0] < 2 and max(gaps[:50]) <= 1.5 * TIMING.ask_missing_s
    assert min(gaps[60:]) >= 0.5 * TIMING.ask_s_max, "perhaps it never will, and asking costs"
    roster.hello(Member(2, "b", 1), False, 1000 * S)
    roster.drain()
    assert [] == advance(roster, 1000 * S, 2000 * S)
    roster.distrust(2, 2000 * S)
    asked = [at_ns for at_ns, order in advance(roster, 2000 * S, 2030 * S) if order == Order(Action.ASK, (2,))]
    assert asked, "it may get another certificate"
    advance(roster, 2030 * S, 4000 * S)
    roster.ask_again(4000 * S)
    asked = [at_ns for at_ns, order in advance(roster, 4000 * S, 4010 * S) if order == Order(Action.ASK, (2,))]
    assert len(asked) > 2, "a clock was set, or this node has raised its incarnation: it may answer now"
    roster.link(2, False, 4010 * S)
    roster.drain()
    assert [] == advance(roster, 4010 * S, 5000 * S)


def test_linked_members_that_are_no_neighbours_are_not_asked_again() -> None:
    roster = Roster(1, random.Random(1).random, TIMING, 0, frozenset({1}))
    roster.hello(Member(1, "a", 1), False, 0)
    roster.link(2, True, 0)
    roster.drain()
    assert [] == advance(roster, -1, 1000 * S)


def test_a_hello_that_comes_too_soon_after_another_leaves_later() -> None:
    """The one before may have been refused: a clock was wrong until now."""
    roster = make(expected=1)
    roster.hello(Member(1, "a", 1), True, 0)
    assert Order(Action.REPLY, (1,)) in roster.drain()
    for tenth in (3, 6):
        roster.hello(Member(1, "a", 1), True, tenth * S // 10)
        assert Order(Action.REPLY, (1,)) not in roster.drain()
    sent = [at_ns for at_ns, order in advance(roster, -1, 9 * S) if order == Order(Action.REPLY, (1,))]
    assert [S] == sent, "one for both"


class Events(RuleBasedStateMachine):
    """Whatever happens, in whatever order, with the timers called when they are due."""

    @initialize()
    def start(self) -> None:
        self.now_ns = 0
        self.roster = make()
        self.incarnations: dict[int, int] = {}
        self.alive: set[int] = set()
        self.newest: Counter[int] = Counter()
        self.hello_at_ns: dict[int, int] = {}
        self.stranger_hellos = 0
        self.missing_since_ns: dict[int, int] = {}

    def carry_out(self, at_ns: int, orders: list[Order]) -> list[Action]:
        """Check what every order must obey."""
        for order in orders:
            if order.action in (Action.ASK, Action.REPLY):
                (peer,) = order.peers
                last_ns = self.hello_at_ns.get(peer)
                assert last_ns is None or at_ns - last_ns >= S, "at most one hello a second to a peer"
                self.hello_at_ns[peer] = at_ns
                if peer not in self.incarnations:
                    self.stranger_hellos += 1
                    assert self.stranger_hellos <= 5 + 0.5 * at_ns / S + 1e-6, "few hellos to ids that may be made up"
            elif order.action is Action.REOPEN:
                assert set(order.peers) == self.incarnations.keys() - self.alive, "it names all missing peers"
                self.alive.clear()
        return [order.action for order in orders]

    def did(self, peer: int, *, new: bool = False, heard: bool = False) -> None:
        """Check the orders of one event: the peers to add, and those that get unacknowledged messages again."""
        actions = self.carry_out(self.now_ns, self.roster.drain())
        assert actions.count(Action.ADD) == new
        assert actions.count(Action.REPEAT) == (new or (heard and peer not in self.alive))
        if new:
            assert actions[:2] == [Action.ADD, Action.REPEAT]
        if new or heard:
            self.alive.add(peer)

    @rule(peer=PEERS, newer=st.booleans(), asks=st.booleans())
    def hello(self, peer: int, newer: bool, asks: bool) -> None:
        new = newer or peer not in self.incarnations
        self.newest[peer] += new
        self.incarnations[peer] = self.newest[peer]
        self.roster.hello(Member(peer, f"node-{peer}", self.newest[peer]), asks, self.now_ns)
        self.did(peer, new=new, heard=True)

    @rule(peer=SENDERS)
    def message(self, peer: int) -> None:
        self.roster.message(peer, self.now_ns)
        self.did(peer, heard=peer in self.incarnations)

    @rule(peer=SENDERS)
    def unreadable(self, peer: int) -> None:
        self.roster.unreadable(peer, self.now_ns)
        self.did(peer)

    @rule(peer=SENDERS, open=st.booleans())
    def link(self, peer: int, open: bool) -> None:
        self.roster.link(peer, open, self.now_ns)
        self.did(peer, heard=open and peer in self.incarnations)
        if not open:
            self.alive.discard(peer)

    @rule(peer=SENDERS)
    def distrust(self, peer: int) -> None:
        self.roster.distrust(peer, self.now_ns)
        self.incarnations.pop(peer, None)
        self.alive.discard(peer)
        self.did(peer)

    @rule()
    def raised(self) -> None:
        self.roster.raised(self.now_ns)
        assert [Order(Action.ASK_ALL)] == self.roster.drain()
        self.alive.clear()

    @rule(seconds=st.sampled_from([0.3, 1.0, 5.0, 30.0, 300.0]))
    def wait(self, seconds: float) -> None:
        began_ns, self.now_ns = self.now_ns, self.now_ns + round(seconds * S)
        missing = self.incarnations.keys() - self.alive
        session = self.roster.session
        asked: set[int] = set()
        while (due_ns := self.roster.next_timer_ns()) <= self.now_ns:
            due_ns = max(due_ns, began_ns)
            self.roster.on_timer(due_ns)
            assert self.roster.next_timer_ns() > due_ns, "a timer that was called is due later"
            orders = self.roster.drain()
            asked |= {order.peers[0] for order in orders if order.action is Action.ASK}
            if Action.REOPEN in self.carry_out(due_ns, orders):
                assert self.roster.session is SessionState.REOPENING
        if seconds >= 30 and session is SessionState.OPEN:
            assert missing <= asked or self.roster.session is SessionState.REOPENING, "missing peers are asked for"

    @precondition(lambda self: self.roster.session is SessionState.REOPENING)
    @rule(opened=st.booleans())
    def reopen(self, opened: bool) -> None:
        self.roster.reopened(opened, self.now_ns)
        assert [Order(Action.ASK_ALL)] == self.roster.drain()
        assert self.roster.session is (SessionState.OPEN if opened else SessionState.FAILED)

    @invariant()
    def the_roster_has_those_that_said_hello(self) -> None:
        assert self.incarnations == {peer: known.incarnation for peer, known in self.roster.peers.items()}
        assert self.alive == self.roster.alive
        assert sorted(self.incarnations.keys() - self.alive) == self.roster.missing


Events.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestEvents = Events.TestCase
