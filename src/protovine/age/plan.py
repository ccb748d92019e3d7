"""Which schedule, s and T give a wanted age for the fewest bytes, or the least age within a byte budget."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from protovine.age.delay import Delay
from protovine.age.law import AgeTheory, check_positive, check_whole, positive_array, rates_for_budget
from protovine.age.predict import AgePrediction, check_connected, direct_age, predict_links
from protovine.errors import ConfigError, DataError, check_range, suggest
from protovine.topology import neighbours

# The simplest first: it is taken where a later one gains less than this share.
SCHEDULES = ("coin", "round-robin", "counter", "age-threshold")
GAIN_MIN = 1e-3
# Floats of equal value differ by less; a goal is met up to this.
ROUNDING = 1e-12
# T has so many digits, so that what is printed is what was computed.
DIGITS = 6
T_MIN = 1e-9
T_PER_DECADE = 8
EVERY_MAX = 10**9
# Of larger neighbourhoods so many sizes beyond this are tried, evenly in the logarithm.
SIZES_ALL = 100


@dataclass(frozen=True)
class PlannedSchedule:
    """One schedule with its settings, and what comes of them.

    Parameters
    ----------
    schedule : str
    s : int
        Peers addressed per share.
    T : float
        Share of opportunities that are used; 1/N with ``counter``.
    every : int or None
        N of ``counter``.
    threshold_s : float or None
        Of ``age-threshold``: age of what a peer was last sent from which it is due, for the node with most neighbours.
    bytes_per_s : float
        That a node sends on average, lost messages included.
    age : AgePrediction
    """

    schedule: str
    s: int
    T: float
    every: int | None
    threshold_s: float | None
    bytes_per_s: float
    age: AgePrediction

    def as_dict(self) -> dict[str, Any]:
        """Plain values, those of the age among them."""
        return {k: v for k, v in asdict(self).items() if k != "age"} | self.age.as_dict()


@dataclass(frozen=True)
class AgePlan:
    """What to run for a goal.

    Parameters
    ----------
    recommended : PlannedSchedule
        Fewest bytes for a target, least mean age for a budget; the simplest of those that differ by less than 0.1 %.
    schedules : tuple of PlannedSchedule
        Every schedule that meets the goal, the simplest first.
    left_out : dict of str to str
        The other schedules, and why.
    sequential : PlannedSchedule or None
        One node at a time, with the recommended s and T and turns of ``1/rate_hz``; None if its age is not known.
    sequential_ratio : float or None
        Its mean age over that of the coin, where all nodes act at once, at the same s and T: n(1 - p/2) + p/2 with
        p = T s/neighbours. Each node has a turn as long as the time between its samples, so it sends n times fewer
        bytes.
    sequential_ratio_same_turns : float or None
        The same with n times as many turns, as many as the coin's nodes have together, and the same bytes: a little
        below 1, so what parallel gossip gains is concurrency and nothing else.
    """

    recommended: PlannedSchedule
    schedules: tuple[PlannedSchedule, ...]
    left_out: dict[str, str]
    sequential: PlannedSchedule | None
    sequential_ratio: float | None
    sequential_ratio_same_turns: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "recommended": self.recommended.as_dict(),
            "schedules": [each.as_dict() for each in self.schedules],
            "left_out": dict(self.left_out),
            "sequential": None if self.sequential is None else self.sequential.as_dict(),
            "sequential_ratio": self.sequential_ratio,
            "sequential_ratio_same_turns": self.sequential_ratio_same_turns,
        }


@dataclass(frozen=True)
class RatePlan:
    """Rates of one node for its peers or topics.

    Parameters
    ----------
    rates_hz, T, mean_s : tuple of float
        For each peer: messages per second, the share of own samples that it is sent, its mean age.
    bytes_per_s : float
    weighted_mean_s : float
        Σ w_i mean_s_i / Σ w_i.
    equal_rates_mean_s : float
        The same if all had one rate, at as many bytes.
    """

    rates_hz: tuple[float, ...]
    T: tuple[float, ...]
    mean_s: tuple[float, ...]
    bytes_per_s: float
    weighted_mean_s: float
    equal_rates_mean_s: float


def plan_age(
    *,
    topology: str = "full",
    nodes: int = 5,
    rate_hz: float = 10.0,
    message_bytes: float = 100.0,
    mean_s: float | None = None,
    p95_s: float | None = None,
    budget_bps: float | None = None,
    s: int | None = None,
    forwarding: Literal["none", "peers"] = "none",
    delay: Delay | None = None,
    loss: float = 0.0,
    seed: int = 0,
) -> AgePlan:
    """Settings of every schedule that meet a target of the age for the fewest bytes, or a budget with the least age.

    s and N are tried one by one (beyond 100 neighbours, at 100 sizes more); T is solved for, and rounded to 6 digits to
    the side where the goal is still met. Without forwarding the coin's age depends on T s only, so it takes all
    neighbours with a small T. With it a message is worth most if it goes to one peer, so s is as small as T <= 1
    allows.

    Parameters
    ----------
    topology, nodes, rate_hz, delay, loss, seed
        As in `predict_age`. The graph must be in one piece.
    message_bytes : float > 0
        One node's news with all headers. With forwarding a message has the news of n - 1 nodes and is as many times as
        long.
    mean_s, p95_s, budget_bps : float > 0
        The goal, one of: mean age, age that is exceeded 5 % of the time, bytes per second that a node may send on
        average.
    s : int
        If given, no other is tried.
    forwarding : {"none", "peers"}
        With ``peers`` only the coin and mean ages are known.

    Raises
    ------
    ConfigError
        A value is out of range, nothing is known of the combination, or the target cannot be met: then it says the
        least age, and by which settings.

    Examples
    --------
    >>> plan = plan_age(nodes=5, rate_hz=10, message_bytes=25, budget_bps=100)
    >>> [(each.schedule, each.s, each.T, round(each.age.mean_s, 3)) for each in plan.schedules]
    [('coin', 4, 0.1, 1.0), ('round-robin', 1, 0.4, 0.625), ('counter', 4, 0.1, 0.55), ('age-threshold', 4, 0.1, 0.505)]
    >>> plan.recommended.schedule, round(plan.sequential_ratio, 3)
    ('age-threshold', 4.8)
    """
    goals = {"mean_s": mean_s, "p95_s": p95_s, "budget_bps": budget_bps}
    given = [name for name, value in goals.items() if value is not None]
    if len(given) != 1:
        raise ConfigError(f"one goal is needed of mean_s, p95_s and budget_bps, got {' and '.join(given) or 'none'}")
    (kind,) = given
    bound = float(goals[kind] or 0.0)
    check_positive(kind, bound)
    check_whole("nodes", nodes, 2)
    check_positive("rate_hz", rate_hz)
    check_positive("message_bytes", message_bytes)
    check_range("loss", loss, 0, 1)
    if loss == 1:
        raise ConfigError("with loss = 1 nothing ever arrives: every age is infinite")
    if forwarding not in ("none", "peers"):
        raise ConfigError(f"unknown forwarding '{forwarding}'{suggest(forwarding, ('none', 'peers'))}")
    links = neighbours(topology, nodes, seed)
    check_connected(links, topology)
    most = max(map(len, links))
    if s is not None:
        check_whole("s", s, 1, most)
    delay = None if delay is None or delay.kind == "none" else delay
    if forwarding == "peers" and kind == "p95_s":
        raise ConfigError("with forwarding 'peers' the 95 % age is not known: give a target for the mean")
    if forwarding == "peers" and delay is not None:
        raise ConfigError("with forwarding 'peers' ages are only known without delays")
    swarm = _Swarm(links, topology, rate_hz, message_bytes, forwarding, delay, loss, seed, Counter(map(len, links)))
    goal = _Goal(kind, bound)
    found: dict[str, PlannedSchedule] = {}
    least: list[PlannedSchedule] = []
    left_out: dict[str, str] = {}
    for schedule in SCHEDULES:
        if schedule != "coin" and not swarm.scales("coin"):
            left_out[schedule] = "with such delays, ages are known for the coin only"
            continue
        if schedule != "coin" and forwarding == "peers":
            left_out[schedule] = "with forwarding, ages are known for the coin only"
            continue
        sizes = [int(s)] if s is not None else _sizes_to_try(schedule, most, forwarding)
        try:
            plan = _with_goal(swarm, goal, schedule, sizes)
            if plan is None:
                least.append(_least_age(swarm, goal, schedule, sizes))
                left_out[schedule] = f"its least {goal.name} is {goal.of(least[-1].age):.6g} s"
            else:
                found[schedule] = plan
        except ConfigError as error:
            left_out[schedule] = str(error)
    if not found:
        if not least:
            raise ConfigError(left_out["coin"])
        best = min(least, key=lambda each: goal.of(each.age))
        every = f" (every {best.every} samples)" if best.every else ""
        raise ConfigError(
            f"a {goal.name} of {bound:g} s cannot be met; the least is {goal.of(best.age):.6g} s, with schedule "
            f"'{best.schedule}', s = {best.s} and T = {best.T:g}{every}, at {best.bytes_per_s:.6g} bytes per node and "
            "second"
        )
    schedules = tuple(found.values())
    recommended = schedules[0]
    for each in schedules[1:]:
        if goal.cost(each) < (1 - GAIN_MIN) * goal.cost(recommended):
            recommended = each
    return AgePlan(recommended, schedules, left_out, *_beside_sequential(swarm, recommended))


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

    Each has a coin of its own, tossed at every own sample, so no rate can exceed ``rate_hz``.

    Parameters
    ----------
    weights, message_bytes : float array, shape (m,)
        How much each age matters, and bytes of a message; each > 0.
    rate_hz : float > 0
        Own samples per second.
    mean_s : float > 0
        Target of the weighted mean age, to be met for the fewest bytes; or
    budget_bps : float > 0
        bytes per second for all, to be spent on the least weighted mean age.
    loss : float in [0, 1)

    Raises
    ------
    ConfigError
        A value is out of range, or the target cannot be met.

    Examples
    --------
    >>> plan = plan_rates([1, 1, 1, 1, 16], [1, 1, 1, 1, 1], budget_bps=5)
    >>> plan.T, round(plan.weighted_mean_s, 6), round(plan.equal_rates_mean_s, 6)
    ((0.0625, 0.0625, 0.0625, 0.0625, 0.25), 0.64, 1.0)
    """
    if (mean_s is None) == (budget_bps is None):
        both = "none" if mean_s is None else "both"
        raise ConfigError(f"one goal is needed of mean_s and budget_bps, got {both}")
    w, b = positive_array("weights", weights), positive_array("message_bytes", message_bytes)
    if len(w) != len(b):
        raise ConfigError(f"weights and message_bytes must be as long, got {len(w)} and {len(b)}")
    check_positive("rate_hz", rate_hz)
    if not 0 <= loss < 1:
        raise ConfigError(f"loss must be >= 0 and below 1, got {loss}")
    share, cap = w / w.sum(), np.full(len(w), rate_hz)

    def mean_of(rates: Any) -> float:
        return float(share @ (1 / rates)) / (1 - loss)

    if mean_s is not None:
        from scipy import optimize

        check_positive("mean_s", mean_s)
        most = float(b @ cap)
        if not _within(mean_of(cap), mean_s):
            raise ConfigError(
                f"a weighted mean age of {mean_s:g} s cannot be met; the least is {mean_of(cap):.6g} s, with every "
                f"sample to every peer, at {most:.6g} bytes per second"
            )
        # Without the cap Σ w/r = (Σ sqrt(w b))² / B; a cap makes it dearer.
        low = min(most, float(np.sqrt(share * b).sum() ** 2) / (mean_s * (1 - loss)) * (1 - 1e-9))

        def excess(log_bps: float) -> float:
            return mean_of(rates_for_budget(w, b, math.exp(log_bps), cap)) - mean_s

        ends = math.log(low), math.log(most)
        budget = most if excess(ends[1]) >= 0 else math.exp(optimize.brentq(excess, *ends, xtol=1e-14))
    else:
        budget = float(budget_bps or 0.0)
    rates = rates_for_budget(w, b, budget, cap)
    shares = [_rounded(min(1.0, rate / rate_hz), up=mean_s is not None) for rate in rates.tolist()]
    rates = np.array(shares) * rate_hz
    spent = float(b @ rates)
    ages = 1 / rates / (1 - loss)
    equal = min(rate_hz, spent / float(b.sum()))
    return RatePlan(
        tuple(rates.tolist()), tuple(shares), tuple(ages.tolist()), spent, mean_of(rates), 1 / equal / (1 - loss)
    )


