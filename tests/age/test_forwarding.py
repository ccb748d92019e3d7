"""Forwarding: exact values, and two independent ways to compute each."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, special

from protovine.age import (
    complete_age,
    complete_push_age,
    exact_age,
    exact_push_age,
    line_age,
    line_push_age,
    path_age,
    ring_age,
    ring_push_age,
    star_age,
    star_push_age,
    version_moments,
)
from protovine.errors import ConfigError
from protovine.topology import neighbours

# Rates of three different nodes: from the source, and from node i to node j.
SOURCE, LINKS = [1, 0, 0.5], [[0, 2, 1], [1, 0, 3], [0.5, 1, 0]]


def uniform(spec: str, n: int, source_hz: float = 1.0, push_hz: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Yates' rates: the source divides its rate evenly over nodes, each node its own over its neighbours."""
    rates = np.zeros((n, n))
    for i, peers in enumerate(neighbours(spec, n)):
        rates[i, peers] = push_hz / len(peers)
    return np.full(n, source_hz / n), rates


# Yates' recursion in fractions, with λ_e = λ_0 = λ = 1, so that the age is also the mean version age.
YATES = [
    ("full", 2, 0, Fraction(4, 3)),
    ("full", 3, 0, Fraction(33, 20)),
    ("full", 5, 0, Fraction(5045, 2394)),
    ("full", 10, 0, Fraction(102678811939740, 36836695314419)),
    ("ring", 3, 0, Fraction(33, 20)),  # v_j = (1 + v_(j+1)) / (j/n + 1)
    ("ring", 4, 0, Fraction(68, 35)),
    ("ring", 5, 0, Fraction(6695, 3024)),
    ("ring", 6, 0, Fraction(1899, 770)),
    ("ring", 7, 0, Fraction(1112951, 411840)),
    ("ring", 8, 0, Fraction(5928424, 2027025)),
    ("ring", 9, 0, Fraction(31039353, 9900800)),
    ("ring", 10, 0, Fraction(58226695, 17459442)),
    ("star", 5, 0, Fraction(21715, 13923)),
    ("star", 5, 1, Fraction(17860, 5967)),
    ("grid", 9, 0, Fraction(2836835992541291945332959, 863270188297841991291625)),
    ("grid", 9, 1, Fraction(99618017267692889815847904, 35394077720211521642956625)),
    ("grid", 9, 4, Fraction(1580980777436753793, 625487293905599125)),
]


@pytest.mark.parametrize(("spec", "n", "node", "age"), YATES)
def test_recursion_over_sets_gives_the_ages_of_yates(spec: str, n: int, node: int, age: Fraction) -> None:
    assert float(age) == pytest.approx(exact_age(*uniform(spec, n), node)[0], abs=1e-9)


@pytest.mark.parametrize(("spec", "n", "node", "age"), [row for row in YATES if row[0] != "grid"])
def test_recursion_over_sizes_gives_the_ages_of_yates(spec: str, n: int, node: int, age: Fraction) -> None:
    if spec == "full":
        value = complete_age(n, 1, 1)
    elif spec == "ring":
        value = ring_age(n, 1, 1)
    else:
        value = star_age(n, 1, 1)[node]
    assert float(age) == pytest.approx(value[0], abs=1e-9)


def test_larger_graphs_and_lines_have_the_known_ages() -> None:
    assert 5.151810163674706 == pytest.approx(complete_age(100, 1, 1)[0], abs=1e-9)
    assert 11.877219321353223 == pytest.approx(ring_age(100, 1, 1)[0], abs=1e-9)
    ends, inner = 50 / 21, 452 / 245
    assert [ends, inner, inner, ends] == pytest.approx(line_age(4, 1, 1)[:, 0], abs=1e-9)
    path = np.diag([1, 0.5, 0.5], 1) + np.diag([0.5, 0.5, 1], -1)
    for node, age in enumerate([ends, inner, inner, ends]):
        assert age == pytest.approx(exact_age(np.full(4, 0.25), path, node)[0], abs=1e-9)


