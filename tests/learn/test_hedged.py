from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import checks, compose, preprocessing
from sklearn.metrics import f1_score

from protovine import HedgedLVQ, load
from protovine.checks import check_learner
from protovine.errors import ConfigError, SnapshotError
from protovine.learn import HedgedLVQCore
from protovine.learn.hedged.core import WIDE
from protovine.prototypes import FEATURE_MAX, PrototypeSet
from protovine.stream import DataSet
from tests.learn.hedged_twin import Twin

SECOND = 10**9


def stream(name: str, rows: int | None = None) -> tuple[np.ndarray, np.ndarray, int]:
    """Features, codes and the number of classes; segments come sorted by class, so they are shuffled."""
    data = load(name) if rows is None else load(name, rows=rows)
    order = np.arange(len(data))
    if name == "image-segments":
        order = np.random.default_rng(0).permutation(order)
    return np.ascontiguousarray(data.x[order]), data.y[order], len(data.classes)


def seconds(n: int) -> np.ndarray:
    return np.arange(n) * SECOND


def blobs(rows: int, dim: int = 2, n_classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, n_classes, rows)
    return draw.normal(size=(rows, dim)) + 3 * codes[:, None], codes


def received(core: HedgedLVQCore, x: np.ndarray, codes: np.ndarray, origin: int, at_ns: int = 0, weight: float = 1.0):
    n = len(codes)
    items = PrototypeSet.of(x, codes, weight=np.full(n, weight), event_ns=np.full(n, at_ns))
    return core.learn_received(items, np.full(n, origin))


# The plain twin.


def assert_equal_to_the_twin(x: np.ndarray, codes: np.ndarray, core: HedgedLVQCore, per_own: float, seed: int) -> None:
    draw = np.random.default_rng(seed)
    twin = Twin(core, senders=3)

    def receive(now: int, slot: int) -> None:
        # The third sender lies about labels; some items are far out, some late, and they weigh differently.
        i = draw.integers(len(x))
        code = int(codes[i]) if slot < 3 else int(draw.integers(core.n_classes))
        far, weight, at_ns = (
            50 if draw.random() < 0.02 else 1,
            float(draw.integers(1, 4)),
            now - int(draw.integers(9e9)),
        )
        received(core, far * x[i : i + 1], np.array([code]), slot, at_ns, weight)
        twin.receive(far * x[i], code, at_ns, slot, weight)

    for slot in (1, 2, 3) if per_own else ():
        receive(0, slot)
    now = 0
    for i, row in enumerate(x):
        now += int(draw.exponential(SECOND))
        assert np.abs(twin.predict(row, now) - core.predict(row, now).proba).max() < 1e-9, f"row {i}"
        core.learn(x[i : i + 1], codes[i : i + 1], np.array([now]))
        twin.learn(row, int(codes[i]), now)
        for _ in range(draw.poisson(per_own)):
            receive(now, int(draw.integers(1, 4)))
    held = core.prototypes()
    assert [p.label for p in twin.held] == held.label.tolist()
    assert [p.event for p in twin.held] == held.event_ns.tolist()
    assert np.allclose([p.x for p in twin.held], held.x, rtol=1e-9, atol=0)
    assert np.allclose([p.own[0] + twin.trust[p.slot] * p.received[0] for p in twin.held], held.weight, rtol=1e-9)
    for slot, trust in core.trust.items():
        assert trust == pytest.approx(twin.trust[slot], rel=1e-6)


@pytest.mark.parametrize("ablate", [(), ("trust",), ("hedge", "fisher", "recency")], ids=str)
@pytest.mark.parametrize("per_own", [0.0, 1.5], ids=["own", "own and received"])
@pytest.mark.parametrize("name", ["bananas", "image-segments"])
def test_kernels_equal_the_plain_twin(name: str, per_own: float, ablate: tuple[str, ...]) -> None:
    x, codes, n_classes = stream(name)
    core = HedgedLVQCore(x.shape[1], n_classes, size_max=50, ablate=ablate)
    assert_equal_to_the_twin(x[:200], codes[:200], core, per_own, seed=1)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 4), st.floats(0, 2))
