"""What a whole column of cells is: nothing is taken for something else in silence."""

import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import DataError
from protovine.net import CsvReplay, Schema
from protovine.stream import from_python, load, read_file
from protovine.stream.cells import Distinct, Numbers, Words, read_column
from protovine.stream.dates import date_like, day_first, iso_date
from protovine.stream.options import MISSING_AMONG_NUMBERS, MISSING_WORDS, ReadOptions
from tests.net.io.events import collect

KINDS = {
    "number": ["5", "-2.5", "20240201", "1e3", "007"],
    "time": ["2024-01-01", "13.01.2024", "1 Feb 2024", "2024-03-01 12:00"],
    "truth": ["true", "False", "TRUE"],
    "text": ["tru", "A/5", "12 Market 2024", "noon"],
    "loose": [word for word in MISSING_AMONG_NUMBERS if word not in MISSING_WORDS],
    "empty": ["", "?", "NA"],
}
CELLS = st.lists(st.sampled_from([(kind, cell) for kind, cells in KINDS.items() for cell in cells]), min_size=1)


def column(cells, **options):
    found = Distinct.of(pd.Series(cells, dtype=object))
    return read_column("f", "a", found, ReadOptions(**options), Numbers(), Words())


@pytest.fixture
def read(tmp_path):
    def write_and_read(content, name="f.csv", **options):
        path = tmp_path / name
        path.write_text(content)
        return read_file(path, **options)

    return write_and_read


def first(cells):
    return "a;y\n" + "".join(f"{cell};{'uv'[row % 2]}\n" for row, cell in enumerate(cells))


@given(CELLS)
def test_only_missing_words_become_missing_values(drawn):
    """Whatever stands together in a column, it is read as what it is, or the column is text, or there is an error."""
    kinds, cells = [kind for kind, _ in drawn], [cell for _, cell in drawn]
    present = [kind for kind in kinds if kind not in ("loose", "empty")]
    most = [kind for kind in ("number", "time", "truth") if 2 * present.count(kind) > len(present)]
    if most and present.count(most[0]) < len(present):
        with pytest.raises(DataError, match=r"text_columns = \['a'\]"):
            column(cells)
        return
    found, notes = column(cells)
    gone = pd.isna(found.values)
    if found.kind == "text":
        assert gone.tolist() == [kind == "empty" for kind in kinds]
        hidden = {"number", "time"} & set(present)
        assert notes or not hidden
    else:
        assert set(present) <= {"number" if found.kind == "number" else "time"} or set(present) == {"truth"}
        assert gone.tolist() == [kind in ("loose", "empty") for kind in kinds]
        assert any("begin with 0" in note for note in notes) == ("007" in cells)


def test_a_number_that_means_missing_is_missing_among_dates_too():
    found, _ = column(["2024-01-01", "-999.0", "2024-01-02", "-999"], missing_words="-999")
    assert ("time", [False, True, False, True]) == (found.kind, np.isnat(found.values).tolist())


def test_a_column_of_dates_and_as_many_numbers_is_text_with_a_note():
    found, notes = column(["2024-01-01", "2024-01-02", "5", "6"])
    assert "text" == found.kind
    assert ["column 'a' is text, though 2 of its 4 values look like dates, and 2 like numbers; missing_words may name "
            "the others"] == notes  # fmt: skip


@pytest.mark.parametrize("word", ["unavailable", "-", "N/A", "Unknown"])
def test_words_for_missing_among_true_and_false_are_missing_in_both_doors(read, tmp_path, word):
    data = read(first(["true", "False"] * 20 + [word]), missing="drop")
    assert ([1.0, 0.0] * 20, ("a",)) == (data.x[:, 0].tolist(), data.features)
    assert any(f"{word!r} (1 cell)" in note for note in data.notes)
    source = CsvReplay(Schema.of(data), tmp_path / "f.csv")
    assert 40 == len(collect(source))


def test_a_near_miss_of_true_is_an_error(read):
    with pytest.raises(
        DataError,
        match=r"^f.csv: column 'a', row 41: 'tru' is not true/false, but 40 of 41 values are; set missing_words = "
        r"\['tru'\] if it means missing, or text_columns = \['a'\]",
    ):
        read(first(["true", "False"] * 20 + ["tru"]))
    assert 3 == len(read(first(["true", "False"] * 20 + ["tru"]), text_columns="a").features)
    assert 3 == len(read(first(["true", "false", "tru", "nay"] * 5), missing="drop").features) - 1


@pytest.mark.parametrize(
    ("labels", "classes", "note"),
    [
        (["true", "false", "unavailable"], (False, True), "words read as missing: 'unavailable' (1 cell)"),
        (["true", "false", "tru"], ("false", "tru", "true"), "has true/false and 'tru': all read as text"),
        (["True", "1", "0"], ("0", "1", "True"), "has true/false and '1': all read as text"),
    ],
)
def test_labels_beside_true_and_false_have_a_note(read, labels, classes, note):
    data = read("a,y\n" + "".join(f"{row},{label}\n" for row, label in enumerate(labels)))
    assert classes == data.classes
    assert any(note in each for each in data.notes)


