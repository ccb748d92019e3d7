"""A learner that has room for a few prototypes at first learns as one that has room for all of them."""

from __future__ import annotations

import numpy as np

from protovine.arrays import header_of
from protovine.learn import HedgedLVQCore
from protovine.learn.hedged import core
from protovine.learn.hedged.state import FIELDS, with_capacity
from protovine.prototypes import PrototypeSet


def learned(monkeypatch, places: int) -> tuple[HedgedLVQCore, list[float]]:
    monkeypatch.setattr(core, "PLACES_FIRST", places)
    draw = np.random.default_rng(0)
    made, probabilities = HedgedLVQCore(dim=3, n_classes=2, size_max=60), []
    for step in range(40):
        x = draw.normal(size=(5, 3))
        codes, times = draw.integers(0, 2, 5), np.arange(5) + 10 * step
        probabilities += made.predict(x[0], 10 * step).proba.tolist()
        made.learn(x[:2], codes[:2], times[:2])
        sent = PrototypeSet.of(x[2:], codes[2:], event_ns=times[2:])
        made.learn_received(sent, draw.integers(0, 4, 3))
    return made, probabilities


def test_room_that_grows_changes_nothing(monkeypatch):
    small, large = (learned(monkeypatch, places) for places in (1, 60))
    assert small[1] == large[1]
    assert len(small[0]) == len(large[0]) > 40
    assert small[0].prototypes().x.tolist() == large[0].prototypes().x.tolist()
    assert small[0].trust == large[0].trust
    again = HedgedLVQCore(dim=3, n_classes=2, size_max=60)
    again.restore(small[0].state())
    assert again.prototypes().x.tolist() == small[0].prototypes().x.tolist()


def test_a_longer_state_has_a_header_of_its_own_arrays():
    state = with_capacity(HedgedLVQCore(dim=3, n_classes=2)._state, 40)
    assert len(state.x) == 40
    assert state.header.tolist() == header_of([getattr(state, name) for name in FIELDS]).tolist()
