"""Helpers of the commands: consoles and a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any

import click

from protovine.stream.options import ABSENT_MODES, INFINITY_MODES, MISSING_MODES, TEXT_MODES, ReadOptions

if TYPE_CHECKING:
    from rich.console import Console


def processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_CHOICES = {"text": TEXT_MODES, "missing": MISSING_MODES, "infinity": INFINITY_MODES, "absent": ABSENT_MODES}


def with_reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `ReadOptions` that apply to files: ``--separator`` for ``separator``, and so on."""
    for option in reversed(fields(ReadOptions)):
        if option.name != "absent":  # Files have no dictionaries.
            command = _read_option(option)(command)
    return command


def _read_option(option: Field[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    flag, text = f"--{option.name.replace('_', '-')}", option.metadata["about"]
    text = f"{text[0].upper()}{text[1:]}."
    if option.name in ("header", "day_first"):
        flag += "/--no-header" if option.name == "header" else "/--month-first"
        return click.option(flag, option.name, default=None, help=text)
    if option.default is False:
        return click.option(flag, is_flag=True, default=None, help=text)
    if option.default == ():
        return click.option(flag, multiple=True, metavar="TEXT", help=f"{text} Repeat for more.")
    if option.name in _CHOICES:
        kind = click.Choice(_CHOICES[option.name])
        return click.option(flag, type=kind, default=None, help=f"{text} [default: {option.default}]")
    return click.option(flag, default=None, help=text)


def take_reading(flags: dict[str, Any]) -> dict[str, Any]:
    """The options of `ReadOptions` that were given, taken out of ``flags``."""
    given = {option.name: flags.pop(option.name) for option in fields(ReadOptions) if option.name in flags}
    return {name: value for name, value in given.items() if value not in (None, ())}


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
