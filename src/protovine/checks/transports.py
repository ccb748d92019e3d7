"""The contract of transports."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

from protovine.checks.promises import Guarded, kept, promise


class TransportLike(Protocol):
    """A transport, as `protovine.net.transport.Transport`; ``deliver`` gets a channel with ``value`` and the bytes."""

    def open(
        self, deliver: Callable[[Any, bytes], None], alive: Callable[[int, bool], None], status: Callable[[], bytes]
    ) -> None:
        """Begin."""
        ...

    def send(self, peer: int, data: bytes) -> None:
        """Send a message to a peer."""
        ...

    def send_all(self, data: bytes) -> None:
        """Send a message to all."""
        ...

    def send_hello(self, peer: int | None, data: bytes, ask: bool) -> None:
        """Send a hello to a peer, or to all."""
        ...

    def reopen(self) -> None:
        """Close and open again."""
        ...

    def close(self) -> None:
        """End."""
        ...


class _End:
    """A member's end of a transport, and the messages it delivered."""

    def __init__(self, member: int, make: Callable[[int], TransportLike]) -> None:
        self.member = member
        self.transport = Guarded(kept(f"make({member}) builds a transport", make, member), "a transport")
        self.received: list[tuple[str, bytes]] = []
        self.alive: dict[int, bool] = {}

    def open(self) -> None:
        """Open the transport and record its deliveries."""
        self.transport.open(
            lambda channel, data: self.received.append((channel.value, data)), self.alive.__setitem__, lambda: b"{}"
        )


def check_transport(make: Callable[[int], TransportLike], *, timeout_s: float = 10.0) -> None:
    """A transport delivers messages and hellos to their recipients and to no other, and reports links.

    Messages may be lost, so the check repeats each one until it arrives or the time is over. Bytes may arrive in any
    thread.

    Parameters
    ----------
    make : callable (member) -> TransportLike
        Builds the transport of member 0, 1 or 2, not yet open. All can reach each other.
    timeout_s : float
        Longest wait for a link or message.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which.

    Examples
    --------
    A transport that never reports a link:

    >>> class Deaf:
    ...     def open(self, deliver, alive, status): ...
    ...     def send(self, peer, data): ...
    ...     def send_all(self, data): ...
    ...     def send_hello(self, peer, data, ask): ...
    ...     def reopen(self): ...
    ...     def close(self): ...
    >>> check_transport(lambda member: Deaf(), timeout_s=0.05)
    Traceback (most recent call last):
    AssertionError: all members have links...

    ``tests/net/test_transport.py`` has one in memory that keeps all promises, and checks Zenoh's.
    """

    def until(true: Callable[[], bool], text: str, again: Callable[[], None] = lambda: None) -> None:
        deadline = time.monotonic() + timeout_s
        while not true():
            promise(time.monotonic() < deadline, text)
            again()
            time.sleep(0.02)

    def at_once(call: Callable[[], None], text: str) -> None:
        began = time.monotonic()
        call()
        promise(time.monotonic() - began < 1.0, text)

    def arrives(send: Callable[[], None], where: list[_End], what: tuple[str, bytes], text: str) -> None:
        def sent() -> None:
            at_once(send, "sending returns at once")

        until(lambda: all(what in end.received for end in where), text, sent)
        time.sleep(0.1)  # A stray message would have arrived by now.
        astray = [end.member for end in ends if end not in where and what in end.received]
        promise(not astray, f"{text}, and to no other member: {what[0]} came to {astray}")

    ends = [_End(member, make) for member in range(3)]
    a, b, c = ends
    with ExitStack() as stack:
        at_once(lambda: a.transport.send(1, b"early"), "sending before it is open does nothing")
        for end in ends:
            end.open()
            stack.callback(end.transport.close)
        until(lambda: all(len(end.alive) == 2 and all(end.alive.values()) for end in ends), "all members have links")
        for data in (b"", b"\0\xff message", bytes(range(256)) * 400):
            arrives(lambda data=data: a.transport.send(1, data), [b], ("message", data), "a message comes to its peer")  # type: ignore[misc]
        arrives(lambda: b.transport.send(0, b"back"), [a], ("message", b"back"), "links carry messages both ways")
        arrives(lambda: a.transport.send_hello(2, b"h", False), [c], ("hello", b"h"), "a hello comes to its peer")
        arrives(lambda: a.transport.send_hello(2, b"q", True), [c], ("ask", b"q"), "a question comes to its peer")
        arrives(lambda: c.transport.send_all(b"m"), [a, b], ("broadcast", b"m"), "a message to all comes to all others")
        arrives(
            lambda: b.transport.send_hello(None, b"all", True),
            [a, c],
            ("ask", b"all"),
            "a question to all arrives",
        )
        at_once(lambda: a.transport.send(999, b"x"), "sending to a member that is not there does nothing")
        at_once(lambda: a.transport.send_hello(999, b"x", True), "a hello to a member that is not there does nothing")
        promise(("message", b"early") not in b.received, "nothing is sent before it is open")

        a.alive.clear()
        a.transport.reopen()
        until(lambda: a.alive == {1: True, 2: True}, "a reopened transport has links")
        arrives(lambda: a.transport.send(1, b"again"), [b], ("message", b"again"), "a reopened transport sends")
        arrives(lambda: b.transport.send(0, b"here"), [a], ("message", b"here"), "a reopened transport receives")

        c.transport.close()
        until(lambda: a.alive[2] is False and b.alive[2] is False, "the others learn that a link ended")
        before = list(c.received)
        for _ in range(3):
            at_once(lambda: a.transport.send(2, b"late"), "sending to a member that has closed does nothing")
            at_once(lambda: c.transport.send(0, b"late"), "sending after closing does nothing")
        c.transport.close()
        arrives(lambda: a.transport.send(1, b"on"), [b], ("message", b"on"), "the others go on")
        promise(before == c.received, "nothing is delivered after closing")
        promise(("message", b"late") not in a.received, "nothing is sent after closing")
