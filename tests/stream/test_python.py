import datetime
import itertools
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet as pq
from river import datasets
from river import stream as river_stream
from river.datasets import synth
from scipy import sparse

from protovine.errors import ConfigError, DataError
from protovine.stream import from_python, load, read_file


def test_arrays_become_columns_x0_x1():
    data = from_python((np.array([[1, 2], [3, 4]]), np.array([True, False])))
    assert (data.features, data.x.tolist()) == (("x0", "x1"), [[1, 2], [3, 4]])
    assert (data.classes, data.y.tolist()) == ((False, True), [1, 0])
    assert data.name == "python"


def test_nested_lists_frames_and_series_are_arrays_too():
    frame = pd.DataFrame({"a": [1, 3], "b": ["u", "v"]}, index=[7, 8])
    data = from_python((frame, pd.Series(["q", "p"], index=[7, 8])))
    assert data.features == ("a", "b=u", "b=v")
    assert (data.x.tolist(), data.y.tolist(), data.classes) == ([[1, 1, 0], [3, 0, 1]], [1, 0], ("p", "q"))
    assert from_python(([["u", 1], ["v", 2]], [0, 1])).features == ("x0=u", "x0=v", "x1")


def test_labels_with_another_index_than_their_rows_are_refused():
    x = pd.DataFrame({"a": range(6)})
    y = pd.Series(list("nynyny"))
    shuffled = x.sample(frac=1, random_state=1)
    with pytest.raises(DataError, match=r"y and x must have the same index, .*y\.loc\[x\.index\] matches them"):
        from_python((shuffled, y))
    matched = from_python((shuffled, y.loc[shuffled.index]))
    assert [int(a) % 2 for a in matched.x[:, 0]] == matched.y.tolist()
    assert 6 == len(from_python((shuffled, y.to_numpy()))) == len(from_python((x.to_numpy(), y)))


def test_a_frame_is_the_same_as_its_file(tmp_path):
    frame = pd.DataFrame({"y": ["p", "q", None], "a": [1.5, None, 3], "b": ["u", "v", "u"]})
    frame.to_csv(tmp_path / "f.csv", index=False)
    data = from_python(frame, label="y")
    assert data.fingerprint() == read_file(tmp_path / "f.csv", label="y").fingerprint()
    assert data.notes == (
        "1 row with a missing value: filled with the column's median",
        "1 row with a missing label: predicted, but not learnt and not judged",
    )
    with pytest.raises(DataError, match=r"no column 'yy' to use as label \(did you mean 'y'\?\)"):
        from_python(frame, label="yy")


def test_dicts_are_the_union_of_their_features_in_first_seen_order():
    data = from_python([({"b": 1, "a": 2}, "p"), ({"c": 5.0, "a": 4}, "q"), ({"b": 3}, None)])
    assert data.features == ("b", "a", "c")
    # With so few values nothing shows that a key is a measurement.
    assert data.x.tolist() == [[1, 2, 0], [0, 4, 5], [3, 0, 0]]
    assert data.absent_zero == ("b", "a", "c")
    assert data.notes[1] == "1 row with a missing label: predicted, but not learnt and not judged"


def test_text_in_dicts_is_read_as_in_files():
    rows = [({"n": "1.5", "t": "red", "b": "True"}, "p"), ({"n": " ? ", "t": "", "b": "False"}, "q")]
    data = from_python(rows)
    assert data.features == ("n", "t=missing", "t=red", "b")
    assert data.x.tolist() == [[1.5, 0, 1, 1], [1.5, 1, 0, 0]]


def test_a_river_data_set_passed_as_object_is_the_one_in_the_catalog():
    assert from_python(datasets.Phishing()).fingerprint() == load("phishing").fingerprint()
    assert len(from_python(datasets.Phishing(), rows=30)) == 30


def test_rivers_csv_reader_without_converters_gives_numbers(tmp_path):
    (tmp_path / "f.csv").write_text("a,b,y\n1.5,2,p\n3,,q\n")
    data = from_python(river_stream.iter_csv(str(tmp_path / "f.csv"), target="y"))
    assert data.x.tolist() == [[1.5, 2], [3, 2]]


def test_endless_generators_are_cut():
    assert len(from_python(synth.SEA(seed=1))) == 5000
    assert len(from_python(synth.SEA(seed=1), rows=7)) == 7
    assert len(from_python((({"a": n}, n % 2) for n in itertools.count()), rows=7)) == 7


def test_a_data_set_is_returned_unchanged():
    data = load("sea", rows=20)
    assert from_python(data) is data
    assert len(from_python(data, rows=5)) == 5


