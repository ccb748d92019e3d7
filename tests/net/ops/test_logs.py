"""Logs: one object or one line each, whatever strangers call themselves."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from protovine.errors import ConfigError
from protovine.net.ops.logs import set_level, set_up_logs

log = logging.getLogger("protovine")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root, levels = logging.getLogger(), (logging.getLogger().level, log.level)
    handlers = list(root.handlers)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    log.setLevel(levels[1])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


INJECTED = 'x\n2030-01-01T00:00:00.000Z INFO    all is well\x1b[2J\u2028"'


def test_json_lines_have_time_level_message_and_fields() -> None:
    out = io.StringIO()
    set_up_logs("json", stream=out)
    before = datetime.now(UTC)
    log.info("met %s", INJECTED, extra={"peer": INJECTED, "incarnation": 3, "ratio": float("nan"), "none": None})
    log.debug("not logged")
    (line,) = out.getvalue().splitlines()
    found = json.loads(line, parse_constant=lambda word: pytest.fail(word))
    at = datetime.fromisoformat(found.pop("time"))
    assert abs((at - before).total_seconds()) < 5 and at.utcoffset().total_seconds() == 0
    assert {
        "level": "info",
        "logger": "protovine",
        "message": f"met {INJECTED}",
        "peer": INJECTED,
        "incarnation": 3,
        "ratio": "nan",
        "none": None,
    } == found


def test_text_lines_cannot_be_forged() -> None:
    out = Terminal()
    set_up_logs(stream=out)
    log.warning("met %s", INJECTED, extra={"peer": INJECTED, "n": 3})
    (line,) = out.getvalue().splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING met x\\n2030", line)
    assert line.endswith(" n=3") and "\x1b" not in line and r"\x1b[2J" in line


def test_no_payload_gets_into_a_log() -> None:
    out = io.StringIO()
    set_up_logs("json", stream=out)
    log.info("got one", extra={"data": b"secret", "view": memoryview(b"secret"), "long": "a" * 10_000})
    found = json.loads(out.getvalue())
    assert ("<6 bytes>", "<6 bytes>") == (found["data"], found["view"])
    assert 2001 == len(found["long"])


def test_a_field_cannot_replace_what_every_line_has() -> None:
    out = io.StringIO()
    set_up_logs("json", stream=out)
    log.info("got one", extra={"time": "never", "level": "none", "logger": "other"})
    found = json.loads(out.getvalue())
    assert ("info", "protovine") == (found["level"], found["logger"]) and found["time"] != "never"


@pytest.mark.parametrize("form", ["json", "text"])
def test_exceptions_keep_their_traceback(form: str) -> None:
    out = io.StringIO()
    set_up_logs(form, stream=out)
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        log.exception("broken")
    text = json.loads(out.getvalue())["exception"] if form == "json" else out.getvalue()
    assert "ZeroDivisionError" in text and "test_logs.py" in text


def test_levels_are_of_protovine_only_and_can_change() -> None:
    out = io.StringIO()
    set_up_logs("json", level="debug", stream=out)
    logging.getLogger("elsewhere").info("chatter")
    log.debug("one")
    set_level("error")
    log.warning("not logged")
    log.error("two")
    assert ["one", "two"] == [json.loads(line)["message"] for line in out.getvalue().splitlines()]


def test_setting_up_again_replaces() -> None:
    first, second = io.StringIO(), io.StringIO()
    set_up_logs("json", stream=first)
    set_up_logs("json", stream=second)
    log.info("once")
    assert ("", 1) == (first.getvalue(), len(second.getvalue().splitlines()))


def test_unknown_forms_and_levels() -> None:
    with pytest.raises(ConfigError, match=r"log format 'jsn' .did you mean 'json'"):
        set_up_logs("jsn")
    with pytest.raises(ConfigError, match="log level 'INFO'"):
        set_level("INFO")
