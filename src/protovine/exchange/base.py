"""The interface of every way of exchanging knowledge, and the base of those that push whole payloads."""

from __future__ import annotations

import math
import reprlib
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np

from protovine import records
from protovine.errors import CodecError, LocalProtocolError, RemoteProtocolError, check_range
from protovine.exchange.alarms import Seen
from protovine.exchange.forgotten import Forgotten
from protovine.gossip import EVERYONE, Kind, LogGossip, OfferLike, Outgoing, PeerView, PushGossip, Schedule
from protovine.gossip.schedule import Broadcast
from protovine.prototypes import PrototypeSet
from protovine.records import Record
from protovine.share import LocalSample, SetLimits, WholeSets

# A surprisal is at most this: the probability of a class that the model rules out is not exactly known to be 0.
_SURPRISAL_BITS_MAX = 1000.0


@dataclass(slots=True)
class Outputs:
    """Messages to send and records of what happened, each in order, since a node was drained last."""

    sends: list[tuple[int, bytes]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


class Accepted(NamedTuple):
    """The outcome of an accepted message.

    ``view`` is what is now known of the sender. ``prototypes`` wait to be trained; ``from_future`` of the message's
    times lay in the future and count as now. ``kept`` prototypes stay with the exchange and are not trained. ``alarms``
    are drifts that the sender saw.
    """

    view: PeerView
    prototypes: PrototypeSet
    from_future: int
    kept: int = 0
    alarms: tuple[Seen, ...] = ()


class Tuning(NamedTuple):
    """How a node shares now: its fanout, share probability, and budget (0 is no limit, None that there can be none)."""

    fanout: int
    share_probability: float
    budget_bytes_per_s: float | None


class Exchange(Protocol):
    """One way of exchanging knowledge with peers, as a node uses it. It does no I/O and reads no clock.

    ``node`` is this node's id and ``limits`` the bounds on received prototypes. ``needs_surprisal`` says whether
    `learnt` needs the surprisal of each local sample.
    """

    @property
    def node(self) -> int:
        """This node's id."""
        ...

    @property
    def limits(self) -> SetLimits:
        """Bounds on received prototypes."""
        ...

    @property
    def needs_surprisal(self) -> bool:
        """Whether `learnt` needs the surprisal of each local sample."""
        ...

    @property
    def peers(self) -> list[int]:
        """The neighbours, ascending."""
        ...

    @property
    def views(self) -> dict[int, PeerView]:
        """What is known of each neighbour."""
        ...

    @property
    def incarnation(self) -> int:
        """How often this node has started, as its peers see it."""
        ...

    @property
    def head(self) -> tuple[int, int]:
        """Incarnation and sequence number of the newest entry or payload that this node made."""
        ...

    def add_peer(self, peer: int, now_ns: int) -> None:
        """Add a neighbour; nothing changes if it is one already."""
        ...

    def peer_reached(self, peer: int, now_ns: int) -> None:
        """The transport reports that a neighbour is there again."""
        ...

    def retune(
        self, now_ns: int, fanout: int | None, share_probability: float | None, budget_bytes_per_s: float | None
    ) -> None:
        """Share by other settings from now on; None keeps what there is, and a budget needs a log."""
        ...

    @property
    def tuning(self) -> Tuning:
        """What `retune` changes, as it is."""
        ...

    def learnt(self, sample: LocalSample, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """The node learnt a local sample, its ``samples_learnt``-th."""
        ...

    def receive(self, data: bytes, sender: int, now_ns: int) -> Accepted:
        """Take in a message; `RemoteProtocolError` if it is refused, and then nothing has changed."""
        ...

    @property
    def forgotten(self) -> Forgotten:
        """Which items of which senders are refused."""
        ...

    def forget(self, peer: int, since_ns: int, until_ns: int, whole: bool) -> None:
        """Forget how far a peer was, and refuse its items of this range of event times from now on.

        If ``whole``, forget also which of its messages came and what is needed to read the next: after a restart, when
        it sends these again.
        """
        ...

    def alarm(self, seen: Seen) -> None:
        """The node saw a drift: tell the peers with the next message, if messages have room for it."""
        ...

    def next_timer_ns(self) -> int | None:
        """When `on_timer` is due, or None."""
        ...

    def on_timer(self, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Do everything that is due by now."""
        ...

    def rejoin(self, incarnation: int, now_ns: int) -> None:
        """Go on as ``incarnation``, which is later, as after a restart."""
        ...

    def shift(self, by_ns: int, now_ns: int) -> None:
        """The clock was set, by ``by_ns`` to ``now_ns``: times of this node move with it."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that must be kept to continue after a restart."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state`` as a new incarnation."""
        ...


class GossipView:
    """What every exchange passes on from its gossip: who this node is, and what it knows of its peers."""

    def __init__(self, gossip: PushGossip | LogGossip) -> None:
        self._gossip = gossip
        self.forgotten = Forgotten()

    @property
    def node(self) -> int:
        """This node's id."""
        return self._gossip.node

    @property
    def peers(self) -> list[int]:
        """The neighbours, ascending."""
        return self._gossip.peers

    @property
    def views(self) -> dict[int, PeerView]:
        """What is known of each neighbour."""
        return self._gossip.views

    @property
    def incarnation(self) -> int:
        """How often this node has started, as its peers see it."""
        return self._gossip.incarnation

    @property
    def head(self) -> tuple[int, int]:
        """This node's incarnation and the sequence number of its newest entry or payload."""
        return self._gossip.head

    def forget(self, peer: int, since_ns: int, until_ns: int, whole: bool) -> None:
        """Forget how far a peer was, and refuse its items of this range of event times from now on."""
        self.forgotten.add(peer, since_ns, until_ns)
        self._gossip.forget(peer, whole)


class PushExchange(GossipView, ABC):
    """Pushes one whole payload, such as a set or a model, to the peers that a schedule names at each opportunity.

    An opportunity comes after each local sample. With ``poll_ns`` it waits for the next multiple of it, and several
    opportunities become one, as in the authors' code, which polls every 50 ms.

    Parameters
    ----------
    gossip : PushGossip
        Messages and views.
    schedule : Schedule
        Chooses peers at opportunities.
    limits : SetLimits
        Bounds on received prototypes.
    poll_ns : int >= 0
        0 shares at once.

    Raises
    ------
    ConfigError
        ``poll_ns`` is negative.
    """

    def __init__(self, gossip: PushGossip, schedule: Schedule, limits: SetLimits, poll_ns: int = 0) -> None:
        check_range("poll_ns", poll_ns, 0)
        super().__init__(gossip)
        self.gossip, self.schedule, self.limits, self.poll_ns = gossip, schedule, limits, poll_ns
        self.needs_surprisal = schedule.needs_errors
        self._poll_at_ns: int | None = None

    def add_peer(self, peer: int, now_ns: int) -> None:
        """Add a neighbour."""
        self.gossip.add(peer, now_ns)

    def peer_reached(self, peer: int, now_ns: int) -> None:
        """Nothing to do: the next payload replaces those that were lost."""

    def alarm(self, seen: Seen) -> None:
        """Nothing to do: a whole payload has no room for alarms."""

    def retune(
        self, now_ns: int, fanout: int | None, share_probability: float | None, budget_bytes_per_s: float | None
    ) -> None:
        """Other settings of the schedule; whole payloads have no budget."""
        self.schedule.retune(fanout, share_probability)

    @property
    def tuning(self) -> Tuning:
        """The schedule's settings; there is no budget."""
        return Tuning(self.schedule.fanout, self.schedule.share_probability, None)

    def learnt(self, sample: LocalSample, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Offer the payload to the peers that the schedule names, now or at the next poll."""
        self.schedule.note(sample.error)
        if self.poll_ns:
            if self.schedule.active and self.peers and self._poll_at_ns is None:
                self._poll_at_ns = (now_ns // self.poll_ns + 1) * self.poll_ns
            return
        self._share(self._chosen(now_ns), samples_learnt, now_ns, out)

    def receive(self, data: bytes, sender: int, now_ns: int) -> Accepted:
        """Take in the payload of a message, or an acknowledgement."""
        frame = self.gossip.read(data, sender)
        found = None
        if frame.kind != Kind.ACKNOWLEDGEMENT:
            try:
                found = self._read(sender, frame.payload, frame.created_ns)
            except CodecError as error:
                raise RemoteProtocolError("payload", str(error)) from None
        view, acknowledged_ns = self.gossip.accept(frame, now_ns)
        if acknowledged_ns is not None:
            self.schedule.acknowledged(sender, acknowledged_ns, now_ns)
        if found is None:
            return Accepted(view, PrototypeSet.empty(self.limits.dim, sender), 0)
        prototypes, from_future, kept = self._keep(sender, found, now_ns)
        return Accepted(view, prototypes, from_future + (frame.created_ns > now_ns), kept)

    def next_timer_ns(self) -> int | None:
        """When a poll or an acknowledgement is due."""
        due = [at_ns for at_ns in (self.gossip.next_timer_ns(), self._poll_at_ns) if at_ns is not None]
        return min(due, default=None)

    def on_timer(self, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Send acknowledgements, and share if a poll is due."""
        self._put(self.gossip.acknowledgements(now_ns), now_ns, out)
        if self._poll_at_ns is not None and now_ns >= self._poll_at_ns:
            self._poll_at_ns = None
            self._share(self._chosen(now_ns), samples_learnt, now_ns, out)

    def rejoin(self, incarnation: int, now_ns: int) -> None:
        """Go on as a later incarnation."""
        self.gossip.rejoin(incarnation, now_ns)

    def shift(self, by_ns: int, now_ns: int) -> None:
        """The clock was set: times move with it."""
        self.gossip.shift(by_ns, now_ns)
        self.schedule.shift(by_ns)
        if self._poll_at_ns is not None:
            self._poll_at_ns += by_ns

    def state(self) -> dict[str, Any]:
        """The protocol's and the schedule's state."""
        forgotten = self.forgotten.state()
        return {"gossip": self.gossip.state(), "schedule": self.schedule.state(), "forgotten": forgotten}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue as a new incarnation; a pending poll is forgotten."""
        self.gossip.restore(state["gossip"])
        self.schedule.restore(state["schedule"])
        self.forgotten.restore(state.get("forgotten", []))

    def _chosen(self, now_ns: int) -> list[int]:
        if not self.schedule.active or not self.peers:
            return []
        among = [EVERYONE] if isinstance(self.schedule, Broadcast) else self.peers
        return chosen(self.schedule, self.peers, len(self.peers), now_ns, among)

    def _share(self, peers: list[int], samples_learnt: int, now_ns: int, out: Outputs) -> None:
        if peers:
            offer, reliable = self._offers(samples_learnt), self.schedule.needs_acknowledgements
            self._put(self.gossip.share(peers, offer, samples_learnt, now_ns, reliable), now_ns, out)

    def _put(self, made: list[Outgoing], now_ns: int, out: Outputs) -> None:
        for each in made:
            out.records.append(self._record_of(each, now_ns))
            if each.frame is not None:
                out.sends.append((each.peer, each.data))

    def _record_of(self, made: Outgoing, now_ns: int) -> Record:
        if made.frame is None:
            assert made.offer is not None
            return records.Withheld(now_ns, self.node, made.peer, made.offer.items, made.offer.gate, made.offer.value)
        return records.Sent(
            now_ns,
            self.node,
            made.peer,
            made.frame.kind.name.lower(),
            made.frame.sequence,
            made.frame.samples_learnt,
            made.offer.items if made.offer is not None else 0,
            len(made.data) - len(made.frame.payload),
            len(made.frame.payload),
            int.from_bytes(made.data[-4:], "little"),
        )

    @abstractmethod
    def _offers(self, samples_learnt: int) -> Callable[[int, int], OfferLike | None]:
        """What is offered now: a function of the peer and the largest payload in bytes."""

    @abstractmethod
    def _read(self, sender: int, payload: bytes | memoryview, created_ns: int) -> Any:
        """Decode a payload; `CodecError` if it is damaged. Nothing has changed."""

    @abstractmethod
    def _keep(self, sender: int, found: Any, now_ns: int) -> tuple[PrototypeSet, int, int]:
        """Take in a decoded payload: prototypes to train, how many lay in the future, how many stay here."""


class SetPushExchange(PushExchange):
    """A `PushExchange` whose payloads are prototype sets: decoding, and memory of each peer's last set.

    Parameters
    ----------
    share : WholeSets
        The gate and the codec.
    """

    def __init__(self, gossip: PushGossip, schedule: Schedule, share: WholeSets, poll_ns: int = 0) -> None:
        super().__init__(gossip, schedule, share.limits, poll_ns)
        self.share = share

    def _read(self, sender: int, payload: bytes | memoryview, created_ns: int) -> PrototypeSet:
        return self.share.read(sender, payload)

    def _keep(self, sender: int, found: PrototypeSet, now_ns: int) -> tuple[PrototypeSet, int, int]:
        prototypes, from_future = clamped(self.forgotten.screen(sender, found), now_ns)
        self.share.commit(sender, prototypes)
        return prototypes, from_future, 0

    def forget(self, peer: int, since_ns: int, until_ns: int, whole: bool) -> None:
        """Forget how far a peer was, and its last set, and refuse its items of this range from now on."""
        super().forget(peer, since_ns, until_ns, whole)
        self.share.forget(peer)

    def state(self) -> dict[str, Any]:
        """Protocol, schedule, and the last sets."""
        return {**super().state(), "share": self.share.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue as a new incarnation."""
        super().restore(state)
        self.share.restore(state["share"])


def chosen(schedule: Schedule, candidates: list[int], total: int, now_ns: int, among: list[int]) -> list[int]:
    """The peers that a schedule names at an opportunity: different ones ``among`` these, which ascend.

    Raises
    ------
    LocalProtocolError
        The schedule names anything else; only a `Broadcast` may name `EVERYONE` where payloads are pushed.

    Examples
    --------
    >>> from protovine.gossip import Coin
    >>> chosen(Coin(1, 1.0, np.random.default_rng(0)), [3], total=1, now_ns=0, among=[3])
    [3]
    """
    # A copy: a schedule of a user may sort its candidates, which are the node's.
    peers = schedule.choose([*candidates], total, now_ns)
    if type(peers) is not list or (peers and not _are_in(among, peers)):
        what = f"a list of different peers among {reprlib.repr(among)}"
        raise LocalProtocolError(f"the schedule {type(schedule).__name__} must choose {what}, got {peers!r}")
    return peers


def _are_in(among: list[int], peers: list[int]) -> bool:
    for peer in peers:
        if type(peer) is not int:
            return False
        at = bisect_left(among, peer)
        if at == len(among) or among[at] != peer:
            return False
    return len(set(peers)) == len(peers)


def surprisal_bits(probability: float) -> float:
    """-log2 of the probability that the model gave to the true class, in [0, 1000] bits.

    Examples
    --------
    >>> surprisal_bits(0.25), surprisal_bits(0.0)
    (2.0, 1000.0)
    """
    return min(_SURPRISAL_BITS_MAX, -math.log2(probability)) if probability > 0 else _SURPRISAL_BITS_MAX


def clamped(prototypes: PrototypeSet, now_ns: int) -> tuple[PrototypeSet, int]:
    """The set with event times in the future set to now, and how many there were.

    Parameters
    ----------
    prototypes : PrototypeSet
    now_ns : int

    Examples
    --------
    >>> late = PrototypeSet.of([[0.0], [1.0]], [0, 1], event_ns=[5, 20])
    >>> held, ahead = clamped(late, now_ns=10)
    >>> held.event_ns.tolist(), ahead
    ([5, 10], 1)
    """
    # Of few numbers this is the fastest way.
    if max(prototypes.event_ns.tolist(), default=0) <= now_ns:
        return prototypes, 0
    ahead = int((prototypes.event_ns > now_ns).sum())
    return msgspec.structs.replace(prototypes, event_ns=np.minimum(prototypes.event_ns, now_ns)), ahead
