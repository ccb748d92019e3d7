from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import protovine
from protovine.age import SteadyAges, measure_age, useful_push
from protovine.experiments.run.trace import trace_name
from protovine.records import Arrived, Learned, Received, Sent, read_trace

SECOND = 10**9


def heard(at: int, created: int, node: int = 0, peer: int = 1) -> Received:
    return Received(at, node, peer, 1, 1, 1, created, 1, 9)


def sent(at: int, node: int = 1) -> Sent:
    return Sent(at, node, 0, "log", 1, 1, 1, 9, 9, 0)


def learnt(at: int, node: int = 1, changes: bool = True) -> Learned:
    return Learned(at, node, 0, changes, 1)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20)), max_size=8),
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=8),
    st.integers(60, 80),
)
def test_integrals_equal_a_sum_over_small_steps(heard_at: list, samples: list, end: int) -> None:
    trace: list = [learnt(at, changes=changes) for at, changes in samples]
    trace += [heard(at, max(0, at - delay)) for at, delay in heard_at]
    trace.sort(key=lambda record: record.at_ns)
    report = measure_age(trace, [[1], []], end)
    # What was made at the very start says nothing new.
    known = [(at, at - delay) for at, delay in heard_at if at > delay]
    if not known:
        assert report.mean_s is None
        return
    ages, versions, incorrect = [], [], []
    right_at = -1.0
    for half in range(2 * end):  # Midpoints: every event is at an integer.
        t = (half + 0.5) / 2
        here = [made for at, made in known if at <= t]
        ages.append(t - max(here, default=0))
        versions.append(sum(at <= t and not any(made >= at for made in here) for at, _ in samples))
        if not any(changes and max(here, default=-1) < at <= t for at, changes in samples):
            right_at = t
        wrong_from = min((at for at, changes in samples if changes and at > right_at), default=t)
        incorrect.append(max(0.0, t - wrong_from))
    assert report.mean_s * SECOND == pytest.approx(np.mean(ages))
    assert report.version_mean == pytest.approx(np.mean(versions))
    if any(changes for _, changes in samples):
        assert report.incorrect_s * SECOND == pytest.approx(np.mean(incorrect))
        assert report.incorrect_fraction == pytest.approx(np.mean(np.array(incorrect) > 0))
    else:
        assert (None, None) == (report.incorrect_s, report.incorrect_fraction)

    def exceeded(age: float) -> float:
        # Around a midpoint the age is uniform over half a unit.
        return float(np.mean(np.clip((np.array(ages) + 0.25 - age) / 0.5, 0.0, 1.0)))

    x = np.linspace(0.0, end, 50)
    assert [exceeded(age) for age in x] == pytest.approx(report.law.survival(x / SECOND).tolist())
    assert 0.05 == pytest.approx(exceeded(report.p95_s * SECOND))


def test_views_of_models_without_prototypes_are_neither_right_nor_wrong() -> None:
    trace = [learnt(at * SECOND, changes=False) for at in range(1, 100)]
    trace += [heard(at * SECOND + 1, at * SECOND) for at in range(1, 100)]
    report = measure_age(sorted(trace, key=lambda record: record.at_ns), [[1], []], 100 * SECOND)
    assert report.mean_s == pytest.approx(0.5, abs=0.02)
    assert (None, None) == (report.incorrect_s, report.incorrect_fraction)
    assert None is report.steady.incorrect.mean
    assert report.steady.age.mean is not None


def test_incorrect_information_by_hand() -> None:
    trace = [
        learnt(1 * SECOND),  # Wrong from 1 to 3.
        learnt(2 * SECOND),
        heard(3 * SECOND, 2 * SECOND),
        learnt(4 * SECOND, changes=False),  # Nothing that could be wrong.
        learnt(5 * SECOND),  # Wrong from 5 on: what comes at 7 was made before the change at 6.
        learnt(6 * SECOND),
        heard(7 * SECOND, 5 * SECOND),
    ]
    report = measure_age(trace, [[1], []], 8 * SECOND)
    assert (2**2 / 2 + 3**2 / 2) / 8 == report.incorrect_s
    assert 5 / 8 == report.incorrect_fraction


