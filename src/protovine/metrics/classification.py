"""Prequential scores of predictions against the truth.

A prediction without a model (-1) counts as wrong: as a false negative of its true class and a false positive of none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from protovine.columns import Columns
from protovine.records import Arrived, Learned, Predicted, Record

NO_MODEL = -1
# When a label comes that never comes.
NEVER_NS = int(np.iinfo(np.int64).max)
# Counts by true class (rows) and predicted class (columns; the last column: no model), shape (classes, classes + 1).
Confusion = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NodePredictions:
    """Predictions of one node in the order of time; each array has shape (n,).

    Parameters
    ----------
    at_ns : int array
    truth, predicted : int array
        Class codes; -1 in ``predicted`` where the node had no model.
    truth_proba : float array
        Probability that the node gave to the true class; 1 / ``n_classes`` where it had no model.
    n_classes : int
    labelled_ns : int array, optional
        When the node got the label of each sample, `NEVER_NS` for none; by default at once, after the prediction.
    """

    at_ns: NDArray[np.int64]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    truth_proba: NDArray[np.float64]
    n_classes: int
    labelled_ns: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.truth)

    def confusion(self) -> Confusion:
        """Counts by true and predicted class."""
        return confusion(self.truth, self.predicted, self.n_classes)

    def labels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The samples (m,) whose label came, in the order of its coming, and the first prediction (m,) that knew it.

        A prediction knows the labels that were there when it was made, but never that of the sample itself.

        Examples
        --------
        >>> codes = np.array([1, 0, 1])
        >>> late = NodePredictions(np.arange(3), codes, codes, np.ones(3), 2, labelled_ns=np.array([2, NEVER_NS, 5]))
        >>> [each.tolist() for each in late.labels()]
        [[0, 2], [2, 3]]
        """
        n = len(self)
        if self.labelled_ns is None:
            return np.arange(n), np.arange(1, n + 1)
        came = np.flatnonzero(self.labelled_ns < NEVER_NS)
        labelled_ns = self.labelled_ns[came]
        at_ns = np.maximum.accumulate(self.at_ns)  # A clock may have been set back.
        known_to = np.maximum(came + 1, np.searchsorted(at_ns, labelled_ns))
        order = np.lexsort((came, labelled_ns, known_to))
        return came[order], known_to[order]


@dataclass(frozen=True)
class Scores:
    """Scores of a set of predictions; None where a score is not defined (no sample, no positive, one class).

    ``accuracy_last_class`` and ``accuracy_majority`` are those of two classifiers without features, on the same stream:
    one predicts the newest label, the other the most frequent one so far (the lowest code of several). They know the
    labels that the node had when it predicted; before the first one they are wrong. If none came until the last
    prediction, they are None, and so are the two kappas that compare with them. ``kappa_temporal`` and ``kappa_m`` say
    which part of the way from them to a perfect classifier was gone: (accuracy - theirs) / (1 - theirs). They are None
    where that baseline makes no mistake.

    References
    ----------
    Žliobaitė, Bifet, Read, Pfahringer & Holmes, "Evaluation methods and decision theory for classification of streaming
    data with temporal dependence", Machine Learning 98, 2015 (first arXiv 1301.3524), for kappa-temporal; Bifet, de
    Francisci Morales, Read, Holmes & Pfahringer, "Efficient online evaluation of big data stream classifiers", KDD
    2015, for kappa-M.
    """

    f1: float | None
    f1_macro: float | None
    f1_paper: float | None
    accuracy: float | None
    balanced_accuracy: float | None
    kappa: float | None
    log_loss: float | None
    kappa_temporal: float | None
    kappa_m: float | None
    accuracy_last_class: float | None
    accuracy_majority: float | None


