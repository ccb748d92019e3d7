"""ARFF files as Weka and others write them."""

import pytest

from protovine.errors import DataError
from protovine.stream import read_file

WEATHER = r"""% a comment
@RELATION 'my relation'
@ATTRIBUTE 'a b'   NUMERIC % not part of it
@attribute	colour{'dark red', blue,"o'k"}
@Attribute when date "dd.MM.yyyy HH:mm"
@attribute text string

@attribute class { yes,no ,maybe }
@attribute last real
@DATA
1, 'dark red', '02.01.2024 00:00', 'it\'s, ok', yes, 5
% between
?,blue,"01.01.2024 12:00",x,no,6 % behind
 3 , "o'k" , ? , 'x' , ? , 7
"""


@pytest.fixture
def read(tmp_path):
    def write_and_read(content, **options):
        path = tmp_path / "w.arff"
        path.write_text(content, encoding="utf-8")
        return read_file(path, **options)

    return write_and_read


def test_quotes_escapes_comments_dates_and_texts(read):
    data = read(WEATHER)
    assert data.features == (
        *("a b", "colour=blue", "colour=dark red", "colour=o'k", "when", "text=it's, ok", "text=x", "last"),
    )
    assert data.x[0].tolist() == [1, 0, 1, 0, 43200, 1, 0, 5]
    assert data.x[1:].tolist() == [[2, 1, 0, 0, 0, 0, 1, 6], [3, 0, 0, 1, 21600, 0, 1, 7]]
    assert data.times == {"when": "2024-01-01T12:00:00+00:00"}
    # All declared classes, also those that do not occur.
    assert (data.classes, data.y.tolist()) == (("maybe", "no", "yes"), [2, 1, -1])
    assert data.notes[:2] == ("the label is 'class'", "declared classes that do not occur: maybe")


def test_sparse_rows_leave_out_zeros_and_first_values(read):
    head = "@relation r\n@attribute a real\n@attribute b {x,y}\n@attribute c integer\n@attribute k {p,q}\n@data\n"
    data = read(head + "{0 1.5, 3 q}\n{1 y}\n{ }\n{2 -7,0 ?}\n2,x,3,p\n")
    assert data.features == ("a", "b=x", "b=y", "c")
    assert data.x.tolist() == [[1.5, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0.75, 1, 0, -7], [2, 1, 0, 3]]
    assert data.y.tolist() == [1, 0, 0, 0, 0]
    with pytest.raises(DataError, match=r"row 1: '4 1' must be the number of an attribute, 0 to 3 and once"):
        read(head + "{4 1}\n")


def test_the_label_is_the_attribute_called_class_else_the_last_nominal_one(read):
    assert read("@relation r\n@attribute k {p,q}\n@attribute a real\n@data\np,1\nq,2\n").classes == ("p", "q")
    head = "@relation r\n@attribute Class {p,q}\n@attribute a {u,v}\n@data\np,u\nq,v\n"
    assert read(head).classes == ("p", "q")
    assert read(head, label="a").classes == ("u", "v")
    assert read("@relation r\n@attribute a real\n@attribute b real\n@data\n1,1\n2,0\n").classes == (0, 1)


def test_declared_order_counts_for_ordinal_and_declared_words_are_no_missing_values(read):
    head = "@relation r\n@attribute size {low,medium,high}\n@attribute k {NA,q}\n@data\n"
    data = read(head + "high,NA\nlow,q\nmedium,NA\n", text="ordinal")
    assert (data.x.ravel().tolist(), data.classes, data.y.tolist()) == ([2, 0, 1], ("NA", "q"), [0, 1, 0])


@pytest.mark.parametrize(
    ("head", "row", "message"),
    [
        (
            "@attribute a real\n@attribute a real\n@attribute k {p,q}",
            "1,2,p",
            "got 'a' more than once$",
        ),
        ("@attribute a real\n@attribute k {p,q}", "1,r", "column 'k', row 1: 'r' is not one of p, q$"),
        ("@attribute a real\n@attribute k {p,q}", "one,p", "column 'a', row 1: 'one' is not a number"),
        ("@attribute a real\n@attribute k {p,q}", "1,2,p", "row 1 has 3 values, but there are 2 attributes$"),
        ("@attribute a date\n@attribute k {p,q}", "2024,p", "column 'a', row 1: '2024' is not a date of the declared"),
        ("@attribute a date 'EEE'\n@attribute k {p,q}", "x,p", "has the date format 'EEE'; known parts are yyyy"),
        ("@attribute a real\n@attribute k {p,p}", "1,p", "line 3: the values of 'k' must be different and in braces$"),
        ("@attribute a", "1", "line 2 is no attribute"),
    ],
)
def test_faults_are_named(read, head, row, message):
    with pytest.raises(DataError, match=message):
        read(f"@relation r\n{head}\n@data\n{row}\n")
