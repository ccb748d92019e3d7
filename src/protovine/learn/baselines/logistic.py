"""Logistic regression by stochastic gradient descent, whose weights peers average."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protovine import varint
from protovine.errors import CodecError, SnapshotError, check_range
from protovine.learn.baselines.models import ModelCore

_FORMAT = 0x30
_AGE_MAX = 2**53
# Larger weights are refused: no model of features in any sane unit has them.
_WEIGHT_MAX = 1e30
# Standardised features are clipped to this.
_Z_MAX = 10.0
# Room for the rounding of a limit to float32.
_ROUNDING = 1.01


class Weights(NamedTuple):
    """A peer's model: float64 (n_classes, d + 1) for raw features and the constant 1, and the samples behind it."""

    raw: NDArray[np.float64]
    age: int


class LogisticCore(ModelCore):
    """Multinomial logistic regression over features standardised online; received models are averaged into it.

    On receipt the local weights become the mean of both models, each weighted by the samples behind it. The number of
    samples becomes the larger of both (Hegedűs et al.). Nodes standardise by their local samples, so they send weights
    for raw features. On the wire::

        u8      0x30
        varint  d, n_classes, samples behind the model
        f32     weight[n_classes][d + 1], the last for the constant 1

    Parameters
    ----------
    dim, n_classes : int >= 1
    rate : float in (0, 10]
        Step of the gradient descent, the same for every sample, so that the model follows drift.

    References
    ----------
    R. Ormándi, I. Hegedűs, M. Jelasity, "Gossip learning with linear models on fully distributed data", Concurrency and
    Computation 25(4), 2013; I. Hegedűs, G. Danner, M. Jelasity, "Decentralized learning works: an empirical comparison
    of gossip learning and federated learning", J. Parallel Distrib. Comput. 148, 2021.

    Examples
    --------
    >>> core = LogisticCore(dim=1, n_classes=2)
    >>> core.learn(np.array([[0.0], [1.0]] * 20), np.array([0, 1] * 20), np.zeros(40, np.int64))
    0
    >>> core.predict(np.array([0.9])).code, len(core.encode())
    (1, 20)
    """

    def __init__(self, dim: int, n_classes: int, *, rate: float = 0.1) -> None:
        super().__init__(dim, n_classes)
        check_range("rate", rate, 1e-9, 10)
        self.rate = rate
        self.age = 0  # Samples behind the weights.
        self._weights = np.zeros((n_classes, dim + 1))
        self._count = 0
        self._mean, self._spread = np.zeros(dim), np.zeros(dim)

    def __len__(self) -> int:
        return int(self.age > 0)

    def proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Softmax of the linear forms; all 0 before the first sample or model."""
        return self._softmax(self._standard(x)) if self.age else np.zeros(self.n_classes)

    def learn_one(self, x: NDArray[np.float64], code: int) -> None:
        """One step down the gradient of -log p, on features standardised with the sample."""
        raw = self._raw()
        self._count += 1
        off = x - self._mean
        self._mean = self._mean + off / self._count
        with np.errstate(over="ignore"):
            self._spread = self._spread + off * (x - self._mean)
        self._take(raw)  # The function stays the same when the scale moves.
        z = self._standard(x)
        error = -self._softmax(z)
        error[code] += 1.0
        self._weights += self.rate * error[:, np.newaxis] * z
        self.age += 1

    def encode(self) -> bytes:
        """The weights' bytes; none before the first sample or model."""
        if not self.age:
            return b""
        head = bytes([_FORMAT]) + varint.write(self.dim) + varint.write(self.n_classes) + varint.write(self.age)
        return head + np.clip(self._raw(), -_WEIGHT_MAX, _WEIGHT_MAX).astype("<f4").tobytes()

    def decode(self, payload: bytes | memoryview) -> Weights:
        """The weights in ``payload``; `CodecError` if they are damaged or have another shape."""
        if not payload or payload[0] != _FORMAT:
            raise CodecError("not a logistic regression")
        shape, at = [], 1
        for _ in range(3):
            value, at = varint.read(payload, at)
            shape.append(value)
        dim, n_classes, age = shape
        if (dim, n_classes) != (self.dim, self.n_classes):
            raise CodecError(f"a model must have {self.dim} features and {self.n_classes} classes, got {shape[:2]}")
        if not 1 <= age <= _AGE_MAX or len(payload) != at + 4 * n_classes * (dim + 1):
            raise CodecError(f"a model takes {at + 4 * n_classes * (dim + 1)} bytes, got {len(payload)}, of age {age}")
        raw = np.frombuffer(payload, "<f4", n_classes * (dim + 1), at).reshape(n_classes, dim + 1)
        if not np.abs(raw).max() <= _ROUNDING * _WEIGHT_MAX:  # False for NaN too.
            raise CodecError("a weight is not finite, or too large")
        return Weights(raw.astype(np.float64), age)

    def adopt(self, peer: int, model: Weights) -> None:
        """Average the model into the local one, weighted by the samples behind each."""
        part = model.age / (model.age + self.age)
        self._take(part * model.raw + (1 - part) * self._raw())
        self.age = max(self.age, model.age)

    def state(self) -> dict[str, Any]:
        """Weights and moments."""
        return {
            **super().state(),
            "weights": self._weights.copy(),
            "age": self.age,
            "count": self._count,
            "mean": self._mean.copy(),
            "spread": self._spread.copy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit this learner."""
        try:
            weights, mean, spread = (np.asarray(state[name], np.float64) for name in ("weights", "mean", "spread"))
            age, count = int(state["age"]), int(state["count"])
            fits = weights.shape == self._weights.shape and mean.shape == spread.shape == (self.dim,)
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise SnapshotError(f"the learner's state does not fit {self.dim} features and {self.n_classes} classes")
        super().restore(state)
        self._weights, self._mean, self._spread = weights.copy(), mean.copy(), spread.copy()
        self.age, self._count = age, count

    def _deviation(self) -> NDArray[np.float64]:
        """Standard deviations (d,) of local samples; 1 for constant features."""
        variance = self._spread / max(1, self._count)
        return np.sqrt(np.where((variance > 0) & np.isfinite(variance), variance, 1.0))

    def _standard(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standardised features, clipped so that every step is bounded, and 1."""
        return np.append(np.clip((x - self._mean) / self._deviation(), -_Z_MAX, _Z_MAX), 1.0)

    def _softmax(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        score = self._weights @ z
        score = np.exp(score - score.max())
        proba: NDArray[np.float64] = score / score.sum()
        return proba

    def _raw(self) -> NDArray[np.float64]:
        """Weights for raw features."""
        raw = self._weights.copy()
        raw[:, :-1] /= self._deviation()
        raw[:, -1] -= raw[:, :-1] @ self._mean
        return raw

    def _take(self, raw: NDArray[np.float64]) -> None:
        """Set the weights from those for raw features."""
        self._weights = raw.copy()
        self._weights[:, -1] += raw[:, :-1] @ self._mean
        self._weights[:, :-1] *= self._deviation()
