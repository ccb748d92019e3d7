"""The features and classes that members agree on."""

import hashlib
import json
import math

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from protovine.cli import main
from protovine.errors import DataError
from protovine.net import CsvReplay, Schema
from protovine.net.io.schema import CLASSES_MAX, FEATURES_MAX
from protovine.stream import from_python, load, read_file
from tests.net.io.events import collect

WEATHER = Schema(("wind", "sky=clear", "sky=grey"), ("dry", "wet"))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_the_fingerprint_is_the_hash_of_compact_json():
    expected = hashlib.blake2b(
        b'[["wind","sky=clear","sky=grey"],["dry","wet"]]', digest_size=16, person=b"protovine schema"
    )
    assert expected.digest() == WEATHER.fingerprint()


def test_names_order_labels_and_their_types_each_change_the_fingerprint():
    schemas = [
        Schema(("a", "b"), (0, 1)),
        Schema(("b", "a"), (0, 1)),
        Schema(("a", "b"), (1, 0)),
        Schema(("a", "b"), ("0", "1")),
        Schema(("a", "b"), (False, True)),
        Schema(("a", "b"), (0.0, 1.0)),
        Schema(("a", "b", "c"), (0, 1)),
        Schema(("a,b",), (0, 1)),
        Schema(("a", "B"), (0, 1)),
    ]
    assert len(schemas) == len({schema.fingerprint() for schema in schemas})
    assert Schema(("a", "b"), (0, 1)).fingerprint() == schemas[0].fingerprint()


def test_a_vector_has_the_order_of_the_schema_and_nan_for_what_is_missing():
    schema = Schema(("a", "b", "c", "d"), (0, 1))
    np.testing.assert_array_equal([1.0, math.nan, 0.5, math.nan], schema.vector({"c": 0.5, "a": True, "d": None}))


def test_texts_of_one_hot_columns_are_encoded_as_data_sets_are():
    rows = [
        ({"wind": 3, "sky": "clear", "a=b": "x"}, 1),
        ({"wind": 8, "sky": "grey", "a=b": "y=z"}, 0),
        ({"wind": 5, "sky": "7", "a=b": "x"}, 0),
    ]
    data = from_python(rows)
    schema = Schema.of(data)
    assert ("wind", "sky=7", "sky=clear", "sky=grey", "a=b=x", "a=b=y=z") == schema.features
    np.testing.assert_array_equal(data.x, [schema.vector(x) for x, _ in rows])
    np.testing.assert_array_equal(data.x[2], schema.vector({"wind": 5, "sky": 7, "a=b": "x"}))
    assert data.y.tolist() == [schema.code(y) for _, y in rows]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ({"wind": "3 m/s"}, "feature 'wind' must be a number or true/false, got '3 m/s'"),
        ({"wind": [1]}, "feature 'wind' must be a number or true/false, got [1]"),
        ({"wind": {"a": 1}}, "feature 'wind' must be a number or true/false, got {'a': 1}"),
        ({"wind": 2e38}, "feature 'wind' must be within ±1e+38, got 2e+38"),
        ({"wind": -(10**400)}, "feature 'wind' must be within ±1e+38, got -1000"),
        ({"wind": math.inf}, "feature 'wind' must be within ±1e+38, got inf"),
        ({"wnd": 1}, "there is no feature 'wnd' (did you mean 'wind'?)"),
        ({"sky": "pink"}, "column 'sky' must be one of 'clear', 'grey', got 'pink'"),
        ({"sky": ["grey"]}, "column 'sky' must be one of 'clear', 'grey', got ['grey']"),
        ({"sky": "grey", "sky=clear": 1}, "feature 'sky=clear' is given twice, also as 'sky'"),
        ({str(name): 1 for name in range(9)}, "there is no feature '0' (known:"),
    ],
)
def test_what_cannot_stand_in_a_vector_is_named(x, message):
    with pytest.raises(DataError) as caught:
        WEATHER.vector(x)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 300


@given(
    st.dictionaries(st.sampled_from(["wind", "sky", "sky=grey", "x"]) | st.text(max_size=4), JSON_VALUES, max_size=5)
)
@example({"wind": ""})
@example({"wind": " "})
@example({"sky": ""})
def test_any_mapping_is_a_vector_or_refused(x):
    try:
        vector = WEATHER.vector(x)
    except DataError:
        return
    assert (3,) == vector.shape and np.float64 == vector.dtype
    sky = None if isinstance(x.get("sky"), str) and not x["sky"].strip() else x.get("sky")
    for place, name in enumerate(WEATHER.features):
        given_value = x.get(name, sky == name[4:] if sky is not None and place else None)
        try:
            number = math.nan if given_value is None else float(given_value)
        except ValueError:
            continue  # A word for a missing value, or for true or false.
        np.testing.assert_equal(vector[place], number)


