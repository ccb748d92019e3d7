"""Received samples: range, allowance and trust."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from protovine.learn import HedgedLVQCore
from protovine.prototypes import PrototypeSet
from protovine.snapshot import pack
from tests.learn.hedged.streams import SECOND, blobs, receive, seconds, taught


@pytest.mark.parametrize("attack", ["flipped", "far", "flood", "duplicates"])
def test_items_of_an_attacker_leave_local_prototypes_where_they_are(attack: str) -> None:
    core, x, codes = taught()
    before = core.local_prototypes()
    items, labels = {
        "flipped": (x[:20], 1 - codes[:20]),
        "far": (x[:20] + 1e9, codes[:20]),
        "flood": (np.tile(x, (10, 1)), np.tile(1 - codes, 10)),
        "duplicates": (before.x, before.label),
    }[attack]
    receive(core, items, labels, 9)
    after = core.local_prototypes()
    assert {tuple(row) for row in after.x} <= {tuple(row) for row in before.x}
    assert after.weight.sum() <= before.weight.sum()


def test_items_far_out_of_the_local_range_are_refused() -> None:
    core, x, codes = taught()
    before = core.prototypes()
    assert 0 == receive(core, x[:20] + 1e9, codes[:20], 9)
    assert np.array_equal(before.x, core.prototypes().x)


def test_a_flood_is_bounded_by_bucket_and_slots() -> None:
    core, x, codes = taught()
    receive(core, x[:1], codes[:1], 9)
    left = core.state()["arrays"]["bucket"][1]
    draw = np.random.default_rng(3)
    receive(core, draw.normal(size=(2000, 2)), draw.integers(0, 2, 2000), 9)
    assert 0 <= core.state()["arrays"]["bucket"][1] < 1
    arrays = core.state()["arrays"]
    assert arrays["received"][:, 0].sum() <= left + 1
    unconfirmed = (arrays["received"][:60, 0] > 0) & (arrays["local"][:60, 0] == 0)
    assert unconfirmed.sum() <= 0.8 * 60


def test_a_liar_loses_trust_and_an_honest_peer_does_not() -> None:
    core, x, codes = taught()
    for i in range(100, 400):
        core.prequential(x[i : i + 1], codes[i : i + 1], np.array([i * SECOND]))
        j = i - 100
        receive(core, x[j : j + 1], codes[j : j + 1], 1, i * SECOND)
        receive(core, x[j : j + 1], 1 - codes[j : j + 1], 2, i * SECOND)
    assert core.trust[1] > 0.9 and core.trust[2] < 0.3


def test_a_peer_that_shares_what_surprises_it_is_proven_and_one_with_wrong_labels_is_not() -> None:
    """One label in ten is wrong, so many shared samples are, and help no votes. An honest peer is no liar for that."""

    def proof(seed: int, wrong: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> float:
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(1000, 3))
        codes = ((x.sum(axis=1) > 0) ^ (draw.random(1000) < 0.1)).astype(np.int64)
        codes[500:] = wrong(codes[500:], draw)
        core, peer = HedgedLVQCore(3, 2), HedgedLVQCore(3, 2)
        for i in range(500):
            mine, theirs, at_ns = [i], [500 + i], np.array([i * SECOND])
            core.prequential(x[mine], codes[mine], at_ns)
            surprising = peer.predict(x[theirs[0]], i * SECOND).proba[codes[theirs[0]]] < 0.84
            peer.learn(x[theirs], codes[theirs], at_ns)
            if surprising:
                receive(core, x[theirs], codes[theirs], 1, i * SECOND)
        return float(core.state()["arrays"]["proven"][1])

    assert np.mean([proof(seed, lambda codes, _: codes) for seed in range(4)]) > 0.5
    assert max(proof(seed, lambda codes, draw: draw.integers(0, 2, len(codes))) for seed in range(4)) < 0.3
    assert max(proof(seed, lambda codes, _: 1 - codes) for seed in range(4)) < 0.1


def test_items_received_before_the_first_local_samples_are_reviewed() -> None:
    x, codes = blobs(100)
    core = HedgedLVQCore(2, 2)
    receive(core, x[:3] + 1e9, codes[:3], 1)
    receive(core, x[:2], codes[:2], 2)
    core.learn(x[10:], codes[10:], seconds(90))
    assert np.abs(core.prototypes().x).max() < 100
    assert np.abs(core.scale()[0]).max() < 10


def test_received_items_move_no_moments_before_the_local_range_is_known() -> None:
    x, codes = blobs(100)
    core = HedgedLVQCore(2, 2)
    core.learn(x[:4], codes[:4], seconds(4))
    before = core.scale()
    receive(core, 100 * x[50:60], codes[50:60], 1)
    assert len(core) > 4, "they are kept until they can be judged"
    assert all(np.array_equal(a, b) for a, b in zip(before, core.scale(), strict=True))
    core.learn(x[10:50], codes[10:50], seconds(40))
    assert np.abs(core.prototypes().x).max() < 100, "and dropped then"


def test_a_node_with_few_samples_accepts_as_many_as_most_senders_offer_but_not_as_one_does() -> None:
    x, codes = blobs(400)

    def accepted(offers: list[int]) -> list[float]:
        core = HedgedLVQCore(2, 2, size_max=2000)
        core.learn(x[:10], codes[:10], seconds(10))
        taken = [0.0] * len(offers)
        for i in range(max(offers)):
            for k in range(len(offers)):
                if i < offers[k]:
                    before = core._state.received[:, 0].sum()
                    receive(core, x[i : i + 1], codes[i : i + 1], k + 1)
                    taken[k] += core._state.received[:, 0].sum() - before
        return taken

    assert min(accepted([300] * 4)) == 300
    assert max(accepted([300] * 1)) <= 40, "a burst, and one for each local sample"
    few = accepted([100, 100, 100, 300])
    assert min(few[:3]) == 100 and few[3] <= 100 + 40


@pytest.mark.parametrize("rare", [0, 5])
def test_balanced_predictions_use_the_metric_that_tells_classes_apart(rare: int) -> None:
    """Where nearly all local samples are of one class any expert predicts them; received samples decide."""
    draw = np.random.default_rng(2)
    x = draw.normal(size=(3000, 6))
    codes = (x[:, 0] > 0).astype(np.int64)
    local = np.concatenate([np.flatnonzero(codes == 0)[: 1000 - rare], np.flatnonzero(codes == 1)[:rare]])
    draw.shuffle(local)
    core = HedgedLVQCore(6, 2)
    for i, row in enumerate(local):
        core.learn(x[[row]], codes[[row]], np.array([i * SECOND]))
        receive(core, x[[1500 + i]], codes[[1500 + i]], 1, i * SECOND)
    right = core.predict_balanced(x[2500:]) == codes[2500:]
    assert min(right[codes[2500:] == code].mean() for code in (0, 1)) > 0.9


def test_received_prototypes_without_weight_are_not_learnt() -> None:
    """Two cores, of which one gets prototypes of weight 0 as well."""
    (core, x, codes), (twin, _, _) = taught(), taught()
    weight = np.arange(6.0) % 3
    heavy = np.flatnonzero(weight)
    given = PrototypeSet(x[:6], codes[:6], weight, np.full(6, 10**12))
    origins = np.arange(6) % 2 + 1
    assert twin.learn_received(given.take(heavy), origins[heavy]) == core.learn_received(given, origins)
    nothing = given.take(np.flatnonzero(weight == 0))
    assert 0 == core.learn_received(nothing, np.full(len(nothing), 7))
    assert pack(twin.state()) == pack(core.state())


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf, 1e39])
def test_received_weights_must_be_finite_and_not_negative(weight: float) -> None:
    core, x, codes = taught()
    with pytest.raises(ValueError, match=r"weights must be between 0 and 1e\+38"):
        core.learn_received(PrototypeSet(x[:1], codes[:1], np.array([weight]), np.array([0])), np.array([1]))
