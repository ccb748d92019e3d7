"""Calls that are repeated: on one node, and on another that never gets a member's items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from protovine.errors import DataError
from protovine.exchange import FOREVER_NS, Accepted, Exchange, Forgotten
from protovine.learn import Contribution
from protovine.node import Node
from protovine.records import Record
from protovine.snapshot import unpack
from protovine.tape.calls import AnyCall, Began, Delivered, Forgot, Restored, repeat


def play(calls: Iterable[AnyCall], node: Node) -> list[Record]:
    """Repeat the calls of a tape on a fresh node, and return the records of everything that it does.

    ``node`` must have the same settings, seed, id and incarnation (`Began`). Its neighbours come from the tape.

    Parameters
    ----------
    calls : iterable of calls
        As `TapedNode` wrote them, or `read_tape` reads them.
    node : Node

    Raises
    ------
    LocalProtocolError, SnapshotError
        The calls are not those of such a node.

    Examples
    --------
    >>> from protovine.node import make_example_node
    >>> from protovine.tape import TapedNode
    >>> calls: list[AnyCall] = []
    >>> taped = TapedNode(make_example_node(), calls.append)
    >>> for i in range(4):
    ...     _ = taped.observe([i / 4], i % 2, now_ns=i)
    >>> play(calls, make_example_node()) == taped.drain().records
    True
    """
    made: list[Record] = []
    for call in calls:
        repeat(call, node)
        made += node.drain().records
    return made


class Without(NamedTuple):
    """Two nodes at the same moment of a tape: as it was, and as if a member's items had never come.

    Parameters
    ----------
    node : Node
        As it was.
    other : Node
        Without the items. Its exchange is that of ``node``: what was sent was sent.
    exact : bool
        Whether ``other`` has nothing of the member. Otherwise the tape begins with a state that had heard of it.
    contribution : Contribution or None
        What that state had of the member, as `Node.forget` found it; None if its learner does not know.
    """

    node: Node
    other: Node
    exact: bool
    contribution: Contribution | None


class Beginning(NamedTuple):
    """What the second node of `play_without` begins with, where the first one begins with a saved state.

    Parameters
    ----------
    data : bytes
        Its own snapshot, of the moment of that state.
    exact : bool
        Whether nothing of the member is in it.
    contribution : Contribution or None
        What a state from before the tapes had of the member.
    """

    data: bytes
    exact: bool
    contribution: Contribution | None


def play_without(
    calls: Iterable[AnyCall],
    make: Callable[[Began], Node],
    member: int,
    since_ns: int = 0,
    until_ns: int = FOREVER_NS,
) -> Iterator[Without]:
    """Repeat the calls of a tape on two fresh nodes, one of which never gets a member's items; both after each call.

    Messages of the others are read by the first node alone, since they answer what it had sent. So ``other`` learns
    what a node would have learnt that got the same samples and the same items of all others at the same times.

    Parameters
    ----------
    calls : iterable of calls
    make : callable (Began) -> Node
        Makes a fresh node with the same settings and seed.
    member : int
    since_ns, until_ns : int
        First and last event time of the items to leave out.

    Raises
    ------
    DataError
        The calls do not begin with the building of the node.

    Examples
    --------
    >>> from protovine.gossip import Frame, Kind
    >>> from protovine.node import make_example_node
    >>> from protovine.prototypes import PrototypeSet
    >>> from protovine.share import encode_set
    >>> from protovine.tape import Observed
    >>> told = Frame(Kind.SHARE, 1, 1, 1, 1, 0, encode_set(PrototypeSet.of([[1.0]], [1]))).encode()
    >>> observed = Observed(10**9, bytes(8), y=None, event_ns=None, sample_id=None)
    >>> calls = [Began(0, 0, 1, (1,)), Delivered(0, told, sender=1), observed]
    >>> *_, last = play_without(calls, lambda began: make_example_node(), member=1)
    >>> len(last.node.learner), len(last.other.learner), last.exact
    (1, 0, True)
    """
    leave_out = Forgotten()
    leave_out.add(member, since_ns, until_ns)
    return play_leaving_out(calls, make, member, leave_out)


def play_leaving_out(
    calls: Iterable[AnyCall],
    make: Callable[[Began], Node],
    member: int,
    leave_out: Forgotten,
    beginning: Beginning | None = None,
) -> Iterator[Without]:
    """As `play_without`, for items of several members; ``contribution`` is that of ``member``."""
    node: Node | None = None
    exact = True
    contribution: Contribution | None = Contribution()
    for call in calls:
        if isinstance(call, Began):
            node, model = make(call), make(call)
            heard = node.exchange = _Heard(node.exchange)
            parts = model.learner, _Echo(heard, leave_out), model.inbox
            other = Node(*parts, model.train_period_ns, model.train_local, model.drift)
        if node is None:
            raise DataError("the tape does not begin with the building of its node")
        repeat(call, node)
        node.drain()
        if isinstance(call, Restored):
            if beginning is not None:
                other.restore(beginning.data, call.now_ns)
                exact, contribution = beginning.exact, beginning.contribution
            else:
                other.restore(call.data, call.now_ns)
                for sender, found in _taken_out(call, node, other, leave_out):
                    exact, contribution = False, found if sender == member else contribution
        elif isinstance(call, Delivered):
            if heard.came(call, leave_out):
                repeat(call, other)
        elif not (isinstance(call, Forgot) and leave_out.has(call.peer, call.since_ns, call.until_ns)):
            repeat(call, other)
        other.drain()
        yield Without(node, other, exact, contribution)


def _taken_out(
    call: Restored, node: Node, other: Node, leave_out: Forgotten
) -> Iterator[tuple[int, Contribution | None]]:
    """Forget senders in a state that has heard them, as far as can be; who, and what the state had of each."""
    seed = unpack(call.data)["node"] is None
    for sender in leave_out.senders:
        view = node.views.get(sender)
        if seed or (view is not None and view.accepted > 0) or node.exchange.forgotten.ranges(sender):
            found: Contribution | None = Contribution()
            for since_ns, until_ns in leave_out.ranges(sender):
                more = other.forget(sender, since_ns, until_ns, call.now_ns).learnt
                found = (
                    None if more is None or found is None else Contribution(*map(sum, zip(found, more, strict=True)))
                )
            yield sender, found


class _Heard:
    """An exchange, and what its newest message brought."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.newest: Accepted | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.exchange, name)

    def receive(self, data: bytes, sender: int, now_ns: int) -> Accepted:
        self.newest = None
        self.newest = self.exchange.receive(data, sender, now_ns)
        return self.newest

    def came(self, call: Delivered, leave_out: Forgotten) -> bool:
        """Whether the newest message was accepted, and brought anything that is not to be left out."""
        if self.newest is None:
            return False
        return not leave_out.ranges(call.sender) or len(leave_out.screen(call.sender, self.newest.prototypes)) > 0


class _Echo:
    """The exchange of the node that never gets some items: it takes in what another exchange did, and sends nothing."""

    def __init__(self, heard: _Heard, leave_out: Forgotten) -> None:
        self.heard, self._leave_out = heard, leave_out

    def __getattr__(self, name: str) -> Any:
        return getattr(self.heard, name)

    def receive(self, data: bytes, sender: int, now_ns: int) -> Accepted:
        assert self.heard.newest is not None
        accepted = self.heard.newest
        return accepted._replace(prototypes=self._leave_out.screen(sender, accepted.prototypes))

    def add_peer(self, peer: int, now_ns: int) -> None: ...

    def peer_reached(self, peer: int, now_ns: int) -> None: ...

    def retune(self, *values: Any) -> None: ...

    def learnt(self, *values: Any) -> None: ...

    def alarm(self, seen: Any) -> None: ...

    def on_timer(self, *values: Any) -> None: ...

    def rejoin(self, incarnation: int, now_ns: int) -> None: ...

    def shift(self, by_ns: int, now_ns: int) -> None: ...

    def forget(self, *values: Any) -> None: ...

    def restore(self, state: dict[str, Any]) -> None: ...
