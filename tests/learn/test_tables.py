"""DataFrames of any library: columns are matched by name, never silently by position."""

from __future__ import annotations

import pickle
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine import HedgedLVQ, XuILVQ
from protovine.errors import ConfigError
from tests.learn.hedged.streams import blobs

try:
    import polars as pl
except ImportError:  # The same code serves pandas and Arrow.
    pl = None

NAMES = ["a", "b", "c"]
LIBRARIES = {"pandas": pd.DataFrame, "arrow": pa.table} | ({} if pl is None else {"polars": pl.DataFrame})


def data() -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    x, codes = blobs(40, 3)
    return dict(zip(NAMES, np.ascontiguousarray(x.T), strict=True)), x, [("low", "high")[code] for code in codes]


@pytest.mark.parametrize("library", LIBRARIES)
@settings(max_examples=15, deadline=None)
@given(order=st.permutations(NAMES))
def test_any_order_of_columns_is_the_same(library: str, order: list[str]) -> None:
    columns, x, y = data()
    for kind in (HedgedLVQ, XuILVQ):
        expected, model = kind(), kind()
        expected.learn(x, y)
        model.learn(LIBRARIES[library](columns), y)
        model.learn(LIBRARIES[library]({name: columns[name] for name in order}), y)
        expected.learn(x, y)
        shuffled = LIBRARIES[library]({name: columns[name] for name in order})
        assert tuple(NAMES) == model.features
        assert np.array_equal(expected.prototypes.x, model.prototypes.x)
        assert np.array_equal(expected.predict_proba(x), model.predict_proba(shuffled))
        assert expected.predict(x).tolist() == model.predict(shuffled).tolist()


def test_results_are_of_the_same_library_with_the_same_index() -> None:
    columns, _, y = data()
    model = HedgedLVQ()
    frame = pd.DataFrame(columns, index=range(100, 140))
    assert [None] * 40 == model.predict_many(frame).tolist()
    assert (40, 0) == model.predict_proba_many(frame).shape
    model.learn_many(frame, pd.Series(y, index=range(100, 140)))
    found, proba = model.predict_many(frame), model.predict_proba_many(frame)
    assert isinstance(found, pd.Series) and isinstance(proba, pd.DataFrame)
    assert list(range(100, 140)) == found.index.tolist() == proba.index.tolist()
    assert list(model.classes) == proba.columns.tolist()
    assert model.predict(frame).tolist() == found.tolist()
    assert np.array_equal(model.predict_proba(frame), proba.to_numpy())
    table = model.predict_proba_many(pa.table(columns))
    assert isinstance(table, pa.Table) and list(model.classes) == table.column_names
    assert model.predict(frame).tolist() == model.predict_many(pa.table(columns)).to_pylist()
    if pl is not None:
        assert isinstance(model.predict_many(pl.DataFrame(columns)), pl.Series)
        assert isinstance(model.predict_proba_many(pl.DataFrame(columns)), pl.DataFrame)


