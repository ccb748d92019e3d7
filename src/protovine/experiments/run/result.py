"""The result of an experiment: runs, their summary over seeds with 95 % intervals, and the JSON form of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protovine.errors import ConfigError, suggest
from protovine.experiments.run.ages import RunAges
from protovine.metrics import Episode

if TYPE_CHECKING:
    import pandas as pd

# Version of the JSON form.
FORMAT = 1
# Every metric of a run, in the order of tables: title, unit, decimals.
METRICS: dict[str, tuple[str, str, int]] = {
    "f1": ("F1", "", 3),
    "f1_macro": ("F1, macro", "", 3),
    "f1_pooled": ("F1, pooled", "", 3),
    "f1_paper": ("F1, as in the paper", "", 4),
    "f1_global": ("F1, macro, held-out 20 %", "", 3),
    "accuracy": ("accuracy", "", 3),
    "balanced_accuracy": ("balanced accuracy", "", 3),
    "kappa": ("kappa", "", 3),
    "kappa_temporal": ("kappa, temporal", "", 3),
    "kappa_m": ("kappa-M", "", 3),
    "accuracy_last_class": ("accuracy of the last class", "", 3),
    "accuracy_majority": ("accuracy of the majority class", "", 3),
    "log_loss": ("log loss", "nats", 3),
    "samples_to_95": ("samples per node to 95 % of final F1", "", 0),
    "bytes_per_node_per_s": ("traffic per node", "B/s", 0),
    "bytes_socket_per_node_per_s": ("traffic per node at the socket", "B/s", 0),
    "bytes_total": ("total traffic", "B", 0),
    "paper_bytes_per_s": ("traffic, as in the paper", "B/s", 0),
    "messages": ("messages", "", 0),
    "airtime_s": ("time on the air, all nodes", "s", 2),
    "duty_mean": ("part of its time that a node is on the air", "", 5),
    "duty_max": ("the same of the busiest node", "", 5),
    "medium_wait_s": ("mean wait for the medium", "s", 3),
    "prototypes_sent": ("prototypes sent", "", 0),
    "prototypes_withheld": ("prototypes withheld", "", 0),
    "prototypes_trained_per_node": ("prototypes trained per node", "", 0),
    "prototypes_held_per_node": ("prototypes held per node", "", 1),
    "state_bytes_per_node": ("state of a node", "B", 0),
    "aoi_mean_s": ("mean age", "s", 2),
    "aoi_peak_s": ("mean peak age", "s", 2),
    "aoi_p95_s": ("95th percentile of the age", "s", 2),
    "version_age_mean": ("mean version age", "samples", 2),
    "aoii_mean_s": ("mean age of incorrect information", "s", 3),
    "trained_fraction": ("received prototypes that were trained", "", 3),
    "trained_age_mean_s": ("mean age when trained", "s", 2),
    "trained_age_p95_s": ("95th percentile of the age when trained", "s", 2),
    "aoi_trained_mean_s": ("mean age of trained knowledge", "s", 2),
    "aoi_trained_peak_s": ("mean peak age of trained knowledge", "s", 2),
    "aoi_trained_p95_s": ("95th percentile of the age of trained knowledge", "s", 2),
    "drift_detected": ("drift that was detected", "", 3),
    "drift_delay_s": ("delay of drift alarms", "s", 1),
    "drift_false_alarms": ("false drift alarms per node", "", 2),
    "virtual_s": ("virtual time", "s", 1),
    "wall_s": ("wall time", "s", 2),
    "samples_per_wall_s": ("samples per wall second", "1/s", 0),
}


# Metrics that cannot be above 1; no metric but these kappas can be below 0.
_TO_ONE = frozenset(
    {name for name in METRICS if name.startswith(("f1", "accuracy", "kappa"))}
    | {"balanced_accuracy", "duty_mean", "duty_max", "trained_fraction", "drift_detected"}
)
_BELOW_ZERO = frozenset({"kappa", "kappa_temporal", "kappa_m"})
# Of all other metrics less is better: errors, traffic, memory, ages, time.
_MORE_IS_BETTER = _TO_ONE - {"duty_mean", "duty_max"} | {"prototypes_withheld", "samples_per_wall_s"}


# What a run needs to have the metrics that begin like this; all others are there wherever nodes predict.
_NEEDS = {
    "f1_global": "data.holdout = true",
    "airtime_s": "medium.profile",
    "duty_": "medium.profile",
    "medium_wait_s": "medium.profile",
    "drift_": "drift.detector",
    "bytes_socket_": "real processes (protovine swarm)",
    "aoi": "nodes that share with each other",
    "version_age": "nodes that share with each other",
    "trained_": "nodes that share with each other",
    "state_bytes_": "a learner of protovine's own in a simulated swarm",
    "accuracy_last_class": "labels (swarm.labelled, swarm.label_delay_s)",
    "accuracy_majority": "labels (swarm.labelled, swarm.label_delay_s)",
    "kappa_": "labels (swarm.labelled, swarm.label_delay_s)",
}


def metric_needs(metric: str) -> str:
    """What a run needs to have a metric, as words for a message; empty if every run has it.

    Examples
    --------
    >>> metric_needs("f1_global"), metric_needs("duty_max"), metric_needs("f1")
    ('data.holdout = true', 'medium.profile', '')
    """
    return next((words for name, words in _NEEDS.items() if metric.startswith(name)), "")


def metric_range(metric: str) -> tuple[float, float]:
    """The lowest and the highest value that a metric can have; infinite where there is no limit.

    Examples
    --------
    >>> metric_range("f1"), metric_range("messages"), metric_range("kappa_m")
    ((0.0, 1.0), (0.0, inf), (-inf, 1.0))
    """
    low = 0.0 if metric not in _BELOW_ZERO else -1.0 if metric == "kappa" else -math.inf
    return low, 1.0 if metric in _TO_ONE else math.inf


def more_is_better(metric: str) -> bool:
    """Whether a larger value of a metric is better; less is better of traffic, ages and log loss.

    Examples
    --------
    >>> more_is_better("f1"), more_is_better("log_loss"), more_is_better("duty_max")
    (True, False, False)
    """
    return metric in _MORE_IS_BETTER


def best_is(metric: str) -> str:
    """Which value of a metric is the best, in a word.

    Examples
    --------
    >>> best_is("f1"), best_is("log_loss")
    ('highest', 'lowest')
    """
    return "highest" if more_is_better(metric) else "lowest"


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, and half the width of its 95 % interval (Student's t; None for a single seed)."""

    mean: float
    half: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """The interval of one or more values.

        Examples
        --------
        >>> Interval.of([1.0, 2.0, 3.0])
        Interval(mean=2.0, half=2.484...)
        """
        from scipy.stats import t

        sample = np.asarray(values, dtype=float)
        mean = float(sample.mean())
        if len(sample) < 2:
            return cls(mean, None)
        half = float(t.ppf(0.975, len(sample) - 1) * sample.std(ddof=1) / math.sqrt(len(sample)))
        return cls(mean, half)

    @property
    def low(self) -> float | None:
        """The lower end; None for a single seed."""
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        """The upper end; None for a single seed."""
        return None if self.half is None else self.mean + self.half

    def to_json(self) -> dict[str, float | None]:
        """``mean``, ``ci95`` (half width), ``low`` and ``high``."""
        return {"mean": self.mean, "ci95": self.half, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class NodeSeries:
    """Curves of one node over time, at the times of `Series.at_s`.

    ``f1_recent`` is over the node's last ``window`` predictions, ``f1_so_far`` over all of them; NaN where it is not
    defined. ``bytes_per_s`` is what the node sent in each grid step, ``size`` the prototypes that it held.
    """

    f1_recent: NDArray[np.float64]
    f1_so_far: NDArray[np.float64]
    bytes_per_s: NDArray[np.float64]
    size: NDArray[np.float64]
    window: int


@dataclass(frozen=True)
class Series:
    """Curves of one run over time, on a common grid.

    ``f1_recent`` is over the last ``window`` predictions of all nodes together, ``f1_so_far`` over all predictions.
    ``bytes_per_node_per_s`` is a mean over each grid step, ``age_s`` over pairs, ``size`` (prototypes held) over nodes.
    ``links`` has the bytes by (sender, recipient). ``nodes`` has the curves of each honest node by its number; it is
    empty in runs of more than 200 nodes.

    Examples
    --------
    >>> import protovine
    >>> run = protovine.run(protovine.Experiment(presets=["paper-base"], data={"limit": 100}, seeds=1)).runs[0]
    >>> sorted(run.series.nodes), float(run.series.nodes[3].size[-1])
    ([0, 1, 2, 3, 4], 20.0)
    """

    at_s: NDArray[np.float64]
    f1_recent: NDArray[np.float64]
    f1_so_far: NDArray[np.float64]
    bytes_per_node_per_s: NDArray[np.float64]
    age_s: NDArray[np.float64]
    size: NDArray[np.float64]
    window: int
    links: dict[tuple[int, int], int]
    nodes: dict[int, NodeSeries] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One preset with one seed: metrics by name (see `METRICS`; None where not defined), per node and over time.

    ``ages`` is None if nodes do not share. ``drift`` has the drifts that the nodes' detectors saw, if they have any.
    ``stopped`` is true if Ctrl-C ended the run early: all else is of what happened until then.
    """

    preset: str
    seed: int
    metrics: dict[str, float | None] = field(repr=False)
    trace_hash: str
    per_node: list[dict[str, Any]] = field(repr=False)
    lost: dict[str, int] = field(repr=False)
    refused: dict[str, int] = field(repr=False)
    dropped: dict[str, int] = field(repr=False)
    series: Series = field(repr=False)
    drift_points_s: tuple[float, ...] = field(default=(), repr=False)
    ages: RunAges | None = field(default=None, repr=False)
    drift: tuple[Episode, ...] = field(default=(), repr=False)
    stopped: bool = False

    def to_json(self) -> dict[str, Any]:
        """The run as one flat object."""
        return {
            "preset": self.preset,
            "seed": self.seed,
            **self.metrics,
            "trace_hash": self.trace_hash,
            "stopped": self.stopped,
            "messages_lost": self.lost,
            "messages_refused": self.refused,
            "dropped": self.dropped,
            "ages": self.ages.to_json() if self.ages else None,
            "drift": [asdict(episode) for episode in self.drift],
            "per_node": self.per_node,
        }


@dataclass(frozen=True, repr=False)
class Result:
    """The result of an experiment.

    ``experiment`` holds the settings without defaults, ``resolved`` every setting of every preset, ``data`` describes
    the stream. ``status`` is ``complete``, ``partial`` (interrupted, and the finished runs are here, or the only run as
    far as it got; or real nodes were lost, and the others are judged) or ``failed``. ``error`` says why, ``failed``
    which preset and seed.

    Examples
    --------
    >>> import protovine
    >>> result = protovine.run(protovine.Experiment(presets=["paper-isolated"], data={"limit": 100}, seeds=2))
    >>> result.status, result.presets, [run.seed for run in result.runs]
    ('complete', ['paper-isolated'], [0, 1])
    >>> result.interval("paper-isolated", "bytes_total").mean
    0.0
    >>> result.frame()[["preset", "seed", "bytes_total"]].values.tolist()
    [['paper-isolated', 0, 0], ['paper-isolated', 1, 0]]
    """

    experiment: dict[str, Any]
    resolved: dict[str, Any]
    data: dict[str, Any]
    neighbours: list[list[int]]
    runs: list[Run]
    status: str = "complete"
    error: str | None = None
    failed: tuple[str, int] | None = None
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """What ran, three metrics of each preset, and the notes."""
        runs = f"{len(self.runs)} run{'s' * (len(self.runs) != 1)}"
        lines = [f"<Result: {self.status}, {self.data.get('name', '')}, {runs}"]
        for preset in self.presets:
            found = [(name, self.interval(preset, name)) for name in ("f1", "accuracy", "bytes_per_node_per_s")]
            lines.append(f"{preset}: " + ", ".join(f"{name} {each.mean:.4g}" for name, each in found if each))
        lines += [f"note: {note}" for note in self.notes]
        return "\n  ".join(lines) + ">"

    @property
    def presets(self) -> list[str]:
        """The presets that have at least one run, in the order of the experiment."""
        done = {run.preset for run in self.runs}
        return [name for name in self.resolved if name in done]

    def of(self, preset: str) -> list[Run]:
        """A preset's runs by ascending seed; `ConfigError` if the experiment has no such preset."""
        if preset not in self.resolved:
            raise ConfigError(f"the experiment has no preset {preset!r}{suggest(preset, self.resolved)}")
        return sorted((run for run in self.runs if run.preset == preset), key=lambda run: run.seed)

    def frame(self) -> pd.DataFrame:
        """A pandas frame with a row for each run: ``preset``, ``seed`` and every metric of `METRICS`, NaN for None."""
        return frame_of([{"preset": run.preset, "seed": run.seed, **run.metrics} for run in self.runs])

    def interval(self, preset: str, metric: str) -> Interval | None:
        """A metric over the seeds of a preset; None if it is not defined in any run, `ConfigError` if unknown."""
        _check_metric(metric)
        values = [value for run in self.of(preset) if (value := run.metrics[metric]) is not None]
        return Interval.of(values) if values else None

    def difference(self, preset: str, metric: str, base: str | None = None) -> Interval | None:
        """A metric's paired difference to preset ``base``, by default the first, seed by seed.

        None for the base itself, or without pairs; `ConfigError` for an unknown preset or metric.
        """
        base = base or next(iter(self.presets), preset)
        differences = self.differences(preset, metric, base)
        return Interval.of(differences) if differences and preset != base else None

    def differences(self, preset: str, metric: str, base: str) -> list[float]:
        """A metric minus that of preset ``base``, for each seed in which both have it; `ConfigError` if unknown."""
        _check_metric(metric)
        of_base = {run.seed: run.metrics[metric] for run in self.of(base)}
        pairs = [(run.metrics[metric], of_base.get(run.seed)) for run in self.of(preset)]
        return [value - other for value, other in pairs if value is not None and other is not None]

    def summary(self) -> dict[str, Any]:
        """Per preset and metric: mean, 95 % interval and paired difference to the first preset."""
        out: dict[str, Any] = {}
        for preset in self.presets:
            out[preset] = {}
            for metric in METRICS:
                interval, difference = self.interval(preset, metric), self.difference(preset, metric)
                out[preset][metric] = None
                if interval is not None:
                    out[preset][metric] = {
                        **interval.to_json(),
                        "difference": difference.to_json() if difference else None,
                    }
        return out

    def to_json(self) -> dict[str, Any]:
        """The whole result as one object: ``experiment``, ``runs``, ``summary``, data, notes and versions."""
        return {
            "format": FORMAT,
            "status": self.status,
            "error": self.error,
            "failed": list(self.failed) if self.failed else None,
            "experiment": {**self.experiment, "resolved": self.resolved},
            "data": self.data,
            "notes": list(self.notes),
            "versions": self.versions,
            "runs": [run.to_json() for run in self.runs],
            "summary": self.summary(),
        }


def frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A frame of ``preset``, ``seed`` and metrics; those that are not defined are NaN."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=["preset", "seed", *METRICS])
    undefined = [name for name in METRICS if frame[name].dtype == object]
    frame[undefined] = frame[undefined].astype(float)
    return frame


def _check_metric(metric: str) -> None:
    if metric not in METRICS:
        raise ConfigError(f"unknown metric {metric!r}{suggest(metric, METRICS)}")
