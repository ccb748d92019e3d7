"""What a key that a sample's dictionary lacks counts as: 0, as in sparse data, or a missing value of a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.arrays import owned
from protovine.errors import SnapshotError
from protovine.jit import inner_kernel, kernel

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# What the learners' parameter ``absent`` takes.
ABSENT = ("auto", "zero", "missing")

# A key is a measurement if it is in more than this part of the samples, and has had this many values,
ALMOST_ALWAYS, VALUES_FEW = 0.9, 4
# or in more than this part with values that lie this many standard deviations from 0, and has had this many.
SOMETIMES, FAR_FROM_ZERO, VALUES_MIN = 0.25, 4.0, 8
# Of a measurement no single value makes up more than this fraction; of words, codes and flags one does, as a rule 1.
REPEATED = 0.6
# A key that is new, and that this many samples in a row have from then on, had only not been there yet: earlier samples
# get its mean.
STARTED_LATE = 16
# A key that counts as a measurement remains one in looser bounds, so that none goes to and fro.
LOOSER = 0.8

# Rows of the table of keys: samples without the key since its first one, number of samples before its first one (-1
# as long as there is none), and of its values their number, mean, sum of squared deviations, and the candidate for the
# value that makes up more than half of them, with its lead over all others (Boyer and Moore's majority vote). The last
# row marks what the last review has found.
N_COUNTS = 8
LACKED, BEFORE, VALUES, MEAN, SPREAD, CANDIDATE, LEAD, TURNED = range(N_COUNTS)
# Samples whose values are always noted; later only every 64th of those that have all keys. And between two reviews.
NOTED, NOTED_EVERY, REVIEWED_EVERY = 64, 64, 8


@kernel
def is_measurement(there: float, values: float, repeated: float, mean: float, deviation: float, bounds: float) -> bool:
    """Whether a key is a measurement that drops out where a sample lacks it; if not, it counts as 0 there.

    Parameters
    ----------
    there : float in [0, 1]
        Fraction of the samples that have the key.
    values : float
        Number of its values; missing ones (None, NaN) are not counted.
    repeated : float in [0, 1]
        Fraction of the values that are equal to the most frequent one.
    mean, deviation : float
        Mean and standard deviation of the values.
    bounds : float
        1, or `LOOSER` for a key that counted as a measurement before.

    Examples
    --------
    A word's count, a sensor that fails in 60 % of the samples, and one near 0 that fails in 5 %:

    >>> is_measurement(0.7, 100.0, 0.55, 1.8, 0.9, 1.0)
    False
    >>> is_measurement(0.4, 100.0, 0.01, 1013.0, 5.0, 1.0), is_measurement(0.95, 100.0, 0.01, 0.2, 1.0, 1.0)
    (True, True)
    """
    if repeated * bounds > REPEATED:
        return False
    if there > ALMOST_ALWAYS * bounds and values >= VALUES_FEW:
        return True
    return there > SOMETIMES * bounds and values >= VALUES_MIN and abs(mean) > FAR_FROM_ZERO * bounds * deviation


class Presence:
    """Which keys a learner's own dictionaries have had, and what it counts those as that a sample lacks.

    A key that no own sample has had yet, but samples of peers, is missing where a sample lacks it.

    ``samples`` counts own samples. From ``noted_until`` on, one that has all keys need not be noted but only counted,
    except for every `NOTED_EVERY`-th.
    """

    def __init__(self) -> None:
        self.samples = 0
        self.table = np.zeros((N_COUNTS, 0))
        self.measured = np.zeros(0, np.bool_)
        self.noted_until = NOTED

    def widen(self, dim: int) -> None:
        """Add keys up to ``dim``; all are missing until an own sample has them."""
        more = dim - self.table.shape[1]
        self.table = np.hstack([self.table, np.zeros((N_COUNTS, more))])
        self.table[BEFORE, dim - more :] = -1.0
        self.measured = np.concatenate([self.measured, np.ones(more, np.bool_)])
        self.noted_until = self.samples + NOTED

    def blank(self, received: bool = False) -> Floats:
        """A vector (d,) of what every key counts as where a sample lacks it: 0, or NaN for missing.

        In a ``received`` sample, which may come from a device with other sensors, keys of which little is known yet are
        missing as well.
        """
        missing = self.measured
        if received:
            missing = missing | (self.table[VALUES] < VALUES_MIN)
        return np.where(missing, np.nan, 0.0)

    def note(self, values: Floats, there: Flags | None = None) -> tuple[NDArray[np.intp], Floats, Floats] | None:
        """Count a sample with ``values`` (d,), NaN for missing ones; keys that are not ``there`` (d,) are NaN too.

        Columns, means and deviations of keys that counted as 0 in samples without them, and turn out to be measurements
        far from 0, or to have been there ever since they were new; None if there are none.
        """
        if there is None:
            there = np.ones(len(values), np.bool_)
        is_reviewed = self.samples < self.noted_until or self.samples % REVIEWED_EVERY == 0
        turned = _note(values, there, self.samples, is_reviewed, self.table, self.measured)
        self.samples += 1
        if not turned:
            return None
        columns = np.flatnonzero(self.table[TURNED])
        deviation = np.sqrt(self.table[SPREAD, columns] / self.table[VALUES, columns])
        return columns, self.table[MEAN, columns], deviation

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.table, self.measured = owned(self.table), owned(self.measured)

    def state(self) -> dict[str, Any]:
        """All counts."""
        return {
            "samples": self.samples,
            "table": self.table.copy(),
            "measured": self.measured.copy(),
            "noted_until": self.noted_until,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``; `SnapshotError` if it is not one of as many keys."""
        table, measured = np.asarray(state["table"]), np.asarray(state["measured"])
        fits = table.shape == self.table.shape and measured.shape == self.measured.shape
        if not fits or measured.dtype != np.bool_ or not np.isfinite(table).all() or state["samples"] < 0:
            raise SnapshotError(f"the counts of keys do not fit {len(self.measured)} features")
        self.table, self.measured = table.astype(np.float64), measured
        self.samples, self.noted_until = int(state["samples"]), int(state["noted_until"])


