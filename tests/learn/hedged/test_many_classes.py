"""Many classes with few samples each: none vanishes, and each keeps some prototypes."""

from __future__ import annotations

import numpy as np
from sklearn.naive_bayes import GaussianNB

from protovine import HedgedLVQ, XuILVQ
from protovine.learn import HedgedLVQCore
from protovine.learn.hedged.layout import PER_CLASS
from protovine.learn.hedged.trust import AGREEMENT_PRIOR
from protovine.snapshot import pack, unpack
from tests.learn.hedged.streams import SECOND, receive, seconds


def many(n_classes: int, per_class: int, dim: int = 10) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    centre = draw.normal(0, 3, (n_classes, dim))
    codes = draw.permutation(np.repeat(np.arange(n_classes), per_class))
    return centre[codes] + draw.normal(size=(len(codes), dim)), codes


def test_more_classes_than_prototypes_come_near_naive_bayes() -> None:
    x, codes = many(300, 12)
    half = len(x) // 2
    core = HedgedLVQCore(10, 300)
    core.learn(x[:half], codes[:half], seconds(half))
    assert set(codes[:half]) == set(core.prototypes().label)
    assert len(core) <= PER_CLASS * 300
    found, _ = core.predict_many(x[half:])
    bayes = GaussianNB().fit(x[:half], codes[:half]).predict(x[half:])
    assert (found == codes[half:]).mean() > (bayes == codes[half:]).mean() - 0.02
    other = HedgedLVQCore(10, 300)
    other.restore(unpack(pack(core.state())))
    assert np.array_equal(found, other.predict_many(x[half:])[0])


def test_no_class_vanishes_when_classes_keep_coming() -> None:
    model = HedgedLVQ(size_max=10)
    for i in range(60):
        model.learn_one({"a": float(i)}, i)
        for _ in range(5):
            model.learn_one({"a": i + np.sin(7.0 * i)}, i)
    assert set(range(60)) == set(model.prototypes.label)


def test_few_classes_keep_their_limit() -> None:
    x, codes = many(5, 200)
    core = HedgedLVQCore(10, 5, size_max=PER_CLASS * 5)
    core.learn(x, codes, seconds(len(x)))
    assert len(core) <= PER_CLASS * 5 and not core._options.keeps_classes


def test_xuilvq_with_a_limit_keeps_a_prototype_of_every_class() -> None:
    x, codes = many(40, 5, 3)
    model = XuILVQ(size_max=10)
    model.learn(x, codes)
    assert set(range(40)) == set(model.prototypes.label)
    # Absorbing steps compress the set; inserting ones may exceed the limit for a while.
    assert len(model) < len(x)


def test_senders_are_judged_although_every_class_is_rare() -> None:
    """Three samples of each of 100 classes: peers are proven or not before a class has five recent ones."""
    x, codes = many(100, 10)

    def agreement(labels: np.ndarray) -> float:
        core = HedgedLVQCore(10, 100)
        for i in range(300):
            core.prequential(x[[i]], codes[[i]], np.array([i * SECOND]))
            receive(core, x[[300 + i]], labels[[300 + i]], 1, i * SECOND)
        arrays = core.state()["arrays"]
        assert arrays["recent_labels"].max() < 5
        return float(arrays["agreement"][1] / np.sqrt(AGREEMENT_PRIOR + arrays["agreement_noise"][1]))

    assert agreement(codes) > 3
    assert agreement(np.random.default_rng(1).permutation(codes)) < -3
