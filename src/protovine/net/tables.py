"""The tables `[source]` and `[sink]` of the file of `protovine node`, and the objects that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from protovine import own
from protovine.net.io import (
    CsvReplay,
    JsonLines,
    JsonLinesSink,
    Messages,
    Mqtt,
    MqttSink,
    OwnSink,
    OwnSource,
    Reading,
    Schema,
    Sink,
    Source,
    ZenohKeys,
    ZenohSink,
)
from protovine.stream import ReadOptions
from protovine.system import Section

Failed = Callable[[str, str], None]
_Queue = Annotated[int, Field(ge=1, le=1_000_000)]
_Qos = Literal[0, 1, 2]


class _Broker(Section):
    host: str
    port: int | None = Field(None, ge=1, le=65_535)
    username_env: str | None = None
    password_env: str | None = None
    tls: bool = False
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    client_id: str | None = None
    retry_s_min: float = Field(0.5, ge=0.001, le=3600)
    retry_s_max: float = Field(30.0, ge=0.001, le=3600)

    def broker(self) -> dict[str, Any]:
        """What is the broker's."""
        return {name: getattr(self, name) for name in _Broker.model_fields if name != "host"}


class MapTable(Section):
    """Where things stand in a message: paths, as `protovine.net.io.messages.Messages` has them."""

    x: str | None = None
    features: dict[str, str] | None = None
    label: str | None = None
    id: str | None = None
    time: str | None = None
    device: str | tuple[str, ...] | None = None
    each: str | None = None
    topics: dict[str, str] = Field(default_factory=dict)


class JsonTable(Section):
    """How a source reads JSON messages."""

    map: MapTable = MapTable()
    flat: bool = False
    combine_s: float = Field(0.0, ge=0, le=86_400)
    ignore: str | tuple[str, ...] = ()
    decimal_comma: bool = False
    words: dict[str, float] = Field(default_factory=dict)
    time_unit: Literal["auto", "iso", "s", "ms", "us", "ns"] = "auto"
    time_zone: str = "UTC"

    def messages(self) -> Messages:
        """The same for a source."""
        reading = Reading(self.decimal_comma, self.words, self.time_unit, self.time_zone)
        return Messages(**dict(self.map), flat=self.flat, combine_s=self.combine_s, ignore=self.ignore, reading=reading)


class StdinSource(JsonTable):
    """JSON lines on standard input."""

    kind: Literal["stdin"]

    def made(self, schema: Schema, session: Any, refused: Failed) -> Source:
        """The source."""
        return JsonLines(schema, messages=self.messages(), refused=refused)


class FileSource(JsonTable):
    """JSON lines in a file or FIFO."""

    kind: Literal["file"]
    path: str
    follow: bool = False

    def made(self, schema: Schema, session: Any, refused: Failed) -> Source:
        """The source."""
        return JsonLines(schema, self.path, follow=self.follow, messages=self.messages(), refused=refused)


class CsvSource(Section):
    """Rows of a file."""

    kind: Literal["csv"]
    path: str
    label: str | int | None = None
    read: dict[str, Any] = Field(default_factory=dict)
    rate_hz: float = Field(0.0, ge=0, le=1e6)
    loops: int = Field(1, ge=0)

    def made(self, schema: Schema, session: Any, refused: Failed) -> Source:
        """The source."""
        options: dict[str, Any] = {"label": self.label, "rate_hz": self.rate_hz, "loops": self.loops}
        return CsvReplay(schema, self.path, **options, read=ReadOptions.of(**self.read), refused=refused)


class MqttSource(JsonTable, _Broker):
    """JSON in MQTT messages."""

    kind: Literal["mqtt"]
    topics: tuple[str, ...] = Field(min_length=1)
    device: str | tuple[str, ...] | None = None
    qos: _Qos = 1
    queue: _Queue = 1000

    def made(self, schema: Schema, session: Any, refused: Failed) -> Source:
        """The source."""
        options: dict[str, Any] = {"qos": self.qos, "queue": self.queue, "device": self.device, **self.broker()}
        return Mqtt(schema, self.host, self.topics, **options, messages=self.messages(), refused=refused)


class ZenohSource(JsonTable):
    """JSON under Zenoh keys."""

    kind: Literal["zenoh"]
    key: str
    device: str | tuple[str, ...] | None = None
    queue: _Queue = 1000

    def made(self, schema: Schema, session: Any, refused: Failed) -> Source:
        """The source."""
        options: dict[str, Any] = {"queue": self.queue, "device": self.device, "messages": self.messages()}
        return ZenohKeys(schema, session, self.key, **options, refused=refused)


class OwnSourceTable(JsonTable):
    """What a class of your own yields."""

    kind: Literal["own"]
    code: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    def made(self, schema: Schema, session: Any, refused: Failed) -> Source:
        """The source; `ConfigError` if the class is not found, cannot be made, or is no source."""
        given = own.make("source.code", self.code, parameters=self.parameters, schema=schema)
        return OwnSource(schema, given, code=self.code, messages=self.messages(), refused=refused)


class StdoutSink(Section):
    """JSON lines on standard output."""

    kind: Literal["stdout"]
    queue: _Queue = 1000

    def made(self, schema: Schema, session: Any, failed: Failed) -> Sink:
        """The sink."""
        return JsonLinesSink(queue=self.queue, failed=failed)


class FileSink(Section):
    """JSON lines into a file or FIFO."""

    kind: Literal["file"]
    path: str
    queue: _Queue = 1000

    def made(self, schema: Schema, session: Any, failed: Failed) -> Sink:
        """The sink."""
        return JsonLinesSink(self.path, queue=self.queue, failed=failed)


class MqttSinkTable(_Broker):
    """JSON into an MQTT topic."""

    kind: Literal["mqtt"]
    topic: str
    qos: _Qos = 1
    retain: bool = False
    status_topic: str | None = None
    home_assistant: str | None = None
    queue: _Queue = 1000

    def made(self, schema: Schema, session: Any, failed: Failed) -> Sink:
        """The sink."""
        names = ("qos", "retain", "queue", "status_topic", "home_assistant")
        options = {name: getattr(self, name) for name in names}
        return MqttSink(self.host, self.topic, **options, **self.broker(), classes=schema.classes, failed=failed)


class ZenohSinkTable(Section):
    """JSON under a Zenoh key."""

    kind: Literal["zenoh"]
    key: str

    def made(self, schema: Schema, session: Any, failed: Failed) -> Sink:
        """The sink."""
        return ZenohSink(session, self.key, failed=failed)


class OwnSinkTable(Section):
    """A class of your own."""

    kind: Literal["own"]
    code: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    queue: _Queue = 1000

    def made(self, schema: Schema, session: Any, failed: Failed) -> Sink:
        """The sink; `ConfigError` if the class is not found, cannot be made, or is no sink."""
        given = own.make("sink.code", self.code, parameters=self.parameters, schema=schema)
        return OwnSink(given, code=self.code, queue=self.queue, failed=failed)


AnySource = StdinSource | FileSource | CsvSource | MqttSource | ZenohSource | OwnSourceTable
AnySink = StdoutSink | FileSink | MqttSinkTable | ZenohSinkTable | OwnSinkTable