@pytest.mark.parametrize(
    ("classes", "labels", "codes"),
    [
        ((0, 1), (0, 1, 1.0, "1", True, "true", "False"), (0, 1, 1, 1, 1, 1, 0)),
        ((False, True), (False, True, "true", "True", 1, "0", 1.0), (0, 1, 1, 1, 1, 0, 1)),
        (("0", "1"), ("1", 1, 1.0, 0), (1, 1, 1, 0)),
        (("false", "true"), ("true", True, False), (1, 1, 0)),
        (("True", "true"), ("True", "true"), (0, 1)),
        ((1, 2, 10), (10, "2", 1.0), (2, 1, 0)),
        ((0.5, 2.0), (0.5, "0.5", 2, "2"), (0, 0, 1, 1)),
    ],
)
def test_labels_that_read_the_same_are_the_same_class(classes, labels, codes):
    schema = Schema(("a",), classes)
    assert codes == tuple(schema.code(label) for label in labels)
    assert tuple(range(len(classes))) == tuple(schema.code(label) for label in classes)
    assert classes == tuple(schema.label(code) for code in range(len(classes)))


@pytest.mark.parametrize(
    ("classes", "label"),
    [
        ((0, 1), 2),
        ((0, 1), "01"),
        ((0, 1), None),
        ((0, 1), [1]),
        ((0, 1), math.nan),
        ((0, 1, 2), True),
        (("0", "1"), True),
        (("True", "true"), True),
        (("dry", "wet"), "Wet"),
    ],
)
def test_labels_of_no_class_or_of_two_are_refused(classes, label):
    with pytest.raises(DataError, match="there is no class "):
        Schema(("a",), classes).code(label)


def test_a_number_too_long_to_write_is_refused_like_others():
    with pytest.raises(DataError, match="there is no class a number with too many digits"):
        WEATHER.code(10**5000)
    with pytest.raises(DataError, match="within ±1e\\+38, got a number with too many digits"):
        WEATHER.vector({"wind": 10**5000})


def test_a_code_out_of_range_has_no_label():
    for code in (-1, 2):
        with pytest.raises(DataError, match=f"between 0 and 1, got {code}"):
            WEATHER.label(code)


@pytest.mark.parametrize(
    ("features", "classes", "message"),
    [
        ((), (0,), "1 to 100000 features, got 0"),
        (("a", "b", "a"), (0,), "must differ, got 'a' more than once"),
        (("",), (0,), "a text of 1 to 1000 characters, got ''"),
        ((1,), (0,), "a text of 1 to 1000 characters, got 1"),
        (("a",), (), "1 to 10000 classes, got 0"),
        (("a",), (0, "0"), "must read differently, got '0'"),
        (("a",), ("true", True), "must read differently, got true"),
        (("a",), (1, 1.0), "must read differently, got 1.0"),
        (("a",), (1, math.inf), "got inf"),
        (("a",), (None,), "got null"),
        (("a",), tuple(range(CLASSES_MAX + 1)), "1 to 10000 classes, got 10001"),
        (tuple(map(str, range(FEATURES_MAX + 1))), (0,), "1 to 100000 features, got 100001"),
    ],
)
def test_what_is_no_schema_is_refused(features, classes, message):
    with pytest.raises(DataError) as caught:
        Schema(features, classes)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["phishing", "bananas", "image-segments", "led-drift", "sine"])
def test_data_info_of_a_data_set_is_read_as_its_schema(name, tmp_path):
    from click.testing import CliRunner

    from protovine.cli import main

    path = tmp_path / "schema.json"
    path.write_text(CliRunner().invoke(main, ["data", "info", name, "--json"]).output)
    expected = Schema.of(load(name))
    assert (expected, expected.fingerprint()) == (Schema.read(path), Schema.read(path).fingerprint())


