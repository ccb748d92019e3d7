"""Age of information when nodes push their own news directly, and nothing is forwarded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from protovine.age.delay import Delay, poisson_push
from protovine.age.law import AgeTheory, check_positive, check_whole, never, poisson_window
from protovine.errors import ConfigError, check_range, suggest

Schedule = Literal["coin", "round-robin", "counter", "threshold", "sequential", "poll"]
# What is left of a geometric series beyond this is less than rounding.
SERIES_REST = 1e-18
# The series of losses in a row is summed term by term.
LOSS_MAX = 0.9999


@dataclass(frozen=True)
class UsefulTheory:
    """Ages when only news is sent, and how long a peer is wrong.

    Parameters
    ----------
    age : AgeTheory
        Its ``push_hz`` is what the filter leaves of the messages.
    incorrect_s : float
        Mean age of incorrect information: time since the peer's view went out of date, 0 while it is right.
    incorrect_probability : float
        Share of the time that the peer's view is out of date.
    """

    age: AgeTheory
    incorrect_s: float
    incorrect_probability: float


def direct_push(
    *,
    nodes: int,
    rate_hz: float,
    s: int | None = None,
    T: float = 1.0,
    schedule: Schedule = "coin",
    every: int = 1,
    threshold_s: float = 0.0,
    poll_s: float = 0.05,
    turn_s: float | None = None,
    turns: Literal["fixed", "exponential"] = "exponential",
    delay: Delay | None = None,
    loss: float = 0.0,
) -> AgeTheory:
    r"""Stationary age of one node's news at one peer, when each node sends its own news to s of its n - 1 peers.

    Own samples are a Poisson process of rate λ; each is an opportunity to share. With p = T s/(n - 1):

    - ``coin``: each opportunity is used with probability T, for s peers drawn uniformly: 1/(λp).
    - ``round-robin``: the same coin, but the peers take turns.
    - ``counter``: every N-th opportunity, the peers take turns; with s = n - 1, (N + 1)/(2λ).
    - ``threshold``: a peer is sent to at the first opportunity at which what was last sent to it is older than
      ``threshold_s`` = τ; with N = λτ + 1, N/(2λ) + 1/(2Nλ).
    - ``sequential``: nodes act in turn, each turn taking τ; the node whose turn it is has a new sample and tosses the
      coin: nτ(1/p - 1/2), plus τ/2 if turns are exponential.
    - ``poll``: a loop looks every δ whether there was a sample, and if so tosses the coin; what it sends is as old as
      the last sample.

    Parameters
    ----------
    nodes : int >= 2
        n.
    rate_hz : float > 0
        λ, own samples per second of a node.
    s : int
        Peers addressed per share; all if not given.
    T : float
        Probability that an opportunity is used.
    schedule : str
    every : int >= 1
        N of ``counter``: opportunities from one share to the next.
    threshold_s, poll_s, turn_s : float
        Of ``threshold`` (>= 0), ``poll`` and ``sequential`` (default 1/λ).
    turns : {"fixed", "exponential"}
        Of ``sequential``.
    delay : Delay
        Any with ``coin``; with other schedules a fixed one with discipline ``unlimited``. Single servers are one for
        each ordered pair of nodes.
    loss : float
        Probability that a message is lost; the sender does not know.

    Returns
    -------
    AgeTheory
        Versions are own samples. T = 0 or loss = 1 give infinite ages.

    Raises
    ------
    ConfigError
        A value is out of range, says nothing for this schedule, or no closed form is known for the combination.

    References
    ----------
    Kaul, Yates & Gruteser, "Real-time status: how often should one update?", INFOCOM 2012; for delays see
    `poisson_push`. The renewal-reward step that all schedules share is in `docs/age.md`.

    Examples
    --------
    >>> direct_push(nodes=5, s=4, T=0.1, rate_hz=10).mean_s
    1.0
    >>> round(direct_push(nodes=5, s=4, T=0.1, rate_hz=10, schedule="sequential").mean_s, 9)
    4.8
    >>> round(direct_push(nodes=5, rate_hz=10, schedule="counter", every=10).mean_s, 9)
    0.55
    """
    check_whole("nodes", nodes, 2)
    peers = nodes - 1
    s = peers if s is None else s
    check_whole("s", s, 1, peers)
    check_positive("rate_hz", rate_hz)
    check_range("T", T, 0, 1)
    check_range("loss", loss, 0, 1)
    if schedule not in get_args(Schedule):
        raise ConfigError(f"unknown schedule '{schedule}'{suggest(schedule, get_args(Schedule))}")
    if schedule in ("counter", "threshold") and T != 1:
        raise ConfigError(f"T must be 1 with schedule '{schedule}', which tosses no coin, got {T}")
    check_whole("every", every, 1)
    if every != 1 and schedule != "counter":
        raise ConfigError(f"every must be 1 unless the schedule is 'counter', got {every} with '{schedule}'")
    if schedule == "threshold" and s != peers:
        raise ConfigError(f"s must be {peers} with schedule 'threshold', which sends to each peer that is due, got {s}")
    check_range("threshold_s", threshold_s, 0, 1e12)
    check_positive("poll_s", poll_s)
    turn_s = 1 / rate_hz if turn_s is None else turn_s
    check_positive("turn_s", turn_s)
    if turns not in ("fixed", "exponential"):
        raise ConfigError(f"turns must be 'fixed' or 'exponential', got '{turns}'")
    delay = Delay.none() if delay is None else delay
    p = T * s / peers
    if p == 0 or loss == 1:
        return never("nothing ever arrives: T = 0 or loss = 1")
    if schedule == "coin":
        return poisson_push(rate_hz * p, rate_hz, delay, loss)
    sample_hz = rate_hz
    if schedule == "round-robin":
        theory = _in_turn(rate_hz * T, rate_hz, 1, peers, s, loss)
    elif schedule == "counter":
        theory = _in_turn(rate_hz, rate_hz, every, peers, s, loss)
    elif schedule == "threshold":
        theory = _threshold(rate_hz, threshold_s, loss)
    elif schedule == "sequential":
        theory = _sequential(nodes, turn_s, p, loss, turns)
        sample_hz = 1 / (nodes * turn_s)
    else:
        theory = _poll(rate_hz, poll_s, p, loss)
    return _later(theory, delay, sample_hz, schedule)


def useful_push(
    *, nodes: int, rate_hz: float, change_hz: float, s: int | None = None, T: float = 1.0, loss: float = 0.0
) -> UsefulTheory:
    r"""Ages when an opportunity is used only if the origin has changed since the peer last heard of it.

    The origin changes as a Poisson process of rate ν; used opportunities would reach the peer at rate
    r = λp(1 - loss). From a reception it takes Exp(ν) until there is something to tell and Exp(r) until it is told, so
    the plain age is (1/ν² + 1/r² + 1/(νr)) / (1/ν + 1/r), and the peer is wrong for the share ν/(ν + r) of the time,
    then since Exp(r): the age of incorrect information is ν/((ν + r) r), the same as without the filter, at νr/(ν + r)
    messages instead of r. The sender is taken to know what has arrived.

    Parameters
    ----------
    nodes, rate_hz, s, T, loss
        As in `direct_push`.
    change_hz : float > 0
        ν, changes per second of what the origin has to tell.

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
    plain = direct_push(nodes=nodes, rate_hz=rate_hz, s=s, T=T, loss=loss)
    check_positive("change_hz", change_hz)
    nu = change_hz
    if plain.mean_s == math.inf:
        return UsefulTheory(plain, math.inf, 1.0)
    r = 1 / plain.mean_s
    cycle = 1 / nu + 1 / r
    mean = (1 / nu**2 + 1 / r**2 + 1 / (nu * r)) / cycle
    third = 6 * (1 / nu**3 + 1 / (nu**2 * r) + 1 / (nu * r**2) + 1 / r**3)

    def survival(x: float) -> float:
        # The tail of Exp + Exp integrated from x on, with nothing that cancels where the two rates are nearly one.
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
    share = nu / (nu + r)
    return UsefulTheory(age, share / r, share)


