"""Cells written as text: which are numbers, dates or missing, and what a whole column of them is.

The rules for one cell (`Numbers.parse`, `iso_date`) also serve the live CSV source.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from protovine.errors import DataError
from protovine.stream.options import MISSING_AMONG_NUMBERS, MISSING_WORDS, ReadOptions

if TYPE_CHECKING:
    import pandas as pd

_MISSING, _LOOSE = frozenset(MISSING_WORDS), frozenset(MISSING_AMONG_NUMBERS)
_GAPS = "'’_ \u00a0\u202f"
# A number in some convention: perhaps with groups of three digits and a decimal mark, or a currency or percent sign.
_LIKE = re.compile(
    rf"[$€£¥₹]?\s?[+\-\u2212]?\s?[$€£¥₹]?(\d{{1,3}}([.,{_GAPS}])\d{{3}}(\2\d{{3}})*|\d+)?([.,]\d*)?([eE][+-]?\d+)?"
    r"\s?([%‰$€£¥₹]|°[CF]?)?"
)
_TIME = (
    r"(?:[T ]\s*(?P<h>\d{1,2}):(?P<min>\d{2})(?::(?P<s>\d{2}(?:[.,]\d+)?))?\s*(?P<half>[AaPp][Mm])?"
    r"\s*(?P<zone>Z|UTC|[+-]\d{2}(?::?\d{2})?)?)?"
)
_YEAR_FIRST = re.compile(r"(?P<y>\d{4})(?P<sep>[-./])(?P<a>\d{1,2})(?P=sep)(?P<b>\d{1,2})" + _TIME)
_YEAR_LAST = re.compile(r"(?P<a>\d{1,2})(?P<sep>[-./])(?P<b>\d{1,2})(?P=sep)(?P<y>\d{4}|\d{2})" + _TIME)
_NAMED = re.compile(
    r"(?:(?P<b>\d{1,2})[ -](?P<m1>[A-Za-z]{3,9})[ -]|(?P<m2>[A-Za-z]{3,9}) (?P<b2>\d{1,2}),? )(?P<y>\d{4})" + _TIME
)
# A number and a unit of letters, digits in groups of another length, and other ways to write a time.
_WITH_UNIT = re.compile(rf"[+\-\u2212]?\d[\d.,{_GAPS}]*(?:[eE][+-]?\d+)?\s?(?P<unit>[^\W\d_][^\s\d]*[²³]?)?")
_OTHER_TIME = re.compile(r"\d{8}[T ]?\d{4,6}\S*|(?:[A-Za-z]{3}, ?)?\d{1,2} [A-Za-z]{3} \d{4} .*|\d{4}-\d\d-\d\d[T ].*")
_MONTHS = {
    m: i
    for i, m in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], start=1)
}


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
        return Numbers(options.decimal or ("," if thousands == "." else "."), thousands)
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
) -> tuple[Read, list[str]]:
    """A column of texts as numbers, dates or texts, and notes.

    It holds numbers, or dates, if more of its cells are such than are not, without missing ones. `force` is
    "text", "number" or nothing. The `valid` texts are never missing.

    Raises
    ------
    DataError
        A cell among numbers or dates is none; row, column, cell and options are named.
    """
    texts, counts = found.texts, found.counts
    missing = [text not in valid and is_missing(text, options) for text in texts]
    places = [place for place in range(len(texts)) if not missing[place]]
    _count(words, texts, counts, [place for place in range(len(texts)) if missing[place]])
    if not places and force != "text":
        return Read("number", np.full(len(found.codes), np.nan)), []
    if force != "text":
        if all(texts[place].lower() in ("true", "false") for place in places):
            truth = [math.nan if missing[p] else float(text.lower() == "true") for p, text in enumerate(texts)]
            return Read("number", found.spread(truth, math.nan, np.float64)), []
        loose = {place for place in places if texts[place].casefold() in _LOOSE}
        parsed = {place: numbers.parse(texts[place]) for place in places if place not in loose}
        good = {place: value for place, value in parsed.items() if value is not None}
        bad = [place for place in parsed if place not in good]
        like = [place for place in bad if like_number(texts[place])]
        rest = int(counts[bad].sum())
        near = int(counts[list(good)].sum()) + int(counts[like].sum())
        if force == "number" or near > rest - int(counts[like].sum()):
            if bad:
                raise DataError(_bad_number(name, title, found, bad, like, int(counts[list(good)].sum())))
            gone = missing_numbers(options, numbers)
            meant = {place for place, value in good.items() if value in gone and texts[place] not in valid}
            _count(words, texts, counts, [*loose, *meant])
            values = [math.nan if place in meant else good.get(place, math.nan) for place in range(len(texts))]
            return Read("number", found.spread(values, math.nan, np.float64)), []
        dates = [place for place in bad if date_like(texts[place])]
        if dates and 2 * int(counts[dates].sum()) > rest:
            _count(words, texts, counts, loose)
            return _dates(name, title, found, bad, options)
    notes = []
    kept = found.spread([None if gone else text for text, gone in zip(texts, missing, strict=True)], None, object)
    if force != "text":
        notes += _looks(title, found, places, near)
    return Read("text", kept), notes


def _looks(title: str, found: Distinct, places: list[int], near: int) -> list[str]:
    """A note on a column of texts, some of which look like numbers, or most like numbers with units or like times."""
    total = int(found.counts[places].sum())
    begin, texts = f"column {title!r} is text, though", found.texts
    times = [place for place in places if _OTHER_TIME.fullmatch(texts[place])]
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
    if not near:
        return []
    return [f"{begin} {near} of its {total} values look like numbers; number_columns says which of the others are none"]


def _count(words: Words, texts: list[str], counts: npt.NDArray[np.int64], places: Iterable[int]) -> None:
    words.counts.update({texts[place]: int(counts[place]) for place in places if texts[place]})


def _bad_number(name: str, title: str, found: Distinct, bad: list[int], like: list[int], good: int) -> str:
    place = min(bad, key=lambda p: found.row(p)) if len(bad) < 100 else bad[0]
    text, row = found.texts[place], found.row(place)
    total, unit = good + int(found.counts[bad].sum()), False
    hints = [f"missing_words = [{text!r}] if it means missing", f"text_columns = [{title!r}] if the column is text"]
    if place in like:
        unit = any(not c.isdecimal() and c not in f".,+-eE{_GAPS}" for c in text)
        hints = [hints[1]] if unit else ["decimal or thousands if it is a number", hints[1]]
    if text.startswith("#"):
        hints.insert(0, "comment = '#' if such lines are comments")
    elif row == 1 and len(bad) == 1 and good:
        hints.insert(0, "units = true if this row holds units")
    why = "has a unit, which numbers in files may not have" if place in like and unit else "is not a number"
    but = f", but {good} of {total} values are" if good and not (place in like and unit) else ""
    return f"{name}: column {title!r}, row {row}: {text!r} {why}{but}; set {', or '.join(hints)}"


def date_like(text: str) -> bool:
    """Whether a text has the form of a date."""
    return any(form.fullmatch(text) for form in (_YEAR_FIRST, _YEAR_LAST, _NAMED))


def day_first(name: str, title: str, texts: Iterable[str], options: ReadOptions) -> tuple[bool | None, list[str]]:
    """Whether dates that end with the year begin with the day (None: there are no such dates), and notes.

    Raises
    ------
    DataError
        The dates do not show it, or contradict each other.
    """
    found = [match for text in texts if (match := _YEAR_LAST.fullmatch(text))]
    if not found or options.day_first is not None:
        return options.day_first if found else None, []
    first = next((m for m in found if int(m["a"]) > 12), None)
    second = next((m for m in found if int(m["b"]) > 12), None)
    if first and second:
        raise DataError(
            f"{name}: column {title!r} has {first[0]!r} and {second[0]!r}, which have day and month in different "
            "order; set day_first"
        )
    if first or second:
        return first is not None, []
    if all(m["sep"] == "." for m in found):
        return True, [f"column {title!r}: dates such as {found[0][0]} are read with the day first (day_first)"]
    raise DataError(
        f"{name}: column {title!r} has dates such as {found[0][0]!r}, and none shows whether the day or the month "
        "comes first; set day_first"
    )


def iso_date(text: str, first: bool | None) -> str | None:
    """A date in ISO 8601, or None if it is none. A year of two digits is none."""
    match = _YEAR_FIRST.fullmatch(text) or _YEAR_LAST.fullmatch(text) or _NAMED.fullmatch(text)
    if match is None or len(match["y"]) != 4:
        return None
    parts = match.groupdict()
    if "m1" in parts:
        month, day = _MONTHS.get((parts["m1"] or parts["m2"])[:3].lower(), 0), int(parts["b"] or parts["b2"])
    else:
        month, day = int(parts["a"]), int(parts["b"])
        if match.re is _YEAR_LAST and first:
            month, day = day, month
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    iso = f"{int(parts['y']):04d}-{month:02d}-{day:02d}"
    if parts["h"] is not None:
        hour = int(parts["h"])
        if parts["half"]:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + 12 * (parts["half"].lower() == "pm")
        zone = "Z" if parts["zone"] in ("Z", "UTC") else parts["zone"] or ""
        zone += ":00" if len(zone) == 3 else ""
        iso += f"T{hour:02d}:{parts['min']}:{(parts['s'] or '00').replace(',', '.')}{zone}"
    return iso


def _dates(name: str, title: str, found: Distinct, places: list[int], options: ReadOptions) -> tuple[Read, list[str]]:
    import pandas as pd

    first, notes = day_first(name, title, [found.texts[place] for place in places], options)
    isos = {place: iso_date(found.texts[place], first) for place in places}
    good = [place for place in places if isos[place] is not None]
    parsed = pd.to_datetime(
        [str(isos[place]) for place in good], format="ISO8601", utc=True, errors="coerce"
    ).tz_localize(None)
    stamps = pd.Series(pd.NaT, index=range(len(found.texts) + 1), dtype=parsed.dtype)
    stamps[good] = parsed
    bad = next((place for place in places if pd.isna(stamps[place])), None)
    if bad is not None:
        text = found.texts[bad]
        why, m = "is not a date", _YEAR_LAST.fullmatch(text)
        if m and len(m["y"]) == 2:
            why = "has a year of two digits"
        elif m and int(m["b" if first else "a"]) > 12 >= int(m["a" if first else "b"]):
            said, order = ("the option", "") if options.day_first is not None else ("another date", "; set day_first")
            why = f"is not a date with the {'day' if first else 'month'} first, as {said} says{order}"
        raise DataError(
            f"{name}: column {title!r}, row {found.row(bad)}: {text!r} {why}, but the column holds dates; set "
            f"missing_words = [{text!r}] if it means missing, or text_columns = [{title!r}] if the column is text"
        )
    return Read("time", stamps.to_numpy()[found.codes]), notes
