"""Build the scenario and the nodes of a run from its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protovine import rng, stream
from protovine.errors import ConfigError, DataError
from protovine.experiments.define.config import (
    AnyFault,
    ByzantineFault,
    CrashFault,
    CutFault,
    DriftFault,
    JoinFault,
    PartitionFault,
    RetuneFault,
    RunSettings,
    ServerFault,
)
from protovine.learn import OwnPickles
from protovine.node import Node
from protovine.records import SECOND_NS
from protovine.share import Decoder
from protovine.sim import (
    Attack,
    Crash,
    Cut,
    Drift,
    Join,
    Link,
    Partition,
    Retune,
    Scenario,
    SkewedClock,
    arrival_times,
    corrupt,
    parse_byzantine,
)
from protovine.sim.devices import DeviceTrace, speeds_and_bandwidths
from protovine.sim.devices import read as read_devices
from protovine.sim.faults import Fault
from protovine.sim.medium import MediumPlan
from protovine.sim.mobility import Changes, graphs_of
from protovine.sim.radio import profile
from protovine.system import NodeContext, build_node, nanoseconds
from protovine.system.settings import LogSettings, ServerSettings, XuILVQSettings
from protovine.topology import is_changing

# The last fifth of the merged stream is held out on request.
HOLDOUT = 0.2
# Decoded entries that the nodes of a run share: with more than this on their way, some are decoded again.
ENTRIES_KEPT = 16_384


@dataclass(frozen=True)
class Built:
    """A run ready to start: the scenario, a factory of nodes, and the facts needed to judge the outcome."""

    scenario: Scenario
    make_node: Callable[..., Node]
    neighbours: list[list[int]]
    holdout_rows: NDArray[np.int64]
    positive: int | None
    honest: list[int]
    drift_points_s: tuple[float, ...]
    drift_nodes_s: list[list[float]]
    end_s: float


def build(settings: RunSettings, data: stream.DataSet, seed: int) -> Built:
    """Build one run; `ConfigError` or `DataError` if settings and data do not fit together."""
    swarm = settings.swarm
    byzantine = parse_byzantine(swarm.byzantine, swarm.nodes)
    _, links = next(graphs_of(swarm.topology, swarm.nodes, seed))
    split = stream.parse_split(swarm.split)
    if split.path is not None and settings.data.limit is None:
        lines = len(stream.nodes_of_file(split.path, swarm.nodes))
        if lines != len(data):
            raise DataError(f"{split.path} has a node for {lines:,} rows, and {data.name} has {len(data):,}")
    order = stream.merged_order(len(data), split, seed)
    cut = round(len(data) * (1 - HOLDOUT)) if settings.data.holdout else len(data)
    if not 0 < cut <= len(data):
        raise ConfigError(f"{len(data)} rows are too few to hold out 20 %")
    # Nodes get positions of the merged stream; ``order`` has the row at each position.
    shuffled = split.kind == "shuffle"
    if split.kind == "group":  # A node has its group, whatever is held out.
        places = [mine[mine < cut] for mine in stream.split_rows(data, swarm.nodes, split, seed)]
    else:
        places = stream.split_rows(data.y[order[:cut]], swarm.nodes, "interleave" if shuffled else split, seed)
    rows = [order[place] for place in places]
    at_ns = arrival_times(
        places,
        rate_hz=swarm.rate_hz,
        arrivals=swarm.arrivals,
        sequential=swarm.order == "sequential",
        proportional=split.uneven,
        seed=seed,
    )
    at_ns = [times + node * nanoseconds(swarm.lag_s) for node, times in enumerate(at_ns)]
    x, y = _shifted(data.x, rows, swarm.feature_shift, seed), data.y
    honest = [node for node in range(swarm.nodes) if node not in byzantine.nodes]
    owner = None
    if swarm.centralised:
        owner = np.zeros(len(y), np.int64)
        for node, mine in enumerate(rows):
            owner[mine] = node
        # Without Byzantine nodes, as there is no peer to attack.
        rows, at_ns = _merged([rows[node] for node in honest], [at_ns[node] for node in honest])
        links, honest = [[]], [0]
    elif byzantine.nodes:
        x, y, rows, at_ns = corrupt(byzantine, x, y, rows, at_ns, len(data.classes), seed)
    server = None
    if isinstance(settings.exchange, ServerSettings):
        server = _check_server(settings)
        links = [[server] for _ in range(server)] + [list(range(server))]
        rows, at_ns = [*rows, np.empty(0, np.int64)], [*at_ns, np.empty(0, np.int64)]
        honest = [*honest, server]
    end_ns = max((int(times[-1]) for times in at_ns if len(times)), default=0)
    changes = _changes(settings, server, seed, end_ns)
    medium, devices = medium_of(settings), _devices(settings)
    faults = (*faults_of(settings, settings.faults), *devices.faults())
    if owner is not None:  # Nodes without samples miss none.
        empty = range(int(owner.max()) + 1, swarm.nodes)
        faults = tuple(each for each in faults if not (isinstance(each, Crash | Join) and each.node in empty))
    scenario = Scenario(
        x=x,
        y=y,
        rows=rows,
        at_ns=at_ns,
        seed=seed,
        link=_link(settings),
        faults=faults,
        label_delay_ns=nanoseconds(swarm.label_delay_s),
        labelled=swarm.labelled,
        clocks=_clocks(settings, seed),
        owner=owner,
        links=tuple(map(tuple, links)) if changes or medium else (),
        changes=changes,
        medium=medium,
        devices=() if swarm.centralised else tuple(speeds_and_bandwidths(devices.changes)),
        measured=np.sort(order[:cut]),
    )
    late = {fault.node for fault in settings.faults if isinstance(fault, ByzantineFault)}
    if not swarm.centralised:
        honest = [node for node in honest if node not in late]
    if not honest or honest == [server]:
        raise ConfigError("faults of kind byzantine must leave an honest node")
    end_s = end_ns / SECOND_NS
    together = not shuffled and not swarm.lag_s  # Whether all nodes meet a drift at about one time.
    drifts = [end_s * point / cut for point in data.drift_points if point < cut and together]
    drifts += [fault.at_s for fault in settings.faults if isinstance(fault, DriftFault) and fault.at_s <= end_s]
    points = [] if shuffled else [point for point in data.drift_points if point < cut]
    of_nodes = [
        _drifts(settings, points, node, mine, times) for node, (mine, times) in enumerate(zip(rows, at_ns, strict=True))
    ]
    pickles, decoder = OwnPickles(), Decoder(ENTRIES_KEPT)
    for node in swarm.slow:
        if not 0 <= node < swarm.nodes:
            raise ConfigError(f"swarm.slow names node {node}, but nodes are 0 to {swarm.nodes - 1}")

    def make_node(node: int, incarnation: int, peers: list[int] | None = None) -> Node:
        chosen = settings
        if node in byzantine.nodes and byzantine.kind == "flood" and isinstance(settings.exchange, LogSettings):
            everything = settings.exchange.model_copy(update={"select": "all", "budget_bytes_per_s": 0.0})
            chosen = settings.model_copy(update={"exchange": everything})
        return build_node(
            chosen,
            NodeContext(
                node=node,
                peers=links[node] if peers is None else peers,
                dim=data.x.shape[1],
                n_classes=len(data.classes),
                draw=lambda purpose: rng.stream(seed, purpose, node, incarnation),
                incarnation=incarnation,
                train_period_ns=max(1, round(SECOND_NS / swarm.train_rate_hz * swarm.slow.get(node, 1.0))),
                train_local=swarm.train_local,
                message_bytes_max=medium.message_bytes_max if medium else settings.link.message_bytes_max,
                radio=medium.device if medium else None,
                server=node == server,
                pickles=pickles,
                decoder=decoder,
            ),
        )

    n_classes = len(data.classes)
    # The default learner keeps some prototypes of every class.
    size_max = settings.learner.size_max if isinstance(settings.learner, XuILVQSettings) else 0
    if 0 < size_max < n_classes:
        raise ConfigError(
            f"{data.name} has {n_classes} classes in {len(data)} rows, more than learner.size_max, "
            f"{size_max}; is the label column the right one (--label)?"
        )
    make_node(0, 1)  # Options that do not fit together are found before anything starts.
    positive = data.positive_code(settings.data.positive) if len(data.classes) == 2 else None
    if settings.data.positive is not None and positive is None:
        raise ConfigError(f"data.positive names one of two classes, but there are {len(data.classes)}")
    ever = links if changes is None else changes.ever(links)
    return Built(scenario, make_node, ever, order[cut:], positive, honest, tuple(sorted(drifts)), of_nodes, end_s)


def _drifts(
    settings: RunSettings, points: list[int], node: int, rows: NDArray[np.int64], at_ns: NDArray[np.int64]
) -> list[float]:
    """When the concept changes in the stream of a node, in s: at its first row from a point on, and by faults.

    A stream that begins after a point, or ends before it, does not change there.
    """
    found_ns = {int(at_ns[later[0]]) for point in points if len(later := np.flatnonzero(rows >= point))}
    for fault in settings.faults:
        if isinstance(fault, DriftFault) and (not fault.nodes or node in fault.nodes or settings.swarm.centralised):
            found_ns.add(nanoseconds(fault.at_s))
    return [at / SECOND_NS for at in sorted(found_ns) if len(at_ns) and at_ns[0] < at <= at_ns[-1]]


def _shifted(
    x: NDArray[np.float64], rows: list[NDArray[np.int64]], deviations: float, seed: int
) -> NDArray[np.float64]:
    """Rows of each node plus the node's offset: normal, ``shift`` standard deviations of each feature."""
    if not deviations:
        return x
    x, scale = x.copy(), deviations * x.std(axis=0)
    for node, own in enumerate(rows):
        x[own] += rng.stream(seed, "feature-shift", node).normal(size=x.shape[1]) * scale
    return x


