"""The learners as River classifiers: dictionaries and labels outside, arrays and codes inside."""

from __future__ import annotations

import operator
import os
from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river import base

from protovine import compress
from protovine.errors import SnapshotError
from protovine.learn.hedged.core import HedgedLVQCore
from protovine.learn.xuilvq.core import XuILVQCore
from protovine.prototypes import FEATURE_MAX, PrototypeSet
from protovine.snapshot import pack, unpack

# What a file may ask for; more is damage.
_PARAMETER_MAX = 10**6
# One call of learn_one while nobody names times.
_STEP_NS = 10**9
_TIME_MAX = 2**62


class _OverArrays(base.Classifier):
    """What classifiers over a core share: names and labels as they come, files, and rows of arrays."""

    _core: Any
    # Whether a sample may lack features; if not, a feature that is not there counts as 0.
    _takes_missing = False

    def _forget(self) -> None:
        self._core = self._make_core(1, 1)
        self._features: tuple[Hashable, ...] = ()
        self._places: dict[Hashable, int] = {}
        self._classes: list[Any] = []
        self._codes: dict[Any, int] = {}

    @abstractmethod
    def _make_core(self, dim: int, n_classes: int) -> Any:
        """A core that has learnt nothing, with this object's parameters."""

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
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The learner that was saved; `SnapshotError` if the file is damaged or holds something else."""
        try:
            saved = unpack(Path(path).read_bytes())
            if saved.get("is") != cls.__name__:
                raise SnapshotError(f"{os.fspath(path)} holds no {cls.__name__}")
            if max(saved["parameters"].get(name, 0) for name in ("n_neighbors", "size_max")) > _PARAMETER_MAX:
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

    def _learn_one(self, x: dict, y: Any, at_ns: int) -> None:
        vector = self._vector(x, grow=True)
        self._core.learn_checked(vector[np.newaxis], np.array([self._code(y)]), np.array([at_ns], np.int64))

    def _predict_one(self, x: dict, at_ns: int | None) -> Any:
        if not len(self._core):
            return None
        return self._classes[self._core.predict(self._vector(x), at_ns).code]

    def _predict_proba_one(self, x: dict, at_ns: int | None) -> dict:
        if not len(self._core):
            return {}
        return self._by_class(self._core.predict(self._vector(x), at_ns).proba)

    def _by_class(self, proba: NDArray[np.float64]) -> dict:
        return dict(zip(self._classes, proba.tolist(), strict=True))

    def _learn_rows(self, x: ArrayLike, y: Sequence | NDArray, times: NDArray[np.int64] | None) -> None:
        rows, labels = self._rows(x), np.asarray(y, dtype=object)
        if labels.shape != (len(rows),):
            raise ValueError(f"y must have one label for each of the {len(rows)} rows, got shape {labels.shape}")
        if not self._features:
            self._add_features(dict(enumerate(_first(rows))))
        if rows.shape[1] != len(self._features):
            raise ValueError(f"rows must have {len(self._features)} features, got {rows.shape[1]}")
        if times is None:
            times = self._times(len(rows))
        first: dict[Any, int] = {}
        for i, label in enumerate(labels.tolist()):
            first.setdefault(label, i)
        # A class exists from its first sample on, as with `learn_one`.
        starts = [i for label, i in first.items() if i and label not in self._codes]
        for start, stop in pairwise([0, *starts, len(rows)]):
            codes = np.array([self._code(label) for label in labels[start:stop].tolist()], dtype=np.int64)
            self._core.learn(rows[start:stop], codes, times[start:stop])

    def _times(self, n: int) -> NDArray[np.int64]:
        """Event times (n,) of rows that come without."""
        return np.zeros(n, np.int64)

    def _predict_rows(self, x: ArrayLike, *at_ns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        rows = self._rows(x)
        if not len(self._core):
            raise ValueError("nothing was learnt yet: there is no label to predict")
        if rows.shape[1] != self._core.dim:
            raise ValueError(f"rows must have {self._core.dim} features, got {rows.shape[1]}")
        return self._core.predict_many(rows, *at_ns)

    def _labels(self, codes: NDArray[np.int64]) -> NDArray:
        labels = np.empty(len(self._classes), dtype=object)
        labels[:] = self._classes
        if len({type(label) for label in self._classes}) == 1 and isinstance(self._classes[0], str | int | float):
            labels = np.array(self._classes)
        return labels[codes]

    def _vector(self, x: dict, grow: bool = False) -> NDArray[np.float64]:
        if x.keys() != self._places.keys():
            if grow and (new := [name for name in x if name not in self._places]):
                numbers = dict(zip(x, self._numbers(x), strict=True))
                self._add_features({name: numbers[name] for name in new if numbers[name] == numbers[name]})
            absent = None if self._takes_missing else 0.0
            x = {name: x.get(name, absent) for name in self._features}
        values = [x[name] for name in self._features]
        try:
            usable = sum(map(abs, values)) <= FEATURE_MAX  # False for NaN too.
        except TypeError:
            usable = False
        if not usable:
            values = self._numbers(x, self._features)
        return np.array(values, dtype=np.float64) if values else np.zeros(1)

    def _numbers(self, x: Mapping[Hashable, Any], names: Sequence[Hashable] | None = None) -> list[float]:
        """Values as numbers, NaN for what is missing; ``ValueError`` at the first that is neither."""
        found = []
        for name in x if names is None else names:
            value = x[name]
            if self._takes_missing and (value is None or value != value):
                value = np.nan
            elif not (isinstance(value, Real) and abs(value) <= FEATURE_MAX):  # type: ignore[operator]
                raise ValueError(f"feature '{name}' must be a finite number within ±{FEATURE_MAX:g}, got {value!r}")
            found.append(float(value))
        return found

    def _add_features(self, first: dict[Hashable, float]) -> None:
        """Make room for features, of which ``first`` has the first values."""
        self._features += tuple(first)
        self._places = {name: i for i, name in enumerate(self._features)}
        self._widen(list(first.values()))

    def _widen(self, first: list[float]) -> None:
        self._core.widen(max(1, len(self._features)), self._core.n_classes)

    def _code(self, label: Any) -> int:
        code = self._codes.get(label)
        if code is None:
            code = self._codes[label] = len(self._classes)
            self._classes.append(label)
            self._core.widen(self._core.dim, len(self._classes))
        return code

    def _rows(self, x: ArrayLike) -> NDArray[np.float64]:
        rows = np.ascontiguousarray(x, dtype=np.float64)
        if rows.ndim != 2:
            raise ValueError(f"x must have shape (n, d), got {rows.shape}")
        usable = np.abs(rows) <= FEATURE_MAX
        if self._takes_missing:
            usable |= np.isnan(rows)
        if not usable.all():
            raise ValueError(f"x must be finite and within ±{FEATURE_MAX:g}")
        return rows


class Reason(NamedTuple):
    """What one prototype adds to the probability of its class.

    ``values`` are its features by name. ``weight`` is the number of samples that it stands for, received ones by the
    trust in their sender. ``age`` is the time since the newest of them, in mean times between own samples: calls of
    `HedgedLVQ.learn_one` as long as nobody names times. ``origin`` is the node that its received part came from, None
    if all of it is own. ``adds`` lies in [0, 1].
    """

    values: dict[Hashable, float]
    label: Any
    weight: float
    age: float
    origin: int | None
    adds: float


class Explanation(NamedTuple):
    """Where `HedgedLVQ.predict_proba_one` comes from.

    The probability of a class is the sum of what its ``prototypes`` add, largest first, of its part of ``linear``, what
    the linear expert adds to each class, and of ``doubt``, the even share of every class.
    """

    probabilities: dict[Any, float]
    prototypes: list[Reason]
    linear: dict[Any, float]
    doubt: float


class HedgedLVQ(_OverArrays):
    """Soft LVQ in several metrics, bandwidths and recencies, mixed by a Bayesian hedge; the default learner.

    For any number of classes and features, in any units; there is nothing to scale or tune. Probabilities are honest to
    a few points, rather too low than too high, and `explain_one` says what they are the sum of. Takes River's
    dictionaries one by one, or arrays for speed.

    A feature that is absent, None or NaN in a sample counts as its mean so far. One that appears later counts as its
    first value in what was learnt before. Classes may appear at any time, labels as late as they like, or never.

    How new a sample is counts in calls of `learn_one`, unless times are given: whole nanoseconds, as ``t_ns``, of the
    measurement rather than of its label, in predictions as well. What has no time comes one mean step after the newest.

    Parameters
    ----------
    size_max : int >= 2
        Prototypes that are kept.
    margin : float in [0, 1)
        GLVQ margin from which the nearest prototype absorbs a sample; with a larger one more samples are kept.
    hedge_decay : float in (0, 1]
        Forgetting of the experts' losses per sample; 1 never forgets which expert was best.

    References
    ----------
    See `protovine.learn.HedgedLVQCore`.

    Examples
    --------
    >>> from river import datasets, metrics
    >>> model, metric = HedgedLVQ(), metrics.Accuracy()
    >>> for x, y in datasets.Phishing():
    ...     if (predicted := model.predict_one(x)) is not None:
    ...         metric.update(y, predicted)
    ...     model.learn_one(x, y)
    >>> metric.get() > 0.89
    True

    Why a page is taken for phishing:

    >>> why = model.explain_one(x)
    >>> total = sum(each.adds for each in why.prototypes if each.label) + why.linear[True] + why.doubt
    >>> abs(total - model.predict_proba_one(x)[True]) < 1e-9
    True
    """

    _takes_missing = True

    def __init__(self, size_max: int = 200, margin: float = 0.25, hedge_decay: float = 0.99) -> None:
        self.size_max = size_max
        self.margin = margin
        self.hedge_decay = hedge_decay
        self._forget()

    def _make_core(self, dim: int, n_classes: int) -> HedgedLVQCore:
        return HedgedLVQCore(dim, n_classes, size_max=self.size_max, margin=self.margin, hedge_decay=self.hedge_decay)

    def learn_one(self, x: dict, y: Any, *, t_ns: int | None = None) -> None:
        """Learn one sample, measured at ``t_ns``.

        Raises
        ------
        ValueError
            A value is infinite, beyond `FEATURE_MAX` or no number, or the time beyond ±2**62. Nothing was learnt.
        """
        self._learn_one(x, y, self._time(t_ns))

    def learn_received_one(self, x: dict, y: Any, origin: int, *, weight: float = 1.0, t_ns: int | None = None) -> None:
        """Learn a prototype that node ``origin`` made of ``weight`` samples, the newest of ``t_ns``.

        It counts by what its sender proved to be worth; whom nothing is known of may bring a few samples.

        Raises
        ------
        ValueError
            As `learn_one`; or ``weight`` is not positive. Nothing was learnt.
        """
        at_ns = self._core.clock_ns[0] if t_ns is None else self._time(t_ns)
        if not 0.0 < weight <= FEATURE_MAX:
            raise ValueError(f"weight must be positive, got {weight}")
        vector = self._vector(x, grow=True)
        made = PrototypeSet.of(
            self._core.filled(vector)[np.newaxis], [self._code(y)], weight=[weight], event_ns=[at_ns]
        )
        self._core.learn_received(made, np.array([operator.index(origin)]))

    # No further keywords, other than River's own: a misspelt one would be lost.
    def predict_one(self, x: dict, *, t_ns: int | None = None) -> Any:  # type: ignore[override]
        """The most probable label for a sample measured at ``t_ns``, or None before the first sample."""
        return self._predict_one(x, self._time(t_ns))

    def predict_proba_one(self, x: dict, *, t_ns: int | None = None) -> dict:  # type: ignore[override]
        """Probability of each label seen so far, empty before the first sample."""
        return self._predict_proba_one(x, self._time(t_ns))

    def explain_one(self, x: dict, *, t_ns: int | None = None) -> Explanation:
        """What `predict_proba_one` is the sum of; without prototypes before the first sample."""
        if not len(self._core):
            return Explanation({}, [], {}, 0.0)
        at_ns = self._time(t_ns)
        prediction, parts, linear, doubt = self._core.explain(self._vector(x), at_ns)
        held, origins = self._core.prototypes(), self._core.origins()
        gap_ns = self._core.clock_ns[1]
        reasons = []
        for j in np.argsort(-parts, kind="stable").tolist():
            if parts[j] > 0.0:
                reasons.append(
                    Reason(
                        values=dict(zip(self._features, held.x[j].tolist(), strict=False)),
                        label=self._classes[held.label[j]],
                        weight=float(held.weight[j]),
                        age=max(at_ns - int(held.event_ns[j]), 0) / (gap_ns or _STEP_NS),
                        origin=None if origins[j] < 0 else int(origins[j]),
                        adds=float(parts[j]),
                    )
                )
        return Explanation(self._by_class(prediction.proba), reasons, self._by_class(linear), doubt)

    def learn(self, x: ArrayLike, y: Sequence | NDArray, t_ns: ArrayLike | None = None) -> None:
        """Learn rows ``x`` (n, d) with labels ``y`` (n,) and times ``t_ns`` (n,) in order.

        Columns are features in the order of `features`; NaN is a missing value.

        Raises
        ------
        ValueError
            Shapes do not fit, or a value is infinite or beyond `FEATURE_MAX`. Nothing was learnt.
        """
        times = None if t_ns is None else np.ascontiguousarray(t_ns)
        if times is not None:
            if times.shape != (len(y),) or times.dtype.kind != "i" or (np.abs(times) > _TIME_MAX).any():
                raise ValueError(f"t_ns must have a whole number within ±2**62 for each row, got {t_ns!r}")
            times = times.astype(np.int64, copy=False)
        self._learn_rows(x, y, times)

    def predict(self, x: ArrayLike, t_ns: int | None = None) -> NDArray:
        """Labels (n,) for rows ``x`` (n, d) measured at one time; ``ValueError`` as `predict_proba`."""
        return self._labels(self._predict_rows(x, self._time(t_ns))[0])

    def predict_proba(self, x: ArrayLike, t_ns: int | None = None) -> NDArray[np.float64]:
        """Probabilities (n, n_classes) in the order of `classes`, for rows ``x`` (n, d) measured at one time.

        Raises
        ------
        ValueError
            Nothing was learnt yet, shapes do not fit, or a value is infinite.
        """
        return self._predict_rows(x, self._time(t_ns))[1]

    def _time(self, t_ns: int | None) -> int:
        if t_ns is not None:
            if abs(at_ns := operator.index(t_ns)) > _TIME_MAX:
                raise ValueError(f"t_ns must lie within ±2**62, got {t_ns}")
            return at_ns
        newest_ns, gap_ns = self._core.clock_ns
        return newest_ns + (round(gap_ns) or _STEP_NS)

    def _times(self, n: int) -> NDArray[np.int64]:
        return self._time(None) + (round(self._core.clock_ns[1]) or _STEP_NS) * np.arange(n)

    def _widen(self, first: list[float]) -> None:
        self._core.widen(max(1, len(self._features)), self._core.n_classes, first=np.array(first))


class XuILVQ(_OverArrays):
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
        self._forget()

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

    def learn_one(self, x: dict, y: Any) -> None:
        """Learn one sample; ``ValueError`` if a feature is not a finite number."""
        self._learn_one(x, y, 0)

    def predict_one(self, x: dict, **_: Any) -> Any:
        """The label that the nearest prototypes vote for, or None before the first sample."""
        return self._predict_one(x, None)

    def predict_proba_one(self, x: dict, **_: Any) -> dict:
        """Share of the vote for each label seen so far, empty before the first sample."""
        return self._predict_proba_one(x, None)

    def learn(self, x: ArrayLike, y: Sequence | NDArray) -> None:
        """Learn rows ``x`` (n, d) with labels ``y`` (n,) in order; columns are features in the order of `features`.

        Raises
        ------
        ValueError
            Shapes do not fit, or a value is not finite. Nothing was learnt.
        """
        self._learn_rows(x, y, None)

    def predict(self, x: ArrayLike) -> NDArray:
        """Labels (n,) for rows ``x`` (n, d); ``ValueError`` before the first sample or if shapes do not fit."""
        return self._labels(self._predict_rows(x)[0])


def _first(rows: NDArray[np.float64]) -> list[float]:
    """The first value of each column that is not missing, 0 where there is none."""
    found = ~np.isnan(rows)
    first = rows[found.argmax(axis=0), np.arange(rows.shape[1])] if len(rows) else np.zeros(rows.shape[1])
    return np.nan_to_num(first).tolist()
