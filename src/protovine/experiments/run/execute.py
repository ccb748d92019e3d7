"""Execute one simulated run: settings, data and seed become metrics, curves and a trace file."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from protovine import metrics
from protovine.experiments.define.build import Built, build
from protovine.experiments.define.config import RunSettings
from protovine.experiments.run.ages import expected_ages
from protovine.experiments.run.judge import judge
from protovine.experiments.run.result import Run
from protovine.experiments.run.shards import simulate_shards
from protovine.experiments.run.trace import Recorder, RunDescription, trace_name
from protovine.records import Arrived, Evaluated, Missed, Predicted, Sized, new_trace
from protovine.sim import Outcome, Simulator
from protovine.sim.shards import can_be_sharded
from protovine.stream import UNLABELLED, DataSet
from protovine.system.settings import XuILVQSettings

# Swarms of fewer nodes have too little to do between two messages for more than one process.
SHARDED_FROM = 200
# A byte for each record says whose it is.
SHARDS_MAX = 200
# Nodes whose state is measured at the end of a run, at most.
SIZED_MAX = 100
# After how many new objects the garbage collector searches the new ones, and after how many such searches older ones.
_RARELY = (50_000, 20, 100)


def execute(
    settings: RunSettings,
    preset: str,
    seed: int,
    data: DataSet,
    trace_folder: Path | None = None,
    progress: Callable[[int], None] | None = None,
    shards: int = 1,
    stopping: Callable[[], bool] = lambda: False,
) -> Run:
    """Run one preset with one seed; with a folder, write the trace file there, of up to ``swarm.trace_nodes`` nodes.

    A large swarm is simulated in up to ``shards`` processes; the result is the same. Once ``stopping`` is true the run
    ends, and is judged by what happened until then.

    Raises
    ------
    ConfigError, DataError
        Settings and data do not fit together. Nothing was run.
    InvariantError
        The simulator caught a bug.
    KeyboardInterrupt
        The run was stopped before the first sample came.
    """
    built = build(settings, data, seed)
    run = describe_run(settings, preset, seed, data, built)
    shards = min(shards, SHARDS_MAX) if _is_sharded(settings, built) else 1
    if trace_folder is None:
        recorder, wall_s = simulate(settings, data, built, progress, shards=shards, stopping=stopping)
    else:
        part = run.of_part(settings.swarm.trace_nodes)
        with new_trace(trace_folder / trace_name(preset, seed), part.header()) as line:
            recorder, wall_s = simulate(settings, data, built, progress, Recorder(line, part.covered), shards, stopping)
    expected = expected_ages(settings, run.neighbours)
    judged = judge(run, recorder.columns, expected=expected, wall_s=wall_s, trace_hash=recorder.trace_hash)
    arrived = sum(len(recorder.columns.of(kind)["at_ns"]) for kind in (Arrived, Missed))
    return replace(judged, stopped=stopping() and arrived < sum(map(len, built.scenario.at_ns)))


def _is_sharded(settings: RunSettings, built: Built) -> bool:
    """Whether a run is worth several processes, and can be: River's models do not leave their process."""
    large = len(built.neighbours) >= SHARDED_FROM and hasattr(os, "fork")
    return large and can_be_sharded(built.scenario) and settings.learner.kind != "river"


def describe_run(settings: RunSettings, preset: str, seed: int, data: DataSet, built: Built) -> RunDescription:
    """The description of a built run, for judging it."""
    return RunDescription(
        preset=preset,
        seed=seed,
        classes=tuple(str(label) for label in data.classes),
        neighbours=built.neighbours,
        honest=built.honest,
        positive=built.positive,
        shares=settings.gossip.share_probability > 0,
        drift_points_s=built.drift_points_s,
        watches_drift=settings.drift.detector != "none",
        drift_nodes_s=built.drift_nodes_s if settings.drift.detector != "none" else [],
        streams=settings.swarm.nodes - len(built.neighbours) + len(built.honest),
        medium=settings.medium.profile != "none",
        partners=settings.partners if settings.partners < max(map(len, built.neighbours), default=0) else 0,
    )


def simulate(
    settings: RunSettings,
    data: DataSet,
    built: Built,
    progress: Callable[[int], None] | None = None,
    recorder: Recorder | None = None,
    shards: int = 1,
    stopping: Callable[[], bool] = lambda: False,
) -> tuple[Recorder, float]:
    """Simulate a built run in ``shards`` processes; return the recorder of all records, and wall seconds."""
    recorder = recorder or Recorder()
    if isinstance(settings.learner, XuILVQSettings) and settings.learner.size_max:
        import sklearn.cluster  # noqa: F401  Loads the threads that are limited below.
    # Clustering makes many small calls, in which threads only wait for each other. Nodes and records pile up without
    # cycles: the garbage collector need not search what exists already, nor the rest as often as usual.
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_RARELY)
    try:
        with threadpool_limits(1):
            started = time.perf_counter()
            if shards > 1:
                count = progress or (lambda samples: None)
                last = partial(last_records, settings=settings, data=data, built=built)
                simulate_shards(built, shards, recorder, count, stopping, last)
            else:
                outcome = Simulator(built.scenario, built.make_node, recorder.add, progress).run(stopping)
            wall_s = time.perf_counter() - started
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    if shards == 1:
        for record in last_records(outcome, settings, data, built):
            recorder.add(record)
    recorder.flush()
    if stopping() and not len(recorder.columns.of(Predicted)["at_ns"]):
        raise KeyboardInterrupt  # There is nothing to judge.
    return recorder, wall_s


def last_records(outcome: Outcome, settings: RunSettings, data: DataSet, built: Built) -> Iterator[Sized | Evaluated]:
    """What is measured of each honest node that is up at the end of a run.

    The size of its state, of up to `SIZED_MAX` nodes, and predictions of its model on the held-out rows. River's
    classifiers say no size.
    """
    rows = built.holdout_rows[data.y[built.holdout_rows] != UNLABELLED]
    x, truth = np.ascontiguousarray(data.x[rows]), data.y[rows]
    step = -(-len(built.honest) // SIZED_MAX)
    for place, number in enumerate(built.honest):
        node = outcome.nodes[number]
        if node is None:
            continue
        if place % step == 0 and settings.learner.kind != "river":
            yield Sized(outcome.virtual_ns, number, len(node.snapshot()))
        if len(rows) and len(node.learner):
            counts = metrics.confusion(truth, node.learner.predict_balanced(x), len(data.classes))
            true, column = np.nonzero(counts)
            predicted = np.where(column < len(data.classes), column, metrics.NO_MODEL)
            cells = zip(true.tolist(), predicted.tolist(), counts[true, column].tolist(), strict=True)
            yield Evaluated(outcome.virtual_ns, number, tuple(cells))
