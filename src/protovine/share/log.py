"""Sharing by log: which own samples are worth telling, in what batches, and as which bytes.

A sample is told if it was news to the own model: its surprisal, -log2 p(y|x) before learning, exceeds a threshold. With
a byte budget the threshold rises until the budget suffices. Samples travel in batches; the more the model relies on
recency, the smaller they are.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protovine import varint
from protovine.compress import compressor
from protovine.errors import CodecError, ConfigError
from protovine.prototypes import PrototypeSet
from protovine.records import SECOND_NS
from protovine.share.codec import SetLimits, decode_set, encode_set
from protovine.share.items import (
    CODE_MAX,
    ITEMS,
    SCALES,
    SUMMARY,
    Scales,
    UnknownScales,
    decode_items,
    decode_summary,
    encode_items,
    encode_summary,
)

SELECTIONS = ("surprisal", "inserted", "all")
# Items that make a batch and how long one may wait, while the best expert discounts by age**0, age**-1/2 and age**-1.
BATCH_ITEMS, BATCH_NS = (10, 5, 1), (2 * SECOND_NS, SECOND_NS, SECOND_NS)
# With a budget: a batch waits until headers are at most this part of it, but not for longer than this.
_HEADER_PART, _HEADER_BYTES, _WAIT_MAX_NS = 0.25, 16, 10 * SECOND_NS
# The rest of a budget is for scales, acknowledgements and repairs.
_BUDGET_PART = 0.85
_STEP = 0.1  # Of the threshold that keeps to a budget, in bits per sample.
_SUMMARY_ITEMS = 50
_SUMMARY_BYTES = 4096
_GENERATIONS_KEPT = 4
_SATURATED_MAX = 5  # Own samples between two scales because of vectors that do not fit, at least.
_REACH = 5.0  # Deviations that codes reach.
_NARROW_BELOW = 100.0  # Bytes per second from which 8 bits are worth it.


@dataclass(frozen=True, slots=True)
class Told:
    """An own sample as sharing sees it: ``surprise`` in bits before it was learnt, and whether it was inserted."""

    x: NDArray[np.float64]
    label: int
    event_ns: int
    surprise: float
    inserted: bool


class Model(NamedTuple):
    """What sharing may ask of the learner: mean (d,), deviation (d,) and count behind them; how it uses recency."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    recency: float


@dataclass(frozen=True, slots=True)
class Discretion:
    """How own samples are blurred before they are told.

    Parameters
    ----------
    aggregate : int >= 1
        A told vector is the mean of so many recent own samples of its class, the sample and its nearest ones.
    noise : float >= 0
        Standard deviation of added Gaussian noise, in own standard deviations of each feature.
    weight_min : float >= 0
        Prototypes in summaries stand for at least so many samples.
    """

    aggregate: int = 1
    noise: float = 0.0
    weight_min: float = 0.0


