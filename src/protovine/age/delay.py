"""Delays of messages, and the age of information with Poisson pushes under them."""

from __future__ import annotations

import decimal
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from protovine.age.law import DELAY_MAX_S, AgeTheory, Survival, check_link_rate, integral, never, poisson_window
from protovine.errors import ConfigError, check_range, suggest

Discipline = Literal["unlimited", "blocking", "preemptive", "newest"]
# The distribution under a blocking link takes time in proportion to the square of the number of measured delays.
SAMPLES_FOR_LAW_MAX = 500
# Beyond this number of steps of a Markov chain a matrix exponential is faster.
STEPS_MAX = 2000
# How many times faster one rate of a law is than the other, at most.
_APART_MAX = 1e8
# What has this probability for each message does not happen.
_NEVER = 1e-60


@dataclass(frozen=True)
class Delay:
    """How long a message takes from one node to one peer, and how the link treats messages that overlap.

    Made by `Delay.none`, `Delay.fixed`, `Delay.exponential` and `Delay.samples`. The discipline is one of

    - ``unlimited``: any number of messages are under way at once and may overtake each other;
    - ``blocking``: one message at a time; messages sent meanwhile are dropped (M/G/1/1);
    - ``preemptive``: one message at a time; a new message replaces the one under way;
    - ``newest``: one message at a time, and one waits; a new message replaces the waiting one (M/G/1/2*).

    Parameters
    ----------
    kind : {"none", "fixed", "exponential", "samples"}
    mean_s : float
        Mean delay in seconds.
    values_s : tuple of float
        Measured delays in seconds, equally likely; empty for ``none`` and ``exponential``.
    discipline : {"unlimited", "blocking", "preemptive", "newest"}

    Raises
    ------
    ConfigError
        The discipline is unknown, or a delay is negative or not finite.

    Examples
    --------
    >>> Delay.samples([0.1, 0.3], discipline="blocking").mean_s
    0.2
    """

    kind: Literal["none", "fixed", "exponential", "samples"] = "none"
    mean_s: float = 0.0
    values_s: tuple[float, ...] = ()
    discipline: Discipline = "unlimited"

    def __post_init__(self) -> None:
        if self.discipline not in get_args(Discipline):
            raise ConfigError(f"unknown discipline '{self.discipline}'{suggest(self.discipline, get_args(Discipline))}")

    @classmethod
    def none(cls) -> Delay:
        """No delay: messages arrive at once."""
        return cls()

    @classmethod
    def fixed(cls, seconds: float, discipline: Discipline = "unlimited") -> Delay:
        """The same delay for every message; 0 is no delay."""
        check_range("delay", seconds, 0, DELAY_MAX_S)
        return cls("fixed", float(seconds), (float(seconds),), discipline) if seconds else cls()

    @classmethod
    def exponential(cls, mean_s: float, discipline: Discipline = "unlimited") -> Delay:
        """Exponentially distributed delays."""
        check_range("mean delay", mean_s, 1e-9, DELAY_MAX_S)
        return cls("exponential", float(mean_s), (), discipline)

    @classmethod
    def samples(cls, seconds: Sequence[float] | NDArray[np.float64], discipline: Discipline = "unlimited") -> Delay:
        """Measured delays, all equally likely."""
        values = sorted(float(value) for value in seconds)
        if not values:
            raise ConfigError("delays need at least 1 sample, got 0")
        check_range("delay", values[0], 0)
        for value in values:  # A NaN leaves the others unsorted, so every value is checked.
            check_range("delay", value, 0, DELAY_MAX_S)
        return cls("samples", float(np.mean(values)), tuple(values), discipline) if values[-1] > 0 else cls()

    def second_moment(self) -> float:
        """E[D²]."""
        return 2 * self.mean_s**2 if self.kind == "exponential" else float(np.mean(np.square(self.values_s)))

    def third_moment(self) -> float:
        """E[D³]."""
        return 6 * self.mean_s**3 if self.kind == "exponential" else float(np.mean(np.power(self.values_s, 3)))

    def transform(self, rate: float) -> float:
        """E[exp(-rate D)]: the probability that a Poisson process has no event during a delay."""
        if self.kind == "exponential":
            return 1 / (1 + rate * self.mean_s)
        return float(np.mean(np.exp(-rate * np.array(self.values_s))))

    def transform_slope(self, rate: float) -> float:
        """E[D exp(-rate D)]: minus the derivative of `transform`."""
        if self.kind == "exponential":
            return self.mean_s / (1 + rate * self.mean_s) ** 2
        d = np.array(self.values_s)
        return float(np.mean(d * np.exp(-rate * d)))

    def arrived(self, x: float) -> float:
        """∫_0^x P(D <= u) du = E[(x - D)^+]."""
        if self.kind == "exponential":
            u = x / self.mean_s
            if u < 1e-3:  # The closed form is a small difference of two large numbers here.
                return x * u * (1 / 2 - u * (1 / 6 - u * (1 / 24 - u / 120)))
            return x + self.mean_s * math.expm1(-u)
        return float(np.mean(np.maximum(0.0, x - np.array(self.values_s))))


