"""XuILVQ against River's Hoeffding tree on elec2's first 5000 rows over 5 nodes: predict and learn, in one process.

    python -m benchmarks.learner

Needs elec2 (see docs/data.md). The two are timed in turn, so that a noisy machine slows both; ratios are medians over
rounds. Before anything is timed, the predictions are compared with the plain twin of the tests, bit by bit.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from river import tree
from tests.learn.twin import Twin

from protovine import XuILVQ, load
from protovine.learn import XuILVQCore

ROUNDS = 7
NODES = 5


def main() -> None:
    data = load("elec2", rows=5000)
    parts = [(np.ascontiguousarray(data.x[i::NODES]), np.array(data.y[i::NODES])) for i in range(NODES)]
    dicts = [[dict(zip(data.features, row, strict=True)) for row in x.tolist()] for x, _ in parts]
    labels = [y.tolist() for _, y in parts]

    def river(make: Callable) -> float:
        started = time.perf_counter()
        for rows, ys in zip(dicts, labels, strict=True):
            model = make()
            for x, y in zip(rows, ys, strict=True):
                model.predict_one(x)
                model.learn_one(x, y)
        return time.perf_counter() - started

    def arrays() -> float:
        started = time.perf_counter()
        for x, y in parts:
            XuILVQCore(x.shape[1], 2).prequential(x, y, np.zeros(len(y), np.int64))
        return time.perf_counter() - started

    compare_with_twin(parts)
    river(XuILVQ)  # Compile first.
    rounds = [(river(tree.HoeffdingTreeClassifier), river(XuILVQ), arrays()) for _ in range(ROUNDS)]
    samples = len(data)
    print(f"{'':24}{'us per sample':>14}{'times faster than the tree':>30}")
    for name, column in (("Hoeffding tree", 0), ("XuILVQ, dictionaries", 1), ("XuILVQ, arrays", 2)):
        micros = statistics.median(each[column] for each in rounds) / samples * 1e6
        ratios = sorted(each[0] / each[column] for each in rounds)
        print(f"{name:24}{micros:14.2f}{statistics.median(ratios):20.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})")


def compare_with_twin(parts: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Predictions and shares equal those of plain Python on the first node's samples."""
    x, y = parts[0]
    codes, shares = XuILVQCore(x.shape[1], 2).prequential(x, y, np.zeros(len(y), np.int64))
    twin = Twin(2)
    for i, row in enumerate(x.tolist()):
        code, votes = twin.predict(row)
        assert code == codes[i], f"sample {i}"
        assert np.array_equal(votes, shares[i]), f"sample {i}"
        twin.learn(row, int(y[i]))
    print(f"equal to the plain twin to the last bit on {len(x)} samples")


if __name__ == "__main__":
    main()
