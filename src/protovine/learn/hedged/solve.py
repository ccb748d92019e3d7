"""Cholesky factors of small matrices, in place: calls of LAPACK would take longer than the work, and to compile."""

from __future__ import annotations

import numpy as np

from protovine.jit import inner_kernel
from protovine.learn.hedged.state import Floats


@inner_kernel
def factor(a: Floats) -> None:
    """Replace the lower triangle of a positive definite matrix (n, n) by its Cholesky factor L, with a = L L^T.

    NaN if it is not positive definite.
    """
    for i in range(a.shape[0]):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            a[i, j] = np.sqrt(total) if i == j else total / a[j, j]


@inner_kernel
def substitute(a: Floats, b: Floats) -> None:
    """Replace ``b`` (n,) by the solution of L L^T x = b, for the factor L in the lower triangle of ``a``."""
    n = b.shape[0]
    for i in range(n):
        for k in range(i):
            b[i] -= a[i, k] * b[k]
        b[i] /= a[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            b[i] -= a[k, i] * b[k]
        b[i] /= a[i, i]


@inner_kernel
def invert_factor(a: Floats, out: Floats) -> None:
    """Fill the lower triangle of ``out`` (n, n) with the inverse of the factor in that of ``a``."""
    for j in range(a.shape[0]):
        out[j, j] = 1.0 / a[j, j]
        for i in range(j + 1, a.shape[0]):
            total = 0.0
            for k in range(j, i):
                total -= a[i, k] * out[k, j]
            out[i, j] = total / a[i, i]
