"""Replay a recorded experiment and compare every decision and byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from protovine.errors import ConfigError, DataError
from protovine.experiments.define.config import Experiment, read_toml
from protovine.experiments.define.prepare import prepare, require_same
from protovine.experiments.run.execute import execute
from protovine.experiments.run.folder import read_result
from protovine.system import warm


@dataclass(frozen=True)
class Replayed:
    """A replayed run: the recorded trace hash and the new one."""

    preset: str
    seed: int
    recorded: str | None
    again: str

    @property
    def same(self) -> bool:
        """Whether every decision and every byte is as recorded."""
        return self.recorded == self.again


def replay(
    path: Path, presets: list[str], seeds: list[int], progress: Callable[[int, int], None] | None = None
) -> Iterator[Replayed]:
    """Repeat the recorded runs of a folder, all or those of some presets and seeds, and compare the traces.

    Raises
    ------
    ConfigError, DataError
        The folder is no run folder or of a live run, its data is missing or has changed, or it has no finished run of a
        preset or seed.
    InvariantError
        The bug that stopped the recorded run stopped this one too.
    """
    result = read_result(path)
    if result.get("experiment", {}).get("live"):
        raise DataError(
            f"{path} is a live run, of real processes in real time, and cannot be replayed; a tape of each node can: "
            "node.tape and protovine.tape.play"
        )
    if result["data"].get("in_memory"):
        raise DataError(f"{path} cannot be replayed: its data were Python objects, which a run folder does not keep")
    try:
        prepared = prepare(Experiment(**read_toml(path / "experiment.toml")))
        require_same(result["data"], prepared)
    except DataError as error:
        raise DataError(f"{path} cannot be replayed: {error}") from None
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
    stopped = {(run["preset"], run["seed"]) for run in result.get("runs", []) if run.get("stopped")}
    if stopped.intersection(tasks):
        raise ConfigError(f"{path} cannot be replayed: Ctrl-C stopped its run")
    # Only finished runs can be compared. The run that failed is replayed too, to show its error again.
    kept = [task for task in tasks if task in hashes or list(task) == result.get("failed")]
    if not kept:
        raise ConfigError(f"{path} has no finished run of these presets and seeds")
    tasks = kept
    total, done = sum(len(prepared.data[seed]) for _, seed in tasks), 0
    warm(prepared.settings[name] for name, _ in tasks)

    def count(samples: int) -> None:
        nonlocal done
        done += samples
        if progress:
            progress(done, total)

    for name, seed in tasks:
        made = execute(prepared.settings[name], name, seed, prepared.data[seed], None, count)
        yield Replayed(name, seed, hashes.get((name, seed)), made.trace_hash)
