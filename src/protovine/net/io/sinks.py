"""Where a live node's predictions go: JSON lines, an MQTT topic, a Zenoh key. One JSON object each::

    {"id": 7, "time": 1700000000.5, "prediction": "wet", "probabilities": {"dry": 0.2, "wet": 0.8}, "prototypes": 31,
     "node": "barn-3"}

A sink never keeps the node waiting: what cannot be written soon waits in a queue, and is dropped, oldest first, when
that is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Unpack

import msgspec

from protovine.errors import ConfigError
from protovine.net.io.mqtt import Broker, BrokerSettings, check_qos, check_topic, until_disconnected
from protovine.net.io.queues import DropOldest
from protovine.net.io.schema import Schema, spellings
from protovine.net.io.sources import check_key
from protovine.stream import Label

if TYPE_CHECKING:
    import aiomqtt
    import zenoh

    from protovine.learn.base import Prediction

QUEUE = 1000
CLOSE_TIMEOUT_S = 2.0

_POLL_S = 0.01

Failed = Callable[[str, str], None]


class Output(msgspec.Struct, frozen=True):
    """What a node says of a sample.

    Examples
    --------
    >>> import numpy as np
    >>> from protovine.learn.base import Prediction
    >>> schema = Schema(("wind",), (False, True))
    >>> prediction = Prediction(1, np.array([0.25, 0.75]))
    >>> output = Output.of(schema, prediction, id=7, time_ns=1_500_000_000, prototypes=31, node="barn-3")
    >>> print(encode(output).decode())
    {"id":7,"time":1.5,"prediction":true,"probabilities":{"false":0.25,"true":0.75},"prototypes":31,"node":"barn-3"}
    """

    id: str | int | None
    time: float
    """Seconds since 1970."""
    prediction: Label | None
    """None without a model."""
    probabilities: dict[str, float]
    """By class, as JSON would write the label; empty without a model."""
    prototypes: int
    """How many the node has."""
    node: str

    @classmethod
    def of(
        cls, schema: Schema, prediction: Prediction, *, id: str | int | None, time_ns: int, prototypes: int, node: str
    ) -> Output:
        """The output for a prediction that a learner made at ``time_ns``."""
        if prediction.code < 0:
            return cls(id, time_ns / 1e9, None, {}, prototypes, node)
        proba = dict(zip((spellings(label)[0] for label in schema.classes), prediction.proba.tolist(), strict=True))
        return cls(id, time_ns / 1e9, schema.label(prediction.code), proba, prototypes, node)


encode = msgspec.json.Encoder().encode


class Sink(Protocol):
    """Takes outputs without keeping the node waiting."""

    @property
    def dropped(self) -> int:
        """Outputs that were lost because they could not be written as fast as they came."""

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more, such as to a pipe that nobody reads."""

    async def put(self, output: Output) -> None:
        """Write it now or soon."""

    async def close(self) -> None:
        """Write what waits, for at most two seconds, and let go."""


class JsonLinesSink:
    """One JSON object a line to standard output or to a file or FIFO, each written as soon as it comes.

    When the reader of a pipe goes, or the disk is full, the sink tells ``failed`` once, is ``closed`` from then on, and
    drops what comes.

    Parameters
    ----------
    path : path, optional
        Lines are appended to what the file has. Standard output when not given.
    queue : int, 1 to 1,000,000
        Outputs that may wait.
    failed : callable(reason, text), optional
        Told why nothing more can be written.

    Raises
    ------
    ConfigError
        A setting is out of range, or the file cannot be written.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, queue: int = QUEUE, failed: Failed | None = None
    ) -> None:
        self._queue = DropOldest(queue)
        self._path = None if path is None else Path(path).expanduser()
        self._failed = failed
        self._closed = False
        self._late = 0  # Put after the end.
        self._cut = 0  # Whether a line is being written.
        self._error: str | None = None
        self._fd: int | None = None
        if self._path is None:
            if sys.stdout is None:
                raise ConfigError("there is no standard output")
            sys.stdout.flush()
            self._fd = sys.stdout.fileno()
        elif not _is_fifo(self._path):  # Opening a FIFO waits for its reader, so that is left to the thread.
            try:
                self._fd = _open(self._path)
            except OSError as error:
                raise ConfigError(f"path: {self._path} cannot be written: {error.strerror}") from error
        # A daemon: a reader that has stopped reading may keep it waiting for ever, but must not keep the node.
        self._thread = threading.Thread(target=self._write, name="protovine-sink", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Outputs that were lost: the oldest that waited; after the end, those that waited then and that come."""
        return self._queue.dropped + self._late + (len(self._queue) + self._cut if self.closed else 0)

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._closed or self._error is not None

    async def put(self, output: Output) -> None:
        """Hand it to the thread that writes."""
        if self.closed:
            self._late += 1
            self._tell()
        else:
            self._queue.put(encode(output) + b"\n")

    async def close(self) -> None:
        """Write what waits, for at most two seconds."""
        self._queue.end()
        await asyncio.to_thread(self._thread.join, CLOSE_TIMEOUT_S)
        self._tell()
        self._closed = True

    def _tell(self) -> None:
        """Say once why nothing can be written; not from the thread, where the caller would not expect it."""
        if self._error is not None and self._failed is not None:
            self._failed("closed", self._error)
            self._failed = None

    def _write(self) -> None:
        try:
            if self._fd is None and self._path is not None:
                self._fd = _open(self._path)
            assert self._fd is not None
            # With os.write nothing stays in a buffer that Python would want to write when it ends.
            while line := self._queue.take():
                self._cut, written = 1, 0
                while written < len(line):
                    written += os.write(self._fd, line[written:])
                self._cut = 0
        except OSError as error:
            self._error = f"{self._path or 'standard output'}: cannot be written any more: {error.strerror}"
        finally:
            if self._path is not None and self._fd is not None:
                os.close(self._fd)


