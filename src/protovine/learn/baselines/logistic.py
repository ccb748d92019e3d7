"""Logistic regression by stochastic gradient descent, whose weights peers average."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protovine import varint
from protovine.errors import CodecError, SnapshotError, check_range
from protovine.learn.baselines.models import ModelCore

_FORMAT = 0x31
_AGE_MAX = 2**53
# Larger weights are refused: no model of features in any sane unit has them.
_WEIGHT_MAX = 1e30
# Standardised features are clipped to this.
_Z_MAX = 10.0
# Room for the rounding of a limit to float32.
_ROUNDING = 1.01


class Weights(NamedTuple):
    """A peer's model: weights (n_classes, d + 1) for standardised features and the constant 1, the mean (d,) and the
    standard deviation (d,) by which it standardises, and the samples behind it.
    """

    standard: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    age: int


class LogisticCore(ModelCore):
    """Multinomial logistic regression over features standardised online; received models are averaged into it.

    On receipt the local weights become the mean of both models, each weighted by the samples behind it. The number of
    samples becomes the larger of both (Hegedűs et al.). Mean and variance of the features are averaged in the same way,
    so that nodes come to standardise alike: a feature that hardly varies at one node must not get weights that are
    extreme at another. On the wire::

        u8      0x31
        varint  d, n_classes, samples behind the model
        f32     mean[d], standard deviation[d]
        f32     weight[n_classes][d + 1] for standardised features, the last for the constant 1

    Parameters
    ----------
    dim, n_classes : int >= 1
    rate : float in (0, 10]
        Step of the gradient descent, the same for every sample, so that the model follows drift.

    Raises
    ------
    ConfigError
        ``rate`` is out of range.

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
    (1, 28)
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
        values = np.concatenate([self._mean, np.sqrt(self._variance()), self._weights.ravel()])
        wire: bytes = np.clip(values, -_WEIGHT_MAX, _WEIGHT_MAX).astype("<f4").tobytes()
        return head + wire

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
        length = at + 4 * (2 * dim + n_classes * (dim + 1))
        if not 1 <= age <= _AGE_MAX or len(payload) != length:
            raise CodecError(f"a model takes {length} bytes, got {len(payload)}, of age {age}")
        values = np.frombuffer(payload, "<f4", offset=at)
        if not np.abs(values).max() <= _ROUNDING * _WEIGHT_MAX or not (values[dim : 2 * dim] >= 0).all():
            raise CodecError("a value of a model is not finite, too large, or a negative deviation")  # Also for NaN.
        mean, deviation, weights = np.split(values.astype(np.float64), [dim, 2 * dim])
        return Weights(weights.reshape(n_classes, dim + 1), mean, deviation, age)

    def adopt(self, peer: int, model: Weights) -> None:
        """Average the model into the local one, weighted by the samples behind each."""
        part = model.age / (model.age + self.age)
        off = model.mean - self._mean
        variance = part * model.deviation**2 + (1 - part) * self._variance() + part * (1 - part) * off**2
        self._mean = self._mean + part * off
        self._weights = part * model.standard + (1 - part) * self._weights
        self.age = max(self.age, model.age)
        self._count = max(self._count, model.age)
        self._spread = variance * self._count

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

    def _variance(self) -> NDArray[np.float64]:
        """Variances (d,) of the features so far; 0 where they are not finite."""
        variance = self._spread / max(1, self._count)
        return np.where(np.isfinite(variance), variance, 0.0)

    def _deviation(self) -> NDArray[np.float64]:
        """Standard deviations (d,) of the features so far; 1 for constant features."""
        variance = self._variance()
        return np.sqrt(np.where(variance > 0, variance, 1.0))

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
