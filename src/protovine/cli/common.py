"""Helpers of the commands: kinds of arguments, the options of reading a file, consoles and a progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from protovine.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console


class Commands(click.Group):
    """A group of commands whose help wraps the sentences of its commands; click's own cuts them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands: each with its short help, or else the first sentence of its help."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, each.get_short_help_str(10_000)) for name, each in commands if each and not each.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class NamedPath(click.Path):
    """A path that is not empty: an empty one would mean the current folder."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("a path must not be empty, got ''", param, ctx)
        return super().convert(value, param, ctx)


class Fraction(click.ParamType[float]):
    """A number, also as a fraction such as 1/7: `protovine age plan` prints some share probabilities like that."""

    name = "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        above, slash, below = str(value).partition("/")
        try:
            return float(above) / float(below) if slash else float(above)
        except (ValueError, ZeroDivisionError, OverflowError):
            self.fail(f"must be a number or a fraction such as 1/7, got '{value}'", param, ctx)


def echo(text: object = "", err: bool = False) -> None:
    """Print a text, in which names of files and data may hold control characters: these are shown as escapes."""
    click.echo(printable(str(text), keep="\n\t"), err=err)


def processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# The options of `ReadOptions` that apply to files: name, kind of option, meaning. Importing it here would take long.
READING: tuple[tuple[str, Any, str], ...] = (
    ("label", str, "label column, by name or place; the last one by default"),
    ("drop", tuple, "columns to leave out, by name or place"),
    ("group", str, "column of the device or user that a row comes from: no feature"),
    ("sort_by", str, "column of numbers or dates by which rows are put in order, first of all"),
    ("text", ("one-hot", "ordinal"), "how text columns become numbers"),
    ("missing", ("impute", "drop", "error"), "what happens to missing values"),
    ("missing_words", tuple, "more cells that mean a missing value"),
    ("infinity", ("error", "missing"), "infinite numbers are an error, or missing"),
    ("text_columns", tuple, "columns that are text even where they look like numbers or dates"),
    ("number_columns", tuple, "columns that are numbers even where most cells are not"),
    ("day_first", "--day-first/--month-first", "01/02/2024 is the first of February; from the dates by default"),
    ("decimal", str, "decimal mark, a point or a comma; from the numbers by default"),
    ("thousands", str, "separator of thousands; none by default"),
    ("header", "--header/--no-header", "whether the first line names the columns; an error by default if unclear"),
    (
        "separator",
        str,
        "character between cells, or comma, semicolon, tab, pipe, space; from the first lines by default",
    ),
    ("encoding", str, "encoding of a text file; UTF-8, or as its first bytes say, by default"),
    ("comment", str, "leave out lines that begin with this; `#` only at the top by default"),
    ("units", bool, "the line below the header holds units: leave it out"),
    ("absent", ("auto", "zero", "missing"), "what a key that a dictionary lacks means: auto, zero, missing"),
)


def with_reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `ReadOptions` that apply to files: ``--separator`` for ``separator``, and so on."""
    for name, kind, about in reversed(READING):
        flag, text = f"--{name.replace('_', '-')}", f"{about[0].upper()}{about[1:]}."
        if isinstance(kind, str):
            option = click.option(kind, name, default=None, help=text)
        elif kind is bool:
            option = click.option(flag, is_flag=True, default=None, help=text)
        elif kind is tuple:
            option = click.option(flag, multiple=True, help=f"{text} Repeat for more.")
        elif isinstance(kind, tuple):
            option = click.option(flag, type=click.Choice(kind), default=None, help=f"{text} [default: {kind[0]}]")
        else:
            option = click.option(flag, default=None, help=text)
        command = option(command)
    return command


def take_reading(flags: dict[str, Any]) -> dict[str, Any]:
    """The options of `ReadOptions` that were given, taken out of ``flags``."""
    given = {name: flags.pop(name) for name, _, _ in READING if name in flags}
    return {name: value for name, value in given.items() if value not in (None, ())}


def console_on(stderr: bool = True) -> Console:
    """A console on standard error or output; in a pipe it is 200 columns wide."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # A pipe has no width. With 200 columns rich neither folds nor cuts a table.
    return Console(stderr=stderr, width=None if stream.isatty() else 200, highlight=False)


def status_rows(found: Sequence[dict[str, Any] | None]) -> list[tuple[str, ...]]:
    """Titles, then a row for each member: its counts since its start, what it learnt in its life, its oldest view."""
    titles = ("node", "up [s]", "samples", "accuracy", "learnt in all", "prototypes", "sent [B]", "peers")
    rows: list[tuple[str, ...]] = [(*titles, "oldest view [s]", "refused")]
    for status in found:
        if status is None:
            rows.append(("…", *[""] * (len(rows[0]) - 1)))
            continue
        peers = status.get("peers", ())
        ages = [peer["age_s"] for peer in peers if peer.get("age_s") is not None and not peer.get("revoked")]
        revoked = [peer["name"] for peer in peers if peer.get("revoked")]
        forgotten = [each.get("name", str(each["id"])) for each in status.get("forgotten", ())]
        rows.append(
            (
                status["name"],
                _or_dash(status.get("up_s"), ".0f"),
                _or_dash(status.get("samples"), ","),
                _or_dash(status.get("accuracy"), ".3f"),
                _or_dash(status.get("samples_learnt"), ","),
                _or_dash(status.get("prototypes"), ","),
                _or_dash(status.get("bytes_sent"), ","),
                f"{sum(peer.get('alive', False) for peer in peers)} of {len(peers) - len(revoked)}"
                + (f", revoked: {' '.join(revoked)}" if revoked else "")
                + (f", forgotten: {' '.join(forgotten)}" if forgotten else ""),
                _or_dash(max(ages, default=None), ".1f"),
                f"{sum(status.get('refused', {}).values()):,}",
            )
        )
    return rows


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


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
