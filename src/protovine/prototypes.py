"""`PrototypeSet`, a set of labelled prototypes, and `Evidence`, the part of a learner that a gate sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

# Larger feature values are refused: float32 holds little more, and far larger ones overflow squared distances.
FEATURE_MAX = 1e38


class PrototypeSet(msgspec.Struct, frozen=True, eq=False, gc=False):
    """``n`` labelled prototypes of ``d`` features, each with its weight, event time and origin.

    Parameters
    ----------
    x : float array, shape (n, d)
        Vectors, float32 or float64.
    label : int64 array, shape (n,)
        Class codes, >= 0.
    weight : float64 array, shape (n,)
        Number of samples that each prototype represents, >= 0.
    event_ns : int64 array, shape (n,)
        Event time, in nanoseconds, of the newest sample that each prototype represents.
    origin : int
        Node that the set comes from; -1 if it comes from no node.

    Raises
    ------
    ValueError
        The shapes do not fit together.

    Examples
    --------
    >>> s = PrototypeSet.of([[0.0, 1.0], [2.0, 3.0]], [0, 1], weight=[5, 7])
    >>> len(s), s.dim, s.weight.sum()
    (2, 2, np.float64(12.0))
    >>> s.take([1]).x
    array([[2., 3.]])
    """

    x: NDArray[np.floating]
    label: NDArray[np.int64]
    weight: NDArray[np.float64]
    event_ns: NDArray[np.int64]
    origin: int = -1

    def __post_init__(self) -> None:
        n = len(self.label)
        if self.x.ndim != 2 or self.x.shape[0] != n or self.weight.shape != (n,) or self.event_ns.shape != (n,):
            raise ValueError(
                f"a set needs x (n, d) and label, weight, event_ns (n,), got shapes "
                f"{self.x.shape}, {self.label.shape}, {self.weight.shape}, {self.event_ns.shape}"
            )

    @classmethod
    def of(
        cls,
        x: ArrayLike,
        label: ArrayLike,
        *,
        weight: ArrayLike | None = None,
        event_ns: ArrayLike | None = None,
        origin: int = -1,
    ) -> PrototypeSet:
        """A set from array-likes; weights default to 1 and event times to 0.

        Raises
        ------
        ValueError
            A value is not finite, or a weight or label is negative.
        """
        vectors = np.ascontiguousarray(x, dtype=np.float64)
        codes = np.ascontiguousarray(label, dtype=np.int64)
        weights = np.ones(len(codes)) if weight is None else np.ascontiguousarray(weight, dtype=np.float64)
        events = np.zeros(len(codes), np.int64) if event_ns is None else np.ascontiguousarray(event_ns, dtype=np.int64)
        made = cls(vectors, codes, weights, events, origin)
        if not np.isfinite(vectors).all() or not np.isfinite(weights).all() or (weights < 0).any() or (codes < 0).any():
            raise ValueError("vectors and weights must be finite, weights and labels >= 0")
        return made

    @classmethod
    def empty(cls, dim: int, origin: int = -1) -> PrototypeSet:
        """A set without prototypes."""
        return _nothing(dim, origin)

    @classmethod
    def joined(cls, sets: Sequence[PrototypeSet], dim: int, origin: int = -1) -> PrototypeSet:
        """All prototypes of ``sets``, each of ``dim`` features, as one set, in order."""
        if len(sets) == 1:
            return sets[0]
        if not sets:
            return cls.empty(dim, origin)
        return cls(
            np.concatenate([each.x for each in sets], dtype=np.float64),
            np.concatenate([each.label for each in sets]),
            np.concatenate([each.weight for each in sets]),
            np.concatenate([each.event_ns for each in sets]),
            origin,
        )

    def __len__(self) -> int:
        return len(self.label)

    @property
    def dim(self) -> int:
        """Number of features, d."""
        return int(self.x.shape[1])

    def read_only(self) -> PrototypeSet:
        """The same prototypes in arrays that cannot be written; no value is copied."""
        x, label, weight, event_ns = map(read_only, (self.x, self.label, self.weight, self.event_ns))
        return PrototypeSet(x, label, weight, event_ns, self.origin)

    def take(self, index: Sequence[int] | NDArray[Any]) -> PrototypeSet:
        """The prototypes at ``index``, in that order."""
        at = np.asarray(index)
        return PrototypeSet(self.x[at], self.label[at], self.weight[at], self.event_ns[at], self.origin)


@lru_cache(1000)
def _nothing(dim: int, origin: int) -> PrototypeSet:
    """Most messages bring no prototypes, so that it pays to make this once."""
    return PrototypeSet(np.zeros((0, dim)), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), origin)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A gate's input: the learner's set and the newest local samples at one moment.

    Parameters
    ----------
    prototypes : PrototypeSet
        The learner's current prototypes.
    samples_learnt : int
        Local samples learnt so far.
    window_x : float64 array, shape (k, d)
        The newest local samples with a label, oldest first; no rows if the learner keeps none.
    window_label : int64 array, shape (k,)
        Their class codes.
    """

    prototypes: PrototypeSet
    samples_learnt: int
    window_x: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    window_label: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view of an array that cannot be written.

    Examples
    --------
    >>> read_only(np.zeros(2)).flags.writeable
    False
    """
    view = array.view()
    view.flags.writeable = False
    return view


def inverse_variance(x: NDArray[np.floating], weight: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """1/variance of each feature, which makes squared differences independent of the features' units.

    Parameters
    ----------
    x : float array, shape (n, d)
    weight : float64 array, shape (n,), optional
        Weight of each row, >= 0. By default, or if all are 0, all rows count equally.

    Returns
    -------
    float64 array, shape (d,)
        0 for a feature that does not vary; 1 for all features if none varies.

    Examples
    --------
    >>> inverse_variance(np.array([[0.0, 7.0], [4.0, 7.0]]))
    array([0.25, 0.  ])
    """
    rows = np.asarray(x, dtype=np.float64)
    if weight is not None and weight.any():
        rows, counts = rows[weight > 0], weight[weight > 0] / weight.max()
    else:
        counts = np.ones(len(rows))
    if not len(rows):
        return np.ones(rows.shape[1])
    counts = counts / counts.sum()
    varies = rows.max(axis=0) > rows.min(axis=0)
    variance = counts @ np.square(rows - counts @ rows)
    # A variance whose inverse would overflow counts as 0.
    usable = varies & (variance > 1.0 / np.finfo(np.float64).max)
    if not usable.any():
        return np.ones(rows.shape[1])
    scale = np.zeros(rows.shape[1])
    scale[usable] = 1.0 / variance[usable]
    return scale
