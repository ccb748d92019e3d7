"""How old knowledge is when a busy node trains it: a scheduler of queues, one for each peer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from protovine.age.delay import Delay, poisson_push
from protovine.age.law import (
    DELAY_MAX_S,
    AgeTheory,
    Survival,
    check_rate,
    check_share_probability,
    check_whole,
    poisson_window,
)
from protovine.errors import ConfigError, check_range, suggest

Discipline = Literal["lifo", "fifo", "newest-set", "random"]
# Formulas of queues hold while a queue hardly ever drops what it would have trained: up to this probability.
_DROPPED_MAX = 0.005
# Above this part of the device, the time between two turns varies so much that its distribution takes too many terms.
_LOCAL_MAX = 0.99
# The exact distribution of the age in a full queue takes long if more sets than this fit.
_SETS_MAX = 2000


@dataclass(frozen=True)
class TrainedAge:
    """Predicted ages of received prototypes when they are trained; None where no formula is known.

    Parameters
    ----------
    load : float
        Work that arrives per second, in seconds of the device: above 1 it cannot train everything.
    fraction_trained : float or None
        Fraction of the received prototypes that are ever trained.
    trained_mean_s, trained_p95_s : float or None
        Age of a prototype's set at the moment at which the prototype is trained.
    known_mean_s, known_peak_s, known_p95_s : float or None
        Age of trained knowledge of a peer: time since that peer made the newest set of which at least one prototype
        has been trained. The peak is the age just before it falls.
    known_error_s : float
        Largest error of ``known_mean_s`` that the method leaves, for ``random`` its order; 0 for exact results.
    method : str
        How the ages were computed, and which are not known.
    """

    load: float
    fraction_trained: float | None
    trained_mean_s: float | None
    trained_p95_s: float | None
    known_mean_s: float | None
    known_peak_s: float | None
    known_p95_s: float | None
    known_error_s: float
    method: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite age becomes None."""
        found = asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in found.items()}


