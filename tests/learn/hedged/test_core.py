"""The learner over arrays: its contract, streams of all kinds, time, restarts and growth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine import HedgedLVQ
from protovine.checks import check_learner
from protovine.errors import ConfigError, SnapshotError
from protovine.learn import HedgedLVQCore
from protovine.learn.hedged.layout import PER_CLASS
from protovine.learn.hedged.state import DISCRIMINANT_DIM_MAX, LAST_LABEL, SIZE
from protovine.prototypes import FEATURE_MAX, PrototypeSet
from tests.learn.hedged.streams import SECOND, blobs, receive, seconds, taught


def test_learner_contract() -> None:
    check_learner(HedgedLVQCore)


def awkward(draw: np.random.Generator, rows: int, dim: int, n_classes: int, kinds: set[str]):
    """Rows with the given troubles, and their codes."""
    codes = draw.integers(0, n_classes, rows)
    x = draw.normal(size=(rows, dim)) + codes[:, None]
    if "collinear" in kinds:
        x[:] = x[:, :1] * draw.normal(size=dim)
    if "scales" in kinds:
        x *= 10.0 ** draw.uniform(-30, 37, dim)
    if "constant" in kinds:
        x[:, draw.integers(dim)] = draw.choice([0.0, 1.0, -1e38, 1e-30])
    if "shift" in kinds:
        x[rows // 2 :] += 1e6
    if "repeated" in kinds:
        x = x[draw.integers(0, max(rows // 8, 1), rows)]
    if "one class" in kinds:
        codes[:] = n_classes - 1
    if "late class" in kinds:
        codes[: 3 * rows // 4] = 0
    if "extremes" in kinds:
        x[draw.random(x.shape) < 0.05] = FEATURE_MAX
        x[draw.random(x.shape) < 0.05] = -FEATURE_MAX
    if "missing" in kinds:
        x[draw.random(x.shape) < 0.3] = np.nan
    return np.clip(x, -FEATURE_MAX, FEATURE_MAX), codes


KINDS = ["collinear", "scales", "constant", "shift", "repeated", "one class", "late class", "extremes", "missing"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 2, 3, 9, DISCRIMINANT_DIM_MAX, DISCRIMINANT_DIM_MAX + 1, 500]),
    st.integers(1, 4),
    st.sets(st.sampled_from(KINDS)),
    st.integers(2, 30),
)
def test_any_stream_gives_probabilities_and_a_bounded_set(
    seed: int, dim: int, n_classes: int, kinds: set[str], size_max: int
) -> None:
    draw = np.random.default_rng(seed)
    x, codes = awkward(draw, 80, dim, n_classes, kinds)
    times = np.cumsum(draw.integers(0, 2 * SECOND, 80)) if seed % 2 else np.zeros(80, np.int64)
    core, twin = (HedgedLVQCore(dim, n_classes, size_max=size_max) for _ in range(2))
    for part in (slice(0, 40), slice(40, 80)):
        _, proba = core.prequential(x[part], codes[part], times[part])
        assert np.isfinite(proba).all() and (proba >= 0).all()
        if part.start:
            assert np.allclose(proba.sum(axis=1), 1, rtol=0, atol=1e-9)
        items, labels = awkward(draw, 10, dim, n_classes, kinds)
        receive(core, np.nan_to_num(items), labels, 7)
        assert len(core) <= max(size_max, PER_CLASS * n_classes)
        twin.learn(x[part], codes[part], times[part])
        receive(twin, np.nan_to_num(items), labels, 7)
    held = core.prototypes()
    assert np.isfinite(held.x).all() and np.isfinite(held.weight).all()
    for name, array in core.state()["arrays"].items():
        assert np.isfinite(array).all(), name
        assert np.array_equal(array, twin.state()["arrays"][name]), f"{name}: predicting first changes what is learnt"
    again = HedgedLVQCore(dim, n_classes, size_max=size_max)
    again.restore(core.state())
    assert np.array_equal(core.predict(x[0]).proba, again.predict(x[0]).proba)


@pytest.mark.parametrize("factor", [1e-25, 1e-6, 1e6, 1e25])
def test_units_do_not_matter(factor: float) -> None:
    x, codes = blobs(200)
    plain, scaled = HedgedLVQCore(2, 2), HedgedLVQCore(2, 2)
    _, expected = plain.prequential(x, codes, seconds(200))
    _, proba = scaled.prequential(x * [factor, 1.0], codes, seconds(200))
    assert np.allclose(expected, proba, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, 2e38])
def test_values_out_of_range_are_refused(bad: float) -> None:
    core = HedgedLVQCore(1, 2)
    with pytest.raises(ValueError, match="within ±1e"):
        core.learn(np.array([[0.0], [bad]]), np.array([0, 1]), seconds(2))
    assert 0 == len(core)


def test_a_parameter_out_of_range_is_refused() -> None:
    for options in ({"size_max": 1}, {"margin": 1.0}, {"hedge_decay": 0.0}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            HedgedLVQ(**options)


def test_one_metric_must_be_left() -> None:
    metrics = ("z-score", "fisher", "relief")
    HedgedLVQCore(3, 2, ablate=metrics)
    for dim, ablate in ((3, (*metrics, "discriminant")), (DISCRIMINANT_DIM_MAX + 1, metrics)):
        with pytest.raises(ConfigError, match="must leave one of"):
            HedgedLVQCore(dim, 2, ablate=ablate)


def test_where_age_decides_the_newest_samples_win() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(600, 2))
    codes = (x[:, 0] > 0).astype(np.int64)
    codes[300:] = 1 - codes[300:]
    predicted, _ = HedgedLVQCore(2, 2).prequential(x, codes, seconds(600))
    assert (predicted[500:] == codes[500:]).mean() > 0.85


def test_a_late_label_counts_with_the_age_of_its_sample() -> None:
    x, codes = blobs(100)
    core = HedgedLVQCore(2, 2)
    core.learn(x, codes, seconds(100))
    newest = core.prototypes().event_ns.max()
    core.widen(2, 3)
    core.learn(np.array([[30.0, -30.0]]), np.array([2]), np.array([5 * SECOND]))
    late = core.prototypes()
    assert newest == late.event_ns.max()
    assert [5 * SECOND] == late.event_ns[late.label == 2].tolist()


@pytest.mark.parametrize("dim", [3, DISCRIMINANT_DIM_MAX + 1])
def test_a_restored_learner_goes_on_as_the_original(dim: int) -> None:
    x, codes = blobs(200, dim, 3)
    core = HedgedLVQCore(dim, 3, size_max=30)
    core.learn(x[:100], codes[:100], seconds(100))
    receive(core, x[:20], codes[:20], 5)
    core.predict(x[100])
    again = HedgedLVQCore(dim, 3, size_max=30)
    again.restore(core.state())
    for each in (core, again):
        receive(each, x[20:40], codes[20:40], 5)
        each.learn(x[100:], codes[100:], seconds(200)[100:])
    assert all(np.array_equal(a, again.state()["arrays"][name]) for name, a in core.state()["arrays"].items())
    assert core.trust == again.trust


def test_a_state_of_version_0_2_0_goes_on_without_agreement_and_pairs() -> None:
    core, x, codes = taught()
    receive(core, x[:20], 1 - codes[:20], 1)
    older, fresh = core.state(), HedgedLVQCore(2, 2)
    assert older["arrays"].pop("agreement").any() and older["arrays"].pop("agreement_noise").any()
    assert older["arrays"].pop("pairs").any()
    shorter = {"scalars": 3, "pool_weight": 12, "curvature": 12}
    for name, length in shorter.items():
        older["arrays"][name] = older["arrays"][name][tuple(slice(length) for _ in range(older["arrays"][name].ndim))]
    fresh.restore(older)
    found, left = fresh.state()["arrays"], core.state()["arrays"]
    assert not found["agreement"].any() and not found["pairs"].any()
    assert all(np.array_equal(found[name], left[name]) for name in older["arrays"] if name not in shorter)
    for name, length in shorter.items():
        assert np.array_equal(found[name][:length, ...].T[:length].T, older["arrays"][name]), name
        assert not found[name][length:].any()
    fresh.learn(x[200:], codes[200:], seconds(200))
    for name in ("evidence", "scalars"):
        damaged = core.state()
        damaged["arrays"][name] = damaged["arrays"][name][:1]
        with pytest.raises(SnapshotError):
            fresh.restore(damaged)


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [("label", 0, 9), ("counts", SIZE, -1), ("x", 0, np.nan), ("counts", LAST_LABEL, -1), ("counts", LAST_LABEL, 3)],
)
def test_damaged_state_is_refused(name: str, at: int, value: float) -> None:
    core = HedgedLVQCore(2, 2)
    core.learn(*blobs(20), seconds(20))
    state = core.state()
    state["arrays"][name][at] = value
    with pytest.raises(SnapshotError):
        core.restore(state)
    assert 20 >= len(core) > 0


def test_earlier_prototypes_have_the_first_value_of_a_new_feature() -> None:
    x, codes = blobs(100)
    core = HedgedLVQCore(2, 2)
    core.learn(x, codes, seconds(100))
    before = core.predict(x[0]).proba
    core.widen(3, 3, first=np.array([1013.0]))
    assert {1013.0} == set(core.prototypes().x[:, 2])
    # The new class has no sample, so it gets doubt alone.
    after = core.predict(np.append(x[0], 1013.0)).proba
    assert before.argmax() == after.argmax() and 0 < after[2] < 0.1
    assert after == pytest.approx(core.predict(np.append(x[0], np.nan)).proba)


def test_above_64_features_the_discriminant_metric_gives_way() -> None:
    for dim, expected in (
        (DISCRIMINANT_DIM_MAX, (DISCRIMINANT_DIM_MAX, DISCRIMINANT_DIM_MAX)),
        (DISCRIMINANT_DIM_MAX + 1, (0, 0)),
    ):
        assert expected == HedgedLVQCore(dim, 2).state()["arrays"]["scatter"].shape
    x, codes = blobs(300, DISCRIMINANT_DIM_MAX)
    core = HedgedLVQCore(DISCRIMINANT_DIM_MAX, 2)
    core.learn(x, codes, seconds(300))
    core.widen(DISCRIMINANT_DIM_MAX + 1, 2)
    wide = np.column_stack([x, np.zeros(300)])
    receive(core, wide[:1], codes[:1], 4)
    predicted, proba = core.prequential(wide, codes, seconds(300))
    assert np.isfinite(proba).all() and (predicted == codes).mean() > 0.95
    again = HedgedLVQCore(DISCRIMINANT_DIM_MAX + 1, 2)
    again.restore(core.state())


@pytest.mark.parametrize("dim", [2, DISCRIMINANT_DIM_MAX + 6])
def test_an_explanation_adds_up_to_the_prediction(dim: int) -> None:
    x, codes = blobs(150, dim, 3)
    core = HedgedLVQCore(dim, 3, size_max=40)
    core.learn(x[:100], codes[:100], seconds(100))
    receive(core, x[100:110], codes[100:110], 3)
    for row in x[110:]:
        prediction, parts, linear, pooled, doubt = core.explain(row)
        total = np.bincount(core.prototypes().label, parts, minlength=3) + linear + pooled + doubt
        assert np.allclose(prediction.proba, total, rtol=0, atol=1e-12)
        assert (parts >= 0).all() and (linear >= 0).all() and doubt >= 0


def test_predicting_changes_nothing_that_is_learnt() -> None:
    x, codes = blobs(100)
    asked, silent = HedgedLVQCore(2, 2), HedgedLVQCore(2, 2)
    for i in range(100):
        asked.predict(x[i], at_ns=10**12)
        for each in (asked, silent):
            each.learn(x[i : i + 1], codes[i : i + 1], np.array([i * SECOND]))
    assert np.array_equal(asked.state()["arrays"]["loss"], silent.state()["arrays"]["loss"])


def test_samples_of_a_single_class_are_all_kept_while_there_is_room() -> None:
    # Every expert is right, so none is best, least of all the metric that has nothing to discriminate.
    x, _ = blobs(50)
    core = HedgedLVQCore(2, 2)
    core.learn(x, np.zeros(50, np.int64), seconds(50))
    assert len(core) >= 49


@pytest.mark.parametrize("origins", [[3], [3] * 6, [[3] * 5]], ids=str)
def test_origins_that_do_not_fit_are_refused(origins: list) -> None:
    core = HedgedLVQCore(2, 2)
    x, codes = blobs(20)
    core.learn(x, codes, seconds(20))
    with pytest.raises(ValueError, match="5 prototypes need as many origins"):
        core.learn_received(PrototypeSet.of(x[:5], codes[:5]), np.array(origins))
    assert {} == core.trust
