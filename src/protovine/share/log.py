"""Sharing by log: which local samples are worth sending, in which batches, and as which bytes.

A sample is shared if its surprisal, -log2 p(y|x) by the model before it learnt the sample, is worth its bytes. With a
byte budget the threshold rises until the budget suffices. Samples travel in batches. Batches are smaller when the
model relies more on recent samples.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from protovine import varint
from protovine.compress import compressor
from protovine.errors import CodecError, ConfigError, check_range
from protovine.logscale import LINEAR, LogScales, from_log, to_log
from protovine.prototypes import PrototypeSet
from protovine.records import SECOND_NS
from protovine.share.codec import SetLimits, decode_set, encode_set
from protovine.share.grid import Grids
from protovine.share.items import ITEMS, SUMMARY, Decoder, UnknownScales, encode_items, encode_summary, excess_bytes
from protovine.share.scales import BITS, SCALES, Scales

SELECTIONS = ("surprisal", "inserted", "all")
# Samples in a batch and its longest wait, while the learner's best expert discounts by age**0, age**-1/2 and age**-1.
BATCH_ITEMS, BATCH_NS = (20, 10, 1), (4 * SECOND_NS, 2 * SECOND_NS, SECOND_NS)
_YOUNG = 400  # Local samples until batches have their full size.
# Bits of surprisal that a byte must be worth: a sample that takes more bytes needs a larger surprisal.
BITS_PER_BYTE = 0.006
# With a budget, a batch waits until headers are at most this part of its bytes, and no longer than the maximum.
_HEADER_PART, _HEADER_BYTES, _WAIT_MAX_NS = 0.25, 16, 10 * SECOND_NS
_BUDGET_PART = 0.85  # Part of a budget for samples; the rest is for scales, acknowledgements and repairs.
_STEP = 0.1  # Step of the threshold that keeps to a budget, in bits per sample.
_SHORT = 1.0  # A budget counts as small from this threshold on, in bits.
_SMOOTHING = 0.2  # Weight of the newest batch in the mean bytes per sample.
_SUMMARY_ITEMS = 30  # Prototypes in a summary: enough for a newcomer, in a few hundred bytes.
_SUMMARY_BYTES = 4096
_GENERATIONS_KEPT = 8  # Scales of a peer that are remembered: entries that were delayed may need old ones.
_SPREAD = 5.0  # Greatest distance from the mean that is expected, in standard deviations.


@dataclass(frozen=True, slots=True)
class LocalSample:
    """A learnt local sample: its ``surprisal`` in bits before it was learnt, and whether it became a prototype."""

    x: NDArray[np.float64]
    label: int
    event_ns: int
    surprisal: float
    inserted: bool

    @property
    def error(self) -> float:
        """1 - p(y|x) by the model before it learnt the sample, in [0, 1]."""
        return 1.0 - float(2.0**-self.surprisal)


class LearnerView(NamedTuple):
    """What sharing needs of a learner: its use of recency, and mean (d,) and standard deviation (d,) of its samples.

    Features of ``log_scales`` are skewed amounts; they have both on their logarithmic scales.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    recency: float
    log_scales: LogScales = LINEAR


@dataclass(frozen=True, slots=True)
class Privacy:
    """How samples are protected before they are shared.

    Parameters
    ----------
    microaggregation : int >= 1
        A shared vector is the mean of this many recent local samples of one class: the sample and its nearest ones.
    noise : float >= 0
        Standard deviation of added Gaussian noise, in standard deviations of each feature.
    weight_min : float >= 0
        Prototypes in summaries stand for at least this many samples.
    """

    microaggregation: int = 1
    noise: float = 0.0
    weight_min: float = 0.0

    @property
    def changes_values(self) -> bool:
        """Whether shared vectors differ from local ones."""
        return self.microaggregation > 1 or self.noise > 0


class Suitable(NamedTuple):
    """The size in bytes of a message that suits what sends it, and the header in it."""

    size: int
    header: int

    @property
    def room(self) -> int:
        """Bytes of samples in such a message."""
        return max(1, self.size - self.header)


