import gzip
import sys

import numpy as np
import pandas as pd
import pytest

from protovine.errors import ConfigError, DataError
from protovine.stream import read_file
from protovine.stream.files import is_file_name
from protovine.stream.options import MISSING_AMONG_NUMBERS, MISSING_WORDS

WEATHER = "sky,degrees,wet,rain\nclear,21.5,True,no\ngrey,18,False,yes\nclear,19,False,no\n"
ARFF = """@relation weather
@attribute sky {clear,grey}
@attribute degrees numeric
@attribute wet {True,False}
@attribute rain {no,yes}
@data
"""


@pytest.fixture
def read(tmp_path):
    """Write a file and read it as a data set."""

    def write_and_read(content: str | bytes, name: str = "f.csv", **settings):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_file(path, **settings)

    return write_and_read


def test_the_same_table_is_the_same_data_in_every_file_type(read, tmp_path):
    expected = read(WEATHER)
    assert expected.features == ("sky=clear", "sky=grey", "degrees", "wet")
    assert expected.x.tolist() == [[1, 0, 21.5, 1], [0, 1, 18, 0], [1, 0, 19, 0]]
    assert expected.classes == ("no", "yes")
    assert expected.y.tolist() == [0, 1, 0]
    assert (expected.name, expected.notes, expected.drift_points) == ("f.csv", (), ())
    frame = pd.read_csv(tmp_path / "f.csv")
    frame.to_parquet(tmp_path / "w.parquet")
    others = [
        read(gzip.compress(WEATHER.encode()), "w.csv.gz"),
        read(WEATHER.replace(",", "\t"), "w.tsv"),
        read(gzip.compress(WEATHER.replace(",", "\t").encode()), "W.TSV.GZ"),
        read("\ufeff" + WEATHER.replace(",", ", ").replace("\n", "\r\n"), "w.csv"),
        read(ARFF + "clear,21.5,True,no\ngrey,18,False,yes\nclear,19,False,no\n", "w.arff"),
        read_file(str(tmp_path / "w.parquet")),
    ]
    assert {other.fingerprint() for other in others} == {expected.fingerprint()}


def test_the_label_is_the_last_column_or_the_one_named(read):
    data = read("species,size\ncat,3\ndog,5\n", label="species")
    assert (data.features, data.classes) == (("size",), ("cat", "dog"))
    with pytest.raises(DataError, match=r"^f.csv: no column 'specis' to use as label \(did you mean 'species'\?\)$"):
        read("species,size\ncat,3\n", label="specis")


