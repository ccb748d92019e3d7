"""Encoding: columns of any type become the finite numbers and class codes of a `DataSet`."""

from __future__ import annotations

import datetime
import math
import numbers
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from protovine.errors import ConfigError, DataError, suggest
from protovine.stream.dataset import DataSet, Label, sort_labels

if TYPE_CHECKING:
    import pandas as pd

TEXT_MODES = ("one-hot", "ordinal")
MISSING_MODES = ("impute", "drop", "error")
# A cell with one of these texts and nothing else is a missing value.
MISSING_WORDS = ("", "?", "NaN", "nan", "NA", "N/A", "null", "NULL")
MISSING_CATEGORY = "missing"
ONE_HOT_MAX = 100
CLASSES_MAX = 1000

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")


@dataclass
class _Column:
    """A feature column with missing values: floats with NaN, or texts with None."""

    name: str
    kind: str  # "number", "time" (seconds) or "text"
    values: npt.NDArray[Any]

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        if self.kind == "text":
            return np.array([value is None for value in self.values], dtype=bool)
        return np.asarray(np.isnan(self.values))


def encode(
    name: str, features: pd.DataFrame, labels: pd.Series, *, text: str = "one-hot", missing: str = "impute"
) -> DataSet:
    """A `DataSet` from a DataFrame of features and one label per row; both indexes are ignored.

    Feature columns are encoded by their contents:

    - Numbers stay; true/false becomes 1/0; texts that are all numbers, or all true/false, count as such.
    - Dates and times, and texts that are all ISO 8601 dates, become seconds since the earliest in the column.
    - Other texts become one column ``name=value`` of 0/1 for each of at most 100 values (`text` = "one-hot"), or the
      position of the value in the sorted list of values ("ordinal").

    Missing values: ``missing="impute"`` fills numbers with the column's median and gives texts the category
    "missing"; "drop" leaves the row out; "error" raises an error. A column without any value is left out, except with
    "error". A row whose label is missing is always left out. The notes of the data set list these changes.

    Labels that are whole numbers become int, true/false bool, text str; mixed labels become text.

    Raises
    ------
    ConfigError
        `text` or `missing` is unknown.
    DataError
        There are no rows, no features or too many classes or categories, or a value cannot be used.
    """
    import pandas as pd

    check_options(text, missing)
    if len(features) != len(labels):
        raise DataError(f"{name}: as many labels as rows are needed, got {len(features)} rows and {len(labels)} labels")
    if len(features) == 0:
        raise DataError(f"{name}: there are no rows")
    columns = [_column(name, str(title), features.iloc[:, j]) for j, title in enumerate(features.columns)]
    notes: list[str] = []
    codes, classes = _codes(name, pd.Series(labels).reset_index(drop=True), notes)
    kept = codes >= 0
    if not kept.all():
        notes.append(f"{_rows(~kept)} with a missing label: left out")
        for column in columns:
            column.values = column.values[kept]
    columns, kept_too = _without_missing(name, columns, missing, notes)
    x: dict[str, npt.NDArray[np.float64]] = {}
    for column in columns:
        for title, values in _numeric(name, column, text).items():
            if title in x:
                raise DataError(f"{name}: feature names must differ, got {title!r} more than once")
            x[title] = values
    return DataSet(name, np.column_stack(list(x.values())), codes[kept][kept_too], tuple(x), classes, (), tuple(notes))


def check_options(text: str, missing: str, rows: int | None = None) -> None:
    """`ConfigError` unless all three settings are in range."""
    if text not in TEXT_MODES:
        raise ConfigError(f"text must be one of {', '.join(TEXT_MODES)}, got {text!r}{suggest(text, TEXT_MODES)}")
    if missing not in MISSING_MODES:
        raise ConfigError(
            f"missing must be one of {', '.join(MISSING_MODES)}, got {missing!r}{suggest(missing, MISSING_MODES)}"
        )
    if rows is not None and rows < 1:
        raise ConfigError(f"the number of rows must be at least 1, got {rows}")


def parse_texts(texts: Sequence[str]) -> list[float] | None:
    """The texts as numbers, or as 1 and 0 if all are true or false; None if they are neither.

    Examples
    --------
    >>> parse_texts(["1", "2.5"]), parse_texts(["true", "False"]), parse_texts(["1", "red"])
    ([1.0, 2.5], [1.0, 0.0], None)
    """
    if texts and all(text.lower() in ("true", "false") for text in texts):
        return [float(text.lower() == "true") for text in texts]
    try:
        # Python reads 1_000 as a number, but in a data file it is a text.
        return None if any("_" in text for text in texts) else [float(text) for text in texts]
    except ValueError:
        return None


