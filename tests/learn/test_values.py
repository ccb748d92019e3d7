"""Values of any type: the same number, label or missing value whatever library it comes from."""

from __future__ import annotations

import datetime
import pickle
import time
import warnings
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine import HedgedLVQ, XuILVQ
from protovine.learn import EnsembleCore, GaussianBayes, HedgedLVQCore, XuILVQCore
from protovine.learn.hedged import entry
from protovine.learn.xuilvq import kernels
from protovine.node import make_example_node
from protovine.prototypes import PrototypeSet
from tests.learn.hedged.streams import SECOND, blobs

pytestmark = pytest.mark.filterwarnings("error")

KINDS = [
    int,
    float,
    np.float16,
    np.float32,
    np.float64,
    np.longdouble,
    np.int8,
    np.uint8,
    np.int16,
    np.uint16,
    np.int64,
    np.uint64,
    np.array,
    Decimal,
    Fraction,
    pa.scalar,
]
BOOLS = [bool, np.bool_, np.array]
MISSING = [None, float("nan"), np.float16("nan"), np.float32("nan"), np.longdouble("nan"), pd.NA, pd.NaT]
MISSING += [np.ma.masked, Decimal("nan"), np.datetime64("NaT"), np.array(np.nan), pa.scalar(None, pa.float64())]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 127), st.sampled_from(KINDS), st.sampled_from(BOOLS)), min_size=4, max_size=12)
)
def test_any_mixture_of_scalar_types_is_learnt_as_the_same_floats(rows) -> None:
    for kind in (HedgedLVQ, XuILVQ):
        mixed, plain = kind(), kind()
        for i, (number, convert, convert_bool) in enumerate(rows):
            flag = number % 2 == 0
            x = {"a": convert(number), "b": convert_bool(flag), "c": 0.5 * i}
            as_floats = {"a": float(number), "b": float(flag), "c": 0.5 * i}
            assert plain.predict_proba_one(as_floats) == mixed.predict_proba_one(x)
            mixed.learn_one(x, flag)
            plain.learn_one(as_floats, flag)
        assert np.array_equal(plain.prototypes.x, mixed.prototypes.x)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int16, np.uint16, np.float16, np.longdouble])
def test_sums_of_small_types_neither_overflow_nor_warn(kind) -> None:
    top = kind(250) if kind is np.uint8 else kind(-128) if kind is np.int8 else kind(30000)
    model = HedgedLVQ()
    model.learn_one({0: top, 1: top}, 0)
    assert [[float(top)] * 2] == model.prototypes.x.tolist()


@pytest.mark.parametrize("missing", MISSING, ids=repr)
def test_every_missing_value_is_the_mean_so_far(missing: object) -> None:
    model = HedgedLVQ()
    for a, b, y in ((0.0, 1.0, 0), (1.0, 2.0, 1), (0.2, 3.0, 0), (0.8, 6.0, 1)):
        model.learn_one({"a": a, "b": b}, y)
    assert model.predict_proba_one({"a": 0.9, "b": 3.0}) == model.predict_proba_one({"a": 0.9, "b": missing})
    xu = XuILVQ()
    xu.learn_one({"a": 0.0, "b": 1.0}, 0)
    with pytest.raises(ValueError, match=r"feature 'b' must be a finite number.*no missing values"):
        xu.learn_one({"a": 0.0, "b": missing}, 1)
    assert (0,) == xu.classes


@pytest.mark.parametrize(
    "bad",
    [
        *("1.5", np.str_("1.5"), b"1", 1j, datetime.date(2020, 1, 1), np.datetime64("2020-01-01"), object()),
        *(np.timedelta64(5, "s"), [1.0], np.array([1.0]), 10**400, np.inf, Decimal("inf"), Decimal("1e50")),
        np.longdouble("1e300"),
    ],
    ids=lambda bad: type(bad).__name__,
)
def test_what_is_no_usable_number_is_named(bad: object) -> None:
    for kind in (HedgedLVQ, XuILVQ):
        model = kind()
        model.learn_one({"a": 1.0, "1": 2.0, 1: 3.0}, 0)
        for x in ({"a": 1.0, "1": bad, 1: 3.0}, {"1": bad}, {"new": 1.0, "1": bad}):
            with pytest.raises(ValueError, match="feature '1' must be a finite number"):
                model.learn_one(x, 1)
            with pytest.raises(ValueError, match="feature '1' must be a finite number"):
                model.predict_one(x)
        with pytest.raises(ValueError, match="feature 1 must be a finite number"):
            model.learn_one({"a": 1.0, "1": 2.0, 1: bad}, 1)
        assert (("a", "1", 1), (0,)) == (model.features, model.classes)