def test_kernels_equal_the_plain_twin_on_random_streams(seed: int, dim: int, n_classes: int, per_own: float) -> None:
    x, codes = blobs(60, dim, n_classes, seed)
    assert_equal_to_the_twin(x, codes, HedgedLVQCore(dim, n_classes, size_max=20), per_own, seed)


# The contract of every learner, and streams of all kinds.


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
    st.sampled_from([1, 2, 3, 9, WIDE, WIDE + 1, 500]),
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
        received, labels = awkward(draw, 10, dim, n_classes, kinds)
        received(core, np.nan_to_num(received), labels, 7)
        assert len(core) <= size_max
        twin.learn(x[part], codes[part], times[part])
        received(twin, np.nan_to_num(received), labels, 7)
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


# Time, restarts, growth.


def test_one_metric_must_be_left() -> None:
    metrics = ("z-score", "fisher", "relief")
    HedgedLVQCore(3, 2, ablate=metrics)
    for dim, ablate in ((3, (*metrics, "discriminant")), (WIDE + 1, metrics)):
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


@pytest.mark.parametrize("dim", [3, WIDE + 1])
def test_a_restored_learner_goes_on_as_the_original(dim: int) -> None:
    x, codes = blobs(200, dim, 3)
    core = HedgedLVQCore(dim, 3, size_max=30)
    core.learn(x[:100], codes[:100], seconds(100))
    received(core, x[:20], codes[:20], 5)
    core.predict(x[100])
    again = HedgedLVQCore(dim, 3, size_max=30)
    again.restore(core.state())
    for each in (core, again):
        received(each, x[20:40], codes[20:40], 5)
        each.learn(x[100:], codes[100:], seconds(200)[100:])
    assert all(np.array_equal(a, again.state()["arrays"][name]) for name, a in core.state()["arrays"].items())
    assert core.trust == again.trust


@pytest.mark.parametrize(("name", "value"), [("label", 9), ("counts", -1), ("x", np.nan)])
def test_damaged_state_is_refused(name: str, value: float) -> None:
    core = HedgedLVQCore(2, 2)
    core.learn(*blobs(20), seconds(20))
    state = core.state()
    state["arrays"][name][0] = value
    with pytest.raises(SnapshotError):
        core.restore(state)
    assert 20 >= len(core) > 0


def test_what_was_learnt_has_the_first_value_of_a_new_feature() -> None:
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
    for dim, expected in ((WIDE, (WIDE, WIDE)), (WIDE + 1, (0, 0))):
        assert expected == HedgedLVQCore(dim, 2).state()["arrays"]["scatter"].shape
    x, codes = blobs(300, WIDE)
    core = HedgedLVQCore(WIDE, 2)
    core.learn(x, codes, seconds(300))
    core.widen(WIDE + 1, 2)
    wide = np.column_stack([x, np.zeros(300)])
    received(core, wide[:1], codes[:1], 4)
    predicted, proba = core.prequential(wide, codes, seconds(300))
    assert np.isfinite(proba).all() and (predicted == codes).mean() > 0.95
    again = HedgedLVQCore(WIDE + 1, 2)
    again.restore(core.state())


@pytest.mark.parametrize("dim", [2, WIDE + 6])
def test_an_explanation_adds_up_to_the_prediction(dim: int) -> None:
    x, codes = blobs(150, dim, 3)
    core = HedgedLVQCore(dim, 3, size_max=40)
    core.learn(x[:100], codes[:100], seconds(100))
    received(core, x[100:110], codes[100:110], 3)
    for row in x[110:]:
        prediction, parts, linear, doubt = core.explain(row)
        total = np.bincount(core.prototypes().label, parts, minlength=3) + linear + doubt
        assert np.allclose(prediction.proba, total, rtol=0, atol=1e-12)
        assert (parts >= 0).all() and (linear >= 0).all() and doubt >= 0


# What others send.


