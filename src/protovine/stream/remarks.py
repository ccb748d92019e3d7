"""Remarks on columns that are probably not meant as features, and on labels that are probably not classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from protovine.stream.encode import Column

# With fewer rows, values that are all the same, or all differ, mean nothing.
ROWS_CONSTANT, ROWS_MIN = 5, 10


def remarks(columns: Sequence[Column], codes: npt.NDArray[np.int64], n_classes: int) -> list[str]:
    """Notes on constant columns, columns like identifiers, and labels with almost as many classes as rows."""
    notes: list[str] = []
    rows = len(codes)
    if rows >= ROWS_CONSTANT:
        constant = [repr(column.name) for column in columns if _is_constant(column.values)]
        if constant:
            notes.append(f"the same value in every row: {_listed(constant)}; drop leaves such columns out")
    if rows < ROWS_MIN:
        return notes
    labelled = codes >= 0
    known = codes[labelled]
    present, first = np.unique(known, return_index=True)
    again = [
        repr(c.name)
        for c in columns
        if 1 < len(present) <= len(known) / 2 and _is_label(c.values[labelled], known, present, first)
    ]
    if again:
        notes.append(f"the label in other words: {_listed(again)}; drop leaves such columns out")
    like_ids = [repr(column.name) for column in columns if column.origin is None and _is_like_id(column)]
    if like_ids:
        notes.append(
            f"a different value in every row, like an identifier: {_listed(like_ids)}; drop leaves such columns out"
        )
    if 2 * n_classes > rows or (n_classes > 100 and 5 * n_classes > rows):
        notes.append(f"the label has {n_classes} classes in {rows} rows: is it the right column?")
    return notes


def _is_constant(values: npt.NDArray[Any]) -> bool:
    return bool((values == values[0]).all())


def _is_label(values: npt.NDArray[Any], codes: npt.NDArray[np.int64], present: Any, first: Any) -> bool:
    """Whether every class has one value of its own."""
    of_class = np.empty(int(present[-1]) + 1, dtype=values.dtype)
    of_class[present] = values[first]
    return len(set(values[first].tolist())) == len(present) and bool((of_class[codes] == values).all())


def _is_like_id(column: Column) -> bool:
    """Whether all texts differ, or whole numbers ascend from row to row."""
    values = column.values
    if column.kind == "text":
        return len(set(values)) == len(values)
    return bool((np.diff(values) > 0).all() and (values % 1 == 0).all())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
