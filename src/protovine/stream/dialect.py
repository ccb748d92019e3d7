"""The dialect of a text file: its compression, encoding, separator, comments and header."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import importlib
import io
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from protovine.errors import DataError
from protovine.stream.cells import Numbers, is_missing
from protovine.stream.dates import date_like
from protovine.stream.options import ReadOptions
from protovine.stream.table import find_columns

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
# The dialect is read from at most this many characters, and from at most this many rows of them.
HEAD_CHARS, HEAD_ROWS = 1 << 18, 1000

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# How packed files begin, and how their names should end.
_PACKED = (
    (b"\x1f\x8b", ".gz"),
    (b"BZh91AY&SY", ".bz2"),
    (b"\xfd7zXZ", ".xz"),
    (b"\x28\xb5\x2f\xfd", ".zst"),
    (b"PK\x03\x04", ".zip or .xlsx, which must be unpacked or saved as .csv"),
    (b"PAR1\x15", ".parquet"),
)
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "space"}


@dataclass(frozen=True)
class Dialect:
    """How a text file is written.

    `titles` are the names of its columns, without blanks around them; `body` is where the rows begin, in characters;
    `row_names` says that each row has a cell more in front than the header; `spare` that it has an empty one behind.
    """

    separator: str
    titles: tuple[str, ...]
    body: int
    row_names: bool = False
    spare: bool = False
    notes: tuple[str, ...] = field(default=())


def base_ending(name: str) -> str:
    """A file name in lower case without the ending of a compression.

    Examples
    --------
    >>> base_ending("A.CSV.gz"), base_ending("a.csv")
    ('a.csv', 'a.csv')
    """
    lower = name.lower()
    return next((lower.removesuffix(ending) for ending in COMPRESSIONS if lower.endswith(ending)), lower)


def open_bytes(path: Path) -> IO[bytes]:
    """The file, decompressed as its ending says.

    Raises
    ------
    OSError
        It cannot be opened.
    DataError
        A package for its compression is not installed.
    """
    ending = path.suffix.lower()
    if ending == ".zst":
        return _open_zstd(path)
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    opened = openers.get(ending, open)
    file: IO[bytes] = opened(path, "rb")
    return file


def _zstd() -> Any:
    """Python's module for Zstandard; older versions have it from a package."""
    try:
        return importlib.import_module("compression.zstd")
    except ImportError:
        return importlib.import_module("backports.zstd")


def _open_zstd(path: Path) -> IO[bytes]:
    try:
        file: IO[bytes] = _zstd().open(path, "rb")
    except ImportError as error:
        raise DataError(f"{path.name}: .zst files need backports.zstd ({error}): pip install backports.zstd") from error
    return file


def read_errors() -> tuple[type[Exception], ...]:
    """The errors of files that cannot be opened, decompressed or decoded."""
    errors: tuple[type[Exception], ...] = (OSError, EOFError, UnicodeError, zlib.error, lzma.LZMAError)
    try:
        return (*errors, _zstd().ZstdError)
    except ImportError:
        return errors


def unreadable(path: str | os.PathLike[str], error: Exception) -> DataError:
    """An error whose message is one line, also if the reader's message had several."""
    return DataError(f"{Path(path).name}: cannot be read: {' '.join(str(error).split())}")


def encoding_of(name: str, start: bytes, options: ReadOptions) -> str:
    """The encoding that the options name, that the first bytes show, or UTF-8."""
    shown = next((encoding for bom, encoding in _BOMS if start.startswith(bom)), None)
    if options.encoding is not None:
        known = codecs.lookup(options.encoding).name
        if known in ("utf-16", "utf-32") and shown is None:  # Without a byte order mark: that of this machine.
            return f"{known}-{'le' if sys.byteorder == 'little' else 'be'}"
        # A byte order mark is no part of the first name.
        return "utf-8-sig" if known == "utf-8" else options.encoding
    packed = next((ending for begin, ending in _PACKED if start.startswith(begin)), None)
    if packed is not None:
        raise DataError(f"{name}: this is no text but a packed file; its name should end in {packed}")
    if shown is None and 4 * start.count(b"\x00") > len(start):
        wide = "utf-16-le" if start[1:2] == b"\x00" else "utf-16-be"
        raise DataError(f"{name}: the file is not UTF-8 text; set encoding, such as {wide!r}")
    return shown or "utf-8-sig"


