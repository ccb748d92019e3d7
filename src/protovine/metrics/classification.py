"""Prequential scores from predictions; a prediction without a model (-1) is wrong, and missed only the class it was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protovine.records import Arrived, Predicted, Record

NO_MODEL = -1


@dataclass(frozen=True, eq=False)
class NodePredictions:
    """Predictions of one node, in order: times, true and predicted codes (n,), class probabilities (n, classes)."""

    at_ns: NDArray[np.int64]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    p: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.truth)


@dataclass(frozen=True)
class Scores:
    """Scores of a set of predictions; None where a score is not defined (no sample, no positive, one class)."""

    f1: float | None
    f1_macro: float | None
    f1_paper: float | None
    accuracy: float | None
    balanced_accuracy: float | None
    kappa: float | None
    log_loss: float | None


def predictions(records: Iterable[Record], n_nodes: int, n_classes: int) -> list[NodePredictions]:
    """Each node's predictions, joined with the truth that the simulator recorded."""
    truth: dict[tuple[int, int], int] = {}
    rows: list[list[tuple[int, int, int, tuple[float, ...]]]] = [[] for _ in range(n_nodes)]
    uniform = (1.0 / n_classes,) * n_classes
    for record in records:
        if isinstance(record, Arrived):
            truth[record.node, record.sample] = record.truth
        elif isinstance(record, Predicted):
            actual = truth[record.node, record.sample]
            rows[record.node].append((record.at_ns, actual, record.predicted, record.proba or uniform))
    return [
        NodePredictions(
            np.array([row[0] for row in node], np.int64),
            np.array([row[1] for row in node], np.int64),
            np.array([row[2] for row in node], np.int64),
            np.array([row[3] for row in node], np.float64).reshape(len(node), n_classes),
        )
        for node in rows
    ]


def pooled(nodes: list[NodePredictions]) -> NodePredictions:
    """All predictions of all nodes, ordered by time (ties by node)."""
    at_ns = np.concatenate([node.at_ns for node in nodes])
    order = np.argsort(at_ns, kind="stable")
    return NodePredictions(
        at_ns[order],
        np.concatenate([node.truth for node in nodes])[order],
        np.concatenate([node.predicted for node in nodes])[order],
        np.concatenate([node.p for node in nodes])[order],
    )


def scores(made: NodePredictions, positive: int | None) -> Scores:
    """Scores of one node's predictions, or of pooled ones.

    Parameters
    ----------
    made : NodePredictions
    positive : int or None
        The positive class when there are two; None for more: `Scores.f1` is then the macro average.
    """
    from sklearn.metrics import accuracy_score, cohen_kappa_score, log_loss, recall_score

    if not len(made):
        return Scores(None, None, None, None, None, None, None)
    truth, predicted = made.truth, made.predicted
    kappa = float(cohen_kappa_score(truth, predicted)) if len(np.union1d(truth, predicted)) > 1 else None
    return Scores(
        f1=f1(truth, predicted, positive),
        f1_macro=f1(truth, predicted, None),
        f1_paper=f1_paper(truth, predicted, positive),
        accuracy=float(accuracy_score(truth, predicted)),
        balanced_accuracy=float(recall_score(truth, predicted, labels=np.unique(truth), average="macro")),
        kappa=kappa,
        log_loss=float(log_loss(truth, made.p, labels=np.arange(made.p.shape[1]))),
    )


def f1(truth: NDArray[np.int64], predicted: NDArray[np.int64], positive: int | None) -> float | None:
    """F1 of the class ``positive``, None without positives in ``truth``; or, if it is None, the mean over all classes
    that occur in either array.

    Examples
    --------
    >>> f1(np.array([1, 1, 0]), np.array([1, -1, 1]), 1)
    0.5
    """
    from sklearn.metrics import f1_score

    if positive is None:
        classes = np.setdiff1d(np.union1d(truth, predicted), [NO_MODEL])
        return float(f1_score(truth, predicted, labels=classes, average="macro", zero_division=0.0))
    if positive not in truth:
        return None
    return float(f1_score(truth, predicted, labels=[positive], average="macro", zero_division=0.0))


def f1_paper(truth: NDArray[np.int64], predicted: NDArray[np.int64], positive: int | None) -> float | None:
    """F1 as the authors compute it: precision and recall are rounded to 3 decimals and so is F1, and a prediction
    made without a prototype counts as a false negative whatever its true class.

    For more than two classes (which the paper does not have) the mean over the classes that occur, each so rounded.
    """
    if positive is None:
        classes = np.setdiff1d(np.union1d(truth, predicted), [NO_MODEL])
        return float(np.mean([_f1_rounded(truth, predicted, int(c), truth == c) for c in classes]))
    if positive not in truth:
        return None
    return _f1_rounded(truth, predicted, positive, np.ones(len(truth), bool))


def _f1_rounded(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], positive: int, blamed: NDArray[np.bool_]
) -> float:
    hits = int(((predicted == positive) & (truth == positive)).sum())
    false_positives = int(((predicted == positive) & (truth != positive)).sum())
    missed = (truth == positive) & (predicted != positive)
    false_negatives = int((missed | ((predicted == NO_MODEL) & blamed)).sum())
    precision = round(hits / (hits + false_positives), 3) if hits + false_positives else 0.0
    recall = round(hits / (hits + false_negatives), 3) if hits + false_negatives else 0.0
    return round(2 * precision * recall / (precision + recall), 3) if precision + recall else 0.0


def confusion(made: NodePredictions) -> list[list[int]]:
    """Counts by true class (rows) and predicted class (columns; the last column: no model)."""
    n_classes = made.p.shape[1]
    table = np.zeros((n_classes, n_classes + 1), np.int64)
    np.add.at(table, (made.truth, np.where(made.predicted == NO_MODEL, n_classes, made.predicted)), 1)
    return table.tolist()


def sliding(made: NodePredictions, positive: int | None, window: int) -> NDArray[np.float64]:
    """`f1` after each prediction over the last ``window`` ones (n,); NaN where it is not defined."""
    n_classes = made.p.shape[1]
    classes = range(n_classes) if positive is None else [positive]
    each = []
    for c in classes:
        hit = _windowed((made.truth == c) & (made.predicted == c), window)
        doubled = _windowed(made.truth == c, window) + _windowed(made.predicted == c, window)
        with np.errstate(invalid="ignore", divide="ignore"):
            each.append(np.where(doubled > 0, 2 * hit / doubled, np.nan))
    occurs = np.isfinite(each).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(occurs > 0, np.nansum(each, axis=0) / occurs, np.nan)


def samples_to(curve: NDArray[np.float64], share: float = 0.95) -> int | None:
    """How many samples a curve over samples (n,) takes to be at ``share`` of its last value for good.

    None if it never has a value above zero at the end.

    Examples
    --------
    >>> samples_to(np.array([np.nan, 1.0, 0.5, 0.7, 0.8]), share=0.8)
    4
    """
    if not len(curve) or not curve[-1] > 0:
        return None
    below = np.flatnonzero(~(curve >= share * curve[-1]))
    return int(below[-1]) + 2 if len(below) else 1


def _windowed(flags: NDArray[np.bool_], window: int) -> NDArray[np.float64]:
    total = np.cumsum(flags).astype(np.float64)
    total[window:] -= total[:-window].copy()
    return total
