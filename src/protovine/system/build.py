"""From settings to a node: the one place where names of learners, gates and schedules become objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from protovine import compress
from protovine.errors import ConfigError
from protovine.gossip import LogGossip, PushGossip, make_schedule
from protovine.learn import (
    AggregatorCore,
    ArrayLearner,
    EnsembleCore,
    GaussianBayes,
    HedgedLVQCore,
    LogisticCore,
    OwnPickles,
    XuILVQCore,
    river_core,
)
from protovine.node import Node
from protovine.prototypes import PrototypeSet
from protovine.records import SECOND_NS
from protovine.share import (
    AlwaysGate,
    GainGate,
    Gate,
    Inbox,
    JensenShannonGate,
    LogShare,
    LooJensenShannonGate,
    Privacy,
    QueueInbox,
    SetInbox,
    SetLimits,
    WholeModels,
    WholeSets,
    jensen_shannon_kde,
)
from protovine.share.gates import DISTANCE_THRESHOLD, GAIN_THRESHOLD
from protovine.system.settings import GossipSettings, LearnerSettings, ShareSettings

# Prototypes that the default learner keeps.
HEDGED_SIZE = 200
# Learners that share whole models, as they have no prototypes.
MODEL_LEARNERS = ("bayes", "logistic", "river")


class Member(Protocol):
    """Settings of a member, whatever else stands beside them."""

    @property
    def learner(self) -> LearnerSettings:
        """Of the learner."""
        ...

    @property
    def share(self) -> ShareSettings:
        """Of sharing."""
        ...


def nanoseconds(seconds: float) -> int:
    """Seconds as integer nanoseconds."""
    return round(seconds * SECOND_NS)


def build_node(
    learner: LearnerSettings,
    share: ShareSettings,
    gossip: GossipSettings,
    *,
    node: int,
    peers: list[int],
    dim: int,
    n_classes: int,
    draw: Callable[[str], np.random.Generator],
    incarnation: int = 1,
    train_period_ns: int = 5_263_158,
    message_bytes_max: int = 0,
    server: bool = False,
    pickles: OwnPickles | None = None,
) -> Node:
    """A member of the swarm, from its settings.

    Parameters
    ----------
    node, peers : int, list of int
        The own id, and the neighbours'.
    dim, n_classes : int >= 1
    draw : callable (purpose) -> numpy Generator
        A random stream of its own for each purpose.
    incarnation : int >= 1
        Grows each time the node starts again.
    train_period_ns : int >= 1
        Time that training one received prototype takes.
    message_bytes_max : int >= 0
        What links carry in one message; 0 is no limit of theirs.
    server : bool
        It only collects and returns the prototypes of its peers, which are its clients.
    pickles : OwnPickles, optional
        What all nodes of a simulation share; without it there are no classifiers of River.

    Raises
    ------
    ConfigError
        Options do not fit together.
    """
    _check_share(learner, share, gossip)
    limits = SetLimits(dim, n_classes, share.prototypes_max)
    gate = _gate(share, draw)
    inbox: Inbox = QueueInbox(dim, peers, share.queue_max)
    if share.inbox == "set":
        inbox = SetInbox(dim, peers, draw("inbox"))
    if server:
        size = max(n_classes, share.server_size)
        core: ArrayLearner = AggregatorCore(dim, n_classes, _server_compressor(share), size)
    else:
        core = build_learner(learner, dim, n_classes, draw=draw, pickles=pickles)
    when = make_schedule(gossip.schedule, gossip.s, gossip.T, draw("gossip"))
    if share.kind == "log":
        log = LogGossip(
            node,
            peers,
            when,
            budget_bytes_per_s=gossip.budget_bytes_per_s,
            message_bytes_max=message_bytes_max,
            incarnation=incarnation,
        )
        selected = LogShare(
            limits,
            draw("share"),
            select=share.select,
            threshold=share.surprisal_bits,
            bits=share.bits,
            budget_bytes_per_s=gossip.budget_bytes_per_s,
            recipients=len(peers),
            batch_items=share.batch_items,
            batch_ns=nanoseconds(share.batch_s),
            privacy=Privacy(share.aggregate, share.noise, share.weight_min),
        )
        return Node(core, log, selected, QueueInbox(dim, peers, share.queue_max, newest_first=False), train_period_ns)
    protocol = PushGossip(
        node,
        peers,
        when,
        poll_ns=nanoseconds(gossip.poll_s),
        incarnation=incarnation,
    )
    if share.kind == "models":
        return Node(core, protocol, WholeModels(limits), inbox, train_period_ns)
    return Node(core, protocol, WholeSets(gate, limits, share.dtype), inbox, train_period_ns)


def build_learner(
    learner: LearnerSettings,
    dim: int,
    n_classes: int,
    *,
    draw: Callable[[str], np.random.Generator] = lambda purpose: np.random.default_rng(0),
    pickles: OwnPickles | None = None,
) -> ArrayLearner:
    """The learner that the settings name, for so many features and classes; ``draw`` and ``pickles`` as `build_node`.

    Raises
    ------
    ConfigError
        It is a classifier of River that does not exist, or there is no simulation around it.
    """
    if learner.name == "bayes":
        own = GaussianBayes(dim, n_classes)
        return EnsembleCore(dim, n_classes, own, lambda data: GaussianBayes.decode(data, dim, n_classes), learner.votes)
    if learner.name == "logistic":
        return LogisticCore(dim, n_classes, rate=learner.rate)
    if learner.name == "river":
        if pickles is None:
            raise ConfigError("learner.name river is for simulations only: River's classifiers have no safe bytes")
        return river_core(
            dim,
            n_classes,
            learner.river,
            parameters=learner.river_parameters,
            standardise=learner.standardise,
            votes=learner.votes,
            seed=int(draw("learner").integers(2**31)),
            pickles=pickles,
        )
    if learner.name == "hedged":
        return HedgedLVQCore(
            dim,
            n_classes,
            size_max=learner.size_max or HEDGED_SIZE,
            margin=learner.margin,
            hedge_decay=learner.hedge_decay,
            hedge_received=learner.hedge_received,
            received_fraction_max=learner.received_fraction_max,
            range_max=learner.range_max,
            received_per_local_max=learner.received_per_local_max,
            ablate=learner.ablate,
        )
    compressor_options: dict[str, Any] = {
        "low": learner.target_low,
        "high": learner.target_high,
        "weights": learner.compressor_weights,
    }
    return XuILVQCore(
        dim,
        n_classes,
        n_neighbors=learner.n_neighbors,
        edge_age_max=learner.edge_age_max,
        denoise_every=learner.denoise_every,
        size_max=learner.size_max,
        compressor=compress.compressor(learner.compressor, **compressor_options),
    )


def _check_share(learner: LearnerSettings, share: ShareSettings, gossip: GossipSettings) -> None:
    """`ConfigError` unless what is shared is what the learner has."""
    if gossip.T and (share.kind == "models") != (learner.name in MODEL_LEARNERS):
        wanted = "models" if learner.name in MODEL_LEARNERS else "sets or log"
        raise ConfigError(f"share.kind must be {wanted} with learner.name {learner.name}, got '{share.kind}'")


def _server_compressor(share: ShareSettings) -> compress.Compressor:
    """One that aims at the whole of the size that it is asked for."""
    return compress.compressor(share.server_compressor, low=100.0, high=100.0)


def _gate(share: ShareSettings, draw: Callable[[str], np.random.Generator]) -> Gate:
    if share.gate == "always":
        return AlwaysGate()
    if share.gate == "gain":
        return GainGate(GAIN_THRESHOLD if share.threshold is None else share.threshold)
    threshold = DISTANCE_THRESHOLD if share.threshold is None else share.threshold
    if share.gate == "jsd-loo":
        return LooJensenShannonGate(threshold)
    return JensenShannonGate(threshold, draw("jensen-shannon"), share.points_max)


def warm(settings: Iterable[Member]) -> None:
    """Compile (or load from the cache) every kernel that these will use: loading alone takes most of a second."""
    chosen = list(settings)
    x = np.linspace(0.0, 1.0, 8)[:, np.newaxis]
    codes, times = np.arange(8) % 2, np.zeros(8, np.int64)
    held = PrototypeSet.of(x, codes)
    cores: dict[str, Callable[[], ArrayLearner]] = {
        "hedged": lambda: HedgedLVQCore(1, 2),
        "xuilvq": lambda: XuILVQCore(1, 2, size_max=2, compressor=compress.DbscanCompressor()),
    }
    for name in sorted({each.learner.name for each in chosen} & set(cores)):
        core = cores[name]()
        core.learn(x, codes, times)
        core.learn_received(held, codes)
        core.predict(x[0])
    if any(each.share.kind == "sets" and each.share.gate == "jsd" for each in chosen):
        jensen_shannon_kde(held, held, np.random.default_rng(0))
