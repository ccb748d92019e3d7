"""Zenoh sources and sinks with real sessions on the loopback interface."""

import asyncio
import contextlib
import json
import socket
import time

import pytest

from protovine.errors import ConfigError, DataError
from protovine.net import Output, Schema, ZenohKeys, ZenohSink

zenoh = pytest.importorskip("zenoh")

SCHEMA = Schema(("wind",), ("dry", "wet"))


def open_session(**settings):
    config = zenoh.Config()
    config.insert_json5("scouting/multicast/enabled", "false")
    for key, value in settings.items():
        config.insert_json5(key.replace("__", "/"), json.dumps(value))
    return zenoh.open(config)


@pytest.fixture
def sessions():
    """Two that are connected. A process that ended without closing them would hang."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"tcp/127.0.0.1:{free.getsockname()[1]}"
    pair = [open_session(listen__endpoints=[endpoint])]
    try:
        pair.append(open_session(listen__endpoints=[], connect__endpoints=[endpoint]))
        yield pair
    finally:
        for session in pair:
            session.close()


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


def sample(number):
    return json.dumps({"id": number, "x": {"wind": number}})


async def matched(publisher):
    while not publisher.matching_status.matching:
        await asyncio.sleep(0.01)


def test_objects_put_to_keys_are_events(sessions):
    ours, theirs = sessions
    source = ZenohKeys(SCHEMA, ours, "farm/*/wind")

    async def main():
        found = []
        async with contextlib.aclosing(source.events()) as events:
            following = asyncio.create_task(anext(events))
            publisher = theirs.declare_publisher("farm/barn/wind", congestion_control=zenoh.CongestionControl.BLOCK)
            await matched(publisher)
            for message in (sample(0), "?", b"\xff", '{"id": 0, "y": "wet"}', b" " * 2_000_000):
                publisher.put(message)
            publisher.delete()
            theirs.put("farm/barn/rain", sample(1))
            publisher.put(sample(2))
            for _ in range(3):
                found.append(await following)
                following = asyncio.create_task(anext(events))
            following.cancel()
            await asyncio.wait([following])
        return found

    found = run(main())
    assert [(0, None), (0, 1), (2, None)] == [(event.id, event.y) for event in found]
    assert ({"json": 2, "size": 1}, 0) == (source.refusals, source.dropped)


def test_an_id_belongs_to_the_key_that_it_came_on_and_predictions_go_to_its_device(sessions):
    ours, theirs = sessions
    source = ZenohKeys(SCHEMA, lambda declare: declare(ours), "farm/**", device="farm/{device}/**")
    found, said = [], []

    async def main():
        async with contextlib.aclosing(source.events()) as events:
            following = asyncio.create_task(anext(events))
            publishers = {}
            for key in ("farm/a/wind", "farm/b/wind", "farm/b/label", "farm/a/label"):
                publishers[key] = theirs.declare_publisher(key, congestion_control=zenoh.CongestionControl.BLOCK)
                await matched(publishers[key])
            messages = [sample(1), sample(1), '{"id": 1, "y": "dry"}', '{"id": 1, "y": "wet"}']
            for publisher, message in zip(publishers.values(), messages, strict=True):
                publisher.put(message)
            found.append(await following)
            found.extend([await anext(events) for _ in range(3)])
        subscriber = theirs.declare_subscriber("out/**", lambda put: said.append(str(put.key_expr)))
        sink = ZenohSink(lambda declare: declare(ours), "out/{device}")
        while not said:  # Until the subscription has reached the other session.
            await sink.put(Output(0, 1.5, "wet", {}, 31, "barn", "first"))
            await asyncio.sleep(0.01)
        for device in ("barn/a", "x#y*z", ""):
            await sink.put(Output(1, 1.5, "wet", {}, 31, "barn", device))
        while "out/-" not in said:
            await asyncio.sleep(0.01)
        subscriber.undeclare()
        await sink.close()

    run(main())
    assert [("a", None), ("b", None), ("b", 0), ("a", 1)] == [(event.device, event.y) for event in found]
    assert ["out/barn/a", "out/x/y_z", "out/-"] == [key for key in said if key != "out/first"]


def test_what_comes_while_the_loop_is_busy_waits_in_order_and_the_oldest_goes_first(sessions):
    ours, theirs = sessions
    source = ZenohKeys(SCHEMA, ours, "farm/wind", queue=50)

    async def main():
        async with contextlib.aclosing(source.events()) as events:
            first = asyncio.create_task(anext(events))
            publisher = theirs.declare_publisher("farm/wind", congestion_control=zenoh.CongestionControl.BLOCK)
            await matched(publisher)
            publisher.put(sample(0))
            seen = [(await first).id]
            for number in range(1, 201):
                publisher.put(sample(number))
            deadline_s = time.monotonic() + 10
            while source.dropped < 150 and time.monotonic() < deadline_s:
                time.sleep(0.01)  # Not asyncio's: the loop stands still while Zenoh's thread puts.
            return seen + [(await anext(events)).id for _ in range(50)]

    assert [0, *range(151, 201)] == run(main())
    assert 150 == source.dropped


def test_a_sink_puts_outputs_to_its_key(sessions):
    ours, theirs = sessions
    found, reported = [], []

    async def main():
        subscriber = theirs.declare_subscriber("farm/**", lambda put: found.append((str(put.key_expr), put.payload)))
        sink = ZenohSink(ours, "farm/barn/out", failed=lambda *why: reported.append(why))
        await matched(sink._publisher)
        for number in range(3):
            await sink.put(Output(number, 1.5, "wet", {"dry": 0.25, "wet": 0.75}, 31, "barn"))
        while len(found) < 3:
            await asyncio.sleep(0.01)
        assert (0, False) == (sink.dropped, sink.closed)
        subscriber.undeclare()
        ours.close()
        for number in range(3):
            await sink.put(Output(number, 1.5, "wet", {}, 31, "barn"))
        assert (3, True) == (sink.dropped, sink.closed)
        await sink.close()

    run(main())
    assert [("farm/barn/out", number) for number in range(3)] == [
        (key, json.loads(payload.to_bytes())["id"]) for key, payload in found
    ]
    assert ["closed"] == [reason for reason, _ in reported]


def test_a_session_that_is_closed_is_refused(sessions):
    ours, _ = sessions
    ours.close()

    async def main():
        async for _ in ZenohKeys(SCHEMA, ours, "farm/wind").events():
            pass

    with pytest.raises(DataError, match=r"^Zenoh key farm/wind: cannot be read: .*closed"):
        run(main())
    with pytest.raises(ConfigError, match=r"^key 'farm/wind' cannot be published: .*closed"):
        ZenohSink(ours, "farm/wind")


def test_a_source_ends_cleanly_when_its_session_was_closed_first(sessions):
    ours, _ = sessions

    async def main():
        events = ZenohKeys(SCHEMA, ours, "farm/wind").events()
        following = asyncio.create_task(anext(events))
        await asyncio.sleep(0.1)
        ours.close()
        following.cancel()
        await asyncio.wait([following])
        await events.aclose()
        return following.cancelled()

    assert run(main())


def test_a_key_with_wildcards_cannot_be_put_to(sessions):
    with pytest.raises(ConfigError, match=r"^a key to put to must not have the wildcard \*, got 'farm/\*'$"):
        ZenohSink(sessions[0], "farm/*")
