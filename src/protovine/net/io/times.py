"""Times in messages: ISO 8601 texts, and seconds, milliseconds, microseconds or nanoseconds since 1970."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from types import MappingProxyType

from protovine.errors import DataError
from protovine.net.io.wording import shown

SECOND_NS = 1_000_000_000
# Nanoseconds in one of them.
UNITS: Mapping[str, int] = MappingProxyType({"s": SECOND_NS, "ms": 1_000_000, "us": 1000, "ns": 1})
# "auto": a number between 2000 and 2262 in one of the units is in no other. "iso": numbers are refused.
CHOICES = ("auto", "iso", *UNITS)

# int64 nanoseconds since 1970 end in the year 2262.
TIME_S_MAX = 9_223_372_036
_YEAR_2000_S = 946_684_800
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# "2024-01-01 12:00:00 UTC", "… +0100", and "…+01:00[Europe/Berlin]" as Java writes it.
_ZONE_NAME = re.compile(r"(?<=\d)\s*(?:utc|gmt|z)$", re.IGNORECASE)
_ZONE_SPACE = re.compile(r"\s+(?=[+-]\d\d:?\d\d$)")
_ZONE_PLACE = re.compile(r"(?<=[\dZz])\[[\w/+-]+\]$")


def to_ns(when: float | int | str, unit: str = "auto", zone: tzinfo = UTC) -> int:
    """Nanoseconds since 1970.

    Parameters
    ----------
    when : number or str
        A number since 1970, also as text, or an ISO 8601 text.
    unit : {"auto", "iso", "s", "ms", "us", "ns"}
        Of numbers. With "auto" the number tells: seconds, milliseconds, microseconds and nanoseconds of the years 2000
        to 2262 do not overlap. Every other number, and a text outside these years, is refused then, because it is
        rather the time since a device started. With a unit, or with "iso", 1970 to 2262 is allowed.
    zone : tzinfo
        Of texts that name none.

    Raises
    ------
    DataError
        It is neither, or not between these years.

    Examples
    --------
    >>> to_ns(1700000000.5) == to_ns("1700000000500") == to_ns("2023-11-14 23:13:20.5+0100")
    True
    >>> to_ns(3600)
    Traceback (most recent call last):
    protovine.errors.DataError: time must be between 2000 and 2262, in ..., got 3600 (set time_unit ...)
    """
    number = _number(when)
    if number is not None:
        return _epoch_ns(when, number, unit)
    assert isinstance(when, str)
    time_ns = iso_ns(when, zone)
    low_s = _YEAR_2000_S if unit == "auto" else 0
    if not low_s * SECOND_NS <= time_ns <= TIME_S_MAX * SECOND_NS:
        raise _out_of_range(when, unit)
    return time_ns


def iso_ns(text: str, zone: tzinfo = UTC) -> int:
    """Nanoseconds since 1970 of an ISO 8601 text of any year, to the microsecond; `DataError` if it is none."""
    stripped = _ZONE_PLACE.sub("", text.strip())
    stripped = _ZONE_NAME.sub("+00:00", _ZONE_SPACE.sub("", stripped))
    try:
        date = datetime.fromisoformat(stripped)
        # Not date.timestamp(): a float has not all the digits.
        return ((date if date.tzinfo else date.replace(tzinfo=zone)) - _EPOCH) // _MICROSECOND * 1000
    except (ValueError, OverflowError):
        raise DataError(
            f"time must be a number since 1970 or an ISO 8601 text such as 2024-01-31T12:00:00Z, got {shown(text)}"
        ) from None


def seconds_since(origin_ns: int, when: float | int | str, unit: str = "auto", zone: tzinfo = UTC) -> float:
    """Seconds from ``origin_ns`` to a time: a text of any year, or a number as `to_ns` takes it.

    Examples
    --------
    >>> seconds_since(iso_ns("1965-01-01"), "1965-01-01T00:01:00"), seconds_since(iso_ns("2024-01-01"), 1704067201)
    (60.0, 1.0)
    """
    number = _number(when)
    if number is not None:
        return (_epoch_ns(when, number, unit) - origin_ns) / SECOND_NS
    assert isinstance(when, str)
    return (iso_ns(when, zone) - origin_ns) / SECOND_NS


def _number(when: float | int | str) -> int | float | Decimal | None:
    """The number that ``when`` is or reads as."""
    if isinstance(when, bool) or not isinstance(when, int | float | str):
        raise DataError(f"time must be a number or a text, got {shown(when)}")
    if not isinstance(when, str):
        return when
    text = when.strip()
    try:
        number = Decimal(text) if "_" not in text and len(text) <= 40 else None
    except InvalidOperation:
        return None
    return math.nan if number is not None and number.is_nan() else number


def _epoch_ns(when: float | int | str, number: int | float | Decimal, unit: str) -> int:
    if unit == "iso":
        raise DataError(f"time must be an ISO 8601 text, as time_unit is iso, got {shown(when)}")
    auto = unit == "auto"
    for per in UNITS.values() if auto else (UNITS[unit],):
        one_s = SECOND_NS // per
        if (_YEAR_2000_S if auto else 0) * one_s <= number <= TIME_S_MAX * one_s:  # False for NaN.
            return _scaled(number, per)
    raise _out_of_range(when, unit)


def _scaled(number: int | float | Decimal, per: int) -> int:
    if isinstance(number, int):
        return number * per
    if isinstance(number, Decimal):
        return int(number * per)
    # Whole microseconds: a float has no more digits for seconds of these years.
    return round(number * per / 1000) * 1000 if per >= 1000 else int(number)


def _out_of_range(when: object, unit: str) -> DataError:
    if unit == "auto":
        return DataError(
            f"time must be between 2000 and 2262, in s, ms, us or ns since 1970, got {shown(when)} "
            "(set time_unit to allow times from 1970 on)"
        )
    return DataError(
        f"time must be between 1970 and 2262, in {unit if unit != 'iso' else 'ISO 8601'}, got {shown(when)}"
    )
