"""Remarks on columns that are probably not meant as features, and on labels that are probably not classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from protovine.stream.table import Column

# With fewer rows, values that are all the same, or all differ, mean nothing.
ROWS_CONSTANT, ROWS_MIN = 5, 10


def remarks(
    columns: Sequence[Column],
    absent: Mapping[str, npt.NDArray[np.bool_]],
    codes: npt.NDArray[np.int64],
    n_classes: int,
) -> list[str]:
    """Notes on constant columns, columns like identifiers, and labels with almost as many classes as rows.

    Parameters
    ----------
    columns : sequence of Column
        Without missing values.
    absent : mapping of str to bool arrays, shape (rows,)
        Where each column had a missing value before: these rows say nothing about it.
    codes : int array, shape (rows,)
        The class of each row, -1 for none.
    n_classes : int
    """
    notes: list[str] = []
    rows = len(codes)
    present = {column.name: column.values[~absent[column.name]] for column in columns}
    if rows >= ROWS_CONSTANT:
        constant = [repr(title) for title, values in present.items() if len(values) > 1 and _is_constant(values)]
        if constant:
            notes.append(f"the same value in every row: {_listed(constant)}; drop leaves such columns out")
    if rows < ROWS_MIN:
        return notes
    again = [repr(c.name) for c in columns if _is_label(c.values, codes, (codes >= 0) & ~absent[c.name])]
    if again:
        notes.append(f"the label in other words: {_listed(again)}; drop leaves such columns out")
    like_ids = [repr(c.name) for c in columns if c.origin is None and _is_like_id(c.kind, present[c.name], rows)]
    if like_ids:
        notes.append(
            f"a different value in every row, like an identifier: {_listed(like_ids)}; drop leaves such columns out"
        )
    if 2 * n_classes > rows or (n_classes > 100 and 5 * n_classes > rows):
        notes.append(f"the label has {n_classes} classes in {rows} rows: is it the right column?")
    return notes


def remarks_on_order(
    columns: Sequence[Column], absent: Mapping[str, npt.NDArray[np.bool_]], groups: npt.NDArray[np.int64] | None
) -> list[str]:
    """Notes on columns of dates that do not ascend from row to row, or among the rows of each group."""
    notes = []
    for column in columns:
        present = ~absent[column.name]
        if column.origin is None or present.sum() < ROWS_MIN:
            continue
        values, of = column.values[present], np.zeros(int(present.sum())) if groups is None else groups[present]
        order = np.argsort(of, kind="stable")
        steps = np.diff(values[order])[np.diff(of[order]) == 0]
        falls = int((steps < 0).sum())
        if falls:
            back = "all go back" if not (steps > 0).any() else f"{falls} go back"
            notes.append(
                f"rows are learnt in the order of the file, and by {column.name!r} {back} in time; "
                f"sort_by = {column.name!r} sorts them"
            )
    return notes


def _is_constant(values: npt.NDArray[Any]) -> bool:
    return bool((values == values[0]).all())


def _is_label(values: npt.NDArray[Any], codes: npt.NDArray[np.int64], known: npt.NDArray[np.bool_]) -> bool:
    """Whether every class has one value of its own, in the known rows, which are at least half of all."""
    values, codes = values[known], codes[known]
    present, first = np.unique(codes, return_index=True)
    if not 1 < len(present) <= len(codes) / 2 or 2 * len(codes) < len(known):
        return False
    of_class = np.empty(int(present[-1]) + 1, dtype=values.dtype)
    of_class[present] = values[first]
    return len(set(values[first].tolist())) == len(present) and bool((of_class[codes] == values).all())


def _is_like_id(kind: str, values: npt.NDArray[Any], rows: int) -> bool:
    """Whether all texts differ, or whole numbers ascend from row to row; half of the rows must have one."""
    if 2 * len(values) < rows:
        return False
    if kind == "text":
        return len(set(values)) == len(values)
    return bool((np.diff(values) > 0).all() and (values % 1 == 0).all())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
