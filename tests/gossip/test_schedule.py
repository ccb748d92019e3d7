"""Schedules by themselves: how much they send, how evenly, and to whom; ages against the theory's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import ConfigError
from protovine.gossip import SCHEDULES, make_schedule

# Schedules that choose peers; broadcast addresses all of them at once.
TO_PEERS = set(SCHEDULES) - {"broadcast"}
SECOND = 10**9
RATE = 10.0
PEERS = [1, 2, 4, 7]


def play(name: str, s: int, T: float, gaps_ns: np.ndarray, bits=lambda i: 0.3, seed: int = 1) -> dict[int, list[int]]:
    """When each peer is sent to, at opportunities with these gaps."""
    schedule = make_schedule(name, s, T, np.random.default_rng(seed))
    sent: dict[int, list[int]] = {peer: [] for peer in PEERS}
    now_ns = 0
    for i, gap_ns in enumerate(gaps_ns):
        now_ns += int(gap_ns)
        schedule.note(bits(i))
        for peer in schedule.choose(PEERS, len(PEERS), now_ns):
            sent.setdefault(peer, []).append(now_ns)
            schedule.acknowledged(peer, now_ns, now_ns + 1000)
    return sent


def poisson(count: int, seed: int = 0) -> np.ndarray:
    return np.maximum(1, np.random.default_rng(seed).exponential(SECOND / RATE, count)).astype(np.int64)


def mean_age_s(times: list[int]) -> float:
    gaps = np.diff(times) / SECOND
    return float((gaps**2).sum() / 2 / gaps.sum())


def expected_s(name: str, s: int, T: float) -> float:
    """Mean age by renewal reward, worked out by hand for four peers; opportunities are Poisson."""
    p = T * s / 4
    if name == "coin":
        return 1 / (RATE * p)
    if name == "round-robin":  # Erlang(4/s) of used opportunities.
        return (4 / s + 1) / (2 * RATE * T)
    if name in ("counter", "oldest"):  # Every 1/T-th, and then every 4/s-th of these.
        return (1 / p + 1) / (2 * RATE)
    return (1 / p + p) / (2 * RATE)  # A fixed wait, and then an exponential one.


@pytest.mark.parametrize(("s", "T"), [(4, 0.1), (2, 0.5), (1, 0.25), (1, 1.0)])
@pytest.mark.parametrize("name", ["coin", "round-robin", "counter", "oldest", "age-threshold"])
def test_ages_are_what_theory_says_at_equal_traffic(name: str, s: int, T: float) -> None:
    gaps = poisson(40_000)
    sent = play(name, s, T, gaps)
    for times in sent.values():
        assert T * s / 4 == pytest.approx(len(times) / len(gaps), rel=0.05)
    age_s = np.mean([mean_age_s(times) for times in sent.values()])
    assert expected_s(name, s, T) == pytest.approx(age_s, rel=0.04)


@pytest.mark.parametrize("name", sorted(TO_PEERS))
@pytest.mark.parametrize(("s", "T"), [(4, 0.1), (3, 0.2), (1, 0.5), (9, 0.5), (4, 1.0)])
def test_traffic_is_what_s_and_t_say_also_when_gaps_are_equal(name: str, s: int, T: float) -> None:
    gaps = np.full(20_000, SECOND // 10)
    sent = play(name, s, T, gaps, bits=lambda i: (i % 7) / 7)
    total = sum(map(len, sent.values()))
    assert min(s, 4) * T == pytest.approx(total / len(gaps), rel=0.06)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_one_seed_gives_one_choice_and_a_restored_schedule_goes_on(name: str) -> None:
    gaps = poisson(300)
    assert play(name, 2, 0.4, gaps) == play(name, 2, 0.4, gaps)
    first, second = (make_schedule(name, 2, 0.4, np.random.default_rng(seed)) for seed in (3, 4))
    for at_ns in range(0, 50 * SECOND, SECOND):
        first.choose(PEERS, 4, at_ns)
    second.restore(first.state())
    assert first.state() == second.state()


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_nothing_is_sent_at_probability_0_or_without_peers(name: str) -> None:
    silent = make_schedule(name, 2, 0.0, np.random.default_rng(0))
    assert not silent.active
    assert not any(silent.choose(PEERS, 4, at_ns) for at_ns in range(100))
    eager = make_schedule(name, 2, 1.0, np.random.default_rng(0))
    assert eager.active
    assert [] == eager.choose([], 4, 5)


@given(
    st.sampled_from(sorted(TO_PEERS)),
    st.integers(1, 6),
    st.floats(0.01, 1),
    st.lists(st.tuples(st.integers(0, 2 * SECOND), st.sets(st.sampled_from(PEERS))), max_size=60),
)
def test_only_candidates_are_chosen_each_once(name: str, s: int, T: float, steps: list) -> None:
    schedule = make_schedule(name, s, T, np.random.default_rng(0))
    now_ns = 0
    for gap_ns, candidates in steps:
        now_ns += gap_ns
        schedule.note(0.5)
        chosen = schedule.choose(sorted(candidates), 4, now_ns)
        assert set(chosen) <= candidates
        assert len(set(chosen)) == len(chosen)
        if name not in ("age-threshold", "drift-age"):
            assert len(chosen) <= s


def test_a_peer_that_loses_what_it_is_sent_is_served_out_of_turn() -> None:
    oldest = make_schedule("oldest", 1, 1.0, np.random.default_rng(0))
    served = []
    for tick in range(200):
        peer = oldest.choose([1, 2, 3, 4], 4, tick * SECOND)[0]
        served.append(peer)
        if peer != 2 or tick > 100:
            oldest.acknowledged(peer, tick * SECOND, tick * SECOND + SECOND // 10)
    # Peer 2 does not answer: after 4 round trips of .1 s it is next, then after .8, 1.6, ... until its turn is first.
    assert [1, 2, 2, 2, 3, 2, 4] == served[:7]
    silent = served[50:100]
    assert 13 >= silent.count(2)
    late = served[-40:]
    assert [10, 10, 10, 10] == [late.count(peer) for peer in (1, 2, 3, 4)]


def test_drift_and_age_send_more_while_surprisal_is_high() -> None:
    gaps = poisson(4000)
    sent = play("drift-age", 4, 0.1, gaps, bits=lambda i: 0.5 if 2000 <= i < 2500 else 0.02)
    at_ns = np.cumsum(gaps)
    during = [sum(at_ns[2000] <= t < at_ns[2500] for t in times) for times in sent.values()]
    before = [sum(at_ns[1500] <= t < at_ns[2000] for t in times) for times in sent.values()]
    assert min(during) > 1.5 * max(before)


def test_every_peer_is_served_even_without_surprisal() -> None:
    gaps = np.full(3000, SECOND // 10)
    for times in play("drift-age", 2, 0.2, gaps, bits=lambda i: 0.0).values():
        # Four mean intervals of ten gaps.
        assert np.diff(times).max() <= 41 * SECOND // 10


@pytest.mark.parametrize(
    ("name", "s", "T", "message"),
    [
        ("conter", 1, 1.0, r"unknown schedule 'conter' \(did you mean 'counter'\?\)"),
        ("coin", 0, 1.0, "fanout must be >= 1, got 0"),
        ("oldest", 1, 1.5, "share_probability must be between 0 and 1, got 1.5"),
        ("drift-age", 1, float("nan"), "share_probability must be between 0 and 1, got nan"),
    ],
)
def test_mistakes_are_named(name: str, s: int, T: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_schedule(name, s, T, np.random.default_rng(0))