def _merged(
    rows: list[NDArray[np.int64]], at_ns: list[NDArray[np.int64]]
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """One stream in the order of arrival; ties go to the lower node."""
    times, everything = np.concatenate(at_ns), np.concatenate(rows)
    order = np.argsort(times, kind="stable")
    return [everything[order]], [times[order]]


def _clocks(settings: RunSettings, seed: int) -> tuple[SkewedClock, ...]:
    swarm = settings.swarm
    if swarm.centralised or not (swarm.clock_skew_s or swarm.clock_drift_ppm):
        return ()
    nodes = swarm.nodes + isinstance(settings.exchange, ServerSettings)
    draws = rng.stream(seed, "clocks").random((nodes, 2))
    # Time starts at the slowest clock, so that no clock shows less than 0.
    return tuple(
        SkewedClock(nanoseconds(2 * swarm.clock_skew_s * skew), swarm.clock_drift_ppm * (2 * drift - 1))
        for skew, drift in draws.tolist()
    )


def _link(settings: RunSettings) -> Link:
    link = settings.link
    try:
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
    except ConfigError as error:
        raise ConfigError(f"link.{error}") from None


def medium_of(settings: RunSettings) -> MediumPlan | None:
    """The shared medium of a system; None if it has separate links.

    Raises
    ------
    ConfigError
        A setting of links does not apply to a medium.
    """
    medium, link = settings.medium, settings.link
    if medium.profile == "none" or settings.swarm.centralised:
        return None
    for name in ("jitter_s", "bandwidth_bytes_per_s", "message_bytes_max", "duplicate", "reorder"):
        if value := getattr(link, name):
            raise ConfigError(
                f"link.{name} does not apply to medium.profile {medium.profile}: leave it at 0, got {value:g}"
            )
    return MediumPlan(profile(medium.profile), medium.collisions, medium.fragments_max, nanoseconds(medium.queue_s))


def _changes(settings: RunSettings, server: int | None, seed: int, end_ns: int) -> Changes | None:
    """How the topology changes; None if it stays, or the system has links of its own."""
    swarm = settings.swarm
    if not is_changing(swarm.topology) or swarm.centralised or server is not None:
        return None
    return Changes(swarm.topology, swarm.nodes, seed, end_ns)


def _devices(settings: RunSettings) -> DeviceTrace:
    """The devices of a system; an empty trace if all are alike."""
    if not settings.swarm.devices:
        return DeviceTrace(())
    found = read_devices(Path(settings.swarm.devices)).for_nodes(settings.swarm.nodes)
    if found.limits_bandwidth and settings.medium.profile != "none":
        raise ConfigError(
            f"swarm.devices has bandwidths, which do not apply to medium.profile {settings.medium.profile}"
        )
    return found


def _check_server(settings: RunSettings) -> int:
    """The server's number; `ConfigError` if the settings exclude a server."""
    if settings.swarm.centralised:
        raise ConfigError("exchange.kind server and swarm.centralised exclude each other")
    return settings.swarm.nodes


def faults_of(settings: RunSettings, faults: Sequence[AnyFault]) -> tuple[Fault, ...]:
    """Those of some faults that apply to a system, as the simulator takes them.

    A centralised model has no links and does not fail: only drift reaches it, and it lacks the samples that nodes miss
    while they are down. A system without sharing cannot be retuned, and one without a server loses none.
    """
    server = settings.swarm.nodes if isinstance(settings.exchange, ServerSettings) else None
    found = []
    for fault in faults:
        if settings.swarm.centralised and not isinstance(fault, CrashFault | DriftFault | JoinFault):
            continue
        if isinstance(fault, RetuneFault) and not settings.gossip.share_probability:
            continue
        if server is not None or not isinstance(fault, ServerFault):
            found.append(_fault(fault, server))
    return tuple(found)


def _fault(fault: AnyFault, server: int | None) -> Fault:
    at_ns = nanoseconds(fault.at_s)
    match fault:
        case CrashFault() | ServerFault():
            node = fault.node if isinstance(fault, CrashFault) else server
            assert node is not None
            if fault.restart_s is not None and fault.restart_s <= fault.at_s:
                raise ConfigError(f"restart_s of node {node} must be after {fault.at_s}, got {fault.restart_s}")
            restart_ns = None if fault.restart_s is None else nanoseconds(fault.restart_s)
            return Crash(node, at_ns, restart_ns, fault.keeps_state)
        case JoinFault():
            return Join(fault.node, at_ns)
        case CutFault():
            return Cut(fault.source, fault.target, at_ns, nanoseconds(fault.until_s))
        case PartitionFault():
            return Partition(fault.group, at_ns, nanoseconds(fault.until_s))
        case DriftFault():
            return Drift(fault.change, at_ns, fault.nodes)
        case ByzantineFault():
            return Attack(fault.node, fault.attack, at_ns)
        case RetuneFault():
            return Retune(at_ns, fault.fanout, fault.share_probability, fault.budget_bytes_per_s)
