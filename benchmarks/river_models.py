"""Compare the hedged LVQ with River's usual classifiers on streams that come with River.

    python -m benchmarks.river_models
    python -m benchmarks.river_models --data phishing --data sea --rows 5000 --seed 3

Each model predicts every sample, then learns it (prequential). F1 is that of the positive class, or the mean over more
than two classes. Image segments come sorted by class and are shuffled; the others keep their order. Models that need
it get River's StandardScaler. ECE is the expected calibration error over ten bins: how far, on average, the probability
of the predicted class is off. Time is that of `predict_one` and `learn_one`; memory is River's estimate at the end.
`protovine data list` has the names of streams.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable

import numpy as np
from river import base, forest, metrics, naive_bayes, neighbors, preprocessing, tree

from protovine import HedgedLVQ, load

SHUFFLED = ("image-segments",)
MODELS: dict[str, Callable[[int], base.Classifier]] = {
    "HedgedLVQ": lambda seed: HedgedLVQ(),
    "Hoeffding tree": lambda seed: tree.HoeffdingTreeClassifier(),
    "ARF, 10 trees": lambda seed: forest.ARFClassifier(seed=seed),
    "kNN, scaled": lambda seed: preprocessing.StandardScaler() | neighbors.KNNClassifier(),
    "Gaussian NB": lambda seed: naive_bayes.GaussianNB(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", help="a stream by name; may be given more than once")
    parser.add_argument("--rows", type=int, help="number of samples of each stream, by default all")
    parser.add_argument("--seed", type=int, default=1, help="of shuffling and of the forest")
    asked = parser.parse_args()
    HedgedLVQ().learn([[0.0], [1.0]], [0, 1])  # Compile first.
    print(f"{'stream':16}{'model':16}{'F1':>8}{'ECE':>8}{'us per sample':>16}{'kB':>8}")
    for name in asked.data or ("phishing", "bananas", "image-segments"):
        samples, n_classes = stream(name, asked.rows, asked.seed)
        for model_name, make in MODELS.items():
            f1, ece, micros, kilobytes = evaluate(make(asked.seed), samples, n_classes, f"{name}, {model_name}")
            print(f"{name:16}{model_name:16}{f1:8.3f}{ece:8.3f}{micros:16.0f}{kilobytes:8.0f}", flush=True)


def stream(name: str, rows: int | None, seed: int) -> tuple[list[tuple[dict, object]], int]:
    data = load(name)
    order = np.arange(len(data))
    if name in SHUFFLED:
        order = np.random.default_rng(seed).permutation(order)
    samples = [
        (dict(zip(data.features, data.x[i].tolist(), strict=True)), data.classes[data.y[i]]) for i in order[:rows]
    ]
    return samples, len(data.classes)


def evaluate(
    model: base.Classifier, samples: list[tuple[dict, object]], n_classes: int, title: str
) -> tuple[float, float, float, float]:
    """F1, expected calibration error, microseconds per sample, and kilobytes at the end."""
    classes = sorted({y for _, y in samples}, key=str)
    f1 = metrics.F1(pos_val=classes[-1]) if n_classes == 2 else metrics.MacroF1()
    spent, excess = 0.0, np.zeros(10)
    for x, y in progress(samples, title):
        if probabilities := model.predict_proba_one(x):
            first = max(probabilities, key=probabilities.__getitem__)
            sure = probabilities[first]
            excess[min(int(10 * sure), 9)] += sure - (first == y)
        started = time.perf_counter()
        predicted = model.predict_one(x)
        model.learn_one(x, y)
        spent += time.perf_counter() - started
        if predicted is not None:
            f1.update(y, predicted)
    return f1.get(), np.abs(excess).sum() / len(samples), spent / len(samples) * 1e6, model._raw_memory_usage / 1000


def progress(samples: list[tuple[dict, object]], title: str) -> Iterable[tuple[dict, object]]:
    """The samples, and a bar on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        return samples
    from rich.console import Console
    from rich.progress import track

    return track(samples, title, console=Console(stderr=True), transient=True)


if __name__ == "__main__":
    main()
