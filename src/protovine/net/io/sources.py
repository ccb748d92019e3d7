"""Where a live node gets its samples: JSON lines, CSV files, MQTT topics, Zenoh keys.

All but CSV carry the same JSON objects, one a line or message::

    {"x": {"wind": 3, "sky": "grey"}, "y": "wet"}                       a sample with its label
    {"id": 7, "x": {"wind": 3, "sky": "grey"}, "time": 1700000000.5}    a sample
    {"id": 7, "y": "wet"}                                               its label, any time later or never

What is not such an object is counted by reason, told once per reason, and skipped. Nothing that arrives ends a source.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import gzip
import io
import os
import stat
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Unpack

import msgspec
import numpy as np
import numpy.typing as npt

from protovine.errors import ConfigError, DataError, check_range, suggest
from protovine.net.io.mqtt import Broker, BrokerSettings, check_qos, check_topic, until_disconnected
from protovine.net.io.queues import DropOldest
from protovine.net.io.schema import Schema, shown
from protovine.stream.encode import MISSING_WORDS, parse_texts

if TYPE_CHECKING:
    import aiomqtt
    import zenoh

MESSAGE_BYTES_MAX = 1 << 20
ID_LENGTH_MAX = 200
QUEUE = 1000

# int64 nanoseconds since 1970 end in the year 2262.
_TIME_S_MAX = 9_223_372_036
_CHUNK_BYTES = 1 << 16
_FIFO_PAUSE_S, _FILE_PAUSE_S = 0.05, 0.25
_CSV_BATCH = 256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Refused = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """A sample (``x``, with or without its class ``y``), or a label that came late (``y`` and ``id``)."""

    x: npt.NDArray[np.float64] | None
    y: int | None
    id: str | int | None
    time_ns: int | None
    """When it was measured, nanoseconds since 1970; None if nobody said."""


class Source(Protocol):
    """Samples and labels as they come. Close the generator (`contextlib.aclosing`) to let go of what it holds."""

    @property
    def taken(self) -> int:
        """Events so far."""

    @property
    def refusals(self) -> Counter[str]:
        """What was refused so far, by reason."""

    @property
    def dropped(self) -> int:
        """Messages that came faster than they were taken, and were lost."""

    def events(self) -> AsyncGenerator[Event]:
        """The events, to the end of a file or for ever; to be called once."""


class Parser:
    """Events from JSON objects; what is no event is counted by reason, and told to ``refused`` once per reason.

    Reasons: ``json`` not JSON; ``form`` not such an object; ``features``, ``label``, ``id``, ``time`` that part of it;
    ``size`` longer than 1 MiB.

    Examples
    --------
    >>> parser = Parser(Schema(("wind",), ("dry", "wet")), refused=print)
    >>> parser.event(b'{"id": 7, "x": {"wind": 3}}')
    Event(x=array([3.]), y=None, id=7, time_ns=None)
    >>> parser.event(b'{"id": 7, "y": "wet", "time": "2024-01-31T12:00Z"}')
    Event(x=None, y=1, id=7, time_ns=1706702400000000000)
    >>> parser.event(b'{"id": 8, "y": "moist"}')
    label there is no class 'moist' (known: 'dry', 'wet')
    >>> parser.refusals
    Counter({'label': 1})
    """

    def __init__(self, schema: Schema, refused: Refused | None = None) -> None:
        self.schema = schema
        self.taken = 0
        self.refusals: Counter[str] = Counter()
        self._refused = refused

    def event(self, data: bytes) -> Event | None:
        """The event in ``data``; None if it is refused, or blank."""
        try:
            return None if len(data) <= MESSAGE_BYTES_MAX and not data.strip() else self._counted(self._parse(data))
        except _Refusal as refusal:
            self.refuse(refusal.reason, str(refusal))
            return None

    def row(self, x: Mapping[str, Any], label: Any) -> Event | None:
        """The event in a row of a file; None if it is refused."""
        try:
            return self._counted(Event(self._vector(x), self._code(label), None, None))
        except _Refusal as refusal:
            self.refuse(refusal.reason, str(refusal))
            return None

    def refuse(self, reason: str, text: str) -> None:
        """Count, and tell the first time."""
        self.refusals[reason] += 1
        if self._refused is not None and self.refusals[reason] == 1:
            # Decoders quote what they got, which may be anything.
            self._refused(reason, "".join(c if c.isprintable() else "?" for c in text[:300]))

    def _parse(self, data: bytes) -> Event:
        if len(data) > MESSAGE_BYTES_MAX:
            raise _Refusal("size", f"a message may have {MESSAGE_BYTES_MAX} bytes")
        try:
            message = _decode(data)
        except msgspec.ValidationError as error:
            raise _Refusal("form", str(error)) from None
        # Bytes that are not UTF-8 within a text, or more brackets than the stack is deep, are errors of their own.
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Refusal("json", str(error)) from None
        name = message.id
        if message.x is None and (message.y is None or name is None):
            raise _Refusal("form", "x is needed, or id and y")
        if isinstance(name, str) and len(name) > ID_LENGTH_MAX:
            raise _Refusal("id", f"a text id may have {ID_LENGTH_MAX} characters, got {shown(name)}")
        if isinstance(name, int) and not -(2**63) <= name < 2**63:
            raise _Refusal("id", f"a number as id must have 64 bits, got {shown(name)}")
        x = None if message.x is None else self._vector(message.x)
        try:
            return Event(x, self._code(message.y), name, None if message.time is None else to_ns(message.time))
        except DataError as error:
            raise _Refusal("time", str(error)) from None

    def _vector(self, x: Mapping[str, Any]) -> npt.NDArray[np.float64]:
        try:
            vector = self.schema.vector(x)
        except DataError as error:
            raise _Refusal("features", str(error)) from None
        if np.isnan(vector).all():
            raise _Refusal("features", "no feature has a value")
        return vector

    def _code(self, label: Any) -> int | None:
        try:
            return None if label is None else self.schema.code(label)
        except DataError as error:
            raise _Refusal("label", str(error)) from None

    def _counted(self, event: Event) -> Event:
        self.taken += 1
        return event


class _Refusal(Exception):
    """Why something is no event."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    x: dict[str, Any] | None = None
    y: bool | int | float | str | None = None
    id: str | int | None = None
    time: float | str | None = None


