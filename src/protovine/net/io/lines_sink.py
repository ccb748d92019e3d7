"""Predictions as JSON lines: standard output, a file or a FIFO."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

from protovine.errors import ConfigError
from protovine.net.causes import Report
from protovine.net.io.base import CLOSE_TIMEOUT_S, QUEUE, Output, ReportingSink, encode
from protovine.net.io.files import check_writable
from protovine.net.io.queues import DropOldest


class JsonLinesSink(ReportingSink):
    """One JSON object a line to standard output or to a file or FIFO, each written as soon as it comes.

    The file is opened, or made, with the first output.

    When the reader of a pipe goes, or the disk is full, the sink calls ``failed`` once, is ``closed`` from then on, and
    drops further outputs.

    Parameters
    ----------
    path : path, optional
        Lines are appended to what the file has. Standard output when not given.
    queue : int, 1 to 1,000,000
        Outputs that may wait.
    failed : callable(reason, text), optional
        Called when nothing more can be written.

    Raises
    ------
    ConfigError
        A setting is out of range, or the file cannot be written.

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
        self._cut = 0  # Whether a line is being written.
        self._error: str | None = None
        self._thread: threading.Thread | None = None
        if self._path is not None:
            check_writable(self._path, "path")
        elif sys.stdout is None:
            raise ConfigError("there is no standard output")

    @property
    def dropped(self) -> int:
        """Outputs that were lost: the oldest that waited; after the end, those that waited then and that come."""
        return self._queue.dropped + self._late + (len(self._queue) + self._cut if self.closed else 0)

    @property
    def connected(self) -> bool:
        """Whether lines can be written: until the reader of a pipe goes, or the disk is full."""
        return not self.closed

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._closed or self._error is not None

    async def put(self, output: Output) -> None:
        """Hand it to the thread that writes."""
        if self.closed:
            self._late += 1
            self._report_end()
            return
        if self._thread is None:
            # A daemon: a reader that has stopped reading may keep it waiting for ever, but must not keep the node.
            self._thread = threading.Thread(target=self._write, name="protovine-sink", daemon=True)
            self._thread.start()
        self._queue.put(encode(output) + b"\n")

    async def close(self) -> None:
        """Write what waits, for at most two seconds."""
        self._queue.end()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_TIMEOUT_S)
        self._report_end()
        self._closed = True

    def _report_end(self) -> None:
        """Report why nothing can be written; not from the writing thread, where the caller would not expect it."""
        if self._error is not None:
            self._report_once("closed", self._error)

    def _write(self) -> None:
        fd: int | None = None
        try:
            if self._path is not None:
                fd = _open(self._path)  # Of a FIFO this waits for the reader.
            else:
                sys.stdout.flush()
                fd = sys.stdout.fileno()
            # With os.write nothing stays in a buffer that Python would want to write when it ends.
            while line := self._queue.take():
                self._cut, written = 1, 0
                while written < len(line):
                    written += os.write(fd, line[written:])
                self._cut = 0
        except OSError as error:
            self._error = f"{self._path or 'standard output'}: cannot be written any more: {error.strerror}"
        finally:
            if self._path is not None and fd is not None:
                os.close(fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
