"""Classifiers that a script has as objects are settings like any other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from river import base, compat, ensemble, forest, linear_model, naive_bayes, preprocessing, tree
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

import protovine
from protovine import HedgedLVQ
from protovine.errors import ConfigError
from protovine.experiments.define.config import Experiment
from protovine.learn.baselines.described import described

TREE = "tree.HoeffdingTreeClassifier"


@pytest.mark.parametrize(
    ("classifier", "expected"),
    [
        (tree.HoeffdingTreeClassifier, {"classifier": TREE}),
        (tree.HoeffdingTreeClassifier(), {"classifier": TREE}),
        (
            ensemble.BaggingClassifier(tree.HoeffdingTreeClassifier(grace_period=50), n_models=2),
            {
                "classifier": "ensemble.BaggingClassifier",
                "parameters": {"model": {"classifier": TREE, "parameters": {"grace_period": 50}}, "n_models": 2},
            },
        ),
        (
            preprocessing.StandardScaler() | linear_model.LogisticRegression(l2=0.5),
            {"classifier": "linear_model.LogisticRegression", "parameters": {"l2": 0.5}, "standardise": True},
        ),
        (
            compat.SKL2RiverClassifier(SGDClassifier(loss="log_loss"), classes=[0, 1]),
            {"classifier": "sklearn.linear_model.SGDClassifier", "parameters": {"loss": "log_loss"}},
        ),
        (
            make_pipeline(StandardScaler(), SGDClassifier(alpha=0.1)),
            {"classifier": "sklearn.linear_model.SGDClassifier", "parameters": {"alpha": 0.1}, "standardise": True},
        ),
        (
            compat.SKL2RiverClassifier(make_pipeline(StandardScaler(copy=False), GaussianNB()), classes=[0, 1]),
            {"classifier": "sklearn.naive_bayes.GaussianNB", "standardise": True},
        ),
        (SGDClassifier, {"classifier": "sklearn.linear_model.SGDClassifier"}),
        (
            forest.ARFClassifier(seed=7),
            {"classifier": "forest.ARFClassifier", "parameters": {"seed": 7}},
        ),
    ],
)
def test_an_object_is_the_settings_that_stand_for_it(classifier: Any, expected: dict[str, Any]) -> None:
    assert expected == described(classifier)
    assert expected == Experiment(presets=["river"], learner=classifier).given()["learner"]
    assert expected == Experiment(presets=["river"], learner={"classifier": classifier}).given()["learner"]


class Majority(base.Classifier):  # type: ignore[misc]
    """A classifier of a script."""

    def learn_one(self, x: dict[str, float], y: int) -> None:
        """Learn nothing."""

    def predict_one(self, x: dict[str, float]) -> int:
        """The first class."""
        return 0


class OwnTree(tree.HoeffdingTreeClassifier):  # type: ignore[misc]
    """One that inherits from a classifier of River."""


class OwnGradient(SGDClassifier):  # type: ignore[misc]
    """One that inherits from a classifier of scikit-learn."""


@pytest.mark.parametrize(
    "learner",
    [
        Majority,
        Majority(),
        OwnTree(),
        OwnGradient(),
        OwnTree,
        preprocessing.StandardScaler() | Majority(),
        {"classifier": Majority()},
    ],
)
def test_a_classifier_of_a_script_that_inherits_from_a_library_runs(learner: Any) -> None:
    experiment = Experiment(presets=["river"], learner=learner, seeds=1, data={"limit": 50})
    assert "tests.learn.baselines.test_described:" in str(experiment.settings("river").learner)
    assert protovine.run(experiment).runs[0].metrics["accuracy"] >= 0


@pytest.mark.parametrize("learner", ["mine.Majority", len])
def test_the_way_to_a_learner_of_ones_own_is_in_the_message(learner: Any) -> None:
    with pytest.raises(ConfigError, match=r"of your own is .* \(docs/tutorials/own-learner.md\)$"):
        protovine.run(Experiment(presets=["river"], learner=learner, seeds=1, data={"limit": 50}))


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        (RandomForestClassifier(), "RandomForestClassifier of scikit-learn is no classifier with partial_fit"),
        (tree.HoeffdingTreeRegressor(), "must be a classifier of River .* got river.tree.*HoeffdingTreeRegressor"),
        (make_pipeline(MinMaxScaler(), SGDClassifier()), "nothing else, got MinMaxScaler . SGDClassifier; other steps"),
        (make_pipeline(SGDClassifier()), "and nothing else, got SGDClassifier; other steps"),
        (make_pipeline(StandardScaler(), SVC()), "SVC of scikit-learn is no classifier with partial_fit"),
        (
            make_pipeline(StandardScaler(with_mean=False), SGDClassifier()),
            r"must be a plain StandardScaler\(\), got with_mean=False",
        ),
        (
            preprocessing.StandardScaler(with_std=False) | naive_bayes.GaussianNB(),
            r"must be a plain StandardScaler\(\), got with_std=False",
        ),
        (preprocessing.MinMaxScaler() | naive_bayes.GaussianNB(), "nothing else, got MinMaxScaler . GaussianNB"),
        (
            tree.HoeffdingTreeClassifier(splitter=tree.splitter.GaussianSplitter(3)),
            "parameter 'splitter' must be",
        ),
        (HedgedLVQ(size_max=9), "got HedgedLVQ, the learner of preset default: choose that preset"),
        (3, "must be a classifier of River .* got 3; a learner of your own is a class"),
        ({"classifier": object()}, "got object; a learner of your own is|got <object object"),
    ],
)
def test_what_cannot_be_a_setting_is_one_line_that_says_what_to_write(learner: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Experiment(presets=["river"], learner=learner)
    assert "\n" not in str(caught.value)


def test_an_object_runs_as_its_name_does_and_learns_nothing_itself() -> None:
    theirs = tree.HoeffdingTreeClassifier(grace_period=20)
    common: dict[str, Any] = {"presets": ["gossip-trees"], "data": {"limit": 150}, "seeds": 1}
    by_object = protovine.run(Experiment(**common, learner=theirs))
    by_name = protovine.run(Experiment(**common, learner={"classifier": TREE, "parameters": {"grace_period": 20}}))
    plain = protovine.run(Experiment(**common, learner=TREE))
    assert by_object.runs[0].trace_hash == by_name.runs[0].trace_hash != plain.runs[0].trace_hash
    assert theirs.predict_proba_one({}) == {}


def test_a_classifier_of_scikit_learn_runs_with_one_result() -> None:
    learner = SGDClassifier(loss="log_loss")
    runs = [
        protovine.run(Experiment(presets=["river"], data={"limit": 300}, seeds=1, learner=learner)).runs[0]
        for _ in range(2)
    ]
    assert runs[0].trace_hash == runs[1].trace_hash
    assert math.isfinite(runs[0].metrics["f1"]) and runs[0].metrics["accuracy"] > 0.6


def test_the_scalers_of_both_libraries_are_the_same() -> None:
    rows = np.random.default_rng(1).normal(3.0, 2.0, (200, 2))
    rows[:, 1] = 0.1  # Without any spread.
    rivers, theirs = preprocessing.StandardScaler(), StandardScaler()
    for row in rows:
        rivers.learn_one(dict(enumerate(row)))
        theirs.partial_fit(row[None])
        scaled = list(rivers.transform_one(dict(enumerate(row))).values())
        np.testing.assert_allclose(scaled, theirs.transform(row[None])[0], atol=1e-9)


def test_an_object_among_the_parameters_is_no_model_that_nodes_share() -> None:
    estimator = SGDClassifier(loss="log_loss", random_state=0)
    wrapped = {
        "classifier": "compat.SKL2RiverClassifier",
        "parameters": {"estimator": estimator, "classes": [0, 1]},
    }
    common: dict[str, Any] = {"presets": ["river"], "data": {"limit": 100}, "seeds": 1}
    runs = [protovine.run(Experiment(**common, learner=learner)).runs[0] for learner in (wrapped, estimator)]
    assert runs[0].trace_hash == runs[1].trace_hash
    assert not hasattr(estimator, "coef_")