def test_second_moments_are_exact() -> None:
    ages = complete_age(5, 1, 1, moments=2)
    assert 19346525 / 2865618 == pytest.approx(ages[1], abs=1e-9)
    assert 30025 / 12996 == pytest.approx(ages[1] - ages[0] ** 2, abs=1e-9)
    assert ages == pytest.approx(exact_age(*uniform("full", 5), 0, moments=2), abs=1e-9)
    versions = version_moments(ages, version_hz=1.0)
    assert 5045 / 2394 == pytest.approx(versions[0], abs=1e-9)
    assert 401885 / 90972 == pytest.approx(versions[1] - versions[0] ** 2, abs=1e-9)  # E[A] + Var A


def test_three_different_nodes_have_the_known_ages() -> None:
    for node, age in enumerate([64 / 75, 121 / 105, 178 / 189]):
        assert age == pytest.approx(exact_age(SOURCE, LINKS, node)[0], abs=1e-9)
    assert 1496 / 1125 == pytest.approx(exact_age(SOURCE, LINKS, 0, moments=2)[1], abs=1e-9)


@pytest.mark.parametrize(
    ("n", "s", "age"), [(5, 1, 25 / 12), (5, 2, 13 / 10), (5, 3, 13 / 12), (10, 2, 153337 / 90090)]
)
def test_pushes_to_random_peers_have_the_known_ages(n: int, s: int, age: float) -> None:
    # 1/((n-1)μ) Σ_k 1/(1 - C(n-1-k, s)/C(n-1, s))
    assert age == pytest.approx(complete_push_age(n, 1, s)[0], abs=1e-9)
    assert age == pytest.approx(exact_push_age(neighbours("full", n), 0, n - 1, 1, s)[0], abs=1e-9)


def test_pushes_on_rings_and_lines_have_the_known_ages() -> None:
    assert 147 / 50 == pytest.approx(complete_push_age(5, 1, 2, moments=2)[1], abs=1e-9)
    for distance, age in ((1, 15 / 8), (2, 25 / 8)):
        assert age == pytest.approx(ring_push_age(5, distance, 1)[0], abs=1e-9)
        assert age == pytest.approx(exact_push_age(neighbours("ring", 5), 0, distance, 1)[0], abs=1e-9)
    assert 3 == pytest.approx(line_push_age(3, 0, 2, 1)[0], abs=1e-9)  # 1/1 + 1/(1/2)
    assert 3 == pytest.approx(exact_push_age([[1], [0, 2], [1]], 0, 2, 1)[0], abs=1e-9)


@pytest.mark.parametrize("s", [1, 2])
@pytest.mark.parametrize("n", [3, 4, 7, 8])
def test_rings_by_arcs_equal_the_recursion_over_sets(n: int, s: int) -> None:
    for distance in range(1, n):
        by_sets = exact_push_age(neighbours("ring", n), 0, distance, 1.7, s, moments=3)
        assert by_sets == pytest.approx(ring_push_age(n, distance, 1.7, s, moments=3), rel=1e-9)


def test_a_ring_is_the_smaller_of_two_sums() -> None:
    def both_late(x: float) -> float:
        return float(special.gammaincc(60, x / 2) * special.gammaincc(100, x / 2))

    mean = integrate.quad(both_late, 0, 60)[0] + integrate.quad(both_late, 60, 400, limit=200)[0]
    assert mean == pytest.approx(ring_push_age(160, 60, 1)[0], rel=1e-9)


@pytest.mark.parametrize("s", [1, 2])
def test_lines_and_stars_equal_the_recursion_over_sets(s: int) -> None:
    line = [[j for j in (i - 1, i + 1) if 0 <= j < 6] for i in range(6)]
    for origin, node in ((0, 5), (5, 0), (2, 4), (3, 3), (1, 0)):
        by_sets = exact_push_age(line, origin, node, 1.3, s, moments=3)
        assert by_sets == pytest.approx(line_push_age(6, origin, node, 1.3, s, moments=3), rel=1e-9)
    star = star_push_age(6, 1.3, s, moments=2)
    for name, origin, node in (("hub about leaf", 1, 0), ("leaf about hub", 0, 1), ("leaf about leaf", 1, 2)):
        assert star[name] == pytest.approx(exact_push_age(neighbours("star", 6), origin, node, 1.3, s, moments=2))


