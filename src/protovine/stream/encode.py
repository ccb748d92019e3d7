"""Encoding: columns of any type become the finite numbers and class codes of a `DataSet`."""

from __future__ import annotations

import datetime
import numbers
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from protovine.errors import DataError
from protovine.prototypes import FEATURE_MAX
from protovine.stream.cells import (
    Distinct,
    Numbers,
    Words,
    by_number,
    missing_numbers,
    numbers_in,
    read_column,
    ways_to_write,
)
from protovine.stream.dataset import UNLABELLED, DataSet
from protovine.stream.groups import groups_of
from protovine.stream.labels import all_are, codes_of, dense
from protovine.stream.options import ReadOptions
from protovine.stream.remarks import remarks, remarks_on_order
from protovine.stream.table import Column, Table, split_label

if TYPE_CHECKING:
    import pandas as pd

MISSING_CATEGORY = "missing"
ONE_HOT_MAX = 100
# Beyond this a float has not every whole number.
EXACT_MAX = 2**53


def encode(table: Table, options: ReadOptions) -> DataSet:
    """A `DataSet` from a table.

    Feature columns are encoded by their contents:

    - Numbers stay; true/false becomes 1/0; texts that are numbers, or all true/false, count as such.
    - Dates and times, and texts that are dates, become seconds since the earliest in the column.
    - Other texts become one column ``name=value`` of 0/1 for each of at most 100 values (`text` = "one-hot"), or the
      position of the value in the sorted list of values ("ordinal").

    Missing values: ``missing="impute"`` fills numbers with the column's median and gives texts the category
    "missing"; "drop" leaves the row out; "error" raises an error. A column without any value is left out, except with
    "error". A row whose label is missing stays, with the code -1. The notes of the data set list these changes.

    Labels that are whole numbers become int, true/false bool, text str; mixed labels become text.

    Raises
    ------
    ConfigError
        The options contradict each other or do not apply.
    DataError
        There are no rows, no features or too many classes or categories, or a value cannot be used.
    """
    name, notes, words = table.name, table.notes, table.words
    chosen = split_label(table, options)
    labels = table.columns[chosen.label] if chosen.label is not None else table.labels
    assert labels is not None
    rows = len(table.columns[chosen.features[0]])
    if rows != len(labels):
        raise DataError(f"{name}: as many labels as rows are needed, got {rows} rows and {len(labels)} labels")
    if rows == 0:
        raise DataError(f"{name}: there are no rows")
    reader = _Reader(table, options, words)
    used = dict.fromkeys([*chosen.features, *([] if chosen.order is None else [chosen.order])])
    reader.prepare([place for place in used if place not in chosen.text])
    read = {
        place: reader.column(
            place,
            "text" if place in chosen.text else "number" if place in chosen.numbers else table.forced.get(place, ""),
        )
        for place in used
    }
    columns = [read[place] for place in chosen.features]
    label = None if chosen.label is None else table.titles[chosen.label]
    codes, classes = codes_of(table, labels, label, options, words)
    notes += words.note()
    groups, group_names = (None, ()) if chosen.group is None else groups_of(table, chosen.group, options)
    if chosen.order is not None:
        order = _order(name, read[chosen.order])
        for column in columns:
            column.values = column.values[order]
        codes, groups = codes[order], None if groups is None else groups[order]
    absent = {column.name: column.missing for column in columns}
    columns, kept = _without_missing(name, columns, options.missing, notes)
    codes = codes[kept]
    if (unlabelled := codes == UNLABELLED).any():
        notes.append(f"{_rows(unlabelled)} with a missing label: predicted, but not learnt and not judged")
    groups = None if groups is None else groups[kept]
    absent = {title: gone[kept] for title, gone in absent.items()}
    notes += remarks(columns, absent, codes, len(classes))
    notes += [] if chosen.order is not None else remarks_on_order(columns, absent, groups)
    x: dict[str, npt.NDArray[np.float64]] = {}
    vocabularies = {column.name: _vocabulary(column, options.text) for column in columns if column.kind == "text"}
    for column in columns:
        for title, values in _numeric(name, column, vocabularies.get(column.name), options.text, notes).items():
            if title in x:
                raise DataError(f"{name}: feature names must differ, got {title!r} more than once")
            x[title] = values
    return DataSet(
        name,
        np.column_stack(list(x.values())),
        codes,
        tuple(x),
        classes,
        notes=tuple(notes),
        times={column.name: column.origin for column in columns if column.origin is not None},
        absent_zero=tuple(title for title in table.absent_zero if title in x),
        label=label or "",
        label_rule=chosen.rule,
        groups=groups,
        group_names=group_names,
        ordinal=vocabularies if options.text == "ordinal" else {},
    )


