"""Frozen trace records and their file format: the only input of metrics, reports and replays.

A trace is gzipped JSON with one object per line: first a header, then records in the order of events. Times are
integer nanoseconds, of virtual time in the simulator and of the system clock on a device.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from protovine.errors import DataError

SECOND_NS = 1_000_000_000
FORMAT = "protovine-trace"
FORMAT_VERSION = 1
_LINES_AT_ONCE = 1000  # Lines of a trace that are compressed together.


class Record(msgspec.Struct, frozen=True, tag=True, tag_field="is", gc=False):
    """An event at ``at_ns`` on ``node``."""

    at_ns: int
    node: int


class Arrived(Record, frozen=True, gc=False, tag="arrived"):
    """Sample ``sample`` reached the node; its true class is ``truth``, -1 if nobody knows.

    Written by the simulator and by replays of a stream on real nodes, which know the true class.
    """

    sample: int
    truth: int


class Missed(Record, frozen=True, gc=False, tag="missed"):
    """Sample ``sample`` arrived while the node was down: neither predicted nor learnt."""

    sample: int
    truth: int


class Predicted(Record, frozen=True, gc=False, tag="predicted"):
    """The node predicted class ``predicted`` with probabilities ``proba`` (-1 and empty while it has no model)."""

    sample: int
    predicted: int
    proba: tuple[float, ...]


class Learned(Record, frozen=True, gc=False, tag="learned"):
    """The node learnt local sample ``sample``; it now holds ``size`` prototypes."""

    sample: int
    inserted: bool
    size: int


class TrainedRun(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``count`` prototypes of one message from ``peer``, trained at ``first_ns``, ``first_ns + step_ns`` and so on.

    The peer made the message at ``created_ns``. ``fresh`` of the prototypes were trained for the first time.
    """

    peer: int
    created_ns: int
    first_ns: int
    step_ns: int
    count: int
    fresh: int


class Trained(Record, frozen=True, gc=False, tag="trained", omit_defaults=True):
    """The node trained ``count`` received prototypes since the last such record, ``inserted`` of them as new ones.

    ``runs`` says of which messages and when exactly; traces made before it existed have none.
    """

    count: int
    inserted: int
    size: int
    runs: tuple[TrainedRun, ...] = ()


class Compressed(Record, frozen=True, gc=False, tag="compressed"):
    """The learner's set was compressed from ``before`` to ``after``; ``exact`` is false if it missed its target."""

    before: int
    after: int
    exact: bool


class Withheld(Record, frozen=True, gc=False, tag="withheld"):
    """A set of ``prototypes`` was not sent to ``peer``: its ``score`` did not pass the gate named ``gate``."""

    peer: int
    prototypes: int
    gate: str
    score: float


class Sent(Record, frozen=True, gc=False, tag="sent"):
    """A message of ``header_bytes + payload_bytes`` to ``peer``; ``digest`` is the checksum of all its bytes."""

    peer: int
    kind: str
    sequence: int
    samples_learnt: int
    prototypes: int
    header_bytes: int
    payload_bytes: int
    digest: int


class Received(Record, frozen=True, gc=False, tag="received"):
    """A message from ``peer`` was accepted; the peer made it at ``created_ns``, after ``samples_learnt`` local samples.

    ``dropped`` older prototypes left the full inbox; ``from_future`` of its times lay in the future and count as now.
    """

    peer: int
    incarnation: int
    sequence: int
    samples_learnt: int
    created_ns: int
    prototypes: int
    message_bytes: int
    dropped: int = 0
    from_future: int = 0


class Refused(Record, frozen=True, gc=False, tag="refused"):
    """A message that claims to come from ``peer`` was refused for ``reason``; nothing else changed."""

    peer: int
    reason: str
    message_bytes: int


class Lost(Record, frozen=True, gc=False, tag="lost"):
    """A message from the node to ``peer`` did not arrive, for ``reason``. Written by the simulated network."""

    peer: int
    reason: str
    message_bytes: int


