"""One member of the swarm: learner, sharing and gossip as a single object that does no I/O and reads no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protovine import records
from protovine.errors import CodecError, ConfigError, LocalProtocolError, RemoteProtocolError, SnapshotError
from protovine.gossip import Gossip, Outgoing
from protovine.learn import ArrayLearner, Prediction
from protovine.prototypes import FEATURE_MAX, Evidence, PrototypeSet
from protovine.records import Record
from protovine.share import Inbox, WholeSets
from protovine.snapshot import pack, unpack

# Samples whose label is still awaited; the oldest are given up beyond this, and counted.
UNLABELLED_MAX = 100_000
# Received prototypes that are trained in one go.
_BATCH_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a node wants done since it was drained last: messages to send, and records of what happened."""

    sends: list[tuple[int, bytes]]
    records: list[Record]


class Node:
    """Learner, sharing and gossip as one object that a simulator and a real transport drive through the same calls.

    Every call takes the time; the node's clock is the largest it was given. What it wants done is collected until
    `drain`. Received prototypes are trained one every ``train_period_ns`` while they last: the node catches up with
    that work at the beginning of each call.

    Parameters
    ----------
    learner : ArrayLearner
    gossip : Gossip
    share : WholeSets
    inbox : Inbox
        Received prototypes that wait to be trained.
    train_period_ns : int >= 1
        Time that training one received prototype takes: the device's compute model.

    Raises
    ------
    ConfigError
        ``train_period_ns`` is out of range.

    Examples
    --------
    >>> node = make_example_node()
    >>> node.observe([0.0], 0, now_ns=1).code
    -1
    >>> node.observe([0.1], 0, now_ns=2).code
    0
    >>> [peer for peer, data in node.drain().sends]
    [1, 1]
    """

    def __init__(
        self, learner: ArrayLearner, gossip: Gossip, share: WholeSets, inbox: Inbox, train_period_ns: int = 5_263_158
    ) -> None:
        if train_period_ns < 1:
            raise ConfigError(f"train_period_ns must be >= 1, got {train_period_ns}")
        self.id = gossip.node
        self.learner, self.gossip, self.share, self.inbox = learner, gossip, share, inbox
        self.train_period_ns = train_period_ns
        self.now_ns = 0
        self.version = 0  # Own samples learnt.
        self._train_at_ns = 0
        self._unlabelled: dict[int, tuple[NDArray[np.float64], int]] = {}
        self._given_up = 0
        self._sends: list[tuple[int, bytes]] = []
        self._records: list[Record] = []

    @property
    def unlabelled(self) -> int:
        """Samples whose label is still awaited."""
        return len(self._unlabelled)

    def observe(
        self,
        x: ArrayLike,
        y: int | None = None,
        *,
        now_ns: int,
        event_ns: int | None = None,
        sample_id: int | None = None,
    ) -> Prediction:
        """Predict an own sample, then learn it if its class ``y`` is known; the prediction was made before learning.

        Parameters
        ----------
        x : array-like of shape (d,)
            Finite features.
        y : int, optional
            Class code. Without it the sample waits for `label` under ``sample_id``.
        now_ns, event_ns : int
            The time, and when the sample was measured (by default now; a time from the future counts as now).
        sample_id : int, optional
            Name of the sample in records; by default the number of own samples learnt so far.

        Raises
        ------
        ValueError
            The vector has another length or is not finite, or the class is unknown. Nothing was learnt.
        LocalProtocolError
            Time goes backwards.
        """
        # A copy of one's own: samples that wait for labels must not change, and kernels see one kind of array.
        sample = np.array(x, dtype=np.float64, order="C")
        if sample.shape != (self.learner.dim,):
            raise ValueError(f"a sample must have shape ({self.learner.dim},), got {sample.shape}")
        if not np.abs(sample).max() <= FEATURE_MAX:  # False for NaN too.
            raise ValueError(f"a sample must be finite and within ±{FEATURE_MAX:g}, got {sample.tolist()}")
        self._check_class(y)
        self._advance(now_ns)
        name = self.version if sample_id is None else sample_id
        prediction = self.learner.predict(sample)
        shares = tuple(prediction.shares.tolist()) if prediction.code >= 0 else ()
        self._records.append(records.Predicted(now_ns, self.id, name, prediction.code, shares))
        event = now_ns if event_ns is None else min(event_ns, now_ns)
        if y is not None:
            self._learn(sample, y, event, name)
        elif sample_id is not None:
            self._unlabelled[sample_id] = (sample, event)
            if len(self._unlabelled) > UNLABELLED_MAX:
                del self._unlabelled[next(iter(self._unlabelled))]
                self._given_up += 1
        return prediction

    def label(self, sample_id: int, y: int, now_ns: int) -> bool:
        """Learn an observed sample whose label came late; false if it is not (or no longer) awaited."""
        self._check_class(y)
        self._advance(now_ns)
        waiting = self._unlabelled.pop(sample_id, None)
        if waiting is None:
            return False
        self._learn(waiting[0], y, waiting[1], sample_id)
        return True

    def receive(self, data: bytes, sender: int, now_ns: int) -> None:
        """Take in a message.

        Raises
        ------
        RemoteProtocolError
            The message is damaged, stale or not from ``sender``. Learner, views and versions are unchanged; a
            `records.Refused` says so.
        """
        self._check_time(now_ns)
        try:
            frame = self.gossip.read(data, sender)
            try:
                prototypes = self.share.read(sender, frame.payload)
            except CodecError as error:
                raise RemoteProtocolError("payload", str(error)) from None
        except RemoteProtocolError as error:
            self._records.append(records.Refused(now_ns, self.id, sender, error.reason, len(data)))
            raise
        self._advance(now_ns)
        view = self.gossip.accept(frame, now_ns)
        prototypes, from_future = _clamped(prototypes, now_ns)
        self.share.commit(sender, prototypes)
        if not len(self.inbox):
            self._train_at_ns = max(self._train_at_ns, now_ns + self.train_period_ns)
        dropped = self.inbox.put(sender, prototypes)
        self._records.append(
            records.Received(
                now_ns,
                self.id,
                sender,
                view.incarnation,
                view.sequence,
                view.version,
                view.created_ns,
                len(prototypes),
                len(data),
                dropped,
                from_future + (frame.created_ns > now_ns),
            )
        )

    def next_timer_ns(self) -> int | None:
        """When `on_timer` is due, or None."""
        return self.gossip.next_timer_ns()

    def on_timer(self, now_ns: int) -> None:
        """Do what was due by now."""
        self._advance(now_ns)
        self._share(self.gossip.on_timer(now_ns))

    def finish(self, now_ns: int) -> None:
        """The run ends: train what there was time for, and record how the node stands."""
        self._advance(now_ns)
        self._records.append(
            records.Ended(now_ns, self.id, len(self.learner), len(self.inbox), self.unlabelled, self._given_up)
        )

    def drain(self) -> Outputs:
        """Messages and records since the last drain, in order."""
        outputs = Outputs(self._sends, self._records)
        self._sends, self._records = [], []
        return outputs

    def snapshot(self) -> bytes:
        """Everything needed to go on after a crash; outputs that were not drained are not part of it."""
        return pack(
            {
                "node": self.id,
                "now_ns": self.now_ns,
                "version": self.version,
                "train_at_ns": self._train_at_ns,
                "given_up": self._given_up,
                "learner": self.learner.state(),
                "gossip": self.gossip.state(),
                "share": self.share.state(),
                "inbox": self.inbox.state(),
                "unlabelled": [[name, x, event] for name, (x, event) in self._unlabelled.items()],
            }
        )

    def restore(self, data: bytes, now_ns: int) -> None:
        """Go on from a snapshot of a node that was built alike, as a new incarnation that starts at ``now_ns``.

        Received prototypes that waited then wait still: a node that is down trains nothing.

        Raises
        ------
        SnapshotError
            The bytes are damaged or belong to another node. The node must then be built anew.
        """
        saved = unpack(data)
        if saved.get("node") != self.id:
            raise SnapshotError(f"the snapshot belongs to node {saved.get('node')}, not to node {self.id}")
        try:
            self.learner.restore(saved["learner"])
            self.gossip.restore(saved["gossip"])
            self.share.restore(saved["share"])
            self.inbox.restore(saved["inbox"], self.share.limits)
            self._unlabelled = {name: (x, event) for name, x, event in saved["unlabelled"]}
            self.version, self._given_up = saved["version"], saved["given_up"]
            self.now_ns = max(saved["now_ns"], now_ns)
            self._train_at_ns = max(saved["train_at_ns"], self.now_ns + self.train_period_ns)
        except (KeyError, TypeError, ValueError, CodecError) as error:
            raise SnapshotError(f"the snapshot is damaged: {error}") from None
        self.gossip.incarnation += 1

    def _learn(self, sample: NDArray[np.float64], y: int, event_ns: int, name: int) -> None:
        inserted = self.learner.learn(sample[np.newaxis], np.array([y]), np.array([event_ns]))
        self.version += 1
        self._records_of_shrinking()
        self._records.append(records.Learned(self.now_ns, self.id, name, bool(inserted), len(self.learner)))
        self._share(self.gossip.opportunity(self.now_ns))

    def _share(self, peers: list[int]) -> None:
        if not peers:
            return
        evidence = Evidence(self.learner.prototypes(), self.version)
        offer = partial(self._offer, evidence)
        for made in self.gossip.share(peers, offer, self.version, self.now_ns):
            self._records.append(self._record_of(made))
            if made.frame is not None:
                self._sends.append((made.peer, made.data))

    def _offer(self, evidence: Evidence, peer: int, max_bytes: int) -> Any:
        return self.share.offer(peer, evidence, max_bytes)

    def _record_of(self, made: Outgoing) -> Record:
        if made.frame is None:
            return records.Withheld(
                self.now_ns, self.id, made.peer, made.offer.items, made.offer.gate, made.offer.value
            )
        return records.Sent(
            self.now_ns,
            self.id,
            made.peer,
            made.frame.kind.name.lower(),
            made.frame.sequence,
            made.frame.version,
            made.offer.items,
            len(made.data) - len(made.frame.payload),
            len(made.frame.payload),
            int.from_bytes(made.data[-4:], "little"),
        )

    def _advance(self, now_ns: int) -> None:
        """Move the clock and train the received prototypes that there was time for."""
        self._check_time(now_ns)
        self.now_ns = now_ns
        while len(self.inbox) and self._train_at_ns <= now_ns:
            due = (now_ns - self._train_at_ns) // self.train_period_ns + 1
            batch = self.inbox.take(min(due, _BATCH_MAX))
            count = len(batch.label)
            self._train_at_ns += count * self.train_period_ns
            inserted = self.learner.learn(batch.x, batch.label, batch.event_ns)
            self._records_of_shrinking()
            self._records.append(records.Trained(now_ns, self.id, count, inserted, len(self.learner)))

    def _check_time(self, now_ns: int) -> None:
        if now_ns < self.now_ns:
            raise LocalProtocolError(f"time goes backwards: {now_ns} after {self.now_ns}")

    def _records_of_shrinking(self) -> None:
        for shrunk in self.learner.shrunk():
            self._records.append(records.Compressed(self.now_ns, self.id, shrunk.before, shrunk.after, shrunk.exact))

    def _check_class(self, y: int | None) -> None:
        if y is not None and not 0 <= y < self.learner.n_classes:
            raise ValueError(f"a class must be between 0 and {self.learner.n_classes - 1}, got {y}")


