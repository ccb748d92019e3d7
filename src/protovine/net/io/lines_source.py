"""Samples from JSON lines: standard input, a file or a FIFO."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from protovine.errors import ConfigError, DataError
from protovine.net.causes import Place, Report
from protovine.net.io.base import Event, ParsedSource
from protovine.net.io.messages import Messages
from protovine.net.io.parser import MESSAGE_BYTES_MAX, Parser
from protovine.net.io.schema import Schema

_CHUNK_BYTES = 1 << 16
_FIFO_PAUSE_S, _FILE_PAUSE_S = 0.05, 0.25


class JsonLines(ParsedSource):
    """One JSON object a line, from standard input, a file or a FIFO.

    Parameters
    ----------
    schema : Schema
        What the names and labels must be.
    path : path, optional
        A file or a FIFO; standard input when not given.
    follow : bool
        Do not end where the file ends, but wait for lines that are appended to it; with a FIFO, for the next writer.
    messages : Messages, optional
        Where things stand in a line.
    refused : callable(reason, text), optional
        As in `Parser`.

    Raises
    ------
    ConfigError
        There is no such file, or it is a folder or cannot be read, or ``follow`` is set without a path.

    Examples
    --------
    >>> import tempfile
    >>> async def read(source: JsonLines) -> list[Event]:
    ...     return [event async for event in source.events()]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "barn.jsonl")
    ...     _ = path.write_text('{"x": {"t": 21.5}, "y": "dry"}\\n{"x": {"temperature": 4}}\\n')
    ...     source = JsonLines(Schema(("t",), ("dry", "wet")), path)
    ...     events = asyncio.run(read(source))
    >>> [(event.x.tolist(), event.y) for event in events], dict(source.refusals)
    ([([21.5], 0)], {'features': 1})
    """

    def __init__(
        self,
        schema: Schema,
        path: str | os.PathLike[str] | None = None,
        *,
        follow: bool = False,
        messages: Messages | None = None,
        refused: Report | None = None,
    ) -> None:
        if path is None and follow:
            raise ConfigError("follow needs a path: standard input ends when its writer closes it")
        self._path = None if path is None else Path(path).expanduser()
        if self._path is not None and not self._path.exists():
            raise ConfigError(f"path: no such file: {self._path}")
        if self._path is not None and self._path.is_dir():
            raise ConfigError(f"path must be a file or a FIFO, got a folder: {self._path}")
        if self._path is not None and not os.access(self._path, os.R_OK):
            raise ConfigError(f"path: {self._path} cannot be read: Permission denied")
        if self._path is None and sys.stdin is None:
            raise ConfigError("there is no standard input")
        self._follow = follow
        self._parser = Parser(schema, refused, messages)

    async def events(self) -> AsyncGenerator[Event]:
        """The events until the input ends; `DataError` if it cannot be read."""
        lines = _Lines(MESSAGE_BYTES_MAX)
        name, number = self._path.name if self._path else "standard input", 0
        try:
            # Without O_NONBLOCK a FIFO would keep the whole node waiting for its first writer.
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK) if self._path else sys.stdin.fileno()
            self._open = True
            try:
                async with contextlib.aclosing(self._chunks(fd)) as chunks:
                    async for chunk in chunks:
                        for line in lines.split(chunk):
                            number += 1
                            for event in self._parser.events(line, place=Place(name, number)):
                                yield event
                                await asyncio.sleep(0)  # A fast reader must not keep others waiting.
            finally:
                self._open = False
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