def poisson_push(rate_hz: float, sample_hz: float, delay: Delay, loss: float = 0.0) -> AgeTheory:
    r"""Age of information when one node pushes to one peer as a Poisson process, under any delay and discipline.

    All distributions here follow from one argument. The age at time t exceeds x if and only if no message sent after
    t - x has been delivered by t. So take a stationary link at time t - x, call the messages on it *old*, and wait for
    the first delivery of a new one: this wait has the distribution of the age.

    Parameters
    ----------
    rate_hz : float > 0
        Messages per second, lost ones included.
    sample_hz : float >= rate_hz
        Samples per second of the sender; a random part of them are sent.
    delay : Delay
    loss : float in [0, 1)
        Probability that a message is lost; it occupies the link all the same.

    Raises
    ------
    ConfigError
        A value is out of range.

    References
    ----------
    Kaul, Yates & Gruteser, "Real-time status: how often should one update?", INFOCOM 2012. Costa, Codreanu &
    Ephremides, "On the age of information in status update systems with packet management", IEEE Trans. Inf. Theory
    2016 (blocking, queue of one). Kam, Kompella, Nguyen & Ephremides, "Effect of message transmission path diversity
    on status age", IEEE Trans. Inf. Theory 2016 (unlimited). `docs/explanation/age-theory.md` derives each.

    Examples
    --------
    >>> round(poisson_push(2.5, 10, Delay.exponential(0.1, "blocking")).mean_s, 6)
    0.52
    >>> round(poisson_push(2.5, 10, Delay.fixed(0.1)).mean_s, 6)
    0.5
    """
    check_link_rate("rate_hz", rate_hz)
    check_range("sample_hz", sample_hz, rate_hz)
    if not 0 <= loss < 1:
        raise ConfigError(f"loss must be >= 0 and below 1, got {loss}")
    if delay.kind == "none" or delay.discipline == "unlimited":
        return _unlimited(rate_hz, sample_hz, delay, loss)
    if delay.discipline == "blocking":
        return _blocking(rate_hz, sample_hz, delay, loss)
    if delay.discipline == "preemptive":
        return _preemptive(rate_hz, sample_hz, delay, loss)
    return _newest(rate_hz, sample_hz, delay, loss)


def _unlimited(r: float, sample_hz: float, delay: Delay, loss: float) -> AgeTheory:
    """A message sent u ago has arrived with probability F_D(u), so P(age > x) = exp(-r ∫_0^x F_D)."""
    push_hz, r = r, r * (1 - loss)
    if delay.kind == "none":
        mean = 1 / r
        method = "exponential: Poisson receptions"
        return AgeTheory(mean, mean**2, mean, sample_hz / r - 1, push_hz, method, 0.0, lambda x: math.exp(-r * x))

    def survival(x: float) -> float:
        return math.exp(-r * delay.arrived(x))

    error = 0.0
    if delay.kind == "exponential":
        end = delay.mean_s + 1 / r
        while survival(end) > 1e-18:
            end *= 1.5
        while survival(end / 1.5) <= 1e-18:
            end /= 1.5
        mean, error = integral(survival, 0.0, end)
        second = integral(lambda x: 2 * x * survival(x), 0.0, end)[0]
        rate = 1 / delay.mean_s
        # A message lowers the age if no later one overtook it, which after a delay D has probability P(age > D).
        useful = integral(lambda d: rate * math.exp(-rate * d) * survival(d), 0.0, min(end, 45 / rate))[0]
        late = integral(lambda d: d * rate * math.exp(-rate * d) * survival(d), 0.0, min(end, 45 / rate))[0]
        method = "P(age > x) = exp(-r ∫ F_D), integrated numerically"
    else:
        d = np.array(delay.values_s)
        slope = r * np.arange(1, len(d) + 1) / len(d)
        at = np.exp(-r * np.array([delay.arrived(x) for x in d]))
        after = np.append(at[1:], 0.0)
        # Between two delays P(age > x) falls exponentially: ∫ S = (S_i - S_(i+1)) / slope, and ∫ 2 x S by parts.
        mean = float(d[0] + np.sum((at - after) / slope))
        ends = np.append(d[1:], 0.0)
        second = float(d[0] ** 2 + 2 * np.sum((d * at - ends * after) / slope + (at - after) / slope**2))
        useful, late = float(at.mean()), float((d * at).mean())
        method = "exact: P(age > x) = exp(-r ∫ F_D)"
    peak = (1 / r + late) / useful
    return AgeTheory(mean, second - mean**2, peak, sample_hz * mean - 1, push_hz, method, error, survival)


