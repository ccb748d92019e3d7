"""Contracts for learners, compressors, codecs and transports; run them on your own implementations.

Each check raises `AssertionError` with the first broken promise. Checks use small random data from a fixed seed and
take well under a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from protovine.compress import Compressor
from protovine.errors import CodecError, SnapshotError
from protovine.learn import ArrayLearner, ModelLearner
from protovine.prototypes import PrototypeSet
from protovine.share import SetLimits


def check_learner(make: Callable[[int, int], ArrayLearner]) -> None:
    """A learner predicts before it learns, is deterministic, bounded by its data, and survives a restart.

    Parameters
    ----------
    make : callable (dim, n_classes) -> ArrayLearner
        Builds a learner that has learnt nothing.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which.

    Examples
    --------
    >>> from protovine.learn import XuILVQCore
    >>> check_learner(XuILVQCore)
    """
    x, codes, times = _stream(dim=3, n_classes=3, rows=200)
    empty = make(3, 3)
    assert len(empty) == 0, "a new learner holds no prototypes"
    assert empty.predict(x[0]).code == -1, "without a model the code is -1"
    assert not empty.predict(x[0]).proba.any(), "without a model every probability is 0"

    learner, twin = make(3, 3), make(3, 3)
    before = x.copy()
    inserted = learner.learn(x, codes, times)
    for i in range(len(x)):
        twin.learn(x[i : i + 1], codes[i : i + 1], times[i : i + 1])
    assert np.array_equal(x, before), "learning does not change its input"
    assert 0 < inserted <= len(x), "there is at least one prototype, and at most one per sample"
    assert _same(learner.prototypes(), twin.prototypes()), "learning row by row or at once gives the same result"
    for row in x[:20]:
        code, proba = learner.predict(row)
        assert 0 <= code < 3, f"a code is a class, got {code}"
        assert abs(proba.sum() - 1) < 1e-9 and proba.min() >= 0, "probabilities are a distribution"
        assert proba[code] == proba.max(), "the code has the largest probability"
    held = learner.prototypes()
    assert len(held) == len(learner), "the set has len(learner) prototypes"
    assert np.isfinite(held.x).all() and (held.weight >= 0).all(), "prototypes are finite, weights not negative"
    assert set(held.label) <= set(codes), "every class comes from the samples"
    assert held.event_ns.max() <= times.max(), "no prototype is newer than its samples"
    held.x[:] = 0.0
    assert learner.prototypes().x.any(), "prototypes() returns a copy"

    restored = make(3, 3)
    restored.restore(learner.state())
    more, more_codes, more_times = _stream(dim=3, n_classes=3, rows=100, seed=1)
    for each in (learner, restored):
        each.learn(more, more_codes, more_times)
    assert _same(learner.prototypes(), restored.prototypes()), "a restored learner continues like the original"
    try:
        make(2, 3).restore(learner.state())
    except SnapshotError:
        pass
    else:
        raise AssertionError("state of another dimension is refused")


def check_model_learner(make: Callable[[], ModelLearner], *, refuses_damage: bool = True) -> None:
    """A learner that shares its model predicts before it learns, is deterministic and survives a restart. Its model
    works at other nodes.

    Parameters
    ----------
    make : callable () -> ModelLearner
        Builds a learner of 3 features and 3 classes that has learnt nothing; all belong to one swarm.
    refuses_damage : bool
        Whether `decode` refuses all damaged bytes, and not only those that are no model.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which.

    Examples
    --------
    >>> from protovine.learn import LogisticCore
    >>> check_model_learner(lambda: LogisticCore(3, 3), refuses_damage=False)
    """
    x, codes, times = _stream(dim=3, n_classes=3, rows=200)
    learner, twin, other = make(), make(), make()
    assert len(learner) == 0 and learner.encode() == b"", "a new learner has no model"
    assert learner.predict(x[0]).code == -1, "without a model the code is -1"
    assert not learner.predict(x[0]).proba.any(), "without a model every probability is 0"
    before = x.copy()
    learner.learn(x, codes, times)
    for i in range(len(x)):
        twin.learn(x[i : i + 1], codes[i : i + 1], times[i : i + 1])
    assert np.array_equal(x, before), "learning does not change its input"
    assert len(learner) == 1, "the local model counts as one"
    payload = learner.encode()
    other.adopt(7, other.decode(payload))
    assert len(other) == 1, "a received model counts as one"
    for row in x[:20]:
        code, proba = learner.predict(row)
        assert abs(proba.sum() - 1) < 1e-9 and proba.min() >= 0, "probabilities are a distribution"
        assert proba[code] == proba.max(), "the code has the largest probability"
        assert np.array_equal(proba, twin.predict(row).proba), "learning row by row or at once gives the same result"
        assert np.allclose(proba, other.predict(row).proba, atol=1e-3), "a model predicts the same at another node"
    restored = make()
    restored.restore(learner.state())
    more, more_codes, more_times = _stream(dim=3, n_classes=3, rows=100, seed=1)
    for each in (learner, restored):
        each.learn(more, more_codes, more_times)
        each.adopt(7, each.decode(payload))
    for row in x[:20]:
        assert np.array_equal(learner.predict(row).proba, restored.predict(row).proba), (
            "a restored learner continues like the original"
        )
    draw = np.random.default_rng(3)
    for _ in range(300):
        damaged = bytearray(payload)
        damaged[draw.integers(len(damaged))] ^= int(draw.integers(1, 256))
        for bad in (bytes(damaged), bytes(damaged[: draw.integers(len(damaged))]), draw.bytes(40)):
            target = make()
            try:
                target.adopt(7, target.decode(bad))
            except CodecError:
                assert len(target) == 0, "a refused model changes nothing"
                continue
            assert not refuses_damage, "damaged bytes are refused"
            proba = target.predict(x[0]).proba
            assert abs(proba.sum() - 1) < 1e-9, "probabilities of an accepted model are a distribution"


def check_compressor(make: Callable[[], Compressor], *, keeps_weight: bool = True) -> None:
    """A compressor shrinks a set, never loses a class, keeps the total weight, and is deterministic.

    Parameters
    ----------
    make : callable () -> Compressor
    keeps_weight : bool
        Whether the sum of the weights must stay.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which.

    Examples
    --------
    >>> from protovine.compress import KMeansCompressor
    >>> check_compressor(KMeansCompressor)
    """
    x, codes, times = _stream(dim=4, n_classes=3, rows=60)
    weights = np.random.default_rng(2).integers(0, 20, 60).astype(float)
    before = PrototypeSet.of(x, codes, weight=weights, event_ns=times)
    made = make().compress(before, limit=50)
    after = made.prototypes
    assert len(after) < len(before), f"the set shrinks, got {len(after)} of {len(before)}"
    assert set(after.label) == set(before.label), "no class is lost"
    if keeps_weight:
        assert abs(after.weight.sum() - before.weight.sum()) < 1e-9, "the total weight stays"
    assert np.isfinite(after.x).all() and (after.weight >= 0).all(), "prototypes are finite, weights not negative"
    low, high = before.x.min(axis=0) - 1e-12, before.x.max(axis=0) + 1e-12
    assert ((after.x >= low) & (after.x <= high)).all(), "centroids stay within the range of the members"
    assert set(after.event_ns) <= set(before.event_ns), "event times come from the members"
    assert _same(after, make().compress(before, limit=50).prototypes), "the same set gives the same result"
    one_each = PrototypeSet.of(np.eye(3), [0, 1, 2])
    kept = make().compress(one_each, limit=2).prototypes
    assert set(kept.label) == {0, 1, 2}, "a class with a single prototype is kept"


def check_codec(
    encode: Callable[[PrototypeSet], bytes],
    decode: Callable[[bytes, SetLimits], PrototypeSet],
    *,
    relative_error: float = 1e-6,
) -> None:
    """A codec decodes the set that it encoded, and refuses invalid bytes with `CodecError` only.

    Parameters
    ----------
    encode : callable (PrototypeSet) -> bytes
    decode : callable (bytes, SetLimits) -> PrototypeSet
    relative_error : float
        Largest error of a vector or weight, relative to its size.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which.

    Examples
    --------
    >>> from protovine.share import decode_set, encode_set
    >>> check_codec(encode_set, decode_set)
    """
    limits = SetLimits(dim=4, n_classes=3, prototypes_max=100)
    x, codes, times = _stream(dim=4, n_classes=3, rows=50)
    for n in (0, 1, 50):
        original = PrototypeSet.of(x[:n].reshape(n, 4), codes[:n], weight=np.arange(n), event_ns=times[:n])
        data = encode(original)
        again = decode(data, limits)
        assert isinstance(data, bytes), "an encoded set is bytes"
        assert np.array_equal(again.label, original.label), "labels survive"
        assert np.allclose(again.x, original.x, rtol=relative_error, atol=0), "vectors survive"
        assert np.allclose(again.weight, original.weight, rtol=relative_error, atol=0), "weights survive"
    draw = np.random.default_rng(3)
    for _ in range(300):
        damaged = bytearray(data)
        damaged[draw.integers(len(damaged))] ^= int(draw.integers(1, 256))
        for bad in (bytes(damaged), bytes(damaged[: draw.integers(len(damaged))]), draw.bytes(40)):
            try:
                found = decode(bad, limits)
            except CodecError:
                continue
            assert found.dim == 4 and len(found) <= 100, "an accepted set keeps the limits"
            assert np.isfinite(found.x).all() and np.isfinite(found.weight).all(), "accepted values are finite"
            assert (found.weight >= 0).all() and (found.label < 3).all(), "accepted values are in range"
    for wrong in (SetLimits(5, 3), SetLimits(4, 3, prototypes_max=10), SetLimits(4, 1)):
        try:
            decode(data, wrong)
        except CodecError:
            continue
        raise AssertionError(f"a set that breaks {wrong} is refused")


class TransportLike(Protocol):
    """A transport, as `protovine.net.transport.Transport`; ``deliver`` gets a channel with ``value`` and the bytes."""

    def open(
        self, deliver: Callable[[Any, bytes], None], alive: Callable[[int, bool], None], status: Callable[[], bytes]
    ) -> None:
        """Begin."""
        ...

    def send(self, peer: int, data: bytes) -> None:
        """Send a message to a peer."""
        ...

    def send_all(self, data: bytes) -> None:
        """Send a message to all."""
        ...

    def send_hello(self, peer: int | None, data: bytes, ask: bool) -> None:
        """Send a hello to a peer, or to all."""
        ...

    def reopen(self) -> None:
        """Close and open again."""
        ...

    def close(self) -> None:
        """End."""
        ...


class _End:
    """A member's end of a transport, and the messages it delivered."""

    def __init__(self, member: int, make: Callable[[int], TransportLike]) -> None:
        self.member, self.transport = member, make(member)
        self.received: list[tuple[str, bytes]] = []
        self.alive: dict[int, bool] = {}

    def open(self) -> None:
        """Open the transport and record its deliveries."""
        self.transport.open(
            lambda channel, data: self.received.append((channel.value, data)), self.alive.__setitem__, lambda: b"{}"
        )


