"""Tables from ARFF files, as Weka writes them: dense and sparse rows, quotes, escapes, dates and declared values.

SciPy's reader knows neither texts nor sparse rows, and liac-arff, which does, has had no release since 2020.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from protovine.errors import DataError
from protovine.stream.cells import Numbers
from protovine.stream.options import TEXT_FILE_ONLY
from protovine.stream.table import Table, check_titles

# Options that do not apply: the format says it.
CLOSED = (*TEXT_FILE_ONLY, "decimal", "thousands")
_NAME = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_ATTRIBUTE = re.compile(rf"@attribute\s+({_NAME}|[^\s{{]+)\s*(.+)", re.IGNORECASE | re.DOTALL)
_CELL = re.compile(rf"\s*({_NAME}|[^,]*?)\s*(,|$)")
_WORD = re.compile(rf"{_NAME}|[^\s]+")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_COMMENT = re.compile(rf"((?:{_NAME}|[^'\"%]|(?<=\S)%)*?)\s+%.*", re.DOTALL)
# The letters of Java's date formats that strptime has too.
_DATE_PARTS = {
    "yyyy": "%Y",
    "yy": "%y",
    "MM": "%m",
    "dd": "%d",
    "HH": "%H",
    "mm": "%M",
    "ss": "%S",
    "SSS": "%f",
    "Z": "%z",
}
_DATE_PART = re.compile(r"'([^']*)'|([A-Za-z])\2*|[^A-Za-z']+")


@dataclass
class _Attribute:
    title: str
    kind: str  # "number", "string", "date" or "nominal"
    values: tuple[str, ...] = ()
    date_format: str = ""

    @property
    def zero(self) -> str | None:
        """What a sparse row means by leaving the attribute out."""
        return "0" if self.kind == "number" else self.values[0] if self.kind == "nominal" else None


def read(name: str, text: str) -> Table:
    """The table in the text of an ARFF file.

    The label is the attribute called class, failing that the last nominal one, failing that the last one. A declared
    value stays a value if it looks like a missing one.

    Raises
    ------
    DataError
        The text is no ARFF file; the message names the row or the line.

    Examples
    --------
    >>> table = read("w", "@relation w\\n@attribute 'a sky' {blue, grey}\\n@attribute t real\\n@data\\n{1 3}\\ngrey,?")
    >>> table.titles, [list(column) for column in table.columns]
    (['a sky', 't'], [['blue', 'grey'], ['3', None]])
    """
    import pandas as pd

    attributes: list[_Attribute] = []
    rows: list[list[str | None]] | None = None
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        line = line.strip()
        if not line or line.startswith("%"):
            continue
        if rows is not None:
            rows.append(_row(name, len(rows) + 1, line, attributes))
            continue
        keyword = line.split(None, 1)[0].lower()
        if keyword == "@attribute":
            attributes.append(_attribute(name, number, _uncommented(line)))
        elif keyword == "@data":
            rows = []
        elif keyword != "@relation":
            raise DataError(f"{name}: cannot be read: line {number} is no @relation, @attribute or @data")
    if rows is None:
        raise DataError(f"{name}: cannot be read: there is no @data section")
    titles = [attribute.title for attribute in attributes]
    check_titles(name, titles, droppable=False)
    if not rows:
        raise DataError(f"{name}: there are no rows")
    columns = [pd.Series(list(cells), dtype=object) for cells in zip(*rows, strict=True)]
    kinds = {place: _forced(attribute) for place, attribute in enumerate(attributes)}
    nominal = [place for place, attribute in enumerate(attributes) if attribute.kind == "nominal"]
    called = [place for place, title in enumerate(titles) if title.casefold() == "class"]
    return Table(
        name,
        titles,
        columns,
        [],
        numbers=Numbers(),
        from_text=True,
        declared={attributes[place].title: attributes[place].values for place in nominal},
        forced=kinds,
        label_place=(called or nominal or [len(titles) - 1])[-1],
        closed=CLOSED,
    )


def _forced(attribute: _Attribute) -> str:
    """What the declaration says that a column is; nominal numbers and true/false are read as such."""
    if attribute.kind != "nominal":
        return {"number": "number", "string": "text", "date": ""}[attribute.kind]
    values = attribute.values
    truth = all(value.lower() in ("true", "false") for value in values)
    return "" if truth or all(Numbers().parse(value) is not None for value in values) else "text"


def _attribute(name: str, number: int, line: str) -> _Attribute:
    found = _ATTRIBUTE.fullmatch(line)
    if found is None:
        raise DataError(f"{name}: cannot be read: line {number} is no attribute: {line[:80]!r}")
    title, kind = _plain(found[1]).strip(), found[2].strip()
    word = kind.split(None, 1)[0].lower()
    if kind.startswith("{"):
        values = tuple(_plain(cell) for cell in _split(kind.removeprefix("{").removesuffix("}")))
        if not kind.endswith("}") or "" in values or len(set(values)) < len(values):
            raise DataError(
                f"{name}: cannot be read: line {number}: the values of {title!r} must be different and in braces"
            )
        return _Attribute(title, "nominal", values)
    if word in ("numeric", "real", "integer"):
        return _Attribute(title, "number")
    if word == "string":
        return _Attribute(title, "string")
    if word == "date":
        written = _plain(kind[len(word) :].strip()) or "yyyy-MM-dd'T'HH:mm:ss"
        return _Attribute(title, "date", date_format=_date_format(name, title, written))
    raise DataError(
        f"{name}: cannot be read: attribute {title!r} has the type {word!r}; known are numeric, real, integer, string, "
        "date and values in braces"
    )


def _date_format(name: str, title: str, written: str) -> str:
    parts = []
    for part in _DATE_PART.finditer(written):
        if part[1] is not None:
            parts.append(part[1].replace("%", "%%") or "'")
        elif part[2] is None:
            parts.append(part[0].replace("%", "%%"))
        elif part[0] in _DATE_PARTS:
            parts.append(_DATE_PARTS[part[0]])
        else:
            raise DataError(
                f"{name}: cannot be read: attribute {title!r} has the date format {written!r}; known parts are "
                f"{', '.join(_DATE_PARTS)}"
            )
    return "".join(parts)


def _row(name: str, number: int, line: str, attributes: Sequence[_Attribute]) -> list[str | None]:
    if " %" in line or "\t%" in line:
        line = _uncommented(line)
    if line.startswith("{") and line.endswith("}"):
        cells: list[str | None] = [attribute.zero for attribute in attributes]
        given = set()
        for item in _split(line[1:-1]):
            words = _WORD.findall(item)
            if len(words) != 2 or not words[0].isdecimal() or int(words[0]) >= len(attributes) or words[0] in given:
                raise DataError(
                    f"{name}: row {number}: {item!r} must be the number of an attribute, 0 to {len(attributes) - 1} "
                    "and once, and a value"
                )
            given.add(words[0])
            cells[int(words[0])] = _cell(name, number, words[1], attributes[int(words[0])])
        return cells
    simple = "'" not in line and '"' not in line
    items = [item.strip() for item in line.split(",")] if simple else _split(line)
    if len(items) == 1 < len(attributes):
        items = _WORD.findall(line)
    if len(items) != len(attributes):
        raise DataError(f"{name}: row {number} has {len(items)} values, but there are {len(attributes)} attributes")
    return [_cell(name, number, item, attribute) for item, attribute in zip(items, attributes, strict=True)]


def _cell(name: str, number: int, item: str, attribute: _Attribute) -> str | None:
    if item in ("?", ""):
        return None
    text = _plain(item)
    if attribute.kind == "nominal" and text not in attribute.values:
        known = ", ".join(attribute.values[:20]) + (", …" if len(attribute.values) > 20 else "")
        raise DataError(f"{name}: column {attribute.title!r}, row {number}: {text!r} is not one of {known}")
    if attribute.kind == "date":
        try:
            return datetime.strptime(text, attribute.date_format).isoformat()
        except ValueError:
            raise DataError(
                f"{name}: column {attribute.title!r}, row {number}: {text!r} is not a date of the declared format"
            ) from None
    return text


def _split(line: str) -> list[str]:
    """The cells between commas that are not in quotes."""
    cells, at = [], 0
    if not line.strip():
        return []
    while True:
        found = _CELL.match(line, at)
        if found is None:
            # A quote in the middle of a cell is a letter.
            end = line.find(",", at)
            cells.append(line[at : end if end >= 0 else None].strip())
            if end < 0:
                return cells
            at = end + 1
            continue
        cells.append(found[1])
        at = found.end()
        if not found[2]:
            return cells


def _plain(text: str) -> str:
    """A text without its quotes and escapes."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return _ESCAPE.sub(lambda e: chr(int(e[1][1:], 16)) if len(e[1]) == 5 else _ESCAPES.get(e[1], e[1]), text[1:-1])
    return text


def _uncommented(line: str) -> str:
    """The line without a comment behind it."""
    found = _COMMENT.fullmatch(line)
    return found[1].strip() if found else line
