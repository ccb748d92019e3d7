"""Predictions to a topic of an MQTT broker."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from protovine.net.causes import Report
from protovine.net.io.base import CLOSE_TIMEOUT_S, QUEUE, Output, ReportingSink, encode
from protovine.net.io.devices import DeviceTopic
from protovine.net.io.mqtt import Broker, BrokerSettings, check_qos, check_topic, until_disconnected
from protovine.net.io.queues import DropOldest
from protovine.net.tasks import cancel
from protovine.stream import Label

if TYPE_CHECKING:
    import aiomqtt

_POLL_S = 0.01
# What the status topic says.
ONLINE, OFFLINE = "online", "offline"
# Devices are named by messages, so there may be any number of them.
SENSORS_MAX = 256
# An output is given up if the connection has broken so often while it was sent: brokers end connections for messages
# that they do not take, such as too long ones, and would do so for ever.
TRIES_MAX = 5


class MqttSink(ReportingSink):
    """JSON objects to a topic of an MQTT broker; connects again whenever the connection breaks.

    Parameters
    ----------
    host, topic : str
        The broker, and where to publish. ``{device}`` stands for the device that the prediction is for.
    qos : int
        0 at most once, 1 at least once, 2 exactly once as far as the connection holds: what was not acknowledged when
        it broke is sent again.
    retain : bool
        Let the broker keep the last output for clients that subscribe later.
    queue : int, 1 to 1,000,000
        Outputs that may wait, also while the broker is away.
    status_topic : str, optional
        Says ``online`` while this sink is connected, and ``offline`` afterwards, also when the node dies (a last will).
    home_assistant : str, optional
        Prefix of Home Assistant's MQTT discovery, as a rule ``homeassistant``: each device then has a sensor there.
    classes : sequence of labels
        For that sensor, what predictions can be.
    failed : callable(reason, text), optional
        Called for every outage of the connection (``connection``; it is made again), as in `Broker.keep_connected`,
        and for the first output that is given up (``refused``).
    **broker
        Other settings of `protovine.net.io.mqtt.Broker`.

    Raises
    ------
    ConfigError
        A setting is out of range or cannot be used.

    Examples
    --------
    ``await sink.open()`` connects as soon as the broker is there, and ``await sink.put(output)`` never waits for it:

    >>> sink = MqttSink("broker.example", "barn/{device}/rain", retain=True, status_topic="barn/status")
    >>> sink.connected, sink.dropped
    (False, 0)
    >>> MqttSink("broker.example", "barn/+/rain")
    Traceback (most recent call last):
    protovine.errors.ConfigError: ...
    """

    def __init__(
        self,
        host: str,
        topic: str,
        *,
        qos: int = 1,
        retain: bool = False,
        queue: int = QUEUE,
        status_topic: str | None = None,
        home_assistant: str | None = None,
        classes: Sequence[Label] = (),
        failed: Report | None = None,
        **broker: Unpack[BrokerSettings],
    ) -> None:
        super().__init__(failed)
        self._topic = DeviceTopic(topic)
        check_topic(self._topic.of("a"), pattern=False)
        check_qos(qos)
        self.broker = Broker(host, **broker)
        for other in (status_topic, home_assistant):
            if other is not None:
                check_topic(other, pattern=False)
        self._qos, self._retain = qos, retain
        self._status_topic, self._prefix, self._classes = status_topic, home_assistant, classes
        if status_topic is not None:
            self.broker.will = status_topic, OFFLINE
        # Home Assistant's sensors by topic, and those that were not published yet.
        self._sensors: dict[str, str] = {}
        self._new: list[str] = []
        self._client: aiomqtt.Client | None = None
        self._queue: DropOldest[tuple[str, bytes]] = DropOldest(queue)
        self._task: asyncio.Task[None] | None = None
        self._sending: tuple[str, bytes] | None = None
        self._tries = 0  # How often it was sent.
        self._given_up = 0

    @property
    def dropped(self) -> int:
        """Outputs that were lost: the oldest that waited, and those that the broker does not take; after `close`, those
        that waited then and that come.
        """
        unsent = len(self._queue) + (self._sending is not None) if self.closed else 0
        return self._queue.dropped + self._given_up + self._late + unsent

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self.broker.connected

    @property
    def closed(self) -> bool:
        """Whether `close` was called; a broker that is away may come back."""
        return self._task is not None and self._task.done()

    async def put(self, output: Output) -> None:
        """Send it as soon as there is a connection."""
        if self.closed:
            self._late += 1
            return
        if self._prefix is not None:
            self._add_sensor(self._prefix, output)
        self._queue.put((self._topic.of(output.device), encode(output)))
        await self.open()

    async def open(self) -> None:
        """Connect as soon as the broker is there."""
        if self._task is None:
            self._task = self.broker.connect(self._publish, _ignore, self._failed or _ignore_failure, self._ended)

    async def close(self) -> None:
        """Send what waits, for at most two seconds, and disconnect."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while (len(self._queue) or self._sending is not None) and not self._task.done():
                    await asyncio.sleep(_POLL_S)
                if self._client is not None and self._status_topic is not None:
                    await self._client.publish(self._status_topic, OFFLINE, 1, True)
        await cancel(self._task)

    async def _publish(self, client: aiomqtt.Client) -> None:
        if self._status_topic is not None:
            await client.publish(self._status_topic, ONLINE, 1, True)
        self._client, self._new = client, list(self._sensors)
        # A publication waits long for an acknowledgement, but a broken connection shows at once.
        tasks = [asyncio.create_task(self._send(client)), asyncio.create_task(until_disconnected(client))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._client = None
            await cancel(*tasks)
        for error in [task.exception() for task in tasks if not task.cancelled()]:
            if error is not None:
                raise error

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            if self._sending is None:
                self._sending, self._tries = await self._queue.get(), 0
            while self._new:
                with contextlib.suppress(ValueError):  # The device has too long a name.
                    await client.publish(self._new[0], self._sensors[self._new[0]], 1, True)
                self._new.pop(0)
            if self._tries == TRIES_MAX:
                self._give_up(f"the connection broke {TRIES_MAX} times while it was sent")
                continue
            self._tries += 1
            try:
                await client.publish(*self._sending, self._qos, self._retain)
            except ValueError as error:  # The client knows that it cannot be sent, as the topic is too long.
                self._give_up(str(error))
            self._sending = None

    def _give_up(self, why: str) -> None:
        assert self._sending is not None
        self._given_up += 1
        self._report_once("refused", f"{self.broker}: an output for topic {self._sending[0]!r:.100} is given up: {why}")
        self._sending = None

    def _add_sensor(self, prefix: str, output: Output) -> None:
        """Have Home Assistant show the predictions for a device."""
        id = re.sub(r"[^a-zA-Z0-9_-]", "_", f"{output.node}_{output.device}" if self._topic.varies else output.node)
        topic = f"{prefix}/sensor/protovine/{id}/config"
        if topic in self._sensors or len(self._sensors) >= SENSORS_MAX:
            return
        state = self._topic.of(output.device)
        sensor: dict[str, Any] = {
            "name": output.device if self._topic.varies else "prediction",
            "unique_id": f"protovine_{id}",
            "state_topic": state,
            "value_template": "{{ value_json.prediction }}",
            "json_attributes_topic": state,
            "device": {"identifiers": [f"protovine_{output.node}"], "name": output.node, "manufacturer": "protovine"},
        }
        if self._classes:
            # Templates render true and false as Python does.
            sensor |= {"device_class": "enum", "options": [str(label) for label in self._classes]}
        if self._status_topic is not None:
            sensor["availability_topic"] = self._status_topic
        self._sensors[topic] = msgspec.json.encode(sensor).decode()
        self._new.append(topic)

    def _ended(self, error: BaseException | None) -> None:
        if self._failed is not None:
            self._failed("closed", f"{self.broker}: {error!r}")


def _ignore_failure(reason: str, text: str) -> None:
    """Nobody asked."""


def _ignore(message: aiomqtt.Message) -> None:
    """Nothing was subscribed to."""
