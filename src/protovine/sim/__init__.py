"""Runtime 1: the swarm in virtual time, as discrete events from one seed.

- `Simulator`: the event loop
- `Scenario`: samples, arrivals, neighbours, links, faults
- `Link`, `Crash`, `Join`, `Cut`, `Partition`: faults of the network and of nodes
- `Byzantine`, `corrupt`: nodes that attack
- `arrival_times`: when each node's samples reach it
"""

from protovine.sim.arrivals import Arrivals, arrival_times
from protovine.sim.attacks import Byzantine, corrupt, parse_byzantine
from protovine.sim.faults import Crash, Cut, Join, Partition
from protovine.sim.network import Link, Network
from protovine.sim.simulator import Outcome, Scenario, Simulator, SkewedClock

__all__ = [
    "Arrivals",
    "Byzantine",
    "Crash",
    "Cut",
    "Join",
    "Link",
    "Network",
    "Outcome",
    "Partition",
    "Scenario",
    "Simulator",
    "SkewedClock",
    "arrival_times",
    "corrupt",
    "parse_byzantine",
]