def taught() -> tuple[HedgedLVQCore, np.ndarray, np.ndarray]:
    x, codes = blobs(400)
    core = HedgedLVQCore(2, 2, size_max=60)
    core.learn(x[:100], codes[:100], seconds(100))
    return core, x, codes


@pytest.mark.parametrize("attack", ["flipped", "far", "flood", "duplicates"])
def test_hostile_items_leave_own_prototypes_where_they_are(attack: str) -> None:
    core, x, codes = taught()
    before = core.local_prototypes()
    items, labels = {
        "flipped": (x[:20], 1 - codes[:20]),
        "far": (x[:20] + 1e9, codes[:20]),
        "flood": (np.tile(x, (10, 1)), np.tile(1 - codes, 10)),
        "duplicates": (before.x, before.label),
    }[attack]
    received(core, items, labels, 9)
    after = core.local_prototypes()
    assert {tuple(row) for row in after.x} <= {tuple(row) for row in before.x}
    assert after.weight.sum() <= before.weight.sum()


def test_items_far_out_of_the_own_range_are_refused() -> None:
    core, x, codes = taught()
    before = core.prototypes()
    assert 0 == received(core, x[:20] + 1e9, codes[:20], 9)
    assert np.array_equal(before.x, core.prototypes().x)


def test_a_flood_is_bounded_by_bucket_and_slots() -> None:
    core, x, codes = taught()
    received(core, x[:1], codes[:1], 9)
    left = core.state()["arrays"]["bucket"][1]
    draw = np.random.default_rng(3)
    received(core, draw.normal(size=(2000, 2)), draw.integers(0, 2, 2000), 9)
    assert 0 <= core.state()["arrays"]["bucket"][1] < 1
    arrays = core.state()["arrays"]
    assert arrays["foreign"][:, 0].sum() <= left + 1
    unconfirmed = (arrays["foreign"][:60, 0] > 0) & (arrays["own"][:60, 0] == 0)
    assert unconfirmed.sum() <= 0.8 * 60


def test_a_liar_is_found_out_and_an_honest_peer_is_not() -> None:
    core, x, codes = taught()
    for i in range(100, 400):
        core.prequential(x[i : i + 1], codes[i : i + 1], np.array([i * SECOND]))
        j = i - 100
        received(core, x[j : j + 1], codes[j : j + 1], 1, i * SECOND)
        received(core, x[j : j + 1], 1 - codes[j : j + 1], 2, i * SECOND)
    assert core.trust[1] > 0.9 and core.trust[2] < 0.3


def test_what_came_before_the_first_own_samples_is_looked_at_again() -> None:
    x, codes = blobs(100)
    core = HedgedLVQCore(2, 2)
    received(core, x[:3] + 1e9, codes[:3], 1)
    received(core, x[:2], codes[:2], 2)
    core.learn(x[10:], codes[10:], seconds(90))
    assert np.abs(core.prototypes().x).max() < 100
    assert np.abs(core.scale()[0]).max() < 10


def test_before_the_own_range_is_known_what_others_send_moves_no_moments() -> None:
    x, codes = blobs(100)
    core = HedgedLVQCore(2, 2)
    core.learn(x[:4], codes[:4], seconds(4))
    before = core.scale()
    received(core, 100 * x[50:60], codes[50:60], 1)
    assert len(core) > 4, "it is kept, though, until it can be judged"
    assert all(np.array_equal(a, b) for a, b in zip(before, core.scale(), strict=True))
    core.learn(x[10:50], codes[10:50], seconds(40))
    assert np.abs(core.prototypes().x).max() < 100, "and goes then"


