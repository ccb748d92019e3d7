"""Time and memory of ages on a random 4-regular graph: ``python -m benchmarks.percolation [--nodes N] [--draws K]``."""

from __future__ import annotations

import argparse
import resource
import time

from protovine.age import PushRates, ball_age, percolation_age, random_regular


def main() -> None:
    """Print the ages, the time of each step and the largest memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--draws", type=int, default=5)
    options = parser.parse_args()
    started = time.perf_counter()
    graph = PushRates.push(random_regular(options.nodes, 4))
    made = time.perf_counter()
    age = percolation_age(graph, draws=options.draws)
    drawn = time.perf_counter()
    quick = ball_age(graph, node=0)
    ended = time.perf_counter()
    half = (age.high_s - age.low_s) / 2
    print(f"graph of {options.nodes:,} nodes: {made - started:.1f} s")
    print(f"{options.draws} draws: {drawn - made:.1f} s; mean age {age.mean_s:.2f} ± {half:.2f} s (95 %)")
    print(f"ball growth: {ended - drawn:.1f} s; mean age {quick:.2f} s")
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


if __name__ == "__main__":
    main()
