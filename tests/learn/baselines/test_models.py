"""Learners that share whole models, against River and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import linear_model, naive_bayes, optim, tree

from protovine.checks import check_model_learner
from protovine.compress import GreedyCompressor
from protovine.errors import CodecError, ConfigError, SnapshotError
from protovine.learn import (
    AggregatorCore,
    EnsembleCore,
    GaussianBayes,
    LogisticCore,
    OwnPickles,
    river_core,
)
from protovine.prototypes import PrototypeSet
from protovine.snapshot import pack
from protovine.stream import DataSet


def bayes(dim: int = 3, n_classes: int = 3, votes: str = "mean") -> EnsembleCore:
    local = GaussianBayes(dim, n_classes)
    return EnsembleCore(dim, n_classes, local, lambda data: GaussianBayes.decode(data, dim, n_classes), votes)


def named(row: np.ndarray) -> dict[int, float]:
    return dict(enumerate(row.tolist()))


def zeros(n: int) -> np.ndarray:
    return np.zeros(n, np.int64)


def test_every_learner_keeps_the_contract() -> None:
    pickles = OwnPickles()
    check_model_learner(bayes, refuses_damage=False)
    check_model_learner(lambda: bayes(votes="accuracy"), refuses_damage=False)
    check_model_learner(lambda: LogisticCore(3, 3), refuses_damage=False)
    check_model_learner(lambda: river_core(3, 3, "tree.HoeffdingTreeClassifier", pickles=pickles))


def test_naive_bayes_is_rivers(phishing: DataSet) -> None:
    ours, theirs = GaussianBayes(9, 2), naive_bayes.GaussianNB()
    for row, code in zip(phishing.x[:400], phishing.y[:400].tolist(), strict=True):
        expected = theirs.predict_proba_one(named(row))
        proba = ours.proba(row)
        assert [expected.get(0, 0.0), expected.get(1, 0.0)] == pytest.approx(proba.tolist(), abs=1e-9)
        ours.learn_one(row, code)
        theirs.learn_one(named(row), code)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(0, 2)), min_size=1, max_size=30))
def test_naive_bayes_survives_the_wire(rows: list[tuple[float, float, int]]) -> None:
    model = GaussianBayes(2, 3)
    for a, b, code in rows:
        model.learn_one(np.array([a, b]), code)
    data = model.encode()
    again = GaussianBayes.decode(data, 2, 3)
    known = len({code for _, _, code in rows})
    assert 1 + 1 + 3 + known * 2 * 2 * 4 == len(data)
    assert model.count.tolist() == again.count.tolist()
    np.testing.assert_allclose(again.mean, model.mean, rtol=1e-7, atol=1e-30)
    np.testing.assert_allclose(again.spread, model.spread, rtol=1e-6, atol=1e-30)
    assert data == again.encode()


def test_logistic_regression_is_rivers_while_nothing_is_rescaled(phishing: DataSet) -> None:
    """On features in {-1, 1} that are already standardised both take the same steps: ours has two rows of weights, each
    half of River's one, and so half the step gives River's."""
    core = LogisticCore(2, 2, rate=0.05)
    theirs = linear_model.LogisticRegression(optimizer=optim.SGD(0.1), intercept_lr=0.1)
    core._deviation = lambda: np.ones(2)  # type: ignore[method-assign]
    draw = np.random.default_rng(0)
    for _ in range(300):
        x = draw.choice([-1.0, 1.0], 2)
        core._mean[:], core._count = 0.0, 10**15  # So that the mean stays where it is.
        code = int(draw.random() < 1 / (1 + np.exp(-2 * x[0])))
        theirs.learn_one(named(x), code)
        core.learn_one(x, code)
    x = np.array([1.0, -1.0])
    assert theirs.predict_proba_one(named(x))[True] == pytest.approx(core.proba(x)[1], abs=1e-9)


def test_averaging_is_weighted_by_samples_and_takes_the_scale_along() -> None:
    draw = np.random.default_rng(1)
    one, other = LogisticCore(2, 2), LogisticCore(2, 2)
    rows = []
    for core, n, centre in ((one, 300, 0.0), (other, 100, 50.0)):
        rows.append(draw.normal(size=(n, 2)) * [1.0, 20.0] + centre)
        core.learn(rows[-1], (rows[-1][:, 0] > centre).astype(np.int64), zeros(n))
    expected = 0.75 * one._weights + 0.25 * other._weights
    one.adopt(1, one.decode(other.encode()))
    np.testing.assert_allclose(one._weights, expected, rtol=1e-6)
    # Mean and deviation are those of all samples together.
    np.testing.assert_allclose(one._mean, np.concatenate(rows).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(one._deviation(), np.concatenate(rows).std(axis=0), rtol=1e-6)
    assert 300 == one.age
    assert 1 + 3 + 1 + 4 * (2 * 2 + 2 * 3) == len(one.encode()), "300 takes two bytes as a varint"


def test_a_feature_that_hardly_varies_at_a_node_does_no_harm_at_others() -> None:
    """Under label skew a feature may be constant but for noise at one node, and decide at another."""
    draw = np.random.default_rng(6)

    def rows(classes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        codes = draw.choice(classes, 300)
        x = np.column_stack([codes % 2, np.where(codes < 2, 1e-3 * draw.normal(size=300), codes)])
        return x + draw.normal(0, [0.1, 1e-4], (300, 2)), codes

    nodes, data = [LogisticCore(2, 4) for _ in range(2)], [rows((0, 1)), rows((0, 1, 2, 3))]
    for core, (x, codes) in zip(nodes, data, strict=True):
        core.learn(x, codes, zeros(300))
    alone = np.mean([nodes[1].predict(x).code == code for x, code in zip(*data[1], strict=True)])
    models = [core.decode(core.encode()) for core in nodes]
    for core, model in zip(nodes, reversed(models), strict=True):
        core.adopt(1, model)
    for core in nodes:
        together = np.mean([core.predict(x).code == code for x, code in zip(*data[1], strict=True)])
        assert together > alone - 0.25, (together, alone)  # It was .49 when weights alone were averaged.


def test_an_ensemble_averages_probabilities_as_the_authors_do() -> None:
    first, peers = bayes(1, 2), [bayes(1, 2), bayes(1, 2)]
    draw = np.random.default_rng(2)
    for i, core in enumerate([first, *peers]):
        codes = np.arange(40) % 2
        core.learn(draw.normal(size=(40, 1)) + codes[:, np.newaxis] * (i + 1), codes, zeros(40))
    probe = np.array([0.7])
    expected = np.mean([core.local.proba(probe) for core in [first, *peers]], axis=0)
    for number, core in enumerate(peers, 1):
        first.adopt(number, first.decode(core.encode()))
    np.testing.assert_allclose(first.predict(probe).proba, expected, atol=1e-6)
    first.adopt(1, first.decode(peers[1].encode()))
    assert 3 == len(first), "the newest model of a peer takes the place of its last"


def test_by_accuracy_a_model_that_is_always_wrong_is_outvoted() -> None:
    codes = np.arange(200) % 2
    x = codes[:, np.newaxis] + np.random.default_rng(3).normal(0, 0.1, (200, 1))
    found = {}
    for votes in ("mean", "accuracy"):
        local, liar = bayes(1, 2, votes), bayes(1, 2)
        liar.learn(x, 1 - codes, zeros(200))
        local.adopt(1, local.decode(liar.encode()))
        local.adopt(2, local.decode(liar.encode()))
        local.learn(x, codes, zeros(200))
        found[votes] = local.predict(np.array([1.0])).code
    assert {"mean": 0, "accuracy": 1} == found


def test_a_single_tree_is_rivers(phishing: DataSet) -> None:
    core, theirs = river_core(9, 2, "tree.HoeffdingTreeClassifier"), tree.HoeffdingTreeClassifier()
    for row, code in zip(phishing.x[:600], phishing.y[:600].tolist(), strict=True):
        core.learn(row[np.newaxis], np.array([code]), zeros(1))
        theirs.learn_one(named(row), code)
    for row in phishing.x[600:700]:
        expected = theirs.predict_proba_one(named(row))
        total = sum(expected.values())
        assert expected.get(1, 0.0) / total == pytest.approx(core.predict(row).proba[1])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("linear_model.LogisticRegression", {"standardise": True}),
        ("linear_model.PAClassifier", {}),  # It has no probabilities.
        ("ensemble.BaggingClassifier", {"parameters": {"model": "tree.HoeffdingTreeClassifier", "n_models": 2}}),
        ("forest.ARFClassifier", {"parameters": {"n_models": 2}}),
        ("river.tree.HoeffdingTreeClassifier", {}),
        ("sklearn.naive_bayes.GaussianNB", {}),
        ("sklearn.linear_model.SGDClassifier", {"standardise": True}),  # It has no probabilities.
    ],
)
def test_any_classifier_of_river_serves(name: str, options: dict) -> None:
    draw = np.random.default_rng(4)
    codes = draw.integers(0, 3, 300)
    x = 3.0 * codes[:, np.newaxis] + draw.normal(0, 0.3, (300, 2)) * [1, -1]
    core = river_core(2, 3, name, **options)
    core.learn(x, codes, zeros(300))
    right = np.mean([core.predict(row).code == code for row, code in zip(x, codes, strict=True)])
    assert right > 0.6  # PAClassifier has no margin for the class in the middle; a guess gives 0.33.


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("tree.HoefdingTreeClassifier", {}, "did you mean 'tree.HoeffdingTreeClassifier'?"),
        ("trees.X", {}, "River has no module 'trees' (did you mean 'tree'?)"),
        ("HoeffdingTreeClassifier", {}, "did you mean 'tree.HoeffdingTreeClassifier'?): a name is MODULE.CLASS"),
        ("AdaBoostClassifier", {}, "did you mean 'ensemble.AdaBoostClassifier'?"),
        ("tree", {}, "a name is MODULE.CLASS, as River exports it"),
        ("sklearn.linear_model.SGDClasifier", {}, "did you mean 'sklearn.linear_model.SGDClassifier'?"),
        ("sklearn.ensemble.RandomForestClassifier", {}, "learns no stream: it has no partial_fit"),
        ("sklearn.nowhere.X", {}, "there is no module 'sklearn.nowhere'"),
        ("tree.HoeffdingTreeRegressor", {}, "unknown River classifier 'tree.HoeffdingTreeRegressor'"),
        ("_river_rust.X", {}, "River has no module '_river_rust'"),
        (
            "tree.HoeffdingTreeClassifier",
            {"grace_perio": 3},
            "has no parameter 'grace_perio' (did you mean 'grace_period'?)",
        ),
        ("tree.HoeffdingTreeClassifier", {"grace_period": "x"}, "cannot be"),
        ("ensemble.BaggingClassifier", {}, "cannot be made with"),
        ("ensemble.BaggingClassifier", {"model": "tree.Nothing"}, "unknown River classifier 'tree.Nothing'"),
    ],
)
def test_wrong_names_and_parameters_are_said(name: str, parameters: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        river_core(2, 2, name, parameters=parameters)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_pickle_from_elsewhere_is_never_opened() -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (pytest.fail, ("it was opened",))

    stranger = OwnPickles()
    core = river_core(1, 2, "tree.HoeffdingTreeClassifier", pickles=OwnPickles())
    with pytest.raises(CodecError, match="not made in this run"):
        core.decode(stranger.dump(Trap()))
    core.learn(np.zeros((1, 1)), zeros(1), zeros(1))
    with pytest.raises(SnapshotError):
        river_core(1, 2, "tree.HoeffdingTreeClassifier").restore(core.state())


def test_models_of_another_shape_are_refused() -> None:
    wide, narrow = bayes(4), bayes(3)
    wide.learn(np.zeros((1, 4)), zeros(1), zeros(1))
    with pytest.raises(CodecError, match="must have 3 features, got 4"):
        narrow.decode(wide.encode())
    logistic = LogisticCore(4, 3)
    logistic.learn(np.zeros((1, 4)), zeros(1), zeros(1))
    with pytest.raises(CodecError, match="must have 3 features and 3 classes"):
        LogisticCore(3, 3).decode(logistic.encode())
    for core in (wide, logistic):
        with pytest.raises(SnapshotError):
            type(core).restore(bayes(3) if core is wide else LogisticCore(3, 3), core.state())


def test_a_server_returns_what_the_others_hold_class_by_class() -> None:
    draw = np.random.default_rng(5)
    server = AggregatorCore(2, 2, GreedyCompressor(), size=10)
    sets = [PrototypeSet.of(draw.normal(size=(20, 2)) + i, draw.integers(0, 2, 20)) for i in range(3)]
    for client, held in enumerate(sets):
        server.collect(client, held)
    got = server.others(0)
    others = PrototypeSet.joined(sets[1:], 2)
    assert 10 == len(got)
    for code in (0, 1):
        assert others.weight[others.label == code].sum() == pytest.approx(got.weight[got.label == code].sum())
    np.testing.assert_allclose(
        (others.weight[:, np.newaxis] * others.x).sum(axis=0), (got.weight[:, np.newaxis] * got.x).sum(axis=0)
    )
    again = AggregatorCore(2, 2, GreedyCompressor(), size=10)
    again.restore(server.state())
    for each in (server, again):
        assert 0 == len(each.others(0)), "its last answer had all of them"
        assert 10 == len(each.others(1)), "another client has had none"
        each.collect(2, PrototypeSet.of([[1.0, 2.0], [3.0, 4.0]], [0, 1], event_ns=[0, 5]))
        assert [[3.0, 4.0]] == each.others(0).x.tolist()
    assert -1 == server.predict(np.zeros(2)).code


def test_a_refused_state_changes_nothing() -> None:
    ensemble = bayes()
    for wrong in (
        {"seen": np.ones(3), "local": {}},
        {"seen": np.ones(3), "received": [[1, b"?"]]},
        {"seen": np.ones(9)},
    ):
        with pytest.raises(SnapshotError):
            ensemble.restore({**bayes().state(), **wrong})
        assert (0, -1) == (len(ensemble), ensemble.predict(np.zeros(3)).code)
    server = AggregatorCore(1, 2, GreedyCompressor())
    server.collect(0, PrototypeSet.of([[0.5]], [0]))
    before = pack(server.state())
    other = AggregatorCore(1, 2, GreedyCompressor()).state()
    for wrong in ({"seen": np.ones(2), "sets": None}, {"seen": np.ones(2), "sent": [[0]]}, {"seen": np.ones(5)}):
        with pytest.raises(SnapshotError):
            server.restore({**other, **wrong})
    other.pop("compressor")
    with pytest.raises(SnapshotError):
        server.restore(other)
    assert before == pack(server.state())
