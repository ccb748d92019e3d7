from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import protovine
from protovine.age import measure_age, predict_age
from protovine.records import Arrived, Learned, Received

SECOND = 10**9


def heard(at: int, created: int, node: int = 0, peer: int = 1) -> Received:
    return Received(at, node, peer, 1, 1, 1, created, 1, 9)


def learnt(at: int, node: int = 1) -> Learned:
    return Learned(at, node, 0, True, 1)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20)), max_size=8),
    st.lists(st.integers(0, 60), max_size=8),
    st.integers(60, 80),
)
def test_integrals_equal_a_sum_over_small_steps(news: list, samples: list, end: int) -> None:
    trace: list = [learnt(at) for at in samples] + [heard(at, max(0, at - delay)) for at, delay in news]
    trace.sort(key=lambda record: record.at_ns)
    report = measure_age(trace, [[1], []], end)
    # What was made at the very start says nothing new.
    known = [(at, at - delay) for at, delay in news if at > delay]
    if not known:
        assert report.mean_s is None
        return
    ages, versions = [], []
    for half in range(2 * end):  # Midpoints: every event is at an integer.
        t = (half + 0.5) / 2
        here = [made for at, made in known if at <= t]
        ages.append(t - max(here, default=0))
        versions.append(sum(at <= t and not any(made >= at for made in here) for at in samples))
    assert report.mean_s * SECOND == pytest.approx(np.mean(ages))
    assert report.version_mean == pytest.approx(np.mean(versions))


def test_a_stream_that_is_over_is_not_measured_beyond_it() -> None:
    trace = [Arrived(1 * SECOND, 1, 0, 0), heard(1 * SECOND, 1 * SECOND), Arrived(3 * SECOND, 1, 1, 0)]
    # Ages 0..1 and 0..2; what follows until 99 s does not count.
    assert (0.5 + 2) / 3 == pytest.approx(measure_age(trace, [[1], []], 99 * SECOND).mean_s)


def test_sawtooth_by_hand() -> None:
    trace = [learnt(1 * SECOND), heard(2 * SECOND, 1 * SECOND), learnt(3 * SECOND), heard(5 * SECOND, 4 * SECOND)]
    report = measure_age(trace, [[1], []], 6 * SECOND)
    # Ages 0..2, 1..4, 1..2; samples behind: one in [1, 2), one in [3, 5).
    assert (2 + 7.5 + 1.5) / 6 == pytest.approx(report.mean_s)
    assert (2 + 4) / 2 == report.peak_s
    assert (1 + 2) / 6 == pytest.approx(report.version_mean)
    assert (1, 0) == (report.pairs, report.silent_pairs)


def test_old_news_does_not_make_a_view_older() -> None:
    late = [heard(4, 3), heard(5, 2)]
    assert measure_age(late[:1], [[1], []], 9).mean_s == measure_age(late, [[1], []], 9).mean_s


def test_silent_pairs_age_from_the_start() -> None:
    report = measure_age([heard(1, 1)], [[1, 2], [], []], 4 * SECOND)
    assert (2, 1) == (report.pairs, report.silent_pairs)
    assert (2 + 2) / 2 == pytest.approx(report.mean_s, abs=1e-6)


def test_nodes_without_samples_make_no_news_to_be_measured() -> None:
    trace = [Arrived(SECOND, 1, 0, 0), heard(SECOND, SECOND), Arrived(4 * SECOND, 1, 1, 0)]
    with_an_idle_node = measure_age(trace, [[1, 2], [], []], 4 * SECOND)
    assert measure_age(trace, [[1], [], []], 4 * SECOND).mean_s == with_an_idle_node.mean_s


def test_curve_is_the_mean_age_at_its_times() -> None:
    trace = [heard(2 * SECOND, SECOND), heard(3 * SECOND, 2 * SECOND, peer=2)]
    report = measure_age(trace, [[1, 2], [0], []], 4 * SECOND, grid=4)
    assert [1, 2, 3, 4] == report.grid_s.tolist()
    # Ages of 1 and 2 at node 0, and of 0 at node 1, which hears nothing.
    expected = [(1 + 1 + 1) / 3, (1 + 2 + 2) / 3, (2 + 1 + 3) / 3, (3 + 2 + 4) / 3]
    assert expected == pytest.approx(report.age_s.tolist())


def test_without_messages_there_is_no_age() -> None:
    report = measure_age([learnt(1)], [[1], [0]], 10)
    assert (None, None, None) == (report.mean_s, report.peak_s, report.version_mean)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("order", "nodes", "s", "T"),
    [
        ("parallel", 2, 1, 0.5),
        ("parallel", 5, 4, 0.2),
        ("parallel", 5, 1, 0.5),
        ("parallel", 20, 4, 0.5),
        ("sequential", 5, 4, 0.2),
        ("sequential", 5, 2, 1.0),
    ],
)
def test_simulated_ages_agree_with_theory(order: str, nodes: int, s: int, T: float) -> None:
    schedule = {"parallel": "coin", "sequential": "sequential"}[order]
    expected = predict_age(nodes=nodes, s=s, T=T, rate_hz=10.0, schedule=schedule)
    x = np.random.default_rng(0).integers(0, 2, (30_000, 1)).astype(float)
    result = protovine.run(
        protovine.Experiment(
            presets="paper-base",
            data=(x, x[:, 0].astype(int)),
            gossip={"s": s, "T": T, "order": order},
            link={"delay_s": 0.0},
            # What is received need not be trained to have an age.
            swarm={"nodes": nodes, "train_rate_hz": 0.001},
            seeds=2,
        )
    )
    assert expected.mean_s == pytest.approx(result.interval("paper-base", "aoi_mean_s").mean, rel=0.04)
    if order == "parallel":
        assert expected.version_mean == pytest.approx(result.interval("paper-base", "version_age_mean").mean, rel=0.04)
