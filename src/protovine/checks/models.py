"""The contract of learners that share whole models."""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.checks.answers import Answers, ask, check_description, check_missing, check_prediction, check_shape
from protovine.checks.promises import Guarded, check_state_is_a_copy, kept, promise, refuses, saved, stream
from protovine.errors import CodecError, SnapshotError
from protovine.learn import ModelLearner
from protovine.snapshot import pack

_DIM, _N_CLASSES, _ROWS = 3, 3, 200
_AT_NS = 10**9
# The peer whose models are adopted, and how often one model of it is adopted again.
_PEER, _AGAIN = 7, 30
# Damaged models that are tried, and places of numbers that are not finite.
_DAMAGED, _PLACES = 300, 60
# What no number in a model may be, as the bytes of the usual types.
_NOT_FINITE = tuple(struct.pack(f"<{kind}", value) for kind in "efd" for value in (np.nan, np.inf))

Make = Callable[..., ModelLearner]


def check_model_learner(make: Make, *, refuses_damage: bool = True, tolerance: float = 1e-3) -> None:
    """A learner that shares its model predicts before it learns, is deterministic and survives a restart. Its model
    works at other nodes, and what is no model changes nothing there.

    Parameters
    ----------
    make : callable (dim, n_classes) -> ModelLearner, or callable () -> ModelLearner
        Builds a learner that has learnt nothing; all belong to one swarm. Without required arguments it builds one of
        3 features and 3 classes; then the check cannot try a state of another shape.
    refuses_damage : bool
        Whether `decode` refuses all damaged bytes, and not only those that are no model.
    tolerance : float
        Largest difference between the probabilities of a model here and at another node. A model that is sent as int8
        needs more than one that is sent as float32.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which, and what was found.

    Examples
    --------
    >>> from protovine.learn import LogisticCore
    >>> check_model_learner(LogisticCore, refuses_damage=False)
    """
    made = _maker(make)
    new = made()
    check_shape(new, _DIM, _N_CLASSES)
    promise(len(new) == 0, "a new learner has no model", len(new))
    promise(new.encode() == b"", "a new learner has no model to send", new.encode())
    _answers(new, has_model=False)
    check_description(new, _DIM, _N_CLASSES)

    learner = _check_learning(made)
    payload = _check_exchange(made, learner, tolerance)
    _check_newer(made, payload, tolerance)
    _check_restart(made, payload)
    _check_damage(made, payload, refuses_damage)
    _check_not_finite(made)
    if learner.takes_missing:
        check_missing(made(), _DIM, _N_CLASSES)
    if _takes_shape(make):
        _check_other_shape(made)


def _takes_shape(make: Make) -> bool:
    try:
        inspect.signature(make).bind()
    except TypeError:
        return True
    except ValueError:  # A class without a signature.
        return False
    return False


def _maker(make: Make) -> Callable[..., Guarded]:
    takes_shape = _takes_shape(make)

    def made(dim: int = _DIM, n_classes: int = _N_CLASSES) -> Guarded:
        arguments = (dim, n_classes) if takes_shape else ()
        return Guarded(kept(f"make{arguments} builds a learner", make, *arguments), "a learner")

    return made


def _answers(learner: Guarded, has_model: bool = True, n_classes: int = _N_CLASSES) -> Answers:
    return ask(learner, stream(learner.dim, _N_CLASSES, 10, seed=4)[0], _AT_NS, n_classes, has_model)


def _learnt(made: Callable[..., Guarded], seed: int = 0, turned: int = 0) -> Guarded:
    """A learner of some samples, whose classes may be ``turned`` into each other."""
    learner = made()
    x, codes, times = stream(_DIM, _N_CLASSES, _ROWS, seed)
    learner.learn(x, (codes + turned) % _N_CLASSES, times)
    return learner


