"""What the River classifiers have in common: a core behind an encoding, rows at once, and files."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river import base

from protovine.errors import SnapshotError
from protovine.learn.encoding import Encoding, first_values
from protovine.prototypes import PrototypeSet
from protovine.snapshot import pack, unpack

# The largest parameter that a file may have; a larger one is damage.
_PARAMETER_MAX = 10**6


class CoreClassifier(base.Classifier):
    """A classifier over a core: encodes samples, and saves and loads both."""

    _core: Any
    _takes_missing = False

    def _forget(self) -> None:
        self._core = self._make_core(1, 1)
        self._encoding = Encoding(self._takes_missing)

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
            if not isinstance(name, str | int | float | np.generic):
                raise TypeError(f"labels and features must be text or numbers to be saved, got {name!r}")
        target = Path(path)
        partial = target.with_name(target.name + ".part")
        partial.write_bytes(
            pack(
                {
                    "is": type(self).__name__,
                    "parameters": self._get_params(),
                    "features": list(self.features),
                    "classes": list(self.classes),
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
            if max(saved["parameters"].get(name, 0) for name in ("n_neighbors", "size_max")) > _PARAMETER_MAX:
                raise ValueError("a parameter is out of range")
            model = cls(**saved["parameters"])
            model._encoding.load(saved["features"], saved["classes"])
            model._core = model._make_core(max(1, len(model.features)), max(1, len(model.classes)))
            model._core.restore(saved["core"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise SnapshotError(f"{os.fspath(path)} is damaged: {error}") from None
        return model

    def _learn_one(self, x: dict[Any, Any], y: Any, at_ns: int) -> None:
        vector = self._learnable(x)
        self._core.learn_checked(vector[np.newaxis], np.array([self._code(y)]), np.array([at_ns], np.int64))

    def _predict_one(self, x: dict[Any, Any], at_ns: int | None) -> Any:
        if not len(self._core):
            return None
        return self._encoding.classes[self._core.predict(self._encoding.vector(x), at_ns).code]

    def _predict_proba_one(self, x: dict[Any, Any], at_ns: int | None) -> dict[Any, float]:
        if not len(self._core):
            return {}
        return self._encoding.by_class(self._core.predict(self._encoding.vector(x), at_ns).proba)

    def _learn_rows(self, x: ArrayLike, y: Sequence[Any] | NDArray[Any], times: NDArray[np.int64] | None) -> None:
        rows, labels = self._encoding.rows(x), np.asarray(y, dtype=object)
        if labels.shape != (len(rows),):
            raise ValueError(f"y must have one label for each of the {len(rows)} rows, got shape {labels.shape}")
        if not self.features:
            self._add_features(dict(enumerate(first_values(rows))))
        if rows.shape[1] != len(self.features):
            raise ValueError(f"rows must have {len(self.features)} features, got {rows.shape[1]}")
        if times is None:
            times = self._times(len(rows))
        first: dict[Any, int] = {}
        for i, label in enumerate(labels.tolist()):
            first.setdefault(label, i)
        # A class exists from its first sample on, as with `learn_one`.
        starts = [i for label, i in first.items() if i and self._encoding.code(label) is None]
        for start, stop in pairwise([0, *starts, len(rows)]):
            codes = np.array([self._code(label) for label in labels[start:stop].tolist()], dtype=np.int64)
            self._core.learn(rows[start:stop], codes, times[start:stop])

    def _times(self, n: int) -> NDArray[np.int64]:
        """Event times (n,) of rows without times."""
        return np.zeros(n, np.int64)

    def _predict_rows(self, x: ArrayLike, *at_ns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        rows = self._encoding.rows(x)
        if not len(self._core):
            raise ValueError("nothing was learnt yet: there is no label to predict")
        if rows.shape[1] != self._core.dim:
            raise ValueError(f"rows must have {self._core.dim} features, got {rows.shape[1]}")
        found: tuple[NDArray[np.int64], NDArray[np.float64]] = self._core.predict_many(rows, *at_ns)
        return found

    def _learnable(self, x: dict[Any, Any]) -> NDArray[np.float64]:
        """The vector of a sample, for whose new features there is room now."""
        first = self._encoding.new_features(x)
        if first is not None:
            self._add_features(first)
        return self._encoding.vector(x)

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
