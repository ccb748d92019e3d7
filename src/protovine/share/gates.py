"""Is a set worth sending to a peer? A gate scores it and says yes or no."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from protovine.errors import check_range
from protovine.prototypes import Evidence, PrototypeSet, inverse_variance
from protovine.share.gain import WINDOW_MAX, expected_gain, filtered
from protovine.share.jensen_shannon import POINTS_MAX, jensen_shannon_kde, jensen_shannon_loo

# The paper's, for distances; and the gain in accuracy below which nothing was gained in our measurements.
DISTANCE_THRESHOLD, GAIN_THRESHOLD = 0.5, 0.02
# A set of fewer prototypes is sent without asking: its learner has hardly begun.
YOUNG = 5


class Gate(Protocol):
    """Scores the own set against what the peer is known to hold.

    ``counts_sent`` says what that is: with true not only the last set that came from the peer, but also the last one
    that was sent to it. ``needs_window`` says whether it looks at the newest own samples.
    """

    name: str
    counts_sent: bool
    needs_window: bool

    def score(self, evidence: Evidence, known: PrototypeSet | None) -> float:
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
    counts_sent = False
    needs_window = False

    def score(self, evidence: Evidence, known: PrototypeSet | None) -> float:
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
    counts_sent = False
    needs_window = False

    def __init__(self, threshold: float, rng: np.random.Generator, points_max: int = POINTS_MAX) -> None:
        check_range("threshold", threshold, 0, 1)
        check_range("points_max", points_max, 1)
        self.threshold, self.points_max = threshold, points_max
        self._rng = rng

    def score(self, evidence: Evidence, known: PrototypeSet | None) -> float:
        """The distance, or 1 if nothing is known."""
        if known is None or not len(known):
            return 1.0
        return jensen_shannon_kde(evidence.prototypes, known, self._rng, self.points_max)

    def passes(self, score: float) -> bool:
        """Whether the distance exceeds the threshold."""
        return score > self.threshold

    def state(self) -> dict[str, Any]:
        """The random generator's state."""
        return {"rng": self._rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the kept generator."""
        self._rng.bit_generator.state = state["rng"]


class LooJensenShannonGate:
    """The paper's rule on the right estimate of the distance; quick and without random numbers.

    Parameters
    ----------
    threshold : float in [0, 1]
        On the distance, the root of what `jensen_shannon_loo` gives.
    """

    name = "jsd-loo"
    counts_sent = False
    needs_window = False

    def __init__(self, threshold: float = DISTANCE_THRESHOLD) -> None:
        check_range("threshold", threshold, 0, 1)
        self.threshold = threshold

    def score(self, evidence: Evidence, known: PrototypeSet | None) -> float:
        """The distance, or 1 if nothing is known."""
        if known is None or not len(known):
            return 1.0
        return math.sqrt(jensen_shannon_loo(evidence.prototypes, known))

    def passes(self, score: float) -> bool:
        """Whether the distance exceeds the threshold."""
        return score > self.threshold

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to do."""


class GainGate:
    """Sends if the peer would predict the own newest samples better with the set than without it.

    The score is `expected_gain` of the own `filtered` set over what the peer is known to hold, both with the samples'
    1/variance. A peer of which nothing is known, and an own set of fewer than 5 prototypes, score 1. Without labelled
    samples in the evidence the gain is 0. What was sent counts as held, even if the network lost it.

    Parameters
    ----------
    threshold : float in [0, 1]
        Accuracy that must be exceeded; 1 never sends.

    Examples
    --------
    >>> own = PrototypeSet.of([[0.0], [0.1], [0.2], [1.0], [1.1]], [0, 0, 0, 1, 1], weight=[2, 2, 2, 2, 2])
    >>> evidence = Evidence(own, 10, np.array([[0.1], [0.9], [1.2]]), np.array([0, 1, 1]))
    >>> gate = GainGate()
    >>> [gate.passes(gate.score(evidence, known)) for known in (None, own, own.take([0]))]
    [True, False, True]
    """

    name = "gain"
    counts_sent = True
    needs_window = True

    def __init__(self, threshold: float = GAIN_THRESHOLD) -> None:
        check_range("threshold", threshold, 0, 1)
        self.threshold = threshold
        self._trusted: tuple[Evidence, PrototypeSet, NDArray[np.float64]] | None = None

    def score(self, evidence: Evidence, known: PrototypeSet | None) -> float:
        """The gain in accuracy, from -1 to 1; 1 if nothing is known or the own set is young."""
        if known is None or not len(known) or len(evidence.prototypes) < YOUNG:
            return 1.0
        if not len(evidence.window_x):
            return 0.0
        # All peers of one opportunity see the same evidence, so it is filtered once.
        if self._trusted is None or self._trusted[0] is not evidence:
            scale = inverse_variance(evidence.window_x[-WINDOW_MAX:])
            self._trusted = (evidence, filtered(evidence.prototypes, scale), scale)
        _, own, scale = self._trusted
        return expected_gain(own, known, evidence.window_x, evidence.window_label, scale)

    def passes(self, score: float) -> bool:
        """Whether the gain exceeds the threshold."""
        return score > self.threshold

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to do."""
