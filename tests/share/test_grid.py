"""Grids: found where values lie on one, not where they do not, and never at the price of a wrong value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.prototypes import PrototypeSet
from protovine.share import LearnerView, LocalSample, LogShare, Privacy, Scales, SetLimits
from protovine.share.grid import Grids, Lattice
from protovine.share.items import decode_items, decode_summary, encode_summary


def lattice_of(*columns: list) -> Lattice | None:
    grids = Grids(len(columns))
    for row in np.array(columns, float).T:
        grids.note(row)
    return grids.lattice()


@pytest.mark.parametrize(
    ("values", "step", "span"),
    [
        ([0, 1], 1.0, 1),  # A flag.
        ([0, 0.5, 1], 0.5, 2),
        ([-1, 1, 0], 1.0, 2),
        ([0, 2, 4, 6, 16], 2.0, 8),
        ([6, 10, 15], 1.0, 9),  # No two of them are one step apart.
        ([0.1 * k for k in range(12)], 0.1, 11),
        ([np.float32(0.1) * k for k in range(12)], 0.1, 11),
        ([20.01, 20.07, 19.99], 0.02, 4),
        ([k / 47 for k in range(48)], 1 / 47, 47),
        ([1e9, 1e9 + 5], 5.0, 1),
        ([-3e37, 3e37], 6e37, 1),
    ],
)
def test_the_widest_grid_is_found(values: list, step: float, span: int) -> None:
    # Standardised values lie on a grid too, beside 0.
    for scale, shift in ((1.0, 0.0), (1 / 0.37, -1.234)):
        found = lattice_of([scale * (values[i % len(values)]) + shift for i in range(60)])
        assert (scale * step, span, scale * min(values) + shift) == (
            pytest.approx(found.step[0], rel=1e-5),
            found.span[0],
            pytest.approx(found.low[0], rel=1e-12),
        )


def test_measurements_and_wide_counts_lie_on_no_grid() -> None:
    draw = np.random.default_rng(0)
    assert lattice_of(draw.normal(size=40)) is None
    assert lattice_of(np.round(draw.normal(size=40), 3)) is None
    assert lattice_of(list(range(300))) is None
    assert lattice_of([0.0, 1.0] * 20 + [0.37]) is not None, "3 % of a unit is a step that 8 bits can count"
    assert lattice_of([0.0, 1.0] * 20 + [0.3712345]) is None


def test_a_grid_is_believed_after_twenty_samples_and_given_up_for_good() -> None:
    assert lattice_of([0.0, 1.0] * 9 + [0.0]) is None
    assert 1.0 == lattice_of([0.0, 1.0] * 10).step[0]
    assert lattice_of([0.0, 1.0] * 10 + [np.pi] + [0.0, 1.0] * 100) is None


def test_a_constant_has_a_step_of_its_size() -> None:
    found = lattice_of([0.0] * 20, [7.0] * 20, [-1e6] * 20, [0.3, 0.1 + 0.2] * 10)
    assert [0, 0, 0, 0] == found.span.tolist()
    assert (found.step * 2**9 >= np.maximum(1, np.abs(found.low))).all()
    assert (found.step * 2**8 <= np.maximum(1, np.abs(found.low))).all()


@given(
    st.lists(st.floats(-1e38, 1e38) | st.sampled_from([0.0, 1.0, -1.0, 1e-300, 5e-324]), min_size=1, max_size=30),
    st.integers(0, 19),
)
def test_every_value_is_on_the_grid_that_is_found(values: list, cut: int) -> None:
    grids, again = Grids(1), Grids(1)
    for i, value in enumerate(values * 20):
        if i == cut:
            again.restore(grids.state())
        grids.note(np.array([value]))
        if i >= cut:
            again.note(np.array([value]))
    found, restored = grids.lattice(), again.lattice()
    assert (found is None) == (restored is None)
    if found is not None:
        assert all(np.array_equal(one, other) for one, other in zip(found, restored, strict=True))
        steps = (np.array(values) - found.low[0]) / found.step[0]
        assert np.abs(steps - np.rint(steps)).max() < 0.3, "within rounding of repeated sums"
        assert -0.5 < steps.min() and steps.max() < found.span[0] + 0.5 <= 256


def sharing(dim: int, **options) -> LogShare:
    return LogShare(SetLimits(dim, 2), np.random.default_rng(0), select="all", batch_items=1, **options)


def passed_on(share: LogShare, rows: np.ndarray) -> tuple[np.ndarray, list[int], int]:
    """What a receiver decodes of ``rows``, one entry each; the bytes of every entry; and how many scales it took."""
    scales, came, sizes, n_scales = None, [], [], 0
    for i, x in enumerate(rows):
        seen = rows[: i + 1]
        share.note(LocalSample(x, i % 2, i * 10**8, 1.0, True), None, i * 10**8)
        for payload, n in share.seal(LearnerView(seen.mean(axis=0), seen.std(axis=0), 1.0), 10_000):
            if n == 0:
                scales = Scales.decode(payload, share.limits)
                n_scales += 1
            else:
                came.append(decode_items(payload, scales, share.limits).x[0])
                sizes.append(len(payload))
    return np.array(came), sizes, n_scales


def test_flags_take_a_bit_each_and_come_back_exactly() -> None:
    rows = np.random.default_rng(1).integers(0, 2, (200, 24)).astype(float)
    came, sizes, n_scales = passed_on(sharing(24), rows)
    assert np.array_equal(rows[100:], came[100:])
    assert sizes[-1] <= 2 + 2 + 3
    assert n_scales <= 8


def test_a_constant_that_moves_is_shared_at_once_and_exactly() -> None:
    for constant, moved in ((0.0, 1.0), (0.003467, 0.25), (1.0, 1e9), (5.0, 5.0001), (0.0, 1e-9), (-3.0, 1e30)):
        rows = np.full((120, 3), constant)
        rows[:, 1] = np.random.default_rng(2).normal(size=120)
        rows[100:, 2] = moved
        came, _, _ = passed_on(sharing(3), rows)
        assert came[:100, 2] == pytest.approx(constant, rel=1e-12)
        assert came[100:, 2] == pytest.approx(moved, rel=1e-2, abs=0.02 * rows[:, 2].std())
        assert came[:, 0] == pytest.approx(constant, rel=1e-12)


def test_a_value_between_the_steps_ends_the_grid_at_once() -> None:
    rows = np.random.default_rng(3).integers(0, 2, (200, 2)).astype(float)
    rows[150:, 0] = np.random.default_rng(4).random(50)
    came, _, n_scales = passed_on(sharing(2), rows)
    off = np.abs(came[150:, 0] - rows[150:, 0])
    assert off.max() <= 0.5 * rows[:, 0].std() and off[5:].max() < rows[:, 0].std() / 10
    assert np.array_equal(rows[100:, 1], came[100:, 1])
    assert n_scales <= 12, "a grid is given up once"


def test_rare_values_beyond_the_codes_cost_less_than_new_scales() -> None:
    """Counts whose maximum grows, and heavy tails: codes beyond their width take fewer bytes than new scales."""
    draw = np.random.default_rng(5)
    rows = np.column_stack([draw.geometric(0.3, (1000, 8)), draw.standard_cauchy((1000, 8))]).astype(float)
    came, sizes, n_scales = passed_on(sharing(16), rows)
    assert np.abs(came - rows)[:, :8].max() <= 0.1 * rows[:, :8].std()
    assert np.abs(came - rows)[500:, :8].max() < 1e-6
    assert n_scales <= 40
    assert np.mean(sizes[500:]) < 2 + 2 + 16


def test_changed_values_take_no_grid() -> None:
    for privacy in (Privacy(noise=0.1), Privacy(microaggregation=2)):
        rows = np.random.default_rng(6).integers(0, 2, (100, 3)).astype(float)
        _, sizes, _ = passed_on(sharing(3, privacy=privacy), rows)
        assert min(sizes[50:]) >= 2 + 2 + 2
    rows = np.random.default_rng(6).integers(0, 2, (100, 3)).astype(float)
    assert max(passed_on(sharing(3, privacy=Privacy(weight_min=5)), rows)[1][50:]) <= 2 + 2 + 1


def test_summaries_keep_means_between_the_values_of_a_grid() -> None:
    lattice = lattice_of([0.0, 1.0] * 10, [3.0] * 20)
    scales = Scales.of(1, np.zeros(2), np.ones(2), 0, 1e8, 8, lattice)
    means = PrototypeSet.of([[0.37, 3.0], [1.0, 3.0]], [0, 1])
    _, again = decode_summary(encode_summary(means, scales, SetLimits(2, 2)), SetLimits(2, 2))
    assert [0.37, 1.0] == pytest.approx(sorted(again.x[:, 0].tolist()), abs=1 / 500)
    assert [3.0, 3.0] == pytest.approx(again.x[:, 1].tolist())