def _check_learning(made: Callable[..., Guarded]) -> Guarded:
    samples = stream(_DIM, _N_CLASSES, _ROWS)
    given = tuple(each.copy() for each in samples)
    learner, twin, asked = made(), made(), made()
    inserted = learner.learn(*given)
    unchanged = all(np.array_equal(mine, theirs) for mine, theirs in zip(given, samples, strict=True))
    promise(unchanged, "learning does not change its input")
    promise(isinstance(inserted, int), "learn() is how many samples became prototypes, an int", inserted)
    for row, code, time in zip(*samples, strict=True):
        one = row[np.newaxis], np.array([code]), np.array([time])
        twin.learn(*one)
        asked.predict(row, int(time))
        asked.likelihood(row, int(code), int(time))
        asked.encode()
        asked.learn(*one)
    promise(len(learner) == 1, "the local model counts as one", len(learner))
    answers = _answers(learner)
    promise(answers.same(_answers(twin)), "learning row by row or at once gives the same result")
    promise(answers.same(_answers(asked)), "predict(), likelihood() and encode() learn nothing: the answers stay")
    check_description(learner, _DIM, _N_CLASSES)
    return learner


def _close(text: str, mine: Answers, theirs: Answers, tolerance: float) -> None:
    off = float(np.abs(mine.proba - theirs.proba).max())
    promise(off <= tolerance, f"{text} within {tolerance:g}", off)


def _check_exchange(made: Callable[..., Guarded], learner: Guarded, tolerance: float) -> bytes:
    """A model is bytes, which another learner decodes without a change, and adopts."""
    payload: bytes = learner.encode()
    promise(isinstance(payload, bytes) and payload, "a model is bytes", payload)
    answers, other = _answers(learner), made()
    other.adopt(_PEER, other.decode(memoryview(payload)))
    promise(len(other) == 1, "a received model counts as one", len(other))
    _close("a model predicts the same at another node", answers, _answers(other), tolerance)
    check_description(other, _DIM, _N_CLASSES)

    turned = _learnt(made, seed=5, turned=1).encode()
    reader, twin = _learnt(made), _learnt(made)
    reader.decode(turned)
    promise(_answers(reader).same(_answers(twin)), "decode() changes nothing, not the local model either")
    promise(len(reader) == 1, "decode() changes nothing: the local model counts as one", len(reader))
    return payload


def _check_newer(made: Callable[..., Guarded], payload: bytes, tolerance: float) -> None:
    """A newer model takes the place of the one before; the same model again adds nothing."""
    learner, turned = made(), _learnt(made, seed=5, turned=1).encode()
    learner.adopt(_PEER, learner.decode(turned))
    before = _answers(learner)
    learner.adopt(_PEER, learner.decode(payload))
    off = np.abs(_answers(learner).proba - before.proba).max()
    promise(off > 0, "a newer model of a peer counts: predictions change")

    one = made()
    sizes = []
    for _ in range(_AGAIN):
        one.adopt(_PEER, one.decode(payload))
        sizes.append(len(pack(one.state())))
    promise(len(one) == 1, f"{_AGAIN} models of one peer count as one", len(one))
    once = made()
    once.adopt(_PEER, once.decode(payload))
    text = f"the same model {_AGAIN} times predicts as once"
    _close(text, _answers(one), _answers(once), max(tolerance, 1e-6))
    grown = sizes[-1] - sizes[0]
    text = f"the state holds the newest model of a peer, and does not grow by each of {_AGAIN}"
    promise(grown < _AGAIN * len(payload) / 2, text, f"{grown} bytes more")


def _check_restart(made: Callable[..., Guarded], payload: bytes) -> None:
    """A state has the local model and those of the peers."""
    learner = _learnt(made, seed=5, turned=1)
    learner.adopt(_PEER, learner.decode(payload))
    restored, twice = made(), made()
    restored.restore(saved(learner))
    twice.restore(saved(restored))
    twice.restore(twice.state())
    answers = _answers(learner)
    for each in (restored, twice):
        promise(len(each) == len(learner), f"a restored learner has {len(learner)} models", len(each))
        text = "a restored learner answers like the original, with the models of its peers"
        promise(_answers(each).same(answers), text)

    def go_on() -> None:
        for each in (learner, restored):
            each.learn(*stream(_DIM, _N_CLASSES, 100, seed=1))
            each.adopt(_PEER + 1, each.decode(payload))

    check_state_is_a_copy(learner, go_on)
    promise(_answers(learner).same(_answers(restored)), "a restored learner continues like the original")