def trained_age(
    *,
    nodes: int,
    rate_hz: float,
    set_size: int,
    service_hz: float,
    fanout: int | None = None,
    share_probability: float = 1.0,
    queue_max: int = 255_000,
    discipline: Discipline = "lifo",
    delay_s: float = 0.0,
    loss: float = 0.0,
) -> TrainedAge:
    r"""Ages of what a node learns from its peers, when training takes time.

    The device trains μ prototypes per second. Local samples are a Poisson process of rate λ and come first. A peer's
    sets of L prototypes arrive as a Poisson process of rate ν = λTs(1 - loss)/(n - 1) and wait in the queue of that
    peer, which has room for B. The queues are served round robin, one prototype at a time. The load is
    ρ = (λ + (n - 1)νL)/μ. In overload, ρ > 1, every queue is served c = (μ - λ)/(n - 1) times per second. With
    D = L/c, ρ' = νD and η the positive root of η = ν(1 - exp(-ηD)), the age at which a prototype is trained is

    - ``lifo``: newest prototype first. The time until all newer work is done, a busy period: mean 1/η.
    - ``fifo``: oldest prototype first, and a full queue drops its oldest. Mean (B/L + 1)/ν - 1/η if L divides B.
    - ``newest-set``: a new set replaces the set before, of which prototypes are drawn with replacement. Exp(ν).
    - ``random``: any prototype that waits in the queue, without replacement; a full queue drops its oldest.

    Queues train the fraction min(1, 1/ρ') of what they receive. Below saturation the mean age when trained is the same
    for all three of them, since the number that waits is. The age of trained knowledge is Exp(ν) plus the wait until
    the peer's turn, uniform from 0 to 1/c, with ``lifo`` and ``newest-set``. `docs/explanation/age-theory.md`
    derives all formulas.

    Parameters
    ----------
    nodes : int >= 2
        Number of nodes, n; all share with all.
    rate_hz : float > 0
        Local samples per second of a node, λ.
    set_size : int >= 1
        Prototypes in a set, L.
    service_hz : float > 0
        Prototypes that the device trains per second, μ.
    fanout, share_probability, loss
        As in `direct_push`, with the schedule ``coin``.
    queue_max : int >= 1
        Room in the queue of one peer, B; of no influence with ``newest-set``.
    discipline : {"lifo", "fifo", "newest-set", "random"}
    delay_s : float >= 0
        Fixed delay of messages, which makes all ages that much older.

    Raises
    ------
    ConfigError
        A value is out of range.

    References
    ----------
    Borel, "Sur l'emploi du théorème de Bernoulli", 1942; Tanner, "A derivation of the Borel distribution", Biometrika
    1961; Takács, "Combinatorial methods in the theory of stochastic processes", 1967 (busy periods, ballot theorem);
    Kleinrock, "Queueing systems", vol. 1, 1975 (priorities, conservation law).

    Examples
    --------
    >>> swarm = {"nodes": 5, "rate_hz": 5, "fanout": 4, "share_probability": 1, "set_size": 250, "service_hz": 300}
    >>> for discipline in ("lifo", "fifo", "newest-set", "random"):
    ...     age = trained_age(**swarm, discipline=discipline)
    ...     print(discipline, round(age.fraction_trained, 4), round(age.trained_mean_s, 2), round(age.known_mean_s, 3))
    lifo 0.059 0.2 0.207
    fifo 0.059 204.0 204.007
    newest-set 0.0558 0.2 0.207
    random 0.059 104.15 2.154
    """
    check_whole("nodes", nodes, 2, 10**6)
    peers = nodes - 1
    fanout = peers if fanout is None else fanout
    check_whole("fanout", fanout, 1, peers)
    check_whole("set_size", set_size, 1, 10**9)
    check_whole("queue_max", queue_max, 1, 10**9)
    check_rate("rate_hz", rate_hz)
    check_range("service_hz", service_hz, 1e-3, 1e9)
    check_share_probability(share_probability)
    check_range("loss", loss, 0, 1)
    check_range("delay_s", delay_s, 0, DELAY_MAX_S)
    if discipline not in get_args(Discipline):
        raise ConfigError(f"unknown discipline '{discipline}'{suggest(discipline, get_args(Discipline))}")
    nu = rate_hz * share_probability * fanout / peers * (1 - loss)
    load = (rate_hz + peers * nu * set_size) / service_hz
    if nu == 0 or rate_hz >= service_hz:
        why = "nothing ever arrives" if nu == 0 else "local samples take all the time of the device"
        inf = math.inf
        return TrainedAge(load, None if nu == 0 else 0.0, None, None, inf, inf, inf, 0.0, f"nothing is trained: {why}")
    if rate_hz > _LOCAL_MAX * service_hz:
        method = f"not known: local samples take more than {_LOCAL_MAX:.0%} of the time of the device"
        return _joined(load, None, (None, None), (None, None, None), 0.0, method)
    queue = _Queue(peers, rate_hz, service_hz, set_size, queue_max, nu, load)
    if discipline == "newest-set":
        found = queue.newest_set()
    elif load >= 1:
        found = {"lifo": queue.full_lifo, "fifo": queue.full_fifo, "random": queue.full_random}[discipline]()
    else:
        found = queue.stable(discipline)
    return _later(found, delay_s)


