"""Arrays and DataFrames of any library as rows of numbers, columns of labels as lists, and results back again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protovine import values
from protovine.learn.validate import floats_of, no_number
from protovine.prototypes import FEATURE_MAX

if TYPE_CHECKING:
    import narwhals.stable.v2 as nw

Floats = NDArray[np.float64]

# Kinds of arrays that hold labels of a type.
_KINDS: Mapping[type, str] = {str: "U", bool: "b", int: "iu", float: "f"}


def frame_of(x: Any) -> nw.DataFrame[Any] | None:
    """A pandas or Polars DataFrame or an Arrow table in Narwhals' wrapper; None for anything that has no column names.

    Raises
    ------
    ValueError
        Two columns have the same name.
    TypeError
        It is a table that is read later, or of a library that Narwhals does not know.
    """
    if isinstance(x, np.ndarray | list | tuple):
        return None
    names = getattr(x, "column_names", None) or getattr(x, "columns", None)
    if names is not None and not callable(names):
        for name, count in Counter(name for name in names if isinstance(name, Hashable)).items():
            if count > 1:
                raise ValueError(f"x has more than one column named {name!r}")
    import narwhals.stable.v2 as nw

    frame = nw.from_native(x, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        return frame
    if names is not None or hasattr(x, "collect") or hasattr(x, "__dataframe__"):
        raise TypeError(f"a table must be a pandas or Polars DataFrame or an Arrow Table, got {type(x).__name__}")
    return None


def columns_of(frame: nw.DataFrame[Any], takes_missing: bool) -> dict[Hashable, Floats]:
    """The columns (n,) by name as float64, NaN for missing values.

    Raises
    ------
    ValueError
        A value is no number, infinite, beyond `FEATURE_MAX`, or missing although the learner takes no missing ones; or
        a column holds categories. The first such value is named.
    """
    import narwhals.stable.v2 as nw

    found: dict[Hashable, Floats] = {}
    for name in frame.columns:
        column = frame.get_column(name)
        if isinstance(column.dtype, nw.Categorical | nw.Enum):
            raise ValueError(f"column {name!r} holds categories; encode them as numbers first")
        found[name] = _checked(column.to_numpy(), _in_column(name), takes_missing)
    return found


def rows_of(x: Any, takes_missing: bool) -> Floats:
    """Rows (n, d) of an array, a masked array or a list of lists as float64, NaN for missing values.

    Raises
    ------
    ValueError
        The shape is another, or a value is not usable, as in `columns_of`.
    TypeError
        It is a dictionary or a sparse matrix.
    """
    if isinstance(x, Mapping):
        raise TypeError("x must have shape (n, d), got a dictionary; learn_one and predict_one take dictionaries")
    if hasattr(x, "toarray") and not isinstance(x, np.ndarray):
        raise TypeError(f"x must be a dense array, got {type(x).__name__}; pass x.toarray()")
    try:
        rows = np.asanyarray(x)
        if rows.dtype.kind in "US" and not isinstance(x, np.ndarray):
            rows = np.array(x, dtype=object)  # NumPy makes text of the numbers beside text.
    except ValueError:
        raise ValueError("x must have shape (n, d), but its rows have different lengths") from None
    if rows.ndim == 2 and not rows.shape[1]:
        raise ValueError(f"x must have at least one column, got shape {rows.shape}")
    if rows.ndim != 2:
        raise ValueError(
            f"x must have shape (n, d), a row for each sample, got shape {rows.shape}; "
            "reshape(1, -1) makes one row, reshape(-1, 1) one column"
        )
    return _checked(rows, lambda i: f"x, row {i[0]}, column {i[1]},", takes_missing)


def labels_of(y: Any, n: int) -> list[Hashable | None]:
    """The labels of ``n`` rows as plain values, None for missing ones, from a sequence, an array or a table's column.

    Raises
    ------
    ValueError
        There are more or fewer than ``n``.
    TypeError
        It is no sequence of labels, or one of them is not hashable.
    """
    for method in ("to_pylist", "to_list"):  # Of Arrow, and of Polars and pandas.
        if hasattr(y, method):
            y = getattr(y, method)()
            break
    if isinstance(y, np.ndarray):
        if y.ndim != 1:
            raise ValueError(f"y must have one label for each of the {n} rows, got shape {y.shape}")
        # Python has no dates of this precision.
        y = list(y) if y.dtype.kind in "mMO" and not np.ma.isMaskedArray(y) else y.tolist()
    if isinstance(y, str | bytes | Mapping | set | frozenset) or not hasattr(y, "__iter__") or hasattr(y, "columns"):
        raise TypeError(f"y must be a sequence of labels, got {type(y).__name__}")
    labels = [values.label(each) for each in y]
    if len(labels) != n:
        raise ValueError(f"y must have one label for each of the {n} rows, got {len(labels)}")
    return labels


def first_values(rows: Floats) -> list[float]:
    """The first value of each column that is not missing, 0 where there is none."""
    found = ~np.isnan(rows)
    first = rows[found.argmax(axis=0), np.arange(rows.shape[1])] if len(rows) else np.zeros(rows.shape[1])
    numbers: list[float] = np.nan_to_num(first).tolist()
    return numbers


def array_of(labels: Sequence[Any]) -> NDArray[Any]:
    """Labels in an array of text, truth values, integers or floats if all are of this one type, else of objects.

    Each entry equals its label: there is no text for 1, and no float for an integer beyond 64 bits.
    """
    plain = np.fromiter(labels, dtype=object, count=len(labels))
    types = set(map(type, labels))
    kinds = _KINDS.get(types.pop(), "") if len(types) == 1 else ""
    if kinds:
        typed = np.array(labels)
        if typed.dtype.kind in kinds and typed.tolist() == list(labels):  # Text loses zero bytes at its end.
            return typed
    return plain


def series_like(frame: nw.DataFrame[Any], labels: NDArray[Any]) -> Any:
    """A column of labels (n,) of the library of ``frame``, with its index if it has one.

    Raises
    ------
    ValueError
        The labels are of several types, such as text and numbers, which a column of this library cannot hold.
    """
    if frame.implementation.is_pandas_like():
        native = frame.to_native()
        made = native.iloc[:, 0:0].copy()
        made["label"] = labels
        return made["label"].rename(None)
    import narwhals.stable.v2 as nw

    return nw.new_series("label", _of_one_type(labels.tolist()), backend=frame.implementation).to_native()


def frame_like(frame: nw.DataFrame[Any], columns: Mapping[Any, Floats]) -> Any:
    """A table of ``columns`` (n,) of the library of ``frame``, with its index; names become text where they have to."""
    if frame.implementation.is_pandas_like():
        made = frame.to_native().iloc[:, 0:0].copy()
        made.columns = made.columns.astype(object)
        for name, column in columns.items():
            made[name] = column
        return made
    import narwhals.stable.v2 as nw

    named = {str(name): column for name, column in columns.items()}
    if len(named) < len(columns):
        raise ValueError(f"labels must differ as text to be names of columns, got {', '.join(map(repr, columns))}")
    return nw.from_dict(named, backend=frame.implementation).to_native()


def _of_one_type(labels: list[Any]) -> list[Any]:
    """Labels as they are, or numbers that equal them and are of one type; ``ValueError`` if there are none."""
    types = set(map(type, labels))
    if len(types) > 1 and types <= {bool, int, float}:
        numbers: list[Any] = np.array(labels).tolist()
        if numbers == labels:
            return numbers
    if len(types) > 1:
        names = ", ".join(sorted(each.__name__ for each in types))
        raise ValueError(f"labels of several types ({names}) fit no column; predict returns them in an array")
    return labels


def _in_column(name: Hashable) -> Callable[[tuple[int, ...]], str]:
    return lambda i: f"column {name!r}, row {i[0]},"


def _checked(array: NDArray[Any], where: Callable[[tuple[int, ...]], str], takes_missing: bool) -> Floats:
    """An array of any type as float64, NaN for missing values; ``where`` names the place of an index for errors."""
    numbers = floats_of(array, where)
    usable = np.abs(numbers) <= FEATURE_MAX
    if takes_missing:
        usable |= np.isnan(numbers)
    if not usable.all():
        i = tuple(np.argwhere(~usable)[0].tolist())
        raise no_number(where(i), array[i], float(numbers[i]))
    return numbers
