"""Sharing by log: which own samples are worth telling, in what batches, and as which bytes.

A sample is told if it was news to the own model: its surprisal, -log2 p(y|x) before learning, is worth its bytes. With
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
from protovine.errors import CodecError, ConfigError, check_range
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
BATCH_ITEMS, BATCH_NS = (20, 10, 1), (4 * SECOND_NS, 2 * SECOND_NS, SECOND_NS)
_YOUNG = 400  # Own samples until batches have their full size.
# Bits of surprisal that a byte is worth: what takes more bytes to tell must be more of a surprise.
BITS_PER_BYTE = 0.01
# With a budget: a batch waits until headers are at most this part of it, but not for longer than this.
_HEADER_PART, _HEADER_BYTES, _WAIT_MAX_NS = 0.25, 16, 10 * SECOND_NS
# The rest of a budget is for scales, acknowledgements and repairs.
_BUDGET_PART = 0.85
_STEP = 0.1  # Of the threshold that keeps to a budget, in bits per sample.
_SHORT = 1.0  # Bits of that threshold from which the budget counts as small.
_SMOOTHING = 0.2
_SUMMARY_ITEMS = 30
_SUMMARY_BYTES = 4096
_GENERATIONS_KEPT = 8
_SATURATED_MAX = 5  # Own samples between two scales because of vectors that do not fit, at least.
_REACH = 5.0  # Deviations that codes reach.
_NARROW_BELOW = 100.0  # Bytes per second from which 8 bits are worth it.


@dataclass(frozen=True, slots=True)
class LocalSample:
    """An own sample as sharing sees it: ``surprise`` in bits before it was learnt, and whether it was inserted."""

    x: NDArray[np.float64]
    label: int
    event_ns: int
    surprisal: float
    inserted: bool

    @property
    def news(self) -> float:
        """What the model got wrong: 1 less the probability that it gave the true class."""
        return 1.0 - 2.0**-self.surprisal


class LearnerView(NamedTuple):
    """What sharing may ask of the learner: mean (d,) and deviation (d,) of what it learnt, and how it uses recency."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    recency: float


