"""What a busy node trains: theory against an event simulation written for this test, and against the real simulator."""

from __future__ import annotations

import math
from bisect import bisect
from typing import NamedTuple

import numpy as np
import pytest
from benchmarks import scheduler
from scipy import stats

from protovine.age import BatchMeans, TrainedAge, trained_age
from protovine.errors import ConfigError

PUBLISHED = {"nodes": 5, "rate_hz": 5.0, "set_size": 250, "service_hz": 300.0, "fanout": 4}


def test_published_setting() -> None:
    lifo = trained_age(**PUBLISHED)
    assert 16.683 == pytest.approx(lifo.load, abs=1e-3)
    assert 295 / (5 * 250 * 4) == pytest.approx(lifo.fraction_trained)
    assert 0.2 == pytest.approx(lifo.trained_mean_s, rel=1e-6)
    assert 0.2 * math.log(20) == pytest.approx(lifo.trained_p95_s, rel=1e-3)
    fifo = trained_age(**PUBLISHED, discipline="fifo")
    assert 204 == pytest.approx(fifo.trained_mean_s, rel=1e-6)
    # The time since the 1020th newest set.
    assert stats.gamma(1020, scale=0.2).ppf(0.95) == pytest.approx(fifo.trained_p95_s, rel=1e-6)
    newest = trained_age(**PUBLISHED, discipline="newest-set")
    assert 1 / (1 + lifo.load) == pytest.approx(newest.fraction_trained, rel=0.02)
    assert (lifo.known_mean_s, lifo.known_peak_s) == (newest.known_mean_s, newest.known_peak_s)


@pytest.mark.parametrize("discipline", ["lifo", "fifo", "newest-set", "random"])
def test_a_delay_makes_everything_older_and_loss_is_a_smaller_rate(discipline: str) -> None:
    now = trained_age(**PUBLISHED, discipline=discipline)
    later = trained_age(**PUBLISHED, discipline=discipline, delay_s=0.5)
    for name in ("trained_mean_s", "trained_p95_s", "known_mean_s", "known_peak_s", "known_p95_s"):
        before, after = getattr(now, name), getattr(later, name)
        assert (before is None and after is None) or after == pytest.approx(before + 0.5)
    lossy = trained_age(**PUBLISHED, discipline=discipline, loss=0.5)
    assert lossy == trained_age(**PUBLISHED, discipline=discipline, share_probability=0.5)


def test_mean_ages_agree_on_both_ways_to_one_peer() -> None:
    # By Little's law, and as the mean of the distribution of a busy period.
    swarm = {"nodes": 2, "rate_hz": 0.001, "set_size": 40, "service_hz": 0.05, "share_probability": 1.0}
    found = trained_age(**swarm)
    busy_s = 40 / (0.05 - 0.001) / 2 / (1 - 0.001 * 40 / (0.05 - 0.001))
    assert found.load < 1
    assert busy_s == pytest.approx(found.trained_mean_s, rel=0.01)
    assert found.trained_p95_s > found.trained_mean_s


def test_values_that_are_not_known_are_none() -> None:
    stable = trained_age(**PUBLISHED | {"service_hz": 6000.0}, discipline="fifo")
    assert (1.0, None, None) == (stable.fraction_trained, stable.trained_p95_s, stable.known_mean_s)
    assert "not known" in stable.method
    for discipline in ("lifo", "fifo", "random"):
        for queue_max in (100, 600):  # Less than a set, and two of them.
            short = trained_age(**PUBLISHED | {"service_hz": 3000.0}, queue_max=queue_max, discipline=discipline)
            assert (None, None) == (short.fraction_trained, short.trained_mean_s)
            assert "too short" in short.method
    assert trained_age(**PUBLISHED, share_probability=0.0).known_mean_s == math.inf
    crowded = trained_age(**PUBLISHED | {"rate_hz": 299.9})
    assert None is crowded.known_mean_s and "99%" in crowded.method
    idle = trained_age(**PUBLISHED | {"rate_hz": 300.0})
    assert (0.0, math.inf) == (idle.fraction_trained, idle.known_mean_s)


@pytest.mark.parametrize("local", [0.01, 0.5, 0.98])
def test_turns_have_the_moments_of_a_busy_period(local: float) -> None:
    swarm = {"nodes": 4, "rate_hz": 100 * local, "set_size": 500, "service_hz": 100.0, "share_probability": 1.0}
    w, one = 0.03, local
    mean, variance = w / (1 - one), w * one / 100 / (1 - one) ** 3
    nu = 100 * local
    expected = 1 / nu + (variance + mean**2) / (2 * mean)
    assert expected == pytest.approx(trained_age(**swarm, discipline="newest-set").known_mean_s, rel=1e-9)


