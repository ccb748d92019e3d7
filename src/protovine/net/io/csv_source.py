"""Samples from the rows of a file."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import os
from collections.abc import AsyncGenerator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError, DataError, check_range, suggest
from protovine.net.io.base import Event, ParsedSource, Report
from protovine.net.io.parser import Parser
from protovine.net.io.schema import Schema, shown
from protovine.stream.encode import MISSING_WORDS, parse_texts

_CSV_BATCH = 256


class CsvReplay(ParsedSource):
    """The rows of a CSV or TSV file as labelled samples, at a given rate.

    Columns hold numbers, true/false, or texts that the schema has one-hot features for; what
    `protovine.stream.read_file` takes for missing is missing. Every name in the header must be in the schema, whose
    other features stay missing. A row without a label is a sample without one. Refused rows have the reasons of
    `Parser`, or ``row``: not as long as the header.

    Parameters
    ----------
    schema : Schema
        What the names and labels must be.
    path : path
        ``.csv`` or ``.tsv``, perhaps with ``.gz``: UTF-8 with a header line.
    label : str, optional
        The label column; the last one when not given.
    rate_hz : float >= 0
        Samples a second; 0 as fast as they are taken.
    loops : int >= 0
        How many times the file is played; 0 for ever.
    refused : callable(reason, text), optional
        Called once per reason.

    Raises
    ------
    ConfigError
        A setting is out of range, or the file is not there or not of that type.
    DataError
        The file cannot be read, or its header does not go with the schema.
    """

    def __init__(
        self,
        schema: Schema,
        path: str | os.PathLike[str],
        *,
        label: str | None = None,
        rate_hz: float = 0.0,
        loops: int = 1,
        refused: Report | None = None,
    ) -> None:
        check_range("rate_hz", rate_hz, 0, 1e6)
        check_range("loops", loops, 0)
        self._path = Path(path).expanduser()
        if not self._path.is_file():
            raise ConfigError(f"path: no such file: {self._path}")
        ending = self._path.name.lower().removesuffix(".gz")
        if not ending.endswith((".csv", ".tsv")):
            raise ConfigError(f"path must end in .csv, .tsv, .csv.gz or .tsv.gz, got {self._path}")
        self._separator = "," if ending.endswith(".csv") else "\t"
        self._rate_hz, self._loops = rate_hz, loops
        self._parser = Parser(schema, refused)
        with self._open() as file:
            self._header, self._label = self._read_header(next(self._rows(file), []), label)

    async def events(self) -> AsyncGenerator[Event]:
        """The rows in order; `DataError` if the file cannot be read any more."""
        loop = asyncio.get_running_loop()
        start_s, number, played = loop.time(), 0, 0
        while self._loops == 0 or played < self._loops:
            before = number
            with self._open() as file:
                rows = self._rows(file)
                next(rows, None)
                while batch := await asyncio.to_thread(_take, rows, _CSV_BATCH):
                    for row in batch:
                        event = self._event(row)
                        if event is None:
                            continue
                        # A node that falls behind gets due rows at once, as real sensors would not wait either.
                        wait_s = start_s + number / self._rate_hz - loop.time() if self._rate_hz else 0
                        await asyncio.sleep(max(0, wait_s))
                        number += 1
                        yield event
            played += 1
            if number == before:  # There is nothing to play, however often.
                return

    def _event(self, row: list[str]) -> Event | None:
        if not row:
            return None  # A blank line.
        if len(row) != len(self._header):
            self._parser.refuse("row", f"the header has {len(self._header)} columns, a row has {len(row)}")
            return None
        cells = [cell.strip() for cell in row]
        x = {
            name: self._value(name, cell)
            for place, (name, cell) in enumerate(zip(self._header, cells, strict=True))
            if place != self._label and cell not in MISSING_WORDS
        }
        label = cells[self._label]
        return self._parser.row(x, None if label in MISSING_WORDS else self._label_value(label))

    def _value(self, name: str, cell: str) -> float | str:
        """A number where the schema has the column itself; a text where it has one-hot features for it."""
        if name not in self._numeric:
            return cell
        parsed = parse_texts([cell])
        return cell if parsed is None else parsed[0]

    def _label_value(self, cell: str) -> Any:
        """The label as it is written if that is a class, else the number that it stands for."""
        try:
            self._parser.schema.code(cell)
        except DataError:
            parsed = parse_texts([cell])
            return cell if parsed is None else parsed[0]
        return cell

    def _read_header(self, cells: list[str], label: str | None) -> tuple[list[str], int]:
        """The columns' names, and which is the label."""
        schema, where = self._parser.schema, self._path.name
        names = [cell.strip() for cell in cells]
        if len(names) < 2:
            raise DataError(f"{where}: a header with a label column and at least one feature is needed, got {names}")
        wanted = names[-1] if label is None else label
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{where}: column names must differ, got {shown(twice)} more than once")
        if wanted not in names:
            raise DataError(f"{where}: no column {wanted!r} to use as label{suggest(wanted, names)}")
        for name in names:
            if name != wanted and not schema.names(name):
                raise DataError(f"{where}: the schema has no feature {shown(name)}")
        self._numeric = set(schema.features)
        return names, names.index(wanted)

    def _open(self) -> io.TextIOBase:
        # Bytes that are no UTF-8 spoil their cell, not the file.
        opened: Any = gzip.open if self._path.name.lower().endswith(".gz") else open
        try:
            file: io.TextIOBase = opened(self._path, "rt", encoding="utf-8-sig", errors="replace", newline="")
            return file
        except OSError as error:
            raise self._unreadable(error) from error

    def _rows(self, file: io.TextIOBase) -> Iterator[list[str]]:
        """The rows, the header first; one that is beyond reading, such as a quote that never ends, has no length."""
        reader = csv.reader(file, delimiter=self._separator, skipinitialspace=True)
        while True:
            try:
                yield next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield [f"{error}"]
            except (OSError, EOFError) as error:
                raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> DataError:
        return DataError(f"{self._path}: cannot be read: {' '.join(str(error).split())}")


def _take(rows: Iterator[list[str]], count: int) -> list[list[str]]:
    return list(islice(rows, count))
