"""Typed settings of a member of the swarm: the kind of learner, the kind of exchange, and the gossip.

Each kind has its own table. A key of another kind is an error, never ignored.
"""

from __future__ import annotations

import inspect
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from protovine.own import load_class, path_of
from protovine.share.log import BITS_PER_BYTE

Probability = Annotated[float, Field(ge=0, le=1)]
# 31 years: sums of these stay within integer nanoseconds.
Seconds = Annotated[float, Field(ge=0, le=1e9)]

_KEYWORDS = "keywords of its constructor"


class Section(BaseModel):
    """A table of settings; unknown keys, infinities, and true or false for a number are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _no_bool_for_a_number(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, dict) else ():
            field = cls.model_fields.get(name)
            kinds = _kinds(field.annotation) if field is not None else frozenset()
            if bool in kinds or not kinds & {int, float}:
                continue
            each = value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else [value]
            odd = next((one for one in each if isinstance(one, bool)), None)
            if odd is not None:
                what = "a text or a number" if str in kinds and not isinstance(value, dict) else "a number"
                raise ValueError(f"{name} must be {what}, got {str(odd).lower()}")
        return values


def _hash(settings: Any) -> int:
    # A table cannot be hashed. Equal settings have equal text without it.
    tables = {name for name, field in type(settings).model_fields.items() if field.default_factory is dict}
    return hash(settings.model_dump_json(exclude=tables))


def _import_path(named: Any) -> Any:
    if inspect.isclass(named):
        return path_of(named)
    if isinstance(named, str) and ":" not in named:
        raise ValueError(f"must be module:Class, got '{named}'")
    return named


# A class of the user's own, in place of a name.
ImportPath = Annotated[str, BeforeValidator(_import_path)]


def _check_parameters(settings: Any, part: str) -> None:
    """``ValueError`` if there are parameters for a class of the user's own, and none is named."""
    parameters = f"{part}_parameters"
    if getattr(settings, parameters) and ":" not in (named := getattr(settings, part)):
        raise ValueError(f"{parameters} is for a class of your own (module:Class), and {part} is '{named}'")


def _kinds(annotation: Any) -> frozenset[Any]:
    """The plain types in an annotation."""
    parts = get_args(annotation)
    return frozenset().union(*map(_kinds, parts)) if parts else frozenset({annotation})


class HedgedSettings(Section):
    """The hedged soft LVQ, the default learner."""

    has_prototypes: ClassVar[bool] = True
    kind: Literal["hedged"] = "hedged"
    size_max: int = Field(500, ge=2, le=10**9, description="prototypes that are kept, but at least 4 for each class")
    margin: float = Field(0.25, ge=0, le=0.99, description="margin from which the nearest prototype absorbs a sample")
    hedge_decay: float = Field(0.99, ge=0.01, le=1, description="forgetting of the experts' losses, per local sample")
    hedge_received: Probability = Field(0.2, description="weight of received samples in the experts' losses")
    received_fraction_max: Probability = Field(0.8, description="largest part of the set without local samples")
    range_max: float = Field(
        2.0, ge=0.001, description="how far outside the local range a received value may lie, in widths of that range"
    )
    received_per_local_max: float = Field(
        1.0, ge=0.001, description="received samples that one sender may contribute per local sample"
    )
    ablate: tuple[str, ...] = Field(
        (),
        description=(
            "parts that are switched off, for ablations: z-score, fisher, relief, discriminant, linear, recency, "
            "corrected, local, hedge, trust, pool, gaussian, transition, dependence, log-scale, relevance"
        ),
    )


class XuILVQSettings(Section):
    """The paper's incremental LVQ."""

    has_prototypes: ClassVar[bool] = True
    kind: Literal["xuilvq"] = "xuilvq"
    n_neighbors: int = Field(5, ge=1, le=1000, description="prototypes that vote")
    edge_age_max: int = Field(400, ge=0, le=10**9, description="older edges of the neighbourhood graph are deleted")
    denoise_every: int = Field(
        150, ge=0, le=10**9, description="learning steps between sweeps of isolated prototypes; 0 or a limit: never"
    )
    size_max: int = Field(0, ge=0, le=10**9, description="prototypes from which the set is compressed; 0 is no limit")
    compressor: Literal["dbscan", "kmeans", "greedy", "top-greedy"] | ImportPath = Field(
        "dbscan", description="how the set is compressed, or your own class as `module:Class`"
    )
    compressor_parameters: dict[str, Any] = Field(default_factory=dict, description=f"{_KEYWORDS}, if it is your own")
    target_low: float = Field(
        50.0, gt=0, le=100, description="smallest size after compression, percent; all but dbscan aim at the middle"
    )
    target_high: float = Field(60.0, gt=0, le=100, description="largest size after compression, percent")
    compressor_weights: Literal["sum", "authors"] = Field(
        "sum", description="weights of centroids; authors only with dbscan and kmeans"
    )

    __hash__ = _hash

    @model_validator(mode="after")
    def _own(self) -> Self:
        _check_parameters(self, "compressor")
        return self