_decode = msgspec.json.Decoder(_Message).decode


def to_ns(when: float | str) -> int:
    """Nanoseconds since 1970 of a number of seconds since then, or of an ISO 8601 text; UTC if it names no zone.

    Raises
    ------
    DataError
        It is neither, or not between 1970 and 2262.

    Examples
    --------
    >>> to_ns(1.5), to_ns("1970-01-01T00:00:01.5"), to_ns("1970-01-01T01:00+01:00")
    (1500000000, 1500000000, 0)
    """
    if isinstance(when, str):
        try:
            date = datetime.fromisoformat(when)
        except ValueError:
            raise DataError(f"time must be seconds since 1970 or an ISO 8601 text, got {shown(when)}") from None
        # Not date.timestamp(): a float has not all the digits.
        try:
            since = (date if date.tzinfo else date.replace(tzinfo=UTC)) - _EPOCH
        except OverflowError:
            raise DataError(f"time must be between 1970 and 2262, got {shown(when)}") from None
        seconds, time_ns = since.total_seconds(), since // timedelta(microseconds=1) * 1000
    else:
        seconds = when
        # Whole microseconds: a float has no more digits for the seconds of these years.
        time_ns = round(when * 1e6) * 1000 if abs(when) <= _TIME_S_MAX else 0
    if not 0 <= seconds <= _TIME_S_MAX:
        hint = "; is it in milliseconds?" if seconds > _TIME_S_MAX else ""
        raise DataError(f"time must be between 1970 and 2262, got {shown(when)}{hint}")
    return time_ns


class _Parsed:
    """What all sources have: a parser that keeps count, perhaps a queue that drops."""

    _parser: Parser
    _queue: DropOldest | None = None

    @property
    def taken(self) -> int:
        """Events so far."""
        return self._parser.taken

    @property
    def refusals(self) -> Counter[str]:
        """What was refused so far, by reason."""
        return self._parser.refusals

    @property
    def dropped(self) -> int:
        """Messages that came faster than they were taken, and were lost: the oldest that waited."""
        return self._queue.dropped if self._queue is not None else 0


