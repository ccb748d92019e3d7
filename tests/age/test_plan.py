from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.age import (
    AgePlan,
    Delay,
    PlannedSchedule,
    complete_push_age,
    direct_push,
    plan_age,
    predict_age,
)
from protovine.errors import ConfigError
from protovine.topology import neighbours


def by_name(plan: AgePlan) -> dict[str, PlannedSchedule]:
    return {each.schedule: each for each in plan.schedules}


def test_every_schedule_by_its_closed_form() -> None:
    """A mean age of 1 s with n = 5, λ = 10 and s = 4 or in turn, by the formulas of docs/explanation/age-theory.md."""
    found = by_name(plan_age(mean_s=1.0, message_bytes=100))
    assert (4, 0.1, 400.0) == (
        found["coin"].fanout,
        found["coin"].share_probability,
        found["coin"].bytes_per_s,
    )  # 1/(λT)
    assert (1, 0.25) == (found["round-robin"].fanout, found["round-robin"].share_probability)  # (M + 1)/(2λT), M = 4
    assert (4, 19) == (found["counter"].fanout, found["counter"].every)  # (N + 1)/(2λ)
    n = 10 + math.sqrt(99)  # N/(2λ) + 1/(2Nλ) = 1
    assert found["age-threshold"].share_probability == pytest.approx(1 / n, rel=1e-5)
    assert found["age-threshold"].threshold_s == pytest.approx((n - 1) / 10, rel=1e-5)


def test_bytes_count_what_the_theory_sends() -> None:
    """Messages per second and pair, by `direct_push`, times pairs of a node: on a star the hub has four, a leaf one."""
    plan = plan_age(topology="star", nodes=5, budget_bps=300.0, message_bytes=50, loss=0.2, fanout=2)
    for each in plan.schedules:
        sent = 0.0
        for degree, count in Counter(map(len, neighbours("star", 5))).items():
            own = min(2, degree)
            how = {
                "coin": {"fanout": own, "share_probability": each.share_probability},
                "round-robin": {"fanout": own, "share_probability": each.share_probability},
                "counter": {"fanout": own, "every": each.every},
                "age-threshold": {"threshold_s": (degree / (own * each.share_probability) - 1) / 10},
            }[each.schedule]
            name = each.schedule.removeprefix("age-")
            sent += count * degree * direct_push(nodes=degree + 1, rate_hz=10, schedule=name, loss=0.2, **how).push_hz
        assert each.bytes_per_s == pytest.approx(sent / 5 * 50), each.schedule


def test_sequential_is_compared_at_equal_settings_and_at_equal_turns() -> None:
    plan = plan_age(nodes=20, budget_bps=500.0)
    p, n = plan.recommended.share_probability * plan.recommended.fanout / 19, 20
    assert plan.sequential_ratio == pytest.approx(n * (1 - p / 2) + p / 2)
    assert plan.sequential_ratio_same_turns == pytest.approx((1 - p / 2) + p / (2 * n))
    assert plan.sequential.bytes_per_s == pytest.approx(plan.recommended.bytes_per_s / n)


def test_with_forwarding_the_fanout_is_as_small_as_the_target_allows() -> None:
    """On a complete graph, at μ = λT pushes to s peers each: H_(n-1)/μ for s = 1, and messages have n - 1 origins."""
    harmonic = sum(1 / k for k in range(1, 10))
    plan = plan_age(nodes=10, rate_hz=10, mean_s=0.5, message_bytes=100, forwarding="peers")
    assert (1, pytest.approx(harmonic / 5, rel=1e-5)) == (plan.recommended.fanout, plan.recommended.share_probability)
    assert plan.recommended.bytes_per_s == pytest.approx(10 * plan.recommended.share_probability * 900)
    assert {"round-robin", "counter", "age-threshold"} == set(plan.left_out) and plan.sequential_ratio is None
    tight = plan_age(nodes=10, rate_hz=10, mean_s=0.15, forwarding="peers").recommended
    bytes_of = {
        s: s * complete_push_age(10, 10.0, s)[0] / 0.15
        for s in range(1, 10)
        if complete_push_age(10, 10.0, s)[0] <= 0.15
    }
    assert min(bytes_of, key=bytes_of.get) == tight.fanout > 1


