"""`Table` and `Column`: the columns of a source before they are encoded, and which are the label and the features."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from protovine.errors import ConfigError, DataError, suggest
from protovine.stream.cells import Distinct, Numbers, Words
from protovine.stream.options import TEXT_FILE_ONLY, ReadOptions
from protovine.values import is_missing

if TYPE_CHECKING:
    import pandas as pd

_UNNAMED = re.compile(r"(Unnamed: \d+(_level_\d+)?(\.\d+)?)?")


@dataclass
class Table:
    """Columns in order, with notes on what was changed in reading them.

    Parameters
    ----------
    name : str
        For messages.
    titles : list of str
        The columns' names.
    columns : list of pandas Series
        The columns, all equally long.
    notes : list of str
        Changes so far.
    labels : pandas Series, optional
        The labels where they are no column.
    numbers : Numbers, optional
        How numbers in texts are written, where that is known.
    written : callable(place), optional
        The cells of a column as they stand in the file.
    from_text : bool
        Labels written as text may be numbers.
    declared : dict of title to texts
        The values that a nominal column may have, in their order.
    forced : dict of place to kind
        Columns that are "text" or "number" by declaration.
    label_place : int
        The label when none is named.
    label_why : str
        Why it is, if it is not the last column.
    absent_zero : tuple of str
        Columns whose absent keys were read as 0.
    words : Words
        What was read as missing so far.
    closed : tuple of str
        Options that do not apply, so that errors do not name them.
    """

    name: str
    titles: list[str]
    columns: list[pd.Series]
    notes: list[str]
    labels: pd.Series | None = None
    numbers: Numbers | None = None
    written: Callable[[int], Distinct] | None = None
    from_text: bool = False
    declared: dict[str, tuple[str, ...]] = field(default_factory=dict)
    forced: dict[int, str] = field(default_factory=dict)
    label_place: int = -1
    label_why: str = "the class attribute of the file"
    absent_zero: tuple[str, ...] = ()
    words: Words = field(default_factory=Words)
    closed: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, frame: pd.DataFrame, labels: pd.Series | None = None) -> Table:
        """The columns of a DataFrame; its index does not count."""
        index = frame.index
        notes = [f"index {str(title)!r} of the DataFrame left out" for title in index.names if title is not None]
        # Whole numbers without a name are what pandas itself gives the rows.
        if not notes and (index.nlevels > 1 or index.dtype.kind not in "iu"):
            notes = [f"index of the DataFrame, such as {str(index[:1].tolist()[0])!r}, left out"] if len(index) else []
        columns = [frame.iloc[:, j].reset_index(drop=True) for j in range(frame.shape[1])]
        titles = ["" if is_missing(title) else str(title).strip() for title in frame.columns]
        return cls(name, titles, columns, notes, labels, closed=TEXT_FILE_ONLY)


@dataclass
class Column:
    """A column that was read: floats with NaN ("number"), datetime64 with NaT ("time"), or texts with None ("text")."""

    name: str
    kind: str
    values: npt.NDArray[Any]
    order: tuple[str, ...] | None = None
    """The texts that it may hold, in their order, if that is declared."""
    origin: str | None = None
    """The date in ISO 8601 that seconds count from, for dates that have become numbers."""

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Which rows have no value."""
        if self.kind == "text":
            return np.array([value is None for value in self.values], dtype=bool)
        return np.asarray(np.isnat(self.values) if self.kind == "time" else np.isnan(self.values))


def find_columns(titles: Sequence[str], wanted: str | int) -> list[int]:
    """The places of the columns with this name; failing that, the column at this place."""
    named = [place for place, title in enumerate(titles) if title == str(wanted).strip()]
    if not named and re.fullmatch(r"-?\d{1,9}", str(wanted)) and -len(titles) <= int(wanted) < len(titles):
        return [int(wanted) % len(titles)]
    return named


def find_column(name: str, titles: Sequence[str], wanted: str | int, what: str) -> int:
    """The place of the column that is wanted as ``what``.

    Raises
    ------
    DataError
        There is none, or more than one.
    """
    places = find_columns(titles, wanted)
    if not places:
        if isinstance(wanted, int):
            raise DataError(f"{name}: no column {wanted} for {what}: there are {len(titles)} columns, 0 is the first")
        raise DataError(f"{name}: no column {wanted!r} to use as {what}{suggest(str(wanted), titles)}")
    if len(places) > 1:
        raise DataError(f"{name}: column names must differ, got {str(wanted)!r} more than once{_by_place(places)}")
    return places[0]


