"""Save state as bytes: nested dictionaries of plain values and arrays, with a checksum. Loading runs no code."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import numpy as np

from protovine.errors import SnapshotError

MAGIC = b"pvs1"
_ARRAY = 1
_DTYPES = ("<f8", "<f4", "<i8", "<i4", "|u1", "|b1")


def pack(state: dict[str, Any]) -> bytes:
    """Encode numbers (integers of any size), strings, bytes, None, lists, dictionaries and NumPy arrays.

    Parameters
    ----------
    state : dict
        With strings as keys, as deep as needed. Arrays are of float64, float32, int64, int32, uint8 or bool.

    Raises
    ------
    TypeError
        A value is none of these.

    Examples
    --------
    >>> unpack(pack({"seed": 7, "x": np.zeros((2, 3))}))["x"].shape
    (2, 3)
    """
    body = msgspec.msgpack.encode(_plain(state), enc_hook=_encode_array)
    return MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def unpack(data: bytes) -> dict[str, Any]:
    """Decode the state that `pack` encoded; arrays become writable copies, tuples become lists.

    Raises
    ------
    SnapshotError
        The bytes are damaged or not a snapshot.

    Examples
    --------
    >>> data = pack({"seed": 2**100, "peers": (1, 2)})
    >>> unpack(data)
    {'seed': 1267650600228229401496703205376, 'peers': [1, 2]}
    >>> unpack(data[:-1])
    Traceback (most recent call last):
    protovine.errors.SnapshotError: the snapshot is damaged: its checksum does not match
    """
    if data[:4] != MAGIC:
        raise SnapshotError(f"not a snapshot: it starts with {data[:4]!r}, expected {MAGIC!r}")
    body = data[8:]
    if zlib.crc32(body) != int.from_bytes(data[4:8], "little"):
        raise SnapshotError("the snapshot is damaged: its checksum does not match")
    try:
        state = _restored(msgspec.msgpack.decode(body, ext_hook=_decode_array))
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise SnapshotError(f"the snapshot is damaged: {error}") from None
    if not isinstance(state, dict):
        raise SnapshotError("the snapshot is damaged: it holds no dictionary")
    return state


def _plain(value: Any) -> Any:
    # MessagePack holds 64 bits; a random generator's state has 128.
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return {"__int__": str(value)}
    if isinstance(value, np.generic):
        return value.item()
    return value


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"__int__"}:
            return int(value["__int__"])
        return {key: _restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item) for item in value]
    return value


def _encode_array(value: Any) -> msgspec.msgpack.Ext:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"a snapshot cannot hold {type(value).__name__}")
    kind = value.dtype.newbyteorder("<").str
    if kind not in _DTYPES:
        raise TypeError(f"a snapshot cannot hold arrays of {value.dtype}")
    body = np.ascontiguousarray(value).astype(kind, copy=False).tobytes()
    return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode([kind, list(value.shape), body]))


def _decode_array(code: int, data: memoryview) -> np.ndarray:
    if code != _ARRAY:
        raise ValueError(f"unknown extension {code}")
    kind, shape, body = msgspec.msgpack.decode(data, type=tuple[str, list[int], bytes])
    if kind not in _DTYPES or any(size < 0 for size in shape):
        raise ValueError(f"unknown array of {kind} {shape}")
    return np.frombuffer(body, dtype=kind).reshape(shape).copy()
