"""Queues of the prototypes of one peer, of which single ones or whole messages are taken."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import Any

import numpy as np

from protovine.prototypes import PrototypeSet


class Stack:
    """The prototypes of one peer, newest or oldest first."""

    def __init__(self, newest_first: bool) -> None:
        self.size = 0
        self._newest_first = newest_first
        # Entries are [set, first, end, created_ns]: prototypes first..end-1 still wait.
        self._sets: deque[list[Any]] = deque()

    def push(self, prototypes: PrototypeSet, created_ns: int) -> None:
        """Add a set."""
        self._sets.append([prototypes, 0, len(prototypes), created_ns])
        self.size += len(prototypes)

    def drop(self, count: int) -> None:
        """Remove the oldest ``count``."""
        self.size -= count
        while count:
            oldest = self._sets[0]
            cut = min(count, oldest[2] - oldest[1])
            oldest[1] += cut
            count -= cut
            if oldest[1] == oldest[2]:
                self._sets.popleft()

    def in_next(self) -> int:
        """How many prototypes wait of the set that is next."""
        _, first, end, _ = self._sets[-1 if self._newest_first else 0]
        return int(end - first)

    def pop(self) -> tuple[PrototypeSet, int, int]:
        """The next prototype as its set, its index in it, and when the set was made."""
        entry = self._sets[-1 if self._newest_first else 0]
        source, first, end, created_ns = entry
        if self._newest_first:
            at = entry[2] = end - 1
        else:
            at, entry[1] = first, first + 1
        self.size -= 1
        if end - first == 1:
            self._sets.pop() if self._newest_first else self._sets.popleft()
        return source, at, created_ns

    def pop_many(self, count: int) -> tuple[PrototypeSet, slice, int]:
        """Up to ``count`` of the next prototypes, those of one set: the set, where in it, and when it was made."""
        entry = self._sets[-1 if self._newest_first else 0]
        source, first, end, created_ns = entry
        count = min(count, end - first)
        if self._newest_first:
            entry[2] = end - count
            at = slice(end - 1, end - count - 1 if end > count else None, -1)
        else:
            entry[1] = first + count
            at = slice(first, first + count)
        self.size -= count
        if entry[1] == entry[2]:
            self._sets.pop() if self._newest_first else self._sets.popleft()
        return source, at, created_ns

    def waiting(self) -> list[tuple[PrototypeSet, int]]:
        """The sets of those that wait, oldest first, and when each was made."""
        return [(held.take(np.arange(first, end)), created_ns) for held, first, end, created_ns in self._sets]


class Bag:
    """The prototypes of one peer, drawn uniformly from all that wait.

    They are numbered as they arrive. ``_numbers`` lists those that wait in any order, and ``_places`` says where.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.size = 0
        self._rng = rng
        self._numbers: list[int] = []
        self._places: dict[int, int] = {}
        self._oldest = self._end = 0
        self._starts: list[int] = []
        self._sets: list[tuple[PrototypeSet, int]] = []

    def push(self, prototypes: PrototypeSet, created_ns: int) -> None:
        """Add a set."""
        start, self._end = self._end, self._end + len(prototypes)
        self._starts.append(start)
        self._sets.append((prototypes, created_ns))
        self._places.update(zip(range(start, self._end), range(self.size, self.size + len(prototypes)), strict=True))
        self._numbers.extend(range(start, self._end))
        self.size += len(prototypes)

    def drop(self, count: int) -> None:
        """Remove the oldest ``count``."""
        while count:
            self._remove(self._oldest)
            count -= 1
            self._forget()

    def pop(self) -> tuple[PrototypeSet, int, int]:
        """A random prototype as its set, its index in it, and when the set was made."""
        number = self._numbers[int(self._rng.random() * self.size)]
        self._remove(number)
        i = bisect_right(self._starts, number) - 1
        source, created_ns = self._sets[i]
        at = number - self._starts[i]
        if number == self._oldest:
            self._forget()
        return source, at, created_ns

    def waiting(self) -> list[tuple[PrototypeSet, int]]:
        """The sets of those that wait, oldest first, and when each was made; from now on they wait in that order."""
        self._numbers.sort()
        self._places = {number: place for place, number in enumerate(self._numbers)}
        found = []
        for start, (held, created_ns) in zip(self._starts, self._sets, strict=True):
            left = [i for i in range(len(held)) if start + i in self._places]
            if left:
                found.append((held.take(np.array(left)), created_ns))
        return found

    def _remove(self, number: int) -> None:
        place = self._places.pop(number)
        last = self._numbers.pop()
        if last != number:
            self._numbers[place] = last
            self._places[last] = place
        self.size -= 1

    def _forget(self) -> None:
        """Move on to the oldest that waits, and forget sets of which none does."""
        while self._oldest < self._end and self._oldest not in self._places:
            self._oldest += 1
        past = bisect_right(self._starts, self._oldest) - 1
        del self._starts[:past], self._sets[:past]
