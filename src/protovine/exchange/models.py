"""Exchange of whole models, for learners without prototypes: each node keeps the newest model of every peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protovine.errors import RemoteProtocolError
from protovine.exchange.base import PushExchange
from protovine.gossip import OfferLike, PushGossip, Schedule
from protovine.learn import ModelLearner
from protovine.prototypes import PrototypeSet
from protovine.share import SetLimits, WholeModels


class ModelExchange(PushExchange):
    """Pushes the learner's model; the learner adopts the models of peers.

    Parameters
    ----------
    learner : ModelLearner
    gossip : PushGossip
    schedule : Schedule
    limits : SetLimits
        Shape of the samples.
    poll_ns : int >= 0
        See `PushExchange`.

    Raises
    ------
    ConfigError
        ``poll_ns`` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from protovine.exchange import Outputs
    >>> from protovine.gossip import Coin
    >>> from protovine.learn import LogisticCore
    >>> from protovine.share import LocalSample
    >>> def made(node: int, peer: int) -> ModelExchange:
    ...     schedule = Coin(1, 1.0, np.random.default_rng(node))
    ...     return ModelExchange(LogisticCore(1, 2), PushGossip(node, [peer]), schedule, SetLimits(dim=1, n_classes=2))
    >>> ann, bob, out = made(0, 1), made(1, 0), Outputs()
    >>> _ = ann.learner.learn(np.array([[-1.0], [1.0]]), np.array([0, 1]), np.zeros(2, np.int64))
    >>> ann.learnt(LocalSample(np.ones(1), 1, 10, surprisal=1.0, inserted=True), 2, now_ns=10, out=out)
    >>> ((peer, data),) = out.sends
    >>> _ = bob.receive(data, sender=0, now_ns=30)
    >>> bob.learner.predict(np.array([2.0])).code
    1
    """

    def __init__(
        self, learner: ModelLearner, gossip: PushGossip, schedule: Schedule, limits: SetLimits, poll_ns: int = 0
    ) -> None:
        super().__init__(gossip, schedule, limits, poll_ns)
        self.learner = learner
        self.share = WholeModels()

    def _offers(self, samples_learnt: int) -> Callable[[int, int], OfferLike | None]:
        model = self.learner.encode()
        return lambda peer, max_bytes: self.share.offer(model, max_bytes)

    def _read(self, sender: int, payload: bytes | memoryview, created_ns: int) -> Any:
        if self.forgotten.covers(sender, created_ns):
            raise RemoteProtocolError("forgotten", f"a model that node {sender} made at a time that is to be forgotten")
        return self.learner.decode(payload)

    def _keep(self, sender: int, found: Any, now_ns: int) -> tuple[PrototypeSet, int, int]:
        self.learner.adopt(sender, found)
        return PrototypeSet.empty(self.limits.dim, sender), 0, 0
