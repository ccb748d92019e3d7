"""Simulate busy nodes: what they train and how old it is then, beside the theory, for four orders of their queues.

    python -m benchmarks.scheduler [--seeds 8]

Three nodes with 5 samples per second send their set to one of the other two. A device trains 75 prototypes per second,
local samples first. The load follows from the size of the sets, which stays as it is: the learner learns nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from protovine import rng
from protovine.age import TrainedAge, TrainingReport, measure_training, trained_age
from protovine.age.training import Discipline
from protovine.exchange import SetExchange
from protovine.experiments.run.result import Interval
from protovine.gossip import PushGossip, make_schedule
from protovine.learn import Prediction
from protovine.node import Node
from protovine.prototypes import PrototypeSet
from protovine.records import SECOND_NS, Record
from protovine.share import AlwaysGate, QueueInbox, SetInbox, SetLimits, WholeSets
from protovine.sim import Link, Scenario, Simulator, arrival_times

NODES, FANOUT, RATE_HZ, SERVICE_HZ, DELAY_S = 3, 1, 5.0, 75.0, 0.01
LOADS = (0.2, 0.5, 0.9, 1.5, 4.0, 20.0)
DISCIPLINES: tuple[Discipline, ...] = ("lifo", "fifo", "newest-set", "random")
# Room in a queue, in sets. The theory of random draws is a limit of large queues.
ROOM = {"lifo": 15, "fifo": 15, "newest-set": 1, "random": 30}
SWARM: dict[str, Any] = {
    "nodes": NODES,
    "rate_hz": RATE_HZ,
    "service_hz": SERVICE_HZ,
    "fanout": FANOUT,
    "share_probability": 1.0,
    "delay_s": DELAY_S,
}
NAMES = ("fraction_trained", "trained_mean_s", "trained_p95_s", "known_mean_s", "known_peak_s", "known_p95_s")


class Case(NamedTuple):
    """An order of the queues, and about which load."""

    discipline: Discipline
    load: float

    @property
    def set_size(self) -> int:
        """Prototypes in a set: the load is λ(1 + L)/μ."""
        return round(self.load * SERVICE_HZ / RATE_HZ - 1)

    @property
    def queue_max(self) -> int:
        """Room in a queue: below saturation it hardly ever fills up."""
        return self.set_size * (ROOM[self.discipline] if self.load > 1 else 1000)

    def theory(self) -> TrainedAge:
        """The predicted ages."""
        return trained_age(**SWARM, set_size=self.set_size, queue_max=self.queue_max, discipline=self.discipline)

    @property
    def duration_s(self) -> float:
        """24 mean ages, of which 5 are the warm-up, and at least 60 seconds."""
        return max(24 * (self.theory().trained_mean_s or 0.0), 60.0)


CASES = [Case(discipline, load) for load in LOADS for discipline in DISCIPLINES]


class FixedSet:
    """A learner whose set never changes."""

    dim, n_classes, takes_missing, recency = 1, 2, False, 0.0

    def __init__(self, size: int) -> None:
        self._held = PrototypeSet.of(np.linspace(0.0, 1.0, size)[:, np.newaxis], np.arange(size) % 2)

    def __len__(self) -> int:
        return len(self._held)

    def predict(self, x: NDArray[np.float64], at_ns: int | None = None) -> Prediction:
        return Prediction(0, np.array([1.0, 0.0]))

    def predict_balanced(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.zeros(len(x), np.int64)

    def likelihood(self, x: NDArray[np.float64], code: int, at_ns: int) -> float:
        return 1.0

    def learn(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> int:
        return 0

    def learn_received(self, prototypes: PrototypeSet, origins: NDArray[np.int64]) -> int:
        return 0

    def scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.zeros(1), np.ones(1)

    def local_prototypes(self) -> PrototypeSet:
        return self._held

    def prototypes(self) -> PrototypeSet:
        return self._held

    def compressions(self) -> list[Any]:
        return []

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


def simulated(case: Case, seed: int) -> TrainingReport:
    """What the nodes of one simulated swarm trained."""
    samples = int(case.duration_s * RATE_HZ)
    rows = [np.arange(node * samples, (node + 1) * samples) for node in range(NODES)]
    scenario = Scenario(
        x=np.zeros((NODES * samples, 1)),
        y=np.zeros(NODES * samples, np.int64),
        rows=rows,
        at_ns=arrival_times(rows, rate_hz=RATE_HZ, seed=seed),
        seed=seed,
        link=Link(delay_ns=round(DELAY_S * SECOND_NS)),
    )

    def make_node(number: int, incarnation: int) -> Node:
        peers = [peer for peer in range(NODES) if peer != number]
        draw = rng.stream(seed, "inbox", number)
        inbox: SetInbox | QueueInbox = SetInbox(1, peers, draw)
        if case.discipline != "newest-set":
            inbox = QueueInbox(1, peers, case.queue_max, case.discipline, draw)
        learner = FixedSet(case.set_size)
        schedule = make_schedule("coin", FANOUT, 1.0, rng.stream(seed, "gossip", number))
        exchange = SetExchange(learner, PushGossip(number, peers), schedule, WholeSets(AlwaysGate(), SetLimits(1, 2)))
        return Node(learner, exchange, inbox, round(SECOND_NS / SERVICE_HZ), train_local=True)

    kept: list[Record] = []
    outcome = Simulator(scenario, make_node, kept.append).run()
    links = [[peer for peer in range(NODES) if peer != node] for node in range(NODES)]
    return measure_training(kept, links, outcome.virtual_ns)


def measured(cases: Sequence[Case], seeds: int, jobs: int = 2) -> dict[Case, list[TrainingReport]]:
    """What was trained in every case, for some seeds of its own, on ``jobs`` processes."""
    work = [(case, 1000 * CASES.index(case) + seed) for case in cases for seed in range(seeds)]
    reports = iter(Parallel(n_jobs=jobs)(delayed(simulated)(case, seed) for case, seed in work))
    return {case: [next(reports) for _ in range(seeds)] for case in cases}


def values(reports: Sequence[TrainingReport]) -> dict[str, list[float]]:
    """The measured values after the start, by the names of `TrainedAge`, one for each seed."""
    steady = [report.steady for report in reports if report.steady is not None]
    assert len(steady) == len(reports), "the runs were too short"
    found: dict[str, list[float | None]] = {
        "fraction_trained": [each.fraction.mean for each in steady],
        "trained_mean_s": [each.age.mean for each in steady],
        "trained_p95_s": [each.p95_s for each in steady],
        "known_mean_s": [each.known.age.mean for each in steady],
        "known_peak_s": [each.known.peak.mean for each in steady],
        "known_p95_s": [each.known.p95_s for each in steady],
    }
    return {name: [one for one in each if one is not None] for name, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    asked = parser.parse_args()
    print(f"{'load':>5} {'':<11}" + "".join(f"{name:>26}" for name in NAMES))
    for case, reports in measured(CASES, asked.seeds).items():
        theory, found = case.theory(), values(reports)
        cells = []
        for name in NAMES:
            here, known = Interval.of(found[name]), getattr(theory, name)
            cells.append(f"{here.mean:.4g} ± {here.half or 0:.2g} ({'–' if known is None else f'{known:.4g}'})")
        print(f"{theory.load:5.3g} {case.discipline:<11}" + "".join(f"{cell:>26}" for cell in cells))


if __name__ == "__main__":
    main()
