"""Samples as a few bytes: round trips, refusals, and robustness to random bytes."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.errors import CodecError
from protovine.logscale import LogScales, to_log
from protovine.prototypes import FEATURE_MAX, PrototypeSet
from protovine.share import Scales, SetLimits
from protovine.share.grid import Grids, Lattice
from protovine.share.items import decode_items, decode_summary, encode_items, encode_summary

SECOND = 10**9
EPOCH = 1_700_000_000 * SECOND
LIMITS = SetLimits(2, 4, 50)


def scales_of(x: np.ndarray, bits: int = 5, base_ns: int = 0, gap_ns: float = 1e8, generation: int = 1) -> Scales:
    return Scales.of(generation, x.mean(axis=0), x.std(axis=0), base_ns, gap_ns, bits)


def some(n: int, dim: int, n_classes: int, seed: int = 0, base_ns: int = 0) -> PrototypeSet:
    draw = np.random.default_rng(seed)
    scale = 10.0 ** draw.integers(-6, 7, dim)
    x = draw.normal(size=(n, dim)) * scale + 100 * scale * draw.normal(size=dim)
    events = base_ns + draw.integers(0, 100 * SECOND, n)
    return PrototypeSet(x, draw.integers(0, n_classes, n), draw.integers(1, 200, n).astype(float), events)


def lattice_of(x: np.ndarray) -> Lattice | None:
    grids = Grids(x.shape[1])
    for row in x:
        grids.note(row)
    return grids.lattice()


def in_order(prototypes: PrototypeSet) -> PrototypeSet:
    return prototypes.take(np.argsort(prototypes.event_ns, kind="stable"))


@pytest.mark.parametrize("bits", [4, 5, 8])
@pytest.mark.parametrize(("dim", "n_classes"), [(1, 1), (2, 2), (8, 2), (57, 10), (500, 3000)])
@pytest.mark.parametrize("base_ns", [0, EPOCH])
def test_items_come_back_within_half_a_step(bits: int, dim: int, n_classes: int, base_ns: int) -> None:
    original = in_order(some(40, dim, n_classes, base_ns=base_ns))
    limits = SetLimits(dim, n_classes, 100)
    # The base lies in the middle: late labels bring samples from before it.
    scales = Scales.decode(scales_of(original.x, bits, base_ns + 50 * SECOND).encode(), limits)
    again = decode_items(encode_items(original, scales, limits), scales, limits, origin=3)
    assert (np.abs(again.x - original.x) <= 0.501 * scales.step).all()
    assert np.array_equal(original.label, again.label)
    late = original.event_ns - again.event_ns
    assert 0 <= late.min() and late.max() < 2**scales.unit <= SECOND / 10 / 8
    assert np.abs(np.log2(again.weight / original.weight)).max() <= 1 / 16
    assert 3 == again.origin


def test_items_may_come_in_any_order_of_time() -> None:
    items = PrototypeSet.of([[1.0, 0], [2.0, 0], [3.0, 0]], [0, 1, 2], event_ns=[3 * SECOND, SECOND, 2 * SECOND])
    scales = scales_of(items.x)
    again = decode_items(encode_items(items, scales, LIMITS), scales, LIMITS)
    assert [1, 2, 0] == again.label.tolist()


@pytest.mark.parametrize("bits", [4, 5, 8])
@pytest.mark.parametrize(("n", "dim", "n_classes"), [(1, 1, 1), (50, 8, 2), (30, 57, 10), (600, 2, 600)])
def test_summaries_come_back_within_half_a_step(bits: int, n: int, dim: int, n_classes: int) -> None:
    original = some(n, dim, n_classes, base_ns=EPOCH)
    limits = SetLimits(dim, n_classes, 1000)
    scales = scales_of(original.x, bits, EPOCH + 10 * SECOND)
    found, again = decode_summary(encode_summary(original, scales, limits), limits)
    assert (scales.encode(), n) == (found.encode(), len(again))
    fine = scales.of_means()
    expected = np.column_stack([fine.vectors(fine.coded(original.x)[0]), original.label])
    came = np.column_stack([again.x, again.label])
    assert np.array_equal(expected[np.lexsort(expected.T)], came[np.lexsort(came.T)])


def test_every_class_is_among_the_first_of_a_summary_and_the_heaviest_too() -> None:
    original = some(40, 3, 4)
    limits = SetLimits(3, 4, 100)
    _, again = decode_summary(encode_summary(original, scales_of(original.x), limits), limits)
    assert [0, 1, 2, 3] * 2 == again.label[:8].tolist()
    for label in range(4):
        weight = again.weight[again.label == label]
        assert (np.diff(weight) <= 0).all()


@pytest.mark.parametrize(
    ("x", "deflated", "delta"),
    [
        (np.array([[0.5, 1.0, -1.0], [0.1, 0.9, 2.0]]), False, False),
        (np.tile([[0.5, 1.0, -1.0, 2.0] * 8], (40, 1)), True, False),
        (np.cumsum(np.random.default_rng(1).integers(0, 2, (50, 32)), axis=0) / 10.0, True, True),
    ],
)
def test_a_summary_takes_the_shortest_of_its_forms(x: np.ndarray, deflated: bool, delta: bool) -> None:
    limits = SetLimits(x.shape[1], 2, 100)
    prototypes = PrototypeSet.of(x, np.zeros(len(x)))
    data = encode_summary(prototypes, scales_of(x), limits)
    assert (deflated, delta) == (bool(data[0] & 4), bool(data[0] & 2))
    _, again = decode_summary(data, limits)
    assert np.abs(np.sort(again.x, axis=0) - np.sort(x, axis=0)).max() <= 0.501 * scales_of(x).step.max()


def by_hand(width: list, step: list, offset: list, grid: list | None = None) -> Scales:
    on_grid = np.array(grid if grid is not None else [False] * len(width))
    return Scales(3, 1000, 4, np.array(width), np.array(step), np.array(offset, float), on_grid)


def test_bytes_are_as_documented() -> None:
    limits = SetLimits(2, 4, 50)
    scales = by_hand([8, 8], [0.5, 2.0], [-129, -58])
    #      kind generation base unit, then width, step and offset of each feature: 0x3f00 is 0.5, 0x4000 is 2.0
    assert "2003e8070408003f810208004073" == scales.encode().hex()
    items = PrototypeSet.of([[0.0, 140.0], [1.0, 130.0]], [1, 3], event_ns=[1016, 1064])
    #      kind generation, then label + 4 * time: zigzag(1) = 2, and 3 later; codes
    assert "30030981800f837b" == encode_items(items, scales, limits).hex()
    weighty = PrototypeSet.of([[0.0, 140.0]], [1], weight=[2], event_ns=[1016])
    assert "320309088180" == encode_items(weighty, scales, limits).hex()
    far = PrototypeSet.of([[0.0, 140.0], [1.0, -118.0]], [1, 3], event_ns=[1016, 1064])
    #      one excess, after three codes without: zigzag(-1)
    assert "38030103010981800f8300" == encode_items(far, scales, limits).hex()
    #      kind scales, n, labels and zigzag times, weights, codes
    assert "4003e8070408003f8102080040730109088180" == encode_summary(weighty, scales, limits).hex()
    narrow = by_hand([6, 6], [0.5, 2.0], [-33, 38])
    #      codes 100001 100000, and four bits of nothing
    assert "320309088600" == encode_items(weighty, narrow, limits).hex()


def test_bytes_of_grids_are_as_documented() -> None:
    limits = SetLimits(3, 4, 50)
    scales = by_hand([1, 2, 0], [1.0, np.float32(0.1), 0.25], [0, -15, 29.5], [True, True, True])
    #      a long step is a float32: 0x3dcccccd is 0.1; a grid beside 0 names its lowest value, 7.375, as a float64
    assert "2003e8070411803f0032cdcccc3d1d50803e0000000000801d40" == scales.encode().hex()
    items = PrototypeSet.of([[1.0, -1.3, 7.375], [0.0, -1.2, 7.375]], [1, 3], event_ns=[1016, 1064])
    #      codes 1 10, 0 11 and nothing; five bits fill the byte
    assert "300309c00f60" == encode_items(items, scales, limits).hex()
    again = decode_items(encode_items(items, scales, limits), Scales.decode(scales.encode(), limits), limits)
    assert np.abs(again.x - items.x).max() < 1e-7


def test_batches_of_sparse_codes_are_deflated() -> None:
    limits = SetLimits(64, 10, 50)
    draw = np.random.default_rng(3)
    counts = np.where(draw.random((40, 64)) < 0.3, draw.integers(0, 17, (40, 64)), 0).astype(float)
    scales = Scales.of(1, counts.mean(axis=0), counts.std(axis=0), EPOCH, 1e8, 8, lattice_of(counts))
    for n, weight in ((40, None), (40, np.arange(1.0, 41.0)), (1, None)):
        items = PrototypeSet.of(counts[:n], np.arange(n) % 10, weight=weight, event_ns=EPOCH + 10**9 * np.arange(n))
        data = encode_items(items, scales, limits)
        again = decode_items(data, scales, limits)
        assert np.array_equal(items.x, again.x) and np.array_equal(items.label, again.label)
        assert items.weight == pytest.approx(again.weight, rel=0.05)
        assert 0 <= (items.event_ns - again.event_ns).min() and (items.event_ns - again.event_ns).max() < 2**scales.unit
        assert bool(data[0] & 4) == (n > 1)
        assert len(data) < n * (0.75 if n > 1 else 1) * (scales.row_bytes + 4)


def test_codes_are_packed_without_gaps() -> None:
    items = some(10, 4, 2)
    limits = SetLimits(4, 2, 50)
    wide, narrow = (scales_of(items.x, bits) for bits in (8, 6))
    assert (4, 3) == (wide.row_bytes, narrow.row_bytes)
    near = PrototypeSet(
        np.clip(items.x, *narrow.vectors(np.array([[0], [63]]))), items.label, items.weight, items.event_ns
    )
    assert 10 == len(encode_items(near, wide, limits)) - len(encode_items(near, narrow, limits))


def test_constant_and_extreme_features_survive() -> None:
    limits = SetLimits(6, 2, 50)
    x = np.array([[5.0, 0.0, FEATURE_MAX, -FEATURE_MAX, 1e-35, -1e37], [5.0, 0.0, FEATURE_MAX, FEATURE_MAX, 0.0, 1e38]])
    items = PrototypeSet.of(x, [0, 1])
    scales = Scales.decode(scales_of(x).encode(), limits)
    again = decode_items(encode_items(items, scales, limits), scales, limits)
    assert np.abs(again.x).max() <= FEATURE_MAX
    assert 5.0 == pytest.approx(again.x[0, 0], rel=1e-10)
    assert 0.0 == again.x[0, 1]
    assert np.abs(again.x[:, 2:4] - x[:, 2:4]).max() < 0.51 * FEATURE_MAX


def test_times_beyond_the_range_are_clipped() -> None:
    limits = SetLimits(1, 5000, 50)
    scales = Scales.of(1, np.zeros(1), np.ones(1), 0, 0.0)
    items = PrototypeSet.of([[0.0], [0.0]], [4999, 1], event_ns=[0, 2**61])
    assert 2 == len(decode_items(encode_items(items, scales, limits), scales, limits))
    decode_summary(encode_summary(items, scales, limits), limits)


@given(st.lists(st.floats(-1e38, 1e38), min_size=2, max_size=12), st.sampled_from([4, 5, 8]), st.floats(0, 1e30))
def test_whatever_scales_are_made_of_receivers_take_them(values: list, bits: int, gap_ns: float) -> None:
    x = np.array(values)[:, np.newaxis]
    limits = SetLimits(1, 3, 50)
    lattice = lattice_of(np.tile(x, (20, 1)))
    made = Scales.of(9, x.mean(axis=0), np.minimum(x.std(axis=0), 1e38), EPOCH, gap_ns, bits, lattice)
    scales = Scales.decode(made.encode(), limits)
    for name in ("width", "step", "offset", "grid"):
        assert getattr(made, name) == pytest.approx(getattr(scales, name), rel=1e-15)
    items = PrototypeSet.of(x, np.zeros(len(x)), event_ns=np.full(len(x), EPOCH))
    again = decode_items(encode_items(items, scales, limits), scales, limits)
    assert np.abs(again.x).max() <= FEATURE_MAX


AMOUNTS = LogScales.of(np.array([0]), np.array([0.75]), np.array([0.125]))


def test_amounts_keep_their_relative_precision() -> None:
    x = np.random.default_rng(0).lognormal(0, 2, (40, 1))
    on, limits = to_log(x, AMOUNTS), SetLimits(1, 1, 50)
    made = Scales.of(1, on.mean(axis=0), on.std(axis=0), 0, 1e8, log_scales=AMOUNTS)
    scales = Scales.decode(made.encode(), limits)
    items = PrototypeSet.of(x, np.zeros(40), event_ns=np.zeros(40, np.int64))
    again = decode_items(encode_items(items, scales, limits), scales, limits)
    assert (np.abs(to_log(again.x, AMOUNTS) - on) <= 0.501 * scales.step).all() and scales.step < 0.5
    plain = scales_of(x)
    rounded = plain.vectors(plain.coded(x)[0])
    off, off_linear = np.abs(again.x / x - 1), np.abs(rounded / x - 1)
    assert np.quantile(off, 0.8) < 0.3 < 0.5 < np.quantile(off_linear, 0.8)
    _, merged = decode_summary(encode_summary(items, scales, limits), limits)
    assert (np.abs(to_log(np.sort(merged.x, axis=0), AMOUNTS) - np.sort(on, axis=0)) <= 0.501 * scales.step).all()
    assert made.differs(plain) and not made.differs(scales)


def test_the_bytes_of_a_logarithmic_scale_are_as_documented() -> None:
    made = Scales(3, 1000, 4, np.array([8]), np.array([0.5]), np.array([-129.0]), np.array([False]), AMOUNTS)
    unit, origin = "003e", "60"  # 0x3e00 is 0.125; 0.75 are 48 eighths of it, zigzag 96.
    assert "03e80704" + "88003f8102" + unit + origin == made.body().hex()


@given(
    st.lists(st.floats(-1e38, 1e38), min_size=1, max_size=12),
    st.floats(-1e38, 1e38),
    st.floats(1e-30, 1e38),
    st.floats(0, 50),
)
def test_whatever_amounts_are_sent_receivers_take_them(values: list, origin: float, unit: float, wide: float) -> None:
    log, x = LogScales.of(np.array([0]), np.array([origin]), np.array([unit])), np.array(values)[:, np.newaxis]
    on, limits = to_log(x, log), SetLimits(1, 1, 50)
    made = Scales.of(1, on.mean(axis=0), np.maximum(on.std(axis=0), wide), 0, 1e8, log_scales=log)
    scales = Scales.decode(made.encode(), limits)
    assert not made.differs(scales)
    items = PrototypeSet.of(x, np.zeros(len(x)), event_ns=np.zeros(len(x), np.int64))
    again = decode_items(encode_items(items, scales, limits), scales, limits)
    assert np.abs(again.x).max() <= FEATURE_MAX
    assert np.abs(to_log(again.x, log) - on).max() <= 0.51 * scales.step[0] + 1e-9


def test_scales_say_whether_others_would_do() -> None:
    def of(mean: float, deviation: float, gap_ns: float = 1e8) -> Scales:
        return Scales.of(1, np.array([mean]), np.array([deviation]), 0, gap_ns)

    assert not of(0.0, 1.0).differs(of(1.0, 1.2))
    for mean, deviation, gap_ns in ((3.0, 1.0, 1e8), (0.0, 2.0, 1e8), (0.0, 0.5, 1e8), (0.0, 1.0, 1e10)):
        assert of(0.0, 1.0).differs(of(mean, deviation, gap_ns))


def legal(found: PrototypeSet, limits: SetLimits) -> None:
    assert np.abs(found.x).max() <= FEATURE_MAX
    assert 0 <= found.label.min() and found.label.max() < limits.n_classes
    assert 1 <= found.weight.min() and found.weight.max() < np.inf
    assert 0 <= found.event_ns.min()
    assert len(found) <= max(limits.prototypes_max, limits.n_classes)


@settings(max_examples=600, deadline=None)
@given(st.binary(max_size=120), st.sampled_from([4, 5, 8]), st.booleans())
def test_arbitrary_items_never_crash(data: bytes, bits: int, grid: bool) -> None:
    lattice = lattice_of(np.array([[0.0, 5.0], [1.0, 5.0]] * 10)) if grid else None
    scales = Scales.of(1, np.zeros(2), np.ones(2), EPOCH, 1e8, bits, lattice, AMOUNTS)
    for flags in (None, 0, 2, 4, 6, 8, 10, 12):
        payload = data if flags is None else bytes([0x30 | flags, 1]) + data
        try:
            legal(decode_items(payload, scales, LIMITS), LIMITS)
        except CodecError:
            continue


@settings(max_examples=600, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 15))
def test_arbitrary_scales_and_summaries_never_crash(data: bytes, flags: int) -> None:
    for payload in (data, bytes([0x40 | flags]) + data, bytes([0x44 | flags]) + deflated(data)):
        try:
            scales, found = decode_summary(payload, LIMITS)
            legal(found, LIMITS)
        except CodecError:
            continue
    try:
        scales = Scales.decode(bytes([0x20]) + data, LIMITS)
        for code in (0, 255):
            assert np.abs(scales.vectors(np.full((1, 2), code))).max() <= FEATURE_MAX
            assert np.abs(scales.of_means().vectors(np.full((1, 2), code))).max() <= FEATURE_MAX
    except CodecError:
        pass


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from([4, 5, 8]))
def test_flipped_bits_never_crash(data: st.DataObject, bits: int) -> None:
    items = some(5, 2, 4)
    scales = scales_of(items.x, bits)
    for made, decode in (
        (encode_items(items, scales, LIMITS), lambda d: decode_items(d, scales, LIMITS)),
        (encode_summary(items, scales, LIMITS), lambda d: decode_summary(d, LIMITS)[1]),
    ):
        bad = bytearray(made)
        bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        try:
            legal(decode(bytes(bad)), LIMITS)
        except CodecError:
            continue


def deflated(data: bytes) -> bytes:
    return zlib.compress(data, 9, -15)


def test_a_decompression_bomb_is_refused_before_it_grows() -> None:
    import tracemalloc

    limits = SetLimits(2, 2)
    bomb = deflated(bytes(200 * 2**20))
    assert len(bomb) < 2**18
    tracemalloc.start()
    with pytest.raises(CodecError, match="inflates to too many bytes"):
        decode_summary(bytes([0x44]) + bomb, limits)
    with pytest.raises(CodecError, match="inflates to too many bytes"):
        Scales.decode(bytes([0x24]) + bomb, limits)
    assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    tracemalloc.stop()


SCALES = Scales.of(1, np.zeros(2), np.ones(2), 0, 1e8)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("", "not an items"),
        ("31 01", "not an items"),
        ("38 01 00 00 0000", "0 codes beyond"),
        ("38 01 65" + "0002" * 101 + "00 0000", "101 codes beyond"),
        ("38 01 01 02 02 00 0000", "an excess of code 2 of 2"),
        ("34 01 00", "1 to 50 items, got 0"),
        ("34 01 33" + "00" * 51, "1 to 50 items, got 51"),
        ("34 01 02 00", "cut off"),
        ("36 01 01 00", "an item is cut off"),
        ("34 01 01 00 ff", "does not inflate"),
        ("34 01 01 00" + zlib.compress(bytes(1), 9, -15).hex(), "take 2 codes, got 1"),
        ("34 01 01 00" + zlib.compress(bytes(3), 9, -15).hex(), "inflates to too many"),
        ("30 02 00 0000", "of scales 2, expected 1"),
        ("30 01", "without items"),
        ("30 01 00 00", "cut off"),
        ("30 01 04 0000", "out of range"),  # One unit before the time 0.
        ("30 01" + "00 0000" * 51, "more than 50 items"),
    ],
)
def test_what_is_refused_is_said(payload: str, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        decode_items(bytes.fromhex(payload.replace(" ", "")), SCALES, LIMITS)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("", "not a scales"),
        ("22 01 00 00", "not a scales"),
        ("24 ff ff ff ff", "does not inflate"),
        ("20 01 00 29 08803f00 08803f00", "beyond 2\\*\\*40"),
        ("20 01 00 00 08803f00", "must name 2 features"),
        ("20 01 00 00 08803f00 2800803f", "must name 2 features"),
        ("20 01 00 00 08803f00 09803f00", "no width of 0 to 8"),
        ("20 01 00 00 08803f00 0f803f00", "no width of 0 to 8"),
        ("20 01 00 00 08803f00 88803f00 80", "logarithmic scale is cut off"),
        ("20 01 00 00 08803f00 88803f00 803f", "an integer is cut off"),
        ("20 01 00 00 08803f00 88803f00 0000 00", "not between"),
        ("20 01 00 00 08803f00 88803f00 80bf 00", "not between"),  # -1.
        ("20 01 00 00 08803f00 88803f00 807f 00", "not between"),  # Infinity.
        ("20 01 00 00 08803f00 88803f00 c07f 00", "not between"),  # NaN.
        ("20 01 00 00 08803f00 88803f00 803f ffffffffffffff7f", "eighths of its unit"),
        ("20 01 00 00 08803f00 51803f00000000", "must name 2 features"),
        ("20 01 00 00 08803f00 51803f000000000000f87f", "beyond 1e\\+38"),  # NaN.
        ("20 01 00 00 08803f00 51803f000000000000f07f", "beyond 1e\\+38"),  # Infinity.
        ("20 01 00 00 08803f00 08803f00 00", "followed by more"),
        ("20 01 00 00 08000000 08803f00", "not positive"),
        ("20 01 00 00 08c0ff00 08803f00", "not positive"),  # NaN.
        ("20 01 00 00 08807f00 08803f00", "beyond 1e\\+38"),  # Infinity.
        ("20 01 00 00 087f7f00 08803f00", "beyond 1e\\+38"),
    ],
)
def test_scales_out_of_range_are_refused(payload: str, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        Scales.decode(bytes.fromhex(payload.replace(" ", "")), LIMITS)


def test_a_linear_feature_beside_an_amount_is_refused_beyond_all_features() -> None:
    log = LogScales.of(np.array([1]), np.array([0.0]), np.array([0.125]))
    scales = Scales(1, 0, 0, np.array([8, 8]), np.array([1e36, 50.0]), np.zeros(2), np.zeros(2, bool), log)
    made = scales.vectors(np.array([[255, 255]]))
    assert made[0, 0] > FEATURE_MAX and made[0, 1] == FEATURE_MAX
