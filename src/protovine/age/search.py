"""The search for the fanout and share probability of one schedule that serve a goal best."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from protovine.age.candidate import PlannedSchedule, PlannedSwarm
from protovine.age.direct import EVERY_MAX
from protovine.age.goal import ROUNDING, ByteBudget, Goal, Target
from protovine.age.law import SHARE_PROBABILITY_MIN
from protovine.errors import ConfigError

# A share probability is rounded to this many digits, so that a printed plan can be typed in and gives the same ages.
DIGITS = 6
# Grid for the share probability where the age may rise again: points per factor of ten.
POINTS_PER_DECADE = 8
# Every fanout up to this is tried, and beyond it this many more, evenly in the logarithm.
FANOUTS_ALL = 100


def fanouts_to_try(schedule: str, most: int, forwarding: str) -> list[int]:
    """Fanouts from ``most`` down: among equal plans the one that addresses more peers at once wins.

    Without forwarding, the coin and the age threshold do best when every link of the swarm has the same rate. Only a
    fanout of all neighbours gives every link the same rate on any graph, so no other is tried.
    """
    if forwarding == "none" and schedule in ("coin", "age-threshold"):
        return [most]
    if most <= FANOUTS_ALL:
        return list(range(most, 0, -1))
    further = np.geomspace(FANOUTS_ALL, most, FANOUTS_ALL + 1).round().astype(int).tolist()
    return sorted({*range(1, FANOUTS_ALL + 1), *further}, reverse=True)


def best_plan(swarm: PlannedSwarm, goal: Goal, schedule: str, fanouts: Sequence[int]) -> PlannedSchedule | None:
    """The plan of least cost that meets the goal; None if the target cannot be met.

    Raises
    ------
    ConfigError
        No age is known with any of these fanouts.
    """
    if isinstance(goal, ByteBudget):
        return _youngest_within(swarm, goal, schedule, fanouts)
    return _cheapest_meeting(swarm, goal, schedule, fanouts)


def least_age_plan(swarm: PlannedSwarm, goal: Goal, schedule: str, fanouts: Sequence[int]) -> PlannedSchedule:
    """The plan with the least age, at any cost; `ConfigError` if no age is known."""

    def candidate(fanout: int, best: PlannedSchedule | None) -> PlannedSchedule:
        if swarm.falls(schedule):
            return swarm.planned(schedule, fanout, 1.0)
        return swarm.planned(schedule, fanout, rounded(_youngest(swarm, goal, schedule, fanout, 1.0), up=False))

    plan = _least(fanouts, candidate, lambda plan: goal.value_s(plan.age))
    assert plan is not None  # There is a candidate for every fanout.
    return plan


def _least(
    fanouts: Sequence[int],
    candidate: Callable[[int, PlannedSchedule | None], PlannedSchedule | None],
    cost: Callable[[PlannedSchedule], float],
) -> PlannedSchedule | None:
    """The candidate of least cost; ``candidate`` gets the best one so far, and may return None.

    With forwarding the age is known for some fanouts only, so an error is raised only if every fanout fails.
    """
    best: PlannedSchedule | None = None
    errors: list[ConfigError] = []
    for fanout in fanouts:
        try:
            plan = candidate(fanout, best)
            if plan is not None and (best is None or _better(cost(plan), cost(best))):
                best = plan
        except ConfigError as error:
            errors.append(error)
    if errors and len(errors) == len(fanouts):
        raise errors[0]
    return best


def _better(cost: float, best: float) -> bool:
    """Whether a cost is lower by more than the rounding of the share probability."""
    return cost < best * (1 - 10.0 ** (1 - DIGITS))


def _youngest_within(
    swarm: PlannedSwarm, budget: ByteBudget, schedule: str, fanouts: Sequence[int]
) -> PlannedSchedule | None:
    def candidate(fanout: int, best: PlannedSchedule | None) -> PlannedSchedule | None:
        share_probability = _share_probability_within(swarm, budget, schedule, fanout)
        # Only the mean decides, and the rest of a prediction takes longer.
        if best and swarm.forwarding == "none":
            mean_s = swarm.theory(schedule, fanout, share_probability).mean_s
            if not _better(mean_s, best.age.mean_s):
                return None
        return swarm.planned(schedule, fanout, share_probability)

    return _least(fanouts, candidate, budget.cost)


def _cheapest_meeting(
    swarm: PlannedSwarm, target: Target, schedule: str, fanouts: Sequence[int]
) -> PlannedSchedule | None:
    messages_per_sample: tuple[int, int] | None = None  # Fanout and N of the last counter found.

    def candidate(fanout: int, best: PlannedSchedule | None) -> PlannedSchedule | None:
        nonlocal messages_per_sample
        if schedule == "counter":
            last_fanout, last_every = messages_per_sample or (1, 0)
            every = _largest_every(swarm, target, fanout, max(1, last_every * fanout // last_fanout))
            if every is None:
                return None
            messages_per_sample, share_probability = (fanout, every), 1 / every
        else:
            least = _least_share_probability(swarm, target, schedule, fanout)
            if least is None:
                return None
            share_probability = least
        # Bytes need no prediction, which is the slow part.
        if best and not _better(swarm.bytes_per_s_max(fanout) * share_probability, best.bytes_per_s):
            return None
        return swarm.planned(schedule, fanout, share_probability)

    return _least(fanouts, candidate, target.cost)


def _share_probability_within(swarm: PlannedSwarm, budget: ByteBudget, schedule: str, fanout: int) -> float:
    """The share probability of the least mean age among those that keep the budget."""
    full = swarm.bytes_per_s_max(fanout)
    every = max(1, math.ceil(full / budget.bytes_per_s * (1 - ROUNDING)))
    if every > EVERY_MAX:
        raise ConfigError(f"the budget allows one share in {every:,} samples; the most that is tried is {EVERY_MAX:,}")
    if schedule == "counter":
        return 1 / every
    most = min(1.0, budget.bytes_per_s / full)
    if not swarm.falls(schedule):
        most = _youngest(swarm, budget, schedule, fanout, most)
    return rounded(most, up=False)


def _least_share_probability(swarm: PlannedSwarm, target: Target, schedule: str, fanout: int) -> float | None:
    """The smallest share probability that meets the target, rounded up; None if there is none."""
    if swarm.scales(schedule):
        scaled = _scaled_share_probability(swarm, target, schedule, fanout)
        if scaled is None:
            return None
        found = scaled
    else:
        found = _solved_share_probability(swarm, target, schedule, fanout)
    found = rounded(max(found, SHARE_PROBABILITY_MIN), up=True)
    if swarm.forwarding == "peers":
        return found
    for _ in range(3):
        if within(target.value_s(swarm.theory(schedule, fanout, found)), target.seconds):
            return found
        # Rounding errors of the distribution may cost one unit of the last digit.
        found = min(1.0, rounded(found * (1 + 10.0**-DIGITS), up=True))
    return None


def _scaled_share_probability(swarm: PlannedSwarm, target: Target, schedule: str, fanout: int) -> float | None:
    """The share probability from one known age, where the age is in inverse proportion to it."""
    fixed_s = 0.0 if swarm.delay is None else swarm.delay.mean_s
    if swarm.forwarding == "none":
        base = target.value_s(swarm.theory(schedule, fanout, 1.0, delayed=False))
    else:
        base = target.value_s(swarm.age(schedule, fanout, 1.0))
    if not within(base + fixed_s, target.seconds):
        return None
    return min(1.0, base / (target.seconds - fixed_s)) if target.seconds > fixed_s else 1.0


def _solved_share_probability(swarm: PlannedSwarm, target: Target, schedule: str, fanout: int) -> float:
    """The share probability where the age falls to the target, by root search; the best one if none meets it."""
    from scipy import optimize

    def excess(log_probability: float) -> float:
        return target.excess(swarm.theory(schedule, fanout, min(1.0, math.exp(log_probability))))

    low, high = math.log(SHARE_PROBABILITY_MIN), 0.0
    if schedule == "coin":
        # No link delivers more than one without delays, so below this even that link would miss the target.
        base = target.value_s(swarm.theory(schedule, fanout, 1.0, delayed=False))
        low = math.log(min(1.0, max(SHARE_PROBABILITY_MIN, base / target.seconds)))
    if not swarm.falls(schedule):
        grid = _log_grid(math.exp(low), 1.0)
        last = next((i for i, at in enumerate(grid) if excess(at) <= 0), None)
        if last is not None:
            low, high = grid[max(0, last - 1)], grid[last]
        else:  # The age may dip below the target between two points, or only touch it.
            high = math.log(_youngest(swarm, target, schedule, fanout, 1.0))
    if excess(low) <= 0:
        return math.exp(low)
    if excess(high) > 0:
        return math.exp(high)
    return min(1.0, math.exp(optimize.brentq(excess, low, high, xtol=1e-14)))


def _largest_every(swarm: PlannedSwarm, target: Target, fanout: int, guess: int) -> int | None:
    """The largest N with which ``counter`` meets the target; None if no N does."""

    def met(every: int) -> bool:
        return target.excess(swarm.theory("counter", fanout, 1 / every)) <= target.slack

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


def _youngest(swarm: PlannedSwarm, goal: Goal, schedule: str, fanout: int, end: float) -> float:
    """The share probability in (0, end] of the least age; ``end`` unless another is better."""
    from scipy import optimize

    def value_s(log_probability: float) -> float:
        return goal.value_s(swarm.theory(schedule, fanout, min(end, math.exp(log_probability))))

    # As in the search for a target, with the age at ``end`` as the target.
    low = goal.value_s(swarm.theory(schedule, fanout, 1.0, delayed=False)) / value_s(math.log(end))
    grid = _log_grid(min(max(low, SHARE_PROBABILITY_MIN), end), end)
    values = [value_s(at) for at in grid]
    i = int(np.argmin(values))
    ends = grid[max(0, i - 1)], grid[min(len(grid) - 1, i + 1)]
    found = optimize.minimize_scalar(value_s, bounds=ends, method="bounded")
    # The minimum is flat, so further digits would mean nothing.
    return end if values[-1] <= found.fun * (1 + 1e-9) else min(end, float(f"{math.exp(found.x):.4g}"))


def _log_grid(low: float, high: float) -> list[float]:
    points = math.ceil(POINTS_PER_DECADE * math.log10(high / low)) + 2
    return [float(at) for at in np.linspace(math.log(low), math.log(high), points)]


def rounded(value: float, up: bool) -> float:
    """The value with 6 digits, rounded up or down unless it has no more digits; at most 1."""
    exponent = DIGITS - 1 - math.floor(math.log10(value))
    scaled = value * 10.0**exponent
    nearest = round(scaled)
    if abs(scaled - nearest) > 1e-9 * nearest:
        nearest = math.ceil(scaled) if up else math.floor(scaled)
    return min(1.0, float(f"{nearest}e{-exponent}"))


def within(value: float, bound: float) -> bool:
    """Whether a value is at most the bound, up to rounding errors."""
    return value <= bound * (1 + ROUNDING)
