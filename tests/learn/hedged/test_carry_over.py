"""A learner that goes on where features and classes were added, or stand in another order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.errors import SnapshotError
from protovine.learn import HedgedLVQCore
from protovine.learn.hedged import entry

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
    entry.refresh(old._state.header)  # What depends on moments is computed now and then, and after a move at once.
    new.carry_over(old.state(), to_features, to_classes)
    assert len(new) == len(old)
    x, codes = rows(3, 4, seed + 1, 40)
    moved = np.empty_like(x)
    moved[:, to_features] = x
    for at, (row, same) in enumerate(zip(x, moved, strict=True), ROWS):
        expected, found = old.predict(row, at), new.predict(same, at)
        # Counts of pairs have single precision.
        assert expected.proba == pytest.approx(found.proba[to_classes], abs=1e-6)
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
    events, scratch = np.arange(ROWS, 2 * ROWS), HedgedLVQCore(5, 6, size_max=50)
    knows, learns = (each.prequential(wide, labels, events)[0] == labels for each in (new, scratch))
    assert knows[:60].mean() > learns[:60].mean() + 0.03
    assert knows[60:].mean() > learns[60:].mean() - 0.03


def test_a_feature_that_is_still_new_is_saved_restored_and_carried_on() -> None:
    new = HedgedLVQCore(3, 2, size_max=50)
    new.carry_over(taught(2, 2, 5).state(), np.array([0, 1]), np.array([0, 1]))
    x, codes = rows(3, 2, 6, 30)
    x[3:5, 2] = np.nan
    new.learn(x[:10], codes[:10], np.arange(10) + ROWS)
    again, wider = HedgedLVQCore(3, 2, size_max=50), HedgedLVQCore(4, 2, size_max=50)
    again.restore(new.state())
    wider.carry_over(new.state(), np.array([3, 1, 0]), np.array([0, 1]))
    for row, code in zip(x[10:], codes[10:], strict=True):
        new.learn(row[np.newaxis], np.array([code]), np.array([ROWS + 20]))
    again.learn(x[10:], codes[10:], np.full(20, ROWS + 20))
    assert np.array_equal(new.prototypes().x, again.prototypes().x), "one by one or all at once"
    # 20 values are known after row 22.
    assert new.scale()[0][2] == pytest.approx(np.nanmean(x[:, 2]), abs=0.5)
    wide = np.column_stack([x[:, 2], x[:, 1], np.full(30, 5.0), x[:, 0]])
    wider.learn(wide[10:], codes[10:], np.full(20, ROWS + 20))
    assert np.allclose(5.0, wider.prototypes().x[:, 2])


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