MONTHS = ["January", "february", "MAR", "apr", "May", "June", "jul", "August", "Sept", "sep", "October", "Dec"]


@given(st.sampled_from(MONTHS), st.text(st.characters(min_codepoint=97, max_codepoint=122), max_size=6))
def test_a_month_is_a_whole_name_or_a_known_abbreviation(month, rest):
    text = f"12 {month}{rest} 2024"
    known = (month + rest).lower() in {
        *(name.lower() for name in pd.date_range("2024-01-01", periods=12, freq="MS").month_name()),
        *(name[:3].lower() for name in pd.date_range("2024-01-01", periods=12, freq="MS").month_name()),
        "sept",
    }
    assert known == date_like(text) == (iso_date(text, None) is not None)


@pytest.mark.parametrize(
    "cells",
    [
        [f"1{i}:00" for i in range(9)],
        [f"1{i}:30 pm" for i in range(9)],
        [f"0 days 00:03:3{i}" for i in range(9)],
        [f"{i} days, 0:03:37.5" for i in range(9)],
        [f"PT{i}M" for i in range(9)],
        [f"2024-0{i}" for i in range(1, 9)],
        [f"2024-W0{i}-1" for i in range(1, 9)],
        [f"1{i}. Januar 2024" for i in range(9)],
        [f"1{i} janvier 2024" for i in range(9)],
    ],
    ids=lambda cells: cells[0],
)
def test_times_that_stay_text_have_a_note(cells):
    found, notes = column(cells)
    assert ("text", True) == (found.kind, f"look like times, such as {cells[0]!r}" in notes[0])


@pytest.mark.parametrize("cell", ["13-Jan-24", "13 Jan 24", "January 13, 24", "13/01/24"])
def test_years_of_two_digits_are_an_error(cell):
    with pytest.raises(DataError, match=rf"row 1: '{cell}' has a year of two digits, but the column holds dates"):
        column([cell, cell.replace("13", "14")])


@pytest.mark.parametrize(
    ("texts", "order", "note"),
    [
        (["13/01/2024", "05/06/2024"], True, None),
        (["01-13-2024", "05-06-2024"], False, None),
        (["05.06.2024"], True, "'a': dates such as 05.06.2024 are read with the day first"),
        (["13/01/2024", "05.06.2024"], True, "'a': dates such as 05.06.2024 are read with the day first"),
        (["05.06.2024", "01.13.2024"], False, "'a': dates such as 01.13.2024 are read with the month first"),
        (["01/13/2024", "05.06.2024"], "no other with '.' shows", None),
        (["13.01.2024", "05/06/2024"], "no other with '/' shows", None),
        (["13.01.2024", "01/13/2024"], "different order", None),
        (["2024-01-13"], None, None),
    ],
)
def test_dates_with_the_same_separator_show_the_order(texts, order, note):
    if isinstance(order, str):
        with pytest.raises(DataError, match=f"{order}.*set day_first"):
            day_first("f", "a", texts, ReadOptions())
        assert (False, []) == day_first("f", "a", texts, ReadOptions(day_first=False))
        return
    found, notes = day_first("f", "a", texts, ReadOptions())
    assert (order, [] if note is None else [f"column {note} (day_first)"]) == (found, notes)


COMMENTED = "sensor,v,y\nA,0,u\nB,1,v\n#A,999,u\nA,2,v\n"


def test_rows_that_are_commented_out_are_no_category(read, tmp_path):
    with pytest.raises(
        DataError,
        match=r"^f.csv: row 3 begins with '#A'; set comment = '#' if such lines are comments, or text_columns = "
        r"\['sensor'\] if its values begin so$",
    ):
        read(COMMENTED)
    data = read(COMMENTED, comment="#")
    assert (3, ("sensor=A", "sensor=B", "v")) == (len(data), data.features)
    assert "sensor=#A" in read(COMMENTED, text_columns="sensor").features
    # In quotes it is a value, and so it is if all rows begin so.
    assert "sensor=#A" in read(COMMENTED.replace("#A", '"#A"')).features
    assert ("a=#1", "a=#2") == read("a,b,y\n#1,2,u\n#2,3,v\n").features[:2]
    # A node has the same rule, also where the first column is left out.
    (tmp_path / "f.csv").write_text(COMMENTED)
    for schema in (Schema.of(data), Schema(("v",), ("u", "v"))):
        read_ = ReadOptions(drop="sensor") if schema.features == ("v",) else ReadOptions()
        source = CsvReplay(schema, tmp_path / "f.csv", read=read_)
        assert [0.0, 1.0, 2.0] == [event.x[-1] for event in collect(source)]
        assert {"row": 1} == source.refusals
    kept = CsvReplay(Schema(("sensor=A", "sensor=B", "sensor=#A", "v"), ("u", "v")), tmp_path / "f.csv")
    assert 4 == len(collect(kept))


