"""The states of a peer and of the transport's session, as one table: state x event -> next state and actions.

`Roster` takes every step from `TRANSITIONS`, and docs/reference/states.md shows it. A pair
that is not in it cannot occur.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class PeerState(enum.Enum):
    """What this node knows of another member."""

    UNKNOWN = "no hello of it was accepted, or its certificate is no longer valid"
    ALIVE = "it has said hello, and a link to it is open or it was heard since the last one closed"
    MISSING = "it has said hello, but was not heard since its link closed or this node raised its incarnation"


@enum.unique
class PeerEvent(enum.Enum):
    """What can happen with a peer."""

    NEW_HELLO = "the hello of a new member or a new incarnation"
    NEW_ASK = "such a hello that asks for one"
    HELLO = "the hello of a known incarnation"
    ASK = "a known hello that asks for one"
    MESSAGE = "a message that the node accepted"
    UNREADABLE = "a message under keys that are not known"
    LINK_OPENED = "the transport has a link to it"
    LINK_CLOSED = "the transport has lost the link to it"
    STALE = "a hello of an earlier incarnation, of another process with the same one, or of another name with its id"
    UNMET = "it has a link, and has not answered a hello for some seconds"
    SILENT = "it is missing, and 10 s have passed since missing peers were last asked"
    REOPENING = "the session is opened again"
    RAISED = "this node goes on as a later incarnation, which no peer knows yet"
    DISTRUSTED = "its certificate was revoked or has expired"


class SessionState(enum.Enum):
    """The transport's session."""

    OPEN = "links can be there"
    REOPENING = "it is being closed and opened again"
    FAILED = "it could not be opened"


class SessionEvent(enum.Enum):
    """What can happen with the session."""

    PATIENCE_OVER = "peers have been missing for too long"
    OPENED = "it was opened again"
    NOT_OPENED = "it could not be opened again"
    LOOK = "one to two seconds have passed"
    RENEWED = "certificates were revoked or renewed"


class Action(enum.Enum):
    """What the roster asks its runtime to do."""

    ADD = "add it to the node's peers"
    REPEAT = "the node sends again what the peer has not acknowledged"
    ASK = "send a hello that asks for one"
    REPLY = "send a hello"
    RETURN = "send it the newest hello that is known of it"
    REPORT_LOSS = "log that the link is lost"
    REOPEN = "close and open the session"
    RENEW = "close and open the session with the present certificates"
    ASK_ALL = "send all members a hello that asks for one"


@dataclass(frozen=True, slots=True)
class Step:
    """The next state, and the actions in order."""

    state: enum.Enum
    actions: tuple[Action, ...] = ()


def _table() -> dict[tuple[enum.Enum, enum.Enum], Step]:
    unknown, alive, missing = PeerState.UNKNOWN, PeerState.ALIVE, PeerState.MISSING
    on = PeerEvent
    # Messages on their way to a former incarnation are lost, so the node repeats them for a new one.
    table: dict[tuple[enum.Enum, enum.Enum], Step] = {}
    for state in PeerState:
        table[state, on.NEW_HELLO] = Step(alive, (Action.ADD, Action.REPEAT, Action.ASK))
        table[state, on.NEW_ASK] = Step(alive, (Action.ADD, Action.REPEAT, Action.REPLY))
        table[state, on.UNREADABLE] = Step(state, (Action.ASK,))
        table[state, on.STALE] = Step(state, (Action.RETURN,))
        table[state, on.DISTRUSTED] = Step(unknown)
    return table | {
        (unknown, on.MESSAGE): Step(unknown),
        (unknown, on.LINK_OPENED): Step(unknown, (Action.ASK,)),
        (unknown, on.LINK_CLOSED): Step(unknown),
        (unknown, on.UNMET): Step(unknown, (Action.ASK,)),
        (alive, on.HELLO): Step(alive),
        (alive, on.ASK): Step(alive, (Action.REPLY,)),
        (alive, on.MESSAGE): Step(alive),
        (alive, on.LINK_OPENED): Step(alive, (Action.ASK,)),
        (alive, on.LINK_CLOSED): Step(missing, (Action.REPORT_LOSS,)),
        (alive, on.REOPENING): Step(missing),
        # Messages that overtake the new hello are lost, so the node repeats them for a peer that answers it.
        (alive, on.RAISED): Step(missing),
        (missing, on.HELLO): Step(alive, (Action.REPEAT,)),
        (missing, on.ASK): Step(alive, (Action.REPEAT, Action.REPLY)),
        (missing, on.MESSAGE): Step(alive, (Action.REPEAT,)),
        (missing, on.LINK_OPENED): Step(alive, (Action.REPEAT, Action.ASK)),
        (missing, on.LINK_CLOSED): Step(missing),
        (missing, on.SILENT): Step(missing, (Action.ASK,)),
        (missing, on.REOPENING): Step(missing),
        (missing, on.RAISED): Step(missing),
        (SessionState.OPEN, SessionEvent.PATIENCE_OVER): Step(SessionState.REOPENING, (Action.REOPEN,)),
        # What is under way may have begun with the former certificates.
        (SessionState.OPEN, SessionEvent.RENEWED): Step(SessionState.REOPENING, (Action.RENEW,)),
        (SessionState.REOPENING, SessionEvent.RENEWED): Step(SessionState.REOPENING, (Action.RENEW,)),
        (SessionState.FAILED, SessionEvent.RENEWED): Step(SessionState.FAILED),
        (SessionState.FAILED, SessionEvent.LOOK): Step(SessionState.REOPENING, (Action.REOPEN,)),
        (SessionState.REOPENING, SessionEvent.OPENED): Step(SessionState.OPEN, (Action.ASK_ALL,)),
        (SessionState.REOPENING, SessionEvent.NOT_OPENED): Step(SessionState.FAILED, (Action.ASK_ALL,)),
    }


TRANSITIONS = _table()


def table(states: type[enum.Enum], events: type[enum.Enum]) -> str:
    """The transitions of these states as Markdown, one row per event and one column per state."""
    names = [_words(state) for state in states]
    lines = ["| event | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for event in events:
        cells = []
        for state in states:
            step = TRANSITIONS.get((state, event))
            if step is None:
                cells.append("–")
                continue
            moved = f"**{_words(step.state)}**" if step.state is not state else ""
            cells.append(": ".join(filter(None, [moved, ", ".join(map(_words, step.actions))])) or "no change")
        lines.append(f"| {_words(event)}: {event.value} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _words(member: enum.Enum) -> str:
    return member.name.lower().replace("_", " ")
