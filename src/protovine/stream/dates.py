"""Dates written as text: which texts are dates, and whether the day or the month comes first."""

from __future__ import annotations

import re
from collections.abc import Iterable

from protovine.errors import DataError
from protovine.stream.options import ReadOptions

_MONTH_NAMES = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTHS = {
    text: month
    for month, name in enumerate(_MONTH_NAMES, start=1)
    for text in (name, name[:3], *(["sept"] if name == "september" else []))
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_TIME = (
    r"(?:[T ]\s*(?P<h>\d{1,2}):(?P<min>\d{2})(?::(?P<s>\d{2}(?:[.,]\d+)?))?\s*(?P<half>[AaPp][Mm])?"
    r"\s*(?P<zone>Z|UTC|[+-]\d{2}(?::?\d{2})?)?)?"
)
_YEAR_FIRST = re.compile(r"(?P<y>\d{4})(?P<sep>[-./])(?P<a>\d{1,2})(?P=sep)(?P<b>\d{1,2})" + _TIME)
_YEAR_LAST = re.compile(r"(?P<a>\d{1,2})(?P<sep>[-./])(?P<b>\d{1,2})(?P=sep)(?P<y>\d{4}|\d{2})" + _TIME)
_NAMED = re.compile(
    rf"(?:(?P<b>\d{{1,2}})[ -](?P<m1>(?i:{_MONTH}))[ -]|(?P<m2>(?i:{_MONTH})) (?P<b2>\d{{1,2}}),? )"
    r"(?P<y>\d{4}|\d{2})" + _TIME
)
_FORMS = (_YEAR_FIRST, _YEAR_LAST, _NAMED)
# Times of day and durations, months and weeks, months of other languages, and dates of other forms.
_CLOCK = r"\d{1,3}:\d\d(:\d\d([.,]\d+)?)?"
_OTHER_TIME = re.compile(
    rf"{_CLOCK}( ?[AaPp]\.?[Mm]\.?)?|-?\d+ days?,? [+-]?{_CLOCK}"
    r"|P(?=[\dT])(\d+([.,]\d+)?[YMWD])*(T(\d+([.,]\d+)?[HMS])+)?"
    r"|\d{4}-(0[1-9]|1[0-2])|\d{4}-?W\d\d(-?[1-7])?"
    r"|\d{1,2}\.? [^\W\d_]{3,10}\.? \d{4}( .*)?|\d{1,2}-[^\W\d_]{3,10}\.?-\d{4}( .*)?"
    r"|\d{8}[T ]?\d{4,6}\S*|(?:[A-Za-z]{3}, ?)?\d{1,2} [A-Za-z]{3} \d{4} .*|\d{4}-\d\d-\d\d[T ].*"
)


def date_like(text: str) -> bool:
    """Whether a text has the form of a date.

    Examples
    --------
    >>> [date_like(text) for text in ("2024-1-31", "13 Jan 2024", "12 Market 2024", "12:00")]
    [True, True, False, False]
    """
    return any(form.fullmatch(text) for form in _FORMS)


def other_time(text: str) -> bool:
    """Whether a text looks like a time in a form that is not read."""
    return _OTHER_TIME.fullmatch(text) is not None


def shows_order(text: str) -> tuple[str, bool | None] | None:
    """The separator of a date that ends with the year, and whether its day comes first: None if both are possible.

    None for every other text.

    Examples
    --------
    >>> shows_order("31.1.2024"), shows_order("01/31/2024"), shows_order("1-2-2024"), shows_order("2024-01-31")
    (('.', True), ('/', False), ('-', None), None)
    """
    match = _YEAR_LAST.fullmatch(text)
    if match is None:
        return None
    first, second = int(match["a"]) > 12, int(match["b"]) > 12
    return match["sep"], first if first != second else None


def day_first(name: str, title: str, texts: Iterable[str], options: ReadOptions) -> tuple[bool | None, list[str]]:
    """Whether dates that end with the year begin with the day (None: there are no such dates), and notes.

    Dates with the same separator show it, those of another do not: 01/31/2024 and 05.06.2024 may be of different
    countries. With points the day comes first, unless a date contradicts that.

    Raises
    ------
    DataError
        The dates do not show it, or contradict each other.
    """
    found: dict[tuple[str, bool | None], str] = {}
    for text in texts:
        if (order := shows_order(text)) is not None:
            found.setdefault(order, text)
    if not found or options.day_first is not None:
        return options.day_first if found else None, []
    day, month = (next((text for (_, shown), text in found.items() if shown is first), None) for first in (True, False))
    if day and month:
        raise DataError(
            f"{name}: column {title!r} has {day!r} and {month!r}, which have day and month in different order; set "
            "day_first"
        )
    doubtful = {sep: text for (sep, shown), text in found.items() if shown is None}
    for sep, text in doubtful.items():
        if (sep, True) in found or (sep, False) in found or (sep == "." and not month):
            continue
        other = f", and no other with {sep!r} shows" if day or month else ", and none shows"
        raise DataError(
            f"{name}: column {title!r} has dates such as {text!r}{other} whether the day or the month comes first; "
            "set day_first"
        )
    begin = f"column {title!r}: dates such as"
    if month and (".", False) in found:
        return False, [f"{begin} {found['.', False]} are read with the month first (day_first)"]
    if "." in doubtful and (".", True) not in found:
        return True, [f"{begin} {doubtful['.']} are read with the day first (day_first)"]
    return day is not None, []


def iso_date(text: str, first: bool | None) -> str | None:
    """A date in ISO 8601, or None if it is none. A year of two digits is none.

    `first` says whether the day comes first where the year comes last; None that it is not known: such a date is none.

    Examples
    --------
    >>> iso_date("1.2.2024 7:05 PM", True), iso_date("1.2.2024", None), iso_date("1 Feb 2024", None)
    ('2024-02-01T19:05:00', None, '2024-02-01')
    """
    match = next((found for form in _FORMS if (found := form.fullmatch(text))), None)
    if match is None or len(match["y"]) != 4 or (match.re is _YEAR_LAST and first is None):
        return None
    parts = match.groupdict()
    if "m1" in parts:
        month, day = _MONTHS[(parts["m1"] or parts["m2"]).lower()], int(parts["b"] or parts["b2"])
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


def why_no_date(text: str, first: bool | None, options: ReadOptions, *, number: bool) -> tuple[str, list[str]]:
    """Why a text, perhaps a number, is no date among dates with this order of day and month, and which option helps."""
    if number:
        return "is a number", []
    match = _YEAR_LAST.fullmatch(text) or _NAMED.fullmatch(text)
    if match is not None and len(match["y"]) == 2:
        return "has a year of two digits", []
    order = shows_order(text)
    if first is not None and order is not None and order[1] not in (None, first):
        said = "the option" if options.day_first is not None else "another date"
        return f"is not a date with the {'day' if first else 'month'} first, as {said} says", ["day_first"]
    return "is not a date", []