def test_whoever_has_few_samples_takes_what_most_offer_but_not_what_one_does() -> None:
    x, codes = blobs(400)

    def accepted(offers: list[int]) -> list[float]:
        core = HedgedLVQCore(2, 2, size_max=2000)
        core.learn(x[:10], codes[:10], seconds(10))
        taken = [0.0] * len(offers)
        for i in range(max(offers)):
            for k in range(len(offers)):
                if i < offers[k]:
                    before = core._state.received[:, 0].sum()
                    received(core, x[i : i + 1], codes[i : i + 1], k + 1)
                    taken[k] += core._state.received[:, 0].sum() - before
        return taken

    assert min(accepted([300] * 4)) == 300
    assert max(accepted([300] * 1)) <= 40, "a burst, and one for each own sample"
    few = accepted([100, 100, 100, 300])
    assert min(few[:3]) == 100 and few[3] <= 100 + 40


@pytest.mark.parametrize("rare", [0, 5])
def test_classes_as_if_even_are_told_by_what_tells_them_apart(rare: int) -> None:
    """Where all but a few own samples are of one class any expert foretells them; what others send decides."""
    draw = np.random.default_rng(2)
    x = draw.normal(size=(3000, 6))
    codes = (x[:, 0] > 0).astype(np.int64)
    own = np.concatenate([np.flatnonzero(codes == 0)[: 1000 - rare], np.flatnonzero(codes == 1)[:rare]])
    draw.shuffle(own)
    core = HedgedLVQCore(6, 2)
    for i, row in enumerate(own):
        core.learn(x[[row]], codes[[row]], np.array([i * SECOND]))
        received(core, x[[1500 + i]], codes[[1500 + i]], 1, i * SECOND)
    right = core.predict_balanced(x[2500:]) == codes[2500:]
    assert min(right[codes[2500:] == code].mean() for code in (0, 1)) > 0.9


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan, np.inf, 1e39])
def test_received_weights_must_be_positive_and_finite(weight: float) -> None:
    core, x, codes = taught()
    with pytest.raises(ValueError, match="positive"):
        core.learn_received(PrototypeSet(x[:1], codes[:1], np.array([weight]), np.array([0])), np.array([1]))


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


# Quality. Measured at the time of writing: F1 0.892, 0.879, 0.938 (macro); calibration error 0.013, 0.063, 0.038.


@pytest.mark.parametrize(("name", "floor"), [("phishing", 0.88), ("bananas", 0.87), ("image-segments", 0.92)])
def test_f1_of_predicting_first_is_as_measured(name: str, floor: float) -> None:
    x, codes, n_classes = stream(name)
    predicted, _ = HedgedLVQCore(x.shape[1], n_classes).prequential(x, codes, seconds(len(x)))
    assert f1_score(codes[1:], predicted[1:], average="binary" if n_classes == 2 else "macro") > floor


def calibration_error(codes: np.ndarray, proba: np.ndarray) -> float:
    """Expected calibration error over ten bins of the largest probability."""
    right, sure = proba.argmax(axis=1) == codes, proba.max(axis=1)
    bins = np.minimum((sure * 10).astype(int), 9)
    return sum(abs(right[bins == i].sum() - sure[bins == i].sum()) for i in range(10)) / len(codes)


@pytest.mark.parametrize(("name", "rows", "bound"), [("phishing", None, 0.04), ("sea", 5000, 0.08)])
def test_probabilities_are_calibrated(name: str, rows: int | None, bound: float) -> None:
    x, codes, n_classes = stream(name, rows)
    _, proba = HedgedLVQCore(x.shape[1], n_classes).prequential(x, codes, seconds(len(x)))
    assert calibration_error(codes[50:], proba[50:]) < bound


def test_probabilities_are_calibrated_on_elec(elec: DataSet) -> None:
    _, proba = HedgedLVQCore(8, 2).prequential(np.ascontiguousarray(elec.x), elec.y, seconds(5000))
    assert calibration_error(elec.y[50:], proba[50:]) < 0.06


# The River classifier.


@pytest.mark.parametrize("check", list(checks.yield_checks(HedgedLVQ())), ids=lambda check: check.__name__)
def test_river_estimator_contract(check) -> None:
    check(HedgedLVQ())


def samples(data: DataSet, count: int) -> list[tuple[dict, object]]:
    return [
        (dict(zip(data.features, x.tolist(), strict=True)), data.classes[y])
        for x, y in zip(data.x[:count], data.y[:count], strict=True)
    ]