def predictions(records: Iterable[Record], n_nodes: int, n_classes: int) -> list[NodePredictions]:
    """Predictions of nodes 0 to ``n_nodes`` - 1 with their true classes, in one pass over the records.

    Predictions of samples without a label are left out.

    Examples
    --------
    >>> trace = [Arrived(1, 0, 0, 1), Predicted(1, 0, 0, 1, (0.2, 0.8))]
    >>> trace += [Arrived(2, 0, 1, 0), Predicted(2, 0, 1, -1, ())]
    >>> (made,) = predictions(trace, n_nodes=1, n_classes=2)
    >>> made.truth.tolist(), made.predicted.tolist(), made.truth_proba.tolist()
    ([1, 0], [1, -1], [0.8, 0.5])
    """
    kept = Columns.holding(records)
    arrived, made = kept.of(Arrived), kept.of(Predicted)
    count = len(arrived["node"])
    node, sample = (np.concatenate([arrived[name], made[name]]) for name in ("node", "sample"))
    # The order is stable, so a sample's newest arrival comes just before its predictions.
    both = np.lexsort((sample, node))
    came = both < count
    newest = np.maximum.accumulate(np.where(came, np.arange(len(both)), 0))[~came]
    truth = np.empty(len(made["node"]), np.int64)
    truth[both[~came] - count] = arrived["truth"][both[newest]]
    known = np.flatnonzero(truth >= 0)
    truth = truth[known]
    proba = kept.proba_of(known, truth)
    proba = np.where(np.isnan(proba), 1.0 / n_classes, proba)
    labelled_ns = _labelled_ns(made, kept.of(Learned))[known]
    node = made["node"][known]
    order = np.argsort(node, kind="stable")
    bounds = np.searchsorted(node[order], np.arange(1, n_nodes))
    columns = (made["at_ns"][known], truth, made["predicted"][known], proba, labelled_ns)
    parts = zip(*(np.split(column[order], bounds) for column in columns), strict=True)
    return [NodePredictions(at_ns, true, code, value, n_classes, came) for at_ns, true, code, value, came in parts]


