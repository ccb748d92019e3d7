"""Random streams, records, snapshots, varints and prototype sets."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protovine import records, varint
from protovine.errors import CodecError, DataError, SnapshotError, suggest
from protovine.prototypes import PrototypeSet
from protovine.rng import stream
from protovine.snapshot import pack, unpack


def test_streams_are_fixed_for_good() -> None:
    """These numbers may never change: recorded runs depend on them."""
    assert [7, 1, 3, 1] == stream(0, "arrivals", 0).integers(0, 10, 4).tolist()
    assert [3, 5, 9, 9] == stream(0, "arrivals", 1).integers(0, 10, 4).tolist()


def test_names_and_types_of_names_separate_streams() -> None:
    draws = {
        tuple(stream(*names).integers(0, 2**60, 2).tolist())
        for names in [(0, "a"), (1, "a"), (0, "b"), (0, "a", 1), (0, "a", "1"), (0, "a1"), (0,)]
    }
    assert 7 == len(draws)
    with pytest.raises(ValueError, match="got -1"):
        stream(-1)


@given(st.integers(0, 2**63 - 1))
def test_varints_survive(value: int) -> None:
    data = varint.write(value)
    assert (value, len(data)) == varint.read(data, 0)
    assert len(data) == max(1, -(-value.bit_length() // 7))


@pytest.mark.parametrize("data", ["", "80", "8000", "ffffffffffffffffff7f", "ffffffffffffffffff"])
def test_bad_varints_are_refused(data: str) -> None:
    with pytest.raises(CodecError):
        varint.read(bytes.fromhex(data), 0)
    with pytest.raises(ValueError, match="got -1"):
        varint.write(-1)


TRACE = [
    records.Arrived(1, 0, 5, 1),
    records.Missed(1, 0, 6, 1),
    records.Predicted(1, 0, 5, -1, ()),
    records.Predicted(1, 0, 5, 1, (0.1, 0.9)),
    records.Learned(1, 0, 5, True, 3),
    records.Trained(2, 0, 4, 1, 9),
    records.Trained(2, 0, 4, 1, 9, (records.TrainedRun(1, 5, 7, 2, 3, 3), records.TrainedRun(2, 5, 8, 0, 1, 0))),
    records.Compressed(2, 0, 9, 5, False),
    records.Withheld(2, 0, 1, 9, "jsd", 0.25),
    records.Sent(2, 0, 1, "share", 1, 1, 9, 16, 300, 2**32 - 1),
    records.Received(3, 1, 0, 1, 1, 1, 2, 9, 316, 4, 1),
    records.Refused(3, 1, 0, "stale", 316),
    records.Lost(3, 0, 1, "loss", 316),
    records.Aired(3, 0, 376_000, 31, 5),
    records.Down(4, 0),
    records.Up(5, 0, 2),
    records.Ended(6, 0, 9, 0, 0, 3),
    records.Evaluated(6, 0, ((0, -1, 2), (1, 1, 7))),
    records.Sized(6, 0, 21_000),
    records.Alarmed(7, 0, "adwin", "error", "relation"),
    records.Warned(7, 1, 0, "features", 6),
    records.Commanded(8, 1, "fanout = 2", "operator kim"),
]


def test_every_kind_of_record_survives_the_file(tmp_path: Path) -> None:
    records.write_trace(tmp_path / "t.gz", {"preset": "x"}, TRACE)
    header, kept = records.read_trace(tmp_path / "t.gz")
    assert TRACE == list(kept)
    assert "x" == header["preset"]
    assert {type(record) for record in TRACE} == set(records.AnyRecord.__args__)
    assert ["t.gz"] == [path.name for path in tmp_path.iterdir()]


def test_equal_traces_are_equal_files(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        records.write_trace(tmp_path / name, {}, TRACE)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_trace_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    def fails():
        yield TRACE[0]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        records.write_trace(tmp_path / "t.gz", {}, fails())
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", gzip.compress(b'{"format": "other"}\n', mtime=0), gzip.compress(b"[]", mtime=0)],
    ids=["empty", "no gzip", "another format", "no object"],
)
def test_files_that_are_no_traces_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.gz").write_bytes(content)
    with pytest.raises(DataError):
        records.read_trace(tmp_path / "t.gz")


def test_damaged_records_are_refused(tmp_path: Path) -> None:
    records.write_trace(tmp_path / "t.gz", {}, TRACE)
    lines = gzip.decompress((tmp_path / "t.gz").read_bytes()) + b'\n{"is": "unknown", "at_ns": 1, "node": 0}'
    (tmp_path / "t.gz").write_bytes(gzip.compress(lines))
    with pytest.raises(DataError, match="damaged"):
        list(records.read_trace(tmp_path / "t.gz")[1])


def test_trace_hash_depends_on_order_and_every_field() -> None:
    def hashed(*kept: records.Record) -> str:
        made = records.TraceHash()
        for record in kept:
            made.add(record)
        return made.hexdigest()

    a, b = records.Down(1, 0), records.Down(1, 1)
    assert 4 == len({hashed(a), hashed(b), hashed(a, b), hashed(b, a)})


def test_trace_hash_is_that_of_older_traces_without_runs() -> None:
    run = records.TrainedRun(1, 5, 7, 2, 3, 3)
    made, older = records.TraceHash(), hashlib.blake2b(digest_size=16)
    made.add(records.Trained(2, 0, 4, 1, 9, (run,)))
    older.update(b'{"is":"trained","at_ns":2,"node":0,"count":4,"inserted":1,"size":9}')
    assert older.hexdigest() == made.hexdigest()


state = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**130), 2**130) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), state, max_size=4))
def test_snapshots_survive(value: dict) -> None:
    assert value == unpack(pack(value))


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "u1", "?"])
def test_arrays_survive_snapshots(dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    again = unpack(pack({"a": array}))["a"]
    assert (array.dtype, array.shape) == (again.dtype, again.shape)
    assert np.array_equal(array, again)
    again[0, 0] = 1  # A writable copy.


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_no_snapshot(data: bytes) -> None:
    with pytest.raises(SnapshotError):
        unpack(data)
    with pytest.raises(SnapshotError):
        unpack(b"pvs1" + data)


def test_what_a_snapshot_cannot_hold_is_refused() -> None:
    for value in (object(), np.array(["text"]), np.array([1j])):
        with pytest.raises(TypeError, match="cannot hold"):
            pack({"a": value})


def test_sets_check_their_shapes_and_values() -> None:
    with pytest.raises(ValueError, match="needs x"):
        PrototypeSet(np.zeros((2, 1)), np.zeros(3, int), np.zeros(3), np.zeros(3, int))
    for bad in ({"x": [[np.nan]]}, {"weight": [-1]}, {"label": [-1]}):
        with pytest.raises(ValueError, match="must be finite"):
            PrototypeSet.of(**{"x": [[0.0]], "label": [0], **bad})
    assert (0, 3) == PrototypeSet.empty(3).x.shape


def test_suggestions_name_the_nearest_or_all() -> None:
    assert " (did you mean 'ring'?)" == suggest("rign", ["ring", "star"])
    assert " (known: ring, star)" == suggest("xyz", ["star", "ring"])
