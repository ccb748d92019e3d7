"""The pool: what it adds to the hedge, and when it knows the last label."""

from __future__ import annotations

import numpy as np
import pytest

from protovine.learn import HedgedLVQCore
from protovine.learn.hedged.experts import BY_DEPENDENCE
from tests.learn.hedged.streams import SECOND, seconds
from tests.learn.hedged.test_quality import calibration_error


def persistent(n: int = 3000, stay: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Noisy samples of three classes that stay for a while."""
    draw = np.random.default_rng(0)
    codes = np.zeros(n, np.int64)
    for i in range(1, n):
        codes[i] = codes[i - 1] if draw.random() < stay else draw.integers(3)
    return draw.normal(size=(3, 4))[codes] * 0.7 + draw.normal(size=(n, 4)), codes


def curved(n: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Samples of three classes that differ by their covariances."""
    draw = np.random.default_rng(1)
    codes = draw.integers(3, size=n)
    shape = draw.normal(size=(3, 8, 8))
    return np.einsum("nij,nj->ni", shape[codes], draw.normal(size=(n, 8))), codes


def accuracy(x: np.ndarray, codes: np.ndarray, *ablate: str) -> float:
    core = HedgedLVQCore(x.shape[1], 3, ablate=ablate)
    predicted, _ = core.prequential(x, codes, seconds(len(x)))
    return float((predicted == codes)[500:].mean())


def test_transitions_help_where_labels_persist() -> None:
    x, codes = persistent()
    assert accuracy(x, codes) > accuracy(x, codes, "transition") + 0.03
    assert accuracy(x, codes) > accuracy(x, codes, "pool") + 0.03


def test_normal_distributions_help_where_classes_are_normal() -> None:
    x, codes = curved()
    assert accuracy(x, codes) > accuracy(x, codes, "gaussian") + 0.03


def test_the_pool_calibrates() -> None:
    x, codes = persistent()
    made = {ablate: HedgedLVQCore(4, 3, ablate=ablate) for ablate in ((), ("pool",))}
    error = {
        ablate: calibration_error(codes, core.prequential(x, codes, seconds(len(x)))[1])
        for ablate, core in made.items()
    }
    assert error[()] < 0.03 < error[("pool",)]


@pytest.mark.parametrize("delay", [1, 5])
def test_labels_that_come_late_are_not_taken_for_the_last_one(delay: int) -> None:
    """Every sample is predicted before the label of the one ``delay`` earlier arrives."""
    x, codes = persistent(1500)
    whole, part = HedgedLVQCore(4, 3), HedgedLVQCore(4, 3, ablate=("transition",))
    for i in range(len(x)):
        at_ns = (i + 1) * SECOND
        made = [core.predict(x[i], at_ns).proba for core in (whole, part)]
        assert np.allclose(*made, rtol=0, atol=1e-12), f"row {i}"
        if i >= delay:
            late = slice(i - delay, i - delay + 1)
            for core in (whole, part):
                core.learn(x[late], codes[late], np.array([(i - delay + 1) * SECOND]))


def test_the_last_label_counts_for_the_next_sample_alone() -> None:
    x, codes = persistent(1500)
    core = HedgedLVQCore(4, 3)
    core.prequential(x, codes, seconds(1500))
    at_ns = 1501 * SECOND
    first = core.predict(x[0], at_ns).proba
    assert np.array_equal(core.predict(x[0], at_ns).proba, first)  # The same query again.
    core.predict(x[1], at_ns)
    assert np.abs(core.predict(x[0], at_ns).proba - first).max() > 1e-3


def test_a_snapshot_keeps_the_pool() -> None:
    x, codes = curved(600)
    core, again = HedgedLVQCore(8, 3), HedgedLVQCore(8, 3)
    core.learn(x[:500], codes[:500], seconds(500))
    again.restore(core.state())
    later = (x[500:], codes[500:], seconds(600)[500:])
    assert np.array_equal(core.prequential(*later)[1], again.prequential(*later)[1])


def categories(seed: int, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Twelve features with values 0, 1 and 2: the others follow from the class and from the first, but for noise."""
    draw = np.random.default_rng(seed)
    value, codes, first = draw.integers(3, size=(2, 3, 12)), draw.integers(2, size=n), draw.integers(3, size=n)
    x = np.where(draw.random((n, 12)) < 0.4, value[codes, first], draw.integers(3, size=(n, 12))).astype(float)
    x[:, 0] = first
    return x, codes


def test_pairs_of_values_help_where_features_depend_on_one() -> None:
    made: dict[tuple[str, ...], list[float]] = {(): [], ("dependence",): []}
    for ablate, found in made.items():
        for seed in range(3):
            x, codes = categories(seed)
            core = HedgedLVQCore(12, 2, ablate=ablate)
            found.append(float((core.prequential(x, codes, seconds(len(x)))[0] == codes)[200:].mean()))
    assert np.mean(made[()]) > np.mean(made[("dependence",)]) + 0.02


def test_a_feature_that_appears_later_changes_no_vote_by_dependence() -> None:
    x, codes = categories(0, 400)
    core = HedgedLVQCore(12, 2)
    core.learn(x, codes, seconds(400))
    wide = HedgedLVQCore(12, 2)
    wide.restore(core.state())
    wide.widen(14, 3, np.array([7.0, 5.0]))
    core.predict(x[1], 401 * SECOND)
    wide.predict(np.append(x[1], [7.0, 5.0]), 401 * SECOND)
    narrow, broad = (np.exp(each._state.inputs[BY_DEPENDENCE, :2]) for each in (core, wide))
    assert broad / broad.sum() == pytest.approx(narrow / narrow.sum(), abs=0.02)
