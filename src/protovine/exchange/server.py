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
