"""Files in many dialects are read right, or answered with the option that helps."""

import bz2
import gzip
import json
import lzma
import math
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protovine.cli import main
from protovine.cli.common import READING
from protovine.errors import ConfigError, DataError
from protovine.experiments.define.config import DataOptions
from protovine.net import CsvReplay, Schema
from protovine.stream import ReadOptions, load, read_file
from protovine.stream.options import OPTION_NAMES
from tests.net.io.events import collect

ROWS = [(i * 1.5, i % 7, "uv"[i % 2]) for i in range(30)]


def table(rows, head="a,b,y", sep=","):
    return "\n".join([head, *(sep.join(map(str, row)) for row in rows)]) + "\n"


def first(cells, head="a,b,y", sep=","):
    """A table whose first column has these cells."""
    return table([(cell, i % 3, "uv"[i % 2]) for i, cell in enumerate(cells)], head, sep)


@pytest.fixture
def read(tmp_path):
    def write_and_read(content, name="f.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_file(path, **options)

    return write_and_read


TEXT = table(ROWS)
BODY = TEXT.partition("\n")[2]
COMMA = table([(str(a).replace(".", ","), b, y) for a, b, y in ROWS], "a;b;y", ";")


@pytest.mark.parametrize(
    ("content", "options", "note"),
    [
        (table([(i, *row) for i, row in enumerate(ROWS)], ",a,b,y"), {}, "left out as the rows' names"),
        (table([(i, *row) for i, row in enumerate(ROWS)], "Unnamed: 0,a,b,y"), {}, "left out as the rows' names"),
        (table([(f"row{i}", *row) for i, row in enumerate(ROWS)]), {}, "left out as the rows' names"),
        (table([(i + 1, *row) for i, row in enumerate(ROWS)]), {}, "left out as the rows' names"),
        (table([(*row, "") for row in ROWS], "a,b,y,"), {}, "column 3 has neither name nor values"),
        (table([(*row, "") for row in ROWS]), {}, "column 3 has neither name nor values"),
        ("# by hand\n\n# twice\n" + TEXT, {}, "2 comment lines above the header"),
        ("# a,b,y\n" + BODY, {}, "the header is a comment"),
        (table(ROWS[:9]) + "# restarted\n" + table(ROWS[9:]).partition("\n")[2], {}, "1 comment line left out"),
        (
            table(ROWS[:9]) + "//1,2,u\n" + table(ROWS[9:]).partition("\n")[2],
            {"comment": "//"},
            "1 comment line left out",
        ),
        (table([("[C]", "kg", "-"), *ROWS]), {"units": True}, "row of units left out: [C], kg, -"),
        (COMMA, {}, "numbers have a decimal comma"),
        (COMMA, {"separator": ";", "decimal": ","}, None),
        ("sep=;\n" + COMMA, {}, "numbers have a decimal comma"),
        (TEXT.replace(",", "|"), {}, "the separator is a pipe"),
        (TEXT.replace(",", "\t"), {}, "the separator is a tab"),
        (TEXT.replace(",", " "), {}, "the separator is a space"),
        (TEXT.replace("\n", "\r"), {}, None),
        (TEXT.replace("\n", "\r\n\r\n"), {}, None),
        ("\ufeff" + TEXT, {}, None),
        (TEXT.encode("utf-16"), {}, None),
        (TEXT.encode("utf-16-be"), {"encoding": "utf-16-be"}, None),
        (table(ROWS, "0,1,2"), {"header": True}, None),
        (BODY, {"header": False}, "no header"),
        (table([(y, a, b) for a, b, y in ROWS], "y,a,b"), {"label": 0}, None),
        (
            table([(7, *row, 7) for row in ROWS], "z,a,b,y,x"),
            {"label": "-2", "drop": ["z", 4]},
            "columns left out: z, x",
        ),
    ],
)
def test_every_dialect_gives_the_same_data(read, content, options, note):
    data = read(content, **options)
    assert data.x.tolist() == [[a, b] for a, b, _ in ROWS]
    assert [data.classes[code] for code in data.y] == [y for _, _, y in ROWS]
    assert note is None or any(note in line for line in data.notes)


@pytest.mark.parametrize("start", [0, 1])
def test_columns_that_pandas_has_counted_are_a_header(read, start):
    rows = "".join(f"{i}.5,{i},{i % 2}\n" for i in range(9))
    data = read(f"{start},{start + 1},y\n{rows}")
    assert (data.features, len(data)) == ((str(start), str(start + 1)), 9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table([(*row, row[0]) for row in ROWS], "a,b,y, a "), r"got 'a' more than once \(columns 0, 3.*drop = \[3\]"),
        (table([(a, b, b, y) for a, b, y in ROWS], "a,,b,y"), r"column 1 \(counted from 0\) has no name.*drop = \[1\]"),
        (BODY, r"first line looks like a row .*\(cell 1 is '0.0', a number\); set header = false"),
        ("0,1,ERR\n" + BODY, r"first line looks like a row .*\(cell 1 is '0', a number\); set header = false"),
        ("0,2,y\n" + "1,2,3\n" * 9, r"first line looks like a row .*\(cell 1 is '0', a number\); set header = false"),
        (table([("red", "big", "yes"), ("blue", "small", "no")] * 5, "red,big,yes"), "'red' occurs again.*set header"),
        (table([("[C]", "kg", "-"), *ROWS]), r"column 'a', row 1: '\[C\]' is not a number.*units = true"),
        (
            first([*range(9), "ERR"]),
            r"column 'a', row 10: 'ERR' is not a number, but 9 of 10.*missing_words = \['ERR'\]",
        ),
        (first([*range(9), "#1"]), r"row 10 begins with '#1'; set comment = '#' if .*, or text_columns = \['a'\]"),
        (first([f"{i}%" for i in range(9)]), r"row 1: '0%' has a unit.*text_columns = \['a'\]"),
        (first([f"1_{i}00" for i in range(9)]), r"'1_000' is not a number; set decimal or thousands"),
        (first([f'"1,{i}00"' for i in range(9)]), r"'1,000', which may be read in two ways; set thousands = ','"),
        (first([f"1.{i}00;{i},5" for i in range(9)], "a;c;b;y", ";"), r"'1.000', which may be .* set thousands = '\.'"),
        (first([f"{i}.25;{i},5" for i in range(9)], "a;c;b;y", ";"), "'0.25' in column 'a' and '0,5' in column 'c'"),
        (first(["2024-01-01"] * 5 + ["2024-13-01"]), r"column 'a', row 6: '2024-13-01' is not a date"),
        (
            first([f"0{i}/01/2024" for i in range(1, 9)]),
            "none shows whether the day or the month comes first; set day_f",
        ),
        (first(["13/01/2024", "01/13/2024"]), "'13/01/2024' and '01/13/2024'.*set day_first"),
        (first(["13/01/24", "14/01/24"]), "'13/01/24' has a year of two digits"),
        (TEXT + "1.5,2", "row 31 has 2 cells, but there are 3 columns"),
        (TEXT.encode("utf-16-le"), "set encoding, such as 'utf-16-le'"),
        (TEXT.replace("u", "é").encode("cp1252"), "line 2 has the byte 0xe9, which is not UTF-8; set encoding"),
        (TEXT.replace("4.5", "4\x00"), "line 5 has a NUL character"),
        (first(["1e999", 1, 2]), r"column 'a', row 1: 1e999 is infinite; set infinity"),
        (first(["1e50", 1, 2]), r"column 'a', row 1: 1e50 is beyond"),
        (first(["A/5", 100, 200, 300]), r"'A/5' is not a number, but 3 of 4 values are.*text_columns"),
    ],
)
def test_what_is_unclear_is_answered_with_the_option(read, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "options", "column"),
    [
        (first(["ERR", 1, 3]), {"missing_words": "ERR"}, [2, 1, 3]),
        (first([-999, 1, 3, "NA"]), {"missing_words": "-999"}, [2, 1, 3, 2]),
        (first(["inf", 1, 3]), {"infinity": "missing"}, [2, 1, 3]),
        (first(['"1,000"', '"1,001"']), {"thousands": ","}, [1000, 1001]),
        (first(['"1,000"', '"1,001"']), {"decimal": ","}, [1, 1.001]),
        (first(["1.000", "1.001"]), {"thousands": "."}, [1000, 1001]),
        (first(["1_000", "1_001"]), {"thousands": "_"}, [1000, 1001]),
        (first(["1 000 000", "12"]), {}, [1_000_000, 12]),
        (first(['"1,000,000.5"', '"2,000"']), {}, [1_000_000.5, 2000]),
        (first(["02/01/2024", "01/01/2024"]), {"day_first": True}, [86400, 0]),
        (first(["01/02/2024", "01/01/2024"]), {"day_first": False}, [86400, 0]),
        (first(["13.01.2024", "12.01.2024"]), {}, [86400, 0]),
        (first(["2 Jan 2024 10:00", "1 Jan 2024"]), {}, [86400 + 36000, 0]),
        (first(['"Jan 2, 2024"', '"Jan 1, 2024"']), {}, [86400, 0]),
        (first(["1/13/2024 1:00 PM", "1/13/2024 1:00 AM"]), {}, [43200, 0]),
        (first(["007", "008"]), {}, [7, 8]),
        (first(["1 kg", "5", "x"]), {"number_columns": "a", "missing_words": ["1 kg", "x"]}, [5, 5, 5]),
    ],
)
def test_options_settle_it(read, content, options, column):
    assert read(content, **options).x[:, 0].tolist() == column


