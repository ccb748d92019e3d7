"""The server of federated prototypes: it keeps its clients' sets, and answers each client with those of the others."""

from __future__ import annotations

from collections.abc import Callable

from protovine.exchange.base import Outputs, SetPushExchange
from protovine.gossip import OfferLike, PushGossip, Schedule
from protovine.learn import AggregatorCore
from protovine.prototypes import Evidence, PrototypeSet
from protovine.share import WholeSets


class ServerExchange(SetPushExchange):
    """Collects the clients' sets, and answers each client at once with the new prototypes of the others.

    The clients use `SetExchange`.

    Parameters
    ----------
    learner : AggregatorCore
    gossip : PushGossip
    schedule : Schedule
        The server answers unless this schedule is inactive.
    share : WholeSets

    Examples
    --------
    >>> import numpy as np
    >>> from protovine.compress import GreedyCompressor
    >>> from protovine.gossip import Coin, Frame, Kind
    >>> from protovine.share import AlwaysGate, SetLimits, encode_set
    >>> schedule, share = Coin(1, 1.0, np.random.default_rng(0)), WholeSets(AlwaysGate(), SetLimits(dim=1, n_classes=2))
    >>> learner = AggregatorCore(1, 2, GreedyCompressor(), size=10)
    >>> server, out = ServerExchange(learner, PushGossip(0, [1, 2]), schedule, share), Outputs()
    >>> for client, x in ((1, 0.5), (2, 4.0)):
    ...     sent = encode_set(PrototypeSet.of([[x]], [0], event_ns=[5]))
    ...     _ = server.receive(Frame(Kind.SHARE, client, 1, 1, 1, 5, sent).encode(), client, now_ns=10)
    >>> server.on_timer(samples_learnt=0, now_ns=10, out=out)
    >>> [(client, share.read(0, Frame.decode(data).payload).x.tolist()) for client, data in out.sends]
    [(1, [[4.0]]), (2, [[0.5]])]
    """

    def __init__(self, learner: AggregatorCore, gossip: PushGossip, schedule: Schedule, share: WholeSets) -> None:
        super().__init__(gossip, schedule, share)
        self.learner = learner
        self._unanswered: dict[int, int] = {}  # Since when each client waits.

    def next_timer_ns(self) -> int | None:
        """Now, if a client waits for an answer."""
        due = [*self._unanswered.values()]
        due_ns = super().next_timer_ns()
        return min(due if due_ns is None else [*due, due_ns], default=None)

    def on_timer(self, samples_learnt: int, now_ns: int, out: Outputs) -> None:
        """Answer every client that waits."""
        super().on_timer(samples_learnt, now_ns, out)
        clients = sorted(self._unanswered)
        self._unanswered.clear()
        self._share(clients, samples_learnt, now_ns, out)

    def _offers(self, samples_learnt: int) -> Callable[[int, int], OfferLike | None]:
        def offer(peer: int, max_bytes: int) -> OfferLike | None:
            return self.share.offer(peer, Evidence(self.learner.others(peer), samples_learnt), max_bytes)

        return offer

    def _keep(self, sender: int, found: PrototypeSet, now_ns: int) -> tuple[PrototypeSet, int, int]:
        prototypes, from_future, _ = super()._keep(sender, found, now_ns)
        self.learner.collect(sender, prototypes)
        if self.schedule.active:
            self._unanswered[sender] = now_ns
        return PrototypeSet.empty(self.limits.dim, sender), from_future, len(prototypes)