def test_defaults_are_those_of_the_core() -> None:
    core = inspect.signature(HedgedLVQCore).parameters
    for name, parameter in inspect.signature(HedgedLVQ).parameters.items():
        assert core[name].default == parameter.default, name


def test_dictionaries_and_arrays_teach_the_same(phishing: DataSet) -> None:
    by_dict, by_array = HedgedLVQ(), HedgedLVQ()
    rows = samples(phishing, 300)
    for x, y in rows:
        by_dict.learn_one(x, y)
    by_array.learn(phishing.x[:300], [y for _, y in rows])
    assert np.array_equal(by_dict.prototypes.x, by_array.prototypes.x)
    expected = [by_dict.predict_one(x) for x, _ in rows[:50]]
    assert expected == by_array.predict(phishing.x[:50]).tolist()
    assert [by_dict.predict_proba_one(x)[by_dict.classes[0]] for x, _ in rows[:50]] == pytest.approx(
        by_array.predict_proba(phishing.x[:50])[:, 0].tolist(), abs=0
    )


@pytest.mark.parametrize("missing", [None, float("nan"), "absent"])
def test_a_missing_value_counts_as_the_mean_so_far(missing: object) -> None:
    model = HedgedLVQ()
    for a, b, y in ((0.0, 1.0, 0), (1.0, 2.0, 1), (0.2, 3.0, 0), (0.8, 6.0, 1)):
        model.learn_one({"a": a, "b": b}, y)
    x = {"a": 0.9} if missing == "absent" else {"a": 0.9, "b": missing}
    assert model.predict_proba_one({"a": 0.9, "b": 3.0}) == model.predict_proba_one(x)
    full = pickle.loads(pickle.dumps(model))
    model.learn_one(x, 1)
    full.learn_one({"a": 0.9, "b": 3.0}, 1)
    assert np.array_equal(full.prototypes.x, model.prototypes.x)


def test_a_new_feature_counts_as_its_first_value_before_and_only_once_it_has_one() -> None:
    model = HedgedLVQ()
    model.learn_one({"a": 1.0}, "x")
    model.learn_one({"a": 2.0, "pressure": None}, "y")
    assert ("a",) == model.features
    model.learn_one({"a": 5.0, "pressure": 1013.0}, "z")
    assert ("a", "pressure") == model.features
    assert {1013.0} == set(model.prototypes.x[:, 1])
    assert ("x", "y", "z") == model.classes


@pytest.mark.parametrize("bad", [float("inf"), -float("inf"), 2e38, "text"])
def test_a_feature_that_is_no_usable_number_is_named_and_nothing_is_learnt(bad: object) -> None:
    model = HedgedLVQ()
    model.learn_one({"a": 1.0, "b": FEATURE_MAX}, 0)
    for x in ({"a": 1.0, "b": bad}, {"a": bad, "new": 1.0}):
        with pytest.raises(ValueError, match=f"feature '{'b' if 'b' in x else 'a'}' must be a finite number"):
            model.learn_one(x, 0)
    assert (1, ("a", "b")) == (len(model), model.features)


def test_arrays_may_have_gaps_but_nothing_infinite() -> None:
    model = HedgedLVQ()
    with pytest.raises(ValueError, match="finite"):
        model.learn([[np.inf]], [0])
    with pytest.raises(ValueError, match="nothing was learnt"):
        model.predict([[1.0]])
    model.learn([[np.nan, 1.0], [2.0, np.nan], [3.0, 4.0]], list("aba"))
    assert ["a", "b"] == sorted(set(model.predict([[3.0, 4.0], [2.0, np.nan]])))
    with pytest.raises(ValueError, match="whole number within"):
        model.learn([[1.0, 2.0]], ["a"], t_ns=[1.5])
    assert pytest.approx(1) == model.predict_proba([[1.0, np.nan]]).sum()


