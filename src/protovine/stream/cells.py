"""Cells written as text: which are numbers or missing, and what a whole column of them is.

The rules for one cell (`Numbers.parse`, and `iso_date` of `protovine.stream.dates`) also serve the live CSV source.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from protovine.errors import DataError
from protovine.stream.dates import date_like, day_first, iso_date, other_time, why_no_date
from protovine.stream.options import MISSING_AMONG_NUMBERS, MISSING_WORDS, ReadOptions

if TYPE_CHECKING:
    import pandas as pd

_MISSING, _LOOSE = frozenset(MISSING_WORDS), frozenset(MISSING_AMONG_NUMBERS)
TRUTHS = {"true": 1.0, "false": 0.0}
_GAPS = "'’_ \u00a0\u202f"
# A number in some convention: perhaps with groups of three digits and a decimal mark, or a currency or percent sign.
_LIKE = re.compile(
    rf"[$€£¥₹]?\s?[+\-\u2212]?\s?[$€£¥₹]?(\d{{1,3}}([.,{_GAPS}])\d{{3}}(\2\d{{3}})*|\d+)?([.,]\d*)?([eE][+-]?\d+)?"
    r"\s?([%‰$€£¥₹]|°[CF]?)?"
)
_LEADING_ZERO = re.compile(r"[+-]?0\d+")
# A number and a unit of letters, or digits in groups of another length.
_WITH_UNIT = re.compile(rf"[+\-\u2212]?\d[\d.,{_GAPS}]*(?:[eE][+-]?\d+)?\s?(?P<unit>[^\W\d_][^\s\d]*[²³]?)?")


@dataclass(frozen=True)
class Numbers:
    """How numbers are written.

    Examples
    --------
    >>> Numbers().parse("1.5"), Numbers(",", ".").parse("1.234,5"), Numbers().parse("1,5"), Numbers().parse("1_000")
    (1.5, 1234.5, None, None)
    """

    decimal: str = "."
    thousands: str | None = None

    def parse(self, text: str) -> float | None:
        """The number that the text is, or None."""
        text = text.strip().replace("\u2212", "-")  # The minus sign of typesetting.
        if self.thousands is not None and self.thousands in text:
            whole = text.partition(self.decimal)[0].lstrip("+-")
            first, *groups = whole.split(self.thousands)
            if not 1 <= len(first) <= 3 or not all(len(group) == 3 for group in groups):
                return None
            if not all(part.isdecimal() for part in (first, *groups)) or text.count(self.thousands) != len(groups):
                return None
            text = text.replace(self.thousands, "")
        if self.decimal == ",":
            if "." in text:
                return None
            text = text.replace(",", ".")
        # Python reads 1_000 as a number, but in a data file it is a text.
        if "_" in text:
            return None
        try:
            return float(text)
        except ValueError:
            return None


def is_missing(text: str, options: ReadOptions, *, among_numbers: bool = False) -> bool:
    """Whether the text, without blanks around it, means a missing value."""
    return text in _MISSING or text in options.missing_words or (among_numbers and text.casefold() in _LOOSE)


def missing_numbers(options: ReadOptions, numbers: Numbers) -> dict[float, str]:
    """The `missing_words` that are numbers, written as in the file or with a decimal point, by the number.

    Examples
    --------
    >>> missing_numbers(ReadOptions(missing_words=("-999", "-1,5", "none")), Numbers(","))
    {-999.0: '-999', -1.5: '-1,5'}
    """
    found = ((way.parse(word), word) for word in options.missing_words for way in (numbers, Numbers()))
    return {number: word for number, word in found if number is not None and not math.isnan(number)}


def like_number(text: str) -> bool:
    """Whether the text would be a number in some convention, or with a sign of a currency or percent."""
    return any(c.isdecimal() for c in text) and _LIKE.fullmatch(text) is not None


def by_number(text: str) -> tuple[bool, float, str]:
    """Sorts numbers by value, before other texts."""
    value = Numbers().parse(text)
    return (True, 0.0, text) if value is None or math.isnan(value) else (False, value, text)


def numbers_in(
    name: str,
    columns: Iterable[tuple[str, Sequence[str]]],
    options: ReadOptions,
    *,
    points: bool = False,
    comma: tuple[str, str] | None = None,
) -> Numbers:
    """How the numbers in these columns of different texts are written: as the options say, or as they show.

    A comma or a point followed by three digits may be a decimal mark or a separator of thousands. Other numbers of the
    table decide that: `points` says that others have a decimal point; `comma` is the column and the text of a number
    that has a decimal comma.

    Raises
    ------
    DataError
        They do not decide, or contradict each other.
    """
    thousands = options.thousands
    if options.decimal is not None or thousands is not None:
        return Numbers(first_decimal(options), thousands)
    shows: dict[tuple[str, str], tuple[str, str]] = {}
    doubtful: dict[str, tuple[str, str]] = {}
    for title, texts in columns:
        present = [text for text in texts if not is_missing(text, options, among_numbers=True)]
        plain = {text for text in present if Numbers().parse(text) is not None}
        other = [text for text in present if text not in plain and like_number(text)]
        if 2 * (len(plain) + len(other)) < len(present):
            continue
        for text in (*other, *(text for text in present if text in plain and "." in text)):
            found = _evidence(text)
            for key in found:
                shows.setdefault(key, (title, text))
            if not found:
                doubtful.setdefault(
                    "." if text in plain else ",", (title, text) if "," in text or "." in text else ("", "")
                )
    if comma is not None:
        shows.setdefault(("decimal", ","), comma)
    marks = {kind: [mark for k, mark in shows if k == kind] for kind in ("decimal", "thousands")}
    clash = [(kind, mark) for mark in marks["decimal"] if mark in marks["thousands"] for kind in marks]
    clash += [(kind, mark) for kind in marks if len(marks[kind]) > 1 for mark in marks[kind]]
    if clash:
        (a, one), (b, two) = shows[clash[0]], shows[clash[1]]
        raise DataError(
            f"{name}: {one!r} in column {a!r} and {two!r} in column {b!r} write numbers in different ways; set decimal "
            f"and thousands, or text_columns if a column is text"
        )
    decimal = marks["decimal"][0] if marks["decimal"] else "." if points else None
    group = marks["thousands"][0] if marks["thousands"] else None
    for mark, (title, text) in doubtful.items():
        if not title or mark in (decimal, group) or (mark == "." and decimal != ","):
            continue
        if mark == "," and decimal == "." and group is None:
            group = ","
            continue
        raise DataError(
            f"{name}: column {title!r} has {text!r}, which may be read in two ways; set thousands = {mark!r} or "
            f"decimal = {mark!r}, or text_columns = [{title!r}] if the column is text"
        )
    return Numbers(decimal or ("," if group == "." else "."), group)


def first_decimal(options: ReadOptions) -> str:
    """The decimal mark with which a table is read first: as the options say, else a point."""
    return options.decimal or ("," if options.thousands == "." else ".")


def settle(
    name: str, options: ReadOptions, look: Callable[[str], tuple[Sequence[tuple[str, Sequence[str]]], bool]]
) -> Numbers:
    """How the numbers of a whole table are written.

    ``look(decimal)`` gives the columns of different texts that are not numbers only, when read with this decimal mark,
    and whether other columns have numbers with decimals.

    Raises
    ------
    DataError
        The numbers do not show it, or contradict each other.
    """
    columns, points = look(first_decimal(options))
    numbers = numbers_in(name, columns, options, points=points)
    if numbers.decimal == "," and options.decimal is None and options.thousands is None:
        # Numbers with a point were read with a decimal point.
        comma = next(
            ((t, c) for t, cells in columns for c in cells if "," in c and Numbers(",").parse(c) is not None), None
        )
        again = numbers_in(name, look(",")[0], options, comma=comma)
        return Numbers(",", again.thousands or numbers.thousands)
    return numbers


def ways_to_write(numbers: Numbers, options: ReadOptions) -> list[str]:
    """Notes on how numbers are written, where the options do not say it."""
    if options.decimal is not None or options.thousands is not None:
        return []
    notes = ["numbers have a decimal comma"] * (numbers.decimal == ",")
    return notes + [f"numbers have the separator of thousands {numbers.thousands!r}"] * (numbers.thousands is not None)


def _evidence(text: str) -> tuple[tuple[str, str], ...]:
    """What the marks of a number show beyond doubt: ("decimal", mark), ("thousands", mark), both or nothing."""
    body = re.sub(r"[eE][+-]?\d+$", "", text.strip("+-$€£¥₹%‰° CF"))
    marks = [c for c in body if not c.isdecimal()]
    if any(c == "_" for c in marks):  # 1_000 may as well be a code.
        return ()
    if marks and marks[0] in _GAPS:
        return (("thousands", marks[0]), *((("decimal", marks[-1]),) if marks[-1] in ".," else ()))
    if len(set(marks)) == 2:
        return (("thousands", marks[0]), ("decimal", marks[-1]))
    if len(marks) > 1:
        return (("thousands", marks[0]),)
    if marks:
        whole, after = body.split(marks[0])
        if len(after) != 3 or not 1 <= len(whole) <= 3 or whole.startswith("0"):
            return (("decimal", marks[0]),)
    return ()


@dataclass
class Words:
    """Counts of the words that were read as missing."""

    counts: Counter[str] = field(default_factory=Counter)

    def note(self) -> list[str]:
        """A note that lists them, if there are any."""
        listed = [f"{word!r} ({count} cell{'s' * (count > 1)})" for word, count in sorted(self.counts.items())]
        return [f"words read as missing: {', '.join(listed)}"] if listed else []


@dataclass
class Distinct:
    """The different texts of a column, how often each stands there, and which one each row has (-1: none)."""

    texts: list[str]
    codes: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, series: pd.Series) -> Distinct:
        """Of a column of texts and missing values."""
        import pandas as pd

        codes, raw = pd.factorize(series)
        texts = [str(text).strip() for text in raw]
        # Blanks around a text do not count.
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        if len(places) < len(texts):
            codes = np.append([places[text] for text in texts], -1)[codes]
        counts = np.bincount(codes[codes >= 0], minlength=len(places))
        return cls(list(places), np.asarray(codes, np.int64), counts.astype(np.int64))

    def row(self, place: int) -> int:
        """The first row, counted from 1, that has this text."""
        return int(np.flatnonzero(self.codes == place)[0]) + 1

    def spread(self, values: Sequence[Any], empty: Any, dtype: Any) -> npt.NDArray[Any]:
        """One value per row from one value per text."""
        return np.array([*values, empty], dtype=dtype)[self.codes]


@dataclass
class Read:
    """What a column of texts is: floats with NaN ("number"), nanoseconds or NaT ("time"), or texts with None."""

    kind: str
    values: npt.NDArray[Any]


def read_column(
    name: str,
    title: str,
    found: Distinct,
    options: ReadOptions,
    numbers: Numbers,
    words: Words,
    *,
    force: str = "",
    valid: Collection[str] = (),
    closed: Collection[str] = (),
) -> tuple[Read, list[str]]:
    """A column of texts as numbers, dates or texts, and notes.

    It holds numbers, true/false or dates if more of its cells are such than are not, without missing ones. `force` is
    "text", "number" or nothing. The `valid` texts are never missing. `closed` are options that do not apply to the
    source, and that errors do not name.

    Raises
    ------
    DataError
        A cell among numbers, true/false or dates is none; row, column, cell and options are named.
    """
    texts = found.texts
    missing = [text not in valid and is_missing(text, options) for text in texts]
    places = [place for place in range(len(texts)) if not missing[place]]
    _count(words, found, [place for place in range(len(texts)) if missing[place]])
    kept = Read("text", found.spread([None if no else t for t, no in zip(texts, missing, strict=True)], None, object))
    if force == "text":
        return kept, []
    if not places:
        return Read("number", np.full(len(found.codes), np.nan)), []
    column = _Column(name, title, found, closed)
    loose = {place for place in places if texts[place].casefold() in _LOOSE}
    other = [place for place in places if place not in loose]
    truths = [place for place in other if texts[place].lower() in TRUTHS]
    parsed = {place: number for place in other if (number := numbers.parse(texts[place])) is not None}
    like = [place for place in other if place not in parsed and like_number(texts[place])]
    gone = missing_numbers(options, numbers)
    meant = {place for place, value in parsed.items() if value in gone and texts[place] not in valid}
    total, near = column.cells(other), column.cells([*parsed, *like])
    if 2 * column.cells(truths) > total:
        _count(words, found, [*loose, *meant])
        return column.truths(truths, [place for place in other if place not in meant]), []
    if force == "number" or 2 * near > total:
        bad = [place for place in other if place not in parsed]
        if bad:
            raise column.no_number(bad, like, column.cells(parsed))
        _count(words, found, [*loose, *meant])
        values = [math.nan if place in meant else parsed.get(place, math.nan) for place in range(len(texts))]
        zeros = title if any(_LEADING_ZERO.fullmatch(texts[place]) for place in parsed) else None
        return Read("number", found.spread(values, math.nan, np.float64)), lost_zeros(zeros)
    dates = [place for place in other if date_like(texts[place])]
    if 2 * column.cells(dates) > total - column.cells(meant):
        _count(words, found, [*loose, *meant])
        return column.times([place for place in other if place not in meant], parsed, options)
    return kept, _looks(title, found, places, near, column.cells(dates))


def lost_zeros(title: str | None) -> list[str]:
    """A note on a column of numbers that begin with 0, if there is one."""
    if title is None:
        return []
    return [f"column {title!r} has numbers that begin with 0, read as numbers; text_columns keeps the 0"]


@dataclass(frozen=True)
class _Column:
    """A column of texts that is read as numbers, true/false or dates."""

    name: str
    title: str
    found: Distinct
    closed: Collection[str]

    def cells(self, places: Collection[int]) -> int:
        """In how many cells these texts stand."""
        return int(self.found.counts[list(places)].sum())

    def truths(self, truths: list[int], other: list[int]) -> Read:
        """The column as 1 and 0; every text among `other` must be true or false."""
        texts = self.found.texts
        bad = [place for place in other if place not in truths]
        if bad:
            but = f"is not true/false, but {self.cells(truths)} of {self.cells(other)} values are"
            raise self._odd(bad, but, self._either(self._first(bad)))
        values = [math.nan] * len(texts)
        for place in truths:
            values[place] = TRUTHS[texts[place].lower()]
        return Read("number", self.found.spread(values, math.nan, np.float64))

    def no_number(self, bad: list[int], like: list[int], good: int) -> DataError:
        """The error for texts among numbers that are none; those of `like` are, in some convention."""
        place, total = self._first(bad), good + self.cells(bad)
        text = self.found.texts[place]
        but = f", but {good} of {total} values are" if good else ""
        if place not in like:
            return self._odd(bad, f"is not a number{but}", self._either(place))
        as_text = self._either(place)[-1:]
        if any(not c.isdecimal() and c not in f".,+-eE{_GAPS}" for c in text):
            return self._odd(bad, "has a unit, which numbers in files may not have", as_text)
        marks = [] if "decimal" in self.closed else ["decimal or thousands if it is a number"]
        return self._odd(bad, f"is not a number{but}", [*marks, *as_text])

    def times(self, places: list[int], parsed: Collection[int], options: ReadOptions) -> tuple[Read, list[str]]:
        """The column as dates, and notes; every text in `places` must be a date. Those in `parsed` are numbers."""
        import pandas as pd

        texts = self.found.texts
        first, notes = day_first(self.name, self.title, [texts[place] for place in places], options)
        isos = {place: iso for place in places if (iso := iso_date(texts[place], first)) is not None}
        read = pd.to_datetime(list(isos.values()), format="ISO8601", utc=True, errors="coerce").tz_localize(None)
        stamps = pd.Series(pd.NaT, index=range(len(texts) + 1), dtype=read.dtype)
        stamps[list(isos)] = read
        bad = [place for place in places if pd.isna(stamps[place])]
        if bad:
            place = self._first(bad)
            why, hints = why_no_date(texts[place], first, options, number=place in parsed)
            raise self._odd(bad, f"{why}, but the column holds dates", [*hints, *self._either(place)])
        return Read("time", stamps.to_numpy()[self.found.codes]), notes

    def _first(self, bad: list[int]) -> int:
        return min(bad, key=self.found.row) if len(bad) < 100 else bad[0]

    def _either(self, place: int) -> list[str]:
        return [
            f"missing_words = [{self.found.texts[place]!r}] if it means missing",
            f"text_columns = [{self.title!r}] if the column is text",
        ]

    def _odd(self, bad: list[int], why: str, hints: list[str]) -> DataError:
        place = self._first(bad)
        text, row = self.found.texts[place], self.found.row(place)
        if row == 1 and len(bad) == 1 < len(self.found.texts) and "units" not in self.closed:
            hints = ["units = true if this row holds units", *hints]
        return DataError(f"{self.name}: column {self.title!r}, row {row}: {text!r} {why}; set {', or '.join(hints)}")


def _looks(title: str, found: Distinct, places: list[int], near: int, dates: int) -> list[str]:
    """A note on a column of texts, some of which look like numbers, or most like numbers with units or like times."""
    total = int(found.counts[places].sum())
    begin, texts = f"column {title!r} is text, though", found.texts
    times = [place for place in places if other_time(texts[place])]
    if 2 * int(found.counts[times].sum()) > total:
        return [
            f"{begin} most of its {total} values look like times, such as {texts[times[0]]!r}; write them as "
            "2024-01-31T12:00:00Z, or leave the column out with drop"
        ]
    amounts = {place: match["unit"] for place in places if (match := _WITH_UNIT.fullmatch(texts[place]))}
    # With units that differ it may be a code, such as 3A and 3B.
    if 2 * int(found.counts[list(amounts)].sum()) > total and len(amounts) > 1 and len(set(amounts.values())) == 1:
        place = next(iter(amounts))
        unit = f" with the unit {amounts[place]!r}" if amounts[place] else ""
        return [
            f"{begin} most of its {total} values look like numbers{unit}, such as {texts[place]!r}; write them without "
            "units, and in groups of three digits"
        ]
    if near and not dates:
        hint = "; number_columns says which of the others are none"
        return [f"{begin} {near} of its {total} values look like numbers{hint}"]
    if dates:
        numbers = f", and {near} like numbers" if near else ""
        return [f"{begin} {dates} of its {total} values look like dates{numbers}; missing_words may name the others"]
    return []


def _count(words: Words, found: Distinct, places: Iterable[int]) -> None:
    words.counts.update({found.texts[place]: int(found.counts[place]) for place in places if found.texts[place]})
