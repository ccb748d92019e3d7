"""Paths, patterns of topics, keys to ignore, flat messages, batches, words and values that belong together."""

import asyncio
import json
import math
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import ConfigError, DataError
from protovine.net import Event, Messages, Reading, Schema
from protovine.net.causes import Causes
from protovine.net.io.devices import MQTT, ZENOH, Devices, DeviceTopic, TopicPattern, joined
from protovine.net.io.parser import ABSENT_AFTER, Parser
from protovine.net.io.paths import parse_path, path_text
from protovine.net.samples import LocalSamples
from protovine.net.tally import Tally
from protovine.node import make_example_node

SCHEMA = Schema(("t", "h"), ("dry", "wet"))


def parse(messages, *lines, schema=SCHEMA):
    """Events as tuples, and the causes of refusals as (reason, field)."""
    parser = Parser(schema, None, messages)
    events = [event for line in lines for event in parser.events(json.dumps(line).encode())]
    found = [(None if event.x is None else event.x.tolist(), event.y, event.id, event.device) for event in events]
    return found, [(cause.reason, cause.field) for cause in parser.causes.sorted()]


@given(st.lists(st.text(min_size=1, max_size=6) | st.integers(0, 99), min_size=1, max_size=5).map(tuple))
def test_the_text_of_a_path_is_the_path(path):
    assert path == parse_path(path_text(path))


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a[x]", "a[-1]", "a]", 'a"b"', '"a', "a[0]b", "[0"])
def test_what_is_no_path_is_refused(text):
    with pytest.raises(ConfigError, match=r"^a path has names between dots"):
        parse_path(text)


@pytest.mark.parametrize(
    ("pattern", "wildcards", "topic", "device"),
    [
        ("barn/{device}/#", MQTT, "barn/1", "1"),
        ("barn/{device}/#", MQTT, "barn/1/a/b", "1"),
        ("barn/{device}/#", MQTT, "barns/1/a", None),
        ("+/{device}", MQTT, "a/b", "b"),
        ("+/{device}", MQTT, "a/b/c", None),
        ("#", MQTT, "a/b", ""),
        ("{device}.{device}/x", MQTT, "a.b/x", "a/b"),
        ("a.c/{device}", MQTT, "abc/1", None),
        ("**/{device}/x", ZENOH, "a/b/c/x", "c"),
        ("**/{device}/x", ZENOH, "c/x", "c"),
        ("a/**/{device}", ZENOH, "a/c", "c"),
        ("a/**/{device}", ZENOH, "a/b/b/c", "c"),
        ("a/{device}/**", ZENOH, "a/b", "b"),
    ],
)
def test_patterns_find_the_device(pattern, wildcards, topic, device):
    assert device == TopicPattern(pattern, wildcards).device(topic)


def test_the_first_pattern_that_matches_counts_and_none_refuses():
    parser = Parser(SCHEMA, None, None, Devices(["tele/{device}/SENSOR", "label/{device}"], MQTT))
    topics = ["tele/a/SENSOR", "label/a", "else/a"]
    events = [parser.event(b'{"x": {"t": 1}}', topic) for topic in topics]
    assert ["a", "a", None] == [event and event.device for event in events]
    assert {"device": 1} == parser.refusals
    assert "else/a" == parser.causes.sorted()[0].topic


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "a", "a/b"]), st.lists(st.text("a/%2F", min_size=1), min_size=2, max_size=2))
    )
)
def test_different_devices_have_different_names(devices):
    names = {joined(topic, parts) for topic, parts in devices}
    assert len({(topic, tuple(parts)) for topic, parts in devices}) == len(names)


def test_topics_of_outputs_are_topics():
    assert "p/a/b/c_/d/e" == DeviceTopic("p/{device}/e").of("/a//b#c+/d")
    assert "p/______ä😀" == DeviceTopic("p/{device}").of("\n\x7f\x85\ud800\ufdd0\U0001ffffä😀")
    with pytest.raises(ConfigError, match="is the only name in braces"):
        DeviceTopic("p/{node}")


def test_labels_of_two_topics_with_one_id_reach_their_own_samples():
    node, parser = make_example_node(), Parser(Schema(("t",), ("dry", "wet")))
    samples = LocalSamples(node, Tally(causes=Causes()))
    learnt = []
    node.label = lambda number, y, now_ns: learnt.append((number, y)) or True
    for topic, message in [
        ("barn/1", b'{"id":7,"x":{"t":1}}'),
        ("barn/2", b'{"id":"7","x":{"t":10}}'),
        ("barn/1", b'{"id":7,"y":"dry"}'),
        ("barn/2", b'{"id":7,"y":"wet"}'),
        ("barn/3", b'{"id":7,"y":"wet"}'),
    ]:
        samples.take(parser.event(message, topic), 1)
    assert [(0, 0), (1, 1)] == learnt
    assert [("unknown", "barn/3")] == [(cause.reason, cause.topic) for cause in samples.tally.causes.sorted()]


