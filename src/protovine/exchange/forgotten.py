"""Which items of which senders are to be forgotten, and are refused if they come again."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from protovine.learn import Contribution
from protovine.prototypes import PrototypeSet

# The latest time that there is.
FOREVER_NS = 2**63 - 1


class Unlearned(NamedTuple):
    """What a node forgot of a peer.

    Parameters
    ----------
    waiting : int
        Received prototypes that were not trained yet. They are gone.
    learnt : Contribution or None
        What the learner found; None if it does not know whose knowledge it has, and forgot nothing.
    """

    waiting: int
    learnt: Contribution | None


class Forgotten:
    """Ranges of event times by sender; an item whose event lies in one of its sender's ranges is refused.

    Attributes
    ----------
    refused : Counter
        Items refused since the start, by sender.

    Examples
    --------
    >>> forgotten = Forgotten()
    >>> forgotten.add(3, 0, 100)
    >>> forgotten.add(3, 50, 200)
    >>> forgotten.ranges(3), forgotten.covers(3, 200), forgotten.covers(3, 201)
    (((0, 200),), True, False)
    """

    def __init__(self) -> None:
        self._ranges: dict[int, tuple[tuple[int, int], ...]] = {}
        self.refused: Counter[int] = Counter()

    @property
    def senders(self) -> list[int]:
        """Who has anything forgotten, ascending."""
        return sorted(self._ranges)

    def ranges(self, sender: int) -> tuple[tuple[int, int], ...]:
        """First and last event time of each range, ascending; they do not overlap."""
        return self._ranges.get(sender, ())

    def add(self, sender: int, since_ns: int, until_ns: int) -> None:
        """Forget a range, both ends included; ranges that touch become one."""
        merged: list[tuple[int, int]] = []
        for since, until in sorted([*self.ranges(sender), (since_ns, until_ns)]):
            if merged and since <= merged[-1][1] + 1:
                since, until = merged[-1][0], max(until, merged.pop()[1])
            merged.append((since, until))
        self._ranges[sender] = tuple(merged)

    def has(self, sender: int, since_ns: int, until_ns: int) -> bool:
        """Whether the whole range is forgotten already."""
        return any(since <= since_ns and until_ns <= until for since, until in self.ranges(sender))

    def covers(self, sender: int, event_ns: int) -> bool:
        """Whether an event of a sender is forgotten."""
        return self.has(sender, event_ns, event_ns)

    def screen(self, sender: int, prototypes: PrototypeSet) -> PrototypeSet:
        """The prototypes of a sender without those that are forgotten, which are counted."""
        if sender not in self._ranges or not len(prototypes):
            return prototypes
        inside = np.zeros(len(prototypes), np.bool_)
        for since, until in self.ranges(sender):
            inside |= (prototypes.event_ns >= since) & (prototypes.event_ns <= until)
        self.refused[sender] += int(inside.sum())
        return prototypes.take(np.flatnonzero(~inside)) if inside.any() else prototypes

    def state(self) -> list[list[int]]:
        """For a snapshot: sender, first and last event time of each range."""
        return [[sender, since, until] for sender in self.senders for since, until in self._ranges[sender]]

    def restore(self, state: list[list[int]]) -> None:
        """Forget also what `state` says."""
        for sender, since, until in state:
            self.add(int(sender), int(since), int(until))