def decode(name: str, data: bytes, options: ReadOptions) -> str:
    """The text of a file.

    Raises
    ------
    DataError
        The bytes are not of that encoding.
    """
    encoding = encoding_of(name, data[:4096], options)
    try:
        text = data.decode(encoding)
    except UnicodeError as error:
        if not isinstance(error, UnicodeDecodeError):
            raise DataError(f"{name}: cannot be read as {encoding}: {error}; set encoding") from None
        line = data.count(b"\n", 0, error.start) + 1
        which = "UTF-8" if encoding == "utf-8-sig" else encoding
        raise DataError(
            f"{name}: line {line} has the byte 0x{data[error.start]:02x}, which is not {which}; set encoding, such as "
            "'cp1252' or 'latin-1'"
        ) from None
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise DataError(f"{name}: line {line} has a NUL character; the file is damaged, or set encoding")
    return text


def sniff(name: str, head: str, separator: str, options: ReadOptions) -> Dialect:
    """The dialect that the beginning of a text file shows, where the options do not say it.

    Parameters
    ----------
    name : str
        The file, for messages.
    head : str
        Its beginning: whole lines.
    separator : str
        The usual separator for files of this kind.

    Raises
    ------
    DataError
        There is no row, or it is not clear what the first line is; the message names the option.
    """
    notes: list[str] = []
    body, comments = 0, []
    lines = _lines(head)
    for line in lines:
        text = line.strip()
        if text and not text.startswith(options.comment or "#") and not _names_separator(text):
            break
        if _names_separator(text):
            separator = text[4:]
        elif text:
            comments.append(text.lstrip(options.comment or "#").strip())
        body += len(line)
    if not head[body:].strip():
        raise DataError(f"{name}: there are no rows")
    chosen = options.separator or _separator(head[body:], separator)
    if chosen != separator and options.separator is None:
        notes.append(f"the separator is a {_NAMES.get(chosen, chosen)}")
    rows, ends = _parsed(head[body:], chosen, options)
    first, rest = rows[0], rows[1:]
    titles, begin = list(first), 1
    named = _parsed(comments[-1], chosen, options)[0][0] if comments else []
    doubt = _doubt(first, rest, options)
    if options.header is None and doubt and len(named) == len(first) and not _doubt(named, [], options):
        titles, begin = named, 0
        comments.pop()
        notes.append("the header is a comment")
    elif options.header is False:
        titles, begin = [f"x{place}" for place in range(len(first))], 0
        notes.append(f"no header: the columns are called x0 to x{len(first) - 1}")
    elif options.header is None and doubt:
        raise DataError(
            f"{name}: the first line looks like a row rather than a header ({doubt}); set header = false, or header = "
            "true if it names the columns"
        )
    if comments:
        notes.append(f"{len(comments)} comment line{'s' * (len(comments) > 1)} above the header left out")
    if options.units and len(rows) > begin:
        notes.append(f"row of units left out: {', '.join(rows[begin])[:100]}")
        begin += 1
    rest, body = rows[begin:], body + (ends[begin - 1] if begin else 0)
    longer = bool(rest) and all(len(row) == len(titles) + 1 for row in rest)
    spare = longer and not any(row[-1] for row in rest)
    row_names = longer and not spare and _are_row_names([row[0] for row in rest])
    return Dialect(chosen, tuple(title.strip() for title in titles), body, row_names, spare, tuple(notes))


def cells_of(text: IO[str] | Iterator[str], separator: str) -> Iterator[list[str]]:
    """The rows of a text file as lists of cells; blank lines are left out."""
    reader = csv.reader(text, delimiter=separator, skipinitialspace=True)
    return (row for row in reader if row and (len(row) > 1 or row[0].strip()))


def swallowed(row: Sequence[str], separator: str) -> int:
    """How many rows stand in one row because a quote was opened and closed later.

    1 if there are line breaks, but no sign of that; 0 without line breaks.

    Examples
    --------
    >>> swallowed(["2", "p2,b\\n3,p3,a\\n5,p5", "a"], ","), swallowed(["2", "a note\\nof two lines", "b"], ",")
    (3, 1)
    """
    if not any("\n" in cell for cell in row):
        return 0
    lines = separator.join(row).split("\n")
    return len(lines) if all(line.count(separator) == len(row) - 1 for line in lines) else 1


def without_comments(
    name: str, text: str, separator: str, titles: Sequence[str], options: ReadOptions
) -> tuple[str, int]:
    """The text of the rows without its lines of comments, and how many there were.

    These begin with the comment mark; without such an option with #, if they have another number of cells than a row.

    Raises
    ------
    DataError
        Some rows begin with # and others do not: they may be commented out, or begin with a value.
    """
    mark, kept, quoted, count = options.comment or "#", [], False, 0
    rows, marked = 0, []
    for line in _lines(text):
        if not quoted and line.startswith(mark):
            cells = next(cells_of(iter([line]), separator), [])
            if options.comment is not None or len(cells) != len(titles):
                count += 1
                continue
            if not is_missing(cells[0].strip(), options, among_numbers=True):  # Such as #N/A.
                marked.append((rows + 1, cells[0]))
        if not quoted and line.strip():
            rows += 1
        if line.count('"') % 2:
            quoted = not quoted
        kept.append(line)
    if marked and len(marked) < rows and not any(0 in find_columns(titles, w) for w in options.text_columns):
        row, cell = marked[0]
        column = f", or text_columns = [{titles[0]!r}] if its values begin so" if titles[0] else ""
        raise DataError(f"{name}: row {row} begins with {cell!r}; set comment = '#' if such lines are comments{column}")
    return "".join(kept), count