def _order(name: str, column: Column) -> npt.NDArray[np.intp]:
    """The rows in ascending order of a column; rows with equal values stay in their order."""
    if column.kind == "text":
        raise DataError(f"{name}: column {column.name!r} holds texts; sort_by takes a column of numbers or dates")
    if column.missing.any():
        row = int(np.argmax(column.missing)) + 1
        raise DataError(f"{name}: column {column.name!r}, row {row}: rows are sorted by it, and the cell is empty")
    return np.argsort(column.values, kind="stable")


class _Reader:
    """Reads feature columns."""

    def __init__(self, table: Table, options: ReadOptions, words: Words) -> None:
        self.table, self.options, self.words = table, options, words
        self.numbers = table.numbers
        self._texts: dict[int, Distinct] = {}

    def prepare(self, places: Sequence[int]) -> None:
        """Find out how the numbers in texts are written, unless that is known."""
        if self.numbers is None:
            for place in places:
                self._found(place)
            columns = [(self.table.titles[place], found.texts) for place, found in self._texts.items()]
            self.numbers = numbers_in(self.table.name, columns, self.options) if columns else Numbers()
            self.table.notes += ways_to_write(self.numbers, self.options)

    def column(self, place: int, force: str) -> Column:
        """The column's values as numbers, dates or texts; `DataError` for values that cannot be used."""
        import pandas as pd

        name, title, series = self.table.name, self.table.titles[place], dense(self.table.columns[place])
        order = self.table.declared.get(title)
        if isinstance(series.dtype, pd.CategoricalDtype) and series.cat.ordered:
            present = set(series.dropna().astype(str))
            order = tuple(str(c) for c in series.cat.categories if str(c) in present)
        found = self._found(place) if force != "text" else Distinct.of(_as_texts(series))
        if found is None:
            column = _from_typed(name, title, series)
            if force == "number" and column.kind == "time":
                raise DataError(f"{name}: column {title!r} holds dates, not numbers")
            if column.kind == "number":
                self._without_words(column)
        else:
            assert self.numbers is not None
            read, notes = read_column(
                name,
                title,
                found,
                self.options,
                self.numbers,
                self.words,
                force=force,
                valid=order or (),
                closed=self.table.closed,
            )
            self.table.notes += notes
            column = Column(title, read.kind, read.values, order if read.kind == "text" else None)
            if order and read.kind == "number" and all(Numbers().parse(text) is not None for text in order):
                self.table.notes.append(f"nominal attribute {title!r} read as numbers; text_columns makes it text")
        if column.kind == "number":
            self._note_rounded(place, column)
            self._check_size(place, column)
        return column

    def _without_words(self, column: Column) -> None:
        """Numbers that mean a missing value, such as -999, become NaN."""
        for number, word in missing_numbers(self.options, self.numbers or Numbers()).items():
            same = column.values == number
            if same.any():
                column.values = np.where(same, np.nan, column.values)
                self.words.counts[word] += int(same.sum())

    def _found(self, place: int) -> Distinct | None:
        """The different texts of a column that holds texts, perhaps among other things."""
        if place not in self._texts:
            texts = _texts_of(self.table.name, self.table.titles[place], dense(self.table.columns[place]))
            if texts is None:
                return None
            self._texts[place] = Distinct.of(texts)
        return self._texts[place]

    def _check_size(self, place: int, column: Column) -> None:
        values = column.values
        infinite = np.isinf(values)
        if infinite.any() and self.options.infinity == "missing":
            self.table.notes.append(f"{_rows(infinite)} with an infinite {column.name!r}: read as missing")
            column.values = np.where(infinite, np.nan, values)
            return
        with np.errstate(invalid="ignore"):
            bad = np.abs(values) > FEATURE_MAX
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            (cell,) = self._cells(place, [row])
            infinite = bool(np.isinf(values[row]))
            what = "infinite" if infinite else f"beyond ±{FEATURE_MAX:g}"
            hint = "set infinity = 'missing'" if infinite else "scale it"
            raise DataError(
                f"{self.table.name}: column {column.name!r}, row {row + 1}: {cell} is {what}; {hint}, or leave the "
                "column out with drop"
            )

    def _note_rounded(self, place: int, column: Column) -> None:
        with np.errstate(invalid="ignore"):
            big = (np.abs(column.values) >= EXACT_MAX) & (np.abs(column.values) <= FEATURE_MAX)
        if any(_is_rounded(cell) for cell in self._cells(place, np.flatnonzero(big).tolist())):
            self.table.notes.append(
                f"column {column.name!r} has whole numbers beyond 2**53, which are rounded; text_columns keeps "
                "them apart, drop leaves them out"
            )

    def _cells(self, place: int, rows: list[int]) -> list[Any]:
        """Some cells of a column as they stand in the source; none of them is missing."""
        if not rows:
            return []
        written = self._texts.get(place)
        if written is None and self.table.written is not None:
            written = self.table.written(place)
        if written is None:
            return dense(self.table.columns[place]).iloc[rows].tolist()
        return [written.texts[code] for code in written.codes[rows]]