class LogShare:
    """Selects, quantises and batches own samples, and reads those of others.

    Parameters
    ----------
    limits : SetLimits
        What is accepted from peers.
    rng : numpy Generator
        Draws noise, if asked for.
    select : {"surprisal", "inserted", "all"}
        Which own samples are told.
    threshold : float >= 0
        Bits of surprisal above which a sample is told.
    bits : {0, 6, 8}
        Width of a quantised feature; 0 takes 8, and 6 below a budget of 100 bytes/s.
    budget_bytes_per_s : float >= 0
        What the node may send in all, to ``recipients`` peers; 0 is no limit.
    batch_items, batch_ns : int
        Fix the batches; 0 lets the use of recency decide.
    discretion : Discretion

    Raises
    ------
    ConfigError
        A parameter is out of range.
    """

    def __init__(
        self,
        limits: SetLimits,
        rng: np.random.Generator,
        *,
        select: str = "surprisal",
        threshold: float = 0.25,
        bits: int = 0,
        budget_bytes_per_s: float = 0.0,
        recipients: int = 1,
        batch_items: int = 0,
        batch_ns: int = 0,
        discretion: Discretion = Discretion(),
    ) -> None:
        if select not in SELECTIONS:
            raise ConfigError(f"select must be one of {', '.join(SELECTIONS)}, got '{select}'")
        if not threshold >= 0:
            raise ConfigError(f"threshold must be >= 0 bits, got {threshold}")
        if bits not in (0, 6, 8):
            raise ConfigError(f"bits must be 0, 6 or 8, got {bits}")
        self.limits, self.select, self.threshold = limits, select, threshold
        narrow = bits == 6 or (bits == 0 and 0 < budget_bytes_per_s < _NARROW_BELOW)
        self.bits = 6 if narrow else 8
        self.budget_bytes_per_s, self.recipients = budget_bytes_per_s, max(1, recipients)
        self.batch_items, self.batch_ns = batch_items, batch_ns
        self.discretion = discretion
        self._rng = rng
        self._pending: list[Told] = []
        self._pending_since_ns = 0
        self._recent: deque[Told] = deque(maxlen=200 if discretion.aggregate > 1 else 0)
        self._raised = 0.0
        self._gap_ns, self._seen, self._last_ns = 0.0, 0, 0
        self._scales: Scales | None = None
        self._scales_at = 0
        self._saturated = 0
        self._merge = compressor("greedy")
        self._known: dict[int, dict[tuple[int, int], Scales]] = {}

    def note(self, sample: Told, model: Model, now_ns: int) -> bool:
        """An own sample was learnt; whether it will be told."""
        self._seen += 1
        if self._seen > 1:
            passed = max(0, sample.event_ns - self._last_ns)
            self._gap_ns += max(1 / (self._seen - 1), 0.01) * (passed - self._gap_ns)
        self._last_ns = max(self._last_ns, sample.event_ns)
        if self._recent.maxlen:
            self._recent.append(sample)
        if self.select == "inserted":
            chosen = sample.inserted
        else:
            chosen = self.select == "all" or sample.surprise > self.threshold
        if self.budget_bytes_per_s:
            affordable = self._affordable()
            chosen = chosen and (affordable >= 1 or sample.surprise > self._raised)
            self._raised = max(0.0, self._raised + _STEP * (chosen - affordable))
        if chosen:
            if not self._pending:
                self._pending_since_ns = now_ns
            self._pending.append(sample)
        return chosen

    def due_ns(self, model: Model) -> int | None:
        """When the batch that waits must go, or None without one."""
        if not self._pending:
            return None
        items, wait_ns = self._batch(model)
        return self._pending_since_ns + (0 if len(self._pending) >= items else wait_ns)

    def seal(self, model: Model, max_bytes: int) -> list[tuple[bytes, int]]:
        """Entries for the log with how many samples each holds: scales if they are new, then what waited."""
        told = sorted(self._pending, key=lambda sample: sample.event_ns)
        self._pending = []
        entries: list[tuple[bytes, int]] = []
        vectors = np.array([self._discreet(sample, model) for sample in told])
        scales = self._scales
        if scales is not None:
            limit = CODE_MAX[scales.bits]
            self._saturated += int((np.abs(vectors / scales.step - scales.offset).max(axis=1) > limit).sum())
        outgrown = self._saturated and self._seen >= 1.25 * self._scales_at + _SATURATED_MAX
        if scales is None or self._seen >= 2 * self._scales_at or outgrown:
            generation = 0 if scales is None else scales.generation + 1
            # Early deviations may be too small for what is about to be told.
            deviation = np.maximum(model.deviation, np.abs(vectors - model.mean).max(axis=0) / _REACH)
            scales = Scales.of(generation, model.mean, deviation, told[0].event_ns, self._gap_ns, self.bits)
            self._scales, self._scales_at, self._saturated = scales, self._seen, 0
            entries.append((scales.encode(), 0))
        items = PrototypeSet(
            vectors,
            np.array([sample.label for sample in told], np.int64),
            np.ones(len(told)),
            np.array([sample.event_ns for sample in told], np.int64),
        )
        payload = encode_items(items, scales, self.limits)
        while len(payload) > max_bytes and len(items) > 1:
            # What does not fit even after merging is left to a summary.
            smaller = self._merged(items, max(1, len(items) // 2))
            items = smaller if len(smaller) < len(items) else items.take(np.arange(len(items) // 2))
            payload = encode_items(items, scales, self.limits)
        entries.append((payload, len(items)))
        return entries

    def summary(self, own: PrototypeSet, model: Model, max_bytes: int) -> tuple[bytes, int] | None:
        """All that the node knows from own samples, merged until it fits; None if nothing does."""
        heavy = own.weight >= self.discretion.weight_min
        own = own.take(np.flatnonzero(heavy))
        size = min(_SUMMARY_ITEMS, len(own))
        scales = self._scales
        if not size or scales is None:
            return None
        while size:
            chosen = self._merged(own, size)
            payload = encode_summary(chosen, scales, self.limits)
            if len(payload) <= min(max_bytes, _SUMMARY_BYTES):
                return payload, len(chosen)
            if len(chosen) > size:  # One a class is left.
                return None
            size //= 2
        return None

    def read(
        self, peer: int, incarnation: int, payload: bytes, brought: dict[int, Scales]
    ) -> tuple[PrototypeSet, Scales | None]:
        """The samples in an entry of ``peer``, and the scales it brings; nothing is remembered until `commit`.

        ``brought`` has the scales, by generation, of earlier entries in the same message.

        Raises
        ------
        CodecError
            The entry is damaged or breaks a limit; as `UnknownScales` if it needs scales that have not come.
        """
        if not payload:
            raise CodecError("an entry is empty")
        kind = payload[0] & 0xF0
        if kind == SCALES:
            return _nothing(self.limits.dim, peer), Scales.decode(payload, self.limits)
        if kind == SUMMARY:
            scales, prototypes = decode_summary(payload, self.limits, peer)
            return prototypes, scales
        if kind != ITEMS:
            raise CodecError(f"unknown kind of entry: {payload[0]:#04x}")
        generation, _ = varint.read(payload, 1)
        known = brought.get(generation) or self._known.get(peer, {}).get((incarnation, generation))
        if known is None:
            raise UnknownScales(f"scales {generation} of node {peer} are not known yet")
        return decode_items(payload, known, self.limits, peer), None

    def commit(self, peer: int, incarnation: int, scales: Scales) -> None:
        """Keep scales that `read` brought."""
        kept = self._known.setdefault(peer, {})
        kept[incarnation, scales.generation] = scales
        while len(kept) > _GENERATIONS_KEPT:
            del kept[min(kept)]

    def _batch(self, model: Model) -> tuple[int, int]:
        use = round(2 * model.recency)
        items, wait_ns = BATCH_ITEMS[use], BATCH_NS[use]
        if self.budget_bytes_per_s:
            size = self._item_bytes() * _HEADER_PART / (1 - _HEADER_PART)
            items, wait_ns = max(items, math.ceil(_HEADER_BYTES / size)), _WAIT_MAX_NS
        return self.batch_items or items, self.batch_ns or wait_ns

    def _item_bytes(self) -> float:
        return 1.5 + self.limits.dim * self.bits / 8

    def _affordable(self) -> float:
        """The part of own samples that the budget has room for."""
        each = self.recipients * self._item_bytes() / (1 - _HEADER_PART)
        per_sample = _BUDGET_PART * self.budget_bytes_per_s * self._gap_ns / SECOND_NS
        return min(1.0, per_sample / each) if self._gap_ns else 1.0

    def _discreet(self, sample: Told, model: Model) -> NDArray[np.float64]:
        x = sample.x
        if self.discretion.aggregate > 1:
            alike = [other.x for other in self._recent if other.label == sample.label and other is not sample]
            if len(alike) >= self.discretion.aggregate - 1:
                deviation = np.where(model.deviation > 0, model.deviation, 1.0)
                far = np.square((np.array(alike) - x) / deviation).sum(axis=1)
                nearest = np.argsort(far, kind="stable")[: self.discretion.aggregate - 1]
                x = (x + np.array(alike)[nearest].sum(axis=0)) / self.discretion.aggregate
        if self.discretion.noise:
            x = x + self.discretion.noise * model.deviation * self._rng.standard_normal(len(x))
        return x

    def _merged(self, prototypes: PrototypeSet, size: int) -> PrototypeSet:
        if len(prototypes) <= size:
            return prototypes
        return self._merge.compress(prototypes, size).prototypes

    def state(self) -> dict[str, Any]:
        """What must be kept to go on after a restart; a batch that waits to be told is not."""
        return {
            "known": [
                [peer, incarnation, scales.encode()]
                for peer, kept in sorted(self._known.items())
                for (incarnation, _), scales in sorted(kept.items(), key=lambda entry: entry[0])
            ],
            "rng": self._rng.bit_generator.state,
            "gap_ns": self._gap_ns,
            "seen": self._seen,
            "last_ns": self._last_ns,
            "raised": self._raised,
            "recent": _packed_samples(list(self._recent), self.limits.dim),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; own scales start anew with the own log."""
        self._rng.bit_generator.state = state["rng"]
        self._gap_ns, self._seen = float(state["gap_ns"]), int(state["seen"])
        self._last_ns, self._raised = int(state["last_ns"]), float(state["raised"])
        for peer, incarnation, data in state["known"]:
            self.commit(peer, incarnation, Scales.decode(data, self.limits))
        recent = decode_set(state["recent"], self.limits)
        for x, label, event_ns in zip(recent.x, recent.label.tolist(), recent.event_ns.tolist(), strict=True):
            self._recent.append(Told(x, label, event_ns, 0.0, False))


def _packed_samples(samples: list[Told], dim: int) -> bytes:
    x = np.array([sample.x for sample in samples]).reshape(len(samples), dim)
    labels = [sample.label for sample in samples]
    return encode_set(PrototypeSet.of(x, labels, event_ns=[sample.event_ns for sample in samples]), "float64")


def _nothing(dim: int, origin: int) -> PrototypeSet:
    return PrototypeSet(np.zeros((0, dim)), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), origin)
