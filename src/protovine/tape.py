"""Every call of a node, in order: enough to replay a real run, call by call, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from protovine.errors import DataError, RemoteProtocolError
from protovine.exchange import FOREVER_NS, Accepted, Exchange, Forgotten, Unlearned
from protovine.learn import Contribution, Prediction
from protovine.node import Node
from protovine.records import Record
from protovine.snapshot import unpack

_LENGTH_BYTES = 4
_ENTRY_BYTES_MAX = 2**26


class Call(msgspec.Struct, frozen=True, tag=True, tag_field="is"):
    """A call of a node at ``now_ns``."""

    now_ns: int


class Began(Call, frozen=True, tag="began"):
    """A node was built: with which id, as which incarnation, and with which neighbours."""

    node: int
    incarnation: int
    peers: tuple[int, ...]


class Observed(Call, frozen=True, tag="observe"):
    """`Node.observe`: ``x`` as little-endian float64."""

    x: bytes
    y: int | None
    event_ns: int | None
    sample_id: int | None


class Labelled(Call, frozen=True, tag="label"):
    """`Node.label`."""

    sample_id: int
    y: int


class GivenUp(Call, frozen=True, tag="give-up"):
    """`Node.give_up`."""

    sample_id: int


class Delivered(Call, frozen=True, tag="receive"):
    """`Node.receive`, accepted or refused."""

    data: bytes
    sender: int


class Ticked(Call, frozen=True, tag="timer"):
    """`Node.on_timer`."""


class Met(Call, frozen=True, tag="peer"):
    """`Node.add_peer`."""

    peer: int


class Reached(Call, frozen=True, tag="reached"):
    """`Node.peer_reached`."""

    peer: int


class Distrusted(Call, frozen=True, tag="distrust"):
    """`Node.distrust`."""

    peer: int


class Forgot(Call, frozen=True, tag="forget"):
    """`Node.forget`."""

    peer: int
    since_ns: int
    until_ns: int
    whole: bool


class Retuned(Call, frozen=True, tag="retune"):
    """`Node.retune`."""

    fanout: int | None
    share_probability: float | None
    budget_bytes_per_s: float | None


class Noted(Call, frozen=True, tag="command"):
    """`Node.note_command`."""

    command: str
    by: str


class Restored(Call, frozen=True, tag="restore"):
    """`Node.restore`."""

    data: bytes


class Rejoined(Call, frozen=True, tag="rejoin"):
    """`Node.rejoin`."""

    incarnation: int


class Shifted(Call, frozen=True, tag="shift"):
    """`Node.shift`."""

    by_ns: int
    since_ns: int


class Finished(Call, frozen=True, tag="finish"):
    """`Node.finish`."""


AnyCall = (
    Began
    | Observed
    | Labelled
    | GivenUp
    | Delivered
    | Ticked
    | Met
    | Reached
    | Distrusted
    | Forgot
    | Retuned
    | Noted
    | Restored
    | Rejoined
    | Shifted
    | Finished
)


class TapedNode:
    """Stands in for a node, and passes every call that changes it to ``write`` first.

    Parameters
    ----------
    node : Node
    write : callable (AnyCall) -> None
        Gets every call before it is made.

    Examples
    --------
    >>> from protovine.node import make_example_node
    >>> from protovine.records import Predicted
    >>> calls: list[AnyCall] = []
    >>> taped = TapedNode(make_example_node(), calls.append)
    >>> first = [taped.observe([0.1], 0, now_ns=1).code, taped.observe([0.2], 0, now_ns=2).code]
    >>> again = play(calls, make_example_node())
    >>> [record.predicted for record in again if isinstance(record, Predicted)] == first
    True
    """

    def __init__(self, node: Node, write: Callable[[AnyCall], None]) -> None:
        self.node, self._write = node, write
        write(Began(node.now_ns, node.id, node.incarnation, tuple(node.peers)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, name)

    def observe(
        self,
        x: ArrayLike,
        y: int | None = None,
        *,
        now_ns: int,
        event_ns: int | None = None,
        sample_id: int | None = None,
    ) -> Prediction:
        """As `Node.observe`."""
        self._write(Observed(now_ns, np.asarray(x, "<f8").tobytes(), y, event_ns, sample_id))
        return self.node.observe(x, y, now_ns=now_ns, event_ns=event_ns, sample_id=sample_id)

    def label(self, sample_id: int, y: int, now_ns: int) -> bool:
        """As `Node.label`."""
        self._write(Labelled(now_ns, sample_id, y))
        return self.node.label(sample_id, y, now_ns)

    def give_up(self, sample_id: int, now_ns: int) -> None:
        """As `Node.give_up`."""
        self._write(GivenUp(now_ns, sample_id))
        self.node.give_up(sample_id, now_ns)

    def receive(self, data: bytes, sender: int, now_ns: int) -> None:
        """As `Node.receive`."""
        self._write(Delivered(now_ns, bytes(data), sender))
        self.node.receive(data, sender, now_ns)

    def on_timer(self, now_ns: int) -> None:
        """As `Node.on_timer`."""
        self._write(Ticked(now_ns))
        self.node.on_timer(now_ns)

    def add_peer(self, peer: int, now_ns: int) -> None:
        """As `Node.add_peer`."""
        self._write(Met(now_ns, peer))
        self.node.add_peer(peer, now_ns)

    def peer_reached(self, peer: int, now_ns: int) -> None:
        """As `Node.peer_reached`."""
        self._write(Reached(now_ns, peer))
        self.node.peer_reached(peer, now_ns)

    def distrust(self, peer: int, now_ns: int) -> int:
        """As `Node.distrust`."""
        self._write(Distrusted(now_ns, peer))
        return self.node.distrust(peer, now_ns)

    def forget(self, peer: int, since_ns: int, until_ns: int, now_ns: int, *, whole: bool = False) -> Unlearned:
        """As `Node.forget`."""
        self._write(Forgot(now_ns, peer, since_ns, until_ns, whole))
        return self.node.forget(peer, since_ns, until_ns, now_ns, whole=whole)

    def retune(
        self,
        now_ns: int,
        fanout: int | None = None,
        share_probability: float | None = None,
        budget_bytes_per_s: float | None = None,
    ) -> None:
        """As `Node.retune`."""
        self._write(Retuned(now_ns, fanout, share_probability, budget_bytes_per_s))
        self.node.retune(now_ns, fanout, share_probability, budget_bytes_per_s)

    def note_command(self, command: str, by: str, now_ns: int) -> None:
        """As `Node.note_command`."""
        self._write(Noted(now_ns, command, by))
        self.node.note_command(command, by, now_ns)

    def restore(self, data: bytes, now_ns: int) -> None:
        """As `Node.restore`."""
        self._write(Restored(now_ns, data))
        self.node.restore(data, now_ns)

    def rejoin(self, incarnation: int, now_ns: int) -> None:
        """As `Node.rejoin`."""
        self._write(Rejoined(now_ns, incarnation))
        self.node.rejoin(incarnation, now_ns)

    def shift(self, by_ns: int, since_ns: int, now_ns: int) -> None:
        """As `Node.shift`."""
        self._write(Shifted(now_ns, by_ns, since_ns))
        self.node.shift(by_ns, since_ns, now_ns)

    def finish(self, now_ns: int) -> None:
        """As `Node.finish`."""
        self._write(Finished(now_ns))
        self.node.finish(now_ns)


def play(calls: Iterable[AnyCall], node: Node) -> list[Record]:
    """Repeat the calls of a tape on a fresh node, and return the records of everything that it does.

    ``node`` must have the same settings, seed, id and incarnation (`Began`). Its neighbours come from the tape.
    """
    made: list[Record] = []
    for call in calls:
        _make(call, node)
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
    """
    node: Node | None = None
    leave_out = Forgotten()
    leave_out.add(member, since_ns, until_ns)
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
        _make(call, node)
        node.drain()
        if isinstance(call, Restored):
            other.restore(call.data, call.now_ns)
            view = node.views.get(member)
            seed = unpack(call.data)["node"] is None
            known = view is not None and view.accepted > 0
            if seed or known or node.exchange.forgotten.ranges(member):
                found = other.forget(member, since_ns, until_ns, call.now_ns)
                exact, contribution = False, found.learnt
        elif isinstance(call, Delivered):
            if heard.came(call, leave_out):
                _make(call, other)
        elif not (isinstance(call, Forgot) and leave_out.has(call.peer, call.since_ns, call.until_ns)):
            _make(call, other)
        other.drain()
        yield Without(node, other, exact, contribution)


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


