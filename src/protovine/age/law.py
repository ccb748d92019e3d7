"""The age that a theory predicts: mean, peak, variance and quantiles, and functions of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protovine.errors import ConfigError, check_range

Survival = Callable[[float], float]
_POINTS_PER_DEVIATION = 500  # Of a Poisson variable with a large mean.


@dataclass(frozen=True)
class AgeTheory:
    """The stationary age of one node's information about another; None where no closed form is known.

    Parameters
    ----------
    mean_s : float
        Time average of the age; infinite if nothing ever arrives.
    variance : float or None
        Of the age over time, in s².
    peak_s : float or None
        Mean age just before a reception that lowers it.
    version_mean : float or None
        Time average of the version age: samples that the origin has learnt and the node has not heard of.
    push_hz : float
        Messages per second from one node to one peer, lost ones included.
    method : str
        How the age was computed, and which parts are not known.
    error : float
        Bound on the absolute error of ``mean_s``; 0 for closed forms, up to rounding.
    survival : function or None
        P(age > x) for a time x in seconds.
    """

    mean_s: float
    variance: float | None
    peak_s: float | None
    version_mean: float | None
    push_hz: float
    method: str
    error: float = 0.0
    survival: Survival | None = field(default=None, repr=False, compare=False)

    @property
    def p95_s(self) -> float | None:
        """The age in seconds that is exceeded 5 % of the time; None if its distribution is not known."""
        return self.quantile(0.95)

    def quantile(self, q: float) -> float | None:
        """The age in seconds that is not exceeded for the fraction ``q`` of the time.

        None if the distribution of the age is not known.

        Raises
        ------
        ConfigError
            ``q`` is not between 0 and 1.

        Examples
        --------
        >>> from protovine.age import direct_push
        >>> round(direct_push(nodes=5, fanout=4, share_probability=0.1, rate_hz=10).quantile(0.5), 4)
        0.6931
        """
        from scipy import optimize

        check_range("q", q, 0, 1)
        law = self.survival
        if law is None:
            return None
        if self.mean_s == math.inf or q == 1:
            return math.inf
        low, high = 0.0, self.mean_s
        if law(low) <= 1 - q:
            return 0.0
        while law(high) > 1 - q:
            low, high = high, 2 * high
        return float(optimize.brentq(lambda x: law(x) - (1 - q), low, high, xtol=1e-14, rtol=1e-13, maxiter=500))


def never(method: str) -> AgeTheory:
    """The age when nothing ever arrives: infinite."""
    return AgeTheory(math.inf, None, math.inf, math.inf, 0.0, method, 0.0, lambda x: 1.0)


def max_age(theory: AgeTheory, count: int) -> float:
    r"""Mean, in seconds, of the largest of ``count`` independent ages with this distribution.

    When each of ``count`` neighbours tosses its own coin, their ages at a node are independent, and this is the age
    of the stalest neighbour: E[max] = ∫ 1 - P(A <= x)^count dx. For exponential ages it is H_count / r, with the
    harmonic number H.

    Raises
    ------
    ConfigError
        ``count`` is less than 1, or the distribution of the age is not known.

    Examples
    --------
    >>> from protovine.age import direct_push
    >>> round(max_age(direct_push(nodes=5, rate_hz=1), 4) * 12, 6)
    25.0
    """
    check_whole("count", count, 1)
    law = theory.survival
    if law is None:
        raise ConfigError(
            f"the largest of {count} ages needs the distribution of one, which is not known: {theory.method}"
        )
    if theory.mean_s == math.inf:
        return math.inf
    # By the union bound, the integral beyond this point is below the rounding error of the result.
    end = theory.mean_s
    while law(end) * count > 1e-17:
        end *= 2
    return integral(lambda x: -math.expm1(count * math.log1p(-min(law(x), 1 - 1e-16))), 0.0, end)[0]


def rates_for_budget(
    weights: ArrayLike, message_bytes: ArrayLike, budget_bps: float, rates_max: ArrayLike | None = None
) -> NDArray[np.float64]:
    r"""Messages per second to each peer or topic that minimise the weighted sum of ages within a byte budget.

    With Poisson pushes the mean age is 1/r_i, so Σ w_i / r_i is minimised under Σ b_i r_i <= B. Setting the derivative
    of the Lagrangian to 0 gives the square-root law r_i = B sqrt(w_i / b_i) / Σ_j sqrt(w_j b_j), and the sum
    (Σ sqrt(w_j b_j))² / B. A rate that would exceed its maximum is set to it, and the law divides the remaining budget
    among the others.

    Parameters
    ----------
    weights, message_bytes : float array, shape (m,)
        How much each age matters, and bytes per message; each > 0.
    budget_bps : float > 0
        Bytes per second for all peers together.
    rates_max : float array, shape (m,), or None
        Largest possible rates, each > 0.

    Returns
    -------
    float array, shape (m,)
        Rates in 1/s.

    Raises
    ------
    ConfigError
        A value is not positive and finite, or shapes differ.

    Examples
    --------
    >>> rates = rates_for_budget([1, 1, 1, 1, 16], [1, 1, 1, 1, 1], budget_bps=5)
    >>> rates
    array([0.625, 0.625, 0.625, 0.625, 2.5  ])
    >>> float(sum([1, 1, 1, 1, 16] / rates))
    12.8
    """
    w, b = positive_array("weights", weights), positive_array("message_bytes", message_bytes)
    cap = np.full(len(w), np.inf) if rates_max is None else positive_array("rates_max", rates_max)
    if not len(w) == len(b) == len(cap):
        raise ConfigError(f"weights, message_bytes and rates_max must be as long, got {len(w)}, {len(b)}, {len(cap)}")
    check_positive("budget_bps", budget_bps)
    rates = np.zeros(len(w))
    free = np.ones(len(w), bool)
    left = budget_bps
    while free.any():
        rates[free] = left * np.sqrt(w[free] / b[free]) / np.sqrt(w[free] * b[free]).sum()
        over = free & (rates > cap)
        if not over.any():
            break
        rates[over] = cap[over]
        free &= ~over
        left = budget_bps - float(b[~free] @ rates[~free])
    return rates


def version_moments(age_moments: Sequence[float] | NDArray[np.float64], version_hz: float) -> NDArray[np.float64]:
    r"""Moments E[V], E[V²], ... of the version age, from those of the age, if versions are independent of messages.

    If the origin's versions are a Poisson process of rate λ_e, independent of the messages (Yates' model), then V given
    the age A is Poisson with mean λ_e A. So its k-th moment is Σ_j {k over j} λ_e^j E[A^j] with Stirling numbers of the
    second kind: E[V] = λ_e E[A], Var V = λ_e E[A] + λ_e² Var A.

    Parameters
    ----------
    age_moments : sequence of float
        E[A], E[A²], ... in s, s², ...
    version_hz : float > 0
        New versions per second, λ_e.

    Returns
    -------
    float array, of the same length

    Raises
    ------
    ConfigError
        ``version_hz`` is not positive.

    Examples
    --------
    >>> version_moments([1.0, 2.0], version_hz=3.0)
    array([ 3., 21.])
    """
    check_positive("version_hz", version_hz)
    ages = np.asarray(age_moments, np.float64)
    stirling = np.zeros(len(ages) + 1)
    stirling[0] = 1.0
    powers = np.concatenate([[1.0], ages * version_hz ** np.arange(1, len(ages) + 1)])
    moments = np.empty(len(ages))
    for k in range(len(ages)):
        # {k+1 over j} = j {k over j} + {k over j-1}
        stirling = np.arange(len(stirling)) * stirling + np.concatenate([[0.0], stirling[:-1]])
        moments[k] = float(stirling[: k + 2] @ powers[: k + 2])
    return moments


def integral(f: Callable[[float], float], low: float, high: float, points: int = 8) -> tuple[float, float]:
    """Integral and a bound on its error; the range is cut into ``points`` parts, so that no narrow peak is missed."""
    from scipy import integrate

    total, error = 0.0, 0.0
    edges = np.linspace(low, high, points + 1)
    for a, b in pairwise(edges):
        value, bound = integrate.quad(f, a, b, epsabs=1e-13 * max(1.0, high - low), epsrel=1e-12, limit=400)
        total, error = total + value, error + bound
    return total, error


def poisson_window(mean: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The counts of a Poisson variable of this mean that are not negligibly rare, and their probabilities.

    Of a mean above 1e6 they are some 9,000 of the counts, evenly spaced, which stand for those around them.
    """
    deviation = math.sqrt(mean)
    width = 9 * deviation + 40
    step = max(1, math.floor(deviation / _POINTS_PER_DEVIATION))
    n = np.arange(max(0, math.floor(mean - width)), math.ceil(mean + width) + 1, step, dtype=float)
    if step > 1:
        # By Stirling's formula, whose error is a fraction 1/(12 mean) here; the logarithms are of numbers near 1.
        d = n / mean - 1
        probability = np.exp(-mean * ((1 + d) * np.log1p(d) - d) - np.log1p(d) / 2)
        return n, probability / probability.sum()
    if mean <= 0:
        return n, np.where(n == 0, 1.0, 0.0)
    # From one count to the next the probability changes by the factor mean/n, so no large logarithms cancel.
    logs = np.cumsum(np.concatenate([[0.0], np.log(mean / n[1:])]))
    probability = np.exp(logs - logs.max())
    return n, probability / probability.sum()


