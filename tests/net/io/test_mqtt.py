"""MQTT sources and sinks with a real Mosquitto, on a free port of this machine."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from protovine.net import Mqtt, MqttSink, Output, Schema
from protovine.net.io.mqtt import Outages
from protovine.net.io.parser import MESSAGE_BYTES_MAX

aiomqtt = pytest.importorskip("aiomqtt")
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")

SCHEMA = Schema(("wind",), ("dry", "wet"))
QUICK = {"retry_s_min": 0.02, "retry_s_max": 0.1}


class Broker:
    """A Mosquitto that can be stopped and started again on the same port."""

    def __init__(self, folder: Path, *lines: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = folder / "mosquitto.conf"
        own = ["allow_anonymous true"] if not any(line.startswith("password_file") for line in lines) else []
        user = ["user root"] if os.geteuid() == 0 else []  # So that it may read what only the tests may.
        self.config.write_text("\n".join([f"listener {self.port} 127.0.0.1", *user, *own, *lines, ""]))
        self.process: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", self.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.01)
        raise AssertionError("mosquitto does not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def start(tmp_path):
    """Starts a broker with these lines in its configuration; stops it after the test."""
    brokers = []

    def started(*lines: str) -> Broker:
        brokers.append(Broker(tmp_path, *lines))
        return brokers[-1]

    yield started
    for broker in brokers:
        broker.stop()


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


async def publish(port, *messages, topic="barn/wind", **settings):
    async with aiomqtt.Client("127.0.0.1", port) as client:
        for message in messages:
            await client.publish(topic, message, **{"qos": 1, **settings})


async def connected(source, times=1):
    while source.broker.connections < times:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)  # The subscription follows.


@contextlib.asynccontextmanager
async def waiting(events):
    """A task that waits for the next event, cancelled at the end."""
    task = asyncio.create_task(anext(events))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def sample(number):
    return json.dumps({"id": number, "x": {"wind": number}})


def output(number):
    return Output(number, 1.5, "wet", {"dry": 0.25, "wet": 0.75}, 31, "barn")


def test_objects_on_any_of_the_topics_are_events(start):
    broker, failures = start(), []
    source = Mqtt(
        SCHEMA,
        "127.0.0.1",
        ["barn/+", "farm/#"],
        port=broker.port,
        refused=lambda *why: failures.append(why),
        **QUICK,
    )

    async def main():
        async with contextlib.aclosing(source.events()) as events:
            first = asyncio.create_task(anext(events))
            await connected(source)
            await publish(broker.port, sample(1), b"\xff", b"", "?", b" " * (MESSAGE_BYTES_MAX + 1))
            await publish(broker.port, '{"id": 1, "y": "wet"}', topic="farm/a/b")
            await publish(broker.port, sample(2), topic="elsewhere")
            await publish(broker.port, sample(3))
            return [await first, await anext(events), await anext(events)]

    found = run(main())
    assert [(1, None), (1, 1), (3, None)] == [(event.id, event.y) for event in found]
    assert ({"json": 2, "size": 1}, 3, 0) == (source.refusals, source.taken, source.dropped)
    assert ["json", "size"] == [reason for reason, _ in failures]


def test_an_id_belongs_to_the_topic_that_it_came_on_and_predictions_go_to_its_device(start):
    broker = start()
    patterns = ["barn/{device}/weather", "barn/{device}/label"]
    source = Mqtt(SCHEMA, "127.0.0.1", ["barn/+/+"], device=patterns, port=broker.port, **QUICK)
    whole = Mqtt(SCHEMA, "127.0.0.1", ["barn/+/+"], port=broker.port, **QUICK)
    sink = MqttSink("127.0.0.1", "out/{device}", port=broker.port, **QUICK)

    async def read(source, count):
        async with contextlib.aclosing(source.events()) as events:
            return [await anext(events) for _ in range(count)]

    async def main():
        reading = [asyncio.create_task(read(each, 4)) for each in (source, whole)]
        await connected(source)
        await connected(whole)
        await publish(broker.port, sample(1), topic="barn/a/weather")
        await publish(broker.port, sample(1), topic="barn/b/weather")
        await publish(broker.port, '{"id": 1, "y": "dry"}', topic="barn/b/label")
        await publish(broker.port, '{"id": 1, "y": "wet"}', topic="barn/a/label")
        found = await asyncio.gather(*reading)
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe("out/#", 1)
            for device in ("barn/a", "x#y+z", ""):
                await sink.put(Output(1, 1.5, "wet", {}, 31, "barn", device))
            messages = client.messages
            said = [await anext(messages) for _ in range(3)]
        await sink.close()
        return found, [(str(each.topic), json.loads(each.payload).get("device")) for each in said]

    (by_pattern, by_topic), said = run(main())
    assert [("a", None), ("b", None), ("b", 0), ("a", 1)] == [(event.device, event.y) for event in by_pattern]
    topics = ["barn/a/weather", "barn/b/weather", "barn/b/label", "barn/a/label"]
    assert topics == [event.device for event in by_topic]
    assert [("out/barn/a", "barn/a"), ("out/x/y_z", "x#y+z"), ("out/-", None)] == said


def test_what_the_broker_retained_is_not_learnt_again(start):
    broker = start()
    source = Mqtt(SCHEMA, "127.0.0.1", ["barn/wind"], port=broker.port, **QUICK)

    async def main():
        await publish(broker.port, sample(1), retain=True)
        async with contextlib.aclosing(source.events()) as events:
            first = asyncio.create_task(anext(events))
            await connected(source)
            await publish(broker.port, sample(2), retain=True)  # Live for who listens, though kept for others.
            return (await first).id

    assert (2, {"retained": 1}) == (run(main()), source.refusals)


def test_a_source_comes_back_after_its_broker_does(start, caplog):
    caplog.set_level("INFO")
    broker, failures = start(), []
    source = Mqtt(
        SCHEMA, "127.0.0.1", ["barn/wind"], port=broker.port, refused=lambda *why: failures.append(why), **QUICK
    )

    async def main():
        found = []
        async with contextlib.aclosing(source.events()) as events:
            for number in range(3):
                following = asyncio.create_task(anext(events))
                await connected(source, number + 1)
                await publish(broker.port, sample(number))
                found.append((await following).id)
                broker.stop()
                await asyncio.sleep(0.3)  # Attempts fail meanwhile.
                broker.start()
        return found

    assert [0, 1, 2] == run(main())
    assert 3 == source.refusals["connection"], "each outage once, however many attempts fail"
    assert ["connection"] * 3 == [reason for reason, _ in failures]
    for _, text in failures:
        assert text.startswith(f"mqtt://127.0.0.1:{broker.port}: ") and "; trying again" in text
    assert 2 == caplog.text.count("connected again after"), "the third time it was ended first"


def test_with_a_client_id_the_broker_keeps_what_comes_meanwhile(start):
    broker = start()

    async def listen(first):
        source = Mqtt(SCHEMA, "127.0.0.1", ["barn/wind"], port=broker.port, client_id="node-1", **QUICK)
        async with contextlib.aclosing(source.events()) as events:
            following = asyncio.create_task(anext(events))
            await connected(source)
            if first:
                await publish(broker.port, sample(1))
            return (await following).id

    async def main():
        seen = [await listen(first=True)]
        await publish(broker.port, sample(2))
        return [*seen, await listen(first=False)]

    assert [1, 2] == run(main())


def test_when_messages_come_faster_than_they_are_taken_the_oldest_are_dropped(start):
    broker = start()
    source = Mqtt(SCHEMA, "127.0.0.1", ["barn/wind"], port=broker.port, queue=5, **QUICK)

    async def main():
        async with contextlib.aclosing(source.events()) as events:
            first = asyncio.create_task(anext(events))
            await connected(source)
            await publish(broker.port, sample(0))
            seen = [(await first).id]
            await publish(broker.port, *map(sample, range(1, 21)))
            await asyncio.sleep(0.3)
            return seen + [(await anext(events)).id for _ in range(5)]

    assert [0, 16, 17, 18, 19, 20] == run(main())
    assert 15 == source.dropped


def test_user_and_password_come_from_the_environment(start, tmp_path, monkeypatch):
    passwords = tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([tool, "-b", "-c", passwords, "ann", "secret"], check=True, capture_output=True)
    broker = start(f"password_file {passwords}")
    monkeypatch.setenv("FARM_USER", "ann")
    settings = {"port": broker.port, "username_env": "FARM_USER", "password_env": "FARM_PASSWORD", **QUICK}

    async def main(password):
        monkeypatch.setenv("FARM_PASSWORD", password)
        source = Mqtt(SCHEMA, "127.0.0.1", ["barn/out"], **settings)
        sink = MqttSink("127.0.0.1", "barn/out", **settings)
        async with contextlib.aclosing(source.events()) as events, waiting(events):
            if password == "secret":
                await connected(source)
                await sink.put(output(1))
            # An output is no sample, so the source refuses it, but it came.
            while not source.refusals["form"] and not source.refusals["connection"]:
                await asyncio.sleep(0.01)
        await sink.close()
        return source, sink

    source, sink = run(main("secret"))
    assert ({"form": 1}, 0) == (source.refusals, sink.dropped)
    source, sink = run(main("wrong"))
    assert (0, {"connection"}) == (source.broker.connections, set(source.refusals))


def test_a_sink_publishes_every_output_through_restarts_of_the_broker(start):
    broker, failures, found = start(), [], []

    async def listen(client):
        async for message in client.messages:
            found.append(json.loads(message.payload)["id"])

    async def main():
        sink = MqttSink(
            "127.0.0.1", "barn/out", port=broker.port, failed=lambda *why: failures.append(why), retain=True, **QUICK
        )
        for number in range(3):
            async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                await client.subscribe("barn/out", 1)
                listening = asyncio.create_task(listen(client))
                if number == 0:
                    await sink.put(output(0))
                while number not in found:
                    await asyncio.sleep(0.01)
                listening.cancel()
                await asyncio.wait([listening])
            broker.stop()
            await asyncio.sleep(0.2)
            await sink.put(output(number + 1))  # No broker runs: the output waits.
            await asyncio.sleep(0.1)
            broker.start()
        await sink.close()
        assert (0, True) == (sink.dropped, sink.closed)
        await sink.put(output(9))
        return sink.dropped

    assert 1 == run(main())
    assert [0, 1, 2] == sorted(set(found))
    assert ["connection"] * 3 == [reason for reason, _ in failures]


def test_no_name_of_a_device_ends_a_sink(start):
    """The broker hangs up at control characters in a topic, and the client refuses topics that are too long."""
    broker, said = start(), []
    names = ["barn\n", "a\x01b", "a\ufffeb", "x" * 65_531, "barn"]

    async def main():
        sink = MqttSink(
            *("127.0.0.1", "long/{device}"),
            **{"port": broker.port, "home_assistant": "ha", "failed": lambda *why: said.append(why), **QUICK},
        )
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe("long/#", 1)
            for name in names:
                await sink.put(Output(1, 1.5, "wet", {}, 31, "barn", name))
            topics = [str((await anext(client.messages)).topic) for _ in range(4)]
        await sink.close()
        return topics, sink.dropped

    assert (["long/barn_", "long/a_b", "long/a_b", "long/barn"], 1) == run(main())
    assert [("refused", True)] == [(reason, "long/xxx" in text) for reason, text in said]


def test_an_output_for_which_the_broker_hangs_up_does_not_hold_up_the_others(start):
    broker, said = start("max_packet_size 1000"), []

    async def main():
        sink = MqttSink("127.0.0.1", "out", port=broker.port, failed=lambda *why: said.append(why), **QUICK)
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe("out", 1)
            await sink.put(Output("x" * 2000, 1.5, "wet", {}, 31, "barn"))
            await sink.put(output(2))
            found = json.loads((await anext(client.messages)).payload)["id"]
        await sink.close()
        return found, sink.dropped

    assert (2, 1) == run(main())
    assert ["refused"] == [reason for reason, _ in said if reason != "connection"]


def test_a_sink_without_a_broker_counts_what_is_lost_and_ends_in_time():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # No process listens there.

        async def main():
            sink = MqttSink("127.0.0.1", "barn/out", port=taken.getsockname()[1], queue=10, **QUICK)
            for number in range(100):
                await sink.put(output(number))
            await asyncio.sleep(0.1)
            before_s = time.monotonic()
            await sink.close()
            return sink.dropped, time.monotonic() - before_s

        dropped, closing_s = run(main())
    assert 100 == dropped
    assert closing_s < 4


def test_tls_checks_the_broker_and_shows_a_certificate(start, tmp_path, monkeypatch):
    monkeypatch.setattr("protovine.net.io.mqtt._TIMEOUT_S", 1.0)
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")

    def make(name, *more):
        subject = ["-subj", f"/CN={name}", "-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem"]
        subprocess.run(
            [
                openssl,
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                *subject,
                *more,
            ],
            check=True,
            capture_output=True,
        )

    make("authority")
    issued = ["-CA", tmp_path / "authority.pem", "-CAkey", tmp_path / "authority.key"]
    issued += ["-addext", "basicConstraints=critical,CA:FALSE"]
    make("broker", "-addext", "subjectAltName=IP:127.0.0.1", *issued)
    make("node", *issued)
    make("stranger")
    files = {name: tmp_path / name for name in ("authority.pem", "broker.pem", "broker.key")}
    broker = start(
        f"cafile {files['authority.pem']}",
        f"certfile {files['broker.pem']}",
        f"keyfile {files['broker.key']}",
        "require_certificate true",
    )

    async def connects(**settings):
        source = Mqtt(SCHEMA, "127.0.0.1", ["a"], port=broker.port, **settings, **QUICK)
        assert str(source.broker) == f"mqtts://127.0.0.1:{broker.port}"
        async with contextlib.aclosing(source.events()) as events, waiting(events):
            while not source.broker.connections and not source.refusals["connection"]:
                await asyncio.sleep(0.01)
        return bool(source.broker.connections)

    own = {"certificate_file": tmp_path / "node.pem", "key_file": tmp_path / "node.key"}
    assert run(connects(ca_file=files["authority.pem"], **own))
    assert not run(connects(ca_file=tmp_path / "stranger.pem", **own))
    assert not run(connects(tls=True, **own))
    assert not run(connects(ca_file=files["authority.pem"]))

    async def renewed():
        """Files that are put right while the node runs are taken up, as after the end of a certificate."""
        shown = {key: tmp_path / f"shown-{key}" for key in ("ca_file", "certificate_file", "key_file")}
        first = tmp_path / "stranger.pem", tmp_path / "stranger.pem", tmp_path / "stranger.key"
        then = files["authority.pem"], own["certificate_file"], own["key_file"]
        for path, source in zip(shown.values(), first, strict=True):
            shutil.copy(source, path)
        source = Mqtt(SCHEMA, "127.0.0.1", ["a"], port=broker.port, **shown, **QUICK)
        async with contextlib.aclosing(source.events()) as events, waiting(events), asyncio.timeout(20):
            while not source.refusals["connection"]:
                await asyncio.sleep(0.01)
            for path, right in zip(shown.values(), then, strict=True):
                shutil.copy(right, path)
            while not source.broker.connections:
                await asyncio.sleep(0.01)

    run(renewed())


@pytest.mark.parametrize("method", ["subscribe", "publish"])
def test_a_cancellation_that_the_client_drops_ends_sources_and_sinks(start, monkeypatch, method):
    """In Python 3.11 a cancellation is lost that comes together with the broker's answer."""
    broker, asked = start(), []

    async def answered_meanwhile(self, *args, **settings):
        asked.append(args)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return []

    monkeypatch.setattr(f"aiomqtt.Client.{method}", answered_meanwhile)

    async def reads():
        source = Mqtt(SCHEMA, "127.0.0.1", ["a"], port=broker.port, **QUICK)
        async with contextlib.aclosing(source.events()) as events, waiting(events):
            while not asked:
                await asyncio.sleep(0.005)

    async def writes():
        sink = MqttSink("127.0.0.1", "a", port=broker.port, **QUICK)
        await sink.put(output(1))
        while not asked:
            await asyncio.sleep(0.005)
        await sink.close()

    run(reads() if method == "subscribe" else writes())


