"""How a value in a message becomes a number: texts, missing values and times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from protovine.errors import ConfigError, DataError
from protovine.net.io.times import CHOICES, seconds_since, to_ns
from protovine.net.io.wording import shown
from protovine.prototypes import FEATURE_MAX
from protovine.stream.cells import TRUTHS
from protovine.stream.options import MISSING_AMONG_NUMBERS, MISSING_WORDS

# As among numbers in files; capitals do not matter.
_MISSING = frozenset(word.casefold() for word in (*MISSING_WORDS, *MISSING_AMONG_NUMBERS))


class FieldError(DataError):
    """A value in a message that cannot be used; ``field`` names it."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True)
class Reading:
    """How texts become numbers and times.

    Parameters
    ----------
    decimal_comma : bool
        Texts have a comma before the decimals ("9,5"), and no point.
    words : mapping of str to number
        Texts that stand for numbers, such as on and off; capitals do not matter.
    time_unit : {"auto", "iso", "s", "ms", "us", "ns"}
        Of times that are numbers; see `protovine.net.io.times.to_ns`.
    time_zone : str
        Of times that name none, such as UTC or Europe/Berlin.

    Raises
    ------
    ConfigError
        A setting is none of these.

    Examples
    --------
    >>> reading = Reading(words={"on": 1, "off": 0})
    >>> [reading.number("a", value) for value in (" 8 ", "1e3", "ON", "unavailable", None)]
    [8.0, 1000.0, 1.0, nan, nan]
    >>> Reading(decimal_comma=True).number("a", "9,5")
    9.5
    >>> reading.number("a", "9,5")
    Traceback (most recent call last):
    protovine.net.io.reading.FieldError: feature 'a' must be a number or true/false, got '9,5' (decimal_comma ...)
    """

    decimal_comma: bool = False
    words: Mapping[str, float] = field(default_factory=dict)
    time_unit: str = "auto"
    time_zone: str = "UTC"
    _words: dict[str, float] = field(init=False, repr=False, compare=False)
    _zone: tzinfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.time_unit not in CHOICES:
            raise ConfigError(f"time_unit must be one of {', '.join(CHOICES)}, got {self.time_unit!r}")
        try:
            object.__setattr__(self, "_zone", ZoneInfo(self.time_zone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigError(
                f"time_zone must be a zone such as UTC or Europe/Berlin, got {self.time_zone!r}"
            ) from None
        words: dict[str, float] = {}
        for word, value in self.words.items():
            key = word.strip().casefold()
            if not math.isfinite(value) or not -FEATURE_MAX <= value <= FEATURE_MAX:
                raise ConfigError(f"words: {word!r} must stand for a number within ±{FEATURE_MAX:g}, got {value}")
            if _float(key) is not None or key in TRUTHS:
                raise ConfigError(f"words: {word!r} is a number or true/false already")
            if words.setdefault(key, float(value)) != value:
                raise ConfigError(f"words: {word!r} stands for two numbers")
        object.__setattr__(self, "_words", words)

    def number(self, name: str, value: Any) -> float:
        """The number of feature ``name``, NaN if it is missing; `FieldError` for anything else."""
        if type(value) is float and -FEATURE_MAX <= value <= FEATURE_MAX:  # By far the most.
            return value
        if isinstance(value, str):
            return self._text(name, value)
        if value is None:
            return math.nan
        if not isinstance(value, int | float | np.bool_ | np.integer | np.floating):
            raise FieldError(name, f"feature {shown(name)} must be a number or true/false, got {shown(value)}")
        # Comparing before converting: whole numbers may be beyond the largest float.
        if not -FEATURE_MAX <= value <= FEATURE_MAX and value == value:
            raise FieldError(name, f"feature {shown(name)} must be within ±{FEATURE_MAX:g}, got {shown(value)}")
        return float(value)

    def missing(self, value: Any) -> bool:
        """Whether it is a text or number that stands for a missing value."""
        if isinstance(value, str):
            word = value.strip().casefold()
            return word in _MISSING and word not in self._words
        return value is None or (isinstance(value, float) and math.isnan(value))

    def word(self, text: str) -> float | None:
        """The number that a text stands for by ``words``."""
        return self._words.get(text.strip().casefold())

    def seconds(self, name: str, value: Any, origin_ns: int) -> float:
        """A time as seconds since ``origin_ns``, NaN if it is missing; `FieldError` if it is no time."""
        if self.missing(value):
            return math.nan
        try:
            return seconds_since(origin_ns, value, self.time_unit, self._zone)
        except DataError as error:
            raise FieldError(name, f"feature {shown(name)}: {error}") from None

    def time_ns(self, value: Any) -> int | None:
        """Nanoseconds since 1970, None if it is missing; `DataError` if it is no time."""
        return None if self.missing(value) else to_ns(value, self.time_unit, self._zone)

    def _text(self, name: str, value: str) -> float:
        text = value.strip().casefold()
        if text in self._words:
            return self._words[text]
        if text in _MISSING:
            return math.nan
        number = TRUTHS.get(text)
        if number is None:
            number = _float(text.replace(",", ".") if self._has_comma(text) else text)
        if number is None or (self.decimal_comma and "." in text):
            raise FieldError(
                name, f"feature {shown(name)} must be a number or true/false, got {shown(value)}{self._hint(text)}"
            )
        if not -FEATURE_MAX <= number <= FEATURE_MAX and number == number:
            raise FieldError(name, f"feature {shown(name)} must be within ±{FEATURE_MAX:g}, got {shown(value)}")
        return number

    def _has_comma(self, text: str) -> bool:
        return self.decimal_comma and text.count(",") == 1

    def _hint(self, text: str) -> str:
        if self.decimal_comma:
            return " (with decimal_comma a point is not allowed)" if "." in text else ""
        if text.count(",") == 1 and _float(text.replace(",", ".")) is not None:
            return " (decimal_comma = true allows a comma before the decimals)"
        return ""


def _float(text: str) -> float | None:
    # Python reads 1_000 as a number, but in a message it is a text.
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


PLAIN = Reading()
