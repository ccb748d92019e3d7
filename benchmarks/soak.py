"""Measure the memory growth of one real runtime that takes a day of samples at full speed.

    python -m benchmarks.soak [SAMPLES]

By default it takes 864,000 samples, 24 hours at 10 Hz, of a repeating generated stream. Its only peer is a runtime in
the same process, which takes one sample for every ten and shares too, so memory is that of both. Snapshots go to the
disk. Memory is read every 20,000 samples; the growth is the slope of a line through the last four fifths.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from protovine.net import MemberName, PlainEnvelope
from protovine.net.clock import Clock
from protovine.net.runtime import Runtime
from protovine.net.store import Store
from protovine.net.transport import Channel
from protovine.stream import load
from protovine.system import NodeContext, SystemSettings, build_node, resolve

SAMPLES, STEP = 864_000, 20_000
TICK_NS = 100_000_000  # Of the clock that the runtimes are given, per sample.


@dataclass
class Event:
    x: Any
    y: int | None
    id: int
    time_ns: int | None = None
    device: str = ""
    place: Any = None


class Pipe:
    """A transport to one peer in the same loop."""

    def __init__(self) -> None:
        self.other: Pipe
        self.deliver: Callable[[Channel, bytes], None]

    def open(self, deliver: Any, alive: Any, status: Any) -> None:
        self.deliver, self.alive = deliver, alive

    def send(self, peer: int, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(self.other.deliver, Channel.MESSAGE, data)

    def send_all(self, data: bytes) -> None:
        raise AssertionError("these nodes send to one peer at a time")

    def send_hello(self, peer: int | None, data: bytes, ask: bool) -> None:
        asyncio.get_running_loop().call_soon(self.other.deliver, Channel.ASK if ask else Channel.HELLO, data)

    def rejoin(self) -> None:
        """There is no multicast group."""

    def reopen(self) -> None:
        """Do nothing: the link is always open."""

    def close(self) -> None:
        """Do nothing."""


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def soak(samples: int, folder: Path, step: int = STEP, say: Callable[[str], None] = print) -> tuple[float, float]:
    """Growth in bytes per 100,000 samples after warm-up, and samples per second."""
    data = load("hyperplane", rows=20_000, seed=1)
    now = [time.time_ns()]
    pipes = [Pipe(), Pipe()]
    pipes[0].other, pipes[1].other = pipes[1], pipes[0]
    with Store(folder) as store:
        runtimes = []
        for member in (0, 1):
            context = NodeContext(
                node=member,
                peers=[],
                dim=data.x.shape[1],
                n_classes=len(data.classes),
                draw=lambda purpose, member=member: np.random.default_rng([member, len(purpose)]),
            )
            node = build_node(resolve("default", {"gossip": {"schedule": "round-robin"}}, SystemSettings), context)
            envelope = PlainEnvelope(MemberName("soak", f"node-{member}", member), incarnation=1, schema=b"")
            runtimes.append(
                Runtime(
                    node,
                    envelope,
                    pipes[member],
                    store=store if member == 0 else None,
                    snapshot_s=5.0,
                    clock=Clock(lambda: now[0], lambda: now[0], least_ns=0),
                )
            )
        one, two = runtimes
        running = [asyncio.create_task(each.run()) for each in runtimes]
        while not (one.roster.peers and two.roster.peers):
            now[0] += TICK_NS
            for each in runtimes:
                each.run_due()
            await asyncio.sleep(0)
        found: list[tuple[int, int]] = []
        started = time.perf_counter()
        for number in range(samples):
            now[0] += TICK_NS
            row = number % len(data)
            one.take(Event(data.x[row], int(data.y[row]), number))
            if number % 10 == 0:
                row = (7 * number + 3) % len(data)
                two.take(Event(data.x[row], int(data.y[row]), number))
                for each in runtimes:
                    each.run_due()  # The clock that they were given is faster than the loop's.
                await asyncio.sleep(0)
            if number % step == step - 1:
                gc.collect()
                found.append((number, resident()))
                accuracy, heard = one.tally.right / one.tally.judged, sum(one.tally.received.values())
                say(f"{number + 1:>9,} {resident() / 2**20:7.1f} MB, accuracy {accuracy:.3f}, "
                    f"{len(one.node.learner)} prototypes, {heard:,} messages received")  # fmt: skip
        rate = samples / (time.perf_counter() - started)
        for each in runtimes:
            each.stop()
        await asyncio.gather(*running)
        assert one.tally.received[1, "log"] > 0 and two.tally.received[0, "log"] > 0
    kept = np.array(found[len(found) // 5 :], float)
    return float(np.polyfit(kept[:, 0], kept[:, 1], 1)[0]) * 100_000, rate


def main() -> None:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES
    with tempfile.TemporaryDirectory() as folder:
        growth, rate = asyncio.run(soak(samples, Path(folder)))
    print(f"{samples:,} samples at {rate:,.0f} per second; memory grows by {growth / 1e6:.2f} MB per 100,000 samples")
    sys.exit(growth > 1e6)


if __name__ == "__main__":
    main()
