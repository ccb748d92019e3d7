"""The paper's whole elec2 scenario (5000 samples, base, s = 4, T = 1) against the time it takes in reality.

    python -m benchmarks.swarm

Needs elec2 (see docs/data.md). Memory is the peak of this process, with the trace in it.
"""

from __future__ import annotations

import resource
import statistics

from protovine import Experiment, load, run

ROUNDS = 5


def main() -> None:
    data = load("elec2", rows=5000)
    experiment = Experiment(presets="paper-base", data=data, gossip={"s": 4, "T": 1.0}, seeds=1)
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
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
