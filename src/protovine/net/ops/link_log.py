"""Links that TLS refused. Zenoh reports them only in its log, which it writes to standard output."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable

from protovine.net.zenoh_library import zenoh_module

_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
# A link that the other side or the system ended was not refused.
_REFUSED = re.compile(rb" WARN .*\bzenoh_link_tls\S*: (?!tls handshake eof|.*\(os error)(.+?)\.?( Hint: .*)?$")
# The last part of the reason names what the certificate has.
_NOT_DIALLED = re.compile(
    rb"orchestrator\S*: Unable to connect to configured peer (\S+)! (?!.*\(os error).*?(invalid peer.+)$"
)
_RECORD = re.compile(r"^\S+ +(TRACE|DEBUG|INFO|WARN|ERROR) (?:.*?)(zenoh\S*?): (.*)$")
_LEVELS = {"TRACE": 10, "DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40}
_FILTER = "zenoh_link_tls=warn,zenoh::net::runtime::orchestrator=debug"
_log = logging.getLogger("zenoh")
_LINE_BYTES_MAX = 4096


def follow_link_log(refused: Callable[[str], None], not_dialled: Callable[[str, str], None]) -> None:
    """Call ``refused`` with the reason, in a thread, for each link that TLS refuses from now on.

    ``not_dialled`` gets the endpoint and the reason whenever this side does not accept what answers a dial.

    The main program of a process calls this once, before its first session. Zenoh's log goes to the descriptor of
    standard output and nowhere else, so that descriptor becomes a pipe, and `sys.stdout` gets another one to the same
    place. Other lines from the pipe that are warnings, or that the variable ``RUST_LOG`` asks for, become records of
    the logger ``zenoh``. On systems that are not POSIX, or if standard output is closed, nothing happens.
    """
    zenoh = zenoh_module()
    try:
        if os.name != "posix" or sys.stdout is None or sys.stdout.fileno() != 1:
            return
        sys.stdout.flush()
        own = os.dup(1)
    except (OSError, ValueError):
        return
    reading, writing = os.pipe()
    os.dup2(writing, 1)
    os.close(writing)
    sys.stdout = open(own, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)  # noqa: SIM115  It stays open.
    zenoh.init_log_from_env_or(_FILTER)
    asked = bool(os.environ.get("RUST_LOG"))
    if asked:
        _log.setLevel(logging.DEBUG)
    threading.Thread(target=_follow, args=(reading, refused, not_dialled, asked), daemon=True).start()


def refusal(line: bytes) -> str | None:
    """Why TLS refused a link, if a line of Zenoh's log reports that.

    Examples
    --------
    >>> refusal(b"2026-01-01T00:00:00Z  WARN acc-0 zenoh_link_tls::unicast: not a certificate. Hint: more.")
    'not a certificate'
    """
    found = _REFUSED.search(_COLOUR.sub(b"", line).rstrip())
    if not found:
        return None
    why = found[1].decode(errors="replace")
    if "BadCertificate" in why:
        return f"{why}: the other side does not accept this node's certificate; does it have the dialled address?"
    return why


def not_accepted(line: bytes) -> tuple[str, str] | None:
    """Which endpoint's certificate this side did not accept and why, if a line of Zenoh's log reports that.

    Examples
    --------
    >>> not_accepted(
    ...     b'x DEBUG zenoh::net::runtime::orchestrator: Unable to connect to configured peer tls/h:1! Can not '
    ...     b'create a new TLS link bound to h: invalid peer certificate: certificate not valid for name "h"'
    ... )
    ('tls/h:1', 'invalid peer certificate: certificate not valid for name "h"')
    """
    found = _NOT_DIALLED.search(_COLOUR.sub(b"", line).rstrip())
    return (found[1].decode(errors="replace"), found[2].decode(errors="replace")) if found else None


def _follow(reading: int, refused: Callable[[str], None], not_dialled: Callable[[str, str], None], asked: bool) -> None:
    with open(reading, "rb") as lines:
        while line := lines.readline(_LINE_BYTES_MAX):
            why, dialled = refusal(line), not_accepted(line)
            if why is not None:
                refused(why)
            elif dialled is not None:
                not_dialled(*dialled)
            else:
                _keep(_COLOUR.sub(b"", line).decode(errors="replace").rstrip(), asked)


def _keep(line: str, asked: bool) -> None:
    """Make a record of a line; without being asked, of warnings and errors only."""
    found = _RECORD.match(line)
    level = _LEVELS[found[1]] if found else logging.WARNING
    if found and not asked and found[2].endswith("orchestrator"):
        return  # Of these only dials matter.
    if asked or level >= logging.WARNING:
        _log.log(level, "%s", found[3] if found else line, extra={"target": found[2] if found else ""})
