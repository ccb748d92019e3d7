"""One model on each stream, test-then-train, beside River's and MOA's classifiers: docs/benchmarks.md.

    python -m benchmarks.streams [--rows N] [--stream NAME ...] [--learner NAME ...] [--json FILE] [--resume]

Every learner takes samples one by one with its default settings, in the same process and one after the other: River's
and ours as dictionaries, MOA's as the instances of `capymoa`. Streams that need a file are skipped without it
(docs/reference/data.md), and so are MOA's learners without `capymoa` (`pip install protovine[moa]`, and Java 17).

    python -m benchmarks.streams --page docs/benchmarks.md --json benchmarks/results/streams.json

writes the tables of the page from numbers that were measured before.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from river import dummy, ensemble, forest, linear_model, naive_bayes, neighbors, preprocessing, tree

from benchmarks.page import write_between, write_json
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
# Constants of HedgedLVQ were chosen on these streams, in swarms; a star in the tables.
TUNED = ("phishing", "bananas", "image-segments", "elec2", "sea", "agrawal")


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
    """Scores, CPU time per sample and the size of the pickled model."""
    rows = [dict(zip(data.features, row, strict=True)) for row in data.x.tolist()]
    predicted = []
    started = time.process_time()
    for x, y in zip(rows, data.y.tolist(), strict=True):
        predicted.append(model.predict_one(x))
        model.learn_one(x, y)
    return scored(predicted, data, time.process_time() - started, len(pickle.dumps(model)))


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
    started = time.process_time()
    while source.has_more_instances():
        instance = source.next_instance()
        predicted.append(model.predict(instance))
        model.train(instance)
    return scored(predicted, data, time.process_time() - started, None)


def measured(
    names: list[str], learners: list[str], rows: int | None, known: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """A measurement for each stream and learner, except those that are ``known``."""
    others = moa()
    done = {(each["stream"], each["learner"]) for each in known}
    for name in names:
        try:
            data = stream(name, rows)
        except DataError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        about = {"stream": name, "rows": len(data), "features": len(data.features), "classes": len(data.classes)}
        for learner in [*LEARNERS, *others]:
            if (learners and learner not in learners) or (name, learner) in done:
                continue
            made = measure(LEARNERS[learner](), data) if learner in LEARNERS else measure_moa(others[learner], data)
            yield about | {"learner": learner} | made


def table(found: list[dict[str, Any]], metric: str, form: str) -> str:
    """A Markdown table: a row per learner, a column per stream, the best of a stream in bold."""
    streams = [name for name in STREAMS if any(each["stream"] == name for each in found)]
    values = {(each["learner"], each["stream"]): each[metric] for each in found}
    lines = ["| | " + " | ".join(name + ("*" if name in TUNED else "") for name in streams) + " |"]
    lines.append("|---" * (len(streams) + 1) + "|")
    for learner in dict.fromkeys(each["learner"] for each in found):
        cells = []
        for name in streams:
            value = values.get((learner, name))
            text = "–" if value is None else _short(format(value, form))
            best = max((v for (_, of), v in values.items() if of == name and v is not None), default=None)
            cells.append(f"**{text}**" if metric in ("accuracy", "f1_macro") and value == best else text)
        lines.append(f"| {learner} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _short(text: str) -> str:
    """A fraction without its leading zero."""
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def tables(found: list[dict[str, Any]]) -> str:
    """The tables of the page."""
    shown = (
        ("Accuracy", "accuracy", ".3f"),
        ("Macro F1", "f1_macro", ".3f"),
        ("Kappa-temporal", "kappa_temporal", ".2f"),
        ("CPU time per sample, µs", "us_per_sample", ",.0f"),
        ("Size of the pickled model, kB", "model_kb", ",.0f"),
    )
    return "\n".join(f"**{title}**\n\n{table(found, metric, form)}\n" for title, metric, form in shown)


def read(path: Path) -> list[dict[str, Any]]:
    """The measurements of a file that this command wrote."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["measured"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, help="most rows of each stream")
    parser.add_argument("--stream", action="append", choices=STREAMS, default=[])
    parser.add_argument("--learner", action="append", choices=[*LEARNERS, *moa()], default=[])
    parser.add_argument("--json", type=Path, help="also write every number to this file")
    parser.add_argument("--resume", action="store_true", help="keep what the file of --json has, measure only the rest")
    parser.add_argument("--page", type=Path, help="measure nothing, write the tables of --json into this page")
    chosen = parser.parse_args()
    if (chosen.resume or chosen.page) and not (chosen.json and chosen.json.is_file()):
        parser.error("--resume and --page need the file of --json")
    if chosen.page:
        write_between(chosen.page, "streams", tables(read(chosen.json)))
        return
    HedgedLVQ().learn_one({"a": 0.0}, 0)  # Compile first.
    warm = stream("phishing", 50)
    for make in (LEARNERS["HedgedLVQ"], LEARNERS["XuILVQ, scaled"]):
        measure(make(), warm)
    found = read(chosen.json) if chosen.resume else []
    for each in measured(chosen.stream or list(STREAMS), chosen.learner, chosen.rows, found):
        found.append(each)
        print(
            f"{each['stream']:15} {each['learner']:28} {each['accuracy']:.4f} {each['us_per_sample']:9.1f} us",
            file=sys.stderr,
            flush=True,
        )
        if chosen.json:
            write_json(chosen.json, found)
    print(tables(found))


if __name__ == "__main__":
    main()