@pytest.mark.parametrize(
    "pair",
    [
        *((1, "1"), ("a", "a\0"), (b"a", b"a\0"), ((1, 2), (3, 4)), ((1,), (2, 3)), (0.5, 2**60 + 1), (True, 2.5)),
        *((2**63, -1), (2**64, 1), ("", "a"), (True, False), (3, 4), (0.5, -0.0), (Decimal(1), Decimal(2))),
        (np.datetime64("2020-01-01"), np.datetime64("2021-01-01")),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [HedgedLVQ, XuILVQ])
def test_arrays_and_columns_of_labels_hold_the_labels(kind: type, pair: tuple) -> None:
    columns, x, y = data()
    frame, labels = pd.DataFrame(columns), [pair[each == "high"] for each in y]
    model = kind()
    model.learn(frame, labels)
    expected = [model.predict_one(row) for row in frame.to_dict("records")]
    assert {*pair} == {*expected}
    by_rows = kind()
    by_rows.learn(x, labels)
    for found in (model.predict(frame), by_rows.predict(x), model.predict_many(frame).array):
        assert expected == list(found) and [isinstance(each, str) for each in expected] == [
            isinstance(each, str) for each in found
        ]


@pytest.mark.parametrize("library", [name for name in LIBRARIES if name != "pandas"])
def test_a_column_of_one_type_takes_equal_numbers_and_refuses_other_mixtures(library: str) -> None:
    columns, _, y = data()
    frame, make = pd.DataFrame(columns), LIBRARIES[library]
    for pair, fits in (((0.5, 2), True), ((True, 2), True), ((1, "1"), False), ((0.5, 2**60 + 1), False)):
        model = HedgedLVQ()
        model.learn(frame, [pair[each == "high"] for each in y])
        if fits:
            column = model.predict_many(make(columns))
            found = column.to_pylist() if library == "arrow" else column.to_list()
            assert found == model.predict(frame).tolist()
        else:
            with pytest.raises(ValueError, match=r"labels of several types .* fit no column; predict returns them"):
                model.predict_many(make(columns))


@pytest.mark.parametrize("library", LIBRARIES)
def test_columns_that_do_not_fit_are_named_and_nothing_is_learnt(library: str) -> None:
    columns, _, y = data()
    make = LIBRARIES[library]
    for model in (HedgedLVQ(), XuILVQ()):
        model.learn(make(columns), y)
        before = pickle.dumps(model)
        lacking = make({name: columns[name] for name in ("a", "c")})
        for call in (lambda x, m=model: m.learn(x, y), lambda x, m=model: m.learn_many(x, y), model.predict):
            with pytest.raises(ValueError, match="x lacks columns that were learnt: 'b'"):
                call(lacking)
        for call in (model.predict, model.predict_proba, model.predict_many, model.predict_proba_many):
            with pytest.raises(ValueError, match="x has columns that were never learnt: 'd'"):
                call(make({**columns, "d": columns["a"]}))
        text = make({**columns, "b": ["1.5"] * 39 + ["red"]})
        with pytest.raises(ValueError, match=r"column 'b', row 0, must be a finite number.*'1.5'; encode text"):
            model.learn(text, y)
        with pytest.raises(ValueError, match="one label for each of the 40 rows, got 39"):
            model.learn(make({**columns, "d": columns["a"]}), y[1:])
        assert before == pickle.dumps(model)


def test_repeated_columns_categories_and_other_tables_are_refused() -> None:
    columns, _, y = data()
    twice = pd.DataFrame(np.zeros((40, 2)), columns=["a", "a"])
    arrow = pa.Table.from_arrays([pa.array([1.0] * 40)] * 2, names=["a", "a"])
    for table in (twice, arrow):
        with pytest.raises(ValueError, match="more than one column named 'a'"):
            HedgedLVQ().learn(table, y)
    with pytest.raises(ValueError, match="column 'b' holds categories"):
        HedgedLVQ().learn(pd.DataFrame({**columns, "b": pd.Categorical([1, 2] * 20)}), y)
    with pytest.raises(ValueError, match="column 'b', row 1, must be a finite number"):
        HedgedLVQ().learn(pd.DataFrame({"a": [1.0, 2.0], "b": [1, "x"]}), [0, 1])
    with pytest.raises(ValueError, match="column 'b', row 0, must be a finite number"):
        HedgedLVQ().learn(pd.DataFrame({"b": pd.to_datetime(["2020-01-01"])}), [0])
    for unit in ("s", "ms", "us", "ns"):
        for kind in ("datetime64", "timedelta64"):
            dates = pd.DataFrame({"b": np.array(["NaT", 5], f"{kind}[{unit}]")})
            for table in (dates, pa.Table.from_pandas(dates)):
                with pytest.raises(ValueError, match="column 'b', row 1, must be a finite number"):
                    HedgedLVQ().learn(table, [0, 1])
    with pytest.raises(TypeError, match="a pandas or Polars DataFrame or an Arrow Table, got RecordBatch"):
        HedgedLVQ().learn(pa.table(columns).to_batches()[0], y)
    with pytest.raises(TypeError, match="a sequence of labels, got DataFrame"):
        HedgedLVQ().learn(pd.DataFrame(columns), pd.DataFrame({"y": y}))


def test_missing_values_and_all_number_types_of_frames() -> None:
    expected = HedgedLVQ()
    expected.learn([[1.0, 0.0, np.nan], [np.nan, 1.0, 2.0], [3.0, 1.0, 7.0]], [0, 1, 0])
    columns = {"a": [1, None, 3], "b": [False, True, True], "c": [None, 2.0, 7.0]}
    frames = [
        pa.table(columns),
        pd.DataFrame(columns),
        pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "b": columns["b"], "c": pd.array(columns["c"], "Float32")}),
        pd.DataFrame(columns, dtype=object),
    ]
    for frame in frames if pl is None else [*frames, pl.DataFrame(columns)]:
        model = HedgedLVQ()
        model.learn(frame, pd.Series([0, 1, 0]))
        assert np.array_equal(expected.prototypes.x, model.prototypes.x)
        with pytest.raises(ValueError, match=r"column '[ac]', row \d, must be a finite number"):
            XuILVQ().learn(frame, [0, 1, 0])


