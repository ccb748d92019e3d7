"""Where the time of a simulated swarm goes, by what the interpreter is at every millisecond of CPU time.

    python -m benchmarks.profile_simulator
    python -m benchmarks.profile_simulator --nodes 1000 --samples 50 [--page docs/performance.md]

Runs in this process, which has compiled everything before. Time in a compiled kernel counts for the line that calls it.
Sampling costs nothing while a kernel runs and little otherwise; `cProfile` makes Python two to three times as slow.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections import Counter
from pathlib import Path
from types import FrameType

import protovine
from benchmarks.page import write_between

ROOT = str(Path(protovine.__file__).parent) + "/"
# The part of a frame, by the beginning of its file in the package; the first that fits.
PARTS = (
    ("learn/hedged/core.py", "learner"),
    ("learn/", "learner"),
    ("share/", "encoding, decoding, inbox"),
    ("prototypes.py", "encoding, decoding, inbox"),
    ("varint.py", "encoding, decoding, inbox"),
    ("gossip/", "gossip"),
    ("exchange/", "gossip"),
    ("node.py", "node"),
    ("records.py", "records"),
    ("columns.py", "records"),
    ("experiments/run/trace.py", "records"),
    ("sim/invariants.py", "records"),
    ("sim/", "events and links"),
    ("experiments/run/judge.py", "judging"),
    ("experiments/run/series.py", "judging"),
    ("metrics/", "judging"),
    ("age/", "judging"),
)
KERNELS = {"_learn", "predict"}


def part_of(frame: FrameType | None) -> str:
    """The part of the innermost frame of this package."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(ROOT):
            name = file.removeprefix(ROOT)
            if name == "learn/hedged/core.py" and frame.f_code.co_name in KERNELS:
                return "the learner's kernels"
            return next((part for begin, part in PARTS if name.startswith(begin)), "all else")
        frame = frame.f_back
    return "all else"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--samples", type=int, default=100, help="for each node")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    options = parser.parse_args()

    def run(nodes: int, samples: int, topology: str) -> None:
        data, swarm = {"source": "sea", "limit": nodes * samples}, {"nodes": nodes, "topology": topology}
        protovine.run(protovine.Experiment(presets="default", data=data, swarm=swarm, seeds=1))

    run(5, 20, "full")
    found: Counter[str] = Counter()
    signal.signal(signal.SIGPROF, lambda number, frame: found.update([part_of(frame)]))
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    run(options.nodes, options.samples, "regular:8")
    signal.setitimer(signal.ITIMER_PROF, 0)
    each_us = (time.process_time() - started) * 1e6 / (options.nodes * options.samples)
    total = sum(found.values())
    rows = [(part, each_us * count / total, count / total) for part, count in found.most_common()]
    lines = ["| part | µs per sample | of all |", "|---|---|---|"]
    lines += [f"| {part} | {us:.0f} | {part_of_all:.0%} |" for part, us, part_of_all in [*rows, ("all", each_us, 1.0)]]
    print("\n".join(lines))
    if options.page:
        write_between(options.page, "profile", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