def test_columns_are_text_where_the_option_says_so(read):
    data = read(first(["007", "7", "NA"]), text_columns="a")
    assert data.features == ("a=007", "a=7", "a=missing", "b")
    assert read(first(["3", *"abcdef"])).features[:2] == ("a=3", "a=a")
    part = "column 'a' is text, though 1 of its 7 values look like numbers; number_columns says"
    assert any(note.startswith(part) for note in read(first(["3", *"abcdef"])).notes)


def test_labels_are_not_altered(read):
    def classes(cells, **options):
        return read(table([(i, cell) for i, cell in enumerate(cells)], "a,y"), **options).classes

    assert classes(["007", "7", "8"]) == ("007", "7", "8")
    assert classes([2**60, 2**60 + 1, ""]) == (2**60, 2**60 + 1)
    assert classes(["+", "-", "+"]) == ("+", "-")
    assert classes(["0", "1", "unknown"]) == (0, 1)
    assert classes(["0", "1", "1"], text_columns="y") == ("0", "1")


def test_notes_name_what_may_not_be_meant(read):
    rows = [(i, f"n{i}", 5, y, y, 2**53 + i, f"00{i % 3}") for i, (_, _, y) in enumerate(ROWS)]
    notes = read(table(rows, "id,name,const,y.1,y,big,code"), label="y").notes
    for part in (
        "a different value in every row, like an identifier: 'id', 'name'",
        "the same value in every row: 'const'",
        "the label in other words: 'y.1'",
        "column 'big' has whole numbers beyond 2**53, which are rounded",
        "column 'code' has numbers that begin with 0",
    ):
        assert any(part in note for note in notes), (part, notes)
    assert (
        "the label has 30 classes in 30 rows"
        in read(table([(a, f"c{i}") for i, (a, _, _) in enumerate(ROWS)], "a,y")).notes[-1]
    )


