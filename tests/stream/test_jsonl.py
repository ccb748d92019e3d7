"""JSON Lines: what a node reads can be simulated."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protovine.errors import ConfigError, DataError
from protovine.net import JsonLines, Schema
from protovine.net.io.messages import Messages
from protovine.stream import from_python, load
from tests.net.io.events import collect

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "wind": st.integers(-9, 9) | st.floats(-9, 9),
            "sky": st.sampled_from(["grey", "clear", "a=b"]),
            "on": st.booleans(),
        }
    ),
    min_size=2,
    max_size=12,
)
LABELS = st.sampled_from([("dry", "wet"), (0, 1), (False, True), ("1", "2")])


def lines(tmp_path, *rows, name="f.jsonl"):
    path = tmp_path / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize("flat", [False, True])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=ROWS, labels=LABELS)
def test_the_simulator_reads_what_a_node_reads(tmp_path, flat, rows, labels):
    labelled = [(row, labels[place % 2]) for place, row in enumerate(rows)]
    path = lines(tmp_path, *({**row, "y": y} if flat else {"x": row, "y": y} for row, y in labelled), "")
    data = load(path)
    assert from_python(labelled).fingerprint() == data.fingerprint()
    events = collect(JsonLines(Schema.of(data), path, messages=Messages(flat=flat)))
    np.testing.assert_array_equal(data.x, [event.x for event in events])
    assert data.y.tolist() == [event.y for event in events]


def test_labels_may_come_later(tmp_path):
    path = lines(
        tmp_path,
        {"id": 7, "x": {"t": 1}, "device": "a"},
        {"id": 7, "x": {"t": 2}, "device": "b"},
        {"id": "7", "y": "wet", "device": "a"},
        {"id": 8, "y": "dry"},
        {"x": {"t": 3}, "y": "dry", "time": 1700000000},
    )
    data = load(path)
    assert (["wet", None, "dry"], [1.0, 2.0, 3.0]) == (data.labels(), data.x[:, 0].tolist())
    assert {"1 label in a later line than its sample", "1 label left out: no earlier line has the id"} <= {*data.notes}


def test_the_device_is_a_group(tmp_path):
    rows = [{"x": {"t": n}, "y": "uv"[n % 2], "device": "ab"[n // 2]} for n in range(4)]
    for each in (rows, [{"t": n, "device": "ab"[n // 2], "y": "uv"[n % 2]} for n in range(4)]):
        data = load(lines(tmp_path, *each), group="device")
        assert (("t",), ("a", "b"), [0, 0, 1, 1]) == (data.features, data.group_names, data.groups.tolist())


def test_the_label_of_flat_objects(tmp_path):
    path = lines(tmp_path, {"y": 0, "t": 1, "id": 5}, {"t": 2}, {"t": 3, "y": 1})
    data = load(path)
    assert ([0, None, 1], ("t",), "y") == (data.labels(), data.features, data.label)
    assert {"the label is 'y'", "id: no features, left out as on a node"} <= {*data.notes}
    rain = lines(tmp_path, {"t": 1, "rain": "no", "s": 1}, {"t": 2, "rain": "yes", "s": 2}, name="r.ndjson")
    assert ("no", "yes") == load(rain, label="rain").classes
    assert (1, 2) == load(rain).classes


def test_packed_files_and_marks_of_encodings(tmp_path):
    path = tmp_path / "f.jsonl.gz"
    path.write_bytes(gzip.compress('\ufeff{"x": {"t": 1}, "y": 0}\r\n\r\n{"x": {"t": 2}, "y": 1}\r\n'.encode()))
    assert ([1.0, 2.0], [0, 1]) == (load(path).x[:, 0].tolist(), load(path).labels())


@pytest.mark.parametrize(
    ("rows", "options", "error", "message"),
    [
        (["wind 3"], {}, DataError, r"^f.jsonl: line 1 is not JSON: "),
        (["", "[1]"], {}, DataError, r"^f.jsonl: line 2 must be an object, .*, got \[1\]$"),
        (['{"a": 1, "a": 2}'], {}, DataError, r"^f.jsonl: line 1: key 'a' stands there twice$"),
        (["[" * 100_000], {}, DataError, r"^f.jsonl: line 1 is not JSON: "),
        (['{"x": {"t": 1}, "y": 0}', '{"x": 3, "y": 0}'], {}, DataError, "line 2: x is needed, an object of features"),
        (['{"x": {"t": 1}, "y": 0}', '{"t": 3, "y": 0}'], {}, DataError, "line 2: key 't' stands beside x"),
        (['{"x": {"t": [1]}, "y": 0}'], {}, DataError, "column 't' holds a value of type list"),
        (['{"x": {"t": 1}, "y": [0]}'], {}, DataError, "the label holds a value of type list"),
        (["", " "], {}, DataError, r"^f.jsonl: there are no rows$"),
        (["{}"], {}, DataError, r"^f.jsonl: the rows have no features$"),
        (['{"x": {"t": 1}, "y": 0}'], {"label": "t"}, ConfigError, "label does not apply to messages"),
        (['{"x": {"t": 1}, "y": 0}'], {"separator": ";"}, ConfigError, "separator does not apply to a JSON Lines file"),
        (['{"t": 1, "y": 0}'], {"label": "z"}, DataError, "no column 'z' to use as label"),
    ],
)
def test_what_is_no_message_is_refused_in_one_line(tmp_path, rows, options, error, message):
    with pytest.raises(error, match=message) as info:
        load(lines(tmp_path, *rows), **options)
    assert "\n" not in str(info.value)
