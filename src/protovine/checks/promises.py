"""What all contracts are made of: promises, guarded calls of a part, and the data that parts are tried on."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.prototypes import FEATURE_MAX, PrototypeSet
from protovine.snapshot import pack, unpack

# Values in messages are at most this long.
_SHOWN = 120
_NOTHING = object()
# Stands for what a call did not return.
REFUSED = object()


def promise(holds: Any, text: str, found: Any = _NOTHING) -> None:
    """`AssertionError` with the text of a promise, and the value that was found, unless it ``holds``."""
    if not holds:
        raise AssertionError(text if found is _NOTHING else f"{text}, got {shown(found)}")


def shown(value: Any) -> str:
    """A value in one short line."""
    short = reprlib.Repr()
    short.maxother = short.maxstring = _SHOWN
    return " ".join(short.repr(value).split())


def kept(text: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns; an error that it raises breaks the promise ``text``."""
    try:
        return call(*arguments)
    except Exception as error:  # A part of a user may raise anything.
        raise AssertionError(f"{text}; it raised {type(error).__name__}: {error}") from error


def unless_refused(text: str, kind: type[Exception], call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns, `REFUSED` if it raises ``kind``; any other error breaks the promise ``text``."""
    try:
        return call(*arguments)
    except kind:
        return REFUSED
    except Exception as error:  # As above.
        raise AssertionError(f"{text}, with {kind.__name__}; it raised {type(error).__name__}: {error}") from error


def refuses(text: str, kind: type[Exception], call: Callable[..., Any], *arguments: Any) -> bool:
    """Whether a call raises ``kind``; any other error breaks the promise ``text``."""
    return unless_refused(text, kind, call, *arguments) is REFUSED


class Guarded:
    """A part whose methods break a promise if they raise, or if they are not there.

    Parameters
    ----------
    part : object
    name : str
        What it is, for messages: ``a learner``.
    """

    def __init__(self, part: Any, name: str) -> None:
        self.part, self._name = part, name

    def __getattr__(self, method: str) -> Any:
        found = kept(f"'{method}' of {self._name} can be read", getattr, self.part, method, _NOTHING)
        promise(found is not _NOTHING, f"{self._name} has '{method}'; {type(self.part).__name__} lacks it")
        if not callable(found):
            return found
        return lambda *arguments: kept(f"{method}() of {self._name} raises no error", found, *arguments)

    def __len__(self) -> int:
        return int(kept(f"len() of {self._name} raises no error", len, self.part))


def same_sets(a: PrototypeSet, b: PrototypeSet) -> bool:
    """Whether two sets are equal to the last bit, origins aside."""
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("x", "label", "weight", "event_ns"))


def copied(prototypes: PrototypeSet) -> PrototypeSet:
    """The set in arrays that nothing else has."""
    x, label, weight, event_ns = prototypes.x, prototypes.label, prototypes.weight, prototypes.event_ns
    return PrototypeSet(x.copy(), label.copy(), weight.copy(), event_ns.copy(), prototypes.origin)


def check_set(found: Any, what: str, dim: int, n_classes: int) -> PrototypeSet:
    """A `PrototypeSet` of this shape with finite vectors, weights from 0, and codes of classes; ``what`` names it."""
    promise(isinstance(found, PrototypeSet), f"{what} is a PrototypeSet", found)
    promise(found.dim == dim, f"{what} has {dim} features", found.dim)
    promise((np.abs(found.x) <= FEATURE_MAX).all(), f"{what} has finite vectors within ±{FEATURE_MAX:g}", found.x)
    inside = ((found.weight >= 0) & (found.weight <= FEATURE_MAX)).all()
    promise(inside, f"{what} has finite weights, none negative", found.weight)
    codes = found.label.dtype.kind in "iu" and ((found.label >= 0) & (found.label < n_classes)).all()
    promise(codes, f"{what} has codes of classes, 0 to {n_classes - 1}", found.label)
    times = found.event_ns.dtype.kind in "iu" and (found.event_ns >= 0).all()
    promise(times, f"{what} has event times, whole and from 0", found.event_ns)
    return found  # type: ignore[no-any-return]


def saved(part: Guarded) -> dict[str, Any]:
    """The state of a part, after it was bytes."""
    state = part.state()
    promise(isinstance(state, dict), "state() is a dictionary", state)
    return unpack(kept("state() has only values that protovine.snapshot.pack can save", pack, state))


def check_state_is_a_copy(part: Guarded, go_on: Callable[[], Any]) -> None:
    """A state does not change when its part goes on."""
    state = part.state()
    before = pack(state)
    go_on()
    promise(pack(state) == before, "state() is a copy, which does not change when the part goes on")


def stream(
    dim: int, n_classes: int, rows: int, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Samples (rows, dim) of normal classes, with codes and times; every class is among the first samples."""
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, n_classes, rows)
    codes[:n_classes] = np.arange(n_classes)
    x = draw.normal(size=(rows, dim)) + codes[:, np.newaxis]
    return x, codes, np.arange(rows) * 1_000_000