@pytest.mark.parametrize(
    ("cells", "classes", "codes"),
    [
        (["10", "9", "10"], (9, 10), [1, 0, 1]),
        (["1.0", "0.0", "1.0"], (0, 1), [1, 0, 1]),
        (["true", "false", "true"], (False, True), [1, 0, 1]),
        (["b", "10", "9"], ("10", "9", "b"), [2, 0, 1]),
        (["-1", "1", "0"], (-1, 0, 1), [0, 2, 1]),
        ([" <=50K", " >50K", " >50K"], ("<=50K", ">50K"), [0, 1, 1]),
    ],
)
def test_labels_become_plain_python_values_in_order(read, cells, classes, codes):
    data = read("a,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))
    assert [(type(label), label) for label in data.classes] == [(type(label), label) for label in classes]
    assert data.y.tolist() == codes


def test_rows_without_label_have_none_and_a_note_says_so(read):
    data = read("a,y\n1,u\n2,\n3,?\n4,v\n5,NaN\n")
    assert (data.x.ravel().tolist(), data.classes) == ([1, 2, 3, 4, 5], ("u", "v"))
    assert (data.y.tolist(), data.labels()) == ([0, -1, -1, 1, -1], ["u", None, None, "v", None])
    assert data.notes == (
        "words read as missing: '?' (1 cell), 'NaN' (1 cell)",
        "3 rows with a missing label: predicted, but not learnt and not judged",
    )


HOLES = "a,b,y\n1,,0\n?,x,1\n9,z,0\n5,nan,1\n"


def test_missing_numbers_get_the_median_and_missing_texts_a_category(read):
    data = read(HOLES)
    assert data.features == ("a", "b=missing", "b=x", "b=z")
    assert data.x.tolist() == [[1, 1, 0, 0], [5, 0, 1, 0], [9, 0, 0, 1], [5, 1, 0, 0]]
    assert data.notes == (
        "words read as missing: '?' (1 cell), 'nan' (1 cell)",
        "1 row with a missing value: filled with the column's median",
        "2 rows with a missing text: given the category 'missing'",
    )


def test_every_missing_word_counts_and_other_words_do_not(read):
    for words in (MISSING_WORDS[1:], MISSING_AMONG_NUMBERS):
        rows = "".join(f"{word},1\n" for word in words)
        data = read("a,y\n" + "1,0\n" * len(words) + rows + "3,0\n", missing="drop")
        assert data.x.ravel().tolist() == [1] * len(words) + [3]
    # In a column of text a dash may be a text like any other.
    assert read("a,y\nNone,0\n-,1\nn/a,0\n").features == ("a=-", "a=None", "a=missing")


def test_blanks_around_separators_are_ignored(read):
    data = read('a, t, y\n 1, "x, z", no\n 2, ?, yes \n')
    assert (data.features, data.classes) == (("a", "t=missing", "t=x, z"), ("no", "yes"))


def test_missing_values_can_drop_their_rows(read):
    data = read(HOLES, missing="drop")
    assert (data.features, data.x.tolist(), data.y.tolist()) == (("a", "b=z"), [[9, 1]], [0])
    assert data.notes[1:] == ("3 rows with a missing value: left out",)
    with pytest.raises(DataError, match="every row has a missing value"):
        read("a,b,y\n1,,0\n,2,1\n", missing="drop")


def test_missing_values_can_be_refused(read):
    with pytest.raises(DataError, match=r"missing values: column 'a' has 1, column 'b' has 2; set missing to 'impute'"):
        read(HOLES, missing="error")
    assert read(WEATHER, missing="error").notes == ()


def test_a_column_without_any_value_is_left_out_with_a_note(read):
    for missing in ("impute", "drop"):
        data = read("a,b,y\n,1,0\n?,2,1\n", missing=missing)
        assert (data.features, data.notes[1:]) == (("b",), ("column 'a' has no value: left out",))
    with pytest.raises(DataError, match="no feature column has a value"):
        read("a,y\n,1\n,2\n")


def test_text_can_become_its_position_in_the_sorted_values(read):
    data = read("a,y\npear,0\n,1\nfig,0\npear,1\n", text="ordinal")
    assert (data.features, data.x.tolist()) == (("a",), [[2.0], [1.0], [0.0], [2.0]])


def test_one_hot_takes_at_most_a_hundred_values(read):
    def column(n):
        return "a,y\n" + "".join(f"v{i},{i % 2}\n" for i in range(n))

    assert read(column(100)).x.tolist() == np.eye(100)[np.argsort(np.argsort([f"v{i}" for i in range(100)]))].tolist()
    with pytest.raises(DataError, match=r"column 'a' has 101 different values, one-hot allows 100; set text = 'ordin"):
        read(column(101))
    assert read(column(101), text="ordinal").x.max() == 100


def test_dates_become_seconds_since_the_earliest(read):
    data = read("at,y\n2024-01-02,0\n2024-01-01T12:00:00,1\n,0\n2024-01-03 00:00:00+01:00,1\n")
    assert data.x.ravel().tolist() == [43200.0, 0.0, 43200.0, 43200.0 + 23 * 3600]


def test_earliest_date_is_taken_from_the_rows_that_are_left(read):
    assert read("at,a,y\n2024-01-01,,0\n2024-01-02,1,1\n2024-01-03,2,1\n", missing="drop").x[:, 0].tolist() == [
        0.0,
        86400.0,
    ]


def test_arff_nominal_values_are_text_and_question_marks_are_missing(read):
    data = read(ARFF + "?,?,False,yes\ngrey,18,?,?\nclear,20,True,no\n", "w.arff")
    assert data.features == ("sky=clear", "sky=grey", "sky=missing", "degrees", "wet")
    assert data.x.tolist() == [[0, 0, 1, 19, 0], [0, 1, 0, 18, 0.5], [1, 0, 0, 20, 1]]
    assert (data.classes, data.y.tolist()) == (("no", "yes"), [1, -1, 0])
    assert "1 row with a missing label: predicted, but not learnt and not judged" in data.notes


def test_arff_nominal_numbers_are_numbers(read):
    data = read("@relation r\n@attribute day {1,2,10}\n@attribute y {9,10}\n@data\n10,10\n?,9\n2,10\n", "n.arff")
    assert (data.features, data.x.tolist(), data.classes) == (("day",), [[10.0], [6.0], [2.0]], (9, 10))


def test_parquet_columns_of_every_type_are_numbers(tmp_path):
    frame = pd.DataFrame(
        {
            "int": pd.array([1, None, 4], dtype="Int64"),
            "flag": pd.array([True, False, True], dtype="boolean"),
            "when": pd.to_datetime(["2024-01-01T00:00:00", "2024-01-01T00:00:30", None]),
            "span": pd.to_timedelta([60, 0, 30], unit="s"),
            "kind": pd.Categorical(["v", "u", "v"]),
            "y": ["p", "q", "p"],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    data = read_file(tmp_path / "t.parquet")
    assert data.features == ("int", "flag", "when", "span", "kind=u", "kind=v")
    assert data.x.tolist() == [[1, 1, 0, 60, 0, 1], [2.5, 0, 30, 0, 1, 0], [4, 1, 15, 30, 0, 1]]


def test_parquet_without_pyarrow_names_the_package_to_install(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install pyarrow$"):
        read(b"PAR1", "t.parquet")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.csv", "", "the file is empty$"),
        ("f.csv", "\n\n", "there are no rows"),
        ("f.csv", "a,y\n", "there are no rows$"),
        (
            "f.csv",
            "a\n1\n",
            "a label column and at least one feature column are needed, got one: 'a'; is separator right",
        ),
        ("f.csv", "a,y\n1,2\n1,2,3\n", "row 2 has 3 cells, but there are 2 columns"),
        ("f.csv", "a,y\n1,2,3\n1,2,3\n", "row 1 has 3 cells, but there are 2 columns"),
        ("f.csv", b"a,y\n\xe9,1\n", "line 2 has the byte 0xe9, which is not UTF-8; set encoding, such as 'cp1252'"),
        ("f.csv", "a,y,\n1,2,3\n", r"column 2 \(counted from 0\) has no name; name it, or leave it out"),
        ("f.csv.gz", b"plain", "cannot be read: Not a gzipped file"),
        ("f.csv.gz", gzip.compress(b"a,y\n" + b"1,2\n" * 99, mtime=0)[:-9], "cannot be read: Compressed file ended"),
        ("f.csv", "a,y\n1,0\ninf,1\n", r"column 'a', row 2: inf is infinite; set infinity = 'missing'"),
        ("f.csv", "a,y\n1,0.5\n2,1\n", "label column 'y' looks like regression: it holds 0.5"),
        ("f.csv", "a,y\n1,inf\n2,1\n", "label column 'y' looks like regression: it holds inf"),
        ("f.csv", "a,y\n" + "".join(f"1,{i}\n" for i in range(1001)), "1001 different values, at most 1000"),
        ("f.csv", "a,a=u,y\nu,1,0\nv,2,1\n", "feature names must differ, got 'a=u' more than once$"),
        ("f.parquet", b"nonsense", "cannot be read: "),
        ("f.arff", "junk\n", "cannot be read: line 1 is no @relation, @attribute or @data$"),
        ("f.arff", ARFF, "there are no rows$"),
        ("f.arff", ARFF + "blue,1,True,no\n", "column 'sky', row 1: 'blue' is not one of clear, grey$"),
        ("f.arff", ARFF + "grey,warm,True,no\n", "column 'degrees', row 1: 'warm' is not a number"),
        ("f.arff", ARFF + "grey,1\n", "row 1 has 2 values, but there are 4 attributes"),
        ("f.arff", "@relation r\n@attribute a relational\n", "has the type 'relational'; known are numeric"),
        (
            "f.xlsx",
            "x",
            "not a data file; known file types are .csv, .tsv, .arff, .jsonl, .ndjson, these also with .gz",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(read, name, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(content, name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_thousand_classes_are_allowed(read):
    assert len(read("a,y\n" + "".join(f"1,{i}\n" for i in range(1000))).classes) == 1000


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"^no such file: .*nothing\.csv$"):
        read_file(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="not a data file"):
        read_file(tmp_path)


def test_unknown_settings_are_refused_before_the_file_is_read():
    with pytest.raises(ConfigError, match=r"got 'onehot' \(did you mean 'one-hot'\?\)"):
        read_file("nothing.csv", text="onehot")
    with pytest.raises(ConfigError, match="missing must be one of impute, drop, error, got 'fill'"):
        read_file("nothing.csv", missing="fill")


def test_extension_or_separator_makes_a_string_a_file():
    assert all(map(is_file_name, ["a.csv", "a.CSV.GZ", "a.tsv", "a.parquet", "a.arff", "./a", "dir/phishing"]))
    assert not any(map(is_file_name, ["phishing", "rbf-drift", "a.xlsx", "csv"]))
