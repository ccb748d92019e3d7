"""Whether multicast works where the tests run."""

from __future__ import annotations

import contextlib
import socket

import pytest


def need_multicast() -> None:
    """Skip the test where a datagram to a group does not come back on the loopback interface."""
    group = "239.255.77.78"
    here = socket.inet_aton("127.0.0.1")
    with contextlib.ExitStack() as stack:
        try:
            ear, mouth = (stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2))
            ear.bind(("", 0))
            ear.settimeout(2.0)
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + here)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
            mouth.sendto(b"hear", (group, ear.getsockname()[1]))
            ear.recv(10)
        except OSError as error:
            pytest.skip(f"no multicast on the loopback interface here: {error}")
