"""Samples from Zenoh keys."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from protovine.errors import DataError
from protovine.net.causes import Report
from protovine.net.io.base import QUEUE, Event
from protovine.net.io.devices import ZENOH, Devices
from protovine.net.io.keys import check_key
from protovine.net.io.messages import Messages
from protovine.net.io.parsed import QueuedSource
from protovine.net.io.parser import MESSAGE_BYTES_MAX, Parser
from protovine.net.io.queues import DropOldest
from protovine.net.io.schema import Schema

if TYPE_CHECKING:
    import zenoh


class ZenohKeys(QueuedSource):
    """JSON objects put to Zenoh keys.

    Parameters
    ----------
    schema : Schema
        What the names and labels must be.
    session : zenoh.Session, or callable (declare) -> None
        An open session, which stays open; or a function that calls ``declare`` with a session, and again with every
        session that replaces it.
    key : str
        A key expression, such as ``farm/*/weather`` or ``farm/**``.
    queue : int, 1 to 1,000,000
        Messages that may wait; when one too many comes, the oldest is dropped.
    device : str or sequence of str, optional
        Patterns that find the device in a key, such as ``farm/{device}/**``; by default the whole key is the device.
    messages : Messages, optional
        Where things stand in a message.
    refused : callable(reason, text), optional
        As in `Parser`.

    Raises
    ------
    ConfigError
        A setting is out of range, or ``key`` is no key expression.

    Examples
    --------
    >>> import asyncio
    >>> import zenoh
    >>> async def first(source: ZenohKeys, session: zenoh.Session) -> Event:
    ...     events = source.events()
    ...     coming = asyncio.ensure_future(anext(events))
    ...     while not source.connected:
    ...         await asyncio.sleep(0)
    ...     session.put("farm/barn/weather", b'{"x": {"t": 21.5}, "y": "dry"}')
    ...     event = await coming
    ...     await events.aclose()
    ...     return event
    >>> config = '{listen: {endpoints: []}, scouting: {multicast: {enabled: false}}}'  # This process alone.
    >>> with zenoh.open(zenoh.Config.from_json5(config)) as session:
    ...     source = ZenohKeys(Schema(("t",), ("dry", "wet")), session, "farm/*/weather", device="farm/{device}/**")
    ...     event = asyncio.run(first(source, session))
    >>> event.x.tolist(), event.y, event.device
    ([21.5], 0, 'barn')
    """

    def __init__(
        self,
        schema: Schema,
        session: zenoh.Session | Callable[[Callable[[Any], None]], None],
        key: str,
        *,
        queue: int = QUEUE,
        device: str | Sequence[str] | None = None,
        messages: Messages | None = None,
        refused: Report | None = None,
    ) -> None:
        super().__init__()
        check_key(key)
        self._session, self._key = session, key
        self._queue = DropOldest(queue)
        self._parser = Parser(schema, refused, messages, Devices(device, ZENOH))

    async def events(self) -> AsyncGenerator[Event]:
        """The events, for ever; `DataError` if the session is closed already."""
        import zenoh

        def take(sample: zenoh.Sample) -> None:
            # In a thread of Zenoh's.
            if sample.kind == zenoh.SampleKind.PUT:
                self._queue.put((str(sample.key_expr), sample.payload.to_bytes()[: MESSAGE_BYTES_MAX + 1]))

        subscriber: Any = None
        ended = False

        def declare(session: Any) -> None:
            nonlocal subscriber
            if not ended:
                try:
                    subscriber = session.declare_subscriber(self._key, take)
                    self._open = True
                except zenoh.ZError as error:
                    self._queue.end(DataError(f"Zenoh key {self._key}: cannot be read: {error}"))

        if callable(self._session):
            self._session(declare)
        else:
            declare(self._session)
        try:
            while True:
                yield await self._next_event()
        finally:
            ended = True
            self._open = False
            if subscriber is not None:
                with contextlib.suppress(zenoh.ZError):  # The session was closed first.
                    subscriber.undeclare()