@dataclass(frozen=True)
class _Queue:
    """The queue of one peer: ν, L, B as in `trained_age`."""

    peers: int
    rate_hz: float
    service_hz: float
    set_size: int
    queue_max: int
    nu: float
    load: float

    @property
    def turn_hz(self) -> float:
        """How often it is served while all queues wait, c."""
        return (self.service_hz - self.rate_hz) / self.peers

    @property
    def set_s(self) -> float:
        """Time to train one set then, D."""
        return self.set_size / self.turn_hz

    def newest_set(self) -> TrainedAge:
        """The newest set of each peer; this holds at any load, since the sets never run empty."""
        # Draws are a turn apart. With probability 1 - again a set is replaced between two of them.
        turns, chance = self._turns()
        again = float(chance @ np.exp(-self.nu * turns))
        once = (1 - again) / (self.nu / self.turn_hz)
        new = 1 / self.set_size
        fraction = once * new / (1 - (1 - new) * again)
        trained = (1 / self.nu, math.log(20) / self.nu)
        return _joined(self.load, fraction, trained, self._after_a_turn(), 0.0, "exact: Poisson sets and turns")

    def full_lifo(self) -> TrainedAge:
        """Newest first, in overload."""
        eta = self._root()
        if self._dropped(eta) > _DROPPED_MAX:
            return self._unknown()
        law = self._lifo_law(self.nu * self.set_s)
        trained = (1 / eta, _p95(law, 1 / eta))
        method = "exact: busy period of a saturated queue"
        return _joined(self.load, self._share(), trained, self._after_a_turn(), 0.0, method)

    def full_fifo(self) -> TrainedAge:
        """Oldest first, in overload: the queue is full but for what was trained since the last arrival of a set."""
        eta = self._root()
        if self._dropped(eta) > _DROPPED_MAX:
            return self._unknown()
        # Free room M is exponential with mean c/η. The age is the time since the arrival of the set which holds the
        # (B - M)-th newest prototype; by Wald's equation νL times its mean is the expected size of the sets since then.
        room, spare = self.turn_hz / eta, -self.queue_max % self.set_size
        mean = (self.queue_max - room + _rest(room, spare, self.set_size)) / (self.nu * self.set_size)
        method, sets = "exact: first passage of a full queue", self.queue_max / self.set_size
        if sets > _SETS_MAX:
            p95 = mean + float(special.ndtri(0.95)) * math.sqrt(sets) / self.nu
            method += "; the 95 % age when trained by the central limit"
        else:
            p95 = _p95(self._fifo_law, mean)
        trained, known = (mean, p95), mean + self._turn_wait()
        method += "; peak and 95 % of trained knowledge are not known in closed form"
        return _joined(self.load, self._share(), trained, (known, None, None), 0.0, method)

    def full_random(self) -> TrainedAge:
        """A random one, in overload: a prototype that waits is drawn at rate c over the number that wait."""
        eta = self._root()
        if self._dropped(eta) > _DROPPED_MAX:
            return self._unknown()
        nu, size, room, share = self.nu, self.set_size, self.queue_max, self._share()
        rate = self.turn_hz / (room - self.turn_hz / eta)
        # A prototype waits until it is drawn, at this rate, or until the newer ones that wait fill the queue. These are
        # Poisson sets of which a part is left, and nearly normal. How many fill it follows from the fraction trained.
        at = np.linspace(0.0, min(40.0, -4 * math.log1p(-min(share, 1 - 1e-9))) / rate, 20_001)
        left = np.exp(-rate * at)
        newer = nu * size * (1 - left) / rate
        spread = size * np.sqrt(nu * np.maximum(1 - left**2, 1e-12) / (2 * rate))

        def density(full: float) -> NDArray[np.float64]:
            return np.asarray(rate * left * special.ndtr((full - newer) / spread))

        full = optimize.brentq(lambda full: np.trapezoid(density(full), at) - share, 0.1 * room, 4 * room)
        weight = density(full)
        below = np.cumsum(weight)
        trained = (float(at @ weight / below[-1]), float(np.interp(0.95, below / below[-1], at)))
        # The first of the L prototypes of a set is drawn after an exponential time.
        link = poisson_push(nu, nu, Delay.exponential(1 / (rate * size), "unlimited"), 0.0)
        known = (link.mean_s, link.peak_s, link.p95_s)
        method = f"fluid limit of large queues: relative errors are of the order L/B = {size / room:.2g}"
        return _joined(self.load, share, trained, known, link.mean_s * size / room, method)

    def stable(self, discipline: str) -> TrainedAge:
        """Below saturation the mean number that waits does not depend on the order, so by Little's law no mean does."""
        if self.nu * self.set_s >= 1:  # By rounding: the load is 1.
            return self._unknown()
        grow = optimize.brentq(self._growth, 1e-9 / self.set_s, 1e6 / self.set_s)
        if math.exp(-grow * max(0.0, self.queue_max - self.set_size) / self.turn_hz) > _DROPPED_MAX:
            return self._unknown()
        mu, one = self.service_hz, self.rate_hz / self.service_hz
        rest = (self.rate_hz + self.peers * self.nu * self.set_size**2) / (2 * mu**2)
        mean = rest / ((1 - one) * (1 - self.load)) + (self.set_size + 1) / (2 * mu * (1 - one))
        if discipline != "lifo":
            method = "exact mean by Little's law; quantiles and trained knowledge are not known in closed form"
            return _joined(self.load, 1.0, (mean, None), (None, None, None), 0.0, method)
        # A new set is trained at the peer's next turn, which comes after at most n - 1 prototypes.
        method, p95 = "exact mean by Little's law; trained knowledge to half a turn", None
        if self.peers == 1:
            p95 = _p95(self._lifo_law(1.0), mean)
        else:
            method += "; the 95 % age when trained is not known for more than one peer"
        return _joined(self.load, 1.0, (mean, p95), self._after_a_turn(), self._turn_wait(), method)

    def _root(self) -> float:
        """η: rate at which a saturated queue of newest first gets through to the prototype at hand; 0 at load 1."""
        low = max(0.0, 2 * (self.nu - 1 / self.set_s) / (self.nu * self.set_s)) / 1e3
        if low <= 0:
            return 0.0
        return float(
            optimize.brentq(
                lambda eta: eta + self.nu * math.expm1(-eta * self.set_s), low, self.nu, xtol=1e-16 * self.nu
            )
        )

    def _growth(self, rate: float) -> float:
        """0 at the exponential rate at which long queues are rare, below saturation."""
        x = min(rate * self.set_s, 700.0)
        return self.nu * math.expm1(x) - rate

    def _dropped(self, eta: float) -> float:
        """Bound on the probability that a prototype is dropped that newest first would still have trained."""
        return math.exp(-eta * max(0.0, self.queue_max - self.set_size) / self.turn_hz)

    def _share(self) -> float:
        return min(1.0, 1 / (self.nu * self.set_s))

    def _turns(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times between two turns of a peer while all queues wait, and their probabilities.

        Without local samples it is w = (n - 1)/μ; k local samples make it k/μ longer. It is a busy period begun with
        w, so k has probability w/t Poisson(k; λt) at t = w + k/μ.
        """
        w, one = self.peers / self.service_hz, self.rate_hz / self.service_hz
        # Beyond this the terms fall by more than the factor ρ₁ exp(1 - ρ₁) each.
        terms = math.ceil(60 + 40 / -(math.log(one) + 1 - one) + 2 * self.peers * one / (1 - one))
        k = np.arange(terms, dtype=float)
        t = w + k / self.service_hz
        chance = w / t * np.exp(special.xlogy(k, self.rate_hz * t) - self.rate_hz * t - special.gammaln(k + 1))
        keep = chance > 1e-18
        return t[keep], chance[keep] / chance[keep].sum()

    def _turn_wait(self) -> float:
        """Mean time until a peer's next turn, from any moment: E[S²]/(2E[S]) of the time S between two."""
        turns, chance = self._turns()
        return float(chance @ turns**2 / (2 * (chance @ turns)))

    def _after_a_turn(self) -> tuple[float, float, float]:
        """Mean, peak and 95 % of R + Exp(ν), where R is the time since the peer's last turn."""
        nu = self.nu
        turns, chance = self._turns()
        mean_turn = float(chance @ turns)

        def survival(x: float) -> float:
            early = np.minimum(x, turns)
            each = turns - early + np.exp(nu * (early - x)) * -np.expm1(-nu * early) / nu
            return float(chance @ each) / mean_turn

        mean = 1 / nu + self._turn_wait()
        # It falls at a turn since whose predecessor a set came; before, it is the time between them plus Exp(ν).
        falls = chance * -np.expm1(-nu * turns)
        return mean, 1 / nu + float(falls @ turns / falls.sum()), _p95(survival, mean)

    def _lifo_law(self, reached: float) -> Survival:
        """P(age when trained > t); ``reached`` is ρ' in overload, and 1 if everything is trained.

        A prototype starts at a uniform depth x in [0, D). It is trained at time x + kD if k sets came until then, but
        only just in time: P = x/t Poisson(k; νt) by the ballot theorem. Integrated over x and summed over k.
        """
        nu, size = self.nu, self.set_s

        def survival(t: float) -> float:
            k = np.arange(math.floor(t / size) + 1, dtype=float)
            a, b = k * size, np.minimum((k + 1) * size, t)
            whole = (special.gammainc(k + 1, nu * b) - special.gammainc(k + 1, nu * a)) / nu
            late = np.zeros(len(k))
            late[1:] = size * (special.gammainc(k[1:], nu * b[1:]) - special.gammainc(k[1:], nu * a[1:]))
            return 1.0 - max(reached, 1.0) * float((whole - late).sum()) / size

        return survival

    def _fifo_law(self, x: float) -> float:
        """P(age when trained > x): fewer than B prototypes came within x, or were kept room for.

        With m sets within x and free room M, the age exceeds x if mL + M < B. M is the largest excess of service over
        arrivals on the way, and by the ballot theorem it reaches y with j sets with probability
        y/(y + jL) Poisson(j; ν(y + jL)/c).
        """
        size, c, nu = float(self.set_size), self.turn_hz, self.nu
        m, chance = poisson_window(nu * x)
        room = self.queue_max - m * size
        below = float(chance[room > 0].sum())
        # So much free room is impossible, up to rounding.
        m, room = (each[(room > 0) & (room < 40 * c / self._root())][:, None] for each in (m, room))
        if not len(m):
            return below
        j = np.arange(m.max() + 1)[None, :]
        at = np.minimum((room + j * size) / c, x)
        rest = np.maximum(m - j, 0)
        logs = special.xlogy(j, nu * at) - special.gammaln(j + 1)
        logs += special.xlogy(rest, nu * (x - at)) - special.gammaln(rest + 1) - nu * x
        reached = ((room + j * size) / c <= x) & (m >= j)
        over = np.where(reached, room / (room + j * size) * np.exp(logs), 0.0)
        return min(1.0, max(0.0, below - float(over.sum())))

    def _unknown(self) -> TrainedAge:
        method = (
            f"not known: the load {self.load:.4g} is too close to 1, or the queue of {self.queue_max} too short "
            f"for sets of {self.set_size}"
        )
        return _joined(self.load, None, (None, None), (None, None, None), 0.0, method)


def _rest(mean: float, spare: float, size: float) -> float:
    """E[(M + spare) mod size] for an exponential M, and 0 <= spare < size."""
    cycle = math.exp(-size / mean)
    inside = mean - size * cycle / (1 - cycle)  # E[M mod size]
    over = (math.exp(-(size - spare) / mean) - cycle) / (1 - cycle)
    return inside + spare - size * over


def _joined(
    load: float,
    fraction: float | None,
    trained: tuple[float | None, float | None],
    known: tuple[float | None, float | None, float | None],
    error: float,
    method: str,
) -> TrainedAge:
    return TrainedAge(load, fraction, *trained, *known, error, method)


def _p95(law: Callable[[float], float], mean: float) -> float:
    found = AgeTheory(mean, None, None, None, 0.0, "", 0.0, law).p95_s
    assert found is not None
    return found


def _later(found: TrainedAge, delay_s: float) -> TrainedAge:
    def later(age: float | None) -> float | None:
        return None if age is None else age + delay_s

    return replace(
        found,
        trained_mean_s=later(found.trained_mean_s),
        trained_p95_s=later(found.trained_p95_s),
        known_mean_s=later(found.known_mean_s),
        known_peak_s=later(found.known_peak_s),
        known_p95_s=later(found.known_p95_s),
    )
