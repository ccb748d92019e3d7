from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.compress import GreedyCompressor, compressor
from protovine.prototypes import PrototypeSet, inverse_variance

Row = tuple[list[float], int, float, int]


def rows_of(prototypes: PrototypeSet) -> list[Row]:
    columns = (prototypes.x, prototypes.label, prototypes.weight, prototypes.event_ns)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def square(a: Row, b: Row, scale: list[float]) -> float:
    total = 0.0
    for s, p, q in zip(scale, a[0], b[0], strict=True):
        total += s * ((p - q) * (p - q))
    return total


def merged_by_hand(rows: list[Row], scale: list[float], target: int) -> list[Row]:
    """Every pair looked at again for every merge."""
    while len(rows) > target:
        found = []
        for i, j in itertools.combinations(range(len(rows)), 2):
            a, b = rows[i], rows[j]
            if a[1] == b[1]:
                light, heavy = sorted([a[2], b[2]])
                r = square(a, b, scale)
                found.append((light * (heavy / (light + heavy)) * r if heavy else 0.0, r, i, j))
        if not found:
            break
        *_, i, j = min(found)
        a, b = rows[i], rows[j]
        share = b[2] / (a[2] + b[2]) if a[2] + b[2] else 0.5
        rows[i] = ([p + share * (q - p) for p, q in zip(a[0], b[0], strict=True)], a[1], a[2] + b[2], max(a[3], b[3]))
        del rows[j]
    return rows


def top_by_hand(rows: list[Row], scale: list[float], target: int) -> list[Row]:
    order = sorted(range(len(rows)), key=lambda i: -rows[i][2])
    kept = [next(i for i in order if rows[i][1] == c) for c in sorted({row[1] for row in rows})]
    wanted = round(math.sqrt(len(rows) * target))
    kept += [i for i in order if i not in kept][: max(0, wanted - len(kept))]
    out = {i: rows[i] for i in sorted(kept)}
    for i, row in enumerate(rows):
        if i not in out:
            to = min((square(row, rows[k], scale), k) for k in kept if rows[k][1] == row[1])[1]
            x, label, weight, event = out[to]
            out[to] = (x, label, weight + row[2], max(event, row[3]))
    return list(out.values())


def rough(seed: int, n: int, dim: int, whole: bool) -> PrototypeSet:
    draw = np.random.default_rng(seed)
    # Whole numbers: equal costs, identical rows and constant features are common.
    x = draw.integers(0, 3, (n, dim)) if whole else draw.normal(size=(n, dim))
    return PrototypeSet.of(x, draw.integers(0, 3, n), weight=draw.integers(0, 5, n), event_ns=draw.permutation(n))


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 3), st.booleans(), st.integers(1, 30), st.booleans())
@settings(max_examples=150, deadline=None)
def test_greedy_merging_equals_its_plain_twin(seed: int, n: int, dim: int, whole: bool, limit: int, top: bool) -> None:
    before = rough(seed, n, dim, whole)
    made = GreedyCompressor(top=top).compress(before, limit)
    expected = rows_of(before)
    if len(expected) > limit:
        scale = inverse_variance(before.x, before.weight).tolist()
        expected = top_by_hand(expected, scale, limit) if top else expected
        expected = merged_by_hand(expected, scale, limit)
    assert expected == rows_of(made.prototypes)
    assert made.exact == (len(expected) <= limit)


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 60), st.booleans())
@settings(max_examples=60, deadline=None)
def test_greedy_merging_keeps_weight_classes_and_newest_events(seed: int, n: int, limit: int, top: bool) -> None:
    before = rough(seed, n, 4, False)
    made = GreedyCompressor(top=top).compress(before, limit)
    after = made.prototypes
    assert min(n, max(limit, len(set(before.label)))) == len(after)
    for c in set(before.label):
        old, new = before.label == c, after.label == c
        assert before.weight[old].sum() == pytest.approx(after.weight[new].sum())
        assert before.event_ns[old].max() == after.event_ns[new].max()
        centre = before.weight[old] @ before.x[old]
        assert top or centre == pytest.approx(after.weight[new] @ after.x[new], abs=1e-9)


