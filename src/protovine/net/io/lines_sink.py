"""Predictions as JSON lines: standard output, a file or a FIFO."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import sys
import threading
from pathlib import Path

from protovine.errors import ConfigError
from protovine.net.causes import Report
from protovine.net.io.base import CLOSE_TIMEOUT_S, QUEUE, Output, ReportingSink, encode
from protovine.net.io.files import begins_with, check_writable
from protovine.net.io.queues import DropOldest

_log = logging.getLogger("protovine")

# Pause before a file that could not be written is tried again.
_RETRY_S = 1.0
_APPENDED = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class JsonLinesSink(ReportingSink):
    """One JSON object a line to standard output or to a file or FIFO, each written as soon as it comes.

    The file is opened, or made, with the first output. If another file gets its name, or none has it, as after a
    rotation, the next output goes to the file of that name, which is made if need be.

    When the reader of a pipe goes, the sink calls ``failed`` once, is ``closed`` from then on, and drops further
    outputs. A file that cannot be written, as on a full disk, is tried again every second; ``failed`` is called when
    that begins and when it ends.

    Parameters
    ----------
    path : path, optional
        Lines are appended to what the file has. Standard output when not given.
    queue : int, 1 to 1,000,000
        Outputs that may wait.
    failed : callable(reason, text), optional
        Called when nothing can be written, and when a file can be written again.

    Raises
    ------
    ConfigError
        A setting is out of range, or the file cannot be written or has other content.

    Examples
    --------
    >>> import tempfile
    >>> async def write(path: Path) -> None:
    ...     sink = JsonLinesSink(path)
    ...     await sink.put(Output(7, 1.5, "wet", {"dry": 0.25, "wet": 0.75}, prototypes=31, node="barn-3"))
    ...     await sink.close()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     asyncio.run(write(Path(folder, "out.jsonl")))
    ...     print(Path(folder, "out.jsonl").read_text())
    {"id":7,"time":1.5,"prediction":"wet","probabilities":{"dry":0.25,"wet":0.75},"prototypes":31,"node":"barn-3"}
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, queue: int = QUEUE, failed: Report | None = None
    ) -> None:
        super().__init__(failed)
        self._queue = DropOldest(queue)
        self._path = None if path is None else Path(path).expanduser()
        self._closed = False
        self._unwritten = b""  # The line that is being written.
        self._error: str | None = None
        self._outage: str | None = None  # Why the file cannot be written for now.
        self._outage_reported = False
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        if self._path is not None:
            check_writable(self._path, "path")
            if begins_with(self._path, 1) not in (b"", b"{"):
                raise ConfigError(f"path: {self._path} has no JSON lines: name another file, or one that is empty")
        elif sys.stdout is None:
            raise ConfigError("there is no standard output")

    @property
    def dropped(self) -> int:
        """Outputs that were lost: the oldest that waited; after the end, those that waited then and that come."""
        return self._queue.dropped + self._late + (len(self._queue) + bool(self._unwritten) if self.closed else 0)

    @property
    def connected(self) -> bool:
        """Whether lines can be written: not after the reader of a pipe has gone, nor while the disk is full."""
        return not self.closed and self._outage is None

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._closed or self._error is not None

    async def put(self, output: Output) -> None:
        """Hand it to the thread that writes."""
        self._report_end()
        if self.closed:
            self._late += 1
            return
        if self._thread is None:
            # A daemon: a reader that has stopped reading may keep it waiting for ever, but must not keep the node.
            self._thread = threading.Thread(target=self._write, name="protovine-sink", daemon=True)
            self._thread.start()
        self._queue.put(encode(output) + b"\n")

    async def close(self) -> None:
        """Write what waits, for at most two seconds."""
        self._queue.end()
        self._ending.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_TIMEOUT_S)
        self._report_end()
        self._closed = True

    def _report_end(self) -> None:
        """Report why nothing can be written; not from the writing thread, where the caller would not expect it."""
        outage = self._outage
        if self._error is not None:
            self._report_once("closed", self._error)
        elif self._failed is not None and self._outage_reported != (outage is not None):
            self._outage_reported = outage is not None
            self._failed("closed", f"{self._path}: is written again" if outage is None else outage)

    def _write(self) -> None:
        name = self._path or "standard output"
        while True:
            try:
                if self._write_lines():
                    return
                _log.info("%s is another file now, which is written from here on", name, extra={"reason": "rotated"})
                continue
            except OSError as error:
                if not self._is_file() or self._ending.is_set():
                    self._error = f"{name}: cannot be written any more: {error.strerror}"
                    return
                self._outage = f"{name}: cannot be written: {error.strerror}; trying again every second"
            self._ending.wait(_RETRY_S)

    def _write_lines(self) -> bool:
        """Write until the end; false if the file has lost its name before."""
        if self._path is None:
            sys.stdout.flush()
        # Of a FIFO this waits for the reader.
        fd = sys.stdout.fileno() if self._path is None else os.open(self._path, _APPENDED, 0o666)
        try:
            if self._path is not None and self._path.is_file() and not _ends_a_line(self._path):
                os.write(fd, b"\n")
            # With os.write nothing stays in a buffer that Python would want to write when it ends.
            while line := self._unwritten or self._queue.take():
                self._unwritten, written = line, 0
                if self._path is not None and not _has_name(fd, self._path):
                    return False
                try:
                    while written < len(line):
                        written += os.write(fd, line[written:])
                except OSError:
                    if self._is_file():
                        os.ftruncate(fd, os.fstat(fd).st_size - written)
                    raise
                self._unwritten, self._outage = b"", None
            return True
        finally:
            if self._path is not None:
                os.close(fd)

    def _is_file(self) -> bool:
        return self._path is not None and (not self._path.exists() or self._path.is_file())


def _has_name(fd: int, path: Path) -> bool:
    """Whether an open file still has its name; a pipe is kept in any case."""
    own = os.fstat(fd)
    try:
        return not stat.S_ISREG(own.st_mode) or os.path.samestat(own, os.stat(path))
    except FileNotFoundError:
        return False
    except OSError:  # The folder cannot be read for now.
        return True


def _ends_a_line(path: Path) -> bool:
    """Whether a file is empty, ends with a line break or cannot be read: a machine may have stopped within a line."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            return file.read() in (b"", b"\n")
    except OSError:
        return True