def test_ordinal_sorts_numbers_as_numbers(read):
    cells = ["90", "9", "10.5", "x", "xx", "yy", "zz"]
    assert read(first(cells), text="ordinal").x[:, 0].tolist() == [2, 0, 1, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decimal": ",", "thousands": ","}, "decimal and thousands must differ, got ',' for both"),
        ({"decimal": ";"}, r"decimal must be one of '\.', ',', got ';'"),
        ({"thousands": "x"}, "thousands must be one of .*, got 'x'"),
        ({"separator": "ab"}, "separator must be one character .*, got 'ab'"),
        ({"encoding": "utf-9"}, "encoding must be one that Python knows, such as cp1252, got 'utf-9'"),
        ({"infinity": "zero"}, "infinity must be one of error, missing, got 'zero'"),
        ({"header": "yes"}, "header must be true or false, got 'yes'"),
        ({"text_columns": "a", "number_columns": "a"}, "column 'a' is in text_columns and in number_columns"),
        ({"text_columns": "a", "number_columns": 0}, "column 'a' is in text_columns and in number_columns"),
        ({"label": "a", "drop": "a"}, "column 'a' is the label and in drop"),
        ({"label": "a", "drop": 0}, "column 'a' is the label and in drop"),
        ({"absent": "zero"}, "absent does not apply to a .csv file"),
        ({"seperator": ";"}, r"unknown option 'seperator' \(did you mean 'separator'\?\)"),
    ],
)
def test_options_that_cannot_be_are_refused(read, options, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        read(TEXT, **options)


def test_options_that_do_not_apply_are_refused(read):
    for name, content in [("f.parquet", b"PAR1"), ("f.arff", b"@relation r")]:
        with pytest.raises(ConfigError, match=r"^separator does not apply to an? (Parquet|ARFF) file"):
            read(content, name, separator=";")
    with pytest.raises(ConfigError, match=r"^drop does not apply to the data set sea"):
        load("sea", drop="a")
    with pytest.raises(ConfigError, match=r"^header does not apply to a Python object"):
        load(pd.DataFrame({"a": [1, 2], "y": [0, 1]}), header=True)


def test_the_command_line_and_experiments_have_all_options():
    about = {
        name: (option.default, option.metadata["about"]) for name, option in ReadOptions.__dataclass_fields__.items()
    }
    assert {name: text for name, _, text in READING} == {name: text for name, (_, text) in about.items()}
    assert set(DataOptions().reading()) == set(OPTION_NAMES)
    assert {n: (f.default, f.description) for n, f in DataOptions.model_fields.items() if n in about} == about
    assert ReadOptions.of(**DataOptions().reading()) == ReadOptions()


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_compressed_files(read, ending):
    if ending == ".zst":
        name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
        zstd = pytest.importorskip(name)
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(ending) or zstd.compress
    expected = read(TEXT).fingerprint()
    assert read(pack(TEXT.encode()), f"f.csv{ending}").fingerprint() == expected
    assert read(pack(TEXT.replace(",", "\t").encode()), f"f.tsv{ending}").fingerprint() == expected
    arff = "@relation r\n@attribute a real\n@attribute b real\n@attribute y {u,v}\n@data\n" + BODY
    assert read(pack(arff.encode()), f"f.arff{ending}").fingerprint() == expected
    for broken in (b"junk", pack(TEXT.encode())[:-9]):
        with pytest.raises(DataError, match=f"^f.csv{ending}: (cannot be read|.* but there are 3 columns)"):
            read(broken, f"f.csv{ending}")


def test_the_package_for_zstandard_is_named_where_it_is_not_installed(read, monkeypatch):
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match=r"pip install backports\.zstd$"):
        read(b"x", "f.csv.zst")


