"""Samples from a class of the user's own, which `source.code` names."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import queue
import threading
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Any

import numpy as np

from protovine.errors import ConfigError, DataError
from protovine.net.causes import Report
from protovine.net.io.base import Event
from protovine.net.io.messages import Messages
from protovine.net.io.parsed import ParsedSource
from protovine.net.io.parser import Parser
from protovine.net.io.schema import Schema
from protovine.own import with_place

_log = logging.getLogger("protovine")
_End = object()


class OwnSource(ParsedSource):
    """What an object's ``events`` yields: messages as in JSON, or `Event`.

    ``events`` is an async generator, or an ordinary one, which may wait for its device: it runs in a thread. A mapping
    is read as a message of other sources is (docs/reference/live-data.md), with numbers and arrays of NumPy and
    datetimes. An `Event` has numbers already. What does not fit the schema is refused and counted; the source goes on.

    Parameters
    ----------
    schema : Schema
        What the names and labels must be.
    given : object
        It has ``events()``; what else it has of `Source` is read, too.
    code : str
        Its class, for messages.
    messages : Messages, optional
        Where things stand in a mapping.
    refused : callable(reason, text), optional
        As in `Parser`.

    Raises
    ------
    ConfigError
        ``given`` has no method ``events``.

    Examples
    --------
    >>> class Thermometer:
    ...     def events(self):
    ...         yield {"x": {"t": 21.5}, "y": "dry"}
    ...         yield {"x": {"t": "warm"}}
    >>> async def read(source: OwnSource) -> list[Event]:
    ...     return [event async for event in source.events()]
    >>> source = OwnSource(Schema(("t",), ("dry", "wet")), Thermometer(), code="barn:Thermometer")
    >>> [(event.x.tolist(), event.y) for event in asyncio.run(read(source))], dict(source.refusals)
    ([([21.5], 0)], {'features': 1})
    """

    def __init__(
        self,
        schema: Schema,
        given: Any,
        *,
        code: str,
        messages: Messages | None = None,
        refused: Report | None = None,
    ) -> None:
        if not callable(getattr(given, "events", None)):
            raise ConfigError(f"source.code: {code} is no source: it lacks a method events")
        self._given, self._code = given, code
        self._parser = Parser(schema, refused, messages)

    @property
    def connected(self) -> bool:
        """Whether events can come now."""
        return self._open and bool(getattr(self._given, "connected", True))

    @property
    def dropped(self) -> int:
        """What the object says that it has lost."""
        return int(getattr(self._given, "dropped", 0))

    @property
    def refusals(self) -> Counter[str]:
        """What was refused so far, by reason: here, and by the object itself."""
        return self._parser.refusals + Counter(getattr(self._given, "refusals", {}))

    async def events(self) -> AsyncGenerator[Event]:
        """The events until the object has no more; `DataError` if it raises an error."""
        self._open = True
        try:
            async with contextlib.aclosing(self._items()) as items:
                async for item in items:
                    for event in self._events_of(item):
                        yield event
                    await asyncio.sleep(0)  # A source that never waits must not keep others waiting.
        finally:
            self._open = False

    def _events_of(self, item: Any) -> list[Event]:
        if isinstance(item, Event):
            event = self._parser.given(item)
            return [] if event is None else [event]
        if not isinstance(item, Mapping):
            self._parser.refuse("form", f"a source yields messages (dict) or Event, got {type(item).__name__}")
            return []
        try:
            data = json.dumps(item, default=_plain).encode()
        except (TypeError, ValueError, RecursionError) as error:
            self._parser.refuse("form", f"a message must have plain values: {error}")
            return []
        return self._parser.events(data)

    async def _items(self) -> AsyncGenerator[Any]:
        stream: Any = None
        try:
            stream = self._given.events()
            if isinstance(stream, AsyncIterator):
                async for item in stream:
                    yield item
            else:
                async with contextlib.aclosing(_from_thread(iter(stream))) as items:
                    async for item in items:
                        yield item
        except (Exception, SystemExit) as error:  # The user's code may raise anything, also by `sys.exit`.
            _log.error("source.code: %s raised an error", self._code, exc_info=error, extra={"reason": "source"})
            raise DataError(f"source.code: {self._code} raised {with_place(error)}") from error
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()


async def _from_thread(items: Iterator[Any]) -> AsyncGenerator[Any]:
    """The items of an iterator that may block; each is asked for when the one before it was taken."""
    loop = asyncio.get_running_loop()
    asked: queue.SimpleQueue[asyncio.Future[Any] | None] = queue.SimpleQueue()

    def settle(future: asyncio.Future[Any], item: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_result(item) if error is None else future.set_exception(error)

    def work() -> None:
        while (future := asked.get()) is not None:
            item, error = _End, None
            try:
                item = next(items, _End)
            except BaseException as raised:  # Else nobody would hear that the thread has ended.
                error = raised
            with contextlib.suppress(RuntimeError):  # The loop has ended meanwhile.
                loop.call_soon_threadsafe(settle, future, item, error)
        if hasattr(items, "close"):
            items.close()

    # A daemon: a device that never answers must not keep the node.
    threading.Thread(target=work, name="protovine-source", daemon=True).start()
    try:
        while True:
            future = loop.create_future()
            asked.put(future)
            item = await future
            if item is _End:
                return
            yield item
    finally:
        asked.put(None)


def _plain(value: Any) -> Any:
    """What JSON has in place of a value of NumPy or a time."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is none")