def check_titles(name: str, titles: Sequence[str], *, droppable: bool = True) -> None:
    """`DataError` if two columns have the same name, apart from blanks around it."""
    places: dict[str, list[int]] = {}
    for place, title in enumerate(titles):
        places.setdefault(title.strip(), []).append(place)
    twice = next(((title, found) for title, found in places.items() if len(found) > 1 and title), None)
    if twice is not None:
        hint = _by_place(twice[1]) if droppable else ""
        raise DataError(f"{name}: column names must differ, got {twice[0]!r} more than once{hint}")


def _by_place(places: Sequence[int]) -> str:
    return f" (columns {', '.join(map(str, places))}, counted from 0); leave one out with drop = [{places[-1]}]"


@dataclass
class Chosen:
    """The label and the feature columns of a table, by their places in it."""

    label: int | None
    rule: str  # Why it is the label; empty where the labels are no column.
    group: int | None
    order: int | None
    features: list[int]
    text: set[int]
    numbers: set[int]


def split_label(table: Table, options: ReadOptions) -> Chosen:
    """Which columns are the label, the group and features; the rest is left out, with notes.

    Raises
    ------
    DataError
        Names are repeated or empty, a column that an option names is not there, or nothing is left.
    ConfigError
        The options contradict each other.
    """
    name, titles = table.name, table.titles
    dropped = {place for wanted in options.drop for place in some_columns(name, titles, wanted)}
    kept = [place for place in range(len(titles)) if place not in dropped]
    kept = [place for place in kept if not _left_out(table, place)]
    check_titles(name, [titles[place] for place in kept])
    nameless = next((place for place in kept if not titles[place]), None)
    if nameless is not None:
        raise DataError(
            f"{name}: column {nameless} (counted from 0) has no name; name it, or leave it out with drop = [{nameless}]"
        )
    group = None if options.group is None else find_column(name, titles, options.group, "group")
    if group in dropped:
        raise ConfigError(f"column {titles[group]!r} is the group and in drop")
    kept = [place for place in kept if place != group]
    order = None if options.sort_by is None else find_column(name, titles, options.sort_by, "sort_by")
    label, rule = None, ""
    if table.labels is None:
        rule = "as the option label says"
        if options.label is None:
            label = table.label_place if table.label_place in kept else kept[-1] if kept else None
            rule = "the last column" if label is None or label == kept[-1] else table.label_why
            if group is not None and label is not None and group > label == kept[-1]:
                rule = "the last column but the group"
                table.notes.append(f"the label is {titles[label]!r}, as the last column is the group")
            elif label is not None and label != kept[-1]:
                table.notes.append(f"the label is {titles[label]!r}")
        else:
            label = find_column(name, titles, options.label, "label")
            if label in dropped:
                raise ConfigError(f"column {titles[label]!r} is the label and in drop")
            if label == group:
                raise ConfigError(f"column {titles[label]!r} is the label and the group")
    if order is not None and order == label:
        raise ConfigError(f"column {titles[order]!r} is the label and in sort_by")
    features = [place for place in kept if place != label]
    if (table.labels is None and len(kept) < 2) or not features:
        only = f"one: {titles[kept[0]]!r}" if kept else "none"
        hint = "; is separator right?" if table.from_text else ""
        raise DataError(f"{name}: a label column and at least one feature column are needed, got {only}{hint}")
    text = {find_column(name, titles, wanted, "a text column") for wanted in options.text_columns}
    number = {find_column(name, titles, wanted, "a number column") for wanted in options.number_columns}
    both = text & number
    if both:
        raise ConfigError(f"column {titles[min(both)]!r} is in text_columns and in number_columns")
    if label in number:
        raise ConfigError(f"column {titles[min(number & {label})]!r} is the label and in number_columns")
    if dropped:
        table.notes.append(f"columns left out: {', '.join(titles[place] for place in sorted(dropped))}")
    return Chosen(label, rule, group, order, features, text, number)


def some_columns(name: str, titles: Sequence[str], wanted: str | int) -> list[int]:
    """The places of all columns with this name, or that at this place; `DataError` if there is none."""
    return find_columns(titles, wanted) or [find_column(name, titles, wanted, "a column to drop")]


def is_unnamed(title: str) -> bool:
    """Whether a title is empty, or what pandas writes for an empty one."""
    return _UNNAMED.fullmatch(title) is not None


def _left_out(table: Table, place: int) -> bool:
    """Whether a column without a name is an index or empty, with a note."""
    if not is_unnamed(table.titles[place]):
        return False
    column = table.columns[place]
    if column.isna().all():
        table.notes.append(f"column {place} has neither name nor values: left out")
        return True
    whole = column.dtype.kind in "iuOTU" or (column.dtype.kind == "f" and bool((column % 1 == 0).all()))
    if place == 0 and whole and column.is_unique and not column.isna().any():
        table.notes.append(
            "the first column has no name and a different value in each row: left out as the rows' names"
        )
        return True
    return False