NUMBERS = st.one_of(
    st.integers(-(2**53), 2**53),
    st.floats(-1e30, 1e30, allow_subnormal=False).map(lambda v: float(f"{v:.6g}")),
    st.decimals(-9999, 9999, places=2, allow_nan=False).map(float),
)
WORDS = st.text(
    st.characters(codec="cp1252", exclude_characters="\x00#\"'\r\n", exclude_categories=["Cc", "Zs", "Nd"]),
    min_size=3,
    max_size=6,
)


@st.composite
def dialects(draw):
    decimal = draw(st.sampled_from(".,"))
    return {
        "separator": draw(st.sampled_from(";\t|" if decimal == "," else ",;\t|")),
        "decimal": decimal,
        "thousands": draw(st.sampled_from([None, " ", "." if decimal == "," else "'"])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])),
        "header": draw(st.booleans()),
        "index": draw(st.booleans()),
        "quote": draw(st.booleans()),
        "comments": draw(st.booleans()),
        "pack": draw(st.sampled_from(["", ".gz", ".bz2", ".xz"])),
        "end": draw(st.sampled_from(["\n", "\r\n", "\r"])),
        "word": draw(st.sampled_from(["", "NA", "-", "n/a", "None", "nichts"])),
        "date": draw(st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%S"])),
    }


