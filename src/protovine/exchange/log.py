"""Exchange by log, the default: selected local samples go into an append-only log that reaches every peer."""

from __future__ import annotations

import zlib
from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protovine import records
from protovine.errors import CodecError, RemoteProtocolError
from protovine.exchange.alarms import Seen, decode_alarm, encode_alarm, is_alarm
from protovine.exchange.base import Accepted, GossipView, Outputs, Tuning, chosen, clamped
from protovine.gossip import LogGossip, LogOutgoing, Schedule, Standing
from protovine.learn.base import ArrayLearner, scales_of
from protovine.prototypes import PrototypeSet
from protovine.share import LearnerView, LocalSample, LogShare, Scales, SetLimits, UnknownScales

# Newest choices that are kept for those who watch.
_CHOICES_KEPT = 20


class Choice(NamedTuple):
    """A local sample, and whether it will be shared, by its surprisal in bits."""

    at_ns: int
    x: NDArray[np.float64]
    label: int
    surprisal: float
    inserted: bool
    shared: bool


class LogExchange(GossipView):
    """Selects local samples by surprisal, batches them into log entries, and repairs what peers miss.

    Parameters
    ----------
    learner : ArrayLearner
    gossip : LogGossip
        Messages, views and repairs.
    schedule : Schedule
        Chooses peers when a batch is full; a peer then gets everything that it lacks.
    share : LogShare
        Selects and encodes samples.

    Examples
    --------
    >>> from protovine.gossip import Coin
    >>> from protovine.learn import LogisticCore
    >>> def made(node: int, peer: int) -> LogExchange:
    ...     draw, limits = np.random.default_rng(node), SetLimits(dim=1, n_classes=2)
    ...     share = LogShare(limits, draw, select="all", batch_items=1)
    ...     return LogExchange(LogisticCore(1, 2), LogGossip(node, [peer]), Coin(1, 1.0, draw), share)
    >>> ann, bob, out = made(0, 1), made(1, 0), Outputs()
    >>> ann.learnt(LocalSample(np.zeros(1), 1, 10, surprisal=2.0, inserted=True), 1, now_ns=10, out=out)
    >>> ((peer, data),) = out.sends
    >>> found = bob.receive(data, sender=0, now_ns=30)
    >>> peer, found.prototypes.label.tolist(), found.view.peer
    (1, [1], 0)
    """

    needs_surprisal = True

    def __init__(self, learner: ArrayLearner, gossip: LogGossip, schedule: Schedule, share: LogShare) -> None:
        super().__init__(gossip)
        self.learner, self.gossip, self.schedule, self.share = learner, gossip, schedule, share
        self.choices: deque[Choice] = deque(maxlen=_CHOICES_KEPT)
        self._covered = 0  # Local samples that the log covers while a batch waits.

    @property
    def limits(self) -> SetLimits:
        """Bounds on received prototypes."""
        return self.share.limits

    def add_peer(self, peer: int, now_ns: int) -> None:
        """Add a neighbour."""
        self.gossip.add(peer, now_ns)

    def peer_reached(self, peer: int, now_ns: int) -> None:
        """Send again what the peer has not acknowledged."""
        self.gossip.reached(peer, now_ns)

    def retune(
        self, now_ns: int, fanout: int | None, share_probability: float | None, budget_bytes_per_s: float | None
    ) -> None:
        """Other settings of the schedule, and another budget."""
        self.schedule.retune(fanout, share_probability)
        if budget_bytes_per_s is not None:
            self.gossip.change_budget(budget_bytes_per_s, now_ns)
            self.share.budget_bytes_per_s = self.gossip.budget_bytes_per_s

    @property
    def tuning(self) -> Tuning:
        """The schedule's settings and the budget."""
        return Tuning(self.schedule.fanout, self.schedule.share_probability, self.gossip.budget_bytes_per_s)

    def learnt(self, sample: LocalSample, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Put the sample into a batch if it is selected, and the batch into the log when it is due."""
        if not self.schedule.active:
            return
        self.schedule.note(sample.error)
        self.share.recipients = self.gossip.recipients
        if self.share.waits_since_ns is None:
            self._covered = samples_learnt - 1
        shared = self.share.note(sample, learner_view(self.learner), now_ns)
        self.choices.append(Choice(now_ns, sample.x, sample.label, sample.surprisal, sample.inserted, shared))
        self._flush(samples_learnt, now_ns, out)

    def receive(self, data: bytes, sender: int, now_ns: int) -> Accepted:
        """Take in the new entries of a message."""
        frame = self.gossip.read(data, sender)
        new_scales: dict[int, Scales] = {}
        good, sets, alarms = [], [], []
        try:
            for index, entry in enumerate(frame.entries):
                if not self.gossip.is_new(frame, index):
                    continue
                if is_alarm(entry):
                    alarms.append(decode_alarm(entry))
                    good.append(index)
                    continue
                try:
                    prototypes, scales = self.share.read(sender, frame.incarnation, entry, new_scales)
                except UnknownScales:
                    continue
                good.append(index)
                if len(prototypes):
                    sets.append(prototypes)
                if scales is not None:
                    new_scales[scales.generation] = scales
        except CodecError as error:
            raise RemoteProtocolError("payload", str(error)) from None
        view, acknowledged_ns = self.gossip.accept(frame, good, now_ns)
        if acknowledged_ns is not None:
            self.schedule.acknowledged(sender, acknowledged_ns, now_ns)
        for scales in new_scales.values():
            self.share.commit(sender, frame.incarnation, scales)
        found = self.forgotten.screen(sender, PrototypeSet.joined(sets, self.limits.dim, sender))
        merged, from_future = clamped(found, now_ns)
        alarms = [alarm for alarm in alarms if not self.forgotten.covers(sender, alarm.at_ns)]
        return Accepted(view, merged, from_future + (frame.created_ns > now_ns), alarms=tuple(alarms))

    def forget(self, peer: int, since_ns: int, until_ns: int, whole: bool) -> None:
        """Forget how far a peer was, and if ``whole`` its scales, and refuse its items of this range from now on."""
        super().forget(peer, since_ns, until_ns, whole)
        if whole:
            self.share.forget(peer)

    def alarm(self, seen: Seen) -> None:
        """Put the alarm into the log: it leaves with the next message, and reaches every peer."""
        if self.schedule.active:
            self.gossip.append(encode_alarm(seen), 0)

    def next_timer_ns(self) -> int | None:
        """When a batch or the protocol is due."""
        protocol_ns = self.gossip.next_timer_ns()
        if self.share.waits_since_ns is None:
            return protocol_ns
        batch_ns = self.share.due_ns(self.learner.recency)
        return batch_ns if protocol_ns is None or (batch_ns is not None and batch_ns < protocol_ns) else protocol_ns

    def on_timer(self, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Send a batch that waited long enough, repairs, acknowledgements and probes."""
        self._flush(samples_learnt, now_ns, out)
        if self.gossip.is_due(now_ns):
            peers = self._chosen(now_ns) if self.gossip.is_quiet(now_ns) else None
            standing = self._standing(samples_learnt, now_ns)
            self._put(self.gossip.on_timer(peers, standing, self._summary, now_ns), now_ns, out)

    def rejoin(self, incarnation: int, now_ns: int) -> None:
        """Go on as a later incarnation, with a new log that follows the old one."""
        self.gossip.rejoin(incarnation, now_ns)
        self.share.begin_log()

    def shift(self, by_ns: int, now_ns: int) -> None:
        """The clock was set: times move with it."""
        self.gossip.shift(by_ns, now_ns)
        self.schedule.shift(by_ns)
        self.share.shift(by_ns)

    def state(self) -> dict[str, Any]:
        """The log's and the batch's state; the schedule starts again."""
        return {
            "gossip": self.gossip.state(),
            "share": self.share.state(),
            "covered": self._covered,
            "forgotten": self.forgotten.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue as a new incarnation, with a new log that follows the old one."""
        self.gossip.restore(state["gossip"])
        self.share.restore(state["share"])
        self._covered = int(state["covered"])
        self.forgotten.restore(state.get("forgotten", []))

    def _flush(self, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        if self.share.waits_since_ns is None:
            return
        due_ns = self.share.due_ns(self.learner.recency)
        if due_ns is None or due_ns > now_ns:
            return
        for payload, items in self.share.seal(learner_view(self.learner), self.gossip.entry_bytes_max):
            self.gossip.append(payload, items)
        if self.schedule.active and self.peers:
            standing = self._standing(samples_learnt, now_ns)
            self._put(self.gossip.push(self._chosen(now_ns), standing, self._summary, now_ns), now_ns, out)

    def _chosen(self, now_ns: int) -> list[int]:
        candidates = self.gossip.lacking(now_ns)
        return chosen(self.schedule, candidates, self.gossip.recipients, now_ns, candidates)

    def _standing(self, samples_learnt: int, now_ns: int) -> Standing:
        """How far the log is complete: samples in a batch that still waits are not in it."""
        since_ns = self.share.waits_since_ns
        return Standing(samples_learnt, now_ns) if since_ns is None else Standing(self._covered, since_ns)

    def _summary(self, max_bytes: int) -> tuple[bytes, int] | None:
        return self.share.summary(self.learner.local_prototypes(), learner_view(self.learner), max_bytes)

    def _put(self, made: list[LogOutgoing], now_ns: int, out: Outputs) -> None:
        for message in made:
            frame = message.frame
            payload = sum(map(len, frame.entries))
            out.records.append(
                records.Sent(
                    now_ns,
                    self.node,
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


def learner_view(learner: ArrayLearner) -> LearnerView:
    """What selection and quantisation need of a learner; zeros from one without scale or recency.

    Examples
    --------
    >>> from protovine.learn import LogisticCore
    >>> learner_view(LogisticCore(dim=2, n_classes=2))[:3]
    (array([0., 0.]), array([0., 0.]), 0.0)
    """
    log_scales, mean, deviation = scales_of(learner)
    return LearnerView(mean, deviation, learner.recency, log_scales)
