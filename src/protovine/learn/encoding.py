"""Names and labels outside, columns and class codes inside: the encoding of the River classifiers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import fsum
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from protovine import values
from protovine.absence import ABSENT, NOTED_EVERY, Presence
from protovine.errors import ConfigError, SnapshotError
from protovine.learn.tables import array_of
from protovine.learn.validate import no_number
from protovine.prototypes import FEATURE_MAX

# Columns, means and deviations of keys that turn out to be measurements.
Turned: TypeAlias = tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]
# Types of numbers that need no conversion.
_PLAIN = frozenset((float, int, bool, np.float64))


class Encoding:
    """The features and classes seen so far, each in the order in which they came.

    Parameters
    ----------
    takes_missing : bool
        Whether a value may be missing (None, NaN, pd.NA), which is encoded as NaN.
    absent : {"auto", "zero", "missing"}
        What a key counts as that a dictionary lacks; "auto" decides for each key, see `protovine.absence`.

    Raises
    ------
    ConfigError
        ``absent`` is none of these.
    """

    def __init__(self, takes_missing: bool, absent: str) -> None:
        if absent not in ABSENT:
            raise ConfigError(f"absent must be one of {', '.join(ABSENT)}, got {absent!r}")
        self.takes_missing, self.absent = takes_missing, absent
        self.features: tuple[Hashable, ...] = ()
        # Whether the features are the columns of arrays, numbered from 0, and not names.
        self.numbered = False
        self.classes: list[Any] = []
        self.presence = Presence() if absent == "auto" else None
        self._columns: dict[Hashable, int] = {}
        self._codes: dict[Any, int] = {}
        # Gets all values of a dictionary as a tuple, which it does from two on.
        self._pick: itemgetter[Any] | None = None

    def add_features(self, names: Sequence[Hashable]) -> None:
        """Give new features the next columns."""
        self.features += tuple(names)
        self._columns = {name: i for i, name in enumerate(self.features)}
        self._pick = itemgetter(*self.features) if len(self.features) > 1 else None
        if self.presence is not None:
            self.presence.widen(len(self.features))

    def check_names(self, new: Sequence[Hashable]) -> None:
        """`ValueError` if there are new names but the features are columns of arrays: which is which is unknown."""
        if self.numbered and new:
            raise ValueError(
                f"x has features by name ({values.listed(new)}), but the {len(self.features)} columns of arrays were "
                "learnt, which have none; learn arrays only, or names only"
            )

    def check_numbers(self, width: int) -> None:
        """`ValueError` unless rows of ``width`` values without names fit the features."""
        if not self.features:
            return
        if not self.numbered and self.features != tuple(range(len(self.features))):
            raise ValueError(
                f"x has no names for its columns, but features were learnt by name ({values.listed(self.features)}); "
                "pass a DataFrame with these columns"
            )
        if width != len(self.features):
            raise ValueError(f"rows must have {len(self.features)} features, got {width}")

    def column(self, name: Hashable) -> int | None:
        """The column of a feature; None if it is new."""
        return self._columns.get(name)

    def add_class(self, label: Any) -> int:
        """Give a new label the next code."""
        code = self._codes[label] = len(self.classes)
        self.classes.append(label)
        return code

    def code(self, label: Any) -> int | None:
        """The code of a label; None if it is new."""
        return self._codes.get(label)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as plain values."""
        counts = None if self.presence is None else self.presence.state()
        return {
            "features": list(self.features),
            "classes": list(self.classes),
            "presence": counts,
            "numbered": self.numbered,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Start from ``state``; ``ValueError`` if a name stands there twice, `SnapshotError` if counts do not fit."""
        self.add_features(state["features"])
        self.numbered = bool(state.get("numbered"))  # Older files do not say it.
        for label in state["classes"]:
            self.add_class(label)
        if len(self._codes) != len(self.classes) or len(self._columns) != len(self.features):
            raise ValueError("a label or a feature stands there twice")
        if self.presence is not None:
            if not isinstance(state["presence"], Mapping):
                raise SnapshotError("there are no counts of the keys of dictionaries")
            self.presence.restore(state["presence"])

    def plain(self, x: Any) -> NDArray[np.float64] | None:
        """The `vector` of a dictionary with all known features, none new, and plain numbers; None for all others."""
        if self._pick is None or type(x) is not dict or x.keys() != self._columns.keys():
            return None
        given = self._pick(x)
        try:
            # The sum is NaN if a value is.
            if _PLAIN.issuperset(map(type, given)) and fsum(map(abs, given)) <= FEATURE_MAX:
                return np.array(given, np.float64)
        except OverflowError:
            pass
        return None

    def new_features(self, x: Mapping[Hashable, Any]) -> dict[Hashable, float] | None:
        """The first values of features that are new in a sample, None if all are known; ``ValueError`` as `vector`.

        A feature without a value in its first sample waits for one.
        """
        if not isinstance(x, Mapping):
            raise _no_dictionary(x)
        if x.keys() == self._columns.keys():
            return None
        new = [name for name in x if name not in self._columns]
        if not new:
            return None
        self.check_names(new)
        numbers = dict(zip(x, self._numbers(x.items()), strict=True))
        return {name: numbers[name] for name in new if numbers[name] == numbers[name]}

    def vector(self, x: Mapping[Hashable, Any], received: bool = False) -> NDArray[np.float64]:
        """Values of the known features (max(d, 1),); ``ValueError`` names the first that is not a finite number."""
        plain = self.plain(x)
        if plain is not None:
            return plain
        if not isinstance(x, Mapping):
            raise _no_dictionary(x)
        known = [(name, value) for name, value in x.items() if name in self._columns]
        if self.numbered and len(known) < len(x):
            self.check_names([name for name in x if name not in self._columns])
        vector = self._blank(received)
        vector[[self._columns[name] for name, _ in known]] = self._numbers(known)
        return vector

    def count(self, x: Mapping[Hashable, Any] | None, vector: NDArray[np.float64]) -> Turned | None:
        """Count the keys of an own sample with its `vector`; returns as `protovine.absence.Presence.note`.

        ``x`` may be None if the sample has all keys.
        """
        presence = self.presence
        if presence is None or not self.features:
            return None
        if x is None or x.keys() == self._columns.keys():
            if presence.samples >= presence.noted_until and presence.samples % NOTED_EVERY:
                presence.samples += 1
                return None
            return presence.note(vector)
        there = np.zeros(len(self.features), np.bool_)
        there[[self._columns[name] for name in x if name in self._columns]] = True
        return presence.note(np.where(there, vector, np.nan), there)

    def count_rows(self, rows: NDArray[np.float64]) -> dict[int, Turned]:
        """Count the keys of own samples (n, d) that have all; what `count` returns, by the number of rows by then."""
        if self.presence is None:
            return {}
        counted = ((i, self.count(None, row)) for i, row in enumerate(rows, 1))
        return {i: turned for i, turned in counted if turned is not None}

    def unborn(self) -> bool:
        """Whether a key that is new in an own sample counts as 0 in earlier samples, rather than as its first value."""
        return self.absent == "zero" or (self.presence is not None and self.presence.samples > 0)

    def labels(self, codes: NDArray[np.int64]) -> NDArray[Any]:
        """Labels of class codes; see `array_of` for the type of the array."""
        return array_of(self.classes)[codes]

    def by_class(self, proba: NDArray[np.float64]) -> dict[Any, float]:
        """Probabilities (n_classes,) by label."""
        return dict(zip(self.classes, proba.tolist(), strict=True))

    def _blank(self, received: bool) -> NDArray[np.float64]:
        """What every feature (max(d, 1),) counts as where a sample lacks it."""
        if self.presence is not None and self.features:
            return self.presence.blank(received)
        return np.full(max(1, len(self.features)), np.nan if self.absent == "missing" and self.features else 0.0)

    def _numbers(self, items: Iterable[tuple[Hashable, Any]]) -> list[float]:
        """Values as numbers, NaN for missing ones; ``ValueError`` at the first that is neither."""
        found = []
        for name, value in items:
            number = float(value) if type(value) is float or type(value) is bool else values.number(value)
            if number is None or not (abs(number) <= FEATURE_MAX or (self.takes_missing and number != number)):
                raise no_number(f"feature {name!r}", value, number)
            found.append(number)
        return found


def _no_dictionary(x: Any) -> TypeError:
    return TypeError(
        f"a sample must be a dictionary of features, got {type(x).__name__} {values.shown(x)}; "
        "learn, predict and predict_proba take arrays and DataFrames, and dict(enumerate(x)) makes a sample of a vector"
    )