class Aired(Record, frozen=True, gc=False, tag="aired"):
    """A frame of the node was on the air for ``airtime_ns`` until now, with ``message_bytes`` of payload.

    Written by a simulated medium that nodes share. ``waited_ns`` is the time from when the message was
    offered, or its last frame ended, to the start of this one.
    """

    airtime_ns: int
    message_bytes: int
    waited_ns: int


class Down(Record, frozen=True, gc=False, tag="down"):
    """The node stopped."""


class Up(Record, frozen=True, gc=False, tag="up"):
    """The node runs again, or for the first time, as ``incarnation``."""

    incarnation: int


class Ended(Record, frozen=True, gc=False, tag="ended"):
    """The node at the end of the run: prototypes held, received prototypes still queued, labels still awaited.

    ``given_up`` samples were dropped before their label arrived, because too many waited.
    """

    size: int
    queued: int
    unlabelled: int
    given_up: int = 0


class Evaluated(Record, frozen=True, gc=False, tag="evaluated"):
    """The node's final model classified all held-out rows at the end of a run; written only if rows are held out.

    ``counts`` has (true class, predicted class, rows) for each combination that occurs.
    """

    counts: tuple[tuple[int, int, int], ...]


class Sized(Record, frozen=True, gc=False, tag="sized"):
    """The state of the node at the end of a run: a snapshot, with learner, log, peers and what waits.

    It has ``state_bytes`` bytes. Written for up to 100 nodes of a simulated swarm.
    """

    state_bytes: int


class Alarmed(Record, frozen=True, gc=False, tag="alarmed"):
    """A drift detector of the node raised an alarm.

    ``detector`` is its name and ``signal`` what it watches: ``error``, ``surprisal``, ``labels`` or ``features``.
    ``kind`` is what has changed, as far as the node can tell: ``labels``, ``features`` or ``relation``.
    """

    detector: str
    signal: str
    kind: str


class Warned(Record, frozen=True, gc=False, tag="warned"):
    """A message of ``peer`` brought the news that it saw a drift of this ``kind`` at ``seen_ns`` by its clock."""

    peer: int
    kind: str
    seen_ns: int


class Commanded(Record, frozen=True, gc=False, tag="commanded"):
    """The operator ``by`` changed the running node: ``command`` says how. Written by real nodes."""

    command: str
    by: str


AnyRecord = (
    Arrived
    | Missed
    | Predicted
    | Learned
    | Trained
    | Compressed
    | Withheld
    | Sent
    | Received
    | Refused
    | Aired
    | Lost
    | Down
    | Up
    | Ended
    | Evaluated
    | Sized
    | Alarmed
    | Warned
    | Commanded
)


