from __future__ import annotations

import json
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.age import Delay, direct_push, exact_push_age, predict_age
from protovine.age.predict import Schedule
from protovine.errors import ConfigError
from protovine.topology import neighbours


@pytest.mark.parametrize(
    ("settings", "mean_s", "version"),
    [
        ({"nodes": 5, "fanout": 4, "share_probability": 0.1}, 1.0, 9.0),
        ({"nodes": 10, "fanout": 3, "share_probability": 0.3}, 1.0, 9.0),
        ({"schedule": "sequential"}, 4.8, None),
        ({"nodes": 5, "fanout": 1, "share_probability": 1.0, "schedule": "round-robin"}, 0.25, None),
        ({"schedule": "counter"}, 0.55, None),
        ({"schedule": "age-threshold"}, 0.505, None),
        ({"fanout": 1, "share_probability": 1.0, "rate_hz": 1.0, "forwarding": "peers"}, 25 / 12, 25 / 12 - 1),
        ({"fanout": 2, "share_probability": 0.5, "rate_hz": 2.0, "forwarding": "peers"}, 13 / 10, 2 * 13 / 10 - 1),
        ({"topology": "ring", "fanout": 1, "share_probability": 1.0, "rate_hz": 1.0, "forwarding": "peers"}, 2.5, 1.5),
        ({"fanout": 1, "share_probability": 1.0, "rate_hz": 1.0, "forwarding": "source"}, 5045 / 2394, 5045 / 2394),
        (
            {"topology": "star", "fanout": 1, "share_probability": 1.0, "rate_hz": 1.0, "forwarding": "source"},
            (21715 / 13923 + 4 * 17860 / 5967) / 5,
            None,
        ),
        (
            {
                "topology": "grid",
                "nodes": 9,
                "fanout": 1,
                "share_probability": 1.0,
                "rate_hz": 1.0,
                "forwarding": "source",
            },
            (4 * 3.2861507683183637 + 4 * 2.814539145649408 + 2.5275985505076646) / 9,
            None,
        ),
        ({"delay": Delay.fixed(0.1), "rate_hz": 2.5, "nodes": 2, "fanout": 1, "share_probability": 1.0}, 0.5, None),
    ],
)
def test_predictions_equal_the_closed_forms(settings: dict, mean_s: float, version: float | None) -> None:
    found = predict_age(**settings)
    assert found.mean_s == pytest.approx(mean_s, abs=1e-9) and found.error < 1e-9
    if version is not None:
        assert found.version_mean == pytest.approx(version, abs=1e-9)


def test_pairs_of_different_nodes_are_averaged() -> None:
    """On a star the hub pushes to each of 4 leaves a fourth as often as a leaf pushes to the hub."""
    found = predict_age(topology="star", nodes=5, fanout=1, share_probability=1.0, rate_hz=1.0)
    assert found.mean_s == pytest.approx((4 * 4.0 + 4 * 1.0) / 8)
    # Each message has one peak: a leaf sends four times as many.
    assert found.peak_s == pytest.approx((4 * 0.25 * 4.0 + 4 * 1.0 * 1.0) / (4 * 0.25 + 4 * 1.0))
    tail = [math.exp(-found.p95_s / 4), math.exp(-found.p95_s)]
    assert np.mean(tail) == pytest.approx(0.05)


@pytest.mark.parametrize("loss", [0.0, 0.5])
def test_star_and_ring_equal_the_recursion_over_sets(loss: float) -> None:
    for topology, s in (("star", 2), ("star", 1), ("ring", 1)):
        quick = predict_age(topology=topology, nodes=6, fanout=s, share_probability=0.5, loss=loss, forwarding="peers")
        links = neighbours(topology, 6)
        pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
        slow = np.mean([exact_push_age(links, i, j, 5.0, s, loss)[0] for i, j in pairs])
        assert quick.mean_s == pytest.approx(slow, abs=1e-9)


