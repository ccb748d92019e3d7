"""Helpers of the commands: consoles and a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def console_on(stderr: bool = True) -> Console:
    """A console on standard error or output; in a pipe it is 200 columns wide."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # A pipe has no width. With 200 columns rich neither folds nor cuts a table.
    return Console(stderr=stderr, width=None if stream.isatty() else 200, highlight=False)


@contextmanager
def progress(console: Console, what: str = "samples") -> Iterator[Callable[[int, int], None]]:
    """A progress bar with rate and remaining time on a terminal, and no output in a pipe.

    Yields a function that takes the number of samples (or of ``what``) done, and the total.
    """
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
        # While kernels compile and workers start, ``done`` is 0.
        yield lambda done, total: bar.update(
            task, completed=done, total=total, description=what if done else "starting"
        )
