"""Typed experiments: every setting with its unit, range and default, and how presets and overrides are merged."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from protovine import system
from protovine.errors import ConfigError
from protovine.own import table_of, with_path
from protovine.stream.options import OPTION_NAMES, ReadOptions
from protovine.system import (
    DriftSettings,
    GossipSettings,
    Probability,
    Seconds,
    Section,
    SystemSettings,
    explain,
    preset,
    read_tables,
    resolve,
    split_by_kind,
)


def _reading(name: str) -> Any:
    """The field for an option of `ReadOptions`: its default and description."""
    option = next(option for option in fields(ReadOptions) if option.name == name)
    return Field(option.default, description=option.metadata["about"])


class DataOptions(Section):
    """How a stream is read and used, whatever its source."""

    label: str | int | None = _reading("label")
    positive: str | None = Field(None, description="positive class of two; the last in sorted order by default")
    limit: int | None = Field(None, ge=1, description="rows to use, cut before the split")
    text: Literal["one-hot", "ordinal"] = _reading("text")
    missing: Literal["impute", "drop", "error"] = _reading("missing")
    missing_words: tuple[str | int | float, ...] | str | int | float = _reading("missing_words")
    infinity: Literal["error", "missing"] = _reading("infinity")
    drop: tuple[str | int, ...] | str | int = _reading("drop")
    group: str | int | None = _reading("group")
    sort_by: str | int | None = _reading("sort_by")
    text_columns: tuple[str | int, ...] | str | int = _reading("text_columns")
    number_columns: tuple[str | int, ...] | str | int = _reading("number_columns")
    day_first: bool | None = _reading("day_first")
    decimal: str | None = _reading("decimal")
    thousands: str | None = _reading("thousands")
    header: bool | None = _reading("header")
    separator: str | None = _reading("separator")
    encoding: str | None = _reading("encoding")
    comment: str | None = _reading("comment")
    units: bool = _reading("units")
    absent: Literal["auto", "zero", "missing"] = _reading("absent")
    holdout: bool = Field(False, description="keep the last 20 % of the merged stream to test every node at the end")

    def reading(self) -> dict[str, Any]:
        """The options of `ReadOptions`, by name."""
        return {name: getattr(self, name) for name in OPTION_NAMES}


class DataSettings(DataOptions):
    """The stream and its options."""

    source: Any = Field("phishing", description="name, file, or (from Python) arrays, an iterable, a DataFrame")

    def options(self) -> DataOptions:
        """The options without the source."""
        return DataOptions(**self.model_dump(exclude_unset=True, exclude={"source"}))


class SwarmSettings(Section):
    """Which nodes take part, and how samples reach them."""

    nodes: int = Field(5, ge=1, le=100_000, description="number of nodes")
    split: str = Field("interleave", description="which node gets which sample")
    topology: str = Field("full", description="which nodes are neighbours, or a file of links")
    rate_hz: float = Field(10.0, gt=0, le=1e6, description="samples per second and node")
    order: Literal["parallel", "sequential"] = Field("parallel", description="all nodes act at once, or in turn")
    arrivals: Literal["poisson", "clock"] = Field("poisson", description="when samples arrive")
    label_delay_s: Seconds = Field(0.0, description="labels come this long after their samples")
    labelled: Probability = Field(1.0, description="fraction of the samples whose label comes at all")
    train_rate_hz: float = Field(190.0, ge=1e-3, le=1e9, description="received prototypes a node can train per second")
    train_local: bool = Field(
        False, description="training a local sample takes as long as a received prototype, and comes first"
    )
    clock_skew_s: float = Field(0.0, ge=0, le=1e6, description="clocks of nodes are up to this ahead or behind")
    clock_drift_ppm: float = Field(
        0.0, ge=0, le=1e5, description="clocks of nodes are up to this too fast or slow, parts per million"
    )
    lag_s: Seconds = Field(0.0, description="node i's samples come i times this later, so that drift reaches it later")
    feature_shift: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="features of each node are shifted by normal draws of this many standard deviations",
    )
    centralised: bool = Field(False, description="one node gets the samples of all nodes in the order of arrival")
    byzantine: str = Field(
        "",
        description="Byzantine nodes, the last ones, as ATTACK:COUNT: label-flip, random-labels, random-vectors, "
        "bad-scale, bad-sensor, flood",
    )
    trace_nodes: int = Field(
        1000, ge=0, description="nodes whose records are in a trace file: a connected part of a larger swarm; 0 is all"
    )
    devices: str = Field("", description="file of the speed, bandwidth and availability of each node over time")
    slow: dict[int, Annotated[float, Field(ge=1, le=1e6)]] = Field(
        default_factory=dict, description="nodes that train this many times slower"
    )


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


class MediumSettings(Section):
    """A medium that all nodes share, in place of one link for each pair."""

    profile: Literal[
        "none",
        "lan",
        "wifi",
        "ble-legacy",
        "ble-extended",
        "lora-sf7",
        "lora-sf8",
        "lora-sf9",
        "lora-sf10",
        "lora-sf11",
        "lora-sf12",
    ] = Field("none", description="airtime, payload, duty cycle and access of a known medium; none: separate links")
    collisions: bool = Field(
        False, description="frames that overlap at a receiver are lost there; otherwise nodes take turns"
    )
    fragments_max: int = Field(
        8, ge=1, le=64, description="frames in which one message may travel; 1 refuses what a frame cannot carry"
    )
    queue_s: Seconds = Field(300.0, description="a message that waits longer for the medium is dropped")


class CrashFault(Section):
    """A node stops and may restart."""

    kind: Literal["crash"]
    node: int = Field(ge=0)
    at_s: Seconds
    restart_s: Seconds | None = Field(None, description="when it runs again; never by default")
    keeps_state: bool = Field(True, description="it goes on from a snapshot of the moment it stopped")


class ServerFault(Section):
    """The server stops and may restart, in systems that have one."""

    kind: Literal["server"]
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
    """A group of nodes is cut off from all others, both ways."""

    kind: Literal["partition"]
    group: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    at_s: Seconds
    until_s: Seconds


class DriftFault(Section):
    """The stream of some nodes, or of all, becomes another one: its labels, its features, or their relation."""

    kind: Literal["drift"]
    change: Literal["labels", "features", "relation"]
    at_s: Seconds
    nodes: tuple[Annotated[int, Field(ge=0)], ...] = Field((), description="which nodes; all by default")


class ByzantineFault(Section):
    """A node becomes Byzantine, and counts as such for the whole run."""

    kind: Literal["byzantine"]
    node: int = Field(ge=0)
    attack: Literal["label-flip", "random-labels", "random-vectors", "bad-scale", "bad-sensor"]
    at_s: Seconds


class RetuneFault(Section):
    """All nodes share by other settings, in systems that share."""

    kind: Literal["retune"]
    at_s: Seconds
    fanout: int | None = Field(None, ge=1, description="peers addressed per share")
    share_probability: Probability | None = Field(None, description="probability that an opportunity is used")
    budget_bytes_per_s: float | None = Field(
        None, ge=0, le=1e12, description="bytes per second and node; 0 is no limit"
    )


FAULTS = (
    CrashFault,
    ServerFault,
    JoinFault,
    CutFault,
    PartitionFault,
    DriftFault,
    ByzantineFault,
    RetuneFault,
)
AnyFault = CrashFault | ServerFault | JoinFault | CutFault | PartitionFault | DriftFault | ByzantineFault | RetuneFault
FaultSettings = Annotated[AnyFault, Field(discriminator="kind")]


class RunSettings(SystemSettings):
    """One system on a stream: a preset with the overrides resolved, without the stream's source."""

    data: DataOptions = DataOptions()
    swarm: SwarmSettings = SwarmSettings()
    link: LinkSettings = LinkSettings()
    medium: MediumSettings = MediumSettings()
    faults: tuple[FaultSettings, ...] = ()


