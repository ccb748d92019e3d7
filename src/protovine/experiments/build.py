"""From settings to a scenario and nodes: the one place where names in an experiment become objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine import compress, rng, stream
from protovine.errors import ConfigError
from protovine.experiments.config import CrashFault, CutFault, JoinFault, PartitionFault, Settings
from protovine.gossip import Gossip
from protovine.learn import XuILVQCore
from protovine.node import Node
from protovine.records import SECOND_NS
from protovine.share import AlwaysGate, Gate, Inbox, JensenShannonGate, QueueInbox, SetInbox, SetLimits, WholeSets
from protovine.sim import Crash, Cut, Join, Link, Partition, Scenario, arrival_times
from protovine.sim.faults import Fault
from protovine.topology import neighbours

# The last fifth of the merged stream is held out on request.
HOLDOUT = 0.2


@dataclass(frozen=True)
class Built:
    """A run ready to start: the scenario, how to make a node, and what is needed to judge the outcome."""

    scenario: Scenario
    make_node: Callable[[int, int], Node]
    neighbours: list[list[int]]
    holdout_rows: NDArray[np.int64]
    positive: int | None
    drift_points_s: tuple[float, ...]
    end_s: float


def nanoseconds(seconds: float) -> int:
    """Seconds as integer nanoseconds."""
    return round(seconds * SECOND_NS)


def build(settings: Settings, data: stream.DataSet, seed: int) -> Built:
    """Everything of one run; `ConfigError` or `DataError` if settings and data do not fit together."""
    swarm = settings.swarm
    links = neighbours(swarm.topology, swarm.nodes, seed)
    split = stream.parse_split(swarm.split)
    order = stream.merged_order(len(data), split, seed)
    cut = round(len(data) * (1 - HOLDOUT)) if settings.data.holdout else len(data)
    if not 0 < cut <= len(data):
        raise ConfigError(f"{len(data)} rows are too few to hold out 20 %")
    # What is dealt out are places of the merged stream; the row at each stands in ``order``.
    shuffled = split.kind == "shuffle"
    places = stream.split_rows(data.y[order[:cut]], swarm.nodes, "interleave" if shuffled else split, seed)
    rows = [order[place] for place in places]
    at_ns = arrival_times(
        places,
        rate_hz=swarm.rate_hz,
        arrivals=swarm.arrivals,
        sequential=settings.gossip.order == "sequential",
        seed=seed,
    )
    scenario = Scenario(
        x=data.x,
        y=data.y,
        rows=rows,
        at_ns=at_ns,
        seed=seed,
        link=_link(settings),
        faults=tuple(_fault(fault) for fault in settings.faults),
        label_delay_ns=nanoseconds(swarm.label_delay_s),
        labelled=swarm.labelled,
    )
    end_s = max((int(times[-1]) for times in at_ns if len(times)), default=0) / SECOND_NS
    drifts = tuple(end_s * point / cut for point in data.drift_points if point < cut and not shuffled)
    for node in swarm.slow:
        if not 0 <= node < swarm.nodes:
            raise ConfigError(f"swarm.slow names node {node}, but nodes are 0 to {swarm.nodes - 1}")

    def make_node(node: int, incarnation: int) -> Node:
        return _node(settings, node, incarnation, links[node], data.x.shape[1], len(data.classes), seed)

    n_classes = len(data.classes)
    if 0 < settings.learner.size_max < n_classes:
        raise ConfigError(
            f"{data.name} has {n_classes} classes in {len(data)} rows, more than learner.size_max, "
            f"{settings.learner.size_max}; is the label column the right one (--label)?"
        )
    make_node(0, 1)  # Options that do not fit together are found before anything starts.
    positive = data.positive_code(settings.data.positive) if len(data.classes) == 2 else None
    if settings.data.positive is not None and positive is None:
        raise ConfigError(f"data.positive names one of two classes, but there are {len(data.classes)}")
    return Built(scenario, make_node, links, order[cut:], positive, drifts, end_s)


def _node(
    settings: Settings, node: int, incarnation: int, peers: list[int], dim: int, n_classes: int, seed: int
) -> Node:
    share, gossip, learner = settings.share, settings.gossip, settings.learner

    def draw(purpose: str) -> np.random.Generator:
        return rng.stream(seed, purpose, node, incarnation)

    limits = SetLimits(dim, n_classes, share.prototypes_max)
    gate: Gate = AlwaysGate()
    if share.gate == "jsd":
        gate = JensenShannonGate(share.threshold, draw("jensen-shannon"), share.points_max)
    inbox: Inbox = QueueInbox(dim, peers, share.queue_max)
    if share.inbox == "set":
        inbox = SetInbox(dim, peers, draw("inbox"))
    compressor_options: dict[str, Any] = {
        "low": learner.target_low,
        "high": learner.target_high,
        "weights": learner.compressor_weights,
    }
    core = XuILVQCore(
        dim,
        n_classes,
        n_neighbors=learner.n_neighbors,
        edge_age_max=learner.edge_age_max,
        denoise_every=learner.denoise_every,
        size_max=learner.size_max,
        compressor=compress.compressor(learner.compressor, **compressor_options),
    )
    protocol = Gossip(
        node,
        peers,
        peers_per_share=gossip.s,
        probability=gossip.T,
        rng=draw("gossip"),
        poll_ns=nanoseconds(gossip.poll_s),
        incarnation=incarnation,
    )
    period_ns = max(1, round(SECOND_NS / settings.swarm.train_rate_hz * settings.swarm.slow.get(node, 1.0)))
    return Node(core, protocol, WholeSets(gate, limits, share.dtype), inbox, period_ns)


def _link(settings: Settings) -> Link:
    link = settings.link
    return Link(
        delay_ns=nanoseconds(link.delay_s),
        jitter_ns=nanoseconds(link.jitter_s),
        bandwidth_bytes_per_s=link.bandwidth_bytes_per_s,
        message_bytes_max=link.message_bytes_max,
        loss=link.loss,
        duplicate=link.duplicate,
        reorder=link.reorder,
        reorder_ns=nanoseconds(link.reorder_s),
    )


def _fault(fault: CrashFault | JoinFault | CutFault | PartitionFault) -> Fault:
    at_ns = nanoseconds(fault.at_s)
    if isinstance(fault, CrashFault):
        if fault.restart_s is not None and fault.restart_s <= fault.at_s:
            raise ConfigError(f"restart_s of node {fault.node} must be after {fault.at_s}, got {fault.restart_s}")
        restart_ns = None if fault.restart_s is None else nanoseconds(fault.restart_s)
        return Crash(fault.node, at_ns, restart_ns, fault.keeps_state)
    if isinstance(fault, JoinFault):
        return Join(fault.node, at_ns)
    if isinstance(fault, CutFault):
        return Cut(fault.source, fault.target, at_ns, nanoseconds(fault.until_s))
    return Partition(fault.group, at_ns, nanoseconds(fault.until_s))
