"""`DataSet`: a finite labelled stream in memory, to which every source is converted."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from protovine.errors import ConfigError, DataError
from protovine.prototypes import FEATURE_MAX
from protovine.values import is_whole, shown

Label = bool | int | float | str
# The class code of a row without a label.
UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class DataSet:
    """Rows in stream order, with names for the features and classes.

    Parameters
    ----------
    name : str
        Shown in reports and error messages.
    x : float64 array, shape (n, d), n >= 1, d >= 1
        Feature values, all finite. Stored C-contiguous and read-only; copied if the caller could still write to it.
    y : int64 array, shape (n,)
        The class of each row, an index into `classes`; `UNLABELLED`, -1, where the label is missing. Such a sample is
        predicted but not learnt, and does not count in scores. Stored read-only.
    features : tuple of d different str
        Column names.
    classes : tuple of Label
        Plain Python labels in the order of `sort_labels`. By default the last one is the positive class. A class need
        not occur in `y`.
    drift_points : tuple of int, ascending, each in 1..n-1
        The first row of each new concept, where the concept is known to change abruptly or gradually.
    notes : tuple of str
        One line for each change that was made to the data on reading.
    times : dict of str to str
        For each feature that is seconds since a date: that date in ISO 8601, in UTC.
    absent_zero : tuple of str
        Features that are 0 in a sample that lacks them.
    ordinal : dict of str to tuple of str
        For each feature that is the position of a text: these texts in their order.
    label : str
        The name of the label's column; empty where it has none.
    label_rule : str
        Why that column is the label, for example "the last column"; empty where the labels are no column of a table.
    groups : int64 array, shape (n,), optional
        The device or user that each row comes from, an index into `group_names`. Stored read-only.
    group_names : tuple of different str
        The names of the groups. A group need not occur in `groups`.

    Raises
    ------
    DataError
        A value breaks one of these rules.

    Examples
    --------
    >>> data = DataSet("tiny", np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1]), ("a",), ("no", "yes"))
    >>> len(data), len(data.head(2)), data.positive_code(None), data.positive_code("no")
    (3, 2, 1, 0)
    """

    name: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.int64]
    features: tuple[str, ...]
    classes: tuple[Label, ...]
    drift_points: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    times: dict[str, str] = field(default_factory=dict)
    absent_zero: tuple[str, ...] = ()
    label: str = ""
    label_rule: str = ""
    groups: npt.NDArray[np.int64] | None = None
    group_names: tuple[str, ...] = ()
    ordinal: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        x, y = np.asarray(self.x), np.asarray(self.y)
        if x.ndim != 2 or x.shape[0] < 1 or x.shape[1] < 1 or x.dtype.kind not in "biuf":
            raise DataError(
                f"{self.name}: x must hold numbers in at least one row and one column, "
                f"got {x.dtype} with shape {x.shape}"
            )
        if y.shape != x.shape[:1] or y.dtype.kind not in "iu":
            raise DataError(f"{self.name}: y must hold {len(x)} whole numbers, got {y.dtype} with shape {y.shape}")
        x, y = _frozen(x, np.float64), _frozen(y, np.int64)
        bad = ~(np.abs(x) <= FEATURE_MAX)  # Includes NaN.
        if bad.any():
            row, column = np.argwhere(bad)[0]
            limit = f"finite and within ±{FEATURE_MAX:g}"
            raise DataError(f"{self.name}: x must be {limit}, got {x[row, column]} in row {row}, column {column}")
        _check_names(self.name, x.shape[1], self.features, self.classes)
        if y.min() < UNLABELLED or y.max() >= len(self.classes):
            raise DataError(
                f"{self.name}: y must be between 0 and {len(self.classes) - 1}, or {UNLABELLED} without a label, "
                f"got {y.min()} to {y.max()}"
            )
        ends = (0, *self.drift_points, len(x))
        if any(before >= after for before, after in pairwise(ends)):
            raise DataError(
                f"{self.name}: drift points must ascend between 1 and {len(x) - 1}, got {self.drift_points}"
            )
        if self.groups is not None:
            object.__setattr__(self, "groups", _checked_groups(self.name, self.groups, self.group_names, len(x)))
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)

    def __len__(self) -> int:
        """The number of rows, at least 1."""
        return len(self.y)

    def labels(self) -> list[Label | None]:
        """The label of each row, None where it is missing; learners take it: ``model.learn(data.x, data.labels())``.

        Examples
        --------
        >>> DataSet("tiny", np.zeros((3, 1)), np.array([1, -1, 0]), ("a",), ("no", "yes")).labels()
        ['yes', None, 'no']
        """
        return [None if code == UNLABELLED else self.classes[code] for code in self.y.tolist()]

    def head(self, limit: int) -> DataSet:
        """The first `limit` rows, or all if there are fewer, with the same classes and the drift points among them.

        Raises
        ------
        ConfigError
            `limit` is no whole number, or below 1.
        """
        check_rows(limit)
        kept = tuple(point for point in self.drift_points if point < limit)
        return self._part(slice(limit), kept)

    def rows(self, index: npt.ArrayLike) -> DataSet:
        """The rows that `index` lists, in its order, with the same classes and without drift points.

        Raises
        ------
        DataError
            `index` is empty, not one-dimensional, not whole numbers, or outside 0..n-1.
        """
        chosen = np.asarray(index)
        if chosen.ndim != 1 or chosen.size == 0 or chosen.dtype.kind not in "iu":
            raise DataError(f"{self.name}: rows must be a non-empty list of whole numbers, got shape {chosen.shape}")
        if chosen.min() < 0 or chosen.max() >= len(self):
            raise DataError(
                f"{self.name}: rows must be between 0 and {len(self) - 1}, got {chosen.min()} to {chosen.max()}"
            )
        return self._part(chosen, ())

    def _part(self, chosen: slice | npt.NDArray[Any], drift_points: tuple[int, ...]) -> DataSet:
        groups = None if self.groups is None else self.groups[chosen]
        return replace(self, x=self.x[chosen], y=self.y[chosen], groups=groups, drift_points=drift_points)

    def fingerprint(self) -> str:
        """A hash, as 32 hex digits, of values, classes, groups and feature names; the name and the notes do not count.

        Examples
        --------
        >>> data = DataSet("tiny", np.array([[0.0], [1.0]]), np.array([0, 1]), ("a",), ("no", "yes"))
        >>> data.fingerprint() == data.head(1).fingerprint()
        False
        """
        # JSON distinguishes 1, 1.0, "1" and true. A fixed byte order gives every machine the same digits.
        header = json.dumps([self.x.shape, self.features, self.classes])
        digest = hashlib.blake2b(header.encode(), digest_size=16)
        digest.update(self.x.astype("<f8", copy=False).tobytes())
        digest.update(self.y.astype("<i8", copy=False).tobytes())
        if self.groups is not None:
            digest.update(json.dumps(self.group_names).encode())
            digest.update(self.groups.astype("<i8", copy=False).tobytes())
        return digest.hexdigest()

    def positive_code(self, label_text: str | None) -> int:
        """The code of the positive class: the class whose label is `label_text`, or the last class for None.

        For true/false labels, upper and lower case are the same.

        Raises
        ------
        ConfigError
            No class has this label.
        """
        if label_text is None:
            return len(self.classes) - 1
        for code, label in enumerate(self.classes):
            if str(label) == label_text or (isinstance(label, bool) and str(label).lower() == label_text.lower()):
                return code
        known = ", ".join(str(label) for label in self.classes[:20]) + (", …" if len(self.classes) > 20 else "")
        raise ConfigError(f"the positive class must be one of {known}, got {label_text!r}")


def check_rows(rows: Any) -> None:
    """`ConfigError` unless it is a whole number of rows, at least 1."""
    if not is_whole(rows) or rows < 1:
        raise ConfigError(f"the number of rows must be a whole number of at least 1, got {shown(rows)}")


def require_classes(data: DataSet) -> None:
    """Raise an error if all rows are of one class, since then there is nothing to learn.

    Raises
    ------
    DataError
        Fewer than two classes occur in `data.y`.

    Examples
    --------
    >>> data = DataSet("tiny", np.array([[0.0], [1.0]]), np.array([0, 1]), ("a",), ("no", "yes"))
    >>> require_classes(data)
    >>> require_classes(data.head(1))
    Traceback (most recent call last):
    protovine.errors.DataError: tiny: needs at least two classes, got one: 'no'
    """
    present = np.unique(data.y[data.y != UNLABELLED])
    if len(present) < 2:
        one = f"one: {data.classes[present[0]]!r}" if len(present) else "no label"
        raise DataError(f"{data.name}: needs at least two classes, got {one}")


def sort_labels(labels: Iterable[Label]) -> tuple[Label, ...]:
    """Labels in ascending order: by value if all are numbers or true/false, otherwise by their text.

    Examples
    --------
    >>> sort_labels([10, 9]), sort_labels(["b", "a"]), sort_labels(["10", 9])
    ((9, 10), ('a', 'b'), ('10', 9))
    """
    every = list(labels)
    if all(isinstance(label, bool | int | float) for label in every):
        return tuple(sorted(every, key=lambda label: label))
    return tuple(sorted(every, key=str))


def _check_names(name: str, n_features: int, features: tuple[str, ...], classes: tuple[Label, ...]) -> None:
    if len(features) != n_features or not all(isinstance(feature, str) for feature in features):
        raise DataError(f"{name}: {n_features} feature names are needed, got {len(features)}")
    if len(set(features)) != len(features):
        double = next(feature for feature in features if features.count(feature) > 1)
        raise DataError(f"{name}: feature names must differ, got {double!r} more than once")
    for label in classes:
        if type(label) not in (bool, int, float, str) or (isinstance(label, float) and not math.isfinite(label)):
            raise DataError(f"{name}: a class must be true/false, a finite number or a text, got {label!r}")
    if not classes or len({str(label) for label in classes}) != len(classes) or sort_labels(classes) != classes:
        raise DataError(f"{name}: classes must be sorted and their texts must differ, got {classes}")


def _checked_groups(name: str, groups: npt.ArrayLike, names: tuple[str, ...], rows: int) -> npt.NDArray[np.int64]:
    """The groups, read-only; `DataError` if they do not fit the rows or the names."""
    found = np.asarray(groups)
    if found.shape != (rows,) or found.dtype.kind not in "iu":
        raise DataError(f"{name}: groups must hold {rows} whole numbers, got {found.dtype} with shape {found.shape}")
    if found.min() < 0 or found.max() >= len(names):
        raise DataError(f"{name}: groups must be between 0 and {len(names) - 1}, got {found.min()} to {found.max()}")
    if len(set(names)) != len(names) or not all(isinstance(each, str) for each in names):
        raise DataError(f"{name}: the names of groups must be different texts, got {names[:10]}")
    return _frozen(found, np.int64)


def _frozen(array: npt.NDArray[Any], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """`array` as a C-contiguous, read-only array; copied unless the caller's array is read-only too."""
    copy = np.array if array.flags.writeable else np.asarray
    fixed: npt.NDArray[Any] = copy(array, dtype=dtype, order="C")
    fixed.flags.writeable = False
    return fixed
