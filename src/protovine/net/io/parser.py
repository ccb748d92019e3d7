"""Events from JSON objects. Sources other than CSV carry these, one per line or message::

    {"x": {"wind": 3, "sky": "grey"}, "y": "wet"}                       a sample with its label
    {"id": 7, "x": {"wind": 3, "sky": "grey"}, "time": 1700000000.5}    a sample
    {"id": 7, "y": "wet"}                                               its label, any time later or never

Anything else is counted by reason, reported once per reason, and skipped. Nothing that arrives ends a source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from protovine.errors import DataError
from protovine.net.io.base import Event, Report
from protovine.net.io.schema import Schema, shown

MESSAGE_BYTES_MAX = 1 << 20
ID_LENGTH_MAX = 200

# int64 nanoseconds since 1970 end in the year 2262.
_TIME_S_MAX = 9_223_372_036
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Parser:
    """Events from JSON objects and rows; refusals are counted by reason, and reported to ``refused`` once per reason.

    Reasons: ``json`` not JSON; ``form`` not such an object; ``features``, ``label``, ``id``, ``time`` that part of it;
    ``size`` longer than 1 MiB.

    Examples
    --------
    >>> parser = Parser(Schema(("wind",), ("dry", "wet")), refused=print)
    >>> parser.event(b'{"id": 7, "x": {"wind": 3}}')
    Event(x=array([3.]), y=None, id=7, time_ns=None)
    >>> parser.event(b'{"id": 7, "y": "wet", "time": "2024-01-31T12:00Z"}')
    Event(x=None, y=1, id=7, time_ns=1706702400000000000)
    >>> parser.event(b'{"id": 8, "y": "moist"}')
    label there is no class 'moist' (known: 'dry', 'wet')
    >>> parser.refusals
    Counter({'label': 1})
    """

    def __init__(self, schema: Schema, refused: Report | None = None) -> None:
        self.schema = schema
        self.taken = 0
        self.refusals: Counter[str] = Counter()
        self._refused = refused

    def event(self, data: bytes) -> Event | None:
        """The event in ``data``; None if it is refused, or blank."""
        try:
            return None if len(data) <= MESSAGE_BYTES_MAX and not data.strip() else self._counted(self._parse(data))
        except _Refusal as refusal:
            self.refuse(refusal.reason, str(refusal))
            return None

    def row(self, x: Mapping[str, Any], label: Any) -> Event | None:
        """The event in a row of a file; None if it is refused."""
        try:
            return self._counted(Event(self._vector(x), self._code(label), None, None))
        except _Refusal as refusal:
            self.refuse(refusal.reason, str(refusal))
            return None

    def refuse(self, reason: str, text: str) -> None:
        """Count a refusal, and report the first of its reason."""
        self.refusals[reason] += 1
        if self._refused is not None and self.refusals[reason] == 1:
            # Decoders quote what they got, which may be anything.
            self._refused(reason, "".join(c if c.isprintable() else "?" for c in text[:300]))

    def _parse(self, data: bytes) -> Event:
        if len(data) > MESSAGE_BYTES_MAX:
            raise _Refusal("size", f"a message may have {MESSAGE_BYTES_MAX} bytes")
        try:
            message = _decode(data)
        except msgspec.ValidationError as error:
            raise _Refusal("form", str(error)) from None
        # Bytes that are not UTF-8 within a text, or more brackets than the stack is deep, are errors of their own.
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Refusal("json", str(error)) from None
        name = message.id
        if message.x is None and (message.y is None or name is None):
            raise _Refusal("form", "x is needed, or id and y")
        if isinstance(name, str) and len(name) > ID_LENGTH_MAX:
            raise _Refusal("id", f"a text id may have {ID_LENGTH_MAX} characters, got {shown(name)}")
        if isinstance(name, int) and not -(2**63) <= name < 2**63:
            raise _Refusal("id", f"a number as id must have 64 bits, got {shown(name)}")
        x = None if message.x is None else self._vector(message.x)
        try:
            return Event(x, self._code(message.y), name, None if message.time is None else to_ns(message.time))
        except DataError as error:
            raise _Refusal("time", str(error)) from None

    def _vector(self, x: Mapping[str, Any]) -> npt.NDArray[np.float64]:
        try:
            vector = self.schema.vector(x)
        except DataError as error:
            raise _Refusal("features", str(error)) from None
        if np.isnan(vector).all():
            raise _Refusal("features", "no feature has a value")
        return vector

    def _code(self, label: Any) -> int | None:
        try:
            return None if label is None else self.schema.code(label)
        except DataError as error:
            raise _Refusal("label", str(error)) from None

    def _counted(self, event: Event) -> Event:
        self.taken += 1
        return event


class _Refusal(Exception):
    """Why something is no event."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    x: dict[str, Any] | None = None
    y: bool | int | float | str | None = None
    id: str | int | None = None
    time: float | str | None = None


_decode = msgspec.json.Decoder(_Message).decode


def to_ns(when: float | str) -> int:
    """Nanoseconds since 1970 of a number of seconds since then, or of an ISO 8601 text; UTC if it names no zone.

    Raises
    ------
    DataError
        It is neither, or not between 1970 and 2262.

    Examples
    --------
    >>> to_ns(1.5), to_ns("1970-01-01T00:00:01.5"), to_ns("1970-01-01T01:00+01:00")
    (1500000000, 1500000000, 0)
    """
    if isinstance(when, str):
        try:
            date = datetime.fromisoformat(when)
        except ValueError:
            raise DataError(f"time must be seconds since 1970 or an ISO 8601 text, got {shown(when)}") from None
        # Not date.timestamp(): a float has not all the digits.
        try:
            since = (date if date.tzinfo else date.replace(tzinfo=UTC)) - _EPOCH
        except OverflowError:
            raise DataError(f"time must be between 1970 and 2262, got {shown(when)}") from None
        seconds, time_ns = since.total_seconds(), since // timedelta(microseconds=1) * 1000
    else:
        seconds = when
        # Whole microseconds: a float has no more digits for the seconds of these years.
        time_ns = round(when * 1e6) * 1000 if abs(when) <= _TIME_S_MAX else 0
    if not 0 <= seconds <= _TIME_S_MAX:
        hint = "; is it in milliseconds?" if seconds > _TIME_S_MAX else ""
        raise DataError(f"time must be between 1970 and 2262, got {shown(when)}{hint}")
    return time_ns
