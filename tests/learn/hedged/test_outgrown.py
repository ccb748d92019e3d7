"""Values that no sensor measured, and units that change, hide no feature for ever; scales that are right stay."""

from __future__ import annotations

import numpy as np
import pytest

from protovine.learn import HedgedLVQCore
from protovine.learn.hedged.revise import LOOK_EVERY, outgrown
from protovine.stream import load


def linear(n: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Four normal features, of which a line decides the class."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    return x, (x @ rng.normal(size=4) > 0).astype(np.int64), rng


def spoilt(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    x, y, rng = linear(seed=seed)
    if kind == "one row":
        x[0] = 65535
    elif kind == "one value":
        x[3, 1] = -1e9
    elif kind == "a twentieth":
        x[rng.random(x.shape) < 0.05] = -9999
    elif kind == "another unit":
        x[:500] *= 1000
    return x, y


def learnt(x: np.ndarray, y: np.ndarray, sizes: list[int] | None = None) -> tuple[HedgedLVQCore, np.ndarray]:
    """A learner, and whether it predicted each row; learnt in batches of these sizes."""
    core, at = HedgedLVQCore(x.shape[1], int(y.max()) + 1), np.arange(len(y)) * 10**9
    ends = np.cumsum(sizes or [len(y)])
    right = [
        core.prequential(rows, codes, times)[0] == codes
        for rows, codes, times in zip(*(np.split(each, ends[:-1]) for each in (x, y, at)), strict=True)
    ]
    return core, np.concatenate(right)


# Without a look at the scale: about .5, .87, .5 and .5 of the last quarter.
@pytest.mark.parametrize(
    ("kind", "least"),
    [("none", 0.98), ("one row", 0.98), ("one value", 0.98), ("a twentieth", 0.75), ("another unit", 0.8)],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_feature_is_not_hidden_for_ever(kind: str, least: float, seed: int) -> None:
    _, right = learnt(*spoilt(kind, seed))
    assert right[-500:].mean() > least


def test_rows_learnt_one_by_one_and_in_batches_are_looked_at_together() -> None:
    x, y = spoilt("one row", 0)
    x, y = x[:400], y[:400]
    whole, right = learnt(x, y)
    for sizes in ([1] * 400, [7] * 57 + [1], [49, 1, 50, 51, 249], [399, 1]):
        other, same = learnt(x, y, sizes)
        assert right.tolist() == same.tolist()
        assert np.array_equal(whole.scale(), other.scale())
        assert np.array_equal(whole.prototypes().x, other.prototypes().x)
    assert whole.scale()[1].max() < 10


def test_a_restored_learner_looks_at_the_same_samples() -> None:
    x, y = spoilt("another unit", 0)
    at = np.arange(len(y)) * 10**9
    whole, _ = learnt(x[:700], y[:700])
    part = HedgedLVQCore(4, 2)
    part.learn(x[:530], y[:530], at[:530])
    again = HedgedLVQCore(4, 2)
    again.restore(part.state())
    again.learn(x[530:700], y[530:700], at[530:700])
    assert np.array_equal(whole.scale(), again.scale())
    assert np.array_equal(whole.prototypes().x, again.prototypes().x)


@pytest.mark.parametrize("name", ["phishing", "bananas", "image-segments", "sea", "agrawal", "hyperplane", "led-drift"])
def test_no_feature_of_ordinary_streams_outgrows_its_scale(name: str) -> None:
    data = load(name)
    core = HedgedLVQCore(data.x.shape[1], len(data.classes))
    for begin in range(0, 1000, LOOK_EVERY):
        rows = slice(begin, begin + LOOK_EVERY)
        core.learn(data.x[rows], data.y[rows], np.arange(begin, begin + len(data.y[rows])) * 10**9)
        assert not len(outgrown(core._state)[0])


def test_a_feature_that_is_mostly_constant_or_often_far_out_stays() -> None:
    x, y, rng = linear()
    x[:, 0] = np.where(rng.random(len(x)) < 0.1, 1e6, 0.0)
    x[:, 1] = np.where(rng.random(len(x)) < 0.25, 1e6 * x[:, 1], 1e-3 * x[:, 1])
    core, _ = learnt(x, y)
    assert not len(outgrown(core._state)[0])
    assert (core.scale()[1][:2] > 1e5).all()
