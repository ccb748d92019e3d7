"""From settings to a node: the one place where kinds of learner, exchange, gate and inbox become objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, assert_never, cast

import numpy as np

from protovine import compress, own, snapshot
from protovine.arrays import all_within
from protovine.drift import DriftWatch
from protovine.errors import ConfigError
from protovine.exchange import Exchange, LogExchange, ModelExchange, ServerExchange, SetExchange
from protovine.gossip import BroadcastLog, Device, LogGossip, PushGossip, Schedule, make_schedule
from protovine.gossip.schedule import Broadcast
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
    Decoder,
    GainGate,
    Gate,
    Inbox,
    JensenShannonGate,
    LogShare,
    LooJensenShannonGate,
    Privacy,
    QueueInbox,
    Scales,
    SetInbox,
    SetLimits,
    Suitable,
    WholeSets,
    jensen_shannon_kde,
)
from protovine.system.settings import (
    AlwaysGateSettings,
    BayesSettings,
    DistanceGateSettings,
    ExchangeSettings,
    GainGateSettings,
    GateSettings,
    GossipSettings,
    HedgedSettings,
    InboxSettings,
    LearnerSettings,
    LogisticSettings,
    LogSettings,
    ModelSettings,
    OwnGateSettings,
    OwnLearnerSettings,
    PaperGateSettings,
    QueueInboxSettings,
    RiverSettings,
    ServerSettings,
    SetInboxSettings,
    SetSettings,
    SystemSettings,
    WholeSetSettings,
    XuILVQSettings,
)

# A random stream of its own for each purpose.
Draw = Callable[[str], np.random.Generator]


def nanoseconds(seconds: float) -> int:
    """Seconds as integer nanoseconds.

    Parameters
    ----------
    seconds : float
        Rounded to the nearest nanosecond.

    Examples
    --------
    >>> nanoseconds(0.0025)
    2500000
    """
    return round(seconds * SECOND_NS)


@dataclass(frozen=True)
class NodeContext:
    """Everything that a node needs besides its settings.

    Parameters
    ----------
    node, peers : int, list of int
        Its id, and those of its neighbours.
    dim, n_classes : int >= 1
    draw : callable (purpose) -> numpy Generator
        A random stream of its own for each purpose.
    incarnation : int >= 1
        Grows each time the node starts again.
    train_period_ns : int >= 1
        Time that training one received prototype takes.
    train_local : bool
        Whether local samples take as long, and come first.
    message_bytes_max : int >= 0
        Largest message that links carry; 0 is no limit.
    radio : Device, optional
        What sends on a shared medium, where ``gossip.schedule`` broadcast reaches all in range.
    broadcasts : bool
        Whether messages reach all without a ``radio``, as those of a runtime do.
    server : bool
        Whether it is the server of ``exchange.kind`` server, and its peers the clients.
    pickles : OwnPickles, optional
        Shared by all nodes of a simulation; without it there are no classifiers of River.
    decoder : Decoder, optional
        Shared by all nodes of a simulation.
    drift : DriftWatch, optional
        Watches the local samples; `build_node` makes it if the settings say so.

    Examples
    --------
    >>> from protovine import rng
    >>> def context(node: int, peers: list[int]) -> NodeContext:
    ...     return NodeContext(node, peers, dim=2, n_classes=3, draw=lambda purpose: rng.stream(7, purpose, node))
    >>> swarm = [context(0, [1]), context(1, [0])]
    >>> [int(each.draw("share").integers(1000)) for each in swarm]
    [616, 468]
    """

    node: int
    peers: list[int]
    dim: int
    n_classes: int
    draw: Draw
    incarnation: int = 1
    train_period_ns: int = 5_263_158
    train_local: bool = False
    message_bytes_max: int = 0
    radio: Device | None = None
    broadcasts: bool = False
    server: bool = False
    pickles: OwnPickles | None = None
    decoder: Decoder | None = None
    drift: DriftWatch | None = None

    def schedule(self, settings: GossipSettings) -> Schedule:
        """When to share and with whom."""
        options = settings.fanout, settings.share_probability, self.draw("gossip")
        if ":" not in settings.schedule:
            return make_schedule(settings.schedule, *options)
        made = own.make("gossip.schedule", settings.schedule, *options, parameters=settings.schedule_parameters)
        _check_parts("gossip.schedule", settings.schedule, made, Schedule)
        if isinstance(made, Broadcast):
            raise ConfigError(f"gossip.schedule: {settings.schedule} must choose peers; 'broadcast' sends to all")
        return cast(Schedule, made)

    def gossip(self) -> PushGossip:
        """The protocol of whole payloads."""
        return PushGossip(self.node, self.peers, incarnation=self.incarnation)

    def member(self, learner: ArrayLearner, exchange: Exchange, inbox: Inbox) -> Node:
        """The node of these parts, on this device."""
        return Node(learner, exchange, inbox, self.train_period_ns, self.train_local, self.drift)


def build_node(settings: SystemSettings, context: NodeContext) -> Node:
    """A member of the swarm, from its settings.

    Parameters
    ----------
    settings : SystemSettings
        Of `resolve`.
    context : NodeContext

    Raises
    ------
    ConfigError
        Settings do not fit together.

    Examples
    --------
    >>> from protovine.system import resolve
    >>> context = NodeContext(0, [1, 2], dim=2, n_classes=3, draw=lambda purpose: np.random.default_rng(0))
    >>> node = build_node(resolve("paper-jsd", {}, SystemSettings), context)
    >>> node.peers, type(node.learner).__name__
    ([1, 2], 'XuILVQCore')
    >>> build_node(resolve("paper-jsd", {"learner": "bayes"}, SystemSettings), context)
    Traceback (most recent call last):
    protovine.errors.ConfigError: exchange.kind must be models with learner.kind bayes, got 'sets'
    """
    exchange = settings.exchange
    if settings.gossip.share_probability and settings.learner.has_prototypes == isinstance(exchange, ModelSettings):
        wanted = "log, sets or server" if settings.learner.has_prototypes else "models"
        raise ConfigError(
            f"exchange.kind must be {wanted} with learner.kind {settings.learner.kind}, got '{exchange.kind}'"
        )
    if settings.broadcasts:
        _check_broadcast(exchange, context)
    if settings.drift.detector != "none":
        seed = int(context.draw("drift").integers(2**31))
        context = replace(context, drift=DriftWatch(settings.drift.detector, context.dim, seed))
    match exchange:
        case LogSettings():
            return _log_node(settings, exchange, context)
        case ModelSettings():
            return _model_node(settings, exchange, context)
        case ServerSettings() if context.server:
            return _server_node(settings, exchange, context)
        case SetSettings() | ServerSettings():
            return _set_node(settings, exchange, context)
        case _:
            assert_never(exchange)


def _check_broadcast(exchange: ExchangeSettings, context: NodeContext) -> None:
    """`ConfigError` unless messages can be sent to all at once."""
    if context.radio is None and not context.broadcasts:
        raise ConfigError(
            "gossip.schedule broadcast is for simulations with a shared medium (medium.profile) and for the nodes of "
            "protovine node; protovine swarm sends to each peer"
        )
    if isinstance(exchange, ServerSettings):
        raise ConfigError("gossip.schedule must not be broadcast with exchange.kind server: clients answer one by one")
    if isinstance(exchange, SetSettings) and not isinstance(exchange.gate, AlwaysGateSettings):
        kind = exchange.gate.kind
        raise ConfigError(
            f"exchange.gate must be always with gossip.schedule broadcast, got '{kind}': it judges one peer"
        )


def _log_node(settings: SystemSettings, exchange: LogSettings, context: NodeContext) -> Node:
    learner, schedule = _learner(settings, context), context.schedule(settings.gossip)
    radio = context.radio
    log = (BroadcastLog if settings.broadcasts else LogGossip)(
        context.node,
        context.peers,
        partners=settings.partners,
        budget_bytes_per_s=exchange.budget_bytes_per_s,
        message_bytes_max=context.message_bytes_max,
        device=radio,
        incarnation=context.incarnation,
        active=schedule.active,
    )
    share = LogShare(
        SetLimits(context.dim, context.n_classes, exchange.prototypes_max),
        context.draw("share"),
        select=exchange.select,
        threshold=exchange.surprisal_bits,
        bits=exchange.bits,
        budget_bytes_per_s=log.budget_bytes_per_s,
        recipients=log.recipients,
        suitable=Suitable(radio.message_bytes, log.header_bytes) if radio else None,
        batch_items=exchange.batch_items,
        batch_ns=nanoseconds(exchange.batch_s),
        privacy=Privacy(exchange.microaggregation, exchange.noise, exchange.weight_min),
        decoder=context.decoder,
    )
    inbox = _queues(exchange.inbox, context, "fifo")
    return context.member(learner, LogExchange(learner, log, schedule, share), inbox)


def _set_node(settings: SystemSettings, exchange: WholeSetSettings, context: NodeContext) -> Node:
    learner, share, inbox = _learner(settings, context), _sets(exchange, context), _inbox(exchange.inbox, context)
    schedule, poll_ns = context.schedule(settings.gossip), nanoseconds(exchange.poll_s)
    return context.member(learner, SetExchange(learner, context.gossip(), schedule, share, poll_ns), inbox)


def _server_node(settings: SystemSettings, exchange: ServerSettings, context: NodeContext) -> Node:
    # The compressor aims at the whole of the size that it is asked for.
    compressor = _compressor("exchange", exchange, low=100.0, high=100.0)
    learner = AggregatorCore(context.dim, context.n_classes, compressor, max(context.n_classes, exchange.size))
    share, inbox = _sets(exchange, context), _inbox(exchange.inbox, context)
    server = ServerExchange(learner, context.gossip(), context.schedule(settings.gossip), share)
    return context.member(learner, server, inbox)


def _model_node(settings: SystemSettings, exchange: ModelSettings, context: NodeContext) -> Node:
    learner, schedule = _learner(settings, context), context.schedule(settings.gossip)
    limits = SetLimits(context.dim, context.n_classes)
    # `build_node` has checked that the learner has a model; without sharing it may have none, and needs none.
    models = ModelExchange(
        cast(ModelLearner, learner), context.gossip(), schedule, limits, nanoseconds(exchange.poll_s)
    )
    return context.member(learner, models, QueueInbox(context.dim, context.peers))


def _learner(settings: SystemSettings, context: NodeContext) -> ArrayLearner:
    return build_learner(settings.learner, context.dim, context.n_classes, draw=context.draw, pickles=context.pickles)


def build_learner(
    settings: LearnerSettings,
    dim: int,
    n_classes: int,
    *,
    draw: Draw = lambda purpose: np.random.default_rng(0),
    pickles: OwnPickles | None = None,
) -> ArrayLearner:
    """The learner of the settings' kind for ``dim`` features; ``draw`` and ``pickles`` as in `build_node`.

    Parameters
    ----------
    settings : LearnerSettings
    dim, n_classes : int >= 1
    draw : callable (purpose) -> numpy Generator
    pickles : OwnPickles, optional

    Raises
    ------
    ConfigError
        It is a classifier of River that does not exist, or there is no simulation around it.

    Examples
    --------
    >>> learner = build_learner(BayesSettings(), dim=1, n_classes=2)
    >>> _ = learner.learn(np.array([[0.0], [0.2], [1.0], [1.2]]), np.array([0, 0, 1, 1]), np.zeros(4, np.int64))
    >>> learner.predict(np.array([1.1])).code
    1
    """
    match settings:
        case HedgedSettings():
            return HedgedLVQCore(dim, n_classes, **settings.model_dump(exclude={"kind"}))
        case XuILVQSettings():
            low, high, weights = settings.target_low, settings.target_high, settings.compressor_weights
            compressor = _compressor("learner", settings, low=low, high=high, weights=weights)
            options = settings.model_dump(include={"n_neighbors", "edge_age_max", "denoise_every", "size_max"})
            return XuILVQCore(dim, n_classes, compressor=compressor, **options)
        case BayesSettings():
            own = GaussianBayes(dim, n_classes)
            return EnsembleCore(
                dim, n_classes, own, lambda data: GaussianBayes.decode(data, dim, n_classes), settings.votes
            )
        case LogisticSettings():
            return LogisticCore(dim, n_classes, rate=settings.rate)
        case RiverSettings():
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
        case OwnLearnerSettings():
            return _own_learner(settings, dim, n_classes, int(draw("learner").integers(2**31)))
        case _:
            assert_never(settings)


def _compressor(section: str, settings: XuILVQSettings | ServerSettings, **options: Any) -> compress.Compressor:
    if ":" not in settings.compressor:
        return compress.compressor(settings.compressor, **options)
    setting, code = f"{section}.compressor", settings.compressor
    made = own.make(setting, code, parameters=settings.compressor_parameters, **options)
    _check_parts(setting, code, made, compress.Compressor)
    return cast(compress.Compressor, made)


def _own_learner(settings: OwnLearnerSettings, dim: int, n_classes: int, seed: int) -> ArrayLearner:
    made = own.make("learner.code", settings.code, dim, n_classes, parameters=settings.parameters, seed=seed)
    _check_parts("learner.code", settings.code, made, ArrayLearner if settings.has_prototypes else ModelLearner)
    if (made.dim, made.n_classes) != (dim, n_classes):
        raise ConfigError(
            f"learner.code: {settings.code} must keep dim {dim} and n_classes {n_classes}, "
            f"got {made.dim} and {made.n_classes}"
        )
    try:
        snapshot.pack(made.state())
    except (TypeError, ValueError) as error:
        raise ConfigError(f"learner.code: the state of {settings.code} cannot be saved: {error}") from error
    return cast(ArrayLearner, made)


def _check_parts(setting: str, code: str, made: object, wanted: type) -> None:
    """`ConfigError` if an object lacks methods or attributes of a protocol."""
    protocols = [each for each in wanted.__mro__ if getattr(each, "_is_protocol", False)]
    members = {name for each in protocols for name in (*vars(each), *getattr(each, "__annotations__", ()))}
    public = {name for name in members if not name.startswith("_") or name == "__len__"}
    missing = sorted(name for name in public if not hasattr(made, name))
    if missing:
        raise ConfigError(f"{setting}: {code} is no {wanted.__name__}: it lacks {', '.join(missing)}")


def _sets(exchange: WholeSetSettings, context: NodeContext) -> WholeSets:
    limits = SetLimits(context.dim, context.n_classes, exchange.prototypes_max)
    return WholeSets(_gate(exchange.gate, context), limits, exchange.dtype)


def _gate(settings: GateSettings, context: NodeContext) -> Gate:
    match settings:
        case AlwaysGateSettings():
            return AlwaysGate()
        case GainGateSettings():
            return GainGate(settings.threshold)
        case DistanceGateSettings():
            return LooJensenShannonGate(settings.threshold)
        case PaperGateSettings():
            return JensenShannonGate(settings.threshold, context.draw("jensen-shannon"), settings.points_max)
        case OwnGateSettings():
            seed = int(context.draw("gate").integers(2**31))
            made = own.make("exchange.gate.code", settings.code, parameters=settings.parameters, seed=seed)
            _check_parts("exchange.gate.code", settings.code, made, Gate)
            return cast(Gate, made)
        case _:
            assert_never(settings)


def _inbox(settings: InboxSettings, context: NodeContext) -> Inbox:
    match settings:
        case QueueInboxSettings():
            return _queues(settings, context, "lifo")
        case SetInboxSettings():
            return SetInbox(context.dim, context.peers, context.draw("inbox"))
        case _:
            assert_never(settings)


def _queues(settings: QueueInboxSettings, context: NodeContext, usual: Literal["lifo", "fifo"]) -> QueueInbox:
    order = settings.order or usual
    rng = context.draw("inbox") if order == "random" else None
    return QueueInbox(context.dim, context.peers, settings.queue_max, order, rng)


def warm(systems: Iterable[SystemSettings]) -> None:
    """Compile (or load from the cache) every kernel that these systems use: loading alone takes most of a second.

    Parameters
    ----------
    systems : iterable of SystemSettings
        The systems that will run in this process.

    Examples
    --------
    >>> from protovine.system import resolve
    >>> warm([resolve("paper-isolated", {}, SystemSettings)])  # Now the first sample takes no longer than others.
    """
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
        if isinstance(core, HedgedLVQCore):
            core.predict_balanced(x[:1])
    all_within(x[0], 1.0)
    if any(isinstance(each.exchange, LogSettings) for each in chosen):
        scales = Scales.of(0, np.zeros(1), np.ones(1), 0, 1.0)
        scales.misfits(x, np.ones(1))
        scales.unpacked(b"".join(scales.packed(scales.coded(x)[0])), len(x))
    gates = [each.exchange.gate for each in chosen if isinstance(each.exchange, WholeSetSettings)]
    if any(isinstance(gate, PaperGateSettings) for gate in gates):
        jensen_shannon_kde(held, held, np.random.default_rng(0))
