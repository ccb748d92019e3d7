"""Opening the network again, without holding up the loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

_log = logging.getLogger("protovine")

# It is tried every second or two, perhaps for days: that it still fails is logged this often.
_REMIND_S = 60.0


class Reopening:
    """Opens something again in a thread; what is asked for meanwhile is done once more afterwards.

    Parameters
    ----------
    reopen : callable
        `Transport.reopen` or `Transport.rejoin`. An error is logged, and once a minute that it goes on.
    tasks : list of asyncio.Task
        Has the tasks that run, so that the loop's owner can wait for them.
    reopened : callable (bool) -> None
        Called in the loop at the end: whether the network is open.
    clock : callable () -> float
        Seconds, never decreasing.
    """

    def __init__(
        self,
        reopen: Callable[[], None],
        tasks: list[asyncio.Task[None]],
        reopened: Callable[[bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reopen, self._tasks, self._reopened, self._clock = reopen, tasks, reopened, clock
        self._said_s: float | None = None  # When it was logged last that it fails; None while it does not.
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def start(self, why: str = "") -> None:
        """Begin soon, and log ``why``, unless the last attempt failed; from the loop's thread."""
        if why and self._said_s is None:
            _log.warning("%s", why)
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
                self._failed(error)
                opened = False
        if opened and self._said_s is not None:
            self._said_s = None
            _log.info("the network is open again")
        self._reopened(opened)

    def _failed(self, error: Exception) -> None:
        now_s = self._clock()
        if self._said_s is None or now_s - self._said_s >= _REMIND_S:
            self._said_s = now_s
            _log.error("could not open the network, which is tried again: %s", error)
