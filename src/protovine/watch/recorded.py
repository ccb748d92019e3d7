"""A recorded run: its traces as pictures over time."""

from __future__ import annotations

import threading
from bisect import bisect_right
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError, DataError, ProtovineError
from protovine.experiments.define.config import Experiment, RunSettings, read_toml
from protovine.experiments.define.prepare import Prepared, prepare, require_same
from protovine.experiments.report.text import counted
from protovine.experiments.run.folder import read_result, trace_path
from protovine.experiments.run.lockstep import Lockstep
from protovine.experiments.run.trace import RunDescription
from protovine.records import SECOND_NS, AnyRecord, read_trace
from protovine.system import warm
from protovine.watch.board import Board, Facts
from protovine.watch.curves import POINTS
from protovine.watch.describe import system_facts
from protovine.watch.inside import Projection, inside_of
from protovine.watch.source import curves_of
from protovine.watch.tuning import tuning_at

# At how many times pictures of the inside of nodes are kept, and for runs of how many nodes at most.
_INSIDES, _INSIDE_NODES_MAX = 60, 64
_NOT_AGAIN = "A trace has no prototypes, and the run cannot be computed again"


class Recorded:
    """The runs of one seed in a folder that ``protovine run`` made.

    Parameters
    ----------
    path : Path
    seed : int, optional
        The first recorded one by default.

    Raises
    ------
    DataError
        It is no run folder, or has no trace of that seed.
    """

    def __init__(self, path: Path, seed: int | None = None) -> None:
        self.path, self.result = path, read_result(path)
        runs = self.result.get("runs", [])
        seeds = sorted({run["seed"] for run in runs})
        if not seeds:
            raise DataError(f"{path} has no finished run to watch")
        self.seed = seeds[0] if seed is None else seed
        if self.seed not in seeds:
            raise DataError(f"{path} has no run with seed {self.seed} (it has {', '.join(map(str, seeds))})")
        self.presets = [run["preset"] for run in runs if run["seed"] == self.seed]
        self._settings = self._read_settings()
        self._headers: dict[str, RunDescription] = {}
        for preset in self.presets:
            where = trace_path(path, preset, self.seed)
            header, _ = read_trace(where)
            self._headers[preset] = RunDescription.read(header, where)
        self.boards: dict[str, Board] = {}
        self.frames: dict[str, list[dict[str, Any]]] = {}
        self.end_s: float | None = None
        self._error: str | None = None
        self._insides: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self._inside_error: str | None = None
        self._thread = threading.Thread(target=self._read, name="protovine-recorded", daemon=True)
        self._again: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin to read the traces."""
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        for thread in (self._thread, self._again):
            if thread is not None:
                thread.join()

    def about(self) -> dict[str, Any]:
        """The run and its systems."""
        data, nodes = self.result["data"], len(self._headers[self.presets[0]].neighbours)
        return {
            "mode": "recorded",
            "ready": len(self.frames) == len(self.presets),
            "title": f"{data['name']}, {counted(nodes, 'node')}, seed {self.seed}",
            "classes": [str(label) for label in data["classes"]],
            "names": [],
            "systems": [
                system_facts(name, self._settings.get(name), self._headers[name].neighbours) for name in self.presets
            ],
            "end": self.end_s,
            "frames": POINTS,
            "controls": [],
            "drifts": {},
            "attacks": [],
        }

    def status(self) -> dict[str, Any]:
        """Whether the traces are read."""
        state = "failed" if self._error else "recorded" if len(self.frames) == len(self.presets) else "starting"
        return {"state": state, "speed": 0.0, "error": self._error, "by_hand": []}

    def frame(self, system: str, at: int | None = None) -> dict[str, Any] | None:
        """Picture number ``at`` (the last by default); None while the traces are read."""
        frames = self.frames.get(system)
        if not frames:
            return None
        number = min(len(frames) - 1, max(0, len(frames) - 1 if at is None else at))
        made = list(self.frames.items())  # The thread that reads may add one.
        others = {name: each[number]["recent"] for name, each in made if name != system}
        return {**frames[number], "others": others}

    def curves(self, system: str, since: tuple[int, int]) -> dict[str, Any]:
        """All curves."""
        return curves_of(self.boards.copy(), system, since)

    def inside(self, system: str, node: int, at: int | None = None) -> dict[str, Any]:
        """The prototypes of a node at picture ``at``: a trace has none, so the run is computed again."""
        with self._lock:  # Two pages may ask at once.
            if self._again is None:
                self._again = threading.Thread(target=self._compute_again, name="protovine-again", daemon=True)
                self._again.start()
        if self._inside_error:
            return {"error": self._inside_error}
        if system not in self.frames or not 0 <= node < len(self._headers[system].neighbours):
            raise ConfigError(f"there is no node {node} of a system '{system}'")
        found = self._insides.get((system, node), [])
        end_s = self.end_s or 0.0
        wanted_s = end_s * (POINTS if at is None else at + 1) / POINTS
        place = bisect_right([each["t"] for each in found], wanted_s + 1e-9) - 1
        if place < 0 or (len(found) < _INSIDES and found[-1]["t"] < wanted_s - end_s / _INSIDES):
            return {"node": node, "waits": True}
        return found[place]

    def act(self, command: dict[str, Any]) -> None:
        """Nothing can be done to the past."""
        raise ConfigError("a recorded run cannot be changed: `protovine run --watch` can")

    def _read_settings(self) -> dict[str, RunSettings]:
        try:
            experiment = Experiment(**read_toml(self.path / "experiment.toml"))
            return {name: experiment.settings(name) for name in experiment.presets}
        except (ConfigError, DataError):
            return {}

    def _read(self) -> None:
        try:
            records: dict[str, list[AnyRecord]] = {}
            for preset in self.presets:
                _, lines = read_trace(trace_path(self.path, preset, self.seed))
                records[preset] = []
                for record in lines:
                    if self._stop.is_set():
                        return
                    records[preset].append(record)
            ends = {name: max((record.at_ns for record in made), default=0) for name, made in records.items()}
            self.end_s = max(ends.values()) / SECOND_NS
            for preset, made in records.items():
                self._fold(preset, made, ends[preset])
        except ProtovineError as error:
            self._error = str(error)
        except Exception as error:  # As where the trace is of another run.
            self._error = f"{type(error).__name__}: {error}"
            raise

    def _fold(self, preset: str, made: list[AnyRecord], end_ns: int) -> None:
        run, settings = self._headers[preset], self._settings.get(preset)
        nodes = run.judged or run.honest
        board = Board(
            Facts(
                run.neighbours, len(run.classes), list(nodes), run.positive, run.drift_points_s, self.end_s, run.medium
            )
        )
        self.boards[preset] = board
        frames, at = [], 0
        assert self.end_s is not None
        for point in range(1, POINTS + 1):
            until_ns = round(self.end_s * SECOND_NS * point / POINTS) if point < POINTS else end_ns
            while at < len(made) and made[at].at_ns <= until_ns:
                board.add(made[at])
                at += 1
            if self._stop.is_set():
                return
            board.at(min(until_ns, end_ns))
            tuning = tuning_at(settings, run.neighbours, settings.faults if settings else (), board.now_s)
            frames.append({**board.frame(), "tuning": tuning})
        # The newest events of all: a picture keeps only those until its own time.
        self.frames[preset] = frames

    def _compute_again(self) -> None:
        try:
            self._insides_of(self._prepared_again())
        except ProtovineError as error:
            self._inside_error = f"{_NOT_AGAIN}: {error}"
        except Exception as error:
            self._inside_error = f"{_NOT_AGAIN}: {type(error).__name__}: {error}"
            raise

    def _prepared_again(self) -> Prepared:
        data = self.result["data"]
        if data.get("in_memory"):
            raise DataError("its data were Python objects")
        tables = read_toml(self.path / "experiment.toml")
        prepared = prepare(Experiment(**{**tables, "presets": self.presets, "seed": self.seed, "seeds": 1}))
        if any(run.live for run in self._headers.values()):
            raise DataError("real processes made it")
        require_same(data, prepared)
        if len(prepared.neighbours) > _INSIDE_NODES_MAX:
            raise DataError(f"it has more than {_INSIDE_NODES_MAX} nodes")
        return prepared

    def _insides_of(self, prepared: Prepared) -> None:
        warm(prepared.settings.values())
        lockstep = Lockstep(prepared)
        projection = Projection.of(lockstep.data)
        for point in range(1, _INSIDES + 1):
            at_s = lockstep.end_s * point / _INSIDES
            while lockstep.now_ns < round(at_s * SECOND_NS):
                if self._stop.is_set():
                    return
                lockstep.advance(min(lockstep.now_ns + SECOND_NS, round(at_s * SECOND_NS)))
            for preset in self.presets:
                nodes = lockstep.nodes(preset)
                for number in range(len(nodes)):
                    made = {**inside_of(nodes, number, projection), "t": at_s}
                    self._insides.setdefault((preset, number), []).append(made)
