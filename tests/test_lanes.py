"""Vector instructions against plain arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from protovine.lanes import LANES, add_products, exponential


# Not cached: a cache of a test's kernel would not see that a file of the package has changed.
@njit
def add(target: np.ndarray, at: int, rows: np.ndarray, factors: np.ndarray, which: np.ndarray, count: int) -> None:
    add_products(target, at, rows, factors, which, count)


@njit
def exponentials(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.shape[0]):
        out[i] = exponential(x[i])


@given(st.integers(0, 12), st.integers(1, 9), st.integers(0, 2**32), st.data())
def test_products_are_added_in_order_to_the_last_bit(n: int, width: int, seed: int, data: st.DataObject) -> None:
    draw = np.random.default_rng(seed)
    which = np.array(data.draw(st.lists(st.integers(0, width - 1), min_size=1, max_size=2 * width)))
    count, at = data.draw(st.integers(0, len(which))), data.draw(st.integers(0, 2))
    target = draw.lognormal(size=(at + n + 1, LANES))
    rows, factors = draw.lognormal(size=(width, LANES)), draw.lognormal(size=(n, width))
    expected = target.copy()
    for t in which[:count]:
        for i in range(n):
            expected[at + i] += rows[t] * factors[i, t]
    add(target, at, rows, factors, which, count)
    assert target.tolist() == expected.tolist()


def test_exponentials_are_those_of_the_mathematical_library() -> None:
    x = np.concatenate([-np.geomspace(1e-12, 699.0, 20_000), -np.arange(700.0), [0.0]])
    made = np.empty(len(x))
    exponentials(x, made)
    expected = np.array([math.exp(each) for each in x])
    assert np.abs(made / expected - 1).max() < 1e-15
    assert made[-1] == 1.0


@pytest.mark.parametrize("x", [-700.0, -1e4, -1e300, -math.inf])
def test_the_least_exponential_is_almost_nothing(x: float) -> None:
    made = np.empty(1)
    exponentials(np.array([x]), made)
    assert 0.0 < made[0] < 1e-300