class TraceHash:
    """Hash of a sequence of records: equal hashes mean equal decisions and equal bytes.

    It leaves out `Trained.runs` and `Sized`, which older traces do not have: the other records decide them anyway.

    Examples
    --------
    >>> a, b = TraceHash(), TraceHash()
    >>> a.add(Down(5, 0)); b.add(Down(6, 0))
    >>> a.hexdigest() == b.hexdigest()
    False
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._encode = msgspec.json.Encoder().encode

    def add(self, record: Record) -> None:
        """Take one more record in."""
        self.update(self.hashed(record, self._encode(record)))

    def hashed(self, record: Record, line: bytes) -> bytes:
        """What the hash covers of a record that was encoded as ``line``."""
        if type(record) is Sized:
            return b""
        if type(record) is Trained and record.runs:
            return self._encode(Trained(record.at_ns, record.node, record.count, record.inserted, record.size))
        return line

    def update(self, hashed: bytes | bytearray | memoryview) -> None:
        """Take records in of which `hashed` was made, one or several."""
        self._hash.update(hashed)

    def hexdigest(self) -> str:
        """32 hexadecimal digits over all records so far."""
        return self._hash.hexdigest()


def write_trace(path: Path, header: dict[str, Any], records: Iterable[Record]) -> None:
    """Write a trace file as a whole or not at all.

    Raises
    ------
    OSError
        The file cannot be written; nothing is left behind.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_trace(Path(folder, "trace.jsonl.gz"), {"seed": 1}, [Down(5, 0), Up(9, 0, 2)])
    ...     header, records = read_trace(Path(folder, "trace.jsonl.gz"))
    ...     header["seed"], [type(record).__name__ for record in records]
    (1, ['Down', 'Up'])
    """
    with new_trace(path, header) as add:
        for line in map(msgspec.json.Encoder().encode, records):
            add(line)


@contextlib.contextmanager
def new_trace(path: Path, header: dict[str, Any]) -> Iterator[Callable[[bytes], None]]:
    """A trace file to which records, encoded as JSON, are added one by one; it is there once the block ends well.

    Parameters
    ----------
    path : Path
        Replaced if it exists. Until the block ends there is a file beside it that ends in ``.part``.
    header : dict
        Plain values, for the first line.

    Raises
    ------
    OSError
        The file cannot be written; nothing is left behind.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "trace.jsonl.gz")
    ...     with new_trace(path, {"seed": 1}) as add:
    ...         add(msgspec.json.encode(Learned(5, 0, sample=0, inserted=True, size=1)))
    ...     [(record.at_ns, record.size) for record in read_trace(path)[1]]
    [(5, 1)]
    """
    partial = path.with_name(path.name + ".part")
    waiting: list[bytes] = [msgspec.json.encode({"format": FORMAT, "format_version": FORMAT_VERSION, **header})]
    try:
        # A fixed mtime and no file name in the gzip header make equal traces equal files.
        with (
            open(partial, "wb") as raw,
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as out,
        ):

            def add(line: bytes) -> None:
                waiting.append(line)
                if len(waiting) == _LINES_AT_ONCE:
                    out.write(b"\n".join(waiting) + b"\n")
                    waiting.clear()

            yield add
            out.write(b"\n".join(waiting))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_trace(path: Path) -> tuple[dict[str, Any], Iterator[AnyRecord]]:
    """The header of a trace file, and its records one by one.

    Parameters
    ----------
    path : Path

    Returns
    -------
    tuple of dict and iterator of records
        The header, and the records in order. The file is read while the records are taken.

    Raises
    ------
    DataError
        The file is missing, damaged, or not a trace of this version. Records may raise it while they are read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_trace(Path(folder, "trace.jsonl.gz"), {"seed": 1}, [Down(5, 0), Up(9, 0, 2)])
    ...     header, records = read_trace(Path(folder, "trace.jsonl.gz"))
    ...     down_ns = {type(record).__name__: record.at_ns for record in records}
    >>> header["format_version"], down_ns["Up"] - down_ns["Down"]
    (1, 4)
    """
    try:
        with gzip.open(path, "rb") as lines:
            header = msgspec.json.decode(lines.readline(), type=dict)
    except (OSError, EOFError, zlib.error, msgspec.DecodeError) as error:
        raise DataError(f"cannot read the trace {path}: {getattr(error, 'strerror', None) or error}") from None
    if header.get("format") != FORMAT or header.get("format_version") != FORMAT_VERSION:
        raise DataError(f"{path} is not a {FORMAT} file of version {FORMAT_VERSION}")
    return header, _records(path)


def _records(path: Path) -> Iterator[AnyRecord]:
    decode = msgspec.json.Decoder(AnyRecord).decode
    try:
        with gzip.open(path, "rb") as lines:
            next(lines)
            for line in lines:
                yield decode(line)
    except (OSError, EOFError, zlib.error, msgspec.DecodeError) as error:
        raise DataError(f"the trace {path} is damaged: {error}") from None
