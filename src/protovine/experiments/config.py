"""Typed experiments: every setting with its unit, range and default, and how the layers are merged."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from protovine.errors import ConfigError, suggest
from protovine.experiments.presets import preset

Probability = Annotated[float, Field(ge=0, le=1)]
# 31 years: whatever is added up from these stays within integer nanoseconds.
Seconds = Annotated[float, Field(ge=0, le=1e9)]


class Section(BaseModel):
    """A table of settings; unknown keys, infinities, and true or false for a number are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _no_bool_for_a_number(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, dict) else ():
            if (
                isinstance(value, bool)
                and name in cls.model_fields
                and cls.model_fields[name].annotation in (int, float, int | None, float | None)
            ):
                raise ValueError(f"{name} must be a number, got {str(value).lower()}")
        return values


class DataSettings(Section):
    """Which stream."""

    source: Any = Field("phishing", description="name, file, or (from Python) arrays, an iterable, a DataFrame")
    label: str | None = Field(None, description="label column of a file or DataFrame; the last one by default")
    positive: str | None = Field(None, description="positive class of two; the last in sorted order by default")
    limit: int | None = Field(None, ge=1, description="rows to use, cut before the split")
    text: Literal["one-hot", "ordinal"] = Field("one-hot", description="how text columns become numbers")
    missing: Literal["impute", "drop", "error"] = Field("impute", description="what happens to missing values")
    holdout: bool = Field(False, description="keep the last 20 % of the merged stream to test every node at the end")


class SwarmSettings(Section):
    """Who takes part, and how samples reach them."""

    nodes: int = Field(5, ge=1, le=100_000, description="number of nodes")
    split: str = Field("interleave", description="who gets which sample")
    topology: str = Field("full", description="who is whose neighbour, or a file of links")
    rate_hz: float = Field(10.0, gt=0, le=1e6, description="samples per second and node")
    arrivals: Literal["poisson", "clock"] = Field("poisson", description="when samples arrive")
    label_delay_s: Seconds = Field(0.0, description="labels come this long after their samples")
    labelled: Probability = Field(1.0, description="fraction of the samples whose label comes at all")
    train_rate_hz: float = Field(190.0, ge=1e-3, le=1e9, description="received prototypes a node can train per second")
    clock_skew_s: float = Field(0.0, ge=0, le=1e6, description="clocks of nodes are off by up to this, either way")
    clock_drift_ppm: float = Field(
        0.0, ge=0, le=1e5, description="clocks of nodes are too fast or slow by up to this, parts per million"
    )
    central: bool = Field(False, description="one node gets everything in the order of arrival: what sharing aims at")
    hostile: str = Field(
        "",
        description="members that do harm, the last ones, as KIND:COUNT: label-flip, random-labels, random-vectors, "
        "bad-scale, bad-sensor, flood",
    )
    slow: dict[int, Annotated[float, Field(ge=1, le=1e6)]] = Field(
        default_factory=dict, description="nodes that train this many times slower"
    )


class LearnerSettings(Section):
    """The learner of every node."""

    name: Literal["xuilvq", "hedged"] = Field("xuilvq", description="which learner")
    n_neighbors: int = Field(5, ge=1, le=1000, description="prototypes that vote")
    edge_age_max: int = Field(400, ge=0, le=10**9, description="older edges of the neighbourhood graph are deleted")
    denoise_every: int = Field(
        150, ge=0, le=10**9, description="learning steps between sweeps of isolated prototypes; 0 or a limit: never"
    )
    size_max: int = Field(
        0,
        ge=0,
        le=10**9,
        description="limit of the set; 0 is none for xuilvq, which compresses its set, 200 for hedged",
    )
    margin: float = Field(0.25, ge=0, le=0.99, description="hedged: margin from which a sample is absorbed")
    hedge_decay: float = Field(0.99, ge=0.01, le=1, description="hedged: forgetting of the experts' losses")
    hedge_received: Probability = Field(0.2, description="hedged: weight of received samples in the experts' losses")
    foreign_share: Probability = Field(0.8, description="hedged: largest part of the set without own samples")
    range_max: float = Field(2.0, ge=0.001, description="hedged: own ranges beyond the own range that are believed")
    items_per_sample: float = Field(1.0, ge=0.001, description="hedged: items a sender may bring per own sample")
    without: tuple[str, ...] = Field((), description="hedged: parts that are switched off")
    compressor: Literal["dbscan", "kmeans", "greedy", "top-greedy"] = Field(
        "dbscan", description="how it is compressed"
    )
    target_low: float = Field(
        50.0, gt=0, le=100, description="smallest size after compression, percent; all but dbscan aim at the middle"
    )
    target_high: float = Field(60.0, gt=0, le=100, description="largest size after compression, percent")
    compressor_weights: Literal["sum", "authors"] = Field(
        "sum", description="weights of centroids; authors only with dbscan and kmeans"
    )