def _check_damage(made: Callable[..., Guarded], payload: bytes, refuses_damage: bool) -> None:
    """What is no model is refused; damaged bytes that are one give probabilities."""
    for what, bad in (
        ("no bytes", b""),
        ("a model cut short", payload[: len(payload) // 2]),
        ("a model without its last byte", payload[:-1]),
        ("a model with a byte too many", payload + b"\0"),
        ("a model twice", payload * 2),
    ):
        text = f"decode() refuses {what}"
        promise(refuses(text, CodecError, made().part.decode, bad), text)
    target = made()
    for bad in _damaged(payload):
        if _is_taken(target, bad, refuses_damage, "decode() refuses damaged bytes"):
            target = made()


def _damaged(payload: bytes) -> Iterator[bytes]:
    draw = np.random.default_rng(3)
    for _ in range(_DAMAGED):
        damaged = bytearray(payload)
        damaged[draw.integers(len(damaged))] ^= int(draw.integers(1, 256))
        yield bytes(damaged)
        yield bytes(damaged[: draw.integers(len(damaged))])
        yield draw.bytes(40)
    for place in np.unique(np.linspace(0, len(payload) - 1, _PLACES, dtype=int)):
        for number in _NOT_FINITE:
            damaged = bytearray(payload)
            damaged[place : place + len(number)] = number[: len(payload) - place]
            if damaged != payload:
                yield bytes(damaged)


def _is_taken(target: Guarded, bad: bytes, refuses_damage: bool, text: str) -> bool:
    """Whether a new learner takes these bytes as a model. It then predicts with them, else it stays new."""
    if refuses(text, CodecError, lambda: target.part.adopt(_PEER, target.part.decode(bad))):
        promise(len(target) == 0, "a refused model changes nothing: there are no models", len(target))
        return False
    promise(not refuses_damage, text, bad)
    for row in stream(_DIM, _N_CLASSES, 3, seed=4)[0]:
        check_prediction(target.predict(row), _N_CLASSES)
    return True


def _check_not_finite(made: Callable[..., Guarded]) -> None:
    """A peer may send a model that has become NaN, with a good checksum: made here by a state of NaN."""
    broken = made()
    try:
        broken.part.restore(_without_numbers(saved(_learnt(made))))
        with np.errstate(all="ignore"):
            payload = broken.part.encode()
    except Exception:  # Such a learner cannot come about.
        return
    if payload:
        _is_taken(made(), payload, False, "decode() refuses a model that is not finite")


def _without_numbers(value: Any) -> Any:
    """A state whose arrays of floats are NaN."""
    if isinstance(value, dict):
        return {key: _without_numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_numbers(each) for each in value]
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        nothing: NDArray[Any] = np.full_like(value, np.nan)
        return nothing
    return value


def _check_other_shape(made: Callable[..., Guarded]) -> None:
    """Learners of another shape refuse the state and the model of this one, and stay as they are."""
    learner = _learnt(made)
    for dim, n_classes in ((_DIM - 1, _N_CLASSES), (_DIM + 1, _N_CLASSES), (_DIM, _N_CLASSES - 1)):
        other, twin = made(dim, n_classes), made(dim, n_classes)
        for each in (other, twin):
            each.learn(*stream(dim, n_classes, 30, seed=2))
        where = f"of {_DIM} features and {_N_CLASSES} classes is refused by a learner of {dim} and {n_classes}"
        text = f"a state {where}"
        promise(refuses(text, SnapshotError, other.part.restore, saved(learner)), text)
        check_shape(other, dim, n_classes)
        same = _answers(other, n_classes=n_classes).same(_answers(twin, n_classes=n_classes))
        promise(same, "restore() changes nothing when it refuses a state")
