"""Two real nodes over a link of two seconds' round trip, 30 % loss and 10 kB/s, made of two TUN devices."""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protovine.net import create_authority, issue
from protovine.net.config import NodeSettings
from protovine.net.link_timing import PROFILES
from protovine.net.ops.meter import SocketMeter
from protovine.net.transport import Channel, Endpoints, ZenohTransport
from tests.net.test_service import ports, wait_for

pytest.importorskip("zenoh", reason="the extra `net` is not installed")

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CAN = shutil.which("ip") is not None and os.path.exists("/dev/net/tun") and os.geteuid() == 0


class SlowLink:
    """Two network namespaces, and a thread that carries packets between them late, slowly, or not at all."""

    def __init__(self, round_trip_s: float, loss: float, bytes_per_s: float) -> None:
        self.round_trip_s, self.loss, self.bytes_per_s = round_trip_s, loss, bytes_per_s
        self.names = [f"pv-slow-{os.getpid()}-{end}" for end in "ab"]
        self.devices: list[int] = []
        self.carried = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self) -> SlowLink:
        for end, name in enumerate(self.names):
            handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            self.devices.append(handle)
            device = f"pvt{os.getpid() % 100_000}{'ab'[end]}"
            fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI))
            for words in (
                f"netns add {name}",
                f"link set {device} netns {name}",
                f"-n {name} addr add 10.214.9.{end + 1}/24 dev {device}",
                f"-n {name} link set {device} up",
                f"-n {name} link set lo up",
            ):
                subprocess.run(["ip", *words.split()], check=True, capture_output=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        for handle in self.devices:
            os.close(handle)
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def _carry(self) -> None:
        draw, waiting, number = random.Random(1), list[tuple[float, int, int, bytes]](), 0
        free_s = [0.0, 0.0]  # When each direction can take the next packet.
        while not self._ended.is_set():
            now_s = time.monotonic()
            while waiting and waiting[0][0] <= now_s:
                _, _, to, packet = heapq.heappop(waiting)
                with contextlib.suppress(OSError):
                    os.write(self.devices[to], packet)
            wait_s = min(0.05, waiting[0][0] - now_s) if waiting else 0.05
            for handle in select.select(self.devices, [], [], max(0.0, wait_s))[0]:
                packet, end = os.read(handle, 65_536), self.devices.index(handle)
                self.carried += len(packet)
                if draw.random() < self.loss:
                    continue
                now_s = time.monotonic()
                free_s[end] = max(now_s, free_s[end]) + len(packet) / self.bytes_per_s
                number += 1
                heapq.heappush(waiting, (free_s[end] + self.round_trip_s / 2, number, 1 - end, packet))


def prepare(folder: Path, profile: str) -> None:
    (folder / "schema.json").write_text(json.dumps({"features": ["a", "b"], "classes": ["no", "yes"]}))
    now = datetime.now(UTC)
    create_authority(folder / "ca", "barn", now=now)
    for number, name in enumerate(("ann", "bob")):
        issue(folder / "ca", name, folder / name, addresses=[f"10.214.9.{number + 1}"], now=now, id=number)
        os.mkfifo(folder / f"{name}.in")
        (folder / f"{name}.toml").write_text(
            f'schema = "schema.json"\n[network]\nprofile = "{profile}"\ncertificates = "{name}"\n'
            'listen = ["tls/0.0.0.0:7447"]\nconnect = ["tls/10.214.9.1:7447", "tls/10.214.9.2:7447"]\n'
            f'[source]\nkind = "file"\npath = "{name}.in"\nfollow = true\n'
            f'[sink]\nkind = "file"\npath = "{name}.out"\n'
        )


@contextlib.contextmanager
def two_nodes(folder: Path, link: SlowLink) -> Iterator[dict[str, Path]]:
    running = []
    logs = {name: folder / f"{name}.log" for name in ("ann", "bob")}
    try:
        for name, namespace in zip(logs, link.names, strict=True):
            command = ["ip", "netns", "exec", namespace, sys.executable, "-m", "protovine", "node", f"{name}.toml"]
            with open(logs[name], "wb") as log:
                running.append(subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        yield logs
    finally:
        for child in running:
            child.kill()
            child.wait()


@pytest.mark.slow
@pytest.mark.skipif(not CAN, reason="needs network namespaces and TUN devices")
def test_members_meet_and_share_over_a_satellite_link_that_loses_a_third(tmp_path: Path) -> None:
    prepare(tmp_path, "satellite")
    with SlowLink(round_trip_s=2.0, loss=0.3, bytes_per_s=10_000) as link, two_nodes(tmp_path, link) as logs:
        deadline = time.monotonic() + 400

        def later(what: str) -> None:
            assert time.monotonic() < deadline, {name: log.read_text()[-2000:] for name, log in logs.items()} | {
                "": what
            }
            time.sleep(0.2)

        while not ("met bob" in logs["ann"].read_text() and "met ann" in logs["bob"].read_text()):
            later("they meet")
        with open(tmp_path / "ann.in", "w") as ann, open(tmp_path / "bob.in", "w") as bob:
            for number in range(20):
                print(
                    json.dumps({"x": {"a": number % 2, "b": 1}, "y": ("no", "yes")[number % 2]}), file=ann, flush=True
                )

            def learnt_from_ann() -> bool:
                """Bob has no labels of his own."""
                print(json.dumps({"x": {"a": 1, "b": 1}}), file=bob, flush=True)
                lines = (tmp_path / "bob.out").read_text().splitlines() if (tmp_path / "bob.out").exists() else []
                return any(json.loads(line)["prediction"] == "yes" for line in lines)

            while not learnt_from_ann():
                later("bob learns from ann")
                time.sleep(2.0)
    assert not any('"level": "error"' in log.read_text() for log in logs.values())


def test_a_profile_sets_every_period_and_single_ones_can_be_changed(tmp_path: Path) -> None:
    def read(**network: object) -> NodeSettings:
        plain = {"plain": True, "swarm": "barn", "name": "ann", "id": 1, "listen": ["tcp/127.0.0.1:1"]}
        return NodeSettings.read(None, {"schema": {"features": ["a"], "classes": [0]}, "network": plain | network})

    lan, satellite = read(), read(profile="satellite")
    assert (PROFILES["lan"], PROFILES["satellite"]) == (lan.endpoints().timing, satellite.endpoints().timing)
    config = satellite.endpoints().config()
    assert {"open_timeout": 90_000, "accept_timeout": 90_000} == config["transport"]["unicast"]
    assert (0, 30) == (lan.exchange.batch_s, satellite.exchange.batch_s)
    assert satellite.roster_timing().reopen_alone_s > 3 * 90
    changed = read(profile="satellite", dial_s=120, keep_alive_s=30).endpoints().timing
    assert (120, 180, 30) == (changed.dial_s, changed.lease_s, changed.keep_alive_s)


def test_a_node_does_not_dial_itself() -> None:
    plain = {"plain": True, "swarm": "barn", "name": "ann", "id": 1, "listen": ["tcp/0.0.0.0:7447"]}
    connect = ["tcp/127.0.0.1:7447", "tcp/192.0.2.7:7447", "tcp/127.0.0.1:7448"]
    settings = NodeSettings.read(
        None, {"schema": {"features": ["a"], "classes": [0]}, "network": plain | {"connect": connect}}
    )
    assert connect[1:] == settings.endpoints().connect


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts bytes")
def test_six_silent_members_on_a_metered_network_cost_less_than_100_bytes_a_second_each(tmp_path: Path) -> None:
    now, taken = datetime.now(UTC), ports(6)
    create_authority(tmp_path / "ca", "barn", now=now)
    with contextlib.ExitStack() as stack:
        alive: set[tuple[int, int]] = set()
        for member, port in enumerate(taken):
            folder = tmp_path / f"node-{member}"
            issue(tmp_path / "ca", f"node-{member}", folder, addresses=["127.0.0.1"], now=now, id=member)
            others = [f"tls/127.0.0.1:{other}" for other in taken if other != port]
            at = Endpoints([f"tls/127.0.0.1:{port}"], others, certificates=folder, timing=PROFILES["cellular"])
            transport = ZenohTransport("barn", member, at)

            def deliver(channel: Channel, data: bytes) -> None:
                pass

            def changed(peer: int, there: bool, member: int = member) -> None:
                (alive.add if there else alive.discard)((member, peer))

            transport.open(deliver, changed, lambda: b"{}")
            stack.callback(transport.close)
        wait_for(lambda: len(alive) == 30, "all have links")
        time.sleep(5.0)  # What they tell each other at the beginning.
        meter = SocketMeter(headers=True)
        before, began_s = meter.read(), time.monotonic()
        time.sleep(30.0)
        after, spent_s = meter.read(), time.monotonic() - began_s
        assert before is not None and after is not None
        assert len(alive) == 30
        sent = (after[0] - before[0]) / 6 / spent_s
        assert 0 < sent < 100