@pytest.mark.parametrize(
    "x", [[1.0, 2.0], np.zeros(2), "text", None, pd.Series({"a": 1.0})], ids=lambda x: type(x).__name__
)
def test_what_is_no_dictionary_is_refused_with_a_hint(x: object) -> None:
    for model in (HedgedLVQ(), XuILVQ()):
        for label in (0, None):
            with pytest.raises(
                TypeError, match=r"a sample must be a dictionary.*learn, predict and predict_proba take"
            ):
                model.learn_one(x, label)
        model.learn_one({"a": 1.0}, 0)
        with pytest.raises(TypeError, match="a sample must be a dictionary"):
            model.predict_one(x)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*MISSING, "labelled", "labelled"]), min_size=20, max_size=40), st.booleans())
def test_missing_labels_leave_the_learner_of_the_labelled_samples(marks: list, timed: bool) -> None:
    x, codes = blobs(len(marks))
    is_labelled = np.array([mark is not None and isinstance(mark, str) for mark in marks])
    y = [int(code) if known else mark for code, known, mark in zip(codes, is_labelled, marks, strict=True)]
    times = (1 + np.arange(len(marks))) * SECOND if timed else None
    one, many, expected = HedgedLVQ(), HedgedLVQ(), HedgedLVQ()
    for i, row in enumerate(x.tolist()):
        one.learn_one(dict(enumerate(row)), y[i], t_ns=None if times is None else int(times[i]))
    column = np.empty(len(y), object)
    column[:] = y
    many.learn(x, column, times)
    expected.learn(x[is_labelled], codes[is_labelled], None if times is None else times[is_labelled])
    for model in (one, many):
        assert expected.classes == model.classes
        assert np.array_equal(expected.prototypes.x, model.prototypes.x)
        assert np.array_equal(expected.prototypes.event_ns, model.prototypes.event_ns)
        assert expected.predict_proba_one({0: 1.0, 1: 2.0}, t_ns=10**11) == model.predict_proba_one(
            {0: 1.0, 1: 2.0}, t_ns=10**11
        )


@pytest.mark.parametrize("missing", MISSING, ids=repr)
def test_a_missing_label_adds_no_class_and_no_feature(missing: object) -> None:
    for model in (HedgedLVQ(), XuILVQ()):
        model.learn_one({"a": 1.0}, missing)
        assert ((), (), {}) == (model.classes, model.features, model.predict_proba_one({"a": 1.0}))
        model.learn_one({"a": 1.0}, "x")
        model.learn_one({"a": 1.0, "new": 2.0}, missing)
        assert (("x",), ("a",), 1) == (model.classes, model.features, len(model))
    model = HedgedLVQ()
    with pytest.raises(ValueError, match="a received prototype must have a label"):
        model.learn_received_one({"a": 1.0}, missing, 3)
    assert () == model.features


def test_masked_and_float_labels_of_arrays() -> None:
    x = np.arange(6.0)[:, np.newaxis]
    masked = np.ma.array([0, 1, 0, 1, 0, 1], mask=[0, 0, 1, 0, 0, 1])
    for y in (masked, [0, 1, None, 1, 0, pd.NA], pd.array([0, 1, None, 1, 0, None], dtype="Int64")):
        model = HedgedLVQ()
        model.learn(x, y)
        assert ((0, 1), 4.0) == (model.classes, model.prototypes.weight.sum())
    model.learn(x, np.full(6, np.nan))
    assert (0, 1) == model.classes


@pytest.mark.parametrize("bad", [[1], {"a": 1}, {1}, np.array([1, 2]), (1, [2])], ids=lambda bad: type(bad).__name__)
def test_an_unhashable_label_changes_nothing(bad: object) -> None:
    for model in (HedgedLVQ(), XuILVQ()):
        model.learn_one({0: 1.0}, 0)
        before = pickle.dumps(model)
        with pytest.raises(TypeError, match="a label must be hashable"):
            model.learn_one({0: 1.0, "new": 2.0}, bad)
        labels = np.empty(2, object)
        labels[:] = [0, bad]
        with pytest.raises(TypeError, match="a label must be hashable"):
            model.learn([[1.0], [2.0]], labels)
        assert before == pickle.dumps(model)


