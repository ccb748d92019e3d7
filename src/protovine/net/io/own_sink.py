"""Predictions to a class of the user's own, which `sink.code` names."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from typing import Any

import msgspec

from protovine.errors import ConfigError
from protovine.net.causes import Report
from protovine.net.io.base import CLOSE_TIMEOUT_S, QUEUE, Output, ReportingSink, encode
from protovine.net.io.queues import DropOldest
from protovine.own import with_place

_log = logging.getLogger("protovine")
_decode = msgspec.json.Decoder(Output).decode


class OwnSink(ReportingSink):
    """Calls an object's ``put`` with each `Output`, in a thread: it may wait for its device.

    An output for which ``put`` raises an error is lost. The first such error in a row is reported and logged with its
    traceback, and so is the end of the row. At the end ``close`` is called, if the object has it.

    Parameters
    ----------
    given : object
        It has ``put(output)``.
    code : str
        Its class, for messages.
    queue : int, 1 to 1,000,000
        Outputs that may wait.
    failed : callable(reason, text), optional
        Called when ``put`` begins to fail, and when it works again.

    Raises
    ------
    ConfigError
        ``given`` has no method ``put``, or one that is a coroutine, or ``queue`` is out of range.

    Examples
    --------
    >>> class Valve:
    ...     def put(self, output):
    ...         print("open" if output.prediction == "dry" else "close", output.probabilities)
    >>> async def write() -> None:
    ...     sink = OwnSink(Valve(), code="barn:Valve")
    ...     await sink.put(Output(7, 1.5, "dry", {"dry": 0.75, "wet": 0.25}, prototypes=31, node="barn-3"))
    ...     await sink.close()
    >>> asyncio.run(write())
    open {'dry': 0.75, 'wet': 0.25}
    """

    def __init__(self, given: Any, *, code: str, queue: int = QUEUE, failed: Report | None = None) -> None:
        super().__init__(failed)
        if not callable(getattr(given, "put", None)):
            raise ConfigError(f"sink.code: {code} is no sink: it lacks a method put")
        if inspect.iscoroutinefunction(given.put):
            raise ConfigError(f"sink.code: put of {code} must be an ordinary method, not async: it runs in a thread")
        self._given, self._code = given, code
        self._queue: DropOldest[bytes] = DropOldest(queue)
        self._lost = 0
        self._closed = False
        self._error = ""  # Of the newest output; empty if it was taken.
        self._reported = False
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Outputs that were lost: by an error, as the oldest that waited, and after the end."""
        return self._queue.dropped + self._lost + self._late + (len(self._queue) if self._closed else 0)

    @property
    def connected(self) -> bool:
        """Whether the newest output was taken."""
        return not self._closed and not self._error

    @property
    def closed(self) -> bool:
        """Whether the node has ended."""
        return self._closed

    async def put(self, output: Output) -> None:
        """Hand it to the thread that calls the object."""
        self._report()
        if self._closed:
            self._late += 1
            return
        if self._thread is None:
            # A daemon: a device that never answers must not keep the node.
            self._thread = threading.Thread(target=self._work, name="protovine-own-sink", daemon=True)
            self._thread.start()
        self._queue.put(encode(output))

    async def close(self) -> None:
        """Hand over what waits, for at most two seconds."""
        self._queue.end()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, CLOSE_TIMEOUT_S)
        self._report()
        self._closed = True

    def _report(self) -> None:
        """Say that outputs begin to be lost, or that they are taken again; not from the thread."""
        error = self._error
        if self._failed is not None and self._reported != bool(error):
            self._reported = bool(error)
            self._failed("sink", f"sink.code: {self._code} {f'raised {error}' if error else 'takes outputs again'}")

    def _work(self) -> None:
        while (data := self._queue.take()) is not None:
            try:
                self._given.put(_decode(data))
                self._error = ""
            except (Exception, SystemExit) as error:  # The user's code may raise anything, also by `sys.exit`.
                if not self._error:
                    _log.debug("sink.code: %s raised an error", self._code, exc_info=error)
                self._error = with_place(error)
                self._lost += 1
        if callable(close := getattr(self._given, "close", None)):
            try:
                close()
            except (Exception, SystemExit) as error:
                self._error = f"{with_place(error)} in close"
