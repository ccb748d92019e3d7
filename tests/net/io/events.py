"""Reading a source to its end, for tests."""

import asyncio
import contextlib

from protovine.net import Schema

SCHEMA = Schema(("wind", "sky=clear", "sky=grey"), ("dry", "wet"))


def plain(event):
    """An event as a tuple that can be compared."""
    return (None if event.x is None else event.x.tolist(), event.y, event.id, event.time_ns)


def collect(source, count=None, timeout_s=20.0):
    """The first ``count`` events of a source, or all of them."""

    async def run():
        events = []
        async with asyncio.timeout(timeout_s), contextlib.aclosing(source.events()) as stream:
            async for event in stream:
                events.append(event)
                if len(events) == count:
                    break
        return events

    return asyncio.run(run())
