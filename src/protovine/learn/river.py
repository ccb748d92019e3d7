"""The learners as River classifiers."""

from __future__ import annotations

import operator
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protovine import compress, values
from protovine.learn.classifier import CoreClassifier
from protovine.learn.hedged.core import HedgedLVQCore
from protovine.learn.xuilvq.core import XuILVQCore
from protovine.prototypes import FEATURE_MAX, PrototypeSet

# Time between two calls of `learn_one` as long as no times are given.
_STEP_NS = 10**9
_TIME_MAX = 2**62
# Nodes are numbered from 0, in 64 bits.
_ORIGIN_MAX = 2**63 - 1


class Reason(NamedTuple):
    """What one prototype adds to the probability of its class.

    ``values`` are its features by name. ``weight`` is the number of samples that it stands for, received ones times the
    trust in their sender. ``age`` is the time since the newest of them, in mean times between local samples: calls of
    `HedgedLVQ.learn_one` as long as no times are given. ``origin`` is the node that sent its received part, None if it
    stands for local samples alone. ``adds`` lies in [0, 1].
    """

    values: dict[Hashable, float]
    label: Any
    weight: float
    age: float
    origin: int | None
    adds: float


class Explanation(NamedTuple):
    """The summands of `HedgedLVQ.predict_proba_one`.

    The probability of a class is the sum of what its ``prototypes`` add (largest first), of what the ``linear`` expert
    adds to it, of ``doubt``, which every class gets, and of what the ``pool`` adds or, below 0, takes away: it weighs
    experts again, and knows normal distributions of classes and transitions between labels.
    """

    probabilities: dict[Any, float]
    prototypes: list[Reason]
    linear: dict[Any, float]
    doubt: float
    pool: dict[Any, float]


