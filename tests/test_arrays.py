"""Kernels find arrays by their header."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from protovine.arrays import Header, assign, equal, header_of, view_of

FIELDS = {"flags": (np.bool_, 1), "cube": (np.float64, 3), "counts": (np.int64, 1), "table": (np.float64, 2)}
opened = view_of("Test", FIELDS)


# Not cached: a cache of a test's kernel would not see that a file of the package has changed.
@njit
def fill(header: Header) -> float:
    s = opened(header)
    total = 0.0
    for i in range(s.cube.shape[0]):
        for j in range(s.cube.shape[1]):
            for k in range(s.cube.shape[2]):
                total += s.cube[i, j, k]
                s.cube[i, j, k] = 100 * i + 10 * j + k
    for i in range(s.counts.shape[0]):
        s.counts[i] += s.flags[i]
    assign(s.table[1], s.table[0])
    s.flags[0] = equal(s.table[0], s.table[1]) and not equal(s.table[0], s.table[2])
    return total


def test_a_kernel_reads_and_writes_every_array_where_it_is() -> None:
    flags, counts = np.array([False, True, True]), np.array([1, 2, 3])
    cube, table = np.full((2, 3, 4), 0.5), np.arange(6.0).reshape(3, 2)
    assert fill(header_of([flags, cube, counts, table])) == 12.0
    assert np.array_equal(cube, 100 * np.arange(2)[:, None, None] + 10 * np.arange(3)[:, None] + np.arange(4))
    assert counts.tolist() == [1, 3, 4]
    assert table.tolist() == [[0, 1], [0, 1], [4, 5]]
    assert flags.tolist() == [True, True, True]


def test_an_empty_array_has_its_shape() -> None:
    made = [np.zeros(1, bool), np.zeros((0, 3, 2)), np.zeros(0, np.int64), np.zeros((3, 0))]
    assert fill(header_of(made)) == 0.0


@pytest.mark.parametrize("array", [np.zeros((4, 4))[:, ::2], np.zeros((4, 3), order="F"), np.broadcast_to(0.0, (3,))])
def test_memory_that_kernels_would_misread_is_refused(array) -> None:
    with pytest.raises(ValueError, match="C-contiguous"):
        header_of([array])
