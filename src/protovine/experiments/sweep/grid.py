"""A sweep: an experiment over grids and lists of settings. A hash of its settings and data names each run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from protovine import stream
from protovine.errors import ConfigError, DataError, suggest
from protovine.experiments.define.build import build
from protovine.experiments.define.config import DataSettings, Experiment, RunSettings
from protovine.experiments.define.prepare import (
    files_named,
    load_data,
    notes_on_data,
    notes_on_system,
    own_code,
    with_absolute_paths,
)
from protovine.experiments.sweep.values import Whole, placed, settled
from protovine.stream import DataSet
from protovine.stream.files import is_file_name
from protovine.system import kinds, read_tables, unknown_key

# Version of the content that names of runs are hashed from.
FORMAT = 1
# A larger sweep is taken for a typing error.
RUNS_MAX = 1_000_000
# Packages that compute numbers, draw a topology, or are a system's learner. Python and pandas only load data, and the
# fingerprint of the data is part of a run's name.
COUNTED = ("protovine", "numpy", "numba", "scipy", "scikit-learn", "river", "networkx")
# Parts of protovine on which no number of a simulated run depends: import contracts keep runs free of them.
_APART = ("cli/", "net/", "watch/", "experiments/live/", "experiments/report/")
# Keys that a sweep file reads itself.
_OWN = ("presets", "seed", "seeds", "grid", "list")
# Keys of an experiment that cannot vary, and what to use instead.
_FIXED = {"seed": "seeds are repeats: set seed and seeds", "seeds": "set seeds beside it", "jobs": "use --jobs"}


@dataclass(frozen=True)
class Point:
    """One combination of values: ``varied`` has the keys that vary, ``settings`` all settings, ``data`` the stream."""

    number: int
    varied: dict[str, Any]
    settings: RunSettings
    data: DataSettings

    def __str__(self) -> str:
        return f"point {self.number} ({', '.join(f'{key} = {plain(value)}' for key, value in self.varied.items())})"


@dataclass(frozen=True)
class Sweep:
    """An experiment over settings: every row of ``rows`` with every combination of ``grid``, each with every seed.

    Its file is an experiment file with the tables ``grid`` and ``list`` in addition. Their keys are those of the
    experiment, such as ``gossip.share_probability``, and ``preset``.

    Raises
    ------
    ConfigError
        An unknown key or a bad value, in any combination; the message names it.

    Examples
    --------
    >>> grid = {"gossip.share_probability": [0, 0.5, 1], "gossip.fanout": [1, 4]}
    >>> sweep = Sweep.of({"presets": ["paper-base"], "grid": grid, "seeds": 5})
    >>> len(sweep.points), sweep.seeds[-1], sweep.points[1].varied
    (6, 4, {'preset': 'paper-base', 'gossip.share_probability': 0, 'gossip.fanout': 4})
    >>> Sweep.of({"grid": {"gossip.fanout": [1, 0]}})
    Traceback (most recent call last):
    protovine.errors.ConfigError: point 2 (preset = default, gossip.fanout = 0): gossip.fanout must be at least 1, got 0
    """

    base: dict[str, Any]
    grid: dict[str, tuple[Any, ...]]
    rows: tuple[dict[str, Any], ...]
    seeds: tuple[int, ...]
    points: tuple[Point, ...] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Sweep:
        """The sweep that a TOML file describes; `ConfigError` if it cannot be read or has a mistake."""
        return cls.of(read_tables(path, "sweep"))

    @classmethod
    def of(cls, tables: dict[str, Any]) -> Sweep:
        """The sweep that tables describe; a learner in them may be a classifier's name, its class, or an object."""
        tables = settled(tables)
        base: dict[str, Any] = {key: value for key, value in tables.items() if key not in _OWN}
        if "data" in base and not isinstance(base["data"], dict):
            base["data"] = {"source": base["data"]}
        strange = next((key for key in base if key not in Experiment.model_fields), None)
        if strange is not None:
            raise ConfigError(unknown_key(strange, [*Experiment.model_fields, *_OWN], Experiment))
        # This checks the settings that do not vary, and the seeds.
        own: dict[str, Any] = {key: tables[key] for key in ("seed", "seeds", "presets") if key in tables}
        experiment = Experiment(**{**base, **own})
        grid: dict[str, tuple[Any, ...]] = {
            key: _values(key, value) for key, value in _flat(_table("grid", tables.get("grid", {})))
        }
        rows = tuple(_rows(tables.get("list", [])))
        for key in [*grid, *(key for row in rows for key in row)]:
            _check_key(key)
        for row in rows:
            twice = [key for key in row if key in grid]
            if twice:
                raise ConfigError(f"{twice[0]} is in the grid and in the list; it can vary in only one of them")
        if "preset" not in grid and not any("preset" in row for row in rows):
            presets: dict[str, tuple[Any, ...]] = {"preset": experiment.presets}
            grid = presets | grid
        elif "presets" in tables:
            raise ConfigError("presets are given twice: name them in the grid or the list, or as presets")
        seeds = tuple(range(experiment.seed, experiment.seed + experiment.seeds))
        n = max(1, len(rows)) * len(seeds)
        for values in grid.values():
            n *= len(values)
        if n > RUNS_MAX:
            raise ConfigError(f"a sweep has at most {RUNS_MAX:,} runs, this one has {n:,}")
        return cls(base, grid, rows, seeds, tuple(_points(base, grid, rows)))

    @property
    def varied(self) -> list[str]:
        """The keys that name a point: the preset, those of the list, those of the grid."""
        return list(self.points[0].varied)

    def definition(self) -> dict[str, Any]:
        """The sweep as plain values for JSON."""
        rows = [{key: plain(value) for key, value in row.items()} for row in self.rows]
        grid = {key: [plain(value) for value in values] for key, values in self.grid.items()}
        return {"base": plain(self.base), "grid": grid, "list": rows, "seeds": list(self.seeds)}


