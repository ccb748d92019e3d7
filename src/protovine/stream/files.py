"""Data sets from CSV, TSV, JSON Lines, Parquet and ARFF files."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protovine.errors import DataError
from protovine.stream import arff, jsonl
from protovine.stream.cells import (
    Distinct,
    Numbers,
    Words,
    first_decimal,
    is_missing,
    lost_zeros,
    settle,
    ways_to_write,
)
from protovine.stream.dataset import DataSet
from protovine.stream.dialect import (
    COMPRESSIONS,
    HEAD_CHARS,
    Dialect,
    base_ending,
    cells_of,
    decode,
    open_bytes,
    read_errors,
    sniff,
    swallowed,
    unreadable,
    without_comments,
)
from protovine.stream.encode import encode
from protovine.stream.options import ENCODED_ONLY, PAIRS_ONLY, TEXT_FILE_ONLY, ReadOptions
from protovine.stream.table import Table, check_titles, find_columns

if TYPE_CHECKING:
    import pandas as pd

TEXT_ENDINGS = (".csv", ".tsv", ".arff", ".jsonl", ".ndjson")
EXTENSIONS = (*TEXT_ENDINGS, ".parquet", *(text + packed for text in TEXT_ENDINGS for packed in COMPRESSIONS))

# Two cells that begin with 0 and have another digit behind it; in numbers the 0 would be lost.
_LEADING_ZERO = re.compile(rb"""[,;\t| "\n\r]-?0[0-9]""")


def read_file(path: str | os.PathLike[str], options: ReadOptions | None = None, **settings: Any) -> DataSet:
    """The data set in a file, read according to the ending of its name.

    Parameters
    ----------
    path : str or path
        A name that ends in ``.csv``, ``.tsv``, ``.arff``, ``.jsonl`` or ``.ndjson``, perhaps with ``.gz``, ``.bz2``,
        ``.xz`` or ``.zst``, or in ``.parquet``.
    options : ReadOptions, optional
        How to read it; or the same as `settings`, for example ``label="species"``.

    Returns
    -------
    DataSet
        Its name is the file name without the folder.

    Raises
    ------
    ConfigError
        An option is unknown, out of range, or does not apply to this type of file.
    DataError
        The file is missing, unreadable, empty or of an unknown type; there is no such label column; or a column cannot
        be encoded.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "weather.csv")
    >>> _ = path.write_text("sky,degrees,rain\\nclear,21.5,no\\ngrey,,yes\\n")
    >>> data = read_file(path)
    >>> data.features, data.classes, data.x.tolist()
    (('sky=clear', 'sky=grey', 'degrees'), ('no', 'yes'), [[1.0, 0.0, 21.5], [0.0, 1.0, 21.5]])
    >>> data.notes
    ("1 row with a missing value: filled with the column's median",)
    """
    options = ReadOptions.of(**settings) if options is None else options
    place = Path(path).expanduser()
    if not place.exists():
        raise DataError(f"no such file: {place}")
    kind = base_ending(place.name).rpartition(".")[2]
    if not place.name.lower().endswith(EXTENSIONS) or place.is_dir():
        raise DataError(
            f"{place}: not a data file; known file types are {', '.join(TEXT_ENDINGS)}, these also with "
            f"{', '.join(COMPRESSIONS)}, and .parquet"
        )
    if not place.is_file():
        raise DataError(
            f"{place}: not a regular file, such as a pipe or a device; write what it gives into a file first"
        )
    if place.stat().st_size == 0:
        raise DataError(f"{place}: the file is empty")
    if kind in ("jsonl", "ndjson"):
        options.without("a JSON Lines file", TEXT_FILE_ONLY)
        return encode(jsonl.read(place.name, _text(place, options), options), options)
    options.without(f"a .{kind} file", PAIRS_ONLY)
    if kind == "parquet":
        options.without("a Parquet file", (*TEXT_FILE_ONLY, *ENCODED_ONLY))
        table = _read_parquet(place)
    elif kind == "arff":
        options.without("an ARFF file", arff.CLOSED)
        table = arff.read(place.name, _text(place, options))
    else:
        table = _read_text(place, "," if kind == "csv" else "\t", options)
    return encode(table, options)


