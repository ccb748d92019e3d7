"""`check_learner`: the package's learners and the tutorial's pass; each broken promise is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from protovine.checks import check_learner
from protovine.compress import compressor
from protovine.exchange import learner_view
from protovine.learn import HedgedLVQCore, Prediction, XuILVQCore
from protovine.logscale import LogScales, to_log
from protovine.prototypes import PrototypeSet
from tests.checks.tutorial import ClassMeans


@pytest.mark.parametrize(
    "make",
    [
        ClassMeans,
        XuILVQCore,
        HedgedLVQCore,
        lambda dim, n_classes: XuILVQCore(dim, n_classes, size_max=40, compressor=compressor("greedy")),
        lambda dim, n_classes: HedgedLVQCore(dim, n_classes, size_max=20),
    ],
    ids=["means", "xuilvq", "hedged", "xuilvq of 40", "hedged of 20"],
)
def test_learners_that_keep_the_contract(make: Callable[[int, int], Any]) -> None:
    check_learner(make)


def predicts(change: Callable[[Any, np.ndarray, Prediction], Prediction]) -> dict[str, Any]:
    """A `predict` that changes what it would return where there is a model."""

    def predict(self: Any, x: np.ndarray, at_ns: int | None = None) -> Prediction:
        made = ClassMeans.predict(self, x, at_ns)
        return change(self, x, made) if len(self) else made

    return {"predict": predict}


def proba(change: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    return predicts(lambda self, x, made: made._replace(proba=change(made.proba)))


def returning(**values: Any) -> dict[str, Any]:
    """Methods that return these values."""
    return {name: (lambda self, *arguments, value=value: value) for name, value in values.items()}


def changed_set(**fields: Any) -> dict[str, Any]:
    """A `prototypes` whose arrays are other ones."""

    def prototypes(self: Any) -> PrototypeSet:
        held = ClassMeans.prototypes(self)
        arrays = {name: getattr(held, name) for name in ("x", "label", "weight", "event_ns")}
        return PrototypeSet(**{**arrays, **{name: change(arrays[name]) for name, change in fields.items()}})

    return {"prototypes": prototypes}


def restores(change: Callable[[Any, dict[str, Any]], None]) -> dict[str, Any]:
    def restore(self: Any, state: dict[str, Any]) -> None:
        change(self, state)
        ClassMeans.restore(self, state)

    return {"restore": restore}


def learn_after(self: Any, x: np.ndarray, made: Prediction) -> Prediction:
    self._absorb(x, made.code, 1.0, 0)
    return made


def overwrite(self: Any, x: np.ndarray, made: Prediction) -> Prediction:
    x[:] = 0.0
    return made


def reuse(self: Any, x: np.ndarray, made: Prediction) -> Prediction:
    self.buffer = vars(self).get("buffer", np.zeros(self.n_classes))
    self.buffer[:] = made.proba
    return Prediction(made.code, self.buffer)


def no_state_of(name: str) -> dict[str, Any]:
    """A learner that keeps something which its state does not hold."""
    return {"state": lambda self: {key: value for key, value in ClassMeans.state(self).items() if key != name}}


def at_no_time(self: Any, x: np.ndarray) -> Prediction:
    return ClassMeans.predict(self, x)


def refuse(self: Any, *arguments: Any) -> None:
    raise RuntimeError("not today")


def wipe_learnt(self: Any, x: np.ndarray, codes: np.ndarray, events_ns: np.ndarray) -> int:
    inserted = ClassMeans.learn(self, x, codes, events_ns)
    x[:] = 0.0
    return inserted


def wipe_received(self: Any, prototypes: PrototypeSet, origins: np.ndarray) -> int:
    inserted = ClassMeans.learn_received(self, prototypes, origins)
    prototypes.x[:] = 0.0
    return inserted


def careless_restore(self: Any, state: dict[str, Any]) -> None:
    self.mean = self.mean * 0 + 5
    ClassMeans.restore(self, state)


def accept_other(self: Any, state: dict[str, Any]) -> None:
    if int(state["dim"]) == self.dim and int(state["n_classes"]) != self.n_classes:
        return
    ClassMeans.restore(self, state)


def accept_all(self: Any, state: dict[str, Any]) -> None:
    for name, value in state.items():
        setattr(self, name, np.copy(value) if np.ndim(value) else value.item())


def draw(self: Any, x: np.ndarray, made: Prediction) -> Prediction:
    noise = np.random.default_rng().random() * 1e-6
    mixed = (made.proba + noise) / (made.proba + noise).sum()
    return Prediction(int(mixed.argmax()), mixed)


def float16_state(self: Any) -> dict[str, Any]:
    return {**ClassMeans.state(self), "mean": self.mean.astype(np.float16)}


def live_state(self: Any) -> dict[str, Any]:
    return {name: value if np.ndim(value) else np.copy(value) for name, value in vars(self).items()}


class Unseeded(ClassMeans):  # type: ignore[misc]
    """Learns with random weights that differ between two of them."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__(dim, n_classes)
        self.draw = np.random.default_rng()

    def _absorb(self, row: np.ndarray, code: int, weight: float, event_ns: int) -> None:
        super()._absorb(row, code, weight + self.draw.random(), event_ns)

    def state(self) -> dict[str, Any]:
        return {name: np.copy(value) for name, value in vars(self).items() if name != "draw"}


