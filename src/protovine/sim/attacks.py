"""Attacks by Byzantine nodes: they run the same software on a corrupted stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protovine import rng
from protovine.errors import ConfigError, suggest

ATTACKS = {
    "label-flip": "every label is another class's, always the same",
    "random-labels": "labels are drawn at random",
    "random-vectors": "vectors and labels are drawn at random, within the data's range",
    "bad-scale": "a sensor's unit is wrong: every feature is 100 times too large",
    "bad-sensor": "the first feature is 10 times too large and 5 standard deviations off",
    "flood": "20 times as many samples with wrong labels, all of them shared, without a budget",
}
FLOOD = 20
_SCALE, _SENSOR_SCALE, _SENSOR_SHIFT = 100.0, 10.0, 5.0


@dataclass(frozen=True, slots=True)
class Byzantine:
    """``nodes`` (ascending) that carry out one attack, ``kind``; none by default."""

    kind: str = ""
    nodes: tuple[int, ...] = ()


def parse_byzantine(text: str, n_nodes: int) -> Byzantine:
    """The last COUNT nodes for ``ATTACK:COUNT``; no node for an empty text.

    Raises
    ------
    ConfigError
        The attack is unknown, or the count leaves no honest node.

    Examples
    --------
    >>> parse_byzantine("flood:1", 5)
    Byzantine(kind='flood', nodes=(4,))
    """
    if not text:
        return Byzantine()
    kind, _, number = text.partition(":")
    if kind not in ATTACKS:
        raise ConfigError(f"unknown attack '{kind}'{suggest(kind, ATTACKS)}")
    count = int(number) if number.isdecimal() else 0
    if not 1 <= count < n_nodes:
        raise ConfigError(f"Byzantine nodes must be 1 to {n_nodes - 1} of {n_nodes}, as ATTACK:COUNT, got '{text}'")
    return Byzantine(kind, tuple(range(n_nodes - count, n_nodes)))


def corrupt(
    byzantine: Byzantine,
    x: NDArray[np.float64],
    y: NDArray[np.int64],
    rows: list[NDArray[np.int64]],
    at_ns: list[NDArray[np.int64]],
    n_classes: int,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Append corrupted copies of the Byzantine nodes' rows to the data; honest nodes keep theirs.

    Parameters
    ----------
    byzantine : Byzantine
    x : float64 array, shape (n, d)
    y : int64 array, shape (n,)
        Samples and class codes, -1 without a label.
    rows, at_ns : list of int arrays
        For each node the rows that it gets, and when.
    n_classes : int
    seed : int

    Returns
    -------
    tuple of x, y, rows and at_ns
        As they came, with copies at the end of the data to which the rows of Byzantine nodes point.

    Examples
    --------
    >>> x, y = np.array([[0.0], [1.0]]), np.array([0, 1])
    >>> rows, at_ns = [np.array([0]), np.array([1])], [np.array([5]), np.array([5])]
    >>> made_x, made_y, made_rows, _ = corrupt(Byzantine("bad-scale", (1,)), x, y, rows, at_ns, n_classes=2, seed=0)
    >>> made_x[made_rows[0]].tolist(), made_x[made_rows[1]].tolist()
    ([[0.0]], [[100.0]])
    """
    xs, ys, rows, at_ns = [x], [y], list(rows), list(at_ns)
    count = len(y)
    for node in byzantine.nodes:
        draw = rng.stream(seed, "hostile", node)  # The name stays, so that recorded numbers can be made again.
        mine, times = rows[node], at_ns[node]
        if byzantine.kind == "flood":
            gaps = np.diff(times, append=times[-1] if len(times) else 0)
            parts = np.arange(FLOOD) / FLOOD
            times = (times[:, np.newaxis] + gaps[:, np.newaxis] * parts).astype(np.int64).ravel()
            mine = np.repeat(mine, FLOOD)
        made_x, made_y = Corruption(byzantine.kind, x, n_classes, draw).of(x[mine], y[mine])
        xs.append(made_x)
        ys.append(made_y)
        rows[node], at_ns[node] = np.arange(count, count + len(made_y)), times
        count += len(made_y)
    return np.concatenate(xs), np.concatenate(ys), rows, at_ns


class Corruption:
    """What an attack makes of samples.

    Parameters
    ----------
    kind : str
        One of `ATTACKS`.
    x : float64 array, shape (n, d)
        The honest data, for ranges and deviations of features.
    n_classes : int
    draw : numpy Generator
        Draws what is random.
    """

    def __init__(self, kind: str, x: NDArray[np.float64], n_classes: int, draw: np.random.Generator) -> None:
        self.kind, self._n_classes, self._draw = kind, n_classes, draw
        self._low, self._high = x.min(axis=0), x.max(axis=0)
        self._first, self._deviation = x[:, 0].std(), x.std(axis=0)

    def of(self, x: NDArray[np.float64], y: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Corrupted copies of samples (k, d) with their class codes (k,); a sample without a label gets none."""
        made_x, made_y = x.copy(), y.copy()
        if self.kind in ("label-flip", "flood"):
            made_y = (made_y + 1) % self._n_classes
        if self.kind in ("random-labels", "random-vectors"):
            made_y = self._draw.integers(0, self._n_classes, len(made_y))
        if self.kind == "random-vectors":
            made_x = self._draw.uniform(self._low, self._high, made_x.shape)
        elif self.kind == "bad-scale":
            made_x *= _SCALE
        elif self.kind == "bad-sensor":
            made_x[:, 0] = made_x[:, 0] * _SENSOR_SCALE + _SENSOR_SHIFT * self._first
        elif self.kind == "flood":
            made_x += 0.2 * self._deviation * self._draw.standard_normal(made_x.shape)
        made_y[y < 0] = -1
        return made_x, made_y
