"""What was trained, measured from made-up traces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.age import measure_age, measure_training
from protovine.records import Arrived, Learned, Received, Trained, TrainedRun

SECOND = 10**9


def heard(at: int, created: int, prototypes: int, node: int = 0, peer: int = 1) -> Received:
    return Received(at, node, peer, 1, 1, 1, created, prototypes, 9)


run = st.tuples(st.integers(0, 40), st.integers(0, 20), st.integers(0, 3), st.integers(1, 4))


@given(st.lists(run, min_size=1, max_size=6), st.integers(1, 30))
def test_fraction_and_ages_equal_lists(runs: list[tuple[int, int, int, int]], received: int) -> None:
    trace: list = [Learned(1, 1, 0, True, 1), heard(2, 1, received)]
    ages, teeth = [], []
    for first, age, step, count in sorted(runs):
        created = max(0, first - age)
        made = TrainedRun(1, created, first, step, count, count)
        trace.append(Trained(first + step * (count - 1), 0, count, 0, 1, (made,)))
        ages += [first - created + step * i for i in range(count)]
        teeth.append((first, created))
    found = measure_training(trace, [[1], []], 60)
    assert (received, len(ages)) == (found.received, found.trained)
    assert found.fraction == len(ages) / received
    assert found.mean_s * SECOND == pytest.approx(np.mean(ages))
    assert found.p95_s * SECOND == pytest.approx(np.quantile(ages, 0.95, method="inverted_cdf"))
    times = np.arange(0, 60, 0.5) + 0.25
    newest = [max((made for at, made in teeth if at <= t), default=0) for t in times]
    if max(made for _, made in teeth) > 0:
        assert found.known.mean_s * SECOND == pytest.approx(np.mean(times - newest))
    else:
        assert None is found.known.mean_s


def test_knowledge_is_older_when_it_is_trained_than_when_it_arrives() -> None:
    trace = [
        Learned(1, 1, 0, True, 1),
        heard(10, 5, 2),
        Trained(20, 0, 1, 1, 1, (TrainedRun(1, 5, 20, 0, 1, 1),)),
        heard(30, 25, 2),
        Trained(40, 0, 1, 0, 1, (TrainedRun(1, 5, 40, 0, 1, 0),)),  # Once more of the old set.
    ]
    at_arrival = measure_age(trace, [[1], []], 50)
    at_training = measure_age(trace, [[1], []], 50, known_at="training")
    assert (10 * 10 / 2 + 20 * 15 + 20 * 15) / 50 == pytest.approx(at_arrival.mean_s * SECOND)
    assert (20 * 10 + 30 * 30) / 50 == pytest.approx(at_training.mean_s * SECOND)
    training = measure_training(trace, [[1], []], 50)
    assert (0.25, 25e-9) == (training.fraction, pytest.approx(training.mean_s))


def test_ages_end_with_the_last_sample_of_the_sender() -> None:
    trained = [Trained(at, 0, 1, 1, 1, (TrainedRun(1, 5, at, 0, 1, 1),)) for at in (15, 40)]
    trace = [heard(10, 5, 2), trained[0], Arrived(30, 1, 0, 0), trained[1], Arrived(50, 0, 0, 0)]
    found = measure_training(trace, [[1], []], 50)
    assert (1.0, 10e-9) == (found.fraction, pytest.approx(found.mean_s))


def test_a_server_trains_nothing_and_what_it_sends_is_as_old_as_its_messages() -> None:
    trace = [
        Arrived(1 * SECOND, 0, 0, 0),
        Learned(1 * SECOND, 0, 0, True, 1),
        heard(2 * SECOND, 1 * SECOND, 3, node=1, peer=0),  # The server hears of the client, and trains nothing.
        heard(4 * SECOND, 3 * SECOND, 2, node=0, peer=1),
        Trained(5 * SECOND, 0, 2, 0, 2, (TrainedRun(1, 3 * SECOND, 5 * SECOND, 0, 2, 2),)),
        Arrived(9 * SECOND, 0, 1, 0),
    ]
    found = measure_training(trace, [[1], [0]], 10 * SECOND)
    assert (2, 2, 1.0, 2.0) == (found.received, found.trained, found.fraction, found.mean_s)
    assert None is found.known.mean_s is found.steady


def test_a_node_without_samples_counts_if_it_trains() -> None:
    trace = [
        Arrived(1 * SECOND, 0, 0, 0),
        heard(2 * SECOND, 1 * SECOND, 4, node=1, peer=0),
        Trained(4 * SECOND, 1, 2, 0, 2, (TrainedRun(0, 1 * SECOND, 4 * SECOND, 0, 2, 2),)),
        Arrived(9 * SECOND, 0, 1, 0),
    ]
    found = measure_training(trace, [[], [0]], 10 * SECOND)
    assert (4, 2, 0.5, 3.0) == (found.received, found.trained, found.fraction, found.mean_s)


def test_pairs_that_are_not_judged_do_not_count() -> None:
    trace = [
        heard(10, 5, 2, node=0, peer=1),
        heard(10, 5, 8, node=0, peer=2),
        Trained(20, 0, 2, 1, 1, (TrainedRun(2, 5, 12, 0, 1, 1), TrainedRun(1, 5, 15, 0, 1, 1))),
    ]
    found = measure_training(trace, [[1], [], []], 50)
    assert (2, 1, 0.5, 10e-9) == (found.received, found.trained, found.fraction, pytest.approx(found.mean_s))


@pytest.mark.parametrize(
    ("trace", "fraction", "reason"),
    [
        ([], None, "nothing arrived"),
        ([heard(10, 5, 0)], None, "messages had no prototypes"),
        ([heard(10, 5, 2)], 0.0, "none of the received prototypes was trained"),
        ([heard(10, 5, 2), Trained(20, 0, 1, 1, 1)], None, "does not say which"),
    ],
)
def test_what_is_not_known_has_a_reason(trace: list, fraction: float | None, reason: str) -> None:
    found = measure_training(trace, [[1], []], 50)
    assert (fraction, None, None, None) == (found.fraction, found.mean_s, found.known, found.steady)
    assert reason in found.reason
