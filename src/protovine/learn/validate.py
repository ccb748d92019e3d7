"""Checks of what is passed to a learner: shapes, ranges and codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from protovine import values
from protovine.jit import kernel
from protovine.prototypes import FEATURE_MAX

_Number = TypeVar("_Number", bound=np.generic)


def no_number(where: str, value: Any, number: float | None) -> ValueError:
    """The error for a ``value`` that is not usable; ``number`` is what `protovine.values.number` makes of it."""
    hint = ""
    if number is not None and number != number:
        hint = (
            "; this learner takes no missing values: fill them first, for example with river.preprocessing.StatImputer"
        )
    elif isinstance(value, str):
        hint = "; encode text first, for example with river.preprocessing.OneHotEncoder"
    return ValueError(f"{where} must be a finite number within ±{FEATURE_MAX:g}, got {values.shown(value)}{hint}")


def floats_of(array: NDArray[Any], where: Callable[[tuple[int, ...]], str]) -> NDArray[np.float64]:
    """An array of any type as float64, NaN for missing and masked values.

    Raises
    ------
    ValueError
        A value is no number, nor missing; ``where`` tells its place from its index.
    """
    if array.dtype.kind in "biuf":
        with np.errstate(over="ignore"):
            numbers = np.ascontiguousarray(np.ma.getdata(array), dtype=np.float64)
        return np.where(np.ma.getmaskarray(array), np.nan, numbers) if np.ma.isMaskedArray(array) else numbers
    plain, masked = np.ma.getdata(array), np.ma.getmaskarray(array)
    if array.dtype.kind not in "mM":  # NumPy makes plain integers of dates and durations in nanoseconds.
        plain = plain.astype(object)
    numbers = np.empty(array.shape)
    for i, value in np.ndenumerate(plain):
        number = np.nan if masked[i] else values.number(value)
        if number is None:
            raise no_number(where(i), value, None)
        numbers[i] = number
    return numbers


def plain(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """One kind of array, so that kernels are compiled once."""
    if type(x) is np.ndarray and x.dtype == np.float64 and x.flags.carray:
        return x  # type: ignore[return-value]
    return np.require(x, np.float64, ["C", "W", "A"])


def arranged(array: NDArray[_Number]) -> NDArray[_Number]:
    """The array as `plain` would lay it out, with the type that it has: a slice or a read-only one is copied."""
    if type(array) is np.ndarray and array.flags.carray:
        return array
    return np.require(array, requirements=["C", "W", "A"])


def vector_of(x: Any) -> NDArray[np.float64]:
    """An array or a sequence of numbers of any type as float64, NaN for missing ones; ``ValueError`` for others."""
    if type(x) is np.ndarray and x.dtype == np.float64:
        return x
    array = np.asanyarray(x)
    if array.dtype.kind in "US" and not isinstance(x, np.ndarray):
        array = np.array(x, dtype=object)  # NumPy makes text of the numbers beside text.
    return floats_of(array, lambda i: f"feature {', '.join(map(str, i))} of a sample")


def labelled(
    x: NDArray[np.float64], codes: Any, events_ns: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """The rows that have a class code, with their codes as int64, `arranged`; a missing one is None, NaN or masked.

    Raises
    ------
    ValueError
        A code is no whole number.
    """
    if type(codes) is np.ndarray and codes.dtype == np.int64:
        return arranged(x), arranged(codes), arranged(events_ns)
    given = np.asanyarray(codes)
    numbers = floats_of(given, lambda i: f"code {i[0]}")
    known = ~np.isnan(numbers)
    whole = np.where(known, numbers, 0.0).astype(np.int64)
    if known.shape != (len(x),) or len(events_ns) != len(x):
        return x, whole, events_ns  # `check_samples` says what does not fit.
    if (whole[known] != numbers[known]).any():
        raise ValueError(f"codes must be whole numbers, got {values.shown(given.tolist())}")
    return x[known], whole[known], events_ns[known]


def check_vector(x: NDArray[np.float64], dim: int) -> None:
    """``ValueError`` unless ``x`` has shape (dim,)."""
    if x.shape != (dim,):
        raise ValueError(f"a vector must have shape ({dim},), got {x.shape}")


def check_rows(x: NDArray[np.float64], dim: int, missing: bool) -> None:
    """``ValueError`` unless ``x`` (n, dim) is within `FEATURE_MAX`, or NaN where values may be ``missing``."""
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"rows must have shape (n, {dim}), got {x.shape}")
    if not _fits(x, np.zeros(len(x), np.int64), 1, FEATURE_MAX, missing):
        raise ValueError(f"rows must be {'' if missing else 'finite and '}within ±{FEATURE_MAX:g}")


def check_samples(
    x: NDArray[np.float64],
    codes: NDArray[np.int64],
    events_ns: NDArray[np.int64],
    dim: int,
    n_classes: int,
    missing: bool,
) -> None:
    """``ValueError`` unless rows (n, dim) pass `check_rows` and have n codes of classes and n times."""
    n = len(x)
    if codes.dtype != np.int64:
        raise ValueError(f"codes must be int64, got {codes.dtype}")
    if codes.shape != (n,) or events_ns.shape != (n,):
        raise ValueError(f"{n} rows need as many codes and times, got {codes.shape} and {events_ns.shape}")
    if x.shape != (n, dim) or not _fits(x, codes, n_classes, FEATURE_MAX, missing):
        check_rows(x, dim, missing)
        raise ValueError(f"codes must be between 0 and {n_classes - 1}, got {codes.min()} to {codes.max()}")


def check_origins(origins: NDArray[np.int64], n: int) -> None:
    """``ValueError`` unless there is an origin for each of ``n`` received prototypes; kernels count on it."""
    if origins.shape != (n,):
        raise ValueError(f"{n} prototypes need as many origins, got shape {origins.shape}")


@kernel
def all_positive(weights: NDArray[np.float64], most: float) -> bool:
    """Whether every weight is positive and at most ``most``."""
    for t in range(weights.shape[0]):  # noqa: SIM110
        if not 0.0 < weights[t] <= most:
            return False
    return True


@kernel
def _fits(x: NDArray[np.float64], codes: NDArray[np.int64], n_classes: int, feature_max: float, missing: bool) -> bool:
    """Whether every value is within ±feature_max, or NaN where it may be ``missing``, and every code is a class."""
    for t in range(x.shape[0]):
        if codes[t] < 0 or codes[t] >= n_classes:
            return False
        for k in range(x.shape[1]):
            if not abs(x[t, k]) <= feature_max and not (missing and np.isnan(x[t, k])):
                return False
    return True