LOG = LogScales.of(np.array([1]), np.array([0.0]), np.array([0.25]))


def log_scale_of(scales: Any, change: float = 0.0) -> dict[str, Any]:
    """A `log_scale` with these scales, whose mean is off by ``change``."""

    def log_scale(self: Any) -> Any:
        mean, deviation = self.scale()
        return scales, to_log(mean, LOG) + change, deviation

    return {"log_scale": log_scale}


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no learn_received": ({"learn_received": refuse}, r"learn_received\(\) of a learner .*RuntimeError: not today"),
    "learn_received None": (returning(learn_received=None), r"learn_received\(\) is how many of 30 .*, got None"),
    "learn_received counts in NumPy": (returning(learn_received=np.int64(0)), r"an int from 0, got .*int64\(0\)"),
    "learn_received wipes": ({"learn_received": wipe_received}, r"learn_received\(\) does not change its input"),
    "learn raises": ({"learn": refuse}, r"learn\(\) of a learner raises no error; it raised RuntimeError"),
    "learn wipes": ({"learn": wipe_learnt}, "learning does not change its input"),
    "learn None": (returning(learn=None), r"learn\(\) is how many of 200 samples .*, got None"),
    "likelihood NaN": (returning(likelihood=float("nan")), r"likelihood\(\) is a number from 0 to 1, got nan"),
    "likelihood 17": (returning(likelihood=17.0), r"likelihood\(\) is a number from 0 to 1, got 17.0"),
    "likelihood without a model": (returning(likelihood=0.5), r"without a model likelihood\(\) is 0, got 0.5"),
    "scale NaN": (returning(scale=(np.full(3, np.nan), np.ones(3))), r"the mean of scale\(\) is finite, got .*nan"),
    "scale of 99": (returning(scale=(np.zeros(99), np.ones(99))), r"scale\(\) is a float64 array of shape \(3,\)"),
    "scale negative": (returning(scale=(np.zeros(3), -np.ones(3))), r"the deviation of scale\(\) is not negative"),
    "scale None": (returning(scale=None), r"scale\(\) is a mean and a deviation, got None"),
    "log_scale None": (returning(log_scale=None), r"log_scale\(\) is LogScales, a mean and a deviation, got None"),
    "log_scale a dictionary": (log_scale_of({1: 0.25}), r"log_scale\(\) begins with LogScales, got {1: 0.25}"),
    "log_scale of booleans": (log_scale_of(LOG._replace(columns=np.array([False]))), "are a whole array"),
    "log_scale of feature 9": (log_scale_of(LOG._replace(columns=np.array([9]))), "ascend, from 0 to 2, got .*9"),
    "log_scale without an origin": (log_scale_of(LOG._replace(origin=np.zeros(0))), "the origin .* is a float64 array"),
    "log_scale of many bits": (log_scale_of(LOG._replace(unit=np.array([0.1]))), "as LogScales.of makes them"),
    "log_scale of no unit": (log_scale_of(LOG._replace(unit=np.zeros(1))), "as LogScales.of makes them"),
    "log_scale NaN": (log_scale_of(LOG, np.nan), r"the mean of log_scale\(\) is finite"),
    "log_scale differs": (log_scale_of(LOG, 1.0), r"log_scale\(\) and scale\(\) agree about features on no"),
    "local_prototypes None": (returning(local_prototypes=None), r"local_prototypes\(\) is a PrototypeSet, got None"),
    "prototypes None": (returning(prototypes=None), r"prototypes\(\) is a PrototypeSet, got None"),
    "compressions None": (returning(compressions=None), r"compressions\(\) is a list of SetCompression, got None"),
    "recency None": ({"recency": None}, r"'recency' is a finite number from 0, got None"),
    "recency raises": ({"recency": property(refuse)}, r"'recency' of a learner can be read; it raised RuntimeError"),
    "recency infinite": ({"recency": float("inf")}, r"'recency' is a finite number from 0, got inf"),
    "takes_missing None": ({"takes_missing": None}, r"'takes_missing' is True or False, got None"),
    "takes_missing untrue": ({"takes_missing": True}, r"finite|probabilities|PrototypeSet|raises no error"),
    "predict learns": (predicts(learn_after), r"predict\(\) "),
    "predict overwrites x": (predicts(overwrite), r"predict\(\) does not change its input"),
    "predict is random": (predicts(draw), r"predict\(\) gives the same answer when it is asked again"),
    "predict reuses a buffer": (predicts(reuse), "a prediction does not change when another is made"),
    "proba one too long": (
        proba(lambda values: np.append(values, 0.0)),
        r"probabilities are a float64 array of shape \(3,\), got float64 \(4,\)",
    ),
    "proba NaN": (proba(lambda values: values * np.nan), r"probabilities are finite, got array\(\[nan, nan, nan\]\)"),
    "proba float32": (proba(lambda values: values.astype(np.float32)), r"are a float64 array .*, got float32 \(3,\)"),
    "proba does not sum to 1": (proba(lambda values: values / 2), "probabilities are a distribution"),
    "proba of another class": (proba(lambda values: values[::-1].copy()), "the code has the largest probability"),
    "code float": (
        predicts(lambda self, x, made: made._replace(code=float(made.code))),
        r"a code is an int, got \d\.0",
    ),
    "code of NumPy": (predicts(lambda self, x, made: made._replace(code=np.int64(made.code))), r"a code is an int"),
    "code 9": (predicts(lambda self, x, made: made._replace(code=9)), r"a code is a class, from 0 to 2, got 9"),
    "prediction a tuple": (
        predicts(lambda self, x, made: tuple(made)),  # type: ignore[arg-type,return-value]
        r"predict\(\) returns a Prediction",
    ),
    "predict refuses at_ns": ({"predict": at_no_time}, r"predict\(\) of a learner raises no error; .*TypeError"),
    "predict_balanced floats": (
        {"predict_balanced": lambda self, x: np.zeros(len(x))},
        r"predict_balanced\(\) returns whole codes of shape \(10,\)",
    ),
    "predict_balanced a code": (returning(predict_balanced=0), r"predict_balanced\(\) returns whole codes"),
    "restore changes first": ({"restore": careless_restore}, r"restore\(\) changes nothing when it refuses"),
    "restore accepts n_classes": (
        {"restore": accept_other},
        "a state of 3 features and 3 classes is refused by a learner of 3 and 2",
    ),
    "restore accepts all": ({"restore": accept_all}, "a state of 3 features and 3 classes is refused"),
    "restore raises": (
        restores(lambda self, state: state["no such key"]),
        r"restore\(\) of a learner raises no error; it raised KeyError",
    ),
    "state of float16": ({"state": float16_state}, r"snapshot\.pack can save; .*cannot hold arrays of float16"),
    "state of objects": (
        {"state": lambda self: {"it": self}},
        r"snapshot\.pack can save; .*cannot hold ClassMeans|Broken",
    ),
    "state live": ({"state": live_state}, r"state\(\) is a copy, which does not change"),
    "state None": (returning(state=None), r"state\(\) is a dictionary, got None"),
    "state forgets": (no_state_of("weight"), "a restored learner "),
    "weights infinite": (changed_set(weight=lambda values: values * np.inf), r"prototypes\(\) has finite weights"),
    "vectors NaN": (changed_set(x=lambda values: values * np.nan), r"prototypes\(\) has finite vectors"),
    "labels out of range": (changed_set(label=lambda values: values + 7), r"codes of classes, 0 to 2, got"),
    "newer than its samples": (changed_set(event_ns=lambda values: values + 10**18), "no prototype is newer"),
    "dim forgotten": ({"__init__": lambda self, dim, n: ClassMeans.__init__(self, dim + 1, n)}, "'dim' is the number"),
    "no learn_received at all": ({"learn_received": property()}, r"has 'learn_received'; .* lacks it"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_promise_is_named(what: str) -> None:
    members, promised = BROKEN[what]
    with pytest.raises(AssertionError, match=promised):
        check_learner(type("Broken", (ClassMeans,), members))


def test_a_learner_may_have_amounts_on_a_logarithmic_scale() -> None:
    scaled = type("Scaled", (ClassMeans,), log_scale_of(LOG))
    check_learner(scaled)
    assert LOG.same_as(learner_view(scaled(3, 3)).log_scales)


def test_a_learner_without_a_seed_is_not_deterministic() -> None:
    with pytest.raises(AssertionError, match="learning row by row or at once gives the same result"):
        check_learner(Unseeded)


def test_prototypes_that_are_the_live_arrays_are_found() -> None:
    class Live(XuILVQCore):
        def prototypes(self) -> PrototypeSet:
            s, n = self._state, len(self)
            return PrototypeSet(s.x[:n], s.label[:n], s.mass[:n], s.event[:n])

    with pytest.raises(AssertionError, match=r"prototypes\(\) returns a copy"):
        check_learner(Live)


def test_a_restore_that_changes_something_is_found() -> None:
    class Forgetful(XuILVQCore):
        def restore(self, state: dict[str, Any]) -> None:
            super().restore({**state, "mass": state["mass"] + 1})

    with pytest.raises(AssertionError, match="a restored learner continues like the original"):
        check_learner(Forgetful)
