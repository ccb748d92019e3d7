"""Shared samples: their selection, batches, budget and privacy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from protovine.errors import CodecError, ConfigError
from protovine.prototypes import PrototypeSet
from protovine.share import LearnerView, LocalSample, LogShare, Privacy, Scales, SetLimits, UnknownScales
from protovine.share.items import decode_items, decode_summary

SECOND = 10**9
EPOCH = 1_700_000_000 * SECOND
LIMITS = SetLimits(2, 3, 10_000)
MODEL = LearnerView(np.zeros(2), np.ones(2), 0.0)
ROOM = 10_000


def share(limits: SetLimits = LIMITS, **options) -> LogShare:
    return LogShare(limits, np.random.default_rng(0), **options)


def sample(
    surprisal: float = 1.0, label: int = 0, at_ns: int = 0, x: tuple[float, ...] = (0.0, 0.0), inserted: bool = True
) -> LocalSample:
    return LocalSample(np.array(x), label, at_ns, surprisal, inserted)


def selected(
    entries: list[tuple[bytes, int]], scales: Scales | None = None, limits: SetLimits = LIMITS
) -> PrototypeSet:
    """The samples in what was sealed; the newest scales are in it, or given."""
    for payload, _ in entries:
        if payload[0] & 0xF0 == 0x20:
            scales = Scales.decode(payload, limits)
    return decode_items(entries[-1][0], scales, limits)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"select": "surprisal", "threshold": 0.5}, [False, True, False, True]),
        ({"select": "surprisal", "threshold": 0.0}, [True, True, False, True]),
        ({"select": "inserted"}, [True, False, True, False]),
        ({"select": "all"}, [True, True, True, True]),
    ],
)
def test_the_selection_decides_which_samples_are_shared(options: dict, expected: list[bool]) -> None:
    made = share(**options)
    samples = [sample(0.2, inserted=True), sample(0.9, inserted=False), sample(0.0), sample(5.0, inserted=False)]
    assert expected == [made.note(each, MODEL, 0) for each in samples]


def test_by_default_larger_samples_need_a_larger_surprisal() -> None:
    def chosen(dim: int) -> list[bool]:
        made = share(SetLimits(dim, 2))
        model = LearnerView(np.zeros(dim), np.ones(dim), 0.0)
        return [made.note(LocalSample(np.zeros(dim), 0, 0, bits, False), model, 0) for bits in (0.005, 0.2, 1.0, 20.0)]

    narrow, wide = chosen(2), chosen(500)
    assert [False, True] == [narrow[0], narrow[2]]
    assert [False, False, False, True] == wide


def test_a_batch_goes_when_it_is_full_or_has_waited() -> None:
    made = share(select="all", batch_items=3, batch_ns=2 * SECOND)
    assert made.due_ns(0.0) is None is made.waits_since_ns
    made.note(sample(), MODEL, EPOCH)
    made.note(sample(), MODEL, EPOCH + SECOND)
    assert (EPOCH + 2 * SECOND, EPOCH) == (made.due_ns(0.0), made.waits_since_ns)
    made.note(sample(), MODEL, EPOCH + SECOND)
    assert EPOCH == made.due_ns(0.0), "at once"
    made.seal(MODEL, ROOM)
    assert made.due_ns(0.0) is None is made.waits_since_ns


def full_at(recency: float, seen: int) -> int:
    """Samples that fill a batch of a node that has learnt ``seen`` before."""
    made = share(select="all")
    for _ in range(seen):
        made.note(sample(), MODEL, 0)
    made.seal(MODEL, ROOM)
    for count in range(1, 1000):
        made.note(sample(), MODEL, 0)
        if made.due_ns(recency) == 0:
            return count
    return 0


def test_the_more_the_model_relies_on_recency_the_smaller_is_a_batch() -> None:
    assert [20, 10, 1] == [full_at(recency, 500) for recency in (0.0, 0.5, 1.0)]


def test_the_first_batches_are_small() -> None:
    sizes = [full_at(0.0, seen) for seen in (1, 20, 100, 200, 500)]
    assert sorted(sizes) == sizes and 1 == sizes[0] and 20 == sizes[-1] and 5 < sizes[2] < 10


def test_a_batch_holds_the_shared_samples_in_the_order_of_events() -> None:
    made = share(select="all")
    for label, at_ns, x in ((1, 5, 1.0), (0, 3, -1.0), (2, 4, 0.5)):
        made.note(sample(label=label, at_ns=EPOCH + at_ns * SECOND, x=(x, 2 * x)), MODEL, EPOCH)
    entries = made.seal(MODEL, ROOM)
    assert [0, 3] == [items for _, items in entries]
    held = selected(entries)
    assert [0, 2, 1] == held.label.tolist()
    assert np.abs(held.x - [[-1, -2], [0.5, 1], [1, 2]]).max() < 0.03


def test_scales_are_sent_once_and_again_when_samples_no_longer_fit() -> None:
    draw = np.random.default_rng(0)
    made = share(select="all")

    def sealed(deviation: float, count: int) -> int:
        for _ in range(count):
            made.note(sample(x=tuple(deviation * draw.normal(size=2))), MODEL, 0)
        return len(made.seal(LearnerView(np.zeros(2), np.full(2, deviation), 0.0), ROOM))

    assert [2, 1, 1, 1, 1] == [sealed(1.0, count) for count in (10, 10, 10, 40, 200)]
    assert [2, 1, 1] == [sealed(20.0, count) for count in (10, 10, 10)], "codes beyond their width had taken more bytes"


def test_samples_that_do_not_fit_an_entry_are_merged() -> None:
    for room in (20, 30, 60, 100):
        made = share(select="all", batch_items=100)
        draw = np.random.default_rng(1)
        for i in range(60):
            made.note(sample(label=i % 3, at_ns=i * SECOND, x=tuple(draw.normal(size=2))), MODEL, 0)
        entries = made.seal(MODEL, room)
        assert max(len(payload) for payload, _ in entries) <= room
        if room >= 30:
            assert {0, 1, 2} == set(selected(entries).label.tolist()), "no class is lost"


def test_an_entry_holds_at_most_the_receivers_limit_of_samples() -> None:
    limits = SetLimits(2, 3, 4)
    made = sharing(limits, batch_items=100)
    for i in range(30):
        made.note(sample(label=i % 3), MODEL, 0)
    assert made.seal(MODEL, ROOM)[-1][1] <= 4
    assert made.summary(own(200, 3), MODEL, ROOM)[1] <= 4


def test_nothing_is_shared_if_the_scales_do_not_fit() -> None:
    made = share(select="all")
    made.note(sample(), MODEL, 0)
    assert [] == made.seal(MODEL, 5)
    assert made.summary(PrototypeSet.of([[0.0, 1.0]], [1]), MODEL, 5) is None


@pytest.mark.parametrize("budget", [30.0, 100.0, 300.0])
@pytest.mark.parametrize(("dim", "gap_s"), [(2, 0.1), (20, 0.1), (2, 0.02)])
def test_a_budget_is_used_and_kept_and_spent_on_the_largest_surprisals(budget: float, dim: int, gap_s: float) -> None:
    draw = np.random.default_rng(5)
    limits = SetLimits(dim, 2)
    model = LearnerView(np.zeros(dim), np.ones(dim), 0.0)
    made = share(limits, select="surprisal", threshold=0.1, budget_bytes_per_s=budget, recipients=4)
    now_ns, chosen, left, used, early = EPOCH, [], [], 0, 0
    for i in range(6000):
        now_ns += round(gap_s * SECOND * draw.exponential())
        bits = float(draw.exponential())
        due_ns = made.due_ns(0.0)
        if due_ns is not None and due_ns <= now_ns:
            used += 4 * (17 + sum(len(payload) for payload, _ in made.seal(model, ROOM)))
        early = used if i < 1000 else early
        took = made.note(LocalSample(draw.normal(size=dim), 0, now_ns, bits, True), model, now_ns)
        if i >= 1000:
            (chosen if took else left).append(bits)
    rate = (used - early) / (5000 * gap_s)
    assert used < budget * (6000 * gap_s + 10), "the bucket holds ten seconds"
    everything = 0.9 * 4 * (1.5 + dim) / gap_s
    assert 0.5 * min(budget, everything) < rate < budget
    if budget < everything / 2:
        assert np.mean(chosen) > 2 * np.mean(left)


def test_microaggregation_shares_means_of_local_samples_of_one_class() -> None:
    made = share(select="all", batch_items=1000, privacy=Privacy(microaggregation=3))
    draw = np.random.default_rng(2)
    xs, labels = draw.normal(size=(40, 2)), draw.integers(0, 2, 40)
    for i, (x, label) in enumerate(zip(xs, labels, strict=True)):
        made.note(sample(label=int(label), at_ns=i * SECOND, x=tuple(x)), MODEL, 0)
    held = selected(made.seal(MODEL, ROOM))
    assert 40 == len(held)
    for i in range(40):
        alike = np.flatnonzero(labels == labels[i])
        nearest = alike[np.argsort(np.square(xs[alike] - xs[i]).sum(axis=1))[:3]]
        assert np.abs(held.x[i] - xs[nearest].mean(axis=0)).max() < 0.09
    assert np.abs(held.x - xs).max(axis=1).min() > 0, "no sample is shared unchanged"


def test_a_class_with_too_few_samples_for_microaggregation_is_not_shared() -> None:
    made = share(select="all", batch_items=10, privacy=Privacy(microaggregation=3))
    made.note(sample(label=0), MODEL, 0)
    made.note(sample(label=0), MODEL, 0)
    made.note(sample(label=1), MODEL, 0)
    assert [] == made.seal(MODEL, ROOM)


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    made = share(select="all", batch_items=10_000, privacy=Privacy(noise=0.5))
    deviation = np.array([1.0, 100.0])
    for i in range(4000):
        made.note(sample(at_ns=i * SECOND), MODEL, 0)
    held = selected(made.seal(LearnerView(np.zeros(2), deviation, 0.0), 10**6))
    # Four standard errors of a deviation from 4000 draws are 4.5 %.
    assert [0.5, 0.5] == pytest.approx((held.x.std(axis=0) / deviation).tolist(), rel=0.045)


def own(n: int, n_classes: int, dim: int = 2) -> PrototypeSet:
    draw = np.random.default_rng(3)
    return PrototypeSet.of(draw.normal(size=(n, dim)), np.arange(n) % n_classes, weight=draw.integers(1, 50, n))


def sharing(limits: SetLimits = LIMITS, model: LearnerView = MODEL, **options) -> LogShare:
    """A log that has shared samples, so that it has scales."""
    made = share(limits, select="all", **options)
    made.note(LocalSample(np.zeros(limits.dim), 0, 0, 1.0, True), model, 0)
    made.seal(model, ROOM)
    return made


@pytest.mark.parametrize("max_bytes", [4096, 300, 120, 60, 40])
def test_a_summary_keeps_every_class_and_all_weight_within_its_bytes(max_bytes: int) -> None:
    payload, items = sharing().summary(own(200, 3), MODEL, max_bytes)
    _, held = decode_summary(payload, LIMITS)
    assert len(payload) <= max_bytes
    assert items == len(held) <= 50
    assert {0, 1, 2} == set(held.label.tolist())
    assert held.weight.sum() == pytest.approx(own(200, 3).weight.sum(), rel=0.05)


def test_with_thousands_of_classes_a_summary_has_one_of_each_or_only_the_scales() -> None:
    limits = SetLimits(2, 3000)
    made = sharing(limits)
    payload, items = made.summary(own(6000, 3000), MODEL, 10**6)
    assert (3000, 3000) == (items, len(decode_summary(payload, limits)[1]))
    payload, items = made.summary(own(6000, 3000), MODEL, 1000)
    assert (0, 0x20) == (items, payload[0] & 0xF0)


def test_prototypes_of_few_samples_stay_out_of_summaries_if_asked() -> None:
    made = sharing(privacy=Privacy(weight_min=400.0))
    _, held = decode_summary(made.summary(own(200, 3), MODEL, 4096)[0], LIMITS)
    assert held.weight.min() >= 0.95 * 400
    payload, items = sharing(privacy=Privacy(weight_min=1e6)).summary(own(200, 3), MODEL, 4096)
    assert (0, 0x20) == (items, payload[0] & 0xF0)


def test_a_summary_before_the_first_share_is_complete_or_empty() -> None:
    assert (b"", 0) == share().summary(own(0, 1), MODEL, 100)
    payload, _ = share().summary(own(30, 3), MODEL, 4096)
    scales, held = decode_summary(payload, LIMITS)
    assert (0, 30) == (scales.generation, len(held))
    made = share(select="all")
    made.note(sample(), MODEL, 0)
    assert 1 == Scales.decode(made.seal(MODEL, ROOM)[0][0], LIMITS).generation, "it cannot be mixed up with the log's"


def test_items_wait_for_their_scales_and_scales_for_their_commit() -> None:
    sender, receiver = share(select="all"), share()
    sender.note(sample(x=(1.0, 2.0), label=2, at_ns=EPOCH), MODEL, EPOCH)
    (first, _), (second, _) = sender.seal(MODEL, ROOM)
    with pytest.raises(UnknownScales):
        receiver.read(7, 1, second, {})
    _, scales = receiver.read(7, 1, first, {})
    with pytest.raises(UnknownScales):
        receiver.read(7, 1, second, {})
    held, none = receiver.read(7, 1, second, {scales.generation: scales})
    assert (1, None, 7) == (len(held), none, held.origin)
    receiver.commit(7, 1, scales)
    for peer, incarnation in ((7, 2), (8, 1)):
        with pytest.raises(UnknownScales):
            receiver.read(peer, incarnation, second, {})
    held, _ = receiver.read(7, 1, second, {})
    assert [2] == held.label.tolist()
    assert np.abs(held.x - [[1, 2]]).max() < 0.03


def test_memory_of_scales_is_bounded_and_items_of_forgotten_ones_are_passed_over() -> None:
    sender, receiver = share(select="all"), share()
    sender.note(sample(), MODEL, 0)
    (first, _), (second, _) = sender.seal(MODEL, ROOM)
    scales = Scales.decode(first, LIMITS)
    for generation in range(1, 2000):
        receiver.commit(7, 1, replace(scales, generation=generation))
    assert len(receiver._known[7]) <= 8
    assert 0 == len(receiver.read(7, 1, second, {})[0]), "or it would be repaired forever"


@pytest.mark.parametrize("payload", [b"\x50", b"\x30", b"\x20\x01", b"\x44xx", b"\xff" * 9])
def test_invalid_entries_are_refused(payload: bytes) -> None:
    with pytest.raises(CodecError):
        share().read(7, 1, payload, {})


def test_an_empty_entry_says_nothing() -> None:
    held, scales = share().read(7, 1, b"", {})
    assert (0, None) == (len(held), scales)


def test_restored_sharing_goes_on_alike() -> None:
    options = {"select": "all", "batch_items": 5, "privacy": Privacy(microaggregation=2, noise=0.1)}
    made, again = share(**options), share(**options)
    for i in range(12):
        made.note(sample(x=(i, -i), at_ns=i * SECOND), MODEL, i * SECOND)
        if i == 8:
            made.seal(MODEL, ROOM)
    made.commit(7, 1, Scales.of(1, np.zeros(2), np.ones(2), 0, 1e8))
    again.restore(made.state())
    assert made.waits_since_ns == again.waits_since_ns == 9 * SECOND
    assert 3 == again.seal(MODEL, ROOM)[-1][1], "waiting samples still wait"
    assert made._known.keys() == again._known.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"select": "best"}, "select must be one of surprisal, inserted, all, got 'best'"),
        ({"threshold": -1.0}, "threshold must be >= 0, got -1"),
        ({"bits": 9}, "bits must be between 4 and 8, got 9"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        share(**options)
