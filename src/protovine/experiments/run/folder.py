"""A run folder: the experiment, its resolved settings, traces, result and report."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from protovine.errors import ConfigError, DataError
from protovine.experiments.define.prepare import Prepared, describe, describe_data, resolved
from protovine.experiments.run.result import FORMAT, Result
from protovine.experiments.run.trace import trace_name


@dataclass(frozen=True)
class RunFolder:
    """``experiment.toml`` (can be run again), ``resolved.toml``, ``traces/``, ``result.json`` and ``report.html``."""

    path: Path

    @property
    def traces(self) -> Path:
        """The folder of the traces."""
        return self.path / "traces"

    @classmethod
    def create(cls, path: Path, prepared: Prepared) -> RunFolder:
        """A new folder with the experiment in it; `ConfigError` if it has files already or cannot be written."""
        folder = cls(path)
        try:
            if path.is_dir() and any(path.iterdir()):
                raise ConfigError(f"the output folder {path} is not empty; name a new one")
            folder.describe(prepared)
            _write_json(path / "result.json", {"format": FORMAT, "status": "running", "data": describe_data(prepared)})
        except OSError as error:
            raise ConfigError(f"cannot write to the output folder {path}: {error.strerror}") from None
        return folder

    def describe(self, prepared: Prepared) -> None:
        """Write the experiment and its resolved settings, again if somebody interfered with the run."""
        try:
            texts = tomli_w.dumps(describe(prepared)), tomli_w.dumps(resolved(prepared))
        except TypeError as error:
            raise ConfigError(f"no folder can hold this experiment, only Python can: {error}") from None
        self.traces.mkdir(parents=True, exist_ok=True)
        for name, text in zip(("experiment.toml", "resolved.toml"), texts, strict=True):
            _write(self.path / name, text)

    def replay_command(self, preset: str, seed: int) -> str:
        """The command that replays one run."""
        return f"protovine replay {shlex.quote(str(self.path))} --preset {preset} --seed {seed}"

    def finish(self, result: Result, render: Callable[[Result], str]) -> Result:
        """Write the result, then its report as an HTML page: what was measured is kept if the page has a bug.

        Return the result, which has an error if it could not be written, as on a full disk.
        """
        try:
            _write_json(self.path / "result.json", result.to_json())
            _write(self.path / "report.html", render(result))
        except OSError as error:
            problem = f"cannot write to the output folder {self.path}: {error.strerror}"
            return replace(result, status="failed", error=result.error or problem)
        return result


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
    """The trace file of a run."""
    return RunFolder(path).traces / trace_name(preset, seed)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    _write(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