class JsonLines(_Parsed):
    """One JSON object a line, from standard input, a file or a FIFO.

    Parameters
    ----------
    schema : Schema
        What the names and labels must be.
    path : path, optional
        A file or a FIFO; standard input when not given.
    follow : bool
        Do not end where the file ends, but wait for lines that are appended to it; with a FIFO, for the next writer.
    refused : callable(reason, text), optional
        Told once per reason what was refused.

    Raises
    ------
    ConfigError
        There is no such file, or it is a folder, or ``follow`` is set without a path.
    """

    def __init__(
        self,
        schema: Schema,
        path: str | os.PathLike[str] | None = None,
        *,
        follow: bool = False,
        refused: Refused | None = None,
    ) -> None:
        if path is None and follow:
            raise ConfigError("follow needs a path: standard input ends when its writer closes it")
        self._path = None if path is None else Path(path).expanduser()
        if self._path is not None and not self._path.exists():
            raise ConfigError(f"path: no such file: {self._path}")
        if self._path is not None and self._path.is_dir():
            raise ConfigError(f"path must be a file or a FIFO, got a folder: {self._path}")
        if self._path is None and sys.stdin is None:
            raise ConfigError("there is no standard input")
        self._follow = follow
        self._parser = Parser(schema, refused)

    async def events(self) -> AsyncGenerator[Event]:
        """The events until the input ends; `DataError` if it cannot be read."""
        lines = _Lines(MESSAGE_BYTES_MAX)
        try:
            # Without O_NONBLOCK a FIFO would keep the whole node waiting for its first writer.
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK) if self._path else sys.stdin.fileno()
            try:
                async with contextlib.aclosing(self._chunks(fd)) as chunks:
                    async for chunk in chunks:
                        for line in lines.split(chunk):
                            if (event := self._parser.event(line)) is not None:
                                yield event
                                await asyncio.sleep(0)  # A fast reader must not keep others waiting.
            finally:
                if self._path:
                    os.close(fd)
        except OSError as error:
            raise DataError(f"{self._path or 'standard input'}: cannot be read: {error.strerror or error}") from error

    async def _chunks(self, fd: int) -> AsyncGenerator[bytes]:
        """Bytes as they come, with a line break where a writer ends: nothing follows on a line that it left open."""
        fifo = stat.S_ISFIFO(os.fstat(fd).st_mode)
        pollable = True
        while True:
            pollable = pollable and await _readable(fd)
            try:
                # The kernel cannot say when a file can be read, so that waits in a thread; it is never long.
                data = os.read(fd, _CHUNK_BYTES) if pollable else await asyncio.to_thread(os.read, fd, _CHUNK_BYTES)
            except BlockingIOError:
                continue
            if data:
                yield data
                continue
            if fifo or not self._follow:
                yield b"\n"
            if not self._follow:
                return
            # Without a writer a FIFO counts as readable all the time.
            await asyncio.sleep(_FIFO_PAUSE_S if fifo else _FILE_PAUSE_S)


class _Lines:
    """Lines from chunks. Of a line that is too long comes one byte more than allowed, and the rest is skipped."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._open = bytearray()

    def split(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that ``chunk`` ends."""
        first, *others = chunk.split(b"\n")
        self._add(first)
        for part in others:
            yield bytes(self._open)
            self._open.clear()
            self._add(part)

    def _add(self, part: bytes) -> None:
        self._open += part[: self._bytes_max + 1 - len(self._open)]


