"""Sharing joined with gossip: from a learnt sample to messages, and from a message to prototypes; still no I/O."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from protovine import records
from protovine.errors import CodecError, RemoteProtocolError
from protovine.gossip import Kind, LogGossip, LogOutgoing, OfferLike, Outgoing, PeerView, PushGossip, Standing
from protovine.learn import AggregatorCore, ArrayLearner, ModelLearner
from protovine.prototypes import Evidence, PrototypeSet
from protovine.records import Record
from protovine.share import LearnerView, LocalSample, LogShare, Offer, UnknownScales, WholeModels, WholeSets
from protovine.share.items import Scales

# Own labelled samples by which sets are judged.
_WINDOW = 100


@dataclass(slots=True)
class Outputs:
    """What a node wants done since it was drained last: messages to send, and records of what happened."""

    sends: list[tuple[int, bytes]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


class Accepted(NamedTuple):
    """An accepted message: what is known of the sender now, and prototypes to learn with how many lay in the future.

    ``kept`` counts prototypes that the exchange took in by itself.
    """

    view: PeerView
    prototypes: PrototypeSet
    from_future: int
    kept: int = 0


class Exchange(Protocol):
    """One way of sharing what a learner knows, as a node uses it.

    ``asks_surprise`` says whether it wants to know how much of a surprise each own sample was.
    """

    needs_surprisal: bool

    def learnt(self, selected: LocalSample, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """An own sample was learnt."""
        ...

    def receive(self, data: bytes, sender: int, now_ns: int) -> Accepted:
        """Take in a message; `RemoteProtocolError` if it is refused, and then nothing has changed."""
        ...

    def next_timer_ns(self) -> int | None:
        """When `on_timer` is due, or None."""
        ...

    def on_timer(self, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Do what was due by now."""
        ...

    def state(self) -> dict[str, Any]:
        """What must be kept to go on after a restart."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state`` as a new incarnation."""
        ...


