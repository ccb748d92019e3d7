"""Speed and memory of the simulator against the number of nodes: docs/performance.md.

    python -m benchmarks.scale [--nodes N ...] [--samples S] [--topology NAME] [--shards K] [--rounds R] [--json FILE]

Each size runs in a process of its own, after a small run that compiles: the default preset on the generated stream
``sea``. CPU seconds are those of all processes of the run, with drawing the topology and judging. On a machine that
does other work too, they say more than wall seconds.

    python -m benchmarks.scale --compare COMMIT COMMIT [--nodes N ...] [--rounds R]

runs two commits in turn, prints the ratio of their CPU seconds (second over first) and its spread, and fails if the
second takes over 10 % more. Commits are checked out into a temporary folder.

    python -m benchmarks.scale --page docs/performance.md --json benchmarks/results/scale.json

writes the table of the page from numbers that were measured before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.page import write_between, write_json

HERE = Path(__file__).resolve().parent.parent
# A second commit that takes this much longer than the first has lost speed.
LOSS_MAX = 0.1
_ONE = """
import json, sys
sys.path.insert(0, {here!r})
from benchmarks.scale import one
print(json.dumps(one(**json.loads(sys.argv[1]))))
"""


def one(nodes: int, samples: int, topology: str, shards: int) -> dict[str, Any]:
    """One run in this process, by whichever protovine it imports."""
    from protovine import Experiment, run

    def experiment(source: str, n: int, each: int, over: str) -> Any:
        swarm = {"nodes": n, "topology": over}
        return Experiment(presets="default", data={"source": source, "limit": n * each}, swarm=swarm, seeds=1)

    run(experiment("rotation", 5, 20, "full"))  # Compile first; this stream needs no River, which takes memory.
    before_mb, before_s, started = _resident_mb(), _cpu_s(), time.perf_counter()
    made = run(experiment("sea", nodes, samples, topology), jobs=shards).runs[0]
    wall_s, cpu_s = time.perf_counter() - started, _cpu_s() - before_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    child_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "nodes": nodes,
        "samples": samples,
        "topology": topology,
        "shards": shards,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "cpu_us_per_sample": 1e6 * cpu_s / (nodes * samples),
        "samples_per_s": nodes * samples / wall_s,
        "peak_mb": peak_mb,
        "child_peak_mb": child_mb,
        # Shards share some memory with their parent, so this is a little too much.
        "kb_per_node": 1024 * (peak_mb - before_mb + (shards * child_mb if shards > 1 else 0)) / nodes,
        **{name: made.metrics[name] for name in ("f1", "bytes_per_node_per_s", "messages", "aoi_mean_s")},
        "trace_hash": made.trace_hash,
    }


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measured(source: Path, about: dict[str, Any]) -> dict[str, Any]:
    """`one` in a new process, with the protovine below ``source``."""
    environment = {**os.environ, "PYTHONPATH": str(source / "src")}
    command = [sys.executable, "-c", _ONE.format(here=str(HERE)), json.dumps(about)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=source)
    if done.returncode:
        raise SystemExit(f"{about} failed: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(first: str, second: str, cases: list[dict[str, Any]], rounds: int) -> bool:
    """Whether the second commit has lost no speed; prints the ratios."""
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        trees = [Path(folder, name) for name in ("first", "second")]
        for commit, tree in zip((first, second), trees, strict=True):
            tree.mkdir()
            archive = subprocess.run(["git", "archive", commit], cwd=HERE, capture_output=True, check=True).stdout
            subprocess.run(["tar", "x", "-C", str(tree)], input=archive, check=True)
        for about in cases:
            pairs = [[measured(tree, about) for tree in trees] for _ in range(rounds)]
            ratios = sorted(late["cpu_s"] / early["cpu_s"] for early, late in pairs)
            median = statistics.median(ratios)
            kept &= median <= 1 + LOSS_MAX
            same = "same" if len({each["trace_hash"] for pair in pairs for each in pair}) == 1 else "DIFFERENT"
            print(
                f"{about['nodes']:,} nodes x {about['samples']}: {second} takes {median:.3f} times the CPU time of "
                f"{first} ({ratios[0]:.3f} to {ratios[-1]:.3f}), {same} trace hash"
            )
    return kept


def table(found: list[dict[str, Any]]) -> str:
    """A Markdown table of the measurements."""
    heads = (
        "nodes x samples",
        "topology",
        "processes",
        "CPU s",
        "CPU µs per sample",
        "wall s",
        "peak MB",
        "of a child",
        "kB per node",
        "F1",
        "B/s per node",
        "age s",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for each in found:
        cells = (
            f"{each['nodes']:,} x {each['samples']}",
            each["topology"],
            str(each["shards"]),
            f"{each['cpu_s']:,.0f}",
            f"{each['cpu_us_per_sample']:,.0f}",
            f"{each['wall_s']:,.0f}",
            f"{each['peak_mb']:,.0f}",
            f"{each['child_peak_mb']:,.0f}" if each["shards"] > 1 else "–",
            f"{each['kb_per_node']:,.0f}",
            f"{each['f1']:.3f}",
            f"{each['bytes_per_node_per_s']:,.0f}",
            f"{each['aoi_mean_s']:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--samples", type=int, default=100, help="samples of each node")
    parser.add_argument("--topology", default="regular:8")
    parser.add_argument("--shards", type=int, default=1, help="processes of a run")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--compare", nargs=2, metavar="COMMIT")
    parser.add_argument("--json", type=Path, help="add every number to this file")
    parser.add_argument("--page", type=Path, help="measure nothing, write the table of --json into this page")
    chosen = parser.parse_args()
    known = json.loads(chosen.json.read_text())["measured"] if chosen.json and chosen.json.is_file() else []
    if chosen.page:
        write_between(chosen.page, "scale", table(known))
        return
    cases = [
        {"nodes": n, "samples": chosen.samples, "topology": chosen.topology, "shards": chosen.shards}
        for n in chosen.nodes
    ]
    if chosen.compare:
        sys.exit(0 if compare(*chosen.compare, cases, chosen.rounds) else 1)
    found = []
    for about in cases * chosen.rounds:
        found.append(measured(HERE, about))
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
        if chosen.json:
            write_json(chosen.json, known + found)
    print(table(found))


if __name__ == "__main__":
    main()
