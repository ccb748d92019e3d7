"""Which device a message came from, by its topic or key."""

from __future__ import annotations

import re
from collections.abc import Sequence

from protovine.errors import ConfigError

PLACE = "{device}"
# Control characters and others for which brokers end the connection (MQTT 3.1.1, section 1.5.3), inside of [].
_PLANES_END = "".join(map(chr, (plane << 16 | last for plane in range(17) for last in (0xFFFE, 0xFFFF))))
UNSENDABLE = rf"\0-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_PLANES_END}"
# The wildcards for one level and for any number of levels.
MQTT, ZENOH = ("+", "#"), ("*", "**")


class TopicPattern:
    """A topic with wildcards and ``{device}`` where it names the device.

    Parameters
    ----------
    text : str
        Levels between slashes. ``{device}`` may stand for a level or for a part of one, in several places.
    wildcards : (str, str)
        For one level, and for any number of levels.

    Raises
    ------
    ConfigError
        It is not such a pattern.

    Examples
    --------
    >>> TopicPattern("barn/{device}/#", MQTT).device("barn/3/weather/now")
    '3'
    >>> TopicPattern("{device}/*/sensor-{device}", ZENOH).device("barn/x/sensor-9")
    'barn/9'
    >>> TopicPattern("barn/{device}/#", MQTT).device("farm/3") is None
    True
    """

    def __init__(self, text: str, wildcards: tuple[str, str]) -> None:
        one, many = wildcards
        levels = text.split("/")
        if not text or any(
            wild in level and level != wild for level in levels for wild in (one, many) if level != many
        ):
            raise ConfigError(
                f"in a pattern {PLACE} names the device, {one} is one level and {many} any number of them, got {text!r}"
            )
        if many == "#" and many in levels[:-1]:
            raise ConfigError(f"in a pattern # must be the last level, got {text!r}")
        if re.search(r"[{}]", text.replace(PLACE, "")):
            raise ConfigError(f"in a pattern {PLACE} is the only name in braces, got {text!r}")
        expression = ""
        for place, level in enumerate(levels):
            slash = "/" if place and levels[:place] != [many] else ""
            if level == many:
                expression += "(?:/[^/]*)*" if place else ".*" if len(levels) == 1 else "(?:[^/]*/)*"
            elif level == one:
                expression += f"{slash}[^/]*"
            else:
                expression += slash + "([^/]+)".join(map(re.escape, level.split(PLACE)))
        self._match = re.compile(expression, re.DOTALL).fullmatch

    def device(self, topic: str) -> str | None:
        """The device in ``topic``, "" if the pattern names none; None if the topic does not match."""
        found = self._match(topic)
        return None if found is None else "/".join(found.groups())


class Devices:
    """The device that a topic names: by the first pattern that matches; without patterns the whole topic."""

    def __init__(self, patterns: str | Sequence[str] | None, wildcards: tuple[str, str]) -> None:
        texts = (patterns,) if isinstance(patterns, str) else patterns
        if texts is not None and not texts:
            raise ConfigError("device must be a pattern or a list of patterns, got an empty list")
        self._patterns = None if texts is None else [TopicPattern(text, wildcards) for text in texts]
        self.wildcards = wildcards

    def of(self, topic: str) -> str | None:
        """The device; None if no pattern matches."""
        if self._patterns is None:
            return topic
        found = (pattern.device(topic) for pattern in self._patterns)
        return next((device for device in found if device is not None), None)


def joined(topic_device: str, parts: Sequence[str]) -> str:
    """One name from what the topic says and what the message says.

    A topic has no #, and slashes in a part are escaped, so different devices have different names.

    Examples
    --------
    >>> joined("barn/1", ()), joined("rtl_433", ("Acurite", "7/8")), joined("", ("a",))
    ('barn/1', 'rtl_433#Acurite/7%2F8', 'a')
    """
    if len(parts) > 1:
        parts = [part.replace("%", "%25").replace("/", "%2F") for part in parts]
    said = "/".join(parts)
    return f"{topic_device}#{said}" if topic_device and said else topic_device or said


class DeviceTopic:
    """Where outputs go: a topic or key with ``{device}`` where the device stands.

    Characters that a topic to publish to cannot have become slashes (#) or underscores. A device without a name is "-".

    Raises
    ------
    ConfigError
        It has other names in braces.

    Examples
    --------
    >>> topic = DeviceTopic("predictions/{device}")
    >>> topic.of("barn/3"), topic.of("rtl_433#Acurite/7"), topic.of("a+b\\n"), topic.of("")
    ('predictions/barn/3', 'predictions/rtl_433/Acurite/7', 'predictions/a_b_', 'predictions/-')
    """

    def __init__(self, text: str) -> None:
        if re.search(r"[{}]", text.replace(PLACE, "")):
            raise ConfigError(f"in a topic or key {PLACE} is the only name in braces, got {text!r}")
        self._text, self.varies = text, PLACE in text

    def of(self, device: str) -> str:
        """The topic for outputs of ``device``."""
        if not self.varies:
            return self._text
        levels = re.sub(rf"[+*$?{UNSENDABLE}]", "_", device).replace("#", "/").split("/")
        return self._text.replace(PLACE, "/".join(filter(None, levels)) or "-")