async def _readable(fd: int) -> bool:
    """Wait until ``fd`` can be read; false if the kernel does not tell, as of files."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(fd, ready.set)
    except PermissionError:
        return False
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
    return True


class CsvReplay(_Parsed):
    """The rows of a CSV or TSV file as labelled samples, at a given rate.

    Columns hold numbers, true/false, or texts that the schema has one-hot features for; what
    `protovine.stream.read_file` takes for missing is missing. Every name in the header must be in the schema, whose
    other features stay missing. A row without a label is a sample without one. Refused rows have the reasons of
    `Parser`, or ``row``: not as long as the header.

    Parameters
    ----------
    schema : Schema
        What the names and labels must be.
    path : path
        ``.csv`` or ``.tsv``, perhaps with ``.gz``: UTF-8 with a header line.
    label : str, optional
        The label column; the last one when not given.
    rate_hz : float >= 0
        Samples a second; 0 as fast as they are taken.
    loops : int >= 0
        How many times the file is played; 0 for ever.
    refused : callable(reason, text), optional
        Told once per reason what was refused.

    Raises
    ------
    ConfigError
        A setting is out of range, or the file is not there or not of that type.
    DataError
        The file cannot be read, or its header does not go with the schema.
    """

    def __init__(
        self,
        schema: Schema,
        path: str | os.PathLike[str],
        *,
        label: str | None = None,
        rate_hz: float = 0.0,
        loops: int = 1,
        refused: Refused | None = None,
    ) -> None:
        check_range("rate_hz", rate_hz, 0, 1e6)
        check_range("loops", loops, 0)
        self._path = Path(path).expanduser()
        if not self._path.is_file():
            raise ConfigError(f"path: no such file: {self._path}")
        ending = self._path.name.lower().removesuffix(".gz")
        if not ending.endswith((".csv", ".tsv")):
            raise ConfigError(f"path must end in .csv, .tsv, .csv.gz or .tsv.gz, got {self._path}")
        self._separator = "," if ending.endswith(".csv") else "\t"
        self._rate_hz, self._loops = rate_hz, loops
        self._parser = Parser(schema, refused)
        with self._open() as file:
            self._header, self._label = self._read_header(next(self._rows(file), []), label)

    async def events(self) -> AsyncGenerator[Event]:
        """The rows in order; `DataError` if the file cannot be read any more."""
        loop = asyncio.get_running_loop()
        start_s, number, played = loop.time(), 0, 0
        while self._loops == 0 or played < self._loops:
            before = number
            with self._open() as file:
                rows = self._rows(file)
                next(rows, None)
                while batch := await asyncio.to_thread(_take, rows, _CSV_BATCH):
                    for row in batch:
                        event = self._event(row)
                        if event is None:
                            continue
                        # A node that falls behind gets what is due at once: the world does not wait either.
                        wait_s = start_s + number / self._rate_hz - loop.time() if self._rate_hz else 0
                        await asyncio.sleep(max(0, wait_s))
                        number += 1
                        yield event
            played += 1
            if number == before:  # There is nothing to play, however often.
                return

    def _event(self, row: list[str]) -> Event | None:
        if not row:
            return None  # A blank line.
        if len(row) != len(self._header):
            self._parser.refuse("row", f"the header has {len(self._header)} columns, a row has {len(row)}")
            return None
        cells = [cell.strip() for cell in row]
        x = {
            name: self._value(name, cell)
            for place, (name, cell) in enumerate(zip(self._header, cells, strict=True))
            if place != self._label and cell not in MISSING_WORDS
        }
        label = cells[self._label]
        return self._parser.row(x, None if label in MISSING_WORDS else self._label_value(label))

    def _value(self, name: str, cell: str) -> float | str:
        """A number where the schema has the column itself; a text where it has one-hot features for it."""
        if name not in self._numeric:
            return cell
        parsed = parse_texts([cell])
        return cell if parsed is None else parsed[0]

    def _label_value(self, cell: str) -> Any:
        """The label as it is written if that is a class, else the number that it stands for."""
        try:
            self._parser.schema.code(cell)
        except DataError:
            parsed = parse_texts([cell])
            return cell if parsed is None else parsed[0]
        return cell

    def _read_header(self, cells: list[str], label: str | None) -> tuple[list[str], int]:
        """The columns' names, and which is the label."""
        schema, where = self._parser.schema, self._path.name
        names = [cell.strip() for cell in cells]
        if len(names) < 2:
            raise DataError(f"{where}: a header with a label column and at least one feature is needed, got {names}")
        wanted = names[-1] if label is None else label
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{where}: column names must differ, got {shown(twice)} more than once")
        if wanted not in names:
            raise DataError(f"{where}: no column {wanted!r} to use as label{suggest(wanted, names)}")
        for name in names:
            if name != wanted and not schema.names(name):
                raise DataError(f"{where}: the schema has no feature {shown(name)}")
        self._numeric = set(schema.features)
        return names, names.index(wanted)

    def _open(self) -> io.TextIOBase:
        # Bytes that are no UTF-8 spoil their cell, not the file.
        opened: Any = gzip.open if self._path.name.lower().endswith(".gz") else open
        try:
            return opened(self._path, "rt", encoding="utf-8-sig", errors="replace", newline="")
        except OSError as error:
            raise self._unreadable(error) from error

    def _rows(self, file: io.TextIOBase) -> Iterator[list[str]]:
        """The rows, the header first; one that is beyond reading, such as a quote that never ends, has no length."""
        reader = csv.reader(file, delimiter=self._separator, skipinitialspace=True)
        while True:
            try:
                yield next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield [f"{error}"]
            except (OSError, EOFError) as error:
                raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> DataError:
        return DataError(f"{self._path}: cannot be read: {' '.join(str(error).split())}")


def _take(rows: Iterator[list[str]], count: int) -> list[list[str]]:
    return list(islice(rows, count))


