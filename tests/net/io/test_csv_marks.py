"""A replay reads a file as `read_file` does, also if only the last of many rows shows how it is written."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protovine.errors import DataError
from protovine.net import CsvReplay, Schema
from protovine.stream import ReadOptions, read_file
from protovine.stream.dialect import HEAD_CHARS
from tests.net.io.events import collect

# More rows than the beginning that shows the dialect.
ROWS = 1100
TIMES = Schema(("t",), ("d", "u"), {"t": "2024-01-01"})
NUMBER = Schema(("t",), ("d", "u"))


def written(tmp_path, cells, head="t;y"):
    path = tmp_path / "f.csv"
    path.write_text("\n".join([head, *(f"{cell};{'ud'[row % 2]}" for row, cell in enumerate(cells)), ""]))
    return path


def replayed(path, schema, **settings):
    """The values of the only feature, and the refusals."""
    source = CsvReplay(schema, path, **settings)
    return [event.x[0] for event in collect(source)], dict(source.refusals)


@pytest.mark.parametrize(
    "cells",
    [
        ["7.776"] * ROWS + ["1.234,5"],
        ["7776"] * ROWS + ["1 234"],
        ["1.5"] * ROWS + ["1,234.5"],
        ["1,5"] * ROWS + ["2"],
        ["2024-01-31"] * ROWS + ["13/08/2024", "07/08/2024"],
        ["02.03.2024"] * ROWS + ["01.13.2024"],
        ["02.03.2024"] * ROWS + ["13.01.2024"],
        ["1 Feb 2024"] * ROWS + ["31.12.2024"],
    ],
    ids=lambda cells: f"{cells[0]} then {cells[-1]}",
)
def test_the_last_row_decides_for_all_of_them(cells, tmp_path):
    path = written(tmp_path, cells)
    data = read_file(path)
    values, refusals = replayed(path, Schema.of(data))
    np.testing.assert_allclose(data.x[:, 0], values)
    assert {} == refusals


@pytest.mark.parametrize(
    ("cells", "schema", "message"),
    [
        (["2024-01-31"] * ROWS + ["07/08/2024"], TIMES, "'07/08/2024', and none shows whether the day.*set day_first"),
        (["01/13/2024"] * ROWS + ["05.06.2024"], TIMES, r"'05.06.2024', and no other with '\.' shows.*set day_first"),
        (["13/01/2024"] * ROWS + ["01/13/2024"], TIMES, "different order; set day_first"),
        (["1.5"] * ROWS + ["1,5"], NUMBER, "write numbers in different ways; set decimal"),
        (["7"] * ROWS + ["1,234"], NUMBER, "'1,234', which may be read in two ways; set thousands"),
    ],
)
def test_what_no_row_decides_is_refused_by_both(cells, schema, message, tmp_path):
    path = written(tmp_path, cells)
    for read in (read_file, lambda path: CsvReplay(schema, path)):
        with pytest.raises(DataError, match=f"^f.csv: .*{message}"):
            read(path)


NUMBERS = st.sampled_from(
    ["7", "-12", "1.5", "0.125", "1.234", "1,5", "1,234", "1.234,5", "1 234", "?", "-", "1e3", "007"]
)
DATES = st.sampled_from(
    ["2024-01-31", "13/01/2024", "01/13/2024", "05/06/2024", "05.06.2024", "31.01.2024", "1-2-2024", "1 Feb 2024", "?"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(many=st.one_of(NUMBERS, DATES), few=st.one_of(st.lists(NUMBERS, max_size=3), st.lists(DATES, max_size=3)))
def test_both_read_the_same_numbers_or_one_of_them_refuses(tmp_path, many, few):
    path = written(tmp_path, [many] * 9 + few)
    try:
        data = read_file(path, missing="drop")
    except DataError:
        data = None
    if data is not None and data.features == ("t",):
        values, refusals = replayed(path, Schema.of(data))
        np.testing.assert_allclose(data.x[:, 0], [value for value in values if not math.isnan(value)])
        assert set(refusals) <= {"features"}  # A sample without any value.
        return
    if data is not None:  # One-hot texts.
        return
    for schema in (TIMES, NUMBER):
        try:
            values, refusals = replayed(path, schema)
        except DataError:
            continue
        assert refusals or not values


@pytest.mark.parametrize("number", ["5", "-999", "20240201", "1706745600", "5.5"])
def test_a_number_among_dates_is_refused_by_both(number, tmp_path):
    path = written(tmp_path, ["2024-01-01", number, "2024-01-02", "2024-01-03"])
    with pytest.raises(
        DataError, match=f"^f.csv: column 't', row 2: '{number}' is a number, but the column holds dates"
    ):
        read_file(path)
    said = []
    source = CsvReplay(TIMES, path, refused=lambda *each: said.append(each))
    assert [0.0, 86400.0, 172800.0] == [event.x[0] for event in collect(source)]
    assert [("features", f"f.csv, line 3: feature 't': '{number}' is a number, but the column holds dates")] == said


def test_numbers_alone_are_times_since_1970(tmp_path):
    path = written(tmp_path, ["1704067200", "1704067260"])
    assert ([0.0, 60.0], {}) == replayed(path, TIMES)


def test_a_date_that_comes_after_the_look_at_the_file_is_not_guessed(tmp_path):
    """Such as in a file that another program writes meanwhile."""
    path = written(tmp_path, ["2024-01-01"])
    said = []
    source = CsvReplay(TIMES, path, refused=lambda *each: said.append(each))
    with path.open("a") as file:
        file.write("07/08/2024;d\n")
    assert [0.0] == [event.x[0] for event in collect(source)]
    assert "'07/08/2024' does not show whether the day or the month comes first (read = { day_first" in said[0][1]


def test_options_spare_the_look_at_the_file(tmp_path, monkeypatch):
    path = written(tmp_path, ["1.5"] * 5)
    looks = []
    opened = CsvReplay._opened
    monkeypatch.setattr(CsvReplay, "_opened", lambda self: looks.append(1) or opened(self))
    CsvReplay(NUMBER, path)
    once = len(looks)
    looks.clear()
    CsvReplay(NUMBER, path, read=ReadOptions(decimal="."))
    assert once - 1 == len(looks)


def test_a_feature_is_no_label_by_default(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("temp,door\n1,0\n2,1\n")
    schema = Schema(("temp", "door"), (0, 1))
    with pytest.raises(DataError, match=r"^f.csv: the last column, 'door', is a feature of the schema; label = 'NAME'"):
        CsvReplay(schema, path)
    for settings_ in ({"label": ""}, {"read": ReadOptions(label="")}):
        source = CsvReplay(schema, path, **settings_)
        events = collect(source)
        assert [([1.0, 0.0], None), ([2.0, 1.0], None)] == [(event.x.tolist(), event.y) for event in events]
        assert [] == source.unmapped
    named = CsvReplay(schema, path, label="door")
    assert [0, 1] == [event.y for event in collect(named)]
    assert ["door"] == named.unmapped


def test_a_text_column_of_the_schema_is_no_label_by_default(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("temp,door\n1,open\n")
    with pytest.raises(DataError, match="'door', is a feature"):
        CsvReplay(Schema(("temp", "door=open", "door=shut"), (0, 1)), path)


def test_one_column_is_enough_without_a_label(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("temp\n1\n")
    assert [None] == [event.y for event in collect(CsvReplay(Schema(("temp",), (0, 1)), path, label=""))]


def test_an_index_of_pandas_is_left_out_by_both(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("Unnamed: 0,t,y\n0,5,u\n1,7,d\n2,6,u\n")
    data = read_file(path)
    assert ("t",) == data.features
    assert ([5.0, 7.0, 6.0], {}) == replayed(path, Schema.of(data))
    kept = Schema(("Unnamed: 0", "t"), ("d", "u"))
    assert [0.0, 5.0] == collect(CsvReplay(kept, path))[0].x.tolist()


def test_a_header_alone_is_refused_by_both(tmp_path):
    path = written(tmp_path, [])
    for read in (read_file, lambda path: CsvReplay(NUMBER, path)):
        with pytest.raises(DataError, match=r"^f.csv: there are no rows$"):
            read(path)


def test_a_column_whose_first_value_comes_late_must_be_in_the_schema(tmp_path):
    path = tmp_path / "f.csv"
    rows = HEAD_CHARS // 6
    path.write_text("t,extra,y\n" + "1,,u\n" * rows + "1,5,d\n")
    with pytest.raises(DataError, match=r"^f.csv: the schema has no feature 'extra'"):
        CsvReplay(NUMBER, path)
    path.write_text("t,extra,y\n" + "1,,u\n" * 3)
    assert ([1.0] * 3, {}) == replayed(path, NUMBER)