@pytest.mark.parametrize(("s", "loss"), [(1, 0.3), (3, 0.3), (6, 0.3), (3, 0.0), (4, 0.95)])
def test_loss_on_complete_graphs_equals_the_recursion_over_sets(s: int, loss: float) -> None:
    by_sets = exact_push_age(neighbours("full", 7), 2, 5, 0.8, s, loss, moments=3)
    assert by_sets == pytest.approx(complete_push_age(7, 0.8, s, loss, moments=3), rel=1e-9)
    # Without forwarding the age is not smaller.
    assert by_sets[0] <= 6 / (0.8 * s * (1 - loss)) * (1 + 1e-12)


def test_hit_probability_equals_enumeration() -> None:
    # All 10 choices of 2 of 5 peers, 3 of which count; each message is lost with probability 0.4.
    pairs = [(a, b) for a in range(5) for b in range(a)]
    hit = np.mean([1 - 0.4 ** sum(x < 3 for x in pair) for pair in pairs])
    fan_in = [[1, 2, 3, 4, 5], [], [], [], [], []]
    # No node forwards, so the age of node 1 is that of direct push to it.
    assert 1 / (2 / 5 * 0.6) == pytest.approx(exact_push_age(fan_in, 0, 1, 1, 2, 0.4)[0])
    collect = [[1, 2, 3, 4, 5], [6], [6], [6], [], [], []]
    # The three relays are sure to be in the set if each of them pushes much more often than the origin.
    fast = exact_age([0, 0, 0, 0], np.zeros((4, 4)), 0)
    assert math.inf == fast[0]
    relays = np.zeros((4, 4))
    relays[:3, 3] = 1e9
    assert 1 / hit == pytest.approx(exact_age([0, 0, 0, hit], relays, 3)[0])
    assert exact_push_age(collect, 0, 6, 1, 2, 0.4)[0] > 1 / hit


def test_unreachable_nodes_are_infinitely_old() -> None:
    assert [math.inf] * 2 == exact_age([1, 0], np.zeros((2, 2)), 1, moments=2).tolist()
    assert [math.inf] == exact_push_age([[1], [0], [3], [2]], 0, 2, 1).tolist()
    assert [math.inf] == exact_push_age([[1], [0]], 0, 1, 1, loss=1.0).tolist()
    assert math.isfinite(exact_push_age([[1], [0], [3], [2]], 0, 1, 1)[0])
    assert [0, 0] == exact_push_age([[1], [0]], 1, 1, 1, moments=2).tolist()


def test_a_hundred_thousand_nodes_follow_the_scaling_laws() -> None:
    harmonic = float(np.sum(1 / np.arange(1, 100_000)))
    assert harmonic == pytest.approx(complete_push_age(100_000, 1)[0], rel=1e-9)
    # v grows as sqrt(π n / 2) on a ring, as ln n on a complete graph.
    assert math.sqrt(math.pi / 2 * 1e5) == pytest.approx(ring_age(100_000, 1, 1)[0], rel=0.01)
    assert math.log(1e5) + np.euler_gamma == pytest.approx(complete_age(100_000, 1, 1)[0], rel=0.01)


SMALL = st.integers(2, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from([0.0, 0.3, 1.0, 2.5]), min_size=n, max_size=n),
        st.lists(st.sampled_from([0.0, 0.0, 0.2, 1.0, 4.0]), min_size=n * n, max_size=n * n),
        st.integers(0, n - 1),
        st.integers(0, n - 1),
        st.integers(0, n - 1),
    )
)


@given(SMALL, st.floats(0.01, 3))
def test_another_link_or_a_higher_rate_never_raises_the_age(graph: tuple, more: float) -> None:
    source, rates, node, i, j = graph
    links = np.array(rates).reshape(len(source), -1)
    before = exact_age(source, links, node, moments=2)
    links[i, j] += more
    assert (exact_age(source, links, node, moments=2) <= before * (1 + 1e-12)).all()
    source[i] += more
    assert (exact_age(source, links, node, moments=2) <= before * (1 + 1e-12)).all()


@given(SMALL, st.floats(0.01, 100))
def test_rates_scale_ages(graph: tuple, c: float) -> None:
    source, rates, node, _, _ = graph
    links = np.array(rates).reshape(len(source), -1)
    before = exact_age(source, links, node, moments=3)
    assume(np.isfinite(before).all())
    after = exact_age(np.array(source) * c, links * c, node, moments=3)
    assert before / c ** np.arange(1, 4) == pytest.approx(after, rel=1e-9)


