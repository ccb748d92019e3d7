"""Trust: what the samples of a sender may do, judged by local samples, by the local range and by an allowance."""

from __future__ import annotations

import numpy as np

from protovine.arrays import assign
from protovine.jit import inner_kernel
from protovine.learn.hedged.dependence import dependence_learn
from protovine.learn.hedged.experts import CORRECTED, PLAIN, coordinates
from protovine.learn.hedged.linear import standardise
from protovine.learn.hedged.metrics import refresh, update_moments
from protovine.learn.hedged.state import (
    BEST_EXPERT,
    BURST,
    LOCAL_SAMPLES,
    LOCAL_SLOT,
    RECEIVED_HELD,
    SIZE,
    SURPRISING,
    SURPRISING_SQUARES,
    SURPRISING_SUM,
    WEIGHT,
    Floats,
    Options,
    State,
)
from protovine.learn.hedged.votes import DOUBT, LABEL_PRIOR

# Local samples that make a range. What was received before is then reviewed.
LOCAL_FIRST = 8
# A sender of whose recent items more than this fraction is far out of range is broken. Some are normal: the more
# features there are, the sooner one of them is out. The fraction is a mean over about twenty items.
FAR_MAX, FAR_RATE = 0.5, 0.05
# An item this many times further out is refused from any sender.
ABSURD = 10.0
# Evidence that an item beyond the allowance costs its sender: one that does it now and then stays trusted.
FLOOD_COST = 0.002
# Evidence is forgotten at this rate per local sample, within about 200. The lower bound lets a sender recover within
# about a thousand samples.
EVIDENCE_DECAY, EVIDENCE_MIN = 0.995, -20.0
# Logistic functions of standard deviations. A new sender is trusted (0.88), and counts as proven (0.95).
# Evidence speaks against proof by at most this: where labels are noisy, honest samples do not help votes either.
TRUST_PRIOR, STEEPNESS, PROOF_NEEDED, USELESS = 2.0, 1.5, 1.0, -1.0
# A sender has this head start in its proof, and half of it after this number of items. Most samples are shared early,
# when little is known of senders. One that lies loses the head start, and more, as its items are judged.
HEAD_START, HEAD_START_ITEMS = 3.0, 20.0
# Variance of the evidence of a sender that has shown nothing.
VARIANCE_PRIOR = 0.02
# Samples that are spread over all classes in the votes by which senders are judged.
JUDGE_DOUBT = 0.3
# A local sample of less probability is one that a node would share: 0.25 bits. Two such samples of a node that knows
# nothing come first, with a variance of 1.
SURPRISING_PROBA, SURPRISING_PRIOR, SURPRISE_VARIANCE_MIN = 0.84, 2.0, 0.04
# Recent local samples of a class, from which a node judges samples of it; with many classes, this part of their mean.
LABELS_KNOWN, LABELS_PART = 5.0, 0.5
# Agreement is forgotten at this rate per item, within about 100. A sender may surprise by this part of a standard
# deviation more than local samples do.
AGREEMENT_DECAY, AGREEMENT_PRIOR, SLACK = 0.99, 2.0, 0.25


@inner_kernel
def weigh(sender: int, s: State) -> None:
    """Update from a sender's evidence what its mass counts, and what it may do to moments and experts."""
    s.evidence[sender] = max(s.evidence[sender], EVIDENCE_MIN)
    if s.far[sender] > FAR_MAX:
        s.trust[sender] = s.proven[sender] = 0.0
        return
    # Evidence is a sum of noisy gains: what matters is how far it stands out from the noise.
    useful = s.evidence[sender] / np.sqrt(VARIANCE_PRIOR + s.noise[sender])
    agrees = s.agreement[sender] / np.sqrt(AGREEMENT_PRIOR + s.agreement_noise[sender])
    s.trust[sender] = 1.0 / (1.0 + np.exp(-(TRUST_PRIOR + STEEPNESS * useful)))
    agrees += HEAD_START * HEAD_START_ITEMS / (HEAD_START_ITEMS + s.offered[sender])
    s.proven[sender] = 1.0 / (1.0 + np.exp(-STEEPNESS * (agrees + max(useful, USELESS) - PROOF_NEEDED)))


