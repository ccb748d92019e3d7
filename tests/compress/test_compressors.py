from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from protovine.checks import check_compressor
from protovine.compress import DbscanCompressor, KMeansCompressor, compressor
from protovine.errors import ConfigError
from protovine.prototypes import PrototypeSet


def cloud(n: int, seed: int = 0) -> PrototypeSet:
    draw = np.random.default_rng(seed)
    return PrototypeSet.of(
        draw.normal(size=(n, 3)), draw.integers(0, 3, n), weight=draw.integers(0, 9, n), event_ns=np.arange(n)
    )


@pytest.mark.parametrize("name", ["dbscan", "kmeans", "greedy", "top-greedy"])
def test_every_compressor_keeps_the_contract(name: str) -> None:
    check_compressor(lambda: compressor(name))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("low", "high"), [(50, 60), (72.5, 77.5)])
def test_dbscan_meets_its_target_range(seed: int, low: float, high: float) -> None:
    made = DbscanCompressor(low, high).compress(cloud(80, seed), limit=79)
    assert made.exact
    assert int(low * 0.8) <= len(made.prototypes) <= int(high * 0.8)


def test_dbscan_finds_the_clusters_of_scikit_learn() -> None:
    before = cloud(60)
    method = DbscanCompressor(50, 60)
    after = method.compress(before, limit=50).prototypes
    eps = method.state()["eps"]
    expected = sum(DBSCAN(eps=eps, min_samples=1).fit(before.x[before.label == c]).labels_.max() + 1 for c in range(3))
    assert expected == len(after)


def test_dbscan_search_starts_at_the_radius_of_the_last_call() -> None:
    method = DbscanCompressor(50, 60)
    method.compress(cloud(60, 1), limit=50)
    eps = method.state()["eps"]
    method.compress(cloud(60, 1), limit=50)
    assert eps == method.state()["eps"]
    fresh = DbscanCompressor(50, 60)
    fresh.restore({"eps": eps})
    fresh.compress(cloud(60, 1), limit=50)
    assert eps == fresh.state()["eps"]


def test_a_target_range_that_no_radius_meets_is_approached() -> None:
    # On a grid all nearest neighbours are equally far: below 1 nothing merges, at 1 everything does.
    line = PrototypeSet.of(np.arange(20.0)[:, np.newaxis], np.zeros(20))
    made = DbscanCompressor(50, 60).compress(line, limit=19)
    assert not made.exact
    assert 1 == len(made.prototypes)


def test_identical_prototypes_merge() -> None:
    same = PrototypeSet.of(np.ones((10, 2)), np.zeros(10), weight=np.ones(10))
    made = DbscanCompressor(50, 60).compress(same, limit=5).prototypes
    assert 1 == len(made)
    assert 10 == made.weight.sum()


def test_authors_weights_index_the_whole_set_by_positions_within_the_class() -> None:
    far = PrototypeSet.of([[0.0], [10.0], [10.1], [0.1]], [0, 1, 1, 0], weight=[1, 2, 4, 8])
    by_rule = {rule: DbscanCompressor(50, 50, weights=rule).compress(far, 3).prototypes for rule in ("sum", "authors")}
    assert [9, 6] == by_rule["sum"].weight.tolist()
    assert [3, 3] == by_rule["authors"].weight.tolist()  # Positions 0 and 1 of the whole set, for both classes.
    assert by_rule["sum"].x.tolist() == by_rule["authors"].x.tolist()


def test_kmeans_size_is_a_percentage_of_the_limit() -> None:
    made = KMeansCompressor(50, 60).compress(cloud(80), limit=40).prototypes
    assert abs(len(made) - 22) <= 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dbscam", {}, "did you mean 'dbscan'"),
        ("dbscan", {"low": 0}, "0 < low <= high <= 100"),
        ("kmeans", {"low": 70, "high": 60}, "got 70 and 60"),
        ("dbscan", {"weights": "mean"}, "sum, authors"),
        ("dbscan", {"eps": 0.0}, "eps must be > 0"),
        ("kmeans", {"seed": -1}, "seed must be >= 0"),
        ("greedy", {"low": 70, "high": 60}, "got 70 and 60"),
        ("top-greedy", {"weights": "authors"}, "must be 'sum', got 'authors'"),
        ("greedy", {"scale": [1.0, -1.0]}, "finite numbers >= 0"),
        ("greedy", {"scale": [[1.0]]}, "one per feature"),
    ],
)
def test_options_out_of_range_are_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compressor(name, **options)
