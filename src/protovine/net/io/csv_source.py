"""Samples from the rows of a file."""

from __future__ import annotations

import asyncio
import csv
import io
import os
from collections.abc import AsyncGenerator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from protovine.errors import ConfigError, DataError, check_range, suggest
from protovine.net.causes import Place
from protovine.net.io.base import Event, Report
from protovine.net.io.csv_marks import DateShapes, Marks, NumberShapes, marks_of
from protovine.net.io.parsed import ParsedSource
from protovine.net.io.parser import Parser
from protovine.net.io.reading import FieldError
from protovine.net.io.schema import Schema, shown
from protovine.stream import ReadOptions
from protovine.stream.cells import TRUTHS, is_missing, missing_numbers
from protovine.stream.dates import iso_date, shows_order, why_no_date
from protovine.stream.dialect import (
    COMPRESSIONS,
    HEAD_CHARS,
    Dialect,
    base_ending,
    encoding_of,
    open_bytes,
    read_errors,
    sniff,
    swallowed,
    unreadable,
)
from protovine.stream.table import check_titles, find_column, is_unnamed, some_columns

_CSV_BATCH = 256
# The rows that show which columns have values.
_SAMPLE_ROWS = 1000


class CsvReplay(ParsedSource):
    """The rows of a CSV or TSV file as labelled samples, at a given rate.

    The rules are those of `protovine.stream.read_file`: which cells are missing, how numbers and dates are written, and
    what the beginning of the file shows of its dialect. Columns hold numbers, true/false, or texts that the schema has
    one-hot features for. Every name in the header must be in the schema, whose other features stay missing; a column
    without values may be any. A row without a label is a sample without one. Refused rows have the reasons of `Parser`,
    or ``row``: not as long as the header, or commented out.

    The file is read once before the first sample, since its last row may show how numbers and dates are written. That
    pass is spared if no column holds dates and `read` has ``decimal`` or ``thousands``.

    Parameters
    ----------
    schema : Schema
        What the names and labels must be.
    path : path
        ``.csv`` or ``.tsv``, perhaps with ``.gz``, ``.bz2``, ``.xz`` or ``.zst``.
    label : str or int, optional
        The label column, by name or place; ``""`` for a file without labels. When not given it is the last one, which
        then must not be a feature of the schema.
    rate_hz : float >= 0
        Samples a second; 0 as fast as they are taken.
    loops : int >= 0
        How many times the file is played; 0 for ever.
    read : ReadOptions, optional
        How the file is written; what it says of features and of imputing does not apply.
    refused : callable(reason, text), optional
        Called once per reason.

    Raises
    ------
    ConfigError
        A setting is out of range, or the file is not there or not of that type.
    DataError
        The file cannot be read, or its header does not go with the schema.

    Examples
    --------
    >>> import tempfile
    >>> schema = Schema(("t", "h"), ("dry", "wet"))
    >>> async def played(source: CsvReplay) -> list[Event]:
    ...     return [event async for event in source.events()]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "barn.csv")
    ...     _ = path.write_text("t,h,rain\\n21.5,50,dry\\n18,,wet\\n?,91,wet,?\\n")
    ...     source = CsvReplay(schema, path)
    ...     events = asyncio.run(played(source))
    >>> [(event.x.tolist(), event.y) for event in events], dict(source.refusals)
    ([([21.5, 50.0], 0), ([18.0, nan], 1)], {'row': 1})
    """

    def __init__(
        self,
        schema: Schema,
        path: str | os.PathLike[str],
        *,
        label: str | int | None = None,
        rate_hz: float = 0.0,
        loops: int = 1,
        read: ReadOptions | None = None,
        refused: Report | None = None,
    ) -> None:
        check_range("rate_hz", rate_hz, 0, 1e6)
        check_range("loops", loops, 0)
        self._path = Path(path).expanduser()
        if not self._path.is_file():
            raise ConfigError(f"path: no such file: {self._path}")
        ending = base_ending(self._path.name)
        if not ending.endswith((".csv", ".tsv")):
            raise ConfigError(f"path must end in .csv, .tsv or these with {', '.join(COMPRESSIONS)}, got {self._path}")
        self._options = ReadOptions() if read is None else read
        self._options.without(
            "a CSV replay", ("text", "missing", "absent", "text_columns", "number_columns", "group", "sort_by")
        )
        self._rate_hz, self._loops = rate_hz, loops
        self._parser = Parser(schema, refused)
        self._numeric, self._times = set(schema.features) - set(schema.ordinal), set(schema.times)
        head = self._head()
        self._dialect = sniff(self._path.name, head, "," if ending.endswith(".csv") else "\t", self._options)
        body = head[self._dialect.body :]
        rows = [row for _, row in islice(self._rows(io.StringIO(body, newline="")), _SAMPLE_ROWS) if any(row)]
        # Lines before the first row: the header, and what stands above it.
        self._lines_before = sum(1 for _ in io.StringIO(head[: self._dialect.body], newline=""))
        self._header, self._label, empty = self._read_header(self._dialect, label, rows)
        if not rows:
            raise DataError(f"{self._path.name}: there are no rows")
        self._marks = self._judge(empty)
        self._gone = missing_numbers(self._options, self._marks.numbers)

    @property
    def unmapped(self) -> list[str]:
        """Features that no column of the file is for."""
        return self._parser.schema.without(
            {name for place, name in enumerate(self._header) if name is not None and place != self._label}
        )

    async def events(self) -> AsyncGenerator[Event]:
        """The rows in order; `DataError` if the file cannot be read any more."""
        loop = asyncio.get_running_loop()
        start_s, number, played = loop.time(), 0, 0
        while self._loops == 0 or played < self._loops:
            before = number
            with self._opened() as file:
                self._open = True
                file.read(self._dialect.body)
                rows = self._rows(file)
                while batch := await asyncio.to_thread(_take, rows, _CSV_BATCH):
                    for line, row in batch:
                        event = self._event(row, Place(self._path.name, self._lines_before + line))
                        if event is None:
                            continue
                        # A node that falls behind gets due rows at once, as real sensors would not wait either.
                        wait_s = start_s + number / self._rate_hz - loop.time() if self._rate_hz else 0
                        await asyncio.sleep(max(0, wait_s))
                        number += 1
                        yield event
            played += 1
            if number == before:  # There is nothing to play, however often.
                break
        self._open = False

    def _event(self, row: list[str], at: Place) -> Event | None:
        fault = self._fault(row)
        if fault is not None:
            if fault:
                self._parser.refuse("row", fault, place=at)
            return None
        cells = [cell.strip() for cell in row]
        x: dict[str, float | str | None] = {}
        try:
            for place, (name, cell) in enumerate(zip(self._header, cells, strict=True)):
                if place != self._label and name is not None:
                    x[name] = self._value(name, cell)  # None, not left out: that may mean 0.
        except FieldError as error:
            self._parser.refuse("features", str(error), field=error.field, place=at)
            return None
        return self._parser.row(x, None if self._label is None else self._label_value(cells[self._label]), at)

    def _fault(self, row: list[str]) -> str | None:
        """Why a row cannot be used; nothing if it is blank or a comment, None if it can be used."""
        mark = self._options.comment or "#"
        if not row or (len(row) == 1 and not row[0].strip()):
            return ""
        if row[0].startswith(mark):
            if self._options.comment is not None or len(row) != len(self._header):
                return ""
            if not self._is_value(row[0].strip()):
                return f"it begins with {shown(row[0])}; read = {{ comment = '#' }} if such lines are comments"
        if len(row) != len(self._header):
            return f"the header has {len(self._header)} columns, the row has {len(row)}"
        if (rows := swallowed(row, self._dialect.separator)) > 1:
            return f"a text in quotes would be {rows} rows without its quotes: is a quote missing?"
        return None

    def _is_value(self, cell: str) -> bool:
        """Whether a cell of the first column, which begins like a comment, is missing, or a text of the schema."""
        schema, name = self._parser.schema, self._header[0]
        if is_missing(cell, self._options, among_numbers=True):
            return True
        if self._label == 0:
            return cell in schema.classes
        return name is not None and (f"{name}={cell}" in self._numeric or cell in schema.ordinal.get(name, ()))

    def _value(self, name: str, cell: str) -> float | str | None:
        """A number where the schema has the column itself; a text where it has one-hot features; None if missing."""
        if is_missing(cell, self._options, among_numbers=name in self._numeric):
            return None
        if name not in self._numeric:
            return cell
        number = self._marks.numbers.parse(cell)
        if number in self._gone:
            return None
        if name in self._times:
            return self._time(name, cell, number is not None)
        if cell.lower() in TRUTHS:
            return TRUTHS[cell.lower()]
        if number is not None and np.isinf(number):
            return None if self._options.infinity == "missing" else number
        return cell if number is None else number

    def _time(self, name: str, cell: str, is_number: bool) -> str:
        """A date in ISO 8601; in a column without dates, what the schema may read as a time."""
        if name not in self._marks.day_first:
            return cell
        first = self._marks.day_first[name]
        iso = iso_date(cell, first)
        if iso is not None:
            return iso
        why, _ = why_no_date(cell, first, self._options, number=is_number)
        if first is None and shows_order(cell) is not None:
            why = "does not show whether the day or the month comes first (read = { day_first = true } or false)"
        raise FieldError(name, f"feature {shown(name)}: {shown(cell)} {why}, but the column holds dates")

    def _label_value(self, cell: str) -> Any:
        """The label as it is written if that is a class, else the number that it stands for; None if missing."""
        schema = self._parser.schema
        try:
            schema.code(cell)
        except DataError:
            of_numbers = not any(isinstance(label, str) for label in schema.classes)
            if is_missing(cell, self._options, among_numbers=of_numbers):
                return None
            number = self._marks.numbers.parse(cell)
            return cell if number is None else number
        return cell

    def _read_header(
        self, dialect: Dialect, label: str | int | None, rows: list[list[str]]
    ) -> tuple[list[str | None], int | None, list[tuple[int, str]]]:
        """The columns' names, None for those left out; which is the label; those left out as they have no values."""
        schema, where = self._parser.schema, self._path.name
        names: list[str] = ["", *dialect.titles] if dialect.row_names else [*dialect.titles, *[""] * dialect.spare]
        if is_unnamed(names[0]) and not schema.names(names[0]):
            names[0] = ""
        dropped = {place for wanted in self._options.drop for place in some_columns(where, names, wanted)}
        kept = [place for place, name in enumerate(names) if name and place not in dropped]
        wanted = self._options.label if label is None else label
        if len(kept) < (1 if wanted == "" else 2):
            raise DataError(f"{where}: a header with a label column and at least one feature is needed, got {names}")
        check_titles(where, [names[place] for place in kept])
        at = kept[-1] if wanted is None else None if wanted == "" else find_column(where, names, wanted, "label")
        if wanted is None and schema.names(names[kept[-1]]):
            raise DataError(
                f"{where}: the last column, {shown(names[kept[-1]])}, is a feature of the schema; label = 'NAME' or "
                "its place says which column is the label, and label = '' that there is none"
            )
        found: list[str | None] = [name if place in kept else None for place, name in enumerate(names)]
        empty = []
        for place, name in enumerate(names):
            if place == at or place in dropped or (name and schema.names(name)):
                continue
            if any(len(row) > place and not is_missing(row[place].strip(), self._options) for row in rows):
                self._refuse_column(place, name)
            found[place] = None
            if name or place > 0:
                empty.append((place, name))
        return found, at, empty

    def _refuse_column(self, place: int, name: str) -> None:
        """`DataError` for a column with values that the schema does not have, unless it has the rows' names."""
        where, text = self._path.name, shown(name)
        if name:
            raise DataError(
                f"{where}: the schema has no feature {text}{suggest(name, self._parser.schema.features)}; "
                f"label = {text} makes it the label, read = {{ drop = [{text}] }} leaves it out"
            )
        if place > 0:
            raise DataError(f"{where}: column {place} (counted from 0) has no name; drop leaves it out")

    def _judge(self, empty: list[tuple[int, str]]) -> Marks:
        """How numbers and dates are written, from all rows. Columns without values must stay so: `empty`."""
        used = [(at, name) for at, name in enumerate(self._header) if name in self._numeric and at != self._label]
        dates = {at: DateShapes() for at, name in used if name in self._times}
        numbers = {at: NumberShapes(self._options) for at, _ in used if at not in dates}
        if self._options.decimal is not None or self._options.thousands is not None:
            numbers = {}
        judged: list[tuple[int, NumberShapes | DateShapes]] = [*numbers.items(), *dates.items()]
        if judged or empty:
            with self._opened() as file:
                file.read(self._dialect.body)
                for _, row in self._rows(file):
                    if self._fault(row) is not None:
                        continue
                    for at, shapes in judged:
                        shapes.add(row[at].strip())
                    for at, name in empty:
                        if not is_missing(row[at].strip(), self._options):
                            self._refuse_column(at, name)
        return marks_of(
            self._path.name,
            {str(self._header[at]): shapes for at, shapes in numbers.items()},
            {str(self._header[at]): shapes for at, shapes in dates.items()},
            self._options,
        )

    def _head(self) -> str:
        """The first lines of the file."""
        with self._opened() as file:
            try:
                head = file.read(HEAD_CHARS)
                return head + file.readline() if len(head) == HEAD_CHARS else head
            except read_errors() as error:
                raise unreadable(self._path, error) from error

    def _opened(self) -> io.TextIOBase:
        try:
            with open_bytes(self._path) as probe:
                encoding = encoding_of(self._path.name, probe.read(4096), self._options)
            # Bytes that are not of the encoding spoil their cell, not the file.
            return io.TextIOWrapper(open_bytes(self._path), encoding=encoding, errors="replace", newline="")
        except read_errors() as error:
            raise unreadable(self._path, error) from error

    def _rows(self, file: io.TextIOBase) -> Iterator[tuple[int, list[str]]]:
        """The rows, and the line where each begins, counted from 1.

        A row that is beyond reading, such as a quote that never ends, has one cell.
        """
        reader = csv.reader(file, delimiter=self._dialect.separator, skipinitialspace=True)
        while True:
            line = reader.line_num + 1
            try:
                yield line, next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, [f"{error}"]
            except read_errors() as error:
                raise unreadable(self._path, error) from error


def _take(rows: Iterator[tuple[int, list[str]]], count: int) -> list[tuple[int, list[str]]]:
    return list(islice(rows, count))
