"""Speed of the simulator against real time in the paper's largest scenario, and of judging against simulation.

    python -m benchmarks.swarm

The first part (elec2, 5000 samples, base, s = 4, T = 1) needs elec2 (docs/reference/data.md). The second part takes
some minutes: the default preset on 8-regular graphs of 100 and 1,000 nodes, 100 samples each. Memory is the peak of
this process, with all records in it.
"""

from __future__ import annotations

import resource
import statistics
import time

from protovine import Experiment, load, run
from protovine.experiments.define.build import build
from protovine.experiments.define.prepare import prepare
from protovine.experiments.run.ages import expected_ages
from protovine.experiments.run.execute import describe_run, simulate
from protovine.experiments.run.judge import judge

ROUNDS = 5
SIZES = (100, 1000)
SAMPLES_PER_NODE = 100


def against_real_time() -> None:
    """Print how many times faster than real time the paper's scenario runs."""
    data = load("elec2", rows=5000)
    experiment = Experiment(presets="paper-base", data=data, gossip={"fanout": 4, "share_probability": 1.0}, seeds=1)
    run(experiment)  # Compile first.
    runs = [run(experiment).runs[0] for _ in range(ROUNDS)]
    made = runs[0].metrics
    assert len({each.trace_hash for each in runs}) == 1
    ratios = sorted(each.metrics["virtual_s"] / each.metrics["wall_s"] for each in runs)
    print(
        f"{made['messages']:,.0f} set transfers, {5 * made['prototypes_trained_per_node']:,.0f} prototype trainings, "
        f"{made['bytes_total'] / 1e6:.0f} MB encoded, checked and decoded"
    )
    print(
        f"{made['virtual_s']:.1f} s of the swarm's time in {statistics.median(r.metrics['wall_s'] for r in runs):.2f} s"
    )
    print(f"{statistics.median(ratios):.1f} times faster than real time ({ratios[0]:.1f} to {ratios[-1]:.1f})")


def judging(nodes: int) -> None:
    """Print how long judging a run takes, as a fraction of its simulation."""
    swarm = {"nodes": nodes, "topology": "regular:8"}
    data = {"source": "sea", "limit": nodes * SAMPLES_PER_NODE}
    prepared = prepare(Experiment(presets="default", data=data, swarm=swarm, seeds=1))
    settings, stream = prepared.settings["default"], prepared.data[0]
    built = build(settings, stream, 0)
    made, simulated_s = simulate(settings, stream, built)
    started = time.perf_counter()
    expected = expected_ages(settings, built.neighbours)
    described = describe_run(settings, "default", 0, stream, built)
    judge(described, made.columns, expected=expected, wall_s=simulated_s, trace_hash=made.trace_hash)
    judged_s = time.perf_counter() - started
    print(
        f"{nodes:,} nodes x {SAMPLES_PER_NODE} samples: simulated in {simulated_s:.1f} s, judged in {judged_s:.2f} s "
        f"({judged_s / simulated_s:.1%} of that; {1e6 * judged_s / len(stream):.0f} µs per sample)"
    )


def main() -> None:
    against_real_time()
    for nodes in SIZES:
        judging(nodes)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
