"""Sources and sinks of a user's own classes: what they yield is checked, and what they raise ends nothing silently."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import ConfigError, DataError
from protovine.net import BaseSource, Event, Output
from protovine.net.causes import Place
from protovine.net.io import OwnSink, OwnSource
from tests.net.io.events import SCHEMA, collect, plain

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
NOON_NS = 1_704_110_400_000_000_000


class Given(BaseSource):
    """Yields what it is given, from an ordinary or an async generator."""

    def __init__(self, items: list[Any], waits: bool = True) -> None:
        self.items, self.waits = items, waits

    def events(self) -> Any:
        return self._async() if self.waits else iter(self.items)

    async def _async(self) -> Any:
        for item in self.items:
            yield item


def source_of(items: Any, **options: Any) -> OwnSource:
    return OwnSource(SCHEMA, Given(items), code="barn:Given", **options)


@pytest.mark.parametrize("waits", [True, False])
def test_messages_and_events_are_read_with_values_of_numpy_and_datetimes(waits: bool) -> None:
    items = [
        {"x": {"wind": np.float32(3.5), "sky": "grey"}, "y": "wet", "id": np.int64(7), "time": NOON},
        Event(np.array([1, 0, 1]), np.int64(1), np.int64(8), NOON_NS),  # type: ignore[arg-type]
        Event([2.0, math.nan, 0.0], None, "a", None),  # type: ignore[arg-type]
        {"id": 7, "y": "dry"},
        Event(None, 0, 8, None),
    ]
    source = OwnSource(SCHEMA, Given(items, waits), code="barn:Given")
    found = collect(source)
    assert repr([plain(event) for event in found]) == repr(
        [
            ([3.5, 0.0, 1.0], 1, 7, NOON_NS),
            ([1.0, 0.0, 1.0], 1, 8, NOON_NS),
            ([2.0, math.nan, 0.0], None, "a", None),
            (None, 0, 7, None),
            (None, 0, 8, None),
        ]
    )
    assert (5, {}, []) == (source.taken, dict(source.refusals), source.never_seen)


@pytest.mark.parametrize(
    ("item", "reason", "words"),
    [
        (Event(np.zeros(2), 0, None, None), "features", r"x must have the shape \(3,\), got \(2,\)"),
        (Event(np.array([math.inf, 0, 0]), 0, None, None), "features", "'wind' must be within ±1e\\+38, got inf"),
        (Event(np.array([1e39, 0, 0]), 0, None, None), "features", "'wind' must be within"),
        (Event(np.full(3, math.nan), 0, None, None), "features", "no feature has a value"),
        (Event("cold", 0, None, None), "features", "x must be numbers, got 'cold'"),  # type: ignore[arg-type]
        (Event(np.zeros(3), 2, None, None), "label", "a number from 0 to 1, got 2"),
        (Event(np.zeros(3), -1, None, None), "label", "a number from 0 to 1, got -1"),
        (Event(np.zeros(3), True, None, None), "label", "a number from 0 to 1, got true"),
        (Event(np.zeros(3), 1.0, None, None), "label", "a number from 0 to 1, got 1.0"),  # type: ignore[arg-type]
        (Event(np.zeros(3), 0, 2.5, None), "id", "an id must be a text or a whole number"),  # type: ignore[arg-type]
        (Event(np.zeros(3), 0, None, -1), "time", "time_ns is nanoseconds from 1970 to 2262, got -1"),
        (Event(np.zeros(3), 0, None, 1.5), "time", "got 1.5"),  # type: ignore[arg-type]
        (Event(None, 0, None, None), "form", "x is needed, or id and y"),
        ({"x": {"wind": math.inf}}, "features", "within"),
        ({"x": {"wind": 3}, "y": "moist"}, "label", "there is no class 'moist'"),
        ({"x": {"wind": object()}}, "form", "a message must have plain values: object is none"),
        ([1.0, 0.0, 1.0], "form", r"yields messages \(dict\) or Event, got list"),
        (None, "form", "got NoneType"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_source_goes_on(item: Any, reason: str, words: str) -> None:
    said: list[tuple[str, str]] = []
    source = source_of([item, {"x": {"wind": 1}}], refused=lambda *why: said.append(why))
    assert [[1.0, math.nan, math.nan]].__repr__() == repr([event.x.tolist() for event in collect(source)])
    assert ({reason: 1}, 1) == (dict(source.refusals), source.taken)
    ((found, text),) = said
    assert reason == found
    assert re.search(words, text), text


@given(st.lists(st.recursive(st.none() | st.floats() | st.text() | st.integers(), lambda each: st.lists(each))))
def test_no_item_ends_a_source(items: list[Any]) -> None:
    asked = [*items, *[{"x": item} for item in items], *[Event(item, item, item, item) for item in items]]  # type: ignore[arg-type]
    source = source_of(asked)
    found = collect(source)
    assert len(asked) == len(found) + source.refusals.total()
    for event in found:
        assert (3,) == event.x.shape and not np.isinf(event.x).any() and event.y in (None, 0, 1)


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("error", [OSError, SystemExit])
def test_an_error_of_the_object_ends_the_source_with_its_line(
    waits: bool, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def events(self) -> Any:
            return self._waiting() if waits else self._blocking()

        async def _waiting(self) -> Any:
            for item in self._blocking():
                yield item

        def _blocking(self) -> Iterator[Any]:
            yield {"x": {"wind": 1}}
            raise error("the bus does not answer")

    source = OwnSource(SCHEMA, Broken(), code="barn:Broken")
    said = rf"^source.code: barn:Broken raised {error.__name__}: the bus .* \(.*test_own.py:\d+\)$"
    with pytest.raises(DataError, match=said):
        collect(source)
    assert (1, False) == (source.taken, source.connected)
    assert "_blocking" in caplog.text, "the log has the traceback"


def test_a_device_that_does_not_answer_keeps_nobody_waiting() -> None:
    asked, answers, closed = threading.Event(), threading.Event(), threading.Event()

    class Silent:
        def events(self) -> Iterator[Any]:
            try:
                yield {"x": {"wind": 1}}
                asked.set()
                answers.wait()
                yield {"x": {"wind": 2}}
            finally:
                closed.set()

    source = OwnSource(SCHEMA, Silent(), code="barn:Silent")

    async def run() -> list[bool]:
        states = [source.connected]
        async with contextlib.aclosing(source.events()) as events:
            await anext(events)
            states.append(source.connected)
            waiting = asyncio.ensure_future(anext(events))
            while not asked.is_set():  # Others have their turn meanwhile.
                await asyncio.sleep(0.001)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
        return [*states, source.connected]

    assert [False, True, False] == asyncio.run(run())
    assert not closed.is_set()
    answers.set()
    assert closed.wait(20), "the generator is closed once it can be"


def test_an_event_keeps_the_line_that_it_comes_from() -> None:
    """As the line of its prediction, and in what is said of a sample that the learner refuses."""
    places = [Place("barn.log", 7), None, "line 7"]
    found = collect(source_of([Event([1.0, 0.0, 1.0], 0, None, None, "", place) for place in places]))  # type: ignore
    assert [Place("barn.log", 7), None, None] == [event.place for event in found]


def test_counts_and_connection_of_the_object_are_passed_on() -> None:
    item = Given([{"x": {"wind": 1}}])
    source = OwnSource(SCHEMA, item, code="barn:Given")

    async def run() -> bool:
        async with contextlib.aclosing(source.events()) as events:
            await anext(events)
            item.connected, item.dropped = False, 3
            item.refusals["fault"] += 2
            return source.connected

    assert not asyncio.run(run())
    assert (3, {"fault": 2}) == (source.dropped, dict(source.refusals))


def made(prediction: str = "wet") -> Output:
    return Output(7, 1.5, prediction, {"dry": 0.25, "wet": 0.75}, prototypes=31, node="barn-3")


def test_a_sink_gets_outputs_in_order_and_is_closed() -> None:
    got: list[Any] = []

    class Kept:
        def put(self, output: Output) -> None:
            got.append(output)

        def close(self) -> None:
            got.append("closed")

    sink = OwnSink(Kept(), code="barn:Kept")

    async def run() -> None:
        for prediction in ("dry", "wet", "dry"):
            await sink.put(made(prediction))
        await sink.close()
        await sink.put(made())

    asyncio.run(run())
    assert [*map(made, ("dry", "wet", "dry")), "closed"] == got
    assert (1, True, False) == (sink.dropped, sink.closed, sink.connected)


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_errors_of_a_sink_are_said_once_in_a_row_and_lose_one_output_each(error: type[BaseException]) -> None:
    said: list[tuple[str, str]] = []
    taken = threading.Semaphore(0)

    class Faulty:
        def put(self, output: Output) -> None:
            try:
                if output.prediction == "dry":
                    raise error("no water")
            finally:
                taken.release()

    sink = OwnSink(Faulty(), code="barn:Faulty", failed=lambda *why: said.append(why))

    async def run() -> None:
        for prediction in ("dry", "dry", "wet", "wet"):
            await sink.put(made(prediction))
            assert await asyncio.to_thread(taken.acquire, timeout=20)
        await sink.close()

    asyncio.run(run())
    assert 2 == sink.dropped
    assert [0, 1] == [int("outputs again" in text) for _, text in said]
    assert f"barn:Faulty raised {error.__name__}: no water" in said[0][1] and "test_own.py" in said[0][1]


def test_a_sink_whose_device_hangs_keeps_neither_the_node_nor_its_end() -> None:
    never = threading.Event()

    class Stuck:
        def put(self, output: Output) -> None:
            never.wait()

    sink = OwnSink(Stuck(), code="barn:Stuck", queue=2)

    async def run() -> None:
        for _ in range(50):
            await sink.put(made())
        await sink.close()

    asyncio.run(run())
    assert sink.closed and sink.dropped >= 49
    never.set()


class NoEvents:
    """Neither a source nor a sink."""


class AsyncPut:
    async def put(self, output: Output) -> None:
        """Not allowed."""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OwnSource(SCHEMA, NoEvents(), code="m:C"), "source.code: m:C is no source: it lacks a method events"),
        (lambda: OwnSink(NoEvents(), code="m:C"), "sink.code: m:C is no sink: it lacks a method put"),
        (lambda: OwnSink(AsyncPut(), code="m:C"), "put of m:C must be an ordinary method, not async"),
    ],
)
def test_a_class_that_is_none_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


SENSOR = '''
import time

class Bme280:
    """Twelve readings; the label follows the threshold that its settings name."""

    def __init__(self, warm=20.0):
        self.warm = warm

    def events(self):
        for hour in range(12):
            t = 10.0 + 2 * hour
            yield {"x": {"t": t}, "y": "warm" if t > self.warm else "cold", "id": hour}

class Lamp:
    def put(self, output):
        with open("lamp.txt", "a") as file:
            print(output.id, output.prediction, file=file)

class Broken:
    def events(self):
        yield {"x": {"t": 1.0}, "y": "cold"}
        raise OSError("no bus")
'''


@pytest.mark.parametrize("code", ["sensor:Bme280", "sensor:Broken", "sensor:Missing"])
def test_protovine_node_runs_classes_of_the_current_folder(tmp_path: Path, code: str) -> None:
    pytest.importorskip("zenoh", reason="the extra `net` is not installed")
    (tmp_path / "sensor.py").write_text(SENSOR)
    (tmp_path / "schema.json").write_text(json.dumps({"features": ["t"], "classes": ["cold", "warm"]}))
    command = [sys.executable, "-m", "protovine", "node", "--schema", "schema.json", "--plain", "barn/n/0"]
    command += [
        "--listen",
        "tcp/127.0.0.1:0",
        "--state",
        "none",
        "--source",
        f"own:{code}",
        "--sink",
        "own:sensor:Lamp",
    ]
    if code == "sensor:Bme280":
        command += ["--set", "source.parameters.warm=15"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    last = done.stderr.strip().splitlines()[-1]
    if code == "sensor:Bme280":
        assert 0 == done.returncode, done.stderr
        assert [str(hour) for hour in range(12)] == [
            line.split()[0] for line in (tmp_path / "lamp.txt").read_text().splitlines()
        ]
    else:
        assert 2 == done.returncode, done.stderr
        words = "raised OSError: no bus" if code == "sensor:Broken" else "sensor has no class 'Missing'"
        assert words in last and last.startswith("protovine: source.code")
        assert ("Traceback" in done.stderr) == (code == "sensor:Broken"), "the log has it"
