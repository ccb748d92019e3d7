"""Groups of a table: the device or user that each row comes from."""

from __future__ import annotations

import datetime
import numbers
import re
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from protovine.errors import DataError
from protovine.stream.cells import by_number, is_missing
from protovine.stream.labels import all_are, distinct
from protovine.stream.options import ReadOptions
from protovine.stream.table import Table


def groups_of(table: Table, place: int, options: ReadOptions) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """The group of each row, shape (rows,), and the names of the groups, in order.

    Numbers come by value, then texts, in which the digits count as numbers: ``s2`` before ``s10``.

    Raises
    ------
    DataError
        A row has no group, or a cell is neither text, number nor date.
    """
    name, title = table.name, table.titles[place]
    cells, codes = distinct(table.columns[place])
    texts = [_text(name, title, cell) for cell in cells]
    gone = np.array([*(is_missing(text, options) for text in texts), True])  # The last one is for the code -1.
    if gone[codes].any():
        row = int(np.argmax(gone[codes]))
        cell = repr(texts[codes[row]]) if codes[row] >= 0 and texts[codes[row]] else "empty"
        raise DataError(f"{name}: column {title!r}, row {row + 1}: a row needs a group, and the cell is {cell}")
    names = tuple(sorted(set(texts), key=_order))
    places = {text: code for code, text in enumerate(names)}
    return np.array([places[text] for text in texts], np.int64)[codes], names


def _order(text: str) -> tuple[object, ...]:
    parts = re.split(r"(\d+)", text)  # Texts and digits take turns.
    return (*by_number(text)[:2], [int(part) if place % 2 else part for place, part in enumerate(parts)], text)


def _text(name: str, title: str, cell: Any) -> str:
    if isinstance(cell, float | np.floating) and cell.is_integer():
        cell = int(cell)
    if not all_are([cell], str, numbers.Real, np.bool_, Decimal, datetime.date, np.datetime64):
        raise DataError(
            f"{name}: column {title!r} holds a value of type {type(cell).__name__}; "
            "a group is a text, a number or a date"
        )
    return str(cell).strip()