@inner_kernel
def judge_senders(y: int, s: State) -> None:
    """Judge every sender by what its mass adds to the best expert's probability of the true class ``y``."""
    group, recency, variant = coordinates(s.counts[BEST_EXPERT])
    if s.vote_sum[group, recency, variant] <= 0.0 or s.vote_samples[group, recency, variant] <= 0.0:
        return
    for sender in range(LOCAL_SLOT + 1, s.trust.shape[0]):
        votes = 0.0
        for c in range(s.sender_votes.shape[1]):
            if variant == CORRECTED:
                s.sender_votes[sender, c] *= s.correction[recency, c]
            votes += s.sender_votes[sender, c]
        if votes > 0.0:
            gain = gain_of(sender, y, s)
            s.evidence[sender] = EVIDENCE_DECAY * s.evidence[sender] + gain
            s.noise[sender] = EVIDENCE_DECAY**2 * s.noise[sender] + gain * gain
            weigh(sender, s)


@inner_kernel
def note_surprise(y: int, s: State) -> None:
    """Remember how surprising a local sample of class ``y`` is, if it is one that a node would share."""
    if s.final[y] >= SURPRISING_PROBA:
        return
    loss = surprise(LOCAL_SLOT, y, s)
    if loss >= 0.0:
        for i in (SURPRISING, SURPRISING_SUM, SURPRISING_SQUARES):
            s.scalars[i] *= AGREEMENT_DECAY
        s.scalars[SURPRISING] += 1.0
        s.scalars[SURPRISING_SUM] += loss
        s.scalars[SURPRISING_SQUARES] += loss * loss


@inner_kernel
def judge_item(sender: int, y: int, s: State) -> None:
    """Judge a sender by a sample of class ``y`` that it sent: an honest one surprises no more than own ones do.

    A sender shares what surprises it. By its peers' prototypes that is about as surprising as what they would share.
    Wrong labels are more so. A class that the node hardly has itself tells nothing: there everything surprises it.
    """
    known = min(LABELS_KNOWN, LABELS_PART * s.recent_labels.mean())
    if s.counts[LOCAL_SAMPLES] < LOCAL_FIRST or s.recent_labels[y] < known:
        return
    loss = surprise(sender, y, s)
    if loss < 0.0:
        return
    n, ignorance = s.scalars[SURPRISING] + SURPRISING_PRIOR, np.log(s.class_weight.shape[0])
    mean = (s.scalars[SURPRISING_SUM] + SURPRISING_PRIOR * ignorance) / n
    squares = (s.scalars[SURPRISING_SQUARES] + SURPRISING_PRIOR * (ignorance * ignorance + 1.0)) / n
    gain = mean + SLACK * np.sqrt(max(squares - mean * mean, SURPRISE_VARIANCE_MIN)) - loss
    s.agreement[sender] = AGREEMENT_DECAY * s.agreement[sender] + gain
    s.agreement_noise[sender] = AGREEMENT_DECAY**2 * s.agreement_noise[sender] + gain * gain
    weigh(sender, s)