@given(st.integers(2, 200), st.data())
def test_a_larger_fanout_never_raises_the_age(n: int, data: st.DataObject) -> None:
    s = data.draw(st.integers(1, n - 1))
    ages = [complete_push_age(n, 1, k)[0] for k in {s, min(s + 1, n - 1)}]
    assert max(ages) == pytest.approx(complete_push_age(n, 1, s)[0])
    assert ages[0] >= 1 - 1e-9  # All at once, by the origin itself.


def test_ages_along_a_path_add_up() -> None:
    assert [3, 14] == pytest.approx(path_age([1, 0.5], moments=2))
    # Erlang(4, 2): k(k+1)(k+2)/rate³.
    assert [2, 5, 15] == pytest.approx(path_age([2] * 4, moments=3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: exact_age(np.ones(17), np.ones((17, 17)), 0), "nodes must be between 1 and 16, got 17"),
        (lambda: exact_age([1, 1], np.ones((3, 3)), 0), r"rates must have shape \(2, 2\), got \(3, 3\)"),
        (lambda: exact_age([1, -1], np.ones((2, 2)), 0), "source_rates must be finite and >= 0, got -1.0 at 1"),
        (lambda: exact_age([1, 1], [[0, -2], [0, 0]], 0), r"rates must be finite and >= 0, got -2.0 at \(0, 1\)"),
        (lambda: exact_age([1, 1], np.ones((2, 2)), 2), "node must be between 0 and 1, got 2"),
        (lambda: exact_age([1], [[0]], 0, moments=0), "moments must be >= 1, got 0"),
        (lambda: exact_push_age([[1], [0]], 0, 1, 0), "push_hz must be a finite number > 0, got 0"),
        (lambda: exact_push_age([[1], [0]], 0, 1, 1, fanout=0), "fanout must be >= 1, got 0"),
        (lambda: exact_push_age([[0], [0]], 0, 1, 1), "neighbours of node 0 must be different nodes"),
        (lambda: exact_push_age([[1], [0]], 0, 1, 1, loss=1.5), "loss must be between 0 and 1, got 1.5"),
        (lambda: complete_push_age(5, 1, fanout=5), "fanout must be between 1 and 4, got 5"),
        (lambda: complete_push_age(1, 1), "nodes must be >= 2, got 1"),
        (lambda: complete_age(5, -1, 1), "source_hz must be a finite number > 0, got -1"),
        (lambda: complete_age(5, 1, 0), "push_hz must be a finite number > 0, got 0"),
        (lambda: ring_age(2, 1, 1), "nodes must be >= 3, got 2"),
        (lambda: ring_push_age(5, 5, 1), "distance must be between 1 and 4, got 5"),
        (lambda: ring_push_age(5, 1, 1, fanout=3), "fanout must be between 1 and 2, got 3"),
        (lambda: line_age(1, 1, 1), "nodes must be >= 2, got 1"),
        (lambda: line_push_age(3, 0, 3, 1), "node must be between 0 and 2, got 3"),
        (lambda: star_age(5, 0, 1), "source_hz must be a finite number > 0, got 0"),
        (lambda: star_push_age(5, 1, fanout=5), "fanout must be between 1 and 4, got 5"),
        (lambda: path_age([1, 0]), "rates must be a list of finite numbers > 0"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


def test_all_nodes_at_once_equal_one_by_one() -> None:
    links = [[1, 2], [0, 3], [0, 3], [1, 2, 4], [3]]
    together = exact_push_age(links, 1, None, 2.0, moments=2)
    for node in range(5):
        assert np.allclose(together[node], exact_push_age(links, 1, node, 2.0, moments=2), rtol=1e-12, atol=0)
    rates = np.array([[0, 2, 1], [1, 0, 3], [0.5, 1, 0]])
    together = exact_age([1, 0, 0.5], rates, moments=2)
    for node in range(3):
        assert np.allclose(together[node], exact_age([1, 0, 0.5], rates, node, moments=2), rtol=1e-12, atol=0)
