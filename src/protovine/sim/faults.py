"""Faults as configuration: what happens to nodes and links, and when."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Crash:
    """``node`` stops at ``at_ns``; at ``restart_ns`` (None: never) it runs again as a new incarnation.

    ``keeps_state``: it restores a snapshot of the moment it stopped. Otherwise it starts with nothing.
    """

    node: int
    at_ns: int
    restart_ns: int | None = None
    keeps_state: bool = True


@dataclass(frozen=True, slots=True)
class Join:
    """``node`` starts late, at ``at_ns``; its samples until then are missed."""

    node: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Cut:
    """From ``at_ns`` until ``until_ns`` whatever ``source`` sends to ``target`` is lost. One way only."""

    source: int
    target: int
    at_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class Partition:
    """From ``at_ns`` until ``until_ns`` the nodes of ``group`` and all others cannot reach each other."""

    group: tuple[int, ...]
    at_ns: int
    until_ns: int

    def cuts(self, n_nodes: int) -> list[Cut]:
        """The same as one-way cuts."""
        inside = sorted(set(self.group))
        outside = [node for node in range(n_nodes) if node not in inside]
        pairs = [(a, b) for a in inside for b in outside]
        return [Cut(a, b, self.at_ns, self.until_ns) for x, y in pairs for a, b in ((x, y), (y, x))]


Fault = Crash | Join | Cut | Partition
