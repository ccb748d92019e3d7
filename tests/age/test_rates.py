from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.age import plan_rates
from protovine.errors import ConfigError


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 10), st.floats(1, 1000)), min_size=1, max_size=6),
    st.floats(0.001, 1.2),
    st.floats(0, 0.9),
)
def test_rates_for_peers_keep_a_budget_and_meet_a_target(pairs: list, share: float, loss: float) -> None:
    weights, sizes = [w for w, _ in pairs], [b for _, b in pairs]
    budget = share * 10 * sum(sizes)
    plan = plan_rates(weights, sizes, budget_bps=budget, loss=loss)
    assert plan.bytes_per_s <= budget * (1 + 1e-9)
    assert plan.weighted_mean_s <= plan.equal_rates_mean_s * (1 + 1e-4)
    assert max(plan.share_probabilities) <= 1 and plan.mean_s == pytest.approx(
        [1 / (r * (1 - loss)) for r in plan.rates_hz]
    )
    back = plan_rates(weights, sizes, mean_s=plan.weighted_mean_s, loss=loss)
    assert back.weighted_mean_s <= plan.weighted_mean_s * (1 + 1e-9)
    assert back.bytes_per_s == pytest.approx(plan.bytes_per_s, rel=1e-4)


def test_infeasible_rates_are_explained() -> None:
    with pytest.raises(ConfigError, match=r"cannot be met; the least is 0\.1 s, with every sample to every peer"):
        plan_rates([1, 2], [10, 10], mean_s=0.05)
    with pytest.raises(ConfigError, match="one goal is needed of mean_s and budget_bps, got both"):
        plan_rates([1], [1], mean_s=1.0, budget_bps=1.0)
    with pytest.raises(ConfigError, match="loss must be >= 0 and below 1, got 1"):
        plan_rates([1], [1], budget_bps=1.0, loss=1.0)
    with pytest.raises(ConfigError, match="must be as long, got 1 and 2"):
        plan_rates([1], [1, 2], budget_bps=1.0)
