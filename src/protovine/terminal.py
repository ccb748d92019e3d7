"""What a terminal shows: text that cannot control it, and tables of any width, in which nothing is cut."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_FRAME = 3  # A rule and two blanks for each column.
_WRAPPED_MIN = 24  # A column that may be wrapped goes into a further table rather than become narrower than this.


def printable(text: str, keep: str = "") -> str:
    """Text with an escape for each character that controls a terminal or cannot be seen, except those to keep.

    Examples
    --------
    >>> printable("e\\x1b[31mz.csv"), printable("two\\nlines", keep="\\n"), printable("50\\xa0%")
    ('e\\\\x1b[31mz.csv', 'two\\nlines', '50\\xa0%')
    """
    if text.isprintable():
        return text
    return "".join(each if _is_shown(each) or each in keep else repr(each)[1:-1] for each in text)


def _is_shown(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"  # Blanks of any width.


@dataclass(frozen=True)
class Column:
    """One column: its head, its cells, and whether the lines of its cells may be wrapped.

    ``above`` stands over the first of the columns side by side that have it in common.
    """

    head: str
    cells: Sequence[str | Text]
    justify: Literal["left", "right"] = "right"
    wraps: bool = False
    above: str = ""

    def __post_init__(self) -> None:
        """Names may hold control characters; a `Text` comes from the caller."""
        object.__setattr__(self, "head", printable(self.head))
        object.__setattr__(self, "above", printable(self.above))
        object.__setattr__(self, "cells", [printable(each) if isinstance(each, str) else each for each in self.cells])

    def titled(self, before: Column | None) -> str:
        """The head to the right of another column."""
        if not self.above:
            return self.head
        return f"{'' if before is not None and before.above == self.above else self.above}\n{self.head}"

    def width(self, before: Column | None) -> int:
        """The number of places that it needs; Chinese characters take two."""
        from rich.cells import cell_len

        lines = [line for cell in (self.titled(before), *map(str, self.cells)) for line in cell.split("\n")]
        widest = max(map(cell_len, lines))
        if not self.wraps:
            return widest
        return min(widest, max(_WRAPPED_MIN, *(cell_len(word) for line in lines for word in line.split() or [""])))


def print_table(console: Console, columns: Sequence[Column], styles: Sequence[str] = ()) -> None:
    """Print columns in one table, or in several below each other if the console is too narrow for one.

    Each of them begins with the first column. ``styles`` has the style of each row. What is wider than the whole
    console is folded.
    """
    for table in tables(columns, console.width, styles):
        console.print(table)


def tables(columns: Sequence[Column], width: int, styles: Sequence[str] = ()) -> list[Table]:
    """The tables that `print_table` prints at this width.

    Examples
    --------
    >>> [len(table.columns) for table in tables([Column("name", ["elec2"]), Column("rows", ["45,312"])], 80)]
    [2]
    >>> [len(table.columns) for table in tables([Column(name, ["1.234567"]) for name in "abcd"], 30)]
    [2, 2, 2]
    """
    first, *others = columns
    rest = width - first.width(None) - _FRAME - 1
    groups: list[list[Column]] = [[]]
    left = rest
    for column in others:
        needed = column.width(groups[-1][-1] if groups[-1] else None) + _FRAME
        if groups[-1] and needed > left:
            groups.append([])
            needed, left = column.width(None) + _FRAME, rest
        groups[-1].append(column)
        left -= needed
    return [_table([first, *group], width, styles) for group in groups]


def _table(columns: Sequence[Column], width: int, styles: Sequence[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    befores = [None, *columns]
    fits = sum(column.width(before) + _FRAME for column, before in zip(columns, befores, strict=False)) < width
    table = Table()
    for column, before in zip(columns, befores, strict=False):
        # As text: "[s]" is markup otherwise.
        head = Text(column.titled(before))
        table.add_column(head, justify=column.justify, no_wrap=fits and not column.wraps, overflow="fold")
    for i, row in enumerate(zip(*(column.cells for column in columns), strict=True)):
        cells = (Text(cell) if isinstance(cell, str) else cell for cell in row)
        table.add_row(*cells, style=styles[i] if styles else None)
    return table