class SetExchange:
    """Whole sets: at each opportunity the learner's set goes to some peers, if a gate lets it."""

    def __init__(self, learner: ArrayLearner, gossip: PushGossip, share: WholeSets) -> None:
        self.learner, self.gossip, self.share = learner, gossip, share
        self.needs_surprisal = gossip.schedule.needs_errors
        self._window: list[LocalSample] = []

    def learnt(self, selected: LocalSample, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Offer the set to the peers that gossip names."""
        self._window.append(selected)
        if len(self._window) >= 2 * _WINDOW:
            del self._window[:_WINDOW]
        self.gossip.schedule.note(selected.news)
        self._share(self.gossip.opportunity(now_ns), samples_learnt, now_ns, out)

    def receive(self, data: bytes, sender: int, now_ns: int) -> Accepted:
        """The set in a message."""
        frame = self.gossip.read(data, sender)
        if frame.kind == Kind.ACKNOWLEDGEMENT:
            return Accepted(self.gossip.accept(frame, now_ns), PrototypeSet.joined([], self.learner.dim, sender), 0)
        try:
            found = self._read(sender, frame.payload)
        except CodecError as error:
            raise RemoteProtocolError("payload", str(error)) from None
        view = self.gossip.accept(frame, now_ns)
        prototypes, from_future, kept = self._keep(sender, found, now_ns)
        return Accepted(view, prototypes, from_future + (frame.created_ns > now_ns), kept)

    def _read(self, sender: int, payload: bytes | memoryview) -> Any:
        """What is in a payload; `CodecError` if it is damaged. Nothing has changed."""
        return self.share.read(sender, payload)

    def _keep(self, sender: int, found: Any, now_ns: int) -> tuple[PrototypeSet, int, int]:
        """Take in what `_read` found: prototypes to learn, how many lay in the future, how many are kept here."""
        prototypes, from_future = clamped(found, now_ns)
        self.share.commit(sender, prototypes)
        return prototypes, from_future, 0

    def next_timer_ns(self) -> int | None:
        """When a poll or a receipt is due."""
        return self.gossip.next_timer_ns()

    def on_timer(self, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Send receipts, and share what a poll was for."""
        for made in self.gossip.acknowledgements(now_ns):
            out.records.append(self._record_of(made, now_ns))
            out.sends.append((made.peer, made.data))
        self._share(self.gossip.on_timer(now_ns), samples_learnt, now_ns, out)

    def _share(self, peers: list[int], samples_learnt: int, now_ns: int, out: Outputs) -> None:
        if not peers:
            return
        for made in self.gossip.share(peers, self._offers(samples_learnt), samples_learnt, now_ns):
            out.records.append(self._record_of(made, now_ns))
            if made.frame is not None:
                out.sends.append((made.peer, made.data))

    def _offers(self, samples_learnt: int) -> Callable[[int, int], OfferLike | None]:
        """What is offered to a peer within so many bytes."""
        newest = self._window[-_WINDOW:] if self.share.gate.needs_window else []
        evidence = Evidence(
            self.learner.local_prototypes(),
            samples_learnt,
            np.array([selected.x for selected in newest]).reshape(len(newest), self.learner.dim),
            np.array([selected.label for selected in newest], np.int64),
        )
        return lambda peer, max_bytes: self.share.offer(peer, evidence, max_bytes)

    def _record_of(self, made: Outgoing, now_ns: int) -> Record:
        node = self.gossip.node
        if made.frame is None:
            assert made.offer is not None
            return records.Withheld(now_ns, node, made.peer, made.offer.items, made.offer.gate, made.offer.value)
        return records.Sent(
            now_ns,
            node,
            made.peer,
            made.frame.kind.name.lower(),
            made.frame.sequence,
            made.frame.samples_learnt,
            made.offer.items if made.offer is not None else 0,
            len(made.data) - len(made.frame.payload),
            len(made.frame.payload),
            int.from_bytes(made.data[-4:], "little"),
        )

    def state(self) -> dict[str, Any]:
        """Both parts'."""
        return {"gossip": self.gossip.state(), "share": self.share.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Both parts', as a new incarnation; the window fills anew."""
        started = self.gossip.incarnation
        self.gossip.restore(state["gossip"])
        self.share.restore(state["share"])
        self.gossip.incarnation = max(started, self.gossip.incarnation + 1)


class ServerExchange(SetExchange):
    """The server's side of whole sets: it keeps what clients send, and answers each with what the others hold."""

    learner: AggregatorCore

    def __init__(self, learner: AggregatorCore, gossip: PushGossip, share: WholeSets) -> None:
        super().__init__(learner, gossip, share)
        self._unanswered: dict[int, int] = {}  # Since when.

    def next_timer_ns(self) -> int | None:
        """When an answer is due: at once."""
        due_ns = self.gossip.next_timer_ns()
        return min([*self._unanswered.values(), *([] if due_ns is None else [due_ns])], default=None)

    def on_timer(self, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Answer."""
        super().on_timer(samples_learnt, now_ns, out)
        clients = sorted(self._unanswered)
        self._unanswered.clear()
        self._share(clients, samples_learnt, now_ns, out)

    def _keep(self, sender: int, found: Any, now_ns: int) -> tuple[PrototypeSet, int, int]:
        prototypes, from_future, _ = super()._keep(sender, found, now_ns)
        self.learner.collect(sender, prototypes)
        if self.gossip.schedule.active:
            self._unanswered[sender] = now_ns
        return PrototypeSet.empty(self.learner.dim, sender), from_future, len(prototypes)

    def _offers(self, samples_learnt: int) -> Callable[[int, int], OfferLike | None]:
        return lambda peer, max_bytes: self.share.offer(
            peer, Evidence(self.learner.others(peer), samples_learnt), max_bytes
        )


class ModelExchange(SetExchange):
    """Whole models: at each opportunity the learner's model goes to some peers, which keep the newest of each."""

    learner: ModelLearner
    share: WholeModels  # type: ignore[assignment]

    def __init__(self, learner: ModelLearner, gossip: PushGossip, share: WholeModels) -> None:
        super().__init__(learner, gossip, share)  # type: ignore[arg-type]

    def learnt(self, selected: LocalSample, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Offer the model to the peers that gossip names."""
        self.gossip.schedule.note(selected.news)
        self._share(self.gossip.opportunity(now_ns), samples_learnt, now_ns, out)

    def _read(self, sender: int, payload: bytes | memoryview) -> Any:
        return self.learner.decode(payload)

    def _keep(self, sender: int, found: Any, now_ns: int) -> tuple[PrototypeSet, int, int]:
        self.learner.adopt(sender, found)
        return PrototypeSet.empty(self.learner.dim, sender), 0, 0

    def _offers(self, samples_learnt: int) -> Callable[[int, int], Offer | None]:
        model = self.learner.encode()
        return lambda peer, max_bytes: self.share.offer(model, max_bytes)


class LogExchange:
    """A log of selected own samples that reaches every peer."""

    needs_surprisal = True

    def __init__(self, learner: ArrayLearner, gossip: LogGossip, share: LogShare) -> None:
        self.learner, self.gossip, self.share = learner, gossip, share
        gossip.summary = self._summary
        self._told = 0  # Own samples before those that wait to be told.

    def learnt(self, selected: LocalSample, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Put the sample into a batch, and the batch into the log when it is due."""
        if not self.gossip.schedule.active:
            return
        self.gossip.schedule.note(selected.news)
        if self.share.waits_since_ns is None:
            self._told = samples_learnt - 1
        self.share.note(selected, learner_view(self.learner), now_ns)
        self._flush(samples_learnt, now_ns, out)

    def receive(self, data: bytes, sender: int, now_ns: int) -> Accepted:
        """The samples in the entries of a message that were not known."""
        frame = self.gossip.read(data, sender)
        brought: dict[int, Scales] = {}
        good, sets = [], []
        try:
            for index, entry in enumerate(frame.entries):
                if not self.gossip.is_new(frame, index):
                    continue
                try:
                    prototypes, scales = self.share.read(sender, frame.incarnation, entry, brought)
                except UnknownScales:
                    continue
                good.append(index)
                if len(prototypes):
                    sets.append(prototypes)
                if scales is not None:
                    brought[scales.generation] = scales
        except CodecError as error:
            raise RemoteProtocolError("payload", str(error)) from None
        view = self.gossip.accept(frame, good, now_ns)
        for scales in brought.values():
            self.share.commit(sender, frame.incarnation, scales)
        merged, from_future = clamped(PrototypeSet.joined(sets, self.share.limits.dim, sender), now_ns)
        return Accepted(view, merged, from_future + (frame.created_ns > now_ns))

    def next_timer_ns(self) -> int | None:
        """When a batch or the protocol is due."""
        due_ns = self.share.due_ns(self.learner.recency)
        tick_ns = self.gossip.next_timer_ns()
        if due_ns is None or tick_ns is None:
            return tick_ns if due_ns is None else due_ns
        return min(due_ns, tick_ns)

    def on_timer(self, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Send what waited long enough, repair, acknowledge."""
        self._flush(samples_learnt, now_ns, out)
        self._record(self.gossip.on_timer(self._standing(samples_learnt, now_ns), now_ns), now_ns, out)

    def _flush(self, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        due_ns = self.share.due_ns(self.learner.recency)
        if due_ns is None or due_ns > now_ns:
            return
        for payload, items in self.share.seal(learner_view(self.learner), self.gossip.entry_bytes_max):
            self.gossip.append(payload, items)
        self._record(self.gossip.push(self._standing(samples_learnt, now_ns), now_ns), now_ns, out)

    def _standing(self, samples_learnt: int, now_ns: int) -> Standing:
        """Up to when the log is complete: samples that wait to be told are not in it."""
        since_ns = self.share.waits_since_ns
        return Standing(samples_learnt, now_ns) if since_ns is None else Standing(self._told, since_ns)

    def _summary(self, max_bytes: int) -> tuple[bytes, int] | None:
        return self.share.summary(self.learner.local_prototypes(), learner_view(self.learner), max_bytes)

    def _record(self, made: list[LogOutgoing], now_ns: int, out: Outputs) -> None:
        for message in made:
            frame = message.frame
            payload = sum(map(len, frame.entries))
            out.records.append(
                records.Sent(
                    now_ns,
                    self.gossip.node,
                    message.peer,
                    frame.kind.name.lower(),
                    frame.sequence,
                    frame.samples_learnt,
                    message.items,
                    len(message.data) - payload,
                    payload,
                    zlib.crc32(message.data),
                )
            )
            out.sends.append((message.peer, message.data))

    def state(self) -> dict[str, Any]:
        """Both parts', and what the log told of."""
        return {"gossip": self.gossip.state(), "share": self.share.state(), "told": self._told}

    def restore(self, state: dict[str, Any]) -> None:
        """Both parts', as a new incarnation with a new log that goes on from the old one."""
        self.gossip.restore(state["gossip"])
        self.share.restore(state["share"])
        self._told = int(state["told"])


def learner_view(learner: ArrayLearner) -> LearnerView:
    """What sharing may ask of a learner; one without scale or recency gives zeros."""
    mean, deviation = learner.scale()
    return LearnerView(mean, deviation, learner.recency)


def surprisal(share: float) -> float:
    """-log2 of the probability that the model gave the true class; at most 1000 bits."""
    return min(1000.0, -math.log2(share)) if share > 0 else 1000.0


def clamped(prototypes: PrototypeSet, now_ns: int) -> tuple[PrototypeSet, int]:
    """The set with event times from the future set to now, and how many there were."""
    if not len(prototypes) or prototypes.event_ns.max() <= now_ns:
        return prototypes, 0
    ahead = int((prototypes.event_ns > now_ns).sum())
    return replace(prototypes, event_ns=np.minimum(prototypes.event_ns, now_ns)), ahead