def test_a_sample_keeps_its_device_through_a_snapshot_and_old_snapshots_have_none():
    node = make_example_node()
    samples, again = LocalSamples(node, Tally()), LocalSamples(node, Tally())
    for device in ("barn/1", "barn/2"):
        samples.take(Event(np.array([0.5]), None, 7, None, device), 1)
    again.restore(samples.state())
    assert [("barn/1", "7"), ("barn/2", "7")] == again.awaited
    again.restore({"awaited": [[7, 0, 1], ["a", 1, 0]], "next_id": 2})
    assert [("", "7"), ("", "a")] == again.awaited


def test_keys_that_nothing_names_are_refused_or_ignored():
    line = {"x": {"t": 1, "battery": 9}, "rssi": -60}
    assert ([], [("form", "rssi")]) == parse(Messages(), line)
    assert ([], [("features", "battery")]) == parse(Messages(ignore=("rssi",)), line)
    for ignore in (("rssi", "battery"), ("rssi", "x.battery"), ("*",), "*"):
        assert 1 == len(parse(Messages(ignore=ignore), line)[0])
    # What is ignored is not used, even where it would have a meaning.
    assert [([1.0, 2.0], None, None, "")] == parse(Messages(ignore=("id",)), {"x": {"t": 1, "h": 2}, "id": 7})[0]


def test_flat_messages():
    flat = Messages(flat=True)
    lines = [{"t": 1, "h": "2", "id": 7}, {"id": 7, "y": "wet"}, {"t": 1, "wind": 3}]
    assert [([1.0, 2.0], None, 7, ""), (None, 1, 7, "")] == parse(flat, *lines)[0]
    assert [("form", "wind")] == parse(flat, *lines)[1]
    with pytest.raises(ConfigError, match=r"^flat: 'time' is a feature, so map.time must say where"):
        parse(flat, schema=Schema(("time", "h"), ("dry", "wet")))
    assert [([5.0, 2.0], None, None, "")] == parse(
        Messages(flat=True, time=""), {"time": 5, "h": 2}, schema=Schema(("time", "h"), ("dry", "wet"))
    )[0]


def test_keys_with_dots_lists_and_batches():
    messages = Messages(features={"t": '"a.b".c', "h": "s[1].v"}, each=".", ignore=("s[0]",))
    batch = [
        {"a.b": {"c": 1}, "s": [{"v": 5}, {"v": 2}]},
        {"a": {"b": {"c": 1}}},
        {"a.b": "unknown", "s": [0, {"v": 3}]},
    ]
    found, causes = parse(messages, batch)
    assert repr([([1.0, 2.0], None, None, ""), ([math.nan, 3.0], None, None, "")]) == repr(found)
    assert [("form", "a")] == causes
    assert [("form", '"a.b"')] == parse(messages, [{"a.b": 5, "s": []}])[1]
    assert ([], [("form", "more")]) == parse(Messages(each="m"), {"m": [{"x": {"t": 1}}], "more": 1})


def test_a_device_that_is_set_must_be_there():
    messages = Messages(device=("model", "id"))
    lines = [
        {"model": "m", "id": 1, "x": {"t": 1}},
        {"model": "m", "x": {"t": 1}},
        {"model": "m", "id": [1], "x": {"t": 1}},
    ]
    found, causes = parse(messages, *lines)
    assert [([1.0], None, None, "m/1")] == [(x[:1], y, name, device) for x, y, name, device in found]
    assert [("device", "device")] == causes


def test_words_commas_and_labels_in_other_spellings():
    reading = Reading(decimal_comma=True, words={"ON": 1, "off": 0, "closed": -1})
    values = {"9,5": 9.5, " On ": 1.0, "CLOSED": -1.0, "8": 8.0, "true": 1.0, "-1,5e3": -1500.0}
    assert list(values.values()) == [reading.number("t", value) for value in values]
    for value in ("9.5", "1.234,5", "1,234,5", "ajar", "--1"):
        with pytest.raises(DataError, match=r"^feature 't' must be a number"):
            reading.number("t", value)
    schema = Schema(("t",), (False, True))
    lines = [
        {"x": {"t": 1}, "y": label} for label in ("on", " true ", "1", 1.0, "0", "unavailable", None, math.nan, "2")
    ]
    found, causes = parse(Messages(reading=Reading(words={"on": 1})), *lines, schema=schema)
    assert [1, 1, 1, 1, 0, None, None, None] == [y for _, y, _, _ in found]
    assert [("label", "y")] == causes