def parse_peers(texts: Iterable[str]) -> tuple[list[float], list[float]]:
    """Weights and sizes of messages in bytes from ``WEIGHT:BYTES``, or files with one such on each line.

    Raises
    ------
    ConfigError, DataError
        A text or a line says no such thing.

    Examples
    --------
    >>> parse_peers(["1:200", "16:200"])
    ([1.0, 16.0], [200.0, 200.0])
    """
    weights, sizes = [], []
    for text in texts:
        for words, where in _peer_lines(text):
            weight, colon, size = words.partition(":")
            try:
                pair = float(weight), float(size)
            except ValueError:
                pair = (math.nan, math.nan)
            if not colon or not all(0 < value < math.inf for value in pair):
                raise ConfigError(f"a peer is WEIGHT:BYTES, two numbers > 0, or a file of such lines, got '{where}'")
            weights.append(pair[0])
            sizes.append(pair[1])
    return weights, sizes


def _peer_lines(text: str) -> list[tuple[str, str]]:
    if ":" in text or not ("/" in text or "." in text):
        return [(text, text)]
    try:
        lines = Path(text).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DataError(f"a peer is WEIGHT:BYTES or a file; cannot read '{text}': {reason}") from None
    kept = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    return [(line, f"{line}' in line {number} of '{text}") for number, line in kept if line]


