"""Where a node's samples come from and where its predictions go.

- `schema.py`: the features and classes that members agree on
- `base.py`: `Event`, `Source` and `BaseSource`, `Output` and `Sink`
- `parser.py`: events from JSON objects; `messages.py`, `paths.py`: where things stand in them
- `reading.py`, `times.py`: numbers and times from texts; `wording.py`: values in words
- `devices.py`: the device in a topic or key; `combine.py`: samples from single values
- `parsed.py`: what sources with a parser have in common
- `lines_source.py`, `csv_source.py`, `mqtt_source.py`, `zenoh_source.py`, `own_source.py`: one source each
- `file_input.py`: bytes of a file, a FIFO or standard input, and of files that take its place
- `lines_sink.py`, `mqtt_sink.py`, `zenoh_sink.py`, `own_sink.py`: one sink each
- `mqtt.py`, `keys.py`, `files.py`, `queues.py`: the broker's connection, keys, files, and queues that drop the oldest
"""

from protovine.net.io.base import BaseSource, Event, Output, Sink, Source
from protovine.net.io.csv_source import CsvReplay
from protovine.net.io.lines_sink import JsonLinesSink
from protovine.net.io.lines_source import JsonLines
from protovine.net.io.messages import Messages
from protovine.net.io.mqtt_sink import MqttSink
from protovine.net.io.mqtt_source import Mqtt
from protovine.net.io.own_sink import OwnSink
from protovine.net.io.own_source import OwnSource
from protovine.net.io.reading import Reading
from protovine.net.io.schema import Schema
from protovine.net.io.zenoh_sink import ZenohSink
from protovine.net.io.zenoh_source import ZenohKeys

__all__ = [
    "BaseSource",
    "CsvReplay",
    "Event",
    "JsonLines",
    "JsonLinesSink",
    "Messages",
    "Mqtt",
    "MqttSink",
    "Output",
    "OwnSink",
    "OwnSource",
    "Reading",
    "Schema",
    "Sink",
    "Source",
    "ZenohKeys",
    "ZenohSink",
]