@dataclass(frozen=True)
class Task:
    """One run; ``key`` is a hash of all that its numbers depend on.

    ``fingerprint`` is that of the rows, ``files`` that of the other files and own classes which the settings name.
    """

    key: str
    settings: RunSettings
    data: DataSettings
    seed: int
    fingerprint: str
    files: str
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep: ``tasks``, each once, and for every point and seed the key of its run.

    Points with the same resolved settings share runs: a preset without sharing is the same at every share probability.
    ``notes`` are what a reader of the results should know of the streams and, with the first seed, of the systems.
    """

    sweep: Sweep
    tasks: tuple[Task, ...]
    keys: dict[tuple[int, int], str]
    data: dict[str, dict[str, Any]]
    versions: dict[str, str]
    notes: tuple[str, ...] = ()


def plan(sweep: Sweep) -> Plan:
    """Load every stream, check that every point fits its stream, and name all runs.

    Tasks are ordered by seed, then by point, so that an interrupted sweep covers the whole grid.

    Raises
    ------
    ConfigError, DataError
        A point does not fit its stream; the message names the point.
    """
    for kept in (_of_all, _of_seed):  # A file may have changed since the last plan.
        kept.cache_clear()
    tasks: dict[str, Task] = {}
    keys: dict[tuple[int, int], str] = {}
    described: dict[str, dict[str, Any]] = {}
    versions = counted_versions()
    checked: set[str] = set()
    notes: dict[str, None] = {}
    # Each point's settings are written, and its files read, once for all seeds.
    contents = {point.number: _content(point) for point in sweep.points}
    files: dict[int, str] = {}
    for seed in sweep.seeds:
        for point in sweep.points:
            try:
                data = load(point.data, seed)
                fingerprint = fingerprint_of(point.data, seed)
                names = contents[point.number] + fingerprint + repr(files_named(point.settings.swarm.model_dump()))
                if names not in checked and seed == sweep.seeds[0]:
                    system = build(point.settings, data, seed)
                    checked.add(names)
                    notes |= dict.fromkeys(f"{data.name}: {note}" for note in notes_on_data(data, [point.settings]))
                    of_system = notes_on_system(point.settings, system, seed)
                    notes |= dict.fromkeys(f"{point}: {note}" for note in of_system)
                if point.number not in files:
                    files[point.number] = files_of(point.settings)
            except (ConfigError, DataError) as error:
                raise type(error)(f"{point}: {error}") from None
            label = json.dumps(plain(point.data.model_dump(exclude_defaults=True) | {"source": point.data.source}))
            if seed == sweep.seeds[0] and label not in described:
                described[label] = {"name": data.name, "rows": len(data), "classes": list(map(str, data.classes))}
            key = _key(contents[point.number], fingerprint, files[point.number], seed, versions)
            keys[point.number, seed] = key
            if key not in tasks:
                of_point = (fingerprint, files[point.number], tuple(versions.items()))
                tasks[key] = Task(key, point.settings, point.data, seed, *of_point)
    return Plan(sweep, tuple(tasks.values()), keys, described, versions, tuple(notes))


def counted_versions() -> dict[str, str]:
    """Versions of the packages that compute numbers, and a digest of protovine's code: part of a run's name."""
    return {name: version(name) for name in COUNTED} | {"protovine's code": code_digest(Path(__file__).parents[2])}


@cache
def code_digest(package: Path) -> str:
    """16 hexadecimal digits of the modules in the folder of protovine's package that a simulated run may execute."""
    found = {path.relative_to(package).as_posix(): path for path in package.rglob("*.py")}
    run = [(name, found[name].read_bytes()) for name in sorted(found) if not name.startswith(_APART)]
    return _digest(repr(run))[:16]


