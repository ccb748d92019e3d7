"""The contract of learners whose knowledge is a set of prototypes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from protovine.checks.answers import Answers, ask, check_description, check_missing, check_shape
from protovine.checks.promises import (
    Guarded,
    check_state_is_a_copy,
    copied,
    kept,
    promise,
    refuses,
    same_sets,
    saved,
    stream,
)
from protovine.errors import SnapshotError
from protovine.learn import ArrayLearner
from protovine.prototypes import PrototypeSet

_DIM, _N_CLASSES, _ROWS = 3, 3, 200
# Nodes that the received prototypes come from.
_SENDERS = (4, 9)
# When questions are asked: after the last sample.
_AT_NS = 10**9

Samples = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]
Make = Callable[[int, int], ArrayLearner]


def check_learner(make: Make) -> None:
    """A learner predicts before it learns, is deterministic, bounded by its data, and survives a restart.

    It learns what peers send, answers every question of a node with numbers in range, and changes neither its input
    nor, by an answer, itself.

    Parameters
    ----------
    make : callable (dim, n_classes) -> ArrayLearner
        Builds a learner that has learnt nothing. Two of them are alike: a seed is the same each time.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which, and what was found.

    Examples
    --------
    >>> from protovine.learn import XuILVQCore
    >>> check_learner(XuILVQCore)
    >>> class Sure(XuILVQCore):
    ...     def likelihood(self, x, code, at_ns):
    ...         return 17.0 if len(self) else 0.0
    >>> check_learner(Sure)
    Traceback (most recent call last):
    AssertionError: likelihood() is a number from 0 to 1, got 17.0
    """
    empty = _made(make)
    check_shape(empty, _DIM, _N_CLASSES)
    promise(len(empty) == 0, "a new learner holds no prototypes", len(empty))
    ask(empty, _queries(), _AT_NS, _N_CLASSES, has_model=False)
    check_description(empty, _DIM, _N_CLASSES)

    samples = stream(_DIM, _N_CLASSES, _ROWS)
    _check_learning(make, samples)
    learner = _check_receiving(make, samples)
    _check_restart(make, learner)
    if learner.takes_missing:
        check_missing(_made(make), _DIM, _N_CLASSES)


def _made(make: Make, dim: int = _DIM, n_classes: int = _N_CLASSES) -> Guarded:
    return Guarded(kept(f"make({dim}, {n_classes}) builds a learner", make, dim, n_classes), "a learner")


def _queries(dim: int = _DIM) -> NDArray[np.float64]:
    return stream(dim, _N_CLASSES, 10, seed=4)[0]


def _answers(learner: Guarded) -> Answers:
    """What it says of some vectors; a learner may hold nothing yet, if it keeps no received prototypes."""
    return ask(learner, _queries(), _AT_NS, _N_CLASSES, has_model=len(learner) > 0)


def _check_learning(make: Make, samples: Samples) -> None:
    learner = _made(make)
    given = tuple(each.copy() for each in samples)
    inserted = learner.learn(*given)
    unchanged = all(np.array_equal(mine, theirs) for mine, theirs in zip(given, samples, strict=True))
    promise(unchanged, "learning does not change its input")
    counted = isinstance(inserted, int) and 0 < inserted <= _ROWS
    promise(counted, f"learn() is how many of {_ROWS} samples became prototypes, an int from 1", inserted)
    held, answers = _check_held(learner, samples), _answers(learner)
    twin, asked = _made(make), _made(make)
    for row, code, time in zip(*samples, strict=True):
        one = row[np.newaxis], np.array([code]), np.array([time])
        twin.learn(*one)
        asked.predict(row, int(time))
        asked.likelihood(row, int(code), int(time))
        asked.learn(*one)
    promise(same_sets(held, twin.prototypes()), "learning row by row or at once gives the same result")
    promise(answers.same(_answers(twin)), "learning row by row or at once gives the same answers")
    promise(same_sets(held, asked.prototypes()), "predict() and likelihood() learn nothing: the prototypes stay")
    promise(answers.same(_answers(asked)), "predict() and likelihood() learn nothing: the answers stay")


def _check_held(learner: Guarded, samples: Samples) -> PrototypeSet:
    """The set after local samples: valid, bounded by them, and a copy."""
    _, codes, times = samples
    check_description(learner, _DIM, _N_CLASSES)
    held: PrototypeSet = learner.prototypes()
    promise(len(held) == len(learner), f"prototypes() has len(learner) prototypes, {len(learner)}", len(held))
    promise(set(held.label) <= set(codes), "every class comes from the samples", set(held.label.tolist()))
    promise(held.event_ns.max() <= times.max(), "no prototype is newer than its samples", held.event_ns.max())
    before, spoilt = copied(held), learner.prototypes()
    for each in (spoilt.x, spoilt.label, spoilt.weight, spoilt.event_ns):
        if each.flags.writeable:
            each[:] = 0
    promise(same_sets(learner.prototypes(), before), "prototypes() returns a copy")
    return before


def _received(seed: int, newest_ns: int) -> tuple[PrototypeSet, NDArray[np.int64]]:
    x, codes, times = stream(_DIM, _N_CLASSES, 30, seed)
    weight = np.random.default_rng(seed).integers(0, 20, len(x))  # Of some nothing is left: peers may send these.
    origins = np.array(_SENDERS, np.int64)[np.arange(len(x)) % len(_SENDERS)]
    return PrototypeSet.of(x, codes, weight=weight, event_ns=np.minimum(times, newest_ns)), origins


def _receive(learner: Guarded, seed: int) -> None:
    prototypes, origins = _received(seed, newest_ns=_AT_NS)
    given, senders = copied(prototypes), origins.copy()
    inserted = learner.learn_received(given, senders)
    unchanged = same_sets(given, prototypes) and np.array_equal(senders, origins)
    promise(unchanged, "learn_received() does not change its input")
    counted = isinstance(inserted, int) and 0 <= inserted <= len(prototypes)
    promise(counted, f"learn_received() is how many of {len(prototypes)} were inserted, an int from 0", inserted)
    check_description(learner, _DIM, _N_CLASSES)


def _check_receiving(make: Make, samples: Samples) -> Guarded:
    """Received prototypes are learnt before and after local samples; a learner that has learnt both."""
    first, learner, twin = _made(make), _made(make), _made(make)
    _receive(first, seed=5)
    _answers(first)
    for each in (learner, twin):
        each.learn(*samples)
        _receive(each, seed=5)
    same = same_sets(learner.prototypes(), twin.prototypes()) and _answers(learner).same(_answers(twin))
    promise(same, "the same received prototypes give the same result")
    return learner


def _check_restart(make: Make, learner: Guarded) -> None:
    state, answers = saved(learner), _answers(learner)
    restored, twice = _made(make), _made(make)
    restored.restore(state)
    twice.restore(saved(restored))
    twice.restore(twice.state())
    for each in (restored, twice):
        promise(len(each) == len(learner), f"a restored learner is as long as the original, {len(learner)}", len(each))
        promise(_answers(each).same(answers), "a restored learner answers like the original")
    more = stream(_DIM, _N_CLASSES, 100, seed=1)
    late = more[0], more[1], more[2][::-1].copy()  # Labels may come late: event times are in no order.

    def go_on() -> None:
        for each in (learner, restored):
            each.learn(*late)
            _receive(each, seed=6)

    check_state_is_a_copy(learner, go_on)
    same = same_sets(learner.prototypes(), restored.prototypes()) and _answers(learner).same(_answers(restored))
    promise(same, "a restored learner continues like the original")
    for dim, n_classes in (
        (_DIM - 1, _N_CLASSES),
        (_DIM + 1, _N_CLASSES),
        (_DIM, _N_CLASSES - 1),
        (_DIM, _N_CLASSES + 1),
    ):
        _check_other_shape(make, learner, dim, n_classes)


def _check_other_shape(make: Make, learner: Guarded, dim: int, n_classes: int) -> None:
    """A learner of another shape refuses a state, and stays as it is; one with more classes may also go on from it."""
    other, twin = _made(make, dim, n_classes), _made(make, dim, n_classes)
    for each in (other, twin):
        each.learn(*stream(dim, n_classes, 30, seed=2))
    what = f"a state of {_DIM} features and {_N_CLASSES} classes is refused by a learner of {dim} and {n_classes}"
    refused = refuses(what, SnapshotError, other.part.restore, saved(learner))
    promise(refused or n_classes > _N_CLASSES, what)
    check_shape(other, dim, n_classes)
    answers = ask(other, _queries(dim), _AT_NS, n_classes)
    if refused:
        same = same_sets(other.prototypes(), twin.prototypes())
        same = same and answers.same(ask(twin, _queries(dim), _AT_NS, n_classes))
        promise(same, "restore() changes nothing when it refuses a state")