class MqttSink:
    """JSON objects to a topic of an MQTT broker; connects again whenever the connection breaks.

    Parameters
    ----------
    host, topic : str
        The broker, and where to publish.
    qos : int
        0 at most once, 1 at least once, 2 exactly once as far as the connection holds: what was not acknowledged when
        it broke is sent again.
    retain : bool
        Let the broker keep the last output for whoever subscribes later.
    queue : int, 1 to 1,000,000
        Outputs that may wait, also while the broker is away.
    failed : callable(reason, text), optional
        Told the first time that a connection cannot be made or breaks (``connection``; it is made again).
    **broker
        Other settings of `protovine.net.io.mqtt.Broker`.

    Raises
    ------
    ConfigError
        A setting is out of range or cannot be used.
    """

    def __init__(
        self,
        host: str,
        topic: str,
        *,
        qos: int = 1,
        retain: bool = False,
        queue: int = QUEUE,
        failed: Failed | None = None,
        **broker: Unpack[BrokerSettings],
    ) -> None:
        check_topic(topic, pattern=False)
        check_qos(qos)
        self.broker = Broker(host, **broker)
        self._topic, self._qos, self._retain = topic, qos, retain
        self._queue = DropOldest(queue)
        self._failed = failed
        self._told = False
        self._task: asyncio.Task[None] | None = None
        self._sending: bytes | None = None
        self._late = 0

    @property
    def dropped(self) -> int:
        """Outputs that were lost: the oldest that waited; after `close`, those that waited then and that come."""
        unsent = len(self._queue) + (self._sending is not None) if self.closed else 0
        return self._queue.dropped + self._late + unsent

    @property
    def closed(self) -> bool:
        """Whether `close` was called; a broker that is away may come back."""
        return self._task is not None and self._task.done()

    async def put(self, output: Output) -> None:
        """Send it as soon as there is a connection."""
        if self.closed:
            self._late += 1
            return
        self._queue.put(encode(output))
        if self._task is None:
            self._task = asyncio.create_task(self.broker.keep_connected(self._publish, _ignore, self._tell))
            self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Send what waits, for at most two seconds, and disconnect."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while (len(self._queue) or self._sending is not None) and not self._task.done():
                    await asyncio.sleep(_POLL_S)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _publish(self, client: aiomqtt.Client) -> None:
        # A publication waits long for an acknowledgement, but a broken connection shows at once.
        tasks = [asyncio.create_task(self._send(client)), asyncio.create_task(until_disconnected(client))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            if self._sending is None:
                self._sending = await self._queue.get()
            await client.publish(self._topic, self._sending, self._qos, self._retain)
            self._sending = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Unless it was cancelled, that is a bug, and should show."""
        if not task.cancelled() and self._failed is not None:
            self._failed("closed", f"{self.broker}: {task.exception()!r}")

    def _tell(self, reason: str, text: str) -> None:
        if self._failed is not None and not self._told:
            self._told = True
            self._failed(reason, text)


class ZenohSink:
    """JSON objects to a Zenoh key.

    Without a queue of its own: Zenoh has one for every link, and drops there what a subscriber does not take in time.
    To wait instead would close the link to a subscriber that is stuck, and with it the way of the swarm's messages.

    Parameters
    ----------
    session : zenoh.Session
        An open session. It stays open: closing it is up to whoever opened it.
    key : str
        A key, without wildcards, such as ``farm/barn-3/prediction``.
    failed : callable(reason, text), optional
        Told once when the session was closed.

    Raises
    ------
    ConfigError
        ``key`` is no key.
    """

    def __init__(self, session: zenoh.Session, key: str, *, failed: Failed | None = None) -> None:
        check_key(key)
        import zenoh

        if "*" in key:
            raise ConfigError(f"a key to put to must not have the wildcard *, got {key!r}")
        self._key, self._failed = key, failed
        self._dropped, self._closed = 0, False
        self._zenoh_error = zenoh.ZError
        try:
            self._publisher = session.declare_publisher(key, congestion_control=zenoh.CongestionControl.DROP)
        except zenoh.ZError as error:
            raise ConfigError(f"key {key!r} cannot be published: {error}") from error

    @property
    def dropped(self) -> int:
        """Outputs that came when the sink or its session was closed; not those that Zenoh dropped."""
        return self._dropped

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
                if self._failed is not None:
                    self._failed("closed", f"Zenoh key {self._key}: cannot be written any more: {error}")
        self._dropped += 1

    async def close(self) -> None:
        """Let go of the key."""
        self._closed = True
        with contextlib.suppress(self._zenoh_error):
            self._publisher.undeclare()


def _ignore(message: aiomqtt.Message) -> None:
    """Nothing was subscribed to."""


def _is_fifo(path: Path) -> bool:
    return path.exists() and stat.S_ISFIFO(path.stat().st_mode)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
