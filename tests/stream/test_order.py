"""The order of rows: that of the file, with a note where it goes back in time, or that of a column."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import ConfigError, DataError
from protovine.stream import load

KEYS = st.one_of(
    st.lists(st.integers(-5, 5), min_size=4, max_size=30),
    st.lists(st.datetimes(pd.Timestamp(2000, 1, 1), pd.Timestamp(2030, 1, 1)), min_size=4, max_size=30),
)


@given(keys=KEYS, dropped=st.booleans(), typed=st.booleans())
def test_rows_are_sorted_by_a_column_and_stay_whole(keys: list, dropped: bool, typed: bool):
    n = len(keys)
    frame = pd.DataFrame({"a": np.arange(n) * 1.0, "who": [f"w{i % 3}" for i in range(n)], "when": keys})
    frame["y"] = ["no", "yes"] * (n // 2) + ["no"] * (n % 2)
    if not typed:
        frame["when"] = frame["when"].astype(str)
    data = load(frame, sort_by="when", group="who", drop=["when"] if dropped else [])
    expected = sorted(range(n), key=lambda row: keys[row])  # Stable, as Python sorts.
    assert data.x[:, data.features.index("a")].tolist() == expected
    assert data.labels() == [frame["y"][row] for row in expected]
    assert [data.group_names[code] for code in data.groups] == [f"w{row % 3}" for row in expected]
    if not dropped:
        assert (np.diff(data.x[:, data.features.index("when")]) >= 0).all()
    assert not any("go back" in note for note in data.notes)


@pytest.mark.parametrize(
    ("cells", "settings", "problem"),
    [
        (["1", "", "3"], {"sort_by": "t"}, "column 't', row 2: rows are sorted by it, and the cell is empty"),
        (["b", "a", "c"], {"sort_by": "t"}, "column 't' holds texts; sort_by takes a column of numbers or dates"),
        (["1", "2", "3"], {"sort_by": "time"}, "no column 'time' to use as sort_by"),
        (["1", "2", "3"], {"sort_by": "y"}, "column 'y' is the label and in sort_by"),
        (["1", "2", "3"], {"sort_by": 2.0}, "sort_by takes the name or the place of a column, got 2.0"),
    ],
)
def test_what_cannot_sort_is_named(tmp_path: Path, cells: list, settings: dict, problem: str):
    path = tmp_path / "f.csv"
    path.write_text("t,a,y\n" + "".join(f"{cell},{i}.5,{'nyn'[i]}\n" for i, cell in enumerate(cells)))
    with pytest.raises((ConfigError, DataError), match=problem):
        load(path, **settings)


def test_missing_rows_are_left_out_after_sorting():
    frame = pd.DataFrame({"t": [3, 1, 2, 0], "a": [1.0, None, 3.0, 4.0], "y": ["n", "y", "n", "y"]})
    data = load(frame, sort_by="t", missing="drop", drop="t")
    assert (data.x[:, 0].tolist(), data.labels()) == ([4.0, 3.0, 1.0], ["y", "n", "n"])


def dated(days: list[int], **more: list) -> pd.DataFrame:
    frame = pd.DataFrame({"when": pd.to_datetime("2024-01-01") + pd.to_timedelta(days, "D"), **more})
    return frame.assign(y=["n", "y"] * (len(days) // 2))


def test_a_note_says_that_rows_go_back_in_time():
    def notes(frame: pd.DataFrame, **options: object) -> list[str]:
        return [note for note in load(frame, **options).notes if "in time" in note]

    assert notes(dated(list(range(12)))) == []
    (back,) = notes(dated(list(range(12, 0, -1))))
    assert (
        back
        == "rows are learnt in the order of the file, and by 'when' all go back in time; sort_by = 'when' sorts them"
    )
    (some,) = notes(dated([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]))
    assert "by 'when' 2 go back in time" in some
    stations = dated([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3], station=["a"] * 4 + ["b"] * 4 + ["c"] * 4)
    assert len(notes(stations, text="ordinal")) == 1
    assert notes(stations, group="station") == []
    assert notes(stations, sort_by="when") == []