def _column(name: str, title: str, series: pd.Series) -> _Column:
    """The column's values as numbers, seconds or texts; `DataError` for infinite numbers and other types."""
    import pandas as pd

    kind, values = "number", np.zeros(0)
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        kind, values = "time", _seconds(series)
    elif pd.api.types.is_numeric_dtype(series.dtype) and series.dtype.kind != "c":
        values = series.astype(object).where(series.notna(), np.nan).to_numpy(dtype=np.float64)
    else:
        kind, values = _from_objects(name, title, series)
    if kind == "number" and np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise DataError(f"{name}: column {title!r} is infinite in row {row + 1} (the first row of data is row 1)")
    return _Column(title, kind, values)


def _from_objects(name: str, title: str, series: pd.Series) -> tuple[str, npt.NDArray[Any]]:
    """Kind and values of a column that pandas stores as Python objects, texts or categories."""
    import pandas as pd

    cells, present = _cells(series)
    found = cells[present]
    values: npt.NDArray[Any] = np.full(len(cells), np.nan)
    if _all_are(found, numbers.Real, Decimal, np.bool_):
        try:
            values[present] = [float(value) for value in found]
        except OverflowError as error:
            raise DataError(f"{name}: column {title!r} holds a whole number beyond the largest float") from error
        return "number", values
    if _all_are(found, datetime.date, np.datetime64):
        return "time", _seconds(pd.Series(_dates(name, title, cells, present)))
    if _all_are(found, datetime.timedelta, np.timedelta64):
        return "time", np.asarray(pd.to_timedelta(pd.Series(cells)).dt.total_seconds(), np.float64)
    if _all_are(found, datetime.time):
        values[present] = [t.hour * 3600 + t.minute * 60 + t.second + t.microsecond / 1e6 for t in found]
        return "time", values
    if not _all_are(found, str, numbers.Real, Decimal, np.bool_):
        odd = next(value for value in found if not isinstance(value, str | numbers.Real | Decimal | np.bool_))
        raise DataError(
            f"{name}: column {title!r} holds a value of type {type(odd).__name__}; "
            "numbers, true/false, texts, dates and times can be used"
        )
    texts = [str(value).strip() for value in found]
    parsed = parse_texts(texts)
    if parsed is not None:
        values[present] = parsed
        return "number", values
    if all(_ISO_DATE.fullmatch(text) for text in texts):
        try:
            cells[present] = texts
            return "time", _seconds(pd.Series(_dates(name, title, cells, present)))
        except DataError:
            # Impossible dates, such as 2024-99-99, stay texts.
            pass
    values = np.full(len(cells), None, dtype=object)
    values[present] = texts
    return "text", values


def _cells(series: pd.Series) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """The cells as Python objects, and which of them are not missing."""
    cells = series.astype(object).to_numpy(dtype=object, copy=True)
    blank = [isinstance(cell, str) and cell.strip() in MISSING_WORDS for cell in cells]
    return cells, ~(series.isna().to_numpy(dtype=bool) | np.array(blank, dtype=bool))


def _all_are(values: Collection[Any], *types: type) -> bool:
    return all(isinstance(value, types) for value in values)


def _dates(name: str, title: str, cells: npt.NDArray[Any], present: npt.NDArray[np.bool_]) -> Any:
    """The cells as pandas timestamps in UTC; a date without a time zone counts as UTC."""
    import pandas as pd

    texts = [cell.isoformat() if isinstance(cell, datetime.date) else str(cell) for cell in cells[present]]
    values = np.full(len(cells), None, dtype=object)
    try:
        values[present] = list(pd.to_datetime(texts, format="ISO8601", utc=True))
    except ValueError as error:
        raise DataError(f"{name}: column {title!r} holds a date that cannot be used: {error}") from error
    return pd.to_datetime(pd.Series(values), utc=True)


def _seconds(dates: pd.Series) -> npt.NDArray[np.float64]:
    """Seconds since the earliest date, NaN where it is missing."""
    if dates.notna().any():
        return np.asarray((dates - dates.min()).dt.total_seconds(), np.float64)
    return np.full(len(dates), np.nan)


