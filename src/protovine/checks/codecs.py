"""The contract of codecs of prototype sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.checks.promises import (
    REFUSED,
    check_set,
    copied,
    kept,
    promise,
    refuses,
    same_sets,
    stream,
    unless_refused,
)
from protovine.errors import CodecError
from protovine.prototypes import PrototypeSet
from protovine.share import SetLimits

_DIM, _N_CLASSES, _MOST = 4, 3, 100
# Event times of the set: within a day, at a time as of a real clock.
_SINCE_NS, _DAY_NS = 1_700_000_000 * 10**9, 86_400 * 10**9


def check_codec(
    encode: Callable[[PrototypeSet], bytes],
    decode: Callable[[bytes, SetLimits], PrototypeSet],
    *,
    relative_error: float = 1e-6,
) -> None:
    """A codec decodes the set that it encoded, and refuses invalid bytes with `CodecError` only.

    Parameters
    ----------
    encode : callable (PrototypeSet) -> bytes
    decode : callable (bytes, SetLimits) -> PrototypeSet
    relative_error : float
        Largest error of a vector or weight, relative to its size, and of an event time, relative to a day, which the
        times of the set span.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which, and what was found.

    Examples
    --------
    >>> from protovine.share import decode_set, encode_set
    >>> check_codec(encode_set, decode_set)
    """
    limits = SetLimits(_DIM, _N_CLASSES, _MOST)
    x, codes, _ = stream(_DIM, _N_CLASSES, rows=50)
    draw = np.random.default_rng(5)
    times = _SINCE_NS + draw.integers(0, _DAY_NS, len(x))
    data = b""
    for n in (0, 1, len(x)):
        original = PrototypeSet.of(x[:n].reshape(n, _DIM), codes[:n], weight=np.arange(n), event_ns=times[:n])
        given = copied(original)
        data = kept("encode() raises no error", encode, given)
        promise(isinstance(data, bytes), "an encoded set is bytes", data)
        promise(same_sets(given, original), "encode() does not change its input")
        again = kept("decode() reads what encode() wrote, and raises no error", decode, data, limits)
        check_set(again, "a decoded set", _DIM, _N_CLASSES)
        promise(len(again) == n, f"all prototypes survive, {n}", len(again))
        promise(np.array_equal(again.label, original.label), "labels survive", again.label)
        for what, mine, theirs in (("vectors", again.x, original.x), ("weights", again.weight, original.weight)):
            _close(what, np.abs(mine - theirs), relative_error * np.abs(theirs), relative_error)
        off = np.abs(again.event_ns - original.event_ns)
        _close("event times", off, np.full(n, relative_error * _DAY_NS), relative_error)
    _check_damage(decode, data, limits)
    for wrong in (SetLimits(_DIM + 1, _N_CLASSES), SetLimits(_DIM, _N_CLASSES, 10), SetLimits(_DIM, 1)):
        text = f"a set that breaks {wrong} is refused"
        promise(refuses(text, CodecError, decode, data, wrong), text)


def _close(what: str, off: NDArray[Any], allowed: NDArray[Any], relative_error: float) -> None:
    worst = float((off - allowed).max(initial=0.0))
    promise(worst <= 0, f"{what} survive within a relative error of {relative_error:g}", f"{worst:g} more")


def _check_damage(decode: Callable[[bytes, SetLimits], PrototypeSet], data: bytes, limits: SetLimits) -> None:
    draw = np.random.default_rng(3)
    text = "invalid bytes are refused"
    for _ in range(300):
        damaged = bytearray(data)
        damaged[draw.integers(len(damaged))] ^= int(draw.integers(1, 256))
        for bad in (bytes(damaged), bytes(damaged[: draw.integers(len(damaged))]), draw.bytes(40), b""):
            found = unless_refused(text, CodecError, decode, bad, limits)
            if found is REFUSED:
                continue
            accepted = check_set(found, "an accepted set", _DIM, _N_CLASSES)
            promise(len(accepted) <= _MOST, f"an accepted set has at most {_MOST} prototypes", len(accepted))
