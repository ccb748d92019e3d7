"""Curves over time with a bounded number of points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from protovine.records import SECOND_NS

# Points of a curve. With an unknown end, every second one is dropped at twice as many.
POINTS = 300


class Curves:
    """Curves that get their points at the same times, ``t`` among them, and others by kind that may begin late.

    Parameters
    ----------
    names : iterable of str
    end_s : float, optional
        When the curves end, if that is known; otherwise there is a point a second at first.

    Examples
    --------
    >>> curves = Curves(["t", "mean"], end_s=300.0)
    >>> curves.next_ns
    1000000000
    >>> curves.add({"t": 1.0, "mean": 0.5}, {"log": 12.0}); curves.next_ns, len(curves), curves.kinds
    (2000000000, 1, {'log': [12]})
    """

    def __init__(self, names: Iterable[str], end_s: float | None) -> None:
        self.points: dict[str, list[Any]] = {name: [] for name in names}
        self.kinds: dict[str, list[float]] = {}
        self.thinned = 0
        self._bounded = end_s is not None
        self._step_ns = max(1, round((end_s or POINTS) / POINTS * SECOND_NS))
        self.next_ns = self._step_ns

    def __len__(self) -> int:
        return len(self.points["t"])

    def add(self, values: Mapping[str, Any], kinds: Mapping[str, float]) -> None:
        """Add a point to every curve; kinds that are not named have 0."""
        at_ns = self.next_ns
        for name, value in values.items():
            self.points[name].append(value)
        for kind in {**self.kinds, **kinds}:
            curve = self.kinds.setdefault(kind, [0.0] * (len(self) - 1))
            curve.append(rounded_rate(kinds.get(kind, 0.0)))
        if not self._bounded and len(self) >= 2 * POINTS:
            for each in (*self.points.values(), *self.kinds.values()):
                del each[::2]
            self._step_ns *= 2
            self.thinned += 1
        self.next_ns = at_ns + self._step_ns

    def since(self, cursor: tuple[int, int], others: Mapping[str, Curves]) -> dict[str, Any]:
        """The points after a cursor (times thinned, points), with the means of other curves beside them."""
        start = cursor[1] if cursor[0] == self.thinned and cursor[1] <= len(self) else 0
        return {
            "cursor": [self.thinned, len(self)],
            "start": start,
            **{name: curve[start:] for name, curve in self.points.items()},
            "kinds": {kind: curve[start:] for kind, curve in self.kinds.items()},
            "others": {name: other.points["mean"][start : len(self)] for name, other in others.items()},
        }


def rounded(value: float | None, digits: int = 4) -> float | None:
    """A number as it is sent; None for what is not known."""
    return None if value is None or value != value else round(value, digits)


def rounded_rate(rate: float) -> float:
    """Bytes per second as they are sent: whole ones, and hundredths below 10.

    Examples
    --------
    >>> rounded_rate(295.4), rounded_rate(0.1346)
    (295, 0.13)
    """
    return round(rate) if rate >= 10 else round(rate, 2)
