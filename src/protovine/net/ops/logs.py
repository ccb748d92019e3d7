"""Logs of a node: text for people, JSON lines for machines; on standard error, with times in UTC.

Fields come from ``extra={...}`` of the standard library's loggers. Of bytes, a log has only their number. Names that
other processes give themselves are escaped, so that they can neither begin a line nor control a terminal.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from protovine.errors import ConfigError, suggest
from protovine.terminal import printable

FORMATS = ("auto", "text", "json")
LEVELS = ("debug", "info", "warning", "error")
_TEXT_MAX = 2000
# Attributes that every record has; the others came from ``extra``.
_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "color_message", "taskName"}


def set_up_logs(form: str = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Send the logs of this process to ``stream``, standard error by default; an earlier set-up is replaced.

    Parameters
    ----------
    form : {"auto", "text", "json"}
        By default text on a terminal and JSON elsewhere.
    level : {"debug", "info", "warning", "error"}
        The lowest level that protovine logs; libraries log warnings and errors.

    Raises
    ------
    ConfigError
        There is no such form or level.

    Examples
    --------
    >>> import io
    >>> out = io.StringIO()
    >>> set_up_logs("json", stream=out)
    >>> logging.getLogger("protovine").info("met %s", "bob", extra={"peer": "bob"})
    >>> out.getvalue()
    '{"time": "...Z", "level": "info", "logger": "protovine", "message": "met bob", "peer": "bob"}\\n'
    """
    if form not in FORMATS:
        raise ConfigError(f"unknown log format '{form}'{suggest(form, FORMATS)}")
    wanted = _level(level)
    out = sys.stderr if stream is None else stream
    as_text = form == "text" or (form == "auto" and out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if getattr(old, "of_protovine", False)]:
        root.removeHandler(old)
    handler.of_protovine = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("protovine").setLevel(wanted)


def set_level(level: str) -> None:
    """Another level from now on; `ConfigError` if there is none of that name."""
    logging.getLogger("protovine").setLevel(_level(level))


def _level(name: str) -> int:
    if name not in LEVELS:
        raise ConfigError(f"unknown log level '{name}'{suggest(name, LEVELS)}")
    return logging.getLevelNamesMapping()[name.upper()]


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _cut(record.getMessage()),
        }
        for name, value in _fields(record).items():
            line.setdefault(name, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """Time, level, message, and fields as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback below it if there is one."""
        line = f"{_time(record)} {record.levelname:<7} {printable(_cut(record.getMessage()))}"
        for name, value in _fields(record).items():
            shown = printable(str(value))
            line += f" {name}={json.dumps(shown) if ' ' in shown or '=' in shown else shown}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _fields(record: logging.LogRecord) -> dict[str, str | int | float | bool | None]:
    # Libraries that make records of their own mark what they add by an underscore.
    found = record.__dict__.items()
    return {name: _plain(value) for name, value in found if name not in _STANDARD and not name.startswith("_")}


def _plain(value: object) -> str | int | float | bool | None:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, float) and value - value != 0:
        return str(value)  # JSON has neither NaN nor infinity.
    if value is None or isinstance(value, bool | int | float):
        return value
    return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + "…"