class ShareSettings(Section):
    """What is worth sending, as which bytes, and how it is taken in."""

    kind: Literal["sets", "log"] = Field("sets", description="whole sets, or a log of selected own samples")
    select: Literal["surprisal", "inserted", "all"] = Field("surprisal", description="log: which own samples are told")
    surprisal_bits: float | None = Field(
        None, ge=0, le=1000, description="log: surprisal above which a sample is told; by default 0.01 bits a byte"
    )
    bits: Literal[0, 6, 8] = Field(0, description="log: bits of a feature; 0 is 8, or 6 within less than 100 bytes/s")
    batch_items: int = Field(0, ge=0, le=10_000, description="log: samples in a batch; 0 lets the learner decide")
    batch_s: Seconds = Field(0.0, description="log: longest wait for a batch; 0 lets the learner decide")
    aggregate: int = Field(1, ge=1, le=100, description="log: a told vector is the mean of this many own samples")
    noise: float = Field(0.0, ge=0, le=100, description="log: noise on told vectors, in standard deviations")
    weight_min: float = Field(0.0, ge=0, le=1e6, description="log: prototypes in summaries stand for so many samples")
    gate: Literal["always", "jsd", "jsd-loo", "gain"] = Field("always", description="which sets are sent")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="score above which a set is sent: a Jensen-Shannon distance (0.5 by default) or a gain in "
        "accuracy (0.02)",
    )
    points_max: int = Field(
        20_000, ge=1, le=10**8, description="points on which the Jensen-Shannon distance is estimated"
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="precision on the wire")
    inbox: Literal["queue", "set"] = Field("queue", description="one queue of prototypes a peer, or its newest set")
    queue_max: int = Field(500_000, ge=1, le=10**9, description="prototypes that one queue holds")
    prototypes_max: int = Field(100_000, ge=1, le=10**7, description="larger sets are refused")


class GossipSettings(Section):
    """When to share and with whom."""

    s: int = Field(4, ge=1, description="peers addressed per share")
    T: Probability = Field(0.1, description="probability that an opportunity is used; 0 is no gossip at all")
    schedule: Literal["coin", "round-robin", "counter", "age-threshold", "oldest", "drift-age"] = Field(
        "coin", description="at which opportunities, and with whom"
    )
    order: Literal["parallel", "sequential"] = Field("parallel", description="all nodes act at once, or in turn")
    budget_bytes_per_s: float = Field(
        0.0, ge=0, le=1e12, description="log: bytes that a node may send per second, over 10 s; 0 is no limit"
    )
    poll_s: Seconds = Field(0.0, description="opportunities wait for the next multiple of this; 0 is at once")


class LinkSettings(Section):
    """What every link does to messages."""

    delay_s: Seconds = Field(0.001, description="propagation delay")
    jitter_s: Seconds = Field(0.0, description="added to the delay, uniform from 0 to this")
    bandwidth_bytes_per_s: float = Field(0.0, ge=0, description="at least 1; 0 is no limit")
    message_bytes_max: int = Field(0, ge=0, description="larger messages are lost; 0 is no limit")
    loss: Probability = Field(0.0, description="probability that a message is lost")
    duplicate: Probability = Field(0.0, description="probability that a message arrives twice")
    reorder: Probability = Field(0.0, description="probability that a message is held back")
    reorder_s: Seconds = Field(0.1, description="for at most this long")


