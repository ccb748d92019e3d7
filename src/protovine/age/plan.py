"""Which schedule, fanout and share probability give a wanted age for the fewest bytes, or the least age in a budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from protovine.age.candidate import PlannedSchedule, PlannedSwarm
from protovine.age.delay import Delay
from protovine.age.goal import ByteBudget, Goal, TailAgeTarget, Target, one_goal
from protovine.age.law import check_rate, check_seed, check_whole
from protovine.age.predict import check_connected
from protovine.age.search import best_plan, fanouts_to_try, least_age_plan
from protovine.errors import ConfigError, check_range, suggest
from protovine.topology import neighbours

# The simplest schedule comes first: it is recommended unless a later one costs less by more than GAIN_MIN.
SCHEDULES = ("coin", "round-robin", "counter", "age-threshold")
GAIN_MIN = 1e-3


@dataclass(frozen=True)
class AgePlan:
    """What to run for a goal.

    Parameters
    ----------
    recommended : PlannedSchedule
        The schedule with the fewest bytes for a target, or the least mean age for a budget; the simplest of those
        that differ by less than 0.1 %.
    schedules : tuple of PlannedSchedule
        Every schedule that meets the goal, the simplest first.
    left_out : dict of str to str
        The other schedules, and why each is left out.
    sequential : PlannedSchedule or None
        One node shares at a time: the recommended fanout and share probability, with turns of ``1/rate_hz``. None if
        its age is not known.
    sequential_ratio : float or None
        Mean age of ``sequential`` over that of the coin (all nodes in parallel) at the same fanout s and share
        probability T: n(1 - p/2) + p/2 with p = T s/neighbours. A turn lasts as long as the mean time between a
        node's samples, so a node sends n times fewer bytes.
    sequential_ratio_same_turns : float or None
        The same ratio with n times as many turns, as many as the coin's nodes have together, and the same bytes. It
        is a little below 1: parallel gossip gains concurrency and nothing else.
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


def plan_age(
    *,
    topology: str = "full",
    nodes: int = 5,
    rate_hz: float = 10.0,
    message_bytes: float = 100.0,
    mean_s: float | None = None,
    p95_s: float | None = None,
    budget_bps: float | None = None,
    fanout: int | None = None,
    forwarding: Literal["none", "peers"] = "none",
    delay: Delay | None = None,
    loss: float = 0.0,
    seed: int = 0,
) -> AgePlan:
    """Settings of every schedule that meet a target age with the fewest bytes, or give the least age in a budget.

    Every fanout and every N of the counter is tried (of more than 100 neighbours, 100 further fanouts). The share
    probability is solved for, and rounded to 6 digits towards the side where the goal is still met. Without
    forwarding the coin's age depends only on the product of fanout and share probability, so the coin addresses all
    neighbours with a small share probability. With forwarding, messages that go to several peers at once repeat each
    other, so the fanout is as small as a share probability of at most 1 allows.

    Parameters
    ----------
    topology, nodes, rate_hz, delay, loss, seed
        As in `predict_age`. The graph must be connected.
    message_bytes : float > 0
        Bytes of a message with the update of one node, headers included. With forwarding a message has the updates of
        n - 1 nodes and counts n - 1 times as much.
    mean_s, p95_s, budget_bps : float > 0
        The goal, exactly one of: mean age in seconds, age in seconds that is exceeded 5 % of the time, bytes per
        second that a node may send on average.
    fanout : int
        The only fanout to try, if given.
    forwarding : {"none", "peers"}
        With ``peers``, ages are known for the coin only, and only their means.

    Raises
    ------
    ConfigError
        A value is out of range, no age is known for the combination, or the target cannot be met; the message then
        gives the least age, and with which settings.

    Examples
    --------
    >>> plan = plan_age(nodes=5, rate_hz=10, message_bytes=25, budget_bps=100)
    >>> for each in plan.schedules:
    ...     print(each.schedule, each.fanout, each.share_probability, round(each.age.mean_s, 3))
    coin 4 0.1 1.0
    round-robin 1 0.4 0.625
    counter 4 0.1 0.55
    age-threshold 4 0.1 0.505
    >>> plan.recommended.schedule, round(plan.sequential_ratio, 3)
    ('age-threshold', 4.8)
    """
    goal = one_goal(mean_s, p95_s, budget_bps)
    check_whole("nodes", nodes, 2)
    check_rate("rate_hz", rate_hz)
    check_seed(seed)
    check_range("message_bytes", message_bytes, 1e-3, 1e9)
    check_range("loss", loss, 0, 1)
    if loss == 1:
        raise ConfigError("with loss = 1 no message ever arrives: every age is infinite")
    if forwarding not in ("none", "peers"):
        raise ConfigError(f"unknown forwarding '{forwarding}'{suggest(forwarding, ('none', 'peers'))}")
    links = neighbours(topology, nodes, seed)
    check_connected(links, topology)
    if fanout is not None:
        check_whole("fanout", fanout, 1, max(map(len, links)))
    delay = None if delay is None or delay.kind == "none" else delay
    if forwarding == "peers" and isinstance(goal, TailAgeTarget):
        raise ConfigError("with forwarding 'peers' the 95 % age is not known: give a target for the mean")
    if forwarding == "peers" and delay is not None:
        raise ConfigError("with forwarding 'peers' ages are only known without delays")
    swarm = PlannedSwarm(links, topology, rate_hz, message_bytes, forwarding, delay, loss, seed)
    schedules, left_out = _meeting(swarm, goal, fanout)
    recommended = schedules[0]
    for each in schedules[1:]:
        if goal.cost(each) < (1 - GAIN_MIN) * goal.cost(recommended):
            recommended = each
    return AgePlan(recommended, schedules, left_out, *_beside_sequential(swarm, recommended))


