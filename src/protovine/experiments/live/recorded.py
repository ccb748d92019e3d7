"""Read the records that the members of a local swarm write into their folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from protovine.records import AnyRecord, Arrived, Missed, Received

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
            record = decode(line)
            times = {"at_ns": max(0, record.at_ns - start_ns)}
            if isinstance(record, Received):
                times["created_ns"] = max(0, record.created_ns - start_ns)
            found.append(msgspec.structs.replace(record, **times))
    # A restarted member does not know which samples it took before, and records some of them as missed.
    taken = {(record.node, record.sample) for record in found if isinstance(record, Arrived)}
    found = [each for each in found if not (isinstance(each, Missed) and (each.node, each.sample) in taken)]
    found.sort(key=lambda record: record.at_ns)
    return found