class HedgedLVQ(CoreClassifier):
    """Soft LVQ in several metrics, bandwidths and recencies, mixed by a Bayesian hedge; the default learner.

    For any number of classes and features, in any units; there is nothing to scale or tune. Probabilities are
    calibrated to a few points, rather too low than too high, and `explain_one` gives their summands. Takes River's
    dictionaries one by one, or arrays for speed.

    A feature that is None, NaN or pd.NA in a sample is missing and counts as its mean so far. A key that a dictionary
    lacks counts as 0, or is missing too if the key is a measurement; see ``absent``. Classes and features may appear at
    any time, labels as late as they like, or never: a sample whose label is None or NaN is not learnt. Labels that are
    equal in Python are one class, such as 1 and True.

    Age counts in calls of `learn_one`, unless times are given as ``t_ns``: whole nanoseconds, of the measurement rather
    than of its label, in predictions as well. A sample without a time comes one mean step after the newest.

    Parameters
    ----------
    size_max : int >= 2
        Prototypes that are kept, or 4 for each class if that is more.
    margin : float in [0, 1)
        GLVQ margin from which the nearest prototype absorbs a sample; with a larger one more samples are kept.
    hedge_decay : float in (0, 1]
        Forgetting of the experts' losses per sample; 1 never forgets which expert was best.
    absent : {"auto", "zero", "missing"}
        What a key counts as that a dictionary lacks. "auto" decides for each key by the learner's own samples: 0 as in
        River's sparse dictionaries, but missing if it is in nearly all samples, or in many with values far from 0, and
        these differ (`protovine.absence`).

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
    >>> total = sum(each.adds for each in why.prototypes if each.label) + why.linear[True] + why.doubt + why.pool[True]
    >>> abs(total - model.predict_proba_one(x)[True]) < 1e-9
    True
    """

    _takes_missing = True

    def __init__(
        self, size_max: int = 500, margin: float = 0.25, hedge_decay: float = 0.99, absent: str = "auto"
    ) -> None:
        self.size_max = size_max
        self.margin = margin
        self.hedge_decay = hedge_decay
        self.absent = absent
        self._forget(absent)

    def _make_core(self, dim: int, n_classes: int) -> HedgedLVQCore:
        return HedgedLVQCore(dim, n_classes, size_max=self.size_max, margin=self.margin, hedge_decay=self.hedge_decay)

    def learn_one(self, x: dict[Any, Any], y: Any, *, t_ns: int | None = None) -> None:
        """Learn one sample, measured at ``t_ns``; nothing if the label is missing (None, NaN, pd.NA).

        Raises
        ------
        TypeError
            ``x`` is no dictionary, or the label is not hashable. Nothing was learnt.
        ValueError
            A value is infinite, beyond `FEATURE_MAX` or no number, or the time beyond ±2**62. Nothing was learnt.
        """
        self._learn_one(x, y, self._time(t_ns))

    def learn_received_one(
        self, x: dict[Any, Any], y: Any, origin: int, *, weight: float = 1.0, t_ns: int | None = None
    ) -> None:
        """Learn a prototype that node ``origin`` made of ``weight`` samples, the newest of ``t_ns``.

        It counts by the trust that its sender has earned. An unknown sender may contribute a few samples until then.

        Raises
        ------
        ValueError
            As `learn_one`; or ``origin`` is negative, ``weight`` not positive or the label missing. Nothing was learnt.
        """
        at_ns = self._core.clock_ns[0] if t_ns is None else self._time(t_ns)
        if not 0.0 < weight <= FEATURE_MAX:
            raise ValueError(f"weight must be positive, got {weight}")
        label, sender = values.label(y), operator.index(origin)
        if not 0 <= sender <= _ORIGIN_MAX:
            raise ValueError(f"origin must be a node from 0 to {_ORIGIN_MAX}, got {sender}")
        if label is None:
            raise ValueError(f"a received prototype must have a label, got {y!r}")
        vector = self._learnable(x, received=True)
        made = PrototypeSet.of(
            self._core.filled(vector)[np.newaxis], [self._code(label)], weight=[weight], event_ns=[at_ns]
        )
        self._core.learn_received(made, np.array([sender]))

    # Unlike River's methods these take no other keywords: a misspelt one would be lost.
    def predict_one(self, x: dict[Any, Any], *, t_ns: int | None = None) -> Any:  # type: ignore[override]
        """The most probable label for a sample measured at ``t_ns``, or None before the first sample.

        After a prediction for another sample that was not learnt since, probabilities leave out what the last label
        tells about the next one.
        """
        return self._predict_one(x, self._time(t_ns))

    def predict_proba_one(self, x: dict[Any, Any], *, t_ns: int | None = None) -> dict[Any, float]:  # type: ignore[override]
        """Probability of each label seen so far, empty before the first sample."""
        return self._predict_proba_one(x, self._time(t_ns))

    def explain_one(self, x: dict[Any, Any], *, t_ns: int | None = None) -> Explanation:
        """The summands of `predict_proba_one`; without prototypes before the first sample."""
        if not len(self._core):
            return Explanation({}, [], {}, 0.0, {})
        at_ns = self._time(t_ns)
        prediction, parts, linear, pooled, doubt = self._core.explain(self._encoding.vector(x), at_ns)
        held, origins = self._core.prototypes(), self._core.origins()
        gap_ns = self._core.clock_ns[1]
        reasons = []
        for j in np.argsort(-parts, kind="stable").tolist():
            if parts[j] > 0.0:
                reasons.append(
                    Reason(
                        values=dict(zip(self.features, held.x[j].tolist(), strict=False)),
                        label=self._encoding.classes[held.label[j]],
                        weight=float(held.weight[j]),
                        age=max(at_ns - int(held.event_ns[j]), 0) / (gap_ns or _STEP_NS),
                        origin=None if origins[j] < 0 else int(origins[j]),
                        adds=float(parts[j]),
                    )
                )
        by_class = self._encoding.by_class
        return Explanation(by_class(prediction.proba), reasons, by_class(linear), doubt, by_class(pooled))

    def learn(self, x: Any, y: Any, t_ns: ArrayLike | None = None) -> None:
        """Learn rows ``x`` (n, d) with labels ``y`` (n,) and times ``t_ns`` (n,) in order.

        ``x`` is an array or a DataFrame of pandas, Polars or Arrow. Columns of an array are features by place; those of
        a DataFrame go by name, and new ones add features. One learner takes arrays or names, never both. ``y`` and
        ``t_ns`` go by place; those of pandas must have the index of ``x``. NaN is a missing value. Rows whose label is
        missing are not learnt.

        Raises
        ------
        TypeError
            ``x`` is no table or ``y`` no sequence, or a label is not hashable. Nothing was learnt.
        ValueError
            Shapes or indices do not fit, a column that was learnt is not there, arrays and names are mixed, or a value
            is no number, infinite or beyond `FEATURE_MAX`. Nothing was learnt.
        """
        values.check_index(x, t_ns, "t_ns")
        times = None if t_ns is None else np.ascontiguousarray(t_ns)
        if times is not None:
            if times.ndim != 1 or times.dtype.kind != "i" or ((times < -_TIME_MAX) | (times > _TIME_MAX)).any():
                raise ValueError(f"t_ns must have a whole number within ±2**62 for each row, got {t_ns!r}")
            times = times.astype(np.int64, copy=False)
        self._learn_rows(x, y, times)

    def predict(self, x: Any, t_ns: int | None = None) -> NDArray[Any]:
        """Labels (n,) for rows ``x`` (n, d) measured at one time; ``ValueError`` as `predict_proba`."""
        return self._encoding.labels(self._predict_rows(x, self._time(t_ns))[0])

    def predict_proba(self, x: Any, t_ns: int | None = None) -> NDArray[np.float64]:
        """Probabilities (n, n_classes) in the order of `classes`, for rows ``x`` (n, d) measured at one time.

        Raises
        ------
        ValueError
            Nothing was learnt yet, shapes do not fit, a DataFrame lacks columns or has others than were learnt, arrays
            and names are mixed, or a value is no number or infinite.
        """
        return self._predict_rows(x, self._time(t_ns))[1]

    def learn_many(self, X: Any, y: Any, *, t_ns: ArrayLike | None = None) -> None:
        """`learn` by River's name, for the mini-batches of its pipelines."""
        self.learn(X, y, t_ns)

    def predict_many(self, X: Any, *, t_ns: int | None = None) -> Any:
        """`predict`, as a column of the library that the DataFrame ``X`` (n, d) is of; None before the first sample."""
        return self._predict_many(X, self._time(t_ns))

    def predict_proba_many(self, X: Any, *, t_ns: int | None = None) -> Any:
        """`predict_proba`, as a DataFrame of the library that ``X`` (n, d) is of, with a column for each class."""
        return self._predict_proba_many(X, self._time(t_ns))

    def _time(self, t_ns: int | None) -> int:
        if t_ns is not None:
            if abs(at_ns := operator.index(t_ns)) > _TIME_MAX:
                raise ValueError(f"t_ns must lie within ±2**62, got {t_ns}")
            return at_ns
        newest_ns, gap_ns = self._core.clock_ns
        return int(newest_ns + (round(gap_ns) or _STEP_NS))

    def _times(self, n: int) -> NDArray[np.int64]:
        return self._time(None) + (round(self._core.clock_ns[1]) or _STEP_NS) * np.arange(n)

    def _widen(self, first: list[float]) -> None:
        self._core.widen(max(1, len(self.features)), self._core.n_classes, first=np.array(first))


