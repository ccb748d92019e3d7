"""Where samples, labels, ids, times and devices stand in JSON messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from protovine.errors import ConfigError, check_range, suggest
from protovine.net.io.devices import MQTT, TopicPattern
from protovine.net.io.paths import Path, parse_path, path_text
from protovine.net.io.reading import Reading
from protovine.net.io.schema import Schema
from protovine.net.io.wording import shown

ALL = "*"
# In `Messages.topics`: the value is the label of the sample that it is combined with.
LABEL = "label"
_DEFAULTS = {"x": "x", "label": "y", "id": "id", "time": "time", "device": "device"}


class Refusal(Exception):
    """Why a message is no event: a reason in one word, a text, and the field that is to blame."""

    def __init__(self, reason: str, text: str, field: str = "") -> None:
        super().__init__(text)
        self.reason, self.field = reason, field


@dataclass(frozen=True)
class Messages:
    """Where things stand in the messages of a source. All paths are as `protovine.net.io.paths.parse_path` reads them.

    Parameters
    ----------
    x : str, optional
        The object with the features by name; by default ``x``.
    features : mapping of str to str, optional
        Path of each feature, or text column, instead of ``x``.
    flat : bool
        The features stand by name in the message itself, instead of in ``x``.
    label, id, time : str, optional
        Where these stand: by default ``y``, ``id`` and ``time``. "" is nowhere.
    device : str or sequence of str, optional
        What names the device besides the topic: by default ``device``, which may be absent. Paths that are set must be
        there.
    each : str, optional
        A list of messages within the message, such as ``metrics``; ``"."`` if the message itself is a list.
    topics : mapping of str to str
        Topics whose messages are a single value, by pattern (`protovine.net.io.devices.TopicPattern`), with the feature
        that the value is, or ``label``.
    combine_s : float >= 0
        Single values of a device that come within these seconds are one sample (`protovine.net.io.combine.Combiner`);
        with 0 each is a sample in which everything else is missing.
    ignore : str or sequence of str
        Keys that are not used, by path or by name; "*" for all that nothing else names.
    reading : Reading
        How texts become numbers and times.

    Examples
    --------
    >>> schema = Schema(("t", "h"), ("dry", "wet"))
    >>> messages = Messages(features={"t": "AM2301.Temperature", "h": "AM2301.Humidity"}, ignore=("Time",))
    >>> message = {"Time": "2024-01-01T12:00:00", "AM2301": {"Temperature": 21.5, "Humidity": 50}}
    >>> Layout(messages, schema).pick(message).x
    {'t': 21.5, 'h': 50}
    """

    x: str | None = None
    features: Mapping[str, str] | None = None
    flat: bool = False
    label: str | None = None
    id: str | None = None
    time: str | None = None
    device: str | Sequence[str] | None = None
    each: str | None = None
    topics: Mapping[str, str] = field(default_factory=dict)
    combine_s: float = 0.0
    ignore: Sequence[str] = ()
    reading: Reading = field(default_factory=Reading)


@dataclass(slots=True)
class Picked:
    """What a message has, still unchecked. ``x`` is None where it names no feature."""

    x: dict[str, Any] | None = None
    label: Any = None
    id: Any = None
    time: Any = None
    device: tuple[Any, ...] = ()


class _Key:
    """A key that a path goes through or ends at."""

    def __init__(self) -> None:
        self.children: dict[str | int, _Key] = {}
        # What the value is: (kind, feature or place among the device's paths).
        self.targets: list[tuple[str, Any]] = []


class Layout:
    """`Messages` for a schema, ready to use.

    Raises
    ------
    ConfigError
        A path or pattern is none, a feature is not in the schema, or settings contradict each other.
    """

    def __init__(self, messages: Messages, schema: Schema, wildcards: tuple[str, str] | None = None) -> None:
        self._schema, self.reading, self._flat = schema, messages.reading, messages.flat
        mapped = {*(messages.features or ()), *messages.topics.values()}
        # Features that a map leaves out.
        self.unmapped = schema.without(mapped) if mapped else []
        given = messages.features
        if messages.flat and (messages.x is not None or given is not None):
            raise ConfigError("flat means that features stand in the message itself: map.x and map.features exclude it")
        if given is not None and messages.x is not None:
            raise ConfigError("map.x and map.features exclude each other")
        if given is not None and not given:
            raise ConfigError("map.features must name at least one feature")
        check_range("combine_s", messages.combine_s, 0, 86_400)
        single = frozenset(messages.topics.values())
        self.combines = (single, messages.combine_s) if messages.combine_s else None
        if self.combines is not None and len(single) < 2:
            raise ConfigError("combine_s joins values of topics: map.topics must name at least two")
        for name in (*(given or ()), *single):
            if not schema.names(name) and not (name == LABEL and name in single and self.combines is not None):
                raise ConfigError(f"map: the schema has no feature {shown(name)}{suggest(name, schema.features[:50])}")
        ignored = (messages.ignore,) if isinstance(messages.ignore, str) else messages.ignore
        self._ignore_all = ALL in ignored
        self._ignore = frozenset(parse_path(text) for text in ignored if text != ALL)
        self._each = None if messages.each is None else () if messages.each == "." else parse_path(messages.each)
        self._has_x = given is None and not messages.flat
        self._devices, self._device_needed = 0, messages.device is not None
        self._x_path = parse_path(messages.x or "x")
        self._root = _Key()
        for name, path in (given or {}).items():
            self._add(parse_path(path), ("feature", name))
        self._add_others(messages)
        for key in _all_keys(self._root):
            if key.children and key.targets:
                raise ConfigError("map: a path must not go on where another one ends")
        if messages.topics and wildcards is None:
            raise ConfigError("map.topics needs a source with topics")
        self._topics = [(TopicPattern(text, wildcards or MQTT), name) for text, name in messages.topics.items()]

    def _add_others(self, messages: Messages) -> None:
        """The paths of everything but single features: those that are set, then the defaults where they are free."""
        taken: list[tuple[str, str]] = []
        free: list[tuple[str, str]] = []
        for kind, default in _DEFAULTS.items():
            if kind == "x" and not self._has_x:
                continue
            path = getattr(messages, kind)
            if path is None:
                free.append((kind, default))
            else:
                taken += [(kind, each) for each in ((path,) if isinstance(path, str) else path) if each]
        for kind, text in taken:
            self._add(parse_path(text), self._target(kind))
        for kind, text in free:
            key = parse_path(text)
            if key in self._ignore or key[0] in self._root.children:
                continue  # The key is used for something else.
            if self._flat and self._schema.names(text):
                raise ConfigError(
                    f"flat: {text!r} is a feature, so map.{kind} must say where the {kind} stands, or be ''"
                )
            self._add(key, self._target(kind))

    def _target(self, kind: str) -> tuple[str, Any]:
        if kind != "device":
            return kind, ""
        self._devices += 1
        return kind, self._devices - 1

    def _add(self, path: Path, target: tuple[str, Any]) -> None:
        key = self._root
        for part in path:
            key = key.children.setdefault(part, _Key())
        key.targets.append(target)

    def topic_value(self, topic: str) -> tuple[str, str] | None:
        """The feature that messages of ``topic`` are the value of, and the device; None if they are JSON objects."""
        for pattern, name in self._topics:
            device = pattern.device(topic)
            if device is not None:
                return name, device
        return None

    def parts(self, message: Any) -> Iterator[Any]:
        """The messages in a message; `Refusal` if it has no list of them."""
        if self._each is None:
            yield message
            return
        found, absent = message, object()
        for part in self._each:
            found = _get(found, part, absent)
            if found is absent:
                yield message  # Some programs send lists and single messages.
                return
        where = path_text(self._each)
        if not isinstance(found, list):
            raise Refusal("form", f"{where or 'the message'} must be a list, got {shown(found)}", where)
        for beside in message if isinstance(message, dict) and not self._ignore_all else ():
            if beside != self._each[0] and (beside,) not in self._ignore:
                raise Refusal("form", f"unknown field {shown(beside)} beside {where}: name it in ignore", str(beside))
        yield from found

    def pick(self, message: Any) -> Picked:
        """What ``message`` has; `Refusal` if it has a key that nothing names."""
        if not isinstance(message, dict):
            hint = " (map.each reads lists)" if isinstance(message, list) else ""
            raise Refusal("form", f"a message must be a JSON object, got {shown(message)}{hint}")
        picked = Picked(device=(None,) * self._devices)
        self._walk(message, self._root, (), picked)
        if self._device_needed and any(self.reading.missing(part) for part in picked.device):
            raise Refusal("device", "the message does not name its device", "device")
        return picked

    def _walk(self, value: Any, key: _Key, path: Path, picked: Picked) -> None:
        found = 0
        for part, child in key.children.items():
            inner = _get(value, part, _ABSENT)
            if inner is _ABSENT:
                continue
            found += 1
            for target in child.targets:
                self._set(picked, target, inner)
            if child.children and not self.reading.missing(inner):
                if not isinstance(inner, dict | list):
                    where = path_text((*path, part))
                    raise Refusal("form", f"{where} must be an object or a list, got {shown(inner)}", where)
                self._walk(inner, child, (*path, part), picked)
        at_root = not path
        if found < len(value) and (not self._ignore_all or (at_root and self._flat)):
            self._rest(value, key, path, picked)

    def _rest(self, value: dict[str, Any] | list[Any], key: _Key, path: Path, picked: Picked) -> None:
        """Keys that no path names: features, ignored, or refused."""
        for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if part in key.children or (isinstance(value, list) and str(part) in key.children):
                continue
            here: Path = (*path, part)
            if self._ignored(here):
                continue
            if self._flat and not path and self._schema.names(str(part)):
                picked.x = {} if picked.x is None else picked.x
                picked.x[str(part)] = inner
            elif not self._ignore_all:
                where = path_text(here)
                hint = "map it, or name it in ignore"
                if not path and self._has_x and self._schema.names(str(part)):
                    hint = "features stand in x, unless flat = true"
                raise Refusal("form", f"unknown field {shown(where)}: {hint}", where)

    def _ignored(self, path: Path) -> bool:
        return any(path[:length] in self._ignore for length in range(1, len(path) + 1))

    def _set(self, picked: Picked, target: tuple[str, Any], value: Any) -> None:
        kind, name = target
        if kind == "feature":
            picked.x = {} if picked.x is None else picked.x
            picked.x[name] = value
        elif kind == "x":
            picked.x = self._features(value)
        elif kind == "device":
            picked.device = (*picked.device[:name], value, *picked.device[name + 1 :])
        else:
            setattr(picked, kind, value)

    def _features(self, value: Any) -> dict[str, Any] | None:
        """The object with the features, without those that are ignored."""
        if value is None:
            return None
        if not isinstance(value, dict):
            raise Refusal("form", f"the features must be an object, got {shown(value)}", "x")
        if not self._ignore and not self._ignore_all:
            return value
        return {
            name: inner
            for name, inner in value.items()
            if self._schema.names(name) or not (self._ignore_all or self._ignore & {(name,), (*self._x_path, name)})
        }


_ABSENT = object()


def _get(value: Any, part: str | int, absent: Any) -> Any:
    """What stands under a key of an object or at a place of a list."""
    if isinstance(value, dict):
        return value.get(part, absent) if isinstance(part, str) else absent
    if isinstance(value, list):
        place = part if isinstance(part, int) else int(part) if part.isdecimal() and len(part) < 7 else len(value)
        return value[place] if place < len(value) else absent
    return absent


def _all_keys(key: _Key) -> Iterator[_Key]:
    yield key
    for child in key.children.values():
        yield from _all_keys(child)
