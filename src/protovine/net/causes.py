"""What was refused and why: counted by reason, field and topic, with an example of each, and reported now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as defaulted
from typing import Any, NamedTuple

_log = logging.getLogger("protovine")

# Called with a reason in one word and a text.
Report = Callable[[str, str], None]

# Causes counted one by one; what comes beyond shares one cause per reason.
CAUSES_MAX = 100
OTHERS = "(others)"
# A cause that goes on is reported again after this long.
PERIOD_S = 60.0
# The caller bounds the rate.
CONNECTION, SUBSCRIPTION = "connection", "subscription"
_NAME_LENGTH, _TEXT_LENGTH = 100, 300
# Lines of a file that a cause remembers.
_LINES_MAX = 10


class Place(NamedTuple):
    """Where in a file something stands: the file's name, and the line, counted from 1."""

    file: str
    line: int


def log_cause(reason: str, text: str) -> None:
    """A `Report` that goes into the log."""
    _log.warning("%s", text, extra={"reason": reason})


@dataclass(slots=True)
class Cause:
    """How often the same thing was wrong, with the first example in words."""

    reason: str
    field: str
    topic: str
    example: str
    count: int = 0
    reported_s: float = 0.0
    lines: list[int] = defaulted(default_factory=list)
    """The first lines of the file with this cause; empty where the source is no file."""

    def as_dict(self) -> dict[str, Any]:
        """The cause for a status."""
        return {name: getattr(self, name) for name in ("reason", "field", "topic", "count", "example", "lines")}

    def summary(self) -> str:
        """The count, the lines and the example in one line."""
        times = f"{self.count:,} {'times' if self.count > 1 else 'time'}"
        if len(self.lines) < 2:  # The example names its line.
            return f"{times}: {self.example}"
        more = " and others" if self.count > len(self.lines) == _LINES_MAX else ""
        return f"{times} (lines {', '.join(map(str, self.lines))}{more}): {self.example}"


class Causes:
    """Counts causes, and reports each the first time and then at most once a minute.

    Parameters
    ----------
    report : callable (reason, text), optional
        Gets the reports.
    clock : callable () -> float
        Seconds, never decreasing.

    Examples
    --------
    >>> causes = Causes(print, clock=lambda: 0.0)
    >>> for value in ("a", "b"):
    ...     causes.add("features", f"feature 't' must be a number, got '{value}'", field="t", topic="barn/1")
    features from 'barn/1': feature 't' must be a number, got 'a'
    >>> causes.add("features", "there is no feature 'battery'", field="battery", topic="barn/1")
    features from 'barn/1': there is no feature 'battery'
    >>> print(causes.summary()[0])
    2 times: from 'barn/1': feature 't' must be a number, got 'a'
    """

    def __init__(self, report: Report | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.report, self._clock = report, clock
        self._found: dict[tuple[str, str, str], Cause] = {}

    def add(self, reason: str, text: str, *, field: str = "", topic: str = "", place: Place | None = None) -> None:
        """Count one more case of a cause; ``text`` may quote anything that arrived."""
        if place is not None:
            text = f"{place.file}, line {place.line}: {text}"
        field, topic = _printable(field, _NAME_LENGTH), _printable(topic, _NAME_LENGTH)
        text = _printable(f"from '{topic}': {text}" if topic else text, _TEXT_LENGTH)
        cause = self._found.get((reason, field, topic))
        if cause is None:
            if len(self._found) >= CAUSES_MAX:
                field = topic = OTHERS
            cause = self._found.setdefault((reason, field, topic), Cause(reason, field, topic, text))
        cause.count += 1
        if place is not None and len(cause.lines) < _LINES_MAX and place.line not in cause.lines:
            cause.lines.append(place.line)
        now_s = self._clock()
        if cause.count == 1 or reason == CONNECTION or now_s - cause.reported_s >= PERIOD_S:
            cause.reported_s = now_s
            if self.report is not None:
                self.report(reason, text if cause.count == 1 else f"{text} ({cause.count:,} times so far)")

    def __call__(self, reason: str, text: str) -> None:
        """`add`, without field and topic: causes can take the place of a report."""
        self.add(reason, text)

    @property
    def messages(self) -> int:
        """The number of messages that could not be used: all cases but those in which none came."""
        return sum(cause.count for cause in self.sorted() if cause.reason not in (CONNECTION, SUBSCRIPTION))

    def sorted(self) -> list[Cause]:
        """The causes, the most frequent first; from any thread."""
        found = list(self._found.values())
        return sorted(found, key=lambda cause: (-cause.count, cause.reason, cause.field, cause.topic))

    def summary(self) -> list[str]:
        """One line per cause."""
        return [cause.summary() for cause in self.sorted()]


def _printable(text: str, length: int) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:length])
