"""What members of a swarm agree on before they talk: the names of the features and the classes, in order."""

from __future__ import annotations

import codecs
import hashlib
import json
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from protovine.errors import DataError, suggest
from protovine.net.io.reading import PLAIN, FieldError, Reading
from protovine.net.io.times import iso_ns
from protovine.net.io.wording import shown as shown
from protovine.prototypes import FEATURE_MAX
from protovine.stream import DataSet, Label
from protovine.stream.cells import TRUTHS
from protovine.values import listed

FEATURES_MAX = 100_000
CLASSES_MAX = 10_000
NAME_LENGTH_MAX = 1000
FILE_BYTES_MAX = 1 << 28


@dataclass(frozen=True)
class Schema:
    """Feature names and classes in the order in which vectors and class codes have them.

    Parameters
    ----------
    features : tuple of 1 to 100,000 different str
        Each has 1 to 1000 characters. ``sky=clear`` also stands for the text "clear" of a column ``sky``, as
        `protovine.stream.encode.encode` names one-hot columns.
    classes : tuple of 1 to 10,000 labels
        Plain true/false, finite numbers or texts, no two of which read alike: not 1 and "1".
    times : mapping of str to str
        Features that are seconds since a time, with that time in ISO 8601.
    absent_zero : tuple of str
        Features that are 0 where a sample does not name them.
    ordinal : mapping of str to tuple of str
        Features that are the position of a text among these, from 0. Samples have the text.

    Raises
    ------
    DataError
        One of the above does not hold.

    Examples
    --------
    >>> schema = Schema(("wind", "sky=clear", "sky=grey"), ("dry", "wet"))
    >>> schema.vector({"wind": 3, "sky": "grey"}), schema.vector({"sky=clear": True})
    (array([3., 0., 1.]), array([nan,  1., nan]))
    >>> schema.code("wet"), schema.label(0), schema.fingerprint().hex()
    (1, 'dry', 'cf0cfe14c7a77c76c7f62171db997e83')
    >>> schema.vector({"wind": "strong"})
    Traceback (most recent call last):
    protovine.net.io.reading.FieldError: feature 'wind' must be a number or true/false, got 'strong'
    """

    features: tuple[str, ...]
    classes: tuple[Label, ...]
    times: Mapping[str, str] = field(default_factory=dict)
    absent_zero: tuple[str, ...] = ()
    ordinal: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _places: dict[str, int] = field(init=False, repr=False, compare=False)
    _columns: dict[str, list[int]] = field(init=False, repr=False, compare=False)
    _codes: dict[tuple[bool, str], int] = field(init=False, repr=False, compare=False)
    # What features count from that are no numbers in samples: a time in nanoseconds, or the places of texts.
    _origins: dict[str, int | dict[str, int]] = field(init=False, repr=False, compare=False)
    # A sample that names no feature.
    _absent: list[float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(self.features))
        object.__setattr__(self, "classes", tuple(self.classes))
        _check_features(self.features)
        object.__setattr__(self, "_places", {name: place for place, name in enumerate(self.features)})
        object.__setattr__(self, "_columns", _columns(self.features))
        object.__setattr__(self, "_codes", _codes(self.classes))
        object.__setattr__(self, "absent_zero", tuple(self.absent_zero))
        for name in (*self.times, *self.absent_zero):
            if name not in self._places:
                raise DataError(f"times and absent_zero must name features, got {shown(name)}")
        zeros = set(self.absent_zero)
        object.__setattr__(self, "_absent", [0.0 if name in zeros else math.nan for name in self.features])
        object.__setattr__(self, "ordinal", {name: tuple(texts) for name, texts in self.ordinal.items()})
        texts = {name: _positions(name, self.ordinal[name], self.features, self.times) for name in self.ordinal}
        object.__setattr__(self, "_origins", {**{name: iso_ns(time) for name, time in self.times.items()}, **texts})

    @classmethod
    def of(cls, data: DataSet) -> Schema:
        """The schema that a data set has.

        Examples
        --------
        >>> from protovine.stream import load
        >>> Schema.of(load("phishing")).classes
        (False, True)
        """
        return cls(data.features, data.classes, dict(data.times), data.absent_zero, data.ordinal)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Schema:
        """The schema in a JSON file: an object with ``features`` and ``classes``, such as `data info --json` prints.

        ``features`` is a list of names. ``classes`` is a list of labels, or an object whose keys are labels. Keys are
        always texts in JSON, so there, and only there, they stand for whole numbers if all of them read so, and for
        true and false if all of them do, unless ``class_labels`` lists the labels. ``times`` is an object of features
        with their origins, each a text or an object with ``origin``; ``absent_zero`` a list of features; ``ordinal`` an
        object of features with the list of their texts. Other entries are ignored.

        Raises
        ------
        DataError
            The file is missing, longer than 256 MiB, not such an object, or not a schema.
        """
        place = Path(path).expanduser()
        try:
            if place.stat().st_size > FILE_BYTES_MAX:
                raise DataError(f"{place}: a schema may have {FILE_BYTES_MAX} bytes, got {place.stat().st_size}")
            found = msgspec.json.decode(place.read_bytes().removeprefix(codecs.BOM_UTF8), type=_File)
        except OSError as error:
            raise DataError(f"{place}: cannot be read: {error.strerror or error}") from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"{place}: not a schema in JSON: {error}") from error
        classes = found.classes
        if isinstance(classes, dict):
            keys = list(classes)
            classes = _from_keys(keys) if found.class_labels is None else found.class_labels
            if found.class_labels is not None and [str(label) for label in classes] != keys:
                raise DataError(
                    f"{place}: class_labels must be the labels that classes has as keys, got {shown(classes)}"
                )
        times = {name: when if isinstance(when, str) else when.origin for name, when in found.times.items()}
        try:
            ordinal = {name: tuple(texts) for name, texts in found.ordinal.items()}
            return cls(tuple(found.features), tuple(classes), times, tuple(found.absent_zero), ordinal)
        except DataError as error:
            raise DataError(f"{place}: {error}") from None

    @property
    def dim(self) -> int:
        """The number of features."""
        return len(self.features)

    def fingerprint(self) -> bytes:
        """16 bytes that differ when a name, a label, its type or the order differs; the same on every machine.

        Examples
        --------
        >>> Schema(("a",), (0, 1)).fingerprint() == Schema(("a",), ("0", "1")).fingerprint()
        False
        """
        # JSON keeps 1, 1.0, "1" and true apart.
        parts: list[Any] = [self.features, self.classes]
        if self.times or self.absent_zero:
            parts += [sorted(self.times.items()), sorted(self.absent_zero)]
        if self.ordinal:
            parts.append(sorted(self.ordinal.items()))
        text = json.dumps(parts, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16, person=b"protovine schema").digest()

    def vector(self, x: Mapping[str, Any], reading: Reading = PLAIN) -> npt.NDArray[np.float64]:
        """The numbers of ``x``, shape (d,), in the order of the features; NaN where a value is missing.

        A value is a number within ±1e38, true/false, a text that reads as one of these, or a text for a one-hot encoded
        column; in ``times`` it is a time, in ``ordinal`` one of the texts. Absent, None, NaN and the usual words for it
        are missing.

        Raises
        ------
        DataError
            A name or a value is none of these, or a feature is given twice; the message says which.
        """
        values = self._absent.copy()
        for name, value in x.items():
            place = self._places.get(name)
            if place is not None:
                origin = self._origins.get(name)
                if origin is None:
                    values[place] = reading.number(name, value)
                elif isinstance(origin, dict):
                    values[place] = self._position(name, value, origin, reading)
                else:
                    values[place] = reading.seconds(name, value, origin)
            elif name in self._columns:
                self._set_column(name, value, x, values, reading)
            else:
                raise FieldError(name, f"there is no feature {shown(name)}{self._suggest(name)}")
        return np.array(values)

    def names(self, name: str) -> bool:
        """Whether a sample may have a value for ``name``: a feature, or a text column behind one-hot features."""
        return name in self._places or name in self._columns

    def without(self, named: Collection[str]) -> list[str]:
        """The features that samples with values for ``named`` alone have no value for.

        Examples
        --------
        >>> Schema(("wind", "sky=clear", "sky=grey", "cold"), ("dry", "wet")).without({"wind", "sky"})
        ['cold']
        """
        return [name for name in self.features if name not in named and name.partition("=")[0] not in named]

    def code(self, label: object) -> int:
        """The class that ``label`` means, 0 to len(classes) - 1.

        The class of the same value and type; failing that the one that reads the same: 1, 1.0 and "1" mean each other,
        and so do true and the text "true" in any case. True and false also mean 1 and 0, and these them, where no other
        number is a class.

        Raises
        ------
        DataError
            There is no such class, or it is not clear which.

        Examples
        --------
        >>> schema = Schema(("a",), (0, 1))
        >>> [schema.code(label) for label in (1, 1.0, "1", True, "true")]
        [1, 1, 1, 1, 1]
        >>> schema.code(2)
        Traceback (most recent call last):
        protovine.errors.DataError: there is no class 2 (known: 0, 1)
        """
        if isinstance(label, str) and (True, label) in self._codes:
            return self._codes[True, label]
        truth = TRUTHS.get(label.lower()) if isinstance(label, str) else None
        texts = spellings(label if truth is None else bool(truth))
        keys = [(is_text, text) for text in texts for is_text in (False, True)]
        found = {self._codes[key] for key in keys if key in self._codes}
        if len(found) == 1:
            return found.pop()
        known = ", ".join(shown(known) for known in self.classes[:20]) + (", …" if len(self.classes) > 20 else "")
        raise DataError(f"there is no class {shown(label)} (known: {known})")

    def label(self, code: int) -> Label:
        """The class with this code.

        Raises
        ------
        DataError
            ``code`` is not between 0 and len(classes) - 1.
        """
        if not 0 <= code < len(self.classes):
            raise DataError(f"a class code must be between 0 and {len(self.classes) - 1}, got {code}")
        return self.classes[code]

    def _position(self, name: str, value: object, texts: Mapping[str, int], reading: Reading) -> float:
        """The place of the text that ``value`` is among ``texts``."""
        chosen = {texts[text] for text in _written(value) if text in texts}
        if not chosen and reading.missing(value):
            return math.nan
        if len(chosen) != 1:
            raise FieldError(name, f"feature {shown(name)} must be one of {listed(list(texts))}, got {shown(value)}")
        return float(chosen.pop())

    def _set_column(
        self, name: str, value: object, x: Mapping[str, Any], values: list[float], reading: Reading
    ) -> None:
        """Ones and zeros for a text column that one-hot features stand for."""
        places = self._columns[name]
        chosen = {self._places[full] for text in _written(value) if (full := f"{name}={text}") in self._places}
        if not chosen and reading.missing(value):
            for place in places:
                if self.features[place] not in x:
                    values[place] = math.nan
            return
        twice = next((place for place in places if self.features[place] in x), None)
        if twice is not None:
            raise FieldError(name, f"feature {shown(self.features[twice])} is given twice, also as {shown(name)}")
        if len(chosen) != 1:
            known = listed([self.features[place][len(name) + 1 :] for place in places])
            raise FieldError(name, f"column {shown(name)} must be one of {known}, got {shown(value)}")
        for place in places:
            values[place] = float(place in chosen)

    def _suggest(self, name: str) -> str:
        # Comparing a long name with thousands of others would be a way to keep a node busy.
        return suggest(name, self.features) if len(self.features) <= 50 and len(name) <= 100 else ""