def test_more_messages_are_not_better_where_they_interrupt_each_other() -> None:
    """A pre-emptive link with delay d is best at r = 1/d, where the mean age is ed: Kaul et al., age e^(rd)/r."""
    delay = Delay.fixed(0.2, "preemptive")
    plan = plan_age(budget_bps=1e6, delay=delay)
    assert plan.recommended.share_probability == pytest.approx(0.5, rel=1e-3) and plan.recommended.bytes_per_s < 1e6
    assert plan.recommended.age.mean_s == pytest.approx(0.2 * math.e)
    assert plan_age(mean_s=0.55, delay=delay).recommended.share_probability < 0.5
    with pytest.raises(
        ConfigError, match=r"the least is 0\.543656 s, with schedule 'coin', fanout 4 and share probability 0\.5"
    ):
        plan_age(mean_s=0.54, delay=delay)


def test_with_forwarding_a_fanout_without_a_known_age_is_skipped() -> None:
    """On a random regular graph of 30 nodes, the ages for fanouts 1 and 4 are sampled; for 2 and 3 none is known."""
    swarm = {"topology": "regular:4", "nodes": 30, "forwarding": "peers"}
    for goal in ({"budget_bps": 2000.0}, {"mean_s": 1.0}):
        best = plan_age(**swarm, **goal).recommended
        assert 1 == best.fanout and best.age.error > 0
    assert best.age.mean_s + best.age.error <= 1.0 + 1e-9
    with pytest.raises(ConfigError, match="fanout must be 1 or the number of neighbours of every node, got 2"):
        plan_age(**swarm, budget_bps=2000.0, fanout=2)


def test_the_simplest_is_recommended_among_equals() -> None:
    assert "coin" == plan_age(mean_s=0.1).recommended.schedule, (
        "at share probability 1 every schedule sends every sample to all"
    )


SWARMS = st.fixed_dictionaries(
    {
        "topology": st.sampled_from(["full", "ring", "star", "grid", "small-world:4,0.3"]),
        "nodes": st.integers(5, 12),
        "rate_hz": st.floats(1, 100),
        "loss": st.sampled_from([0.0, 0.1, 0.5]),
        "fanout": st.sampled_from([None, 1, 2]),
        "delay": st.sampled_from([None, Delay.fixed(0.01), Delay.exponential(0.02, "blocking")]),
        "message_bytes": st.floats(1, 1e4),
    }
)


def predicted(each: PlannedSchedule, swarm: dict, **changed: float) -> object:
    given = {k: v for k, v in swarm.items() if k != "message_bytes"} | {
        "fanout": each.fanout,
        "share_probability": each.share_probability,
    }
    return predict_age(schedule=each.schedule, **given | changed)


@settings(max_examples=40, deadline=None)
@given(SWARMS, st.floats(1.05, 50), st.booleans())
def test_a_target_is_met_and_one_step_less_would_miss_it(swarm: dict, factor: float, tail: bool) -> None:
    best = predict_age(
        **{k: v for k, v in swarm.items() if k not in ("fanout", "message_bytes")},
        fanout=swarm["fanout"] or 1,
        share_probability=1.0,
    )
    name = "p95_s" if tail else "mean_s"
    target = getattr(best, name) * factor
    plan = plan_age(**swarm, **{name: target})
    for each in plan.schedules:
        age = predicted(each, swarm)
        assert age == each.age and getattr(age, name) <= target * (1 + 1e-9)
        if each.schedule == "counter":
            less = 1 / (each.every + 1)
        else:
            # One unit in the sixth digit, and a little more because the share probability is rounded up.
            less = each.share_probability - 1.01 * 10.0 ** (math.floor(math.log10(each.share_probability)) - 5)
        assert getattr(predicted(each, swarm, share_probability=less), name) > target, each.schedule
    assert plan.recommended.bytes_per_s <= 1.0011 * min(each.bytes_per_s for each in plan.schedules)


