"""Whether this process may act under its name, when an earlier start is known or another process has its certificate.

Peers answer a hello that is older than the one that they know with the known one. So a process hears of every later
incarnation of its name, and of a process that runs at the same time. The rule: **the process that started last has the
name.** It raises its incarnation above all others. An earlier one stands by: it shares nothing, goes on
learning, asks every 2 s whether the other is still there, and takes the name back when it has not answered for 12 s.
Of two that are new (`ClaimTiming.new_s`) both raise theirs, and either may have the name in the end. One that is not
new gives another with the same incarnation (both started in one minute) the time to raise its own.
Two members that stand by, one after the other, are back within 30 s.

A process whose certificate is no longer valid has no right to the name: no other stands by for it. But peers may know
its incarnation, and refuse lower ones, so the rightful process raises its own above that.

Like the roster, it does no I/O and reads no clock. Times are nanoseconds of a clock that never jumps.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from protovine.errors import OwnNameError
from protovine.net.security.hello import INCARNATION_MAX
from protovine.records import SECOND_NS

SHARED = (
    "another process runs with this name and certificate: end one of them, or revoke the certificate and issue new ones"
)


class ClaimAction(enum.Enum):
    """What the claim asks its runtime to do."""

    RAISE = "go on as incarnation `Claim.wanted`, and tell all members"
    STAND_BY = "send nothing to peers"
    ANSWER = "send a new hello to all processes of this name"


@dataclass(frozen=True, slots=True)
class ClaimTiming:
    """Periods in seconds.

    Parameters
    ----------
    new_s, raises_max
        A process raises its incarnation at once, at most so often, for so long after its start and until a peer has
        accepted it. The same holds after it took the name back.
    ask_s : float
        A process that stands by asks this often for the other.
    silent_s : float
        The other is gone if nothing new was heard of it for so long.
    answer_s : float
        At most one answer in this time.
    remember_s : float
        `Claim.shared` is true for so long after a sign of another process.
    """

    new_s: float = 10.0
    raises_max: int = 3
    ask_s: float = 2.0
    silent_s: float = 12.0
    answer_s: float = 1.0
    remember_s: float = 60.0


class Claim:
    """The claim of one process to its name.

    Parameters
    ----------
    incarnation : int
    now_ns : int
        When the process started.
    timing : ClaimTiming

    Examples
    --------
    >>> claim = Claim(5, now_ns=0)
    >>> claim.heard(OwnNameError(5, b"before", 0, "known to a peer"), b"now", now_ns=10)
    [<ClaimAction.RAISE: 'go on as incarnation `Claim.wanted`, and tell all members'>]
    >>> claim.wanted
    6
    """

    def __init__(self, incarnation: int, now_ns: int, timing: ClaimTiming | None = None) -> None:
        self.incarnation = self.wanted = incarnation
        self.timing = timing or ClaimTiming()
        self.stands_by = False
        self._new_until_ns = now_ns + _ns(self.timing.new_s)
        self._raises = 0
        # Whether a peer knows this process by its present incarnation: a message of a peer opened.
        self.accepted = False
        # When each other start made its newest hello, by its own clock.
        self._made_ns: dict[tuple[int, bytes], int] = {}
        self._heard_ns = self._due_ns = now_ns
        # When to outgrow a start with the same incarnation.
        self._grow_ns: int | None = None
        self._answered_ns = now_ns - _ns(self.timing.answer_s)
        self._seen_ns: int | None = None
        self._outgrew_ns = now_ns - _ns(self.timing.silent_s)

    def shared(self, now_ns: int) -> bool:
        """Whether another process with this name showed within the last minute that it runs."""
        return self._seen_ns is not None and now_ns - self._seen_ns < _ns(self.timing.remember_s)

    def warnings(self, now_ns: int) -> list[str]:
        """What a person should know."""
        stands_by = ["this process stands by, because a later start of this node is known"] if self.stands_by else []
        shared = ["another process runs with this name and certificate"] if self.shared(now_ns) else []
        return stands_by + shared

    def heard(self, other: OwnNameError, public: bytes, now_ns: int) -> list[ClaimAction]:
        """A hello in this name came from another process; ``public`` is this one's. A repeated one changes nothing."""
        if other.incarnation >= INCARNATION_MAX:
            return []
        if not other.valid:
            return self._outgrow(other.incarnation, now_ns)
        start = other.incarnation, other.public
        made_ns = self._made_ns.get(start)
        if made_ns is not None and other.created_ns <= made_ns:
            return []
        if len(self._made_ns) >= _STARTS_MAX:
            self._made_ns.clear()
        self._made_ns[start] = other.created_ns
        # One hello may be of an earlier start that has ended. The second was made after the first had been heard.
        runs = made_ns is not None
        if runs:
            self._seen_ns = now_ns
        self.wanted = max(self.wanted, other.incarnation)
        is_new = not self.accepted or now_ns < self._new_until_ns
        is_new = is_new and self._raises < self.timing.raises_max
        if start > (self.incarnation, public):
            self._heard_ns = now_ns
            if is_new and not self.stands_by:
                return self._raise()
            if self.stands_by:
                return []
            self.stands_by, self._due_ns, self._grow_ns = True, now_ns + _ns(self.timing.ask_s), None
            return [ClaimAction.STAND_BY, ClaimAction.ANSWER]
        if self.stands_by:
            return []
        # Peers that met the other refuse this one. But a later start that runs has the name: it raises its own when it
        # hears of this one, and so it gets the time to.
        if other.incarnation == self.incarnation:
            if is_new:
                return self._raise()
            self._grow_ns = self._grow_ns or now_ns + _ns(self.timing.ask_s)
        if now_ns - self._answered_ns < _ns(self.timing.answer_s):
            return []
        self._answered_ns = now_ns
        return [ClaimAction.ANSWER]

    def next_timer_ns(self) -> int | None:
        """When `on_timer` is due, or None."""
        return self._due_ns if self.stands_by else self._grow_ns

    def on_timer(self, now_ns: int) -> list[ClaimAction]:
        """Standing by: ask for the other, or take the name back. Else outgrow a start with the same incarnation."""
        due_ns = self.next_timer_ns()
        if due_ns is None or now_ns < due_ns:
            return []
        if not self.stands_by:
            return self._raise()
        if now_ns - self._heard_ns >= _ns(self.timing.silent_s):
            self.stands_by, self.accepted = False, False
            # As after a start: peers may have met later processes, of which this one did not hear, and return their
            # hellos now.
            self._new_until_ns, self._raises = now_ns + _ns(self.timing.new_s), 0
            return self._raise()
        self._due_ns = now_ns + _ns(self.timing.ask_s)
        return [ClaimAction.ANSWER]

    def _outgrow(self, incarnation: int, now_ns: int) -> list[ClaimAction]:
        """Peers may know a start whose certificate is no longer valid. Its key must not cause many raises.

        What comes too often is not remembered: peers return it again while they refuse this process.
        """
        if incarnation < self.incarnation:
            return []
        if self.stands_by:
            self.wanted = max(self.wanted, incarnation)
            return []
        if now_ns - self._outgrew_ns < _ns(self.timing.silent_s):
            return []
        self._outgrew_ns = now_ns
        self.wanted = max(self.wanted, incarnation)
        return self._raise()

    def _raise(self) -> list[ClaimAction]:
        self._raises, self._grow_ns = self._raises + 1, None
        self.wanted += 1
        self.incarnation = self.wanted
        return [ClaimAction.RAISE]


# Other starts of this name that are remembered. Each has signed a hello with this name's key.
_STARTS_MAX = 1000


def _ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)