def _blocking(r: float, sample_hz: float, delay: Delay, loss: float) -> AgeTheory:
    """The age is the rest of a delay if the link is busy, then an idle time and a delay, once more for each loss."""
    d, d2, d3, ok = delay.mean_s, delay.second_moment(), delay.third_moment(), 1 - loss
    cycle = 1 / r + d
    busy = d / cycle
    rest, rest2 = d2 / (2 * d), d3 / (3 * d)
    mean = cycle + busy * rest + loss / ok * cycle
    # A geometric number of cycles, each of variance 1/r² + Var D.
    variance = busy * rest2 - (busy * rest) ** 2 + (1 / r**2 + d2 - d**2) / ok + loss / ok**2 * cycle**2
    peak = cycle / ok + d
    after_push = d + busy * (rest + 1 / r) + loss / ok * cycle
    version = (sample_hz - r) * mean + r * after_push
    law: Survival | None = None
    if delay.kind == "exponential":
        push, mu = _near(r, 1 / d)
        # States: idle, an old message under way, a new message under way.
        law = _phase_type([1 - busy, busy, 0], [(0, 2, push), (1, 0, mu), (2, 0, mu * loss), (2, -1, mu * ok)])
    elif not loss and len(delay.values_s) <= SAMPLES_FOR_LAW_MAX:
        law = _blocking_law(r, busy, np.array(delay.values_s))
    method = "exact: M/G/1/1" + ("" if law else "; quantiles are not known in closed form")
    return AgeTheory(mean, variance, peak, version, r, method, 0.0, law)


