"""A learner that goes on where features and classes were added, or stand in another order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.errors import SnapshotError
from protovine.learn import HedgedLVQCore

ROWS = 300


def rows(dim: int, n_classes: int, seed: int, n: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Classes that lie around points of their own."""
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, n_classes, n)
    x = draw.normal(size=(n, dim)) + 3 * np.random.default_rng(1).normal(size=(n_classes, dim))[codes]
    return x, codes


def taught(dim: int, n_classes: int, seed: int, first: int = 0) -> HedgedLVQCore:
    made = HedgedLVQCore(dim, n_classes, size_max=50)
    made.learn(*rows(dim, n_classes, seed), np.arange(ROWS) + first)
    return made


@settings(max_examples=20)
@given(st.permutations(range(3)), st.permutations(range(4)), st.integers(0, 100))
def test_another_order_changes_no_prediction(features: list[int], classes: list[int], seed: int) -> None:
    old, new = taught(3, 4, seed), HedgedLVQCore(3, 4, size_max=50)
    to_features, to_classes = np.array(features), np.array(classes)
    new.carry_over(old.state(), to_features, to_classes)
    assert len(new) == len(old)
    x, codes = rows(3, 4, seed + 1, 40)
    moved = np.empty_like(x)
    moved[:, to_features] = x
    for at, (row, same) in enumerate(zip(x, moved, strict=True), ROWS):
        expected, found = old.predict(row, at), new.predict(same, at)
        assert expected.proba == pytest.approx(found.proba[to_classes], abs=1e-9)
        old.learn(row[np.newaxis], codes[at - ROWS :][:1], np.array([at]))
        new.learn(same[np.newaxis], to_classes[codes[at - ROWS :][:1]], np.array([at]))


def test_what_was_learnt_serves_on_with_more_features_and_classes() -> None:
    old, new = taught(3, 4, 5), HedgedLVQCore(5, 6, size_max=50)
    features, classes = np.array([4, 0, 2]), np.array([1, 5, 0, 3])
    new.carry_over(old.state(), features, classes)
    x, codes = rows(3, 4, 6)
    wide = np.full((ROWS, 5), 700.0)
    wide[:, features] = x
    expected = np.array([old.predict(row).code for row in x])
    found = np.array([new.predict(row).code for row in wide])
    assert (found == classes[expected]).mean() > 0.98
    # A new feature with large values, and new classes that only it tells from the others.
    draw = np.random.default_rng(7)
    wide[:, 1] += draw.normal(size=ROWS)
    rare = draw.random(ROWS) < 0.3
    wide[rare, 1] += 50
    labels = np.where(rare, 2, classes[codes])
    right = []
    for at, (row, label) in enumerate(zip(wide, labels, strict=True), ROWS):
        right.append(new.predict(row, at).code == label)
        new.learn(row[np.newaxis], np.array([label]), np.array([at]))
    assert np.mean(right[100:]) > 0.95
    assert np.mean(np.array(right)[~rare][:20]) > 0.9


def test_a_new_feature_without_a_value_yet_is_saved_and_restored() -> None:
    old, new = taught(2, 2, 5), HedgedLVQCore(3, 2, size_max=50)
    new.carry_over(old.state(), np.array([0, 1]), np.array([0, 1]))
    new.learn(np.array([[0.0, 0.0, np.nan]]), np.array([1]), np.array([ROWS]))
    again = HedgedLVQCore(3, 2, size_max=50)
    again.restore(new.state())
    for each in (new, again):
        each.learn(np.array([[0.0, 0.0, 9.0]]), np.array([1]), np.array([ROWS + 1]))
        assert np.allclose(9.0, each.prototypes().x[:, 2])
    wider = HedgedLVQCore(4, 2, size_max=50)
    wider.carry_over(old.state(), np.array([3, 1]), np.array([0, 1]))
    wider.learn(np.array([[5.0, 0.0, np.nan, 0.0]]), np.array([1]), np.array([ROWS + 1]))
    widest = HedgedLVQCore(5, 2, size_max=50)
    widest.carry_over(wider.state(), np.array([4, 3, 2, 1]), np.array([0, 1]))
    widest.learn(np.array([[1.0, 0.0, 8.0, 0.0, 2.0]]), np.array([1]), np.array([ROWS + 2]))
    assert np.allclose((1.0, 8.0), widest.prototypes().x[:-1, [0, 2]]) and np.allclose(
        5.0, widest.prototypes().x[:-1, 4]
    )


@pytest.mark.parametrize(
    ("features", "classes"), [([0, 0], [0, 1]), ([0, 3], [0, 1]), ([0, -1], [0, 1]), ([0, 1], [0, 2])]
)
def test_places_that_are_none_are_refused(features: list[int], classes: list[int]) -> None:
    new = HedgedLVQCore(3, 2, size_max=50)
    with pytest.raises(ValueError, match="must be different places from 0 to"):
        new.carry_over(taught(2, 2, 5).state(), np.array(features), np.array(classes))
    assert 0 == len(new)


def test_a_state_of_other_features_is_refused() -> None:
    new = HedgedLVQCore(4, 2, size_max=50)
    with pytest.raises(SnapshotError, match="does not fit 3 features and 2 classes"):
        new.carry_over(taught(2, 2, 5).state(), np.array([0, 1, 2]), np.array([0, 1]))
    assert 0 == len(new) and 4 == new.dim
