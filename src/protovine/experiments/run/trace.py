"""Trace files of runs: their names, and the description of the run in their header."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from protovine.columns import Columns
from protovine.errors import DataError
from protovine.records import Record, TraceHash

# Records that are hashed and put into columns together: that takes less time than one by one.
_RECORDS_AT_ONCE = 500


def trace_name(preset: str, seed: int) -> str:
    """File name of a run's trace."""
    return f"{preset}-seed{seed}.jsonl.gz"


def hash_of(records: Iterable[Record]) -> str:
    """The trace hash of a run's records."""
    made = TraceHash()
    for record in records:
        made.add(record)
    return made.hexdigest()


def connected_part(neighbours: list[list[int]], first: int, size: int) -> list[int]:
    """Up to ``size`` nodes, ascending: ``first``, its neighbours, theirs, and so on; then those of another part.

    Examples
    --------
    >>> connected_part([[3], [2], [1], [0, 4], [3]], first=3, size=4)
    [0, 1, 3, 4]
    """
    found: set[int] = set()
    for start in [first, *range(len(neighbours))]:
        waiting = deque([start])
        while waiting and len(found) < size:
            node = waiting.popleft()
            if node not in found:
                found.add(node)
                waiting.extend(neighbours[node])
    return sorted(found)


class Recorder:
    """Takes the records of a run as they come: into columns, into the trace hash, and into a trace file if wanted.

    Parameters
    ----------
    line : callable, optional
        Takes records as JSON, as `protovine.records.new_trace` gives it.
    traced : collection of int
        The nodes whose records ``line`` takes; all by default.
    """

    def __init__(self, line: Callable[[bytes], None] | None = None, traced: Collection[int] = ()) -> None:
        self.line, self.traced = line, frozenset(traced)
        self._columns = Columns()
        self._hash = TraceHash()
        self._encode = msgspec.json.Encoder().encode
        self._waiting: list[Record] = []

    def add(self, record: Record) -> None:
        """Take one more record in; `flush` takes care of several at once."""
        self._waiting.append(record)
        if len(self._waiting) == _RECORDS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Hash and trace all records so far."""
        records, self._waiting = self._waiting, []
        self._columns.add_all(records)
        lines = list(map(self._encode, records))
        self._hash.update(b"".join(map(self._hash.hashed, records, lines)))
        if self.line is not None:
            for record, line in zip(records, lines, strict=True):
                if not self.traced or record.node in self.traced:
                    self.line(line)

    def take_over(self, columns: Columns) -> None:
        """Go on from the records of another, which were hashed and traced by `add_elsewhere`."""
        self._columns = columns

    def add_elsewhere(self, hashed: memoryview, lines: list[bytes]) -> None:
        """Hash and trace records that do not go through `add`: what `TraceHash.hashed` made, and their JSON."""
        self._hash.update(hashed)
        if self.line is not None:
            for line in lines:
                self.line(line)

    @property
    def columns(self) -> Columns:
        """All records so far."""
        self.flush()
        return self._columns

    @property
    def trace_hash(self) -> str:
        """The hash of all records so far."""
        self.flush()
        return self._hash.hexdigest()


@dataclass(frozen=True)
class RunDescription:
    """Facts for judging a run besides its records, as plain values.

    Parameters
    ----------
    preset, seed
        Names of the run.
    classes : tuple of str
        Labels of the classes, by code.
    neighbours : list of lists of int
        For each node the nodes that it may address.
    honest : list of int
        Nodes that are not Byzantine, ascending.
    positive : int or None
        Code of the positive class of two; None for more classes.
    shares : bool
        Whether nodes may share anything at all.
    drift_points_s : tuple of float
        Times at which the concept changes for all, at about then.
    drift_nodes_s : list of lists of float
        Of runs that watch drift: for each node the times at which the concept of its own stream changes. Without them
        they are those for all.
    live : bool
        Whether real processes made the run.
    watches_drift : bool
        Whether nodes have detectors of drift.
    incomplete : list of int
        Nodes that ended before they had taken all their samples.
    traced : list of int
        Nodes whose records a trace has; all if it is empty.
    partners : int
        Neighbours that each node seeks out; 0 is all.
    streams : int
        Streams that honest nodes read, also where one node reads all of them; 0 is one for each node.
    medium : bool
        Whether nodes share a medium, so that their traffic is what was on the air.
    """

    preset: str
    seed: int
    classes: tuple[str, ...]
    neighbours: list[list[int]]
    honest: list[int]
    positive: int | None
    shares: bool
    drift_points_s: tuple[float, ...] = ()
    live: bool = False
    watches_drift: bool = False
    incomplete: list[int] = field(default_factory=list)
    traced: list[int] = field(default_factory=list)
    partners: int = 0
    streams: int = 0
    medium: bool = False
    drift_nodes_s: list[list[float]] = field(default_factory=list)

    @property
    def judged(self) -> list[int]:
        """The nodes whose results count, ascending: honest ones that took all their samples, and are in the trace."""
        left_out, covered = set(self.incomplete), self.covered
        return [node for node in self.honest if node in covered and node not in left_out]

    @property
    def covered(self) -> frozenset[int]:
        """The nodes whose records the trace has."""
        return frozenset(self.traced or range(len(self.neighbours)))

    def drifts_s(self, node: int) -> Sequence[float]:
        """The times at which the concept of a node's stream changes."""
        return self.drift_nodes_s[node] if self.drift_nodes_s else self.drift_points_s

    def of_part(self, nodes: int) -> RunDescription:
        """The description of a trace that has the records of up to ``nodes`` nodes; 0 is all."""
        if not 0 < nodes < len(self.neighbours):
            return self
        return replace(self, traced=connected_part(self.neighbours, self.honest[0], nodes))

    @classmethod
    def read(cls, header: dict[str, Any], path: Path) -> RunDescription:
        """The description in the header of the trace file ``path``; `DataError` if it does not describe a run."""
        try:
            described = msgspec.convert(header, cls)
        except msgspec.ValidationError as error:
            raise DataError(f"the header of the trace {path} does not describe a run: {error}") from None
        named = [*described.honest, *described.traced, *(peer for peers in described.neighbours for peer in peers)]
        if not described.honest or not all(0 <= node < len(described.neighbours) for node in named):
            raise DataError(f"the header of the trace {path} names nodes that do not exist, or no honest ones")
        if len(described.drift_nodes_s) not in (0, len(described.neighbours)):
            raise DataError(f"the header of the trace {path} does not have the drifts of each node")
        return described

    def header(self) -> dict[str, Any]:
        """The header of the run's trace file."""
        described = dict(vars(self))
        for name in ("live", "watches_drift", "incomplete", "traced", "partners", "medium", "drift_nodes_s"):
            if not described[name]:
                del described[name]
        return {**described, "nodes": len(self.neighbours)}