def test_large_graphs_are_sampled_with_an_error() -> None:
    settings = {"topology": "regular:4", "nodes": 200, "fanout": 1, "share_probability": 1.0, "rate_hz": 1.0, "seed": 3}
    found = predict_age(**settings, forwarding="peers")
    assert "sampled" in found.method and 0 < found.error < 0.05 * found.mean_s
    assert found.mean_s == predict_age(**settings, forwarding="peers").mean_s, "one seed, one result"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fanout": 5}, "fanout must be between 1 and 4, got 5"),
        ({"share_probability": 1.5}, "share_probability must be between 0 and 1, got 1.5"),
        ({"rate_hz": 0.0}, r"rate_hz must be between 1e-09 and 1e\+06, got 0"),
        ({"rate_hz": -1.0}, r"rate_hz must be between 1e-09 and 1e\+06, got -1"),
        ({"loss": 2.0}, "loss must be between 0 and 1, got 2"),
        ({"schedule": "coins"}, "did you mean 'coin'"),
        ({"forwarding": "all"}, "unknown forwarding 'all'"),
        ({"topology": "erdos-renyi:0", "nodes": 4}, "has no links: every age is infinite"),
        (
            {"topology": "erdos-renyi:0.1", "nodes": 10, "fanout": 1, "forwarding": "peers"},
            "does not connect nodes 0 and",
        ),
        ({"share_probability": 0.0, "forwarding": "peers"}, "ages are infinite"),
        ({"forwarding": "source", "fanout": 4}, "fanout must be 1 with forwarding 'source', got 4"),
        ({"forwarding": "peers", "schedule": "counter"}, "only known for schedule 'coin'"),
    ],
)
def test_bad_input_is_named(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        predict_age(**settings)


@pytest.mark.parametrize("topology", ["full", "star"])
def test_without_sharing_the_age_is_infinite(topology: str) -> None:
    found = predict_age(topology=topology, fanout=1, share_probability=0.0)
    assert found.mean_s == found.peak_s == math.inf
    assert math.inf == float(json.loads(json.dumps(found.as_dict(), allow_nan=False))["mean_s"])


EXTREME = st.floats(-1, 1e12) | st.sampled_from(
    [0.0, 1e-300, 1e-9, 1e-6, 1.0, 1e6, 1e9, 1e12, 1e300, math.inf, math.nan]
)


@settings(max_examples=300, deadline=None)
@given(
    rate_hz=EXTREME,
    T=EXTREME,
    loss=st.sampled_from([0.0, 0.5, 0.9, 0.9999, 1.0, 2.0]),
    schedule=st.sampled_from(get_args(Schedule)),
    kind=st.sampled_from(["none", "fixed", "exponential", "samples"]),
    delay_s=EXTREME,
    discipline=st.sampled_from(["unlimited", "blocking", "preemptive", "newest"]),
    seed=st.sampled_from([-1, 0, 0]),
    forwarding=st.sampled_from(["none", "none", "peers", "source"]),
)
def test_any_value_gives_an_age_or_an_error(
    rate_hz: float,
    T: float,
    loss: float,
    schedule: str,
    kind: str,
    delay_s: float,
    discipline: str,
    seed: int,
    forwarding: str,
) -> None:
    """Rates of 1e-300 and delays of 1e9 s ended in tracebacks."""
    makes = {
        "fixed": Delay.fixed,
        "exponential": Delay.exponential,
        "samples": lambda s, how: Delay.samples([s, 2], how),
    }
    swarm = {"rate_hz": rate_hz, "share_probability": T, "loss": loss, "schedule": schedule, "forwarding": forwarding}
    try:
        delay = None if kind == "none" else makes[kind](delay_s, discipline)
        found = predict_age(**swarm, delay=delay, seed=seed)
    except ConfigError:
        return
    assert 1e-9 <= rate_hz <= 1e6 and seed == 0
    assert found.mean_s > 0
    for value in (found.peak_s, found.p95_s):
        assert value is None or value > 0


def test_an_exponential_delay_that_is_long_beside_the_gaps_of_messages() -> None:
    """P(age > x) = exp(-r x²/(2m)) for x far below the mean delay m: the mean age is sqrt(πm/(2r))."""
    for rate_hz, mean_s in ((1e6, 1e9), (1e3, 1e6), (1.0, 1e8)):
        found = predict_age(rate_hz=rate_hz, share_probability=1, delay=Delay.exponential(mean_s))
        assert found.mean_s == pytest.approx(math.sqrt(math.pi * mean_s / 2 / rate_hz), rel=1e-3)


@pytest.mark.parametrize("discipline", ["blocking", "newest", "preemptive"])
@pytest.mark.parametrize("rate_hz", [1e-9, 1e-6, 1e-3])
def test_delays_that_are_short_beside_the_gaps_leave_an_exponential_age(rate_hz: float, discipline: str) -> None:
    found = direct_push(nodes=2, share_probability=1, rate_hz=rate_hz, delay=Delay.exponential(1e-9, discipline))
    for q in (0.1, 0.5, 0.95, 0.999):
        assert -math.log1p(-q) / rate_hz == pytest.approx(found.quantile(q), rel=1e-5)


def test_messages_that_always_replace_each_other_never_arrive() -> None:
    for rate_hz, delay_s in ((1000, 0.5), (1, 1e9)):
        found = direct_push(nodes=2, rate_hz=rate_hz, delay=Delay.fixed(delay_s, "preemptive"))
        assert math.inf == found.mean_s and "replaces" in found.method
