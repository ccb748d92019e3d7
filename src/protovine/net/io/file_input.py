"""The bytes of a file, a FIFO or standard input, and of the files that take its place."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import stat
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

_log = logging.getLogger("protovine")

_CHUNK_BYTES = 1 << 16
_FIFO_PAUSE_S, _FILE_PAUSE_S = 0.05, 0.25
# How long a FIFO is waited for before its name is looked at.
_FIFO_WAIT_S = 1.0
_GONE = "renamed or deleted"


class Mark(enum.Enum):
    """What can lie between two bytes."""

    END = "a writer or the input has ended: nothing follows on a line that it left open"
    FILE = "as END, and lines are counted from 1 again: another file begins"


class FileInput:
    """Bytes as they come.

    Parameters
    ----------
    path : Path or None
        A file or a FIFO; standard input, if None.
    follow : bool
        Do not end where the file ends, but wait for more. As ``tail -F`` does, follow the name: if the file is
        truncated, begin again at its start; if another file has its name, read what is left of the old one and then
        the new one from its start; if no file has it, wait for one.

    Examples
    --------
    >>> import tempfile
    >>> async def read(path: Path) -> list[bytes | Mark]:
    ...     return [chunk async for chunk in FileInput(path, follow=False).chunks()]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "barn.jsonl")
    ...     _ = path.write_bytes(b"one")
    ...     [chunk if isinstance(chunk, bytes) else chunk.name for chunk in asyncio.run(read(path))]
    [b'one', 'END']
    """

    def __init__(self, path: Path | None, follow: bool) -> None:
        self._path, self._follow = path, follow
        self.missing = ""
        """Why there is nothing to read from now; empty while there is."""
        self._next: int | None = None  # The file that has the name now, while what is left of the old one is read.

    async def chunks(self) -> AsyncGenerator[bytes | Mark]:
        """The bytes, with marks between them.

        Raises
        ------
        OSError
            The input cannot be opened or read.
        """
        fd = await self._begin()
        pollable = True
        try:
            while True:
                silent = False
                try:
                    async with asyncio.timeout(_FIFO_WAIT_S if self._follow else None):
                        pollable = pollable and await _readable(fd)
                except TimeoutError:
                    silent = True  # A FIFO whose writers have nothing to say.
                try:
                    # The kernel cannot say when a file can be read, so that waits in a thread; it is never long.
                    data = os.read(fd, _CHUNK_BYTES) if pollable else await asyncio.to_thread(os.read, fd, _CHUNK_BYTES)
                except BlockingIOError:
                    if not silent:
                        continue
                    data = b""
                if data:
                    yield data
                    continue
                if not self._follow:
                    yield Mark.END
                    return
                fifo = stat.S_ISFIFO(os.fstat(fd).st_mode)
                if fifo and not silent:
                    yield Mark.END
                if self._next is not None:
                    os.close(fd)
                    fd, self._next, pollable = self._next, None, True
                    yield Mark.FILE
                    continue
                if not silent:
                    # Without a writer a FIFO counts as readable all the time.
                    await asyncio.sleep(_FIFO_PAUSE_S if fifo else _FILE_PAUSE_S)
                if await asyncio.to_thread(self._look, fd):
                    yield Mark.FILE
        finally:
            for each in (fd, self._next):
                if each is not None and self._path is not None:
                    os.close(each)
            self._next = None

    async def _begin(self) -> int:
        if self._path is None:
            return sys.stdin.fileno()
        while True:
            try:
                return _open(self._path)
            except FileNotFoundError:  # Since it was looked for, it may just be rotated.
                if not self._follow:
                    raise
                self._lacks(_GONE)
            await asyncio.sleep(_FILE_PAUSE_S)

    def _look(self, fd: int) -> bool:
        """Look at what has the name now; true if the file was truncated, which then begins again."""
        assert self._path is not None
        own = os.fstat(fd)
        try:
            found = os.stat(self._path)
            if not os.path.samestat(own, found):
                if stat.S_ISDIR(found.st_mode):
                    raise IsADirectoryError(0, "a folder has its name")
                self._next = _open(self._path)
        except FileNotFoundError:
            self._lacks(_GONE)
            return False
        except OSError as error:
            self._lacks(error.strerror or str(error))
            return False
        if self._next is not None:
            _log.info("%s is another file now: it is read from its start", self._path, extra={"reason": "rotated"})
        elif self.missing:
            _log.info("%s is there again", self._path, extra={"reason": "rotated"})
        self.missing = ""
        if not stat.S_ISREG(own.st_mode) or own.st_size >= os.lseek(fd, 0, os.SEEK_CUR):
            return False
        if self._next is None:
            os.lseek(fd, 0, os.SEEK_SET)
            _log.warning("%s was truncated: it is read from its start", self._path, extra={"reason": "truncated"})
            return True
        return False

    def _lacks(self, why: str) -> None:
        if not self.missing:
            _log.warning("%s cannot be followed (%s): waiting for it", self._path, why, extra={"reason": "missing"})
        self.missing = f"{self._path}: {why}"


def _open(path: Path) -> int:
    # Without O_NONBLOCK a FIFO would keep the whole node waiting for its first writer.
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


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
        with contextlib.suppress(ValueError, OSError):
            loop.remove_reader(fd)
    return True