class LogShare:
    """Selects, quantises and batches local samples, and decodes those of peers.

    Parameters
    ----------
    limits : SetLimits
        Bounds on received samples.
    rng : numpy Generator
        Draws the noise of ``privacy``.
    select : {"surprisal", "inserted", "all"}
        Which local samples are shared.
    threshold : float >= 0, optional
        Bits of surprisal above which a sample is shared. By default 0.006 for each byte that it takes, including its
        part of the header.
    bits : int in 4..8
        Width of a quantised feature. Features whose values lie on a grid take the bits that they need, unless
        ``privacy`` changes the values.
    budget_bytes_per_s : float >= 0
        Bytes per second that the node may send to all its ``recipients`` peers together; 0 is no limit.
    suitable : Suitable, optional
        A batch closes before it fills more than such a message, as far as single samples allow.
    batch_items, batch_ns : int
        Samples in a batch and its longest wait; 0 lets the learner's use of recency decide.
    privacy : Privacy
    decoder : Decoder, optional
        Decodes what peers share; the nodes of a simulation have one together.

    Raises
    ------
    ConfigError
        A parameter is out of range.

    Examples
    --------
    >>> def made() -> LogShare:
    ...     return LogShare(SetLimits(dim=1, n_classes=2), np.random.default_rng(0), threshold=1.0, batch_items=2)
    >>> ann, bob, model = made(), made(), LearnerView(np.zeros(1), np.ones(1), recency=0.0)
    >>> samples = [LocalSample(np.array([0.5]), 1, at_ns, bits, True) for at_ns, bits in ((10, 2.0), (20, 0.1))]
    >>> [ann.note(sample, model, now_ns=sample.event_ns) for sample in samples]
    [True, False]
    >>> (scales, _), (items, _) = ann.seal(model, max_bytes=1000)
    >>> _, known = bob.read(0, 1, scales, {})
    >>> bob.commit(0, 1, known)
    >>> bob.read(0, 1, items, {})[0].label.tolist()
    [1]
    """

    def __init__(
        self,
        limits: SetLimits,
        rng: np.random.Generator,
        *,
        select: str = "surprisal",
        threshold: float | None = None,
        bits: int = BITS,
        budget_bytes_per_s: float = 0.0,
        recipients: int = 1,
        suitable: Suitable | None = None,
        batch_items: int = 0,
        batch_ns: int = 0,
        privacy: Privacy = Privacy(),
        decoder: Decoder | None = None,
    ) -> None:
        if select not in SELECTIONS:
            raise ConfigError(f"select must be one of {', '.join(SELECTIONS)}, got '{select}'")
        if threshold is not None:
            check_range("threshold", threshold, 0)
        check_range("bits", bits, 4, 8)
        self.limits, self.select, self.threshold = limits, select, threshold
        self.bits = bits
        self.budget_bytes_per_s, self.recipients = budget_bytes_per_s, max(1, recipients)
        self.batch_items, self.batch_ns, self.suitable = batch_items, batch_ns, suitable
        self.privacy = privacy
        self._decoder = decoder or Decoder()
        self._rng = rng
        self._pending: list[LocalSample] = []
        self._pending_since_ns = 0
        self._recent: deque[LocalSample] = deque(maxlen=200 if privacy.microaggregation > 1 else 0)
        self._raised = 0.0
        self._gap_ns, self._seen, self._last_ns = 0.0, 0, 0
        self._scales: Scales | None = None
        self._scales_at = 0
        self._excess_bytes, self._scales_bytes = 0, 0
        self._grids = None if privacy.changes_values else Grids(limits.dim)
        self._each = self._item_bytes()  # Mean bytes per sample; measured from the first batch on.
        self._merge = compressor("greedy")
        self._known: dict[int, dict[tuple[int, int], Scales]] = {}

    def note(self, sample: LocalSample, model: LearnerView, now_ns: int) -> bool:
        """A local sample was learnt; returns whether it will be shared."""
        self._seen += 1
        if self._grids is not None:
            self._grids.note(sample.x)
        if self._seen > 1:
            passed = max(0, sample.event_ns - self._last_ns)
            self._gap_ns += max(1 / (self._seen - 1), 0.01) * (passed - self._gap_ns)
        self._last_ns = max(self._last_ns, sample.event_ns)
        if self._recent.maxlen:
            self._recent.append(sample)
        if self.select == "inserted":
            chosen = sample.inserted
        else:
            chosen = self.select == "all" or sample.surprisal > self._threshold(model)
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
        """When the waiting batch got its first sample, or None without a batch."""
        return self._pending_since_ns if self._pending else None

    def due_ns(self, recency: float) -> int | None:
        """When the waiting batch must be sent, or None without a batch."""
        if not self._pending:
            return None
        items, wait_ns = self._batch(recency)
        return self._pending_since_ns + (0 if len(self._pending) >= items else wait_ns)

    def seal(self, model: LearnerView, max_bytes: int) -> list[tuple[bytes, int]]:
        """Close the waiting batch: entries for the log (payload, samples in it), new scales first.

        No entry is larger than ``max_bytes``. Samples that do not fit even after merging are left to a summary.
        """
        pending = sorted(self._pending, key=lambda sample: sample.event_ns)
        self._pending = []
        chosen = [(sample, x) for sample in pending if (x := self._protected(sample, model)) is not None]
        if not chosen:
            return []
        items = PrototypeSet(
            np.array([x for _, x in chosen]),
            np.array([sample.label for sample, _ in chosen], np.int64),
            np.ones(len(chosen)),
            np.array([sample.event_ns for sample, _ in chosen], np.int64),
        )
        entries: list[tuple[bytes, int]] = []
        scales = self._scales_for(items, model)
        if scales is not self._scales:
            entries.append((scales.encode(), 0))
            if len(entries[0][0]) > max_bytes:
                return []  # Nothing can ever be sent.
            self._scales, self._scales_bytes, self._excess_bytes = scales, len(entries[0][0]), 0
        payload = encode_items(items, scales, self.limits)
        while (len(payload) > max_bytes or len(items) > self.limits.prototypes_max) and len(items) > 1:
            smaller = self._merged(items, max(1, len(items) // 2), model.log_scales)
            items = smaller if len(smaller) < len(items) else items.take(np.arange(len(items) // 2))
            payload = encode_items(items, scales, self.limits)
        if len(payload) <= max_bytes:
            entries.append((payload, len(items)))
            self._each += _SMOOTHING * (len(payload) / len(items) - self._each)
            self._excess_bytes += excess_bytes(payload, self.limits)
        return entries

    def _scales_for(self, items: PrototypeSet, model: LearnerView) -> Scales:
        """The scales in use, or new ones if ``items`` no longer fit them."""
        scales = self._scales
        # Values beyond the codes' width may cost as many bytes as the new scales that they need.
        worn = self._excess_bytes > self._scales_bytes
        if scales is not None:
            worn = worn or not scales.log_scales.same_as(model.log_scales.without(np.flatnonzero(scales.grid)))
            worn = worn or scales.misfits(items.x, self._tolerated(model))
            if self._seen < 2 * self._scales_at and not worn:
                return scales
        # Early deviations may be too small for these samples.
        reached = np.abs(to_log(items.x, model.log_scales) - model.mean).max(axis=0)
        deviation = np.maximum(model.deviation, reached / _SPREAD)
        generation = 1 if scales is None else scales.generation + 1
        lattice = self._grids.lattice() if self._grids is not None else None
        base_ns = int(items.event_ns.min())
        made = Scales.of(generation, model.mean, deviation, base_ns, self._gap_ns, self.bits, lattice, model.log_scales)
        self._scales_at = self._seen
        return made if scales is None or worn or made.differs(scales) else scales

    def _tolerated(self, model: LearnerView) -> NDArray[np.float64]:
        """The deviations by which values may be beside their grids: none of amounts, whose deviation is another."""
        deviation = model.deviation.copy()
        deviation[model.log_scales.columns] = 0.0
        return deviation

    def summary(self, own: PrototypeSet, model: LearnerView, max_bytes: int) -> tuple[bytes, int] | None:
        """The local prototypes, merged until they fit ``max_bytes``: (payload, prototypes in it).

        If not even one per class fits, the payload holds only the scales; without prototypes it is empty. None if the
        scales do not fit.
        """
        scales = self._scales
        if len(own) and scales is None:
            # Nothing was shared since a restart. Generation 0 is reserved for this case.
            base_ns = int(own.event_ns.min())
            scales = Scales.of(
                0, model.mean, model.deviation, base_ns, self._gap_ns, self.bits, log_scales=model.log_scales
            )
        if scales is None:
            return b"", 0
        size = min(_SUMMARY_ITEMS, len(own), self.limits.prototypes_max)
        if self.privacy.weight_min:
            # Few enough that most of them reach the least weight.
            size = min(size, max(1, int(own.weight.sum() / (2 * self.privacy.weight_min))))
        while size:
            merged = self._merged(own, size, model.log_scales)
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
        only_scales = scales.encode()
        return (only_scales, 0) if len(only_scales) <= max_bytes else None

    def read(
        self, peer: int, incarnation: int, payload: bytes, new_scales: dict[int, Scales]
    ) -> tuple[PrototypeSet, Scales | None]:
        """Decode an entry of ``peer``: its samples and its scales, either of which may be missing.

        Nothing is remembered until `commit`. ``new_scales`` holds the scales of earlier entries in the same
        message, by generation.

        Raises
        ------
        CodecError
            The entry is damaged or breaks a limit; `UnknownScales` if the scales that it needs have not arrived.
        """
        if not payload:
            return PrototypeSet.empty(self.limits.dim, peer), None
        kind = payload[0] & 0xF0
        if kind == SCALES:
            return PrototypeSet.empty(self.limits.dim, peer), self._decoder.scales(payload, self.limits)
        if kind == SUMMARY:
            scales, prototypes = self._decoder.summary(payload, self.limits, peer)
            return prototypes, scales
        if kind != ITEMS:
            raise CodecError(f"unknown kind of entry: {payload[0]:#04x}")
        generation, _ = varint.read(payload, 1)
        kept = self._known.get(peer, {})
        known = new_scales.get(generation) or kept.get((incarnation, generation))
        if known is not None:
            return self._decoder.items(payload, known, self.limits, peer), None
        if kept and (incarnation, generation) < min(kept):
            return PrototypeSet.empty(self.limits.dim, peer), None  # Its scales are forgotten; newer entries are there.
        raise UnknownScales(f"scales {generation} of node {peer} are not known yet")

    def commit(self, peer: int, incarnation: int, scales: Scales) -> None:
        """Remember scales that `read` returned."""
        kept = self._known.setdefault(peer, {})
        kept[incarnation, scales.generation] = scales
        while len(kept) > _GENERATIONS_KEPT:
            del kept[min(kept)]

    def forget(self, peer: int) -> None:
        """Forget the scales of a peer: until it sends new ones, its entries cannot be read."""
        self._known.pop(peer, None)

    def _batch(self, recency: float) -> tuple[int, int]:
        use = round(2 * recency)
        # Early samples are worth most, so first batches are small; a budget must have room for their headers.
        hasty = not self.budget_bytes_per_s or self._affordable() > 0.5
        young = min(1.0, (self._seen + 1) / _YOUNG) if hasty else 1.0
        items, wait_ns = math.ceil(BATCH_ITEMS[use] * young), round(BATCH_NS[use] * young)
        if self._raised > _SHORT:  # Larger batches need fewer headers: a small budget carries more samples.
            size = self._each * _HEADER_PART / (1 - _HEADER_PART)
            items, wait_ns = max(items, math.ceil(_HEADER_BYTES / size)), _WAIT_MAX_NS
            if self.suitable is not None:  # A small budget saves for a full message.
                wait_ns = max(wait_ns, round(self.suitable.size / self.budget_bytes_per_s * SECOND_NS))
        items = self.batch_items or items
        if self.suitable is not None:
            items = max(1, min(items, int(self.suitable.room / self._each)))
        return items, self.batch_ns or wait_ns

    def _threshold(self, model: LearnerView) -> float:
        """Bits of surprisal above which a sample is shared."""
        if self.threshold is not None:
            return self.threshold
        return BITS_PER_BYTE * (self._item_bytes() + _HEADER_BYTES / self._batch(model.recency)[0])

    def _item_bytes(self) -> float:
        codes = self.limits.dim * self.bits / 8 if self._scales is None else self._scales.row_bytes
        return 1.5 + codes

    def _affordable(self) -> float:
        """The fraction of local samples that the budget has room for."""
        headers = _HEADER_PART if self.suitable is None else 1 - self.suitable.room / self.suitable.size
        each = self.recipients * self._each / (1 - headers)
        per_sample = _BUDGET_PART * self.budget_bytes_per_s * self._gap_ns / SECOND_NS
        return min(1.0, per_sample / each) if self._gap_ns else 1.0

    def _protected(self, sample: LocalSample, model: LearnerView) -> NDArray[np.float64] | None:
        """The shared vector; None while too few samples of its class were seen for microaggregation."""
        if not self.privacy.changes_values:
            return sample.x
        x, k = to_log(sample.x, model.log_scales), self.privacy.microaggregation
        if k > 1:
            alike = [other.x for other in self._recent if other.label == sample.label and other is not sample]
            if len(alike) < k - 1:
                return None
            others = to_log(np.array(alike), model.log_scales)
            deviation = np.where(model.deviation > 0, model.deviation, 1.0)
            far = np.square((others - x) / deviation).sum(axis=1)
            x = (x + others[np.argsort(far, kind="stable")[: k - 1]].sum(axis=0)) / k
        if self.privacy.noise:
            x = x + self.privacy.noise * model.deviation * self._rng.standard_normal(len(x))
        return from_log(x, model.log_scales)

    def _merged(self, prototypes: PrototypeSet, size: int, log_scales: LogScales) -> PrototypeSet:
        if len(prototypes) <= size:
            return prototypes
        merged = self._merge.compress(structs.replace(prototypes, x=to_log(prototypes.x, log_scales)), size).prototypes
        return structs.replace(merged, x=from_log(merged.x, log_scales))

    def begin_log(self) -> None:
        """A new log begins, which needs scales of its own."""
        self._scales, self._scales_at, self._scales_bytes, self._excess_bytes = None, 0, 0, 0

    def shift(self, by_ns: int) -> None:
        """The clock was set: times of local samples move with it."""
        self._last_ns += by_ns
        self._pending_since_ns += by_ns
        self._pending = [replace(sample, event_ns=sample.event_ns + by_ns) for sample in self._pending]

    def state(self) -> dict[str, Any]:
        """Everything that must be kept to continue after a restart."""
        return {
            "scales": [
                [peer, incarnation, scales.encode()]
                for peer, kept in sorted(self._known.items())
                for (incarnation, _), scales in sorted(kept.items(), key=lambda entry: entry[0])
            ],
            "grids": self._grids.state() if self._grids is not None else None,
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
        """Continue from ``state``; a new log begins with new scales."""
        self._rng.bit_generator.state = state["rng"]
        self._gap_ns, self._seen = float(state["gap_ns"]), int(state["seen"])
        self._last_ns, self._raised = int(state["last_ns"]), float(state["raised"])
        for peer, incarnation, data in state.get("scales", []):
            self.commit(peer, incarnation, self._decoder.scales(data, self.limits))
        # Version 0.2.0 knew no grids, and kept the scales of peers in a form that it alone read: they send them again.
        if self._grids is not None and state.get("grids"):
            self._grids.restore(state["grids"])
        self._recent.extend(_unpacked_samples(state["recent"], self.limits))
        self._pending = _unpacked_samples(state["pending"], self.limits)
        self._pending_since_ns = int(state["pending_since_ns"])


def _packed_samples(samples: list[LocalSample], dim: int) -> bytes:
    x = np.array([sample.x for sample in samples]).reshape(len(samples), dim)
    labels = [sample.label for sample in samples]
    return encode_set(PrototypeSet.of(x, labels, event_ns=[sample.event_ns for sample in samples]), "float64")


def _unpacked_samples(data: bytes, limits: SetLimits) -> list[LocalSample]:
    """The packed samples; their surprisal is not needed any more."""
    held = decode_set(data, limits)
    columns = zip(held.x, held.label.tolist(), held.event_ns.tolist(), strict=True)
    return [LocalSample(x, label, event_ns, 0.0, False) for x, label, event_ns in columns]