_Votes = Annotated[
    Literal["mean", "accuracy"], Field(description="how peers' models vote: all alike, or by their recent accuracy")
]


class BayesSettings(Section):
    """Gaussian naive Bayes, with the newest model of each peer as a voter (baseline)."""

    has_prototypes: ClassVar[bool] = False
    kind: Literal["bayes"] = "bayes"
    votes: _Votes = "mean"


class LogisticSettings(Section):
    """Logistic regression that averages its weights with those of peers (baseline)."""

    has_prototypes: ClassVar[bool] = False
    kind: Literal["logistic"] = "logistic"
    rate: float = Field(0.1, ge=1e-6, le=10, description="step of the gradient descent")


class RiverSettings(Section):
    """Any classifier of River, with the newest model of each peer as a voter (baseline; simulations only)."""

    has_prototypes: ClassVar[bool] = False
    kind: Literal["river"] = "river"
    classifier: str = Field(
        "tree.HoeffdingTreeClassifier",
        description="which classifier, as River exports it, or `sklearn.MODULE.CLASS` with `partial_fit`, or your own "
        "as `module:Class`",
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description=f"{_KEYWORDS}; a model among them by its name, or as a table of both keys",
    )
    standardise: bool = Field(False, description="features are standardised online before it")
    votes: _Votes = "mean"

    @model_validator(mode="before")
    @classmethod
    def _objects(cls, values: Any) -> Any:
        from protovine.learn.baselines.described import learner_table

        return learner_table(values)

    __hash__ = _hash


class OwnLearnerSettings(Section):
    """A learner of your own: a class that fits `ArrayLearner`, or `ModelLearner` without prototypes."""

    kind: Literal["own"] = "own"
    code: str = Field(description="its class, as `module:Class`; the module is installed or in the current folder")
    parameters: dict[str, Any] = Field(default_factory=dict, description=f"{_KEYWORDS} after `dim` and `n_classes`")

    __hash__ = _hash

    @property
    def has_prototypes(self) -> bool:
        """Whether it has prototypes: it does not adopt models."""
        return not hasattr(load_class("learner.code", self.code), "adopt")


LearnerSettings = Annotated[
    HedgedSettings | XuILVQSettings | BayesSettings | LogisticSettings | RiverSettings | OwnLearnerSettings,
    Field(discriminator="kind"),
]


class AlwaysGateSettings(Section):
    """Every set is sent."""

    kind: Literal["always"] = "always"


_Distance = Annotated[Probability, Field(description="distance above which a set is sent")]


class DistanceGateSettings(Section):
    """A set is sent if it is far from the peer's last set, by the leave-one-out Jensen-Shannon distance."""

    kind: Literal["jsd-loo"] = "jsd-loo"
    threshold: _Distance = 0.5


class PaperGateSettings(Section):
    """As the paper: the Jensen-Shannon distance between kernel density estimates."""

    kind: Literal["jsd"] = "jsd"
    threshold: _Distance = 0.5
    points_max: int = Field(20_000, ge=1, le=10**8, description="points on which the distance is estimated")


class GainGateSettings(Section):
    """A set is sent if the peer would predict this node's newest samples better with it."""

    kind: Literal["gain"] = "gain"
    threshold: Probability = Field(0.02, description="gain in accuracy above which a set is sent")


class OwnGateSettings(Section):
    """A gate of your own: a class that fits `Gate`."""

    kind: Literal["own"] = "own"
    code: str = Field(description="its class, as `module:Class`; the module is installed or in the current folder")
    parameters: dict[str, Any] = Field(default_factory=dict, description=_KEYWORDS)

    __hash__ = _hash


GateSettings = Annotated[
    AlwaysGateSettings | DistanceGateSettings | PaperGateSettings | GainGateSettings | OwnGateSettings,
    Field(discriminator="kind"),
]


class QueueInboxSettings(Section):
    """One queue of received prototypes per peer."""

    kind: Literal["queue"] = "queue"
    queue_max: int = Field(500_000, ge=1, le=10**9, description="received prototypes that one queue holds")
    order: Literal["lifo", "fifo", "random"] | None = Field(
        None, description="which prototype of a queue is trained next; by default lifo for sets, fifo for a log"
    )


class SetInboxSettings(Section):
    """The newest set of each peer replaces its earlier one; prototypes are drawn from it at random."""

    kind: Literal["set"] = "set"


InboxSettings = Annotated[QueueInboxSettings | SetInboxSettings, Field(discriminator="kind")]


_PrototypesMax = Annotated[int, Field(ge=1, le=10**7, description="larger sets from peers are refused")]
_Poll = Annotated[Seconds, Field(description="opportunities wait for the next multiple of this; 0 is at once")]


