"""Checks of what is passed to a learner: shapes, ranges and codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protovine.jit import kernel
from protovine.prototypes import FEATURE_MAX


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
    if codes.shape != (n,) or events_ns.shape != (n,):
        raise ValueError(f"{n} rows need as many codes and times, got {codes.shape} and {events_ns.shape}")
    if x.shape != (n, dim) or not _fits(x, codes, n_classes, FEATURE_MAX, missing):
        check_rows(x, dim, missing)
        raise ValueError(f"codes must be between 0 and {n_classes - 1}, got {codes.min()} to {codes.max()}")


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