def test_equal_labels_are_one_class_of_plain_python_values() -> None:
    model = HedgedLVQ()
    for i, label in enumerate([np.True_, True, 1, 1.0, np.int64(1), np.float32(1), np.array(1)]):
        model.learn_one({"a": float(i)}, label)
    for label in (np.str_("1"), "1", -0.0, 0, np.uint8(0), ("a", 1)):
        model.learn_one({"a": 9.0}, label)
    assert (True, "1", -0.0, ("a", 1)) == model.classes
    assert [bool, str, float, tuple] == [type(label) for label in model.classes]


def test_the_time_of_a_sample_does_not_grow_with_missing_labels() -> None:
    model = HedgedLVQ()
    model.learn_one({"a": 0.0}, 0)

    def seconds() -> float:
        started = time.perf_counter()
        for _ in range(200):
            model.learn_one({"a": 1.0}, float("nan"))
        return time.perf_counter() - started

    first = min(seconds() for _ in range(3))
    assert min(seconds() for _ in range(20)) < 5 * first
    assert (0,) == model.classes


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        ([1.0, 2.0], [0, 1], ValueError, r"row for each sample, got shape \(2,\); reshape"),
        ([[1.0], [2.0, 3.0]], [0, 1], ValueError, "different lengths"),
        ([[1.0, "2"], [3.0, 4.0]], [0, 1], ValueError, "x, row 0, column 1, must be a finite number.*'2'"),
        (np.array([["1", "2"]]), [0], ValueError, "x, row 0, column 0, must be a finite number"),
        ([[1.0, 2.0], [3.0, np.inf]], [0, 1], ValueError, "row 1, column 1, must be a finite number"),
        (np.array([[1j, 2]]), [0], ValueError, "row 0, column 0"),
        (np.array([["2020-01-01", "2020-01-02"]], "M8[ns]"), [0], ValueError, "column 0, must be.*2020-01-01"),
        (np.array([["NaT", 5]], "m8[ns]"), [0], ValueError, "x, row 0, column 1, must be a finite number.*5,'ns'"),
        (np.empty((1, 0)), [1], ValueError, r"at least one column, got shape \(1, 0\)"),
        ([[1.0, 2.0, 3.0]], [0], ValueError, "2 features, got 3"),
        ({"a": [1.0]}, [0], TypeError, "learn_one and predict_one take dictionaries"),
        ([[1.0, 2.0]], [0, 1], ValueError, "one label for each of the 1 rows, got 2"),
        ([[1.0, 2.0]], [[0]], TypeError, "hashable"),
        ([[1.0, 2.0]], np.array([[0]]), ValueError, r"got shape \(1, 1\)"),
        ([[1.0, 2.0]], "a", TypeError, "a sequence of labels, got str"),
        ([[1.0, 2.0]], 0, TypeError, "a sequence of labels, got int"),
    ],
)
def test_arrays_that_do_not_fit_say_what_is_needed(x, y, error, message: str) -> None:
    model = HedgedLVQ()
    if "at least one column" in message:  # It fits no learner, a new one neither.
        with pytest.raises(error, match=message):
            model.learn(x, y)
        assert () == model.classes
        model.learn_one({"a": 1.0}, 0)
        model = HedgedLVQ()
    model.learn([[0.0, 1.0]], [0])
    before = pickle.dumps(model)
    with pytest.raises(error, match=message):
        model.learn(x, y)
    assert before == pickle.dumps(model)


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint64, np.float16, np.float32, np.longdouble, object, "list"])
def test_arrays_of_any_real_type_are_the_same_numbers(kind) -> None:
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 2, (30, 3)), draw.integers(0, 2, 30)
    expected, model = HedgedLVQ(), HedgedLVQ()
    expected.learn(x.astype(float), y)
    model.learn(x.tolist() if kind == "list" else x.astype(kind), y)
    assert np.array_equal(expected.prototypes.x, model.prototypes.x)
    assert np.array_equal(expected.predict_proba(x), model.predict_proba(x.astype(kind if kind != "list" else int)))


