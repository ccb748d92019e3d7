"""Links that TLS refused. Zenoh reports them only in its log, which it writes to standard output."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable

from protovine.net.transport import zenoh_module

_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
# A link that the other side or the system ended was not refused.
_REFUSED = re.compile(rb" WARN .*\bzenoh_link_tls\S*: (?!tls handshake eof|.*\(os error)(.+?)\.?( Hint: .*)?$")
_LINE_BYTES_MAX = 4096


def follow_link_log(refused: Callable[[str], None]) -> None:
    """Call ``refused`` with the reason, in a thread, for each link that TLS refuses from now on.

    The main program of a process calls this once, before its first session. Zenoh's log goes to the descriptor of
    standard output and nowhere else, so that descriptor becomes a pipe, and `sys.stdout` gets another one to the same
    place. Other lines from the pipe, such as those that the variable ``RUST_LOG`` asks for, go to standard error. On
    systems that are not POSIX, or if standard output is closed, nothing happens.
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
    zenoh.init_log_from_env_or("zenoh_link_tls=warn")
    threading.Thread(target=_follow, args=(reading, refused), daemon=True).start()


def refusal(line: bytes) -> str | None:
    """Why TLS refused a link, if a line of Zenoh's log reports that.

    Examples
    --------
    >>> refusal(b"2026-01-01T00:00:00Z  WARN acc-0 zenoh_link_tls::unicast: not a certificate. Hint: more.")
    'not a certificate'
    """
    found = _REFUSED.search(_COLOUR.sub(b"", line).rstrip())
    return found[1].decode(errors="replace") if found else None


def _follow(reading: int, refused: Callable[[str], None]) -> None:
    with open(reading, "rb") as lines:
        while line := lines.readline(_LINE_BYTES_MAX):
            why = refusal(line)
            if why is not None:
                refused(why)
            elif sys.stderr is not None:
                with contextlib.suppress(OSError, ValueError):  # It is closed; the pipe must not fill up for that.
                    sys.stderr.write(line.decode(errors="replace"))
                    sys.stderr.flush()
