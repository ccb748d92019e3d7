"""XuILVQ as a River classifier."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from river import checks, preprocessing

from protovine import XuILVQ
from protovine.errors import SnapshotError
from protovine.stream import DataSet


@pytest.mark.parametrize("check", list(checks.yield_checks(XuILVQ())), ids=lambda check: check.__name__)
def test_river_estimator_contract(check) -> None:
    check(XuILVQ())


@pytest.mark.parametrize("check", list(checks.yield_checks(XuILVQ(size_max=20))), ids=lambda check: check.__name__)
def test_river_estimator_contract_with_a_limit(check) -> None:
    check(XuILVQ(size_max=20))


def samples(data: DataSet, count: int) -> list[tuple[dict, object]]:
    return [
        (dict(zip(data.features, x.tolist(), strict=True)), data.classes[y])
        for x, y in zip(data.x[:count], data.y[:count], strict=True)
    ]


def test_dictionaries_and_arrays_teach_the_same(phishing: DataSet) -> None:
    by_dict, by_array = XuILVQ(), XuILVQ()
    for x, y in samples(phishing, 300):
        by_dict.learn_one(x, y)
    by_array.learn(phishing.x[:300], [phishing.classes[y] for y in phishing.y[:300]])
    assert np.array_equal(by_dict.prototypes.x, by_array.prototypes.x)
    expected = [by_dict.predict_one(x) for x, _ in samples(phishing, 50)]
    assert expected == by_array.predict(phishing.x[:50]).tolist()


def test_probabilities_are_those_of_the_classes_seen() -> None:
    model = XuILVQ()
    assert {} == model.predict_proba_one({"a": 1.0})
    assert model.predict_one({"a": 1.0}) is None
    model.learn_one({"a": 0.0}, "low")
    model.learn_one({"a": 3.0}, "high")
    # Distances 1 and 2: weights 1 and 1/2.
    assert {"low": pytest.approx(2 / 3), "high": pytest.approx(1 / 3)} == model.predict_proba_one({"a": 1.0})


def test_new_and_missing_features_count_as_zero() -> None:
    model = XuILVQ()
    model.learn_one({"a": 1.0}, 0)
    model.learn_one({"b": 1.0, "a": 1.0}, 1)
    assert ("a", "b") == model.features
    assert [[1.0, 0.0], [1.0, 1.0]] == model.prototypes.x.tolist()
    assert 0 == model.predict_one({"a": 1.0})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "text", None])
def test_a_feature_that_is_no_finite_number_is_refused(bad: object) -> None:
    model = XuILVQ()
    model.learn_one({"a": 1.0, "b": 2.0}, 0)
    with pytest.raises(ValueError, match="feature 'b' must be a finite number"):
        model.learn_one({"a": 1.0, "b": bad}, 0)
    assert 1 == len(model)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0, 2.0], [0, 1], r"shape \(n, d\)"),
        ([[1.0], [2.0]], [0], "one label for each of the 2 rows"),
        ([[np.nan]], [0], "finite"),
        ([[1.0, 2.0]], [0], "1 features, got 2"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(x: list, y: list, message: str) -> None:
    model = XuILVQ()
    model.learn([[0.0]], [0])
    with pytest.raises(ValueError, match=message):
        model.learn(x, y)
    assert 1 == len(model)


def test_predicting_arrays_before_learning_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was learnt"):
        XuILVQ().predict([[1.0]])


def test_save_and_load_go_on_alike(phishing: DataSet, tmp_path: Path) -> None:
    model = XuILVQ(size_max=30, compressor="kmeans")
    rows = samples(phishing, 400)
    for x, y in rows[:300]:
        model.learn_one(x, y)
    model.save(tmp_path / "model")
    loaded = XuILVQ.load(tmp_path / "model")
    for each in (model, loaded):
        for x, y in rows[300:]:
            each.learn_one(x, y)
    assert np.array_equal(model.prototypes.x, loaded.prototypes.x)
    assert model.classes == loaded.classes
    assert [tmp_path / "model"] == list(tmp_path.iterdir())


def test_loading_damage_is_refused(tmp_path: Path) -> None:
    model = XuILVQ()
    model.learn_one({"a": 1.0}, 0)
    model.save(tmp_path / "model")
    data = bytearray((tmp_path / "model").read_bytes())
    data[-3] ^= 1
    (tmp_path / "damaged").write_bytes(data)
    with pytest.raises(SnapshotError, match="checksum"):
        XuILVQ.load(tmp_path / "damaged")


def test_pickles_and_clones(phishing: DataSet) -> None:
    model = XuILVQ(n_neighbors=3)
    for x, y in samples(phishing, 100):
        model.learn_one(x, y)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(model.prototypes.x, again.prototypes.x)
    fresh = model.clone()
    assert 3 == fresh.n_neighbors
    assert 0 == len(fresh)


def test_works_in_a_pipeline(phishing: DataSet) -> None:
    model = preprocessing.StandardScaler() | XuILVQ()
    right = 0
    for x, y in samples(phishing, 600):
        right += model.predict_one(x) == y
        model.learn_one(x, y)
    assert right > 450
