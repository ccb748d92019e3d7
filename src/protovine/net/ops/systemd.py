"""Messages to systemd: the node is ready, it is alive, and what it is doing (``sd_notify(3)``)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping

# While kernels are compiled, systemd waits this much longer from each word on.
EXTENSION_S = 60.0


class Notifier:
    """Sends the states of a service; without ``NOTIFY_SOCKET`` nothing happens.

    Parameters
    ----------
    environment : mapping of str to str
        Where ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are looked for.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is in the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        of_this_process = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        text = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(text) / 1e6 if of_this_process and text.isdecimal() else 0.0

    def send(self, **fields: object) -> None:
        """Send fields, such as ``READY=1``; a service manager that does not listen is no error."""
        if not self._address:
            return
        text = "\n".join(f"{name}={value}" for name, value in fields.items())
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.sendto(text.encode(), self._address)

    def starting(self, what: str) -> None:
        """The node is not ready yet, and needs more time than usual."""
        self.send(STATUS=what, EXTEND_TIMEOUT_USEC=round(EXTENSION_S * 1e6))

    async def watch(self) -> None:
        """Tell systemd twice per period that the event loop runs, for ever; nothing without a watchdog."""
        while self.watchdog_s:
            self.send(WATCHDOG=1)
            await asyncio.sleep(self.watchdog_s / 2)
