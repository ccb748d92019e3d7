"""Skewed amounts are put on a logarithmic scale where that predicts better, and nobody outside sees the scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protovine import snapshot
from protovine.learn import HedgedLVQCore
from protovine.learn.hedged.amounts import COMPARED_AT, rescale
from protovine.logscale import LogScales, to_log
from protovine.prototypes import PrototypeSet

DIRECTION = np.array([1.0, -1.0, 0.5, 0.3])


def stream(kind: str, seed: int = 0, n: int = 2000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of four features, codes and times."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (n, 4))
    x, y = {
        "amounts": (np.exp(z), z @ DIRECTION > 0),
        "above 1000": (1000 + np.exp(z), z @ DIRECTION > 0),
        "sums of amounts": (np.exp(z), np.exp(z) @ [1, 1, -1, -1] > 0),
        "normal": (z, z @ DIRECTION > 0),
    }[kind]
    return x, y.astype(np.int64), np.arange(n) * 10**9


def learnt(kind: str, seed: int = 0, n: int = 2000, **options: Any) -> tuple[HedgedLVQCore, np.ndarray]:
    x, y, at = stream(kind, seed, n)
    core = HedgedLVQCore(4, 2, **options)
    return core, core.prequential(x, y, at)[0] == y


@pytest.mark.parametrize("kind", ["amounts", "above 1000"])
@pytest.mark.parametrize("seed", [0, 1])
def test_amounts_are_learnt_on_a_logarithmic_scale(kind: str, seed: int) -> None:
    core, right = learnt(kind, seed)
    _, without = learnt(kind, seed, ablate=("log-scale",))
    assert core.log_scale()[0].columns.tolist() == [0, 1, 2, 3]
    assert right[400:].mean() > 0.96 > 0.94 > without[400:].mean()


@pytest.mark.parametrize("kind", ["sums of amounts", "normal"])
def test_where_linear_scales_are_better_they_stay(kind: str) -> None:
    core, right = learnt(kind)
    other, without = learnt(kind, ablate=("log-scale",))
    assert not len(core.log_scale()[0].columns)
    assert np.array_equal(right, without)
    assert np.array_equal(core.prototypes().x, other.prototypes().x)


def test_what_is_asked_from_outside_is_in_the_units_of_the_samples() -> None:
    core, _ = learnt("above 1000", n=500)
    x, _, at = stream("above 1000", n=500)
    held = core.local_prototypes()
    single = held.weight == 1
    known = {tuple(row) for row in x.round(6)}
    assert single.sum() > 20 and all(tuple(row) in known for row in held.x[single].round(6))
    mean, deviation = core.scale()
    assert (np.abs(mean - x.mean(axis=0)) < x.std(axis=0) / 2).all()
    assert (0 < deviation).all() and (deviation < 2 * x.std(axis=0)).all()  # Prototypes have fewer far values.
    assert (np.abs(core.filled(np.full(4, np.nan)) - np.median(x, axis=0)) < 2).all()
    assert core.predict(x[3], int(at[-1])).proba == pytest.approx(core.predict_many(x[3:4], int(at[-1]))[1][0])
    assert core.likelihood(x[3], 1, int(at[-1])) == pytest.approx(core.predict(x[3], int(at[-1])).proba[1])


def test_rows_one_by_one_and_in_batches_are_the_same() -> None:
    whole, right = learnt("amounts", n=450)
    x, y, at = stream("amounts", n=450)
    single = HedgedLVQCore(4, 2)
    for i in range(450):
        assert (single.predict(x[i], int(at[i])).code == y[i]) == right[i]
        single.learn(x[i : i + 1], y[i : i + 1], at[i : i + 1])
    assert np.array_equal(whole.prototypes().x, single.prototypes().x)


@pytest.mark.parametrize("begun", [30, COMPARED_AT[0], 120, COMPARED_AT[-1], 410])
def test_a_learner_goes_on_after_a_restart_as_if_there_was_none(begun: int) -> None:
    x, y, at = stream("amounts", n=500)
    core = HedgedLVQCore(4, 2)
    core.learn(x[:begun], y[:begun], at[:begun])
    again = HedgedLVQCore(4, 2)
    again.restore(snapshot.unpack(snapshot.pack(core.state())))
    for each in (core, again):
        each.learn(x[begun:], y[begun:], at[begun:])
    assert len(again.log_scale()[0].columns) == 4
    assert np.array_equal(core.prototypes().x, again.prototypes().x)
    assert core.predict(x[0]).proba.tolist() == again.predict(x[0]).proba.tolist()


def test_first_samples_are_forgotten_after_the_last_comparison() -> None:
    core, _ = learnt("normal", n=COMPARED_AT[-1] - 1)
    assert len(core.state()["first_samples"]["codes"]) == COMPARED_AT[-1] - 1
    core.learn(*(each[-1:] for each in stream("normal", n=COMPARED_AT[-1])))
    assert core.state()["first_samples"] is None


def test_received_amounts_are_learnt_on_the_scale_too() -> None:
    x, y, at = stream("amounts", n=900)
    core = HedgedLVQCore(4, 2)
    core.learn(x[:50], y[:50], at[:50])
    before = np.mean(core.predict_many(x[400:], int(at[400]))[0] == y[400:])
    assert len(core.log_scale()[0].columns)
    for first in range(60, 400, 20):  # From one sender each: more would be a flood.
        part = slice(first, first + 20)
        core.learn_received(PrototypeSet(x[part], y[part], np.ones(20), at[part]), np.full(20, first))
    after = np.mean(core.predict_many(x[400:], int(at[400]))[0] == y[400:])
    assert after > before + 0.01
    held = core.prototypes().x.round(6)
    assert sum(tuple(row) in {tuple(each) for each in x[60:400].round(6)} for row in held) > 20


def test_a_scale_is_as_if_the_samples_came_on_it() -> None:
    x, y, at = stream("amounts", n=700)
    scales = LogScales.of(np.array([0, 2]), np.array([0.0, -1.0]), np.array([0.25, 0.5]))
    core, other = (HedgedLVQCore(4, 2, ablate=("log-scale",)) for _ in range(2))
    rescale(core._state, scales)
    for learner, rows in ((core, x), (other, to_log(x, scales))):
        learner.learn(rows[:300], y[:300], at[:300])
        learner.learn_received(PrototypeSet(rows[300:330], y[300:330], np.ones(30), at[300:330]), np.full(30, 7))
    codes, proba = core.prequential(x[330:], y[330:], at[330:])
    same, equally = other.prequential(to_log(x[330:], scales), y[330:], at[330:])
    assert np.array_equal(codes, same) and np.allclose(proba, equally, rtol=1e-9, atol=1e-12)
    assert np.allclose(to_log(core.prototypes().x, scales), other.prototypes().x, rtol=1e-9, atol=1e-12)


def test_a_feature_that_is_reset_is_on_a_linear_scale_again() -> None:
    core, _ = learnt("amounts", n=500)
    core.reset_features(np.array([1]), np.array([5.0]), np.array([2.0]))
    assert core.log_scale()[0].columns.tolist() == [0, 2, 3]
    mean, deviation = core.scale()
    assert mean[1] == 5 and deviation[1] == pytest.approx(2)
    x, y, at = stream("amounts", seed=3, n=500)
    assert np.isfinite(core.prequential(x, y, at)[1]).all()


def test_missing_amounts_and_features_that_come_later_do_no_harm() -> None:
    x, y, at = stream("amounts", n=600)
    x[np.random.default_rng(1).random(x.shape) < 0.1] = np.nan
    core = HedgedLVQCore(4, 2)
    core.learn(x, y, at)
    assert len(core.log_scale()[0].columns) == 4
    core.widen(5, 3, np.array([2.5]))
    wider = np.column_stack([x, np.full(600, 2.5)])
    assert np.mean(core.predict_many(wider, int(at[-1]))[0] == y) > 0.85
    assert core.prototypes().x.shape[1] == 5 and np.allclose(core.prototypes().x[:, 4], 2.5)
    other = HedgedLVQCore(5, 2)
    other.carry_over(learnt("amounts", n=600)[0].state(), np.array([4, 2, 1, 0]), np.array([1, 0]))
    assert sorted(other.log_scale()[0].columns.tolist()) == [0, 1, 2, 4]
