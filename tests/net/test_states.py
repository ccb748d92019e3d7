"""Every row of the table of states happens, as the table says, and docs/reference/states.md shows the table."""

from __future__ import annotations

import enum
import re
from pathlib import Path

import pytest

from protovine.net import Member
from protovine.net.roster import Order, Roster, RosterTiming
from protovine.net.states import (
    TRANSITIONS,
    Action,
    PeerEvent,
    PeerState,
    SessionEvent,
    SessionState,
    table,
)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "states.md"
S = 10**9
PEER, OTHER = 1, 2


def roster_with(state: PeerState) -> Roster:
    """A roster with `OTHER` alive, and `PEER` in a state."""
    roster = Roster(2, lambda: 0.0, RosterTiming(), now_ns=0)
    roster.hello(Member(OTHER, "other", 1), False, 0)
    if state is not PeerState.UNKNOWN:
        roster.hello(Member(PEER, "peer", 1), False, 0)
    if state is PeerState.MISSING:
        roster.link(PEER, False, 0)
    assert roster.state(PEER) is state
    roster.drain()
    return roster


def wait(roster: Roster, until_ns: int) -> None:
    """Call the timer whenever it is due."""
    while (due_ns := roster.next_timer_ns()) <= until_ns:
        roster.on_timer(due_ns)


def happen(roster: Roster, event: PeerEvent) -> None:
    """Let an event happen to `PEER` after two seconds, by the calls that a runtime makes."""
    now_ns, known = 2 * S, roster.peers.get(PEER)
    same = Member(PEER, "peer", 1)
    if event in (PeerEvent.NEW_HELLO, PeerEvent.NEW_ASK):
        incarnation = 1 if known is None else known.incarnation + 1
        roster.hello(Member(PEER, "peer", incarnation), event is PeerEvent.NEW_ASK, now_ns)
    elif event in (PeerEvent.HELLO, PeerEvent.ASK):
        roster.hello(same, event is PeerEvent.ASK, now_ns)
    elif event is PeerEvent.MESSAGE:
        roster.message(PEER, now_ns)
    elif event is PeerEvent.UNREADABLE:
        roster.unreadable(PEER, now_ns)
    elif event in (PeerEvent.LINK_OPENED, PeerEvent.LINK_CLOSED):
        roster.link(PEER, event is PeerEvent.LINK_OPENED, now_ns)
    elif event is PeerEvent.DISTRUSTED:
        roster.distrust(PEER, now_ns)
    elif event is PeerEvent.STALE:
        roster.stale(PEER, now_ns)
    elif event is PeerEvent.RAISED:
        roster.raised(now_ns)
    elif event is PeerEvent.UNMET:
        roster.link(PEER, True, 0)
        roster.drain()
        wait(roster, now_ns)
    elif event is PeerEvent.SILENT:
        wait(roster, 12 * S)
    else:
        roster.link(OTHER, False, 0)  # It stays missing, so the session is opened again after a minute at most.
        while roster.session is not SessionState.REOPENING:
            roster.on_timer(roster.next_timer_ns())


@pytest.mark.parametrize(
    ("state", "event"), [pair for pair in TRANSITIONS if isinstance(pair[1], PeerEvent)], ids=lambda each: each.name
)
def test_every_step_of_a_peer_happens_as_the_table_says(state: PeerState, event: PeerEvent) -> None:
    step = TRANSITIONS[state, event]
    roster = roster_with(state)
    happen(roster, event)
    assert step.state is roster.state(PEER)
    orders = [order.action for order in roster.drain() if order.peers == (PEER,)]
    if event is PeerEvent.REOPENING:  # It was asked for before, if it was missing.
        orders = [action for action in orders if action is not Action.ASK]
    assert list(step.actions) == orders


@pytest.mark.parametrize(
    ("state", "event"), [pair for pair in TRANSITIONS if isinstance(pair[1], SessionEvent)], ids=lambda each: each.name
)
def test_every_step_of_the_session_happens_as_the_table_says(state: SessionState, event: SessionEvent) -> None:
    roster = roster_with(PeerState.MISSING)
    now_ns = 0
    if state is not SessionState.OPEN:
        while roster.session is SessionState.OPEN:
            roster.on_timer(now_ns := roster.next_timer_ns())
    if state is SessionState.FAILED:
        roster.reopened(False, now_ns)
    roster.drain()
    assert state is roster.session
    if event in (SessionEvent.OPENED, SessionEvent.NOT_OPENED):
        roster.reopened(event is SessionEvent.OPENED, now_ns)
    elif event is SessionEvent.RENEWED:
        roster.renew()
    else:
        while roster.session is state:
            roster.on_timer(roster.next_timer_ns())
    step = TRANSITIONS[state, event]
    assert step.state is roster.session
    missing = {
        Action.REOPEN: (PEER,) if state is SessionState.OPEN else (PEER, OTHER),
        Action.ASK_ALL: (),
        Action.RENEW: (),
    }
    assert [Order(action, missing[action]) for action in step.actions] == [
        order for order in roster.drain() if order.action in missing
    ]


@pytest.mark.parametrize(
    ("states", "events"), [(PeerState, PeerEvent), (SessionState, SessionEvent)], ids=["peer", "session"]
)
def test_every_state_is_reached_and_left(states: type[enum.Enum], events: type[enum.Enum]) -> None:
    reached, seen = {next(iter(states))}, 0
    while len(reached) > seen:
        seen = len(reached)
        reached |= {step.state for (state, _), step in TRANSITIONS.items() if state in reached}
    assert set(states) == reached
    assert set(events) == {event for state, event in TRANSITIONS if state in states}
    for state in states:
        assert any(step.state is not state for (source, _), step in TRANSITIONS.items() if source is state)


@pytest.mark.parametrize(
    ("name", "states", "events"), [("peer", PeerState, PeerEvent), ("session", SessionState, SessionEvent)]
)
def test_the_page_shows_the_table(
    name: str, states: type[enum.Enum], events: type[enum.Enum], request: pytest.FixtureRequest
) -> None:
    text = PAGE.read_text()
    pattern = rf"(<!-- {name} states -->\n)(.*?)(<!-- end -->)"
    made = table(states, events)
    if request.config.getoption("--rewrite"):
        PAGE.write_text(re.sub(pattern, lambda match: match[1] + made + match[3], text, flags=re.S))
    else:
        found = re.search(pattern, text, flags=re.S)
        assert found is not None and made == found[2]