def _labelled_ns(made: Mapping[str, NDArray[np.int64]], learnt: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """When the node learnt the label of each predicted sample; `NEVER_NS` for those that it did not learn."""
    count = len(made["node"])
    node, sample = (np.concatenate([made[name], learnt[name]]) for name in ("node", "sample"))
    # The order is stable, so the labels of a sample come after its predictions.
    both = np.lexsort((sample, node))
    is_label = both >= count
    places = np.arange(len(both))
    next_label = np.minimum.accumulate(np.where(is_label, places, len(both))[::-1])[::-1]
    found = np.full(count, NEVER_NS)
    followed = np.flatnonzero(~is_label & (next_label < len(both)))
    prediction, label = both[followed], both[next_label[followed]]
    same = (node[label] == node[prediction]) & (sample[label] == sample[prediction])
    found[prediction[same]] = learnt["at_ns"][label[same] - count]
    return found


def pooled(nodes: Sequence[NodePredictions]) -> NodePredictions:
    """All predictions of all nodes, ordered by time (ties by node).

    Examples
    --------
    >>> trace = [Arrived(at, at, 0, at) for at in (0, 1)] + [Predicted(at, at, 0, 0, (1.0, 0.0)) for at in (0, 1)]
    >>> pooled(predictions(trace, n_nodes=2, n_classes=2)).truth.tolist()
    [0, 1]
    """
    at_ns = np.concatenate([node.at_ns for node in nodes])
    order = np.argsort(at_ns, kind="stable")
    labelled_ns = [node.at_ns if node.labelled_ns is None else node.labelled_ns for node in nodes]
    return NodePredictions(
        at_ns[order],
        np.concatenate([node.truth for node in nodes])[order],
        np.concatenate([node.predicted for node in nodes])[order],
        np.concatenate([node.truth_proba for node in nodes])[order],
        nodes[0].n_classes,
        np.concatenate(labelled_ns)[order],
    )


def scores(made: NodePredictions, positive: int | None) -> Scores:
    """Scores of one node's predictions, or of pooled ones.

    Parameters
    ----------
    made : NodePredictions
    positive : int or None
        The positive class of two; None for more classes, then `Scores.f1` is the macro average.

    Examples
    --------
    >>> codes = np.array([1, 1, 0, 0])
    >>> made = NodePredictions(np.arange(4), codes, np.array([1, 0, 0, 0]), np.array([0.9, 0.4, 0.8, 0.7]), n_classes=2)
    >>> found = scores(made, positive=1)
    >>> round(found.f1, 3), found.accuracy, found.accuracy_last_class
    (0.667, 0.75, 0.5)
    """
    if not len(made):
        return Scores(*[None] * len(fields(Scores)))
    counts = made.confusion()
    accuracy = int(np.trace(counts)) / len(made)
    last_class, majority = _without_features(made)
    eps = np.finfo(np.float64).eps
    losses = -np.log(np.clip(made.truth_proba, eps, 1 - eps))
    return Scores(
        f1=f1_of(counts, positive),
        f1_macro=f1_of(counts, None),
        f1_paper=_f1_paper_of(counts, positive),
        accuracy=accuracy,
        balanced_accuracy=_balanced_accuracy(counts),
        kappa=_kappa(counts),
        log_loss=float(np.mean(losses)),
        kappa_temporal=_gained(accuracy, last_class),
        kappa_m=_gained(accuracy, majority),
        accuracy_last_class=last_class,
        accuracy_majority=majority,
    )


def last_classes(truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Predictions (n,) of the class of the sample before; -1 for the first.

    Examples
    --------
    >>> last_classes(np.array([1, 1, 0])).tolist()
    [-1, 1, 1]
    """
    return np.concatenate([[NO_MODEL], truth[:-1]])


def majorities(truth: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Predictions (n,) of the most frequent class so far, the lowest code of several; -1 for the first.

    Examples
    --------
    >>> majorities(np.array([1, 0, 0, 1]), n_classes=2).tolist()
    [-1, 1, 0, 0]
    """
    counts, most, made = [0] * n_classes, NO_MODEL, []
    for code in truth.tolist():
        made.append(most)
        counts[code] += 1
        if most == NO_MODEL or (counts[code], -code) > (counts[most], -most):
            most = code
    return np.array(made, np.int64)


def _without_features(made: NodePredictions) -> tuple[float | None, float | None]:
    """The accuracies of the newest label and of the most frequent one, among those that were there."""
    if made.labelled_ns is not None and not (made.labelled_ns <= made.at_ns.max()).any():
        return None, None
    sample, known_to = made.labels()
    # What each would predict after no label, one, two, and so on.
    labels = np.append(made.truth[sample], NO_MODEL)
    last, majority = last_classes(labels), majorities(labels, made.n_classes)
    known = np.searchsorted(known_to, np.arange(len(made)), side="right")
    return _accuracy(last[known], made.truth), _accuracy(majority[known], made.truth)


def _accuracy(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return int((predicted == truth).sum()) / len(truth)


def _gained(accuracy: float, baseline: float | None) -> float | None:
    return (accuracy - baseline) / (1 - baseline) if baseline is not None and baseline < 1 else None


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> Confusion:
    """Counts by true class (rows) and predicted class (columns; the last column: no model).

    Examples
    --------
    >>> confusion(np.array([1, 1, 0]), np.array([1, -1, 1]), n_classes=2).tolist()
    [[0, 1, 0], [0, 1, 1]]
    """
    columns = n_classes + 1
    cell = truth * columns + np.where(predicted == NO_MODEL, n_classes, predicted)
    return np.bincount(cell, minlength=n_classes * columns).reshape(n_classes, columns)


def f1(truth: NDArray[np.int64], predicted: NDArray[np.int64], positive: int | None) -> float | None:
    """F1 of the class ``positive``; None if it does not occur in ``truth``.

    With ``positive`` None it is the mean over all classes that occur in either array.

    Examples
    --------
    >>> f1(np.array([1, 1, 0]), np.array([1, -1, 1]), 1)
    0.5
    """
    return f1_of(_confusion_of_codes(truth, predicted, positive), positive)


def f1_of(counts: Confusion, positive: int | None) -> float | None:
    """`f1` from a confusion table.

    Examples
    --------
    >>> f1_of(np.array([[0, 1, 0], [0, 1, 1]]), positive=1)
    0.5
    """
    true, predicted, hits = _margins(counts)
    if positive is not None:
        return float(2 * hits[positive] / (true[positive] + predicted[positive])) if true[positive] else None
    occurs = true + predicted > 0
    return float(np.mean(2.0 * hits[occurs] / (true + predicted)[occurs]))


def f1_paper(truth: NDArray[np.int64], predicted: NDArray[np.int64], positive: int | None) -> float | None:
    """F1 with the rounding of the paper's authors.

    They round precision, recall and F1 to 3 decimals, and count every prediction without a prototype as a false
    negative, whatever its true class. The paper has two classes. For more classes this is the mean over the classes
    that occur; a prediction without a prototype then counts for its true class only.

    Examples
    --------
    >>> truth, predicted = np.array([1, 1, 0]), np.array([1, 1, -1])
    >>> f1(truth, predicted, 1), f1_paper(truth, predicted, 1)
    (1.0, 0.8)
    """
    return _f1_paper_of(_confusion_of_codes(truth, predicted, positive), positive)


def _f1_paper_of(counts: Confusion, positive: int | None) -> float | None:
    true, predicted, hits = _margins(counts)
    if positive is not None:
        others_without = int(counts[:, -1].sum() - counts[positive, -1])
        found = _f1_rounded(int(hits[positive]), int(predicted[positive]), int(true[positive]) + others_without)
        return found if true[positive] else None
    occurs = true + predicted > 0
    of_classes = zip(hits[occurs].tolist(), predicted[occurs].tolist(), true[occurs].tolist(), strict=True)
    return float(np.mean([_f1_rounded(*each) for each in of_classes]))


def _f1_rounded(hits: int, predicted: int, true: int) -> float:
    precision = round(hits / predicted, 3) if predicted else 0.0
    recall = round(hits / true, 3) if true else 0.0
    return round(2 * precision * recall / (precision + recall), 3) if precision + recall else 0.0


def _balanced_accuracy(counts: Confusion) -> float:
    """Mean recall over the true classes that occur."""
    true, _, hits = _margins(counts)
    return float(np.mean(hits[true > 0] / true[true > 0]))


def _kappa(counts: Confusion) -> float | None:
    """Cohen's kappa; None if truth and predictions are all of one class."""
    # No model is a class of its own, the first as its code is -1: the order decides the last digit of the sums.
    square = np.vstack([np.zeros(counts.shape[1], np.int64), counts[:, [-1, *range(len(counts))]]])
    occurs = (square.sum(axis=0) > 0) | (square.sum(axis=1) > 0)
    table = square[np.ix_(occurs, occurs)].astype(np.float64)
    if len(table) < 2:
        return None
    disagrees = 1.0 - np.eye(len(table))
    expected = np.outer(table.sum(axis=0), table.sum(axis=1)) / table.sum(axis=0).sum()
    return float(1 - np.sum(disagrees * table) / np.sum(disagrees * expected))


def _margins(counts: Confusion) -> tuple[Confusion, Confusion, Confusion]:
    """Per class: how often it is true, how often it is predicted, and how often both."""
    square = counts[:, :-1]
    return counts.sum(axis=1), square.sum(axis=0), np.diagonal(square)


def _confusion_of_codes(truth: NDArray[np.int64], predicted: NDArray[np.int64], positive: int | None) -> Confusion:
    codes = [truth.max(initial=0), predicted.max(initial=0), positive or 0]
    return confusion(truth, predicted, int(max(codes)) + 1)


def sliding(made: NodePredictions, positive: int | None, window: int) -> NDArray[np.float64]:
    """`f1` after each prediction over the last ``window`` ones (n,); NaN where it is not defined.

    Examples
    --------
    >>> codes = np.array([1, 1, 1, 1])
    >>> made = NodePredictions(np.arange(4), codes, np.array([0, 0, 1, 1]), np.full(4, 0.5), n_classes=2)
    >>> sliding(made, positive=1, window=2).round(2).tolist()
    [0.0, 0.0, 0.67, 1.0]
    """
    classes = range(made.n_classes) if positive is None else [positive]
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
    """Number of samples after which a curve over samples (n,) stays at or above ``share`` of its last value.

    None if its last value is not above zero.

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