def test_a_class_or_category_may_have_a_word_for_missing_as_its_name():
    schema = Schema(("t", "sky=none", "sky=clear"), ("unknown", "dry"))
    found = parse(
        Messages(),
        {"x": {"t": 1, "sky": "none"}, "y": "unknown"},
        {"x": {"t": 1, "sky": "N/A"}},
        {"x": {"t": 1, "sky": None, "sky=clear": 1}},
        schema=schema,
    )[0]
    assert repr([[1.0, 1.0, 0.0], [1.0, math.nan, math.nan], [1.0, math.nan, 1.0]]) == repr([x for x, *_ in found])
    assert [0, None, None] == [y for _, y, *_ in found]


def test_times_and_absent_features_of_a_schema():
    times, zeros = {"at": "2024-01-01T00:00:00Z"}, ("n",)
    schema = Schema(("at", "n", "t"), ("dry", "wet"), times, zeros)
    lines = [
        {"x": {"at": "2024-01-01T00:01:00", "t": 1}},
        {"x": {"at": 1_704_067_201_000, "n": None}},
        {"x": {"at": 60, "t": 1}},
        {"x": {"t": "unknown"}},
    ]
    found, causes = parse(Messages(), *lines, schema=schema)
    assert repr([[60.0, 0.0, 1.0], [1.0, math.nan, math.nan], [math.nan, 0.0, math.nan]]) == repr(
        [x for x, *_ in found]
    )
    assert [("features", "at")] == causes
    plain = Schema(("at", "n", "t"), ("dry", "wet"))
    assert plain.fingerprint() == Schema(plain.features, plain.classes, {}, ()).fingerprint()
    assert 3 == len({each.fingerprint() for each in (plain, schema, Schema(plain.features, plain.classes, {}, zeros))})
    with pytest.raises(DataError, match=r"^times and absent_zero must name features, got 'x'$"):
        Schema(("a",), ("dry", "wet"), {}, ("x",))


def test_a_schema_file_may_have_times_and_absent_features(tmp_path):
    path = tmp_path / "schema.json"
    content = {
        "features": ["at", "n"],
        "classes": ["a", "b"],
        "times": {"at": {"origin": "2024-01-01"}},
        "absent_zero": ["n"],
    }
    path.write_text(json.dumps(content))
    assert Schema(("at", "n"), ("a", "b"), {"at": "2024-01-01"}, ("n",)) == Schema.read(path)
    path.write_text(json.dumps({**content, "times": {"at": "soon"}}))
    with pytest.raises(DataError, match="ISO 8601 text"):
        Schema.read(path)


def test_values_of_topics_that_belong_together():
    now_s = [0.0]
    topics = {"{device}/t": "t", "{device}/h": "h", "{device}/sky": "label"}
    parser = Parser(SCHEMA, None, Messages(topics=topics, combine_s=5), Devices(None, MQTT), clock=lambda: now_s[0])

    def take(topic, payload):
        return [(event.x.tolist(), event.y, event.device) for event in parser.events(payload, topic)]

    assert [[], [], [], [([1.0, 2.0], 1, "a")]] == [
        take("a/t", b"1"),
        take("b/t", b"7"),
        take("a/h", b'"2"'),
        take("a/sky", b"wet"),
    ]
    assert 5.0 == parser.wait_s() and [] == parser.due()
    now_s[0] = 5.0
    assert repr([([7.0, math.nan], None, "b")]) == repr([(e.x.tolist(), e.y, e.device) for e in parser.due()])
    assert None is parser.wait_s()
    # A wrong value is refused by itself; a label alone is of no use.
    assert [[], [], []] == [take("a/t", b"hot"), take("a/sky", b"dry"), take("a/sky", b"moist")]
    now_s[0] = 20.0
    assert [] == parser.due()
    assert [("features", "t"), ("form", "label"), ("label", "y")] == sorted(
        (cause.reason, cause.field) for cause in parser.causes.sorted()
    )
    # Values that are late do not join an older one.
    assert [[], []] == [take("a/t", b"1"), take("b/t", b"2")]
    now_s[0] = 25.0
    assert repr([([1.0, math.nan], None, "a"), ([2.0, math.nan], None, "b")]) == repr(take("a/h", b"9"))


def test_a_feature_without_a_value_is_said_before_the_end():
    said = []
    parser = Parser(SCHEMA, lambda *report: said.append(report))
    for _ in range(3 * ABSENT_AFTER):
        parser.event(b'{"x": {"t": 1}}')
    assert [("absent", "no sample so far had a value for 'h'")] == said


def test_an_mqtt_source_wakes_up_for_values_that_waited():
    pytest.importorskip("aiomqtt")
    from protovine.net import Mqtt

    messages = Messages(topics={"{device}/t": "t", "{device}/h": "h"}, combine_s=0.01)
    source = Mqtt(SCHEMA, "localhost", ["#"], messages=messages)
    source._take(types.SimpleNamespace(topic="a/t", payload=b"1", retain=False))
    event = asyncio.run(asyncio.wait_for(source._next_event(), 20))
    assert (1.0, "a") == (event.x[0], event.device)
