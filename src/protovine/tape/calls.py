"""The calls of a node as values, the stand-in that takes them down, and how one is made again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from protovine.errors import RemoteProtocolError
from protovine.exchange import Unlearned
from protovine.learn import Prediction
from protovine.node import Node


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
    awaits: bool = True


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


class Cleaned(Call, frozen=True, tag="clean"):
    """No call: between two starts a member was forgotten in the saved state by a replay; ``data`` is the state since.

    It stands on a tape of its own, after `Began` and the `Restored` state from before.
    """

    peer: int
    since_ns: int
    until_ns: int
    data: bytes


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
    | Cleaned
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
    >>> from protovine.tape import play
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
        awaits: bool = True,
    ) -> Prediction:
        """As `Node.observe`."""
        self._write(Observed(now_ns, np.asarray(x, "<f8").tobytes(), y, event_ns, sample_id, awaits))
        return self.node.observe(x, y, now_ns=now_ns, event_ns=event_ns, sample_id=sample_id, awaits=awaits)

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


def repeat(call: AnyCall, node: Node) -> None:
    """Make a call again, on another node; what was refused is refused again.

    Parameters
    ----------
    call : one of `AnyCall`
    node : Node
        With the settings, seed, id and incarnation of the node that the call was taken from.

    Raises
    ------
    LocalProtocolError
        The call is older than the node's newest one.
    SnapshotError
        It restores a state of another node.

    Examples
    --------
    >>> from protovine.node import make_example_node
    >>> node = make_example_node()
    >>> repeat(Observed(5, np.array([0.1]).tobytes(), y=0, event_ns=None, sample_id=None), node)
    >>> node.samples_learnt, node.now_ns
    (1, 5)
    """
    if isinstance(call, Began):
        for peer in call.peers:
            node.add_peer(peer, call.now_ns)
    elif isinstance(call, Observed):
        x = np.frombuffer(call.x, "<f8")
        with contextlib.suppress(ValueError):
            node.observe(
                *(x, call.y),
                now_ns=call.now_ns,
                event_ns=call.event_ns,
                sample_id=call.sample_id,
                awaits=call.awaits,
            )
    elif isinstance(call, Labelled):
        with contextlib.suppress(ValueError):
            node.label(call.sample_id, call.y, call.now_ns)
    elif isinstance(call, GivenUp):
        node.give_up(call.sample_id, call.now_ns)
    elif isinstance(call, Delivered):
        with contextlib.suppress(RemoteProtocolError):
            node.receive(call.data, call.sender, call.now_ns)
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
