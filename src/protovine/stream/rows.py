"""A table from rows that are dictionaries, which may lack keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from protovine.errors import DataError
from protovine.stream.options import TEXT_FILE_ONLY
from protovine.stream.table import Table
from protovine.values import is_missing, number

if TYPE_CHECKING:
    import pandas as pd


def from_rows(
    name: str,
    rows: Sequence[Mapping[Any, Any]],
    absent: str,
    labels: pd.Series | None = None,
    *,
    no_zero: Collection[str] = (),
) -> Table:
    """The table of these rows, with columns in the order in which keys first appear.

    A key that a row lacks is 0 or a missing value, as `absent` says; one of `no_zero` is missing.

    Raises
    ------
    DataError
        No row has a key.
    """
    import pandas as pd

    # A counter keeps the order in which keys were added first.
    present: Counter[Any] = Counter(title for row in rows for title in row)
    if not present:
        raise DataError(f"{name}: the rows have no features")
    columns: list[pd.Series] = []
    zero: list[str] = []
    dropped_out: list[str] = []
    for title, count in present.items():
        fill = None
        if count < len(rows):
            as_zero = title not in no_zero and _absent_is_zero(
                [(at, row[title]) for at, row in enumerate(rows) if title in row], len(rows), absent
            )
            (zero if as_zero else dropped_out).append(str(title).strip())
            fill = 0 if as_zero else None
        columns.append(pd.Series([row.get(title, fill) for row in rows], dtype=object))
    notes = []
    if zero or dropped_out:
        notes.append(
            f"keys that some rows lack: {len(zero)} read as 0 there, {len(dropped_out)} as missing; absent = 'zero' or "
            "'missing' changes that"
        )
    titles = [str(title).strip() for title in present]
    return Table(name, titles, columns, notes, labels, absent_zero=tuple(zero), closed=TEXT_FILE_ONLY)


def _absent_is_zero(values: Sequence[tuple[int, Any]], rows: int, absent: str) -> bool:
    """Whether a key that a row lacks is 0 there, by the learners' rule, given its values by row."""
    from protovine.absence import is_measurement

    known = [value for _, value in values if not is_missing(value)]
    numbers = [found for value in known if (found := number(value)) is not None]
    if absent == "missing" or len(numbers) < len(known):  # Texts and dates have no 0.
        return False
    if absent == "zero" or not numbers:
        return True
    there = len(values) / (rows - values[0][0])
    repeated = Counter(numbers).most_common(1)[0][1] / len(numbers)
    mean, deviation = float(np.mean(numbers)), float(np.std(numbers))
    return not is_measurement(there, float(len(numbers)), repeated, mean, deviation, 1.0)
