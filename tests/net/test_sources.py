import asyncio
import contextlib
import gzip
import json
import math
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import ConfigError, DataError
from protovine.net import CsvReplay, JsonLines, Mqtt, Schema, ZenohKeys
from protovine.net.io.queues import DropOldest
from protovine.net.io.sources import MESSAGE_BYTES_MAX, Parser, _Lines, to_ns
from protovine.stream import read_file

SCHEMA = Schema(("wind", "sky=clear", "sky=grey"), ("dry", "wet"))


def plain(event):
    """An event as a tuple that can be compared."""
    return (None if event.x is None else event.x.tolist(), event.y, event.id, event.time_ns)


def collect(source, count=None, timeout_s=20.0):
    """The first ``count`` events of a source, or all of them."""

    async def run():
        events = []
        async with asyncio.timeout(timeout_s), contextlib.aclosing(source.events()) as stream:
            async for event in stream:
                events.append(event)
                if len(events) == count:
                    break
        return events

    return asyncio.run(run())


# -- Lines and objects. ------------------------------------------------------------------------------------------------


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
def test_a_bad_line_is_counted_and_told_once_by_reason(line, reason, text):
    told = []
    parser = Parser(SCHEMA, lambda *why: told.append(why))
    assert (None, None) == (parser.event(line), parser.event(line))
    assert (0, {reason: 2}) == (parser.taken, parser.refusals)
    assert [reason] == [why for why, _ in told]
    assert text in told[0][1] and told[0][1].isprintable() and len(told[0][1]) <= 300


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


@given(st.lists(st.binary(max_size=12)), st.lists(st.integers(1, 7)))
def test_lines_are_the_same_however_they_are_cut(parts, sizes):
    data = b"\n".join(parts) + b"\n"
    lines, found, at = _Lines(8), [], 0
    for size in [*sizes, len(data)]:
        found += lines.split(data[at : at + size])
        at += size
    # A line that is too long is cut after one byte too many, so that it can be told from one that is not.
    assert [line[:9] for line in data.split(b"\n")[:-1]] == found


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


# -- Queues. -----------------------------------------------------------------------------------------------------------


def test_a_queue_takes_from_threads_in_order_and_drops_the_oldest():
    async def run():
        queue = DropOldest(1000)
        writer = threading.Thread(target=lambda: [queue.put(b"%d" % n) for n in range(500)])
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)  # It waits before anything is there.
        writer.start()
        got = [await waiting] + [await queue.get() for _ in range(499)]
        writer.join()
        assert [b"%d" % n for n in range(500)] == got
        for n in range(1003):
            queue.put(b"%d" % n)
        assert (1000, 3, b"3") == (len(queue), queue.dropped, await queue.get())

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_queue_bounds_bytes_too():
    queue = DropOldest(1000)
    for _ in range(70):
        queue.put(bytes(1 << 20))
    assert (64, 6) == (len(queue), queue.dropped)
    with pytest.raises(ConfigError, match=r"^queue must be between 1 and 1e\+06, got 0$"):
        DropOldest(0)


# -- JSON lines. -------------------------------------------------------------------------------------------------------


def test_a_file_is_read_to_its_end(tmp_path):
    path = tmp_path / "live.jsonl"
    lines = [json.dumps({"x": {"wind": n}, "id": n}) for n in range(5000)]
    lines[17] = "?"
    path.write_text("\n\n".join(lines))  # The last line has no end.
    source = JsonLines(SCHEMA, path)
    assert [n for n in range(5000) if n != 17] == [event.id for event in collect(source)]
    assert (4999, {"json": 1}, 0) == (source.taken, source.refusals, source.dropped)


def test_a_line_beyond_the_limit_is_skipped_without_being_kept(tmp_path):
    path = tmp_path / "live.jsonl"
    path.write_bytes(
        b'{"x": {"wind": 1}}\n' + b" " * (3 * MESSAGE_BYTES_MAX) + b'{"x": {"wind": 2}}\n{"x": {"wind": 3}}'
    )
    source = JsonLines(SCHEMA, path)
    assert [1.0, 3.0] == [event.x[0] for event in collect(source)]
    assert {"size": 1} == source.refusals


def test_a_followed_file_goes_on_where_it_was_left_even_within_a_line(tmp_path):
    path = tmp_path / "live.jsonl"
    path.write_text('{"x": {"wind": 1}}\n{"x": {"wi')

    async def run():
        found = []
        async with asyncio.timeout(20), contextlib.aclosing(JsonLines(SCHEMA, path, follow=True).events()) as stream:
            async for event in stream:
                found.append(event.x[0])
                if len(found) == 1:
                    await asyncio.sleep(0.3)
                    with path.open("a") as file:
                        file.write('nd": 2}}\n')
                else:
                    return found
        return None

    assert [1.0, 2.0] == asyncio.run(run())


@pytest.mark.parametrize("follow", [True, False])
def test_writers_of_a_fifo_come_and_go(tmp_path, follow):
    path = tmp_path / "live"
    os.mkfifo(path)

    def write():
        for n in range(3):
            time.sleep(0.2)
            # The first writer comes after the reader, leaves in the middle of a line, and others come.
            with contextlib.suppress(BrokenPipeError), path.open("w") as fifo:
                fifo.write(f'{{"x": {{"wind": {n}}}}}\n')
                fifo.flush()
                time.sleep(0.1)
                fifo.write(f'{{"x": {{"wind": {n + 10}}}}}' + ("\n" if n else ""))
                fifo.flush()
            if not follow:
                return

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    source = JsonLines(SCHEMA, path, follow=follow)
    expected = [0, 10, 1, 11, 2, 12] if follow else [0, 10]
    assert expected == [event.x[0] for event in collect(source, len(expected) if follow else None)]
    writer.join(10)
    assert {} == source.refusals


