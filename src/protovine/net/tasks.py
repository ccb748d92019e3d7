"""Tasks of the event loop that must end."""

from __future__ import annotations

import asyncio
from typing import Any

# Cleaning up takes less, or is cut short.
_AGAIN_S = 1.0


async def cancel(*tasks: asyncio.Future[Any]) -> None:
    """Cancel the tasks and wait until all have ended, whatever their results.

    A task that goes on is cancelled again every second. In Python 3.11 `asyncio.wait_for`, which libraries call, drops
    a cancellation that comes at the same moment as its result.

    Examples
    --------
    >>> async def main():
    ...     task = asyncio.create_task(asyncio.sleep(60))
    ...     await cancel(task)
    ...     return task.cancelled()
    >>> asyncio.run(main())
    True
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=_AGAIN_S)