def test_a_pair_of_pairs_is_two_rows_not_arrays():
    data = from_python((({"a": 1}, "p"), ({"a": 2}, "q")))
    assert (data.x.tolist(), data.classes) == ([[1], [2]], ("p", "q"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, None, False, True], [1, 1, 0, 1]),
        ([1, 2.5, Decimal("4"), np.float32(8)], [1, 2.5, 4, 8]),
        ([datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 2, 1), None, datetime.date(2024, 1, 1)], None),
        ([datetime.time(1), datetime.time(0, 30), datetime.time(0, 30, 5), datetime.time(1)], [3600, 1800, 1805, 3600]),
        ([datetime.timedelta(1), datetime.timedelta(0), None, datetime.timedelta(1)], [86400, 0, 86400, 86400]),
    ],
)
def test_python_values_of_every_kind_become_numbers(values, expected):
    data = from_python([({"v": value}, n % 2) for n, value in enumerate(values)])
    assert data.x.ravel().tolist() == (expected or [0, 90000, 0, 0])


def test_numbers_among_texts_are_texts():
    assert from_python([({"v": 1}, 0), ({"v": "a"}, 1)]).features == ("v=1", "v=a")
    with pytest.raises(DataError, match=r"column 'v', row 1: '1_000' is not a number, but 1 of 2 .* thousands if"):
        from_python([({"v": "1_000"}, 0), ({"v": "2"}, 1)])


def test_labels_of_mixed_kinds_become_text_with_a_note():
    data = from_python(([[1], [2], [3]], [True, 1, "a"]))
    assert data.classes == ("1", "True", "a")
    assert data.notes == ("the label mixes number and text and true/false: all read as text",)


def test_text_labels_stay_text_and_huge_numbers_stay_whole():
    assert from_python(([[1], [2]], ["1", "0"])).classes == ("0", "1")
    assert from_python(([[1], [2]], [10**400, 2**63])).classes == (2**63, 10**400)


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (5, "cannot use int as data"),
        ("phishing", "cannot use str as data"),
        ({"a": 1}, "cannot use dict as data"),
        (([[1, 2], [3]], [0, 1]), "rows of X must be equally long"),
        (([1, 2], [0, 1]), r"X must have the shape \(rows, features\), got \(2,\)"),
        ((np.ones((2, 0)), [0, 1]), r"X must have the shape \(rows, features\), got \(2, 0\)"),
        ((np.ones((2, 1)), np.ones((2, 1))), r"y must have the shape \(rows,\), got \(2, 1\)"),
        ((np.ones((2, 1)), [0, 1, 2]), "got 2 rows and 3 labels"),
        ((np.ones((0, 1)), []), "there are no rows"),
        ([], "there are no rows"),
        ([({}, 1)], "the rows have no features"),
        ([({"a": 1}, 0), 7], r"row 2 must be a pair \(dict, label\), got int"),
        ([({"a": [1]}, 0)], "column 'a' holds a value of type list"),
        ([({"a": 1}, {"k": 1})], "the label holds a value of type dict"),
        ([({"a": 1}, datetime.date(2024, 1, 1))], "the label holds a value of type date"),
        ([({"a": 1}, None)], "the label has no value"),
        ([({"a": 1}, 0.5)], "the label looks like regression: it holds 0.5"),
        ([({1: 1, "1": 2}, 0)], "column names must differ, got '1' more than once"),
        ([({"a": 10**400}, 0)], "beyond the largest float"),
        ([({"a": 1j}, 0)], "column 'a' holds a value of type complex"),
        ((np.array([[1.0], [np.inf]]), [0, 1]), "column 'x0', row 2: inf is infinite"),
        (pd.DataFrame({"a": [1]}), "at least one feature column are needed, got one: 'a'"),
        (pd.DataFrame(), "at least one feature column are needed, got none"),
        (pd.DataFrame([[1, 2, 3]], columns=["a", "y", "y"]), "column names must differ, got 'y' more than once"),
        (datasets.TrumpApproval(), "looks like regression"),
        (datasets.SolarFlare(), "the label holds a value of type dict"),
    ],
)
def test_unusable_objects_are_refused_in_one_line(obj, message):
    with pytest.raises(DataError, match=message) as caught:
        from_python(obj)
    assert str(caught.value).startswith("python: ")
    assert "\n" not in str(caught.value)


def test_settings_that_do_not_apply_are_refused():
    with pytest.raises(ConfigError, match="for files and DataFrames only"):
        from_python(([[1]], [0]), label="y")
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        from_python(([[1]], [0]), rows=0)


def test_a_repeated_column_is_refused_whatever_the_frame(tmp_path):
    frame = pd.DataFrame([(1, "u", 2), (3, "v", 4)], columns=["a", "y", " a"])
    table = pa.table([[1, 2], [3, 4], [0, 1]], names=["a", "a", "y"])
    pq.write_table(table, tmp_path / "f.parquet")
    for source in (frame, (frame, [0, 1]), table, tmp_path / "f.parquet"):
        with pytest.raises(DataError, match="column names must differ, got 'a' more than once"):
            load(source)
    assert load(frame, label="y", drop=[2]).features == ("a",)


