"""Messages between threads and the event loop, within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import Generic, TypeVar

from protovine.errors import check_range

BYTES_MAX = 64 << 20
ITEMS_MAX = 1_000_000


# A byte string, or one with the topic that it came on.
Item = TypeVar("Item", bytes, tuple[str, bytes])


class DropOldest(Generic[Item]):
    """A queue of byte strings, or pairs of topic and byte string, that never makes its writers
    wait: the oldest make room, and are counted.

    Parameters
    ----------
    items_max : int, 1 to 1,000,000
        Items held. They also have at most 64 MiB together, unless the newest alone has more.

    Raises
    ------
    ConfigError
        ``items_max`` is out of range.

    Examples
    --------
    >>> queue = DropOldest(2)
    >>> for data in (b"a", b"b", b"c"):
    ...     queue.put(data)
    >>> asyncio.run(queue.get()), len(queue), queue.dropped
    (b'b', 1, 1)
    """

    def __init__(self, items_max: int) -> None:
        check_range("queue", items_max, 1, ITEMS_MAX)
        self.items_max = items_max
        self.dropped = 0
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        # The loop that waits in `get`, and whether it was already woken.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filled = asyncio.Event()
        self._woken = True
        self._end: BaseException | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, data: Item) -> None:
        """Add ``data``; from any thread."""
        with self._changed:
            self._items.append(data)
            self._bytes += _size(data)
            while len(self._items) > self.items_max or (self._bytes > BYTES_MAX and len(self._items) > 1):
                self._bytes -= _size(self._items.popleft())
                self.dropped += 1
            self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come: once all is taken, ``get`` raises ``error`` and ``take`` returns None."""
        with self._changed:
            self._end = error if error is not None else EOFError("nothing more will come")
            self._wake()

    async def get(self) -> Item:
        """The oldest, waiting for it if need be; for one task at a time."""
        self._loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                if self._items:
                    return self._pop()
                if self._end is not None:
                    raise self._end
                self._filled.clear()
                self._woken = False
            await self._filled.wait()

    def take(self) -> Item | None:
        """The oldest, for one thread that has nothing else to do; None at the end."""
        with self._changed:
            while not self._items and self._end is None:
                self._changed.wait()
            return self._pop() if self._items else None

    def _pop(self) -> Item:
        data = self._items.popleft()
        self._bytes -= _size(data)
        return data

    def _wake(self) -> None:
        self._changed.notify()
        # One call wakes the loop, however many items come until it looks.
        if self._loop is not None and not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # The loop has ended.
                self._loop.call_soon_threadsafe(self._filled.set)


def _size(item: bytes | tuple[str, bytes]) -> int:
    return len(item) if isinstance(item, bytes) else len(item[0]) + len(item[1])
