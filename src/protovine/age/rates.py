"""Rates of one node for peers or topics that matter differently, within a byte budget or for a target age."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protovine.age.law import check_positive, check_rate, positive_array, rates_for_budget
from protovine.age.search import rounded, within
from protovine.errors import ConfigError


@dataclass(frozen=True)
class RatePlan:
    """Rates of one node for its peers or topics.

    Parameters
    ----------
    rates_hz, share_probabilities, mean_s : tuple of float
        For each peer: messages per second, the fraction of the local samples that are shared with it, its mean age.
    bytes_per_s : float
        For all peers together.
    weighted_mean_s : float
        Σ w_i mean_s_i / Σ w_i.
    equal_rates_mean_s : float
        The weighted mean if all peers had the same rate, at the same number of bytes.
    """

    rates_hz: tuple[float, ...]
    share_probabilities: tuple[float, ...]
    mean_s: tuple[float, ...]
    bytes_per_s: float
    weighted_mean_s: float
    equal_rates_mean_s: float


def plan_rates(
    weights: ArrayLike,
    message_bytes: ArrayLike,
    *,
    rate_hz: float = 10.0,
    mean_s: float | None = None,
    budget_bps: float | None = None,
    loss: float = 0.0,
) -> RatePlan:
    """Rates of one node for peers or topics that matter differently, by the square-root law of `rates_for_budget`.

    The node tosses one coin per peer at every local sample, so no rate can exceed ``rate_hz``.

    Parameters
    ----------
    weights, message_bytes : float array, shape (m,)
        How much each age matters, and bytes of a message; each > 0.
    rate_hz : float > 0
        Local samples per second.
    mean_s : float > 0
        Target for the weighted mean age, met with the fewest bytes; or
    budget_bps : float > 0
        bytes per second for all peers, spent on the least weighted mean age.
    loss : float in [0, 1)
        Probability that a message is lost.

    Raises
    ------
    ConfigError
        A value is out of range, or the target cannot be met.

    Examples
    --------
    >>> plan = plan_rates([1, 1, 1, 1, 16], [1, 1, 1, 1, 1], budget_bps=5)
    >>> plan.share_probabilities, round(plan.weighted_mean_s, 6), round(plan.equal_rates_mean_s, 6)
    ((0.0625, 0.0625, 0.0625, 0.0625, 0.25), 0.64, 1.0)
    """
    if (mean_s is None) == (budget_bps is None):
        both = "none" if mean_s is None else "both"
        raise ConfigError(f"one goal is needed of mean_s and budget_bps, got {both}")
    w, b = positive_array("weights", weights), positive_array("message_bytes", message_bytes)
    if len(w) != len(b):
        raise ConfigError(f"weights and message_bytes must be as long, got {len(w)} and {len(b)}")
    check_rate("rate_hz", rate_hz)
    if not 0 <= loss < 1:
        raise ConfigError(f"loss must be >= 0 and below 1, got {loss}")
    if mean_s is None:
        budget = float(budget_bps or 0.0)
    else:
        check_positive("mean_s", mean_s)
        budget = _least_budget(w, b, rate_hz, mean_s, loss)
    ideal = rates_for_budget(w, b, budget, np.full(len(w), rate_hz))
    probabilities = [rounded(min(1.0, rate / rate_hz), up=mean_s is not None) for rate in ideal.tolist()]
    rates = np.array(probabilities) * rate_hz
    spent = float(b @ rates)
    ages = 1 / rates / (1 - loss)
    equal = min(rate_hz, spent / float(b.sum()))
    return RatePlan(
        tuple(rates.tolist()),
        tuple(probabilities),
        tuple(ages.tolist()),
        spent,
        _weighted_mean_s(w, rates, loss),
        1 / equal / (1 - loss),
    )


def _weighted_mean_s(w: NDArray[np.float64], rates: NDArray[np.float64], loss: float) -> float:
    return float(w / w.sum() @ (1 / rates)) / (1 - loss)


def _least_budget(w: NDArray[np.float64], b: NDArray[np.float64], rate_hz: float, mean_s: float, loss: float) -> float:
    """Bytes per second at which the square-root law, with rates of at most ``rate_hz``, meets the target."""
    from scipy import optimize

    cap = np.full(len(w), rate_hz)
    most = float(b @ cap)
    least_s = _weighted_mean_s(w, cap, loss)
    if not within(least_s, mean_s):
        raise ConfigError(
            f"a weighted mean age of {mean_s:g} s cannot be met; the least is {least_s:.6g} s, with every "
            f"sample to every peer, at {most:.6g} bytes per second"
        )
    # Without the maximum Σ w/r = (Σ sqrt(w b))² / B; a maximum can only cost more bytes.
    low = min(most, float(np.sqrt(w / w.sum() * b).sum() ** 2) / (mean_s * (1 - loss)) * (1 - 1e-9))

    def excess(log_bps: float) -> float:
        return _weighted_mean_s(w, rates_for_budget(w, b, math.exp(log_bps), cap), loss) - mean_s

    ends = math.log(low), math.log(most)
    return most if excess(ends[1]) >= 0 else math.exp(optimize.brentq(excess, *ends, xtol=1e-14))
