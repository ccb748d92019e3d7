"""HedgedLVQ's predictions and updates against the time that memory needs to deliver its prototypes once.

    python -m benchmarks.bounds [--prototypes M ...] [--features D ...] [--rounds R] [--json FILE] [--page FILE]

No learner that compares a sample with every prototype can be faster than this bound. The bound and the learner take
turns in one process, so a busy machine slows both; ratios are medians over rounds, with their range. The bound reads
as many bytes as the vectors of the prototypes have, again and again, from whichever cache holds them.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.page import publish
from protovine.learn import HedgedLVQCore

# A measurement repeats its work until it takes this long, and is itself repeated: other programs make some longer.
ENOUGH_S, REPEATS = 0.005, 5
# Less is read in so short a time that a call takes longer.
BYTES_MIN = 4096


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def read(table: NDArray[np.float64], times: int) -> float:
    """Read a table ``times`` times."""
    total = 0.0
    for _ in range(times):
        total += np.dot(table, table)
    return total


def full(prototypes: int, features: int) -> HedgedLVQCore:
    """A learner with this number of prototypes, of samples that no other sample explains."""
    core, rng = HedgedLVQCore(features, 2, size_max=prototypes), np.random.default_rng(1)
    for begin in range(0, 40 * prototypes, prototypes):
        x, codes = rng.standard_normal((prototypes, features)), rng.integers(0, 2, prototypes)
        core.learn(x, codes, np.arange(begin, begin + prototypes) * 1_000_000)
        if len(core) == prototypes:
            return core
    raise SystemExit(f"only {len(core)} of {prototypes} prototypes were kept")


def seconds(work: Callable[[int], object]) -> float:
    """Seconds for each of the repetitions that ``work`` takes the number of; the least of several measurements."""
    times = 1
    while True:
        least = np.inf
        for _ in range(REPEATS):
            started = time.perf_counter()
            work(times)
            least = min(least, time.perf_counter() - started)
        if least >= ENOUGH_S:
            return float(least / times)
        times = max(2 * times, math.ceil(1.2 * times * ENOUGH_S / least))


def measured(prototypes: int, features: int, rounds: int) -> dict[str, Any]:
    """Microseconds of the bound, of a prediction and of an update, and the ratios to the bound."""
    core, rng = full(prototypes, features), np.random.default_rng(2)
    size = prototypes * features * 8
    table = np.ones(max(size, BYTES_MIN) // 8)
    x, codes = rng.standard_normal((512, features)), rng.integers(0, 2, 512)
    now_ns = core.clock_ns[0] + 1

    def predict(times: int) -> None:
        for begin in range(0, times, len(x)):
            core.predict_many(x[: min(len(x), times - begin)], now_ns)

    def learn(times: int) -> None:
        nonlocal now_ns
        for begin in range(0, times, len(x)):
            n = min(len(x), times - begin)
            core.learn_checked(x[:n], codes[:n], np.arange(now_ns, now_ns + n))
            now_ns += n

    found: dict[str, list[float]] = {"bound_us": [], "predict_us": [], "update_us": []}
    for _ in range(rounds):
        found["bound_us"].append(1e6 * seconds(lambda times: read(table, times)) * size / (8 * len(table)))
        found["predict_us"].append(1e6 * seconds(predict))
        found["update_us"].append(1e6 * seconds(learn))
    ratios = {
        name: [took / bound for took, bound in zip(found[f"{name}_us"], found["bound_us"], strict=True)]
        for name in ("predict", "update")
    }
    return {
        "prototypes": prototypes,
        "features": features,
        **{name: statistics.median(values) for name, values in found.items()},
        **{f"{name}_ratio": [statistics.median(each), min(each), max(each)] for name, each in ratios.items()},
    }


def table_of(found: list[dict[str, Any]]) -> str:
    """A Markdown table of the measurements."""
    lines = [
        "| prototypes | features | bound µs | predict µs | times the bound | update µs | times the bound |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in found:
        cells = [f"{each['prototypes']:,}", f"{each['features']}", f"{each['bound_us']:.2f}"]
        for name in ("predict", "update"):
            middle, low, high = each[f"{name}_ratio"]
            cells += [f"{each[f'{name}_us']:,.1f}", f"{middle:,.3g} ({low:,.3g} to {high:,.3g})"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prototypes", type=int, nargs="+", default=[50, 500, 2000])
    parser.add_argument("--features", type=int, nargs="+", default=[2, 8, 64, 500])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write every number into this file")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    chosen = parser.parse_args()
    read(np.ones(1), 1)  # Compile first.
    with threadpool_limits(1):
        found = [measured(m, d, chosen.rounds) for d in chosen.features for m in chosen.prototypes]
    publish(found, table_of(found), "bounds", chosen.json, chosen.page)


if __name__ == "__main__":
    main()