def is_file_name(source: str) -> bool:
    """Whether a string is a file rather than a catalog name: it has a known extension or a path separator.

    Examples
    --------
    >>> is_file_name("weather.CSV"), is_file_name("./weather"), is_file_name("weather")
    (True, True, False)
    """
    return source.lower().endswith(EXTENSIONS) or "/" in source or os.sep in source


def _text(path: Path, options: ReadOptions) -> str:
    try:
        with open_bytes(path) as file:
            data = file.read()
    except read_errors() as error:
        raise unreadable(path, error) from error
    return decode(path.name, data, options)


def _read_text(path: Path, usual: str, options: ReadOptions) -> Table:
    """The table in a CSV or TSV file."""

    name, text = path.name, _text(path, options)
    head = text if len(text) <= HEAD_CHARS else text[: max(text.rfind(end, 0, HEAD_CHARS) for end in "\r\n") + 1]
    dialect = sniff(name, head or text, usual, options)
    notes = list(dialect.notes)
    body = text[dialect.body :]
    titles = list(dialect.titles)
    titles = ["", *titles] if dialect.row_names else [*titles, ""] if dialect.spare else titles
    mark = options.comment or "#"
    if body.startswith(mark) or f"\n{mark}" in body or f"\r{mark}" in body:
        body, count = without_comments(name, body, dialect.separator, titles, options)
        notes += [f"{count} comment line{'s' * (count > 1)} left out"] * (count > 0)
    del text
    raw = body.encode()
    width = len(titles)
    as_text = _as_text(titles, options)
    words = Words()

    def read(decimal: str, only: Sequence[int] | None = None) -> pd.DataFrame:
        if only is not None:
            return _parse(path, raw, dialect.separator, width, decimal, only, only)
        found = _parse(path, raw, dialect.separator, width, decimal, as_text, None)
        words.counts.clear()
        gone = _missing_in(found, as_text, Numbers(decimal), options, words)
        # Read again without these words, such columns are numbers at once.
        return _parse(path, raw, dialect.separator, width, decimal, as_text, None, gone) if gone else found

    marked = first_decimal(options)
    frame = read(marked)
    if len(frame) and frame[width - 1].isna().any():
        _check_widths(name, body, dialect, width)
    if '"' in body and len(frame) < body.count("\n"):
        notes += _line_breaks(name, body, dialect)

    def look(decimal: str) -> tuple[list[tuple[str, list[str]]], bool]:
        nonlocal frame, marked
        if decimal != marked:
            frame, marked = read(decimal), decimal
        points = any(bool((frame[j] % 1 > 0).any()) for j in range(width) if frame[j].dtype == float)
        return _closer(titles, frame, as_text), points

    numbers = settle(name, options, look)
    notes += ways_to_write(numbers, options)
    whole = [
        j
        for j in range(width)
        if j not in as_text and (frame[j].dtype.kind in "iu" or (frame[j].dtype == float and frame[j].isna().any()))
    ]
    if whole and _LEADING_ZERO.search(raw):
        texts = read(numbers.decimal, whole)
        zeros = [titles[j] for j in whole if texts[j].str.match(r"\s*-?0\d+\s*$", na=False).any()]
        notes += [note for title in zeros for note in lost_zeros(title)]

    def written(j: int) -> Distinct:
        return Distinct.of(read(numbers.decimal, [j])[j])

    columns = [frame[j] for j in range(width)]
    return Table(name, titles, columns, notes, numbers=numbers, written=written, from_text=True, words=words)


def _as_text(titles: list[str], options: ReadOptions) -> list[int]:
    """The columns that pandas must not convert, also if the header has faults: label, group, text, and dropped ones."""
    group = [] if options.group is None else find_columns(titles, options.group)
    dropped = {*group, *(place for wanted in options.drop for place in find_columns(titles, wanted))}
    kept = [place for place, title in enumerate(titles) if title and place not in dropped]
    label = kept[-1:] if options.label is None else find_columns(titles, options.label)
    return sorted(
        {*label, *dropped, *(place for wanted in options.text_columns for place in find_columns(titles, wanted))}
    )


