"""Read the records that the members of a local swarm write into their folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from protovine.records import AnyRecord, Arrived, Missed, Received, Trained, Warned

TRACE_FILE = "trace.jsonl"


def read_records(folders: Iterable[Path], start_ns: int) -> list[AnyRecord]:
    """The records of all members, ordered by time.

    Parameters
    ----------
    folders : iterable of paths
        One for each member. A folder without a trace has no records.
    start_ns : int
        When the stream began, by the system clock. It is time 0 of the records returned; earlier times become 0.
    """
    decode = msgspec.json.Decoder(AnyRecord).decode
    found: list[AnyRecord] = []
    for folder in folders:
        path = folder / TRACE_FILE
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        for line in lines[:-1]:  # A killed process may leave half a record behind the last line end.
            found.append(_since(decode(line), start_ns))
    # A restarted member does not know which samples it took before, and records some of them as missed.
    taken = {(record.node, record.sample) for record in found if isinstance(record, Arrived)}
    found = [each for each in found if not (isinstance(each, Missed) and (each.node, each.sample) in taken)]
    found.sort(key=lambda record: record.at_ns)
    return found


def _since(record: AnyRecord, start_ns: int) -> AnyRecord:
    """The record with all its times counted from ``start_ns``."""

    def since(at_ns: int) -> int:
        return max(0, at_ns - start_ns)

    times: dict[str, Any] = {"at_ns": since(record.at_ns)}
    if isinstance(record, Received):
        times["created_ns"] = since(record.created_ns)
    elif isinstance(record, Warned):
        times["seen_ns"] = since(record.seen_ns)
    elif isinstance(record, Trained):
        times["runs"] = tuple(
            msgspec.structs.replace(run, created_ns=since(run.created_ns), first_ns=since(run.first_ns))
            for run in record.runs
        )
    return msgspec.structs.replace(record, **times)