def load(data: DataSettings, seed: int) -> DataSet:
    """The stream of a run, loaded once per process and seed, and once for all seeds if it does not depend on them."""
    return _stream(data, seed)[0]


def fingerprint_of(data: DataSettings, seed: int) -> str:
    """32 hexadecimal digits of a stream's rows and points of drift."""
    return _stream(data, seed)[1]


def _stream(data: DataSettings, seed: int) -> tuple[DataSet, str]:
    """A stream with its fingerprint."""
    streams = _of_seed(seed) if stream.is_seeded(data.source) else _of_all()
    settings = data.model_dump_json()
    if settings not in streams:
        streams[settings] = _load(settings, seed)
    return streams[settings]


@cache
def _of_all() -> dict[str, tuple[DataSet, str]]:
    """The streams that are the same for all seeds, by their settings."""
    return {}


@lru_cache(maxsize=1)
def _of_seed(seed: int) -> dict[str, tuple[DataSet, str]]:
    """The other streams of the newest seed. Tasks are ordered by seed, so those of earlier ones are done."""
    return {}


def _load(settings: str, seed: int) -> tuple[DataSet, str]:
    options = DataSettings.model_validate_json(settings)
    data = load_data(options, seed)
    return data, _digest(f"{data.fingerprint()} {list(data.drift_points)}")


