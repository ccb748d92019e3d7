"""Age of information with direct push: nodes send their own updates to peers, and nothing is forwarded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from protovine.age.delay import Delay, poisson_push
from protovine.age.law import AgeTheory, check_link_rate, check_whole, never, poisson_window
from protovine.errors import ConfigError, check_range, suggest

Floats = NDArray[np.float64]
Schedule = Literal["coin", "round-robin", "counter", "threshold", "sequential", "poll"]
# A geometric series is cut off where its rest is below this, which is less than rounding errors.
SERIES_REST = 1e-18
# The series over losses in a row is summed term by term, so a larger loss would take too many terms.
LOSS_MAX = 0.9999
# The largest N of ``counter``.
EVERY_MAX = 10**9
# Numbers of opportunities that differ by this fraction are the same: 1 / (1 / 49) is not 49.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class UsefulTheory:
    """Ages when only changes are sent, and how long a peer's view is out of date.

    Parameters
    ----------
    age : AgeTheory
        Its ``push_hz`` counts the messages that pass the filter.
    incorrect_s : float
        Mean age of incorrect information: time since the peer's view went out of date, 0 while it is right.
    incorrect_probability : float
        Fraction of the time that the peer's view is out of date.
    """

    age: AgeTheory
    incorrect_s: float
    incorrect_probability: float


def direct_push(
    *,
    nodes: int,
    rate_hz: float,
    fanout: int | None = None,
    share_probability: float = 1.0,
    schedule: Schedule = "coin",
    every: float = 1,
    threshold_s: float = 0.0,
    poll_s: float = 0.05,
    turn_s: float | None = None,
    turns: Literal["fixed", "exponential"] = "exponential",
    delay: Delay | None = None,
    loss: float = 0.0,
) -> AgeTheory:
    r"""Stationary age of one node's updates at one peer, when each node sends updates to s of its n - 1 peers.

    Local samples are a Poisson process of rate λ; each is an opportunity to share. With fanout s, share probability T
    and p = T s/(n - 1), the schedules and their mean ages without loss or delay are:

    - ``coin``: each opportunity is used with probability T, for s peers drawn uniformly: 1/(λp).
    - ``round-robin``: the same coin, but the peers take turns.
    - ``counter``: every N-th opportunity is used, and the peers take turns: (N + 1)/(2λ) for s = n - 1. If N is not
      whole, ⌊N⌋ or ⌈N⌉ opportunities go by, as evenly as that can be: (N + 1 + f(1 - f)/N)/(2λ), f = N - ⌊N⌋.
    - ``threshold``: a peer is due when the newest sample that it was sent is older than ``threshold_s`` = τ; the next
      sample is sent to it: N/(2λ) + 1/(2Nλ) with N = λτ + 1.
    - ``sequential``: nodes act in turn, and a turn takes τ; the node whose turn it is has a new sample and tosses the
      coin: nτ(1/p - 1/2), plus τ/2 if turns are exponential.
    - ``poll``: a loop checks every δ whether there was a sample, and if so tosses the coin; the message is as old as
      the last sample.

    Parameters
    ----------
    nodes : int >= 2
        Number of nodes, n.
    rate_hz : float > 0
        Local samples per second of a node, λ.
    fanout : int
        Peers addressed per share, s; all peers by default.
    share_probability : float in [0, 1]
        Probability that an opportunity is used, T; 1 with ``counter`` and ``threshold``.
    schedule : {"coin", "round-robin", "counter", "threshold", "sequential", "poll"}
    every : float in [1, 1e9]
        N of ``counter``: opportunities from one share to the next, on average.
    threshold_s : float >= 0
        τ of ``threshold``.
    poll_s : float > 0
        δ of ``poll``.
    turn_s : float > 0
        τ of ``sequential``; by default 1/λ.
    turns : {"fixed", "exponential"}
        How long turns of ``sequential`` last.
    delay : Delay
        Any delay with ``coin``; with the other schedules only a fixed one with discipline ``unlimited``. Each ordered
        pair of nodes has its own link.
    loss : float in [0, 1]
        Probability that a message is lost; the sender does not know.

    Returns
    -------
    AgeTheory
        Its version age counts samples. Share probability 0 or loss 1 gives infinite ages.

    Raises
    ------
    ConfigError
        A value is out of range or has no meaning with this schedule, or no closed form is known for the combination.

    References
    ----------
    Kaul, Yates & Gruteser, "Real-time status: how often should one update?", INFOCOM 2012; for delays see
    `poisson_push`. The renewal-reward step that all schedules share is in `docs/explanation/age-theory.md`.

    Examples
    --------
    >>> direct_push(nodes=5, fanout=4, share_probability=0.1, rate_hz=10).mean_s
    1.0
    >>> round(direct_push(nodes=5, fanout=4, share_probability=0.1, rate_hz=10, schedule="sequential").mean_s, 9)
    4.8
    >>> round(direct_push(nodes=5, rate_hz=10, schedule="counter", every=10).mean_s, 9)
    0.55
    """
    check_whole("nodes", nodes, 2)
    peers = nodes - 1
    fanout = peers if fanout is None else fanout
    check_whole("fanout", fanout, 1, peers)
    check_link_rate("rate_hz", rate_hz)
    check_range("share_probability", share_probability, 0, 1)
    check_range("loss", loss, 0, 1)
    if schedule not in get_args(Schedule):
        raise ConfigError(f"unknown schedule '{schedule}'{suggest(schedule, get_args(Schedule))}")
    if schedule in ("counter", "threshold") and share_probability != 1:
        raise ConfigError(
            f"share_probability must be 1 with schedule '{schedule}', which tosses no coin, got {share_probability}"
        )
    check_range("every", every, 1, EVERY_MAX)
    if every != 1 and schedule != "counter":
        raise ConfigError(f"every must be 1 unless the schedule is 'counter', got {every} with '{schedule}'")
    if schedule == "threshold" and fanout != peers:
        raise ConfigError(
            f"fanout must be {peers} with schedule 'threshold', which sends to each peer that is due, got {fanout}"
        )
    check_range("threshold_s", threshold_s, 0, 1e20)
    check_range("poll_s", poll_s, 1e-9, 1e9)
    turn_s = 1 / rate_hz if turn_s is None else turn_s
    check_range("turn_s", turn_s, 1e-12, 1e30)
    if turns not in ("fixed", "exponential"):
        raise ConfigError(f"turns must be 'fixed' or 'exponential', got '{turns}'")
    delay = Delay.none() if delay is None else delay
    p = share_probability * fanout / peers
    if p == 0 or loss == 1:
        return never("nothing ever arrives: the share probability is 0 or the loss 1")
    check_link_rate("the rate of messages to one peer", rate_hz * p)
    if schedule == "coin":
        return poisson_push(rate_hz * p, rate_hz, delay, loss)
    sample_hz = rate_hz
    if schedule == "round-robin":
        theory = _in_turn(rate_hz * share_probability, rate_hz, 1, peers, fanout, loss)
    elif schedule == "counter":
        theory = _in_turn(rate_hz, rate_hz, every, peers, fanout, loss)
    elif schedule == "threshold":
        theory = _threshold(rate_hz, threshold_s, loss)
    elif schedule == "sequential":
        theory = _sequential(nodes, turn_s, p, loss, turns)
        sample_hz = 1 / (nodes * turn_s)
    else:
        theory = _poll(rate_hz, poll_s, p, loss)
    return _later(theory, delay, sample_hz, schedule)


def useful_push(
    *,
    nodes: int,
    rate_hz: float,
    change_hz: float,
    fanout: int | None = None,
    share_probability: float = 1.0,
    loss: float = 0.0,
) -> UsefulTheory:
    r"""Ages when an opportunity is used only if the origin has changed since its last message that reached the peer.

    The origin changes as a Poisson process of rate ν; without the filter, messages would reach the peer at rate
    r = λp(1 - loss). After a reception it takes Exp(ν) until the next change and Exp(r) until a message about it
    arrives, so the mean age is (1/ν² + 1/r² + 1/(νr)) / (1/ν + 1/r). The peer's view is out of date for the fraction
    ν/(ν + r) of the time, and the age of incorrect information is ν/((ν + r) r). It is the same without the filter,
    which sends r messages per second instead of νr/(ν + r). The sender is assumed to know which messages arrived.

    Parameters
    ----------
    nodes, rate_hz, fanout, share_probability, loss
        As in `direct_push`.
    change_hz : float > 0
        Changes of the origin per second, ν.

    Raises
    ------
    ConfigError
        A value is out of range.

    References
    ----------
    Maatouk, Kriouile, Assaad & Ephremides, "The age of incorrect information: a new performance metric for status
    updates", IEEE/ACM Trans. Networking 2020.

    Examples
    --------
    >>> theory = useful_push(nodes=2, rate_hz=1, change_hz=1)
    >>> theory.age.mean_s, theory.incorrect_s, theory.age.push_hz
    (1.5, 0.5, 0.5)
    """
    plain = direct_push(nodes=nodes, rate_hz=rate_hz, fanout=fanout, share_probability=share_probability, loss=loss)
    check_link_rate("change_hz", change_hz)
    nu = change_hz
    if plain.mean_s == math.inf:
        return UsefulTheory(plain, math.inf, 1.0)
    r = 1 / plain.mean_s
    cycle = 1 / nu + 1 / r
    mean = (1 / nu**2 + 1 / r**2 + 1 / (nu * r)) / cycle
    third = 6 * (1 / nu**3 + 1 / (nu**2 * r) + 1 / (nu * r**2) + 1 / r**3)

    def survival(x: float) -> float:
        # The tail of Exp(ν) + Exp(r), integrated from x on; exact also where the two rates are nearly equal.
        slow, gap = min(nu, r), abs(r - nu)
        ratio = x if gap * x < 1e-12 else -math.expm1(-gap * x) / gap
        return math.exp(-slow * x) * (1 + slow * ratio / ((slow + gap) * cycle))

    method = "exact: renewal of Exp(change) + Exp(push); the version age counts changes"
    age = AgeTheory(
        mean_s=mean,
        variance=third / (3 * cycle) - mean**2,
        peak_s=cycle,
        version_mean=nu / r,
        push_hz=1 / cycle / (1 - loss),
        method=method,
        survival=survival,
    )
    incorrect = nu / (nu + r)
    return UsefulTheory(age, incorrect / r, incorrect)


def _later(theory: AgeTheory, delay: Delay, sample_hz: float, schedule: str) -> AgeTheory:
    """The age with a fixed delay on an unlimited link: everything happens that much later, so ages grow by it."""
    if delay.kind == "none":
        return theory
    if delay.kind != "fixed" or delay.discipline != "unlimited":
        raise ConfigError(
            f"no closed form is known for schedule '{schedule}' with {delay.kind} delays and discipline "
            f"'{delay.discipline}'; use schedule 'coin', or a fixed delay with discipline 'unlimited'"
        )
    d, law = delay.mean_s, theory.survival
    return replace(
        theory,
        mean_s=theory.mean_s + d,
        peak_s=None if theory.peak_s is None else theory.peak_s + d,
        version_mean=None if theory.version_mean is None else theory.version_mean + sample_hz * d,
        method=f"{theory.method}; {d:g} s later",
        survival=None if law is None else lambda x: 1.0 if x < d else law(x - d),
    )


def _in_turn(rate_hz: float, sample_hz: float, every: float, peers: int, fanout: int, loss: float) -> AgeTheory:
    """Age when every N-th Poisson event is a share, and s of M peers are addressed in turn.

    A peer receives after K messages to it, K geometric with the loss. They take ⌊KM/s⌋ shares, or one more, depending
    on whose turn it was first, and S shares take ⌊NS⌋ events, or one more, depending on where the count was: G events,
    NKM/s on average. From any time back to the last reception there are J <= G events, P(J = j) = P(G >= j) / E[G],
    and the age is Erlang(J).
    """
    ok = 1 - loss
    visits, weight = _visits(loss)
    low = visits * peers // fanout
    more = visits * peers % fanout / fanout
    # Two columns: the smaller and the larger number of shares; then twice as many, for the numbers of events.
    shares, chance = np.stack([low, low + 1], axis=1), weight[:, None] * np.stack([1 - more, more], axis=1)
    exact = every * shares
    whole = np.round(exact)
    exact = np.where(np.abs(exact - whole) <= _ROUNDING * whole, whole, exact)
    late = exact - np.floor(exact)
    events = np.concatenate([np.floor(exact), np.floor(exact) + 1], axis=1)
    chance = np.concatenate([chance * (1 - late), chance * late], axis=1)
    chance /= chance.sum()
    g1, g2, g3 = (float((chance * events**k).sum()) for k in (1, 2, 3))
    j1 = (g2 + g1) / (2 * g1)
    j2 = (2 * g3 + 3 * g2 + g1) / (6 * g1)
    mean = j1 / rate_hz
    variance = (j2 + j1) / rate_hz**2 - mean**2
    beyond = _mean_excess(events.ravel(), chance.ravel())

    def survival(x: float) -> float:
        n, probability = poisson_window(rate_hz * x)
        return float(probability @ beyond(n)) / g1

    method = "exact: Erlang with a random number of opportunities"
    push_hz = 1 / (g1 / rate_hz) / ok
    return AgeTheory(mean, variance, g1 / rate_hz, sample_hz * mean - 1, push_hz, method, 0.0, survival)


def _mean_excess(values: NDArray[np.float64], chance: NDArray[np.float64]) -> Callable[[Floats], Floats]:
    """The function n -> E[(G - n)^+] of a variable G with these values and probabilities."""
    order = np.argsort(values)
    values, chance = values[order], chance[order]
    # Sums from each value to the last, of probabilities and of probability times value; beyond the last, 0.
    above = np.append(np.cumsum(chance[::-1])[::-1], 0.0)
    total = np.append(np.cumsum((chance * values)[::-1])[::-1], 0.0)

    def beyond(n: Floats) -> Floats:
        first = np.searchsorted(values, n, side="right")
        return np.asarray(np.maximum(0.0, total[first] - n * above[first]))

    return beyond


def _threshold(rate_hz: float, threshold_s: float, loss: float) -> AgeTheory:
    """Age when receptions are K times τ + Exp(λ) apart, K geometric with the loss.

    The age has the equilibrium distribution of that interval, by renewal theory.
    """
    ok, tau, step = 1 - loss, threshold_s, threshold_s + 1 / rate_hz
    visits, weight = _visits(loss)
    x1 = step / ok
    # Given K the interval has mean K step, variance K/λ² and third central moment 2K/λ³.
    m, v, c = visits * step, visits / rate_hz**2, 2 * visits / rate_hz**3
    x2 = float(weight @ (m**2 + v))
    x3 = float(weight @ (m**3 + 3 * m * v + c))
    mean = x2 / (2 * x1)

    def survival(x: float) -> float:
        y = x - visits * tau
        positive = np.maximum(y, 0.0)
        tail = visits / rate_hz * special.gammaincc(visits + 1, rate_hz * positive)
        tail -= positive * special.gammaincc(visits, rate_hz * positive)
        return float(weight @ np.where(y < 0, visits / rate_hz - y, tail)) / x1

    # Before a share is due, λτ samples pile up on average; once it is due, the next sample is sent.
    piled = rate_hz * tau
    per_try = tau * piled / 2 + piled / rate_hz
    version = (per_try / ok + loss / ok**2 * (piled + 1) * step) / x1
    method = "exact: equilibrium law of τ + Exp(λ)"
    return AgeTheory(mean, x3 / (3 * x1) - mean**2, x1, version, 1 / step, method, 0.0, survival)


def _sequential(nodes: int, turn_s: float, p: float, loss: float, turns: str) -> AgeTheory:
    """Age when receptions are a geometric number of rounds of n turns apart."""
    hit = p * (1 - loss)
    round_s = nodes * turn_s
    version = (1 - hit) / hit  # Turns of the node since then.
    k1, k2, k3 = 1 / hit, (2 - hit) / hit**2, (6 - 6 * hit + hit**2) / hit**3
    if turns == "fixed":
        mean = round_s * k2 / (2 * k1)
        variance = round_s**2 * k3 / (3 * k1) - mean**2
        method = "exact: rounds of fixed length"

        def survival(x: float) -> float:
            return float(_geometric_tail(np.array(x / round_s), hit))

    else:
        g1, g2, g3 = nodes * k1, nodes**2 * k2, nodes**3 * k3
        j1, j2 = (g2 + g1) / (2 * g1), (2 * g3 + 3 * g2 + g1) / (6 * g1)
        mean = j1 * turn_s
        variance = (j2 + j1) * turn_s**2 - mean**2
        method = "exact: Erlang with a random number of turns"

        def survival(x: float) -> float:
            n, probability = poisson_window(x / turn_s)
            return float(probability @ _geometric_tail(n / nodes, hit))

    return AgeTheory(mean, variance, round_s * k1, version, p / round_s, method, 0.0, survival)


def _geometric_tail(x: NDArray[np.float64], hit: float) -> NDArray[np.float64]:
    """P(N + U > x) for x >= 0, with N geometric from 0 (success probability ``hit``) and U uniform on [0, 1]."""
    full = np.floor(x)
    return np.asarray((1 - hit) ** full * (1 - hit * (x - full)))


def _visits(loss: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of messages that one reception takes, from 1 on, and their probabilities."""
    if loss > LOSS_MAX:
        raise ConfigError(f"loss must be 1 or at most {LOSS_MAX} with this schedule, got {loss}")
    visits = np.arange(1, 2 + (math.ceil(math.log(SERIES_REST) / math.log(loss)) if loss else 0))
    return visits.astype(np.int64), np.asarray((1 - loss) * loss ** (visits - 1.0), np.float64)