class CrashFault(Section):
    """A node stops, and may come back."""

    kind: Literal["crash"]
    node: int = Field(ge=0)
    at_s: Seconds
    restart_s: Seconds | None = Field(None, description="when it runs again; never by default")
    keeps_state: bool = Field(True, description="it goes on from a snapshot of the moment it stopped")


class JoinFault(Section):
    """A node starts late."""

    kind: Literal["join"]
    node: int = Field(ge=0)
    at_s: Seconds


class CutFault(Section):
    """A link is cut, one way."""

    kind: Literal["cut"]
    source: int = Field(ge=0)
    target: int = Field(ge=0)
    at_s: Seconds
    until_s: Seconds


class PartitionFault(Section):
    """A group of nodes and all others cannot reach each other."""

    kind: Literal["partition"]
    group: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    at_s: Seconds
    until_s: Seconds


_FAULTS: dict[str, type[Section]] = {
    "crash": CrashFault,
    "join": JoinFault,
    "cut": CutFault,
    "partition": PartitionFault,
}
FaultSettings = Annotated[CrashFault | JoinFault | CutFault | PartitionFault, Field(discriminator="kind")]


class Settings(Section):
    """One system on one stream: what a preset is resolved to."""

    data: DataSettings = DataSettings()
    swarm: SwarmSettings = SwarmSettings()
    learner: LearnerSettings = LearnerSettings()
    share: ShareSettings = ShareSettings()
    gossip: GossipSettings = GossipSettings()
    link: LinkSettings = LinkSettings()
    faults: tuple[FaultSettings, ...] = ()