# Limits of settings, which keep all ages within the range of floats; those of runs are the same or narrower.
RATE_MIN, RATE_MAX = 1e-9, 1e6
SHARE_PROBABILITY_MIN = 1e-9
DELAY_MAX_S = 1e9


def check_rate(name: str, value: float) -> None:
    """`ConfigError` unless the value is a rate of samples of one node, in 1/s."""
    check_range(name, value, RATE_MIN, RATE_MAX)


def check_link_rate(name: str, value: float) -> None:
    """`ConfigError` unless the value is a rate of messages, in 1/s: of one link, or of many nodes together."""
    check_positive(name, value)
    check_range(name, value, 1e-30, 1e12)


def check_share_probability(value: float) -> None:
    """`ConfigError` unless the value is 0, or a probability of at least 1e-9."""
    check_range("share_probability", value, 0, 1)
    if 0 < value < SHARE_PROBABILITY_MIN:
        raise ConfigError(f"share_probability must be 0, or at least {SHARE_PROBABILITY_MIN:g}, got {value}")


def plain_values(found: dict[str, Any]) -> dict[str, Any]:
    """The values for JSON: an infinite number as "Infinity", which `float` reads; None stays what is not known.

    Examples
    --------
    >>> plain_values({"mean_s": math.inf, "peak_s": None, "error": 0.0})
    {'mean_s': 'Infinity', 'peak_s': None, 'error': 0.0}
    """
    return {key: "Infinity" if value == math.inf else value for key, value in found.items()}


def check_seed(value: int) -> None:
    """`ConfigError` unless the value is a whole number >= 0."""
    check_whole("seed", value, 0)


def check_positive(name: str, value: float) -> None:
    """`ConfigError` unless the value is finite and above 0."""
    if not 0 < value < math.inf:
        raise ConfigError(f"{name} must be a finite number > 0, got {value}")


def check_whole(name: str, value: int, low: int, high: float = math.inf) -> None:
    """`ConfigError` unless the value is a whole number in the range."""
    if isinstance(value, str) or value != value or value in (math.inf, -math.inf) or int(value) != value:
        raise ConfigError(f"{name} must be a whole number, got {value!r}")
    check_range(name, value, low, high)


def positive_array(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """A flat float array of positive finite numbers."""
    array: NDArray[Any] = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array):
        raise ConfigError(f"{name} must be a list of numbers > 0, got shape {array.shape}")
    wrong = ~((array > 0) & np.isfinite(array))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ConfigError(f"{name} must be finite numbers > 0, got {array[i]} at {i}")
    return array
