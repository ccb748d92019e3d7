from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from sklearn.neighbors import KernelDensity

from protovine.errors import ConfigError
from protovine.prototypes import Evidence, PrototypeSet
from protovine.share import (
    AlwaysGate,
    JensenShannonGate,
    LooJensenShannonGate,
    jensen_shannon_kde,
    jensen_shannon_loo,
)
from protovine.share.jensen_shannon import point_count
from protovine.stream import DataSet


def by_scikit_learn(a: PrototypeSet, b: PrototypeSet, rng: np.random.Generator) -> float:
    """The authors' way, through libraries."""
    rows = [np.column_stack([s.x, s.label]) for s in (a, b)]
    low = np.min([r.min(axis=0) for r in rows], axis=0)
    high = np.max([r.max(axis=0) for r in rows], axis=0)
    points = rng.uniform(low, high, (point_count(high - low), len(low)))
    p, q = (np.exp(KernelDensity(kernel="epanechnikov", bandwidth="scott").fit(r).score_samples(points)) for r in rows)
    return float(jensenshannon(p, q, base=2))


@pytest.mark.parametrize(("n", "m", "dim"), [(30, 40, 1), (60, 25, 2), (100, 100, 8)])
def test_equals_scikit_learn_and_scipy(n: int, m: int, dim: int) -> None:
    draw = np.random.default_rng(n)
    a = PrototypeSet.of(draw.random((n, dim)), draw.integers(0, 2, n))
    b = PrototypeSet.of(0.3 + draw.random((m, dim)), draw.integers(0, 2, m))
    expected = by_scikit_learn(a, b, np.random.default_rng(5))
    assert 0.1 < expected < 1
    assert expected == pytest.approx(jensen_shannon_kde(a, b, np.random.default_rng(5)), abs=1e-9)


def test_equals_scikit_learn_on_phishing(phishing: DataSet) -> None:
    a, b = (PrototypeSet.of(phishing.x[i : i + 80], phishing.y[i : i + 80]) for i in (0, 600))
    expected = by_scikit_learn(a, b, np.random.default_rng(1))
    assert expected == pytest.approx(jensen_shannon_kde(a, b, np.random.default_rng(1)), abs=1e-9)


def test_number_of_points_follows_the_authors() -> None:
    assert 1000 * 2**1.5 * 6 / 6 == pytest.approx(point_count(np.array([1.0, 2.0, 3.0])), abs=1)
    assert 20_000 == point_count(np.full(19, 100.0))
    assert 100 == point_count(np.zeros(2))


def test_densities_that_no_point_hits_count_as_disjoint() -> None:
    a = PrototypeSet.of(np.zeros((5, 6)), np.zeros(5))
    b = PrototypeSet.of(np.full((5, 6), 1e6), np.ones(5))
    assert 1.0 == jensen_shannon_kde(a, b, np.random.default_rng(0))


def test_sets_that_cannot_be_compared_are_refused() -> None:
    a = PrototypeSet.of([[0.0]], [0])
    with pytest.raises(ValueError, match="got 1 of 1 and 0 of 1 features"):
        jensen_shannon_kde(a, PrototypeSet.empty(1), np.random.default_rng(0))
    with pytest.raises(ValueError, match="1 of 2 features"):
        jensen_shannon_kde(a, PrototypeSet.of([[0.0, 1.0]], [0]), np.random.default_rng(0))


@pytest.mark.parametrize("gate", [JensenShannonGate(0.5, np.random.default_rng(0)), LooJensenShannonGate()])
def test_gate_sends_to_an_unknown_peer(gate: JensenShannonGate | LooJensenShannonGate) -> None:
    own = PrototypeSet.of([[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1])
    evidence = Evidence(own, 1)
    assert gate.passes(gate.score(evidence, None))
    assert gate.passes(gate.score(evidence, PrototypeSet.empty(1)))
    assert not gate.passes(gate.score(evidence, own))
    assert gate.passes(gate.score(evidence, PrototypeSet.of([[5.0], [5.1], [9.0], [9.1]], [0, 0, 1, 1])))
    assert AlwaysGate().passes(AlwaysGate().score(evidence, own))


def test_gate_threshold_is_on_the_distance_and_exclusive() -> None:
    gate = JensenShannonGate(0.5, np.random.default_rng(0))
    assert not gate.passes(0.5)
    assert gate.passes(0.5000001)


def test_loo_gate_scores_the_root_of_the_divergence() -> None:
    a, b = cloud(40, 3, 0), cloud(40, 3, 1, shift=0.8)
    assert 0 < jensen_shannon_loo(a, b) < 1
    assert jensen_shannon_loo(a, b) == pytest.approx(LooJensenShannonGate().score(Evidence(a, 1), b) ** 2)
    gate = LooJensenShannonGate(0.3)
    assert [gate.passes(0.3), gate.passes(0.31)] == [False, True]
    with pytest.raises(ConfigError, match="between 0 and 1, got -1"):
        LooJensenShannonGate(-1)


def test_gate_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"between 0 and 1, got 1\.5"):
        JensenShannonGate(1.5, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="points_max"):
        JensenShannonGate(0.5, np.random.default_rng(0), points_max=0)


