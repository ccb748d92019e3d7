"""Runtime 1: the swarm in virtual time, as discrete events from one seed.

- `Simulator`: the event loop
- `Scenario`: samples, arrivals, neighbours, links, faults
- `Link`, `Crash`, `Join`, `Cut`, `Partition`: faults of the network and of nodes
- `Drift`, `Attack`, `Retune`: changes of streams and of settings while a run goes on
- `Byzantine`, `corrupt`: nodes that attack
- `MediumPlan`, `profile`: a medium that nodes share, as LoRa, Bluetooth, Wi-Fi or a LAN
- `Changes`: a topology that changes; `DeviceTrace`: speed, bandwidth and availability of each node over time
- `arrival_times`: when each node's samples reach it
"""

from protovine.sim.arrivals import Arrivals, arrival_times
from protovine.sim.attacks import Byzantine, corrupt, parse_byzantine
from protovine.sim.clocks import SkewedClock
from protovine.sim.devices import DeviceChange, DeviceTrace
from protovine.sim.faults import DRIFTS, LATE_ATTACKS, Attack, Crash, Cut, Drift, Join, Partition, Retune
from protovine.sim.invariants import Invariants
from protovine.sim.medium import MediumPlan
from protovine.sim.mobility import Changes
from protovine.sim.network import Fate, Link, Network
from protovine.sim.radio import Profile, profile
from protovine.sim.scenario import Outcome, Scenario
from protovine.sim.simulator import Simulator

__all__ = [
    "DRIFTS",
    "LATE_ATTACKS",
    "Arrivals",
    "Attack",
    "Byzantine",
    "Changes",
    "Crash",
    "Cut",
    "DeviceChange",
    "DeviceTrace",
    "Drift",
    "Fate",
    "Invariants",
    "Join",
    "Link",
    "MediumPlan",
    "Network",
    "Outcome",
    "Partition",
    "Profile",
    "Retune",
    "Scenario",
    "Simulator",
    "SkewedClock",
    "arrival_times",
    "corrupt",
    "parse_byzantine",
    "profile",
]