def _missing_in(
    frame: pd.DataFrame, as_text: Sequence[int], numbers: Numbers, options: ReadOptions, words: Words
) -> dict[int, list[str]]:
    """The cells that are missing values in columns whose other cells are numbers; `words` counts them."""
    import pandas as pd

    found: dict[int, list[str]] = {}
    for j in range(frame.shape[1]):
        column = frame[j]
        if j in as_text or column.dtype.kind not in "OTU":
            continue
        plain = column if numbers.decimal == "." else column.astype(object).str.replace(",", ".")
        other = column[pd.to_numeric(plain, errors="coerce").isna() & column.notna()]
        counts = {str(text): int(count) for text, count in other.value_counts().items()}
        if len(other) < column.count() and all(is_missing(t.strip(), options, among_numbers=True) for t in counts):
            found[j] = list(counts)
            words.counts.update({text.strip(): count for text, count in counts.items()})
    return found


def _closer(titles: list[str], frame: pd.DataFrame, as_text: Sequence[int]) -> list[tuple[str, list[str]]]:
    """The different texts of the columns that pandas has not read as numbers."""
    places = [j for j in range(len(titles)) if j not in as_text and frame[j].dtype.kind in "OTU"]
    return [(titles[j], Distinct.of(frame[j]).texts) for j in places]


def _parse(
    path: Path,
    raw: bytes,
    separator: str,
    width: int,
    decimal: str,
    as_text: Sequence[int],
    only: Sequence[int] | None,
    gone: dict[int, list[str]] | None = None,
) -> pd.DataFrame:
    """The columns, called 0, 1, …; an empty cell is missing, and no other."""
    import pandas as pd

    missing: Any = {j: ["", *gone.get(j, ())] for j in range(width)} if gone else [""]
    # Without this, older versions of pandas read numbers wrong in the last digit.
    exact: Any = {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
    try:
        with warnings.catch_warnings():
            # pandas only warns when it cuts off cells of a row that is longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame: pd.DataFrame = pd.read_csv(
                io.BytesIO(raw),
                sep=separator,
                header=None,
                names=list(range(width)),
                usecols=None if only is None else list(only),
                dtype=dict.fromkeys(as_text, str),
                index_col=False,
                keep_default_na=False,
                na_values=missing,
                skipinitialspace=True,
                low_memory=False,
                decimal=decimal,
                **exact,
            )
            return frame
    except pd.errors.EmptyDataError:
        raise DataError(f"{path.name}: there are no rows") from None
    except (ValueError, pd.errors.ParserWarning) as error:
        try:
            _check_rows(path.name, cells_of(io.StringIO(raw.decode(), newline=""), separator), width)
        except _csv_error() as worse:
            raise unreadable(path, worse) from error
        raise unreadable(path, error) from error


def _csv_error() -> type[Exception]:
    import csv

    return csv.Error


def _check_widths(name: str, body: str, dialect: Dialect, width: int) -> None:
    """pandas fills rows that are too short; such a row is cut off or has lost a cell."""
    try:
        _check_rows(name, cells_of(io.StringIO(body, newline=""), dialect.separator), width)
    except _csv_error() as error:
        raise unreadable(name, error) from error


def _line_breaks(name: str, body: str, dialect: Dialect) -> list[str]:
    """A note if texts in quotes have line breaks; `DataError` if such a text is whole rows."""
    found = []
    try:
        for number, row in enumerate(cells_of(io.StringIO(body, newline=""), dialect.separator), start=1):
            if rows := swallowed(row, dialect.separator):
                found.append(number)
            if rows > 1:
                raise DataError(
                    f"{name}: row {number} has a text in quotes with line breaks, which would be {rows} rows without "
                    "quotes: is a quote missing, or one too many?"
                )
    except _csv_error() as error:  # A text that is too long even for Python.
        raise unreadable(name, error) from error
    many = len(found) > 1
    text = f"{len(found)} row{'s' * many} {'have' if many else 'has'} a text with line breaks, the first in row "
    return [f"{text}{found[0]}"] if found else []


def _check_rows(name: str, rows: Any, width: int) -> None:
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            cells = f"{len(row)} cell{'s' * (len(row) != 1)}"
            hint = "; set comment = '#' if such lines are comments" if row[0].startswith("#") else ""
            raise DataError(
                f"{name}: row {number} has {cells}, but there are {width} columns; is separator right?{hint}"
            )


def _read_parquet(path: Path) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(f"{path.name}: Parquet files need pyarrow ({error}): pip install pyarrow") from error
    import pandas as pd

    try:
        check_titles(path.name, [str(title) for title in parquet.read_schema(path).names], droppable=False)
        return Table.of(path.name, pd.read_parquet(path, engine="pyarrow"))
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        if isinstance(error, DataError):
            raise
        raise unreadable(path, error) from error