def plain(value: Any) -> Any:
    """A setting as a plain value for JSON."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _points(
    base: dict[str, Any], grid: dict[str, tuple[Any, ...]], rows: tuple[dict[str, Any], ...]
) -> Iterator[Point]:
    number = 0
    presets = [
        name for name in (*grid.get("preset", ()), *(row.get("preset") for row in rows)) if isinstance(name, str)
    ]
    # The same keys name every point, even if the rows of the list have different keys.
    listed = list(dict.fromkeys(key for row in rows for key in row))
    for row in rows or ({},):
        for values in product(*grid.values()):
            number += 1
            set_here = {**row, **dict(zip(grid, values, strict=True))}
            named = {key: set_here.get(key) for key in dict.fromkeys(["preset", *listed, *grid])}
            label = f"point {number} ({', '.join(f'{key} = {plain(value)}' for key, value in named.items())})"
            tables = placed(base, {key: value for key, value in set_here.items() if key != "preset"})
            preset = set_here.get("preset")
            if not isinstance(preset, str):
                raise ConfigError(f"{label}: preset must be a name, got {preset!r}")
            try:
                # An override applies to the presets of its kind, as in a comparison of all of them.
                experiment = Experiment(presets=tuple(dict.fromkeys((preset, *presets))), **tables)
            except ConfigError as error:
                raise ConfigError(f"{label}: {error}") from None
            source = experiment.data.source
            if not isinstance(source, str | os.PathLike):
                raise ConfigError(f"{label}: data.source must be a name or a file, got {type(source).__name__}")
            if isinstance(source, os.PathLike) or is_file_name(source):
                source = os.path.abspath(source)
            data = experiment.data.model_copy(update={"source": source})
            settings = experiment.settings(preset)
            swarm = settings.swarm.model_copy(update=with_absolute_paths(settings.swarm.model_dump()))
            yield Point(number, named, settings.model_copy(update={"swarm": swarm}), data)


def _content(point: Point) -> str:
    """Settings that numbers depend on, as canonical JSON. Fingerprints cover the data, how it is read, and files."""
    how_read = {"source", "label", "limit", "text", "missing"}
    elsewhere = {"trace_nodes", *files_named(point.settings.swarm.model_dump())}
    settings = point.settings.model_dump(mode="json", exclude={"data": how_read, "swarm": elsewhere})
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


def files_of(settings: RunSettings) -> str:
    """32 hexadecimal digits of the files that settings name beside the data, code among them; empty without any."""
    named: list[Any] = [(key, path.read_bytes()) for key, path in files_named(settings.swarm.model_dump()).items()]
    named += own_code(settings).items()
    return _digest(repr(named)) if named else ""


def _key(content: str, fingerprint: str, files: str, seed: int, versions: dict[str, str]) -> str:
    return _digest(json.dumps([FORMAT, content, fingerprint, files, seed, sorted(versions.items())]))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{name} must be a table, got {value!r}")
    return value


def _rows(value: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError(f"list must be tables ([[list]]), got {value!r}")
    for row in value:
        yield dict(_flat(row))


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values, whether the file has them quoted or as tables."""
    for key, value in table.items():
        if isinstance(value, dict) and value and not isinstance(value, Whole):
            yield from _flat(value, f"{prefix}{key}.")
        elif prefix == "" and key == "data":
            yield "data.source", value
        else:
            yield prefix + key, value


def _values(key: str, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list | tuple) or not values:
        raise ConfigError(f"grid.{key} must be a list of values, got {values!r}")
    for i, value in enumerate(values):
        if value in values[:i]:
            raise ConfigError(f"grid.{key} has {plain(value)!r} more than once")
    return tuple(values)


def _check_key(key: str) -> None:
    if key in _FIXED:
        raise ConfigError(f"{key} cannot vary; {_FIXED[key]}")
    sections = ["preset", *RunSettings.model_fields]
    section, _, name = key.partition(".")
    if section not in sections:
        hint = f"unknown key '{key}'{suggest(section, sections)}"
        raise ConfigError(hint if name else unknown_key(key, sections, Experiment))
    annotation: Any = DataSettings if section == "data" else None
    if annotation is None and section != "preset":
        annotation = RunSettings.model_fields[section].annotation
    models = kinds(annotation).values() or [annotation]
    fields = {field for model in models for field in getattr(model, "model_fields", ())}
    if not fields or section == "faults":
        if name:
            raise ConfigError(f"unknown key '{key}'; {section} has no keys of its own here")
    elif name and name.partition(".")[0] not in fields:
        raise ConfigError(unknown_key(key, fields, Experiment))
