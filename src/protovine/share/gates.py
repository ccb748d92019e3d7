"""Gates: each scores a set and decides whether it is worth sending to a peer."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from protovine.errors import check_range
from protovine.prototypes import Evidence, PrototypeSet, inverse_variance
from protovine.share.gain import WINDOW_MAX, expected_gain, filtered
from protovine.share.jensen_shannon import POINTS_MAX, jensen_shannon_kde, jensen_shannon_loo

# The paper's threshold on distances; and the expected gain below which our measurements show no benefit.
DISTANCE_THRESHOLD, GAIN_THRESHOLD = 0.5, 0.02
# The gain gate sends smaller sets without scoring them: their learner has hardly begun.
YOUNG = 5


class Gate(Protocol):
    """Scores the learner's set against the prototypes that the peer has, as far as the node knows.

    These are the last set received from the peer and, if ``counts_sent``, the last set sent to it. ``needs_window``:
    whether the gate reads the newest local samples. It writes into nothing that it is given: a gate that is not of
    this package gets read-only arrays. `protovine.checks.check_gate` tests all promises.
    """

    name: str
    counts_sent: bool
    needs_window: bool

    def score(self, evidence: Evidence, known: PrototypeSet | None) -> float:
        """The peer's benefit, a finite number in the gate's unit; ``known`` is None if nothing is known of the peer."""
        ...

    def passes(self, score: float) -> bool:
        """Whether a set with this score is sent."""
        ...

    def state(self) -> dict[str, Any]:
        """State for a restart."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from ``state``."""
        ...


class AlwaysGate:
    """Sends every set (test 1 of the paper); the score is 1.

    Examples
    --------
    >>> gate = AlwaysGate()
    >>> gate.passes(gate.score(Evidence(PrototypeSet.of([[0.0]], [0]), 1), None))
    True
    """

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

    An unknown peer scores 1 and gets the set. The rule makes traffic one-sided: a node that has received nothing from
    a peer always sends, and the peer, whose set is then close to the received one, never sends back.

    Parameters
    ----------
    threshold : float in [0, 1]
        On the distance, not the divergence. The paper uses 0.5.
    rng : numpy Generator
        Draws the points on which densities are compared.
    points_max : int >= 1
        See `jensen_shannon_kde`.

    Raises
    ------
    ConfigError
        A parameter is out of range.

    Examples
    --------
    >>> own = PrototypeSet.of([[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1])
    >>> gate = JensenShannonGate(threshold=0.5, rng=np.random.default_rng(0))
    >>> [gate.passes(gate.score(Evidence(own, 4), known)) for known in (None, own)]
    [True, False]
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
        """Continue with the kept generator."""
        self._rng.bit_generator.state = state["rng"]


class LooJensenShannonGate:
    """The paper's rule on `jensen_shannon_loo`, a better estimate; fast and without random numbers.

    Parameters
    ----------
    threshold : float in [0, 1]
        On the distance, the root of `jensen_shannon_loo`.

    Raises
    ------
    ConfigError
        The threshold is out of range.

    Examples
    --------
    >>> own = PrototypeSet.of([[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1])
    >>> far = PrototypeSet.of([[8.0], [8.1], [9.0], [9.1]], [0, 0, 1, 1])
    >>> gate = LooJensenShannonGate(threshold=0.5)
    >>> [gate.passes(gate.score(Evidence(own, 4), known)) for known in (None, own, far)]
    [True, False, True]
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
    """Sends if the set would improve the peer's predictions of the node's newest samples.

    The score is `expected_gain` of the `filtered` set over the prototypes that the peer has, both with the samples'
    1/variance. An unknown peer, and a set of fewer than 5 prototypes, score 1. Without labelled samples in the
    evidence the gain is 0. The gate assumes that sent sets arrive.

    Parameters
    ----------
    threshold : float in [0, 1]
        Accuracy that must be exceeded; 1 never sends.

    Raises
    ------
    ConfigError
        The threshold is out of range.

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
        """The gain in accuracy, from -1 to 1; 1 if nothing is known of the peer or the set is small."""
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
