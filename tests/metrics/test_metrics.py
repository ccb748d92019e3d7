from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import dummy
from sklearn import metrics as reference

from protovine import metrics, records
from protovine.metrics import NodePredictions


def made(truth: list[int], predicted: list[int], n_classes: int = 2) -> NodePredictions:
    n = len(truth)
    codes = (np.array(each, np.int64) for each in (range(n), truth, predicted))
    return NodePredictions(*codes, np.full(n, 1 / n_classes), n_classes)


def test_two_classes_by_hand() -> None:
    # Positive is 1: two hits, one false alarm, one missed, and one missed for want of a model.
    scores = metrics.scores(made([1, 1, 0, 1, 1, 0], [1, 1, 1, 0, -1, 0]), positive=1)
    assert 2 * 2 / (2 * 2 + 1 + 2) == pytest.approx(scores.f1)
    assert 3 / 6 == scores.accuracy
    assert (2 / 4 + 1 / 2) / 2 == scores.balanced_accuracy
    assert np.log(2) == pytest.approx(scores.log_loss)


def test_a_negative_without_a_model_is_wrong_but_not_a_missed_positive() -> None:
    scores = metrics.scores(made([0, 1], [-1, 1]), positive=1)
    assert (1.0, 0.5) == (scores.f1, scores.accuracy)


def test_the_paper_counts_every_prediction_without_a_model_as_missed() -> None:
    truth, predicted = np.array([0, 1, 1]), np.array([-1, 1, 1])
    assert round(2 * 1 * 0.667 / 1.667, 3) == metrics.f1_paper(truth, predicted, 1)
    assert 1.0 == metrics.f1(truth, predicted, 1)


def test_paper_f1_is_rounded_twice() -> None:
    truth = np.array([1] * 7 + [0] * 4)
    predicted = np.array([1] * 5 + [0] * 2 + [1] * 1 + [0] * 3)
    precision, recall = round(5 / 6, 3), round(5 / 7, 3)
    assert round(2 * precision * recall / (precision + recall), 3) == metrics.f1_paper(truth, predicted, 1)


def test_without_positives_there_is_no_f1() -> None:
    scores = metrics.scores(made([0, 0], [0, 1]), positive=1)
    assert (None, None, 0.5) == (scores.f1, scores.f1_paper, scores.accuracy)


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3, 4, 10, 40]), st.integers(1, 300))
def test_scores_equal_those_of_scikit_learn_to_the_last_digit(seed: int, n_classes: int, n: int) -> None:
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, n_classes, n)
    predicted = np.where(draw.random(n) < 0.5, truth, draw.integers(-1, n_classes, n))
    proba = draw.dirichlet(np.full(n_classes, 0.3), n)
    positive = 1 if n_classes == 2 else None
    of_truth = proba[np.arange(n), truth]
    scores = metrics.scores(NodePredictions(np.arange(n), truth, predicted, of_truth, n_classes), positive)
    macro = {"average": "macro", "zero_division": 0.0}
    codes = np.setdiff1d(np.union1d(truth, predicted), [-1])
    assert reference.accuracy_score(truth, predicted) == scores.accuracy
    assert reference.f1_score(truth, predicted, labels=codes, **macro) == scores.f1_macro
    assert reference.recall_score(truth, predicted, labels=np.unique(truth), **macro) == scores.balanced_accuracy
    assert reference.log_loss(truth, proba, labels=np.arange(n_classes)) == scores.log_loss
    if len(np.union1d(truth, predicted)) > 1:
        assert reference.cohen_kappa_score(truth, predicted) == scores.kappa
    if positive is None:
        assert scores.f1 == scores.f1_macro
        assert scores.f1 == pytest.approx(scores.f1_paper, abs=0.002)
    elif positive in truth:
        assert reference.f1_score(truth, predicted, labels=[positive], **macro) == scores.f1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(0, 2**32 - 1))
def test_baselines_without_features(truth: list[int], seed: int) -> None:
    """The last class as River's classifier predicts it, the majority counted again for each sample."""
    last = dummy.NoChangeClassifier()
    right_last = right_majority = 0
    for i, code in enumerate(truth):
        right_last += last.predict_one({}) == code
        last.learn_one({}, code)
        right_majority += i > 0 and np.bincount(truth[:i]).argmax() == code
    predicted = np.random.default_rng(seed).integers(-1, 4, len(truth)).tolist()
    scores = metrics.scores(made(truth, predicted, 4), None)
    assert (scores.accuracy_last_class, scores.accuracy_majority) == (
        right_last / len(truth),
        right_majority / len(truth),
    )
    assert scores.accuracy is not None
    for kappa, right in ((scores.kappa_temporal, right_last), (scores.kappa_m, right_majority)):
        # From the counts of mistakes: 1 - wrong / wrong of the baseline.
        wrong = len(truth) - round(scores.accuracy * len(truth))
        assert kappa == pytest.approx(1 - wrong / (len(truth) - right), abs=1e-12)
    perfect = metrics.scores(made(truth, truth, 4), None)
    assert perfect.kappa_temporal == perfect.kappa_m == 1