def _make(call: AnyCall, node: Node) -> None:
    if isinstance(call, Began):
        for peer in call.peers:
            node.add_peer(peer, call.now_ns)
    elif isinstance(call, Observed):
        x = np.frombuffer(call.x, "<f8")
        node.observe(x, call.y, now_ns=call.now_ns, event_ns=call.event_ns, sample_id=call.sample_id)
    elif isinstance(call, Labelled):
        node.label(call.sample_id, call.y, call.now_ns)
    elif isinstance(call, GivenUp):
        node.give_up(call.sample_id, call.now_ns)
    elif isinstance(call, Delivered):
        try:
            node.receive(call.data, call.sender, call.now_ns)
        except RemoteProtocolError:
            return  # The original call was refused, too.
    elif isinstance(call, Ticked):
        node.on_timer(call.now_ns)
    elif isinstance(call, Met):
        node.add_peer(call.peer, call.now_ns)
    elif isinstance(call, Reached):
        node.peer_reached(call.peer, call.now_ns)
    elif isinstance(call, Rejoined):
        node.rejoin(call.incarnation, call.now_ns)
    elif isinstance(call, Shifted):
        node.shift(call.by_ns, call.since_ns, call.now_ns)
    elif isinstance(call, Distrusted):
        node.distrust(call.peer, call.now_ns)
    elif isinstance(call, Forgot):
        node.forget(call.peer, call.since_ns, call.until_ns, call.now_ns, whole=call.whole)
    elif isinstance(call, Retuned):
        node.retune(call.now_ns, call.fanout, call.share_probability, call.budget_bytes_per_s)
    elif isinstance(call, Noted):
        node.note_command(call.command, call.by, call.now_ns)
    elif isinstance(call, Finished):
        node.finish(call.now_ns)
    else:
        node.restore(call.data, call.now_ns)


def encode(call: AnyCall) -> bytes:
    """A call as an entry of a tape file: its length, then MessagePack."""
    body = msgspec.msgpack.encode(call)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


def read_tape(path: Path) -> Iterator[AnyCall]:
    """The calls in a tape file; an entry that is cut off at its end is left out.

    Raises
    ------
    DataError
        The file cannot be read or is damaged.
    """
    decode = msgspec.msgpack.Decoder(AnyCall).decode
    try:
        with open(path, "rb") as file:
            while len(head := file.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
                size = int.from_bytes(head, "little")
                if size > _ENTRY_BYTES_MAX:
                    raise DataError(f"the tape {path} is damaged: an entry of {size} bytes")
                body = file.read(size)
                if len(body) < size:
                    return
                yield decode(body)
    except OSError as error:
        raise DataError(f"cannot read the tape {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise DataError(f"the tape {path} is damaged: {error}") from None