class Experiment(Section):
    """Presets to compare on one stream, and the settings that override theirs.

    A setting given here overrides the preset's, which overrides the default. ``learner`` and ``exchange`` hold only
    overrides; each applies to the presets whose kind has the key. ``gossip.share_probability`` of a preset that does
    not share (``isolated``) stays 0. Sections may be dictionaries; ``data`` may also be only its source. For presets
    ``river`` and ``gossip-trees``, ``learner`` may be a classifier of River or scikit-learn: its name, its class, or an
    object, of which every node makes its own. A learner, a gate (``exchange.gate``), a compressor
    (``learner.compressor``, ``exchange.compressor``) or a schedule (``gossip.schedule``) may be a class of your own, or
    its import path ``module:Class``.

    Raises
    ------
    ConfigError
        An unknown key, preset or kind, or a value out of range; the message names it and the range.

    Examples
    --------
    >>> experiment = Experiment(presets=["paper-isolated", "paper-jsd"], data="bananas", gossip={"fanout": 2})
    >>> [experiment.settings(name).gossip.share_probability for name in experiment.presets]
    [0.0, 0.1]
    >>> Experiment(gossip={"fanout": 0})
    Traceback (most recent call last):
    protovine.errors.ConfigError: gossip.fanout must be at least 1, got 0
    """

    presets: tuple[str, ...] = Field(
        ("default", "isolated", "centralised", "paper-base", "paper-cluster-150"),
        min_length=1,
        description="systems to compare",
    )
    seed: int = Field(0, ge=0, description="first seed; drives arrivals, gossip, shuffles and generators")
    seeds: int = Field(3, ge=1, le=10_000, description="number of seeds, one run each")
    jobs: int = Field(1, ge=1, le=1024, description="processes: runs at a time, or parts of a single large run")
    data: DataSettings = DataSettings()
    swarm: SwarmSettings = SwarmSettings()
    learner: dict[str, Any] = Field(default_factory=dict, description="overrides of the presets' learners")
    exchange: dict[str, Any] = Field(default_factory=dict, description="overrides of the presets' exchanges")
    gossip: GossipSettings = GossipSettings()
    drift: DriftSettings = DriftSettings()
    link: LinkSettings = LinkSettings()
    medium: MediumSettings = MediumSettings()
    faults: tuple[FaultSettings, ...] = ()

    def __init__(self, **values: Any) -> None:
        for key in ("grid", "list"):
            if key in values:
                raise ConfigError(f"'{key}' is for a sweep: `protovine sweep FILE`, in Python experiments.Sweep")
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(explain(error, values, Experiment)) from None
        for name in self.presets:
            self.settings(name)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = _data_as_table(values)
        presets = values.get("presets")
        if isinstance(presets, str):
            values = {**values, "presets": (presets,)}
        if isinstance(values.get("exchange"), str):
            values = {**values, "exchange": {"kind": values["exchange"]}}
        if isinstance(exchange := values.get("exchange"), dict):
            gate = {"gate": table_of(exchange["gate"])} if "gate" in exchange else {}
            values = {**values, "exchange": with_path(exchange, "compressor") | gate}
        if "learner" in values:
            from protovine.learn.baselines.described import learner_table

            values = {**values, "learner": with_path(learner_table(values["learner"]), "compressor")}
        return values

    def given(self) -> dict[str, Any]:
        """The settings without defaults: the content of the experiment's TOML file."""
        tables = self.model_dump(exclude_unset=True, exclude={"data": {"source"}})
        if "source" in self.data.model_fields_set and "data" in self.model_fields_set:
            # Not dumped: that would wrap an iterator.
            tables["data"] = {"source": self.data.source, **tables.get("data", {})}
        return tables

    def settings(self, name: str) -> RunSettings:
        """Everything resolved for the preset ``name``: defaults < preset < overrides that fit its kinds.

        A key that fits no preset stays, so that its error names the kind that it belongs to.
        """
        overrides, chosen = self._overrides(), preset(name)
        fitting, left_out = split_by_kind(overrides, chosen)
        others = [[f"{key}." for key in split_by_kind(overrides, preset(each))[1]] for each in self.presets]
        useless = [key for key in left_out if all(f"{key}.".startswith(tuple(keys)) for keys in others)]
        return resolve(chosen, overrides if useless else fitting, RunSettings)

    def unused(self) -> list[tuple[str, list[str]]]:
        """Overrides that do not fit every preset: the key, and the presets that it does not apply to.

        Keys of the exchange are not reported for presets that share nothing.
        """
        found: dict[str, list[str]] = {}
        for name in self.presets:
            chosen = preset(name)
            for key in split_by_kind(self._overrides(), chosen)[1]:
                if chosen.shares or not key.startswith("exchange."):
                    found.setdefault(key, []).append(name)
        return sorted(found.items())

    def _overrides(self) -> dict[str, Any]:
        tables = {key: value for key, value in self.given().items() if key in RunSettings.model_fields}
        if isinstance(tables.get("data"), dict):
            tables["data"] = {key: value for key, value in tables["data"].items() if key != "source"}
        return tables


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of an experiment file; `ConfigError` if it cannot be read."""
    return _data_as_table(read_tables(path, "experiment"))


def assignment(text: str) -> dict[str, Any]:
    """`protovine.system.assignment`, where ``data=X`` stands for ``data.source=X``.

    Examples
    --------
    >>> assignment("gossip.fanout=2"), assignment("data=bananas")
    ({'gossip': {'fanout': 2}}, {'data': {'source': 'bananas'}})
    """
    return _data_as_table(system.assignment(text))


def _data_as_table(tables: dict[str, Any]) -> dict[str, Any]:
    """``data = X`` stands for ``data.source = X``."""
    data = tables.get("data")
    if data is None or isinstance(data, dict | DataSettings):
        return tables
    return {**tables, "data": {"source": data}}
