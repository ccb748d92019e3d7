"""Predictions to a Zenoh key."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from protovine.errors import ConfigError
from protovine.net.io.base import Output, Report, ReportingSink, encode
from protovine.net.io.keys import check_key

if TYPE_CHECKING:
    import zenoh


class ZenohSink(ReportingSink):
    """JSON objects to a Zenoh key.

    It has no queue: Zenoh has one for every link, and drops outputs there that a subscriber does not take in time.
    Waiting instead would close the link to a stuck subscriber, which may also carry the swarm's messages.

    Parameters
    ----------
    session : zenoh.Session
        An open session, which stays open.
    key : str
        A key, without wildcards, such as ``farm/barn-3/prediction``.
    failed : callable(reason, text), optional
        Called when the session was closed.

    Raises
    ------
    ConfigError
        ``key`` is no key.
    """

    def __init__(self, session: zenoh.Session, key: str, *, failed: Report | None = None) -> None:
        super().__init__(failed)
        check_key(key)
        import zenoh

        if "*" in key:
            raise ConfigError(f"a key to put to must not have the wildcard *, got {key!r}")
        self._key, self._closed = key, False
        self._zenoh_error = zenoh.ZError
        try:
            self._publisher: Any = session.declare_publisher(key, congestion_control=zenoh.CongestionControl.DROP)
        except zenoh.ZError as error:
            raise ConfigError(f"key {key!r} cannot be published: {error}") from error

    @property
    def dropped(self) -> int:
        """Outputs that came when the sink or its session was closed; not those that Zenoh dropped."""
        return self._late

    @property
    def closed(self) -> bool:
        """Whether `close` was called or the session was closed."""
        return self._closed

    async def put(self, output: Output) -> None:
        """Hand it to Zenoh."""
        if not self._closed:
            try:
                self._publisher.put(encode(output))
                return
            except self._zenoh_error as error:
                self._closed = True
                self._report_once("closed", f"Zenoh key {self._key}: cannot be written any more: {error}")
        self._late += 1

    async def close(self) -> None:
        """Let go of the key."""
        self._closed = True
        with contextlib.suppress(self._zenoh_error):
            self._publisher.undeclare()
