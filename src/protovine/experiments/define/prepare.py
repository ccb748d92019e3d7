"""Load the data of an experiment and check its settings against them, before anything is run or written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from protovine import stream, topology
from protovine.errors import ConfigError, DataError
from protovine.experiments.define.build import HOLDOUT, Built, build
from protovine.experiments.define.config import DataSettings, Experiment, RunSettings, SwarmSettings
from protovine.learn.hedged.metrics import VARIANCE_FRACTION_MIN, VARIANCE_MIN
from protovine.own import CODE_SETTINGS, files_behind, is_script
from protovine.stream import DataSet
from protovine.stream.files import is_file_name
from protovine.values import listed

# A feature that spans this many times the median one is worth a note.
SPAN_RATIO = 1000


@dataclass(frozen=True)
class Prepared:
    """An experiment with its data loaded and its settings checked against them."""

    experiment: Experiment
    settings: dict[str, RunSettings]
    data: dict[int, DataSet]
    neighbours: list[list[int]]
    notes: tuple[str, ...]

    @property
    def seeds(self) -> list[int]:
        """All seeds, ascending."""
        return sorted(self.data)

    @property
    def samples(self) -> int:
        """Number of local samples in all runs, for progress."""
        dealt = 1 - HOLDOUT if self.experiment.data.holdout else 1
        return len(self.settings) * sum(round(len(data) * dealt) for data in self.data.values())


def prepare(experiment: Experiment) -> Prepared:
    """Load the data and check all settings against them. Nothing is run or written."""
    options = experiment.data
    settings = {name: experiment.settings(name) for name in experiment.presets}
    seeds = range(experiment.seed, experiment.seed + experiment.seeds)
    data: dict[int, DataSet] = {}
    for seed in seeds:
        # Most streams do not depend on the seed.
        if data and not stream.is_seeded(options.source):
            data[seed] = data[experiment.seed]
            continue
        data[seed] = load_data(options, seed)
    notes = notes_on_data(data[experiment.seed], settings.values())
    for key, names in experiment.unused():
        notes.append(f"{key} does not apply to {', '.join(names)}: another kind of {key.rpartition('.')[0]}")
    notes += _notes_on_useless(experiment, settings)
    for seed, name in [(seed, name) for seed in seeds for name in settings]:
        notes += notes_on_system(settings[name], build_named(settings, name, data[seed], seed), seed)
    swarms = sorted(settings.values(), key=lambda chosen: (chosen.swarm.centralised, chosen.exchange.kind == "server"))
    links = build(swarms[0], data[experiment.seed], experiment.seed).neighbours
    return Prepared(experiment, settings, data, links, tuple(dict.fromkeys(notes)))


def build_named(settings: Mapping[str, RunSettings], name: str, data: DataSet, seed: int) -> Built:
    """Build a preset of a comparison; a `ConfigError` names it, unless it is the same for all presets."""

    def refusal(each: RunSettings) -> str | None:
        try:
            build(each, data, seed)
        except ConfigError as error:
            return str(error)
        return None

    try:
        return build(settings[name], data, seed)
    except ConfigError as error:
        if all(refusal(each) == str(error) for each in settings.values()):
            raise
        raise ConfigError(f"preset {name}: {error}") from None


def notes_on_data(data: DataSet, settings: Iterable[RunSettings]) -> list[str]:
    """What a reader of results should know of the data, with these systems."""
    systems = list(settings)
    kinds = {chosen.learner.kind for chosen in systems}
    return [
        *data.notes,
        *dict.fromkeys(note for chosen in systems for note in _notes_on_groups(data, chosen.swarm)),
        *(_notes_on_scale(data) if "xuilvq" in kinds else ()),
        *(_notes_on_offsets(data) if "hedged" in kinds else ()),
    ]


def notes_on_system(settings: RunSettings, built: Built, seed: int) -> list[str]:
    """What a reader of results should know of the nodes of one system."""
    notes = []
    dealt = built.scenario.rows[: settings.swarm.nodes]  # A server has no samples.
    empty = [node for node, rows in enumerate(dealt) if not len(rows)]
    if empty:
        notes.append(f"seed {seed}: no samples for {_listed(empty)}")
    for fault in settings.faults:
        if fault.at_s > built.end_s:
            notes.append(f"a {fault.kind} at {fault.at_s:g} s comes after the end, at {built.end_s:.1f} s")
    without = [
        node
        for node, rows in enumerate(built.scenario.rows)
        if len(rows) and built.positive is not None and built.positive not in built.scenario.y[rows]
    ]
    if without:
        notes.append(f"seed {seed}: no positives at {_listed(without)}, left out of f1")
    return notes


def _notes_on_groups(data: DataSet, swarm: SwarmSettings) -> list[str]:
    """Notes on groups of the data that are not the nodes'."""
    if data.groups is None:
        return []
    if swarm.split == "group":
        groups = len(np.unique(data.groups))
        each = f"{groups} groups on {swarm.nodes} nodes: a node has the rows of several, swarm.nodes = {groups} of one"
        return [each] * (groups > swarm.nodes)
    return ["the groups of the data change nothing: swarm.split = 'group' gives each node the rows of one"]


