"""The hedged LVQ as a River classifier."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest
from river import checks, compose, preprocessing

from protovine import HedgedLVQ, XuILVQ
from protovine.errors import SnapshotError
from protovine.learn import HedgedLVQCore
from protovine.prototypes import FEATURE_MAX
from protovine.stream import DataSet
from tests.learn.hedged.streams import SECOND, blobs


@pytest.mark.parametrize("check", list(checks.yield_checks(HedgedLVQ())), ids=lambda check: check.__name__)
def test_river_estimator_contract(check) -> None:
    check(HedgedLVQ())


def samples(data: DataSet, count: int) -> list[tuple[dict, object]]:
    return [
        (dict(zip(data.features, x.tolist(), strict=True)), data.classes[y])
        for x, y in zip(data.x[:count], data.y[:count], strict=True)
    ]


def test_defaults_are_those_of_the_core() -> None:
    core = inspect.signature(HedgedLVQCore).parameters
    for name, parameter in inspect.signature(HedgedLVQ).parameters.items():
        assert name == "absent" or core[name].default == parameter.default, name


def test_dictionaries_and_arrays_teach_the_same(phishing: DataSet) -> None:
    by_dict, by_array = HedgedLVQ(), HedgedLVQ()
    rows = samples(phishing, 300)
    for x, y in rows:
        by_dict.learn_one(x, y)
    by_array.learn(phishing.x[:300], [y for _, y in rows])
    assert np.array_equal(by_dict.prototypes.x, by_array.prototypes.x)
    expected = [by_dict.predict_one(x) for x, _ in rows[:50]]
    assert expected == by_array.predict(phishing.x[:50]).tolist()
    assert [by_dict.predict_proba_one(x)[by_dict.classes[0]] for x, _ in rows[:50]] == pytest.approx(
        by_array.predict_proba(phishing.x[:50])[:, 0].tolist(), abs=0
    )


@pytest.mark.parametrize("missing", [None, float("nan"), "absent"])
def test_a_missing_value_counts_as_the_mean_so_far(missing: object) -> None:
    model = HedgedLVQ()
    for a, b, y in ((0.0, 1.0, 0), (1.0, 2.0, 1), (0.2, 3.0, 0), (0.8, 6.0, 1)):
        model.learn_one({"a": a, "b": b}, y)
    x = {"a": 0.9} if missing == "absent" else {"a": 0.9, "b": missing}
    assert model.predict_proba_one({"a": 0.9, "b": 3.0}) == model.predict_proba_one(x)
    full = pickle.loads(pickle.dumps(model))
    model.learn_one(x, 1)
    full.learn_one({"a": 0.9, "b": 3.0}, 1)
    assert np.array_equal(full.prototypes.x, model.prototypes.x)


def test_a_new_measurement_counts_as_its_first_value_before_and_only_once_it_has_one() -> None:
    model = HedgedLVQ(absent="missing")
    model.learn_one({"a": 1.0}, "x")
    model.learn_one({"a": 2.0, "pressure": None}, "y")
    assert ("a",) == model.features
    model.learn_one({"a": 5.0, "pressure": 1013.0}, "z")
    assert ("a", "pressure") == model.features
    assert {1013.0} == set(model.prototypes.x[:, 1])
    assert ("x", "y", "z") == model.classes


@pytest.mark.parametrize("bad", [float("inf"), -float("inf"), 2e38, "text"])
def test_a_feature_that_is_no_usable_number_is_named_and_nothing_is_learnt(bad: object) -> None:
    model = HedgedLVQ()
    model.learn_one({"a": 1.0, "b": FEATURE_MAX}, 0)
    for x in ({"a": 1.0, "b": bad}, {"a": bad, "new": 1.0}):
        with pytest.raises(ValueError, match=f"feature '{'b' if 'b' in x else 'a'}' must be a finite number"):
            model.learn_one(x, 0)
    assert (1, ("a", "b")) == (len(model), model.features)


def test_arrays_may_have_gaps_but_nothing_infinite() -> None:
    model = HedgedLVQ()
    with pytest.raises(ValueError, match="finite"):
        model.learn([[np.inf]], [0])
    with pytest.raises(ValueError, match="nothing was learnt"):
        model.predict([[1.0]])
    model.learn([[np.nan, 1.0], [2.0, np.nan], [3.0, 4.0]], list("aba"))
    assert ["a", "b"] == sorted(set(model.predict([[3.0, 4.0], [2.0, np.nan]])))
    with pytest.raises(ValueError, match="whole number within"):
        model.learn([[1.0, 2.0]], ["a"], t_ns=[1.5])
    assert pytest.approx(1) == model.predict_proba([[1.0, np.nan]]).sum()


def test_times_count_instead_of_calls_where_they_are_given() -> None:
    counted, timed = HedgedLVQ(), HedgedLVQ()
    x, codes = blobs(60)
    for i, (row, code) in enumerate(zip(x.tolist(), codes.tolist(), strict=True)):
        sample = dict(enumerate(row))
        assert counted.predict_proba_one(sample) == timed.predict_proba_one(sample, t_ns=(i + 1) * SECOND)
        counted.learn_one(sample, code)
        timed.learn_one(sample, code, t_ns=(i + 1) * SECOND)
    assert np.array_equal(counted.prototypes.event_ns, timed.prototypes.event_ns)
    by_rows = HedgedLVQ()
    by_rows.learn(x, codes, t_ns=(1 + np.arange(60)) * SECOND)
    assert np.array_equal(counted.prototypes.x, by_rows.prototypes.x)
    sample = {0: 1.5, 1: 1.5}
    assert timed.predict_proba_one(sample) != timed.predict_proba_one(sample, t_ns=10**15)
    for t_ns in (2**62 + 1, -(2**63)):
        with pytest.raises(ValueError, match="t_ns"):
            timed.learn_one(sample, 0, t_ns=t_ns)
        with pytest.raises(ValueError, match="t_ns"):
            by_rows.learn([[1.5, 1.5]], [0], t_ns=[t_ns])


def test_times_pass_through_a_pipeline() -> None:
    model = compose.Pipeline(preprocessing.StandardScaler(), HedgedLVQ())
    model.learn_one({"a": 1.0}, 0, t_ns=5)
    model.learn_one({"a": 2.0}, 1, t_ns=77)
    assert 1 == model.predict_one({"a": 2.0}, t_ns=78)
    assert 77 == model["HedgedLVQ"].prototypes.event_ns.max()


def test_an_explanation_names_prototypes_and_adds_up(phishing: DataSet) -> None:
    model = HedgedLVQ()
    assert ({}, [], {}, 0.0, {}) == model.explain_one({"a": 1.0})
    for x, y in samples(phishing, 400):
        model.learn_one(x, y)
    x = samples(phishing, 401)[-1][0]
    model.learn_received_one(x, True, 12)
    why = model.explain_one(x)
    assert model.predict_proba_one(x) == why.probabilities
    for label, probability in why.probabilities.items():
        parts = [each.adds for each in why.prototypes if each.label == label]
        assert sum(parts) + why.linear[label] + why.doubt + why.pool[label] == pytest.approx(probability, abs=1e-12)
    added = [each.adds for each in why.prototypes]
    assert sorted(added, reverse=True) == added and min(added) > 0
    assert set(phishing.features) == why.prototypes[0].values.keys()
    assert {None, 12} == {each.origin for each in why.prototypes}
    assert all(1 <= each.age <= 401 and each.weight > 0 for each in why.prototypes)


def test_a_received_prototype_is_learnt_by_name() -> None:
    model = HedgedLVQ()
    model.learn_one({"a": 0.0, "b": 1.0}, "low")
    model.learn_received_one({"b": 5.0, "a": 9.0}, "high", 3, weight=4.0)
    assert ("low", "high") == model.classes
    assert [[0.0, 1.0], [9.0, 5.0]] == model.prototypes.x.tolist()
    with pytest.raises(ValueError, match="weight"):
        model.learn_received_one({"a": 1.0}, "high", 3, weight=0.0)
    for origin in (-1, 2**63):
        before = pickle.dumps(model)
        with pytest.raises(ValueError, match="origin must be a node from 0 to"):
            model.learn_received_one({"new": 1.0}, "new", origin)
        assert before == pickle.dumps(model)


def test_save_and_load_go_on_alike(phishing: DataSet, tmp_path: Path) -> None:
    model = HedgedLVQ(size_max=30, margin=0.3)
    rows = samples(phishing, 400)
    for x, y in rows[:300]:
        model.learn_one(x, y)
    model.learn_received_one(rows[0][0], rows[0][1], 5)
    model.save(tmp_path / "model")
    loaded = HedgedLVQ.load(tmp_path / "model")
    for each in (model, loaded):
        for x, y in rows[300:]:
            each.learn_one(x, y)
    assert np.array_equal(model.prototypes.x, loaded.prototypes.x)
    assert (model.classes, 0.3) == (loaded.classes, loaded.margin)
    assert [tmp_path / "model"] == list(tmp_path.iterdir())
    with pytest.raises(SnapshotError, match="holds no XuILVQ"):
        XuILVQ.load(tmp_path / "model")


@pytest.mark.parametrize(
    "name", [np.datetime64("2020-01-01"), np.timedelta64(5, "s"), float("nan"), (1, 2), b"a", 1j], ids=repr
)
def test_what_would_be_something_else_in_a_file_is_not_saved(name: object, tmp_path: Path) -> None:
    for x, y in (({name: 1.0}, 0), ({"a": 1.0}, name)):
        model = HedgedLVQ()
        model.learn_one(x, y)
        if model.classes:  # NaN is no label.
            with pytest.raises(TypeError, match="text or numbers to be saved"):
                model.save(tmp_path / "model")
            assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [HedgedLVQ, XuILVQ])
def test_a_learner_with_a_limit_that_is_never_reached_can_be_saved(kind: type, tmp_path: Path) -> None:
    model = kind(size_max=10**9)
    model.learn_one({"a": 1.0}, 0)
    model.save(tmp_path / "model")
    assert 10**9 == kind.load(tmp_path / "model").size_max


@pytest.mark.parametrize("kind", [HedgedLVQ, XuILVQ])
def test_a_pickle_in_memory_that_is_read_only_learns_on(kind: type, phishing: DataSet) -> None:
    model, buffers = kind(), []
    rows = samples(phishing, 200)
    for x, y in rows[:100]:
        model.learn_one(x, y)
    data = pickle.dumps(model, 5, buffer_callback=buffers.append)
    twin = pickle.loads(data, buffers=[bytes(each) for each in buffers])
    for each in (model, twin):
        for x, y in rows[100:]:
            each.learn_one(dict(x, new=1.0), y)
    assert np.array_equal(model.prototypes.x, twin.prototypes.x)
    assert model.predict_proba_one(rows[0][0]) == twin.predict_proba_one(rows[0][0])