class XuILVQ(CoreClassifier):
    """Incremental LVQ of the paper: a set of prototypes that grows where samples surprise it.

    Takes River's dictionaries one by one, or arrays for speed. Features are used as they are, so scale them first
    (for example with `river.preprocessing.StandardScaler`) unless the paper's numbers are wanted. A feature that
    appears later counts as 0 in what was learnt before, and a known one that a dictionary lacks as 0 in it. None and
    NaN are errors: fill such values first. A sample whose label is missing is not learnt.

    Parameters
    ----------
    n_neighbors : int >= 1
        Prototypes that vote, each with 1/distance.
    edge_age_max : int >= 0
        Edges of the neighbourhood graph that are older are deleted.
    denoise_every : int >= 0
        Learning steps between two sweeps that drop isolated prototypes; 0 for never, as with any limit.
    size_max : int >= 0
        Limit of the set, 0 for none; above it the set is compressed.
    compressor : {"dbscan", "kmeans"}
        How the set is compressed.
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
        self._forget("zero")

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

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn one sample; ``ValueError`` if a feature is no finite number, ``TypeError`` as `HedgedLVQ.learn_one`."""
        self._learn_one(x, y, 0)

    def predict_one(self, x: dict[Any, Any], **_: Any) -> Any:
        """The label that the nearest prototypes vote for, or None before the first sample."""
        return self._predict_one(x, None)

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        """Fraction of the vote for each label seen so far, empty before the first sample."""
        return self._predict_proba_one(x, None)

    def learn(self, x: Any, y: Any) -> None:
        """Learn rows ``x`` (n, d) with labels ``y`` (n,) in order; arrays and DataFrames as in `HedgedLVQ.learn`.

        Raises
        ------
        ValueError
            Shapes do not fit, or a value is not finite. Nothing was learnt.
        """
        self._learn_rows(x, y, None)

    def predict(self, x: Any) -> NDArray[Any]:
        """Labels (n,) for rows ``x`` (n, d); ``ValueError`` before the first sample or if shapes do not fit."""
        return self._encoding.labels(self._predict_rows(x)[0])

    def predict_proba(self, x: Any) -> NDArray[np.float64]:
        """Fractions of the vote (n, n_classes) in the order of `classes`; ``ValueError`` as `predict`."""
        return self._predict_rows(x)[1]

    def learn_many(self, X: Any, y: Any) -> None:
        """`learn` by River's name, for the mini-batches of its pipelines."""
        self.learn(X, y)

    def predict_many(self, X: Any) -> Any:
        """`predict`, as a column of the library that the DataFrame ``X`` (n, d) is of; None before the first sample."""
        return self._predict_many(X)

    def predict_proba_many(self, X: Any) -> Any:
        """`predict_proba`, as a DataFrame of the library that ``X`` (n, d) is of, with a column for each class."""
        return self._predict_proba_many(X)
