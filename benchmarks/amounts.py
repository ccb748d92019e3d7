"""What comparing scales is worth where features are skewed: docs/explanation/learner-measured.md.

    python -m benchmarks.amounts [--draws N] [--page PAGE]
    python -m benchmarks.amounts --csv amounts.csv

Prints accuracy of one model, test then train, with and without the comparison; or writes rows of the first stream.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.page import write_between
from protovine.learn import HedgedLVQCore

Samples = tuple[NDArray[np.float64], NDArray[np.bool_]]
N = 5000


def linear(z: NDArray[np.float64]) -> NDArray[np.bool_]:
    """A border that is linear in these features."""
    return z @ np.array([1, -1, 0.5, 0.3]) > 0


def pareto(rng: np.random.Generator) -> Samples:
    x = rng.pareto(1.2, (N, 4))
    return x, x[:, 0] * x[:, 1] > x[:, 2] * x[:, 3]


def cauchy(rng: np.random.Generator) -> Samples:
    x = rng.standard_cauchy((N, 4))
    return x, linear(np.arcsinh(x))


def often_none(rng: np.random.Generator) -> Samples:
    z, some = rng.normal(0, 2, (N, 4)), rng.random((N, 4)) < 0.5
    return np.where(some, np.exp(z), 0), linear(np.where(some, z, -2))


def growing(rng: np.random.Generator) -> Samples:
    z = rng.normal(size=(N, 4))
    return np.exp(z + np.linspace(0, 4, N)[:, np.newaxis]), linear(z)


def counts(rng: np.random.Generator) -> Samples:
    z = rng.normal(1, 1.3, (N, 4))
    return rng.poisson(np.exp(z)).astype(float), linear(z - 1)


def sums(rng: np.random.Generator) -> Samples:
    x = rng.lognormal(0, 1.5, (N, 4))
    return x, x @ np.array([1, 1, -1, -1]) > 0


def drawn(
    law: Callable[[np.random.Generator], NDArray[np.float64]], of: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Callable[[np.random.Generator], Samples]:
    """Streams of features ``of`` normal or other values, with a border that is linear in these."""

    def made(rng: np.random.Generator) -> Samples:
        z = law(rng)
        return of(z), linear(z)

    return made


MADE: dict[str, Callable[[np.random.Generator], Samples]] = {
    "log-normal, deviation 2": drawn(lambda rng: rng.normal(0, 2, (N, 4)), np.exp),
    "log-normal, deviation 1": drawn(lambda rng: rng.normal(0, 1, (N, 4)), np.exp),
    "1000 + log-normal": drawn(lambda rng: rng.normal(0, 1.5, (N, 4)), lambda z: 1000 + np.exp(z)),
    "5 - log-normal": drawn(lambda rng: rng.normal(0, 1.5, (N, 4)), lambda z: 5 - np.exp(z)),
    "products of Pareto": pareto,
    "Cauchy": cauchy,
    "log-normal, half of it 0": often_none,
    "log-normal, growing e⁴-fold": growing,
    "sums of log-normal": sums,
    "counts": counts,
    "exponential": drawn(lambda rng: rng.exponential(1, (N, 4)) - 1, lambda z: z + 1),
    "Laplace": drawn(lambda rng: rng.laplace(0, 1, (N, 4)), lambda z: z),
    "Student, 3 degrees of freedom": drawn(lambda rng: rng.standard_t(3, (N, 4)), lambda z: z),
    "normal": drawn(lambda rng: rng.normal(0, 1, (N, 4)), lambda z: z),
}


def accuracy(x: NDArray[np.float64], codes: NDArray[np.int64], ablate: tuple[str, ...]) -> float:
    core = HedgedLVQCore(x.shape[1], 2, ablate=ablate)
    return float(np.mean(core.prequential(x, codes, np.arange(len(codes)))[0] == codes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5, help="draws of each stream")
    parser.add_argument("--page", type=Path, help="also write the table into this page")
    parser.add_argument("--csv", type=Path, help="only write rows of the first stream to this file")
    chosen = parser.parse_args()
    if chosen.csv:
        x, y = MADE["log-normal, deviation 2"](np.random.default_rng(0))
        rows = np.column_stack([x, y])[:3000]
        np.savetxt(chosen.csv, rows, "%.7g,%.7g,%.7g,%.7g,%d", header="a,b,c,d,label", comments="")
        return
    lines = [
        "| four features | linear scales | scales compared | difference, least and greatest |",
        "|---|---|---|---|",
    ]
    print("\n".join(lines))
    for name, made in MADE.items():
        found = []
        for seed in range(chosen.draws):
            x, y = made(np.random.default_rng(seed))
            found.append([accuracy(x, y.astype(np.int64), ablate) for ablate in (("log-scale",), ())])
        without, compared = np.mean(found, axis=0)
        gain = np.subtract(*np.transpose(found)[::-1])
        lines.append(f"| {name} | {without:.4f} | {compared:.4f} | {gain.min():+.4f} to {gain.max():+.4f} |")
        print(lines[-1], flush=True)
    if chosen.page:
        write_between(chosen.page, "amounts", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
