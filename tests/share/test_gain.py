from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.errors import ConfigError
from protovine.prototypes import Evidence, PrototypeSet, inverse_variance
from protovine.share import AlwaysGate, GainGate, SetLimits, WholeSets, encode_set, expected_gain, filtered


def rough(draw: np.random.Generator, n: int, dim: int, n_classes: int = 3) -> PrototypeSet:
    """Whole numbers, so that ties and identical rows are common."""
    weight = draw.integers(0, 7, n)
    return PrototypeSet.of(draw.integers(0, 4, (n, dim)), draw.integers(0, n_classes, n), weight=weight)


def scale_by_hand(rows: list[list[float]]) -> list[float]:
    columns = list(zip(*rows, strict=True))
    means = [math.fsum(c) / len(c) for c in columns]
    found = [
        0.0 if len(set(c)) == 1 else len(c) / math.fsum((v - m) ** 2 for v in c)
        for c, m in zip(columns, means, strict=True)
    ]
    return found if any(found) else [1.0] * len(columns)


def nearest_by_hand(x: list[float], rows: list[list[float]], scale: list[float]) -> int:
    far = [math.fsum(s * (a - b) ** 2 for s, a, b in zip(scale, x, row, strict=True)) for row in rows]
    # Nearly equal is a tie: the two ways of adding up differ in the last bits.
    return next(i for i, r in enumerate(far) if r <= min(far) + 1e-9)


def gain_by_hand(own: PrototypeSet, known: PrototypeSet, x: list, y: list) -> float:
    x, y = x[-100:], y[-100:]
    scale = scale_by_hand(x)
    held, held_label = known.x.tolist(), known.label.tolist()
    both, both_label = held + own.x.tolist(), held_label + own.label.tolist()
    hits = [0, 0]
    for row, label in zip(x, y, strict=True):
        hits[0] += bool(held) and held_label[nearest_by_hand(row, held, scale)] == label
        hits[1] += bool(both) and both_label[nearest_by_hand(row, both, scale)] == label
    return (hits[1] - hits[0]) / len(x)