def _is_rounded(cell: object) -> bool:
    """Whether a cell is a whole number, or the text of one, that is no float."""
    if isinstance(cell, str) and re.fullmatch(r"\s*[+-]?\d+\s*", cell):
        cell = int(cell.strip().lstrip("+-0") or "0")
    return isinstance(cell, numbers.Integral) and int(float(cell)) != cell


def _as_texts(series: pd.Series) -> pd.Series:
    """Every cell that is there as text."""
    texts: pd.Series = series.astype(object).map(str, na_action="ignore")
    return texts


def _texts_of(name: str, title: str, series: pd.Series) -> pd.Series | None:
    """The cells as texts if some of them are; None for a column of numbers or dates only."""
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object)
    if not (series.dtype == object or pd.api.types.is_string_dtype(series.dtype)):
        return None
    if series.dtype != object:
        return series
    found = series[series.notna()]
    if not any(isinstance(cell, str) for cell in found):
        return None
    odd = next((cell for cell in found if not isinstance(cell, str | numbers.Real | Decimal | np.bool_)), None)
    if odd is not None:
        raise DataError(_odd(name, title, odd))
    return _as_texts(series)


def _odd(name: str, title: str, odd: object) -> str:
    return (
        f"{name}: column {title!r} holds a value of type {type(odd).__name__}; "
        "numbers, true/false, texts, dates and times can be used"
    )


def _from_typed(name: str, title: str, series: pd.Series) -> Column:
    """A column without texts: numbers, dates and times, as pandas or Python types."""
    import pandas as pd

    kind = series.dtype
    if pd.api.types.is_datetime64_any_dtype(kind):
        return Column(title, "time", pd.to_datetime(series, utc=True).dt.tz_localize(None).to_numpy())
    if pd.api.types.is_numeric_dtype(kind) and kind.kind != "c":
        return Column(title, "number", np.array(series.to_numpy(dtype=np.float64, na_value=np.nan)))
    if pd.api.types.is_timedelta64_dtype(kind):
        return Column(title, "number", np.asarray(series.dt.total_seconds(), np.float64))
    cells = series.astype(object).to_numpy(dtype=object)
    present = ~series.isna().to_numpy(dtype=bool)
    found = cells[present]
    values = np.full(len(cells), np.nan)
    if all_are(found, numbers.Real, Decimal, np.bool_):
        try:
            values[present] = [float(value) for value in found]
        except OverflowError as error:
            raise DataError(f"{name}: column {title!r} holds a whole number beyond the largest float") from error
        return Column(title, "number", values)
    if all_are(found, datetime.date, np.datetime64):
        texts = [cell.isoformat() if isinstance(cell, datetime.date) else str(cell) for cell in found]
        try:
            stamps = pd.to_datetime(texts, format="ISO8601", utc=True).tz_localize(None)
        except ValueError as error:
            raise DataError(f"{name}: column {title!r} holds a date that cannot be used: {error}") from error
        dates = np.full(len(cells), np.datetime64("NaT"), dtype=stamps.to_numpy().dtype)
        dates[present] = stamps.to_numpy()
        return Column(title, "time", dates)
    if all_are(found, datetime.timedelta, np.timedelta64):
        return Column(title, "number", np.asarray(pd.to_timedelta(pd.Series(cells)).dt.total_seconds(), np.float64))
    if all_are(found, datetime.time):
        values[present] = [t.hour * 3600 + t.minute * 60 + t.second + t.microsecond / 1e6 for t in found]
        return Column(title, "number", values)
    raise DataError(_odd(name, title, next(v for v in found if not isinstance(v, numbers.Real | Decimal | np.bool_))))