class LogSettings(Section):
    """A log of selected local samples that reaches every partner; the default."""

    kind: Literal["log"] = "log"
    partners: int = Field(
        32, ge=0, le=100_000, description="neighbours that a node seeks out to share with; 0 is all of them"
    )
    select: Literal["surprisal", "inserted", "all"] = Field("surprisal", description="which local samples are shared")
    surprisal_bits: float | None = Field(
        None,
        ge=0,
        le=1000,
        description=f"surprisal above which a sample is shared; by default {BITS_PER_BYTE} bits per byte",
    )
    bits: int = Field(5, ge=4, le=8, description="bits per feature whose values lie on no grid")
    batch_items: int = Field(0, ge=0, le=10_000, description="samples in a batch; 0 lets the learner decide")
    batch_s: Seconds = Field(0.0, description="longest wait for a batch; 0 lets the learner decide")
    microaggregation: int = Field(
        1, ge=1, le=100, description="a shared vector is the mean of this many local samples of its class"
    )
    noise: float = Field(0.0, ge=0, le=100, description="noise on shared vectors, in standard deviations")
    weight_min: float = Field(0.0, ge=0, le=1e6, description="samples that each prototype in a summary stands for")
    budget_bytes_per_s: float = Field(
        0.0, ge=0, le=1e12, description="bytes that a node may send per second, over 10 s; 0 is no limit"
    )
    inbox: QueueInboxSettings = Field(QueueInboxSettings(queue_max=10_000), description="how received samples wait")
    prototypes_max: _PrototypesMax = 100_000


class WholeSetSettings(Section):
    """Options of every exchange of whole prototype sets."""

    gate: GateSettings = Field(AlwaysGateSettings(), description="which sets are sent: a table, or only its kind")
    dtype: Literal["float32", "float64"] = Field("float32", description="precision on the wire")
    inbox: InboxSettings = Field(QueueInboxSettings(), description="how received sets wait: a table, or only its kind")
    prototypes_max: _PrototypesMax = 100_000
    poll_s: _Poll = 0.0


class SetSettings(WholeSetSettings):
    """Whole prototype sets, the paper's way."""

    kind: Literal["sets"] = "sets"


class ServerSettings(WholeSetSettings):
    """As sets, with the same keys, but nodes are clients of a server without samples (baseline; simulations only)."""

    kind: Literal["server"] = "server"
    size: int = Field(200, ge=1, le=10**6, description="prototypes that the server returns, at least one per class")
    compressor: Literal["greedy", "top-greedy", "kmeans"] | ImportPath = Field(
        "greedy", description="how the server clusters the clients' sets, class by class, or your own as `module:Class`"
    )
    compressor_parameters: dict[str, Any] = Field(default_factory=dict, description=f"{_KEYWORDS}, if it is your own")

    __hash__ = _hash

    @model_validator(mode="after")
    def _own(self) -> Self:
        _check_parameters(self, "compressor")
        return self


class ModelSettings(Section):
    """Whole models, for learners without prototypes: bayes, logistic, river (baseline)."""

    kind: Literal["models"] = "models"
    poll_s: _Poll = 0.0


ExchangeSettings = Annotated[LogSettings | SetSettings | ServerSettings | ModelSettings, Field(discriminator="kind")]


class GossipSettings(Section):
    """When to share and with whom."""

    fanout: int = Field(4, ge=1, description="peers addressed per share (the paper's s)")
    share_probability: Probability = Field(
        0.1, description="probability that an opportunity is used (the paper's T); 0 is no gossip at all"
    )
    schedule: (
        Literal["coin", "round-robin", "counter", "age-threshold", "oldest", "drift-age", "broadcast"] | ImportPath
    ) = Field("coin", description="at which opportunities, and with whom; or your own class as `module:Class`")
    schedule_parameters: dict[str, Any] = Field(
        default_factory=dict,
        description=f"{_KEYWORDS}, if it is your own, after `fanout`, `share_probability` and `rng`",
    )

    __hash__ = _hash

    @model_validator(mode="after")
    def _own(self) -> Self:
        _check_parameters(self, "schedule")
        return self


class DriftSettings(Section):
    """Whether a node watches its own stream for drift."""

    detector: Literal["none", "adwin", "page-hinkley", "kswin"] = Field(
        "none", description="River's detector, on errors, surprisal, labels and features; alarms travel with a log"
    )


class SystemSettings(Section):
    """One system: every setting of a node that a preset decides."""

    learner: LearnerSettings
    exchange: ExchangeSettings
    gossip: GossipSettings = GossipSettings()
    drift: DriftSettings = DriftSettings()

    @property
    def broadcasts(self) -> bool:
        """Whether a node sends each message once, to all."""
        return self.gossip.schedule == "broadcast" and self.gossip.share_probability > 0

    @property
    def partners(self) -> int:
        """Neighbours that a node seeks out to share with; 0 is all of them."""
        return self.exchange.partners if isinstance(self.exchange, LogSettings) and not self.broadcasts else 0
