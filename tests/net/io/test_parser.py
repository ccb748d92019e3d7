"""Events from JSON objects, and invalid objects."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protovine.net import CsvReplay, Schema
from protovine.net.io.parser import MESSAGE_BYTES_MAX, Parser
from tests.net.io.events import SCHEMA, collect, plain


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
        (b'{"x": {"wind": NaN}}', "features", "no feature has a value"),
        (b'{"x": {"wind": Infinity}}', "features", "feature 'wind' must be within ±1e+38, got inf"),
        (b'{"x": {"wind": "\\ud800"}}', "json", "surrogates not allowed"),
        (b'{"x": {"wind": 1, "wind": 2}}', "form", "key 'wind' stands there twice"),
        (b'{"x": {"wi\xff": 1}}', "json", ""),
        (b'{"x": {"wind": 1}} {}', "json", ""),
        (b'{"x": {"wind": 1}, "y": ' + b"[" * 200_000, "json", ""),
        (b'{"x": {"wind": ' + b"[" * 200_000, "json", ""),
        (b"[]", "form", "a message must be a JSON object, got []"),
        (b"{}", "form", "x is needed, or id and y"),
        (b'{"y": "wet"}', "form", "x is needed, or id and y"),
        (b'{"id": 7}', "form", "x is needed, or id and y"),
        (b'{"x": {"wind": 1}, "label": 1}', "form", "unknown field 'label': map it, or name it in ignore"),
        (b'{"wind": 1}', "form", "unknown field 'wind': features stand in x, unless flat = true"),
        (b'{"id": 7, "y": null}', "form", "x is needed, or id and y"),
        (b'{"id": 7, "y": "unknown"}', "label", "the label of id 7 is missing"),
        (b'{"x": {"wind": 1}, "\x1b[2J\\u001b": 1}', "json", ""),
        (b'{"x": {"wind": 1}, "\\u001b[2J": 1}', "form", r"""unknown field '"\x1b[2J"'"""),
        (b'{"x": {"wind": 1}, "id": true}', "id", "must be a text or a whole number, got true"),
        (b'{"x": {"wind": 1}, "y": true}', "label", "there is no class true (known: "),
        (b'{"x": {"wind": [null]}}', "features", "got [null]"),
        (b"null", "form", "a message must be a JSON object, got null"),
        (b'{"x": {"wind": 1}, "id": 7.5}', "id", "must be a text or a whole number, got 7.5"),
        (b'{"x": {"wind": 1}, "y": {}}', "label", "must be true/false, a number or a text, got {}"),
        (b'{"x": {"wind": 1e400}}', "features", "feature 'wind' must be within ±1e+38, got inf"),
        (b'{"x": {"wind": "1e400"}}', "features", "feature 'wind' must be within ±1e+38, got '1e400'"),
        (b'{"x": {"wind": "9,5"}}', "features", "got '9,5' (decimal_comma = true allows a comma"),
        (b'{"x": {"wind": "21.5 \xc2\xb0C"}}', "features", "got '21.5 °C'"),
        (b'{"x": {"wind": "1_000"}}', "features", "got '1_000'"),
        (b'{"x": {"wind": [1]}}', "features", "got [1]"),
        (b'{"x": {"wind": 1e39}}', "features", "feature 'wind' must be within ±1e+38, got 1e+39"),
        (b'{"x": {"wind": "\\u001b[2J"}}', "features", r"got '\x1b[2J'"),
        (b'{"x": {"wnd": 1}}', "features", "no feature 'wnd' (did you mean 'wind'?)"),
        (b'{"x": {}}', "features", "no feature has a value"),
        (b'{"x": {"wind": null}}', "features", "no feature has a value"),
        (b'{"x": {"wind": 1}, "y": "damp"}', "label", "no class 'damp' (known: 'dry', 'wet')"),
        (b'{"x": {"wind": 1}, "id": "' + b"a" * 201 + b'"}', "id", "200 characters"),
        (b'{"x": {"wind": 1}, "id": 9223372036854775808}', "id", "64 bits"),
        (b'{"x": {"wind": 1}, "time": 17000000000}', "time", "between 2000 and 2262"),
        (b'{"x": {"wind": 1}, "time": 3600}', "time", "got 3600 (set time_unit to allow times from 1970 on)"),
        (b'{"x": {"wind": 1}, "time": true}', "time", "must be a number or a text, got true"),
        (b'{"x": {"wind": 1}, "time": -1}', "time", "between 2000 and 2262, in s, ms, us or ns since 1970, got -1"),
        (b'{"x": {"wind": 1}, "time": "1999-12-31"}', "time", "between 2000 and 2262"),
        (b'{"x": {"wind": 1}, "time": "0001-01-01T00:00+23:00"}', "time", "between 2000 and 2262"),
        (
            b'{"x": {"wind": 1}, "time": "yesterday"}',
            "time",
            "2024-01-31T12:00:00Z, got 'yesterday'",
        ),
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
    assert (event is None and bool(data.removeprefix(b"\xef\xbb\xbf").strip())) == parser.refusals.total()
    if event is not None:
        assert event.x is not None or (event.y is not None and event.id is not None)
        assert event.x is None or (event.x.shape == (3,) and not np.isinf(event.x).any())
        assert event.time_ns is None or 0 <= event.time_ns < 2**63


@example(classes=[0, 1, "True"], text="true")
@given(
    classes=st.lists(st.sampled_from([0, 1, 2, 10, "1", "0", "a", "True", "TRUE", "no"]), min_size=1, unique_by=str),
    text=st.sampled_from(["true", "True", "TRUE", " true ", "false", "False", "FALSE"]),
)
def test_the_text_true_is_a_label_only_where_true_itself_is(classes, text):
    schema = Schema(("t",), tuple(classes))

    def code(label):
        parser = Parser(schema)
        event = parser.event(json.dumps({"x": {"t": 1}, "y": label}).encode())
        return dict(parser.refusals) if event is None else event.y

    if text.strip() in classes:
        assert classes.index(text.strip()) == code(text)
    else:
        assert code(text.strip().lower() == "true") == code(text)


def test_the_text_true_is_not_1_beside_other_numbers(tmp_path):
    assert None is Parser(Schema(("t",), (0, 1, 2))).event(b'{"x": {"t": 1}, "y": "true"}')
    path = tmp_path / "f.csv"
    path.write_text("t,y\n1,2\n2,true\n3,1\n")
    source = CsvReplay(Schema(("t",), (0, 1, 2)), path)
    assert [2, 1] == [event.y for event in collect(source)]
    assert {"label": 1} == source.refusals