def check_transport(make: Callable[[int], TransportLike], *, timeout_s: float = 10.0) -> None:
    """A transport delivers messages and hellos to their recipients and to no other, and reports links.

    Messages may be lost, so the check repeats each one until it arrives or the time is over. Bytes may arrive in any
    thread.

    Parameters
    ----------
    make : callable (member) -> TransportLike
        Builds the transport of member 0, 1 or 2, not yet open. All can reach each other.
    timeout_s : float
        Longest wait for a link or message.

    Raises
    ------
    AssertionError
        A promise is broken; the message says which.

    Examples
    --------
    A transport that never reports a link:

    >>> class Deaf:
    ...     def open(self, deliver, alive, status): ...
    ...     def send(self, peer, data): ...
    ...     def send_all(self, data): ...
    ...     def send_hello(self, peer, data, ask): ...
    ...     def reopen(self): ...
    ...     def close(self): ...
    >>> check_transport(lambda member: Deaf(), timeout_s=0.05)
    Traceback (most recent call last):
    AssertionError: all members have links...

    ``tests/net/test_transport.py`` has one in memory that keeps all promises, and checks Zenoh's.
    """

    def until(true: Callable[[], bool], promise: str, again: Callable[[], None] = lambda: None) -> None:
        deadline = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < deadline, promise
            again()
            time.sleep(0.02)

    def at_once(call: Callable[[], None], promise: str) -> None:
        began = time.monotonic()
        call()
        assert time.monotonic() - began < 1.0, promise

    def arrives(send: Callable[[], None], where: list[_End], what: tuple[str, bytes], promise: str) -> None:
        def sent() -> None:
            at_once(send, "sending returns at once")

        until(lambda: all(what in end.received for end in where), promise, sent)
        time.sleep(0.1)  # A stray message would have arrived by now.
        astray = [end.member for end in ends if end not in where and what in end.received]
        assert not astray, f"{promise}, and to no other member: {what[0]} came to {astray}"

    ends = [_End(member, make) for member in range(3)]
    a, b, c = ends
    with ExitStack() as stack:
        at_once(lambda: a.transport.send(1, b"early"), "sending before it is open does nothing")
        for end in ends:
            end.open()
            stack.callback(end.transport.close)
        until(lambda: all(len(end.alive) == 2 and all(end.alive.values()) for end in ends), "all members have links")
        for data in (b"", b"\0\xff message", bytes(range(256)) * 400):
            arrives(lambda data=data: a.transport.send(1, data), [b], ("message", data), "a message comes to its peer")  # type: ignore[misc]
        arrives(lambda: b.transport.send(0, b"back"), [a], ("message", b"back"), "links carry messages both ways")
        arrives(lambda: a.transport.send_hello(2, b"h", False), [c], ("hello", b"h"), "a hello comes to its peer")
        arrives(lambda: a.transport.send_hello(2, b"q", True), [c], ("ask", b"q"), "a question comes to its peer")
        arrives(lambda: c.transport.send_all(b"m"), [a, b], ("broadcast", b"m"), "a message to all comes to all others")
        arrives(
            lambda: b.transport.send_hello(None, b"all", True),
            [a, c],
            ("ask", b"all"),
            "a question to all arrives",
        )
        at_once(lambda: a.transport.send(999, b"x"), "sending to a member that is not there does nothing")
        at_once(lambda: a.transport.send_hello(999, b"x", True), "a hello to a member that is not there does nothing")
        assert ("message", b"early") not in b.received, "nothing is sent before it is open"

        a.alive.clear()
        a.transport.reopen()
        until(lambda: a.alive == {1: True, 2: True}, "a reopened transport has links")
        arrives(lambda: a.transport.send(1, b"again"), [b], ("message", b"again"), "a reopened transport sends")
        arrives(lambda: b.transport.send(0, b"here"), [a], ("message", b"here"), "a reopened transport receives")

        c.transport.close()
        until(lambda: a.alive[2] is False and b.alive[2] is False, "the others learn that a link ended")
        before = list(c.received)
        for _ in range(3):
            at_once(lambda: a.transport.send(2, b"late"), "sending to a member that has closed does nothing")
            at_once(lambda: c.transport.send(0, b"late"), "sending after closing does nothing")
        c.transport.close()
        arrives(lambda: a.transport.send(1, b"on"), [b], ("message", b"on"), "the others go on")
        assert before == c.received, "nothing is delivered after closing"
        assert ("message", b"late") not in a.received, "nothing is sent after closing"


def _stream(dim: int, n_classes: int, rows: int, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, n_classes, rows)
    codes[:n_classes] = np.arange(n_classes)
    x = draw.normal(size=(rows, dim)) + codes[:, np.newaxis]
    return x, codes, np.arange(rows) * 1_000_000


def _same(a: PrototypeSet, b: PrototypeSet) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("x", "label", "weight", "event_ns"))