@given(st.integers(0, 10**6), st.integers(0, 12), st.integers(0, 12), st.integers(1, 130), st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_gain_equals_the_plain_twin(seed: int, n: int, m: int, k: int, dim: int) -> None:
    draw = np.random.default_rng(seed)
    # Tenths apart, so that no distance is a tie but where rows are equal.
    own, known, window = rough(draw, n, dim), rough(draw, m, dim), rough(draw, k, dim)
    x = window.x + draw.random(window.x.shape)
    expected = gain_by_hand(own, known, x.tolist(), window.label.tolist())
    assert expected == pytest.approx(expected_gain(own, known, x, window.label), abs=1e-12)


def test_gain_counts_samples_that_the_peer_newly_predicts_correctly() -> None:
    x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    peer = PrototypeSet.of([[0.5]], [0])
    assert 0.5 == expected_gain(PrototypeSet.of([[2.5]], [1]), peer, x, y)
    assert -0.25 == expected_gain(PrototypeSet.of([[0.0]], [1]), peer, x, y)
    assert 0.75 == expected_gain(PrototypeSet.of([[1.0], [3.0]], [0, 1]), None, x, y)  # 2 is a tie.


def test_known_prototypes_win_ties() -> None:
    x, y = np.array([[0.0], [1.0]]), np.array([0, 0])
    assert 0 == expected_gain(PrototypeSet.of([[0.5]], [1]), PrototypeSet.of([[0.5]], [0]), x, y)
    assert 0 == expected_gain(PrototypeSet.of([[0.5]], [0]), PrototypeSet.of([[0.5]], [1]), x, y)


def test_only_the_newest_hundred_samples_count() -> None:
    x = np.concatenate([np.zeros((50, 1)), np.linspace(1, 2, 100)[:, np.newaxis]])
    y = np.concatenate([np.ones(50, np.int64), np.zeros(100, np.int64)])
    own = PrototypeSet.of([[1.5]], [0])
    assert 1 == expected_gain(own, PrototypeSet.of([[9.0]], [1]), x, y)


def test_samples_that_do_not_vary_are_compared_unscaled() -> None:
    x, y = np.full((3, 2), 0.1), np.zeros(3, np.int64)
    assert 1 == expected_gain(PrototypeSet.of([[0.0, 0.0]], [0]), PrototypeSet.of([[1.0, 1.0]], [1]), x, y)
    # A constant feature plays no part: there the far one is near.
    x = np.array([[0.0, 0.1], [1.0, 0.1], [2.0, 0.1]])
    assert 1 == expected_gain(PrototypeSet.of([[1.0, 99.0]], [0]), PrototypeSet.of([[9.0, 0.1]], [1]), x, y)


def test_units_do_not_matter_unless_weights_are_given() -> None:
    draw = np.random.default_rng(0)
    own, known, window = rough(draw, 9, 2), rough(draw, 9, 2), draw.random((40, 2)) * 3
    y = draw.integers(0, 3, 40)
    units = np.array([1024.0, 0.125])
    bigger = [PrototypeSet.of(s.x * units, s.label) for s in (own, known)]
    expected = expected_gain(own, known, window, y)
    assert expected == expected_gain(*bigger, window * units, y)
    assert expected == expected_gain(*bigger, window * units, y, scale=inverse_variance(window * units))
    # The only feature in which the own prototype is near, by weights.
    x, label = np.array([[0.0, 0.0], [1.0, 1.0]]), np.zeros(2, np.int64)
    own, known = PrototypeSet.of([[0.0, 9.0]], [0]), PrototypeSet.of([[0.5, 0.0]], [1])
    assert [0, 0.5] == [expected_gain(own, known, x, label, scale) for scale in (None, [1.0, 0.0])]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window_label": np.zeros(3, np.int64)}, r"got \(2, 1\) and \(3,\)"),
        ({"known": PrototypeSet.of([[0.0, 0.0]], [0])}, "got 2 and 1"),
        ({"scale": [1.0, 1.0]}, "1 finite numbers"),
        ({"scale": [-1.0]}, ">= 0"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, message: str) -> None:
    own = PrototypeSet.of([[0.0]], [0])
    values = {"known": own, "window_x": np.array([[0.0], [1.0]]), "window_label": np.zeros(2, np.int64)}
    with pytest.raises(ValueError, match=message):
        expected_gain(own, **{**values, **change})


@given(st.integers(0, 10**6), st.integers(0, 25), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_filter_equals_the_plain_twin(seed: int, n: int, dim: int) -> None:
    draw = np.random.default_rng(seed)
    own = rough(draw, n, dim)
    own.x[:] += 0.3 * draw.random(own.x.shape)
    rows, scale = own.x.tolist(), scale_by_hand(own.x.tolist()) if n else []
    expected = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        agrees = bool(others) and own.label[others[nearest_by_hand(rows[i], [rows[j] for j in others], scale)]]
        agrees = bool(others) and agrees == own.label[i]
        if own.weight[i] >= 5 or (agrees and own.weight[i] >= 2):
            expected.append(i)
    assert own.take(np.array(expected, np.int64)).x.tolist() == filtered(own).x.tolist()


def test_a_lonely_prototype_is_trusted_from_5_samples_on() -> None:
    assert [0, 1] == [len(filtered(PrototypeSet.of([[0.0]], [0], weight=[w]))) for w in (4, 5)]


def example(window: bool = True) -> Evidence:
    own = PrototypeSet.of([[0.0], [0.1], [0.2], [1.0], [1.1]], [0, 0, 0, 1, 1], weight=[2, 2, 2, 2, 2])
    if not window:
        return Evidence(own, 10)
    return Evidence(own, 10, np.array([[0.1], [0.9], [1.2]]), np.array([0, 1, 1]))


def test_gate_passes_helpful_sets_unknown_peers_and_small_sets() -> None:
    evidence, gate = example(), GainGate()
    own = evidence.prototypes
    assert [1.0, 1.0] == [gate.score(evidence, known) for known in (None, PrototypeSet.empty(1))]
    assert 0.0 == gate.score(evidence, own)
    assert pytest.approx(2 / 3) == gate.score(evidence, own.take([0]))
    young = Evidence(own.take([0, 1, 2, 3]), 9, evidence.window_x, evidence.window_label)
    assert 1.0 == gate.score(young, own)
    assert [False, True] == [gate.passes(0.02), gate.passes(0.021)]


def test_gate_scores_only_the_filtered_set() -> None:
    evidence = example()
    own = evidence.prototypes
    weak = PrototypeSet.of(own.x, own.label, weight=np.ones(5))
    assert 0.0 == GainGate().score(Evidence(weak, 1, evidence.window_x, evidence.window_label), own.take([0]))


def test_gate_scores_new_evidence_again() -> None:
    evidence, gate = example(), GainGate()
    known = evidence.prototypes.take([0])
    before = gate.score(evidence, known)
    turned = Evidence(evidence.prototypes, 11, evidence.window_x, 1 - evidence.window_label)
    assert before != gate.score(turned, known) == GainGate().score(turned, known)


def test_gate_without_samples_sees_no_gain() -> None:
    assert 0.0 == GainGate().score(example(window=False), example().prototypes.take([0]))


def test_gate_threshold_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="between 0 and 1, got 2"):
        GainGate(2)


def test_only_the_gain_gate_counts_sent_sets_as_known() -> None:
    evidence, limits = example(), SetLimits(1, 2)
    for gate, expected in ((GainGate(), [True, False]), (AlwaysGate(), [True, True])):
        share = WholeSets(gate, limits)
        offers = [share.offer(3, evidence, 10**6) for _ in range(2)]
        assert expected == [offer is not None and offer.payload is not None for offer in offers]


def test_withheld_sets_do_not_count_as_sent() -> None:
    evidence = example()
    share = WholeSets(GainGate(), SetLimits(1, 2))
    first, second = (share.offer(3, evidence, most) for most in (10, 10**6))
    assert first is not None and first.payload is None
    assert second is not None and second.payload is not None


def test_received_and_sent_are_known_together_and_survive_a_restart() -> None:
    evidence, limits = example(), SetLimits(1, 2, prototypes_max=2)
    share, again = (WholeSets(GainGate(), limits) for _ in range(2))
    first = Evidence(evidence.prototypes.take([0, 1, 2]), 5)
    for peer in (3, 4):
        share.offer(peer, first, 10**6)
    share.commit(3, share.read(3, encode_set(evidence.prototypes.take([3, 4]))))
    again.restore(share.state())
    assert share.state() == again.state()
    assert again._last_sent[3] is again._last_sent[4]
    for each in (share, again):
        # Class 0 was sent to 3 and 4, and class 1 came from 3.
        scores = [offer.value for peer in (3, 4, 5) if (offer := each.offer(peer, evidence, 10**6))]
        assert pytest.approx([0, 2 / 3, 1]) == scores


def test_inverse_variance() -> None:
    x = np.array([[0.0, 5.0, 0.1], [2.0, 5.0, 0.1], [7.0, 5.0, 0.1]])
    assert [1 / np.var(x[:, 0]), 0, 0] == pytest.approx(inverse_variance(x))
    weight = np.array([3.0, 1.0, 0.0])
    assert [1 / np.var([0, 0, 0, 2]), 0, 0] == pytest.approx(inverse_variance(x, weight))
    assert inverse_variance(x).tolist() == inverse_variance(x, np.zeros(3)).tolist()
    assert [1, 1] == inverse_variance(np.zeros((0, 2))).tolist()
    assert [1, 1] == inverse_variance(np.full((4, 2), 1e-200)).tolist()
    assert np.isfinite(inverse_variance(np.array([[1e38, 0.0], [-1e38, 1e-170]]))).all()
