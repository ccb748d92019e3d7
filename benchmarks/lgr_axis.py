"""Which spin axis of ``lgr`` fits the published numbers: ``python -m benchmarks.lgr_axis [SEEDS]``.

Every node learns alone, test-then-train, and F1 is the mean over the five nodes. The published numbers are of one
file, so each is compared with the spread over seeds: z is how many standard deviations it is away, and the last column
is the sum of their squares. At 1,000 rows per node the paper's authors report other learners too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from river import naive_bayes, tree

from protovine import XuILVQ
from protovine.stream.lgr import NODES, generate_lgr

PUBLISHED: dict[str, tuple[Callable[[], Any], int, float]] = {
    "XuILVQ, 500 rows": (XuILVQ, 500, 0.728),
    "XuILVQ, 1,000 rows": (XuILVQ, 1000, 0.702),
    "naive Bayes, 1,000 rows": (naive_bayes.GaussianNB, 1000, 0.730),
    "VFDT, 1,000 rows": (tree.HoeffdingTreeClassifier, 1000, 0.728),
}
# Along the diagonal, on which the share of the classes changes most, and across it.
ALONG, ACROSS = (-0.5, 0.0, 0.5, 1.0, 1.5), (-1.0, 0.0, 1.0)


def f1_of(axis: tuple[float, float], seed: int, make: Callable[[], Any], rows: int) -> float:
    """F1 of class 1, mean over nodes."""
    data = generate_lgr(rows * NODES, seed, axis)
    found = []
    for node in range(NODES):
        model, counts = make(), np.zeros((2, 2), np.int64)
        for values, truth in zip(data.x[node::NODES], data.y[node::NODES].tolist(), strict=True):
            x = dict(zip(data.features, values.tolist(), strict=True))
            counts[truth, model.predict_one(x) or 0] += 1  # Without a model: a false negative, if anything.
            model.learn_one(x, truth)
        found.append(2 * counts[1, 1] / (2 * counts[1, 1] + counts[0, 1] + counts[1, 0]))
    return float(np.mean(found))


def main() -> None:
    """Print one line for each axis."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    print("| axis |", " | ".join(f"{name}: {value}" for name, (_, _, value) in PUBLISHED.items()), "| sum of z² |")
    print("|---" * (len(PUBLISHED) + 2) + "|")
    for along in ALONG:
        for across in ACROSS:
            axis = along + across, along - across
            cells, total = [], 0.0
            for make, rows, value in PUBLISHED.values():
                f1 = np.array([f1_of(axis, seed, make, rows) for seed in range(seeds)])
                z = (value - f1.mean()) / f1.std(ddof=1)
                total += z**2
                cells.append(f"{f1.mean():.3f} ± {f1.std(ddof=1):.3f} (z {z:+.1f})")
            print(f"| ({axis[0]:g}, {axis[1]:g}) |", " | ".join(cells), f"| {total:.1f} |", flush=True)


if __name__ == "__main__":
    main()
