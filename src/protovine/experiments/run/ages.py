"""Compare the measured ages of a run with the predicted ones, and list violated assumptions of the theory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from protovine.age import AgeReport, AgeTheory, Delay, SteadyTraining, TrainingReport
from protovine.age.measure import WARM_UP_AGES
from protovine.age.predict import direct_age
from protovine.age.report import BatchMeans, SteadyAges
from protovine.columns import Columns
from protovine.errors import ConfigError
from protovine.experiments.define.config import RunSettings
from protovine.records import Arrived, Sent
from protovine.stream import parse_split
from protovine.system.settings import LogSettings, ServerSettings, WholeSetSettings
from protovine.topology import is_changing

# How many pairs a result names: those of the largest mean ages.
WORST_PAIRS = 5
# Schedules that have a theory, by the names that it takes.
_KNOWN = ("coin", "counter", "age-threshold", "round-robin")


@dataclass(frozen=True)
class Expected:
    """The predicted ages of a run; ``theory`` is None where none is known.

    ``reasons`` are short clauses, each one assumption that does not hold. Without any all assumptions hold.
    """

    theory: AgeTheory | None
    reasons: tuple[str, ...] = ()


class TheoryAges(NamedTuple):
    """The predicted numbers, without distributions; None where no closed form is known."""

    mean_s: float
    peak_s: float | None
    p95_s: float | None
    version_mean: float | None
    method: str


@dataclass(frozen=True)
class RunAges:
    """The measured ages of one run after its start, and the predicted ones.

    ``steady`` is None if the run is too short for it. ``worst`` are the pairs of the largest mean ages. ``training``
    has the ages at which received prototypes were trained, without those of each pair.
    """

    predicted: TheoryAges | None
    reasons: tuple[str, ...]
    steady: SteadyAges | None
    incorrect_fraction: float | None
    pairs: int
    silent_pairs: int
    worst: list[dict[str, float | int | None]]
    training: TrainingReport | None = None

    @classmethod
    def of(cls, report: AgeReport, expected: Expected, training: TrainingReport | None = None) -> RunAges:
        """Ages from measured reports and a prediction."""
        theory, predicted = expected.theory, None
        if theory is not None:
            predicted = TheoryAges(theory.mean_s, theory.peak_s, theory.p95_s, theory.version_mean, theory.method)
        return cls(
            predicted,
            expected.reasons,
            report.steady,
            report.incorrect_fraction,
            report.pairs,
            report.silent_pairs,
            report.each.worst(WORST_PAIRS) if report.mean_s is not None else [],
            replace(training, known=None) if training is not None else None,
        )

    def of_live(self) -> RunAges:
        """The same ages for a run on real processes, where the settings of links do not apply."""
        return replace(self, reasons=("real links, whose delays are not known", *self.reasons))

    def to_json(self) -> dict[str, Any]:
        """Plain values: measured after the start, predicted, and the assumptions that do not hold."""
        return {
            "steady": steady_json(self.steady),
            "predicted": self.predicted._asdict() if self.predicted else None,
            "reasons": list(self.reasons),
            "verdict": verdict([self]).words,
            "incorrect_fraction": self.incorrect_fraction,
            "pairs": self.pairs,
            "silent_pairs": self.silent_pairs,
            "worst_pairs": self.worst,
            "training": training_json(self.training),
        }


class Verdict(NamedTuple):
    """Whether prediction and measurement agree: ``mark`` is ``agrees``, ``differs``, ``short`` or ``assumes``."""

    mark: str
    words: str


def judged_links(
    neighbours: Sequence[Sequence[int]], judged: Collection[int], records: Columns, partners: int
) -> list[list[int]]:
    """For each judged node the judged nodes whose ages count there.

    These are its neighbours. Two nodes with more than ``partners`` neighbours each need not know of each other: their
    pair counts if one of them has sent the other a message.

    Examples
    --------
    >>> mesh = [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    >>> judged_links(mesh, [0, 1, 2], Columns(), partners=0)
    [[1, 2], [0, 2], [0, 1], []]
    >>> judged_links(mesh, [0, 1, 2], Columns([Sent(5, 0, 1, "probe", 0, 0, 0, 9, 0, 0)]), partners=1)
    [[1], [0], [], []]
    """
    nodes, n = set(judged), len(neighbours)
    links = [
        [peer for peer in peers if peer in nodes] if node in nodes else [] for node, peers in enumerate(neighbours)
    ]
    if not partners:
        return links
    sent = records.of(Sent)
    met = {divmod(pair, n) for pair in np.unique(sent["node"] * n + sent["peer"]).tolist()}
    met |= {(other, node) for node, other in met}
    choosing = [len(peers) > partners for peers in neighbours]
    return [
        [peer for peer in peers if (node, peer) in met or not (choosing[node] and choosing[peer])]
        for node, peers in enumerate(links)
    ]


def expected_ages(settings: RunSettings, neighbours: Sequence[Sequence[int]]) -> Expected | None:
    """The predicted ages of a run; None if nodes do not share.

    Parameters
    ----------
    settings : Settings
    neighbours : sequence of sequences of int
        For each node the nodes that it may address.
    """
    gossip, swarm, link = settings.gossip, settings.swarm, settings.link
    degrees = Counter(map(len, neighbours))
    most = max(degrees, default=0)
    if not gossip.share_probability or not most:
        return None
    exchange = settings.exchange
    log, sequential = isinstance(exchange, LogSettings), swarm.order == "sequential"
    schedule, fanout = gossip.schedule, min(gossip.fanout, most)
    if is_changing(swarm.topology) and not isinstance(exchange, ServerSettings):
        return Expected(None, ("no theory is known for a topology that changes",))
    medium = settings.medium.profile != "none"
    if schedule == "broadcast":
        schedule, fanout = "counter", most
    if gossip.share_probability == 1 and gossip.fanout >= most:
        schedule = "coin"  # Every share goes to every neighbour, whatever the schedule.
    if schedule not in _KNOWN:
        return Expected(None, (f"no theory is known for the schedule {schedule}",))
    if sequential and schedule != "coin":
        return Expected(None, (f"no theory is known for the schedule {schedule} with sequential turns",))
    gate = exchange.gate.kind if isinstance(exchange, WholeSetSettings) else "always"
    checks = (
        (isinstance(exchange, ServerSettings), "a server only answers, and only its clients have samples"),
        (log, "a log waits for batches, and sends only when it has samples to share"),
        (getattr(exchange, "budget_bytes_per_s", 0) > 0, "a budget holds messages back"),
        (gate != "always", f"the gate {gate} withholds sets"),
        (getattr(exchange, "poll_s", 0) > 0, "opportunities wait for the next poll"),
        (swarm.lag_s > 0, "nodes start one after another (lag_s)"),
        (swarm.arrivals == "clock", "samples arrive by the clock, not as a Poisson process"),
        (parse_split(swarm.split).uneven and not sequential, "nodes sample at different rates"),
        (sequential and swarm.labelled < 1, "a turn without a label shares nothing"),
        (
            parse_split(swarm.split).uneven and sequential,
            "nodes have different numbers of samples, so that turns come faster towards the end",
        ),
        (
            bool(swarm.clock_skew_s or swarm.clock_drift_ppm),
            "clocks are off, and receivers date samples from the future as now",
        ),
        (medium, "messages wait for the medium, and take their airtime"),
        (link.jitter_s > 0, "delays vary (jitter)"),
        (link.bandwidth_bytes_per_s > 0, "delays grow with messages (bandwidth)"),
        (link.reorder > 0, "some messages are held back (reorder)"),
        (link.message_bytes_max > 0, "long messages may be lost (message_bytes_max)"),
        (bool(settings.faults), f"faults: {', '.join(sorted({fault.kind for fault in settings.faults}))}"),
        (bool(swarm.devices), "devices differ and come and go"),
        (bool(swarm.byzantine), f"Byzantine nodes: {swarm.byzantine}"),
    )
    reasons = tuple(words for holds, words in checks if holds)
    # Only labelled samples are opportunities to share. A thinned Poisson process is a Poisson process.
    delay_s = link.delay_s + link.jitter_s / 2
    delay = Delay.fixed(delay_s) if delay_s else Delay.none()
    rate_hz = swarm.rate_hz if sequential else swarm.rate_hz * swarm.labelled
    chosen = "sequential" if sequential else schedule
    try:
        theory = direct_age(degrees, fanout, gossip.share_probability, rate_hz, chosen, delay, link.loss)
    except ConfigError as error:
        return Expected(None, (*reasons, str(error)))
    if theory.mean_s == float("inf"):
        return Expected(None, (*reasons, "no message arrives"))
    if swarm.label_delay_s > WARM_UP_AGES * theory.mean_s:
        reasons += ("labels arrive after the warm-up, which is left out",)
    return Expected(theory, reasons)


def with_trace(expected: Expected | None, records: Columns) -> Expected | None:
    """``expected`` with what only the trace of a run tells: that some samples of the data have no label."""
    if expected is None or not (records.of(Arrived)["truth"] < 0).any():
        return expected
    return replace(expected, reasons=(*expected.reasons, "some samples have no label in the data, and share nothing"))


def verdict(runs: Sequence[RunAges]) -> Verdict:
    """Whether the runs of one preset agree with the prediction, in one sentence."""
    reasons = list(dict.fromkeys(reason for run in runs for reason in run.reasons))
    if any(run.predicted is None for run in runs):
        return Verdict("assumes", f"No prediction: {'; '.join(reasons)}.")
    if reasons:
        return Verdict("assumes", f"The theory's assumptions do not hold: {'; '.join(reasons)}.")
    age, predicted_s = pooled(runs, "age"), predicted(runs, "mean_s")
    if age is None or age.half is None or age.mean is None or predicted_s is None:
        return Verdict("short", "The assumptions hold, but too little was measured for an interval.")
    if abs(age.mean - predicted_s) <= age.half:
        return Verdict("agrees", "The assumptions hold, and the interval covers the prediction.")
    return Verdict("differs", "The assumptions hold, but the interval misses the prediction, as 1 in 20 do by chance.")


def pooled(runs: Sequence[RunAges], name: str) -> BatchMeans | None:
    """A mean (``age``, ``peak``, ``version``, ``incorrect``) over batches of all runs; None if all are too short."""
    parts = [getattr(run.steady, name) for run in runs if run.steady is not None]
    return BatchMeans.joined(parts) if parts else None


def predicted(runs: Sequence[RunAges], name: str) -> float | None:
    """A predicted value as a mean over runs, whose graphs may differ; None if it is unknown for one of them."""
    values = [None if run.predicted is None else getattr(run.predicted, name) for run in runs]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if values and len(known) == len(values) else None


def steady_json(steady: SteadyAges | None) -> dict[str, Any] | None:
    """Ages after the start as plain values; None if the run was too short for them."""
    if steady is None:
        return None
    found: dict[str, Any] = {"from_s": steady.from_s, "until_s": steady.until_s, "batches": len(steady.age.sums)}
    for name, unit in (("age", "_s"), ("peak", "_s"), ("version", ""), ("incorrect", "_s")):
        means: BatchMeans = getattr(steady, name)
        found |= {f"{name}_mean{unit}": means.mean, f"{name}_ci95{unit}": means.half}
    return {**found, "age_p95_s": steady.p95_s}


def training_json(training: TrainingReport | None) -> dict[str, Any] | None:
    """What was trained and its ages as plain values: of the whole run, and after the start."""
    if training is None:
        return None
    names = ("received", "trained", "fraction", "mean_s", "p95_s", "reason")
    found: dict[str, Any] = {name: getattr(training, name) for name in names}
    steady = training.steady
    if steady is None:
        return {**found, "steady": None}
    known = steady_json(steady.known) or {}
    for name, unit in (("fraction", ""), ("age", "_s")):
        means: BatchMeans = getattr(steady, name)
        known |= {f"trained_{name}_mean{unit}": means.mean, f"trained_{name}_ci95{unit}": means.half}
    return {**found, "steady": {**known, "trained_age_p95_s": steady.p95_s}}


def pooled_training(runs: Sequence[RunAges], name: str) -> BatchMeans | None:
    """``fraction`` or ``age`` when trained, or ``known.age``, ``known.peak``: over batches of all runs, as `pooled`."""
    steady = [run.training.steady for run in runs if run.training is not None]
    parts = [_part(each, name) for each in steady if each is not None]
    return BatchMeans.joined(parts) if parts else None


def _part(steady: SteadyTraining, name: str) -> BatchMeans:
    known, _, rest = name.partition(".")
    found: BatchMeans = getattr(steady.known, rest) if known == "known" else getattr(steady, name)
    return found


def interval(means: BatchMeans | None) -> str:
    """A mean and half the width of its interval as text; the latter has two significant digits.

    Examples
    --------
    >>> import numpy as np
    >>> interval(BatchMeans(np.array([1.0, 1.1, 1.3]), np.ones(3)))
    '1.13 ± 0.38'
    """
    if means is None or means.mean is None or not means.half:
        return number(means.mean if means else None)
    decimals = max(0, 1 - math.floor(math.log10(means.half)))
    return f"{means.mean:.{decimals}f} ± {means.half:.{decimals}f}"


def number(value: float | None, nothing: str = "–") -> str:
    """Three significant digits, more only before the point.

    Examples
    --------
    >>> number(1.0), number(1234.5), number(None)
    ('1.00', '1234', '–')
    """
    if value is None:
        return nothing
    return f"{value:.0f}" if not value or abs(value) >= 100 else f"{value:#.3g}"
