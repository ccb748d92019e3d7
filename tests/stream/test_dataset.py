import dataclasses

import numpy as np
import pytest

from protovine.errors import ConfigError, DataError
from protovine.stream import DataSet, require_classes
from protovine.stream.dataset import sort_labels

X = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]])
Y = np.array([0, 1, 1, 0])


def make(**changes) -> DataSet:
    fields = {"name": "tiny", "x": X, "y": Y, "features": ("a", "b"), "classes": ("no", "yes"), "drift_points": (2,)}
    return DataSet(**{**fields, **changes})


def test_arrays_are_read_only_contiguous_and_of_fixed_type():
    data = make(x=np.asfortranarray(X.astype(np.float32)), y=Y.astype(np.uint8))
    assert (data.x.dtype, data.y.dtype) == (np.float64, np.int64)
    assert data.x.flags.c_contiguous
    for array in (data.x, data.y, data.head(2).x, data.rows([1]).y):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_later_writes_to_the_callers_arrays_do_not_reach_the_data():
    x, y = X.copy(), Y.copy()
    data = make(x=x, y=y)
    x[:], y[:] = -1, 1
    assert data.x.tolist() == X.tolist()
    assert data.y.tolist() == Y.tolist()


def test_head_keeps_classes_and_cuts_drift_points():
    assert [len(make().head(limit)) for limit in (1, 3, 4, 99)] == [1, 3, 4, 4]
    assert [make().head(limit).drift_points for limit in (1, 2, 3, 4)] == [(), (), (2,), (2,)]
    assert make().head(1).classes == ("no", "yes")
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        make().head(0)


def test_rows_follow_the_index_and_have_no_drift_points():
    data = make().rows(np.array([3, 0, 3]))
    assert data.x.tolist() == [[6.0, 7.0], [0.0, 1.0], [6.0, 7.0]]
    assert data.y.tolist() == [0, 0, 0]
    assert data.drift_points == ()


@pytest.mark.parametrize(
    ("index", "message"),
    [([], "non-empty"), ([[0]], "non-empty"), ([0.5], "whole numbers"), ([4], "got 4 to 4"), ([-1], "got -1 to -1")],
)
def test_rows_outside_the_data_are_refused(index, message):
    with pytest.raises(DataError, match=message):
        make().rows(index)


def test_fingerprint_depends_only_on_contents_features_and_classes():
    same = make().fingerprint()
    assert len(same) == 32
    assert make(name="other", notes=("x",), drift_points=()).fingerprint() == same
    changes = [
        {"x": X + np.eye(4, 2) * 1e-15},
        {"y": 1 - Y},
        {"features": ("a", "c")},
        {"features": ("ab", "")},
        {"classes": ("no", "yet")},
        {"classes": (0, 1)},
        {"classes": (False, True)},
        {"classes": ("0", "1")},
        {"classes": (0.0, 1.0)},
    ]
    prints = [make(**change).fingerprint() for change in changes]
    assert len({same, *prints}) == 1 + len(changes)


def test_positive_class_is_the_last_or_the_one_named():
    assert make().positive_code(None) == 1
    assert make().positive_code("no") == 0
    assert make(classes=(3, 11)).positive_code("11") == 1
    flags = make(classes=(False, True))
    assert [flags.positive_code(text) for text in ("true", "TRUE", "False")] == [1, 1, 0]


def test_unknown_positive_class_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ConfigError, match="must be one of no, yes, got 'Yes'"):
        make().positive_code("Yes")


def test_one_class_among_the_rows_is_refused_even_when_the_vocabulary_has_two():
    require_classes(make())
    with pytest.raises(DataError, match=r"^tiny: needs at least two classes, got one: 'yes'$"):
        require_classes(make().rows([1, 2]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": X[0]}, "at least one row and one column"),
        ({"x": X[:0], "y": Y[:0]}, "at least one row and one column"),
        ({"x": X[:, :0], "features": ()}, "at least one row and one column"),
        ({"x": X.astype(str)}, "must hold numbers"),
        ({"x": np.where(X == 5, np.nan, X)}, "must be finite and within ±1e\\+38, got nan in row 2, column 1"),
        ({"x": np.where(X == 6, -np.inf, X)}, "must be finite and within ±1e\\+38, got -inf in row 3, column 0"),
        ({"y": Y[:3]}, "y must hold 4 whole numbers"),
        ({"y": Y.astype(float)}, "y must hold 4 whole numbers"),
        ({"y": Y + 1}, "between 0 and 1, or -1 without a label, got 1 to 2"),
        ({"y": Y - 2}, "between 0 and 1, or -1 without a label, got -2 to -1"),
        ({"features": ("a",)}, "2 feature names are needed, got 1"),
        ({"features": ("a", "a")}, "got 'a' more than once"),
        ({"classes": ("yes", "no")}, "sorted"),
        ({"classes": ("10", 10)}, "texts must differ"),
        ({"classes": (np.int64(0), np.int64(1))}, "a class must be"),
        ({"classes": (0.0, float("nan"))}, "a class must be"),
        ({"drift_points": (0,)}, "ascend between 1 and 3"),
        ({"drift_points": (4,)}, "ascend between 1 and 3"),
        ({"drift_points": (2, 2)}, "ascend between 1 and 3"),
    ],
)
def test_invalid_data_is_refused_with_its_name_and_value(changes, message):
    with pytest.raises(DataError, match=message) as caught:
        make(**changes)
    assert str(caught.value).startswith("tiny: ")
    assert "\n" not in str(caught.value)


def test_labels_sort_by_value_if_all_are_numbers_else_by_text():
    assert sort_labels([10, 9, 2.5]) == (2.5, 9, 10)
    assert sort_labels([True, False]) == (False, True)
    assert sort_labels(["b", 10, 9]) == (10, 9, "b")


def test_fields_cannot_be_reassigned():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().name = "other"
