"""Labels of a table: which cells are missing, which classes there are, and the code of each row."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Collection
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from protovine.errors import DataError
from protovine.stream.cells import TRUTHS, Numbers, Words, is_missing
from protovine.stream.dataset import Label, sort_labels
from protovine.stream.options import ReadOptions
from protovine.stream.table import Table

if TYPE_CHECKING:
    import pandas as pd

CLASSES_MAX = 1000


def codes_of(
    table: Table, labels: pd.Series, title: str | None, options: ReadOptions, words: Words
) -> tuple[npt.NDArray[np.int64], tuple[Label, ...]]:
    """Class codes, with -1 where the label is missing, and the sorted classes."""
    name = table.name
    title = str(labels.name) if title is None and labels.name is not None else title
    what = f"label column {title!r}" if title is not None else "the label"
    cells, codes = distinct(labels)
    counts = np.bincount(codes[codes >= 0], minlength=len(cells))
    text_forced = title is not None and any(str(wanted) == title for wanted in options.text_columns)
    declared = table.declared.get(title or "", ())
    gone = [isinstance(c, str) and c not in declared and is_missing(c.strip(), options) for c in cells]
    if table.from_text and not text_forced and not declared:
        others = [cell for cell, out in zip(cells, gone, strict=True) if not out]
        numeric = [_number(cell, options) is not None for cell in others]
        truths = [cell.strip().lower() in TRUTHS for cell in others]
        if any(
            any(known)
            and all(
                sure or is_missing(cell.strip(), options, among_numbers=True)
                for cell, sure in zip(others, known, strict=True)
            )
            for known in (numeric, truths)
        ):
            gone = [is_missing(cell.strip(), options, among_numbers=True) for cell in cells]
    words.counts.update({c.strip(): int(n) for c, n, out in zip(cells, counts, gone, strict=True) if out and c.strip()})
    present = [place for place, out in enumerate(gone) if not out]
    if not present:
        raise DataError(f"{name}: {what} has no value")
    if table.from_text and not text_forced:
        texts = [*(str(cells[p]).strip() for p in present), *declared]
        if not declared:
            _check_decimals(name, what, title, texts, table, options)
        plain: list[Label] = _from_written(what, texts, table, name)
    elif text_forced:
        plain = [str(cells[place]).strip() for place in present]
    else:
        plain = [_plain(name, what, cells[place]) for place in present]
    kinds = {"true/false" if isinstance(v, bool) else "text" if isinstance(v, str) else "number" for v in plain}
    if len(kinds) > 1:
        table.notes.append(f"{what} mixes {' and '.join(sorted(kinds))}: all read as text")
        plain = [str(label) for label in plain]
    classes = sort_labels(set(plain))
    if len(classes) > CLASSES_MAX:
        raise DataError(
            f"{name}: {what} looks like regression: it has {len(classes)} different values, "
            f"at most {CLASSES_MAX} classes are allowed"
        )
    order = {label: code for code, label in enumerate(classes)}
    of_cell = np.full(len(cells) + 1, -1, dtype=np.int64)
    of_cell[present] = [order[label] for label in plain[: len(present)]]
    unused = [str(label) for code, label in enumerate(classes) if code not in set(of_cell[present].tolist())]
    if unused:
        table.notes.append(f"declared classes that do not occur: {', '.join(unused[:20])}")
    return of_cell[codes], classes


def distinct(labels: pd.Series) -> tuple[list[Any], npt.NDArray[np.int64]]:
    """The different labels, 1, 1.0 and true being different, and which one each row has (-1: none)."""
    import pandas as pd

    labels = dense(labels)
    if labels.dtype != object:
        if isinstance(labels.dtype, pd.CategoricalDtype):
            codes, kinds = pd.factorize(labels)
            return list(kinds.astype(object)), np.asarray(codes, np.int64)
        codes, found = pd.factorize(labels)
        return list(found.astype(object)), np.asarray(codes, np.int64)
    places: dict[tuple[type, Any], int] = {}
    missing = labels.isna().to_numpy(dtype=bool)
    try:
        of_row = [
            -1 if no else places.setdefault((type(c), c), len(places)) for c, no in zip(labels, missing, strict=True)
        ]
    except TypeError:  # Such as a list. `_plain` says what a label may be.
        return list(labels[~missing]), np.where(missing, -1, np.cumsum(~missing) - 1)
    return [cell for _, cell in places], np.array(of_row, dtype=np.int64)


def _number(text: str, options: ReadOptions) -> float | None:
    """The number that a label is, with a decimal point or, unless the options rule it out, with a decimal comma."""
    value = Numbers().parse(text)
    return value if value is not None or options.decimal == "." else Numbers(",").parse(text)


def _check_decimals(
    name: str, what: str, title: str | None, texts: list[str], table: Table, options: ReadOptions
) -> None:
    """`DataError` if all labels may be numbers, some with a decimal comma, and nothing else says whether they are."""
    if options.decimal is not None or (table.numbers is not None and table.numbers.decimal == ","):
        return
    comma = next((text for text in texts if Numbers().parse(text) is None), None)
    if comma is not None and all(_number(text, options) is not None for text in texts):
        whole = all((_number(text, options) or 0) % 1 == 0 for text in texts)
        hint = "decimal = ',' says that it is" + ("" if whole else " (then the column looks like regression)")
        if table.numbers is not None and table.numbers.thousands == ",":
            hint = "thousands = ',' says that it is"
        column = f"text_columns = [{title!r}]" if title is not None else "text_columns with it"
        raise DataError(f"{name}: {what} holds {comma!r}, which may be a number; {hint}, {column} that it is a class")


def _from_written(what: str, texts: list[str], table: Table, name: str) -> list[Label]:
    """Labels from texts in a file: true/false or whole numbers if all are such, else the texts, perhaps with a note."""
    truths = [text.lower() in TRUTHS for text in texts]
    if all(truths):
        return [text.lower() == "true" for text in texts]
    whole = re.compile(r"[+-]?\d+")
    numbers_in_texts = table.numbers if table.numbers is not None and table.numbers.decimal == "," else Numbers()
    values = [int(text) if whole.fullmatch(text) else numbers_in_texts.parse(text) for text in texts]
    good = sum(value is not None for value in values)
    if good < len(texts):
        if any(truths):
            odd = next(text for text, truth in zip(texts, truths, strict=True) if not truth)
            table.notes.append(f"{what} has true/false and {odd!r}: all read as text")
        elif 2 * good >= len(texts) and len(texts) > 2:
            odd = next(text for text, value in zip(texts, values, strict=True) if value is None)
            table.notes.append(f"{what} has numbers and the text {odd!r}: all read as text")
        return list(texts)
    if any(re.match(r"[+-]?0\d", text) for text in texts):
        table.notes.append(f"{what} has numbers that begin with 0: read as text")
        return list(texts)
    return [_plain(name, what, value) for value in values]


def _plain(name: str, what: str, cell: Any) -> Label:
    """A label as a plain Python value."""
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, bool | np.bool_):
        return bool(cell)
    if not all_are([cell], numbers.Real, Decimal):
        raise DataError(
            f"{name}: {what} holds a value of type {type(cell).__name__}; "
            "a class must be a whole number, true/false or a text"
        )
    # `isfinite` converts to float, which very large whole numbers do not fit, so they are not passed to it.
    if not all_are([cell], numbers.Integral) and (not math.isfinite(cell) or cell % 1):
        raise DataError(
            f"{name}: {what} looks like regression: it holds {cell}, "
            "and a class must be a whole number, true/false or a text"
        )
    return int(cell)


def dense(series: pd.Series) -> pd.Series:
    import pandas as pd

    kept: pd.Series = series.astype(series.dtype.subtype) if isinstance(series.dtype, pd.SparseDtype) else series
    return kept


def all_are(values: Collection[Any], *types: type) -> bool:
    return all(isinstance(value, types) for value in values)