class _Origin(msgspec.Struct):
    origin: str


class _File(msgspec.Struct):
    features: list[str]
    classes: dict[str, Any] | list[bool | int | float | str]
    times: dict[str, str | _Origin] = {}
    absent_zero: list[str] = []
    ordinal: dict[str, list[str]] = {}
    class_labels: list[bool | int | float | str] | None = None


def spellings(label: Any) -> tuple[str, ...]:
    """How a label may be written as text; nothing for what cannot be a label.

    Examples
    --------
    >>> spellings(True), spellings(2.0), spellings(2.5), spellings("a "), spellings([])
    (('true', 'True'), ('2',), ('2.5',), ('a ',), ())
    """
    if isinstance(label, str):
        return (label,)
    if isinstance(label, bool | np.bool_):
        return (str(bool(label)).lower(), str(bool(label)))
    if isinstance(label, int | np.integer) and abs(int(label)) <= FEATURE_MAX:
        return (str(int(label)),)
    if isinstance(label, float | np.floating) and abs(float(label)) <= FEATURE_MAX:
        number = float(label)
        return (str(int(number)) if number.is_integer() else repr(number),)
    return ()


def _written(value: object) -> tuple[str, ...]:
    """How a value of a text column may be written in the schema."""
    return (value, value.strip()) if isinstance(value, str) else spellings(value)


