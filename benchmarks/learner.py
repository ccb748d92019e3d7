"""The learners against River's trees on elec2's first 5000 rows over 5 nodes: prequential, in one process.

    python -m benchmarks.learner

Needs elec2 (docs/reference/data.md). Learners take turns, so that noise of the machine affects all equally; ratios are
medians over rounds. First the predictions are compared with plain Python twins from the tests: XuILVQ to the last bit,
the hedged LVQ to 1e-9.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from river import forest, tree
from tests.learn.hedged import twin as hedged
from tests.learn.xuilvq import twin as xuilvq

from protovine import HedgedLVQ, XuILVQ, load
from protovine.learn import HedgedLVQCore, XuILVQCore

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

    def arrays(make: Callable) -> float:
        started = time.perf_counter()
        for x, y in parts:
            make(x.shape[1], 2).prequential(x, y, np.arange(len(y)))
        return time.perf_counter() - started

    compare_with_twins(parts)
    competitors: dict[str, Callable[[], float]] = {
        "Hoeffding tree": lambda: river(tree.HoeffdingTreeClassifier),
        "ARF": lambda: river(lambda: forest.ARFClassifier(seed=1)),
        "XuILVQ, dictionaries": lambda: river(XuILVQ),
        "XuILVQ, arrays": lambda: arrays(XuILVQCore),
        "HedgedLVQ, dictionaries": lambda: river(HedgedLVQ),
        "HedgedLVQ, arrays": lambda: arrays(HedgedLVQCore),
    }
    river(XuILVQ), river(HedgedLVQ)  # Compile first.
    rounds = [{name: run() for name, run in competitors.items()} for _ in range(ROUNDS)]
    print(f"{'':24}{'us per sample':>14}{'times as fast as the tree':>30}{'as ARF':>24}")
    for name in competitors:
        micros = statistics.median(each[name] for each in rounds) / len(data) * 1e6
        against = [ratios([each[other] / each[name] for each in rounds]) for other in ("Hoeffding tree", "ARF")]
        print(f"{name:24}{micros:14.2f}{against[0]:>30}{against[1]:>24}")


def ratios(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def compare_with_twins(parts: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Codes and probabilities equal those of plain Python on the first node's samples."""
    x, y = parts[0]
    codes, proba = XuILVQCore(x.shape[1], 2).prequential(x, y, np.zeros(len(y), np.int64))
    twin = xuilvq.Twin(2)
    for i, row in enumerate(x.tolist()):
        code, votes = twin.predict(row)
        assert code == codes[i], f"sample {i}"
        assert np.array_equal(votes, proba[i]), f"sample {i}"
        twin.learn(row, int(y[i]))
    print(f"XuILVQ equals its plain twin to the last bit on {len(x)} samples")
    core = HedgedLVQCore(x.shape[1], 2)
    slow = hedged.Twin(core)
    _, proba = core.prequential(x, y, np.arange(len(y)))
    worst = 0.0
    for i, row in enumerate(x):
        worst = max(worst, float(np.abs(slow.predict(row, i) - proba[i]).max()))
        slow.learn(row, int(y[i]), i)
    assert worst < 1e-9, worst
    print(f"HedgedLVQ differs from its plain twin by {worst:.0e} at most on {len(x)} samples")


if __name__ == "__main__":
    main()
