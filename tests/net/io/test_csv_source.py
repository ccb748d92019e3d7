"""Rows of files as samples."""

import asyncio
import gzip
import math

import numpy as np
import pytest

from protovine.errors import ConfigError, DataError
from protovine.net import CsvReplay, Schema
from protovine.stream import read_file
from tests.net.io.events import SCHEMA, collect

WEATHER = "wind,sky,cold,rain\n3,clear,True,no\n 8.5 ,grey,false,yes\n1e1,clear,True,no\n"


def test_a_replay_is_the_data_set_row_by_row(tmp_path):
    """`read_file` is the reference: it reads with pandas."""
    for name, content in [
        ("w.csv", WEATHER.encode()),
        ("w.tsv", WEATHER.replace(",", "\t").encode()),
        ("W.CSV.GZ", gzip.compress(WEATHER.encode(), mtime=0)),
        ("bom.csv", ("\ufeff" + WEATHER.replace(",", ", ").replace("\n", "\r\n")).encode()),
    ]:
        path = tmp_path / name
        path.write_bytes(content)
        data = read_file(path)
        events = collect(CsvReplay(Schema.of(data), path))
        np.testing.assert_array_equal(data.x, [event.x for event in events])
        assert data.y.tolist() == [event.y for event in events]


def test_a_replay_of_a_data_set_has_all_its_rows(phishing, tmp_path):
    path = tmp_path / "phishing.csv"
    rows = [",".join(map(repr, row)) + f",{bool(y)}" for row, y in zip(phishing.x.tolist(), phishing.y, strict=True)]
    path.write_text("\n".join([",".join([*phishing.features, "y"]), *rows]))
    source = CsvReplay(Schema.of(phishing), path, label="y", loops=2)
    events = collect(source)
    np.testing.assert_array_equal(np.tile(phishing.x, (2, 1)), [event.x for event in events])
    np.testing.assert_array_equal(np.tile(phishing.y, 2), [event.y for event in events])
    assert (2500, {}) == (source.taken, source.refusals)


def test_cells_that_cannot_be_used_cost_their_row(tmp_path):
    path = tmp_path / "w.csv"
    path.write_bytes(
        b"rain,sky,wind\n"
        b"dry,grey,1\n"
        b",grey,2\n"  # No label.
        b"wet,?,3\n"  # No sky.
        b"wet,pink,4\n"
        b"wet,grey,fast\n"
        b"wet,gr\xffey,5\n"
        b"damp,grey,6\n"
        b"wet,grey\n"
        b"wet,grey,7,8\n"
        b"\n"
        b'wet,"grey",inf\n'
        b"wet,?,?\n"
        b"wet,clear,9\n"
    )
    source = CsvReplay(SCHEMA, path, label="rain")
    events = collect(source)
    nan = math.nan
    np.testing.assert_array_equal([[1, 0, 1], [2, 0, 1], [3, nan, nan], [9, 1, 0]], [event.x for event in events])
    assert [0, None, 1, 1] == [event.y for event in events]
    assert {"features": 5, "label": 1, "row": 2} == source.refusals
    assert [2, 3, 4, 14] == [event.place.line for event in events]


def test_each_row_and_each_refusal_names_its_line_of_the_file(tmp_path):
    path = tmp_path / "w.csv"
    path.write_text(
        "# of the station\n# by the barn\nwind,rain\n"
        '1,dry\n"2",wet\n\n"3\n",dry\nfast,dry\n4\n5,wet\nslow,dry\n6,"we\nt"\n7,dry\n',
        newline="\r\n",
    )
    said = []
    source = CsvReplay(SCHEMA, path, loops=2, refused=lambda reason, text: said.append((reason, text)))
    events = collect(source)
    assert [1, 2, 3, 5, 7] * 2 == [event.x[0] for event in events]
    assert [("w.csv", line) for line in (4, 5, 7, 11, 15)] * 2 == [event.place for event in events]
    assert [
        ("features", "w.csv, line 9: feature 'wind' must be a number or true/false, got 'fast'"),
        ("row", "w.csv, line 10: the header has 2 columns, the row has 1"),
        ("label", "w.csv, line 13: there is no class 'we\\r\\nt' (known: 'dry', 'wet')"),
    ] == said
    assert "4 times (lines 9, 12): " + said[0][1] == source._parser.causes.summary()[0]