@kernel
def _note(values: Floats, there: Flags, samples: int, is_reviewed: bool, table: Floats, measured: Flags) -> bool:
    """Count a sample after ``samples`` earlier ones, then review all keys; whether `TURNED` marks any."""
    turned = False
    for k in range(values.shape[0]):
        if there[k] and table[BEFORE, k] < 0.0:
            table[BEFORE, k], measured[k] = samples, False
        elif table[BEFORE, k] >= 0.0 and not there[k]:
            table[LACKED, k] += 1.0
        if not np.isnan(values[k]):
            _note_value(values[k], k, table)
        if is_reviewed:
            table[TURNED, k] = _turns(k, samples + 1, table, measured)
            turned = turned or table[TURNED, k] > 0.0
    return turned


@inner_kernel
def _note_value(value: float, k: int, table: Floats) -> None:
    """Update the moments of key ``k`` (Welford), and its majority vote."""
    table[VALUES, k] += 1.0
    delta = value - table[MEAN, k]
    table[MEAN, k] += delta / table[VALUES, k]
    table[SPREAD, k] += delta * (value - table[MEAN, k])
    if value == table[CANDIDATE, k]:
        table[LEAD, k] += 1.0
    elif table[LEAD, k] <= 0.0:
        table[CANDIDATE, k], table[LEAD, k] = value, 1.0
    else:
        table[LEAD, k] -= 1.0


@inner_kernel
def _turns(k: int, samples: int, table: Floats, measured: Flags) -> float:
    """Decide about key ``k``; 1 if samples without it were taken for zeros and are not, otherwise 0."""
    if table[BEFORE, k] < 0.0:
        return 0.0
    before, number, lacked = measured[k], max(table[VALUES, k], 1.0), table[LACKED, k]
    deviation = np.sqrt(table[SPREAD, k] / number)
    measured[k] = is_measurement(
        1.0 - lacked / (samples - table[BEFORE, k]),
        table[VALUES, k],
        0.5 + 0.5 * table[LEAD, k] / number,
        table[MEAN, k],
        deviation,
        LOOSER if before else 1.0,
    )
    if table[BEFORE, k] > 0.0 and lacked == 0.0 and table[VALUES, k] == STARTED_LATE:
        return 1.0
    far = abs(table[MEAN, k]) > FAR_FROM_ZERO * deviation
    return 1.0 if measured[k] and not before and far and (lacked > 0.0 or table[BEFORE, k] > 0.0) else 0.0
