"""Relevance of features: steps go down the gradient of the loss, and features that tell nothing lose their weight."""

from __future__ import annotations

import numpy as np
import pytest

from protovine.errors import SnapshotError
from protovine.learn import HedgedLVQCore
from protovine.learn.hedged.experts import RELIEF
from protovine.learn.hedged.relevance import BANDWIDTH, NOISE, PART_MIN, RATE, RELEVANCE_DECAY, SQUARE_MAX
from tests.learn.hedged.twin import Twin

BEFORE = {"ablate": ("relevance",)}


def in_one_corner(
    rng: np.random.Generator, samples: int, features: int, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A class in the middle of two features, another around it; all other features tell nothing."""
    x = rng.uniform(-1, 1, (samples, features))
    return x, ((np.abs(x[:, first]) < 0.7) & (np.abs(x[:, first + 1]) < 0.7)).astype(np.int64)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("classes", [2, 3])
def test_a_step_goes_down_the_gradient_of_its_loss(seed: int, classes: int) -> None:
    """Of the twin, which the kernels equal; the derivative is that of the loss, written out."""
    rng = np.random.default_rng(seed)
    x, codes = rng.uniform(-1, 1, (60, 3)), rng.integers(classes, size=60)
    core = HedgedLVQCore(3, classes, ablate=("log-scale",))
    twin = Twin(core)
    for i in range(60):
        twin.predict(x[i], i)
        twin.learn(x[i], int(codes[i]), i)
    twin.relevance = rng.normal(size=3) / 3
    twin.refresh()
    relief = twin.relief_weights()
    scaled = BANDWIDTH * relief / relief.sum() * np.exp(twin.relevance)
    new, y, now, weight = rng.uniform(-0.3, 0.3, 3), int(codes[0]), 61, 1e-3
    squares = np.array([(new - p.x) ** 2 for p in twin.held]) / np.diag(twin.scatter) * twin.n
    assert squares.max() < SQUARE_MAX
    labels = np.array([p.label for p in twin.held])
    mass = np.array([p.local[1] / np.sqrt(0.2 + (now - p.event) / twin.gap) for p in twin.held])

    def loss(logarithms: np.ndarray) -> float:
        votes = mass * np.exp(-squares @ np.exp(logarithms))
        return float(-np.log(NOISE + (1 - NOISE) * votes[labels == y].sum() / votes.sum()))

    before = twin.relevance.copy()
    twin.learn_relevance(new, y, weight, now, twin.distances(new)[:, RELIEF])
    moved = twin.relevance / RELEVANCE_DECAY - before
    acting = scaled > 1.1 * PART_MIN * scaled.max()
    assert acting.sum() >= 2
    for k in np.flatnonzero(acting):
        step = 1e-5 * np.eye(3)[k]
        slope = (loss(np.log(scaled) + step) - loss(np.log(scaled) - step)) / 2e-5
        assert moved[k] == pytest.approx(-RATE * weight * slope, rel=1e-3, abs=1e-8)


def test_features_that_tell_nothing_cost_little() -> None:
    found = {}
    for options in ({}, BEFORE):
        right = []
        for seed in (1, 2):
            x, codes = in_one_corner(np.random.default_rng(seed), 3000, 10)
            predicted, _ = HedgedLVQCore(10, 2, **options).prequential(x, codes, np.arange(3000))
            right.append(np.mean(predicted[1000:] == codes[1000:]))
        found[bool(options)] = min(right)
    assert found[False] > found[True] + 0.02
    assert found[False] > 0.93


def test_relevance_moves_to_other_features_after_a_drift() -> None:
    rng = np.random.default_rng(3)
    parts = [in_one_corner(rng, 2500, 8), in_one_corner(rng, 2500, 8, first=4)]
    x, codes = np.vstack([x for x, _ in parts]), np.concatenate([codes for _, codes in parts])
    core = HedgedLVQCore(8, 2)
    core.learn(x[:2500], codes[:2500], np.arange(2500))
    weights = core._state.metric_weight[RELIEF] / core._state.metric_weight[RELIEF].sum()
    assert weights[:2].sum() > 0.8
    core.learn(x[2500:], codes[2500:], np.arange(2500, 5000))
    weights = core._state.metric_weight[RELIEF] / core._state.metric_weight[RELIEF].sum()
    assert weights[4:6].sum() > 0.8


def test_a_snapshot_without_relevance_goes_on_and_one_out_of_range_is_refused() -> None:
    x, codes = in_one_corner(np.random.default_rng(4), 200, 3)
    core = HedgedLVQCore(3, 2, ablate=("log-scale",))
    core.learn(x, codes, np.arange(200))
    assert core._state.relevance.any()
    state = core.state()
    del state["arrays"]["relevance"]
    restored = HedgedLVQCore(3, 2, ablate=("log-scale",))
    restored.restore(state)
    assert not restored._state.relevance.any()
    state["arrays"]["relevance"] = np.array([0.0, 1e3, 0.0])
    with pytest.raises(SnapshotError):
        restored.restore(state)
