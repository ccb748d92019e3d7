from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.checks import check_codec
from protovine.errors import CodecError
from protovine.prototypes import FEATURE_MAX, PrototypeSet
from protovine.share import SetLimits, decode_set, encode_set


@st.composite
def prototype_sets(draw: st.DrawFn) -> PrototypeSet:
    n, dim = draw(st.integers(0, 12)), draw(st.integers(1, 5))
    number = st.floats(-(2.0**100), 2.0**100, width=32)
    return PrototypeSet.of(
        np.array(draw(st.lists(number, min_size=n * dim, max_size=n * dim))).reshape(n, dim),
        draw(st.lists(st.integers(0, draw(st.sampled_from([1, 255, 256, 65535]))), min_size=n, max_size=n)),
        weight=draw(st.lists(st.floats(0, 2.0**20, width=32), min_size=n, max_size=n)),
        event_ns=draw(st.lists(st.integers(0, 2**61), min_size=n, max_size=n)),
    )


def limits_of(prototypes: PrototypeSet) -> SetLimits:
    return SetLimits(prototypes.dim, 65536, 100)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_contract(dtype: str) -> None:
    check_codec(lambda prototypes: encode_set(prototypes, dtype), decode_set)


@given(prototype_sets())
def test_float64_is_exact(original: PrototypeSet) -> None:
    again = decode_set(encode_set(original, "float64"), limits_of(original))
    for name in ("x", "label", "weight", "event_ns"):
        assert np.array_equal(getattr(original, name), getattr(again, name))


@given(prototype_sets())
def test_float32_rounds_event_times_to_a_fraction_of_their_span(original: PrototypeSet) -> None:
    again = decode_set(encode_set(original), limits_of(original))
    assert np.array_equal(original.x.astype(np.float32), again.x)
    assert np.array_equal(original.label, again.label)
    if len(original):
        span = int(original.event_ns.max()) - int(original.event_ns.min())
        late = original.event_ns - again.event_ns
        assert late.min() >= 0
        assert int(late.max()) <= span >> 31


def test_bytes_are_as_documented() -> None:
    made = encode_set(PrototypeSet.of([[1.0], [2.0]], [0, 3], weight=[5, 6], event_ns=[10, 12]))
    expected = (
        "10 02 01 0a00000000000000 00"  # format, n, d, base, shift
        "00 03 00000000 02000000"  # labels, event offsets
        "0000a040 0000c040 0000803f 00000040"  # weights 5 and 6, vectors 1 and 2
    )
    assert bytes.fromhex(expected.replace(" ", "")) == made


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_crash(data: bytes) -> None:
    try:
        found = decode_set(data, SetLimits(2, 4, 50))
    except CodecError:
        return
    assert np.isfinite(found.x).all()


@given(prototype_sets(), st.data())
def test_damaged_bytes_never_crash(original: PrototypeSet, data: st.DataObject) -> None:
    made = bytearray(encode_set(original))
    made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode_set(bytes(made), limits_of(original))
    except CodecError:
        return
    assert np.isfinite(found.x).all()
    assert len(found) <= 100


@pytest.mark.parametrize(
    ("hexadecimal", "message"),
    [
        ("", "empty"),
        ("20", "unknown format"),
        ("10", "cut off"),
        ("10 ffffffffffffffff7f 02", "at most 50 prototypes, got 9223372036854775807"),
        ("10 01 03", "2 features, got 3"),
        ("10 01 02 00", "take 29 bytes"),
        ("10 8000 02", "padded"),
    ],
)
def test_what_is_refused_is_said(hexadecimal: str, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        decode_set(bytes.fromhex(hexadecimal.replace(" ", "")), SetLimits(2, 4, 50))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("x", np.nan, "not finite, or beyond"),
        ("x", np.inf, "not finite, or beyond"),
        ("event_ns", -1, "an event time is negative"),
        ("weight", -1.0, "weight is negative"),
        ("weight", np.nan, "weight is negative, not finite, or beyond"),
        ("weight", 2e38, "weight is negative, not finite, or beyond"),
        ("label", 4, "labels must be below 4, got 4"),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: float, message: str) -> None:
    good = {"x": np.ones((1, 2)), "label": np.zeros(1, int), "weight": np.ones(1), "event_ns": np.zeros(1, int)}
    good[field] = np.full_like(good[field], value)
    bad = PrototypeSet(**good)
    data = encode_set(bad) if abs(value) < FEATURE_MAX and field != "event_ns" else raw(good)
    with pytest.raises(CodecError, match=message):
        decode_set(data, SetLimits(2, 4, 50))


def raw(columns: dict[str, np.ndarray]) -> bytes:
    base = int(columns["event_ns"][0]).to_bytes(8, "little", signed=True)
    head = bytes.fromhex("10 01 02".replace(" ", "")) + base + bytes(1)
    return head + bytes(5) + columns["weight"].astype("<f4").tobytes() + columns["x"].astype("<f4").tobytes()


@pytest.mark.parametrize(("value", "label"), [(np.nan, 0), (1e300, 0), (1.0, 70_000)])
def test_sets_that_cannot_be_encoded_are_errors(value: float, label: int) -> None:
    columns = (np.full((1, 1), value), np.array([label]), np.ones(1), np.zeros(1, np.int64))
    with pytest.raises(ValueError, match=r"finite and at most 1e\+38|at most 65535"):
        encode_set(PrototypeSet(*columns))


def test_a_signalling_nan_is_refused_without_a_warning() -> None:
    data = encode_set(PrototypeSet.of([[0.5, 1.0]], [1], weight=[1.0]))
    one, nan = np.float32(1.0).tobytes(), b"\x01\x00\x80\x7f"
    with pytest.raises(CodecError, match="a weight is"):  # Tests end at a warning.
        decode_set(data.replace(one, nan, 1), SetLimits(2, 2))
