"""What commands share: where text goes, and a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def console_on(stderr: bool = True) -> Console:
    """A console on standard error or output, as wide as it is or wide enough."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # In a pipe there is no width to keep to: nothing is folded or cut.
    return Console(stderr=stderr, width=None if stream.isatty() else 200, highlight=False)


@contextmanager
def progress(console: Console, what: str = "samples") -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and time left while a person watches; silence in a pipe."""
    if not console.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            decimals = 0 if (task.speed or 0) >= 10 else 2
            return Text(f"{task.speed:,.{decimals}f} {what}/s" if task.speed else f"– {what}/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        # Nothing has arrived while kernels are compiled and workers start.
        yield lambda done, total: bar.update(
            task, completed=done, total=total, description=what if done else "starting"
        )
