"""Exchange of whole prototype sets, the paper's way: at each opportunity a set goes to some peers, if a gate agrees."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from protovine.exchange.base import Outputs, SetPushExchange
from protovine.gossip import OfferLike, PushGossip, Schedule
from protovine.learn import ArrayLearner
from protovine.prototypes import Evidence
from protovine.share import LocalSample, WholeSets

# Newest local samples on which a gate may test a set.
_WINDOW = 100


class SetExchange(SetPushExchange):
    """Pushes the learner's whole set, and hands the sets of peers on for training.

    The window of local samples, on which a gate may test a set, is not part of the state: it fills again by itself.

    Parameters
    ----------
    learner : ArrayLearner
    gossip : PushGossip
    schedule : Schedule
    share : WholeSets
        The gate and the codec.
    poll_ns : int >= 0
        See `PushExchange`.

    Raises
    ------
    ConfigError
        ``poll_ns`` is negative.

    Examples
    --------
    >>> from protovine.gossip import Coin
    >>> from protovine.learn import XuILVQCore
    >>> from protovine.share import AlwaysGate, SetLimits
    >>> def made(node: int, peer: int) -> SetExchange:
    ...     schedule = Coin(1, 1.0, np.random.default_rng(node))
    ...     share = WholeSets(AlwaysGate(), SetLimits(dim=1, n_classes=2))
    ...     return SetExchange(XuILVQCore(1, 2), PushGossip(node, [peer]), schedule, share)
    >>> ann, bob, out = made(0, 1), made(1, 0), Outputs()
    >>> _ = ann.learner.learn(np.array([[0.5]]), np.array([1]), np.array([10]))
    >>> ann.learnt(LocalSample(np.array([0.5]), 1, 10, surprisal=2.0, inserted=True), 1, now_ns=10, out=out)
    >>> ((peer, data),) = out.sends
    >>> peer, bob.receive(data, sender=0, now_ns=30).prototypes.x.tolist()
    (1, [[0.5]])
    """

    def __init__(
        self, learner: ArrayLearner, gossip: PushGossip, schedule: Schedule, share: WholeSets, poll_ns: int = 0
    ) -> None:
        super().__init__(gossip, schedule, share, poll_ns)
        self.learner = learner
        self._window: list[LocalSample] = []

    def learnt(self, sample: LocalSample, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Keep the sample in the gate's window, and offer the set."""
        self._window.append(sample)
        if len(self._window) >= 2 * _WINDOW:
            del self._window[:_WINDOW]
        super().learnt(sample, samples_learnt, now_ns, out)

    def _offers(self, samples_learnt: int) -> Callable[[int, int], OfferLike | None]:
        newest = self._window[-_WINDOW:] if self.share.gate.needs_window else []
        evidence = Evidence(
            self.learner.local_prototypes(),
            samples_learnt,
            np.array([sample.x for sample in newest]).reshape(len(newest), self.learner.dim),
            np.array([sample.label for sample in newest], np.int64),
        )
        return lambda peer, max_bytes: self.share.offer(peer, evidence, max_bytes)
