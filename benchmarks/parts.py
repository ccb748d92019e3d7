"""What the number of prototypes and the pool contribute to the default learner: docs/explanation/learner-measured.md.

    python -m benchmarks.parts [--stream NAME ...]

Prints accuracy and expected calibration error of one model, test then train, every sample one time step. Besides the
project's streams there are others that no constant of the pool was chosen on: a chessboard, thirty classes in ninety
clusters, three concepts in turns, classes that differ by their covariances, labels that persist, and four rules that
need few of many features.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.datasets import synth

from benchmarks.streams import STREAMS, stream
from protovine.errors import DataError
from protovine.learn import HedgedLVQCore

SETTINGS: dict[str, dict[str, Any]] = {
    "200, no pool": {"size_max": 200, "ablate": ("pool",)},
    "500, no pool": {"ablate": ("pool",)},
    "500, pool without pairs": {"ablate": ("dependence",)},
    "500, pool without relevance": {"ablate": ("relevance",)},
    "500, pool": {},
}
Samples = tuple[NDArray[np.float64], NDArray[np.int64]]


def chessboard(rng: np.random.Generator) -> Samples:
    x = rng.uniform(0, 1, (12000, 2))
    return x, (x * 5).astype(int).sum(axis=1) % 2


def clusters(rng: np.random.Generator) -> Samples:
    centre, codes, spread = rng.uniform(0, 1, (90, 12)), np.arange(90) % 30, rng.uniform(0.1, 0.35, 90)
    at = rng.integers(90, size=6000)
    return centre[at] + rng.normal(size=(6000, 12)) * spread[at, np.newaxis], codes[at]


def in_turns(rng: np.random.Generator) -> Samples:
    concepts = [(rng.uniform(0, 1, (20, 5)), rng.integers(3, size=20)) for _ in range(3)]
    parts = []
    for turn in range(15):
        centre, codes = concepts[turn % 3]
        at = rng.integers(20, size=800)
        parts.append((centre[at] + rng.normal(size=(800, 5)) * 0.12, codes[at]))
    return np.vstack([x for x, _ in parts]), np.concatenate([codes for _, codes in parts])


def covariances(rng: np.random.Generator) -> Samples:
    codes = rng.integers(3, size=10000)
    shape, centre = rng.normal(size=(3, 8, 8)) / np.sqrt(8), rng.normal(size=(3, 8)) * 0.4
    return np.einsum("nij,nj->ni", shape[codes], rng.normal(size=(10000, 8))) + centre[codes], codes


def persistent(rng: np.random.Generator) -> Samples:
    codes = np.zeros(12000, np.int64)
    for i in range(1, len(codes)):
        codes[i] = codes[i - 1] if rng.uniform() < 0.92 else rng.integers(3)
    return (rng.normal(size=(3, 4)) * 0.7)[codes] + rng.normal(size=(12000, 4)), codes


def corner(rng: np.random.Generator) -> Samples:
    x = rng.uniform(-1, 1, (5000, 10))
    return x, (np.abs(x[:, :2]).max(axis=1) < 0.7).astype(np.int64)


def drawn(source: Any) -> Samples:
    rows = [(list(x.values()), y) for x, y in source.take(5000)]
    return np.array([x for x, _ in rows], float), np.array([y for _, y in rows], np.int64)


def agrawal_1(rng: np.random.Generator) -> Samples:
    return drawn(synth.Agrawal(classification_function=1, seed=int(rng.integers(1000))))


def agrawal_3(rng: np.random.Generator) -> Samples:
    return drawn(synth.Agrawal(classification_function=3, seed=int(rng.integers(1000))))


def sine_3(rng: np.random.Generator) -> Samples:
    return drawn(synth.Sine(classification_function=3, seed=int(rng.integers(1000)), has_noise=True))


FEW_OF_MANY = (corner, agrawal_1, agrawal_3, sine_3)
MADE = {made.__name__: made for made in (chessboard, clusters, in_turns, covariances, persistent, *FEW_OF_MANY)}


def calibration_error(proba: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    """Expected calibration error over ten bins of the largest probability."""
    right, sure = proba.argmax(axis=1) == codes, proba.max(axis=1)
    bins = np.minimum((sure * 10).astype(int), 9)
    return float(sum(abs(right[bins == i].sum() - sure[bins == i].sum()) for i in range(10))) / len(codes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", action="append", choices=[*STREAMS, *MADE], default=[])
    print("| stream | " + " | ".join(SETTINGS) + " |\n" + "|---" * (1 + len(SETTINGS)) + "|")
    for name in parser.parse_args().stream or [*STREAMS, *MADE]:
        try:
            x, codes = MADE[name](np.random.default_rng(1)) if name in MADE else samples(name)
        except DataError as error:
            print(f"{name} is left out: {error}")
            continue
        cells = []
        for options in SETTINGS.values():
            core = HedgedLVQCore(x.shape[1], int(codes.max()) + 1, **options)
            predicted, proba = core.prequential(x, codes, np.arange(len(codes)))
            cells.append(f"{np.mean(predicted == codes):.4f} / {calibration_error(proba, codes):.3f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def samples(name: str) -> Samples:
    data = stream(name, None)
    return np.ascontiguousarray(data.x, np.float64), np.asarray(data.y, np.int64)


if __name__ == "__main__":
    main()
