"""Data sets from Python objects: arrays, DataFrames, River data sets and iterables of (dict, label) pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from protovine.errors import ConfigError, DataError
from protovine.stream.dataset import DataSet, check_rows
from protovine.stream.download import fetch
from protovine.stream.encode import encode
from protovine.stream.options import ENCODED_ONLY, PAIRS_ONLY, TEXT_FILE_ONLY, ReadOptions
from protovine.stream.rows import from_rows
from protovine.stream.table import Table, check_titles
from protovine.values import check_index

if TYPE_CHECKING:
    import pandas as pd

# Rows to read from River's endless generators when the caller gives no number.
ROWS_DEFAULT = 5000


def from_python(
    obj: object,
    *,
    name: str = "python",
    rows: int | None = None,
    options: ReadOptions | None = None,
    **settings: Any,
) -> DataSet:
    """The data set in a Python object.

    Parameters
    ----------
    obj : tuple, DataFrame, iterable or DataSet
        - ``(X, y)``: X an array or SciPy sparse array of shape (n, d), whose columns are called x0, x1, …, or a
          DataFrame; y n labels, in pandas with the index of X. Masked values are missing;
        - a DataFrame of pandas or polars, or a pyarrow Table, one column of which is the label;
        - a River data set, or any finite iterable of (dict, label) pairs: features stand in the order in which they
          first appear. A key that a row lacks is 0 as in River's sparse dictionaries, or a missing value if it stands
          in more than half of the rows with values that differ, or if its values are texts;
        - a `DataSet`, which is returned unchanged.
    name : str
        The name of the data set; a `DataSet` keeps its name.
    rows : int >= 1, optional
        How many rows to read from an iterable (by default 5000 of River's endless generators), or how many of the first
        rows to keep of other objects.
    options : ReadOptions, optional
        How to read it; or the same as `settings`, for example ``label="species"``.

    Raises
    ------
    ConfigError
        A setting is unknown, out of range, or does not apply to this kind of object.
    DataError
        The object is of another type, or its values cannot be encoded.

    Examples
    --------
    >>> data = from_python([({"a": 1, "b": True}, "no"), ({"b": False}, "yes"), ({"a": 3, "c": 1}, "no")])
    >>> data.features, data.x.tolist()
    (('a', 'b', 'c'), [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [3.0, 0.0, 1.0]])
    """
    options = ReadOptions.of(**settings) if options is None else options
    if rows is not None:
        check_rows(rows)
    if isinstance(obj, DataSet):
        options.only("a DataSet", ())
        return obj if rows is None else obj.head(rows)
    frame = _frame(name, obj)
    if frame is None and options.label is not None:
        raise ConfigError("a label column can be named for files and DataFrames only")
    options.without("a Python object", (*TEXT_FILE_ONLY, *ENCODED_ONLY))
    if frame is not None:
        options.without("a DataFrame", PAIRS_ONLY)
        table = Table.of(name, frame)
    elif isinstance(obj, tuple) and len(obj) == 2 and not _is_pair(obj[0]):
        options.without("arrays", PAIRS_ONLY)
        table = _from_arrays(name, *obj)
    else:
        table = _from_pairs(name, obj, rows, options.absent)
    data = encode(table, options)
    return data if rows is None else data.head(rows)


def _frame(name: str, obj: Any) -> pd.DataFrame | None:
    """A pandas DataFrame with the cells of a DataFrame of any kind; None if it is none."""
    import pandas as pd

    if isinstance(obj, pd.DataFrame):
        return obj
    import narwhals.stable.v2 as nw

    if hasattr(obj, "column_names"):  # Arrow allows names to be repeated.
        check_titles(name, [str(title) for title in obj.column_names], droppable=False)
    try:
        frame = nw.from_native(obj, pass_through=True)
    except Exception as error:  # Other libraries' own errors.
        raise DataError(f"{name}: cannot use {type(obj).__name__} as data: {' '.join(str(error).split())}") from error
    if isinstance(frame, nw.LazyFrame):
        raise DataError(f"{name}: a {type(obj).__name__} must be collected first, with its own method for that")
    if not isinstance(frame, nw.DataFrame):
        return None
    columns = {}
    for place, title in enumerate(frame.columns):
        columns[place] = _series(frame.get_column(title))
    made = pd.DataFrame(columns)
    made.columns = pd.Index(frame.columns)
    return made


def _series(column: Any) -> pd.Series:
    """A column of narwhals: numbers as NumPy has them, everything else as Python does."""
    import pandas as pd

    if column.dtype.is_numeric() and not column.is_null().any():
        try:
            return pd.Series(column.to_numpy())
        except Exception:  # Other libraries' own errors: NumPy has no numbers of 128 bits.
            pass
    return pd.Series(column.to_list(), dtype=object)


def _is_pair(item: object) -> bool:
    return isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[0], Mapping)


def _from_arrays(name: str, x: Any, y: Any) -> Table:
    import pandas as pd
    from scipy import sparse

    try:
        check_index(x, y, "y")
    except ValueError as error:
        raise DataError(f"{name}: {error}") from None
    frame = None if isinstance(x, np.ndarray | list | tuple) else _frame(name, x)
    if frame is None:
        if sparse.issparse(x):
            x = x.toarray()
        x = _array(name, x)
        if x.dtype.names:
            frame = pd.DataFrame({title: pd.Series(x[title]) for title in x.dtype.names})
        elif x.ndim != 2 or x.shape[1] == 0:
            raise DataError(f"{name}: X must have the shape (rows, features), got {x.shape}")
        else:
            frame = pd.DataFrame(x, dtype=_kept(x), columns=[f"x{j}" for j in range(x.shape[1])])
    if not isinstance(y, pd.Series):
        if isinstance(y, pd.DataFrame) or hasattr(y, "to_list"):
            y = y.to_list() if not isinstance(y, pd.DataFrame) else y.to_numpy()
        # NumPy would turn mixed labels into texts, so they stay objects.
        y = _array(name, y) if isinstance(y, np.ndarray) else np.asarray(y, dtype=object)
        if y.ndim != 1:
            raise DataError(f"{name}: y must have the shape (rows,), got {y.shape}")
        y = pd.Series(y, dtype=_kept(y))
    return Table.of(name, frame, y)


def _array(name: str, values: Any) -> npt.NDArray[Any]:
    """An array; masked values are None."""
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values, dtype=_mixed(values))
    except ValueError as error:
        raise DataError(f"{name}: the rows of X must be equally long") from error
    if isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(array)
        array = np.array(array.data, dtype=object if mask.any() else None)
        array[mask] = None
    return array


def _mixed(values: Any) -> type | None:
    """Objects, if NumPy would turn numbers beside texts into texts."""
    probe = np.asarray(values)
    return object if probe.dtype.kind in "USO" else None


def _kept(array: npt.NDArray[Any]) -> type | None:
    """The pandas dtype for an array: objects stay objects, since pandas would guess types and may fail on huge ints."""
    return object if array.dtype == object else None


def _from_pairs(name: str, obj: object, rows: int | None, absent: str) -> Table:
    import pandas as pd

    if not isinstance(obj, Iterable) or isinstance(obj, str | bytes | Mapping):
        raise DataError(
            f"{name}: cannot use {type(obj).__name__} as data; pass (X, y), a DataFrame, a River data set "
            "or an iterable of (dict, label) pairs"
        )
    if rows is None and hasattr(obj, "n_samples") and obj.n_samples is None:
        rows = ROWS_DEFAULT
    if hasattr(type(obj), "is_downloaded"):
        fetch(obj)
    table: list[Mapping[Any, Any]] = []
    labels: list[Any] = []
    for row_number, item in enumerate(islice(obj, rows), start=1):
        if not _is_pair(item):
            raise DataError(f"{name}: row {row_number} must be a pair (dict, label), got {type(item).__name__}")
        table.append(item[0])
        labels.append(item[1])
    if not labels:
        raise DataError(f"{name}: there are no rows")
    made = pd.Series(labels, dtype=object)
    return from_rows(name, table, absent, made)
