"""Build a node from settings: the one place where kinds of learner, exchange, gate and inbox become objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from protovine import compress
from protovine.errors import ConfigError
from protovine.exchange import Exchange, LogExchange, ModelExchange, ServerExchange, SetExchange
from protovine.gossip import LogGossip, PushGossip, make_schedule
from protovine.learn import (
    AggregatorCore,
    ArrayLearner,
    EnsembleCore,
    GaussianBayes,
    HedgedLVQCore,
    LogisticCore,
    ModelLearner,
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
    WholeSets,
    jensen_shannon_kde,
)
from protovine.system.settings import (
    BayesSettings,
    DistanceGateSettings,
    GainGateSettings,
    GossipSettings,
    HedgedSettings,
    InboxSettings,
    LearnerSettings,
    LogisticSettings,
    LogSettings,
    ModelSettings,
    PaperGateSettings,
    QueueInboxSettings,
    RiverSettings,
    ServerSettings,
    SystemSettings,
    WholeSetSettings,
)

# A random stream of its own for each purpose.
Draw = Callable[[str], np.random.Generator]


def nanoseconds(seconds: float) -> int:
    """Seconds as integer nanoseconds."""
    return round(seconds * SECOND_NS)


def build_node(
    settings: SystemSettings,
    *,
    node: int,
    peers: list[int],
    dim: int,
    n_classes: int,
    draw: Draw,
    incarnation: int = 1,
    train_period_ns: int = 5_263_158,
    message_bytes_max: int = 0,
    server: bool = False,
    pickles: OwnPickles | None = None,
) -> Node:
    """Build a member of the swarm from its settings.

    Parameters
    ----------
    settings : SystemSettings
    node, peers : int, list of int
        The node's id, and those of its neighbours.
    dim, n_classes : int >= 1
    draw : callable (purpose) -> numpy Generator
        Returns a separate random stream for each purpose.
    incarnation : int >= 1
        Grows each time the node starts again.
    train_period_ns : int >= 1
        Time to train one received prototype.
    message_bytes_max : int >= 0
        Largest message that links carry; 0 is no limit.
    server : bool
        Whether the node is the server of ``exchange.kind`` server, and its peers the clients.
    pickles : OwnPickles, optional
        Shared by all nodes of a simulation; River's classifiers need it.

    Raises
    ------
    ConfigError
        Settings do not fit together.
    """
    _check_kinds(settings)
    exchange = settings.exchange
    if server:
        assert isinstance(exchange, ServerSettings)
        # The compressor aims at exactly the requested size.
        compressor = compress.compressor(exchange.compressor, low=100.0, high=100.0)
        learner: ArrayLearner = AggregatorCore(dim, n_classes, compressor, max(n_classes, exchange.size))
    else:
        learner = build_learner(settings.learner, dim, n_classes, draw=draw, pickles=pickles)
    prototypes_max = 1 if isinstance(exchange, ModelSettings) else exchange.prototypes_max
    limits = SetLimits(dim, n_classes, prototypes_max)
    if isinstance(exchange, LogSettings):
        made: Exchange = _log_exchange(
            exchange, settings.gossip, learner, limits, node, peers, draw, incarnation, message_bytes_max
        )
        inbox: Inbox = QueueInbox(dim, peers, exchange.inbox.queue_max, newest_first=False)
        return Node(learner, made, inbox, train_period_ns)
    gossip = PushGossip(node, peers, incarnation=incarnation)
    when = make_schedule(
        settings.gossip.schedule, settings.gossip.fanout, settings.gossip.share_probability, draw("gossip")
    )
    poll_ns = nanoseconds(exchange.poll_s)
    if isinstance(exchange, ModelSettings):
        assert not isinstance(learner, AggregatorCore)
        models = ModelExchange(_as_model(learner), gossip, when, limits, poll_ns)
        return Node(learner, models, QueueInbox(dim, peers), train_period_ns)
    share = WholeSets(_gate(exchange, draw), limits, exchange.dtype)
    if isinstance(learner, AggregatorCore):
        made = ServerExchange(learner, gossip, when, share)
    else:
        made = SetExchange(learner, gossip, when, share, poll_ns)
    return Node(learner, made, _inbox(exchange.inbox, dim, peers, draw), train_period_ns)


def build_learner(
    settings: LearnerSettings,
    dim: int,
    n_classes: int,
    *,
    draw: Draw = lambda purpose: np.random.default_rng(0),
    pickles: OwnPickles | None = None,
) -> ArrayLearner:
    """Build the settings' learner for ``dim`` features; ``draw`` and ``pickles`` as in `build_node`.

    Raises
    ------
    ConfigError
        The River classifier is unknown, or there is no simulation.
    """
    if isinstance(settings, HedgedSettings):
        return HedgedLVQCore(dim, n_classes, **settings.model_dump(exclude={"kind"}))
    if isinstance(settings, BayesSettings):
        own = GaussianBayes(dim, n_classes)
        return EnsembleCore(
            dim, n_classes, own, lambda data: GaussianBayes.decode(data, dim, n_classes), settings.votes
        )
    if isinstance(settings, LogisticSettings):
        return LogisticCore(dim, n_classes, rate=settings.rate)
    if isinstance(settings, RiverSettings):
        if pickles is None:
            raise ConfigError("learner.kind river is for simulations only: River's classifiers have no safe bytes")
        return river_core(
            dim,
            n_classes,
            settings.classifier,
            parameters=settings.parameters,
            standardise=settings.standardise,
            votes=settings.votes,
            seed=int(draw("learner").integers(2**31)),
            pickles=pickles,
        )
    return XuILVQCore(
        dim,
        n_classes,
        n_neighbors=settings.n_neighbors,
        edge_age_max=settings.edge_age_max,
        denoise_every=settings.denoise_every,
        size_max=settings.size_max,
        compressor=compress.compressor(
            settings.compressor,
            low=settings.target_low,
            high=settings.target_high,
            weights=settings.compressor_weights,
        ),
    )


def _log_exchange(
    settings: LogSettings,
    gossip: GossipSettings,
    learner: ArrayLearner,
    limits: SetLimits,
    node: int,
    peers: list[int],
    draw: Draw,
    incarnation: int,
    message_bytes_max: int,
) -> LogExchange:
    when = make_schedule(gossip.schedule, gossip.fanout, gossip.share_probability, draw("gossip"))
    log = LogGossip(
        node,
        peers,
        budget_bytes_per_s=settings.budget_bytes_per_s,
        message_bytes_max=message_bytes_max,
        incarnation=incarnation,
        active=when.active,
    )
    share = LogShare(
        limits,
        draw("share"),
        select=settings.select,
        threshold=settings.surprisal_bits,
        bits=settings.bits,
        budget_bytes_per_s=settings.budget_bytes_per_s,
        recipients=len(peers),
        batch_items=settings.batch_items,
        batch_ns=nanoseconds(settings.batch_s),
        privacy=Privacy(settings.microaggregation, settings.noise, settings.weight_min),
    )
    return LogExchange(learner, log, when, share)


def _gate(settings: WholeSetSettings, draw: Draw) -> Gate:
    gate = settings.gate
    if isinstance(gate, GainGateSettings):
        return GainGate(gate.threshold)
    if isinstance(gate, DistanceGateSettings):
        return LooJensenShannonGate(gate.threshold)
    if isinstance(gate, PaperGateSettings):
        return JensenShannonGate(gate.threshold, draw("jensen-shannon"), gate.points_max)
    return AlwaysGate()


def _inbox(settings: InboxSettings, dim: int, peers: list[int], draw: Draw) -> Inbox:
    if isinstance(settings, QueueInboxSettings):
        return QueueInbox(dim, peers, settings.queue_max)
    return SetInbox(dim, peers, draw("inbox"))


def _check_kinds(settings: SystemSettings) -> None:
    """`ConfigError` unless the exchange suits the learner: models are for learners without prototypes."""
    learner, exchange = settings.learner, settings.exchange
    has_prototypes = isinstance(learner, HedgedSettings) or learner.kind == "xuilvq"
    if settings.gossip.share_probability and has_prototypes == isinstance(exchange, ModelSettings):
        wanted = "log, sets or server" if has_prototypes else "models"
        raise ConfigError(f"exchange.kind must be {wanted} with learner.kind {learner.kind}, got '{exchange.kind}'")


def _as_model(learner: ArrayLearner) -> ModelLearner:
    if not hasattr(learner, "adopt"):
        raise ConfigError("exchange.kind models needs a learner without prototypes: bayes, logistic or river")
    return learner  # type: ignore[return-value]


def warm(systems: Iterable[SystemSettings]) -> None:
    """Compile, or load from the cache, every kernel that these systems use. Loading takes most of a second."""
    chosen = list(systems)
    x = np.linspace(0.0, 1.0, 8)[:, np.newaxis]
    codes, times = np.arange(8) % 2, np.zeros(8, np.int64)
    held = PrototypeSet.of(x, codes)
    cores: dict[str, Callable[[], ArrayLearner]] = {
        "hedged": lambda: HedgedLVQCore(1, 2),
        "xuilvq": lambda: XuILVQCore(1, 2, size_max=2, compressor=compress.DbscanCompressor()),
    }
    for kind in sorted({each.learner.kind for each in chosen} & set(cores)):
        core = cores[kind]()
        core.learn(x, codes, times)
        core.learn_received(held, codes)
        core.predict(x[0])
    gates = [each.exchange.gate for each in chosen if isinstance(each.exchange, WholeSetSettings)]
    if any(isinstance(gate, PaperGateSettings) for gate in gates):
        jensen_shannon_kde(held, held, np.random.default_rng(0))
