"""When a running node's state is saved, and how a node is restored from it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from protovine.errors import SnapshotError
from protovine.net.store import Store
from protovine.net.tally import Tally
from protovine.net.tapes import TapeFile
from protovine.node import Node

_log = logging.getLogger("protovine")


class Snapshots:
    """Saves a runtime's state, from time to time and when it is asked to.

    Parameters
    ----------
    store : Store or None
        Without one nothing can be saved.
    state : callable () -> dict
        The state of this moment.
    clock : callable () -> int
        Nanoseconds, by a clock that never jumps.
    tally : Tally
        Counts snapshots and failures.
    period_s : float
        Seconds between snapshots; a change holds after the snapshot that is due next.

    Attributes
    ----------
    tape : TapeFile or None
        It is on the disk before each snapshot, so that it leads there also after a crash.
    """

    def __init__(
        self,
        store: Store | None,
        state: Callable[[], dict[str, Any]],
        clock: Callable[[], int],
        tally: Tally,
        period_s: float,
    ) -> None:
        self.store, self.tally, self.period_s = store, tally, period_s
        self.tape: TapeFile | None = None
        self._state, self._clock = state, clock
        self._asked = asyncio.Event()

    @property
    def warnings(self) -> list[str]:
        """Why nothing is saved now, or taken down."""
        failure = None if self.store is None else self.store.failure
        tape = [] if self.tape is None else self.tape.warnings
        return tape if failure is None else [f"nothing can be saved: {failure}", *tape]

    def request(self) -> None:
        """Save a snapshot soon; from the loop's thread."""
        self._asked.set()

    async def keep(self) -> None:
        """Save a snapshot every ``period_s`` seconds, and when it is asked for; for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.period_s):
                    await self._asked.wait()
            self._asked.clear()
            # In a thread, because a disk may be slow.
            saving = asyncio.ensure_future(asyncio.to_thread(self.save, self._state()))
            try:
                await asyncio.shield(saving)
            except asyncio.CancelledError:
                await saving  # The last snapshot must come after it.
                raise

    def save_last(self) -> None:
        """Save the state with which the node leaves, and say what is lost if that fails."""
        self.save()
        assert self.store is not None
        if self.store.failure is not None:
            text = "what was learnt since the last snapshot is lost: it could not be saved at the end: %s"
            _log.error(text, self.store.failure, extra={"reason": "snapshot"})

    def save(self, state: dict[str, Any] | None = None) -> None:
        """Save ``state``, by default that of now; a failure is counted, logged when it begins, and not fatal."""
        assert self.store is not None
        failed = self.store.failure is not None
        state = self._state() if state is None else state
        if self.tape is not None:
            self.tape.sync()
        try:
            self.store.save(state)
        except OSError as error:
            self.tally.snapshots_failed += 1
            if not failed:
                _log.error("nothing can be saved until this ends: %s", error, extra={"reason": "snapshot"})
            return
        self.tally.snapshots += 1
        self.tally.snapshot_ns = self._clock()
        if failed:
            _log.warning("snapshots are saved again")


def restore_node(build: Callable[[list[int]], Node], state: dict[str, Any], now_ns: int) -> Node:
    """A node built with the peers in a saved state, and restored from it; `SnapshotError` if the state is damaged."""
    try:
        peers, data = [int(peer) for peer in state["peers"]], bytes(memoryview(state["node"]))
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(f"the snapshot is damaged: {error}") from None
    node = build(peers)
    node.restore(data, now_ns)
    return node
