"""Limits over time, in virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protovine.net.pacing import Patience, TokenBucket

S = 10**9


def test_patience_doubles_and_returns() -> None:
    patience = Patience(10, 35, now_ns=0)
    over = [now for now in range(200) if patience.over(True, now)]
    assert over == [10, 30, 65, 100, 135, 170], "after 10, 20, 35, 35 and so on"
    assert not patience.over(False, 190) and not patience.over(False, 206)
    assert [now for now in range(207, 230) if patience.over(True, now)] == [216], "long enough fine, so short again"


@given(st.lists(st.tuples(st.integers(0, 2 * S), st.integers(1, 3)), max_size=60))
def test_a_bucket_gives_no_more_than_its_burst_and_its_rate(steps: list[tuple[int, int]]) -> None:
    bucket, now_ns, taken = TokenBucket(rate_per_s=2.0, burst=5.0, now_ns=0), 0, 0
    for wait_ns, count in steps:
        now_ns += wait_ns
        if bucket.take(now_ns, count):
            taken += count
        assert taken <= 5 + 2 * now_ns / S + 1e-6


def test_a_clock_that_goes_back_neither_fills_nor_empties_a_bucket() -> None:
    bucket = TokenBucket(rate_per_s=1.0, burst=2.0, now_ns=100 * S)
    assert [True, True, False] == [bucket.take(now_ns) for now_ns in (100 * S, 50 * S, 50 * S)]
    assert [False, True] == [bucket.take(now_ns) for now_ns in (100 * S + S // 2, 101 * S)]
