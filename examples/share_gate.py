"""A gate of your own: send the whole set to a peer only if it has a quarter more prototypes than the peer's last set.

    python examples/share_gate.py

A gate scores a set and says whether it is worth sending (`protovine.share.Gate`). Five nodes are put together by hand.
"""

import numpy as np

import protovine
from protovine import metrics
from protovine.exchange import SetExchange
from protovine.gossip import Coin, PushGossip
from protovine.learn import XuILVQCore
from protovine.prototypes import Evidence, PrototypeSet
from protovine.share import AlwaysGate, Gate, QueueInbox, SetLimits, WholeSets
from protovine.sim import Scenario, Simulator, arrival_times
from protovine.stream import split_rows

NODES = 5


class GrowthGate(AlwaysGate):
    """The score is how much larger this node's set is than the last sets to and from the peer."""

    name = "growth"
    counts_sent = True

    def score(self, evidence: Evidence, known: PrototypeSet | None) -> float:
        return len(evidence.prototypes) / len(known) - 1.0 if known else 1.0

    def passes(self, score: float) -> bool:
        return score > 0.25


def simulate(data: protovine.DataSet, gate: type[Gate]) -> tuple[float, float]:
    """Accuracy, and bytes per node and second."""
    dim, n_classes = data.x.shape[1], len(data.classes)

    def make_node(node: int, incarnation: int) -> protovine.Node:
        peers = [peer for peer in range(NODES) if peer != node]
        learner, gossip = XuILVQCore(dim, n_classes), PushGossip(node, peers, incarnation=incarnation)
        schedule, share = Coin(4, 0.1, np.random.default_rng(node)), WholeSets(gate(), SetLimits(dim, n_classes))
        exchange = SetExchange(learner, gossip, schedule, share)
        return protovine.Node(learner, exchange, QueueInbox(dim, peers))

    rows = split_rows(data.y, NODES, "interleave", seed=0)
    scenario = Scenario(data.x, data.y, rows, arrival_times(rows, rate_hz=10.0))
    trace = []
    outcome = Simulator(scenario, make_node, trace.append).run()
    made = metrics.pooled(metrics.predictions(trace, NODES, n_classes))
    return metrics.scores(made, None).accuracy, metrics.traffic(trace).bytes_total / NODES / outcome.virtual_ns * 1e9


if __name__ == "__main__":
    stream = protovine.load("phishing", rows=600)
    for kind in (AlwaysGate, GrowthGate):
        accuracy, traffic = simulate(stream, kind)
        print(f"{kind.name}: accuracy {accuracy:.3f}, {traffic:.0f} bytes per node and second")
