"""Settings of a member of the swarm: learner, sharing and gossip, each with its unit, range and default."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from protovine.errors import ConfigError, suggest

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


class LearnerSettings(Section):
    """The learner of every node."""

    name: Literal["xuilvq", "hedged", "bayes", "logistic", "river"] = Field("xuilvq", description="which learner")
    river: str = Field("tree.HoeffdingTreeClassifier", description="river: which classifier, as River exports it")
    river_parameters: dict[str, Any] = Field(
        default_factory=dict, description="river: keywords of its constructor; a model among them by its name"
    )
    standardise: bool = Field(False, description="river: features are standardised online before it")
    votes: Literal["mean", "accuracy"] = Field(
        "mean", description="bayes, river: how peers' models vote, all alike or by their recent accuracy"
    )
    rate: float = Field(0.1, ge=1e-6, le=10, description="logistic: step of the gradient descent")
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
    received_fraction_max: Probability = Field(0.8, description="hedged: largest part of the set without own samples")
    range_max: float = Field(2.0, ge=0.001, description="hedged: own ranges beyond the own range that are believed")
    received_per_local_max: float = Field(1.0, ge=0.001, description="hedged: items a sender may bring per own sample")
    ablate: tuple[str, ...] = Field((), description="hedged: parts that are switched off")
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

    def __hash__(self) -> int:
        # A table cannot be hashed; equal settings have equal text.
        return hash(repr(sorted(self.river_parameters.items())) + self.model_dump_json(exclude={"river_parameters"}))


class ShareSettings(Section):
    """What is worth sending, as which bytes, and how it is taken in."""

    kind: Literal["sets", "log", "models"] = Field(
        "sets", description="whole sets, a log of selected own samples, or whole models (bayes, logistic, river)"
    )
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
    server_size: int = Field(200, ge=1, le=10**6, description="prototypes that a server returns, at least one a class")
    server_compressor: Literal["greedy", "top-greedy", "kmeans"] = Field(
        "greedy", description="how a server clusters what clients sent, class by class"
    )
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


def read_tables(path: Path, what: str) -> dict[str, Any]:
    """The tables of a TOML file, which ``what`` names in errors; `ConfigError` if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read the {what} {path}: {error.strerror}") from None
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


def explain(
    error: ValidationError,
    values: dict[str, Any],
    root: type[Section],
    branches: Mapping[str, Mapping[str, type[Section]]] = MappingProxyType({}),
) -> str:
    """The first problem as one line: what, the value, the allowed range or the nearest name.

    ``branches`` names, for each list of tables that are told apart by their kind, the model of each kind.
    """
    problem = error.errors()[0]
    where = list(problem["loc"])
    branch = None
    if where and where[0] in branches and len(where) > 2:
        # Pydantic names the branch of the union ("faults.0.crash.at_s"); the kind is not a key.
        branch = branches[str(where[0])].get(str(where.pop(2)))
    name = ".".join(map(str, where))
    value = problem.get("input")
    field, siblings = _field_at(where[2:], branch) if branch else _field_at(where, root)
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
