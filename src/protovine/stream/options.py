"""`ReadOptions`: how a table is read. Files, Python objects, experiments, the command line and live CSV share them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from protovine.errors import ConfigError, suggest

TEXT_MODES = ("one-hot", "ordinal")
MISSING_MODES = ("impute", "drop", "error")
INFINITY_MODES = ("error", "missing")
ABSENT_MODES = ("auto", "zero", "missing")
# A cell with one of these texts and nothing else is a missing value, in every column.
MISSING_WORDS = ("", "?", "NaN", "nan", "NA", "N/A", "n/a", "null", "NULL", "#N/A", "<NA>", "NaT")
# In a column of numbers or dates these are missing values too, in upper or lower case.
MISSING_AMONG_NUMBERS = (
    *(
        "-",
        "--",
        "---",
        ".",
        "..",
        "na",
        "nan",
        "-nan",
        "n/a",
        "n.a.",
        "n.a",
        "#na",
        "#n/a",
        "<na>",
        "nat",
        "null",
        "nil",
    ),
    *("none", "(null)", "[null]", "<null>", "\\n", "missing", "unknown", "undefined", "unavailable", "not available"),
    *("no data", "nodata", "#div/0!", "#null!", "#value!", "#ref!", "#name?", "#num!", "1.#ind", "-1.#ind", "1.#qnan"),
)
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " ", "\\t": "\t"}
DECIMALS = (".", ",")
THOUSANDS = (",", ".", "'", "_", " ", "\u00a0", "\u202f", "’")

# Which options apply to what; the rest apply to everything that has columns.
TEXT_FILE_ONLY = ("header", "separator", "comment", "units")
ENCODED_ONLY = ("encoding",)
PAIRS_ONLY = ("absent",)


def _option(default: Any, about: str) -> Any:
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a table is read. Columns are named, or given by their place: 0 is the first and -1 the last.

    Lists may be a single text. The meaning of every option is in its ``about``, and in docs/reference/data.md.

    Raises
    ------
    ConfigError
        A value is unknown, or two contradict each other.

    Examples
    --------
    >>> ReadOptions(separator="semicolon", decimal=",", drop="id").separator
    ';'
    >>> ReadOptions(decimal=",", thousands=",")
    Traceback (most recent call last):
    protovine.errors.ConfigError: decimal and thousands must differ, got ',' for both
    """

    label: str | int | None = _option(None, "label column, by name or place; the last one by default")
    drop: tuple[str | int, ...] = _option((), "columns to leave out, by name or place")
    group: str | int | None = _option(None, "column of the device or user that a row comes from: no feature")
    sort_by: str | int | None = _option(None, "column of numbers or dates by which rows are put in order, first of all")
    text: str = _option("one-hot", "how text columns become numbers")
    missing: str = _option("impute", "what happens to missing values")
    missing_words: tuple[str, ...] = _option((), "more cells that mean a missing value")
    infinity: str = _option("error", "infinite numbers are an error, or missing")
    text_columns: tuple[str | int, ...] = _option(
        (), "columns that are text even where they look like numbers or dates"
    )
    number_columns: tuple[str | int, ...] = _option((), "columns that are numbers even where most cells are not")
    day_first: bool | None = _option(None, "01/02/2024 is the first of February; from the dates by default")
    decimal: str | None = _option(None, "decimal mark, a point or a comma; from the numbers by default")
    thousands: str | None = _option(None, "separator of thousands; none by default")
    header: bool | None = _option(None, "whether the first line names the columns; an error by default if unclear")
    separator: str | None = _option(
        None, "character between cells, or comma, semicolon, tab, pipe, space; from the first lines by default"
    )
    encoding: str | None = _option(None, "encoding of a text file; UTF-8, or as its first bytes say, by default")
    comment: str | None = _option(None, "leave out lines that begin with this; `#` only at the top by default")
    units: bool = _option(False, "the line below the header holds units: leave it out")
    absent: str = _option("auto", "what a key that a dictionary lacks means: auto, zero, missing")

    def __post_init__(self) -> None:
        for name in ("drop", "text_columns", "number_columns", "missing_words"):
            value = getattr(self, name)
            listed = (value,) if isinstance(value, str | int | float) else tuple(value)
            if name != "missing_words":
                self._check_columns(name, listed)
            object.__setattr__(self, name, tuple(str(w).strip() for w in listed) if name == "missing_words" else listed)
        for name, modes in (
            ("text", TEXT_MODES),
            ("missing", MISSING_MODES),
            ("infinity", INFINITY_MODES),
            ("absent", ABSENT_MODES),
        ):
            if getattr(self, name) not in modes:
                value = getattr(self, name)
                raise ConfigError(
                    f"{name} must be one of {', '.join(modes)}, got {value!r}{suggest(str(value), modes)}"
                )
        for name in ("header", "day_first"):
            if getattr(self, name) not in (None, True, False):
                raise ConfigError(f"{name} must be true or false, got {getattr(self, name)!r}")
        self._check_marks()
        both = [column for column in self.text_columns if column in self.number_columns]
        if both:
            raise ConfigError(f"column {both[0]!r} is in text_columns and in number_columns")
        for name in ("label", "group", "sort_by"):
            column = getattr(self, name)
            self._check_columns(name, () if column is None else (column,))
            if column is not None and column in self.drop and name != "sort_by":
                raise ConfigError(f"column {column!r} is the {name} and in drop")
        if self.label is not None and self.label == self.group:
            raise ConfigError(f"column {self.label!r} is the label and the group")

    def _check_columns(self, option: str, columns: tuple[Any, ...]) -> None:
        odd = next((each for each in columns if isinstance(each, bool) or not isinstance(each, str | int)), None)
        if odd is not None:
            got = str(odd).lower() if isinstance(odd, bool) else repr(odd)
            raise ConfigError(f"{option} takes the name or the place of a column, got {got}")

    def _check_marks(self) -> None:
        if self.separator is not None:
            object.__setattr__(self, "separator", SEPARATORS.get(self.separator, self.separator))
            if len(self.separator) != 1 or self.separator in '"\n\r#' or self.separator.isalnum():
                raise ConfigError(
                    f"separator must be one character that is no letter, digit, quote or #, or one of "
                    f"{', '.join(list(SEPARATORS)[:5])}, got {self.separator!r}"
                )
        if self.decimal not in (None, *DECIMALS):
            raise ConfigError(f"decimal must be one of '.', ',', got {self.decimal!r}")
        if self.thousands not in (None, *THOUSANDS):
            raise ConfigError(f"thousands must be one of {', '.join(map(repr, THOUSANDS[:5]))}, got {self.thousands!r}")
        if self.thousands is not None and self.thousands == self.decimal:
            raise ConfigError(f"decimal and thousands must differ, got {self.decimal!r} for both")
        if self.comment is not None and (self.comment.strip() != self.comment or not self.comment):
            raise ConfigError(f"comment must be a text without blanks at its ends, got {self.comment!r}")
        if self.encoding is not None:
            try:
                "a".encode(self.encoding)
            except (LookupError, UnicodeError):
                raise ConfigError(
                    f"encoding must be one that Python knows, such as cp1252, got {self.encoding!r}"
                ) from None

    @classmethod
    def of(cls, **settings: Any) -> ReadOptions:
        """The options; `ConfigError` for an unknown one, with the nearest known."""
        unknown = next((name for name in settings if name not in OPTION_NAMES), None)
        if unknown is not None:
            raise ConfigError(f"unknown option {unknown!r}{suggest(unknown, OPTION_NAMES)}")
        try:
            return cls(**settings)
        except (TypeError, AttributeError) as error:
            raise ConfigError(f"an option has a value of a wrong type: {error}") from None

    def only(self, what: str, names: tuple[str, ...]) -> None:
        """`ConfigError` if an option other than `names` is set: it does not apply to `what`."""
        for option in fields(self):
            if option.name not in names and getattr(self, option.name) != option.default:
                raise ConfigError(f"{option.name} does not apply to {what}")

    def without(self, what: str, names: tuple[str, ...]) -> None:
        """`ConfigError` if one of `names` is set: it does not apply to `what`."""
        self.only(what, tuple(name for name in OPTION_NAMES if name not in names))


OPTION_NAMES = tuple(option.name for option in fields(ReadOptions))
