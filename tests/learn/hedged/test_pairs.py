"""Counts of pairs of values follow their features and classes, as if these had always stood where they stand now."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.learn.hedged.pairs import block, carry_pairs, merge_bins, n_blocks

BINS, MIDDLE, ROWS = 5, 2, 30


def counted(x: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    made = np.zeros((n_classes, n_blocks(x.shape[1]), BINS, BINS), np.float32)
    for row, code in zip(x, codes, strict=True):
        for a in range(x.shape[1]):
            for b in range(a + 1):
                made[code, block(a, b), row[a], row[b]] += 1
    return made


def drawn(dim: int, n_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.integers(BINS, size=(ROWS, dim)), draw.integers(n_classes, size=ROWS)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(6)), st.permutations(range(4)), st.integers(1, 6), st.integers(1, 4), st.integers(0, 99))
def test_counts_go_where_features_and_classes_go(
    features: list[int], classes: list[int], dim: int, n_classes: int, seed: int
) -> None:
    x, codes = drawn(dim, n_classes, seed)
    for to, to_class in (
        (np.array(features)[:dim], np.array(classes)[:n_classes]),
        (np.arange(dim), np.arange(n_classes)),
    ):
        found = np.zeros((4, n_blocks(6), BINS, BINS), np.float32)
        carry_pairs(counted(x, codes, n_classes), found, to, to_class, 6)
        wide = np.full((ROWS, 6), MIDDLE)
        wide[:, to] = x
        assert np.array_equal(found, counted(wide, to_class[codes], 4))


def test_counts_of_other_bins_are_lost() -> None:
    found = np.zeros((2, n_blocks(3), 3, 3), np.float32)
    carry_pairs(counted(*drawn(2, 2, 0), 2), found, np.arange(2), np.arange(2), 3)
    assert not found.any()


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(0, 3)), st.integers(0, 99))
def test_merged_values_count_as_one(columns: set[int], seed: int) -> None:
    x, codes = drawn(4, 3, seed)
    counts, merged = counted(x, codes, 3), np.array(sorted(columns), int)
    merge_bins(counts, merged, 4)
    x[:, merged] = MIDDLE
    assert np.array_equal(counts, counted(x, codes, 3))
