"""A gate of your own: send the whole set to a peer only if it has a quarter more prototypes than the peer's last set.

    python examples/share_gate.py

A gate scores a set and says whether it is worth sending (`protovine.share.Gate`). An experiment takes its class.
"""

import protovine
from protovine.prototypes import Evidence, PrototypeSet
from protovine.share import AlwaysGate


class GrowthGate(AlwaysGate):
    """The score is how much larger this node's set is than the last sets to and from the peer."""

    name = "growth"
    counts_sent = True

    def score(self, evidence: Evidence, known: PrototypeSet | None) -> float:
        return len(evidence.prototypes) / len(known) - 1.0 if known else 1.0

    def passes(self, score: float) -> bool:
        return score > 0.25


if __name__ == "__main__":
    for gate in (AlwaysGate, GrowthGate):
        experiment = protovine.Experiment(presets=["paper-base"], data={"limit": 600}, seeds=1, exchange={"gate": gate})
        found = protovine.run(experiment).runs[0].metrics
        accuracy, traffic = found["accuracy"], found["bytes_per_node_per_s"]
        print(f"{gate.name}: accuracy {accuracy:.3f}, {traffic:.0f} bytes per node and second")