def test_frames_of_other_libraries_are_the_same_data():
    columns = {
        "a": [1, None, 3],
        "b": ["x", "y", None],
        "d": [datetime.date(2024, 1, d) for d in (3, 1, 2)],
        "e": [0.5, 1.5, 2.5],
        "y": [0, 1, 0],
    }
    expected = from_python(pd.DataFrame(columns))
    assert expected.times == {"d": "2024-01-01T00:00:00+00:00"}
    assert from_python(pa.table(columns)).fingerprint() == expected.fingerprint()
    polars = pytest.importorskip("polars")
    assert from_python(polars.DataFrame(columns)).fingerprint() == expected.fingerprint()
    with pytest.raises(DataError, match="LazyFrame must be collected first"):
        from_python(polars.LazyFrame(columns))


def test_masked_values_are_missing():
    x = np.ma.masked_array([[1.0, 2], [3, 4], [5, 6]], mask=[[0, 1], [0, 0], [0, 0]])
    data = from_python((x, np.ma.masked_array([0, 1, 1], mask=[0, 0, 1])))
    assert (data.x.tolist(), data.y.tolist()) == ([[1, 5], [3, 4], [5, 6]], [0, 1, -1])
    assert data.notes[1] == "1 row with a missing label: predicted, but not learnt and not judged"


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "g", "i1", "u8", "?"])
def test_numbers_of_every_numpy_type(kind):
    cells = np.array([0, 1]).astype(kind)
    assert from_python((cells[:, None], [0, 1])).x.tolist() == [[0], [1]]
    assert from_python([({"a": cell}, label) for label, cell in enumerate(cells)]).x.tolist() == [[0], [1]]


def test_sparse_and_structured_arrays():
    assert from_python((sparse.csr_array([[0, 1], [2, 0]]), [0, 1])).x.tolist() == [[0, 1], [2, 0]]
    records = np.array([(1, 2.5), (3, 4.5)], dtype=[("p", "i4"), ("q", "f8")])
    assert from_python((records, [0, 1])).features == ("p", "q")
    frame = pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 1]), "y": [0, 1, 0]})
    assert from_python(frame).x.ravel().tolist() == [0, 0, 1]


def test_missing_labels_of_every_kind():
    for missing in (None, float("nan"), pd.NA, np.float32("nan"), "NA"):
        data = from_python(pd.DataFrame({"a": [1, 2, 3], "y": pd.Series(["p", missing, "q"], dtype=object)}))
        assert (data.y.tolist(), data.classes) == ([0, -1, 1], ("p", "q"))


ROWS = [({"a": n, "w": 1} if n % 3 else {"a": n}, n % 2) for n in range(9)] + [({"rare": 5}, 0), ({"a": None}, 1)]


@pytest.mark.parametrize(
    ("absent", "zero", "note"),
    [
        ("auto", ("w", "rare"), "2 read as 0 there, 1 as"),
        ("zero", ("a", "w", "rare"), "3 read"),
        ("missing", (), "0 read"),
    ],
)
def test_absent_keys_are_zero_or_missing(absent, zero, note):
    """Almost all rows have `a`, with values that differ: it has dropped out. All `w` are alike, and `rare` is rare."""
    data = from_python(ROWS, absent=absent)
    assert data.absent_zero == zero
    assert data.head(3).absent_zero == zero
    assert f"keys that some rows lack: {note}" in data.notes[0]
    column = dict(zip(data.features, data.x.T.tolist(), strict=True))
    assert column["a"][9:] == ([0, 3.5] if absent == "zero" else [4, 4])  # None is missing, whatever the rule.
    assert column["w"][0] == (1 if absent == "missing" else 0)
    assert column["rare"][0] == (5 if absent == "missing" else 0)


def test_bags_of_words_are_zeros_and_ones():
    data = from_python([(dict.fromkeys(text.split(), 1), n % 2) for n, text in enumerate(["a b", "b c", "c a"] * 5)])
    assert sorted(set(data.x.ravel().tolist())) == [0, 1]


def test_options_apply_to_frames_too():
    frame = pd.DataFrame({"id": [7, 8], "a": ["1.000,5", "2"], "y": [0, 1]})
    data = from_python(frame, drop="id")
    assert (data.features, data.x.ravel().tolist()) == (("a",), [1000.5, 2])
    assert "columns left out: id" in data.notes
    for options, message in [({"absent": "zero"}, "absent does not apply"), ({"units": True}, "units does not apply")]:
        with pytest.raises(ConfigError, match=message):
            from_python(frame, **options)
