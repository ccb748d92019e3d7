"""XuILVQ as a River classifier: dictionaries and labels outside, arrays and codes inside."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river import base

from protovine import compress
from protovine.errors import SnapshotError
from protovine.learn.xuilvq import XuILVQCore
from protovine.prototypes import FEATURE_MAX, PrototypeSet
from protovine.snapshot import pack, unpack

# What a file may ask for; more is damage.
_PARAMETER_MAX = 10**6


class XuILVQ(base.Classifier):
    """Incremental LVQ of the paper: a set of prototypes that grows where samples surprise it.

    Takes River's dictionaries one by one, or arrays for speed. Features are used as they are, so scale them first
    (for example with `river.preprocessing.StandardScaler`) unless the paper's numbers are wanted. A feature that
    appears later counts as 0 in what was learnt before, and a known one that is missing from a sample as 0 in it.

    Parameters
    ----------
    n_neighbors : int >= 1
        Prototypes that vote, each with 1/distance.
    edge_age_max : int >= 0
        Edges of the neighbourhood graph that are older are deleted.
    denoise_every : int >= 0
        Learning steps between two sweeps that drop isolated prototypes; 0 is never, and so it is with a limit.
    size_max : int >= 0
        Limit of the set, 0 for none; above it the set is compressed.
    compressor : {"dbscan", "kmeans"}
        How it is compressed.
    target_low, target_high : float
        Size after compression in percent: of the size before (dbscan) or of the limit (kmeans).
    compressor_weights : {"sum", "authors"}
        Weights of the centroids; see `protovine.compress.merge`.

    References
    ----------
    Xu, Shen & Zhao, "An incremental learning vector quantization algorithm for pattern classification",
    Neural Comput. Appl. 21, 2012; as used in arXiv 2411.09267.

    Examples
    --------
    >>> from river import datasets, metrics, preprocessing
    >>> model = preprocessing.StandardScaler() | XuILVQ()
    >>> metric = metrics.Accuracy()
    >>> for x, y in datasets.Phishing():
    ...     if (predicted := model.predict_one(x)) is not None:
    ...         metric.update(y, predicted)
    ...     model.learn_one(x, y)
    >>> metric
    Accuracy: 85.35%
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        edge_age_max: int = 400,
        denoise_every: int = 150,
        size_max: int = 0,
        compressor: str = "dbscan",
        target_low: float = 50.0,
        target_high: float = 60.0,
        compressor_weights: str = "sum",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.edge_age_max = edge_age_max
        self.denoise_every = denoise_every
        self.size_max = size_max
        self.compressor = compressor
        self.target_low = target_low
        self.target_high = target_high
        self.compressor_weights = compressor_weights
        self._core = self._make_core(1, 1)
        self._features: tuple[Hashable, ...] = ()
        self._places: dict[Hashable, int] = {}
        self._classes: list[Any] = []
        self._codes: dict[Any, int] = {}

    def _make_core(self, dim: int, n_classes: int) -> XuILVQCore:
        made = compress.compressor(
            self.compressor, low=self.target_low, high=self.target_high, weights=self.compressor_weights
        )
        core = XuILVQCore(
            dim,
            1,
            n_neighbors=self.n_neighbors,
            edge_age_max=self.edge_age_max,
            denoise_every=self.denoise_every,
            size_max=self.size_max,
            compressor=made,
        )
        core.widen(dim, n_classes)
        return core

    @property
    def _multiclass(self) -> bool:
        return True

    @property
    def classes(self) -> tuple[Any, ...]:
        """Labels seen so far, in the order in which they came; a tie goes to the first."""
        return tuple(self._classes)

    @property
    def features(self) -> tuple[Hashable, ...]:
        """Feature names seen so far; their order is the order of a vector's entries."""
        return self._features

    @property
    def prototypes(self) -> PrototypeSet:
        """A copy of the set; labels are positions in `classes`."""
        return self._core.prototypes()

    def __len__(self) -> int:
        return len(self._core)

    def __bool__(self) -> bool:
        return True

    def learn_one(self, x: dict, y: Any) -> None:
        """Learn one sample; ``ValueError`` if a feature is not a finite number."""
        vector = self._vector(x, grow=True)
        self._core.learn_checked(vector[np.newaxis], np.array([self._code(y)]), np.zeros(1, np.int64))

    def predict_one(self, x: dict, **_: Any) -> Any:
        """The label that the nearest prototypes vote for, or None before the first sample."""
        if not len(self._core):
            return None
        return self._classes[self._core.predict(self._vector(x)).code]

    def predict_proba_one(self, x: dict, **_: Any) -> dict:
        """Share of the vote for each label seen so far, empty before the first sample."""
        if not len(self._core):
            return {}
        shares = self._core.predict(self._vector(x)).shares
        return dict(zip(self._classes, shares.tolist(), strict=True))

    def learn(self, x: ArrayLike, y: Sequence | NDArray) -> None:
        """Learn rows ``x`` (n, d) with labels ``y`` (n,) in order; columns are features in the order of `features`.

        Raises
        ------
        ValueError
            Shapes do not fit, or a value is not finite. Nothing was learnt.
        """
        rows, labels = self._rows(x), np.asarray(y, dtype=object)
        if labels.shape != (len(rows),):
            raise ValueError(f"y must have one label for each of the {len(rows)} rows, got shape {labels.shape}")
        self._name_columns(rows.shape[1])
        codes = np.array([self._code(label) for label in labels.tolist()], dtype=np.int64)
        self._core.learn(rows, codes, np.zeros(len(rows), np.int64))

    def predict(self, x: ArrayLike) -> NDArray:
        """Labels (n,) for rows ``x`` (n, d); ``ValueError`` before the first sample or if shapes do not fit."""
        rows = self._rows(x)
        if not len(self._core):
            raise ValueError("nothing was learnt yet: there is no label to predict")
        if rows.shape[1] != self._core.dim:
            raise ValueError(f"rows must have {self._core.dim} features, got {rows.shape[1]}")
        labels = np.empty(len(self._classes), dtype=object)
        labels[:] = self._classes
        if len({type(label) for label in self._classes}) == 1 and isinstance(self._classes[0], str | int | float):
            labels = np.array(self._classes)
        return labels[self._core.predict_many(rows)[0]]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the learner to a file, as a whole or not at all.

        Raises
        ------
        TypeError
            A label or a feature's name is neither text, number nor bool.
        """
        for name in (*self._features, *self._classes):
            if not isinstance(name, str | int | float | np.generic):
                raise TypeError(f"labels and features must be text or numbers to be saved, got {name!r}")
        target = Path(path)
        partial = target.with_name(target.name + ".part")
        partial.write_bytes(
            pack(
                {
                    "is": type(self).__name__,
                    "parameters": self._get_params(),
                    "features": list(self._features),
                    "classes": self._classes,
                    "core": self._core.state(),
                }
            )
        )
        os.replace(partial, target)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> XuILVQ:
        """The learner that was saved; `SnapshotError` if the file is damaged or holds something else."""
        try:
            saved = unpack(Path(path).read_bytes())
            if saved.get("is") != cls.__name__:
                raise SnapshotError(f"{os.fspath(path)} holds no {cls.__name__}")
            if max(saved["parameters"]["n_neighbors"], saved["parameters"]["size_max"]) > _PARAMETER_MAX:
                raise ValueError("a parameter is out of range")
            model = cls(**saved["parameters"])
            model._features = tuple(saved["features"])
            model._places = {name: i for i, name in enumerate(model._features)}
            model._classes = saved["classes"]
            model._codes = {label: i for i, label in enumerate(model._classes)}
            model._core = model._make_core(max(1, len(model._features)), max(1, len(model._classes)))
            model._core.restore(saved["core"])
            if len(model._codes) != len(model._classes) or len(model._places) != len(model._features):
                raise ValueError("a label or a feature stands there twice")
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise SnapshotError(f"{os.fspath(path)} is damaged: {error}") from None
        return model

    def _vector(self, x: dict, grow: bool = False) -> NDArray[np.float64]:
        if x.keys() != self._places.keys():
            if grow and (new := [name for name in x if name not in self._places]):
                _explain({name: x[name] for name in new})
                self._add_features(new)
            x = {name: x.get(name, 0.0) for name in self._features}
        try:
            values = [x[name] for name in self._features]
            usable = sum(map(abs, values)) <= FEATURE_MAX  # False for NaN too.
        except TypeError:
            usable = False
        if not usable:
            _explain(x)
        return np.array(values, dtype=np.float64) if values else np.zeros(1)

    def _add_features(self, names: list[Hashable]) -> None:
        self._features += tuple(names)
        self._places = {name: i for i, name in enumerate(self._features)}
        self._core.widen(max(1, len(self._features)), self._core.n_classes)

    def _name_columns(self, dim: int) -> None:
        if not self._features:
            self._add_features(list(range(dim)))
        if dim != len(self._features):
            raise ValueError(f"rows must have {len(self._features)} features, got {dim}")

    def _code(self, label: Any) -> int:
        code = self._codes.get(label)
        if code is None:
            code = self._codes[label] = len(self._classes)
            self._classes.append(label)
            self._core.widen(self._core.dim, len(self._classes))
        return code

    @staticmethod
    def _rows(x: ArrayLike) -> NDArray[np.float64]:
        rows = np.ascontiguousarray(x, dtype=np.float64)
        if rows.ndim != 2:
            raise ValueError(f"x must have shape (n, d), got {rows.shape}")
        if rows.size and not np.abs(rows).max() <= FEATURE_MAX:
            raise ValueError(f"x must be finite and within ±{FEATURE_MAX:g}")
        return rows


def _explain(x: dict[Hashable, Any]) -> None:
    """``ValueError`` at the first value that is not a usable number."""
    for name, value in x.items():
        if not (isinstance(value, Real) and abs(value) <= FEATURE_MAX):  # type: ignore[operator]
            raise ValueError(f"feature '{name}' must be a finite number within ±{FEATURE_MAX:g}, got {value!r}")
