"""A source of your own: whatever measures becomes a stream of events that a node learns.

    python examples/own_source.py

A source has an async generator `events`, and counts (`protovine.net.Source`); `BaseSource` has the counts of one that
refuses nothing. A real node takes the class as it is, with ``--source own:own_source:GreenhouseSource``.
"""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np

from protovine.net import BaseSource, Event, Schema
from protovine.system import NodeContext, SystemSettings, build_node, resolve

SCHEMA = Schema(("temperature", "humidity"), ("dry", "wet"))
HOUR_NS = 3600 * 10**9


class GreenhouseSource(BaseSource):
    """Two sensors that are read every hour; the crop is wet when dew falls. Here they are simulated."""

    def __init__(self, hours: int) -> None:
        self.hours = hours

    async def events(self) -> AsyncGenerator[Event]:
        rng = np.random.default_rng(0)
        for hour in range(self.hours):
            await asyncio.sleep(0)  # A real source waits here for its device.
            temperature = 18 + 8 * math.sin(hour / 24 * 2 * math.pi) + rng.normal()
            humidity = 75 - 2 * (temperature - 18) + 5 * rng.normal()
            dew = temperature - (100 - humidity) / 5 > 11.5
            self.taken += 1
            yield Event(np.array([temperature, humidity]), int(dew), hour, hour * HOUR_NS)


async def main() -> None:
    """Feed a node of the default system from the source, and say how it did."""
    context = NodeContext(0, [], SCHEMA.dim, len(SCHEMA.classes), lambda purpose: np.random.default_rng(0))
    node = build_node(resolve("default", {}, SystemSettings), context)
    source, right = GreenhouseSource(hours=1000), 0
    async with aclosing(source.events()) as events:
        async for event in events:
            assert event.x is not None and event.time_ns is not None  # Other sources may send a late label alone.
            predicted = node.observe(event.x, event.y, now_ns=event.time_ns).code
            right += predicted == event.y
    print(f"{source.taken} hours, accuracy {right / source.taken:.3f}")
    print("at 20 degrees and 80 %:", SCHEMA.label(node.learner.predict(np.array([20.0, 80.0])).code))


if __name__ == "__main__":
    asyncio.run(main())