def test_light_prototypes_merge_before_heavy_ones() -> None:
    line = PrototypeSet.of([[0.0], [1.0], [10.0], [10.5]], np.zeros(4), weight=[1, 1, 50, 50])
    assert [0.5, 10, 10.5] == GreedyCompressor().compress(line, 3).prototypes.x.ravel().tolist()
    even = PrototypeSet.of(line.x, line.label)
    assert [0, 1, 10.25] == GreedyCompressor().compress(even, 3).prototypes.x.ravel().tolist()


def test_top_greedy_adds_light_weights_to_the_nearest_kept() -> None:
    # Of 4 to 1: the 2 heaviest are kept; 1.0 goes to 0.0, 8.0 to 10.0; then the two merge.
    line = PrototypeSet.of([[0.0], [1.0], [8.0], [10.0]], np.zeros(4), weight=[5, 1, 2, 5], event_ns=[1, 9, 3, 4])
    made = compressor("top-greedy").compress(line, 1).prototypes
    assert [10 * 7 / 13] == pytest.approx(made.x.ravel().tolist())
    assert ([13], [9]) == (made.weight.tolist(), made.event_ns.tolist())
    two = PrototypeSet.of([*line.x, [0.1]], [0, 0, 0, 0, 1], weight=[*line.weight, 0])
    assert {0, 1} == set(compressor("top-greedy").compress(two, 2).prototypes.label)


def test_units_of_features_do_not_matter_unless_scales_are_given() -> None:
    before = rough(1, 40, 2, False)
    units = np.array([1024.0, 0.125])
    bigger = PrototypeSet.of(before.x * units, before.label, weight=before.weight, event_ns=before.event_ns)
    plain, scaled, forced = (
        GreedyCompressor(scale=s).compress(p, 10).prototypes
        for p, s in ((before, None), (bigger, None), (bigger, [1, 1]))
    )
    assert (plain.x * units) == pytest.approx(scaled.x)
    assert plain.weight.tolist() == scaled.weight.tolist() != forced.weight.tolist()
    with pytest.raises(ValueError, match="one number per feature, 2, got 3"):
        GreedyCompressor(scale=[1, 1, 1]).compress(before, 10)


def test_with_more_classes_than_the_limit_one_of_each_remains() -> None:
    made = GreedyCompressor().compress(PrototypeSet.of(np.arange(6.0)[:, np.newaxis], [0, 1, 2] * 2), 2)
    assert (False, [0, 1, 2]) == (made.exact, made.prototypes.label.tolist())


def test_target_is_the_mean_of_low_and_high_in_percent_of_the_limit() -> None:
    sizes = [
        len(GreedyCompressor(*band).compress(rough(0, 90, 3, False), 80).prototypes) for band in ((50, 60), (5, 5))
    ]
    assert [44, 4] == sizes


def test_identical_prototypes_merge_first_and_weightless_ones_join_the_nearest() -> None:
    same = PrototypeSet.of([[0.1], [3.0], [3.0], [0.2]], np.zeros(4), weight=[1, 0, 9, 9], event_ns=[0, 7, 0, 0])
    made = GreedyCompressor().compress(same, 3).prototypes
    assert ([0.1, 3, 0.2], [1, 9, 9], [0, 7, 0]) == tuple(
        column.ravel().tolist() for column in (made.x, made.weight, made.event_ns)
    )
    none = PrototypeSet.of([[0.0], [4.0], [5.0]], np.zeros(3), weight=np.zeros(3))
    assert [0, 4.5] == GreedyCompressor().compress(none, 2).prototypes.x.ravel().tolist()


def test_the_input_is_not_changed() -> None:
    before = rough(2, 30, 2, False)
    copy = rows_of(before)
    for top in (False, True):
        GreedyCompressor(top=top).compress(before, 5)
    assert copy == rows_of(before)