def written(value, d):
    text = repr(value) if isinstance(value, float) else str(value)
    if d["thousands"] and isinstance(value, int):
        text = f"{value:,}".replace(",", d["thousands"])
    return text.replace(".", d["decimal"]) if isinstance(value, float) else text


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dialects(), st.data())
def test_random_tables_come_back_equal_in_every_dialect(tmp_path, d, data):
    n = data.draw(st.integers(3, 12))
    numbers = data.draw(st.lists(NUMBERS, min_size=n, max_size=n))
    holes = data.draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(lambda h: 2 * sum(h) < n))
    texts = data.draw(
        st.lists(WORDS.filter(lambda w: w.casefold() not in ("nan", "inf", "unknown")), min_size=n, max_size=n)
    )
    days = data.draw(st.lists(st.integers(0, 20_000), min_size=n, max_size=n))
    stamps = [pd.Timestamp("1971-01-01") + pd.Timedelta(days=day) for day in days]
    rows = []
    for i in range(n):
        cells = [
            d["word"] if holes[i] else written(numbers[i], d),
            f"t{texts[i]}",
            stamps[i].strftime(d["date"]),
            "uv"[i % 2],
        ]
        rows.append([str(i)] * d["index"] + cells)
    head = [[""] * d["index"] + ["zahl", "wort", "tag", "ziel"]] * d["header"]
    quote = '"{}"'.format if d["quote"] else str
    lines = [
        d["separator"].join(quote(cell) if d["quote"] or d["separator"] not in cell else f'"{cell}"' for cell in row)
        for row in head + rows
    ]
    lines = ["# first", *lines[:2], "# between", *lines[2:]] if d["comments"] else lines
    raw = (d["end"].join(lines) + d["end"]).encode(d["encoding"])
    raw = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[d["pack"]](raw)
    path = tmp_path / f"f.csv{d['pack']}"
    path.write_bytes(raw)
    options = {
        "header": d["header"],
        "decimal": d["decimal"],
        "separator": d["separator"],
        "day_first": d["date"].startswith("%d"),
    }
    options |= {"thousands": d["thousands"]} if d["thousands"] else {}
    options |= {"encoding": "cp1252"} if d["encoding"] == "cp1252" else {}
    options |= {"missing_words": "nichts"} if d["word"] == "nichts" else {}
    names = ["zahl", "wort", "tag"] if d["header"] else [f"x{i + d['index']}" for i in range(3)]
    if not d["header"] and d["index"]:
        options["drop"] = 0
    found = read_file(path, text="one-hot", **options)
    kept = [value for value, hole in zip(numbers, holes, strict=True) if not hole]
    filled = [float(np.median(kept)) if hole else float(v) for v, hole in zip(numbers, holes, strict=True)]
    column = dict(zip(found.features, found.x.T.tolist(), strict=True))
    assert column[names[0]] == filled
    assert column[names[2]] == [(stamp - min(stamps)).total_seconds() for stamp in stamps]
    assert found.times[names[2]] == f"{min(stamps):%Y-%m-%d}T00:00:00+00:00"
    assert [i for i in range(n) if column.get(f"{names[1]}=t{texts[i]}", [math.nan] * n)[i] != 1] == []
    assert [found.classes[code] for code in found.y] == ["uv"[i % 2] for i in range(n)]
    # The live source reads the same rows as the same numbers.
    schema = Schema.of(found)
    if hasattr(schema, "times"):
        events = collect(CsvReplay(schema, path, read=ReadOptions(**options)))
        for x, event, hole in zip(found.x, events, holes, strict=True):
            np.testing.assert_array_equal(x[int(hole) :], event.x[int(hole) :])


