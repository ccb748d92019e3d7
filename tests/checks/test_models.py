"""`check_model_learner`: the package's learners and the tutorial's pass; each broken promise is named."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from protovine.checks import check_model_learner
from protovine.errors import CodecError
from protovine.learn import EnsembleCore, GaussianBayes, LogisticCore, OwnPickles, Prediction, river_core
from tests.checks.tutorial import Softmax


def bayes(dim: int, n_classes: int) -> EnsembleCore:
    local = GaussianBayes(dim, n_classes)
    return EnsembleCore(dim, n_classes, local, lambda data: GaussianBayes.decode(data, dim, n_classes))


@pytest.mark.parametrize(
    "make", [LogisticCore, lambda: LogisticCore(3, 3), bayes], ids=["logistic", "no shape", "bayes"]
)
def test_models_without_a_checksum(make: Callable[..., Any]) -> None:
    check_model_learner(make, refuses_damage=False)


def test_models_with_a_checksum() -> None:
    pickles = OwnPickles()
    check_model_learner(Softmax)
    check_model_learner(lambda: Softmax(3, 3))
    check_model_learner(lambda dim, n: river_core(dim, n, "tree.HoeffdingTreeClassifier", pickles=pickles))


class Rounded(Softmax):  # type: ignore[misc]
    """Its models are int8: one byte a weight, and a scale."""

    def encode(self) -> bytes:
        if not self.samples:
            return b""
        step = np.float32(np.abs(self.weights).max() / 127)
        data = step.tobytes() + (self.weights / step).round().astype(np.int8).tobytes()
        return zlib.crc32(data).to_bytes(4, "little") + data

    def decode(self, payload: bytes) -> np.ndarray:
        data = bytes(payload[4:])
        if len(data) != 4 + self.weights.size or zlib.crc32(data).to_bytes(4, "little") != bytes(payload[:4]):
            raise CodecError("no model of this shape")
        step = np.frombuffer(data[:4], "<f4")[0]
        if not np.isfinite(step):
            raise CodecError("the step is not finite")
        return np.frombuffer(data[4:], np.int8).reshape(self.weights.shape) * float(step)


def test_a_model_of_int8_needs_a_tolerance() -> None:
    check_model_learner(Rounded, tolerance=0.05)
    with pytest.raises(AssertionError, match=r"predicts the same at another node within 0\.001, got 0\.0"):
        check_model_learner(Rounded)


def decodes(*, length: bool = True, checksum: bool = True, finite: bool = True) -> dict[str, Any]:
    """A `decode` that leaves out some of the tutorial's tests."""

    def decode(self: Any, payload: bytes) -> np.ndarray:
        data, size = bytes(payload[4:]), 4 * self.weights.size
        if len(data) != size if length else len(data) < size:
            raise CodecError("another length")
        if checksum and zlib.crc32(data[:size]).to_bytes(4, "little") != bytes(payload[:4]):
            raise CodecError("another checksum")
        weights = np.frombuffer(data[:size], "<f4").reshape(self.weights.shape).astype(np.float64)
        if finite and not (np.abs(weights) < 1e9).all():
            raise CodecError("a weight is not finite")
        return weights

    return {"decode": decode}


def overwrite(self: Any, payload: bytes) -> np.ndarray:
    model = Softmax.decode(self, payload)
    self.weights = model.copy()
    return model


def unpack_badly(self: Any, payload: bytes) -> np.ndarray:
    if len(payload) != 52:
        raise ValueError("no model")
    return Softmax.decode(self, payload)


def keep_first(self: Any, peer: int, model: np.ndarray) -> None:
    self.of_peers.setdefault(peer, model)


def add_up(self: Any, peer: int, model: np.ndarray) -> None:
    self.of_peers[peer] = self.of_peers.get(peer, 0.0) + model


def keep_all(self: Any, peer: int, model: np.ndarray) -> None:
    self.of_peers[1000 * peer + len(self.of_peers)] = model


