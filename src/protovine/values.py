"""What a value from any Python library stands for: a number, a label, or nothing, because it is missing."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Hashable, Sequence
from decimal import Decimal
from math import inf, nan
from numbers import Real
from typing import Any

import numpy as np

LENGTH_MAX = 80
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = LENGTH_MAX


def is_missing(value: Any) -> bool:
    """Whether a scalar says that there is no value: None, NaN of any type, NaT, ``pandas.NA`` or a masked entry.

    Examples
    --------
    >>> [is_missing(each) for each in (None, float("nan"), np.float16("nan"), np.ma.masked, 0, "")]
    [True, True, True, True, False, False]
    """
    if value is None or value is np.ma.masked:
        return True
    if isinstance(value, float | complex | np.inexact):
        return bool(value != value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    if isinstance(value, Decimal):
        return value.is_nan()
    # Nobody has such a value before pandas is imported.
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def number(value: Any) -> float | None:
    """A real scalar of any type as a float: NaN if it is missing, infinite if it is too large, None if it is no number.

    Booleans are 0 and 1. Text is no number, nor are dates, durations and complex numbers.

    Examples
    --------
    >>> [number(each) for each in (np.uint8(200), np.True_, Decimal("0.5"), None, "7", 1j)]
    [200.0, 1.0, 0.5, nan, None, None]
    """
    value = _scalar(value)
    if is_missing(value):
        return nan
    # NumPy counts durations among the integers.
    if not isinstance(value, Real | Decimal | np.bool_) or isinstance(value, np.timedelta64):
        return None
    try:
        return float(value)
    except OverflowError:
        return inf


def label(value: Any) -> Hashable | None:
    """A label as a plain Python value, or None if it is missing: the sample is unlabelled then.

    NumPy scalars become Python's. Labels are one class if they are equal and have the same hash, as everywhere in
    Python: 1, 1.0, True and ``np.int64(1)`` are one class, "1" is another.

    Raises
    ------
    TypeError
        The label is not hashable, such as a list or an array.

    Examples
    --------
    >>> label(np.str_("on")), label(np.int8(3)), label(np.float32("nan"))
    ('on', 3, None)
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool:
        return value  # type: ignore[no-any-return]
    value = _scalar(value)
    if is_missing(value):
        return None
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64 | np.void):
        value = value.item()
    try:
        hash(value)
    except TypeError:
        raise TypeError(f"a label must be hashable, such as text or a number, got {shown(value)}") from None
    return value  # type: ignore[no-any-return]


def is_whole(value: object) -> bool:
    """Whether a value is a whole number of Python or NumPy, and not true or false.

    Examples
    --------
    >>> [is_whole(each) for each in (3, np.int8(3), 3.0, True, "3")]
    [True, True, False, False, False]
    """
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def shown(value: object) -> str:
    """``value`` as Python writes it, in one line without control characters, and no longer than a message can bear.

    Examples
    --------
    >>> shown({"a": 1.5}), shown(10**10_000)
    ("{'a': 1.5}", 'a number with too many digits')
    """
    return in_one_line(_SHORT, value)


def in_one_line(short: reprlib.Repr, value: object) -> str:
    """``value`` as ``short`` writes it, in one line.

    Examples
    --------
    >>> in_one_line(reprlib.Repr(), [1, 2])
    '[1, 2]'
    """
    try:
        text = short.repr(value)
    except ValueError:  # Python refuses to write numbers of thousands of digits.
        return "a number with too many digits"
    return " ".join(text.split()) if "\n" in text else text


def listed(names: Sequence[object]) -> str:
    """The first twenty names for people."""
    return ", ".join(map(shown, names[:20])) + (", …" if len(names) > 20 else "")


def check_index(x: Any, y: Any, name: str) -> None:
    """`ValueError` if the rows of a pandas table and the values of a pandas column called ``name`` differ in index.

    By position or by index would be a guess, and the wrong one mixes up all rows.
    """
    rows: Any = getattr(x, "index", None)
    others: Any = getattr(y, "index", None)
    if not hasattr(rows, "equals") or not hasattr(others, "equals") or len(rows) != len(others) or rows.equals(others):
        return
    pairs = zip(rows.tolist(), others.tolist(), strict=True)
    different = next(((i, *pair) for i, pair in enumerate(pairs) if pair[0] != pair[1]), None)
    if different is None:  # They differ in type alone.
        return
    i, row, other = different
    raise ValueError(
        f"{name} and x must have the same index, but row {i} has {shown(other)} in {name} and "
        f"{shown(row)} in x; {name}.loc[x.index] matches them by index, {name}.to_numpy() by position"
    )


def _scalar(value: Any) -> Any:
    """The scalar in a 0-d array or in a scalar of Arrow; any other value as it is."""
    if value is not np.ma.masked and not isinstance(value, np.generic) and getattr(value, "ndim", None) == 0:
        if np.ma.is_masked(value):
            return None
        return np.asarray(value)[()]
    return value.as_py() if hasattr(value, "as_py") else value