def _poll(rate_hz: float, poll_s: float, p: float, loss: float) -> AgeTheory:
    """Age when a loop polls every δ; a poll reaches the peer with probability ap', a = 1 - exp(-λδ), p' = p(1 - loss).

    The age is the time since the last poll that did, a geometric number of δ and a uniform part of one, plus the age
    that the last sample had then: an exponential time, given that it is less than δ.
    """
    lam, delta = rate_hz, poll_s
    a = -math.expm1(-lam * delta)
    hit = a * p * (1 - loss)
    stale, stale2 = _truncated_moments(lam, delta)
    mean = delta * (1 / hit - 0.5) + stale
    variance = delta**2 * ((1 - hit) / hit**2 + 1 / 12) + stale2 - stale**2

    def tail(y: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(U + L > y) = ∫ P(L > y - u) du / δ over u in (0, δ), where P(L > z) is 1 for z < 0."""

        def area(z: NDArray[np.float64]) -> NDArray[np.float64]:
            z = np.clip(z, 0.0, delta)
            return np.asarray((-np.expm1(-lam * z) / lam - z * math.exp(-lam * delta)) / a)

        return np.asarray((np.clip(delta - y, 0.0, delta) + area(y) - area(y - delta)) / delta)

    def survival(x: float) -> float:
        # Numbers of polls whose time alone exceeds x count in full; of the smaller ones only the last three matter.
        full = math.floor(x / delta)
        m = np.arange(max(0, full - 2), full + 1, dtype=float)
        early = hit * (1 - hit) ** m
        return float((1 - hit) ** (full + 1) + early @ tail(x - m * delta))

    # Samples in intervals after which nothing was received, and in half of the interval that still runs.
    version = lam * delta * ((1 - p * (1 - loss)) / hit + 0.5)
    method = "exact: geometric number of polls"
    return AgeTheory(mean, variance, delta / hit + stale, version, a * p / delta, method, 0.0, survival)


def _truncated_moments(rate_hz: float, end_s: float) -> tuple[float, float]:
    """First two moments of an exponential time given that it is less than ``end_s``."""
    x = rate_hz * end_s
    if x < 0.1:  # The closed form loses digits here; the function is smooth, so twelve points integrate it exactly.
        at, weight = np.polynomial.legendre.leggauss(12)
        u = (at + 1) / 2
        weight = weight * np.exp(-x * u)
        weight /= weight.sum()
        return end_s * float(weight @ u), end_s**2 * float(weight @ u**2)
    late = math.exp(-x) / -math.expm1(-x)
    return 1 / rate_hz - end_s * late, 2 / rate_hz**2 - (end_s**2 + 2 * end_s / rate_hz) * late