def test_outages_are_reported_at_a_bounded_rate():
    """In virtual time: each outage once and every minute while it lasts, and of a flapping line a few."""
    now_s, reports = [0.0], []
    outages = Outages(lambda reason, text: reports.append((now_s[0], text)), lambda: now_s[0])
    assert outages.connected() is None
    for number in range(3):  # Three outages of half a minute, with an attempt every second.
        for _ in range(30):
            outages.failed("gone")
            now_s[0] += 1
        assert 30 == outages.connected()
        assert number + 1 == len(reports)
        now_s[0] += 60
    began_s = now_s[0]
    for _ in range(3600):  # An hour without a broker.
        outages.failed("gone")
        now_s[0] += 1
    assert 3 + 60 == len(reports) and (began_s + 3540, "gone (not connected for 3540 s)") == reports[-1]
    outages.connected()
    before = len(reports)
    for _ in range(3600):  # An hour in which it breaks every second.
        outages.failed("flaps")
        now_s[0] += 1
        outages.connected()
    assert 60 <= len(reports) - before <= 72 and "more outages" in reports[-1][1]


def test_home_assistant_sees_predictions_and_whether_the_node_is_there(start):
    """Discovery, values and availability as its MQTT integration reads them; the last will when the node is killed."""
    broker, found = start(), {}
    script = (
        "import asyncio, sys; from protovine.net import MqttSink, Output\n"
        "async def main():\n"
        "    sink = MqttSink('127.0.0.1', 'barn/{device}/out', port=int(sys.argv[1]), classes=('dry', 'wet'),\n"
        "                    status_topic='barn/gate-1/status', home_assistant='homeassistant')\n"
        "    await sink.open()\n"
        "    for device in ('north', 'south', 'north'):\n"
        "        await sink.put(Output(1, 0.0, 'wet', {'wet': 1.0}, 3, 'gate-1', device))\n"
        "    await asyncio.to_thread(sys.stdin.read)\n"
        "    await sink.close()\n"
        "asyncio.run(main())\n"
    )

    async def main(how):
        child = subprocess.Popen([sys.executable, "-c", script, str(broker.port)], stdin=subprocess.PIPE)
        try:
            async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                await client.subscribe("#", 1)
                async for message in client.messages:
                    found[str(message.topic)] = message.payload.decode()
                    if found.get("barn/gate-1/status") == "online" and len(found) == 5 and child.poll() is None:
                        child.kill() if how == "killed" else child.stdin.close()
                        child.wait()
                    if found.get("barn/gate-1/status") == "offline" and len(found) == 5:
                        return
        finally:
            child.kill()
            child.wait()

    for how in ("killed", "closed"):
        found.clear()
        run(main(how))
        config = json.loads(found["homeassistant/sensor/protovine/gate-1_north/config"])
        assert "homeassistant/sensor/protovine/gate-1_south/config" in found
        assert ("barn/north/out", "barn/gate-1/status") == (config["state_topic"], config["availability_topic"])
        assert (["dry", "wet"], "enum") == (config["options"], config["device_class"])
        assert "wet" == json.loads(found[config["state_topic"]])["prediction"]
        assert config["unique_id"] == "protovine_gate-1_north"
