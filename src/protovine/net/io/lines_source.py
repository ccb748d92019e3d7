"""Samples from JSON lines: standard input, a file or a FIFO."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from protovine.errors import ConfigError, DataError
from protovine.net.causes import Place, Report
from protovine.net.io.base import Event
from protovine.net.io.file_input import FileInput, Mark
from protovine.net.io.messages import Messages
from protovine.net.io.parsed import ParsedSource
from protovine.net.io.parser import MESSAGE_BYTES_MAX, Parser
from protovine.net.io.schema import Schema


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
        A file that takes the name of this one is read next, from its start, where lines are counted from 1.
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
        self._input = FileInput(self._path, follow)
        self._parser = Parser(schema, refused, messages)

    @property
    def connected(self) -> bool:
        """Whether messages can come now."""
        return self._open and not self.missing

    @property
    def missing(self) -> str:
        """Why there is no file to read from now; empty while there is."""
        return self._input.missing

    async def events(self) -> AsyncGenerator[Event]:
        """The events until the input ends; `DataError` if it cannot be read."""
        lines = _Lines(MESSAGE_BYTES_MAX)
        name, number = self._path.name if self._path else "standard input", 0
        self._open = True
        try:
            async with contextlib.aclosing(self._input.chunks()) as chunks:
                async for chunk in chunks:
                    for line in lines.split(chunk) if isinstance(chunk, bytes) else lines.end():
                        number += 1
                        for event in self._parser.events(line, place=Place(name, number)):
                            yield event
                            await asyncio.sleep(0)  # A fast reader must not keep others waiting.
                    if chunk is Mark.FILE:
                        number = 0
        except OSError as error:
            raise DataError(f"{self._path or 'standard input'}: cannot be read: {error.strerror or error}") from error
        finally:
            self._open = False


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

    def end(self) -> Iterator[bytes]:
        """The line that is open, if there is one: nothing follows on it."""
        if self._open:
            yield from self.split(b"\n")

    def _add(self, part: bytes) -> None:
        self._open += part[: self._bytes_max + 1 - len(self._open)]
