"""JSON lines to files, FIFOs and standard output; what an output is."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from protovine.errors import ConfigError
from protovine.learn.base import Prediction
from protovine.net import JsonLinesSink, MqttSink, Output, Schema

SCHEMA = Schema(("wind",), ("dry", "wet"))


def output(number: int) -> Output:
    return Output(number, 1.5, "wet", {"dry": 0.25, "wet": 0.75}, 31, "barn")


def test_an_output_says_what_the_node_predicts():
    said = Output.of(
        SCHEMA,
        Prediction(1, np.array([0.25, 0.75])),
        id="a",
        time_ns=1_700_000_000_500_000_000,
        prototypes=31,
        node="barn",
    )
    assert said == Output("a", 1_700_000_000.5, "wet", {"dry": 0.25, "wet": 0.75}, 31, "barn")
    nothing = Output.of(SCHEMA, Prediction(-1, np.zeros(2)), id=None, time_ns=0, prototypes=0, node="barn")
    assert nothing == Output(None, 0.0, None, {}, 0, "barn")


def test_lines_are_appended_to_a_file_each_as_it_comes(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text('{"before": 1}\n')

    async def run():
        sink = JsonLinesSink(path)
        await sink.put(output(0))
        async with asyncio.timeout(10):
            while path.read_text().count("\n") < 2:
                await asyncio.sleep(0.005)
        for number in range(1, 500):
            await sink.put(output(number))
        await sink.close()
        assert (0, True) == (sink.dropped, sink.closed)

    asyncio.run(run())
    before, *lines = path.read_text().splitlines()
    assert '{"before": 1}' == before
    assert list(range(500)) == [json.loads(line)["id"] for line in lines]
    assert {
        "id": 7,
        "time": 1.5,
        "prediction": "wet",
        "probabilities": {"dry": 0.25, "wet": 0.75},
        "prototypes": 31,
        "node": "barn",
    } == json.loads(lines[7])


@pytest.mark.parametrize(
    "rotate", [lambda path: path.rename(path.with_suffix(".1")), Path.unlink], ids=["moved", "gone"]
)
def test_a_file_that_lost_its_name_gets_nothing_more(tmp_path, rotate):
    path = tmp_path / "out.jsonl"

    async def run():
        sink = JsonLinesSink(path)
        for number in range(2):
            await sink.put(output(number))
            async with asyncio.timeout(10):
                while not path.exists() or not path.read_text().endswith("\n"):
                    await asyncio.sleep(0.005)
            if not number:
                rotate(path)
        await sink.close()
        assert 0 == sink.dropped

    asyncio.run(run())
    ids = {each.name: json.loads(each.read_text())["id"] for each in tmp_path.iterdir()}
    assert 1 == ids.pop("out.jsonl")
    assert ids in ({"out.1": 0}, {})


def test_the_node_does_not_wait_for_a_reader_that_does_not_read(tmp_path):
    path = tmp_path / "out"
    os.mkfifo(path)
    # Open both ways, so that there is a reader, which reads nothing for now.
    reader = os.open(path, os.O_RDWR)
    before_s = time.monotonic()

    async def run():
        sink = JsonLinesSink(path, queue=10)
        for number in range(5000):
            await sink.put(output(number))
            if number % 100 == 0:
                await asyncio.sleep(0.001)
        waited_s = time.monotonic() - before_s
        await sink.close()
        return sink.dropped, waited_s

    dropped, waited_s = asyncio.run(asyncio.wait_for(run(), 20))
    assert waited_s < 5
    written = os.read(reader, 1 << 20).count(b"\n")
    os.close(reader)
    # The pipe holds 64 KiB; a line of which it took a part counts as dropped.
    assert 100 < written < 1000
    assert 5000 == dropped + written


def test_a_fifo_is_written_when_its_reader_comes(tmp_path):
    path = tmp_path / "out"
    os.mkfifo(path)
    found = []
    reader = threading.Thread(
        target=lambda: (time.sleep(0.3), found.extend(path.read_text().splitlines())), daemon=True
    )
    reader.start()

    async def run():
        sink = JsonLinesSink(path)
        await sink.put(output(1))
        await sink.put(output(2))
        await sink.close()

    asyncio.run(asyncio.wait_for(run(), 20))
    reader.join(10)
    assert [1, 2] == [json.loads(line)["id"] for line in found]


WRITER = """
import asyncio, sys
from protovine.net import JsonLinesSink, Output
async def main():
    reported = []
    sink = JsonLinesSink(failed=lambda *why: reported.append(why))
    for number in range(100_000):
        await sink.put(Output(number, 1.5, "wet", {"dry": 0.25, "wet": 0.75}, 31, "barn"))
        await asyncio.sleep(0.001)
        if reported:
            break
    await sink.put(Output(1, 1.5, "wet", {}, 31, "barn"))
    await sink.close()
    print(reported, sink.closed, sink.dropped > 0, file=sys.stderr)
