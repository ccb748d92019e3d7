"""The hedged soft LVQ in plain NumPy, written from its description: slow, and equal to the kernels but for rounding."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from statistics import NormalDist

import numpy as np

from protovine.learn import HedgedLVQCore
from protovine.learn.hedged.experts import (
    BANDWIDTH_MIN,
    CORRELATED,
    DISCRIMINANT,
    LINEAR,
    MIXED,
    N_BANDWIDTHS,
    N_EXPERTS,
    N_INPUTS,
    N_METRICS,
    N_RECENCIES,
    N_VARIANTS,
    RELIEF,
    Z_SCORE,
)
from protovine.learn.hedged.hedge import LABEL_DECAY, RARITY_MAX, TIE
from protovine.learn.hedged.linear import LEARNING_RATE, Z_MAX
from protovine.learn.hedged.metrics import DEVIATIONS_MAX
from protovine.learn.hedged.placement import MOVE_MIN
from protovine.learn.hedged.pool import INPUT_MIN, POOL_DECAY, POOL_LOSS_DECAY, POOL_PRIOR
from protovine.learn.hedged.recency import AGE_MIN
from protovine.learn.hedged.relevance import RELIEF_DECAY
from protovine.learn.hedged.state import BURST
from protovine.learn.hedged.steps import WEIGHT_MAX
from protovine.learn.hedged.trust import (
    ABSURD,
    AGREEMENT_DECAY,
    AGREEMENT_PRIOR,
    EVIDENCE_MIN,
    FAR_MAX,
    FAR_RATE,
    FLOOD_COST,
    HEAD_START,
    HEAD_START_ITEMS,
    JUDGE_DOUBT,
    LABELS_KNOWN,
    LABELS_PART,
    LOCAL_FIRST,
    PROOF_NEEDED,
    SLACK,
    STEEPNESS,
    SURPRISE_VARIANCE_MIN,
    SURPRISING_PRIOR,
    SURPRISING_PROBA,
    TRUST_PRIOR,
    USELESS,
    VARIANCE_PRIOR,
)
from protovine.learn.hedged.votes import DOUBT, NEGLIGIBLE

EXPONENT_MIN = -700.0  # Of `lanes.exponential`, whose least value is above 0.
POWERS = np.array([0.0, 0.5, 1.0])  # of age, by which masses are discounted
RAW, CORRECTED, LOCAL = range(3)


@dataclass
class Prototype:
    x: np.ndarray
    label: int
    slot: int
    event: int
    local: np.ndarray = field(default_factory=lambda: np.zeros(3))
    received: np.ndarray = field(default_factory=lambda: np.zeros(3))


class Twin:
    def __init__(self, core: HedgedLVQCore, senders: int = 0) -> None:
        """A twin of the new learner ``core``, with its constants, for ``senders`` other nodes."""
        self.o, self.size_max, self.d, self.n_classes = core._options, core.size_max, core.dim, core.n_classes
        d, n_classes = self.d, self.n_classes
        self.active = core._state.active.copy()
        self.wide = core._state.scatter.shape[0] == 0
        self.held: list[Prototype] = []
        self.metrics = [np.diag(np.full(d, d**-0.5)) for _ in range(3)] + [np.zeros((n_classes, d))]
        self.n, self.mean, self.scatter = 0.0, np.zeros(d), np.zeros((d, d))
        self.class_n, self.class_mean = np.zeros(n_classes), np.zeros((n_classes, d))
        self.class_scatter = np.zeros((n_classes, d, d))
        self.gaussians: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.usable = np.zeros(d, bool)
        self.pooling = core._state.pooling.copy()
        self.pool_weight, self.curvature, self.pool_loss = np.zeros(N_INPUTS), np.zeros((N_INPUTS, N_INPUTS)), 0.0
        self.transition, self.last = np.zeros((n_classes, n_classes)), -1
        self.bins = core._state.pairs.shape[2]
        self.edges = np.array([NormalDist().inv_cdf(i / self.bins) for i in range(1, self.bins)])
        # Single precision, and later samples count more instead of earlier ones less, so that roundings are the same.
        self.pairs = np.zeros((n_classes, d, self.bins, d, self.bins), np.float32)
        self.pairs_age = 0.0
        self.local_rows: list[np.ndarray] = []
        self.relief, self.relevance = np.zeros((2, d)), np.zeros(d)
        self.linear = np.zeros((n_classes, d + 1))
        self.loss, self.balanced_loss = np.zeros(N_EXPERTS), np.zeros((N_METRICS, N_BANDWIDTHS, N_RECENCIES))
        self.best_metric = self.best_expert = 0
        self.recent = np.zeros(n_classes)
        self.evidence, self.noise = np.zeros(senders + 1), np.zeros(senders + 1)
        self.agreement, self.agreement_noise = np.zeros(senders + 1), np.zeros(senders + 1)
        self.surprises: list[float] = []
        self.bucket = np.full(senders + 1, BURST)
        self.offered, self.allowed = np.zeros(senders + 1), 0
        self.far = np.zeros(senders + 1)
        self.near = True  # Whether the received sample lies in the local range.
        self.gap, self.newest_local, self.local_count = 0.0, 0, 0
        self.steps = self.refresh_at = 0

    # Trust in a sender's mass, and proof that its items need to change moments and experts.

    @property
    def trust(self) -> np.ndarray:
        if not self.o.trusting:
            return np.ones(len(self.evidence))
        trust = logistic(TRUST_PRIOR + STEEPNESS * self.useful)
        trust[self.far > FAR_MAX] = 0.0
        trust[0] = 1.0
        return trust

    def proven(self, slot: int) -> float:
        if slot == 0 or not self.o.trusting:
            return 1.0
        if not self.local_count:
            return float(self.trust[slot])
        if not self.near or self.far[slot] > FAR_MAX or self.local_count < LOCAL_FIRST:
            return 0.0
        agrees = self.agreement / np.sqrt(AGREEMENT_PRIOR + self.agreement_noise)
        agrees = agrees + HEAD_START * HEAD_START_ITEMS / (HEAD_START_ITEMS + self.offered)
        return float(logistic(STEEPNESS * (agrees + np.maximum(self.useful, USELESS) - PROOF_NEEDED))[slot])

    @property
    def useful(self) -> np.ndarray:
        """Evidence in standard deviations."""
        return self.evidence / np.sqrt(VARIANCE_PRIOR + self.noise)

    # Prediction.

    @property
    def variance(self) -> np.ndarray:
        return np.diag(self.scatter) / max(self.n, 1.0)

    def distances(self, x: np.ndarray) -> np.ndarray:
        """(prototypes, metrics)"""
        difference = x - np.array([p.x for p in self.held])
        return np.stack([np.square(difference @ rows.T).sum(axis=1) for rows in self.metrics], axis=1)

    def age(self, now: int, event: int, least: float) -> float:
        return 1.0 if self.gap <= 0 else least + max(now - event, 0) / self.gap

    def z_scores(self, x: np.ndarray) -> np.ndarray:
        deviation = np.sqrt(self.variance)
        z = np.divide(x - self.mean, deviation, out=np.zeros(self.d), where=deviation > 0)
        return np.clip(z, -Z_MAX, Z_MAX)

    def linear_vote(self, x: np.ndarray) -> np.ndarray:
        logits = self.linear[:, :-1] @ self.z_scores(x) + self.linear[:, -1]
        p = np.exp(logits - logits.max())
        return 0.99 * p / p.sum() + 0.01 / self.n_classes

    def predict(self, x: np.ndarray, now: int, follows: bool = True) -> np.ndarray:
        """Probabilities (classes,); leaves the experts' for learning. Whether the sample ``follows`` the last label."""
        if not self.held:
            self.table = np.full((N_EXPERTS, self.n_classes), 1 / self.n_classes)
            return np.zeros(self.n_classes)
        distance = self.distances(x)
        beta = BANDWIDTH_MIN * 4.0 ** np.arange(N_BANDWIDTHS)
        # (bandwidths, prototypes, metrics). However far a prototype is, it votes with the widest bandwidth.
        kernel = np.exp(np.maximum(-beta[:, None, None] * (distance - distance.min(axis=0)), EXPONENT_MIN))
        kernel[1:][kernel[:-1] < NEGLIGIBLE] = 0.0
        labels = np.array([p.label for p in self.held])
        slots = np.array([p.slot for p in self.held])
        age = np.array([self.age(now, p.event, AGE_MIN) for p in self.held])
        discount = age[:, None] ** -POWERS
        local = np.array([p.local for p in self.held]) * discount
        received = np.array([p.received for p in self.held]) * discount
        mass = local + self.trust[slots][:, None] * received
        frequency = (self.recent + 0.5) / (self.recent.sum() + 0.5 * self.n_classes)
        one_hot = labels[:, None] == np.arange(self.n_classes)
        self.table = np.zeros((N_EXPERTS, self.n_classes))
        shape = (N_METRICS, N_BANDWIDTHS, N_RECENCIES, N_VARIANTS)
        # All metrics and bandwidths at once.
        for recency, variant in product(range(N_RECENCIES), range(N_VARIANTS)):
            counted = local if variant == LOCAL else mass
            z = counted[:, recency, None] * kernel  # (bandwidths, prototypes, metrics)
            votes = np.einsum("bpm,pc->mbc", z, one_hot)
            square = np.divide(z**2, counted[:, :1], out=np.zeros_like(z), where=counted[:, :1] > 0).sum(axis=1).T
            total = votes.sum(axis=2)
            effective = np.divide(total**2, square, out=np.zeros_like(total), where=(square > 0) & (total > 0))
            ratio = np.ones(self.n_classes)
            if variant != RAW:
                by_class = counted[:, recency] @ one_hot
                ratio = np.zeros(self.n_classes)
                np.divide(frequency * by_class.sum(), by_class, out=ratio, where=by_class > 0)
            votes = votes * ratio
            total = votes.sum(axis=2)
            effective[total <= 0] = 0.0
            effective = effective[:, :, None]
            scaled = np.divide(votes, total[:, :, None], out=np.zeros_like(votes), where=total[:, :, None] > 0)
            experts = (effective * scaled + DOUBT / self.n_classes) / (effective + DOUBT)
            self.table[:LINEAR].reshape(*shape, -1)[:, :, recency, variant] = experts
            metric, bandwidth, *best = np.unravel_index(self.best_expert, shape)
            if [recency, variant] == best:
                untrusted = (received[:, recency] * kernel[bandwidth, :, metric])[:, None] * one_hot * ratio
                by_sender = np.array([untrusted[slots == slot].sum(axis=0) for slot in range(len(self.evidence))])
                self.judged = (votes[metric, bandwidth], by_sender, float(effective[metric, bandwidth, 0]))
                by_class = mass[:, recency] @ one_hot
                self.balance = np.divide(1.0, by_class, out=np.zeros(self.n_classes), where=by_class > 0)
                if variant == CORRECTED:
                    self.balance = np.where(by_class > 0, 1.0 / frequency, 0.0)
        self.table[LINEAR] = self.linear_vote(x)
        groups = np.arange(LINEAR).reshape(shape)
        mixed = [np.arange(N_EXPERTS)]
        mixed += [groups[metric].ravel() for metric in range(N_METRICS)]
        mixed += [groups[:, :, recency].ravel() for recency in range(N_RECENCIES)]
        inputs = [self.mean_of(experts) for experts in mixed]
        inputs += [self.table[LINEAR], *self.gaussian_votes(x)]
        self.inputs = np.log(np.maximum(inputs, INPUT_MIN))
        ratio = np.ones(self.n_classes)
        if follows and self.last >= 0:
            counts = self.transition[self.last] + 3 * frequency
            ratio = counts / counts.sum() / frequency
        self.inputs = np.vstack([self.inputs, np.log(ratio), np.log(np.maximum(self.dependence_vote(x), INPUT_MIN))])
        self.inputs[~self.pooling] = 0.0
        if not self.pooling[MIXED]:
            return inputs[MIXED]
        logits = self.inputs[MIXED] + self.pool_weight @ self.inputs
        self.pooled = np.exp(logits - logits.max())
        self.pooled /= self.pooled.sum()
        return inputs[MIXED] + logistic(-self.pool_loss) * (self.pooled - inputs[MIXED])

    def mean_of(self, experts: np.ndarray) -> np.ndarray:
        experts = experts[self.active[experts]]
        if not len(experts):
            return np.ones(self.n_classes)
        weight = np.exp(self.loss[experts].min() - self.loss[experts])
        return weight @ self.table[experts] / weight.sum()

    def gaussian_votes(self, x: np.ndarray) -> list[np.ndarray]:
        """Probabilities of naive Bayes and of the quadratic discriminant."""
        votes = []
        z = self.z_scores(x)[self.usable]
        for kind in range(2):
            density = np.full(self.n_classes, -np.inf)
            for c, (mean, covariance) in self.gaussians.items():
                covariance = covariance if kind == CORRELATED else np.diag(np.diag(covariance))
                far = (z - mean) @ np.linalg.solve(covariance, z - mean)
                density[c] = np.log(self.recent[c] + 0.5) - 0.5 * (far + np.linalg.slogdet(covariance)[1])
            p = np.exp(density - density.max()) if self.gaussians else np.ones(self.n_classes)
            votes.append(0.98 * p / p.sum() + 0.02 / self.n_classes)
        return votes

    def bins_of(self, x: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.edges, self.z_scores(x), side="right")

    def dependence_vote(self, x: np.ndarray) -> np.ndarray:
        """Probabilities of the averaged one-dependence estimators."""
        at = np.flatnonzero(self.usable)
        if not len(at) or not self.bins:
            return np.ones(self.n_classes)
        codes = self.bins_of(x)
        votes = np.zeros(self.n_classes)
        for c, counts in enumerate(self.pairs * np.exp(-self.pairs_age)):
            class_total = sum(counts[at[0], v, at[0], v] for v in range(self.bins))
            for a in at:
                seen = counts[a, codes[a], a, codes[a]]
                parent = (seen + 0.3) / (class_total + 0.3 * self.bins)
                others = [(counts[a, codes[a], b, codes[b]] + 0.3) / (seen + 0.3 * self.bins) for b in at if b != a]
                votes[c] += (self.recent[c] + 0.5) * parent * np.prod(others)
        return 0.98 * votes / votes.sum() + 0.02 / self.n_classes

    def count_pairs(self, x: np.ndarray, y: int, weight: float) -> None:
        if self.bins:
            one_hot = (self.bins_of(x)[:, None] == np.arange(self.bins)).astype(float)
            self.pairs[y] += weight * np.exp(self.pairs_age) * np.einsum("av,bw->avbw", one_hot, one_hot)
            self.pairs_age -= weight * np.log(0.999)

    # Learning.

    def learn(self, x: np.ndarray, y: int, event: int) -> None:
        """A local sample."""
        probability = self.predict(x, event)
        if self.local_count:
            rate = max(1 / self.local_count, 0.01)
            self.gap += rate * (max(event - self.newest_local, 0) - self.gap)
        self.newest_local = max(event, self.newest_local)
        self.local_count += 1
        if self.held:
            if self.o.trusting:
                self.judge_senders(y)
                if probability[y] < SURPRISING_PROBA and (surprise := self.surprise(0, y)) is not None:
                    self.surprises.append(surprise)
            self.judge_experts(y, 1.0, self.o.hedge_decay)
            if self.pooling[MIXED]:
                self.judge_pool(y)
        if self.last >= 0:
            self.transition[self.last] *= 0.998
            self.transition[self.last, y] += 1
        self.last = y
        self.recent = self.recent * LABEL_DECAY
        self.recent[y] += 1
        self.local_rows.append(x.copy())
        if self.o.trusting and len(self.local_rows) == LOCAL_FIRST:
            self.review(x, event)
        if self.local_count > self.allowed:
            self.refill()
        self.settle(x, y, event, 0, 1.0, 1.0)

    def receive(self, x: np.ndarray, y: int, event: int, slot: int, weight: float) -> None:
        """A sample that another node sent."""
        if self.o.trusting:
            self.offered[slot] += 1
            ahead = sum(self.offered > self.allowed)
            if ahead > 1 and ahead >= len(self.offered) / 2:
                self.refill()
            known = len(self.local_rows) >= LOCAL_FIRST
            flood = self.bucket[slot] < 1
            self.near = not known or self.plausible(x)
            if flood:
                self.evidence[slot] = max(self.evidence[slot] - FLOOD_COST, EVIDENCE_MIN)
            elif known:
                self.far[slot] += FAR_RATE * ((not self.near) - self.far[slot])
            if flood or self.far[slot] > FAR_MAX or (known and not self.plausible(x, ABSURD)):
                return
            self.bucket[slot] -= 1
            weight = min(weight, WEIGHT_MAX)
        proven = self.proven(slot)
        if self.held:
            self.predict(x, max(self.newest_local, event), False)
            if self.o.trusting:
                self.judge_item(slot, y)
            if proven > 0.5:
                self.judge_experts(y, proven * self.o.hedge_received, 1.0)
                if self.pooling[MIXED] and self.o.hedge_received:
                    self.learn_pool(y, 0.5 * proven)
        self.settle(x, y, event, slot, weight, proven)

    def refill(self) -> None:
        self.allowed += 1
        self.bucket = np.minimum(self.bucket + self.o.received_per_local_max, BURST)

    def judge_experts(self, y: int, weight: float, decay: float) -> None:
        self.loss = np.where(self.active, decay * self.loss - weight * np.log(self.table[:, y]), self.loss)
        loss = np.where(self.active, self.loss, np.inf)[:LINEAR]
        balanced = self.table[:LINEAR].reshape(*self.balanced_loss.shape, N_VARIANTS, -1)[
            ..., self.o.balanced_variant, :
        ]
        balanced = balanced / (self.recent + 0.5)
        balanced = balanced[..., y] / balanced.sum(axis=-1)
        frequency = (self.recent + 0.5) / (self.recent + 0.5).mean()
        rarity = min(1 / frequency[y], RARITY_MAX)
        kept = 1 - (1 - decay) * min(rarity, 1)
        taking_part = self.active[:LINEAR].reshape(*self.balanced_loss.shape, -1)[..., self.o.balanced_variant]
        self.balanced_loss = np.where(taking_part, kept * self.balanced_loss - rarity * weight * np.log(balanced), 0.0)
        by_metric = np.where(taking_part, self.balanced_loss, np.inf)
        if not self.metrics[DISCRIMINANT].any():
            by_metric[DISCRIMINANT] = np.inf
        self.best_metric = first_least(by_metric.ravel()) // (N_BANDWIDTHS * N_RECENCIES)
        self.best_expert = first_least(np.where(np.arange(LINEAR) % N_VARIANTS != LOCAL, loss, np.inf))

    def judge_pool(self, y: int) -> None:
        self.pool_loss *= POOL_LOSS_DECAY
        self.pool_loss += self.inputs[MIXED, y] - np.log(max(self.pooled[y], INPUT_MIN))
        self.learn_pool(y, 1.0)

    def learn_pool(self, y: int, weight: float) -> None:
        kept = 1 - weight * (1 - POOL_DECAY)
        mean = self.inputs @ self.pooled
        slope = weight * (mean - self.inputs[:, y]) + (1 - kept) * POOL_PRIOR * self.pool_weight
        centred = (self.inputs - mean[:, None])[:, self.pooled > 1e-4]
        self.curvature *= kept
        self.curvature += weight * centred * self.pooled[self.pooled > 1e-4] @ centred.T
        self.pool_weight = self.pool_weight - np.linalg.solve(self.curvature + POOL_PRIOR * np.eye(N_INPUTS), slope)

    def judge_senders(self, y: int) -> None:
        votes, by_sender, effective = self.judged
        if effective <= 0:
            return
        trust, prior = self.trust, JUDGE_DOUBT
        for slot in range(1, len(self.evidence)):
            if by_sender[slot].sum() > 0:
                ablate = np.maximum(votes - trust[slot] * by_sender[slot], 0.0)
                gains = [
                    (v[y] + prior / self.n_classes) / (v.sum() + prior) for v in (ablate + by_sender[slot], ablate)
                ]
                gain = gains[0] - gains[1]
                evidence = 0.995 * self.evidence[slot] + gain
                self.noise[slot] = 0.995**2 * self.noise[slot] + gain**2
                self.evidence[slot] = max(evidence, EVIDENCE_MIN)

    def judge_item(self, slot: int, y: int) -> None:
        """The fall of the agreement, if the item surprises more than own samples that would be shared."""
        surprise = self.surprise(slot, y)
        rare = self.recent[y] < min(LABELS_KNOWN, LABELS_PART * self.recent.mean())
        if self.local_count < LOCAL_FIRST or rare or surprise is None:
            return
        known = AGREEMENT_DECAY ** np.arange(len(self.surprises))[::-1]
        n, ignorance = known.sum() + SURPRISING_PRIOR, np.log(self.n_classes)
        mean = (known @ np.array(self.surprises) + SURPRISING_PRIOR * ignorance) / n
        squares = (known @ np.square(self.surprises) + SURPRISING_PRIOR * (ignorance**2 + 1)) / n
        gain = mean + SLACK * np.sqrt(max(squares - mean**2, SURPRISE_VARIANCE_MIN)) - surprise
        self.agreement[slot] = AGREEMENT_DECAY * self.agreement[slot] + gain
        self.agreement_noise[slot] = AGREEMENT_DECAY**2 * self.agreement_noise[slot] + gain**2

    def surprise(self, slot: int, y: int) -> float | None:
        """-ln p by the best expert without the sender's votes, as if classes were equally frequent."""
        votes, by_sender, effective = self.judged
        if effective <= 0 or self.balance[y] <= 0:
            return None
        sent = self.trust[slot] * by_sender[slot] if slot else np.zeros(self.n_classes)
        others = self.balance * np.maximum(votes - sent, 0.0)
        behind = effective / (self.balance @ votes) if self.balance @ votes > 0 else 0.0
        doubt = DOUBT / self.n_classes
        return float(-np.log((others[y] * behind + doubt) / (others.sum() * behind + DOUBT)))

    def plausible(self, x: np.ndarray, times: float = 1.0) -> bool:
        low, high = np.min(self.local_rows, axis=0), np.max(self.local_rows, axis=0)
        reach = times * self.o.range_max * (1 + LOCAL_FIRST / len(self.local_rows)) * (high - low)
        return bool(((low == high) | ((x >= low - reach) & (x <= high + reach))).all())

    def review(self, x: np.ndarray, event: int) -> None:
        received = [p for p in self.held if p.local[0] <= 0]
        for slot in range(1, len(self.far)):
            sent = [self.plausible(p.x) for p in received if p.slot == slot]
            self.far[slot] = 1 - np.mean(sent) if sent else 0.0
        dropped = [
            j
            for j, p in enumerate(self.held)
            if p.local[0] <= 0 and (self.far[p.slot] > FAR_MAX or not self.plausible(p.x, ABSURD))
        ]
        for j in reversed(dropped):
            self.held[j] = self.held[-1]
            self.held.pop()
        if dropped:
            self.n, self.mean, self.scatter = 0.0, np.zeros(self.d), np.zeros((self.d, self.d))
            self.class_n, self.class_mean = np.zeros(self.n_classes), np.zeros((self.n_classes, self.d))
            self.class_scatter = np.zeros((self.n_classes, self.d, self.d))
            self.relief, self.relevance = np.zeros((2, self.d)), np.zeros(self.d)
            self.linear = np.zeros((self.n_classes, self.d + 1))
            self.metrics[DISCRIMINANT] = np.zeros((self.n_classes, self.d))
            self.loss, self.balanced_loss = np.zeros_like(self.loss), np.zeros_like(self.balanced_loss)
            for p in self.held:
                self.update_moments(p.x, p.label, p.local[0] + p.received[0])
            self.pairs[:] = 0.0
            for p in self.held:
                self.count_pairs(p.x, p.label, p.local[0] + p.received[0])
            self.refresh()
            self.predict(x, event, False)

    def settle(self, x: np.ndarray, y: int, event: int, slot: int, weight: float, proven: float) -> None:
        # The distances are those of the prediction, before any update.
        distances = self.distances(x) if self.held else np.zeros((0, N_METRICS))
        distance = distances[:, self.best_metric]
        linear, z = self.linear_vote(x), np.append(self.z_scores(x), 1.0)
        if proven > 0.05:
            self.count_pairs(x, y, min(weight, 1.0) * proven)
            self.update_moments(x, y, min(weight, 1.0) * proven)
            error = linear - np.eye(self.n_classes)[y]
            self.linear -= LEARNING_RATE * min(weight, 1.0) * proven * np.outer(error, z)
        labels = np.array([p.label for p in self.held], dtype=int)
        same, other = nearest(distance, labels == y), nearest(distance, labels != y)
        if same is not None and other is not None and proven > 0.5:
            for row, j in enumerate((same, other)):
                variance = self.variance
                square = np.divide((x - self.held[j].x) ** 2, variance, out=np.zeros(self.d), where=variance > 0)
                decayed = np.where(variance > 0, RELIEF_DECAY, 1.0) * self.relief[row]
                self.relief[row] = decayed + np.minimum(square, 9.0)
            if self.o.learns_relevance:
                self.learn_relevance(
                    x, y, min(weight, 1.0) * proven, max(event, self.newest_local), distances[:, RELIEF]
                )
        unknown = self.o.trusting and len(self.local_rows) < LOCAL_FIRST
        if same is not None and unknown and self.held[same].local[0] <= 0:
            same = None
        if same is not None and self.explained(distance, same, other):
            self.absorb(self.held[same], x, event, slot, weight)
        elif self.make_room(slot):
            p = Prototype(x.copy(), y, slot, event)
            (p.received if slot else p.local)[:] = weight
            self.held.insert(self.place, p)
        self.steps += 1
        if self.steps >= self.refresh_at or self.n < 20:
            self.refresh()
            self.refresh_at = self.steps + min(max(self.steps // 50, 10), 100)

    def explained(self, distance: np.ndarray, same: int, other: int | None) -> bool:
        near = np.sqrt(distance[same])
        if near < 1e-6:
            return True
        if other is None:
            return False
        far = np.sqrt(distance[other])
        return bool(far - near >= self.o.margin * (far + near))

    def absorb(self, p: Prototype, x: np.ndarray, event: int, slot: int, weight: float) -> None:
        newest = max(event, p.event)
        fade = max(self.age(newest, p.event, 0.0), 1.0) ** -POWERS
        late = max(self.age(newest, event, 0.0), 1.0) ** -POWERS
        p.local, p.received = p.local * fade, p.received * fade
        confirmed = p.local[0] > 0
        if slot == 0:
            p.local = p.local + weight * late
        else:
            if p.received[0] <= 0:
                p.slot = slot
            p.received = p.received + weight * late
        p.event = newest
        if slot == 0 or not confirmed or not self.o.trusting:
            rate = max(weight / (p.local[0] + p.received[0]), MOVE_MIN)
            p.x = p.x + rate * (x - p.x)

    def make_room(self, slot: int) -> bool:
        """Whether a prototype may be made, and ``place``, where: the least useful one leaves if there is no room."""
        received = [p.local[0] <= 0 for p in self.held]
        enough = slot > 0 and self.o.trusting and sum(received) >= self.o.received_fraction_max * self.size_max
        if len(self.held) < self.size_max and not enough:
            self.place = len(self.held)
            return True
        value = [
            (p.local[1] + self.trust[p.slot] * p.received[1]) / np.sqrt(self.age(self.newest_local, p.event, AGE_MIN))
            for p in self.held
        ]
        place = nearest(np.array(value), np.array(received) if enough else np.ones(len(value), bool))
        if place is None:
            return False
        self.place = place
        del self.held[place]
        return True

    def update_moments(self, x: np.ndarray, y: int, weight: float) -> None:
        before, delta = self.n, x - self.mean
        if before > 30:
            limit = DEVIATIONS_MAX * np.sqrt(np.diag(self.scatter) / before) + 1e-9 * np.abs(self.mean)
            delta = np.where(limit > 0, np.clip(delta, -limit, limit), delta)
        self.n += weight
        self.class_n[y] += weight
        within, step = self.mean + delta - self.class_mean[y], weight / self.class_n[y]
        self.class_mean[y] += step * within
        self.class_scatter[y] += weight * (1 - step) * np.outer(within, within)
        self.mean = self.mean + weight / self.n * delta
        self.scatter = self.scatter + weight * (1 - weight / self.n) * np.outer(delta, delta)

    def refresh(self) -> None:
        """Compute the metrics: rows R with distance |R (x - w)|**2, of about one on average."""
        if self.n <= 0:
            return
        variance = np.diag(self.scatter)
        usable = variance / self.n > 1e-14 * self.mean**2 + 1e-200
        for metric in range(3):
            self.metrics[metric] = np.zeros((self.d, self.d))
        if not usable.any():
            return
        self.refresh_gaussians(np.flatnonzero(usable))
        centred = self.class_mean - self.mean
        within = variance - self.class_n @ centred**2
        inverse = np.divide(self.n, variance, out=np.zeros(self.d), where=usable)
        denominator = np.maximum(within, 1e-3 * variance)
        fisher = np.divide(np.maximum(variance - within, 0.0), denominator, out=np.zeros(self.d), where=usable)
        relief = self.relief_weights() * np.exp(self.relevance)
        for metric, factor in enumerate((np.ones(self.d), fisher, relief)):
            total = factor[usable].sum()
            weight = factor * inverse / total if total > 1e-12 else inverse / usable.sum()
            self.metrics[metric] = np.diag(np.sqrt(weight))
        if not self.wide:
            self.refresh_discriminant(np.flatnonzero(usable))

    def relief_weights(self) -> np.ndarray:
        hit, miss = self.relief
        weights = np.full(self.d, 0.001)
        weights[miss > hit] += ((miss - hit)[miss > hit] / (miss + hit)[miss > hit]) ** 2
        return weights

    def learn_relevance(self, x: np.ndarray, y: int, weight: float, now: int, distance: np.ndarray) -> None:
        """A gradient step, from the probability of the class and its derivative by the logarithm of each weight."""
        at = np.flatnonzero((np.diag(self.metrics[Z_SCORE]) > 0) & (np.diag(self.scatter) > 0))
        if not len(at):
            return
        variance = np.diag(self.scatter)[at] / self.n
        base = self.relief_weights()[at]
        base *= 8.0 / base.sum()
        weights = base * np.exp(self.relevance[at])
        exponent = weights.sum() * (distance - distance.min())
        mass = np.array([p.local[1] + self.trust[p.slot] * p.received[1] for p in self.held])
        ages = np.array([self.age(now, p.event, 0.2) for p in self.held])
        votes = np.where(exponent < 12.0, mass / np.sqrt(ages) * np.exp(-exponent), 0.0)
        labels = np.array([p.label for p in self.held])
        of_class, of_others = votes[labels == y].sum(), votes[labels != y].sum()
        if of_class <= 0 or of_others <= 0:
            return
        p_y = of_class / (of_class + of_others)
        squares = np.minimum((x - np.array([p.x for p in self.held]))[:, at] ** 2 / variance, 9.0)
        # d ln v_c / d ln w_k = -w_k * (mean square over the votes of c).
        mean = [np.average(squares[among], axis=0, weights=votes[among]) for among in (labels == y, labels != y)]
        gradient = -0.95 / (0.05 + 0.95 * p_y) * p_y * (1 - p_y) * weights * (mean[1] - mean[0])
        weights *= np.exp(-np.clip(0.4 * weight * gradient, -0.2, 0.2))
        weights = np.maximum(weights, 0.002 * weights.max())
        total = weights.sum()
        self.metrics[RELIEF] = np.zeros((self.d, self.d))
        self.metrics[RELIEF][at, at] = np.sqrt(weights / total / variance)
        self.relevance[at] = 0.999 * np.log(weights / total * np.clip(total, 1.0, 2000.0) / base)

    def refresh_gaussians(self, at: np.ndarray) -> None:
        deviation = np.sqrt(np.diag(self.scatter)[at] / self.n)
        for c in np.flatnonzero(self.class_n):
            squares = self.class_scatter[c][np.ix_(at, at)] / np.outer(deviation, deviation)
            covariance = squares / (self.class_n[c] + max(len(at), 3))
            np.fill_diagonal(covariance, (np.diag(squares) + 3) / (self.class_n[c] + 3) + 1e-3)
            self.gaussians[c] = ((self.class_mean[c] - self.mean)[at] / deviation, covariance)
        self.usable = np.isin(np.arange(self.d), at)

    def refresh_discriminant(self, at: np.ndarray) -> None:
        n, d = self.n, len(at)
        deviation = np.sqrt(np.diag(self.scatter)[at] / n)
        total = self.scatter[np.ix_(at, at)] / n / np.outer(deviation, deviation)
        root = np.sqrt(self.class_n / n)[:, None]
        centred = np.where(root > 0, root * (self.class_mean - self.mean)[:, at] / deviation, 0.0)
        shrink = min(1.0, 0.05 + d / (n + d))
        within = total - centred.T @ centred
        diagonal = np.maximum(np.diag(within), 0.0) + 1e-3 if shrink < 1 else np.ones(d)
        within = within * (1 - shrink)
        np.fill_diagonal(within, diagonal)
        rows = np.linalg.solve(within, centred.T).T
        size = np.trace(rows @ total @ rows.T)
        if size > 1e-12:
            self.metrics[DISCRIMINANT] = np.zeros((self.n_classes, self.d))
            self.metrics[DISCRIMINANT][:, at] = rows / deviation / np.sqrt(size)


def nearest(distance: np.ndarray, among: np.ndarray) -> int | None:
    return int(np.where(among, distance, np.inf).argmin()) if among.any() else None


def first_least(loss: np.ndarray) -> int:
    return int((loss < loss.min() + TIE).argmax())


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x)))
