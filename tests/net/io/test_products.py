"""The snippets for products in docs/reference/live-data.md read what these products send."""

import math
import re
import tomllib
import types
from pathlib import Path

import pytest

from protovine.net import Schema
from protovine.net.config import NodeSettings

pytest.importorskip("aiomqtt")

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "live-data.md").read_text()
PLAIN = {"plain": True, "swarm": "s", "name": "n", "id": 1, "listen": ["tcp/127.0.0.1:0"]}
NOON_NS = 1_704_110_400_000_000_000  # 2024-01-01T12:00:00Z
NAN = math.nan


def section(product):
    return PAGE.partition(f"\n#### {product}\n")[2].partition("\n#### ")[0].partition("\n### ")[0]


def source_of(product, features):
    tables = tomllib.loads(re.search(r"```toml\n(.*?)```", section(product), flags=re.S)[1])
    schema = {"features": list(features), "classes": ["dry", "wet"]}
    settings = NodeSettings.read(None, {"schema": schema, "network": PLAIN, **tables})
    return settings.source.made(Schema(tuple(features), ("dry", "wet")), None, lambda *why: None)


def events_of(source, *messages):
    """What comes of messages, given as topic and payload."""
    for topic, payload in messages:
        source._take(types.SimpleNamespace(topic=topic, payload=payload.encode(), retain=False))
    found = []
    while len(source._queue):
        topic, data = source._queue.take()
        found += source._parser.events(data, topic)
    return [
        (event.x if event.x is None else event.x.tolist(), event.y, event.id, event.time_ns, event.device)
        for event in found
    ]


def example(product):
    return re.search(r"```json\n(.*?)```", section(product), flags=re.S)[1].strip()


def test_tasmota():
    source = source_of("Tasmota", ("temperature", "humidity"))
    noon = "2024-01-01T12:00:00"
    assert [
        ([21.5, 50.1], None, noon, NOON_NS, "kitchen"),
        ([21.5, NAN], None, "2024-01-01T12:00:01", NOON_NS + 10**9, "cellar"),
        (None, 1, noon, NOON_NS, "kitchen"),
    ].__repr__() == repr(
        events_of(
            source,
            ("tele/kitchen/SENSOR", example("Tasmota")),
            (
                "tele/cellar/SENSOR",
                '{"Time":"2024-01-01T12:00:01","AM2301":{"Temperature":21.5,"Humidity":null,"DewPoint":9}}',
            ),
            ("label/kitchen", f'{{"Time": "{noon}", "y": "wet"}}'),
            ("tele/kitchen/SENSOR", '{"Time":"2024-01-01T12:00:02","ENERGY":{"Power":5}}'),
            ("tele/kitchen/SENSOR", '{"Time":"1970-01-01T00:00:05","AM2301":{"Temperature":21.5,"Humidity":50.1}}'),
        )
    )
    assert {"form": 1, "time": 1} == source.refusals


def test_zigbee2mqtt():
    source = source_of("zigbee2mqtt", ("temperature", "humidity"))
    assert [([21.5, 50.0], None, None, NOON_NS, "zigbee2mqtt/barn")] == events_of(
        source,
        ("zigbee2mqtt/barn", example("zigbee2mqtt")),
        ("zigbee2mqtt/barn", '{"temperature": 1, "humidity": 2, "pressure": 3}'),
    )
    assert ["pressure"] == [cause.field for cause in source._parser.causes.sorted()]
    assert [([1.0, 2.0], None, None, NOON_NS, "zigbee2mqtt/a")] == events_of(
        source,
        ("zigbee2mqtt/a", '{"temperature": 1, "humidity": 2, "last_seen": 1704110400000, "device": {"model": "x"}}'),
    )


def test_esphome():
    source = source_of("ESPHome", ("temperature", "humidity"))
    values = [
        ("a", "temperature", "21.5"),
        ("b", "temperature", "1"),
        ("a", "humidity", "50.1"),
        ("b", "humidity", "nan"),
    ]
    messages = [(f"{device}/sensor/{name}/state", value) for device, name, value in values]
    assert [([21.5, 50.1], None, None, None, "a"), ([1.0, NAN], None, None, None, "b")].__repr__() == repr(
        events_of(source, *messages)
    )
    # A sensor that is silent leaves a gap.
    assert repr([([22.0, NAN], None, None, None, "a")]) == repr(
        events_of(source, ("a/sensor/temperature/state", "22"), ("a/sensor/temperature/state", "23"))
    )


def test_rtl_433():
    source = source_of("rtl_433", ("temperature", "humidity"))
    other = example("rtl_433").replace("1234", '"12/34"')
    assert [
        ([21.5, 50.0], None, None, NOON_NS, "rtl_433/host/events#Acurite/1234"),
        ([21.5, 50.0], None, None, NOON_NS, "rtl_433/host/events#Acurite/12%2F34"),
    ] == events_of(
        source,
        ("rtl_433/host/events", example("rtl_433")),
        ("rtl_433/host/events", other),
        ("rtl_433/host/events", '{"model": "Acurite", "temperature_C": 1, "humidity": 2}'),
    )
    assert {"device": 1} == source.refusals


def test_telegraf():
    source = source_of("Telegraf", ("temperature", "humidity"))
    one = re.search(r"\[(\{.*\})\]", example("Telegraf"))[1]
    expected = ([21.5, 50.0], None, None, 1_700_000_000 * 10**9, "telegraf/a/air#a")
    assert [expected] * 4 == events_of(
        source,
        ("telegraf/a/air", example("Telegraf")),
        ("telegraf/a/air", one),
        ("telegraf/a/air", f'{{"metrics": [{one}, {{"fields": {{"uptime": 5}}, "tags": {{"host": "a"}}}}, {one}]}}'),
    )
    assert {"features": 1} == source.refusals


def test_home_assistant():
    source = source_of("Home Assistant", ("temperature", "door"))
    sensor, door = "homeassistant/sensor/barn_temperature/state", "homeassistant/binary_sensor/barn_door/state"
    weather = "homeassistant/input_select/barn_weather/state"
    assert repr([([21.5, 1.0], 1, None, None, ""), ([NAN, 0.0], 0, None, None, "")]) == repr(
        events_of(
            source,
            (sensor, "21.5"),
            (door, "on"),
            (weather, "wet"),
            (sensor, "unavailable"),
            (door, "OFF"),
            (weather, "dry"),
        )
    )
    assert [] == events_of(source, (door, "ajar"), ("homeassistant/sensor/else/state", "5"))
    assert {"features": 1, "form": 1} == source.refusals
