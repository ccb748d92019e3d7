"""What a key counts as that a dictionary lacks: 0 in sparse data, the mean so far of a measurement that dropped out."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from river import feature_extraction, preprocessing

from protovine import HedgedLVQ
from protovine.errors import ConfigError, SnapshotError

ROWS = 400


def accuracy(model, samples: list[tuple[dict, int]]) -> float:
    """Prequential accuracy over the second half."""
    right = 0
    for i, (x, y) in enumerate(samples):
        right += i >= len(samples) // 2 and model.predict_one(x) == y
        model.learn_one(x, y)
    return right / (len(samples) - len(samples) // 2)


def labels() -> tuple[np.random.Generator, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw, draw.integers(0, 2, ROWS)


def words() -> list[tuple[dict, int]]:
    draw, y = labels()
    own = (("aa", "ab", "ac", "ad"), ("ba", "bb", "bc", "bd"))
    return [({**dict.fromkeys(draw.choice(own[c], 2), 1), f"c{draw.integers(4)}": 1}, int(c)) for c in y]


def sensors(drop: float, mean: float = 1000.0, deviation: float = 10.0) -> list[tuple[dict, int]]:
    draw, y = labels()
    x = draw.normal(mean, deviation, (ROWS, 4)) + 2 * deviation * y[:, None]
    there = draw.random(x.shape) >= drop
    return [({f"s{k}": float(x[i, k]) for k in range(4) if there[i, k]}, int(y[i])) for i in range(ROWS)]


def test_sparse_dictionaries_are_learnt_as_dense_ones_with_zeros() -> None:
    rows = words()
    names = sorted({name for x, _ in rows for name in x})
    sparse, dense = HedgedLVQ(), HedgedLVQ()
    dense.learn_one(dict.fromkeys(names, 0), 0)
    sparse.learn_one(dict.fromkeys(names, 0), 0)
    for x, y in rows:
        full = {name: x.get(name, 0) for name in names}
        assert dense.predict_proba_one(full) == sparse.predict_proba_one(x)
        sparse.learn_one(x, y)
        dense.learn_one(full, y)
    assert accuracy(HedgedLVQ(), rows) > 0.97
    assert accuracy(HedgedLVQ(absent="missing"), rows) < 0.8


def test_rivers_sparse_transformers() -> None:
    rows = words()
    texts = [(" ".join(x), y) for x, y in rows]
    assert accuracy(feature_extraction.BagOfWords() | HedgedLVQ(), texts) > 0.97
    colours = [({"colour": next(iter(x))}, y) for x, y in rows]
    for drop_zeros in (False, True):
        assert accuracy(preprocessing.OneHotEncoder(drop_zeros=drop_zeros) | HedgedLVQ(), colours) > 0.97


@pytest.mark.parametrize("drop", [0.1, 0.3, 0.6])
def test_sensors_that_drop_out_from_the_first_sample_on_are_missing(drop: float) -> None:
    rows = sensors(drop)
    auto, missing, zero = (accuracy(HedgedLVQ(absent=absent), rows) for absent in ("auto", "missing", "zero"))
    assert auto > missing - 0.04
    assert auto > zero + 0.02


def test_a_flag_in_most_samples_tells_by_its_absence() -> None:
    draw, y = labels()
    flagged = draw.random(ROWS) < np.where(y == 1, 0.95, 0.3)
    rows = [
        ({"t": 20.0 + draw.normal(), **({"on": True} if on else {})}, int(c)) for on, c in zip(flagged, y, strict=True)
    ]
    assert accuracy(HedgedLVQ(), rows) > 0.75


def test_what_was_learnt_before_a_new_key_is_zero_for_a_word_and_the_mean_for_a_sensor() -> None:
    draw, _ = labels()
    model, values = HedgedLVQ(), draw.normal(1000, 5, 60)
    for i in range(40):
        model.learn_one({"a": float(i % 7), "b": float(i % 3)}, i % 2)
    old = len(model)
    model.learn_one({"a": 1.0, "b": 1.0, "word": 1, "sensor": 1000.0}, 0)
    # One of them has absorbed the sample.
    assert (model.prototypes.x[:old, 2:] == 0.0).all(axis=1).sum() >= old - 1
    for i in range(40):
        model.learn_one({"a": float(i % 7), "b": float(i % 3), "sensor": float(values[i])}, i % 2)
    held = model.prototypes.x
    assert (held[:old, 2] == 0.0).sum() >= old - 1
    assert (np.abs(held[:, 3] - 1000) < 50).all()
    mean, deviation = model._core.scale()
    assert abs(mean[3] - 1000) < 5 and deviation[3] < 20


def test_a_key_known_from_peers_alone_is_missing() -> None:
    model = HedgedLVQ()
    for i in range(20):
        model.learn_one({"a": float(i % 5)}, i % 2)
        model.learn_received_one({"b": 1000.0 + i, "a": 1.0}, 1, 7)
    assert ("a", "b") == model.features
    assert model.prototypes.x[:, 1].min() > 990
    mean = float(model._core.scale()[0][1])
    assert model.predict_proba_one({"a": 1.0, "b": mean}) == model.predict_proba_one({"a": 1.0})


def test_predictions_are_not_counted() -> None:
    rows = sensors(0.3)[:100]
    asked, silent = HedgedLVQ(), HedgedLVQ()
    for x, y in rows:
        for other, _ in rows[:3]:
            asked.predict_one(other)
        asked.learn_one(x, y)
        silent.learn_one(x, y)
    assert np.array_equal(asked.prototypes.x, silent.prototypes.x)


def test_zero_and_missing_override() -> None:
    for absent, value in (("zero", 0.0), ("missing", 1005.0)):
        model = HedgedLVQ(absent=absent)
        model.learn_one({"a": 1.0, "b": 1000.0}, 0)
        model.learn_one({"a": 1.0, "b": 1010.0}, 1)
        model.learn_one({"a": 2.0}, 0)
        assert value == model.prototypes.x[-1, 1]
    with pytest.raises(ConfigError, match="absent must be one of auto, zero, missing, got 'none'"):
        HedgedLVQ(absent="none")


@pytest.mark.parametrize("rows", [words(), sensors(0.3)], ids=["words", "sensors"])
def test_counts_are_part_of_pickles_and_files(rows: list, tmp_path: Path) -> None:
    model = HedgedLVQ()
    for x, y in rows[:37]:
        model.learn_one(x, y)
    model.save(tmp_path / "model")
    others = [pickle.loads(pickle.dumps(model)), HedgedLVQ.load(tmp_path / "model")]
    for each in (model, *others):
        for x, y in rows[37:90]:
            each.learn_one(x, y)
    for other in others:
        assert np.array_equal(model.prototypes.x, other.prototypes.x)
        assert model.predict_proba_one(rows[91][0]) == other.predict_proba_one(rows[91][0])
    assert "auto" == model.clone().absent
    state = model._encoding.state()
    state["presence"]["table"] = state["presence"]["table"][:, :-1]
    with pytest.raises(SnapshotError, match="do not fit"):
        HedgedLVQ()._encoding.restore(state)


@pytest.mark.parametrize("samples", [words(), sensors(0.0)], ids=["words", "sensors"])
def test_rows_of_a_frame_tell_what_an_absent_key_is(samples: list[tuple[dict, int]]) -> None:
    names = sorted({name for x, _ in samples for name in x})
    whole = [({name: x.get(name, 0.0) for name in names}, y) for x, y in samples]
    by_dict, by_frame = HedgedLVQ(), HedgedLVQ()
    for x, y in whole[:300]:
        by_dict.learn_one(x, y)
    for begin, end in ((0, 1), (1, 130), (130, 300)):
        part = whole[begin:end]
        by_frame.learn(pd.DataFrame([x for x, _ in part], columns=names, dtype=float), [y for _, y in part])
    assert by_dict._encoding.presence.measured.tolist() == by_frame._encoding.presence.measured.tolist()
    for x, y in samples[300:]:
        x.pop("s3", None)
        assert by_dict.predict_proba_one(x) == by_frame.predict_proba_one(x)
        by_dict.learn_one(x, y)
        by_frame.learn_one(x, y)


def test_a_column_that_starts_late_gets_its_mean_before() -> None:
    draw, y = labels()
    x = np.column_stack([draw.normal(size=ROWS), draw.normal(50.0 + 2.0 * y, 1.0)])
    model, early = HedgedLVQ(), pd.DataFrame(x[:200, :1], columns=["a"])
    model.learn(early, y[:200])
    model.learn(pd.DataFrame(x[200:], columns=["a", "b"]), y[200:])
    one = HedgedLVQ()
    one.learn(early, y[:200])
    for row, label in zip(x[200:].tolist(), y[200:].tolist(), strict=True):
        one.learn(pd.DataFrame([row], columns=["a", "b"]), [label])
    assert np.array_equal(one.prototypes.x, model.prototypes.x)
    mean, deviation = model._core.scale()
    assert abs(mean[1] - 51.0) < 0.5 and 1.0 < deviation[1] < 2.0
