"""Samples from topics of an MQTT broker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from protovine.errors import ConfigError
from protovine.net.causes import SUBSCRIPTION, Report
from protovine.net.io.base import QUEUE, Event
from protovine.net.io.devices import MQTT, Devices
from protovine.net.io.messages import Messages
from protovine.net.io.mqtt import Broker, BrokerSettings, check_qos, check_topic, until_disconnected
from protovine.net.io.parsed import QueuedSource
from protovine.net.io.parser import MESSAGE_BYTES_MAX, Parser
from protovine.net.io.queues import DropOldest
from protovine.net.io.schema import Schema
from protovine.net.tasks import cancel

if TYPE_CHECKING:
    import aiomqtt


class Mqtt(QueuedSource):
    """JSON objects on topics of an MQTT broker; connects again whenever the connection breaks.

    Messages that the broker retained from before are refused (``retained``), since they would be learnt again after
    every new connection. A lost connection is reported and counted with the refusals, as ``connection``.

    Parameters
    ----------
    schema : Schema
        What the names and labels must be.
    host, topics : str, sequence of str
        The broker, and what to subscribe to; topics may have the wildcards + and #.
    qos : int
        0 at most once, 1 at least once, 2 exactly once.
    queue : int, 1 to 1,000,000
        Messages that may wait; when one too many comes, the oldest is dropped.
    device : str or sequence of str, optional
        Patterns that find the device in a topic, such as ``barn/{device}/#``; by default the whole topic is the device.
    messages : Messages, optional
        Where things stand in a message.
    refused : callable(reason, text), optional
        As in `Parser`.
    **broker
        Other settings of `protovine.net.io.mqtt.Broker`.

    Raises
    ------
    ConfigError
        A setting is out of range or cannot be used.

    Examples
    --------
    ``async for event in source.events()`` connects, and waits for messages:

    >>> schema = Schema(("t", "h"), ("dry", "wet"))
    >>> source = Mqtt(schema, "broker.example", ["barn/+/weather"], device="barn/{device}/#", tls=True)
    >>> source.connected, source.taken
    (False, 0)
    >>> Mqtt(schema, "broker.example", ["barn/#/weather"])
    Traceback (most recent call last):
    protovine.errors.ConfigError: ...
    """

    def __init__(
        self,
        schema: Schema,
        host: str,
        topics: Sequence[str],
        *,
        qos: int = 1,
        queue: int = QUEUE,
        device: str | Sequence[str] | None = None,
        messages: Messages | None = None,
        refused: Report | None = None,
        **broker: Unpack[BrokerSettings],
    ) -> None:
        super().__init__()
        if isinstance(topics, str) or not topics:
            raise ConfigError(f"topics must be a list of at least one topic, got {topics!r}")
        for topic in topics:
            check_topic(topic, pattern=True)
        check_qos(qos)
        self.broker = Broker(host, **broker)
        self._topics, self._qos = list(topics), qos
        self._queue = DropOldest(queue)
        self._parser = Parser(schema, refused, messages, Devices(device, MQTT))

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self.broker.connected

    async def events(self) -> AsyncGenerator[Event]:
        """The events, for ever."""
        task = self.broker.connect(self._subscribe, self._take, self._parser.refuse, self._queue.end)
        try:
            while True:
                yield await self._next_event()
        finally:
            await cancel(task)

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        granted: Sequence[Any] = await client.subscribe([(topic, self._qos) for topic in self._topics])
        for topic, answer in zip(self._topics, granted, strict=False):
            if int(getattr(answer, "value", answer)) >= 0x80:
                self._parser.refuse(SUBSCRIPTION, f"{self.broker} does not let this client read it", topic=topic)
        await until_disconnected(client)

    def _take(self, message: aiomqtt.Message) -> None:
        topic = str(message.topic)
        if message.retain:
            self._parser.refuse("retained", "a message that was retained from before", topic=topic)
        elif isinstance(message.payload, bytes | bytearray):
            # One byte too many is enough to refuse it.
            self._queue.put((topic, bytes(message.payload[: MESSAGE_BYTES_MAX + 1])))
