"""How the cells of a CSV file are written, judged from all of its rows before the first one is used.

The rules are those of `protovine.stream.read_file`, which holds all rows in memory. Here a column keeps one cell of
each shape, so a file of any length can be judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from protovine.stream.cells import Numbers, is_missing, like_number, settle
from protovine.stream.dates import date_like, day_first, shows_order
from protovine.stream.options import ReadOptions

_SHAPE = str.maketrans("012345678", "9" * 9)
# Shapes that are looked up rather than judged again.
_SHAPES_MAX = 10_000


@dataclass(frozen=True)
class Marks:
    """How a file is written: its numbers, and for columns of dates whether the day comes first, by their names."""

    numbers: Numbers
    day_first: Mapping[str, bool | None]


class NumberShapes:
    """One cell of each shape in a column of numbers.

    Examples
    --------
    >>> shapes = NumberShapes(ReadOptions())
    >>> for cell in ("7", "812", "1.5", "27.25", "?", "1.234,5", "ERR", "OFF"):
    ...     shapes.add(cell)
    >>> shapes.cells
    ['7', '1.5', '27.25', '1.234,5', 'ERR']
    """

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        self._seen: set[tuple[str, bool, bool]] = set()
        self._kinds: set[str] = set()
        self.cells: list[str] = []

    def add(self, cell: str) -> None:
        """Keep the cell if no other of its shape is there."""
        if cell.isdecimal():
            self._once("whole", cell)
            return
        # What `numbers_in` looks at: the digits before and behind a mark, a 0 in front, whether the decimals are zeros.
        decimals = cell.rpartition(".")[2].strip("0") != ""
        shape = (cell.translate(_SHAPE), cell.lstrip("+-\u2212$€£¥₹ ")[:1] == "0", decimals)
        if shape in self._seen or is_missing(cell, self._options, among_numbers=True):
            return
        if not like_number(cell) and Numbers().parse(cell) is None:
            self._once("text", cell)
        elif len(self._seen) < _SHAPES_MAX:
            self._seen.add(shape)
            self.cells.append(cell)

    def _once(self, kind: str, cell: str) -> None:
        if kind not in self._kinds:
            self._kinds.add(kind)
            self.cells.append(cell)

    def are_numbers(self, decimal: str) -> bool:
        """Whether all cells are numbers with this decimal mark and no separator of thousands."""
        return all(Numbers(decimal).parse(cell) is not None for cell in self.cells)

    def have_decimals(self) -> bool:
        """Whether a number has decimals behind a point."""
        return any((Numbers().parse(cell) or 0) % 1 > 0 for cell in self.cells)


class DateShapes:
    """One date of each order of day and month in a column, and whether there are dates at all."""

    def __init__(self) -> None:
        self._orders: dict[tuple[str, bool | None], str] = {}
        self.hold_dates = False

    def add(self, cell: str) -> None:
        """Keep the cell if it is a date, and no other of its order is there."""
        if not self.hold_dates:
            self.hold_dates = date_like(cell)
        if cell[:4].isdecimal():  # The year.
            return
        if (order := shows_order(cell)) is not None:
            self._orders.setdefault(order, cell)

    @property
    def cells(self) -> Iterable[str]:
        """The dates that are kept."""
        return self._orders.values()


def marks_of(
    name: str, numbers: Mapping[str, NumberShapes], dates: Mapping[str, DateShapes], options: ReadOptions
) -> Marks:
    """How the file with these columns is written; columns without dates have no order of day and month.

    Raises
    ------
    DataError
        The cells do not show it, or contradict each other.
    """

    def look(decimal: str) -> tuple[list[tuple[str, list[str]]], bool]:
        plain = {title for title, shapes in numbers.items() if shapes.are_numbers(decimal)}
        closer = [(title, shapes.cells) for title, shapes in numbers.items() if title not in plain]
        return closer, decimal == "." and any(numbers[title].have_decimals() for title in sorted(plain))

    return Marks(
        settle(name, options, look),
        {
            title: day_first(name, title, shapes.cells, options)[0]
            for title, shapes in dates.items()
            if shapes.hold_dates
        },
    )