@dataclass(frozen=True)
class _Goal:
    kind: str
    bound: float

    @property
    def name(self) -> str:
        return "95 % age" if self.kind == "p95_s" else "mean age"

    def of(self, age: AgePrediction | AgeTheory) -> float:
        """What is held against a target; of a sampled mean the upper end of its interval."""
        if self.kind != "p95_s":
            return age.mean_s + age.error
        if age.p95_s is None:
            raise ConfigError(f"the 95 % age is not known here: {age.method}")
        return age.p95_s

    def excess(self, age: AgeTheory) -> float:
        """Falls to 0 where a target is met; quick."""
        if self.kind != "p95_s":
            return age.mean_s - self.bound
        if age.survival is None:
            raise ConfigError(f"the 95 % age is not known here: {age.method}")
        return age.survival(self.bound) - 0.05

    def cost(self, plan: PlannedSchedule) -> float:
        return plan.age.mean_s if self.kind == "budget_bps" else plan.bytes_per_s


@dataclass(frozen=True)
class _Swarm:
    links: list[list[int]]
    topology: str
    rate_hz: float
    message_bytes: float
    forwarding: str
    delay: Delay | None
    loss: float
    seed: int
    degrees: Counter[int]

    def age(self, schedule: str, s: int, T: float) -> AgePrediction:
        return predict_links(
            self.links,
            self.topology,
            s,
            T,
            self.rate_hz,
            schedule,
            self.forwarding,
            self.delay,
            self.loss,
            self.seed,
        )

    def theory(self, schedule: str, s: int, T: float, delay: Delay | None) -> AgeTheory:
        return direct_age(self.degrees, s, T, self.rate_hz, schedule, delay or Delay.none(), self.loss)

    def bytes_at_all(self, s: int) -> float:
        """Bytes per node and second if every opportunity is used."""
        n = len(self.links)
        addressed = sum(min(s, degree) * count for degree, count in sorted(self.degrees.items())) / n
        return self.rate_hz * addressed * self.message_bytes * (n - 1 if self.forwarding == "peers" else 1)

    def scales(self, schedule: str) -> bool:
        """Whether T only sets how fast time runs, up to a fixed delay."""
        if schedule not in ("coin", "round-robin"):
            return False
        return self.delay is None or (self.delay.kind == "fixed" and self.delay.discipline == "unlimited")

    def falls(self, schedule: str) -> bool:
        """Whether more messages always make the age smaller: not where they get into each other's way."""
        return schedule != "coin" or self.delay is None or self.delay.discipline == "unlimited"

    def planned(self, schedule: str, s: int, T: float, age: AgePrediction | None = None) -> PlannedSchedule:
        every = round(1 / T) if schedule == "counter" else None
        threshold_s = None
        if schedule == "age-threshold":
            most = max(self.degrees)
            threshold_s = (most / (min(s, most) * T) - 1) / self.rate_hz
        sent = self.bytes_at_all(s) * T / (len(self.links) if schedule == "sequential" else 1)
        return PlannedSchedule(schedule, s, T, every, threshold_s, sent, age or self.age(schedule, s, T))


