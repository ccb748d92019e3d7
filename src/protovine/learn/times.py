"""Event times in a learner's state, where the clock is corrected that they came from."""

from __future__ import annotations

from typing import Any

import numpy as np

# The arrays of learners with event times.
_TIMES = ("event", "clock")


def with_times(state: dict[str, Any], by_ns: int, since_ns: int, now_ns: int) -> dict[str, Any]:
    """A learner's state with its event times moved."""
    moved = dict(state)
    for key, value in state.items():
        if isinstance(value, dict):
            moved[key] = with_times(value, by_ns, since_ns, now_ns)
        elif key in _TIMES:
            moved[key] = shifted(np.asarray(value), by_ns, since_ns, now_ns)
    return moved


def shifted(times_ns: Any, by_ns: int, since_ns: int, now_ns: int) -> Any:
    """Times since ``since_ns`` and those in the future, moved, but not beyond ``now_ns``; earlier ones as they are."""
    moves = (times_ns >= since_ns) | (times_ns > now_ns)
    return np.where(moves, np.minimum(times_ns + by_ns, now_ns), times_ns)
