"""Gaussian naive Bayes over arrays, with a compact form on the wire."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine import varint
from protovine.errors import CodecError, SnapshotError
from protovine.prototypes import FEATURE_MAX

_FORMAT = 0x20
# Added to every density, as in River.
_DENSITY_MIN = 1e-9
_COUNT_MAX = 2**53
# Room for the rounding of a limit to float32.
_ROUNDING = 1.01


class GaussianBayes:
    """One Gaussian for each class and feature, classes by their frequency; variances divide by n.

    On the wire::

        u8      0x20
        varint  d, then for each class a varint: samples of it
        f32     mean[d], variance[d] of each class that has samples

    Parameters
    ----------
    dim, n_classes : int >= 1

    Examples
    --------
    >>> model = GaussianBayes(dim=1, n_classes=2)
    >>> for x, code in ((-1.0, 0), (-2.0, 0), (1.0, 1), (2.0, 1)):
    ...     model.learn_one(np.array([x]), code)
    >>> model.proba(np.array([1.2])).argmax(), len(model.encode())
    (np.int64(1), 20)
    """

    def __init__(self, dim: int, n_classes: int) -> None:
        self.dim, self.n_classes = dim, n_classes
        self.count = np.zeros(n_classes)
        self.mean = np.zeros((n_classes, dim))
        self.spread = np.zeros((n_classes, dim))  # Sums of squared deviations.

    def learn_one(self, x: NDArray[np.float64], code: int) -> None:
        """Update the moments of the class (Welford)."""
        self.count[code] += 1
        off = x - self.mean[code]
        self.mean[code] += off / self.count[code]
        with np.errstate(over="ignore"):
            self.spread[code] += off * (x - self.mean[code])

    def proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of the classes (n_classes,); all 0 before the first sample."""
        proba = np.zeros(self.n_classes)
        known = np.flatnonzero(self.count)
        if not len(known):
            return proba
        counts = self.count[known]
        variance = self.spread[known] / counts[:, np.newaxis]
        density = np.zeros_like(variance)
        usable = (variance > 0) & np.isfinite(variance)
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            scaled = np.square(x - self.mean[known]) / (2 * variance)
            density[usable] = (np.exp(-scaled) / np.sqrt(math.tau * variance))[usable]
        log = np.log(counts / counts.sum()) + np.log(_DENSITY_MIN + density).sum(axis=1)
        likelihood = np.exp(log - log.max())
        proba[known] = likelihood / likelihood.sum()
        return proba

    def encode(self) -> bytes:
        """The model's bytes."""
        head = bytes([_FORMAT]) + varint.write(self.dim)
        for count in self.count.tolist():
            head += varint.write(int(count))
        known = np.flatnonzero(self.count)
        variance = self.spread[known] / self.count[known, np.newaxis]
        moments = np.concatenate([self.mean[known], variance], axis=1)
        body: bytes = np.clip(moments, -FEATURE_MAX, FEATURE_MAX).astype("<f4").tobytes()
        return head + body

    @classmethod
    def decode(cls, data: bytes | memoryview, dim: int, n_classes: int) -> GaussianBayes:
        """The model in ``data``, rounded to float32; `CodecError` if it is damaged or has another shape."""
        if not data or data[0] != _FORMAT:
            raise CodecError("not a naive Bayes model")
        found, at = varint.read(data, 1)
        if found != dim:
            raise CodecError(f"a model must have {dim} features, got {found}")
        model = cls(dim, n_classes)
        for code in range(n_classes):
            count, at = varint.read(data, at)
            if count > _COUNT_MAX:
                raise CodecError(f"a class of {count} samples is out of range")
            model.count[code] = count
        known = np.flatnonzero(model.count)
        expected = at + 8 * dim * len(known)
        if not len(known) or len(data) != expected:
            raise CodecError(f"a model of {len(known)} classes and {dim} features takes {expected} bytes")
        moments = np.frombuffer(data, "<f4", 2 * dim * len(known), at).reshape(len(known), 2 * dim)
        if not (np.abs(moments).max() <= _ROUNDING * FEATURE_MAX and moments[:, dim:].min() >= 0):  # False for NaN too.
            raise CodecError("a mean is not finite, or a variance is negative")
        model.mean[known] = moments[:, :dim]
        model.spread[known] = moments[:, dim:].astype(np.float64) * model.count[known, np.newaxis]
        return model

    def state(self) -> dict[str, Any]:
        """Everything, without rounding."""
        return {"count": self.count.copy(), "mean": self.mean.copy(), "spread": self.spread.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit."""
        count, mean, spread = (np.asarray(state.get(name), np.float64) for name in ("count", "mean", "spread"))
        shape = (self.n_classes, self.dim)
        if count.shape != shape[:1] or mean.shape != shape or spread.shape != shape:
            raise SnapshotError(f"the model's state does not fit {self.dim} features and {self.n_classes} classes")
        self.count, self.mean, self.spread = count.copy(), mean.copy(), spread.copy()
