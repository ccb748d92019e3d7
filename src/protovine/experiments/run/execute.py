"""One run: settings, data and seed in; metrics, curves and a trace file out."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from protovine import metrics
from protovine.age import measure_age
from protovine.experiments.define.build import SECOND_NS, Built, build
from protovine.experiments.define.config import Settings
from protovine.experiments.run.ages import RunAges, expected_ages
from protovine.experiments.run.result import Run, Series
from protovine.records import AnyRecord, Ended, Learned, Record, Sent, TraceHash, Trained, write_trace
from protovine.sim import Outcome, Simulator
from protovine.stream import DataSet

# Points of every curve over time.
GRID = 120


def trace_name(preset: str, seed: int) -> str:
    """File name of a run's trace."""
    return f"{preset}-seed{seed}.jsonl.gz"


def trace_header(preset: str, seed: int, data: DataSet, built: Built) -> dict[str, Any]:
    """What a trace file says of its run: who was there, who could address whom, and who did no harm."""
    return {
        "preset": preset,
        "seed": seed,
        "nodes": len(built.neighbours),
        "classes": [str(label) for label in data.classes],
        "neighbours": built.neighbours,
        "honest": built.honest,
    }


def execute(
    settings: Settings,
    preset: str,
    seed: int,
    data: DataSet,
    trace_folder: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Run:
    """Run one preset with one seed; the trace file appears whole at the end, if a folder is given.

    Raises
    ------
    ConfigError, DataError
        Settings and data do not fit together. Nothing was run.
    InvariantError
        The simulator caught a bug.
    """
    built = build(settings, data, seed)
    records: list[AnyRecord] = []
    trace_hash = TraceHash()

    def keep(record: Record) -> None:
        records.append(record)  # type: ignore[arg-type]

    if getattr(settings.learner, "size_max", 0):
        import sklearn.cluster  # noqa: F401  Loads the threads that are limited below.
    # Clustering is many small calls: threads would only wait for each other, the more so on a busy machine. And what is
    # there already need not be searched for garbage again and again while records pile up.
    gc.freeze()
    try:
        with threadpool_limits(1):
            started = time.perf_counter()
            outcome = Simulator(built.scenario, built.make_node, keep, progress).run()
            wall_s = time.perf_counter() - started
    finally:
        gc.unfreeze()
    for record in records:
        trace_hash.add(record)
    if trace_folder is not None:
        write_trace(trace_folder / trace_name(preset, seed), trace_header(preset, seed, data, built), records)
    return judge(settings, preset, seed, data, built, outcome, records, wall_s, trace_hash.hexdigest())


def judge(
    settings: Settings,
    preset: str,
    seed: int,
    data: DataSet,
    built: Built,
    outcome: Outcome,
    records: list[AnyRecord],
    wall_s: float,
    trace_hash: str,
) -> Run:
    """The metrics and curves of a run, from its records."""
    # Nodes that do harm are neither judged nor counted.
    records = records if len(built.honest) == len(outcome.nodes) else _of(records, built.honest)
    n = len(built.honest)
    virtual_s = outcome.virtual_ns / SECOND_NS
    made = [metrics.predictions(records, len(outcome.nodes), len(data.classes))[node] for node in built.honest]
    together = metrics.pooled(made)
    each = [metrics.scores(node, built.positive) for node in made]
    traffic = metrics.traffic(records)
    links = [[peer for peer in built.neighbours[node] if peer in built.honest] for node in built.honest]
    ages = measure_age(records, links, outcome.virtual_ns, GRID)
    expected = expected_ages(settings, built.neighbours)
    shares = settings.gossip.share_probability > 0
    age_of_node = ages.each.of_nodes(n)
    sizes = [record.size for record in records if isinstance(record, Ended)]
    global_f1 = _f1_global(outcome, data, built)
    so_far = metrics.sliding(together, built.positive, max(1, len(together)))
    converged = metrics.samples_to(so_far)
    values: dict[str, float | None] = {
        name: _mean([getattr(scores, name) for scores in each])
        for name in ("f1", "f1_macro", "f1_paper", "accuracy", "balanced_accuracy", "kappa", "log_loss")
    }
    values |= {
        "f1_pooled": metrics.f1(together.truth, together.predicted, built.positive) if len(together) else None,
        "f1_global": _mean(global_f1),
        "samples_to_95": None if converged is None else converged / n,
        "bytes_per_node_per_s": traffic.bytes_total / n / virtual_s if virtual_s else 0.0,
        "bytes_socket_per_node_per_s": None,  # Only real processes have sockets.
        "bytes_total": traffic.bytes_total,
        "paper_bytes_per_s": traffic.paper_bytes_per_s(virtual_s) if virtual_s else 0.0,
        "messages": traffic.messages,
        "prototypes_sent": traffic.prototypes_sent,
        "prototypes_withheld": traffic.prototypes_withheld,
        "prototypes_trained_per_node": traffic.prototypes_trained / n,
        "prototypes_held_per_node": _mean(sizes),
        "aoi_mean_s": ages.mean_s if shares else None,
        "aoi_peak_s": ages.peak_s if shares else None,
        "aoi_p95_s": ages.p95_s if shares else None,
        "version_age_mean": ages.version_mean if shares else None,
        "aoii_mean_s": ages.incorrect_s if shares else None,
        "virtual_s": virtual_s,
        "wall_s": wall_s,
        "samples_per_wall_s": len(together) / wall_s if wall_s else None,
    }
    bytes_of: Counter[int] = Counter()
    for (sender, _), size in traffic.links.items():
        bytes_of[sender] += size
    ended = [record for record in records if isinstance(record, Ended)]
    per_node: list[dict[str, Any]] = [
        {
            "node": node,
            "samples": len(made[node]),
            "confusion": metrics.confusion(made[node]),
            **{name: getattr(each[node], name) for name in ("f1", "f1_macro", "f1_paper", "accuracy", "kappa")},
            "f1_global": global_f1[node],
            "bytes": bytes_of[built.honest[node]],
            "aoi_mean_s": float(age_of_node[node]) if shares and np.isfinite(age_of_node[node]) else None,
        }
        for node in range(n)
    ]
    return Run(
        preset=preset,
        seed=seed,
        metrics=values,
        trace_hash=trace_hash,
        per_node=per_node,
        lost=traffic.lost,
        refused=traffic.refused,
        dropped={
            "prototypes still queued at the end": sum(record.queued for record in ended),
            "prototypes that fell out of queues": traffic.prototypes_dropped,
            "labels given up": sum(record.given_up for record in ended),
        },
        series=_series(records, together, so_far, built, n, virtual_s, ages.age_s if shares else None, traffic.links),
        drift_points_s=built.drift_points_s,
        ages=RunAges.of(ages, expected) if expected else None,
    )


def _of(records: list[AnyRecord], nodes: list[int]) -> list[AnyRecord]:
    wanted = set(nodes)
    return [record for record in records if record.node in wanted]


def _f1_global(outcome: Outcome, data: DataSet, built: Built) -> list[float | None]:
    """F1 of each node's final model on the held-out rows; None without such rows, for a node that is down or empty."""
    rows = built.holdout_rows
    found: list[float | None] = []
    for number in built.honest:
        node = outcome.nodes[number]
        if node is None or not len(node.learner) or not len(rows):
            found.append(None)
            continue
        predicted = node.learner.predict_balanced(np.ascontiguousarray(data.x[rows]))
        found.append(metrics.f1(data.y[rows], predicted, None))
    return found


def _series(
    records: list[AnyRecord],
    together: metrics.NodePredictions,
    so_far: NDArray[np.float64],
    built: Built,
    n: int,
    virtual_s: float,
    age_s: NDArray[np.float64] | None,
    links: dict[tuple[int, int], int],
) -> Series:
    edges = np.linspace(0.0, virtual_s, GRID + 1)
    at_s = edges[1:]
    window = max(50, len(together) // 10)
    last = np.searchsorted(together.at_ns / SECOND_NS, at_s, side="right") - 1
    known = last >= 0

    def curve(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(known, values[np.maximum(last, 0)], np.nan) if len(values) else np.full(GRID, np.nan)

    sent_s = [record.at_ns / SECOND_NS for record in records if isinstance(record, Sent)]
    sent_bytes = [record.header_bytes + record.payload_bytes for record in records if isinstance(record, Sent)]
    per_step, _ = np.histogram(sent_s, bins=edges, weights=sent_bytes)
    size = np.zeros(GRID)
    changed: dict[int, list[tuple[int, int]]] = {node: [] for node in built.honest}
    for record in records:
        if isinstance(record, Learned | Trained):
            changed[record.node].append((record.at_ns, record.size))
    for changes in changed.values():
        times = np.array([at for at, _ in changes], dtype=float) / SECOND_NS
        sizes = np.array([0] + [held for _, held in changes], dtype=float)
        size += sizes[np.searchsorted(times, at_s, side="right")] / n
    step_s = virtual_s / GRID if virtual_s else 1.0
    return Series(
        at_s=at_s,
        f1_recent=curve(metrics.sliding(together, built.positive, window)),
        f1_so_far=curve(so_far),
        bytes_per_node_per_s=per_step / n / step_s,
        age_s=np.full(GRID, np.nan) if age_s is None else age_s,
        size=size,
        window=window,
        links=links,
    )


def _mean(values: list[Any]) -> float | None:
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None
