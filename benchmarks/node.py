"""Measure nodes: memory, processor time and bytes of five real processes, each with 10 samples a second.

    python -m benchmarks.node [--data phishing] [--nodes 5] [--rate 10] [--preset default] [--plain]

It starts the same processes as ``protovine swarm --data phishing``. Memory is the resident set at the end; processor
time is counted from the first sample to the last, in percent of one core; bytes are those at the sockets.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from protovine.experiments.define.config import Experiment
from protovine.experiments.define.prepare import prepare
from protovine.experiments.live.swarm import LocalSwarm
from protovine.experiments.run.runner import warm

# Members write down how they are twice a second.
_WRITTEN_S = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="phishing")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--plain", action="store_true")
    asked = parser.parse_args()
    prepared = prepare(
        Experiment(
            presets=[asked.preset],
            data={"source": asked.data},
            swarm={"nodes": asked.nodes, "rate_hz": asked.rate},
            seeds=1,
        )
    )
    warm(prepared.settings.values())
    with tempfile.TemporaryDirectory() as folder:
        swarm = LocalSwarm(prepared, Path(folder) / "swarm", secure=not asked.plain)
        try:
            swarm.start()
            time.sleep(_WRITTEN_S)
            before = [status(member) for member in swarm.members]
            began = time.monotonic()
            swarm.begin()
            swarm.wait()
            elapsed_s = time.monotonic() - began
            time.sleep(_WRITTEN_S)
            after = [status(member) for member in swarm.members]
        finally:
            swarm.stop()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {elapsed_s:.0f} s\n")
    print(
        "| node | samples | memory [MB] | before [MB] | processor [%] | start [s] | sent [B/s] | p50 [ms] | p99 [ms] |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for old, new in zip(before, after, strict=True):
        latency = new["latency_s"]
        p50, p99 = (f"{1000 * latency[key]:.1f}" if latency[key] is not None else "–" for key in ("p50", "p99"))
        print(
            f"| {new['name']} | {new['samples']} | {new['rss_bytes'] / 1e6:.0f} | {old['rss_bytes'] / 1e6:.0f} "
            f"| {100 * (new['cpu_s'] - old['cpu_s']) / elapsed_s:.1f} | {old['cpu_s']:.1f} "
            f"| {(new['socket'][0] - old['socket'][0]) / elapsed_s:.0f} | {p50} | {p99} |"
        )


def status(member: Any) -> dict[str, Any]:
    """The newest status of a member."""
    found = member.status()
    assert found is not None, f"node {member.spec.node} has written nothing"
    return dict(found)


if __name__ == "__main__":
    main()
