"""Tasks of the event loop that must end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

# Cleaning up takes less, or is cut short.
_AGAIN_S = 1.0
# A sink has two seconds to write what waits, and a broker as long to take its leave.
_CLOSING_S = 5.0


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


async def end_all(first: Sequence[asyncio.Future[Any]], others: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel all tasks; wait for the ``first`` for some seconds, and until all ``others`` have ended.

    Sources and sinks are closed in the ``first``, and what hangs there must not keep the state from being saved.
    """
    for task in (*first, *others):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait(first, timeout=_CLOSING_S)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*others, return_exceptions=True)