def _sizes_to_try(schedule: str, most: int, forwarding: str) -> list[int]:
    """The largest first: among equals a message goes to all at once."""
    # On any graph the coin does best if every link of the swarm has one rate, which all neighbours at once give it.
    if forwarding == "none" and schedule in ("coin", "age-threshold"):
        return [most]
    if most <= SIZES_ALL:
        return list(range(most, 0, -1))
    further = np.geomspace(SIZES_ALL, most, SIZES_ALL + 1).round().astype(int).tolist()
    return sorted({*range(1, SIZES_ALL + 1), *further}, reverse=True)


def _with_goal(swarm: _Swarm, goal: _Goal, schedule: str, sizes: Sequence[int]) -> PlannedSchedule | None:
    """The best s and T; None if the target cannot be met."""
    best: PlannedSchedule | None = None
    errors: list[ConfigError] = []
    guess: tuple[int, int] | None = None
    for s in sizes:
        try:
            if goal.kind == "budget_bps":
                T: float | None = _within_budget(swarm, goal, schedule, s)
            elif schedule == "counter":
                every = _largest_every(swarm, goal, s, max(1, guess[0] * s // guess[1]) if guess else 1)
                guess = (every, s) if every else guess
                T = 1 / every if every else None
            else:
                T = _least_T(swarm, goal, schedule, s)
            if T is None:
                continue
            # Bytes need no prediction, which is what takes time.
            if best and goal.kind != "budget_bps" and not _better(swarm.bytes_at_all(s) * T, best.bytes_per_s):
                continue
            if best and goal.kind == "budget_bps" and swarm.forwarding == "none":
                mean_s = swarm.theory(schedule, s, T, swarm.delay).mean_s
                if not _better(mean_s, best.age.mean_s):
                    continue
            plan = swarm.planned(schedule, s, T)
        except ConfigError as error:
            # With forwarding some s are known and others not.
            errors.append(error)
            continue
        if best is None or _better(goal.cost(plan), goal.cost(best)):
            best = plan
    if errors and len(errors) == len(sizes):
        raise errors[0]
    return best


def _better(cost: float, best: float) -> bool:
    """By more than the rounding of T."""
    return cost < best * (1 - 10.0 ** (1 - DIGITS))


def _within_budget(swarm: _Swarm, goal: _Goal, schedule: str, s: int) -> float:
    """The T of the least mean age among those that keep the budget."""
    full, budget_bps = swarm.bytes_at_all(s), goal.bound
    if schedule == "counter":
        every = max(1, math.ceil(full / budget_bps * (1 - ROUNDING)))
        if every > EVERY_MAX:
            raise ConfigError(
                f"the budget allows one share in {every:,} samples; the most that is tried is {EVERY_MAX:,}"
            )
        return 1 / every
    most = min(1.0, budget_bps / full)
    if not swarm.falls(schedule):
        most = _best_T(swarm, goal, schedule, s, most)
    return _rounded(most, up=False)


def _least_T(swarm: _Swarm, goal: _Goal, schedule: str, s: int) -> float | None:
    """The smallest T that meets the target, rounded up; None if there is none."""
    from scipy import optimize

    if swarm.scales(schedule):
        fixed_s = 0.0 if swarm.delay is None else swarm.delay.mean_s
        if swarm.forwarding == "none":
            base = goal.of(swarm.theory(schedule, s, 1.0, None))
        else:
            base = goal.of(swarm.age(schedule, s, 1.0))
        if not _within(base + fixed_s, goal.bound):
            return None
        T = min(1.0, base / (goal.bound - fixed_s)) if goal.bound > fixed_s else 1.0
    else:

        def excess(log_T: float) -> float:
            return goal.excess(swarm.theory(schedule, s, min(1.0, math.exp(log_T)), swarm.delay))

        # No link delivers more than one without delays, so below this even that would miss the target.
        low = math.log(T_MIN)
        if schedule == "coin":
            low = math.log(min(1.0, goal.of(swarm.theory(schedule, s, 1.0, None)) / goal.bound))
        high = 0.0
        if not swarm.falls(schedule):
            grid = _log_grid(math.exp(low), 1.0)
            last = next((i for i, at in enumerate(grid) if excess(at) <= 0), None)
            if last is not None:
                low, high = grid[max(0, last - 1)], grid[last]
            else:  # A dip between two points, or one that only touches the target.
                high = math.log(_best_T(swarm, goal, schedule, s, 1.0))
        if excess(low) <= 0:
            T = math.exp(low)
        elif excess(high) > 0:
            T = math.exp(high)
        else:
            T = min(1.0, math.exp(optimize.brentq(excess, low, high, xtol=1e-14)))
    T = _rounded(T, up=True)
    if swarm.forwarding == "peers":
        return T
    for _ in range(3):
        if _within(goal.of(swarm.theory(schedule, s, T, swarm.delay)), goal.bound):
            return T
        # Rounding errors of the law may cost one unit of the last digit.
        T = min(1.0, _rounded(T * (1 + 10.0**-DIGITS), up=True))
    return None


def _largest_every(swarm: _Swarm, goal: _Goal, s: int, guess: int) -> int | None:
    """The largest N with which ``counter`` meets the target; None if none does."""

    def met(every: int) -> bool:
        theory = swarm.theory("counter", s, 1 / every, swarm.delay)
        slack = ROUNDING * goal.bound if goal.kind == "mean_s" else ROUNDING
        return goal.excess(theory) <= slack

    low, high, step = 0, guess, 1
    while high <= EVERY_MAX and met(high):
        low, high, step = high, high + step, 2 * step
    step = 1
    while not low and high > 1:
        below = max(1, high - step)
        if met(below):
            low = below
        else:
            high, step = below, 2 * step
    while low and high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if met(middle) else (low, middle)
    return low or None


def _least_age(swarm: _Swarm, goal: _Goal, schedule: str, sizes: Sequence[int]) -> PlannedSchedule:
    """The settings of the least age, whatever they cost."""
    plans: list[PlannedSchedule] = []
    errors: list[ConfigError] = []
    for s in sizes:
        try:
            T = 1.0 if swarm.falls(schedule) else _rounded(_best_T(swarm, goal, schedule, s, 1.0), up=False)
            plan = swarm.planned(schedule, s, T)
            if not plans or _better(goal.of(plan.age), goal.of(plans[-1].age)):
                plans.append(plan)
        except ConfigError as error:
            errors.append(error)
    if not plans:
        raise errors[0]
    return plans[-1]


def _best_T(swarm: _Swarm, goal: _Goal, schedule: str, s: int, end: float) -> float:
    """The T in (0, end] of the least age; the end if nothing else is better."""
    from scipy import optimize

    def value(log_T: float) -> float:
        return goal.of(swarm.theory(schedule, s, min(end, math.exp(log_T)), swarm.delay))

    # As in the search for a target, which here is what the end gives.
    low = goal.of(swarm.theory(schedule, s, 1.0, None)) / value(math.log(end))
    grid = _log_grid(min(low, end), end)
    values = [value(at) for at in grid]
    i = int(np.argmin(values))
    ends = grid[max(0, i - 1)], grid[min(len(grid) - 1, i + 1)]
    found = optimize.minimize_scalar(value, bounds=ends, method="bounded")
    # The minimum is flat, so more digits than these say nothing.
    return end if values[-1] <= found.fun * (1 + 1e-9) else min(end, float(f"{math.exp(found.x):.4g}"))


def _log_grid(low: float, high: float) -> list[float]:
    points = math.ceil(T_PER_DECADE * math.log10(high / low)) + 2
    return np.linspace(math.log(low), math.log(high), points).tolist()


def _rounded(value: float, up: bool) -> float:
    """To 6 digits, up or down unless it is such a number already; at most 1."""
    exponent = DIGITS - 1 - math.floor(math.log10(value))
    scaled = value * 10.0**exponent
    nearest = round(scaled)
    if abs(scaled - nearest) > 1e-9 * nearest:
        nearest = math.ceil(scaled) if up else math.floor(scaled)
    return min(1.0, float(f"{nearest}e{-exponent}"))


def _within(value: float, bound: float) -> bool:
    return value <= bound * (1 + ROUNDING)


def _beside_sequential(
    swarm: _Swarm, plan: PlannedSchedule
) -> tuple[PlannedSchedule | None, float | None, float | None]:
    """Sequential with the same s and T, and its mean age over the coin's: with turns of a node's rate, and of n's."""
    if swarm.forwarding == "peers":
        return None, None, None
    quick = replace(swarm, rate_hz=swarm.rate_hz * len(swarm.links))
    try:
        slow = swarm.planned("sequential", plan.s, plan.T)
        parallel_s = swarm.theory("coin", plan.s, plan.T, swarm.delay).mean_s
        quick_s = quick.theory("sequential", plan.s, plan.T, swarm.delay).mean_s
    except ConfigError:  # Its age is not known with such delays.
        return None, None, None
    return slow, slow.age.mean_s / parallel_s, quick_s / parallel_s
