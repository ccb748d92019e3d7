"""The table of fields drives allocation, growth, sender slots and snapshots."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from functools import partial

import numpy as np
import pytest

from protovine.arrays import header_of
from protovine.learn import HedgedLVQCore
from protovine.learn.hedged.state import DISCRIMINANT_DIM_MAX, FIELDS, State
from tests.learn.hedged.streams import blobs, receive, seconds


def learnt(dim: int = 3) -> HedgedLVQCore:
    x, codes = blobs(60, dim, 3)
    core = HedgedLVQCore(dim, 3, size_max=20)
    core.learn(x, codes, seconds(60))
    receive(core, x[:5], codes[:5], 7)
    return core


def test_every_field_of_the_state_is_described() -> None:
    assert [field.name for field in dataclasses.fields(State)] == [*FIELDS, "header"]
    per_sender = "agreement agreement_noise evidence noise trust proven offered bucket far sender_votes"
    assert set(per_sender.split()) == {name for name, field in FIELDS.items() if field.per_sender}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda core: pickle.loads(pickle.dumps(core))])
def test_a_copy_learns_into_its_own_arrays(copied) -> None:
    core = learnt()
    twin = copied(core)
    if copied is copy.copy:  # It shares the state, as any shallow copy does.
        assert twin._state is core._state
        return
    before = {name: array.copy() for name, array in core.state()["arrays"].items()}
    x, codes = blobs(30, 3, 3)
    twin.learn(x, codes, seconds(30) + 10**12)
    assert all(np.array_equal(before[name], array) for name, array in core.state()["arrays"].items())
    core.learn(x, codes, seconds(30) + 10**12)
    assert all(np.array_equal(twin.state()["arrays"][name], array) for name, array in core.state()["arrays"].items())


def out_of_band(core: HedgedLVQCore) -> HedgedLVQCore:
    """A copy whose arrays would lie in memory that cannot be written, as Ray and joblib hand them out."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(core, 5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(each) for each in buffers])


@pytest.mark.parametrize(
    "copied",
    [
        *(partial(lambda protocol, core: pickle.loads(pickle.dumps(core, protocol)), each) for each in range(2, 6)),
        out_of_band,
    ],
    ids=["2", "3", "4", "5", "out of band"],
)
def test_a_copy_of_any_pickle_has_room_for_more_senders(copied) -> None:
    x, codes = blobs(60, 3, 3)
    for receives in (False, True):
        core = HedgedLVQCore(3, 3, size_max=20)
        core.learn(x, codes, seconds(60))
        if receives:
            receive(core, x[:5], codes[:5], 7)
        twin = copied(core)
        for sender in range(8, 14):
            core._slot(sender)
            twin._slot(sender)
            for name in FIELDS:
                assert getattr(core._state, name).shape == getattr(twin._state, name).shape, name
            assert twin._state.header.tolist() == header_of([getattr(twin._state, name) for name in FIELDS]).tolist()
        for each in (core, twin):
            receive(each, x[5:20], codes[5:20], 9)
            each.learn(x, codes, seconds(60) + 10**12)
        arrays = twin.state()["arrays"]
        assert all(np.array_equal(array, arrays[name]) for name, array in core.state()["arrays"].items())


def test_a_new_sender_adds_a_slot_to_every_field_of_senders_and_changes_no_other() -> None:
    core = learnt()
    before = {name: getattr(core._state, name).copy() for name in FIELDS}
    for sender in range(8, 30):
        core._slot(sender)
        assert core._state.header.tolist() == header_of([getattr(core._state, name) for name in FIELDS]).tolist()
    for name, field in FIELDS.items():
        old, new = before[name], getattr(core._state, name)
        assert np.array_equal(old, new[: len(old)]), name
        assert len(old) + 22 * field.per_sender == len(new), name
        if field.per_sender and name not in ("trust", "proven"):
            assert np.all(new[len(old) :] == field.fill), name
    assert core.trust[8] == core.trust[29] == pytest.approx(1 / (1 + np.exp(-2)))


def test_growth_keeps_saved_entries_and_gives_old_samples_the_first_value() -> None:
    core = learnt()
    before = core._state
    core.widen(4, 4, first=np.array([9.0]))
    refreshed = {"metric_weight", "discriminant", "projected", "counts"}
    refreshed |= {"class_z", "class_precision", "whitening", "log_det"}
    for name, field in FIELDS.items():
        old, new = getattr(before, name), getattr(core._state, name)
        if field.saved and name not in refreshed:
            assert np.array_equal(old, new[tuple(slice(size) for size in old.shape)]), name
        if field.first_value:
            last = new[: len(old), -1] if new.ndim == 2 else new[-1:]
            assert {9.0} == set(last.ravel()), name


def test_a_snapshot_has_the_saved_fields_and_no_others() -> None:
    arrays = learnt().state()["arrays"]
    assert {name for name, field in FIELDS.items() if field.saved} == arrays.keys()


def test_nothing_is_left_of_the_discriminant_metric_once_there_are_too_many_features() -> None:
    core = learnt(DISCRIMINANT_DIM_MAX)
    core.predict(np.zeros(DISCRIMINANT_DIM_MAX))
    core.widen(DISCRIMINANT_DIM_MAX + 1, 3)
    x = np.zeros(DISCRIMINANT_DIM_MAX + 1)
    prediction, parts, linear, pooled, doubt = core.explain(x, at_ns=10**11)
    total = np.bincount(core.prototypes().label, parts, minlength=3) + linear + pooled + doubt
    assert np.allclose(prediction.proba, total, rtol=0, atol=1e-12)
    likelihoods = [core.likelihood(x, code, 10**11) for code in range(3)]
    assert np.allclose(prediction.proba, likelihoods, rtol=0, atol=1e-12)