@settings(max_examples=60, deadline=None)
@given(SWARMS, st.floats(0.001, 1.5))
def test_a_budget_is_kept_and_spent(swarm: dict, share: float) -> None:
    links = neighbours(swarm["topology"], swarm["nodes"])
    full = swarm["rate_hz"] * sum(map(len, links)) / len(links) * swarm["message_bytes"]
    plan = plan_age(**with_unlimited_link(swarm), budget_bps=share * full)
    for each in plan.schedules:
        assert each.bytes_per_s <= share * full * (1 + 1e-9)
        assert predicted(each, with_unlimited_link(swarm)) == each.age
        step = 1 / (each.every - 1) if each.every and each.every > 1 else each.share_probability * (1 + 1.1e-5)
        assert step > 1 or each.bytes_per_s * step / each.share_probability > share * full * (1 - 1e-12), each.schedule
    assert plan.recommended.age.mean_s <= 1.0011 * min(each.age.mean_s for each in plan.schedules)


def with_unlimited_link(swarm: dict) -> dict:
    """The swarm with an unlimited link: with a single server, spending the whole budget is not always best."""
    return swarm | {"delay": None if swarm["delay"] is None else replace(swarm["delay"], discipline="unlimited")}


def test_the_counter_is_as_good_as_exhaustive_search() -> None:
    """By trying every s and N: 11 neighbours, mean age at most 2.3 s, fewest messages."""
    rate = {
        (s, every): s / every
        for s in range(1, 12)
        for every in range(1, 60)
        if direct_push(nodes=12, rate_hz=10, fanout=s, schedule="counter", every=every).mean_s <= 2.3
    }
    found = by_name(plan_age(nodes=12, mean_s=2.3))["counter"]
    assert found.fanout / found.every == pytest.approx(min(rate.values()))


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({}, "one goal is needed of mean_s, p95_s and budget_bps, got none"),
        ({"mean_s": 1.0, "budget_bps": 5.0}, "got mean_s and budget_bps"),
        ({"mean_s": 0.0}, "mean_s must be a finite number > 0, got 0"),
        ({"budget_bps": -5.0}, "budget_bps must be a finite number > 0, got -5"),
        ({"mean_s": 1.0, "rate_hz": -1.0}, r"rate_hz must be between 1e-09 and 1e\+06, got -1"),
        ({"mean_s": 1.0, "message_bytes": 0.0}, r"message_bytes must be between 0.001 and 1e\+09, got 0"),
        ({"mean_s": 1.0, "fanout": 5}, "fanout must be between 1 and 4, got 5"),
        ({"mean_s": 1.0, "loss": 1.0}, "with loss = 1 no message ever arrives: every age is infinite"),
        ({"mean_s": 1.0, "loss": -0.1}, "loss must be between 0 and 1, got -0.1"),
        ({"mean_s": 1.0, "forwarding": "source"}, "unknown forwarding 'source'"),
        ({"p95_s": 1.0, "forwarding": "peers"}, "the 95 % age is not known: give a target for the mean"),
        ({"mean_s": 1.0, "forwarding": "peers", "delay": Delay.fixed(1)}, "only known without delays"),
        ({"mean_s": 1.0, "topology": "erdos-renyi:0"}, "does not connect nodes 0 and 1: their ages are infinite"),
        ({"p95_s": 1.0, "delay": Delay.fixed(0.1, "newest")}, "the 95 % age is not known here"),
        (
            {"mean_s": 0.09},
            "cannot be met; the least is 0.1 s, with schedule 'coin', fanout 4 and share probability 1, at 4000 bytes",
        ),
        ({"p95_s": 0.2}, "a 95 % age of 0.2 s cannot be met; the least is 0.299573 s"),
        ({"mean_s": 0.1, "delay": Delay.fixed(0.2)}, "the least is 0.3 s"),
    ],
)
def test_bad_input_and_infeasible_targets_are_explained(given_settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_age(**given_settings)
