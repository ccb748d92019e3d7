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
from protovine.net.io.base import Event, ParsedSource, Report
from protovine.net.io.parser import Parser
from protovine.net.io.schema import Schema, shown
from protovine.stream import ReadOptions
from protovine.stream.cells import day_first, is_missing, iso_date, missing_numbers, numbers_in
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
from protovine.stream.table import check_titles, find_column, some_columns

_CSV_BATCH = 256
# The rows that show how numbers and dates are written.
_SAMPLE_ROWS = 1000


class CsvReplay(ParsedSource):
    """The rows of a CSV or TSV file as labelled samples, at a given rate.

    The rules are those of `protovine.stream.read_file`: which cells are missing, how numbers and dates are written, and
    what the beginning of the file shows of its dialect. Columns hold numbers, true/false, or texts that the schema has
    one-hot features for. Every name in the header must be in the schema, whose other features stay missing; a column
    without values may be any. A row without a label is a sample without one. Refused rows have the reasons of `Parser`,
    or ``row``: not as long as the header.

    Parameters
    ----------
    schema : Schema
        What the names and labels must be.
    path : path
        ``.csv`` or ``.tsv``, perhaps with ``.gz``, ``.bz2``, ``.xz`` or ``.zst``.
    label : str or int, optional
        The label column, by name or place; the last one when not given.
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
        self._options.without("a CSV replay", ("text", "missing", "absent", "text_columns", "number_columns", "group"))
        self._rate_hz, self._loops = rate_hz, loops
        self._parser = Parser(schema, refused)
        self._numeric, self._times = set(schema.features), set(getattr(schema, "times", ()))
        head = self._head()
        self._dialect = sniff(self._path.name, head, "," if ending.endswith(".csv") else "\t", self._options)
        body = head[self._dialect.body :]
        rows = [row for _, row in islice(self._rows(io.StringIO(body, newline="")), _SAMPLE_ROWS)]
        # Lines before the first row: the header, and what stands above it.
        self._lines_before = sum(1 for _ in io.StringIO(head[: self._dialect.body], newline=""))
        self._header, self._label = self._read_header(self._dialect, label, rows)
        self._numbers = numbers_in(self._path.name, self._sample(rows, self._numeric - self._times), self._options)
        self._gone = missing_numbers(self._options, self._numbers)
        self._day_first = {
            name: day_first(self._path.name, name, texts, self._options)[0]
            for name, texts in self._sample(rows, self._times)
        }

    @property
    def unmapped(self) -> list[str]:
        """Features that no column of the file is for."""
        return self._parser.schema.without({name for name in self._header if name is not None})

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
        mark = self._options.comment or "#"
        if not row or (len(row) == 1 and not row[0].strip()):
            return None  # A blank line.
        if row[0].startswith(mark) and (self._options.comment is not None or len(row) != len(self._header)):
            return None
        if len(row) != len(self._header):
            text = f"the header has {len(self._header)} columns, the row has {len(row)}"
            self._parser.refuse("row", text, place=at)
            return None
        if (rows := swallowed(row, self._dialect.separator)) > 1:
            text = f"a text in quotes would be {rows} rows without its quotes: is a quote missing?"
            self._parser.refuse("row", text, place=at)
            return None
        cells = [cell.strip() for cell in row]
        x: dict[str, float | str | None] = {}
        for place, (name, cell) in enumerate(zip(self._header, cells, strict=True)):
            if place != self._label and name is not None:
                x[name] = self._value(name, cell)  # None, not left out: that may mean 0.
        return self._parser.row(x, self._label_value(cells[self._label]), at)

    def _value(self, name: str, cell: str) -> float | str | None:
        """A number where the schema has the column itself; a text where it has one-hot features; None if missing."""
        if is_missing(cell, self._options, among_numbers=name in self._numeric):
            return None
        if name not in self._numeric:
            return cell
        if name in self._times:
            iso = iso_date(cell, self._day_first.get(name))
            return cell if iso is None else iso
        if cell.lower() in ("true", "false"):
            return float(cell.lower() == "true")
        number = self._numbers.parse(cell)
        if number in self._gone:
            return None
        if number is not None and np.isinf(number):
            return None if self._options.infinity == "missing" else number
        return cell if number is None else number

    def _label_value(self, cell: str) -> Any:
        """The label as it is written if that is a class, else the number that it stands for; None if missing."""
        schema = self._parser.schema
        try:
            schema.code(cell)
        except DataError:
            of_numbers = not any(isinstance(label, str) for label in schema.classes)
            if is_missing(cell, self._options, among_numbers=of_numbers):
                return None
            number = self._numbers.parse(cell)
            return cell if number is None else number
        return cell

    def _read_header(
        self, dialect: Dialect, label: str | int | None, rows: list[list[str]]
    ) -> tuple[list[str | None], int]:
        """The columns' names, None for those that are left out, and which is the label."""
        schema, where = self._parser.schema, self._path.name
        names: list[str] = ["", *dialect.titles] if dialect.row_names else [*dialect.titles, *[""] * dialect.spare]
        dropped = {place for wanted in self._options.drop for place in some_columns(where, names, wanted)}
        kept = [place for place, name in enumerate(names) if name and place not in dropped]
        if len(kept) < 2:
            raise DataError(f"{where}: a header with a label column and at least one feature is needed, got {names}")
        check_titles(where, [names[place] for place in kept])
        wanted = self._options.label if label is None else label
        at = kept[-1] if wanted is None else find_column(where, names, wanted, "label")
        found: list[str | None] = [name if place in kept else None for place, name in enumerate(names)]
        for place, name in enumerate(names):
            values = any(len(row) > place and not is_missing(row[place].strip(), self._options) for row in rows)
            if place == at or place in dropped or (name and schema.names(name)):
                continue
            if values and name:
                text = shown(name)
                raise DataError(
                    f"{where}: the schema has no feature {text}{suggest(name, schema.features)}; "
                    f"label = {text} makes it the label, read = {{ drop = [{text}] }} leaves it out"
                )
            if values and place > 0:
                raise DataError(f"{where}: column {place} (counted from 0) has no name; drop leaves it out")
            found[place] = None
        return found, at

    def _sample(self, rows: list[list[str]], names: Any) -> list[tuple[str, list[str]]]:
        """The columns of the first rows that have one of these names."""
        return [
            (name, sorted({row[place].strip() for row in rows if len(row) == len(self._header)}))
            for place, name in enumerate(self._header)
            if name is not None and name in names and place != self._label
        ]

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