class Mqtt(_Parsed):
    """JSON objects on topics of an MQTT broker; connects again whenever the connection breaks.

    Messages that the broker retained from before are refused (``retained``), since they would be learnt again after
    every new connection. A lost connection is told to ``refused`` as ``connection``, and counted with the refusals.

    Parameters
    ----------
    schema : Schema
        What the names and labels must be.
    host, topics : str, sequence of str
        The broker, and what to subscribe to; topics may have the wildcards + and #.
    qos : int
        0 at most once, 1 at least once, 2 exactly once.
    queue : int, 1 to 1,000,000
        Messages that may wait; when one too many comes, the oldest is dropped.
    refused : callable(reason, text), optional
        Told once per reason what was refused.
    **broker
        Other settings of `protovine.net.io.mqtt.Broker`.

    Raises
    ------
    ConfigError
        A setting is out of range or cannot be used.
    """

    def __init__(
        self,
        schema: Schema,
        host: str,
        topics: Sequence[str],
        *,
        qos: int = 1,
        queue: int = QUEUE,
        refused: Refused | None = None,
        **broker: Unpack[BrokerSettings],
    ) -> None:
        if isinstance(topics, str) or not topics:
            raise ConfigError(f"topics must be a list of at least one topic, got {topics!r}")
        for topic in topics:
            check_topic(topic, pattern=True)
        check_qos(qos)
        self.broker = Broker(host, **broker)
        self._topics, self._qos = list(topics), qos
        self._queue: DropOldest = DropOldest(queue)
        self._parser = Parser(schema, refused)

    async def events(self) -> AsyncGenerator[Event]:
        """The events, for ever."""
        task = asyncio.create_task(self.broker.keep_connected(self._subscribe, self._take, self._parser.refuse))
        task.add_done_callback(self._ended)
        try:
            while True:
                if (event := self._parser.event(await self._queue.get())) is not None:
                    yield event
                    await asyncio.sleep(0)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        granted: Sequence[Any] = await client.subscribe([(topic, self._qos) for topic in self._topics])
        for topic, answer in zip(self._topics, granted, strict=False):
            if int(getattr(answer, "value", answer)) >= 0x80:
                self._parser.refuse("subscription", f"{self.broker} does not let this client read {topic!r}")
        await until_disconnected(client)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nothing more will come; unless it was cancelled, that is a bug, and should show."""
        if not task.cancelled():
            self._queue.end(task.exception())

    def _take(self, message: aiomqtt.Message) -> None:
        if message.retain:
            self._parser.refuse("retained", f"a message on {str(message.topic)!r} that was retained from before")
        elif isinstance(message.payload, bytes | bytearray):
            # One byte too many is enough to refuse it.
            self._queue.put(bytes(message.payload[: MESSAGE_BYTES_MAX + 1]))


class ZenohKeys(_Parsed):
    """JSON objects put to Zenoh keys.

    Parameters
    ----------
    schema : Schema
        What the names and labels must be.
    session : zenoh.Session
        An open session. It stays open: closing it is up to whoever opened it.
    key : str
        A key expression, such as ``farm/*/weather`` or ``farm/**``.
    queue : int, 1 to 1,000,000
        Messages that may wait; when one too many comes, the oldest is dropped.
    refused : callable(reason, text), optional
        Told once per reason what was refused.

    Raises
    ------
    ConfigError
        A setting is out of range, or ``key`` is no key expression.
    """

    def __init__(
        self,
        schema: Schema,
        session: zenoh.Session,
        key: str,
        *,
        queue: int = QUEUE,
        refused: Refused | None = None,
    ) -> None:
        check_key(key)
        self._session, self._key = session, key
        self._queue: DropOldest = DropOldest(queue)
        self._parser = Parser(schema, refused)

    async def events(self) -> AsyncGenerator[Event]:
        """The events, for ever; `DataError` if the session is closed already."""
        import zenoh

        def take(sample: zenoh.Sample) -> None:
            # In a thread of Zenoh's.
            if sample.kind == zenoh.SampleKind.PUT:
                self._queue.put(sample.payload.to_bytes()[: MESSAGE_BYTES_MAX + 1])

        try:
            subscriber = self._session.declare_subscriber(self._key, take)
        except zenoh.ZError as error:
            raise DataError(f"Zenoh key {self._key}: cannot be read: {error}") from error
        try:
            while True:
                if (event := self._parser.event(await self._queue.get())) is not None:
                    yield event
                    await asyncio.sleep(0)
        finally:
            with contextlib.suppress(zenoh.ZError):  # The session was closed first.
                subscriber.undeclare()


def check_key(key: str) -> None:
    """`ConfigError` unless it is a Zenoh key expression and Zenoh is installed."""
    try:
        import zenoh
    except ImportError as error:
        raise ConfigError(f"Zenoh needs eclipse-zenoh ({error}): pip install 'protovine[net]'") from error
    try:
        zenoh.KeyExpr(key)
    except zenoh.ZError as error:
        raise ConfigError(f"key must be a Zenoh key expression, such as farm/*/weather, got {key!r}") from error
