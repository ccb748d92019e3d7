"""One member of the swarm: learner, exchange and inbox as a single object that does no I/O and reads no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protovine import records, values
from protovine.arrays import all_within
from protovine.drift import DriftWatch
from protovine.errors import CodecError, LocalProtocolError, RemoteProtocolError, SnapshotError, check_range
from protovine.exchange import Exchange, Outputs, Seen, SetExchange, Unlearned, clamped, surprisal_bits
from protovine.gossip import PeerView
from protovine.learn import ArrayLearner, Prediction
from protovine.learn.base import distribution, forget_sender, resume
from protovine.learn.times import shifted, with_times
from protovine.learn.validate import vector_of
from protovine.prototypes import FEATURE_MAX
from protovine.records import Record
from protovine.share import Inbox, LocalSample
from protovine.snapshot import pack, unpack

# Samples that wait for their label; beyond this the oldest are given up, and counted.
UNLABELLED_MAX = 100_000
_NOTHING = Outputs()  # Of a node that did nothing.
# Received prototypes that are trained in one call of the learner.
_BATCH_MAX = 10_000


class Node:
    """Learner, exchange and inbox as one object that a simulator and a real transport drive through the same calls.

    Every call takes the time; the node's clock is the largest time that it was given. Messages and records are
    collected until `drain`. The node trains one received prototype every ``train_period_ns`` while any wait in the
    inbox, and catches up with that work at the beginning of each call.

    Parameters
    ----------
    learner : ArrayLearner
    exchange : Exchange
        How knowledge is exchanged with peers; it knows the node's id and its neighbours.
    inbox : Inbox
        Received prototypes that wait to be trained.
    train_period_ns : int >= 1
        Time that training one received prototype takes: the device's compute model.
    train_local : bool
        Whether training a local sample takes as long, and interrupts the training of received prototypes.
    drift : DriftWatch, optional
        Detects drift of the local samples; peers are told.

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
        self,
        learner: ArrayLearner,
        exchange: Exchange,
        inbox: Inbox,
        train_period_ns: int = 5_263_158,
        train_local: bool = False,
        drift: DriftWatch | None = None,
    ) -> None:
        check_range("train_period_ns", train_period_ns, 1)
        self.id = exchange.node
        self.learner, self.exchange, self.inbox = learner, exchange, inbox
        self.train_period_ns, self.train_local = train_period_ns, train_local
        self.drift = drift
        self.drift_alarms: Counter[str] = Counter()  # By kind.
        self.drift_warnings: Counter[tuple[int, str]] = Counter()  # By sender and kind.
        self.now_ns = 0
        self.samples_learnt = 0  # Local samples only.
        self._train_at_ns = 0
        self._local_until_ns = 0  # Until then the device trains local samples, if that takes time.
        self._unlabelled: dict[int, tuple[NDArray[np.float64], int]] = {}
        self._given_up = 0
        self._ahead_ns = 0  # The clock has shown this time; what was received then may lie in the future.
        self._out = Outputs()

    @property
    def unlabelled(self) -> int:
        """Samples whose label is still awaited."""
        return len(self._unlabelled)

    @property
    def peers(self) -> list[int]:
        """The neighbours, ascending."""
        return self.exchange.peers

    @property
    def views(self) -> dict[int, PeerView]:
        """What this node knows of each neighbour: the newest accepted message and what it stands for."""
        return self.exchange.views

    @property
    def incarnation(self) -> int:
        """How often this node has started, as its peers see it: a restart makes it larger."""
        return self.exchange.incarnation

    @property
    def head(self) -> tuple[int, int]:
        """Incarnation and sequence number of the newest entry or set that this node made."""
        return self.exchange.head

    def add_peer(self, peer: int, now_ns: int) -> None:
        """Add a neighbour; nothing changes if it is one already.

        Raises
        ------
        ConfigError
            ``peer`` is this node itself.
        """
        self.exchange.add_peer(peer, now_ns)
        self.inbox.add(peer)

    def peer_reached(self, peer: int, now_ns: int) -> None:
        """The transport reports that a neighbour is there again, for example because its link was reopened."""
        self._advance(now_ns)
        self.exchange.peer_reached(peer, now_ns)

    def set_train_period(self, train_period_ns: int, now_ns: int) -> None:
        """From now on the device trains at another speed.

        Raises
        ------
        ConfigError
            ``train_period_ns`` is out of range.
        """
        check_range("train_period_ns", train_period_ns, 1)
        self._advance(now_ns)
        self.train_period_ns = train_period_ns

    def distrust(self, peer: int, now_ns: int) -> int:
        """Forget the prototypes of a peer that wait to be trained, and return their number; what was learnt stays."""
        self._advance(now_ns)
        return self.inbox.discard(peer)

    def forget(self, peer: int, since_ns: int, until_ns: int, now_ns: int, *, whole: bool = False) -> Unlearned:
        """Forget what a peer shared with event times from ``since_ns`` to ``until_ns``, and refuse it from now on.

        What went into sums stays: see `Unlearned`. ``whole`` is for a node that has just been restored; see `refuse`.
        """
        self._check_time(now_ns)
        waiting = self.inbox.forget(peer, since_ns, until_ns)
        self._advance(now_ns)
        found = Unlearned(waiting, forget_sender(self.learner, peer, since_ns, until_ns))
        self.refuse(peer, since_ns, until_ns, whole=whole)
        for key in [key for key in self.drift_warnings if key[0] == peer]:
            del self.drift_warnings[key]
        return found

    def refuse(self, peer: int, since_ns: int, until_ns: int, *, whole: bool = False) -> None:
        """Refuse from now on what a peer shared with event times from ``since_ns`` to ``until_ns``.

        With ``whole`` the peer is as good as never heard, and sends its messages again; for a node that has just been
        restored. That is so only if the range has all that came from the peer: else the rest would be learnt twice.
        """
        view = self.views.get(peer)
        all_of_it = since_ns == 0 and (view is None or view.created_ns <= until_ns)
        self.exchange.forget(peer, since_ns, until_ns, whole and all_of_it)

    def retune(
        self,
        now_ns: int,
        fanout: int | None = None,
        share_probability: float | None = None,
        budget_bytes_per_s: float | None = None,
    ) -> None:
        """Share by other settings from now on; None keeps what there is.

        Raises
        ------
        ConfigError
            A value is out of range.
        """
        self._advance(now_ns)
        self.exchange.retune(now_ns, fanout, share_probability, budget_bytes_per_s)

    def note_command(self, command: str, by: str, now_ns: int) -> None:
        """Keep in the records that the operator ``by`` changed this node; what changes are calls of their own."""
        self._advance(now_ns)
        self._out.records.append(records.Commanded(now_ns, self.id, command, by))

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
        """Predict a local sample, then learn it if its class ``y`` is known (prequential: test, then train).

        Parameters
        ----------
        x : array-like of shape (d,)
            Features. NaN is a missing value; learners that accept them use the feature's mean so far.
        y : int, optional
            Class code. Without it (None, NaN, pd.NA) the sample waits for `label` under ``sample_id``.
        now_ns, event_ns : int
            The time, and when the sample was measured (by default now; a time from the future counts as now).
        sample_id : int, optional
            Name of the sample in records; by default the number of local samples learnt so far.
        awaits : bool
            Whether a sample without a class waits for it; else it is only predicted.

        Raises
        ------
        ValueError
            The vector has another length or is not finite, or the class is no code or out of range. Nothing was learnt.
        LocalProtocolError
            Time goes backwards, or the learner's prediction is no distribution over the classes.
        """
        # A copy: samples that wait for labels must not change, and kernels get one kind of array.
        sample = np.array(vector_of(x), order="C")
        if sample.shape != (self.learner.dim,):
            raise ValueError(f"a sample must have shape ({self.learner.dim},), got {sample.shape}")
        if not all_within(sample, FEATURE_MAX) and self.learner.takes_missing:
            sample = np.where(np.isnan(sample), self.learner.scale()[0], sample)
        if not all_within(sample, FEATURE_MAX):
            raise ValueError(f"a sample must be finite and within ±{FEATURE_MAX:g}, got {sample.tolist()}")
        y = self._class(y)
        self._advance(now_ns)
        name = self.samples_learnt if sample_id is None else sample_id
        event = now_ns if event_ns is None else min(event_ns, now_ns)
        prediction = self.learner.predict(sample, event)
        proba = distribution(prediction, self.learner.n_classes)
        self._out.records.append(records.Predicted(now_ns, self.id, name, prediction.code, proba))
        if y is not None:
            self._learn(sample, y, event, name)
        elif sample_id is not None and awaits:
            self._unlabelled[sample_id] = (sample, event)
            if len(self._unlabelled) > UNLABELLED_MAX:
                del self._unlabelled[next(iter(self._unlabelled))]
                self._given_up += 1
        return prediction

    def label(self, sample_id: int, y: int, now_ns: int) -> bool:
        """Learn an observed sample whose label came late; false if the label is not (or no longer) awaited.

        A missing label (None, NaN, pd.NA) is false too, and the sample goes on waiting.
        """
        code = self._class(y)
        self._advance(now_ns)
        if code is None:
            return False
        waiting = self._unlabelled.pop(sample_id, None)
        if waiting is None:
            return False
        sample, event_ns = waiting
        self._learn(sample, code, event_ns, sample_id)
        return True

    def give_up(self, sample_id: int, now_ns: int) -> None:
        """Await the label of a sample no longer."""
        self._advance(now_ns)
        if self._unlabelled.pop(sample_id, None) is not None:
            self._given_up += 1

    def receive(self, data: bytes, sender: int, now_ns: int) -> None:
        """Take in a message.

        Raises
        ------
        RemoteProtocolError
            The message is damaged, stale or not from ``sender``. Learner and views are unchanged, and a
            `records.Refused` is kept.
        """
        self._check_time(now_ns)
        try:
            view, prototypes, from_future, kept, alarms = self.exchange.receive(data, sender, now_ns)
        except RemoteProtocolError as error:
            self._out.records.append(records.Refused(now_ns, self.id, sender, error.reason, len(data)))
            raise
        self._advance(now_ns)
        if not len(self.inbox):
            idle_ns = max(now_ns, self._local_until_ns)
            self._train_at_ns = max(self._train_at_ns, idle_ns + self.train_period_ns)
        dropped = self.inbox.put(sender, prototypes, view.created_ns) if len(prototypes) else 0
        self._out.records.append(
            records.Received(
                now_ns,
                self.id,
                sender,
                view.incarnation,
                view.sequence,
                view.samples_learnt,
                view.created_ns,
                len(prototypes) + kept,
                len(data),
                dropped,
                from_future,
            )
        )
        for seen in alarms:
            self.drift_warnings[sender, seen.kind] += 1
            self._out.records.append(records.Warned(now_ns, self.id, sender, seen.kind, min(seen.at_ns, now_ns)))

    def next_timer_ns(self) -> int | None:
        """When `on_timer` is due, or None."""
        due_ns = self.exchange.next_timer_ns()
        return None if due_ns is None else max(due_ns, self.now_ns)

    def on_timer(self, now_ns: int) -> None:
        """Do everything that is due by now."""
        self._advance(now_ns)
        self.exchange.on_timer(self.samples_learnt, now_ns, self._out)

    def finish(self, now_ns: int) -> None:
        """The run ends: train what there was time for, and record the node's final state."""
        self._advance(now_ns)
        self._out.records.append(
            records.Ended(now_ns, self.id, len(self.learner), len(self.inbox), self.unlabelled, self._given_up)
        )

    def drain(self) -> Outputs:
        """Messages and records since the last drain, in order."""
        outputs = self._out
        if not outputs.records and not outputs.sends:
            return _NOTHING
        self._out = Outputs()
        return outputs

    def snapshot(self, awaiting: Container[int] | None = None) -> bytes:
        """Everything needed to continue after a crash, except outputs that were not drained.

        Of the samples that wait for labels, only those in ``awaiting`` are in it; all, if None.
        """
        return pack(
            {
                "node": self.id,
                "now_ns": self.now_ns,
                "samples_learnt": self.samples_learnt,
                "train_at_ns": self._train_at_ns,
                "given_up": self._given_up,
                "learner": self.learner.state(),
                "exchange": self.exchange.state(),
                "inbox": self.inbox.state(),
                "unlabelled": [
                    [name, x, event]
                    for name, (x, event) in self._unlabelled.items()
                    if awaiting is None or name in awaiting
                ],
            }
        )

    def restore(self, data: bytes, now_ns: int) -> None:
        """Continue from a snapshot of a node with the same settings, as a new incarnation that starts at ``now_ns``.

        A snapshot of no node (``node`` is None) has only a learner, from which this node begins. If it has ``features``
        and ``classes``, they are the places of that learner's features and classes in this one.

        Received prototypes that waited at the snapshot still wait: a node that is down trains nothing. If the snapshot
        was made later than ``now_ns``, times in it that lie in the future are moved back (`shift`).

        Raises
        ------
        SnapshotError
            The bytes are damaged or belong to another node. Build a new node then.
        """
        saved = unpack(data)
        try:
            node = saved["node"]
            if node is not None and node != self.id:
                raise SnapshotError(f"the snapshot belongs to node {node}, not to node {self.id}")
            resume(self.learner, saved)
            if node is None:
                return
            self.exchange.restore(saved["exchange"])
            self.inbox.restore(saved["inbox"], self.exchange.limits)
            self._unlabelled = {name: (x, event) for name, x, event in saved["unlabelled"]}
            self.samples_learnt, self._given_up = saved["samples_learnt"], saved["given_up"]
            self.now_ns = self._local_until_ns = max(saved["now_ns"], now_ns)
            self._train_at_ns = max(saved["train_at_ns"], self.now_ns + self.train_period_ns)
            if now_ns < self.now_ns:  # The clock was ahead and is no longer.
                self.shift(now_ns - self.now_ns, now_ns, now_ns)
        except (KeyError, IndexError, AttributeError, TypeError, ValueError, CodecError) as error:
            raise SnapshotError(f"the snapshot is damaged: {error}") from None

    def rejoin(self, incarnation: int, now_ns: int) -> None:
        """Go on as ``incarnation``, which is later, as after a restart: peers know one that is as late as this."""
        self._advance(now_ns)
        self.exchange.rejoin(incarnation, now_ns)

    def shift(self, by_ns: int, since_ns: int, now_ns: int) -> None:
        """The clock was set by ``by_ns`` to ``now_ns``, which may be earlier than the node's time.

        Times of this node move with it: timers, and event times that the learner has since ``since_ns`` by the old
        clock. None of them is later than ``now_ns`` afterwards.
        """
        self._ahead_ns = max(self._ahead_ns, self.now_ns)
        self.now_ns = now_ns
        self._train_at_ns += by_ns
        self._local_until_ns += by_ns
        self._unlabelled = {
            name: (x, int(shifted(event_ns, by_ns, since_ns, now_ns)))
            for name, (x, event_ns) in self._unlabelled.items()
        }
        learnt = self.learner.state()
        self.learner.restore(with_times(learnt, by_ns, since_ns, now_ns))
        self.exchange.shift(by_ns, now_ns)

    def _learn(self, sample: NDArray[np.float64], y: int, event_ns: int, name: int) -> None:
        watched, likelihood, wrong = self.drift is not None, 1.0, False
        if watched:
            wrong = self.learner.predict(sample, event_ns).code != y
        if watched or self.exchange.needs_surprisal:
            likelihood = self.learner.likelihood(sample, y, event_ns)
        inserted = self.learner.learn(sample[np.newaxis], np.array([y]), np.array([event_ns]))
        self.samples_learnt += 1
        if self.train_local:
            self._local_until_ns = max(self._local_until_ns, self.now_ns) + self.train_period_ns
            if len(self.inbox):
                self._train_at_ns += self.train_period_ns
        self._records_of_shrinking()
        self._out.records.append(records.Learned(self.now_ns, self.id, name, bool(inserted), len(self.learner)))
        learnt = LocalSample(sample, y, event_ns, surprisal_bits(likelihood), bool(inserted))
        alarm = self.drift.note(sample, y, wrong, learnt.surprisal) if self.drift is not None else None
        if alarm is not None:
            self.drift_alarms[alarm.kind] += 1
            self._out.records.append(records.Alarmed(self.now_ns, self.id, *alarm))
            self.exchange.alarm(Seen(alarm.kind, self.now_ns))
        self.exchange.learnt(learnt, self.samples_learnt, self.now_ns, self._out)

    def _advance(self, now_ns: int) -> None:
        """Move the clock and train the received prototypes that there was time for."""
        self._check_time(now_ns)
        self.now_ns = now_ns
        while len(self.inbox) and self._train_at_ns <= now_ns:
            due = (now_ns - self._train_at_ns) // self.train_period_ns + 1
            batch = self.inbox.take(min(due, _BATCH_MAX))
            count = len(batch.label)
            runs = batch.runs(self._train_at_ns, self.train_period_ns)
            self._train_at_ns += count * self.train_period_ns
            prototypes = batch.prototypes()
            if now_ns < self._ahead_ns:
                prototypes, _ = clamped(prototypes, now_ns)
            inserted = self.learner.learn_received(prototypes, batch.origin)
            self._records_of_shrinking()
            self._out.records.append(records.Trained(now_ns, self.id, count, inserted, len(self.learner), runs))

    def _check_time(self, now_ns: int) -> None:
        if now_ns < self.now_ns:
            raise LocalProtocolError(f"time goes backwards: {now_ns} after {self.now_ns}")

    def _records_of_shrinking(self) -> None:
        for compressions in self.learner.compressions():
            self._out.records.append(
                records.Compressed(self.now_ns, self.id, compressions.before, compressions.after, compressions.exact)
            )

    def _class(self, y: int | None) -> int | None:
        """A class code as a plain integer, None for a missing one."""
        code = values.label(y)
        if code is None:
            return None
        if not isinstance(code, int | float) or not 0 <= code < self.learner.n_classes or code != int(code):
            raise ValueError(f"a class must be between 0 and {self.learner.n_classes - 1}, got {y!r}")
        return int(code)


def pump(node: Node, send: Callable[[int, bytes], None], record: Callable[[Record], None]) -> None:
    """Pass a node's outputs on: records to ``record``, then messages to ``send``, each in order."""
    outputs = node.drain()
    for entry in outputs.records:
        record(entry)
    for peer, data in outputs.sends:
        send(peer, data)


def make_example_node() -> Node:
    """A node with one feature, two classes and one peer that shares after every sample, for examples and tests."""
    from protovine.gossip import Coin, PushGossip
    from protovine.learn import XuILVQCore
    from protovine.share import AlwaysGate, QueueInbox, SetLimits, WholeSets

    learner = XuILVQCore(dim=1, n_classes=2)
    schedule = Coin(1, 1.0, np.random.default_rng(0))
    share = WholeSets(AlwaysGate(), SetLimits(dim=1, n_classes=2))
    return Node(learner, SetExchange(learner, PushGossip(0, [1]), schedule, share), QueueInbox(1, [1]))