def test_a_quote_that_never_ends_is_a_bad_row(tmp_path):
    path = tmp_path / "w.csv"
    path.write_text('wind,rain\n1,dry\n"' + "2,dry\n" * 50_000)
    source = CsvReplay(SCHEMA, path)
    assert [1.0] == [event.x[0] for event in collect(source)][:1]
    assert 1 <= source.refusals["row"]


def test_a_replay_keeps_its_rate(tmp_path):
    path = tmp_path / "w.csv"
    path.write_text("wind,rain\n" + "1,dry\n" * 4)

    async def run():
        loop = asyncio.get_running_loop()
        start_s, at_s = loop.time(), []
        async for _ in CsvReplay(SCHEMA, path, rate_hz=20, loops=0).events():
            at_s.append(loop.time() - start_s)
            if len(at_s) == 3:
                await asyncio.sleep(0.2)  # What was due meanwhile comes at once.
            if len(at_s) == 10:
                return at_s
        return None

    at_s = asyncio.run(asyncio.wait_for(run(), 20))
    # Never early; late only as far as this machine is busy.
    assert all(number / 20 - 0.002 <= at for number, at in enumerate(at_s))
    assert at_s[9] < 9 / 20 + 1


@pytest.mark.parametrize(
    ("content", "settings", "error", "message"),
    [
        (WEATHER, {"label": "rian"}, DataError, r"^w.csv: no column 'rian' to use as label \(did you mean 'rain'\?\)$"),
        (
            "wind,wnd,rain\n1,2,dry\n",
            {},
            DataError,
            "^w.csv: the schema has no feature 'wnd' .did you mean 'wind'.*label = 'wnd' makes",
        ),
        ("wind,wind,rain\n", {}, DataError, "^w.csv: column names must differ, got 'wind' more than once "),
        ("", {}, DataError, "^w.csv: there are no rows$"),
        ("wind\n1\n", {}, DataError, "^w.csv: a header with a label column and at least one feature is needed"),
        (WEATHER, {"rate_hz": -1}, ConfigError, "^rate_hz must be between 0 and "),
        (WEATHER, {"rate_hz": math.nan}, ConfigError, "^rate_hz must be between 0 and "),
        (WEATHER, {"loops": -1}, ConfigError, "^loops must be >= 0, got -1$"),
    ],
)
def test_what_cannot_be_replayed_is_refused_at_once(content, settings, error, message, tmp_path):
    path = tmp_path / "w.csv"
    path.write_text(content)
    with pytest.raises(error, match=message):
        CsvReplay(SCHEMA, path, **settings)
    for name, why in [("nothing.csv", "no such file"), ("w.json", "must end in .csv, .tsv")]:
        (tmp_path / "w.json").touch()
        with pytest.raises(ConfigError, match=f"^path:? {why}"):
            CsvReplay(SCHEMA, tmp_path / name)


def test_a_damaged_archive_ends_a_replay_with_one_line(tmp_path):
    path = tmp_path / "w.csv.gz"
    path.write_bytes(gzip.compress(b"wind,rain\n" + b"%d,dry\n" % 10**9 * 9000)[:-50])
    with pytest.raises(DataError, match=r"w\.csv\.gz: cannot be read: "):
        collect(CsvReplay(SCHEMA, path))
    path.write_bytes(b"wind,rain\n1,dry\n")
    with pytest.raises(DataError, match=r"w\.csv\.gz: cannot be read: "):
        CsvReplay(SCHEMA, path)
