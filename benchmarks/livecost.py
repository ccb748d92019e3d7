"""Measure a swarm of real processes: bytes at the socket, latency, memory and processor time.

    python -m benchmarks.livecost            # five nodes at 10 Hz on phishing, with and without TLS
    python -m benchmarks.livecost idle 50    # 50 nodes that have met and are silent, with and without TLS

Bytes are the kernel's count of the process's TCP sockets (`protovine.net.ops.meter`). Latencies come from the traces,
in two parts: from sending to accepting, and from there until the last prototype was trained.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from protovine.experiments.define.config import Experiment
from protovine.experiments.define.prepare import prepare
from protovine.experiments.live.swarm import LocalSwarm
from protovine.records import AnyRecord, Received, Sent, Trained
from protovine.system import warm

SETTLE_S, IDLE_S = 30.0, 60.0


def main() -> None:
    if sys.argv[1:2] == ["idle"]:
        for secure in (False, True):
            idle(int(sys.argv[2]), secure)
    else:
        for secure in (False, True):
            busy(secure)


def made(nodes: int, secure: bool, folder: str, stay: bool = False) -> LocalSwarm:
    experiment = Experiment(presets=["default"], seeds=1, data={"source": "phishing"}, swarm={"nodes": nodes})
    prepared = prepare(experiment)
    warm(prepared.settings.values())
    return LocalSwarm(prepared, Path(folder) / "swarm", secure=secure, stay=stay)


def busy(secure: bool) -> None:
    """The stream, then silence, to separate messages from the traffic that keeps links alive."""
    with tempfile.TemporaryDirectory() as folder:
        swarm = made(5, secure, folder, stay=True)
        try:
            swarm.start()
            time.sleep(2.0)  # The last hellos.
            before = counts(swarm)
            started = time.monotonic()
            swarm.begin()
            swarm.wait()
            time.sleep(1.0)  # The newest status of each.
            seconds = time.monotonic() - started
            spent = counts(swarm) - before
            time.sleep(5.0)
            before = counts(swarm)
            time.sleep(20.0)
            quiet = (counts(swarm) - before)[:, 0].mean() / 20.0
            statuses = [member.status() or {} for member in swarm.members]
        finally:
            swarm.stop()
        records = swarm.records()
    sent = [record for record in records if isinstance(record, Sent) and record.at_ns]  # Since the stream began.
    frames = sum(record.header_bytes + record.payload_bytes for record in sent)
    sockets, sealed, cpu = spent[:, 0].sum(), spent[:, 1].sum(), spent[:, 2].mean()
    around = (sockets - sealed - quiet * 5 * seconds) / len(sent)
    print(f"{'TLS' if secure else 'plain'}: {len(sent)} messages, {frames / len(sent):.1f} bytes of frame each, "
          f"{(sealed - frames) / len(sent):.1f} of envelope, {around:.1f} of Zenoh{' and TLS' if secure else ''}; "
          f"{quiet:.0f} B/s per node keep four links alive")  # fmt: skip
    print(f"  {sockets / 5 / seconds:.0f} B/s per node at the socket; {cpu / seconds:.1%} of a core; "
          f"{np.mean([status['rss_bytes'] for status in statuses]) / 2**20:.0f} MB")  # fmt: skip
    for name, times in zip(("sent to accepted", "accepted to used", "together"), latencies(records), strict=True):
        print(f"  {name}: p50 {np.percentile(times, 50):.1f} ms, p99 {np.percentile(times, 99):.1f} ms ({len(times)})")


def latencies(records: list[AnyRecord]) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds of every message with prototypes from sending to accepting, from there to training, and together.

    A message is known by its time in whole milliseconds. Prototypes are trained in the order in which they came.
    """
    sent = {(r.node, r.peer, r.at_ns // 10**6): r.at_ns for r in records if isinstance(r, Sent) and r.prototypes}
    ways, waits, both = [], [], []
    waiting: dict[int, list[tuple[int, int, int | None]]] = defaultdict(list)
    come: dict[int, int] = defaultdict(int)
    trained: dict[int, int] = defaultdict(int)
    for record in records:
        if isinstance(record, Received) and record.prototypes:
            come[record.node] += record.prototypes
            at_ns = sent.get((record.peer, record.node, record.created_ns // 10**6))
            waiting[record.node].append((come[record.node], record.at_ns, at_ns))
            if at_ns is not None:
                ways.append((record.at_ns - at_ns) / 1e6)
        elif isinstance(record, Trained):
            trained[record.node] += record.count
            queue = waiting[record.node]
            while queue and queue[0][0] <= trained[record.node]:
                _, accepted_ns, at_ns = queue.pop(0)
                waits.append((record.at_ns - accepted_ns) / 1e6)
                if at_ns is not None:
                    both.append((record.at_ns - at_ns) / 1e6)
    return ways, waits, both


def idle(nodes: int, secure: bool) -> None:
    """Measure nodes that have met and are silent."""
    with tempfile.TemporaryDirectory() as folder:
        swarm = made(nodes, secure, folder)
        try:
            started = time.monotonic()
            swarm.start()
            met_s = time.monotonic() - started
            time.sleep(SETTLE_S)
            before = counts(swarm)
            time.sleep(IDLE_S)
            spent = (counts(swarm) - before) / IDLE_S
            rss = np.mean([(member.status() or {})["rss_bytes"] for member in swarm.members]) / 2**20
            peers = min(sum(peer["alive"] for peer in (member.status() or {})["peers"]) for member in swarm.members)
        finally:
            swarm.stop()
    print(f"{'TLS' if secure else 'plain'}: {nodes} nodes met in {met_s:.0f} s, all hear {peers}; idle, each sends "
          f"{spent[:, 0].mean():.0f} B/s, {spent[:, 0].mean() / (nodes - 1):.1f} B/s per link, "
          f"and takes {spent[:, 2].mean():.1%} of a core and {rss:.0f} MB")  # fmt: skip


def counts(swarm: LocalSwarm) -> np.ndarray:
    """For each node: bytes sent at its sockets, bytes of envelopes, seconds of processor."""
    found = [member.status() or {} for member in swarm.members]
    return np.array([[each["socket"][0], each["bytes_sent"], each["cpu_s"]] for each in found], float)


if __name__ == "__main__":
    main()
