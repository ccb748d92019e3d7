"""Queues between threads and the event loop."""

import asyncio
import threading

import pytest

from protovine.errors import ConfigError
from protovine.net.io.queues import DropOldest


def test_a_queue_takes_from_threads_in_order_and_drops_the_oldest():
    async def run():
        queue = DropOldest(1000)
        writer = threading.Thread(target=lambda: [queue.put(b"%d" % n) for n in range(500)])
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)  # It waits before anything is there.
        writer.start()
        got = [await waiting] + [await queue.get() for _ in range(499)]
        writer.join()
        assert [b"%d" % n for n in range(500)] == got
        for n in range(1003):
            queue.put(b"%d" % n)
        assert (1000, 3, b"3") == (len(queue), queue.dropped, await queue.get())

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_queue_bounds_bytes_too():
    queue = DropOldest(1000)
    for _ in range(70):
        queue.put(bytes(1 << 20))
    assert (64, 6) == (len(queue), queue.dropped)
    with pytest.raises(ConfigError, match=r"^queue must be between 1 and 1e\+06, got 0$"):
        DropOldest(0)
