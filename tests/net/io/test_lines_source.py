"""JSON lines from files, FIFOs and standard input."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import ConfigError, DataError
from protovine.net import JsonLines
from protovine.net.io.file_input import FileInput
from protovine.net.io.lines_source import _Lines
from protovine.net.io.parser import MESSAGE_BYTES_MAX
from tests.net.io.events import SCHEMA, collect

# -- Lines and objects. ------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=12)), st.lists(st.integers(1, 7)))
def test_lines_are_the_same_however_they_are_cut(parts, sizes):
    data = b"\n".join(parts) + b"\n"
    lines, found, at = _Lines(8), [], 0
    for size in [*sizes, len(data)]:
        found += lines.split(data[at : at + size])
        at += size
    # A line that is too long is cut after one byte too many, so that it differs from one that is not.
    assert [line[:9] for line in data.split(b"\n")[:-1]] == found


# -- Queues. -----------------------------------------------------------------------------------------------------------


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


def test_waiting_for_lines_does_not_block_the_loop(tmp_path):
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


def follow(path, steps):
    """Lines and values of the events of a followed file, which ``steps`` changes once the last event is there."""
    source = JsonLines(SCHEMA, path, follow=True)

    async def run():
        found, steps_left = [], list(steps)
        async with asyncio.timeout(60), contextlib.aclosing(source.events()) as events:
            while steps_left:
                event = await anext(events)
                found.append((event.place.line, event.x[0]))
                while steps_left and len(found) == steps_left[0][0]:
                    for change in steps_left.pop(0)[1:]:
                        change()
        return found

    return asyncio.run(run()), source


def line(wind):
    return f'{{"x": {{"wind": {wind}}}}}\n'


def append(path, *winds):
    with path.open("a") as file:
        file.write("".join(map(line, winds)))


def test_a_rotated_file_is_read_to_its_end_and_then_the_new_one_from_its_start(tmp_path, caplog):
    caplog.set_level("INFO", "protovine")
    path, old = tmp_path / "live.jsonl", tmp_path / "live.jsonl.1"
    append(path, 1, 2)

    def rotate():
        path.rename(old)
        append(old, 3)  # By a writer that had it open.
        with old.open("a") as file:
            file.write(line(4)[:-1])
        append(path, 5)

    found, source = follow(path, [(2, rotate), (5, lambda: append(path, 6)), (6,)])
    assert [(1, 1), (2, 2), (3, 3), (4, 4), (1, 5), (2, 6)] == found
    assert {} == source.refusals
    assert [f"{path} is another file now: it is read from its start"] == [
        record.getMessage() for record in caplog.records if record.name == "protovine"
    ]


def test_a_truncated_file_is_read_from_its_start(tmp_path, caplog):
    path = tmp_path / "live.jsonl"
    append(path, 1, 2)
    found, _ = follow(path, [(2, lambda: path.write_text(line(3))), (3, lambda: append(path, 4)), (4,)])
    assert [(1, 1), (2, 2), (1, 3), (2, 4)] == found
    assert [f"{path} was truncated: it is read from its start"] == [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("fifo", [False, True])
def test_a_source_whose_file_is_gone_is_not_connected_until_it_is_there_again(tmp_path, caplog, fifo):
    path, folder = tmp_path / "live.jsonl", tmp_path / "folder"
    os.mkfifo(path) if fifo else path.touch()
    said = []

    async def change(source):
        async def until(text):
            while text not in source.missing or source.connected == bool(text):
                await asyncio.sleep(0.01)
            said.append(source.missing)

        path.unlink()
        await until("renamed or deleted")
        path.mkdir()
        await until("folder")
        path.rename(folder)
        if fifo:
            os.mkfifo(path)
            await until_open(path, line(2))
        else:
            append(path, 2)
        while source.missing:
            await asyncio.sleep(0.01)

    async def until_open(path, text):
        """Write once the reader is there."""
        while True:
            try:
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            os.write(fd, text.encode())
            os.close(fd)
            return

    async def run():
        source = JsonLines(SCHEMA, path, follow=True)
        async with asyncio.timeout(60), contextlib.aclosing(source.events()) as events:
            waiting = asyncio.ensure_future(anext(events))
            while not source.connected:
                await asyncio.sleep(0.01)
            changing = asyncio.ensure_future(change(source))
            event = await waiting
            await changing
            return event, source.connected

    event, connected = asyncio.run(run())
    assert (1, 2.0, True) == (event.place.line, event.x[0], connected)
    assert [f"{path}: renamed or deleted", f"{path}: a folder has its name"] == said
    assert 1 == sum("cannot be followed (renamed or deleted)" in record.getMessage() for record in caplog.records)


def test_a_fifo_without_a_writer_has_no_lines(tmp_path, monkeypatch):
    path = tmp_path / "live"
    os.mkfifo(path)
    looks = threading.Semaphore(0)
    look = FileInput._look
    monkeypatch.setattr(FileInput, "_look", lambda self, fd: looks.release() or look(self, fd))

    def write():
        for wind in (1, 2):
            path.write_text(line(wind))
            for _ in range(5):  # Nobody writes while it is read some times.
                looks.acquire()

    threading.Thread(target=write, daemon=True).start()
    found = collect(JsonLines(SCHEMA, path, follow=True), 2)
    assert [(1, 1.0), (2, 2.0)] == [(event.place.line, event.x[0]) for event in found]


def test_a_new_fifo_is_read_although_a_silent_writer_keeps_the_old_one_open(tmp_path):
    path, old = tmp_path / "live", tmp_path / "old"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)

    def replace():
        path.rename(old)
        os.mkfifo(path)
        threading.Thread(target=lambda: path.write_text(line(2)), daemon=True).start()

    os.write(writer, line(1).encode())
    found, _ = follow(path, [(1, replace), (2,)])
    os.close(writer)
    assert [(1, 1), (1, 2)] == found


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


# -- Settings of the others. -------------------------------------------------------------------------------------------
