"""Names and labels outside, columns and class codes inside: the encoding of the River classifiers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protovine.prototypes import FEATURE_MAX


class Encoding:
    """The features and classes seen so far, each in the order in which they came.

    Parameters
    ----------
    takes_missing : bool
        Whether a value may be absent, None or NaN, which is encoded as NaN. If not, an absent feature counts as 0.
    """

    def __init__(self, takes_missing: bool) -> None:
        self.takes_missing = takes_missing
        self.features: tuple[Hashable, ...] = ()
        self.classes: list[Any] = []
        self._columns: dict[Hashable, int] = {}
        self._codes: dict[Any, int] = {}

    def add_features(self, names: Sequence[Hashable]) -> None:
        """Give new features the next columns."""
        self.features += tuple(names)
        self._columns = {name: i for i, name in enumerate(self.features)}

    def add_class(self, label: Any) -> int:
        """Give a new label the next code."""
        code = self._codes[label] = len(self.classes)
        self.classes.append(label)
        return code

    def code(self, label: Any) -> int | None:
        """The code of a label; None if it is new."""
        return self._codes.get(label)

    def load(self, features: Sequence[Hashable], classes: Sequence[Any]) -> None:
        """Start from saved names; ``ValueError`` if one stands there twice."""
        self.add_features(features)
        for label in classes:
            self.add_class(label)
        if len(self._codes) != len(self.classes) or len(self._columns) != len(self.features):
            raise ValueError("a label or a feature stands there twice")

    def new_features(self, x: Mapping[Hashable, Any]) -> dict[Hashable, float] | None:
        """The first values of features that are new in a sample, None if all are known; ``ValueError`` as `vector`.

        A feature without a value in its first sample waits for one.
        """
        if x.keys() == self._columns.keys():
            return None
        new = [name for name in x if name not in self._columns]
        if not new:
            return None
        numbers = dict(zip(x, self._numbers(x, x), strict=True))
        return {name: numbers[name] for name in new if numbers[name] == numbers[name]}

    def vector(self, x: Mapping[Hashable, Any]) -> NDArray[np.float64]:
        """Values of the known features (max(d, 1),); ``ValueError`` names the first that is not a finite number."""
        if x.keys() != self._columns.keys():
            absent = None if self.takes_missing else 0.0
            x = {name: x.get(name, absent) for name in self.features}
        values = [x[name] for name in self.features]
        try:
            usable = sum(map(abs, values)) <= FEATURE_MAX  # False for NaN too.
        except TypeError:
            usable = False
        if not usable:
            values = self._numbers(x, self.features)
        return np.array(values, dtype=np.float64) if values else np.zeros(1)

    def rows(self, x: ArrayLike) -> NDArray[np.float64]:
        """Rows (n, d) as float64; ``ValueError`` if they have another shape or a value is infinite."""
        rows = np.ascontiguousarray(x, dtype=np.float64)
        if rows.ndim != 2:
            raise ValueError(f"x must have shape (n, d), got {rows.shape}")
        usable = np.abs(rows) <= FEATURE_MAX
        if self.takes_missing:
            usable |= np.isnan(rows)
        if not usable.all():
            raise ValueError(f"x must be finite and within ±{FEATURE_MAX:g}")
        return rows

    def labels(self, codes: NDArray[np.int64]) -> NDArray[Any]:
        """Labels of class codes, in an array of their own type if they have a common one."""
        labels: NDArray[Any] = np.empty(len(self.classes), dtype=object)
        labels[:] = self.classes
        if len({type(label) for label in self.classes}) == 1 and isinstance(self.classes[0], str | int | float):
            labels = np.array(self.classes)
        return labels[codes]

    def by_class(self, proba: NDArray[np.float64]) -> dict[Any, float]:
        """Probabilities (n_classes,) by label."""
        return dict(zip(self.classes, proba.tolist(), strict=True))

    def _numbers(self, x: Mapping[Hashable, Any], names: Sequence[Hashable] | Mapping[Hashable, Any]) -> list[float]:
        """Values as numbers, NaN for missing ones; ``ValueError`` at the first that is neither."""
        found = []
        for name in names:
            value = x[name]
            if self.takes_missing and (value is None or value != value):
                value = np.nan
            elif not (isinstance(value, Real) and abs(value) <= FEATURE_MAX):  # type: ignore[operator]
                raise ValueError(f"feature '{name}' must be a finite number within ±{FEATURE_MAX:g}, got {value!r}")
            found.append(float(value))
        return found


def first_values(rows: NDArray[np.float64]) -> list[float]:
    """The first value of each column that is not missing, 0 where there is none."""
    found = ~np.isnan(rows)
    first = rows[found.argmax(axis=0), np.arange(rows.shape[1])] if len(rows) else np.zeros(rows.shape[1])
    values: list[float] = np.nan_to_num(first).tolist()
    return values
