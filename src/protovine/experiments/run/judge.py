"""Compute a run's metrics and curves, only from its records and its description."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine import metrics
from protovine.age import AgeReport, TrainingReport, measure_age, measure_training
from protovine.columns import Columns
from protovine.experiments.define.config import RunSettings
from protovine.experiments.run.ages import Expected, RunAges, expected_ages, judged_links, with_trace
from protovine.experiments.run.result import Run
from protovine.experiments.run.series import GRID, series
from protovine.experiments.run.trace import Recorder, RunDescription
from protovine.metrics.traffic import pieces
from protovine.records import (
    SECOND_NS,
    Aired,
    AnyRecord,
    Ended,
    Evaluated,
    Sized,
    read_trace,
)

_SCORES = tuple(field.name for field in fields(metrics.Scores))
_NODE_SCORES = ("f1", "f1_macro", "f1_paper", "accuracy", "kappa", "kappa_temporal", "kappa_m")


def judge(
    run: RunDescription,
    records: Iterable[AnyRecord],
    *,
    expected: Expected | None,
    wall_s: float | None,
    trace_hash: str,
) -> Run:
    """The metrics and curves of a run; the cost per record does not depend on the number of nodes.

    They are about `RunDescription.judged`. If no node took all its samples, there are no metrics, and results per node
    and curves are about the honest ones.

    Parameters
    ----------
    run : RunDescription
    records : iterable of records
        All records of the run in order. The run ends with the last one.
    expected : Expected, optional
        Predicted ages. Without them the result has no `Run.ages`.
    wall_s : float, optional
        Duration of the run, if known.
    trace_hash : str
        Hash of the records.
    """
    held = Columns.holding(records)
    end_ns = held.end_ns
    virtual_s = end_ns / SECOND_NS
    nodes = run.judged or run.honest
    judged = set(nodes)
    if len(judged) < len(run.neighbours):
        held = held.of_nodes(judged)
    by_node = metrics.predictions(held, len(run.neighbours), len(run.classes))
    made = {node: by_node[node] for node in nodes}
    together = metrics.pooled(list(made.values()))
    each = {node: metrics.scores(predictions, run.positive) for node, predictions in made.items()}
    ended: list[Ended] = held.others(Ended)
    f1_global = _f1_global(held.others(Evaluated), len(run.classes))
    traffic, air = metrics.traffic(held, run.medium), metrics.airtime(held.others(Aired))
    ages, training = _ages(run, held, judged, end_ns) if run.shares else (None, None)
    met = {node: [at_s for at_s in run.drifts_s(node) if at_s <= virtual_s] for node in nodes}
    drifts = metrics.drift(held, nodes, met) if run.watches_drift else None
    # One node may read all streams, and a server reads none.
    streams = run.streams - len(run.honest) + len(made) if run.streams else len(made)
    so_far = metrics.sliding(together, run.positive, max(1, len(together)))
    found: dict[str, float | None] = {
        **{name: _mean(getattr(scores, name) for scores in each.values()) for name in _SCORES},
        "f1_pooled": metrics.f1_of(together.confusion(), run.positive) if len(together) else None,
        "f1_global": _mean(f1_global.values()),
        "samples_to_95": _per_node(metrics.samples_to(so_far), streams),
        **_traffic_metrics(traffic, ended, len(made), virtual_s),
        "state_bytes_per_node": _mean(record.state_bytes for record in held.others(Sized)),
        **_airtime_metrics(air, nodes, virtual_s),
        **_age_metrics(ages, training),
        "drift_detected": drifts.detected if drifts else None,
        "drift_delay_s": drifts.delay_s if drifts else None,
        "drift_false_alarms": drifts.false_alarms if drifts else None,
        "virtual_s": virtual_s,
        "wall_s": wall_s,
        "samples_per_wall_s": len(together) / wall_s if wall_s else None,
    }
    if not run.judged:
        found = dict.fromkeys(found)
    expected = with_trace(expected, held)
    run_ages = RunAges.of(ages, expected, training) if ages and expected else None
    return Run(
        preset=run.preset,
        seed=run.seed,
        metrics=found,
        trace_hash=trace_hash,
        per_node=_node_results(made, each, f1_global, traffic, air, ages),
        lost=traffic.lost,
        refused=traffic.refused,
        dropped={
            "prototypes still queued at the end": sum(record.queued for record in ended),
            "prototypes dropped from full queues": traffic.prototypes_dropped,
            "labels given up": sum(record.given_up for record in ended),
        },
        series=series(
            held,
            pieces(held, run.medium),
            together,
            so_far,
            made,
            run.positive,
            virtual_s,
            ages.age_s if ages else None,
            traffic.links,
        ),
        drift_points_s=run.drift_points_s,
        ages=run_ages.of_live() if run_ages and run.live else run_ages,
        drift=drifts.episodes if drifts else (),
    )


def judge_trace(path: Path, settings: RunSettings | None = None) -> Run:
    """The metrics and curves of a recorded run, from its trace file.

    Wall times and bytes at sockets are None: a trace does not hold them. Predicted ages need the run's ``settings``.

    Raises
    ------
    DataError
        The file is missing or damaged, or its header does not describe a run.
    """
    header, lines = read_trace(path)
    run = RunDescription.read(header, path)
    recorder = Recorder()
    for record in lines:
        recorder.add(record)
    expected = expected_ages(settings, run.neighbours) if settings is not None else None
    return judge(run, recorder.columns, expected=expected, wall_s=None, trace_hash=recorder.trace_hash)


def _ages(run: RunDescription, records: Columns, judged: set[int], end_ns: int) -> tuple[AgeReport, TrainingReport]:
    """Ages between the judged nodes: when messages arrive, and when their prototypes are trained."""
    links = judged_links(run.neighbours, judged, records, run.partners)
    return measure_age(records, links, end_ns, GRID), measure_training(records, links, end_ns)


def _f1_global(evaluated: Iterable[Evaluated], n_classes: int) -> dict[int, float | None]:
    """Macro F1 on the held-out rows, for each node that was tested on them."""
    found: dict[int, float | None] = {}
    for record in evaluated:
        truth, predicted, rows = np.array(record.counts, np.int64).T
        confusion = np.zeros((n_classes, n_classes + 1), np.int64)
        confusion[truth, predicted] = rows  # Code -1, no model, is the last column.
        found[record.node] = metrics.f1_of(confusion, None)
    return found


def _traffic_metrics(
    traffic: metrics.Traffic, ended: Sequence[Ended], nodes: int, virtual_s: float
) -> dict[str, float | None]:
    return {
        "bytes_per_node_per_s": traffic.bytes_total / nodes / virtual_s if virtual_s else 0.0,
        "bytes_socket_per_node_per_s": None,  # Only real processes have sockets.
        "bytes_total": traffic.bytes_total,
        "paper_bytes_per_s": traffic.paper_bytes_per_s(virtual_s) if virtual_s else 0.0,
        "messages": traffic.messages,
        "prototypes_sent": traffic.prototypes_sent,
        "prototypes_withheld": traffic.prototypes_withheld,
        "prototypes_trained_per_node": traffic.prototypes_trained / nodes,
        "prototypes_held_per_node": _mean(record.size for record in ended),
    }


def _airtime_metrics(air: metrics.Airtime, nodes: Sequence[int], virtual_s: float) -> dict[str, float | None]:
    mean, largest = air.duty(nodes, virtual_s) if air.frames else (None, None)
    return {
        "airtime_s": air.total_s if air.frames else None,
        "duty_mean": mean,
        "duty_max": largest,
        "medium_wait_s": air.wait_s,
    }


def _age_metrics(ages: AgeReport | None, training: TrainingReport | None) -> dict[str, float | None]:
    known = training.known if training else None
    return {
        "aoi_mean_s": ages.mean_s if ages else None,
        "aoi_peak_s": ages.peak_s if ages else None,
        "aoi_p95_s": ages.p95_s if ages else None,
        "version_age_mean": ages.version_mean if ages else None,
        "aoii_mean_s": ages.incorrect_s if ages else None,
        "trained_fraction": training.fraction if training else None,
        "trained_age_mean_s": training.mean_s if training else None,
        "trained_age_p95_s": training.p95_s if training else None,
        "aoi_trained_mean_s": known.mean_s if known else None,
        "aoi_trained_peak_s": known.peak_s if known else None,
        "aoi_trained_p95_s": known.p95_s if known else None,
    }


def _node_results(
    made: dict[int, metrics.NodePredictions],
    each: dict[int, metrics.Scores],
    f1_global: dict[int, float | None],
    traffic: metrics.Traffic,
    air: metrics.Airtime,
    ages: AgeReport | None,
) -> list[dict[str, Any]]:
    """The results of each judged node."""
    sent_bytes: Counter[int] = Counter()
    for (sender, _), size in traffic.links.items():
        sent_bytes[sender] += size
    age_s: NDArray[np.float64] = ages.each.of_nodes(max(made) + 1) if ages else np.full(max(made) + 1, np.nan)
    return [
        {
            "node": node,
            "samples": len(predictions),
            "labels": len(predictions.labels()[0]),
            "confusion": predictions.confusion().tolist(),
            **{name: getattr(each[node], name) for name in _NODE_SCORES},
            "f1_global": f1_global.get(node),
            "bytes": sent_bytes[node],
            "airtime_s": air.node_s.get(node) if air.frames else None,
            "aoi_mean_s": float(age_s[node]) if np.isfinite(age_s[node]) else None,
        }
        for node, predictions in made.items()
    ]


def _per_node(samples: int | None, nodes: int) -> float | None:
    return None if samples is None else samples / nodes


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None
