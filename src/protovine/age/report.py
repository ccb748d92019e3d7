"""Measured ages: of a run, of each pair, after the warm-up, and how often an age is exceeded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

# An interval needs at least this many batches.
BATCHES_MIN = 3


@dataclass(frozen=True)
class BatchMeans:
    """A time average as the ratio of sums over batches of time, with its 95 % interval.

    Ages of one run are correlated over time and between the pairs that one message reaches. Means over the whole swarm
    in batches much longer than the ages are nearly independent, so the interval is Student's t over the batches.

    Parameters
    ----------
    sums, weights : float array, shape (batches,)
        The integral over each batch, and the time (or the number of receptions) that it is divided by.
    """

    sums: Floats
    weights: Floats

    @classmethod
    def joined(cls, parts: Sequence[BatchMeans]) -> BatchMeans:
        """The batches of several runs together."""
        return cls(np.concatenate([part.sums for part in parts]), np.concatenate([part.weights for part in parts]))

    @property
    def mean(self) -> float | None:
        """The mean over all batches; None without any weight."""
        total = float(self.weights.sum())
        return float(self.sums.sum()) / total if total else None

    @property
    def half(self) -> float | None:
        """Half the width of the 95 % interval; None from fewer than 3 batches.

        Examples
        --------
        >>> BatchMeans(np.array([1.0, 2.0, 3.0]), np.ones(3)).half
        2.484...
        """
        from scipy.special import stdtrit

        there = self.weights > 0
        n = int(there.sum())
        if n < BATCHES_MIN:
            return None
        means = self.sums[there] / self.weights[there]
        return float(stdtrit(n - 1, 0.975) * means.std(ddof=1) / math.sqrt(n))


@dataclass(frozen=True)
class AgeLaw:
    """Fraction of the time that an age is exceeded: ``exceeded`` at the ages ``age_s``, linear between them.

    Examples
    --------
    >>> law = AgeLaw(np.array([0.0, 1.0, 3.0]), np.array([1.0, 0.5, 0.0]))
    >>> law.survival([0.5, 2.0]).tolist(), law.quantile(0.75)
    ([0.75, 0.25], 2.0)
    """

    age_s: Floats
    exceeded: Floats

    def survival(self, age_s: ArrayLike) -> Floats:
        """The fraction of the time in which the age is larger."""
        return np.interp(np.asarray(age_s, np.float64), self.age_s, self.exceeded, left=1.0, right=0.0)

    def quantile(self, q: float) -> float:
        """The smallest age in seconds that is not exceeded in a fraction ``q`` of the time."""
        i = int(np.searchsorted(-self.exceeded, q - 1.0))
        if i == 0 or i == len(self.age_s):
            return float(self.age_s[min(i, len(self.age_s) - 1)])
        low, high = self.exceeded[i - 1], self.exceeded[i]
        part = (low - (1.0 - q)) / (low - high)
        return float(self.age_s[i - 1] + part * (self.age_s[i] - self.age_s[i - 1]))


@dataclass(frozen=True)
class SteadyAges:
    """Ages after the warm-up, which theory predicts.

    Parameters
    ----------
    from_s, until_s : float
        From 5 mean ages after the start until the streams of half of the pairs are over.
    age, peak, version, incorrect : BatchMeans
        Of the age, its peaks, the version age and the age of incorrect information.
    p95_s : float
        Age that is exceeded 5 % of the time.
    """

    from_s: float
    until_s: float
    age: BatchMeans
    peak: BatchMeans
    version: BatchMeans
    incorrect: BatchMeans
    p95_s: float


@dataclass(frozen=True)
class PairAges:
    """Ages of every ordered pair (``node``, ``origin``), each array of shape (pairs,); seconds.

    NaN where the origin learns no samples, or in ``peak_s`` where the node received nothing that made its age smaller.

    Examples
    --------
    >>> each, none = np.array([0, 1]), np.zeros(2)
    >>> ages = PairAges(each, 1 - each, np.array([2.0, 0.5]), none, none, none, each)
    >>> [(pair["node"], pair["mean_s"]) for pair in ages.worst(1)], ages.of_nodes(2).tolist()
    ([(0, 2.0)], [2.0, 0.5])
    """

    node: Times
    origin: Times
    mean_s: Floats
    peak_s: Floats
    version_mean: Floats
    incorrect_s: Floats
    receptions: Times

    def __len__(self) -> int:
        return len(self.node)

    def worst(self, count: int) -> list[dict[str, float | int | None]]:
        """The ``count`` pairs of the largest mean age, largest first; at one age the lower node comes first."""
        order = np.argsort(-np.nan_to_num(self.mean_s, nan=-1.0), kind="stable")[:count]
        return [
            {name: None if (value := column[i].item()) != value else value for name, column in vars(self).items()}
            for i in order
        ]

    def of_nodes(self, count: int) -> Floats:
        """The mean age at each of ``count`` nodes over its origins; NaN without any."""
        known = ~np.isnan(self.mean_s)
        pairs = np.bincount(self.node[known], minlength=count)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.bincount(self.node[known], self.mean_s[known], count) / pairs)


@dataclass(frozen=True)
class AgeReport:
    """Ages over all ordered pairs (node, origin) of neighbours; None where there is no pair or no reception.

    Parameters
    ----------
    mean_s : float
        Time average of the age, mean over pairs.
    peak_s : float
        Mean age just before a reception, over all receptions that made it younger.
    p95_s : float
        Age that is exceeded 5 % of the time.
    version_mean : float
        Time average of how many local samples the origin is ahead, mean over pairs.
    incorrect_s, incorrect_fraction : float
        Time average of the age of incorrect information, mean over pairs, and the fraction of the time it is above 0.
    pairs, silent_pairs : int
        Number of pairs, and of those that received nothing of their origin; their age grows from the start of the run.
    grid_s, age_s : float array, shape (m,)
        The mean age over pairs at the times ``grid_s``.
    each : PairAges
    law : AgeLaw
    steady : SteadyAges
        None if the run is too short for it: 15 mean ages.
    """

    mean_s: float | None
    peak_s: float | None
    p95_s: float | None
    version_mean: float | None
    incorrect_s: float | None
    incorrect_fraction: float | None
    pairs: int
    silent_pairs: int
    grid_s: Floats
    age_s: Floats
    each: PairAges
    law: AgeLaw | None
    steady: SteadyAges | None
