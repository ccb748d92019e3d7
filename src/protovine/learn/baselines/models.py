"""Learners that share whole models instead of prototypes: their interface, their common base, and ensembles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from protovine.errors import CodecError, SnapshotError, check_range
from protovine.learn.base import ArrayLearner, Contribution, Prediction, SetCompression
from protovine.learn.validate import check_rows, check_samples, check_vector, labelled
from protovine.prototypes import PrototypeSet

# An ensemble forgets how often each of its models was right at this rate per local sample, within about 100.
_HITS_DECAY = 0.99
# Accuracy of a model that has not been judged yet.
_HITS_PRIOR = 0.5
# A model that is no better than a guess weighs next to nothing; but if all are, they still vote.
_WEIGHT_MIN = 1e-6


class ModelLearner(ArrayLearner, Protocol):
    """A learner that shares its model as a whole; it has no prototypes, and gets none.

    Its `state` has the models of its peers. `protovine.checks.check_model_learner` tests all promises.
    """

    def encode(self) -> bytes:
        """The local model as bytes; none before the first sample."""
        ...

    def decode(self, payload: bytes | memoryview) -> Any:
        """The model in ``payload``; `CodecError` if there is none that fits. The learner is unchanged."""
        ...

    def adopt(self, peer: int, model: Any) -> None:
        """Use a model from `decode` as the newest of ``peer``, in place of the one before."""
        ...


class ModelCore(ABC):
    """Base of the learners without prototypes: it learns samples one by one.

    ``len`` is the number of models behind a prediction.

    Parameters
    ----------
    dim, n_classes : int >= 1
    """

    takes_missing = False

    def __init__(self, dim: int, n_classes: int) -> None:
        check_range("dim", dim, 1)
        check_range("n_classes", n_classes, 1)
        self.dim, self.n_classes = dim, n_classes
        self._seen = np.zeros(n_classes)  # Local samples of each class.

    @abstractmethod
    def __len__(self) -> int:
        """Models behind a prediction."""

    @abstractmethod
    def proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (n_classes,) of a vector's classes; all 0 without a model."""

    @abstractmethod
    def learn_one(self, x: NDArray[np.float64], code: int) -> None:
        """Learn one sample."""

    def predict(self, x: NDArray[np.float64], at_ns: int | None = None) -> Prediction:
        """Prediction for one vector (d,) at any time; code -1 while there is no model."""
        check_vector(x, self.dim)
        proba = self.proba(x)
        return Prediction(int(np.argmax(proba)) if proba.any() else -1, proba)

    def predict_balanced(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Codes (n,) with the local label frequencies divided out of the probabilities."""
        check_rows(x, self.dim, False)
        frequency = (self._seen + 1) / (self._seen + 1).sum()
        return np.array([int(np.argmax(self.proba(row) / frequency)) for row in x], dtype=np.int64)

    def likelihood(self, x: NDArray[np.float64], code: int, at_ns: int) -> float:
        """The probability of a class; 0 without a model."""
        return float(self.proba(x)[code])

    def learn(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> int:
        """Learn rows (n, d) in order; 0, as none of them becomes a prototype. ``ValueError`` if they do not fit."""
        x, codes, events_ns = labelled(x, codes, events_ns)
        check_samples(x, codes, events_ns, self.dim, self.n_classes, False)
        for row, code in zip(x, codes.tolist(), strict=True):
            self.learn_one(row, code)
            self._seen[code] += 1
        return 0

    def learn_received(self, prototypes: PrototypeSet, origins: NDArray[np.int64]) -> int:
        """Learn received prototypes as if they were local samples."""
        return self.learn(np.ascontiguousarray(prototypes.x, np.float64), prototypes.label, prototypes.event_ns)

    @property
    def recency(self) -> float:
        """0: samples are not discounted by age."""
        return 0.0

    def scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Zeros: no moments of the samples are kept."""
        return np.zeros(self.dim), np.zeros(self.dim)

    def local_prototypes(self) -> PrototypeSet:
        """None."""
        return PrototypeSet.empty(self.dim)

    def prototypes(self) -> PrototypeSet:
        """None."""
        return PrototypeSet.empty(self.dim)

    def compressions(self) -> list[SetCompression]:
        """Nothing is ever compressed."""
        return []

    def state(self) -> dict[str, Any]:
        """Counts of the classes."""
        return {"seen": self._seen.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit, and then nothing has changed."""
        self._seen = self._seen_of(state)

    def _seen_of(self, state: dict[str, Any]) -> NDArray[np.float64]:
        """The counts of a state; `SnapshotError` if it does not fit."""
        seen = np.asarray(state.get("seen"))
        if seen.shape != (self.n_classes,) or state.get("dim", self.dim) != self.dim:
            raise SnapshotError(f"the learner's state does not fit {self.dim} features and {self.n_classes} classes")
        return seen.astype(np.float64)


class Model(Protocol):
    """A classifier that an ensemble is made of."""

    def learn_one(self, x: NDArray[np.float64], code: int) -> None:
        """Learn one sample."""
        ...

    def proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of the classes (n_classes,), which sum to 1; all 0 before the first sample."""
        ...

    def encode(self) -> bytes:
        """Everything that `proba` needs, as bytes."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything needed to go on after a crash."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit."""
        ...


class EnsembleCore(ModelCore):
    """A local model that learns local samples, and the newest model of each peer, which only votes.

    So the authors' nodes share Hoeffding trees and naive Bayes (their tests 5 and 6, in their repository).

    Parameters
    ----------
    dim, n_classes : int >= 1
    local : Model
        Has learnt nothing.
    read : callable (payload) -> Model
        A model from bytes of another's ``encode``; `CodecError` if they are none.
    votes : {"mean", "accuracy"}
        ``"mean"`` averages the models' probabilities, as the authors do. ``"accuracy"`` weighs them by how much more
        often than a guess each was right on the last local samples, about 100.

    Examples
    --------
    >>> from protovine.learn.baselines.bayes import GaussianBayes
    >>> make = lambda: EnsembleCore(1, 2, GaussianBayes(1, 2), lambda data: GaussianBayes.decode(data, 1, 2))
    >>> one, other = make(), make()
    >>> other.learn(np.array([[0.0], [0.2], [1.0], [1.2]]), np.array([0, 0, 1, 1]), np.zeros(4, np.int64))
    0
    >>> one.adopt(3, one.decode(other.encode()))
    >>> len(one), one.predict(np.array([0.9])).code
    (1, 1)
    """

    def __init__(
        self,
        dim: int,
        n_classes: int,
        local: Model,
        read: Callable[[bytes | memoryview], Model],
        votes: str = "mean",
    ) -> None:
        super().__init__(dim, n_classes)
        self.local, self.votes = local, votes
        self._read = read
        self._received: dict[int, tuple[Model, bytes]] = {}
        self._hits: dict[int, float] = {}  # Of each model, -1 for the local one; a mean that forgets.

    def __len__(self) -> int:
        return len(self._received) + bool(self._seen.any())

    def proba(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of the models' probabilities, weighted by accuracy if ``votes`` says so."""
        total = np.zeros(self.n_classes)
        for number, model in self._models():
            total += self._weight(number) * model.proba(x)
        weight = total.sum()
        return total / weight if weight > 0 else total

    def learn_one(self, x: NDArray[np.float64], code: int) -> None:
        """The local model learns the sample, after all models are judged by it."""
        if self.votes == "accuracy":
            for number, model in self._models():
                hit = float(np.argmax(model.proba(x)) == code)
                self._hits[number] = _HITS_DECAY * self._hits.get(number, _HITS_PRIOR) + (1 - _HITS_DECAY) * hit
        self.local.learn_one(x, code)

    def encode(self) -> bytes:
        """The local model as bytes; none before the first sample."""
        return self.local.encode() if self._seen.any() else b""

    def decode(self, payload: bytes | memoryview) -> tuple[Model, bytes]:
        """The model in ``payload``, and its bytes; `CodecError` if there is none that fits."""
        return self._read(payload), bytes(payload)

    def adopt(self, peer: int, model: tuple[Model, bytes]) -> None:
        """Replace the peer's earlier model."""
        self._received[peer] = model

    def forget(self, origin: int, since_ns: int, until_ns: int) -> Contribution:
        """Forget the model of a peer, whatever the times: a model cannot be divided. Nothing else is made of it."""
        self._hits.pop(origin, None)
        return Contribution(dropped=int(self._received.pop(origin, None) is not None))

    def state(self) -> dict[str, Any]:
        """The local model, those of the peers, and how often each was right."""
        return {
            **super().state(),
            "dim": self.dim,
            "local": self.local.state(),
            "received": [[peer, self._received[peer][1]] for peer in sorted(self._received)],
            "hits": [[number, self._hits[number]] for number in sorted(self._hits)],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it does not fit this learner, which is then unchanged."""
        seen = self._seen_of(state)
        try:
            received = {int(peer): self.decode(payload) for peer, payload in state["received"]}
            hits = {int(number): float(hit) for number, hit in state["hits"]}
            self.local.restore(state["local"])
        except (CodecError, KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"the models' state does not fit: {error}") from None
        self._seen, self._received, self._hits = seen, received, hits

    def _models(self) -> list[tuple[int, Model]]:
        """The local model as -1 if it has learnt anything, and those of the peers in ascending order."""
        local = [(-1, self.local)] if self._seen.any() else []
        return local + [(peer, self._received[peer][0]) for peer in sorted(self._received)]

    def _weight(self, number: int) -> float:
        if self.votes == "mean":
            return 1.0
        return max(_WEIGHT_MIN, self._hits.get(number, _HITS_PRIOR) - 1 / self.n_classes)