def cloud(n: int, dim: int, seed: int, n_classes: int = 2, shift: float = 0.0) -> PrototypeSet:
    draw = np.random.default_rng(seed)
    label = draw.integers(0, n_classes, n)
    x = draw.normal(size=(n, dim)) + 2 * label[:, np.newaxis] + shift
    return PrototypeSet.of(x, label, weight=draw.integers(1, 9, n))


def loo_by_hand(a: PrototypeSet, b: PrototypeSet) -> float:
    """The formula, prototype by prototype."""
    rows = [
        (s.x[i], int(s.label[i]), s.weight[i] / s.weight.sum(), t) for t, s in enumerate((a, b)) for i in range(len(s))
    ]
    rows = [row for row in rows if row[2] > 0]
    dim = a.dim

    def mean(chosen: list) -> np.ndarray:
        return sum(w * x for x, _, w, _ in chosen) / sum(w for _, _, w, _ in chosen)

    variance = np.zeros(dim)
    for x, c, w, t in rows:
        variance += w * (x - mean([r for r in rows if r[1:4:2] == (c, t)])) ** 2 / 2
    z = [x / np.sqrt(variance) for x, *_ in rows]

    def q(own: float, other: float, w: float) -> float:
        e = 0.05 * (own + other + w)
        return (own + e) / (own + other + 2 * e)

    gains = [0.0] * 8
    for i, (_, c, w, t) in enumerate(rows):
        others = [j for j, r in enumerate(rows) if r[1] == c and j != i]
        for g in range(7):
            sums = [0.0, 0.0]
            for j in others:
                sums[rows[j][3]] += rows[j][2] * np.exp(-((z[i] - z[j]) ** 2).sum() / 2 / (4 * max(1, dim / 4) / 2**g))
            gains[g] += w * np.log2(q(sums[t], sums[1 - t], w))
        sides = [[(z[j], c, rows[j][2], s) for j in others if rows[j][3] == s] for s in (t, 1 - t)]
        masses = [sum(r[2] for r in side) for side in sides]
        if min(masses) > 0:
            near, far = (((z[i] - mean(side)) ** 2).sum() for side in sides)
            gains[7] += w * np.log2(1 / (1 + masses[1] / masses[0] * np.exp((near - far) / 2)))
        else:
            gains[7] += w * np.log2(q(*masses, w))
    return float(np.clip(1 + max(gains) / 2, 0, 1))


@pytest.mark.parametrize(("n", "m", "dim", "n_classes"), [(12, 9, 1, 2), (20, 25, 3, 3), (25, 15, 8, 1), (9, 9, 2, 6)])
@pytest.mark.parametrize("shift", [0.3, 1.0, 2.0])
def test_loo_equals_the_formula(n: int, m: int, dim: int, n_classes: int, shift: float) -> None:
    a, b = cloud(n, dim, n, n_classes), cloud(m, dim, m + 1, n_classes, shift)
    assert loo_by_hand(a, b) == pytest.approx(jensen_shannon_loo(a, b), abs=1e-9)