@dataclass(frozen=True, slots=True)
class Privacy:
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
    threshold : float >= 0, optional
        Bits of surprisal above which a sample is told. By default 0.01 for each byte that telling it to a peer takes,
        its part of the header included.
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
        threshold: float | None = None,
        bits: int = 0,
        budget_bytes_per_s: float = 0.0,
        recipients: int = 1,
        batch_items: int = 0,
        batch_ns: int = 0,
        privacy: Privacy = Privacy(),
    ) -> None:
        if select not in SELECTIONS:
            raise ConfigError(f"select must be one of {', '.join(SELECTIONS)}, got '{select}'")
        if threshold is not None:
            check_range("threshold", threshold, 0)
        if bits not in (0, 6, 8):
            raise ConfigError(f"bits must be 0, 6 or 8, got {bits}")
        self.limits, self.select, self.threshold = limits, select, threshold
        narrow = bits == 6 or (bits == 0 and 0 < budget_bytes_per_s < _NARROW_BELOW)
        self.bits = 6 if narrow else 8
        self.budget_bytes_per_s, self.recipients = budget_bytes_per_s, max(1, recipients)
        self.batch_items, self.batch_ns = batch_items, batch_ns
        self.privacy = privacy
        self._rng = rng
        self._pending: list[LocalSample] = []
        self._pending_since_ns = 0
        self._recent: deque[LocalSample] = deque(maxlen=200 if privacy.aggregate > 1 else 0)
        self._raised = 0.0
        self._gap_ns, self._seen, self._last_ns = 0.0, 0, 0
        self._scales: Scales | None = None
        self._scales_at = 0
        self._saturated = 0
        self._each = self._item_bytes()  # As measured.
        self._merge = compressor("greedy")
        self._known: dict[int, dict[tuple[int, int], Scales]] = {}

    def note(self, sample: LocalSample, model: LearnerView, now_ns: int) -> bool:
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
            chosen = self.select == "all" or sample.surprisal > self._bar(model)
        if self.budget_bytes_per_s:
            affordable = self._affordable()
            chosen = chosen and (affordable >= 1 or sample.surprisal > self._raised)
            self._raised = max(0.0, self._raised + _STEP * (chosen - affordable))
        if chosen:
            if not self._pending:
                self._pending_since_ns = now_ns
            self._pending.append(sample)
        return chosen

    @property
    def waits_since_ns(self) -> int | None:
        """When the first sample of the batch that waits came, or None without one."""
        return self._pending_since_ns if self._pending else None

    def due_ns(self, recency: float) -> int | None:
        """When the batch that waits must go, or None without one."""
        if not self._pending:
            return None
        items, wait_ns = self._batch(recency)
        return self._pending_since_ns + (0 if len(self._pending) >= items else wait_ns)

    def seal(self, model: LearnerView, max_bytes: int) -> list[tuple[bytes, int]]:
        """Entries for the log with how many samples each holds: scales if they are new, then what waited.

        None is larger than ``max_bytes``; what does not fit even after merging is left to a summary.
        """
        selected = sorted(self._pending, key=lambda sample: sample.event_ns)
        self._pending = []
        blurred = [(sample, x) for sample in selected if (x := self._discreet(sample, model)) is not None]
        if not blurred:
            return []
        items = PrototypeSet(
            np.array([x for _, x in blurred]),
            np.array([sample.label for sample, _ in blurred], np.int64),
            np.ones(len(blurred)),
            np.array([sample.event_ns for sample, _ in blurred], np.int64),
        )
        entries: list[tuple[bytes, int]] = []
        scales = self._scales_for(items, model)
        if scales is not self._scales:
            entries.append((scales.encode(), 0))
            if len(entries[0][0]) > max_bytes:
                return []  # Nothing could ever be told.
            self._scales = scales
        payload = encode_items(items, scales, self.limits)
        while (len(payload) > max_bytes or len(items) > self.limits.prototypes_max) and len(items) > 1:
            smaller = self._merged(items, max(1, len(items) // 2))
            items = smaller if len(smaller) < len(items) else items.take(np.arange(len(items) // 2))
            payload = encode_items(items, scales, self.limits)
        if len(payload) <= max_bytes:
            entries.append((payload, len(items)))
            self._each += _SMOOTHING * (len(payload) / len(items) - self._each)
        return entries

    def _scales_for(self, items: PrototypeSet, model: LearnerView) -> Scales:
        """The scales in use, or new ones where those no longer do."""
        scales = self._scales
        if scales is not None:
            far = np.abs(items.x / scales.step - scales.offset).max(axis=1)
            self._saturated += int((far > CODE_MAX[scales.bits]).sum())
            outgrown = self._saturated and self._seen >= 1.25 * self._scales_at + _SATURATED_MAX
            if self._seen < 2 * self._scales_at and not outgrown:
                return scales
        # Early deviations may be too small for what is about to be told.
        deviation = np.maximum(model.deviation, np.abs(items.x - model.mean).max(axis=0) / _REACH)
        generation = 1 if scales is None else scales.generation + 1
        made = Scales.of(generation, model.mean, deviation, int(items.event_ns.min()), self._gap_ns, self.bits)
        self._scales_at, worn = self._seen, self._saturated
        self._saturated = 0
        return made if scales is None or worn or made.differs(scales) else scales

    def summary(self, own: PrototypeSet, model: LearnerView, max_bytes: int) -> tuple[bytes, int] | None:
        """All that the node knows from own samples, merged until it fits; the scales alone if it does not.

        With nothing to tell it is empty. None: not even the scales fit.
        """
        scales = self._scales
        if len(own) and scales is None:
            # Nothing was told yet, after a restart. Generation 0 is for this alone.
            base_ns = int(own.event_ns.min())
            scales = Scales.of(0, model.mean, model.deviation, base_ns, self._gap_ns, self.bits)
        if scales is None:
            return b"", 0
        size = min(_SUMMARY_ITEMS, len(own), self.limits.prototypes_max)
        if self.privacy.weight_min:
            # Few enough that most of them weigh enough.
            size = min(size, max(1, int(own.weight.sum() / (2 * self.privacy.weight_min))))
        while size:
            merged = self._merged(own, size)
            chosen = merged.take(np.flatnonzero(merged.weight >= self.privacy.weight_min))
            if not len(chosen):
                break
            payload = encode_summary(chosen, scales, self.limits)
            one_a_class = len(merged) > size or size == 1
            if len(payload) <= (max_bytes if one_a_class else min(max_bytes, _SUMMARY_BYTES)):
                return payload, len(chosen)
            if one_a_class:
                break
            size //= 2
        alone = scales.encode()
        return (alone, 0) if len(alone) <= max_bytes else None

    def read(
        self, peer: int, incarnation: int, payload: bytes, brought: dict[int, Scales]
    ) -> tuple[PrototypeSet, Scales | None]:
        """The samples in an entry of ``peer``, and the scales it brings; nothing is remembered until `commit`.

        An empty entry has none. ``brought`` has the scales, by generation, of earlier entries in the same message.

        Raises
        ------
        CodecError
            The entry is damaged or breaks a limit; as `UnknownScales` if it needs scales that have not come.
        """
        if not payload:
            return PrototypeSet.empty(self.limits.dim, peer), None
        kind = payload[0] & 0xF0
        if kind == SCALES:
            return PrototypeSet.empty(self.limits.dim, peer), Scales.decode(payload, self.limits)
        if kind == SUMMARY:
            scales, prototypes = decode_summary(payload, self.limits, peer)
            return prototypes, scales
        if kind != ITEMS:
            raise CodecError(f"unknown kind of entry: {payload[0]:#04x}")
        generation, _ = varint.read(payload, 1)
        kept = self._known.get(peer, {})
        known = brought.get(generation) or kept.get((incarnation, generation))
        if known is not None:
            return decode_items(payload, known, self.limits, peer), None
        if kept and (incarnation, generation) < min(kept):
            return PrototypeSet.empty(self.limits.dim, peer), None  # Too late to be understood; newer ones are there.
        raise UnknownScales(f"scales {generation} of node {peer} are not known yet")

    def commit(self, peer: int, incarnation: int, scales: Scales) -> None:
        """Keep scales that `read` brought."""
        kept = self._known.setdefault(peer, {})
        kept[incarnation, scales.generation] = scales
        while len(kept) > _GENERATIONS_KEPT:
            del kept[min(kept)]

    def _batch(self, recency: float) -> tuple[int, int]:
        use = round(2 * recency)
        # While little is known, news are worth most; a budget must have room for the headers.
        hasty = not self.budget_bytes_per_s or self._affordable() > 0.5
        young = min(1.0, (self._seen + 1) / _YOUNG) if hasty else 1.0
        items, wait_ns = math.ceil(BATCH_ITEMS[use] * young), round(BATCH_NS[use] * young)
        if self._raised > _SHORT:  # Of a small budget larger batches make more, as they have fewer headers.
            size = self._each * _HEADER_PART / (1 - _HEADER_PART)
            items, wait_ns = max(items, math.ceil(_HEADER_BYTES / size)), _WAIT_MAX_NS
        return self.batch_items or items, self.batch_ns or wait_ns

    def _bar(self, model: LearnerView) -> float:
        """Bits of surprisal from which a sample is told."""
        if self.threshold is not None:
            return self.threshold
        return BITS_PER_BYTE * (self._item_bytes() + _HEADER_BYTES / self._batch(model.recency)[0])

    def _item_bytes(self) -> float:
        return 1.5 + self.limits.dim * self.bits / 8

    def _affordable(self) -> float:
        """The part of own samples that the budget has room for."""
        each = self.recipients * self._each / (1 - _HEADER_PART)
        per_sample = _BUDGET_PART * self.budget_bytes_per_s * self._gap_ns / SECOND_NS
        return min(1.0, per_sample / each) if self._gap_ns else 1.0

    def _discreet(self, sample: LocalSample, model: LearnerView) -> NDArray[np.float64] | None:
        """The vector that is told; None while too few of its class were seen to blur it."""
        x = sample.x
        k = self.privacy.aggregate
        if k > 1:
            alike = [other.x for other in self._recent if other.label == sample.label and other is not sample]
            if len(alike) < k - 1:
                return None
            others = np.array(alike)
            deviation = np.where(model.deviation > 0, model.deviation, 1.0)
            far = np.square((others - x) / deviation).sum(axis=1)
            x = (x + others[np.argsort(far, kind="stable")[: k - 1]].sum(axis=0)) / k
        if self.privacy.noise:
            x = x + self.privacy.noise * model.deviation * self._rng.standard_normal(len(x))
        return x

    def _merged(self, prototypes: PrototypeSet, size: int) -> PrototypeSet:
        if len(prototypes) <= size:
            return prototypes
        return self._merge.compress(prototypes, size).prototypes

    def state(self) -> dict[str, Any]:
        """What must be kept to go on after a restart."""
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
            "pending": _packed_samples(self._pending, self.limits.dim),
            "pending_since_ns": self._pending_since_ns,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``; own scales start anew with the own log."""
        self._rng.bit_generator.state = state["rng"]
        self._gap_ns, self._seen = float(state["gap_ns"]), int(state["seen"])
        self._last_ns, self._raised = int(state["last_ns"]), float(state["raised"])
        for peer, incarnation, data in state["known"]:
            self.commit(peer, incarnation, Scales.decode(data, self.limits))
        self._recent.extend(_unpacked_samples(state["recent"], self.limits))
        self._pending = _unpacked_samples(state["pending"], self.limits)
        self._pending_since_ns = int(state["pending_since_ns"])


def _packed_samples(samples: list[LocalSample], dim: int) -> bytes:
    x = np.array([sample.x for sample in samples]).reshape(len(samples), dim)
    labels = [sample.label for sample in samples]
    return encode_set(PrototypeSet.of(x, labels, event_ns=[sample.event_ns for sample in samples]), "float64")


def _unpacked_samples(data: bytes, limits: SetLimits) -> list[LocalSample]:
    """What was packed; how much of a surprise it was is not needed any more."""
    held = decode_set(data, limits)
    columns = zip(held.x, held.label.tolist(), held.event_ns.tolist(), strict=True)
    return [LocalSample(x, label, event_ns, 0.0, False) for x, label, event_ns in columns]