@inner_kernel
def surprise(sender: int, y: int, s: State) -> float:
    """-ln p of class ``y`` by the best expert without the sender's votes; -1 where nothing is known of the class.

    Classes count as equally frequent, because senders may have others.
    """
    best, n_classes = s.counts[BEST_EXPERT], s.sender_votes.shape[1]
    group, recency, variant = coordinates(best)
    samples = s.vote_samples[group, recency, variant]
    if s.vote_sum[group, recency, variant] <= 0.0 or samples <= 0.0 or s.correction[recency, y] <= 0.0:
        return -1.0
    votes = all_others = true_others = 0.0
    for c in range(n_classes):
        # Votes of one class over its mass. Corrected votes are so already, but for the frequency of the class.
        scale = 1.0 / (s.recent_labels[c] + LABEL_PRIOR)
        sent = s.trust[sender] * s.sender_votes[sender, c] if sender != LOCAL_SLOT else 0.0
        if variant == CORRECTED:
            sent *= s.correction[recency, c]
        else:
            scale *= s.correction[recency, c]
        vote = votes_of(best, c, s)
        votes += scale * vote
        others = scale * max(vote - sent, 0.0)
        all_others += others
        if c == y:
            true_others = others
    behind = samples / votes if votes > 0.0 else 0.0
    return float(-np.log((true_others * behind + DOUBT / n_classes) / (all_others * behind + DOUBT)))


@inner_kernel
def votes_of(expert: int, c: int, s: State) -> float:
    """The votes of all for class ``c``, from the probability that `votes.conclude` made of them."""
    group, recency, variant = coordinates(expert)
    total, samples = s.vote_sum[group, recency, variant], s.vote_samples[group, recency, variant]
    doubt = DOUBT / s.sender_votes.shape[1]
    return float(max((s.proba[expert, c] * (samples + DOUBT) - doubt) / samples * total, 0.0))


@inner_kernel
def gain_of(sender: int, y: int, s: State) -> float:
    """Probability of class ``y`` with the sender's votes, less that without them.

    The difference of logarithms would be large where both probabilities are small, and take trust from a sender because
    nobody knows a class yet. The sender's votes count as if it were fully trusted, so that it can recover.
    """
    best, n_classes = s.counts[BEST_EXPERT], s.sender_votes.shape[1]
    all_with = all_others = true_with = true_others = 0.0
    for c in range(n_classes):
        others = max(votes_of(best, c, s) - s.trust[sender] * s.sender_votes[sender, c], 0.0)
        all_with += others + s.sender_votes[sender, c]
        all_others += others
        if c == y:
            true_with, true_others = others + s.sender_votes[sender, c], others
    gain = (true_with + JUDGE_DOUBT / n_classes) / (all_with + JUDGE_DOUBT)
    gain -= (true_others + JUDGE_DOUBT / n_classes) / (all_others + JUDGE_DOUBT)
    return float(gain)


@inner_kernel
def refill(s: State, o: Options) -> None:
    """A node of the swarm has one more sample to offer, so every sender may bring another."""
    s.offered[LOCAL_SLOT] += 1
    for sender in range(LOCAL_SLOT + 1, s.bucket.shape[0]):
        s.bucket[sender] = min(s.bucket[sender] + o.received_per_local_max, BURST)


@inner_kernel
def admit(x: Floats, slot: int, s: State, o: Options) -> tuple[bool, float]:
    """Whether a sender may bring an item now, and what it may do to moments and experts, from 0 to 1."""
    count_offer(slot, s, o)
    known = s.counts[LOCAL_SAMPLES] >= LOCAL_FIRST
    flood = s.bucket[slot] < 1.0
    near = not known or in_range(x, o.range_max, s)
    if flood:
        s.evidence[slot] -= FLOOD_COST
    elif known:
        s.far[slot] += FAR_RATE * ((0.0 if near else 1.0) - s.far[slot])
    weigh(slot, s)
    if flood or s.far[slot] > FAR_MAX or (known and not in_range(x, ABSURD * o.range_max, s)):
        return False, 0.0
    s.bucket[slot] -= 1.0
    if s.counts[LOCAL_SAMPLES] == 0:  # Nothing to judge by and nothing to lose.
        return True, s.trust[slot]
    return True, s.proven[slot] if known and near else 0.0


@inner_kernel
def count_offer(slot: int, s: State, o: Options) -> None:
    """Count an item that a sender offers; where most senders have more samples than this node, all may bring more."""
    s.offered[slot] += 1
    ahead = 0
    for sender in range(LOCAL_SLOT + 1, s.offered.shape[0]):
        ahead += s.offered[sender] > s.offered[LOCAL_SLOT]
    if ahead > 1 and 2 * ahead >= s.offered.shape[0]:
        refill(s, o)