def _meeting(swarm: PlannedSwarm, goal: Goal, fanout: int | None) -> tuple[tuple[PlannedSchedule, ...], dict[str, str]]:
    """Every schedule that meets the goal, at least one, and why each other is left out."""
    found: list[PlannedSchedule] = []
    least: list[PlannedSchedule] = []
    left_out: dict[str, str] = {}
    for schedule in SCHEDULES:
        if schedule != "coin" and not swarm.scales("coin"):
            left_out[schedule] = "with such delays, ages are known for the coin only"
            continue
        if schedule != "coin" and swarm.forwarding == "peers":
            left_out[schedule] = "with forwarding, ages are known for the coin only"
            continue
        most = max(swarm.degrees)
        fanouts = [int(fanout)] if fanout is not None else fanouts_to_try(schedule, most, swarm.forwarding)
        try:
            plan = best_plan(swarm, goal, schedule, fanouts)
            if plan is not None:
                found.append(plan)
            elif not isinstance(goal, ByteBudget):  # A budget can always be kept.
                least.append(least_age_plan(swarm, goal, schedule, fanouts))
                left_out[schedule] = f"its least {goal.name} is {goal.value_s(least[-1].age):.6g} s"
        except ConfigError as error:
            left_out[schedule] = str(error)
    if found:
        return tuple(found), left_out
    if not least or isinstance(goal, ByteBudget):
        raise ConfigError(left_out["coin"])
    raise ConfigError(_cannot_be_met(goal, min(least, key=lambda each: goal.value_s(each.age))))


def _cannot_be_met(target: Target, best: PlannedSchedule) -> str:
    every = f" (every {best.every} samples)" if best.every else ""
    return (
        f"a {target.name} of {target.seconds:g} s cannot be met; the least is {target.value_s(best.age):.6g} s, with "
        f"schedule '{best.schedule}', fanout {best.fanout} and share probability {best.share_probability:g}{every}, "
        f"at {best.bytes_per_s:.6g} bytes per node per second"
    )


def _beside_sequential(
    swarm: PlannedSwarm, plan: PlannedSchedule
) -> tuple[PlannedSchedule | None, float | None, float | None]:
    """`AgePlan.sequential` and its two ratios for the recommended settings; None where its age is not known."""
    if swarm.forwarding == "peers":
        return None, None, None
    fast = replace(swarm, rate_hz=swarm.rate_hz * len(swarm.links))
    try:
        slow = swarm.planned("sequential", plan.fanout, plan.share_probability)
        parallel_s = swarm.theory("coin", plan.fanout, plan.share_probability).mean_s
        fast_s = fast.theory("sequential", plan.fanout, plan.share_probability).mean_s
    except ConfigError:  # The age of sequential gossip is not known with such delays.
        return None, None, None
    return slow, slow.age.mean_s / parallel_s, fast_s / parallel_s
