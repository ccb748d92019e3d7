"""Predictions to a Zenoh key."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from protovine.errors import ConfigError
from protovine.net.causes import Report
from protovine.net.io.base import Output, ReportingSink, encode
from protovine.net.io.devices import DeviceTopic
from protovine.net.io.keys import check_key

if TYPE_CHECKING:
    import zenoh


class ZenohSink(ReportingSink):
    """JSON objects to a Zenoh key.

    It has no queue: Zenoh has one for every link, and drops outputs there that a subscriber does not take in time.
    Waiting instead would close the link to a stuck subscriber, which may also carry the swarm's messages.

    Parameters
    ----------
    session : zenoh.Session, or callable (declare) -> None
        An open session, which stays open; or a function that calls ``declare`` with a session, and again with every
        session that replaces it. Outputs that come without an open session are dropped.
    key : str
        A key, without wildcards, such as ``farm/barn-3/prediction``. ``{device}`` stands for the device that the
        prediction is for.
    failed : callable(reason, text), optional
        Called when the session was closed.

    Raises
    ------
    ConfigError
        ``key`` is no key.

    Examples
    --------
    >>> import asyncio
    >>> ZenohSink(lambda declare: None, "farm/*/rain")
    Traceback (most recent call last):
    protovine.errors.ConfigError: ...
    >>> sink = ZenohSink(lambda declare: None, "farm/{device}/rain")
    >>> asyncio.run(sink.put(Output(7, 1.5, "wet", {}, prototypes=31, node="barn-3")))
    >>> sink.connected, sink.dropped  # Nobody has given it a session yet.
    (False, 1)
    """

    def __init__(
        self,
        session: zenoh.Session | Callable[[Callable[[Any], None]], None],
        key: str,
        *,
        failed: Report | None = None,
    ) -> None:
        super().__init__(failed)
        self._topic = DeviceTopic(key)
        check_key(self._topic.of("a"))
        import zenoh

        if "*" in key:
            raise ConfigError(f"a key to put to must not have the wildcard *, got {key!r}")
        # Until the first output: the function that gives sessions.
        self._attach = session if callable(session) else None
        self._session: Any = None
        self._key, self._closed = key, False
        self._zenoh_error = zenoh.ZError
        self._drop = zenoh.CongestionControl.DROP
        self._publisher: Any = None
        self._replaced = False
        if not callable(session):
            try:
                self._open(session)
            except zenoh.ZError as error:
                raise ConfigError(f"key {key!r} cannot be published: {error}") from error

    @property
    def dropped(self) -> int:
        """Outputs that came when the sink or its session was closed; not those that Zenoh dropped."""
        return self._late

    @property
    def connected(self) -> bool:
        """Whether it has an open session."""
        return not self._closed and self._session is not None

    @property
    def closed(self) -> bool:
        """Whether `close` was called or the session was closed."""
        return self._closed

    async def open(self) -> None:
        """Take the session, if it comes from a function."""
        if self._attach is not None:
            attach, self._attach, self._replaced = self._attach, None, True
            attach(self._open)

    async def put(self, output: Output) -> None:
        """Hand it to Zenoh."""
        await self.open()
        if not self._closed and self._session is not None:
            try:
                self._put(output)
                return
            except self._zenoh_error as error:
                self._closed = not self._replaced
                self._report_once("closed", f"Zenoh key {self._key}: cannot be written: {error}")
        self._late += 1

    def _put(self, output: Output) -> None:
        if self._publisher is not None:
            self._publisher.put(encode(output))
        else:
            self._session.put(self._topic.of(output.device), encode(output), congestion_control=self._drop)

    def _open(self, session: zenoh.Session) -> None:
        if self._closed:
            return
        self._session = session
        # Devices are named by messages, so a publisher for each could be any number of them.
        if not self._topic.varies:
            self._publisher = session.declare_publisher(self._key, congestion_control=self._drop)

    async def close(self) -> None:
        """Let go of the key."""
        self._closed = True
        if self._publisher is not None:
            with contextlib.suppress(self._zenoh_error):
                self._publisher.undeclare()
