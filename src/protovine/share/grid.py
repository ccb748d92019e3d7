"""The grid on which the values of a feature lie: counts, categories and flags need fewer bits than measurements."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protovine.share.grid_kernels import widened

_BELIEVED = 20  # Local samples until a grid is believed.
# Step of a grid of one value, relative to it: small enough to tell another value from it.
_CONSTANT_STEP = 2.0**-8


class Lattice(NamedTuple):
    """Evenly spaced values of each feature, shape (d,): ``low`` + k · ``step`` for k in 0..``span``.

    ``step`` is NaN for a feature that lies on no grid.
    """

    low: NDArray[np.float64]
    step: NDArray[np.float64]
    span: NDArray[np.float64]


class Grids:
    """The widest grid per feature that holds all values so far, found by Euclid's algorithm.

    A feature with more than 256 steps between its least and greatest value lies on no grid from then on.

    Parameters
    ----------
    dim : int >= 1
        Number of features.

    Examples
    --------
    >>> grids = Grids(3)
    >>> for i in range(20):
    ...     grids.note(np.array([0.5 * (i % 3), 7.0, 0.1234 * i**2]))
    >>> lattice = grids.lattice()
    >>> lattice.step.tolist(), lattice.span.tolist()[:2]
    ([0.5, 0.015625, nan], [2.0, 0.0])
    """

    def __init__(self, dim: int) -> None:
        self._n = 0
        self._low, self._high, self._step = np.zeros(dim), np.zeros(dim), np.zeros(dim)
        self._any = True

    def note(self, x: NDArray[np.float64]) -> None:
        """Take the values of a sample, shape (d,), into account."""
        if self._any:
            self._any = widened(x, self._low, self._high, self._step, self._n == 0)
            self._n += 1

    def lattice(self) -> Lattice | None:
        """The grids, or None before 20 samples or if no feature lies on one."""
        if not self._any or self._n < _BELIEVED:
            return None
        size = np.maximum(np.abs(self._low), 1.0) * _CONSTANT_STEP
        step = np.where(self._step == 0, 2.0 ** np.floor(np.log2(size)), self._step)
        return Lattice(self._low.copy(), step, np.rint((self._high - self._low) / step))

    def state(self) -> dict[str, Any]:
        """Everything that must be kept to continue after a restart."""
        return {"n": self._n, "ends": np.stack([self._low, self._high, self._step]).tobytes()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        ends = np.frombuffer(state["ends"], np.float64).reshape(3, len(self._low))
        self._n = int(state["n"])
        self._low, self._high, self._step = (row.copy() for row in ends)
        self._any = not self._n or not np.isnan(self._step).all()