def test_data_info_is_a_schema_for_the_same_rows(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text(COMMA.replace("a;b;y", "a;tag;y").replace("\n1,5;1;", "\n-;1;"))
    flags = ["data", "info", str(path), "--json", "--label", "-1", "--missing-words", "x", "--text-columns", "tag"]
    done = CliRunner().invoke(main, flags, catch_exceptions=False)
    info = json.loads(done.output)
    assert (info["times"], info["absent_zero"], done.exit_code) == ({}, [], 0)
    assert "words read as missing: '-' (1 cell)" in info["notes"]
    (tmp_path / "schema.json").write_text(done.output)
    source = CsvReplay(Schema.read(tmp_path / "schema.json"), path)
    data, events = read_file(path, text_columns="tag"), collect(source)
    assert (len(events), source.refusals) == (len(data), {})
    np.testing.assert_array_equal(data.x[2:], [event.x for event in events[2:]])
    assert np.isnan(events[1].x[0])
    dated = tmp_path / "d.csv"
    dated.write_text(first(["13.01.2024", "14.01.2024 12:00"]))
    done = CliRunner().invoke(main, ["data", "info", str(dated), "--json"], catch_exceptions=False)
    assert json.loads(done.output)["times"] == {"a": {"origin": "2024-01-13T00:00:00+00:00"}}


def test_the_replay_takes_the_options_of_files(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("# note\n" + table([(i, *row, "") for i, row in enumerate(ROWS)], "id|a|b|y|empty", "|"))
    options = ReadOptions(drop=["id", -1], label="y")
    data = read_file(path, options)
    source = CsvReplay(Schema.of(data), path, read=options)
    np.testing.assert_array_equal(data.x, [event.x for event in collect(source)])
    with pytest.raises(
        DataError, match=r"no feature 'id' .*label = 'id' makes it the label, read = . drop = .'id'. . leaves"
    ):
        CsvReplay(Schema.of(data), path, label="y")
    with pytest.raises(ConfigError, match="missing does not apply to a CSV replay"):
        CsvReplay(Schema.of(data), path, read=ReadOptions(missing="drop"))


COMMA_LABELS = {
    "a;y\n1;0,5\n2;0,7\n3;0,5\n": "may be a number; decimal = ',' says that it is",
    "a;y\n1;0,5\n2;-\n3;0,5\n": "may be a number; decimal = ',' says that it is",
    "a;y\n1;3\n2;0,7\n3;4\n": "may be a number; decimal = ',' says that it is",
    "a;y\n1,5;0,5\n2,5;-\n3,5;0,5\n": "looks like regression: it holds 0.5",
    "a,y\n1.5,0.5\n2.5,-\n3.5,0.5\n": "looks like regression: it holds 0.5",
}


@pytest.mark.parametrize("text", COMMA_LABELS)
def test_labels_with_a_decimal_comma_are_never_text_in_silence(tmp_path, text):
    path = tmp_path / "f.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=COMMA_LABELS[text]):
        read_file(path)
    assert all(isinstance(label, str) for label in read_file(path, text_columns="y").classes)
    if "says that it is" in COMMA_LABELS[text]:
        with pytest.raises(DataError, match="looks like regression: it holds 0"):
            read_file(path, decimal=",")


def test_labels_that_are_no_numbers_stay_texts(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("a;y\n1;1,2\n2;a,b\n3;1,3\n4;2\n")
    assert ("1,2", "1,3", "2", "a,b") == read_file(path).classes


def spelt(value: float, way: int, decimal: str, thousands: str) -> str:
    """A number as files of this kind write it, one way of several."""
    text = (f"{value:.1f}", f"{value:.2f}", f"{value:,.1f}" if thousands else f"{value:.3f}")[way % 3]
    return text.translate({ord("."): decimal, ord(","): thousands})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    way=st.sampled_from([(".", ""), (".", ","), (",", ""), (",", ".")]),
    spelling=st.integers(0, 2),
    sentinel=st.sampled_from([-999.0, 9999.0, -999.9, 0.5]),
    plain=st.booleans(),
    ending=st.sampled_from([".csv", ".arff"]),
)
def test_a_number_that_means_missing_does_so_in_every_spelling(tmp_path, way, spelling, sentinel, plain, ending):
    """In a data set and in a node's replay of the same file, however file and option write it."""
    decimal, thousands = way if ending == ".csv" else (".", "")
    options = {"decimal": decimal, **({"thousands": thousands} if thousands else {})} if ending == ".csv" else {}
    word = repr(sentinel) if plain else spelt(sentinel, spelling, decimal, thousands)
    numbers = [1.5, sentinel, 1234.5, sentinel, sentinel, 2.5]
    rows = [(spelt(n, i, decimal, thousands), "uv"[i % 2]) for i, n in enumerate(numbers)]
    path = tmp_path / f"f{ending}"
    head = "a;y\n" if ending == ".csv" else "@relation r\n@attribute a numeric\n@attribute y {u,v}\n@data\n"
    path.write_text(head + "".join(f"{a}{';' if ending == '.csv' else ','}{y}\n" for a, y in rows))
    chosen = ReadOptions(missing_words=word, **options)
    data = read_file(path, chosen)
    assert data.x.ravel().tolist() == [1.5, 2.5, 1234.5, 2.5, 2.5, 2.5]
    if ending == ".csv":
        events = collect(CsvReplay(Schema.of(data), path, read=chosen))
        assert [n for event in events for n in event.x.tolist() if not math.isnan(n)] == [1.5, 1234.5, 2.5]


def test_units_and_times_of_other_forms_are_named(read):
    for cells, part in (
        ([f"3.{i}V" for i in range(9)], "look like numbers with the unit 'V', such as '3.0V'"),
        ([f"{i}.5 km/h" for i in range(9)], "look like numbers with the unit 'km/h'"),
        ([f"{i},00,000" for i in range(1, 9)], "look like numbers, such as '1,00,000'"),
        ([f"20240101T0{i}0000Z" for i in range(9)], "look like times, such as '20240101T000000Z'"),
        ([f"2024-01-01 0{i}:00:00[Europe/Berlin]" for i in range(9)], "look like times"),
    ):
        notes = read(first(cells, sep=";", head="a;b;y")).notes
        assert any(part in note for note in notes), notes
    # Codes whose letters differ, or that are all the same, are no numbers.
    for cells in (["3A", "3B", "4A"] * 3, ["4WD"] * 9, ["abc", "d1", "e"] * 3):
        assert not any("look like" in note for note in read(first(cells)).notes)
    with pytest.raises(DataError, match=r"300 different values.* look like numbers with the unit 'Hz'.* without units"):
        read(first([f"{i}Hz" for i in range(300)]))
    with pytest.raises(DataError, match=r"'a' is text, though 120 of its 300 values look like numbers; number_columns"):
        read(first([i if i % 5 < 2 else f"ERR{i}" for i in range(300)]))


def test_a_minus_sign_of_typesetting_and_a_zone_of_hours_are_read(read):
    assert read(first(["\u22125", "3", "\u22121.5"])).x[:, 0].tolist() == [-5.0, 3.0, -1.5]
    dates = read(first(["2024-01-01 12:00:00+00", "2024-01-01 12:00:00+01", "2024-01-02 12:00:00+00"]))
    assert dates.x[:, 0].tolist() == [3600.0, 0.0, 90000.0]


@pytest.mark.parametrize("hole", [3, 7])
def test_a_missing_cell_hides_no_remark(read, hole):
    rows = [(1000 + i, i % 2 * 5, f"0{i % 9 + 10}", 2**53 + 1 + i, "ab"[i % 2]) for i in range(40)]
    rows[hole] = ("", "n/a", "", "", rows[hole][-1])
    notes = read(table(rows, "id,same,code,big,y")).notes
    for part in (
        "like an identifier: 'id'",
        "the label in other words: 'same'",
        "column 'big' has whole numbers beyond 2**53",
        "column 'code' has numbers that begin with 0",
        "words read as missing: 'n/a' (1 cell)",
    ):
        assert any(part in note for note in notes), (part, notes)


def test_whole_numbers_that_are_no_floats_are_named_wherever_they_come_from(read):
    for text in (table([(2**64 - 1, "u"), (-3, "v")], "a,y"), table([(2**53, "u"), (2**53 + 1, "v")], "a,y")):
        assert any("beyond 2**53" in note for note in read(text).notes)
    arff = "@relation r\n@attribute a numeric\n@attribute y {u,v}\n@data\n9007199254740993,u\n1,v\n"
    assert any("beyond 2**53" in note for note in read(arff, name="f.arff").notes)
    assert not any("beyond 2**53" in note for note in read(table([(2**53, "u"), (1e30, "v")], "a,y")).notes)


SWALLOWED = 'v,name,y\n1,p1,a\n2,"p2,b\n3,p3,a\n4,p4,b\n5,p5",a\n6,p6,b\n7,p2,a\n'


def test_a_stray_quote_swallows_no_rows(read, tmp_path):
    with pytest.raises(DataError, match="row 2 has a text in quotes with line breaks, which would be 4 rows without"):
        read(SWALLOWED)
    path = tmp_path / "f.csv"
    source = CsvReplay(Schema(("v", "name=p1", "name=p6", "name=p2"), ("a", "b")), path)
    assert ([event.x[0] for event in collect(source)], dict(source.refusals)) == ([1.0, 6.0, 7.0], {"row": 1})
    with pytest.raises(DataError, match="cannot be read: field larger than field limit"):
        read('v,name,y\n1,"' + "long\n" * 50_000 + '",a\n2,p,b\n')
    notes = read('v,name,y\n1,p1,a\n2,"a note\nof two, lines",b\n3,p6,b\n').notes
    assert "1 row has a text with line breaks, the first in row 2" in notes


def test_encodings_that_do_not_fit_are_one_line(read, tmp_path):
    text = table(ROWS)
    path = tmp_path / "f.csv"
    for encoding in ("utf-16", "utf-16-le"):
        assert read(text.encode("utf-16-le"), encoding=encoding).x.shape == (30, 2)
        assert len(
            collect(CsvReplay(Schema.of(load(path, encoding=encoding)), path, read=ReadOptions(encoding=encoding)))
        )
    schema = Schema.of(read(text))
    for encoding in ("utf-16", "utf-32", "punycode", "idna", "utf-7"):
        with pytest.raises(DataError):
            read(text.replace("a,b", "\u00e4.,b"), encoding=encoding)
        with pytest.raises(DataError):
            CsvReplay(schema, path, read=ReadOptions(encoding=encoding))
    for encoding in ("rot13", "base64", "no-such"):
        with pytest.raises(ConfigError, match="encoding must be one that Python knows"):
            ReadOptions(encoding=encoding)
    pd.DataFrame({"a": [1], "y": ["u"]}).to_parquet(tmp_path / "f.parquet")
    packed = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    packed[".parquet"] = lambda data: (tmp_path / "f.parquet").read_bytes()
    for ending, pack in packed.items():
        with pytest.raises(DataError, match=rf"this is no text but a packed file; its name should end in \{ending}$"):
            read(pack(text.encode()))
    assert read(table(ROWS, "BZh,PAR1,y")).features == ("BZh", "PAR1")


def test_texts_of_a_parquet_file_have_the_notes_of_a_text_file(tmp_path):
    frame = pd.DataFrame({"a": ["1,5", "2,5", "3,25"], "b": ["1.000.000", "2.000", "3.000"], "y": list("uvu")})
    frame.to_parquet(tmp_path / "f.parquet")
    notes = read_file(tmp_path / "f.parquet").notes
    assert {"numbers have a decimal comma", "numbers have the separator of thousands '.'"} <= set(notes)


def test_a_replay_takes_no_option_that_it_does_not_use(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text(table(ROWS))
    schema = Schema.of(read_file(path))
    with pytest.raises(DataError, match="no column 'H' to use as a column to drop"):
        CsvReplay(schema, path, read=ReadOptions(drop="H"))
    for name in ("text_columns", "number_columns"):
        with pytest.raises(ConfigError, match=f"{name} does not apply to a CSV replay"):
            CsvReplay(schema, path, read=ReadOptions(**{name: "a"}))


@pytest.mark.parametrize("name", ["label", "drop", "text_columns", "number_columns"])
def test_true_is_no_column(name):
    with pytest.raises(ConfigError, match=f"{name} takes the name or the place of a column, got true"):
        ReadOptions(**{name: True})
    for value in (True, [True]) if name != "label" else (True,):
        with pytest.raises(ValueError, match=f"{name} must be a text or a number, got true"):
            DataOptions(**{name: value})
    assert DataOptions(missing_words=[-999, "x"]).missing_words == (-999, "x")
    assert ReadOptions(missing_words=[-999, "x"]).missing_words == ("-999", "x")
