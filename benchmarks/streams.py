"""One model on each stream, test-then-train, beside River's classifiers: docs/benchmarks.md.

    python -m benchmarks.streams [--rows N] [--stream NAME ...] [--learner NAME ...] [--json FILE]

Every learner takes River's dictionaries one by one with its default settings, in the same process and one after the
other. Streams that need a file are skipped without it (docs/data.md), and so are MOA's learners without `capymoa`.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from river import dummy, ensemble, forest, linear_model, naive_bayes, neighbors, preprocessing, tree

from protovine import HedgedLVQ, XuILVQ, load, metrics
from protovine.errors import DataError
from protovine.stream import DataSet

SEED = 1
GENERATED = (
    "sea",
    "agrawal",
    "hyperplane",
    "rbf-drift",
    "led-drift",
    "sine",
    "stagger",
    "mixed",
    "waveform",
    "rotation",
)
STREAMS = ("phishing", "bananas", "image-segments", "elec2", "weather", "keystroke", *GENERATED, "lgr")
ROWS_MAX = {"weather": 8000}  # As in the published tables.


def scaled(model: Any) -> Any:
    return preprocessing.StandardScaler() | model


LEARNERS: dict[str, Callable[[], Any]] = {
    "HedgedLVQ": HedgedLVQ,
    "XuILVQ, scaled": lambda: scaled(XuILVQ()),
    "last class": dummy.NoChangeClassifier,
    "majority class": dummy.PriorClassifier,
    "naive Bayes": naive_bayes.GaussianNB,
    "logistic regression, scaled": lambda: scaled(linear_model.SoftmaxRegression()),
    "Hoeffding tree": tree.HoeffdingTreeClassifier,
    "adaptive Hoeffding tree": lambda: tree.HoeffdingAdaptiveTreeClassifier(seed=SEED),
    "kNN, scaled": lambda: scaled(neighbors.KNNClassifier()),
    "AMF": lambda: forest.AMFClassifier(seed=SEED),
    "ARF": lambda: forest.ARFClassifier(seed=SEED),
    "SRP": lambda: ensemble.SRPClassifier(seed=SEED),
    "leveraging bagging": lambda: ensemble.LeveragingBaggingClassifier(tree.HoeffdingTreeClassifier(), seed=SEED),
}


def stream(name: str, rows: int | None) -> DataSet:
    """A stream of the table; `DataError` if its file is not there."""
    if name in ("weather", "keystroke"):
        folder = os.environ.get("PROTOVINE_DATA")
        path = Path(folder or ".", f"{name}.csv.gz")
        if not folder or not path.is_file():
            raise DataError(f"PROTOVINE_DATA does not name a folder with {path.name}")
        data = load(path)
    else:
        data = load(name)
    rows = min(rows or len(data), ROWS_MAX.get(name, len(data)), len(data))
    return data.head(rows)


def measure(model: Any, data: DataSet) -> dict[str, float | None]:
    """Scores, microseconds per sample and the size of the pickled model in bytes."""
    rows = [dict(zip(data.features, row, strict=True)) for row in data.x.tolist()]
    predicted = []
    started = time.perf_counter()
    for x, y in zip(rows, data.y.tolist(), strict=True):
        predicted.append(model.predict_one(x))
        model.learn_one(x, y)
    return scored(predicted, data, time.perf_counter() - started, len(pickle.dumps(model)))


def scored(predicted: list[Any], data: DataSet, seconds: float, size: int | None) -> dict[str, float | None]:
    """What the tables show of a learner's predictions (class codes, None without a model)."""
    n, classes = len(data), len(data.classes)
    codes = np.array([-1 if code is None else int(code) for code in predicted], np.int64)
    made = metrics.NodePredictions(np.arange(n), data.y, codes, np.full(n, 1 / classes), classes)
    scores = metrics.scores(made, classes - 1 if classes == 2 else None)
    return {
        "accuracy": scores.accuracy,
        "f1_macro": scores.f1_macro,
        "kappa_temporal": scores.kappa_temporal,
        "kappa_m": scores.kappa_m,
        "us_per_sample": seconds / n * 1e6,
        "model_kb": None if size is None else size / 1000,
    }