# What a run folder has in place of a source that was a Python object.
_IN_MEMORY = "in memory: "
# What only nodes with peers have.
_PEERS_ONLY = ("swarm.topology", "swarm.slow", "link.", "medium.", "gossip.", "exchange.")


def _notes_on_useless(experiment: Experiment, settings: dict[str, RunSettings]) -> list[str]:
    """Notes on settings that change nothing in any of the systems."""
    tables = {key: table for key, table in experiment.given().items() if isinstance(table, dict)}
    given = [f"{key}.{name}" for key, table in sorted(tables.items()) for name in sorted(table)]
    notes = []
    if all(chosen.swarm.centralised for chosen in settings.values()):
        notes += [
            f"{key} does nothing: one node has the samples of all" for key in given if key.startswith(_PEERS_ONLY)
        ]
    elif all(chosen.exchange.kind == "server" or chosen.swarm.centralised for chosen in settings.values()):
        notes += ["swarm.topology does nothing: clients know the server alone"] * ("swarm.topology" in given)
    if all(chosen.medium.profile == "none" for chosen in settings.values()):
        notes += [f"{key} does nothing without medium.profile" for key in given if key.startswith("medium.")]
    return notes


def load_data(options: DataSettings, seed: int) -> DataSet:
    """The stream that the settings name; `ConfigError` or `DataError` if it does not exist or has one class."""
    if isinstance(options.source, str) and options.source.startswith(_IN_MEMORY):
        raise DataError(
            "data.source: the data of this experiment were Python objects, which its file does not keep; name a file "
            "with the same rows (--data FILE), or run it from Python"
        )
    data = stream.load(options.source, rows=options.limit, seed=seed, **options.reading())
    stream.require_classes(data)
    return data


def describe(prepared: Prepared) -> dict[str, Any]:
    """The experiment as plain values for TOML and JSON, with the settings that all presets share filled in."""
    experiment = prepared.experiment
    tables = experiment.given()
    if isinstance(tables.get("data"), dict):
        tables["data"] = {**tables["data"], "source": _described_source(prepared)}
    plain = _plain(tables)
    plain |= {"presets": list(experiment.presets), "seed": experiment.seed, "seeds": experiment.seeds}
    plain.pop("jobs", None)
    return plain


def resolved(prepared: Prepared) -> dict[str, Any]:
    """Every setting of each preset, defaults included."""
    return {name: _plain(settings.model_dump()) for name, settings in prepared.settings.items()}


def describe_data(prepared: Prepared) -> dict[str, Any]:
    """Name, shape, classes and fingerprint of the stream (of the first seed), the links, and the files of the swarm."""
    data = prepared.data[prepared.experiment.seed]
    return {
        "name": data.name,
        "rows": len(data),
        "features": list(data.features),
        "classes": [label if isinstance(label, bool | int | float | str) else str(label) for label in data.classes],
        "positive": _positive(prepared, data),
        "drift_points": list(data.drift_points),
        "fingerprint": data.fingerprint(),
        "in_memory": not isinstance(prepared.experiment.data.source, str | os.PathLike),
        "topology_fingerprint": _digest(repr(prepared.neighbours).encode()),
        "files": _files_of(prepared),
    }


def _files_of(prepared: Prepared) -> dict[str, str]:
    """Digests of the files that a swarm's settings name, and of a user's own code in any system."""
    named = files_named(prepared.experiment.given().get("swarm", {}))
    found = {key: _digest(path.read_bytes()) for key, path in named.items()}
    for settings in prepared.settings.values():
        found |= {key: _digest(repr(code).encode()) for key, code in own_code(settings, script=True).items()}
    return found


def own_code(settings: RunSettings, *, script: bool = False) -> dict[str, list[tuple[str, bytes]]]:
    """The files of a user's own code, by the setting that names the class (`own.CODE_SETTINGS`): names and contents.

    Parameters
    ----------
    settings : RunSettings
    script : bool
        Whether a class may stand in a script or notebook; it is left out then.

    Raises
    ------
    ConfigError
        A class is not found, or stands in a script.
    """
    found = {}
    for key in CODE_SETTINGS:
        path: Any = settings
        for name in key.split("."):
            path = getattr(path, name, "")
        if ":" in path and not (script and is_script(path)):
            found[key] = files_behind(key, path)
    return {key: [(file.name, file.read_bytes()) for file in files] for key, files in found.items()}


