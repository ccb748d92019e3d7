"""Streams that change while a run goes on: drift, nodes that become Byzantine, and nodes that are down."""

from __future__ import annotations

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
        For what is random in a change.

    Attributes
    ----------
    missed : set of int
        Nodes that are down, in a scenario in which one model gets the samples of all.
    """

    def __init__(self, x: NDArray[np.float64], y: NDArray[np.int64], seed: int) -> None:
        self.x, self.y, self._seed = x, y, seed
        self._drifts: list[tuple[Drift, np.random.Generator]] = []
        self._attacks: dict[int, list[Corruption]] = {}
        self.missed = set[int]()

    @property
    def _n_classes(self) -> int:
        return int(self.y.max(initial=0)) + 1

    def begin(self, change: Drift | Attack) -> None:
        """From now on ``change`` holds, after all that began before it."""
        if isinstance(change, Drift):
            self._drifts.append((change, rng.stream(self._seed, "drift", len(self._drifts))))
        else:
            mine = self._attacks.setdefault(change.node, [])
            draw = rng.stream(self._seed, "attack", change.node, len(mine))
            mine.append(Corruption(change.attack, self.x, self._n_classes, draw))

    def sample(self, row: int, node: int, owner: int) -> tuple[NDArray[np.float64], int]:
        """The sample of ``row`` and its class code as ``node`` gets it; drift reaches it as the stream of ``owner``."""
        x, y = self.x[row], int(self.y[row])
        for drift, draw in self._drifts:
            if not drift.nodes or owner in drift.nodes:
                x, y = self._drifted(drift.change, x, y, draw)
        for attack in self._attacks.get(node, ()):
            made_x, made_y = attack.of(x[np.newaxis], np.array([y]))
            x, y = made_x[0], int(made_y[0])
        return x, y

    def _drifted(
        self, change: str, x: NDArray[np.float64], y: int, draw: np.random.Generator
    ) -> tuple[NDArray[np.float64], int]:
        if change == "features":
            return x + FEATURES_DEVIATIONS * self.x.std(axis=0), y
        if change == "relation":
            return x, (y + 1) % self._n_classes if y >= 0 else y
        if draw.random() >= LABELS_FRACTION or y < 0:
            return x, y
        rows = self._rarest()
        row = int(rows[draw.integers(len(rows))])
        return self.x[row], int(self.y[row])

    def _rarest(self) -> NDArray[np.int64]:
        """The rows of the rarest class."""
        counts = np.bincount(self.y[self.y >= 0])
        code = int(np.argmin(np.where(counts > 0, counts, len(self.y) + 1)))
        return np.flatnonzero(self.y == code)
