"""Is a set worth sending to a peer? A gate scores it and says yes or no."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from protovine.errors import ConfigError
from protovine.prototypes import PrototypeSet
from protovine.share.jensen_shannon import POINTS_MAX, jensen_shannon_kde


class Gate(Protocol):
    """Scores the own set against what the peer is known to hold."""

    name: str

    def score(self, own: PrototypeSet, known: PrototypeSet | None) -> float:
        """How much the peer would gain, in the gate's own unit; ``known`` is None if nothing is known of the peer."""
        ...

    def passes(self, score: float) -> bool:
        """Whether a set with this score is sent."""
        ...

    def state(self) -> dict[str, Any]:
        """What must be kept to go on after a restart."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        ...


class AlwaysGate:
    """Sends everything (test 1 of the paper); the score is 1."""

    name = "always"

    def score(self, own: PrototypeSet, known: PrototypeSet | None) -> float:
        """Always 1."""
        return 1.0

    def passes(self, score: float) -> bool:
        """Always true."""
        return True

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to do."""


class JensenShannonGate:
    """Sends if the Jensen-Shannon distance to the last set received from the peer exceeds a threshold (test 2).

    A peer of which nothing is known scores 1 and gets the set. The rule breeds one-way flooders: a node that has
    received nothing from a peer always sends, and the peer then sees itself up to date and never answers.

    Parameters
    ----------
    threshold : float in [0, 1]
        On the distance, not the divergence. The paper uses 0.5.
    rng : numpy Generator
        Draws the points on which densities are compared.
    points_max : int >= 1
        See `jensen_shannon_kde`.
    """

    name = "jsd"

    def __init__(self, threshold: float, rng: np.random.Generator, points_max: int = POINTS_MAX) -> None:
        if not 0 <= threshold <= 1:
            raise ConfigError(f"threshold must be between 0 and 1, got {threshold}")
        if points_max < 1:
            raise ConfigError(f"points_max must be >= 1, got {points_max}")
        self.threshold, self.points_max = threshold, points_max
        self._rng = rng

    def score(self, own: PrototypeSet, known: PrototypeSet | None) -> float:
        """The distance, or 1 if nothing is known."""
        if known is None or not len(known):
            return 1.0
        return jensen_shannon_kde(own, known, self._rng, self.points_max)

    def passes(self, score: float) -> bool:
        """Whether the distance exceeds the threshold."""
        return score > self.threshold

    def state(self) -> dict[str, Any]:
        """The random generator's state."""
        return {"rng": self._rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the kept generator."""
        self._rng.bit_generator.state = state["rng"]