def require_same(recorded: Mapping[str, Any], prepared: Prepared) -> None:
    """`DataError` if data, links or files are not those of a run with these ``recorded`` data (`describe_data`)."""
    now = describe_data(prepared)
    files = recorded.get("files", {})
    changed = [key for key in now["files"] if files.get(key, now["files"][key]) != now["files"][key]]
    differing = [key if "." in key else f"swarm.{key}" for key in changed]
    if recorded["topology_fingerprint"] != now["topology_fingerprint"] and "swarm.topology" not in differing:
        differing.append("swarm.topology")
    if recorded["fingerprint"] != now["fingerprint"]:
        raise DataError(f"the data set '{now['name']}' is not the one it was made with")
    if differing:
        raise DataError(f"what {' and '.join(differing)} names is not what it was made with")


def _positive(prepared: Prepared, data: DataSet) -> str | None:
    """The text of the class that F1 is of; None with more than two classes, where F1 is an average over them."""
    if len(data.classes) != 2:
        return None
    return str(data.classes[data.positive_code(prepared.experiment.data.positive)])


def _notes_on_scale(data: DataSet) -> list[str]:
    """Notes on features whose range dominates the distances of XuILVQ, which does not scale features."""
    spans = np.ptp(data.x, axis=0)
    varying = spans[spans > 0]
    if len(varying) < 2 or varying.max() < SPAN_RATIO * np.median(varying):
        return []
    widest, ratio = data.features[int(np.argmax(spans))], varying.max() / np.median(varying)
    return [
        f"XuILVQ measures raw features, and '{widest}' spans {spans.max():g}, {ratio:,.0f} times the median feature: "
        "scale it, or leave it out"
    ]


def _notes_on_offsets(data: DataSet) -> list[str]:
    """Notes on features that vary too little beside their mean for HedgedLVQ to see it."""
    there = ~np.isnan(data.x)
    n = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, data.x, 0.0).sum(axis=0) / n
    variance = (np.where(there, data.x - mean, 0.0) ** 2).sum(axis=0) / n
    hidden = np.flatnonzero((variance > 0) & (variance <= VARIANCE_FRACTION_MIN * mean**2 + VARIANCE_MIN))
    if not len(hidden):
        return []
    names = listed([data.features[k] for k in hidden.tolist()])
    return [f"HedgedLVQ takes {names} for constant: spread below 1e-7 of the mean; subtract the mean, or scale it"]


def _described_source(prepared: Prepared) -> str:
    """The source of the data as text: a name, an absolute path, or "in memory"."""
    source = prepared.experiment.data.source
    if isinstance(source, os.PathLike) or (isinstance(source, str) and is_file_name(source)):
        return os.path.abspath(source)  # Can be run from any folder.
    return source if isinstance(source, str) else f"{_IN_MEMORY}{prepared.data[prepared.experiment.seed].name}"


def _plain(tables: dict[str, Any]) -> dict[str, Any]:
    """The tables without None, which TOML does not have, and with absolute paths."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): cleaned(item) for key, item in value.items() if item is not None}
        if isinstance(value, list | tuple):
            return [cleaned(item) for item in value]
        return value

    if swarm := tables.get("swarm"):
        tables = {**tables, "swarm": {**swarm, **with_absolute_paths(swarm)}}
    plain: dict[str, Any] = cleaned(tables)
    return plain


def files_named(swarm: Mapping[str, Any]) -> dict[str, Path]:
    """The settings of a swarm that name a file (of links, devices, or the node of each row), with its absolute path.

    Examples
    --------
    >>> files_named({"topology": "ring", "split": "file:/data/nodes.txt"})
    {'split': PosixPath('/data/nodes.txt')}
    """
    named = {key: swarm[key] for key in ("topology", "devices") if swarm.get(key)}
    if not topology.is_file_name(named.get("topology", "")):
        named.pop("topology", None)
    if "split" in swarm and (path := stream.parse_split(swarm["split"]).path):
        named["split"] = path
    return {key: Path(os.path.abspath(path)) for key, path in named.items()}


def with_absolute_paths(swarm: Mapping[str, Any]) -> dict[str, str]:
    """The settings of a swarm that name a file, such that they name it from any folder."""
    found = files_named(swarm)
    texts = {key: str(path) for key, path in found.items()}
    if "split" in found:
        texts["split"] = str(replace(stream.parse_split(swarm["split"]), path=found["split"]))
    return texts


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _listed(nodes: list[int]) -> str:
    shown = f"node{'s' if len(nodes) > 1 else ''} " + ", ".join(map(str, nodes[:10]))
    return shown if len(nodes) <= 10 else f"{shown} and {len(nodes) - 10} more"