def test_a_list_of_classes_keeps_types_and_order(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text('{"features": ["a"], "classes": ["2", 1, true, 0.5], "made": "by hand"}')
    assert Schema(("a",), ("2", 1, True, 0.5)) == Schema.read(path)
    assert ["2", 1, True, 0.5] == json.loads(path.read_text())["classes"]
    path.write_text('{"features": ["a"], "classes": {"07": 1, "1": 1}}')
    assert ("07", "1") == Schema.read(path).classes
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # As editors on Windows write it.
    assert ("07", "1") == Schema.read(path).classes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a schema in JSON"),
        (b"\xff\xfe", "not a schema in JSON"),
        (b'{"features": ["a"]}', "not a schema in JSON: .*classes"),
        (b'{"features": [1], "classes": [1]}', "not a schema in JSON"),
        (b'{"features": ["a"], "classes": [[1]]}', "not a schema in JSON"),
        (b'{"features": ["a", "a"], "classes": [1]}', "feature names must differ, got 'a'"),
        (b"[" * 100_000, "not a schema in JSON"),
    ],
)
def test_a_file_that_is_no_schema_is_refused_by_name(content, message, tmp_path):
    path = tmp_path / "schema.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"schema.json: {message}"):
        Schema.read(path)
    with pytest.raises(DataError, match=r"nothing\.json: cannot be read: No such file"):
        Schema.read(tmp_path / "nothing.json")


TEXTS = st.lists(
    st.one_of(
        st.integers(-5, 1200).map(str), st.sampled_from(["a", "B", "True", "-", "unknown", "x=1", "007", "1.50"])
    ),
    min_size=2,
    max_size=8,
    unique=True,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS)
def test_ordinal_texts_are_the_same_numbers_live(tmp_path, texts):
    path, saved = tmp_path / "f.csv", tmp_path / "schema.json"
    path.write_text("room,y\n" + "".join(f"{text},{'ud'[row % 2]}\n" for row, text in enumerate(texts)))
    done = CliRunner().invoke(main, ["data", "info", str(path), "--text=ordinal", "--text-columns=room", "--json"])
    saved.write_text(done.output)
    data = read_file(path, text="ordinal", text_columns="room")
    schema = Schema.read(saved)
    assert Schema.of(data) == schema
    assert Schema.of(data).fingerprint() == schema.fingerprint() != Schema(("room",), ("d", "u")).fingerprint()
    assert sorted(data.x[:, 0]) == list(range(len(texts)))
    source = CsvReplay(schema, path)
    assert data.x[:, 0].tolist() == [event.x[0] for event in collect(source)]
    for text, position in zip(texts, data.x[:, 0], strict=True):
        assert position == schema.vector({"room": f" {text} "})[0]
        if text.lstrip("-").isdecimal() and str(int(text)) == text:
            assert position == schema.vector({"room": int(text)})[0]


def test_a_text_that_an_ordinal_feature_has_not_is_refused_or_missing():
    schema = Schema(("room",), ("d", "u"), ordinal={"room": ("101", "205", "1007")})
    for value in ("7", 7, 0.5, True, [101]):
        with pytest.raises(DataError, match=r"^feature 'room' must be one of '101', '205', '1007', got "):
            schema.vector({"room": value})
    for value in (None, math.nan, "unavailable"):
        assert math.isnan(schema.vector({"room": value})[0])


@pytest.mark.parametrize(
    ("ordinal", "message"),
    [
        ({"b": ("x",)}, "^ordinal must name features that are no times, got 'b'$"),
        ({"t": ("x",)}, "^ordinal must name features that are no times, got 't'$"),
        ({"a": ()}, r"^the texts of feature 'a' must be one or more and differ, got \[\]$"),
        ({"a": ("x", "x")}, "^the texts of feature 'a' must be one or more and differ"),
        ({"a": (1, 2)}, "^the texts of feature 'a' must be one or more and differ"),
    ],
)
def test_ordinal_texts_are_checked(ordinal, message):
    with pytest.raises(DataError, match=message):
        Schema(("a", "t"), (0, 1), {"t": "2024-01-01"}, (), ordinal)


@pytest.mark.parametrize("labels", [("1", "2"), (1, 2), (False, True), ("False", "True"), ("07", "7"), ("a", "b")])
def test_labels_keep_their_types_through_data_info(labels, tmp_path):
    path, saved = tmp_path / "f.parquet", tmp_path / "schema.json"
    pd.DataFrame({"t": [1.0, 2.0], "y": labels}).to_parquet(path)
    saved.write_text(CliRunner().invoke(main, ["data", "info", str(path), "--json"]).output)
    schema = Schema.read(saved)
    assert [labels, list(map(type, labels))] == [schema.classes, list(map(type, schema.classes))]
    assert Schema.of(load(path)).fingerprint() == schema.fingerprint()


def test_labels_that_are_not_the_classes_are_refused(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text('{"features": ["a"], "classes": {"1": 3, "2": 4}, "class_labels": ["1", "3"]}')
    with pytest.raises(DataError, match="class_labels must be the labels that classes has as keys"):
        Schema.read(path)