def test_every_load_gives_values_or_a_reason() -> None:
    draw = np.random.default_rng(0)
    for _ in range(150):
        swarm = {
            "nodes": int(draw.integers(2, 8)),
            "rate_hz": float(10 ** draw.uniform(-2, 2)),
            "set_size": int(10 ** draw.uniform(0, 3)),
            "service_hz": float(10 ** draw.uniform(-1, 4)),
            "share_probability": float(draw.random()),
            "queue_max": int(10 ** draw.uniform(0, 5)),
        }
        for discipline in ("lifo", "newest-set", "random", "fifo"):
            age = trained_age(**swarm, discipline=discipline)
            assert age.fraction_trained is None or 0 <= age.fraction_trained <= 1
            if age.trained_mean_s is None:
                assert "not" in age.method
            else:
                assert 0 < age.trained_mean_s < math.inf
            for value in (age.trained_p95_s, age.known_mean_s, age.known_peak_s, age.known_p95_s):
                assert value is None or value > 0  # Not NaN either.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"service_hz": 0.0}, "service_hz must be"),
        ({"set_size": 0}, "set_size must be"),
        ({"queue_max": 0}, "queue_max must be"),
        ({"fanout": 5}, "fanout must be"),
        ({"delay_s": -1.0}, "delay_s must be"),
        ({"discipline": "filo"}, "unknown discipline 'filo'"),
    ],
)
def test_wrong_values_are_named(change: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        trained_age(**PUBLISHED | change)


class Tiny(NamedTuple):
    """Swarm of the event simulation: ``peers`` that send at rate ``nu`` each."""

    peers: int
    local_hz: float
    nu: float
    size: int
    service_hz: float
    room: int
    end_s: float

    def theory(self, discipline: str) -> TrainedAge:
        return trained_age(
            nodes=self.peers + 1,
            rate_hz=self.local_hz,
            share_probability=self.nu / self.local_hz,
            set_size=self.size,
            service_hz=self.service_hz,
            queue_max=self.room,
            discipline=discipline,
        )


def tiny(swarm: Tiny, discipline: str, seed: int, warm_s: float) -> dict[str, float]:
    """One device, event by event: it knows nothing of the code under test."""
    draw = np.random.default_rng(seed)

    def poisson(rate: float) -> list[float]:
        return (np.sort(draw.random(draw.poisson(rate * swarm.end_s))) * swarm.end_s).tolist()

    events = sorted(
        [(at, -1) for at in poisson(swarm.local_hz)]
        + [(at, peer) for peer in range(swarm.peers) for at in poisson(swarm.nu)]
    )
    queues: list[list[float]] = [[] for _ in range(swarm.peers)]
    drawn: list[set[int]] = [set() for _ in range(swarm.peers)]
    now = local = turn = 0.0
    rest = None
    received = fresh = 0
    ages: list[float] = []
    teeth: list[list[tuple[float, float]]] = [[(0.0, 0.0)] for _ in range(swarm.peers)]
    for at, peer in events:
        while now < at:
            if local:
                step = min(local, at - now)
                now, local = (at, local - step) if step < local else (now + step, 0.0)
                continue
            if rest is None:
                if not any(queues):
                    now = at
                    break
                rest = 1 / swarm.service_hz
            if rest > at - now:
                rest, now = rest - (at - now), at
                break
            now, rest = now + rest, None
            while not queues[int(turn)]:
                turn = (turn + 1) % swarm.peers
            k, queue = int(turn), queues[int(turn)]
            turn = (turn + 1) % swarm.peers
            new = True
            if discipline == "newest-set":
                i = int(draw.integers(len(queue)))
                made, new = queue[i], i not in drawn[k]
                drawn[k].add(i)
            else:
                made = queue.pop({"lifo": -1, "fifo": 0}.get(discipline, int(draw.integers(len(queue)))))
            if now > warm_s:
                ages.append(now - made)
                fresh += new
            if made > teeth[k][-1][1]:
                teeth[k].append((now, made))
        if peer < 0:
            local += 1 / swarm.service_hz
            continue
        received += swarm.size * (at > warm_s)
        if discipline == "newest-set":
            queues[peer], drawn[peer] = [], set()
        queues[peer] = (queues[peer] + [at] * swarm.size)[-swarm.room :]
    area = peaks = count = 0.0
    for each in teeth:
        first = bisect(each, (warm_s, 0.0))
        for (a, made), (b, _) in zip(each[first:], each[first + 1 :], strict=False):
            area += (b - a) * ((a + b) / 2 - made)
            peaks += b - made
            count += 1
    span = sum(each[-1][0] - each[bisect(each, (warm_s, 0.0))][0] for each in teeth)
    return {
        "fraction_trained": fresh / received,
        "trained_mean_s": float(np.mean(ages)),
        "trained_p95_s": float(np.quantile(ages, 0.95)),
        "known_mean_s": area / span,
        "known_peak_s": peaks / count,
    }


@pytest.mark.parametrize(
    ("swarm", "discipline", "warm_s"),
    [
        (Tiny(3, 2.0, 0.5, 4, 40.0, 400, 1500), "lifo", 50),
        (Tiny(1, 2.0, 1.0, 8, 20.0, 4000, 1500), "lifo", 100),
        (Tiny(2, 2.0, 1.0, 12, 16.0, 240, 400), "lifo", 100),
        (Tiny(2, 2.0, 1.0, 12, 16.0, 126, 400), "fifo", 100),
        (Tiny(2, 2.0, 1.0, 50, 24.0, 1000, 400), "fifo", 60),
        (Tiny(2, 6.0, 1.0, 12, 16.0, 240, 400), "newest-set", 30),
        (Tiny(2, 2.0, 1.0, 12, 12.0, 720, 600), "random", 200),
    ],
)
def test_theory_agrees_with_an_event_simulation(swarm: Tiny, discipline: str, warm_s: float) -> None:
    theory = swarm.theory(discipline)
    each = [tiny(swarm, discipline, seed, warm_s) for seed in range(8)]
    compared = 0
    for name in each[0]:
        values, expected = np.array([one[name] for one in each]), getattr(theory, name)
        if expected is None:
            continue
        compared += 1
        slack = theory.known_error_s if name.startswith("known") else 0.0
        half = stats.t.ppf(0.9999, 7) * stats.sem(values) + slack
        assert half < 0.4 * expected, f"{name}: the interval is too wide to test anything"
        assert abs(values.mean() - expected) < half + 1e-3 * expected, (name, values.mean(), half, expected)
    assert compared >= 3


# Below and above saturation, for each order of the queues. Of the loads above it, each order has those that take least.
LOADS = {
    "lifo": (0.5, 0.9, 1.5, 20.0),
    "fifo": (0.5, 0.9, 1.5, 4.0),
    "newest-set": (0.5, 0.9, 1.5, 20.0),
    "random": (0.5, 0.9, 4.0),
}
SIMULATED = [case for case in scheduler.CASES if case.load in LOADS[case.discipline]]


@pytest.mark.slow
def test_the_simulator_agrees_with_theory_at_every_load() -> None:
    """At a family-wise level of 99 %; seeds and settings were fixed beforehand."""
    found: list[tuple[str, float, float, float, int, float]] = []
    for case, reports in scheduler.measured(SIMULATED, 4, jobs=1).items():
        theory = case.theory()
        steady = [report.steady for report in reports if report.steady is not None]
        assert len(steady) == len(reports)
        means = {
            "fraction_trained": [each.fraction for each in steady],
            "trained_mean_s": [each.age for each in steady],
            "known_mean_s": [each.known.age for each in steady],
            "known_peak_s": [each.known.peak for each in steady],
        }
        for name, parts in means.items():
            joined = BatchMeans.joined(parts)
            batches = joined.sums / joined.weights
            slack = theory.known_error_s if name == "known_mean_s" else 0.0
            expected = getattr(theory, name)
            found.append((f"{case}: {name}", expected, joined.mean, stats.sem(batches), len(batches), slack))
        for name, p95s in (
            ("trained_p95_s", [each.p95_s for each in steady]),
            ("known_p95_s", [each.known.p95_s for each in steady]),
        ):
            found.append((f"{case}: {name}", getattr(theory, name), np.mean(p95s), stats.sem(p95s), len(p95s), 0.0))
    known = [each for each in found if each[1] is not None]
    assert len(known) > 65
    missed = []
    for what, expected, mean, error, count, slack in known:
        # Intervals from four runs alone are wide: their quantiles of t are those of one comparison.
        level = 0.005 / len(known) if count > 4 else 0.005
        half = stats.t.ppf(1 - level, count - 1) * error
        assert half < 0.6 * expected, f"{what}: the interval is too wide to test anything"
        if abs(mean - expected) > half + slack + 1e-3 * expected:
            missed.append(f"{what}: {mean:.4f} ± {half:.4f}, expected {expected:.4f}")
    assert [] == missed