class Hoarder(Softmax):  # type: ignore[misc]
    """Keeps every model that it ever got, and votes with the newest ones."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__(dim, n_classes)
        self.all: list[np.ndarray] = []

    def adopt(self, peer: int, model: np.ndarray) -> None:
        super().adopt(peer, model)
        self.all.append(model)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "all": list(self.all)}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.all = list(state["all"])


def adopt_first(self: Any, peer: int, model: Any) -> None:
    raise RuntimeError("no room")


def forget_peers(self: Any) -> dict[str, Any]:
    return {**Softmax.state(self), "peers": [], "models": []}


def accept_all(self: Any, state: dict[str, Any]) -> None:
    self.weights, self.samples = np.copy(state["weights"]), int(state["samples"])
    self.of_peers = dict(zip(state["peers"], state["models"], strict=True))


def careless_restore(self: Any, state: dict[str, Any]) -> None:
    self.samples = int(state["samples"])
    self.weights = self.weights * 0
    Softmax.restore(self, state)


def fail_restore(self: Any, state: dict[str, Any]) -> None:
    if np.shape(state["weights"]) != self.weights.shape:
        raise ValueError("other shapes")
    Softmax.restore(self, state)


def predict_9(self: Any, x: np.ndarray, at_ns: int | None = None) -> Prediction:
    made = Softmax.predict(self, x, at_ns)
    return made._replace(code=9) if len(self) else made


def learning_encode(self: Any) -> bytes:
    self.weights *= 0.99
    return Softmax.encode(self)


def returning(**values: Any) -> dict[str, Any]:
    return {name: (lambda self, *arguments, value=value: value) for name, value in values.items()}


BROKEN: dict[str, tuple[Any, str]] = {
    "decode overwrites": ({"decode": overwrite}, r"decode\(\) changes nothing, not the local model either"),
    "decode takes NaN": (decodes(finite=False), "probabilities are finite|not finite"),
    "decode takes other lengths": (decodes(length=False), r"decode\(\) refuses a model with a byte too many"),
    "decode has no checksum": (decodes(checksum=False), r"decode\(\) refuses damaged bytes, got b'"),
    "decode raises ValueError": ({"decode": unpack_badly}, r"refuses no bytes, with CodecError; it raised ValueError"),
    "decode of bytes only": (
        {"decode": lambda self, payload: Softmax.decode(self, bytes.__getitem__(payload, slice(None)))},
        r"decode\(\) of a learner raises no error; it raised TypeError",
    ),
    "adopt raises": (
        {"adopt": adopt_first},
        r"adopt\(\) of a learner raises no error; it raised RuntimeError: no room",
    ),
    "adopt keeps the first": ({"adopt": keep_first}, "a newer model of a peer counts"),
    "adopt adds up": ({"adopt": add_up}, "the same model 30 times predicts as once"),
    "adopt keeps all": ({"adopt": keep_all}, "30 models of one peer count as one, got 30"),
    "adopt hoards": (Hoarder, r"the state holds the newest model of a peer, and does not grow .*bytes more"),
    "state without peers": ({"state": forget_peers}, "a restored learner has 2 models, got 1"),
    "state None": (returning(state=None), r"state\(\) is a dictionary, got None"),
    "state raises": ({"state": lambda self: self.nothing}, r"state\(\) of a learner raises no error; .*AttributeError"),
    "restore of another shape": (
        {"restore": accept_all},
        "a state of 3 features and 3 classes is refused by a learner of",
    ),
    "restore raises ValueError": ({"restore": fail_restore}, "is refused .*, with SnapshotError; it raised ValueError"),
    "restore changes first": ({"restore": careless_restore}, r"restore\(\) changes nothing when it refuses a state"),
    "code out of range": ({"predict": predict_9}, r"a code is a class, from 0 to 2, got 9"),
    "prototypes None": (returning(prototypes=None), r"prototypes\(\) is a PrototypeSet, got None"),
    "local_prototypes None": (returning(local_prototypes=None), r"local_prototypes\(\) is a PrototypeSet, got None"),
    "scale None": (returning(scale=None), r"scale\(\) is a mean and a deviation, got None"),
    "compressions None": (returning(compressions=None), r"compressions\(\) is a list of SetCompression, got None"),
    "likelihood NaN": (returning(likelihood=float("nan")), r"likelihood\(\) is a number from 0 to 1, got nan"),
    "takes_missing untrue": ({"takes_missing": True}, "probabilities are finite"),
    "encode None": (returning(encode=None), "a new learner has no model to send, got None"),
    "encode learns": ({"encode": learning_encode}, r"encode\(\) learn nothing"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_promise_is_named(what: str) -> None:
    members, promised = BROKEN[what]
    broken = type("Broken", (Softmax,), members) if isinstance(members, dict) else members
    with np.errstate(all="ignore"), pytest.raises(AssertionError, match=promised):
        check_model_learner(broken)


def test_a_model_without_a_checksum_is_finite_too() -> None:
    """Single damaged bytes hardly ever make NaN of a float32."""
    broken = type("Broken", (Softmax,), decodes(checksum=False, finite=False))
    with np.errstate(all="ignore"), pytest.raises(AssertionError, match="probabilities are finite"):
        check_model_learner(broken, refuses_damage=False)
