"""Time the scores of a set of 100 prototypes of 8 features, and merging 200 prototypes into 50.

    python -m benchmarks.usefulness

Candidates take turns, so that noise of the machine affects all equally; ratios are medians over rounds. The authors'
distance uses scikit-learn's kernel density on their number of points (about 11,300 here: features are uniform in
[0, 1]). First it is checked that `jensen_shannon_kde` gives the same distance.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from tests.share.test_jensen_shannon import by_scikit_learn

from protovine.compress import compressor
from protovine.prototypes import Evidence, PrototypeSet
from protovine.share import GainGate, jensen_shannon_kde, jensen_shannon_loo

ROUNDS, REPEATS = 15, 20
SIZE, DIM = 100, 8


def main() -> None:
    draw = np.random.default_rng(0)
    own, known = (random_set(SIZE, draw) for _ in range(2))
    window_x, window_label = draw.random((100, DIM)), draw.integers(0, 2, 100)
    large = random_set(200, draw)
    greedy, top = compressor("greedy"), compressor("top-greedy")
    gate = GainGate()

    def gain() -> None:
        # New evidence each time: nothing is filtered already.
        gate.score(Evidence(own, 0, window_x, window_label), known)

    ways: dict[str, tuple[Callable[[], object], int]] = {
        "authors' distance, scikit-learn": (lambda: by_scikit_learn(own, known, np.random.default_rng(1)), 1),
        "authors' distance, own kernel": (lambda: jensen_shannon_kde(own, known, np.random.default_rng(1)), 1),
        "leave-one-out divergence": (lambda: jensen_shannon_loo(own, known), REPEATS),
        "expected gain": (gain, REPEATS),
        "greedy merging, 200 to 50": (lambda: greedy.compress(large, 50), REPEATS),
        "top, then greedy, 200 to 50": (lambda: top.compress(large, 50), REPEATS),
    }
    # Compiled by this, too.
    first, second, *_ = [way() for way, _ in ways.values()]
    assert isinstance(first, float) and isinstance(second, float) and abs(first - second) < 1e-9
    rounds = [{name: seconds(way, repeats) for name, (way, repeats) in ways.items()} for _ in range(ROUNDS)]
    print(f"{'':34}{'ms':>9}{'times faster than scikit-learn':>34}{'than the own kernel':>30}")
    reference, kernel, *_ = ways
    for name in ways:
        column = [each[name] for each in rounds]
        against = [ratio([each[base] / each[name] for each in rounds]) for base in (reference, kernel)]
        print(f"{name:34}{statistics.median(column) * 1e3:9.3f}{against[0]:>34}{against[1]:>30}")


def random_set(size: int, draw: np.random.Generator) -> PrototypeSet:
    weight = draw.integers(1, 30, size)
    return PrototypeSet.of(draw.random((size, DIM)), draw.integers(0, 2, size), weight=weight)


def seconds(work: Callable[[], object], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - started) / repeats


def ratio(found: list[float]) -> str:
    return f"{statistics.median(found):.1f} ({min(found):.1f} to {max(found):.1f})"


if __name__ == "__main__":
    main()