def test_times_count_instead_of_calls_where_they_are_given() -> None:
    counted, timed = HedgedLVQ(), HedgedLVQ()
    x, codes = blobs(60)
    for i, (row, code) in enumerate(zip(x.tolist(), codes.tolist(), strict=True)):
        sample = dict(enumerate(row))
        assert counted.predict_proba_one(sample) == timed.predict_proba_one(sample, t_ns=(i + 1) * SECOND)
        counted.learn_one(sample, code)
        timed.learn_one(sample, code, t_ns=(i + 1) * SECOND)
    assert np.array_equal(counted.prototypes.event_ns, timed.prototypes.event_ns)
    by_rows = HedgedLVQ()
    by_rows.learn(x, codes, t_ns=(1 + np.arange(60)) * SECOND)
    assert np.array_equal(counted.prototypes.x, by_rows.prototypes.x)
    sample = {0: 1.5, 1: 1.5}
    assert timed.predict_proba_one(sample) != timed.predict_proba_one(sample, t_ns=10**15)
    with pytest.raises(ValueError, match="t_ns"):
        timed.learn_one(sample, 0, t_ns=2**63)


def test_times_pass_through_a_pipeline() -> None:
    model = compose.Pipeline(preprocessing.StandardScaler(), HedgedLVQ())
    model.learn_one({"a": 1.0}, 0, t_ns=5)
    model.learn_one({"a": 2.0}, 1, t_ns=77)
    assert 1 == model.predict_one({"a": 2.0}, t_ns=78)
    assert 77 == model["HedgedLVQ"].prototypes.event_ns.max()


def test_an_explanation_names_prototypes_and_adds_up(phishing: DataSet) -> None:
    model = HedgedLVQ()
    assert ({}, [], {}, 0.0) == model.explain_one({"a": 1.0})
    for x, y in samples(phishing, 400):
        model.learn_one(x, y)
    x = samples(phishing, 401)[-1][0]
    model.learn_received_one(x, True, 12)
    why = model.explain_one(x)
    assert model.predict_proba_one(x) == why.probabilities
    for label, probability in why.probabilities.items():
        parts = [each.adds for each in why.prototypes if each.label == label]
        assert sum(parts) + why.linear[label] + why.doubt == pytest.approx(probability, abs=1e-12)
    added = [each.adds for each in why.prototypes]
    assert sorted(added, reverse=True) == added and min(added) > 0
    assert set(phishing.features) == why.prototypes[0].values.keys()
    assert {None, 12} == {each.origin for each in why.prototypes}
    assert all(1 <= each.age <= 401 and each.weight > 0 for each in why.prototypes)


def test_a_received_prototype_is_learnt_by_name() -> None:
    model = HedgedLVQ()
    model.learn_one({"a": 0.0, "b": 1.0}, "low")
    model.learn_received_one({"b": 5.0, "a": 9.0}, "high", 3, weight=4.0)
    assert ("low", "high") == model.classes
    assert [[0.0, 1.0], [9.0, 5.0]] == model.prototypes.x.tolist()
    with pytest.raises(ValueError, match="weight"):
        model.learn_received_one({"a": 1.0}, "high", 3, weight=0.0)


def test_save_and_load_go_on_alike(phishing: DataSet, tmp_path: Path) -> None:
    model = HedgedLVQ(size_max=30, margin=0.3)
    rows = samples(phishing, 400)
    for x, y in rows[:300]:
        model.learn_one(x, y)
    model.learn_received_one(rows[0][0], rows[0][1], 5)
    model.save(tmp_path / "model")
    loaded = HedgedLVQ.load(tmp_path / "model")
    for each in (model, loaded):
        for x, y in rows[300:]:
            each.learn_one(x, y)
    assert np.array_equal(model.prototypes.x, loaded.prototypes.x)
    assert (model.classes, 0.3) == (loaded.classes, loaded.margin)
    assert [tmp_path / "model"] == list(tmp_path.iterdir())
    from protovine import XuILVQ

    with pytest.raises(SnapshotError, match="holds no XuILVQ"):
        XuILVQ.load(tmp_path / "model")
