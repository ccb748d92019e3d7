"""Contracts of compressors, codecs, gates and schedules: the package's parts pass; each broken promise is named."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from protovine.checks import check_codec, check_compressor, check_gate, check_schedule
from protovine.compress import CompressionResult, GreedyCompressor, compressor
from protovine.errors import CodecError
from protovine.gossip import SCHEDULES, Coin
from protovine.gossip.schedule import AgeThreshold, RoundRobin
from protovine.prototypes import PrototypeSet
from protovine.share import (
    AlwaysGate,
    GainGate,
    JensenShannonGate,
    LooJensenShannonGate,
    SetLimits,
    decode_set,
    encode_set,
)

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def raising(*arguments: Any) -> None:
    raise RuntimeError("not today")


def returning(**values: Any) -> dict[str, Any]:
    return {name: (lambda self, *arguments, value=value: value) for name, value in values.items()}


def broken(base: type, members: dict[str, Any]) -> Any:
    return type("Broken", (base,), members)


# -- Compressors. ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dbscan", "kmeans", "greedy", "top-greedy"])
@pytest.mark.parametrize(("low", "high"), [(50, 60), (90, 95)])
def test_every_compressor_keeps_the_contract(name: str, low: float, high: float) -> None:
    check_compressor(lambda: compressor(name, low=low, high=high))


@pytest.mark.parametrize("name", ["dbscan", "kmeans"])
def test_the_weights_of_the_authors_are_not_kept(name: str) -> None:
    check_compressor(lambda: compressor(name, weights="authors"), keeps_weight=False)
    with pytest.raises(AssertionError, match="the total weight stays"):
        check_compressor(lambda: compressor(name, weights="authors"))


def compresses(change: Callable[[PrototypeSet], Any]) -> dict[str, Any]:
    """A `compress` whose set is another one."""

    def compress(self: Any, prototypes: PrototypeSet, limit: int) -> CompressionResult:
        made = GreedyCompressor.compress(self, prototypes, limit)
        return CompressionResult(change(made.prototypes), made.exact)

    return {"compress": compress}


def replaced(**fields: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    return compresses(
        lambda made: msgspec.structs.replace(
            made, **{name: change(getattr(made, name)) for name, change in fields.items()}
        )
    )


def within_classes(made: PrototypeSet) -> PrototypeSet:
    """Weights turned around among the prototypes of each class."""
    weight = made.weight.copy()
    for label in np.unique(made.label):
        at = np.flatnonzero(made.label == label)
        weight[at] = np.sort(weight[at])[np.argsort(made.x[at, 0])]
    return msgspec.structs.replace(made, weight=weight)


def wipe(self: Any, prototypes: PrototypeSet, limit: int) -> CompressionResult:
    made = GreedyCompressor.compress(self, prototypes, limit)
    prototypes.weight[:] = 0
    return made


def stop_early(self: Any, prototypes: PrototypeSet, limit: int) -> CompressionResult:
    return GreedyCompressor.compress(self, prototypes, max(55, limit))


class Counting(GreedyCompressor):
    """Compresses harder each time, and does not keep how often it was called."""

    calls = 0

    def compress(self, prototypes: PrototypeSet, limit: int) -> CompressionResult:
        self.calls += 1
        return super().compress(prototypes, limit - 2 * self.calls)


COMPRESSORS: dict[str, tuple[dict[str, Any], str]] = {
    "a set": ({"compress": lambda self, prototypes, limit: prototypes}, r"returns a CompressionResult, got Prototype"),
    "None as a set": (compresses(lambda made: None), "the compressed set is a PrototypeSet, got None"),
    "raises": ({"compress": raising}, r"compress\(\) of a compressor raises no error; it raised RuntimeError"),
    "does not shrink": (
        {"compress": lambda self, prototypes, limit: CompressionResult(prototypes, True)},
        "the set shrinks until it keeps its limit, 50: from 60, got 60",
    ),
    "never within the limit": (
        {"compress": stop_early},
        "the set shrinks until it keeps its limit, 50: from 55, got 55",
    ),
    "loses a class": (
        compresses(lambda made: made.take(np.flatnonzero(made.label > 0))),
        r"no class is lost, got \[1, 2\]",
    ),
    "loses weight": (replaced(weight=lambda weight: weight / 2), "the total weight stays"),
    "weights NaN": (replaced(weight=lambda weight: weight * np.nan), "has finite weights"),
    "labels swapped": (
        replaced(label=lambda label: (label + 1) % 3),
        "centroids stay within the range of the members of their class",
    ),
    "weights swapped": (compresses(within_classes), "centroids have the weight of the members around them"),
    "times swapped": (replaced(event_ns=lambda times: times[::-1].copy()), "an event time of the members around it"),
    "times made up": (replaced(event_ns=lambda times: times + 1), "event times come from the members"),
    "outside": (replaced(x=lambda x: x * 2), "centroids stay within the range"),
    "wipes its input": ({"compress": wipe}, r"compress\(\) does not change its input"),
    "exact of NumPy": (
        {"compress": lambda self, *given: CompressionResult(GreedyCompressor.compress(self, *given).prototypes, 1)},
        "'exact' of the result is True or False, got 1",
    ),
    "state raises": ({"state": raising}, r"state\(\) of a compressor raises no error"),
    "state of objects": ({"state": lambda self: {"it": self}}, r"snapshot\.pack can save"),
    "state forgets": ({}, "a restored compressor continues like the original"),
}


@pytest.mark.parametrize("what", COMPRESSORS)
def test_a_broken_promise_of_a_compressor_is_named(what: str) -> None:
    members, promised = COMPRESSORS[what]
    kind = Counting if what == "state forgets" else broken(GreedyCompressor, members)
    with pytest.raises(AssertionError, match=promised):
        check_compressor(kind)


# -- Codecs. -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_codec_keeps_the_contract(dtype: str) -> None:
    check_codec(lambda prototypes: encode_set(prototypes, dtype), decode_set)


def after_decoding(**fields: Callable[[np.ndarray], np.ndarray]) -> Callable[..., PrototypeSet]:
    def decode(data: bytes, limits: SetLimits) -> PrototypeSet:
        made = decode_set(data, limits)
        return msgspec.structs.replace(made, **{name: change(getattr(made, name)) for name, change in fields.items()})

    return decode


def unguarded(data: bytes, limits: SetLimits) -> PrototypeSet:
    try:
        return decode_set(data, limits)
    except CodecError as error:
        raise ValueError(str(error)) from None


def wipe_encoded(prototypes: PrototypeSet) -> bytes:
    data = encode_set(prototypes)
    prototypes.x[:] = 0.0
    return data


CODECS: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "times lost": (encode_set, after_decoding(event_ns=np.zeros_like), "event times survive"),
    "times shuffled": (encode_set, after_decoding(event_ns=lambda times: times[::-1]), "event times survive"),
    "labels lost": (encode_set, after_decoding(label=np.zeros_like), "labels survive"),
    "weights lost": (encode_set, after_decoding(weight=np.zeros_like), "weights survive"),
    "ValueError": (encode_set, unguarded, "invalid bytes are refused, with CodecError; it raised ValueError"),
    "decode raises": (encode_set, raising, r"decode\(\) reads what encode\(\) wrote.* it raised RuntimeError"),
    "encode raises": (raising, decode_set, r"encode\(\) raises no error; it raised RuntimeError"),
    "encode None": (lambda prototypes: None, decode_set, "an encoded set is bytes, got None"),
    "encode wipes": (wipe_encoded, decode_set, r"encode\(\) does not change its input"),
    "no limits": (
        encode_set,
        lambda data, limits: decode_set(data, SetLimits(4, 3)),
        "a set that breaks .* is refused",
    ),
    "all classes": (
        encode_set,
        lambda data, limits: decode_set(data, SetLimits(limits.dim, 10**6, limits.prototypes_max)),
        "codes of classes|is refused",
    ),
    "None": (encode_set, lambda data, limits: None, "a decoded set is a PrototypeSet, got None"),
}


@pytest.mark.parametrize("what", CODECS)
def test_a_broken_promise_of_a_codec_is_named(what: str) -> None:
    encode, decode, promised = CODECS[what]
    with pytest.raises(AssertionError, match=promised):
        check_codec(encode, decode)


def test_the_error_of_a_codec_is_bounded() -> None:
    with pytest.raises(AssertionError, match=r"vectors survive within a relative error of 1e-12, got .* more"):
        check_codec(encode_set, decode_set, relative_error=1e-12)
    check_codec(lambda prototypes: encode_set(prototypes, "float64"), decode_set, relative_error=0.0)


# -- Gates. ------------------------------------------------------------------------------------------------------------


def example_gate() -> Any:
    spec = importlib.util.spec_from_file_location("share_gate", EXAMPLES / "share_gate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.GrowthGate()


@pytest.mark.parametrize(
    "make",
    [
        AlwaysGate,
        GainGate,
        LooJensenShannonGate,
        lambda: JensenShannonGate(0.5, np.random.default_rng(0), points_max=200),
        example_gate,
    ],
    ids=["always", "gain", "jsd-loo", "jsd", "example"],
)
def test_every_gate_keeps_the_contract(make: Callable[[], Any]) -> None:
    check_gate(make)


class Drawing(AlwaysGate):
    """Scores at random, by a generator that its state has, or not."""

    keeps = True

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def score(self, evidence: Any, known: Any) -> float:
        return float(self.rng.random())

    def passes(self, score: float) -> bool:
        return score > 0.5

    def state(self) -> dict[str, Any]:
        return {"rng": self.rng.bit_generator.state} if self.keeps else {}

    def restore(self, state: dict[str, Any]) -> None:
        if self.keeps:
            self.rng.bit_generator.state = state["rng"]


def unseeded(self: Any) -> None:
    self.rng = np.random.default_rng()


def writes(what: Callable[[Any, Any], np.ndarray | None]) -> dict[str, Any]:
    def score(self: Any, evidence: Any, known: Any) -> float:
        array = what(evidence, known)
        if array is not None:
            array[:] = array + 1
        return 1.0

    return {"score": score}


GATES: dict[str, tuple[dict[str, Any], str]] = {
    "score NaN": (returning(score=float("nan")), r"score\(\) is a finite number, got nan"),
    "score None": (returning(score=None), r"score\(\) is a finite number, got None"),
    "score raises": ({"score": raising}, r"score\(\) of a gate raises no error; it raised RuntimeError: not today"),
    "passes a text": (returning(passes="no"), r"passes\(\) returns True or False, got 'no'"),
    "passes None": (returning(passes=None), r"passes\(\) returns True or False, got None"),
    "writes x": (writes(lambda evidence, known: evidence.prototypes.x), r"score\(\) does not change the node's proto"),
    "writes weights": (writes(lambda evidence, known: evidence.prototypes.weight), "does not change the node's proto"),
    "writes known": (
        writes(lambda evidence, known: None if known is None else known.label),
        r"score\(\) does not change the prototypes of the peer",
    ),
    "writes window": (
        {**writes(lambda evidence, known: evidence.window_x), "needs_window": True},
        "does not change the local samples",
    ),
    "name": ({"name": None}, "'name' is a text, got None"),
    "counts_sent": ({"counts_sent": None}, "'counts_sent' is True or False, got None"),
    "needs_window": ({"needs_window": 1}, "'needs_window' is True or False, got 1"),
    "unseeded": ({"__init__": unseeded}, r"two gates of one make\(\) score and decide alike"),
    "state forgets": ({"keeps": False}, "a restored gate scores and decides like the original"),
    "state None": (returning(state=None), r"state\(\) is a dictionary, got None"),
    "restore raises": ({"restore": raising}, r"restore\(\) of a gate raises no error"),
}


def test_a_gate_that_draws_keeps_the_contract() -> None:
    check_gate(Drawing)


@pytest.mark.parametrize("what", GATES)
def test_a_broken_promise_of_a_gate_is_named(what: str) -> None:
    members, promised = GATES[what]
    with pytest.raises(AssertionError, match=promised):
        check_gate(broken(Drawing, members))


# -- Schedules. --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_every_schedule_keeps_the_contract(name: str) -> None:
    check_schedule(SCHEDULES[name], to_all=name == "broadcast")


def test_a_schedule_that_addresses_all_says_so() -> None:
    with pytest.raises(AssertionError, match=r"choose\(\) returns different peers of \[.*\], got \[-1\]"):
        check_schedule(SCHEDULES["broadcast"])


def chooses(change: Callable[[list[int]], Any]) -> dict[str, Any]:
    def choose(self: Any, candidates: list[int], total: int, now_ns: int) -> Any:
        chosen = Coin.choose(self, candidates, total, now_ns)
        return change(chosen) if chosen else chosen

    return {"choose": choose}


def sorts(self: Any, candidates: list[int], total: int, now_ns: int) -> list[int]:
    candidates.reverse()
    return candidates[:1]


def draws_elsewhere(self: Any, candidates: list[int], total: int, now_ns: int) -> list[int]:
    self._rng = np.random.default_rng()
    return Coin.choose(self, candidates, total, now_ns)


def never_inactive(self: Any, fanout: int | None, share_probability: float | None) -> None:
    Coin.retune(self, fanout, share_probability)
    self.active = True


SCHEDULES_BROKEN: dict[str, tuple[type, dict[str, Any], str]] = {
    "stranger": (Coin, chooses(lambda chosen: [99]), r"choose\(\) returns different peers of \[.*\], got \[99\]"),
    "everyone": (Coin, chooses(lambda chosen: [-1]), r"different peers of .*, got \[-1\]"),
    "itself": (Coin, chooses(lambda chosen: [0]), r"different peers of .*, got \[0\]"),
    "twice": (Coin, chooses(lambda chosen: chosen[:1] * 3), r"different peers of .*, got \[(\d), \1, \1\]"),
    "None": (Coin, chooses(lambda chosen: None), r"choose\(\) returns a list of ints, got None"),
    "an array": (Coin, chooses(np.array), r"choose\(\) returns a list of ints, got array"),
    "ints of NumPy": (Coin, chooses(lambda chosen: list(np.array(chosen))), r"a list of ints, got \[np.int64"),
    "raises": (Coin, chooses(raising), r"choose\(\) of a schedule raises no error; it raised RuntimeError"),
    "sorts": (Coin, {"choose": sorts}, r"choose\(\) does not change the candidates"),
    "unseeded": (Coin, {"choose": draws_elsewhere}, "the same generator and calls give the same choices"),
    "never": (Coin, returning(choose=[]), "with a share probability of 1 some of 200 opportunities are used"),
    "always active": (Coin, {"retune": never_inactive}, "made with a share probability of 0 is not active, got True"),
    "no retune": (Coin, {"fanout": 2, "share_probability": 0.4, "active": True, **returning(retune=None)}, "."),
    "state forgets": (
        Coin,
        {"state": lambda self: {}, "restore": lambda self, state: None},
        "from one state choose alike",
    ),
    "restore raises": (Coin, {"restore": raising}, r"restore\(\) of a schedule raises no error"),
    "shift forgets": (AgeThreshold, returning(shift=None), r"shift\(\) moves the times that a schedule keeps"),
    "note raises": (Coin, {"note": raising}, r"note\(\) of a schedule raises no error"),
    "acknowledged raises": (RoundRobin, {"acknowledged": raising}, r"acknowledged\(\) of a schedule raises no error"),
    "needs_errors": (Coin, {"needs_errors": None}, "'needs_errors' is True or False, got None"),
}


@pytest.mark.parametrize("what", SCHEDULES_BROKEN)
def test_a_broken_promise_of_a_schedule_is_named(what: str) -> None:
    base, members, promised = SCHEDULES_BROKEN[what]
    with pytest.raises(AssertionError, match=promised):
        check_schedule(broken(base, members))
