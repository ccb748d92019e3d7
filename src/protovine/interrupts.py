"""Ctrl-C where it may not come at any time: deferred, noted, or kept from processes that start."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Defer a Ctrl-C inside the block to its end. Processes that start in the block never get one."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C raise `KeyboardInterrupt` where the given function is called, and nowhere else in the block.

    Raised in the middle of `concurrent.futures.wait` it can leave futures locked, and then their pool never ends.
    """
    came: list[int] = []

    def interrupt() -> None:
        if came:
            raise KeyboardInterrupt

    with _handled(lambda number, frame: came.append(number)):
        yield interrupt


@contextlib.contextmanager
def interrupts_noted() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C in the block do nothing but make the given function true."""
    came: list[int] = []

    def note(number: int, frame: object) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with _handled(note):
        yield lambda: bool(came)


@contextlib.contextmanager
def _handled(handler: Callable[[int, Any], Any]) -> Iterator[None]:
    """Let ``handler`` handle Ctrl-C in the block, unless somebody else does."""
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
