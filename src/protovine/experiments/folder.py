"""A run folder: the experiment, what it was resolved to, traces, result and report; and running it again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from protovine.errors import ConfigError, DataError
from protovine.experiments.config import Experiment, read_toml
from protovine.experiments.execute import execute, trace_name
from protovine.experiments.result import Result
from protovine.experiments.runner import Prepared, describe, describe_data, prepare, resolved, warm

FORMAT = 1


@dataclass(frozen=True)
class RunFolder:
    """``experiment.toml`` (can be run again), ``resolved.toml``, ``traces/``, ``result.json`` and ``report.html``."""

    path: Path

    @property
    def traces(self) -> Path:
        """Where runs put their traces."""
        return self.path / "traces"

    @classmethod
    def create(cls, path: Path, prepared: Prepared) -> RunFolder:
        """A new folder with the experiment in it; `ConfigError` if there are files already or it cannot be written."""
        folder = cls(path)
        try:
            if path.is_dir() and any(path.iterdir()):
                raise ConfigError(f"the output folder {path} is not empty; name a new one")
            folder.traces.mkdir(parents=True)
            _write(path / "experiment.toml", tomli_w.dumps(describe(prepared)))
            _write(path / "resolved.toml", tomli_w.dumps(resolved(prepared)))
            _write_json(path / "result.json", {"format": FORMAT, "status": "running", "data": describe_data(prepared)})
        except OSError as error:
            raise ConfigError(f"cannot write to the output folder {path}: {error.strerror}") from None
        return folder

    def finish(self, result: Result) -> None:
        """Write the result and the report."""
        from protovine.experiments.report import render_report

        _write(self.path / "report.html", render_report(result))
        _write_json(self.path / "result.json", {"format": FORMAT, **result.to_json()})


@dataclass(frozen=True)
class Replayed:
    """A run done again: the recorded trace hash and the new one."""

    preset: str
    seed: int
    recorded: str | None
    again: str

    @property
    def same(self) -> bool:
        """Whether every decision and every byte came out as recorded."""
        return self.recorded == self.again


def replay(
    path: Path, presets: list[str], seeds: list[int], progress: Callable[[int, int], None] | None = None
) -> Iterator[Replayed]:
    """Do the runs of a folder again, or only those of some presets and seeds, and compare the traces.

    Raises
    ------
    ConfigError, DataError
        The folder is no run folder, its data is not at hand or has changed, or a preset or seed is not in it.
    InvariantError
        The bug that stopped the recorded run stops this one too.
    """
    result = read_result(path)
    try:
        prepared = prepare(Experiment(**read_toml(path / "experiment.toml")))
    except DataError as error:
        raise DataError(f"{path} cannot be replayed: {error}") from None
    recorded_data, data = result["data"], describe_data(prepared)
    if recorded_data["fingerprint"] != data["fingerprint"]:
        raise DataError(f"{path} cannot be replayed: the data set '{data['name']}' is not the one it was made with")
    for preset in presets:
        if preset not in prepared.settings:
            raise ConfigError(f"{path} has no preset '{preset}' (it has {', '.join(prepared.settings)})")
    for seed in seeds:
        if seed not in prepared.data:
            raise ConfigError(f"{path} has no seed {seed} (it has {', '.join(map(str, prepared.seeds))})")
    hashes = {(run["preset"], run["seed"]): run["trace_hash"] for run in result.get("runs", [])}
    tasks = [
        (name, seed)
        for seed in prepared.seeds
        for name in prepared.settings
        if (not presets or name in presets) and (not seeds or seed in seeds)
    ]
    total, done = sum(len(prepared.data[seed]) for _, seed in tasks), 0
    warm()

    def count(samples: int) -> None:
        nonlocal done
        done += samples
        if progress:
            progress(done, total)

    for name, seed in tasks:
        made = execute(prepared.settings[name], name, seed, prepared.data[seed], None, count)
        yield Replayed(name, seed, hashes.get((name, seed)), made.trace_hash)


def read_result(path: Path) -> dict[str, Any]:
    """The result of a run folder; `DataError` if there is none."""
    try:
        result = json.loads((path / "result.json").read_text(encoding="utf-8"))
        if result["format"] != FORMAT or "data" not in result:
            raise KeyError("format")
    except OSError as error:
        raise DataError(f"{path} is no run folder: cannot read result.json: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path} is no run folder of format {FORMAT}") from None
    return dict(result)


def trace_path(path: Path, preset: str, seed: int) -> Path:
    """Where the trace of a run is."""
    return RunFolder(path).traces / trace_name(preset, seed)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    _write(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