class Experiment(Settings):
    """Presets to compare on one stream, and the settings that override theirs.

    A setting that is given here wins over the preset's, and that over the default. Only ``gossip.T`` of a preset that
    does not share (``paper-local``) stays 0. Sections may be given as dictionaries; ``data`` also as its source alone.

    Raises
    ------
    ConfigError
        An unknown key, preset or kind, or a value out of range; the message names it, and the range.

    Examples
    --------
    >>> experiment = Experiment(presets=["paper-local", "paper-jsd"], data="bananas", gossip={"T": 1})
    >>> [experiment.settings(name).gossip.T for name in experiment.presets]
    [0.0, 1.0]
    >>> Experiment(gossip={"T": 1.5})
    Traceback (most recent call last):
    protovine.errors.ConfigError: gossip.T must be between 0 and 1, got 1.5
    """

    presets: tuple[str, ...] = Field(
        ("default", "local", "central", "paper-base", "paper-jsd"), min_length=1, description="systems to compare"
    )
    seed: int = Field(0, ge=0, description="first seed; drives arrivals, gossip, shuffles and generators")
    seeds: int = Field(3, ge=1, le=10_000, description="number of seeds, one run each")
    jobs: int = Field(1, ge=1, le=1024, description="runs at a time")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_explain(error, values)) from None
        for name in self.presets:
            self.settings(name)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = _data_as_table(values)
        presets = values.get("presets")
        if isinstance(presets, str):
            values = {**values, "presets": (presets,)}
        return values

    def given(self) -> dict[str, Any]:
        """What was set, without defaults: what the experiment's TOML file holds."""
        tables = self.model_dump(exclude_unset=True, exclude={"data": {"source"}})
        if "source" in self.data.model_fields_set and "data" in self.model_fields_set:
            # Kept as it is: dumping would wrap an iterator.
            tables["data"] = {"source": self.data.source, **tables.get("data", {})}
        return tables

    def settings(self, name: str) -> Settings:
        """Everything resolved for the preset ``name``: defaults < preset < what was set."""
        chosen = preset(name)
        # Defaults of the sections are filled in by the model, so only what was set is laid over the preset.
        own = {key: value for key, value in self.given().items() if key in Settings.model_fields}
        merged = merged_tables(chosen.settings, own)
        if not chosen.shares:
            merged = merged_tables(merged, {"gossip": {"T": 0.0}})
        try:
            return Settings(**merged)
        except ValidationError as error:
            raise ConfigError(_explain(error, merged)) from None


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of an experiment file; `ConfigError` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return _data_as_table(tomllib.load(file))
    except OSError as error:
        raise ConfigError(f"cannot read the experiment {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def merged_tables(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` laid over ``below``, table by table; neither is changed.

    Examples
    --------
    >>> merged_tables({"gossip": {"s": 4, "T": 0.1}}, {"gossip": {"T": 1.0}})
    {'gossip': {'s': 4, 'T': 1.0}}
    """
    out = dict(below)
    for key, value in above.items():
        old = out.get(key)
        out[key] = merged_tables(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out


def assignment(text: str) -> dict[str, Any]:
    """The tables that ``section.key=value`` stands for; the value is TOML, or else text.

    Examples
    --------
    >>> assignment("gossip.T=0.5"), assignment("data.source=bananas")
    ({'gossip': {'T': 0.5}}, {'data': {'source': 'bananas'}})
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip() or "\n" in text:
        raise ConfigError(f"--set takes key=value, got '{text}'")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    return _data_as_table(nested(key.strip(), parsed))


def nested(key: str, value: Any) -> dict[str, Any]:
    """The tables that a dotted key stands for.

    Examples
    --------
    >>> nested("gossip.T", 0.5)
    {'gossip': {'T': 0.5}}
    """
    for part in reversed(key.split(".")):
        value = {part: value}
    made: dict[str, Any] = value
    return made


def _data_as_table(tables: dict[str, Any]) -> dict[str, Any]:
    """``data = X`` stands for ``data.source = X``."""
    data = tables.get("data")
    if data is None or isinstance(data, dict | DataSettings):
        return tables
    return {**tables, "data": {"source": data}}


def _explain(error: ValidationError, values: dict[str, Any]) -> str:
    """The first problem as one line: what, the value, the allowed range or the nearest name."""
    problem = error.errors()[0]
    where = list(problem["loc"])
    fault = None
    if where[:1] == ["faults"] and len(where) > 2:
        # Pydantic names the branch of the union ("faults.0.crash.at_s"); the kind is not a key.
        fault = _FAULTS.get(str(where.pop(2)))
    name = ".".join(map(str, where))
    value = problem.get("input")
    field, siblings = _field_at(where[2:], fault) if fault else _field_at(where, Experiment)
    kind = problem["type"]
    if kind == "extra_forbidden":
        return f"unknown key '{name}'{suggest(str(where[-1]), siblings)}"
    if kind == "value_error":  # Raised here, about one of the section's own keys.
        return ".".join(filter(None, [name, str(problem["ctx"]["error"])]))
    if kind == "missing":
        return f"{name} is required"
    if kind in ("literal_error", "union_tag_invalid"):
        expected = str(problem.get("ctx", {}).get("expected") or problem.get("ctx", {}).get("expected_tags"))
        got = value.get("kind") if isinstance(value, dict) else value
        label = name if kind == "literal_error" else f"{name}.kind"
        return f"{label} must be one of {expected.replace(chr(39), '')}, got '{got}'"
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return f"{name} must be {_range(field, problem)}, got {value}"
    message = str(problem["msg"])
    message = message[0].lower() + message[1:]
    return f"{name}: {message}, got {value!r}" if value is not values else f"{name}: {message}"


def _field_at(where: list[Any], root: type[BaseModel]) -> tuple[FieldInfo | None, list[str]]:
    """The field that a path from ``root`` leads to, and the names beside it."""
    model: type[BaseModel] | None = root
    field = None
    siblings: list[str] = list(root.model_fields)
    for part in where:
        if model is None:
            return field, siblings
        siblings = list(model.model_fields)
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return field, siblings


def _range(field: FieldInfo | None, problem: Any) -> str:
    limits: dict[str, Any] = {}
    for entry in field.metadata if field else ():
        for kind, key in ((Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt")):
            if isinstance(entry, kind):
                limits[key] = getattr(entry, key)
    limits = limits or problem["ctx"]
    if "ge" in limits and "le" in limits:
        return f"between {limits['ge']} and {limits['le']}"
    words = {"ge": "at least", "gt": "greater than", "le": "at most", "lt": "less than"}
    return " and ".join(f"{words[key]} {limit}" for key, limit in limits.items())
