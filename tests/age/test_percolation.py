"""Percolation: samples that must agree with exact ages, and graphs made quickly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from protovine.age import (
    PushRates,
    ball_age,
    complete_age,
    complete_push_age,
    exact_age,
    exact_push_age,
    percolation_age,
    random_regular,
    ring_age,
    ring_push_age,
)
from protovine.errors import ConfigError
from protovine.topology import neighbours


@pytest.mark.parametrize(("spec", "n"), [("ring", 5), ("full", 6), ("star", 5), ("grid", 9), ("small-world:4,0.3", 9)])
@pytest.mark.parametrize("to_all", [False, True])
def test_every_node_agrees_with_the_recursion(spec: str, n: int, to_all: bool) -> None:
    graph = neighbours(spec, n)
    age = percolation_age(PushRates.push(graph, 0.7, to_all), origin=0, draws=3000, confidence=0.999)
    moments = [exact_push_age(graph, 0, node, 0.7, fanout=n if to_all else 1, moments=2) for node in range(1, n)]
    exact, second = np.array(moments).T
    assert age.low_s <= exact.mean() <= age.high_s
    assert age.node_mean_s == pytest.approx(exact, abs=5 * math.sqrt(np.max(second - exact**2) / 3000))
    assert age.variance == pytest.approx(np.mean(second) - exact.mean() ** 2, rel=0.15)


def test_intervals_cover_exact_ages_about_an_outside_source() -> None:
    source, links = [1, 0, 0.5], [[0, 2, 1], [1, 0, 3], [0.5, 1, 0]]
    for node in range(3):
        age = percolation_age(PushRates.rates(links), source_hz=source, targets=[node], draws=4000, confidence=0.999)
        assert age.low_s <= exact_age(source, links, node)[0] <= age.high_s
    age = percolation_age(PushRates.push(neighbours("full", 50)), source_hz=np.full(50, 1 / 50), draws=400)
    assert age.low_s <= complete_age(50, 1, 1)[0] <= age.high_s
    assert 50 == len(age.node_mean_s)
    age = percolation_age(PushRates.push(neighbours("star", 5), to_all=True), source_hz=[0, 1, 0, 0, 0], draws=4000)
    assert age.low_s <= 1 + (3 * 2 + 1) / 5 <= age.high_s  # 1, then the hub after 1 more, the leaves after 2.


def test_intervals_cover_exact_ages_about_random_origins() -> None:
    age = percolation_age(PushRates.push(neighbours("full", 40)), draws=400, seed=1)
    assert age.low_s <= complete_push_age(40, 1)[0] <= age.high_s
    ring = percolation_age(PushRates.push(neighbours("ring", 40)), draws=400, seed=1)
    assert ring.low_s <= np.mean([ring_push_age(40, d, 1)[0] for d in range(1, 40)]) <= ring.high_s


def test_the_interval_holds_as_often_as_it_says() -> None:
    graph, exact = PushRates.push(neighbours("grid", 9)), exact_push_age(neighbours("grid", 9), 0, 8, 1)[0]
    held = 0
    for seed in range(200):
        age = percolation_age(graph, origin=0, targets=[8], draws=20, confidence=0.9, seed=seed)
        held += age.low_s <= exact <= age.high_s
    assert 0.82 <= held / 200 <= 0.97


def test_one_seed_one_result() -> None:
    graph = PushRates.push(random_regular(100, 4, seed=3))
    one, same, other = (percolation_age(graph, origin=0, draws=3, seed=seed) for seed in (1, 1, 2))
    assert one.draw_mean_s.tolist() == same.draw_mean_s.tolist() != other.draw_mean_s.tolist()
    assert (random_regular(100, 4, 3) != random_regular(100, 4, 3)).nnz == 0
    assert (random_regular(100, 4, 3) != random_regular(100, 4, 4)).nnz > 0


@settings(max_examples=30)
@given(st.integers(2, 40), st.integers(1, 20), st.integers(0, 1000))
def test_random_regular_graphs_are_simple(n: int, degree: int, seed: int) -> None:
    degree = min(degree, n // 2)
    if n * degree % 2:
        with pytest.raises(ConfigError, match="must be even"):
            random_regular(n, degree, seed)
        return
    graph = random_regular(n, degree, seed)
    assert (graph.sum(axis=0) == degree).all() and (graph != graph.T).nnz == 0
    assert graph.data.max() == 1 and graph.diagonal().sum() == 0


def test_pairs_of_a_random_regular_graph_are_equally_likely() -> None:
    total = sum(random_regular(8, 3, seed).toarray() for seed in range(600))
    off = total[~np.eye(8, dtype=bool)] / 600
    assert off == pytest.approx(np.full(56, 3 / 7), abs=0.1)


def test_ball_age_is_exact_on_complete_graphs_and_rings() -> None:
    for n in (5, 30):
        ring, full = PushRates.push(neighbours("ring", n)), PushRates.push(neighbours("full", n))
        assert ring_age(n, 1, 1)[0] == pytest.approx(ball_age(ring, 2, source_hz=1))
        assert complete_age(n, 2, 1)[0] == pytest.approx(ball_age(full, 2, source_hz=2))
        assert complete_push_age(n, 1)[0] == pytest.approx(ball_age(full, 0))
        assert np.mean([ring_push_age(n, d, 1)[0] for d in range(1, n)]) == pytest.approx(ball_age(ring, 0))


def test_ball_age_is_close_on_random_graphs() -> None:
    graph = PushRates.push(random_regular(3000, 4))
    age = percolation_age(graph, draws=60)
    assert age.mean_s == pytest.approx(ball_age(graph, 0), rel=0.15)


def test_nodes_without_links_are_reached_by_the_source_only() -> None:
    lonely = PushRates.rates(sparse.csr_array((2, 2)))
    assert 2 == ball_age(lonely, 0, source_hz=1)
    age = percolation_age(lonely, source_hz=[0.5, 0.5], draws=4000)
    assert age.low_s <= 2 <= age.high_s


@pytest.mark.slow
def test_a_large_random_graph_is_sampled_within_known_bounds() -> None:
    graph = PushRates.push(random_regular(100_000, 4))
    age = percolation_age(graph, draws=5)
    assert 15 < age.low_s < age.mean_s < age.high_s < 26


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: percolation_age(g, draws=1), "draws must be >= 2, got 1"),
        (lambda g: percolation_age(g, confidence=1), "confidence must be between 0 and 1, both excluded, got 1"),
        (lambda g: percolation_age(g, origin=3), "origin must be between 0 and 2, got 3"),
        (lambda g: percolation_age(g, targets=[3]), r"targets must be nodes between 0 and 2, got \[3\]"),
        (lambda g: percolation_age(g, targets=[]), r"targets must be nodes between 0 and 2, got \[\]"),
        (lambda g: percolation_age(g, origin=0, source_hz=[1, 1, 1]), "must not both be given"),
        (lambda g: percolation_age(g, source_hz=[1, 1]), "source_hz must be 3 finite numbers >= 0"),
        (lambda g: percolation_age(g, source_hz=[0, 0, 0]), "no path leads from the source to node 0"),
        (lambda g: percolation_age(PushRates.push([[1], [0], []]), origin=0), "no path leads from node 0 to node 2"),
        (lambda g: ball_age(PushRates.push([[1], [0], []]), 0), "no path leads from node 2 to node 0"),
        (lambda g: ball_age(g, 3), "node must be between 0 and 2, got 3"),
        (lambda g: ball_age(g, 0, source_hz=0), "source_hz must be a finite number > 0, got 0"),
        (lambda g: ball_age(PushRates.push([[1], [0]], to_all=True), 0), "got a push to all neighbours"),
        (lambda g: PushRates.push([[1], [0]], 0), "push_hz must be finite and > 0, got 0.0"),
        (lambda g: PushRates.push([[1], [1]]), "neighbours of node 1 must be other nodes between 0 and 1, got 1"),
        (lambda g: PushRates.push([[2], [0]]), "neighbours of node 0 must be other nodes between 0 and 1, got 2"),
        (lambda g: PushRates.push([]), "nodes must be >= 1, got 0"),
        (lambda g: PushRates.push(sparse.csr_array((2, 3))), r"square matrix, got shape \(2, 3\)"),
        (lambda g: PushRates.rates([[0, -1], [0, 0]]), "rates must be finite and >= 0, got -1.0"),
        (lambda g: PushRates.rates(np.ones((2, 3))), r"rates must be a square matrix, got shape \(2, 3\)"),
        (lambda g: percolation_age(PushRates.rates([[0]])), "nodes must be >= 2 without source_hz, got 1"),
        (lambda g: random_regular(5, 3), "degree must be between 1 and 2, got 3"),
        (lambda g: random_regular(7, 3), "nodes times degree must be even, got 7 times 3"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call(PushRates.push([[1, 2], [0, 2], [0, 1]]))


def test_rates_leave_the_matrix_as_it_was() -> None:
    matrix = sparse.csr_array(np.array([[1.0, 2.0], [0.5, 3.0]]))
    assert [2.0, 0.5] == PushRates.rates(matrix).rate_hz.tolist()
    assert [[1, 2], [0.5, 3]] == matrix.toarray().tolist()