def test_a_new_column_widens_and_had_its_first_value_before() -> None:
    columns, _, y = data()
    for absent, before in (("auto", 7.0), ("missing", 7.0), ("zero", 0.0)):
        model = HedgedLVQ(absent=absent)
        model.learn(pd.DataFrame(columns), y)
        old = len(model)
        model.learn(
            pd.DataFrame({"new": [np.nan, 7.0], "never": np.nan, **{name: [0.0, 1.0] for name in NAMES}}), ["low"] * 2
        )
        assert (*NAMES, "new") == model.features
        assert before in set(model.prototypes.x[:old, 3])
    model = HedgedLVQ(absent="missing")
    model.learn(pd.DataFrame(columns), y)
    mean = float(model._core.scale()[0][1])
    lacking = pd.DataFrame({"a": [1.0], "c": [1.0]})
    whole = pd.DataFrame({"a": [1.0], "b": [mean], "c": [1.0]})
    assert np.array_equal(model.predict_proba(whole), model.predict_proba(lacking))


def test_an_index_of_equal_values_of_another_type_is_the_same() -> None:
    columns, _, y = data()
    numbers = pd.Index(range(40))
    assert not numbers.equals(numbers.astype("Int64")), "to pandas they differ"
    model = HedgedLVQ()
    model.learn_many(pd.DataFrame(columns, index=numbers), pd.Series(y, index=numbers.astype("Int64")))
    assert len(model) > 0


@pytest.mark.parametrize("kind", [HedgedLVQ, XuILVQ])
def test_labels_and_times_of_another_index_are_refused_rather_than_paired_by_position(kind: type) -> None:
    columns, _, y = data()
    frame = pd.DataFrame(columns, index=[f"r{i}" for i in range(40)])
    model = kind()
    shuffled = pd.Series(y, index=frame.index[::-1])
    with pytest.raises(ValueError, match=r"y and x must have the same index, but row 0 has 'r39' in y and 'r0' in x"):
        model.learn_many(frame, shuffled)
    with pytest.raises(ValueError, match="row 0 has 0 in y and 'r0' in x"):
        model.learn(frame, pd.Series(y))
    if kind is HedgedLVQ:
        with pytest.raises(ValueError, match="t_ns and x must have the same index"):
            model.learn(frame, y, pd.Series(range(40)))
    assert 0 == len(model)
    expected = kind()
    expected.learn(frame, y[::-1])
    model.learn(frame, shuffled.loc[frame.index])
    assert np.array_equal(expected.prototypes.x, model.prototypes.x)
    model.learn(frame, y)  # A list, an array and a column without an index have nothing to match.
    model.learn(pa.table(columns), pd.Series(y, index=frame.index))


@pytest.mark.parametrize("kind", [HedgedLVQ, XuILVQ])
def test_arrays_and_names_are_never_mixed(kind: type) -> None:
    columns, x, y = data()
    one = {name: float(columns[name][0]) for name in NAMES}
    numbered, named = kind(), kind()
    numbered.learn(x, y)
    named.learn(pd.DataFrame(columns), y)
    before = pickle.dumps((numbered, named))
    for call in (
        lambda: numbered.learn_one(one, "low"),
        lambda: numbered.predict_one(one),
        lambda: numbered.predict_proba_one({**dict(enumerate(x[0])), "a": 1.0}),
        lambda: numbered.learn_many(pd.DataFrame(columns), y),
        lambda: numbered.predict_many(pd.DataFrame(columns)),
    ):
        with pytest.raises(ValueError, match=r"x has features by name .*but the 3 columns of arrays were learnt"):
            call()
    for call in (lambda: named.learn(x, y), lambda: named.predict(x), lambda: named.predict_proba_many(x)):
        with pytest.raises(
            ValueError, match=r"x has no names for its columns, but .* learnt by name \('a', 'b', 'c'\)"
        ):
            call()
    assert before == pickle.dumps((numbered, named))
    assert numbered.predict_one(dict(enumerate(x[0].tolist()))) == numbered.predict(x[:1])[0]
    counted = kind()
    counted.learn_one(dict(enumerate(x[0].tolist())), "low")
    counted.learn(x, y)
    assert (0, 1, 2) == counted.features


def test_a_saved_learner_of_arrays_still_refuses_names(tmp_path) -> None:
    _, x, y = data()
    model = HedgedLVQ()
    model.learn(x, y)
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match="x has features by name"):
        HedgedLVQ.load(tmp_path / "m").learn_one({"a": 1.0}, "low")


def test_rows_without_labels_add_no_column() -> None:
    model = HedgedLVQ()
    model.learn(pd.DataFrame({"a": [1.0, 2.0], "b": [np.nan, 3.0]}), [0, None])
    assert (("a",), (0,)) == (model.features, model.classes)


def test_arrays_need_no_table_library() -> None:
    code = (
        "import sys, numpy as np; from protovine.learn import tables;"
        "tables.frame_of(np.zeros((1, 1))); tables.rows_of([[1.0]], True);"
        "assert not {'narwhals', 'pandas', 'polars', 'pyarrow'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_of_a_parameter_is_checked() -> None:
    with pytest.raises(ConfigError, match="absent"):
        HedgedLVQ(absent="")
