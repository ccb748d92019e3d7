"""Features that came after the first samples, until enough is known of their values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Local and received values of a new feature after which its mean and deviation are known well enough.
VALUES_MIN = 20


class NewFeatures:
    """Count the values of new features. Until there are enough of a feature, it counts as missing.

    Examples
    --------
    >>> new = NewFeatures([1])
    >>> new.hidden(np.ones((1, 2)))
    array([[ 1., nan]])
    >>> new.count(np.ones((20, 2)))
    >>> new.take_known()
    (array([1]), array([1.]), array([0.]))
    """

    def __init__(self, columns: list[int]) -> None:
        # By column: how many values there were, their mean, and the sum of squared deviations.
        self._seen: dict[int, tuple[int, float, float]] = dict.fromkeys(columns, (0, 0.0, 0.0))

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def columns(self) -> list[int]:
        """The features that are still new."""
        return list(self._seen)

    def lacking(self) -> int:
        """Rows after which a feature can be known at the earliest."""
        return min(VALUES_MIN - n for n, _, _ in self._seen.values())

    def hidden(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """A copy of the vector or rows, in which new features are missing."""
        copy = x.copy()
        copy[..., self.columns] = np.nan
        return copy

    def count(self, x: NDArray[np.float64]) -> None:
        """Take the values of rows (n, d) into account."""
        for column, (n, mean, square) in self._seen.items():
            for value in x[:, column][np.isfinite(x[:, column])].tolist():
                n += 1
                away = value - mean
                mean += away / n
                square += away * (value - mean)
            self._seen[column] = n, mean, square

    def take_known(self) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
        """Features that are new no longer: their columns, means and deviations (k,)."""
        known = {column: seen for column, seen in self._seen.items() if seen[0] >= VALUES_MIN}
        self._seen = {column: seen for column, seen in self._seen.items() if column not in known}
        n, mean, square = np.array(list(known.values())).reshape(-1, 3).T
        return np.array(list(known), np.intp), mean, np.sqrt(square / np.maximum(n, 1))

    def state(self) -> list[list[float]]:
        """For a snapshot."""
        return [[column, *seen] for column, seen in self._seen.items()]

    @classmethod
    def restored(cls, state: list[list[float]], dim: int) -> NewFeatures:
        """From `state`; ``ValueError`` if it does not fit."""
        made = cls([])
        for column, n, mean, square in state:
            if not (0 <= column < dim and 0 <= n < VALUES_MIN and np.isfinite(mean) and 0 <= square < np.inf):
                raise ValueError("features that do not fit")
            made._seen[int(column)] = int(n), float(mean), float(square)
        return made


def part(columns: Iterable[Any], begin: int, end: int) -> list[Any]:
    """Some rows of columns, of which some may be None or empty."""
    return [each[begin:end] if each is not None and len(each) else each for each in columns]