def _positions(name: str, texts: Sequence[str], features: Sequence[str], times: Collection[str]) -> dict[str, int]:
    """Where each text of an ordinal feature stands; `DataError` if they cannot be."""
    if name not in features or name in times:
        raise DataError(f"ordinal must name features that are no times, got {shown(name)}")
    places = {text: place for place, text in enumerate(texts)}
    if not texts or len(places) < len(texts) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"the texts of feature {shown(name)} must be one or more and differ, got {shown(list(texts))}")
    return places


def _check_features(features: Sequence[str]) -> None:
    if not 1 <= len(features) <= FEATURES_MAX:
        raise DataError(f"a schema must have 1 to {FEATURES_MAX} features, got {len(features)}")
    seen = set()
    for name in features:
        if not isinstance(name, str) or not 1 <= len(name) <= NAME_LENGTH_MAX:
            raise DataError(f"a feature's name must be a text of 1 to {NAME_LENGTH_MAX} characters, got {shown(name)}")
        if name in seen:
            raise DataError(f"feature names must differ, got {shown(name)} more than once")
        seen.add(name)


def _columns(features: Sequence[str]) -> dict[str, list[int]]:
    """For every text column that features may stand for, where they are. The column's own name may have an = too."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(features):
        at = name.find("=")
        while at > 0:
            found.setdefault(name[:at], []).append(place)
            at = name.find("=", at + 1)
    return found


def _codes(classes: Sequence[Label]) -> dict[tuple[bool, str], int]:
    """The class for each (is a text, spelling)."""
    if not 1 <= len(classes) <= CLASSES_MAX:
        raise DataError(f"a schema must have 1 to {CLASSES_MAX} classes, got {len(classes)}")
    codes: dict[tuple[bool, str], int] = {}
    read: set[str] = set()
    for code, label in enumerate(classes):
        texts = spellings(label) if type(label) in (bool, int, float, str) else ()
        if not texts:
            raise DataError(f"a class must be true/false, a number within ±1e38 or a text, got {shown(label)}")
        if len(texts[0]) > NAME_LENGTH_MAX:
            raise DataError(f"a class may have {NAME_LENGTH_MAX} characters, got {shown(label)}")
        # Two texts may differ in case only; a text and something else may not.
        alike = read.intersection(texts) if not isinstance(label, str) else read & {label}
        if alike:
            raise DataError(f"classes must read differently, got {shown(label)} more than once")
        read.update(texts)
        codes.update(((isinstance(label, str), text), code) for text in texts)
    if {label for label in classes if not isinstance(label, str | bool)} <= {0, 1}:
        for number in (0, 1):
            for label, alias in ((number, bool(number)), (bool(number), number)):
                meant = codes.get((False, spellings(label)[0]))
                if meant is not None:
                    for text in spellings(alias):
                        codes.setdefault((False, text), meant)
    return codes


def _from_keys(keys: list[str]) -> list[Label]:
    """Labels from the keys of an object, which are texts whatever the labels are."""
    if keys and all(key in ("True", "False", "true", "false") for key in keys):
        return [key.lower() == "true" for key in keys]
    if keys and all(len(key) <= 38 and _is_whole(key) for key in keys):
        return [int(key) for key in keys]
    return list(keys)


def _is_whole(text: str) -> bool:
    """Whether it is how Python writes a whole number: 7, not 07 or +7."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and str(int(text)) == text