def mixture_density(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.exp(-((x[:, np.newaxis] - centres) ** 2).sum(axis=2) / 2).mean(axis=1)


@pytest.mark.parametrize(("dim", "error_max"), [(2, 0.1), (8, 0.2)])
def test_loo_is_near_the_true_divergence_and_the_authors_distance_is_not(dim: int, error_max: float) -> None:
    """Mixtures of two unit Gaussians per class, of known density; the truth is a mean over 4,000 draws."""
    draw = np.random.default_rng(dim)
    centres = draw.normal(size=(2, 2, dim))
    errors: dict[str, list[float]] = {"loo": [], "kde": []}
    for shift in (0.0, 0.5, 1.0, 2.0):

        def sample(n: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
            label, part = draw.integers(0, 2, n), draw.integers(0, 2, n)
            return centres[label, part] + shift / np.sqrt(dim) + draw.normal(size=(n, dim)), label

        truth = 0.0
        for own, other in ((0.0, shift), (shift, 0.0)):
            x, label = sample(4000, own)
            for c in range(2):
                p, q = (mixture_density(x[label == c], centres[c] + s / np.sqrt(dim)) for s in (own, other))
                truth += np.log2(2 * p / (p + q)).sum() / 8000
        for _ in range(3):
            a, b = PrototypeSet.of(*sample(100, 0.0)), PrototypeSet.of(*sample(100, shift))
            errors["loo"].append(jensen_shannon_loo(a, b) - truth)
            errors["kde"].append(jensen_shannon_kde(a, b, draw) ** 2 - truth)
            if shift == 0:
                assert jensen_shannon_loo(a, b) < 0.05
    loo, kde = (np.sqrt(np.mean(np.square(errors[name]))) for name in ("loo", "kde"))
    assert loo < error_max
    assert loo < kde / 2


def test_loo_of_disjoint_classes_is_1_and_of_far_sets_nearly() -> None:
    a = cloud(30, 3, 0)
    assert 1 == jensen_shannon_loo(a, PrototypeSet.of(a.x, a.label + 2))
    assert jensen_shannon_loo(a, PrototypeSet.of(a.x + 50, a.label)) > 0.99


@given(
    st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.sampled_from([0.0, 1.0, 9.0])
)
@settings(max_examples=60, deadline=None)
def test_loo_is_bounded_symmetric_and_blind_to_order_and_units(
    seed: int, n: int, m: int, dim: int, shift: float
) -> None:
    draw = np.random.default_rng(seed)

    def rough(size: int) -> PrototypeSet:
        # Whole numbers: many identical rows and constant features; weights of 0 too.
        return PrototypeSet.of(
            draw.integers(0, 3, (size, dim)), draw.integers(0, 2, size), weight=draw.integers(0, 3, size)
        )

    a, b = rough(n), rough(m)
    b = PrototypeSet.of(b.x + shift, b.label, weight=b.weight)
    found = jensen_shannon_loo(a, b)
    assert 0 <= found <= 1
    assert found == jensen_shannon_loo(a, b)
    assert found == pytest.approx(jensen_shannon_loo(b, a), abs=1e-9)
    assert found == pytest.approx(jensen_shannon_loo(a.take(draw.permutation(n)), b), abs=1e-9)
    scaled = [PrototypeSet.of(8 * s.x, s.label, weight=4 * s.weight) for s in (a, b)]
    assert found == pytest.approx(jensen_shannon_loo(*scaled), abs=1e-9)


def test_loo_of_sets_without_variation() -> None:
    same = PrototypeSet.of(np.full((4, 2), 0.1), np.zeros(4))
    other = PrototypeSet.of(np.full((4, 2), 0.3), np.zeros(4))
    assert 0 == jensen_shannon_loo(same, same)
    assert jensen_shannon_loo(same, other) > 0.8
    assert 0 == jensen_shannon_loo(same.take([0]), other.take([0]))  # One each: nothing can be left out.


def test_loo_weights_of_0_do_not_count_unless_all_are() -> None:
    a, b = cloud(20, 2, 0), cloud(20, 2, 1, shift=1.0)
    padded = PrototypeSet.of(
        np.concatenate([a.x, np.full((1, 2), 99.0)]), [*a.label, 0], weight=np.concatenate([a.weight, [0]])
    )
    assert jensen_shannon_loo(a, b) == pytest.approx(jensen_shannon_loo(padded, b), abs=1e-12)
    even, none = (PrototypeSet.of(a.x, a.label, weight=np.full(20, w)) for w in (3.0, 0.0))
    assert jensen_shannon_loo(even, b) == jensen_shannon_loo(none, b) != jensen_shannon_loo(a, b)


def test_loo_refuses_sets_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="got 1 of 1 and 0 of 1 features"):
        jensen_shannon_loo(PrototypeSet.of([[0.0]], [0]), PrototypeSet.empty(1))