print("before")
asyncio.run(main())
"""


def test_standard_output_that_is_closed_ends_the_sink_and_nothing_else():
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as writer:
        assert "before\n" == writer.stdout.readline()
        assert 0 == json.loads(writer.stdout.readline())["id"]
        writer.stdout.close()
        error = writer.stderr.read()
        assert 0 == writer.wait(20)
    assert "[('closed', 'standard output: cannot be written any more: Broken pipe')] True True\n" == error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_ends_the_sink():
    reported = []

    async def run():
        sink = JsonLinesSink("/dev/full", failed=lambda *why: reported.append(why))
        await sink.put(output(1))
        await sink.close()
        await sink.put(output(2))
        return sink.dropped

    dropped = asyncio.run(asyncio.wait_for(run(), 20))
    assert [("closed", "/dev/full: cannot be written any more: No space left on device")] == reported
    assert 2 == dropped


FULL = """
import asyncio, json, resource, sys
from protovine.net import JsonLinesSink, Output
async def main():
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (550, hard))
    reported = []
    sink = JsonLinesSink(sys.argv[1], failed=lambda *why: reported.append(why))
    number = 0
    async def put_until(holds):
        nonlocal number
        async with asyncio.timeout(60):
            while not holds():
                await sink.put(Output(number, 1.5, "wet", {"dry": 0.25, "wet": 0.75}, 31, "barn"))
                number += 1
                await asyncio.sleep(0.01)
    await put_until(lambda: reported)
    during = [sink.connected, sink.closed, sink.dropped]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await put_until(lambda: len(reported) == 2)
    await sink.close()
    print(json.dumps({"number": number, "during": during, "reported": reported, "dropped": sink.dropped}))
asyncio.run(main())
"""


def test_a_file_that_could_not_be_written_for_a_while_has_every_line(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text('{"half')
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, timeout=120)
    assert "" == done.stderr
    said = json.loads(done.stdout)
    assert [False, False, 0] == said["during"]
    assert [
        ["closed", f"{path}: cannot be written: File too large; trying again every second"],
        ["closed", f"{path}: is written again"],
    ] == said["reported"]
    half, *lines = path.read_text().splitlines()
    assert '{"half' == half, "what another start left is not spoilt further"
    assert (0, list(range(said["number"]))) == (said["dropped"], [json.loads(line)["id"] for line in lines])


def test_settings_out_of_range_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"^path: .*nowhere/out cannot be written: No such file or directory$"):
        JsonLinesSink(tmp_path / "nowhere" / "out")
    with pytest.raises(ConfigError, match=r"^queue must be between 1 and 1e\+06, got 0$"):
        JsonLinesSink(tmp_path / "out", queue=0)
    pytest.importorskip("aiomqtt")
    for settings, message in [
        ({"topic": "a/+"}, r"^a topic to publish to must not have the wildcards \+ and #, got 'a/\+'$"),
        ({"topic": ""}, "^a topic must be a text of 1 to 65535 bytes, got ''$"),
        ({"qos": 3}, "^qos must be 0 "),
        ({"queue": 0}, "^queue must be between 1 and "),
        ({"port": 70_000}, "^port must be between 1 and 65535, got 70000$"),
    ]:
        with pytest.raises(ConfigError, match=message):
            MqttSink(**{"host": "localhost", "topic": "a", **settings})
