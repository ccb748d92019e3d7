"""What the sources have in common that have a parser: they count by it, and may queue messages for it."""

from __future__ import annotations

import asyncio
from collections import Counter, deque

from protovine.net.io.base import Event
from protovine.net.io.parser import Parser
from protovine.net.io.queues import DropOldest


class ParsedSource:
    """A source with a parser, which counts."""

    _parser: Parser
    # Whether `events` is between its beginning and its end.
    _open = False

    @property
    def connected(self) -> bool:
        """Whether messages can come now."""
        return self._open

    @property
    def taken(self) -> int:
        """Events so far."""
        return self._parser.taken

    @property
    def refusals(self) -> Counter[str]:
        """What was refused so far, by reason."""
        return self._parser.refusals

    @property
    def never_seen(self) -> list[str]:
        """Features that no sample so far had a value for."""
        return self._parser.never_seen

    @property
    def unmapped(self) -> list[str]:
        """Features that its settings leave out, so that they stay missing in every sample."""
        return self._parser.unmapped

    @property
    def dropped(self) -> int:
        """Messages that came faster than they were taken, and were lost: none, because the writer waits."""
        return 0


class QueuedSource(ParsedSource):
    """A source whose messages wait, with their topics, in a queue that drops the oldest."""

    _queue: DropOldest[tuple[str, bytes]]

    def __init__(self) -> None:
        self._ready: deque[Event] = deque()

    @property
    def dropped(self) -> int:
        """Messages that came faster than they were taken, and were lost: the oldest that waited."""
        return self._queue.dropped

    async def _next_event(self) -> Event:
        """The next event in the queue; other tasks get their turn first."""
        await asyncio.sleep(0)
        while not self._ready:
            try:
                async with asyncio.timeout(self._parser.wait_s()):
                    topic, data = await self._queue.get()
            except TimeoutError:
                self._ready.extend(self._parser.due())
            else:
                self._ready.extend(self._parser.events(data, topic))
        return self._ready.popleft()