@inner_kernel
def update_range(x: Floats, s: State) -> None:
    """Extend the range of the local samples by one that has just been counted."""
    for k in range(x.shape[0]):
        if s.counts[LOCAL_SAMPLES] == 1:
            s.local_low[k] = s.local_high[k] = x[k]
        s.local_low[k], s.local_high[k] = min(s.local_low[k], x[k]), max(s.local_high[k], x[k])


@inner_kernel
def in_range(x: Floats, reach: float, s: State) -> bool:
    """Whether every feature that varies locally lies within ``reach`` times the local range beyond that range."""
    reach *= 1.0 + LOCAL_FIRST / s.counts[LOCAL_SAMPLES]
    for k in range(x.shape[0]):
        width = s.local_high[k] - s.local_low[k]
        if width > 0.0 and not s.local_low[k] - reach * width <= x[k] <= s.local_high[k] + reach * width:
            return False
    return True


@inner_kernel
def review(s: State, o: Options) -> bool:
    """Drop the received prototypes that are absurd or from a broken sender, now that the local range is known.

    Whether there were any. Then moments and metrics come from the other prototypes alone, and distances are outdated.
    """
    review_senders(s, o)
    before = s.counts[SIZE]
    for j in range(before - 1, -1, -1):
        broken = s.far[s.slot[j]] > FAR_MAX or not in_range(s.x[j], ABSURD * o.range_max, s)
        if s.local[j, PLAIN] <= 0.0 and broken:
            drop(j, s)
    if s.counts[SIZE] == before:
        return False
    for array in (s.loss, s.balanced_loss, s.relevance):
        array[:] = 0.0
    s.linear[:], s.relief[:] = 0.0, 0.0
    relearn(s)
    return True


@inner_kernel
def relearn(s: State) -> None:
    """Let moments, pairs and metrics come from the prototypes alone."""
    s.scalars[WEIGHT] = 0.0
    for array in (s.mean, s.spread, s.class_weight):
        array[:] = 0.0
    for table in (s.scatter, s.class_mean, s.class_spread, s.discriminant):
        table[:] = 0.0
    s.class_scatter[:], s.pairs[:] = 0.0, 0.0
    for j in range(s.counts[SIZE]):
        update_moments(s.x[j], s.label[j], s.local[j, PLAIN] + s.received[j, PLAIN], s)
    for j in range(s.counts[SIZE]):  # Bins are known only now.
        standardise(s.x[j], s)
        dependence_learn(s.label[j], s.local[j, PLAIN] + s.received[j, PLAIN], s)
    refresh(s)


@inner_kernel
def review_senders(s: State, o: Options) -> None:
    """Set the fraction of each sender's items that is out of range from the prototypes that it sent."""
    sent = np.zeros(s.far.shape[0])
    for j in range(s.counts[SIZE]):
        if s.local[j, PLAIN] <= 0.0:
            sent[s.slot[j]] += 1.0
            s.far[s.slot[j]] += 0.0 if in_range(s.x[j], o.range_max, s) else 1.0
    for sender in range(LOCAL_SLOT + 1, sent.shape[0]):
        s.far[sender] /= max(sent[sender], 1.0)
        weigh(sender, s)


@inner_kernel
def drop(j: int, s: State) -> None:
    """Remove a received prototype; the last one takes its place."""
    last = s.counts[SIZE] - 1
    s.label[j], s.slot[j], s.event[j] = s.label[last], s.slot[last], s.event[last]
    assign(s.x[j], s.x[last])
    assign(s.local[j], s.local[last])
    assign(s.received[j], s.received[last])
    assign(s.projected[j], s.projected[last])
    s.counts[SIZE] = last
    s.counts[RECEIVED_HELD] -= 1
