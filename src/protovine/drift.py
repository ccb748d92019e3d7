"""Drift of a node's own stream: River's detectors on its errors, its surprisal, its labels and its features."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protovine.errors import ConfigError, suggest

# What has changed: the frequencies of the labels, the features, or how one follows from the other.
KINDS = ("labels", "features", "relation")
# Page-Hinkley by signal: the change that is small enough to be ignored, about half of one that matters, and how far the
# sum of larger ones must go. River's own, 0.005 and 50, are for longer streams: a node has a few hundred samples.
_PAGE_HINKLEY = {"error": (0.1, 8.0), "surprisal": (0.3, 15.0), "labels": (0.1, 15.0), "features": (0.3, 30.0)}
# Chance of a false alarm per test, shared by the detectors of all features. A test of KSWIN is another one each time.
_ADWIN_DELTA, _KSWIN_ALPHA = 0.002, 0.0005
# Features that are watched: the first ones.
_FEATURES_MAX = 16
# The most bits that one surprisal counts: one impossible sample raises no alarm.
_BITS_MAX = 6.0
# Samples before anything is watched: at first every stream is new.
_FIRST = 30
# The newest values that show whether an error has risen.
_RECENT = 30
# Local samples within which alarms are about one drift.
_TOGETHER = 100


class Alarm(NamedTuple):
    """``detector`` on ``signal`` says that there is a drift of this ``kind``."""

    detector: str
    signal: str
    kind: str


def detectors(seed: int) -> dict[str, Callable[[str, int], Any]]:
    """River's detectors by name: functions of a signal and of how many detectors share the chance of a false alarm.

    Parameters
    ----------
    seed : int
        For a detector that draws.

    Returns
    -------
    dict of str to callable (signal, shared) -> detector
        ``signal`` is ``error``, ``surprisal``, ``labels`` or ``features``.

    Examples
    --------
    >>> adwin = detectors(seed=0)["adwin"]("error", 1)
    >>> alarms = []
    >>> for i in range(200):
    ...     adwin.update(float(i >= 100))
    ...     alarms += [i] if adwin.drift_detected else []
    >>> 100 < alarms[0] < 120
    True
    """
    from river import drift as river_drift

    drift: Any = river_drift  # River's types are not known here.
    return {
        # A good learner recovers within some samples: a test only every 32 samples would come too late.
        "adwin": lambda signal, shared: drift.ADWIN(delta=_ADWIN_DELTA / shared, clock=1),
        "page-hinkley": lambda signal, shared: drift.PageHinkley(
            delta=_PAGE_HINKLEY[signal][0], threshold=_PAGE_HINKLEY[signal][1]
        ),
        "kswin": lambda signal, shared: drift.KSWIN(alpha=_KSWIN_ALPHA / shared, seed=seed),
    }


class DriftWatch:
    """Watches a stream through one detector for each signal, and says what has changed.

    An alarm of the errors or of the surprisal counts only if they have risen. It is a drift of the relation between
    features and label, unless a detector of the labels or of the features raised an alarm within the last 100 samples.

    Parameters
    ----------
    name : str
        ``adwin``, ``page-hinkley`` or ``kswin``.
    dim : int
        Number of features; the first 16 are watched.
    seed : int
        For a detector that draws.

    Raises
    ------
    ConfigError
        There is no such detector.

    Examples
    --------
    >>> watch = DriftWatch("adwin", dim=1, seed=0)
    >>> found = [watch.note(np.array([0.5]), i % 2, float(i > 300), 0.5) for i in range(400)]
    >>> [alarm for alarm in found if alarm]
    [Alarm(detector='adwin', signal='error', kind='relation')]
    """

    def __init__(self, name: str, dim: int, seed: int = 0) -> None:
        known = detectors(seed)
        if name not in known:
            raise ConfigError(f"unknown drift detector '{name}'{suggest(name, known)}")
        self.name = name
        self._watched = min(dim, _FEATURES_MAX)
        self._rising = {signal: _Rising(known[name](signal, 1)) for signal in ("error", "surprisal")}
        self._labels = known[name]("labels", 1)
        self._features = [known[name]("features", self._watched) for _ in range(self._watched)]
        self._n = 0
        self._mean, self._squares = np.zeros(self._watched), np.zeros(self._watched)
        self._newest: dict[str, int] = {}  # Of each kind the sample of the newest alarm.

    def note(self, x: NDArray[np.float64], y: int, error: float, surprisal_bits: float) -> Alarm | None:
        """A local sample was learnt; the alarm that it raises, if any.

        Parameters
        ----------
        x : float64 array, shape (d,)
        y : int
            Class code.
        error : float
            1 if it was predicted wrongly, else 0.
        surprisal_bits : float
            Before it was learnt.
        """
        self._n += 1
        causes = self._causes(x[: self._watched], y)
        raised = [
            signal
            for signal, value in (("error", error), ("surprisal", min(surprisal_bits, _BITS_MAX)))
            if self._n > _FIRST and self._rising[signal].note(value)
        ]
        for kind in causes:
            if self._is_new(kind):
                return Alarm(self.name, kind, kind)
        if raised and not any(self._n - at <= _TOGETHER for at in self._newest.values()) and self._is_new("relation"):
            return Alarm(self.name, raised[0], "relation")
        return None

    def _causes(self, x: NDArray[np.float64], y: int) -> list[str]:
        """Which of the labels and the features have changed."""
        known = ~np.isnan(x)
        if self._n <= _FIRST:
            step = np.where(known, x - self._mean, 0.0)
            self._mean += step / self._n
            self._squares += step * np.where(known, x - self._mean, 0.0)
            return []
        deviation = np.sqrt(self._squares / _FIRST)
        z = np.clip((x - self._mean) / np.where(deviation > 0, deviation, 1.0), -5.0, 5.0)
        changed = False
        for place in np.flatnonzero(known).tolist():
            self._features[place].update(float(z[place]))
            changed |= bool(self._features[place].drift_detected)
        self._labels.update(float(y))
        return ["labels"] * bool(self._labels.drift_detected) + ["features"] * changed

    def _is_new(self, kind: str) -> bool:
        new = self._n - self._newest.get(kind, -_TOGETHER - 1) > _TOGETHER
        self._newest[kind] = self._n
        return new


class _Rising:
    """A detector that counts only while its signal is above its mean since the last alarm."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._sum, self._n = 0.0, 0

    def note(self, value: float) -> bool:
        self._recent.append(value)
        self._sum += value
        self._n += 1
        self._detector.update(value)
        if not self._detector.drift_detected:
            return False
        risen = sum(self._recent) / len(self._recent) > self._sum / self._n
        self._sum, self._n = 0.0, 0
        return risen
