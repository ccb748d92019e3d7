"""Samples of a source into a runtime, and predictions out of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from protovine.errors import SampleError
from protovine.net.runtime import Runtime
from protovine.net.samples import EventLike, SamplePrediction


async def feed(
    runtime: Runtime,
    source: AsyncIterator[EventLike],
    put: Callable[[SamplePrediction], Awaitable[None]] | None = None,
) -> None:
    """Take every event of a source, and give predictions to ``put``."""
    async for event in source:
        try:
            predicted = runtime.take(event)
        except SampleError as error:
            runtime.tally.samples_refused += 1
            reason = "label" if event.x is None else "learner"
            text = f"a local sample was refused: {error}"
            runtime.tally.causes.add(reason, text, topic=event.device, place=event.place)
            continue
        if predicted is not None and put is not None:
            await put(predicted)
        if runtime.inbound.waiting[0]:
            await asyncio.sleep(0)  # A source that never waits must not shut peers out.
