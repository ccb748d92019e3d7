from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from sklearn.neighbors import KernelDensity

from protovine.errors import ConfigError
from protovine.prototypes import PrototypeSet
from protovine.share import AlwaysGate, JensenShannonGate, jensen_shannon_kde
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


def test_gate_sends_to_a_peer_of_which_nothing_is_known() -> None:
    own = PrototypeSet.of([[0.0], [1.0]], [0, 1])
    gate = JensenShannonGate(0.5, np.random.default_rng(0))
    assert gate.passes(gate.score(own, None))
    assert not gate.passes(gate.score(own, own))
    assert gate.passes(gate.score(own, PrototypeSet.of([[5.0], [9.0]], [0, 1])))
    assert AlwaysGate().passes(AlwaysGate().score(own, own))


def test_gate_threshold_is_on_the_distance_and_exclusive() -> None:
    gate = JensenShannonGate(0.5, np.random.default_rng(0))
    assert not gate.passes(0.5)
    assert gate.passes(0.5000001)


def test_gate_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"between 0 and 1, got 1\.5"):
        JensenShannonGate(1.5, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="points_max"):
        JensenShannonGate(0.5, np.random.default_rng(0), points_max=0)
