"""Events from JSON objects. Sources other than CSV carry these, one per line or message::

    {"x": {"wind": 3, "sky": "grey"}, "y": "wet"}                       a sample with its label
    {"id": 7, "x": {"wind": 3, "sky": "grey"}, "time": 1700000000.5}    a sample
    {"id": 7, "y": "wet"}                                               its label, any time later or never

`protovine.net.io.messages` describes other forms. Anything else is counted by cause, reported now and then, and
skipped. Nothing that arrives ends a source.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from protovine.errors import DataError
from protovine.net.causes import Causes, Place, Report
from protovine.net.io.base import Event
from protovine.net.io.combine import Combiner, Group
from protovine.net.io.devices import MQTT, Devices, joined
from protovine.net.io.messages import LABEL, Layout, Messages, Picked, Refusal
from protovine.net.io.reading import FieldError
from protovine.net.io.schema import Schema
from protovine.net.io.wording import shown
from protovine.prototypes import FEATURE_MAX
from protovine.stream.cells import TRUTHS
from protovine.values import is_whole, listed

MESSAGE_BYTES_MAX = 1 << 20
ID_LENGTH_MAX = 200
# Samples after which features that never had a value are reported.
ABSENT_AFTER = 100
_BOM = b"\xef\xbb\xbf"


class Parser:
    """Events from JSON messages and rows.

    Refusals are counted by reason, and by cause in ``causes``. Reasons: ``json`` not JSON; ``form`` not an object with
    the expected keys; ``features``, ``label``, ``id``, ``time``, ``device`` that part; ``size`` longer than 1 MiB.

    Parameters
    ----------
    schema : Schema
    refused : callable (reason, text), optional
        Gets a report of each cause, the first time and then at most once a minute; or counts them with others.
    messages : Messages, optional
        Where things stand in a message.
    devices : Devices, optional
        What a topic says about the device; by default the topic is the device.
    clock : callable () -> float
        Seconds, for values that wait for others.

    Examples
    --------
    >>> parser = Parser(Schema(("wind",), ("dry", "wet")), refused=print)
    >>> parser.event(b'{"id": 7, "x": {"wind": 3}}', "barn/1")
    Event(x=array([3.]), y=None, id=7, time_ns=None, device='barn/1', place=None)
    >>> parser.event(b'{"id": 7, "y": "wet", "time": "2024-01-31T12:00Z"}', "barn/1")
    Event(x=None, y=1, id=7, time_ns=1706702400000000000, device='barn/1', place=None)
    >>> parser.event(b'{"id": 8, "y": "moist"}')
    label there is no class 'moist' (known: 'dry', 'wet')
    >>> parser.refusals
    Counter({'label': 1})
    """

    def __init__(
        self,
        schema: Schema,
        refused: Report | None = None,
        messages: Messages | None = None,
        devices: Devices | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.schema = schema
        self.taken = 0
        self.refusals: Counter[str] = Counter()
        self.causes = refused if isinstance(refused, Causes) else Causes(refused)
        self._layout = Layout(messages or Messages(), schema, None if devices is None else devices.wildcards)
        self._devices = devices or Devices(None, MQTT)
        self._reading = self._layout.reading
        combines = self._layout.combines
        self._combiner = None if combines is None else Combiner(*combines, clock)
        self._samples = 0
        self._seen = np.zeros(schema.dim, dtype=bool)

    def events(self, data: bytes, topic: str = "", place: Place | None = None) -> list[Event]:
        """The events in a message; none if it is refused, or blank."""
        try:
            if len(data) > MESSAGE_BYTES_MAX:
                raise Refusal("size", f"a message may have {MESSAGE_BYTES_MAX} bytes")
            if not data.removeprefix(_BOM).strip():
                return []
            single = self._layout.topic_value(topic)
            if single is not None:
                return self._value(data, *single)
            device = self._devices.of(topic)
            if device is None:
                raise Refusal("device", "no pattern in device matches the topic")
            parts = list(self._layout.parts(_decode(data)))
        except Refusal as refusal:
            self._refused(refusal, topic, place)
            return []
        found = []
        for part in parts:
            try:
                found.append(self._event(self._layout.pick(part), device, place))
            except Refusal as refusal:
                self._refused(refusal, topic, place)
        return found

    def due(self) -> list[Event]:
        """Events of values that have waited long enough for others."""
        return [] if self._combiner is None else self._grouped(self._combiner.due())

    def wait_s(self) -> float | None:
        """Seconds until `due` has events; None if nothing waits."""
        return None if self._combiner is None else self._combiner.wait_s()

    def event(self, data: bytes, topic: str = "") -> Event | None:
        """The event in a message that is not a list; None if it is refused, or blank."""
        return next(iter(self.events(data, topic)), None)

    def row(self, x: Mapping[str, Any], label: Any, place: Place | None = None) -> Event | None:
        """The event in a row of a file; None if it is refused."""
        try:
            return self._counted(Event(self._vector(x), self._code(label), None, None, place=place))
        except Refusal as refusal:
            self._refused(refusal, "", place)
            return None

    def given(self, event: Event) -> Event | None:
        """An event that was made elsewhere, as one of these; None if it is refused."""
        try:
            return self._counted(self._checked(event))
        except Refusal as refusal:
            self._refused(refusal, "", event.place)
            return None

    def refuse(self, reason: str, text: str, *, field: str = "", topic: str = "", place: Place | None = None) -> None:
        """Count a refusal."""
        self.refusals[reason] += 1
        self.causes.add(reason, text, field=field, topic=topic, place=place)

    def _refused(self, refusal: Refusal, topic: str, place: Place | None = None) -> None:
        self.refuse(refusal.reason, str(refusal), field=refusal.field, topic=topic, place=place)

    @property
    def unmapped(self) -> list[str]:
        """Features for which the map of messages names no place, if it names places at all."""
        return self._layout.unmapped

    @property
    def never_seen(self) -> list[str]:
        """Features that no sample so far had a value for."""
        return [name for name, seen in zip(self.schema.features, self._seen, strict=True) if not seen]

    def _value(self, data: bytes, name: str, device: str) -> list[Event]:
        """What a message brings that is the value of one feature or the label: JSON, or else a text."""
        try:
            value = _decode(data)
        except Refusal:
            value = data.removeprefix(_BOM).decode(errors="replace").strip()
        if self._combiner is None:
            return [self._counted(Event(self._vector({name: value}), None, None, None, device))]
        # A wrong value must not spoil the others.
        if name == LABEL and not self.schema.names(name):
            self._code(value)
        else:
            self._features({name: value})
        return self._grouped(self._combiner.add(device, name, value))

    def _grouped(self, groups: list[Group]) -> list[Event]:
        found = []
        for device, values in groups:
            label = None if self.schema.names(LABEL) else values.pop(LABEL, None)
            try:
                if not values:
                    raise Refusal("form", "a label came without a sample", "label")
                found.append(self._counted(Event(self._vector(values), self._code(label), None, None, device)))
            except Refusal as refusal:
                self._refused(refusal, device)
        return found

    def _event(self, picked: Picked, topic_device: str, place: Place | None) -> Event:
        name = _id(picked.id)
        if picked.x is None and (picked.label is None or name is None):
            raise Refusal("form", "x is needed, or id and y")
        device = joined(topic_device, [_part(part) for part in picked.device if not self._reading.missing(part)])
        x = None if picked.x is None else self._vector(picked.x)
        y = self._code(picked.label)
        if x is None and y is None:
            raise Refusal("label", f"the label of id {shown(name)} is missing", "y")
        try:
            return self._counted(Event(x, y, name, self._reading.time_ns(picked.time), device, place))
        except DataError as error:
            raise Refusal("time", str(error), "time") from None

    def _checked(self, event: Event) -> Event:
        name = _id(event.id.item() if isinstance(event.id, np.generic) else event.id)
        y, time_ns, n = event.y, event.time_ns, len(self.schema.classes)
        if y is not None and not (is_whole(y) and 0 <= y < n):
            raise Refusal("label", f"the class of an event is a number from 0 to {n - 1}, got {shown(y)}", "y")
        if event.x is None and (y is None or name is None):
            raise Refusal("form", "x is needed, or id and y")
        if time_ns is not None and not (is_whole(time_ns) and 0 <= time_ns < 2**63):
            raise Refusal("time", f"time_ns is nanoseconds from 1970 to 2262, got {shown(time_ns)}", "time")
        device = _part(event.device)
        x = None if event.x is None else self._noted(self._numbers(event.x))
        place = event.place if isinstance(event.place, Place) else None
        return Event(x, None if y is None else int(y), name, None if time_ns is None else int(time_ns), device, place)

    def _numbers(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """A vector as it is, or refused."""
        try:
            vector = np.array(x, dtype=np.float64)
        except (TypeError, ValueError):
            raise Refusal("features", f"x must be numbers, got {shown(x)}") from None
        if vector.shape != (self.schema.dim,):
            raise Refusal("features", f"x must have the shape ({self.schema.dim},), got {vector.shape}")
        for name, value in zip(self.schema.features, vector.tolist(), strict=True):
            if abs(value) > FEATURE_MAX:  # False for NaN.
                raise Refusal("features", f"feature '{name}' must be within ±{FEATURE_MAX:g}, got {value:g}", name)
        return vector

    def _features(self, x: Mapping[str, Any]) -> npt.NDArray[np.float64]:
        try:
            return self.schema.vector(x, self._reading)
        except FieldError as error:
            hint = "" if self.schema.names(error.field) else "; ignore = [...] leaves keys out"
            raise Refusal("features", f"{error}{hint}", error.field) from None
        except DataError as error:
            raise Refusal("features", str(error)) from None

    def _vector(self, x: Mapping[str, Any]) -> npt.NDArray[np.float64]:
        return self._noted(self._features(x))

    def _noted(self, vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        there = ~np.isnan(vector)
        if not there.any():
            raise Refusal("features", "no feature has a value")
        self._seen |= there
        self._samples += 1
        if self._samples == ABSENT_AFTER and (never := self.never_seen):
            # Most likely a wrong path or name, which would be found only at the end otherwise.
            self.causes.add("absent", f"no sample so far had a value for {listed(never)}", field=never[0])
        return vector

    def _code(self, label: Any) -> int | None:
        """The class of a label, as it is written if that is a class; None if it is missing."""
        if label is None:
            return None
        if not isinstance(label, bool | int | float | str | np.generic):
            raise Refusal("label", f"a label must be true/false, a number or a text, got {shown(label)}", "y")
        try:
            return self.schema.code(label)
        except DataError as error:
            if self._reading.missing(label):
                return None
            for other in self._other_spellings(label):
                try:
                    return self.schema.code(other)
                except DataError:
                    continue
            raise Refusal("label", str(error), "y") from None

    def _other_spellings(self, label: Any) -> list[Any]:
        """What else a text may mean: without blanks around it, the number that it reads as."""
        if not isinstance(label, str):
            return []
        others: list[Any] = [label.strip()]
        if others[0].lower() in TRUTHS:  # `Schema.code` knows where they are numbers.
            return others
        with contextlib.suppress(DataError):
            others.append(self._reading.number("y", label))
        return others

    def _counted(self, event: Event) -> Event:
        self.taken += 1
        return event


def _decode(data: bytes) -> Any:
    """The value in JSON: UTF-8, perhaps after a byte order mark; NaN and Infinity are numbers."""
    try:
        text = data.decode("utf-8-sig")
        value = _JSON.decode(text)
        if "\\u" in text:  # Half of a character, which could not be written again.
            json.dumps(value, ensure_ascii=False).encode()
    # More brackets than the stack is deep, or digits than Python reads, are errors of their own.
    except (ValueError, RecursionError) as error:
        raise Refusal("json", f"not JSON in UTF-8: {error}") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refusal("form", f"key {shown(twice)} stands there twice", f"{twice} twice")
    return found


_JSON = json.JSONDecoder(object_pairs_hook=_object)


def _id(value: Any) -> str | int | None:
    """A sample's name: a text or a whole number; an empty text is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        if len(value) > ID_LENGTH_MAX:
            raise Refusal("id", f"a text id may have {ID_LENGTH_MAX} characters, got {shown(value)}", "id")
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**63:
            raise Refusal("id", f"a number as id must have 64 bits, got {shown(value)}", "id")
        return value
    if value is not None:
        raise Refusal("id", f"an id must be a text or a whole number, got {shown(value)}", "id")
    return None


def _part(value: Any) -> str:
    """The text of what names a device."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int) or len(text := str(value)) > ID_LENGTH_MAX:
        raise Refusal("device", f"a device must be a text or a whole number, got {shown(value)}", "device")
    return text