def moa() -> dict[str, Callable[[DataSet], Any]]:
    """MOA's learners by name, as `capymoa` has them; none without it."""
    try:
        from capymoa import classifier
    except ImportError as error:
        print(f"MOA's learners are left out: {error}", file=sys.stderr)
        return {}
    names = {
        "MOA Hoeffding tree": "HoeffdingTree",
        "MOA kNN": "KNN",
        "MOA SAM-kNN": "SAMkNN",
        "MOA ARF": "AdaptiveRandomForestClassifier",
        "MOA SRP": "StreamingRandomPatches",
        "MOA leveraging bagging": "LeveragingBagging",
    }
    return {title: getattr(classifier, name) for title, name in names.items()}


def measure_moa(make: Callable[..., Any], data: DataSet) -> dict[str, float | None]:
    """As `measure`, for a learner of `capymoa`; it cannot be pickled, so its size is None."""
    from capymoa.stream import NumpyStream

    source = NumpyStream(data.x, data.y, dataset_name=data.name)
    model = make(schema=source.get_schema())
    predicted = []
    started = time.perf_counter()
    while source.has_more_instances():
        instance = source.next_instance()
        predicted.append(model.predict(instance))
        model.train(instance)
    return scored(predicted, data, time.perf_counter() - started, None)


def runs(names: list[str], learners: list[str], rows: int | None) -> Iterator[dict[str, Any]]:
    """A measurement for each stream and learner."""
    others = moa()
    for name in names:
        try:
            data = stream(name, rows)
        except DataError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        for learner, make in LEARNERS.items():
            if not learners or learner in learners:
                yield {"stream": name, "rows": len(data), "learner": learner, **measure(make(), data)}
        for learner, make_moa in others.items():
            if not learners or learner in learners:
                yield {"stream": name, "rows": len(data), "learner": learner, **measure_moa(make_moa, data)}


def table(found: list[dict[str, Any]], metric: str, form: str) -> str:
    """A Markdown table: a row per stream, a column per learner, the best of a row in bold."""
    learners = list(dict.fromkeys(each["learner"] for each in found))
    lines = ["| stream | " + " | ".join(learners) + " |", "|---" * (len(learners) + 1) + "|"]
    for name in dict.fromkeys(each["stream"] for each in found):
        values = {each["learner"]: each[metric] for each in found if each["stream"] == name}
        best = max((value for value in values.values() if value is not None), default=None)
        cells = []
        for learner in learners:
            value = values.get(learner)
            text = "–" if value is None else format(value, form)
            cells.append(f"**{text}**" if value == best and metric in ("accuracy", "f1_macro") else text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, help="most rows of each stream")
    parser.add_argument("--stream", action="append", choices=STREAMS, default=[])
    parser.add_argument("--learner", action="append", choices=[*LEARNERS, *moa()], default=[])
    parser.add_argument("--json", type=Path, help="also write every number to this file")
    chosen = parser.parse_args()
    HedgedLVQ().learn_one({"a": 0.0}, 0)  # Compile first.
    warm = stream("phishing", 50)
    for make in (LEARNERS["HedgedLVQ"], LEARNERS["XuILVQ, scaled"]):
        measure(make(), warm)
    found = []
    for each in runs(chosen.stream or list(STREAMS), chosen.learner, chosen.rows):
        found.append(each)
        print(
            f"{each['stream']:15} {each['learner']:28} {each['accuracy']:.4f} {each['us_per_sample']:9.1f} us",
            file=sys.stderr,
            flush=True,
        )
        if chosen.json:
            machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
            chosen.json.write_text(json.dumps({"machine": machine, "measured": found}, indent=1), encoding="utf-8")
    for title, metric, form in (
        ("accuracy", "accuracy", ".3f"),
        ("macro F1", "f1_macro", ".3f"),
        ("kappa-temporal", "kappa_temporal", ".3f"),
        ("µs per sample", "us_per_sample", ",.0f"),
        ("pickled model, kB", "model_kb", ",.0f"),
    ):
        print(f"\n{title}\n\n{table(found, metric, form)}")


if __name__ == "__main__":
    main()
