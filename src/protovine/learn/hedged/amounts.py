"""Skewed amounts: a young learner puts them on a logarithmic scale where it would have predicted better on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from protovine.learn.hedged.experts import PLAIN
from protovine.learn.hedged.pool import INPUT_MIN
from protovine.learn.hedged.state import FRESH, SIZE, WEIGHT, State
from protovine.logscale import LINEAR, LogScales, from_log, skewed, to_log

# When a learner compares scales, in local samples. After the last time it forgets its first samples.
COMPARED_AT = (50, 100, 200, 400)
# What logarithmic scales must save in log loss, over the last three quarters of the first samples, also to be kept.
GAIN_MIN = 3.0


class Beginner(Protocol):
    """A learner that has learnt nothing and compares no scales, with the settings of the one that does."""

    def prequential(
        self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predict each row, then learn it: codes (n,) and probabilities (n, n_classes)."""

    def state(self) -> dict[str, Any]:
        """What it has learnt; ``arrays`` has the fields of `State`."""


def log_scales(s: State) -> LogScales:
    """The features that are on a logarithmic scale."""
    if not s.log_unit.any():
        return LINEAR
    columns = np.flatnonzero(s.log_unit)
    return LogScales(columns, s.log_origin[columns], s.log_unit[columns])


def measured(x: NDArray[np.float64], s: State) -> NDArray[np.float64]:
    """A copy of vectors (..., d) of the state, as they were measured."""
    return from_log(x, log_scales(s))


def scale(s: State) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the features on their scales."""
    return s.mean.copy(), np.sqrt(s.spread / max(float(s.scalars[WEIGHT]), 1.0))


def measured_scale(s: State) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the features as they are measured; of amounts, those of the prototypes."""
    mean, deviation = scale(s)
    columns, n = log_scales(s).columns, s.counts[SIZE]
    if len(columns):
        x, mass = measured(s.x[:n], s)[:, columns], s.local[:n, PLAIN] + s.received[:n, PLAIN]
        mean[columns] = np.average(x, axis=0, weights=mass)
        deviation[columns] = np.sqrt(np.average(np.square(x - mean[columns]), axis=0, weights=mass))
    return mean, deviation


class FirstSamples:
    """The first local samples of a learner, as they were measured."""

    def __init__(self) -> None:
        self._x, self._codes, self._events = np.empty((0, 0)), np.empty(0, np.int64), np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._codes)

    def note(self, x: NDArray[np.float64], codes: NDArray[np.int64], events_ns: NDArray[np.int64]) -> None:
        """Keep rows (n, d)."""
        self._x = np.concatenate([self._x, x]) if len(self) else x.copy()
        self._codes, self._events = np.append(self._codes, codes), np.append(self._events, events_ns)

    def better_scales(self, s: State, beginner: Callable[[], Beginner]) -> tuple[LogScales, Beginner] | None:
        """Scales on which a learner predicts these samples better than on those of ``s``, and that learner.

        A ``beginner`` each learns the samples on linear scales, on those of now, and on logarithmic ones for all
        features that look like amounts. None if it is not time, or if the scales of now are good enough.
        """
        if len(self) not in COMPARED_AT:
            return None
        now, found = log_scales(s), skewed(np.where(np.isnan(self._x), measured(s.mean, s), self._x))
        candidates = [scales for scales in (now, found) if len(scales.columns)]
        if not candidates:
            return None
        best, learner = LINEAR, beginner()
        least = self._loss(learner, LINEAR)
        for scales in candidates:
            other = beginner()
            loss = self._loss(other, scales)
            if loss < least - GAIN_MIN:
                best, learner, least = scales, other, loss
        return None if best.same_as(now) else (best, learner)

    def _loss(self, learner: Beginner, scales: LogScales) -> float:
        proba = learner.prequential(to_log(self._x, scales), self._codes, self._events)[1]
        right = proba[np.arange(len(self)), self._codes]
        return float(-np.log(np.maximum(right, INPUT_MIN))[len(self) // 4 :].sum())

    def state(self) -> dict[str, NDArray[Any]]:
        """For a snapshot."""
        return {"x": self._x, "codes": self._codes, "events": self._events}

    @classmethod
    def restored(cls, state: dict[str, Any] | None, dim: int, n_classes: int) -> FirstSamples | None:
        """From `state`; ``ValueError`` if it does not fit. None for a learner that compares no more."""
        if state is None:
            return None
        x, codes, events = (np.asarray(state[name]) for name in ("x", "codes", "events"))
        made, n = cls(), len(codes)
        if not n:
            return made
        fits = x.shape == (n, dim) and codes.shape == events.shape == (n,) and not np.isinf(x).any()
        fits = fits and n <= COMPARED_AT[-1] and codes.dtype.kind == events.dtype.kind == "i"
        if not fits or (codes < 0).any() or (codes >= n_classes).any():
            raise ValueError("first samples that do not fit")
        made.note(x, codes, events)
        return made


def rescale(s: State, scales: LogScales) -> None:
    """Put vectors on other scales; moments and metrics must be learnt again."""
    for array in (s.x[: s.counts[SIZE]], s.query, s.local_low, s.local_high):
        array[:] = to_log(measured(array, s), scales)
    s.log_origin[:], s.log_unit[:] = 0.0, 0.0
    s.log_origin[scales.columns], s.log_unit[scales.columns] = scales.origin, scales.unit
    s.counts[FRESH] = 0


def take_over(s: State, learner: Beginner) -> None:
    """Take what prototypes cannot tell from a ``learner``, by which the first samples were learnt on these scales."""
    learnt = learner.state()["arrays"]
    s.linear[:], s.relief[:], s.relevance[:] = learnt["linear"], learnt["relief"], learnt["relevance"]
