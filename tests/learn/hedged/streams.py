"""Streams for the tests of the hedged LVQ."""

from __future__ import annotations

import numpy as np

from protovine import load
from protovine.learn import HedgedLVQCore
from protovine.prototypes import PrototypeSet

SECOND = 10**9


def stream(name: str, rows: int | None = None) -> tuple[np.ndarray, np.ndarray, int]:
    """Features, codes and the number of classes; segments come sorted by class, so they are shuffled."""
    data = load(name) if rows is None else load(name, rows=rows)
    order = np.arange(len(data))
    if name == "image-segments":
        order = np.random.default_rng(0).permutation(order)
    return np.ascontiguousarray(data.x[order]), data.y[order], len(data.classes)


def seconds(n: int) -> np.ndarray:
    return np.arange(n) * SECOND


def blobs(rows: int, dim: int = 2, n_classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, n_classes, rows)
    return draw.normal(size=(rows, dim)) + 3 * codes[:, None], codes


def receive(core: HedgedLVQCore, x: np.ndarray, codes: np.ndarray, origin: int, at_ns: int = 0, weight: float = 1.0):
    n = len(codes)
    items = PrototypeSet.of(x, codes, weight=np.full(n, weight), event_ns=np.full(n, at_ns))
    return core.learn_received(items, np.full(n, origin))


def taught() -> tuple[HedgedLVQCore, np.ndarray, np.ndarray]:
    """A learner of 100 local samples, and the whole stream."""
    x, codes = blobs(400)
    core = HedgedLVQCore(2, 2, size_max=60)
    core.learn(x[:100], codes[:100], seconds(100))
    return core, x, codes