def test_incorrect_information_agrees_with_the_closed_form() -> None:
    theory = useful_push(nodes=2, rate_hz=2.0, change_hz=0.5)
    draw = np.random.default_rng(0)
    end_s = 10_000
    changes, pushes = (np.sort(draw.random(draw.poisson(rate * end_s)) * end_s) for rate in (0.5, 2.0))
    trace: list = [learnt(round(at * SECOND)) for at in changes]
    trace += [heard(round(at * SECOND), round(at * SECOND)) for at in pushes]
    trace.sort(key=lambda record: record.at_ns)
    report = measure_age(trace, [[1], []], end_s * SECOND)
    assert theory.incorrect_s == pytest.approx(report.incorrect_s, rel=0.03)
    assert theory.incorrect_probability == pytest.approx(report.incorrect_fraction, rel=0.03)
    assert report.steady.incorrect.mean == pytest.approx(report.incorrect_s, rel=0.01)
    # Without the filter, which does not change what is incorrect, the age is that of all pushes.
    assert 0.5 == pytest.approx(report.mean_s, rel=0.03)


def test_intervals_cover_what_is_true() -> None:
    """Poisson pushes to three peers at once: 95 % intervals hold the exact mean 1/rate in about 95 % of the runs."""
    draw = np.random.default_rng(0)
    covered, runs, end_s = 0, 200, 400
    for _ in range(runs):
        pushes = np.sort(draw.random(draw.poisson(end_s)) * end_s)
        times = (pushes * SECOND).astype(np.int64).tolist()
        trace = [heard(at, at, node, peer=3) for at in times for node in (0, 1, 2)]
        age = measure_age(trace, [[3], [3], [3], []], end_s * SECOND).steady.age
        assert 20 == len(age.sums)
        covered += abs(age.mean - 1.0) <= age.half
    assert 0.91 <= covered / runs <= 0.99


def test_short_runs_have_no_interval() -> None:
    every_second = [heard(at * SECOND, at * SECOND) for at in range(1, 100)]

    def steady(end_s: int) -> SteadyAges | None:
        return measure_age(every_second, [[1], []], end_s * SECOND).steady

    # Ages go from 0 to 1: the start is 2.5 s, and a batch 5 s long.
    assert None is steady(7)
    assert (1, None) == (len(steady(16).age.sums) - 1, steady(16).age.half)
    assert 0.5 == pytest.approx(steady(18).age.mean, rel=0.02)
    assert steady(18).age.half is not None
    assert 18 == steady(18).until_s


def test_batches_of_time_add_up_to_the_whole() -> None:
    draw = np.random.default_rng(1)
    trace: list = [learnt(at, node, at % 3 == 0) for node in (0, 1, 2) for at in draw.integers(0, 9000, 300).tolist()]
    for node, peer in ((0, 1), (1, 0), (1, 2)):
        trace += [heard(at, max(0, at - 20), node, peer) for at in draw.integers(1, 9000, 300).tolist()]
    trace.sort(key=lambda record: record.at_ns)
    links = [[1], [0, 2], []]
    whole = measure_age(trace, links, 9000)
    steady = whole.steady
    first_ns = round(steady.from_s * SECOND)

    def upto(end_ns: int) -> np.ndarray:
        part = measure_age([record for record in trace if record.at_ns <= end_ns], links, end_ns)
        return np.array([part.mean_s, part.version_mean, part.incorrect_s]) * end_ns

    expected = (upto(9000) - upto(first_ns)) / (9000 - first_ns)
    assert expected.tolist() == pytest.approx([steady.age.mean, steady.version.mean, steady.incorrect.mean])


def test_each_pair_has_its_own_ages() -> None:
    trace = [learnt(SECOND), heard(2 * SECOND, SECOND), heard(2 * SECOND, 2 * SECOND, node=2)]
    each = measure_age(trace, [[1, 2], [], [1]], 4 * SECOND).each
    assert [(0, 1), (0, 2), (2, 1)] == list(zip(each.node.tolist(), each.origin.tolist(), strict=True))
    # 0 to 2, then 1 to 3; never; 0 to 2 twice.
    assert [1.5, 2.0, 1.0] == each.mean_s.tolist()
    assert [1, 0, 1] == each.receptions.tolist()
    assert 2.0 == each.peak_s[0] and np.isnan(each.peak_s[1])
    assert [(0, 2), (0, 1)] == [(pair["node"], pair["origin"]) for pair in each.worst(2)]
    assert None is each.worst(1)[0]["peak_s"]
    assert 1.75 == each.of_nodes(3)[0] and np.isnan(each.of_nodes(3)[1])


