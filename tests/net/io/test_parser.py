"""Events from JSON objects, and invalid objects."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.net.io.parser import MESSAGE_BYTES_MAX, Parser, to_ns
from tests.net.io.events import SCHEMA, plain


def test_a_sample_and_its_label_may_come_together_or_apart():
    parser = Parser(SCHEMA)
    lines = [
        b'{"x": {"wind": 3, "sky": "grey"}, "y": "wet"}',
        b'{"id": 7, "x": {"sky=clear": true, "sky=grey": 0, "wind": 1.5}, "time": 1700000000.25}\r',
        b' {"id": "a", "time": "2023-11-14T22:13:20+00:00", "y": "dry", "x": null}',
    ]
    assert [
        ([3.0, 0.0, 1.0], 1, None, None),
        ([1.5, 1.0, 0.0], None, 7, 1_700_000_000_250_000_000),
        (None, 0, "a", 1_700_000_000_000_000_000),
    ] == [plain(parser.event(line)) for line in lines]
    assert (3, {}) == (parser.taken, parser.refusals)
    assert None is parser.event(b" \r")
    assert (3, {}) == (parser.taken, parser.refusals)


@pytest.mark.parametrize(
    ("line", "reason", "text"),
    [
        (b"wind 3", "json", ""),
        (b'{"x": {"wind": NaN}}', "json", ""),
        (b'{"x": {"wind": Infinity}}', "json", ""),
        (b'{"x": {"wi\xff": 1}}', "json", ""),
        (b'{"x": {"wind": 1}} {}', "json", ""),
        (b'{"x": {"wind": 1}, "y": ' + b"[" * 200_000, "form", ""),
        (b'{"x": {"wind": ' + b"[" * 200_000, "json", ""),
        (b"[]", "form", "Expected `object`, got `array`"),
        (b"{}", "form", "x is needed, or id and y"),
        (b'{"y": "wet"}', "form", "x is needed, or id and y"),
        (b'{"id": 7}', "form", "x is needed, or id and y"),
        (b'{"x": {"wind": 1}, "label": 1}', "form", "unknown field `label`"),
        (b'{"x": {"wind": 1}, "\x1b[2J\\u001b": 1}', "json", ""),
        (b'{"x": {"wind": 1}, "\\u001b[2J": 1}', "form", "unknown field `?[2J`"),
        (b'{"x": {"wind": 1}, "id": true}', "form", "got `bool`"),
        (b'{"x": {"wind": 1}, "y": {}}', "form", "got `object`"),
        (b'{"x": {"wind": 1e400}}', "form", "out of range"),
        (b'{"x": {"wind": 1e39}}', "features", "feature 'wind' must be within ±1e+38, got 1e+39"),
        (b'{"x": {"wind": "\\u001b[2J"}}', "features", r"got '\x1b[2J'"),
        (b'{"x": {"wnd": 1}}', "features", "no feature 'wnd' (did you mean 'wind'?)"),
        (b'{"x": {}}', "features", "no feature has a value"),
        (b'{"x": {"wind": null}}', "features", "no feature has a value"),
        (b'{"x": {"wind": 1}, "y": "damp"}', "label", "no class 'damp' (known: 'dry', 'wet')"),
        (b'{"x": {"wind": 1}, "id": "' + b"a" * 201 + b'"}', "id", "200 characters"),
        (b'{"x": {"wind": 1}, "id": 9223372036854775808}', "id", "64 bits"),
        (b'{"x": {"wind": 1}, "time": 1700000000000}', "time", "is it in milliseconds?"),
        (b'{"x": {"wind": 1}, "time": -1}', "time", "between 1970 and 2262, got -1"),
        (b'{"x": {"wind": 1}, "time": "1969-12-31"}', "time", "between 1970 and 2262"),
        (b'{"x": {"wind": 1}, "time": "0001-01-01T00:00+23:00"}', "time", "between 1970 and 2262"),
        (b'{"x": {"wind": 1}, "time": "yesterday"}', "time", "ISO 8601 text, got 'yesterday'"),
        (b'{"x": {"wind": 1' + b" " * MESSAGE_BYTES_MAX + b"}}", "size", "1048576 bytes"),
    ],
)
def test_an_invalid_line_is_counted_and_reported_once_by_reason(line, reason, text):
    reported = []
    parser = Parser(SCHEMA, lambda *why: reported.append(why))
    assert (None, None) == (parser.event(line), parser.event(line))
    assert (0, {reason: 2}) == (parser.taken, parser.refusals)
    assert [reason] == [why for why, _ in reported]
    assert text in reported[0][1] and reported[0][1].isprintable() and len(reported[0][1]) <= 300


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("wet"),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["x", "y", "id", "time", "wind", "sky", "z"]), inner, max_size=4)
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_an_event_or_counted(data):
    parser = Parser(SCHEMA)
    event = parser.event(data)
    assert (event is not None) == parser.taken
    assert (event is None and bool(data.strip())) == parser.refusals.total()
    if event is not None:
        assert event.x is not None or (event.y is not None and event.id is not None)
        assert event.x is None or (event.x.shape == (3,) and not np.isinf(event.x).any())
        assert event.time_ns is None or 0 <= event.time_ns < 2**63


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (0, 0),
        (1_700_000_000, 1_700_000_000_000_000_000),
        ("2023-11-14T22:13:20.000001Z", 1_700_000_000_000_001_000),
        ("2023-11-14", 1_699_920_000_000_000_000),
        ("2023-11-14 23:13:20+01:00", 1_700_000_000_000_000_000),
        (9_223_372_036, 9_223_372_036_000_000_000),
    ],
)
def test_times_are_seconds_or_iso_8601(when, expected):
    assert expected == to_ns(when)
