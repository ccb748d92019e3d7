"""The tapes of several starts of a node, one after the other, each from the snapshot that one before it left."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from protovine.errors import DataError, ProtovineError, SnapshotError
from protovine.exchange import FOREVER_NS, Forgotten
from protovine.node import Node
from protovine.records import SECOND_NS
from protovine.snapshot import pack, unpack
from protovine.tape.calls import AnyCall, Began, Cleaned, Restored, repeat
from protovine.tape.files import Tape, TapeError
from protovine.tape.play import Beginning, Without, play_leaving_out

# How a start begins: with nothing, with a snapshot that a tape leads to, or with a state that no tape leads to.
NOTHING, SNAPSHOT, STATE = "nothing", "snapshot", "state"
# Id of no member.
_NOBODY = -1


@dataclass(frozen=True)
class Start:
    """One start of a node, as its tape has it.

    Parameters
    ----------
    name : str
        Of the tape.
    begins : str
        ``nothing``; ``snapshot``, to which the tape ``source`` leads; ``state``, to which no tape leads.
    source : str or None
    why : str
        Why no tape leads to the state that it begins with, or why the tape cannot be played; empty otherwise.
    broken : bool
        Whether that is a fault. The first tape may begin with any state, since tapes may begin later than the node.
    began_ns, ended_ns : int
        Time of the first and the last call; 0, as the other numbers, where a damaged tape does not say.
    incarnation : int
    calls : int
    samples_learnt : int
        By the node, at the end.
    cleaned : int or None
        Not a start: between two starts this member was forgotten in the saved state (`protovine state forget`).
    """

    name: str
    begins: str
    source: str | None
    why: str
    broken: bool
    began_ns: int
    ended_ns: int
    incarnation: int
    calls: int
    samples_learnt: int
    cleaned: int | None = None


@dataclass(frozen=True)
class Chain:
    """What came of the tapes of several starts.

    Parameters
    ----------
    starts : tuple of Start
        In order.
    source : str or None
        The tape that leads to the wanted state; None if no tape does, or none was wanted.
    why : str
        Why no tape leads to it; empty otherwise.
    other : Beginning or None
        That state as it would be without the member that was left out, from the first start on.
    """

    starts: tuple[Start, ...]
    source: str | None
    why: str
    other: Beginning | None

    @property
    def leading(self) -> tuple[Start, ...]:
        """The starts that lead to the wanted state, in order."""
        wanted, found = self.source, list[Start]()
        for start in reversed(self.starts):
            if start.name == wanted:
                found.append(start)
                wanted = start.source
        return tuple(reversed(found))

    @property
    def broken(self) -> tuple[Start, ...]:
        """Starts that do not go on from the tapes before them, or cannot be played."""
        return tuple(start for start in self.starts if start.broken)


def comparable(saved: Mapping[str, Any]) -> bytes:
    """What two snapshots of one moment have in common, however many samples that wait for labels were saved.

    Parameters
    ----------
    saved : mapping
        A snapshot, as `protovine.snapshot.unpack` returns it.

    Examples
    --------
    >>> from protovine.node import make_example_node
    >>> node = make_example_node()
    >>> _ = node.observe([0.1], now_ns=1, sample_id=7)  # Its label may come later.
    >>> all_of_it, without = node.snapshot(), node.snapshot(awaiting=())
    >>> all_of_it == without, comparable(unpack(all_of_it)) == comparable(unpack(without))
    (False, True)
    """
    return pack({name: saved[name] for name in sorted(saved) if name not in ("unlabelled", "given_up")})


def play_chain(
    tapes: Sequence[Tape],
    make: Callable[[Began], Node],
    saved: bytes | None = None,
    member: int | None = None,
    since_ns: int = 0,
    until_ns: int = FOREVER_NS,
) -> Chain:
    """Repeat the calls of several starts, and find for each the tape that leads to the state that it began with.

    A replay must equal that state to the last bit. Any earlier tape may lead there: a start that was killed before it
    saved anything leads nowhere, and the next one goes on from the same snapshot.

    Parameters
    ----------
    tapes : sequence of Tape
        In the order of their starts: `read_tapes`.
    make : callable (Began) -> Node
        Makes a fresh node with the same settings and seed.
    saved : bytes, optional
        Snapshot of the node (`Node.snapshot`) that the tapes should lead to.
    member : int, optional
        Whose items to leave out.
    since_ns, until_ns : int
        First and last event time of the items to leave out.

    Examples
    --------
    A tape that is damaged is broken, and the others are played all the same.

    >>> from protovine.node import make_example_node
    >>> from protovine.tape import AnyCall, TapedNode
    >>> first: list[AnyCall] = []
    >>> second: list[AnyCall] = []
    >>> node = TapedNode(make_example_node(), first.append)
    >>> _ = node.observe([0.1], 0, now_ns=5)
    >>> saved = node.snapshot()
    >>> again = TapedNode(make_example_node(), second.append)  # The second start goes on from there.
    >>> again.restore(saved, now_ns=9)
    >>> tapes = [Tape("tape.0001", lambda: first, 1), Tape("tape", lambda: second, 2)]
    >>> chain = play_chain(tapes, lambda began: make_example_node(), again.snapshot())
    >>> [(start.name, start.begins, start.source) for start in chain.starts], chain.source
    ([('tape.0001', 'nothing', None), ('tape', 'snapshot', 'tape.0001')], 'tape')
    """
    heads = [head for tape in tapes if (head := _head(tape)) is not None]
    leave_out, whom = Forgotten(), _NOBODY if member is None else member
    if member is not None:
        leave_out.add(member, since_ns, until_ns)
        for head in heads:
            # From there on the node is one that never got the items of that member. So is the other, from the first on.
            if head.cleaned is not None:
                leave_out.add(head.cleaned.peer, head.cleaned.since_ns, head.cleaned.until_ns)
    made = _Replay(make, whom, leave_out)
    for data in (*(head.restored.data for head in heads if head.restored is not None), saved):
        made.look_for(data)
    starts = tuple(made.play(head, first=at == 0) for at, head in enumerate(heads))
    found = made.led_to(saved)
    if found is None:
        return Chain(starts, None, "" if saved is None else made.why_not(saved), None)
    return Chain(starts, found.source, "", found.other)


class _Head(NamedTuple):
    """How a tape begins."""

    tape: Tape
    began: Began | None
    # A node that was just built has no time yet, so this is that of its first call.
    at_ns: int
    restored: Restored | None
    cleaned: Cleaned | None
    # Why it cannot be played at all; empty if it can.
    damage: str = ""


def _head(tape: Tape) -> _Head | None:
    """The head of a tape; None if it has no calls."""
    calls: list[AnyCall] = []
    damage = ""
    try:
        calls.extend(islice(tape.calls(), 3))
    except DataError as error:
        damage = _why(error)
    if not calls:
        return _Head(tape, None, 0, None, None, damage) if damage else None
    began, *more = calls
    if not isinstance(began, Began):
        return _Head(tape, None, 0, None, None, damage or "damaged: it does not begin with the building of its node")
    restored = more[0] if more and isinstance(more[0], Restored) else None
    cleaned = more[1] if len(more) > 1 and isinstance(more[1], Cleaned) else None
    for call in (restored, cleaned):
        try:
            _target(None if call is None else call.data)
        except (SnapshotError, LookupError, TypeError, ValueError) as error:
            damage = damage or f"damaged: the state in it: {error}"
    at_ns = next((call.now_ns for call in calls if call.now_ns), 0)
    return _Head(tape, began, at_ns, None if damage else restored, None if damage else cleaned, damage)


def _why(error: DataError) -> str:
    return error.why if isinstance(error, TapeError) else f"damaged: {error}"


class _Target(NamedTuple):
    """A snapshot that a tape may lead to, by what it has in common with others of the same moment."""

    digest: bytes
    moment: tuple[int, int]
    awaiting: frozenset[int]


class _Point(NamedTuple):
    """The tape that led to a target, and what the other node was there."""

    source: str
    other: Beginning


class _Replay:
    """Plays tapes in order, and keeps where they lead to a snapshot that is looked for."""

    def __init__(self, make: Callable[[Began], Node], member: int, leave_out: Forgotten) -> None:
        self._make, self._member, self._leave_out = make, member, leave_out
        self._targets: dict[tuple[int, int], dict[bytes, _Target]] = defaultdict(dict)
        self._points: dict[bytes, _Point] = {}
        self._before: _Head | None = None
        self._ended_ns = 0

    def look_for(self, data: bytes | None) -> None:
        """From now on, look for this snapshot."""
        target = _target(data)
        if target is not None:
            self._targets[target.moment].setdefault(target.digest, target)

    def led_to(self, data: bytes | None) -> _Point | None:
        """Where a tape led to this snapshot."""
        target = _target(data)
        return None if target is None else self._points.get(target.digest)

    def play(self, head: _Head, first: bool) -> Start:
        """Play one tape."""
        if head.damage or head.began is None:
            self._before, self._ended_ns = head, head.at_ns
            incarnation = 0 if head.began is None else head.began.incarnation
            return Start(head.tape.name, STATE, None, head.damage, True, head.at_ns, head.at_ns, incarnation, 0, 0)
        point = None if head.restored is None else self.led_to(head.restored.data)
        begins = NOTHING if head.restored is None else STATE if point is None else SNAPSHOT
        why = self.why_not(head.restored.data, head.tape.number) if head.restored and begins == STATE else ""
        calls, learnt, ended_ns, error, damage = 0, 0, head.at_ns, "", ""
        if head.cleaned is not None:
            calls, ended_ns = 3, head.cleaned.now_ns
            learnt = self._clean(head.tape.name, head.cleaned, point)
        else:
            try:
                for each in self._nodes(head, point):
                    calls, learnt, ended_ns = calls + 1, each.node.samples_learnt, each.node.now_ns
                    for target in self._reached(each.node):
                        other = Beginning(each.other.snapshot(target.awaiting), each.exact, each.contribution)
                        self._points[target.digest] = _Point(head.tape.name, other)
            except DataError as found:
                damage = f"{_why(found)} (after {calls} calls)"
            except (ProtovineError, ValueError, LookupError, TypeError) as found:
                error = f"after {calls} calls it cannot be played with these settings: {found}"
        self._before, self._ended_ns = head._replace(damage=damage), ended_ns
        return Start(
            head.tape.name,
            begins,
            None if point is None else point.source,
            "; ".join(filter(None, (damage, why, error))),
            bool(error or damage) or (begins == STATE and not first),
            head.at_ns,
            max(head.at_ns, ended_ns),
            head.began.incarnation,
            calls,
            learnt,
            None if head.cleaned is None else head.cleaned.peer,
        )

    def _nodes(self, head: _Head, point: _Point | None) -> Iterator[Without]:
        """Both nodes after each call; one, if nobody is left out."""
        if self._leave_out.senders:
            beginning = None if point is None else point.other
            yield from play_leaving_out(head.tape.calls(), self._make, self._member, self._leave_out, beginning)
            return
        assert head.began is not None
        node = self._make(head.began)
        for call in head.tape.calls():
            repeat(call, node)
            node.drain()
            yield Without(node, node, True, None)

    def _reached(self, node: Node) -> Iterable[_Target]:
        """The snapshots that the node equals now, and that no tape led to before."""
        near = self._targets.get((node.now_ns, node.samples_learnt))
        wanted = [] if near is None else [each for each in near.values() if each.digest not in self._points]
        if not wanted:
            return []
        digest = _digest(unpack(node.snapshot()))
        return [target for target in wanted if target.digest == digest]

    def _clean(self, name: str, cleaned: Cleaned, point: _Point | None) -> int:
        """The state after a member was forgotten: that of the other node, which never got its items either."""
        target = _target(cleaned.data)
        if target is not None and point is not None:
            self._points.setdefault(target.digest, _Point(name, point.other))
        return 0 if target is None else target.moment[1]

    def why_not(self, data: bytes, number: int | None = None) -> str:
        """Why no tape before the one with this number leads to a state."""
        target = _target(data)
        if target is None:
            return "it is what another node had learnt (a seed, or carried over to another schema)"
        if self._before is None:
            return "it is from before the tapes"
        before = self._before.tape
        if number is not None and before.number is not None and number > before.number + 1:
            return f"tape {before.number + 1} is missing"
        if self._before.damage:
            return f"{before.name} is damaged"
        short_ns = target.moment[0] - self._ended_ns
        if short_ns > 0:
            return f"{before.name} ends {short_ns / SECOND_NS:.3f} s before it"
        return (
            f"a tape is missing, {before.name} was recorded with other settings, or the state was changed since "
            "(imported, or cleaned with --state)"
        )


def _target(data: bytes | None) -> _Target | None:
    """What to look for; None for a seed, which is no moment of a node."""
    saved = None if data is None else unpack(data)
    if saved is None or saved["node"] is None:
        return None
    awaiting = frozenset(name for name, *_ in saved["unlabelled"])
    return _Target(_digest(saved), (saved["now_ns"], saved["samples_learnt"]), awaiting)


def _digest(saved: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(comparable(saved)).digest()
