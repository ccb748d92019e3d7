"""Faults of nodes, links and streams as configuration: what goes wrong, or is changed, and when."""

from __future__ import annotations

import math
from dataclasses import dataclass

from protovine.errors import ConfigError, check_range, suggest


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
    """From ``at_ns`` until ``until_ns`` all messages from ``source`` to ``target`` are lost. One way only."""

    source: int
    target: int
    at_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class Partition:
    """From ``at_ns`` until ``until_ns`` the nodes of ``group`` and all others cannot reach each other.

    Examples
    --------
    >>> [(cut.source, cut.target) for cut in Partition((0,), at_ns=5, until_ns=9).cuts(n_nodes=3)]
    [(0, 1), (1, 0), (0, 2), (2, 0)]
    """

    group: tuple[int, ...]
    at_ns: int
    until_ns: int

    def cuts(self, n_nodes: int) -> list[Cut]:
        """The same as one-way cuts."""
        inside = sorted(set(self.group))
        outside = [node for node in range(n_nodes) if node not in inside]
        pairs = [(a, b) for a in inside for b in outside]
        return [Cut(a, b, self.at_ns, self.until_ns) for x, y in pairs for a, b in ((x, y), (y, x))]


DRIFTS = {
    "labels": "4 of 5 samples are of the rarest class",
    "features": "every feature is shifted by 2 of its standard deviations",
    "relation": "every label is the next class",
}
# Attacks that may begin at any time. A flood needs settings of its own from the start.
LATE_ATTACKS = ("label-flip", "random-labels", "random-vectors", "bad-scale", "bad-sensor")


@dataclass(frozen=True, slots=True)
class Drift:
    """From ``at_ns`` on the stream of ``nodes`` (all if empty) is another one; see `DRIFTS` for ``change``."""

    change: str
    at_ns: int
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Attack:
    """From ``at_ns`` on ``node`` is Byzantine; ``attack`` is one of `LATE_ATTACKS`."""

    node: int
    attack: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Retune:
    """From ``at_ns`` on all nodes share by other settings; None keeps what there is."""

    at_ns: int
    fanout: int | None = None
    share_probability: float | None = None
    budget_bytes_per_s: float | None = None

    @property
    def changes(self) -> dict[str, float]:
        """The settings that change, by name."""
        values = {
            "fanout": self.fanout,
            "share_probability": self.share_probability,
            "budget_bytes_per_s": self.budget_bytes_per_s,
        }
        return {name: value for name, value in values.items() if value is not None}


Fault = Crash | Join | Cut | Partition | Drift | Attack | Retune


def check_faults(faults: tuple[Fault, ...], n_nodes: int) -> None:
    """`ConfigError` at the first fault that is impossible with ``n_nodes`` nodes and the other faults."""
    down: dict[int, list[tuple[float, float]]] = {}
    for fault in faults:
        named = _nodes(fault)
        for node in named:
            if not 0 <= node < n_nodes:
                raise ConfigError(f"a fault names node {node}, but nodes are 0 to {n_nodes - 1}")
        if isinstance(fault, Crash | Join):
            span = (0.0, fault.at_ns) if isinstance(fault, Join) else (fault.at_ns, _end(fault))
            if span[0] > span[1] or any(span[0] <= end and start <= span[1] for start, end in down.get(fault.node, [])):
                raise ConfigError(f"node {fault.node} must be up when it crashes, and restart before the next fault")
            down.setdefault(fault.node, []).append(span)
        elif isinstance(fault, Drift | Attack | Retune):
            _check_change(fault)
        elif fault.until_ns <= fault.at_ns:
            raise ConfigError(f"until_s of a {type(fault).__name__.lower()} must be after {fault.at_ns / 1e9:g}")
        elif isinstance(fault, Cut) and fault.source == fault.target:
            raise ConfigError(f"a cut needs two different nodes, got {fault.source} twice")
        elif isinstance(fault, Partition) and len(set(fault.group)) == n_nodes:
            raise ConfigError("a partition must leave some node out of its group")


def _nodes(fault: Fault) -> tuple[int, ...]:
    match fault:
        case Cut():
            return (fault.source, fault.target)
        case Partition():
            return fault.group
        case Drift():
            return fault.nodes
        case Retune():
            return ()
        case _:
            return (fault.node,)


def _check_change(fault: Drift | Attack | Retune) -> None:
    if isinstance(fault, Drift) and fault.change not in DRIFTS:
        raise ConfigError(f"unknown drift '{fault.change}'{suggest(fault.change, DRIFTS)}")
    if isinstance(fault, Attack) and fault.attack not in LATE_ATTACKS:
        raise ConfigError(f"unknown attack '{fault.attack}' for a fault{suggest(fault.attack, LATE_ATTACKS)}")
    if isinstance(fault, Retune):
        if not fault.changes:
            raise ConfigError("a retune must name fanout, share_probability or budget_bytes_per_s")
        for name, low, high in (("fanout", 1, math.inf), ("share_probability", 0, 1), ("budget_bytes_per_s", 0, 1e12)):
            if name in fault.changes:
                check_range(name, fault.changes[name], low, high)


def _end(crash: Crash) -> float:
    return math.inf if crash.restart_ns is None else crash.restart_ns
