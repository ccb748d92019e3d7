"""Runtime 1: the swarm in virtual time, as discrete events from one seed.

- `Simulator`: the event loop
- `Scenario`: samples, arrivals, neighbours, links, faults
- `Link`, `Crash`, `Join`, `Cut`, `Partition`: faults of the network and of nodes
- `Drift`, `Attack`, `Retune`: changes of streams and of settings while a run goes on
- `Byzantine`, `corrupt`: nodes that attack
- `arrival_times`: when each node's samples reach it
"""

from protovine.sim.arrivals import Arrivals, arrival_times
from protovine.sim.attacks import Byzantine, corrupt, parse_byzantine
from protovine.sim.faults import DRIFTS, LATE_ATTACKS, Attack, Crash, Cut, Drift, Join, Partition, Retune
from protovine.sim.invariants import Invariants
from protovine.sim.network import Fate, Link, Network
from protovine.sim.simulator import Outcome, Scenario, Simulator, SkewedClock

__all__ = [
    "DRIFTS",
    "LATE_ATTACKS",
    "Arrivals",
    "Attack",
    "Byzantine",
    "Crash",
    "Cut",
    "Drift",
    "Fate",
    "Invariants",
    "Join",
    "Link",
    "Network",
    "Outcome",
    "Partition",
    "Retune",
    "Scenario",
    "Simulator",
    "SkewedClock",
    "arrival_times",
    "corrupt",
    "parse_byzantine",
]
