"""The tables of docs/reference/live-data.md name the settings that sources and sinks take, with their defaults."""

import inspect
import re
from pathlib import Path

import pytest

from protovine.net import CsvReplay, JsonLines, JsonLinesSink, Mqtt, MqttSink, ZenohKeys, ZenohSink
from protovine.net.causes import CONNECTION, SUBSCRIPTION
from protovine.net.io.mqtt import Broker, BrokerSettings
from protovine.net.samples import LocalSamples
from protovine.net.tables import JsonTable, MapTable, OwnSinkTable, OwnSourceTable

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "live-data.md").read_text()
# What a node gives, not its settings.
GIVEN = {"self", "schema", "session", "refused", "failed", "broker", "messages", "classes"}


def documented(part, heading):
    """Keys of the table below a heading, with their defaults."""
    text = PAGE.partition(f"\n## {part}\n")[2].partition("\n## ")[0]
    if heading:
        text = text.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|", text, flags=re.M)
    return {key: default.strip().strip("`") for key, default in rows}


def taken(made, left_out=()):
    found = {}
    for name, parameter in inspect.signature(made.__init__).parameters.items():
        if name not in GIVEN | set(left_out):
            default = parameter.default
            nothing = default is None or default is inspect.Parameter.empty
            found[name] = "" if nothing else str(default).lower().removesuffix(".0")
    return found


@pytest.mark.parametrize(
    ("part", "heading", "made", "left_out"),
    [
        ("Sources", "File or FIFO", JsonLines, ()),
        ("Sources", "Standard input", JsonLines, ("path", "follow")),
        ("Sources", "CSV replay", CsvReplay, ()),
        ("Sources", "MQTT", Mqtt, ()),
        ("Sources", "Zenoh", ZenohKeys, ()),
        ("Sinks", "Standard output", JsonLinesSink, ("path",)),
        ("Sinks", "File", JsonLinesSink, ()),
        ("Sinks", "MQTT", MqttSink, ()),
        ("Sinks", "Zenoh", ZenohSink, ()),
        ("MQTT brokers", None, Broker, ("host",)),
    ],
)
def test_tables_name_every_setting_and_its_default(part, heading, made, left_out):
    assert taken(made, left_out) == documented(part, heading)


@pytest.mark.parametrize(("part", "table"), [("Sources", OwnSourceTable), ("Sinks", OwnSinkTable)])
def test_tables_name_every_setting_of_a_class_of_your_own(part, table):
    keys = set(table.model_fields) - set(JsonTable.model_fields) - {"kind"}
    assert keys == set(documented(part, "A class of your own"))


def test_tables_name_every_setting_of_messages():
    text = PAGE.partition("\n### Other messages\n")[2].partition("\n### ")[0]
    first, second = text.split("And these of `[source.map]`")
    for part, table in ((first, JsonTable), (second, MapTable)):
        assert set(re.findall(r"^\| `(\w+)` \|", part, flags=re.M)) == set(table.model_fields) - {"map"}


def test_sources_and_sinks_hand_every_setting_on_to_their_broker():
    assert set(BrokerSettings.__annotations__) == set(taken(Broker, ("host",)))


def test_every_reason_is_explained():
    sources = "".join(path.read_text() for path in sorted(Path(inspect.getfile(Mqtt)).parent.glob("*.py")))
    reasons = set(re.findall(r'(?:Refusal|refuse)\(\s*"(\w+)"', sources)) | {
        CONNECTION,
        SUBSCRIPTION,
        "learner",
        "absent",
    }
    reasons |= set(re.findall(r'causes\.add\(\s*"(\w+)"', Path(inspect.getfile(LocalSamples)).read_text()))
    rows = PAGE.partition("| reason | error |\n")[2].partition("\n\n")[0].splitlines()
    assert reasons == {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
