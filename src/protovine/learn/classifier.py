"""What the River classifiers have in common: a core behind an encoding, arrays, DataFrames and files."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Hashable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from river import base

from protovine import values
from protovine.errors import SnapshotError
from protovine.learn import tables
from protovine.learn.encoding import Encoding
from protovine.prototypes import PrototypeSet
from protovine.snapshot import pack, unpack

# More neighbours in a file are damage: a learner takes memory for each, while it grows to its limit of prototypes.
_NEIGHBORS_MAX = 10**6


class CoreClassifier(base.Classifier):
    """A classifier over a core: encodes samples, and saves and loads both."""

    _core: Any
    _takes_missing = False

    def _forget(self, absent: str) -> None:
        self._encoding = Encoding(self._takes_missing, absent)
        self._core = self._make_core(1, 1)

    @abstractmethod
    def _make_core(self, dim: int, n_classes: int) -> Any:
        """A core that has learnt nothing, with this object's parameters."""

    @property
    def _multiclass(self) -> bool:
        return True

    @property
    def classes(self) -> tuple[Any, ...]:
        """Labels seen so far, in the order in which they came; a tie goes to the first."""
        return tuple(self._encoding.classes)

    @property
    def features(self) -> tuple[Hashable, ...]:
        """Feature names seen so far; their order is the order of a vector's entries."""
        return self._encoding.features

    @property
    def prototypes(self) -> PrototypeSet:
        """A copy of the set; labels are positions in `classes`."""
        held: PrototypeSet = self._core.prototypes()
        return held

    def __len__(self) -> int:
        return len(self._core)

    def __bool__(self) -> bool:
        return True

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the learner to a file, as a whole or not at all.

        Raises
        ------
        TypeError
            A label or a feature's name is neither text, number nor bool.
        """
        for name in (*self.features, *self.classes):
            if not _is_savable(name):
                raise TypeError(f"labels and features must be text or numbers to be saved, got {name!r}")
        target = Path(path)
        partial = target.with_name(target.name + ".part")
        partial.write_bytes(
            pack(
                {
                    "is": type(self).__name__,
                    "parameters": self._get_params(),
                    "encoding": self._encoding.state(),
                    "core": self._core.state(),
                }
            )
        )
        os.replace(partial, target)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The learner that was saved; `SnapshotError` if the file is damaged or holds another kind of learner."""
        try:
            saved = unpack(Path(path).read_bytes())
            if saved.get("is") != cls.__name__:
                raise SnapshotError(f"{os.fspath(path)} holds no {cls.__name__}")
            if saved["parameters"].get("n_neighbors", 0) > _NEIGHBORS_MAX:
                raise ValueError("a parameter is out of range")
            model = cls(**saved["parameters"])
            model._encoding.restore(saved["encoding"])
            model._core = model._make_core(max(1, len(model.features)), max(1, len(model.classes)))
            model._core.restore(saved["core"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise SnapshotError(f"{os.fspath(path)} is damaged: {error}") from None
        return model

    def _learn_one(self, x: dict[Any, Any], y: Any, at_ns: int) -> None:
        label = values.label(y)
        if label is None:
            # Nothing is learnt, but what is no sample is an error as always.
            self._encoding.new_features(x)
            self._encoding.vector(x)
            return
        plain = self._encoding.plain(x)
        vector = self._learnable(x) if plain is None else plain
        self._core.learn_checked(vector[np.newaxis], np.array([self._code(label)]), np.array([at_ns], np.int64))
        if self._encoding.presence is not None:
            turned = self._encoding.count(x if plain is None else None, vector)
            if turned is not None:
                self._core.reset_features(*turned)

    def _predict_one(self, x: dict[Any, Any], at_ns: int | None) -> Any:
        if not len(self._core):
            return None
        return self._encoding.classes[self._core.predict(self._encoding.vector(x), at_ns).code]

    def _predict_proba_one(self, x: dict[Any, Any], at_ns: int | None) -> dict[Any, float]:
        if not len(self._core):
            return {}
        return self._encoding.by_class(self._core.predict(self._encoding.vector(x), at_ns).proba)

    def _learn_rows(self, x: Any, y: Any, times: NDArray[np.int64] | None) -> None:
        frame = tables.frame_of(x)
        if frame is None:
            columns, rows = None, tables.rows_of(x, self._takes_missing)
            self._encoding.check_numbers(rows.shape[1])
        else:
            columns = tables.columns_of(frame, self._takes_missing)
            self._check_columns(columns)
            rows = np.empty((len(frame), 0))
        values.check_index(x, y, "y")
        labels = tables.labels_of(y, len(rows))
        if times is not None and times.shape != (len(rows),):
            raise ValueError(f"t_ns must have a time for each of the {len(rows)} rows, got shape {times.shape}")
        labelled = np.array([label is not None for label in labels], dtype=np.bool_)
        if not labelled.any():
            return
        if columns is not None:
            self._add_columns({name: column[labelled] for name, column in columns.items()})
            rows = self._matrix(columns, len(rows))
        elif not self.features:
            self._encoding.numbered = True
            self._add_features(dict(enumerate(tables.first_values(rows[labelled]))))
        if not labelled.all():
            rows, labels = rows[labelled], [label for label in labels if label is not None]
            times = None if times is None else times[labelled]
        if times is None:
            times = self._times(len(rows))
        first: dict[Any, int] = {}
        for i, label in enumerate(labels):
            first.setdefault(label, i)
        # As with `learn_one`, a class exists from its first sample on, and features are reset after the one that tells.
        turned = self._encoding.count_rows(rows)
        starts = {i for label, i in first.items() if self._encoding.code(label) is None}
        for start, stop in pairwise(sorted({0, len(rows)} | starts | turned.keys())):
            codes = np.array([self._code(label) for label in labels[start:stop]], dtype=np.int64)
            self._core.learn(rows[start:stop], codes, times[start:stop])
            if stop in turned:
                self._core.reset_features(*turned[stop])

    def _times(self, n: int) -> NDArray[np.int64]:
        """Event times (n,) of rows without times."""
        return np.zeros(n, np.int64)

    def _predict_rows(self, x: Any, *at_ns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        frame = tables.frame_of(x)
        if frame is None:
            rows = tables.rows_of(x, self._takes_missing)
        else:
            columns = tables.columns_of(frame, self._takes_missing)
        if not len(self._core):
            raise ValueError("nothing was learnt yet: there is no label to predict")
        if frame is None:
            self._encoding.check_numbers(rows.shape[1])
        else:
            self._check_columns(columns)
            unknown = [name for name in columns if self._encoding.column(name) is None]
            if unknown:
                raise ValueError(f"x has columns that were never learnt: {values.listed(unknown)}")
            rows = self._matrix(columns, len(frame))
        found: tuple[NDArray[np.int64], NDArray[np.float64]] = self._core.predict_many(rows, *at_ns)
        return found

    def _predict_many(self, x: Any, *at_ns: int) -> Any:
        """`predict_many`: labels of the kind of column that belongs to ``x``."""
        frame = tables.frame_of(x)
        if not len(self._core) and frame is not None:
            return tables.series_like(frame, tables.array_of([None] * len(frame)))
        labels = self._encoding.labels(self._predict_rows(x, *at_ns)[0])
        return labels if frame is None else tables.series_like(frame, labels)

    def _predict_proba_many(self, x: Any, *at_ns: int) -> Any:
        """`predict_proba_many`: a column for each class in the kind of table that ``x`` is."""
        frame = tables.frame_of(x)
        if not len(self._core) and frame is not None:
            return tables.frame_like(frame, {})
        proba = self._predict_rows(x, *at_ns)[1]
        return proba if frame is None else tables.frame_like(frame, dict(zip(self.classes, proba.T, strict=True)))

    def _check_columns(self, columns: Mapping[Hashable, NDArray[np.float64]]) -> None:
        self._encoding.check_names([name for name in columns if self._encoding.column(name) is None])
        lacking = [name for name in self.features if name not in columns]
        if lacking and getattr(self, "absent", "auto") == "auto":
            hint = ' (absent="missing" or absent="zero" allows that)' if self._takes_missing else ""
            raise ValueError(f"x lacks columns that were learnt: {values.listed(lacking)}{hint}")

    def _add_columns(self, columns: Mapping[Hashable, NDArray[np.float64]]) -> None:
        """Make room for new columns (n,) of a DataFrame that have any value; in earlier samples they had the first."""
        new = [name for name in columns if self._encoding.column(name) is None and not np.isnan(columns[name]).all()]
        if new:
            first = tables.first_values(np.column_stack([columns[name] for name in new]))
            zero = self._encoding.absent == "zero"
            self._add_features(dict.fromkeys(new, 0.0) if zero else dict(zip(new, first, strict=True)))

    def _matrix(self, columns: Mapping[Hashable, NDArray[np.float64]], n: int) -> NDArray[np.float64]:
        """Rows (n, max(d, 1)) of a DataFrame's columns in the order of the features."""
        lacking = np.full(n, 0.0 if self._encoding.absent == "zero" else np.nan)
        found = [columns.get(name, lacking) for name in self.features]
        return np.column_stack(found) if found else np.zeros((n, 1))

    def _learnable(self, x: dict[Any, Any], received: bool = False) -> NDArray[np.float64]:
        """The vector of a sample, for whose new features there is room now."""
        first = self._encoding.new_features(x)
        if first is not None:
            if not received and self._encoding.unborn():
                first = dict.fromkeys(first, 0.0)
            self._add_features(first)
        return self._encoding.vector(x, received)

    def _add_features(self, first: dict[Hashable, float]) -> None:
        """Make room for features, of which ``first`` has the first values."""
        self._encoding.add_features(list(first))
        self._widen(list(first.values()))

    def _widen(self, first: list[float]) -> None:
        self._core.widen(max(1, len(self.features)), self._core.n_classes)

    def _code(self, label: Any) -> int:
        """The code of a label, for which there is room now."""
        code = self._encoding.code(label)
        if code is None:
            code = self._encoding.add_class(label)
            self._core.widen(self._core.dim, code + 1)
        return code


def _is_savable(name: Hashable) -> bool:
    """Whether a label or a feature's name is the same again in a file: no date, and no NaN, which equals nothing."""
    if isinstance(name, np.timedelta64):  # NumPy counts durations among the integers.
        return False
    numbers = int | float | np.integer | np.floating | np.bool_
    return isinstance(name, str) or (isinstance(name, numbers) and name == name)