def _blocking_law(r: float, busy: float, delays: NDArray[np.float64]) -> Survival:
    positive = delays[delays > 0]
    rest_weight = positive / positive.sum()

    def idle_after_rest(y: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(U + I > y): U is the rest of the delay under way (long ones are likelier), I an idle time."""
        d, y = positive[None, :], y[:, None]
        inside = np.clip(y, 0.0, d)
        tail = 1 - inside / d + (np.exp(-r * (np.maximum(y, 0.0) - inside)) - np.exp(-r * np.maximum(y, 0.0))) / (r * d)
        return np.asarray(tail @ rest_weight)

    def survival(x: float) -> float:
        y = x - delays
        idle = np.exp(-r * np.maximum(y, 0.0))
        return float(np.mean((1 - busy) * idle + busy * idle_after_rest(y)))

    return survival


def _preemptive(r: float, sample_hz: float, delay: Delay, loss: float) -> AgeTheory:
    """f(x) = P(age > x) obeys f' = -r (1 - loss) E[exp(-r D) f(x - D)]: a delay ends now that no push interrupted."""
    ok = 1 - loss
    undisturbed, slope = delay.transform(r), delay.transform_slope(r)
    if undisturbed < _NEVER:
        return never("no message arrives: a newer one replaces each of them first")
    mean = 1 / (r * ok * undisturbed)
    variance = 2 * (1 - r * ok * slope) * mean**2 - mean**2
    peak = mean + slope / undisturbed
    law: Survival | None = None
    if delay.kind == "exponential":
        push, mu = _near(r, 1 / delay.mean_s)
        law = _phase_type([1, 0], [(0, 1, push), (1, 0, mu * loss), (1, -1, mu * ok)])
    elif delay.kind == "fixed":
        law = _late_decay(r * ok * undisturbed, delay.mean_s)
    method = "exact: M/G/1/1 with pre-emption" + ("" if law else "; quantiles are not known in closed form")
    return AgeTheory(mean, variance, peak, sample_hz * mean - 1, r, method, 0.0, law)


def _late_decay(a: float, d: float) -> Survival:
    """Solution of f'(x) = -a f(x - d) with f = 1 below d: Σ_k (-a (x - k d))^k / k! over k d <= x."""

    def survival(x: float) -> float:
        steps = x / d
        if steps <= 15:
            return math.fsum((-a * (x - k * d)) ** k / math.factorial(k) for k in range(math.floor(steps) + 1))
        if steps <= 400:  # The terms are large and cancel, so they need more digits than a float has.
            with decimal.localcontext() as context:
                context.prec = 60 + math.ceil(0.5 * steps)
                exact_a, exact_x, exact_d = decimal.Decimal(a), decimal.Decimal(x), decimal.Decimal(d)
                total, factorial = decimal.Decimal(0), decimal.Decimal(1)
                for k in range(math.floor(steps) + 1):
                    factorial *= max(k, 1)
                    total += (-exact_a * (exact_x - k * exact_d)) ** k / factorial if k else 1
                return max(0.0, float(total))
        # For large x only the slowest of the solutions exp(z x) with z = -a exp(-z d) remains.
        root = float(special.lambertw(-a * d).real)
        return math.exp(root * steps) / (1 + root) if root > -0.999 else 0.0

    return survival


def _newest(r: float, sample_hz: float, delay: Delay, loss: float) -> AgeTheory:
    """The age adds up to three delays: one under way, an old message that waits, the first new message."""
    ok = 1 - loss
    d, rest = delay.mean_s, delay.second_moment() / (2 * delay.mean_s)
    empty, slope = delay.transform(r), delay.transform_slope(r)  # No push during a delay; E[D exp(-r D)].
    cycle = d + empty / r
    busy = d / cycle
    quiet = slope / d  # Probability of no push during the whole delay that is under way.
    old_first = (1 - empty) / (r * d) - quiet  # Of a push in its past part, and none in its rest.
    again = loss / ok * cycle
    mean = (1 - busy) / r + d + busy * (rest + old_first * d + (quiet + old_first * empty) / r) + again
    # Time between deliveries, plus the age on delivery: a delay, and the wait since the last push before it.
    peak = cycle / ok + d + (1 - empty) / r - slope
    after_push = d + busy * rest + again
    version = (sample_hz - r) * mean + r * after_push
    if delay.kind != "exponential":
        method = "exact: M/G/1/2* (mean, peak, version); variance and quantiles are not known in closed form"
        return AgeTheory(mean, None, peak, version, r, method)
    mu = 1 / d
    weights = np.array([mu / r, 1.0, r / mu])
    # States: idle; an old message under way and none, an old or a new one waiting; a new one under way and none or
    # one waiting.
    start = [*(weights / weights.sum()), 0, 0, 0]

    def jumps(r: float, mu: float) -> list[tuple[int, int, float]]:
        arrivals = [(0, 4, r), (1, 0, mu), (1, 3, r), (2, 1, mu), (2, 3, r), (3, 4, mu), (4, 5, r)]
        return [*arrivals, (4, 0, mu * loss), (5, 4, mu * loss), (4, -1, mu * ok), (5, -1, mu * ok)]

    generator = _generator(len(start), jumps(r, mu))
    wait = np.linalg.solve(-generator, np.ones(len(start)))
    second = 2 * float(np.array(start) @ np.linalg.solve(-generator, wait))
    law = _phase_type(start, jumps(*_near(r, mu)))
    return AgeTheory(mean, second - mean**2, peak, version, r, "exact: M/M/1/2*", 0.0, law)


def _generator(states: int, jumps: Sequence[tuple[int, int, float]]) -> NDArray[np.float64]:
    """Generator matrix of a Markov chain from (state before, state after, rate); a jump to -1 is absorbed."""
    q = np.zeros((states, states))
    for before, after, rate in jumps:
        q[before, before] -= rate
        if after >= 0:
            q[before, after] += rate
    return q


def _near(r: float, mu: float) -> tuple[float, float]:
    """Rates of pushes and deliveries for a law, at most 1e8 times apart.

    What is faster yet changes the law by less than 1e-8. A matrix exponential of rates 1e16 times apart has no right
    digit.
    """
    return min(r, mu * _APART_MAX), min(mu, r * _APART_MAX)


def _phase_type(start: Sequence[float], jumps: Sequence[tuple[int, int, float]]) -> Survival:
    """P(not absorbed by time x), by uniformisation: a Poisson number of steps of a discrete chain."""
    alpha, q = np.array(start, np.float64), _generator(len(start), jumps)
    rate = float(-q.diagonal().min())
    step = np.eye(len(alpha)) + q / rate
    alive = [1.0]
    state = alpha

    def survival(x: float) -> float:
        nonlocal state
        if rate * x > STEPS_MAX:
            from scipy import linalg

            return float((alpha @ linalg.expm(q * x)).sum())
        n, probability = poisson_window(rate * x)
        while len(alive) <= n[-1]:
            state = state @ step
            alive.append(float(state.sum()))
        return float(probability @ np.array(alive[int(n[0]) : int(n[-1]) + 1]))

    return survival