def test_waiting_for_lines_keeps_nobody_waiting(tmp_path):
    path = tmp_path / "live"
    os.mkfifo(path)

    async def run():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), contextlib.aclosing(JsonLines(SCHEMA, path, follow=True).events()) as s:
                await anext(s)
        ticking.cancel()
        return ticks

    assert 10 < asyncio.run(run())


READER = """
import asyncio, sys
from protovine.net import JsonLines, Schema
async def main():
    source = JsonLines(Schema(("wind",), (0, 1)), refused=lambda *why: print("refused", *why))
    async for event in source.events():
        print(event.x[0], event.y, flush=True)
    print(dict(source.refusals))
asyncio.run(main())
"""


def test_standard_input_may_be_a_pipe_a_file_or_nothing(tmp_path):
    command = [sys.executable, "-c", READER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        # Line by line: each comes out before the next goes in.
        for n in range(3):
            reader.stdin.write(f'{{"x": {{"wind": {n}}}, "y": {n % 2}}}\n')
            reader.stdin.flush()
            assert f"{float(n)} {n % 2}\n" == reader.stdout.readline()
        out, _ = reader.communicate("oops\n", timeout=20)
    assert out.startswith("refused json ") and out.endswith("{'json': 1}\n")
    path = tmp_path / "live.jsonl"
    path.write_text('{"x": {"wind": 1}, "y": 1}')
    with path.open() as file:
        done = subprocess.run(command, stdin=file, capture_output=True, text=True, timeout=20, check=True)
    assert "1.0 1\n{}\n" == done.stdout
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=True)
    assert "{}\n" == done.stdout


def test_lines_from_nowhere_are_refused_at_once(tmp_path):
    for settings, message in [
        ({"path": tmp_path / "nothing"}, "^path: no such file: .*nothing$"),
        ({"path": tmp_path}, "^path must be a file or a FIFO, got a folder: "),
        ({"follow": True}, "^follow needs a path"),
    ]:
        with pytest.raises(ConfigError, match=message):
            JsonLines(SCHEMA, **settings)
    path = tmp_path / "gone"
    path.touch()
    source = JsonLines(SCHEMA, path)
    path.unlink()
    with pytest.raises(DataError, match="gone: cannot be read: No such file"):
        collect(source)


# -- CSV. --------------------------------------------------------------------------------------------------------------

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
        ("wind,wnd,rain\n", {}, DataError, "^w.csv: the schema has no feature 'wnd'$"),
        ("wind,wind,rain\n", {}, DataError, "^w.csv: column names must differ, got 'wind' more than once$"),
        ("", {}, DataError, "^w.csv: a header with a label column and at least one feature is needed"),
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


# -- Settings of the others. -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": ""}, "^host must be a host's name or address, got ''$"),
        ({"topics": "a"}, "^topics must be a list of at least one topic, got 'a'$"),
        ({"topics": []}, "^topics must be a list of at least one topic"),
        ({"topics": ["a#"]}, r"^in a topic \+ stands for a level and # for the last ones, got 'a#'$"),
        ({"topics": ["#/a"]}, r"^in a topic \+ stands for a level"),
        ({"topics": ["a/+b"]}, r"^in a topic \+ stands for a level"),
        ({"topics": [""]}, "^a topic must be a text of 1 to 65535 bytes"),
        ({"port": 0}, "^port must be between 1 and 65535, got 0$"),
        ({"qos": 3}, r"^qos must be 0 \(at most once\), 1 \(at least once\) or 2 \(exactly once\), got 3$"),
        ({"queue": 0}, "^queue must be between 1 and "),
        ({"username_env": "NO_SUCH"}, "^username_env names the environment variable 'NO_SUCH', which is not set$"),
        ({"password_env": "NO_SUCH"}, "^password_env needs username_env$"),
        ({"ca_file": "nothing.pem"}, "^ca_file: no such file: nothing.pem$"),
        ({"key_file": "nothing.pem"}, "^certificate_file and key_file go together$"),
        ({"client_id": ""}, "^client_id must be a text of 1 to 65535 bytes"),
        ({"retry_s_min": 5.0, "retry_s_max": 1.0}, "^retry_s_max must be between 5 and 3600, got 1.0$"),
    ],
)
def test_settings_of_a_broker_out_of_range_are_refused(settings, message):
    pytest.importorskip("aiomqtt")
    with pytest.raises(ConfigError, match=message):
        Mqtt(SCHEMA, **{"host": "localhost", "topics": ["a/+/b", "#", "c/#"], **settings})


def test_files_that_are_no_certificates_are_refused(tmp_path):
    pytest.importorskip("aiomqtt")
    path = tmp_path / "a.pem"
    path.write_text("nothing")
    with pytest.raises(ConfigError, match=r"^ca_file: .* holds no certificates in PEM"):
        Mqtt(SCHEMA, "localhost", ["a"], ca_file=path)
    with pytest.raises(ConfigError, match=r"^certificate_file and key_file: .* are not a certificate and its key"):
        Mqtt(SCHEMA, "localhost", ["a"], certificate_file=path, key_file=path)
    assert 8883 == Mqtt(SCHEMA, "localhost", ["a"], tls=True).broker.port


def test_a_key_that_is_none_is_refused():
    pytest.importorskip("zenoh")
    for key in ("", "/a", "a//b", "a/#"):
        with pytest.raises(ConfigError, match=r"^key must be a Zenoh key expression, such as farm/\*/weather, got"):
            ZenohKeys(SCHEMA, None, key)
