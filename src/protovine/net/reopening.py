"""Opening the network again, without holding up the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

_log = logging.getLogger("protovine")


class Reopening:
    """Opens something again in a thread; what is asked for meanwhile is done once more afterwards.

    Parameters
    ----------
    reopen : callable
        `Transport.reopen` or `Transport.rejoin`; errors are logged.
    tasks : list of asyncio.Task
        Has the tasks that run, so that the loop's owner can wait for them.
    reopened : callable (bool) -> None
        Called in the loop at the end: whether the network is open.
    """

    def __init__(
        self, reopen: Callable[[], None], tasks: list[asyncio.Task[None]], reopened: Callable[[bool], None]
    ) -> None:
        self._reopen, self._tasks, self._reopened = reopen, tasks, reopened
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def start(self) -> None:
        """Begin soon; from the loop's thread."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())
            self._tasks.append(self._task)
            self._task.add_done_callback(self._tasks.remove)  # A node may be alone for months.

    async def _run(self) -> None:
        opened = True
        while opened and self._again:
            self._again = False
            try:
                await asyncio.to_thread(self._reopen)
            except Exception as error:
                _log.error("could not open the network: %s", error)
                opened = False
        self._reopened(opened)