def _lines(text: str) -> Iterator[str]:
    """The lines with their ends; other characters that Unicode counts as line ends are none here."""
    return iter(io.StringIO(text, newline=""))


def _names_separator(text: str) -> bool:
    """Whether this is a line that names the separator, as Excel writes it."""
    return len(text) == 5 and text.lower().startswith("sep=")


def _parsed(text: str, separator: str, options: ReadOptions) -> tuple[list[list[str]], list[int]]:
    """Up to `HEAD_ROWS` rows of cells without blanks around them, and where each ends."""
    rows: list[list[str]] = []
    ends: list[int] = []
    read = 0

    def counted() -> Iterator[str]:
        nonlocal read
        for line in _lines(text):
            read += len(line)
            yield line

    try:
        for row in csv.reader(counted(), delimiter=separator, skipinitialspace=True):
            cells = [cell.strip() for cell in row]
            mark = options.comment or ("#" if rows and len(cells) != len(rows[0]) else None)
            if not any(cells) and len(cells) < 2:
                continue
            if mark is not None and cells[0].startswith(mark):
                continue
            rows.append(cells)
            ends.append(read)
            if len(rows) >= HEAD_ROWS:
                break
    except csv.Error:
        pass
    return rows or [[""]], ends or [0]


def _separator(text: str, usual: str) -> str:
    """The separator with which all rows have equally many cells, at least two; the one that gives most of them."""
    widths: dict[str, int] = {}
    for separator in dict.fromkeys((usual, ",", ";", "\t", "|", " ")):
        rows = _parsed(text, separator, ReadOptions())[0]
        sizes = {len(row) for row in rows[1:]} or {len(rows[0])}
        # Row names and separators behind the last cell make rows longer than the header by one.
        if len(sizes) == 1 and 2 <= len(rows[0]) <= min(sizes) <= len(rows[0]) + 1:
            widths[separator] = len(rows[0])
    # Texts have blanks too.
    if len(widths) > 1 and usual != " ":
        widths.pop(" ", None)
    widest = max(widths.values(), default=0)
    if widths.get(usual, 0) == widest:
        return usual
    return next(separator for separator, width in widths.items() if width == widest)


def _doubt(first: Sequence[str], rest: Sequence[Sequence[str]], options: ReadOptions) -> str:
    """Why the first line looks like a row of data; empty if it does not."""
    if _counts_columns(first, rest, options):
        return ""
    for place, cell in enumerate(first):
        if not cell:
            continue
        if any(numbers.parse(cell) is not None for numbers in (Numbers(), Numbers(","))) and not is_missing(
            cell, options
        ):
            return f"cell {place + 1} is {cell!r}, a number"
        if date_like(cell):
            return f"cell {place + 1} is {cell!r}, a date"
    wide = [row for row in rest if len(row) == len(first)]
    again = [place for place, cell in enumerate(first) if cell and any(row[place] == cell for row in wide)]
    if len(wide) > 1 and 2 * len(again) > len(first):
        return f"{first[again[0]]!r} occurs again in column {again[0] + 1}"
    return ""


def _counts_columns(first: Sequence[str], rest: Sequence[Sequence[str]], options: ReadOptions) -> bool:
    """Whether the first line has the columns' numbers, as pandas writes frames without names, and names above numbers.

    At least one name stands above a column of numbers, where no row of data would have it.
    """
    counted = [int(cell) for cell in first if cell.isdecimal()]
    named = [
        place for place, cell in enumerate(first) if cell and not cell.isdecimal() and not is_missing(cell, options)
    ]
    if not counted or counted[0] > 1 or counted != list(range(counted[0], counted[0] + len(counted))):
        return False
    return any(
        Numbers().parse(first[place]) is None
        and len(cells := [row[place] for row in rest if len(row) == len(first) and row[place]]) > 1
        and all(Numbers().parse(cell) is not None for cell in cells)
        for place in named
    )


def _are_row_names(cells: Sequence[str]) -> bool:
    """Whether the first cells name or count the rows."""
    if len(set(cells)) < len(cells):
        return False
    if all(cell.isdecimal() for cell in cells):
        places = [int(cell) for cell in cells]
        return places[0] in (0, 1) and places == list(range(places[0], places[0] + len(places)))
    return not any(Numbers().parse(cell) is not None for cell in cells)