def _without_missing(
    name: str, columns: list[Column], missing: str, notes: list[str]
) -> tuple[list[Column], npt.NDArray[np.bool_]]:
    """The columns with missing values filled or dropped and dates as seconds, and a mask of the rows that are left."""
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
    kept = np.ones(len(some), dtype=bool)
    if missing == "drop" and some.any():
        if some.all():
            raise DataError(f"{name}: every row has a missing value, so missing = 'drop' leaves none")
        notes.append(f"{_rows(some)} with a missing value: left out")
        kept = ~some
        for column in columns:
            column.values = column.values[kept]
    for column in columns:
        if column.kind == "time":
            _count_seconds(column)
    if kept.all():
        _impute([column for column in columns if column.kind != "text"], "filled with the column's median", notes)
        _impute([c for c in columns if c.kind == "text"], f"given the category '{MISSING_CATEGORY}'", notes)
    return columns, kept


def _count_seconds(column: Column) -> None:
    """Dates become seconds since the earliest; `origin` says which that is."""
    import pandas as pd

    stamps = column.values
    earliest = stamps[~np.isnat(stamps)].min()
    column.origin = pd.Timestamp(earliest).tz_localize("UTC").isoformat()
    column.values, column.kind = (stamps - earliest) / np.timedelta64(1, "s"), "number"


def _impute(columns: list[Column], done: str, notes: list[str]) -> None:
    """Fill the missing values of columns of one kind in place, and add a note with the number of rows."""
    some = np.any([column.missing for column in columns], axis=0) if columns else np.zeros(1, dtype=bool)
    for column in columns:
        hole = column.missing
        if hole.any():
            column.values = column.values.copy()
            if column.kind == "text" and MISSING_CATEGORY in set(column.values):
                notes.append(f"column {column.name!r} has the text '{MISSING_CATEGORY}' too: it counts as missing")
            column.values[hole] = MISSING_CATEGORY if column.kind == "text" else np.median(column.values[~hole])
    if some.any():
        what = "text" if columns[0].kind == "text" else "value"
        notes.append(f"{_rows(some)} with a missing {what}: {done}")


def _vocabulary(column: Column, text: str) -> tuple[str, ...]:
    """The texts of a column in the order of their encoding."""
    declared = column.order or ()
    vocabulary = (*declared, *sorted(set(column.values) - set(declared), key=by_number))
    return tuple(sorted(vocabulary)) if text == "one-hot" else vocabulary


def _numeric(
    name: str, column: Column, vocabulary: tuple[str, ...] | None, text: str, notes: Sequence[str]
) -> dict[str, npt.NDArray[np.float64]]:
    """The encoded columns, by name, that a column becomes; ``notes`` may say why one with a vocabulary is text."""
    if vocabulary is None:
        return {column.name: column.values}
    places = {value: place for place, value in enumerate(vocabulary)}
    codes = np.array([places[value] for value in column.values])
    if text == "ordinal":
        return {column.name: codes.astype(np.float64)}
    if len(vocabulary) > ONE_HOT_MAX:
        why = next((f"{note}; " for note in notes if note.startswith(f"column {column.name!r} is text, ")), "")
        raise DataError(
            f"{name}: text column {column.name!r} has {len(vocabulary)} different values, one-hot allows "
            f"{ONE_HOT_MAX}; {why}{'if it is text, ' if why else ''}set text = 'ordinal' or drop the column"
        )
    return {f"{column.name}={value}": (codes == place).astype(np.float64) for place, value in enumerate(vocabulary)}


def _rows(mask: npt.NDArray[np.bool_]) -> str:
    count = int(mask.sum())
    return f"{count} row" if count == 1 else f"{count} rows"