def test_messages_of_other_nodes_do_not_change_an_age() -> None:
    # Were pairs numbered carelessly, (0, 2) of two nodes would be (1, 0).
    stranger = [heard(1, 1, node=0, peer=2), heard(1, 1, node=2, peer=1)]
    own = [heard(2, 1, node=0, peer=1)]
    assert measure_age(own, [[1], [0]], 9).mean_s == measure_age(stranger + own, [[1], [0]], 9).mean_s
    assert None is measure_age(stranger, [[1], [0]], 9).mean_s


def test_a_device_counts_from_when_it_started() -> None:
    start = 1_700_000_000 * SECOND
    trace = [learnt(1 * SECOND), heard(2 * SECOND, 1 * SECOND), learnt(3 * SECOND)]
    later = [learnt(start + 1 * SECOND), heard(start + 2 * SECOND, start + 1 * SECOND), learnt(start + 3 * SECOND)]
    now = measure_age(trace, [[1], []], 4 * SECOND)
    then = measure_age(later, [[1], []], start + 4 * SECOND, start_ns=start)
    assert vars(now.each)["mean_s"].tolist() == vars(then.each)["mean_s"].tolist()
    assert (now.mean_s, now.version_mean, now.incorrect_s) == (then.mean_s, then.version_mean, then.incorrect_s)


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


def test_an_older_message_does_not_make_a_view_older() -> None:
    late = [heard(4, 3), heard(5, 2)]
    assert measure_age(late[:1], [[1], []], 9).mean_s == measure_age(late, [[1], []], 9).mean_s


def test_silent_pairs_age_from_the_start() -> None:
    report = measure_age([heard(1, 1)], [[1, 2], [], []], 4 * SECOND)
    assert (2, 1) == (report.pairs, report.silent_pairs)
    assert (2 + 2) / 2 == pytest.approx(report.mean_s, abs=1e-6)


def test_pairs_with_a_sender_without_samples_are_not_measured() -> None:
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


@pytest.mark.parametrize("arrivals", ["poisson", "clock"])
@pytest.mark.parametrize("schedule", ["drift-age", "broadcast"])
def test_messages_that_carry_milliseconds_know_the_sample_that_made_them(
    tmp_path: Path, arrivals: str, schedule: str
) -> None:
    experiment = protovine.Experiment(
        presets=["default"],
        seeds=1,
        data={"limit": 500},
        swarm={"arrivals": arrivals},
        gossip={"schedule": schedule},
        medium={"profile": "lan" if schedule == "broadcast" else "none"},
    )
    run = protovine.run(experiment, out=tmp_path / "run").runs[0]
    header, found = read_trace(tmp_path / "run" / "traces" / trace_name("default", 0))
    records, neighbours = list(found), header["neighbours"]
    # Counted from what each message says that its sender had learnt.
    learnt_at, last, versions = {}, {}, []
    for i in range(len(neighbours)):
        learnt_at[i] = [each.at_ns for each in records if isinstance(each, Learned) and each.node == i]
        last[i] = max(each.at_ns for each in records if isinstance(each, Arrived) and each.node == i)
    for node, origins in enumerate(neighbours):
        for origin in origins:
            until = last[origin]
            received = [
                # A sample of the nanosecond in which a timer sends a message counts as known, though it is learnt next.
                (each.at_ns, max(each.samples_learnt, bisect_right(learnt_at[origin], each.created_ns)))
                for each in records
                if isinstance(each, Received) and (each.node, each.peer) == (node, origin) and each.at_ns <= until
            ]
            known, area, since = 0, 0, 0
            for at, samples in [*received, (until, 0)]:
                area += known * (at - since)
                known, since = max(known, samples), at
            versions.append((sum(until - at for at in learnt_at[origin] if at <= until) - area) / until)
    # Of two messages within one millisecond the second makes no age smaller.
    assert run.metrics["version_age_mean"] == pytest.approx(np.mean(versions), rel=2e-3)


def test_times_that_are_exact_stay_so() -> None:
    trace = [learnt(1_500_000), sent(1_500_000), learnt(1_700_000), sent(1_700_000), heard(2_000_000, 1_500_000)]
    exact = measure_age(trace, [[1], []], 4_000_000).version_mean
    assert exact == pytest.approx((1 * 0.2 + 2 * 0.3 + 1 * 2.0) / 4)
    rounded = measure_age([*trace[:4], heard(2_000_000, 1_000_000)], [[1], []], 4_000_000).version_mean
    assert rounded == pytest.approx((1 * 0.2 + 2 * 0.3) / 4)
    # Those of a real swarm count from a start that is no whole millisecond.
    shifted = measure_age([*trace[:4], heard(2_000_000, 1_242_765)], [[1], []], 4_000_000).version_mean
    assert shifted == rounded