def _clamped(prototypes: PrototypeSet, now_ns: int) -> tuple[PrototypeSet, int]:
    """The set with event times from the future set to now, and how many there were."""
    if not len(prototypes) or prototypes.event_ns.max() <= now_ns:
        return prototypes, 0
    ahead = int((prototypes.event_ns > now_ns).sum())
    return replace(prototypes, event_ns=np.minimum(prototypes.event_ns, now_ns)), ahead


def pump(node: Node, send: Callable[[int, bytes], None], record: Callable[[Record], None]) -> None:
    """Hand a node's outputs on: records to whoever keeps them, then messages to the transport, each in order."""
    outputs = node.drain()
    for entry in outputs.records:
        record(entry)
    for peer, data in outputs.sends:
        send(peer, data)


def make_example_node() -> Node:
    """A node with one feature, two classes and one peer that shares after every sample, for examples and tests."""
    from protovine.learn import XuILVQCore
    from protovine.share import AlwaysGate, QueueInbox, SetLimits

    return Node(
        XuILVQCore(dim=1, n_classes=2),
        Gossip(0, [1], peers_per_share=1, probability=1.0, rng=np.random.default_rng(0)),
        WholeSets(AlwaysGate(), SetLimits(dim=1, n_classes=2)),
        QueueInbox(1, [1]),
    )
