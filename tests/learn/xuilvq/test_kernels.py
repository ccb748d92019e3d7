from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.learn import XuILVQCore
from protovine.stream import DataSet
from tests.conftest import interleaved
from tests.learn.xuilvq.twin import Twin


def assert_equal_to_the_last_bit(x: np.ndarray, y: np.ndarray, n_classes: int, **options: int) -> XuILVQCore:
    core, twin = XuILVQCore(x.shape[1], n_classes, **options), Twin(n_classes, **options)
    codes, proba = core.prequential(x, y, np.zeros(len(y), np.int64))
    for i, row in enumerate(x.tolist()):
        code, votes = twin.predict(row)
        assert code == codes[i], f"row {i}"
        assert np.array_equal(votes, proba[i]), f"row {i}"
        twin.learn(row, int(y[i]))
    held = core.prototypes()
    assert np.array_equal(np.array(twin.x).reshape(held.x.shape), held.x)
    assert twin.label == held.label.tolist()
    assert twin.mass == held.weight.tolist()
    return core


def test_kernels_equal_the_plain_twin_on_phishing(phishing: DataSet) -> None:
    x, y = interleaved(phishing)[0]
    assert_equal_to_the_last_bit(x, y, 2)


@pytest.mark.slow
def test_kernels_equal_the_plain_twin_on_elec(elec: DataSet) -> None:
    x, y = interleaved(elec)[2]
    core = assert_equal_to_the_last_bit(x, y, 2)
    assert len(core) == 116


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4), st.integers(5, 120), st.booleans())
def test_kernels_equal_the_plain_twin_on_random_streams(
    seed: int, dim: int, n_classes: int, rows: int, on_a_grid: bool
) -> None:
    draw = np.random.default_rng(seed)
    # On a grid distances tie and samples hit prototypes exactly.
    x = draw.integers(0, 3, (rows, dim)).astype(float) if on_a_grid else draw.normal(size=(rows, dim))
    y = draw.integers(0, n_classes, rows)
    assert_equal_to_the_last_bit(x, y, n_classes, n_neighbors=3, edge_age_max=6, denoise_every=10)


def test_a_batch_learns_as_its_rows_one_by_one(phishing: DataSet) -> None:
    x, y = interleaved(phishing)[1]
    at_once, one_by_one = XuILVQCore(9, 2), XuILVQCore(9, 2)
    at_once.learn(x, y, np.arange(len(y)))
    for i in range(len(y)):
        one_by_one.learn(x[i : i + 1], y[i : i + 1], np.array([i]))
    assert np.array_equal(at_once.prototypes().x, one_by_one.prototypes().x)
    assert np.array_equal(at_once.prototypes().event_ns, one_by_one.prototypes().event_ns)


@pytest.mark.parametrize(
    ("x", "codes", "message"),
    [
        (np.zeros((9, 1)), np.zeros(2, np.int64), "9 rows need as many codes"),
        (np.zeros((2, 3)), np.zeros(2, np.int64), r"shape \(n, 1\)"),
        (np.zeros((1, 1)), np.array([2]), "between 0 and 1, got 2 to 2"),
        (np.zeros((1, 1)), np.array([-1]), "got -1 to -1"),
        (np.array([[np.nan]]), np.array([0]), "finite"),
        (np.array([[1e39]]), np.array([0]), "within ±1e"),
    ],
)
def test_kernels_are_given_nothing_that_does_not_fit(x: np.ndarray, codes: np.ndarray, message: str) -> None:
    core = XuILVQCore(1, 2)
    for method in (core.learn, core.prequential):
        with pytest.raises(ValueError, match=message):
            method(x, codes, np.zeros(len(codes), np.int64))
    assert 0 == len(core)
    with pytest.raises(ValueError, match=r"shape \(1,\)"):
        core.predict(np.zeros(2))


def test_the_nearest_decides_when_all_are_too_far_to_vote() -> None:
    core = XuILVQCore(1, 2)
    core.learn(np.array([[0.0], [1.0]]), np.array([1, 0]), np.zeros(2, np.int64))
    assert (1, [0.0, 1.0]) == (core.predict(np.array([-1e200])).code, core.predict(np.array([-1e200])).proba.tolist())


def test_event_time_is_that_of_the_newest_sample_behind_a_prototype() -> None:
    core = XuILVQCore(1, 1)
    core.learn(np.array([[0.0], [1.0], [2.0]]), np.zeros(3, np.int64), np.array([5, 6, 7]))
    core.learn(np.array([[0.1]]), np.zeros(1, np.int64), np.array([3]))  # An old sample does not make it younger.
    assert [5, 6, 7] == core.prototypes().event_ns.tolist()
    core.learn(np.array([[0.2]]), np.zeros(1, np.int64), np.array([9]))
    assert [9, 6, 7] == core.prototypes().event_ns.tolist()