def _later(theory: AgeTheory, delay: Delay, sample_hz: float, schedule: str) -> AgeTheory:
    """A fixed delay on an unlimited link shows the peer what it would have known that long ago."""
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


def _in_turn(rate_hz: float, sample_hz: float, every: int, peers: int, s: int, loss: float) -> AgeTheory:
    """Receptions after G Poisson events: every N-th is a share, and s of M peers are addressed in turn.

    K visits to a peer take N ⌊KM/s⌋ or one share more, whichever the phase says, so that its mean is NKM/s; K is
    geometric with loss. Seen from any time, J <= G events have to be gone back to the last reception, where
    P(J = j) = P(G >= j) / E[G], and the age is Erlang(J).
    """
    ok = 1 - loss
    visits, weight = _visits(loss)
    low = visits * peers // s
    more = visits * peers % s / s
    # Two columns: the smaller and the larger number of events, with their probabilities.
    events = every * np.stack([low, low + 1], axis=1).astype(float)
    chance = weight[:, None] * np.stack([1 - more, more], axis=1)
    chance /= chance.sum()
    g1, g2, g3 = (float((chance * events**k).sum()) for k in (1, 2, 3))
    j1 = (g2 + g1) / (2 * g1)
    j2 = (2 * g3 + 3 * g2 + g1) / (6 * g1)
    mean = j1 / rate_hz
    variance = (j2 + j1) / rate_hz**2 - mean**2

    def survival(x: float) -> float:
        n, probability = poisson_window(rate_hz * x)
        if peers % s == 0:
            return float(probability @ _geometric_tail(n / (every * peers // s), ok))
        beyond = np.zeros(len(n))
        for start in range(0, len(visits), 500):
            part = slice(start, start + 500)
            beyond += (chance[part, :, None] * np.maximum(0.0, events[part, :, None] - n)).sum(axis=(0, 1))
        return float(probability @ beyond) / g1

    method = "exact: Erlang with a random number of opportunities"
    push_hz = 1 / (g1 / rate_hz) / ok
    return AgeTheory(mean, variance, g1 / rate_hz, sample_hz * mean - 1, push_hz, method, 0.0, survival)


def _threshold(rate_hz: float, threshold_s: float, loss: float) -> AgeTheory:
    """Receptions after K times (τ + Exp(λ)), K geometric; the age is the equilibrium law of that interval."""
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

    # While a share is not due samples pile up, λτ of them; when it is due the next one is sent.
    piled = rate_hz * tau
    per_try = tau * piled / 2 + piled / rate_hz
    version = (per_try / ok + loss / ok**2 * (piled + 1) * step) / x1
    method = "exact: equilibrium law of τ + Exp(λ)"
    return AgeTheory(mean, x3 / (3 * x1) - mean**2, x1, version, 1 / step, method, 0.0, survival)


def _sequential(nodes: int, turn_s: float, p: float, loss: float, turns: str) -> AgeTheory:
    """Receptions after a geometric number of rounds of n turns."""
    hit = p * (1 - loss)
    round_s = nodes * turn_s
    version = (1 - hit) / hit  # Own turns since.
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
    """P(geometric number of whole units before a uniform part of one exceeds x), x >= 0."""
    full = np.floor(x)
    return np.asarray((1 - hit) ** full * (1 - hit * (x - full)))


def _visits(loss: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How many tries a reception takes, from 1, and the probabilities."""
    if loss > LOSS_MAX:
        raise ConfigError(f"loss must be 1 or at most {LOSS_MAX} with this schedule, got {loss}")
    visits = np.arange(1, 2 + (math.ceil(math.log(SERIES_REST) / math.log(loss)) if loss else 0))
    return visits.astype(np.int64), np.asarray((1 - loss) * loss ** (visits - 1.0), np.float64)


def _poll(rate_hz: float, poll_s: float, p: float, loss: float) -> AgeTheory:
    """Looks that come every δ; one reaches the peer with probability ap', a = 1 - exp(-λδ), p' = p(1 - loss).

    The age is the time since the last such look, a geometric number of δ and a uniform part, plus how old the last
    sample was then: an exponential time given that it is less than δ.
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
        # Whole units beyond x count in full; only three of those before still matter.
        full = math.floor(x / delta)
        m = np.arange(max(0, full - 2), full + 1, dtype=float)
        early = hit * (1 - hit) ** m
        return float((1 - hit) ** (full + 1) + early @ tail(x - m * delta))

    # Samples in slots that sent nothing, and half a slot that still runs.
    version = lam * delta * ((1 - p * (1 - loss)) / hit + 0.5)
    method = "exact: geometric number of looks"
    return AgeTheory(mean, variance, delta / hit + stale, version, a * p / delta, method, 0.0, survival)


def _truncated_moments(rate_hz: float, end_s: float) -> tuple[float, float]:
    """First two moments of an exponential time given that it is less than ``end_s``."""
    x = rate_hz * end_s
    if x < 0.1:  # The closed form cancels; the integrals of so smooth a function are exact with few points.
        at, weight = np.polynomial.legendre.leggauss(12)
        u = (at + 1) / 2
        weight = weight * np.exp(-x * u)
        weight /= weight.sum()
        return end_s * float(weight @ u), end_s**2 * float(weight @ u**2)
    late = math.exp(-x) / -math.expm1(-x)
    return 1 / rate_hz - end_s * late, 2 / rate_hz**2 - (end_s**2 + 2 * end_s / rate_hz) * late
