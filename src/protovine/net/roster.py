"""Who is there: which members said hello, which of them can be heard, and when to ask for the others.

The roster does no I/O and reads no clock. Its caller tells it what happened and the time, carries out the orders that
`Roster.drain` returns, and calls `Roster.on_timer` when `Roster.next_timer_ns` says so. Each step is a row of
`protovine.net.states.TRANSITIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protovine.net.pacing import Patience, TokenBucket
from protovine.net.security.hello import Member
from protovine.net.states import TRANSITIONS, Action, PeerEvent, PeerState, SessionEvent, SessionState
from protovine.records import SECOND_NS

# Peers whose last hello or link is remembered; beyond this number they are invented ids, not members.
_HELLO_TIMES_MAX = 1000
# A member with a link is asked so often as one that is missing. If it never answers it is refused, or refuses this one.
_MEET_TRIES = 60


@dataclass(frozen=True, slots=True)
class RosterTiming:
    """Periods in seconds.

    Parameters
    ----------
    ask_s, ask_s_max : float
        While members are missing that this node has not met, it asks all for hellos: after this time, then less and
        less often up to the longest.
    look_s : float
        Missing peers are looked for once in one to two such periods.
    ask_missing_s : float
        A peer that was met and is missing is asked this often. So is one with an open link that was never met: sooner
        at first, and after many attempts once in ``ask_s_max``.
    reopen_s, reopen_s_max : float
        The session is opened again when a peer has been missing for this long, and then for twice as long.
    reopen_alone_s, reopen_alone_s_max : float
        The same when no peer is there.
    hello_s : float
        A peer is sent at most one hello in this time.
    strangers_per_s, stranger_burst : float
        Hellos to senders that have not said hello and may not exist.
    """

    ask_s: float = 1.0
    ask_s_max: float = 60.0
    look_s: float = 1.0
    ask_missing_s: float = 10.0
    reopen_s: float = 60.0
    reopen_s_max: float = 3600.0
    reopen_alone_s: float = 20.0
    reopen_alone_s_max: float = 300.0
    hello_s: float = 1.0
    strangers_per_s: float = 5.0
    stranger_burst: float = 200.0


@dataclass(frozen=True, slots=True)
class Order:
    """An action, with the peer it is for; `Action.REOPEN` has all missing peers, `Action.ASK_ALL` none."""

    action: Action
    peers: tuple[int, ...] = ()


@dataclass(slots=True)
class _Unmet:
    """A member with an open link that has not said hello: when to ask it next, and how often it was asked."""

    due_ns: int
    wait_s: float
    tries: int = 0


@dataclass(slots=True)
class RosterPeer:
    """A member whose hello was accepted and that is still trusted."""

    name: str
    incarnation: int
    state: PeerState


class Roster:
    """The peers of one node and the state of its session.

    Parameters
    ----------
    expected : int
        Members to meet before the node stops asking all.
    draw : callable () -> float
        Uniform in [0, 1), so that members do not ask in step.
    timing : RosterTiming
    now_ns : int
        When the roster begins.
    neighbours : frozenset of int or None
        Members to meet; all, if None.

    Its properties may be read in any thread.
    """

    def __init__(
        self,
        expected: int,
        draw: Callable[[], float],
        timing: RosterTiming,
        now_ns: int,
        neighbours: frozenset[int] | None = None,
    ) -> None:
        self.expected, self.timing, self.neighbours = expected, timing, neighbours
        self.peers: dict[int, RosterPeer] = {}
        self.session = SessionState.OPEN
        self._draw = draw
        self._orders: list[Order] = []
        self._linked: set[int] = set()
        self._unmet: dict[int, _Unmet] = {}
        self._hello_at_ns: dict[int, int] = {}
        # Hellos for members that had one just before: when they may leave. The one before may have been refused, for
        # example because a clock has been set since.
        self._late: dict[int, tuple[int, Action]] = {}
        self._returned_at_ns: dict[int, int] = {}
        self._stranger_hellos = TokenBucket(timing.strangers_per_s, timing.stranger_burst, now_ns)
        self._some = Patience(_ns(timing.reopen_s), _ns(timing.reopen_s_max), now_ns)
        self._all = Patience(_ns(timing.reopen_alone_s), _ns(timing.reopen_alone_s_max), now_ns)
        self._ask_wait_s = timing.ask_s
        self._ask_at_ns = now_ns + _ns(draw() * timing.ask_s)
        self._asked_missing_ns = now_ns
        self._look_at_ns: int | None = now_ns + self._look_period_ns()
        self._asleep = False  # Whether the last look found nothing to look after.

    @property
    def names(self) -> dict[int, str]:
        """Names of the peers that have said hello, by id, in the order in which they were met."""
        return {peer: known.name for peer, known in list(self.peers.items())}

    @property
    def alive(self) -> set[int]:
        """Peers that can be heard."""
        return {peer for peer, known in list(self.peers.items()) if known.state is PeerState.ALIVE}

    @property
    def missing(self) -> list[int]:
        """Peers that have said hello and cannot be heard, ascending."""
        return sorted(peer for peer, known in list(self.peers.items()) if known.state is PeerState.MISSING)

    def state(self, peer: int) -> PeerState:
        """The state of a peer."""
        known = self.peers.get(peer)
        return PeerState.UNKNOWN if known is None else known.state

    # -- What happened. ------------------------------------------------------------------------------------------------

    def hello(self, member: Member, asks: bool, now_ns: int) -> None:
        """The envelope accepted a member's hello; ``asks`` if it wants one back."""
        self._unmet.pop(member.id, None)
        known = self.peers.get(member.id)
        if known is not None and known.incarnation == member.incarnation:
            self._step(member.id, PeerEvent.ASK if asks else PeerEvent.HELLO, now_ns)
            return
        if known is None:
            self.peers[member.id] = RosterPeer(member.name, member.incarnation, PeerState.UNKNOWN)
        else:
            known.incarnation = member.incarnation
        self._step(member.id, PeerEvent.NEW_ASK if asks else PeerEvent.NEW_HELLO, now_ns)

    def message(self, peer: int, now_ns: int) -> None:
        """The node accepted a message of a peer."""
        self._step(peer, PeerEvent.MESSAGE, now_ns)

    def unreadable(self, peer: int, now_ns: int) -> None:
        """A message came under keys that are not known; ``peer`` is its claimed sender."""
        self._step(peer, PeerEvent.UNREADABLE, now_ns)

    def stale(self, peer: int, now_ns: int) -> None:
        """A hello is older than the one that is known; ``peer`` is its claimed sender."""
        self._step(peer, PeerEvent.STALE, now_ns)

    def link(self, peer: int, open: bool, now_ns: int) -> None:
        """The transport has a link to ``peer``, or has lost it."""
        if not open:
            self._linked.discard(peer)
            self._unmet.pop(peer, None)
        elif len(self._linked) < _HELLO_TIMES_MAX:
            self._linked.add(peer)
            self._meet(peer, now_ns)
        self._step(peer, PeerEvent.LINK_OPENED if open else PeerEvent.LINK_CLOSED, now_ns)

    def distrust(self, peer: int, now_ns: int) -> None:
        """The certificate of ``peer`` is no longer valid."""
        self._step(peer, PeerEvent.DISTRUSTED, now_ns)
        self._meet(peer, now_ns)  # It may get another certificate.

    def renew(self) -> None:
        """Other certificates are revoked than before, or the own one is another."""
        self._session_step(SessionEvent.RENEWED)

    def reopened(self, opened: bool, now_ns: int) -> None:
        """The session was opened again, or could not be."""
        self._session_step(SessionEvent.OPENED if opened else SessionEvent.NOT_OPENED)
        self._look_again(now_ns)

    def raised(self, now_ns: int) -> None:
        """This node goes on as a later incarnation: tell all, and ask for those that do not answer."""
        for peer in list(self.peers):
            self._step(peer, PeerEvent.RAISED, now_ns)
        self.ask_again(now_ns)

    def ask_again(self, now_ns: int) -> None:
        """Ask all for hellos now, soon again if too few answer, and soon again members with a link that do not."""
        for peer in sorted(self._unmet):
            self._meet(peer, now_ns)
        self._ask_wait_s = self.timing.ask_s
        self._ask_at_ns = now_ns + _ns(self._ask_wait_s * (0.5 + self._draw()))
        self._orders.append(Order(Action.ASK_ALL))

    # -- Time. ---------------------------------------------------------------------------------------------------------

    def next_timer_ns(self) -> int:
        """When `on_timer` is due."""
        due_ns = [self._ask_at_ns, *(each.due_ns for each in self._unmet.values())]
        due_ns += [at_ns for at_ns, _ in self._late.values()]
        return min(due_ns if self._look_at_ns is None else [*due_ns, self._look_at_ns])

    def on_timer(self, now_ns: int) -> None:
        """Do what is due by now."""
        if now_ns >= self._ask_at_ns:
            if len(self.peers) < self.expected:
                self._orders.append(Order(Action.ASK_ALL))
            self._ask_at_ns = now_ns + _ns(self._ask_wait_s * (0.5 + self._draw()))
            self._ask_wait_s = min(2 * self._ask_wait_s, self.timing.ask_s_max)
        for peer, (at_ns, action) in sorted(self._late.items()):
            if now_ns >= at_ns:
                del self._late[peer]
                if peer in self.peers:
                    self._hello_at_ns[peer] = now_ns
                    self._orders.append(Order(action, (peer,)))
        for peer, unmet in sorted(self._unmet.items()):
            if now_ns >= unmet.due_ns:
                self._step(peer, PeerEvent.UNMET, now_ns)
                unmet.tries += 1
                often = unmet.tries < _MEET_TRIES
                unmet.wait_s = min(2 * unmet.wait_s, self.timing.ask_missing_s) if often else self.timing.ask_s_max
                unmet.due_ns = now_ns + _ns(unmet.wait_s * (0.5 + self._draw()))
        if self._look_at_ns is not None and now_ns >= self._look_at_ns:
            self._look_at_ns = now_ns + self._look_period_ns()
            self._look(now_ns)
            if not self.missing and self.session is SessionState.OPEN:
                self._look_at_ns, self._asleep = None, True  # Nobody wakes a node whose peers are all there.

    def drain(self) -> list[Order]:
        """The orders since the last call."""
        orders, self._orders = self._orders, []
        return orders

    def _meet(self, peer: int, now_ns: int) -> None:
        """From now on ask for this member from time to time, if it has a link and was not met."""
        wanted = self.neighbours is None or peer in self.neighbours
        if wanted and peer in self._linked and peer not in self.peers:
            wait_s = self.timing.ask_s
            self._unmet[peer] = _Unmet(now_ns + _ns(wait_s * (0.5 + self._draw())), wait_s)

    def _look(self, now_ns: int) -> None:
        """Ask for missing peers, and open the session again if they have been missing for too long."""
        missing = self.missing
        if missing and now_ns - self._asked_missing_ns > _ns(self.timing.ask_missing_s):
            self._asked_missing_ns = now_ns
            for peer in missing:
                self._step(peer, PeerEvent.SILENT, now_ns)
        # Both are asked each time, because each notices when its problem ends.
        all_missing = bool(missing) and len(missing) == len(self.peers)
        over = [self._some.over(bool(missing), now_ns), self._all.over(all_missing, now_ns)]
        if self.session is SessionState.FAILED:
            self._session_step(SessionEvent.LOOK)
        elif any(over):
            self._session_step(SessionEvent.PATIENCE_OVER)

    def _look_again(self, now_ns: int) -> None:
        """Look from now on. If there was no reason to, all was well until now."""
        if self._asleep:
            self._asleep = False
            self._some.over(False, now_ns)
            self._all.over(False, now_ns)
        self._look_at_ns = now_ns + self._look_period_ns()

    def _look_period_ns(self) -> int:
        return _ns(self.timing.look_s * (1.0 + self._draw()))

    # -- Steps. --------------------------------------------------------------------------------------------------------

    def _step(self, peer: int, event: PeerEvent, now_ns: int) -> None:
        step = TRANSITIONS[self.state(peer), event]
        if step.state is PeerState.UNKNOWN:
            self.peers.pop(peer, None)
        else:
            assert isinstance(step.state, PeerState)
            self.peers[peer].state = step.state
            if step.state is PeerState.MISSING and self._asleep and self.session is SessionState.OPEN:
                self._look_again(now_ns)
        for action in step.actions:
            if action is Action.RETURN:
                allowed = self._may_return(peer, now_ns)
            else:
                allowed = action not in (Action.ASK, Action.REPLY) or self._may_send_hello(peer, action, now_ns)
            if allowed:
                self._orders.append(Order(action, (peer,)))

    def _session_step(self, event: SessionEvent) -> None:
        step = TRANSITIONS[self.session, event]
        assert isinstance(step.state, SessionState)
        self.session = step.state
        missing = tuple(self.missing)
        if step.state is SessionState.REOPENING:
            self._look_at_ns = None
            for known in self.peers.values():
                found = TRANSITIONS[known.state, PeerEvent.REOPENING].state
                assert isinstance(found, PeerState)
                known.state = found
        self._orders += [Order(action, missing if action is Action.REOPEN else ()) for action in step.actions]

    def _may_send_hello(self, peer: int, action: Action, now_ns: int) -> bool:
        """Whether a hello may go to this peer now: not too often, and rarely to senders that may not exist.

        A member that had one just before gets another a little later.
        """
        last_ns = self._hello_at_ns.get(peer)
        if last_ns is not None and now_ns - last_ns < _ns(self.timing.hello_s):
            if peer in self.peers and self._late.get(peer, (0, action))[1] is not Action.ASK:
                self._late[peer] = last_ns + _ns(self.timing.hello_s), action
            return False
        self._late.pop(peer, None)
        if peer not in self.peers and not self._stranger_hellos.take(now_ns):
            return False
        if len(self._hello_at_ns) > _HELLO_TIMES_MAX:
            self._hello_at_ns.clear()
        self._hello_at_ns[peer] = now_ns
        return True

    def _may_return(self, peer: int, now_ns: int) -> bool:
        """Whether a member may be sent its own hello now."""
        last_ns = self._returned_at_ns.get(peer)
        if last_ns is not None and now_ns - last_ns < _ns(self.timing.hello_s):
            return False
        self._returned_at_ns[peer] = now_ns
        return True


def _ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)