def _without_missing(
    name: str, columns: list[_Column], missing: str, notes: list[str]
) -> tuple[list[_Column], npt.NDArray[np.bool_]]:
    """The columns with missing values filled or dropped, and a mask of the rows that are left."""
    holes = {column.name: int(column.missing.sum()) for column in columns if column.missing.any()}
    if missing == "error" and holes:
        where = ", ".join(f"column {title!r} has {count}" for title, count in holes.items())
        raise DataError(f"{name}: missing values: {where}; set missing to 'impute' or 'drop'")
    for empty in [column for column in columns if column.missing.all()]:
        columns = [column for column in columns if column is not empty]
        notes.append(f"column {empty.name!r} has no value: left out")
    if not columns:
        raise DataError(f"{name}: no feature column has a value")
    some = np.any([column.missing for column in columns], axis=0)
    if missing == "drop" and some.any():
        if some.all():
            raise DataError(f"{name}: every row has a missing value, so missing = 'drop' leaves none")
        notes.append(f"{_rows(some)} with a missing value: left out")
        return [_Column(column.name, column.kind, column.values[~some]) for column in columns], ~some
    _impute([column for column in columns if column.kind != "text"], "filled with the column's median", notes)
    _impute([column for column in columns if column.kind == "text"], f"given the category '{MISSING_CATEGORY}'", notes)
    return columns, np.ones(len(some), dtype=bool)


def _impute(columns: list[_Column], done: str, notes: list[str]) -> None:
    """Fill the missing values of columns of one kind in place, and add a note with the number of rows."""
    some = np.any([column.missing for column in columns], axis=0) if columns else np.zeros(1, dtype=bool)
    for column in columns:
        hole = column.missing
        if hole.any():
            column.values = column.values.copy()
            column.values[hole] = MISSING_CATEGORY if column.kind == "text" else np.median(column.values[~hole])
    if some.any():
        what = "text" if columns[0].kind == "text" else "value"
        notes.append(f"{_rows(some)} with a missing {what}: {done}")


def _numeric(name: str, column: _Column, text: str) -> dict[str, npt.NDArray[np.float64]]:
    """The encoded columns, by name, that this column becomes."""
    if column.kind == "number":
        return {column.name: column.values}
    if column.kind == "time":
        return {column.name: column.values - column.values.min()}
    vocabulary = sorted(set(column.values))
    places = {value: place for place, value in enumerate(vocabulary)}
    codes = np.array([places[value] for value in column.values])
    if text == "ordinal":
        return {column.name: codes.astype(np.float64)}
    if len(vocabulary) > ONE_HOT_MAX:
        raise DataError(
            f"{name}: text column {column.name!r} has {len(vocabulary)} different values, one-hot allows "
            f"{ONE_HOT_MAX}; set text = 'ordinal' or drop the column"
        )
    return {f"{column.name}={value}": (codes == place).astype(np.float64) for place, value in enumerate(vocabulary)}


def _codes(name: str, labels: pd.Series, notes: list[str]) -> tuple[npt.NDArray[np.int64], tuple[Label, ...]]:
    """Class codes, with -1 where the label is missing, and the sorted classes."""
    what = f"label column {str(labels.name)!r}" if labels.name is not None else "the label"
    cells, present = _cells(labels)
    if not present.any():
        raise DataError(f"{name}: {what} has no value")
    plain = [_plain(name, what, cell) for cell in cells[present]]
    kinds = {"true/false" if isinstance(v, bool) else "text" if isinstance(v, str) else "number" for v in plain}
    if len(kinds) > 1:
        notes.append(f"{what} mixes {' and '.join(sorted(kinds))}: all read as text")
        plain = [str(label) for label in plain]
    classes = sort_labels(set(plain))
    if len(classes) > CLASSES_MAX:
        raise DataError(
            f"{name}: {what} looks like regression: it has {len(classes)} different values, "
            f"at most {CLASSES_MAX} classes are allowed"
        )
    places = {label: code for code, label in enumerate(classes)}
    codes = np.full(len(cells), -1, dtype=np.int64)
    codes[present] = [places[label] for label in plain]
    return codes, classes


def _plain(name: str, what: str, cell: Any) -> bool | int | str:
    """A label as a plain Python value."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, bool | np.bool_):
        return bool(cell)
    if not _all_are([cell], numbers.Real, Decimal):
        raise DataError(
            f"{name}: {what} holds a value of type {type(cell).__name__}; "
            "a class must be a whole number, true/false or a text"
        )
    # `isfinite` converts to float, which very large whole numbers do not fit, so they are not passed to it.
    if not _all_are([cell], numbers.Integral) and (not math.isfinite(cell) or cell % 1):
        raise DataError(
            f"{name}: {what} looks like regression: it holds {cell}, "
            "and a class must be a whole number, true/false or a text"
        )
    return int(cell)


def _rows(mask: npt.NDArray[np.bool_]) -> str:
    count = int(mask.sum())
    return f"{count} row" if count == 1 else f"{count} rows"