def test_the_last_class_beats_a_learner_that_is_right_less_often() -> None:
    scores = metrics.scores(made([0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1]), positive=1)
    assert (scores.accuracy, scores.accuracy_last_class, scores.accuracy_majority) == (6 / 8, 6 / 8, 3 / 8)
    assert (scores.kappa_temporal, scores.kappa_m) == (0.0, pytest.approx(0.6))


def test_nothing_predicted_has_no_scores() -> None:
    scores = metrics.scores(made([], []), positive=1)
    assert scores.f1 is scores.accuracy is scores.kappa is scores.log_loss is None
    assert metrics.scores(made([1, 1], [1, 1]), positive=1).kappa is None


def test_confusion_has_a_column_for_no_model() -> None:
    assert [[1, 0, 1], [1, 1, 0]] == made([0, 0, 1, 1], [0, -1, 0, 1]).confusion().tolist()


def test_sliding_f1_equals_f1_of_each_window() -> None:
    draw = np.random.default_rng(1)
    for n_classes, positive in ((2, 1), (3, None)):
        some = made(draw.integers(0, n_classes, 80).tolist(), draw.integers(-1, n_classes, 80).tolist(), n_classes)
        curve = metrics.sliding(some, positive, window=20)
        for i in (5, 19, 20, 50, 79):
            window = slice(max(0, i - 19), i + 1)
            expected = metrics.f1(some.truth[window], some.predicted[window], positive)
            assert expected == pytest.approx(curve[i]), (positive, i)


def test_predictions_are_joined_with_the_truth_and_pooled_by_time() -> None:
    trace = [
        records.Arrived(1, 1, 10, 1),
        records.Predicted(1, 1, 10, -1, ()),
        records.Arrived(2, 0, 11, 0),
        records.Predicted(2, 0, 11, 1, (0.25, 0.75)),
        records.Arrived(3, 1, 12, 0),
        records.Predicted(3, 1, 12, 0, (1.0, 0.0)),
    ]
    nodes = metrics.predictions(trace, n_nodes=3, n_classes=2)
    assert [1, 2, 0] == [len(node) for node in nodes]
    together = metrics.pooled(nodes)
    assert ([1, 0, 0], [-1, 1, 0]) == (together.truth.tolist(), together.predicted.tolist())
    assert [0.5, 0.25, 1.0] == together.truth_proba.tolist()


def test_traffic_adds_up() -> None:
    trace = [
        records.Sent(1, 0, 1, "share", 1, 1, 10, 16, 100, 0),
        records.Sent(1, 0, 2, "share", 1, 1, 10, 16, 100, 0),
        records.Sent(2, 1, 0, "share", 1, 1, 5, 16, 50, 0),
        records.Withheld(2, 1, 2, 5, "jsd", 0.1),
        records.Trained(3, 0, 4, 1, 9),
        records.Lost(3, 0, 2, "loss", 116),
        records.Refused(3, 0, 1, "stale", 66),
    ]
    found = metrics.traffic(trace)
    assert (298, 48, 3, 25, 5, 4) == (
        found.bytes_total,
        found.header_bytes,
        found.messages,
        found.prototypes_sent,
        found.prototypes_withheld,
        found.prototypes_trained,
    )
    assert {(0, 1): 116, (0, 2): 116, (1, 0): 66} == found.links
    assert ({"loss": 1}, {"stale": 1}) == (found.lost, found.refused)
    assert 105 * 25 / 10 == found.paper_bytes_per_s(10.0)


@given(st.lists(st.one_of(st.just(float("nan")), st.floats(0, 1)), max_size=30), st.sampled_from([0.5, 0.95, 1.0]))
def test_samples_to_is_the_first_after_which_it_stays(curve: list[float], share: float) -> None:
    found = metrics.samples_to(np.array(curve), share)
    if not curve or not curve[-1] > 0:
        assert found is None
        return
    there = [value >= share * curve[-1] for value in curve]
    assert found == min(n for n in range(1, len(curve) + 1) if all(there[n - 1 :]))


def test_a_certain_prediction_that_is_wrong_costs_a_finite_log_loss() -> None:
    """The number that docs/reference/metrics.md gives."""
    certain = NodePredictions(np.arange(1), np.array([1]), np.array([0]), np.array([0.0]), 2)
    assert 36.04 == pytest.approx(metrics.scores(certain, positive=1).log_loss, abs=0.005)