def test_gaps_of_arrays_may_be_none_na_or_masked() -> None:
    gaps = np.array([[1.0, np.nan], [np.nan, 2.0], [3.0, 4.0]])
    expected = HedgedLVQ()
    expected.learn(gaps, [0, 1, 0])
    for x in (
        [[1.0, None], [pd.NA, 2.0], [3.0, 4.0]],
        np.ma.array([[1, 9], [9, 2], [3, 4]], mask=[[0, 1], [1, 0], [0, 0]]),
        np.ma.array(np.array([[1, 9], [9, 2], [3, 4]], object), mask=[[0, 1], [1, 0], [0, 0]]),
    ):
        model = HedgedLVQ()
        model.learn(x, [0, 1, 0])
        assert np.array_equal(expected.prototypes.x, model.prototypes.x)


def cores():
    yield HedgedLVQCore(1, 2)
    yield XuILVQCore(1, 2)
    yield EnsembleCore(1, 2, GaussianBayes(1, 2), lambda data: GaussianBayes.decode(data, 1, 2))


@pytest.mark.parametrize("number", range(3))
def test_cores_and_baselines_leave_rows_without_a_code_out(number: int) -> None:
    x, times = np.arange(6.0)[:, np.newaxis], np.arange(6)
    whole, gaps = list(cores())[number], list(cores())[number]
    whole.learn(x[::2], np.array([0, 1, 0]), times[::2])
    gaps.learn(x, np.array([0, np.nan, 1, np.nan, 0, np.nan]), times)
    assert np.array_equal(whole.predict(x[3]).proba, gaps.predict(x[3]).proba)
    with pytest.raises(ValueError, match="codes must be whole numbers"):
        gaps.learn(x[:1], np.array([0.5]), times[:1])
    with pytest.raises(ValueError, match="code 0 must be a finite number"):
        gaps.learn(x[:1], np.array(["0"]), times[:1])


@pytest.mark.parametrize(
    ("core", "compiled"),
    [
        (HedgedLVQCore, (entry.learn_many, entry.predict_many, entry.predict)),
        (XuILVQCore, (kernels.learn_many, kernels.predict_many, kernels.vote)),
    ],
)
def test_slices_and_read_only_arrays_need_no_kernel_of_their_own(core: Any, compiled: tuple[Any, ...]) -> None:
    """A kernel for another layout would compile for ten seconds."""
    x, codes, times = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 1, 0]), np.arange(6)
    fixed = [each.copy() for each in (x, codes, times)]
    for each in fixed:
        each.setflags(write=False)
    sliced = [np.repeat(each, 2, axis=-1)[..., ::2] for each in (x, codes, times)]
    made = []
    for columns in ((x, codes, times), fixed, sliced):
        learner = core(2, 2)
        learner.learn(*columns)
        seen = [learner.predict(columns[0][0]).proba, learner.predict_many(columns[0])[1]]
        made.append(np.vstack([*seen, learner.prequential(*columns)[1], learner.predict(columns[0][1]).proba]))
    assert np.array_equal(made[0], made[1]) and np.array_equal(made[0], made[2])
    learner.learn_received(PrototypeSet(*sliced[:2], np.ones(12)[::2], sliced[2]), np.full(12, 3)[::2])
    # Others call the vote for a row of a table, too.
    assert [1, 1] == [len(each.signatures) for each in compiled[:2]] and len(compiled[2].signatures) <= 2


def test_a_node_predicts_an_unlabelled_sample_and_goes_on_waiting_for_a_missing_label() -> None:
    node = make_example_node()
    node.observe([0.0], np.int64(0), now_ns=1)
    for i, missing in enumerate(MISSING):
        assert 0 == node.observe(np.ma.array([0.1]), missing, now_ns=2 + i, sample_id=i).code
    assert (1, len(MISSING)) == (node.samples_learnt, node.unlabelled)
    assert not node.label(0, float("nan"), now_ns=50)
    assert len(MISSING) == node.unlabelled
    assert node.label(0, np.float64(1.0), now_ns=51)
    assert 2 == node.samples_learnt
    for bad in (1.5, "1", 2, -1):
        with pytest.raises(ValueError, match="a class must be between 0 and 1"):
            node.observe([0.0], bad, now_ns=60)
    with pytest.raises(ValueError, match="feature 0 of a sample must be a finite number"):
        node.observe(["1.5"], 0, now_ns=60)


def test_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HedgedLVQ().learn_one(dict(enumerate(np.array([200, 250], np.uint8))), np.uint8(1))
