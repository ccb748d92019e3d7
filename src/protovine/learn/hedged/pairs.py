"""Where the counts of pairs of values stand, and how they follow when features appear or move.

Counts have the shape (classes, pairs, bins, bins): a block for each pair of features (a, b) with a >= b, and in it the
bin of a, then that of b. A feature paired with itself has its counts on the diagonal of its block.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float32]


def block(a: int, b: int) -> int:
    """The block of two features, of which ``a`` is not the smaller number."""
    return a * (a + 1) // 2 + b


def n_blocks(features: int) -> int:
    """Pairs of ``features`` features, those with themselves included."""
    return features * (features + 1) // 2


def carry_pairs(old: Counts, new: Counts, features: NDArray[np.int64], classes: NDArray[np.int64], dim: int) -> None:
    """Copy counts to where their features and classes stand in ``new``, which has ``dim`` features and no counts.

    Every other feature had one value until now, the one in the middle bin. Counts of another number of bins are lost.
    """
    if old.shape[2:] != new.shape[2:] or not old.size:
        return
    if (features == np.arange(len(features))).all():
        new[classes, : old.shape[1]] = old
    else:
        for a, to_a in enumerate(features):
            for b, to_b in enumerate(features[: a + 1]):
                counts = old[:, block(a, b)]
                new[classes, block(max(to_a, to_b), min(to_a, to_b))] = (
                    counts if to_a >= to_b else counts.swapaxes(1, 2)
                )
    middle, total = new.shape[2] // 2, np.zeros(len(new), np.float32)
    total[classes] = np.einsum("cvv->c", old[:, 0])
    for b in np.setdiff1d(np.arange(dim), features):
        new[:, block(b, b), middle, middle] = total
        for a in features:
            values = np.einsum("cvv->cv", new[:, block(a, a)])
            if a > b:
                new[:, block(a, b), :, middle] = values
            else:
                new[:, block(b, a), middle] = values
        for a in np.setdiff1d(np.arange(b), features):
            new[:, block(b, a), middle, middle] = total


def merge_bins(counts: Counts, columns: NDArray[np.intp], dim: int) -> None:
    """All values of some of the ``dim`` features count as one in the middle bin."""
    middle = counts.shape[2] // 2
    for column in columns if counts.size else ():
        for other in range(dim):
            first, second = max(column, other), min(column, other)
            these = counts[:, block(first, second)]
            total = these.sum(axis=1 if first == column else 2)
            these[:] = 0.0
            if first == second:
                these[:, middle, middle] = total.sum(axis=1)
            elif first == column:
                these[:, middle] = total
            else:
                these[:, :, middle] = total
