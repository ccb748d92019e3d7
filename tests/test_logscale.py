"""Which values count as skewed amounts, and that their scale can be undone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protovine.logscale import LINEAR, LogScales, from_log, skewed, to_log
from protovine.prototypes import FEATURE_MAX


def drawn(kind: str, rng: np.random.Generator, n: int = 400) -> np.ndarray:
    normal, log_normal = rng.normal(size=n), rng.lognormal(0, 1.5, n)
    return {
        "log-normal": log_normal,
        "above 1000": 1000 + log_normal,
        "below 5": 5 - log_normal,
        "mostly nothing": np.where(rng.random(n) < 0.6, 0.0, log_normal),
        "Pareto": rng.pareto(1.5, n),
        "Cauchy": rng.standard_cauchy(n),
        "normal": normal,
        "uniform": rng.uniform(size=n),
        "two heaps": normal + 20 * rng.integers(2, size=n),
        "flags": (normal > 1).astype(float),
        "categories": rng.integers(5, size=n).astype(float),
        "constant": np.full(n, 7.0),
        "one glitch": np.where(np.arange(n) == 3, 65535.0, normal),
    }[kind]


@pytest.mark.parametrize("kind", ["log-normal", "above 1000", "below 5", "mostly nothing", "Pareto"])
@pytest.mark.parametrize("seed", range(5))
def test_amounts_are_found_and_look_normal_on_their_scale(kind: str, seed: int) -> None:
    values = drawn(kind, np.random.default_rng(seed))
    found = skewed(values[:, np.newaxis])
    assert found.columns.tolist() == [0]
    for_people = np.unique(to_log(values[:, np.newaxis], found))
    middle, wide = (
        np.subtract(*np.quantile(for_people, [0.75, 0.25])),
        np.subtract(*np.quantile(for_people, [0.95, 0.05])),
    )
    assert wide / middle < 4  # A normal distribution has 2.4.


@pytest.mark.parametrize("kind", ["normal", "uniform", "two heaps", "flags", "categories", "constant", "one glitch"])
@pytest.mark.parametrize("seed", range(5))
def test_other_values_are_none(kind: str, seed: int) -> None:
    assert not len(skewed(drawn(kind, np.random.default_rng(seed))[:, np.newaxis]).columns)


def test_features_are_judged_one_by_one() -> None:
    rng = np.random.default_rng(0)
    rows = np.column_stack([drawn(kind, rng) for kind in ("normal", "log-normal", "flags", "below 5")])
    found = skewed(rows)
    assert found.columns.tolist() == [1, 3] and found.origin[0] == 0
    assert np.abs(found.origin[1] - rows[:, 3].max()) <= found.unit[1] / 16
    assert found.without(np.array([1, 2])).columns.tolist() == [3]
    assert found.same_as(found) and not found.same_as(LINEAR)
    assert skewed(rows[:19]) is LINEAR


@given(
    st.lists(st.floats(-FEATURE_MAX, FEATURE_MAX), min_size=1, max_size=9),
    st.floats(-FEATURE_MAX, FEATURE_MAX),
    st.floats(1e-30, FEATURE_MAX),
)
def test_a_scale_can_be_undone_and_keeps_the_order(values: list[float], origin: float, unit: float) -> None:
    scales = LogScales(np.array([1]), np.array([origin]), np.array([unit]))
    rows = np.column_stack([values, np.sort(values)])
    on = to_log(rows, scales)
    assert np.array_equal(on[:, 0], rows[:, 0]) and (np.diff(on[:, 1]) >= 0).all()
    again = from_log(on, scales)
    assert np.allclose(again[:, 1], rows[:, 1], rtol=1e-12, atol=1e-12 * (abs(origin) + unit))


@given(st.lists(st.floats(-FEATURE_MAX, FEATURE_MAX), min_size=20, max_size=60))
@example([0.0] * 4 + [i * 5e-324 for i in range(12)] + [FEATURE_MAX] * 4)
def test_whatever_the_values_a_scale_has_a_positive_unit(values: list[float]) -> None:
    found = skewed(np.array(values)[:, np.newaxis])
    assert (found.unit > 0).all() and np.isfinite(found.origin).all()
    assert np.isfinite(to_log(np.array(values)[:, np.newaxis], found)).all()
