"""Streams that change while a run goes on: drift, nodes that become Byzantine, and nodes that are down."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from protovine import rng
from protovine.sim.attacks import Corruption
from protovine.sim.faults import Attack, Drift

# What `DRIFTS` says in words.
LABELS_FRACTION = 0.8
FEATURES_DEVIATIONS = 2.0


class Streams:
    """The samples as they reach the nodes, after all changes so far.

    Parameters
    ----------
    x : float64 array, shape (rows, d)
    y : int64 array, shape (rows,)
        Samples and class codes, -1 where there is no label.
    seed : int
        For what is random in a change. The numbers of a row depend on neither the node that gets it nor the time.
    measured : int array, optional
        The rows that give deviations, ranges and the rarest class, and from which a drift of the labels draws: those of
        the data that nodes learn from, without corrupted copies of them. All by default.

    Attributes
    ----------
    missed : set of int
        Nodes that are down, in a scenario in which one model gets the samples of all.
    """

    def __init__(
        self, x: NDArray[np.float64], y: NDArray[np.int64], seed: int, measured: NDArray[np.int64] | None = None
    ) -> None:
        self.x, self.y, self._seed, self._measured = x, y, seed, measured
        # With two random numbers for each row, if the change draws any.
        self._drifts: list[tuple[Drift, NDArray[np.float64]]] = []
        self._attacks: dict[int, list[Corruption]] = {}
        self.missed = set[int]()

    @cached_property
    def _n_classes(self) -> int:
        return int(self.y.max(initial=0)) + 1

    def begin(self, change: Drift | Attack) -> None:
        """From now on ``change`` holds, after all that began before it."""
        if isinstance(change, Drift):
            draws = rng.stream(self._seed, "drift", len(self._drifts))
            rows = len(self.y) if change.change == "labels" else 0
            self._drifts.append((change, draws.random((rows, 2))))
        else:
            mine = self._attacks.setdefault(change.node, [])
            draw = rng.stream(self._seed, "attack", change.node, len(mine))
            mine.append(Corruption(change.attack, self._measured_x, self._n_classes, draw))

    def sample(self, row: int, node: int, owner: int) -> tuple[NDArray[np.float64], int]:
        """The sample of ``row`` and its class code as ``node`` gets it; drift reaches it as the stream of ``owner``."""
        x, y = self.x[row], int(self.y[row])
        for drift, draws in self._drifts:
            if not drift.nodes or owner in drift.nodes:
                x, y = self._drifted(drift.change, row, x, y, draws)
        for attack in self._attacks.get(node, ()):
            made_x, made_y = attack.of(x[np.newaxis], np.array([y]))
            x, y = made_x[0], int(made_y[0])
        return x, y

    def _drifted(
        self, change: str, row: int, x: NDArray[np.float64], y: int, draws: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], int]:
        if change == "features":
            return x + self._shift, y
        if change == "relation":
            return x, (y + 1) % self._n_classes if y >= 0 else y
        changes, which = draws[row].tolist()
        if changes >= LABELS_FRACTION or y < 0:
            return x, y
        other = int(self._rarest[int(which * len(self._rarest))])
        return self.x[other], int(self.y[other])

    @property
    def _measured_x(self) -> NDArray[np.float64]:
        return self.x if self._measured is None else self.x[self._measured]

    @cached_property
    def _shift(self) -> NDArray[np.float64]:
        """How far a drift of the features moves each of them."""
        return np.asarray(FEATURES_DEVIATIONS * self._measured_x.std(axis=0))

    @cached_property
    def _rarest(self) -> NDArray[np.int64]:
        """The rows of the rarest class; all rows that are measured, if none of them has a label."""
        rows = np.arange(len(self.y)) if self._measured is None else self._measured
        y = self.y[rows]
        counts = np.bincount(y[y >= 0])
        if not len(counts):
            return rows
        code = int(np.argmin(np.where(counts > 0, counts, len(y) + 1)))
        return np.asarray(rows[y == code])
