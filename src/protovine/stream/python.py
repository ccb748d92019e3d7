"""Data sets from Python objects: arrays, DataFrames, River data sets and iterables of (dict, label) pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from protovine.errors import ConfigError, DataError
from protovine.stream.dataset import DataSet
from protovine.stream.download import fetch
from protovine.stream.encode import check_options, encode
from protovine.stream.files import split_label

if TYPE_CHECKING:
    import pandas as pd

# Rows to read from River's endless generators when the caller gives no number.
ROWS_DEFAULT = 5000


def from_python(
    obj: object,
    *,
    name: str = "python",
    label: str | None = None,
    rows: int | None = None,
    text: str = "one-hot",
    missing: str = "impute",
) -> DataSet:
    """The data set in a Python object.

    Parameters
    ----------
    obj : tuple, DataFrame, iterable or DataSet
        - ``(X, y)``: X an array of shape (n, d), whose columns are called x0, x1, …, or a DataFrame; y n labels;
        - a pandas DataFrame, one column of which is the label;
        - a River data set, or any finite iterable of (dict, label) pairs: features stand in the order in which they
          first appear, and a feature that a row lacks is a missing value;
        - a `DataSet`, which is returned unchanged.
    name : str
        The name of the data set; a `DataSet` keeps its name.
    label : str, optional
        The label column of a DataFrame; the last column by default.
    rows : int >= 1, optional
        How many rows to read from an iterable (by default 5000 of River's endless generators), or how many of the first
        rows to keep of other objects.
    text, missing : str
        See `protovine.stream.encode.encode`, which also describes how columns become numbers.

    Raises
    ------
    ConfigError
        A setting is out of range, or `label` is given for something that is not a DataFrame.
    DataError
        The object is of another type, or its values cannot be encoded.

    Examples
    --------
    >>> data = from_python([({"a": 1, "b": True}, "no"), ({"b": False}, "yes"), ({"a": 3}, "no")])
    >>> data.features, data.x.tolist()
    (('a', 'b'), [[1.0, 1.0], [2.0, 0.0], [3.0, 0.5]])
    """
    import pandas as pd

    check_options(text, missing, rows)
    if label is not None and not isinstance(obj, pd.DataFrame):
        raise ConfigError("a label column can be named for files and DataFrames only")
    if isinstance(obj, DataSet):
        data = obj
    else:
        if isinstance(obj, pd.DataFrame):
            features, labels = split_label(name, obj, label)
        elif isinstance(obj, tuple) and len(obj) == 2 and not _is_pair(obj[0]):
            features, labels = _from_arrays(name, *obj)
        else:
            features, labels = _from_pairs(name, obj, rows)
        data = encode(name, features, labels, text=text, missing=missing)
    return data if rows is None else data.head(rows)


def _is_pair(item: object) -> bool:
    return isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[0], Mapping)


def _from_arrays(name: str, x: Any, y: Any) -> tuple[pd.DataFrame, pd.Series]:
    import pandas as pd

    if not isinstance(x, pd.DataFrame):
        try:
            x = np.asarray(x)
        except ValueError as error:
            raise DataError(f"{name}: the rows of X must be equally long") from error
        if x.ndim != 2 or x.shape[1] == 0:
            raise DataError(f"{name}: X must have the shape (rows, features), got {x.shape}")
        x = pd.DataFrame(x, dtype=_kept(x), columns=[f"x{j}" for j in range(x.shape[1])])
    if not isinstance(y, pd.Series):
        # NumPy would turn mixed labels into texts, so they stay objects.
        y = np.asarray(y) if isinstance(y, np.ndarray) else np.asarray(y, dtype=object)
        if y.ndim != 1:
            raise DataError(f"{name}: y must have the shape (rows,), got {y.shape}")
        y = pd.Series(y, dtype=_kept(y))
    return x, y


def _kept(array: npt.NDArray[Any]) -> type | None:
    """The pandas dtype for an array: objects stay objects, since pandas would guess types and may fail on huge ints."""
    return object if array.dtype == object else None


def _from_pairs(name: str, obj: object, rows: int | None) -> tuple[pd.DataFrame, pd.Series]:
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
    for number, item in enumerate(islice(obj, rows), start=1):
        if not _is_pair(item):
            raise DataError(f"{name}: row {number} must be a pair (dict, label), got {type(item).__name__}")
        table.append(item[0])
        labels.append(item[1])
    # A dict keeps the order in which keys were added first.
    titles = list(dict.fromkeys(title for row in table for title in row))
    columns = {place: [row.get(title) for row in table] for place, title in enumerate(titles)}
    frame = pd.DataFrame(columns, dtype=object)
    frame.columns = pd.Index([str(title) for title in titles])
    if labels and not titles:
        raise DataError(f"{name}: the rows have no features")
    return frame, pd.Series(labels, dtype=object)