def test_numbers_that_begin_with_0_have_a_note_from_every_door(tmp_path):
    frame = pd.DataFrame({"a": ["007", "008", "9"], "y": list("uvu")})
    frame.to_parquet(tmp_path / "f.parquet")
    frame.to_csv(tmp_path / "f.csv", index=False)
    for source in (frame, tmp_path / "f.parquet", tmp_path / "f.csv"):
        data = load(source)
        assert [7.0, 8.0, 9.0] == data.x[:, 0].tolist()
        assert ["column 'a' has numbers that begin with 0, read as numbers; text_columns keeps the 0"] == [*data.notes]
    assert not any("begin with 0" in note for note in from_python(frame.replace("00", "", regex=True)).notes)


@pytest.mark.parametrize(
    ("index", "note"),
    [
        (pd.RangeIndex(3), None),
        ([5, 3, 9], None),
        (pd.date_range("2024-01-01", periods=3), "index of the DataFrame, such as '2024-01-01 00:00:00', left out"),
        (["p", "q", "r"], "index of the DataFrame, such as 'p', left out"),
        (pd.MultiIndex.from_tuples([(0, 1), (0, 2), (1, 1)]), "index of the DataFrame, such as '(0, 1)', left out"),
        (pd.Index([0, 1, 2], name="id"), "index 'id' of the DataFrame left out"),
    ],
)
def test_an_index_that_says_something_is_left_out_with_a_note(index, note):
    data = from_python(pd.DataFrame({"a": [1, 2, 3], "y": list("uvu")}, index=index))
    assert [each for each in data.notes if "index" in each] == ([] if note is None else [note])


@pytest.mark.parametrize("title", [None, float("nan"), "", "  "])
def test_a_column_without_a_name_is_named_nowhere(title):
    frame = pd.DataFrame([[1, 2, "u"], [3, 4, "v"], [3, 5, "u"]], columns=["a", title, "y"])
    with pytest.raises(DataError, match=r"column 1 \(counted from 0\) has no name.*drop = \[1\]"):
        from_python(frame)
    assert ("a",) == from_python(frame, drop=[1]).features


def test_errors_name_no_option_that_does_not_apply(read):
    arff = "@relation r\n@attribute a numeric\n@attribute y {u,v}\n@data\n"
    with pytest.raises(DataError, match=r"row 1: '1,5' is not a number.*; set text_columns = \['a'\] if the column is"):
        read(arff + "'1,5',u\n2,v\n3,v\n", "f.arff")
    with pytest.raises(DataError, match=r"row 1: 'ERR' is not a number.*; set missing_words"):
        read(arff + "ERR,u\n2,v\n3,v\n", "f.arff")
    with pytest.raises(DataError, match=r"row 1: 'ERR' is not a number.*; set missing_words"):
        from_python(pd.DataFrame({"a": ["ERR", "2", "3"], "y": list("uvv")}))
    with pytest.raises(DataError, match=r"row 1: 'ERR' is not a number.*; set units = true"):
        read(first(["ERR", 2, 3]))


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        (["1,0", "0,0"], "decimal = ',' says that it is, text_columns"),
        (["1,5", "0,0"], r"decimal = ',' says that it is \(then the column looks like regression\), text_columns"),
    ],
)
def test_only_labels_with_decimals_look_like_regression(read, labels, hint):
    content = "a;y\n" + "".join(f"{row};{label}\n" for row, label in enumerate(labels))
    with pytest.raises(DataError, match=hint):
        read(content)
    if labels[0] == "1,0":
        assert (0, 1) == read(content, decimal=",").classes


@pytest.mark.parametrize("name", ["plain.json", "plain.xlsx", "plain.feather", "plain.csv.zip", "plain.txt", "plain"])
def test_a_file_of_another_type_is_no_unknown_data_set(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=rf"^{name}: not a data file; known file types are .csv"):
        load(name)


def test_a_name_wins_over_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sea").write_text("x")
    (tmp_path / "fishing").mkdir()
    assert 5 == len(load("sea", rows=5))
    with pytest.raises(DataError, match=r"^unknown data set 'fishing' \(did you mean 'phishing'"):
        load("fishing")


def test_a_pipe_is_not_called_empty(tmp_path):
    os.mkfifo(tmp_path / "f.csv")
    with pytest.raises(DataError, match=r"f.csv: not a regular file, such as a pipe"):
        load(tmp_path / "f.csv")


@pytest.mark.parametrize("kind", ["Int128", "UInt128", "Decimal", "UInt64", "Float32", "Boolean"])
def test_all_numbers_of_polars_are_numbers(kind):
    polars = pytest.importorskip("polars")
    if not hasattr(polars, kind):
        pytest.skip(f"this polars has no {kind}")
    type_ = polars.Decimal(10, 2) if kind == "Decimal" else getattr(polars, kind)
    a = polars.Series([1, 0, 1, 1]).cast(type_)
    data = from_python(polars.DataFrame({"a": a, "b": [1.0, 2.0, 3.0, 4.5], "y": list("uvuv")}))
    assert [1.0, 0.0, 1.0, 1.0] == data.x[:, 0].tolist()
    labels = from_python(polars.DataFrame({"b": [1.0, 2.0, 3.0, 4.5], "y": a}))
    assert [1, 0, 1, 1] == labels.y.tolist()
