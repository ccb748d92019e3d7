"""Single values that come one message each, as the samples that they make up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Devices whose values may wait; beyond this the oldest group ends.
DEVICES_MAX = 10_000

Group = tuple[str, dict[str, Any]]


class Combiner:
    """Groups the values of a device: each name at most once, and none much later than the first.

    A group ends when it has every name, when a name comes again, and when its time is over. So a value is never in two
    groups, and a sensor that is silent leaves a gap instead of its old value.

    Parameters
    ----------
    names : frozenset of str
        What a whole group has.
    within_s : float
        How long after its first value a group may go on.
    clock : callable () -> float
        Seconds, never decreasing.

    Examples
    --------
    >>> combiner = Combiner(frozenset({"t", "h"}), 5.0, clock=lambda: 0.0)
    >>> combiner.add("barn", "t", 21), combiner.add("barn", "h", 50)
    ([], [('barn', {'t': 21, 'h': 50})])
    >>> combiner.add("barn", "t", 22), combiner.add("barn", "t", 23)
    ([], [('barn', {'t': 22})])
    """

    def __init__(self, names: frozenset[str], within_s: float, clock: Callable[[], float]) -> None:
        self._names, self._within_s, self._clock = names, within_s, clock
        # By device, the oldest first: when the group must end, and its values.
        self._open: dict[str, tuple[float, dict[str, Any]]] = {}

    def add(self, device: str, name: str, value: Any) -> list[Group]:
        """Take a value, and return the groups that have ended."""
        ended = self.due()
        if device in self._open and name in self._open[device][1]:
            ended.append(self._end(device))
        if device not in self._open:
            if len(self._open) >= DEVICES_MAX:
                ended.append(self._end(next(iter(self._open))))
            self._open[device] = (self._clock() + self._within_s, {})
        values = self._open[device][1]
        values[name] = value
        if len(values) == len(self._names):
            ended.append(self._end(device))
        return ended

    def due(self) -> list[Group]:
        """The groups whose time is over."""
        now_s = self._clock()
        ended = []
        while self._open and next(iter(self._open.values()))[0] <= now_s:
            ended.append(self._end(next(iter(self._open))))
        return ended

    def wait_s(self) -> float | None:
        """Seconds until `due` has something; None if nothing waits."""
        first = next(iter(self._open.values()), None)
        return None if first is None else max(0.0, first[0] - self._clock())

    def _end(self, device: str) -> Group:
        return device, self._open.pop(device)[1]
